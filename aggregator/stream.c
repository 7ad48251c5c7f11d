#include "stream.h"

#include "changelog.h"
#include "dump.h"
#include "erase.h"
#include "numbers.h"
#include "orders.h"
#include "permits.h"
#include "replies.h"
#include "rescore.h"
#include "restate.h"
#include "subscription.h"
#include <base/error.h>
#include <stdlib.h>
#include <store/backup.h>
#include <string.h>

enum {
    STEP_MESSAGES = 256,
    SCRATCH_STATES = 4096,
    PROBE_US = 30000000,     /* a silent subscriber is sent a keepalive, so that a dead one is noticed */
    ABANDONED_US = 60000000, /* an answer or a snapshot that nobody takes in is dropped */
    RETRY_MS = 20            /* a peer's queue was full */
};

struct stream {
    struct stream_options options;
    struct permits permits;
    const struct access_peer *who; /* sent the message at hand; NULL: nobody asks */
    enum wire_kind kind;           /* of it */
    struct board board;
    struct subscription **subscriptions;
    size_t subscription_count;
    struct inquiry *inquiries[INQUIRIES_MAX];
    size_t inquiry_count;
    struct replies replies;
    poise_state *scratch;
    struct arena arena;
    struct buf out, tail;
    bool retry; /* an answer found no room */
};

/* ---- sending ---- */

static poise_code send_body(struct stream *stream, const struct net_peer *peer, enum wire_kind kind,
                            const void *body, size_t length)
{
    uint8_t head[2];
    wire_head(kind, head);
    return net_send(stream->options.socket, peer, head, sizeof head, body, length, NULL);
}

static poise_code send_out(struct stream *stream, const struct net_peer *peer, enum wire_kind kind)
{
    poise_code code = send_body(stream, peer, kind, stream->out.data, stream->out.length);
    buf_reset(&stream->out);
    return code;
}

static void send_reply(struct stream *stream, const struct net_peer *peer, enum wire_kind kind)
{
    replies_send(&stream->replies, stream->options.socket, peer, kind, stream->out.data, stream->out.length,
                 stream->options.stats);
    buf_reset(&stream->out);
}

static void send_error(struct stream *stream, const struct net_peer *peer, const char *user, uint64_t id,
                       const poise_error *error)
{
    struct wire_error message = {.id = id, .code = error->code, .text = error->text};
    const struct refusal refusal = {.event = "request_refused",
                                    .code = error->code,
                                    .user = user,
                                    .peer = access_view_find(&stream->permits.view, user),
                                    .reason = error->text};
    stats_error(stream->options.stats, error->code);
    if (error->code != POISE_EDENIED) /* logged where it was */
        refusals_log(&stream->permits.refusals, &refusal);
    if (peer->length && !wire_encode_error(&message, &stream->out))
        send_reply(stream, peer, WIRE_ERROR);
}

/* ---- subscriptions ---- */

static struct subscription **find_subscription(struct stream *stream, const struct net_peer *peer,
                                               uint64_t id)
{
    for (size_t i = 0; i < stream->subscription_count; i++)
        if (stream->subscriptions[i]->id == id && net_peer_equal(&stream->subscriptions[i]->peer, peer))
            return &stream->subscriptions[i];
    return NULL;
}

/* By weight: what a large filter takes is bounded with the subscriptions. */
static poise_code check_share(const struct stream *stream, const struct net_peer *peer, size_t weight,
                              poise_error *err)
{
    const struct stream_options *options = &stream->options;
    size_t all = 0, own = 0;
    for (size_t i = 0; i < stream->subscription_count; i++) {
        const struct subscription *s = stream->subscriptions[i];
        all += s->weight;
        own += net_peer_equal(&s->peer, peer) ? s->weight : 0;
    }
    if (weight > options->max_subscriptions_each)
        return error_set(err, POISE_ELIMIT,
                         "the filter is so large that it counts as %zu subscriptions, of %zu that a "
                         "connection may have (max_subscriptions_each); name less, or use globs",
                         weight, options->max_subscriptions_each);
    if (all + weight > options->max_subscriptions)
        return error_set(err, POISE_ELIMIT,
                         "this aggregator has %zu subscriptions already (max_subscriptions)", all);
    if (own + weight > options->max_subscriptions_each)
        return error_set(err, POISE_ELIMIT,
                         "this connection has %zu subscriptions already (max_subscriptions_each)", own);
    return POISE_OK;
}

