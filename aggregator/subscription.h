/* One subscriber's stream: what it wants, how far it is, what may be sent to it. Nothing is queued for it:
 * the board knows what changed since its position, so a slow subscriber costs no memory and nobody waits for
 * it.
 *
 *   SCAN -----> CATCH_UP -----> LIVE          SCAN: snapshot parts, unit by unit, while the board moves on
 *    ^  all units sent   reached the head       CATCH_UP: what changed meanwhile; the part that reaches the
 * head is last
 *    +---------------------------+              LIVE: updates, in parts where one message has no room for
 * all; back to SCAN when changes behind its position are forgotten. A subscription that goes on where another
 * was cut off begins there. */
#ifndef AGGREGATOR_SUBSCRIPTION_H
#define AGGREGATOR_SUBSCRIPTION_H

#include "filter.h"
#include <net/net.h>
#include <wire/wire.h>

struct subscription {
    struct net_peer peer;
    char user[ACCESS_USER_MAX];       /* the key of the connection */
    const struct access_peer *reader; /* who may see less than the filter lets pass; NULL: nobody asks */
    uint64_t id;
    size_t weight; /* filter_weight */
    uint64_t credit;
    int64_t least_interval_us;
    bool once;
    enum { SUBSCRIPTION_SCAN, SUBSCRIPTION_CATCH_UP, SUBSCRIPTION_LIVE } phase;
    const struct board_unit *scan_unit; /* the last unit that was sent whole; NULL: none */
    uint32_t scan_node;                 /* nodes of the unit after it that were sent */
    uint64_t position;                  /* of the board, up to which everything was sent */
    uint64_t base;            /* likewise as of its lsn: before `position` while parts of an update are out */
    uint64_t revised;         /* number of the last revision that was sent, or is not for it */
    bool resumed;             /* it began as one that was cut off has ended, without a snapshot */
    uint64_t lsn;             /* of the last message */
    int64_t next_us, last_us; /* earliest next update; when something was sent last */
    int64_t retry_us;         /* its peer had no room: when it is tried again, */
    int64_t pause_us;         /* after so long; 0: it had room */
    int64_t behind_us;        /* since when it could not be sent all; 0: it has all */
    struct board *board;
    struct filter *filter; /* shared */
};

poise_code subscription_open(const struct wire_subscribe *wanted, const struct net_peer *peer,
                             const struct filter_reader *reader, struct board *board,
                             struct subscription **ret_subscription, poise_error *err);
void subscription_close(struct subscription *subscription);

/* The next message, or none (*ret_kind 0): states points into scratch, which has room for `room` of them.
 * What was built counts as sent once subscription_sent is called with it. */
struct subscription_message {
    enum wire_kind kind; /* WIRE_SNAPSHOT, WIRE_UPDATE; 0: nothing to send */
    struct wire_states states;
    const struct board_unit *scan_unit;
    uint32_t scan_node;
    uint64_t position, revised;
    int phase;
    uint64_t conflated; /* changes that it leaves out, since their nodes changed again */
    bool begins;        /* the first part of a snapshot */
};
void subscription_next(struct subscription *subscription, struct board *board, int64_t now_us,
                       poise_state *scratch, size_t room, struct subscription_message *ret_message);
/* Many who want the same stand at the same place. Before subscription_next: the update that was made last, if
 * it is the next one of this subscription, too, but for its states; and their bytes. NULL: it is not. */
const struct buf *subscription_same(const struct subscription *subscription, const struct board *board,
                                    int64_t now_us, struct subscription_message *ret_message);
/* After it: the bytes of its states, in a buffer of the filter or the spare one; NULL: out of memory. */
const struct buf *subscription_keep(struct subscription *subscription, const struct board *board,
                                    const struct subscription_message *message, struct buf *spare);
/* Whether the board has something that a live subscription was not sent. */
bool subscription_lags(const struct subscription *subscription, const struct board *board);
void subscription_sent(struct subscription *subscription, const struct subscription_message *message,
                       int64_t now_us);
/* It could not be sent, since nobody reads there: it is tried again after a pause, which doubles as long as
 * that goes on. What costs most is to build what then cannot be sent. */
void subscription_full(struct subscription *subscription, int64_t now_us);
/* It may be sent so many more; so it has read. */
void subscription_credit(struct subscription *subscription, uint64_t more);
/* Notes since when there is something that it could not be sent. */
void subscription_note_lag(struct subscription *subscription, const struct board *board, int64_t now_us);
/* An update without states: says that the stream lives. Costs no credit. Only when LIVE. */
struct wire_states subscription_keepalive(const struct subscription *subscription, const struct board *board);

#endif
