/* What the passing of time changes without a measurement: periods end, ticks pass, trends get another base.
 */
#include "internal.h"

/* ---- windows ---- */

static bool has_milestone(const struct measure *measure)
{
    for (size_t i = 0; i < measure->form_count; i++) {
        if (measure->forms[i].kind == FORM_MILESTONE) {
            return true;
        }
    }
    return false;
}

static bool ticks(const struct measure *measure)
{
    return measure->rolling_ms > 0 || measure->pace || measure->max_age_ms > 0 || has_milestone(measure);
}

static bool fits(const struct window *window, const struct measure *measure)
{
    bool is_rolling = measure->rolling_ms > 0;
    if (is_rolling || window->like->rolling_ms > 0) {
        return is_rolling && window->like->rolling_ms > 0;
    }
    return window->like->period == measure->period && window->like->basis_closed == measure->basis_closed &&
           window->ticks == ticks(measure);
}

uint32_t window_add(struct plan *plan, const struct measure *measure)
{
    uint32_t i = 0;
    while (i < plan->window_count && !fits(&plan->windows[i], measure)) {
        i++;
    }
    if (i == plan->window_count) {
        plan->windows[plan->window_count++] = (struct window){
            .like = measure, .ticks = ticks(measure), .start_ms = INT64_MIN, .until_ms = INT64_MIN};
    }
    return i;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The first T at which another form of a rolling measure is in force. */
static int64_t next_form_ms(const struct scorecard *card, int64_t as_of_ms)
{
    int64_t next_ms = INT64_MAX;
    for (uint32_t node = 0; node < card->node_count; node++) {
        const struct measure *measure = card->nodes[node].measure;
        for (size_t i = 0; measure && measure->rolling_ms > 0 && i < measure->form_count; i++) {
            if (measure->forms[i].from_ms > as_of_ms) {
                next_ms = earlier(next_ms, measure->forms[i].from_ms);
            }
        }
    }
    return next_ms;
}

static int64_t until_ms(const struct scorecard *card, const struct window *window, int64_t as_of_ms)
{
    int64_t next_tick_ms = window->ticks ? scorecard_tick(card, as_of_ms) + card->tick_ms : INT64_MAX;
    if (window->like->rolling_ms > 0) {
        return earlier(next_tick_ms, next_form_ms(card, as_of_ms));
    }
    struct calendar calendar = scorecard_calendar(card, window->like->period);
    int64_t end_ms =
        period_at(&calendar, as_of_ms).end_ms; /* still looked at as of its end, but as a whole */
    bool changes_at_end = (window->like->basis_closed || window->ticks) && as_of_ms < end_ms;
    return earlier(next_tick_ms, changes_at_end ? end_ms : end_ms + 1);
}

/* Whether T has moved to where the leaves of the window may be others. */
static bool has_moved(const struct scorecard *card, struct window *window, int64_t as_of_ms)
{
    if (as_of_ms < window->until_ms) {
        return false;
    }
    int64_t start_ms = measure_period(card, window->like, as_of_ms).start_ms;
    bool moved = window->ticks || start_ms != window->start_ms;
    window->start_ms = start_ms;
    window->until_ms = until_ms(card, window, as_of_ms);
    return moved;
}

/* ---- marks ---- */

static bool mark_leaves(struct engine *engine, uint32_t plan_id, uint32_t window)
{
    const struct plan *plan = &engine->plans[plan_id];
    for (uint32_t node = 0; node < plan->card->node_count; node++) {
        if (!plan->leaves[node].measure || plan->leaves[node].window != window) {
            continue;
        }
        for (size_t org = 0; org < engine->orgs.count; org++) {
            struct unit *unit = engine->org_table[org].units[plan_id];
            if (unit && unit->present[node] && !unit_mark_node(engine, unit, node)) {
                return false;
            }
        }
    }
    return true;
}

/* The base of trends is another one: every unit computes its again. */
static bool mark_units(struct engine *engine, uint32_t plan_id)
{
    for (size_t org = 0; org < engine->orgs.count; org++) {
        struct unit *unit = engine->org_table[org].units[plan_id];
        if (unit && !unit_mark(engine, unit)) {
            return false;
        }
    }
    return true;
}

bool closes_period(const struct engine *engine, int64_t as_of_ms)
{
    bool closes = false;
    for (size_t i = 0; i < engine->plan_count && engine->revising; i++) {
        closes |= as_of_ms >= engine->plans[i].closing_ms;
    }
    return closes;
}

/* Which periods are closed: those that ended `grace` ago. */
static void close_periods(struct engine *engine, struct plan *plan)
{
    if (engine->as_of_ms < plan->closing_ms || !engine->revising) {
        return;
    }
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    int64_t until_ms = engine->as_of_ms - plan->grace_ms;
    struct period period = period_at(&calendar, until_ms);
    plan->closed_ms = period.end_ms <= until_ms ? period.end_ms : period.start_ms;
    if (plan->closed_ms < plan->term.closed_ms) {
        plan->closed_ms = plan->term.closed_ms;
    }
    plan->closing_ms = period_of(&calendar, plan->closed_ms).end_ms + plan->grace_ms;
    if (plan->closed_ms >= plan->term.until_ms) { /* all that are its own; whenever that was seen */
        plan->closed_ms = plan->term.until_ms;
        plan->closing_ms = INT64_MAX;
    }
    engine->closed_ms = plan->closed_ms > engine->closed_ms ? plan->closed_ms : engine->closed_ms;
}

void engine_set_revising(struct engine *engine, bool revising)
{
    engine->revising = revising && !engine->options.offline;
    engine->broken |= gains_carry_all(engine, NULL) != POISE_OK;
    engine->closed_ms = INT64_MIN;
    for (size_t i = 0; i < engine->plan_count; i++) {
        engine->plans[i].closing_ms = INT64_MIN;
        if (engine->as_of_ms != INT64_MIN) {
            close_periods(engine, &engine->plans[i]);
        }
    }
}

/* A plan comes in force, or goes. What was marked before it did is of no use. */
static bool take_over(struct engine *engine, uint32_t plan_id, bool active)
{
    struct plan *plan = &engine->plans[plan_id];
    if (plan->active == active) {
        return true;
    }
    plan->active = active;
    for (size_t org = 0; org < engine->orgs.count && active; org++) {
        struct unit *unit = engine->org_table[org].units[plan_id];
        for (uint32_t node = 0; unit && node < plan->card->node_count; node++) {
            if (unit->present[node] && !unit_mark_node(engine, unit, node)) {
                return false;
            }
        }
        if (unit) {
            unit->fresh = true;
        }
    }
    return true;
}

static bool mark_plan(struct engine *engine, uint32_t plan_id)
{
    struct plan *plan = &engine->plans[plan_id];
    close_periods(engine, plan);
    if (!take_over(engine, plan_id, is_in_force(plan, engine->as_of_ms))) {
        return false;
    }
    if (!plan->active) {
        return true;
    }
    bool stored = engine->options.stored.card_count > 0; /* cells that no row marks */
    for (uint32_t i = 0; i < plan->window_count; i++) {
        bool moved = has_moved(plan->card, &plan->windows[i], engine->as_of_ms);
        if ((moved || stored) && !mark_leaves(engine, plan_id, i)) {
            return false;
        }
    }
    if (engine->as_of_ms <= plan->period_end_ms) {
        return true;
    }
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    struct period period = period_at(&calendar, engine->as_of_ms);
    plan->previous_ms = period.start_ms;
    plan->period_end_ms = period.end_ms;
    return mark_units(engine, plan_id);
}

bool mark_moved(struct engine *engine)
{
    for (uint32_t id = 0; id < engine->plan_count; id++) {
        if (!mark_plan(engine, id)) {
            return false;
        }
    }
    return true;
}
