#include "aggregator.h"

#include "access.h"
#include "backup.h"
#include "compactor.h"
#include "connections.h"
#include "gatekeeper.h"
#include "ingest.h"
#include "stream.h"
#include "writer.h"
#include <base/error.h>
#include <errno.h>
#include <net/keys.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CHANGES_QUEUE = 1024, COMPACTOR_NICE = 10, STOP_LOOK_MS = 100 };

/* A part in its thread: takes turns until it is told to stop or fails. */
struct worker {
    struct aggregator *aggregator;
    enum aggregator_part part;
    pthread_t thread;
    bool running;
    _Atomic bool stop;
    poise_error error;
};

struct aggregator {
    const struct config *config;
    const struct log *log;
    const struct clock *clock;
    struct stats stats;
    struct store *store;
    struct net *net;
    struct net_socket *ingest_socket, *query_socket;
    struct connections producers, askers; /* of these */
    struct net_wake *wakes[PARTS], *main_wake;
    struct access_holder access; /* where has_access */
    bool has_access;
    struct gatekeeper *gatekeeper; /* NULL: nothing is locked */
    struct ring to_writer, to_ingest, to_stream, to_inquirer, from_inquirer, to_restate, restated, to_backup,
        backed_up, pieces;
    _Atomic uint64_t pieces_put;
    struct compactor *compactor;
    struct ingest *ingest;
    struct writer *writer;
    struct stream *stream;
    struct rows_memory memory; /* the inquirer's */
    struct worker workers[PARTS];
    _Atomic bool failed;
};

/* ---- turns ---- */

static poise_code wait_for(struct net_wait socket, struct net_wake *wake, int64_t timeout_ms,
                           poise_error *err)
{
    struct net_wait items[2] = {{.wake = wake, .fd = -1}, socket};
    poise_code code = net_wait(items, socket.socket ? 2 : 1, timeout_ms, err);
    net_wake_clear(wake);
    return code;
}

static const struct net_wait no_socket = {.fd = -1};

static poise_code turn_ingest(struct aggregator *a, poise_error *err)
{
    const struct net_wait socket = {
        .socket = a->ingest_socket, .fd = -1, .aside = !ingest_can_receive(a->ingest)};
    poise_code code = wait_for(socket, a->wakes[PART_INGEST], ingest_idle_ms(a->ingest), err);
    connections_note(&a->producers);
    return code ? code : ingest_step(a->ingest, err);
}

static poise_code turn_writer(struct aggregator *a, poise_error *err)
{
    int64_t idle_ms = writer_idle_ms(a->writer);
    poise_code code = idle_ms ? wait_for(no_socket, a->wakes[PART_WRITER], idle_ms, err) : POISE_OK;
    return code ? code : writer_step(a->writer, err);
}

static poise_code turn_committer(struct aggregator *a, poise_error *err)
{
    poise_code code = wait_for(no_socket, a->wakes[PART_COMMITTER], -1, err);
    if (!code)
        writer_commit(a->writer);
    return code;
}

static poise_code turn_stream(struct aggregator *a, poise_error *err)
{
    const struct net_wait socket = {.socket = a->query_socket, .fd = -1};
    poise_code code = wait_for(socket, a->wakes[PART_STREAM], stream_idle_ms(a->stream), err);
    connections_note(&a->askers);
    return code ? code : stream_step(a->stream, err);
}

static poise_code turn_inquirer(struct aggregator *a, poise_error *err)
{
    const _Atomic bool *stop = &a->workers[PART_INQUIRER].stop;
    struct inquirer_options options = {.max_bytes = (size_t)a->config->max_answer,
                                       .store = a->store,
                                       .cards = (const struct scorecard *const *)a->config->cards,
                                       .card_count = a->config->card_count,
                                       .stop = stop,
                                       .memory = &a->memory};
    struct inquiry *inquiry;
    poise_code code = wait_for(no_socket, a->wakes[PART_INQUIRER], -1, err);
    while (!code && !*stop && (inquiry = ring_pop(&a->to_inquirer))) {
        bool answered = inquiry_answer(&options, inquiry);
        if (!ring_push(answered ? &a->from_inquirer : &a->to_restate, inquiry))
            code =
                error_set(err, POISE_EFULL, "the queue of answers is smaller than the number of questions");
        net_wake_up(a->wakes[answered ? PART_STREAM : PART_WRITER]);
    }
    return code;
}

