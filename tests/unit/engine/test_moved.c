/* Time alone: what it changes is looked at again, and nothing is that it cannot have changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <score/evaluate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/cards.h>
#include <unit/engine/reference.h>

#define MARCH  INT64_C(1772323200000) /* 2026-03-01 */
#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* ---- when there is something to settle ---- */

/* A measure of a scorecard by the year, and what it means for T to come to so many milliseconds after MARCH:
 * there is something to settle ('+'), or not ('-'). */
struct patience {
    const char *tick, *measure;
    struct moment {
        int64_t after_ms;
        char expected; /* 0: these are all */
    } moments[12];
};

static const struct patience patiences[] = {
    {"1h",
     "aggregate: sum, period: day",
     {{DAY - 1, '-'}, {DAY, '-'}, {DAY + 1, '+'}, {DAY + 2, '-'}, {2 * DAY, '-'}, {5 * DAY, '+'}}},
    {"1h",
     "aggregate: sum, period: day, basis: closed",
     {{DAY - 1, '-'}, {DAY, '+'}, {DAY + 1, '-'}, {2 * DAY - 1, '-'}, {2 * DAY, '+'}, {4 * DAY + 7, '+'}}},
    {"1h",
     "aggregate: sum, period: week, basis: closed", /* MARCH is a Sunday */
     {{DAY - 1, '-'}, {DAY, '+'}, {2 * DAY, '-'}, {8 * DAY - 1, '-'}, {8 * DAY, '+'}, {8 * DAY + 1, '-'}}},
    {"1h",
     "aggregate: sum, period: day, pace: true",
     {{HOUR - 1, '-'},
      {HOUR, '+'},
      {HOUR + 1, '-'},
      {DAY - 1, '+'},
      {DAY, '+'},
      {DAY + 1, '+'},
      {DAY + 2, '-'}}},
    /* Ticks of 7h from MARCH are at 5h, 12h, 19h, 26h: none where the day ends. */
    {"7h",
     "aggregate: sum, period: day, pace: true",
     {{5 * HOUR - 1, '-'},
      {5 * HOUR, '+'},
      {12 * HOUR - 1, '-'},
      {19 * HOUR, '+'},
      {DAY - 1, '-'},
      {DAY, '+'},
      {DAY + 1, '+'},
      {DAY + 2, '-'},
      {26 * HOUR - 1, '-'},
      {26 * HOUR, '+'}}},
    {"7h",
     "aggregate: sum, period: day, max_age: 3d",
     {{5 * HOUR - 1, '-'}, {5 * HOUR, '+'}, {19 * HOUR, '+'}, {DAY - 1, '-'}, {DAY, '+'}, {DAY + 1, '+'}}},
    {"7h",
     "aggregate: sum, rolling: 2d",
     {{5 * HOUR - 1, '-'}, {5 * HOUR, '+'}, {19 * HOUR, '+'}, {DAY, '-'}, {DAY + 1, '-'}, {26 * HOUR, '+'}}},
    {"1h", "formula: other + 1", {{HOUR, '-'}, {DAY + 1, '-'}, {40 * DAY, '-'}}},
    {"1h", "formula: other + 1, missing: zero", {{HOUR, '-'}, {306 * DAY, '-'}, {306 * DAY + 1, '+'}}},
};

static struct scorecard *patient_card(const struct patience *patience, const char *form)
{
    char yaml[1000];
    int length =
        snprintf(yaml, sizeof yaml,
                 "{scorecard: card, name: C, period: year, tick: %s, perspectives: [{id: p, name: P, "
                 "objectives: [{id: o, name: O, measures: [{id: m, name: M, %s, score: %s},"
                 "{id: other, name: N, input: b, aggregate: sum, score: {binary: {}}}]}]}]}",
                 patience->tick, patience->measure, form);
    assert_true(length > 0 && (size_t)length < sizeof yaml);
    return card_of(yaml);
}

static void check_patience(const struct patience *patience, const char *form)
{
    struct scorecard *card = patient_card(patience, form);
    const struct scorecard *const cards[] = {card};
    struct world world;
    world_open(&world, &(struct engine_options){.cards = cards, .card_count = 1});
    world_begin(&world, MARCH + 1);
    world_settle(&world);
    for (const struct moment *moment = patience->moments; moment->expected; moment++) {
        world_begin(&world, MARCH + moment->after_ms);
        if (engine_dirty(world.engine) != (moment->expected == '+')) {
            fail_msg("%s, tick %s: wrong at %lld", patience->measure, patience->tick,
                     (long long)moment->after_ms);
        }
        world_settle(&world);
    }
    world_close(&world);
    scorecard_free(card);
}

