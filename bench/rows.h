/* The rows of workload W and its variants in the order in which they are sent: every tick all series, line by
 * line. The same on every run. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>
#include <stdint.h>

enum { MEASURES = 48, PLANTS = 10, LINES = 208, TICK_MS = 10000 };

enum variant {
    VARIANT_PLAIN,
    VARIANT_LATE, /* 1 % of the rows come an hour late, 1 % are corrected after 10 minutes; the latter have
                     keys */
    VARIANT_KEYED /* all rows have keys, 10 % are corrected after 10 minutes */
};

struct row {
    uint32_t series, tick;
    double value;
    bool keyed;
    bool late;
    bool corrects; /* takes the place of the one of the same series and tick, which said value - 1 */
};

/* False: the name is none of plain, late, keyed. */
bool rows_variant(const char *name, enum variant *ret_variant);

/* Dies without memory. */
void rows_each(uint32_t lines, uint32_t ticks, enum variant variant,
               void (*visit)(void *context, const struct row *row), void *context);
/* How many are visited. */
uint64_t rows_count(uint32_t lines, uint32_t ticks, enum variant variant);

#endif
