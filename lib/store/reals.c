#include "reals.h"
#include <stdlib.h>
#include <string.h>

enum {
    SCALE_MAX = 15,
    SAMPLE = 32,        /* numbers that the scale is chosen by */
    ODD_BITS = 80,      /* what one that is no such decimal costs */
    ODD_SHARE = 8,      /* more than one in so many: no decimals */
    SURE_SCALE = 6,     /* up to here, and with none odd, patterns need not be tried */
    IS_PATTERNS = 0x40, /* in a column's first byte; else it is the scale, or */
    HAS_ODD = 0x10,
    SCALE_MASK = 15,
    ZEROS_MASK = 63
};

static const double tens[SCALE_MAX + 1] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                           1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

static const uint64_t sign_bit = UINT64_C(1) << 63;

static uint64_t pattern_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double of_pattern(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Added to a number below 2^51 in size this leaves it rounded to a whole one, and that in the last bits. */
static const double round_up = 0x1.8p52;

/* The whole number that divided by 10^scale gives exactly this double. Division of two whole numbers that are
 * doubles is correctly rounded, so what is found here is found again. */
static inline bool decimal_of(double value, unsigned scale, int64_t *ret_whole)
{
    double rounded = value * tens[scale] + round_up;
    uint64_t whole = pattern_of(rounded) - pattern_of(round_up);
    *ret_whole = (int64_t)whole;
    return pattern_of(rounded) >> 52 == pattern_of(round_up) >> 52 &&
           pattern_of((rounded - round_up) / tens[scale]) == pattern_of(value);
}

/* ---- decimals ---- */

/* The scale that a sample of the numbers would take least bits with; false: they are no decimals. */
static bool choose_scale(const double *values, size_t count, unsigned *ret_scale)
{
    size_t step = count > SAMPLE ? count / SAMPLE : 1, taken = 0;
    size_t needs[SCALE_MAX + 2] = {0};
    for (size_t i = 0; i < count && taken < SAMPLE; i += step, taken++) {
        int64_t whole;
        unsigned scale = 0;
        while (scale <= SCALE_MAX && !decimal_of(values[i], scale, &whole)) {
            scale++;
        }
        if (++needs[scale] > SAMPLE / ODD_SHARE && scale > SCALE_MAX) {
            return false;
        }
    }
    size_t odd = taken, least = SIZE_MAX;
    for (unsigned scale = 0; scale <= SCALE_MAX; scale++) {
        odd -= needs[scale];
        size_t cost = taken * scale * 10 / 3 + odd * ODD_BITS; /* a digit takes log2(10) bits */
        if (cost < least && odd <= taken / ODD_SHARE) {
            least = cost;
            *ret_scale = scale;
        }
    }
    return least < SIZE_MAX;
}

/* decimal_of for a whole block; false: some are odd. All steps are of vectors. */
static bool block_to_decimals(const double *values, double ten, uint64_t *ret_wholes)
{
    const uint64_t whole_bits = pattern_of(round_up), exponent = UINT64_C(0xfff) << 52;
    uint64_t differs = 0;
    for (size_t i = 0; i < BITS_BLOCK; i++) {
        double rounded = values[i] * ten + round_up; /* in 2^52 to 2^53 unless it is beyond the limit */
        double back = (rounded - round_up) / ten;
        differs |= pattern_of(back) ^ pattern_of(values[i]);
        differs |= (pattern_of(rounded) ^ whole_bits) & exponent;
        ret_wholes[i] = pattern_of(rounded) - whole_bits;
    }
    return differs == 0;
}

/* Odd ones count as the one before. */
static size_t to_decimals(const double *values, size_t count, unsigned scale, uint64_t *ret_wholes)
{
    size_t odd = 0;
    int64_t last = 0;
    for (size_t from = 0; from < count; from += BITS_BLOCK) {
        size_t to = count - from > BITS_BLOCK ? from + BITS_BLOCK : count;
        if (to - from == BITS_BLOCK && block_to_decimals(values + from, tens[scale], ret_wholes + from)) {
            last = (int64_t)ret_wholes[to - 1];
            continue;
        }
        for (size_t i = from; i < to; i++) {
            int64_t whole;
            if (decimal_of(values[i], scale, &whole)) {
                last = whole;
            } else {
                odd++;
            }
            ret_wholes[i] = (uint64_t)last;
        }
    }
    return odd;
}

static void put_decimals(struct buf *out, const double *values, size_t count, unsigned scale, size_t odd,
                         const uint64_t *wholes, const struct bits_plan *plan)
{
    buf_put_u8(out, (uint8_t)(scale | (odd ? HAS_ODD : 0)));
    if (odd == 0) {
        bits_put(out, wholes, count, plan);
        return;
    }
    buf_put_varint(out, odd);
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t whole;
        if (!decimal_of(values[i], scale, &whole)) {
            buf_put_varint(out, i - next);
            buf_put_f64(out, values[i]);
            next = i + 1;
        }
    }
    bits_put(out, wholes, count, plan);
}

/* ---- patterns ---- */

