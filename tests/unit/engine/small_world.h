/* A world with one small scorecard at the evening of 1 March 2026. */
#ifndef TESTS_UNIT_ENGINE_SMALL_WORLD_H
#define TESTS_UNIT_ENGINE_SMALL_WORLD_H

#include <unit/engine/world.h>

#define MARCH INT64_C(1772323200000) /* 2026-03-01 */
#define DAY   INT64_C(86400000)
#define APRIL (MARCH + 31 * DAY)

extern const char small_yaml[]; /* sum of input a, max_ahead 1h; max of input b */

struct fixture {
    struct scorecard *card;
    const struct scorecard *cards[1];
    struct engine_options options;
    struct world world;
};

struct wanted {
    const char *node;
    double value;
    bool met;
};

int small_setup(void **state); /* T is MARCH + DAY, as is the clock of give */
int small_teardown(void **state);

poise_measurement event(const char *measure, const char *org, double value); /* just after MARCH */
poise_measurement keyed(const char *key, uint64_t seq, double value);        /* of a, at the root */
poise_refusal give(struct fixture *f, poise_measurement row);
void accept(struct fixture *f, poise_measurement row);

/* Settled, at the root or an org. */
double value_at(struct fixture *f, const char *node, const char *org);
double sum(struct fixture *f);
double max(struct fixture *f);

/* Visitors of states. */
poise_code find_value(void *wanted, const poise_state *state);
poise_code count_visit(void *count, const poise_state *state); /* an int */

#endif
