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

static void test_levels(void **state)
{
    (void)state;
    struct level levels[] = {{"bad", 1, 10}, {"none", 0, 0}, {"good", 2.5, 90}};
    const struct form form = {.kind = FORM_LEVELS, .levels = {.items = levels, .count = 3}};
    assert_score(&form, 1, 10, 10);
    assert_score(&form, 2.5, 90, 90);
    assert_score(&form, 0, 0, 0); /* a score of 0 is one */
    assert_score(&form, -0.0, 0, 0);
    static const double unknown[] = {2, 2.4999999999999996, -1, 3};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        double attainment = 0;
        assert_true(isnan(form_score(&form, unknown[i], 0, &attainment)));
        assert_true(isnan(attainment));
    }
}

/* planned: what the plan says at the time, so that x of it is so many percent. */
static void assert_planned(const struct form *form, int64_t time_ms, double planned)
{
    double attainment = 0;
    double score = form_score(form, 0.5 * planned, time_ms, &attainment);
    assert_true(fabs(score - 50) <= 1e-12 && fabs(attainment - 50) <= 1e-12);
    score = form_score(form, 3 * planned, time_ms, &attainment);
    assert_true(score == 100 && fabs(attainment - 300) <= 1e-12);
    score = form_score(form, -planned, time_ms, &attainment);
    assert_true(score == 0 && fabs(attainment + 100) <= 1e-12);
}

static void test_milestone(void **state)
{
    (void)state;
    struct planned plan[] = {{1000, 10}, {3000, 20}, {7000, 4}, {8000, 0}, {10000, 8}};
    const struct form form = {.kind = FORM_MILESTONE, .milestone = {.items = plan, .count = 5}};
    assert_planned(&form, INT64_MIN, 10); /* flat before */
    assert_planned(&form, 999, 10);
    assert_planned(&form, 1000, 10);
    assert_planned(&form, 1500, 12.5);
    assert_planned(&form, 3000, 20);
    assert_planned(&form, 6000, 8); /* plans may fall */
    assert_planned(&form, 7750, 1);
    assert_planned(&form, 9000, 4);
    assert_planned(&form, 10000, 8);
    assert_planned(&form, INT64_MAX, 8); /* flat behind */
    double attainment = 0;
    assert_true(isnan(form_score(&form, 5, 8000, &attainment)) && isnan(attainment)); /* nothing planned */
    assert_true(isnan(form_score(&form, 0, 8000, &attainment)) && isnan(attainment));
    const struct form single = {.kind = FORM_MILESTONE, .milestone = {.items = plan, .count = 1}};
    assert_planned(&single, 0, 10);
    assert_planned(&single, 5000, 10);
}

static void test_only_milestones_ask_for_the_time(void **state)
{
    (void)state;
    const struct form line = {.kind = FORM_LINEAR, .linear = {.from = 0, .to = 10}};
    double attainment = 0;
    assert_true(form_score(&line, 4, INT64_MIN, &attainment) == form_score(&line, 4, 77, &attainment));
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
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_goal_red),
        cmocka_unit_test(test_band),
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_milestone),
        cmocka_unit_test(test_only_milestones_ask_for_the_time),
        cmocka_unit_test(test_attainment_is_finite_or_none),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
