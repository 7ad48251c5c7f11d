/* Power cuts: a program lives under the recorder, many lives long, each but the last ended by kill -9 in the
 * middle of something, and some of them by a power cut; then, for many moments of what it did, the files are
 * made as a disk may hold them after a power cut just then, and a check opens them.
 *
 * POISE_POINTS=100000 checks so many moments instead of the usual number; POISE_SEED=7 makes other lives and
 * other losses; POISE_POINT=123 checks that one of them alone and leaves its files there. */
#ifndef FAULT_LOST_H
#define FAULT_LOST_H

#include "recorder.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct lost_mark {
    uint32_t mark;
    uint64_t a, b;
};

/* What the program had said by then; and what it said later, for who wants to know how it went on. */
struct lost_marks {
    const struct lost_mark *marks;
    size_t until, count;
};

enum lost_life {
    LIFE_AGAIN, /* it ended by itself, another follows */
    LIFE_LAST   /* it did all there was to do */
};

struct lost_test {
    const char *name;
    size_t points;
    unsigned lives; /* at least; those before the last end after 20 to 20 + kill_within operations */
    unsigned kill_within;
    /* In a process of its own. */
    enum lost_life (*live)(const char *directory, uint64_t seed, unsigned life);
    /* In the test's process; fails by cmocka. */
    void (*check)(const char *directory, const struct lost_marks *marks, uint64_t seed);
};

/* What a life may do next; the test says what its work is. */
struct work;
struct lost_step {
    unsigned often; /* beside the others */
    void (*do_it)(struct work *work);
};
/* One of them, by a number drawn from all. */
void lost_step(const struct lost_step *steps, size_t count, uint64_t drawn, struct work *work);

void lost_run(const struct lost_test *test);
/* A cmocka teardown: says at which point the test failed, and removes the files. */
int lost_tell(void **state);

#endif
