/* Blocks, merges and runs with the n-th allocation of ours failing, for all n: they say so and leak nothing,
 * and what is read or put after that is right. */
#include "plain.h"
#include <stdlib.h>
#include <store/runs.h>

static long until_failure = -1; /* allocations that still succeed; below 0: all do */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

enum { RUNS = 4 };

static const struct plain_shape shape = {
    .rows = 8000, .buckets = 1, .inputs = 1, .series = 40, .corrected = 200};

/* Allocations of the test itself do not fail. */
static poise_code take(void *taker, const struct block *block, poise_error *err)
{
    long kept = until_failure;
    until_failure = -1;
    poise_code code = blocks_take(taker, block, err);
    until_failure = kept;
    return code;
}

static poise_code put(struct store *store, const struct blocks *blocks, uint64_t run)
{
    struct block all[64];
    assert_true(blocks->count <= 64);
    for (size_t i = 0; i < blocks->count; i++) {
        all[i] = blocks->all[i].block;
    }
    const struct store_slice slice = {.blocks = all, .block_count = blocks->count, .run = run, .whole = true};
    return store_commit(store, NULL, &slice, NULL, NULL);
}

struct counting {
    uint64_t rows;
};

static poise_code count_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    (void)series;
    ((struct counting *)visitor)->rows += rows->count;
    return POISE_OK;
}

static poise_code read_all(struct store *store, uint64_t until_place, uint64_t *ret_rows)
{
    struct counting counting = {0};
    struct store_reader *reader = NULL;
    const struct store_rows_query query = {
        .input = 1, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = until_place};
    const struct store_rows_visit visit = {.rows = count_rows, .visitor = &counting};
    poise_code code = store_reader_open(store, &reader, NULL);
    if (code == POISE_OK) {
        code = store_read_rows(reader, &query, &visit, NULL);
        store_reader_close(reader);
    }
    *ret_rows = counting.rows;
    return code;
}

static poise_code merge_all(struct store *store, struct blocks *blocks)
{
    struct store_reader *reader = NULL;
    uint64_t sources[RUNS];
    for (uint64_t i = 0; i < RUNS; i++) {
        sources[i] = block_run(i + 1, 0);
    }
    poise_code code = store_reader_open(store, &reader, NULL);
    if (code == POISE_OK) {
        code = store_merge_runs(reader, -1, 1, sources, RUNS, block_run(RUNS, 1), take, blocks, NULL);
        store_reader_close(reader);
    }
    return code;
}

/* Puts a run, with an allocation failing; returns whether it was put. */
static bool try_put(struct store *store, const struct blocks *blocks, uint64_t run, long n)
{
    until_failure = n;
    poise_code code = put(store, blocks, run);
    until_failure = -1;
    assert_true(code == POISE_OK || code == POISE_ENOMEM);
    return code == POISE_OK;
}

static void test_runs(void **state)
{
    struct plain plain;
    uint64_t random = 61, rows;
    long failures = 0;
    plain_make(&plain, &shape, &random);
    struct store *store = scratch_open(*state);
    for (uint64_t i = 1; i <= RUNS; i++) {
        struct blocks blocks = {0};
        scratch_append(store, i, 10);
        blocks_build(&blocks, &plain, shape.rows * (i - 1) / RUNS + 1, shape.rows * i / RUNS, block_run(i, 0),
                     &random);
        for (long n = 0; !try_put(store, &blocks, block_run(i, 0), n); n++, failures++) {
            assert_int_equal(store_chunks_lsn(store), i - 1);
        }
        blocks_free(&blocks);
    }
    poise_code code = POISE_ENOMEM;
    for (long n = 0; code != POISE_OK; n++, failures++) {
        until_failure = n;
        code = read_all(store, shape.rows - 5, &rows);
        until_failure = -1;
        assert_true(code == POISE_ENOMEM || (code == POISE_OK && rows == shape.rows - 5));
    }
    code = POISE_ENOMEM;
    for (long n = 0; code != POISE_OK; n++, failures++) {
        struct blocks blocks = {0};
        until_failure = n;
        code = merge_all(store, &blocks);
        until_failure = -1;
        assert_true(code == POISE_ENOMEM ||
                    (code == POISE_OK && blocks.all[blocks.count - 1].block.stats.rows == shape.rows));
        blocks_free(&blocks);
    }
    assert_true(failures > 100);
    store_close(store);
    plain_free(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runs, scratch_make, scratch_remove)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
