#include <math.h>
#include <model/org.h>
#include <score/evaluate.h>

/* ---- values of windows ---- */

struct window_value window_pooled(const struct measure *measure, const struct accumulator_layout *layout,
                                  const struct accumulator *cell)
{
    struct window_value all = window_nothing;
    uint64_t count = cell ? accumulator_count(cell) : 0;
    if (count == 0) {
        return all;
    }
    all.counted = count;
    all.value = accumulator_value(layout, cell, measure, &all.overflow);
    all.count = isnan(all.value) ? 0 : count;
    if (!isnan(measure->min_of)) {
        all.of = accumulator_of(layout, cell);
    }
    if (measure->max_age_ms > 0) {
        all.newest_ms = accumulator_newest(layout, cell);
    }
    return all;
}

bool across_add(struct across_sum *across, const struct measure *measure,
                const struct accumulator_layout *layout, const struct accumulator *cell)
{
    struct window_value own = window_pooled(measure, layout, cell);
    struct window_value *all = &across->all;
    if (own.counted == 0) {
        return true;
    }
    all->counted += own.counted;
    all->overflow |= own.overflow;
    all->newest_ms = own.newest_ms > all->newest_ms ? own.newest_ms : all->newest_ms;
    if (!isnan(own.of) && !exact_add(&across->of, own.of)) {
        return false;
    }
    if (isnan(own.value)) {
        return true;
    }
    bool is_first = across->orgs++ == 0;
    all->count += own.count;
    if (measure->across == ACROSS_MIN || measure->across == ACROSS_MAX) {
        bool is_beyond = measure->across == ACROSS_MIN ? own.value < all->value : own.value > all->value;
        all->value = is_first || is_beyond ? own.value : all->value;
        return true;
    }
    double_sum_add(&across->sum, own.value);
    return true;
}

struct window_value across_end(struct across_sum *across, const struct measure *measure)
{
    struct window_value all = across->all;
    if (across->orgs > 0 && (measure->across == ACROSS_SUM || measure->across == ACROSS_MEAN)) {
        all.value =
            double_sum_round(&across->sum) / (measure->across == ACROSS_SUM ? 1 : (double)across->orgs);
    }
    if (!isnan(measure->min_of)) {
        all.of = exact_round(&across->of);
    }
    exact_free(&across->of);
    *across = across_nothing;
    return all;
}

/* ---- periods ---- */

struct period measure_period(const struct scorecard *card, const struct measure *measure, int64_t as_of_ms)
{
    if (measure->rolling_ms > 0) {
        return (struct period){scorecard_tick(card, as_of_ms) - measure->rolling_ms, as_of_ms};
    }
    struct calendar calendar = scorecard_calendar(card, measure->period);
    struct period period = period_at(&calendar, as_of_ms);
    return measure->basis_closed && period.end_ms > as_of_ms ? period_before(&calendar, period) : period;
}

struct period measure_period_before(const struct scorecard *card, const struct measure *measure,
                                    struct period period)
{
    if (measure->rolling_ms > 0) {
        return (struct period){period.start_ms - measure->rolling_ms, period.start_ms};
    }
    struct calendar calendar = scorecard_calendar(card, measure->period);
    return period_before(&calendar, period);
}

struct period measure_times(const struct measure *measure, struct period period, int64_t as_of_ms)
{
    if (measure->rolling_ms > 0) {
        return (struct period){period.start_ms + 1, period.end_ms + 1};
    }
    int64_t after_ms = as_of_ms + 1;
    return (struct period){period.start_ms, period.end_ms < after_ms ? period.end_ms : after_ms};
}

/* A leaf at an org as of a time, while it is judged. */
struct judging {
    const struct scorecard *card;
    const struct measure *measure;
    int64_t as_of_ms, tick_ms;
    struct period period; /* the one that is looked at */
    bool carried;         /* it is not the one that `basis` names */
    uint32_t flags;
    double value; /* NaN: no data */
    int64_t count, newest_ms;
};

/* Up to when the period is judged: tick(T) while it runs, then its end. A rolling window runs until it is
 * carried. */
