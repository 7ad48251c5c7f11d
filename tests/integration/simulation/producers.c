#include "simulation.h"

#include <base/error.h>
#include <spool/spool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sent {
    poise_measurement measurement;
    poise_refusal refusal; /* as journaled */
    bool told;
};
struct producer {
    char name[8], spool[128];
    poise_sender *sender;
    bool backfill;
    struct sent *rows; /* all that the sender took, but for what a crash took away again */
    size_t count;
    size_t accepted_before, acknowledged_before; /* by senders that are closed */
    size_t journaled;
    uint64_t journaled_seq;
};

enum { SENT_MAX = 10000 };

static struct {
    struct producer all[PRODUCERS];
    bool wide;
    bool ending; /* no more trouble */
    bool losing; /* spools take nothing: a process that dies says no goodbye */
} producers;

/* ---- the spool ---- */

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
poise_code __real_spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash,
                               const void *mark, size_t mark_length, poise_error *err);
poise_code __wrap_spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash,
                               const void *mark, size_t mark_length, poise_error *err);

poise_code __wrap_spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash,
                               const void *mark, size_t mark_length, poise_error *err)
{
    return producers.losing ? error_set(err, POISE_EIO, "as the test wants")
                            : __real_spool_append(spool, body, length, hash, mark, mark_length, err);
}

/* ---- what becomes of rows ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

bool measurement_same(const poise_measurement *a, const poise_measurement *b)
{
    bool names = same_text(a->measure, b->measure) && same_text(a->org, b->org) &&
                 same_text(a->source, b->source) && same_text(a->key, b->key);
    bool numbers = a->time_ms == b->time_ms && a->value == b->value && a->of == b->of;
    return names && a->seq == b->seq && a->retract == b->retract && (a->retract || numbers);
}

static poise_sender_stats stats_of(const struct producer *producer)
{
    poise_sender_stats stats = {0};
    if (producer->sender) {
        poise_sender_get_stats(producer->sender, &stats);
    }
    return stats;
}

static size_t accepted(const struct producer *producer)
{
    return producer->accepted_before + stats_of(producer).accepted;
}

static size_t acknowledged(const struct producer *producer)
{
    return producer->acknowledged_before + stats_of(producer).acknowledged;
}

void producer_journaled(const char *name, uint64_t seq, const poise_measurement *rows,
                        const poise_refusal *refusals, size_t count)
{
    size_t which = (size_t)(name[strlen(name) - 1] - '0');
    assert_true(which < PRODUCERS);
    struct producer *producer = &producers.all[which];
    assert_string_equal(name, producer->name);
    assert_int_equal(seq, producer->journaled_seq + 1);
    producer->journaled_seq = seq;
    for (size_t i = 0; i < count; i++) {
        if (producer->journaled >= accepted(producer)) {
            fail_msg("%s: row %zu was journaled, %zu were accepted", name, producer->journaled + 1,
                     accepted(producer));
        }
        struct sent *sent = &producer->rows[producer->journaled++];
        if (!measurement_same(&sent->measurement, &rows[i])) {
            fail_msg("%s: row %zu in the journal is another, of %s", name, producer->journaled,
                     rows[i].measure);
        }
        sent->refusal = refusals[i];
    }
}

/* Of equal rows the first that was not told yet. */
static void told(struct producer *producer, const poise_refused *item)
{
    struct sent *found = NULL;
    for (size_t i = 0; i < producer->journaled; i++) {
        struct sent *sent = &producer->rows[i];
        if (sent->refusal == item->reason && measurement_same(&sent->measurement, &item->measurement)) {
            found = !found || (found->told && !sent->told) ? sent : found;
        }
    }
    if (!found) {
        fail_msg("%s was told that a row of %s was refused (%s), which the journal does not say",
                 producer->name, item->measurement.measure, poise_refusal_name(item->reason));
    }
    found->told = true;
}

static poise_code on_refused(void *context, const poise_refused *items, size_t count)
{
    if (!producers.ending && one_in(4)) {
        return POISE_EBUSY; /* a veto: it is told again */
    }
    for (size_t i = 0; i < count; i++) {
        told(context, &items[i]);
    }
    return POISE_OK;
}

/* ---- life ---- */

static void open_sender(struct producer *producer)
{
    producer->backfill = one_in(3);
    const poise_sender_options options = {.endpoint = INGEST_ENDPOINT,
                                          .producer = producer->name,
                                          .spool = producer->spool,
                                          .spool_max_bytes = one_in(3) ? 20000 : 0,
                                          .batch_rows = (uint32_t)between(1, 12),
                                          .linger_ms = between(1, 200),
                                          .backfill = producer->backfill,
                                          .refused = on_refused,
                                          .context = producer};
    poise_error err = {0};
    if (poise_sender_open(&options, &producer->sender, &err) != POISE_OK) {
        fail_msg("%s: %s", producer->name, err.text);
    }
}

