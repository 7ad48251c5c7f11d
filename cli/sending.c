#include "sending.h"
#include <base/clock.h>
#include <base/error.h>
#include <base/file.h>
#include <base/hash.h>
#include <ctype.h>
#include <inttypes.h>
#include <model/measurement.h>
#include <poise/version.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 100000, STEP_MS = 200, STEP_ROWS = 2048 };

/* How many measurements were taken, and which: the spool's mark, that goes with the last of them. */
struct taken {
    uint64_t rows;
    uint64_t first, all; /* hashes of the first, and of all of them */
};
enum { MARK_VERSION = 1, MARK_BYTES = 7 + 3 * 8 };
static const char mark_name[] = "import"; /* 6 bytes, then the version */

/* Refusals come back in the order of sending, with the measurement but not its line: the lines of all that is
 * not yet acknowledged wait in a window, found again by a hash of the measurement. */
struct sending {
    poise_sender *sender;
    const char *verb, *name; /* of poise; of the file at hand */
    const char *endpoint;
    char *spool;
    int64_t timeout_ms;
    bool backfill, resumes, other;
    struct progress *progress;
    struct buf mark;
    struct taken taken, seen; /* by the run that was interrupted; by this one */
    uint64_t refused;
    size_t count, at; /* waiting lines, and how many of them refusals have gone past */
    struct waiting {
        uint64_t hash, line;
        const char *name; /* of the file */
    } waiting[WINDOW];
};

static uint64_t hash_text(const char *text, uint64_t seed)
{
    return text ? hash64(text, strlen(text) + 1, seed) : seed;
}

static uint64_t hash_of(const poise_measurement *measurement)
{
    uint64_t hash = hash_text(measurement->measure, 0);
    hash = hash_text(measurement->org && *measurement->org ? measurement->org : NULL, hash);
    hash = hash_text(measurement->source && *measurement->source ? measurement->source : NULL, hash);
    hash = hash_text(measurement->key, hash);
    if (!measurement->retract) { /* of a retraction they do not come back as they went */
        hash = hash_mix(hash, (uint64_t)measurement->time_ms);
        hash = hash64(&measurement->value, sizeof measurement->value, hash);
        hash = hash64(&measurement->of, sizeof measurement->of, hash);
    }
    return hash_mix(hash, measurement->seq * 2 + measurement->retract);
}

/* Counts and names a refused line. */
static void refuse(struct sending *sending, const char *name, uint64_t line, const char *reason)
{
    sending->refused++;
    if (sending->progress) {
        progress_hide(sending->progress);
    }
    if (line > 0) {
        fprintf(stderr, "%s:%" PRIu64 ": refused: %s\n", name, line, reason);
    } else {
        fprintf(stderr, "poise %s: refused: %s\n", sending->verb, reason);
    }
}

static void note_refusal(struct sending *sending, const poise_measurement *measurement, poise_refusal reason)
{
    uint64_t hash = hash_of(measurement);
    for (size_t i = sending->at; i < sending->count; i++) {
        if (sending->waiting[i].hash == hash) {
            sending->at = i + 1;
            refuse(sending, sending->waiting[i].name, sending->waiting[i].line, poise_refusal_text(reason));
            return;
        }
    }
    fprintf(stderr, "poise %s: refused, left from an earlier run: measure %s: %s\n", sending->verb,
            measurement->measure, poise_refusal_text(reason));
    sending->refused++;
}

/* What standard error does not take is counted all the same. */
static poise_code note_refusals(void *context, const poise_refused *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        note_refusal(context, &items[i].measurement, items[i].reason);
    }
    return POISE_OK;
}

/* ---- how far it has come ---- */

static void put_mark(const struct taken *taken, struct buf *out)
{
    buf_put(out, mark_name, sizeof mark_name - 1);
    buf_put_u8(out, MARK_VERSION);
    buf_put_u64(out, taken->rows);
    buf_put_u64(out, taken->first);
    buf_put_u64(out, taken->all);
}

/* A mark of another kind is none. */
static void read_mark(struct sending *sending)
{
    size_t length, name = sizeof mark_name - 1;
    const uint8_t *mark = poise_sender_mark(sending->sender, &length);
    if (!mark || length != MARK_BYTES || memcmp(mark, mark_name, name) != 0 || mark[name] != MARK_VERSION) {
        return;
    }
    struct cursor in = cursor_of(mark + name + 1, length - name - 1);
    sending->taken.rows = cursor_u64(&in);
    sending->taken.first = cursor_u64(&in);
    sending->taken.all = cursor_u64(&in);
}

