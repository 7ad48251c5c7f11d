/* Commits on their way to the disk, and the thread that brings them there while the writer prepares the next:
 *
 *   writer ==a commit that is applied, settled and encoded==> committer: syncs, publishes, gives back ==>
 * writer
 *
 * In between it writes slices of checkpoints and merges. One errand is with it at a time. Meanwhile the
 * writer may read the store and writes nothing, neither to the store nor to the queues of ingest and stream;
 * in between they are the writer's, and the committer waits. So each queue has one thread at its end at any
 * time, and what is in it is in the order of the journal. */
#ifndef AGGREGATOR_COMMITTER_H
#define AGGREGATOR_COMMITTER_H

#include "changes.h"
#include "feed.h"
#include "writer.h"

struct flight { /* a commit, since it was encoded */
    struct store_prepared record;
    struct batch *batches[COMMIT_BATCHES]; /* those of producers, for acknowledgement */
    size_t batch_count;
    struct changes *changes; /* published behind it; NULL: none */
    bool ends;               /* it had some, the last of their settle */
    struct feed_summary summary;
    uint64_t series; /* there are with it */
    poise_code code; /* when it has come back */
    poise_error error;
};
void flight_free(struct flight *flight);
/* Writes and syncs the record, then publishes. Codes as store_append_prepared. */
poise_code flight_commit(struct flight *flight, const struct writer_options *options, bool may_grow,
                         poise_error *err);
/* Hands its batches to ingest: they are on disk. */
poise_code flight_give_back(struct flight *flight, const struct writer_options *options, poise_error *err);
/* To the stream, which takes its queue quickly whatever its subscribers do: it is waited for rather than that
 * a change is lost, but not for one that has died. */
poise_code publish_changes(struct changes *changes, const struct writer_options *options, poise_error *err);

struct errand {
    struct flight *flight;  /* NULL: nothing but slices */
    unsigned slices;        /* behind it, at most; then, how many they were */
    enum store_steps steps; /* of what */
    struct engine *engine;  /* gives what is put, for STORE_TAKES; else NULL */
    bool given;             /* all of it */
    int64_t sliced_us;      /* the first was begun at */
};

enum {
    SLICE_ENTRIES = 8192, /* given out by the engine, some 2 ms */
    SLICE_US = 1500,      /* a slice of several steps has no other one after that */
    SLICE_STEPS = 4
};

struct committer {
    const struct writer_options *options;
    struct ring to_commit, committed; /* of struct errand, one */
    _Atomic bool wanted;              /* what it has, though not all slices are written */
};
bool committer_open(struct committer *committer, const struct writer_options *options);
void committer_close(struct committer *committer);
/* The writer's: sends one, which must stay; false: there is one. And when it is back: the commit has its code
 * and error. One that found no room (EFULL) is not on disk, and its batches and changes are as they were.
 * What a slice has met the store's next step says. */
bool committer_send(struct committer *committer, struct errand *errand);
struct errand *committer_receive(struct committer *committer); /* NULL: it is not back yet */
/* What it has is to be back after the slice at hand: somebody waits. */
void committer_want(struct committer *committer);
bool committer_is_wanted(const struct committer *committer);
/* The committer's thread: one errand, if there is one. */
void committer_step(struct committer *committer);

#endif
