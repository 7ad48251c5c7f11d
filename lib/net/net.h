/* ZeroMQ sockets for Poise's two-frame messages [head][body], who is let in, and waking a thread. zmq.h stays
 * inside. A socket belongs to one thread. A TCP endpoint is locked by CURVE where keys are given; else it is
 * refused unless loopback or `insecure`. ipc and inproc are never locked: files' modes say who reaches them.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <base/buf.h>
#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net;        /* a context, one a process; its threads block all signals */
struct net_socket; /* opaque */

poise_code net_open(int io_threads, struct net **ret_net, poise_error *err);
void net_close(struct net *net); /* all sockets must be closed */
/* Whether net_bind and net_connect would take the endpoint: EINVAL, EDENIED. */
poise_code net_check(const char *endpoint, bool insecure, poise_error *err);

/* A TCP endpoint's lock. Who binds it also opens a net_zap before, which says who is let in. */
enum { NET_KEY_BYTES = 32 };
struct net_keys {
    uint8_t public_key[NET_KEY_BYTES], secret_key[NET_KEY_BYTES];
};
struct net_curve {
    struct net_keys own;
    uint8_t server_key[NET_KEY_BYTES]; /* net_connect: the public key that the other side must have */
    const char *domain;                /* net_bind: the endpoint's name in a net_zap_request */
};

bool net_is_tcp(const char *endpoint); /* else it is never locked */

struct net_limits {
    int64_t max_message;    /* bytes of a frame; 0: 262144 */
    int send_hwm;           /* messages a peer; 0: the link's default */
    int receive_hwm;        /* likewise; 0: any number. Another ends the process when a connection breaks */
    size_t max_connections; /* net_bind: at a time; 0: any number, and none is watched */
    int64_t max_queued;    /* with max_connections: bytes of memory in queues for and from all; 0: no limit */
    size_t max_handshakes; /* with max_connections: of those, not through the handshake yet; 0: any number */
    int handshake_ms;      /* that a handshake may take; 0: 5000 */
    const struct net_curve *curve; /* borrowed for the call; NULL: TCP is plain */
};
/* ROUTER with MANDATORY; "tcp://127.0.0.1:*" picks a free port. EINVAL: no endpoint; EDENIED: TCP beyond
 * loopback without keys and `insecure`; EBUSY: the address is in use; EIO. limits may be NULL. */
poise_code net_bind(struct net *net, const char *endpoint, bool insecure, const struct net_limits *limits,
                    struct net_socket **ret_socket, poise_error *err);
/* DEALER, connects in the background and again when cut (backoff 500 ms to 3 to 6 s). EINVAL, EDENIED, EIO.
 */
poise_code net_connect(struct net *net, const char *endpoint, bool insecure, const struct net_limits *limits,
                       struct net_socket **ret_socket, poise_error *err);
void net_socket_close(struct net_socket *socket); /* drops what was not sent */

/* What became of the last try of a DEALER to connect by TCP. */
enum net_trouble {
    NET_NO_TROUBLE, /* it is connected, or none has ended yet, or it is not by TCP */
    NET_NOBODY,     /* nobody listens there, or the network does not lead there */
    NET_BROKEN_OFF, /* the other side ended the handshake: another server key, or no Poise */
    NET_NOT_LET_IN, /* it does not go on with the handshake: our key may not, or it stands still */
    NET_OTHER_LOCK  /* one side has keys and the other has none; or no ZeroMQ */
};
/* Ask now and then: what happened is dated when it is read. NULL: no socket, no trouble. */
enum net_trouble net_trouble(const struct net_socket *socket);

/* A bound socket with max_connections sees to them whenever its thread is in net_wait. For one too many that
 * one is cut which came first of those that have said nothing; if all have spoken, the newest. By TCP one
 * that sends a message without an end is cut, too; while queues hold more than max_queued, those with most in
 * them; and while more than max_handshakes are not through their handshake, the oldest of these. */
struct net_connections {
    uint64_t open;
    uint64_t accepted;
    uint64_t refused; /* one too many */
    uint64_t endless; /* cut because of a message without an end */
    uint64_t greedy;  /* cut because of what was queued */
    uint64_t slow;    /* cut because too many were not through the handshake */
    uint64_t revoked; /* cut by net_socket_revoke */
    uint64_t failed;  /* that did not get through the handshake, or could not be accepted */
};
void net_socket_connections(const struct net_socket *socket, struct net_connections *ret_connections);

