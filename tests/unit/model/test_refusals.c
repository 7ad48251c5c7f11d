/* Planted errors: each definition has one mistake, and gets its line and what would be right. */
#include <base/buf.h>
#include <model/scorecard.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In this definition one line is replaced. */
static const char *const lines[] = {
    "scorecard: c",
    "timezone: Europe/London",
    "period: month",
    "rollup: mean",
    "perspectives:",
    "  - id: p",
    "    weight: 2",
    "    objectives:",
    "      - id: o",
    "        drives: [p.o2]",
    "        measures:",
    "          - id: m",
    "            aggregate: sum",
    "            score: {linear: {from: 0, to: 1}}",
    "            carry: 1",
    "      - {id: o2, measures: [{id: n, aggregate: mean, score: {binary: {}}}]}",
};
enum { LINES = sizeof lines / sizeof *lines };

static const struct planted {
    int line;
    const char *instead;
    int column;
    const char *said;
} planted[] = {
    {1, "scorecard: c d", 12, "must be an id"},
    {1, "name: c", 1, "the key 'scorecard' is missing"},
    {1, "scorecard: c\nscorecard: d", -1, "duplicate key 'scorecard'"},
    {2, "timezone: Europe/Londn", 11, "no time zone 'Europe/Londn'; use an IANA name"},
    {2, "timezone: ''", 11, "no time zone ''"},
    {2, "timezone: ../UTC", 11, "no time zone"},
    {2, "time_zone: UTC", 1, "unknown key 'time_zone'; did you mean 'timezone'?"},
    {2, "fiscal_year_start: 0", 20, "from 1 to 12"},
    {2, "fiscal_year_start: April", 20, "a whole number"},
    {2, "tick: 1m", 1, "not supported by this version yet: 'tick'"},
    {2, "grace: 1d", 1, "not supported by this version yet: 'grace'"},
    {2, "lock_after: 1d", 1, "not supported by this version yet: 'lock_after'"},
    {2, "keep: 1d", 1, "not supported by this version yet: 'keep'"},
    {2, "calendar: work", 1, "not supported by this version yet: 'calendar'"},
    {2, "min_coverage: 50", 15, "from 0 to 1"},
    {2, "status: {green: 40, amber: 60}", 9, "'amber' must begin below 'green'"},
    {2, "status: {green: 101}", 17, "from 0 to 100"},
    {2, "status: {red: 10}", 10, "unknown key 'red'"},
    {2, "status: green", 9, "must be a mapping"},
    {3, "period: monthly", 9, "did you mean 'month'?"},
    {3, "period: 7", 9, "minute, hour, day, week, month, quarter, half or year"},
    {4, "rollup: median", 9, "mean, min, max or geometric"},
    {4, "rollup: penalised_mean", 9, "{penalised_mean: 0.5}"},
    {4, "rollup: {penalised_mean: 2}", 26, "from 0 to 1"},
    {4, "rollup: {}", 9, "'penalised_mean' is missing"},
    {6, "  - id: p\n    id: q", -1, "duplicate key 'id'"},
    {6, "  - name: p", 5, "the key 'id' is missing"},
    {7, "    weight: -2", 13, "from 0 to 1e+100, not -2"},
    {7, "    weight: heavy", 13, "must be a number, not 'heavy'"},
    {7, "    weight: .inf", 13, "must be a number"},
    {7, "    weight: '2'", 13, "take the quotes away"},
    {7, "    weight:", 12, "has no value"},
    {7, "    wieght: 2", 5, "did you mean 'weight'?"},
    {10, "        drives: [p.o3]", 18, "no objective 'p.o3'"},
    {10, "        drives: [p.o]", 18, "drives makes a cycle: p.o -> p.o"},
    {10, "        drives: [p]", 18, "write perspective.objective"},
    {10, "        drives: {p: o}", 17, "must be a list of texts"},
    {12, "          - id: n", 0, "duplicate id 'n'"},
    {13, "            aggregate: total", 24, "must be sum, count, min"},
    {13, "            aggregate: sun", 24, "did you mean 'sum'?"},
    {13, "            aggregate: p90", 24, "not supported by this version yet: aggregate 'p90'"},
    {13, "            aggregate: stddev", 24, "not supported by this version yet: aggregate 'stddev'"},
    {13, "            aggregate: p100", 24, "must be sum"},
    {13, "            aggregate: p0", 24, "must be sum"},
    {13, "            name: m", 13, "the key 'aggregate' is missing"},
    {13, "            formula: a * b", 13, "not supported by this version yet: 'formula'"},
    {14, "            name: m", 13, "the key 'score' is missing"},
    {14, "            score: {linear: {from: 1, to: 1}}", 29, "'from' and 'to' must differ"},
    {14, "            score: {linear: {from: 1}}", 29, "the key 'to' is missing"},
    {14, "            score: {linear: {from: 1, to: 1e101}}", 43, "1e-100"},
    {14, "            score: {linear: 3}", 29, "must be a mapping"},
    {14, "            score: {goal_red: {goal: 2, red: 2}}", 31, "'goal' and 'red' must differ"},
    {14, "            score: {band: {low_zero: 1, low: 0, high: 3, high_zero: 4}}", 27,
     "a band must be ordered"},
    {14, "            score: {band: {low_zero: 1, low: 2, high: 1.5, high_zero: 4}}", 27,
     "a band must be ordered"},
    {14, "            score: {band: {low_zero: 1, low: 2, high: 3, high_zero: 2}}", 27,
     "a band must be ordered"},
    {14, "            score: {step: {below: 0, steps: []}}", 45, "at least one {at: number, score: number}"},
    {14, "            score: {step: {below: 0, steps: [{at: 1, score: 1}, {at: 1, score: 2}]}}", 65,
     "steps must rise"},
    {14, "            score: {step: {below: -1, steps: [{at: 1, score: 1}]}}", 35, "from 0 to 100"},
    {14, "            score: {step: {below: 0, steps: [{at: 1, score: 101}]}}", 61, "from 0 to 100"},
    {14, "            score: {binary: {at: 1}}", 29, "write binary: {}"},
    {14, "            score: {}", 20, "exactly one of linear"},
    {14, "            score: []", 20, "1 to 1000 forms, not 0"},
    {14, "            score: linear", 20, "must be a mapping"},
    {14, "            score: {binary: {}, linear: {from: 0, to: 1}}", 20, "exactly one of linear"},
    {14, "            score: {linaer: {from: 0, to: 1}, binary: {}}", 21, "did you mean 'linear'?"},
    {14, "            score: {from: 2026-02-30, binary: {}}", 27, "a date from 1900-01-01"},
    {14, "            score: {from: tomorrow, binary: {}}", 27, "a date from 1900-01-01"},
    {14, "            score: {from: 1899-12-31, binary: {}}", 27, "a date from 1900-01-01"},
    {14, "            score: {orgs: [], binary: {}}", 27, "at least one pattern"},
    {14, "            score: {orgs: ['a', 'b**'], binary: {}}", 33, "'b**' is no pattern of orgs"},
    {14, "            score: {levels: []}", 21, "not supported by this version yet: 'levels'"},
    {14, "            score: {milestone: {}}", 21, "not supported by this version yet: 'milestone'"},
    {15, "            carry: -1", 20, "from 0 to 10000"},
    {15, "            empty: x", 20, "must be a number"},
    {15, "            min_of: 3", 21, "ratio or weighted_mean only, not with sum"},
    {15, "            min_count: 1.5", 24, "a whole number"},
    {15, "            basis: shut", 20, "open or closed"},
    {15, "            roll_up: all", 22, "subtree or none"},
    {15, "            missing: ignore", 22, "renormalise or zero"},
    {15, "            missing: {impute: 101}", 31, "from 0 to 100"},
    {15, "            max_ahead: 5", 24, "a duration such as"},
    {15, "            orgs: ['/']", 20, "'/' is no pattern of orgs"},
    {15, "            input: a b", 20, "must be an id"},
    {15, "            rolling: 7d", 13, "not supported by this version yet: 'rolling'"},
    {15, "            pace: true", 13, "not supported by this version yet: 'pace'"},
    {15, "            pace_from: 0.2", 13, "not supported by this version yet: 'pace_from'"},
    {15, "            max_age: 24h", 13, "not supported by this version yet: 'max_age'"},
    {15, "            stale: drop", 13, "not supported by this version yet: 'stale'"},
    {15, "            across_orgs: sum", 13, "not supported by this version yet: 'across_orgs'"},
    {15, "            critical: true", 13, "not supported by this version yet: 'critical'"},
    {16, "      - {id: o2, measures: []}", 28, "'measures' must be a list with at least one item"},
    {16, "      - {id: o2}", 9, "the key 'measures' is missing"},
    {16, "      - {id: o2, measures: [{id: n, aggregate: mean, empty: 0, score: {binary: {}}}]}", 61,
     "'empty' goes with aggregate sum or count only, not with mean"},
    {16, "      - {id: o2, drives: p.o, measures: [{id: n, aggregate: sum, score: {binary: {}}}]}", 26,
     "drives makes a cycle: p.o -> p.o2 -> p.o"},
    {16, "      - {id: o2, measures: [text]}", 29, "this item must be a mapping"},
    {16, "      - {id: o2, measures: {id: n}}", 28, "'measures' must be a list"},
};

