/* CHANGES, CHANGED. */
#include "codec.h"
#include <base/error.h>
#include <poise.pb-c.h>
#include <stdlib.h>

static const struct codec_kind changes_kind = {"CHANGES", &poise__v1__changes__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind changed_kind = {"CHANGED", &poise__v1__changed__descriptor, WIRE_TEXT_MAX};

enum { CHANGED_STATES = 2 };

static poise_code check(const struct codec_kind *kind, uint64_t id, size_t cursor_length, poise_error *err)
{
    if (id == 0) {
        return error_set(err, POISE_EPROTO, "%s: id must not be 0", kind->name);
    }
    return cursor_length <= WIRE_CURSOR_MAX
               ? POISE_OK
               : error_set(err, POISE_EPROTO, "%s: the cursor has %zu bytes, at most %d are allowed",
                           kind->name, cursor_length, WIRE_CURSOR_MAX);
}

/* ---- CHANGES ---- */

poise_code wire_decode_changes(const void *body, size_t length, struct arena *arena, struct wire_changes *ret,
                               poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&changes_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Changes *message = unpacked;
    struct wire_filter filter = {0};
    code = check(&changes_kind, message->id, message->cursor.len, err);
    if (code == POISE_OK) {
        code = codec_take_filter(message->filter, &filter, err);
    }
    if (code == POISE_OK) {
        *ret = (struct wire_changes){.id = message->id,
                                     .filter = filter,
                                     .cursor = message->cursor.data,
                                     .cursor_length = message->cursor.len,
                                     .after_lsn = message->after_lsn};
    }
    return code;
}

poise_code wire_encode_changes(const struct wire_changes *changes, struct buf *out)
{
    Poise__V1__Filter filter;
    int kinds[CODEC_KINDS_MAX];
    codec_put_filter(&changes->filter, &filter, kinds);
    Poise__V1__Changes message;
    poise__v1__changes__init(&message);
    message.id = changes->id;
    message.filter = &filter;
    message.cursor =
        (ProtobufCBinaryData){.len = changes->cursor_length, .data = codec_borrow(changes->cursor)};
    message.after_lsn = changes->after_lsn;
    return codec_put(out, &message.base);
}

/* ---- CHANGED ---- */

/* Differences to what they are of, in place. */
static void undo_deltas(const Poise__V1__Changed *message)
{
    uint64_t lsn = 0, time = 0; /* unsigned: what a peer sends may overflow */
    for (size_t i = 0; i < message->n_states; i++) {
        message->lsn_delta[i] = lsn += message->lsn_delta[i];
        time += (uint64_t)message->time_delta_ms[i];
        message->time_delta_ms[i] = (int64_t)time;
    }
}

poise_code wire_decode_changed(const void *body, size_t length, struct arena *arena, struct wire_changed *ret,
                               poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&changed_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Changed *message = unpacked;
    poise_state *states = NULL;
    size_t count = 0;
    code = check(&changed_kind, message->id, message->cursor.len, err);
    if (code == POISE_OK &&
        (message->n_lsn_delta != message->n_states || message->n_time_delta_ms != message->n_states ||
         message->n_number != message->n_states)) {
        code =
            error_set(err, POISE_EPROTO, "CHANGED: %zu states, but %zu lsns, %zu times, %zu numbers",
                      message->n_states, message->n_lsn_delta, message->n_time_delta_ms, message->n_number);
    }
    if (code == POISE_OK) {
        code =
            codec_take_states(&changed_kind, message->states, message->n_states, arena, &states, &count, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    undo_deltas(message);
    *ret = (struct wire_changed){.id = message->id,
                                 .states = states,
                                 .lsns = message->lsn_delta,
                                 .settled_ms = message->time_delta_ms,
                                 .numbers = message->number,
                                 .count = count,
                                 .cursor = message->cursor.data,
                                 .cursor_length = message->cursor.len,
                                 .whole = message->whole != 0,
                                 .last = message->last != 0,
                                 .done = message->done,
                                 .total = message->total};
    return POISE_OK;
}

static void put_deltas(const struct wire_changed *changed, uint64_t *lsns, int64_t *times)
{
    uint64_t lsn = 0, time = 0;
    for (size_t i = 0; i < changed->count; i++) {
        lsns[i] = changed->lsns[i] - lsn;
        lsn = changed->lsns[i];
        times[i] = (int64_t)((uint64_t)changed->settled_ms[i] - time);
        time = (uint64_t)changed->settled_ms[i];
    }
}

static poise_code put_rest(const struct wire_changed *changed, uint64_t *lsns, int64_t *times,
                           struct buf *out)
{
    Poise__V1__Changed message;
    poise__v1__changed__init(&message);
    put_deltas(changed, lsns, times);
    message.lsn_delta = lsns;
    message.time_delta_ms = times;
    message.number = codec_borrow(changed->numbers);
    message.n_lsn_delta = message.n_time_delta_ms = message.n_number = changed->count;
    message.cursor =
        (ProtobufCBinaryData){.len = changed->cursor_length, .data = codec_borrow(changed->cursor)};
    message.whole = changed->whole;
    message.last = changed->last;
    message.done = changed->done;
    message.total = changed->total;
    return codec_put(out, &message.base);
}

poise_code wire_encode_changed(const struct wire_changed *changed, struct buf *out)
{
    uint64_t *lsns = malloc((changed->count + 1) * sizeof *lsns);
    int64_t *times = malloc((changed->count + 1) * sizeof *times);
    poise_code code = lsns && times ? POISE_OK : POISE_ENOMEM;
    if (code == POISE_OK) {
        Poise__V1__Changed head;
        poise__v1__changed__init(&head);
        head.id = changed->id;
        code = codec_put(out, &head.base);
    }
    for (size_t i = 0; code == POISE_OK && i < changed->count; i++) {
        code = codec_put_state(out, CHANGED_STATES, &changed->states[i]);
    }
    if (code == POISE_OK) {
        code = put_rest(changed, lsns, times, out);
    }
    free(lsns);
    free(times);
    return code;
}
