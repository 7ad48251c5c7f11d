/* Keys and their files, and who gets through to a locked endpoint. libzmq itself plays the peers; its monitor
 * says how their handshakes end. */
#include "net_test.h"
#include <arpa/inet.h>
#include <net/keys.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <zmq.h>

/* ---- key files ---- */

static const char *path_in(const struct fixture *f, const char *name)
{
    static char paths[4][96];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", f->directory, name);
    return path;
}

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void forget(const struct fixture *f)
{
    unlink(path_in(f, "a.key"));
    unlink(path_in(f, "a.pub"));
}

static void a_pair_is_written_for_its_owner_alone(void **state)
{
    struct fixture *f = *state;
    struct net_keys keys, read;
    uint8_t public_key[NET_KEY_BYTES];
    struct stat status;
    umask(0);
    assert_int_equal(keys_make(&keys, NULL), POISE_OK);
    assert_int_equal(keys_write(path_in(f, "a"), &keys, &f->err), POISE_OK);
    assert_int_equal(stat(path_in(f, "a.key"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(stat(path_in(f, "a.pub"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    assert_int_equal(keys_read(path_in(f, "a.key"), &read, &f->err), POISE_OK);
    assert_memory_equal(&read, &keys, sizeof keys);
    assert_int_equal(keys_read_public(path_in(f, "a.pub"), public_key, &f->err), POISE_OK);
    assert_memory_equal(public_key, keys.public_key, NET_KEY_BYTES);

    struct net_keys other; /* never overwritten, and nothing half remains */
    assert_int_equal(keys_make(&other, NULL), POISE_OK);
    assert_int_equal(keys_write(path_in(f, "a"), &other, &f->err), POISE_EBUSY);
    assert_int_equal(unlink(path_in(f, "a.key")), 0);
    assert_int_equal(keys_write(path_in(f, "a"), &other, &f->err), POISE_EBUSY);
    assert_int_equal(stat(path_in(f, "a.key"), &status), -1);
    forget(f);
}

static void a_secret_that_others_get_at_is_refused(void **state)
{
    struct fixture *f = *state;
    static const mode_t bad[] = {0640, 0604, 0620, 0602, 0644, 0666, 0610, 0601};
    struct net_keys keys, read = {.public_key = {7}};
    assert_int_equal(keys_make(&keys, NULL), POISE_OK);
    assert_int_equal(keys_write(path_in(f, "a"), &keys, &f->err), POISE_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(chmod(path_in(f, "a.key"), bad[i]), 0);
        assert_int_equal(keys_read(path_in(f, "a.key"), &read, &f->err), POISE_EDENIED);
        assert_non_null(strstr(f->err.text, "chmod 600"));
        assert_non_null(strstr(f->err.text, "a.key"));
    }
    assert_int_equal(read.public_key[0], 7);
    assert_int_equal(chmod(path_in(f, "a.key"), 0400), 0);
    assert_int_equal(keys_read(path_in(f, "a.key"), &read, &f->err), POISE_OK);
    forget(f);
}

static void a_public_key_that_others_may_write_is_refused(void **state)
{
    struct fixture *f = *state;
    static const mode_t bad[] = {0664, 0646, 0666, 0620, 0602};
    struct net_keys keys;
    uint8_t public_key[NET_KEY_BYTES] = {7};
    assert_int_equal(keys_make(&keys, NULL), POISE_OK);
    keys.public_key[0] = 8;
    assert_int_equal(keys_write(path_in(f, "a"), &keys, &f->err), POISE_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(chmod(path_in(f, "a.pub"), bad[i]), 0);
        assert_int_equal(keys_read_public(path_in(f, "a.pub"), public_key, &f->err), POISE_EDENIED);
        assert_non_null(strstr(f->err.text, "chmod go-w"));
        assert_non_null(strstr(f->err.text, "a.pub"));
    }
    assert_int_equal(public_key[0], 7);
    assert_int_equal(chmod(path_in(f, "a.pub"), 0444), 0);
    assert_int_equal(keys_read_public(path_in(f, "a.pub"), public_key, &f->err), POISE_OK);
    assert_int_equal(public_key[0], 8);
    forget(f);
}

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void what_is_no_key_file_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "",
        "public " HEX "\n",
        "secret " HEX "\n",
        "public " HEX "\nsecret " HEX "\n", /* no pair */
        "public " HEX "\nsecret " HEX "0\n",
        "public " HEX "\nsecret 012345678\n",
        "public " HEX "\npublic " HEX "\n",
        HEX "\n" HEX "\n",
        "private " HEX "\n",
        "public 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\n",
    };
    struct net_keys keys;
    uint8_t public_key[NET_KEY_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(path_in(f, "a.key"), bad[i], 0600);
        assert_int_equal(keys_read(path_in(f, "a.key"), &keys, &f->err), POISE_EINVAL);
    }
    char *large = calloc(1, 5001);
    assert_non_null(large);
    memset(large, '#', 5000);
    write_text(path_in(f, "a.key"), large, 0600);
    free(large);
    assert_int_equal(keys_read(path_in(f, "a.key"), &keys, &f->err), POISE_EINVAL);
    unlink(path_in(f, "a.key"));
    assert_int_equal(keys_read(path_in(f, "a.key"), &keys, &f->err), POISE_ENOTFOUND);
    assert_int_equal(keys_read(f->directory, &keys, &f->err), POISE_EINVAL);
    assert_int_equal(keys_read_public(HEX, public_key, &f->err), POISE_OK);
    assert_int_equal(public_key[1], 0x23);
    assert_int_equal(keys_read_public(HEX "0", public_key, &f->err), POISE_ENOTFOUND);
    write_text(path_in(f, "a.pub"), "  # mine\r\n\n\tpublic " HEX "  # so\r\n", 0644);
    assert_int_equal(keys_read_public(path_in(f, "a.pub"), public_key, &f->err), POISE_OK);
    forget(f);
}

static void a_pipe_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    struct net_keys keys;
    uint8_t public_key[NET_KEY_BYTES];
    assert_int_equal(mkfifo(path_in(f, "a.key"), 0600), 0);
    alarm(PATIENCE_MS / 1000); /* who waits for somebody to write to it waits for ever */
    assert_int_equal(keys_read(path_in(f, "a.key"), &keys, &f->err), POISE_EINVAL);
    assert_non_null(strstr(f->err.text, "a.key is no regular file"));
    assert_int_equal(keys_read_public(path_in(f, "a.key"), public_key, &f->err), POISE_EINVAL);
    assert_non_null(strstr(f->err.text, "a.key is no regular file"));
    alarm(0);
    assert_int_equal(keys_read_public(f->directory, public_key, &f->err), POISE_EINVAL);
    assert_non_null(strstr(f->err.text, "no regular file"));
    forget(f);
}

/* ---- peers ---- */

struct peer {
    void *socket, *monitor;
};

struct gate {
    struct net_keys server, client;
    struct net_curve curve;
    struct net_limits limits;
    struct net_socket *router;
};

static void lock(struct fixture *f, struct gate *gate)
{
    assert_int_equal(keys_make(&gate->server, NULL), POISE_OK);
    assert_int_equal(keys_make(&gate->client, NULL), POISE_OK);
    gate->curve = (struct net_curve){.own = gate->server, .domain = "gate"};
    gate->limits = (struct net_limits){.curve = &gate->curve};
    gate->router = bound(f, "tcp://127.0.0.1:*", &gate->limits);
}

static struct peer peer(void *context, const char *endpoint, const struct net_keys *keys,
                        const uint8_t *server_key)
{
    struct peer p = {.socket = zmq_socket(context, ZMQ_DEALER), .monitor = zmq_socket(context, ZMQ_PAIR)};
    const int no = 0;
    assert_non_null(p.socket);
    assert_int_equal(zmq_setsockopt(p.socket, ZMQ_LINGER, &no, sizeof no), 0);
    if (keys) {
        assert_int_equal(zmq_setsockopt(p.socket, ZMQ_CURVE_PUBLICKEY, keys->public_key, NET_KEY_BYTES), 0);
        assert_int_equal(zmq_setsockopt(p.socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, NET_KEY_BYTES), 0);
        assert_int_equal(zmq_setsockopt(p.socket, ZMQ_CURVE_SERVERKEY, server_key, NET_KEY_BYTES), 0);
    }
    int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_DISCONNECTED;
    char monitor[64];
    snprintf(monitor, sizeof monitor, "inproc://monitor-%p", p.socket);
    assert_int_equal(zmq_socket_monitor(p.socket, monitor, events), 0);
    assert_int_equal(zmq_connect(p.monitor, monitor), 0);
    assert_int_equal(zmq_connect(p.socket, endpoint), 0);
    return p;
}

static void leave(struct peer p)
{
    zmq_socket_monitor(p.socket, NULL, 0);
    zmq_close(p.socket);
    zmq_close(p.monitor);
}

/* How the handshake ends; meanwhile the zap (if there is one) answers with `user`. */
static bool gets_in(struct peer p, struct net_zap *zap, const char *user, struct net_zap_request *ret_request)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        uint8_t event[6];
        if (zmq_recv(p.monitor, event, sizeof event, ZMQ_DONTWAIT) == (int)sizeof event) {
            uint16_t number;
            memcpy(&number, event, sizeof number);
            return number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        }
        struct net_wait item = {.zap = zap, .fd = -1};
        assert_int_equal(net_wait(&item, 1, 10, NULL), POISE_OK);
        if (zap && net_zap_next(zap, ret_request, NULL) == POISE_OK)
            net_zap_answer(zap, user);
    }
    fail_msg("the handshake does not end");
    return false;
}

static void without_an_answer_nobody_gets_in(void **state)
{
    struct fixture *f = *state;
    struct gate gate;
    lock(f, &gate);
    void *context = zmq_ctx_new();
    struct peer p = peer(context, net_endpoint(gate.router), &gate.client, gate.server.public_key);
    assert_false(gets_in(p, NULL, NULL, NULL));
    leave(p);
    zmq_ctx_term(context);
}

static void a_key_is_asked_for_and_its_messages_carry_its_user(void **state)
{
    struct fixture *f = *state;
    struct net_zap *second = NULL;
    struct net_zap_request request;
    struct net_message message;
    assert_int_equal(net_zap_open(f->net, &f->zap, &f->err), POISE_OK);
    assert_int_equal(net_zap_open(f->net, &second, &f->err), POISE_EIO);
    struct gate gate;
    lock(f, &gate);
    void *context = zmq_ctx_new();

    struct peer p = peer(context, net_endpoint(gate.router), &gate.client, gate.server.public_key);
    assert_false(gets_in(p, f->zap, NULL, &request));
    assert_memory_equal(request.key, gate.client.public_key, NET_KEY_BYTES);
    assert_string_equal(request.domain, "gate");
    assert_string_equal(request.address, "127.0.0.1");
    leave(p);

    p = peer(context, net_endpoint(gate.router), &gate.client, gate.server.public_key);
    assert_true(gets_in(p, f->zap, "somebody", &request));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(zmq_send(p.socket, "\1\3", 2, ZMQ_SNDMORE), 2);
        assert_int_equal(zmq_send(p.socket, "hello", 5, 0), 5);
        expect(gate.router, "hello", &message);
        assert_string_equal(message.user, "somebody");
    }
    leave(p);
    zmq_ctx_term(context);
}

