#include "erase.h"

#include "definitions.h"
#include "held.h"
#include "history.h"
#include <base/error.h>
#include <base/text.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

/* ---- the order ---- */

static poise_code copy(char *to, size_t room, const char *text, const char *what, poise_error *err)
{
    size_t length = strlen(text);
    if (length >= room)
        return error_set(err, POISE_EPROTO, "the %s of an erasure has more than %zu bytes", what, room - 1);
    memcpy(to, text, length + 1);
    return POISE_OK;
}

static poise_code make(const struct erasure *asked, struct erase **ret_erase, poise_error *err)
{
    struct erase *erase = calloc(1, sizeof *erase);
    if (!erase)
        return error_nomem(err, "an erasure");
    arena_init(&erase->texts, 0);
    erase->order.producer = ERASE_PRODUCER;
    erase->from_ms = asked->from_ms;
    erase->to_ms = asked->to_ms;
    erase->place = asked->place;
    poise_code code = copy(erase->measure, sizeof erase->measure, asked->measure, "measure", err);
    if (!code)
        code = copy(erase->org, sizeof erase->org, asked->org, "org", err);
    if (!code)
        code = copy(erase->reason, sizeof erase->reason, asked->reason, "reason", err);
    if (code)
        erase_free(erase);
    else
        *ret_erase = erase;
    return code;
}

poise_code erase_open(const struct wire_erase *order, struct erase **ret_erase, poise_error *err)
{
    if (order->from_ms >= order->to_ms || order->reason[0] == '\0')
        return error_set(err, POISE_EPROTO,
                         "an erasure needs a reason, and a time that begins before it ends");
    if (!order->measure[0] && !order->org[0])
        return error_set(err, POISE_EPROTO, "an erasure names a measure or orgs; '**' is all orgs");
    if (order->org[0] && !glob_valid(order->org))
        return error_set(err, POISE_EPROTO, "'%.200s' is no org and no glob of orgs", order->org);
    const struct erasure asked = {.measure = order->measure,
                                  .org = order->org,
                                  .reason = order->reason,
                                  .from_ms = order->from_ms,
                                  .to_ms = order->to_ms,
                                  .place = UINT64_MAX};
    poise_code code = make(&asked, ret_erase, err);
    if (!code)
        (*ret_erase)->dry_run = order->dry_run;
    return code;
}

void erase_free(struct erase *erase)
{
    if (!erase)
        return;
    batch_free(&erase->order);
    arena_free(&erase->texts);
    free(erase->items);
    free(erase->series);
    free(erase);
}

/* ---- what is found ---- */

struct finding {
    struct erase *erase;
    struct erasure wanted;
    const struct erasures *erasures;
    const _Atomic bool *stop;
    struct names names;
    struct arena arena; /* of the batch at hand */
    uint64_t number;    /* of the series at hand, in runs */
    uint32_t series;    /* its index + 1; 0: it is not wanted */
    poise_error *err;
};

static poise_code check_stop(const struct finding *finding)
{
    return finding->stop && atomic_load_explicit(finding->stop, memory_order_relaxed)
               ? error_set(finding->err, POISE_EBUSY, "the aggregator is stopping")
               : POISE_OK;
}

/* *ret_series: its index + 1. */
static poise_code add_series(struct finding *finding, const struct past_name *name, uint64_t place,
                             uint32_t *ret_series)
{
    struct erase *erase = finding->erase;
    if (erase->series_count == erase->series_capacity) {
        size_t capacity = erase->series_capacity ? 2 * erase->series_capacity : 64;
        struct erase_series *series = realloc(erase->series, capacity * sizeof *series);
        if (!series)
            return error_nomem(finding->err, "what is erased");
        erase->series = series;
        erase->series_capacity = capacity;
    }
    const struct erase_series series = {
        .measure = arena_strndup(&erase->texts, name->measure, strlen(name->measure)),
        .org = arena_strndup(&erase->texts, name->org, strlen(name->org)),
        .source = arena_strndup(&erase->texts, name->source, strlen(name->source)),
        .place = place};
    if (!series.measure || !series.org || !series.source)
        return error_nomem(finding->err, "what is erased");
    erase->series[erase->series_count++] = series;
    *ret_series = (uint32_t)erase->series_count;
    return POISE_OK;
}

