#include <assert.h>
#include <base/buf.h>
#include <math.h>
#include <score/exact.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

/* The smallest product of valid numbers is 1e-200 > 2^-665 and has at most 106 bits: the lowest bit is above
 * 2^-771. The largest is 1e200 < 2^665; the wide form ends at 2^765, so that 2^98 of them fit beside the
 * sign.
 *
 * The first term's highest bit is put at bit 135 of the window. That leaves 55 bits above it (a sum of 3e16
 * such terms) and 135 below: 82 below a double's own bits, 29 below a product's. */
enum {
    WIDE_LIMBS = 24,
    WIDE_EXPONENT = -771,
    WIDE_BYTES = 8 * WIDE_LIMBS,
    WINDOW_BITS = 64 * EXACT_WINDOW_LIMBS,
    FIRST_TERM_TOP = 135
};

enum form { FORM_ZERO, FORM_WINDOW, FORM_WIDE };

struct term {
    u128 significand; /* not 0 */
    int exponent;
    bool negative;
};

void exact_free(struct exact *sum)
{
    if (sum->form == FORM_WIDE) {
        free(sum->wide);
    }
    *sum = (struct exact){0};
}

static struct term term_of(double x)
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

static bool is_negative(const uint64_t *limbs, size_t count)
{
    return limbs[count - 1] >> 63;
}

/* limbs += or -= significand << shift; what runs over the top is lost. */
static void add_shifted(uint64_t *limbs, size_t count, u128 significand, unsigned shift, bool negative)
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

/* As add_shifted for a window, without branches; shift < WINDOW_BITS and the significand ends below its top.
 */
static inline void add_in_window(uint64_t *limbs, u128 significand, unsigned shift, bool negative)
{
    unsigned bit = shift % 64;
    uint64_t addend[EXACT_WINDOW_LIMBS + 2] = {0};
    u128 low = significand << bit;
    uint64_t flip = negative ? UINT64_MAX : 0;
    u128 carry = negative;
    addend[shift / 64] = (uint64_t)low;
    addend[shift / 64 + 1] = (uint64_t)(low >> 64);
    addend[shift / 64 + 2] = (uint64_t)(significand >> 64 >> (63 - bit) >> 1);
    for (int i = 0; i < EXACT_WINDOW_LIMBS; i++) {
        carry += (u128)limbs[i] + (addend[i] ^ flip);
        limbs[i] = (uint64_t)carry;
        carry >>= 64;
    }
}

/* false: the term or the sum does not fit; nothing changed. */
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
    if (shift + bit_length(term.significand) >= WINDOW_BITS) {
        return false;
    }
    uint64_t limbs[EXACT_WINDOW_LIMBS];
    memcpy(limbs, sum->window, sizeof limbs);
    bool was_negative = is_negative(limbs, EXACT_WINDOW_LIMBS);
    add_in_window(limbs, term.significand, (unsigned)shift, term.negative);
    if (was_negative == term.negative && is_negative(limbs, EXACT_WINDOW_LIMBS) != was_negative) {
        return false;
    }
    memcpy(sum->window, limbs, sizeof limbs);
    return true;
}

static void negate(uint64_t *limbs, size_t count)
{
    uint64_t carry = 1;
    for (size_t i = 0; i < count; i++) {
        limbs[i] = ~limbs[i] + carry;
        carry = carry && limbs[i] == 0;
    }
}

/* The sum in the wide form. */
static void spread(const struct exact *sum, uint64_t wide[WIDE_LIMBS])
{
    if (sum->form == FORM_WIDE) {
        memcpy(wide, sum->wide, WIDE_BYTES);
        return;
    }
    memset(wide, 0, WIDE_BYTES);
    if (sum->form == FORM_WINDOW) {
        uint64_t limbs[EXACT_WINDOW_LIMBS];
        memcpy(limbs, sum->window, sizeof limbs);
        bool negative = is_negative(limbs, EXACT_WINDOW_LIMBS);
        if (negative) {
            negate(limbs, EXACT_WINDOW_LIMBS);
        }
        for (int i = 0; i < EXACT_WINDOW_LIMBS; i++) {
            add_shifted(wide, WIDE_LIMBS, limbs[i], (unsigned)(sum->exponent - WIDE_EXPONENT + 64 * i),
                        negative);
        }
    }
}

static bool widen(struct exact *sum)
{
    uint64_t *wide = malloc(WIDE_BYTES);
    if (!wide) {
        return false;
    }
    spread(sum, wide);
    *sum = (struct exact){.wide = wide, .form = FORM_WIDE};
    return true;
}

static bool add_term(struct exact *sum, struct term term)
{
    assert(term.exponent >= WIDE_EXPONENT && term.exponent < -WIDE_EXPONENT);
    if (sum->form == FORM_ZERO) {
        int lowest = term.exponent + bit_length(term.significand) - 1 - FIRST_TERM_TOP;
        sum->exponent = (int16_t)(lowest > WIDE_EXPONENT ? lowest : WIDE_EXPONENT);
        sum->form = FORM_WINDOW;
    }
    if (sum->form == FORM_WINDOW && add_to_window(sum, term)) {
        return true;
    }
    if (sum->form == FORM_WINDOW && !widen(sum)) {
        return false;
    }
    add_shifted(sum->wide, WIDE_LIMBS, term.significand, (unsigned)(term.exponent - WIDE_EXPONENT),
                term.negative);
    return true;
}

bool exact_add(struct exact *sum, double x)
{
    return x == 0 || add_term(sum, term_of(x));
}

