#include <math.h>
#include <score/limbs.h>

void limbs_negate(uint64_t *limbs, size_t count)
{
    uint64_t carry = 1;
    for (size_t i = 0; i < count; i++) {
        limbs[i] = ~limbs[i] + carry;
        carry = carry && limbs[i] == 0;
    }
}

void limbs_add(uint64_t *limbs, size_t count, u128 significand, unsigned shift, bool negative)
{
    unsigned bit = shift % 64;
    u128 low = significand << bit;
    uint64_t parts[3] = {(uint64_t)low, (uint64_t)(low >> 64),
                         bit > 0 ? (uint64_t)(significand >> (128 - bit)) : 0};
    uint64_t flip = negative ? UINT64_MAX : 0; /* -x is ~x + 1 */
    uint64_t carry = negative ? 1 : 0;
    size_t first = shift / 64;
    for (size_t i = first; i < count; i++) {
        size_t part = i - first;
        if (part >= 3 && carry == (flip & 1)) {
            return;
        }
        u128 next = (u128)limbs[i] + ((part < 3 ? parts[part] : 0) ^ flip) + carry;
        limbs[i] = (uint64_t)next;
        carry = (uint64_t)(next >> 64);
    }
}

uint64_t limbs_bits(const uint64_t *limbs, size_t count, int from)
{
    if (from <= -64) {
        return 0;
    }
    if (from < 0) {
        return limbs[0] << -from;
    }
    uint64_t sign = limbs_negative(limbs, count) ? UINT64_MAX : 0;
    size_t at = (size_t)from / 64, bit = (size_t)from % 64;
    uint64_t low = at < count ? limbs[at] : sign;
    uint64_t high = at + 1 < count ? limbs[at + 1] : sign;
    return bit > 0 ? low >> bit | high << (64 - bit) : low;
}

size_t limbs_trim(const uint64_t *limbs, size_t count)
{
    while (count > 0 && limbs[count - 1] == 0) {
        count--;
    }
    return count;
}

double limbs_round(uint64_t head, bool below, int exponent)
{
    enum { HEAD_BITS = 64, DOUBLE_BITS = 53, LOWEST = -1074 /* of a subnormal */ };
    int drop = HEAD_BITS - DOUBLE_BITS;
    drop = LOWEST - exponent > drop ? LOWEST - exponent : drop;
    if (drop > HEAD_BITS) {
        return 0;
    }
    uint64_t kept = drop < HEAD_BITS ? head >> drop : 0;
    uint64_t rest = head << (HEAD_BITS - drop), half = UINT64_C(1) << 63;
    kept += rest > half || (rest == half && (below || kept & 1));
    return ldexp((double)kept, exponent + drop);
}

double limbs_to_double(const uint64_t *limbs, size_t count, int exponent)
{
    size_t top = limbs_trim(limbs, count);
    if (top == 0) {
        return 0;
    }
    int lead = __builtin_clzll(limbs[top - 1]);
    u128 two = ((u128)limbs[top - 1] << 64 | (top > 1 ? limbs[top - 2] : 0)) << lead;
    bool below = (uint64_t)two != 0 || (top > 2 && limbs_trim(limbs, top - 2) > 0);
    return limbs_round((uint64_t)(two >> 64), below, exponent + 64 * ((int)top - 1) - lead);
}
