/* Small answers (errors, stats) to peers of the query endpoint. Who asks much before it reads finds its own
 * queue full: what did not fit is kept here and tried again, since a question without an answer leaves its
 * asker waiting. Bounded: of one peer and of all; beyond that the answer is lost, and counted as
 * `replies_lost`. Answers to one peer may overtake each other; their ids tell which is which. One thread. */
#ifndef AGGREGATOR_REPLIES_H
#define AGGREGATOR_REPLIES_H

#include "stats.h"
#include <net/net.h>
#include <wire/wire.h>

enum { REPLIES_MAX = 1024, REPLIES_PEER_MAX = 256 }; /* kept for all peers; for each */

struct reply;
struct replies {
    struct reply *first; /* the oldest */
    size_t count;
};

void replies_free(struct replies *replies); /* zeroed is empty */
/* Sends body at once, or keeps a copy for replies_retry. */
void replies_send(struct replies *replies, struct net_socket *socket, const struct net_peer *peer,
                  enum wire_kind kind, const void *body, size_t length, struct stats *stats);
/* Sends what has room now; forgets what peers that are gone were owed. */
void replies_retry(struct replies *replies, struct net_socket *socket);

#endif
