#include "ingest.h"

#include "epochs.h"
#include "permits.h"
#include <base/error.h>
#include <base/text.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEP_MESSAGES = 256,  /* taken in one step, so that acknowledgements are not kept waiting */
    CREDIT_ROWS = 1000,   /* of a batch that credit is meant for; of smaller ones more may be under way */
    LOSS_BYTES_MAX = 128, /* of a BATCH that is a loss */
    POOL_BYTES_MAX = 64 << 20, /* decoded, between here and disk: small bodies can be made to decode large */
};

/* In place of the hash of a batch that is lost, or so far back that its producer cannot mean it. */
#define LOST UINT64_MAX

struct ingest {
    struct ingest_options options;
    struct permits permits;
    struct epochs epochs;
    const char *producer; /* that the message at hand is of; NULL: not known */
    struct batch *pool;
    struct batch **free;
    size_t free_count;
    struct producer *owed; /* an acknowledgement; NULL: nobody */
    size_t pool_bytes;     /* of the batches that are not free */
    struct arena arena;    /* of small messages */
    struct buf out;
    uint8_t store_id[WIRE_STORE_ID];
};

/* ---- answers ---- */

/* False: the peer is gone or takes nothing in; it learns where it stands from its next HELLO. */
static bool send_out(struct ingest *ingest, const struct net_peer *peer, enum wire_kind kind)
{
    uint8_t head[2];
    wire_head(kind, head);
    poise_code code =
        net_send(ingest->options.socket, peer, head, sizeof head, ingest->out.data, ingest->out.length, NULL);
    buf_reset(&ingest->out);
    return code == POISE_OK;
}

static void log_refusal(struct ingest *ingest, const char *event, const char *user, poise_code code,
                        const char *reason)
{
    struct permits *permits = &ingest->permits;
    const struct refusal refusal = {.event = event,
                                    .code = code,
                                    .user = user,
                                    .peer = access_view_find(&permits->view, user),
                                    .producer = ingest->producer,
                                    .reason = reason};
    refusals_log(&permits->refusals, &refusal);
}

static void send_error(struct ingest *ingest, const struct net_peer *peer, const char *user,
                       const poise_error *error)
{
    struct wire_error message = {.code = error->code, .text = error->text};
    struct stats *stats = ingest->options.stats;
    bool denied = error->code == POISE_EDENIED; /* counted and logged where it was */
    stats_add(stats, STAT_protocol_errors, denied ? 0 : 1);
    stats_error(stats, error->code);
    if (!denied)
        log_refusal(ingest, "producer_refused", user, error->code, error->text);
    if (peer->length && !wire_encode_error(&message, &ingest->out))
        (void)send_out(ingest, peer, WIRE_ERROR);
}

/* Small batches would keep the writer waiting for the next ones. Half of the pool stays for others. */
static uint32_t credit_of(const struct ingest *ingest, const struct producer *producer)
{
    uint64_t credit = ingest->options.credit;
    uint64_t most = ingest->options.pool / 2 < LEDGER_WINDOW ? ingest->options.pool / 2 : LEDGER_WINDOW;
    if (producer->mean_rows > 0 && producer->mean_rows < CREDIT_ROWS && credit < most) {
        uint64_t more = credit * CREDIT_ROWS / producer->mean_rows;
        credit = more < most ? more : most;
    }
    return (uint32_t)credit;
}

static bool send_ack(struct ingest *ingest, struct producer *producer, uint64_t seq,
                     const struct wire_refusal *refusals, size_t count)
{
    struct wire_ack ack = {.epoch = producer->entry->epoch,
                           .seq = seq,
                           .credit = credit_of(ingest, producer),
                           .refusals = refusals,
                           .refusal_count = count};
    if (!producer->peer.length || wire_encode_ack(&ack, &ingest->out) ||
        !send_out(ingest, &producer->peer, WIRE_ACK))
        return false;
    producer->told_seq = seq;
    return true;
}

/* Acknowledges what is on disk, telling again what was refused from a sequence on: a message a batch with
 * refusals, so that each fits. None is acknowledged before its refusals are told, so the first that cannot be
 * sent is the last. */
