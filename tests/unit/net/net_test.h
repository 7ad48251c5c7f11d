/* A context, a directory for ipc sockets, and receiving with patience. */
#ifndef UNIT_NET_TEST_H
#define UNIT_NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <net/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000 };

struct fixture {
    struct net *net;
    char directory[32];
    char endpoint[64]; /* an ipc endpoint that is free */
    poise_error err;
    struct net_socket *sockets[8]; /* closed by teardown, since closing the context waits for them */
    size_t socket_count;
    struct net_zap *zap; /* likewise */
};

static inline int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.directory = "/tmp/poise-net-XXXXXX"};
    if (!mkdtemp(fixture.directory)) {
        return -1;
    }
    snprintf(fixture.endpoint, sizeof fixture.endpoint, "ipc://%s/socket", fixture.directory);
    *state = &fixture;
    return net_open(1, &fixture.net, NULL) == POISE_OK ? 0 : -1;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < f->socket_count; i++) {
        net_socket_close(f->sockets[i]);
    }
    net_zap_close(f->zap);
    net_close(f->net);
    unlink(f->endpoint + strlen("ipc://"));
    return rmdir(f->directory);
}

static inline struct net_socket *owned(struct fixture *f, struct net_socket *socket)
{
    assert_true(f->socket_count < sizeof f->sockets / sizeof *f->sockets);
    f->sockets[f->socket_count++] = socket;
    return socket;
}

static inline void shut(struct fixture *f, struct net_socket *socket)
{
    for (size_t i = 0; i < f->socket_count; i++) {
        if (f->sockets[i] == socket) {
            f->sockets[i] = NULL;
        }
    }
    net_socket_close(socket);
}

static inline struct net_socket *bound(struct fixture *f, const char *endpoint,
                                       const struct net_limits *limits)
{
    struct net_socket *socket = NULL;
    if (net_bind(f->net, endpoint, false, limits, &socket, &f->err) != POISE_OK) {
        fail_msg("%s", f->err.text);
    }
    return owned(f, socket);
}

static inline struct net_socket *connected(struct fixture *f, const char *endpoint,
                                           const struct net_limits *limits)
{
    struct net_socket *socket = NULL;
    if (net_connect(f->net, endpoint, false, limits, &socket, &f->err) != POISE_OK) {
        fail_msg("%s", f->err.text);
    }
    return owned(f, socket);
}

static inline void await(struct net_socket *socket, bool want_send)
{
    struct net_wait item = {.socket = socket, .fd = -1, .want_send = want_send};
    assert_int_equal(net_wait(&item, 1, PATIENCE_MS, NULL), POISE_OK);
    assert_true(item.ready);
}

static inline poise_code receive(struct net_socket *socket, struct net_message *ret_message)
{
    await(socket, false);
    return net_receive(socket, ret_message, NULL);
}

static inline void expect(struct net_socket *socket, const char *body, struct net_message *ret_message)
{
    assert_int_equal(receive(socket, ret_message), POISE_OK);
    assert_int_equal(ret_message->head_length, 2);
    assert_memory_equal(ret_message->head, "\1\3", 2);
    assert_int_equal(ret_message->body_length, strlen(body));
    assert_memory_equal(ret_message->body, body, strlen(body));
}

static inline poise_code send_text(struct net_socket *socket, const struct net_peer *peer, const char *body)
{
    return net_send(socket, peer, "\1\3", 2, body, strlen(body), NULL);
}

#endif
