/* Orgs' own values combined, and values that are none because they are not finite. */
#include <unit/score/judged.h>

#include <math.h>

static void across(struct judged *f, enum across how, enum aggregate aggregate)
{
    f->measure.across = how;
    f->measure.aggregate = aggregate;
}

static void heads(struct judged *f)
{
    say_of(f, 1, JAN_2026 + 1, 99, 1); /* before the last one of its org */
    say_of(f, 1, JAN_2026 + 2, 7, 1);
    say_of(f, 2, JAN_2026 + 3, 2, 1);
    say_of(f, 4, JAN_2026 + 4, -3, 1);
}

static void test_own_values_are_combined(void **state)
{
    struct judged *f = *state;
    static const struct {
        enum across how;
        double wanted;
    } cases[] = {{ACROSS_SUM, 6}, {ACROSS_MEAN, 2}, {ACROSS_MIN, -3}, {ACROSS_MAX, 7}, {ACROSS_POOL, -3}};
    heads(f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        across(f, cases[i].how, AGGREGATE_LAST);
        poise_score score = as_of(f, JAN_2026 + DAY);
        assert_true(score.value == cases[i].wanted);
        assert_int_equal(score.count, 4);
        assert_int_equal(score.flags, 0);
    }
}

static void test_one_or_no_org(void **state)
{
    struct judged *f = *state;
    for (int how = ACROSS_SUM; how <= ACROSS_MAX; how++) {
        across(f, (enum across)how, AGGREGATE_LAST);
        f->said_count = 0;
        poise_score none = as_of(f, JAN_2026 + DAY);
        assert_true(isnan(none.value) && none.count == 0 && none.flags == 0);
        f->measure.empty = 5;
        assert_true(as_of(f, JAN_2026 + DAY).value == 5);
        f->measure.empty = NAN;
        say_of(f, 3, JAN_2026, -8, 1);
        assert_true(as_of(f, JAN_2026 + DAY).value == -8);
    }
}

static void test_orgs_without_a_value_are_left_out(void **state)
{
    struct judged *f = *state;
    say_of(f, 0, JAN_2026, 6, 2);
    say_of(f, 1, JAN_2026, 1, 0); /* no `of` */
    say_of(f, 1, JAN_2026, 1, 0);
    say_of(f, 2, JAN_2026, 5, 1);
    across(f, ACROSS_MEAN, AGGREGATE_RATIO);
    poise_score score = as_of(f, JAN_2026 + DAY);
    assert_true(score.value == 4);
    assert_int_equal(score.count, 2);
    across(f, ACROSS_MIN, AGGREGATE_RATIO);
    assert_true(as_of(f, JAN_2026 + DAY).value == 3);
    across(f, ACROSS_POOL, AGGREGATE_RATIO);
    assert_true(as_of(f, JAN_2026 + DAY).value == 13.0 / 3);
}

static void test_least_count_and_of_are_of_the_whole(void **state)
{
    struct judged *f = *state;
    say_of(f, 0, JAN_2026, 6, 2);
    say_of(f, 1, JAN_2026, 1, 0);
    say_of(f, 2, JAN_2026, 5, 1.5);
    across(f, ACROSS_MAX, AGGREGATE_RATIO);
    f->measure.min_count = 3; /* the one without a value counts, too */
    assert_true(as_of(f, JAN_2026 + DAY).value == 5 / 1.5);
    f->measure.min_count = 4;
    assert_true(isnan(as_of(f, JAN_2026 + DAY).value));
    f->measure.min_count = 0;
    f->measure.min_of = 3.5;
    assert_true(as_of(f, JAN_2026 + DAY).value == 5 / 1.5);
    f->measure.min_of = 3.6;
    poise_score few = as_of(f, JAN_2026 + DAY);
    assert_true(isnan(few.value) && few.count == 0);
    f->measure.min_of = 1e-99;
    say_of(f, 3, JAN_2026, 1, -3.5);
    assert_true(isnan(as_of(f, JAN_2026 + DAY).value));
}

static void test_the_youngest_of_all_says_how_old_it_is(void **state)
{
    struct judged *f = *state;
    heads(f);
    say_of(f, 0, JAN_2026 + 3 * DAY, 1, 1);
    across(f, ACROSS_SUM, AGGREGATE_LAST);
    f->measure.max_age_ms = 2 * DAY;
    assert_int_equal(as_of(f, JAN_2026 + 5 * DAY).flags, 0);
    assert_int_equal(as_of(f, JAN_2026 + 5 * DAY + MINUTE).flags, POISE_FLAG_STALE);
}

static void test_sums_are_exact_in_any_order(void **state)
{
    struct judged *f = *state;
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const double values[] = {1e16, 1, -1e16};
    across(f, ACROSS_SUM, AGGREGATE_LAST);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        f->said_count = 0;
        for (int org = 0; org < 3; org++) {
            say_of(f, org, JAN_2026, values[orders[i][org]], 1);
        }
        assert_true(as_of(f, JAN_2026 + DAY).value == 1);
    }
    f->measure.across = ACROSS_MEAN;
    assert_true(as_of(f, JAN_2026 + DAY).value == 1.0 / 3);
}

