/* Tiles: that they tile time, that tiers are made of one another, and that windows begin and end with them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <engine/internal.h>
#include <unit/score/rng.h>

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* Offsets of half hours and seconds, a day that never was, summers that begin at midnight. */
static const char *const zones[] = {"UTC",          "Europe/London",       "America/New_York",
                                    "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns",
                                    "Pacific/Apia", "America/Havana",      "Africa/Monrovia"};
enum { ZONES = sizeof zones / sizeof *zones, UNITS = PERIOD_YEAR + 1, PROBES = 60 };

/* Edges of some window of all kinds. */
struct subject {
    struct scorecard card;
    struct measure measure;
    struct tiling tilings[TIERS_MAX];
    uint32_t tiers;
};

struct fixture {
    struct zone *zones[ZONES];
    struct rng rng;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.rng = {11}};
    for (int i = 0; i < ZONES; i++) {
        assert_int_equal(zone_open(zones[i], &f.zones[i], NULL), POISE_OK);
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < ZONES; i++) {
        zone_close(f->zones[i]);
    }
    return 0;
}

/* ---- what is looked at ---- */

static struct subject subject_of(const struct zone *zone, enum period_unit card_unit, int fiscal_year_start,
                                 int64_t tick_ms)
{
    return (struct subject){.card = {.zone = (struct zone *)(uintptr_t)zone,
                                     .fiscal_year_start = fiscal_year_start,
                                     .period = card_unit,
                                     .tick_ms = tick_ms}};
}

static void tile(struct subject *subject)
{
    subject->tiers = tilings_of(&subject->card, &subject->measure, subject->tilings);
    assert_true(subject->tiers >= 1 && subject->tiers <= TIERS_MAX);
}

/* Calls visit with every measure of calendar periods, in every scorecard, in every zone. */
typedef void visit_subject(struct fixture *f, const struct subject *subject);

static void each_calendar(struct fixture *f, visit_subject *visit)
{
    for (int i = 0; i < ZONES * UNITS * UNITS * 2; i++) {
        struct subject subject = subject_of(f->zones[i % ZONES], (enum period_unit)(i / ZONES % UNITS),
                                            (int)rng_between(&f->rng, 1, 12), MINUTE);
        subject.measure.period = (enum period_unit)(i / ZONES / UNITS % UNITS);
        subject.measure.basis_closed = i / ZONES / UNITS / UNITS;
        tile(&subject);
        visit(f, &subject);
    }
}

static void each_rolling(struct fixture *f, visit_subject *visit)
{
    static const int64_t ticks[] = {1000, MINUTE, 7 * MINUTE, 90 * MINUTE, 5 * HOUR, DAY};
    static const int64_t lengths[] = {90000,   HOUR,     36 * HOUR, 2 * DAY,
                                      7 * DAY, 90 * DAY, 365 * DAY, 86399000};
    enum { TICKS = sizeof ticks / sizeof *ticks, LENGTHS = sizeof lengths / sizeof *lengths };
    for (int i = 0; i < ZONES * UNITS * TICKS; i++) {
        struct subject subject = subject_of(f->zones[i % ZONES], (enum period_unit)(i / ZONES % UNITS),
                                            (int)rng_between(&f->rng, 1, 12), ticks[i / ZONES / UNITS]);
        subject.measure.rolling_ms = lengths[rng_between(&f->rng, 0, LENGTHS - 1)];
        subject.measure.period = subject.card.period;
        tile(&subject);
        visit(f, &subject);
    }
}

/* Somewhere between 1902 and 2099, mostly near an end of some period, where changes of offset are, too. */
static int64_t random_time(struct fixture *f, const struct subject *subject)
{
    int64_t time_ms = rng_between(&f->rng, -68 * 365 * DAY, 129 * 365 * DAY);
    if (rng_between(&f->rng, 0, 1)) {
        time_ms = rng_between(&f->rng, 31 * 365 * DAY, 58 * 365 * DAY); /* 2000 to 2027 */
    }
    struct calendar calendar =
        scorecard_calendar(&subject->card, (enum period_unit)rng_between(&f->rng, 0, UNITS - 1));
    switch (rng_between(&f->rng, 0, 3)) {
    case 0:
        return period_of(&calendar, time_ms).end_ms + rng_between(&f->rng, -2, 2);
    case 1:
        return period_of(&calendar, time_ms).end_ms + rng_between(&f->rng, -4, 4) * HOUR / 2;
    case 2:
        return scorecard_tick(&subject->card, time_ms) + rng_between(&f->rng, -2, 2);
    default:
        return time_ms;
    }
}

