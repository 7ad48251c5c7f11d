/* The values of workload W: a third each random walk with two decimals, counter, noisy double. The same on
 * every run. */
#ifndef BENCH_VALUES_H
#define BENCH_VALUES_H

#include <stdint.h>

struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);
int64_t random_between(struct random *random, int64_t low, int64_t high);
/* The next value of a series; *last is what it remembers. */
double next_value(struct random *random, uint32_t series, int64_t *last);

#endif
