/* Formulas of leaves' values. Steps are written by hand; that texts become the right ones is the model's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/evaluate.h>
#include <string.h>

#define JAN_2026 INT64_C(1767225600000)
#define FEB_2026 (JAN_2026 + 31 * INT64_C(86400000))

enum { LEAVES = 4, STEPS_MAX = 16 };

struct fixture {
    struct zone *zone;
    struct scorecard card;
    struct node nodes[LEAVES];
    struct measure leaves[LEAVES], measure;
    struct form form;
    struct formula_step steps[STEPS_MAX];
    struct formula formula;
    poise_score scores[LEAVES];
    bool present[LEAVES];
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
                                .nodes = f.nodes,
                                .node_count = LEAVES,
                                .green_from = 200.0 / 3,
                                .amber_from = 100.0 / 3};
    f.formula = (struct formula){.text = "", .steps = f.steps};
    f.measure = (struct measure){.aggregate = AGGREGATE_FORMULA,
                                 .formula = &f.formula,
                                 .period = PERIOD_MONTH,
                                 .min_of = NAN,
                                 .empty = NAN,
                                 .forms = &f.form,
                                 .form_count = 1};
    for (int i = 0; i < LEAVES; i++) {
        f.nodes[i] = (struct node){.kind = POISE_MEASURE, .measure = &f.leaves[i], .weight = 1};
        f.scores[i] = (poise_score){.value = i + 2, .score = NAN, .count = 3}; /* a to d: 2, 3, 4, 5 */
        f.present[i] = true;
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    zone_close(f->zone);
    return 0;
}

/* Postfix: a to d are leaves, digits numbers, _ turns the sign. */
static poise_score result(struct fixture *f, const char *postfix)
{
    f->formula.count = 0;
    for (const char *at = postfix; *at; at++) {
        static const char signs[] = "+-*/_";
        static const enum formula_op ops[] = {FORMULA_ADD, FORMULA_SUBTRACT, FORMULA_MULTIPLY, FORMULA_DIVIDE,
                                              FORMULA_NEGATE};
        struct formula_step *step = &f->steps[f->formula.count++];
        const char *sign = strchr(signs, *at);
        assert_true(f->formula.count <= STEPS_MAX);
        if (sign) {
            *step = (struct formula_step){.op = ops[sign - signs]};
        } else if (*at >= 'a') {
            *step = (struct formula_step){.op = FORMULA_LEAF, .node = (uint32_t)(*at - 'a')};
        } else {
            *step = (struct formula_step){.op = FORMULA_NUMBER, .number = *at - '0'};
        }
    }
    const struct tree_scores tree = {.scores = f->scores, .present = f->present};
    poise_score score;
    evaluate_formula(&f->card, &f->measure, "plant", JAN_2026 + 1, &tree, &score);
    return score;
}

static void assert_nothing(poise_score score, uint32_t flags)
{
    assert_true(isnan(score.value) && isnan(score.score) && isnan(score.attainment));
    assert_true(score.lo == 0 && score.hi == 100 && score.coverage == 0 && score.filled == 0);
    assert_int_equal(score.flags, flags);
    assert_int_equal(score.status, POISE_NO_DATA);
}

static void test_value_and_score(void **state)
{
    struct fixture *f = *state;
    poise_score score = result(f, "ab*");
    assert_true(score.value == 6 && score.score == 60 && score.attainment == 60);
    assert_true(score.lo == 60 && score.hi == 60 && score.coverage == 1 && score.filled == 1);
    assert_int_equal(score.count, -1);
    assert_int_equal(score.flags, 0);
    assert_int_equal(score.period_start_ms, JAN_2026);
    assert_int_equal(score.period_end_ms, FEB_2026);
    assert_int_equal(score.status, POISE_AMBER);
}

static void test_operands_keep_their_order(void **state)
{
    struct fixture *f = *state;
    assert_true(result(f, "ab-").value == -1);
    assert_true(result(f, "ab/").value == 2.0 / 3);
    assert_true(result(f, "da-b-").value == 0);  /* (d - a) - b */
    assert_true(result(f, "dab--").value == 6);  /* d - (a - b) */
    assert_true(result(f, "da/c*").value == 10); /* (d / a) * c */
    assert_true(result(f, "dac*/").value == 5.0 / 8);
    assert_true(result(f, "abcd*+-").value == 2 - (3 + 20));
    assert_true(result(f, "a_b+").value == 1);
    assert_true(result(f, "ab+_").value == -5);
    assert_true(result(f, "7").value == 7);
    assert_true(result(f, "aa*a*").value == 8); /* a leaf may come again */
}

