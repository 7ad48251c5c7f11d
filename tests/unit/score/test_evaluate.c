#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/evaluate.h>
#include <stdlib.h>

#define DAY      INT64_C(86400000)
#define JAN_2026 INT64_C(1767225600000)
#define FEB_2026 (JAN_2026 + 31 * DAY)
#define MAR_2026 (FEB_2026 + 28 * DAY)

enum { MONTHS = 3 };

struct fixture {
    struct zone *zone;
    struct scorecard card;
    struct measure measure;
    struct form form;
    struct intern sources;
    struct accumulator_layout layout;
    struct accumulator *months[MONTHS]; /* January to March */
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){
        .form = {.kind = FORM_LINEAR, .from_ms = INT64_MIN, .linear = {.from = 0, .to = 10}}};
    assert_int_equal(zone_open("UTC", &f.zone, NULL), POISE_OK);
    f.card = (struct scorecard){.zone = f.zone,
                                .tick_ms = 60000,
                                .fiscal_year_start = 1,
                                .period = PERIOD_MONTH,
                                .green_from = 200.0 / 3,
                                .amber_from = 100.0 / 3};
    f.measure = (struct measure){.aggregate = AGGREGATE_SUM,
                                 .period = PERIOD_MONTH,
                                 .carry = 1,
                                 .min_of = NAN,
                                 .empty = NAN,
                                 .forms = &f.form,
                                 .form_count = 1};
    assert_int_equal(intern_add(&f.sources, "", 0), 0);
    f.layout = accumulator_layout(PART_VALUE | PART_OF, &f.sources);
    for (int i = 0; i < MONTHS; i++) {
        f.months[i] = calloc(1, f.layout.size);
        assert_non_null(f.months[i]);
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < MONTHS; i++) {
        accumulator_clear(&f->layout, f->months[i]);
        free(f->months[i]);
    }
    intern_free(&f->sources);
    zone_close(f->zone);
    return 0;
}

static struct window_value read_month(void *context, struct period window)
{
    static const int64_t starts[MONTHS] = {JAN_2026, FEB_2026, MAR_2026};
    const struct fixture *f = context;
    const struct accumulator *month = NULL;
    for (int i = 0; i < MONTHS; i++) {
        month = starts[i] == window.start_ms ? f->months[i] : month;
    }
    return window_pooled(&f->measure, &f->layout, month);
}

static void add(struct fixture *f, int month, double value, double of)
{
    assert_true(
        accumulator_add(&f->layout, f->months[month - 1], &(struct sample){.value = value, .of = of}));
}

static poise_score as_of(struct fixture *f, int64_t as_of_ms)
{
    const struct leaf_source source = {.context = f, .read = read_month};
    poise_score score;
    evaluate_aggregate(&f->card, &f->measure, "plant", as_of_ms, &source, &score);
    return score;
}

static void assert_near(double got, double wanted)
{
    assert_true((isnan(got) && isnan(wanted)) || fabs(got - wanted) <= 1e-9);
}

static void assert_numbers(poise_score score, double middle, double lo, double hi, double coverage,
                           double filled)
{
    assert_near(score.score, middle);
    assert_near(score.lo, lo);
    assert_near(score.hi, hi);
    assert_near(score.coverage, coverage);
    assert_near(score.filled, filled);
}

static void test_value_and_score(void **state)
{
    struct fixture *f = *state;
    add(f, 2, 3, 1);
    add(f, 2, 1, 1);
    poise_score score = as_of(f, FEB_2026 + 5 * DAY);
    assert_true(score.value == 4 && score.attainment == 40 && isnan(score.trend));
    assert_numbers(score, 40, 40, 40, 1, 1);
    assert_int_equal(score.count, 2);
    assert_int_equal(score.flags, 0);
    assert_int_equal(score.status, POISE_AMBER);
    assert_false(score.uncertain);
    assert_int_equal(score.period_start_ms, FEB_2026);
    assert_int_equal(score.period_end_ms, MAR_2026);
}

