#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <base/buf.h>
#include <cmocka.h>
#include <math.h>
#include <score/accumulator.h>
#include <stdlib.h>
#include <unit/score/rng.h>

enum {
    ALL_PARTS = (1 << ACCUMULATOR_PARTS) - 1,
    SUM_PARTS = PART_VALUE | PART_OF | PART_PRODUCT | PART_SQUARE,
    SAMPLES = 24,
    ROUNDS = 500
};

struct fixture {
    struct intern sources;
    struct accumulator_layout layout;
    struct accumulator *cell;
    struct rng rng;
};

static struct accumulator *new_cell(const struct accumulator_layout *layout)
{
    struct accumulator *cell = calloc(1, layout->size);
    assert_non_null(cell);
    return cell;
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.rng = {7}};
    /* Ids in another order than the texts. */
    assert_int_equal(intern_add(&fixture.sources, "z", 1), 0);
    assert_int_equal(intern_add(&fixture.sources, "a", 1), 1);
    assert_int_equal(intern_add(&fixture.sources, "", 0), 2);
    fixture.layout = accumulator_layout(ALL_PARTS, &fixture.sources);
    fixture.cell = new_cell(&fixture.layout);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    accumulator_clear(&fixture->layout, fixture->cell);
    free(fixture->cell);
    intern_free(&fixture->sources);
    return 0;
}

static double value(const struct fixture *fixture, enum aggregate aggregate)
{
    bool overflow = false;
    const struct measure measure = {.aggregate = aggregate, .quantile = 50};
    double x = accumulator_value(&fixture->layout, fixture->cell, &measure, &overflow);
    assert_false(overflow);
    return x;
}

static void add(struct fixture *fixture, struct sample sample)
{
    assert_true(accumulator_add(&fixture->layout, fixture->cell, &sample));
}

static void test_every_aggregate(void **state)
{
    struct fixture *f = *state;
    add(f, (struct sample){.time_ms = 20, .value = 4, .of = 2, .source = 1, .rank = 1, .ordinal = 1});
    add(f, (struct sample){.time_ms = 20, .value = 6, .of = 3, .source = 0, .rank = 2, .ordinal = 2});
    add(f, (struct sample){.time_ms = 10, .value = 1, .of = 1, .source = 0, .rank = 3, .ordinal = 3});
    add(f, (struct sample){.time_ms = 15, .value = 9, .of = 4, .source = 2, .rank = 4, .ordinal = 4});
    add(f, (struct sample){.time_ms = 10, .value = 3, .of = 5, .source = 0, .rank = 5, .ordinal = 5});
    assert_int_equal(accumulator_count(f->cell), 5);
    assert_true(value(f, AGGREGATE_SUM) == 23);
    assert_true(value(f, AGGREGATE_COUNT) == 5);
    assert_true(value(f, AGGREGATE_MIN) == 1);
    assert_true(value(f, AGGREGATE_MAX) == 9);
    assert_true(value(f, AGGREGATE_MEAN) == 23.0 / 5);
    assert_true(value(f, AGGREGATE_WEIGHTED_MEAN) == (8 + 18 + 1 + 36 + 15) / 15.0);
    assert_true(value(f, AGGREGATE_RATIO) == 23 / 15.0);
    assert_true(value(f, AGGREGATE_FIRST) == 1);               /* equal times and sources: the lower rank */
    assert_true(value(f, AGGREGATE_LAST) == 6);                /* equal times: source "z" is after "a" */
    assert_true(value(f, AGGREGATE_STDDEV) == sqrt(37.2 / 4)); /* around 4.6 */
    assert_true(value(f, AGGREGATE_QUANTILE) == 4);
    assert_true(accumulator_of(&f->layout, f->cell) == 15);
    assert_true(accumulator_newest(&f->layout, f->cell) == 20);
}

static void test_parts_of_a_measure(void **state)
{
    (void)state;
    struct measure measure = {.aggregate = AGGREGATE_COUNT, .min_of = NAN};
    assert_int_equal(measure_parts(&measure), 0);
    measure.min_of = 1;
    assert_int_equal(measure_parts(&measure), PART_OF);
    measure.max_age_ms = 1;
    assert_int_equal(measure_parts(&measure), PART_OF | PART_NEWEST);
    measure.aggregate = AGGREGATE_STDDEV;
    measure.min_of = NAN;
    assert_int_equal(measure_parts(&measure), PART_VALUE | PART_SQUARE | PART_NEWEST);
    measure.aggregate = AGGREGATE_QUANTILE;
    measure.max_age_ms = 0;
    assert_int_equal(measure_parts(&measure), PART_QUANTILE);
    measure.aggregate = AGGREGATE_FORMULA;
    assert_int_equal(measure_parts(&measure), 0);
}

