#include "net_test.h"
#include <dirent.h>
#include <net/socket.h>
#include <signal.h>
#include <zmq.h>

/* ---- endpoints ---- */

static void tcp_stays_on_this_machine_unless_insecure(void **state)
{
    struct fixture *f = *state;
    static const char *const denied[] = {"tcp://0.0.0.0:*",
                                         "tcp://*:*",
                                         "tcp://192.0.2.1:5555",
                                         "tcp://example.org:80",
                                         "tcp://[::]:5555",
                                         "tcp://128.0.0.1:5555",
                                         "tcp://127.1:5555",
                                         "tcp://lo:5555",
                                         "tcp://127.0.0.1.evil.org:1",
                                         "tcp://[::1]x:5555",
                                         "tcp://[2001:db8::1]:5555"};
    struct net_socket *socket = NULL;
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        assert_int_equal(net_bind(f->net, denied[i], false, NULL, &socket, &f->err), POISE_EDENIED);
        assert_int_equal(net_connect(f->net, denied[i], false, NULL, &socket, &f->err), POISE_EDENIED);
        assert_non_null(strstr(f->err.text, denied[i]));
    }
    assert_null(socket);
    assert_int_equal(net_bind(f->net, "tcp://0.0.0.0:*", true, NULL, &socket, &f->err), POISE_OK);
    net_socket_close(socket);
    assert_int_equal(net_connect(f->net, "tcp://192.0.2.1:5555", true, NULL, &socket, &f->err), POISE_OK);
    net_socket_close(socket);
}

static void what_is_no_endpoint_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"",
                                      "5555",
                                      "tcp://",
                                      "tcp://127.0.0.1",
                                      "tcp://127.0.0.1:",
                                      "tcp://:5555",
                                      "tcp://127.0.0.1:99999",
                                      "tcp://127.0.0.1:0",
                                      "tcp://127.0.0.1:http",
                                      "tcp://127.0.0.1:-1",
                                      "tcp://192.0.2.1:0;127.0.0.1:5555",
                                      "ipc://",
                                      "inproc://",
                                      "udp://127.0.0.1:5555",
                                      "pgm://eth0;239.192.1.1:5555"};
    struct net_socket *socket = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(net_bind(f->net, bad[i], true, NULL, &socket, &f->err), POISE_EINVAL);
        assert_int_equal(net_connect(f->net, bad[i], true, NULL, &socket, &f->err), POISE_EINVAL);
    }
    assert_int_equal(net_connect(f->net, "tcp://127.0.0.1:*", true, NULL, &socket, &f->err), POISE_EINVAL);
    char longest[600] = "ipc://";
    memset(longest + 6, 'x', sizeof longest - 7);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(net_bind(f->net, longest, false, NULL, &socket, &f->err), POISE_EINVAL);
    assert_null(socket);
}

static void an_address_is_bound_once(void **state)
{
    struct fixture *f = *state;
    struct net_socket *socket = bound(f, "tcp://127.0.0.1:*", NULL), *second = NULL;
    assert_null(strchr(net_endpoint(socket), '*'));
    assert_int_equal(net_bind(f->net, net_endpoint(socket), false, NULL, &second, &f->err), POISE_EBUSY);
    assert_null(second);
    net_socket_close(NULL);
}

/* ---- messages ---- */

static void talk(struct fixture *f, const char *endpoint)
{
    struct net_socket *router = bound(f, endpoint, NULL);
    struct net_socket *dealer = connected(f, net_endpoint(router), NULL);
    struct net_message message;
    await(dealer, true);
    assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
    expect(router, "hello", &message);
    struct net_peer peer = message.peer;
    assert_int_not_equal(peer.length, 0);
    assert_int_equal(send_text(router, &peer, ""), POISE_OK);
    expect(dealer, "", &message);
    assert_int_equal(message.peer.length, 0);
    assert_int_equal(net_receive(dealer, &message, NULL), POISE_ENOTFOUND);
}

static void messages_go_both_ways(void **state)
{
    struct fixture *f = *state;
    talk(f, f->endpoint);
    talk(f, "tcp://127.0.0.1:*");
    talk(f, "inproc://here");
}

static void nothing_is_queued_for_nobody(void **state)
{
    struct fixture *f = *state;
    struct net_socket *dealer = connected(f, f->endpoint, NULL);
    assert_int_equal(send_text(dealer, NULL, "hello"), POISE_EFULL);
    struct net_socket *router = bound(f, f->endpoint, NULL);
    const struct net_peer nobody = {.length = 5, .bytes = {0, 1, 2, 3, 4}};
    assert_int_equal(send_text(router, &nobody, "hello"), POISE_ECLOSED);
}

