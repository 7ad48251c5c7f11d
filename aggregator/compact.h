/* Compaction: records of the journal become a run of blocks, and what stays of them beside (store/past.h). A
 * function of the journal alone: any thread, with a reader of its own; the writer puts what it makes. */
#ifndef AGGREGATOR_COMPACT_H
#define AGGREGATOR_COMPACT_H

#include "erasures.h"
#include <stdatomic.h>
#include <store/runs.h>

enum {
    COMPACT_PIECE_BYTES = 1 << 20, /* of entries in a piece, about */
    PIECE_SOURCES = 64             /* of a merge, at most */
};

/* A slice that owns what it has. */
struct piece {
    bool abandoned; /* instead: what was put of a run is to be thrown away */
    struct store_slice slice;
    struct block blocks[STORE_SLICE_BLOCKS];
    struct buf bytes, entries;            /* of the blocks, BLOCK_MAX apart; of the past */
    uint64_t dropped_rows, dropped_bytes; /* of its sources, of which nothing stays */
    uint64_t sources[PIECE_SOURCES];
    uint64_t scrub_lsn; /* store_scrub comes first; 0: it does not */
};
void piece_free(struct piece *piece);
/* As store_commit, without a record; and store_runs_clean. */
poise_code piece_put(const struct piece *piece, struct store *store, poise_error *err);
/* Takes a piece, which is its own then, also where it fails. Other codes than OK are passed on. */
typedef poise_code piece_take(void *taker, struct piece *piece, poise_error *err);

struct compact; /* opaque */
/* A run is made of records of so many bytes, or one that is longer: each is 10 bytes a row or more, and a row
 * takes 36 to 76 bytes while it is made. */
poise_code compact_open(struct store *store, int64_t bytes, const _Atomic bool *stop,
                        struct compact **ret_compact, poise_error *err);
void compact_close(struct compact *compact);
/* Makes a run of the records behind the chunks LSN, up to `until` (<= the state's LSN) or as many as one
 * takes; the last piece makes it whole. *ret_lsn: its last record, the chunks LSN where there was nothing to
 * do. EUNSUPPORTED: an older version has written some of them without notes; EBUSY: stopped. After a failure
 * store_runs_clean is due. */
poise_code compact_run(struct compact *compact, uint64_t until, piece_take *take, void *taker,
                       uint64_t *ret_lsn, poise_error *err);
/* Takes in what was frozen up to the record of the checkpointed state: no replay wants it. *ret_any: there
 * is more than at the last call. From then on compact_merge has nothing stay of buckets before that. */
poise_code compact_frozen(struct compact *compact, uint64_t state_lsn, bool *ret_any, poise_error *err);
/* Merges runs of a bucket and input into one, as compact_run does: where there are 8 of one level; and of
 * buckets before that one all runs, unless most of their rows are in one already. *ret_any false: there are
 * none. */
poise_code compact_merge(struct compact *compact, int32_t idle_before, piece_take *take, void *taker,
                         bool *ret_any, poise_error *err);

/* purge.c: a step of having vanish from the disk what was erased, once it is in the state: runs are merged
 * without it, then nothing older is left of the journal and the state, then what remains of records is
 * rewritten. *ret_any: there are pieces to be put before the next step. `ended` is called for each order of
 * which nothing is left, before the store knows it, so at least once. */
typedef poise_code compact_ended(void *context, const struct erasure *erasure, poise_error *err);
poise_code compact_purge(struct compact *compact, compact_ended *ended, void *context, piece_take *take,
                         void *taker, bool *ret_any, poise_error *err);
bool compact_purges(const struct compact *compact); /* some order is not done */

#endif