void producers_open(const char *directory, bool wide)
{
    memset(&producers, 0, sizeof producers);
    producers.wide = wide;
    for (size_t i = 0; i < PRODUCERS; i++) {
        struct producer *producer = &producers.all[i];
        snprintf(producer->name, sizeof producer->name, "p-%zu", i);
        snprintf(producer->spool, sizeof producer->spool, "%s/spool-%zu", directory, i);
        producer->rows = calloc(SENT_MAX, sizeof *producer->rows);
        assert_non_null(producer->rows);
        open_sender(producer);
    }
}

static void close_sender(struct producer *producer)
{
    producer->accepted_before = accepted(producer);
    producer->acknowledged_before = acknowledged(producer);
    producer->count = producer->accepted_before;
    poise_sender_close(producer->sender);
    producer->sender = NULL;
}

void producers_close(void)
{
    for (size_t i = 0; i < PRODUCERS; i++) {
        poise_sender_close(producers.all[i].sender);
        free(producers.all[i].rows);
    }
    memset(&producers, 0, sizeof producers);
}

void producer_crash(size_t which)
{
    struct producer *producer = &producers.all[which];
    producers.losing = true;
    close_sender(producer);
    producers.losing = false;
    open_sender(producer);
}

void producer_reopen(size_t which)
{
    producer_flush(which); /* where the spool is full, what is left is lost with the sender */
    producer_crash(which);
}

/* ---- sending ---- */

static void take(struct producer *producer, const poise_measurement *measurement)
{
    poise_error err = {0};
    poise_refusal reason;
    assert_true(producer->count < SENT_MAX);
    producer->rows[producer->count++] = (struct sent){.measurement = *measurement}; /* a send may accept it */
    poise_code code = poise_send(producer->sender, measurement, &reason, &err);
    if (code == POISE_EREFUSED || code == POISE_EFULL) {
        producer->count--;
    } else if (code != POISE_OK) {
        fail_msg("%s: %s", producer->name, err.text);
    }
}

void producer_send(size_t which)
{
    for (int64_t left = between(1, 8); left > 0; left--) {
        poise_measurement row = one_in(6) ? tally_row() : random_row(producers.wide);
        take(&producers.all[which], &row);
        if (one_in(10)) {
            take(&producers.all[which], &row); /* a duplicate, where it has a key and seq */
        }
    }
}

void producer_say_goodbye(size_t which)
{
    const poise_measurement row = tally_row();
    producers.ending = true;
    producer_end_backfill(which);
    take(&producers.all[which], &row);
}

void producer_flush(size_t which)
{
    poise_error err = {0};
    poise_code code = poise_sender_flush(producers.all[which].sender, &err);
    if (code != POISE_OK && code != POISE_EFULL) {
        fail_msg("flush: %s", err.text);
    }
}

void producer_step(size_t which)
{
    struct producer *producer = &producers.all[which];
    poise_error err = {0};
    poise_code code = poise_sender_step(producer->sender, 0, &err);
    if (code != POISE_OK && code != POISE_EBUSY) {
        fail_msg("%s: %s", producer->name, err.text);
    }
    if (acknowledged(producer) > producer->journaled) {
        fail_msg("%s: %zu rows are acknowledged, %zu are journaled", producer->name, acknowledged(producer),
                 producer->journaled);
    }
}

void producer_end_backfill(size_t which)
{
    struct producer *producer = &producers.all[which];
    if (producer->backfill) {
        poise_code code = poise_sender_end_backfill(producer->sender, NULL);
        assert_true(code == POISE_OK || code == POISE_EFULL);
        producer->backfill = code != POISE_OK;
    }
}

/* ---- at the end ---- */

bool producers_done(void)
{
    bool done = true;
    for (size_t i = 0; i < PRODUCERS; i++) {
        const struct producer *producer = &producers.all[i];
        done &= acknowledged(producer) == producer->count && accepted(producer) == producer->count &&
                stats_of(producer).batches_left == 0;
    }
    return done;
}

void producers_are_told(void)
{
    for (size_t i = 0; i < PRODUCERS; i++) {
        const struct producer *producer = &producers.all[i];
        assert_int_equal(producer->journaled, producer->count);
        for (size_t row = 0; row < producer->count; row++) {
            if (producer->rows[row].refusal != POISE_REFUSAL_NONE && !producer->rows[row].told) {
                fail_msg("%s: row %zu was refused (%s) and nobody was told", producer->name, row + 1,
                         poise_refusal_name(producer->rows[row].refusal));
            }
        }
    }
}

uint64_t producers_tally(int64_t as_of_ms)
{
    uint64_t tally = 0;
    for (size_t i = 0; i < PRODUCERS; i++) {
        for (size_t row = 0; row < producers.all[i].count; row++) {
            const poise_measurement *sent = &producers.all[i].rows[row].measurement;
            tally += sent->measure[0] == 'n' && sent->time_ms <= as_of_ms;
        }
    }
    return tally;
}