static struct inquiry *find_inquiry(struct stream *stream, const struct net_peer *peer, uint64_t id)
{
    for (size_t i = 0; i < stream->inquiry_count; i++)
        if (stream->inquiries[i]->id == id && !stream->inquiries[i]->given_up &&
            net_peer_equal(&stream->inquiries[i]->peer, peer))
            return stream->inquiries[i];
    return NULL;
}

static poise_code check_id(struct stream *stream, const struct net_peer *peer, uint64_t id, poise_error *err)
{
    if (id && !find_subscription(stream, peer, id) && !find_inquiry(stream, peer, id))
        return POISE_OK;
    return error_set(err, POISE_EPROTO, "id %llu is 0 or in use on this connection", (unsigned long long)id);
}

static void drop_subscription(struct stream *stream, struct subscription **slot)
{
    subscription_close(*slot);
    *slot = stream->subscriptions[--stream->subscription_count];
    stats_set(stream->options.stats, STAT_subscriptions, stream->subscription_count);
}

/* Sends the head of a message that is yet to be made, and states that are made already. */
static poise_code send_states(struct stream *stream, const struct net_peer *peer,
                              const struct subscription_message *message, const struct buf *tail)
{
    poise_code code =
        tail ? wire_encode_states_head(message->kind, &message->states, &stream->out) : POISE_ENOMEM;
    if (!code)
        buf_put(&stream->out, tail->data, tail->length);
    if (!code && !stream->out.failed)
        return send_out(stream, peer, message->kind);
    buf_reset(&stream->out);
    return POISE_ENOMEM;
}

static poise_code send_keepalive(struct stream *stream, struct subscription *subscription)
{
    struct wire_states empty = subscription_keepalive(subscription, &stream->board);
    subscription->last_us = clock_monotonic_us(stream->options.clock);
    if (wire_encode_states(WIRE_UPDATE, &empty, &stream->out))
        return POISE_ENOMEM;
    return send_out(stream, &subscription->peer, WIRE_UPDATE);
}

/* Another authorisation file may be in force: what was asked for by who may less now ends at once. */
static void renew_access(struct stream *stream)
{
    struct access *before = NULL;
    poise_error error;
    if (!permits_renew(&stream->permits, &before))
        return;
    for (size_t i = 0; before && i < stream->subscription_count;) {
        struct subscription *s = stream->subscriptions[i];
        s->reader = permits_same(&stream->permits, s->user, s->reader, &error);
        if (s->reader) {
            s->filter->reader = s->reader;
            i++;
            continue;
        }
        send_error(stream, &s->peer, s->user, s->id, &error);
        drop_subscription(stream, &stream->subscriptions[i]);
    }
    for (size_t i = 0; before && i < stream->inquiry_count; i++) {
        struct inquiry *inquiry = stream->inquiries[i]; /* keeps its own file, for its reader */
        if (inquiry->given_up || permits_same(&stream->permits, inquiry->user, inquiry->reader, &error))
            continue;
        send_error(stream, &inquiry->peer, inquiry->user, inquiry->id, &error);
        inquiry->given_up = true;
    }
    permits_renewed(&stream->permits, before);
}

/* How long a subscriber may be sent nothing. */
static int64_t silence_us(const struct subscription *subscription)
{
    return subscription->phase == SUBSCRIPTION_LIVE ? PROBE_US : ABANDONED_US;
}

