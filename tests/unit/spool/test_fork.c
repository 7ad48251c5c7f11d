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

static void check_is(struct spool *spool, uint64_t seq)
{
    struct buf here = {0};
    struct spool_loss loss;
    assert_int_equal(spool_lost(spool, seq, &loss, NULL), POISE_OK);
    assert_int_equal(loss.last, 0);
    assert_int_equal(spool_read(spool, seq, &here, NULL), POISE_OK);
    assert_int_equal(here.length, LENGTH);
    for (size_t i = 0; i < LENGTH; i += sizeof(uint64_t)) {
        uint64_t word = hash_mix(seq, i);
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

static void test_numbers_go_on(void **state)
{
    struct spool *spool = filled(*state, 12);
    assert_int_equal(spool_start_seq(spool), 1);
    scratch_ack(spool, 3);
    assert_int_equal(spool_fork(spool, 6, 0, NEW, 99, NULL), POISE_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spool_epoch(spool), NEW);
        assert_int_equal(spool_forked_epoch(spool), EPOCH);
        assert_int_equal(spool_start_seq(spool), 6);
        assert_int_equal(spool_first_seq(spool), 6);
        assert_int_equal(spool_next_seq(spool), 13);
        assert_int_equal(spool_kept_seq(spool), 6);
        assert_true(spool_last_hash(spool) == 99);
        check_is(spool, 6);
        check_is(spool, 12);
        struct buf body = {0};
        assert_int_equal(spool_read(spool, 13, &body, NULL), POISE_ENOTFOUND);
        assert_int_equal(spool_read(spool, 5, &body, NULL), POISE_OK); /* it is still there */
        assert_int_equal(spool_read(spool, 0, &body, NULL), POISE_ENOTFOUND);
        buf_free(&body);
        assert_int_equal(spool_rewind(spool, 5, NULL), POISE_ENOTFOUND); /* not into the old one */
        spool = reopen(spool, *state);
    }
    scratch_ack(spool, 7);
    assert_true(spool_last_hash(spool) == 0); /* it was hashed under its old epoch */
    assert_int_equal(spool_append(spool, "new", 3, 77, NULL, 0, NULL), POISE_OK);
    spool = reopen(spool, *state);
    assert_int_equal(spool_first_seq(spool), 8);
    assert_int_equal(spool_next_seq(spool), 14);
    assert_int_equal(spool_ack(spool, 14, NULL), POISE_EINVAL);
    scratch_ack(spool, 13);
    spool = reopen(spool, *state);
    assert_true(spool_last_hash(spool) == 77);
    assert_int_equal(spool_first_seq(spool), 14);
    spool_close(spool);
}

static void check_doubtful(struct spool *spool, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++) {
        struct spool_loss loss;
        struct buf body = {0};
        assert_int_equal(spool_lost(spool, seq, &loss, NULL), POISE_OK);
        assert_int_equal(loss.first, seq); /* the aggregator may have some of them */
        assert_int_equal(loss.last, seq);
        assert_int_equal(loss.reason, SPOOL_FORKED);
        assert_int_equal(spool_read(spool, seq, &body, NULL),
                         POISE_OK); /* so that it can be told what is lost */
        assert_int_equal(body.length, LENGTH);
        buf_free(&body);
    }
}

static void test_doubt_is_a_loss(void **state)
{
    struct spool *spool = filled(*state, 6);
    assert_int_equal(spool_fork(spool, 2, 4, NEW, 0, NULL), POISE_OK);
    for (int i = 0; i < 2; i++) {
        check_doubtful(spool, 2, 4);
        check_is(spool, 5);
        spool = reopen(spool, *state);
    }
    scratch_ack(spool, 2);
    assert_int_equal(spool_fork(spool, 3, 0, NEW + 1, 0, NULL),
                     POISE_OK); /* which says nothing of the first epoch */
    check_doubtful(spool, 3, 4);
    check_is(spool, 5);
    scratch_ack(spool, 4);
    assert_int_equal(spool_first_seq(spool), 5);
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
    assert_int_equal(spool_fork(spool, 9, 0, NEW, 0, NULL), POISE_OK);
    assert_int_equal(spool_first_seq(spool), 9);
    assert_int_equal(spool_next_seq(spool), 13);
    check_is(spool, 9);
    scratch_ack(spool, 12);
    assert_int_equal(spool_rewind(spool, 10, NULL), POISE_OK);
    assert_int_equal(spool_first_seq(spool), 10);
    assert_int_equal(spool_fork(spool, 11, 0, NEW + 1, 0, NULL), POISE_OK); /* once more */
    assert_int_equal(spool_forked_epoch(spool), NEW);
    assert_int_equal(spool_start_seq(spool), 11);
    check_is(spool, 11);
    spool_close(spool);
}

static void test_wrong_places(void **state)
{
    struct spool *spool = filled(*state, 4);
    assert_int_equal(spool_fork(spool, 0, 0, NEW, 0, NULL), POISE_EINVAL);
    assert_int_equal(spool_fork(spool, 6, 0, NEW, 0, NULL), POISE_EINVAL);
    assert_int_equal(spool_fork(spool, 1, 0, 0, 0, NULL), POISE_EINVAL);
    assert_int_equal(spool_fork(spool, 1, 5, NEW, 0, NULL), POISE_EINVAL);
    assert_int_equal(spool_epoch(spool), EPOCH);
    assert_int_equal(spool_fork(spool, 5, 0, NEW, 0, NULL), POISE_OK); /* nothing is left */
    assert_int_equal(spool_first_seq(spool), 5);
    assert_int_equal(spool_next_seq(spool), 5);
    spool_close(spool);
}

static void describe(void *context, const void *body, size_t length, struct spool_loss *loss)
{
    (void)body;
    (void)length;
    loss->rows = 1;
    *(struct spool_loss *)context = *loss;
}

/* What is dropped later is told without a hash that nobody else has, and what was in doubt is not told again.
 */
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
    assert_int_equal(spool_fork(spool, 2, 2, NEW, 0, NULL), POISE_OK);
    assert_int_equal(spool_drop_batches(spool, NULL), POISE_OK);
    assert_int_equal(told.rows, 1);
    assert_true(told.first > 2);
    assert_int_equal(spool_read(spool, 2, &(struct buf){0}, NULL), POISE_EGAP);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spool_lost(spool, 2, &loss, NULL), POISE_OK);
        assert_int_equal(loss.last, 2);
        assert_int_equal(loss.reason, SPOOL_FORKED);
        assert_int_equal(spool_lost(spool, 3, &loss, NULL), POISE_OK);
        assert_int_equal(loss.first, 3);
        assert_true(loss.last >= 3 && loss.hash == 0);
        spool = reopen(spool, *state);
    }
    spool_close(spool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_numbers_go_on),
        TEST(test_doubt_is_a_loss),
        TEST(test_what_was_acknowledged_goes_again),
        TEST(test_wrong_places),
        TEST(test_dropped_under_the_new_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