static poise_code turn_backup(struct aggregator *a, poise_error *err)
{
    const _Atomic bool *stop = &a->workers[PART_BACKUP].stop;
    const struct backup_writer backup = {.store = a->store,
                                         .directory = a->config->backups,
                                         .free_bytes = a->config->free_bytes,
                                         .stats = &a->stats,
                                         .log = a->log,
                                         .clock = a->clock,
                                         .stop = stop};
    struct inquiry *inquiry;
    poise_code code = wait_for(no_socket, a->wakes[PART_BACKUP], -1, err);
    while (!code && !*stop && (inquiry = ring_pop(&a->to_backup))) {
        backup_answer(&backup, inquiry);
        if (!ring_push(&a->backed_up, inquiry))
            code = error_set(err, POISE_EFULL, "the queue of answers is smaller than the number of orders");
        net_wake_up(a->wakes[PART_STREAM]);
    }
    return code;
}

static poise_code turn_compactor(struct aggregator *a, poise_error *err)
{
    int64_t idle_ms = compactor_idle_ms(a->compactor);
    poise_code code = idle_ms ? wait_for(no_socket, a->wakes[PART_COMPACTOR], idle_ms, err) : POISE_OK;
    if (!code && !a->workers[PART_COMPACTOR].stop)
        compactor_step(a->compactor);
    return code;
}

poise_code aggregator_turn(struct aggregator *a, enum aggregator_part part, poise_error *err)
{
    static poise_code (*const turns[PARTS])(struct aggregator *, poise_error *) = {
        [PART_INGEST] = turn_ingest,      [PART_WRITER] = turn_writer,     [PART_COMMITTER] = turn_committer,
        [PART_STREAM] = turn_stream,      [PART_INQUIRER] = turn_inquirer, [PART_BACKUP] = turn_backup,
        [PART_COMPACTOR] = turn_compactor};
    return turns[part](a, err);
}

static poise_code finish_writer(struct aggregator *a, poise_error *err)
{
    poise_code code = POISE_OK;
    while (!code && !a->failed && writer_commits(a->writer))
        code = wait_for(no_socket, a->wakes[PART_WRITER], STOP_LOOK_MS, err);
    return code || writer_commits(a->writer) ? code : writer_finish(a->writer, err);
}

/* What a part still has to do when it was told to stop. */
static poise_code finish(struct aggregator *a, enum aggregator_part part, poise_error *err)
{
    if (part == PART_WRITER)
        return finish_writer(a, err);
    return part == PART_STREAM ? stream_step(a->stream, err) : POISE_OK;
}

/* ---- the threads ---- */

static void *work(void *context)
{
    struct worker *worker = context;
    struct aggregator *a = worker->aggregator;
    poise_code code = POISE_OK;
    if (worker->part == PART_COMPACTOR)
        (void)setpriority(PRIO_PROCESS, 0, COMPACTOR_NICE); /* of this thread; without it only slower */
    while (!code && !worker->stop)
        code = aggregator_turn(a, worker->part, &worker->error);
    if (!code)
        code = finish(a, worker->part, &worker->error);
    worker->error.code = code;
    if (code)
        a->failed = true;
    net_wake_up(a->main_wake);
    return NULL;
}

static void stop_worker(struct aggregator *a, enum aggregator_part part)
{
    struct worker *worker = &a->workers[part];
    if (!worker->running)
        return;
    worker->stop = true;
    net_wake_up(a->wakes[part]);
    pthread_join(worker->thread, NULL);
    worker->running = false;
}

static poise_code start_workers(struct aggregator *a, poise_error *err)
{
    static const char *const names[PARTS] = {
        [PART_INGEST] = "ingest",      [PART_WRITER] = "writer",     [PART_COMMITTER] = "committer",
        [PART_STREAM] = "stream",      [PART_INQUIRER] = "inquirer", [PART_BACKUP] = "backup",
        [PART_COMPACTOR] = "compactor"};
    for (int i = PARTS - 1; i >= 0; i--) { /* takers before givers */
        struct worker *worker = &a->workers[i];
        worker->aggregator = a;
        worker->part = (enum aggregator_part)i;
        errno = pthread_create(&worker->thread, NULL, work, worker);
        if (errno)
            return error_errno(err, POISE_EIO, "starting a thread");
        worker->running = true;
        (void)pthread_setname_np(worker->thread, names[i]); /* for top and perf */
    }
    return POISE_OK;
}

