/* What writer.c and recover.c share. */
#ifndef AGGREGATOR_WRITER_PRIVATE_H
#define AGGREGATOR_WRITER_PRIVATE_H

#include "changes.h"
#include "compact.h"
#include "definitions.h"
#include "feed.h"
#include "names.h"
#include "silence.h"
#include "writer.h"

enum { SLICE_ROWS = 3000 }; /* while there are too many keys, comes a slice for so many rows: it saves more */

struct writer {
    struct writer_options options;
    struct engine *engine;
    struct ledger ledger;
    struct definitions definitions; /* as the journal says up to now */
    struct definitions stored;      /* as of the checkpointed state */
    struct compiled compiled;       /* of the engine */
    struct batch defining; /* !define of a new store, which goes with its first record; empty: none */
    uint64_t generation;   /* of the state (store_mark) */
    uint64_t made_lsn;     /* of the !define that it was made with */
    uint64_t begun_lsn;    /* the records up to it were there when the state was begun */
    struct feed feed;
    struct names inputs; /* for rereading */
    struct silence silence;

    /* the commit at hand */
    struct batch *batches[COMMIT_BATCHES + 1]; /* and `defining` */
    struct journal_batch records[COMMIT_BATCHES + 1];
    size_t batch_count;
    struct journal_record record;
    struct feed_summary summary;
    struct inquiry *ordering; /* the operator's order that the commit carries out; NULL: none */
    bool pending;             /* it is applied but not on disk: there was no room */
    int64_t retry_us;

    /* what a settle changed: in the making, then on its way */
    struct changes *changes, *last; /* NULL: neither */
    struct changes *part;           /* the next to be journaled; NULL: it is in the making */
    struct buf bytes;               /* the one of the commit, as it is journaled */

    int slices;            /* of the settle at hand that were done; 0: none is at hand */
    bool outrun;           /* what came since the slice before marked as much as the last one settled */
    int64_t settled_us;    /* when the scores were settled last */
    int64_t checkpoint_us; /* when the last checkpoint began */
    uint64_t checkpoint_lsn;
    struct store_mark checkpoint_mark; /* of the one under way */
    bool checkpoint_given;             /* the engine has given out all of it */
    unsigned slice_commits;            /* since the last slice of a checkpoint, or of upkeep */
    uint64_t slice_rows;               /* that came, less SLICE_ROWS for each slice */
    int64_t upkeep_us;                 /* not before: there was no room */
    struct piece *piece;               /* to be put next; NULL: the ring has it */
    bool piece_first;                  /* it is its turn, not a checkpoint's or upkeep's */
    uint64_t restated_lsn;             /* of the last restatement of this run */
    struct arena arena;                /* for reading old batches */
    uint64_t replayed_lsn;             /* while recovering: the record at hand; 0: not recovering */
    bool rebuilding;                   /* from the whole journal, because the definitions have changed */
};

/* Frees what it holds. */
void writer_clear(struct writer *writer);
/* A batch as it is journaled. */
struct journal_batch writer_record_of(const struct batch *batch);
/* What a settle changes. */
poise_code writer_begin_changes(struct writer *writer, poise_error *err);
poise_code writer_note_change(void *visitor, const poise_state *state);
/* Which definitions are in force; changed ones are journaled, behind what the old ones still owe. */
poise_code find_definitions(struct writer *writer, poise_error *err);
/* The definitions of the checkpointed state; those of its first record, where there was no checkpoint yet. */
poise_code load_stored(struct writer *writer, poise_error *err);
/* Whether the store's state was made with the definitions of now. */
bool state_is_made(const struct writer *writer);
/* Whether there are other definitions, or scorecards, than when the state was made. */
bool has_changed(const struct writer *writer);
/* Opens the engine on the store's state and replays the journal behind it; `old`: for the scorecards that it
 * was made with. */
poise_code recover_state(struct writer *writer, bool old, uint64_t *ret_records, poise_error *err);
/* Loads or rebuilds the state; see writer_open. */
poise_code recover(struct writer *writer, poise_error *err);
/* Writes the engine's and the ledger's changes as one checkpoint: all at once, or begins and goes on with
 * each step. Without room it is given up; the log says so. */
poise_code checkpoint(struct writer *writer, poise_error *err);
poise_code checkpoint_step(struct writer *writer, poise_error *err);
bool checkpoint_runs(const struct writer *writer);
poise_code put_definitions(const struct writer *writer); /* into the open checkpoint */
/* Tidying up in the store; idle: nobody waits. */
bool upkeep_due(const struct writer *writer, bool idle);
poise_code upkeep_step(struct writer *writer, bool idle, poise_error *err);
/* What the compactor gives; as upkeep. */
bool piece_due(struct writer *writer);
poise_code piece_step(struct writer *writer, poise_error *err);
enum store_table store_table_of(enum engine_table table);
/* How the engine reaches the store: what it checkpointed, and old rows. */
struct engine_ports writer_ports(struct writer *writer);

#endif
