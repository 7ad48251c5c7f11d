#include "run_cursor.h"
#include "block_inner.h"
#include <base/error.h>
#include <inttypes.h>

bool run_cursor_open(struct run_cursor *cursor, const struct merge_run *run, const struct merge_range *range)
{
    *cursor = (struct run_cursor){.run = *run, .range = range};
    cursor->ahead[BLOCK_ROWS].reader = chunk_reader_open();
    return cursor->ahead[BLOCK_ROWS].reader;
}

void run_cursor_close(struct run_cursor *cursor)
{
    chunk_reader_close(cursor->ahead[BLOCK_ROWS].reader);
    chunk_reader_close(cursor->ahead[BLOCK_MARKS].reader);
}

/* ---- chunks ---- */

/* Whether the next chunk is of a series that is wanted; the run has ended where none is from there on. */
static void look_at_next(struct run_cursor *cursor)
{
    const struct merge_range *range = cursor->range;
    uint64_t series = cursor->next.series, wanted = series;
    if (series < range->from_series) {
        wanted = range->from_series;
    } else if (range->choose) {
        wanted = range->choose(range->chooser, series);
    }
    cursor->ended = wanted > range->until_series || (wanted == UINT64_MAX && wanted != series);
    cursor->has_next = !cursor->ended && wanted == series;
    cursor->wanted = wanted;
}

/* Finds the next chunk in the range. */
static poise_code find_next(struct run_cursor *cursor, poise_error *err)
{
    while (!cursor->has_next && !cursor->ended) {
        if (cursor->has_block && block_next(&cursor->block, &cursor->next)) {
            if (!cursor->next.bytes) {
                return error_set(err, POISE_ECORRUPT, "a block is damaged: its directory cannot be read");
            }
            look_at_next(cursor);
            continue;
        }
        bool more = false;
        if (cursor->run.skip && cursor->has_block && cursor->wanted > cursor->next.series) {
            cursor->run.skip(cursor->run.run, cursor->wanted);
        }
        poise_code code = cursor->run.next(cursor->run.run, &cursor->block, &more, err);
        if (code != POISE_OK) {
            return code;
        }
        cursor->has_block = more;
        if (more && cursor->range->effort) {
            cursor->range->effort->blocks++;
        }
        cursor->ended = !more;
    }
    return POISE_OK;
}

poise_code run_cursor_series(struct run_cursor *cursor, uint64_t *ret_series, bool *ret_more,
                             poise_error *err)
{
    poise_code code = find_next(cursor, err);
    if (code == POISE_OK) {
        *ret_more = cursor->has_next;
        *ret_series = cursor->next.series;
    }
    return code;
}

static bool is_next(const struct run_cursor *cursor, uint64_t series, enum block_kind kind)
{
    return cursor->has_next && cursor->next.series == series && cursor->next.kind == kind;
}

/* Whether (time, place) is behind where the merge begins. */
static bool is_passed(const struct merge_range *range, uint64_t series, int64_t time_ms, uint64_t place)
{
    return range->is_after && series == range->from_series &&
           !block_is_before(range->after_ms, range->after_place, time_ms, place);
}

/* Begins the next chunk, which is of that kind, unless it lies outside the range. */
static poise_code begin_next(struct run_cursor *cursor, enum block_kind kind, poise_error *err)
{
    const struct merge_range *range = cursor->range;
    struct rows_ahead *ahead = &cursor->ahead[kind];
    struct chunk_head head;
    if (!ahead->reader && !(ahead->reader = chunk_reader_open())) {
        return error_nomem(err, "a reader of marks");
    }
    poise_code code =
        chunk_reader_begin_bare(ahead->reader, cursor->next.bytes, cursor->next.length, &head, err);
    if (code != POISE_OK) {
        return error_wrap(err, "series %" PRIu64, cursor->next.series);
    }
    cursor->has_next = false;
    ahead->part.count = ahead->at = 0;
    ahead->open = head.max_time_ms >= range->from_ms && head.min_time_ms <= range->until_ms &&
                  !is_passed(range, cursor->next.series, head.max_time_ms, UINT64_MAX);
    if (kind == BLOCK_ROWS) {
        cursor->head = head;
        cursor->is_fresh = ahead->open;
    }
    return POISE_OK;
}