/* The line of the planted text where the problem must be; 2 where the text has two lines and the second is
 * wrong. */
static void check(const struct planted *plant)
{
    struct buf text = {0};
    for (int i = 0; i < LINES; i++)
        buf_printf(&text, "%s\n", i + 1 == plant->line ? plant->instead : lines[i]);
    struct scorecard *card = NULL;
    struct problems problems = {0};
    poise_code code = scorecard_read_bytes("t", (const char *)text.data, text.length, &card, &problems);
    const struct problem *problem = problems.kept > 0 ? &problems.items[0] : NULL;
    /* A duplicate id is reported where it comes second, a duplicate key in the line after. */
    int line = plant->column == 0 ? LINES : plant->column < 0 ? plant->line + 1 : plant->line;
    /* A missing key is reported at the mapping that lacks it. */
    bool missing = strstr(plant->said, "is missing") && problem && problem->line <= plant->line;
    bool fine = code == POISE_ECONFIG && !card && problems.count == 1 && strstr(problem->text, plant->said) &&
                (missing || problem->line == line) &&
                (missing || plant->column <= 0 || problem->column == plant->column);
    if (!fine) {
        problems_print(&problems, stderr);
        fail_msg("line %d '%s': expected one problem in line %d, column %d: %s", plant->line, plant->instead,
                 line, plant->column, plant->said);
    }
    problems_free(&problems);
    buf_free(&text);
}

