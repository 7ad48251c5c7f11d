#include "guard.h"
#include "backlog.h"

#include <base/clock.h>
#include <base/error.h>
#include <base/hash.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <zmq.h>

enum {
    LOOK_US = 50000,           /* between two looks at what came */
    CLOSE_LOOK_US = 5000,      /* while some connection has much that did not come out */
    MUCH = 1 << 19,            /* bytes */
    SLACK = 1 << 16,           /* of what libzmq is just looking at */
    SLACK_AT_FIRST = 1 << 10,  /* of greetings */
    SLACK_A_SECOND = 100,      /* of heartbeats */
    BYTE_COST = 32,            /* bytes that libzmq takes for one on the wire at most: 64 for a frame of 2, */
    BYTE_COST_LOCKED = 3,      /* or of 35 by CURVE, with more around it */
    FRAME_EXTRA = 9 + 33,      /* bytes of a frame's head on the wire, and of CURVE, at most */
    SPEAKERS = 8,              /* peers that are remembered of a descriptor */
    DESCRIPTORS_MAX = 1 << 20, /* beyond it connections are counted, not looked at */
    REVOKED_US = 250000,       /* for who is not welcome any more to hear so */
    USER_MAX = 65,             /* a public key as text */
    GREETING = 64,             /* bytes of ZMTP that both sides begin with */
    READY_LEAST = 30,          /* of a READY, by which a plain handshake ends */
    CURVE_WELCOME = 170 + 16,  /* of what follows our greeting, and some; behind it come 58 of our READY */
};

struct connection { /* by descriptor */
    bool open, cut, is_tcp;
    uint64_t number; /* rises from one to the next; 0: none had the descriptor yet */
    int64_t accepted_us;
    uint64_t came;       /* bytes that libzmq had taken in at the last look */
    uint64_t taken;      /* bytes of what was handed to us */
    uint64_t unfinished; /* bytes that had come by the look before, of a message without an end */
    uint64_t kept;       /* bytes in the backlog */
    uint64_t sent;       /* bytes that we gave */
    uint64_t gone;       /* of those, given to the kernel at the last look */
    bool through;        /* the handshake */
    int64_t ends_us;     /* it is cut then; 0: it stays */
    char user[USER_MAX]; /* of its messages; empty: none came, or nobody's */
    char address[NET_ADDRESS_MAX];
    struct speakers *speakers; /* by its descriptor; NULL: none yet */
    size_t spoken;             /* of them since it was accepted */
};

struct known_peer {
    struct net_peer peer; /* length 0: nobody */
    int fd;
    uint64_t number; /* of its connection */
};

struct speakers {
    struct known_peer each[SPEAKERS]; /* the last ones */
    size_t next;                      /* takes the place of the first of them */
};

struct guard {
    void *router, *monitor;
    struct guard_limits limits;
    struct connection *connections;
    size_t capacity;
    struct hmap peers;                /* by their ids, which they may have chosen: */
    uint64_t seed;                    /* nobody knows where they come together */
    const struct known_peer *speaker; /* of what was taken last; NULL: not known */
    struct net_connections counts;
    struct failures failures;
    struct backlog backlog;
    struct kept *handed; /* out last */
    size_t open;         /* and not cut */
    int64_t looked_us;
    uint64_t given; /* bytes to be sent since then */
    uint64_t found; /* bytes that were put into the backlog since then */
    bool drained;   /* since the last look */
    bool much;
};

/* ---- connections come and go ---- */

static struct connection *connection_of(const struct guard *guard, int64_t fd)
{
    return fd >= 0 && (size_t)fd < guard->capacity ? &guard->connections[fd] : NULL;
}

static struct connection *room_for(struct guard *guard, int64_t fd)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX) {
        return NULL;
    }
    if ((size_t)fd >= guard->capacity) {
        size_t capacity = ((size_t)fd + 64) * 2;
        struct connection *grown = realloc(guard->connections, capacity * sizeof *grown);
        if (!grown) {
            return NULL;
        }
        memset(grown + guard->capacity, 0, (capacity - guard->capacity) * sizeof *grown);
        guard->connections = grown;
        guard->capacity = capacity;
    }
    return &guard->connections[fd];
}

struct traffic {
    uint64_t came; /* bytes that libzmq has read */
    uint64_t gone; /* bytes that it has written */
};

