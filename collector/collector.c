#include <base/clock.h>
#include <base/error.h>
#include <collector/collector.h>
#include <collector/complaints.h>
#include <collector/letters.h>
#include <collector/numbers.h>
#include <collector/replay.h>
#include <collector/source.h>
#include <errno.h>
#include <inttypes.h>
#include <poise/client.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
    ROUND_ROWS = 1000, /* of a source before the next has its turn */
    STEP_MS = 20,      /* waiting for acknowledgements, unless rows wait */
    IDLE_MS = 100,     /* between two looks at files that grow */
    PROGRESS_US = 200000,
    DENIED_US = 60000000, /* between two lines about the same reason */
    FULL_US = 1000000,    /* of waiting for room, that nobody need hear of */
    ARENA_MAX = 1 << 20   /* of one row */
};

struct collector {
    const struct collector_options *options;
    poise_sender *sender;
    struct letters *letters;
    struct replay replay;
    struct source *sources[CONFIG_SOURCES_MAX]; /* NULL: at its end */
    size_t source_count, open_count;
    struct positions positions; /* behind the last row that is dealt with */
    struct buf mark;
    bool unmarked; /* positions went on without a measurement to carry them */
    struct arena scratch;
    struct complaints complaints;
    struct collector_summary summary;
    poise_error failure; /* of a callback; code POISE_OK: none */
    poise_code denied;   /* why the aggregator took nothing, and when the log said so */
    int64_t denied_us;
    char trouble[256]; /* that keeps us from a connection, as the log said it, and when */
    int64_t trouble_us;
    int64_t full_us; /* when the log said that reading waits for room in the spool; 0: not yet */
    int64_t progress_us;
    struct numbers numbers;
};

static bool is_stopped(struct collector *collector)
{
    struct pollfd stop = {.fd = collector->options->stop_fd, .events = POLLIN};
    collector->summary.stopped = collector->summary.stopped || (stop.fd >= 0 && poll(&stop, 1, 0) > 0);
    return collector->summary.stopped;
}

/* ---- what was refused ---- */

static poise_code put_letter(struct collector *collector, const struct letter *letter, poise_error *err)
{
    poise_code code = letters_put(collector->letters, clock_wall_ms(collector->options->clock), letter, err);
    collector->summary.letters += code == POISE_OK;
    return code;
}

static poise_code refuse_record(struct collector *collector, const struct source_record *record,
                                enum row_fault fault, const char *reason, poise_error *err)
{
    struct letter letter = {.reason = reason,
                            .measurement = record->measurement,
                            .file = record->file,
                            .header = record->header,
                            .row = record->raw,
                            .row_length = record->raw_length,
                            .cut = record->cut,
                            .line = record->line,
                            .offset = record->offset,
                            .inode = record->inode};
    collector->summary.rows_refused++;
    complain(&collector->complaints, collector->options->log, record, fault, reason);
    if (record->foreign) {
        collector->summary.letters++;
        return letters_put_line(collector->letters, record->raw, record->raw_length, err);
    }
    return put_letter(collector, &letter, err);
}

/* By the aggregator; the spool forgets them only when their letters are safe. */
static poise_code on_refused(void *context, const poise_refused *items, size_t count)
{
    struct collector *collector = context;
    poise_error *failure = &collector->failure;
    poise_code code = POISE_OK;
    for (size_t i = 0; i < count && code == POISE_OK; i++) {
        char reason[POISE_ERROR_TEXT_MAX];
        snprintf(reason, sizeof reason, "%s: %s", poise_refusal_name(items[i].reason),
                 poise_refusal_text(items[i].reason));
        struct letter letter = {.reason = reason, .measurement = &items[i].measurement};
        complain_measurement(&collector->complaints, collector->options->log, letter.measurement, reason);
        code = put_letter(collector, &letter, failure);
    }
    return code == POISE_OK ? letters_sync(collector->letters, failure) : code;
}

/* Rows that are gone were counted as sent. */
static void on_lost(void *context, const poise_loss *loss, const char *aside)
{
    struct collector *collector = context;
    char rows[24] = "unknown";
    if (loss->rows > 0) {
        snprintf(rows, sizeof rows, "%" PRIu64, loss->rows);
    }
    collector->summary.losses++;
    const char *event = loss->reason == POISE_LOSS_FORKED ? "spool copied"
                        : aside                           ? "spool damaged"
                                                          : "spool full";
    log_event(collector->options->log, LOG_WARN, event, log_text("lost", poise_loss_text(loss->reason)),
              log_int("first", (int64_t)loss->first_seq), log_int("last", (int64_t)loss->last_seq),
              log_text("measurements", rows), log_text("kept", aside ? aside : "no"));
}

