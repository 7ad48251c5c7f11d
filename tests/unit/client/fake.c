#include "fake.h"

#include <base/clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fake_open(struct fake *fake)
{
    *fake = (struct fake){0};
    snprintf(fake->directory, sizeof fake->directory, "/tmp/poise-client-XXXXXX");
    assert_non_null(mkdtemp(fake->directory));
    snprintf(fake->endpoint, sizeof fake->endpoint, "ipc://%s/socket", fake->directory);
    arena_init(&fake->arena, 0);
}

void fake_close(struct fake *fake)
{
    fake_down(fake);
    arena_free(&fake->arena);
    buf_free(&fake->body);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", fake->directory);
    assert_int_equal(system(command), 0);
}

void fake_up(struct fake *fake)
{
    poise_error err = {0};
    assert_int_equal(net_open(1, &fake->net, NULL), POISE_OK);
    if (net_bind(fake->net, fake->endpoint, false, &(struct net_limits){0}, &fake->socket, &err) !=
        POISE_OK) {
        fail_msg("bind: %s", err.text);
    }
}

void fake_down(struct fake *fake)
{
    net_socket_close(fake->socket);
    net_close(fake->net);
    fake->socket = NULL;
    fake->net = NULL;
}

const char *fake_path(const struct fake *fake, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", fake->directory, name);
    return path;
}

bool fake_receive(struct fake *fake)
{
    struct net_message message;
    if (!fake->socket || net_receive(fake->socket, &message, NULL) != POISE_OK) {
        return false;
    }
    assert_int_equal(wire_head_parse(message.head, message.head_length, &fake->kind, NULL), POISE_OK);
    fake->peer = message.peer;
    fake->bytes = message.body;
    fake->length = message.body_length;
    arena_reset(&fake->arena);
    return true;
}

void fake_send(struct fake *fake, enum wire_kind kind, poise_code encoded)
{
    uint8_t head[2];
    wire_head(kind, head);
    assert_int_equal(encoded, POISE_OK);
    poise_error err = {0};
    if (net_send(fake->socket, &fake->peer, head, sizeof head, fake->body.data, fake->body.length, &err) !=
        POISE_OK) {
        fail_msg("send of kind %d: %s", kind, err.text);
    }
    buf_reset(&fake->body);
}

void fake_error(struct fake *fake, uint64_t id, poise_code code)
{
    struct wire_error error = {.id = id, .code = code, .text = "says the fake"};
    fake_send(fake, WIRE_ERROR, wire_encode_error(&error, &fake->body));
}

void fake_expect(struct fake *fake, enum wire_kind kind)
{
    int64_t end = now_ms() + PATIENCE_MS;
    while (!fake_receive(fake)) {
        struct net_wait item = {.socket = fake->socket, .fd = -1};
        assert_int_equal(net_wait(&item, 1, 100, NULL), POISE_OK);
        assert_true(now_ms() < end);
    }
    assert_int_equal(fake->kind, kind);
}

int64_t now_ms(void)
{
    return clock_monotonic_us(&clock_system) / 1000;
}
