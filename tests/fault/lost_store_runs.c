/* Steps with runs of rows: they are put and merged in slices, some not to the end. */
#include "lost_store.h"
#include <store/runs.h>

enum { SLICE_BLOCKS = 3, SOURCES = 64, ENTRY = 16 /* commits or names */ };

/* With a record or alone. */
static poise_code commit(struct work *work, const struct store_slice *slice)
{
    poise_error err = {0};
    uint64_t lsn = store_last_lsn(work->store) + 1;
    poise_code code = draw(work, 2) ? store_commit(work->store, NULL, slice, NULL, &err)
                                    : scratch_try_commit(work->store, lsn, length_of(lsn), slice, &err);
    did(work, code, &err);
    if (code == POISE_OK) {
        noted(work);
    }
    return code;
}

/* `first` and `last` are what its first and last slice have besides blocks. Left unfinished now and then. */
static void put_slices(struct work *work, const struct blocks *blocks, struct store_slice first,
                       struct store_slice last)
{
    size_t at = 0;
    bool leave = draw(work, 4) == 0, whole = false;
    work->unfinished = true;
    for (int i = 0; !whole; i++) {
        struct block some[SLICE_BLOCKS];
        struct store_slice slice = i == 0 ? first : (struct store_slice){.run = first.run};
        size_t count = 0, most = draw(work, SLICE_BLOCKS + 1);
        for (; count < most && at < blocks->count; at++) {
            some[count++] = blocks->all[at].block;
        }
        whole = at == blocks->count && slice.entries_length == 0;
        if (whole && leave) {
            return;
        }
        slice = whole ? last : slice;
        slice.bucket = last.bucket;
        slice.input = last.input;
        slice.blocks = some;
        slice.block_count = count;
        if (commit(work, &slice) != POISE_OK) {
            return;
        }
    }
    work->unfinished = false;
}

/* What a process that goes on does with a run that it could not finish. */
static bool give_up_unfinished(struct work *work)
{
    poise_error err = {0};
    poise_code code = work->unfinished ? store_runs_clean(work->store, &err) : POISE_OK;
    did(work, code, &err);
    work->unfinished = code != POISE_OK;
    return code == POISE_OK;
}

/* ---- of records ---- */

static void put_names(struct buf *entries, uint64_t from, uint64_t until)
{
    uint32_t first = series_until(from - 1), end = series_until(until);
    while (first < end) {
        struct past_name names[ENTRY];
        char orgs[ENTRY][16];
        uint32_t count = 0;
        for (; count < ENTRY && first + count < end; count++) {
            names[count] = name_of(first + count, orgs[count]);
        }
        past_put_names(entries, first, names, count);
        first += count;
    }
}

static void put_remains(struct buf *entries, uint64_t from, uint64_t until)
{
    for (uint64_t lsn = from; lsn <= until; lsn++) {
        const struct journal_record rest = {
            .lsn = lsn, .as_of_ms = commit_of(lsn).as_of_ms, .first_ordinal = commit_of(lsn).first_place};
        if (has_remains(lsn)) {
            assert_int_equal(past_put_remains(entries, &rest, NULL), POISE_OK);
        }
    }
}

static void put_commits(struct buf *entries, uint64_t from, uint64_t until)
{
    while (from <= until) {
        struct past_commit commits[ENTRY];
        size_t count = 0;
        for (; count < ENTRY && from + count <= until; count++) {
            commits[count] = commit_of(from + count);
        }
        past_put_commits(entries, from, commits, count);
        from += count;
    }
}

static void put_run_until(struct work *work, uint64_t from, uint64_t until)
{
    struct blocks blocks = {0};
    struct buf began = {0}, ends = {0};
    uint64_t run = block_run(until, 0), random = draw(work, UINT64_MAX);
    const struct plain plain = rows_until(until);
    blocks_build(&blocks, &plain, last_place(from - 1) + 1, plain.count, run, &random);
    put_names(&began, from, until);
    put_remains(&began, from, until);
    put_commits(&ends, from, until);
    put_slices(work, &blocks,
               (struct store_slice){.run = run, .entries = began.data, .entries_length = began.length},
               (struct store_slice){.run = run,
                                    .entries = ends.data,
                                    .entries_length = ends.length,
                                    .whole = true,
                                    .last_place = last_place(until),
                                    .as_of_ms = commit_of(until).as_of_ms});
    blocks_free(&blocks);
    buf_free(&began);
    buf_free(&ends);
}

void put_run(struct work *work)
{
    uint64_t from = store_chunks_lsn(work->store) + 1, last = store_last_lsn(work->store);
    if (from <= last && give_up_unfinished(work)) {
        put_run_until(work, from, last - draw(work, 2) * draw(work, last + 1 - from));
    }
}

/* ---- of runs ---- */

struct sources {
    uint64_t runs[SOURCES];
    size_t count;
    uint64_t lsn;
    unsigned level;
};

static poise_code add_source(void *visitor, const struct store_run *run)
{
    struct sources *sources = visitor;
    uint64_t lsn = block_run_lsn(run->run);
    unsigned level = block_run_level(run->run);
    if (sources->count < SOURCES) {
        sources->runs[sources->count++] = run->run;
        sources->lsn = sources->lsn > lsn ? sources->lsn : lsn;
        sources->level = sources->level > level ? sources->level : level;
    }
    return POISE_OK;
}

void merge_runs(struct work *work)
{
    struct blocks blocks = {0};
    struct sources sources = {0};
    struct store_reader *reader = NULL;
    poise_error err = {0};
    int32_t bucket = (int32_t)draw(work, BUCKETS) - 1;
    uint32_t input = 1 + (uint32_t)draw(work, INPUTS);
    const struct store_run_range range = {.from_bucket = bucket, .until_bucket = bucket, .input = input};
    if (!give_up_unfinished(work)) {
        return;
    }
    assert_int_equal(store_reader_open(work->store, &reader, &err), POISE_OK);
    assert_int_equal(store_read_runs(reader, &range, add_source, &sources, &err), POISE_OK);
    uint64_t into = block_run(sources.lsn, sources.level + 1);
    if (sources.count > 1 && store_merge_runs(reader, bucket, input, sources.runs, sources.count, into,
                                              blocks_take, &blocks, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    store_reader_close(reader); /* or the map could not grow */
    if (sources.count > 1) {
        put_slices(work, &blocks, (struct store_slice){.run = into},
                   (struct store_slice){.run = into,
                                        .whole = true,
                                        .bucket = bucket,
                                        .input = input,
                                        .sources = sources.runs,
                                        .source_count = sources.count,
                                        .sweep = draw(work, 3)});
    }
    blocks_free(&blocks);
}

/* Orders to erase are done; upkeep goes on with it from here. */
void scrub(struct work *work)
{
    uint64_t lsn = store_chunks_lsn(work->store), state_lsn = store_mark(work->store).state_lsn;
    lsn = lsn < state_lsn ? lsn : state_lsn;
    if (lsn > store_erased_lsn(work->store) &&
        commit(work, &(struct store_slice){.erased_lsn = lsn}) == POISE_OK) {
        store_scrub(work->store, lsn);
    }
}
