/* Revisions of closed periods, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/evaluate.h>
#include <stdio.h>
#include <string.h>
#include <unit/engine/revised.h>

static const char yaml[] =
    "scorecard: c\n"
    "name: C\n"
    "min_coverage: 0\n"
    "perspectives:\n"
    "  - id: p\n"
    "    name: P\n"
    "    objectives:\n"
    "      - id: o\n"
    "        name: O\n"
    "        measures:\n"
    "          - {id: sum, name: S, input: a, aggregate: sum, score: {linear: {from: 0, to: 100}}}\n"
    "          - {id: max, name: M, input: b, aggregate: max, carry: 2, score: {linear: {from: 0, to: "
    "100}}}\n"
    "      - id: q\n"
    "        name: Q\n"
    "        measures:\n"
    "          - {id: slow, name: L, input: d, aggregate: sum, grace: 10d, score: {linear: {from: 0, to: "
    "100}}}\n"
    "          - {id: quick, name: K, input: d, aggregate: count, grace: 1d, carry: 0, score: {linear: "
    "{from: "
    "0, to: 10}}}\n"
    "          - {id: roll, name: R, input: e, aggregate: sum, rolling: 20d, score: {linear: {from: 0, to: "
    "100}}}\n";

static int setup(void **state)
{
    static struct revised f;
    revised_open(&f, yaml, NULL);
    revised_begin(&f, MARCH + 10 * DAY);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    revised_close(*state);
    return 0;
}

static poise_measurement row(const char *measure, const char *org, int64_t time_ms, double value)
{
    return (poise_measurement){.measure = measure, .org = org, .time_ms = time_ms, .value = value, .of = 1};
}

static poise_measurement keyed(poise_measurement event, const char *key)
{
    event.key = key;
    return event;
}

/* A commit of one row. */
static void commit(struct revised *f, int64_t as_of_ms, poise_measurement event)
{
    revised_begin(f, as_of_ms);
    revised_give(f, event);
    revised_settle(f);
    revised_check(f);
}

static size_t told(const struct revised *f)
{
    return f->told_count - f->first_told;
}

static void expect(const struct revised *f, const char *place, int64_t end_ms, uint64_t number, double score,
                   double replaced)
{
    const struct told *found = revised_find(f, place, end_ms);
    if (!found) {
        fail_msg("no revision of %s", place);
        return;
    }
    assert_int_equal(found->number, number);
    assert_true(found->numbers.score == score);
    assert_true(isnan(replaced) ? isnan(found->replaced) : found->replaced == replaced);
}

static void test_none_within_the_grace(void **state)
{
    struct revised *f = *state;
    revised_give(f, row("a", "", MARCH + DAY, 10));
    revised_settle(f);
    commit(f, APRIL + DAY, row("a", "", MARCH + DAY, 10));
    assert_int_equal(told(f), 0);
    commit(f, APRIL + 2 * DAY - 1, row("a", "", MARCH + DAY, 10));
    assert_int_equal(told(f), 0);
    commit(f, APRIL + 2 * DAY, row("a", "", MARCH + DAY, 10)); /* at the end of the grace it is closed */
    assert_int_equal(told(f), 4);
    expect(f, " c/p/o/sum", APRIL, 1, 40, 30);
    expect(f, " c/p/o", APRIL, 1, 40, 30);
    expect(f, " c/p", APRIL, 1, 40, 30);
    expect(f, " c", APRIL, 1, 40, 30);
}

static void test_open_periods_are_not_revised(void **state)
{
    struct revised *f = *state;
    revised_settle(f);
    commit(f, APRIL + 20 * DAY, row("a", "", APRIL + DAY, 10));
    assert_int_equal(told(f), 0);
    commit(f, APRIL + 20 * DAY, row("a", "", APRIL, 10)); /* the first millisecond behind the end */
    assert_int_equal(told(f), 0);
    commit(f, APRIL + 20 * DAY, row("a", "", APRIL - 1, 10));
    assert_int_equal(told(f), 4);
}

static void test_one_a_settle_with_its_first_cause(void **state)
{
    struct revised *f = *state;
    revised_settle(f);
    revised_begin(f, APRIL + 5 * DAY);
    revised_give(f, row("a", "", APRIL + DAY, 1));
    revised_give(f, row("a", "", MARCH + DAY, 10)); /* row 2 */
    revised_give(f, row("a", "", MARCH + DAY, 20));
    revised_give(f, row("a", "", MARCH - DAY, 50)); /* row 4: February, and March no more than before */
    revised_settle(f);
    revised_check(f);
    expect(f, " c", APRIL, 1, 30, NAN);
    assert_int_equal(revised_find(f, " c", APRIL)->cause, 2);
    expect(f, " c", MARCH, 1, 50, NAN);
    assert_int_equal(revised_find(f, " c", MARCH)->cause, 4);
    commit(f, APRIL + 5 * DAY, row("a", "", MARCH + DAY, 10));
    expect(f, " c", APRIL, 2, 40, 30);
    assert_int_equal(revised_find(f, " c", APRIL)->cause, 5);
    assert_null(revised_find(f, " c", MARCH));
}

