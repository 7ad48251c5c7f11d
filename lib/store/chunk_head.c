#include "chunk_inner.h"
#include <base/hash.h>
#include <math.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

enum {
    FRACTION_BITS = 52,
    EXPONENTS = 2047, /* this one is infinity's */
    ONE = 1075,       /* exponent of a double whose fraction counts ones */
    SPAN_MAX = 56     /* of exponents: with 53 bits, and 2^16 rows, a sum stays below 2^126 */
};

static bool may_not_stand(unsigned flags)
{
    return flags & (CHUNK_HAS_GONE | CHUNK_HAS_RETRACT);
}

struct summing {
    const struct chunk_rows *rows;
    bool all_stand;
};

static inline bool stands(const struct summing *of, size_t i)
{
    const struct chunk_rows *rows = of->rows;
    return of->all_stand || (!(rows->gone && rows->gone[i]) && !(rows->retract && rows->retract[i]));
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static unsigned exponent_of(uint64_t bits)
{
    unsigned exponent = (unsigned)(bits >> FRACTION_BITS) & EXPONENTS;
    return exponent > 0 ? exponent : 1; /* subnormals */
}

static uint64_t fraction_of(uint64_t bits)
{
    uint64_t implied = UINT64_C(1) << FRACTION_BITS;
    return (bits & (implied - 1)) | ((bits >> FRACTION_BITS & EXPONENTS) > 0 ? implied : 0);
}

/* ---- the exact sum ---- */

static bool span_of(const struct summing *of, unsigned *ret_least)
{
    unsigned least = EXPONENTS, most = 1;
    for (size_t i = 0; i < of->rows->count; i++) {
        uint64_t bits = bits_of(of->rows->value[i]);
        if (bits << 1 != 0 && stands(of, i)) {
            unsigned exponent = exponent_of(bits);
            least = exponent < least ? exponent : least;
            most = exponent > most ? exponent : most;
        }
    }
    *ret_least = least;
    return most < EXPONENTS && (least > most || most - least <= SPAN_MAX);
}

/* size x 2^exponent as doubles of 53 bits each. */
static bool split(u128 size, bool negative, int exponent, double ret_sum[3])
{
    for (size_t part = 0; part < 3; part++) {
        unsigned width = size >> 64 ? 128 - (unsigned)__builtin_clzll((uint64_t)(size >> 64))
                         : size     ? 64 - (unsigned)__builtin_clzll((uint64_t)size)
                                    : 0;
        unsigned below = width > 53 ? width - 53 : 0;
        uint64_t top = (uint64_t)(size >> below);
        size -= (u128)top << below;
        double value = ldexp((double)top, exponent + (int)below);
        ret_sum[part] = negative ? -value : value;
    }
    return isfinite(ret_sum[0]);
}

static bool sum(const struct summing *of, double ret_sum[3])
{
    unsigned least;
    u128 total = 0; /* two's complement */
    if (!span_of(of, &least)) {
        return false;
    }
    for (size_t i = 0; i < of->rows->count; i++) {
        uint64_t bits = bits_of(of->rows->value[i]);
        if (bits << 1 != 0 && stands(of, i)) {
            u128 term = (u128)fraction_of(bits) << (exponent_of(bits) - least);
            total += bits >> 63 ? -term : term;
        }
    }
    bool negative = total >> 127;
    return split(negative ? -total : total, negative, (int)least - ONE, ret_sum);
}

static void extremes(const struct summing *of, double *ret_min, double *ret_max)
{
    double min = INFINITY, max = -INFINITY;
    for (size_t i = 0; i < of->rows->count; i++) {
        if (stands(of, i)) {
            min = of->rows->value[i] < min ? of->rows->value[i] : min;
            max = of->rows->value[i] > max ? of->rows->value[i] : max;
        }
    }
    *ret_min = min;
    *ret_max = max;
}

struct chunk_head chunk_head_of(const struct chunk_rows *rows, unsigned flags)
{
    struct summing of = {.rows = rows, .all_stand = !may_not_stand(flags)};
    struct chunk_head head = {.rows = (uint32_t)rows->count,
                              .min_time_ms = rows->time_ms[0],
                              .max_time_ms = rows->time_ms[rows->count - 1]};
    for (size_t i = 0; i < rows->count; i++) {
        head.standing += stands(&of, i);
    }
    if (head.standing >= CHUNK_SUMMARY_ROWS && sum(&of, head.sum)) {
        head.summed = true;
        extremes(&of, &head.min, &head.max);
    }
    return head;
}

/* ---- bytes ---- */

void chunk_head_put(struct buf *out, const struct chunk_head *head, unsigned flags)
{
    buf_put_u8(out, CHUNK_FORMAT);
    buf_put_u8(out, (uint8_t)(flags | (head->summed ? CHUNK_SUMMED : 0)));
    buf_put_varint(out, head->rows);
    if (may_not_stand(flags)) {
        buf_put_varint(out, head->standing);
    }
    buf_put_svarint(out, head->min_time_ms);
    buf_put_varint(out, (uint64_t)head->max_time_ms - (uint64_t)head->min_time_ms);
    if (head->summed) {
        unsigned parts = head->sum[2] != 0 ? 3 : head->sum[1] != 0 ? 2 : 1;
        buf_put_f64(out, head->min);
        buf_put_f64(out, head->max);
        buf_put_u8(out, (uint8_t)parts);
        for (unsigned i = 0; i < parts; i++) {
            buf_put_f64(out, head->sum[i]);
        }
    }
}

static void take_summary(struct cursor *in, struct chunk_head *head)
{
    head->min = cursor_f64(in);
    head->max = cursor_f64(in);
    unsigned parts = cursor_u8(in);
    in->failed |= parts < 1 || parts > 3;
    for (unsigned i = 0; i < parts && !in->failed; i++) {
        head->sum[i] = cursor_f64(in);
    }
}

void chunk_head_take(struct cursor *in, struct chunk_head *ret_head, unsigned *ret_flags)
{
    unsigned flags = cursor_u8(in);
    uint64_t rows = cursor_varint(in), standing = may_not_stand(flags) ? cursor_varint(in) : rows;
    in->failed |= flags > CHUNK_FLAGS || rows == 0 || rows > CHUNK_ROWS_MAX || standing > rows;
    struct chunk_head head = {.rows = (uint32_t)rows,
                              .standing = (uint32_t)standing,
                              .min_time_ms = cursor_svarint(in),
                              .has_of = flags & CHUNK_HAS_OF,
                              .has_keys = flags & CHUNK_HAS_KEYS,
                              .summed = flags & CHUNK_SUMMED};
    uint64_t length = cursor_varint(in);
    in->failed |= length > (uint64_t)INT64_MAX - (uint64_t)head.min_time_ms;
    head.max_time_ms = (int64_t)((uint64_t)head.min_time_ms + length);
    if (head.summed) {
        take_summary(in, &head);
    }
    *ret_head = head;
    *ret_flags = flags;
}

uint32_t chunk_crc(uint64_t series, const void *bytes, size_t length)
{
    uint8_t name[8];
    for (size_t i = 0; i < sizeof name; i++) {
        name[i] = (uint8_t)(series >> 8 * i);
    }
    return crc32c(name, sizeof name) ^ crc32c(bytes, length);
}
