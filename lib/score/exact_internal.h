/* What the files of exact sums share: exact.c adds and rounds, exact_bytes.c is for checkpoints, variance.c
 * divides.
 *
 * The smallest product of valid numbers is 1e-200 > 2^-665 and has at most 106 bits: the lowest bit is above
 * 2^-771. The largest is 1e200 < 2^665; the wide form ends at 2^765, so that 2^98 of them fit beside the
 * sign. */
#ifndef SCORE_EXACT_INTERNAL_H
#define SCORE_EXACT_INTERNAL_H

#include <score/exact.h>
#include <score/limbs.h>

enum { WIDE_LIMBS = 24, WIDE_EXPONENT = -771, WIDE_BYTES = 8 * WIDE_LIMBS };
enum exact_form { EXACT_ZERO, EXACT_WINDOW, EXACT_WIDE };

/* The sum in the wide form. */
void exact_spread(const struct exact *sum, uint64_t wide[WIDE_LIMBS]);
/* Makes the sum what a wide form says, in a window where it fits; false: out of memory, sum unchanged. */
bool exact_assign(struct exact *sum, const uint64_t wide[WIDE_LIMBS]);
/* The sum's size in limbs, the lowest worth 2^*ret_exponent; their number, the highest not 0; 0: it is 0. */
size_t exact_magnitude(const struct exact *sum, uint64_t limbs[WIDE_LIMBS], int *ret_exponent,
                       bool *ret_negative);

#endif