static poise_code others(struct sending *sending, poise_error *err)
{
    sending->other = true;
    return error_set(
        err, POISE_ENOTFOUND,
        "these are not the measurements of the import that was interrupted in %s; with --anew they "
        "are sent from the first one on",
        sending->spool);
}

/* Counts a measurement; *ret_taken: by the run before. */
static poise_code look_at(struct sending *sending, uint64_t hash, bool *ret_taken, poise_error *err)
{
    struct taken *seen = &sending->seen, *taken = &sending->taken;
    seen->all = hash_mix(seen->all, hash);
    seen->first = seen->rows == 0 ? seen->all : seen->first;
    seen->rows++;
    if (seen->rows == 1 && seen->first != taken->first) {
        taken->rows = 0; /* another import */
    }
    if (seen->rows == taken->rows && seen->all != taken->all) {
        return others(sending, err);
    }
    *ret_taken = seen->rows <= taken->rows;
    return POISE_OK;
}

bool sending_is_other(const struct sending *sending)
{
    return sending->other;
}

uint64_t sending_taken(const struct sending *sending)
{
    return sending->taken.rows;
}

/* Every character that is none of an id's becomes '-'. */
static char *id_of(const char *prefix, const char *text)
{
    char *id = NULL;
    if (asprintf(&id, "%s%.*s", prefix, POISE_ID_MAX - 8, text) < 0) {
        return NULL;
    }
    for (char *at = id; *at; at++) {
        bool plain = isalnum((unsigned char)*at) || *at == '.' || *at == '_';
        *at = plain ? *at : '-';
    }
    return id;
}

static poise_code default_spool(const char *endpoint, char **ret_path, poise_error *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool given = state && *state == '/';
    if (!given && !(home && *home == '/')) {
        return error_set(err, POISE_ECONFIG, "there is no home directory for a spool; say --spool DIR");
    }
    char *id = id_of("", endpoint), *path = NULL;
    int length = !id     ? -1
                 : given ? asprintf(&path, "%s/poise/spool/%s", state, id)
                         : asprintf(&path, "%s/.local/state/poise/spool/%s", home, id);
    free(id);
    if (length < 0) {
        return error_nomem(err, "the spool's path");
    }
    *ret_path = path;
    return POISE_OK;
}

static poise_code default_producer(char **ret_name, poise_error *err)
{
    char host[64] = "";
    if (gethostname(host, sizeof host - 1) != 0) {
        return error_errno(err, POISE_EIO, "asking for the host's name");
    }
    *ret_name = id_of("cli-", host);
    return *ret_name ? POISE_OK : error_nomem(err, "the producer's name");
}

static void warn_of_loss(void *context, const poise_loss *loss, const char *aside)
{
    const struct sending *sending = context;
    if (loss->reason == POISE_LOSS_FORKED) {
        fprintf(stderr,
                "poise %s: %" PRIu64
                " measurements of the spool %s may have been sent by another copy of it, or "
                "not: they are not sent again, and the aggregator is told (poise losses)\n",
                sending->verb, loss->rows, sending->spool);
        return;
    }
    fprintf(stderr,
            "poise %s: the disk has damaged batches %" PRIu64 " to %" PRIu64 " of the spool %s; %s has "
            "them as they are, and the aggregator is told (poise losses)\n",
            sending->verb, loss->first_seq, loss->last_seq, sending->spool, aside ? aside : sending->spool);
}

static void warn_of_fork(void *context, const poise_fork *fork)
{
    const struct sending *sending = context;
    fprintf(stderr,
            "poise %s: another copy of the spool %s has sent other measurements: this one goes on by itself, "
            "under epoch %016" PRIx64 "\n",
            sending->verb, sending->spool, fork->new_epoch);
}

