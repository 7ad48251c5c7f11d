#include <base/error.h>
#include <client/subscription.h>
#include <string.h>

enum {
    SECOND_US = 1000000,
    RETRY_US = SECOND_US, /* between two SUBSCRIBEs */
    PROBE_US =
        2 * SECOND_US, /* silence after which, and interval in which, the aggregator is asked for a sign */
    SILENCE_US = 6 * SECOND_US, /* silence after which it is lost */
    LOOK_US = SECOND_US / 5
};

void subscription_free(struct subscription *subscription)
{
    arena_free(&subscription->memory);
    *subscription = (struct subscription){0};
}

poise_code poise_subscribe(poise_client *client, const poise_filter *filter, int64_t least_interval_ms,
                           poise_error *err)
{
    struct subscription *sub = &client->subscription;
    if (sub->phase != SUBSCRIPTION_OFF) {
        return error_set(err, POISE_EBUSY, "this client has a subscription already; open another client");
    }
    if (least_interval_ms < 0 || least_interval_ms > UINT32_MAX) {
        return error_set(err, POISE_EINVAL, "the least interval is %lld ms, it must be 0 to %lld",
                         (long long)least_interval_ms, (long long)UINT32_MAX);
    }
    subscription_free(sub);
    poise_code code = filter_copy(&sub->memory, filter, &sub->filter, err);
    if (code == POISE_OK) {
        sub->least_interval_ms = (uint32_t)least_interval_ms;
        sub->phase = SUBSCRIPTION_WANTED;
        sub->heard_us = link_now();
        sub->asked_us = sub->heard_us - RETRY_US;
    }
    return code;
}

/* ---- what the client says ---- */

/* EFULL is fine: it may as well be sent later. */
static poise_code send_credit(struct link *link, uint64_t id, uint32_t more, bool *ret_sent, poise_error *err)
{
    struct wire_credit credit = {.id = id, .more = more};
    poise_code code = link_send(link, WIRE_CREDIT, wire_encode_credit(&credit, &link->body), err);
    *ret_sent = code == POISE_OK;
    return code == POISE_EFULL ? POISE_OK : code;
}

/* Asks again, under a new id, so that what is still on its way cannot be mixed up with it. The old stream is
 * ended if it can be told; else it stops when its credit is used up. */
static void start_again(struct poise_client *client)
{
    struct subscription *sub = &client->subscription;
    if (sub->phase != SUBSCRIPTION_WANTED) {
        struct buf *body = &client->link.body;
        link_send(&client->link, WIRE_UNSUBSCRIBE, wire_encode_unsubscribe(sub->id, body), NULL);
    }
    sub->phase = SUBSCRIPTION_WANTED;
    sub->in_snapshot = false;
    sub->consumed = 0;
}

static poise_code send_subscribe(struct poise_client *client, poise_error *err)
{
    struct subscription *sub = &client->subscription;
    struct wire_subscribe subscribe = {.id = client->last_id + 1,
                                       .filter = sub->filter,
                                       .least_interval_ms = sub->least_interval_ms,
                                       .credit = CLIENT_CREDIT,
                                       .from_lsn = sub->from_lsn,
                                       .from_revised = sub->from_revised,
                                       .from_view = sub->view};
    struct buf *body = &client->link.body;
    poise_code code = link_send(&client->link, WIRE_SUBSCRIBE, wire_encode_subscribe(&subscribe, body), err);
    if (code == POISE_OK) {
        sub->id = ++client->last_id;
        sub->phase = SUBSCRIPTION_ASKED;
        sub->lsn = sub->from_lsn;
        sub->asked_us = link_now();
    }
    return code == POISE_EFULL ? POISE_OK : code;
}

static poise_code reconnect(struct poise_client *client, poise_error *err)
{
    struct subscription *sub = &client->subscription;
    sub->phase = SUBSCRIPTION_WANTED; /* there is nobody to send an UNSUBSCRIBE to */
    start_again(client);
    sub->heard_us = link_now();
    sub->delivery.lost = !sub->lost;
    sub->lost = true;
    return link_reopen(&client->link, err);
}

