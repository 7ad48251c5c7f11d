/* What is kept of a period's measurements: a count and exact sums, which form a group, and extremes and the
 * values of quantiles, which do not (taking an extreme away, or the 65th value, asks for the period to be
 * read again). Which parts a cell has is its layout's affair. Pure: no I/O, no clock. */
#ifndef SCORE_ACCUMULATOR_H
#define SCORE_ACCUMULATOR_H

#include <base/hash.h>
#include <model/scorecard.h>
#include <score/exact.h>

/* One counted measurement. */
struct sample {
    int64_t time_ms;
    double value, of;
    uint32_t source;  /* id in the layout's sources */
    uint64_t rank;    /* seq, or the ordinal where there is none */
    uint64_t ordinal; /* place in the journal: 1, 2, ... */
};

enum accumulator_part {                   /* every cell counts */
                        PART_VALUE = 1,   /* exact sum of value */
                        PART_OF = 2,      /* exact sum of `of` */
                        PART_PRODUCT = 4, /* exact sum of value * of */
                        PART_SQUARE = 8,  /* exact sum of value * value */
                        PART_MIN = 16,
                        PART_MAX = 32,
                        PART_FIRST = 64,
                        PART_LAST = 128,
                        PART_NEWEST = 256,  /* the latest time */
                        PART_QUANTILE = 512 /* the values, or a histogram of them */
};
enum { ACCUMULATOR_PARTS = 10 };
/* What the aggregate, min_of and max_age of a measure need; of a formula 0. */
uint32_t measure_parts(const struct measure *measure);

struct accumulator_layout {
    uint32_t parts;
    uint16_t at[ACCUMULATOR_PARTS]; /* offset of each part, in the order of their bits; 0: absent */
    uint16_t size;                  /* bytes of a cell's accumulator, 8-byte aligned */
    const struct intern *sources;   /* first and last break ties by the source's text */
};
struct accumulator_layout accumulator_layout(uint32_t parts, const struct intern *sources);

struct accumulator; /* layout->size bytes, zeroed = empty */
/* Empties it and frees what it holds, not itself. */
void accumulator_clear(const struct accumulator_layout *layout, struct accumulator *cell);
/* false: out of memory; the accumulator is of no use any more. */
bool accumulator_add(const struct accumulator_layout *layout, struct accumulator *cell,
                     const struct sample *sample);
/* What samples with `of` 1 come to. */
struct sample_sum {
    uint64_t count; /* above 0 */
    double min, max;
    double sum[3]; /* of the values: exactly that of the three */
    int64_t newest_ms;
};
/* Whether samples as a sum are all that it wants of them. */
bool accumulator_takes_sums(const struct accumulator_layout *layout);
bool accumulator_add_sum(const struct accumulator_layout *layout, struct accumulator *cell,
                         const struct sample_sum *sum); /* false as in accumulator_add */
/* Has the sums of an empty accumulator begin where those of another, of which it becomes a part, have their
 * digits, so that it is merged quickly. It stays empty. */
void accumulator_liken(const struct accumulator_layout *layout, struct accumulator *cell,
                       const struct accumulator *whole);
/* Takes a counted sample away; *ret_reread is set (never cleared) where it was an extreme, or left values
 * that are to be exact (score/quantile.h) in a histogram: accumulator_clear and add the period's samples
 * again before reading, merging or encoding. next: what is added in its place before that (NULL: nothing);
 * where it is as extreme nothing need be read. false as in accumulator_add. */
bool accumulator_remove(const struct accumulator_layout *layout, struct accumulator *cell,
                        const struct sample *sample, const struct sample *next, bool *ret_reread);
/* Adds all that `from`, another cell, has; false: out of memory, and `into` is of no use any more. */
bool accumulator_merge(const struct accumulator_layout *layout, struct accumulator *into,
                       const struct accumulator *from);
uint64_t accumulator_count(const struct accumulator *cell);

/* The value of the measure's aggregate; NaN: no data; *ret_overflow is set (never cleared) where it was not
 * finite. */
double accumulator_value(const struct accumulator_layout *layout, const struct accumulator *cell,
                         const struct measure *measure, bool *ret_overflow);
double accumulator_of(const struct accumulator_layout *layout,
                      const struct accumulator *cell); /* needs PART_OF */
int64_t accumulator_newest(const struct accumulator_layout *layout,
                           const struct accumulator *cell); /* needs PART_NEWEST; INT64_MIN: empty */

/* For checkpoints: equal contents have equal bytes. Decoding wants an empty accumulator, and leaves it empty
 * where it fails: ECORRUPT, ENOMEM. */
void accumulator_encode(const struct accumulator_layout *layout, const struct accumulator *cell,
                        struct buf *out);
poise_code accumulator_decode(const struct accumulator_layout *layout, struct accumulator *cell,
                              struct cursor *in);

#endif
