/* From period values to the numbers of a node (scoring.md sections 2 to 5). Pure. */
#ifndef SCORE_EVALUATE_H
#define SCORE_EVALUATE_H

#include <score/accumulator.h>
#include <score/function.h>

/* Where evaluate_measure finds the accumulator of a period (with its layout); NULL: no measurement in it. */
struct period_source {
    const struct accumulator *(*find)(void *context, struct period period);
    void *context;
    const struct accumulator_layout *layout;
};

/* The period that the measure's basis names as of a time. */
struct period measure_period(const struct scorecard *card, const struct measure *measure, int64_t as_of_ms);

/* A measure at an org as of a time: aggregate, empty, min_count, min_of, basis, carry, form, missing. */
void evaluate_measure(const struct scorecard *card, const struct measure *measure, const char *org,
                      int64_t as_of_ms, const struct period_source *source, poise_score *ret_score);
/* Whether a measure is a node at an org (its `orgs`). */
bool measure_at_org(const struct measure *measure, const char *org);

/* A node above measures from its children's numbers. scores and present are by node index of the card:
 * children that are not present are no children. */
void evaluate_rollup(const struct scorecard *card, uint32_t node, const poise_score *scores,
                     const bool *present, poise_score *ret_score);

/* Equal to the bit in everything that is published. */
bool score_equal(const poise_score *a, const poise_score *b);

#endif