static void test_deviation_of_one_is_no_data(void **state)
{
    struct fixture *f = *state;
    add(f, (struct sample){.value = 0.1});
    assert_true(isnan(value(f, AGGREGATE_STDDEV)));
    add(f, (struct sample){.value = 0.1});
    assert_true(value(f, AGGREGATE_STDDEV) == 0);
}

static void test_newest(void **state)
{
    struct fixture *f = *state;
    f->layout = accumulator_layout(PART_NEWEST, &f->sources);
    assert_true(accumulator_newest(&f->layout, f->cell) == INT64_MIN);
    struct sample early = {.time_ms = -9}, late = {.time_ms = -5};
    add(f, early);
    assert_true(accumulator_newest(&f->layout, f->cell) == -9);
    add(f, late);
    add(f, early);
    assert_true(accumulator_newest(&f->layout, f->cell) == -5);
    bool reread = false;
    assert_true(accumulator_remove(&f->layout, f->cell, &early, NULL, &reread));
    assert_false(reread);
    assert_true(accumulator_remove(&f->layout, f->cell, &late, NULL, &reread));
    assert_true(reread);
}

static void test_equal_ranks_go_by_the_journal(void **state)
{
    struct fixture *f = *state;
    add(f, (struct sample){.time_ms = 1, .value = 8, .source = 1, .rank = 5, .ordinal = 9});
    add(f, (struct sample){.time_ms = 1, .value = 7, .source = 1, .rank = 5, .ordinal = 4});
    assert_true(value(f, AGGREGATE_FIRST) == 7);
    assert_true(value(f, AGGREGATE_LAST) == 8);
}

static void test_no_data(void **state)
{
    struct fixture *f = *state;
    for (int aggregate = AGGREGATE_SUM; aggregate <= AGGREGATE_FORMULA; aggregate++) {
        assert_true(isnan(value(f, (enum aggregate)aggregate)));
    }
    add(f, (struct sample){.value = 5, .of = 2});
    add(f, (struct sample){.value = 5, .of = -2});
    assert_true(isnan(value(f, AGGREGATE_RATIO)));
    assert_true(isnan(value(f, AGGREGATE_WEIGHTED_MEAN)));
    add(f, (struct sample){.value = 5, .of = -2});
    assert_true(isnan(value(f, AGGREGATE_RATIO)));
}

static void test_minus_zero_is_zero(void **state)
{
    struct fixture *f = *state;
    add(f, (struct sample){.value = -0.0, .of = 1});
    for (int aggregate = AGGREGATE_SUM; aggregate <= AGGREGATE_FORMULA; aggregate++) {
        assert_false(signbit(value(f, (enum aggregate)aggregate)));
    }
}

/* 1e108 additions of 1e100 over a tiny `of`, by way of a checkpoint's bytes. */
static void test_overflow_is_no_data(void **state)
{
    struct fixture *f = *state;
    f->layout = accumulator_layout(PART_VALUE | PART_OF, &f->sources);
    struct exact tiny = {0};
    assert_true(exact_add(&tiny, 1e-100));
    static const uint8_t huge[] = {1, 1, 188, 1}; /* count 1; one byte at place 188 is 2^733 */
    struct buf bytes = {0};
    buf_put(&bytes, huge, sizeof huge);
    exact_encode(&tiny, &bytes);
    struct cursor in = cursor_of(bytes.data, bytes.length);
    assert_int_equal(accumulator_decode(&f->layout, f->cell, &in), POISE_OK);
    assert_true(value(f, AGGREGATE_SUM) == 0x1p733);
    bool overflow = false;
    const struct measure ratio = {.aggregate = AGGREGATE_RATIO};
    assert_true(isnan(accumulator_value(&f->layout, f->cell, &ratio, &overflow)));
    assert_true(overflow);
    buf_free(&bytes);
}

static struct sample random_sample(struct fixture *f, uint64_t ordinal)
{
    return (struct sample){.time_ms = rng_between(&f->rng, 0, 5),
                           .value = (double)rng_between(&f->rng, -20, 20) / 10,
                           .of = (double)rng_between(&f->rng, -2, 9),
                           .source = (uint32_t)rng_between(&f->rng, 0, 2),
                           .rank = (uint64_t)rng_between(&f->rng, 1, 3),
                           .ordinal = ordinal};
}

