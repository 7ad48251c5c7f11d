#include "simulation.h"

#include <base/error.h>
#include <net/net.h>
#include <stdlib.h>
#include <string.h>

/* A message on its way. */
struct letter {
    struct letter *next;
    size_t head_length, length; /* of head and body together */
    uint8_t bytes[];
};
/* One direction of a connection, first in first out. */
struct lane {
    struct letter *first, *last;
    size_t count, arrived; /* so many of them may be received */
};
enum { AT_DEALER, AT_ROUTER, ENDS };
/* A connection. Where it is cut, what had arrived can still be received. */
struct line {
    struct net_socket *ends[ENDS]; /* NULL: has let go */
    struct lane lanes[ENDS];       /* towards an end */
    uint32_t number;
    bool cut;
};
struct net_socket {
    bool router;
    char endpoint[64];
    size_t capacity; /* letters in a lane */
    int64_t connect_us;
    struct letter *held; /* received last */
};
struct net_wake {
    bool up;
    bool asleep;
    int64_t until_us;
    struct net_socket *socket; /* that its thread waits for too */
};
struct net {
    char nothing;
};

enum { SOCKETS_MAX = 32, LINES_MAX = 128, RECONNECT_US = 500000 };

static struct {
    struct net_socket *sockets[SOCKETS_MAX];
    struct line *lines[LINES_MAX];
    size_t socket_count, line_count;
    uint32_t last_number;
    struct net_wake *wakes[1 + PARTS]; /* as aggregator.c opens them: its own, then those of the parts */
    size_t wake_count;
    void (*meanwhile)(void);
    size_t bulk;
} network;

void network_start(void)
{
    memset(&network, 0, sizeof network);
}

void network_meanwhile(void (*move)(void))
{
    network.meanwhile = move;
}

void network_bulk(size_t times)
{
    network.bulk = times;
}

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
size_t __real_wire_state_size(const poise_state *state);
size_t __wrap_wire_state_size(const poise_state *state);

size_t __wrap_wire_state_size(const poise_state *state)
{
    return __real_wire_state_size(state) * network.bulk;
}

/* ---- lanes ---- */

static void lane_push(struct lane *lane, struct letter *letter)
{
    letter->next = NULL;
    *(lane->first ? &lane->last->next : &lane->first) = letter;
    lane->last = letter;
    lane->count++;
}

static struct letter *lane_pop(struct lane *lane)
{
    struct letter *letter = lane->first;
    lane->first = letter->next;
    lane->count--;
    lane->arrived -= lane->arrived > 0;
    return letter;
}

/* Loses all but what `kept` says. */
static void lane_cut(struct lane *lane, size_t kept)
{
    struct lane rest = {0};
    while (rest.count < kept) {
        lane_push(&rest, lane_pop(lane));
    }
    while (lane->first) {
        free(lane_pop(lane));
    }
    rest.arrived = kept;
    *lane = rest;
}

/* ---- lines ---- */

static void forget(size_t index)
{
    struct line *line = network.lines[index];
    for (size_t end = 0; end < ENDS; end++) {
        lane_cut(&line->lanes[end], 0);
    }
    free(line);
    network.line_count--;
    memmove(&network.lines[index], &network.lines[index + 1],
            (network.line_count - index) * sizeof *network.lines);
}

/* Forgets cut lines from which nothing more can be received. */
static void sweep(void)
{
    for (size_t i = network.line_count; i-- > 0;) {
        struct line *line = network.lines[i];
        for (size_t end = 0; end < ENDS; end++) {
            if (line->cut && line->lanes[end].arrived == 0) {
                line->ends[end] = NULL;
            }
        }
        if (!line->ends[AT_DEALER] && !line->ends[AT_ROUTER]) {
            forget(i);
        }
    }
}

