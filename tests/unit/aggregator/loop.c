#include "loop.h"
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

bool loop_open(struct loop *loop)
{
    snprintf(loop->directory, sizeof loop->directory, "/tmp/poise-aggregator-XXXXXX");
    if (!mkdtemp(loop->directory))
        return false;
    snprintf(loop->endpoint, sizeof loop->endpoint, "ipc://%s/socket", loop->directory);
    struct net_limits limits = {.send_hwm = loop->send_hwm};
    return net_open(1, &loop->net, NULL) == POISE_OK &&
           net_bind(loop->net, loop->endpoint, false, &limits, &loop->router, NULL) == POISE_OK;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void loop_close(struct loop *loop)
{
    for (size_t i = 0; i < loop->peer_count; i++)
        net_socket_close(loop->peers[i]);
    net_socket_close(loop->router);
    net_close(loop->net);
    arena_free(&loop->arena);
    buf_free(&loop->out);
    if (loop->log)
        fclose(loop->log);
    free(loop->said);
    assert_int_equal(nftw(loop->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

struct net_socket *loop_peer(struct loop *loop)
{
    assert_true(loop->peer_count < PEERS_MAX);
    struct net_socket **peer = &loop->peers[loop->peer_count++];
    assert_int_equal(net_connect(loop->net, loop->endpoint, false, NULL, peer, NULL), POISE_OK);
    return *peer;
}

void loop_hang_up(struct loop *loop, struct net_socket *peer)
{
    for (size_t i = 0; i < loop->peer_count; i++)
        if (loop->peers[i] == peer)
            loop->peers[i] = NULL;
    net_socket_close(peer);
}

void loop_send_raw(struct net_socket *peer, const void *head, size_t head_length, const void *body,
                   size_t length)
{
    struct net_wait room = {.socket = peer, .fd = -1, .want_send = true};
    assert_int_equal(net_wait(&room, 1, PATIENCE_MS, NULL), POISE_OK);
    assert_int_equal(net_send(peer, NULL, head, head_length, body, length, NULL), POISE_OK);
}

void loop_send(struct loop *loop, struct net_socket *peer, enum wire_kind kind)
{
    uint8_t head[2];
    wire_head(kind, head);
    loop_send_raw(peer, head, sizeof head, loop->out.data, loop->out.length);
    buf_reset(&loop->out);
}

enum wire_kind loop_receive(struct loop *loop, struct net_socket *peer, struct net_message *ret_message)
{
    enum wire_kind kind;
    struct net_wait items[2] = {{.socket = peer, .fd = -1}, {.socket = loop->router, .fd = -1}};
    while (net_receive(peer, ret_message, NULL) == POISE_ENOTFOUND) {
        loop->step(loop->machine);
        size_t count = loop->can_receive(loop->machine) ? 2 : 1;
        items[0].ready = items[1].ready = false;
        if (net_receive(peer, ret_message, NULL) == POISE_OK)
            break;
        assert_int_equal(net_wait(items, count, PATIENCE_MS, NULL), POISE_OK);
        if (!items[0].ready && !items[1].ready)
            fail_msg("nothing came");
    }
    assert_int_equal(wire_head_parse(ret_message->head, ret_message->head_length, &kind, NULL), POISE_OK);
    arena_reset(&loop->arena);
    return kind;
}

void loop_expect_error(struct loop *loop, struct net_socket *peer, poise_code code)
{
    struct net_message message;
    struct wire_error error;
    assert_int_equal(loop_receive(loop, peer, &message), WIRE_ERROR);
    assert_int_equal(wire_decode_error(message.body, message.body_length, &loop->arena, &error, NULL),
                     POISE_OK);
    if (error.code != code)
        fail_msg("error %d: %s", (int)error.code, error.text);
}

struct log loop_log(struct loop *loop, const struct clock *clock)
{
    loop->log = open_memstream(&loop->said, &loop->said_length);
    assert_non_null(loop->log);
    return (struct log){.out = loop->log, .level = LOG_DEBUG, .clock = clock};
}

size_t loop_said(struct loop *loop, const char *part)
{
    size_t count = 0;
    fflush(loop->log);
    for (const char *at = loop->said; (at = strstr(at, part)); at++)
        count++;
    return count;
}
