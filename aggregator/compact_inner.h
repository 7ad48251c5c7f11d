/* What the files of compaction share: compact.c makes runs of the journal, merges.c has fewer of them,
 * purge.c has what was erased vanish from them. */
#ifndef AGGREGATOR_COMPACT_INNER_H
#define AGGREGATOR_COMPACT_INNER_H

#include "compact.h"
#include "definitions.h"
#include "erasures.h"
#include "names.h"
#include "sorter.h"

enum purge_phase {
    PURGE_ROWS,    /* runs are merged without what was erased */
    PURGE_WAIT,    /* the store scrubs the journal and the state */
    PURGE_REMAINS, /* what remains of records is rewritten */
    PURGE_END
};
struct purge {
    uint64_t lsn; /* of the last order that is carried out; 0: none */
    enum purge_phase phase;
    int32_t bucket; /* PURGE_ROWS: what is before it, and the input, is done */
    uint32_t input;
};

struct compact {
    struct store *store;
    int64_t run_bytes;
    const _Atomic bool *stop;
    struct names names;
    struct erasures erasures; /* those that are in the state: no replay wants their rows any more */
    struct purge purge;
    struct definitions definitions; /* of which only what is frozen is looked at */
    struct sorter *sorter;
    struct arena arena; /* of the batch at hand */
    struct arena keys;  /* of the run */

    /* the run at hand */
    uint64_t first_lsn, lsn, next_place;
    size_t named;                /* series whose names are in pieces, or in the store */
    struct past_commit *commits; /* of each record */
    size_t record_count, record_capacity;
    uint64_t series;     /* that the records so far have numbered, as far as known */
    struct piece *piece; /* in the making; NULL: none */
    uint64_t run;
    int32_t bucket; /* of a merge */
    uint32_t input;
    piece_take *take;
    void *taker;
    poise_error *err;
};

struct compact_group { /* runs of a bucket and input */
    int32_t bucket;
    uint32_t input;
    struct store_run runs[PIECE_SOURCES];
    size_t count;
    bool gone; /* nothing of them stays */
};

void compact_begin(struct compact *compact, piece_take *take, void *taker, poise_error *err);
void compact_reset(struct compact *compact);
poise_code compact_open_piece(struct compact *compact);
poise_code compact_give_piece(struct compact *compact);
poise_code compact_take_block(void *taker, const struct block *block, poise_error *err); /* into the piece */
poise_code compact_check_stop(const struct compact *compact);
/* What was erased as of the reader's state. */
poise_code compact_fold(struct compact *compact, const struct store_reader *reader);
bool compact_is_out(const struct compact *compact, uint64_t series, int64_t time_ms, uint64_t place);
/* Merges them into one, without what was erased; or ends them. */
poise_code compact_merge_group(struct compact *compact, struct store_reader *reader,
                               const struct compact_group *group);

#endif
