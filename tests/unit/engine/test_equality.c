/* The master property: whatever the order, duplication, lateness, correction, batching and restarts, the live
 * engine shows what an offline one makes of the same rows, to the bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/cards.h>
#include <unit/engine/world.h>
#include <unit/score/rng.h>

#define MARCH INT64_C(1772323200000) /* 2026-03-01 */
#define HOUR  INT64_C(3600000)
#define DAY   (24 * HOUR)

enum { ROUNDS = 60, COMMITS = 40, CARDS = 3, KEYS = 12 };

struct fixture {
    struct scorecard *cards[CARDS];
    struct engine_options options;
    struct rng rng;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.cards = {card_of(first_card), card_of(second_card), card_of(third_card)},
                         .rng = {42}};
    f.options = (struct engine_options){.cards = (const struct scorecard *const *)f.cards,
                                        .card_count = CARDS,
                                        .hash_seed = 5,
                                        .max_orgs = 100,
                                        .max_series = 1000,
                                        .max_cells = 1000};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < CARDS; i++) {
        scorecard_free(f->cards[i]);
    }
    return 0;
}

static const char *one_of(struct rng *rng, const char *const *choices, int64_t count)
{
    return choices[rng_between(rng, 0, count - 1)];
}

/* About now, often late, sometimes ahead; on few instants, so that times tie. */
static poise_measurement random_row(struct rng *rng, int64_t now_ms)
{
    static const char *const measures[] = {"a", "b", "c", "d", "l", "a", "unknown"};
    static const char *const orgs[] = {"", "p1", "p1/l1", "p1/l2", "p2", "p2/l1/c", "p10", " bad "};
    static const char *const sources[] = {"", "s", "r"};
    static const char *const keys[KEYS] = {"k1", "k2", "k3", "k4", "k5", "k6"}; /* half are events */
    poise_measurement row = {.measure = one_of(rng, measures, 7),
                             .org = one_of(rng, orgs, 8),
                             .source = one_of(rng, sources, 3),
                             .key = one_of(rng, keys, KEYS),
                             .time_ms = now_ms,
                             .value = (double)rng_between(rng, -90, 90) / 10,
                             .of = (double)rng_between(rng, -1, 4),
                             .seq = (uint64_t)(rng_between(rng, 0, 2) ? 0 : rng_between(rng, 1, 400))};
    int64_t when = rng_between(rng, 0, 9);
    if (when < 3) {
        row.time_ms -= rng_between(rng, 0, 12) * DAY;
    } else if (when == 3) {
        row.time_ms += rng_between(rng, 1, 30) * HOUR;
    }
    row.time_ms -= row.time_ms % HOUR;
    if (row.measure[0] == 'l') {
        row.value = (double)rng_between(rng, 1, 3); /* 3 is no level */
    }
    row.retract = row.key && rng_between(rng, 0, 4) == 0;
    return row;
}

static struct engine *offline_engine(const struct fixture *f)
{
    struct engine_options options = f->options;
    struct engine *engine;
    options.offline = true;
    assert_int_equal(engine_open(&options, &engine, NULL), POISE_OK);
    return engine;
}

static void give_all(struct engine *engine, const struct world *world)
{
    for (size_t i = 0; i < world->row_count; i++) {
        assert_int_equal(past_apply(engine, &world->rows[i], INT64_MAX), world->rows[i].refusal);
    }
}

