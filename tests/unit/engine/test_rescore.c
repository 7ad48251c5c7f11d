/* Several definitions of one scorecard: which answers when, late measurements for older ones, rescores. The
 * reference of each is an engine that knows that definition alone. */
#include "world.h"

#include <engine/report.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define JANUARY  INT64_C(1769904000000) /* its end: 2026-02-01 */
#define FEBRUARY INT64_C(1772323200000)
#define MARCH    INT64_C(1775001600000)
#define APRIL    INT64_C(1777593600000)
#define DAY      INT64_C(86400000)

static const char *const texts[] = {
    "{scorecard: s, period: month, grace: 2d, perspectives: [{id: p, objectives: [{id: o, measures: ["
    "{id: a, aggregate: sum, score: {linear: {from: 20, to: 0}}},"
    "{id: old, aggregate: sum, score: {linear: {from: 10, to: 0}}}]}]}]}",
    "{scorecard: s, period: month, grace: 20d, lock_after: 60d, perspectives: [{id: p, objectives: [{id: o, "
    "measures: [{id: new, aggregate: count, input: a, score: {linear: {from: 0, to: 10}}},"
    "{id: a, aggregate: sum, weight: 3, score: {linear: {from: 40, to: 0}}}]}]}]}",
};

struct fixture {
    struct scorecard *read[2];
    const struct scorecard *cards[2];
    struct engine_term terms[2];
    struct world world;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    for (int i = 0; i < 2; i++) {
        f.cards[i] = f.read[i] = card_of(texts[i]);
        f.terms[i] = (struct engine_term){.after_ms = i ? FEBRUARY : INT64_MIN,
                                          .until_ms = i ? INT64_MAX : FEBRUARY,
                                          .closed_ms = i ? FEBRUARY : INT64_MIN,
                                          .number = (uint64_t)i + 4};
    }
    const struct engine_options options = {.cards = f.cards, .terms = f.terms, .card_count = 2};
    world_open(&f.world, &options);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    scorecard_free(f->read[0]);
    scorecard_free(f->read[1]);
    return 0;
}

static poise_refusal give(struct fixture *f, const char *measure, const char *org, int64_t time_ms,
                          double value)
{
    const poise_measurement row = {
        .measure = measure, .org = org, .time_ms = time_ms, .value = value, .of = 1};
    return world_apply(&f->world, &row, APRIL);
}

/* Each month some of each, and April has begun. */
static void give_months(struct fixture *f)
{
    static const int64_t ends[] = {JANUARY, FEBRUARY, MARCH};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(give(f, "a", "p1", ends[i] - 5 * DAY, 4 + i), POISE_REFUSAL_NONE);
    }
    give(f, "old", "", JANUARY - 3 * DAY, 2);
    give(f, "old", "p1", FEBRUARY - 3 * DAY, 5);
    world_begin(&f->world, MARCH + DAY);
    world_settle(&f->world);
}

/* ---- what is said of a node ---- */

struct sought {
    const char *node, *org;
    int64_t as_of_ms;
    poise_state state; /* the last that is so */
    size_t count, all;
};

static poise_code seek(void *visitor, const poise_state *state)
{
    struct sought *sought = visitor;
    sought->all++;
    if (strcmp(state->node, sought->node) == 0 && strcmp(state->org, sought->org) == 0 &&
        state->as_of_ms == sought->as_of_ms) {
        sought->state = *state;
        sought->count++;
    }
    return POISE_OK;
}

/* Offline, of the rows so far: by definitions[from] to definitions[to - 1]. */
static poise_state offline(struct fixture *f, size_t from, size_t to, bool with_terms, const char *node,
                           const char *org, int64_t as_of_ms)
{
    const struct engine_options options = {.cards = &f->cards[from],
                                           .terms = with_terms ? &f->terms[from] : NULL,
                                           .card_count = to - from,
                                           .offline = true};
    struct engine *engine;
    struct report_question question = {.card = f->cards[from], .history = true, .as_of_ms = APRIL};
    struct sought sought = {.node = node, .org = org, .as_of_ms = as_of_ms};
    assert_int_equal(engine_open(&options, &engine, NULL), POISE_OK);
    assert_int_equal(report_begin(engine, &question, NULL), POISE_OK);
    for (size_t i = 0; i < f->world.row_count; i++) {
        past_apply(engine, &f->world.rows[i], ENGINE_LET_IN);
    }
    assert_int_equal(report_states(engine, &question, seek, &sought, NULL), POISE_OK);
    assert_true(sought.count <= 1);
    engine_close(engine);
    return sought.state;
}

