/* What was erased vanishes from the disk. Each step looks where it is, so that a start may begin anew with
 * the first: what is done already has nothing left to do. */
#include "batch.h"
#include "compact_inner.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

bool compact_purges(const struct compact *compact)
{
    const struct erasures *erasures = &compact->erasures;
    return erasures->count > 0 && erasures->items[erasures->count - 1].lsn > store_erased_lsn(compact->store);
}

static bool is_pending(const struct compact *compact, const struct erasure *erasure)
{
    return erasure->lsn > store_erased_lsn(compact->store);
}

/* ---- rows in runs ---- */

struct looking {
    struct compact *compact;
    struct compact_group group;
    bool found; /* in some row */
};

/* Whether an order that is not done names some measurement of the input, in the time of the run. */
static bool may_have(const struct looking *looking, const struct store_run *run)
{
    const struct compact *compact = looking->compact;
    for (size_t i = 0; i < compact->erasures.count; i++) {
        const struct erasure *erasure = &compact->erasures.items[i];
        bool of_input = run->input < compact->names.measures.count &&
                        (!erasure->measure[0] ||
                         strcmp(erasure->measure, intern_text(&compact->names.measures, run->input)) == 0);
        if (is_pending(compact, erasure) && of_input && run->stats.min_time_ms < erasure->to_ms &&
            run->stats.max_time_ms >= erasure->from_ms && run->stats.first_place <= erasure->place)
            return true;
    }
    return false;
}

static poise_code note_run(void *visitor, const struct store_run *run)
{
    struct looking *looking = visitor;
    const struct purge *purge = &looking->compact->purge;
    struct compact_group *group = &looking->group;
    if (run->bucket == purge->bucket && run->input < purge->input)
        return POISE_OK;
    if (group->count > 0 && (run->bucket != group->bucket || run->input != group->input)) {
        if (looking->found)
            return POISE_ECLOSED;
        group->count = 0;
    }
    group->bucket = run->bucket;
    group->input = run->input;
    looking->found |= may_have(looking, run);
    if (group->count < PIECE_SOURCES)
        group->runs[group->count++] = *run;
    return POISE_OK;
}

static poise_code look_at_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct looking *looking = visitor;
    poise_code code = compact_check_stop(looking->compact);
    for (size_t i = 0; !code && i < rows->count && !looking->found; i++)
        looking->found = !(rows->retract && rows->retract[i]) &&
                         compact_is_out(looking->compact, series, rows->time_ms[i], rows->ordinal[i]);
    return code || !looking->found ? code : POISE_ECLOSED;
}

enum { DAY_MS = 86400000 };

/* The first group from where the purge is that may have something; *ret_any false: there is none. */
static poise_code next_group(struct looking *looking, struct store_reader *reader, bool *ret_any)
{
    struct compact *compact = looking->compact;
    const struct store_run_range range = {
        .from_bucket = compact->purge.bucket, .until_bucket = INT32_MAX, .any_input = true};
    looking->group.count = 0;
    looking->found = false;
    poise_code code = store_read_runs(reader, &range, note_run, looking, compact->err);
    *ret_any = !code && looking->found;
    if (*ret_any) {
        compact->purge.bucket = looking->group.bucket;
        compact->purge.input = looking->group.input;
    }
    return code;
}

static poise_code look_at_group(struct looking *looking, struct store_reader *reader)
{
    struct compact *compact = looking->compact;
    const struct compact_group *group = &looking->group;
    const struct store_rows_query query = {.input = group->input,
                                           .from_ms = (int64_t)group->bucket * DAY_MS,
                                           .until_ms = ((int64_t)group->bucket + 1) * DAY_MS - 1,
                                           .until_place = UINT64_MAX};
    const struct store_rows_visit visit = {.rows = look_at_rows, .visitor = looking};
    looking->found = false;
    return store_read_rows(reader, &query, &visit, compact->err);
}

/* Merges one group. One that had more runs than a merge takes is looked at again. */
static poise_code purge_rows(struct compact *compact, struct store_reader *reader, bool *ret_any)
{
    struct looking *looking = calloc(1, sizeof *looking);
    bool more = true;
    poise_code code = looking ? names_read(&compact->names, reader, compact->err)
                              : error_nomem(compact->err, "runs of rows");
    while (!code && more && !*ret_any) {
        looking->compact = compact;
        code = next_group(looking, reader, &more);
        if (!code && more)
            code = look_at_group(looking, reader);
        if (code || !more)
            break;
        *ret_any = looking->found;
        if (looking->found)
            code = compact_merge_group(compact, reader, &looking->group);
        else
            compact->purge.input++; /* inputs are far from 2^32 */
    }
    free(looking);
    return code;
}

/* ---- what remains of records ---- */

struct rewriting {
    struct compact *compact;
    uint64_t place;
    struct journal_batch *batches;
    size_t count;
    struct buf *bodies; /* of batches that are made anew; as many as rows are refused at most */
    size_t made;
};