static void our_own_dealer_gets_in_and_ipc_is_never_locked(void **state)
{
    struct fixture *f = *state;
    struct net_zap_request request;
    struct net_message message;
    assert_int_equal(net_zap_open(f->net, &f->zap, &f->err), POISE_OK);
    struct gate gate;
    lock(f, &gate);
    struct net_curve curve = {.own = gate.client};
    memcpy(curve.server_key, gate.server.public_key, NET_KEY_BYTES);
    const struct net_limits with_key = {.curve = &curve};
    struct net_socket *dealer = connected(f, net_endpoint(gate.router), &with_key);
    struct net_wait items[] = {{.zap = f->zap, .fd = -1}};
    assert_int_equal(net_wait(items, 1, PATIENCE_MS, NULL), POISE_OK);
    assert_int_equal(net_zap_next(f->zap, &request, &f->err), POISE_OK);
    net_zap_answer(f->zap, "us");
    await(dealer, true);
    assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
    expect(gate.router, "hello", &message);
    assert_string_equal(message.user, "us");
    assert_int_equal(net_zap_next(f->zap, &request, &f->err), POISE_ENOTFOUND);

    struct net_socket *router = bound(f, f->endpoint, &gate.limits);
    dealer = connected(f, f->endpoint, NULL);
    await(dealer, true);
    assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
    expect(router, "hello", &message);
    assert_null(message.user);
}