/* Sends a subscriber what it may have; true: it is done with or gone. */
static bool pump_out(struct stream *stream, struct subscription *subscription, int64_t now_us)
{
    struct subscription_message message;
    while (subscription->credit > 0 && now_us >= subscription->retry_us) {
        const struct buf *tail = subscription_same(subscription, &stream->board, now_us, &message);
        if (!tail) {
            subscription_next(subscription, &stream->board, now_us, stream->scratch, SCRATCH_STATES,
                              &message);
            if (message.kind == 0)
                break;
            tail = subscription_keep(subscription, &stream->board, &message, &stream->tail);
        }
        poise_code code = send_states(stream, &subscription->peer, &message, tail);
        if (code == POISE_ECLOSED)
            return true;
        if (code) {
            subscription_full(subscription, now_us);
            break;
        }
        subscription_sent(subscription, &message, now_us);
        stats_add(stream->options.stats, STAT_updates_sent, 1);
        stats_add(stream->options.stats, STAT_changes_conflated, message.conflated);
        if (message.begins)
            stats_add(stream->options.stats, STAT_snapshots, 1);
        if (subscription->once && message.states.last)
            return true;
    }
    if (now_us - subscription->last_us < silence_us(subscription))
        return false;
    return subscription->phase != SUBSCRIPTION_LIVE || send_keepalive(stream, subscription) == POISE_ECLOSED;
}

static bool pump(struct stream *stream, struct subscription *subscription, int64_t now_us)
{
    bool done = pump_out(stream, subscription, now_us);
    subscription_note_lag(subscription, &stream->board, now_us);
    return done;
}

static poise_code on_subscribe(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                               poise_error *err)
{
    struct wire_subscribe wanted;
    poise_code code =
        wire_decode_subscribe(message->body, message->body_length, &stream->arena, &wanted, err);
    if (code)
        return code;
    *ret_id = wanted.id;
    code = check_id(stream, &message->peer, wanted.id, err);
    if (code)
        return code;
    code = permits_filter(&stream->permits, message->user, stream->who, &wanted.filter, err);
    if (code)
        return code;
    code = check_share(stream, &message->peer, filter_weight(&wanted.filter), err);
    if (code)
        return code;
    struct subscription *subscription = NULL;
    const struct filter_reader reader = {stream->who, message->user ? message->user : ""};
    code = subscription_open(&wanted, &message->peer, &reader, &stream->board, &subscription, err);
    if (code)
        return code;
    subscription->last_us = clock_monotonic_us(stream->options.clock);
    if (subscription->resumed) {
        stats_add(stream->options.stats, STAT_resumed, 1);
        (void)send_keepalive(stream, subscription); /* so it knows; else it asks in a while */
    }
    stream->subscriptions[stream->subscription_count++] = subscription;
    stats_set(stream->options.stats, STAT_subscriptions, stream->subscription_count);
    return POISE_OK;
}

/* Credit for a subscription or an answer. Credit of 0 asks whether a subscription still stands: the answer is
 * an update without states, or an error. */
static poise_code on_credit(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                            poise_error *err)
{
    struct wire_credit credit;
    poise_code code = wire_decode_credit(message->body, message->body_length, &stream->arena, &credit, err);
    if (code)
        return code;
    *ret_id = credit.id;
    struct subscription **slot = find_subscription(stream, &message->peer, credit.id);
    struct inquiry *inquiry = slot ? NULL : find_inquiry(stream, &message->peer, credit.id);
    if (!slot && !inquiry)
        return error_set(err, POISE_ENOTFOUND,
                         "no subscription and no question %llu is known on this connection",
                         (unsigned long long)credit.id);
    if (inquiry) {
        inquiry->credit += credit.more;
        return POISE_OK;
    }
    subscription_credit(*slot, credit.more);
    if (credit.more == 0 && (*slot)->phase == SUBSCRIPTION_LIVE)
        (void)send_keepalive(stream, *slot);
    return POISE_OK;
}

static poise_code on_unsubscribe(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                                 poise_error *err)
{
    poise_code code =
        wire_decode_unsubscribe(message->body, message->body_length, &stream->arena, ret_id, err);
    if (code)
        return code;
    struct subscription **slot = find_subscription(stream, &message->peer, *ret_id);
    struct inquiry *inquiry = find_inquiry(stream, &message->peer, *ret_id);
    if (slot)
        drop_subscription(stream, slot);
    if (inquiry)
        inquiry->given_up = true;
    return POISE_OK;
}

/* ---- questions ---- */

/* Whether the message at hand is of an operator's, whom others' questions must not keep from his work. */
static bool is_order(const struct stream *stream)
{
    switch ((int)stream->kind) {
    case WIRE_RESTATE:
    case WIRE_ERASE:
    case WIRE_RESCORE:
    case WIRE_BACKUP:
        return true;
    case WIRE_LOSSES_REQUEST: /* which others may ask, too */
        return !stream->who || access_may(stream->who, ACCESS_ADMINISTER);
    default:
        return false;
    }
}

