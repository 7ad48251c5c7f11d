#include <base/buf.h>
#include <base/text.h>
#include <math.h>
#include <model/scorecard.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct scorecard *read(const char *text)
{
    struct scorecard *card = NULL;
    struct problems problems = {0};
    if (scorecard_read_bytes("t.yaml", text, strlen(text), &card, &problems) != POISE_OK) {
        problems_print(&problems, stderr);
        fail();
    }
    assert_int_equal(problems.count, 0);
    problems_free(&problems);
    return card;
}

static int64_t ms(const char *text)
{
    int64_t time_ms;
    assert_true(parse_time_ms(text, strlen(text), &time_ms));
    return time_ms;
}

static const char minimal[] = "scorecard: c\n"
                              "perspectives:\n"
                              "  - id: p\n"
                              "    objectives:\n"
                              "      - id: o\n"
                              "        measures:\n"
                              "          - {id: m, aggregate: sum, score: {linear: {from: 0, to: 1}}}\n";

static void defaults(void **state)
{
    (void)state;
    struct scorecard *card = read(minimal);
    assert_string_equal(card->id, "c");
    assert_string_equal(card->name, "c");
    assert_string_equal(zone_name(card->zone), "UTC");
    assert_int_equal(card->fiscal_year_start, 1);
    assert_int_equal(card->period, PERIOD_MONTH);
    assert_true(card->green_from == 200.0 / 3 && card->amber_from == 100.0 / 3);
    assert_int_equal(card->node_count, 4);
    const struct node *leaf = &card->nodes[3];
    assert_string_equal(leaf->path, "c/p/o/m");
    assert_string_equal(leaf->name, "m");
    assert_true(leaf->weight == 1);
    assert_int_equal(card->nodes[0].rollup.kind, ROLLUP_MEAN);
    assert_true(card->nodes[2].rollup.min_coverage == 0.5);
    const struct measure *measure = leaf->measure;
    assert_string_equal(measure->input, "m");
    assert_string_equal(measure->uom, "");
    assert_int_equal(measure->period, PERIOD_MONTH);
    assert_false(measure->basis_closed);
    assert_true(measure->subtree);
    assert_int_equal(measure->carry, 1);
    assert_int_equal(measure->min_count, 1);
    assert_true(isnan(measure->min_of) && isnan(measure->empty));
    assert_int_equal(measure->missing, MISSING_RENORMALISE);
    assert_int_equal(measure->max_ahead_ms, 300000);
    assert_int_equal(measure->orgs.count, 0);
    assert_int_equal(measure->form_count, 1);
    assert_true(measure->forms[0].from_ms == INT64_MIN);
    assert_int_equal(card->tick_ms, 60000);
    assert_null(measure->formula);
    assert_int_equal(measure->rolling_ms, 0);
    assert_int_equal(measure->across, ACROSS_POOL);
    assert_int_equal(measure->max_age_ms, 0);
    assert_true(measure->pace_from == 0);
    assert_false(measure->pace || measure->stale_drop || measure->critical);
    scorecard_free(card);
    scorecard_free(NULL);
}

static const char full[] =
    "scorecard: acme\n"
    "name: Acme\n"
    "timezone: Europe/London\n"
    "fiscal_year_start: 4\n"
    "period: quarter\n"
    "rollup: {penalised_mean: 0.25}\n"
    "min_coverage: 0.75\n"
    "status: {green: 80, amber: 40}\n"
    "perspectives:\n"
    "  - id: p\n"
    "    weight: 3\n"
    "    rollup: geometric\n"
    "    objectives:\n"
    "      - id: o\n"
    "        drives: [q.o]\n"
    "        min_coverage: 0\n"
    "        measures:\n"
    "          - id: a\n"
    "            name: Ae\n"
    "            uom: hours\n"
    "            input: x\n"
    "            weight: 0\n"
    "            aggregate: ratio\n"
    "            period: week\n"
    "            basis: closed\n"
    "            carry: 0\n"
    "            roll_up: none\n"
    "            min_count: 3\n"
    "            min_of: 5\n"
    "            missing: {impute: 40}\n"
    "            max_ahead: 31d\n"
    "            orgs: ['', 'p/**']\n"
    "            score:\n"
    "              - {linear: {from: 1, to: 2}}\n"
    "              - {from: 2026-04-01, goal_red: {goal: 3, red: 5}}\n"
    "              - {from: 2026-04-01, orgs: p1, band: {low_zero: 1, low: 1, high: 2, high_zero: 3}}\n"
    "              - {from: 2025-04-01, step: {below: 5, steps: [{at: 0, score: 20}, {at: 5, score: 70}]}}\n"
    "          - {id: b, aggregate: count, empty: 0, missing: zero, score: {binary: {}}}\n"
    "      - id: o2\n"
    "        measures: [{id: c, aggregate: last, score: {binary: {}}}]\n"
    "  - id: q\n"
    "    objectives:\n"
    "      - {id: o, rollup: min, measures: [{id: d, aggregate: first, score: {binary: {}}}]}\n";

