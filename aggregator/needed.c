#include "needed.h"

#include "history.h"
#include <base/error.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

struct wanted { /* a series */
    uint32_t number;
    bool seen; /* the engine knows that it has a row */
    bool by_retraction;
    struct engine_series *series;
};
struct list { /* of an input, by number */
    struct wanted *items;
    size_t count, capacity;
    bool is_read; /* by the engine */
};

struct needing {
    const struct needed *needed;
    struct store_reader *reader;
    struct list *lists; /* by input */
    size_t input_count;
    uint8_t *orgs;     /* by their number among the names: whether it is asked about; 0: not looked at yet */
    struct list *list; /* of the input at hand */
    bool missing;      /* only those are wanted that were not seen */
    size_t unseen;     /* of the list */
};

/* ---- which series ---- */

static bool is_asked(struct needing *needing, uint32_t org)
{
    enum { NO = 1, YES };
    const struct needed *needed = needing->needed;
    uint8_t *is = &needing->orgs[org];
    if (needed->all || needed->history || !needed->org)
        return true;
    if (*is == 0)
        *is = org_within(intern_text(&needed->names->orgs, org), needed->org) ? YES : NO;
    return *is == YES;
}

static poise_code add(struct needing *needing, struct list *list, const struct wanted *wanted)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct wanted *items = realloc(list->items, capacity * sizeof *items);
        if (!items)
            return error_nomem(needing->needed->err, "the series of an answer");
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *wanted;
    return POISE_OK;
}

static poise_code want(struct needing *needing, uint32_t number)
{
    const struct needed *needed = needing->needed;
    const struct series_name *series = &needed->names->series[number];
    struct list *list = &needing->lists[series->measure];
    if (!list->is_read || !is_asked(needing, series->org))
        return POISE_OK;
    const struct past_name name = names_of(needed->names, number);
    struct wanted wanted = {.number = number, .by_retraction = name.by_retraction};
    poise_refusal refusal;
    poise_code code = engine_series(needed->engine, name.measure, name.org, name.source, &wanted.series,
                                    &refusal, needed->err);
    return code || !wanted.series ? code : add(needing, list, &wanted);
}

static poise_code find_series(struct needing *needing)
{
    const struct needed *needed = needing->needed;
    struct names *names = needed->names;
    poise_code code = names_read(names, needing->reader, needed->err);
    if (code)
        return code;
    needing->lists = calloc(names->measures.count + 1, sizeof *needing->lists);
    needing->orgs = calloc(names->orgs.count + 1, 1);
    if (!needing->lists || !needing->orgs)
        return error_nomem(needed->err, "the series of an answer");
    needing->input_count = names->measures.count;
    for (uint32_t input = 0; input < needing->input_count; input++)
        needing->lists[input].is_read = engine_name(needed->engine, ENGINE_MEASURE,
                                                    intern_text(&names->measures, input)) != ENGINE_NAME_NONE;
    for (size_t number = 0; !code && number < names->count; number++)
        code = want(needing, (uint32_t)number);
    return code;
}

/* The first that is not before a number. */
static size_t place_of(const struct list *list, uint64_t number)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t choose(void *visitor, uint64_t series)
{
    const struct needing *needing = visitor;
    const struct list *list = needing->list;
    size_t at = place_of(list, series);
    while (needing->missing && at < list->count && list->items[at].seen)
        at++;
    return at < list->count ? list->items[at].number : UINT64_MAX;
}

/* ---- their rows ---- */

static poise_code see(struct needing *needing, struct wanted *wanted)
{
    poise_code code = engine_see(needing->needed->engine, wanted->series, needing->needed->err);
    needing->unseen -= !code && !wanted->seen;
    wanted->seen |= !code;
    return code;
}

static bool is_erased(const struct needing *needing, const struct wanted *wanted,
                      const struct engine_row *row, uint64_t place)
{
    const struct needed *needed = needing->needed;
    uint32_t input = (uint32_t)(needing->list - needing->lists);
    return needed->erasures->count > 0 && !row->retract &&
           erasures_have(needed->erasures, intern_text(&needed->names->measures, input),
                         engine_series_org(needed->engine, wanted->series), row->time_ms, place);
}

static poise_code take_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct needing *needing = visitor;
    const struct needed *needed = needing->needed;
    struct wanted *wanted = &needing->list->items[place_of(needing->list, series)];
    poise_code code = POISE_OK;
    if (needed->stop && atomic_load_explicit(needed->stop, memory_order_relaxed))
        return error_set(needed->err, POISE_EBUSY, "the aggregator is stopping");
    for (size_t i = 0; !code && i < rows->count; i++) {
        struct engine_row row = history_row(rows, i);
        if (is_erased(needing, wanted, &row, rows->ordinal[i])) {
            if (!row.key)
                continue;
            row.retract = true;
        }
        bool gone = rows->gone && rows->gone[i] && !needed->doubts;
        if (!row.retract && !wanted->seen)
            code = see(needing, wanted);
        if (!code && !gone && !needing->missing)
            code = engine_apply_at(needed->engine, wanted->series, &row, rows->ordinal[i], needed->err);
    }
    return !code && needing->missing && needing->unseen == 0 ? POISE_ECLOSED : code;
}

