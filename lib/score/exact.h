/* Exact sums: doubles and products of two doubles are added and taken away without error, in any order, and
 * rounded once (to nearest, ties to even). Terms are valid numbers of model/measurement.h, so every sum fits.
 *
 * A sum is a two's complement fixed-point number. Most streams need few bits: it is a window of 192 bits,
 * placed around the first term and moved when a term falls outside, and becomes a wide one (heap) only when
 * no window holds it. After Kulisch's long accumulator ("Computer Arithmetic and Validity", 2008). */
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
/* Has a sum of 0 begin with the window of another, if that has one, so that they are merged quickly. */
void exact_liken(struct exact *sum, const struct exact *other);
bool exact_merge(struct exact *sum, const struct exact *other); /* adds other; likewise */
double exact_round(const struct exact *sum);                    /* never -0 */

/* The sample variance (n - 1) of n >= 2 terms from their exact sum and that of their squares: computed
 * exactly and rounded once; never below 0; infinite where it is too large. */
double exact_variance(const struct exact *sum, const struct exact *squares, uint64_t n);

/* Bytes for a checkpoint: equal sums have equal bytes, whatever their history. */
struct buf;
struct cursor;
void exact_encode(const struct exact *sum, struct buf *out);
/* ECORRUPT, ENOMEM; sum must be zeroed. */
poise_code exact_decode(struct exact *sum, struct cursor *in);

#endif
