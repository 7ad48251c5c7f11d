#include "record.h"
#include <base/error.h>
#include <base/hash.h>
#include <inttypes.h>
#include <string.h>

enum {
    FORMAT_BARE = 1, /* its batches have no notes */
    FORMAT = 2,
    FLAG_SETTLED = 1,
    FLAG_REVISED = 2,
    FLAG_TIME_LAST = 4,
    FLAG_MORE = 8,
    FLAG_ORDERS = 16,
    FLAGS = FLAG_SETTLED | FLAG_REVISED | FLAG_TIME_LAST | FLAG_MORE | FLAG_ORDERS,
    CRC_BYTES = 4,
    BATCH_FIXED = 38,    /* bytes of a batch before its producer */
    NOTES_LENGTH_MAX = 5 /* bytes of the length of its notes */
};

/* What the head says beyond what a journal_record shows. */
struct extent {
    uint32_t batch_count, body_crc;
    uint64_t batches_length, changes_length;
    unsigned format;
};

/* ---- to bytes ---- */

static poise_code check(const struct journal_record *record, poise_error *err)
{
    uint64_t size = (uint64_t)RECORD_HEAD + record->changes_length;
    for (size_t i = 0; i < record->batch_count && size <= RECORD_BYTES_MAX; i++) {
        const struct journal_batch *batch = &record->batches[i];
        size_t producer = strnlen(batch->producer, RECORD_PRODUCER_MAX + 1);
        if (producer > RECORD_PRODUCER_MAX) {
            return error_set(err, POISE_EINVAL, "the producer of batch %zu has more than %d bytes", i,
                             RECORD_PRODUCER_MAX);
        }
        if (batch->refused_count > RECORD_BYTES_MAX || batch->body_length > RECORD_BYTES_MAX ||
            batch->notes_length > RECORD_BYTES_MAX) {
            size = UINT64_MAX;
        } else {
            size += BATCH_FIXED + producer + 1 + 5 * batch->refused_count + batch->body_length +
                    NOTES_LENGTH_MAX + batch->notes_length;
        }
    }
    if (size > RECORD_BYTES_MAX) {
        return error_set(err, POISE_ELIMIT,
                         "a journal record of more than %d bytes: commit fewer batches at once",
                         RECORD_BYTES_MAX);
    }
    return POISE_OK;
}

static void put_batch(struct buf *out, const struct journal_batch *batch)
{
    size_t producer = strlen(batch->producer);
    buf_put_u64(out, batch->epoch);
    buf_put_u64(out, batch->seq);
    buf_put_u64(out, batch->hash);
    buf_put_u32(out, batch->rows);
    buf_put_u32(out, (uint32_t)batch->refused_count);
    buf_put_u32(out, (uint32_t)batch->body_length);
    buf_put_u16(out, (uint16_t)producer);
    buf_put(out, batch->producer, producer + 1);
    for (size_t i = 0; i < batch->refused_count; i++) {
        buf_put_u32(out, batch->refused[i]);
    }
    buf_put(out, batch->reasons, batch->refused_count);
    buf_put_text(out, batch->notes, batch->notes_length);
    buf_put(out, batch->body, batch->body_length);
}

static void put_head(struct buf *out, const struct journal_record *record, const struct extent *extent)
{
    buf_put_u8(out, FORMAT);
    buf_put_u8(out, (uint8_t)((record->settled ? FLAG_SETTLED : 0) | (record->revised ? FLAG_REVISED : 0) |
                              (record->time_last ? FLAG_TIME_LAST : 0) | (record->more ? FLAG_MORE : 0) |
                              (record->orders ? FLAG_ORDERS : 0)));
    buf_put_u16(out, 0);
    buf_put_u64(out, record->lsn);
    buf_put_u64(out, (uint64_t)record->as_of_ms);
    buf_put_u64(out, record->first_ordinal);
    buf_put_u64(out, (uint64_t)record->min_time_ms);
    buf_put_u64(out, (uint64_t)record->max_time_ms);
    buf_put_u32(out, extent->batch_count);
    buf_put_u32(out, extent->body_crc);
    buf_put_u64(out, extent->batches_length);
    buf_put_u64(out, extent->changes_length);
}

poise_code record_encode(const struct journal_record *record, struct buf *out, poise_error *err)
{
    poise_code code = check(record, err);
    if (code != POISE_OK) {
        return code;
    }
    buf_reset(out);
    if (!buf_reserve(out, RECORD_HEAD)) {
        return error_nomem(err, "a journal record");
    }
    out->length = RECORD_HEAD; /* filled in below, once the CRC is known */
    for (size_t i = 0; i < record->batch_count; i++) {
        put_batch(out, &record->batches[i]);
    }
    size_t batches_length = out->length - RECORD_HEAD;
    buf_put(out, record->changes, record->changes_length);
    if (out->failed) {
        return error_nomem(err, "a journal record");
    }
    struct extent extent = {.batch_count = (uint32_t)record->batch_count,
                            .body_crc = crc32c(out->data + RECORD_HEAD, out->length - RECORD_HEAD),
                            .batches_length = batches_length,
                            .changes_length = record->changes_length};
    /* The head's room as buffers of their own, which it fills exactly. */
    struct buf head = {.data = out->data + CRC_BYTES, .capacity = RECORD_HEAD - CRC_BYTES};
    struct buf crc = {.data = out->data, .capacity = CRC_BYTES};
    put_head(&head, record, &extent);
    buf_put_u32(&crc, crc32c(head.data, head.length));
    return POISE_OK;
}

