/* The spool as a queue: append, read, acknowledge, full, over restarts. */
#include "scratch.h"
#include <string.h>

static struct spool *reopen(struct spool *spool, const char *path)
{
    spool_close(spool);
    return scratch_open(path);
}

static void test_empty(void **state)
{
    struct spool *spool = scratch_open(*state);
    uint8_t id[16];
    uint64_t incarnation;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spool_epoch(spool), EPOCH);
        scratch_check(spool, 1, 1, 0);
        assert_false(spool_store(spool, id, &incarnation));
        struct buf body = {0};
        assert_int_equal(spool_read(spool, 0, &body, NULL), POISE_ENOTFOUND);
        assert_int_equal(spool_read(spool, 1, &body, NULL), POISE_ENOTFOUND);
        assert_int_equal(spool_ack(spool, 1, NULL), POISE_EINVAL);
        scratch_ack(spool, 0);
        spool = reopen(spool, *state);
    }
    spool_close(spool);
    spool_close(NULL);
}

static void test_bad_options(void **state)
{
    struct spool_options options = scratch_options("");
    struct spool *spool = NULL;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_EINVAL);
    options = scratch_options(*state);
    options.max_bytes = -1;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_EINVAL);
    assert_null(spool);
}

static void test_append_read_over_restarts(void **state)
{
    struct spool_options options = scratch_options(*state);
    options.sync = true;
    struct spool *spool = NULL;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_OK);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        scratch_append(spool, seq, 200);
    }
    assert_true(scratch_segments(*state) > 4);
    scratch_check(spool, 1, 21, 200);
    struct buf body = {0};
    for (uint64_t seq = 20; seq >= 1; seq--) { /* backwards too */
        assert_int_equal(spool_read(spool, seq, &body, NULL), POISE_OK);
    }
    assert_int_equal(body.length, 20 * 200); /* it appends */
    buf_free(&body);
    int64_t bytes = spool_bytes(spool);
    assert_true(bytes > 20 * 224 && bytes < 20 * 224 + 10 * HEAD);
    spool = reopen(spool, *state);
    assert_int_equal(spool_bytes(spool), bytes);
    scratch_check(spool, 1, 21, 200);
    scratch_append(spool, 21, 200);
    scratch_append(spool, 22, 200);
    spool = reopen(spool, *state);
    scratch_check(spool, 1, 23, 200);
    spool_close(spool);
}

static void test_what_waits_has_bytes(void **state)
{
    struct spool *spool = scratch_open(*state);
    assert_int_equal(spool_waiting_bytes(spool), 0);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        scratch_append(spool, seq, 200);
    }
    assert_int_equal(spool_waiting_bytes(spool), spool_bytes(spool));
    scratch_ack(spool, 10);
    int64_t ten = 10 * (200 + RECORD), more = spool_waiting_bytes(spool) - ten;
    assert_in_range(more, 0, 200 + RECORD + 10 * HEAD);
    scratch_ack(spool, 19);
    assert_in_range(spool_waiting_bytes(spool), 200 + RECORD, 2 * (200 + RECORD) + HEAD);
    scratch_ack(spool, 20);
    assert_int_equal(spool_waiting_bytes(spool), 0);
    spool_close(spool);
}

static void test_empty_and_large_bodies(void **state)
{
    struct spool *spool = scratch_open(*state);
    struct buf body = {0};
    static const uint8_t large[5000];
    assert_int_equal(spool_append(spool, NULL, 0, 1, NULL, 0, NULL), POISE_OK);
    assert_int_equal(spool_append(spool, large, sizeof large, 2, NULL, 0, NULL),
                     POISE_OK); /* more than a segment */
    assert_int_equal(spool_append(spool, "x", 1, 3, NULL, 0, NULL), POISE_OK);
    assert_int_equal(spool_append(spool, large, SPOOL_BODY_MAX + 1, 4, NULL, 0, NULL), POISE_ELIMIT);
    spool = reopen(spool, *state);
    assert_int_equal(spool_next_seq(spool), 4);
    assert_int_equal(spool_read(spool, 1, &body, NULL), POISE_OK);
    assert_int_equal(body.length, 0);
    assert_int_equal(spool_read(spool, 2, &body, NULL), POISE_OK);
    assert_int_equal(body.length, 5000);
    buf_free(&body);
    spool_close(spool);
}

