/* What opening makes of a directory that a crash, a disk or a person has been at. */
#include "scratch.h"
#include <base/hash.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST "00000000000000000001.seg"
enum { LENGTH = 100, EACH = RECORD + LENGTH };

/* Three batches in one segment. */
static void make_three(const char *path, struct buf *ret_bytes)
{
    struct spool *spool = scratch_open(path);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    spool_close(spool);
    scratch_load(path, FIRST, ret_bytes);
    assert_int_equal(ret_bytes->length, HEAD + 3 * EACH);
}

/* A power cut at any byte of the third append; the two before stay, and the sequence goes on. */
static void test_torn_at_every_byte(void **state)
{
    struct buf bytes = {0};
    make_three(*state, &bytes);
    for (size_t length = HEAD + 2 * EACH; length < bytes.length; length++) {
        scratch_store(*state, FIRST, bytes.data, length);
        struct spool *spool = scratch_open(*state);
        scratch_check(spool, 1, 3, LENGTH);
        scratch_append(spool, 3, LENGTH);
        spool_close(spool);
        spool = scratch_open(*state);
        scratch_check(spool, 1, 4, LENGTH);
        spool_close(spool);
    }
    buf_free(&bytes);
}

/* A file system that grew the file before it wrote the bytes. */
static void test_torn_leaving_zeros(void **state)
{
    struct buf bytes = {0};
    make_three(*state, &bytes);
    for (size_t written = 0; written < EACH; written++) {
        size_t at = HEAD + 2 * EACH + written;
        memset(bytes.data + at, 0, bytes.length - at);
        scratch_store(*state, FIRST, bytes.data, bytes.length);
        struct spool *spool = scratch_open(*state);
        scratch_check(spool, 1, 3, LENGTH);
        scratch_append(spool, 3, LENGTH);
        spool_close(spool);
        scratch_load(*state, FIRST, &bytes);
        assert_int_equal(bytes.length, HEAD + 3 * EACH);
    }
    buf_free(&bytes);
}

/* A flipped bit before the last record is no torn tail: what follows it was accepted. */
static void test_damage_before_the_tail(void **state)
{
    struct buf bytes = {0};
    make_three(*state, &bytes);
    for (size_t at = 0; at < HEAD + 2 * EACH; at++) {
        bytes.data[at] ^= 4;
        scratch_store(*state, FIRST, bytes.data, bytes.length);
        bytes.data[at] ^= 4;

        assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), FIRST));
    }
    scratch_store(*state, FIRST, bytes.data, bytes.length);
    struct spool *spool = scratch_open(*state);
    scratch_check(spool, 1, 4, LENGTH);
    spool_close(spool);
    buf_free(&bytes);
}

/* ---- several segments ---- */

static void make_many(const char *path)
{
    struct spool *spool = scratch_open(path);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    spool_close(spool);
    assert_int_equal(scratch_segments(path), 3);
}

#define SECOND "00000000000000000008.seg"
#define THIRD  "00000000000000000015.seg"

static void test_damage_in_an_older_segment(void **state)
{
    make_many(*state);
    struct buf bytes = {0};
    scratch_load(*state, SECOND, &bytes);
    scratch_store(*state, SECOND, bytes.data, bytes.length - 1); /* torn, but not the last */
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), SECOND));
    scratch_store(*state, SECOND, bytes.data, bytes.length - EACH); /* a whole record less */
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), "lacks batches 14 to 14"));
    scratch_store(*state, SECOND, bytes.data, bytes.length);
    scratch_flip(*state, SECOND, HEAD + EACH + 50);
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), SECOND));
    buf_free(&bytes);
}

static void test_deleted_segment(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, SECOND, &bytes);
    scratch_unlink(*state, SECOND);
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), "lacks batches 8 to 14"));
    scratch_unlink(*state, FIRST);
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), "batch 1,"));
    scratch_unlink(*state, THIRD);
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), "batch 1,"));
    buf_free(&bytes);
}

static void test_exchanged_segment(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, FIRST, &bytes);
    scratch_store(*state, SECOND, bytes.data, bytes.length);
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), SECOND));
    buf_free(&bytes);
}