static void every_option(void **state)
{
    (void)state;
    struct scorecard *card = read(full);
    assert_string_equal(card->name, "Acme");
    assert_string_equal(zone_name(card->zone), "Europe/London");
    assert_true(card->green_from == 80 && card->amber_from == 40);
    struct calendar calendar = scorecard_calendar(card, PERIOD_QUARTER);
    assert_int_equal(calendar.fiscal_year_start, 4);
    assert_int_equal(period_of(&calendar, ms("2026-06-30T22:59:59Z")).end_ms, ms("2026-06-30T23:00:00Z"));
    const struct measure *measure = card->nodes[3].measure;
    assert_string_equal(measure->input, "x");
    assert_string_equal(measure->uom, "hours");
    assert_int_equal(measure->aggregate, AGGREGATE_RATIO);
    assert_int_equal(measure->period, PERIOD_WEEK);
    assert_true(measure->basis_closed);
    assert_false(measure->subtree);
    assert_int_equal(measure->carry, 0);
    assert_int_equal(measure->min_count, 3);
    assert_true(measure->min_of == 5 && isnan(measure->empty));
    assert_int_equal(measure->missing, MISSING_IMPUTE);
    assert_true(measure->impute == 40);
    assert_int_equal(measure->max_ahead_ms, INT64_C(31) * 86400000);
    assert_true(globs_match(&measure->orgs, "") && globs_match(&measure->orgs, "p/x"));
    assert_false(globs_match(&measure->orgs, "p"));
    measure = card->nodes[4].measure;
    assert_int_equal(measure->period, PERIOD_QUARTER);
    assert_true(measure->empty == 0);
    assert_int_equal(measure->missing, MISSING_ZERO);
    scorecard_free(card);
}

static const char windows[] =
    "scorecard: c\n"
    "tick: 1h\n"
    "period: day\n"
    "perspectives:\n"
    "  - id: p\n"
    "    objectives:\n"
    "      - id: o\n"
    "        measures:\n"
    "          - {id: a, aggregate: p1, rolling: 7d, max_age: 36h, score: {binary: {}}}\n"
    "          - {id: b, aggregate: p99, input: a, max_age: 2w, stale: drop, score: {binary: {}}}\n"
    "          - {id: d, aggregate: 'p50', across_orgs: max, stale: hold, max_age: 1ms, score: {binary: "
    "{}}}\n"
    "          - {id: e, aggregate: sum, pace: true, pace_from: 0.25, across_orgs: sum, score: {binary: "
    "{}}}\n"
    "          - {id: f, aggregate: count, period: year, basis: closed, pace: true, score: {binary: {}}}\n"
    "          - {id: g, aggregate: stddev, critical: true, weight: 0, pace: false, score: {binary: {}}}\n"
    "          - {id: h, aggregate: last, roll_up: none, rolling: 3660d, pace: false, score: {binary: {}}}\n";