static void each_mistake_has_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++)
        check(&planted[i]);
}

static void the_definition_itself_is_fine(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < LINES; i++)
        buf_printf(&text, "%s\n", lines[i]);
    struct scorecard *card = NULL;
    struct problems problems = {0};
    assert_int_equal(scorecard_read_bytes("t", (const char *)text.data, text.length, &card, &problems),
                     POISE_OK);
    scorecard_free(card);
    buf_free(&text);
}

static size_t problems_of(const char *text)
{
    struct scorecard *card = NULL;
    struct problems problems = {0};
    assert_int_not_equal(scorecard_read_bytes("t", text, strlen(text), &card, &problems), POISE_OK);
    assert_null(card);
    size_t count = problems.count;
    problems_free(&problems);
    return count;
}

static void all_in_one_run(void **state)
{
    (void)state;
    assert_int_equal(problems_of("scorecard: a b\nfoo: 1\ntimezone: X\nperiod: x\nperspectives:\n"
                                 "  - {id: p, weight: -1, objectives: []}\n"
                                 "  - {id: p, objectives: [{id: o, drives: x.y, measures: [{id: m, "
                                 "aggregate: p1, score: {levels: []}}]}]}\n"),
                     10);
}

static void whole_files(void **state)
{
    (void)state;
    assert_int_equal(problems_of(""), 1);
    assert_int_equal(problems_of("- a\n"), 1);
    assert_int_equal(problems_of("{"), 1);
    struct buf text = {0};
    buf_printf(&text, "{scorecard: c, perspectives: [{id: p, objectives: [{id: o, measures: [");
    for (int i = 0; i < SCORECARD_NODES_MAX - 2; i++)
        buf_printf(&text, "{id: m%d, aggregate: sum, score: {binary: {}}},\n", i);
    buf_printf(&text, "]}]}]}");
    buf_put_u8(&text, 0);
    assert_int_equal(problems_of((const char *)text.data), 1);
    buf_free(&text);
    struct scorecard *card = NULL;
    struct problems problems = {0};
    assert_int_equal(scorecard_read_file("/nonexistent.yaml", &card, &problems), POISE_ENOTFOUND);
    assert_int_equal(problems.count, 1);
    problems_free(&problems);
}

static void ids_with_dots_must_not_collide(void **state)
{
    (void)state;
    assert_int_equal(
        problems_of("{scorecard: c, perspectives: ["
                    "{id: a.b, objectives: [{id: c, measures: [{id: m, aggregate: sum, score: {binary: "
                    "{}}}]}]}, {id: a, objectives: [{id: b.c, measures: [{id: n, aggregate: sum, score: "
                    "{binary: {}}}]}]}]}"),
        1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_definition_itself_is_fine),
        cmocka_unit_test(each_mistake_has_its_line),
        cmocka_unit_test(all_in_one_run),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(ids_with_dots_must_not_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
