#include "compact_inner.h"

#include "batch.h"
#include "definitions.h"
#include "restate.h"
#include <base/error.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <store/notes.h>
#include <string.h>

/* ---- pieces ---- */

void piece_free(struct piece *piece)
{
    if (!piece)
        return;
    buf_free(&piece->bytes);
    buf_free(&piece->entries);
    free(piece);
}

poise_code piece_put(const struct piece *piece, struct store *store, poise_error *err)
{
    if (piece->scrub_lsn)
        store_scrub(store, piece->scrub_lsn);
    return piece->abandoned ? store_runs_clean(store, err)
                            : store_commit(store, NULL, &piece->slice, NULL, err);
}

poise_code compact_open_piece(struct compact *compact)
{
    if (compact->piece)
        return POISE_OK;
    compact->piece = calloc(1, sizeof *compact->piece);
    if (!compact->piece)
        return error_nomem(compact->err, "blocks");
    compact->piece->slice =
        (struct store_slice){.run = compact->run, .bucket = compact->bucket, .input = compact->input};
    return POISE_OK;
}

poise_code compact_give_piece(struct compact *compact)
{
    struct piece *piece = compact->piece;
    compact->piece = NULL;
    if (!piece)
        return POISE_OK;
    if (piece->entries.failed) {
        piece_free(piece);
        return error_nomem(compact->err, "what stays of the journal");
    }
    for (size_t i = 0; i < piece->slice.block_count; i++)
        piece->blocks[i].bytes = piece->bytes.data + i * BLOCK_MAX;
    piece->slice.blocks = piece->blocks;
    piece->slice.entries = piece->entries.data;
    piece->slice.entries_length = piece->entries.length;
    return compact->take(compact->taker, piece, compact->err);
}

poise_code compact_check_stop(const struct compact *compact)
{
    return atomic_load_explicit(compact->stop, memory_order_relaxed)
               ? error_set(compact->err, POISE_EBUSY, "the aggregator is stopping")
               : POISE_OK;
}

poise_code compact_take_block(void *taker, const struct block *block, poise_error *err)
{
    struct compact *compact = taker;
    (void)err; /* it is the compaction's own */
    poise_code code = compact_check_stop(compact);
    if (!code)
        code = compact_open_piece(compact);
    if (code)
        return code;
    struct piece *piece = compact->piece;
    if (!buf_reserve(&piece->bytes, BLOCK_MAX))
        return error_nomem(compact->err, "blocks");
    memcpy(piece->bytes.data + piece->bytes.length, block->bytes, block->length);
    piece->bytes.length += BLOCK_MAX;
    piece->blocks[piece->slice.block_count++] = *block;
    return piece->slice.block_count == STORE_SLICE_BLOCKS ? compact_give_piece(compact) : POISE_OK;
}

/* ---- what was erased ---- */

poise_code compact_fold(struct compact *compact, const struct store_reader *reader)
{
    return erasures_fold(&compact->erasures, compact->store, store_reader_state_lsn(reader), compact->stop,
                         compact->err);
}

bool compact_is_out(const struct compact *compact, uint64_t series, int64_t time_ms, uint64_t place)
{
    if (compact->erasures.count == 0 || series >= compact->names.count)
        return false;
    const struct past_name name = names_of(&compact->names, (size_t)series);
    return erasures_have(&compact->erasures, name.measure, name.org, time_ms, place);
}

/* ---- names ---- */

/* By series: whether the first of its rows that was accepted is a retraction; NULL: out of memory. */
static const bool *by_retraction(struct compact *compact, const struct journal_batch *batch,
                                 const struct wire_batch *rows)
{
    bool *by = arena_zalloc(&compact->arena, 2 * rows->series_count + 1, sizeof *by);
    bool *known = by ? by + rows->series_count : NULL;
    size_t refused_at = 0;
    for (uint32_t at = 0; by && rows->retract && at < rows->rows; at++) {
        uint32_t series = rows->row_series[at];
        if (batch_row_refused(batch->refused, batch->refused_count, &refused_at, at) || known[series])
            continue;
        known[series] = true;
        by[series] = rows->retract[at];
    }
    return by;
}