static bool is_wanted(const struct finding *finding, const struct past_name *name, int64_t time_ms,
                      uint64_t place)
{
    return place <= finding->wanted.place && time_ms >= finding->wanted.from_ms &&
           time_ms < finding->wanted.to_ms &&
           !erasures_have(finding->erasures, name->measure, name->org, time_ms, place);
}

static poise_code too_many(const struct finding *finding)
{
    return error_set(finding->err, POISE_ELIMIT,
                     "that names more than %d measurements: name a measure, org or time that has fewer, and "
                     "erase the rest with further orders",
                     ERASE_ROWS_MAX);
}

static poise_code add_row(struct finding *finding, uint32_t series, const struct engine_row *row,
                          uint64_t place)
{
    struct erase *erase = finding->erase;
    if (erase->count == ERASE_ROWS_MAX)
        return too_many(finding);
    if (erase->count == erase->capacity) {
        size_t capacity = erase->capacity ? 2 * erase->capacity : 256;
        struct erase_row *items = realloc(erase->items, capacity * sizeof *items);
        if (!items)
            return error_nomem(finding->err, "what is erased");
        erase->items = items;
        erase->capacity = capacity;
    }
    struct erase_row item = {.series = series - 1, .place = place, .row = *row};
    if (row->key && !(item.row.key = arena_strndup(&erase->texts, row->key, row->key_length)))
        return error_nomem(finding->err, "what is erased");
    struct erase_series *of = &erase->series[series - 1];
    of->place = place < of->place ? place : of->place;
    erase->items[erase->count++] = item;
    return POISE_OK;
}

/* ---- in runs ---- */

static poise_code find_rows(void *visitor, uint64_t number, const struct chunk_rows *rows)
{
    struct finding *finding = visitor;
    poise_code code = check_stop(finding);
    if (!code && number >= finding->names.count)
        code = error_set(finding->err, POISE_ECORRUPT, "runs have rows of series %llu, which has no name",
                         (unsigned long long)number);
    if (code)
        return code;
    const struct past_name name = names_of(&finding->names, (size_t)number);
    if (!erasure_names(&finding->wanted, name.measure, name.org))
        return POISE_OK;
    if (finding->number != number)
        finding->series = 0;
    finding->number = number;
    for (size_t i = 0; !code && i < rows->count; i++) {
        const struct engine_row row = history_row(rows, i);
        if (row.retract || !is_wanted(finding, &name, row.time_ms, rows->ordinal[i]))
            continue;
        if (finding->series == 0)
            code = add_series(finding, &name, rows->ordinal[i], &finding->series);
        if (!code)
            code = add_row(finding, finding->series, &row, rows->ordinal[i]);
    }
    return code;
}

static poise_code find_in_runs(void *visitor, struct store_reader *reader, uint64_t from_place,
                               uint64_t until_place)
{
    struct finding *finding = visitor;
    const char *measure = finding->wanted.measure;
    poise_code code = names_read(&finding->names, reader, finding->err);
    finding->number = UINT64_MAX;
    for (uint32_t input = 0; !code && input < finding->names.measures.count; input++) {
        const struct store_rows_query query = {.input = input,
                                               .from_ms = finding->wanted.from_ms,
                                               .until_ms = finding->wanted.to_ms - 1,
                                               .from_place = from_place,
                                               .until_place = until_place};
        const struct store_rows_visit visit = {.rows = find_rows, .visitor = finding};
        if (!measure[0] || strcmp(measure, intern_text(&finding->names.measures, input)) == 0)
            code = store_read_rows(reader, &query, &visit, finding->err);
    }
    return code;
}

/* ---- in the journal ---- */

static bool may_have(void *visitor, const struct journal_record *head)
{
    const struct finding *finding = visitor;
    return head->first_ordinal <= finding->wanted.place && head->min_time_ms < finding->wanted.to_ms &&
           head->max_time_ms >= finding->wanted.from_ms;
}

static struct past_name name_in(const struct wire_batch *rows, uint32_t index)
{
    const struct wire_series *series = &rows->series[index];
    return (struct past_name){.measure = rows->symbols[series->measure],
                              .org = rows->symbols[series->org],
                              .source =
                                  series->source == WIRE_SYMBOL_NONE ? "" : rows->symbols[series->source]};
}

