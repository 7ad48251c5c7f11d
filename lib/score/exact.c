#include "exact_internal.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The first term's highest bit is put at bit 135 of the window. That leaves 55 bits above it (a sum of 3e16
 * such terms) and 135 below: 82 below a double's own bits, 29 below a product's. */
enum {
    WINDOW_BITS = 64 * EXACT_WINDOW_LIMBS,
    FIRST_TERM_TOP = 135,
    DOUBLE_BITS = 53,
    PRODUCT_BITS = 2 * DOUBLE_BITS
};

struct term {
    u128 significand; /* not 0 */
    int exponent;
    bool negative;
};

void exact_free(struct exact *sum)
{
    if (sum->form == EXACT_WIDE) {
        free(sum->wide);
    }
    *sum = (struct exact){0};
}

static inline struct term term_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (struct term){.significand = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52,
                         .exponent = (int)(bits >> 52 & 0x7ff) - 1075,
                         .negative = bits >> 63};
}

static int bit_length(u128 x)
{
    uint64_t high = (uint64_t)(x >> 64);
    return high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)x);
}

static int trailing_zeros(u128 x)
{
    uint64_t low = (uint64_t)x;
    return low ? __builtin_ctzll(low) : 64 + __builtin_ctzll((uint64_t)(x >> 64));
}

/* window += addend + carry; false: the sum does not fit, nothing changed. */
static inline bool add_limbs(uint64_t window[EXACT_WINDOW_LIMBS], const uint64_t addend[EXACT_WINDOW_LIMBS],
                             bool carry)
{
    u128 low = (u128)window[1] << 64 | window[0], more = (u128)addend[1] << 64 | addend[0];
    u128 without = low + more, total = without + carry;
    uint64_t high = window[2] + addend[2] + (without < low) + (total < without);
    if (((window[2] ^ high) & (addend[2] ^ high)) >> 63) {
        return false;
    }
    window[0] = (uint64_t)total;
    window[1] = (uint64_t)(total >> 64);
    window[2] = high;
    return true;
}

/* Adds significand << shift, which ends below the window's sign, without branches: no branch predictor knows
 * the next value. */
static inline bool add_in_window(uint64_t window[EXACT_WINDOW_LIMBS], u128 significand, unsigned shift,
                                 bool negative)
{
    unsigned bit = shift % 64;
    u128 low = significand << bit;
    uint64_t parts[3] = {(uint64_t)low, (uint64_t)(low >> 64),
                         (uint64_t)(significand >> 64 >> (63 - bit) >> 1)};
    uint64_t flip = -(uint64_t)negative; /* -x is ~x + 1 */
    uint64_t at_0 = -(uint64_t)(shift / 64 == 0), at_1 = -(uint64_t)(shift / 64 == 1);
    uint64_t at_2 = ~(at_0 | at_1);
    const uint64_t addend[EXACT_WINDOW_LIMBS] = {
        (parts[0] & at_0) ^ flip,
        ((parts[1] & at_0) | (parts[0] & at_1)) ^ flip,
        ((parts[2] & at_0) | (parts[1] & at_1) | (parts[0] & at_2)) ^ flip,
    };
    return add_limbs(window, addend, negative);
}

/* A term that may end outside the window; false: it does, or the sum does not fit; nothing changed. */
static bool add_to_window(struct exact *sum, struct term term)
{
    int shift = term.exponent - sum->exponent;
    if (shift < 0) { /* bits below the window must be zeros */
        if (trailing_zeros(term.significand) < -shift) {
            return false;
        }
        term.significand >>= -shift;
        shift = 0;
    }
    return shift + bit_length(term.significand) < WINDOW_BITS &&
           add_in_window(sum->window, term.significand, (unsigned)shift, term.negative);
}

void exact_spread(const struct exact *sum, uint64_t wide[WIDE_LIMBS])
{
    if (sum->form == EXACT_WIDE) {
        memcpy(wide, sum->wide, WIDE_BYTES);
        return;
    }
    memset(wide, 0, WIDE_BYTES);
    if (sum->form == EXACT_WINDOW) {
        for (int i = 0; i < WIDE_LIMBS; i++) {
            wide[i] = limbs_bits(sum->window, EXACT_WINDOW_LIMBS, WIDE_EXPONENT + 64 * i - sum->exponent);
        }
    }
}

/* Whatever add_quickly does not do. */
static bool add_term(struct exact *sum, struct term term)
{
    assert(term.exponent >= WIDE_EXPONENT && term.exponent < -WIDE_EXPONENT);
    if (sum->form == EXACT_ZERO) {
        int lowest = term.exponent + bit_length(term.significand) - 1 - FIRST_TERM_TOP;
        sum->exponent = (int16_t)(lowest > WIDE_EXPONENT ? lowest : WIDE_EXPONENT);
        sum->form = EXACT_WINDOW;
    }
    unsigned shift = (unsigned)(term.exponent - WIDE_EXPONENT);
    if (sum->form == EXACT_WIDE) {
        limbs_add(sum->wide, WIDE_LIMBS, term.significand, shift, term.negative);
        return true;
    }
    if (add_to_window(sum, term)) {
        return true;
    }
    uint64_t wide[WIDE_LIMBS];
    exact_spread(sum, wide);
    limbs_add(wide, WIDE_LIMBS, term.significand, shift, term.negative);
    return exact_assign(sum, wide);
}

/* The usual case: a term of at most so many bits, well inside the window. */
static inline bool add_quickly(struct exact *sum, struct term term, int bits)
{
    unsigned shift = (unsigned)(term.exponent - sum->exponent);
    return sum->form == EXACT_WINDOW && shift < (unsigned)(WINDOW_BITS - bits) &&
           add_in_window(sum->window, term.significand, shift, term.negative);
}

