/* What writer.c and recover.c share. */
#ifndef AGGREGATOR_WRITER_PRIVATE_H
#define AGGREGATOR_WRITER_PRIVATE_H

#include "changes.h"
#include "feed.h"
#include "silence.h"
#include "writer.h"

struct writer {
    struct writer_options options;
    struct engine *engine;
    struct ledger ledger;
    uint64_t definition;
    struct feed feed;
    struct silence silence;

    /* the commit at hand */
    struct batch *batches[COMMIT_BATCHES];
    struct journal_batch records[COMMIT_BATCHES];
    size_t batch_count;
    struct journal_record record;
    struct feed_summary summary;
    struct inquiry *restating; /* what the commit restates; NULL: nothing */
    bool pending;              /* it is applied but not on disk: there was no room */
    int64_t retry_us;

    /* what a settle changed: in the making, then on its way */
    struct changes *changes, *last; /* NULL: neither */
    struct changes *part;           /* the next to be journaled; NULL: it is in the making */
    struct buf bytes;               /* the one of the commit, as it is journaled */

    int slices;            /* of the settle at hand that were done; 0: none is at hand */
    bool outrun;           /* what came since the slice before marked as much as the last one settled */
    int64_t settled_us;    /* when the scores were settled last */
    int64_t checkpoint_us; /* when the last checkpoint was written */
    uint64_t checkpoint_lsn;
    uint64_t restated_lsn; /* of the last restatement of this run */
    struct arena arena;    /* for reading old batches */
    uint64_t replayed_lsn; /* while recovering: the record at hand; 0: not recovering */
    bool rebuilding;       /* from the whole journal, because the definitions have changed */
};

/* Loads or rebuilds the state; see writer_open. */
poise_code recover(struct writer *writer, poise_error *err);
/* Writes the engine's and the ledger's changes as one checkpoint. */
poise_code checkpoint(struct writer *writer, poise_error *err);
enum store_table store_table_of(enum engine_table table);
/* How the engine reaches the store: what it checkpointed, and old rows. */
struct engine_ports writer_ports(struct writer *writer);

#endif
