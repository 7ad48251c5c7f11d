/* Exact sums of any finite doubles, in any order, rounded once: of values that were made from measurements,
 * which may be as large and small as doubles can be, where score/exact.h is for what is measured. For a
 * moment only: no allocation, no bytes. */
#ifndef SCORE_DOUBLE_SUM_H
#define SCORE_DOUBLE_SUM_H

#include <stdint.h>

enum { DOUBLE_SUM_LIMBS = 34 }; /* from 2^-1074 on; beside the sign 2^77 of the largest doubles fit */

struct double_sum { /* zeroed is 0 */
    uint64_t limbs[DOUBLE_SUM_LIMBS];
};

void double_sum_add(struct double_sum *sum, double x);
double double_sum_round(const struct double_sum *sum); /* never -0; infinite where it is too large */

#endif