static poise_code check_room(const struct stream *stream, const struct net_peer *peer, poise_error *err)
{
    const struct stream_options *options = &stream->options;
    bool order = is_order(stream);
    size_t same = 0, own = 0;
    size_t most = options->max_questions ? options->max_questions : QUESTIONS_MAX;
    size_t each = options->max_questions_each ? options->max_questions_each : INQUIRIES_MAX;
    for (size_t i = 0; i < stream->inquiry_count; i++) {
        same += stream->inquiries[i]->order == order;
        own += net_peer_equal(&stream->inquiries[i]->peer, peer);
    }
    if (own >= each)
        error_set(err, POISE_EBUSY,
                  "%zu questions of this connection are being answered already (max_questions_each); ask "
                  "again in a moment",
                  own);
    else if (same >= (order ? ORDERS_MAX : most))
        error_set(err, POISE_EBUSY, "%zu %s already; ask again in a moment", same,
                  order ? "orders are being carried out" : "questions are being answered");
    else
        return POISE_OK;
    stats_add(options->stats, STAT_questions_refused, 1);
    return POISE_EBUSY;
}

static poise_code new_inquiry(struct stream *stream, const struct wire_query *query,
                              const struct net_message *message, struct inquiry **ret_inquiry,
                              poise_error *err)
{
    const struct net_peer *peer = &message->peer;
    poise_code code = check_id(stream, peer, query->id, err);
    if (code)
        return code;
    if (strlen(query->scorecard) > POISE_ID_MAX || strlen(query->org) > POISE_ORG_MAX)
        return error_set(err, POISE_EPROTO, "the scorecard or org of a query is too long");
    if (query->as_of_ms < TIME_MIN_MS || query->as_of_ms > TIME_MAX_MS)
        return error_set(err, POISE_EPROTO, "as_of of a query is outside 1900-01-01 to 2200-01-01");
    code = check_room(stream, peer, err);
    if (code)
        return code;
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    if (!inquiry)
        return error_nomem(err, "a question");
    inquiry->peer = *peer;
    inquiry->reader = stream->who;
    inquiry->access = stream->who ? access_keep(stream->permits.view.access) : NULL;
    snprintf(inquiry->user, sizeof inquiry->user, "%s", message->user ? message->user : "");
    inquiry->order = is_order(stream);
    inquiry->id = query->id;
    memcpy(inquiry->scorecard, query->scorecard, strlen(query->scorecard) + 1);
    memcpy(inquiry->org, query->org, strlen(query->org) + 1);
    inquiry->all_orgs = query->all_orgs;
    inquiry->history = query->history;
    inquiry->known_at_ms = query->known_at_ms;
    inquiry->known_lsn = query->known_lsn;
    inquiry->as_of_ms = query->as_of_ms;
    inquiry->credit = query->credit;
    *ret_inquiry = inquiry;
    return POISE_OK;
}

/* What cannot be noted in the audit log is not done. */
static poise_code note_order(struct stream *stream, const struct inquiry *inquiry, const char *result,
                             poise_error *err)
{
    poise_error problem;
    if (!stream->options.directory || !order_is_noted(inquiry))
        return POISE_OK;
    if (order_note(stream->options.directory, stream->options.clock, inquiry, result, &problem) == POISE_OK)
        return POISE_OK;
    log_event(stream->options.log, LOG_ERROR, "not_audited", log_text("reason", problem.text));
    return error_set(err, POISE_EFULL, "this cannot be noted in the audit log, and so is not done: %s",
                     problem.text);
}

/* Hands a question to the inquirer, an order for a backup to who writes them. */
static poise_code hand_over(struct stream *stream, struct inquiry *inquiry, poise_error *err)
{
    bool backup = inquiry->backup[0] != '\0';
    poise_code code = note_order(stream, inquiry, "begun", err);
    if (code) {
        inquiry_free(inquiry);
        return code;
    }
    if (!ring_push(backup ? stream->options.to_backup : stream->options.to_inquirer, inquiry)) {
        inquiry_free(inquiry);
        return error_set(err, POISE_EFULL, "a queue is smaller than the number of questions");
    }
    inquiry->progress_us = clock_monotonic_us(stream->options.clock);
    stream->inquiries[stream->inquiry_count++] = inquiry;
    net_wake_up(backup ? stream->options.backup_wake : stream->options.inquirer_wake);
    return POISE_OK;
}

