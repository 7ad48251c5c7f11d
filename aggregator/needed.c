#include "needed.h"

#include "history.h"
#include <base/error.h>
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
    struct list *list; /* of the input at hand */
    bool missing;      /* only those are wanted that were not seen */
    size_t unseen;     /* of the list */
};

/* ---- which series ---- */

static bool is_asked(const struct needed *needed, const char *org)
{
    if (needed->all || needed->history || !needed->org || needed->org[0] == '\0')
        return true;
    size_t length = strlen(needed->org);
    return strncmp(org, needed->org, length) == 0 && (org[length] == '\0' || org[length] == '/');
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

static poise_code want(void *visitor, uint32_t number, const struct past_name *name)
{
    struct needing *needing = visitor;
    const struct needed *needed = needing->needed;
    uint32_t input = intern_find(&needed->inputs->measures, name->measure, strlen(name->measure));
    struct wanted wanted = {.number = number, .by_retraction = name->by_retraction};
    poise_refusal refusal;
    if (input >= needing->input_count || !needing->lists[input].is_read || !is_asked(needed, name->org))
        return POISE_OK;
    poise_code code = engine_series(needed->engine, name->measure, name->org, name->source, &wanted.series,
                                    &refusal, needed->err);
    return code || !wanted.series ? code : add(needing, &needing->lists[input], &wanted);
}

static poise_code find_series(struct needing *needing)
{
    const struct needed *needed = needing->needed;
    const struct intern *measures = &needed->inputs->measures;
    needed->inputs->inputs_only = true;
    poise_code code = names_read(needed->inputs, needing->reader, needed->err);
    if (code)
        return code;
    needing->lists = calloc(measures->count + 1, sizeof *needing->lists);
    if (!needing->lists)
        return error_nomem(needed->err, "the series of an answer");
    needing->input_count = measures->count;
    for (uint32_t input = 0; input < needing->input_count; input++)
        needing->lists[input].is_read =
            engine_name(needed->engine, ENGINE_MEASURE, intern_text(measures, input)) != ENGINE_NAME_NONE;
    return store_read_names(needing->reader, 0, want, needing, needed->err);
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
           erasures_have(needed->erasures, intern_text(&needed->inputs->measures, input),
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
    const char *name = intern_text(&needed->inputs->measures, input);
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
        engine_needs(needed->engine, intern_text(&needed->inputs->measures, input), &from_ms);
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
    if (!code)
        engine_skip_to(needed->engine, needed->until_place);
    return code;
}
