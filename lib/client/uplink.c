#include <base/error.h>
#include <base/hash.h>
#include <client/uplink.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECOND_US = 1000000,
    WELCOME_US = SECOND_US,      /* no WELCOME for so long: HELLO again */
    TELL_US = 10 * SECOND_US,    /* between two SPOOLs that something waits, at least */
    WAITS_MS = 1000,             /* the oldest batch does for so long: the aggregator is told */
    SILENCE_US = 10 * SECOND_US, /* batches wait and nothing came for so long: HELLO again */
    /* Without a WELCOME the next route is tried after so long, one more time as long after each round; a lone
     * one is only connected anew. A quarter more or less, so that not all come at once after a restart. */
    ROUTE_US = 2 * SECOND_US,
    LONE_ROUTE_US = 20 * SECOND_US,
    ROUNDS_MAX = 2,
    FORK_US = 60 * SECOND_US, /* in so long no more epochs are taken than */
    FORKS_MAX = 64,           /* one for each copy that took an epoch before us, and then some */
    SUSPICIONS_MAX = 3,       /* HELLOs that may show no fork where one was said to be */
    LOOK_BACK = 1024,         /* batches that it asks about then */
    LOOK_US = SECOND_US / 5,  /* a cut, which lasts for the 500 ms of a reconnect, cannot be missed */
    /* Above what credit can ever fill, counting libzmq's slack, so that "cannot send" means "not connected".
     */
    SEND_HWM = 4 * OUTBOX_WINDOW
};

poise_code uplink_open(struct uplink *uplink, const poise_sender_options *options, poise_error *err)
{
    const struct link_options how = {.endpoint = options->endpoint,
                                     .insecure = options->insecure,
                                     .key_file = options->key_file,
                                     .server_key = options->server_key,
                                     .send_hwm = SEND_HWM};
    uplink->phase = UPLINK_CUT;
    uplink->since_us = link_now();
    poise_code code = link_open(&uplink->link, &how, err);
    return code == POISE_OK ? uplink_add_route(uplink, options->endpoint, err) : code;
}

poise_code uplink_add_route(struct uplink *uplink, const char *endpoint, poise_error *err)
{
    poise_code code = net_check(endpoint, uplink->link.insecure, err);
    if (code != POISE_OK) {
        return code;
    }
    char *route = strdup(endpoint);
    if (!route) {
        return error_nomem(err, "an endpoint");
    }
    uplink->routes[uplink->route_count++] = route;
    return POISE_OK;
}

void uplink_close(struct uplink *uplink)
{
    link_close(&uplink->link);
    for (size_t i = 0; i < uplink->route_count; i++) {
        free(uplink->routes[i]);
    }
    uplink->route_count = 0;
}

/* ---- routes ---- */

static void leave_open(struct uplink *uplink, enum uplink_phase phase)
{
    if (uplink->phase == UPLINK_OPEN) {
        uplink->since_us = link_now();
        uplink->tried = 0;
    }
    uplink->phase = phase;
}

static int64_t patience_us(const struct uplink *uplink)
{
    int64_t base = uplink->route_count > 1 ? ROUTE_US : LONE_ROUTE_US;
    size_t rounds = uplink->tried / uplink->route_count;
    int64_t patience = base * (int64_t)(1 + (rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX));
    uint64_t chance = hash_mix(spool_epoch(uplink->outbox->spool), uplink->tried);
    return patience / 4 * 3 + (int64_t)(chance % (uint64_t)(patience / 2));
}

/* A new socket: the old one goes with what it held, which a HELLO on the new one makes good. */
static poise_code next_route(struct uplink *uplink, poise_error *err)
{
    uplink->tried++;
    uplink->route = (uplink->route + 1) % uplink->route_count;
    poise_code code = link_move(&uplink->link, uplink->routes[uplink->route], err);
    uplink->phase = UPLINK_CUT;
    uplink->since_us = link_now();
    return code;
}

static bool route_is_dead(const struct uplink *uplink)
{
    int64_t heard_us = uplink->heard_us > uplink->since_us ? uplink->heard_us : uplink->since_us;
    return uplink->phase != UPLINK_OPEN && link_now() - heard_us >= patience_us(uplink);
}