/* Without what a feed remembers. */
static struct period tile_at(const struct subject *subject, uint32_t tier, int64_t time_ms)
{
    struct feed feed = {.tiling = subject->tilings[tier]};
    return feed_tile(&feed, time_ms);
}

static void assert_same(struct period a, struct period b)
{
    assert_int_equal(a.start_ms, b.start_ms);
    assert_int_equal(a.end_ms, b.end_ms);
}

/* ---- tiles tile time ---- */

static void check_tiles(struct fixture *f, const struct subject *subject)
{
    for (uint32_t tier = 0; tier < subject->tiers; tier++) {
        struct feed feed = {.tiling = subject->tilings[tier]};
        for (int i = 0; i < PROBES; i++) {
            int64_t time_ms = random_time(f, subject);
            struct period at = tile_at(subject, tier, time_ms);
            assert_true(at.start_ms <= time_ms && time_ms < at.end_ms);
            assert_same(tile_at(subject, tier, at.start_ms), at);
            assert_same(tile_at(subject, tier, at.end_ms - 1), at);
            assert_int_equal(tile_at(subject, tier, at.end_ms).start_ms, at.end_ms);
            assert_int_equal(tile_at(subject, tier, at.start_ms - 1).end_ms, at.start_ms);
            assert_same(feed_tile(&feed, time_ms), at);
            assert_same(feed_tile(&feed, at.end_ms), tile_at(subject, tier, at.end_ms));
            assert_same(feed_tile(&feed, at.end_ms - 1), at);
        }
    }
}

static void test_tiles_have_no_gap_and_no_overlap(void **state)
{
    each_calendar(*state, check_tiles);
    each_rolling(*state, check_tiles);
}

/* ---- tiers ---- */

static void check_tiers(struct fixture *f, const struct subject *subject)
{
    for (uint32_t tier = 1; tier < subject->tiers; tier++) {
        assert_false(same_tiling(&subject->tilings[tier - 1], &subject->tilings[tier]));
        for (int i = 0; i < PROBES; i++) {
            int64_t time_ms = random_time(f, subject);
            struct period coarse = tile_at(subject, tier - 1, time_ms);
            struct period fine = tile_at(subject, tier, time_ms);
            assert_true(coarse.start_ms <= fine.start_ms && fine.end_ms <= coarse.end_ms);
        }
    }
}

static void test_tiles_are_made_of_those_of_the_next_tier(void **state)
{
    each_calendar(*state, check_tiers);
    each_rolling(*state, check_tiers);
}

static void check_count(struct fixture *f, const struct subject *subject)
{
    (void)f;
    enum period_unit unit = subject->measure.period, in = subject->card.period;
    bool reaches_over = unit > in || (unit == PERIOD_WEEK && in > PERIOD_WEEK);
    assert_int_equal(subject->tiers > 1, reaches_over && !subject->measure.basis_closed);
}

static void test_nested_periods_need_one_tier(void **state)
{
    each_calendar(*state, check_count);
}

static void test_what_may_share_tiles(void **state)
{
    struct fixture *f = *state;
    struct subject a = subject_of(f->zones[1], PERIOD_MONTH, 1, MINUTE), b = a;
    a.measure.period = b.measure.period = PERIOD_DAY;
    b.card.fiscal_year_start = 4; /* no part of what a day is */
    b.card.period = PERIOD_YEAR;  /* nor what does not cut it */
    tile(&a);
    tile(&b);
    assert_true(same_tiling(&a.tilings[0], &b.tilings[0]));
    b.card.zone = f->zones[2];
    tile(&b);
    assert_false(same_tiling(&a.tilings[0], &b.tilings[0]));
    b.card.zone = f->zones[1];
    a.measure.period = b.measure.period = PERIOD_QUARTER;
    tile(&a);
    tile(&b);
    assert_false(same_tiling(&a.tilings[0], &b.tilings[0]));
    a.measure.period = b.measure.period = PERIOD_WEEK; /* cut by months, and by years */
    tile(&a);
    tile(&b);
    assert_true(same_tiling(&a.tilings[0], &b.tilings[0]));
    assert_false(same_tiling(&a.tilings[1], &b.tilings[1]));
    assert_false(same_tiling(&a.tilings[0], &a.tilings[1]));
    a.measure.rolling_ms = b.measure.rolling_ms = DAY;
    tile(&a);
    tile(&b);
    assert_true(same_tiling(&a.tilings[0], &b.tilings[0]));
    b.measure.rolling_ms = 7 * DAY + MINUTE;
    tile(&b);
    assert_false(same_tiling(&a.tilings[0], &b.tilings[0]));
}