/* The numbers that a batch gave first are the next ones, in some order. */
static poise_code learn_names(struct compact *compact, const struct journal_batch *batch,
                              const struct wire_batch *rows, const struct journal_notes *notes)
{
    size_t known = compact->names.count, count = 0;
    for (size_t i = 0; i < notes->series_count; i++) {
        uint32_t number = notes->series[i];
        count += number != JOURNAL_NO_SERIES && number >= known;
        if (number != JOURNAL_NO_SERIES && number >= compact->series)
            compact->series = (uint64_t)number + 1;
    }
    if (count == 0)
        return POISE_OK;
    uint32_t *index = arena_zalloc(&compact->arena, count, sizeof *index); /* + 1 */
    const bool *by = by_retraction(compact, batch, rows);
    for (size_t i = 0; index && i < notes->series_count; i++)
        if (notes->series[i] != JOURNAL_NO_SERIES && notes->series[i] >= known &&
            notes->series[i] - known < count)
            index[notes->series[i] - known] = (uint32_t)i + 1;
    for (size_t i = 0; index && by && i < count; i++) {
        if (index[i] == 0)
            return error_set(compact->err, POISE_ECORRUPT,
                             "the journal numbers %zu new series, but not number %zu; restore a backup",
                             count, known + i);
        const struct wire_series *series = &rows->series[index[i] - 1];
        const struct past_name name = {
            rows->symbols[series->measure], rows->symbols[series->org],
            series->source == WIRE_SYMBOL_NONE ? "" : rows->symbols[series->source], by[index[i] - 1]};
        if (!names_add(&compact->names, &name))
            return error_nomem(compact->err, "the names of series");
    }
    return index && by ? POISE_OK : error_nomem(compact->err, "the names of series");
}

/* Some are read, or learned, that no whole run of the store had when it began. */
static poise_code put_names(struct compact *compact)
{
    struct past_name some[PAST_NAMES];
    poise_code code = POISE_OK;
    while (!code && compact->named < compact->names.count) {
        size_t count = compact->names.count - compact->named;
        count = count < PAST_NAMES ? count : PAST_NAMES;
        for (size_t i = 0; i < count; i++)
            some[i] = names_of(&compact->names, compact->named + i);
        code = compact_open_piece(compact);
        if (!code)
            past_put_names(&compact->piece->entries, (uint32_t)compact->named, some, count);
        compact->named += count;
        if (!code && compact->piece->entries.length >= COMPACT_PIECE_BYTES)
            code = compact_give_piece(compact);
    }
    return code;
}

/* ---- rows ---- */

struct taking { /* a batch */
    struct compact *compact;
    const struct wire_batch *rows;
    const struct journal_batch *batch;
    struct journal_notes notes;
    uint64_t first_place;
    int64_t as_of_ms;
    struct { /* of a series, the group that had its last row */
        int32_t bucket;
        uint32_t group;
    } * groups;
    const char **keys; /* of the symbols, those that are kept */
    size_t gone_at;    /* in notes */
};

static poise_code no_memory(const struct taking *taking)
{
    return error_nomem(taking->compact->err, "rows to be compacted");
}

static poise_code group_of(struct taking *taking, uint32_t series, int64_t time_ms, uint32_t *ret_group)
{
    struct compact *compact = taking->compact;
    if (series >= compact->names.count)
        return error_set(compact->err, POISE_ECORRUPT,
                         "the journal has a row of series %u, which is none; restore a backup", series);
    *ret_group =
        sorter_group(compact->sorter, block_bucket(time_ms), series, compact->names.series[series].measure);
    return *ret_group == SORTER_NONE ? no_memory(taking) : POISE_OK;
}

static poise_code add_mark(struct taking *taking, const struct journal_gone *gone)
{
    uint32_t group;
    if (compact_is_out(taking->compact, gone->series, gone->time_ms, gone->ordinal))
        return POISE_OK;
    poise_code code = group_of(taking, gone->series, gone->time_ms, &group);
    if (!code && !sorter_mark(taking->compact->sorter, group, gone->time_ms, gone->ordinal,
                              taking->first_place + gone->row))
        code = no_memory(taking);
    return code;
}

/* A retraction's value and `of` mean nothing, and need not even be numbers. */
static bool is_retraction(const struct wire_batch *rows, uint32_t at)
{
    return rows->retract && rows->retract[at];
}

/* The time that a row is kept at: a retraction lies beside the row that it took away. */
static int64_t time_of(const struct taking *taking, uint32_t at, const struct journal_gone *gone)
{
    if (!is_retraction(taking->rows, at))
        return taking->rows->time_ms[at];
    if (gone)
        return gone->time_ms;
    return taking->as_of_ms < TIME_MIN_MS   ? TIME_MIN_MS
           : taking->as_of_ms > TIME_MAX_MS ? TIME_MAX_MS
                                            : taking->as_of_ms;
}

