#include "chunk_inner.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

/* ---- what may be written ---- */

static bool has_nan(const double *values, size_t count)
{
    bool nan = false;
    for (size_t i = 0; i < count; i++) {
        nan |= values[i] != values[i];
    }
    return nan;
}

static poise_code check_keys(const struct chunk_rows *rows, poise_error *err)
{
    for (size_t i = 0; rows->key && i < rows->count; i++) {
        if (rows->key[i].text && rows->key[i].length > POISE_KEY_MAX) {
            return error_set(err, POISE_EINVAL, "the key of row %zu of a chunk has more than %d bytes", i,
                             POISE_KEY_MAX);
        }
    }
    return POISE_OK;
}

static poise_code check(const struct chunk_rows *rows, poise_error *err)
{
    if (rows->count == 0) {
        return error_set(err, POISE_EINVAL, "a chunk of no rows");
    }
    if (rows->count > CHUNK_ROWS_MAX) {
        return error_set(err, POISE_ELIMIT, "a chunk of %zu rows, more than %d", rows->count, CHUNK_ROWS_MAX);
    }
    for (size_t i = 1; i < rows->count; i++) {
        if (rows->time_ms[i] < rows->time_ms[i - 1]) {
            return error_set(err, POISE_EINVAL, "the times of a chunk fall at row %zu", i);
        }
    }
    if (has_nan(rows->value, rows->count) || (rows->of && has_nan(rows->of, rows->count))) {
        return error_set(err, POISE_EINVAL, "a chunk with a value that is not a number");
    }
    return check_keys(rows, err);
}

/* ---- columns that some rows make worth while ---- */

static bool has_other(const double *values, size_t count, double than)
{
    bool other = false;
    for (size_t i = 0; values && i < count; i++) {
        other |= values[i] != than;
    }
    return other;
}

static bool has_some(const uint64_t *values, size_t count)
{
    uint64_t any = 0;
    for (size_t i = 0; values && i < count; i++) {
        any |= values[i];
    }
    return any;
}

static bool has_key(const struct chunk_key *keys, size_t count)
{
    bool any = false;
    for (size_t i = 0; keys && i < count && !any; i++) {
        any = keys[i].text;
    }
    return any;
}

static bool has_mark(const bool *marks, size_t count)
{
    return marks && memchr(marks, true, count);
}

static unsigned flags_of(const struct chunk_rows *rows)
{
    return (has_other(rows->of, rows->count, 1) ? CHUNK_HAS_OF : 0U) |
           (has_some(rows->seq, rows->count) ? CHUNK_HAS_SEQ : 0U) |
           (has_key(rows->key, rows->count) ? CHUNK_HAS_KEYS : 0U) |
           (has_some(rows->gone, rows->count) ? CHUNK_HAS_GONE : 0U) |
           (has_mark(rows->retract, rows->count) ? CHUNK_HAS_RETRACT : 0U);
}

static void put_wholes(struct buf *out, const uint64_t *values, size_t count)
{
    struct bits_plan plan = bits_plan(values, count);
    bits_put(out, values, count, &plan);
}

/* From the chunk's first time on. */
static void put_times(struct buf *out, const struct chunk_rows *rows)
{
    uint64_t *since = malloc(rows->count * sizeof *since);
    if (!since) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < rows->count; i++) {
        since[i] = (uint64_t)rows->time_ms[i] - (uint64_t)rows->time_ms[0];
    }
    put_wholes(out, since, rows->count);
    free(since);
}

/* What was put behind `from` gets its length before it. */
static void put_length(struct buf *out, size_t from)
{
    uint8_t bytes[10];
    struct buf length = {.data = bytes, .capacity = sizeof bytes};
    if (!out->failed && buf_reserve(out, sizeof bytes)) {
        buf_put_varint(&length, out->length - from);
        memmove(out->data + from + length.length, out->data + from, out->length - from);
        memcpy(out->data + from, bytes, length.length);
        out->length += length.length;
    }
}

static void put_columns(struct buf *out, const struct chunk_rows *rows, unsigned flags)
{
    size_t from = out->length;
    put_times(out, rows);
    put_length(out, from);
    from = out->length;
    reals_put(out, rows->value, rows->count);
    put_length(out, from);
    from = out->length;
    put_wholes(out, rows->ordinal, rows->count);
    put_length(out, from);
    if (flags & CHUNK_HAS_OF) {
        from = out->length;
        reals_put(out, rows->of, rows->count);
        put_length(out, from);
    }
    if (flags & CHUNK_HAS_SEQ) {
        from = out->length;
        put_wholes(out, rows->seq, rows->count);
        put_length(out, from);
    }
    if (flags & CHUNK_HAS_KEYS) {
        from = out->length;
        keys_put(out, rows->key, rows->count);
        put_length(out, from);
    }
    if (flags & CHUNK_HAS_GONE) {
        from = out->length;
        sparse_put(out, rows->gone, rows->ordinal, rows->count);
        put_length(out, from);
    }
    if (flags & CHUNK_HAS_RETRACT) {
        from = out->length;
        sparse_put_marks(out, rows->retract, rows->count);
        put_length(out, from);
    }
}

poise_code chunk_encode_bare(const struct chunk_rows *rows, struct buf *out, poise_error *err)
{
    poise_code code = check(rows, err);
    if (code != POISE_OK) {
        return code;
    }
    size_t start = out->length;
    unsigned flags = flags_of(rows);
    struct chunk_head head = chunk_head_of(rows, flags);
    chunk_head_put(out, &head, flags);
    put_columns(out, rows, flags);
    if (out->failed) {
        out->length = start;
        out->failed = false;
        return error_nomem(err, "a chunk");
    }
    return POISE_OK;
}

poise_code chunk_encode(uint64_t series, const struct chunk_rows *rows, struct buf *out, poise_error *err)
{
    size_t start = out->length, body = start + CHUNK_CRC;
    buf_put_u32(out, 0); /* once it is known */
    poise_code code = chunk_encode_bare(rows, out, err);
    if (code != POISE_OK) {
        out->length = out->length < start ? out->length : start;
        out->failed = false;
        return code;
    }
    struct buf crc = {.data = out->data + start, .capacity = CHUNK_CRC};
    buf_put_u32(&crc, chunk_crc(series, out->data + body, out->length - body));
    return POISE_OK;
}