static bool subscribe_is_due(const struct subscription *sub, int64_t now)
{
    return sub->phase == SUBSCRIPTION_WANTED && now - sub->asked_us >= RETRY_US;
}

/* Says what is due. */
static poise_code keep_up(struct poise_client *client, poise_error *err)
{
    struct subscription *sub = &client->subscription;
    int64_t now = link_now();
    poise_code code = POISE_OK;
    bool sent;
    if (now - sub->heard_us >= SILENCE_US) {
        code = reconnect(client, err);
    }
    if (code == POISE_OK && subscribe_is_due(sub, now)) {
        code = send_subscribe(client, err);
    }
    if (code != POISE_OK || sub->phase == SUBSCRIPTION_WANTED) {
        return code;
    }
    if (sub->consumed >= CLIENT_CREDIT / 2) {
        code = send_credit(&client->link, sub->id, sub->consumed, &sent, err);
        sub->consumed = sent ? 0 : sub->consumed;
    } else if (now - sub->heard_us >= PROBE_US && now - sub->probed_us >= PROBE_US) {
        code = send_credit(&client->link, sub->id, 0, &sent, err);
        sub->probed_us = now;
    }
    return code;
}

/* ---- what the aggregator says ---- */

static void on_snapshot(struct poise_client *client, const struct wire_states *part)
{
    struct subscription *sub = &client->subscription;
    sub->consumed++;
    sub->lsn = part->lsn;
    sub->delivery = (struct delivery){.reset = !sub->in_snapshot, .states = *part, .ready = part->last};
    sub->in_snapshot = !part->last;
    sub->phase = part->last ? SUBSCRIPTION_LIVE : SUBSCRIPTION_ASKED;
    sub->from_lsn = part->last && !part->more ? part->lsn : 0; /* else a cut is a loss */
    sub->from_revised = 0;
    sub->view = part->view;
    sub->told_lsn = part->lsn;
    sub->told_ms = part->as_of_ms;
}

static uint64_t count_revisions(const struct wire_states *update)
{
    uint64_t count = 0;
    for (size_t i = 0; i < update->count; i++) {
        count += update->states[i].revision > 0;
    }
    return count;
}

/* Where to go on if this is the last that comes. An lsn whose revisions did not all come is none; but after a
 * snapshot that revisions of before follow there is no other either. */
static void note_place(struct subscription *sub, const struct wire_states *update)
{
    if (update->part) {
        return; /* what came is sent again to who goes on from the lsn of before */
    }
    if (!update->more) {
        sub->from_lsn = update->lsn;
        sub->from_revised = 0;
    } else if (sub->from_lsn > 0) {
        sub->from_revised += count_revisions(update);
    }
}

/* An UPDATE for a SUBSCRIBE that said what the client has: the aggregator goes on from there. */
static bool is_resumed(const struct subscription *sub, const struct wire_states *update)
{
    return sub->phase == SUBSCRIPTION_ASKED && !sub->in_snapshot && sub->from_lsn > 0 &&
           update->prev == sub->from_lsn;
}

static void on_update(struct poise_client *client, const struct wire_states *update)
{
    struct subscription *sub = &client->subscription;
    bool sign = update->prev == update->lsn && update->count == 0; /* of life, for a CREDIT{id, 0} */
    if (is_resumed(sub, update)) {
        sub->phase = SUBSCRIPTION_LIVE;
        if (sign && sub->from_lsn == sub->told_lsn) { /* else an UPDATE tells the rest */
            const struct wire_states same = {.lsn = sub->told_lsn, .as_of_ms = sub->told_ms};
            sub->delivery = (struct delivery){.states = same, .ready = true};
        }
    }
    if (sign && sub->phase == SUBSCRIPTION_ASKED) {
        return;
    }
    if (sub->phase != SUBSCRIPTION_LIVE || update->prev != sub->lsn) {
        start_again(client);
        return;
    }
    if (!sign) {
        sub->consumed++;
        sub->lsn = update->lsn;
        sub->told_lsn = update->part ? 0 : update->lsn; /* of a part nothing is whole */
        sub->told_ms = update->as_of_ms;
        sub->delivery = (struct delivery){.states = *update, .live = true, .ready = !update->part};
        note_place(sub, update);
    }
}

