/* Runs of blocks in the store: what whole runs hold is read once and as it stood, whatever is put, merged and
 * swept meanwhile; what was not finished is not seen. */
#include "plain.h"
#include <lmdb.h>
#include <poise/types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/bits.h>
#include <store/inner.h>
#include <store/runs.h>
#include <string.h>

enum { RUNS = 24, SOURCES_MAX = 64 };

static struct store *open_store(const char *path)
{
    struct store_options options = scratch_options(path);
    struct store *store = NULL;
    options.map_bytes = 256 << 20;
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    return store;
}

static struct store_reader *open_reader(struct store *store)
{
    struct store_reader *reader = NULL;
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    return reader;
}

static void commit(struct store *store, const struct store_slice *slice)
{
    poise_error err = {0};
    if (store_commit(store, NULL, slice, NULL, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

/* Of a table of LMDB. */
static uint64_t entries(struct store *store, int table)
{
    MDB_txn *txn;
    MDB_stat stat;
    assert_int_equal(env_read(store, &txn, NULL), POISE_OK);
    assert_int_equal(mdb_stat(txn, store->lmdb[table], &stat), 0);
    env_read_end(store, txn);
    return stat.ms_entries;
}

/* ---- a store that grows by runs ---- */

struct world {
    struct store *store;
    struct plain plain;
    uint64_t random;
    uint64_t ends[RUNS + 1]; /* of runs: the last place in run i, which is up to record i */
    uint64_t whole;
};

static void world_make(struct world *world, const char *path, const struct plain_shape *shape, uint64_t seed)
{
    *world = (struct world){.store = open_store(path), .random = seed};
    plain_make(&world->plain, shape, &world->random);
    for (size_t i = 0; i <= RUNS; i++) {
        world->ends[i] = shape->rows * i / RUNS;
    }
}

static void world_free(struct world *world)
{
    store_close(world->store);
    plain_free(&world->plain);
}

/* Puts blocks in slices. */
static void put_slices(struct world *world, const struct blocks *blocks, struct store_slice slice)
{
    bool whole = slice.whole;
    size_t at = 0;
    do {
        struct block some[24];
        size_t count = (size_t)test_between(&world->random, 0, 24);
        for (size_t i = 0; i < count && at < blocks->count; i++, at++) {
            some[i] = blocks->all[at].block;
            slice.block_count = i + 1;
        }
        slice.blocks = some;
        slice.whole = whole && at == blocks->count;
        commit(world->store, &slice);
        slice.block_count = 0;
    } while (at < blocks->count);
}

static void put_run(struct world *world)
{
    struct blocks blocks = {0};
    uint64_t n = world->whole + 1;
    if (store_last_lsn(world->store) < n) {
        scratch_append(world->store, n, 10);
    }
    blocks_build(&blocks, &world->plain, world->ends[n - 1] + 1, world->ends[n], block_run(n, 0),
                 &world->random);
    put_slices(world, &blocks, (struct store_slice){.run = block_run(n, 0), .whole = true});
    blocks_free(&blocks);
    world->whole = n;
    assert_int_equal(store_chunks_lsn(world->store), n);
}

struct some_runs {
    uint64_t runs[SOURCES_MAX];
    size_t count;
    uint64_t rows;
};

static poise_code note_run(void *visitor, const struct store_run *run)
{
    struct some_runs *some = visitor;
    assert_true(some->count < SOURCES_MAX);
    some->runs[some->count++] = run->run;
    some->rows += run->stats.rows;
    return POISE_OK;
}

static struct some_runs live_runs(struct store_reader *reader, int32_t bucket, uint32_t input)
{
    struct some_runs some = {0};
    const struct store_run_range range = {.from_bucket = bucket, .until_bucket = bucket, .input = input};
    assert_int_equal(store_read_runs(reader, &range, note_run, &some, NULL), POISE_OK);
    return some;
}

/* Merges some runs of a bucket and input; not `whole`: it stays unfinished. */
static void merge_some(struct world *world, const struct plain_shape *shape, bool whole)
{
    int32_t bucket = (int32_t)test_between(&world->random, 0, shape->buckets - 1) - 1;
    uint32_t input = (uint32_t)test_between(&world->random, 1, shape->inputs);
    struct store_reader *reader = open_reader(world->store);
    struct some_runs all = live_runs(reader, bucket, input), some = {0};
    uint64_t lsn = 0;
    unsigned level = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (test_between(&world->random, 0, 2)) {
            uint64_t run = some.runs[some.count++] = all.runs[i];
            lsn = block_run_lsn(run) > lsn ? block_run_lsn(run) : lsn;
            level = block_run_level(run) > level ? block_run_level(run) : level;
        }
    }
    struct blocks blocks = {0};
    struct store_slice slice = {.run = block_run(lsn, level + 1),
                                .whole = whole,
                                .bucket = bucket,
                                .input = input,
                                .sources = some.runs,
                                .source_count = whole ? some.count : 0,
                                .sweep = (size_t)test_between(&world->random, 0, 3)};
    if (some.count > 0) {
        reader->opened_us = test_between(&world->random, 0, 1) ? reader->opened_us : 0; /* is renewed */
        assert_int_equal(store_merge_runs(reader, bucket, input, some.runs, some.count, slice.run,
                                          blocks_take, &blocks, NULL),
                         POISE_OK);
    }
    store_reader_close(reader); /* or the map could not grow */
    if (some.count > 0) {
        put_slices(world, &blocks, slice);
    }
    blocks_free(&blocks);
}

/* ---- reading it ---- */

struct visit {
    struct world *world;
    const struct plain_shape *shape; /* NULL: nothing is done meanwhile */
    struct store_reader *reader;
    struct came came;
    uint32_t input;
    uint64_t every; /* only series whose number it divides are wanted */
    int heads;
};

static uint64_t choose(void *visitor, uint64_t series)
{
    uint64_t every = ((struct visit *)visitor)->every;
    return (series + every - 1) / every * every;
}

static poise_code take_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct visit *visit = visitor;
    int32_t bucket = block_bucket(rows->time_ms[0]);
    came_add(&visit->came, bucket, visit->input, series, rows, false);
    if (visit->shape) {
        struct world *world = visit->world;
        int64_t what = test_between(&world->random, 0, 40);
        visit->reader->opened_us = 0; /* old: it is renewed before the next rows */
        if (what == 0 && world->whole < RUNS) {
            put_run(world);
        } else if (what == 1) {
            merge_some(world, visit->shape, true);
        } else if (what == 2) {
            commit(world->store, &(struct store_slice){.sweep = 5});
        }
    }
    return POISE_OK;
}

static struct store_rows_query any_query(struct world *world, const struct plain_shape *shape)
{
    const struct plain_row *rows = world->plain.rows;
    uint64_t *random = &world->random;
    const struct plain_row *a = &rows[test_random(random) % world->plain.count],
                           *b = &rows[test_random(random) % world->plain.count];
    struct store_rows_query query = {.input = (uint32_t)test_between(random, 1, shape->inputs),
                                     .from_ms = INT64_MIN,
                                     .until_ms = INT64_MAX,
                                     .until_place = world->ends[world->whole]};
    if (test_between(random, 0, 1)) {
        query.from_ms = a->time_ms < b->time_ms ? a->time_ms : b->time_ms;
        query.until_ms = a->time_ms < b->time_ms ? b->time_ms : a->time_ms;
    }
    if (test_between(random, 0, 2) == 0) {
        query.one_series = true;
        query.series = a->series;
    }
    if (test_between(random, 0, 2) == 0) {
        query.until_place = (uint64_t)test_between(random, 0, (int64_t)query.until_place);
    }
    return query;
}

static void check_query(struct world *world, const struct plain_shape *shape, bool meanwhile)
{
    static const uint64_t some[] = {1, 1, 1, 2, 7, 60, 250};
    struct store_rows_query query = any_query(world, shape);
    uint64_t every = some[test_between(&world->random, 0, 6)];
    query.choose = every > 1 ? choose : NULL;
    struct plain_row *rows;
    size_t count = plain_known(&world->plain, 1, query.until_place, &rows), wanted = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].input == query.input && rows[i].time_ms >= query.from_ms &&
            rows[i].time_ms <= query.until_ms && (!query.one_series || rows[i].series == query.series) &&
            rows[i].series % every == 0) {
            rows[wanted++] = rows[i];
        }
    }
    struct visit visit = {.world = world,
                          .shape = meanwhile ? shape : NULL,
                          .reader = open_reader(world->store),
                          .input = query.input,
                          .every = every};
    const struct store_rows_visit visitor = {.rows = take_rows, .visitor = &visit};
    poise_error err = {0};
    if (store_read_rows(visit.reader, &query, &visitor, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    store_reader_close(visit.reader);
    came_check(&visit.came, rows, wanted);
    came_free(&visit.came);
    free(rows);
}

static void test_rows_of_runs(void **state)
{
    static const struct plain_shape shapes[] = {
        {.rows = 24000, .buckets = 2, .inputs = 2, .series = 40, .corrected = 100},
        {.rows = 40000, .buckets = 1, .inputs = 1, .series = 2, .corrected = 300},
        {.rows = 3000, .buckets = 6, .inputs = 3, .series = 300, .corrected = 200},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char path[256];
        struct world world;
        snprintf(path, sizeof path, "%s/%zu", (char *)*state, i);
        world_make(&world, path, &shapes[i], 31 + i);
        check_query(&world, &shapes[i], false);
        for (int step = 0; step < 14; step++) {
            if (world.whole < RUNS && step % 2 == 0) {
                put_run(&world);
            } else {
                merge_some(&world, &shapes[i], true);
            }
            check_query(&world, &shapes[i], false);
            check_query(&world, &shapes[i], true);
        }
        world_free(&world);
    }
}

/* ---- threads ---- */

struct reading_thread {
    struct world world; /* a copy, with dice of its own */
    const struct plain_shape *shape;
    atomic_uint_fast64_t *whole;
    atomic_bool *ends;
    size_t queries;
};

static void *read_on(void *context)
{
    struct reading_thread *thread = context;
    while (!atomic_load(thread->ends) || thread->queries < 3) {
        thread->world.whole = atomic_load(thread->whole);
        check_query(&thread->world, thread->shape, false);
        thread->queries++;
    }
    return NULL;
}

/* One thread writes, in a map that grows; two read. */
static void test_beside_a_writer(void **state)
{
    static const struct plain_shape shape = {
        .rows = 20000, .buckets = 2, .inputs = 2, .series = 30, .corrected = 100};
    struct world world;
    struct reading_thread readers[2];
    pthread_t threads[2];
    atomic_uint_fast64_t whole;
    atomic_bool ends;
    world_make(&world, *state, &shape, 39);
    store_close(world.store);
    struct store_options options = scratch_options(*state);
    options.map_bytes = 512 << 10;
    assert_int_equal(store_open(&options, &world.store, NULL), POISE_OK);
    put_run(&world);
    atomic_init(&whole, world.whole);
    atomic_init(&ends, false);
    for (size_t i = 0; i < 2; i++) {
        readers[i] = (struct reading_thread){.world = world, .shape = &shape, .whole = &whole, .ends = &ends};
        readers[i].world.random = 100 + i;
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    while (world.whole < RUNS) {
        put_run(&world);
        atomic_store(&whole, world.whole);
        merge_some(&world, &shape, true);
    }
    atomic_store(&ends, true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    world_free(&world);
}

/* ---- heads ---- */

struct sums {
    struct store_reader *reader;
    uint64_t count;
    int64_t parts; /* of values in 128ths */
    size_t heads;
};

static poise_code sum_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct sums *sums = visitor;
    (void)series;
    for (size_t i = 0; i < rows->count; i++) {
        if (!(rows->gone && rows->gone[i]) && !(rows->retract && rows->retract[i])) {
            sums->count++;
            sums->parts += (int64_t)(rows->value[i] * 128);
        }
    }
    sums->reader->opened_us = 0;
    return POISE_OK;
}

static poise_code sum_head(void *visitor, uint64_t series, const struct chunk_head *head)
{
    struct sums *sums = visitor;
    (void)series;
    sums->count += head->standing;
    for (size_t i = 0; i < 3; i++) {
        sums->parts += (int64_t)(head->sum[i] * 128);
    }
    sums->heads++;
    sums->reader->opened_us = 0;
    return POISE_OK;
}

static struct sums sum_up(struct world *world, const struct store_rows_query *query, bool heads)
{
    struct sums sums = {.reader = open_reader(world->store)};
    const struct store_rows_visit visitor = {
        .rows = sum_rows, .head = heads ? sum_head : NULL, .visitor = &sums};
    assert_int_equal(store_read_rows(sums.reader, query, &visitor, NULL), POISE_OK);
    store_reader_close(sums.reader);
    return sums;
}

static void test_heads(void **state)
{
    static const struct plain_shape shape = {
        .rows = 60000, .buckets = 2, .inputs = 1, .series = 6, .corrected = 20};
    struct world world;
    size_t heads = 0, of_before = 0;
    world_make(&world, *state, &shape, 41);
    for (size_t i = 0; i < world.plain.count; i++) {
        world.plain.rows[i].value = (double)test_between(&world.random, -500000, 500000) / 128;
    }
    while (world.whole < RUNS) {
        put_run(&world);
        for (int merges = 0; merges < 2; merges++) {
            merge_some(&world, &shape, true);
        }
        struct store_rows_query query = any_query(&world, &shape);
        struct sums with = sum_up(&world, &query, true), without = sum_up(&world, &query, false);
        assert_true(with.count == without.count && with.parts == without.parts);
        heads += with.heads;
        query = (struct store_rows_query){.input = 1,
                                          .from_ms = INT64_MIN,
                                          .until_ms = INT64_MAX,
                                          .until_place = world.ends[world.whole] - 1}; /* not the last row */
        with = sum_up(&world, &query, true);
        without = sum_up(&world, &query, false);
        assert_true(with.count == without.count && with.parts == without.parts);
        of_before += with.heads;
    }
    assert_true(heads > 20 && of_before > 20);
    world_free(&world);
}

/* ---- what is not finished ---- */

static const struct plain_shape plain_shape = {
    .rows = 24000, .buckets = 2, .inputs = 2, .series = 20, .corrected = 50};

/* Of a run that was begun before a crash nothing is seen; nor is any of it left when another is put. */
/* So many rows are in runs that a reader sees. */
static void check_live_rows(struct world *world, uint64_t rows)
{
    struct store_reader *reader = open_reader(world->store);
    struct some_runs live = {0};
    const struct store_run_range range = {
        .from_bucket = INT32_MIN, .until_bucket = INT32_MAX, .any_input = true};
    assert_int_equal(store_read_runs(reader, &range, note_run, &live, NULL), POISE_OK);
    assert_int_equal(live.rows, rows);
    store_reader_close(reader);
}

static void test_unfinished(void **state)
{
    struct world world;
    struct blocks blocks = {0};
    world_make(&world, *state, &plain_shape, 51);
    put_run(&world);
    put_run(&world);
    uint64_t whole = entries(world.store, LMDB_CHUNKS);
    for (uint64_t n = 3; n <= 8; n++) {
        scratch_append(world.store, n, 10);
    }
    blocks_build(&blocks, &world.plain, world.ends[2] + 1, world.ends[8], block_run(8, 0), &world.random);
    put_slices(&world, &blocks, (struct store_slice){.run = block_run(8, 0)});
    merge_some(&world, &plain_shape, false);
    assert_true(entries(world.store, LMDB_CHUNKS) > whole + 3);
    check_query(&world, &plain_shape, false);
    const struct store_slice other = {.run = block_run(3, 0), .whole = true};
    assert_int_equal(store_commit(world.store, NULL, &other, NULL, NULL), POISE_EINVAL);
    store_close(world.store);
    world.store = open_store(*state);
    assert_int_equal(store_chunks_lsn(world.store), 2);
    check_live_rows(&world, world.ends[2]);
    for (int i = 0; i < 5; i++) {
        check_query(&world, &plain_shape, true);
    }
    while (world.whole < 12) {
        put_run(&world);
        for (int i = 0; i < 5; i++) {
            check_query(&world, &plain_shape, false);
        }
    }
    blocks_free(&blocks);
    world_free(&world);
}

/* Without a crash: the compactor failed, and says so. */
static void test_clean(void **state)
{
    struct world world;
    struct blocks blocks = {0};
    world_make(&world, *state, &plain_shape, 52);
    put_run(&world);
    uint64_t whole = entries(world.store, LMDB_CHUNKS), runs = entries(world.store, LMDB_RUNS);
    scratch_append(world.store, 2, 10);
    blocks_build(&blocks, &world.plain, world.ends[1] + 1, world.ends[8], block_run(2, 0), &world.random);
    put_slices(&world, &blocks, (struct store_slice){.run = block_run(2, 0)});
    assert_int_equal(store_runs_clean(world.store, NULL), POISE_OK);
    assert_int_equal(entries(world.store, LMDB_CHUNKS), whole);
    assert_int_equal(entries(world.store, LMDB_RUNS), runs);
    assert_false(store_has_dropped(world.store));
    put_run(&world);
    check_query(&world, &plain_shape, false);
    blocks_free(&blocks);
    world_free(&world);
}

/* ---- slices ---- */

static void test_sweep_is_bounded(void **state)
{
    struct world world;
    world_make(&world, *state, &plain_shape, 53);
    for (int i = 0; i < 10; i++) {
        put_run(&world);
    }
    commit(world.store, &(struct store_slice){.sweep = 1});
    assert_false(store_has_dropped(world.store));
    uint64_t before = entries(world.store, LMDB_CHUNKS);
    while (entries(world.store, LMDB_CHUNKS) <= before + 2 || !store_has_dropped(world.store)) {
        merge_some(&world, &plain_shape, true);
        before = entries(world.store, LMDB_CHUNKS);
        if (store_has_dropped(world.store)) {
            break;
        }
    }
    while (store_has_dropped(world.store)) {
        before = entries(world.store, LMDB_CHUNKS) + entries(world.store, LMDB_RUNS);
        commit(world.store, &(struct store_slice){.sweep = 2});
        uint64_t after = entries(world.store, LMDB_CHUNKS) + entries(world.store, LMDB_RUNS);
        assert_true(after <= before && before - after <= 2);
        assert_true(after < before || !store_has_dropped(world.store));
        check_query(&world, &plain_shape, false);
    }
    world_free(&world);
}

/* All runs there are, and those of one input. */
static void test_which_runs(void **state)
{
    struct world world;
    uint64_t rows = 0;
    world_make(&world, *state, &plain_shape, 59);
    for (int i = 0; i < 6; i++) {
        put_run(&world);
        merge_some(&world, &plain_shape, i % 2);
    }
    struct store_reader *reader = open_reader(world.store);
    struct some_runs all = {0}, one = {0}, each = {0};
    struct store_run_range range = {.from_bucket = INT32_MIN, .until_bucket = INT32_MAX, .any_input = true};
    assert_int_equal(store_read_runs(reader, &range, note_run, &all, NULL), POISE_OK);
    assert_int_equal(all.rows, world.ends[6]);
    for (range.any_input = false, range.input = 0; range.input < 5; range.input++) {
        one = (struct some_runs){0};
        assert_int_equal(store_read_runs(reader, &range, note_run, &one, NULL), POISE_OK);
        for (int32_t bucket = -2; bucket < 3; bucket++) {
            each = live_runs(reader, bucket, range.input);
            one.count -= each.count;
            rows += each.rows;
        }
        assert_int_equal(one.count, 0);
    }
    assert_int_equal(rows, all.rows);
    store_reader_close(reader);
    world_free(&world);
}

static void check_entry(struct store *store)
{
    static const uint8_t name[] = {1, 0x80, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 0};
    /* rows, marks, blocks, bytes; times from 1000 on, + 1000; last place, first */
    static const uint8_t entry[] = {2, 0, 1, 33, 0xd0, 0x0f, 0xe8, 7, 20, 7};
    MDB_txn *txn;
    MDB_cursor *at;
    MDB_val key, stored;
    struct cursor value;
    assert_int_equal(entries(store, LMDB_RUNS), 1);
    assert_int_equal(env_read(store, &txn, NULL), POISE_OK);
    assert_int_equal(mdb_cursor_open(txn, store->lmdb[LMDB_RUNS], &at), 0);
    assert_int_equal(mdb_cursor_get(at, &key, &stored, MDB_FIRST), 0);
    assert_int_equal(value_check(store, "runs", &key, &stored, &value, NULL), POISE_OK);
    assert_int_equal(key.mv_size, sizeof name);
    assert_memory_equal(key.mv_data, name, sizeof name);
    assert_int_equal(cursor_left(&value), sizeof entry);
    assert_memory_equal(value.at, entry, sizeof entry);
    mdb_cursor_close(at);
    env_read_end(store, txn);
}

/* The bytes as docs/series-store.md lays them out. */
static void test_golden_entry(void **state)
{
    struct store *store = open_store(*state);
    struct blocks blocks = {0};
    struct block_builder *builder = block_builder_open(block_run(1, 0), blocks_take, &blocks);
    const struct chunk_rows rows = {.count = 2,
                                    .time_ms = (const int64_t[]){1000, 2000},
                                    .value = (const double[]){1, 1},
                                    .ordinal = (const uint64_t[]){7, 8},
                                    .gone = (const uint64_t[]){0, 20}};
    assert_non_null(builder);
    assert_int_equal(
        block_builder_add(builder, &(struct block_place){.bucket = 3, .input = 9, .series = 5}, &rows, NULL),
        POISE_OK);
    assert_int_equal(block_builder_end(builder, NULL), POISE_OK);
    block_builder_close(builder);
    scratch_append(store, 1, 10);
    commit(store,
           &(struct store_slice){.blocks = &blocks.all[0].block, .block_count = 1, .run = block_run(1, 0)});
    check_entry(store);
    blocks_free(&blocks);
    store_close(store);
}

/* A record and a slice are one commit. */
static void test_with_a_record(void **state)
{
    struct world world;
    struct blocks blocks = {0};
    uint64_t lsn = 0;
    const struct journal_record record = {.as_of_ms = 5, .min_time_ms = 1};
    world_make(&world, *state, &plain_shape, 54);
    scratch_append(world.store, 1, 10);
    blocks_build(&blocks, &world.plain, 1, world.ends[1], block_run(1, 0), &world.random);
    struct block all[64];
    assert_true(blocks.count <= 64);
    for (size_t i = 0; i < blocks.count; i++) {
        all[i] = blocks.all[i].block;
    }
    struct store_slice slice = {
        .blocks = all, .block_count = blocks.count, .run = block_run(1, 0), .whole = true};
    assert_int_equal(store_commit(world.store, &record, &slice, &lsn, NULL), POISE_OK);
    assert_int_equal(lsn, 2);
    struct store_reader *reader = open_reader(world.store);
    assert_int_equal(store_reader_lsn(reader), 2);
    assert_int_equal(store_reader_chunks_lsn(reader), 1);
    store_reader_close(reader);
    world.whole = 1;
    check_query(&world, &plain_shape, false);
    blocks_free(&blocks);
    world_free(&world);
}

static void expect(struct store *store, struct store_slice slice, poise_code code)
{
    uint64_t blocks = entries(store, LMDB_CHUNKS), runs = entries(store, LMDB_RUNS);
    assert_int_equal(store_commit(store, NULL, &slice, NULL, NULL), code);
    assert_true(entries(store, LMDB_CHUNKS) == blocks && entries(store, LMDB_RUNS) == runs);
}

static void test_refusals(void **state)
{
    struct world world;
    struct blocks blocks = {0};
    const uint64_t absent = block_run(2, 3);
    world_make(&world, *state, &plain_shape, 55);
    put_run(&world);
    put_run(&world);
    blocks_build(&blocks, &world.plain, 1, world.ends[1], block_run(2, 1), &world.random);
    struct block one = blocks.all[0].block, other = one;
    struct store_slice slice = {.run = block_run(2, 0), .whole = true};
    expect(world.store, slice, POISE_EINVAL); /* whole already */
    slice.run = block_run(3, 0);
    expect(world.store, slice, POISE_EINVAL); /* beyond the journal */
    slice.run = block_run(3, 1);
    expect(world.store, slice, POISE_EINVAL); /* a merge of what is not there yet */
    slice = (struct store_slice){.run = block_run(2, 1),
                                 .whole = true,
                                 .bucket = one.key.bucket,
                                 .input = one.key.input,
                                 .sources = &absent,
                                 .source_count = 1};
    expect(world.store, slice, POISE_ENOTFOUND);
    slice.source_count = 0;
    slice.blocks = &one;
    slice.block_count = 1;
    slice.run = block_run(2, 2);
    expect(world.store, slice, POISE_EINVAL); /* blocks of another run */
    slice.run = block_run(2, 1);
    slice.input++;
    expect(world.store, slice, POISE_EINVAL); /* of another input */
    slice.input--;
    slice.whole = false;
    commit(world.store, &slice);
    other.key.input++;
    const struct block two[] = {one, other};
    slice.blocks = two;
    slice.block_count = 2;
    expect(world.store, slice, POISE_EINVAL);
    /* Its name is taken, first by a whole run, then by one that is to be swept. */
    slice = (struct store_slice){
        .run = block_run(2, 1), .whole = true, .bucket = one.key.bucket, .input = one.key.input};
    commit(world.store, &slice);
    slice.blocks = &one;
    slice.block_count = 1;
    expect(world.store, slice, POISE_EINVAL);
    const uint64_t it = block_run(2, 1);
    commit(world.store, &(struct store_slice){.run = block_run(2, 2),
                                              .whole = true,
                                              .bucket = one.key.bucket,
                                              .input = one.key.input,
                                              .sources = &it,
                                              .source_count = 1});
    expect(world.store, slice, POISE_EINVAL);
    struct store_reader *reader = open_reader(world.store);
    assert_int_equal(
        store_merge_runs(reader, one.key.bucket, one.key.input, &absent, 1, it, blocks_take, &blocks, NULL),
        POISE_ENOTFOUND);
    store_reader_close(reader);
    blocks_free(&blocks);
    world_free(&world);
}

static poise_code stop(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    (void)series;
    (void)rows;
    return *(poise_code *)visitor;
}

static void test_visit_ends(void **state)
{
    struct world world;
    world_make(&world, *state, &plain_shape, 56);
    put_run(&world);
    struct store_reader *reader = open_reader(world.store);
    const struct store_rows_query query = {
        .input = 1, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = UINT64_MAX};
    poise_code code = POISE_ECLOSED;
    const struct store_rows_visit visit = {.rows = stop, .visitor = &code};
    assert_int_equal(store_read_rows(reader, &query, &visit, NULL), POISE_OK);
    code = POISE_EREFUSED;
    assert_int_equal(store_read_rows(reader, &query, &visit, NULL), POISE_EREFUSED);
    store_reader_close(reader);
    world_free(&world);
}

/* ---- formats and damage ---- */

/* Makes of the store one of an older format (0: not), and says which format it had. */
static uint32_t look_at_format(const char *path, uint32_t make_old)
{
    static const char *const later[] = {"commits",    "names",  "remains", "state",
                                        "state_runs", "chunks", "runs"};
    const size_t since_3 = 3;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta, dbi;
    MDB_val key = {.mv_size = 5, .mv_data = (char[]){"store"}}, value;
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 32);
    assert_int_equal(mdb_env_open(env, path, 0, 0640), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &meta), 0);
    assert_int_equal(mdb_get(txn, meta, &key, &value), 0);
    struct cursor in = cursor_of(value.mv_data, value.mv_size);
    cursor_u32(&in);
    uint32_t format = cursor_u32(&in);
    if (make_old) {
        struct buf old = {0};
        buf_put_u32(&old, make_old);
        buf_put(&old, in.at, cursor_left(&in));
        assert_int_equal(value_put(txn, meta, key, old.data, old.length), 0);
        buf_free(&old);
        size_t count = make_old == 1 ? sizeof later / sizeof *later : make_old == 2 ? since_3 : 0;
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(mdb_dbi_open(txn, later[i], 0, &dbi), 0);
            assert_int_equal(mdb_drop(txn, dbi, 1), 0);
        }
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    return format;
}

