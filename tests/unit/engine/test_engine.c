#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unit/engine/small_world.h>

static void test_refusals_of_series(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(give(f, event("c", "", 1)), POISE_REFUSAL_UNKNOWN_MEASURE);
    assert_int_equal(give(f, event("c d", "", 1)), POISE_REFUSAL_MEASURE_NAME);
    assert_int_equal(give(f, event("a", "x//y", 1)), POISE_REFUSAL_ORG);
    poise_measurement row = event("a", "", 1);
    row.source = "\x01";
    assert_int_equal(give(f, row), POISE_REFUSAL_SOURCE);
    accept(f, event("a", "x/y", 1)); /* root, x and x/y */
    assert_int_equal(give(f, event("a", "z/y", 1)), POISE_REFUSAL_TOO_MANY_ORGS);
    accept(f, event("a", "z", 1));
    assert_int_equal(give(f, event("a", "w", 1)), POISE_REFUSAL_TOO_MANY_ORGS);
    static const char *const sources[] = {"1", "2", "3", "4"};
    for (int i = 0; i < 4; i++) {
        row.source = sources[i];
        accept(f, row);
    }
    assert_int_equal(give(f, event("b", "", 1)), POISE_REFUSAL_TOO_MANY_SERIES);
    accept(f, event("a", "z", 1)); /* the known ones go on */
    assert_int_equal(engine_ordinal(f->world.engine), f->world.row_count);
    assert_true(sum(f) == 7);
}

static void test_refusals_of_rows(void **state)
{
    struct fixture *f = *state;
    poise_measurement row = event("a", "", 1);
    row.time_ms = MARCH + DAY + 3600 * 1000;
    accept(f, row);
    row.time_ms++;
    assert_int_equal(give(f, row), POISE_REFUSAL_TIME_AHEAD);
    row = event("b", "", 1); /* the default of max_ahead is 5m */
    row.time_ms = MARCH + DAY + 5 * 60 * 1000 + 1;
    assert_int_equal(give(f, row), POISE_REFUSAL_TIME_AHEAD);
    assert_int_equal(give(f, event("a", "", NAN)), POISE_REFUSAL_VALUE);
    assert_int_equal(give(f, keyed("", 0, 1)), POISE_REFUSAL_KEY);
    row = event("a", "", 1);
    row.retract = true;
    assert_int_equal(give(f, row), POISE_REFUSAL_RETRACT_KEY);
    assert_true(isnan(sum(f)));
}

static void test_key_with_embedded_zero(void **state)
{
    struct fixture *f = *state;
    struct engine_series *series;
    poise_refusal refusal;
    assert_int_equal(engine_series(f->world.engine, "a", NULL, NULL, &series, &refusal, NULL), POISE_OK);
    const struct engine_row row = {.time_ms = MARCH, .key = "k\0l", .key_length = 3};
    assert_int_equal(engine_apply(f->world.engine, series, &row, INT64_MAX, &refusal, NULL), POISE_OK);
    assert_int_equal(refusal, POISE_REFUSAL_KEY);
    char text[POISE_KEY_MAX + 2];
    memset(text, 'x', sizeof text);
    const struct engine_row long_row = {.time_ms = MARCH, .key = text, .key_length = POISE_KEY_MAX + 1};
    assert_int_equal(engine_apply(f->world.engine, series, &long_row, INT64_MAX, &refusal, NULL), POISE_OK);
    assert_int_equal(refusal, POISE_REFUSAL_KEY);
}

static void test_higher_rank_stands(void **state)
{
    struct fixture *f = *state;
    accept(f, keyed("k", 5, 2));
    accept(f, keyed("k", 4, 9)); /* superseded when it comes */
    assert_true(sum(f) == 2);
    accept(f, keyed("k", 5, 2)); /* a duplicate */
    assert_true(sum(f) == 2);
    assert_int_equal(give(f, keyed("k", 5, 3)), POISE_REFUSAL_SEQ_CONFLICT);
    poise_measurement elsewhere = keyed("k", 5, 2);
    elsewhere.org = "x";
    assert_int_equal(give(f, elsewhere), POISE_REFUSAL_SEQ_CONFLICT);
    accept(f, keyed("k", 6, 3));
    assert_true(sum(f) == 3);
    elsewhere = keyed("k", 7, 4);
    elsewhere.source = "other";
    accept(f, elsewhere); /* keys of two sources are two */
    assert_true(sum(f) == 7);
    accept(f, keyed("l", 0, 1));
    accept(f, keyed("l", 0, 2)); /* without seq the later stands */
    assert_true(sum(f) == 9);
}