/* From the kernel's account; false: it is not TCP, or gone. */
static bool traffic_of(int fd, struct traffic *ret_traffic)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    int unread = 0, unsent = 0; /* of the kernel's buffers */
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
        length < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received ||
        ioctl(fd, SIOCINQ, &unread) != 0 || ioctl(fd, SIOCOUTQ, &unsent) != 0) {
        return false;
    }
    uint64_t waits = unread > 0 ? (uint64_t)unread : 0;
    ret_traffic->came = info.tcpi_bytes_received > waits ? info.tcpi_bytes_received - waits : 0;
    ret_traffic->gone = (uint64_t)info.tcpi_bytes_acked + (unsent > 0 ? (uint64_t)unsent : 0);
    return true;
}

static void on_accepted(struct guard *guard, int fd, int64_t now_us)
{
    struct traffic traffic;
    struct connection *connection = room_for(guard, fd);
    guard->counts.accepted++;
    guard->counts.open++;
    if (!connection) {
        return;
    }
    if (connection->open) { /* its end was not told: it is over all the same */
        guard->counts.open--;
        guard->open -= !connection->cut;
    }
    *connection = (struct connection){.open = true,
                                      .is_tcp = traffic_of(fd, &traffic),
                                      .number = guard->counts.accepted,
                                      .accepted_us = now_us,
                                      .speakers = connection->speakers};
    failures_address(fd, connection->address);
    failures_disown(&guard->failures, connection->address);
    guard->open++;
}

static void on_disconnected(struct guard *guard, int fd, int64_t now_us)
{
    struct connection *connection = connection_of(guard, fd);
    bool known = connection && connection->open;
    failures_ended(&guard->failures, known ? connection->address : "",
                   known && now_us - connection->accepted_us >= guard->limits.handshake_us / 10 * 9, now_us);
    if (connection && connection->open) {
        connection->open = false;
        guard->open -= !connection->cut;
        guard->counts.open--;
    } else if (!connection && guard->counts.open > 0) {
        guard->counts.open--;
    }
}

/* libzmq's thread notices, and closes it. Should it have done so just now, and another connection have its
 * descriptor, then that is cut, and comes again. */
static void cut(struct guard *guard, int fd, uint64_t *count)
{
    guard->connections[fd].cut = true;
    guard->open--;
    (*count)++;
    (void)shutdown(fd, SHUT_RDWR);
}

/* Who came first of those that have said nothing; if all have, the newest. */
static int superfluous(const struct guard *guard)
{
    int silent = -1, newest = -1;
    for (size_t i = 0; i < guard->capacity; i++) {
        const struct connection *c = &guard->connections[i];
        if (!c->open || c->cut) {
            continue;
        }
        if (c->taken == 0 && (silent < 0 || c->number < guard->connections[silent].number)) {
            silent = (int)i;
        }
        if (newest < 0 || c->number > guard->connections[newest].number) {
            newest = (int)i;
        }
    }
    return silent >= 0 ? silent : newest;
}

static bool next_event(struct guard *guard, uint16_t *ret_event, int *ret_value)
{
    uint8_t frame[64];
    int more = 1;
    size_t length = sizeof more;
    int got = zmq_recv(guard->monitor, frame, sizeof frame, ZMQ_DONTWAIT);
    if (got < 6) {
        return false;
    }
    int32_t value;
    memcpy(ret_event, frame, 2);
    memcpy(&value, frame + 2, 4);
    *ret_value = value;
    while (zmq_getsockopt(guard->monitor, ZMQ_RCVMORE, &more, &length) == 0 && more) /* the address */ {
        if (zmq_recv(guard->monitor, frame, sizeof frame, ZMQ_DONTWAIT) < 0) {
            break;
        }
    }
    return true;
}

static void read_events(struct guard *guard, int64_t now_us)
{
    uint16_t event;
    int value;
    while (next_event(guard, &event, &value)) {
        if (event == ZMQ_EVENT_ACCEPTED) {
            on_accepted(guard, value, now_us);
        } else if (event == ZMQ_EVENT_DISCONNECTED) {
            on_disconnected(guard, value, now_us);
        } else {
            guard->counts.failed++;
            failures_event(&guard->failures, event, value, now_us);
        }
    }
    int fd;
    while (guard->open > guard->limits.connections && (fd = superfluous(guard)) >= 0) {
        cut(guard, fd, &guard->counts.refused);
    }
}

/* ---- messages without an end ---- */

/* What came by the last look and was whole has been taken once nothing is left: the rest is of one message.
 */
static uint64_t unfinished(const struct guard *guard, const struct connection *c, int64_t now_us)
{
    uint64_t slack = SLACK_AT_FIRST + (uint64_t)(now_us - c->accepted_us) / 1000000 * SLACK_A_SECOND;
    uint64_t rest = c->came > c->taken + slack ? c->came - c->taken - slack : 0;
    return guard->drained || rest < c->unfinished ? rest : c->unfinished;
}

