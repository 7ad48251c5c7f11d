#include "rows.h"

#include "batch.h"
#include "definitions.h"
#include <base/error.h>
#include <stdlib.h>
#include <store/runs.h>
#include <string.h>

enum { WINDOW_PLACES = 131072, GO_ON_EACH = 1024 };

struct reading {
    const struct rows_visit *visit;
    struct rows_memory *memory;
    struct rows_position *at;
    struct arena arena; /* of the batch at hand */
    int64_t frozen_ms;  /* of the input at hand rows from before it are dropped; INT64_MIN: none */
    uint64_t end;       /* of the window's places */
    bool ended;         /* the visitor has enough */
    bool trimmed;       /* the next record is in runs by now */
    poise_error *err;
};

static poise_code check_stop(const struct reading *reading)
{
    return atomic_load_explicit(reading->visit->stop, memory_order_relaxed)
               ? error_set(reading->err, POISE_EBUSY, "the aggregator is stopping")
               : POISE_OK;
}

static bool go_on(struct reading *reading, size_t bytes)
{
    reading->ended = reading->visit->go_on && !reading->visit->go_on(reading->visit->visitor, bytes);
    return !reading->ended;
}

/* A row, or the end of what the visitor wants. */
static poise_code give(struct reading *reading, const poise_measurement *row, uint64_t place,
                       int64_t frozen_ms)
{
    poise_measurement left = *row;
    if (!row->retract &&
        (row->time_ms < frozen_ms || erasures_have(&reading->memory->erasures, row->measure,
                                                   row->org ? row->org : "", row->time_ms, place))) {
        if (!row->key)
            return POISE_OK;
        left.retract = true;
        left.time_ms = 0;
        left.value = 0;
        left.of = 1;
    }
    poise_code code = reading->visit->row(reading->visit->visitor, &left, place);
    if (code)
        reading->at->place = place;
    reading->ended = code == POISE_ECLOSED;
    return code;
}

/* ---- the journal ---- */

struct batch_series {
    bool wanted;
    int64_t frozen_ms;
};

static struct batch_series *find_series(struct reading *reading, const struct wire_batch *rows)
{
    const struct rows_visit *visit = reading->visit;
    struct batch_series *series = arena_zalloc(&reading->arena, rows->series_count + 1, sizeof *series);
    for (size_t i = 0; series && i < rows->series_count; i++) {
        const char *measure = rows->symbols[rows->series[i].measure];
        series[i].wanted = visit->wanted(visit->visitor, measure, rows->symbols[rows->series[i].org]);
        series[i].frozen_ms = definitions_frozen_ms(&reading->memory->definitions, measure);
    }
    return series;
}

static poise_code visit_rows(struct reading *reading, const struct journal_batch *batch,
                             const struct wire_batch *rows, uint64_t first_place)
{
    const struct batch_series *series = find_series(reading, rows);
    size_t refused_at = 0;
    poise_code code = series ? POISE_OK : error_nomem(reading->err, "the series of a batch");
    for (uint32_t row = 0; !code && row < rows->rows; row++) {
        const struct batch_series *of = &series[rows->row_series[row]];
        bool refused = batch_row_refused(batch->refused, batch->refused_count, &refused_at, row);
        if (refused || first_place + row < reading->at->place || !of->wanted)
            continue;
        const poise_measurement measurement = wire_batch_row(rows, row);
        code = give(reading, &measurement, first_place + row, of->frozen_ms);
    }
    return code;
}

static poise_code visit_batch(struct reading *reading, const struct journal_batch *batch,
                              uint64_t first_place)
{
    struct wire_batch rows;
    if (batch->rows == 0 || order_takes_place(batch) || first_place + batch->rows <= reading->at->place)
        return POISE_OK;
    arena_reset(&reading->arena);
    poise_code code =
        wire_decode_batch(batch->body, batch->body_length, &reading->arena, &rows, reading->err);
    if (!code)
        code = visit_rows(reading, batch, &rows, first_place);
    if (code)
        return code;
    reading->at->place = first_place + batch->rows;
    return go_on(reading, batch->body_length) ? POISE_OK : POISE_ECLOSED;
}

