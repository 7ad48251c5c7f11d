/* A client's handle, and its one subscription.
 *
 *   OFF -- poise_subscribe --> WANTED -- SUBSCRIBE with a new id --> ASKED -- last SNAPSHOT --> LIVE: UPDATEs
 *    ^                           ^              or a sign that it goes on from the lsn it has        |
 *    |                           |                                     |                          |
 *    |                           +-- a wrong prev, 6 s of silence, an ERROR that may pass --------+
 *    +-- an ERROR that will not pass: told to the caller --------------+--------------------------+
 *
 * How a silent aggregator is told from an idle one: a DEALER reconnects without a word, and after a restart
 * the aggregator knows nothing of the subscription. After 2 s without a message the client sends CREDIT{id,
 * 0}. The aggregator answers ERROR{id, ENOTFOUND} if it does not know the id; else, once the snapshot is
 * complete, an empty UPDATE with prev == lsn, the lsn it sent last, which costs no credit. After 6 s without
 * a message the socket is closed and another one connects.
 *
 * A SUBSCRIBE says which view the client has. If the aggregator knows what has changed since, it goes on with
 * UPDATEs, the first of them perhaps an empty one that only says so; else it sends SNAPSHOTs. */
#ifndef CLIENT_SUBSCRIPTION_H
#define CLIENT_SUBSCRIPTION_H

#include <client/delivery.h>
#include <client/link.h>

enum { CLIENT_CREDIT = 64 }; /* messages that the aggregator may send ahead; returned by the half */

enum subscription_phase { SUBSCRIPTION_OFF, SUBSCRIPTION_WANTED, SUBSCRIPTION_ASKED, SUBSCRIPTION_LIVE };

struct subscription {
    enum subscription_phase phase;
    struct arena memory; /* of the filter */
    struct wire_filter filter;
    uint32_t least_interval_ms;
    uint64_t id;
    uint64_t lsn;          /* of the snapshot or update that came last */
    uint64_t from_lsn;     /* the view is whole as of it, with all revisions up to there; 0: it is not */
    uint64_t from_revised; /* revisions behind it that came */
    uint64_t view;         /* of the last snapshot */
    uint64_t told_lsn;     /* of what came last, and its T */
    int64_t told_ms;
    bool in_snapshot;  /* a part came, and not yet the last */
    uint32_t consumed; /* messages whose credit is not returned yet */
    int64_t asked_us;  /* when SUBSCRIBE was sent */
    int64_t heard_us;  /* when anything came */
    int64_t probed_us; /* when CREDIT{id, 0} was sent */
    bool lost;         /* LOST was told, and nothing came since */
    struct delivery delivery;
};

struct poise_client {
    struct link link;
    uint64_t last_id; /* of subscriptions, questions and requests: none is used twice */
    struct subscription subscription;
    char trouble[LINK_TROUBLE_MAX];
};

void subscription_free(struct subscription *subscription);

#endif
