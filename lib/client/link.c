#include <base/clock.h>
#include <base/error.h>
#include <client/link.h>
#include <net/keys.h>
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

const char *link_key_hint(const struct link *link)
{
    return link->limits.curve ? " that has this server key and lets our key in" : "";
}
