#include "simulation.h"

#include <base/error.h>
#include <spool/spool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wire/wire.h>

struct sent {
    poise_measurement measurement;
    poise_refusal refusal; /* as journaled */
    bool journaled, told;
    bool dropped; /* with its batch: of those nobody is told */
};
/* What a number of the spool stands for. */
struct number {
    size_t first, rows; /* of the producer's rows */
    bool newest;        /* they were not taken */
    bool dropped;       /* they went, whether the aggregator had got them or not */
    bool lost;          /* the journal says so */
};
struct producer {
    char name[8], spool[128];
    poise_sender *sender;
    bool backfill;
    struct sent *rows; /* all that the sender took, but for what a crash took away again */
    size_t count;
    struct number *numbers; /* by sequence, from 1 on */
    size_t number_count;
    size_t spooled;                              /* rows that have a number */
    size_t newest;                               /* of these, dropped as such */
    bool dropped_oldest;                         /* some, once */
    size_t accepted_before, acknowledged_before; /* by senders that are closed */
    size_t journaled, lost;                      /* rows, likewise */
    uint64_t journaled_seq;
};

enum { SENT_MAX = 10000 };

static struct {
    struct producer all[PRODUCERS];
    bool wide;
    bool ending;         /* no more trouble */
    bool losing;         /* spools take nothing: a process that dies says no goodbye */
    struct producer *at; /* whose sender is at work */
} producers;

/* ---- the spool ---- */

/* The batch, or the loss in its place, that the spool has taken: the oldest of the rows without a number. */
static void note_number(uint64_t seq, size_t rows, bool newest)
{
    struct producer *producer = producers.at;
    assert_int_equal(seq, producer->number_count + 1);
    assert_true(seq < SENT_MAX && producer->spooled + rows <= producer->count);
    producer->numbers[++producer->number_count] =
        (struct number){.first = producer->spooled, .rows = rows, .newest = newest};
    producer->spooled += rows;
    producer->newest += newest ? rows : 0;
}

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
poise_code __real_spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash,
                               const void *mark, size_t mark_length, poise_error *err);
poise_code __wrap_spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash,
                               const void *mark, size_t mark_length, poise_error *err);
poise_code __real_spool_append_loss(struct spool *spool, const struct spool_loss *loss, const void *mark,
                                    size_t mark_length, poise_error *err);
poise_code __wrap_spool_append_loss(struct spool *spool, const struct spool_loss *loss, const void *mark,
                                    size_t mark_length, poise_error *err);

poise_code __wrap_spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash,
                               const void *mark, size_t mark_length, poise_error *err)
{
    struct cursor in = cursor_of(body, length);
    uint64_t seq = spool_next_seq(spool);
    if (producers.losing) {
        return error_set(err, POISE_EIO, "as the test wants");
    }
    poise_code code = __real_spool_append(spool, body, length, hash, mark, mark_length, err);
    if (code == POISE_OK && producers.at) {
        note_number(seq, cursor_u32(&in), false);
    }
    return code;
}

poise_code __wrap_spool_append_loss(struct spool *spool, const struct spool_loss *loss, const void *mark,
                                    size_t mark_length, poise_error *err)
{
    poise_code code = __real_spool_append_loss(spool, loss, mark, mark_length, err);
    if (code == POISE_OK && producers.at) {
        note_number(loss->first, (size_t)loss->rows, true);
    }
    return code;
}