static bool has_held(const struct journal_batch *batch)
{
    for (size_t i = 0; i < batch->refused_count; i++)
        if (batch_holds(batch->reasons[i]))
            return true;
    return false;
}

static bool is_row_out(const struct rewriting *rewriting, const struct wire_batch *rows, uint32_t at)
{
    const struct wire_series *series = &rows->series[rows->row_series[at]];
    return !(rows->retract && rows->retract[at]) &&
           erasures_have(&rewriting->compact->erasures, rows->symbols[series->measure],
                         rows->symbols[series->org], rows->time_ms[at], rewriting->place + at);
}

static bool has_out(const struct rewriting *rewriting, const struct wire_batch *rows)
{
    for (uint32_t at = 0; at < rows->rows; at++)
        if (is_row_out(rewriting, rows, at))
            return true;
    return false;
}

static bool stays(const struct rewriting *rewriting, const struct journal_batch *batch,
                  const struct wire_batch *rows, size_t at)
{
    return batch_holds(batch->reasons[at]) && batch->refused[at] < rows->rows &&
           !is_row_out(rewriting, rows, batch->refused[at]);
}

static void keep_places(struct rewriting *rewriting, uint32_t rows)
{
    if (rows > 0)
        rewriting->batches[rewriting->count++] = (struct journal_batch){.producer = "", .rows = rows};
}

/* Refused rows that are one behind the other, as a batch. */
static poise_code keep_rows(struct rewriting *rewriting, const struct journal_batch *batch,
                            const struct wire_batch *rows, size_t from, size_t until)
{
    uint32_t count = (uint32_t)(until - from);
    struct wire_builder *builder = wire_builder_open();
    uint32_t *refused = arena_alloc(&rewriting->compact->arena, count * sizeof *refused);
    struct buf *body = &rewriting->bodies[rewriting->made++];
    poise_code code = builder && refused ? POISE_OK : POISE_ENOMEM;
    for (uint32_t i = 0; !code && i < count; i++) {
        const poise_measurement row = wire_batch_row(rows, batch->refused[from + i]);
        code = wire_builder_add(builder, &row);
        refused[i] = i;
    }
    if (!code)
        code =
            wire_builder_finish(builder, batch->epoch ? batch->epoch : 1, batch->seq ? batch->seq : 1, body);
    wire_builder_close(builder);
    if (code)
        return code;
    struct journal_batch *held = &rewriting->batches[rewriting->count++];
    *held = *batch;
    held->rows = count;
    held->refused_count = count;
    held->refused = refused;
    held->reasons = batch->reasons + from;
    held->body = body->data;
    held->body_length = body->length;
    held->notes_length = 0;
    return POISE_OK;
}

/* Of the batch stays what is held still, at its places; of its other rows these alone. */
static poise_code keep_held(struct rewriting *rewriting, const struct journal_batch *batch,
                            const struct wire_batch *rows)
{
    poise_code code = POISE_OK;
    uint32_t next = 0;
    for (size_t i = 0, until; !code && i < batch->refused_count; i = until) {
        until = i + 1;
        if (!stays(rewriting, batch, rows, i))
            continue;
        while (until < batch->refused_count && batch->refused[until] == batch->refused[until - 1] + 1 &&
               stays(rewriting, batch, rows, until))
            until++;
        keep_places(rewriting, batch->refused[i] - next);
        next = batch->refused[until - 1] + 1;
        code = keep_rows(rewriting, batch, rows, i, until);
    }
    keep_places(rewriting, batch->rows - next);
    return code ? error_nomem(rewriting->compact->err, "what remains of a record") : POISE_OK;
}

static poise_code rewrite_batch(struct rewriting *rewriting, const struct journal_batch *batch, bool *ret_any)
{
    struct compact *compact = rewriting->compact;
    struct wire_batch rows;
    poise_code code = POISE_OK;
    bool out = false;
    if (has_held(batch)) {
        code = wire_decode_batch(batch->body, batch->body_length, &compact->arena, &rows, compact->err);
        out = !code && has_out(rewriting, &rows);
    }
    *ret_any |= out;
    if (!code && out)
        code = keep_held(rewriting, batch, &rows);
    else if (!code)
        rewriting->batches[rewriting->count++] = *batch;
    rewriting->place += batch->rows;
    return code;
}

static void free_rewriting(struct rewriting *rewriting)
{
    for (size_t i = 0; i < rewriting->made; i++)
        buf_free(&rewriting->bodies[i]);
    free(rewriting->bodies);
    free(rewriting->batches);
}

