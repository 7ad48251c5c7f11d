/* Series by number, what went because of a row, and rows at given places in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/cards.h>
#include <unit/engine/plain.h>
#include <unit/engine/reference.h>
#include <unit/engine/small_world.h>

#define HOUR INT64_C(3600000)

enum { CARDS = 3, ROUNDS = 40, ROWS = 250 };

struct cards {
    struct scorecard *cards[CARDS];
    struct engine_options options;
    struct rng rng;
};

static int setup(void **state)
{
    static struct cards c;
    c = (struct cards){.cards = {card_of(first_card), card_of(second_card), card_of(third_card)}, .rng = {7}};
    c.options = (struct engine_options){.cards = (const struct scorecard *const *)c.cards,
                                        .card_count = CARDS,
                                        .hash_seed = 5,
                                        .max_cells = 1000};
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    struct cards *c = *state;
    for (size_t i = 0; i < CARDS; i++) {
        scorecard_free(c->cards[i]);
    }
    return 0;
}

static poise_measurement measurement_of(const struct past *past)
{
    return (poise_measurement){.measure = past->measure,
                               .org = past->org,
                               .source = past->source,
                               .key = past->key,
                               .time_ms = past->row.time_ms,
                               .value = past->row.value,
                               .of = past->row.of,
                               .seq = past->row.seq,
                               .retract = past->row.retract};
}

/* Small seqs, so that they meet each other and places; some rows again; some of the future. */
static void apply_some(struct cards *c, struct world *world, int64_t now_ms)
{
    poise_measurement row = random_row(&c->rng, now_ms, 20);
    row.seq = row.seq % (rng_between(&c->rng, 0, 1) ? 900 : 20);
    if (rng_between(&c->rng, 0, 9) == 0) {
        row.time_ms = now_ms + rng_between(&c->rng, 1, 90) * HOUR;
    }
    if (rng_between(&c->rng, 0, 5) == 0 && world->row_count > 0) {
        row = measurement_of(&world->rows[rng_between(&c->rng, 0, (int64_t)world->row_count - 1)]);
    }
    world_apply(world, &row, INT64_MAX);
}

/* ---- what went ---- */

static void check_last(struct plain *plain, const struct world *world)
{
    const struct past *past = &world->rows[world->row_count - 1];
    const poise_measurement row = measurement_of(past);
    struct engine_gone wanted, gone;
    struct engine_series *series;
    poise_refusal refusal;
    bool went;
    if (past->refusal != POISE_REFUSAL_NONE) {
        return;
    }
    uint32_t number = plain_accept(plain, &row, past->ordinal, &went, &wanted);
    assert_int_equal(
        engine_series(world->engine, past->measure, past->org, past->source, &series, &refusal, NULL),
        POISE_OK);
    assert_int_equal(engine_series_number(series), number);
    assert_ptr_equal(engine_numbered(world->engine, number), series);
    assert_int_equal(engine_gone(world->engine, &gone), went);
    if (went) {
        assert_int_equal(gone.series, wanted.series);
        assert_int_equal(gone.time_ms, wanted.time_ms);
        assert_int_equal(gone.ordinal, wanted.ordinal);
    }
}

/* Also of rows that were checkpointed before a crash, and of such that are replayed. */
static void test_reports_are_what_a_plain_list_says(void **state)
{
    struct cards *c = *state;
    size_t went = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        struct plain plain = {0};
        world_open(&world, &c->options);
        int64_t now_ms = MARCH;
        for (int i = 0; i < ROWS; i++) {
            world_begin(&world, now_ms);
            apply_some(c, &world, now_ms);
            check_last(&plain, &world);
            struct engine_gone gone;
            went += engine_gone(world.engine, &gone);
            if (rng_between(&c->rng, 0, 19) == 0) {
                world_settle(&world);
                world_checkpoint(&world);
            }
            if (rng_between(&c->rng, 0, 19) == 0) {
                world_reopen(&world);
                for (size_t at = engine_ordinal(world.engine); at < world.row_count; at++) {
                    past_apply(world.engine, &world.rows[at], ENGINE_LET_IN);
                }
            }
            now_ms += rng_between(&c->rng, 0, 3) * HOUR;
        }
        assert_null(engine_numbered(world.engine, (uint32_t)plain.series_count));
        plain_free(&plain);
        world_close(&world);
    }
    assert_true(went > ROUNDS * 20);
}

/* ---- any order ---- */

static void shuffle(struct rng *rng, size_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)rng_between(rng, 0, (int64_t)i - 1), moved = order[i - 1];
        order[i - 1] = order[j];
        order[j] = moved;
    }
}

