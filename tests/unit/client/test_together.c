/* Measurements that belong together, and the mark that goes with them: what the spool holds tells. */
#include "fake.h"

#include <poise/client.h>
#include <spool/spool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_ROWS = 10, BATCHES_MAX = 64 };

struct bench {
    struct fake fake; /* down: nothing leaves the spool */
    char spool[128];
    poise_sender_options options;
    poise_sender *sender;
    size_t rows[BATCHES_MAX]; /* of the spooled batches */
    size_t batches;
};

static void open_sender(struct bench *b)
{
    poise_error err;
    if (poise_sender_open(&b->options, &b->sender, &err) != POISE_OK) {
        fail_msg("open: %s", err.text);
    }
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){0};
    fake_open(&bench.fake);
    fake_path(&bench.fake, "spool", bench.spool);
    bench.options = (poise_sender_options){.endpoint = bench.fake.endpoint,
                                           .producer = "p",
                                           .spool = bench.spool,
                                           .batch_rows = BATCH_ROWS,
                                           .linger_ms = 1000000};
    open_sender(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    poise_sender_close(b->sender);
    fake_close(&b->fake);
    return 0;
}

static poise_code send_group(struct bench *b, size_t count, const char *mark)
{
    poise_measurement group[40];
    poise_error err;
    for (size_t i = 0; i < count; i++) {
        group[i] = (poise_measurement){.measure = "m", .org = "o", .value = (double)i, .of = 1};
    }
    return poise_send_together(b->sender, group, count, mark, mark ? strlen(mark) : 0, &err);
}

static void has_mark(const struct bench *b, const char *expected)
{
    size_t length = 0;
    const void *mark = poise_sender_mark(b->sender, &length);
    assert_int_equal(mark != NULL, expected != NULL);
    assert_true(!expected || (length == strlen(expected) && memcmp(mark, expected, length) == 0));
}

/* Closes the sender as a crash would, losing what is not in the spool: a copy of the directory is what is
 * left. */
static void crash(struct bench *b)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf %s.copy && cp -r %s %s.copy", b->spool, b->spool, b->spool);
    assert_int_equal(system(command), 0);
    poise_sender_close(b->sender);
    snprintf(command, sizeof command, "rm -rf %s && mv %s.copy %s", b->spool, b->spool, b->spool);
    assert_int_equal(system(command), 0);

    struct spool *spool;
    struct buf record = {0};
    const struct spool_options options = {.path = b->spool};
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_OK);
    b->batches = 0;
    for (uint64_t seq = 1; seq < spool_next_seq(spool); seq++) {
        buf_reset(&record);
        assert_int_equal(spool_read(spool, seq, &record, NULL), POISE_OK);
        struct cursor rows = cursor_of(record.data, record.length);
        b->rows[b->batches++] = cursor_u32(&rows);
    }
    buf_free(&record);
    spool_close(spool);
    open_sender(b);
}

static void test_a_group_is_never_split(void **state)
{
    struct bench *b = *state;
    assert_int_equal(send_group(b, 4, "4"), POISE_OK);
    assert_int_equal(send_group(b, 4, "8"), POISE_OK);
    has_mark(b, NULL);
    assert_int_equal(send_group(b, 4, "12"), POISE_OK); /* did not fit: the 8 before went */
    has_mark(b, "8");
    assert_int_equal(send_group(b, 6, "18"), POISE_OK); /* full */
    has_mark(b, "18");
    assert_int_equal(send_group(b, 3, "21"), POISE_OK);
    crash(b);
    has_mark(b, "18");
    assert_int_equal(b->batches, 2);
    assert_int_equal(b->rows[0], 8);
    assert_int_equal(b->rows[1], 10);
}

static void test_single_ones_and_groups(void **state)
{
    struct bench *b = *state;
    const poise_measurement one = {.measure = "m", .value = 1, .of = 1};
    assert_int_equal(send_group(b, 9, "nine"), POISE_OK);
    assert_int_equal(poise_send(b->sender, &one, NULL, NULL),
                     POISE_OK); /* without a mark: the one before stands */
    has_mark(b, "nine");
    assert_int_equal(poise_send(b->sender, &one, NULL, NULL), POISE_OK);
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
    crash(b);
    has_mark(b, "nine");
    assert_int_equal(b->batches, 2);
    assert_int_equal(b->rows[1], 1);
}

static void test_a_mark_alone(void **state)
{
    struct bench *b = *state;
    assert_int_equal(send_group(b, 0, "alone"), POISE_OK);
    has_mark(b, NULL);
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
    has_mark(b, "alone");
    assert_int_equal(send_group(b, 2, "two"), POISE_OK);
    assert_int_equal(send_group(b, 0, "two and more"), POISE_OK); /* goes with the open batch */
    crash(b);
    has_mark(b, "alone");
    assert_int_equal(b->batches, 0);
    assert_int_equal(send_group(b, 2, "two"), POISE_OK);
    assert_int_equal(send_group(b, 0, "two and more"), POISE_OK);
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
    crash(b);
    has_mark(b, "two and more");
    assert_int_equal(b->batches, 1);
}

static void test_what_is_refused_leaves_nothing(void **state)
{
    struct bench *b = *state;
    static const char long_mark[POISE_MARK_MAX + 1];
    const poise_measurement group[] = {{.measure = "m", .value = 1, .of = 1},
                                       {.measure = "", .value = 1, .of = 1}};
    poise_error err;
    assert_int_equal(poise_send_together(b->sender, group, 2, "x", 1, &err), POISE_EREFUSED);
    assert_non_null(strstr(err.text, "measurement 2 of 2"));
    assert_int_equal(send_group(b, BATCH_ROWS + 1, "x"), POISE_ELIMIT);
    assert_int_equal(poise_send_together(b->sender, group, 1, long_mark, sizeof long_mark, &err),
                     POISE_EINVAL);
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
    crash(b);
    has_mark(b, NULL);
    assert_int_equal(b->batches, 0);
    assert_int_equal(send_group(b, BATCH_ROWS, "fits"), POISE_OK);
    has_mark(b, "fits");
}

/* A full spool takes neither; once there is room both go. */
static void test_a_full_spool(void **state)
{
    struct bench *b = *state;
    poise_sender_close(b->sender);
    b->options.spool_max_bytes = 3000;
    open_sender(b);
    size_t groups = 0;
    char mark[16] = "0", before[16];
    while (send_group(b, BATCH_ROWS, mark) == POISE_OK) {
        snprintf(mark, sizeof mark, "%zu", ++groups);
    }
    assert_true(groups > 3);
    size_t length = 0;
    const char *safe = poise_sender_mark(b->sender, &length);
    snprintf(before, sizeof before, "%zu", groups - 3); /* a closed and an open batch wait for room */
    assert_int_equal(length, strlen(before));
    assert_memory_equal(safe, before, length);
    crash(b);
    assert_int_equal(b->batches, groups - 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_a_group_is_never_split), TEST(test_single_ones_and_groups),
                                       TEST(test_a_mark_alone), TEST(test_what_is_refused_leaves_nothing),
                                       TEST(test_a_full_spool)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