static void test_period_that_basis_names(void **state)
{
    struct fixture *f = *state;
    f->measure.carry = 0;
    assert_int_equal(as_of(f, MAR_2026).period_start_ms, FEB_2026); /* the end of February shows February */
    assert_int_equal(as_of(f, MAR_2026 + 1).period_start_ms, MAR_2026);
    f->measure.basis_closed = true;
    assert_int_equal(as_of(f, MAR_2026 - 1).period_start_ms, JAN_2026);
    assert_int_equal(as_of(f, MAR_2026).period_start_ms, FEB_2026);
    assert_int_equal(as_of(f, MAR_2026 + 1).period_start_ms, FEB_2026);
}

static void test_carry(void **state)
{
    struct fixture *f = *state;
    add(f, 1, 7, 1);
    poise_score carried = as_of(f, FEB_2026 + DAY);
    assert_true(carried.value == 7 && carried.count == 1);
    assert_int_equal(carried.flags, POISE_FLAG_CARRIED);
    assert_int_equal(carried.period_start_ms, JAN_2026);
    poise_score none = as_of(f, MAR_2026 + DAY); /* January is two periods away */
    assert_true(isnan(none.value) && none.count == 0 && none.flags == 0);
    assert_int_equal(none.period_start_ms, MAR_2026);
    f->measure.carry = 2;
    assert_true(as_of(f, MAR_2026 + DAY).value == 7);
    f->measure.carry = 0;
    assert_true(isnan(as_of(f, FEB_2026 + DAY).value));
}

static void test_empty_goes_before_carry(void **state)
{
    struct fixture *f = *state;
    add(f, 1, 7, 1);
    f->measure.empty = 0;
    f->measure.min_count = 2;
    poise_score score = as_of(f, FEB_2026 + DAY);
    assert_true(score.value == 0 && score.count == 0 && score.flags == 0);
    assert_numbers(score, 0, 0, 0, 1, 1);
    f->measure.carry = 0;
    assert_true(isnan(as_of(f, JAN_2026 + DAY).value)); /* one measurement is not none, and less than two */
}

static void test_least_count_and_of(void **state)
{
    struct fixture *f = *state;
    add(f, 2, 5, 4);
    f->measure.min_count = 2;
    assert_true(isnan(as_of(f, FEB_2026 + DAY).value));
    f->measure.min_count = 1;
    f->measure.min_of = 4;
    assert_true(as_of(f, FEB_2026 + DAY).value == 5);
    f->measure.min_of = 4.5;
    assert_true(isnan(as_of(f, FEB_2026 + DAY).value));
}

static void test_missing(void **state)
{
    struct fixture *f = *state;
    poise_score score = as_of(f, FEB_2026 + DAY);
    assert_numbers(score, NAN, 0, 100, 0, 0);
    assert_int_equal(score.status, POISE_NO_DATA);
    assert_true(score.uncertain);
    f->measure.missing = MISSING_IMPUTE;
    f->measure.impute = 40;
    score = as_of(f, FEB_2026 + DAY);
    assert_numbers(score, 40, 0, 100, 0, 1);
    assert_int_equal(score.flags, POISE_FLAG_IMPUTED);
    f->measure.missing = MISSING_ZERO;
    assert_numbers(as_of(f, FEB_2026 + DAY), 0, 0, 0, 1, 1);
}

static void test_form_in_force_just_before_the_end(void **state)
{
    struct fixture *f = *state;
    add(f, 1, 5, 1);
    f->form.from_ms = FEB_2026; /* not before the end of January */
    f->measure.missing = MISSING_ZERO;
    poise_score score = as_of(f, JAN_2026 + DAY);
    assert_true(score.value == 5 && isnan(score.attainment) && score.score == 0);
    add(f, 2, 5, 1);
    assert_true(as_of(f, FEB_2026 + DAY).score == 50);
}

