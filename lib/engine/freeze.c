/* Inputs whose measurements before a time are dropped (scoring.md section 7). What they made, cells and keys,
 * stays, so that a cell that has had one of them can be added to and taken from, but never be made again.
 * None has to be: what would change it is refused, and it was whole when the order to drop was settled. */
#include "internal.h"
#include <model/measurement.h>
#include <string.h>

static const int64_t DAY_MS = INT64_C(24) * 3600 * 1000, LONGEST_PERIOD_MS = INT64_C(367) * 24 * 3600 * 1000;
enum { CARRIES_EXACT = 400 }; /* of more each is taken for the longest */

/* The longest of those that read it now; INT64_MAX: for ever. */
static int64_t keep_of(const struct engine *engine, const struct input *input)
{
    int64_t keep_ms = -1;
    for (const struct leaf *leaf = input->leaves; leaf; leaf = leaf->next_of_input) {
        bool reads = engine->plans[leaf->plan].term.until_ms == INT64_MAX;
        if (reads && leaf->measure->keep_ms > keep_ms) {
            keep_ms = leaf->measure->keep_ms;
        }
    }
    return keep_ms < 0 ? INT64_MAX : keep_ms;
}

/* How far back a score as of a time, and as of the end of the period before, may look for data. */
static int64_t looks_back_to(const struct plan *plan, const struct measure *measure, int64_t as_of_ms)
{
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    int64_t previous_ms = period_at(&calendar, as_of_ms).start_ms;
    struct period period = measure_period(plan->card, measure, previous_ms);
    for (int64_t left = measure->carry; left > 0; left--) {
        if (left > CARRIES_EXACT) {
            int64_t longest_ms = measure->rolling_ms > 0 ? measure->rolling_ms : LONGEST_PERIOD_MS;
            return left < TIME_MAX_MS / longest_ms ? period.start_ms - left * longest_ms : TIME_MIN_MS;
        }
        period = measure_period_before(plan->card, measure, period);
    }
    return period.start_ms;
}

/* So far back what stands in a period has been there for `keep`, and no score of now looks for it. */
static int64_t wanted_from(const struct engine *engine, const struct input *input, int64_t keep_ms)
{
    int64_t from_ms = engine->as_of_ms - keep_ms;
    for (const struct leaf *leaf = input->leaves; leaf; leaf = leaf->next_of_input) {
        const struct plan *plan = &engine->plans[leaf->plan];
        if (plan->term.until_ms == INT64_MAX) {
            int64_t leaf_ms = looks_back_to(plan, leaf->measure, engine->as_of_ms);
            from_ms = leaf_ms < from_ms ? leaf_ms : from_ms;
        }
    }
    return from_ms;
}

/* Behind the whole days of which each tile ended before that: below it no tile is open, above it none is
 * needed that has lost a row. Only where there is something new to be dropped. */
static int64_t may_go_until(const struct engine *engine, const struct input *input)
{
    int64_t keep_ms = keep_of(engine, input);
    if (keep_ms == INT64_MAX || engine->as_of_ms == INT64_MIN || !input->feeds) {
        return INT64_MIN;
    }
    int64_t from_ms = wanted_from(engine, input, keep_ms), until_ms = from_ms, first_ms = INT64_MAX;
    bool any = false;
    for (struct feed *feed = input->feeds; feed; feed = feed->next) {
        int64_t start_ms = feed_tile(feed, from_ms).start_ms;
        until_ms = start_ms < until_ms ? start_ms : until_ms;
        first_ms = feed->stored_from_ms < first_ms ? feed->stored_from_ms : first_ms;
        any |= feed->stored_to_ms >= input->dropped_ms;
    }
    int64_t past = until_ms % DAY_MS;
    until_ms -= past < 0 ? past + DAY_MS : past;
    return any && first_ms < until_ms ? until_ms : INT64_MIN;
}

bool engine_keep(const struct engine *engine, size_t at, struct engine_keep *ret_keep)
{
    if (at >= engine->input_names.count) {
        return false;
    }
    const struct input *input = &engine->inputs[at];
    int64_t until_ms = may_go_until(engine, input);
    *ret_keep = (struct engine_keep){
        .input = input->name,
        .dropped_ms = input->dropped_ms,
        .until_ms = until_ms > input->dropped_ms ? until_ms : input->dropped_ms,
    };
    return true;
}

void engine_freeze(struct engine *engine, const char *name, int64_t until_ms)
{
    struct input *input = definition_input(engine, name, strlen(name));
    if (!input || until_ms <= input->dropped_ms) {
        return;
    }
    input->dropped_ms = input->frozen_ms = until_ms;
    for (struct feed *feed = input->feeds; feed; feed = feed->next) {
        int64_t end_ms = feed_tile(feed, until_ms - 1).end_ms;
        input->frozen_ms = end_ms > input->frozen_ms ? end_ms : input->frozen_ms;
    }
}

int64_t engine_input_frozen_ms(const struct engine *engine, const char *name)
{
    const struct input *input = definition_input(engine, name, strlen(name));
    return input ? input->frozen_ms : INT64_MIN;
}

int64_t engine_frozen_ms(const struct engine *engine, const char *card)
{
    int64_t frozen_ms = INT64_MIN;
    for (size_t i = 0; i < engine->input_names.count; i++) {
        const struct input *input = &engine->inputs[i];
        for (const struct leaf *leaf = input->leaves; leaf; leaf = leaf->next_of_input) {
            bool reads = strcmp(engine->plans[leaf->plan].card->id, card) == 0;
            if (reads && input->frozen_ms > frozen_ms) {
                frozen_ms = input->frozen_ms;
            }
        }
    }
    return frozen_ms;
}

/* Whether frozen times are read from stored cells. */
static bool is_stored(const struct leaf *leaf)
{
    bool stored = leaf->tier_count > 0;
    for (uint32_t i = 0; i < leaf->tier_count; i++) {
        stored &= leaf->tiers[i]->stored;
    }
    return stored;
}

bool freeze_answers(const struct engine *engine, const char *card, int64_t as_of_ms)
{
    for (size_t i = 0; i < engine->input_names.count; i++) {
        const struct input *input = &engine->inputs[i];
        for (const struct leaf *leaf = input->leaves; leaf; leaf = leaf->next_of_input) {
            const struct plan *plan = &engine->plans[leaf->plan];
            bool asks = strcmp(plan->card->id, card) == 0 && is_in_force(plan, as_of_ms) && !is_stored(leaf);
            if (asks && looks_back_to(plan, leaf->measure, as_of_ms) < input->dropped_ms) {
                return false;
            }
        }
    }
    return true;
}

int64_t first_stored_ms(const struct engine *engine)
{
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < engine->input_names.count; i++) {
        int64_t input_ms = INT64_MIN; /* each of its feeds has its first row; the finest says best when */
        for (const struct feed *feed = engine->inputs[i].feeds; feed; feed = feed->next) {
            bool has = is_stored_tile(feed, feed->stored_from_ms);
            input_ms = has && feed->stored_from_ms > input_ms ? feed->stored_from_ms : input_ms;
        }
        first_ms = input_ms != INT64_MIN && input_ms < first_ms ? input_ms : first_ms;
    }
    return first_ms;
}

const char *engine_missed(const struct engine *engine)
{
    return engine->missed ? engine->missed->name : NULL;
}

bool is_frozen(const struct engine *engine, const struct input *input, int64_t time_ms)
{
    return time_ms < input->frozen_ms && engine->freezing;
}
