/* Inputs of which measurements are dropped: what would change their periods is refused, cells and keys stay,
 * nothing is read again; other definitions get the sums that they lack, or are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <unit/engine/revised.h>

#define CARD                                                                                                 \
    "{scorecard: c, name: C, grace: 1d, lock_after: 1d, keep: 10d, perspectives: [{id: p, name: P, "         \
    "objectives: [{id: o, name: O, measures: ["
#define MEASURE(id, rest) "{id: " id ", score: {linear: {from: 0, to: 100}}, " rest "},"
#define SUM               MEASURE("sum", "input: a, aggregate: max, carry: 0")
#define DAILY             MEASURE("daily", "input: a, aggregate: max, period: day, carry: 0")
#define OTHER             MEASURE("other", "input: b, aggregate: sum, keep: 40d")
#define END               "]}]}]}"

struct fixture {
    struct scorecard *card;
    struct world world;
};

static void open_world(struct fixture *f, const char *yaml)
{
    f->card = card_of(yaml);
    const struct engine_options options = {.cards = (const struct scorecard *const *)&f->card,
                                           .card_count = 1};
    world_open(&f->world, &options);
}

static void close_world(struct fixture *f)
{
    world_close(&f->world);
    scorecard_free(f->card);
}

static poise_refusal put(struct fixture *f, const char *input, const char *key, int64_t time_ms, double value)
{
    const poise_measurement row = {
        .measure = input, .org = "x", .key = key, .time_ms = time_ms, .value = value, .of = 1};
    return world_apply(&f->world, &row, INT64_MAX); /* as an operator lets it in: no lock holds it up */
}

static poise_refusal retract(struct fixture *f, const char *key)
{
    const poise_measurement row = {.measure = "a", .org = "x", .key = key, .retract = true};
    return world_apply(&f->world, &row, INT64_MAX);
}

static struct engine_keep keep_of(const struct fixture *f, const char *input)
{
    struct engine_keep keep;
    size_t at = 0;
    while (engine_keep(f->world.engine, at, &keep) && strcmp(keep.input, input) != 0)
        at++;
    assert_string_equal(keep.input, input);
    return keep;
}

/* Rows of a day in March and of one in April, settled and checkpointed at T. */
static void begin_at(struct fixture *f, int64_t as_of_ms)
{
    world_begin(&f->world, as_of_ms);
    assert_int_equal(put(f, "a", "march", MARCH + 9 * DAY, 5), POISE_REFUSAL_NONE);
    assert_int_equal(put(f, "a", NULL, MARCH + 9 * DAY, 7), POISE_REFUSAL_NONE);
    assert_int_equal(put(f, "a", "april", APRIL + 9 * DAY, 3), POISE_REFUSAL_NONE);
    assert_int_equal(put(f, "a", NULL, APRIL + 9 * DAY, 2), POISE_REFUSAL_NONE);
    assert_int_equal(put(f, "b", NULL, MARCH + 9 * DAY, 9), POISE_REFUSAL_NONE);
    world_settle(&f->world);
    world_checkpoint(&f->world);
}

static void whole_days_may_go_of_which_no_score_wants_any(void **state)
{
    (void)state;
    struct fixture f;
    open_world(&f, CARD SUM DAILY OTHER END);
    begin_at(&f, APRIL + 25 * DAY); /* March is 10 days over, and wanted for the trend */
    assert_int_equal(keep_of(&f, "a").dropped_ms, INT64_MIN);
    assert_int_equal(keep_of(&f, "a").until_ms, INT64_MIN);
    world_begin(&f.world, MAY);
    world_settle(&f.world);
    assert_int_equal(keep_of(&f, "a").until_ms, INT64_MIN);
    world_begin(&f.world, MAY + 1);
    world_settle(&f.world);
    assert_int_equal(keep_of(&f, "a").until_ms, APRIL);
    assert_int_equal(keep_of(&f, "b").until_ms, INT64_MIN); /* for 40 days, and carry looks back to March */
    close_world(&f);
}