/* One route that leads elsewhere does not stop the others; the error comes when all of them do. */
static poise_code on_stranger(struct uplink *uplink, const poise_error *stranger, poise_error *err)
{
    bool all = ++uplink->strangers >= uplink->route_count;
    uplink->strangers = all ? 0 : uplink->strangers;
    poise_code code = next_route(uplink, err);
    if (code != POISE_OK || !all) {
        return code;
    }
    uplink->phase = UPLINK_GREETED; /* not before a second has passed */
    uplink->hello_us = link_now();
    return error_set(err, stranger->code, "%s", stranger->text);
}

/* ---- what the aggregator says ---- */

/* Nothing is sent until a WELCOME answers the HELLO that follows in a while. */
static void greet_later(struct uplink *uplink)
{
    leave_open(uplink, UPLINK_GREETED);
    uplink->hello_us = link_now();
}

/* On a full disk later: only what is acknowledged may make room, and without a store nothing would be. */
static poise_code save_store(struct uplink *uplink, poise_error *err)
{
    poise_error problem = {0};
    poise_code code = spool_set_store(uplink->outbox->spool, uplink->store_id, uplink->incarnation, &problem);
    uplink->store_unsaved = code == POISE_EFULL;
    return code == POISE_OK || code == POISE_EFULL ? POISE_OK : error_set(err, code, "%s", problem.text);
}

static poise_code check_store(struct uplink *uplink, const struct wire_welcome *welcome, poise_error *err)
{
    uint8_t known[WIRE_STORE_ID];
    uint64_t incarnation;
    bool any = spool_store(uplink->outbox->spool, known, &incarnation);
    const uint8_t *its = welcome->store_id;
    if (any && memcmp(known, its, sizeof known) != 0) {
        return error_set(
            err, POISE_ESTORE,
            "%s keeps store %02x%02x%02x%02x, but the spool %s belongs to store %02x%02x%02x%02x: give the "
            "endpoint of that store, or send to this one from another spool",
            uplink->link.endpoint, its[0], its[1], its[2], its[3], uplink->outbox->path, known[0], known[1],
            known[2], known[3]);
    }
    if (any && incarnation == welcome->incarnation) {
        return POISE_OK;
    }
    memcpy(uplink->store_id, its, sizeof uplink->store_id);
    uplink->incarnation = welcome->incarnation;
    return save_store(uplink, err);
}

static poise_code fork_error(const struct uplink *uplink, uint64_t seq, poise_error *err)
{
    return error_set(err, POISE_EFORK,
                     "%s has another batch %llu of producer %s than the spool %s, again and again: many "
                     "processes send from copies of it; stop all but one",
                     uplink->link.endpoint, (unsigned long long)seq, uplink->producer, uplink->outbox->path);
}

/* Asks which batches the aggregator has, and says nothing of ours, which it does not believe. */
static void look_back(struct uplink *uplink)
{
    uplink->suspicions++;
    leave_open(uplink, uplink->suspicions == 1 ? UPLINK_CUT : UPLINK_GREETED);
    uplink->hello_us = link_now();
}

/* Another epoch begins, in which we have sent nothing: HELLO at once. A bound, since a broken aggregator may
 * find a fork in each. */
static poise_code take_epoch(struct uplink *uplink, const struct outbox_history *history, uint64_t end,
                             poise_error *err)
{
    struct outbox *outbox = uplink->outbox;
    if (uplink->forks == 0 || link_now() - uplink->forked_us >= FORK_US) {
        uplink->forked_us = link_now();
        uplink->forks = 0;
    }
    if (uplink->forks == FORKS_MAX) {
        return fork_error(uplink, history->differs ? history->differs : end - 1, err);
    }
    poise_code code = outbox_fork(outbox, history, end, err);
    if (code == POISE_OK) {
        uplink->forks++;
        uplink->suspicions = 0;
        uplink->next = spool_first_seq(outbox->spool);
        leave_open(uplink, UPLINK_CUT);
    }
    return code;
}

/* The store went back, to an older backup: what it lacks goes again, as far as the spool has kept it. */
static poise_code go_back(struct uplink *uplink, uint64_t expected, poise_error *err)
{
    struct spool *spool = uplink->outbox->spool;
    poise_error reason = {0};
    poise_code code = outbox_rewind(uplink->outbox, expected, &reason);
    if (code == POISE_ENOTFOUND || code == POISE_ECORRUPT) {
        return error_set(
            err, POISE_EGAP,
            "%s expects batch %llu of producer %s: the store was restored from an older backup, and %s; "
            "send what is missing again from its source through an empty spool",
            uplink->link.endpoint, (unsigned long long)expected, uplink->producer, reason.text);
    }
    if (code != POISE_OK) {
        return error_set(err, code, "%s", reason.text);
    }
    uplink->next = spool_first_seq(spool);
    return POISE_OK;
}

