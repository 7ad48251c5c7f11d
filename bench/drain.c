/* The sender of throughput against a peer that acknowledges each batch and does nothing else: how fast could
 * it be? */
#include "bench.h"

enum { DRAIN_CREDIT = 32 };

struct drain {
    struct net_socket *socket;
    struct buf out;
    _Atomic bool stop;
};

static void reply(struct drain *drain, const struct net_message *message, enum wire_kind kind)
{
    uint8_t head[2];
    poise_error err = {0};
    wire_head(kind, head);
    check(
        net_send(drain->socket, &message->peer, head, sizeof head, drain->out.data, drain->out.length, &err),
        &err);
    buf_reset(&drain->out);
}

static void answer(struct drain *drain, const struct net_message *message)
{
    enum wire_kind kind;
    poise_error err = {0};
    struct wire_ack ack = {.credit = DRAIN_CREDIT};
    struct wire_welcome welcome = {.next_seq = 1,
                                   .credit = DRAIN_CREDIT,
                                   .max_batch_bytes = WIRE_MESSAGE_MAX,
                                   .max_batch_rows = WIRE_BATCH_ROWS_MAX};
    check(wire_head_parse(message->head, message->head_length, &kind, &err), &err);
    if (kind == WIRE_HELLO) {
        check(wire_encode_welcome(&welcome, &drain->out), NULL);
        reply(drain, message, WIRE_WELCOME);
    } else if (kind == WIRE_BATCH &&
               wire_peek_batch(message->body, message->body_length, &ack.epoch, &ack.seq)) {
        check(wire_encode_ack(&ack, &drain->out), NULL);
        reply(drain, message, WIRE_ACK);
    } else {
        die("the sender sent something else");
    }
}

static void *take_all(void *context)
{
    struct drain *drain = context;
    while (!drain->stop) {
        struct net_message message;
        struct net_wait item = {.socket = drain->socket, .fd = -1};
        poise_error err = {0};
        check(net_wait(&item, 1, 50, &err), &err);
        while (net_receive(drain->socket, &message, NULL) == POISE_OK)
            answer(drain, &message);
    }
    return NULL;
}

void run_drain(const struct options *options)
{
    struct workload workload;
    struct producer producer;
    struct drain drain = {0};
    struct net *net;
    pthread_t thread;
    poise_error err = {0};
    workload_make(&workload, options);
    check(net_open(1, &net, &err), &err);
    check(net_bind(net, "tcp://127.0.0.1:*", false, NULL, &drain.socket, &err), &err);
    if (pthread_create(&thread, NULL, take_all, &drain) != 0)
        die("a thread cannot be started");
    producer_open(&producer, net_endpoint(drain.socket), workload.epoch);
    int64_t start = now_ns();
    producer_send_all(&producer, &workload);
    figure("seconds", (double)(now_ns() - start) / 1e9);
    figure("samples", (double)workload.samples);
    drain.stop = true;
    pthread_join(thread, NULL);
    producer_close(&producer);
    net_socket_close(drain.socket);
    net_close(net);
    buf_free(&drain.out);
    workload_free(&workload);
}
