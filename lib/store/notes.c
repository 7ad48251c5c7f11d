#include "notes.h"
#include "bits.h"
#include <base/error.h>
#include <stdlib.h>

/* ---- to bytes ---- */

/* The columns of what went: numbers of one field each. */
enum { GONE_ROW, GONE_SERIES, GONE_TIME, GONE_ORDINAL, GONE_FIELDS };

static uint64_t field_of(const struct journal_gone *gone, int field)
{
    const uint64_t fields[GONE_FIELDS] = {gone->row, gone->series, (uint64_t)gone->time_ms, gone->ordinal};
    return fields[field];
}

static void put_column(struct buf *out, const uint64_t *values, size_t count)
{
    struct bits_plan plan = bits_plan(values, count);
    bits_put(out, values, count, &plan);
}

static void put_all(struct buf *out, const struct journal_notes *notes, uint64_t *column)
{
    buf_put_varint(out, notes->series_count);
    for (size_t i = 0; i < notes->series_count; i++) {
        column[i] = (uint32_t)(notes->series[i] + 1); /* 0: none */
    }
    if (notes->series_count > 0) {
        put_column(out, column, notes->series_count);
    }
    buf_put_varint(out, notes->gone_count);
    for (int field = 0; field < GONE_FIELDS && notes->gone_count > 0; field++) {
        for (size_t i = 0; i < notes->gone_count; i++) {
            column[i] = field_of(&notes->gone[i], field);
        }
        put_column(out, column, notes->gone_count);
    }
}

poise_code notes_encode(const struct journal_notes *notes, struct buf *out)
{
    size_t most = notes->series_count > notes->gone_count ? notes->series_count : notes->gone_count;
    uint64_t *column = calloc(most + 1, sizeof *column);
    if (!column) {
        return POISE_ENOMEM;
    }
    put_all(out, notes, column);
    free(column);
    return out->failed ? POISE_ENOMEM : POISE_OK;
}

/* ---- from bytes ---- */

/* Puts a number of a column into its item; false: it cannot be one of those. */
typedef bool take_value(void *items, size_t at, uint64_t value);

static bool take_column(struct cursor *in, size_t count, take_value *take, void *items)
{
    struct bits_reader reader;
    uint64_t values[BITS_BLOCK];
    size_t done = 0;
    bits_open(&reader, *in, count);
    for (size_t n; (n = bits_next(&reader, values)) > 0; done += n) {
        for (size_t i = 0; i < n; i++) {
            if (!take(items, done + i, values[i])) {
                return false;
            }
        }
    }
    *in = reader.in;
    return done == count && !in->failed;
}

static bool take_number(void *items, size_t at, uint64_t value)
{
    ((uint32_t *)items)[at] = (uint32_t)value - 1;
    return value <= UINT32_MAX;
}

static bool take_row(void *items, size_t at, uint64_t value)
{
    struct journal_gone *gone = items;
    gone[at].row = (uint32_t)value;
    return value <= UINT32_MAX && (at == 0 || value > gone[at - 1].row);
}

static bool take_series(void *items, size_t at, uint64_t value)
{
    ((struct journal_gone *)items)[at].series = (uint32_t)value;
    return value < JOURNAL_NO_SERIES;
}

static bool take_time(void *items, size_t at, uint64_t value)
{
    ((struct journal_gone *)items)[at].time_ms = (int64_t)value;
    return true;
}

static bool take_ordinal(void *items, size_t at, uint64_t value)
{
    ((struct journal_gone *)items)[at].ordinal = value;
    return value > 0;
}

static poise_code damaged(poise_error *err, const struct journal_batch *batch)
{
    return error_set(err, POISE_ECORRUPT, "the notes of batch %llu of '%s' in the journal cannot be read",
                     (unsigned long long)batch->seq, batch->producer);
}

/* How many numbers follow: a column of equal ones is of any length, but each series of the batch, and each
 * row, takes a byte of its body. */
static size_t take_count(struct cursor *in, size_t most)
{
    uint64_t count = cursor_varint(in);
    in->failed |= count > most;
    return in->failed ? 0 : (size_t)count;
}

poise_code notes_decode(const struct journal_batch *batch, struct arena *arena,
                        struct journal_notes *ret_notes, poise_error *err)
{
    static take_value *const takes[GONE_FIELDS] = {take_row, take_series, take_time, take_ordinal};
    struct cursor in = cursor_of(batch->notes, batch->notes_length);
    size_t series_count = take_count(&in, batch->body_length);
    uint32_t *series = arena_zalloc(arena, series_count, sizeof *series);
    if (!series) {
        return error_nomem(err, "the notes of a batch");
    }
    if (series_count > 0 && !take_column(&in, series_count, take_number, series)) {
        return damaged(err, batch);
    }
    size_t gone_count = take_count(&in, batch->rows < batch->body_length ? batch->rows : batch->body_length);
    struct journal_gone *gone = arena_zalloc(arena, gone_count, sizeof *gone);
    if (!gone) {
        return error_nomem(err, "the notes of a batch");
    }
    for (int field = 0; field < GONE_FIELDS && gone_count > 0; field++) {
        if (!take_column(&in, gone_count, takes[field], gone)) {
            return damaged(err, batch);
        }
    }
    if (in.failed || cursor_left(&in) != 0 || (gone_count > 0 && gone[gone_count - 1].row >= batch->rows)) {
        return damaged(err, batch);
    }
    *ret_notes = (struct journal_notes){series, series_count, gone, gone_count};
    return POISE_OK;
}
