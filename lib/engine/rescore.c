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
    for (size_t i = 0; i < engine->unsaved_blocks.count; i++) {
        uint32_t number = engine->unsaved_blocks.items[i];
        const struct block *block = &engine->cells.blocks[number];
        uint32_t bits = block->unsaved;
        while (bits && block->feed->input->plans[plan_id]) {
            first_ms = lesser(first_ms, cell_at(&engine->cells, next_in_block(number, &bits))->start_ms);
        }
    }
    return first_ms;
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
    if (card->lock_after_ms == INT64_MAX) {
        return INT64_MIN;
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
    if (after_ms < first_ms) { /* all that was ever scored */
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
    poise_score *before, *now; /* by its nodes; of before: only those that `had` says */
    bool *had;
    poise_score *scores; /* of the plan of before */
    engine_visit *visit;
    void *visitor;
    poise_error *err;
};

static bool differs(const struct rescoring *rescoring, uint32_t node)
{
    const poise_score *now = &rescoring->now[node];
    return rescoring->had[node] ? !score_published_equal(now, &rescoring->before[node])
                                : !isnan(now->value) || !isnan(now->score);
}

/* What was said of an org as of an end, by the plan that was in force for it. */
static poise_code look_before(struct rescoring *rescoring, uint32_t org, uint32_t then, int64_t end_ms)
{
    struct engine *engine = rescoring->engine;
    const struct unit *unit = engine->org_table[org].units[then];
    poise_code code = unit_look(engine, unit, then, end_ms, rescoring->scores, rescoring->err);
    for (uint32_t node = 0; node < engine->plans[rescoring->plan].card->node_count; node++) {
        uint32_t other = node_of_plan(engine, rescoring->plan, node, then);
        rescoring->had[node] = unit && other != NODE_NONE && unit->present[other];
        if (rescoring->had[node]) {
            rescoring->before[node] = rescoring->scores[other];
        }
    }
    return code;
}

static poise_code show_differences(struct rescoring *rescoring, const struct unit *unit, int64_t end_ms)
{
    struct engine *engine = rescoring->engine;
    const struct scorecard *card = engine->plans[rescoring->plan].card;
    bool any = false;
    poise_code code = POISE_OK;
    for (uint32_t node = 0; node < card->node_count; node++) {
        const struct measure *measure = card->nodes[node].measure;
        bool closes = !measure || measure->rolling_ms == 0;
        bool differing = unit->present[node] && closes && differs(rescoring, node);
        engine->scratch_flags[node] = differing;
        any |= differing;
    }
    if (any) {
        code = set_trends(engine, rescoring->plan, unit->org, end_ms, rescoring->now, rescoring->err);
    }
    for (uint32_t node = 0; node < card->node_count && any && code == POISE_OK; node++) {
        if (engine->scratch_flags[node]) {
            const struct revised revised = {
                .plan = rescoring->plan,
                .org = unit->org,
                .node = node,
                .end_ms = end_ms,
                .cause = engine->ordinal,
                .replaced = rescoring->had[node] ? rescoring->before[node].score : NAN,
                .numbers = &rescoring->now[node],
            };
            code = show_revision(engine, &revised, rescoring->visit, rescoring->visitor, rescoring->err);
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
        code = look_before(rescoring, org, then, end_ms);
        if (code == POISE_OK) {
            code = unit_look(engine, unit, rescoring->plan, end_ms, rescoring->now, rescoring->err);
        }
        if (code == POISE_OK) {
            code = show_differences(rescoring, unit, end_ms);
        }
    }
    return code;
}

/* The plan that was in force for an end: of those with terms as they were. */
static uint32_t plan_before(const struct engine *engine, const struct engine_term *terms, uint32_t current,
                            int64_t end_ms)
{
    uint32_t at = engine->plans[current].next;
    while (at != current && !(end_ms > terms[at].after_ms && end_ms <= terms[at].until_ms)) {
        at = engine->plans[at].next;
    }
    return at;
}

static poise_code rescore_ends(struct rescoring *rescoring, const struct engine_term *terms)
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
         end_ms <= terms[rescoring->plan].after_ms && code == POISE_OK;
         end_ms = period_of(&calendar, end_ms).end_ms) {
        code = rescore_end(rescoring, plan_before(engine, terms, rescoring->plan, end_ms), end_ms);
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

static poise_code rescore(struct rescoring *rescoring, int64_t after_ms)
{
    struct engine *engine = rescoring->engine;
    struct engine_term *terms = malloc(engine->plan_count * sizeof *terms);
    size_t nodes = engine->plans[rescoring->plan].card->node_count, largest = 1;
    for (size_t i = 0; i < engine->plan_count; i++) {
        size_t count = engine->plans[i].card->node_count;
        largest = count > largest ? count : largest;
    }
    rescoring->before = calloc(2 * nodes + largest, sizeof(poise_score));
    rescoring->had = calloc(nodes, sizeof(bool));
    poise_code code = POISE_OK;
    if (terms && rescoring->before && rescoring->had) {
        rescoring->now = rescoring->before + nodes;
        rescoring->scores = rescoring->now + nodes;
        for (size_t i = 0; i < engine->plan_count; i++) {
            terms[i] = engine->plans[i].term;
        }
        code = change_terms(engine, rescoring->plan, after_ms) ? rescore_ends(rescoring, terms)
                                                               : error_nomem(rescoring->err, "a rescore");
    } else {
        code = error_nomem(rescoring->err, "a rescore");
    }
    free(terms);
    free(rescoring->before);
    free(rescoring->had);
    return code;
}

poise_code rescore_card(struct engine *engine, const char *card, int64_t after_ms, engine_visit *visit,
                        void *visitor, poise_error *err)
{
    struct rescoring rescoring = {
        .engine = engine, .plan = current_plan(engine, card), .visit = visit, .visitor = visitor, .err = err};
    if (rescoring.plan == UINT32_MAX || after_ms >= engine->plans[rescoring.plan].term.after_ms) {
        return POISE_OK;
    }
    return rescore(&rescoring, after_ms);
}
