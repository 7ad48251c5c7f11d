/* The producer's mark: set together with a batch or without one, and never older than what was accepted. */
#include "scratch.h"
#include <stdio.h>
#include <string.h>

#define FIRST "00000000000000000001.seg"
enum { LENGTH = 100 };

static void append_marked(struct spool *spool, const char *mark)
{
    uint8_t body[LENGTH] = {0};
    poise_error err;
    if (spool_append(spool, body, sizeof body, 1, mark, strlen(mark), &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

static void has_mark(const struct spool *spool, const char *expected)
{
    size_t length = 0;
    const void *mark = spool_mark(spool, &length);
    assert_int_equal(mark != NULL, expected != NULL);
    assert_int_equal(length, expected ? strlen(expected) : 0);
    assert_true(!expected || memcmp(mark, expected, length) == 0);
}

/* Also after a restart; returns the reopened spool. */
static struct spool *keeps_mark(struct spool *spool, const char *path, const char *expected)
{
    has_mark(spool, expected);
    spool_close(spool);
    spool = scratch_open(path);
    has_mark(spool, expected);
    return spool;
}

static void test_kept_over_restarts(void **state)
{
    struct spool *spool = keeps_mark(scratch_open(*state), *state, NULL);
    scratch_append(spool, 1, LENGTH);
    spool = keeps_mark(spool, *state, NULL);
    append_marked(spool, "one");
    spool = keeps_mark(spool, *state, "one");
    scratch_append(spool, 3, LENGTH); /* without a mark: the one before stands */
    spool = keeps_mark(spool, *state, "one");
    append_marked(spool, "two, longer");
    spool = keeps_mark(spool, *state, "two, longer");
    spool_close(spool);
}

static void test_bodies_are_as_they_were(void **state)
{
    struct buf out = {0};
    struct spool *spool = scratch_open(*state);
    assert_int_equal(spool_append(spool, "body", 4, 1, "mark", 4, NULL), POISE_OK);
    assert_int_equal(spool_append(spool, NULL, 0, 2, "m", 1, NULL), POISE_OK);
    assert_int_equal(spool_append(spool, "last", 4, 3, NULL, 0, NULL), POISE_OK);
    assert_int_equal(spool_read(spool, 1, &out, NULL), POISE_OK);
    assert_int_equal(spool_read(spool, 2, &out, NULL), POISE_OK);
    assert_int_equal(spool_read(spool, 3, &out, NULL), POISE_OK);
    assert_int_equal(out.length, 8);
    assert_memory_equal(out.data, "bodylast", 8);
    buf_free(&out);
    spool_close(spool);
}

static void test_set_without_a_batch(void **state)
{
    struct spool *spool = scratch_open(*state);
    assert_int_equal(spool_set_mark(spool, "alone", 5, NULL), POISE_OK);
    spool = keeps_mark(spool, *state, "alone");
    append_marked(spool, "batch");
    spool = keeps_mark(spool, *state, "batch");
    assert_int_equal(spool_set_mark(spool, "alone again", 11, NULL), POISE_OK);
    spool = keeps_mark(spool, *state, "alone again");
    assert_int_equal(spool_set_store(spool, (uint8_t[16]){1}, 2, NULL), POISE_OK);
    spool = keeps_mark(spool, *state, "alone again");
    spool_close(spool);
}

/* The segment of the batch that had it goes; also when nothing is appended after that. */
static void test_survives_removal(void **state)
{
    struct spool *spool = scratch_open(*state);
    append_marked(spool, "early");
    for (uint64_t seq = 2; seq <= 30; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    scratch_ack(spool, 30);
    assert_int_equal(scratch_segments(*state), 1);
    spool = keeps_mark(spool, *state, "early");
    append_marked(spool, "late");
    for (uint64_t seq = 32; seq <= 60; seq++) {
        scratch_append(spool, seq, LENGTH);
    }
    spool = keeps_mark(spool, *state, "late");
    scratch_ack(spool, 60);
    spool = keeps_mark(spool, *state, "late");
    spool_close(spool);
}

/* A batch that was not whole takes its mark with it. */
static void test_torn_with_its_batch(void **state)
{
    struct buf bytes = {0};
    struct spool *spool = scratch_open(*state);
    append_marked(spool, "one");
    append_marked(spool, "two");
    spool_close(spool);
    scratch_load(*state, FIRST, &bytes);
    for (size_t cut = 1; cut <= RECORD + 3 + LENGTH; cut++) {
        scratch_store(*state, FIRST, bytes.data, bytes.length - cut);
        spool = scratch_open(*state);
        has_mark(spool, "one");
        spool_close(spool);
    }
    buf_free(&bytes);
}

static void test_limits(void **state)
{
    static uint8_t large[SPOOL_MARK_MAX + 1];
    struct spool *spool = scratch_open(*state);
    assert_int_equal(spool_append(spool, "x", 1, 1, large, sizeof large, NULL), POISE_ELIMIT);
    assert_int_equal(spool_set_mark(spool, large, sizeof large, NULL), POISE_ELIMIT);
    has_mark(spool, NULL);
    assert_int_equal(spool_append(spool, "x", 1, 1, large, SPOOL_MARK_MAX, NULL), POISE_OK);
    assert_int_equal(spool_set_mark(spool, large, SPOOL_MARK_MAX, NULL), POISE_OK);
    spool_close(spool);
    spool = scratch_open(*state);
    size_t length = 0;
    assert_non_null(spool_mark(spool, &length));
    assert_int_equal(length, SPOOL_MARK_MAX);
    spool_close(spool);
}

/* An append for which there was no room leaves the mark as it was. */
static void test_no_room(void **state)
{
    struct spool *spool = scratch_open(*state);
    append_marked(spool, "fits");
    uint64_t seq = 2;
    static const uint8_t body[LENGTH];
    while (spool_append(spool, body, sizeof body, 1, NULL, 0, NULL) == POISE_OK) {
        seq++;
    }
    assert_int_equal(spool_append(spool, body, sizeof body, 1, "not", 3, NULL), POISE_EFULL);
    spool = keeps_mark(spool, *state, "fits");
    assert_int_equal(spool_next_seq(spool), seq);
    spool_close(spool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_kept_over_restarts),
                                       TEST(test_bodies_are_as_they_were),
                                       TEST(test_set_without_a_batch),
                                       TEST(test_survives_removal),
                                       TEST(test_torn_with_its_batch),
                                       TEST(test_limits),
                                       TEST(test_no_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
