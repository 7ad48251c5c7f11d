#include "played.h"
#include <base/arena.h>
#include <base/buf.h>
#include <net/net.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wire/wire.h>

#include <cmocka.h>

enum { CREDIT = 100, REFUSED_MAX = 4096 };

struct played {
    pthread_t thread;
    atomic_bool ended;
    _Atomic(const char *) refuse;
    const poise_code *denials;  /* the last one first; the thread only reads */
    atomic_size_t denial_count; /* that are still to come */
    atomic_int taken_fd;        /* -1: none */
    struct net *net;
    struct net_socket *socket;
    struct net_wake *wake;
    struct arena arena;
    struct buf body, rows;
    uint64_t epoch, high; /* of one producer */
    uint64_t last_hash;
    struct wire_refusal refusals[REFUSED_MAX]; /* of the last batch */
    size_t refused;
};

static void answer(struct played *played, const struct net_peer *peer, enum wire_kind kind)
{
    uint8_t head[2];
    wire_head(kind, head);
    (void)net_send(played->socket, peer, head, sizeof head, played->body.data, played->body.length, NULL);
    buf_reset(&played->body);
}

static void acknowledge(struct played *played, const struct net_peer *peer)
{
    struct wire_ack ack = {.epoch = played->epoch,
                           .seq = played->high,
                           .credit = CREDIT,
                           .refusals = played->refusals,
                           .refusal_count = played->refused};
    wire_encode_ack(&ack, &played->body);
    answer(played, peer, WIRE_ACK);
}

static void deny(struct played *played, const struct net_peer *peer)
{
    size_t left = atomic_load(&played->denial_count);
    struct wire_error error = {.code = played->denials[left - 1], .text = "not you"};
    atomic_store(&played->denial_count, left - 1);
    wire_encode_error(&error, &played->body);
    answer(played, peer, WIRE_ERROR);
}

static void greet(struct played *played, const struct net_message *message)
{
    struct wire_hello hello;
    if (wire_decode_hello(message->body, message->body_length, &played->arena, &hello, NULL) != POISE_OK) {
        return;
    }
    if (atomic_load(&played->denial_count) > 0) {
        deny(played, &message->peer);
        return;
    }
    played->epoch = hello.epoch;
    struct wire_welcome welcome = {.store_id = "played",
                                   .incarnation = 1,
                                   .epoch = hello.epoch,
                                   .next_seq = played->high + 1,
                                   .last_hash = played->last_hash,
                                   .credit = CREDIT,
                                   .max_batch_bytes = WIRE_MESSAGE_MAX,
                                   .max_batch_rows = WIRE_BATCH_ROWS_MAX};
    wire_encode_welcome(&welcome, &played->body);
    answer(played, &message->peer, WIRE_WELCOME);
    if (hello.next_seq <= played->high) {
        acknowledge(played, &message->peer);
    }
}

/* Writes the rows down; returns how many it refused. */
static size_t take_rows(struct played *played, const struct wire_batch *batch)
{
    const char *refuse = atomic_load(&played->refuse);
    size_t refused = 0;
    for (size_t i = 0; i < batch->rows; i++) {
        poise_measurement row = wire_batch_row(batch, i);
        if (refuse && strcmp(row.measure, refuse) == 0 && refused < REFUSED_MAX) {
            played->refusals[refused++] =
                (struct wire_refusal){batch->seq, (uint32_t)i, POISE_REFUSAL_UNKNOWN_MEASURE};
        } else {
            buf_printf(&played->rows, "%s %s %s %g\n", row.measure, row.org, row.key ? row.key : "-",
                       row.value);
        }
    }
    return refused;
}

static void take(struct played *played, const struct net_message *message)
{
    struct wire_batch batch;
    if (wire_decode_batch(message->body, message->body_length, &played->arena, &batch, NULL) != POISE_OK ||
        batch.seq > played->high + 1) {
        return;
    }
    if (batch.seq == played->high + 1) {
        played->refused = take_rows(played, &batch);
        played->high = batch.seq;
        played->last_hash = wire_batch_hash(message->body, message->body_length);
    }
    acknowledge(played, &message->peer);
    if (atomic_load(&played->taken_fd) >= 0 && write(atomic_load(&played->taken_fd), "x", 1) != 1) {
        abort();
    }
}

static void *play(void *context)
{
    struct played *played = context;
    while (!atomic_load(&played->ended)) {
        struct net_wait items[] = {{.socket = played->socket, .fd = -1}, {.wake = played->wake, .fd = -1}};
        struct net_message message;
        enum wire_kind kind;
        (void)net_wait(items, 2, -1, NULL);
        while (net_receive(played->socket, &message, NULL) == POISE_OK) {
            arena_reset(&played->arena);
            if (wire_head_parse(message.head, message.head_length, &kind, NULL) != POISE_OK) {
                continue;
            }
            if (kind == WIRE_HELLO) {
                greet(played, &message);
            } else if (kind == WIRE_BATCH) {
                take(played, &message);
            }
        }
    }
    return NULL;
}

struct played *played_start(const char *endpoint)
{
    struct played *played = calloc(1, sizeof *played);
    assert_non_null(played);
    poise_error err;
    arena_init(&played->arena, 0);
    played->taken_fd = -1;
    if (net_open(1, &played->net, &err) != POISE_OK ||
        net_bind(played->net, endpoint, false, &(struct net_limits){0}, &played->socket, &err) != POISE_OK ||
        net_wake_open(&played->wake, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(pthread_create(&played->thread, NULL, play, played), 0);
    return played;
}

void played_refuse(struct played *played, const char *measure)
{
    atomic_store(&played->refuse, measure);
}

void played_deny(struct played *played, const poise_code *codes, size_t count)
{
    assert_int_equal(atomic_load(&played->denial_count), 0);
    played->denials = codes;
    atomic_store(&played->denial_count, count);
}

void played_tell(struct played *played, int fd)
{
    atomic_store(&played->taken_fd, fd);
}

char *played_stop(struct played *played)
{
    atomic_store(&played->ended, true);
    net_wake_up(played->wake);
    assert_int_equal(pthread_join(played->thread, NULL), 0);
    net_socket_close(played->socket);
    net_wake_close(played->wake);
    net_close(played->net);
    arena_free(&played->arena);
    buf_free(&played->body);
    buf_put_u8(&played->rows, 0);
    char *rows = (char *)played->rows.data;
    free(played);
    return rows;
}
