/* What is lost for want of room, or by the disk: its numbers stay, and say what they were. */
#include "scratch.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LENGTH = 100, EACH = RECORD + LENGTH, ROWS = 10, SENT = 4, ALL = 1 << 20 };
#define FIRST  "00000000000000000001.seg"
#define SECOND "00000000000000000008.seg"
#define THIRD  "00000000000000000015.seg"

static struct {
    size_t count;
    struct spool_loss loss;
    char aside[PATH_MAX];
} damage;

static void describe(void *context, const void *body, size_t length, struct spool_loss *loss)
{
    (void)context;
    (void)body;
    assert_int_equal(length, LENGTH);
    loss->rows = ROWS;
    loss->from_ms = 1000 * (int64_t)loss->first;
    loss->to_ms = loss->from_ms + 9;
}

static void note_damage(void *context, const struct spool_loss *loss, const char *aside)
{
    (void)context;
    damage.count++;
    damage.loss = *loss;
    snprintf(damage.aside, sizeof damage.aside, "%s", aside);
}

static struct spool *open_losing(const char *path, int64_t max_bytes, uint64_t sent)
{
    struct spool_options options = scratch_options(path);
    struct spool *spool = NULL;
    poise_error err = {0};
    options.max_bytes = max_bytes;
    options.keep_ms = 1000000000;
    options.sent_max = sent;
    options.describe = describe;
    options.damaged = note_damage;
    memset(&damage, 0, sizeof damage);
    if (spool_open(&options, &spool, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return spool;
}

static int setup(void **state)
{
    return scratch_make(state);
}

/* What the spool says of its numbers, in order: batches that are as they were, and losses. */
struct tally {
    uint64_t batches, lost, rows, losses;
};

static struct tally tally(struct spool *spool)
{
    struct tally t = {0};
    uint64_t next = spool_next_seq(spool);
    for (uint64_t seq = spool_first_seq(spool); seq < next;) {
        struct spool_loss loss;
        struct buf body = {0};
        assert_int_equal(spool_lost(spool, seq, &loss, NULL), POISE_OK);
        if (loss.last == 0) {
            assert_int_equal(spool_read(spool, seq, &body, NULL), POISE_OK);
            assert_int_equal(body.length, LENGTH);
            t.batches++;
            seq++;
        } else {
            assert_int_equal(spool_read(spool, seq, &body, NULL), POISE_EGAP);
            assert_int_equal(loss.first, seq);
            t.lost += loss.last - loss.first + 1;
            t.rows += loss.rows;
            t.losses++;
            seq = loss.last + 1;
        }
        buf_free(&body);
    }
    return t;
}

static void check_same(struct spool **spool, const char *path, int64_t max_bytes, uint64_t sent)
{
    struct tally before = tally(*spool);
    spool_close(*spool);
    *spool = open_losing(path, max_bytes, sent);
    struct tally after = tally(*spool);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(damage.count, 0);
}

static void append_dropping(struct spool *spool, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint8_t body[LENGTH] = {0};
        poise_error err;
        poise_code code = POISE_OK;
        uint64_t seq = spool_next_seq(spool);
        while ((code = spool_append(spool, body, LENGTH, scratch_hash(seq), &seq, sizeof seq, &err)) ==
                   POISE_EFULL &&
               spool_drop_batches(spool, &err) == POISE_OK) {
        }
        if (code != POISE_OK) {
            fail_msg("%s", err.text);
        }
    }
}

/* However long nobody comes: it holds the newest, and one loss of all that was never sent. */
static void test_oldest_goes(void **state)
{
    struct spool *spool = open_losing(*state, 5000, SENT);
    append_dropping(spool, 3000);
    struct tally t = tally(spool);
    assert_int_equal(t.batches + t.lost, 3000);
    assert_int_equal(t.rows, t.lost * ROWS);
    assert_in_range(t.batches, 14, 36);
    assert_int_equal(t.losses, SENT + 1);
    assert_true(spool_bytes(spool) <= 5000);
    assert_true(scratch_segments(*state) <= 6);
    assert_int_equal(spool_first_seq(spool), 1);

    struct spool_loss loss;
    assert_int_equal(spool_lost(spool, SENT + 2, &loss, NULL), POISE_OK); /* within the one */
    assert_int_equal(loss.first, SENT + 1);
    assert_int_equal(loss.last, t.lost);
    assert_int_equal(loss.reason, SPOOL_DROPPED_OLDEST);
    assert_true(loss.hash == scratch_hash(loss.last));
    assert_int_equal(loss.from_ms, 1000 * (SENT + 1));
    assert_int_equal(loss.to_ms, 1000 * loss.last + 9);

    check_same(&spool, *state, 5000, SENT);
    size_t length = 0;
    uint64_t mark;
    const void *bytes = spool_mark(spool, &length);
    assert_int_equal(length, sizeof mark);
    memcpy(&mark, bytes, sizeof mark);
    assert_int_equal(mark, 3000);
    scratch_ack(spool, loss.last);
    assert_true(spool_last_hash(spool) == scratch_hash(loss.last));
    t = tally(spool);
    assert_int_equal(t.lost, 0);
    scratch_ack(spool, 3000);
    assert_int_equal(spool_rewind(spool, 3, NULL), POISE_OK); /* kept, as what is lost */
    t = tally(spool);
    assert_int_equal(t.batches + t.lost, 2998);
    spool_close(spool);
}

/* Nothing can be dropped of what is acknowledged, nor of nothing. */
static void test_nothing_to_drop(void **state)
{
    struct spool *spool = open_losing(*state, 5000, SENT);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_ENOTFOUND);
    append_dropping(spool, 3);
    scratch_ack(spool, 3);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_ENOTFOUND);
    append_dropping(spool, 1);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_OK);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_ENOTFOUND);
    assert_int_equal(tally(spool).lost, 1);
    assert_int_equal(spool_next_seq(spool), 5);
    spool_close(spool);
}