/* What few rows have; false: out of memory. */
static bool take_extra(struct taking *taking, uint32_t at, struct sorter_extra *ret_extra)
{
    const struct wire_batch *rows = taking->rows;
    bool retract = is_retraction(rows, at);
    *ret_extra = (struct sorter_extra){.of = rows->of && !retract ? rows->of[at] : 1.0,
                                       .seq = rows->row_seq ? rows->row_seq[at] : 0,
                                       .retract = retract};
    uint32_t key = rows->key ? rows->key[at] : 0;
    if (key == 0)
        return true;
    const char *text = rows->symbols[key - 1];
    size_t length = strlen(text);
    if (!taking->keys[key - 1])
        taking->keys[key - 1] = arena_strndup(&taking->compact->keys, text, length);
    ret_extra->key = taking->keys[key - 1];
    ret_extra->key_length = (uint32_t)length;
    return ret_extra->key != NULL;
}

static bool is_erased(const struct taking *taking, uint32_t at)
{
    const struct wire_batch *rows = taking->rows;
    uint32_t index = rows->row_series[at];
    uint32_t series = index < taking->notes.series_count ? taking->notes.series[index] : JOURNAL_NO_SERIES;
    return !(rows->retract && rows->retract[at]) &&
           compact_is_out(taking->compact, series, rows->time_ms[at], taking->first_place + at);
}

static poise_code add_row(struct taking *taking, uint32_t at)
{
    const struct wire_batch *rows = taking->rows;
    const struct journal_notes *notes = &taking->notes;
    const struct journal_gone *gone = NULL;
    uint32_t index = rows->row_series[at];
    if (taking->gone_at < notes->gone_count && notes->gone[taking->gone_at].row == at)
        gone = &notes->gone[taking->gone_at++];
    int64_t time_ms = time_of(taking, at, gone);
    int32_t bucket = block_bucket(time_ms);
    uint32_t group = taking->groups[index].group;
    bool erased = is_erased(taking, at);
    poise_code code = gone ? add_mark(taking, gone) : POISE_OK;
    if (!code && erased && !(rows->key && rows->key[at]))
        return POISE_OK;
    if (!code && (group == 0 || taking->groups[index].bucket != bucket)) {
        code = group_of(taking, index < notes->series_count ? notes->series[index] : JOURNAL_NO_SERIES,
                        time_ms, &group);
        taking->groups[index].bucket = bucket;
        taking->groups[index].group = ++group;
    }
    if (code)
        return code;
    struct sorter_extra extra;
    bool plain = !rows->of && !rows->row_seq && !rows->retract && !(rows->key && rows->key[at]);
    bool ok = plain || take_extra(taking, at, &extra);
    if (ok && erased) { /* it retracts its key */
        extra.retract = true;
        extra.of = 1;
    }
    ok = ok && sorter_add(taking->compact->sorter, group - 1, time_ms, taking->first_place + at,
                          erased || is_retraction(rows, at) ? 0 : rows->value[at], plain ? NULL : &extra);
    return ok ? POISE_OK : no_memory(taking);
}

static poise_code add_rows(struct taking *taking)
{
    const struct wire_batch *rows = taking->rows;
    struct compact *compact = taking->compact;
    taking->groups = arena_zalloc(&compact->arena, rows->series_count + 1, sizeof *taking->groups);
    taking->keys = arena_zalloc(&compact->arena, rows->symbol_count + 1, sizeof *taking->keys);
    size_t refused_at = 0;
    poise_code code = taking->groups && taking->keys ? POISE_OK : no_memory(taking);
    for (uint32_t at = 0; !code && at < rows->rows; at++)
        if (!batch_row_refused(taking->batch->refused, taking->batch->refused_count, &refused_at, at))
            code = add_row(taking, at);
    return code;
}