static poise_code ignore(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

static struct buf settled(struct engine *engine, int64_t as_of_ms)
{
    struct buf text = {0};
    assert_int_equal(engine_begin(engine, as_of_ms, NULL), POISE_OK);
    assert_int_equal(engine_settle(engine, SIZE_MAX, ignore, NULL, NULL), POISE_OK);
    dump_states(engine, &text);
    return text;
}

/* Offline, T known before the rows, or after them, or passing through history. */
static void assert_equals_offline(struct fixture *f, const struct world *world)
{
    int64_t as_of_ms = engine_as_of_ms(world->engine);
    struct engine *engine = offline_engine(f);
    bool has_history = rng_between(&f->rng, 0, 1);
    assert_int_equal(engine_begin(engine, has_history ? TIME_MIN_MS : as_of_ms, NULL), POISE_OK);
    give_all(engine, world);
    for (int64_t at = MARCH - 10 * DAY; has_history && at < as_of_ms; at += 9 * DAY) {
        struct buf passed = settled(engine, at);
        buf_free(&passed);
    }
    struct buf wanted = settled(engine, as_of_ms), got = {0};
    dump_states(world->engine, &got);
    assert_same_text(&got, &wanted);
    buf_free(&got);
    buf_free(&wanted);
    engine_close(engine);
}

/* ---- a subscriber, who knows only the changes ---- */

struct mirror {
    struct buf lines[1024];
    size_t count;
};

/* A running rolling window ends at T, whenever it is looked at: that alone is no change. */
static void dump_without_T(const poise_state *state, struct buf *out)
{
    static const char *const rolling[] = {"/rolling", "/long", "/tail", "/worst"};
    poise_state copy = *state;
    for (size_t i = 0; i < sizeof rolling / sizeof *rolling; i++) {
        if (strstr(state->node, rolling[i]) && state->numbers.period_end_ms == state->as_of_ms) {
            copy.numbers.period_end_ms = 0;
        }
    }
    dump_state(&copy, out);
}

static poise_code reflect(void *visitor, const poise_state *state)
{
    struct mirror *mirror = visitor;
    struct buf line = {0};
    if (state->revision) {
        return POISE_OK; /* of a closed period */
    }
    dump_without_T(state, &line);
    size_t name =
        (size_t)((const uint8_t *)strchr((const char *)line.data + strlen(state->org) + 1, ' ') - line.data);
    size_t i = 0;
    while (i < mirror->count &&
           (mirror->lines[i].length < name || memcmp(mirror->lines[i].data, line.data, name + 1) != 0)) {
        i++;
    }
    assert_true(i < sizeof mirror->lines / sizeof *mirror->lines);
    if (i == mirror->count) {
        mirror->count++;
    } else { /* it would be no change */
        assert_true(mirror->lines[i].length != line.length ||
                    memcmp(mirror->lines[i].data, line.data, line.length) != 0);
        buf_free(&mirror->lines[i]);
    }
    mirror->lines[i] = line;
    return POISE_OK;
}

static poise_code is_reflected(void *visitor, const poise_state *state)
{
    struct mirror *mirror = visitor;
    struct buf line = {0};
    dump_without_T(state, &line);
    bool found = false;
    for (size_t i = 0; i < mirror->count && !found; i++) {
        found = mirror->lines[i].length == line.length &&
                memcmp(mirror->lines[i].data, line.data, line.length) == 0;
    }
    buf_free(&line);
    assert_true(found);
    return POISE_OK;
}

static void free_mirror(struct mirror *mirror)
{
    for (size_t i = 0; i < mirror->count; i++) {
        buf_free(&mirror->lines[i]);
    }
    mirror->count = 0;
}

/* ---- the life of a store ---- */

static void commit(struct fixture *f, struct world *world, int64_t now_ms, struct mirror *mirror)
{
    bool begins_first = rng_between(&f->rng, 0, 1);
    if (begins_first) {
        world_begin(world, now_ms);
    }
    for (int64_t i = rng_between(&f->rng, 0, 12); i > 0; i--) {
        poise_measurement row = random_row(&f->rng, now_ms);
        world_apply(world, &row, INT64_MAX);
        if (rng_between(&f->rng, 0, 9) == 0) { /* sent twice: a duplicate if it has key and seq */
            world_apply(world, &row, INT64_MAX);
        }
    }
    if (!begins_first) {
        world_begin(world, now_ms);
    }
    if (rng_between(&f->rng, 0, 3) > 0) {
        size_t budget = rng_between(&f->rng, 0, 1) ? SIZE_MAX : (size_t)rng_between(&f->rng, 1, 200);
        assert_int_equal(engine_settle(world->engine, budget, reflect, mirror, NULL), POISE_OK);
    }
}

/* What a crash loses is replayed from the journal, which holds what comes later already. */
static void crash(struct fixture *f, struct world *world, int64_t as_of_ms)
{
    world_reopen(world);
    world_begin(world, as_of_ms);
    for (size_t i = (size_t)engine_ordinal(world->engine); i < world->row_count; i++) {
        assert_int_equal(past_apply(world->engine, &world->rows[i], INT64_MAX), world->rows[i].refusal);
        if (rng_between(&f->rng, 0, 3) == 0) {
            world_settle(world);
        }
    }
    world_settle(world);
}

/* A checkpoint that begins, goes on or fails; what comes meanwhile is not in it. */
static void checkpoint_some(struct fixture *f, struct world *world)
{
    size_t budget = rng_between(&f->rng, 0, 2) ? (size_t)rng_between(&f->rng, 1, 40) : SIZE_MAX;
    if (engine_checkpoint_runs(world->engine)) {
        if (rng_between(&f->rng, 0, 9) == 0) {
            world_checkpoint_fail(world);
        } else {
            world_checkpoint_step(world, budget);
        }
    } else if (!engine_dirty(world->engine) && rng_between(&f->rng, 0, 2) == 0) {
        world_checkpoint_begin(world);
        world_checkpoint_step(world, budget);
    }
}

static void test_live_equals_offline(void **state)
{
    struct fixture *f = *state;
    static struct mirror mirror;
    size_t rereads = 0, crashes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        f->options.max_cells =
            (size_t)rng_between(&f->rng, 0, 1) * 1000; /* 0: all that is past leaves memory */
        world_open(&world, &f->options);
        int64_t now_ms = MARCH;
        for (int i = 0; i < COMMITS; i++) {
            commit(f, &world, now_ms, &mirror);
            if (rng_between(&f->rng, 0, 3) == 0) {
                world_settle(&world);
                free_mirror(&mirror); /* a new subscriber */
                engine_states(world.engine, NULL, NULL, reflect, &mirror, NULL);
            }
            if (!engine_dirty(world.engine)) {
                engine_states(world.engine, NULL, NULL, is_reflected, &mirror, NULL);
            }
            checkpoint_some(f, &world);
            if (!engine_dirty(world.engine) && rng_between(&f->rng, 0, 7) == 0) {
                crash(f, &world, now_ms);
                crashes++;
            }
            now_ms += rng_between(&f->rng, 0, 2) * rng_between(&f->rng, 0, 40) * HOUR / 2;
        }
        world_settle(&world);
        assert_equals_offline(f, &world);
        rereads += world.rereads;
        world_close(&world);
        free_mirror(&mirror);
    }
    assert_true(rereads > ROUNDS && crashes > ROUNDS);
}

