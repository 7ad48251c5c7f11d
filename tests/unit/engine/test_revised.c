/* Random lives of stores: every revision of every closed period, and no other, whatever comes late, moves or
 * is taken away; the same ones again after a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/evaluate.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/cards.h>
#include <unit/engine/revised.h>

/* Graces, and periods that fit into none of the scorecard's. */
static const char *const graceful_card =
    "scorecard: graceful\n"
    "name: Graceful\n"
    "timezone: Europe/London\n"
    "period: week\n"
    "grace: 1d\n"
    "tick: 7h\n"
    "perspectives:\n"
    "  - id: p\n"
    "    name: P\n"
    "    objectives:\n"
    "      - id: o\n"
    "        name: O\n"
    "        min_coverage: 0.1\n"
    "        measures:\n"
    "          - {id: month, name: M, input: a, aggregate: max, period: month, grace: 4d, score: {linear: "
    "{from: -9, to: 9}}}\n"
    "          - {id: closed, name: C, input: b, aggregate: min, period: month, basis: closed, score: "
    "{linear: "
    "{from: -9, to: 9}}}\n"
    "          - {id: day, name: D, input: c, aggregate: last, period: day, carry: 9, grace: 5h, score: "
    "{linear: {from: -9, to: 9}}}\n"
    "          - {id: half, name: H, input: d, aggregate: p50, period: half, score: {milestone: {planned: "
    "[{on: "
    "2026-03-02, value: 1}, {on: 2026-03-20, value: 9}]}}}\n"
    "          - {id: near, name: N, input: a, aggregate: max, rolling: 50h, carry: 3, score: {linear: "
    "{from: "
    "-9, to: 9}}}\n"
    "          - {id: each, name: E, input: b, aggregate: sum, across_orgs: max, score: {linear: {from: -9, "
    "to: "
    "9}}}\n"
    "          - {id: own, name: W, input: b, aggregate: sum, roll_up: none, score: {linear: {from: -9, to: "
    "9}}}\n"
    "          - {id: made, name: Z, formula: near + each, orgs: ['', p1], critical: true, score: {linear: "
    "{from: -9, to: 9}}}\n";

enum { COMMITS = 30, PAIRS = 2, ROUNDS = 2, SINCE_MAX = COMMITS };

struct done { /* a commit since the last checkpoint */
    int64_t as_of_ms;
    size_t rows, told; /* that there were after it */
};

struct life {
    struct revised *f;
    struct rng rng;
    struct done since[SINCE_MAX];
    size_t since_count;
    size_t told_saved; /* revisions that there were at the checkpoint */
};

static void give_some(struct life *life, int64_t most)
{
    struct world *world = &life->f->world;
    for (int64_t i = rng_between(&life->rng, 0, most); i > 0; i--) {
        poise_measurement row = random_row(&life->rng, engine_as_of_ms(world->engine), 35);
        (void)world_apply(world, &row, INT64_MAX);
    }
}

/* At once, or in slices, between which more comes: that is all of one settle. */
static void settle(struct life *life)
{
    struct revised *f = life->f;
    if (rng_between(&life->rng, 0, 1)) {
        revised_settle(f);
        return;
    }
    while (!revised_settle_slice(f, (size_t)rng_between(&life->rng, 1, 200))) {
        assert_int_equal(f->told_count, f->first_told);
        if (rng_between(&life->rng, 0, 15) == 0) {
            give_some(life, 3);
        }
    }
}

static void commit(struct life *life, int64_t as_of_ms)
{
    struct revised *f = life->f;
    revised_begin(f, as_of_ms);
    give_some(life, 6);
    settle(life);
    revised_check(f);
    life->since[life->since_count++] = (struct done){as_of_ms, f->world.row_count, f->told_count};
}

static void checkpoint(struct life *life)
{
    world_checkpoint(&life->f->world);
    life->since_count = 0;
    life->told_saved = life->f->told_count;
}

static void assert_same_told(const struct told *a, const struct told *b)
{
    assert_string_equal(a->place, b->place);
    assert_int_equal(a->end_ms, b->end_ms);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->cause, b->cause);
    assert_true(a->replaced == b->replaced || (isnan(a->replaced) && isnan(b->replaced)));
    assert_true(score_equal(&a->numbers, &b->numbers));
}

/* Commits since the checkpoint are made again from the journal, and tell the same. */
static void crash(struct life *life)
{
    struct revised *f = life->f;
    size_t told = f->told_count;
    world_reopen(&f->world);
    size_t row = (size_t)engine_ordinal(f->world.engine), first = life->told_saved;
    for (size_t i = 0; i < life->since_count; i++) {
        world_begin(&f->world, life->since[i].as_of_ms);
        for (; row < life->since[i].rows; row++) {
            assert_int_equal(past_apply(f->world.engine, &f->world.rows[row], INT64_MAX),
                             f->world.rows[row].refusal);
        }
        revised_settle(f);
        assert_int_equal(f->told_count - told, life->since[i].told - first);
    }
    for (size_t i = told; i < f->told_count; i++) { /* in any order within a commit */
        const struct told *again = &f->told[i], *before = NULL;
        for (size_t j = first; j < told && !before; j++) {
            bool is_it = f->told[j].end_ms == again->end_ms && f->told[j].number == again->number &&
                         strcmp(f->told[j].place, again->place) == 0;
            before = is_it ? &f->told[j] : NULL;
        }
        assert_non_null(before);
        assert_same_told(again, before);
    }
    while (f->told_count > told) {
        free(f->told[--f->told_count].place);
    }
}

static size_t live(struct revised *f, const char *const cards[2], uint64_t seed)
{
    struct life life = {.f = f, .rng = {seed}};
    revised_open(f, cards[0], cards[1]);
    f->world.options.max_cells = (size_t)rng_between(&life.rng, 0, 1) * 1000;
    world_reopen(&f->world);
    int64_t as_of_ms = MARCH + 3 * DAY;
    world_begin(&f->world, as_of_ms);
    world_settle(&f->world);
    checkpoint(&life);
    for (int i = 0; i < COMMITS; i++) {
        commit(&life, as_of_ms);
        if (rng_between(&life.rng, 0, 5) == 0) {
            checkpoint(&life);
        }
        if (rng_between(&life.rng, 0, 5) == 0) {
            crash(&life);
        }
        as_of_ms += rng_between(&life.rng, 0, 2) * rng_between(&life.rng, 0, 40) * HOUR;
    }
    size_t told = f->told_count;
    revised_close(f);
    return told;
}

static void test_every_revision_and_no_other(void **state)
{
    (void)state;
    const char *const cards[PAIRS][2] = {{first_card, second_card}, {third_card, graceful_card}};
    for (uint64_t pair = 0; pair < PAIRS; pair++) {
        size_t told = 0;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            struct revised f;
            told += live(&f, cards[pair], 100 * pair + round);
        }
        assert_true(told > ROUNDS * COMMITS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_revision_and_no_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