static poise_state alone(struct fixture *f, size_t definition, const char *node, const char *org,
                         int64_t as_of_ms)
{
    return offline(f, definition, definition + 1, false, node, org, as_of_ms);
}

static poise_state together(struct fixture *f, const char *node, const char *org, int64_t as_of_ms)
{
    return offline(f, 0, 2, true, node, org, as_of_ms);
}

static void assert_same_numbers(const poise_state *a, const poise_state *b)
{
    struct buf text[2] = {{0}, {0}};
    poise_state copies[2] = {*a, *b};
    for (int i = 0; i < 2; i++) {
        copies[i].numbers.trend = 0;
        copies[i].org = ""; /* its engine is closed */
        dump_state(&copies[i], &text[i]);
    }
    assert_same_text(&text[0], &text[1]);
    buf_free(&text[0]);
    buf_free(&text[1]);
}

/* ---- which one answers ---- */

static void test_each_answers_for_its_own_times(void **state)
{
    struct fixture *f = *state;
    static const int64_t ends[] = {JANUARY, FEBRUARY, MARCH, APRIL};
    give_months(f);
    for (int i = 0; i < 4; i++) {
        size_t definition = i > 1;
        poise_state got = together(f, "s/p/o", "", ends[i]);
        poise_state wanted = alone(f, definition, "s/p/o", "", ends[i]);
        assert_int_equal(got.definition, 4 + definition);
        assert_same_numbers(&got, &wanted);
    }
    assert_null(together(f, "s/p/o/old", "", MARCH).node);
    assert_null(together(f, "s/p/o/new", "", FEBRUARY).node);
}

static void test_trends_are_against_what_was_in_force(void **state)
{
    struct fixture *f = *state;
    give_months(f);
    double january = alone(f, 0, "s/p/o/a", "p1", JANUARY).numbers.score;
    double february = alone(f, 0, "s/p/o/a", "p1", FEBRUARY).numbers.score;
    double march = alone(f, 1, "s/p/o/a", "p1", MARCH).numbers.score;
    assert_true(together(f, "s/p/o/a", "p1", FEBRUARY).numbers.trend == february - january);
    assert_true(together(f, "s/p/o/a", "p1", MARCH).numbers.trend == march - february);
    assert_true(isnan(together(f, "s/p/o/new", "p1", MARCH).numbers.trend));
    assert_true(!isnan(together(f, "s/p/o/new", "p1", MARCH).numbers.score));
}

static void test_live_shows_the_current_one(void **state)
{
    struct fixture *f = *state;
    struct sought sought = {.node = "s/p/o/old", .org = "", .as_of_ms = MARCH + DAY};
    give_months(f);
    assert_int_equal(engine_states(f->world.engine, "s", NULL, seek, &sought, NULL), POISE_OK);
    assert_int_equal(sought.count, 0);
    sought.node = "s/p/o/a";
    assert_int_equal(engine_states(f->world.engine, NULL, "", seek, &sought, NULL), POISE_OK);
    assert_int_equal(sought.count, 1);
    assert_int_equal(sought.state.definition, 5);
}

/* ---- late measurements ---- */

static void test_an_older_one_revises_its_periods(void **state)
{
    struct fixture *f = *state;
    give_months(f);
    poise_state before = alone(f, 0, "s/p", "", FEBRUARY);
    assert_int_equal(give(f, "old", "p2", FEBRUARY - 2 * DAY, 1), POISE_REFUSAL_NONE);
    struct sought sought = {.node = "s/p", .org = "", .as_of_ms = FEBRUARY};
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, seek, &sought, NULL), POISE_OK);
    poise_state after = alone(f, 0, "s/p", "", FEBRUARY);
    assert_int_equal(sought.count, 1);
    assert_int_equal(sought.state.definition, 4);
    assert_int_equal(sought.state.revision, 1);
    assert_true(sought.state.replaced == before.numbers.score);
    assert_same_numbers(&sought.state, &after);
    /* Only February has it, and only by what was in force. */
    assert_int_equal(sought.all, 4 + 4);
}