/* A question, or order, of which one answer comes; handed over once it is made of what was asked for. */
static poise_code new_plain(struct stream *stream, uint64_t id, const char *scorecard,
                            const struct net_message *message, uint64_t *ret_id, struct inquiry **ret_inquiry,
                            poise_error *err)
{
    *ret_id = id;
    const struct wire_query query = {.id = id, .scorecard = scorecard, .org = "", .credit = 1};
    return new_inquiry(stream, &query, message, ret_inquiry, err);
}

static poise_code hand_over_made(struct stream *stream, struct inquiry *inquiry, poise_code code,
                                 poise_error *err)
{
    if (!code)
        return hand_over(stream, inquiry, err);
    inquiry_free(inquiry);
    return code;
}

static poise_code on_restate(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                             poise_error *err)
{
    struct wire_restate order;
    struct inquiry *inquiry = NULL;
    poise_code code = wire_decode_restate(message->body, message->body_length, &stream->arena, &order, err);
    if (!code)
        code = new_plain(stream, order.id, "", message, ret_id, &inquiry, err);
    if (!code)
        code = restate_open(&order, &inquiry->restate, err);
    return hand_over_made(stream, inquiry, code, err);
}

static poise_code on_erase(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                           poise_error *err)
{
    struct wire_erase order;
    struct inquiry *inquiry = NULL;
    poise_code code = wire_decode_erase(message->body, message->body_length, &stream->arena, &order, err);
    if (!code)
        code = new_plain(stream, order.id, "", message, ret_id, &inquiry, err);
    if (!code)
        code = erase_open(&order, &inquiry->erase, err);
    return hand_over_made(stream, inquiry, code, err);
}

static poise_code on_rescore(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                             poise_error *err)
{
    struct wire_rescore order;
    struct inquiry *inquiry = NULL;
    poise_code code = wire_decode_rescore(message->body, message->body_length, &stream->arena, &order, err);
    if (!code)
        code = new_plain(stream, order.id, order.scorecard, message, ret_id, &inquiry, err);
    if (!code)
        code = rescore_open(&order, &inquiry->rescore, err);
    return hand_over_made(stream, inquiry, code, err);
}

static poise_code on_dump(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                          poise_error *err)
{
    struct wire_dump asked;
    struct inquiry *inquiry = NULL;
    poise_code code = wire_decode_dump(message->body, message->body_length, &stream->arena, &asked, err);
    if (!code)
        code = new_plain(stream, asked.id, "", message, ret_id, &inquiry, err);
    if (!code)
        code = dump_open(&asked, &inquiry->dump, err);
    return hand_over_made(stream, inquiry, code, err);
}

static poise_code on_losses(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                            poise_error *err)
{
    struct inquiry *inquiry = NULL;
    poise_code code =
        wire_decode_losses_request(message->body, message->body_length, &stream->arena, ret_id, err);
    if (!code)
        code = new_plain(stream, *ret_id, "", message, ret_id, &inquiry, err);
    if (!code)
        inquiry->losses = true;
    return hand_over_made(stream, inquiry, code, err);
}

static poise_code on_changes(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                             poise_error *err)
{
    struct wire_changes asked;
    struct inquiry *inquiry = NULL;
    poise_code code = wire_decode_changes(message->body, message->body_length, &stream->arena, &asked, err);
    if (code)
        return code;
    *ret_id = asked.id;
    code = permits_filter(&stream->permits, message->user, stream->who, &asked.filter, err);
    if (!code)
        code = new_plain(stream, asked.id, "", message, ret_id, &inquiry, err);
    if (!code)
        code = changelog_open(&asked, &inquiry->changelog, err);
    if (!code)
        inquiry->changelog->reader = inquiry->reader;
    return hand_over_made(stream, inquiry, code, err);
}

