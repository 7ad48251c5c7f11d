/* Private to lib/net: connections of a bound socket that did not get through the handshake, and why. libzmq
 * tells of a failure without the connection, and then of its end: so the next one that ends is it. */
#ifndef NET_FAILURES_H
#define NET_FAILURES_H

#include <net/net.h>

enum { FAILURES_KEPT = 16 };

struct failures {
    struct net_failure last[FAILURES_KEPT]; /* number n at n % FAILURES_KEPT */
    uint64_t noted, taken;
    uint64_t by_reason[NET_FAILINGS];
    enum net_failing waiting; /* for the connection's end; NET_FAILING_NONE: none does */
};

/* An event of a monitor that is neither ZMQ_EVENT_ACCEPTED nor ZMQ_EVENT_DISCONNECTED, with its value. */
void failures_event(struct failures *failures, uint16_t event, int value);
/* A connection has ended, late: when a handshake had taken too long. */
void failures_ended(struct failures *failures, const char *address, bool late);
bool failures_next(struct failures *failures, struct net_failure *ret_failure);

/* "192.0.2.7:40000"; empty: not known. */
void failures_address(int fd, char address[NET_ADDRESS_MAX]);

#endif
