/* What of the past a question needs: from where the windows begin that its answer reads, and where sums do in
 * the place of rows. */
#include "internal.h"
#include <string.h>

enum { CARRY_MAX = 1000 /* windows that are gone through; more: everything is needed */ };

/* Where the earliest window begins that the leaf reads as of a time. */
static int64_t window_from(const struct scorecard *card, const struct measure *measure, int64_t as_of_ms)
{
    struct period period = measure_period(card, measure, as_of_ms);
    if (measure->carry > CARRY_MAX) {
        return INT64_MIN;
    }
    for (int64_t i = 0; i < measure->carry && period.start_ms > TIME_MIN_MS; i++) {
        period = measure_period_before(card, measure, period);
    }
    return period.start_ms;
}

bool engine_needs(const struct engine *engine, const char *measure, int64_t *ret_from_ms)
{
    const struct input *input = definition_input(engine, measure, strlen(measure));
    int64_t from_ms = INT64_MAX;
    if (!input) {
        return false;
    }
    for (const struct leaf *leaf = input->leaves; leaf; leaf = leaf->next_of_input) {
        for (size_t plan = 0; plan < engine->plan_count; plan++) { /* whose periods trends are against */
            struct calendar calendar =
                scorecard_calendar(engine->plans[plan].card, engine->plans[plan].card->period);
            const struct scorecard *card = engine->plans[leaf->plan].card;
            int64_t before_ms = period_at(&calendar, engine->as_of_ms).start_ms;
            int64_t now_from_ms = window_from(card, leaf->measure, engine->as_of_ms);
            int64_t then_from_ms = window_from(card, leaf->measure, before_ms);
            from_ms = now_from_ms < from_ms ? now_from_ms : from_ms;
            from_ms = then_from_ms < from_ms ? then_from_ms : from_ms;
        }
    }
    *ret_from_ms = from_ms;
    return true;
}

bool engine_takes_sum(struct engine *engine, const struct engine_series *series, int64_t min_ms,
                      int64_t max_ms)
{
    bool takes = future_is_due(engine, max_ms);
    for (struct feed *feed = input_of(engine, series)->feeds; feed && takes; feed = feed->next) {
        struct period tile = feed_tile(feed, min_ms);
        takes = accumulator_takes_sums(&feed->layout) && max_ms < tile.end_ms;
    }
    return takes;
}