static poise_code check_backup(const struct stream *stream, const struct wire_backup *order, poise_error *err)
{
    if (!stream->options.to_backup)
        return error_set(err, POISE_EUNSUPPORTED,
                         "this aggregator's configuration names no directory for backups: set `backups:` and "
                         "start it again");
    if (!backup_name_valid(order->name))
        return error_set(
            err, POISE_EINVAL,
            "'%.80s' is no name for a backup: 1 to %d of a-z A-Z 0-9 _ . -, not beginning with a dot",
            order->name, POISE_ID_MAX);
    for (size_t i = 0; i < stream->inquiry_count; i++)
        if (stream->inquiries[i]->backup[0] && !stream->inquiries[i]->answered)
            return error_set(err, POISE_EBUSY, "the backup '%s' is being written; try again when it is done",
                             stream->inquiries[i]->backup);
    return POISE_OK;
}

static poise_code on_backup(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                            poise_error *err)
{
    struct wire_backup order;
    struct inquiry *inquiry = NULL;
    poise_code code = wire_decode_backup(message->body, message->body_length, &stream->arena, &order, err);
    if (code)
        return code;
    *ret_id = order.id;
    code = check_backup(stream, &order, err);
    if (!code)
        code = new_plain(stream, order.id, "", message, ret_id, &inquiry, err);
    if (code)
        return code;
    memcpy(inquiry->backup, order.name, strlen(order.name) + 1);
    return hand_over(stream, inquiry, err);
}

static poise_code on_query(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                           poise_error *err)
{
    struct wire_query query;
    struct inquiry *inquiry = NULL;
    poise_code code = wire_decode_query(message->body, message->body_length, &stream->arena, &query, err);
    if (code)
        return code;
    *ret_id = query.id;
    code = permits_query(&stream->permits, message->user, stream->who, &query, err);
    if (!code)
        code = new_inquiry(stream, &query, message, &inquiry, err);
    if (code)
        return code;
    return hand_over(stream, inquiry, err);
}

/* Sends what an answer has credit for; true: it is done with. */
static bool send_answer(struct stream *stream, struct inquiry *inquiry, int64_t now_us)
{
    if (!inquiry->answered || inquiry->given_up)
        return inquiry->answered;
    if (inquiry->error.code) {
        send_error(stream, &inquiry->peer, inquiry->user, inquiry->id, &inquiry->error);
        return true;
    }
    while (inquiry->sent < inquiry->count && inquiry->credit > 0) {
        size_t start = inquiry->sent ? inquiry->ends[inquiry->sent - 1] : 0;
        poise_code code = send_body(stream, &inquiry->peer, inquiry_kind(inquiry),
                                    inquiry->bodies.data + start, inquiry->ends[inquiry->sent] - start);
        if (code == POISE_ECLOSED)
            return true;
        if (code) {
            stream->retry = true;
            break;
        }
        inquiry->sent++;
        inquiry->credit--;
        inquiry->progress_us = now_us;
    }
    return inquiry->sent == inquiry->count || now_us - inquiry->progress_us > ABANDONED_US;
}

static void take_answers(struct stream *stream, int64_t now_us)
{
    struct inquiry *inquiry;
    while ((inquiry = ring_pop(stream->options.from_inquirer)) ||
           (inquiry = ring_pop(stream->options.restated)) ||
           (stream->options.backed_up && (inquiry = ring_pop(stream->options.backed_up)))) {
        (void)note_order(stream, inquiry, inquiry->error.code ? inquiry->error.text : "done", NULL);
        inquiry->answered = true;
        inquiry->progress_us = now_us;
        stats_add(stream->options.stats, STAT_questions, 1);
    }
    for (size_t i = 0; i < stream->inquiry_count;) {
        if (!send_answer(stream, stream->inquiries[i], now_us)) {
            i++;
            continue;
        }
        inquiry_free(stream->inquiries[i]);
        stream->inquiries[i] = stream->inquiries[--stream->inquiry_count];
    }
}

/* ---- the aggregator's own numbers ---- */

