/* From period values to the numbers of a node (scoring.md sections 2 to 5). Pure. */
#ifndef SCORE_EVALUATE_H
#define SCORE_EVALUATE_H

#include <math.h>
#include <score/accumulator.h>
#include <score/double_sum.h>
#include <score/function.h>

/* What the measurements of a window say of a measure at an org. */
struct window_value {
    double value;      /* NaN: no data */
    uint64_t count;    /* measurements behind it */
    uint64_t counted;  /* all in the window, for `empty` and min_count */
    double of;         /* their sum(of), for min_of; NaN: not asked for */
    int64_t newest_ms; /* the latest of them, for max_age; INT64_MIN: not asked for, or none */
    bool overflow;
};
static const struct window_value window_nothing = {.value = NAN, .of = NAN, .newest_ms = INT64_MIN};

/* The value of one accumulator; NULL is an empty one. */
struct window_value window_pooled(const struct measure *measure, const struct accumulator_layout *layout,
                                  const struct accumulator *cell);
/* across_orgs: the orgs' own values are added one after the other, in any order; then the end gives the
 * value. */
struct across_sum {
    struct window_value all;
    struct double_sum sum; /* of their values */
    struct exact of;
    uint64_t orgs; /* that have a value */
};
static const struct across_sum across_nothing = {.all = {.value = NAN, .of = NAN, .newest_ms = INT64_MIN}};
bool across_add(struct across_sum *across, const struct measure *measure,
                const struct accumulator_layout *layout,
                const struct accumulator *cell); /* false: no memory */
struct window_value across_end(struct across_sum *across, const struct measure *measure); /* and frees it */

/* What evaluate_leaf asks for. */
struct leaf_source {
    void *context;
    /* The measurements with start <= time < end. */
    struct window_value (*read)(void *context, struct period window);
};

/* The period that the measure's basis names as of a time; of a rolling one its window. */
struct period measure_period(const struct scorecard *card, const struct measure *measure, int64_t as_of_ms);

/* The one before it, which `carry` looks back to. */
struct period measure_period_before(const struct scorecard *card, const struct measure *measure,
                                    struct period period);

/* The times of a period that are counted: of a calendar period [start, end), of a rolling one (start, end],
 * none after T. */
struct period measure_times(const struct measure *measure, struct period period, int64_t as_of_ms);

/* A measure with an aggregate at an org as of a time. */
void evaluate_aggregate(const struct scorecard *card, const struct measure *measure, const char *org,
                        int64_t as_of_ms, const struct leaf_source *source, poise_score *ret_score);
/* The numbers below are by node index of the card; nodes that are not present are no children. */
struct tree_scores {
    const poise_score *scores;
    const bool *present;
};
/* A formula, from the values of the leaves that it reads. */
void evaluate_formula(const struct scorecard *card, const struct measure *measure, const char *org,
                      int64_t as_of_ms, const struct tree_scores *tree, poise_score *ret_score);
/* A node above measures, from its children. */
void evaluate_rollup(const struct scorecard *card, uint32_t node, const struct tree_scores *tree,
                     poise_score *ret_score);

/* Beside enum poise_flags; only parents ask for it: below, or here, a critical measure is red and counts. */
enum { FLAG_CRITICAL = 1 << 7 };
/* Whether a measure is a node at an org (its `orgs`). */
bool measure_at_org(const struct measure *measure, const char *org);
/* Equal to the bit in everything that is published, and in what parents ask for. */
bool score_equal(const poise_score *a, const poise_score *b);
/* Takes out the flags that only parents ask for. */
poise_score score_published(const poise_score *score);
bool score_published_equal(const poise_score *a, const poise_score *b);

#endif
