/* How many connections a bound socket has, and what libzmq may keep for them: against plain sockets that
 * speak as much of ZMTP as they need. */
#include "net_test.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <net/guard.h>
#include <net/socket.h>
#include <poll.h>
#include <sys/socket.h>
#include <zmq.h>

enum {
    PLAIN_MAX = 64,
    TURNS = 2000,
    OURS = 256, /* descriptors; those below are for libzmq */
};

struct plain {
    int fds[PLAIN_MAX];
    size_t count;
    struct sockaddr_in address;
};

static const struct net_limits limits = {
    .max_message = 1000, .max_connections = 8, .max_queued = 4 << 20, .send_hwm = 1000};

/* Room for all that they send. */
static const struct net_limits wide = {.max_message = 1000, .max_connections = 8, .max_queued = 64 << 20};

static struct net_socket *listener(struct fixture *f, struct plain *plain, const struct net_limits *of)
{
    struct net_socket *router = bound(f, "tcp://127.0.0.1:*", of);
    const char *port = strrchr(net_endpoint(router), ':') + 1;
    *plain = (struct plain){.address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}}};
    return router;
}

static void all_go(struct plain *plain)
{
    for (size_t i = 0; i < plain->count; i++)
        close(plain->fds[i]);
}

/* Another connection, which has shaken hands. */
static int one_comes(struct plain *plain)
{
    static const char greeting[64] = {[0] = '\xff', [9] = '\x7f', [10] = 3, [12] = 'N', 'U', 'L', 'L'};
    static const char ready[] = "\4\x29\5READY\x0bSocket-Type\0\0\0\6DEALER\x8Identity\0\0\0";
    char answer[sizeof greeting + sizeof ready];
    int low = socket(AF_INET, SOCK_STREAM, 0);
    int fd = fcntl(low, F_DUPFD_CLOEXEC, OURS);
    assert_true(fd >= 0 && close(low) == 0 && plain->count < PLAIN_MAX);
    plain->fds[plain->count++] = fd;
    assert_int_equal(connect(fd, (struct sockaddr *)&plain->address, sizeof plain->address), 0);
    assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    assert_int_equal(send(fd, ready, sizeof ready, MSG_NOSIGNAL), sizeof ready);
    /* What comes before libzmq has said its part is no message. */
    for (size_t got = 0; got < sizeof greeting + sizeof ready;) {
        ssize_t now = recv(fd, answer, sizeof greeting + sizeof ready - got, 0);
        assert_true(now > 0);
        got += (size_t)now;
    }
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* The socket's thread has a turn. */
static void turn(struct net_socket *router, struct net_connections *ret_counts)
{
    struct net_wait item = {.socket = router, .fd = -1};
    struct net_message message;
    assert_int_equal(net_wait(&item, 1, 5, NULL), POISE_OK);
    while (net_receive(router, &message, NULL) != POISE_ENOTFOUND) {
    }
    net_socket_connections(router, ret_counts);
}

static void until_accepted(struct net_socket *router, uint64_t count, struct net_connections *ret_counts)
{
    int turns = 0;
    do
        turn(router, ret_counts);
    while (ret_counts->accepted < count && ++turns < TURNS);
    assert_int_equal(ret_counts->accepted, count);
}

/* Its connections may end a wait early. */
static void hears(struct net_socket *socket, struct net_message *ret_message)
{
    struct net_wait item = {.socket = socket, .fd = -1};
    poise_code code = POISE_ENOTFOUND;
    for (int turns = 0; turns < TURNS && code == POISE_ENOTFOUND; turns++) {
        assert_int_equal(net_wait(&item, 1, 5, NULL), POISE_OK);
        code = net_receive(socket, ret_message, NULL);
    }
    assert_int_equal(code, POISE_OK);
}

static bool is_cut(int fd)
{
    char bytes[4096];
    ssize_t got;
    do
        got = recv(fd, bytes, sizeof bytes, 0);
    while (got > 0);
    return got == 0 || errno == ECONNRESET;
}

/* ---- how many ---- */

static void who_said_nothing_makes_room(void **state)
{
    struct plain plain;
    struct net_connections counts;
    struct net_message message;
    struct net_socket *router = listener(*state, &plain, &limits);
    struct net_socket *dealer = connected(*state, net_endpoint(router), NULL);
    await(dealer, true);
    assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
    hears(router, &message);
    for (int i = 0; i < 20; i++)
        one_comes(&plain);
    until_accepted(router, 21, &counts);
    assert_int_equal(counts.refused, 13);
    for (int turns = 0; turns < TURNS && counts.open > 8; turns++)
        turn(router, &counts);
    assert_int_equal(counts.open, 8);
    for (size_t i = 0; i < plain.count; i++)
        assert_int_equal(is_cut(plain.fds[i]), i < 13);
    assert_int_equal(send_text(dealer, NULL, "still here"), POISE_OK);
    hears(router, &message);
    all_go(&plain);
    for (int turns = 0; turns < TURNS && counts.open > 1; turns++)
        turn(router, &counts);
    assert_int_equal(counts.open, 1);
}

static void the_newest_goes_where_all_have_spoken(void **state)
{
    struct plain plain;
    struct net_connections counts;
    struct net_message message;
    struct net_socket *router = listener(*state, &plain, &limits);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(send(one_comes(&plain), "\1\2\1\3\0\1x", 7, MSG_NOSIGNAL), 7);
        hears(router, &message);
    }
    one_comes(&plain);
    until_accepted(router, 9, &counts);
    assert_int_equal(counts.refused, 1);
    for (int turns = 0; turns < TURNS && counts.open > 8; turns++)
        turn(router, &counts);
    for (size_t i = 0; i < plain.count; i++)
        assert_int_equal(is_cut(plain.fds[i]), i == 8);
    all_go(&plain);
}