static void cut(struct line *line)
{
    line->cut = true;
    for (size_t end = 0; end < ENDS; end++) {
        struct lane *lane = &line->lanes[end];
        lane_cut(lane, line->ends[end] && one_in(2) ? lane->arrived : 0);
    }
    if (line->ends[AT_DEALER]) {
        line->ends[AT_DEALER]->connect_us = now_us() + RECONNECT_US;
    }
}

static struct line *live_line(const struct net_socket *dealer)
{
    for (size_t i = 0; i < network.line_count; i++) {
        struct line *line = network.lines[i];
        if (line->ends[AT_DEALER] == dealer && !line->cut) {
            return line;
        }
    }
    return NULL;
}

static void connect_line(struct net_socket *dealer)
{
    struct net_socket *router = NULL;
    for (size_t i = 0; i < network.socket_count; i++) {
        struct net_socket *socket = network.sockets[i];
        router = socket->router && strcmp(socket->endpoint, dealer->endpoint) == 0 ? socket : router;
    }
    if (!router) {
        dealer->connect_us = now_us() + RECONNECT_US;
        return;
    }
    struct line *line = calloc(1, sizeof *line);
    assert_non_null(line);
    assert_true(network.line_count < LINES_MAX);
    line->ends[AT_DEALER] = dealer;
    line->ends[AT_ROUTER] = router;
    line->number = ++network.last_number;
    network.lines[network.line_count++] = line;
}

void network_move(void)
{
    for (size_t i = 0; i < network.socket_count; i++) {
        struct net_socket *socket = network.sockets[i];
        if (!socket->router && now_us() >= socket->connect_us && !live_line(socket) && one_in(2)) {
            connect_line(socket);
        }
    }
    for (size_t i = 0; i < network.line_count; i++) {
        for (size_t end = 0; end < ENDS; end++) {
            struct lane *lane = &network.lines[i]->lanes[end];
            if (lane->arrived < lane->count && one_in(2)) {
                lane->arrived += (size_t)between(1, (int64_t)(lane->count - lane->arrived));
            }
        }
    }
}

void network_cut(void)
{
    if (network.line_count) {
        struct line *line = network.lines[between(0, (int64_t)network.line_count - 1)];
        if (!line->cut) {
            cut(line);
        }
        sweep();
    }
}

/* ---- sockets ---- */

poise_code net_open(int io_threads, struct net **ret_net, poise_error *err)
{
    (void)io_threads;
    *ret_net = calloc(1, sizeof **ret_net);
    return *ret_net ? POISE_OK : error_nomem(err, "the network");
}

void net_close(struct net *net)
{
    free(net);
}

static poise_code open_socket(bool router, const char *endpoint, const struct net_limits *limits,
                              struct net_socket **ret_socket, poise_error *err)
{
    struct net_socket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        return error_nomem(err, "a socket");
    }
    assert_true(network.socket_count < SOCKETS_MAX && strlen(endpoint) < sizeof socket->endpoint);
    memcpy(socket->endpoint, endpoint, strlen(endpoint) + 1);
    socket->router = router;
    int capacity = limits ? limits->send_hwm : 0;
    socket->capacity = (size_t)(capacity > 0 ? capacity : router ? 64 : 32);
    socket->connect_us = now_us();
    network.sockets[network.socket_count++] = socket;
    *ret_socket = socket;
    return POISE_OK;
}

poise_code net_bind(struct net *net, const char *endpoint, bool insecure, const struct net_limits *limits,
                    struct net_socket **ret_socket, poise_error *err)
{
    (void)net;
    (void)insecure;
    return open_socket(true, endpoint, limits, ret_socket, err);
}

poise_code net_connect(struct net *net, const char *endpoint, bool insecure, const struct net_limits *limits,
                       struct net_socket **ret_socket, poise_error *err)
{
    (void)net;
    (void)insecure;
    return open_socket(false, endpoint, limits, ret_socket, err);
}