/* Those who serve others look at what has come in force at once. */
static void reload(struct aggregator *a, int reload_fd)
{
    struct signalfd_siginfo signals;
    while (read(reload_fd, &signals, sizeof signals) > 0) /* several are as good as one */
        ;
    if (!a->gatekeeper) {
        log_event(a->log, LOG_INFO, "nothing_reloaded",
                  log_text("reason",
                           "the configuration names no authorisation file (access), and nothing else "
                           "is read again: for that end this and start it again"));
        return;
    }
    if (gatekeeper_reload(a->gatekeeper)) {
        net_wake_up(a->wakes[PART_INGEST]);
        net_wake_up(a->wakes[PART_STREAM]);
    }
}

/* What is left for this thread: who is let in, and signals. */
static poise_code watch(struct aggregator *a, int stop_fd, int reload_fd, poise_error *err)
{
    struct net_wait items[] = {{.wake = a->main_wake, .fd = -1},
                               {.fd = stop_fd},
                               {.fd = reload_fd},
                               {.zap = a->gatekeeper ? gatekeeper_zap(a->gatekeeper) : NULL, .fd = -1}};
    poise_code code = POISE_OK;
    while (!code && !a->failed && !items[1].ready) {
        code = net_wait(items, sizeof items / sizeof items[0], -1, err);
        if (!code && items[2].ready)
            reload(a, reload_fd);
        if (!code && a->gatekeeper)
            code = gatekeeper_step(a->gatekeeper, err);
    }
    return code;
}

poise_code aggregator_run(struct aggregator *a, int stop_fd, int reload_fd, poise_error *err)
{
    poise_code code = start_workers(a, err);
    if (!code)
        code = watch(a, stop_fd, reload_fd, err);
    for (int i = 0; i < PARTS;
         i++) /* givers before takers, so that nothing that was taken in is left behind */
        stop_worker(a, (enum aggregator_part)i);
    for (int i = 0; !code && i < PARTS; i++) {
        code = a->workers[i].error.code;
        if (code && err)
            *err = a->workers[i].error;
    }
    return code;
}

/* ---- opening and closing ---- */

static poise_code open_store(struct aggregator *a, poise_error *err)
{
    struct store_options options = {.path = a->config->store,
                                    .map_bytes = a->config->map_bytes,
                                    .free_bytes = a->config->free_bytes,
                                    .journal_bytes = a->config->journal_bytes};
    if (getrandom(options.new_id, sizeof options.new_id, 0) != sizeof options.new_id ||
        getrandom(&options.new_incarnation, sizeof options.new_incarnation, 0) !=
            sizeof options.new_incarnation)
        return error_errno(err, POISE_EIO, "random numbers for a new store");
    return store_open(&options, &a->store, err);
}

static poise_code open_queues(struct aggregator *a, poise_error *err)
{
    size_t pool = (size_t)a->config->pool;
    if (!ring_init(&a->to_writer, pool) || !ring_init(&a->to_ingest, pool) ||
        !ring_init(&a->to_stream, CHANGES_QUEUE) || !ring_init(&a->to_inquirer, INQUIRIES_MAX) ||
        !ring_init(&a->from_inquirer, INQUIRIES_MAX) || !ring_init(&a->to_restate, INQUIRIES_MAX) ||
        !ring_init(&a->restated, INQUIRIES_MAX) || !ring_init(&a->to_backup, INQUIRIES_MAX) ||
        !ring_init(&a->backed_up, INQUIRIES_MAX) || !ring_init(&a->pieces, PIECES))
        return error_nomem(err, "the queues between threads");
    poise_code code = net_wake_open(&a->main_wake, err);
    for (int i = 0; !code && i < PARTS; i++)
        code = net_wake_open(&a->wakes[i], err);
    return code;
}

static poise_code open_writer(struct aggregator *a, poise_error *err)
{
    uint8_t id[16];
    struct writer_options options = {.cards = (const struct scorecard *const *)a->config->cards,
                                     .card_count = a->config->card_count,
                                     .store = a->store,
                                     .directory = a->config->store,
                                     .from_ingest = &a->to_writer,
                                     .to_ingest = &a->to_ingest,
                                     .to_stream = &a->to_stream,
                                     .to_restate = &a->to_restate,
                                     .restated = &a->restated,
                                     .pieces = &a->pieces,
                                     .pieces_put = &a->pieces_put,
                                     .ingest_wake = a->wakes[PART_INGEST],
                                     .stream_wake = a->wakes[PART_STREAM],
                                     .compactor_wake = a->wakes[PART_COMPACTOR],
                                     .committer_wake = a->wakes[PART_COMMITTER],
                                     .writer_wake = a->wakes[PART_WRITER],
                                     .stats = &a->stats,
                                     .log = a->log,
                                     .clock = a->clock,
                                     .event_clock = a->config->clock == 1,
                                     .settle_ms = a->config->settle_ms,
                                     .checkpoint_ms = a->config->checkpoint_ms,
                                     .silent_after_ms = a->config->silent_after_ms,
                                     .max_orgs = (size_t)a->config->max_orgs,
                                     .max_series = (size_t)a->config->max_series,
                                     .max_cells = (size_t)a->config->max_cells};
    store_id(a->store, id);
    memcpy(&options.hash_seed, id, sizeof options.hash_seed);
    return writer_open(&options, &a->writer, err);
}

