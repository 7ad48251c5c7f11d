/* Acknowledged segments that are kept, and a store that goes back. */
#include "scratch.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 200, DAY_S = 86400, DAY_MS = DAY_S * 1000 };

/* ---- clocks, which the test sets ahead ---- */

static time_t wall_ahead_s, monotonic_ahead_s;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int rc = __real_clock_gettime(clock, ret_time);
    ret_time->tv_sec += clock == CLOCK_REALTIME ? wall_ahead_s : monotonic_ahead_s;
    return rc;
}

static void pass(time_t seconds)
{
    wall_ahead_s += seconds;
    monotonic_ahead_s += seconds;
}

static int make(void **state)
{
    wall_ahead_s = monotonic_ahead_s = 0;
    return scratch_make(state);
}

/* ---- a spool ---- */

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

/* Segment i, of four batches, was written last at that time. */
static void set_time(const char *directory, int i, time_t seconds)
{
    char path[PATH_MAX];
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    snprintf(path, sizeof path, "%s/%020d.seg", directory, 1 + 4 * i);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_age(void **state)
{
    struct spool *spool = open_keeping(*state, DAY_MS);
    append_acked(spool, 1, 30);
    spool_close(spool);
    for (int i = 0; i < 4; i++) {
        set_time(*state, i, 1000);
    }
    set_time(*state, 4, time(NULL) - DAY_S / 2);
    set_time(*state, 5, time(NULL) + 100 * DAY_S); /* the clock was wrong */
    spool = open_keeping(*state, DAY_MS);
    assert_int_equal(spool_kept_seq(spool), 17);
    pass(DAY_S / 2 - 100);
    append_acked(spool, 31, 31);
    assert_int_equal(spool_kept_seq(spool), 17);
    rewind_to(spool, 17);
    scratch_check(spool, 17, 32, BODY);
    scratch_ack(spool, 31);
    pass(200);
    append_acked(spool, 32, 32);
    assert_int_equal(spool_kept_seq(spool), 21);
    pass(DAY_S / 2);
    append_acked(spool, 33, 33);
    assert_true(spool_kept_seq(spool) > 28);
    spool_close(spool);
}

/* A clock that is set makes nothing older or younger. */
static void test_clock_is_set(void **state)
{
    struct spool *spool = open_keeping(*state, DAY_MS);
    append_acked(spool, 1, 30);
    wall_ahead_s = 1000 * DAY_S;
    append_acked(spool, 31, 31);
    assert_int_equal(spool_kept_seq(spool), 1);
    wall_ahead_s = -1000 * DAY_S;
    append_acked(spool, 32, 32);
    pass(DAY_S + 100);
    append_acked(spool, 33, 33);
    assert_true(spool_kept_seq(spool) > 28);
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
        cmocka_unit_test_setup_teardown(test_going_back, make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_room, make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_age, make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_clock_is_set, make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_damage, make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