/* Two of eight may be within their handshake: of those that stay there the first go. */
static void slow_handshakes_are_bounded(void **state)
{
    struct plain plain;
    struct net_connections counts = {0};
    const struct net_limits few = {
        .max_message = 1000, .max_connections = 8, .max_queued = 4 << 20, .max_handshakes = 2};
    struct net_socket *router = listener(*state, &plain, &few);
    for (int i = 0; i < 3; i++)
        one_comes(&plain); /* and is through, though it says nothing */
    for (int i = 0; i < 5; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        plain.fds[plain.count++] = fd;
        assert_int_equal(connect(fd, (struct sockaddr *)&plain.address, sizeof plain.address), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        until_accepted(router, plain.count, &counts);
    }
    for (int turns = 0; turns < TURNS && counts.open > 5; turns++)
        turn(router, &counts);
    assert_int_equal(counts.slow, 3);
    assert_int_equal(counts.refused, 0);
    for (size_t i = 0; i < plain.count; i++)
        assert_int_equal(is_cut(plain.fds[i]), i >= 3 && i < 6);
    all_go(&plain);
}

static void a_handshake_may_take_so_long(void **state)
{
    struct plain plain;
    struct net_connections counts = {0};
    struct net_failure failure;
    const struct net_limits hasty = {.max_connections = 8, .handshake_ms = 1000};
    struct net_socket *router = listener(*state, &plain, &hasty);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    plain.fds[plain.count++] = fd;
    assert_int_equal(connect(fd, (struct sockaddr *)&plain.address, sizeof plain.address), 0);
    for (int turns = 0; turns < TURNS && counts.failed == 0; turns++)
        turn(router, &counts);
    int turns = 0;
    while (!net_socket_failure(router, &failure) && ++turns < TURNS)
        turn(router, &counts);
    assert_int_equal(failure.why, NET_FAILING_TIME);
    assert_memory_equal(failure.address, "127.0.0.1:", 10);
    assert_false(net_socket_failure(router, &failure));
    all_go(&plain);
}

/* ---- how much ---- */

/* Sends the same bytes again and again, until it is cut or has sent so much; true: cut. */
static bool is_stopped(struct net_socket *router, int fd, const char *bytes, size_t length, size_t most)
{
    struct net_connections counts;
    size_t sent = 0;
    for (int turns = 0; turns < TURNS && sent < most; turns++) {
        ssize_t now;
        while ((now = send(fd, bytes + sent % length, length - sent % length, MSG_NOSIGNAL)) > 0)
            sent += (size_t)now;
        if (now < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return true;
        turn(router, &counts);
        if (counts.endless > 0)
            return true;
    }
    return false;
}

static void a_message_without_an_end_is_cut(void **state)
{
    static char frames[2 * 10000];
    struct plain plain;
    struct net_connections counts;
    struct net_message message;
    struct net_socket *router = listener(*state, &plain, &wide);
    struct net_socket *dealer = connected(*state, net_endpoint(router), NULL);
    await(dealer, true);
    for (size_t i = 0; i < sizeof frames; i += 2)
        frames[i] = 1; /* more follow */
    assert_true(is_stopped(router, one_comes(&plain), frames, sizeof frames, 256 << 20));
    turn(router, &counts);
    assert_int_equal(counts.endless, 1);
    assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
    hears(router, &message);
    all_go(&plain);
}

static void many_messages_are_no_endless_one(void **state)
{
    static char frames[10 * 3000];
    struct plain plain;
    struct net_connections counts;
    struct net_socket *router = listener(*state, &plain, &wide);
    for (size_t i = 0; i < sizeof frames; i += 10)
        memcpy(frames + i, "\1\2\1\3\0\4body", 10);
    assert_false(is_stopped(router, one_comes(&plain), frames, sizeof frames, 16 << 20));
    turn(router, &counts);
    assert_int_equal(counts.endless + counts.greedy + counts.refused, 0);
    all_go(&plain);
}

static void who_reads_nothing_is_cut_when_queues_hold_too_much(void **state)
{
    static char body[1000];
    struct plain plain;
    struct net_connections counts = {0};
    struct net_socket *router = listener(*state, &plain, &limits);
    struct net_peer peers[8];
    memset(body, 'x', sizeof body - 1);
    for (int i = 0; i < 8; i++) {
        struct net_message message;
        assert_int_equal(send(one_comes(&plain), "\1\2\1\3\0\1x", 7, MSG_NOSIGNAL), 7);
        hears(router, &message);
        peers[i] = message.peer;
    }
    size_t held = 0;
    for (int turns = 0; turns < TURNS && counts.greedy == 0; turns++) {
        for (int i = 0; i < 8; i++)
            for (int n = 0; n < 1000 && send_text(router, &peers[i], body) == POISE_OK; n++)
                held += sizeof body;
        turn(router, &counts);
    }
    assert_true(held > (4 << 20));
    assert_in_range(counts.greedy, 1, 7); /* as many as it takes */
    all_go(&plain);
}

/* ---- while nobody wants messages ---- */

static const struct net_limits narrow = {
    .max_message = 256 << 10, .max_connections = 40, .max_queued = 1 << 20, .send_hwm = 1000};

static void aside_turn(struct net_socket *router, struct net_connections *ret_counts)
{
    struct net_wait item = {.socket = router, .fd = -1, .aside = true};
    assert_int_equal(net_wait(&item, 1, 5, NULL), POISE_OK);
    assert_false(item.ready);
    net_socket_connections(router, ret_counts);
}

/* In use by all of the process; nothing under sanitizers, which do not say. */
static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

enum { LITTLE = 600, HEAP_MAX = 8 << 20 };

/* Connections that send so much each, which costs 32 times as much; who is cut makes room for others, and so
 * does who leaves. */
static void is_bounded(void **state, const char *bytes, size_t length, bool leave)
{
    struct plain plain;
    struct net_connections counts;
    struct net_socket *router = listener(*state, &plain, &narrow);
    size_t before = heap();
    for (size_t i = 0; i < 32; i++) {
        int fd = one_comes(&plain);
        size_t sent = 0;
        for (int turns = 0; sent < length && turns < LITTLE; turns++) {
            ssize_t now = send(fd, bytes + sent, length - sent, MSG_NOSIGNAL);
            sent += now > 0 ? (size_t)now : 0;
            if (now < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
                break;
            aside_turn(router, &counts);
        }
        if (leave)
            shutdown(fd, SHUT_RDWR);
    }
    for (int turns = 0; turns < LITTLE && ((!leave && counts.greedy < 8) || heap() > before + HEAP_MAX);
         turns++)
        aside_turn(router, &counts);
    assert_true(leave || counts.greedy >= 8);
    assert_true(heap() <= before + HEAP_MAX);
    all_go(&plain);
}

static void messages_that_nobody_wants_are_bounded(void **state)
{
    static char bytes[4 << 14];
    for (size_t i = 0; i < sizeof bytes; i += 4)
        bytes[i] = 1; /* a second frame follows */
    is_bounded(state, bytes, sizeof bytes, false);
    is_bounded(state, bytes, sizeof bytes / 4, true);
}

static void messages_without_an_end_are_bounded_together(void **state)
{
    static char bytes[2 << 15];
    for (size_t i = 0; i < sizeof bytes; i += 2)
        bytes[i] = 1;
    is_bounded(state, bytes, sizeof bytes, false);
}

static void what_waited_is_handed_out_in_order(void **state)
{
    struct plain plain;
    struct net_connections counts;
    struct net_message message;
    char text[16];
    struct net_socket *router = listener(*state, &plain, &narrow);
    struct net_socket *dealers[] = {connected(*state, net_endpoint(router), &narrow),
                                    connected(*state, net_endpoint(router), &narrow)};
    int from[2] = {0};
    struct net_peer peers[2];
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%d %d", i % 2, i / 2);
        if (i < 2)
            await(dealers[i], true);
        assert_int_equal(send_text(dealers[i % 2], NULL, text), POISE_OK);
        if (i == 100) /* the rest stays in libzmq until it is asked for */
            for (int turns = 0; turns < 30; turns++)
                aside_turn(router, &counts);
    }
    for (int i = 0; i < 200; i++) {
        int dealer, number;
        hears(router, &message);
        snprintf(text, sizeof text, "%.*s", (int)message.body_length, (const char *)message.body);
        assert_int_equal(sscanf(text, "%d %d", &dealer, &number), 2);
        assert_memory_equal(message.head, "\1\3", 2);
        assert_int_equal(number, from[dealer]++);
        if (number)
            assert_true(net_peer_equal(&message.peer, &peers[dealer]));
        peers[dealer] = message.peer;
    }
    assert_int_equal(send_text(router, &peers[1], "yes"), POISE_OK);
    hears(dealers[1], &message);
    all_go(&plain);
}

static void await_in_libzmq(const struct net_socket *router)
{
    int events = 0;
    for (int turns = 0; !(events & ZMQ_POLLIN); turns++) {
        size_t length = sizeof events;
        assert_int_equal(zmq_getsockopt(socket_handle(router), ZMQ_EVENTS, &events, &length), 0);
        assert_true(turns < TURNS);
        poll(NULL, 0, 1);
    }
}

/* Who sends much, and what was taken out of libzmq before, keeps nobody waiting, also between two looks. */
static void connections_take_turns(void **state)
{
    struct plain plain;
    struct net_connections counts;
    struct net_message message;
    struct net_socket *router = listener(*state, &plain, &narrow);
    struct net_socket *much = connected(*state, net_endpoint(router), &narrow);
    struct net_socket *little = connected(*state, net_endpoint(router), &narrow);
    await(much, true);
    await(little, true);
    for (int rounds = 0; rounds < 10; rounds++) { /* on a slow machine a look may come between */
        for (int i = 0; i < 1000; i++)
            assert_int_equal(send_text(much, NULL, "much"), POISE_OK);
        for (int turns = 0; turns < 30; turns++)
            aside_turn(router, &counts);
        assert_int_equal(send_text(little, NULL, "little"), POISE_OK);
        await_in_libzmq(router);
        int before = 0;
        do {
            assert_int_equal(net_receive(router, &message, NULL), POISE_OK);
        } while (message.body_length != 6 && ++before < 1000);
        assert_in_range(before, 0, 500);
        for (int left = 1000 - before; left > 0; left--)
            hears(router, &message);
    }
    all_go(&plain);
}

/* ---- whose what is given is ---- */

/* Another connection says something, of which the guard does not hear. */
static int one_speaks(const struct net_socket *router, struct plain *plain, zmq_msg_t *body)
{
    int fd = one_comes(plain);
    assert_int_equal(send(fd, "\1\2\1\3\0\1x", 7, MSG_NOSIGNAL), 7);
    await_in_libzmq(router);
    assert_int_equal(zmq_msg_init(body), 0);
    for (int frames = 0; frames < 3; frames++)
        assert_true(zmq_msg_recv(body, socket_handle(router), ZMQ_DONTWAIT) >= 0);
    return fd;
}

static struct net_peer numbered(uint32_t number)
{
    return (struct net_peer){.length = 5,
                             .bytes = {0, (uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                       (uint8_t)(number >> 8), (uint8_t)number}};
}

/* As if by the connection of that body. */
static void speaks(struct net_socket *router, uint32_t number, zmq_msg_t *body)
{
    const struct net_peer peer = numbered(number);
    guard_took(socket_guard(router), &peer, body, NULL, 3, 3);
}

/* More than libzmq may hold, as if nothing of it went out. */
static void is_given_too_much(struct net_socket *router, uint32_t number, uint64_t greedy)
{
    const struct net_peer peer = numbered(number);
    struct net_connections counts;
    guard_gave(socket_guard(router), &peer, 2 << 20);
    turn(router, &counts);
    assert_int_equal(counts.greedy, greedy);
}

static void until_cut(int fd)
{
    struct pollfd closed = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&closed, 1, PATIENCE_MS), 1);
    assert_true(is_cut(fd));
}

enum { BETWEEN = 5000 };

/* Thousands of peers spoke since, with ids that follow, or that end as its own: it is not forgotten. */
static void whoever_spoke_is_counted_until_it_goes(void **state)
{
    struct plain plain;
    struct net_socket *router = listener(*state, &plain, &narrow);
    zmq_msg_t bodies[3];
    int fds[3];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = one_speaks(router, &plain, &bodies[i]);
        speaks(router, (uint32_t)i << 16, &bodies[i]);
    }
    for (uint32_t i = 1; i < BETWEEN; i++) { /* so many did not have one descriptor */
        speaks(router, i, &bodies[2]);
        assert_int_equal(guard_connections(socket_guard(router))->greedy, i > 7);
    }
    until_cut(fds[2]);
    is_given_too_much(router, 1 << 16, 2);
    until_cut(fds[1]);
    assert_false(is_cut(fds[0]));
    is_given_too_much(router, 0, 3);
    until_cut(fds[0]);
    for (size_t i = 0; i < 3; i++)
        zmq_msg_close(&bodies[i]);
    all_go(&plain);
}

