/* Says of an endpoint's connections how many there are, and which were cut: as numbers, and in the log. */
#ifndef AGGREGATOR_CONNECTIONS_H
#define AGGREGATOR_CONNECTIONS_H

#include "stats.h"
#include <base/clock.h>
#include <base/log.h>
#include <net/net.h>

struct connections {
    struct net_socket *socket; /* borrowed, as all here */
    enum stat open;            /* the gauge */
    struct stats *stats;
    const struct log *log;
    const struct clock *clock;
    struct net_connections noted;
    uint64_t failed[NET_FAILINGS]; /* that are noted */
    int64_t until_us;              /* of the minute at hand, for failed handshakes */
    unsigned lines;                /* in it */
    uint64_t unsaid;               /* in it, beyond those */
};

/* By the thread that owns the socket, after each wait. */
void connections_note(struct connections *connections);

#endif
