#include "bench.h"

enum { SEND_HWM = 4096 }; /* more than credit can ever fill, so that only credit holds batches back */

static void send_hello(struct producer *producer, uint64_t epoch)
{
    struct wire_hello hello = {
        .producer = "bench", .epoch = epoch, .next_seq = 1, .software = "bench_ingest"};
    struct buf body = {0};
    uint8_t head[2];
    poise_error err = {0};
    struct net_wait room = {.socket = producer->socket, .fd = -1, .want_send = true};
    check(wire_encode_hello(&hello, &body), NULL);
    check(net_wait(&room, 1, PATIENCE_MS, &err), &err); /* until it is connected */
    wire_head(WIRE_HELLO, head);
    check(net_send(producer->socket, NULL, head, sizeof head, body.data, body.length, &err), &err);
    buf_free(&body);
}

void producer_open(struct producer *producer, const char *endpoint, uint64_t epoch)
{
    poise_error err = {0};
    struct net_curve curve;
    struct net_limits limits = {.send_hwm = SEND_HWM, .curve = bench_curve(&curve) ? &curve : NULL};
    *producer = (struct producer){0};
    check(net_open(1, &producer->net, &err), &err);
    check(net_connect(producer->net, endpoint, false, &limits, &producer->socket, &err), &err);
    arena_init(&producer->arena, WIRE_ARENA);
    send_hello(producer, epoch);
    while (producer->credit == 0) {
        producer_wait(producer, -1);
        producer_receive(producer);
    }
}

void producer_close(struct producer *producer)
{
    net_socket_close(producer->socket);
    net_close(producer->net);
    arena_free(&producer->arena);
}

bool producer_send(struct producer *producer, const void *body, size_t length)
{
    static const uint8_t head[2] = {WIRE_VERSION, WIRE_BATCH};
    poise_error err = {0};
    if (producer->sent - producer->acked >= producer->credit)
        return false;
    check(net_send(producer->socket, NULL, head, sizeof head, body, length, &err), &err);
    producer->sent++;
    return true;
}

static void on_message(struct producer *producer, enum wire_kind kind, const void *body, size_t length)
{
    struct wire_ack ack;
    struct wire_welcome welcome;
    struct wire_error error;
    poise_error err = {0};
    arena_reset(&producer->arena);
    if (kind == WIRE_ACK) {
        check(wire_decode_ack(body, length, &producer->arena, &ack, &err), &err);
        producer->acked = ack.seq;
        producer->credit = ack.credit;
        producer->refused += ack.refusal_count;
    } else if (kind == WIRE_WELCOME) {
        check(wire_decode_welcome(body, length, &producer->arena, &welcome, &err), &err);
        producer->credit = welcome.credit;
    } else if (kind == WIRE_ERROR) {
        check(wire_decode_error(body, length, &producer->arena, &error, &err), &err);
        die("the aggregator answered: %s", error.text);
    } else {
        die("the aggregator sent a message of kind %d", (int)kind);
    }
}

void producer_receive(struct producer *producer)
{
    struct net_message message;
    poise_error err = {0};
    poise_code code;
    while ((code = net_receive(producer->socket, &message, &err)) == POISE_OK) {
        enum wire_kind kind;
        check(wire_head_parse(message.head, message.head_length, &kind, &err), &err);
        on_message(producer, kind, message.body, message.body_length);
    }
    if (code != POISE_ENOTFOUND)
        check(code, &err);
}

void producer_wait(struct producer *producer, int timer_fd)
{
    poise_error err = {0};
    struct net_wait items[2] = {{.socket = producer->socket, .fd = -1}, {.fd = timer_fd}};
    check(net_wait(items, timer_fd < 0 ? 1 : 2, PATIENCE_MS, &err), &err);
    if (!items[0].ready && !items[1].ready)
        die("the aggregator was silent for %d s", PATIENCE_MS / 1000);
}

void producer_send_all(struct producer *producer, const struct workload *workload)
{
    int64_t since_ns = now_ns();
    while (producer->acked < workload->count) {
        uint64_t acked = producer->acked;
        while (producer->sent < workload->count) {
            size_t start = producer->sent ? workload->ends[producer->sent - 1] : 0;
            if (!producer_send(producer, workload->bodies.data + start,
                               workload->ends[producer->sent] - start))
                break;
        }
        producer_wait(producer, -1);
        producer_receive(producer);
        if (producer->acked == acked)
            continue;
        int64_t now = now_ns();
        if (now - since_ns > producer->silence_ns)
            producer->silence_ns = now - since_ns;
        since_ns = now;
    }
}