static void note_lags(struct stream *stream)
{
    int64_t now_us = clock_monotonic_us(stream->options.clock), longest_us = 0;
    uint64_t most = 0, behind = 0;
    for (size_t i = 0; i < stream->subscription_count; i++) {
        const struct subscription *s = stream->subscriptions[i];
        uint64_t lag = stream->board.head - s->position;
        most = lag > most ? lag : most;
        behind += s->behind_us != 0;
        if (s->behind_us && now_us - s->behind_us > longest_us)
            longest_us = now_us - s->behind_us;
    }
    stats_set(stream->options.stats, STAT_stream_lag, most);
    stats_set(stream->options.stats, STAT_stream_lag_ms, (uint64_t)longest_us / 1000);
    stats_set(stream->options.stats, STAT_subscriptions_behind, behind);
}

static poise_code on_stats(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                           poise_error *err)
{
    poise_code code =
        wire_decode_stats_request(message->body, message->body_length, &stream->arena, ret_id, err);
    note_lags(stream);
    if (!code)
        code = numbers_put(*ret_id, stream->options.stats, stream->options.store, &stream->out, err);
    if (code)
        return code;
    send_reply(stream, &message->peer, WIRE_STATS);
    return POISE_OK;
}

/* ---- the step ---- */

static poise_code on_message(struct stream *stream, const struct net_message *message, uint64_t *ret_id,
                             poise_error *err)
{
    enum wire_kind kind;
    arena_reset(&stream->arena);
    poise_code code = permits_find(&stream->permits, message->user, &stream->who, err);
    if (!code)
        code = wire_head_parse(message->head, message->head_length, &kind, err);
    if (!code)
        code = permits_kind(&stream->permits, message->user, stream->who, kind, err);
    if (code)
        return code;
    stream->kind = kind;
    switch ((int)kind) {
    case WIRE_SUBSCRIBE:
        return on_subscribe(stream, message, ret_id, err);
    case WIRE_CREDIT:
        return on_credit(stream, message, ret_id, err);
    case WIRE_UNSUBSCRIBE:
        return on_unsubscribe(stream, message, ret_id, err);
    case WIRE_QUERY:
        return on_query(stream, message, ret_id, err);
    case WIRE_RESTATE:
        return on_restate(stream, message, ret_id, err);
    case WIRE_ERASE:
        return on_erase(stream, message, ret_id, err);
    case WIRE_RESCORE:
        return on_rescore(stream, message, ret_id, err);
    case WIRE_DUMP:
        return on_dump(stream, message, ret_id, err);
    case WIRE_LOSSES_REQUEST:
        return on_losses(stream, message, ret_id, err);
    case WIRE_CHANGES:
        return on_changes(stream, message, ret_id, err);
    case WIRE_BACKUP:
        return on_backup(stream, message, ret_id, err);
    case WIRE_STATS_REQUEST:
        return on_stats(stream, message, ret_id, err);
    default:
        return error_set(err, POISE_EPROTO, "a message of kind %d does not belong on the query endpoint",
                         (int)kind);
    }
}

static poise_code receive(struct stream *stream, bool *ret_more, poise_error *err)
{
    struct net_message message = {0};
    poise_error problem = {0};
    uint64_t id = 0;
    renew_access(stream);
    stream->who = NULL;
    poise_code code = net_receive(stream->options.socket, &message, &problem);
    *ret_more = code != POISE_ENOTFOUND;
    if (code == POISE_ENOTFOUND)
        return POISE_OK;
    if (!code)
        code = on_message(stream, &message, &id, &problem);
    if (code == POISE_EIO) {
        if (err)
            *err = problem;
        return code;
    }
    if (code == POISE_EPROTO || code == POISE_EVERSION)
        stats_add(stream->options.stats, STAT_protocol_errors, 1);
    if (code)
        send_error(stream, &message.peer, message.user, id, &problem);
    return POISE_OK;
}

/* What led up to the states of a start; without it who was cut off gets a snapshot. */
static void recall(struct stream *stream)
{
    poise_error problem = {0};
    if (board_recall(&stream->board, stream->options.store, &problem))
        log_event(stream->options.log, LOG_WARN, "past_not_read", log_text("reason", problem.text));
}

static poise_code take_changes(struct stream *stream, poise_error *err)
{
    struct changes *changes;
    poise_code code = POISE_OK;
    while (!code && (changes = ring_pop(stream->options.from_writer))) {
        code = board_apply(&stream->board, changes, err);
        if (!code && changes->whole && stream->options.store)
            recall(stream);
        changes_free(changes);
    }
    stats_set(stream->options.stats, STAT_nodes, stream->board.nodes);
    return code;
}

