#include "internal.h"
#include <base/error.h>
#include <stdio.h>
#include <string.h>

struct input *definition_input(const struct engine *engine, const char *name, size_t length)
{
    uint32_t id = intern_find(&engine->input_names, name, length);
    return id == INTERN_NONE ? NULL : &engine->inputs[id];
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
        *input = (struct input){.name = intern_text(&engine->input_names, id),
                                .plans = plans,
                                .only_levels = true,
                                .until_ms = INT64_MIN,
                                .dropped_ms = INT64_MIN,
                                .frozen_ms = INT64_MIN,
                                .id = id};
    }
    return input->plans ? input : NULL;
}

static struct feed *add_feed(struct engine *engine, struct input *input, const struct tiling *tiling,
                             bool subtree)
{
    for (struct feed *feed = input->feeds; feed; feed = feed->next) {
        if (feed->subtree == subtree && same_tiling(&feed->tiling, tiling)) {
            return feed;
        }
    }
    struct feed *feed = arena_zalloc(&engine->arena, 1, sizeof *feed);
    if (feed) {
        *feed = (struct feed){.input = input,
                              .next = input->feeds,
                              .tiling = *tiling,
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

static bool is_levels_only(const struct measure *measure)
{
    for (size_t i = 0; i < measure->form_count; i++) {
        if (measure->forms[i].kind != FORM_LEVELS) {
            return false;
        }
    }
    return true;
}

/* The feeds that the leaf reads; they have all parts that it wants. */
static bool add_tiers(struct engine *engine, const struct scorecard *card, struct input *input,
                      struct leaf *leaf)
{
    struct tiling tilings[TIERS_MAX];
    bool subtree = leaf->measure->subtree && leaf->measure->across == ACROSS_POOL;
    leaf->tier_count = tilings_of(card, leaf->measure, tilings);
    for (uint32_t i = 0; i < leaf->tier_count; i++) {
        leaf->tiers[i] = add_feed(engine, input, &tilings[i], subtree);
        if (!leaf->tiers[i]) {
            return false;
        }
        leaf->tiers[i]->layout.parts |= measure_parts(leaf->measure);
    }
    struct feed *finest = leaf->tiers[leaf->tier_count - 1];
    leaf->next = finest->leaves;
    finest->leaves = leaf;
    return true;
}

static bool add_leaf(struct engine *engine, uint32_t plan_id, uint32_t node)
{
    struct plan *plan = &engine->plans[plan_id];
    const struct measure *measure = plan->card->nodes[node].measure;
    struct leaf *leaf = &plan->leaves[node];
    *leaf = (struct leaf){.measure = measure, .plan = plan_id, .node = node};
    leaf->window = window_add(plan, measure);
    plan->grace_ms = measure->grace_ms < plan->grace_ms ? measure->grace_ms : plan->grace_ms;
    if (measure->formula) {
        return true;
    }
    struct input *input = add_input(engine, measure->input);
    if (!input || !add_tiers(engine, plan->card, input, leaf)) {
        return false;
    }
    input->plans[plan_id] = true;
    input->only_levels &= is_levels_only(measure);
    input->locks |= measure->lock_after_ms != INT64_MAX;
    if (measure->max_ahead_ms > input->max_ahead_ms) {
        input->max_ahead_ms = measure->max_ahead_ms;
    }
    leaf->next_of_input = input->leaves;
    input->leaves = leaf;
    return true;
}

static bool add_plan(struct engine *engine, uint32_t plan_id)
{
    struct plan *plan = &engine->plans[plan_id];
    plan->card = engine->options.cards[plan_id];
    plan->term =
        engine->options.terms
            ? engine->options.terms[plan_id]
            : (struct engine_term){.after_ms = INT64_MIN, .until_ms = INT64_MAX, .closed_ms = INT64_MIN};
    plan->active = plan->term.after_ms == INT64_MIN && plan->term.until_ms > INT64_MIN;
    plan->previous_ms = INT64_MIN;
    plan->period_end_ms = INT64_MIN;
    plan->closed_ms = INT64_MIN;
    plan->closing_ms = INT64_MIN;
    plan->grace_ms = plan->card->grace_ms;
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

/* Tiers that are merged need the same parts; false: some had not. */
static bool share_parts(const struct leaf *leaf)
{
    uint32_t parts = 0;
    for (uint32_t i = 0; i < leaf->tier_count; i++) {
        parts |= leaf->tiers[i]->layout.parts;
    }
    bool shared = true;
    for (uint32_t i = 0; i < leaf->tier_count; i++) {
        shared &= leaf->tiers[i]->layout.parts == parts;
        leaf->tiers[i]->layout.parts = parts;
    }
    return shared;
}

static void share_all_parts(struct engine *engine)
{
    bool shared = false;
    while (!shared) {
        shared = true;
        for (size_t i = 0; i < engine->plan_count; i++) {
            const struct plan *plan = &engine->plans[i];
            for (uint32_t node = 0; node < plan->card->node_count; node++) {
                shared &= share_parts(&plan->leaves[node]);
            }
        }
    }
}

static uint64_t identity_of(const struct feed *feed, const char *zone_data)
{
    char text[640], cut[32] = "";
    const struct tiling *tiling = &feed->tiling;
    const struct calendar *calendar = &tiling->calendar;
    if (tiling->cut) { /* in the same zone */
        snprintf(cut, sizeof cut, "%s %d", period_unit_names[tiling->cut_by.unit],
                 tiling->cut_by.fiscal_year_start);
    }
    int length = snprintf(text, sizeof text, "%s|%s|%d|%lld|%s|%s|%s|%s|%u", feed->input->name,
                          period_unit_names[calendar->unit], calendar->fiscal_year_start,
                          (long long)tiling->width_ms, cut, zone_name(calendar->zone), zone_data,
                          feed->subtree ? "subtree" : "own", feed->layout.parts);
    size_t used = length > 0 && (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    return hash64(text, used, 0);
}

static bool compile_plans(struct engine *engine)
{
    size_t leaves = 1, nodes = 1;
    for (size_t i = 0; i < engine->options.card_count; i++) {
        size_t count = engine->options.cards[i]->node_count;
        leaves += count;
        nodes = count > nodes ? count : nodes;
    }
    engine->plan_count = engine->options.card_count;
    engine->plans = arena_zalloc(&engine->arena, engine->plan_count + 1, sizeof *engine->plans);
    engine->inputs = arena_zalloc(&engine->arena, leaves, sizeof *engine->inputs);
    engine->feeds = arena_zalloc(&engine->arena, leaves * TIERS_MAX, sizeof(struct feed *));
    engine->in_scratch = arena_zalloc(&engine->arena, nodes / 64 + 1, sizeof *engine->in_scratch);
    bool ok = engine->plans && engine->inputs && engine->feeds && engine->in_scratch;
    for (size_t i = 0; i < sizeof engine->scratch / sizeof *engine->scratch; i++) {
        engine->scratch[i] = arena_zalloc(&engine->arena, nodes, sizeof *engine->scratch[i]);
        ok = ok && engine->scratch[i];
    }
    for (uint32_t plan = 0; ok && plan < engine->plan_count; plan++) {
        ok = add_plan(engine, plan);
    }
    return ok && terms_compile(engine);
}

/* Of every input: the feeds that mark leaves first (past_keep). */
static void order_feeds(struct engine *engine)
{
    for (size_t i = 0; i < engine->input_names.count; i++) {
        struct feed *coarse = NULL, **end = &engine->inputs[i].feeds, **coarse_end = &coarse;
        for (struct feed *feed = *end, *next; feed; feed = next) {
            struct feed ***last = feed->leaves ? &end : &coarse_end;
            next = feed->next;
            **last = feed;
            *last = &feed->next;
        }
        *coarse_end = NULL;
        *end = coarse;
    }
}

poise_code definition_compile(struct engine *engine, poise_error *err)
{
    if (!compile_plans(engine)) {
        return error_nomem(err, "the compiled scorecards");
    }
    share_all_parts(engine);
    order_feeds(engine);
    size_t largest = 1;
    for (size_t i = 0; i < engine->feed_count; i++) {
        struct feed *feed = engine->feeds[i];
        feed->layout = accumulator_layout(feed->layout.parts, &engine->sources);
        feed->identity = identity_of(feed, zone_data_version(feed->tiling.calendar.zone));
        feed->likeness = identity_of(feed, "");
        largest = feed->layout.size > largest ? feed->layout.size : largest;
    }
    engine->merging = arena_zalloc(&engine->arena, 1, largest);
    return engine->merging ? POISE_OK : error_nomem(err, "the compiled scorecards");
}
