/* Where T enters the numbers of a leaf: pace, staleness, plans, rolling windows. */
#include <unit/score/judged.h>

#include <math.h>

/* ---- pace ---- */

static void paced(struct judged *f)
{
    f->measure.pace = true;
    say(f, JAN_2026 + HOUR, 10);
}

static void test_pace_judges_by_the_share_that_has_passed(void **state)
{
    struct judged *f = *state;
    paced(f);
    poise_score score = as_of(f, JAN_2026 + 10 * DAY);
    assert_true(score.value == 10 && score.count == 1 && score.flags == 0);
    assert_near(score.score, 31);
    assert_near(score.attainment, 31);
    assert_near(as_of(f, JAN_2026 + 10 * DAY + MINUTE - 1).score, 31); /* the tick is still the same */
    assert_near(as_of(f, JAN_2026 + 10 * DAY + MINUTE).score, 310 / (10 + 1.0 / 1440));
    f->form.linear.to = 10;
    score = as_of(f, JAN_2026 + 10 * DAY);
    assert_true(score.score == 100);
    assert_near(score.attainment, 310);
}

static void test_pace_judges_what_is_over_as_a_whole(void **state)
{
    struct judged *f = *state;
    f->card.tick_ms = 7 * HOUR; /* no tick at the end of January */
    assert_true(scorecard_tick(&f->card, FEB_2026) < FEB_2026);
    paced(f);
    assert_near(as_of(f, FEB_2026).score, 10);
    assert_near(as_of(f, FEB_2026 - 1).score,
                310 * (double)DAY / (double)(scorecard_tick(&f->card, FEB_2026 - 1) - JAN_2026));
    poise_score carried = as_of(f, FEB_2026 + 3 * DAY);
    assert_near(carried.score, 10);
    assert_int_equal(carried.flags, POISE_FLAG_CARRIED);
    f->measure.basis_closed = true;
    f->measure.carry = 0;
    poise_score closed = as_of(f, FEB_2026 + 3 * DAY);
    assert_near(closed.score, 10);
    assert_int_equal(closed.flags, 0);
}

static void test_pace_without_a_share_has_no_data(void **state)
{
    struct judged *f = *state;
    paced(f);
    say(f, JAN_2026, 5);
    poise_score score = as_of(f, JAN_2026 + MINUTE - 1); /* begun, but not by the tick */
    assert_true(isnan(score.value) && isnan(score.score) && score.count == 0);
    assert_int_equal(score.period_start_ms, JAN_2026);
    assert_near(as_of(f, JAN_2026 + MINUTE).value, 5);
    say(f, JAN_2026 - HOUR, 3);
    score = as_of(f, JAN_2026 + MINUTE - 1);
    assert_true(score.value == 3 && score.score == 3);
    assert_int_equal(score.flags, POISE_FLAG_CARRIED);
}

static void test_pace_from(void **state)
{
    struct judged *f = *state;
    const int64_t fifth_ms = JAN_2026 + 31 * DAY / 5;
    paced(f);
    f->measure.pace_from = 0.2;
    assert_near(as_of(f, fifth_ms).score, 50);
    poise_score early = as_of(f, fifth_ms - 1);
    assert_true(isnan(early.value) && early.count == 0 && isnan(early.score) && isnan(early.attainment));
    say(f, DEC_2025, 7);
    early = as_of(f, fifth_ms - 1);
    assert_true(early.value == 7 && early.score == 7 && early.flags == POISE_FLAG_CARRIED);
    f->said_count = 1;
    f->measure.empty = 4;
    early = as_of(f, fifth_ms - 1); /* December has begun */
    assert_true(early.value == 4 && early.score == 4 && early.flags == POISE_FLAG_CARRIED);
    f->measure.carry = 0;
    f->said_count = 0;
    assert_true(isnan(as_of(f, fifth_ms - 1).value));
    assert_near(as_of(f, fifth_ms).score, 20);
}

static void test_pace_of_an_empty_period(void **state)
{
    struct judged *f = *state;
    f->measure.pace = true;
    f->measure.carry = 0;
    f->measure.empty = 4;
    poise_score score = as_of(f, JAN_2026 + 10 * DAY);
    assert_true(score.value == 4 && score.count == 0);
    assert_near(score.score, 12.4);
    assert_true(isnan(as_of(f, JAN_2026 + 1).value)); /* no share, no data: not even none */
}

