/* Which definition of a scorecard is in force when. A plan is a definition; those of one scorecard have terms
 * that meet without a gap. What was scored as of a time is answered by the plan that is in force for it: the
 * current one for the periods that are open, older ones only for looking at the past. */
#include "internal.h"
#include <string.h>

bool is_in_force(const struct plan *plan, int64_t as_of_ms)
{
    return as_of_ms > plan->term.after_ms && as_of_ms <= plan->term.until_ms;
}

uint32_t plan_in_force(const struct engine *engine, uint32_t plan, int64_t as_of_ms)
{
    uint32_t at = plan;
    while (!is_in_force(&engine->plans[at], as_of_ms) && engine->plans[at].next != plan) {
        at = engine->plans[at].next;
    }
    return is_in_force(&engine->plans[at], as_of_ms) ? at : plan;
}

/* ---- nodes of several definitions ---- */

static void link_plans(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->plan_count; i++) {
        struct plan *plan = &engine->plans[i];
        plan->next = i;
        for (uint32_t other = 0; other < i; other++) {
            if (strcmp(engine->plans[other].card->id, plan->card->id) == 0) {
                plan->next = engine->plans[other].next;
                engine->plans[other].next = i;
                break;
            }
        }
    }
}

static bool name_nodes(struct engine *engine, struct plan *plan, struct intern *names)
{
    const struct scorecard *card = plan->card;
    uint32_t *of_node = arena_alloc(&engine->arena, card->node_count * sizeof *of_node);
    for (uint32_t node = 0; node < card->node_count && of_node; node++) {
        const char *path = card->nodes[node].path;
        of_node[node] = intern_add(names, path, strlen(path));
        if (of_node[node] == INTERN_NONE) {
            return false;
        }
    }
    plan->names = of_node;
    return of_node != NULL;
}

static bool find_named(struct engine *engine, struct plan *plan, size_t count)
{
    uint32_t *named = arena_alloc(&engine->arena, count * sizeof *named);
    for (size_t i = 0; i < count && named; i++) {
        named[i] = NODE_NONE;
    }
    for (uint32_t node = 0; node < plan->card->node_count && named; node++) {
        named[plan->names[node]] = node;
    }
    plan->named = named;
    return named != NULL;
}

bool terms_compile(struct engine *engine)
{
    struct intern names = {0};
    bool ok = true;
    link_plans(engine);
    terms_changed(engine);
    for (uint32_t i = 0; i < engine->plan_count && ok; i++) {
        ok = engine->plans[i].next == i || name_nodes(engine, &engine->plans[i], &names);
    }
    for (uint32_t i = 0; i < engine->plan_count && ok; i++) {
        ok = engine->plans[i].next == i || find_named(engine, &engine->plans[i], names.count);
    }
    intern_free(&names);
    return ok;
}

uint32_t node_of_plan(const struct engine *engine, uint32_t plan, uint32_t node, uint32_t other)
{
    return plan == other ? node : engine->plans[other].named[engine->plans[plan].names[node]];
}

void terms_changed(struct engine *engine)
{
    for (size_t i = 0; i < engine->input_names.count; i++) {
        struct input *input = &engine->inputs[i];
        input->until_ms = INT64_MIN;
        for (size_t plan = 0; plan < engine->plan_count; plan++) {
            const struct engine_term *term = &engine->plans[plan].term;
            if (input->plans[plan] && term->after_ms < term->until_ms && term->until_ms > input->until_ms) {
                input->until_ms = term->until_ms;
            }
        }
    }
}

/* ---- looking back ---- */

poise_code look_by(struct engine *engine, uint32_t then, uint32_t plan, uint32_t org, int64_t as_of_ms,
                   poise_score *ret_scores, poise_error *err)
{
    const struct unit *unit = engine->org_table[org].units[then];
    poise_score *scores = then == plan ? ret_scores : engine->scratch[3];
    poise_code code = unit_look(engine, unit, then, as_of_ms, NULL, scores, err);
    for (uint32_t node = 0; node < engine->plans[plan].card->node_count && then != plan; node++) {
        uint32_t other = node_of_plan(engine, plan, node, then);
        ret_scores[node] = other == NODE_NONE ? (poise_score){.value = NAN, .score = NAN} : scores[other];
    }
    return code;
}

poise_code look_in_force(struct engine *engine, uint32_t plan, uint32_t org, int64_t as_of_ms,
                         poise_score *ret_scores, poise_error *err)
{
    return look_by(engine, plan_in_force(engine, plan, as_of_ms), plan, org, as_of_ms, ret_scores, err);
}

int64_t next_end_of(const struct engine *engine, const char *card, int64_t time_ms)
{
    int64_t next_ms = INT64_MAX;
    for (uint32_t i = 0; i < engine->plan_count; i++) {
        const struct plan *plan = &engine->plans[i];
        if (strcmp(plan->card->id, card) != 0) {
            continue;
        }
        struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
        int64_t from_ms = time_ms > plan->term.after_ms ? time_ms : plan->term.after_ms;
        int64_t end_ms = period_of(&calendar, from_ms).end_ms;
        if (end_ms <= plan->term.until_ms && end_ms < next_ms) {
            next_ms = end_ms;
        }
    }
    return next_ms;
}