static void a_full_queue_loses_nothing_it_took(void **state)
{
    struct fixture *f = *state;
    enum { MOST = 4000, SIZE = 65536 };
    static char body[SIZE];
    const struct net_limits few = {.send_hwm = 2, .receive_hwm = 2};
    struct net_socket *router = bound(f, f->endpoint, &few);
    struct net_socket *dealer = connected(f, f->endpoint, &few);
    await(dealer, true);
    uint32_t sent = 0;
    poise_code code = POISE_OK;
    while (sent < MOST) {
        memcpy(body, &sent, sizeof sent);
        code = net_send(dealer, NULL, "\1\3", 2, body, SIZE, NULL);
        if (code != POISE_OK) {
            break;
        }
        sent++;
    }
    assert_int_equal(code, POISE_EFULL);
    for (uint32_t i = 0; i < sent; i++) {
        struct net_message message;
        assert_int_equal(receive(router, &message), POISE_OK);
        assert_int_equal(message.body_length, SIZE);
        assert_memory_equal(message.body, &i, sizeof i);
    }
    await(dealer, true);
    assert_int_equal(send_text(dealer, NULL, "again"), POISE_OK);
    struct net_message message;
    expect(router, "again", &message);
}

static void a_new_connection_is_a_new_peer(void **state)
{
    struct fixture *f = *state;
    struct net_socket *router = bound(f, f->endpoint, NULL);
    struct net_message message;
    struct net_peer peers[2];
    for (size_t i = 0; i < 2; i++) {
        struct net_socket *dealer = connected(f, f->endpoint, NULL);
        await(dealer, true);
        assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
        expect(router, "hello", &message);
        peers[i] = message.peer;
        shut(f, dealer);
    }
    assert_memory_not_equal(&peers[0], &peers[1], sizeof peers[0]);
    poise_code code = POISE_OK;
    for (int tries = 0; code == POISE_OK && tries < PATIENCE_MS; tries++) {
        code = send_text(router, &peers[0], "are you there");
        assert_int_equal(net_wait(NULL, 0, 1, NULL), POISE_OK);
    }
    assert_int_equal(code, POISE_ECLOSED);
}

static void a_connection_comes_back(void **state)
{
    struct fixture *f = *state;
    struct net_socket *dealer = connected(f, f->endpoint, NULL);
    for (int i = 0; i < 2; i++) {
        struct net_socket *router = bound(f, f->endpoint, NULL);
        struct net_message message;
        await(dealer, true);
        assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
        expect(router, "hello", &message);
        shut(f, router);
        poise_code code = POISE_OK;
        for (int tries = 0; code == POISE_OK && tries < PATIENCE_MS; tries++) {
            code = send_text(dealer, NULL, "lost");
            assert_int_equal(net_wait(NULL, 0, 1, NULL), POISE_OK);
        }
        assert_int_equal(code, POISE_EFULL);
    }
}

/* Those who were cut at one moment do not come back at one. */
static void each_comes_back_in_its_own_time(void **state)
{
    struct fixture *f = *state;
    int least = INT32_MAX, most = 0;
    for (int i = 0; i < 20; i++) {
        struct net_socket *socket = connected(f, f->endpoint, NULL);
        int limit = 0;
        size_t size = sizeof limit;
        assert_int_equal(zmq_getsockopt(socket_handle(socket), ZMQ_RECONNECT_IVL_MAX, &limit, &size), 0);
        assert_in_range(limit, 3000, 5999);
        least = limit < least ? limit : least;
        most = limit > most ? limit : most;
        net_socket_close(socket);
        f->socket_count--;
    }
    assert_true(most - least > 500);
}

/* ---- peers that do not keep to it ---- */

struct stranger {
    void *context, *socket;
};

static struct stranger stranger(const char *endpoint, const char *routing_id)
{
    struct stranger s = {.context = zmq_ctx_new()};
    assert_non_null(s.context);
    s.socket = zmq_socket(s.context, ZMQ_DEALER);
    assert_non_null(s.socket);
    const int no = 0;
    assert_int_equal(zmq_setsockopt(s.socket, ZMQ_LINGER, &no, sizeof no), 0);
    if (routing_id) {
        assert_int_equal(zmq_setsockopt(s.socket, ZMQ_ROUTING_ID, routing_id, strlen(routing_id)), 0);
    }
    assert_int_equal(zmq_connect(s.socket, endpoint), 0);
    return s;
}

static void stranger_sends(struct stranger s, int frames)
{
    for (int i = 0; i < frames; i++) {
        assert_int_equal(zmq_send(s.socket, "\1\3", 2, i + 1 < frames ? ZMQ_SNDMORE : 0), 2);
    }
}

