#include "internal.h"
#include <base/error.h>
#include <inttypes.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <string.h>

bool list_push(struct list *list, void *item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        void **items = reallocarray(list->items, capacity, sizeof *items);
        if (!items) {
            return false;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return true;
}

void list_free(struct list *list)
{
    free(list->items);
    *list = (struct list){0};
}

bool numbers_push(struct numbers *numbers, uint32_t number)
{
    if (numbers->count == numbers->capacity) {
        size_t capacity = numbers->capacity ? 2 * numbers->capacity : 64;
        uint32_t *items = reallocarray(numbers->items, capacity, sizeof *items);
        if (!items) {
            return false;
        }
        numbers->items = items;
        numbers->capacity = capacity;
    }
    numbers->items[numbers->count++] = number;
    return true;
}

/* ---- life ---- */

static bool copy_options(struct engine *engine, const struct engine_options *options)
{
    size_t bytes = options->card_count * sizeof *options->cards;
    const struct scorecard **cards = arena_alloc(&engine->arena, bytes + 1);
    engine->options = *options;
    engine->options.cards = cards;
    if (cards && bytes > 0) {
        memcpy(cards, options->cards, bytes);
    }
    return cards != NULL;
}

static poise_code ignore(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

/* The root has a unit of every scorecard; a restored engine is settled where T was. */
static poise_code start(struct engine *engine, poise_error *err)
{
    bool ok = org_add(engine, "", 0) == 0;
    for (uint32_t plan = 0; plan < engine->plan_count && ok; plan++) {
        ok = unit_add(engine, plan, 0);
    }
    if (ok && engine->as_of_ms == INT64_MIN) {
        return POISE_OK;
    }
    if (!ok || !mark_moved(engine)) {
        return error_nomem(err, "the engine");
    }
    poise_code code = cells_load_ahead(engine, err);
    return code == POISE_OK ? settle(engine, SIZE_MAX, ignore, NULL, err) : code;
}

static poise_code set_up(struct engine *engine, const struct engine_options *options, poise_error *err)
{
    arena_init(&engine->arena, 0);
    engine->as_of_ms = INT64_MIN;
    engine->latest_ms = INT64_MIN;
    engine->closed_ms = INT64_MIN;
    engine->revising = !options->offline;
    engine->folded = !options->offline;
    if (!copy_options(engine, options)) {
        return error_nomem(err, "the engine");
    }
    if (!options->ports.load) {
        engine->options.max_cells = SIZE_MAX;
    }
    engine->cells_limit = engine->options.max_cells;
    poise_code code = definition_compile(engine, err);
    if (code == POISE_OK && options->ports.walk) {
        code = options->offline ? restore_frozen(engine, err) : restore(engine, err);
    }
    return code == POISE_OK ? start(engine, err) : code;
}

poise_code engine_open(const struct engine_options *options, struct engine **ret_engine, poise_error *err)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        return error_nomem(err, "the engine");
    }
    poise_code code = set_up(engine, options, err);
    if (code != POISE_OK) {
        engine_close(engine);
        return code;
    }
    *ret_engine = engine;
    return POISE_OK;
}

static void free_orgs(struct engine *engine)
{
    for (size_t org = 0; org < engine->orgs.count; org++) {
        for (size_t plan = 0; plan < engine->plan_count; plan++) {
            unit_free(engine->org_table[org].units[plan]);
        }
        free(engine->org_table[org].units);
        free(engine->org_table[org].seen);
    }
    free(engine->org_table);
    intern_free(&engine->orgs);
}

static void free_measurements(struct engine *engine)
{
    gains_free(engine);
    cells_free(&engine->cells);
    free(engine->touched.items);
    free(engine->reread.items);
    free(engine->unsaved_blocks.items);
    keys_free(&engine->keys);
    checkpoint_free(engine);
    for (size_t i = 0; i < engine->future.count; i++) {
        free(engine->future.items[i].value);
    }
    heap_free(&engine->future);
    series_free(engine);
    pasts_free(engine);
    revisions_free(engine);
}