/* ---- from bytes ---- */

static poise_code damaged(poise_error *err, uint64_t lsn, const char *what)
{
    return error_set(err, POISE_ECORRUPT, "journal record %" PRIu64 " is damaged: %s", lsn, what);
}

static poise_code read_head(const uint8_t *bytes, size_t length, uint64_t lsn, struct journal_record *head,
                            struct extent *extent, poise_error *err)
{
    if (length < RECORD_HEAD) {
        return damaged(err, lsn, "it is shorter than its head");
    }
    struct cursor in = cursor_of(bytes, RECORD_HEAD);
    if (cursor_u32(&in) != crc32c(bytes + CRC_BYTES, RECORD_HEAD - CRC_BYTES)) {
        return damaged(err, lsn, "the CRC of its head does not match");
    }
    unsigned format = cursor_u8(&in), flags = cursor_u8(&in);
    if (format < FORMAT_BARE || format > FORMAT || (flags & ~(unsigned)FLAGS) != 0 || cursor_u16(&in) != 0) {
        return error_set(err, POISE_EVERSION,
                         "journal record %" PRIu64
                         " has format %u, flags %u, which this version does not know",
                         lsn, format, flags);
    }
    *head = (struct journal_record){.settled = (flags & FLAG_SETTLED) != 0,
                                    .revised = (flags & FLAG_REVISED) != 0,
                                    .time_last = (flags & FLAG_TIME_LAST) != 0,
                                    .more = (flags & FLAG_MORE) != 0,

                                    .orders = (flags & FLAG_ORDERS) != 0};
    head->lsn = cursor_u64(&in);
    head->as_of_ms = (int64_t)cursor_u64(&in);
    head->first_ordinal = cursor_u64(&in);
    head->min_time_ms = (int64_t)cursor_u64(&in);
    head->max_time_ms = (int64_t)cursor_u64(&in);
    extent->format = format;
    extent->batch_count = cursor_u32(&in);
    extent->body_crc = cursor_u32(&in);
    extent->batches_length = cursor_u64(&in);
    extent->changes_length = cursor_u64(&in);
    head->changes_length = (size_t)extent->changes_length;
    size_t body = length - RECORD_HEAD;
    if (head->lsn != lsn) {
        return damaged(err, lsn, "another record stands in its place");
    }
    if (extent->batches_length > body || extent->changes_length != body - extent->batches_length ||
        extent->batch_count > extent->batches_length / BATCH_FIXED) {
        return damaged(err, lsn, "its lengths do not match");
    }
    return POISE_OK;
}

poise_code record_head(const void *bytes, size_t length, uint64_t lsn, struct journal_record *ret_head,
                       poise_error *err)
{
    struct extent extent;
    return read_head(bytes, length, lsn, ret_head, &extent, err);
}

static poise_code read_batch(struct cursor *in, unsigned format, uint64_t lsn, struct arena *arena,
                             struct journal_batch *batch, poise_error *err)
{
    *batch = (struct journal_batch){.epoch = cursor_u64(in), .seq = 0};
    batch->seq = cursor_u64(in);
    batch->hash = cursor_u64(in);
    batch->rows = cursor_u32(in);
    batch->refused_count = cursor_u32(in);
    batch->body_length = cursor_u32(in);
    size_t producer = cursor_u16(in);
    batch->producer = (const char *)cursor_bytes(in, producer + 1);
    if (!batch->producer || batch->producer[producer] != '\0' || batch->refused_count > cursor_left(in) / 5) {
        return damaged(err, lsn, "its batches do not match their lengths");
    }
    uint32_t *refused = arena_alloc(arena, batch->refused_count * sizeof *refused);
    if (!refused) {
        return error_nomem(err, "a journal record");
    }
    for (size_t i = 0; i < batch->refused_count; i++) {
        refused[i] = cursor_u32(in);
    }
    batch->refused = refused;
    batch->reasons = cursor_bytes(in, batch->refused_count);
    if (format > FORMAT_BARE) {
        batch->notes = cursor_text(in, &batch->notes_length);
    }
    batch->body = cursor_bytes(in, batch->body_length);
    return in->failed ? damaged(err, lsn, "its batches do not match their lengths") : POISE_OK;
}

poise_code record_decode(const void *bytes, size_t length, uint64_t lsn, struct arena *arena,
                         struct journal_record *ret_record, poise_error *err)
{
    struct journal_record record;
    struct extent extent;
    poise_code code = read_head(bytes, length, lsn, &record, &extent, err);
    if (code != POISE_OK) {
        return code;
    }
    const uint8_t *body = (const uint8_t *)bytes + RECORD_HEAD;
    if (crc32c(body, length - RECORD_HEAD) != extent.body_crc) {
        return damaged(err, lsn, "the CRC of its body does not match");
    }
    struct journal_batch *batches = arena_zalloc(arena, extent.batch_count, sizeof *batches);
    if (!batches) {
        return error_nomem(err, "a journal record");
    }
    struct cursor in = cursor_of(body, (size_t)extent.batches_length);
    for (uint32_t i = 0; i < extent.batch_count; i++) {
        code = read_batch(&in, extent.format, lsn, arena, &batches[i], err);
        if (code != POISE_OK) {
            return code;
        }
    }
    if (cursor_left(&in) != 0) {
        return damaged(err, lsn, "bytes are left after its batches");
    }
    record.batches = batches;
    record.batch_count = extent.batch_count;
    record.changes = body + extent.batches_length;
    record.changes_length = (size_t)extent.changes_length;
    *ret_record = record;
    return POISE_OK;
}