static void test_orgs(void **state)
{
    struct fixture *f = *state;
    assert_true(measure_at_org(&f->measure, "a/b"));
    const char *globs[] = {"", "a/*"};
    f->measure.orgs = (struct globs){.items = globs, .count = 2};
    assert_true(measure_at_org(&f->measure, "a/b"));
    assert_true(measure_at_org(&f->measure, ""));
    assert_false(measure_at_org(&f->measure, "a"));
}

enum { CHILDREN = 3 };

/* A node with three children of weights 2, 1 and 1; the last has no score. */
struct tree {
    struct node nodes[CHILDREN + 1];
    struct scorecard card;
    poise_score scores[CHILDREN + 1];
    bool present[CHILDREN + 1];
};

static struct tree new_tree(enum rollup_kind kind)
{
    struct tree tree = {.present = {true, true, true, true}};
    tree.card =
        (struct scorecard){.node_count = CHILDREN + 1, .green_from = 200.0 / 3, .amber_from = 100.0 / 3};
    tree.nodes[0] =
        (struct node){.first_child = 1, .rollup = {.kind = kind, .penalty = 0.5, .min_coverage = 0.5}};
    for (uint32_t i = 1; i <= CHILDREN; i++) {
        tree.nodes[i] =
            (struct node){.weight = i == 1 ? 2 : 1, .next_sibling = i < CHILDREN ? i + 1 : NODE_NONE};
    }
    tree.scores[1] = (poise_score){.score = 90, .lo = 80, .hi = 100, .coverage = 1, .filled = 1};
    tree.scores[2] = (poise_score){.score = 30, .lo = 30, .hi = 30, .coverage = 0, .filled = 1};
    tree.scores[3] = (poise_score){.score = NAN, .lo = 40, .hi = 60, .coverage = 0.2, .filled = 0.2};
    return tree;
}

static poise_score rolled_up(struct tree *tree)
{
    tree->card.nodes = tree->nodes;
    poise_score score;
    const struct tree_scores scores = {.scores = tree->scores, .present = tree->present};
    evaluate_rollup(&tree->card, 0, &scores, &score);
    return score;
}

static void test_rollups(void **state)
{
    (void)state;
    struct tree mean = new_tree(ROLLUP_MEAN);
    poise_score score = rolled_up(&mean);
    assert_numbers(score, 70, (160 + 30) / 4.0, (200 + 30 + 100) / 4.0, 2.0 / 4, 3.0 / 4);
    assert_int_equal(score.status, POISE_GREEN);
    assert_true(score.uncertain);
    assert_true(isnan(score.value) && isnan(score.attainment) && score.count == -1 && score.flags == 0);
    assert_true(score.period_start_ms == INT64_MIN && score.period_end_ms == INT64_MIN);
    struct tree min = new_tree(ROLLUP_MIN);
    assert_numbers(rolled_up(&min), 30, 0, 30, 2.0 / 4, 3.0 / 4);
    struct tree max = new_tree(ROLLUP_MAX);
    assert_numbers(rolled_up(&max), 90, 80, 100, 2.0 / 4, 3.0 / 4);
    struct tree geometric = new_tree(ROLLUP_GEOMETRIC);
    assert_numbers(rolled_up(&geometric), cbrt(90.0 * 90 * 30), pow(80.0 * 80 * 30 * 1, 0.25),
                   pow(100.0 * 100 * 30 * 100, 0.25), 2.0 / 4, 3.0 / 4);
    struct tree penalised = new_tree(ROLLUP_PENALISED_MEAN);
    assert_numbers(rolled_up(&penalised), 70 * (1 - 0.5 * 0.7), 47.5 * 0.5, 82.5 * (1 - 0.5 * 0.7), 2.0 / 4,
                   3.0 / 4);
}

