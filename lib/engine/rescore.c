/* Another definition for closed periods (scoring.md section 7). The terms of a scorecard's plans change: the
 * newest answers for more of the past. Every unit is looked at as of the ends that change hands, by the plan
 * of before and by the new one, and what differs is a revision. No cell changes, so nothing has to be kept.
 */
#include "internal.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

static uint32_t current_plan(const struct engine *engine, const char *card)
{
    for (uint32_t i = 0; i < engine->plan_count; i++) {
        const struct plan *plan = &engine->plans[i];
        if (plan->term.until_ms == INT64_MAX && strcmp(plan->card->id, card) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* ---- what there is to do ---- */

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t earliest_unsaved(const struct engine *engine, const struct numbers *blocks, uint32_t plan_id)
{
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < blocks->count; i++) {
        const struct block *block = &engine->cells.blocks[blocks->items[i]];
        if (block->unsaved && block->feed->input->plans[plan_id]) {
            first_ms = lesser(first_ms, block->start_ms);
        }
    }
    return first_ms;
}

/* The start of the first cell of what a plan reads; INT64_MAX: it has none. Cells that are not checkpointed
 * yet are in memory. */
static int64_t earliest_of(const struct engine *engine, uint32_t plan_id)
{
    const struct plan *plan = &engine->plans[plan_id];
    int64_t first_ms = INT64_MAX;
    for (uint32_t node = 0; node < plan->card->node_count; node++) {
        for (uint32_t i = 0; i < plan->leaves[node].tier_count; i++) {
            const struct feed *feed = plan->leaves[node].tiers[i];
            if (feed->stored_from_ms <= feed->stored_to_ms) {
                first_ms = lesser(first_ms, feed->stored_from_ms);
            }
        }
    }
    first_ms = lesser(first_ms, earliest_unsaved(engine, &engine->unsaved_blocks, plan_id));
    return lesser(first_ms, earliest_unsaved(engine, &engine->giving.blocks, plan_id));
}

static int64_t earliest_of_all(const struct engine *engine, uint32_t current)
{
    int64_t first_ms = earliest_of(engine, current);
    for (uint32_t i = engine->plans[current].next; i != current; i = engine->plans[i].next) {
        first_ms = lesser(first_ms, earliest_of(engine, i));
    }
    return first_ms;
}

/* The last end that a plan is in force for and has locked; INT64_MIN: none. */
static int64_t locked_until(const struct engine *engine, const struct plan *plan)
{
    const struct scorecard *card = plan->card;
    if (card->lock_after_ms == INT64_MAX || engine->as_of_ms == INT64_MIN ||
        plan->term.until_ms == INT64_MIN) {
        return INT64_MIN; /* of no time nothing is locked */
    }
    int64_t until_ms = lesser(engine->as_of_ms - card->lock_after_ms, plan->term.until_ms);
    struct calendar calendar = scorecard_calendar(card, card->period);
    struct period period = period_at(&calendar, until_ms);
    int64_t end_ms = period.end_ms <= until_ms ? period.end_ms : period.start_ms;
    return end_ms > plan->term.after_ms ? end_ms : INT64_MIN;
}

static uint64_t count_looks(const struct engine *engine, uint32_t current, int64_t first_ms)
{
    const struct plan *plan = &engine->plans[current];
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    uint64_t ends = 0, units = 0;
    for (int64_t end_ms = period_of(&calendar, first_ms).end_ms; end_ms <= plan->term.after_ms;
         end_ms = period_of(&calendar, end_ms).end_ms) {
        ends++;
    }
    for (size_t org = 0; org < engine->orgs.count; org++) {
        units += engine->org_table[org].units[current] != NULL;
    }
    return ends * units * plan->card->node_count;
}

void engine_rescore_find(const struct engine *engine, const char *card, int64_t from_ms,
                         struct engine_rescore *ret_rescore)
{
    uint32_t current = current_plan(engine, card);
    *ret_rescore = (struct engine_rescore){.nothing = true};
    if (current == UINT32_MAX || engine->as_of_ms == INT64_MIN) {
        return;
    }
    const struct plan *plan = &engine->plans[current];
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    int64_t after_ms = period_at(&calendar, from_ms).start_ms, first_ms = earliest_of_all(engine, current);
    if (after_ms <= first_ms) { /* all that was ever scored */
        after_ms = INT64_MIN;
    }
    for (uint32_t i = plan->next; i != current; i = engine->plans[i].next) {
        int64_t locked_ms = locked_until(engine, &engine->plans[i]);
        if (locked_ms > after_ms) {
            after_ms = locked_ms;
            ret_rescore->locked = true;
        }
    }
    ret_rescore->after_ms = after_ms;
    ret_rescore->nothing = after_ms >= plan->term.after_ms;
    if (!ret_rescore->nothing && first_ms != INT64_MAX) {
        ret_rescore->looks = count_looks(engine, current, after_ms > first_ms ? after_ms : first_ms);
    }
}

/* ---- doing it ---- */

struct rescoring {
    struct engine *engine;
    uint32_t plan;             /* the current one */
    struct engine_term *terms; /* of all plans, as they were */
    engine_visit *visit;
    void *visitor;
    poise_error *err;
};

/* What has neither value nor score is no change of what was not there. */
static bool differs(const struct rescoring *rescoring, const struct unit *unit, uint32_t then, uint32_t node)
{
    const struct engine *engine = rescoring->engine;
    const struct unit *before = engine->org_table[unit->org].units[then];
    const struct measure *measure = engine->plans[unit->plan].card->nodes[node].measure;
    const poise_score *now = &engine->scratch[1][node];
    uint32_t other = node_of_plan(engine, unit->plan, node, then);
    if (!unit->present[node] || (measure && measure->rolling_ms > 0)) {
        return false; /* rolling windows never close */
    }
    return before && other != NODE_NONE && before->present[other]
               ? !score_published_equal(now, &engine->scratch[0][node])
               : !isnan(now->value) || !isnan(now->score);
}

static poise_code show_differences(struct rescoring *rescoring, const struct unit *unit, uint32_t then,
                                   int64_t end_ms)
{
    struct engine *engine = rescoring->engine;
    const struct scorecard *card = engine->plans[unit->plan].card;
    struct calendar calendar = scorecard_calendar(card, card->period);
    poise_code code = POISE_OK;
    bool any = false;
    for (uint32_t node = 0; node < card->node_count && code == POISE_OK; node++) {
        if (!differs(rescoring, unit, then, node)) {
            continue;
        }
        if (!any) {
            code = look_in_force(engine, unit->plan, unit->org, period_at(&calendar, end_ms).start_ms,
                                 engine->scratch[2], rescoring->err);
        }
        any = true;
        struct past_found found = {.end_ms = end_ms,
                                   .node = node,
                                   .replaced = engine->scratch[0][node].score,
                                   .now = engine->scratch[1][node]};
        found.now.trend = found.now.score - engine->scratch[2][node].score;
        if (code == POISE_OK) {
            code = revision_find(engine, unit->plan, unit->org, &found, rescoring->err);
        }
        if (code == POISE_OK) {
            code = revision_tell(engine, unit->plan, unit->org, engine->ordinal, &found, rescoring->visit,
                                 rescoring->visitor, rescoring->err);
        }
    }
    return code;
}

/* Every org as of an end that changes hands from the plan `then`. */
static poise_code rescore_end(struct rescoring *rescoring, uint32_t then, int64_t end_ms)
{
    struct engine *engine = rescoring->engine;
    poise_code code = POISE_OK;
    for (uint32_t org = 0; org < engine->orgs.count && code == POISE_OK; org++) {
        const struct unit *unit = engine->org_table[org].units[rescoring->plan];
        if (!unit) {
            continue;
        }
        code = look_by(engine, then, unit->plan, org, end_ms, engine->scratch[0], rescoring->err);
        if (code == POISE_OK) {
            code = unit_look(engine, unit, unit->plan, end_ms, NULL, engine->scratch[1], rescoring->err);
        }
        if (code == POISE_OK) {
            code = show_differences(rescoring, unit, then, end_ms);
        }
    }
    return code;
}

/* The plan that was in force for an end: of those with terms as they were. */
static uint32_t plan_before(const struct rescoring *rescoring, int64_t end_ms)
{
    const struct engine *engine = rescoring->engine;
    const struct engine_term *terms = rescoring->terms;
    uint32_t at = engine->plans[rescoring->plan].next;
    while (at != rescoring->plan && !(end_ms > terms[at].after_ms && end_ms <= terms[at].until_ms)) {
        at = engine->plans[at].next;
    }
    return at;
}

static poise_code rescore_ends(struct rescoring *rescoring)
{
    struct engine *engine = rescoring->engine;
    const struct plan *plan = &engine->plans[rescoring->plan];
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    int64_t first_ms = earliest_of_all(engine, rescoring->plan);
    int64_t from_ms = plan->term.after_ms > first_ms ? plan->term.after_ms : first_ms;
    poise_code code = POISE_OK;
    if (first_ms == INT64_MAX) {
        return POISE_OK;
    }
    for (int64_t end_ms = period_of(&calendar, from_ms).end_ms;
         end_ms <= rescoring->terms[rescoring->plan].after_ms && code == POISE_OK;
         end_ms = period_of(&calendar, end_ms).end_ms) {
        code = rescore_end(rescoring, plan_before(rescoring, end_ms), end_ms);
    }
    return code;
}

/* The terms from now on; trends of the open periods may be against other scores. */
static bool change_terms(struct engine *engine, uint32_t current, int64_t after_ms)
{
    for (uint32_t i = engine->plans[current].next; i != current; i = engine->plans[i].next) {
        engine->plans[i].term.until_ms = lesser(engine->plans[i].term.until_ms, after_ms);
    }
    engine->plans[current].term.after_ms = after_ms;
    terms_changed(engine);
    bool ok = true;
    for (size_t org = 0; org < engine->orgs.count && ok; org++) {
        struct unit *unit = engine->org_table[org].units[current];
        if (unit) {
            unit->past_touched = true;
            ok = unit_mark(engine, unit);
        }
    }
    return ok;
}

poise_code rescore_card(struct engine *engine, const char *card, int64_t after_ms, engine_visit *visit,
                        void *visitor, poise_error *err)
{
    struct rescoring rescoring = {
        .engine = engine, .plan = current_plan(engine, card), .visit = visit, .visitor = visitor, .err = err};
    if (rescoring.plan == UINT32_MAX || after_ms >= engine->plans[rescoring.plan].term.after_ms) {
        return POISE_OK;
    }
    rescoring.terms = malloc(engine->plan_count * sizeof *rescoring.terms);
    if (!rescoring.terms) {
        return error_nomem(err, "a rescore");
    }
    for (size_t i = 0; i < engine->plan_count; i++) {
        rescoring.terms[i] = engine->plans[i].term;
    }
    poise_code code = change_terms(engine, rescoring.plan, after_ms) ? rescore_ends(&rescoring)
                                                                     : error_nomem(err, "a rescore");
    free(rescoring.terms);
    return code;
}