static void stranger_goes(struct stranger s)
{
    assert_int_equal(zmq_close(s.socket), 0);
    assert_int_equal(zmq_ctx_term(s.context), 0);
}

static void other_frame_counts_are_thrown_away(void **state)
{
    struct fixture *f = *state;
    struct net_socket *router = bound(f, f->endpoint, NULL);
    struct stranger s = stranger(f->endpoint, NULL);
    static const int counts[] = {1, 3, 4, 1000};
    struct net_message message;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        stranger_sends(s, counts[i]);
        stranger_sends(s, 2);
        assert_int_equal(receive(router, &message), POISE_EPROTO);
        assert_int_not_equal(message.peer.length, 0);
        struct net_peer peer = message.peer;
        expect(router, "\1\3", &message);
        assert_memory_equal(&message.peer, &peer, sizeof peer);
    }
    stranger_goes(s);
}

static void a_dealer_also_counts_frames(void **state)
{
    struct fixture *f = *state;
    void *context = zmq_ctx_new();
    void *dealer = zmq_socket(context, ZMQ_DEALER);
    assert_int_equal(zmq_bind(dealer, f->endpoint), 0);
    struct net_socket *socket = connected(f, f->endpoint, NULL);
    struct stranger s = {context, dealer};
    struct net_message message;
    stranger_sends(s, 3);
    stranger_sends(s, 1);
    stranger_sends(s, 2);
    assert_int_equal(receive(socket, &message), POISE_EPROTO);
    assert_int_equal(receive(socket, &message), POISE_EPROTO);
    expect(socket, "\1\3", &message);
    stranger_goes(s);
}

static void a_chosen_routing_id_is_refused(void **state)
{
    struct fixture *f = *state;
    struct net_socket *router = bound(f, f->endpoint, NULL);
    struct stranger s = stranger(f->endpoint, "line-3");
    stranger_sends(s, 2);
    struct net_message message;
    assert_int_equal(receive(router, &message), POISE_EPROTO);
    assert_int_equal(message.peer.length, 0);
    stranger_goes(s);
}

static void a_frame_beyond_the_limit_cuts_the_connection(void **state)
{
    struct fixture *f = *state;
    static char body[1001];
    const struct net_limits limits = {.max_message = 1000};
    struct net_socket *router = bound(f, f->endpoint, &limits);
    struct stranger s = stranger(f->endpoint, NULL);
    struct net_message message;
    assert_int_equal(zmq_send(s.socket, "\1\3", 2, ZMQ_SNDMORE), 2);
    assert_int_equal(zmq_send(s.socket, body, 1000, 0), 1000);
    assert_int_equal(receive(router, &message), POISE_OK);
    struct net_peer peer = message.peer;
    assert_int_equal(zmq_send(s.socket, "\1\3", 2, ZMQ_SNDMORE), 2);
    assert_int_equal(zmq_send(s.socket, body, 1001, 0), 1001);
    poise_code code = POISE_OK;
    for (int tries = 0; code == POISE_OK && tries < PATIENCE_MS; tries++) {
        code = send_text(router, &peer, "are you there");
        assert_int_equal(net_wait(NULL, 0, 1, NULL), POISE_OK);
    }
    assert_int_equal(code, POISE_ECLOSED);
    assert_int_equal(net_receive(router, &message, NULL), POISE_ENOTFOUND);
    stranger_goes(s);
}

/* ---- threads ---- */

static void network_threads_block_all_signals(void **state)
{
    (void)state;
    sigset_t mask;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGTERM));
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    int others = 0;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.' || atol(entry->d_name) == getpid()) {
            continue;
        }
        char path[300], line[256];
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "r");
        assert_non_null(status);
        while (fgets(line, sizeof line, status) && sscanf(line, "SigBlk: %llx", &blocked) != 1) {
        }
        fclose(status);
        assert_true(blocked >> (SIGTERM - 1) & 1);
        others++;
    }
    closedir(tasks);
    assert_true(others >= 2); /* libzmq's reaper and one for input and output */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tcp_stays_on_this_machine_unless_insecure),
        TEST(what_is_no_endpoint_is_refused),
        TEST(an_address_is_bound_once),
        TEST(messages_go_both_ways),
        TEST(nothing_is_queued_for_nobody),
        TEST(a_full_queue_loses_nothing_it_took),
        TEST(a_new_connection_is_a_new_peer),
        TEST(a_connection_comes_back),
        TEST(each_comes_back_in_its_own_time),
        TEST(other_frame_counts_are_thrown_away),
        TEST(a_dealer_also_counts_frames),
        TEST(a_chosen_routing_id_is_refused),
        TEST(a_frame_beyond_the_limit_cuts_the_connection),
        TEST(network_threads_block_all_signals),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
