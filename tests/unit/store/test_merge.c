/* Merges against plain arrays: whatever is merged with what first, the same rows come, and the same bytes. */
#include "plain.h"
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 12 };

static const struct merge_range all_of_it = {
    .until_series = UINT64_MAX, .from_ms = INT64_MIN, .until_ms = INT64_MAX};

static struct merge *open_all(const struct blocks *runs, struct blocks_at *at, size_t count,
                              const struct merge_range *range)
{
    struct merge_run sources[RUNS_MAX];
    for (size_t i = 0; i < count; i++) {
        const struct block_stats *stats = runs[i].count ? &runs[i].all[runs[i].count - 1].block.stats : NULL;
        at[i] = (struct blocks_at){.blocks = &runs[i]};
        sources[i] = (struct merge_run){
            .next = blocks_next, .run = &at[i], .heads = true, .no_marks = !stats || stats->marks == 0};
    }
    struct merge *merge = merge_open(sources, count, range);
    assert_non_null(merge);
    return merge;
}

static struct merge_item next(struct merge *merge)
{
    struct merge_item item;
    poise_error err = {0};
    if (merge_next(merge, &item, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return item;
}

/* Cuts the rows into runs. */
static size_t make_runs(const struct plain *plain, struct blocks *runs, uint64_t *random)
{
    size_t count = (size_t)test_between(random, 1, RUNS_MAX);
    uint64_t from = 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t until = i + 1 == count
                             ? plain->count
                             : (uint64_t)test_between(random, (int64_t)from - 1, (int64_t)plain->count);
        blocks_build(&runs[i], plain, from, until, block_run(i + 1, 0), random);
        from = until + 1;
    }
    return count;
}

static void free_runs(struct blocks *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        blocks_free(&runs[i]);
    }
}

static void check_rows(const struct blocks *runs, size_t count, const struct plain_row *rows,
                       size_t row_count)
{
    struct blocks_at at[RUNS_MAX];
    struct came came = {0};
    struct merge *merge = open_all(runs, at, count, &all_of_it);
    for (struct merge_item item = next(merge); item.kind != MERGE_END; item = next(merge)) {
        assert_int_equal(item.kind, MERGE_ROWS);
        came_add(&came, rows->bucket, rows->input, item.series, &item.rows, false);
    }
    merge_close(merge);
    came_check(&came, rows, row_count);
    came_free(&came);
}

/* Merges some of the runs into one. */
static size_t merge_some(struct blocks *runs, size_t count, uint64_t into, uint64_t *random)
{
    struct blocks chosen[RUNS_MAX], rest[RUNS_MAX], merged = {0};
    struct blocks_at at[RUNS_MAX];
    size_t chosen_count = 0, rest_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (into != 0 || test_between(random, 0, 1)) {
            chosen[chosen_count++] = runs[i];
        } else {
            rest[rest_count++] = runs[i];
        }
    }
    struct merge_range range = all_of_it;
    range.keep_marks = true;
    struct merge *merge = open_all(chosen, at, chosen_count, &range);
    struct block_builder *builder = block_builder_open(into ? into : 99, blocks_take, &merged);
    assert_non_null(builder);
    poise_error err = {0};
    if (merge_build(merge, (struct block_place){.bucket = -1, .input = 1}, builder, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(block_builder_end(builder, NULL), POISE_OK);
    block_builder_close(builder);
    merge_close(merge);
    free_runs(chosen, chosen_count);
    memcpy(runs, rest, rest_count * sizeof *runs);
    runs[rest_count] = merged; /* and so the order of runs does not matter either */
    return rest_count + 1;
}

static void check_same(const struct blocks *a, const struct blocks *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->all[i].block.length, b->all[i].block.length);
        assert_memory_equal(a->all[i].bytes, b->all[i].bytes, a->all[i].block.length);
    }
}