/* CURVE makes frames longer on the way, and a connection with one that is too long is cut, again and again.
 */
static void the_longest_message_gets_through_a_lock(void **state)
{
    struct fixture *f = *state;
    struct net_zap_request request;
    struct net_message message;
    assert_int_equal(net_zap_open(f->net, &f->zap, &f->err), POISE_OK);
    struct gate gate;
    lock(f, &gate);
    struct net_curve curve = {.own = gate.client};
    memcpy(curve.server_key, gate.server.public_key, NET_KEY_BYTES);
    const struct net_limits with_key = {.curve = &curve};
    struct net_socket *dealer = connected(f, net_endpoint(gate.router), &with_key);
    struct net_wait items[] = {{.zap = f->zap, .fd = -1}};
    assert_int_equal(net_wait(items, 1, PATIENCE_MS, NULL), POISE_OK);
    assert_int_equal(net_zap_next(f->zap, &request, &f->err), POISE_OK);
    net_zap_answer(f->zap, "us");
    await(dealer, true);
    enum { LONGEST = 262144 };
    static char body[LONGEST + 1];
    memset(body, 'x', LONGEST);
    assert_int_equal(send_text(dealer, NULL, body), POISE_OK);
    expect(gate.router, body, &message);
    struct net_peer peer = message.peer; /* and back */
    assert_int_equal(send_text(gate.router, &peer, body), POISE_OK);
    expect(dealer, body, &message);
}