/* Is next_seq a continuation of what this spool holds? *ret_on: it is, as far as is known. */
static poise_code check_history(struct uplink *uplink, const struct wire_welcome *welcome, bool *ret_on,
                                poise_error *err)
{
    struct spool *spool = uplink->outbox->spool;
    bool all = welcome->hash_count > 0; /* else: all is acknowledged, or it is of an earlier version */
    const uint64_t *hashes = all ? welcome->hashes : &welcome->last_hash;
    size_t count = all ? welcome->hash_count : welcome->next_seq > 1 ? 1 : 0;
    struct outbox_history history;
    *ret_on = false;
    poise_code code = outbox_compare(uplink->outbox, welcome->next_seq, hashes, count, &history, err);
    if (code != POISE_OK) {
        return code;
    }
    uint64_t start = spool_start_seq(spool);
    bool up_to_ours = welcome->next_seq == start && welcome->last_hash != 0 && history.same == 0;
    if (welcome->next_seq < start || (start > 1 && up_to_ours)) { /* others began it further back */
        history = (struct outbox_history){.differs = start};
    }
    bool forked = history.differs > 0 || welcome->next_seq > spool_next_seq(spool);
    bool told = history.differs > 0 && history.differs < spool_first_seq(spool);
    if (forked && told && history.same == 0 && uplink->suspicions == 0) {
        look_back(uplink); /* what was acknowledged is another: since when? */
        return POISE_OK;
    }
    if (forked) {
        return take_epoch(uplink, &history, welcome->next_seq, err);
    }
    if (spool_forked_epoch(spool) && history.same == 0 && welcome->next_seq > spool_first_seq(spool)) {
        code = outbox_doubt(uplink->outbox, welcome->next_seq - 1, err); /* it may be all of others */
    }
    if (code == POISE_OK && welcome->next_seq < spool_first_seq(spool)) {
        code = go_back(uplink, welcome->next_seq, err);
    }
    if (code == POISE_OK && uplink->suspicions > 0 && uplink->suspicions < SUSPICIONS_MAX) {
        look_back(uplink); /* the other's batch may not be on its disk yet */
        return POISE_OK;
    }
    if (code == POISE_OK && uplink->suspicions > 0) {
        uplink->suspicions = 0;
        return fork_error(uplink, welcome->next_seq, err);
    }
    *ret_on = code == POISE_OK;
    return code;
}

/* Before the WELCOME it is not known whether it is about our batches or about those of a fork, and what it
 * says comes again: all refusals from HELLO's next_seq on follow the WELCOME. So a refusal that could not be
 * told is not passed over by a later ACK either: who could not tell it says HELLO first. */
static poise_code on_ack(struct uplink *uplink, const struct link_message *message, poise_error *err)
{
    struct wire_ack ack;
    poise_code code = wire_decode_ack(message->body, message->length, &uplink->link.arena, &ack, err);
    if (code != POISE_OK || ack.epoch != spool_epoch(uplink->outbox->spool) || uplink->phase != UPLINK_OPEN) {
        return code;
    }
    if (ack.seq >= spool_next_seq(uplink->outbox->spool)) {
        return error_set(err, POISE_EPROTO, "%s acknowledged batch %llu, which was never made",
                         uplink->link.endpoint, (unsigned long long)ack.seq);
    }
    uplink->credit = ack.credit;
    if (ack.seq < spool_first_seq(uplink->outbox->spool)) {
        return POISE_OK; /* again: its refusals were told */
    }
    code = outbox_acknowledge(uplink->outbox, &ack, err);
    if (code == POISE_OK && uplink->store_unsaved) {
        code = save_store(uplink, err);
    }
    if (code == POISE_OK && uplink->next <= ack.seq) {
        uplink->next = ack.seq + 1;
    }
    return code;
}

