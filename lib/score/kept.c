#include <assert.h>
#include <score/evaluate.h>
#include <score/kept.h>

struct kept_score score_keep(const struct measure *measure, const poise_score *score, uint8_t *ret_flags)
{
    struct kept_score kept = {.score = score->score};
    if (measure) {
        kept.measure.value = score->value;
        kept.measure.attainment = score->attainment;
        kept.measure.count = score->count;
        kept.measure.period_start_ms = score->period_start_ms;
    } else {
        kept.above.lo = score->lo;
        kept.above.hi = score->hi;
        kept.above.coverage = score->coverage;
        kept.above.filled = score->filled;
    }
    *ret_flags = (uint8_t)score->flags;
    assert(*ret_flags == score->flags);
    return kept;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

bool kept_equal(const struct measure *measure, const struct kept_score *a, uint8_t a_flags,
                const struct kept_score *b, uint8_t b_flags)
{
    if (((a_flags ^ b_flags) & ~FLAG_CRITICAL) != 0 || !same(a->score, b->score)) {
        return false;
    }
    return measure ? same(a->measure.value, b->measure.value) &&
                         same(a->measure.attainment, b->measure.attainment) &&
                         a->measure.count == b->measure.count &&
                         a->measure.period_start_ms == b->measure.period_start_ms
                   : same(a->above.lo, b->above.lo) && same(a->above.hi, b->above.hi) &&
                         same(a->above.coverage, b->above.coverage) && same(a->above.filled, b->above.filled);
}

/* Where a period of the measure that starts there ends. */
static int64_t end_of(const struct scorecard *card, const struct measure *measure, int64_t start_ms,
                      uint8_t flags)
{
    if (measure->rolling_ms > 0) {
        return flags & POISE_FLAG_CARRIED ? start_ms + measure->rolling_ms : INT64_MAX;
    }
    struct calendar calendar = scorecard_calendar(card, measure->period);
    return period_of(&calendar, start_ms).end_ms;
}

poise_score kept_whole(const struct scorecard *card, const struct measure *measure,
                       const struct kept_score *kept, uint8_t flags, double previous)
{
    poise_score score = {.attainment = measure ? kept->measure.attainment : NAN,
                         .trend = kept->score - previous,
                         .count = measure ? kept->measure.count : -1,
                         .period_start_ms = measure ? kept->measure.period_start_ms : INT64_MIN,
                         .period_end_ms = INT64_MIN};
    kept_numbers(measure, kept, flags, &score);
    if (measure) {
        score.period_end_ms = end_of(card, measure, score.period_start_ms, flags);
    }
    score.status = flags & POISE_FLAG_CAPPED ? POISE_AMBER : score_status(card, score.score);
    score.uncertain = score_status(card, score.lo) != score_status(card, score.hi);
    return score;
}