/* Killed when the segments were put together, and the one not removed. */
static void test_cut_off_while_dropping(void **state)
{
    struct buf bytes = {0};
    struct spool *spool = open_losing(*state, ALL, SENT);
    append_dropping(spool, 20);
    char second[64];
    snprintf(second, sizeof second, "%020d.seg", 8);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_OK);
    struct tally t = tally(spool);
    while (scratch_segments(*state) < 3) {
        append_dropping(spool, 1);
    }
    assert_int_equal(spool_lost(spool, t.lost + 1, &(struct spool_loss){0}, NULL), POISE_OK);
    snprintf(second, sizeof second, "%020d.seg", (int)t.lost + 1);
    scratch_load(*state, second, &bytes);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_OK);
    t = tally(spool);
    spool_close(spool);
    scratch_store(*state, second, bytes.data, bytes.length);
    spool = open_losing(*state, ALL, SENT);
    struct tally after = tally(spool);
    assert_memory_equal(&t, &after, sizeof t);
    spool_close(spool);
    buf_free(&bytes);
}

static void lose_one(struct spool *spool)
{
    uint64_t seq = spool_next_seq(spool), mark = 7000 + seq;
    poise_error err;
    const struct spool_loss loss = {.rows = ROWS,
                                    .from_ms = 1000 * (int64_t)seq,
                                    .to_ms = 1000 * (int64_t)seq,
                                    .reason = SPOOL_DROPPED_NEWEST,
                                    .hash = scratch_hash(seq)};
    if (spool_append_loss(spool, &loss, &mark, sizeof mark, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

/* What came first stays; of the rest each has a number, and takes next to no room. */
static void test_newest_goes(void **state)
{
    uint8_t body[LENGTH] = {0};
    struct spool *spool = open_losing(*state, 5000, SENT);
    while (spool_append(spool, body, LENGTH, scratch_hash(spool_next_seq(spool)), NULL, 0, NULL) ==
           POISE_OK) {
    }
    uint64_t batches = spool_next_seq(spool) - 1;
    for (int i = 0; i < 4000; i++) {
        lose_one(spool);
    }
    struct tally t = tally(spool);
    assert_int_equal(t.batches, batches);
    assert_int_equal(t.lost, 4000);
    assert_int_equal(t.rows, 4000 * ROWS);
    assert_true(spool_bytes(spool) < 5000 + 2 * (64 << 10));
    check_same(&spool, *state, 5000, SENT);
    size_t length = 0;
    assert_non_null(spool_mark(spool, &length));
    scratch_ack(spool, spool_next_seq(spool) - 1);
    assert_int_equal(spool_append(spool, body, LENGTH, 1, NULL, 0, NULL), POISE_OK);
    spool_close(spool);
}

/* ---- damage ---- */

static void make_many(const char *path)
{
    struct spool *spool = scratch_open(path);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    spool_close(spool);
    assert_int_equal(scratch_segments(path), 3);
}

static void check_damaged(const char *path, const char *name, uint64_t first, uint64_t last)
{
    struct buf before = {0}, aside = {0};
    char bad[64];
    snprintf(bad, sizeof bad, "%s.bad", name);
    scratch_load(path, name, &before);
    struct spool *spool = open_losing(path, ALL, SENT);
    assert_int_equal(damage.count, 1);
    assert_int_equal(damage.loss.first, first);
    assert_int_equal(damage.loss.last, last);
    assert_int_equal(damage.loss.reason, SPOOL_DAMAGED);
    assert_non_null(strstr(damage.aside, bad));
    scratch_load(path, bad, &aside);
    assert_int_equal(aside.length, before.length);
    assert_memory_equal(aside.data, before.data, before.length);
    struct tally t = tally(spool);
    assert_int_equal(t.batches, 20 - (last - first + 1));
    assert_int_equal(t.lost, last - first + 1);
    assert_int_equal(spool_next_seq(spool), 21);
    check_same(&spool, path, ALL, SENT);
    spool_close(spool);
    buf_free(&before);
    buf_free(&aside);
}

static void test_flip_in_the_middle(void **state)
{
    make_many(*state);
    scratch_flip(*state, SECOND, HEAD + EACH + 50);
    check_damaged(*state, SECOND, 9, 9);
}

static void test_flip_in_the_first_record(void **state)
{
    make_many(*state);
    scratch_flip(*state, FIRST, HEAD + 9);
    check_damaged(*state, FIRST, 1, 1);
}

static void test_flip_in_a_head(void **state)
{
    make_many(*state);
    scratch_flip(*state, SECOND, 5);
    struct spool *spool = open_losing(*state, ALL, SENT);
    assert_int_equal(damage.count, 0); /* all its records are whole */
    assert_int_equal(tally(spool).batches, 20);
    spool_close(spool);
}

static void test_flip_in_the_last_segment(void **state)
{
    make_many(*state);
    scratch_flip(*state, THIRD, HEAD + 2 * EACH + 50);
    check_damaged(*state, THIRD, 17, 17);
}

/* The last record was a whole one, and without a mark nobody learns that it is not there. */
static void test_flip_in_the_last_record(void **state)
{
    make_many(*state);
    scratch_flip(*state, THIRD, HEAD + 5 * EACH + 50);
    check_damaged(*state, THIRD, 20, 20);
}

/* As a process that was killed leaves it. */
static void test_torn_is_no_damage(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, THIRD, &bytes);
    scratch_store(*state, THIRD, bytes.data, bytes.length - 1);
    struct spool *spool = open_losing(*state, ALL, SENT);
    assert_int_equal(damage.count, 0);
    assert_int_equal(spool_next_seq(spool), 20);
    assert_int_equal(tally(spool).batches, 19);
    spool_close(spool);
    buf_free(&bytes);
}

static void test_segment_cut_short(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, SECOND, &bytes);
    scratch_store(*state, SECOND, bytes.data, HEAD + 3 * EACH + 4);
    check_damaged(*state, SECOND, 11, 14);
    buf_free(&bytes);
}

/* Nothing of another spool's is taken for ours. */
static void test_segment_of_another(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, FIRST, &bytes);
    scratch_store(*state, SECOND, bytes.data, bytes.length);
    check_damaged(*state, SECOND, 8, 14);
    buf_free(&bytes);
}