static struct buf bytes_of(const struct fixture *f, const struct accumulator *cell)
{
    struct buf out = {0};
    accumulator_encode(&f->layout, cell, &out);
    assert_false(out.failed);
    return out;
}

static void assert_same(const struct fixture *f, const struct accumulator *a, const struct accumulator *b)
{
    struct buf left = bytes_of(f, a), right = bytes_of(f, b);
    assert_int_equal(left.length, right.length);
    assert_memory_equal(left.data, right.data, left.length);
    buf_free(&left);
    buf_free(&right);
}

/* Whatever is added and taken away in whatever order: the bytes are those of what is left, or it asks for
 * rereading. */
static void test_taking_away(void **state)
{
    struct fixture *f = *state;
    int rereads = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct sample samples[SAMPLES];
        for (uint64_t i = 0; i < SAMPLES; i++) {
            samples[i] = random_sample(f, i + 1);
            add(f, samples[i]);
        }
        struct accumulator *left = new_cell(&f->layout);
        bool reread = false;
        int64_t kept = rng_between(&f->rng, 0, SAMPLES);
        for (int64_t i = SAMPLES - 1; i >= 0; i--) {
            if (i < kept) {
                assert_true(accumulator_add(&f->layout, left, &samples[i]));
            } else {
                assert_true(accumulator_remove(&f->layout, f->cell, &samples[i], NULL, &reread));
            }
        }
        assert_int_equal(accumulator_count(f->cell), kept);
        rereads += reread;
        if (!reread || kept == 0) {
            assert_same(f, f->cell, left);
        }
        accumulator_clear(&f->layout, left);
        free(left);
        accumulator_clear(&f->layout, f->cell);
    }
    assert_in_range(rereads, 1, ROUNDS - 1);
}

/* Samples are replaced by others, the next one always after the one before is gone: likewise; and what is as
 * extreme as what it replaces asks for nothing. */
static void test_replacing(void **state)
{
    struct fixture *f = *state;
    int rereads = 0, kept = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct sample samples[SAMPLES];
        for (uint64_t i = 0; i < SAMPLES; i++) {
            samples[i] = random_sample(f, i + 1);
            add(f, samples[i]);
        }
        struct accumulator *left = new_cell(&f->layout);
        bool reread = false;
        int64_t changes = rng_between(&f->rng, 0, 3);
        for (int64_t i = 0; i < changes; i++) {
            struct sample *sample = &samples[rng_between(&f->rng, 0, SAMPLES - 1)];
            struct sample next = random_sample(f, (uint64_t)(SAMPLES + i + 1));
            if (rng_between(&f->rng, 0, 3) > 0) { /* a correction of the value alone */
                next.time_ms = sample->time_ms;
                next.source = sample->source;
            }
            assert_true(accumulator_remove(&f->layout, f->cell, sample, &next, &reread));
            add(f, next);
            *sample = next;
        }
        for (size_t i = 0; i < SAMPLES; i++) {
            assert_true(accumulator_add(&f->layout, left, &samples[i]));
        }
        rereads += reread;
        kept += !reread && changes > 0;
        if (!reread) {
            assert_same(f, f->cell, left);
        }
        accumulator_clear(&f->layout, left);
        free(left);
        accumulator_clear(&f->layout, f->cell);
    }
    assert_in_range(rereads, 1, ROUNDS - 1);
    assert_in_range(kept, 1, ROUNDS - 1);
}

static void test_sums_never_reread(void **state)
{
    struct fixture *f = *state;
    f->layout = accumulator_layout(SUM_PARTS, &f->sources);
    struct sample sample = {.value = 3, .of = 4};
    add(f, sample);
    add(f, sample);
    bool reread = false;
    assert_true(accumulator_remove(&f->layout, f->cell, &sample, NULL, &reread));
    assert_false(reread);
    assert_true(value(f, AGGREGATE_WEIGHTED_MEAN) == 3);
}

/* Samples dealt out to cells, which are merged in some order: the bytes are those of one cell that got them
 * all. */