static void windows_and_age(void **state)
{
    (void)state;
    struct scorecard *card = read(windows);
    assert_int_equal(card->tick_ms, 3600000);
    const struct measure *a = card->nodes[3].measure, *b = card->nodes[4].measure;
    const struct measure *d = card->nodes[5].measure, *e = card->nodes[6].measure;
    const struct measure *f = card->nodes[7].measure, *g = card->nodes[8].measure;
    assert_int_equal(a->aggregate, AGGREGATE_QUANTILE);
    assert_true(a->quantile == 1 && b->quantile == 99 && d->quantile == 50);
    assert_int_equal(a->rolling_ms, INT64_C(7) * 86400000);
    assert_int_equal(a->period, PERIOD_DAY);
    assert_int_equal(a->max_age_ms, 36 * 3600000);
    assert_true(!a->stale_drop && b->stale_drop && !d->stale_drop);
    assert_int_equal(b->max_age_ms, INT64_C(14) * 86400000);
    assert_int_equal(d->across, ACROSS_MAX);
    assert_int_equal(e->across, ACROSS_SUM);
    assert_true(e->pace && e->pace_from == 0.25);
    assert_true(f->pace && f->pace_from == 0 && f->basis_closed);
    assert_int_equal(g->aggregate, AGGREGATE_STDDEV);
    assert_true(g->critical && !g->pace && !a->critical);
    assert_int_equal(card->nodes[9].measure->rolling_ms, INT64_C(3660) * 86400000);
    scorecard_free(card);
}

static void every_percentile(void **state)
{
    (void)state;
    const char *at = strstr(minimal, "sum");
    for (int quantile = 1; quantile <= 99; quantile++) {
        struct buf text = {0};
        buf_printf(&text, "%.*sp%d%s", (int)(at - minimal), minimal, quantile, at + strlen("sum"));
        buf_put_u8(&text, 0);
        struct scorecard *card = read((const char *)text.data);
        assert_int_equal(card->nodes[3].measure->aggregate, AGGREGATE_QUANTILE);
        assert_int_equal(card->nodes[3].measure->quantile, quantile);
        scorecard_free(card);
        buf_free(&text);
    }
}

static void time_is_rounded_down_to_the_tick(void **state)
{
    (void)state;
    struct scorecard *card = read(windows);
    assert_int_equal(scorecard_tick(card, ms("2026-03-01T12:34:56.789Z")), ms("2026-03-01T12:00:00Z"));
    assert_int_equal(scorecard_tick(card, ms("2026-03-01T12:00:00Z")), ms("2026-03-01T12:00:00Z"));
    assert_int_equal(scorecard_tick(card, 3599999), 0);
    assert_int_equal(scorecard_tick(card, 0), 0);
    assert_int_equal(scorecard_tick(card, -1), -3600000);
    assert_int_equal(scorecard_tick(card, -3600000), -3600000);
    assert_int_equal(scorecard_tick(card, ms("1969-07-20T20:17:40Z")), ms("1969-07-20T20:00:00Z"));
    scorecard_free(card);
}