static void check_older_store(void **state, uint32_t format)
{
    struct store *store = scratch_open(*state), *reading = NULL;
    poise_error err = {0};
    scratch_append(store, 1, 100);
    store_close(store);
    assert_int_equal(look_at_format(*state, format), 5);
    struct store_options options = scratch_options(*state);
    options.read_only = true;
    assert_int_equal(store_open(&options, &reading, &err), POISE_EVERSION);
    assert_non_null(strstr(err.text, "start an aggregator"));
    assert_int_equal(look_at_format(*state, 0), format);
    store = scratch_open(*state);
    assert_int_equal(scratch_read(store, 1, 1, 100), 1);
    assert_int_equal(store_chunks_lsn(store), 0);
    store_close(store);
    assert_int_equal(look_at_format(*state, 0), 5); /* an older version refuses it now */
    struct world world = {.store = open_store(*state), .random = 57};
    plain_make(&world.plain, &plain_shape, &world.random);
    world.ends[1] = 1000;
    put_run(&world);
    check_query(&world, &plain_shape, false);
    world_free(&world);
    assert_int_equal(store_open(&options, &reading, NULL), POISE_OK);
    assert_int_equal(store_chunks_lsn(reading), 1);
    store_close(reading);
}

static void put_numbers(struct buf *out, const uint64_t *numbers, size_t count)
{
    const struct bits_plan plan = bits_plan(numbers, count);
    bits_put(out, numbers, count, &plan);
}