/* Who may use an endpoint; NULL: whoever reaches it. */
static struct access_holder *locks(struct aggregator *a, const char *endpoint)
{
    return a->gatekeeper && net_is_tcp(endpoint) ? &a->access : NULL;
}

static poise_code open_ingest(struct aggregator *a, poise_error *err)
{
    struct ledger ledger = {0};
    struct ingest_options options = {.socket = a->ingest_socket,
                                     .access = locks(a, a->config->ingest),
                                     .clock = a->clock,
                                     .to_writer = &a->to_writer,
                                     .from_writer = &a->to_ingest,
                                     .writer_wake = a->wakes[PART_WRITER],
                                     .stats = &a->stats,
                                     .log = a->log,
                                     .store = a->store,
                                     .pool = (size_t)a->config->pool,
                                     .credit = (uint32_t)a->config->credit,
                                     .max_producers = (size_t)a->config->max_producers,
                                     .max_producers_each = (size_t)a->config->max_producers_each,
                                     .max_batch_rows = (uint32_t)a->config->max_batch_rows,
                                     .max_batch_bytes = (uint32_t)a->config->max_batch_bytes,
                                     .max_batch_symbols = (uint32_t)a->config->max_batch_symbols};
    poise_code code = writer_ledger(a->writer, &ledger, err);
    if (!code)
        code = ingest_open(&options, &ledger, &a->ingest, err);
    ledger_free(&ledger);
    return code;
}

static poise_code open_stream(struct aggregator *a, poise_error *err)
{
    struct stream_options options = {.socket = a->query_socket,
                                     .access = locks(a, a->config->query),
                                     .directory = a->config->store,
                                     .from_writer = &a->to_stream,
                                     .to_inquirer = &a->to_inquirer,
                                     .from_inquirer = &a->from_inquirer,
                                     .restated = &a->restated,
                                     .to_backup = a->config->backups ? &a->to_backup : NULL,
                                     .backed_up = &a->backed_up,
                                     .inquirer_wake = a->wakes[PART_INQUIRER],
                                     .backup_wake = a->wakes[PART_BACKUP],
                                     .cards = (const struct scorecard *const *)a->config->cards,
                                     .card_count = a->config->card_count,
                                     .store = a->store,
                                     .stats = &a->stats,
                                     .log = a->log,
                                     .clock = a->clock,
                                     .max_subscriptions = (size_t)a->config->max_subscriptions,
                                     .max_subscriptions_each = (size_t)a->config->max_subscriptions_each,
                                     .max_questions = (size_t)a->config->max_questions,
                                     .max_questions_each = (size_t)a->config->max_questions_each};
    return stream_open(&options, &a->stream, err);
}

static poise_code open_compactor(struct aggregator *a, poise_error *err)
{
    const struct compactor_options options = {.store = a->store,
                                              .directory = a->config->store,
                                              .to_writer = &a->pieces,
                                              .put = &a->pieces_put,
                                              .writer_wake = a->wakes[PART_WRITER],
                                              .stats = &a->stats,
                                              .log = a->log,
                                              .clock = a->clock,
                                              .stop = &a->workers[PART_COMPACTOR].stop,
                                              .bytes = a->config->compact_bytes,
                                              .after_ms = a->config->compact_after_ms};
    return compactor_open(&options, &a->compactor, err);
}

static poise_code open_gatekeeper(struct aggregator *a, struct net_keys *keys, poise_error *err)
{
    struct gatekeeper_options options = {.net = a->net,
                                         .path = a->config->access,
                                         .holder = &a->access,
                                         .store = a->config->store,
                                         .stats = &a->stats,
                                         .log = a->log,
                                         .clock = a->clock};
    poise_code code = keys_read(a->config->key, keys, err);
    if (code)
        return code;
    a->has_access = access_holder_init(&a->access);
    if (!a->has_access)
        return error_nomem(err, "who may do what");
    return gatekeeper_open(&options, &a->gatekeeper, err);
}