static void test_what_does_not_change_is_not_revised(void **state)
{
    struct revised *f = *state;
    revised_give(f, row("a", "", MARCH + DAY, 10));
    revised_give(f, row("b", "", MARCH + DAY, 70));
    revised_settle(f);
    commit(f, APRIL + 5 * DAY, row("b", "", MARCH + DAY, 3)); /* no new maximum: but one more counted */
    assert_int_equal(told(f), 1);
    expect(f, " c/p/o/max", APRIL, 1, 70, 70);
    assert_int_equal(revised_find(f, " c/p/o/max", APRIL)->numbers.count, 2);
    revised_begin(f, APRIL + 5 * DAY); /* back and forth within a commit is nothing */
    revised_give(f, row("a", "", MARCH + DAY, 5));
    poise_measurement gone = keyed(row("a", "", MARCH + DAY, 6), "k");
    revised_give(f, gone);
    gone.retract = true;
    revised_give(f, gone);
    revised_settle(f);
    revised_check(f);
    expect(f, " c/p/o/sum", APRIL, 1, 15, 10);
    revised_begin(f, APRIL + 5 * DAY);
    gone.retract = false;
    revised_give(f, gone);
    gone.retract = true;
    revised_give(f, gone);
    revised_settle(f);
    revised_check(f);
    assert_int_equal(told(f), 0);
}

static void test_trend_is_against_the_end_of_the_period_before(void **state)
{
    struct revised *f = *state;
    revised_give(f, row("a", "", MARCH - DAY, 30));
    revised_give(f, row("a", "", MARCH + DAY, 10));
    revised_settle(f);
    commit(f, MAY + 5 * DAY, row("a", "", MARCH + DAY, 30));
    assert_true(revised_find(f, " c", APRIL)->numbers.trend == 10);
    assert_true(revised_find(f, " c/p/o/sum", MAY)->numbers.trend ==
                0); /* carried: against March, as it is now */
    revised_begin(f, MAY + 5 * DAY);
    revised_give(f, row("a", "", MARCH - DAY, 5));
    revised_give(f, row("a", "", MARCH + DAY, 5));
    revised_settle(f);
    revised_check(f);
    assert_true(revised_find(f, " c", APRIL)->numbers.trend == 10); /* both sides are as they are now */
    commit(f, MAY + 5 * DAY, row("a", "", MARCH - DAY, 1));
    assert_null(revised_find(f, " c", APRIL)); /* another trend alone is no revision */
}

static void test_periods_that_carry_it_are_revised_too(void **state)
{
    struct revised *f = *state;
    revised_settle(f);
    commit(f, MAY + 50 * DAY, row("b", "", MARCH - DAY, 40)); /* carry 2: February, March, April; not May */
    expect(f, " c/p/o/max", MARCH, 1, 40, NAN);
    expect(f, " c/p/o/max", APRIL, 1, 40, NAN);
    expect(f, " c/p/o/max", MAY, 1, 40, NAN);
    assert_int_equal(revised_find(f, " c/p/o/max", MAY)->numbers.flags, POISE_FLAG_CARRIED);
    assert_int_equal(told(f), 3 * 4);
    commit(f, MAY + 50 * DAY, row("b", "", APRIL - DAY, 60)); /* April carries March's now */
    assert_null(revised_find(f, " c/p/o/max", MARCH));
    expect(f, " c/p/o/max", APRIL, 2, 60, 40);
    expect(f, " c/p/o/max", MAY, 2, 60, 40);
    expect(f, " c/p/o/max", MAY + 31 * DAY, 1, 60, NAN);
    assert_int_equal(told(f), 3 * 4);
    commit(f, MAY + 50 * DAY, row("b", "", MARCH - DAY, 50));
    assert_int_equal(told(f), 4); /* who has data of its own does not care */
}

static void test_orgs_above_are_revised(void **state)
{
    struct revised *f = *state;
    revised_give(f, row("a", "x/y", MARCH + DAY, 10));
    revised_give(f, row("a", "z", MARCH + DAY, 10));
    revised_settle(f);
    commit(f, APRIL + 5 * DAY, row("a", "x/y", MARCH + DAY, 30));
    assert_int_equal(told(f), 3 * 4);
    expect(f, "x/y c", APRIL, 1, 40, 10);
    expect(f, "x c", APRIL, 1, 40, 10);
    expect(f, " c", APRIL, 1, 50, 20);
}

static void test_a_new_org_in_a_closed_period(void **state)
{
    struct revised *f = *state;
    revised_give(f, row("a", "x", MARCH + DAY, 10));
    revised_settle(f);
    commit(f, APRIL + 5 * DAY, row("a", "n/m", MARCH + DAY, 30));
    assert_int_equal(told(f), 3 * 4);
    expect(f, "n/m c/p/o/sum", APRIL, 1, 30, NAN);
    expect(f, "n c", APRIL, 1, 30, NAN);
    expect(f, " c", APRIL, 1, 40, 10);
    assert_true(isnan(revised_find(f, "n c", APRIL)->numbers.trend));
    commit(f, APRIL + 5 * DAY, row("a", "n/o", MARCH - DAY, 30)); /* and one that has nothing in March */
    expect(f, "n/o c", MARCH, 1, 30, NAN);
    expect(f, "n/o c", APRIL, 1, 30, NAN); /* but carries */
    assert_null(revised_find(f, "n c", APRIL));
}

