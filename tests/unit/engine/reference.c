#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <score/evaluate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/reference.h>

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

/* ---- pictures ---- */

poise_code picture_add(void *visitor, const poise_state *state)
{
    struct picture *picture = visitor;
    if (picture->count == picture->capacity) {
        picture->capacity = picture->capacity ? 2 * picture->capacity : 64;
        picture->items = reallocarray(picture->items, picture->capacity, sizeof *picture->items);
        assert_non_null(picture->items);
    }
    struct shown *shown = &picture->items[picture->count++];
    *shown = (struct shown){.numbers = state->numbers, .as_of_ms = state->as_of_ms};
    assert_true(asprintf(&shown->place, "%s %s", state->org, state->node) > 0);
    return POISE_OK;
}

const struct shown *picture_find(const struct picture *picture, const char *place)
{
    for (size_t i = 0; i < picture->count; i++) {
        if (strcmp(picture->items[i].place, place) == 0) {
            return &picture->items[i];
        }
    }
    return NULL;
}

void picture_clear(struct picture *picture)
{
    for (size_t i = 0; i < picture->count; i++) {
        free(picture->items[i].place);
    }
    free(picture->items);
    *picture = (struct picture){0};
}

void picture_take(struct picture *picture, const struct engine *engine, const char *card)
{
    picture_clear(picture);
    assert_int_equal(engine_states(engine, card, NULL, picture_add, picture, NULL), POISE_OK);
}

void assert_same_pictures(const struct picture *got, const struct picture *wanted)
{
    assert_int_equal(got->count, wanted->count);
    for (size_t i = 0; i < got->count; i++) {
        const struct shown *a = &got->items[i], *b = &wanted->items[i];
        assert_string_equal(a->place, b->place);
        assert_int_equal(a->as_of_ms, b->as_of_ms);
        if (!score_equal(&a->numbers, &b->numbers)) {
            fail_msg("%s as of %lld: value %.17g score %.17g trend %.17g flags %u, is %.17g %.17g %.17g %u",
                     a->place, (long long)a->as_of_ms, a->numbers.value, a->numbers.score, a->numbers.trend,
                     a->numbers.flags, b->numbers.value, b->numbers.score, b->numbers.trend,
                     b->numbers.flags);
        }
    }
}

/* ---- offline ---- */

struct engine *reference_open(const struct engine_options *options, const struct world *world, size_t rows)
{
    struct engine_options offline = *options;
    struct engine *reference;
    offline.offline = true;
    offline.ports = (struct engine_ports){0};
    assert_int_equal(engine_open(&offline, &reference, NULL), POISE_OK);
    assert_int_equal(engine_begin(reference, TIME_MIN_MS, NULL), POISE_OK);
    for (size_t i = 0; i < rows; i++) {
        const struct past *row = &world->rows[i];
        if (row->refusal == POISE_REFUSAL_LOCKED || row->refusal == POISE_REFUSAL_TIME_AHEAD) {
            engine_skip(reference); /* of locks and the clock offline knows nothing */
        } else {
            assert_int_equal(past_apply(reference, row, INT64_MAX), row->refusal);
        }
    }
    return reference;
}

static poise_code ignore(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

void reference_move(struct engine *reference, int64_t as_of_ms)
{
    assert_int_equal(engine_begin(reference, as_of_ms, NULL), POISE_OK);
    assert_int_equal(engine_settle(reference, SIZE_MAX, ignore, NULL, NULL), POISE_OK);
}

/* ---- rows ---- */

static const char *one_of(struct rng *rng, const char *const *choices, int64_t count)
{
    return choices[rng_between(rng, 0, count - 1)];
}

poise_measurement random_row(struct rng *rng, int64_t now_ms, int64_t latest_days)
{
    static const char *const measures[] = {"a", "b", "c", "d", "l", "a"};
    static const char *const orgs[] = {"", "p1", "p1/l1", "p1/l2", "p2", "p2/l1/c", "p10"};
    static const char *const sources[] = {"", "s"};
    static const char *const keys[] = {"k1", "k2", "k3", "k4", "k5", NULL, NULL, NULL, NULL, NULL};
    poise_measurement row = {.measure = one_of(rng, measures, 6),
                             .org = one_of(rng, orgs, 7),
                             .source = one_of(rng, sources, 2),
                             .key = one_of(rng, keys, 10),
                             .time_ms = now_ms,
                             .value = (double)rng_between(rng, -90, 90) / 10,
                             .of = (double)rng_between(rng, -1, 4),
                             .seq = (uint64_t)(rng_between(rng, 0, 3) ? 0 : rng_between(rng, 1, 900))};
    if (rng_between(rng, 0, 9) < 6) {
        row.time_ms -= rng_between(rng, 0, 2 * latest_days) * DAY / 2;
        row.time_ms -= row.time_ms % HOUR;
    }
    if (row.measure[0] == 'l') {
        row.value = (double)rng_between(rng, 1, 2);
    }
    row.retract = row.key && rng_between(rng, 0, 4) == 0;
    return row;
}