/* What a connection by TCP has in libzmq. Of a message without an end nobody knows how many frames it has. */
static uint64_t in_libzmq(const struct guard *guard, const struct connection *c)
{
    uint64_t cost = guard->limits.locked ? BYTE_COST_LOCKED : BYTE_COST;
    return (c->came > c->taken ? c->came - c->taken : 0) + c->unfinished * (cost - 1) +
           (c->sent > c->gone ? c->sent - c->gone : 0);
}

/* By what has gone over the wire: libzmq does not say whose handshake is done. By CURVE our READY follows
 * when its key was let in. */
static bool is_through(const struct guard *guard, const struct connection *c, const struct traffic *traffic)
{
    return c->taken > 0 || (guard->limits.locked ? traffic->gone > GREETING + CURVE_WELCOME
                                                 : traffic->came >= GREETING + READY_LEAST);
}

static void look_at(struct guard *guard, int fd, int64_t now_us)
{
    struct traffic traffic;
    struct connection *c = &guard->connections[fd];
    if (!c->open || c->cut || !c->is_tcp || !traffic_of(fd, &traffic)) {
        return;
    }
    c->unfinished = unfinished(guard, c, now_us);
    if (c->unfinished > guard->limits.message + 2 * SLACK) {
        cut(guard, fd, &guard->counts.endless);
        return;
    }
    c->came = traffic.came;
    c->gone = traffic.gone;
    c->through |= is_through(guard, c, &traffic);
    if (c->taken > c->came) { /* frames were counted with more than they may have had around them, */
        c->taken = c->came;
    }
    if (c->gone > c->sent) { /* or with less */
        c->sent = c->gone;
    }
    guard->much |= in_libzmq(guard, c) > MUCH;
}

static struct connection *connection_of_kept(const struct guard *guard, const struct kept *kept)
{
    struct connection *connection = connection_of(guard, kept->fd);
    return connection && connection->number == kept->number ? connection : NULL;
}

static bool is_wanted(void *context, const struct kept *kept)
{
    const struct connection *connection = connection_of_kept(context, kept);
    return connection && connection->open && !connection->cut;
}

struct held {
    uint64_t in_libzmq, kept; /* bytes, of all that are here */
    int greedy;               /* who has most of them; -1: nobody */
};

static struct held held(const struct guard *guard)
{
    struct held all = {.greedy = -1};
    uint64_t most = 0;
    for (size_t i = 0; i < guard->capacity; i++) {
        const struct connection *c = &guard->connections[i];
        if (!c->open || c->cut) {
            continue;
        }
        uint64_t bytes = c->is_tcp ? in_libzmq(guard, c) : 0;
        all.in_libzmq += bytes;
        all.kept += c->kept;
        if (bytes + c->kept > most) {
            most = bytes + c->kept;
            all.greedy = (int)i;
        }
    }
    return all;
}

/* While there is too much, messages of those that have gone have to go, and then who has most. */
static void cut_greedy(struct guard *guard)
{
    struct held all = held(guard);
    if (all.in_libzmq + guard->backlog.bytes <= guard->limits.queued) {
        return;
    }
    while (all.in_libzmq + all.kept > guard->limits.queued && all.greedy >= 0) {
        cut(guard, all.greedy, &guard->counts.greedy);
        all = held(guard);
    }
    backlog_sift(&guard->backlog, is_wanted, guard);
}

/* While too many are not through their handshake, who came first of them has to go. */
static void cut_slow(struct guard *guard)
{
    for (;;) {
        size_t count = 0;
        int first = -1;
        for (size_t i = 0; i < guard->capacity; i++) {
            const struct connection *c = &guard->connections[i];
            if (!c->open || c->cut || !c->is_tcp || c->through) {
                continue;
            }
            count++;
            if (first < 0 || c->number < guard->connections[first].number) {
                first = (int)i;
            }
        }
        if (count <= guard->limits.handshakes || first < 0) {
            return;
        }
        cut(guard, first, &guard->counts.slow);
    }
}

static void cut_revoked(struct guard *guard, int64_t now_us)
{
    for (size_t i = 0; i < guard->capacity; i++) {
        const struct connection *c = &guard->connections[i];
        if (c->open && !c->cut && c->ends_us && now_us >= c->ends_us) {
            cut(guard, (int)i, &guard->counts.revoked);
        }
    }
}

void guard_revoke(struct guard *guard, net_stays *stays, const void *context)
{
    int64_t now_us = clock_monotonic_us(&clock_system);
    read_events(guard, now_us); /* of who was let in before */
    for (size_t i = 0; i < guard->capacity; i++) {
        struct connection *c = &guard->connections[i];
        if (c->open && !c->cut && c->is_tcp && !c->ends_us && !(c->user[0] && stays(context, c->user))) {
            c->ends_us = now_us + REVOKED_US;
        }
    }
}