/* Another `poise send` may have the spool for a moment. */
static poise_code open_sender(struct sending *sending, const struct sending_options *options,
                              const char *producer, poise_error *err)
{
    const poise_sender_options sender_options = {.endpoint = options->endpoint,
                                                 .producer = producer,
                                                 .spool = sending->spool,
                                                 .insecure = options->insecure,
                                                 .backfill = options->backfill,
                                                 .software = "poise " POISE_VERSION_TEXT,
                                                 .refused = note_refusals,
                                                 .lost = warn_of_loss,
                                                 .forked = warn_of_fork,
                                                 .routes = options->given + 1,
                                                 .route_count =
                                                     options->given_count > 0 ? options->given_count - 1 : 0,
                                                 .context = sending,
                                                 .key_file = options->keys.file,
                                                 .server_key = options->keys.server};
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t deadline_us = clock_monotonic_us(&clock_system) + 1000 * options->timeout_ms;
    poise_code code = poise_sender_open(&sender_options, &sending->sender, err);
    while (code == POISE_EBUSY && clock_monotonic_us(&clock_system) < deadline_us) {
        nanosleep(&pause, NULL);
        code = poise_sender_open(&sender_options, &sending->sender, err);
    }
    return code;
}

poise_code sending_open(const struct sending_options *options, struct sending **ret_sending, poise_error *err)
{
    struct sending *sending = calloc(1, sizeof *sending);
    char *producer = NULL;
    if (!sending) {
        return error_nomem(err, "the lines on their way");
    }
    sending->verb = options->verb;
    sending->resumes = options->resumes;
    sending->progress = options->progress;
    sending->endpoint = options->endpoint;
    sending->timeout_ms = options->timeout_ms;
    sending->backfill = options->backfill;
    poise_code code = POISE_OK;
    if (!options->spool) {
        code = default_spool(options->endpoint, &sending->spool, err);
    } else if (!(sending->spool = strdup(options->spool))) {
        code = error_nomem(err, "the spool's path");
    }
    if (code == POISE_OK) {
        code = file_make_dirs(sending->spool, err);
    }
    if (code == POISE_OK && !options->producer) {
        code = default_producer(&producer, err);
    }
    if (code == POISE_OK) {
        code = open_sender(sending, options, options->producer ? options->producer : producer, err);
    }
    free(producer);
    if (code != POISE_OK) {
        sending_close(sending);
        return code;
    }
    if (options->resumes && !options->anew) {
        read_mark(sending);
    }
    *ret_sending = sending;
    return POISE_OK;
}

void sending_close(struct sending *sending)
{
    if (sending) {
        poise_sender_close(sending->sender);
        buf_free(&sending->mark);
        free(sending->spool);
        free(sending);
    }
}

static void look(struct sending *sending, const poise_sender_stats *stats)
{
    if (sending->progress) {
        sending->progress->acknowledged = stats->acknowledged;
        progress_look(sending->progress);
    }
}

poise_code sending_wait(struct sending *sending, poise_error *err)
{
    poise_sender_stats stats;
    poise_code code = poise_sender_flush(sending->sender, err);
    poise_sender_get_stats(sending->sender, &stats);
    uint64_t left = stats.batches_left;
    int64_t heard_us = clock_monotonic_us(&clock_system);
    while (code == POISE_OK && stats.batches_left > 0) {
        code = poise_sender_step(sending->sender, STEP_MS, err);
        poise_sender_get_stats(sending->sender, &stats);
        look(sending, &stats);
        int64_t now_us = clock_monotonic_us(&clock_system);
        heard_us = stats.batches_left < left ? now_us : heard_us;
        left = stats.batches_left;
        if (code == POISE_OK && left > 0 && now_us - heard_us >= 1000 * sending->timeout_ms) {
            const char *trouble = poise_sender_trouble(sending->sender);
            return error_set(err, POISE_ETIMEOUT,
                             "%s %s%s%s; what was not acknowledged waits in %s and goes out with the next "
                             "`poise %s` there",
                             sending->endpoint, stats.connected ? "acknowledges nothing" : "does not answer",
                             trouble[0] ? ": " : "", trouble, sending->spool, sending->verb);
        }
    }
    sending->count = sending->at = 0;
    return code;
}

