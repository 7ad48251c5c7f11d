#include "guard.h"
#include "socket.h"
#include "trouble.h"
#include <base/clock.h>
#include <base/error.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

enum {
    ENDPOINT_MAX = 512,
    DEFAULT_MESSAGE_MAX = 262144,
    DEFAULT_HANDSHAKE_MS = 5000,
    RECONNECT_MS = 500, /* after a cut, and what is added by chance to each pause */
    RECONNECT_LEAST_MS = 3000,
    RECONNECT_MOST_MS = 6000,
    SOCKETS_MAX = 4096,    /* of a process, each with its monitor; libzmq's 1,023 are 500 clients */
    TAKE_FRAMES = 1 << 17, /* out of libzmq before a look, some 10 ms */
    CURVE_EXTRA = 33       /* bytes that CURVE adds to a frame, and libzmq counts as the frame's */
};

struct net {
    void *context;
};

struct frames {
    zmq_msg_t peer, head, body;
};

struct net_socket {
    void *handle;
    bool router;
    bool locked;             /* by CURVE */
    struct guard *guard;     /* of a ROUTER with a limit of connections; else NULL */
    struct trouble *trouble; /* of a DEALER by TCP; else NULL */
    struct frames received;  /* last */
    char endpoint[ENDPOINT_MAX];
};

static poise_code zmq_failed(poise_error *err, const char *what, const char *endpoint)
{
    int number = zmq_errno();
    poise_code code = number == EADDRINUSE                   ? POISE_EBUSY
                      : number == EINVAL || number == ENODEV ? POISE_EINVAL
                                                             : POISE_EIO;
    return error_set(err, code, "cannot %s %s: %s", what, endpoint, zmq_strerror(number));
}

/* ---- context ---- */

/* libzmq starts its threads with the first socket; they inherit the mask of signals. */
static bool start_threads(void *context)
{
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        return false;
    }
    void *first = zmq_socket(context, ZMQ_DEALER);
    bool fine = first && zmq_close(first) == 0;
    return pthread_sigmask(SIG_SETMASK, &before, NULL) == 0 && fine;
}

poise_code net_open(int io_threads, struct net **ret_net, poise_error *err)
{
    struct net *net = malloc(sizeof *net);
    if (!net) {
        return error_nomem(err, "the network");
    }
    net->context = zmq_ctx_new();
    if (!net->context || zmq_ctx_set(net->context, ZMQ_IO_THREADS, io_threads) != 0 ||
        zmq_ctx_set(net->context, ZMQ_BLOCKY, 0) != 0 ||
        zmq_ctx_set(net->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX) != 0 || !start_threads(net->context)) {
        error_set(err, POISE_EIO, "cannot start %d network threads: %s", io_threads,
                  zmq_strerror(zmq_errno()));
        net_close(net);
        return POISE_EIO;
    }
    *ret_net = net;
    return POISE_OK;
}

void net_close(struct net *net)
{
    if (net) {
        while (net->context && zmq_ctx_term(net->context) != 0 && zmq_errno() == EINTR) {
        }
        free(net);
    }
}

void *net_context(const struct net *net)
{
    return net->context;
}

/* ---- options ---- */

struct option {
    int name, value;
};

static bool set_options(void *handle, const struct option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (zmq_setsockopt(handle, options[i].name, &options[i].value, sizeof options[i].value) != 0) {
            return false;
        }
    }
    return true;
}
#define SET_OPTIONS(handle, options) set_options(handle, options, sizeof(options) / sizeof *(options))

static int64_t max_message(const struct net_limits *limits)
{
    return limits && limits->max_message > 0 ? limits->max_message : DEFAULT_MESSAGE_MAX;
}

/* No limit, unless one is asked for: where a connection breaks whose queue is full, libzmq 4.3.4 ends the
 * process (at its next heartbeat, or when it finds a PING in the rest). So credit bounds the queues of honest
 * peers, and a guard those of all. */
static int receive_hwm(const struct net_limits *limits)
{
    return limits && limits->receive_hwm > 0 ? limits->receive_hwm : 0;
}

static int handshake_ms(const struct net_limits *limits)
{
    return limits && limits->handshake_ms > 0 ? limits->handshake_ms : DEFAULT_HANDSHAKE_MS;
}