static void send_acks(struct ingest *ingest, struct producer *producer, uint64_t from)
{
    size_t count, next;
    uint64_t last = 0, end = producer->entry->seq;
    if (end > producer->heard_seq) {
        end = producer->heard_seq;
        if (end <= producer->told_seq)
            return;
    }
    if (from > producer->told_seq + 1)
        from = producer->told_seq + 1;
    const struct wire_refusal *refusals = ledger_refusals(producer->entry, from, &count);
    for (size_t at = 0; at < count && refusals[at].seq <= end; at = next) {
        last = refusals[at].seq;
        for (next = at; next < count && refusals[next].seq == refusals[at].seq; next++)
            ;
        if (!send_ack(ingest, producer, refusals[at].seq, refusals + at, next - at))
            return;
    }
    if (last != end || last == 0)
        (void)send_ack(ingest, producer, end, NULL, 0);
}

static void send_owed(struct ingest *ingest)
{
    if (ingest->owed)
        send_acks(ingest, ingest->owed, ingest->owed->entry->seq);
    ingest->owed = NULL;
}

static uint64_t known_hash(const struct producer *producer, uint64_t seq)
{
    return seq + LEDGER_WINDOW > producer->received_seq ? producer->hashes[seq % LEDGER_WINDOW] : LOST;
}

/* Those from a sequence on that are known, so that the producer sees which of its batches they are. */
static size_t hashes_from(const struct producer *producer, uint64_t from, uint64_t hashes[LEDGER_WINDOW])
{
    uint64_t received = producer->received_seq, end = producer->entry->seq + 1;
    uint64_t kept = received >= LEDGER_WINDOW ? received - LEDGER_WINDOW + 1 : 1;
    size_t count = 0;
    for (uint64_t seq = from > kept ? from : kept; seq < end; seq++)
        hashes[count++] = known_hash(producer, seq) != LOST ? known_hash(producer, seq) : 0;
    return count;
}

/* Says what is on disk, not what is on its way there, which a crash would lose. */
static void send_welcome(struct ingest *ingest, const struct producer *producer, uint64_t from)
{
    uint64_t hashes[LEDGER_WINDOW];
    struct wire_welcome welcome = {.incarnation = store_incarnation(ingest->options.store),
                                   .epoch = producer->entry->epoch,
                                   .next_seq = producer->entry->seq + 1,
                                   .last_hash = producer->entry->hash,
                                   .credit = credit_of(ingest, producer),
                                   .max_batch_bytes = ingest->options.max_batch_bytes,
                                   .max_batch_rows = ingest->options.max_batch_rows,
                                   .max_batch_symbols = ingest->options.max_batch_symbols,
                                   .takes_spool = true,
                                   .hashes = hashes,
                                   .hash_count = hashes_from(producer, from, hashes)};
    memcpy(welcome.store_id, ingest->store_id, sizeof welcome.store_id);
    if (!wire_encode_welcome(&welcome, &ingest->out))
        (void)send_out(ingest, &producer->peer, WIRE_WELCOME);
}

/* ---- access ---- */

/* *ret_who: NULL where nobody is asked. */
static poise_code check_producer(struct ingest *ingest, const char *user, const char *producer,
                                 const struct access_peer **ret_who, poise_error *err)
{
    char what[POISE_ID_MAX + 32];
    poise_code code = permits_find(&ingest->permits, user, ret_who, err);
    const struct access_peer *who = *ret_who;
    if (!who || (access_may(who, ACCESS_SEND) && access_speaks_for(who, producer)))
        return code;
    snprintf(what, sizeof what, "send as the producer '%.64s'", producer);
    return permits_deny(&ingest->permits, user, who, what, err);
}

/* Notes which series of a batch its sender may not send: the writer refuses their rows. */
static poise_code check_rows(struct ingest *ingest, const struct access_peer *who, const char *user,
                             struct batch *batch, poise_error *err)
{
    const struct wire_batch *rows = &batch->rows;
    const struct wire_series *first = NULL;
    bool limited = false;
    if (!who || access_sends_all(who))
        return POISE_OK;
    for (size_t i = 0; i < rows->series_count; i++) {
        const struct wire_series *series = &rows->series[i];
        const char *source = series->source == WIRE_SYMBOL_NONE ? "" : rows->symbols[series->source];
        enum access_sending sends =
            access_sends(who, rows->symbols[series->measure], rows->symbols[series->org], source);
        buf_put_u8(&batch->denied, (uint8_t)sends);
        limited |= sends != ACCESS_SENDS;
        if (sends == ACCESS_SENDS_NOT && !first)
            first = series;
    }
    if (batch->denied.failed)
        return error_nomem(err, "the access of a batch");
    if (!limited)
        buf_reset(&batch->denied);
    if (first) {
        poise_error denied;
        error_set(&denied, POISE_EREFUSED, "in a batch of '%s': %.64s of the org '%.200s'", batch->producer,
                  rows->symbols[first->measure], rows->symbols[first->org]);
        stats_add(ingest->options.stats, STAT_batches_denied, 1);
        log_refusal(ingest, "access_denied", user, POISE_EDENIED, denied.text);
    }
    return POISE_OK;
}