static void test_there_is_something_to_settle(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof patiences / sizeof *patiences; i++) {
        check_patience(&patiences[i], "{linear: {from: 0, to: 9}}");
    }
}

static void test_plans_tick(void **state)
{
    (void)state;
    static const struct patience plan = {
        "7h",
        "aggregate: sum, period: day",
        {{5 * HOUR - 1, '-'}, {5 * HOUR, '+'}, {DAY - 1, '+'}, {DAY, '+'}, {DAY + 1, '+'}, {DAY + 2, '-'}}};
    static const struct patience made = {"7h", "formula: other + 1", {{5 * HOUR - 1, '-'}, {5 * HOUR, '+'}}};
    static const char form[] =
        "{milestone: {planned: [{on: 2026-03-01, value: 1}, {on: 2026-03-20, value: 9}]}}";
    check_patience(&plan, form);
    check_patience(&made, form);
}

/* A rolling window has T as its right edge, and so another form may come into force between two ticks. */
static void test_forms_of_rolling_measures_have_dates(void **state)
{
    (void)state;
    static const struct patience rolling = {"7h",
                                            "aggregate: sum, rolling: 2d",
                                            {{19 * HOUR, '+'},
                                             {DAY - 1, '-'},
                                             {DAY, '+'},
                                             {DAY + 1, '-'},
                                             {26 * HOUR - 1, '-'},
                                             {47 * HOUR, '+'},
                                             {2 * DAY, '+'},
                                             {3 * DAY - 1, '+'},
                                             {3 * DAY, '-'},
                                             {4 * DAY, '+'}}};
    static const struct patience calendar = {"7h", "aggregate: sum", {{DAY, '-'}, {2 * DAY + 1, '-'}}};
    static const char forms[] =
        "[{binary: {}}, {from: 2026-03-02, linear: {from: 0, to: 9}}, "
        "{from: 2026-03-03, orgs: [none], binary: {}}, {from: 2026-03-05, binary: {}}]";
    check_patience(&rolling, forms);
    check_patience(&calendar, forms);
}

/* ---- and that it is right then ---- */

/* Few minutes between ticks, none where periods end; the clock goes forward on 29 March. */
static const char *const restless_card =
    "scorecard: restless\n"
    "name: Restless\n"
    "timezone: Europe/London\n"
    "period: week\n"
    "tick: 7m\n"
    "perspectives:\n"
    "  - id: p\n"
    "    name: P\n"
    "    objectives:\n"
    "      - id: o\n"
    "        name: O\n"
    "        measures:\n"
    "          - {id: hour, name: H, input: a, aggregate: max, period: hour, basis: closed, carry: 30, "
    "score: "
    "{linear: {from: -9, to: 9}}}\n"
    "          - {id: day, name: D, input: a, aggregate: count, period: day, pace: true, pace_from: 0.3, "
    "empty: 0, score: {linear: {from: 0, to: 9}}}\n"
    "          - {id: month, name: M, input: b, aggregate: sum, period: month, score: {milestone: {planned: "
    "[{on: 2026-03-02, value: 0}, {on: 2026-03-29, value: 90}, {on: 2026-03-30, value: 9}]}}}\n"
    "          - {id: old, name: O, input: c, aggregate: last, period: half, max_age: 250h, stale: drop, "
    "missing: {impute: 20}, score: {linear: {from: -9, to: 9}}}\n"
    "          - {id: near, name: N, input: b, aggregate: sum, rolling: 50h, carry: 3, score: [{linear: "
    "{from: -9, to: 9}}, {from: 2026-03-29, binary: {}}, {from: 2026-03-30, orgs: [p1], linear: {from: 9, "
    "to: "
    "-9}}]}\n"
    "          - {id: plan, name: P, input: b, aggregate: count, rolling: 30h, carry: 2, score: {milestone: "
    "{planned: [{on: 2026-03-10, value: 0}, {on: 2026-03-29, value: 9}, {on: 2026-03-30, value: 3}]}}}\n"
    "          - {id: year, name: Y, input: d, aggregate: mean, period: year, basis: closed, score: {linear: "
    "{from: -9, to: 9}}}\n"
    "          - {id: made, name: Z, formula: near * hour + old, critical: true, score: [{binary: {}}, "
    "{from: "
    "2026-03-30, linear: {from: -9, to: 9}}]}\n";

enum { CARDS = 4, ROUNDS = 8, STEPS = 60, ROWS = 60 };