static void an_id_that_comes_again_is_of_its_new_connection(void **state)
{
    struct plain plain;
    struct net_connections counts;
    struct net_socket *router = listener(*state, &plain, &narrow);
    zmq_msg_t bodies[3];
    int before = one_speaks(router, &plain, &bodies[0]);
    speaks(router, 1, &bodies[0]);
    int elsewhere = one_speaks(router, &plain, &bodies[1]);
    speaks(router, 1, &bodies[1]);
    is_given_too_much(router, 1, 1);
    until_cut(elsewhere);
    assert_false(is_cut(before));
    /* By the descriptor of one that has gone, which the guard has not heard of. */
    speaks(router, 2, &bodies[0]);
    shutdown(before, SHUT_WR);
    until_cut(before);
    int after = one_speaks(router, &plain, &bodies[2]);
    while (zmq_msg_get(&bodies[2], ZMQ_SRCFD) != zmq_msg_get(&bodies[0], ZMQ_SRCFD)) {
        zmq_msg_close(&bodies[2]); /* a lower one had become free */
        after = one_speaks(router, &plain, &bodies[2]);
    }
    speaks(router, 2, &bodies[2]);
    turn(router, &counts);
    is_given_too_much(router, 2, 2);
    until_cut(after);
    for (size_t i = 0; i < 3; i++)
        zmq_msg_close(&bodies[i]);
    all_go(&plain);
}