/* Another authorisation file may be in force: who may not send any more is acknowledged nothing more. */
static void renew_access(struct ingest *ingest)
{
    struct access *before = NULL;
    struct producer *producer;
    if (!permits_renew(&ingest->permits, &before))
        return;
    for (size_t at = 0; (producer = hmap_next(&ingest->epochs.map, &at));) {
        const struct access_peer *who;
        poise_error error;
        if (producer->peer.length &&
            check_producer(ingest, producer_user(producer), producer->entry->producer, &who, &error)) {
            send_error(ingest, &producer->peer, producer_user(producer), &error);
            epochs_detach(&ingest->epochs, producer);
        }
    }
    permits_renewed(&ingest->permits, before);
}

/* ---- HELLO ---- */

static poise_code check_hello(const struct ingest *ingest, const struct wire_hello *hello, poise_error *err)
{
    if (!id_valid(hello->producer, strlen(hello->producer)))
        return error_set(err, POISE_EPROTO,
                         "the producer's name '%s' is not an id of 1 to %d of a-z A-Z 0-9 _ . -",
                         hello->producer, POISE_ID_MAX);
    if (hello->epoch == 0 || hello->next_seq == 0)
        return error_set(err, POISE_EPROTO, "HELLO of '%s': epoch and next_seq start at 1", hello->producer);
    if (hello->has_store && memcmp(hello->store_id, ingest->store_id, WIRE_STORE_ID) != 0)
        return error_set(err, POISE_ESTORE,
                         "the spool of '%s' belongs to another store; point it to its own aggregator, or "
                         "give it a new spool",
                         hello->producer);
    return POISE_OK;
}

/* Once, until the producer has taken a new epoch for it. */
static void count_fork(struct ingest *ingest, struct producer *producer)
{
    stats_add(ingest->options.stats, STAT_forks, producer->forked ? 0 : 1);
    producer->forked = true;
}

static poise_code check_fork(struct ingest *ingest, struct producer *producer, const struct wire_hello *hello,
                             poise_error *err)
{
    const struct ledger_entry *entry = producer->entry;
    bool same_place = hello->next_seq == entry->seq + 1;
    if (!same_place || !hello->last_hash || !entry->hash || hello->last_hash == entry->hash)
        return POISE_OK;
    count_fork(ingest, producer);
    return error_set(err, POISE_EFORK,
                     "batch %llu of '%s' is another here than in its spool: the spool was restored or "
                     "copied; it must go on under a new epoch",
                     (unsigned long long)entry->seq, hello->producer);
}

/* Its producer found itself forked, and sends the rest under this epoch, of which the first has come. */
static void on_new_epoch(struct ingest *ingest, struct producer *producer)
{
    char old[24], fresh[24];
    const struct ledger_entry *entry = producer->entry;
    struct producer *before = epochs_find(&ingest->epochs, entry->producer, producer->forked_epoch);
    if (before && before->forked)
        before->forked = false; /* it is counted */
    else
        stats_add(ingest->options.stats, STAT_forks, 1);
    snprintf(old, sizeof old, "%016" PRIx64, producer->forked_epoch);
    snprintf(fresh, sizeof fresh, "%016" PRIx64, entry->epoch);
    log_event(ingest->options.log, LOG_WARN, "fork", log_text("producer", entry->producer),
              log_text("epoch", old), log_text("goes_on_as", fresh));
    producer->forked_epoch = 0;
}

/* An epoch begins with what comes first, and before that where the last HELLO says. While the first is on its
 * way to the disk, a copy that begins elsewhere could not tell whether it is what it has itself. */