static int64_t judged_until_ms(const struct judging *it)
{
    bool is_over = it->carried || (it->measure->rolling_ms == 0 && it->period.end_ms <= it->as_of_ms);
    return is_over || it->tick_ms > it->period.end_ms ? it->period.end_ms : it->tick_ms;
}

/* The share of the period that has passed. */
static double elapsed(const struct judging *it)
{
    return (double)(judged_until_ms(it) - it->period.start_ms) /
           (double)(it->period.end_ms - it->period.start_ms);
}

static bool begun_for_pace(const struct judging *it)
{
    double share = it->measure->pace ? elapsed(it) : 1;
    return share > 0 && share >= it->measure->pace_from;
}

static void read_period(struct judging *it, const struct leaf_source *source)
{
    const struct measure *measure = it->measure;
    it->value = NAN;
    it->count = 0;
    it->newest_ms = INT64_MIN;
    if (!begun_for_pace(it)) {
        return;
    }
    struct window_value all = source->read(source->context, measure_times(measure, it->period, it->as_of_ms));
    it->newest_ms = all.newest_ms;
    if (all.counted == 0) {
        it->value = measure->empty;
        return;
    }
    if (all.counted < (uint64_t)measure->min_count || (!isnan(measure->min_of) && all.of < measure->min_of)) {
        return;
    }
    bool overflow = all.overflow || isinf(all.value);
    it->flags |= overflow && !isfinite(all.value) ? POISE_FLAG_OVERFLOW : 0;
    if (isfinite(all.value)) {
        it->value = all.value;
        it->count = (int64_t)all.count;
    }
}

/* Looks at the period that `basis` names; where it has no data, at the nearest before it that `carry` allows.
 */
static void find_value(struct judging *it, const struct leaf_source *source)
{
    const struct period named = it->period;
    read_period(it, source);
    for (int64_t i = 0; isnan(it->value) && i < it->measure->carry && it->period.start_ms > TIME_MIN_MS;
         i++) {
        it->period = measure_period_before(it->card, it->measure, it->period);
        it->carried = true;
        read_period(it, source);
    }
    if (isnan(it->value)) {
        it->period = named;
        it->carried = false;
    } else if (it->carried) {
        it->flags |= POISE_FLAG_CARRIED;
    }
}

/* ---- scores of leaves ---- */

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

/* In force just before the end of a period; a rolling window has its right edge, so there. */
static const struct form *form_in_force(const struct judging *it, const char *org)
{
    bool holds_end = it->measure->rolling_ms > 0;
    return measure_form(it->measure, org, holds_end ? it->period.end_ms + 1 : it->period.end_ms);
}

static void judge(const struct judging *it, const char *org, poise_score *score)
{
    const struct measure *measure = it->measure;
    bool dropped = measure->stale_drop && it->flags & POISE_FLAG_STALE;
    const struct form *form = isnan(it->value) || dropped ? NULL : form_in_force(it, org);
    if (form) {
        double judged = measure->pace ? it->value / elapsed(it) : it->value;
        score->score = form_score(form, judged, judged_until_ms(it), &score->attainment);
    }
    if (isnan(score->score)) {
        fill_missing(measure, score);
        return;
    }
    score->lo = score->score;
    score->hi = score->score;
    score->coverage = 1;
    score->filled = 1;
}

static poise_score score_of(const struct judging *it, const char *org)
{
    poise_score score = {.value = it->value,
                         .attainment = NAN,
                         .score = NAN,
                         .trend = NAN,
                         .count = it->count,
                         .period_start_ms = it->period.start_ms,
                         .period_end_ms = it->period.end_ms,
                         .flags = it->flags};
    judge(it, org, &score);
    finish(it->card, &score);
    if (it->measure->critical && score.status == POISE_RED) {
        score.flags |= FLAG_CRITICAL;
    }
    return score;
}

static struct judging judging_of(const struct scorecard *card, const struct measure *measure,
                                 int64_t as_of_ms)
{
    return (struct judging){.card = card,
                            .measure = measure,
                            .as_of_ms = as_of_ms,
                            .tick_ms = scorecard_tick(card, as_of_ms),
                            .period = measure_period(card, measure, as_of_ms),
                            .newest_ms = INT64_MIN};
}