static poise_code bind_sockets(struct aggregator *a, const struct net_keys *keys, poise_error *err)
{
    const struct config *config = a->config;
    struct net_curve ingest_curve = {.domain = ACCESS_AT_INGEST}, query_curve = {.domain = ACCESS_AT_QUERY};
    struct net_limits limits = {.max_message = WIRE_MESSAGE_MAX,
                                .max_connections = (size_t)config->max_connections,
                                .max_queued = config->max_queued,
                                .max_handshakes = (size_t)config->max_handshakes,
                                .handshake_ms = (int)config->handshake_ms};
    struct net_limits ingest_limits = limits;
    limits.max_message = config->max_request;
    ingest_limits.send_hwm = INGEST_SEND_HWM;
    if (keys) {
        ingest_curve.own = query_curve.own = *keys;
        ingest_limits.curve = &ingest_curve;
        limits.curve = &query_curve;
    }
    poise_code code =
        net_bind(a->net, config->ingest, config->insecure, &ingest_limits, &a->ingest_socket, err);
    if (!code)
        code = net_bind(a->net, config->query, config->insecure, &limits, &a->query_socket, err);
    a->producers = (struct connections){.socket = a->ingest_socket,
                                        .open = STAT_ingest_connections,
                                        .stats = &a->stats,
                                        .log = a->log,
                                        .clock = a->clock};
    a->askers = (struct connections){.socket = a->query_socket,
                                     .open = STAT_query_connections,
                                     .stats = &a->stats,
                                     .log = a->log,
                                     .clock = a->clock};
    explicit_bzero(&ingest_curve, sizeof ingest_curve);
    explicit_bzero(&query_curve, sizeof query_curve);
    return code;
}

static poise_code open_sockets(struct aggregator *a, poise_error *err)
{
    struct net_keys keys;
    bool locked = a->config->key && a->config->access;
    poise_code code = net_open(1, &a->net, err);
    if (!code && locked)
        code = open_gatekeeper(a, &keys, err);
    if (!code)
        code = bind_sockets(a, locked ? &keys : NULL, err);
    explicit_bzero(&keys, sizeof keys);
    return code;
}

poise_code aggregator_open(const struct config *config, const struct log *log, const struct clock *clock,
                           struct aggregator **ret_aggregator, poise_error *err)
{
    struct aggregator *a = calloc(1, sizeof *a);
    if (!a)
        return error_nomem(err, "the aggregator");
    a->config = config;
    a->log = log;
    a->clock = clock;
    poise_code code = open_store(a, err);
    if (!code)
        code = open_queues(a, err);
    if (!code)
        code = open_writer(a, err);
    if (!code)
        code = open_sockets(a, err); /* nobody is let in before the state is back */
    if (!code)
        code = open_ingest(a, err);
    if (!code)
        code = open_stream(a, err);
    if (!code)
        code = open_compactor(a, err);
    if (code) {
        aggregator_close(a);
        return code;
    }
    *ret_aggregator = a;
    return POISE_OK;
}

void aggregator_close(struct aggregator *a)
{
    if (!a)
        return;
    compactor_close(a->compactor);
    stream_close(a->stream);
    ingest_close(a->ingest);
    net_socket_close(a->query_socket);
    net_socket_close(a->ingest_socket);
    gatekeeper_close(a->gatekeeper);
    net_close(a->net);
    if (a->has_access)
        access_holder_free(&a->access);
    writer_close(a->writer);
    for (int i = 0; i < PARTS; i++)
        net_wake_close(a->wakes[i]);
    net_wake_close(a->main_wake);
    rows_memory_free(&a->memory);
    struct changes *changes; /* left by a writer that opened before a stream could */
    while (a->to_stream.slots && (changes = ring_pop(&a->to_stream)))
        changes_free(changes);
    struct piece *piece;
    while (a->pieces.slots && (piece = ring_pop(&a->pieces)))
        piece_free(piece);
    ring_free(&a->pieces);
    ring_free(&a->to_writer);
    ring_free(&a->to_ingest);
    ring_free(&a->to_stream);
    ring_free(&a->to_inquirer);
    ring_free(&a->from_inquirer);
    ring_free(&a->to_restate);
    ring_free(&a->restated);
    ring_free(&a->to_backup);
    ring_free(&a->backed_up);
    store_close(a->store);
    free(a);
}

const char *aggregator_ingest_endpoint(const struct aggregator *a)
{
    return net_endpoint(a->ingest_socket);
}

const char *aggregator_query_endpoint(const struct aggregator *a)
{
    return net_endpoint(a->query_socket);
}