/* Nothing is locked here: nobody has to be let in. */
poise_code net_zap_open(struct net *net, struct net_zap **ret_zap, poise_error *err)
{
    (void)net;
    (void)ret_zap;
    return error_set(err, POISE_EUNSUPPORTED, "the simulation has no keys");
}

void net_zap_close(struct net_zap *zap)
{
    (void)zap;
}

poise_code net_zap_next(struct net_zap *zap, struct net_zap_request *ret_request, poise_error *err)
{
    (void)zap;
    (void)ret_request;
    (void)err;
    return POISE_ENOTFOUND;
}

void net_zap_answer(struct net_zap *zap, const char *user)
{
    (void)zap;
    (void)user;
}

void net_socket_close(struct net_socket *socket)
{
    if (!socket) {
        return;
    }
    for (size_t i = 0; i < network.line_count; i++) {
        struct line *line = network.lines[i];
        for (size_t end = 0; end < ENDS; end++) {
            if (line->ends[end] == socket) {
                line->ends[end] = NULL;
                cut(line);
            }
        }
    }
    sweep();
    for (size_t i = 0; i < network.socket_count; i++) {
        if (network.sockets[i] == socket) {
            network.sockets[i] = network.sockets[--network.socket_count];
        }
    }
    free(socket->held);
    free(socket);
}

void net_socket_connections(const struct net_socket *socket, struct net_connections *ret_connections)
{
    (void)socket;
    *ret_connections = (struct net_connections){0};
}

enum net_trouble net_trouble(const struct net_socket *socket)
{
    (void)socket;
    return NET_NO_TROUBLE;
}

bool net_socket_failure(struct net_socket *socket, struct net_failure *ret_failure)
{
    (void)socket;
    (void)ret_failure;
    return false;
}

uint64_t net_socket_failed(const struct net_socket *socket, enum net_failing why)
{
    (void)socket;
    (void)why;
    return 0;
}

void net_socket_revoke(struct net_socket *socket, net_stays *stays, const void *context)
{
    (void)socket;
    (void)stays;
    (void)context;
}

const char *net_endpoint(const struct net_socket *socket)
{
    return socket->endpoint;
}

/* ---- messages ---- */

bool net_peer_equal(const struct net_peer *a, const struct net_peer *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static struct net_peer peer_of(const struct line *line)
{
    struct net_peer peer = {.length = 5};
    memcpy(peer.bytes + 1, &line->number, sizeof line->number);
    return peer;
}

/* A line with a letter for the socket: a DEALER's oldest, any of a ROUTER's. */
static struct line *line_to(const struct net_socket *socket, size_t end, bool any)
{
    struct line *found = NULL;
    int64_t count = 0;
    for (size_t i = 0; i < network.line_count; i++) {
        struct line *line = network.lines[i];
        if (line->ends[end] == socket && line->lanes[end].arrived > 0) {
            count++;
            found = !found || (any && one_in(count)) ? line : found;
        }
    }
    return found;
}

poise_code net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err)
{
    size_t end = socket->router ? AT_ROUTER : AT_DEALER;
    struct line *line = line_to(socket, end, socket->router);
    if (!line) {
        return error_set(err, POISE_ENOTFOUND, "no message is there");
    }
    free(socket->held);
    socket->held = lane_pop(&line->lanes[end]);
    *ret_message = (struct net_message){.head = socket->held->bytes,
                                        .head_length = socket->held->head_length,
                                        .body = socket->held->bytes + socket->held->head_length,
                                        .body_length = socket->held->length - socket->held->head_length};
    if (socket->router) {
        ret_message->peer = peer_of(line);
    }
    sweep();
    return POISE_OK;
}

static struct line *line_of_peer(const struct net_socket *router, const struct net_peer *peer)
{
    for (size_t i = 0; i < network.line_count; i++) {
        struct line *line = network.lines[i];
        struct net_peer its = peer_of(line);
        if (line->ends[AT_ROUTER] == router && !line->cut && net_peer_equal(&its, peer)) {
            return line;
        }
    }
    return NULL;
}

