#include "sending.h"
#include <base/clock.h>
#include <base/error.h>
#include <base/file.h>
#include <base/hash.h>
#include <ctype.h>
#include <inttypes.h>
#include <poise/version.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 100000, STEP_MS = 200 };

/* Refusals come back in the order of sending, with the measurement but not its line: the lines of all that is
 * not yet acknowledged wait in a window, found again by a hash of the measurement. */
struct sending {
    poise_sender *sender;
    const char *name;
    const char *endpoint;
    char *spool;
    int64_t timeout_ms;
    bool backfill;
    uint64_t refused;
    size_t count, at; /* waiting lines, and how many of them refusals have gone past */
    struct waiting {
        uint64_t hash, line;
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
    hash = hash_mix(hash, (uint64_t)measurement->time_ms);
    hash = hash64(&measurement->value, sizeof measurement->value, hash);
    hash = hash64(&measurement->of, sizeof measurement->of, hash);
    return hash_mix(hash, measurement->seq * 2 + measurement->retract);
}

void sending_refuse(struct sending *sending, uint64_t line, const char *reason)
{
    sending->refused++;
    if (line > 0) {
        fprintf(stderr, "%s:%" PRIu64 ": refused: %s\n", sending->name, line, reason);
    } else {
        fprintf(stderr, "poise send: refused: %s\n", reason);
    }
}

static void note_refusal(struct sending *sending, const poise_measurement *measurement, poise_refusal reason)
{
    uint64_t hash = hash_of(measurement);
    for (size_t i = sending->at; i < sending->count; i++) {
        if (sending->waiting[i].hash == hash) {
            sending->at = i + 1;
            sending_refuse(sending, sending->waiting[i].line, poise_refusal_text(reason));
            return;
        }
    }
    fprintf(stderr, "poise send: refused, left from an earlier run: measure %s: %s\n", measurement->measure,
            poise_refusal_text(reason));
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
                                                 .context = sending};
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
    *ret_sending = sending;
    return POISE_OK;
}

void sending_close(struct sending *sending)
{
    if (sending) {
        poise_sender_close(sending->sender);
        free(sending->spool);
        free(sending);
    }
}

void sending_name(struct sending *sending, const char *name)
{
    sending->name = name;
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
        int64_t now_us = clock_monotonic_us(&clock_system);
        heard_us = stats.batches_left < left ? now_us : heard_us;
        left = stats.batches_left;
        if (code == POISE_OK && left > 0 && now_us - heard_us >= 1000 * sending->timeout_ms) {
            return error_set(
                err, POISE_ETIMEOUT,
                "%s %s; what was not acknowledged waits in %s and goes out with the next `poise send` there",
                sending->endpoint, stats.connected ? "acknowledges nothing" : "does not answer",
                sending->spool);
        }
    }
    sending->count = sending->at = 0;
    return code;
}

poise_code sending_end(struct sending *sending, poise_error *err)
{
    poise_code code = sending->backfill ? sending_wait(sending, err) : POISE_OK; /* so that there is room */
    if (code == POISE_OK && sending->backfill) {
        code = poise_sender_end_backfill(sending->sender, err);
    }
    return code == POISE_OK ? sending_wait(sending, err) : code;
}

poise_code sending_add(struct sending *sending, const poise_measurement *measurement, uint64_t line,
                       poise_error *err)
{
    poise_refusal reason = POISE_REFUSAL_NONE;
    poise_code code = sending->count == WINDOW ? sending_wait(sending, err) : POISE_OK;
    if (code != POISE_OK) {
        return code;
    }
    code = poise_send(sending->sender, measurement, &reason, err);
    if (code == POISE_EREFUSED) {
        sending_refuse(sending, line, poise_refusal_text(reason));
        return POISE_OK;
    }
    if (code == POISE_OK) {
        sending->waiting[sending->count++] = (struct waiting){.hash = hash_of(measurement), .line = line};
    }
    return code;
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