static void test_every_prefix_equals_offline(void **state)
{
    struct fixture *f = *state;
    struct world world;
    world_open(&world, &f->options);
    int64_t now_ms = MARCH;
    for (int i = 0; i < 150; i++) {
        world_begin(&world, now_ms);
        poise_measurement row = random_row(&f->rng, now_ms);
        world_apply(&world, &row, INT64_MAX);
        world_settle(&world);
        assert_equals_offline(f, &world);
        now_ms += rng_between(&f->rng, 0, 12) * HOUR;
    }
    world_close(&world);
}

/* With a sequence on every row the order of arrival must not matter. */
static void test_order_does_not_matter(void **state)
{
    enum { ROWS = 120 };
    struct fixture *f = *state;
    for (int round = 0; round < 30; round++) {
        poise_measurement rows[ROWS];
        for (uint64_t i = 0; i < ROWS; i++) {
            rows[i] = random_row(&f->rng, MARCH + (int64_t)i * HOUR);
            rows[i].seq = i + 1;
        }
        struct buf texts[2] = {{0}, {0}};
        for (int pass = 0; pass < 2; pass++) {
            struct world world;
            world_open(&world, &f->options);
            world_begin(&world, MARCH + rng_between(&f->rng, 0, ROWS) * HOUR);
            for (size_t i = 0; i < ROWS; i++) {
                world_apply(&world, &rows[i], INT64_MAX);
                const poise_measurement *again = &rows[rng_between(&f->rng, 0, (int64_t)i)];
                if (again->key) {
                    world_apply(&world, again, INT64_MAX);
                }
            }
            world_begin(&world, MARCH + ROWS * HOUR);
            world_settle(&world);
            dump_states(world.engine, &texts[pass]);
            world_close(&world);
            for (int64_t i = ROWS - 1; i > 0; i--) { /* the other order */
                int64_t j = rng_between(&f->rng, 0, i);
                poise_measurement swapped = rows[i];
                rows[i] = rows[j];
                rows[j] = swapped;
            }
        }
        assert_same_text(&texts[0], &texts[1]);
        buf_free(&texts[0]);
        buf_free(&texts[1]);
    }
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_live_equals_offline),
        with_fixture(test_every_prefix_equals_offline),
        with_fixture(test_order_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
