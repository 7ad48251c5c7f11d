#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/function.h>

static void assert_score(const struct form *form, double x, double score, double attainment)
{
    double shown = 0;
    double got = form_score(form, x, 0, &shown);
    assert_true(fabs(got - score) <= 1e-12 && !signbit(got));
    assert_true(fabs(shown - attainment) <= 1e-12 * fmax(1, fabs(attainment)));
}

static void test_linear(void **state)
{
    (void)state;
    const struct form higher = {.kind = FORM_LINEAR, .linear = {.from = -4, .to = 2}};
    assert_score(&higher, -4, 0, 0);
    assert_score(&higher, -1, 50, 50);
    assert_score(&higher, 5, 100, 150);
    const struct form lower = {.kind = FORM_LINEAR, .linear = {.from = 10, .to = 0}};
    assert_score(&lower, 10, 0, 0);
    assert_score(&lower, 12, 0, -20);
    assert_score(&lower, 2, 80, 80);
}

static void test_goal_red(void **state)
{
    (void)state;
    const struct form higher = {.kind = FORM_GOAL_RED, .goal_red = {.goal = 700, .red = 500}};
    assert_score(&higher, 300, 0, 0);
    assert_score(&higher, 500, 100.0 / 3, 100.0 / 3);
    assert_score(&higher, 700, 200.0 / 3, 200.0 / 3);
    assert_score(&higher, 1000, 100, 700.0 / 6);
    const struct form lower = {.kind = FORM_GOAL_RED, .goal_red = {.goal = 3, .red = 5}};
    assert_score(&lower, 4, 50, 50);
    assert_score(&lower, 0, 100, 700.0 / 6);
}

static void test_band(void **state)
{
    (void)state;
    const struct form band = {.kind = FORM_BAND,
                              .band = {.low_zero = 60, .low = 70, .high = 80, .high_zero = 100}};
    assert_score(&band, 60, 0, 0);
    assert_score(&band, 68, 80, 80);
    assert_score(&band, 70, 100, 100);
    assert_score(&band, 80, 100, 100);
    assert_score(&band, 85, 75, 75);
    assert_score(&band, 101, 0, 0);
    const struct form cliff = {.kind = FORM_BAND,
                               .band = {.low_zero = 70, .low = 70, .high = 80, .high_zero = 80}};
    assert_score(&cliff, 69.9, 0, 0);
    assert_score(&cliff, 70, 100, 100);
    assert_score(&cliff, 80, 100, 100);
    assert_score(&cliff, 80.1, 0, 0);
}

static void test_step(void **state)
{
    (void)state;
    struct step steps[] = {{0, 40}, {10, 100}};
    const struct form step = {.kind = FORM_STEP, .step = {.below = 10, .items = steps, .count = 2}};
    assert_score(&step, -1, 10, 10);
    assert_score(&step, 0, 40, 40);
    assert_score(&step, 9.9, 40, 40);
    assert_score(&step, 10, 100, 100);
}

static void test_binary(void **state)
{
    (void)state;
    const struct form binary = {.kind = FORM_BINARY};
    assert_score(&binary, 0, 0, 0);
    assert_score(&binary, -3, 100, 100);
}

static void test_attainment_is_finite_or_none(void **state)
{
    (void)state;
    const struct form line = {.kind = FORM_LINEAR, .linear = {.from = 0, .to = 1e-100}};
    double attainment = 0;
    assert_true(form_score(&line, 1e300, 0, &attainment) == 100);
    assert_true(isnan(attainment));
    assert_true(form_score(&line, -1e300, 0, &attainment) == 0);
}

static void test_status(void **state)
{
    (void)state;
    const struct scorecard card = {.green_from = 200.0 / 3, .amber_from = 100.0 / 3};
    assert_int_equal(score_status(&card, NAN), POISE_NO_DATA);
    assert_int_equal(score_status(&card, 0), POISE_RED);
    assert_int_equal(score_status(&card, 33.33), POISE_RED);
    assert_int_equal(score_status(&card, 33.333333333), POISE_AMBER);
    assert_int_equal(score_status(&card, 66.666), POISE_AMBER);
    assert_int_equal(score_status(&card, 66.6666666665), POISE_GREEN);
    assert_int_equal(score_status(&card, 100), POISE_GREEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear), cmocka_unit_test(test_goal_red),
        cmocka_unit_test(test_band),   cmocka_unit_test(test_step),
        cmocka_unit_test(test_binary), cmocka_unit_test(test_attainment_is_finite_or_none),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