static poise_code on_welcome(struct uplink *uplink, const struct link_message *message, poise_error *err)
{
    struct wire_welcome welcome;
    poise_code code = wire_decode_welcome(message->body, message->length, &uplink->link.arena, &welcome, err);
    if (code != POISE_OK || welcome.epoch != spool_epoch(uplink->outbox->spool)) {
        return code;
    }
    bool on = false;
    code = check_store(uplink, &welcome, err);
    if (code == POISE_OK) {
        code = check_history(uplink, &welcome, &on, err);
    }
    if (code != POISE_OK || !on) {
        return code;
    }
    uplink->phase = UPLINK_OPEN;
    uplink->tried = 0;
    uplink->strangers = 0;
    uplink->next = welcome.next_seq;
    uplink->credit = welcome.credit;
    uplink->takes_spool = welcome.takes_spool;
    uplink->max_rows = welcome.max_batch_rows;
    uplink->max_bytes = welcome.max_batch_bytes;
    uplink->max_symbols = welcome.max_batch_symbols;
    uplink->welcomed = true;
    return POISE_OK;
}

static poise_code on_gap(struct uplink *uplink, const struct link_message *message, poise_error *err)
{
    struct wire_gap gap;
    poise_code code = wire_decode_gap(message->body, message->length, &uplink->link.arena, &gap, err);
    if (code != POISE_OK || gap.epoch != spool_epoch(uplink->outbox->spool) || uplink->phase != UPLINK_OPEN) {
        return code;
    }
    if (gap.expected < spool_first_seq(uplink->outbox->spool)) {
        return go_back(uplink, gap.expected, err);
    }
    if (gap.expected > spool_next_seq(uplink->outbox->spool)) {
        look_back(uplink);
        return POISE_OK;
    }
    uplink->next = gap.expected;
    return POISE_OK;
}

/* What says that the two do not go together goes to the caller. Anything else is over after another HELLO: at
 * once where the aggregator does not know us, since it was restarted behind our back; else (it has no room) a
 * little later. */
static poise_code on_error(struct uplink *uplink, const struct link_message *message, poise_error *err)
{
    struct wire_error error;
    poise_code code = wire_decode_error(message->body, message->length, &uplink->link.arena, &error, err);
    if (code != POISE_OK) {
        return code;
    }
    switch (error.code) {
    case POISE_EVERSION:
    case POISE_EDENIED:
    case POISE_ESTORE:
    case POISE_EGAP:
    case POISE_EPROTO:
    case POISE_ELIMIT:
        return error_set(err, error.code, "%s: %s", uplink->link.endpoint, error.text);
    case POISE_EFORK:
        look_back(uplink);
        return POISE_OK;
    case POISE_ENOTFOUND:
        if (uplink->phase == UPLINK_OPEN) {
            leave_open(uplink, UPLINK_CUT);
        }
        return POISE_OK;
    default:
        greet_later(uplink);
        return POISE_OK;
    }
}

static poise_code on_message(struct uplink *uplink, const struct link_message *message, poise_error *err)
{
    uplink->heard_us = link_now();
    switch (message->kind) {
    case WIRE_WELCOME:
        return on_welcome(uplink, message, err);
    case WIRE_ACK:
        return on_ack(uplink, message, err);
    case WIRE_GAP:
        return on_gap(uplink, message, err);
    case WIRE_ERROR:
        return on_error(uplink, message, err);
    default:
        return POISE_OK; /* of a later version */
    }
}

poise_code uplink_receive(struct uplink *uplink, bool *ret_acknowledged, poise_error *err)
{
    uint64_t first = spool_first_seq(uplink->outbox->spool);
    /* Bounded, so that a peer that never stops talking cannot hold the caller beyond its timeout. */
    for (int i = 0; i < OUTBOX_WINDOW; i++) {
        struct link_message message;
        poise_error problem = {0};
        poise_code code = link_receive(&uplink->link, &message, &problem);
        if (code == POISE_ENOTFOUND) {
            break;
        }
        if (code == POISE_OK) {
            code = on_message(uplink, &message, &problem);
        }
        if (code == POISE_ESTORE && uplink->route_count > 1) {
            return on_stranger(uplink, &problem, err);
        }
        if (code != POISE_OK) {
            greet_later(uplink);
            if (err) {
                *err = problem;
            }
            return code;
        }
    }
    *ret_acknowledged = spool_first_seq(uplink->outbox->spool) != first;
    return POISE_OK;
}

/* ---- what goes to the aggregator ---- */

