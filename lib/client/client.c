#include <base/error.h>
#include <base/text.h>
#include <client/question.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_US = 500000,      /* for what keeps us from a connection */
    PAUSE_US = 100000,     /* before what the aggregator had no time for is asked again */
    CONNECT_US = 60000000, /* so long at most for an order, whatever time it may take */
    PROBE_US = 2000000,    /* silence after which it is asked whether it knows the question */
    AGAIN_MAX = 5          /* times it is asked again where it does not */
};

poise_code poise_client_open(const poise_client_options *options, poise_client **ret_client, poise_error *err)
{
    if (!options->endpoint) {
        return error_set(err, POISE_EINVAL, "a client needs an endpoint");
    }
    poise_client *client = calloc(1, sizeof *client);
    if (!client) {
        return error_nomem(err, "a client");
    }
    const struct link_options how = {.endpoint = options->endpoint,
                                     .insecure = options->insecure,
                                     .key_file = options->key_file,
                                     .server_key = options->server_key};
    poise_code code = link_open(&client->link, &how, err);
    if (code != POISE_OK) {
        poise_client_close(client);
        return code;
    }
    *ret_client = client;
    return POISE_OK;
}

void poise_client_close(poise_client *client)
{
    if (client) {
        subscription_free(&client->subscription);
        link_close(&client->link);
        free(client);
    }
}

const char *poise_client_trouble(poise_client *client)
{
    return link_trouble(&client->link, client->trouble);
}

/* ---- one question, one answer ---- */

poise_code question_timed_out(const struct question *question, poise_error *err)
{
    const struct link *link = &question->client->link;
    char trouble[LINK_TROUBLE_MAX];
    if (link_trouble(link, trouble)[0]) {
        return error_set(err, POISE_ETIMEOUT, "no answer from %s in time: %s", link->endpoint, trouble);
    }
    return error_set(err, POISE_ETIMEOUT, "no answer from %s in time; is an aggregator running there?",
                     link->endpoint);
}

/* A subscription's messages would have to be kept while the answer is awaited: with which bound? */
poise_code question_begin(struct poise_client *client, int64_t timeout_ms, struct question *ret_question,
                          poise_error *err)
{
    if (client->subscription.phase != SUBSCRIPTION_OFF) {
        return error_set(err, POISE_EBUSY, "this client has a subscription; ask through another client");
    }
    *ret_question =
        (struct question){.client = client, .id = ++client->last_id, .deadline = link_deadline(timeout_ms)};
    return POISE_OK;
}

static bool is_order(const struct question *question)
{
    return question->kind == WIRE_RESTATE || question->kind == WIRE_ERASE || question->kind == WIRE_RESCORE ||
           question->kind == WIRE_BACKUP;
}

static poise_code send_body(const struct question *question, poise_error *err)
{
    struct link *link = &question->client->link;
    int64_t latest = is_order(question) ? link_now() + CONNECT_US : INT64_MAX;
    poise_code code = POISE_OK;
    if (question->deadline < latest) {
        latest = question->deadline;
    }
    while (code == POISE_OK) {
        code = link_send_body(link, question->kind, question->body->data, question->body->length, err);
        if (code != POISE_EFULL) {
            return code;
        }
        int64_t left = latest - link_now();
        code = left > 0 ? link_wait(link, true, left < LOOK_US ? left : LOOK_US, err)
                        : question_timed_out(question, err);
    }
    return code;
}

poise_code question_send(struct question *question, enum wire_kind kind, poise_code encoded,
                         const struct buf *body, poise_error *err)
{
    question->kind = kind;
    question->body = body;
    return encoded == POISE_OK && !body->failed ? send_body(question, err) : error_nomem(err, "a question");
}

poise_code question_pause(const struct question *question, poise_error *err)
{
    int64_t left = question->deadline - link_now();
    return left > PAUSE_US ? link_wait(&question->client->link, false, PAUSE_US, err) : POISE_EBUSY;
}

/* Whether what it is too busy for will pass in moments: else a backfill runs, or the name of a backup is
 * taken. */
static bool passes(const struct question *question)
{
    return question->body && question->kind != WIRE_RESCORE && question->kind != WIRE_BACKUP;
}

