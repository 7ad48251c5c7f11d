/* What the files of accumulators share: accumulator.c counts, accumulator_bytes.c is for checkpoints. */
#ifndef SCORE_ACCUMULATOR_INTERNAL_H
#define SCORE_ACCUMULATOR_INTERNAL_H

#include <score/accumulator.h>
#include <score/quantile.h>

/* The parts follow the count in the order of their bits. */
struct accumulator {
    uint64_t count;
};

enum part { VALUE, OF, PRODUCT, SQUARE, MIN, MAX, FIRST, LAST, NEWEST, QUANTILE };
_Static_assert(1 << QUANTILE == PART_QUANTILE && QUANTILE + 1 == ACCUMULATOR_PARTS,
               "enum part names the bits");

/* The part, or NULL where the layout has none. */
static inline void *part_of(const struct accumulator_layout *layout, struct accumulator *cell, enum part part)
{
    return layout->at[part] ? (char *)cell + layout->at[part] : NULL;
}

static inline const void *find_part(const struct accumulator_layout *layout, const struct accumulator *cell,
                                    enum part part)
{
    return layout->at[part] ? (const char *)cell + layout->at[part] : NULL;
}

/* A part that the layout has. */
static inline const void *read_part(const struct accumulator_layout *layout, const struct accumulator *cell,
                                    enum part part)
{
    return (const char *)cell + layout->at[part];
}

static inline const struct quantile *values_of(const struct accumulator_layout *layout,
                                               const struct accumulator *cell)
{
    return *(struct quantile *const *)read_part(layout, cell, QUANTILE);
}

#endif
