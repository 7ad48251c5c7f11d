/* Score functions s(x) (scoring.md section 3) and status. Pure. */
#ifndef SCORE_FUNCTION_H
#define SCORE_FUNCTION_H

#include <model/scorecard.h>

/* The score 0..100 of x (a finite number) at a time, which only a milestone asks for, and *ret_attainment,
 * the unclamped line (NaN where it is not finite). NaN: no score. */
double form_score(const struct form *form, double x, int64_t time_ms, double *ret_attainment);
/* S + 1e-9 >= bound; no_data for NaN. */
poise_status score_status(const struct scorecard *card, double score);

#endif