/* ---- staleness ---- */

static void aging(struct judged *f)
{
    f->measure.max_age_ms = 2 * DAY;
    say(f, FEB_2026 + HOUR, 20);
    say(f, FEB_2026 + DAY, 30);
}

static void test_stale_beyond_the_age(void **state)
{
    struct judged *f = *state;
    aging(f);
    poise_score fresh = as_of(f, FEB_2026 + 3 * DAY + MINUTE - 1); /* by the tick exactly as old */
    assert_int_equal(fresh.flags, 0);
    poise_score stale = as_of(f, FEB_2026 + 3 * DAY + MINUTE);
    assert_int_equal(stale.flags, POISE_FLAG_STALE);
    stale.flags = 0;
    assert_true(score_equal(&fresh, &stale)); /* held: the flag is all */
    assert_true(fresh.score == 50 && fresh.coverage == 1);
    say(f, FEB_2026 + 5 * DAY, 1); /* what is later than T makes nothing younger */
    assert_int_equal(as_of(f, FEB_2026 + 3 * DAY + MINUTE).flags, POISE_FLAG_STALE);
    assert_int_equal(as_of(f, FEB_2026 + 5 * DAY).flags, 0);
}

static void test_stale_is_dropped(void **state)
{
    struct judged *f = *state;
    aging(f);
    say(f, JAN_2026 + 30 * DAY, 8); /* carry would find it */
    f->measure.stale_drop = true;
    assert_true(as_of(f, FEB_2026 + 3 * DAY).score == 50);
    poise_score dropped = as_of(f, FEB_2026 + 4 * DAY);
    assert_true(dropped.value == 50 && dropped.count == 2);
    assert_true(isnan(dropped.score) && isnan(dropped.attainment));
    assert_true(dropped.lo == 0 && dropped.hi == 100 && dropped.coverage == 0 && dropped.filled == 0);
    assert_int_equal(dropped.period_start_ms, FEB_2026);
    assert_int_equal(dropped.flags, POISE_FLAG_STALE);
    assert_int_equal(dropped.status, POISE_NO_DATA);
    f->measure.missing = MISSING_IMPUTE;
    f->measure.impute = 40;
    dropped = as_of(f, FEB_2026 + 4 * DAY);
    assert_true(dropped.score == 40 && dropped.coverage == 0 && dropped.filled == 1);
    assert_int_equal(dropped.flags, POISE_FLAG_STALE | POISE_FLAG_IMPUTED);
}

static void test_carried_is_as_old_as_it_is(void **state)
{
    struct judged *f = *state;
    f->measure.max_age_ms = 2 * DAY;
    say(f, JAN_2026 + 30 * DAY, 8);
    poise_score score = as_of(f, FEB_2026 + DAY);
    assert_int_equal(score.flags, POISE_FLAG_CARRIED);
    score = as_of(f, FEB_2026 + DAY + MINUTE);
    assert_int_equal(score.flags, POISE_FLAG_CARRIED | POISE_FLAG_STALE);
    assert_true(score.score == 8);
    f->measure.stale_drop = true;
    score = as_of(f, FEB_2026 + DAY + MINUTE);
    assert_int_equal(score.flags, POISE_FLAG_CARRIED | POISE_FLAG_STALE);
    assert_true(score.value == 8 && score.count == 1 && isnan(score.score));
    assert_int_equal(score.period_end_ms, FEB_2026);
}

static void test_nothing_is_not_stale(void **state)
{
    struct judged *f = *state;
    f->measure.max_age_ms = 2 * DAY;
    f->measure.stale_drop = true;
    f->measure.carry = 0;
    assert_int_equal(as_of(f, FEB_2026 + 9 * DAY).flags, 0);
    f->measure.empty = 70;
    poise_score none = as_of(f, FEB_2026 + 9 * DAY);
    assert_true(none.value == 70 && none.score == 70 && none.flags == 0);
    say(f, FEB_2026 + DAY, 1);
    f->measure.min_count = 2;
    poise_score few = as_of(f, FEB_2026 + 9 * DAY);
    assert_true(isnan(few.value) && few.flags == 0);
}

/* ---- plans ---- */

