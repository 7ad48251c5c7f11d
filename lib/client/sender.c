#include <base/error.h>
#include <base/text.h>
#include <client/uplink.h>
#include <model/measurement.h>
#include <poise/client.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_ROWS = 1000,
    LINGER_MS = 50,
    KEEP_ACKED_MS = 7 * 86400000,
    SOFTWARE_MAX = 64,
    FULL_US = 100000, /* before a batch for which the spool has no room is tried again */
    US = 1000         /* microseconds of a millisecond */
};

struct poise_sender {
    struct outbox outbox;
    struct uplink uplink;
    struct wire_builder *builder; /* the open batch */
    int64_t opened_us;            /* when its first row came */
    struct buf mark;              /* of the open batch; empty: none */
    bool torn;                    /* memory ran out within a group: the open batch must not be closed */
    struct buf closed;            /* a closed batch that the spool has not taken yet; empty: none */
    struct buf closed_mark;       /* likewise; may be without a batch */
    size_t batch_rows;
    int64_t linger_us;
    char producer[POISE_ID_MAX + 1];
    char software[SOFTWARE_MAX + 1];
    char trouble[LINK_TROUBLE_MAX];
};

/* ---- open and close ---- */

static poise_code check_options(const poise_sender_options *options, poise_error *err)
{
    if (!options->endpoint || !options->spool || !options->producer) {
        return error_set(err, POISE_EINVAL, "a sender needs an endpoint, a producer and a spool");
    }
    if (!id_valid(options->producer, strlen(options->producer))) {
        return error_set(err, POISE_EINVAL, "producer \"%.80s\" is no id: 1 to %d of a-z A-Z 0-9 _ . -",
                         options->producer, POISE_ID_MAX);
    }
    if (options->batch_rows > WIRE_BATCH_ROWS_MAX || options->linger_ms < 0 || options->spool_max_bytes < 0 ||
        options->keep_acked_ms < 0) {
        return error_set(
            err, POISE_EINVAL,
            "batch_rows must be at most %d, linger_ms, keep_acked_ms and spool_max_bytes not below 0",
            WIRE_BATCH_ROWS_MAX);
    }
    if (options->route_count > UPLINK_ROUTES_MAX - 1) {
        return error_set(err, POISE_EINVAL, "a sender has %d routes at most", UPLINK_ROUTES_MAX);
    }
    if (options->when_full < POISE_BLOCK || options->when_full > POISE_DROP_NEWEST) {
        return error_set(err, POISE_EINVAL, "when_full is %d, which is no policy", (int)options->when_full);
    }
    if (options->software && strlen(options->software) > SOFTWARE_MAX) {
        return error_set(err, POISE_EINVAL, "the software's name is longer than %d bytes", SOFTWARE_MAX);
    }
    return POISE_OK;
}

static size_t at_most(size_t wanted, size_t limit)
{
    return limit > 0 && limit < wanted ? limit : wanted;
}

/* The aggregator may take less in a batch than we would put into it; before it has said so, what every one
 * takes goes in: what is spooled cannot be cut again. */
static void obey_limits(poise_sender *sender)
{
    const struct uplink *uplink = &sender->uplink;
    bool known = uplink->welcomed;
    wire_builder_limits(sender->builder,
                        at_most(sender->batch_rows, known ? uplink->max_rows : WIRE_ROWS_SURE),
                        at_most(WIRE_MESSAGE_MAX, known ? uplink->max_bytes : WIRE_BYTES_SURE));
    wire_builder_symbols(sender->builder,
                         at_most(WIRE_SYMBOLS_MAX, known ? uplink->max_symbols : WIRE_SYMBOLS_SURE));
}