/* Why a connection did not get through the handshake. */
enum net_failing {
    NET_FAILING_NONE,
    NET_FAILING_DENIED,    /* its key was not let in (net_zap_answer) */
    NET_FAILING_MECHANISM, /* plain to a locked endpoint, or CURVE to a plain one */
    NET_FAILING_KEY,       /* CURVE, but to another public key */
    NET_FAILING_PROTOCOL,  /* what it said is no handshake */
    NET_FAILING_TIME,      /* it took too long */
    NET_FAILING_LEFT,      /* it was closed before, or spoke nothing like ZeroMQ */
    NET_FAILING_ACCEPT,    /* it could not be accepted, or had gone before */
    NET_FAILINGS
};
const char *net_failing_name(enum net_failing failing); /* "wrong_key" */
enum { NET_ADDRESS_MAX = 64 };
struct net_failure {
    enum net_failing why;
    char address[NET_ADDRESS_MAX]; /* empty: not known */
    uint64_t lost;                 /* so many before it are not told */
};
/* The next that failed; of many at once only the last 16. false: that was all. */
bool net_socket_failure(struct net_socket *socket, struct net_failure *ret_failure);
uint64_t net_socket_failed(const struct net_socket *socket, enum net_failing why); /* how many */

/* Ends the connections by TCP of users that do not stay, a little later, so that they can be told. libzmq
 * does not say whose a connection is that has never sent a message: such are ended, too; who may comes again.
 */
typedef bool net_stays(const void *context, const char *user);
void net_socket_revoke(struct net_socket *socket, net_stays *stays, const void *context);

/* Where it is bound, with the port that was chosen. */
const char *net_endpoint(const struct net_socket *socket);

/* A peer of a ROUTER, as libzmq names its connection; a new connection is a new peer. */
enum { NET_PEER_MAX = 32 };
struct net_peer {
    uint8_t length; /* 0 on a DEALER */
    uint8_t bytes[NET_PEER_MAX];
};
bool net_peer_equal(const struct net_peer *a, const struct net_peer *b);
struct net_message {
    struct net_peer peer;
    const void *head; /* borrowed until the next receive on the socket */
    size_t head_length;
    const void *body;
    size_t body_length;
    const char *user; /* as net_zap_answer said of its connection, borrowed likewise; NULL: nobody did */
};
/* Never blocks. ENOTFOUND: nothing there. EPROTO: a message with other than two frames, or of a peer that
 * chose its routing id, was thrown away (ret_message->peer is set where known). */
poise_code net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err);
/* Never blocks. EFULL: that peer's queue is full (or a DEALER has no connection): keep it and try later;
 * ECLOSED: the peer is gone. Bytes are copied. peer is ignored on a DEALER. */
poise_code net_send(struct net_socket *socket, const struct net_peer *peer, const void *head,
                    size_t head_length, const void *body, size_t body_length, poise_error *err);

/* Who wants to be let in by CURVE, from all the sockets of a net; one a net, one thread. Each that is heard
 * of must be answered before the next. */
struct net_zap; /* opaque */
struct net_zap_request {
    uint8_t key[NET_KEY_BYTES]; /* public; that it has the secret one is proven */
    char domain[32], address[64];
};
poise_code net_zap_open(struct net *net, struct net_zap **ret_zap, poise_error *err);
void net_zap_close(struct net_zap *zap);
/* Never blocks. ENOTFOUND: nobody; EPROTO: it was no request of CURVE, and is refused. */
poise_code net_zap_next(struct net_zap *zap, struct net_zap_request *ret_request, poise_error *err);
/* NULL: not let in. Else a text of at most 255 bytes, which its messages will carry as net_message.user. */
void net_zap_answer(struct net_zap *zap, const char *user);

/* Wakes a thread that waits in net_wait. */
struct net_wake; /* opaque; net_wake_up may be called by any thread */
poise_code net_wake_open(struct net_wake **ret_wake, poise_error *err);
void net_wake_close(struct net_wake *wake);
void net_wake_up(struct net_wake *wake);
void net_wake_clear(struct net_wake *wake); /* the waiting thread, before it looks at its queues */

struct net_wait {
    struct net_socket *socket; /* or */
    struct net_wake *wake;     /* or */
    struct net_zap *zap;       /* or */
    int fd;                    /* with all of them NULL; -1: none */
    bool want_send;            /* ask for room to send instead of something to receive (fd, DEALER) */
    bool aside; /* a bound socket's messages are not wanted now, only its connections seen to */
    bool ready; /* set by net_wait */
};
enum { NET_WAIT_MAX = 16 };
/* Blocks until one is ready or timeout_ms went by (-1: for ever); a socket's connections may end it early.
 * EIO; EINVAL: more than NET_WAIT_MAX items. A signal ends the wait without error. */
poise_code net_wait(struct net_wait *items, size_t count, int64_t timeout_ms, poise_error *err);

#endif