void producer_steps_aside(void)
{
    producers.at = NULL;
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

static size_t acknowledged(const struct producer *producer)
{
    return producer->acknowledged_before + stats_of(producer).acknowledged;
}

static void check_stats(const struct producer *producer)
{
    assert_int_equal(producer->accepted_before + stats_of(producer).accepted,
                     producer->spooled - producer->newest);
    if (acknowledged(producer) > producer->journaled) {
        fail_msg("%s: %zu rows are acknowledged, %zu are journaled", producer->name, acknowledged(producer),
                 producer->journaled);
    }
}

static struct producer *producer_of(const char *name)
{
    size_t which = (size_t)(name[strlen(name) - 1] - '0');
    assert_true(which < PRODUCERS);
    assert_string_equal(name, producers.all[which].name);
    return &producers.all[which];
}

/* What the journal must go on with. */
static struct number *next_number(struct producer *producer, uint64_t seq)
{
    assert_int_equal(seq, producer->journaled_seq + 1);
    if (seq > producer->number_count) {
        fail_msg("%s: number %llu was journaled, %zu were given", producer->name, (unsigned long long)seq,
                 producer->number_count);
    }
    producer->journaled_seq = seq;
    return &producer->numbers[seq];
}

void producer_journaled(const char *name, uint64_t seq, const poise_measurement *rows,
                        const poise_refusal *refusals, size_t count)
{
    struct producer *producer = producer_of(name);
    const struct number *number = next_number(producer, seq);
    assert_false(number->newest);
    assert_int_equal(count, number->rows);
    for (size_t i = 0; i < count; i++) {
        struct sent *sent = &producer->rows[number->first + i];
        if (!measurement_same(&sent->measurement, &rows[i])) {
            fail_msg("%s: row %zu in the journal is another, of %s", name, number->first + i + 1,
                     rows[i].measure);
        }
        sent->refusal = refusals[i];
        sent->journaled = true;
    }
    producer->journaled += count;
}

/* The rows of a number that is lost, within the times that the loss names. */
static size_t lost_rows(const struct producer *producer, const struct number *number,
                        const struct wire_loss *loss)
{
    for (size_t i = 0; i < number->rows; i++) {
        const poise_measurement *row = &producer->rows[number->first + i].measurement;
        assert_true(row->retract || (row->time_ms >= loss->from_ms && row->time_ms <= loss->to_ms));
    }
    return number->rows;
}

void producer_lost(const char *name, uint64_t seq, const struct wire_loss *loss)
{
    struct producer *producer = producer_of(name);
    size_t rows = 0;
    for (; seq <= loss->last_seq; seq++) {
        struct number *number = next_number(producer, seq);
        assert_true(number->newest ? loss->reason == POISE_LOSS_NEWEST
                                   : number->dropped && loss->reason == POISE_LOSS_OLDEST);
        number->lost = true;
        rows += lost_rows(producer, number, loss);
    }
    assert_int_equal(rows, loss->rows);
    producer->lost += rows;
}

/* Of equal rows the first that was not told yet. */
static void told(struct producer *producer, const poise_refused *item)
{
    struct sent *found = NULL;
    for (size_t i = 0; i < producer->spooled; i++) {
        struct sent *sent = &producer->rows[i];
        if (sent->journaled && !sent->dropped && sent->refusal == item->reason &&
            measurement_same(&sent->measurement, &item->measurement)) {
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

/* Here: batches that went for want of room, of which the aggregator may have got some. */
static void on_lost(void *context, const poise_loss *loss, const char *aside)
{
    struct producer *producer = context;
    size_t rows = 0;
    assert_null(aside);
    assert_string_equal(loss->producer, producer->name);
    for (uint64_t seq = loss->first_seq; seq <= loss->last_seq; seq++) {
        assert_true(seq <= producer->number_count);
        struct number *number = &producer->numbers[seq];
        rows += number->dropped || (number->newest && loss->reason == POISE_LOSS_OLDEST) ? 0 : number->rows;
        number->dropped |= loss->reason == POISE_LOSS_OLDEST;
        for (size_t i = 0; i < number->rows; i++) {
            producer->rows[number->first + i].dropped |= number->dropped;
        }
    }
    producer->dropped_oldest |= loss->reason == POISE_LOSS_OLDEST;
    assert_int_equal(loss->rows, rows);
}

/* ---- life ---- */

static void open_sender(struct producer *producer)
{
    static const char *const routes[] = {"ipc://nowhere"}; /* it takes its turn with the one that answers */
    static const poise_when_full policies[] = {POISE_BLOCK, POISE_BLOCK, POISE_DROP_OLDEST,
                                               POISE_DROP_NEWEST};
    poise_when_full policy = policies[between(0, 3)];
    producers.at = producer;
    producer->backfill = one_in(3);
    const poise_sender_options options = {.endpoint = INGEST_ENDPOINT,
                                          .producer = producer->name,
                                          .spool = producer->spool,
                                          .spool_max_bytes = policy != POISE_BLOCK ? between(3000, 12000)
                                                             : one_in(3)           ? 20000
                                                                                   : 0,
                                          .when_full = policy,
                                          .routes = routes,
                                          .route_count = one_in(4),
                                          .batch_rows = (uint32_t)between(1, 12),
                                          .linger_ms = between(1, 200),
                                          .backfill = producer->backfill,
                                          .refused = on_refused,
                                          .lost = on_lost,
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
        producer->numbers = calloc(SENT_MAX, sizeof *producer->numbers);
        assert_true(producer->rows && producer->numbers);
        open_sender(producer);
    }
}

static void close_sender(struct producer *producer)
{
    producers.at = producer;
    producer->accepted_before = producer->spooled - producer->newest;
    producer->acknowledged_before = acknowledged(producer);
    producer->count = producer->spooled;
    poise_sender_close(producer->sender);
    producer->sender = NULL;
}

void producers_close(void)
{
    for (size_t i = 0; i < PRODUCERS; i++) {
        producers.at = &producers.all[i];
        poise_sender_close(producers.all[i].sender);
        free(producers.all[i].rows);
        free(producers.all[i].numbers);
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
    producers.at = producer;
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

bool producer_is_unheard(size_t which)
{
    const struct producer *producer = &producers.all[which];
    return producer->number_count > 0 && producer->numbers[producer->number_count].lost;
}

void producer_flush(size_t which)
{
    poise_error err = {0};
    producers.at = &producers.all[which];
    poise_code code = poise_sender_flush(producers.at->sender, &err);
    if (code != POISE_OK && code != POISE_EFULL) {
        fail_msg("flush: %s", err.text);
    }
}

void producer_step(size_t which)
{
    struct producer *producer = producers.at = &producers.all[which];
    poise_error err = {0};
    poise_code code = poise_sender_step(producer->sender, 0, &err);
    if (code != POISE_OK && code != POISE_EBUSY) {
        fail_msg("%s: %s", producer->name, err.text);
    }
    check_stats(producer);
}

void producer_end_backfill(size_t which)
{
    struct producer *producer = producers.at = &producers.all[which];
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
        done &= producer->spooled == producer->count && producer->journaled_seq == producer->number_count &&
                stats_of(producer).batches_left == 0;
    }
    return done;
}

/* What the aggregator has got, and what it was told that it never gets, is all. */
static void check_all(const struct producer *producer)
{
    assert_int_equal(producer->journaled + producer->lost, producer->count);
    if (!producer->dropped_oldest) {
        assert_int_equal(acknowledged(producer), producer->journaled);
    }
}

void producers_are_told(void)
{
    for (size_t i = 0; i < PRODUCERS; i++) {
        const struct producer *producer = &producers.all[i];
        check_all(producer);
        for (size_t seq = 1; seq <= producer->number_count; seq++) {
            const struct number *number = &producer->numbers[seq];
            for (size_t row = number->first; row < number->first + number->rows && !number->dropped; row++) {
                const struct sent *sent = &producer->rows[row];
                if (sent->refusal != POISE_REFUSAL_NONE && !sent->told) {
                    fail_msg("%s: row %zu was refused (%s) and nobody was told", producer->name, row + 1,
                             poise_refusal_name(sent->refusal));
                }
            }
        }
    }
}

uint64_t producers_tally(int64_t as_of_ms)
{
    uint64_t tally = 0;
    for (size_t i = 0; i < PRODUCERS; i++) {
        for (size_t row = 0; row < producers.all[i].count; row++) {
            const struct sent *sent = &producers.all[i].rows[row];
            tally += sent->journaled && sent->measurement.measure[0] == 'n' &&
                     sent->measurement.time_ms <= as_of_ms;
        }
    }
    return tally;
}

size_t producers_lost(void)
{
    size_t lost = 0;
    for (size_t i = 0; i < PRODUCERS; i++) {
        lost += producers.all[i].lost;
    }
    return lost;
}
