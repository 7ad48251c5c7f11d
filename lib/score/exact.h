/* Exact sums: doubles and products of two doubles are added and taken away without error, in any order, and
 * rounded once (to nearest, ties to even). Terms are valid numbers of model/measurement.h, so every sum fits.
 *
 * A sum is a two's complement fixed-point number. Most streams need few bits: it starts as a window of 192
 * bits placed around its first term and moves to a wide one (heap) only when a term falls outside. After
 * Kulisch's long accumulator (U. Kulisch, "Computer Arithmetic and Validity", 2008). */
#ifndef SCORE_EXACT_H
#define SCORE_EXACT_H

#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXACT_WINDOW_LIMBS = 3 };

struct exact {
    union {
        uint64_t window[EXACT_WINDOW_LIMBS];
        uint64_t *wide;
    };
    int16_t exponent; /* of the window's lowest bit */
    uint8_t form;     /* 0: the sum is 0 and has no window yet */
};

void exact_free(struct exact *sum);          /* a zeroed exact is 0 and fine; leaves it zeroed */
bool exact_add(struct exact *sum, double x); /* false: out of memory, sum unchanged; add -x to take x away */
bool exact_add_product(struct exact *sum, double a, double b); /* adds a * b; likewise */
double exact_round(const struct exact *sum);                   /* never -0 */

/* Bytes for a checkpoint: equal sums have equal bytes, whatever their history. */
struct buf;
struct cursor;
void exact_encode(const struct exact *sum, struct buf *out);
/* ECORRUPT, ENOMEM; sum must be zeroed. */
poise_code exact_decode(struct exact *sum, struct cursor *in);

#endif
