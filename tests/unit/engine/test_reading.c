/* Values and trends against rows counted one by one: no tiles, no cells, no memory of what was before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/evaluate.h>
#include <stdio.h>
#include <string.h>
#include <unit/engine/reference.h>

#define MARCH  INT64_C(1772323200000) /* 2026-03-01 */
#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* No tick is where a day ends; the clock goes forward on 29 March. */
static const char *const form = "{scorecard: card, name: C, timezone: Europe/London, tick: 7m, period: %s, "
                                "perspectives: [{id: p, name: P, "
                                "objectives: [{id: o, name: O, measures: ["
                                "{id: near, name: N, input: a, aggregate: sum, rolling: 50h, carry: 2, "
                                "score: {linear: {from: 0, to: 9000}}},"
                                "{id: far, name: F, input: a, aggregate: sum, rolling: 25d, carry: 0, score: "
                                "{linear: {from: 0, to: 9000}}},"
                                "{id: most, name: X, input: a, aggregate: max, rolling: 36h, carry: 0, "
                                "score: {linear: {from: 0, to: 9000}}},"
                                "{id: own, name: O, input: a, aggregate: sum, rolling: 4d, carry: 0, "
                                "roll_up: none, score: {linear: {from: 0, to: 9000}}},"
                                "{id: each, name: E, input: a, aggregate: max, rolling: 3d, carry: 0, "
                                "across_orgs: sum, score: {linear: {from: 0, to: 9000}}},"
                                "{id: hour, name: H, input: a, aggregate: sum, period: hour, basis: closed, "
                                "carry: 40, score: {linear: {from: 0, to: 9000}}},"
                                "{id: day, name: D, input: a, aggregate: max, period: day, carry: 1, score: "
                                "{linear: {from: 0, to: 9000}}},"
                                "{id: week, name: W, input: a, aggregate: sum, period: week, carry: 0, "
                                "score: {linear: {from: 0, to: 9000}}},"
                                "{id: month, name: M, input: a, aggregate: sum, period: month, carry: 1, "
                                "score: {linear: {from: 0, to: 9000}}},"
                                "{id: last, name: L, input: a, aggregate: max, period: month, basis: closed, "
                                "carry: 0, score: {linear: {from: 0, to: 9000}}},"
                                "{id: year, name: Y, input: a, aggregate: sum, period: year, across_orgs: "
                                "mean, score: {linear: {from: 0, to: 9000}}}"
                                "]}]}]}";

static const char *const orgs[] = {"", "p1", "p1/l1", "p2"};
enum { ORGS = sizeof orgs / sizeof *orgs, COMMITS = 120, ROUNDS = 3 };

struct fixture {
    struct rng rng;
    struct scorecard *card;
    struct world world;
};

/* ---- counting ---- */

struct counted {
    double sum, max;
    int count;
};

/* The rows of an org (or of its subtree) in a window, (after, until] or [start, end). */
static struct counted count(const struct world *world, const char *org, bool subtree, struct period window)
{
    struct counted counted = {.max = -INFINITY};
    size_t length = strlen(org);
    for (size_t i = 0; i < world->row_count; i++) {
        const struct past *row = &world->rows[i];
        bool below =
            subtree && strncmp(row->org, org, length) == 0 && (length == 0 || row->org[length] == '/');
        if ((below || strcmp(row->org, org) == 0) && row->row.time_ms >= window.start_ms &&
            row->row.time_ms < window.end_ms) {
            counted.sum += row->row.value;
            counted.max = row->row.value > counted.max ? row->row.value : counted.max;
            counted.count++;
        }
    }
    return counted;
}

static double of_counted(const struct measure *measure, struct counted counted)
{
    return counted.count == 0 ? NAN : measure->aggregate == AGGREGATE_SUM ? counted.sum : counted.max;
}

static double value_in(const struct world *world, const struct measure *measure, const char *org,
                       struct period window)
{
    if (measure->across == ACROSS_POOL) {
        return of_counted(measure, count(world, org, measure->subtree, window));
    }
    double sum = 0;
    int having = 0;
    for (int i = 0; i < ORGS; i++) {
        bool below = org[0] == '\0' || strncmp(orgs[i], org, strlen(org)) == 0; /* none begins like another */
        double own = of_counted(measure, count(world, orgs[i], false, window));
        if (below && !isnan(own)) {
            sum += own;
            having++;
        }
    }
    return having == 0 ? NAN : sum / (measure->across == ACROSS_MEAN ? having : 1);
}

static double value_as_of(const struct fixture *f, const struct measure *measure, const char *org,
                          int64_t as_of_ms)
{
    struct period period = measure_period(f->card, measure, as_of_ms);
    for (int64_t left = measure->carry; left >= 0; left--) {
        struct period window = period;
        if (measure->rolling_ms > 0) {
            window = (struct period){period.start_ms + 1, period.end_ms + 1};
        }
        window.end_ms = window.end_ms < as_of_ms + 1 ? window.end_ms : as_of_ms + 1;
        double value = value_in(&f->world, measure, org, window);
        if (!isnan(value)) {
            return value;
        }
        period = measure_period_before(f->card, measure, period);
    }
    return NAN;
}