/* Rows of one commit come in any order: what was not there before it replaces nothing. */
static void test_a_new_org_that_comes_with_what_is_open(void **state)
{
    (void)state;
    static const char counting[] =
        "{scorecard: c, name: C, perspectives: [{id: p, name: P, objectives: [{id: o, name: O, measures: ["
        "{id: n, name: N, input: a, aggregate: count, empty: 0, score: {linear: {from: 0, to: 100}}}]}]}]}";
    struct revised f;
    revised_open(&f, counting, NULL);
    world_begin(&f.world, MARCH + 10 * DAY);
    revised_settle(&f);
    revised_begin(&f, APRIL + 5 * DAY);
    revised_give(&f, row("a", "n", APRIL + DAY, 1));
    revised_give(&f, row("a", "n", MARCH + DAY, 1));
    revised_settle(&f);
    revised_check(&f);
    expect(&f, "n c", APRIL, 1, 1, NAN);
    expect(&f, " c", APRIL, 1, 1, 0);
    assert_int_equal(told(&f), 2 * 4);
    revised_close(&f);
}

static void test_a_correction_that_moves_revises_both(void **state)
{
    struct revised *f = *state;
    revised_give(f, keyed(row("a", "x", MARCH + DAY, 10), "k"));
    revised_give(f, row("a", "x", MARCH + DAY, 5));
    revised_give(f, row("a", "y", MARCH - DAY, 7));
    revised_settle(f);
    commit(f, APRIL + 5 * DAY, keyed(row("a", "y", MARCH - DAY, 10), "k"));
    expect(f, "x c/p/o/sum", APRIL, 1, 5, 15);
    expect(f, "y c/p/o/sum", MARCH, 2, 17, 7); /* February was closed when it came */
    expect(f, "y c/p/o/sum", APRIL, 1, 17, 7); /* carried */
    expect(f, " c/p/o/sum", APRIL, 1, 5, 15);
    expect(f, " c/p/o/sum", MARCH, 2, 17, 7);
    for (size_t i = f->first_told; i < f->told_count; i++) {
        assert_int_equal(f->told[i].cause, 4);
    }
    commit(f, APRIL + 5 * DAY, keyed(row("a", "y", APRIL + DAY, 10), "k")); /* to where it is open */
    expect(f, "y c/p/o/sum", MARCH, 3, 7, 17);
    assert_null(revised_find(f, "x c/p/o/sum", APRIL));
    commit(f, APRIL + 5 * DAY, keyed(row("a", "y", APRIL + 2 * DAY, 10), "k"));
    assert_int_equal(told(f), 0);
}

static void test_a_retracted_extreme(void **state)
{
    struct revised *f = *state;
    poise_measurement most = keyed(row("b", "x", MARCH + DAY, 90), "k");
    revised_give(f, most);
    revised_give(f, row("b", "x", MARCH + DAY, 20));
    revised_give(f, row("b", "", MARCH + 2 * DAY, 60));
    revised_settle(f);
    most.retract = true;
    commit(f, APRIL + 5 * DAY, most);
    assert_true(f->world.rereads > 0);
    expect(f, "x c/p/o/max", APRIL, 1, 20, 90);
    expect(f, " c/p/o/max", APRIL, 1, 60, 90);
    most.retract = false;
    commit(f, APRIL + 5 * DAY, most);
    expect(f, " c/p/o/max", APRIL, 2, 90, 60);
}

/* The extreme goes while the period is open, and it closes before there is a settle. */
static void test_a_retracted_extreme_and_then_it_closes(void **state)
{
    struct revised *f = *state;
    poise_measurement most = keyed(row("b", "", MARCH + DAY, 90), "k");
    revised_give(f, most);
    revised_give(f, row("b", "", MARCH + DAY, 20));
    revised_settle(f);
    world_begin(&f->world, APRIL + HOUR);
    most.retract = true;
    revised_give(f, most);
    revised_begin(f, APRIL + 3 * DAY);
    revised_give(f, row("b", "", MARCH + DAY, 30));
    revised_settle(f);
    revised_check(f);
    expect(f, " c/p/o/max", APRIL, 1, 30, 20);
}

static void test_graces_of_measures(void **state)
{
    struct revised *f = *state;
    revised_settle(f);
    commit(f, APRIL + DAY - 1, row("d", "", MARCH + DAY, 10));
    assert_int_equal(told(f), 0);
    commit(f, APRIL + DAY, row("d", "", MARCH + DAY, 10)); /* the quick one alone */
    assert_int_equal(told(f), 1);
    expect(f, " c/p/q/quick", APRIL, 1, 20, 10);
    commit(f, APRIL + 2 * DAY, row("d", "", MARCH + DAY, 10)); /* and what is above measures */
    assert_int_equal(told(f), 4);
    expect(f, " c/p/q/quick", APRIL, 2, 30, 20);
    expect(f, " c/p/q", APRIL, 1, 30, 20);
    commit(f, APRIL + 10 * DAY - 1, row("d", "", MARCH + DAY, 10));
    assert_null(revised_find(f, " c/p/q/slow", APRIL));
    commit(f, APRIL + 10 * DAY, row("d", "", MARCH + DAY, 10));
    expect(f, " c/p/q/slow", APRIL, 1, 50, 40);
    assert_int_equal(told(f), 5);
}