static poise_code open_parts(poise_sender *sender, const poise_sender_options *options, poise_error *err)
{
    sender->batch_rows = options->batch_rows ? options->batch_rows : BATCH_ROWS;
    int64_t linger_ms = options->linger_ms ? options->linger_ms : LINGER_MS;
    sender->linger_us = linger_ms < INT64_MAX / US / 2 ? linger_ms * US : INT64_MAX / 2;
    memcpy(sender->producer, options->producer, strlen(options->producer) + 1);
    const char *software = options->software ? options->software : "libpoise";
    memcpy(sender->software, software, strlen(software) + 1);
    sender->outbox.refused = options->refused;
    sender->outbox.context = options->context;
    sender->outbox.lost = options->lost;
    sender->outbox.forked = options->forked;
    sender->outbox.when_full = options->when_full;
    sender->outbox.producer = sender->producer;
    sender->uplink.outbox = &sender->outbox;
    sender->uplink.producer = sender->producer;
    sender->uplink.software = sender->software;
    sender->builder = wire_builder_open();
    if (!sender->builder) {
        return error_nomem(err, "a batch");
    }
    obey_limits(sender);
    wire_builder_backfill(sender->builder, options->backfill ? WIRE_BACKFILL_RUNS : WIRE_BACKFILL_NONE);
    int64_t keep_ms = options->keep_acked_ms ? options->keep_acked_ms : KEEP_ACKED_MS;
    poise_code code = outbox_open(&sender->outbox, options->spool, options->spool_max_bytes, keep_ms, err);
    if (code == POISE_OK) {
        code = uplink_open(&sender->uplink, options, err);
    }
    for (size_t i = 0; code == POISE_OK && i < options->route_count; i++) {
        code = uplink_add_route(&sender->uplink, options->routes[i], err);
    }
    return code;
}

poise_code poise_sender_open(const poise_sender_options *options, poise_sender **ret_sender, poise_error *err)
{
    poise_code code = check_options(options, err);
    if (code != POISE_OK) {
        return code;
    }
    poise_sender *sender = calloc(1, sizeof *sender);
    if (!sender) {
        return error_nomem(err, "a sender");
    }
    code = open_parts(sender, options, err);
    if (code != POISE_OK) {
        poise_sender_close(sender);
        return code;
    }
    *ret_sender = sender;
    return POISE_OK;
}

void poise_sender_close(poise_sender *sender)
{
    if (!sender) {
        return;
    }
    if (sender->outbox.spool) {
        poise_sender_flush(sender, NULL); /* who must know that it worked calls flush */
    }
    uplink_close(&sender->uplink);
    outbox_close(&sender->outbox);
    wire_builder_close(sender->builder);
    buf_free(&sender->mark);
    buf_free(&sender->closed);
    buf_free(&sender->closed_mark);
    free(sender);
}

/* ---- batches into the spool ---- */

static poise_code spool_closed(poise_sender *sender, poise_error *err)
{
    const struct buf *mark = &sender->closed_mark;
    poise_code code = POISE_OK;
    if (sender->closed.length > 0) {
        code = outbox_append(&sender->outbox, &sender->closed, mark, err);
    } else if (mark->length > 0) {
        code = spool_set_mark(sender->outbox.spool, mark->data, mark->length, err);
    }
    if (code == POISE_OK) {
        buf_reset(&sender->closed);
        buf_reset(&sender->closed_mark);
    }
    return code;
}

static poise_code close_batch(poise_sender *sender, poise_error *err)
{
    struct spool *spool = sender->outbox.spool;
    if (sender->torn) {
        return error_set(err, POISE_ENOMEM,
                         "memory ran out within a group of measurements: open the sender again");
    }
    outbox_begin(&sender->closed, (uint32_t)wire_builder_rows(sender->builder));
    poise_code code =
        wire_builder_finish(sender->builder, spool_epoch(spool), spool_next_seq(spool), &sender->closed);
    if (code != POISE_OK || sender->closed.failed) {
        buf_reset(&sender->closed);
        return error_nomem(err, "a batch");
    }
    return POISE_OK;
}

/* Closes the open batch and spools it. What the spool did not take stays closed: its sequence is still the
 * next. */
