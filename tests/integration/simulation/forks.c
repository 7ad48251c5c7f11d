#include "simulation.h"

#include <base/error.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COPIES = 3, ROWS_MAX = 2000, FORKS_MAX = 5 };

/* A measurement; each has a time of its own, by which it is known. */
struct fate {
    bool counted;
    size_t told; /* as in doubt, or dropped, by some copy */
};

static struct {
    struct {
        poise_sender *sender;
        char spool[128];
    } copies[COPIES];
    struct fate rows[ROWS_MAX];
    size_t copy_count, row_count, copied, told, lost;
    bool small; /* spools, which drop the oldest */
} forks;

/* ---- what becomes of rows ---- */

static struct fate *fate_of(const poise_measurement *row)
{
    int64_t number = (MARCH - row->time_ms) / MINUTE;
    assert_true(number >= 0 && number < (int64_t)forks.row_count);
    return &forks.rows[number];
}

void forks_journaled(const poise_measurement *rows, const poise_refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fate *fate = fate_of(&rows[i]);
        assert_int_equal(refusals[i], POISE_REFUSAL_NONE);
        if (fate->counted) {
            fail_msg("row %zu of a copied spool counts twice", (size_t)(fate - forks.rows));
        }
        fate->counted = true;
    }
}

void forks_lost(const struct wire_loss *loss)
{
    assert_true(loss->reason == POISE_LOSS_FORKED || (forks.small && loss->reason == POISE_LOSS_OLDEST));
    forks.lost += loss->rows;
}

static poise_code on_refused(void *context, const poise_refused *items, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(items[i].reason, POISE_REFUSAL_IN_DOUBT);
        fate_of(&items[i].measurement)->told++;
    }
    forks.told += count;
    return POISE_OK;
}

/* What is in doubt is told as refused, too, row by row; of what was dropped only from when to when it was. */
static void on_lost(void *context, const poise_loss *loss, const char *aside)
{
    (void)context;
    (void)aside;
    if (loss->reason == POISE_LOSS_FORKED) {
        return;
    }
    forks.told += loss->rows;
    for (int64_t time_ms = loss->from_ms; time_ms <= loss->to_ms; time_ms += MINUTE) {
        fate_of(&(poise_measurement){.time_ms = time_ms})->told++;
    }
}

/* ---- life ---- */

static void open_copy(size_t which)
{
    const poise_sender_options options = {.endpoint = INGEST_ENDPOINT,
                                          .producer = FORKED_PRODUCER,
                                          .spool = forks.copies[which].spool,
                                          .keep_acked_ms = one_in(2) ? 0 : DAY,
                                          .batch_rows = (uint32_t)between(1, 6),
                                          .linger_ms = between(1, 200),
                                          .spool_max_bytes = forks.small ? between(3000, 12000) : 0,
                                          .when_full = forks.small ? POISE_DROP_OLDEST : POISE_BLOCK,
                                          .lost = on_lost,
                                          .refused = on_refused};
    poise_error err = {0};
    producer_steps_aside();
    if (poise_sender_open(&options, &forks.copies[which].sender, &err) != POISE_OK) {
        fail_msg("a copied spool: %s", err.text);
    }
}

void forks_open(const char *directory)
{
    memset(&forks, 0, sizeof forks);
    forks.small = one_in(4);
    for (size_t i = 0; i < COPIES; i++) {
        snprintf(forks.copies[i].spool, sizeof forks.copies[i].spool, "%s/copy-%zu", directory, i);
    }
    if (one_in(2)) {
        open_copy(forks.copy_count++);
    }
}

void forks_close(void)
{
    producer_steps_aside();
    for (size_t i = 0; i < forks.copy_count; i++) {
        poise_sender_close(forks.copies[i].sender);
    }
    memset(&forks, 0, sizeof forks);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[4096];
    size_t length;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    while ((length = fread(bytes, 1, sizeof bytes, in)) > 0) {
        assert_int_equal(fwrite(bytes, 1, length, out), length);
    }
    assert_int_equal(fclose(in) | fclose(out), 0);
}