/* ---- windows ---- */

/* What is counted as of T of a period: [start, end). */
static struct period window_of(const struct subject *subject, struct period period, int64_t as_of_ms)
{
    if (subject->measure.rolling_ms > 0) {
        return (struct period){period.start_ms + 1, period.end_ms + 1};
    }
    int64_t after_ms = as_of_ms + 1;
    return (struct period){period.start_ms, period.end_ms < after_ms ? period.end_ms : after_ms};
}

static bool begins_a_tile(const struct subject *subject, int64_t time_ms)
{
    return tile_at(subject, subject->tiers - 1, time_ms).start_ms == time_ms;
}

/* At a T that is looked back at, all edges are tiles'; now, what is later than T does not matter. */
static void check_edges_at(const struct subject *subject, int64_t as_of_ms, bool is_past)
{
    struct period period = measure_period(&subject->card, &subject->measure, as_of_ms);
    for (int carried = 0; carried < 4; carried++) {
        struct period window = window_of(subject, period, as_of_ms);
        assert_true(begins_a_tile(subject, window.start_ms));
        assert_true(begins_a_tile(subject, window.end_ms) || (!is_past && window.end_ms > as_of_ms));
        period = measure_period_before(&subject->card, &subject->measure, period);
    }
}

static void check_edges(struct fixture *f, const struct subject *subject)
{
    struct calendar calendar = scorecard_calendar(&subject->card, subject->card.period);
    for (int i = 0; i < PROBES; i++) {
        int64_t as_of_ms = random_time(f, subject);
        check_edges_at(subject, as_of_ms, false);
        check_edges_at(subject, period_of(&calendar, as_of_ms).end_ms, true);
    }
}

static void test_windows_begin_and_end_with_tiles(void **state)
{
    each_calendar(*state, check_edges);
    each_rolling(*state, check_edges);
}

/* How many tiles a window takes, the largest that fit, as of the end of a period. (Rolling ones are cut
 * by each end; those of a short period cut more.) */
static void check_few(struct fixture *f, const struct subject *subject)
{
    if (subject->measure.rolling_ms > 0 && subject->card.period < PERIOD_DAY) {
        return;
    }
    struct calendar calendar = scorecard_calendar(&subject->card, subject->card.period);
    for (int i = 0; i < 3; i++) {
        int64_t as_of_ms = period_of(&calendar, random_time(f, subject)).end_ms;
        struct period period = measure_period(&subject->card, &subject->measure, as_of_ms);
        struct period window = window_of(subject, period, as_of_ms);
        int tiles = 0;
        while (window.start_ms < window.end_ms) {
            struct period tile = {0};
            uint32_t tier = 0;
            do {
                assert_true(tier < subject->tiers);
                tile = tile_at(subject, tier++, window.start_ms);
            } while (tile.start_ms != window.start_ms || tile.end_ms > window.end_ms);
            window.start_ms = tile.end_ms;
            tiles++;
        }
        assert_int_equal(window.start_ms, window.end_ms);
        assert_true(tiles <= 32 * TIERS_MAX);
    }
}

static void test_a_window_takes_few_tiles(void **state)
{
    each_calendar(*state, check_few);
    each_rolling(*state, check_few);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_tiles_have_no_gap_and_no_overlap),
        with_fixture(test_tiles_are_made_of_those_of_the_next_tier),
        with_fixture(test_nested_periods_need_one_tier),
        with_fixture(test_what_may_share_tiles),
        with_fixture(test_windows_begin_and_end_with_tiles),
        with_fixture(test_a_window_takes_few_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
