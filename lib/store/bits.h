/* Columns of whole numbers in few bits. A column is coded as its numbers, their differences or the
 * differences of those, whichever takes least; what is left is cut into blocks of 64, each packed in as many
 * bits as its widest wants. Arithmetic is modulo 2^64, so that every column comes back as it was.
 * docs/series-store.md has the bytes. */
#ifndef STORE_BITS_H
#define STORE_BITS_H

#include <base/buf.h>

enum { BITS_BLOCK = 64 };

struct bits_plan {
    unsigned order; /* 0: the numbers themselves, 1: differences, 2: differences of differences */
    uint64_t base;  /* the least (as int64) of what is coded */
    bool flat;      /* all that is coded is base */
    uint64_t cost;  /* bits that the blocks take, about */
};
struct bits_plan bits_plan(const uint64_t *values, size_t count);
/* Appends a column of at least one number. */
void bits_put(struct buf *out, const uint64_t *values, size_t count, const struct bits_plan *plan);

struct bits_reader {
    struct cursor in; /* failed: the bytes are not of a column */
    size_t left;      /* numbers to come */
    uint64_t base, value, delta;
    unsigned order;
    bool flat;
};
void bits_open(struct bits_reader *reader, struct cursor in, size_t count);
/* The next 64, or what is left: returns how many; 0 at the end, or when reader->in has failed. */
size_t bits_next(struct bits_reader *reader, uint64_t ret_values[BITS_BLOCK]);

#endif