/* As whole numbers in the order of the doubles, -0 below 0. */
static unsigned to_patterns(const double *values, size_t count, uint64_t *ret_wholes)
{
    uint64_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= pattern_of(values[i]);
    }
    any &= ~sign_bit;
    unsigned zeros = any ? (unsigned)__builtin_ctzll(any) : 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = pattern_of(values[i]), size = (bits & ~sign_bit) >> zeros;
        ret_wholes[i] = bits & sign_bit ? ~size : size;
    }
    return zeros;
}

static void put_patterns(struct buf *out, const double *values, size_t count, uint64_t *wholes)
{
    unsigned zeros = to_patterns(values, count, wholes);
    struct bits_plan plan = bits_plan(wholes, count);
    buf_put_u8(out, (uint8_t)(IS_PATTERNS | zeros));
    bits_put(out, wholes, count, &plan);
}

/* Whether the numbers' bit patterns would take less. */
static bool patterns_win(const double *values, size_t count, unsigned scale, size_t odd, uint64_t cost,
                         uint64_t *scratch)
{
    if (odd == 0 && scale <= SURE_SCALE) {
        return false;
    }
    to_patterns(values, count, scratch);
    return bits_plan(scratch, count).cost < cost + odd * ODD_BITS;
}

static bool try_decimals(struct buf *out, const double *values, size_t count, uint64_t *wholes,
                         uint64_t *scratch)
{
    unsigned scale = 0;
    if (!choose_scale(values, count, &scale)) {
        return false;
    }
    size_t odd = to_decimals(values, count, scale, wholes);
    if (odd > count / ODD_SHARE) {
        return false;
    }
    struct bits_plan plan = bits_plan(wholes, count);
    if (patterns_win(values, count, scale, odd, plan.cost, scratch)) {
        return false;
    }
    put_decimals(out, values, count, scale, odd, wholes, &plan);
    return true;
}

void reals_put(struct buf *out, const double *values, size_t count)
{
    uint64_t *wholes = malloc(2 * count * sizeof *wholes);
    if (!wholes) {
        out->failed = true;
        return;
    }
    if (!try_decimals(out, values, count, wholes, wholes + count)) {
        put_patterns(out, values, count, wholes);
    }
    free(wholes);
}

/* ---- from bytes ---- */

static void next_odd(struct reals_reader *reader)
{
    reader->odd_at += cursor_varint(&reader->odd);
}

/* Behind the odd ones, which stay where they are for later, come the others. */
static void skip_odd(struct reals_reader *reader, struct cursor *in, size_t count)
{
    reader->odd_left = cursor_varint(in);
    in->failed |= reader->odd_left > count;
    reader->odd = *in;
    for (size_t i = 0, at = 0; i < reader->odd_left && !in->failed; i++, at++) {
        uint64_t gap = cursor_varint(in);
        in->failed |= gap >= count - at;
        at += in->failed ? 0 : gap;
        cursor_bytes(in, sizeof(double));
    }
    next_odd(reader);
}

void reals_open(struct reals_reader *reader, struct cursor in, size_t count)
{
    *reader = (struct reals_reader){0};
    unsigned first = cursor_u8(&in);
    reader->is_decimal = !(first & IS_PATTERNS);
    reader->scale = first & (reader->is_decimal ? SCALE_MASK : ZEROS_MASK);
    in.failed |= first > (reader->is_decimal ? HAS_ODD | SCALE_MASK : IS_PATTERNS | ZEROS_MASK);
    if (reader->is_decimal && first & HAS_ODD && !in.failed) {
        skip_odd(reader, &in, count);
    }
    bits_open(&reader->bits, in, count);
}

static void put_odd(struct reals_reader *reader, size_t count, double *values)
{
    while (reader->odd_left > 0 && reader->odd_at < reader->at + count) {
        values[reader->odd_at - reader->at] = cursor_f64(&reader->odd);
        reader->odd_at++;
        if (--reader->odd_left > 0) {
            next_odd(reader);
        }
    }
}

static inline void from_wholes(const struct reals_reader *reader, const uint64_t *wholes, size_t count,
                               double *ret_values)
{
    const double ten = tens[reader->is_decimal ? reader->scale : 0];
    const unsigned zeros = reader->scale;
    for (size_t i = 0; reader->is_decimal && i < count; i++) {
        ret_values[i] = (of_pattern(wholes[i] + pattern_of(round_up)) - round_up) / ten;
    }
    for (size_t i = 0; !reader->is_decimal && i < count; i++) {
        uint64_t sign = wholes[i] & sign_bit, size = sign ? ~wholes[i] : wholes[i];
        ret_values[i] = of_pattern(sign | size << zeros);
    }
}

size_t reals_next(struct reals_reader *reader, double ret_values[BITS_BLOCK])
{
    uint64_t wholes[BITS_BLOCK];
    size_t count = bits_next(&reader->bits, wholes);
    if (count == BITS_BLOCK) { /* a number that is known makes vectors of it */
        from_wholes(reader, wholes, BITS_BLOCK, ret_values);
    } else {
        from_wholes(reader, wholes, count, ret_values);
    }
    if (reader->is_decimal) {
        put_odd(reader, count, ret_values);
    }
    reader->at += count;
    return count;
}