/* ---- what happens ---- */

static int64_t random_time(struct fixture *f, int64_t as_of_ms)
{
    static const int64_t lengths[] = {50 * HOUR, 36 * HOUR, 25 * DAY, 4 * DAY, 3 * DAY, 100 * HOUR};
    struct calendar calendar =
        scorecard_calendar(f->card, (enum period_unit)rng_between(&f->rng, PERIOD_HOUR, PERIOD_MONTH));
    int64_t ago_ms = as_of_ms - rng_between(&f->rng, 0, 30 * DAY);
    switch (rng_between(&f->rng, 0, 3)) {
    case 0: /* an edge of a window */
        return scorecard_tick(f->card, as_of_ms) - lengths[rng_between(&f->rng, 0, 5)] +
               rng_between(&f->rng, -1, 1);
    case 1: { /* of one that is looked back at */
        int64_t end_ms = period_at(&calendar, ago_ms).start_ms;
        return scorecard_tick(f->card, end_ms) - lengths[rng_between(&f->rng, 0, 5)] +
               rng_between(&f->rng, -1, 1);
    }
    case 2:
        return period_of(&calendar, ago_ms).start_ms + rng_between(&f->rng, -1, 1);
    default:
        return ago_ms;
    }
}

static int64_t next_time(struct fixture *f, int64_t as_of_ms)
{
    struct calendar calendar =
        scorecard_calendar(f->card, (enum period_unit)rng_between(&f->rng, PERIOD_HOUR, PERIOD_MONTH));
    switch (rng_between(&f->rng, 0, 3)) {
    case 0:
        return period_of(&calendar, as_of_ms).end_ms;
    case 1:
        return period_of(&calendar, as_of_ms).end_ms + rng_between(&f->rng, 1, 2);
    default:
        return as_of_ms + rng_between(&f->rng, 0, 20 * HOUR);
    }
}

static poise_code note(void *visitor, const poise_state *state)
{
    return state->kind == POISE_MEASURE ? picture_add(visitor, state) : POISE_OK;
}

static void assert_is(const char *place, const char *what, int64_t as_of_ms, double got, double wanted)
{
    if (isnan(wanted) ? !isnan(got) : !(fabs(got - wanted) <= 1e-9)) {
        fail_msg("%s of %s as of %lld is %.17g, counted %.17g", what, place, (long long)as_of_ms, got,
                 wanted);
    }
}

static void check(struct fixture *f, int64_t as_of_ms)
{
    struct picture shown = {0};
    struct calendar calendar = scorecard_calendar(f->card, f->card->period);
    int64_t before_ms = period_at(&calendar, as_of_ms).start_ms;
    assert_int_equal(engine_states(f->world.engine, NULL, NULL, note, &shown, NULL), POISE_OK);
    for (size_t i = 0; i < shown.count; i++) {
        char org[16] = "";
        const char *place = shown.items[i].place, *path = strchr(place, ' ') + 1;
        (void)snprintf(org, sizeof org, "%.*s", (int)(path - 1 - place), place);
        for (uint32_t node = 0; node < f->card->node_count; node++) {
            if (strcmp(f->card->nodes[node].path, path) == 0) {
                const struct measure *measure = f->card->nodes[node].measure;
                double now = value_as_of(f, measure, org, as_of_ms);
                double before = value_as_of(f, measure, org, before_ms);
                assert_is(place, "value", as_of_ms, shown.items[i].numbers.value, now);
                assert_is(place, "trend", as_of_ms, shown.items[i].numbers.trend, (now - before) / 90);
            }
        }
    }
    picture_clear(&shown);
}

static void live(struct fixture *f, const char *period)
{
    char yaml[4000];
    assert_true(snprintf(yaml, sizeof yaml, form, period) < (int)sizeof yaml);
    f->card = card_of(yaml);
    const struct scorecard *const cards[] = {f->card};
    world_open(&f->world, &(struct engine_options){.cards = cards, .card_count = 1, .max_cells = 1000});
    engine_set_revising(f->world.engine, false); /* that is another test's */
    int64_t as_of_ms = MARCH;
    for (int i = 0; i < COMMITS; i++) {
        world_begin(&f->world, as_of_ms);
        for (int64_t left = rng_between(&f->rng, 0, 4); left > 0; left--) {
            const poise_measurement row = {.measure = "a",
                                           .org = orgs[rng_between(&f->rng, 0, ORGS - 1)],
                                           .time_ms = random_time(f, as_of_ms),
                                           .value = (double)rng_between(&f->rng, 1, 9),
                                           .of = 1};
            assert_int_equal(world_apply(&f->world, &row, INT64_MAX), POISE_REFUSAL_NONE);
        }
        world_settle(&f->world);
        check(f, as_of_ms);
        if (rng_between(&f->rng, 0, 9) == 0) {
            world_checkpoint(&f->world);
            world_reopen(&f->world);
            engine_set_revising(f->world.engine, false);
            check(f, as_of_ms);
        }
        as_of_ms = next_time(f, as_of_ms);
    }
    world_close(&f->world);
    scorecard_free(f->card);
}