static void test_tombstone_holds(void **state)
{
    struct fixture *f = *state;
    poise_measurement gone = keyed("k", 7, NAN);
    gone.retract = true;
    gone.org = "never";
    gone.time_ms = INT64_MAX;
    accept(f, gone);
    accept(f, keyed("k", 6, 4));
    assert_true(isnan(sum(f)));
    gone.time_ms = 0;
    accept(f, gone); /* the same again, whatever its time */
    assert_int_equal(give(f, keyed("k", 7, 4)), POISE_REFUSAL_SEQ_CONFLICT);
    assert_int_equal(
        engine_states(f->world.engine, NULL, "never", find_value, &(struct wanted){.node = ""}, NULL),
        POISE_ENOTFOUND);
    accept(f, keyed("k", 8, 4));
    assert_true(sum(f) == 4);
    world_checkpoint(&f->world);
    assert_int_equal(f->world.tables[ENGINE_CELLS].count, 1); /* a tombstone was in no cell */
}

static void test_superseded_rows_make_orgs(void **state)
{
    struct fixture *f = *state;
    accept(f, keyed("k", 5, 2));
    poise_measurement late = keyed("k", 4, 9);
    late.org = "x";
    accept(f, late);
    assert_true(isnan(value_at(f, "card/p/o/sum", "x")));
    assert_true(sum(f) == 2);
}

static void test_future_waits(void **state)
{
    struct fixture *f = *state;
    accept(f, keyed("k", 1, 2));
    poise_measurement ahead = keyed("k", 2, 3);
    ahead.time_ms = MARCH + DAY + 1000;
    accept(f, ahead); /* takes the old one away at once */
    accept(f, event("a", "", 5));
    assert_true(sum(f) == 5);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    world_begin(&f->world, ahead.time_ms - 1);
    assert_true(sum(f) == 5);
    world_begin(&f->world, ahead.time_ms);
    assert_true(sum(f) == 8);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    assert_int_equal(f->world.tables[ENGINE_FUTURE].count, 0);
    assert_true(sum(f) == 8);
}

static void test_future_that_was_replaced_never_counts(void **state)
{
    struct fixture *f = *state;
    poise_measurement ahead = keyed("k", 1, 3);
    ahead.time_ms = MARCH + DAY + 1000;
    accept(f, ahead);
    accept(f, keyed("k", 2, 1));
    world_settle(&f->world);
    world_begin(&f->world, ahead.time_ms);
    assert_true(sum(f) == 1);
}

static void test_replaced_extreme_is_not_reread(void **state)
{
    struct fixture *f = *state;
    poise_measurement most = keyed("k", 1, 9);
    most.measure = "b";
    accept(f, event("b", "", 4));
    accept(f, most);
    assert_true(max(f) == 9);
    most.seq = 2;
    most.value = 11; /* which is the most, too */
    accept(f, most);
    assert_true(max(f) == 11);
    assert_int_equal(f->world.rereads, 0);
    most.seq = 3;
    most.value = 10;
    accept(f, most);
    assert_true(max(f) == 10);
    assert_int_equal(f->world.rereads, 1);
    most.seq = 4; /* it leaves for where it counts later, or never */
    most.value = 12;
    most.time_ms = MARCH + DAY + 1000;
    accept(f, most);
    assert_true(max(f) == 4);
    world_begin(&f->world, most.time_ms);
    assert_true(max(f) == 12);
    most.seq = 5;
    most.value = 13;
    most.time_ms = MARCH - 1;
    accept(f, most);
    assert_true(max(f) == 4);
}