/* What was only kept is found damaged when it is wanted again. */
static void test_flip_in_what_is_acknowledged(void **state)
{
    make_many(*state);
    struct spool *spool = open_losing(*state, ALL, SENT);
    scratch_ack(spool, 20);
    spool_close(spool);
    scratch_flip(*state, SECOND, HEAD + EACH + 50);
    spool = open_losing(*state, ALL, SENT);
    assert_int_equal(damage.count, 0);
    assert_int_equal(spool_rewind(spool, 3, NULL), POISE_OK);
    assert_int_equal(damage.count, 1);
    struct tally t = tally(spool);
    assert_int_equal(t.batches, 17);
    assert_int_equal(t.lost, 1);
    spool_close(spool);
}

/* Another copy of the same name is kept, too. */
static void test_damaged_twice(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_flip(*state, SECOND, HEAD + EACH + 50);
    check_damaged(*state, SECOND, 9, 9);
    scratch_flip(*state, SECOND, HEAD + 50);
    struct spool *spool = open_losing(*state, ALL, SENT);
    assert_int_equal(damage.count, 1);
    assert_int_equal(damage.loss.first, 8);
    assert_non_null(strstr(damage.aside, ".bad.2"));
    assert_int_equal(tally(spool).lost, 2);
    spool_close(spool);
    buf_free(&bytes);
}

