/* An engine with a store in memory: tables that checkpoints fill, and the journal of accepted rows to read
 * again. */
#ifndef TESTS_UNIT_ENGINE_WORLD_H
#define TESTS_UNIT_ENGINE_WORLD_H

#include <engine/engine.h>

struct entry {
    struct buf key, value;
};
struct table { /* sorted by key */
    struct entry *entries;
    size_t count, capacity;
};

struct past { /* a row as it was given */
    char *measure, *org, *source, *key;
    struct engine_row row;
    uint64_t ordinal;
    poise_refusal refusal;
};

struct world {
    struct engine_options options;
    struct engine *engine;
    struct table tables[ENGINE_TABLES];
    struct buf staged; /* by a checkpoint under way */
    struct past *rows;
    size_t row_count, row_capacity;
    size_t rereads;                      /* calls so far */
    size_t loads[ENGINE_TABLES], visits; /* likewise of ports.load; of visits by walk_some */
    poise_code fail_load;                /* what ports.load is to answer; OK: the truth */
};

struct scorecard *card_of(const char *yaml); /* fails the test where there is a problem */

void world_open(struct world *world, const struct engine_options *options); /* its ports are the world's */
void world_close(struct world *world);
void world_clear(struct world *world);      /* the tables; rows stay */
void world_checkpoint(struct world *world); /* all that is left of the one under way, or a whole one */
/* The same in slices, between which rows may come; step: true when it is whole. */
void world_checkpoint_begin(struct world *world);
bool world_checkpoint_step(struct world *world, size_t budget);
void world_checkpoint_fail(struct world *world);
void world_reopen(struct world *world); /* from the last checkpoint, as after a crash */
void world_settle(struct world *world);
void world_begin(struct world *world, int64_t as_of_ms);

/* Gives the row to the engine and remembers it. */
poise_refusal world_apply(struct world *world, const poise_measurement *measurement, int64_t now_ms);
/* Gives a remembered row to some engine. */
poise_refusal past_apply(struct engine *engine, const struct past *past, int64_t now_ms);

/* All states as text, numbers to the bit. */
void dump_states(const struct engine *engine, struct buf *out);
void dump_state(const poise_state *state, struct buf *out);
void assert_same_text(const struct buf *a, const struct buf *b);

#endif
