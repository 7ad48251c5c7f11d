/* A new epoch for what is left of a spool. */
#include "scratch.h"

#include <base/hash.h>
#include <string.h>

enum { LENGTH = 200, NEW = 815 };

static struct spool *reopen(struct spool *spool, const char *path)
{
    spool_close(spool);
    return scratch_open(path);
}

/* Batch `seq` of the epoch is the one that was appended as `was`. */
static void check_is(struct spool *spool, uint64_t seq, uint64_t was)
{
    struct buf here = {0};
    struct spool_loss loss;
    assert_int_equal(spool_lost(spool, seq, &loss, NULL), POISE_OK);
    assert_int_equal(loss.last, 0);
    assert_int_equal(spool_read(spool, seq, &here, NULL), POISE_OK);
    assert_int_equal(here.length, LENGTH);
    for (size_t i = 0; i < LENGTH; i += sizeof(uint64_t)) {
        uint64_t word = hash_mix(was, i);
        assert_memory_equal(here.data + i, &word, sizeof word);
    }
    buf_free(&here);
}

static struct spool *filled(const char *path, uint64_t count)
{
    struct spool *spool = scratch_open(path);
    for (uint64_t seq = 1; seq <= count; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    return spool;
}

static const struct spool_loss NONE = {0};

static void test_numbers_begin_anew(void **state)
{
    struct spool *spool = filled(*state, 12);
    scratch_ack(spool, 3);
    assert_int_equal(spool_fork(spool, 6, &NONE, NEW, NULL), POISE_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spool_epoch(spool), NEW);
        assert_int_equal(spool_forked_epoch(spool), EPOCH);
        assert_int_equal(spool_first_seq(spool), 1);
        assert_int_equal(spool_next_seq(spool), 8); /* 6 to 12 are 1 to 7 */
        assert_int_equal(spool_kept_seq(spool), 1);
        assert_true(spool_last_hash(spool) == 0);
        check_is(spool, 1, 6);
        check_is(spool, 7, 12);
        struct buf body = {0};
        assert_int_equal(spool_read(spool, 8, &body, NULL), POISE_ENOTFOUND);
        assert_int_equal(spool_read(spool, 0, &body, NULL), POISE_ENOTFOUND);
        buf_free(&body);
        assert_int_equal(spool_rewind(spool, 0, NULL), POISE_ENOTFOUND); /* not into the old one */
        spool = reopen(spool, *state);
    }
    scratch_ack(spool, 2);
    assert_true(spool_last_hash(spool) == 0); /* it was hashed under its old number */
    assert_int_equal(spool_append(spool, "new", 3, 77, NULL, 0, NULL), POISE_OK);
    spool = reopen(spool, *state);
    assert_int_equal(spool_first_seq(spool), 3);
    assert_int_equal(spool_next_seq(spool), 9);
    assert_int_equal(spool_ack(spool, 9, NULL), POISE_EINVAL);
    scratch_ack(spool, 8);
    spool = reopen(spool, *state);
    assert_true(spool_last_hash(spool) == 77);
    assert_int_equal(spool_first_seq(spool), 9);
    spool_close(spool);
}

static void test_doubt_is_a_loss(void **state)
{
    struct spool *spool = filled(*state, 6);
    const struct spool_loss doubt = {
        .first = 2, .last = 4, .rows = 30, .from_ms = -5, .to_ms = 9, .reason = SPOOL_FORKED};
    assert_int_equal(spool_fork(spool, 2, &doubt, NEW, NULL), POISE_OK);
    for (int i = 0; i < 2; i++) {
        struct spool_loss loss;
        assert_int_equal(spool_lost(spool, 2, &loss, NULL), POISE_OK);
        assert_int_equal(loss.first, 1);
        assert_int_equal(loss.last, 3);
        assert_int_equal(loss.rows, 30);
        assert_int_equal(loss.from_ms, -5);
        assert_int_equal(loss.to_ms, 9);
        assert_int_equal(loss.reason, SPOOL_FORKED);
        struct buf body = {0};
        assert_int_equal(spool_read(spool, 3, &body, NULL), POISE_EGAP);
        buf_free(&body);
        check_is(spool, 4, 5);
        spool = reopen(spool, *state);
    }
    scratch_ack(spool, 3);
    assert_int_equal(spool_first_seq(spool), 4);
    spool_close(spool);
}

static void test_what_was_acknowledged_goes_again(void **state)
{
    struct spool_options options = scratch_options(*state);
    options.keep_ms = INT64_MAX;
    struct spool *spool;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_OK);
    for (uint64_t seq = 1; seq <= 12; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    scratch_ack(spool, 12);
    assert_int_equal(spool_fork(spool, 9, &NONE, NEW, NULL), POISE_OK);
    assert_int_equal(spool_first_seq(spool), 1);
    assert_int_equal(spool_next_seq(spool), 5);
    check_is(spool, 1, 9);
    scratch_ack(spool, 4);
    assert_int_equal(spool_rewind(spool, 2, NULL), POISE_OK);
    assert_int_equal(spool_first_seq(spool), 2);
    assert_int_equal(spool_fork(spool, 3, &NONE, NEW + 1, NULL), POISE_OK); /* once more */
    assert_int_equal(spool_forked_epoch(spool), NEW);
    assert_int_equal(spool_next_seq(spool), 3);
    check_is(spool, 1, 11);
    spool_close(spool);
}

static void test_wrong_places(void **state)
{
    struct spool *spool = filled(*state, 4);
    const struct spool_loss other = {.first = 2, .last = 3}, long_one = {.first = 1, .last = 5};
    assert_int_equal(spool_fork(spool, 0, &NONE, NEW, NULL), POISE_EINVAL);
    assert_int_equal(spool_fork(spool, 6, &NONE, NEW, NULL), POISE_EINVAL);
    assert_int_equal(spool_fork(spool, 1, &NONE, 0, NULL), POISE_EINVAL);
    assert_int_equal(spool_fork(spool, 1, &other, NEW, NULL), POISE_EINVAL);
    assert_int_equal(spool_fork(spool, 1, &long_one, NEW, NULL), POISE_EINVAL);
    assert_int_equal(spool_epoch(spool), EPOCH);
    assert_int_equal(spool_fork(spool, 5, &NONE, NEW, NULL), POISE_OK); /* nothing is left */
    assert_int_equal(spool_first_seq(spool), 1);
    assert_int_equal(spool_next_seq(spool), 1);
    spool_close(spool);
}

static void describe(void *context, const void *body, size_t length, struct spool_loss *loss)
{
    (void)body;
    (void)length;
    loss->rows = 1;
    *(struct spool_loss *)context = *loss;
}

/* What is dropped later is told by its new number, and without a hash that nobody else has. */
static void test_dropped_under_the_new_epoch(void **state)
{
    struct spool_loss told = {0}, loss;
    struct spool_options options = scratch_options(*state);
    options.describe = describe;
    options.context = &told;
    struct spool *spool;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_OK);
    for (uint64_t seq = 1; seq <= 12; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    assert_int_equal(spool_fork(spool, 2, &NONE, NEW, NULL), POISE_OK);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_OK);
    assert_true(told.last > 0 && told.last < 5);
    assert_int_equal(spool_lost(spool, 1, &loss, NULL), POISE_OK);
    assert_int_equal(loss.first, 1);
    assert_true(loss.last > 0 && loss.hash == 0);
    spool_close(spool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_numbers_begin_anew),
        TEST(test_doubt_is_a_loss),
        TEST(test_what_was_acknowledged_goes_again),
        TEST(test_wrong_places),
        TEST(test_dropped_under_the_new_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