void engine_close(struct engine *engine)
{
    if (!engine) {
        return;
    }
    free_measurements(engine);
    free_orgs(engine);
    intern_free(&engine->sources);
    intern_free(&engine->input_names);
    struct list *lists[] = {&engine->marked, &engine->pasts, &engine->unsaved_revisions};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        list_free(lists[i]);
    }
    buf_free(&engine->unsaved_seen);
    buf_free(&engine->unsaved_gone);
    arena_free(&engine->arena);
    free(engine);
}

/* ---- time ---- */

int64_t engine_as_of_ms(const struct engine *engine)
{
    return engine->as_of_ms;
}

uint64_t engine_ordinal(const struct engine *engine)
{
    return engine->ordinal;
}

static poise_code check_usable(const struct engine *engine, poise_error *err)
{
    return engine->broken ? error_set(err, POISE_ECLOSED, "the engine has failed before; it must be closed")
                          : POISE_OK;
}

/* What failed half-way must not go on. */
static poise_code or_break(struct engine *engine, poise_code code)
{
    engine->broken |= code != POISE_OK;
    return code;
}

size_t engine_series_count(const struct engine *engine)
{
    return engine->series.count;
}

void engine_set_limits(struct engine *engine, size_t max_orgs, size_t max_series)
{
    engine->options.max_orgs = max_orgs;
    engine->options.max_series = max_series;
}

poise_code engine_begin(struct engine *engine, int64_t as_of_ms, poise_error *err)
{
    poise_code code = check_usable(engine, err);
    if (code != POISE_OK || as_of_ms <= engine->as_of_ms) {
        return code;
    }
    if (as_of_ms < TIME_MIN_MS - 1 || as_of_ms > TIME_MAX_MS + 1) {
        return error_set(err, POISE_EINVAL, "the time to score at is not between the years 1900 and 2200");
    }
    if (engine->as_of_ms == INT64_MIN && as_of_ms < engine->latest_ms) {
        return error_set(err, POISE_EINVAL,
                         "rows later than the time to score at were counted already; begin earlier");
    }
    bool closes = closes_period(engine, as_of_ms);
    if (closes) {
        code = or_break(engine, reread_marked(engine, err));
    }
    engine->as_of_ms = as_of_ms;
    if (code == POISE_OK) {
        code = or_break(engine, future_reached(engine, err));
    }
    if (code == POISE_OK && closes) { /* what was counted before is no late measurement */
        code = or_break(engine, gains_carry_all(engine, err));
    }
    if (code == POISE_OK && !mark_moved(engine)) {
        code = or_break(engine, error_nomem(err, "the marks of a settle"));
    }
    return code;
}

/* ---- rows ---- */

/* Whether some leaf has a level for the value. */
static bool is_level(const struct input *input, double value)
{
    for (const struct leaf *leaf = input->leaves; leaf; leaf = leaf->next_of_input) {
        for (size_t i = 0; i < leaf->measure->form_count; i++) {
            double attainment;
            if (!isnan(form_score(&leaf->measure->forms[i], value, 0, &attainment))) {
                return true;
            }
        }
    }
    return false;
}

static poise_refusal check_row(const struct input *input, const struct engine_row *row, int64_t now_ms)
{
    poise_refusal refusal = measurement_check_row(row->time_ms, row->value, row->of, row->key,
                                                  row->key_length, row->seq, row->retract);
    if (refusal != POISE_REFUSAL_NONE || row->retract || now_ms == ENGINE_LET_IN) {
        return refusal;
    }
    if (now_ms != INT64_MAX && row->time_ms >= input->until_ms) {
        return POISE_REFUSAL_UNKNOWN_MEASURE;
    }
    if (now_ms != INT64_MAX && row->time_ms > now_ms + input->max_ahead_ms) {
        return POISE_REFUSAL_TIME_AHEAD;
    }
    return input->only_levels && !is_level(input, row->value) ? POISE_REFUSAL_LEVEL : POISE_REFUSAL_NONE;
}