static poise_code take_batch(struct compact *compact, const struct journal_batch *batch, int64_t as_of_ms)
{
    struct wire_batch rows;
    uint64_t place = compact->next_place;
    compact->next_place += batch->rows;
    if (batch->rows == 0 || order_takes_place(batch))
        return POISE_OK;
    if (batch->notes_length == 0)
        return error_set(compact->err, POISE_EUNSUPPORTED,
                         "records of an older version cannot be compacted: `poise dump` and `poise import` "
                         "into a new store make them new");
    struct taking taking = {
        .compact = compact, .rows = &rows, .batch = batch, .first_place = place, .as_of_ms = as_of_ms};
    arena_reset(&compact->arena);
    poise_code code =
        wire_decode_batch(batch->body, batch->body_length, &compact->arena, &rows, compact->err);
    if (!code)
        code = notes_decode(batch, &compact->arena, &taking.notes, compact->err);
    if (!code)
        code = learn_names(compact, batch, &rows, &taking.notes);
    return code ? code : add_rows(&taking);
}

/* ---- what remains of a record ---- */

static bool is_kept(const struct journal_batch *batch)
{
    bool kept = batch->producer[0] == '!' && (batch->rows == 0 || order_takes_place(batch));
    for (size_t i = 0; !kept && i < batch->refused_count; i++)
        kept = batch_holds(batch->reasons[i]);
    return kept;
}

struct revisions {
    struct buf changes;
    int64_t as_of_ms;
};

static poise_code keep_revision(void *visitor, const poise_state *state)
{
    struct revisions *revisions = visitor;
    poise_state one = *state;
    const struct wire_states states = {.as_of_ms = revisions->as_of_ms, .states = &one, .count = 1};
    return state->revision ? wire_encode_states(WIRE_UPDATE, &states, &revisions->changes) : POISE_OK;
}

/* Batches that are kept; others one behind the other become one that has their rows. */
static size_t keep_batches(const struct journal_record *record, struct journal_batch *batches)
{
    size_t count = 0;
    bool any = false;
    for (size_t i = 0; i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        bool kept = is_kept(batch);
        any |= kept;
        if (kept || count == 0 || batches[count - 1].body)
            batches[count++] = kept ? *batch : (struct journal_batch){.producer = ""};
        if (!kept)
            batches[count - 1].rows += batch->rows;
        else
            batches[count - 1].notes_length = 0;
    }
    return any ? count : 0;
}

static poise_code put_remains(struct compact *compact, const struct journal_record *record)
{
    struct revisions revisions = {.as_of_ms = record->as_of_ms};
    struct journal_batch *batches = calloc(record->batch_count + 1, sizeof *batches);
    poise_code code = batches ? POISE_OK : error_nomem(compact->err, "what remains of a record");
    struct journal_record rest = *record;
    if (!code && record->revised) {
        arena_reset(&compact->arena);
        code = wire_each_change(record->changes, record->changes_length, &compact->arena, keep_revision,
                                &revisions, compact->err);
    }
    if (!code) {
        rest.batches = batches;
        rest.batch_count = keep_batches(record, batches);
        rest.changes = revisions.changes.data;
        rest.changes_length = revisions.changes.length;
    }
    if (!code && (rest.batch_count || rest.changes_length))
        code = compact_open_piece(compact);
    if (!code && (rest.batch_count || rest.changes_length))
        code = past_put_remains(&compact->piece->entries, &rest, compact->err);
    if (!code && compact->piece && compact->piece->entries.length >= COMPACT_PIECE_BYTES)
        code = compact_give_piece(compact);
    free(batches);
    buf_free(&revisions.changes);
    return code;
}

/* ---- records ---- */

static bool note_commit(struct compact *compact, const struct journal_record *record)
{
    if (compact->record_count == compact->record_capacity) {
        size_t capacity = compact->record_capacity ? 2 * compact->record_capacity : 4096;
        struct past_commit *commits = realloc(compact->commits, capacity * sizeof *commits);
        if (!commits)
            return false;
        compact->commits = commits;
        compact->record_capacity = capacity;
    }
    compact->commits[compact->record_count++] = (struct past_commit){
        .as_of_ms = record->as_of_ms, .first_place = record->first_ordinal, .series = compact->series};
    return true;
}

static poise_code take_record(void *visitor, const struct journal_record *record)
{
    struct compact *compact = visitor;
    poise_code code = compact_check_stop(compact);
    if (!code && (record->trimmed || record->lsn != compact->lsn + 1))
        code = error_set(compact->err, POISE_ECORRUPT, "journal record %llu is missing",
                         (unsigned long long)compact->lsn + 1);
    compact->next_place = record->first_ordinal;
    for (size_t i = 0; !code && i < record->batch_count; i++)
        code = take_batch(compact, &record->batches[i], record->as_of_ms);
    if (!code && !note_commit(compact, record))
        code = error_nomem(compact->err, "a list of commits");
    if (!code)
        code = put_remains(compact, record);
    compact->lsn = record->lsn;
    return code == POISE_ECLOSED ? POISE_EPROTO : code;
}

