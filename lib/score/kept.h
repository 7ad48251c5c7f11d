/* What has to be kept of a node's numbers: the others follow from these and the definition. There is one of
 * each node at each org, so that every byte counts. */
#ifndef SCORE_KEPT_H
#define SCORE_KEPT_H

#include <math.h>
#include <model/scorecard.h>

struct kept_score {
    double score;
    union {
        struct {
            double value, attainment;
            int64_t count, period_start_ms;
        } measure;
        struct {
            double lo, hi, coverage, filled;
        } above;
    };
};

/* The measure is NULL above measures; flags are kept apart, in a byte. The trend is not kept. */
struct kept_score score_keep(const struct measure *measure, const poise_score *score, uint8_t *ret_flags);
/* Whether scores with these flags are equal in all that is published. */
bool kept_equal(const struct measure *measure, const struct kept_score *a, uint8_t a_flags,
                const struct kept_score *b, uint8_t b_flags);
/* All numbers, but that the end of a running rolling window is INT64_MAX; `previous` is what the trend is
 * against. */
poise_score kept_whole(const struct scorecard *card, const struct measure *measure,
                       const struct kept_score *kept, uint8_t flags, double previous);

/* The numbers that parents and formulas ask for; the others stay as they are. */
static inline void kept_numbers(const struct measure *measure, const struct kept_score *kept, uint8_t flags,
                                poise_score *ret_score)
{
    ret_score->score = kept->score;
    ret_score->flags = flags;
    if (!measure) {
        ret_score->value = NAN;
        ret_score->lo = kept->above.lo;
        ret_score->hi = kept->above.hi;
        ret_score->coverage = kept->above.coverage;
        ret_score->filled = kept->above.filled;
        return;
    }
    bool filled = !isnan(kept->score), measured = filled && !(flags & POISE_FLAG_IMPUTED);
    ret_score->value = kept->measure.value;
    ret_score->lo = measured ? kept->score : 0;
    ret_score->hi = measured ? kept->score : 100;
    ret_score->coverage = measured;
    ret_score->filled = filled;
}

#endif
