/* What the engine asks of the store (engine_ports): checkpointed entries, and the rows of a period again. */
#include "history.h"
#include "writer_private.h"
#include <base/error.h>
#include <string.h>

enum store_table store_table_of(enum engine_table table)
{
    static const enum store_table tables[ENGINE_TABLES] = {
        [ENGINE_HEAD] = STORE_HEAD,   [ENGINE_ORGS] = STORE_ORGS,     [ENGINE_SOURCES] = STORE_SOURCES,
        [ENGINE_UNITS] = STORE_UNITS, [ENGINE_SERIES] = STORE_SERIES, [ENGINE_CELLS] = STORE_CELLS,
        [ENGINE_KEYS] = STORE_KEYS,   [ENGINE_FUTURE] = STORE_FUTURE, [ENGINE_REVISIONS] = STORE_REVISIONS,
    };
    return tables[table];
}

static poise_code load(void *context, enum engine_table table, const void *key, size_t length,
                       struct buf *out, poise_error *err)
{
    struct writer *writer = context;
    return store_get(writer->options.store, store_table_of(table), key, length, out, err);
}

static void expect(void *context, enum engine_table table, const void *key, size_t length)
{
    const struct writer *writer = context;
    store_expect(writer->options.store, store_table_of(table), key, length);
}

static poise_code walk(void *context, enum engine_table table,
                       poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                       void *visitor, poise_error *err)
{
    struct writer *writer = context;
    return store_walk(writer->options.store, store_table_of(table), visit, visitor, err);
}

static poise_code walk_some(void *context, enum engine_table table, const struct buf *from,
                            poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                            void *visitor, poise_error *err)
{
    struct writer *writer = context;
    return store_walk_some(writer->options.store, store_table_of(table), from, visit, visitor, err);
}

/* ---- rows again ---- */

struct rereading {
    struct writer *writer;
    const char *input;
    int64_t from_ms, to_ms;
    engine_past_visit *visit;
    void *visitor;
    struct arena *arena;
    poise_error *err;
};

static poise_code reread_batch(struct rereading *reading, const struct wire_batch *rows,
                               const uint32_t *refused, size_t refused_count, uint64_t first_ordinal)
{
    size_t refused_at = 0;
    for (uint32_t at = 0; at < rows->rows; at++) {
        const struct wire_series *series = &rows->series[rows->row_series[at]];
        bool in_time = rows->time_ms[at] >= reading->from_ms && rows->time_ms[at] < reading->to_ms;
        if (!in_time || (rows->retract && rows->retract[at]) ||
            strcmp(rows->symbols[series->measure], reading->input) != 0 ||
            batch_row_refused(refused, refused_count, &refused_at, at) ||
            erasures_have(&reading->writer->erasures, reading->input, rows->symbols[series->org],
                          rows->time_ms[at], first_ordinal + at))
            continue;
        poise_measurement measurement = wire_batch_row(rows, at);
        struct engine_past_row row = {
            .org = measurement.org,
            .source = measurement.source,
            .ordinal = first_ordinal + at,
            .row = {.time_ms = measurement.time_ms,
                    .value = measurement.value,
                    .of = measurement.of,
                    .key = measurement.key,
                    .key_length = measurement.key ? strlen(measurement.key) : 0,
                    .seq = measurement.seq},
        };
        poise_code code = reading->visit(reading->visitor, &row);
        if (code)
            return code;
    }
    return POISE_OK;
}

static bool overlaps(void *visitor, const struct journal_record *head)
{
    const struct rereading *reading = visitor;
    return head->min_time_ms < reading->to_ms && head->max_time_ms >= reading->from_ms;
}

static poise_code reread_record(void *visitor, const struct journal_record *record)
{
    struct rereading *reading = visitor;
    uint64_t ordinal = record->first_ordinal;
    for (size_t i = 0; i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        struct wire_batch rows;
        arena_reset(reading->arena);
        if (batch->rows == 0 || order_takes_place(batch)) {
            ordinal += batch->rows;
            continue;
        }
        poise_code code = wire_decode_batch(batch->body, batch->body_length, reading->arena, &rows, NULL);
        if (!code)
            code = reread_batch(reading, &rows, batch->refused, batch->refused_count, ordinal);
        if (code)
            return code;
        ordinal += batch->rows;
    }
    return POISE_OK;
}

