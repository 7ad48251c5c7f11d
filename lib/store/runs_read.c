/* Reading runs: which there are, and their rows, over merges that take place meanwhile. */
#include "block_inner.h"
#include "inner.h"
#include "merge.h"
#include "row_buf.h"
#include "runs.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

uint64_t store_reader_chunks_lsn(const struct store_reader *reader)
{
    return reader->past.lsn;
}

uint64_t store_reader_state_lsn(const struct store_reader *reader)
{
    return reader->mark.state_lsn;
}

static poise_code ensure(struct store_reader *reader, poise_error *err)
{
    return reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
}

/* ---- which there are ---- */

/* Goes on at the first live entry that is not before (bucket, input, run); MDB_NOTFOUND: there is none. */
static int seek_run(MDB_cursor *at, int32_t bucket, uint32_t input, uint64_t run, MDB_val *key,
                    MDB_val *value)
{
    uint8_t name[RUN_KEY_BYTES];
    run_key_put(RUN_LIVE, bucket, input, run, name);
    *key = (MDB_val){.mv_size = sizeof name, .mv_data = name};
    int rc = mdb_cursor_get(at, key, value, MDB_SET_RANGE);
    return rc == 0 && key->mv_size > 0 && ((const uint8_t *)key->mv_data)[0] != RUN_LIVE ? MDB_NOTFOUND : rc;
}

/* The next pair of bucket and input in the range behind the one that is no more wanted. */
static bool step_over(const struct store_run_range *range, const struct store_run *run, int32_t *bucket,
                      uint32_t *input)
{
    *bucket = run->bucket;
    *input = range->input;
    if (run->input > range->input) {
        if (run->bucket == INT32_MAX) {
            return false;
        }
        ++*bucket;
    }
    return true;
}

