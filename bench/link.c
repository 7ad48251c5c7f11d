/* A link to the query endpoint: subscriptions, and what is asked once. */
#include "bench.h"
#include <net/keys.h>
#include <stdlib.h>
#include <string.h>

enum { CREDIT = 64 };

bool bench_curve(struct net_curve *ret_curve)
{
    poise_error err = {0};
    const char *key_file = getenv("POISE_KEY_FILE");
    if (key_file)
        check(keys_read_curve(key_file, getenv("POISE_SERVER_KEY"), ret_curve, &err), &err);
    return key_file != NULL;
}

void link_open(struct link *link, const char *endpoint)
{
    poise_error err = {0};
    struct net_curve curve;
    struct net_limits limits = {.curve = bench_curve(&curve) ? &curve : NULL};
    *link = (struct link){0};
    check(net_open(1, &link->net, &err), &err);
    check(net_connect(link->net, endpoint, false, &limits, &link->socket, &err), &err);
    arena_init(&link->arena, WIRE_ARENA);
    struct net_wait room = {.socket = link->socket, .fd = -1, .want_send = true};
    check(net_wait(&room, 1, PATIENCE_MS, &err), &err);
}

void link_close(struct link *link)
{
    net_socket_close(link->socket);
    net_close(link->net);
    arena_free(&link->arena);
    buf_free(&link->out);
}

/* Sends link->out. */
static void send_out(struct link *link, enum wire_kind kind)
{
    uint8_t head[2];
    poise_error err = {0};
    wire_head(kind, head);
    check(net_send(link->socket, NULL, head, sizeof head, link->out.data, link->out.length, &err), &err);
    buf_reset(&link->out);
}

/* The next message; false: none within the time. Its body lives until the next call. */
bool link_receive(struct link *link, int64_t timeout_ms, enum wire_kind *ret_kind,
                  struct net_message *ret_message)
{
    poise_error err = {0};
    struct net_wait item = {.socket = link->socket, .fd = -1};
    poise_code code = net_receive(link->socket, ret_message, &err);
    if (code == POISE_ENOTFOUND) {
        check(net_wait(&item, 1, timeout_ms, &err), &err);
        code = net_receive(link->socket, ret_message, &err);
    }
    if (code == POISE_ENOTFOUND)
        return false;
    check(code, &err);
    check(wire_head_parse(ret_message->head, ret_message->head_length, ret_kind, &err), &err);
    arena_reset(&link->arena);
    if (*ret_kind == WIRE_ERROR) {
        struct wire_error error;
        check(wire_decode_error(ret_message->body, ret_message->body_length, &link->arena, &error, &err),
              &err);
        die("the aggregator answered: %s", error.text);
    }
    return true;
}

void link_subscribe(struct link *link, const struct wire_filter *filter, bool once)
{
    struct wire_subscribe wanted = {.id = ++link->id, .credit = CREDIT, .once = once};
    if (filter)
        wanted.filter = *filter;
    link->used = 0;
    check(wire_encode_subscribe(&wanted, &link->out), NULL);
    send_out(link, WIRE_SUBSCRIBE);
}

void link_took(struct link *link)
{
    if (++link->used < CREDIT / 2)
        return;
    struct wire_credit credit = {.id = link->id, .more = link->used};
    check(wire_encode_credit(&credit, &link->out), NULL);
    send_out(link, WIRE_CREDIT);
    link->used = 0;
}

/* ---- once ---- */

static void take_answer(struct link *link, void (*visit)(void *context, const poise_state *state),
                        void *context)
{
    enum wire_kind kind;
    struct net_message message;
    struct wire_states states = {0};
    while (!states.last) {
        poise_error err = {0};
        if (!link_receive(link, PATIENCE_MS, &kind, &message))
            die("no answer came");
        check(wire_decode_states(kind, message.body, message.body_length, &link->arena, &states, &err), &err);
        for (size_t i = 0; i < states.count; i++)
            visit(context, &states.states[i]);
        if (!states.last)
            link_took(link);
    }
}

void link_ask(struct link *link, const struct wire_filter *filter,
              void (*visit)(void *context, const poise_state *state), void *context)
{
    link_subscribe(link, filter, true);
    take_answer(link, visit, context);
}

void link_query(struct link *link, struct wire_query *query,
                void (*visit)(void *context, const poise_state *state), void *context)
{
    query->id = ++link->id;
    query->credit = CREDIT;
    link->used = 0;
    check(wire_encode_query(query, &link->out), NULL);
    send_out(link, WIRE_QUERY);
    take_answer(link, visit, context);
}

void ask_states(const char *endpoint, void (*visit)(void *context, const poise_state *state), void *context)
{
    struct link link;
    link_open(&link, endpoint);
    link_ask(&link, NULL, visit, context);
    link_close(&link);
}

double ask_stats(const char *endpoint, const char *wanted)
{
    struct link link;
    enum wire_kind kind;
    struct net_message message;
    struct wire_stats stats;
    poise_error err = {0};
    double found = -1;
    link_open(&link, endpoint);
    check(wire_encode_stats_request(++link.id, &link.out), NULL);
    send_out(&link, WIRE_STATS_REQUEST);
    if (!link_receive(&link, PATIENCE_MS, &kind, &message) || kind != WIRE_STATS)
        die("no stats came");
    check(wire_decode_stats(message.body, message.body_length, &link.arena, &stats, &err), &err);
    for (size_t i = 0; i < stats.count; i++) {
        figure(stats.names[i], stats.values[i]);
        if (strcmp(stats.names[i], wanted) == 0)
            found = stats.values[i];
    }
    link_close(&link);
    return found;
}
