/* LOSSES_REQUEST, LOSSES. */
#include "codec.h"
#include <base/error.h>
#include <poise.pb-c.h>

static const struct codec_kind request_kind = {"LOSSES_REQUEST", &poise__v1__losses_request__descriptor,
                                               WIRE_TEXT_MAX};
static const struct codec_kind losses_kind = {"LOSSES", &poise__v1__losses__descriptor, WIRE_TEXT_MAX};

enum { LOSSES_LOSSES = 2 };

poise_loss_reason codec_loss_reason(int reason)
{
    return reason > POISE_LOSS_UNKNOWN && reason <= POISE_LOSS_FORKED ? (poise_loss_reason)reason
                                                                      : POISE_LOSS_UNKNOWN;
}

poise_code wire_decode_losses_request(const void *body, size_t length, struct arena *arena, uint64_t *ret_id,
                                      poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&request_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__LossesRequest *message = unpacked;
    if (message->id == 0) {
        return error_set(err, POISE_EPROTO, "LOSSES_REQUEST: id must not be 0");
    }
    *ret_id = message->id;
    return POISE_OK;
}

poise_code wire_encode_losses_request(uint64_t id, struct buf *out)
{
    Poise__V1__LossesRequest message;
    poise__v1__losses_request__init(&message);
    message.id = id;
    return codec_put(out, &message.base);
}

static poise_loss loss_of(const Poise__V1__LossRecord *message)
{
    return (poise_loss){.producer = message->producer,
                        .epoch = message->epoch,
                        .first_seq = message->first_seq,
                        .last_seq = message->last_seq,
                        .rows = message->rows,
                        .from_ms = message->from_ms,
                        .to_ms = message->to_ms,
                        .reason = codec_loss_reason((int)message->reason),
                        .lsn = message->lsn,
                        .as_of_ms = message->as_of_ms};
}

poise_code wire_decode_losses(const void *body, size_t length, struct arena *arena, struct wire_losses *ret,
                              poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&losses_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Losses *message = unpacked;
    if (message->n_losses > WIRE_LOSSES_MAX) {
        return error_set(err, POISE_ELIMIT, "LOSSES: %zu entries; at most %d are allowed", message->n_losses,
                         WIRE_LOSSES_MAX);
    }
    poise_loss *losses = codec_alloc(&losses_kind, arena, message->n_losses, sizeof *losses, &code, err);
    if (!losses) {
        return code;
    }
    for (size_t i = 0; i < message->n_losses; i++) {
        losses[i] = loss_of(message->losses[i]);
    }
    *ret = (struct wire_losses){
        .id = message->id, .left_out = message->left_out, .losses = losses, .count = message->n_losses};
    return POISE_OK;
}

static poise_code put_loss(const poise_loss *loss, struct buf *out)
{
    Poise__V1__LossRecord message;
    poise__v1__loss_record__init(&message);
    message.producer = codec_text(loss->producer);
    message.epoch = loss->epoch;
    message.first_seq = loss->first_seq;
    message.last_seq = loss->last_seq;
    message.rows = loss->rows;
    message.from_ms = loss->from_ms;
    message.to_ms = loss->to_ms;
    message.reason = (Poise__V1__LossReason)loss->reason;
    message.lsn = loss->lsn;
    message.as_of_ms = loss->as_of_ms;
    return codec_put_field(out, LOSSES_LOSSES, &message.base);
}

poise_code wire_encode_losses(const struct wire_losses *losses, struct buf *out)
{
    Poise__V1__Losses message;
    poise_code code = POISE_OK;
    poise__v1__losses__init(&message);
    message.id = losses->id;
    code = codec_put(out, &message.base);
    for (size_t i = 0; code == POISE_OK && i < losses->count; i++) {
        code = put_loss(&losses->losses[i], out);
    }
    poise__v1__losses__init(&message);
    message.left_out = losses->left_out; /* behind them, in the order of the schema */
    return code == POISE_OK ? codec_put(out, &message.base) : code;
}