/* A weighted mean may be as large or small as a double can be, though no measurement is. */
static void say_extreme(struct judged *f, int org, bool large)
{
    say_of(f, org, JAN_2026, large ? 1e100 : 0, 1e100);
    say_of(f, org, JAN_2026, large ? -1e100 : 1e-100, large ? -1e100 : 1e-100);
    if (large) {
        say_of(f, org, JAN_2026, 1, 1e-100);
    }
}

static void test_sums_of_the_largest_and_smallest(void **state)
{
    struct judged *f = *state;
    across(f, ACROSS_SUM, AGGREGATE_WEIGHTED_MEAN);
    say_extreme(f, 0, true);
    double large = as_of(f, JAN_2026 + DAY).value;
    assert_near(large, 2e300);
    say_extreme(f, 1, false);
    assert_true(as_of(f, JAN_2026 + DAY).value == large);
    f->said_count = 0;
    say_extreme(f, 0, false);
    say_extreme(f, 2, false);
    assert_near(as_of(f, JAN_2026 + DAY).value * 1e300, 2);
    f->measure.across = ACROSS_MEAN;
    assert_near(as_of(f, JAN_2026 + DAY).value * 1e300, 1);
}

/* ---- overflow ---- */

/* Products of 2e200 over a sum of next to nothing. */
static void say_overflow(struct judged *f, int org, int64_t time_ms)
{
    say_of(f, org, time_ms, 1e100, 1e100);
    say_of(f, org, time_ms, -1e100, -1e100);
    say_of(f, org, time_ms, 0, 3e-100);
    say_of(f, org, time_ms, 0, -nextafter(3e-100, 0));
}

static void test_what_is_not_finite_is_no_data(void **state)
{
    struct judged *f = *state;
    f->measure.aggregate = AGGREGATE_WEIGHTED_MEAN;
    f->measure.empty = 3; /* it has measurements */
    f->measure.carry = 0;
    say_overflow(f, 0, FEB_2026);
    poise_score score = as_of(f, FEB_2026 + DAY);
    assert_true(isnan(score.value) && score.count == 0 && isnan(score.score) && score.coverage == 0);
    assert_int_equal(score.flags, POISE_FLAG_OVERFLOW);
    assert_int_equal(score.period_start_ms, FEB_2026);
    f->measure.carry = 1;
    say_of(f, 0, JAN_2026, 7, 1);
    score = as_of(f, FEB_2026 + DAY);
    assert_true(score.value == 7 && score.count == 1);
    assert_int_equal(score.flags, POISE_FLAG_OVERFLOW | POISE_FLAG_CARRIED);
}

static void test_what_is_not_asked_for_does_not_overflow(void **state)
{
    struct judged *f = *state;
    f->measure.aggregate = AGGREGATE_WEIGHTED_MEAN;
    say_overflow(f, 0, FEB_2026);
    f->measure.min_count = 5; /* it had too few anyway */
    assert_int_equal(as_of(f, FEB_2026 + DAY).flags, 0);
    f->measure.min_count = 0;
    f->measure.min_of = 1;
    assert_int_equal(as_of(f, FEB_2026 + DAY).flags, 0);
    f->measure.min_of = NAN;
    f->measure.aggregate = AGGREGATE_RATIO; /* 0 */
    assert_int_equal(as_of(f, FEB_2026 + DAY).flags, 0);
    f->measure.aggregate = AGGREGATE_WEIGHTED_MEAN;
    f->said_count = 0;
    say_of(f, 0, FEB_2026, 1, 0); /* nothing to divide by is no overflow */
    poise_score none = as_of(f, FEB_2026 + DAY);
    assert_true(isnan(none.value) && none.flags == 0);
}

static void test_an_org_that_overflows_is_left_out(void **state)
{
    struct judged *f = *state;
    across(f, ACROSS_SUM, AGGREGATE_WEIGHTED_MEAN);
    say_overflow(f, 1, FEB_2026);
    assert_int_equal(as_of(f, FEB_2026 + DAY).flags, POISE_FLAG_OVERFLOW);
    say_of(f, 2, FEB_2026, 4, 2);
    poise_score score = as_of(f, FEB_2026 + DAY);
    assert_true(score.value == 4 && score.count == 1);
    assert_int_equal(score.flags, 0);
}

#define with_judged(test) cmocka_unit_test_setup_teardown(test, judged_setup, judged_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_judged(test_own_values_are_combined),
        with_judged(test_one_or_no_org),
        with_judged(test_orgs_without_a_value_are_left_out),
        with_judged(test_least_count_and_of_are_of_the_whole),
        with_judged(test_the_youngest_of_all_says_how_old_it_is),
        with_judged(test_sums_are_exact_in_any_order),
        with_judged(test_sums_of_the_largest_and_smallest),
        with_judged(test_what_is_not_finite_is_no_data),
        with_judged(test_what_is_not_asked_for_does_not_overflow),
        with_judged(test_an_org_that_overflows_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
