/* Rows in runs. Run n has those of record n: on each of two days, of each of two series, ROWS with the value
 * n; and the first row of all of run n goes with run n + 1. */
#include "store_life.h"
#include <base/error.h>
#include <string.h>
#include <unit/store/scratch.h>

enum { DAYS = 2, SERIES = 2, ROWS = 3, INPUT = 1, DAY_MS = 86400000, PLACES = 100 };

static int64_t time_of(uint64_t run, int day, unsigned row)
{
    return (int64_t)day * DAY_MS + (int64_t)run * 1000 + row;
}

static uint64_t first_place(uint64_t run)
{
    return run * PLACES;
}

/* ---- putting a run ---- */

static poise_code keep_block(void *taker, const struct block *block, poise_error *err)
{
    struct life *life = taker;
    (void)err;
    assert_true(life->block_count < LIFE_BLOCKS && block->length <= BLOCK_MAX);
    struct life_block *kept = &life->blocks[life->block_count++];
    memcpy(kept->bytes, block->bytes, block->length);
    kept->block = *block;
    kept->block.bytes = kept->bytes;
    return POISE_OK;
}

static poise_code add_rows(struct block_builder *builder, uint64_t run, int day, uint64_t series,
                           poise_error *err)
{
    int64_t time_ms[ROWS];
    double value[ROWS];
    uint64_t place[ROWS];
    struct chunk_key key[ROWS] = {[ROWS - 1] = {"key", 3}};
    for (unsigned i = 0; i < ROWS; i++) {
        time_ms[i] = time_of(run, day, i);
        value[i] = (double)run;
        place[i] = first_place(run) + (unsigned)day * 2 * ROWS + (unsigned)series * ROWS + i;
    }
    const struct chunk_rows rows = {
        .count = ROWS, .time_ms = time_ms, .value = value, .ordinal = place, .key = key};
    return block_builder_add(builder, &(struct block_place){day, INPUT, series}, &rows, err);
}

/* Of the first row of the run before. */
static poise_code add_mark(struct block_builder *builder, uint64_t run, poise_error *err)
{
    const int64_t time_ms = time_of(run - 1, 0, 0);
    const uint64_t place = first_place(run - 1), gone = first_place(run);
    const struct chunk_rows mark = {.count = 1, .time_ms = &time_ms, .ordinal = &place, .gone = &gone};
    return block_builder_add_marks(builder, &(struct block_place){0, INPUT, 0}, &mark, err);
}

static poise_code build(struct life *life, uint64_t run, poise_error *err)
{
    life->block_count = 0;
    struct block_builder *builder = block_builder_open(block_run(run, 0), keep_block, life);
    if (!builder) {
        return error_nomem(err, "a builder");
    }
    poise_code code = run > 1 ? add_mark(builder, run, err) : POISE_OK;
    for (int i = 0; i < DAYS * SERIES && code == POISE_OK; i++) {
        code = add_rows(builder, run, i / SERIES, (uint64_t)(i % SERIES), err);
    }
    if (code == POISE_OK) {
        code = block_builder_end(builder, err);
    }
    block_builder_close(builder);
    return code;
}

static poise_code put_entries(struct buf *entries, uint64_t run, poise_error *err)
{
    const struct past_commit commit = {
        .as_of_ms = (int64_t)run, .first_place = first_place(run), .series = 2};
    const struct past_name name = {.measure = "m", .org = "org", .source = "s"};
    past_put_commits(entries, run, &commit, 1);
    past_put_names(entries, (uint32_t)run - 1, &name, 1);
    return entries->failed ? error_nomem(err, "entries") : POISE_OK;
}

/* What is there in two slices: blocks are told apart from those of a run that is whole. */
static poise_code put_slices(struct life *life, struct store_slice *last, poise_error *err)
{
    const struct store_slice first = {.blocks = &life->blocks[0].block,
                                      .block_count = 1,
                                      .run = last->run,
                                      .bucket = last->bucket,
                                      .input = last->input};
    assert_true(life->block_count > 0);
    poise_code code = store_commit(life->store, NULL, &first, NULL, err);
    struct block rest[LIFE_BLOCKS];
    for (size_t i = 1; i < life->block_count; i++) {
        rest[i - 1] = life->blocks[i].block;
    }
    last->blocks = rest;
    last->block_count = life->block_count - 1;
    last->whole = true;
    return code == POISE_OK ? store_commit(life->store, NULL, last, NULL, err) : code;
}