/* What follows goes under another epoch, and the aggregator counts it beside what the other copy sends. */
static void on_forked(void *context, const poise_fork *fork)
{
    const struct collector *collector = context;
    char old[24], fresh[24];
    snprintf(old, sizeof old, "%016" PRIx64, fork->epoch);
    snprintf(fresh, sizeof fresh, "%016" PRIx64, fork->new_epoch);
    log_event(collector->options->log, LOG_WARN,
              "fork: the spool was copied or restored, and another copy has sent; this one goes on by itself",
              log_text("epoch", old), log_text("goes_on_as", fresh),
              log_int("batches", (int64_t)fork->batches), log_int("in_doubt", (int64_t)fork->doubtful));
}

/* ---- what is told ---- */

static void look_at_numbers(struct collector *collector)
{
    poise_sender_stats stats;
    poise_sender_get_stats(collector->sender, &stats);
    numbers_look(&collector->numbers, &stats, &collector->summary);
}

static void show_progress(struct collector *collector, bool last)
{
    look_at_numbers(collector);
    FILE *out = collector->options->progress;
    int64_t now_us = clock_monotonic_us(collector->options->clock);
    if (!out || (!last && now_us - collector->progress_us < PROGRESS_US)) {
        return;
    }
    poise_sender_stats stats;
    poise_sender_get_stats(collector->sender, &stats);
    collector->progress_us = now_us;
    fprintf(out, "\r%llu rows, %llu measurements sent, %llu acknowledged%s\033[K%s",
            (unsigned long long)collector->summary.rows, (unsigned long long)collector->summary.sent,
            (unsigned long long)stats.acknowledged, stats.connected ? "" : ", waiting for the aggregator",
            last ? "\n" : "");
    fflush(out);
}

/* ---- sending ---- */

/* The aggregator and this spool do not go together, for now. */
static bool is_denial(poise_code code)
{
    switch (code) {
    case POISE_EPROTO:
    case POISE_EVERSION:
    case POISE_EDENIED:
    case POISE_ELIMIT:
    case POISE_EFORK:
    case POISE_EGAP:
    case POISE_ESTORE:
        return true;
    default:
        return false;
    }
}

static void report_denial(struct collector *collector, const poise_error *denial)
{
    int64_t now_us = clock_monotonic_us(collector->options->clock);
    if (denial->code != collector->denied || now_us - collector->denied_us >= DENIED_US) {
        log_event(collector->options->log, LOG_ERROR,
                  denial->code == POISE_EFULL
                      ? "the disk of the spool is full: it is tried again"
                      : "the aggregator takes nothing: rows gather in the spool, it is asked again",
                  log_text("reason", denial->text));
        collector->denied = denial->code;
        collector->denied_us = now_us;
    }
}

/* Why there is no connection: once, when it changes, and now and then. */
static void report_trouble(struct collector *collector)
{
    const char *trouble = poise_sender_trouble(collector->sender);
    int64_t now_us = clock_monotonic_us(collector->options->clock);
    bool same = strcmp(trouble, collector->trouble) == 0;
    if (same && (!trouble[0] || now_us - collector->trouble_us < DENIED_US)) {
        return;
    }
    snprintf(collector->trouble, sizeof collector->trouble, "%s", trouble);
    collector->trouble_us = now_us;
    if (trouble[0]) {
        log_event(
            collector->options->log, LOG_WARN, "no connection: rows gather in the spool, it is tried again",
            log_text("aggregator", collector->options->config->aggregator), log_text("reason", trouble));
    }
}

/* A denial ends only a run that has an end: to one that follows its sources an aggregator that is to be
 * mended is as good as one that is away, and what comes on standard input meanwhile would be lost. */
static poise_code step(struct collector *collector, int64_t timeout_ms, poise_error *err)
{
    poise_error problem = {0};
    poise_code code = poise_sender_step(collector->sender, timeout_ms, &problem);
    if (collector->failure.code != POISE_OK) {
        problem = collector->failure;
        code = problem.code;
    } else if (!collector->options->once && (is_denial(code) || code == POISE_EFULL)) {
        report_denial(collector, &problem);
        code = POISE_OK;
    }
    report_trouble(collector);
    return code == POISE_OK ? letters_sync(collector->letters, err)
                            : error_set(err, code, "%s", problem.text);
}

