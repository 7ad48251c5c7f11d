/* What the store gives back: all of it, or an error that says what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unit/engine/small_world.h>

static poise_code refuse_put(void *writer, enum engine_table table, const void *key, size_t key_length,
                             const void *value, size_t value_length)
{
    (void)key;
    (void)key_length;
    (void)value;
    (void)value_length;
    return table == *(const enum engine_table *)writer ? POISE_EFULL : POISE_OK;
}

static void test_failed_checkpoint_is_made_again(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "x", 3));
    assert_int_equal(engine_checkpoint(f->world.engine, refuse_put, NULL, NULL),
                     POISE_EINVAL); /* not settled */
    world_settle(&f->world);
    static const enum engine_table tables[] = {ENGINE_ORGS, ENGINE_SERIES, ENGINE_CELLS, ENGINE_HEAD};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        enum engine_table full = tables[i];
        assert_int_equal(engine_checkpoint(f->world.engine, refuse_put, &full, NULL), POISE_EFULL);
    }
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    assert_true(sum(f) == 3 && value_at(f, "card/p/o/sum", "x") == 3);
}

static void test_state_of_other_sums_is_refused(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "", 3));
    world_settle(&f->world);
    world_checkpoint(&f->world);
    char changed[1000];
    /* Another form needs no other sums; another aggregate does, and so do other days. */
    static const char *const changes[][2] = {{"to: 10", "to: 20"},
                                             {"aggregate: max", "aggregate: min"},
                                             {"name: Card", "timezone: Asia/Tokyo"},
                                             {"name: Card", "period: year"}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *at = strstr(small_yaml, changes[i][0]);
        (void)snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - small_yaml), small_yaml, changes[i][1],
                       at + strlen(changes[i][0]));
        struct scorecard *other = card_of(changed);
        const struct scorecard *const cards[] = {other};
        struct engine_options options = f->world.options;
        options.cards = cards;
        struct engine *engine = NULL;
        poise_error err = {0};
        assert_int_equal(engine_open(&options, &engine, &err), i ? POISE_EVERSION : POISE_OK);
        engine_close(i ? NULL : engine);
        scorecard_free(other);
    }
}

static void test_damaged_state_is_named(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "x/y", 3));
    accept(f, keyed("k", 0, 1));
    poise_measurement ahead = keyed("l", 1, 3);
    ahead.time_ms = MARCH + DAY + 1000;
    accept(f, ahead);
    world_settle(&f->world);
    world_checkpoint(&f->world);
    static const enum engine_table tables[] = {ENGINE_HEAD, ENGINE_CELLS, ENGINE_FUTURE};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const struct table *table = &f->world.tables[tables[i]];
        struct buf *value = &table->entries[table->count - 1].value;
        size_t whole = value->length;
        for (value->length = 0; value->length < whole; value->length++) {
            struct engine *engine = NULL;
            poise_error err = {0};
            poise_code code = engine_open(&f->world.options, &engine, &err);
            assert_true(code == POISE_ECORRUPT || (code == POISE_EVERSION && value->length == 0));
            assert_true(err.text[0] != '\0');
        }
    }
    world_reopen(&f->world);
}

static void test_orgs_out_of_order_are_damage(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "x/y", 3));
    world_settle(&f->world);
    world_checkpoint(&f->world);
    struct entry *orgs = f->world.tables[ENGINE_ORGS].entries;
    struct buf kept = orgs[1].value;
    orgs[1].value = orgs[2].value;
    struct engine *engine = NULL;
    assert_int_equal(engine_open(&f->world.options, &engine, NULL), POISE_ECORRUPT);
    orgs[1].value = kept;
    world_reopen(&f->world);
}