poise_code step_put_run(struct life *life, poise_error *err)
{
    struct buf entries = {0};
    const uint64_t run = life->runs + 1;
    poise_code code = build(life, run, err);
    if (code == POISE_OK) {
        code = put_entries(&entries, run, err);
    }
    if (code == POISE_OK) {
        code = store_runs_clean(life->store, err); /* of a try that failed */
    }
    struct store_slice last = {.run = block_run(run, 0),
                               .last_place = first_place(run + 1) - 1,
                               .as_of_ms = (int64_t)run,
                               .entries = entries.data,
                               .entries_length = entries.length};
    if (code == POISE_OK) {
        code = put_slices(life, &last, err);
    }
    life->runs += code == POISE_OK;
    buf_free(&entries);
    return code;
}

/* ---- merging those of the first day ---- */

static poise_code note_source(void *visitor, const struct store_run *run)
{
    struct life *life = visitor;
    assert_true(life->source_count < sizeof life->sources / sizeof *life->sources);
    life->sources[life->source_count++] = run->run;
    return POISE_OK;
}

static const struct store_run_range first_day = {.input = INPUT};

static uint64_t merged_run(const struct life *life)
{
    return block_run(life->runs, (unsigned)life->merges + 1);
}

poise_code step_merge(struct life *life, poise_error *err)
{
    struct store_reader *reader = NULL;
    life->block_count = life->source_count = 0;
    poise_code code = store_reader_open(life->store, &reader, err);
    if (code == POISE_OK) {
        code = store_read_runs(reader, &first_day, note_source, life, err);
    }
    if (code == POISE_OK) {
        code = store_merge_runs(reader, 0, INPUT, life->sources, life->source_count, merged_run(life),
                                keep_block, life, err);
    }
    store_reader_close(reader);
    return code;
}

poise_code step_put_merge(struct life *life, poise_error *err)
{
    struct store_slice last = {.run = merged_run(life),
                               .input = INPUT,
                               .sources = life->sources,
                               .source_count = life->source_count};
    poise_code code = put_slices(life, &last, err);
    life->merges += code == POISE_OK;
    return code;
}

void rows_find(const struct life *life, uint64_t *ret_runs, uint64_t *ret_merges)
{
    struct life found = {0};
    struct store_reader *reader = NULL;
    assert_int_equal(store_reader_open(life->store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_runs(reader, &first_day, note_source, &found, NULL), POISE_OK);
    store_reader_close(reader);
    *ret_runs = store_chunks_lsn(life->store);
    *ret_merges = 0;
    for (size_t i = 0; i < found.source_count; i++) {
        unsigned level = block_run_level(found.sources[i]);
        *ret_merges = level > *ret_merges ? level : *ret_merges;
    }
}

/* ---- reading ---- */

struct reading {
    uint64_t runs; /* that there are */
    uint64_t rows, gone, keys;
};

static poise_code check_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct reading *reading = visitor;
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t run = (uint64_t)(rows->time_ms[i] % DAY_MS / 1000);
        bool goes = rows->ordinal[i] == first_place(run) && run < reading->runs;
        assert_int_equal(rows->ordinal[i] / PLACES, run);
        assert_true(rows->value[i] == (double)run && series < SERIES);
        assert_int_equal(rows->gone ? rows->gone[i] : 0, goes ? first_place(run + 1) : 0);
        reading->gone += goes;
        reading->keys += rows->key && rows->key[i].length == 3;
    }
    reading->rows += rows->count;
    return POISE_OK;
}

poise_code step_read_rows(struct life *life, poise_error *err)
{
    struct reading reading = {.runs = life->runs};
    const struct store_rows_query query = {
        .input = INPUT, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = UINT64_MAX};
    const struct store_rows_visit visit = {.rows = check_rows, .visitor = &reading};
    struct store_reader *reader = NULL;
    poise_code code = store_reader_open(life->store, &reader, err);
    if (code == POISE_OK) {
        code = store_read_rows(reader, &query, &visit, err);
    }
    store_reader_close(reader);
    if (code == POISE_OK) {
        assert_int_equal(reading.rows, life->runs * DAYS * SERIES * ROWS);
        assert_int_equal(reading.keys, life->runs * DAYS * SERIES);
        assert_int_equal(reading.gone, life->runs > 0 ? life->runs - 1 : 0);
    }
    return code;
}
