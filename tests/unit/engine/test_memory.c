/* The engine's life with the n-th allocation failing, for all n: it says so, holds together and leaks
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unit/engine/cards.h>
#include <unit/engine/world.h>

#define MARCH INT64_C(1772323200000) /* 2026-03-01 */
#define DAY   INT64_C(86400000)

enum { ROWS = 40, LATE = 8 }; /* the last come when the days that they are of are closed */

static long until_failure = -1; /* allocations that still succeed; below 0: all do */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails_now() ? NULL : __real_reallocarray(old, count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

/* Events and keys, late and ahead, with extremes that are taken away. */
static poise_measurement row_of(int i)
{
    static const char *const measures[] = {"a", "b", "c", "d"};
    static const char *const orgs[] = {"", "p1/l1", "p2"};
    static const char *const keys[] = {NULL, "k", "l"};
    return (poise_measurement){.measure = measures[i % 4],
                               .org = orgs[i / 3 % 3],
                               .source = i % 2 ? "s" : "r",
                               .key = keys[i / 2 % 3],
                               .time_ms = MARCH + (i % 7 - 4) * DAY / 2,
                               .value = i % 5 ? 1e-90 * i : -3e80,
                               .of = 2,
                               .retract = keys[i / 2 % 3] && i % 11 == 0};
}

static poise_code ignore(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

static bool revised; /* some revision was seen */

static poise_code note_revision(void *visitor, const poise_state *state)
{
    (void)visitor;
    revised |= state->revision > 0;
    return POISE_OK;
}

static poise_code take(void *writer, enum engine_table table, const void *key, size_t key_length,
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

static poise_code apply_past(struct engine *engine, const struct past *past)
{
    struct engine_series *series;
    poise_refusal refusal;
    poise_code code = engine_series(engine, past->measure, past->org, past->source, &series, &refusal, NULL);
    return code ? code : engine_apply(engine, series, &past->row, INT64_MAX, &refusal, NULL);
}

static poise_code apply_until(struct engine *engine, const struct world *world, size_t rows)
{
    poise_code code = POISE_OK;
    for (size_t i = (size_t)engine_ordinal(engine); !code && i < rows; i++) {
        code = apply_past(engine, &world->rows[i]);
    }
    return code;
}

/* Opens from the world's tables, takes the rows that came after them, settles, writes out, shows. */
static poise_code live(struct world *world, bool offline, struct engine **ret_engine)
{
    struct engine_options options = world->options;
    options.offline = offline;
    options.ports = offline ? (struct engine_ports){0} : options.ports;
    poise_code code = engine_open(&options, ret_engine, NULL);
    code = code ? code : engine_begin(*ret_engine, MARCH, NULL);
    size_t in_time = offline ? world->row_count : world->row_count - LATE;
    code = code ? code : apply_until(*ret_engine, world, in_time);
    code = code ? code : engine_settle(*ret_engine, SIZE_MAX, ignore, NULL, NULL);
    code = code ? code : engine_begin(*ret_engine, MARCH + 6 * DAY, NULL);
    code = code || offline ? code : apply_until(*ret_engine, world, world->row_count);
    code = code ? code : engine_settle(*ret_engine, 1, ignore, NULL, NULL);
    code = code ? code : engine_settle(*ret_engine, SIZE_MAX, note_revision, NULL, NULL);
    code = code || offline ? code : engine_checkpoint(*ret_engine, take, NULL, NULL);
    if (!code && !offline) {
        engine_checkpoint_done(*ret_engine);
    }
    return code ? code : engine_states(*ret_engine, NULL, NULL, ignore, NULL, NULL);
}

static void fail_everywhere(bool offline)
{
    struct scorecard *cards[] = {card_of(first_card), card_of(second_card), card_of(third_card)};
    const struct engine_options options = {
        .cards = (const struct scorecard *const *)cards, .card_count = 3, .max_orgs = 100, .max_series = 100};
    struct world world;
    world_open(&world, &options);
    world_begin(&world, MARCH - DAY);
    for (int i = 0; i < ROWS; i++) {
        poise_measurement row = row_of(i);
        assert_int_equal(world_apply(&world, &row, INT64_MAX), POISE_REFUSAL_NONE);
        if (i == ROWS / 2) {
            world_settle(&world);
            world_checkpoint(&world);
        }
    }
    long n = 0;
    revised = false;
    do {
        struct engine *engine = NULL;
        until_failure = n++;
        poise_code code = live(&world, offline, &engine);
        assert_true(code == POISE_ENOMEM || code == POISE_OK); /* that shrinking fails is no failure */
        engine_close(engine);
    } while (until_failure < 0);
    assert_true(n > 100 && revised == !offline);
    until_failure = -1;
    world_close(&world);
    scorecard_free(cards[0]);
    scorecard_free(cards[1]);
    scorecard_free(cards[2]);
}

static void test_live(void **state)
{
    (void)state;
    fail_everywhere(false);
}

static void test_offline(void **state)
{
    (void)state;
    fail_everywhere(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_offline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
