/* Says of an endpoint's connections how many there are, and which were cut: as numbers, and in the log. */
#ifndef AGGREGATOR_CONNECTIONS_H
#define AGGREGATOR_CONNECTIONS_H

#include "stats.h"
#include <base/log.h>
#include <net/net.h>

struct connections {
    const struct net_socket *socket; /* borrowed, as all here */
    enum stat open;                  /* the gauge */
    struct stats *stats;
    const struct log *log;
    struct net_connections noted;
};

/* By the thread that owns the socket, after each wait. */
void connections_note(struct connections *connections);

#endif
