/* What quantiles need of a cell's values (scoring.md section 2): up to 64 all of them, sorted; above that a
 * histogram. Values go in and out in any order; but the way back from a histogram to the values is to read
 * them again.
 *
 * A bucket i holds the sizes in (gamma^(i - 1), gamma^i], gamma = 1.01/0.99, so that its estimate is within
 * 1 % of each; positive and negative values have buckets of their own, 0 too, and none is ever joined with
 * another. */
#ifndef SCORE_QUANTILE_H
#define SCORE_QUANTILE_H

#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUANTILE_EXACT = 64 };

struct quantile; /* NULL: no values. Their number n is the caller's to know. */

void quantile_free(struct quantile *values);
/* Valid numbers of model/measurement.h. false: out of memory (or of numbers for a bucket: 2^48), and *values
 * is of no use but to be freed. */
bool quantile_add(struct quantile **values, double x);
bool quantile_merge(struct quantile **into, const struct quantile *from);
/* x was added before. */
void quantile_remove(struct quantile *values, double x);
/* Whether n values should be known and are only counted, as some were taken away. */
bool quantile_is_lossy(const struct quantile *values, uint64_t n);
/* The nearest rank of n >= 1 values: the (percent n + 99) div 100-th smallest. */
double quantile_value(const struct quantile *values, uint64_t n, int percent);

/* Equal contents have equal bytes; values that are lossy have none. */
struct buf;
struct cursor;
void quantile_encode(const struct quantile *values, uint64_t n, struct buf *out);
/* ECORRUPT, ENOMEM; *values must be NULL. */
poise_code quantile_decode(struct quantile **values, uint64_t n, struct cursor *in);

/* The smallest i with gamma^i >= size (above 0): of the real numbers, not of rounded ones, so that it is the
 * same everywhere. */
int quantile_bucket(double size);
double quantile_estimate(int bucket); /* 2 gamma^i / (gamma + 1) */

#endif
