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
        cmocka_unit_test(nodes_are_linked),
        cmocka_unit_test(rollup_is_inherited),
        cmocka_unit_test(the_latest_form_in_force_counts),
        cmocka_unit_test(another_text_has_another_hash),
        cmocka_unit_test(warnings),
        cmocka_unit_test(the_reference_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