/* Every byte of a segment, one after the other: what is whole stays, what is not is a loss. */
static void test_every_byte(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, SECOND, &bytes);
    for (size_t at = 0; at < bytes.length; at++) {
        scratch_store(*state, SECOND, bytes.data, bytes.length);
        scratch_flip(*state, SECOND, at);
        struct spool *spool = open_losing(*state, ALL, SENT);
        struct tally t = tally(spool);
        assert_int_equal(t.batches, at < HEAD ? 20 : 19);
        assert_int_equal(t.lost, at < HEAD ? 0 : 1);
        spool_close(spool);
        char bad[64];
        snprintf(bad, sizeof bad, "%s.bad", SECOND);
        scratch_unlink(*state, bad);
    }
    buf_free(&bytes);
}

/* Cut below its head: which of its batches are not acknowledged is not known, so that the first of those that
 * may be stands for them. */
static void check_without_head(const char *path, const char *name, size_t length, uint64_t batches,
                               uint64_t acked)
{
    struct buf bytes = {0};
    char bad[64];
    struct spool *spool = open_losing(path, ALL, SENT);
    append_dropping(spool, batches);
    if (acked > 0) {
        scratch_ack(spool, acked);
    }
    spool_close(spool);
    scratch_load(path, name, &bytes);
    scratch_store(path, name, bytes.data, length);
    snprintf(bad, sizeof bad, "%s.bad", name);

    spool = open_losing(path, ALL, SENT);
    uint64_t first = strtoull(name, NULL, 10);
    uint64_t lost = acked >= first ? acked + 1 : first;
    assert_int_equal(damage.count, 1);
    assert_int_equal(damage.loss.first, lost);
    assert_int_equal(damage.loss.last, lost);
    assert_int_equal(damage.loss.rows, 0);
    assert_non_null(strstr(damage.aside, bad));
    assert_int_equal(spool_first_seq(spool), acked + 1);
    assert_int_equal(spool_next_seq(spool), lost + 1); /* its number is not given again */
    scratch_load(path, bad, &bytes);
    assert_int_equal(bytes.length, length);
    check_same(&spool, path, ALL, SENT);
    append_dropping(spool, 10);
    struct tally t = tally(spool);
    assert_int_equal(t.lost, 1);
    assert_int_equal(t.batches, lost - acked - 1 + 10);
    check_same(&spool, path, ALL, SENT);
    scratch_ack(spool, lost + 10);
    check_same(&spool, path, ALL, SENT);
    spool_close(spool);
    buf_free(&bytes);
}

static void test_head_cut(void **state)
{
    static const struct {
        const char *name;
        uint64_t batches, acked;
    } spools[] = {{FIRST, 0, 0},   {FIRST, 3, 3},   {FIRST, 3, 1},    {FIRST, 3, 0},
                  {SECOND, 10, 0}, {SECOND, 10, 9}, {SECOND, 10, 10}, {SECOND, 10, 3}};
    static const size_t lengths[] = {0, 20, HEAD - 1};
    for (size_t i = 0; i < sizeof spools / sizeof *spools; i++) {
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            void *path = NULL;
            assert_int_equal(scratch_make(&path), 0);
            check_without_head(path, spools[i].name, lengths[j], spools[i].batches, spools[i].acked);
            assert_int_equal(scratch_remove(&path), 0);
        }
    }
    (void)state;
}

/* All its records are of another. */
static void test_last_segment_of_another(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, FIRST, &bytes);
    scratch_store(*state, THIRD, bytes.data, bytes.length);
    struct spool *spool = open_losing(*state, ALL, SENT);
    assert_int_equal(damage.count, 1);
    assert_int_equal(damage.loss.first, 15);
    assert_int_equal(tally(spool).batches, 14);
    assert_int_equal(spool_next_seq(spool), 16);
    spool_close(spool);
    buf_free(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_oldest_goes),
        TEST(test_nothing_to_drop),
        TEST(test_cut_off_while_dropping),
        TEST(test_newest_goes),
        TEST(test_flip_in_the_middle),
        TEST(test_flip_in_the_first_record),
        TEST(test_flip_in_a_head),
        TEST(test_flip_in_the_last_segment),
        TEST(test_flip_in_the_last_record),
        TEST(test_torn_is_no_damage),
        TEST(test_segment_cut_short),
        TEST(test_segment_of_another),
        TEST(test_flip_in_what_is_acknowledged),
        TEST(test_damaged_twice),
        TEST(test_every_byte),
        TEST(test_head_cut),
        TEST(test_last_segment_of_another),
    };
    if (access("/dev/shm", W_OK) == 0) { /* each segment that is written anew is synced */
        setenv("TMPDIR", "/dev/shm", 0);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