static void a_month_goes_as_a_whole(void **state)
{
    (void)state;
    struct fixture f;
    open_world(&f, CARD MEASURE("slow", "input: a, aggregate: max, carry: 0, keep: 60d") OTHER END);
    begin_at(&f, MAY + 25 * DAY);
    assert_int_equal(keep_of(&f, "a").until_ms, INT64_MIN);
    world_begin(&f.world, MAY + 30 * DAY);
    assert_int_equal(keep_of(&f, "a").until_ms, APRIL);
    close_world(&f);
}

static void what_is_frozen_takes_no_row_and_is_not_read_again(void **state)
{
    (void)state;
    struct fixture f;
    open_world(&f, CARD SUM DAILY OTHER END);
    begin_at(&f, MAY + 11 * DAY);
    engine_freeze(f.world.engine, "a", APRIL);
    assert_int_equal(keep_of(&f, "a").dropped_ms, APRIL);
    assert_int_equal(engine_frozen_ms(f.world.engine, "c"), APRIL);
    size_t rereads = f.world.rereads;
    assert_int_equal(put(&f, "a", NULL, APRIL - 1, 99), POISE_REFUSAL_FROZEN);
    assert_int_equal(put(&f, "a", "new", APRIL - 1, 99), POISE_REFUSAL_FROZEN);
    assert_int_equal(put(&f, "a", "march", APRIL, 99), POISE_REFUSAL_FROZEN); /* it would leave March */
    assert_int_equal(put(&f, "a", "april", APRIL - 1, 99), POISE_REFUSAL_FROZEN);
    assert_int_equal(retract(&f, "march"), POISE_REFUSAL_FROZEN);
    assert_int_equal(put(&f, "b", NULL, MARCH + 9 * DAY, 1), POISE_REFUSAL_NONE);
    world_settle(&f.world);
    assert_int_equal(f.world.rereads, rereads);
    assert_int_equal(retract(&f, "april"), POISE_REFUSAL_NONE); /* an extreme of what is not frozen */
    world_settle(&f.world);
    assert_true(f.world.rereads > rereads);
    close_world(&f);
}

/* Weeks and months have few ends in common: all of a week that has lost a day is frozen. */
static void a_tile_that_has_lost_rows_is_frozen_whole(void **state)
{
    (void)state;
    struct fixture f;
    open_world(&f, CARD SUM MEASURE("weekly", "input: a, aggregate: last, period: week, carry: 0") OTHER END);
    begin_at(&f, MAY + 11 * DAY);
    engine_freeze(f.world.engine, "a", APRIL); /* a Wednesday */
    assert_int_equal(put(&f, "a", NULL, APRIL + 5 * DAY - 1, 99), POISE_REFUSAL_FROZEN);
    assert_int_equal(put(&f, "a", NULL, APRIL + 5 * DAY, 99), POISE_REFUSAL_NONE);
    close_world(&f);
}

/* The same states as of an engine that has had these definitions all the time. */
static void expect_as_made_anew(struct fixture *f, const char *yaml)
{
    struct fixture anew;
    struct buf filled = {0}, made = {0};
    open_world(&anew, yaml);
    begin_at(&anew, MAY + 11 * DAY);
    dump_states(f->world.engine, &filled);
    dump_states(anew.world.engine, &made);
    assert_same_text(&filled, &made);
    buf_free(&filled);
    buf_free(&made);
    close_world(&anew);
}

static void start_with(struct fixture *f, const char *yaml, struct scorecard **ret_before)
{
    *ret_before = f->card;
    f->card = card_of(yaml);
    f->world.options.cards = (const struct scorecard *const *)&f->card;
    f->world.options.fills = true;
    world_reopen(&f->world);
    engine_freeze(f->world.engine, "a", APRIL);
}

