/* Locked periods: what would change them is refused, as a whole, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>
#include <unit/engine/revised.h>

/* March is locked from 11 April on. */
static const char yaml[] =
    "{scorecard: c, name: C, lock_after: 10d, perspectives: [{id: p, name: P, objectives: [{id: o, name: O, "
    "measures: [{id: sum, name: S, input: a, aggregate: sum, carry: 0, score: {linear: {from: 0, to: 100}}},"
    "{id: late, name: L, input: b, aggregate: sum, lock_after: 100d, score: {linear: {from: 0, to: 100}}},"
    "{id: roll, name: R, input: e, aggregate: sum, rolling: 90d, score: {linear: {from: 0, to: 100}}},"
    "{id: day, name: D, input: d, aggregate: max, period: day, carry: 0, score: {linear: {from: 0, to: "
    "100}}},"
    "{id: year, name: Y, input: d, aggregate: max, period: year, score: {linear: {from: 0, to: 100}}}]}]}]}";

#define LOCKED_FROM (APRIL + 10 * DAY)

static int setup(void **state)
{
    static struct revised f;
    revised_open(&f, yaml, NULL);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    revised_close(*state);
    return 0;
}

static poise_measurement row(const char *measure, int64_t time_ms, double value)
{
    return (poise_measurement){.measure = measure, .time_ms = time_ms, .value = value, .of = 1};
}

static poise_measurement keyed(const char *key, uint64_t seq, int64_t time_ms, double value)
{
    poise_measurement event = row("a", time_ms, value);
    event.key = key;
    event.seq = seq;
    return event;
}

static poise_measurement gone(const char *key, uint64_t seq)
{
    poise_measurement event = keyed(key, seq, 0, NAN);
    event.retract = true;
    return event;
}

static void expect(struct revised *f, poise_measurement event, poise_refusal wanted)
{
    poise_refusal refusal = world_apply(&f->world, &event, engine_as_of_ms(f->world.engine));
    assert_int_equal(refusal, wanted);
}

static void refused(struct revised *f, poise_measurement event)
{
    expect(f, event, POISE_REFUSAL_LOCKED);
}

static void accepted(struct revised *f, poise_measurement event)
{
    expect(f, event, POISE_REFUSAL_NONE);
}

static double value_of(const struct revised *f, const char *place)
{
    struct picture shown = {0};
    picture_take(&shown, f->world.engine, NULL);
    const struct shown *found = picture_find(&shown, place);
    double value = found ? found->numbers.value : -1;
    picture_clear(&shown);
    return value;
}

/* Settled, revisions and all as offline without what was refused. */
static void check(struct revised *f)
{
    revised_settle(f);
    revised_check(f);
    struct engine *reference = reference_open(&f->options, &f->world, f->world.row_count);
    reference_move(reference, engine_as_of_ms(f->world.engine));
    struct picture live = {0}, offline = {0};
    picture_take(&live, f->world.engine, NULL);
    picture_take(&offline, reference, NULL);
    assert_same_pictures(&live, &offline);
    picture_clear(&live);
    picture_clear(&offline);
    engine_close(reference);
}

static void test_events(void **state)
{
    struct revised *f = *state;
    expect(f, row("a", MARCH, 1), POISE_REFUSAL_TIME_AHEAD); /* before the first T, there are no locks */
    poise_measurement first = row("a", MARCH, 1);
    assert_int_equal(world_apply(&f->world, &first, MARCH), POISE_REFUSAL_NONE);
    revised_begin(f, APRIL);
    check(f);
    revised_begin(f, LOCKED_FROM - 1);
    accepted(f, row("a", MARCH, 2));
    check(f);
    revised_begin(f, LOCKED_FROM);
    refused(f, row("a", MARCH, 4));
    refused(f, row("a", APRIL - 1, 8));
    accepted(f, row("a", APRIL, 16));
    accepted(f, row("b", MARCH, 4)); /* of another measure */
    accepted(f, row("e", MARCH, 4)); /* of one whose windows never close */
    check(f);
    assert_true(value_of(f, " c/p/o/sum") == 16);
    assert_int_equal(engine_ordinal(f->world.engine), f->world.row_count); /* refused ones have one, too */
    revised_begin(f, MARCH + 131 * DAY);
    refused(f, row("b", APRIL - 1, 4));
    accepted(f, row("b", APRIL, 4));
    accepted(f, row("e", MARCH, 4));
    check(f);
}

static void test_a_refused_row_makes_no_org(void **state)
{
    struct revised *f = *state;
    revised_begin(f, LOCKED_FROM);
    poise_measurement event = row("a", MARCH, 1);
    event.org = "x";
    refused(f, event);
    event.key = "k";
    refused(f, event);
    check(f);
    assert_true(value_of(f, "x c") == -1);
    event.time_ms = APRIL;
    accepted(f, event);
    check(f);
    assert_true(isnan(value_of(f, "x c")));
}

/* An input is locked where one of its readers is. */
static void test_the_first_reader_that_locks(void **state)
{
    struct revised *f = *state;
    revised_begin(f, MARCH + 20 * DAY);
    refused(f, row("d", MARCH + 10 * DAY - 1, 1)); /* the day is, the year is not */
    accepted(f, row("d", MARCH + 10 * DAY, 1));
    check(f);
}