/* Of years of history an engine takes only the cells that it shows, none of them by itself. */
static void test_a_start_passes_history(void **state)
{
    enum { ORGS = 40, MONTHS = 60 };
    struct fixture *f = *state;
    struct buf before = {0}, after = {0};
    char org[16];
    engine_set_limits(f->world.engine, 0, 0);
    for (int month = 0; month < MONTHS; month++) {
        int64_t time_ms = MARCH + month * 30 * DAY;
        world_begin(&f->world, time_ms);
        for (int i = 0; i < ORGS; i++) {
            (void)snprintf(org, sizeof org, "o%d", i);
            poise_measurement row = event("a", org, month + i);
            row.time_ms = time_ms;
            assert_int_equal(world_apply(&f->world, &row, time_ms), POISE_REFUSAL_NONE);
        }
    }
    world_settle(&f->world);
    world_checkpoint(&f->world);
    dump_states(f->world.engine, &before);
    f->world.visits = f->world.loads[ENGINE_CELLS] = 0;
    world_reopen(&f->world);
    dump_states(f->world.engine, &after);
    assert_same_text(&before, &after);
    size_t stored = f->world.tables[ENGINE_CELLS].count;
    print_message("%zu of %zu visited, %zu asked for\n", f->world.visits, stored,
                  f->world.loads[ENGINE_CELLS]);
    assert_true(f->world.loads[ENGINE_CELLS] == 0 && f->world.visits < stored / 10);
    buf_free(&before);
    buf_free(&after);
}

static void test_failed_port_breaks_the_engine(void **state)
{
    struct fixture *f = *state;
    accept(f, keyed("k", 1, 3));
    world_settle(&f->world);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    struct engine_series *series;
    poise_refusal refusal;
    assert_int_equal(engine_series(f->world.engine, "a", "", "", &series, &refusal, NULL), POISE_OK);
    const struct engine_row row = {
        .time_ms = MARCH + 1, .value = 1, .of = 1, .key = "k", .key_length = 1, .seq = 2};
    f->world.fail_load = POISE_EIO;
    assert_int_equal(engine_apply(f->world.engine, series, &row, INT64_MAX, &refusal, NULL), POISE_EIO);
    f->world.fail_load = POISE_OK;
    assert_int_equal(engine_apply(f->world.engine, series, &row, INT64_MAX, &refusal, NULL), POISE_ECLOSED);
    assert_int_equal(engine_begin(f->world.engine, APRIL, NULL), POISE_ECLOSED);
    assert_int_equal(engine_settle(f->world.engine, SIZE_MAX, count_visit, &(int){0}, NULL), POISE_ECLOSED);
    assert_int_equal(engine_checkpoint(f->world.engine, refuse_put, NULL, NULL), POISE_ECLOSED);
    world_reopen(&f->world);
    assert_true(sum(f) == 3);
}

static int states_at_x(struct fixture *f)
{
    int count = 0;
    poise_code code = engine_states(f->world.engine, "card", "x", count_visit, &count, NULL);
    assert_true(code == POISE_OK || code == POISE_ENOTFOUND);
    return count;
}

/* A series that a retraction numbered, whose first measurement comes when a checkpoint has begun: its org has
 * no scores as of the checkpoint, or a start told its past otherwise than before. */
static void test_what_comes_meanwhile_is_not_seen(void **state)
{
    struct fixture *f = *state;
    poise_measurement retraction = keyed("k", 1, 0);
    retraction.org = "x";
    retraction.retract = true;
    accept(f, retraction);
    for (int failed = 0; failed < 2; failed++) {
        world_settle(&f->world);
        assert_int_equal(states_at_x(f), 0);
        world_checkpoint_begin(&f->world);
        accept(f, event("a", "x", 3));
        world_checkpoint(&f->world);
        world_reopen(&f->world);
        assert_int_equal(states_at_x(f), 0);
        accept(f, event("a", "x", 3)); /* as the journal has it */
        world_settle(&f->world);
        assert_true(states_at_x(f) > 0);
        world_checkpoint_begin(&f->world);
        if (failed == 0) {
            world_checkpoint_fail(&f->world);
            world_reopen(&f->world);
        }
    }
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    assert_true(states_at_x(f) > 0 && value_at(f, "card/p/o/sum", "x") == 3);
}