static bool set_limits(const struct net_socket *socket, const struct net_limits *limits)
{
    const struct net_limits given = limits ? *limits : (struct net_limits){0};
    int64_t message = max_message(limits) + (given.curve ? CURVE_EXTRA : 0);
    const struct option options[] = {
        {ZMQ_SNDHWM, given.send_hwm > 0 ? given.send_hwm
                     : socket->router   ? 64
                                        : 32},
        {ZMQ_RCVHWM, receive_hwm(limits)},
        {ZMQ_HANDSHAKE_IVL, handshake_ms(limits)},
    };
    return zmq_setsockopt(socket->handle, ZMQ_MAXMSGSIZE, &message, sizeof message) == 0 &&
           SET_OPTIONS(socket->handle, options);
}

/* Between two tries at most, another for each socket: libzmq doubles its pause and adds less than
 * RECONNECT_MS by chance, so that all who were cut at one moment would come back at one, too. */
static int reconnect_most_ms(void)
{
    unsigned chance = 0;
    if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != (ssize_t)sizeof chance) {
        chance = 0; /* then it comes with others */
    }
    return RECONNECT_LEAST_MS + (int)(chance % (RECONNECT_MOST_MS - RECONNECT_LEAST_MS));
}

static bool configure(const struct net_socket *socket, bool ipv6, const struct net_limits *limits)
{
    static const struct option common[] = {{ZMQ_LINGER, 0},
                                           {ZMQ_HEARTBEAT_IVL, 5000},
                                           {ZMQ_HEARTBEAT_TIMEOUT, 15000},
                                           {ZMQ_HEARTBEAT_TTL, 15000},
                                           {ZMQ_TCP_KEEPALIVE, 1}};
    /* HANDOVER would let a peer take over another's connection by its routing id. */
    static const struct option router[] = {
        {ZMQ_ROUTER_MANDATORY, 1}, {ZMQ_ROUTER_HANDOVER, 0}, {ZMQ_BACKLOG, 256}};
    /* IMMEDIATE: nothing is queued for a peer that is not there. */
    const struct option dealer[] = {{ZMQ_IMMEDIATE, 1},
                                    {ZMQ_RECONNECT_IVL, RECONNECT_MS},
                                    {ZMQ_RECONNECT_IVL_MAX, reconnect_most_ms()},
                                    {ZMQ_CONNECT_TIMEOUT, 5000}};
    const struct option addresses[] = {{ZMQ_IPV6, ipv6}};
    return SET_OPTIONS(socket->handle, common) && SET_OPTIONS(socket->handle, addresses) &&
           (socket->router ? SET_OPTIONS(socket->handle, router) : SET_OPTIONS(socket->handle, dealer)) &&
           set_limits(socket, limits);
}

/* Without ZAP_ENFORCE_DOMAIN libzmq lets every key in while nobody answers for ZAP. */
static bool set_curve(const struct net_socket *socket, const struct net_curve *curve)
{
    enum { ZAP_ENFORCE_DOMAIN = 93 }; /* libzmq's macro is among its drafts */
    static const struct option server[] = {{ZMQ_CURVE_SERVER, 1}, {ZAP_ENFORCE_DOMAIN, 1}};
    void *handle = socket->handle;
    if (zmq_setsockopt(handle, ZMQ_CURVE_SECRETKEY, curve->own.secret_key, NET_KEY_BYTES) != 0) {
        return false;
    }
    if (socket->router) {
        return SET_OPTIONS(handle, server) &&
               zmq_setsockopt(handle, ZMQ_ZAP_DOMAIN, curve->domain, strlen(curve->domain)) == 0;
    }
    return zmq_setsockopt(handle, ZMQ_CURVE_PUBLICKEY, curve->own.public_key, NET_KEY_BYTES) == 0 &&
           zmq_setsockopt(handle, ZMQ_CURVE_SERVERKEY, curve->server_key, NET_KEY_BYTES) == 0;
}

/* ---- sockets ---- */

static void frames_open(struct frames *frames)
{
    zmq_msg_init(&frames->peer);
    zmq_msg_init(&frames->head);
    zmq_msg_init(&frames->body);
}