static void apply_at(struct engine *engine, const struct past *past)
{
    struct engine_series *series;
    poise_refusal refusal;
    poise_error err = {0};
    assert_int_equal(engine_series(engine, past->measure, past->org, past->source, &series, &refusal, NULL),
                     POISE_OK);
    assert_non_null(series);
    if (engine_apply_at(engine, series, &past->row, past->ordinal, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

static void apply_shuffled(struct cards *c, struct engine *engine, const struct world *world)
{
    size_t *order = calloc(world->row_count, sizeof *order);
    assert_non_null(order);
    shuffle(&c->rng, order, world->row_count);
    for (size_t i = 0; i < world->row_count; i++) {
        if (world->rows[order[i]].refusal == POISE_REFUSAL_NONE) {
            apply_at(engine, &world->rows[order[i]]);
        }
    }
    free(order);
}

/* Engines pass through the same times, with the same scores at each. */
static void pass_together(struct engine *one, struct engine *other, int64_t from_ms, int64_t to_ms)
{
    for (int64_t at_ms = from_ms; at_ms <= to_ms; at_ms += (to_ms - from_ms) / 3) {
        struct buf texts[2] = {{0}, {0}};
        reference_move(one, at_ms);
        reference_move(other, at_ms);
        dump_states(one, &texts[0]);
        dump_states(other, &texts[1]);
        assert_same_text(&texts[0], &texts[1]);
        buf_free(&texts[0]);
        buf_free(&texts[1]);
    }
}

static void make_rows(struct cards *c, struct world *world)
{
    world_open(world, &c->options);
    for (int64_t i = 0; i < ROWS; i++) {
        world_begin(world, MARCH + i / 10 * 6 * HOUR);
        apply_some(c, world, MARCH + i / 10 * 6 * HOUR);
    }
    world_settle(world);
}

static void test_offline_any_order_is_the_journals(void **state)
{
    struct cards *c = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        struct engine_options offline = c->options;
        struct engine *shuffled;
        make_rows(c, &world);
        struct engine *in_order = reference_open(&c->options, &world, world.row_count);
        offline.offline = true;
        assert_int_equal(engine_open(&offline, &shuffled, NULL), POISE_OK);
        assert_int_equal(engine_begin(shuffled, TIME_MIN_MS, NULL), POISE_OK);
        apply_shuffled(c, shuffled, &world);
        pass_together(in_order, shuffled, MARCH - 9 * DAY, MARCH + 12 * DAY);
        engine_close(in_order);
        engine_close(shuffled);
        world_close(&world);
    }
}

/* What a live engine is made anew from: keyed rows are counted and taken back as they come. */
static void test_live_any_order_is_the_journals(void **state)
{
    struct cards *c = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        struct engine *shuffled;
        make_rows(c, &world);
        int64_t as_of_ms = engine_as_of_ms(world.engine);
        struct engine_options options = world.options;
        options.ports.load = NULL;
        options.ports.walk = NULL;
        assert_int_equal(engine_open(&options, &shuffled, NULL), POISE_OK);
        engine_set_revising(shuffled, false);
        assert_int_equal(engine_begin(shuffled, as_of_ms, NULL), POISE_OK);
        apply_shuffled(c, shuffled, &world);
        assert_int_equal(engine_ordinal(shuffled) <= engine_ordinal(world.engine), true);
        pass_together(world.engine, shuffled, as_of_ms, as_of_ms + 3 * DAY);
        engine_close(shuffled);
        world_close(&world);
    }
}

static void test_what_cannot_have_been_accepted(void **state)
{
    struct fixture *f = *state;
    struct engine_series *series;
    poise_refusal refusal;
    poise_error err = {0};
    assert_int_equal(engine_series(f->world.engine, "a", "", "", &series, &refusal, NULL), POISE_OK);
    const struct engine_row bad = {.time_ms = INT64_MAX, .value = 1, .of = 1};
    assert_int_equal(engine_apply_at(f->world.engine, series, &bad, 7, &err), POISE_EINVAL);
    assert_non_null(strstr(err.text, "row 7"));
    assert_int_equal(engine_ordinal(f->world.engine), 0);
    accept(f, event("a", "", 3)); /* nothing happened */
    assert_true(sum(f) == 3);
}

/* ---- numbers ---- */

static uint32_t number_of(const struct fixture *f, const char *measure, const char *org, const char *source)
{
    struct engine_series *series;
    poise_refusal refusal;
    assert_int_equal(engine_series(f->world.engine, measure, org, source, &series, &refusal, NULL), POISE_OK);
    return series ? engine_series_number(series) : ENGINE_UNNUMBERED;
}

static void test_the_first_accepted_row_numbers_its_series(void **state)
{
    struct fixture *f = *state;
    poise_measurement ahead = event("a", "x", 1);
    ahead.time_ms = MARCH + 9 * DAY;
    assert_int_equal(give(f, ahead), POISE_REFUSAL_TIME_AHEAD);
    assert_int_equal(number_of(f, "a", "x", ""), ENGINE_UNNUMBERED);
    accept(f, event("b", "x", 1));
    poise_measurement taken_back = keyed("k", 1, 0);
    taken_back.retract = true;
    accept(f, taken_back); /* a retraction numbers, too */
    accept(f, event("a", "x", 1));
    accept(f, event("b", "x", 1));
    assert_int_equal(number_of(f, "b", "x", ""), 0);
    assert_int_equal(number_of(f, "a", "", ""), 1);
    assert_int_equal(number_of(f, "a", "x", ""), 2);
    assert_null(engine_numbered(f->world.engine, 3));
}

static bool is_at(const struct fixture *f, const char *org)
{
    return engine_states(f->world.engine, "card", org, count_visit, &(int){0}, NULL) == POISE_OK;
}

/* What the store says of a series that is known by a retraction alone, and then by a measurement. */
static void test_retraction_alone_makes_no_unit(void **state)
{
    struct fixture *f = *state;
    poise_measurement row = keyed("k", 1, 0);
    row.org = "x";
    row.retract = true;
    accept(f, row);
    accept(f, event("a", "y", 1));
    for (int measured = 0; measured < 2; measured++) {
        for (int pass = 0; pass < 2; pass++) {
            world_settle(&f->world);
            assert_true(is_at(f, "y"));
            assert_int_equal(is_at(f, "x"), measured);
            world_checkpoint(&f->world);
            assert_int_equal(f->world.tables[ENGINE_UNITS].count, measured);
            world_reopen(&f->world);
        }
        accept(f, event("a", "x", 1));
    }
}

/* Definitions that read less: numbers stay, and go on. */
static void test_numbers_outlive_their_input(void **state)
{
    struct fixture *f = *state;
    poise_measurement row = event("b", "x", 1);
    row.source = "s";
    accept(f, event("b", "", 1));
    accept(f, event("a", "", 1));
    accept(f, row);
    char without_b[1000];
    (void)snprintf(without_b, sizeof without_b, "%.*s",
                   (int)(strstr(small_yaml, "          - {id: max") - small_yaml), small_yaml);
    struct scorecard *card = card_of(without_b);
    const struct scorecard *cards[] = {card};
    struct world other;
    struct engine_options options = f->options;
    options.cards = cards;
    world_open(&other, &options);
    world_begin(&other, MARCH + DAY);
    for (uint32_t i = 0; i < 3; i++) { /* the journal, row by row */
        uint32_t number = i;
        const struct past *past = &f->world.rows[i];
        if (past_apply(other.engine, past, ENGINE_LET_IN) == POISE_REFUSAL_UNKNOWN_MEASURE) {
            assert_int_equal(
                engine_number_unread(other.engine, past->measure, past->org, past->source, &number, NULL),
                POISE_OK);
        }
        assert_int_equal(number, i);
        assert_int_equal(engine_numbered(other.engine, i) != NULL, i == 1);
    }
    for (int pass = 0; pass < 2; pass++) { /* also from the store */
        uint32_t number;
        assert_int_equal(engine_number_unread(other.engine, "b", "x", "s", &number, NULL), POISE_OK);
        assert_int_equal(number, 2);
        world_settle(&other);
        world_checkpoint(&other);
        world_reopen(&other);
    }
    poise_measurement more = event("a", "y", 1);
    assert_int_equal(world_apply(&other, &more, MARCH + DAY), POISE_REFUSAL_NONE);
    struct fixture shown = {.world = other};
    assert_int_equal(number_of(&shown, "a", "y", ""), 3);
    assert_int_equal(number_of(&shown, "b", "x", "s"), ENGINE_UNNUMBERED); /* nobody is let in there */
    poise_error err = {0};
    uint32_t number;
    assert_int_equal(engine_number_unread(other.engine, "b", " bad ", "", &number, &err), POISE_ECORRUPT);
    world_close(&other);
    scorecard_free(card);
}

static void test_damaged_list_of_series_is_named(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "x", 3));
    accept(f, event("b", "x", 3));
    world_settle(&f->world);
    world_checkpoint(&f->world);
    struct table *series = &f->world.tables[ENGINE_SERIES];
    assert_int_equal(series->count, 2);
    struct buf kept = series->entries[1].value;
    struct engine *engine = NULL;
    for (size_t length = 0; length < kept.length; length++) {
        series->entries[1].value.length = length;
        assert_int_equal(engine_open(&f->world.options, &engine, NULL), POISE_ECORRUPT);
    }
    series->entries[1].value = kept;
    series->count--; /* the last is missing */
    assert_int_equal(engine_open(&f->world.options, &engine, NULL), POISE_ECORRUPT);
    /* the first */
    struct entry *entries = series->entries++;
    assert_int_equal(engine_open(&f->world.options, &engine, NULL), POISE_ECORRUPT);
    series->entries = entries;
    series->count++;
    world_reopen(&f->world);
    assert_int_equal(number_of(f, "b", "x", ""), 1);
}

#define with_cards(test)   cmocka_unit_test_setup_teardown(test, setup, teardown)
#define with_fixture(test) cmocka_unit_test_setup_teardown(test, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_cards(test_reports_are_what_a_plain_list_says),
        with_cards(test_offline_any_order_is_the_journals),
        with_cards(test_live_any_order_is_the_journals),
        with_fixture(test_what_cannot_have_been_accepted),
        with_fixture(test_the_first_accepted_row_numbers_its_series),
        with_fixture(test_retraction_alone_makes_no_unit),
        with_fixture(test_numbers_outlive_their_input),
        with_fixture(test_damaged_list_of_series_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
