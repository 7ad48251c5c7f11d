#include "bench.h"

static void take(struct subscriber *subscriber, struct link *link, enum wire_kind kind,
                 const struct net_message *message)
{
    struct wire_states states;
    poise_error err = {0};
    check(wire_decode_states(kind, message->body, message->body_length, &link->arena, &states, &err), &err);
    bool whole = kind == WIRE_UPDATE || states.last;
    subscriber->messages++;
    subscriber->snapshots += kind == WIRE_SNAPSHOT && states.last;
    subscriber->states += states.count;
    subscriber->bytes += message->body_length;
    if (subscriber->seen)
        subscriber->seen(subscriber->context, &states);
    if (whole)
        subscriber->live = true;
}

static void *run(void *context)
{
    struct subscriber *subscriber = context;
    struct link link;
    enum wire_kind kind;
    struct net_message message;
    link_open(&link, subscriber->endpoint);
    link_subscribe(&link, NULL, false);
    while (!subscriber->stop)
        if (link_receive(&link, 50, &kind, &message)) {
            take(subscriber, &link, kind, &message);
            link_took(&link);
        }
    subscriber->cpu_ns = cpu_ns(0);
    link_close(&link);
    return NULL;
}

void subscriber_start(struct subscriber *subscriber)
{
    if (pthread_create(&subscriber->thread, NULL, run, subscriber) != 0)
        die("a thread cannot be started");
    while (!subscriber->live)
        net_wait(NULL, 0, 1, NULL);
}

void subscriber_stop(struct subscriber *subscriber)
{
    subscriber->stop = true;
    pthread_join(subscriber->thread, NULL);
}
