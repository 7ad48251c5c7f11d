#include <score/double_sum.h>
#include <score/limbs.h>
#include <string.h>

enum { LOWEST_BIT = -1074 };

void double_sum_add(struct double_sum *sum, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t significand = bits & ((UINT64_C(1) << 52) - 1);
    unsigned exponent = (unsigned)(bits >> 52 & 0x7ff);
    if (exponent > 0) { /* else it is subnormal */
        significand |= UINT64_C(1) << 52;
        exponent--;
    }
    limbs_add(sum->limbs, DOUBLE_SUM_LIMBS, significand, exponent, bits >> 63);
}

double double_sum_round(const struct double_sum *sum)
{
    uint64_t limbs[DOUBLE_SUM_LIMBS];
    memcpy(limbs, sum->limbs, sizeof limbs);
    bool negative = limbs_negative(limbs, DOUBLE_SUM_LIMBS);
    if (negative) {
        limbs_negate(limbs, DOUBLE_SUM_LIMBS);
    }
    double size = limbs_to_double(limbs, DOUBLE_SUM_LIMBS, LOWEST_BIT);
    return negative ? -size : size;
}
