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
                                      .spool_age_ms = 10000,
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_file_says_what_is),
                                       cmocka_unit_test(the_file_is_written_every_ten_seconds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