static void frames_close(struct frames *frames)
{
    zmq_msg_close(&frames->peer);
    zmq_msg_close(&frames->head);
    zmq_msg_close(&frames->body);
}

static struct net_socket *new_socket(struct net *net, bool router)
{
    struct net_socket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        return NULL;
    }
    frames_open(&socket->received);
    socket->router = router;
    socket->handle = zmq_socket(net->context, router ? ZMQ_ROUTER : ZMQ_DEALER);
    return socket;
}

static poise_code watch(struct net *net, struct net_socket *socket, const char *endpoint,
                        const struct net_limits *limits, bool locked, poise_error *err)
{
    if (!socket->router) {
        return net_is_tcp(endpoint) ? trouble_open(net->context, socket->handle, &socket->trouble, err)
                                    : POISE_OK;
    }
    if (!limits || limits->max_connections == 0) {
        return POISE_OK;
    }
    const struct guard_limits guard = {
        .connections = limits->max_connections,
        .message = (size_t)max_message(limits),
        .queued = limits->max_queued > 0 ? (uint64_t)limits->max_queued : UINT64_MAX,
        .handshakes = limits->max_handshakes > 0 ? limits->max_handshakes : SIZE_MAX,
        .handshake_us = (int64_t)handshake_ms(limits) * 1000,
        .locked = locked};
    return guard_open(net->context, socket->handle, &guard, &socket->guard, err);
}

static poise_code attach(struct net_socket *socket, const char *endpoint, poise_error *err)
{
    size_t length = sizeof socket->endpoint;
    if (socket->router) {
        return zmq_bind(socket->handle, endpoint) == 0 &&
                       zmq_getsockopt(socket->handle, ZMQ_LAST_ENDPOINT, socket->endpoint, &length) == 0
                   ? POISE_OK
                   : zmq_failed(err, "bind", endpoint);
    }
    memcpy(socket->endpoint, endpoint, strlen(endpoint) + 1);
    return zmq_connect(socket->handle, endpoint) == 0 ? POISE_OK : zmq_failed(err, "connect to", endpoint);
}

static poise_code open_socket(struct net *net, bool router, const char *endpoint, bool insecure,
                              const struct net_limits *limits, struct net_socket **ret_socket,
                              poise_error *err)
{
    if (strlen(endpoint) >= ENDPOINT_MAX) {
        return error_set(err, POISE_EINVAL, "the endpoint has %zu bytes; at most %d are allowed",
                         strlen(endpoint), ENDPOINT_MAX - 1);
    }
    const struct net_curve *curve = limits ? limits->curve : NULL;
    bool ipv6;
    poise_code code = endpoint_check(endpoint, insecure || curve, &ipv6, err);
    if (code != POISE_OK) {
        return code;
    }
    bool locked = curve && net_is_tcp(endpoint);
    struct net_socket *socket = new_socket(net, router);
    if (!socket) {
        return error_nomem(err, "a socket");
    }
    socket->locked = locked;
    code = socket->handle && configure(socket, ipv6, limits) && (!locked || set_curve(socket, curve))
               ? watch(net, socket, endpoint, limits, locked, err)
               : zmq_failed(err, "make a socket for", endpoint);
    if (code == POISE_OK) {
        code = attach(socket, endpoint, err);
    }
    if (code != POISE_OK) {
        net_socket_close(socket);
        return code;
    }
    *ret_socket = socket;
    return POISE_OK;
}

poise_code net_bind(struct net *net, const char *endpoint, bool insecure, const struct net_limits *limits,
                    struct net_socket **ret_socket, poise_error *err)
{
    return open_socket(net, true, endpoint, insecure, limits, ret_socket, err);
}

poise_code net_connect(struct net *net, const char *endpoint, bool insecure, const struct net_limits *limits,
                       struct net_socket **ret_socket, poise_error *err)
{
    return open_socket(net, false, endpoint, insecure, limits, ret_socket, err);
}

void net_socket_close(struct net_socket *socket)
{
    if (socket) {
        frames_close(&socket->received);
        guard_close(socket->guard);
        trouble_close(socket->trouble);
        if (socket->handle) {
            zmq_close(socket->handle);
        }
        free(socket);
    }
}

const char *net_endpoint(const struct net_socket *socket)
{
    return socket->endpoint;
}

