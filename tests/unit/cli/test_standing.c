/* What stands of keyed rows, and the line of progress. */
#include "cli_test.h"
#include <cli/progress.h>
#include <cli/standing.h>

static poise_measurement row_of(const char *measure, const char *source, const char *key, uint64_t seq)
{
    return (poise_measurement){.measure = measure, .source = source, .key = key, .seq = seq};
}

/* "1" for each row that stands. Places are 10, 11, ... */
static const char *standing_of(const poise_measurement *rows, size_t count, struct buf *out)
{
    struct standing standing = {0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(standing_note(&standing, &rows[i], 10 + i, NULL), POISE_OK);
    for (size_t i = 0; i < count; i++)
        buf_put_u8(out, standing_has(&standing, &rows[i], 10 + i) ? '1' : '0');
    standing_free(&standing);
    return text_of(out);
}

static void the_higher_rank_stands(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_measurement rows[] = {
        row_of("a", "", "k", 0),    row_of("a", "", "k", 0),  row_of("a", "s", "k", 0),
        row_of("b", "", "k", 0),    row_of("a", "", NULL, 0), row_of("a", "", NULL, 0),
        row_of("a", NULL, "k2", 9), row_of("a", "", "k2", 8), row_of("a", "", "k3", 5),
        row_of("a", "", "k3", 5),   row_of("a", "", "k4", 0), row_of("a", "", "k4", 0),
        row_of("a", "", "k5", 7),   row_of("a", "", "k5", 6), row_of("a", "", "k6", 25),
        row_of("a", "", "k6", 0)};
    rows[11].retract = true; /* k4 is gone; */
    rows[13].retract =
        true; /* k5 is not, since its retraction came too late; the row of place 25 is as high */
    assert_string_equal(standing_of(rows, sizeof rows / sizeof rows[0], &out), "0111111010001010");
    buf_free(&out);
}

static void names_do_not_run_together(void **unused)
{
    (void)unused;
    struct buf out = {0};
    const poise_measurement rows[] = {row_of("a", "bc", "d", 0), row_of("ab", "c", "d", 0),
                                      row_of("a", "b", "cd", 0)};
    assert_string_equal(standing_of(rows, 3, &out), "111");
    buf_free(&out);
}

static const char *line_of(const struct progress *progress, size_t columns, bool utf8, struct buf *out)
{
    const struct table_style style = {.columns = columns, .utf8 = utf8};
    progress_put(progress, &style, 2000000, out);
    return text_of(out);
}

static void progress_is_one_line(void **unused)
{
    (void)unused;
    struct buf out = {0};
    struct progress progress = {.rows = 1234567, .done = 1, .total = 4};
    assert_string_equal(line_of(&progress, 80, false, &out),
                        "####------------  25 %  1,234,567 rows, 617,283 rows/s");
    progress.acknowledges = true;
    progress.acknowledged = 999;
    assert_string_equal(line_of(&progress, 80, false, &out),
                        "####------------  25 %  1,234,567 rows, 617,283 rows/s, 999 acknowledged");
    assert_string_equal(line_of(&progress, 40, false, &out), "####------------  25 %  1,234,567 rows, ");
    assert_string_equal(line_of(&progress, 10, true, &out), "████░░░░░░");
    progress.total = 0;
    assert_string_equal(line_of(&progress, 80, true, &out),
                        "1,234,567 rows, 617,283 rows/s, 999 acknowledged");
    progress.done = progress.total = 5;
    progress.rows = 0;
    assert_string_equal(line_of(&progress, 40, false, &out), "################ 100 %  0 rows, 0 rows/s");
    progress_begin(&progress, NULL); /* no terminal: nothing is shown */
    progress_look(&progress);
    progress_hide(&progress);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_higher_rank_stands),
        cmocka_unit_test(names_do_not_run_together),
        cmocka_unit_test(progress_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