static bool will_do(void *visitor, uint64_t series, const struct chunk_head *head)
{
    const struct needing *needing = visitor;
    const struct needed *needed = needing->needed;
    const struct wanted *wanted = &needing->list->items[place_of(needing->list, series)];
    return head->standing == head->rows && (needed->is_last || !head->has_keys) &&
           engine_takes_sum(needed->engine, wanted->series, head->min_time_ms, head->max_time_ms);
}

static poise_code take_head(void *visitor, uint64_t series, const struct chunk_head *head)
{
    struct needing *needing = visitor;
    struct wanted *wanted = &needing->list->items[place_of(needing->list, series)];
    const struct engine_sum sum = {.min_ms = head->min_time_ms,
                                   .rows = {.count = head->standing,
                                            .min = head->min,
                                            .max = head->max,
                                            .sum = {head->sum[0], head->sum[1], head->sum[2]},
                                            .newest_ms = head->max_time_ms}};
    poise_code code = see(needing, wanted);
    return code ? code
                : engine_apply_sum(needing->needed->engine, wanted->series, &sum, needing->needed->err);
}

static poise_code read_range(struct needing *needing, uint32_t input, int64_t from_ms, int64_t until_ms)
{
    const struct needed *needed = needing->needed;
    const struct store_rows_query query = {.input = input,
                                           .from_ms = from_ms,
                                           .until_ms = until_ms,
                                           .from_place = needed->from_place,
                                           .until_place = needed->until_place,
                                           .choose = choose,
                                           .effort = needed->effort};
    bool heads = !needed->all && !needed->history && !needing->missing;
    const struct store_rows_visit visit = {
        .rows = take_rows, .head = heads ? take_head : NULL, .will_do = will_do, .visitor = needing};
    return from_ms > until_ms ? POISE_OK : store_read_rows(needing->reader, &query, &visit, needed->err);
}

/* Of the series of which no row is needed: whether there is one. */
static poise_code read_missing(struct needing *needing, uint32_t input, int64_t from_ms, int64_t until_ms)
{
    poise_code code = POISE_OK;
    needing->missing = true;
    if (needing->unseen > 0 && until_ms < INT64_MAX)
        code = read_range(needing, input, until_ms + 1, INT64_MAX);
    if (!code && needing->unseen > 0 && from_ms > INT64_MIN)
        code = read_range(needing, input, INT64_MIN, from_ms - 1);
    needing->missing = false;
    return code;
}

/* Rows that said so may be dropped. Of a series that a retraction has numbered it is not known here whether
 * a measurement came. */
static poise_code see_dropped(struct needing *needing, uint32_t input)
{
    const struct needed *needed = needing->needed;
    const char *name = intern_text(&needed->names->measures, input);
    bool frozen = definitions_frozen_ms(needed->dropped, name) != INT64_MIN;
    poise_code code = POISE_OK;
    for (size_t i = 0; frozen && !code && i < needing->list->count; i++) {
        struct wanted *wanted = &needing->list->items[i];
        if (!wanted->seen && !wanted->by_retraction && wanted->number < needed->existed)
            code = see(needing, wanted);
    }
    return code;
}

static poise_code read_input(struct needing *needing, uint32_t input)
{
    const struct needed *needed = needing->needed;
    int64_t from_ms = INT64_MIN, until_ms = needed->all ? INT64_MAX : needed->as_of_ms;
    needing->list = &needing->lists[input];
    needing->unseen = needing->list->count;
    if (needing->unseen == 0)
        return POISE_OK;
    if (!needed->all && !needed->history)
        engine_needs(needed->engine, intern_text(&needed->names->measures, input), &from_ms);
    poise_code code = read_range(needing, input, from_ms, until_ms);
    if (!code)
        code = read_missing(needing, input, from_ms, until_ms);
    return code ? code : see_dropped(needing, input);
}

poise_code needed_apply(const struct needed *needed, struct store_reader *reader)
{
    struct needing needing = {.needed = needed, .reader = reader};
    poise_code code = find_series(&needing);
    for (uint32_t input = 0; !code && input < needing.input_count; input++)
        code = read_input(&needing, input);
    for (size_t input = 0; input < needing.input_count; input++)
        free(needing.lists[input].items);
    free(needing.lists);
    free(needing.orgs);
    if (!code)
        engine_skip_to(needed->engine, needed->until_place);
    return code;
}