struct fixture {
    struct scorecard *cards[CARDS];
    struct engine_options options;
    struct rng rng;
    struct picture before, after, told;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){
        .cards = {card_of(first_card), card_of(second_card), card_of(third_card), card_of(restless_card)},
        .rng = {23}};
    f.options = (struct engine_options){
        .cards = (const struct scorecard *const *)f.cards, .card_count = CARDS, .hash_seed = 5};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < CARDS; i++) {
        scorecard_free(f->cards[i]);
    }
    picture_clear(&f->before);
    picture_clear(&f->after);
    picture_clear(&f->told);
    return 0;
}

/* Later than T, often where something happens, or a millisecond from it. */
static int64_t next_time(struct fixture *f, int64_t as_of_ms)
{
    const struct scorecard *card = f->cards[rng_between(&f->rng, 0, CARDS - 1)];
    struct calendar calendar =
        scorecard_calendar(card, (enum period_unit)rng_between(&f->rng, 0, PERIOD_MONTH));
    int64_t next_ms = as_of_ms + rng_between(&f->rng, 1, 3 * HOUR);
    switch (rng_between(&f->rng, 0, 4)) {
    case 0:
        next_ms = scorecard_tick(card, as_of_ms) + card->tick_ms + rng_between(&f->rng, -1, 1);
        break;
    case 1:
    case 2:
        next_ms = period_of(&calendar, as_of_ms).end_ms + rng_between(&f->rng, -1, 1);
        break;
    case 3:
        next_ms = as_of_ms + rng_between(&f->rng, 0, 40) * HOUR;
        break;
    default:
        break;
    }
    return next_ms > as_of_ms ? next_ms : as_of_ms + 1;
}

/* The right edge of a running rolling window moves with T; that alone is no change. */
static poise_score without_T(const struct fixture *f, const struct shown *shown)
{
    poise_score numbers = shown->numbers;
    const char *path = strchr(shown->place, ' ') + 1;
    for (size_t i = 0; i < CARDS; i++) {
        for (uint32_t node = 0; node < f->cards[i]->node_count; node++) {
            if (strcmp(f->cards[i]->nodes[node].path, path) == 0) {
                engine_look_at(f->cards[i]->nodes[node].measure, 0, &numbers);
            }
        }
    }
    return numbers;
}

/* Exactly what differs was told, once, as it is. */
static void assert_told(const struct fixture *f)
{
    size_t told = 0;
    assert_int_equal(f->before.count, f->after.count);
    for (size_t i = 0; i < f->after.count; i++) {
        const struct shown *now = &f->after.items[i], *change = picture_find(&f->told, now->place);
        poise_score a = without_T(f, &f->before.items[i]), b = without_T(f, now);
        if ((change != NULL) == score_equal(&a, &b)) {
            fail_msg("%s as of %lld: a change that was not told, or told what is none", now->place,
                     (long long)now->as_of_ms);
        }
        assert_true(!change || score_equal(&change->numbers, &now->numbers));
        told += change != NULL;
    }
    assert_int_equal(told, f->told.count);
}

static void test_time_passes_as_offline(void **state)
{
    struct fixture *f = *state;
    size_t clean = 0, changes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        int64_t as_of_ms = MARCH + 19 * DAY + rng_between(&f->rng, 0, 9 * DAY);
        world_open(&world, &f->options);
        world_begin(&world, as_of_ms);
        for (int i = 0; i < ROWS; i++) {
            poise_measurement row = random_row(&f->rng, as_of_ms, 12);
            world_apply(&world, &row, INT64_MAX);
        }
        world_settle(&world);
        picture_take(&f->before, world.engine, NULL);
        for (int step = 0; step < STEPS; step++) {
            as_of_ms = next_time(f, as_of_ms);
            world_begin(&world, as_of_ms);
            clean += !engine_dirty(world.engine);
            picture_clear(&f->told);
            assert_int_equal(engine_settle(world.engine, SIZE_MAX, picture_add, &f->told, NULL), POISE_OK);
            picture_take(&f->after, world.engine, NULL);
            assert_told(f);
            changes += f->told.count;
            struct engine *reference = reference_open(&f->options, &world, world.row_count);
            reference_move(reference, as_of_ms);
            picture_take(&f->before, reference, NULL);
            assert_same_pictures(&f->after, &f->before);
            engine_close(reference);
        }
        world_close(&world);
    }
    assert_true(clean > ROUNDS && changes > ROUNDS * STEPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_is_something_to_settle),
        cmocka_unit_test(test_plans_tick),
        cmocka_unit_test(test_forms_of_rolling_measures_have_dates),
        cmocka_unit_test_setup_teardown(test_time_passes_as_offline, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