static poise_code begin_epoch(struct producer *producer, const struct wire_hello *hello, poise_error *err)
{
    struct ledger_entry *entry = producer->entry;
    uint64_t first = hello->first_seq;
    bool coming = producer->received_seq > entry->seq;
    if (!coming && !producer->on_disk)
        entry->seq = producer->received_seq = first - 1;
    else if (coming && (first > entry->seq + 1 || (first <= entry->seq && !producer->on_disk)))
        return error_set(err, POISE_EBUSY,
                         "batches of another copy of the spool of '%s' are on their way to the disk; say "
                         "HELLO again in a second",
                         hello->producer);
    return POISE_OK;
}

static poise_code on_hello(struct ingest *ingest, const struct net_message *message, poise_error *err)
{
    struct wire_hello hello;
    poise_code code = wire_decode_hello(message->body, message->body_length, &ingest->arena, &hello, err);
    const struct access_peer *who;
    if (!code && id_valid(hello.producer, strlen(hello.producer)))
        ingest->producer = hello.producer;
    if (!code)
        code = check_producer(ingest, message->user, hello.producer, &who, err);
    if (!code)
        code = check_hello(ingest, &hello, err);
    if (code)
        return code;
    struct producer *producer = epochs_find(&ingest->epochs, hello.producer, hello.epoch);
    if (!producer)
        code = epochs_add(&ingest->epochs, hello.producer, hello.epoch, message, &producer, err);
    if (!code)
        code = begin_epoch(producer, &hello, err);
    if (!code)
        code = check_fork(ingest, producer, &hello, err);
    if (!code)
        code = epochs_attach(&ingest->epochs, producer, message, err);
    if (code)
        return code;
    producer->forked_epoch = producer->idle ? hello.forked_epoch : 0;
    log_event(ingest->options.log, LOG_DEBUG, "hello", log_text("producer", hello.producer),
              log_int("next", (int64_t)producer->entry->seq + 1), log_text("software", hello.software));
    bool all_told = hello.next_seq > producer->entry->seq;
    producer->told_seq = all_told ? producer->entry->seq : hello.next_seq - 1;
    send_welcome(ingest, producer, hello.next_seq);
    if (!all_told)
        send_acks(ingest, producer, hello.next_seq);
    return POISE_OK;
}

/* ---- BATCH ---- */

/* What follows a batch would be taken behind that of another copy of its spool. */
static void turn_away(struct ingest *ingest, struct producer *producer, const poise_error *why)
{
    send_error(ingest, &producer->peer, producer_user(producer), why);
    epochs_detach(&ingest->epochs, producer);
}

static void on_duplicate(struct ingest *ingest, struct producer *producer, uint64_t seq, uint64_t hash)
{
    uint64_t known = known_hash(producer, seq);
    if (known && known != LOST && hash && hash != known) {
        poise_error error;
        count_fork(ingest, producer);
        error_set(&error, POISE_EFORK, "batch %llu of '%s' came before with other content",
                  (unsigned long long)seq, producer->entry->producer);
        turn_away(ingest, producer, &error);
        return;
    }
    stats_add(ingest->options.stats, STAT_batches_duplicate, 1);
    if (seq > producer->heard_seq) {
        producer->heard_seq = seq;
        producer->gap_told = false;
    }
    if (seq <= producer->entry->seq)
        send_acks(ingest, producer, seq);
}

static void on_gap(struct ingest *ingest, struct producer *producer)
{
    if (producer->gap_told)
        return;
    producer->gap_told = true;
    stats_add(ingest->options.stats, STAT_gaps, 1);
    struct wire_gap gap = {.epoch = producer->entry->epoch, .expected = producer->heard_seq + 1};
    if (!wire_encode_gap(&gap, &ingest->out))
        (void)send_out(ingest, &producer->peer, WIRE_GAP);
}

/* A batch of which it is told that it is lost: by another copy of its spool, which was quicker. Whether that
 * is about the same batches its producer sees by the next WELCOME. */
static void on_lost_number(struct ingest *ingest, struct producer *producer, uint64_t seq)
{
    poise_error error;
    error_set(&error, POISE_EBUSY,
              "batch %llu of '%s' was told as lost by another copy of the spool; say HELLO again in a second",
              (unsigned long long)seq, producer->entry->producer);
    turn_away(ingest, producer, &error);
}