/* By the event clock T moves behind the rows of a commit: what was open when they came is not revised. */
static void test_what_closes_with_the_commit_is_not_revised(void **state)
{
    struct revised *f = *state;
    revised_settle(f);
    revised_begin(f, APRIL + DAY);
    revised_give(f, row("d", "", MARCH + DAY, 10)); /* the quick one is closed, what is above it is not */
    world_begin(&f->world, APRIL + 30 * DAY);
    revised_settle(f);
    assert_int_equal(told(f), 1);
    expect(f, " c/p/q/quick", APRIL, 1, 10, NAN);
}

/* A period that is looked at when it is over is touched as of its end, and not before. */
static void test_closed_bases_are_revised_from_their_end_on(void **state)
{
    (void)state;
    static const char yearly[] = "{scorecard: c, name: C, grace: 0s, perspectives: [{id: p, name: P, "
                                 "objectives: [{id: o, name: O, measures: ["
                                 "{id: n, name: N, input: a, aggregate: count, period: quarter, basis: "
                                 "closed, missing: zero, carry: 0, "
                                 "score: {linear: {from: 0, to: 100}}}]}]}]}";
    struct revised f;
    revised_open(&f, yearly, NULL);
    world_begin(&f.world, MAY + DAY);
    revised_settle(&f);
    revised_begin(&f, MAY + DAY);
    revised_give(&f,
                 row("a", "n", MARCH + DAY, 1)); /* of the first quarter, which April's end looks at, too */
    revised_settle(&f);
    revised_check(&f);
    expect(&f, "n c", APRIL, 1, 1, NAN);
    expect(&f, "n c", MAY, 1, 1, NAN);
    expect(&f, " c", MAY, 1, 1, 0);
    assert_int_equal(told(&f), 2 * 2 * 4); /* none of January and February, in which it is no data */
    revised_close(&f);
}

static void test_rolling_windows_never_close(void **state)
{
    struct revised *f = *state;
    revised_give(f, row("e", "", APRIL - 25 * DAY, 10));
    revised_settle(f);
    commit(f, APRIL + 5 * DAY,
           row("e", "", APRIL - 20 * DAY + 1, 20)); /* its first millisecond as of the end */
    assert_int_equal(told(f), 3);
    expect(f, " c/p/q", APRIL, 1, 20, 10);
    assert_null(revised_find(f, " c/p/q/roll", APRIL));
    commit(f, APRIL + 5 * DAY, row("e", "", APRIL, 10)); /* its last */
    expect(f, " c", APRIL, 2, 30, 20);
    commit(f, APRIL + 5 * DAY, row("e", "", APRIL + 1, 10));
    assert_int_equal(told(f), 0);
    commit(f, APRIL + 5 * DAY, row("e", "", APRIL - 20 * DAY, 10)); /* of the window before, not looked at */
    assert_int_equal(told(f), 0);
}

static void test_what_waited_for_its_time_is_no_revision(void **state)
{
    struct revised *f = *state;
    poise_measurement ahead = row("a", "", APRIL - DAY, 10);
    revised_settle(f);
    assert_int_equal(world_apply(&f->world, &ahead, INT64_MAX), POISE_REFUSAL_NONE);
    revised_settle(f);
    revised_begin(f, MAY); /* T comes late: it was there all the time */
    revised_settle(f);
    assert_int_equal(told(f), 0);
}

/* ---- numbers ---- */

static void test_numbers_go_on_after_a_restart(void **state)
{
    struct revised *f = *state;
    revised_settle(f);
    commit(f, APRIL + 5 * DAY, row("a", "x", MARCH + DAY, 1));
    commit(f, APRIL + 5 * DAY, row("a", "x", MARCH + DAY, 1));
    for (int i = 0; i < 2; i++) {
        f->world.options.max_cells = i ? 0 : 1000; /* 0: numbers leave memory with a checkpoint */
        world_checkpoint(&f->world);
        world_reopen(&f->world);
        commit(f, APRIL + 5 * DAY, row("a", "x", MARCH + DAY, 1));
        commit(f, APRIL + 5 * DAY, row("a", "x", MARCH - DAY, 1));
        world_checkpoint(&f->world);
        commit(f, APRIL + 5 * DAY, row("a", "x", MARCH + DAY, 1));
    }
    assert_int_equal(revised_find(f, "x c", APRIL)->number, 6);
    world_reopen(&f->world); /* without a checkpoint: the last one is made again, with its number */
    size_t first = f->first_told;
    world_begin(&f->world, APRIL + 5 * DAY);
    assert_int_equal(past_apply(f->world.engine, &f->world.rows[f->world.row_count - 1], INT64_MAX),
                     POISE_REFUSAL_NONE);
    f->first_told = f->told_count;
    revised_settle(f);
    assert_int_equal(told(f), f->first_told - first);
    assert_int_equal(revised_find(f, "x c", APRIL)->number, 6);
}

