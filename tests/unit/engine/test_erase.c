/* What an operator has erased counts no more, and its key says so; nothing else changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <unit/engine/small_world.h>

#define HOUR INT64_C(3600000)

/* The rows that were given from that one on, which nobody reads again from now on. */
static size_t erase_from(struct fixture *f, size_t first)
{
    struct engine_erased rows[8];
    size_t count = 0, counted = SIZE_MAX;
    for (size_t i = first; i < f->world.row_count; i++) {
        struct past *past = &f->world.rows[i];
        poise_refusal refusal;
        past->refusal = POISE_REFUSAL_MALFORMED;
        rows[count] = (struct engine_erased){.ordinal = past->ordinal, .row = past->row};
        assert_int_equal(engine_series(f->world.engine, past->measure, past->org, past->source,
                                       &rows[count].series, &refusal, NULL),
                         POISE_OK);
        assert_non_null(rows[count++].series);
    }
    engine_skip(f->world.engine);
    assert_int_equal(engine_erase(f->world.engine, rows, count, &counted, NULL), POISE_OK);
    return counted;
}

static void test_it_counts_no_more(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "x", 3));
    accept(f, event("b", "", 5));
    accept(f, keyed("k", 0, 2));
    size_t first = f->world.row_count;
    accept(f, event("a", "x", 4));
    accept(f, event("b", "x", 7));
    accept(f, keyed("l", 0, 6));
    assert_true(sum(f) == 15 && max(f) == 7);
    assert_int_equal(erase_from(f, first), 3);
    assert_true(sum(f) == 5 && max(f) == 5);
    assert_true(value_at(f, "card/p/o/sum", "x") == 3);
    world_settle(&f->world);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    assert_true(sum(f) == 5 && max(f) == 5);
}

static void test_gains_of_the_settle_at_hand(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "", 1));
    world_settle(&f->world);
    accept(f, event("a", "", 2));
    accept(f, event("a", "", 4));
    size_t first = f->world.row_count;
    accept(f, event("a", "", 8));
    assert_int_equal(erase_from(f, first), 1);
    assert_true(sum(f) == 7);
}

static void test_its_key_stays(void **state)
{
    struct fixture *f = *state;
    accept(f, event("a", "", 10));
    accept(f, keyed("k", 3, 1));
    size_t first = f->world.row_count;
    accept(f, keyed("k", 5, 2));
    assert_int_equal(erase_from(f, first), 1);
    assert_true(sum(f) == 10); /* what it replaced does not come back */
    world_settle(&f->world);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    accept(f, keyed("k", 4, 1)); /* older: it says nothing */
    assert_true(sum(f) == 10);
    assert_int_equal(give(f, keyed("k", 5, 2)), POISE_REFUSAL_SEQ_CONFLICT);
    accept(f, keyed("k", 6, 9));
    struct engine_gone gone;
    assert_false(engine_gone(f->world.engine, &gone)); /* what was erased cannot go again */
    assert_true(sum(f) == 19);
}

static void test_what_was_replaced_counts_no_less(void **state)
{
    struct fixture *f = *state;
    accept(f, keyed("k", 3, 1));
    accept(f, keyed("k", 5, 2));
    poise_measurement again = keyed("k", 4, 8); /* beaten */
    size_t first = f->world.row_count;
    accept(f, again);
    assert_int_equal(erase_from(f, first), 0);
    assert_true(sum(f) == 2);
}

static size_t stored_future(const struct fixture *f)
{
    return f->world.tables[ENGINE_FUTURE].count;
}

static void give_future(struct fixture *f)
{
    poise_measurement plain = event("a", "", 3), with_key = keyed("k", 1, 4), other = event("a", "", 1);
    plain.time_ms = with_key.time_ms = MARCH + DAY + HOUR / 2;
    other.time_ms = plain.time_ms;
    accept(f, other);
    accept(f, plain);
    accept(f, with_key);
}

static void test_of_the_future(void **state)
{
    struct fixture *f = *state;
    give_future(f);
    assert_int_equal(erase_from(f, 1), 2);
    world_settle(&f->world);
    world_checkpoint(&f->world);
    assert_int_equal(stored_future(f), 1);
    world_begin(&f->world, MARCH + DAY + HOUR);
    assert_true(sum(f) == 1);
}

static void test_of_the_stored_future(void **state)
{
    struct fixture *f = *state;
    give_future(f);
    world_settle(&f->world);
    world_checkpoint(&f->world);
    assert_int_equal(stored_future(f), 3);
    world_reopen(&f->world);
    assert_int_equal(erase_from(f, 1), 2);
    world_settle(&f->world);
    world_checkpoint(&f->world);
    assert_int_equal(stored_future(f), 1);
    world_reopen(&f->world);
    world_begin(&f->world, MARCH + DAY + HOUR);
    assert_true(sum(f) == 1);
}

static void test_its_org_stays(void **state)
{
    struct fixture *f = *state;
    int at_x = 0;
    world_settle(&f->world);
    assert_int_equal(engine_states(f->world.engine, "card", "x", count_visit, &at_x, NULL), POISE_ENOTFOUND);
    assert_int_equal(engine_see_org(f->world.engine, "a", "x", NULL), POISE_OK);
    assert_int_equal(engine_see_org(f->world.engine, "other", "y", NULL), POISE_OK);
    world_settle(&f->world);
    assert_int_equal(engine_states(f->world.engine, "card", "x", count_visit, &at_x, NULL), POISE_OK);
    assert_true(at_x > 0);
    assert_int_equal(engine_states(f->world.engine, "card", "y", count_visit, &at_x, NULL), POISE_ENOTFOUND);
    world_checkpoint(&f->world);
    world_reopen(&f->world);
    assert_int_equal(engine_states(f->world.engine, "card", "x", count_visit, &at_x, NULL), POISE_OK);
}

#define ERASE_TEST(name) cmocka_unit_test_setup_teardown(name, small_setup, small_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ERASE_TEST(test_it_counts_no_more), ERASE_TEST(test_gains_of_the_settle_at_hand),
        ERASE_TEST(test_its_key_stays),     ERASE_TEST(test_what_was_replaced_counts_no_less),
        ERASE_TEST(test_of_the_future),     ERASE_TEST(test_of_the_stored_future),
        ERASE_TEST(test_its_org_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