void net_socket_connections(const struct net_socket *socket, struct net_connections *ret_connections)
{
    *ret_connections = socket->guard ? *guard_connections(socket->guard) : (struct net_connections){0};
}

enum net_trouble net_trouble(const struct net_socket *socket)
{
    return socket && socket->trouble ? trouble_last(socket->trouble) : NET_NO_TROUBLE;
}

bool net_socket_failure(struct net_socket *socket, struct net_failure *ret_failure)
{
    return socket->guard &&
           failures_next(guard_failures(socket->guard), clock_monotonic_us(&clock_system), ret_failure);
}

uint64_t net_socket_failed(const struct net_socket *socket, enum net_failing why)
{
    return socket->guard ? guard_failures(socket->guard)->by_reason[why] : 0;
}

void net_socket_revoke(struct net_socket *socket, net_stays *stays, const void *context)
{
    if (socket->guard) {
        guard_revoke(socket->guard, stays, context);
    }
}

struct guard *socket_guard(const struct net_socket *socket)
{
    return socket->guard;
}

void *socket_handle(const struct net_socket *socket)
{
    return socket->handle;
}

/* ---- receiving ---- */

/* A signal must not cut a message between its frames. */
static bool receive_frame(void *handle, zmq_msg_t *frame)
{
    int received;
    do {
        received = zmq_msg_recv(frame, handle, ZMQ_DONTWAIT);
    } while (received < 0 && zmq_errno() == EINTR);
    return received >= 0;
}

/* Receives the frames of one message, the first `wanted` of them into frames, and drops the others as they
 * come. Returns how many there were, and their bytes; 0: no message, or an error in zmq_errno. */
static size_t receive_frames(void *handle, zmq_msg_t *const *frames, size_t wanted, size_t *ret_bytes)
{
    size_t count = 0;
    *ret_bytes = 0;
    zmq_msg_t surplus;
    zmq_msg_init(&surplus);
    for (bool more = true; more; count++) {
        zmq_msg_t *frame = count < wanted ? frames[count] : &surplus;
        if (!receive_frame(handle, frame)) {
            break;
        }
        more = zmq_msg_more(frame) != 0;
        *ret_bytes += zmq_msg_size(frame);
    }
    zmq_msg_close(&surplus);
    return count;
}

static poise_code receive_failed(const struct net_socket *socket, poise_error *err)
{
    int number = zmq_errno();
    if (number == EAGAIN) {
        return error_set(err, POISE_ENOTFOUND, "no message is there");
    }
    return error_set(err, number == ETERM ? POISE_ECLOSED : POISE_EIO, "cannot receive from %s: %s",
                     socket->endpoint, zmq_strerror(number));
}

/* Routing ids that libzmq made begin with 0. Those that peers choose could be somebody else's. */
static bool take_peer(zmq_msg_t *frame, struct net_peer *ret_peer)
{
    const uint8_t *bytes = zmq_msg_data(frame);
    size_t length = zmq_msg_size(frame);
    if (length == 0 || length > NET_PEER_MAX || bytes[0] != 0) {
        return false;
    }
    ret_peer->length = (uint8_t)length;
    memcpy(ret_peer->bytes, bytes, length);
    return true;
}