static void other_definitions_get_what_they_lack(void **state)
{
    (void)state;
    const char *yaml = CARD SUM OTHER MEASURE("most", "input: b, aggregate: max, keep: 40d")
        MEASURE("none", "input: d, aggregate: sum") END;
    struct fixture f;
    struct scorecard *before;
    open_world(&f, CARD SUM DAILY OTHER END);
    begin_at(&f, MAY + 11 * DAY);
    start_with(&f, yaml, &before);
    assert_int_equal(engine_fill(f.world.engine, true, NULL), POISE_OK);
    assert_int_equal(engine_fill(f.world.engine, false, NULL), POISE_OK);
    world_settle(&f.world);
    expect_as_made_anew(&f, yaml);
    world_checkpoint(&f.world);
    world_reopen(&f.world); /* now it lacks nothing */
    assert_int_equal(engine_fill(f.world.engine, false, NULL), POISE_OK);
    expect_as_made_anew(&f, yaml);
    close_world(&f);
    scorecard_free(before);
}

static void sums_of_dropped_rows_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct scorecard *before;
    poise_error err = {0};
    open_world(&f, CARD SUM OTHER END);
    begin_at(&f, MAY + 11 * DAY);
    start_with(&f, CARD MEASURE("spread", "input: a, aggregate: stddev") END, &before);
    assert_int_equal(engine_fill(f.world.engine, true, &err), POISE_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "measurements 'a'"));
    assert_int_equal(engine_fill(f.world.engine, false, &err), POISE_EUNSUPPORTED);
    close_world(&f);
    scorecard_free(before);
}

/* As if the state had been stored with other zone data: all its cells are of the one feed that there is. */
static void change_identity(struct world *world)
{
    struct table *cells = &world->tables[ENGINE_CELLS];
    struct buf *head = &world->tables[ENGINE_HEAD].entries[0].value;
    uint8_t little[8];
    assert_true(cells->count > 0);
    for (size_t i = 0; i < sizeof little; i++)
        little[i] = cells->entries[0].key.data[7 - i];
    uint8_t *found = memmem(head->data, head->length, little, sizeof little);
    assert_non_null(found);
    found[0] ^= 1;
    for (size_t i = 0; i < cells->count; i++)
        cells->entries[i].key.data[7] ^= 1;
}

static void other_zone_data_may_serve(void **state)
{
    (void)state;
    static const char yaml[] = CARD SUM END;
    struct fixture f;
    struct scorecard *before[2];
    struct buf shown = {0}, again = {0};
    poise_error err = {0};
    open_world(&f, yaml);
    world_begin(&f.world, MAY + 11 * DAY);
    assert_int_equal(put(&f, "a", NULL, APRIL + 9 * DAY, 7), POISE_REFUSAL_NONE);
    assert_int_equal(put(&f, "a", NULL, MAY + 9 * DAY, 5), POISE_REFUSAL_NONE);
    world_settle(&f.world);
    world_checkpoint(&f.world);
    dump_states(f.world.engine, &shown);
    change_identity(&f.world);
    start_with(&f, yaml, &before[0]);
    assert_int_equal(engine_fill(f.world.engine, true, NULL), POISE_OK);
    assert_int_equal(engine_fill(f.world.engine, false, NULL), POISE_OK);
    dump_states(f.world.engine, &again);
    assert_same_text(&shown, &again);
    f.world.tables[ENGINE_CELLS].entries[0].key.data[19] ^= 1; /* a period begins 1 ms earlier, or later */
    start_with(&f, yaml, &before[1]);
    assert_int_equal(engine_fill(f.world.engine, true, &err), POISE_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "time zone data"));
    buf_free(&shown);
    buf_free(&again);
    close_world(&f);
    scorecard_free(before[0]);
    scorecard_free(before[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_days_may_go_of_which_no_score_wants_any),
        cmocka_unit_test(a_month_goes_as_a_whole),
        cmocka_unit_test(what_is_frozen_takes_no_row_and_is_not_read_again),
        cmocka_unit_test(a_tile_that_has_lost_rows_is_frozen_whole),
        cmocka_unit_test(other_definitions_get_what_they_lack),
        cmocka_unit_test(other_zone_data_may_serve),
        cmocka_unit_test(sums_of_dropped_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