static void test_lost_extreme_is_reread(void **state)
{
    struct fixture *f = *state;
    accept(f, event("b", "", 4));
    poise_measurement most = keyed("k", 1, 9);
    most.measure = "b";
    accept(f, most);
    assert_true(max(f) == 9);
    most.seq = 2;
    most.retract = true;
    accept(f, most);
    accept(f, event("b", "", 6));
    assert_true(max(f) == 6);
    assert_int_equal(f->world.rereads, 1);
    most = (poise_measurement){.measure = "b", .key = "k", .seq = 3, .time_ms = APRIL, .value = 8, .of = 1};
    assert_int_equal(world_apply(&f->world, &most, INT64_MAX), POISE_REFUSAL_NONE);
    assert_true(max(f) == 6);
}

static poise_code find_numbers(void *visitor, const poise_state *state)
{
    if (strcmp(state->node, "card/p/o/sum") == 0) {
        *(poise_score *)visitor = state->numbers;
    }
    return POISE_OK;
}

static poise_score numbers_of_sum(struct fixture *f)
{
    poise_score numbers = {0};
    world_settle(&f->world);
    assert_int_equal(engine_states(f->world.engine, "card", "", find_numbers, &numbers, NULL), POISE_OK);
    return numbers;
}

static void test_time_alone_changes_scores(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "", 3));
    assert_true(sum(f) == 3);
    world_begin(&f->world, APRIL); /* still shows March */
    assert_false(engine_dirty(f->world.engine));
    world_begin(&f->world, APRIL + 1);
    assert_true(engine_dirty(f->world.engine));
    assert_true(sum(f) == 3);
    assert_int_equal(numbers_of_sum(f).flags, POISE_FLAG_CARRIED);
    world_begin(&f->world, APRIL + 31 * DAY);
    assert_true(isnan(sum(f)));
}

static int changes(struct fixture *f)
{
    int count = 0;
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, count_visit, &count, NULL), POISE_OK);
    return count;
}

static void test_changes_are_what_changed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(changes(f), 5); /* the root is new: card, perspective, objective, two measures */
    assert_int_equal(changes(f), 0);
    accept(f, event("a", "", 3));
    assert_int_equal(changes(f), 4);
    accept(f, event("a", "", 0));
    assert_int_equal(changes(f), 1); /* its count */
    accept(f, event("a", "x", 0));
    assert_int_equal(changes(f), 1 + 5);
    accept(f, event("b", "x", 0));
    accept(f, event("a", "", 0));
    assert_int_equal(changes(f), 5 + 4);
}

static poise_code note_org(void *visitor, const poise_state *state)
{
    if (state->kind == POISE_SCORECARD) {
        buf_printf(visitor, "[%s]", state->org);
    }
    return POISE_OK;
}

static void test_states_are_sorted(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "b", 1));
    accept(f, event("a", "a/c", 1));
    struct buf orgs = {0};
    assert_int_equal(engine_states(f->world.engine, NULL, NULL, note_org, &orgs, NULL), POISE_ENOTFOUND);
    world_settle(&f->world);
    assert_int_equal(engine_states(f->world.engine, NULL, NULL, note_org, &orgs, NULL), POISE_OK);
    buf_put_u8(&orgs, 0);
    assert_string_equal((const char *)orgs.data, "[][a][a/c][b]");
    buf_free(&orgs);
    poise_error err;
    assert_int_equal(engine_states(f->world.engine, "other", NULL, note_org, NULL, &err), POISE_ENOTFOUND);
    assert_non_null(strstr(err.text, "other"));
}

