#include "merge.h"
#include "block_inner.h"
#include "row_buf.h"
#include "run_cursor.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdlib.h>

enum { VIEW_MIN = 16 }; /* rows that are shown where they are; fewer are collected */

struct merge {
    struct merge_range range;
    struct run_cursor *runs;
    size_t count;
    bool in_series;
    uint64_t series;
    bool heads;              /* may stand for chunks of the series */
    struct row_buf batch[2]; /* by block_kind; one of them has rows at most */
};

struct merge *merge_open(const struct merge_run *runs, size_t count, const struct merge_range *range)
{
    struct merge *merge = calloc(1, sizeof *merge);
    if (!merge) {
        return NULL;
    }
    merge->range = *range;
    merge->runs = calloc(count + 1, sizeof *merge->runs);
    bool made = merge->runs && row_buf_make(&merge->batch[BLOCK_ROWS], CHUNK_PART) &&
                row_buf_make(&merge->batch[BLOCK_MARKS], CHUNK_PART);
    for (size_t i = 0; made && i < count; i++) {
        made = run_cursor_open(&merge->runs[i], &runs[i], &merge->range);
        merge->count += made;
    }
    if (!made) {
        merge_close(merge);
        return NULL;
    }
    return merge;
}

void merge_close(struct merge *merge)
{
    if (merge) {
        for (size_t i = 0; i < merge->count; i++) {
            run_cursor_close(&merge->runs[i]);
        }
        free(merge->runs);
        row_buf_free(&merge->batch[BLOCK_ROWS]);
        row_buf_free(&merge->batch[BLOCK_MARKS]);
        free(merge);
    }
}

/* ---- series ---- */

/* Goes to the least series that a run has next, if there is one. */
static poise_code begin_series(struct merge *merge, poise_error *err)
{
    for (size_t i = 0; i < merge->count; i++) {
        uint64_t series;
        bool more;
        poise_code code = run_cursor_series(&merge->runs[i], &series, &more, err);
        if (code != POISE_OK) {
            return code;
        }
        if (more && (!merge->in_series || series < merge->series)) {
            merge->series = series;
            merge->in_series = true;
        }
    }
    merge->heads = merge->range.heads && merge->in_series;
    for (size_t i = 0; i < merge->count && merge->heads; i++) {
        merge->heads = !run_cursor_may_mark(&merge->runs[i], merge->series);
    }
    return POISE_OK;
}

static bool head_will_do(const struct merge *merge, const struct run_cursor *run)
{
    const struct chunk_head *head = &run->head;
    const struct merge_range *range = &merge->range;
    return merge->heads && run->run.heads && head->summed && !head->has_of &&
           head->min_time_ms >= range->from_ms && head->max_time_ms <= range->until_ms && !range->is_after &&
           (!range->will_do || range->will_do(range->chooser, merge->series, head));
}