/* Of a probe: an aggregator that was restarted, or another connection, does not know the question. */
bool question_forgotten(const struct question *question, const struct wire_error *error)
{
    return error->id == question->id && error->code == POISE_ENOTFOUND;
}

/* What was answered in part is not asked again, nor is an order. It may be the answer to the question, too.
 */
static poise_code on_forgotten(struct question *question, const struct wire_error *error, poise_error *err)
{
    bool order = is_order(question);
    if (!order && question->body && question->again < AGAIN_MAX) {
        question->again++;
        question->probed = false;
        return send_body(question, err);
    }
    return error_set(err, error->code, "%s: %s%s", question->client->link.endpoint, error->text,
                     order ? ": its audit log says whether the order was carried out" : "");
}

/* An ERROR for the question or the connection is the answer; where the aggregator is busy the question, whose
 * id is free then, is asked again. */
static poise_code on_error(struct question *question, const struct link_message *message, poise_error *err)
{
    struct link *link = &question->client->link;
    struct wire_error error;
    poise_code code = wire_decode_error(message->body, message->length, &link->arena, &error, err);
    if (code != POISE_OK || (error.id != question->id && error.id != 0)) {
        return code;
    }
    if (question->probed && question_forgotten(question, &error)) {
        return on_forgotten(question, &error, err);
    }
    code = error_set(err, error.code, "%s: %s", link->endpoint, error.text);
    if (code == POISE_EBUSY && error.id == question->id && passes(question)) {
        code = question_pause(question, err);
        code = code == POISE_OK ? send_body(question, err) : code;
    }
    return code;
}

static poise_code probe(struct question *question, poise_error *err)
{
    struct link *link = &question->client->link;
    const struct wire_credit sign = {.id = question->id};
    question->probed = true;
    poise_code code = link_send(link, WIRE_CREDIT, wire_encode_credit(&sign, &link->body), err);
    return code == POISE_EFULL ? POISE_OK : code;
}

/* The next message, waiting for it until the deadline. */
poise_code question_next(struct question *question, struct link_message *ret_message, poise_error *err)
{
    struct link *link = &question->client->link;
    int64_t probe_at = link_now() + PROBE_US;
    for (;;) {
        int64_t now = link_now(), until = question->deadline < probe_at ? question->deadline : probe_at;
        if (now >= question->deadline) {
            return question_timed_out(question, err);
        }
        poise_code code = link_receive(link, ret_message, err);
        if (code == POISE_ENOTFOUND && now < until) {
            code = link_wait(link, false, until - now, err);
        } else if (code == POISE_ENOTFOUND) {
            probe_at = now + PROBE_US;
            code = probe(question, err);
        } else if (code == POISE_OK) {
            return POISE_OK;
        }
        if (code != POISE_OK) {
            return code;
        }
    }
}

/* The next message of the kind, whatever question it belongs to. */
static poise_code next_answer(struct question *question, enum wire_kind kind,
                              struct link_message *ret_message, poise_error *err)
{
    for (;;) {
        poise_code code = question_next(question, ret_message, err);
        if (code == POISE_OK && ret_message->kind == WIRE_ERROR) {
            code = on_error(question, ret_message, err);
        }
        if (code != POISE_OK || ret_message->kind == kind) {
            return code;
        }
    }
}

static poise_code return_credit(const struct question *question, uint32_t *consumed, poise_error *err)
{
    if (++*consumed < CLIENT_CREDIT / 2) {
        return POISE_OK;
    }
    struct link *link = &question->client->link;
    struct wire_credit credit = {.id = question->id, .more = *consumed};
    poise_code code = link_send(link, WIRE_CREDIT, wire_encode_credit(&credit, &link->body), err);
    *consumed = code == POISE_OK ? 0 : *consumed;
    return code == POISE_EFULL ? POISE_OK : code;
}