/* A day is one; a month as many as it has. */
static void planned(struct judged *f)
{
    static struct planned plan[] = {{JAN_2026, 0}, {MAR_2026, 59}};
    f->form =
        (struct form){.kind = FORM_MILESTONE, .from_ms = INT64_MIN, .milestone = {.items = plan, .count = 2}};
    say(f, JAN_2026, 6.2);
}

static void test_milestone_at_the_tick(void **state)
{
    struct judged *f = *state;
    planned(f);
    assert_near(as_of(f, JAN_2026 + 10 * DAY).score, 62);
    assert_near(as_of(f, JAN_2026 + 10 * DAY + MINUTE - 1).score, 62);
    assert_near(as_of(f, JAN_2026 + 10 * DAY + MINUTE).score, 620 / (10 + 1.0 / 1440));
    poise_score begun = as_of(f, JAN_2026 + MINUTE - 1); /* of nothing planned there is no share */
    assert_true(begun.value == 6.2 && isnan(begun.score) && isnan(begun.attainment));
    assert_true(begun.coverage == 0 && begun.lo == 0 && begun.hi == 100);
    poise_score early = as_of(f, JAN_2026 + 2 * DAY);
    assert_true(early.score == 100);
    assert_near(early.attainment, 310);
}

static void test_milestone_at_the_end(void **state)
{
    struct judged *f = *state;
    f->card.tick_ms = 7 * HOUR; /* no tick at the end of January */
    planned(f);
    assert_near(as_of(f, FEB_2026).score, 20);
    assert_true(as_of(f, FEB_2026 - 1).score > 20.001); /* by the tick before */
    poise_score carried = as_of(f, FEB_2026 + 10 * DAY);
    assert_near(carried.score, 20);
    assert_int_equal(carried.flags, POISE_FLAG_CARRIED);
    f->measure.basis_closed = true;
    f->measure.carry = 0;
    assert_near(as_of(f, FEB_2026 + 10 * DAY).score, 20);
}

/* ---- rolling windows ---- */

static void rolling(struct judged *f)
{
    f->measure.rolling_ms = 2 * DAY;
    f->measure.carry = 2;
}

static void assert_window(const struct judged *f, size_t at, int64_t after_ms, int64_t until_ms)
{
    assert_true(at < f->read_count);
    assert_int_equal(f->read[at].start_ms, after_ms + 1);
    assert_int_equal(f->read[at].end_ms, until_ms + 1);
}

static void test_windows_are_open_at_the_left(void **state)
{
    struct judged *f = *state;
    const int64_t tick_ms = FEB_2026 + 7 * HOUR, as_of_ms = tick_ms + 30000;
    rolling(f);
    poise_score score = as_of(f, as_of_ms);
    assert_int_equal(f->read_count, 3);
    assert_window(f, 0, tick_ms - 2 * DAY, as_of_ms);
    assert_window(f, 1, tick_ms - 4 * DAY, tick_ms - 2 * DAY);
    assert_window(f, 2, tick_ms - 6 * DAY, tick_ms - 4 * DAY);
    assert_true(isnan(score.value) && score.flags == 0);
    assert_int_equal(score.period_start_ms, tick_ms - 2 * DAY);
    assert_int_equal(score.period_end_ms, as_of_ms);
}

static void test_edges_of_windows(void **state)
{
    struct judged *f = *state;
    const int64_t tick_ms = FEB_2026 + 7 * HOUR, as_of_ms = tick_ms + 30000;
    rolling(f);
    say(f, tick_ms - 4 * DAY, 1);
    say(f, tick_ms - 4 * DAY + 1, 2);
    say(f, tick_ms - 2 * DAY, 4);
    assert_true(as_of(f, as_of_ms).value == 6);
    poise_score carried = as_of(f, as_of_ms);
    assert_int_equal(carried.flags, POISE_FLAG_CARRIED);
    assert_int_equal(carried.period_start_ms, tick_ms - 4 * DAY);
    assert_int_equal(carried.period_end_ms, tick_ms - 2 * DAY);
    assert_int_equal(carried.count, 2);
    say(f, tick_ms - 2 * DAY + 1, 8);
    say(f, as_of_ms, 16);
    say(f, as_of_ms + 1, 32);
    poise_score score = as_of(f, as_of_ms);
    assert_true(score.value == 24 && score.count == 2 && score.flags == 0);
    assert_true(as_of(f, as_of_ms + 1).value == 56);
    f->measure.carry = 0;
    assert_true(isnan(as_of(f, FEB_2026 + 20 * DAY).value));
    assert_int_equal(f->read_count, 1);
}