static poise_code find_in_batch(struct finding *finding, const struct journal_batch *batch,
                                uint64_t first_place)
{
    struct wire_batch rows;
    if (batch->rows == 0 || order_takes_place(batch))
        return POISE_OK;
    arena_reset(&finding->arena);
    poise_code code =
        wire_decode_batch(batch->body, batch->body_length, &finding->arena, &rows, finding->err);
    uint32_t *series = code ? NULL : arena_zalloc(&finding->arena, rows.series_count + 1, sizeof *series);
    if (!code && !series)
        code = error_nomem(finding->err, "the series of a batch");
    size_t refused_at = 0;
    for (uint32_t at = 0; !code && at < rows.rows; at++) {
        bool refused = batch_row_refused(batch->refused, batch->refused_count, &refused_at, at);
        uint32_t index = rows.row_series[at];
        const struct past_name name = name_in(&rows, index);
        if (refused || (rows.retract && rows.retract[at]) ||
            !erasure_names(&finding->wanted, name.measure, name.org) ||
            !is_wanted(finding, &name, rows.time_ms[at], first_place + at))
            continue;
        const poise_measurement measurement = wire_batch_row(&rows, at);
        const struct engine_row row = {.time_ms = measurement.time_ms,
                                       .value = measurement.value,
                                       .of = measurement.of,
                                       .key = measurement.key,
                                       .key_length = measurement.key ? strlen(measurement.key) : 0,
                                       .seq = measurement.seq};
        if (series[index] == 0)
            code = add_series(finding, &name, first_place + at, &series[index]);
        if (!code)
            code = add_row(finding, series[index], &row, first_place + at);
    }
    return code;
}

static poise_code find_in_record(void *visitor, const struct journal_record *record)
{
    struct finding *finding = visitor;
    uint64_t place = record->first_ordinal;
    poise_code code = check_stop(finding);
    for (size_t i = 0; !code && i < record->batch_count; i++) {
        code = find_in_batch(finding, &record->batches[i], place);
        place += record->batches[i].rows;
    }
    return code == POISE_ECLOSED ? POISE_EPROTO : code;
}

static poise_code find(struct erase *erase, const struct erasure *wanted, struct store *store, uint64_t until,
                       const struct erasures *erasures, const _Atomic bool *stop, poise_error *err)
{
    struct finding finding = {
        .erase = erase, .wanted = *wanted, .erasures = erasures, .stop = stop, .err = err};
    const struct history_visit visit = {
        .runs = find_in_runs, .wanted = may_have, .record = find_in_record, .visitor = &finding};
    uint64_t in_runs;
    arena_init(&finding.arena, 0);
    poise_code code = history_read(store, until, INT64_MAX, &visit, &in_runs, err);
    names_free(&finding.names);
    arena_free(&finding.arena);
    return code;
}

/* ---- what locked periods hold ---- */

/* What was let in is counted as what became of it, and goes from the disk here, too. */
static poise_code find_held(void *visitor, const struct held *held)
{
    struct finding *finding = visitor;
    struct erase *erase = finding->erase;
    const poise_measurement *row = &held->row;
    const struct past_name name = {
        .measure = row->measure, .org = row->org ? row->org : "", .source = row->source ? row->source : ""};
    if (row->retract || !erasure_names(&finding->wanted, name.measure, name.org) ||
        !is_wanted(finding, &name, row->time_ms, held->place))
        return POISE_OK;
    erase->held += !held->let_in;
    erase->place = held->place > erase->place ? held->place : erase->place;
    return POISE_OK;
}

/* ---- both ---- */

poise_code erase_find(struct erase *erase, struct store *store, uint64_t until,
                      const struct erasures *erasures, const _Atomic bool *stop, poise_error *err)
{
    const struct erasure wanted = {.measure = erase->measure,
                                   .org = erase->org,
                                   .from_ms = erase->from_ms,
                                   .to_ms = erase->to_ms,
                                   .place = UINT64_MAX};
    struct finding finding = {
        .erase = erase, .wanted = wanted, .erasures = erasures, .stop = stop, .err = err};
    erase->found_lsn = until;
    erase->place = 0;
    poise_code code = find(erase, &wanted, store, until, erasures, stop, err);
    for (size_t i = 0; i < erase->count; i++)
        erase->place = erase->items[i].place > erase->place ? erase->items[i].place : erase->place;
    return code ? code : held_each(store, until, stop, find_held, &finding, err);
}

