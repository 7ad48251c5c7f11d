/* HELLO, WELCOME, ACK, GAP, SPOOL, ERROR. */
#include "codec.h"
#include <base/error.h>
#include <poise.pb-c.h>
#include <string.h>

static const struct codec_kind hello_kind = {"HELLO", &poise__v1__hello__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind welcome_kind = {"WELCOME", &poise__v1__welcome__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind ack_kind = {"ACK", &poise__v1__ack__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind gap_kind = {"GAP", &poise__v1__gap__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind spool_kind = {"SPOOL", &poise__v1__spool__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind error_kind = {"ERROR", &poise__v1__error__descriptor, WIRE_TEXT_MAX};

enum { ACK_REFUSALS = 4 };

static bool is_id(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strspn(text, allowed);
    return length >= 1 && length <= POISE_ID_MAX && text[length] == '\0';
}

/* ---- HELLO ---- */

static poise_code check_hello(const Poise__V1__Hello *message, poise_error *err)
{
    if (!is_id(message->producer)) {
        return error_set(err, POISE_EPROTO, "HELLO: producer is no id of 1 to %d of a-z A-Z 0-9 _ . -",
                         POISE_ID_MAX);
    }
    if (message->epoch == 0 || message->next_seq == 0) {
        return error_set(err, POISE_EPROTO, "HELLO: epoch and next_seq must not be 0");
    }
    if (message->next_seq < message->first_seq) {
        return error_set(err, POISE_EPROTO, "HELLO: next_seq must not be before first_seq");
    }
    if (message->store_id.len != 0 && message->store_id.len != WIRE_STORE_ID) {
        return error_set(err, POISE_EPROTO, "HELLO: store_id has %zu bytes; it must have 0 or %d",
                         message->store_id.len, WIRE_STORE_ID);
    }
    return POISE_OK;
}

poise_code wire_decode_hello(const void *body, size_t length, struct arena *arena, struct wire_hello *ret,
                             poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&hello_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Hello *message = unpacked;
    code = check_hello(message, err);
    if (code != POISE_OK) {
        return code;
    }
    *ret = (struct wire_hello){.producer = message->producer,
                               .epoch = message->epoch,
                               .first_seq = message->first_seq > 0 ? message->first_seq : 1,
                               .next_seq = message->next_seq,
                               .last_hash = message->last_hash,
                               .incarnation = message->incarnation,
                               .forked_epoch = message->forked_epoch,
                               .has_store = message->store_id.len > 0,
                               .software = message->software};
    if (ret->has_store) {
        memcpy(ret->store_id, message->store_id.data, WIRE_STORE_ID);
    }
    return POISE_OK;
}

poise_code wire_encode_hello(const struct wire_hello *hello, struct buf *out)
{
    Poise__V1__Hello message;
    poise__v1__hello__init(&message);
    message.producer = codec_text(hello->producer);
    message.epoch = hello->epoch;
    message.next_seq = hello->next_seq;
    message.last_hash = hello->last_hash;
    if (hello->has_store) {
        message.store_id = (ProtobufCBinaryData){WIRE_STORE_ID, codec_borrow(hello->store_id)};
    }
    message.incarnation = hello->incarnation;
    message.software = codec_text(hello->software);
    message.forked_epoch = hello->forked_epoch;
    message.first_seq = hello->first_seq;
    return codec_put(out, &message.base);
}

/* ---- WELCOME ---- */

poise_code wire_decode_welcome(const void *body, size_t length, struct arena *arena, struct wire_welcome *ret,
                               poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&welcome_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Welcome *message = unpacked;
    if (message->n_hashes >= message->next_seq && message->n_hashes > 0) {
        return error_set(err, POISE_EPROTO, "WELCOME: %zu hashes of the batches before %llu",
                         message->n_hashes, (unsigned long long)message->next_seq);
    }
    if (message->store_id.len != WIRE_STORE_ID || message->next_seq == 0) {
        return error_set(err, POISE_EPROTO, "WELCOME: store_id must have %d bytes and next_seq must not be 0",
                         WIRE_STORE_ID);
    }
    *ret = (struct wire_welcome){.incarnation = message->incarnation,
                                 .epoch = message->epoch,
                                 .next_seq = message->next_seq,
                                 .last_hash = message->last_hash,
                                 .credit = message->credit,
                                 .max_batch_bytes = message->max_batch_bytes,
                                 .max_batch_rows = message->max_batch_rows,
                                 .max_batch_symbols = message->max_batch_symbols,
                                 .hashes = message->hashes,
                                 .hash_count = message->n_hashes,
                                 .takes_spool = message->takes_spool};
    memcpy(ret->store_id, message->store_id.data, WIRE_STORE_ID);
    return POISE_OK;
}

poise_code wire_encode_welcome(const struct wire_welcome *welcome, struct buf *out)
{
    Poise__V1__Welcome message;
    poise__v1__welcome__init(&message);
    message.store_id = (ProtobufCBinaryData){WIRE_STORE_ID, codec_borrow(welcome->store_id)};
    message.incarnation = welcome->incarnation;
    message.epoch = welcome->epoch;
    message.next_seq = welcome->next_seq;
    message.last_hash = welcome->last_hash;
    message.credit = welcome->credit;
    message.max_batch_bytes = welcome->max_batch_bytes;
    message.max_batch_rows = welcome->max_batch_rows;
    message.max_batch_symbols = welcome->max_batch_symbols;
    message.hashes = codec_borrow(welcome->hashes);
    message.n_hashes = welcome->hash_count;
    message.takes_spool = welcome->takes_spool;
    return codec_put(out, &message.base);
}

/* ---- ACK ---- */

poise_code wire_decode_ack(const void *body, size_t length, struct arena *arena, struct wire_ack *ret,
                           poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&ack_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Ack *message = unpacked;
    if (message->n_refusals > WIRE_REFUSALS_MAX) {
        return error_set(err, POISE_ELIMIT, "ACK: %zu refusals; at most %d are allowed", message->n_refusals,
                         WIRE_REFUSALS_MAX);
    }
    struct wire_refusal *refusals =
        codec_alloc(&ack_kind, arena, message->n_refusals, sizeof *refusals, &code, err);
    if (!refusals) {
        return code;
    }
    for (size_t i = 0; i < message->n_refusals; i++) {
        const Poise__V1__Refusal *refusal = message->refusals[i];
        /* A reason that this version has no name for is still a refusal. */
        refusals[i] = (struct wire_refusal){refusal->seq, refusal->row, (poise_refusal)refusal->reason};
    }
    *ret = (struct wire_ack){.epoch = message->epoch,
                             .seq = message->seq,
                             .credit = message->credit,
                             .refusals = refusals,
                             .refusal_count = message->n_refusals};
    return POISE_OK;
}

poise_code wire_encode_ack(const struct wire_ack *ack, struct buf *out)
{
    Poise__V1__Ack message;
    poise__v1__ack__init(&message);
    message.epoch = ack->epoch;
    message.seq = ack->seq;
    message.credit = ack->credit;
    poise_code code = codec_put(out, &message.base);
    for (size_t i = 0; code == POISE_OK && i < ack->refusal_count; i++) {
        Poise__V1__Refusal refusal;
        poise__v1__refusal__init(&refusal);
        refusal.seq = ack->refusals[i].seq;
        refusal.row = ack->refusals[i].row;
        refusal.reason = (Poise__V1__Reason)ack->refusals[i].reason;
        code = codec_put_field(out, ACK_REFUSALS, &refusal.base);
    }
    return code;
}

/* ---- GAP, SPOOL, ERROR ---- */

poise_code wire_decode_gap(const void *body, size_t length, struct arena *arena, struct wire_gap *ret,
                           poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&gap_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Gap *message = unpacked;
    if (message->expected == 0) {
        return error_set(err, POISE_EPROTO, "GAP: expected must not be 0");
    }
    *ret = (struct wire_gap){.epoch = message->epoch, .expected = message->expected};
    return POISE_OK;
}

poise_code wire_encode_gap(const struct wire_gap *gap, struct buf *out)
{
    Poise__V1__Gap message;
    poise__v1__gap__init(&message);
    message.epoch = gap->epoch;
    message.expected = gap->expected;
    return codec_put(out, &message.base);
}

poise_code wire_decode_spool(const void *body, size_t length, struct arena *arena, struct wire_spool *ret,
                             poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&spool_kind, body, length, arena, &unpacked, err);
    if (code == POISE_OK) {
        const Poise__V1__Spool *message = unpacked;
        *ret = (struct wire_spool){.bytes = message->bytes, .age_ms = message->age_ms};
    }
    return code;
}

poise_code wire_encode_spool(const struct wire_spool *spool, struct buf *out)
{
    Poise__V1__Spool message;
    poise__v1__spool__init(&message);
    message.bytes = spool->bytes;
    message.age_ms = spool->age_ms;
    return codec_put(out, &message.base);
}

poise_code wire_decode_error(const void *body, size_t length, struct arena *arena, struct wire_error *ret,
                             poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&error_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Error *message = unpacked;
    if (message->code == POISE__V1__CODE__CODE_OK) {
        return error_set(err, POISE_EPROTO, "ERROR: code must not be 0");
    }
    *ret = (struct wire_error){.id = message->id, .code = (poise_code)message->code, .text = message->text};
    return POISE_OK;
}

poise_code wire_encode_error(const struct wire_error *error, struct buf *out)
{
    Poise__V1__Error message;
    poise__v1__error__init(&message);
    message.id = error->id;
    message.code = (Poise__V1__Code)error->code;
    message.text = codec_text(error->text);
    return codec_put(out, &message.base);
}
