/* What a live engine is compared with: offline ones over the rows of its world, as of any times that rise. */
#ifndef TESTS_UNIT_ENGINE_REFERENCE_H
#define TESTS_UNIT_ENGINE_REFERENCE_H

#include <unit/engine/world.h>
#include <unit/score/rng.h>

struct shown {   /* a node, kept longer than its engine */
    char *place; /* "org node" */
    poise_score numbers;
    int64_t as_of_ms;
};
struct picture {
    struct shown *items; /* in the order in which they were shown */
    size_t count, capacity;
};
poise_code picture_add(void *picture, const poise_state *state);                    /* a visitor of states */
const struct shown *picture_find(const struct picture *picture, const char *place); /* the first, or NULL */
void picture_clear(struct picture *picture);
/* Of all scorecards (card NULL) or one. */
void picture_take(struct picture *picture, const struct engine *engine, const char *card);
void assert_same_pictures(const struct picture *got, const struct picture *wanted);

/* An offline engine that has the first rows of a world. */
struct engine *reference_open(const struct engine_options *options, const struct world *world, size_t rows);
void reference_move(struct engine *reference, int64_t as_of_ms);

/* A row about now, often late, on few instants, so that times tie; of the inputs a, b, c, d and l. */
poise_measurement random_row(struct rng *rng, int64_t now_ms, int64_t latest_days);

#endif