poise_code stream_step(struct stream *stream, poise_error *err)
{
    bool more = true;
    renew_access(stream);
    poise_code code = take_changes(stream, err);
    for (int i = 0; !code && more && i < STEP_MESSAGES; i++)
        code = receive(stream, &more, err);
    if (code)
        return code;
    int64_t now_us = clock_monotonic_us(stream->options.clock);
    stream->retry = false;
    replies_retry(&stream->replies, stream->options.socket);
    for (size_t i = 0; i < stream->subscription_count;) {
        if (pump(stream, stream->subscriptions[i], now_us))
            drop_subscription(stream, &stream->subscriptions[i]);
        else
            i++;
    }
    take_answers(stream, now_us);
    return POISE_OK;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t stream_idle_ms(const struct stream *stream)
{
    int64_t now_us = clock_monotonic_us(stream->options.clock), wait_us = INT64_MAX;
    for (size_t i = 0; i < stream->subscription_count; i++) {
        const struct subscription *s = stream->subscriptions[i];
        wait_us = earlier(wait_us, s->last_us + silence_us(s) - now_us);
        if (s->credit > 0 && s->pause_us)
            wait_us = earlier(wait_us, s->retry_us - now_us);
        else if (s->credit > 0 && s->phase == SUBSCRIPTION_LIVE && subscription_lags(s, &stream->board))
            wait_us = earlier(wait_us, s->next_us - now_us);
    }
    if (stream->inquiry_count)
        wait_us = earlier(wait_us, ABANDONED_US / 4);
    if (stream->retry || stream->replies.count)
        wait_us = earlier(wait_us, RETRY_MS * 1000);
    if (wait_us == INT64_MAX)
        return -1;
    return wait_us <= 0 ? 0 : wait_us / 1000 + 1;
}

/* ---- life ---- */

/* Of a store, as of its last restore, and of what it is scored by: an lsn of another means nothing here. */
static uint64_t view_of(const struct stream_options *options)
{
    uint8_t id[16];
    if (!options->store)
        return 0;
    store_id(options->store, id);
    uint64_t hash = hash64(id, sizeof id, store_incarnation(options->store));
    hash = hash_mix(hash, store_mark(options->store).generation);
    for (size_t i = 0; i < options->card_count; i++)
        hash = hash_mix(hash, options->cards[i]->hash);
    return hash ? hash : 1;
}

poise_code stream_open(const struct stream_options *options, struct stream **ret_stream, poise_error *err)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return error_nomem(err, "the stream");
    stream->options = *options;
    stream->permits =
        (struct permits){.socket = options->socket,
                         .endpoint = ACCESS_AT_QUERY,
                         .view.holder = options->access,
                         .refusals = {.log = options->log, .clock = options->clock, .stats = options->stats}};
    arena_init(&stream->arena, WIRE_MESSAGE_MAX * 4);
    stream->scratch = malloc(SCRATCH_STATES * sizeof *stream->scratch);
    stream->subscriptions = calloc(options->max_subscriptions + 1, sizeof *stream->subscriptions);
    poise_code code = stream->scratch && stream->subscriptions
                          ? board_init(&stream->board, options->cards, options->card_count, err)
                          : error_nomem(err, "the stream");
    if (code) {
        stream_close(stream);
        return code;
    }
    stream->board.view = view_of(options);
    *ret_stream = stream;
    return POISE_OK;
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    while (stream->subscription_count)
        drop_subscription(stream, &stream->subscriptions[0]);
    for (size_t i = 0; i < stream->inquiry_count; i++)
        inquiry_free(stream->inquiries[i]);
    replies_free(&stream->replies);
    permits_free(&stream->permits);
    struct changes *changes;
    while ((changes = ring_pop(stream->options.from_writer)))
        changes_free(changes);
    board_free(&stream->board);
    arena_free(&stream->arena);
    buf_free(&stream->out);
    buf_free(&stream->tail);
    free(stream->scratch);
    free(stream->subscriptions);
    free(stream);
}