/* Leaves of one input, apart in org or zone. */
static void test_what_leaves_may_not_share(void **state)
{
    (void)state;
    static const char form[] =
        "{scorecard: %s, timezone: %s, name: C, perspectives: [{id: p, name: P, "
        "objectives: [{id: o, name: O, measures: ["
        "{id: all, name: A, input: a, aggregate: sum, period: day, carry: 0, score: {binary: {}}},"
        "{id: own, name: O, input: a, aggregate: sum, period: day, carry: 0, roll_up: none, "
        "score: {binary: {}}}]}]}]}";
    static const char *const zones[] = {"UTC", "America/New_York"};
    struct scorecard *cards[2];
    for (int i = 0; i < 2; i++) {
        char text[1000];
        (void)snprintf(text, sizeof text, form, i ? "west" : "east", zones[i]);
        cards[i] = card_of(text);
    }
    const struct engine_options options = {
        .cards = (const struct scorecard *const *)cards, .card_count = 2, .max_orgs = 10, .max_series = 10};
    struct world world;
    world_open(&world, &options);
    world_begin(&world, MARCH + DAY); /* the end of the day in UTC, seven in the evening in New York */
    static const poise_measurement rows[] = {
        {.measure = "a", .org = "x", .time_ms = MARCH + 1, .value = 1, .of = 1}, /* yesterday in New York */
        {.measure = "a", .org = "", .time_ms = MARCH + DAY / 2, .value = 2, .of = 1},
    };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(world_apply(&world, &rows[i], INT64_MAX), POISE_REFUSAL_NONE);
    }
    world_settle(&world);
    static const struct {
        const char *node;
        double value;
    } wanted[] = {{"east/p/o/all", 3}, {"east/p/o/own", 2}, {"west/p/o/all", 2}, {"west/p/o/own", 2}};
    for (int i = 0; i < 4; i++) {
        struct wanted found = {.node = wanted[i].node};
        assert_int_equal(engine_states(world.engine, NULL, "", find_value, &found, NULL), POISE_OK);
        assert_true(found.met && found.value == wanted[i].value);
    }
    world_close(&world);
    scorecard_free(cards[0]);
    scorecard_free(cards[1]);
}

/* ---- other scorecards ---- */

/* A world with one scorecard of these measures, at T = `at_ms`; small_teardown ends it. */
static void open_with(struct fixture *f, const char *measures, int64_t at_ms)
{
    char text[1000];
    (void)snprintf(text, sizeof text,
                   "{scorecard: card, name: C, perspectives: [{id: p, name: P, objectives: [{id: o, name: O, "
                   "measures: [%s]}]}]}",
                   measures);
    small_teardown((void **)&f);
    f->card = card_of(text);
    f->cards[0] = f->card;
    world_open(&f->world, &f->options);
    world_begin(&f->world, at_ms);
}

static poise_refusal put(struct fixture *f, const char *key, int64_t time_ms, double value)
{
    const poise_measurement row = {.measure = "a", .key = key, .time_ms = time_ms, .value = value, .of = 1};
    return world_apply(&f->world, &row, engine_as_of_ms(f->world.engine));
}

static void accept_at(struct fixture *f, const char *org, int64_t time_ms, double value)
{
    const poise_measurement row = {.measure = "a", .org = org, .time_ms = time_ms, .value = value, .of = 1};
    assert_int_equal(world_apply(&f->world, &row, engine_as_of_ms(f->world.engine)), POISE_REFUSAL_NONE);
}

static poise_code note_revision(void *visitor, const poise_state *state)
{
    if (state->revision && state->kind == POISE_MEASURE) {
        buf_printf(visitor, "%s%s %d: %g %g %+g, ", state->org, state->name, (int)state->revision,
                   state->replaced, state->numbers.score, state->numbers.trend);
    }
    return POISE_OK;
}

static void assert_revised(struct fixture *f, const char *wanted)
{
    struct buf text = {0};
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, note_revision, &text, NULL), POISE_OK);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.data, wanted);
    buf_free(&text);
}

static void test_another_form_comes_into_force(void **state)
{
    struct fixture *f = *state;
    open_with(f,
              "{id: sum, name: S, input: a, aggregate: sum, rolling: 2d, "
              "score: [{linear: {from: 0, to: 10}}, {from: 2026-03-02, binary: {}}]}",
              MARCH + DAY - 1);
    accept(f, event("a", "", 3));
    assert_true(numbers_of_sum(f).score == 30);
    world_begin(&f->world, MARCH + DAY); /* the right edge, which the window has */
    assert_true(numbers_of_sum(f).score == 100);
}

