#include "history.h"

#include <base/error.h>
#include <stdlib.h>

/* ---- both ---- */

struct both {
    const struct history_visit *visit;
    int64_t until_ms;
    uint64_t lsn; /* all up to it was visited */
    bool trimmed; /* the next is in runs by now */
};

static bool is_wanted(void *visitor, const struct journal_record *head)
{
    const struct both *both = visitor;
    return !both->visit->wanted || both->visit->wanted(both->visit->visitor, head);
}

static poise_code visit_record(void *visitor, const struct journal_record *record)
{
    struct both *both = visitor;
    both->trimmed = record->trimmed || record->lsn != both->lsn + 1;
    if (both->trimmed || record->as_of_ms > both->until_ms) /* T only rises: that was all */
        return POISE_ECLOSED;
    poise_code code = both->visit->record(both->visit->visitor, record);
    both->lsn += !code;
    return code;
}

static poise_code visit_runs(struct both *both, struct store_reader *reader, uint64_t until,
                             struct store_past *ret_past, poise_error *err)
{
    struct store_past from = {0};
    poise_code code = store_read_past(reader, until, both->until_ms, ret_past, err);
    if (!code && both->lsn)
        code = store_read_past(reader, both->lsn, INT64_MAX, &from, err);
    if (code || ret_past->lsn <= both->lsn)
        return code;
    both->lsn = ret_past->lsn;
    return both->visit->runs(both->visit->visitor, reader, from.last_place, ret_past->last_place);
}

poise_code history_read(struct store *store, uint64_t until, int64_t until_ms,
                        const struct history_visit *visit, uint64_t *ret_lsn, poise_error *err)
{
    struct both both = {.visit = visit, .until_ms = until_ms, .trimmed = true};
    struct store_reader *reader;
    poise_code code = store_reader_open(store, &reader, err);
    if (code)
        return code;
    *ret_lsn = 0;
    while (!code && both.trimmed) {
        struct store_past past;
        uint64_t chunks = store_reader_chunks_lsn(reader);
        both.trimmed = false;
        code = visit_runs(&both, reader, until, &past, err);
        *ret_lsn = past.lsn;
        if (!code && past.lsn >= chunks)
            code = store_read_journal(reader, both.lsn + 1, until, is_wanted, visit_record, &both, err);
    }
    store_reader_close(reader);
    return code;
}

/* ---- to an engine ---- */

struct engine_row history_row(const struct chunk_rows *rows, size_t at)
{
    return (struct engine_row){.time_ms = rows->time_ms[at],
                               .value = rows->value[at],
                               .of = rows->of ? rows->of[at] : 1.0,
                               .seq = rows->seq ? rows->seq[at] : 0,
                               .retract = rows->retract && rows->retract[at],
                               .key = rows->key ? rows->key[at].text : NULL,
                               .key_length = rows->key && rows->key[at].text ? rows->key[at].length : 0};
}

struct applying {
    const struct history_apply *apply;
    uint64_t number; /* of the series at hand */
    struct engine_series *series;
};

static poise_code find_series(struct applying *applying, uint64_t number)
{
    const struct history_apply *apply = applying->apply;
    if (number >= apply->names->count)
        return error_set(apply->err, POISE_ECORRUPT, "runs have rows of series %llu, which has no name",
                         (unsigned long long)number);
    const struct past_name name = names_of(apply->names, (size_t)number);
    poise_refusal refusal;
    applying->number = number;
    return engine_series(apply->engine, name.measure, name.org, name.source, &applying->series, &refusal,
                         apply->err);
}

static poise_code apply_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct applying *applying = visitor;
    const struct history_apply *apply = applying->apply;
    poise_code code = POISE_OK;
    if (apply->stop && atomic_load_explicit(apply->stop, memory_order_relaxed))
        return error_set(apply->err, POISE_EBUSY, "the aggregator is stopping");
    if (series != applying->number)
        code = find_series(applying, series);
    for (size_t i = 0; !code && applying->series && i < rows->count; i++) {
        const struct engine_row row = history_row(rows, i);
        code = engine_apply_at(apply->engine, applying->series, &row, rows->ordinal[i], apply->err);
    }
    return code;
}

static poise_code number_all(const struct history_apply *apply)
{
    poise_code code = POISE_OK;
    for (size_t i = 0; !code && i < apply->names->count; i++) {
        const struct past_name name = names_of(apply->names, i);
        uint32_t number;
        code = engine_number_unread(apply->engine, name.measure, name.org, name.source, &number, apply->err);
        if (!code && number != i)
            code = error_set(apply->err, POISE_ECORRUPT,
                             "series %zu of the store is number %u; restore a backup", i, number);
    }
    return code;
}

poise_code history_apply(const struct history_apply *apply, struct store_reader *reader, uint64_t from_place,
                         uint64_t until_place)
{
    struct applying applying = {.apply = apply, .number = UINT64_MAX};
    poise_code code = names_read(apply->names, reader, apply->err);
    if (!code && apply->numbers)
        code = number_all(apply);
    for (size_t input = 0; !code && input < apply->names->measures.count; input++) {
        const struct store_rows_query query = {.input = (uint32_t)input,
                                               .from_ms = INT64_MIN,
                                               .until_ms = INT64_MAX,
                                               .from_place = from_place,
                                               .until_place = until_place};
        const struct store_rows_visit visit = {.rows = apply_rows, .visitor = &applying};
        if (engine_name(apply->engine, ENGINE_MEASURE,
                        intern_text(&apply->names->measures, (uint32_t)input)) != ENGINE_NAME_NONE)
            code = store_read_rows(reader, &query, &visit, apply->err);
    }
    if (!code)
        engine_skip_to(apply->engine, until_place);
    return code;
}
