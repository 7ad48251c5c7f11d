/* Two's complement integers of several limbs, the lowest first: what exact sums are made of. */
#ifndef SCORE_LIMBS_H
#define SCORE_LIMBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 u128;

static inline bool limbs_negative(const uint64_t *limbs, size_t count)
{
    return limbs[count - 1] >> 63;
}
void limbs_negate(uint64_t *limbs, size_t count);
/* limbs += or -= significand << shift; what runs over the top is lost. */
void limbs_add(uint64_t *limbs, size_t count, u128 significand, unsigned shift, bool negative);
/* Bits from..from + 63; below the lowest are zeros, above the highest the sign goes on. */
uint64_t limbs_bits(const uint64_t *limbs, size_t count, int from);
/* Without zeros at the top. */
size_t limbs_trim(const uint64_t *limbs, size_t count);
/* head * 2^exponent rounded to nearest, ties to even; the highest bit of head is set, and `below` says
 * whether there is more, less than its lowest. */
double limbs_round(uint64_t head, bool below, int exponent);
/* A number that is not negative, its lowest bit worth 2^exponent, likewise. */
double limbs_to_double(const uint64_t *limbs, size_t count, int exponent);

#endif