/* The removal of acknowledged segments was undone in part by a power cut. */
static void test_leftovers_of_removal(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, FIRST, &bytes);
    struct spool *spool = scratch_open(*state);
    scratch_ack(spool, 16);
    assert_int_equal(scratch_segments(*state), 1);
    spool_close(spool);
    scratch_store(*state, FIRST, bytes.data, bytes.length / 2);
    spool = scratch_open(*state);
    scratch_check(spool, 17, 21, LENGTH);
    assert_int_equal(scratch_segments(*state), 1);
    spool_close(spool);
    buf_free(&bytes);
}

/* The end of the last segment is gone though it was acknowledged: its numbers are not given again. */
static void test_acknowledged_tail_lost(void **state)
{
    struct buf bytes = {0};
    make_three(*state, &bytes);
    struct spool *spool = scratch_open(*state);
    scratch_ack(spool, 3);
    spool_close(spool);
    scratch_store(*state, FIRST, bytes.data, HEAD + EACH + 10);
    for (int i = 0; i < 2; i++) {
        spool = scratch_open(*state);
        scratch_check(spool, 4, 4, LENGTH);
        spool_close(spool);
    }
    spool = scratch_open(*state);
    scratch_append(spool, 4, LENGTH);
    scratch_check(spool, 4, 5, LENGTH);
    spool_close(spool);
    buf_free(&bytes);
}

/* The machine stopped while a segment was being made: at every byte of its head. It has no name yet. */
static void test_half_made_segment(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, THIRD, &bytes);
    for (size_t length = 0; length <= HEAD; length++) {
        scratch_store(*state, "segment.new", bytes.data, length);
        struct spool *spool = scratch_open(*state);
        uint64_t next = 21 + 8 * length;
        scratch_check(spool, length == 0 ? 1 : next - 1, next, LENGTH);
        for (uint64_t seq = next; seq < next + 8; seq++) { /* another segment */
            scratch_append(spool, seq, LENGTH);
        }
        scratch_ack(spool, next + 6);
        spool_close(spool);
    }
    buf_free(&bytes);
}

/* One that has its name was whole: what was in it is not known. */
static void test_segment_without_a_head(void **state)
{
    struct buf bytes = {0};
    make_many(*state);
    scratch_load(*state, THIRD, &bytes);
    for (size_t length = 0; length < HEAD; length++) {
        scratch_store(*state, THIRD, bytes.data, length);
        assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), THIRD));
    }
    scratch_store(*state, THIRD, bytes.data, bytes.length);
    struct spool *spool = scratch_open(*state);
    scratch_check(spool, 1, 21, LENGTH);
    spool_close(spool);
    buf_free(&bytes);
}

/* ---- the other files ---- */

static void test_half_made_spool(void **state)
{
    struct spool *spool = scratch_open(*state);
    spool_close(spool);
    scratch_unlink(*state, "spool.meta");
    spool = scratch_open(*state);
    scratch_append(spool, 1, LENGTH);
    spool_close(spool);
    scratch_unlink(*state, "spool.meta");
    assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), "spool.meta"));
}

static void test_damaged_meta(void **state)
{
    struct buf meta = {0}, bytes = {0};
    make_three(*state, &bytes);
    scratch_load(*state, "spool.meta", &meta);
    for (size_t at = 0; at < meta.length; at++) {
        meta.data[at] ^= 1;
        scratch_store(*state, "spool.meta", meta.data, meta.length);
        meta.data[at] ^= 1;
        assert_non_null(strstr(scratch_refuse(*state, POISE_ECORRUPT), "spool.meta"));
        scratch_store(*state, "spool.meta", meta.data, at);
        scratch_refuse(*state, POISE_ECORRUPT);
    }
    meta.data[4] = 1; /* of before there were losses */
    struct buf crc = {.data = meta.data + meta.length - 4, .capacity = 4};
    buf_put_u32(&crc, crc32c(meta.data, meta.length - 4));
    scratch_store(*state, "spool.meta", meta.data, meta.length);
    struct spool *spool = scratch_open(*state);
    scratch_check(spool, 1, 4, LENGTH);
    spool_close(spool);
    scratch_load(*state, "spool.meta", &meta);
    assert_int_equal(meta.data[4], 4); /* which they do not open */
    meta.data[4] = 5;
    crc = (struct buf){.data = meta.data + meta.length - 4, .capacity = 4};
    buf_put_u32(&crc, crc32c(meta.data, meta.length - 4));
    scratch_store(*state, "spool.meta", meta.data, meta.length);
    assert_non_null(strstr(scratch_refuse(*state, POISE_EVERSION), "version 5"));
    buf_free(&meta);
    buf_free(&bytes);
}