bool exact_add_product(struct exact *sum, double a, double b)
{
    if (a == 0 || b == 0) {
        return true;
    }
    struct term left = term_of(a), right = term_of(b);
    return add_term(sum, (struct term){.significand = left.significand * right.significand,
                                       .exponent = left.exponent + right.exponent,
                                       .negative = left.negative != right.negative});
}

double exact_round(const struct exact *sum)
{
    if (sum->form == FORM_ZERO) {
        return 0;
    }
    bool is_wide = sum->form == FORM_WIDE;
    size_t count = is_wide ? WIDE_LIMBS : EXACT_WINDOW_LIMBS;
    uint64_t limbs[WIDE_LIMBS];
    memcpy(limbs, is_wide ? sum->wide : sum->window, count * sizeof *limbs);
    bool negative = is_negative(limbs, count);
    if (negative) {
        negate(limbs, count);
    }
    size_t top = count;
    while (top > 0 && limbs[top - 1] == 0) {
        top--;
    }
    if (top == 0) {
        return 0;
    }
    /* The 64 highest bits; whether anything is below them goes into the last, which is too low to be more
     * than the tie-breaker of the conversion's rounding. */
    int lead = __builtin_clzll(limbs[top - 1]);
    u128 two = (u128)limbs[top - 1] << 64 | (top > 1 ? limbs[top - 2] : 0);
    two <<= lead;
    uint64_t below = (uint64_t)two;
    for (size_t i = 0; i + 2 < top; i++) {
        below |= limbs[i];
    }
    double head = (double)((uint64_t)(two >> 64) | (below != 0));
    double size = ldexp(head, (is_wide ? WIDE_EXPONENT : sum->exponent) + 64 * ((int)top - 1) - lead);
    return negative ? -size : size;
}

static uint8_t byte_at(const uint64_t *limbs, size_t at)
{
    return (uint8_t)(limbs[at / 8] >> (8 * (at % 8)));
}

/* The number of bytes, the place of the lowest (none for 0), then the bytes: the wide form without zeros
 * below and copies of the sign above. */
void exact_encode(const struct exact *sum, struct buf *out)
{
    uint64_t wide[WIDE_LIMBS];
    spread(sum, wide);
    size_t low = 0, high = WIDE_BYTES;
    while (low < high && byte_at(wide, low) == 0) {
        low++;
    }
    uint8_t sign = is_negative(wide, WIDE_LIMBS) ? 0xff : 0;
    while (high > low + 1 && byte_at(wide, high - 1) == sign &&
           (byte_at(wide, high - 2) & 0x80) == (sign & 0x80)) {
        high--;
    }
    buf_put_u8(out, (uint8_t)(high - low));
    if (high > low) {
        buf_put_u8(out, (uint8_t)low);
        for (size_t i = low; i < high; i++) {
            buf_put_u8(out, byte_at(wide, i));
        }
    }
}

static bool read_wide(struct cursor *in, uint64_t wide[WIDE_LIMBS])
{
    memset(wide, 0, WIDE_BYTES);
    size_t count = cursor_u8(in);
    if (count == 0) {
        return !in->failed;
    }
    size_t low = cursor_u8(in);
    const uint8_t *bytes = low + count <= WIDE_BYTES ? cursor_bytes(in, count) : NULL;
    if (!bytes) {
        return false;
    }
    uint8_t sign = bytes[count - 1] & 0x80 ? 0xff : 0;
    for (size_t i = low; i < WIDE_BYTES; i++) {
        wide[i / 8] |= (uint64_t)(i - low < count ? bytes[i - low] : sign) << (8 * (i % 8));
    }
    return true;
}

/* Bits from..from + 63 of the wide form; above its end the sign goes on. */
static uint64_t limb_from(const uint64_t *wide, size_t from)
{
    uint64_t sign = is_negative(wide, WIDE_LIMBS) ? UINT64_MAX : 0;
    size_t at = from / 64, bit = from % 64;
    uint64_t low = at < WIDE_LIMBS ? wide[at] : sign;
    uint64_t high = at + 1 < WIDE_LIMBS ? wide[at + 1] : sign;
    return bit > 0 ? low >> bit | high << (64 - bit) : low;
}

/* The lowest bit of a window that holds the whole sum (which is not 0), or -1. */
static int window_start(const uint64_t wide[WIDE_LIMBS])
{
    uint64_t sign = is_negative(wide, WIDE_LIMBS) ? UINT64_MAX : 0;
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

poise_code exact_decode(struct exact *sum, struct cursor *in)
{
    static const uint64_t zero[WIDE_LIMBS];
    uint64_t wide[WIDE_LIMBS];
    if (!read_wide(in, wide)) {
        return POISE_ECORRUPT;
    }
    if (memcmp(wide, zero, WIDE_BYTES) == 0) {
        return POISE_OK;
    }
    int start = window_start(wide);
    if (start >= 0) {
        for (size_t i = 0; i < EXACT_WINDOW_LIMBS; i++) {
            sum->window[i] = limb_from(wide, (size_t)start + 64 * i);
        }
        sum->exponent = (int16_t)(start + WIDE_EXPONENT);
        sum->form = FORM_WINDOW;
        return POISE_OK;
    }
    uint64_t *kept = malloc(WIDE_BYTES);
    if (!kept) {
        return POISE_ENOMEM;
    }
    memcpy(kept, wide, WIDE_BYTES);
    *sum = (struct exact){.wide = kept, .form = FORM_WIDE};
    return POISE_OK;
}