static void test_numbers_go_on_with_another_definition(void **state)
{
    struct revised *f = *state;
    revised_settle(f);
    commit(f, APRIL + 5 * DAY, row("a", "", MARCH + DAY, 1));
    commit(f, APRIL + 5 * DAY, row("a", "", MARCH + DAY, 1));
    world_checkpoint(&f->world);
    char other[sizeof yaml];
    memcpy(other, yaml, sizeof yaml);
    memcpy(strstr(other, "aggregate: max"), "aggregate: min", strlen("aggregate: min"));
    struct scorecard *card = card_of(other);
    scorecard_free(f->cards[0]);
    f->cards[0] = card;
    struct table kept = f->world.tables[ENGINE_REVISIONS];
    f->world.tables[ENGINE_REVISIONS] = (struct table){0};
    world_clear(&f->world); /* all but the numbers, and then everything once more */
    f->world.tables[ENGINE_REVISIONS] = kept;
    world_reopen(&f->world);
    engine_set_revising(f->world.engine, false);
    f->first_told = f->told_count;
    world_begin(&f->world, APRIL + 5 * DAY);
    for (size_t i = 0; i < f->world.row_count; i++) {
        assert_int_equal(past_apply(f->world.engine, &f->world.rows[i], INT64_MAX), POISE_REFUSAL_NONE);
    }
    revised_settle(f);
    assert_int_equal(told(f), 0);
    engine_set_revising(f->world.engine, true);
    commit(f, APRIL + 5 * DAY, row("a", "", MARCH + DAY, 1));
    expect(f, " c", APRIL, 3, 3, 2);
}

static poise_code no_revision(void *visitor, const poise_state *state)
{
    (void)visitor;
    assert_int_equal(state->revision, 0);
    return POISE_OK;
}

static void test_offline_nothing_is_revised(void **state)
{
    struct revised *f = *state;
    revised_give(f, keyed(row("a", "", MARCH + DAY, 1), "k"));
    revised_give(f, row("a", "", MARCH + DAY, 1));
    struct engine_options options = f->options;
    options.offline = true;
    struct engine *offline;
    assert_int_equal(engine_open(&options, &offline, NULL), POISE_OK);
    assert_int_equal(engine_begin(offline, MAY, NULL), POISE_OK);
    engine_set_revising(offline, true); /* is of no use */
    for (size_t i = 0; i < f->world.row_count; i++) {
        assert_int_equal(past_apply(offline, &f->world.rows[i], INT64_MAX), POISE_REFUSAL_NONE);
    }
    assert_int_equal(engine_settle(offline, SIZE_MAX, no_revision, NULL, NULL), POISE_OK);
    engine_close(offline);
}

/* ---- several scorecards ---- */

static void test_periods_of_other_scorecards(void **state)
{
    (void)state;
    static const char other[] = "{scorecard: w, name: W, period: week, grace: 9d, perspectives: [{id: p, "
                                "name: P, objectives: [{id: o, "
                                "name: O, measures: [{id: s, name: S, input: a, aggregate: sum, carry: 0, "
                                "score: {linear: {from: 0, to: "
                                "100}}}]}]}]}";
    struct revised f;
    revised_open(&f, yaml, other);
    world_begin(&f.world, MARCH + 10 * DAY);
    revised_settle(&f);
    commit(&f, APRIL + 5 * DAY, row("a", "", APRIL - 2 * DAY - 1, 10)); /* before Monday, 30 March */
    expect(&f, " c", APRIL, 1, 10, NAN);
    assert_int_equal(told(&f), 4); /* of the week not yet */
    commit(&f, APRIL + 7 * DAY, row("a", "", APRIL - 2 * DAY - 1, 10));
    expect(&f, " c", APRIL, 2, 20, 10);
    expect(&f, " w", APRIL - 2 * DAY, 1, 20, 10);
    assert_int_equal(told(&f), 2 * 4);
    commit(&f, APRIL + 14 * DAY, row("a", "", APRIL + DAY, 30)); /* of a closed week, and of an open month */
    expect(&f, " w", APRIL + 5 * DAY, 1, 30, NAN);
    assert_int_equal(told(&f), 4);
    revised_close(&f);
}

static void test_graces_are_of_their_scorecard(void **state)
{
    (void)state;
    static const char other[] =
        "{scorecard: w, name: W, grace: 20d, perspectives: [{id: p, name: P, objectives: [{id: o, "
        "name: O, measures: [{id: s, name: S, input: a, aggregate: sum, score: {linear: {from: 0, to: "
        "100}}}]}]}]}";
    for (int i = 0; i < 2; i++) { /* in any order of the two */
        struct revised f;
        revised_open(&f, i ? yaml : other, i ? other : yaml);
        world_begin(&f.world, MARCH + 10 * DAY);
        revised_settle(&f);
        commit(&f, APRIL + 19 * DAY, row("a", "", MARCH + DAY, 10));
        assert_null(revised_find(&f, " w", APRIL));
        expect(&f, " c", APRIL, 1, 10, NAN);
        revised_close(&f);
    }
}

/* ---- slices ---- */