static void test_other_version_of_segment(void **state)
{
    struct buf bytes = {0};
    make_three(*state, &bytes);
    bytes.data[4] = 2;
    struct buf crc = {.data = bytes.data + 32, .capacity = 4};
    buf_put_u32(&crc, crc32c(bytes.data, 32));
    scratch_store(*state, FIRST, bytes.data, bytes.length);
    assert_non_null(strstr(scratch_refuse(*state, POISE_EVERSION), "version 2"));
    buf_free(&bytes);
}

static void test_damage_while_open(void **state)
{
    struct buf bytes = {0}, body = {0};
    make_three(*state, &bytes);
    struct spool *spool = scratch_open(*state);
    scratch_flip(*state, FIRST, HEAD + EACH + RECORD + 5);
    poise_error err = {0};
    assert_int_equal(spool_read(spool, 1, &body, &err), POISE_OK);
    assert_int_equal(spool_read(spool, 2, &body, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "batch 2 "));
    assert_int_equal(body.length, LENGTH);
    assert_int_equal(spool_read(spool, 3, &body, &err), POISE_OK);
    spool_close(spool);
    buf_free(&bytes);
    buf_free(&body);
}

/* ---- processes ---- */

static void test_second_opener_is_told(void **state)
{
    struct spool *spool = scratch_open(*state);
    assert_non_null(strstr(scratch_refuse(*state, POISE_EBUSY), "in use"));
    scratch_append(spool, 1, LENGTH);
    spool_close(spool);
}

static _Noreturn void append_until_killed(const char *path, int out)
{
    struct spool *spool = scratch_open(path);
    for (uint64_t seq = spool_next_seq(spool);; seq++) {
        if (seq - spool_first_seq(spool) > 20 && spool_ack(spool, seq - 10, NULL) != POISE_OK) {
            _exit(2);
        }
        scratch_append(spool, seq, LENGTH);
        if (write(out, &seq, sizeof seq) != sizeof seq) {
            _exit(1);
        }
    }
}

static void test_kill_9_loses_nothing_accepted(void **state)
{
    for (int round = 0; round < 5; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            append_until_killed(*state, ends[1]);
        }
        close(ends[1]);
        uint64_t accepted = 0, seq;
        for (int count = 0; read(ends[0], &seq, sizeof seq) == sizeof seq; count++) {
            accepted = seq;
            if (count == 100 + 13 * round) {
                kill(child, SIGKILL);
            }
        }
        close(ends[0]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        struct spool *spool = scratch_open(*state);
        uint64_t next = spool_next_seq(spool);
        assert_true(next == accepted + 1 || next == accepted + 2);
        assert_true(next - spool_first_seq(spool) <= 22); /* acknowledgements survive the process */
        scratch_check(spool, spool_first_seq(spool), next, LENGTH);
        spool_close(spool);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_torn_at_every_byte),       TEST(test_torn_leaving_zeros),
        TEST(test_damage_before_the_tail),   TEST(test_damage_in_an_older_segment),
        TEST(test_deleted_segment),          TEST(test_exchanged_segment),
        TEST(test_leftovers_of_removal),     TEST(test_acknowledged_tail_lost),
        TEST(test_half_made_segment),        TEST(test_segment_without_a_head),
        TEST(test_half_made_spool),          TEST(test_damaged_meta),
        TEST(test_other_version_of_segment), TEST(test_damage_while_open),
        TEST(test_second_opener_is_told),    TEST(test_kill_9_loses_nothing_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