static void test_form_of_a_rolling_measure_is_that_at_its_right_edge(void **state)
{
    struct judged *f = *state;
    rolling(f);
    f->form.from_ms = FEB_2026;
    say(f, FEB_2026 - DAY, 50);
    assert_true(isnan(as_of(f, FEB_2026 - 1).score));
    assert_true(as_of(f, FEB_2026).score == 50); /* the right edge is in it */
    assert_true(as_of(f, FEB_2026 + DAY - 1).score == 50);
    poise_score carried = as_of(f, FEB_2026 + 2 * DAY - 1); /* the window before ended when there was none */
    assert_true(carried.value == 50 && isnan(carried.score));
    assert_int_equal(carried.period_end_ms, FEB_2026 - MINUTE);
    assert_true(as_of(f, FEB_2026 + 2 * DAY).score == 50);
}

/* A calendar period does not hold its end, so that the same date judges it a day later. */
static void test_form_of_a_period_is_that_just_before_its_end(void **state)
{
    struct judged *f = *state;
    f->form.from_ms = FEB_2026;
    say(f, JAN_2026, 50);
    assert_true(as_of(f, FEB_2026).value == 50 && isnan(as_of(f, FEB_2026).score));
    f->form.from_ms = FEB_2026 - DAY;
    assert_true(as_of(f, FEB_2026).score == 50 && as_of(f, JAN_2026 + 1).score == 50);
}

/* A rolling window ends at T and yet runs: the plan is read at the tick, so that time alone changes nothing
 * between two ticks. */
static void test_milestone_of_a_rolling_measure_is_at_the_tick(void **state)
{
    struct judged *f = *state;
    planned(f);
    rolling(f);
    f->said_count = 0;
    say(f, JAN_2026 + 10 * DAY, 6.2);
    assert_near(as_of(f, JAN_2026 + 10 * DAY).score, 62);
    assert_near(as_of(f, JAN_2026 + 10 * DAY + MINUTE - 1).score, 62);
    assert_near(as_of(f, JAN_2026 + 10 * DAY + MINUTE).score, 620 / (10 + 1.0 / 1440));
    poise_score carried = as_of(f, JAN_2026 + 13 * DAY + MINUTE - 1); /* its end is at a tick */
    assert_int_equal(carried.flags, POISE_FLAG_CARRIED);
    assert_near(carried.score, 620 / 11.0);
}

static void test_rolling_and_stale(void **state)
{
    struct judged *f = *state;
    rolling(f);
    f->measure.max_age_ms = 3 * DAY;
    say(f, FEB_2026, 50);
    assert_int_equal(as_of(f, FEB_2026 + 2 * DAY - 1).flags, 0);
    assert_int_equal(as_of(f, FEB_2026 + 3 * DAY).flags, POISE_FLAG_CARRIED);
    assert_int_equal(as_of(f, FEB_2026 + 3 * DAY + MINUTE).flags, POISE_FLAG_CARRIED | POISE_FLAG_STALE);
}

#define with_judged(test) cmocka_unit_test_setup_teardown(test, judged_setup, judged_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_judged(test_pace_judges_by_the_share_that_has_passed),
        with_judged(test_pace_judges_what_is_over_as_a_whole),
        with_judged(test_pace_without_a_share_has_no_data),
        with_judged(test_pace_from),
        with_judged(test_pace_of_an_empty_period),
        with_judged(test_stale_beyond_the_age),
        with_judged(test_stale_is_dropped),
        with_judged(test_carried_is_as_old_as_it_is),
        with_judged(test_nothing_is_not_stale),
        with_judged(test_milestone_at_the_tick),
        with_judged(test_milestone_at_the_end),
        with_judged(test_windows_are_open_at_the_left),
        with_judged(test_edges_of_windows),
        with_judged(test_form_of_a_rolling_measure_is_that_at_its_right_edge),
        with_judged(test_form_of_a_period_is_that_just_before_its_end),
        with_judged(test_milestone_of_a_rolling_measure_is_at_the_tick),
        with_judged(test_rolling_and_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