poise_code erase_find_again(const struct erasure *erasure, struct store *store, uint64_t until,
                            const struct erasures *erasures, struct erase **ret_erase, poise_error *err)
{
    struct erase *erase;
    poise_code code = make(erasure, &erase, err);
    if (code)
        return code;
    code = find(erase, erasure, store, until, erasures, NULL, err);
    if (code)
        erase_free(erase);
    else
        *ret_erase = erase;
    return code;
}

/* ---- to the journal and the engine ---- */

static int by_name(const void *a, const void *b)
{
    const struct erase_series *left = a, *right = b;
    int order = strcmp(left->measure, right->measure);
    order = order ? order : strcmp(left->org, right->org);
    return order ? order : (left->place > right->place) - (left->place < right->place);
}

static bool is_same(const struct erase_series *a, const struct erase_series *b)
{
    return strcmp(a->measure, b->measure) == 0 && strcmp(a->org, b->org) == 0;
}

poise_code erase_put_order(struct erase *erase, const char *who, poise_error *err)
{
    const struct erasure order = {.measure = erase->measure,
                                  .org = erase->org,
                                  .reason = erase->reason,
                                  .from_ms = erase->from_ms,
                                  .to_ms = erase->to_ms,
                                  .place = erase->place,
                                  .rows = erase->count + erase->held};
    struct erase_series *seen = calloc(erase->series_count + 1, sizeof *seen);
    size_t count = 0;
    if (!seen)
        return error_nomem(err, "an order to erase");
    if (erase->series_count)
        memcpy(seen, erase->series, erase->series_count * sizeof *seen);
    qsort(seen, erase->series_count, sizeof *seen, by_name);
    for (size_t i = 0; i < erase->series_count; i++)
        if (count == 0 || !is_same(&seen[count - 1], &seen[i]))
            seen[count++] = seen[i];
    buf_reset(&erase->order.body);
    erasure_put(&erase->order.body, &order, who, count);
    for (size_t i = 0; i < count; i++)
        erasure_put_seen(&erase->order.body, seen[i].measure, seen[i].org, seen[i].place);
    free(seen);
    return erase->order.body.failed ? error_nomem(err, "an order to erase") : POISE_OK;
}

poise_code erase_check(const struct erase *erase, const struct engine *engine, poise_error *err)
{
    for (size_t i = 0; i < erase->count; i++) {
        const char *measure = erase->series[erase->items[i].series].measure;
        int64_t frozen_ms = engine_input_frozen_ms(engine, measure);
        char until[TIME_TEXT_MAX];
        if (erase->items[i].row.time_ms >= frozen_ms)
            continue;
        format_time_ms(frozen_ms, until);
        return error_set(
            err, POISE_EINVAL,
            "measurements of '%s' before %s are frozen: they are dropped by themselves (`keep`), "
            "and what they were scored by stays; erase those since %s",
            measure, until, until);
    }
    return POISE_OK;
}

poise_code erase_apply(struct erase *erase, struct engine *engine, poise_error *err)
{
    struct engine_series **series = calloc(erase->series_count + 1, sizeof(struct engine_series *));
    struct engine_erased *rows = calloc(erase->count + 1, sizeof *rows);
    poise_code code = series && rows ? POISE_OK : error_nomem(err, "what is erased");
    size_t count = 0, counted = 0;
    for (size_t i = 0; !code && i < erase->series_count; i++) {
        const struct erase_series *of = &erase->series[i];
        poise_refusal refusal; /* no definition reads the input: nothing of it is counted */
        code = engine_series(engine, of->measure, of->org, of->source, &series[i], &refusal, err);
    }
    for (size_t i = 0; !code && i < erase->count; i++) {
        const struct erase_row *item = &erase->items[i];
        if (series[item->series])
            rows[count++] = (struct engine_erased){series[item->series], item->place, item->row};
    }
    engine_skip(engine);
    if (!code)
        code = engine_erase(engine, rows, count, &counted, err);
    erase->counted = counted;
    free(series);
    free(rows);
    return code;
}