/* What begins with a number that is known. A loss may go on beyond them: what came as batches is no loss, and
 * counted, so it is asked for the rest alone. */
static void on_known(struct ingest *ingest, struct producer *producer, const struct net_message *message,
                     uint64_t seq, uint64_t hash)
{
    struct wire_batch batch = {0};
    if (message->body_length <= LOSS_BYTES_MAX &&
        !wire_decode_batch(message->body, message->body_length, &ingest->arena, &batch, NULL) &&
        batch.loss.last_seq) {
        seq = batch.loss.last_seq;
        hash = batch.loss.last_hash;
    } else if (known_hash(producer, seq) == LOST) {
        on_lost_number(ingest, producer, seq);
        return;
    }
    if (seq <= producer->received_seq) {
        on_duplicate(ingest, producer, seq, hash);
        return;
    }
    producer->heard_seq = producer->received_seq;
    producer->gap_told = false;
    on_gap(ingest, producer);
}

/* More than WELCOME allows. The size is counted only where less is allowed than decoding does. */
static bool is_too_large(struct ingest *ingest, const struct net_message *message, uint64_t seq)
{
    char text[128];
    const struct ingest_options *options = &ingest->options;
    struct wire_batch_size size = {0};
    if (options->max_batch_rows < WIRE_BATCH_ROWS_MAX || options->max_batch_symbols < WIRE_SYMBOLS_MAX)
        size = wire_batch_size(message->body, message->body_length);
    if (message->body_length <= options->max_batch_bytes && size.rows <= options->max_batch_rows &&
        size.symbols <= options->max_batch_symbols)
        return false;
    stats_add(options->stats, STAT_batches_too_large, 1);
    snprintf(text, sizeof text, "batch %" PRIu64 " has %zu bytes, %zu rows, %zu symbols", seq,
             message->body_length, size.rows, size.symbols);
    log_refusal(ingest, "batch_too_large", message->user, POISE_EREFUSED, text);
    return true;
}

/* Nothing is kept of one that is too large. */
static poise_code read_batch(struct ingest *ingest, const struct net_message *message, uint64_t seq,
                             struct batch *batch)
{
    batch->malformed = is_too_large(ingest, message, seq);
    if (batch->malformed)
        return POISE_OK;
    buf_put(&batch->body, message->body, message->body_length);
    return batch->body.failed ? POISE_ENOMEM : batch_decode(batch, ingest->options.max_batch_rows);
}

static poise_code take_batch(struct ingest *ingest, struct producer *producer,
                             const struct net_message *message, const struct access_peer *who, uint64_t seq,
                             uint64_t hash, poise_error *err)
{
    struct batch *batch = ingest->free[ingest->free_count - 1];
    if (read_batch(ingest, message, seq, batch))
        return error_nomem(err, "a batch");
    const struct wire_loss *loss = &batch->rows.loss;
    if (loss->last_seq) { /* the numbers that it takes have no batches to compare with */
        for (uint64_t lost = seq; lost < loss->last_seq && lost < seq + LEDGER_WINDOW; lost++)
            producer->hashes[lost % LEDGER_WINDOW] = LOST;
        seq = loss->last_seq;
        hash = loss->last_hash;
    }
    batch->producer = producer->entry->producer;
    batch->epoch = producer->entry->epoch;
    batch->seq = seq;
    batch->hash = hash;
    if (check_rows(ingest, who, message->user, batch, err))
        return POISE_ENOMEM;
    ingest->pool_bytes += batch->arena.used;
    if (!ring_push(ingest->options.to_writer, batch))
        return error_set(err, POISE_EFULL, "the writer's queue is smaller than the pool of batches");
    ingest->free_count--;
    epochs_settle(&ingest->epochs, producer);
    if (producer->forked_epoch)
        on_new_epoch(ingest, producer);
    uint64_t rows = batch->rows.rows > 0 ? batch->rows.rows : 1;
    producer->mean_rows = producer->mean_rows > 0 ? (7 * producer->mean_rows + rows + 7) / 8 : rows;
    producer->received_seq = producer->heard_seq = seq;
    producer->hashes[seq % LEDGER_WINDOW] = hash;
    producer->gap_told = false;
    stats_add(ingest->options.stats, STAT_batches_received, 1);
    stats_add(ingest->options.stats, STAT_rows_received, batch->rows.rows);
    if (batch->malformed)
        stats_add(ingest->options.stats, STAT_batches_malformed, 1);
    return POISE_OK;
}

