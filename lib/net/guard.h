/* Private to lib/net: how many connections a ROUTER has, and what is held for them; libzmq limits neither.
 * Its monitor tells of each connection, the kernel how many bytes came by TCP. Before each look whole
 * messages are taken out of libzmq into a backlog, since it keeps those of a connection that has gone: so
 * what came and was not taken is of messages without an end. Who is too much is shut down, and libzmq closes
 * him. Belongs to the socket's thread. */
#ifndef NET_GUARD_H
#define NET_GUARD_H

#include "failures.h"
#include <net/net.h>

struct guard; /* opaque */

struct guard_limits {
    size_t connections;
    size_t message;       /* bytes of a frame */
    uint64_t queued;      /* bytes of memory for messages of all by TCP, in both directions */
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
/* Is it time for a look? Then what is in libzmq has to be taken out and kept before. */
bool guard_is_due(const struct guard *guard);
/* It is, since so much came or was given: nothing more should before. */
bool guard_is_full(const struct guard *guard);
/* A message was taken out of libzmq, whose frames had so many bytes; body is a zmq_msg_t; user NULL:
 * nobody's. */
void guard_took(struct guard *guard, const struct net_peer *peer, void *body, const char *user, size_t frames,
                size_t bytes);
/* A message with so many bytes was taken by libzmq for that peer. */
void guard_gave(struct guard *guard, const struct net_peer *peer, size_t bytes);
/* Copies the message that was taken last, until it is handed out; of a connection that was cut it is dropped.
 */
void guard_keep(struct guard *guard, const struct net_message *message, size_t frames);
/* Hands out the oldest kept of the connection whose turn it is, borrowed until the next; false: there is
 * none. */
bool guard_next(struct guard *guard, struct net_message *ret_message, size_t *ret_frames);
bool guard_has_kept(const struct guard *guard);
/* Nothing was in libzmq. */
void guard_drained(struct guard *guard);
/* As net_socket_revoke. */
void guard_revoke(struct guard *guard, net_stays *stays, const void *context);
const struct net_connections *guard_connections(const struct guard *guard);
struct failures *guard_failures(struct guard *guard);

#endif