/* Before, a change has the cells given that it changes; with only keys left nothing but their giver puts. */
static void test_keys_alone_can_be_given_by_another_thread(void **state)
{
    struct fixture *f = *state;
    struct world *world = &f->world;
    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        accept(f, keyed(name, 1, i));
    }
    world_settle(world);
    assert_false(engine_checkpoint_is_apart(world->engine));
    world_checkpoint_begin(world);
    assert_false(engine_checkpoint_is_apart(world->engine));
    size_t staged = world->staged.length;
    accept(f, keyed("before", 1, 20));
    assert_true(world->staged.length > staged);
    while (!engine_checkpoint_is_apart(world->engine)) {
        assert_false(world_checkpoint_step(world, 1));
    }
    staged = world->staged.length;
    accept(f, keyed("behind", 1, 40));
    accept(f, keyed("k3", 2, 30)); /* its key is in the checkpoint: a correction */
    assert_int_equal(world->staged.length, staged);
    world_checkpoint(world);
    assert_false(engine_checkpoint_is_apart(world->engine));
    world_reopen(world);
    assert_true(sum(f) == 36);
}

static poise_code take_put(void *writer, enum engine_table table, const void *key, size_t key_length,
                           const void *value, size_t value_length)
{
    (void)writer;
    (void)table;
    (void)key;
    (void)key_length;
    (void)value;
    (void)value_length;
    return POISE_OK;
}

static void count_row(struct engine *engine, const struct engine_row *row)
{
    struct engine_series *series;
    poise_refusal refusal;
    assert_int_equal(engine_series(engine, "a", "x", "", &series, &refusal, NULL), POISE_OK);
    assert_int_equal(engine_apply(engine, series, row, INT64_MAX, &refusal, NULL), POISE_OK);
    assert_int_equal(refusal, POISE_REFUSAL_NONE);
    assert_int_equal(engine_settle(engine, SIZE_MAX, count_visit, &(int){0}, NULL), POISE_OK);
    assert_int_equal(engine_checkpoint(engine, take_put, NULL, NULL), POISE_OK);
    engine_checkpoint_done(engine);
}

static poise_code note_value(void *value, const poise_state *state)
{
    if (state->revision && strcmp(state->node, "card/p/o/sum") == 0 && strcmp(state->org, "x") == 0) {
        *(double *)value = state->numbers.value;
    }
    return POISE_OK;
}

/* Cells, keys and numbers of closed periods that nobody could give back. */
static void test_without_load_nothing_leaves_memory(void **state)
{
    struct fixture *f = *state;
    struct engine_options options = f->options;
    options.ports = (struct engine_ports){0};
    options.max_cells = 0;
    struct engine *engine;
    assert_int_equal(engine_open(&options, &engine, NULL), POISE_OK);
    struct engine_row row = {
        .time_ms = MARCH + 1, .value = 1, .of = 1, .key = "k", .key_length = 1, .seq = 1};
    assert_int_equal(engine_begin(engine, MARCH + DAY, NULL), POISE_OK);
    count_row(engine, &row);
    assert_int_equal(engine_begin(engine, APRIL + 30 * DAY, NULL), POISE_OK);
    row.seq = 2;
    row.value = 5;
    count_row(engine, &row); /* the key is known: it is corrected */
    struct engine_series *series;
    poise_refusal refusal;
    double revised = 0;
    row.key = NULL;
    assert_int_equal(engine_series(engine, "a", "x", "", &series, &refusal, NULL), POISE_OK);
    assert_int_equal(engine_apply(engine, series, &row, INT64_MAX, &refusal, NULL), POISE_OK);
    assert_int_equal(engine_settle(engine, SIZE_MAX, note_value, &revised, NULL), POISE_OK);
    assert_true(revised == 10);
    engine_close(engine);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_failed_checkpoint_is_made_again),
        with_fixture(test_state_of_other_sums_is_refused),
        with_fixture(test_damaged_state_is_named),
        with_fixture(test_orgs_out_of_order_are_damage),
        with_fixture(test_a_start_passes_history),
        with_fixture(test_failed_port_breaks_the_engine),
        with_fixture(test_what_comes_meanwhile_is_not_seen),
        with_fixture(test_keys_alone_can_be_given_by_another_thread),
        with_fixture(test_without_load_nothing_leaves_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