/* Time is no measure of what comes or is given in a single turn. */
bool guard_is_full(const struct guard *guard)
{
    return guard->given > guard->limits.queued / 8 || guard->found > guard->limits.queued / 8;
}

void guard_look(struct guard *guard)
{
    int64_t now_us = clock_monotonic_us(&clock_system);
    read_events(guard, now_us);
    if (!guard_is_due(guard)) {
        return;
    }
    guard->much = guard->found > MUCH;
    for (size_t i = 0; i < guard->capacity; i++) {
        look_at(guard, (int)i, now_us);
    }
    cut_revoked(guard, now_us);
    cut_slow(guard);
    cut_greedy(guard);
    guard->looked_us = now_us;
    guard->given = 0;
    guard->found = 0;
    guard->drained = false;
}

static int64_t until_due_us(const struct guard *guard)
{
    return guard->looked_us + (guard->much ? CLOSE_LOOK_US : LOOK_US) - clock_monotonic_us(&clock_system);
}

bool guard_is_due(const struct guard *guard)
{
    return guard_is_full(guard) || until_due_us(guard) <= 0;
}

int64_t guard_wait_ms(const struct guard *guard)
{
    if (guard->failures.noted != guard->failures.taken) {
        return FAILURES_WAIT_US / 1000;
    }
    if (guard->open == 0) {
        return -1;
    }
    int64_t us = until_due_us(guard);
    return us <= 0 ? 0 : us / 1000 + 1;
}

/* ---- peers and their connections ---- */

static bool is_peer(const void *entry, const void *key)
{
    const struct known_peer *known = entry;
    return net_peer_equal(&known->peer, key);
}

static uint64_t hash_of(const struct guard *guard, const struct net_peer *peer)
{
    return hash64(peer->bytes, peer->length, guard->seed);
}

static struct known_peer *find_peer(const struct guard *guard, const struct net_peer *peer)
{
    return hmap_get(&guard->peers, hash_of(guard, peer), is_peer, peer);
}

static void forget(struct guard *guard, const struct net_peer *peer)
{
    struct known_peer *known = hmap_remove(&guard->peers, hash_of(guard, peer), is_peer, peer);
    if (known) {
        known->peer.length = 0;
    }
}

/* NULL: nothing could be remembered. */
static struct known_peer *remember(struct guard *guard, struct connection *connection,
                                   const struct net_peer *peer, int fd)
{
    if (!connection->speakers) {
        connection->speakers = calloc(1, sizeof *connection->speakers);
    }
    if (!connection->speakers || connection->spoken == SPEAKERS) {
        return NULL;
    }
    struct known_peer *known = &connection->speakers->each[connection->speakers->next];
    forget(guard, peer);
    forget(guard, &known->peer);
    if (!hmap_add(&guard->peers, hash_of(guard, peer), known)) {
        return NULL;
    }
    *known = (struct known_peer){*peer, fd, connection->number};
    connection->speakers->next = (connection->speakers->next + 1) % SPEAKERS;
    connection->spoken++;
    return known;
}

/* A peer speaks for the first time by that descriptor. What others sent who had it before may come out late,
 * and nobody can tell who of them is there: all are remembered. Where that cannot be, the connection is cut,
 * since what it is given would not be counted. */
static struct known_peer *introduce(struct guard *guard, const struct net_peer *peer, int fd,
                                    const char *user)
{
    read_events(guard, clock_monotonic_us(&clock_system)); /* it was accepted before it spoke */
    struct connection *connection = connection_of(guard, fd);
    struct known_peer *known = connection ? remember(guard, connection, peer, fd) : NULL;
    if (known && connection->spoken == 1) {
        snprintf(connection->user, sizeof connection->user, "%s", user ? user : "");
    } else if (known && strcmp(connection->user, user ? user : "") != 0) {
        connection->user[0] = 0; /* whose it is nobody can tell */
    } else if (!known && connection && connection->open && !connection->cut) {
        cut(guard, fd, &guard->counts.greedy);
    }
    return known;
}

/* NULL: it is not known, or has gone. */
static struct connection *connection_of_peer(const struct guard *guard, const struct known_peer *known)
{
    struct connection *connection = known ? connection_of(guard, known->fd) : NULL;
    return connection && connection->number == known->number ? connection : NULL;
}