/* ---- who is not let in, or not any more ---- */

/* The router's thread sees to its connections until one has failed; who asks is not let in. */
static struct net_failure failure_of(struct net_socket *router, struct net_zap *zap)
{
    struct net_failure failure = {0};
    struct net_zap_request request;
    for (int waited = 0; waited < PATIENCE_MS && !net_socket_failure(router, &failure); waited += 10) {
        struct net_wait items[] = {{.socket = router, .fd = -1}, {.zap = zap, .fd = -1}};
        assert_int_equal(net_wait(items, 2, 10, NULL), POISE_OK);
        if (net_zap_next(zap, &request, NULL) == POISE_OK)
            net_zap_answer(zap, NULL);
    }
    return failure;
}

static void a_failed_handshake_has_a_reason(void **state)
{
    struct fixture *f = *state;
    struct net_keys other;
    assert_int_equal(keys_make(&other, NULL), POISE_OK);
    assert_int_equal(net_zap_open(f->net, &f->zap, &f->err), POISE_OK);
    struct gate gate;
    lock(f, &gate);
    gate.limits.max_connections = 10;
    struct net_socket *watched = bound(f, "tcp://127.0.0.1:*", &gate.limits);
    void *context = zmq_ctx_new();
    const struct {
        const struct net_keys *keys;
        const uint8_t *server_key;
        enum net_failing why;
    } wrong[] = {{NULL, NULL, NET_FAILING_MECHANISM},
                 {&gate.client, other.public_key, NET_FAILING_KEY},
                 {&gate.client, gate.server.public_key, NET_FAILING_DENIED}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct peer p = peer(context, net_endpoint(watched), wrong[i].keys, wrong[i].server_key);
        struct net_failure failure = failure_of(watched, f->zap);
        if (failure.why != NET_FAILING_LEFT || i > 0) /* libzmq's client may be the first to go */
            assert_string_equal(net_failing_name(failure.why), net_failing_name(wrong[i].why));
        assert_true(net_socket_failed(watched, failure.why) >= 1);
        if (failure.address[0]) /* libzmq may have closed it before anybody looked */
            assert_memory_equal(failure.address, "127.0.0.1:", 10);
        leave(p);
        while (net_socket_failure(watched, &failure)) {
        }
    }
    zmq_ctx_term(context);
}