static void test_any_order(void **state)
{
    (void)state;
    static const struct plain_shape shapes[] = {
        {.rows = 3000, .buckets = 1, .inputs = 1, .series = 300, .corrected = 200},
        {.rows = 20000, .buckets = 1, .inputs = 1, .series = 3, .corrected = 100},
        {.rows = 50000, .buckets = 1, .inputs = 1, .series = 1, .corrected = 600},
        {.rows = 100, .buckets = 1, .inputs = 1, .series = 4, .corrected = 700},
        {.rows = 5000, .buckets = 1, .inputs = 1, .series = 2500, .corrected = 0},
    };
    uint64_t random = 21;
    for (int round = 0; round < 60; round++) {
        struct plain plain;
        struct blocks runs[RUNS_MAX] = {0}, other[RUNS_MAX] = {0};
        struct plain_row *rows;
        plain_make(&plain, &shapes[(size_t)round % (sizeof shapes / sizeof *shapes)], &random);
        size_t row_count = plain_known(&plain, 1, plain.count, &rows);
        size_t count = make_runs(&plain, runs, &random), other_count = make_runs(&plain, other, &random);
        check_rows(runs, count, rows, row_count);
        for (int64_t merges = test_between(&random, 0, 3); merges > 0; merges--) {
            count = merge_some(runs, count, 0, &random);
            check_rows(runs, count, rows, row_count);
        }
        count = merge_some(runs, count, block_run(7, 7), &random);
        other_count = merge_some(other, other_count, block_run(7, 7), &random);
        assert_true(count == 1 && other_count == 1);
        check_rows(runs, 1, rows, row_count);
        check_same(&runs[0], &other[0]);
        assert_int_equal(runs[0].all[runs[0].count - 1].block.stats.marks, 0); /* all found their rows */
        free_runs(runs, 1);
        free_runs(other, 1);
        free(rows);
        plain_free(&plain);
    }
}

/* ---- ranges ---- */

static bool is_in(const struct plain_row *row, const struct merge_range *range)
{
    bool is_behind = !range->is_after || row->series != range->from_series ||
                     row->time_ms > range->after_ms ||
                     (row->time_ms == range->after_ms && row->place > range->after_place);
    return row->series >= range->from_series && row->series <= range->until_series &&
           row->time_ms >= range->from_ms && row->time_ms <= range->until_ms && is_behind;
}

static struct merge_range any_range(const struct plain_row *rows, size_t count, uint64_t *random)
{
    const struct plain_row *a = &rows[test_random(random) % count], *b = &rows[test_random(random) % count];
    struct merge_range range = all_of_it;
    if (test_between(random, 0, 1)) {
        range.from_ms = a->time_ms < b->time_ms ? a->time_ms : b->time_ms;
        range.until_ms = a->time_ms < b->time_ms ? b->time_ms : a->time_ms;
    }
    if (test_between(random, 0, 1)) {
        range.from_series = a->series;
        range.until_series = test_between(random, 0, 1) ? a->series : UINT64_MAX;
    }
    if (range.from_series == a->series && test_between(random, 0, 1)) {
        range.is_after = true;
        range.after_ms = a->time_ms;
        range.after_place = a->place;
    }
    return range;
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct plain_shape shapes[] = {
        {.rows = 20000, .buckets = 1, .inputs = 1, .series = 30, .corrected = 100},
        {.rows = 30000, .buckets = 1, .inputs = 1, .series = 2, .corrected = 300},
    };
    uint64_t random = 22;
    for (int round = 0; round < 10; round++) {
        struct plain plain;
        struct blocks runs[RUNS_MAX] = {0};
        struct blocks_at at[RUNS_MAX];
        struct plain_row *rows;
        plain_make(&plain, &shapes[round % 2], &random);
        size_t row_count = plain_known(&plain, 1, plain.count, &rows);
        size_t count = make_runs(&plain, runs, &random);
        struct plain_row *wanted = malloc(row_count * sizeof *wanted);
        assert_non_null(wanted);
        for (int query = 0; query < 30; query++) {
            struct merge_range range = any_range(rows, row_count, &random);
            struct came came = {0};
            size_t wanted_count = 0;
            for (size_t i = 0; i < row_count; i++) {
                if (is_in(&rows[i], &range)) {
                    wanted[wanted_count++] = rows[i];
                }
            }
            struct merge *merge = open_all(runs, at, count, &range);
            for (struct merge_item item = next(merge); item.kind != MERGE_END; item = next(merge)) {
                came_add(&came, -1, 1, item.series, &item.rows, false);
            }
            merge_close(merge);
            came_check(&came, wanted, wanted_count);
            came_free(&came);
        }
        free(wanted);
        free_runs(runs, count);
        free(rows);
        plain_free(&plain);
    }
}

/* ---- heads ---- */

struct summary {
    uint64_t count;
    double min, max;
    int64_t parts; /* its sum in 128ths: exact */
};

static void sum_up(struct summary *sum, const struct chunk_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (!(rows->gone && rows->gone[i]) && !(rows->retract && rows->retract[i])) {
            sum->min = sum->count == 0 || rows->value[i] < sum->min ? rows->value[i] : sum->min;
            sum->max = sum->count == 0 || rows->value[i] > sum->max ? rows->value[i] : sum->max;
            sum->parts += (int64_t)(rows->value[i] * 128);
            sum->count++;
        }
    }
}