static void test_a_settle_in_slices_revises_when_it_is_done(void **state)
{
    struct revised *f = *state;
    static const char *const orgs[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        revised_give(f, row("a", orgs[i], MARCH + DAY, 10));
    }
    revised_settle(f);
    revised_begin(f, APRIL + 5 * DAY);
    for (int i = 0; i < 4; i++) {
        revised_give(f, row("a", orgs[i], MARCH + DAY, 10));
    }
    int slices = 0;
    while (!revised_settle_slice(f, 1)) {
        assert_int_equal(told(f), 0);
        if (++slices == 2) { /* a commit between two slices */
            revised_give(f, row("a", "a", MARCH + DAY, 5));
        }
    }
    assert_true(slices > 3);
    revised_check(f);
    assert_int_equal(told(f), 5 * 4);
    expect(f, "a c", APRIL, 1, 25, 10);
    assert_int_equal(revised_find(f, "a c", APRIL)->cause, 5);
}

/* Wherever between two slices it comes: what has been looked at already has another trend. */
static void test_a_row_between_slices_moves_a_trend(void **state)
{
    (void)state;
    static const char own_only[] =
        "{scorecard: c, name: C, perspectives: [{id: p, name: P, objectives: [{id: o, name: O, measures: "
        "[{id: s, name: S, input: a, aggregate: sum, carry: 0, score: {linear: {from: 0, to: 100}}}]}]}]}";
    bool done = false;
    for (int slices = 1; !done; slices++) {
        struct revised f;
        revised_open(&f, own_only, NULL);
        world_begin(&f.world, MARCH + 10 * DAY);
        revised_give(&f, row("a", "x", MARCH + DAY, 10));
        revised_settle(&f);
        revised_begin(&f, MAY + 5 * DAY);
        revised_give(&f, row("a", "x", APRIL + DAY, 20));
        for (int i = 0; i < slices && !done; i++) {
            done = revised_settle_slice(&f, 1);
        }
        if (!done) {
            revised_give(&f, row("a", "x", MARCH + DAY, 30));
            revised_settle(&f);
            revised_check(&f);
            assert_true(revised_find(&f, "x c", MAY)->numbers.trend == -20);
            assert_int_equal(told(&f), 2 * 2 * 4);
        }
        revised_close(&f);
        assert_true(done || slices < 100);
    }
}

static const char year_by_day[] =
    "{scorecard: c, name: C, period: day, grace: 1d, perspectives: [{id: p, name: P, objectives: [{id: o, "
    "name: O, measures: [{id: s, name: S, input: a, aggregate: sum, period: year, score: {linear: {from: 0, "
    "to: 100}}}]}]}]}";

/* Two rows of a settle touch the same days, the later one fewer: only for these it counts that more has
 * closed. */
static void test_each_end_closes_when_it_is_touched(void **state)
{
    (void)state;
    static const char late[] =
        "{scorecard: c, name: C, period: day, grace: 0s, perspectives: [{id: p, name: P, objectives: [{id: "
        "o, "
        "name: O, measures: [{id: s, name: S, input: a, aggregate: sum, period: year, grace: 5d, score: "
        "{linear: {from: 0, to: 100}}}]}]}]}";
    struct revised f;
    revised_open(&f, late, NULL);
    world_begin(&f.world, MARCH + 8 * DAY);
    revised_settle(&f);
    revised_begin(&f, MARCH + 8 * DAY);
    revised_give(&f, row("a", "", MARCH + 2 * DAY, 10)); /* as of 2 to 8; of the measure 3 is closed */
    world_begin(&f.world, MARCH + 10 * DAY);
    revised_give(&f, row("a", "", MARCH + 5 * DAY, 10)); /* as of 5 to 10; of it 5 is closed */
    revised_settle(&f);
    for (int day = 1; day <= 11; day++) {
        assert_int_equal(revised_find(&f, " c", MARCH + day * DAY) != NULL, day >= 2 && day <= 10);
        assert_int_equal(revised_find(&f, " c/p/o/s", MARCH + day * DAY) != NULL,
                         day == 2 || day == 3 || day == 5);
    }
    revised_close(&f);
}

/* Two rows of a settle touch the same cell; between them, more days have closed. */
static void test_days_that_close_within_a_settle(void **state)
{
    (void)state;
    struct revised f;
    revised_open(&f, year_by_day, NULL);
    world_begin(&f.world, MARCH + 10 * DAY);
    revised_settle(&f);
    revised_begin(&f, MARCH + 10 * DAY);
    revised_give(&f, row("a", "", MARCH + DAY, 10));
    world_begin(&f.world, MARCH + 12 * DAY);
    revised_give(&f, row("a", "", MARCH + DAY, 10));
    revised_settle(&f);
    revised_check(&f);
    expect(&f, " c", MARCH + 11 * DAY, 1, 20, NAN);
    assert_int_equal(revised_find(&f, " c", MARCH + 9 * DAY)->cause, 1);
    assert_int_equal(revised_find(&f, " c", MARCH + 11 * DAY)->cause, 2);
    assert_int_equal(told(&f), 11 * 4);
    revised_close(&f);
}