static poise_code rewrite(void *visitor, const struct journal_record *record)
{
    struct compact *compact = visitor;
    struct rewriting rewriting = {.compact = compact, .place = record->first_ordinal};
    bool any = false;
    size_t refused = 0;
    poise_code code = compact_check_stop(compact);
    arena_reset(&compact->arena);
    for (size_t i = 0; i < record->batch_count; i++)
        refused += record->batches[i].refused_count;
    rewriting.batches = calloc(record->batch_count + 2 * refused + 1, sizeof *rewriting.batches);
    rewriting.bodies = calloc(refused + 1, sizeof *rewriting.bodies);
    if (!code && (!rewriting.batches || !rewriting.bodies))
        code = error_nomem(compact->err, "what remains of a record");
    for (size_t i = 0; !code && i < record->batch_count; i++)
        code = rewrite_batch(&rewriting, &record->batches[i], &any);
    if (!code && any && !record->trimmed)
        code = error_set(compact->err, POISE_EBUSY, "record %llu of the journal is not trimmed",
                         (unsigned long long)record->lsn);
    if (!code && any) {
        struct journal_record rest = *record;
        rest.batches = rewriting.batches;
        rest.batch_count = rewriting.count;
        code = compact_open_piece(compact);
        if (!code)
            code = past_put_remains(&compact->piece->entries, &rest, compact->err);
        if (!code && compact->piece->entries.length >= COMPACT_PIECE_BYTES)
            code = compact_give_piece(compact);
    }
    free_rewriting(&rewriting);
    return code;
}

static poise_code purge_remains(struct compact *compact, struct store_reader *reader, bool *ret_any)
{
    compact->run = block_run(store_reader_chunks_lsn(reader), 1); /* of no run: entries alone */
    poise_code code =
        store_read_journal(reader, 1, compact->purge.lsn - 1, NULL, rewrite, compact, compact->err);
    *ret_any = !code && compact->piece != NULL;
    return code ? code : compact_give_piece(compact);
}

/* ---- the order of it all ---- */

static poise_code give_words(struct compact *compact, uint64_t scrub_lsn, uint64_t erased_lsn)
{
    poise_code code = compact_open_piece(compact);
    if (code)
        return code;
    compact->piece->scrub_lsn = scrub_lsn;
    compact->piece->slice.erased_lsn = erased_lsn;
    return compact_give_piece(compact);
}

static poise_code end(struct compact *compact, compact_ended *ended, void *context)
{
    const struct erasures *erasures = &compact->erasures;
    poise_code code = POISE_OK;
    for (size_t i = 0; !code && i < erasures->count; i++)
        if (is_pending(compact, &erasures->items[i]) && erasures->items[i].lsn <= compact->purge.lsn)
            code = ended(context, &erasures->items[i], compact->err);
    return code ? code : give_words(compact, 0, compact->purge.lsn);
}

static poise_code step(struct compact *compact, struct store_reader *reader, compact_ended *ended,
                       void *context, bool *ret_any)
{
    struct purge *purge = &compact->purge;
    poise_code code = POISE_OK;
    if (purge->phase == PURGE_ROWS) {
        code = purge_rows(compact, reader, ret_any);
        if (code || *ret_any)
            return code;
        purge->phase = PURGE_WAIT;
        *ret_any = true;
        return give_words(compact, purge->lsn, 0);
    }
    if (purge->phase == PURGE_WAIT) {
        if (store_scrubbed_lsn(compact->store) < purge->lsn)
            return POISE_OK;
        purge->phase = PURGE_REMAINS;
    }
    if (purge->phase == PURGE_REMAINS) {
        purge->phase = PURGE_END;
        code = purge_remains(compact, reader, ret_any);
        if (code || *ret_any)
            return code;
    }
    purge->phase = PURGE_ROWS;
    purge->bucket = INT32_MIN;
    purge->input = 0;
    *ret_any = true;
    return end(compact, ended, context);
}

poise_code compact_purge(struct compact *compact, compact_ended *ended, void *context, piece_take *take,
                         void *taker, bool *ret_any, poise_error *err)
{
    struct store_reader *reader;
    poise_error unused;
    struct purge *purge = &compact->purge;
    compact_begin(compact, take, taker, err ? err : &unused);
    *ret_any = false;
    poise_code code = store_reader_open(compact->store, &reader, compact->err);
    if (code)
        return code;
    code = compact_fold(compact, reader);
    if (!code && compact_purges(compact)) {
        uint64_t lsn = compact->erasures.items[compact->erasures.count - 1].lsn, run_lsn = 0;
        if (purge->lsn != lsn)
            *purge = (struct purge){.lsn = lsn, .bucket = INT32_MIN};
        if (store_reader_chunks_lsn(reader) >= lsn) {
            code = step(compact, reader, ended, context, ret_any);
        } else { /* its records first become runs */
            store_reader_close(reader);
            *ret_any = true;
            return compact_run(compact, lsn, take, taker, &run_lsn, err);
        }
    }
    if (code)
        *purge = (struct purge){.lsn = 0};
    compact_reset(compact);
    store_reader_close(reader);
    return code;
}