bool net_peer_equal(const struct net_peer *a, const struct net_peer *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static size_t frames_wanted(const struct net_socket *socket)
{
    return socket->router ? 3 : 2;
}

/* Takes a message out of libzmq, and says how many frames it has; 0: as receive_frames. Its head and body are
 * set, and point into `frames`, where it has as many as it must. */
static size_t take(struct net_socket *socket, struct frames *frames, struct net_message *ret_message)
{
    zmq_msg_t *const each[] = {&frames->peer, &frames->head, &frames->body};
    size_t wanted = frames_wanted(socket);
    size_t bytes, count = receive_frames(socket->handle, each + 3 - wanted, wanted, &bytes);
    *ret_message = (struct net_message){0};
    if (count == 0) {
        return 0;
    }
    /* Of the body: behind zmq_poll the first frame of a ROUTER has none. */
    zmq_msg_t *last = count > 2 ? &frames->body : &frames->head;
    ret_message->user = socket->locked && socket->router && count > 1 ? zmq_msg_gets(last, "User-Id") : NULL;
    (void)(socket->router && take_peer(&frames->peer, &ret_message->peer));
    if (socket->guard) {
        guard_took(socket->guard, &ret_message->peer, last, ret_message->user, count, bytes);
    }
    if (count == wanted) {
        ret_message->head = zmq_msg_data(&frames->head);
        ret_message->head_length = zmq_msg_size(&frames->head);
        ret_message->body = zmq_msg_data(&frames->body);
        ret_message->body_length = zmq_msg_size(&frames->body);
    }
    return count;
}

/* Until so many frames have come, none is left, or it is too much not to look before more; returns how many.
 * What was received last stays. */
static size_t take_out(struct net_socket *socket, size_t most)
{
    struct net_message message;
    struct frames frames;
    size_t taken = 0, count;
    frames_open(&frames);
    for (; taken < most && !guard_is_full(socket->guard); taken += count) {
        if ((count = take(socket, &frames, &message)) == 0) {
            guard_drained(socket->guard);
            break;
        }
        guard_keep(socket->guard, &message, count);
    }
    frames_close(&frames);
    return taken;
}

void socket_look(struct net_socket *socket)
{
    bool more = guard_is_due(socket->guard);
    size_t taken = 0;
    do {
        taken += more ? take_out(socket, TAKE_FRAMES - taken) : 0;
        more = guard_is_full(socket->guard) && taken < TAKE_FRAMES;
        guard_look(socket->guard);
    } while (more);
}

/* Also between waits: what is done in a turn can take long. */
static void look_when_due(struct net_socket *socket)
{
    if (socket->guard && guard_is_due(socket->guard)) {
        socket_look(socket);
    }
}

poise_code net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err)
{
    size_t count;
    look_when_due(socket);
    if (socket->guard && guard_has_kept(socket->guard)) {
        take_out(socket, 1); /* libzmq's turns go on, else who is just coming waited until the next look */
    }
    if (!(socket->guard && guard_next(socket->guard, ret_message, &count)) &&
        (count = take(socket, &socket->received, ret_message)) == 0) {
        if (socket->guard) {
            guard_drained(socket->guard);
        }
        return receive_failed(socket, err);
    }
    if (socket->router && ret_message->peer.length == 0) {
        return error_set(err, POISE_EPROTO, "a peer of %s chose its routing id; it must not",
                         socket->endpoint);
    }
    if (count != frames_wanted(socket)) {
        return error_set(err, POISE_EPROTO,
                         "a message with %zu frames came to %s; it must have 2: head, body",
                         socket->router ? count - 1 : count, socket->endpoint);
    }
    return POISE_OK;
}

/* ---- sending ---- */

static bool send_frame(void *handle, const void *bytes, size_t length, int flags)
{
    int sent;
    do {
        sent = zmq_send(handle, bytes, length, ZMQ_DONTWAIT | flags);
    } while (sent < 0 && zmq_errno() == EINTR);
    return sent >= 0;
}

static poise_code send_failed(const struct net_socket *socket, poise_error *err)
{
    int number = zmq_errno();
    switch (number) {
    case EAGAIN:
        return error_set(err, POISE_EFULL, "%s: nobody is connected, or the queue is full", socket->endpoint);
    case EHOSTUNREACH:
        return error_set(err, POISE_ECLOSED, "%s: that peer is gone", socket->endpoint);
    default:
        return error_set(err, POISE_EIO, "cannot send by %s: %s", socket->endpoint, zmq_strerror(number));
    }
}

poise_code net_send(struct net_socket *socket, const struct net_peer *peer, const void *head,
                    size_t head_length, const void *body, size_t body_length, poise_error *err)
{
    bool sent = (!socket->router || send_frame(socket->handle, peer->bytes, peer->length, ZMQ_SNDMORE)) &&
                send_frame(socket->handle, head, head_length, ZMQ_SNDMORE) &&
                send_frame(socket->handle, body, body_length, 0);
    poise_code code = sent ? POISE_OK : send_failed(socket, err);
    if (sent && socket->guard) {
        guard_gave(socket->guard, peer, head_length + body_length);
    }
    look_when_due(socket); /* what could not be sent took its time, too */
    return code;
}
