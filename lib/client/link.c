#include <base/clock.h>
#include <base/error.h>
#include <client/link.h>
#include <net/keys.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

poise_code link_open(struct link *link, const struct link_options *options, poise_error *err)
{
    *link = (struct link){.insecure = options->insecure, .limits = {.send_hwm = options->send_hwm}};
    arena_init(&link->arena, WIRE_ARENA);
    link->endpoint = strdup(options->endpoint);
    if (!link->endpoint) {
        return error_nomem(err, "an endpoint");
    }
    poise_code code = POISE_OK;
    if (options->key_file || options->server_key) {
        code = keys_read_curve(options->key_file, options->server_key, &link->curve, err);
        link->limits.curve = &link->curve;
    }
    if (code == POISE_OK) {
        code = net_open(1, &link->net, err);
    }
    return code == POISE_OK ? link_reopen(link, err) : code;
}

void link_close(struct link *link)
{
    net_socket_close(link->socket);
    net_close(link->net);
    arena_free(&link->arena);
    buf_free(&link->body);
    free(link->endpoint);
    explicit_bzero(&link->curve, sizeof link->curve);
    *link = (struct link){0};
}

poise_code link_reopen(struct link *link, poise_error *err)
{
    struct net_socket *fresh;
    poise_code code = net_connect(link->net, link->endpoint, link->insecure, &link->limits, &fresh, err);
    if (code == POISE_OK) {
        net_socket_close(link->socket);
        link->socket = fresh;
    }
    return code;
}

poise_code link_move(struct link *link, const char *endpoint, poise_error *err)
{
    char *before = link->endpoint;
    link->endpoint = strdup(endpoint);
    poise_code code = link->endpoint ? link_reopen(link, err) : error_nomem(err, "an endpoint");
    free(code == POISE_OK ? before : link->endpoint);
    link->endpoint = code == POISE_OK ? link->endpoint : before;
    return code;
}

/* Passes a problem on, unless it is the one that is an everyday answer. */
static poise_code unless(poise_code everyday, poise_code code, const poise_error *problem, poise_error *err)
{
    if (code != everyday && err) {
        *err = *problem;
    }
    return code;
}

poise_code link_send(struct link *link, enum wire_kind kind, poise_code encoded, poise_error *err)
{
    poise_code code = encoded != POISE_OK || link->body.failed
                          ? error_nomem(err, "a message")
                          : link_send_body(link, kind, link->body.data, link->body.length, err);
    buf_reset(&link->body);
    return code;
}

poise_code link_send_body(struct link *link, enum wire_kind kind, const void *body, size_t length,
                          poise_error *err)
{
    uint8_t head[2];
    wire_head(kind, head);
    poise_error problem;
    poise_code code = net_send(link->socket, NULL, head, sizeof head, body, length, &problem);
    return code == POISE_OK ? code : unless(POISE_EFULL, code, &problem, err);
}

poise_code link_receive(struct link *link, struct link_message *ret_message, poise_error *err)
{
    arena_reset(&link->arena);
    struct net_message message;
    poise_error problem;
    poise_code code = net_receive(link->socket, &message, &problem);
    if (code != POISE_OK) {
        return unless(POISE_ENOTFOUND, code, &problem, err);
    }
    enum wire_kind kind;
    code = wire_head_parse(message.head, message.head_length, &kind, err);
    if (code != POISE_OK) {
        return code;
    }
    *ret_message = (struct link_message){.kind = kind, .body = message.body, .length = message.body_length};
    return POISE_OK;
}

poise_code link_wait(struct link *link, bool want_send, int64_t timeout_us, poise_error *err)
{
    struct net_wait item = {.socket = link->socket, .fd = -1, .want_send = want_send};
    (void)net_trouble(link->socket); /* which dates what it reads */
    /* Rounded up: a wait that ends a little early would spin until its time is there. */
    return net_wait(&item, 1, timeout_us > 0 ? (timeout_us - 1) / 1000 + 1 : 0, err);
}

poise_code link_can_send(struct link *link, bool *ret_can, poise_error *err)
{
    struct net_wait item = {.socket = link->socket, .fd = -1, .want_send = true};
    poise_code code = net_wait(&item, 1, 0, err);
    if (code == POISE_OK) {
        *ret_can = item.ready;
    }
    return code;
}

int64_t link_now(void)
{
    return clock_monotonic_us(&clock_system);
}

int64_t link_deadline(int64_t timeout_ms)
{
    int64_t now = link_now();
    return timeout_ms < 0 || timeout_ms > (INT64_MAX - now) / 1000 ? INT64_MAX : now + timeout_ms * 1000;
}

const char *link_trouble(const struct link *link, char text[LINK_TROUBLE_MAX])
{
    char ours[NET_KEY_TEXT_MAX] = "", theirs[NET_KEY_TEXT_MAX] = "";
    const bool keys = link->limits.curve != NULL;
    if (keys) {
        keys_text(link->curve.own.public_key, ours);
        keys_text(link->curve.server_key, theirs);
    }
    switch (net_trouble(link->socket)) {
    case NET_NOBODY:
        snprintf(text, LINK_TROUBLE_MAX, "nobody listens there, or the network does not lead there");
        break;
    case NET_BROKEN_OFF:
        snprintf(
            text, LINK_TROUBLE_MAX,
            keys ? "it broke the handshake off: its public key is not the server key %.8s... that we were "
                   "given, or it does not let our key %.8s... in, or it has no keys, or is no aggregator"
                 : "it broke the handshake off: it wants a key (docs/access.md), or is no aggregator",
            theirs, ours);
        break;
    case NET_NOT_LET_IN:
        snprintf(
            text, LINK_TROUBLE_MAX,
            keys ? "it does not let our key %.8s... in, or it stands still: its authorisation file must name "
                   "the key, with something to do at this endpoint"
                 : "it took the connection and says nothing: it stands still, or is no aggregator",
            ours);
        break;
    case NET_OTHER_LOCK:
        snprintf(
            text, LINK_TROUBLE_MAX,
            keys ? "we have a key, and it has none (or is no aggregator)"
                 : "it wants a key: give ours and its public one (docs/access.md); or it is no aggregator");
        break;
    default:
        snprintf(text, LINK_TROUBLE_MAX, "%s", "");
    }
    return text;
}