/* ---- the run ---- */

static poise_code build_blocks(struct compact *compact)
{
    struct block_builder *builder = block_builder_open(compact->run, compact_take_block, compact);
    poise_code code = builder ? sorter_build(compact->sorter, builder, compact->err)
                              : error_nomem(compact->err, "a builder of blocks");
    block_builder_close(builder);
    return code;
}

static poise_code end_run(struct compact *compact)
{
    poise_code code = compact_open_piece(compact);
    if (code)
        return code;
    for (size_t at = 0; at < compact->record_count; at += PAST_COMMITS) {
        size_t count = compact->record_count - at;
        past_put_commits(&compact->piece->entries, compact->first_lsn + at, compact->commits + at,
                         count < PAST_COMMITS ? count : PAST_COMMITS);
    }
    compact->piece->slice.whole = true;
    compact->piece->slice.last_place = compact->next_place - 1;
    compact->piece->slice.as_of_ms = compact->commits[compact->record_count - 1].as_of_ms;
    return compact_give_piece(compact);
}

void compact_reset(struct compact *compact)
{
    sorter_reset(compact->sorter);
    arena_reset(&compact->keys);
    compact->record_count = 0;
    piece_free(compact->piece);
    compact->piece = NULL;
}

static poise_code make_run(struct compact *compact, struct store_reader *reader, uint64_t until)
{
    poise_code code = compact_fold(compact, reader);
    if (!code)
        code = names_read(&compact->names, reader, compact->err);
    if (!code)
        code = store_read_series(reader, compact->lsn, &compact->series, compact->err);
    compact->run = block_run(until, 0);
    compact->named = compact->names.count;
    if (!code)
        code =
            store_read_journal(reader, compact->first_lsn, until, NULL, take_record, compact, compact->err);
    if (!code && compact->lsn != until)
        code = error_set(compact->err, POISE_ECORRUPT, "journal record %llu is missing",
                         (unsigned long long)compact->lsn + 1);
    if (!code)
        code = put_names(compact);
    if (!code)
        code = build_blocks(compact);
    return code ? code : end_run(compact);
}

void compact_begin(struct compact *compact, piece_take *take, void *taker, poise_error *err)
{
    compact->take = take;
    compact->taker = taker;
    compact->err = err;
}

poise_code compact_run(struct compact *compact, uint64_t until, piece_take *take, void *taker,
                       uint64_t *ret_lsn, poise_error *err)
{
    struct store_reader *reader;
    poise_error unused;
    compact_begin(compact, take, taker, err ? err : &unused);
    poise_code code = store_reader_open(compact->store, &reader, compact->err);
    if (code)
        return code;
    compact->lsn = *ret_lsn = store_reader_chunks_lsn(reader);
    compact->first_lsn = compact->lsn + 1;
    uint64_t last = store_reader_state_lsn(reader), end = compact->lsn;
    int64_t bytes;
    if (until > last)
        until = last;
    if (until > compact->lsn) {
        code = store_measure_journal(reader, compact->first_lsn, until, compact->run_bytes, &end, &bytes,
                                     compact->err);
        if (!code)
            code = make_run(compact, reader, end);
        if (!code)
            *ret_lsn = end;
        else
            names_free(&compact->names); /* the store may lack some of them */
    }
    compact_reset(compact);
    store_reader_close(reader);
    return code;
}

poise_code compact_open(struct store *store, int64_t bytes, const _Atomic bool *stop,
                        struct compact **ret_compact, poise_error *err)
{
    struct compact *compact = calloc(1, sizeof *compact);
    if (compact)
        compact->sorter = sorter_open();
    if (!compact || !compact->sorter) {
        compact_close(compact);
        return error_nomem(err, "compaction");
    }
    compact->store = store;
    compact->run_bytes = bytes;
    compact->stop = stop;
    *ret_compact = compact;
    return POISE_OK;
}

void compact_close(struct compact *compact)
{
    if (!compact)
        return;
    names_free(&compact->names);
    erasures_free(&compact->erasures);
    sorter_close(compact->sorter);
    definitions_free(&compact->definitions);
    arena_free(&compact->arena);
    arena_free(&compact->keys);
    free(compact->commits);
    piece_free(compact->piece);
    free(compact);
}