/* Has the next rows and marks of all runs at hand; or *ret_head is a run whose head will do instead. */
static poise_code settle(struct merge *merge, struct run_cursor **ret_head, poise_error *err)
{
    for (size_t i = 0; i < merge->count; i++) {
        struct run_cursor *run = &merge->runs[i];
        poise_code code = run_cursor_settle(run, merge->series, err);
        while (code == POISE_OK && run->is_fresh) {
            if (head_will_do(merge, run)) {
                *ret_head = run;
                return POISE_OK;
            }
            code = run_cursor_unwrap(run, merge->series, err);
            if (code == POISE_OK) {
                code = run_cursor_settle(run, merge->series, err);
            }
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

/* ---- rows ---- */

struct front { /* what comes next, and what comes behind that in another run or kind */
    struct rows_ahead *first;
    enum block_kind kind; /* BLOCK_MARKS: no row is there */
    bool is_shared;       /* others have the same place, and are to be folded */
    const struct rows_ahead *second;
};

static int64_t time_of(const struct rows_ahead *ahead)
{
    return ahead->part.time_ms[ahead->at];
}

static uint64_t place_of(const struct rows_ahead *ahead)
{
    return ahead->part.ordinal[ahead->at];
}

static bool is_before(const struct rows_ahead *a, const struct rows_ahead *b)
{
    return block_is_before(time_of(a), place_of(a), time_of(b), place_of(b));
}

static void look_at(struct front *front, struct rows_ahead *ahead, enum block_kind kind)
{
    if (!rows_ahead_has(ahead)) {
        return;
    }
    if (!front->first || is_before(ahead, front->first)) {
        *front = (struct front){.first = ahead, .kind = kind, .second = front->first};
    } else if (!is_before(front->first, ahead)) {
        front->is_shared = true;
        front->kind = kind == BLOCK_ROWS ? kind : front->kind;
    } else if (!front->second || is_before(ahead, front->second)) {
        front->second = ahead;
    }
}

static struct front find_front(struct merge *merge)
{
    struct front front = {0};
    for (size_t i = 0; i < merge->count; i++) {
        look_at(&front, &merge->runs[i].ahead[BLOCK_ROWS], BLOCK_ROWS);
        look_at(&front, &merge->runs[i].ahead[BLOCK_MARKS], BLOCK_MARKS);
    }
    return front;
}

/* How many of the rows at hand come before the second. */
static size_t count_before(const struct front *front)
{
    const struct rows_ahead *first = front->first;
    const struct chunk_rows *part = &first->part;
    if (!front->second) {
        return part->count - first->at;
    }
    int64_t time_ms = time_of(front->second);
    uint64_t place = place_of(front->second);
    size_t end = part->count;
    if (block_is_before(part->time_ms[end - 1], part->ordinal[end - 1], time_ms, place)) {
        return end - first->at;
    }
    end = first->at + 1;
    while (block_is_before(part->time_ms[end], part->ordinal[end], time_ms, place)) {
        end++;
    }
    return end - first->at;
}

static poise_code collect(struct row_buf *batch, struct rows_ahead *ahead, size_t count, poise_error *err)
{
    size_t room = batch->capacity - batch->count;
    count = count < room ? count : room;
    if (!row_buf_add(batch, &ahead->part, ahead->at, count)) {
        return error_nomem(err, "rows of a merge");
    }
    ahead->at += count;
    return POISE_OK;
}

/* All that say something of one row: the row itself, and what took it away. */
static poise_code collect_folded(struct merge *merge, int64_t time_ms, uint64_t place, poise_error *err)
{
    uint64_t gone = 0;
    struct rows_ahead *row = NULL, *mark = NULL;
    for (size_t i = 0; i < merge->count; i++) {
        struct rows_ahead *rows = &merge->runs[i].ahead[BLOCK_ROWS],
                          *marks = &merge->runs[i].ahead[BLOCK_MARKS];
        if (rows_ahead_has(rows) && time_of(rows) == time_ms && place_of(rows) == place) {
            if (row) {
                return error_set(err, POISE_ECORRUPT,
                                 "series %" PRIu64 ": the row at place %" PRIu64 " is in two runs",
                                 merge->series, place);
            }
            row = rows;
        }
        while (rows_ahead_has(marks) && time_of(marks) == time_ms && place_of(marks) == place) {
            gone = block_earlier(gone, marks->part.gone[marks->at]);
            mark = marks;
            marks->at++;
        }
    }
    struct row_buf *batch = &merge->batch[row ? BLOCK_ROWS : BLOCK_MARKS];
    poise_code code = POISE_OK;
    if (row) {
        code = collect(batch, row, 1, err);
    } else if (merge->range.keep_marks) {
        mark->at--;
        code = collect(batch, mark, 1, err);
    } else {
        return POISE_OK;
    }
    if (code == POISE_OK && gone != 0) {
        batch->has_gone = true;
        batch->gone[batch->count - 1] = block_earlier(batch->gone[batch->count - 1], gone);
    }
    return code;
}

static bool has_rows(const struct merge *merge)
{
    return merge->batch[BLOCK_ROWS].count + merge->batch[BLOCK_MARKS].count > 0;
}

static void give_batch(struct merge *merge, struct merge_item *item)
{
    enum block_kind kind = merge->batch[BLOCK_ROWS].count > 0 ? BLOCK_ROWS : BLOCK_MARKS;
    struct row_buf *batch = &merge->batch[kind];
    item->kind = kind == BLOCK_ROWS ? MERGE_ROWS : MERGE_MARKS;
    item->rows = row_buf_rows(batch, 0, batch->count);
}

/* Whether what comes next can be put behind what was collected. */
static bool goes_with(struct merge *merge, const struct front *front)
{
    struct row_buf *rows = &merge->batch[BLOCK_ROWS], *marks = &merge->batch[BLOCK_MARKS];
    const struct row_buf *others = front->kind == BLOCK_MARKS ? rows : marks;
    return rows->count < rows->capacity && marks->count < marks->capacity && others->count == 0;
}

/* Collects rows of the series, or shows some where they are; *ret_done: there is an item, or no more. */
static poise_code step(struct merge *merge, struct merge_item *item, bool *ret_done, poise_error *err)
{
    struct run_cursor *head = NULL;
    poise_code code = settle(merge, &head, err);
    if (code != POISE_OK) {
        return code;
    }
    if (head && !has_rows(merge)) {
        item->kind = MERGE_HEAD;
        item->head = head->head;
        if (merge->range.effort) {
            merge->range.effort->heads++;
        }
        head->is_fresh = head->ahead[BLOCK_ROWS].open = false;
        *ret_done = true;
        return POISE_OK;
    }
    struct front front = head ? (struct front){0} : find_front(merge);
    if (!front.first || (has_rows(merge) && !goes_with(merge, &front))) {
        merge->in_series = front.first || head;
        *ret_done = has_rows(merge);
        if (*ret_done) {
            give_batch(merge, item);
        }
        return POISE_OK;
    }
    if (front.is_shared || front.kind == BLOCK_MARKS) {
        return collect_folded(merge, time_of(front.first), place_of(front.first), err);
    }
    size_t count = count_before(&front);
    if (!has_rows(merge) && count >= VIEW_MIN) {
        item->kind = MERGE_ROWS;
        item->rows = rows_slice(&front.first->part, front.first->at, count);
        front.first->at += count;
        *ret_done = true;
        return POISE_OK;
    }
    return collect(&merge->batch[BLOCK_ROWS], front.first, count, err);
}

poise_code merge_next(struct merge *merge, struct merge_item *ret_item, poise_error *err)
{
    struct merge_item item = {0};
    bool done = false;
    poise_code code = POISE_OK;
    merge->batch[BLOCK_ROWS].count = merge->batch[BLOCK_MARKS].count = 0;
    merge->batch[BLOCK_ROWS].texts.length = merge->batch[BLOCK_MARKS].texts.length = 0;
    while (code == POISE_OK && !done) {
        if (!merge->in_series) {
            code = begin_series(merge, err);
            if (code != POISE_OK || !merge->in_series) {
                break; /* kind: MERGE_END */
            }
        }
        item.series = merge->series;
        code = step(merge, &item, &done, err);
    }
    if (code == POISE_OK) {
        *ret_item = item;
    }
    return code;
}

poise_code merge_give(const struct merge_item *item, struct block_place place, struct block_builder *builder,
                      poise_error *err)
{
    place.series = item->series;
    return item->kind == MERGE_MARKS ? block_builder_add_marks(builder, &place, &item->rows, err)
                                     : block_builder_add(builder, &place, &item->rows, err);
}

poise_code merge_build(struct merge *merge, struct block_place place, struct block_builder *builder,
                       poise_error *err)
{
    for (;;) {
        struct merge_item item;
        poise_code code = merge_next(merge, &item, err);
        if (code == POISE_OK && item.kind != MERGE_END) {
            code = merge_give(&item, place, builder, err);
        }
        if (code != POISE_OK || item.kind == MERGE_END) {
            return code;
        }
    }
}
