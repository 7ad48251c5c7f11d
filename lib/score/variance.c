#include "exact_internal.h"

/* In n S2 - S1^2 the parts are at most 2^828 and 2^1528, and no bit is below 2^-1542. */
enum { BIG_LIMBS = 48 };

/* limbs * 2^exponent / divisor, rounded once. Long division, bit by bit, until 64 bits of the quotient are
 * there; limbs is not 0. */
static double quotient(const uint64_t *limbs, size_t count, int exponent, u128 divisor)
{
    u128 rest = 0;
    uint64_t head = 0;
    int at = 64 * (int)count;
    while (!(head >> 63)) {
        at--;
        bool over = rest >> 127;
        rest = rest << 1 | (at >= 0 ? limbs[at / 64] >> (at % 64) & 1 : 0);
        bool one = over || rest >= divisor;
        rest -= one ? divisor : 0;
        head = head << 1 | one;
    }
    bool below = rest != 0;
    for (int i = 0; i < at && !below; i += 64) {
        below = (at - i < 64 ? limbs[i / 64] << (64 - (at - i)) : limbs[i / 64]) != 0;
    }
    return limbs_round(head, below, exponent + at);
}

double exact_variance(const struct exact *sum, const struct exact *squares, uint64_t n)
{
    uint64_t s1[WIDE_LIMBS], s2[WIDE_LIMBS], big[BIG_LIMBS] = {0};
    int exponent_1, exponent_2;
    bool negative;
    size_t count_1 = exact_magnitude(sum, s1, &exponent_1, &negative);
    size_t count_2 = exact_magnitude(squares, s2, &exponent_2, &negative);
    if (count_2 == 0 || negative) {
        return 0;
    }
    int exponent = 2 * exponent_1 < exponent_2 ? 2 * exponent_1 : exponent_2;
    unsigned shift_1 = (unsigned)(2 * exponent_1 - exponent), shift_2 = (unsigned)(exponent_2 - exponent);
    for (unsigned i = 0; i < count_2; i++) {
        limbs_add(big, BIG_LIMBS, (u128)s2[i] * n, shift_2 + 64 * i, false);
    }
    for (unsigned i = 0; i < count_1; i++) {
        for (unsigned j = 0; j < count_1; j++) {
            limbs_add(big, BIG_LIMBS, (u128)s1[i] * s1[j], shift_1 + 64 * (i + j), true);
        }
    }
    size_t count = limbs_trim(big, BIG_LIMBS);
    if (count == 0 || limbs_negative(big, BIG_LIMBS)) { /* below 0: not the sums of one set of numbers */
        return 0;
    }
    return quotient(big, count, exponent, (u128)n * (n - 1));
}