void evaluate_aggregate(const struct scorecard *card, const struct measure *measure, const char *org,
                        int64_t as_of_ms, const struct leaf_source *source, poise_score *ret_score)
{
    struct judging it = judging_of(card, measure, as_of_ms);
    find_value(&it, source);
    bool has_age = measure->max_age_ms > 0 && !isnan(it.value) && it.newest_ms != INT64_MIN;
    if (has_age && it.tick_ms - it.newest_ms > measure->max_age_ms) {
        it.flags |= POISE_FLAG_STALE;
    }
    *ret_score = score_of(&it, org);
}

/* ---- formulas ---- */

/* What a formula reads of a leaf; NaN: nothing. */
static double value_of_leaf(const struct scorecard *card, uint32_t node, const struct tree_scores *tree)
{
    const poise_score *leaf = &tree->scores[node];
    bool dropped = card->nodes[node].measure->stale_drop && leaf->flags & POISE_FLAG_STALE;
    return tree->present[node] && !dropped ? leaf->value : NAN;
}

static double apply(enum formula_op op, double a, double b)
{
    switch (op) {
    case FORMULA_ADD:
        return a + b;
    case FORMULA_SUBTRACT:
        return a - b;
    case FORMULA_MULTIPLY:
        return a * b;
    case FORMULA_DIVIDE:
        return a / b;
    default:
        return NAN;
    }
}

/* NaN: some leaf has no value, or, with *ret_overflow, some step is not finite. */
static double formula_value(const struct scorecard *card, const struct formula *formula,
                            const struct tree_scores *tree, bool *ret_overflow)
{
    double stack[FORMULA_DEPTH_MAX + 1] = {0};
    size_t top = 0; /* operands on the stack: stack[1] to stack[top] */
    bool overflow = false;
    for (size_t i = 0; i < formula->count; i++) {
        const struct formula_step *step = &formula->steps[i];
        if (step->op == FORMULA_NUMBER) {
            stack[++top] = step->number;
        } else if (step->op == FORMULA_NEGATE) {
            stack[top] = -stack[top];
        } else if (step->op == FORMULA_LEAF) {
            stack[++top] = value_of_leaf(card, step->node, tree);
            if (isnan(stack[top])) {
                return NAN;
            }
        } else {
            top--;
            stack[top] = apply(step->op, stack[top], stack[top + 1]);
            overflow |= !isfinite(stack[top]);
        }
    }
    *ret_overflow = overflow;
    return overflow ? NAN : stack[1] + 0.0; /* -0 is 0 */
}

void evaluate_formula(const struct scorecard *card, const struct measure *measure, const char *org,
                      int64_t as_of_ms, const struct tree_scores *tree, poise_score *ret_score)
{
    struct judging it = judging_of(card, measure, as_of_ms);
    bool overflow = false;
    it.value = formula_value(card, measure->formula, tree, &overflow);
    it.count = -1;
    it.flags = overflow ? POISE_FLAG_OVERFLOW : 0;
    *ret_score = score_of(&it, org);
}

/* ---- above the leaves ---- */

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

void evaluate_rollup(const struct scorecard *card, uint32_t node, const struct tree_scores *tree,
                     poise_score *ret_score)
{
    const struct rollup *rollup = &card->nodes[node].rollup;
    struct combination middle = nothing, low = nothing, high = nothing;
    double coverage = 0, filled = 0;
    uint32_t critical = 0;
    for (uint32_t i = card->nodes[node].first_child; i != NODE_NONE; i = card->nodes[i].next_sibling) {
        double weight = card->nodes[i].weight;
        if (!tree->present[i] || !(weight > 0)) {
            continue;
        }
        const poise_score *child = &tree->scores[i];
        critical |= child->flags & FLAG_CRITICAL;
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
                         .period_end_ms = INT64_MIN,
                         .flags = critical};
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
    if (critical && score.status == POISE_GREEN) {
        score.status = POISE_AMBER;
        score.flags |= POISE_FLAG_CAPPED;
    }
    *ret_score = score;
}

poise_score score_published(const poise_score *score)
{
    poise_score published = *score;
    published.flags &= ~(uint32_t)FLAG_CRITICAL;
    return published;
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

bool score_published_equal(const poise_score *a, const poise_score *b)
{
    poise_score left = score_published(a), right = score_published(b);
    return score_equal(&left, &right);
}
