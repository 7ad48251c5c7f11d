#include "bits.h"
#include <string.h>

enum {
    ORDERS = 3,
    ORDER_MASK = 3,
    FLAT = 4,        /* in a column's first byte: it has no blocks */
    OWN_BASE = 0x80, /* in a block's first byte: a base follows */
    WORD = 8
};

static unsigned width_of(uint64_t value)
{
    return value ? 64 - (unsigned)__builtin_clzll(value) : 0;
}

/* To and from bytes in that order. */
static inline uint64_t little_endian(uint64_t word)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? word : __builtin_bswap64(word);
}

static size_t packed_size(size_t count, unsigned width)
{
    return (count * width + 7) / 8;
}

static size_t varint_size(uint64_t value)
{
    return (width_of(value | 1) + 6) / 7;
}

static uint64_t zigzag(uint64_t value)
{
    return value << 1 ^ (value >> 63 ? UINT64_MAX : 0);
}

/* ---- choosing ---- */

struct range {
    int64_t low, high;
};

static void range_add(struct range *range, uint64_t value)
{
    int64_t x = (int64_t)value;
    range->low = x < range->low ? x : range->low;
    range->high = x > range->high ? x : range->high;
}

/* Equal numbers or equal steps: most columns of times and places. */
static bool is_flat(const uint64_t *values, size_t count)
{
    uint64_t step = count > 1 ? values[1] - values[0] : 0, other = 0;
    for (size_t i = 1; i < count; i++) {
        other |= (values[i] - values[i - 1]) ^ step;
    }
    return other == 0;
}

struct planning {
    struct range all[ORDERS];
    uint64_t cost[ORDERS];
};

/* The first numbers of a column stand in its head: they have no difference. */
static void plan_block(struct planning *planning, const uint64_t *values, size_t from, size_t to)
{
    struct range blocks[ORDERS];
    for (size_t i = 0; i < ORDERS; i++) {
        blocks[i] = (struct range){INT64_MAX, INT64_MIN};
    }
    for (size_t i = from; i < to && i < 2; i++) {
        range_add(&blocks[0], values[i]);
        if (i == 1) {
            range_add(&blocks[1], values[1] - values[0]);
        }
    }
    for (size_t i = from < 2 ? 2 : from; i < to; i++) {
        uint64_t delta = values[i] - values[i - 1], before = values[i - 1] - values[i - 2];
        range_add(&blocks[0], values[i]);
        range_add(&blocks[1], delta);
        range_add(&blocks[2], delta - before);
    }
    for (size_t i = 0; i < ORDERS; i++) {
        struct range *all = &planning->all[i];
        if (blocks[i].low <= blocks[i].high) {
            planning->cost[i] +=
                (to - from) * width_of((uint64_t)blocks[i].high - (uint64_t)blocks[i].low) + 8;
            all->low = blocks[i].low < all->low ? blocks[i].low : all->low;
            all->high = blocks[i].high > all->high ? blocks[i].high : all->high;
        }
    }
}

/* What bits_put puts before the blocks. */
static void add_heads(struct planning *planning, const uint64_t *values, size_t count)
{
    uint64_t first = varint_size(zigzag(values[0]));
    for (size_t i = 0; i < ORDERS; i++) {
        planning->cost[i] += 8 * varint_size(zigzag((uint64_t)planning->all[i].low));
    }
    planning->cost[1] += 8 * first;
    planning->cost[2] += 8 * (first + (count > 1 ? varint_size(zigzag(values[1] - values[0])) : 0));
}

struct bits_plan bits_plan(const uint64_t *values, size_t count)
{
    if (is_flat(values, count)) {
        uint64_t step = count > 1 ? values[1] - values[0] : 0;
        return step ? (struct bits_plan){.order = 1, .base = step, .flat = true}
                    : (struct bits_plan){.order = 0, .base = values[0], .flat = true};
    }
    struct planning planning;
    for (size_t i = 0; i < ORDERS; i++) {
        planning.all[i] = (struct range){INT64_MAX, INT64_MIN};
        planning.cost[i] = 0;
    }
    for (size_t from = 0; from < count; from += BITS_BLOCK) {
        plan_block(&planning, values, from, count - from > BITS_BLOCK ? from + BITS_BLOCK : count);
    }
    add_heads(&planning, values, count);
    unsigned best = 0;
    for (unsigned i = 1; i < ORDERS; i++) {
        if (planning.cost[i] < planning.cost[best] && planning.all[i].low <= planning.all[i].high) {
            best = i;
        }
    }
    return (struct bits_plan){.order = best,
                              .base = (uint64_t)planning.all[best].low,
                              .flat = planning.all[best].low == planning.all[best].high,
                              .cost = planning.cost[best]};
}

/* ---- to bytes ---- */

static void pack(struct buf *out, const uint64_t *values, size_t count, unsigned width)
{
    size_t size = packed_size(count, width);
    if (width == 0 || !buf_reserve(out, size + WORD)) {
        return;
    }
    uint8_t *at = out->data + out->length;
    uint64_t word = 0;
    unsigned fill = 0;
    for (size_t i = 0; i < count; i++) {
        word |= values[i] << fill;
        fill += width;
        if (fill >= 64) {
            uint64_t little = little_endian(word);
            memcpy(at, &little, WORD);
            at += WORD;
            fill -= 64;
            word = fill ? values[i] >> (width - fill) : 0;
        }
    }
    uint64_t little = little_endian(word);
    memcpy(at, &little, WORD); /* into the reserve, where nothing is left over */
    out->length += size;
}

