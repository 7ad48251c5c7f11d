/* The collector's own numbers, by a clock and stats that the test plays. */
#include <base/buf.h>
#include <base/file.h>
#include <collector/numbers.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND_US INT64_C(1000000)

static int64_t now_us;

static int64_t now_of(void *context)
{
    (void)context;
    return now_us;
}

static const struct clock played = {.monotonic_us = now_of, .wall_ms = now_of};
static const struct collector_summary nothing;

static void look(struct numbers *numbers, uint64_t accepted, uint64_t acknowledged, uint64_t left)
{
    const poise_sender_stats stats = {
        .accepted = accepted, .acknowledged = acknowledged, .batches_left = left};
    numbers_look(numbers, &stats, &nothing);
}

static int64_t age_s(const struct numbers *numbers, uint64_t left)
{
    const poise_sender_stats stats = {.batches_left = left};
    return numbers_age_ms(numbers, &stats) / 1000;
}

static void the_oldest_batch_that_waits_says_the_age(void **state)
{
    (void)state;
    static struct numbers numbers;
    const struct log silent = {0};
    now_us = 5 * SECOND_US;
    numbers_open(&numbers, NULL, &silent, &played);
    look(&numbers, 0, 0, 0);
    for (uint64_t i = 1; i <= 10; i++) { /* one each second, none acknowledged */
        now_us += SECOND_US;
        look(&numbers, i, 0, i);
    }
    now_us += 2 * SECOND_US;
    look(&numbers, 10, 0, 10);
    assert_int_equal(age_s(&numbers, 10), 11);
    look(&numbers, 10, 4, 6);
    assert_int_equal(age_s(&numbers, 6), 7);
    look(&numbers, 11, 10, 1);
    assert_int_equal(age_s(&numbers, 1), 0);
    now_us += 3 * SECOND_US;
    assert_int_equal(age_s(&numbers, 1), 3);
    look(&numbers, 11, 11, 0);
    assert_int_equal(age_s(&numbers, 0), 0);
}

static void what_an_earlier_run_left_waits_since_the_start(void **state)
{
    (void)state;
    static struct numbers numbers;
    const struct log silent = {0};
    now_us = 0;
    numbers_open(&numbers, NULL, &silent, &played);
    look(&numbers, 0, 0, 5);
    now_us = 20 * SECOND_US;
    look(&numbers, 3, 2, 6);
    assert_int_equal(age_s(&numbers, 6), 20);
    look(&numbers, 3, 8, 0); /* five of the earlier run */
    now_us = 30 * SECOND_US;
    look(&numbers, 4, 8, 1);
    now_us = 33 * SECOND_US;
    look(&numbers, 5, 8, 2);
    assert_int_equal(age_s(&numbers, 2), 3);
    look(&numbers, 5, 9, 1);
    assert_int_equal(age_s(&numbers, 1), 0);
}

static void of_a_long_wait_a_hundredth_may_be_wrong(void **state)
{
    (void)state;
    static struct numbers numbers;
    const struct log silent = {0};
    now_us = 0;
    numbers_open(&numbers, NULL, &silent, &played);
    look(&numbers, 0, 0, 0);
    uint64_t count = 0;
    for (; count < 20000; count++) {
        now_us += SECOND_US;
        look(&numbers, count + 1, 0, count + 1);
    }
    assert_int_equal(age_s(&numbers, count), count - 1);
    for (uint64_t acknowledged = 0; acknowledged < count; acknowledged += 997) {
        look(&numbers, count, acknowledged, count - acknowledged);
        int64_t truth = (int64_t)(count - acknowledged) - 1;
        assert_in_range(age_s(&numbers, 1), truth > 200 ? truth - 200 : 0, truth);
    }
}

/* The file's number of that name. */
static uint64_t written(const char *path, const char *name)
{
    struct buf text = {0};
    char line[64];
    assert_int_equal(file_read(path, 1 << 16, &text, NULL), POISE_OK);
    buf_put_u8(&text, 0);
    int length = snprintf(line, sizeof line, "\npoise_collector_%s ", name);
    assert_in_range(length, 1, sizeof line - 1);
    const char *found = strstr((const char *)text.data, line);
    if (!found) {
        fail_msg("%s lacks %s", path, name);
        return 0;
    }
    uint64_t value = strtoull(found + length, NULL, 10);
    buf_free(&text);
    return value;
}

static void the_file_says_what_is(void **state)
{
    (void)state;
    static struct numbers numbers;
    char directory[] = "/tmp/poise-numbers-XXXXXX", path[64];
    const struct log silent = {0};
    const poise_sender_stats stats = {.accepted = 99,
                                      .acknowledged = 1,
                                      .refused = 2,
                                      .batches_left = 3,
                                      .spool_bytes = 4,
                                      .forks = 5,
                                      .connected = true};
    const struct collector_summary summary = {.rows = 6, .rows_skipped = 7, .rows_refused = 8, .sent = 9};
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/numbers.prom", directory);
    now_us = 0;
    numbers_open(&numbers, path, &silent, &played);
    now_us = 10 * SECOND_US;
    numbers_look(&numbers, &stats, &summary);
    static const struct {
        const char *name;
        uint64_t value;
    } wanted[] = {{"acknowledged", 1},     {"refused", 2},      {"spool_batches", 3},
                  {"spool_bytes", 4},      {"forks", 5},        {"rows", 6},
                  {"rows_skipped", 7},     {"rows_refused", 8}, {"sent", 9},
                  {"spool_age_ms", 10000}, {"connected", 1}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_int_equal(written(path, wanted[i].name), wanted[i].value);
    }
    unlink(path);
    rmdir(directory);
}

static void the_file_is_written_every_ten_seconds(void **state)
{
    (void)state;
    static struct numbers numbers;
    char directory[] = "/tmp/poise-numbers-XXXXXX", path[64];
    struct buf text = {0};
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/numbers.prom", directory);
    const struct log silent = {0};
    now_us = 0;
    numbers_open(&numbers, path, &silent, &played);
    look(&numbers, 7, 3, 2);
    assert_int_equal(file_read(path, 1 << 16, &text, NULL), POISE_OK);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((const char *)text.data, "# TYPE poise_collector_spool_batches gauge\n"
                                                    "poise_collector_spool_batches 2\n"));
    assert_non_null(strstr((const char *)text.data, "\npoise_collector_acknowledged 3\n"));
    assert_int_equal(unlink(path), 0);
    now_us = 10 * SECOND_US - 1;
    look(&numbers, 7, 3, 2);
    assert_int_equal(access(path, F_OK), -1);
    now_us++;
    look(&numbers, 7, 3, 2);
    assert_int_equal(access(path, F_OK), 0);
    buf_free(&text);
    unlink(path);
    rmdir(directory);
    now_us += 10 * SECOND_US; /* its directory is gone: that stops nothing */
    look(&numbers, 7, 3, 2);
    assert_true(numbers.failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_oldest_batch_that_waits_says_the_age),
                                       cmocka_unit_test(what_an_earlier_run_left_waits_since_the_start),
                                       cmocka_unit_test(of_a_long_wait_a_hundredth_may_be_wrong),
                                       cmocka_unit_test(the_file_says_what_is),
                                       cmocka_unit_test(the_file_is_written_every_ten_seconds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