static void test_plain_double_arithmetic(void **state)
{
    struct fixture *f = *state;
    f->scores[0].value = 0.1;
    f->scores[1].value = 0.2;
    f->scores[2].value = 0.3;
    volatile double sum = 0.1 + 0.2, other = 0.2 + 0.3, product = 0.1 * 0.2;
    assert_true(result(f, "ab+c+").value == sum + 0.3);
    assert_true(result(f, "abc++").value == 0.1 + other);
    assert_true(result(f, "ab*c+").value == product + 0.3);
    assert_true(result(f, "ab+c+").value != result(f, "abc++").value);
}

static void test_a_missing_leaf_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    f->scores[1].value = NAN;
    assert_nothing(result(f, "ab+"), 0);
    assert_nothing(result(f, "0b*"), 0);
    assert_nothing(result(f, "a0/b+"), 0); /* nor does it say overflow */
    assert_true(result(f, "ac+").value == 6);
    f->measure.missing = MISSING_IMPUTE;
    f->measure.impute = 40;
    poise_score imputed = result(f, "ab+");
    assert_true(imputed.score == 40 && imputed.filled == 1 && imputed.coverage == 0);
    assert_int_equal(imputed.flags, POISE_FLAG_IMPUTED);
}

static void test_what_an_org_has_not_is_missing(void **state)
{
    struct fixture *f = *state;
    f->present[1] = false;
    assert_nothing(result(f, "ab+"), 0);
}

static void test_flags_of_leaves_stay_theirs(void **state)
{
    struct fixture *f = *state;
    f->scores[0].flags = POISE_FLAG_STALE | POISE_FLAG_CARRIED;
    poise_score score = result(f, "ab+");
    assert_true(score.value == 5 && score.flags == 0);
    f->leaves[1].stale_drop = true; /* it is not stale */
    assert_true(result(f, "ab+").value == 5);
    f->leaves[0].stale_drop = true;
    assert_nothing(result(f, "ab+"), 0);
}

static void test_what_is_not_finite_is_overflow(void **state)
{
    struct fixture *f = *state;
    f->scores[3].value = 0;
    assert_nothing(result(f, "ad/"), POISE_FLAG_OVERFLOW);
    assert_nothing(result(f, "dd/"), POISE_FLAG_OVERFLOW);   /* NaN */
    assert_nothing(result(f, "1ad//"), POISE_FLAG_OVERFLOW); /* 1 / inf would be 0 */
    f->scores[0].value = 1e300;
    f->scores[1].value = 1e-300;
    assert_nothing(result(f, "aa*"), POISE_FLAG_OVERFLOW);
    assert_nothing(result(f, "aa*b*b*"), POISE_FLAG_OVERFLOW); /* on the way */
    assert_true(result(f, "ab*a*").value == 1e300);
    f->scores[0].value = 1.7e308;
    assert_nothing(result(f, "aa+a-"), POISE_FLAG_OVERFLOW);
    f->measure.missing = MISSING_ZERO;
    poise_score zero = result(f, "ad/");
    assert_true(isnan(zero.value) && zero.score == 0 && zero.flags == POISE_FLAG_OVERFLOW);
}

static void test_minus_zero_is_zero(void **state)
{
    struct fixture *f = *state;
    f->scores[0].value = 0;
    f->form = (struct form){.kind = FORM_BINARY, .from_ms = INT64_MIN};
    assert_true(result(f, "a_").value == 0 && !signbit(result(f, "a_").value));
    assert_false(signbit(result(f, "b_a*").value));
    assert_nothing(result(f, "ba_/"), POISE_FLAG_OVERFLOW);
}

static void test_deepest_stack(void **state)
{
    struct fixture *f = *state;
    struct formula_step steps[2 * FORMULA_DEPTH_MAX - 1];
    for (size_t i = 0; i < 2 * FORMULA_DEPTH_MAX - 1; i++) {
        steps[i] = i < FORMULA_DEPTH_MAX ? (struct formula_step){.op = FORMULA_NUMBER, .number = (double)i}
                                         : (struct formula_step){.op = FORMULA_ADD};
    }
    f->formula.steps = steps;
    f->formula.count = sizeof steps / sizeof *steps;
    const struct tree_scores tree = {.scores = f->scores, .present = f->present};
    poise_score score;
    evaluate_formula(&f->card, &f->measure, "", JAN_2026 + 1, &tree, &score);
    assert_true(score.value == FORMULA_DEPTH_MAX * (FORMULA_DEPTH_MAX - 1) / 2);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_value_and_score),
        with_fixture(test_operands_keep_their_order),
        with_fixture(test_plain_double_arithmetic),
        with_fixture(test_a_missing_leaf_leaves_nothing),
        with_fixture(test_what_an_org_has_not_is_missing),
        with_fixture(test_flags_of_leaves_stay_theirs),
        with_fixture(test_what_is_not_finite_is_overflow),
        with_fixture(test_minus_zero_is_zero),
        with_fixture(test_deepest_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