bool is_locked(const struct engine *engine, const struct input *input, int64_t time_ms)
{
    if (!input->locks || !engine->enforcing || engine->as_of_ms == INT64_MIN) {
        return false;
    }
    for (const struct leaf *leaf = input->leaves; leaf; leaf = leaf->next_of_input) {
        const struct measure *measure = leaf->measure;
        if (measure->lock_after_ms == INT64_MAX || measure->rolling_ms > 0) {
            continue;
        }
        const struct plan *plan = &engine->plans[leaf->plan];
        struct calendar calendar = scorecard_calendar(plan->card, measure->period);
        int64_t end_ms = period_of(&calendar, time_ms).end_ms;
        if (end_ms <= engine->as_of_ms - measure->lock_after_ms && is_in_force(plan, end_ms)) {
            return true;
        }
    }
    return false;
}

static poise_code apply_event(struct engine *engine, struct engine_series *series,
                              const struct sample *sample, poise_refusal *ret_refusal, poise_error *err)
{
    if (is_frozen(engine, input_of(engine, series), sample->time_ms)) {
        *ret_refusal = POISE_REFUSAL_FROZEN;
        return POISE_OK;
    }
    if (is_locked(engine, input_of(engine, series), sample->time_ms)) {
        *ret_refusal = POISE_REFUSAL_LOCKED;
        return POISE_OK;
    }
    return future_count(engine, series, sample, NULL, err);
}

bool unit_see(struct engine *engine, const struct input *input, uint32_t org, bool stored)
{
    bool is_new;
    if (!units_add_seen(engine, input, org, &is_new)) {
        return false;
    }
    if (is_new && !stored) {
        struct buf *out = &engine->unsaved_seen;
        size_t length = intern_length(&engine->input_names, input->id);
        buf_put_varint(out, length + sizeof org);
        put_big32(out, org);
        buf_put(out, input->name, length);
    }
    return !engine->unsaved_seen.failed;
}

/* From now on the series has a number, and its org is one of those where scorecards that read the input are
 * scored. What a series says in the store is of the row that numbers it and never changes, since a checkpoint
 * gives it later than as of when. */
static poise_code see(struct engine *engine, struct engine_series *series, bool retract, poise_error *err)
{
    bool is_first = series->number == ENGINE_UNNUMBERED; /* and says so itself in the store */
    if (!series_number(engine, series)) {
        return error_nomem(err, "the number of a series");
    }
    if (retract) {
        return POISE_OK;
    }
    if (!unit_see(engine, input_of(engine, series), series->org, is_first)) {
        return error_nomem(err, "a scorecard at an org");
    }
    series->seen = is_first;
    return POISE_OK;
}

/* ret_refusal NULL: it was accepted before. */
static poise_code apply(struct engine *engine, struct engine_series *series, const struct engine_row *row,
                        uint64_t ordinal, poise_refusal *ret_refusal, poise_error *err)
{
    struct sample sample = {
        .source = series->source, .rank = row->seq ? row->seq : ordinal, .ordinal = ordinal};
    engine->gone.ordinal = 0;
    if (!row->retract) {
        sample.time_ms = row->time_ms;
        sample.value = row->value + 0.0; /* -0 is 0 */
        sample.of = row->of + 0.0;
    }
    poise_code code = row->key ? key_apply(engine, series, row, &sample, ret_refusal, err)
                               : apply_event(engine, series, &sample, ret_refusal, err);
    bool is_seen = series->seen || (ret_refusal && *ret_refusal != POISE_REFUSAL_NONE);
    return code == POISE_OK && !is_seen ? see(engine, series, row->retract, err) : code;
}

static poise_code check_takes_rows(const struct engine *engine, poise_error *err)
{
    poise_code code = check_usable(engine, err);
    if (code == POISE_OK && engine->options.offline && engine->folded) {
        code = error_set(err, POISE_EINVAL, "offline, all rows come before the first settle");
    }
    return code;
}