/* The next part of the answer. */
static poise_code next_part(struct question *question, enum wire_kind kind, struct wire_states *ret_part,
                            poise_error *err)
{
    struct arena *arena = &question->client->link.arena;
    struct wire_states part;
    do {
        struct link_message message;
        poise_code code = next_answer(question, kind, &message, err);
        if (code == POISE_OK) {
            code = wire_decode_states(kind, message.body, message.length, arena, &part, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    } while (part.id != question->id);
    *ret_part = part;
    return POISE_OK;
}

/* The parts of an answer until the last; *complete becomes true with that. */
static poise_code take_parts(struct question *question, enum wire_kind kind, int64_t as_of_ms,
                             poise_on_event *on_event, void *context, bool *complete, poise_error *err)
{
    uint32_t consumed = 0;
    for (;;) {
        struct wire_states part;
        poise_code code = next_part(question, kind, &part, err);
        if (code != POISE_OK) {
            return code;
        }
        question->body = NULL; /* what has come would come again */
        *complete = part.last;
        struct delivery delivery = {.states = part, .ready = part.last};
        if (kind == WIRE_RESULT) {
            delivery.states.as_of_ms = as_of_ms;
        }
        if (!deliver(&delivery, on_event, context) || part.last) {
            return POISE_OK;
        }
        code = return_credit(question, &consumed, err);
        if (code != POISE_OK) {
            return code;
        }
    }
}

static poise_code take_answer(struct question *question, enum wire_kind kind, int64_t as_of_ms,
                              poise_on_event *on_event, void *context, poise_error *err)
{
    bool complete = false;
    poise_code code = take_parts(question, kind, as_of_ms, on_event, context, &complete, err);
    if (!complete) { /* what is still to come is not wanted; if this cannot be said, credit ends it */
        struct link *link = &question->client->link;
        link_send(link, WIRE_UNSUBSCRIBE, wire_encode_unsubscribe(question->id, &link->body), NULL);
    }
    return code;
}

poise_code poise_get(poise_client *client, const poise_filter *filter, int64_t timeout_ms,
                     poise_on_event *on_event, void *context, poise_error *err)
{
    struct question question = {0};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code != POISE_OK) {
        return code;
    }
    struct wire_subscribe subscribe = {.id = question.id, .credit = CLIENT_CREDIT, .once = true};
    struct arena memory = {0};
    struct buf body = {0};
    code = filter_copy(&memory, filter, &subscribe.filter, err);
    if (code == POISE_OK) {
        code = question_send(&question, WIRE_SUBSCRIBE, wire_encode_subscribe(&subscribe, &body), &body, err);
    }
    if (code == POISE_OK) {
        code = take_answer(&question, WIRE_SNAPSHOT, 0, on_event, context, err);
    }
    buf_free(&body);
    arena_free(&memory);
    return code;
}

poise_code poise_ask(poise_client *client, const poise_question *asked, int64_t timeout_ms,
                     poise_on_event *on_event, void *context, poise_error *err)
{
    struct question question = {0};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code != POISE_OK) {
        return code;
    }
    struct wire_query query = {.id = question.id,
                               .scorecard = asked->scorecard ? asked->scorecard : "",
                               .org = asked->org ? asked->org : "",
                               .all_orgs = asked->all_orgs,
                               .history = asked->history,
                               .known_at_ms = asked->known_at_ms,
                               .known_lsn = asked->known_lsn,
                               .as_of_ms = asked->as_of_ms,
                               .credit = CLIENT_CREDIT};
    if (strlen(query.scorecard) > POISE_ID_MAX || strlen(query.org) > POISE_ORG_MAX) {
        return error_set(err, POISE_ENOTFOUND, "no scorecard or org has so long a name");
    }
    struct buf body = {0};
    code = question_send(&question, WIRE_QUERY, wire_encode_query(&query, &body), &body, err);
    if (code == POISE_OK) {
        code = take_answer(&question, WIRE_RESULT, asked->as_of_ms, on_event, context, err);
    }
    buf_free(&body);
    return code;
}