static void test_a_scorecard_that_does_not_lock(void **state)
{
    (void)state;
    static const char other[] =
        "{scorecard: w, name: W, perspectives: [{id: p, name: P, objectives: [{id: o, name: O, measures: "
        "[{id: s, "
        "name: S, input: a, aggregate: sum, score: {binary: {}}}, {id: t, name: T, input: f, aggregate: sum, "
        "score: {binary: {}}}]}]}]}";
    for (int i = 0; i < 2; i++) { /* in any order of the two */
        struct revised f;
        revised_open(&f, i ? yaml : other, i ? other : yaml);
        revised_begin(&f, LOCKED_FROM);
        refused(&f, row("a", MARCH, 1));
        accepted(&f, row("f", MARCH, 1));
        revised_close(&f);
    }
}

static void test_a_correction_into_a_locked_period(void **state)
{
    struct revised *f = *state;
    revised_begin(f, LOCKED_FROM);
    refused(f, keyed("new", 1, MARCH, 5));
    accepted(f, keyed("k", 5, APRIL, 10));
    refused(f, keyed("k", 9, MARCH, 20));
    check(f);
    assert_true(value_of(f, " c/p/o/sum") == 10); /* nor is it taken from where it was */
    revised_begin(f, LOCKED_FROM);
    accepted(f, keyed("k", 7, APRIL, 30)); /* what was refused does not stand in the way */
    check(f);
    assert_true(value_of(f, " c/p/o/sum") == 30);
}

static void test_a_correction_out_of_a_locked_period(void **state)
{
    struct revised *f = *state;
    revised_begin(f, APRIL + DAY);
    accepted(f, keyed("k", 5, MARCH, 10));
    check(f);
    revised_begin(f, LOCKED_FROM);
    refused(f, keyed("k", 6, APRIL, 20));
    refused(f, keyed("k", 6, MARCH, 20));
    refused(f, gone("k", 6));
    check(f);
    assert_true(isnan(value_of(f, " c/p/o/sum")));
    assert_int_equal(f->told_count, 0);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    revised_begin(f, LOCKED_FROM);
    refused(f, gone("k", 6)); /* a key that was stored */
    check(f);
}

static void test_what_changes_nothing_is_not_held_up(void **state)
{
    struct revised *f = *state;
    revised_begin(f, APRIL + DAY);
    accepted(f, keyed("k", 5, MARCH, 10));
    revised_begin(f, LOCKED_FROM);
    accepted(f, keyed("k", 5, MARCH, 10)); /* a duplicate */
    accepted(f, keyed("k", 4, MARCH, 20)); /* superseded */
    accepted(f, gone("k", 4));
    expect(f, keyed("k", 5, MARCH, 20), POISE_REFUSAL_SEQ_CONFLICT);
    check(f);
    assert_int_equal(f->told_count, 0);
}

static void test_tombstones(void **state)
{
    struct revised *f = *state;
    revised_begin(f, LOCKED_FROM);
    accepted(f, gone("k", 5)); /* of nothing, whatever its time */
    accepted(f, gone("k", 6));
    refused(f, keyed("k", 7, MARCH, 1));
    accepted(f, keyed("k", 7, APRIL, 1));
    accepted(f, gone("k", 8));
    accepted(f, keyed("k", 9, APRIL, 2));
    check(f);
    assert_true(value_of(f, " c/p/o/sum") == 2);
}

static void test_a_replay_is_not_held_up(void **state)
{
    struct revised *f = *state;
    revised_begin(f, APRIL);
    check(f);
    revised_begin(f, LOCKED_FROM);
    poise_measurement event = row("a", MARCH, 1), key = keyed("k", 1, MARCH, 2);
    assert_int_equal(world_apply(&f->world, &event, INT64_MAX), POISE_REFUSAL_NONE);
    assert_int_equal(world_apply(&f->world, &key, INT64_MAX), POISE_REFUSAL_NONE);
    refused(f, row("a", MARCH, 4)); /* and what comes live behind it is */
    refused(f, gone("k", 2));
    key = gone("k", 2);
    assert_int_equal(world_apply(&f->world, &key, INT64_MAX), POISE_REFUSAL_NONE);
    check(f);
}

static void test_what_waits_for_its_time(void **state)
{
    struct revised *f = *state;
    revised_begin(f, MARCH);
    poise_measurement ahead = keyed("k", 1, APRIL - DAY, 5);
    assert_int_equal(world_apply(&f->world, &ahead, INT64_MAX), POISE_REFUSAL_NONE);
    accepted(f, keyed("k", 2, MARCH, 6)); /* it was in no period yet */
    assert_int_equal(world_apply(&f->world, &ahead, INT64_MAX), POISE_REFUSAL_NONE); /* superseded */
    ahead = row("a", APRIL - DAY, 7);
    assert_int_equal(world_apply(&f->world, &ahead, INT64_MAX), POISE_REFUSAL_NONE);
    check(f);
    revised_begin(f, LOCKED_FROM); /* T comes late, after the lock: it was let in before */
    check(f);
    struct engine *reference = reference_open(&f->options, &f->world, f->world.row_count);
    struct picture offline = {0};
    reference_move(reference, APRIL);
    picture_take(&offline, reference, NULL);
    assert_true(picture_find(&offline, " c/p/o/sum")->numbers.value == 13);
    picture_clear(&offline);
    engine_close(reference);
}

#define with_revised(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_revised(test_events),
        with_revised(test_a_refused_row_makes_no_org),
        with_revised(test_the_first_reader_that_locks),
        cmocka_unit_test(test_a_scorecard_that_does_not_lock),
        with_revised(test_a_correction_into_a_locked_period),
        with_revised(test_a_correction_out_of_a_locked_period),
        with_revised(test_what_changes_nothing_is_not_held_up),
        with_revised(test_tombstones),
        with_revised(test_a_replay_is_not_held_up),
        with_revised(test_what_waits_for_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