/* A year by the hour: however many ends read a row, it is applied at once, and looked at piece by piece. */
static void test_many_ends_are_looked_at_in_slices(void **state)
{
    (void)state;
    static const char year_by_hour[] =
        "{scorecard: c, name: C, period: hour, grace: 1h, perspectives: [{id: p, name: P, objectives: [{id: "
        "o, "
        "name: O, measures: [{id: s, name: S, input: a, aggregate: sum, period: year, score: {linear: {from: "
        "0, to: 100}}}]}]}]}";
    enum { HOURS = 59 * 24 };
    struct revised f;
    revised_open(&f, year_by_hour, NULL);
    revised_begin(&f, MARCH + HOUR);
    revised_settle(&f);
    revised_begin(&f, MARCH + HOUR);
    revised_give(&f, row("a", "", MARCH - HOURS * HOUR, 10));
    int slices = 1;
    while (!revised_settle_slice(&f, 100)) {
        slices++;
        assert_int_equal(told(&f), 0);
    }
    assert_true(slices > HOURS * 2 * 4 / 200);
    assert_int_equal(told(&f), HOURS * 4);
    expect(&f, " c", MARCH, 1, 10, NAN);
    revised_close(&f);
}

/* ---- backfills ---- */

enum { SOURCE = 7, OTHER_SOURCE = 8, SILENT_MS = 15 * 60000, BACKFILLS = 64 /* as in internal.h */ };

/* A settled commit of one row from a source that backfills, or does not. */
static void commit_of(struct revised *f, int64_t as_of_ms, uint64_t source, bool backfills,
                      poise_measurement event)
{
    world_begin(&f->world, as_of_ms);
    f->first_told = f->told_count;
    engine_backfill(f->world.engine, source, backfills);
    revised_give(f, event);
    revised_settle(f);
}

static void test_a_backfill_revises_at_its_end(void **state)
{
    struct revised *f = *state;
    const int64_t as_of_ms = APRIL + 5 * DAY;
    revised_give(f, row("a", "", MARCH + DAY, 10));
    revised_settle(f);
    revised_begin(f, as_of_ms);
    for (int i = 0; i < 3; i++) {
        commit_of(f, as_of_ms, SOURCE, true, row("a", "", MARCH + DAY, 10));
        assert_int_equal(told(f), 0);
        assert_true(engine_holds(f->world.engine));
        assert_int_equal(engine_checkpoint(f->world.engine, NULL, NULL, NULL), POISE_EINVAL);
    }
    commit_of(f, as_of_ms, OTHER_SOURCE, false, row("b", "", MARCH - DAY, 10)); /* of what is not held */
    expect(f, " c", MARCH, 1, 10, NAN);
    assert_null(revised_find(f, " c", APRIL)); /* but this is, whoever touches it */
    commit_of(f, as_of_ms, OTHER_SOURCE, false, row("b", "", MARCH - DAY, 20));
    expect(f, " c", MARCH, 2, 20, 10);
    f->first_told = f->told_count;
    engine_backfill(f->world.engine, SOURCE, false);
    revised_settle(f);
    expect(f, " c/p/o/sum", APRIL, 1, 40, 10);
    assert_int_equal(revised_find(f, " c/p/o/sum", APRIL)->cause, 2);
    assert_int_equal(told(f), 5); /* with the maximum that is carried */
    assert_false(engine_holds(f->world.engine));
    world_checkpoint(&f->world);
}

static void test_the_last_of_several_backfills(void **state)
{
    struct revised *f = *state;
    const int64_t as_of_ms = APRIL + 5 * DAY;
    revised_settle(f);
    commit_of(f, as_of_ms, SOURCE, true, row("a", "", MARCH + DAY, 10));
    commit_of(f, as_of_ms, OTHER_SOURCE, true, row("a", "", MARCH + DAY, 10));
    engine_backfill(f->world.engine, SOURCE, false);
    revised_settle(f);
    assert_int_equal(told(f), 0);
    engine_backfill(f->world.engine, OTHER_SOURCE, false);
    revised_settle(f);
    expect(f, " c", APRIL, 1, 20, NAN);
    assert_int_equal(told(f), 4);
    engine_backfill(f->world.engine, SOURCE, false); /* it was over already */
    commit_of(f, as_of_ms, SOURCE, false, row("a", "", MARCH + DAY, 10));
    expect(f, " c", APRIL, 2, 30, 20);
}

/* A day that closes while a backfill runs is revised from what it was when the backfill came to it. */
static void test_a_backfill_comes_to_days_that_have_closed(void **state)
{
    (void)state;
    struct revised f;
    revised_open(&f, year_by_day, NULL);
    world_begin(&f.world, MARCH + 10 * DAY);
    revised_settle(&f);
    commit_of(&f, MARCH + 10 * DAY, SOURCE, true, row("a", "", MARCH + DAY, 1));
    commit_of(&f, MARCH + 10 * DAY, SOURCE, true, row("a", "", MARCH + DAY, 2));
    commit_of(&f, MARCH + 12 * DAY, SOURCE, true, row("a", "", MARCH + 2 * DAY, 4));
    commit_of(&f, MARCH + 12 * DAY, SOURCE, true, row("a", "", MARCH + DAY, 8));
    assert_int_equal(told(&f), 0);
    engine_backfill(f.world.engine, SOURCE, false);
    revised_settle(&f);
    expect(&f, " c", MARCH + 9 * DAY, 1, 15, NAN);
    expect(&f, " c", MARCH + 11 * DAY, 1, 15, 3);
    revised_close(&f);
}