poise_code net_send(struct net_socket *socket, const struct net_peer *peer, const void *head,
                    size_t head_length, const void *body, size_t body_length, poise_error *err)
{
    struct line *line = socket->router ? line_of_peer(socket, peer) : live_line(socket);
    if (!line) {
        return error_set(err, socket->router ? POISE_ECLOSED : POISE_EFULL, "%s: nobody is there",
                         socket->endpoint);
    }
    struct lane *lane = &line->lanes[socket->router ? AT_DEALER : AT_ROUTER];
    if (lane->count >= socket->capacity) {
        return error_set(err, POISE_EFULL, "%s: the queue is full", socket->endpoint);
    }
    struct letter *letter = malloc(sizeof *letter + head_length + body_length);
    if (!letter) {
        return error_nomem(err, "a message");
    }
    letter->head_length = head_length;
    letter->length = head_length + body_length;
    memcpy(letter->bytes, head, head_length);
    if (body_length) {
        memcpy(letter->bytes + head_length, body, body_length);
    }
    lane_push(lane, letter);
    return POISE_OK;
}

/* ---- waiting ---- */

poise_code net_wake_open(struct net_wake **ret_wake, poise_error *err)
{
    struct net_wake *wake = calloc(1, sizeof *wake);
    if (!wake) {
        return error_nomem(err, "a wake");
    }
    assert_true(network.wake_count < 1 + PARTS);
    network.wakes[network.wake_count++] = wake;
    *ret_wake = wake;
    return POISE_OK;
}

void net_wake_close(struct net_wake *wake)
{
    network.wake_count = 0; /* all go together */
    free(wake);
}

void net_wake_up(struct net_wake *wake)
{
    wake->up = true;
}

void net_wake_clear(struct net_wake *wake)
{
    wake->up = false;
}

static bool can_receive(const struct net_socket *socket)
{
    return line_to(socket, socket->router ? AT_ROUTER : AT_DEALER, false) != NULL;
}

static bool can_send(const struct net_socket *dealer)
{
    const struct line *line = live_line(dealer);
    return line && line->lanes[AT_ROUTER].count < dealer->capacity;
}

static bool look(struct net_wait *items, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        const struct net_socket *socket = items[i].socket;
        items[i].ready = items[i].aside  ? false
                         : socket        ? items[i].want_send ? can_send(socket) : can_receive(socket)
                                : items[i].wake ? items[i].wake->up
                                         : false;
        any |= items[i].ready;
    }
    return any;
}

static int64_t deadline_of(int64_t timeout_ms)
{
    return timeout_ms < 0 || timeout_ms > INT64_MAX / 2000 ? INT64_MAX : now_us() + timeout_ms * 1000;
}

bool network_sleeps(enum aggregator_part part)
{
    const struct net_wake *wake = network.wakes[1 + part];
    return wake->asleep && !wake->up && now_us() < wake->until_us &&
           !(wake->socket && can_receive(wake->socket));
}

/* EBUSY: a part of the aggregator that has nothing to do. Its turn ends with that, and the next one begins
 * where a thread would go on. */
poise_code net_wait(struct net_wait *items, size_t count, int64_t timeout_ms, poise_error *err)
{
    int64_t deadline = deadline_of(timeout_ms);
    struct net_wake *wake = items[0].wake;
    bool ready = look(items, count);
    if (wake && !ready && timeout_ms != 0 && (!wake->asleep || now_us() < wake->until_us)) {
        wake->asleep = true;
        wake->until_us = deadline;
        wake->socket = count > 1 && !items[1].aside ? items[1].socket : NULL;
        return error_set(err, POISE_EBUSY, "asleep");
    }
    if (wake) {
        wake->asleep = false;
        return POISE_OK;
    }
    while (!ready && now_us() < deadline) {
        network.meanwhile();
        ready = look(items, count);
    }
    return POISE_OK;
}