static poise_code reread_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct rereading *reading = visitor;
    const struct engine *engine = reading->writer->engine;
    poise_code code = POISE_OK;
    struct engine_past_row past = {.series = engine_numbered(engine, (uint32_t)series)};
    if (!past.series)
        return error_set(reading->err, POISE_ECORRUPT, "runs have rows of series %llu, which is none",
                         (unsigned long long)series);
    for (size_t i = 0; !code && i < rows->count; i++) {
        bool gone = rows->gone && rows->gone[i] && rows->gone[i] <= engine_ordinal(engine);
        past.ordinal = rows->ordinal[i];
        past.row = history_row(rows, i);
        bool erased = erasures_have(&reading->writer->erasures, reading->input,
                                    engine_series_org(engine, past.series), past.row.time_ms, past.ordinal);
        if (!gone && !past.row.retract && !erased)
            code = reading->visit(reading->visitor, &past);
    }
    return code;
}

static poise_code reread_runs(void *visitor, struct store_reader *reader, uint64_t from_place,
                              uint64_t until_place)
{
    struct rereading *reading = visitor;
    struct names *inputs = &reading->writer->inputs;
    inputs->inputs_only = true;
    poise_code code = names_read(inputs, reader, reading->err);
    uint32_t input =
        code ? INTERN_NONE : intern_find(&inputs->measures, reading->input, strlen(reading->input));
    const struct store_rows_query query = {.input = input,
                                           .from_ms = reading->from_ms,
                                           .until_ms = reading->to_ms - 1,
                                           .from_place = from_place,
                                           .until_place = until_place};
    const struct store_rows_visit visit = {.rows = reread_rows, .visitor = reading};
    return code || input == INTERN_NONE ? code : store_read_rows(reader, &query, &visit, reading->err);
}

/* Of the commit that is away, from its record: its batches may be used again. */
static poise_code reread_flight(struct rereading *reading, const struct flight *flight, poise_error *err)
{
    struct arena arena = {0};
    struct journal_record record;
    poise_code code = store_prepared_record(&flight->record, &arena, &record, err);
    if (!code)
        code = reread_record(reading, &record);
    arena_free(&arena);
    return code;
}

static poise_code reread(void *context, const char *input, int64_t from_ms, int64_t to_ms,
                         engine_past_visit *visit, void *visitor, poise_error *err)
{
    struct writer *writer = context;
    struct arena arena = {0};
    struct rereading reading = {writer, input, from_ms, to_ms, visit, visitor, &arena, err};
    const struct history_visit both = {
        .runs = reread_runs, .wanted = overlaps, .record = reread_record, .visitor = &reading};
    const struct flight *away = writer_flight_away(writer);
    uint64_t in_runs, until = writer->replayed_lsn ? writer->replayed_lsn
                              : away               ? away->record.lsn - 1
                                                   : store_last_lsn(writer->options.store);
    poise_code code = history_read(writer->options.store, until, INT64_MAX, &both, &in_runs, err);
    if (!code && away)
        code = reread_flight(&reading, away, err);
    uint64_t ordinal = writer->record.first_ordinal;
    for (size_t i = 0; !code && i < writer->batch_count; i++) { /* of the commit at hand */
        const struct batch *batch = writer->batches[i];
        code = reread_batch(&reading, &batch->rows, batch->refused, batch->refused_count, ordinal);
        ordinal += batch->rows.rows;
    }
    arena_free(&arena);
    return code;
}

struct engine_ports writer_ports(struct writer *writer)
{
    return (struct engine_ports){
        .context = writer,
        .load = load,
        .expect = expect,
        .walk = walk,
        .walk_some = walk_some,
        .reread = reread,
    };
}
