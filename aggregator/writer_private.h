/* What the parts of the writer share. */
#ifndef AGGREGATOR_WRITER_PRIVATE_H
#define AGGREGATOR_WRITER_PRIVATE_H

#include "committer.h"
#include "compact.h"
#include "definitions.h"
#include "erasures.h"
#include "feed.h"
#include "names.h"
#include "silence.h"
#include "writer.h"

enum {
    KEYS_MAX = 1 << 19, /* unsaved ones, some 100 bytes each; then a checkpoint is due */
    SLICES_MAX = 1024   /* of a settle; then one has no limit, so that it ends under any load */
};

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
    struct names inputs;      /* for rereading */
    struct erasures erasures; /* which the engine is without */
    struct silence silence;

    /* the commit at hand */
    struct batch *batches[COMMIT_BATCHES + 1]; /* and `defining` */
    struct journal_batch records[COMMIT_BATCHES + 1];
    size_t batch_count;
    struct journal_record record;
    struct feed_summary summary;
    size_t rows;              /* of ingest's batches among them */
    int64_t begun_ms;         /* by the wall clock */
    struct inquiry *ordering; /* the operator's order that the commit carries out; NULL: none */

    /* commits that are encoded, at most two at a time; NULL: none */
    struct flight flights[2];
    struct errand errand; /* that the committer has, or had */
    struct errand *away;  /* the committer has it: nothing is written here; NULL: none */
    struct flight *next;  /* waits until that one is back */
    struct flight *held;  /* what is written here: behind it its batches are given back */
    struct flight *stuck; /* it is applied but not on disk: there was no room */
    bool owes_slice;      /* of a settle, behind `next` */
    bool busy;            /* more was waiting when the last commit was on disk */
    int64_t retry_us;
    struct committer committer;
    bool finishing;

    /* what a settle changed: in the making, then on its way */
    struct changes *changes, *last; /* NULL: neither */
    struct changes *part;           /* the next to be journaled; NULL: it is in the making */
    struct buf bytes;               /* the one of the commit, as it is journaled */

    int slices;      /* of the settle at hand that were done; 0: none is at hand */
    unsigned outrun; /* how often so much came since the slice before that it went on slowly, or not at all */
    uint64_t past_ms;      /* of closed periods, that the slice before has left; none while units wait */
    int64_t settled_us;    /* when the scores were settled last */
    int64_t checkpoint_us; /* when the last checkpoint began */
    uint64_t checkpoint_lsn;
    struct store_mark checkpoint_mark; /* of the one under way */
    bool checkpoint_given;             /* the engine has given out all of it */
    bool checkpoint_ended;             /* and the store has taken it */
    bool checkpoint_owes;              /* what its settle changed is not all journaled yet: a start behind it
                                          would not tell the rest, so it does not end before that */
    int64_t sliced_us;                 /* since the last commit, while somebody waited */
    int64_t ready_us;                  /* since when the next one waits for a slice; 0: it does not */
    bool sliced;                       /* there was one since the last commit */
    unsigned slice_commits;            /* since the last slice of a checkpoint, or of upkeep */
    uint64_t slice_keys;               /* what came since, the more the more keys wait */
    bool upkeep_was;                   /* the last slice was of upkeep */
    int64_t upkeep_us;                 /* not before: there was no room */
    struct piece *piece;               /* to be put next; NULL: the ring has it */
    bool piece_was;                    /* the last slice was one */
    uint64_t restated_lsn;             /* of the last restatement, or erasure, of this run */
    struct arena arena;                /* for reading old batches */
    uint64_t replayed_lsn;             /* while recovering: the record at hand; 0: not recovering */
    bool rebuilding;                   /* from the whole journal, because the definitions have changed */
    uint64_t settled_lsn;              /* likewise: the scores are as of that record, and of its T */
    int64_t settled_ms;
    int64_t freeze_ms; /* T at which it is looked again what may be dropped */
    int64_t freeze_us; /* not before: there was no room */
    bool unsaid;       /* the journal's changes do not lead to the scores: all of them are to be told */
};

/* Frees what it holds. */
void writer_clear(struct writer *writer);
/* By the event clock, before the first event: nothing is settled, and there is no state to write down. */
bool writer_is_timeless(const struct writer *writer);
/* The commit that the committer has, on disk by now or not; NULL: none, or nothing but slices. */
const struct flight *writer_flight_away(const struct writer *writer);
/* A batch as it is journaled. */
struct journal_batch writer_record_of(const struct batch *batch);

/* gather.c: what a commit takes in. */
/* Takes what is waiting, up to a commit's worth; an operator's order is a commit of its own, with none
 * before it that is not on disk. */
poise_code gather_commit(struct writer *writer, poise_error *err);
/* No more rows come to it. By the event clock T moves behind them. */
poise_code gather_end(struct writer *writer, poise_error *err);
bool gather_is_full(const struct writer *writer);
/* While there is no room: orders that wait are answered so. Who gave one would give up before there is, and
 * then it would be done after all. */
poise_code gather_refuse_orders(struct writer *writer, poise_error *err);
/* The operator's order is on disk. */
poise_code gather_end_order(struct writer *writer, uint64_t lsn, poise_error *err);

/* Tells the stats what was erased, and of what something is left. */
void writer_note_erasures(struct writer *writer);
/* Tells the stats what producers have lost. */
void writer_sum_losses(struct writer *writer);
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
/* Whether the definitions can do with the measurements that `keep` has left. */
poise_code check_serves(struct writer *writer, poise_error *err);
/* Loads or rebuilds the state; see writer_open. */
poise_code recover(struct writer *writer, poise_error *err);
/* Writes the engine's and the ledger's changes as one checkpoint: all at once, or begins and goes on with
 * each step. Without room it is given up; the log says so. */
poise_code checkpoint(struct writer *writer, poise_error *err);
poise_code checkpoint_step(struct writer *writer, poise_error *err);
bool checkpoint_runs(const struct writer *writer);
poise_code put_definitions(const struct writer *writer); /* into the open checkpoint */
/* Slices of it, of tidying up in the store, and pieces of the compactor's; idle: nobody waits. */
bool upkeep_due(const struct writer *writer, bool idle);
bool slice_due(struct writer *writer, bool idle);
bool slice_goes_first(struct writer *writer); /* before a commit that is ready */
bool piece_goes_first(struct writer *writer); /* before a slice that could be lent */
poise_code slice_step(struct writer *writer, bool idle, poise_error *err);
/* The committer is to write what is due, if it can: with the errand, that is sent then. */
bool slices_lend(struct writer *writer);
void slices_back(struct writer *writer); /* as many as the errand says then */
/* Somebody waits for what the committer has; ready: else than to grow. */
void slices_delay(struct writer *writer, bool ready);
int64_t slices_wait_us(const struct writer *writer);   /* until who grows has waited long enough */
void slices_owe(struct writer *writer, uint64_t rows); /* after a commit of so many */
enum store_table store_table_of(enum engine_table table);
/* freeze.c: what `keep` has dropped; an order of its own before each checkpoint, where something is. */
bool freeze_due(const struct writer *writer);
poise_code freeze_step(struct writer *writer, bool *ret_any, poise_error *err);
void freeze_count(struct writer *writer); /* in the stats */
/* How the engine reaches the store: what it checkpointed, and old rows. */
struct engine_ports writer_ports(struct writer *writer);

#endif