static void test_values_and_trends_are_counted(void **state)
{
    (void)state;
    static const char *const periods[] = {"day", "week", "month", "quarter"};
    struct fixture f = {.rng = {31}};
    for (size_t i = 0; i < ROUNDS * sizeof periods / sizeof *periods; i++) {
        live(&f, periods[i % (sizeof periods / sizeof *periods)]);
    }
}

/* ---- trends by hand ---- */

static double trend_of(const struct world *world, const char *place)
{
    struct picture shown = {0};
    picture_take(&shown, world->engine, NULL);
    double trend = picture_find(&shown, place)->numbers.trend;
    picture_clear(&shown);
    return trend;
}

static void give(struct world *world, int64_t time_ms, double value)
{
    const poise_measurement row = {.measure = "y", .time_ms = time_ms, .value = value, .of = 1};
    assert_int_equal(world_apply(world, &row, INT64_MAX), POISE_REFUSAL_NONE);
    world_settle(world);
}

/* A year's sum on a scorecard by the month: nothing but the base of the trend changes when a month ends. */
static void test_trend_is_against_the_end_of_the_period_before(void **state)
{
    (void)state;
    struct scorecard *card = card_of(
        "{scorecard: c, name: C, perspectives: [{id: p, name: P, objectives: [{id: o, name: O, measures: ["
        "{id: y, name: Y, aggregate: sum, period: year, score: {linear: {from: 0, to: 100}}},"
        "{id: z, name: Z, input: y, aggregate: sum, period: year, carry: 0, weight: 0, score: {linear: "
        "{from: 0, to: "
        "100}}}]}]}]}");
    const struct scorecard *const cards[] = {card};
    struct world world;
    world_open(&world, &(struct engine_options){.cards = cards, .card_count = 1});
    world_begin(&world, MARCH);
    give(&world, MARCH - 40 * DAY, 1); /* in January */
    give(&world, MARCH - DAY, 2);
    assert_true(trend_of(&world, " c/p/o/y") == 2); /* as of the end of February, against January's */
    assert_true(trend_of(&world, " c") == 2);
    world_begin(&world, MARCH + 1);
    world_settle(&world);
    assert_true(trend_of(&world, " c") == 0);
    give(&world, MARCH, 4); /* the year as of the end of February has it, too */
    assert_true(trend_of(&world, " c") == 0);
    world_begin(&world, MARCH + 31 * DAY);
    give(&world, MARCH + 1, 8);
    assert_true(trend_of(&world, " c") == 8);
    give(&world, MARCH - 1, 16); /* late: both sides have it */
    assert_true(trend_of(&world, " c") == 8);
    world_begin(&world, MARCH + 31 * DAY + 1);
    world_settle(&world);
    assert_true(trend_of(&world, " c") == 0);
    world_begin(&world, MARCH + 400 * DAY);
    world_settle(&world);
    assert_true(isnan(trend_of(&world, " c/p/o/z")));
    assert_true(trend_of(&world, " c/p/o/y") == 0);
    give(&world, MARCH + 399 * DAY, 40);
    assert_true(trend_of(&world, " c/p/o/y") == 40 - 31); /* March had nothing of its year: 31 was carried */
    assert_true(isnan(trend_of(&world, " c/p/o/z")));     /* z carries nothing */
    world_close(&world);
    scorecard_free(card);
}

/* A leaf whose tiles are short: the one that ends with the base counts as before it. */
static void test_late_rows_just_before_the_base_of_the_trend(void **state)
{
    (void)state;
    struct scorecard *card = card_of(
        "{scorecard: c, name: C, perspectives: [{id: p, name: P, objectives: [{id: o, name: O, measures: ["
        "{id: r, name: R, input: y, aggregate: sum, rolling: 40d, score: {linear: {from: 0, to: "
        "100}}}]}]}]}");
    const struct scorecard *const cards[] = {card};
    struct world world;
    world_open(&world, &(struct engine_options){.cards = cards, .card_count = 1});
    world_begin(&world, MARCH + DAY);
    give(&world, MARCH - DAY, 1);
    assert_true(trend_of(&world, " c") == 0);
    give(&world, MARCH, 2);
    assert_true(trend_of(&world, " c") == 0);
    give(&world, MARCH - 1, 4);
    assert_true(trend_of(&world, " c") == 0);
    give(&world, MARCH + 1, 8);
    assert_true(trend_of(&world, " c") == 8);
    world_close(&world);
    scorecard_free(card);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_and_trends_are_counted),
        cmocka_unit_test(test_trend_is_against_the_end_of_the_period_before),
        cmocka_unit_test(test_late_rows_just_before_the_base_of_the_trend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
