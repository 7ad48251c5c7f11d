/* The query endpoint: subscriptions, the live state, questions about the past, the aggregator's own numbers.
 * A state machine over one ROUTER socket; one thread. It takes change sets from the writer into its board and
 * gives every subscriber what it has credit for; nobody waits for a slow one. */
#ifndef AGGREGATOR_STREAM_H
#define AGGREGATOR_STREAM_H

#include "access.h"
#include "board.h"
#include "inquiry.h"
#include "stats.h"
#include <base/clock.h>
#include <base/log.h>
#include <base/ring.h>
#include <net/net.h>

struct stream; /* opaque */

struct stream_options { /* all borrowed */
    struct net_socket *socket;
    struct access_holder *access; /* who may ask what; NULL: whoever reaches the socket, everything */
    const char *directory;        /* of the store, for the audit log; NULL: there is none */
    struct ring *from_writer;     /* of struct changes; the stream frees them */
    struct ring *to_inquirer;     /* of struct inquiry, room for INQUIRIES_MAX */
    struct ring *from_inquirer;   /* likewise */
    struct ring *restated;        /* likewise, from the writer: those that it had to do the rest of */
    struct ring *to_backup;       /* likewise, of the orders to write a backup; NULL: none may be */
    struct ring *backed_up;       /* likewise */
    struct net_wake *inquirer_wake, *backup_wake;
    const struct scorecard *const *cards;
    size_t card_count;
    struct store *store; /* to say how large it is; NULL: it does not */
    struct stats *stats;
    const struct log *log;
    const struct clock *clock;
    size_t max_subscriptions, max_subscriptions_each;
    size_t max_questions;      /* at most QUESTIONS_MAX; 0: that */
    size_t max_questions_each; /* of a connection, orders too; 0: as many as there may be */
};

poise_code stream_open(const struct stream_options *options, struct stream **ret_stream, poise_error *err);
void stream_close(struct stream *stream);
/* Takes in what has come from writer, clients and inquirer, sends what may be sent; never blocks. */
poise_code stream_step(struct stream *stream, poise_error *err);
/* How long until there is something to do without an event: an interval that ends, a peer to probe. */
int64_t stream_idle_ms(const struct stream *stream);

#endif