static void test_trends_follow_an_older_one(void **state)
{
    struct fixture *f = *state;
    f->terms[0].until_ms = f->terms[1].after_ms = f->terms[1].closed_ms = MARCH;
    const struct engine_options options = {.cards = f->cards, .terms = f->terms, .card_count = 2};
    world_close(&f->world);
    world_open(&f->world, &options);
    give_months(f);
    world_begin(&f->world, MARCH + 9 * DAY);
    assert_int_equal(give(f, "a", "", MARCH + DAY, 9), POISE_REFUSAL_NONE);
    world_settle(&f->world);
    assert_int_equal(give(f, "old", "", MARCH - DAY, 9), POISE_REFUSAL_NONE);
    struct sought sought = {.node = "s/p/o", .org = "", .as_of_ms = MARCH + 9 * DAY};
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, seek, &sought, NULL), POISE_OK);
    assert_int_equal(sought.count, 1);
    assert_true(sought.state.numbers.trend ==
                sought.state.numbers.score - alone(f, 0, "s/p/o", "", MARCH).numbers.score);
}

static void test_what_only_an_older_one_reads_is_for_its_periods(void **state)
{
    struct fixture *f = *state;
    give_months(f);
    assert_int_equal(give(f, "old", "", FEBRUARY - 1, 1), POISE_REFUSAL_NONE);
    assert_int_equal(give(f, "old", "", FEBRUARY, 1), POISE_REFUSAL_UNKNOWN_MEASURE);
    assert_int_equal(give(f, "never", "", JANUARY, 1), POISE_REFUSAL_UNKNOWN_MEASURE);
    assert_int_equal(give(f, "a", "", FEBRUARY, 1), POISE_REFUSAL_NONE);
}

/* What was closed stays closed, whatever the grace of the next definition. */
static void test_a_longer_grace_opens_nothing(void **state)
{
    struct fixture *f = *state;
    struct sought sought = {.node = "s/p", .org = "", .as_of_ms = FEBRUARY};
    f->terms[0].until_ms = f->terms[1].after_ms = JANUARY; /* as after a rescore */
    const struct engine_options options = {.cards = f->cards, .terms = f->terms, .card_count = 2};
    world_close(&f->world);
    world_open(&f->world, &options);
    give(f, "a", "", JANUARY, 4);
    world_begin(&f->world, FEBRUARY + 10 * DAY);
    world_settle(&f->world);
    assert_int_equal(give(f, "a", "", FEBRUARY - 2 * DAY, 1), POISE_REFUSAL_NONE);
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, seek, &sought, NULL), POISE_OK);
    assert_int_equal(sought.count, 1);
    assert_int_equal(sought.state.definition, 5);
}

/* ---- rescores ---- */

static struct engine_rescore find(struct fixture *f, int64_t from_ms)
{
    struct engine_rescore found;
    engine_rescore_find(f->world.engine, "s", from_ms, &found);
    return found;
}

static void test_a_rescore_revises_what_differs(void **state)
{
    struct fixture *f = *state;
    struct sought sought = {.node = "s/p", .org = "p1", .as_of_ms = FEBRUARY};
    give_months(f);
    struct engine_rescore found = find(f, FEBRUARY);
    assert_false(found.nothing || found.locked);
    assert_int_equal(found.after_ms, JANUARY);
    assert_int_equal(found.looks, 2 * 5);
    engine_skip(f->world.engine);
    assert_int_equal(engine_rescore(f->world.engine, "s", found.after_ms, seek, &sought, NULL), POISE_OK);
    assert_int_equal(sought.count, 1);
    assert_int_equal(sought.all, 10); /* all differ */
    poise_state before = alone(f, 0, "s/p", "p1", FEBRUARY), after = alone(f, 1, "s/p", "p1", FEBRUARY);
    assert_true(sought.state.replaced == before.numbers.score);
    assert_same_numbers(&sought.state, &after);
    assert_true(sought.state.numbers.trend ==
                after.numbers.score - alone(f, 0, "s/p", "p1", JANUARY).numbers.score);
    assert_int_equal(sought.state.cause, engine_ordinal(f->world.engine));
    assert_int_equal(sought.state.revision, 1);
    assert_int_equal(sought.state.definition, 5);
    assert_true(engine_dirty(f->world.engine));
    world_settle(&f->world);
    assert_true(find(f, FEBRUARY).nothing);
    assert_true(find(f, MARCH).nothing);
    assert_false(find(f, JANUARY).nothing);
    assert_int_equal(give(f, "old", "", FEBRUARY - 1, 1), POISE_REFUSAL_UNKNOWN_MEASURE);
    assert_int_equal(give(f, "old", "", JANUARY - 1, 1), POISE_REFUSAL_NONE);
}