static poise_code visit_record(void *visitor, const struct journal_record *record)
{
    struct reading *reading = visitor;
    uint64_t place = record->first_ordinal;
    poise_code code = check_stop(reading);
    reading->trimmed = record->trimmed || record->lsn != reading->at->lsn;
    if (reading->trimmed)
        return POISE_ECLOSED;
    for (uint32_t i = 0; !code && i < record->batch_count; i++) {
        code = visit_batch(reading, &record->batches[i], place);
        place += record->batches[i].rows;
    }
    if (code)
        return code;
    *reading->at = (struct rows_position){.lsn = record->lsn + 1, .place = place};
    return go_on(reading, record->changes_length) ? POISE_OK : POISE_ECLOSED;
}

/* ---- a window of the runs ---- */

struct window_row {
    uint64_t series;
    int64_t time_ms;
    double value, of;
    uint64_t seq;
    const char *key;
    bool there, retract;
};

struct rows_window {
    uint64_t first, end; /* its places: first <= place < end */
    uint64_t incarnation;
    struct arena keys;
    struct window_row rows[WINDOW_PLACES];
};

static void forget_window(struct rows_memory *memory)
{
    if (memory->window)
        arena_free(&memory->window->keys);
    free(memory->window);
    memory->window = NULL;
}

void rows_memory_free(struct rows_memory *memory)
{
    forget_window(memory);
    definitions_free(&memory->definitions);
    names_free(&memory->names);
    erasures_free(&memory->erasures);
    marks_free(&memory->marks);
}

static poise_code fill_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct reading *reading = visitor;
    struct rows_window *window = reading->memory->window;
    bool is_frozen = reading->frozen_ms != INT64_MIN;
    poise_code code = check_stop(reading);
    for (size_t i = 0; !code && i < rows->count; i++) {
        bool dropped = is_frozen && (rows->time_ms[i] < reading->frozen_ms || (rows->gone && rows->gone[i]));
        if (rows->ordinal[i] >= reading->end || dropped)
            continue;
        struct window_row *row = &window->rows[rows->ordinal[i] - window->first];
        const struct chunk_key *key = rows->key && rows->key[i].text ? &rows->key[i] : NULL;
        *row = (struct window_row){.series = series,
                                   .time_ms = rows->time_ms[i],
                                   .value = rows->value[i],
                                   .of = rows->of ? rows->of[i] : 1.0,
                                   .seq = rows->seq ? rows->seq[i] : 0,
                                   .retract = rows->retract && rows->retract[i],
                                   .there = true};
        if (key && !(row->key = arena_strndup(&window->keys, key->text, key->length)))
            code = error_nomem(reading->err, "rows of runs");
    }
    return code;
}

/* Reads the places from `first` on, up to `last` at most. */
static poise_code fill_window(struct reading *reading, struct store_reader *reader, uint64_t first,
                              uint64_t last)
{
    struct rows_memory *memory = reading->memory;
    struct rows_window *window = memory->window;
    arena_reset(&window->keys);
    memset(window->rows, 0, sizeof window->rows);
    window->first = first;
    window->end = first; /* unless all goes well */
    uint64_t end = last - first < WINDOW_PLACES ? last + 1 : first + WINDOW_PLACES;
    reading->end = end;
    poise_code code = names_read(&memory->names, reader, reading->err);
    for (size_t input = 0; !code && input < memory->names.measures.count; input++) {
        const char *name = intern_text(&memory->names.measures, (uint32_t)input);
        reading->frozen_ms = definitions_frozen_ms(&memory->definitions, name);
        const struct store_rows_query query = {.input = (uint32_t)input,
                                               .from_ms = INT64_MIN,
                                               .until_ms = INT64_MAX,
                                               .from_place = first - 1,
                                               .until_place =
                                                   reading->frozen_ms == INT64_MIN ? end - 1 : UINT64_MAX};
        const struct store_rows_visit visit = {.rows = fill_rows, .visitor = reading};
        code = store_read_rows(reader, &query, &visit, reading->err);
    }
    window->end = code ? first : end;
    return code;
}