static poise_code make_mark(struct collector *collector, poise_error *err)
{
    buf_reset(&collector->mark);
    positions_encode(&collector->positions, &collector->mark);
    return collector->mark.failed ? error_nomem(err, "positions") : letters_sync(collector->letters, err);
}

/* ETIMEOUT: that was too long for an aggregator that does not acknowledge. */
static poise_code check_patience(const struct collector *collector, int64_t since_us, poise_error *err)
{
    const struct collector_options *options = collector->options;
    if (options->timeout_ms == 0 ||
        clock_monotonic_us(options->clock) - since_us <= options->timeout_ms * 1000) {
        return POISE_OK;
    }
    poise_sender_stats stats;
    poise_sender_get_stats(collector->sender, &stats);
    const char *trouble = poise_sender_trouble(collector->sender);
    return error_set(err, POISE_ETIMEOUT,
                     "%s has not acknowledged all in time%s%s; batches that wait in %s: %llu",
                     options->config->aggregator, trouble[0] ? ": " : "", trouble, options->config->spool,
                     (unsigned long long)stats.batches_left);
}

/* Acknowledgements make room, or whoever sees to the disk. ECLOSED: stopped. */
static poise_code wait_for_room(struct collector *collector, const char *full, int64_t since_us,
                                poise_error *err)
{
    int64_t now_us = clock_monotonic_us(collector->options->clock);
    if (is_stopped(collector)) {
        return POISE_ECLOSED;
    }
    if (now_us - since_us >= FULL_US &&
        (collector->full_us == 0 || now_us - collector->full_us >= DENIED_US)) {
        log_event(collector->options->log, LOG_WARN,
                  "the spool is full: sources are not read until there is room", log_text("reason", full));
        collector->full_us = now_us;
    }
    poise_code code = collector->options->once ? check_patience(collector, since_us, err) : POISE_OK;
    code = code == POISE_OK ? step(collector, IDLE_MS, err) : code;
    show_progress(collector, false);
    return code;
}

/* All measurements of a row, and the position behind it, into one batch. ECLOSED: stopped before there was
 * room. */
static poise_code send_row(struct collector *collector, const struct mapped *mapped,
                           const struct position *position, poise_error *err)
{
    struct positions before = collector->positions;
    int64_t since_us = clock_monotonic_us(collector->options->clock);
    if (position) {
        positions_set(&collector->positions, position);
    }
    poise_error full = {0};
    poise_code code = make_mark(collector, err);
    while (code == POISE_OK) {
        code = poise_send_together(collector->sender, mapped->items, mapped->count, collector->mark.data,
                                   collector->mark.length, &full);
        if (code != POISE_EFULL) {
            code = code == POISE_OK ? code : error_set(err, code, "%s", full.text);
            break;
        }
        code = wait_for_room(collector, full.text, since_us, err);
    }
    if (code != POISE_OK) {
        collector->positions = before;
        return code;
    }
    collector->summary.sent += mapped->count;
    collector->unmarked = false;
    return POISE_OK;
}

/* A row that sends nothing is dealt with: its position goes along with what is sent next. */
static void pass_row(struct collector *collector, const struct position *position)
{
    if (position) {
        positions_set(&collector->positions, position);
        collector->unmarked = true;
    }
}

/* Closes the open batch, and notes positions that no batch carried. EFULL: later. */
static poise_code flush(struct collector *collector, poise_error *err)
{
    poise_code code = POISE_OK;
    if (collector->unmarked) {
        code = make_mark(collector, err);
    }
    if (code == POISE_OK && collector->unmarked) {
        code = poise_send_together(collector->sender, NULL, 0, collector->mark.data, collector->mark.length,
                                   err);
    }
    if (code == POISE_OK) {
        collector->unmarked = false;
        code = poise_sender_flush(collector->sender, err);
    }
    return code;
}

/* ---- reading ---- */

static poise_code take_record(struct collector *collector, const struct source_record *record,
                              const struct position *position, poise_error *err)
{
    struct mapped mapped;
    enum row_fault fault;
    poise_error reason;
    poise_code code = source_map(record, &collector->scratch, &mapped, &fault, &reason);
    if (code == POISE_EREFUSED) {
        pass_row(collector, position);
        code = refuse_record(collector, record, fault, reason.text, err);
    } else if (code != POISE_OK) {
        return error_set(err, code, "%s", reason.text);
    } else if (mapped.count == 0) {
        pass_row(collector, position);
        collector->summary.rows_skipped++;
    } else {
        code = send_row(collector, &mapped, position, err);
    }
    if (code == POISE_OK) {
        collector->summary.rows++;
    }
    return code;
}

