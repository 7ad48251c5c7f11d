/* A red measure that is critical, and what it does to the nodes above it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/evaluate.h>

#define JAN_2026 INT64_C(1767225600000)

/* A scorecard, a perspective, and two objectives: one of two measures, one of one. All weights are 1 but for
 * the quiet measure, which makes its objective green whatever the critical one says. */
enum { CARD, PERSPECTIVE, OBJECTIVE, CRITICAL, QUIET, OTHER, ALONE, NODES };

struct fixture {
    struct zone *zone;
    struct scorecard card;
    struct node nodes[NODES];
    struct measure measure;
    struct form form;
    double values[NODES]; /* of the measures */
    poise_score scores[NODES];
    bool present[NODES];
};

static void add(struct fixture *f, uint32_t node, uint32_t parent, poise_kind kind)
{
    f->nodes[node] = (struct node){
        .kind = kind, .weight = 1, .parent = parent, .first_child = NODE_NONE, .next_sibling = NODE_NONE};
    f->present[node] = true;
    if (parent == NODE_NONE) {
        return;
    }
    uint32_t *place = &f->nodes[parent].first_child;
    while (*place != NODE_NONE) {
        place = &f->nodes[*place].next_sibling;
    }
    *place = node;
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){
        .form = {.kind = FORM_LINEAR, .from_ms = INT64_MIN, .linear = {.from = 0, .to = 100}}};
    assert_int_equal(zone_open("UTC", &f.zone, NULL), POISE_OK);
    f.card = (struct scorecard){.zone = f.zone,
                                .tick_ms = 60000,
                                .fiscal_year_start = 1,
                                .nodes = f.nodes,
                                .node_count = NODES,
                                .green_from = 200.0 / 3,
                                .amber_from = 100.0 / 3};
    f.measure = (struct measure){
        .min_of = NAN, .empty = NAN, .period = PERIOD_MONTH, .forms = &f.form, .form_count = 1};
    static const uint32_t parents[NODES] = {NODE_NONE, CARD,        PERSPECTIVE, OBJECTIVE,
                                            OBJECTIVE, PERSPECTIVE, OTHER};
    static const poise_kind kinds[NODES] = {POISE_SCORECARD, POISE_PERSPECTIVE, POISE_OBJECTIVE,
                                            POISE_MEASURE,   POISE_MEASURE,     POISE_OBJECTIVE,
                                            POISE_MEASURE};
    for (uint32_t node = 0; node < NODES; node++) {
        add(&f, node, parents[node], kinds[node]);
    }
    f.nodes[QUIET].weight = 9;
    f.values[CRITICAL] = 20;
    f.values[QUIET] = 100;
    f.values[ALONE] = 80;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    zone_close(f->zone);
    return 0;
}

static struct window_value read_value(void *context, struct period window)
{
    (void)window;
    double value = *(const double *)context;
    return (struct window_value){.value = value, .count = 1, .counted = isnan(value) ? 0U : 1U, .of = NAN};
}

/* Every node from below, with or without the measure being critical. */
static void settle(struct fixture *f, bool is_critical)
{
    const struct tree_scores tree = {.scores = f->scores, .present = f->present};
    for (uint32_t node = NODES; node-- > 0;) {
        if (f->nodes[node].kind != POISE_MEASURE) {
            evaluate_rollup(&f->card, node, &tree, &f->scores[node]);
            continue;
        }
        f->measure.critical = is_critical && node == CRITICAL;
        const struct leaf_source source = {.context = &f->values[node], .read = read_value};
        evaluate_aggregate(&f->card, &f->measure, "", JAN_2026 + 1, &source, &f->scores[node]);
    }
}

static void assert_capped(const struct fixture *f, uint32_t node)
{
    assert_int_equal(f->scores[node].status, POISE_AMBER);
    assert_int_equal(score_published(&f->scores[node]).flags, POISE_FLAG_CAPPED);
}