static void test_closed_periods_are_revised(void **state)
{
    struct fixture *f = *state;
    open_with(f,
              "{id: s, name: S, input: a, aggregate: sum, grace: 2d, score: {linear: {from: 0, to: 100}}},"
              "{id: n, name: N, input: a, aggregate: count, grace: 4d, score: {linear: {from: 0, to: 100}}},"
              "{id: o, name: O, input: b, aggregate: sum, score: {linear: {from: 0, to: 100}}}",
              MARCH - 1);
    accept_at(f, "", MARCH - 1, 2);
    assert_revised(f, "");
    world_begin(&f->world, APRIL + 2 * DAY - 1);
    accept_at(f, "", MARCH, 20);
    assert_revised(f, "");
    world_begin(&f->world, APRIL + 2 * DAY);
    accept_at(f, "", MARCH, 5);
    accept_at(f, "", MARCH, 5);
    assert_revised(f, "S 1: 20 30 +28, "); /* one a commit, and none within a node's own grace */
    world_begin(&f->world, APRIL + 4 * DAY);
    accept_at(f, "", MARCH, 1);
    assert_revised(f, "S 2: 30 31 +29, N 1: 3 4 +3, ");
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    accept_at(f, "x", MARCH, 1); /* of O there is nothing to say */
    assert_revised(f, "xS 1: nan 1 +nan, xN 1: nan 1 +nan, S 3: 31 32 +30, N 2: 4 5 +4, ");
    world_begin(&f->world, APRIL + 34 * DAY);
    accept_at(f, "", MARCH, 1); /* April shows it, too */
    assert_revised(f, "S 4: 32 33 +31, N 3: 5 6 +5, S 1: 32 33 +0, N 1: 5 6 +0, ");
}

/* One that ends waits for the others, over a checkpoint and a crash too. */
static void test_a_backfill_waits_for_another(void **state)
{
    struct fixture *f = *state;
    open_with(f, "{id: s, name: S, input: a, aggregate: sum, score: {linear: {from: 0, to: 100}}}",
              MARCH - 1);
    accept_at(f, "", MARCH - 1, 2);
    world_settle(&f->world);
    world_begin(&f->world, APRIL + 9 * DAY);
    engine_backfill(f->world.engine, 1, true);
    world_settle(&f->world);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    world_begin(&f->world, APRIL + 9 * DAY);
    engine_backfill(f->world.engine, 2, true);
    accept_at(f, "", MARCH, 20);
    engine_backfill(f->world.engine, 2, false);
    assert_revised(f, "");
    engine_backfill(f->world.engine, 1, false);
    assert_revised(f, "S 1: 2 20 +18, "); /* it was carried */
}

static void test_revisions_go_on_from_those_of_the_journal(void **state)
{
    struct fixture *f = *state;
    open_with(f, "{id: s, name: S, input: a, aggregate: sum, score: {linear: {from: 0, to: 100}}}",
              MARCH - 1);
    accept_at(f, "", MARCH, 2);
    world_begin(&f->world, APRIL + 9 * DAY);
    world_settle(&f->world);
    poise_state known = {.org = "", .node = "card/p/o/s", .as_of_ms = APRIL, .revision = 3};
    assert_int_equal(engine_revised(f->world.engine, &known, NULL), POISE_OK);
    known.revision = 2; /* the highest counts */
    assert_int_equal(engine_revised(f->world.engine, &known, NULL), POISE_OK);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    accept_at(f, "", MARCH, 20);
    assert_revised(f, "S 4: 2 22 +nan, ");
}