/* Whether asking once more would get the same answer. */
static bool is_final(poise_code code)
{
    return code == POISE_EINVAL || code == POISE_EPROTO || code == POISE_EVERSION || code == POISE_EDENIED ||
           code == POISE_ELIMIT || code == POISE_EUNSUPPORTED;
}

static poise_code on_error(struct poise_client *client, const struct wire_error *error, poise_error *err)
{
    struct subscription *sub = &client->subscription;
    if (error->id != sub->id && error->id != 0) {
        return POISE_OK; /* of a stream that was left */
    }
    sub->phase = SUBSCRIPTION_WANTED; /* there is no stream to end */
    start_again(client);
    if (!is_final(error->code)) {
        return POISE_OK;
    }
    sub->phase = SUBSCRIPTION_OFF;
    return error_set(err, error->code, "%s: %s", client->link.endpoint, error->text);
}

static poise_code on_message(struct poise_client *client, const struct link_message *message,
                             poise_error *err)
{
    struct subscription *sub = &client->subscription;
    struct arena *arena = &client->link.arena;
    poise_code code = POISE_OK;
    struct wire_states states;
    struct wire_error error;
    sub->heard_us = link_now();
    sub->lost = false;
    switch (message->kind) {
    case WIRE_SNAPSHOT:
    case WIRE_UPDATE:
        code = wire_decode_states(message->kind, message->body, message->length, arena, &states, err);
        if (code == POISE_OK && states.id == sub->id && sub->phase != SUBSCRIPTION_WANTED) {
            (message->kind == WIRE_SNAPSHOT ? on_snapshot : on_update)(client, &states);
        }
        return code;
    case WIRE_ERROR:
        code = wire_decode_error(message->body, message->length, arena, &error, err);
        return code == POISE_OK ? on_error(client, &error, err) : code;
    default:
        return POISE_OK; /* of a later version, or of a question that was given up */
    }
}

/* Takes in one message, if there is one, and says what is due. */
static poise_code turn(struct poise_client *client, bool *ret_came, poise_error *err)
{
    struct link_message message;
    poise_code code = link_receive(&client->link, &message, err);
    bool came = code != POISE_ENOTFOUND;
    if (code == POISE_OK) {
        code = on_message(client, &message, err);
    }
    if (code == POISE_OK || !came) {
        code = keep_up(client, err);
    }
    *ret_came = came;
    return code;
}

static poise_code wait_for_more(struct poise_client *client, int64_t timeout_us, poise_error *err)
{
    bool want_send = subscribe_is_due(&client->subscription, link_now());
    return link_wait(&client->link, want_send, timeout_us < LOOK_US ? timeout_us : LOOK_US, err);
}

poise_code poise_client_step(poise_client *client, int64_t timeout_ms, poise_on_event *on_event,
                             void *context, poise_error *err)
{
    struct subscription *sub = &client->subscription;
    int64_t deadline = link_deadline(timeout_ms);
    bool going_on = deliver(&sub->delivery, on_event, context); /* what an earlier call stopped at */
    if (going_on && sub->phase == SUBSCRIPTION_OFF) {
        return error_set(err, POISE_EINVAL, "this client has no subscription; call poise_subscribe first");
    }
    while (going_on) {
        bool came;
        poise_code code = turn(client, &came, err);
        if (code != POISE_OK) {
            return code;
        }
        going_on = deliver(&sub->delivery, on_event, context);
        int64_t left = deadline - link_now();
        if (!going_on || left <= 0) {
            break;
        }
        code = came ? POISE_OK : wait_for_more(client, left, err);
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}