static void test_a_late_one_revises_what_was_rescored_by_the_current_one(void **state)
{
    struct fixture *f = *state;
    struct sought rescored = {.node = "s/p", .org = ""},
                  sought = {.node = "s/p", .org = "", .as_of_ms = FEBRUARY};
    give_months(f);
    engine_skip(f->world.engine);
    assert_int_equal(engine_rescore(f->world.engine, "s", JANUARY, seek, &rescored, NULL), POISE_OK);
    world_settle(&f->world);
    assert_int_equal(give(f, "a", "p2", FEBRUARY - 2 * DAY, 1), POISE_REFUSAL_NONE);
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, seek, &sought, NULL), POISE_OK);
    poise_state after = alone(f, 1, "s/p", "", FEBRUARY);
    assert_int_equal(sought.count, 1);
    assert_int_equal(sought.state.definition, 5);
    assert_int_equal(sought.state.revision, 2);
    assert_same_numbers(&sought.state, &after);
}

/* Before the first measurement there is nothing that an older definition could be asked about. */
static void test_a_rescore_of_all_leaves_none_of_the_older(void **state)
{
    struct fixture *f = *state;
    give_months(f);
    assert_int_equal(find(f, JANUARY).after_ms, INT64_MIN);
    assert_int_equal(find(f, JANUARY - 31 * DAY).after_ms, INT64_MIN);
}

/* The older one is in force for no time any more: what would it lock? */
static void test_a_rescore_after_one_of_all(void **state)
{
    struct fixture *f = *state;
    struct scorecard *locking =
        card_of("{scorecard: s, period: month, lock_after: 400d, perspectives: [{id: p, objectives: [{id: o, "
                "measures: [{id: a, aggregate: sum, score: {linear: {from: 20, to: 0}}}]}]}]}");
    f->cards[0] = locking;
    const struct engine_options options = {.cards = f->cards, .terms = f->terms, .card_count = 2};
    world_close(&f->world);
    world_open(&f->world, &options);
    give(f, "a", "", JANUARY - 1, 1);
    world_begin(&f->world, FEBRUARY + 10 * DAY);
    world_settle(&f->world);
    engine_skip(f->world.engine);
    struct sought sought = {.node = "s/p", .org = "", .as_of_ms = FEBRUARY};
    assert_int_equal(engine_rescore(f->world.engine, "s", INT64_MIN, seek, &sought, NULL), POISE_OK);
    world_settle(&f->world);
    assert_true(find(f, JANUARY).nothing);
    assert_false(find(f, JANUARY).locked);
    scorecard_free(locking);
}

static void test_a_rescore_stops_at_what_is_locked(void **state)
{
    struct fixture *f = *state;
    struct scorecard *locking =
        card_of("{scorecard: s, period: month, grace: 2d, lock_after: 30d, perspectives: [{id: p, "
                "objectives: [{id: o, "
                "measures: [{id: a, aggregate: sum, score: {linear: {from: 20, to: 0}}}]}]}]}");
    f->cards[0] = locking;
    const struct engine_options options = {.cards = f->cards, .terms = f->terms, .card_count = 2};
    world_close(&f->world);
    world_open(&f->world, &options);
    give(f, "a", "", JANUARY - 1, 1);
    world_begin(&f->world, FEBRUARY + 10 * DAY);
    world_settle(&f->world);
    struct engine_rescore found = find(f, JANUARY);
    assert_true(found.locked);
    assert_int_equal(found.after_ms, JANUARY);
    assert_false(find(f, FEBRUARY).locked);
    world_begin(&f->world, FEBRUARY + 31 * DAY);
    world_settle(&f->world);
    assert_true(find(f, JANUARY).nothing && find(f, JANUARY).locked);
    scorecard_free(locking);
}

