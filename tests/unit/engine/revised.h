/* A live engine whose revisions are noted, and what offline engines say that they should be. */
#ifndef TESTS_UNIT_ENGINE_REVISED_H
#define TESTS_UNIT_ENGINE_REVISED_H

#include <unit/engine/reference.h>

#define MARCH INT64_C(1772323200000) /* 2026-03-01 */
#define HOUR  INT64_C(3600000)
#define DAY   (24 * HOUR)
#define APRIL (MARCH + 31 * DAY)
#define MAY   (APRIL + 30 * DAY)

struct told { /* a revision */
    char *place;
    int64_t end_ms;
    uint64_t number, cause;
    double replaced;
    poise_score numbers;
};

struct revised {
    struct scorecard *cards[2];
    struct engine_options options;
    struct world world;
    struct told *told; /* all so far */
    size_t told_count, told_capacity;
    size_t first_told; /* of the last commit */
    size_t first_row;  /* likewise */
};

void revised_open(struct revised *f, const char *yaml, const char *other); /* other may be NULL */
void revised_close(struct revised *f);

/* A commit: begins at T, then rows, then a settle that notes what it tells. */
void revised_begin(struct revised *f, int64_t as_of_ms);
void revised_give(struct revised *f, poise_measurement row);
void revised_settle(struct revised *f);
bool revised_settle_slice(struct revised *f, size_t budget); /* whether it is done */
poise_code revised_note(void *f, const poise_state *state);  /* the visitor */

/* That the last commit told what changed of closed periods, all of it, as offline engines see it without and
 * with its rows. */
void revised_check(const struct revised *f);

/* Of the last commit; NULL: none. */
const struct told *revised_find(const struct revised *f, const char *place, int64_t end_ms);

#endif