/* One that begins where another ended goes on with what that one waited for. */
static void test_a_backfill_follows_another(void **state)
{
    struct revised *f = *state;
    const int64_t as_of_ms = APRIL + 5 * DAY;
    revised_settle(f);
    commit_of(f, as_of_ms, SOURCE, true, row("a", "", MARCH + DAY, 10));
    engine_backfill(f->world.engine, SOURCE, false);
    revised_give(f, row("a", "", MARCH + DAY, 20));
    revised_give(f, row("b", "", MARCH + DAY, 20));
    commit_of(f, as_of_ms, OTHER_SOURCE, true, row("a", "", APRIL + DAY, 10));
    assert_int_equal(told(f), 0);
    commit_of(f, as_of_ms, OTHER_SOURCE, true, row("b", "", MARCH + DAY, 30));
    engine_backfill(f->world.engine, OTHER_SOURCE, false);
    revised_settle(f);
    expect(f, " c/p/o/sum", APRIL, 1, 30, NAN);
    expect(f, " c/p/o/max", APRIL, 1, 30, NAN);
    assert_int_equal(revised_find(f, " c/p/o/max", APRIL)->cause, 1);
}

static void test_a_silent_backfill_is_over(void **state)
{
    struct revised *f = *state;
    const int64_t as_of_ms = APRIL + 5 * DAY;
    revised_settle(f);
    commit_of(f, as_of_ms, SOURCE, true, row("a", "", MARCH + DAY, 10));
    commit_of(f, as_of_ms + SILENT_MS, SOURCE, true, row("a", "", MARCH + DAY, 10));
    world_begin(&f->world, as_of_ms + 2 * SILENT_MS);
    revised_settle(f);
    assert_int_equal(told(f), 0);
    world_begin(&f->world, as_of_ms + 2 * SILENT_MS + 1);
    revised_settle(f);
    expect(f, " c", APRIL, 1, 20, NAN);
    commit_of(f, as_of_ms + 2 * SILENT_MS + 1, OTHER_SOURCE, false, row("a", "", MARCH + DAY, 10));
    expect(f, " c", APRIL, 2, 30, 20);
}

static void test_too_many_backfills_revise_at_once(void **state)
{
    struct revised *f = *state;
    const int64_t as_of_ms = APRIL + 5 * DAY;
    revised_settle(f);
    for (uint64_t source = 1; source <= BACKFILLS; source++) {
        commit_of(f, as_of_ms, source, true, row("a", "", APRIL + DAY, 10));
    }
    commit_of(f, as_of_ms, BACKFILLS + 1, true, row("a", "", MARCH + DAY, 10));
    expect(f, " c", APRIL, 1, 10, NAN);
    engine_backfill(f->world.engine, 1, false); /* there is room now */
    commit_of(f, as_of_ms, BACKFILLS + 1, true, row("a", "", MARCH + DAY, 10));
    assert_int_equal(told(f), 0);
}

#define with_revised(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_revised(test_none_within_the_grace),
        with_revised(test_open_periods_are_not_revised),
        with_revised(test_one_a_settle_with_its_first_cause),
        with_revised(test_what_does_not_change_is_not_revised),
        with_revised(test_trend_is_against_the_end_of_the_period_before),
        with_revised(test_periods_that_carry_it_are_revised_too),
        with_revised(test_orgs_above_are_revised),
        with_revised(test_a_new_org_in_a_closed_period),
        cmocka_unit_test(test_a_new_org_that_comes_with_what_is_open),
        with_revised(test_a_correction_that_moves_revises_both),
        with_revised(test_a_retracted_extreme),
        with_revised(test_a_retracted_extreme_and_then_it_closes),
        with_revised(test_graces_of_measures),
        with_revised(test_what_closes_with_the_commit_is_not_revised),
        cmocka_unit_test(test_closed_bases_are_revised_from_their_end_on),
        cmocka_unit_test(test_each_end_closes_when_it_is_touched),
        with_revised(test_rolling_windows_never_close),
        with_revised(test_what_waited_for_its_time_is_no_revision),
        with_revised(test_numbers_go_on_after_a_restart),
        with_revised(test_numbers_go_on_with_another_definition),
        with_revised(test_offline_nothing_is_revised),
        cmocka_unit_test(test_periods_of_other_scorecards),
        cmocka_unit_test(test_graces_are_of_their_scorecard),
        with_revised(test_a_settle_in_slices_revises_when_it_is_done),
        cmocka_unit_test(test_a_row_between_slices_moves_a_trend),
        cmocka_unit_test(test_days_that_close_within_a_settle),
        cmocka_unit_test(test_many_ends_are_looked_at_in_slices),
        cmocka_unit_test(test_a_backfill_comes_to_days_that_have_closed),
        with_revised(test_a_backfill_follows_another),
        with_revised(test_a_backfill_revises_at_its_end),
        with_revised(test_the_last_of_several_backfills),
        with_revised(test_a_silent_backfill_is_over),
        with_revised(test_too_many_backfills_revise_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