bool exact_add(struct exact *sum, double x)
{
    if (x == 0) {
        return true;
    }
    struct term term = term_of(x);
    return add_quickly(sum, term, DOUBLE_BITS) || add_term(sum, term);
}

bool exact_add_product(struct exact *sum, double a, double b)
{
    if (a == 0 || b == 0) {
        return true;
    }
    struct term left = term_of(a), right = term_of(b);
    struct term term = {.significand = left.significand * right.significand,
                        .exponent = left.exponent + right.exponent,
                        .negative = left.negative != right.negative};
    return add_quickly(sum, term, PRODUCT_BITS) || add_term(sum, term);
}

void exact_liken(struct exact *sum, const struct exact *other)
{
    if (sum->form == EXACT_ZERO && other->form == EXACT_WINDOW) {
        *sum = (struct exact){.exponent = other->exponent, .form = EXACT_WINDOW};
    }
}

/* false: other's window does not fit into this one, or the sum does not; nothing changed. */
static bool merge_windows(struct exact *sum, const struct exact *other)
{
    int shift = other->exponent - sum->exponent;
    if (shift == 0) {
        return add_limbs(sum->window, other->window, false);
    }
    uint64_t moved[EXACT_WINDOW_LIMBS];
    for (int i = 0; i < EXACT_WINDOW_LIMBS; i++) {
        moved[i] = limbs_bits(other->window, EXACT_WINDOW_LIMBS, 64 * i - shift);
    }
    for (int i = 0; i < EXACT_WINDOW_LIMBS; i++) { /* moved back it must be what it was */
        if (limbs_bits(moved, EXACT_WINDOW_LIMBS, 64 * i + shift) != other->window[i]) {
            return false;
        }
    }
    return add_limbs(sum->window, moved, false);
}

bool exact_merge(struct exact *sum, const struct exact *other)
{
    if (other->form == EXACT_ZERO) {
        return true;
    }
    if (other->form == EXACT_WINDOW && sum->form == EXACT_ZERO) {
        *sum = *other;
        return true;
    }
    if (other->form == EXACT_WINDOW && sum->form == EXACT_WINDOW && merge_windows(sum, other)) {
        return true;
    }
    uint64_t wide[WIDE_LIMBS], more[WIDE_LIMBS];
    exact_spread(sum, wide);
    exact_spread(other, more);
    u128 carry = 0;
    for (int i = 0; i < WIDE_LIMBS; i++) {
        carry += (u128)wide[i] + more[i];
        wide[i] = (uint64_t)carry;
        carry >>= 64;
    }
    return exact_assign(sum, wide);
}

/* The lowest bit of a window that holds the whole sum (which is not 0), or -1. */
static int window_start(const uint64_t wide[WIDE_LIMBS])
{
    uint64_t sign = limbs_negative(wide, WIDE_LIMBS) ? UINT64_MAX : 0;
    size_t low = 0, high = WIDE_LIMBS;
    while (wide[low] == 0) {
        low++;
    }
    while (high > 0 && wide[high - 1] == sign) {
        high--;
    }
    int lowest = 64 * (int)low + __builtin_ctzll(wide[low]);
    int highest = high > 0 ? 64 * (int)high - 1 - __builtin_clzll(wide[high - 1] ^ sign) : 0;
    int start = highest > FIRST_TERM_TOP ? highest - FIRST_TERM_TOP : 0;
    start = lowest < start ? lowest : start;
    return highest - start < WINDOW_BITS - 1 ? start : -1;
}

bool exact_assign(struct exact *sum, const uint64_t wide[WIDE_LIMBS])
{
    if (limbs_trim(wide, WIDE_LIMBS) == 0) {
        exact_free(sum);
        return true;
    }
    int start = window_start(wide);
    if (start >= 0) {
        exact_free(sum);
        for (int i = 0; i < EXACT_WINDOW_LIMBS; i++) {
            sum->window[i] = limbs_bits(wide, WIDE_LIMBS, start + 64 * i);
        }
        sum->exponent = (int16_t)(start + WIDE_EXPONENT);
        sum->form = EXACT_WINDOW;
        return true;
    }
    uint64_t *kept = sum->form == EXACT_WIDE ? sum->wide : malloc(WIDE_BYTES);
    if (!kept) {
        return false;
    }
    memcpy(kept, wide, WIDE_BYTES);
    *sum = (struct exact){.wide = kept, .form = EXACT_WIDE};
    return true;
}

size_t exact_magnitude(const struct exact *sum, uint64_t limbs[WIDE_LIMBS], int *ret_exponent,
                       bool *ret_negative)
{
    bool is_wide = sum->form == EXACT_WIDE;
    size_t count = is_wide ? WIDE_LIMBS : EXACT_WINDOW_LIMBS;
    memcpy(limbs, is_wide ? sum->wide : sum->window, count * sizeof *limbs);
    *ret_negative = limbs_negative(limbs, count);
    if (*ret_negative) {
        limbs_negate(limbs, count);
    }
    *ret_exponent = is_wide ? WIDE_EXPONENT : sum->exponent;
    return limbs_trim(limbs, count);
}

double exact_round(const struct exact *sum)
{
    uint64_t limbs[WIDE_LIMBS];
    int exponent;
    bool negative;
    size_t count = exact_magnitude(sum, limbs, &exponent, &negative);
    double size = limbs_to_double(limbs, count, exponent);
    return negative ? -size : size;
}