static void levels_and_plans(void **state)
{
    (void)state;
    struct scorecard *card =
        read("{scorecard: c, timezone: Europe/London, perspectives: [{id: p, objectives: [{id: o, measures: ["
             "{id: a, aggregate: min, score: {levels: [{name: good, value: 2, score: 60}, "
             "{name: 'not so good', value: -1.5, score: 0}]}}, "
             "{id: b, aggregate: sum, score: {milestone: {planned: [{on: 2026-03-29, value: 0}, "
             "{on: 2026-03-30, value: 1e100}, {on: '2026-10-25', value: 5}, {on: 2026-10-26, value: 5}]}}}]"
             "}]}]}");
    const struct form *levels = &card->nodes[3].measure->forms[0];
    assert_int_equal(levels->kind, FORM_LEVELS);
    assert_int_equal(levels->levels.count, 2);
    assert_string_equal(levels->levels.items[0].name, "good");
    assert_true(levels->levels.items[0].value == 2 && levels->levels.items[0].score == 60);
    assert_string_equal(levels->levels.items[1].name, "not so good");
    assert_true(levels->levels.items[1].value == -1.5 && levels->levels.items[1].score == 0);
    const struct form *plan = &card->nodes[4].measure->forms[0];
    assert_int_equal(plan->kind, FORM_MILESTONE);
    assert_int_equal(plan->milestone.count, 4);
    const struct planned *items = plan->milestone.items;
    assert_int_equal(items[0].on_ms, ms("2026-03-29T00:00:00Z")); /* the clock changes an hour later */
    assert_int_equal(items[1].on_ms, ms("2026-03-29T23:00:00Z"));
    assert_int_equal(items[2].on_ms, ms("2026-10-24T23:00:00Z"));
    assert_int_equal(items[3].on_ms, ms("2026-10-26T00:00:00Z"));
    assert_true(items[0].value == 0 && items[1].value == 1e100 && items[3].value == 5);
    scorecard_free(card);
    card = read("{scorecard: c, perspectives: [{id: p, objectives: [{id: o, measures: ["
                "{id: a, aggregate: first, score: {levels: [{name: x, value: 0, score: 0}]}}, "
                "{id: b, aggregate: last, score: [{binary: {}}, {levels: [{name: x, value: 0, score: 0}]}]}, "
                "{id: d, aggregate: max, score: {levels: [{name: x, value: 0, score: 0}]}}]}]}]}");
    assert_int_equal(card->nodes[4].measure->forms[0].kind, FORM_LEVELS); /* further down goes first */
    assert_int_equal(card->nodes[4].measure->forms[1].kind, FORM_BINARY);
    scorecard_free(card);
    /* A midnight that the zone left out: the day begins at one. */
    card = read("{scorecard: c, timezone: America/Sao_Paulo, perspectives: [{id: p, objectives: [{id: o, "
                "measures: [{id: a, aggregate: sum, score: {milestone: {planned: [{on: 2017-10-15, value: 1}"
                "]}}}]}]}]}");
    assert_int_equal(card->nodes[3].measure->forms[0].milestone.items[0].on_ms, ms("2017-10-15T03:00:00Z"));
    scorecard_free(card);
}

static void nodes_are_linked(void **state)
{
    (void)state;
    static const char *const paths[] = {"acme",      "acme/p",      "acme/p/o", "acme/p/o/a", "acme/p/o/b",
                                        "acme/p/o2", "acme/p/o2/c", "acme/q",   "acme/q/o",   "acme/q/o/d"};
    struct scorecard *card = read(full);
    const struct node *nodes = card->nodes;
    assert_int_equal(card->node_count, sizeof paths / sizeof *paths);
    for (uint32_t i = 0; i < card->node_count; i++)
        assert_string_equal(nodes[i].path, paths[i]);
    assert_int_equal(nodes[0].parent, NODE_NONE);
    assert_int_equal(nodes[0].first_child, 1);
    assert_int_equal(nodes[0].child_count, 2);
    assert_int_equal(nodes[1].next_sibling, 7);
    assert_int_equal(nodes[7].next_sibling, NODE_NONE);
    assert_int_equal(nodes[2].next_sibling, 5);
    assert_int_equal(nodes[4].parent, 2);
    assert_int_equal(nodes[4].first_child, NODE_NONE);
    assert_true(nodes[1].weight == 3 && nodes[3].weight == 0);
    assert_int_equal(nodes[2].drives.count, 1);
    assert_string_equal(nodes[2].drives.items[0], "q.o");
    scorecard_free(card);
}

static void rollup_is_inherited(void **state)
{
    (void)state;
    struct scorecard *card = read(full);
    const struct node *nodes = card->nodes;
    assert_int_equal(nodes[0].rollup.kind, ROLLUP_PENALISED_MEAN);
    assert_true(nodes[0].rollup.penalty == 0.25);
    assert_int_equal(nodes[1].rollup.kind, ROLLUP_GEOMETRIC);
    assert_int_equal(nodes[2].rollup.kind, ROLLUP_GEOMETRIC);
    assert_true(nodes[1].rollup.min_coverage == 0.75 && nodes[2].rollup.min_coverage == 0);
    assert_int_equal(nodes[7].rollup.kind, ROLLUP_PENALISED_MEAN);
    assert_true(nodes[7].rollup.penalty == 0.25);
    assert_int_equal(nodes[8].rollup.kind, ROLLUP_MIN);
    assert_true(nodes[8].rollup.min_coverage == 0.75);
    scorecard_free(card);
}