/* ---- rows ---- */

/* Leaves of the part what is in the range. */
static void trim(const struct merge_range *range, uint64_t series, struct rows_ahead *ahead)
{
    struct chunk_rows *part = &ahead->part;
    while (ahead->at < part->count &&
           (part->time_ms[ahead->at] < range->from_ms ||
            is_passed(range, series, part->time_ms[ahead->at], part->ordinal[ahead->at]))) {
        ahead->at++;
    }
    while (ahead->at < part->count && part->time_ms[part->count - 1] > range->until_ms) {
        part->count--;
    }
}

/* The next rows in the range, if the chunk that is open has any. */
static poise_code fill(struct run_cursor *cursor, enum block_kind kind, uint64_t series, poise_error *err)
{
    struct rows_ahead *ahead = &cursor->ahead[kind];
    while (ahead->open && !rows_ahead_has(ahead)) {
        poise_code code = chunk_reader_next(ahead->reader, &ahead->part, err);
        if (code != POISE_OK) {
            return error_wrap(err, "series %" PRIu64, series);
        }
        ahead->at = 0;
        ahead->open = ahead->part.count > 0;
        trim(cursor->range, series, ahead);
        if (kind == BLOCK_MARKS && rows_ahead_has(ahead) && !ahead->part.gone) {
            return error_set(err, POISE_ECORRUPT, "series %" PRIu64 ": a block is damaged: marks of nothing",
                             series);
        }
    }
    return POISE_OK;
}

static bool has_rows(const struct run_cursor *cursor)
{
    return cursor->is_fresh || rows_ahead_has(&cursor->ahead[BLOCK_ROWS]);
}

poise_code run_cursor_settle(struct run_cursor *cursor, uint64_t series, poise_error *err)
{
    struct rows_ahead *marks = &cursor->ahead[BLOCK_MARKS];
    poise_code code = POISE_OK;
    for (;;) {
        if (!cursor->is_fresh) {
            code = fill(cursor, BLOCK_ROWS, series, err);
        }
        if (code == POISE_OK) {
            code = fill(cursor, BLOCK_MARKS, series, err);
        }
        if (code == POISE_OK && !rows_ahead_has(marks)) {
            code = find_next(cursor, err);
        }
        if (code != POISE_OK || rows_ahead_has(marks)) {
            return code;
        }
        if (is_next(cursor, series, BLOCK_MARKS)) {
            code = begin_next(cursor, BLOCK_MARKS, err);
        } else if (!has_rows(cursor) && is_next(cursor, series, BLOCK_ROWS)) {
            code = begin_next(cursor, BLOCK_ROWS, err);
        } else {
            return POISE_OK;
        }
        if (code != POISE_OK) {
            return code;
        }
    }
}

poise_code run_cursor_unwrap(struct run_cursor *cursor, uint64_t series, poise_error *err)
{
    cursor->is_fresh = false;
    if (cursor->range->effort) {
        cursor->range->effort->chunks++;
    }
    return fill(cursor, BLOCK_ROWS, series, err);
}

bool run_cursor_may_mark(const struct run_cursor *cursor, uint64_t series)
{
    if (cursor->run.no_marks || !cursor->has_next || cursor->next.series != series) {
        return false;
    }
    struct block_reader ahead = cursor->block;
    struct block_chunk chunk = cursor->next;
    do {
        if (chunk.series != series) {
            return false;
        }
        if (chunk.kind == BLOCK_MARKS) {
            return true;
        }
    } while (block_next(&ahead, &chunk));
    return true; /* the next block may go on with it */
}
