#include <math.h>
#include <model/org.h>
#include <score/evaluate.h>

/* What a period says. */
struct reading {
    double value; /* NaN: no data */
    int64_t count;
};

static struct reading read_period(const struct measure *measure, const struct period_source *source,
                                  struct period period, uint32_t *flags)
{
    const struct reading none = {.value = NAN};
    const struct accumulator *cell = source->find(source->context, period);
    uint64_t count = cell ? accumulator_count(cell) : 0;
    if (count == 0) {
        return (struct reading){.value = measure->empty};
    }
    if (count < (uint64_t)measure->min_count) {
        return none;
    }
    if (!isnan(measure->min_of) && accumulator_of(source->layout, cell) < measure->min_of) {
        return none;
    }
    bool overflow = false;
    double value = accumulator_value(source->layout, cell, measure, &overflow);
    *flags |= overflow ? POISE_FLAG_OVERFLOW : 0;
    return isnan(value) ? none : (struct reading){.value = value, .count = (int64_t)count};
}

struct period measure_period(const struct scorecard *card, const struct measure *measure, int64_t as_of_ms)
{
    struct calendar calendar = scorecard_calendar(card, measure->period);
    struct period period = period_at(&calendar, as_of_ms);
    return measure->basis_closed && period.end_ms > as_of_ms ? period_before(&calendar, period) : period;
}

/* The reading of the period that basis names, or of the nearest before it that carry allows; *period becomes
 * that one's where it has data. */
static struct reading read_or_carry(const struct scorecard *card, const struct measure *measure,
                                    const struct period_source *source, struct period *period,
                                    uint32_t *flags)
{
    struct calendar calendar = scorecard_calendar(card, measure->period);
    struct reading reading = read_period(measure, source, *period, flags);
    struct period earlier = *period;
    for (int64_t i = 0; isnan(reading.value) && i < measure->carry && earlier.start_ms > TIME_MIN_MS; i++) {
        earlier = period_before(&calendar, earlier);
        reading = read_period(measure, source, earlier, flags);
        if (!isnan(reading.value)) {
            *period = earlier;
            *flags |= POISE_FLAG_CARRIED;
        }
    }
    return reading;
}

/* Score, bounds and shares of a leaf that has no value or no score form. */
static void fill_missing(const struct measure *measure, poise_score *score)
{
    score->lo = 0;
    score->hi = 100;
    switch (measure->missing) {
    case MISSING_RENORMALISE:
        return;
    case MISSING_IMPUTE:
        score->score = measure->impute;
        score->filled = 1;
        score->flags |= POISE_FLAG_IMPUTED;
        return;
    case MISSING_ZERO:
        score->score = 0;
        score->hi = 0;
        score->coverage = 1;
        score->filled = 1;
        return;
    }
}

static void finish(const struct scorecard *card, poise_score *score)
{
    score->status = score_status(card, score->score);
    score->uncertain = score_status(card, score->lo) != score_status(card, score->hi);
}

void evaluate_measure(const struct scorecard *card, const struct measure *measure, const char *org,
                      int64_t as_of_ms, const struct period_source *source, poise_score *ret_score)
{
    uint32_t flags = 0;
    struct period period = measure_period(card, measure, as_of_ms);
    struct reading reading = read_or_carry(card, measure, source, &period, &flags);
    poise_score score = {.value = reading.value,
                         .attainment = NAN,
                         .score = NAN,
                         .trend = NAN,
                         .count = reading.count,
                         .period_start_ms = period.start_ms,
                         .period_end_ms = period.end_ms,
                         .flags = flags};
    const struct form *form = isnan(reading.value) ? NULL : measure_form(measure, org, period.end_ms);
    if (form) {
        score.score = form_score(form, reading.value, &score.attainment);
        score.lo = score.score;
        score.hi = score.score;
        score.coverage = 1;
        score.filled = 1;
    } else {
        fill_missing(measure, &score);
    }
    finish(card, &score);
    *ret_score = score;
}