static void assert_as_it_is(const struct fixture *f, uint32_t node, poise_status status)
{
    assert_int_equal(f->scores[node].status, status);
    assert_int_equal(score_published(&f->scores[node]).flags, 0);
}

static void test_green_above_it_is_amber(void **state)
{
    struct fixture *f = *state;
    settle(f, false);
    assert_as_it_is(f, CARD, POISE_GREEN);
    assert_as_it_is(f, OBJECTIVE, POISE_GREEN);
    poise_score before = f->scores[OBJECTIVE];
    settle(f, true);
    assert_as_it_is(f, CRITICAL, POISE_RED);
    assert_capped(f, OBJECTIVE);
    assert_capped(f, PERSPECTIVE);
    assert_capped(f, CARD);
    assert_as_it_is(f, OTHER, POISE_GREEN);
    assert_as_it_is(f, QUIET, POISE_GREEN);
    poise_score after = score_published(&f->scores[OBJECTIVE]);
    after.status = before.status;
    after.flags = before.flags;
    assert_true(score_equal(&before, &after)); /* status and flag are all that it changes */
    assert_true(after.score == 92 && !after.uncertain);
}

static void test_only_green_is_capped(void **state)
{
    struct fixture *f = *state;
    f->values[QUIET] = 50;
    settle(f, true);
    assert_as_it_is(f, OBJECTIVE, POISE_AMBER);
    f->values[QUIET] = 30;
    f->nodes[OTHER].weight = 9;
    settle(f, true);
    assert_as_it_is(f, OBJECTIVE, POISE_RED);
    assert_capped(f, PERSPECTIVE); /* through one that it does not cap */
    f->nodes[PERSPECTIVE].rollup.min_coverage = 1.5;
    settle(f, true);
    assert_as_it_is(f, PERSPECTIVE, POISE_NO_DATA);
}

static void test_only_red_caps(void **state)
{
    struct fixture *f = *state;
    f->values[CRITICAL] = 34; /* amber */
    settle(f, true);
    assert_as_it_is(f, OBJECTIVE, POISE_GREEN);
    f->values[CRITICAL] = NAN;
    settle(f, true);
    assert_as_it_is(f, OBJECTIVE, POISE_GREEN);
    f->measure.missing = MISSING_ZERO;
    settle(f, true);
    assert_capped(f, OBJECTIVE); /* a score that is made up counts, too */
}

static void test_weight_0_ends_it(void **state)
{
    struct fixture *f = *state;
    f->nodes[OBJECTIVE].weight = 0;
    settle(f, true);
    assert_capped(f, OBJECTIVE);
    assert_as_it_is(f, PERSPECTIVE, POISE_GREEN);
    assert_as_it_is(f, CARD, POISE_GREEN);
    f->nodes[OBJECTIVE].weight = 1;
    f->nodes[CRITICAL].weight = 0;
    settle(f, true);
    assert_as_it_is(f, CRITICAL, POISE_RED);
    assert_as_it_is(f, OBJECTIVE, POISE_GREEN);
    f->nodes[CRITICAL].weight = 1;
    f->present[CRITICAL] = false;
    settle(f, true);
    assert_as_it_is(f, OBJECTIVE, POISE_GREEN);
}

static void test_parents_ask_for_more_than_is_published(void **state)
{
    struct fixture *f = *state;
    settle(f, false);
    poise_score plain = f->scores[CRITICAL];
    settle(f, true);
    assert_false(score_equal(&plain, &f->scores[CRITICAL]));
    assert_true(score_published_equal(&plain, &f->scores[CRITICAL]));
    poise_score published = score_published(&f->scores[CRITICAL]);
    assert_true(score_equal(&plain, &published));
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_green_above_it_is_amber),
        with_fixture(test_only_green_is_capped),
        with_fixture(test_only_red_caps),
        with_fixture(test_weight_0_ends_it),
        with_fixture(test_parents_ask_for_more_than_is_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
