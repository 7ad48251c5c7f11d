/* The one thread that owns the engine and writes the store. A commit: take what is waiting, apply it, settle
 * if it is time, write one synced journal record, and only then publish the changes and let ingest
 * acknowledge. */
#ifndef AGGREGATOR_WRITER_H
#define AGGREGATOR_WRITER_H

#include "batch.h"
#include "board.h"
#include "ledger.h"
#include "stats.h"
#include <base/clock.h>
#include <base/log.h>
#include <base/ring.h>
#include <engine/engine.h>
#include <net/net.h>
#include <store/store.h>

enum { COMMIT_ROWS = 20000, COMMIT_BATCHES = 512 };

struct writer; /* opaque */

struct writer_options { /* all borrowed */
    const struct scorecard *const *cards;
    size_t card_count;
    struct store *store;
    const char *directory;                /* the store's, for the audit log; NULL: nothing is noted */
    struct ring *from_ingest, *to_ingest; /* of struct batch */
    struct ring *to_stream; /* of struct changes, owned by the taker; full: the writer waits, counted */
    struct ring *to_restate, *restated; /* of struct inquiry: operators' orders, and those that are on disk */
    struct ring *pieces;          /* of struct piece (compact.h), from the compactor; NULL: there is none */
    _Atomic uint64_t *pieces_put; /* those that are put, or thrown away */
    struct net_wake *ingest_wake, *stream_wake, *compactor_wake;
    struct net_wake *committer_wake,
        *writer_wake; /* of who calls writer_commit, and of who steps; NULL: nobody
                         does, and each commit is synced before the next begins */
    struct stats *stats;
    const struct log *log;
    const struct clock *clock;
    bool event_clock;  /* T is the latest committed event time + 1 ms, not the clock */
    int64_t settle_ms; /* under load the scores are settled at most this often */
    int64_t checkpoint_ms;
    int64_t silent_after_ms; /* 0: no source is watched */
    size_t max_orgs, max_series, max_cells;
    uint64_t hash_seed;
};

/* Opens the engine on the store's state: the last checkpoint and the journal behind it, or the whole journal
 * where the definitions have changed. Afterwards the states of all nodes stand in the stream's queue, as of
 * now where there were some before. */
poise_code writer_open(const struct writer_options *options, struct writer **ret_writer, poise_error *err);
void writer_close(struct writer *writer);
/* What is on disk of every producer, for ingest; once, before the first step. The caller frees it. */
poise_code writer_ledger(struct writer *writer, struct ledger *ret_ledger, poise_error *err);

/* The committer's thread, beside writer_step's: syncs, publishes and gives back the commit that the writer
 * has sent, if it has, and writes the slices of checkpoints and merges that are lent with it, or alone;
 * errors are the next step's. The writer sends something where more is waiting. */
void writer_commit(struct writer *writer);
bool writer_commits(struct writer *writer); /* the writer: something is sent, and not back */

/* At most one commit, settle or checkpoint; never waits for work. An error ends the process: nothing that was
 * not synced has been acknowledged. */
poise_code writer_step(struct writer *writer, poise_error *err);
/* How long there will be nothing to do unless a batch comes. */
int64_t writer_idle_ms(struct writer *writer);
/* Commits what is waiting and writes a last checkpoint; while nothing is sent. */
poise_code writer_finish(struct writer *writer, poise_error *err);

#endif