static void sum_up_head(struct summary *sum, const struct chunk_head *head)
{
    sum->min = sum->count == 0 || head->min < sum->min ? head->min : sum->min;
    sum->max = sum->count == 0 || head->max > sum->max ? head->max : sum->max;
    for (size_t i = 0; i < 3; i++) {
        sum->parts += (int64_t)(head->sum[i] * 128);
    }
    sum->count += head->standing;
}

static size_t sum_runs(const struct blocks *runs, size_t count, struct merge_range range, bool heads,
                       struct summary *ret_sum)
{
    struct blocks_at at[RUNS_MAX];
    size_t seen = 0;
    range.heads = heads;
    *ret_sum = (struct summary){0};
    struct merge *merge = open_all(runs, at, count, &range);
    for (struct merge_item item = next(merge); item.kind != MERGE_END; item = next(merge)) {
        if (item.kind == MERGE_HEAD) {
            sum_up_head(ret_sum, &item.head);
            seen++;
        } else {
            sum_up(ret_sum, &item.rows);
        }
    }
    merge_close(merge);
    return seen;
}

/* With heads the same count, extremes and sum come as without, also where some rows have gone. */
static void test_heads(void **state)
{
    (void)state;
    uint64_t random = 23;
    size_t seen = 0, seldom = 0;
    for (int round = 0; round < 40; round++) {
        const struct plain_shape shape = {
            .rows = 20000, .buckets = 1, .inputs = 1, .series = 8, .corrected = round % 4 ? 0 : 3};
        struct plain plain;
        struct blocks runs[RUNS_MAX] = {0};
        struct summary with, without;
        plain_make(&plain, &shape, &random);
        for (size_t i = 0; i < plain.count; i++) {
            plain.rows[i].value = (double)test_between(&random, -500000, 500000) / 128;
        }
        size_t count = make_runs(&plain, runs, &random);
        for (int query = 0; query < 5; query++) {
            struct merge_range range = query ? any_range(plain.rows, plain.count, &random) : all_of_it;
            size_t heads = sum_runs(runs, count, range, true, &with);
            seen += heads;
            seldom += round % 4 ? 0 : heads;
            assert_int_equal(sum_runs(runs, count, range, false, &without), 0);
            assert_true(with.count == without.count && with.parts == without.parts);
            assert_true(with.count == 0 || (with.min == without.min && with.max == without.max));
        }
        free_runs(runs, count);
        plain_free(&plain);
    }
    assert_true(seen > 500 && seldom > 0);
}

/* ---- damage ---- */

static void test_row_in_two_runs(void **state)
{
    (void)state;
    struct plain plain;
    struct blocks runs[2] = {0};
    struct blocks_at at[2];
    uint64_t random = 24;
    const struct plain_shape shape = {.rows = 200, .buckets = 1, .inputs = 1, .series = 1, .corrected = 0};
    plain_make(&plain, &shape, &random);
    blocks_build(&runs[0], &plain, 1, 100, block_run(1, 0), &random);
    blocks_build(&runs[1], &plain, 100, 200, block_run(2, 0), &random);
    struct merge *merge = open_all(runs, at, 2, &all_of_it);
    struct merge_item item = {.kind = MERGE_ROWS};
    poise_code code = POISE_OK;
    while (code == POISE_OK && item.kind != MERGE_END) {
        code = merge_next(merge, &item, NULL);
    }
    assert_int_equal(code, POISE_ECORRUPT);
    merge_close(merge);
    free_runs(runs, 2);
    plain_free(&plain);
}

static poise_code fail_to_read(void *run, struct block_reader *ret_block, bool *ret_more, poise_error *err)
{
    (void)run;
    (void)ret_block;
    (void)ret_more;
    (void)err;
    return POISE_EIO;
}

static void test_source_fails(void **state)
{
    (void)state;
    const struct merge_run run = {.next = fail_to_read};
    struct merge_item item;
    struct merge *merge = merge_open(&run, 1, &all_of_it);
    assert_non_null(merge);
    assert_int_equal(merge_next(merge, &item, NULL), POISE_EIO);
    merge_close(merge);
    merge = merge_open(NULL, 0, &all_of_it);
    assert_non_null(merge);
    assert_int_equal(merge_next(merge, &item, NULL), POISE_OK);
    assert_int_equal(item.kind, MERGE_END);
    merge_close(merge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),    cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_heads),        cmocka_unit_test(test_row_in_two_runs),
        cmocka_unit_test(test_source_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