static poise_code read_runs(struct store_reader *reader, const struct store_run_range *range, MDB_cursor *at,
                            poise_code (*visit)(void *visitor, const struct store_run *run), void *visitor,
                            poise_error *err)
{
    MDB_val key, value;
    int rc = seek_run(at, range->from_bucket, range->any_input ? 0 : range->input, 0, &key, &value);
    while (rc == 0) {
        enum run_kind kind;
        struct store_run run;
        int32_t bucket;
        uint32_t input;
        poise_code code = run_take(reader->store, &key, &value, &kind, &run, err);
        if (code != POISE_OK) {
            return code;
        }
        if (kind != RUN_LIVE || run.bucket > range->until_bucket) {
            return POISE_OK;
        }
        if (!range->any_input && run.input != range->input) {
            if (!step_over(range, &run, &bucket, &input)) {
                return POISE_OK;
            }
            rc = seek_run(at, bucket, input, 0, &key, &value);
            continue;
        }
        if (block_run_lsn(run.run) <= reader->past.lsn && (code = visit(visitor, &run)) != POISE_OK) {
            return code == POISE_ECLOSED ? POISE_OK : code;
        }
        rc = mdb_cursor_get(at, &key, &value, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? POISE_OK : env_error(reader->store, rc, "read runs", err);
}

poise_code store_read_runs(struct store_reader *reader, const struct store_run_range *range,
                           poise_code (*visit)(void *visitor, const struct store_run *run), void *visitor,
                           poise_error *err)
{
    MDB_cursor *at;
    poise_code code = ensure(reader, err);
    if (code != POISE_OK) {
        return code;
    }
    int rc = mdb_cursor_open(reader->txn, reader->store->lmdb[LMDB_RUNS], &at);
    if (rc != 0) {
        return env_error(reader->store, rc, "read runs", err);
    }
    code = read_runs(reader, range, at, visit, visitor, err);
    mdb_cursor_close(at);
    return code;
}

/* ---- blocks of a run ---- */

struct walk {
    struct store_reader *reader;
    MDB_cursor *at;
    struct block_key from; /* the least that is wanted */
    bool begun;
};

static void skip_blocks(void *run, uint64_t series)
{
    ((struct walk *)run)->from.series = series;
}

static bool is_of(const struct walk *walk, const struct block_key *key)
{
    return key->bucket == walk->from.bucket && key->input == walk->from.input && key->run == walk->from.run;
}

static poise_code take_block_key(const struct walk *walk, const MDB_val *key, struct block_key *ret_key,
                                 poise_error *err)
{
    return block_key_take(key->mv_data, key->mv_size, ret_key)
               ? POISE_OK
               : error_set(err, POISE_ECORRUPT, "%s is damaged: a key of table chunks has %zu bytes",
                           walk->reader->store->path, key->mv_size);
}

/* A series may begin in the block before the first that begins with it, or with one behind it. */
static int seek_block(struct walk *walk, MDB_val *key, MDB_val *value)
{
    uint8_t name[BLOCK_KEY_BYTES];
    struct block_key before;
    block_key_put(&walk->from, name);
    *key = (MDB_val){.mv_size = sizeof name, .mv_data = name};
    int rc = mdb_cursor_get(walk->at, key, value, MDB_SET_RANGE);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return rc;
    }
    bool has_after = rc == 0;
    rc = mdb_cursor_get(walk->at, key, value, has_after ? MDB_PREV : MDB_LAST);
    if (rc == 0 && block_key_take(key->mv_data, key->mv_size, &before) && is_of(walk, &before)) {
        return 0;
    }
    if (!has_after || (rc != 0 && rc != MDB_NOTFOUND)) {
        return has_after ? rc : MDB_NOTFOUND;
    }
    *key = (MDB_val){.mv_size = sizeof name, .mv_data = name};
    return mdb_cursor_get(walk->at, key, value, MDB_SET_RANGE);
}

static poise_code next_block(void *run, struct block_reader *ret_block, bool *ret_more, poise_error *err)
{
    struct walk *walk = run;
    MDB_val key, value;
    struct block_key taken;
    bool found = false;
    *ret_more = false;
    for (bool seeks = !walk->begun; !found; seeks = true) {
        int rc = seeks ? seek_block(walk, &key, &value) : mdb_cursor_get(walk->at, &key, &value, MDB_NEXT);
        if (rc != 0) {
            return rc == MDB_NOTFOUND ? POISE_OK : env_error(walk->reader->store, rc, "read blocks", err);
        }
        poise_code code = take_block_key(walk, &key, &taken, err);
        if (code != POISE_OK || !is_of(walk, &taken)) {
            return code;
        }
        found = seeks || taken.series >= walk->from.series; /* else a later one may begin with it */
    }
    walk->begun = true;
    *ret_more = true;
    poise_code code = block_open(ret_block, &taken, value.mv_data, value.mv_size, err);
    return code == POISE_OK ? code : error_wrap(err, "%s", walk->reader->store->path);
}

/* ---- runs of a bucket side by side ---- */

struct reading {
    struct store_reader *reader;
    struct merge_range range; /* moves on with what was given */
    uint32_t input;
    uint64_t from_place, until_place;
    const uint64_t *sources; /* NULL: all */
    size_t source_count;
    poise_code (*give)(struct reading *reading, const struct merge_item *item, poise_error *err);

    int32_t bucket; /* that is read */
    struct store_run *runs;
    size_t run_count, run_capacity;
    struct walk *walks;
    struct merge *merge;

    /* whom give gives to */
    const struct store_rows_visit *visit;
    struct row_buf kept;
    struct block_builder *builder;
};

static void close_merge(struct reading *reading)
{
    merge_close(reading->merge);
    reading->merge = NULL;
    for (size_t i = 0; reading->walks && i < reading->run_count; i++) {
        mdb_cursor_close(reading->walks[i].at);
    }
    free(reading->walks);
    reading->walks = NULL;
}

static bool is_wanted(const struct reading *reading, const struct store_run *run)
{
    bool wanted = !reading->sources;
    for (size_t i = 0; i < reading->source_count && !wanted; i++) {
        wanted = reading->sources[i] == run->run;
    }
    return wanted && run->stats.min_time_ms <= reading->range.until_ms &&
           run->stats.max_time_ms >= reading->range.from_ms && run->stats.last_place > reading->from_place &&
           run->stats.first_place <= reading->until_place;
}

static poise_code note_run(void *visitor, const struct store_run *run)
{
    struct reading *reading = visitor;
    if (!is_wanted(reading, run)) {
        return POISE_OK;
    }
    if (reading->run_count == reading->run_capacity) {
        size_t capacity = reading->run_capacity ? 2 * reading->run_capacity : 16;
        struct store_run *runs = realloc(reading->runs, capacity * sizeof *runs);
        if (!runs) {
            return POISE_ENOMEM;
        }
        reading->runs = runs;
        reading->run_capacity = capacity;
    }
    reading->runs[reading->run_count++] = *run;
    return POISE_OK;
}

static poise_code find_runs(struct reading *reading, poise_error *err)
{
    const struct store_run_range range = {
        .from_bucket = reading->bucket, .until_bucket = reading->bucket, .input = reading->input};
    reading->run_count = 0;
    poise_code code = store_read_runs(reading->reader, &range, note_run, reading, err);
    if (code == POISE_ENOMEM) {
        return error_nomem(err, "a list of runs");
    }
    if (code == POISE_OK && reading->sources && reading->run_count != reading->source_count) {
        return error_set(err, POISE_ENOTFOUND,
                         "%s: of %zu runs to be merged in bucket %" PRId32 ", input %" PRIu32
                         " %zu are there",
                         reading->reader->store->path, reading->source_count, reading->bucket, reading->input,
                         reading->run_count);
    }
    return code;
}

static poise_code open_walks(struct reading *reading, poise_error *err)
{
    struct store *store = reading->reader->store;
    const struct merge_range *range = &reading->range;
    uint64_t first = range->choose ? range->choose(range->chooser, range->from_series) : range->from_series;
    reading->walks = calloc(reading->run_count + 1, sizeof *reading->walks);
    if (!reading->walks) {
        reading->run_count = 0;
        return error_nomem(err, "a list of runs");
    }
    for (size_t i = 0; i < reading->run_count; i++) {
        struct walk *walk = &reading->walks[i];
        walk->reader = reading->reader;
        walk->from = (struct block_key){
            .bucket = reading->bucket, .input = reading->input, .run = reading->runs[i].run, .series = first};
        int rc = mdb_cursor_open(reading->reader->txn, store->lmdb[LMDB_CHUNKS], &walk->at);
        if (rc != 0) {
            reading->run_count = i; /* these have a cursor */
            return env_error(store, rc, "read blocks", err);
        }
    }
    return POISE_OK;
}

static poise_code open_merge(struct reading *reading, poise_error *err)
{
    poise_code code = find_runs(reading, err);
    if (code == POISE_OK) {
        code = open_walks(reading, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    struct merge_run *runs = calloc(reading->run_count + 1, sizeof *runs);
    for (size_t i = 0; runs && i < reading->run_count; i++) {
        const struct block_stats *stats = &reading->runs[i].stats;
        runs[i] = (struct merge_run){.next = next_block,
                                     .skip = skip_blocks,
                                     .run = &reading->walks[i],
                                     .heads = stats->last_place <= reading->until_place &&
                                              stats->first_place > reading->from_place,
                                     .no_marks = stats->marks == 0};
    }
    reading->merge = runs ? merge_open(runs, reading->run_count, &reading->range) : NULL;
    free(runs);
    return reading->merge ? POISE_OK : error_nomem(err, "a merge of runs");
}

/* The item was given: if the merge is opened anew it begins behind it. */
static void move_on(struct reading *reading, const struct merge_item *item)
{
    struct merge_range *range = &reading->range;
    range->from_series = item->series;
    range->is_after = item->kind != MERGE_HEAD && !range->heads;
    if (range->is_after) {
        range->after_ms = item->rows.time_ms[item->rows.count - 1];
        range->after_place = item->rows.ordinal[item->rows.count - 1];
    }
}

/* With heads the rows of a series come in no order, so that none can be left in its middle. */
static bool may_renew(const struct reading *reading, const struct merge_item *item, bool has_given)
{
    return has_given && reader_due(reading->reader) &&
           (!reading->range.heads || item->series != reading->range.from_series);
}

static poise_code renew(struct reading *reading, uint64_t series, poise_error *err)
{
    close_merge(reading);
    if (reading->range.heads) {
        reading->range.from_series = series; /* nothing of it was given yet */
    }
    poise_code code = reader_renew(reading->reader, err);
    return code == POISE_OK ? open_merge(reading, err) : code;
}

static poise_code read_bucket(struct reading *reading, poise_error *err)
{
    bool has_given = false; /* since it was renewed: so that it gets on */
    poise_code code = open_merge(reading, err);
    while (code == POISE_OK) {
        struct merge_item item;
        code = merge_next(reading->merge, &item, err);
        if (code != POISE_OK || item.kind == MERGE_END) {
            break;
        }
        if (may_renew(reading, &item, has_given)) {
            has_given = false;
            code = renew(reading, item.series, err);
            continue;
        }
        code = reading->give(reading, &item, err);
        if (code == POISE_OK) {
            move_on(reading, &item);
            has_given = true;
        }
    }
    close_merge(reading);
    return code;
}

/* ---- rows for a reader ---- */

/* As the rows stood at until_place. */
static poise_code give_as_of(struct reading *reading, const struct merge_item *item, poise_error *err)
{
    const struct chunk_rows *rows = &item->rows;
    const uint64_t from = reading->from_place, until = reading->until_place;
    struct row_buf *kept = &reading->kept;
    bool all = true;
    for (size_t i = 0; i < rows->count; i++) {
        all &=
            rows->ordinal[i] > from && rows->ordinal[i] <= until && (!rows->gone || rows->gone[i] <= until);
    }
    if (all) {
        return reading->visit->rows(reading->visit->visitor, item->series, rows);
    }
    kept->count = kept->texts.length = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->ordinal[i] > from && rows->ordinal[i] <= until) {
            if (!row_buf_add(kept, rows, i, 1)) {
                return error_nomem(err, "rows of the store");
            }
            uint64_t *gone = &kept->gone[kept->count - 1];
            *gone = *gone > until ? 0 : *gone;
        }
    }
    struct chunk_rows view = row_buf_rows(kept, 0, kept->count);
    return kept->count == 0 ? POISE_OK : reading->visit->rows(reading->visit->visitor, item->series, &view);
}

static poise_code give_rows(struct reading *reading, const struct merge_item *item, poise_error *err)
{
    const struct store_rows_visit *visit = reading->visit;
    return item->kind == MERGE_HEAD ? visit->head(visit->visitor, item->series, &item->head)
                                    : give_as_of(reading, item, err);
}

struct finding {
    int32_t bucket;
    bool found;
};

static poise_code note_bucket(void *visitor, const struct store_run *run)
{
    *(struct finding *)visitor = (struct finding){.bucket = run->bucket, .found = true};
    return POISE_ECLOSED;
}

static poise_code read_buckets(struct reading *reading, int32_t from, int32_t until, poise_error *err)
{
    const struct merge_range range = reading->range;
    for (;;) {
        struct finding first = {0};
        const struct store_run_range wanted = {
            .from_bucket = from, .until_bucket = until, .input = reading->input};
        poise_code code = store_read_runs(reading->reader, &wanted, note_bucket, &first, err);
        if (code != POISE_OK || !first.found) {
            return code;
        }
        reading->bucket = first.bucket;
        reading->range = range;
        code = read_bucket(reading, err);
        if (code != POISE_OK || first.bucket == until) {
            return code;
        }
        from = first.bucket + 1;
    }
}

poise_code store_read_rows(struct store_reader *reader, const struct store_rows_query *query,
                           const struct store_rows_visit *visit, poise_error *err)
{
    struct reading reading = {.reader = reader,
                              .range = {.from_series = query->one_series ? query->series : 0,
                                        .until_series = query->one_series ? query->series : UINT64_MAX,
                                        .from_ms = query->from_ms,
                                        .until_ms = query->until_ms,
                                        .heads = visit->head != NULL,
                                        .choose = query->choose,
                                        .will_do = visit->will_do,
                                        .chooser = visit->visitor,
                                        .effort = query->effort},
                              .input = query->input,
                              .from_place = query->from_place,
                              .until_place = query->until_place,
                              .give = give_rows,
                              .visit = visit};
    if (query->from_ms > query->until_ms) {
        return POISE_OK;
    }
    poise_code code =
        row_buf_make(&reading.kept, CHUNK_PART) ? POISE_OK : error_nomem(err, "rows of the store");
    if (code == POISE_OK) {
        code = read_buckets(&reading, block_bucket(query->from_ms), block_bucket(query->until_ms), err);
    }
    row_buf_free(&reading.kept);
    free(reading.runs);
    return code == POISE_ECLOSED ? POISE_OK : code;
}

/* ---- merges ---- */

static poise_code give_to_builder(struct reading *reading, const struct merge_item *item, poise_error *err)
{
    return merge_give(item, (struct block_place){.bucket = reading->bucket, .input = reading->input},
                      reading->builder, err);
}

poise_code store_merge_runs(struct store_reader *reader, int32_t bucket, uint32_t input,
                            const uint64_t *sources, size_t source_count, uint64_t into, block_take *take,
                            void *taker, poise_error *err)
{
    struct reading reading = {.reader = reader,
                              .range = {.until_series = UINT64_MAX,
                                        .from_ms = INT64_MIN,
                                        .until_ms = INT64_MAX,
                                        .keep_marks = true},
                              .input = input,
                              .until_place = UINT64_MAX,
                              .sources = sources,
                              .source_count = source_count,
                              .give = give_to_builder,
                              .bucket = bucket,
                              .builder = block_builder_open(into, take, taker)};
    poise_code code = reading.builder ? read_bucket(&reading, err) : error_nomem(err, "a merge of runs");
    if (code == POISE_OK) {
        code = block_builder_end(reading.builder, err);
    }
    block_builder_close(reading.builder);
    free(reading.runs);
    return code;
}
