/* Private to lib/net: how many connections a ROUTER has, and how much of a message that does not end libzmq
 * keeps for them; it limits neither. Its monitor tells of each connection, the kernel how many bytes came by
 * TCP; what came and was not handed to us is what libzmq holds. Who is too much is shut down, and libzmq
 * closes him. Belongs to the socket's thread. */
#ifndef NET_GUARD_H
#define NET_GUARD_H

#include "failures.h"
#include <net/net.h>

struct guard; /* opaque */

struct guard_limits {
    size_t connections;
    size_t message;       /* bytes of a frame */
    uint64_t queued;      /* bytes that it may keep, of all by TCP, in both directions */
    size_t handshakes;    /* connections by TCP that are not through theirs */
    int64_t handshake_us; /* that one may take */
    bool locked;          /* by CURVE */
};

/* Before the socket is bound. ENOMEM, EIO. */
poise_code guard_open(void *context, void *router, const struct guard_limits *limits,
                      struct guard **ret_guard, poise_error *err);
void guard_close(struct guard *guard);          /* before the socket; NULL is fine */
void *guard_monitor(const struct guard *guard); /* to be waited for */
/* Until it wants to look; -1: not by itself. */
int64_t guard_wait_ms(const struct guard *guard);
void guard_look(struct guard *guard);
/* A message was received, whose frames had so many bytes; body is a zmq_msg_t; user NULL: nobody's. */
void guard_took(struct guard *guard, const struct net_peer *peer, void *body, const char *user, size_t frames,
                size_t bytes);
/* A message with so many bytes was taken by libzmq for that peer. */
void guard_gave(struct guard *guard, const struct net_peer *peer, size_t bytes);
/* Nothing was there to be received. */
void guard_drained(struct guard *guard);
/* As net_socket_revoke. */
void guard_revoke(struct guard *guard, net_stays *stays, const void *context);
const struct net_connections *guard_connections(const struct guard *guard);
struct failures *guard_failures(struct guard *guard);

#endif