/* What format 4 says of commits, and what this one does: of those it is not known how many series there were.
 */
static void test_commits_of_4(void **state)
{
    static const uint64_t times[] = {5, 9}, places[] = {1, 11};
    static const struct past_commit now = {.as_of_ms = 12, .first_place = 21, .series = 3};
    struct buf value = {0}, entries = {0};
    struct store *store = scratch_open(*state);
    struct store_past past;
    uint64_t series = 7;
    for (uint64_t lsn = 1; lsn <= 3; lsn++) {
        scratch_append(store, lsn, 10);
    }
    buf_put_varint(&value, 2);
    buf_put_u64(&value, times[0]);
    put_numbers(&value, times, 2);
    put_numbers(&value, places, 2);
    buf_put_u8(&entries, LMDB_COMMITS);
    buf_put_text(&entries, "\0\0\0\0\0\0\0\1", 8);
    buf_put_text(&entries, (const char *)value.data, value.length);
    past_put_commits(&entries, 3, &now, 1);
    commit(store, &(struct store_slice){.run = block_run(3, 0),
                                        .whole = true,
                                        .entries = entries.data,
                                        .entries_length = entries.length,
                                        .last_place = 30,
                                        .as_of_ms = 12});
    struct store_reader *reader = open_reader(store);
    assert_int_equal(store_read_past(reader, 2, INT64_MAX, &past, NULL), POISE_OK);
    assert_true(past.lsn == 2 && past.as_of_ms == 9 && past.last_place == 20);
    for (uint64_t lsn = 0; lsn <= 4; lsn++) {
        assert_int_equal(store_read_series(reader, lsn, &series, NULL), POISE_OK);
        assert_int_equal(series, lsn == 3 ? 3 : 0);
    }
    store_reader_close(reader);
    store_close(store);
    buf_free(&value);
    buf_free(&entries);
}