static poise_code on_batch(struct ingest *ingest, const struct net_message *message, poise_error *err)
{
    uint64_t epoch, seq;
    struct producer *producer = epochs_of(&ingest->epochs, &message->peer);
    if (!producer)
        return error_set(err, POISE_ENOTFOUND,
                         "a batch came before HELLO on its connection; say HELLO first");
    ingest->producer = producer->entry->producer;
    if (!wire_peek_batch(message->body, message->body_length, &epoch, &seq) ||
        epoch != producer->entry->epoch)
        return error_set(err, POISE_EPROTO,
                         "a batch of '%s' has no sequence, or another epoch than its HELLO",
                         producer->entry->producer);
    const struct access_peer *who;
    poise_code code = check_producer(ingest, message->user, producer->entry->producer, &who, err);
    if (code)
        return code;
    uint64_t hash = wire_batch_hash(message->body, message->body_length);
    if (seq > producer->heard_seq + 1)
        on_gap(ingest, producer);
    else if (seq <= producer->received_seq)
        on_known(ingest, producer, message, seq, hash);
    else
        return take_batch(ingest, producer, message, who, seq, hash, err);
    return POISE_OK;
}

/* ---- SPOOL ---- */

static poise_code on_spool(struct ingest *ingest, const struct net_message *message, poise_error *err)
{
    struct wire_spool spool;
    const struct access_peer *who;
    struct producer *producer = epochs_of(&ingest->epochs, &message->peer);
    if (!producer)
        return error_set(err, POISE_ENOTFOUND, "SPOOL came before HELLO on its connection; say HELLO first");
    ingest->producer = producer->entry->producer;
    poise_code code = check_producer(ingest, message->user, producer->entry->producer, &who, err);
    if (!code)
        code = wire_decode_spool(message->body, message->body_length, &ingest->arena, &spool, err);
    if (!code)
        epochs_tell_spool(&ingest->epochs, producer, &spool, clock_monotonic_us(ingest->options.clock));
    return code;
}

/* ---- the step ---- */

static poise_code on_message(struct ingest *ingest, const struct net_message *message, poise_error *err)
{
    enum wire_kind kind;
    const struct access_peer *who;
    arena_reset(&ingest->arena);
    poise_code code = permits_find(&ingest->permits, message->user, &who, err);
    if (!code)
        code = wire_head_parse(message->head, message->head_length, &kind, err);
    if (code)
        return code;
    switch ((int)kind) {
    case WIRE_HELLO:
        return on_hello(ingest, message, err);
    case WIRE_BATCH:
        return on_batch(ingest, message, err);
    case WIRE_SPOOL:
        return on_spool(ingest, message, err);
    default:
        return error_set(err, POISE_EPROTO, "a message of kind %d does not belong on the ingest endpoint",
                         (int)kind);
    }
}

static void put_back(struct ingest *ingest, struct batch *batch)
{
    ingest->pool_bytes -= batch->arena.used;
    batch_reset(batch);
    ingest->free[ingest->free_count++] = batch;
}

/* One acknowledgement tells of all that came back of a producer. */
static poise_code on_committed(struct ingest *ingest, struct batch *batch, poise_error *err)
{
    struct producer *producer = ingest->owed; /* mostly it is the same one's */
    if (!producer || producer->entry->producer != batch->producer || producer->entry->epoch != batch->epoch)
        producer = epochs_find(&ingest->epochs, batch->producer, batch->epoch);
    bool known = producer && ledger_commit(producer->entry, batch->seq, batch->hash, batch->refused,
                                           batch->reasons, batch->refused_count);
    if (known)
        producer->on_disk = true;
    bool refused = batch->refused_count > 0;
    for (size_t i = 0; i < batch->refused_count; i++)
        stats_refused(ingest->options.stats, (poise_refusal)batch->reasons[i]);
    stats_add(ingest->options.stats, STAT_batches_acknowledged, 1);
    put_back(ingest, batch);
    if (!known)
        return error_nomem(err, "the refusals of a batch");
    if (ingest->owed != producer)
        send_owed(ingest);
    ingest->owed = producer;
    if (refused) /* the ledger keeps so many only */
        send_owed(ingest);
    return POISE_OK;
}

