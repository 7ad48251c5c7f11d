#include "cli_test.h"
#include <base/text.h>
#include <cli/table.h>

static const struct table_style plain = {.columns = 80, .utf8 = true};

static void put_states(struct buf *out, const struct table_style *style, const poise_state *states,
                       size_t count)
{
    struct table_row rows[16] = {0};
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++) {
        rows[i].state = &states[i];
    }
    table_put(out, style, T_MARCH_20, rows, count);
}

/* A small scorecard with something of everything. */
static size_t example(poise_state states[16])
{
    size_t n = 0;
    states[n++] = branch("acme", "Acme Manufacturing", POISE_SCORECARD, 63.4, POISE_AMBER);
    states[0].numbers.hi = 95;
    states[0].numbers.coverage = 0.8;
    states[0].numbers.uncertain = true;
    states[0].numbers.trend = 3;
    states[n++] = branch("acme/c", "Customer", POISE_PERSPECTIVE, 70.8, POISE_GREEN);
    states[1].numbers.trend = 0.2;
    states[n++] =
        branch("acme/c/l", "Customers come back and bring others", POISE_OBJECTIVE, 70.8, POISE_GREEN);
    states[2].numbers.trend = -7;
    states[n++] = leaf("acme/c/l/nps", "Net promoter score", 42.5, 70.8333, POISE_GREEN);
    states[n++] =
        leaf("acme/c/l/cost", "Cost-reduction programme of the whole group", 1234567.891, 0, POISE_RED);
    states[4].numbers.flags = POISE_FLAG_CARRIED | POISE_FLAG_STALE;
    states[n++] = leaf("acme/c/l/rate", "Defects", 0.00527874, 100, POISE_GREEN);
    states[5].numbers.flags = POISE_FLAG_STALE;
    states[n++] = leaf("acme/c/l/none", "Nothing yet", NAN, NAN, POISE_NO_DATA);
    return n;
}

static void looks_as_documented(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_state states[16];
    put_states(&out, &plain, states, example(states));
    assert_string_equal(text_of(&out),
                        "the whole organisation                                as of 2026-03-20 00:00:00Z\n"
                        "                                    value score         status  data period\n"
                        "Acme Manufacturing                         63.4 ↑ ███▏░ amber?   80%\n"
                        "Customer                                   70.8 → ███▌  green   100%\n"
                        "  Customers come back and brin…            70.8 ↓ ███▌  green   100%\n"
                        "    Net promoter score               42.5  70.8   ███▌  green   100% 2026-03\n"
                        "    Cost-reduction programme o…   1234568   0.0         red     100% carried…\n"
                        "    Defects                      0.005279 100.0   █████ green   100% stale\n"
                        "    Nothing yet                                   ░░░░░ no data   0% 2026-03\n");
    buf_free(&out);
}

static void without_utf8(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_state states[16];
    const struct table_style ascii = {.columns = 80};
    put_states(&out, &ascii, states, example(states));
    const char *text = text_of(&out);
    for (const char *at = text; *at; at++) {
        assert_true((unsigned char)*at < 0x80);
    }
    assert_non_null(strstr(text, "63.4 ^ ###.. amber?"));
    assert_non_null(strstr(text, "brin~"));
    buf_free(&out);
}

static void lines_fit(void **unused)
{
    (void)unused;
    poise_state states[16];
    size_t count = example(states);
    states[3].numbers.flags = 31;
    states[3].numbers.value = -1.23456e-99;
    for (size_t columns = 44; columns <= 200; columns++) {
        struct buf out = {0};
        const struct table_style style = {.columns = columns, .utf8 = true};
        put_states(&out, &style, states, count);
        char line[2048];
        const char *text = text_of(&out);
        for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
            snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
            if (utf8_columns(line) > columns) {
                fail_msg("at %zu columns a line has %zu: %s", columns, utf8_columns(line), line);
            }
        }
        buf_free(&out);
    }
}

static void the_balance_ends_the_table(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_state states[] = {branch("a", "A", POISE_SCORECARD, 50, POISE_AMBER),
                            branch("a/p", "P", POISE_PERSPECTIVE, 90, POISE_GREEN),
                            branch("a/q", "Q", POISE_PERSPECTIVE, 10, POISE_RED)};
    put_states(&out, &plain, states, 3);
    assert_non_null(strstr(text_of(&out), "\nBalance of the perspectives: 60 of 100\n")); /* sqrt(900) / 50 */
    buf_reset(&out);
    states[1].weight = 3;
    put_states(&out, &plain, states, 3);
    assert_non_null(strstr(text_of(&out), ": 74 of 100\n")); /* (90^3 10)^(1/4) / 70 */
    buf_reset(&out);
    states[2].numbers.score = NAN;
    put_states(&out, &plain, states, 3);
    assert_null(strstr(text_of(&out), "Balance"));
    buf_free(&out);
}