static poise_code take_restated(struct question *question, struct wire_restated *ret_restated,
                                poise_error *err)
{
    do {
        struct link_message message;
        poise_code code = next_answer(question, WIRE_RESTATED, &message, err);
        if (code == POISE_OK) {
            code = wire_decode_restated(message.body, message.length, &question->client->link.arena,
                                        ret_restated, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    } while (ret_restated->id != question->id);
    return POISE_OK;
}

poise_code poise_restate(poise_client *client, const poise_restatement *restatement, int64_t timeout_ms,
                         uint64_t *ret_rows, uint64_t *ret_refused, poise_error *err)
{
    struct question question = {0};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code != POISE_OK) {
        return code;
    }
    const struct wire_restate order = {.id = question.id,
                                       .measure = restatement->measure ? restatement->measure : "",
                                       .org = restatement->org ? restatement->org : "",
                                       .reason = restatement->reason ? restatement->reason : "",
                                       .from_ms = restatement->from_ms,
                                       .to_ms = restatement->to_ms};
    struct buf body = {0};
    code = question_send(&question, WIRE_RESTATE, wire_encode_restate(&order, &body), &body, err);
    struct wire_restated restated;
    if (code == POISE_OK) {
        code = take_restated(&question, &restated, err);
    }
    buf_free(&body);
    if (code == POISE_OK) {
        *ret_rows = restated.rows;
        *ret_refused = restated.refused;
    }
    return code;
}

static poise_code take_erased(struct question *question, struct wire_erased *ret_erased, poise_error *err)
{
    do {
        struct link_message message;
        poise_code code = next_answer(question, WIRE_ERASED, &message, err);
        if (code == POISE_OK) {
            code = wire_decode_erased(message.body, message.length, &question->client->link.arena, ret_erased,
                                      err);
        }
        if (code != POISE_OK) {
            return code;
        }
    } while (ret_erased->id != question->id);
    return POISE_OK;
}

poise_code poise_erase(poise_client *client, const poise_erasure *erasure, int64_t timeout_ms,
                       poise_erased *ret_erased, poise_error *err)
{
    struct question question = {0};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code != POISE_OK) {
        return code;
    }
    const struct wire_erase order = {.id = question.id,
                                     .measure = erasure->measure ? erasure->measure : "",
                                     .org = erasure->org ? erasure->org : "",
                                     .reason = erasure->reason ? erasure->reason : "",
                                     .from_ms = erasure->from_ms,
                                     .to_ms = erasure->to_ms,
                                     .dry_run = erasure->dry_run};
    struct buf body = {0};
    code = question_send(&question, WIRE_ERASE, wire_encode_erase(&order, &body), &body, err);
    struct wire_erased erased;
    if (code == POISE_OK) {
        code = take_erased(&question, &erased, err);
    }
    buf_free(&body);
    if (code == POISE_OK) {
        *ret_erased = (poise_erased){.rows = erased.rows, .counted = erased.counted, .lsn = erased.lsn};
    }
    return code;
}