poise_code engine_apply(struct engine *engine, struct engine_series *series, const struct engine_row *row,
                        int64_t now_ms, poise_refusal *ret_refusal, poise_error *err)
{
    poise_code code = check_takes_rows(engine, err);
    if (code != POISE_OK) {
        return code;
    }
    engine->ordinal++;
    engine->enforcing = now_ms != INT64_MAX && now_ms != ENGINE_LET_IN;
    engine->freezing = now_ms != ENGINE_LET_IN;
    *ret_refusal = check_row(input_of(engine, series), row, now_ms);
    return *ret_refusal == POISE_REFUSAL_NONE
               ? or_break(engine, apply(engine, series, row, engine->ordinal, ret_refusal, err))
               : POISE_OK;
}

poise_code engine_apply_at(struct engine *engine, struct engine_series *series, const struct engine_row *row,
                           uint64_t ordinal, poise_error *err)
{
    poise_code code = check_takes_rows(engine, err);
    if (code != POISE_OK) {
        return code;
    }
    if (check_row(input_of(engine, series), row, ENGINE_LET_IN) != POISE_REFUSAL_NONE) {
        return error_set(err, POISE_EINVAL, "row %" PRIu64 " cannot have been accepted", ordinal);
    }
    engine->ordinal = ordinal > engine->ordinal ? ordinal : engine->ordinal;
    engine->enforcing = engine->freezing = false;
    return or_break(engine, apply(engine, series, row, ordinal, NULL, err));
}

poise_code engine_see(struct engine *engine, struct engine_series *series, poise_error *err)
{
    poise_code code = check_takes_rows(engine, err);
    return code == POISE_OK && !series->seen ? or_break(engine, see(engine, series, false, err)) : code;
}

poise_code engine_apply_sum(struct engine *engine, struct engine_series *series, const struct engine_sum *sum,
                            poise_error *err)
{
    poise_code code = engine_see(engine, series, err);
    return code == POISE_OK ? or_break(engine, series_count_sum(engine, series, &sum->rows, err)) : code;
}

bool engine_gone(const struct engine *engine, struct engine_gone *ret_gone)
{
    if (engine->gone.ordinal == 0) {
        return false;
    }
    *ret_gone = (struct engine_gone){engine->gone.series->number, engine->gone.time_ms, engine->gone.ordinal};
    return true;
}

poise_code engine_erase(struct engine *engine, const struct engine_erased *rows, size_t count,
                        size_t *ret_counted, poise_error *err)
{
    poise_code code = check_usable(engine, err);
    if (code == POISE_OK && engine->options.offline) {
        code = error_set(err, POISE_EINVAL, "offline, what was erased is left out");
    }
    return code == POISE_OK ? or_break(engine, erase_rows(engine, rows, count, ret_counted, err)) : code;
}

poise_code engine_see_org(struct engine *engine, const char *measure, const char *org, poise_error *err)
{
    poise_code code = check_usable(engine, err);
    return code == POISE_OK ? or_break(engine, erase_see(engine, measure, org, err)) : code;
}

void engine_skip(struct engine *engine)
{
    engine->ordinal++;
}

void engine_skip_to(struct engine *engine, uint64_t ordinal)
{
    engine->ordinal = ordinal > engine->ordinal ? ordinal : engine->ordinal;
}

poise_code engine_settle(struct engine *engine, size_t budget, engine_visit *visit, void *visitor,
                         poise_error *err)
{
    poise_code code = check_usable(engine, err);
    if (code != POISE_OK) {
        return code;
    }
    if (engine->as_of_ms == INT64_MIN) {
        return error_set(err, POISE_EINVAL, "there is no time to settle at; begin first");
    }
    return or_break(engine, settle(engine, budget, visit, visitor, err));
}

poise_code engine_rescore(struct engine *engine, const char *card, int64_t after_ms, engine_visit *visit,
                          void *visitor, poise_error *err)
{
    poise_code code = check_usable(engine, err);
    if (code != POISE_OK) {
        return code;
    }
    if (engine->options.offline || engine_holds(engine)) {
        return error_set(err, POISE_EINVAL, "a rescore is of a live engine without a backfill");
    }
    return or_break(engine, rescore_card(engine, card, after_ms, visit, visitor, err));
}
