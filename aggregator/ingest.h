/* The aggregator's side of the ingest protocol (proto/README.md): HELLO and WELCOME, order of sequences,
 * duplicates, gaps, forks, credit, acknowledgements. A state machine over one ROUTER socket; one thread.
 * Whole batches go to the writer through a ring and come back through another once they are on disk. */
#ifndef AGGREGATOR_INGEST_H
#define AGGREGATOR_INGEST_H

#include "access.h"
#include "batch.h"
#include "ledger.h"
#include "stats.h"
#include <base/clock.h>
#include <base/log.h>
#include <base/ring.h>
#include <net/net.h>
#include <store/store.h>

struct ingest; /* opaque */

/* Messages that the socket must queue for a peer: a HELLO may be answered by a WELCOME and an ACK for each
 * batch of the ledger's window; the last of them never came if they did not fit. */
enum { INGEST_SEND_HWM = 4 * LEDGER_WINDOW };

struct ingest_options {
    struct net_socket *socket;    /* borrowed, as all here */
    struct access_holder *access; /* who may send what; NULL: whoever reaches the socket, everything */
    const struct clock *clock;
    struct ring *to_writer; /* of struct batch, room for all of the pool */
    struct ring *from_writer;
    struct net_wake *writer_wake;
    struct stats *stats;
    const struct log *log;
    const struct store *store;
    size_t pool;                              /* batches that may be between ingest and writer */
    uint32_t credit;                          /* of a producer; at most LEDGER_WINDOW */
    size_t max_producers, max_producers_each; /* each: by one key; 0: a quarter */
    uint32_t max_batch_rows, max_batch_bytes, max_batch_symbols; /* of a batch; 0: as much as can be */
};

/* Takes the ledger over (moves it out of *ledger): what is on disk at start. */
poise_code ingest_open(const struct ingest_options *options, struct ledger *ledger,
                       struct ingest **ret_ingest, poise_error *err);
void ingest_close(struct ingest *ingest);
/* Acknowledges what the writer gave back, takes what has come; never blocks. Who may not send any more, since
 * another authorisation file came in force, is told so. */
poise_code ingest_step(struct ingest *ingest, poise_error *err);
/* How long it may be until the next step if nothing comes; -1: for ever. */
int64_t ingest_idle_ms(const struct ingest *ingest);
/* Whether there is room for another batch: else there is no use in waiting for the socket. */
bool ingest_can_receive(const struct ingest *ingest);

#endif