poise_code sending_end(struct sending *sending, poise_error *err)
{
    if (sending->seen.rows < sending->taken.rows) {
        return others(sending, err);
    }
    poise_code code = sending->backfill ? sending_wait(sending, err) : POISE_OK; /* so that there is room */
    if (code == POISE_OK && sending->backfill) {
        code = poise_sender_end_backfill(sending->sender, err);
    }
    if (code == POISE_OK) {
        code = sending_wait(sending, err);
    }
    if (code == POISE_OK && sending->resumes) { /* the next run begins with its first one */
        static const struct taken nothing;
        struct buf mark = {0};
        put_mark(&nothing, &mark);
        code = mark.failed ? error_nomem(err, "a mark")
                           : poise_send_together(sending->sender, NULL, 0, mark.data, mark.length, err);
        buf_free(&mark);
    }
    return code == POISE_OK && sending->resumes ? poise_sender_flush(sending->sender, err) : code;
}

/* Into the batch, with the mark where there is one. */
static poise_code take(struct sending *sending, const poise_measurement *measurement, poise_error *err)
{
    if (!sending->resumes) {
        return poise_send(sending->sender, measurement, NULL, err);
    }
    buf_reset(&sending->mark);
    put_mark(&sending->seen, &sending->mark);
    return sending->mark.failed ? error_nomem(err, "a mark")
                                : poise_send_together(sending->sender, measurement, 1, sending->mark.data,
                                                      sending->mark.length, err);
}

poise_code sending_add(struct sending *sending, const poise_measurement *measurement, uint64_t line,
                       poise_error *err)
{
    bool taken = false;
    uint64_t hash = hash_of(measurement);
    poise_code code = look_at(sending, hash, &taken, err);
    if (code == POISE_OK && sending->count == WINDOW) {
        code = sending_wait(sending, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    poise_refusal reason = measurement_check(measurement);
    if (reason != POISE_REFUSAL_NONE) {
        refuse(sending, sending->name, line, poise_refusal_text(reason));
        return POISE_OK;
    }
    code = taken ? POISE_OK : take(sending, measurement, err);
    if (code == POISE_OK && !taken) {
        sending->waiting[sending->count++] = (struct waiting){hash, line, sending->name};
    }
    return code;
}

/* Now and then: sends what is ready without waiting, and shows how far it is. */
static poise_code keep_moving(struct sending *sending, const struct rows *rows, uint64_t done_before,
                              poise_error *err)
{
    poise_sender_stats stats;
    poise_code code = poise_sender_step(sending->sender, 0, err);
    poise_sender_get_stats(sending->sender, &stats);
    if (sending->progress) {
        uint64_t done, total;
        rows_progress(rows, &done, &total);
        sending->progress->done = done_before + done;
        sending->progress->rows = sending->seen.rows;
    }
    look(sending, &stats);
    return code;
}

/* ---- a file ---- */

static poise_measurement measurement_of(const struct row *row, struct row_texts *texts)
{
    row_texts_of(row, texts);
    return (poise_measurement){.measure = texts->measure,
                               .org = texts->org,
                               .source = texts->source,
                               .key = row->key.length > 0 ? texts->key : NULL,
                               .time_ms = row->time_ms,
                               .value = row->value,
                               .of = row->of,
                               .seq = row->seq,
                               .retract = row->retract};
}

poise_code sending_rows(struct sending *sending, struct rows *rows, poise_error *err)
{
    struct row row;
    struct row_texts texts;
    poise_code code;
    uint64_t done_before = sending->progress ? sending->progress->done : 0, count = 0;
    sending->name = rows_name(rows);
    for (bool more = true; (code = rows_next(rows, &row, &more, err)) == POISE_OK && more;) {
        if (++count % STEP_ROWS == 0 && (code = keep_moving(sending, rows, done_before, err)) != POISE_OK) {
            break;
        }
        if (!row.readable) {
            refuse(sending, sending->name, row.line, row.problem);
            continue;
        }
        const poise_measurement measurement = measurement_of(&row, &texts);
        code = sending_add(sending, &measurement, row.line, err);
        if (code != POISE_OK) {
            break;
        }
    }
    return code == POISE_OK ? keep_moving(sending, rows, done_before, err) : code;
}

bool sending_summary(const struct sending *sending, FILE *out)
{
    poise_sender_stats stats;
    poise_sender_get_stats(sending->sender, &stats);
    fprintf(out, "%" PRIu64 " counted, %" PRIu64 " refused", stats.acknowledged - stats.refused,
            sending->refused);
    if (stats.batches_left > 0) {
        fprintf(out, ", %" PRIu64 " batches not acknowledged", stats.batches_left);
    }
    fputc('\n', out);
    return sending->refused > 0;
}