static bool all_stay(const void *context, const char *user)
{
    (void)context, (void)user;
    return true;
}

/* They may be of connections that had the descriptor one after the other. */
static void of_two_users_nobody_can_tell_whose_it_is(void **state)
{
    struct plain plain;
    struct net_connections counts = {0};
    struct net_socket *router = listener(*state, &plain, &narrow);
    zmq_msg_t bodies[2];
    const char *users[] = {"one", "one", "one", "two"};
    for (uint32_t i = 0; i < 4; i++) {
        const struct net_peer peer = numbered(i);
        if (i % 2 == 0)
            one_speaks(router, &plain, &bodies[i / 2]);
        guard_took(socket_guard(router), &peer, &bodies[i / 2], users[i], 3, 3);
    }
    net_socket_revoke(router, all_stay, NULL);
    for (int turns = 0; turns < TURNS && counts.revoked == 0; turns++)
        turn(router, &counts);
    until_cut(plain.fds[1]);
    assert_false(is_cut(plain.fds[0]));
    assert_int_equal(counts.revoked, 1);
    zmq_msg_close(&bodies[0]);
    zmq_msg_close(&bodies[1]);
    all_go(&plain);
}

/* With a limit of messages libzmq 4.3.4 ends the process here. */
static void a_connection_that_breaks_with_a_full_queue_ends_nothing(void **state)
{
    static const char message[] = "\1\2\1\3\0\4body", ping[] = "\4\7\4PING\0\0";
    char bytes[400 * sizeof message];
    size_t length = 0;
    struct plain plain;
    struct net_connections counts;
    struct net_socket *router = listener(*state, &plain, &limits);
    int fd = one_comes(&plain);
    for (int i = 0; i < 400; i++) {
        bool is_ping = i == 200;
        size_t size = is_ping ? sizeof ping - 1 : sizeof message - 1;
        memcpy(bytes + length, is_ping ? ping : message, size);
        length += size;
    }
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
    poll(NULL, 0, 100); /* libzmq takes in what it may; nothing tells when */
    const struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    all_go(&plain);
    poll(NULL, 0, 100);
    int turns = 0;
    do {
        turn(router, &counts);
    } while ((counts.accepted == 0 || counts.open > 0) && ++turns < TURNS);
    assert_int_equal(counts.open, 0);
    for (int i = 0; i < 10; i++) {
        turn(router, &counts);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_said_nothing_makes_room),
        TEST(the_newest_goes_where_all_have_spoken),
        TEST(slow_handshakes_are_bounded),
        TEST(a_handshake_may_take_so_long),
        TEST(a_message_without_an_end_is_cut),
        TEST(many_messages_are_no_endless_one),
        TEST(who_reads_nothing_is_cut_when_queues_hold_too_much),
        TEST(messages_that_nobody_wants_are_bounded),
        TEST(messages_without_an_end_are_bounded_together),
        TEST(what_waited_is_handed_out_in_order),
        TEST(connections_take_turns),
        TEST(whoever_spoke_is_counted_until_it_goes),
        TEST(an_id_that_comes_again_is_of_its_new_connection),
        TEST(of_two_users_nobody_can_tell_whose_it_is),
        TEST(a_connection_that_breaks_with_a_full_queue_ends_nothing),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