static void the_latest_form_in_force_counts(void **state)
{
    (void)state;
    struct scorecard *card = read(full);
    const struct measure *measure = card->nodes[3].measure;
    int64_t change = ms("2026-03-31T23:00:00Z"); /* midnight in London */
    assert_int_equal(measure_form(measure, "p1", change + 1)->kind, FORM_BAND);
    assert_int_equal(measure_form(measure, "", change + 1)->kind, FORM_GOAL_RED);
    assert_int_equal(measure_form(measure, "p1", change)->kind, FORM_STEP);
    assert_int_equal(measure_form(measure, "", ms("2025-01-01T00:00:00Z"))->kind, FORM_LINEAR);
    const struct form *step = measure_form(measure, "", change);
    assert_true(step->step.below == 5);
    assert_int_equal(step->step.count, 2);
    assert_true(step->step.items[1].at == 5 && step->step.items[1].score == 70);
    scorecard_free(card);
    card =
        read("{scorecard: c, perspectives: [{id: p, objectives: [{id: o, measures: [{id: m, aggregate: sum, "
             "score: [{from: 2026-04-01, binary: {}}]}]}]}]}");
    assert_null(measure_form(card->nodes[3].measure, "", ms("2026-04-01T00:00:00Z")));
    assert_non_null(measure_form(card->nodes[3].measure, "", ms("2026-04-01T00:00:00.001Z")));
    scorecard_free(card);
}

static void another_text_has_another_hash(void **state)
{
    (void)state;
    struct scorecard *one = read(minimal), *same = read(minimal), *other = read(full);
    assert_true(one->hash == same->hash);
    assert_true(one->hash != other->hash);
    scorecard_free(one);
    scorecard_free(same);
    scorecard_free(other);
}

static char *printed(void (*print)(const struct scorecard *card, FILE *out), const struct scorecard *card)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    print(card, out);
    fclose(out);
    return text;
}

static void warnings(void **state)
{
    (void)state;
    struct scorecard *card = read(full);
    char *text = printed(scorecard_warnings, card);
    assert_non_null(strstr(text, "acme/p has 75 % of the weight"));
    assert_null(strstr(text, "acme/q has"));
    assert_null(strstr(text, "acme/p/o/a"));
    assert_non_null(strstr(text, "acme/p/o/b has 38 % of the whole weight"));
    assert_null(strstr(text, "acme/q/o/d"));
    free(text);
    scorecard_free(card);
    card = read("{scorecard: c, perspectives: ["
                "{id: p, weight: 95, objectives: [{id: o, weight: 0, measures: [{id: m, aggregate: sum, "
                "score: {binary: {}}}]}]}, {id: q, weight: 5, objectives: [{id: o, measures: [{id: n, "
                "aggregate: sum, score: {binary: {}}}]}]}]}");
    text = printed(scorecard_warnings, card);
    assert_non_null(strstr(text, "c/p is empty"));
    assert_non_null(strstr(text, "c/q has 5.0 % of the weight"));
    free(text);
    scorecard_free(card);
}

static void document(const struct scorecard *card, FILE *out)
{
    (void)card;
    scorecard_document(out);
}

/* docs/scorecard.md holds the tables of the code, word for word. */
static void the_reference_is_true(void **state)
{
    (void)state;
    char *tables = printed(document, NULL);
    FILE *file = fopen(POISE_SOURCE_DIR "/docs/scorecard.md", "re");
    assert_non_null(file);
    static char text[1 << 17];
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    if (!strstr(text, tables)) {
        fputs(tables, stderr);
        fail_msg("docs/scorecard.md lacks these tables; put them there");
    }
    free(tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_option),
        cmocka_unit_test(windows_and_age),
        cmocka_unit_test(every_percentile),
        cmocka_unit_test(time_is_rounded_down_to_the_tick),
        cmocka_unit_test(levels_and_plans),
        cmocka_unit_test(nodes_are_linked),
        cmocka_unit_test(rollup_is_inherited),
        cmocka_unit_test(the_latest_form_in_force_counts),
        cmocka_unit_test(another_text_has_another_hash),
        cmocka_unit_test(warnings),
        cmocka_unit_test(the_reference_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