poise_code poise_sender_flush(poise_sender *sender, poise_error *err)
{
    poise_code code = spool_closed(sender, err);
    if (code == POISE_OK && wire_builder_rows(sender->builder) > 0) {
        code = close_batch(sender, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    struct buf empty = sender->closed_mark; /* spool_closed emptied it */
    sender->closed_mark = sender->mark;
    sender->mark = empty;
    return spool_closed(sender, err);
}

poise_code poise_sender_end_backfill(poise_sender *sender, poise_error *err)
{
    poise_code code = poise_sender_flush(sender, err);
    if (code == POISE_OK) {
        wire_builder_backfill(sender->builder, WIRE_BACKFILL_ENDS);
        code = close_batch(sender, err); /* an empty one */
    }
    wire_builder_backfill(sender->builder, WIRE_BACKFILL_NONE);
    return code == POISE_OK ? spool_closed(sender, err) : code;
}

static int64_t linger_end(const poise_sender *sender)
{
    return wire_builder_rows(sender->builder) > 0 ? sender->opened_us + sender->linger_us : INT64_MAX;
}

static bool batch_is_due(const poise_sender *sender)
{
    return wire_builder_rows(sender->builder) >= sender->batch_rows || link_now() >= linger_end(sender);
}

/* Before anything is taken, so that a failure leaves nothing that the caller's second try would double. */
static poise_code make_room(poise_sender *sender, const poise_measurement *measurements, size_t count,
                            poise_error *err)
{
    if (!batch_is_due(sender) && wire_builder_fits(sender->builder, measurements, count)) {
        return POISE_OK;
    }
    poise_code code = poise_sender_flush(sender, err);
    if (code == POISE_OK) {
        obey_limits(sender);
    }
    if (code == POISE_OK && !sender->uplink.welcomed &&
        !wire_builder_fits(sender->builder, measurements,
                           count)) { /* very many: most aggregators take them */
        wire_builder_limits(sender->builder, sender->batch_rows, WIRE_MESSAGE_MAX);
        wire_builder_symbols(sender->builder, WIRE_SYMBOLS_MAX);
    }
    if (code == POISE_OK && !wire_builder_fits(sender->builder, measurements, count)) {
        return error_set(err, POISE_ELIMIT, "%zu measurements that belong together do not fit into one batch",
                         count);
    }
    return code;
}

static poise_code add_rows(poise_sender *sender, const poise_measurement *measurements, size_t count,
                           poise_error *err)
{
    for (size_t i = 0; i < count; i++) {
        poise_code code = wire_builder_add(sender->builder, &measurements[i]);
        if (code != POISE_OK) {
            sender->torn = i > 0;
            return error_set(err, code, "cannot take a measurement of %s into a batch: %s",
                             measurements[i].measure, poise_code_text(code));
        }
        if (wire_builder_rows(sender->builder) == 1) {
            sender->opened_us = link_now();
        }
    }
    return POISE_OK;
}

static poise_code take(poise_sender *sender, const poise_measurement *measurements, size_t count,
                       const void *mark, size_t mark_length, poise_error *err)
{
    poise_code code = make_room(sender, measurements, count, err);
    if (code == POISE_OK && !buf_reserve(&sender->mark, mark_length)) {
        code = error_nomem(err, "a mark");
    }
    if (code == POISE_OK) {
        code = add_rows(sender, measurements, count, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    if (mark_length > 0) {
        buf_reset(&sender->mark);
        buf_put(&sender->mark, mark, mark_length);
    }
    if (wire_builder_rows(sender->builder) >= sender->batch_rows) {
        poise_sender_flush(sender, NULL); /* they are taken; a failure comes back with the next call */
    }
    return POISE_OK;
}

poise_code poise_send(poise_sender *sender, const poise_measurement *measurement, poise_refusal *ret_reason,
                      poise_error *err)
{
    poise_refusal reason = measurement_check(measurement);
    if (reason != POISE_REFUSAL_NONE) {
        if (ret_reason) {
            *ret_reason = reason;
        }
        return error_set(err, POISE_EREFUSED, "%s", poise_refusal_text(reason));
    }
    return take(sender, measurement, 1, NULL, 0, err);
}

poise_code poise_send_together(poise_sender *sender, const poise_measurement *measurements, size_t count,
                               const void *mark, size_t mark_length, poise_error *err)
{
    if (mark_length > POISE_MARK_MAX) {
        return error_set(err, POISE_EINVAL, "a mark has at most %d bytes, not %zu", POISE_MARK_MAX,
                         mark_length);
    }
    for (size_t i = 0; i < count; i++) {
        poise_refusal reason = measurement_check(&measurements[i]);
        if (reason != POISE_REFUSAL_NONE) {
            return error_set(err, POISE_EREFUSED, "measurement %zu of %zu: %s", i + 1, count,
                             poise_refusal_text(reason));
        }
    }
    return take(sender, measurements, count, mark, mark_length, err);
}

const void *poise_sender_mark(const poise_sender *sender, size_t *ret_length)
{
    return spool_mark(sender->outbox.spool, ret_length);
}

/* ---- batches out, acknowledgements in ---- */

static bool nothing_left(const poise_sender *sender)
{
    const struct spool *spool = sender->outbox.spool;
    return spool_first_seq(spool) == spool_next_seq(spool) && sender->closed.length == 0 &&
           wire_builder_rows(sender->builder) == 0;
}

/* Spools the open batch if it is due. A full spool is no error here: what will be acknowledged makes room. */
static poise_code spool_due(poise_sender *sender, bool due, poise_error *err)
{
    poise_error problem;
    poise_code code = due ? poise_sender_flush(sender, &problem) : spool_closed(sender, &problem);
    if (code == POISE_OK || code == POISE_EFULL) {
        return POISE_OK;
    }
    if (err) {
        *err = problem;
    }
    return code;
}

/* One round; *ret_acknowledged says whether it brought acknowledgements. */
static poise_code turn(poise_sender *sender, bool *ret_acknowledged, poise_error *err)
{
    poise_code code = uplink_receive(&sender->uplink, ret_acknowledged, err);
    if (code != POISE_OK) {
        return code;
    }
    obey_limits(sender);
    code = spool_due(sender, batch_is_due(sender), err);
    return code == POISE_OK ? uplink_send(&sender->uplink, err) : code;
}

poise_code poise_sender_step(poise_sender *sender, int64_t timeout_ms, poise_error *err)
{
    int64_t deadline = link_deadline(timeout_ms);
    for (;;) {
        bool acknowledged = false;
        poise_code code = turn(sender, &acknowledged, err);
        int64_t now = link_now();
        if (code != POISE_OK || acknowledged || nothing_left(sender) || now >= deadline) {
            return code;
        }
        int64_t until = linger_end(sender) > now ? linger_end(sender) : now + FULL_US;
        code = uplink_wait(&sender->uplink, (until < deadline ? until : deadline) - now, err);
        if (code != POISE_OK) {
            return code;
        }
    }
}

poise_code poise_sender_drain(poise_sender *sender, int64_t timeout_ms, poise_error *err)
{
    int64_t deadline = link_deadline(timeout_ms);
    for (;;) {
        poise_code code = spool_due(sender, true, err);
        if (code != POISE_OK) {
            return code;
        }
        if (nothing_left(sender)) {
            return POISE_OK;
        }
        int64_t left = deadline - link_now();
        if (left <= 0) {
            char trouble[LINK_TROUBLE_MAX];
            link_trouble(&sender->uplink.link, trouble);
            return error_set(err, POISE_ETIMEOUT, "%llu batches are in the spool %s, not acknowledged: %s %s",
                             (unsigned long long)(spool_next_seq(sender->outbox.spool) -
                                                  spool_first_seq(sender->outbox.spool)),
                             sender->outbox.path, sender->uplink.link.endpoint,
                             sender->uplink.phase == UPLINK_OPEN ? "is slow"
                             : trouble[0]                        ? trouble
                                                                 : "does not answer");
        }
        code = poise_sender_step(sender, deadline == INT64_MAX ? -1 : (left + US - 1) / US, err);
        if (code != POISE_OK) {
            return code;
        }
    }
}

void poise_sender_get_stats(const poise_sender *sender, poise_sender_stats *ret_stats)
{
    const struct spool *spool = sender->outbox.spool;
    *ret_stats = (poise_sender_stats){.accepted = sender->outbox.accepted,
                                      .acknowledged = sender->outbox.acknowledged,
                                      .refused = sender->outbox.refused_count,
                                      .lost = sender->outbox.lost_count,
                                      .batches_left = spool_next_seq(spool) - spool_first_seq(spool),
                                      .spool_bytes = spool_bytes(spool),
                                      .connected = sender->uplink.phase == UPLINK_OPEN,
                                      .forks = sender->outbox.forks,
                                      .spool_age_ms = outbox_age_ms(&sender->outbox)};
}

const char *poise_sender_trouble(poise_sender *sender)
{
    bool open = sender->uplink.phase == UPLINK_OPEN;
    return open ? "" : link_trouble(&sender->uplink.link, sender->trouble);
}