static poise_code give_window(struct reading *reading, uint64_t last)
{
    const struct rows_memory *memory = reading->memory;
    const struct rows_window *window = memory->window;
    const struct rows_visit *visit = reading->visit;
    poise_code code = POISE_OK;
    while (!code && reading->at->place < window->end && reading->at->place <= last) {
        const struct window_row *row = &window->rows[reading->at->place - window->first];
        if (row->there && row->series >= memory->names.count)
            return error_set(reading->err, POISE_ECORRUPT, "runs have rows of series %llu, which has no name",
                             (unsigned long long)row->series);
        const struct past_name name = row->there ? names_of(&memory->names, (size_t)row->series)
                                                 : (struct past_name){"", "", "", false};
        const poise_measurement measurement = {.measure = name.measure,
                                               .org = name.org,
                                               .source = name.source,
                                               .time_ms = row->time_ms,
                                               .value = row->value,
                                               .of = row->of,
                                               .key = row->key,
                                               .seq = row->seq,
                                               .retract = row->retract};
        if (row->there && visit->wanted(visit->visitor, name.measure, name.org))
            code = give(reading, &measurement, reading->at->place, INT64_MIN);
        if (!code && ++reading->at->place % GO_ON_EACH == 0 && !go_on(reading, GO_ON_EACH * sizeof *row))
            code = POISE_ECLOSED;
    }
    return code;
}

/* Rows of the places up to that of the last record of runs, or of `until`. */
static poise_code read_runs(struct reading *reading, struct store_reader *reader, uint64_t until)
{
    struct rows_memory *memory = reading->memory;
    struct rows_position *at = reading->at;
    struct store_past past;
    poise_code code = store_read_past(reader, until, INT64_MAX, &past, reading->err);
    if (!code && !memory->window && !(memory->window = calloc(1, sizeof *memory->window)))
        code = error_nomem(reading->err, "rows of runs");
    if (at->place == 0)
        at->place = 1;
    while (!code && at->place <= past.last_place) {
        const struct rows_window *window = memory->window;
        if (at->place < window->first || at->place >= window->end)
            code = fill_window(reading, reader, at->place, past.last_place);
        if (!code)
            code = give_window(reading, past.last_place);
    }
    if (!code)
        at->lsn = past.lsn + 1;
    return code;
}

poise_code rows_frozen(struct store *store, struct rows_memory *memory, const _Atomic bool *stop,
                       poise_error *err)
{
    uint64_t last = store_last_lsn(store);
    return last > memory->definitions.folded_lsn
               ? definitions_fold(&memory->definitions, store, &memory->marks, last, 0, stop, err)
               : POISE_OK;
}

poise_code rows_read(struct store *store, struct rows_memory *memory, struct rows_position *at,
                     uint64_t until, const struct rows_visit *visit, poise_error *err)
{
    struct reading reading = {.visit = visit, .memory = memory, .at = at, .trimmed = true, .err = err};
    struct store_reader *reader;
    if (at->lsn == 0)
        at->lsn = 1;
    poise_code code = erasures_fold(&memory->erasures, store, store_last_lsn(store), visit->stop, err);
    if (!code)
        code = store_reader_open(store, &reader, err);
    if (code)
        return code;
    while (!code && !reading.ended && reading.trimmed && at->lsn <= until) {
        reading.trimmed = false;
        if (at->lsn < store_reader_first_lsn(reader))
            code = read_runs(&reading, reader, until);
        if (!code && !reading.ended)
            code = store_read_journal(reader, at->lsn, until, NULL, visit_record, &reading, err);
    }
    store_reader_close(reader);
    arena_free(&reading.arena);
    if (at->lsn > until)
        forget_window(memory);
    return code == POISE_ECLOSED ? POISE_OK : code;
}