static bool stays(const void *context, const char *user)
{
    return strcmp(context, user) == 0;
}

/* The next event of a monitor; false: none came so soon. */
static bool is_told(struct peer p, struct net_socket *router, int patience_ms)
{
    uint8_t event[6];
    for (int waited = 0; waited < patience_ms; waited += 10) {
        if (zmq_recv(p.monitor, event, sizeof event, ZMQ_DONTWAIT) == (int)sizeof event)
            return true;
        struct net_wait item = {.socket = router, .fd = -1};
        assert_int_equal(net_wait(&item, 1, 10, NULL), POISE_OK);
    }
    return false;
}

static void revoked_connections_are_ended(void **state)
{
    struct fixture *f = *state;
    static const char *const users[] = {"stays", "goes", "silent"};
    struct net_zap_request request;
    struct net_message message;
    struct net_connections counts;
    assert_int_equal(net_zap_open(f->net, &f->zap, &f->err), POISE_OK);
    struct gate gate;
    lock(f, &gate);
    gate.limits.max_connections = 10;
    struct net_socket *watched = bound(f, "tcp://127.0.0.1:*", &gate.limits);
    void *context = zmq_ctx_new();
    struct peer peers[3];
    for (int i = 0; i < 3; i++) {
        peers[i] = peer(context, net_endpoint(watched), &gate.client, gate.server.public_key);
        assert_true(gets_in(peers[i], f->zap, users[i], &request));
        for (int tries = 0; i < 2 && tries < 2; tries++) {
            assert_int_equal(zmq_send(peers[i].socket, "\1\3", 2, ZMQ_SNDMORE), 2);
            assert_int_equal(zmq_send(peers[i].socket, "hello", 5, 0), 5);
            struct net_wait aside = {.socket = watched, .fd = -1, .aside = true};
            for (int turns = 0; tries && turns < 8; turns++) /* what waits is whose it was, too */
                assert_int_equal(net_wait(&aside, 1, 10, NULL), POISE_OK);
            while (net_receive(watched, &message, NULL) == POISE_ENOTFOUND) {
                struct net_wait item = {.socket = watched, .fd = -1};
                assert_int_equal(net_wait(&item, 1, 10, NULL), POISE_OK);
            }
            assert_string_equal(message.user, users[i]);
        }
    }
    net_socket_revoke(watched, stays, users[0]);
    for (int i = 1; i < 3; i++)
        assert_true(is_told(peers[i], watched, PATIENCE_MS));
    assert_false(is_told(peers[0], watched, 300));
    net_socket_connections(watched, &counts);
    assert_int_equal(counts.revoked, 2);
    for (int i = 0; i < 3; i++)
        leave(peers[i]);
    zmq_ctx_term(context);
}

/* Bytes go both ways until it is told to stop. */
struct pump {
    int fds[2];
    _Atomic bool stop;
};

static void *pump(void *context)
{
    struct pump *pump = context;
    while (!pump->stop) {
        struct pollfd items[] = {{.fd = pump->fds[0], .events = POLLIN},
                                 {.fd = pump->fds[1], .events = POLLIN}};
        char bytes[4096];
        (void)poll(items, 2, 10);
        for (int i = 0; i < 2; i++) {
            ssize_t got = items[i].revents ? recv(pump->fds[i], bytes, sizeof bytes, MSG_DONTWAIT) : 0;
            if (got > 0)
                (void)!send(pump->fds[!i], bytes, (size_t)got, MSG_NOSIGNAL);
        }
    }
    return NULL;
}