static void test_bounds_hold_the_score(void **state)
{
    (void)state;
    struct tree tree = new_tree(ROLLUP_MIN);
    tree.scores[1].score = 20; /* below its own lo, so that only the widening can put it inside */
    tree.present[3] = false;
    assert_numbers(rolled_up(&tree), 20, 20, 30, 2.0 / 3, 1);
}

static void test_least_coverage(void **state)
{
    (void)state;
    struct tree tree = new_tree(ROLLUP_MEAN);
    tree.nodes[0].rollup.min_coverage = 0.75 + 5e-10; /* within the rounding that is forgiven */
    assert_near(rolled_up(&tree).score, 70);
    tree.nodes[0].rollup.min_coverage = 0.76;
    assert_numbers(rolled_up(&tree), NAN, 47.5, 82.5, 0.5, 0.75);
    assert_int_equal(rolled_up(&tree).status, POISE_NO_DATA);
}

static void test_children_that_do_not_count(void **state)
{
    (void)state;
    struct tree tree = new_tree(ROLLUP_MEAN);
    tree.present[3] = false;
    assert_numbers(rolled_up(&tree), 70, (160 + 30) / 3.0, (200 + 30) / 3.0, 2.0 / 3, 1);
    tree.nodes[1].weight = 0;
    assert_numbers(rolled_up(&tree), 30, 30, 30, 0, 1);
    tree.nodes[2].weight = 0;
    assert_numbers(rolled_up(&tree), NAN, 0, 100, 0, 0);
    struct tree missing = new_tree(ROLLUP_MEAN);
    missing.present[1] = false;
    missing.present[2] = false;
    assert_numbers(rolled_up(&missing), NAN, 0, 100, 0, 0);
}

static void test_children_in_their_order(void **state)
{
    (void)state;
    struct tree tree = new_tree(ROLLUP_MEAN);
    static const double scores[CHILDREN] = {0.1, 0.2, 0.3}; /* from the last: 0.6, not 0.6000000000000001 */
    for (uint32_t i = 1; i <= CHILDREN; i++) {
        tree.nodes[i].weight = 1;
        tree.scores[i].score = scores[i - 1];
    }
    assert_true(rolled_up(&tree).score == (0.1 + 0.2 + 0.3) / 3);
}

static void test_equality_sees_every_number(void **state)
{
    (void)state;
    struct tree tree = new_tree(ROLLUP_MEAN);
    poise_score score = rolled_up(&tree), other = score;
    assert_true(score_equal(&score, &other));
    double *numbers[] = {&other.value, &other.attainment, &other.score,  &other.lo,
                         &other.hi,    &other.coverage,   &other.filled, &other.trend};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double kept = *numbers[i];
        *numbers[i] = 12.5;
        assert_false(score_equal(&score, &other));
        *numbers[i] = kept;
    }
    int64_t *integers[] = {&other.count, &other.period_start_ms, &other.period_end_ms};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        *integers[i] += 1;
        assert_false(score_equal(&score, &other));
        *integers[i] -= 1;
    }
    other.flags = POISE_FLAG_STALE;
    assert_false(score_equal(&score, &other));
    other.flags = score.flags;
    other.status = POISE_RED;
    assert_false(score_equal(&score, &other));
    other.status = score.status;
    other.uncertain = !score.uncertain;
    assert_false(score_equal(&score, &other));
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_value_and_score),
        with_fixture(test_period_that_basis_names),
        with_fixture(test_carry),
        with_fixture(test_empty_goes_before_carry),
        with_fixture(test_least_count_and_of),
        with_fixture(test_missing),
        with_fixture(test_form_in_force_just_before_the_end),
        with_fixture(test_orgs),
        cmocka_unit_test(test_rollups),
        cmocka_unit_test(test_bounds_hold_the_score),
        cmocka_unit_test(test_least_coverage),
        cmocka_unit_test(test_children_that_do_not_count),
        cmocka_unit_test(test_children_in_their_order),
        cmocka_unit_test(test_equality_sees_every_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