/* All files of a spool; to NULL: they go. */
static void copy_files(const char *from, const char *to)
{
    char source[400], target[400];
    DIR *directory = opendir(from);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.')) {
            continue;
        }
        snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        if (to) {
            snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
            copy_file(source, target);
        } else {
            assert_int_equal(unlink(source), 0);
        }
    }
    closedir(directory);
}

/* False: there is no room yet. */
static bool flush(size_t which)
{
    producer_steps_aside();
    poise_code code = poise_sender_flush(forks.copies[which].sender, NULL);
    assert_true(code == POISE_OK || (code == POISE_EFULL && forks.small));
    return code == POISE_OK;
}

static bool is_idle(size_t which)
{
    poise_sender_stats stats;
    bool flushed = flush(which);
    poise_sender_get_stats(forks.copies[which].sender, &stats);
    return flushed && stats.batches_left == 0;
}

/* One is copied, while it runs, to a new place or to that of another, which has nothing left to send. */
static void copy(void)
{
    size_t from = (size_t)between(0, (int64_t)forks.copy_count - 1);
    size_t to = forks.copy_count < COPIES ? forks.copy_count : (size_t)between(0, COPIES - 1);
    if (from == to || forks.copied == FORKS_MAX || (to < forks.copy_count && !is_idle(to))) {
        return;
    }
    poise_sender_close(forks.copies[to].sender);
    open_copy(to); /* a new place */
    poise_sender_close(forks.copies[to].sender);
    copy_files(forks.copies[to].spool, NULL);
    copy_files(forks.copies[from].spool, forks.copies[to].spool);
    open_copy(to);
    forks.copy_count += to == forks.copy_count;
    forks.copied++;
}

static void send(size_t which)
{
    producer_steps_aside();
    for (int64_t left = between(1, 5); left > 0 && forks.row_count < ROWS_MAX; left--) {
        const poise_measurement row = {.measure = "n",
                                       .org = "",
                                       .source = "",
                                       .time_ms = MARCH - (int64_t)forks.row_count * MINUTE,
                                       .value = 1,
                                       .of = 1};
        poise_code code = poise_send(forks.copies[which].sender, &row, NULL, NULL);
        assert_true(code == POISE_OK || (code == POISE_EFULL && forks.small));
        if (code != POISE_OK) {
            return;
        }
        forks.row_count++;
    }
}

/* EFORK: it is too early for one more epoch. */
static void step(size_t which)
{
    poise_error err = {0};
    producer_steps_aside();
    poise_code code = poise_sender_step(forks.copies[which].sender, 0, &err);
    if (code != POISE_OK && code != POISE_EFORK) {
        fail_msg("a copied spool: %s", err.text);
    }
}

void forks_move(void)
{
    if (forks.copy_count == 0) {
        return;
    }
    size_t which = (size_t)between(0, (int64_t)forks.copy_count - 1);
    int64_t what = between(0, 99);
    if (what < 35) {
        send(which);
    } else if (what < 90) {
        step(which);
    } else if (what < 97) {
        (void)flush(which);
    } else {
        copy();
    }
}

/* ---- at the end ---- */

bool forks_done(void)
{
    bool done = true;
    for (size_t i = 0; i < forks.copy_count; i++) {
        step(i);
        done &= is_idle(i);
    }
    return done;
}

size_t forks_lost_rows(void)
{
    return forks.lost;
}

uint64_t forks_tally(int64_t as_of_ms)
{
    uint64_t tally = 0;
    for (size_t i = 0; i < forks.row_count; i++) {
        tally += forks.rows[i].counted && MARCH - (int64_t)i * MINUTE <= as_of_ms;
    }
    return tally;
}

size_t forks_check(void)
{
    /* What a copy was told before it was copied the other one says, too, and that may be another epoch's. */
    assert_true(forks.told * (1 + forks.copied) >= forks.lost);
    for (size_t i = 0; i < forks.row_count; i++) {
        if (!forks.rows[i].counted && !forks.rows[i].told) {
            fail_msg("row %zu of a copied spool is lost, and nobody was told", i);
        }
    }
    return forks.copied;
}