static void test_locked_periods_stay(void **state)
{
    struct fixture *f = *state;
    open_with(f, "{id: s, name: S, input: a, aggregate: sum, carry: 0, lock_after: 9d, score: {binary: {}}}",
              MARCH + DAY);
    assert_int_equal(put(f, "k", MARCH, 1), POISE_REFUSAL_NONE);
    world_begin(&f->world, APRIL + 9 * DAY - 1);
    assert_int_equal(put(f, NULL, MARCH, 2), POISE_REFUSAL_NONE);
    world_begin(&f->world, APRIL + 9 * DAY);
    assert_int_equal(put(f, NULL, APRIL - 1, 4), POISE_REFUSAL_LOCKED);
    assert_int_equal(put(f, "l", APRIL - 1, 4), POISE_REFUSAL_LOCKED);
    assert_int_equal(put(f, "k", APRIL, 8), POISE_REFUSAL_LOCKED); /* it would leave March */
    const poise_measurement gone = {.measure = "a", .key = "k", .retract = true, .value = NAN};
    assert_int_equal(world_apply(&f->world, &gone, INT64_MAX - 1), POISE_REFUSAL_LOCKED);
    assert_int_equal(put(f, "m", APRIL, 16), POISE_REFUSAL_NONE);
    assert_int_equal(put(f, "m", MARCH, 16), POISE_REFUSAL_LOCKED); /* it would come into it */
    assert_true(value_at(f, "card/p/o/s", "") == 16);
}

static void test_a_level_of_any_leaf_is_taken(void **state)
{
    struct fixture *f = *state;
    static const char leaf[] =
        "{id: %s, name: A, input: a, aggregate: last, score: [{levels: [{name: x, value: %d, "
        "score: 5}]}, {from: 2026-01-01, levels: [{name: y, value: %d, score: 9}]}]}";
    char first[200], second[200], both[500];
    (void)snprintf(first, sizeof first, leaf, "s", 1, 2);
    (void)snprintf(second, sizeof second, leaf, "t", 3, 4);
    (void)snprintf(both, sizeof both, "%s, %s", first, second);
    open_with(f, both, MARCH + DAY);
    for (int value = 0; value <= 5; value++) {
        assert_int_equal(put(f, NULL, MARCH, value),
                         value >= 1 && value <= 4 ? POISE_REFUSAL_NONE : POISE_REFUSAL_LEVEL);
    }
}

static void test_offline_bounds(void **state)
{
    struct fixture *f = *state;
    struct engine_options options = f->options;
    options.offline = true;
    struct world world;
    world_open(&world, &options);
    const poise_measurement row = event("a", "", 1);
    assert_int_equal(world_apply(&world, &row, INT64_MAX), POISE_REFUSAL_NONE);
    assert_int_equal(engine_settle(world.engine, SIZE_MAX, count_visit, &(int){0}, NULL),
                     POISE_EINVAL);                                          /* no T yet */
    assert_int_equal(engine_begin(world.engine, MARCH, NULL), POISE_EINVAL); /* the row is later */
    world_begin(&world, MARCH + 1);
    world_settle(&world);
    struct engine_series *series;
    poise_refusal refusal;
    assert_int_equal(engine_series(world.engine, "a", "", "", &series, &refusal, NULL), POISE_OK);
    const struct engine_row late = {.time_ms = MARCH, .of = 1};
    assert_int_equal(engine_apply(world.engine, series, &late, INT64_MAX, &refusal, NULL), POISE_EINVAL);
    assert_int_equal(engine_begin(world.engine, INT64_MAX, NULL), POISE_EINVAL);
    world_close(&world);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_refusals_of_series),
        with_fixture(test_refusals_of_rows),
        with_fixture(test_key_with_embedded_zero),
        with_fixture(test_higher_rank_stands),
        with_fixture(test_tombstone_holds),
        with_fixture(test_superseded_rows_make_orgs),
        with_fixture(test_future_waits),
        with_fixture(test_future_that_was_replaced_never_counts),
        with_fixture(test_lost_extreme_is_reread),
        with_fixture(test_replaced_extreme_is_not_reread),
        with_fixture(test_time_alone_changes_scores),
        with_fixture(test_changes_are_what_changed),
        with_fixture(test_states_are_sorted),
        cmocka_unit_test(test_what_leaves_may_not_share),
        with_fixture(test_another_form_comes_into_force),
        with_fixture(test_closed_periods_are_revised),
        with_fixture(test_a_backfill_waits_for_another),
        with_fixture(test_revisions_go_on_from_those_of_the_journal),
        with_fixture(test_locked_periods_stay),
        with_fixture(test_a_level_of_any_leaf_is_taken),
        with_fixture(test_offline_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
