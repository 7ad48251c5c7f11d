/* The published states: what every subscriber sees, as of the last committed settle. The stream's thread owns
 * it; the writer feeds it change sets. Changes are remembered in a ring, so that a subscriber who knows a
 * position gets what changed since, each node once with its latest numbers, however many changes there were.
 * And it is remembered at which lsn the board was at which position, at a start from the log of changes, so
 * that a subscriber who was cut off gets what changed since its lsn. */
#ifndef AGGREGATOR_BOARD_H
#define AGGREGATOR_BOARD_H

#include "changes.h"
#include <base/arena.h>
#include <base/hash.h>
#include <model/scorecard.h>
#include <poise/types.h>
#include <store/store.h>

enum {
    BOARD_RING = 1 << 17,         /* changes a subscriber may lag behind before it gets a new snapshot */
    BOARD_REVISIONS = 1 << 13,    /* revisions, likewise */
    BOARD_MARKS = 1 << 14,        /* settles after which it may go on from the lsn that it has */
    BOARD_RECALL_BYTES = 32 << 20 /* of changes, that a start reads */
};

struct board_unit { /* a scorecard at an org */
    const struct scorecard *card;
    uint32_t card_index;
    uint32_t index; /* in order of appearance */
    const char *org;
    poise_state *states;        /* by node of the card */
    uint64_t *positions;        /* of a node's last change; 0: no such node here */
    uint64_t *status_positions; /* of the last that changed its status */
    uint8_t *recalled;          /* while the past is recalled: its status then, plus 1; 0: not known */
};

struct board {
    const struct scorecard *const *cards;
    size_t card_count;
    struct hmap *paths; /* a card: node path -> its index */
    struct hmap units;
    struct board_unit *
        *order; /* by scorecard as configured, then org; new ones at the end until it is asked for */
    size_t unit_count, unit_capacity, sorted;
    struct board_change {
        struct board_unit *unit;
        uint32_t node;
    } * ring;      /* position p is at p % BOARD_RING */
    uint64_t head; /* position of the newest change; 0: none yet */
    struct board_revision {
        poise_state state;
        struct board_unit *unit;
        uint32_t node;
    } * revisions;    /* of closed periods: number n is at n % BOARD_REVISIONS */
    uint64_t revised; /* number of the newest revision; 0: none yet */
    struct board_mark {
        uint64_t lsn, position, revised; /* with that lsn it was there */
    } * marks;                           /* the n-th is at n % BOARD_MARKS, lsn rising */
    uint64_t mark_count;                 /* of all that there ever were */
    uint64_t view;                       /* names what lsn counts; 0: not said */
    struct hmap filters;                 /* of its subscriptions (filter.h) */
    size_t kept_bytes;                   /* of the updates that they keep */
    struct arena texts;                  /* of what was recalled */
    uint64_t lsn;
    int64_t as_of_ms;
    uint64_t nodes;
};

poise_code board_init(struct board *board, const struct scorecard *const *cards, size_t count,
                      poise_error *err);
void board_free(struct board *board);
/* All parts of what a settle changed. Strings of the states outlive the board. */
poise_code board_apply(struct board *board, const struct changes *changes, poise_error *err);
/* The first unit after `unit` in order (NULL: the first), or NULL. */
struct board_unit *board_next(struct board *board, const struct board_unit *unit);
/* Whether all changes after a position are still in the ring. */
static inline bool board_has(const struct board *board, uint64_t position)
{
    return board->head - position <= BOARD_RING;
}
/* The oldest revision that is still there, numbered as `revised`. */
static inline uint64_t board_oldest_revision(const struct board *board)
{
    return board->revised > BOARD_REVISIONS ? board->revised - BOARD_REVISIONS + 1 : 1;
}
/* After the first board_apply: what the log has of the changes that led up to it, so that who has an lsn of
 * before may go on from there. */
poise_code board_recall(struct board *board, struct store *store, poise_error *err);
/* Where the board was at an lsn; false: that is forgotten, or yet to come. */
bool board_find(const struct board *board, uint64_t lsn, struct board_mark *ret_mark);
/* The state that changed at a position, if that is the node's latest change; else NULL. Which node it was in
 * any case. */
const poise_state *board_changed(const struct board *board, uint64_t position, struct board_unit **ret_unit,
                                 uint32_t *ret_node);

#endif