static poise_code send_hello(struct uplink *uplink, poise_error *err)
{
    const struct spool *spool = uplink->outbox->spool;
    struct wire_hello hello = {.producer = uplink->producer,
                               .epoch = spool_epoch(spool),
                               .first_seq = spool_start_seq(spool),
                               .next_seq = spool_first_seq(spool),
                               .last_hash = spool_last_hash(spool),
                               .forked_epoch = spool_forked_epoch(spool),
                               .software = uplink->software};
    if (uplink->suspicions > 0) {
        uint64_t kept = spool_kept_seq(spool);
        bool far = hello.next_seq > kept + LOOK_BACK;
        hello.next_seq = far ? hello.next_seq - LOOK_BACK : kept;
        hello.last_hash = 0;
    }
    hello.has_store = spool_store(spool, hello.store_id, &hello.incarnation);
    struct buf *body = &uplink->link.body;
    poise_code code = link_send(&uplink->link, WIRE_HELLO, wire_encode_hello(&hello, body), err);
    if (code == POISE_OK) {
        leave_open(uplink, UPLINK_GREETED);
        uplink->hello_us = link_now();
    }
    return code;
}

static bool hello_is_due(const struct uplink *uplink)
{
    int64_t now = link_now();
    switch (uplink->phase) {
    case UPLINK_CUT:
        return true;
    case UPLINK_GREETED:
        return now - uplink->hello_us >= WELCOME_US;
    default:
        return spool_first_seq(uplink->outbox->spool) < spool_next_seq(uplink->outbox->spool) &&
               now - uplink->heard_us >= SILENCE_US;
    }
}

static poise_code send_batch(struct uplink *uplink, poise_error *err)
{
    const void *body;
    size_t length;
    uint64_t last;
    poise_code code = outbox_take(uplink->outbox, uplink->next, &body, &length, &last, err);
    if (code == POISE_EFORK) { /* the aggregator has batches in place of a loss */
        look_back(uplink);
        return POISE_OK;
    }
    if (code == POISE_OK) {
        code = link_send_body(&uplink->link, WIRE_BATCH, body, length, err);
    }
    if (code == POISE_OK) {
        uplink->next = last + 1;
    }
    return code;
}

static bool batch_may_go(const struct uplink *uplink)
{
    uint64_t window = uplink->credit < OUTBOX_WINDOW ? uplink->credit : OUTBOX_WINDOW;
    return uplink->phase == UPLINK_OPEN && uplink->next < spool_next_seq(uplink->outbox->spool) &&
           uplink->next - spool_first_seq(uplink->outbox->spool) < window;
}

/* Behind the batches, and not sent again: the next one says more. What is acknowledged at once is not worth a
 * word. */
static poise_code tell_spool(struct uplink *uplink, poise_error *err)
{
    int64_t age_ms = outbox_age_ms(uplink->outbox);
    bool waits = age_ms >= WAITS_MS;
    bool told = uplink->told_us > 0 && link_now() - uplink->told_us < TELL_US;
    bool due = waits ? !told : uplink->told_waiting;
    if (!due || !uplink->takes_spool || uplink->phase != UPLINK_OPEN) {
        return POISE_OK;
    }
    struct wire_spool spool = {0};
    if (waits) {
        spool.bytes = (uint64_t)spool_waiting_bytes(uplink->outbox->spool);
        spool.age_ms = (uint64_t)age_ms;
    }
    struct buf *body = &uplink->link.body;
    poise_code code = link_send(&uplink->link, WIRE_SPOOL, wire_encode_spool(&spool, body), err);
    if (code == POISE_OK) {
        uplink->told_us = waits ? link_now() : uplink->told_us;
        uplink->told_waiting = waits;
    }
    return code;
}

poise_code uplink_send(struct uplink *uplink, poise_error *err)
{
    bool connected;
    poise_code code = link_can_send(&uplink->link, &connected, err);
    if (code != POISE_OK) {
        return code;
    }
    if (!connected) {
        leave_open(uplink, UPLINK_CUT);
    }
    if (route_is_dead(uplink)) {
        return next_route(uplink, err);
    }
    if (!connected) {
        return POISE_OK;
    }
    if (hello_is_due(uplink)) {
        code = send_hello(uplink, err);
    }
    while (code == POISE_OK && batch_may_go(uplink)) {
        code = send_batch(uplink, err);
    }
    if (code == POISE_OK) {
        code = tell_spool(uplink, err);
    }
    return code == POISE_EFULL ? POISE_OK : code;
}

poise_code uplink_wait(struct uplink *uplink, int64_t timeout_us, poise_error *err)
{
    return link_wait(&uplink->link, uplink->phase == UPLINK_CUT, timeout_us < LOOK_US ? timeout_us : LOOK_US,
                     err);
}