static void test_store_of_1(void **state)
{
    check_older_store(state, 1);
}

static void test_store_of_2(void **state)
{
    check_older_store(state, 2);
}

static void test_store_of_3(void **state)
{
    check_older_store(state, 3);
}

static void test_damage_shows(void **state)
{
    struct world world;
    struct blocks blocks = {0};
    poise_error err = {0};
    world_make(&world, *state, &plain_shape, 58);
    put_run(&world);
    struct store_reader *reader = open_reader(world.store);
    struct some_runs live = live_runs(reader, -1, 1);
    assert_int_equal(live.count, 1);
    assert_int_equal(store_merge_runs(reader, -1, 1, live.runs, 1, live.runs[0], blocks_take, &blocks, NULL),
                     POISE_OK);
    store_reader_close(reader);
    store_close(world.store);
    assert_int_equal(scratch_flip(*state, (const uint8_t *)blocks.all[0].bytes + 100, 32, 7), 1);
    world.store = open_store(*state);
    reader = open_reader(world.store);
    const struct store_rows_query query = {
        .input = 1, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = UINT64_MAX};
    poise_code code = POISE_OK;
    const struct store_rows_visit visit = {.rows = stop, .visitor = &code};
    assert_int_equal(store_read_rows(reader, &query, &visit, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, *state));
    assert_non_null(strstr(err.text, "bucket -1, input 1, run 1 level 0"));
    store_reader_close(reader);
    blocks_free(&blocks);
    world_free(&world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows_of_runs), TEST(test_beside_a_writer),  TEST(test_heads),
        TEST(test_which_runs),   TEST(test_golden_entry),     TEST(test_unfinished),
        TEST(test_clean),        TEST(test_sweep_is_bounded), TEST(test_with_a_record),
        TEST(test_refusals),     TEST(test_visit_ends),       TEST(test_store_of_1),
        TEST(test_store_of_2),   TEST(test_store_of_3),       TEST(test_commits_of_4),
        TEST(test_damage_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
