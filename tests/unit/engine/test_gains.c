/* Rows of a series that are added up by themselves before they reach its cells: what would see a difference.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unit/engine/revised.h>

static const char yaml[] =
    "scorecard: c\n"
    "min_coverage: 0\n"
    "perspectives:\n"
    "  - id: p\n"
    "    objectives:\n"
    "      - id: o\n"
    "        measures:\n"
    "          - {id: sum, input: a, aggregate: sum, carry: 0, score: {linear: {from: 0, to: 100}}}\n"
    "          - {id: max, input: b, aggregate: max, score: {linear: {from: 0, to: 100}}}\n"
    "          - {id: day, input: a, aggregate: sum, period: day, score: {linear: {from: 0, to: 100}}}\n";

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

static void give(struct revised *f, const char *measure, const char *key, int64_t time_ms, double value)
{
    revised_give(f, (poise_measurement){.measure = measure,
                                        .org = "plant/line",
                                        .key = key,
                                        .time_ms = time_ms,
                                        .value = value,
                                        .of = 1});
}

static void retract(struct revised *f, const char *measure, const char *key)
{
    revised_give(f,
                 (poise_measurement){.measure = measure, .org = "plant/line", .key = key, .retract = true});
}

/* At the line, the plant and the root alike. */
static void expect(const struct revised *f, const char *measure, int64_t count, double value)
{
    static const char *const orgs[] = {"", "plant", "plant/line"};
    struct picture picture = {0};
    picture_take(&picture, f->world.engine, "c");
    for (size_t i = 0; i < 3; i++) {
        char place[64];
        snprintf(place, sizeof place, "%s c/p/o/%s", orgs[i], measure);
        const struct shown *shown = picture_find(&picture, place);
        assert_non_null(shown);
        assert_int_equal(shown->numbers.count, count);
        assert_true(shown->numbers.value == value);
    }
    picture_clear(&picture);
}

static void test_what_was_gained_can_be_taken_away(void **state)
{
    struct revised *f = *state;
    give(f, "a", "one", MARCH + DAY, 1);
    give(f, "a", "two", MARCH + DAY, 2);
    give(f, "a", "three", MARCH + DAY, 4);
    retract(f, "a", "two");
    give(f, "a", NULL, MARCH + DAY, 8);
    give(f, "a", "one", MARCH + DAY, 16);
    revised_settle(f);
    expect(f, "sum", 3, 28);
    retract(f, "a", "three"); /* of an earlier settle */
    revised_settle(f);
    expect(f, "sum", 2, 24);
}

/* Its rows are read again, those that were gained meanwhile, too. */
static void test_an_extreme_is_taken_away(void **state)
{
    struct revised *f = *state;
    give(f, "b", "one", MARCH + DAY, 10);
    give(f, "b", "two", MARCH + DAY, 50);
    retract(f, "b", "two");
    for (int i = 0; i < 5; i++) {
        give(f, "b", NULL, MARCH + DAY, 20 + i);
    }
    revised_settle(f);
    expect(f, "max", 6, 24);
    assert_int_equal(f->world.rereads, 1);
}

static void test_tiles_take_turns(void **state)
{
    struct revised *f = *state;
    for (int i = 0; i < 20; i++) {
        give(f, "a", NULL, MARCH + 9 * DAY + (i % 7 < 4 ? HOUR : -HOUR), 1);
    }
    give(f, "a", NULL, MARCH + 9 * DAY - HOUR, 1);
    give(f, "a", NULL, MARCH + 9 * DAY - HOUR, 1);
    revised_settle(f);
    expect(f, "sum", 22, 22);
    expect(f, "day", 12, 12);
}

/* Also without a settle between the rows and the end of the grace. */
static void test_what_came_before_the_close_is_not_late(void **state)
{
    struct revised *f = *state;
    give(f, "a", NULL, MARCH + DAY, 1); /* the scorecard is there */
    revised_settle(f);
    revised_begin(f, APRIL + DAY);
    for (int i = 0; i < 3; i++) {
        give(f, "a", NULL, APRIL - DAY, 10);
    }
    revised_begin(f, APRIL + 2 * DAY);
    give(f, "a", NULL, APRIL - DAY, 10);
    give(f, "a", NULL, APRIL - DAY, 10);
    revised_settle(f);
    revised_check(f);
    const struct told *told = revised_find(f, "plant c/p/o/sum", APRIL);
    assert_non_null(told);
    assert_true(told->replaced == 31 && told->numbers.score == 51);
}

static void test_what_fell_due_before_the_close_is_not_late(void **state)
{
    struct revised *f = *state;
    give(f, "a", NULL, MARCH + DAY, 1);
    revised_settle(f);
    revised_begin(f, APRIL - 60000);
    for (int i = 0; i < 3; i++) {
        give(f, "a", NULL, APRIL - 30000, 10);
    }
    revised_begin(f, APRIL + 2 * DAY);
    give(f, "a", NULL, APRIL - DAY, 10);
    give(f, "a", NULL, APRIL - DAY, 10);
    revised_settle(f);
    revised_check(f);
    const struct told *told = revised_find(f, " c/p/o/sum", APRIL);
    assert_non_null(told);
    assert_true(told->replaced == 31 && told->numbers.score == 51);
}

static void test_no_checkpoint_without_what_was_gained(void **state)
{
    struct revised *f = *state;
    for (int i = 0; i < 3; i++) {
        give(f, "a", NULL, MARCH + DAY, 10);
    }
    revised_settle(f);
    give(f, "a", NULL, MARCH + DAY, 10);
    give(f, "a", NULL, MARCH + DAY, 10);
    assert_true(engine_dirty(f->world.engine));
    revised_settle(f);
    world_checkpoint(&f->world);
    give(f, "a", NULL, MARCH + DAY, 10); /* lost with the engine, as are those that it gains */
    give(f, "a", NULL, MARCH + DAY, 10);
    world_reopen(&f->world);
    expect(f, "sum", 5, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_gained_can_be_taken_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_extreme_is_taken_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tiles_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_came_before_the_close_is_not_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_fell_due_before_the_close_is_not_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_checkpoint_without_what_was_gained, setup, teardown),
    };
    return cmocka_run_group_tests_name("engine_gains", tests, NULL, NULL);
}