static void test_acknowledge(void **state)
{
    struct spool *spool = scratch_open(*state);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        scratch_append(spool, seq, 200);
    }
    int64_t before = spool_bytes(spool);
    size_t segments = scratch_segments(*state);
    scratch_ack(spool, 1);
    scratch_check(spool, 2, 21, 200);
    scratch_ack(spool, 10);
    scratch_ack(spool, 7); /* late: no harm */
    scratch_check(spool, 11, 21, 200);
    assert_true(spool_bytes(spool) < before);
    assert_true(scratch_segments(*state) < segments);
    spool = reopen(spool, *state);
    scratch_check(spool, 11, 21, 200);
    struct buf body = {0};
    assert_int_equal(spool_read(spool, spool_kept_seq(spool) - 1, &body, NULL), POISE_ENOTFOUND);
    scratch_ack(spool, 20);
    scratch_check(spool, 21, 21, 200);
    assert_int_equal(scratch_segments(*state), 1);
    spool = reopen(spool, *state);
    scratch_check(spool, 21, 21, 200);
    scratch_append(spool, 21, 200);
    scratch_check(spool, 21, 22, 200);
    spool_close(spool);
}

/* What a power cut may do to the newest acknowledgements: they are forgotten, and sequence and hash still
 * agree. */
static void test_forgotten_acknowledgements(void **state)
{
    struct spool *spool = scratch_open(*state);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        scratch_append(spool, seq, 200);
    }
    scratch_ack(spool, 11);
    spool_close(spool);
    scratch_flip(*state, "acked", 8);
    spool = scratch_open(*state);
    uint64_t first = spool_first_seq(spool);
    assert_true(first > 1 && first <= 11);
    scratch_check(spool, first, 21, 200);
    spool_close(spool);
    scratch_unlink(*state, "acked");
    spool = scratch_open(*state);
    scratch_check(spool, first, 21, 200);
    scratch_ack(spool, 20);
    spool = reopen(spool, *state);
    scratch_check(spool, 21, 21, 200);
    spool_close(spool);
}

static void test_full(void **state)
{
    struct spool *spool = scratch_open(*state);
    uint8_t body[200] = {0};
    poise_error err = {0};
    uint64_t seq = 1;
    for (int round = 0; round < 5; round++) {
        while (spool_append(spool, body, sizeof body, seq, NULL, 0, &err) == POISE_OK) {
            seq++;
        }
        assert_int_equal(err.code, POISE_EFULL);
        assert_non_null(strstr(err.text, "full"));
        assert_int_equal(spool_next_seq(spool), seq);
        assert_true(spool_bytes(spool) <= 20000 && spool_bytes(spool) > 18000);
        scratch_ack(spool, spool_first_seq(spool) + 9);
        spool = reopen(spool, *state);
    }
    scratch_ack(spool, seq - 1);
    assert_int_equal(spool_append(spool, body, sizeof body, seq, NULL, 0, NULL), POISE_OK);
    spool_close(spool);
}

/* One segment holds all that is allowed: acknowledging all of it must make room again. */
static void test_full_of_acknowledged(void **state)
{
    struct spool_options options = scratch_options(*state);
    options.max_bytes = 1000;
    struct spool *spool = NULL;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_OK);
    uint8_t body[700] = {0};
    for (uint64_t seq = 1; seq <= 5; seq++) {
        assert_int_equal(spool_append(spool, body, sizeof body, seq, NULL, 0, NULL), POISE_OK);
        assert_int_equal(spool_append(spool, body, sizeof body, seq, NULL, 0, NULL), POISE_EFULL);
        assert_int_equal(spool_append(spool, body, sizeof body, seq, NULL, 0, NULL), POISE_EFULL);
        scratch_ack(spool, seq);
    }
    assert_true(spool_bytes(spool) <= 1000);
    spool_close(spool);
}

static void test_store_identity(void **state)
{
    struct spool *spool = scratch_open(*state);
    uint8_t id[16];
    uint64_t incarnation = 0;
    scratch_append(spool, 1, 10);
    assert_int_equal(spool_set_store(spool, (const uint8_t *)"sixteen bytes id", 9, NULL), POISE_OK);
    assert_int_equal(spool_set_store(spool, (const uint8_t *)"sixteen bytes ID", 10, NULL), POISE_OK);
    for (int i = 0; i < 2; i++) {
        assert_true(spool_store(spool, id, &incarnation));
        assert_memory_equal(id, "sixteen bytes ID", 16);
        assert_int_equal(incarnation, 10);
        spool = reopen(spool, *state);
    }
    scratch_check(spool, 1, 2, 10);
    spool_close(spool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_empty),
        TEST(test_bad_options),
        TEST(test_append_read_over_restarts),
        TEST(test_what_waits_has_bytes),
        TEST(test_empty_and_large_bodies),
        TEST(test_acknowledge),
        TEST(test_forgotten_acknowledgements),
        TEST(test_full),
        TEST(test_full_of_acknowledged),
        TEST(test_store_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
