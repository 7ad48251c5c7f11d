#include "rows.h"

#include "batch.h"
#include "definitions.h"
#include <base/error.h>
#include <string.h>

struct reading {
    const struct rows_visit *visit;
    struct rows_position *at;
    struct arena arena; /* of the batch at hand */
    poise_error *err;
};

static bool *find_wanted(struct reading *reading, const struct wire_batch *rows)
{
    bool *wanted = arena_zalloc(&reading->arena, rows->series_count + 1, sizeof *wanted);
    for (size_t i = 0; wanted && i < rows->series_count; i++)
        wanted[i] = reading->visit->wanted(reading->visit->visitor, rows->symbols[rows->series[i].measure],
                                           rows->symbols[rows->series[i].org]);
    return wanted;
}

static poise_code visit_rows(struct reading *reading, const struct journal_batch *batch,
                             const struct wire_batch *rows, uint64_t first_place)
{
    const bool *wanted = find_wanted(reading, rows);
    size_t refused_at = 0;
    poise_code code = wanted ? POISE_OK : error_nomem(reading->err, "the series of a batch");
    for (uint32_t row = 0; !code && row < rows->rows; row++) {
        bool refused = batch_row_refused(batch->refused, batch->refused_count, &refused_at, row);
        if (refused || row < reading->at->row || !wanted[rows->row_series[row]])
            continue;
        const poise_measurement measurement = wire_batch_row(rows, row);
        code = reading->visit->row(reading->visit->visitor, &measurement, first_place + row);
        if (code)
            reading->at->row = row;
    }
    return code;
}

static poise_code visit_batch(struct reading *reading, const struct journal_batch *batch,
                              uint64_t first_place)
{
    struct wire_batch rows;
    if (batch->rows == 0 || order_takes_place(batch))
        return POISE_OK;
    arena_reset(&reading->arena);
    poise_code code =
        wire_decode_batch(batch->body, batch->body_length, &reading->arena, &rows, reading->err);
    return code ? code : visit_rows(reading, batch, &rows, first_place);
}

static bool go_on(const struct reading *reading, size_t bytes)
{
    return !reading->visit->go_on || reading->visit->go_on(reading->visit->visitor, bytes);
}

static poise_code visit_record(void *visitor, const struct journal_record *record)
{
    struct reading *reading = visitor;
    struct rows_position *at = reading->at;
    uint64_t place = record->first_ordinal;
    poise_code code = POISE_OK;
    if (atomic_load_explicit(reading->visit->stop, memory_order_relaxed))
        return error_set(reading->err, POISE_EBUSY, "the aggregator is stopping");
    if (at->lsn != record->lsn)
        *at = (struct rows_position){.lsn = record->lsn};
    for (uint32_t i = 0; !code && i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        if (i >= at->batch) {
            code = visit_batch(reading, batch, place);
            if (!code) {
                at->batch = i + 1;
                at->row = 0;
                code = go_on(reading, batch->body_length) ? POISE_OK : POISE_ECLOSED;
            }
        }
        place += batch->rows;
    }
    if (code)
        return code;
    *at = (struct rows_position){.lsn = record->lsn + 1};
    return go_on(reading, record->changes_length) ? POISE_OK : POISE_ECLOSED;
}

poise_code rows_read(struct store *store, struct rows_position *at, uint64_t until,
                     const struct rows_visit *visit, poise_error *err)
{
    struct reading reading = {.visit = visit, .at = at, .err = err};
    struct store_reader *reader;
    if (at->lsn == 0)
        at->lsn = 1;
    poise_code code = store_reader_open(store, &reader, err);
    if (code)
        return code;
    code = store_read_journal(reader, at->lsn, until, NULL, visit_record, &reading, err);
    store_reader_close(reader);
    arena_free(&reading.arena);
    return code;
}