static void colour_only_where_wanted(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_state state = branch("a", "A", POISE_SCORECARD, 10, POISE_RED);
    const struct table_row row = {.state = &state, .fresh = true};
    const struct table_style coloured = {.columns = 80, .utf8 = true, .colour = true};
    table_put(&out, &plain, T_MARCH_20, &row, 1);
    assert_null(strchr(text_of(&out), '\033'));
    table_put(&out, &coloured, T_MARCH_20, &row, 1);
    assert_non_null(strstr(text_of(&out), "\033[31m\033[7m 10.0\033[0m\033[31m"));
    buf_free(&out);
}

static void check_period(int64_t start_ms, int64_t end_ms, const char *wanted)
{
    struct buf out = {0};
    poise_state state = leaf("a/b/c/d", "D", 1, 1, POISE_RED);
    state.numbers.period_start_ms = start_ms;
    state.numbers.period_end_ms = end_ms;
    put_states(&out, &plain, &state, 1);
    const char *text = text_of(&out);
    const char *found = strstr(text, "100% ");
    assert_non_null(found);
    assert_string_equal(found + 5, wanted);
    buf_free(&out);
}

static void periods_have_names(void **unused)
{
    (void)unused;
    const int64_t hour = 3600000, day = 24 * hour;
    check_period(T_MARCH_1, T_APRIL_1, "2026-03\n");
    check_period(T_MARCH_1 - 13 * hour, T_APRIL_1 - 13 * hour, "2026-03\n"); /* far east */
    check_period(T_MARCH_1 + 10 * hour, T_APRIL_1 + 10 * hour, "2026-03\n"); /* far west */
    check_period(T_MARCH_1, T_MARCH_1 + day, "2026-03-01\n");
    check_period(T_MARCH_1 - hour, T_MARCH_1 + 24 * hour, "2026-03-01\n"); /* 25 hours */
    check_period(T_MARCH_1 + day, T_MARCH_1 + 8 * day, "2026-W10\n");
    check_period(T_MARCH_1 + 9 * hour, T_MARCH_1 + 10 * hour, "09:00Z\n");
    check_period(T_APRIL_1 - 90 * day, T_APRIL_1, "2026-Q1\n");
    check_period(T_MARCH_1, T_MARCH_1 + 92 * day, "2026-03+\n");
    check_period(T_APRIL_1 - 90 * day, T_APRIL_1 + 91 * day, "2026-H1\n");
    check_period(T_APRIL_1 - 90 * day, T_APRIL_1 + 275 * day, "2026\n");
    check_period(T_APRIL_1, T_APRIL_1 + 365 * day, "2026-04+\n");
    check_period(-31 * day, 0, "1969-12\n");
}

static void check_value(double value, const char *wanted)
{
    struct buf out = {0};
    poise_state state = leaf("a/b/c/d", "D", value, NAN, POISE_NO_DATA);
    put_states(&out, &plain, &state, 1);
    const char *row = strchr(strchr(text_of(&out), '\n') + 1, '\n') + 1;
    char cell[10] = "";
    memcpy(cell, row + 13, 9);
    assert_string_equal(cell, wanted);
    buf_free(&out);
}

static void values_are_rounded_for_people(void **unused)
{
    (void)unused;
    check_value(0, "        0");
    check_value(-0.000001, "-1.00e-06");
    check_value(12, "       12");
    check_value(12.5, "     12.5");
    check_value(123456.4, "   123456");
    check_value(99999999.9, "100000000");
    check_value(-12345678, "-12345678");
    check_value(-123456789, "-1.23e+08");
    check_value(1e100, "1.00e+100");
    check_value(-1e100, "-1.0e+100");
    check_value(0.005278743401570748, " 0.005279");
    check_value(99.99999, "      100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_as_documented),
        cmocka_unit_test(without_utf8),
        cmocka_unit_test(lines_fit),
        cmocka_unit_test(the_balance_ends_the_table),
        cmocka_unit_test(colour_only_where_wanted),
        cmocka_unit_test(periods_have_names),
        cmocka_unit_test(values_are_rounded_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