void guard_took(struct guard *guard, const struct net_peer *peer, void *body, const char *user, size_t frames,
                size_t bytes)
{
    guard->speaker = NULL;
    if (peer->length == 0) {
        return;
    }
    int fd = zmq_msg_get(body, ZMQ_SRCFD);
    struct known_peer *known = find_peer(guard, peer);
    if (!known || known->fd != fd) {
        known = introduce(guard, peer, fd, user);
    }
    guard->speaker = known;
    struct connection *connection = connection_of_peer(guard, known);
    if (connection) {
        connection->taken += bytes + frames * FRAME_EXTRA;
    }
}

/* Who has its descriptor now, since libzmq takes nothing for who has gone: an id may come again. */
void guard_gave(struct guard *guard, const struct net_peer *peer, size_t bytes)
{
    const struct known_peer *known = find_peer(guard, peer);
    struct connection *connection = known ? connection_of(guard, known->fd) : NULL;
    if (connection) {
        connection->sent += bytes;
    }
    guard->given += bytes;
}

void guard_drained(struct guard *guard)
{
    guard->drained = true;
}

/* ---- the backlog ---- */

void guard_keep(struct guard *guard, const struct net_message *message, size_t frames)
{
    struct connection *connection = connection_of_peer(guard, guard->speaker);
    uint64_t before = guard->backlog.bytes;
    if (connection && connection->cut) {
        return;
    }
    int fd = connection ? (int)(connection - guard->connections) : -1;
    if (backlog_put(&guard->backlog, message, frames, fd, connection ? connection->number : 0)) {
        guard->found += guard->backlog.bytes - before;
        if (connection) {
            connection->kept += guard->backlog.bytes - before;
        }
    } else if (connection && connection->open) {
        cut(guard, fd, &guard->counts.greedy); /* it would miss a message */
    }
}

bool guard_next(struct guard *guard, struct net_message *ret_message, size_t *ret_frames)
{
    free(guard->handed);
    guard->handed = backlog_take(&guard->backlog);
    if (!guard->handed) {
        return false;
    }
    struct connection *connection = connection_of_kept(guard, guard->handed);
    if (connection) {
        connection->kept -= guard->handed->size;
    }
    *ret_message = guard->handed->message;
    *ret_frames = guard->handed->frames;
    return true;
}

bool guard_has_kept(const struct guard *guard)
{
    return guard->backlog.count > 0;
}

/* ---- life ---- */

poise_code guard_open(void *context, void *router, const struct guard_limits *limits,
                      struct guard **ret_guard, poise_error *err)
{
    char endpoint[48];
    int no_linger = 0, unlimited = 0; /* else libzmq's thread waited for us */
    struct guard *guard = calloc(1, sizeof *guard);
    if (!guard) {
        return error_nomem(err, "the connections of a socket");
    }
    if (getrandom(&guard->seed, sizeof guard->seed, GRND_NONBLOCK) != (ssize_t)sizeof guard->seed) {
        guard->seed = (uint64_t)clock_monotonic_us(&clock_system); /* the machine has just started */
    }
    guard->limits = *limits;
    guard->router = router;
    guard->looked_us = clock_monotonic_us(&clock_system);
    snprintf(endpoint, sizeof endpoint, "inproc://guard-%" PRIxPTR, (uintptr_t)guard);
    guard->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!guard->monitor || zmq_setsockopt(guard->monitor, ZMQ_LINGER, &no_linger, sizeof no_linger) != 0 ||
        zmq_setsockopt(guard->monitor, ZMQ_RCVHWM, &unlimited, sizeof unlimited) != 0 ||
        zmq_socket_monitor(router, endpoint,
                           ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
                               ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                               ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) != 0 ||
        zmq_connect(guard->monitor, endpoint) != 0) {
        error_set(err, POISE_EIO, "cannot watch the connections of a socket: %s", zmq_strerror(zmq_errno()));
        guard_close(guard);
        return POISE_EIO;
    }
    *ret_guard = guard;
    return POISE_OK;
}

void guard_close(struct guard *guard)
{
    if (!guard) {
        return;
    }
    (void)zmq_socket_monitor(guard->router, NULL, 0);
    if (guard->monitor) {
        zmq_close(guard->monitor);
    }
    backlog_free(&guard->backlog);
    free(guard->handed);
    for (size_t i = 0; i < guard->capacity; i++) {
        free(guard->connections[i].speakers);
    }
    free(guard->connections);
    hmap_free(&guard->peers);
    free(guard);
}

void *guard_monitor(const struct guard *guard)
{
    return guard->monitor;
}

struct failures *guard_failures(struct guard *guard)
{
    return &guard->failures;
}

const struct net_connections *guard_connections(const struct guard *guard)
{
    return &guard->counts;
}