/* What is coded of values[from..to); the first `order` of a column count as the base. */
static void residuals(const uint64_t *values, size_t from, size_t to, const struct bits_plan *plan,
                      uint64_t *ret_residuals)
{
    size_t i = from;
    for (; i < to && i < plan->order; i++) {
        ret_residuals[i - from] = plan->base;
    }
    for (; i < to; i++) {
        uint64_t x = values[i];
        if (plan->order > 0) {
            x -= values[i - 1];
        }
        if (plan->order > 1) {
            x -= values[i - 1] - values[i - 2];
        }
        ret_residuals[i - from] = x;
    }
}

static void put_block(struct buf *out, uint64_t *block, size_t count, uint64_t base)
{
    struct range range = {INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < count; i++) {
        range_add(&range, block[i]);
    }
    unsigned shared = width_of((uint64_t)range.high - base);
    unsigned own = width_of((uint64_t)range.high - (uint64_t)range.low);
    uint64_t above = (uint64_t)range.low - base;
    bool is_own = packed_size(count, own) + varint_size(zigzag(above)) < packed_size(count, shared);
    unsigned width = is_own ? own : shared;
    buf_put_u8(out, (uint8_t)(width | (is_own ? OWN_BASE : 0)));
    if (is_own) {
        buf_put_svarint(out, (int64_t)above);
        base += above;
    }
    for (size_t i = 0; i < count; i++) {
        block[i] -= base;
    }
    pack(out, block, count, width);
}

void bits_put(struct buf *out, const uint64_t *values, size_t count, const struct bits_plan *plan)
{
    buf_put_u8(out, (uint8_t)(plan->order | (plan->flat ? FLAT : 0)));
    buf_put_svarint(out, (int64_t)plan->base);
    if (plan->order > 0) {
        buf_put_svarint(out, (int64_t)values[0]);
    }
    if (plan->order > 1) {
        buf_put_svarint(out, (int64_t)(values[1] - values[0]));
    }
    uint64_t block[BITS_BLOCK];
    for (size_t from = 0; from < count && !plan->flat; from += BITS_BLOCK) {
        size_t to = count - from > BITS_BLOCK ? from + BITS_BLOCK : count;
        residuals(values, from, to, plan, block);
        put_block(out, block, to - from, plan->base);
    }
}

/* ---- from bytes ---- */

void bits_open(struct bits_reader *reader, struct cursor in, size_t count)
{
    unsigned first = cursor_u8(&in);
    *reader = (struct bits_reader){.left = count, .order = first & ORDER_MASK, .flat = first & FLAT};
    in.failed |= first > (FLAT | ORDER_MASK) || reader->order >= ORDERS;
    uint64_t base = reader->base = (uint64_t)cursor_svarint(&in);
    /* So that the first ones come out as they were, though their differences count as the base. */
    if (reader->order == 1) {
        reader->value = (uint64_t)cursor_svarint(&in) - base;
    } else if (reader->order == 2) {
        uint64_t value = (uint64_t)cursor_svarint(&in);
        reader->delta = (uint64_t)cursor_svarint(&in) - 2 * base;
        reader->value = value - reader->delta - base;
    }
    reader->in = in;
}

/* bytes holds what is packed and a word more. */
static void unpack(const uint8_t *bytes, size_t count, unsigned width, uint64_t base, uint64_t *ret_values)
{
    uint64_t mask = width < 64 ? (UINT64_C(1) << width) - 1 : UINT64_MAX;
    for (size_t i = 0, bit = 0; i < count; i++, bit += width) {
        uint64_t word;
        memcpy(&word, bytes + (bit >> 3), WORD);
        ret_values[i] = base + (little_endian(word) >> (bit & 7) & mask);
    }
    for (size_t i = 0, bit = 0; i < count && width > 57; i++, bit += width) { /* of some a byte is missing */
        unsigned skip = bit & 7;
        if (width + skip > 64) {
            uint64_t word;
            memcpy(&word, bytes + (bit >> 3), WORD);
            word = little_endian(word) >> skip | (uint64_t)bytes[(bit >> 3) + WORD] << (64 - skip);
            ret_values[i] = base + (word & mask);
        }
    }
}

static void take_block(struct bits_reader *reader, size_t count, uint64_t *ret_values)
{
    uint8_t padded[BITS_BLOCK * WORD + WORD];
    unsigned first = cursor_u8(&reader->in), width = first & ~(unsigned)OWN_BASE;
    uint64_t base = reader->base + (first & OWN_BASE ? (uint64_t)cursor_svarint(&reader->in) : 0);
    reader->in.failed |= width > 64;
    size_t size = packed_size(count, width);
    const uint8_t *bytes = cursor_bytes(&reader->in, size);
    if (!bytes) {
        return;
    }
    if (cursor_left(&reader->in) < WORD) {
        memcpy(padded, bytes, size);
        memset(padded + size, 0, WORD);
        bytes = padded;
    }
    unpack(bytes, count, width, base, ret_values);
}

/* Each and all before it; returns the last. */
static uint64_t add_up(uint64_t *values, size_t count, uint64_t before)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = before += values[i];
    }
    return before;
}

size_t bits_next(struct bits_reader *reader, uint64_t ret_values[BITS_BLOCK])
{
    size_t count = reader->left < BITS_BLOCK ? reader->left : BITS_BLOCK;
    if (reader->flat || count == 0) {
        for (size_t i = 0; i < count; i++) {
            ret_values[i] = reader->base;
        }
    } else {
        take_block(reader, count, ret_values);
    }
    if (reader->in.failed) {
        return 0;
    }
    if (reader->order == 2) {
        reader->delta = add_up(ret_values, count, reader->delta);
    }
    if (reader->order > 0) {
        reader->value = add_up(ret_values, count, reader->value);
    }
    reader->left -= count;
    return count;
}