static void test_merging_is_adding_all(void **state)
{
    enum { CELLS = 7 };
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct accumulator *cells[CELLS];
        for (int i = 0; i < CELLS; i++) {
            cells[i] = new_cell(&f->layout);
        }
        int64_t count = rng_between(&f->rng, 0, 140);
        for (int64_t i = 0; i < count; i++) {
            struct sample sample = random_sample(f, (uint64_t)i + 1);
            add(f, sample);
            int64_t cell = rng_between(&f->rng, rng_between(&f->rng, 0, CELLS - 1), CELLS - 1);
            assert_true(accumulator_add(&f->layout, cells[cell], &sample));
        }
        for (int left = CELLS; left > 1; left--) {
            int64_t from = rng_between(&f->rng, 0, left - 1), into = rng_between(&f->rng, 0, left - 2);
            struct accumulator *merged = cells[from];
            cells[from] = cells[left - 1];
            assert_true(accumulator_merge(&f->layout, cells[into], merged));
            accumulator_clear(&f->layout, merged);
            free(merged);
        }
        assert_same(f, f->cell, cells[0]);
        assert_int_equal(accumulator_count(cells[0]), count);
        accumulator_clear(&f->layout, cells[0]);
        free(cells[0]);
        accumulator_clear(&f->layout, f->cell);
    }
}

/* Whether 0 or -0, and which came first, does not show. */
static void test_bytes_know_no_minus_zero(void **state)
{
    struct fixture *f = *state;
    f->layout = accumulator_layout(ALL_PARTS & ~(uint32_t)(PART_FIRST | PART_LAST), &f->sources);
    struct accumulator *other = new_cell(&f->layout);
    struct sample zero = {.value = 0}, minus_zero = {.value = -0.0};
    add(f, zero);
    assert_true(accumulator_add(&f->layout, other, &minus_zero));
    assert_same(f, f->cell, other);
    add(f, minus_zero);
    assert_true(accumulator_add(&f->layout, other, &zero));
    assert_same(f, f->cell, other);
    accumulator_clear(&f->layout, other);
    free(other);
}

static void test_bytes_read_back(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        f->layout = accumulator_layout((uint32_t)rng_between(&f->rng, 0, ALL_PARTS), &f->sources);
        struct accumulator *copy = new_cell(&f->layout);
        int64_t count = rng_between(&f->rng, 0, rng_between(&f->rng, 0, 9) ? 4 : 90);
        for (int64_t i = 0; i < count; i++) {
            add(f, random_sample(f, (uint64_t)i + 1));
        }
        struct buf bytes = bytes_of(f, f->cell);
        struct cursor in = cursor_of(bytes.data, bytes.length);
        assert_int_equal(accumulator_decode(&f->layout, copy, &in), POISE_OK);
        assert_int_equal(cursor_left(&in), 0);
        assert_same(f, f->cell, copy);
        accumulator_clear(&f->layout, copy);
        for (size_t length = 0; length < bytes.length; length++) {
            in = cursor_of(bytes.data, length);
            assert_int_equal(accumulator_decode(&f->layout, copy, &in), POISE_ECORRUPT);
        }
        buf_free(&bytes);
        free(copy);
        accumulator_clear(&f->layout, f->cell);
    }
}

static void test_unknown_source_is_damage(void **state)
{
    struct fixture *f = *state;
    add(f, (struct sample){.value = 1, .of = 1, .source = 2});
    struct buf bytes = bytes_of(f, f->cell);
    struct intern one = {0};
    assert_int_equal(intern_add(&one, "z", 1), 0);
    struct accumulator_layout layout = accumulator_layout(ALL_PARTS, &one);
    struct accumulator *copy = new_cell(&layout);
    struct cursor in = cursor_of(bytes.data, bytes.length);
    assert_int_equal(accumulator_decode(&layout, copy, &in), POISE_ECORRUPT);
    free(copy);
    intern_free(&one);
    buf_free(&bytes);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_every_aggregate),
        with_fixture(test_parts_of_a_measure),
        with_fixture(test_deviation_of_one_is_no_data),
        with_fixture(test_newest),
        with_fixture(test_equal_ranks_go_by_the_journal),
        with_fixture(test_no_data),
        with_fixture(test_minus_zero_is_zero),
        with_fixture(test_overflow_is_no_data),
        with_fixture(test_taking_away),
        with_fixture(test_replacing),
        with_fixture(test_sums_never_reread),
        with_fixture(test_merging_is_adding_all),
        with_fixture(test_bytes_know_no_minus_zero),
        with_fixture(test_bytes_read_back),
        with_fixture(test_unknown_source_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
