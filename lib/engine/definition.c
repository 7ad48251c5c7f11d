#include "internal.h"
#include <base/error.h>
#include <stdio.h>
#include <string.h>

struct input *definition_input(const struct engine *engine, const char *name, size_t length)
{
    uint32_t id = intern_find(&engine->input_names, name, length);
    return id == INTERN_NONE ? NULL : &engine->inputs[id];
}

struct period feed_period(struct feed *feed, int64_t time_ms)
{
    for (size_t i = 0; i < RECENT_PERIODS; i++) {
        if (time_ms >= feed->recent[i].start_ms && time_ms < feed->recent[i].end_ms) {
            return feed->recent[i];
        }
    }
    struct period period = period_of(&feed->calendar, time_ms);
    feed->recent[feed->oldest_recent] = period;
    feed->oldest_recent = (feed->oldest_recent + 1) % RECENT_PERIODS;
    return period;
}

static struct calendar calendar_of(const struct scorecard *card, const struct measure *measure)
{
    struct calendar calendar = scorecard_calendar(card, measure->period);
    if (calendar.unit < PERIOD_QUARTER) {
        calendar.fiscal_year_start = 1; /* no part of what the period is */
    }
    return calendar;
}

static bool same_calendar(const struct calendar *a, const struct calendar *b)
{
    return a->unit == b->unit && a->fiscal_year_start == b->fiscal_year_start &&
           strcmp(zone_name(a->zone), zone_name(b->zone)) == 0;
}

static struct input *add_input(struct engine *engine, const char *name)
{
    size_t known = engine->input_names.count;
    uint32_t id = intern_add(&engine->input_names, name, strlen(name));
    if (id == INTERN_NONE) {
        return NULL;
    }
    struct input *input = &engine->inputs[id];
    if (id == known) {
        bool *plans = arena_zalloc(&engine->arena, engine->plan_count, sizeof *plans);
        *input = (struct input){.name = intern_text(&engine->input_names, id), .plans = plans, .id = id};
    }
    return input->plans ? input : NULL;
}

static struct feed *add_feed(struct engine *engine, struct input *input, const struct calendar *calendar,
                             bool subtree)
{
    for (struct feed *feed = input->feeds; feed; feed = feed->next) {
        if (feed->subtree == subtree && same_calendar(&feed->calendar, calendar)) {
            return feed;
        }
    }
    struct feed *feed = arena_zalloc(&engine->arena, 1, sizeof *feed);
    if (feed) {
        *feed = (struct feed){.input = input,
                              .next = input->feeds,
                              .calendar = *calendar,
                              .subtree = subtree,
                              .id = (uint32_t)engine->feed_count,
                              .stored_from_ms = INT64_MAX,
                              .stored_to_ms = INT64_MIN};
        input->feeds = feed;
        input->feed_count++;
        engine->feeds[engine->feed_count++] = feed;
    }
    return feed;
}

static uint32_t add_window(struct plan *plan, const struct measure *measure)
{
    for (uint32_t i = 0; i < plan->window_count; i++) {
        if (plan->windows[i].unit == measure->period &&
            plan->windows[i].basis_closed == measure->basis_closed) {
            return i;
        }
    }
    plan->windows[plan->window_count] = (struct window){.unit = measure->period,
                                                        .basis_closed = measure->basis_closed,
                                                        .start_ms = INT64_MIN,
                                                        .until_ms = INT64_MIN};
    return plan->window_count++;
}

static bool add_leaf(struct engine *engine, uint32_t plan_id, uint32_t node)
{
    struct plan *plan = &engine->plans[plan_id];
    const struct measure *measure = plan->card->nodes[node].measure;
    struct calendar calendar = calendar_of(plan->card, measure);
    struct input *input = add_input(engine, measure->input);
    struct feed *feed = input ? add_feed(engine, input, &calendar, measure->subtree) : NULL;
    if (!feed) {
        return false;
    }
    input->plans[plan_id] = true;
    if (measure->max_ahead_ms > input->max_ahead_ms) {
        input->max_ahead_ms = measure->max_ahead_ms;
    }
    feed->layout.parts |= measure_parts(measure);
    plan->leaves[node] = (struct leaf){.feed = feed,
                                       .next = feed->leaves,
                                       .plan = plan_id,
                                       .node = node,
                                       .window = add_window(plan, measure)};
    feed->leaves = &plan->leaves[node];
    return true;
}

static bool add_plan(struct engine *engine, uint32_t plan_id)
{
    enum { WINDOWS_MAX = 2 * (PERIOD_YEAR + 1) };
    struct plan *plan = &engine->plans[plan_id];
    plan->card = engine->options.cards[plan_id];
    plan->leaves = arena_zalloc(&engine->arena, plan->card->node_count, sizeof *plan->leaves);
    plan->windows = arena_zalloc(&engine->arena, WINDOWS_MAX, sizeof *plan->windows);
    if (!plan->leaves || !plan->windows) {
        return false;
    }
    for (uint32_t node = 0; node < plan->card->node_count; node++) {
        if (plan->card->nodes[node].kind == POISE_MEASURE && !add_leaf(engine, plan_id, node)) {
            return false;
        }
    }
    return true;
}

static uint64_t identity_of(const struct feed *feed)
{
    char text[512];
    int length = snprintf(text, sizeof text, "%s|%s|%d|%s|%s|%s|%u", feed->input->name,
                          period_unit_names[feed->calendar.unit], feed->calendar.fiscal_year_start,
                          zone_name(feed->calendar.zone), zone_data_version(feed->calendar.zone),
                          feed->subtree ? "subtree" : "own", feed->layout.parts);
    size_t used = length > 0 && (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    return hash64(text, used, 0);
}

poise_code definition_compile(struct engine *engine, poise_error *err)
{
    size_t leaves = 1;
    for (size_t i = 0; i < engine->options.card_count; i++) {
        leaves += engine->options.cards[i]->node_count;
    }
    engine->plan_count = engine->options.card_count;
    engine->plans = arena_zalloc(&engine->arena, engine->plan_count + 1, sizeof *engine->plans);
    engine->inputs = arena_zalloc(&engine->arena, leaves, sizeof *engine->inputs);
    engine->feeds = arena_zalloc(&engine->arena, leaves, sizeof(struct feed *));
    if (!engine->plans || !engine->inputs || !engine->feeds) {
        return error_nomem(err, "the compiled scorecards");
    }
    for (uint32_t plan = 0; plan < engine->plan_count; plan++) {
        if (!add_plan(engine, plan)) {
            return error_nomem(err, "the compiled scorecards");
        }
    }
    for (size_t i = 0; i < engine->feed_count; i++) {
        struct feed *feed = engine->feeds[i];
        feed->layout = accumulator_layout(feed->layout.parts, &engine->sources);
        feed->identity = identity_of(feed);
    }
    return POISE_OK;
}