static poise_code take_rescored(struct question *question, struct wire_rescored *ret_rescored,
                                poise_error *err)
{
    do {
        struct link_message message;
        poise_code code = next_answer(question, WIRE_RESCORED, &message, err);
        if (code == POISE_OK) {
            code = wire_decode_rescored(message.body, message.length, &question->client->link.arena,
                                        ret_rescored, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    } while (ret_rescored->id != question->id);
    return POISE_OK;
}

poise_code poise_rescore(poise_client *client, const poise_rescoring *rescoring, int64_t timeout_ms,
                         poise_rescored *ret_rescored, poise_error *err)
{
    struct question question = {0};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code != POISE_OK) {
        return code;
    }
    const struct wire_rescore order = {.id = question.id,
                                       .scorecard = rescoring->scorecard ? rescoring->scorecard : "",
                                       .reason = rescoring->reason ? rescoring->reason : "",
                                       .from_ms = rescoring->from_ms};
    struct buf body = {0};
    code = question_send(&question, WIRE_RESCORE, wire_encode_rescore(&order, &body), &body, err);
    struct wire_rescored rescored;
    if (code == POISE_OK) {
        code = take_rescored(&question, &rescored, err);
    }
    buf_free(&body);
    if (code == POISE_OK) {
        *ret_rescored = (poise_rescored){.scorecards = rescored.scorecards,
                                         .revised = rescored.revised,
                                         .locked = rescored.locked,
                                         .lsn = rescored.lsn};
    }
    return code;
}

static poise_code take_backed_up(struct question *question, struct wire_backed_up *ret_backed_up,
                                 poise_error *err)
{
    do {
        struct link_message message;
        poise_code code = next_answer(question, WIRE_BACKED_UP, &message, err);
        if (code == POISE_OK) {
            code = wire_decode_backed_up(message.body, message.length, &question->client->link.arena,
                                         ret_backed_up, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    } while (ret_backed_up->id != question->id);
    return POISE_OK;
}

poise_code poise_backup(poise_client *client, const char *name, int64_t timeout_ms,
                        poise_backed_up *ret_backed_up, poise_error *err)
{
    struct question question = {0};
    if (!id_valid(name, strlen(name))) {
        return error_set(err, POISE_EINVAL, "'%.80s' is no name for a backup: 1 to %d of a-z A-Z 0-9 _ . -",
                         name, POISE_ID_MAX);
    }
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code != POISE_OK) {
        return code;
    }
    const struct wire_backup order = {.id = question.id, .name = name};
    struct buf body = {0};
    code = question_send(&question, WIRE_BACKUP, wire_encode_backup(&order, &body), &body, err);
    struct wire_backed_up backed_up;
    if (code == POISE_OK) {
        code = take_backed_up(&question, &backed_up, err);
    }
    buf_free(&body);
    if (code == POISE_OK) {
        *ret_backed_up = (poise_backed_up){
            .lsn = backed_up.lsn, .bytes = backed_up.bytes, .duration_ms = (int64_t)backed_up.duration_ms};
        snprintf(ret_backed_up->path, sizeof ret_backed_up->path, "%s", backed_up.path);
    }
    return code;
}

/* ---- what producers lost ---- */

static poise_code take_losses(struct question *question, struct wire_losses *ret_losses, poise_error *err)
{
    struct wire_losses losses;
    do {
        struct link_message message;
        poise_code code = next_answer(question, WIRE_LOSSES, &message, err);
        if (code == POISE_OK) {
            code =
                wire_decode_losses(message.body, message.length, &question->client->link.arena, &losses, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    } while (losses.id != question->id);
    *ret_losses = losses;
    return POISE_OK;
}

poise_code poise_get_losses(poise_client *client, int64_t timeout_ms,
                            void (*on_loss)(void *context, const poise_loss *loss), void *context,
                            uint64_t *ret_left_out, poise_error *err)
{
    struct question question = {0};
    struct wire_losses losses = {0};
    struct buf body = {0};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code == POISE_OK) {
        code = question_send(&question, WIRE_LOSSES_REQUEST, wire_encode_losses_request(question.id, &body),
                             &body, err);
    }
    if (code == POISE_OK) {
        code = take_losses(&question, &losses, err);
    }
    buf_free(&body);
    for (size_t i = 0; code == POISE_OK && i < losses.count; i++) {
        on_loss(context, &losses.losses[i]);
    }
    if (code == POISE_OK && ret_left_out) {
        *ret_left_out = losses.left_out;
    }
    return code;
}

/* ---- its own numbers ---- */

static poise_code take_stats(struct question *question, struct wire_stats *ret_stats, poise_error *err)
{
    struct link *link = &question->client->link;
    struct wire_stats stats;
    do {
        struct link_message message;
        poise_code code = next_answer(question, WIRE_STATS, &message, err);
        if (code == POISE_OK) {
            code = wire_decode_stats(message.body, message.length, &link->arena, &stats, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    } while (stats.id != question->id);
    *ret_stats = stats;
    return POISE_OK;
}

poise_code poise_get_stats(poise_client *client, int64_t timeout_ms,
                           void (*on_number)(void *context, const char *name, double value), void *context,
                           poise_error *err)
{
    struct question question = {0};
    poise_code code = question_begin(client, timeout_ms, &question, err);
    if (code != POISE_OK) {
        return code;
    }
    struct buf body = {0};
    code = question_send(&question, WIRE_STATS_REQUEST, wire_encode_stats_request(question.id, &body), &body,
                         err);
    struct wire_stats stats = {0};
    if (code == POISE_OK) {
        code = take_stats(&question, &stats, err);
    }
    buf_free(&body);
    for (size_t i = 0; code == POISE_OK && i < stats.count; i++) {
        on_number(context, stats.names[i], stats.values[i]);
    }
    return code;
}