bool measure_at_org(const struct measure *measure, const char *org)
{
    for (size_t i = 0; i < measure->orgs.count; i++) {
        if (org_matches(measure->orgs.items[i], org)) {
            return true;
        }
    }
    return measure->orgs.count == 0;
}

/* One mean, minimum, ... in the making. */
struct combination {
    double weight, sum, logs, min, max;
};

static const struct combination nothing = {.min = INFINITY, .max = -INFINITY};

static void combine(const struct rollup *rollup, struct combination *all, double weight, double score)
{
    all->weight += weight;
    all->sum += weight * score;
    if (rollup->kind == ROLLUP_GEOMETRIC) {
        all->logs += weight * log(score > 1 ? score : 1);
    }
    all->min = score < all->min ? score : all->min;
    all->max = score > all->max ? score : all->max;
}

/* Of at least one. */
static double combined(const struct rollup *rollup, const struct combination *all)
{
    double x = all->sum / all->weight;
    switch (rollup->kind) {
    case ROLLUP_MEAN:
        break;
    case ROLLUP_MIN:
        x = all->min;
        break;
    case ROLLUP_MAX:
        x = all->max;
        break;
    case ROLLUP_GEOMETRIC:
        x = exp(all->logs / all->weight);
        break;
    case ROLLUP_PENALISED_MEAN:
        x *= 1 - rollup->penalty * (1 - all->min / 100);
        break;
    }
    return x < 0 ? 0 : x > 100 ? 100 : x;
}

void evaluate_rollup(const struct scorecard *card, uint32_t node, const poise_score *scores,
                     const bool *present, poise_score *ret_score)
{
    const struct rollup *rollup = &card->nodes[node].rollup;
    struct combination middle = nothing, low = nothing, high = nothing;
    double coverage = 0, filled = 0;
    for (uint32_t i = card->nodes[node].first_child; i != NODE_NONE; i = card->nodes[i].next_sibling) {
        double weight = card->nodes[i].weight;
        if (!present[i] || !(weight > 0)) {
            continue;
        }
        const poise_score *child = &scores[i];
        bool has_score = !isnan(child->score);
        if (has_score) {
            combine(rollup, &middle, weight, child->score);
            coverage += weight * child->coverage;
            filled += weight * child->filled;
        }
        combine(rollup, &low, weight, has_score ? child->lo : 0);
        combine(rollup, &high, weight, has_score ? child->hi : 100);
    }
    poise_score score = {.value = NAN,
                         .attainment = NAN,
                         .score = NAN,
                         .lo = 0,
                         .hi = 100,
                         .trend = NAN,
                         .count = -1,
                         .period_start_ms = INT64_MIN,
                         .period_end_ms = INT64_MIN};
    if (low.weight > 0) {
        score.coverage = coverage / low.weight;
        score.filled = filled / low.weight;
        score.lo = combined(rollup, &low);
        score.hi = combined(rollup, &high);
    }
    if (middle.weight > 0) {
        double middling = combined(rollup, &middle);
        score.lo = fmin(score.lo, middling);
        score.hi = fmax(score.hi, middling);
        score.score = score.filled + 1e-9 < rollup->min_coverage ? NAN : middling;
    }
    finish(card, &score);
    *ret_score = score;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

bool score_equal(const poise_score *a, const poise_score *b)
{
    return same(a->value, b->value) && same(a->attainment, b->attainment) && same(a->score, b->score) &&
           same(a->lo, b->lo) && same(a->hi, b->hi) && same(a->coverage, b->coverage) &&
           same(a->filled, b->filled) && same(a->trend, b->trend) && a->count == b->count &&
           a->period_start_ms == b->period_start_ms && a->period_end_ms == b->period_end_ms &&
           a->flags == b->flags && a->status == b->status && a->uncertain == b->uncertain;
}