static int tcp_to(const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    address.sin_port = htons((uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Who is let in, and then says what does not open, is cut at once. */
static void garbage_in_a_lock_is_cut(void **state)
{
    struct fixture *f = *state;
    static const char garbage[2 + 40] = {0, 40, 7, 'M', 'E', 'S', 'S', 'A', 'G', 'E', [10] = 1};
    struct net_zap_request request;
    struct gate gate;
    assert_int_equal(net_zap_open(f->net, &f->zap, &f->err), POISE_OK);
    lock(f, &gate);
    gate.limits.max_connections = 10;
    struct net_socket *watched = bound(f, "tcp://127.0.0.1:*", &gate.limits);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    char endpoint[64], byte;
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    void *context = zmq_ctx_new();
    struct peer p = peer(context, endpoint, &gate.client, gate.server.public_key);
    struct pump between = {.fds = {accept(listener, NULL, NULL), tcp_to(net_endpoint(watched))}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pump, &between), 0);
    assert_true(gets_in(p, f->zap, "us", &request));
    between.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    ssize_t got = -1;
    assert_int_equal(send(between.fds[1], garbage, sizeof garbage, MSG_NOSIGNAL), sizeof garbage);
    for (int turns = 0; turns < 200 && got != 0; turns++) {
        struct net_wait item = {.socket = watched, .fd = -1};
        assert_int_equal(net_wait(&item, 1, 10, NULL), POISE_OK);
        got = recv(between.fds[1], &byte, 1, MSG_DONTWAIT);
    }
    assert_int_equal(got, 0);
    for (int i = 0; i < 2; i++)
        close(between.fds[i]);
    close(listener);
    leave(p);
    zmq_ctx_term(context);
}

static void other_locks_and_none_do_not_go_together(void **state)
{
    struct fixture *f = *state;
    struct net_zap_request request;
    struct net_keys other;
    assert_int_equal(keys_make(&other, NULL), POISE_OK);
    assert_int_equal(net_zap_open(f->net, &f->zap, &f->err), POISE_OK);
    struct gate gate;
    lock(f, &gate);
    struct net_socket *plain = bound(f, "tcp://127.0.0.1:*", NULL);
    void *context = zmq_ctx_new();
    const struct {
        const char *endpoint;
        const struct net_keys *keys;
        const uint8_t *server_key;
    } wrong[] = {{net_endpoint(gate.router), NULL, NULL},
                 {net_endpoint(gate.router), &gate.client, other.public_key},
                 {net_endpoint(plain), &gate.client, gate.server.public_key}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct peer p = peer(context, wrong[i].endpoint, wrong[i].keys, wrong[i].server_key);
        assert_false(gets_in(p, f->zap, "somebody", &request));
        leave(p);
    }
    zmq_ctx_term(context);
}

static void keys_open_what_is_beyond_loopback(void **state)
{
    struct fixture *f = *state;
    struct gate gate;
    lock(f, &gate);
    struct net_socket *socket = NULL;
    assert_int_equal(net_bind(f->net, "tcp://0.0.0.0:*", false, &gate.limits, &socket, &f->err), POISE_OK);
    net_socket_close(socket);
    assert_int_equal(net_bind(f->net, "tcp://0.0.0.0:*", false, NULL, &socket, &f->err), POISE_EDENIED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_pair_is_written_for_its_owner_alone),
        TEST(a_secret_that_others_get_at_is_refused),
        TEST(a_public_key_that_others_may_write_is_refused),
        TEST(what_is_no_key_file_is_refused),
        TEST(a_pipe_is_refused_at_once),
        TEST(without_an_answer_nobody_gets_in),
        TEST(garbage_in_a_lock_is_cut),
        TEST(a_key_is_asked_for_and_its_messages_carry_its_user),
        TEST(our_own_dealer_gets_in_and_ipc_is_never_locked),
        TEST(the_longest_message_gets_through_a_lock),
        TEST(a_failed_handshake_has_a_reason),
        TEST(revoked_connections_are_ended),
        TEST(other_locks_and_none_do_not_go_together),
        TEST(keys_open_what_is_beyond_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
