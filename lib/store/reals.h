/* Columns of doubles in few bits, to the bit (no NaN). Where most of them are decimals with few digits behind
 * the point they are coded as whole numbers, those that are not beside them; otherwise as their bit patterns,
 * in the order of the numbers and without the zeros that all end in. docs/series-store.md has the bytes. */
#ifndef STORE_REALS_H
#define STORE_REALS_H

#include "bits.h"

/* Appends a column of at least one number. Out of memory: out has failed. */
void reals_put(struct buf *out, const double *values, size_t count);

struct reals_reader {
    struct bits_reader bits; /* bits.in failed: the bytes are not of a column */
    struct cursor odd;       /* numbers that are no such decimals */
    size_t odd_left, odd_at; /* how many; the row of the next */
    size_t at;
    bool is_decimal;
    unsigned scale; /* digits behind the point, or the zeros that all patterns end in */
};
void reals_open(struct reals_reader *reader, struct cursor in, size_t count);
size_t reals_next(struct reals_reader *reader, double ret_values[BITS_BLOCK]); /* as bits_next */

#endif
