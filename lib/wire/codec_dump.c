/* DUMP, ROWS. The measurements of a page are a BATCH's body, so that they are checked as any. */
#include "codec.h"
#include <base/error.h>
#include <poise.pb-c.h>
#include <stdlib.h>

static const struct codec_kind dump_kind = {"DUMP", &poise__v1__dump__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind rows_kind = {"ROWS", &poise__v1__rows__descriptor, WIRE_TEXT_MAX};

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

poise_code wire_decode_dump(const void *body, size_t length, struct arena *arena, struct wire_dump *ret,
                            poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&dump_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Dump *message = unpacked;
    code = check(&dump_kind, message->id, message->cursor.len, err);
    if (code == POISE_OK) {
        *ret = (struct wire_dump){.id = message->id,
                                  .measure = message->measure,
                                  .org = message->org,
                                  .from_ms = message->from_ms,
                                  .to_ms = message->to_ms,
                                  .keyed = message->keyed,
                                  .cursor = message->cursor.data,
                                  .cursor_length = message->cursor.len};
    }
    return code;
}

poise_code wire_encode_dump(const struct wire_dump *dump, struct buf *out)
{
    Poise__V1__Dump message;
    poise__v1__dump__init(&message);
    message.id = dump->id;
    message.measure = codec_text(dump->measure);
    message.org = codec_text(dump->org);
    message.from_ms = dump->from_ms;
    message.to_ms = dump->to_ms;
    message.keyed = dump->keyed;
    message.cursor = (ProtobufCBinaryData){.len = dump->cursor_length, .data = codec_borrow(dump->cursor)};
    return codec_put(out, &message.base);
}

/* Differences to places, in place. */
static const uint64_t *undo_deltas(const Poise__V1__Rows *message)
{
    uint64_t *places = (uint64_t *)message->place_delta,
             place = 0; /* a type and its unsigned one may alias */
    for (size_t i = 0; i < message->n_place_delta; i++) {
        place += places[i];
        places[i] = place;
    }
    return places;
}

poise_code wire_decode_rows(const void *body, size_t length, struct arena *arena, struct wire_rows *ret,
                            poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&rows_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Rows *message = unpacked;
    struct wire_batch rows = {0};
    code = check(&rows_kind, message->id, message->cursor.len, err);
    if (code == POISE_OK && message->batch.len > 0) {
        code = wire_decode_batch(message->batch.data, message->batch.len, arena, &rows, err);
    }
    if (code == POISE_OK && rows.rows != message->n_place_delta) {
        code =
            error_set(err, POISE_EPROTO, "ROWS: %zu places for %zu rows", message->n_place_delta, rows.rows);
    }
    if (code == POISE_OK) {
        *ret = (struct wire_rows){.id = message->id,
                                  .rows = rows,
                                  .places = undo_deltas(message),
                                  .count = rows.rows,
                                  .cursor = message->cursor.data,
                                  .cursor_length = message->cursor.len,
                                  .done = message->done,
                                  .total = message->total,
                                  .dropped_ms = message->dropped_ms};
    }
    return code;
}

poise_code wire_encode_rows(const struct wire_rows *rows, struct buf *out)
{
    int64_t *deltas = malloc((rows->count + 1) * sizeof *deltas);
    uint64_t before = 0;
    if (!deltas) {
        return POISE_ENOMEM;
    }
    for (size_t i = 0; i < rows->count; i++) {
        deltas[i] = (int64_t)(rows->places[i] - before);
        before = rows->places[i];
    }
    Poise__V1__Rows message;
    poise__v1__rows__init(&message);
    message.id = rows->id;
    message.batch = (ProtobufCBinaryData){.len = rows->batch_length, .data = codec_borrow(rows->batch)};
    message.place_delta = deltas;
    message.n_place_delta = rows->count;
    message.cursor = (ProtobufCBinaryData){.len = rows->cursor_length, .data = codec_borrow(rows->cursor)};
    message.done = rows->done;
    message.total = rows->total;
    message.dropped_ms = rows->dropped_ms;
    poise_code code = codec_put(out, &message.base);
    free(deltas);
    return code;
}