bool ingest_can_receive(const struct ingest *ingest)
{
    return ingest->free_count > 0 && ingest->pool_bytes < POOL_BYTES_MAX;
}

int64_t ingest_idle_ms(const struct ingest *ingest)
{
    return epochs_idle_ms(&ingest->epochs);
}

static poise_code receive(struct ingest *ingest, bool *ret_more, poise_error *err)
{
    struct net_message message = {0};
    poise_error problem = {0};
    renew_access(ingest);
    poise_code code = net_receive(ingest->options.socket, &message, &problem);
    *ret_more = code != POISE_ENOTFOUND;
    if (code == POISE_ENOTFOUND)
        return POISE_OK;
    if (!code)
        code = on_message(ingest, &message, &problem);
    if (code == POISE_ENOMEM || code == POISE_EIO) {
        if (err)
            *err = problem;
        return code;
    }
    if (code)
        send_error(ingest, &message.peer, message.user, &problem);
    ingest->producer = NULL;
    return POISE_OK;
}

poise_code ingest_step(struct ingest *ingest, poise_error *err)
{
    struct batch *batch;
    poise_code code = POISE_OK;
    renew_access(ingest);
    while (!code && (batch = ring_pop(ingest->options.from_writer)))
        code = on_committed(ingest, batch, err);
    send_owed(ingest);
    size_t free_before = ingest->free_count;
    bool more = true;
    for (int i = 0; !code && more && i < STEP_MESSAGES && ingest_can_receive(ingest); i++)
        code = receive(ingest, &more, err);
    epochs_count_spools(&ingest->epochs, clock_monotonic_us(ingest->options.clock));
    if (free_before > ingest->free_count)
        net_wake_up(ingest->options.writer_wake);
    if (free_before && !ingest_can_receive(ingest))
        stats_add(ingest->options.stats, STAT_pool_empty, 1);
    return code;
}

/* ---- life ---- */

poise_code ingest_open(const struct ingest_options *options, struct ledger *ledger,
                       struct ingest **ret_ingest, poise_error *err)
{
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (!ingest)
        return error_nomem(err, "ingest");
    ingest->options = *options;
    if (!options->max_batch_rows)
        ingest->options.max_batch_rows = WIRE_BATCH_ROWS_MAX;
    if (!options->max_batch_bytes)
        ingest->options.max_batch_bytes = WIRE_MESSAGE_MAX;
    if (!options->max_batch_symbols)
        ingest->options.max_batch_symbols = WIRE_SYMBOLS_MAX;
    ingest->permits =
        (struct permits){.socket = options->socket,
                         .endpoint = ACCESS_AT_INGEST,
                         .view.holder = options->access,
                         .refusals = {.log = options->log, .clock = options->clock, .stats = options->stats}};
    size_t each = options->max_producers_each;
    ingest->epochs = (struct epochs){.most = options->max_producers,
                                     .most_each = each ? each : (options->max_producers + 3) / 4,
                                     .stats = options->stats};
    poise_code code = epochs_open(&ingest->epochs, ledger, err);
    store_id(options->store, ingest->store_id);
    arena_init(&ingest->arena, WIRE_MESSAGE_MAX * 4);
    ingest->pool = calloc(options->pool, sizeof *ingest->pool);
    ingest->free = calloc(options->pool, sizeof *ingest->free);
    if (!code && (!ingest->pool || !ingest->free))
        code = error_nomem(err, "the pool of batches");
    if (code) {
        ingest_close(ingest);
        return code;
    }
    for (size_t i = 0; i < options->pool; i++)
        put_back(ingest, &ingest->pool[i]);
    *ret_ingest = ingest;
    return POISE_OK;
}

void ingest_close(struct ingest *ingest)
{
    if (!ingest)
        return;
    for (size_t i = 0; ingest->pool && i < ingest->options.pool; i++)
        batch_free(&ingest->pool[i]);
    permits_free(&ingest->permits);
    epochs_free(&ingest->epochs);
    arena_free(&ingest->arena);
    buf_free(&ingest->out);
    free(ingest->pool);
    free(ingest->free);
    free(ingest);
}