/* Some rows of a source; *ret_any: there were some. */
static poise_code read_some(struct collector *collector, size_t index, bool *ret_any, poise_error *err)
{
    struct source *source = collector->sources[index];
    for (size_t i = 0; i < ROUND_ROWS; i++) {
        struct source_record record;
        struct position position;
        poise_code code = source->ops->next(source, &record, err);
        if (code == POISE_ENOTFOUND) {
            return POISE_OK;
        }
        if (code == POISE_ECLOSED) {
            source_close(source);
            collector->sources[index] = NULL;
            collector->open_count--;
            return POISE_OK;
        }
        if (code == POISE_OK) {
            *ret_any = true;
            bool known = source->ops->position(source, &position);
            code = take_record(collector, &record, known ? &position : NULL, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

/* ---- the loop ---- */

/* Until a source that can say so has more, or it is time to look. */
static void wait_for_more(const struct collector *collector)
{
    struct pollfd fds[CONFIG_SOURCES_MAX + 1];
    nfds_t count = 0;
    fds[count++] = (struct pollfd){.fd = collector->options->stop_fd, .events = POLLIN};
    for (size_t i = 0; i < collector->source_count; i++) {
        const struct source *source = collector->sources[i];
        if (source) {
            fds[count++] = (struct pollfd){.fd = source->ops->wait_fd(source), .events = POLLIN};
        }
    }
    poll(fds, count, IDLE_MS); /* should it fail: it is a pause that is left out */
}

/* Nothing to read: see to what is on its way. */
static poise_code idle(struct collector *collector, poise_error *err)
{
    complaints_sum_up(&collector->complaints, collector->options->log, false);
    poise_code code = collector->unmarked ? flush(collector, err) : POISE_OK;
    if (code == POISE_OK || code == POISE_EFULL) {
        code = step(collector, STEP_MS, err);
    }
    poise_sender_stats stats;
    poise_sender_get_stats(collector->sender, &stats);
    if (code == POISE_OK && stats.batches_left == 0) {
        wait_for_more(collector);
    }
    return code;
}

static poise_code read_all(struct collector *collector, poise_error *err)
{
    while (collector->open_count > 0 && !is_stopped(collector)) {
        bool any = false;
        for (size_t i = 0; i < collector->source_count; i++) {
            poise_code code = collector->sources[i] ? read_some(collector, i, &any, err) : POISE_OK;
            if (code != POISE_OK) {
                return code == POISE_ECLOSED ? POISE_OK : code; /* stopped while the spool was full */
            }
        }
        poise_code code = any || collector->open_count == 0 ? step(collector, 0, err) : idle(collector, err);
        if (code != POISE_OK) {
            return code;
        }
        show_progress(collector, false);
    }
    return POISE_OK;
}

/* Into the spool with the rest, and, unless stopped, to the aggregator. */
static poise_code finish(struct collector *collector, poise_error *err)
{
    const struct collector_options *options = collector->options;
    int64_t started_us = clock_monotonic_us(options->clock);
    poise_sender_stats stats;
    for (;;) {
        poise_code code = flush(collector, err);
        poise_sender_get_stats(collector->sender, &stats);
        if (is_stopped(collector) && code == POISE_EFULL) {
            log_event(options->log, LOG_WARN,
                      "the spool is full: the last rows of files are read again by the next run");
            return POISE_OK;
        }
        if (is_stopped(collector) || (code == POISE_OK && stats.batches_left == 0)) {
            return code;
        }
        if (code != POISE_OK && code != POISE_EFULL) {
            return code;
        }
        code = check_patience(collector, started_us, err);
        code = code == POISE_OK ? step(collector, IDLE_MS, err) : code;
        if (code != POISE_OK) {
            return code;
        }
        show_progress(collector, false);
    }
}

/* ---- start and end ---- */

static poise_code open_sender(struct collector *collector, poise_error *err)
{
    const struct collector_config *config = collector->options->config;
    const poise_sender_options options = {.endpoint = config->aggregator,
                                          .producer = config->producer,
                                          .spool = config->spool,
                                          .spool_max_bytes = config->spool_max,
                                          .keep_acked_ms = config->keep_acked_ms,
                                          .batch_rows = (uint32_t)config->batch_rows,
                                          .linger_ms = config->linger_ms,
                                          .insecure = config->insecure,
                                          .backfill = collector->options->backfill,
                                          .software = "poise-collector",
                                          .refused = on_refused,
                                          .lost = on_lost,
                                          .forked = on_forked,
                                          .when_full = config->when_full,
                                          .routes = config->routes.items,
                                          .route_count = config->routes.count,
                                          .context = collector,
                                          .key_file = config->key,
                                          .server_key = config->server_key};
    size_t length;
    poise_code code = poise_sender_open(&options, &collector->sender, err);
    const void *mark = code == POISE_OK ? poise_sender_mark(collector->sender, &length) : NULL;
    return mark ? positions_decode(mark, length, &collector->positions, err) : code;
}

static poise_code add_source(struct collector *collector, poise_code code, struct source *source)
{
    if (code == POISE_OK) {
        collector->sources[collector->source_count++] = source;
        collector->open_count++;
    }
    return code;
}

static poise_code open_sources(struct collector *collector, poise_error *err)
{
    const struct collector_options *options = collector->options;
    static const struct positions none;
    struct source_options how = {.once = options->once,
                                 .known = options->from_start ? &none : &collector->positions,
                                 .log = options->log};
    struct source *source = NULL;
    poise_code code = POISE_OK;
    if (options->replay) {
        code = replay_begin(&collector->replay, options->config->dead_letters, options->log, err);
        if (code != POISE_OK || !collector->replay.active) {
            return code;
        }
        code = source_letters_open(collector->replay.path, options->config, &how, &source, err);
        return add_source(collector, code, source);
    }
    for (size_t i = 0; i < options->config->source_count && code == POISE_OK; i++) {
        code = source_csv_open(&options->config->sources[i], &how, &source, err);
        code = add_source(collector, code, source);
    }
    return code;
}

static poise_code run(struct collector *collector, poise_error *err)
{
    const struct collector_options *options = collector->options;
    poise_code code = letters_open(options->config->dead_letters, &collector->letters, err);
    if (code == POISE_OK) {
        code = open_sender(collector, err);
    }
    if (code == POISE_OK) {
        code = open_sources(collector, err);
    }
    if (code == POISE_OK) {
        code = read_all(collector, err);
    }
    if (code == POISE_OK) {
        code = finish(collector, err);
    }
    if (code == POISE_OK && options->backfill &&
        !collector->summary.stopped) { /* else the next run goes on with it */
        code = poise_sender_end_backfill(collector->sender, err);
        code = code == POISE_OK ? finish(collector, err) : code;
    }
    if (code == POISE_OK) {
        show_progress(collector, true);
    }
    /* Unless it was stopped every letter is safe, in the spool or as a new letter. */
    if (code == POISE_OK && collector->replay.active && !collector->summary.stopped) {
        code = replay_end(&collector->replay, err);
    }
    return code;
}

static void close_all(struct collector *collector)
{
    for (size_t i = 0; i < collector->source_count; i++) {
        source_close(collector->sources[i]);
    }
    poise_sender_close(collector->sender);
    letters_close(collector->letters);
    buf_free(&collector->mark);
    arena_free(&collector->scratch);
}

poise_code collector_run(const struct collector_options *options, struct collector_summary *ret_summary,
                         poise_error *err)
{
    struct collector collector = {.options = options};
    int64_t started_us = clock_monotonic_us(options->clock);
    arena_init(&collector.scratch, ARENA_MAX);
    numbers_open(&collector.numbers, options->config->numbers, options->log, options->clock);
    poise_code code = run(&collector, err);
    complaints_sum_up(&collector.complaints, options->log, true);
    if (collector.sender) {
        poise_sender_stats stats;
        poise_sender_get_stats(collector.sender, &stats);
        collector.summary.acknowledged = stats.acknowledged;
        collector.summary.refused = stats.refused;
        collector.summary.lost = stats.lost;
        collector.summary.batches_left = stats.batches_left;
        numbers_close(&collector.numbers, &stats, &collector.summary);
    }
    collector.summary.seconds = (double)(clock_monotonic_us(options->clock) - started_us) / 1e6;
    close_all(&collector);
    *ret_summary = collector.summary;
    return code;
}