static void test_trends_follow_a_rescore(void **state)
{
    struct fixture *f = *state;
    f->terms[0].until_ms = f->terms[1].after_ms = f->terms[1].closed_ms = MARCH;
    const struct engine_options options = {.cards = f->cards, .terms = f->terms, .card_count = 2};
    world_close(&f->world);
    world_open(&f->world, &options);
    give_months(f);
    world_begin(&f->world, MARCH + 9 * DAY);
    assert_int_equal(give(f, "a", "", MARCH + DAY, 9), POISE_REFUSAL_NONE);
    world_settle(&f->world);
    struct sought sought = {.node = "s/p/o/a", .org = "", .as_of_ms = MARCH + 9 * DAY};
    assert_int_equal(engine_rescore(f->world.engine, "s", FEBRUARY, seek, &sought, NULL), POISE_OK);
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, seek, &sought, NULL), POISE_OK);
    assert_int_equal(sought.count, 1);
    assert_true(sought.state.numbers.trend ==
                sought.state.numbers.score - alone(f, 1, "s/p/o/a", "", MARCH).numbers.score);
}

/* A row that was let in is counted again whatever the definitions say now. */
static void test_what_was_let_in_is_let_in_again(void **state)
{
    struct fixture *f = *state;
    struct scorecard *levels = card_of(
        "{scorecard: s, period: month, perspectives: [{id: p, objectives: [{id: o, measures: [{id: a, "
        "aggregate: last, score: {levels: [{name: low, value: 1, score: 0}, {name: high, value: 2, "
        "score: 100}]}}]}]}]}");
    f->cards[0] = levels;
    const struct engine_options options = {.cards = f->cards, .card_count = 1};
    world_close(&f->world);
    world_open(&f->world, &options);
    assert_int_equal(give(f, "a", "", JANUARY, 3), POISE_REFUSAL_LEVEL);
    assert_int_equal(past_apply(f->world.engine, &f->world.rows[0], ENGINE_LET_IN), POISE_REFUSAL_NONE);
    world_begin(&f->world, FEBRUARY);
    world_settle(&f->world);
    struct sought sought = {.node = "s/p/o/a", .org = "", .as_of_ms = FEBRUARY};
    assert_int_equal(engine_states(f->world.engine, NULL, "", seek, &sought, NULL), POISE_OK);
    assert_true(sought.state.numbers.value == 3);
    world_close(&f->world);
    f->cards[0] = f->read[0];
    world_open(&f->world, &options);
    scorecard_free(levels);
}

/* What is closed by a definition that is not in force any more is nobody's: it must not matter whether an
 * engine has seen its last end when it came, or was opened later. Here March is closed by its grace, and open
 * by that of now. */
static void test_an_older_one_closes_nothing_of_now(void **state)
{
    struct fixture *f = *state;
    double replaced[2];
    give(f, "a", "p1", MARCH - 10 * DAY, 1);
    world_begin(&f->world, FEBRUARY + 5 * DAY);
    world_settle(&f->world);
    world_begin(&f->world, MARCH + 3 * DAY);
    world_settle(&f->world);
    world_checkpoint(&f->world);
    for (int opened = 0; opened < 2; opened++) {
        struct sought sought = {.node = "s/p/o/a", .org = "p1", .as_of_ms = MARCH};
        give(f, "a", "p1", MARCH - 5 * DAY, 7);
        world_begin(&f->world, MARCH + 21 * DAY);
        give(f, "a", "p1", MARCH - 4 * DAY, 9);
        assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, seek, &sought, NULL), POISE_OK);
        assert_int_equal(sought.count, 1);
        replaced[opened] = sought.state.replaced;
        world_reopen(&f->world);
    }
    assert_true(replaced[0] == replaced[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_answers_for_its_own_times, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trends_are_against_what_was_in_force, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live_shows_the_current_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_older_one_revises_its_periods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trends_follow_an_older_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_only_an_older_one_reads_is_for_its_periods, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_longer_grace_opens_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rescore_revises_what_differs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_late_one_revises_what_was_rescored_by_the_current_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_rescore_of_all_leaves_none_of_the_older, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rescore_after_one_of_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rescore_stops_at_what_is_locked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trends_follow_a_rescore, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_let_in_is_let_in_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_older_one_closes_nothing_of_now, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
