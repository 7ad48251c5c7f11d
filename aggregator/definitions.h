/* The definitions of scorecards over time (scoring.md section 7): each with its text, its number, and the
 * as-of times that it is in force for. What changes them are orders in the journal, so that who reads the
 * journal up to a record knows what was in force then:
 *
 *     !define   at a start with other scorecard files: their texts, and from where on they are in force
 *     !rescore  an operator's: the current definitions come in force for periods that are closed
 *     !freeze   the writer's: the measurements of inputs before some time are dropped from here on (`keep`)
 *
 * A table of the store says the same as of a record, so that a start need not read all of the journal. */
#ifndef AGGREGATOR_DEFINITIONS_H
#define AGGREGATOR_DEFINITIONS_H

#include "marks.h"
#include <base/buf.h>
#include <engine/engine.h>
#include <stdatomic.h>
#include <store/store.h>

enum { DEFINITIONS_MAX = 16 }; /* of a scorecard, that some period end has still */
/* In the place of producers; no producer can be called so. */
#define DEFINE_PRODUCER  "!define"
#define RESCORE_PRODUCER "!rescore"
#define FREEZE_PRODUCER  "!freeze"

struct definition {
    char card[POISE_ID_MAX + 1];
    uint64_t number;   /* 1, 2, ... of its scorecard */
    int64_t after_ms;  /* in force for the times behind this, until the next one's; INT64_MIN: from the
                          beginning */
    int64_t closed_ms; /* where it came in force at first: periods up to there were closed */
    uint64_t hash;     /* of the scorecard */
    char *text;
    size_t length;
};

struct frozen { /* an input whose measurements before a time are dropped, or may be */
    char input[POISE_ID_MAX + 1];
    int64_t until_ms;
};

struct definitions { /* of all scorecards, those of each by rising number; zeroed at first */
    struct definition *items;
    size_t count, capacity;
    struct frozen *frozen;
    size_t frozen_count;
    uint64_t folded_lsn;   /* the journal's orders up to there are in it */
    uint64_t defined_lsn;  /* of the last !define */
    struct buf configured; /* ids, each ended by 0: of the scorecards that there were last; of a stored one */
    size_t configured_count;
};
void definitions_free(struct definitions *definitions);

/* The newest of a scorecard; NULL: none. */
const struct definition *definitions_current(const struct definitions *definitions, const char *card);
/* A new one, in force behind the periods that are closed; those that no period end has any more are dropped.
 * ELIMIT: too many are kept. */
poise_code definitions_define(struct definitions *definitions, const struct scorecard *card,
                              int64_t closed_ms, poise_error *err);
/* Later times only count. */
poise_code definitions_freeze(struct definitions *definitions, const char *input, size_t length,
                              int64_t until_ms, poise_error *err);
int64_t definitions_frozen_ms(const struct definitions *definitions, const char *input); /* INT64_MIN: not */
/* Drops those that are in force for no time any more. A rescore does not: the state was made with them, and
 * what is kept of one scorecard depends on all that its engine knows. */
void definitions_trim(struct definitions *definitions);
bool definitions_configured(const struct definitions *definitions, const char *card);
void definitions_rescore(struct definitions *definitions, const char *card, int64_t after_ms);

/* ---- in the journal ---- */

/* An order's body: for !define the current definition of the scorecard, for !rescore its place; and why. */
void order_put(struct buf *body, const struct definition *definition, bool with_text);
/* Of !freeze, once an input. */
void order_put_frozen(struct buf *body, const char *input, int64_t until_ms);
void order_put_reason(struct buf *body, const char *reason);
/* Whether it is an order that takes the place of a row: its ordinal is the cause of revisions. */
bool order_takes_place(const struct journal_batch *batch);
/* What a !rescore says of each scorecard; other than OK from visit ends it and is passed on. */
poise_code order_each(const void *body, size_t length,
                      poise_code (*visit)(void *visitor, const char *card, int64_t after_ms), void *visitor,
                      poise_error *err);
/* Takes in the journal's orders behind folded_lsn, up to `until`; without those that were committed at a
 * later T than known_at_ms (0: all). EBUSY: *stop (NULL: never) was set. marks: what is known of the journal,
 * or NULL. */
poise_code definitions_fold(struct definitions *definitions, struct store *store, struct marks *marks,
                            uint64_t until, int64_t known_at_ms, const _Atomic bool *stop, poise_error *err);
/* Likewise; *ret_any: more is frozen than before. */
poise_code definitions_fold_frozen(struct definitions *definitions, struct store *store, struct marks *marks,
                                   uint64_t until, const _Atomic bool *stop, bool *ret_any, poise_error *err);

/* ---- in the store ---- */

/* *ret_made_lsn: that of the last !define that the checkpointed state was made with; *ret_begun_lsn: the last
 * record when that was begun. */
poise_code definitions_load(struct definitions *definitions, struct store *store, uint64_t *ret_made_lsn,
                            uint64_t *ret_begun_lsn, poise_error *err);
/* What the checkpoint that they are put into is of. */
struct definitions_place {
    uint64_t folded_lsn, made_lsn, begun_lsn;
    const struct scorecard *const *cards;
    size_t card_count;
};
/* Puts them into the open checkpoint, as of a record. */
poise_code definitions_put(const struct definitions *definitions, struct store *store,
                           const struct definitions_place *place);

/* ---- for an engine ---- */

struct compiled { /* zeroed at first */
    const struct scorecard **cards;
    struct engine_term *terms; /* of each */
    size_t count;
    struct scorecard **owned; /* those of older definitions */
    size_t owned_count;
};
/* The definitions of a scorecard that answer for some time with from_ms <= T <= to_ms, oldest first; `card`
 * (NULL: none) serves where it is the same. Adds to what is there. ECONFIG: this version cannot read one. */
poise_code definitions_compile(const struct definitions *definitions, const char *id,
                               const struct scorecard *card, int64_t from_ms, int64_t to_ms,
                               struct compiled *ret_compiled, poise_error *err);
/* All that there are: what the state was made with. */
poise_code definitions_compile_all(const struct definitions *definitions, const char *id,
                                   const struct scorecard *card, struct compiled *ret_compiled,
                                   poise_error *err);
void compiled_free(struct compiled *compiled);

#endif
