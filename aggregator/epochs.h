/* Ingest's table of producers' epochs: each has one of max_producers places. Who has only said HELLO keeps
 * his until another wants it; from its first batch on an epoch has its place for good, as the ledger on disk
 * keeps it. One thread. */
#ifndef AGGREGATOR_EPOCHS_H
#define AGGREGATOR_EPOCHS_H

#include "ledger.h"
#include "stats.h"
#include <net/net.h>
#include <wire/wire.h>

struct producer {                   /* an epoch of a producer */
    struct ledger_entry *entry;     /* what is on disk */
    uint64_t received_seq;          /* handed to the writer up to here */
    uint64_t hashes[LEDGER_WINDOW]; /* of the last batches, seq s at s % LEDGER_WINDOW; 0: not known; LOST */
    struct net_peer peer;           /* the connection that said HELLO last */
    struct producer_owner *owner;   /* its key; NULL: it has none, or did not come since the start */
    struct producer *older, *newer; /* of those that are idle */
    uint64_t heard_seq;      /* it was told of these, or has sent the same: no others are acknowledged on it,
                                since another copy of the spool may have sent them */
    uint64_t told_seq;       /* acknowledged on it up to here */
    uint64_t mean_rows;      /* of its batches, the last ones count most; 0: none came */
    struct wire_spool spool; /* what waited there when it said so last, */
    int64_t spool_us;        /* and when that was */
    uint64_t forked_epoch;   /* while it is idle: that it goes on from, by its last HELLO; 0: none */
    bool idle;               /* it has only said HELLO */
    bool on_disk;            /* something of it is */
    bool gap_told;           /* until the batch that was asked for comes */
    bool forked;             /* counted as such, until its producer goes on under a new epoch */
};

struct epochs {
    size_t most, most_each; /* of all; of those that came by one key since the start */
    struct stats *stats;    /* borrowed */
    struct ledger ledger;
    struct hmap map;                  /* by entry */
    struct hmap peers;                /* by connection */
    struct hmap owners;               /* by key */
    struct producer *oldest, *newest; /* of those that are idle */
    bool spools;                      /* something was told of one that may have to be counted anew */
    int64_t spools_us;                /* when they were counted */
};

/* Takes the ledger over (moves it out of *ledger), with all that is on disk; ENOMEM. */
poise_code epochs_open(struct epochs *epochs, struct ledger *ledger, poise_error *err);
void epochs_free(struct epochs *epochs);

struct producer *epochs_find(const struct epochs *epochs, const char *name, uint64_t epoch);
/* That a connection speaks for; NULL: none. */
struct producer *epochs_of(const struct epochs *epochs, const struct net_peer *peer);
const char *producer_user(const struct producer *producer); /* the key; NULL: see there */
/* A new epoch, of whom the message says, and idle. ELIMIT: all places are taken, or all that its key may
 * have. */
poise_code epochs_add(struct epochs *epochs, const char *name, uint64_t epoch,
                      const struct net_message *message, struct producer **ret_producer, poise_error *err);
/* A connection speaks for one producer, and a producer through its newest connection. */
poise_code epochs_attach(struct epochs *epochs, struct producer *producer, const struct net_message *message,
                         poise_error *err);
void epochs_detach(struct epochs *epochs, struct producer *producer);
/* What waits in its spool, as it said. */
void epochs_tell_spool(struct epochs *epochs, struct producer *producer, const struct wire_spool *spool,
                       int64_t now_us);
/* Adds up what waits in the spools of producers that have a connection and said so within a minute: once a
 * second, as long as something does. */
void epochs_count_spools(struct epochs *epochs, int64_t now_us);
/* How long that may be put off; -1: for ever. */
int64_t epochs_idle_ms(const struct epochs *epochs);
/* Its first batch is taken. */
void epochs_settle(struct epochs *epochs, struct producer *producer);

#endif
