/* Acknowledged segments that are kept, and a store that goes back. */
#include "scratch.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 200, DAY_MS = 86400000 };

static struct spool *open_keeping(const char *path, int64_t keep_ms)
{
    struct spool_options options = scratch_options(path);
    struct spool *spool = NULL;
    poise_error err = {0};
    options.keep_ms = keep_ms;
    if (spool_open(&options, &spool, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return spool;
}

static void append_acked(struct spool *spool, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        scratch_append(spool, seq, BODY);
        scratch_ack(spool, seq);
    }
}

static void rewind_to(struct spool *spool, uint64_t seq)
{
    poise_error err = {0};
    if (spool_rewind(spool, seq, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(spool_first_seq(spool), seq);
    assert_int_equal(spool_last_hash(spool), seq > 1 ? scratch_hash(seq - 1) : 0);
}

static void test_going_back(void **state)
{
    struct spool *spool = open_keeping(*state, DAY_MS);
    append_acked(spool, 1, 30);
    assert_int_equal(spool_kept_seq(spool), 1);
    scratch_append(spool, 31, BODY);
    rewind_to(spool, 31); /* nothing to do */
    for (uint64_t seq = 30; seq > 0; seq -= seq > 7 ? 7 : 1) {
        rewind_to(spool, seq);
        scratch_check(spool, seq, 32, BODY);
    }
    scratch_ack(spool, 12);
    spool_close(spool);
    spool = open_keeping(*state, DAY_MS); /* and it is known after a start */
    scratch_check(spool, 13, 32, BODY);
    assert_int_equal(spool_kept_seq(spool), 1);
    rewind_to(spool, 5);
    scratch_append(spool, 32, BODY);
    scratch_check(spool, 5, 33, BODY);
    scratch_ack(spool, 32);
    spool_close(spool);
    spool = open_keeping(*state, 0); /* who keeps nothing has only the last segment */
    assert_true(spool_kept_seq(spool) > 25);
    assert_int_equal(spool_rewind(spool, 2, NULL), POISE_ENOTFOUND);
    assert_int_equal(spool_first_seq(spool), 33);
    spool_close(spool);
}

/* What is kept is never in the way of what comes. */
static void test_room(void **state)
{
    struct spool *spool = open_keeping(*state, DAY_MS);
    append_acked(spool, 1, 300);
    assert_true(spool_bytes(spool) <= 20000 && spool_bytes(spool) > 17000);
    uint64_t kept = spool_kept_seq(spool);
    assert_true(kept > 200 && kept < 250);
    assert_int_equal(spool_rewind(spool, kept - 1, NULL), POISE_ENOTFOUND);
    rewind_to(spool, kept);
    poise_error err = {0};
    uint64_t seq = 301; /* and is not lost while it is wanted */
    uint8_t body[BODY] = {0};
    poise_code code;
    while ((code = spool_append(spool, body, sizeof body, seq, NULL, 0, &err)) == POISE_OK) {
        seq++;
        assert_true(seq < 400);
    }
    assert_int_equal(code, POISE_EFULL);
    assert_int_equal(spool_first_seq(spool), kept);
    scratch_ack(spool, seq - 1);
    append_acked(spool, seq, seq + 100);
    spool_close(spool);
}

static void test_age(void **state)
{
    struct spool *spool = open_keeping(*state, DAY_MS);
    append_acked(spool, 1, 30);
    spool_close(spool);
    for (int i = 0; i < 4; i++) { /* the first segments were written long ago */
        char path[PATH_MAX];
        struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        snprintf(path, sizeof path, "%s/%020d.seg", (const char *)*state, 1 + 4 * i);
        assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    }
    spool = open_keeping(*state, DAY_MS);
    assert_int_equal(spool_kept_seq(spool), 17);
    rewind_to(spool, 17);
    scratch_check(spool, 17, 31, BODY);
    spool_close(spool);
}

/* Damage in what is only kept is no reason not to open. */
static void test_damage(void **state)
{
    struct spool *spool = open_keeping(*state, DAY_MS);
    append_acked(spool, 1, 30);
    spool_close(spool);
    scratch_flip(*state, "00000000000000000009.seg", 5);             /* a head */
    scratch_flip(*state, "00000000000000000017.seg", HEAD + 2 * 60); /* a body */
    spool = open_keeping(*state, DAY_MS);
    assert_int_equal(spool_first_seq(spool), 31);
    assert_int_equal(spool_kept_seq(spool), 13);
    assert_int_equal(spool_rewind(spool, 14, NULL), POISE_ECORRUPT);
    assert_int_equal(spool_first_seq(spool), 31);
    rewind_to(spool, 21);
    scratch_check(spool, 21, 31, BODY);
    spool_close(spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_going_back, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_room, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_age, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_damage, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
