/* References: a sorted array of all values; for buckets the powers of 101/99 in 128-bit integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <base/buf.h>
#include <cmocka.h>
#include <math.h>
#include <score/accumulator.h>
#include <score/limbs.h>
#include <score/quantile.h>
#include <stdlib.h>
#include <string.h>
#include <unit/score/rng.h>

enum { VALUES = 300, ROUNDS = 300, LOWEST_BUCKET = -11512, HIGHEST_BUCKET = 11513 };

/* digits * 2^exponent, digits from 2^119 to 2^120: gamma^i with an error below 2^-104. No double is closer to
 * one than 2^-71. */
struct bound {
    u128 digits;
    int exponent;
};

static const struct bound one = {(u128)1 << 119, -119};

static void step(struct bound *bound, bool up)
{
    bound->digits = up ? bound->digits * 101 / 99 : bound->digits * 99 / 101;
    if (bound->digits >> 120) {
        bound->digits >>= 1;
        bound->exponent++;
    } else if (!(bound->digits >> 119)) {
        bound->digits <<= 1;
        bound->exponent--;
    }
}

static double below(const struct bound *bound)
{
    return ldexp((double)(uint64_t)(bound->digits >> 67), bound->exponent + 67);
}

/* The doubles on both sides of each bound are in the buckets on both sides. */
static void test_every_bound(void **state)
{
    (void)state;
    for (int up = 0; up <= 1; up++) {
        struct bound bound = one;
        for (int i = 0; i >= LOWEST_BUCKET - 1 && i <= HIGHEST_BUCKET; i += up ? 1 : -1) {
            double size = below(&bound);
            assert_int_equal(quantile_bucket(size), i);
            assert_int_equal(quantile_bucket(nextafter(size, INFINITY)), i + 1);
            assert_true(fabs(quantile_estimate(i) - 0.99 * size) <= 0x1p-51 * size);
            assert_true(fabs(quantile_estimate(i) - size) <= (0.01 + 0x1p-50) * size);
            assert_true(fabs(quantile_estimate(i + 1) - size) <= (0.01 + 0x1p-50) * size);
            step(&bound, up);
        }
    }
    assert_int_equal(quantile_bucket(1e-100), LOWEST_BUCKET);
    assert_int_equal(quantile_bucket(1e100), HIGHEST_BUCKET);
}

struct fixture {
    struct accumulator_layout layout;
    struct accumulator *cell, *other;
    struct rng rng;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.rng = {21}, .layout = accumulator_layout(PART_QUANTILE, NULL)};
    fixture.cell = calloc(1, fixture.layout.size);
    fixture.other = calloc(1, fixture.layout.size);
    *state = &fixture;
    return fixture.cell && fixture.other ? 0 : -1;
}

static void clear(struct fixture *f)
{
    accumulator_clear(&f->layout, f->cell);
    accumulator_clear(&f->layout, f->other);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    clear(f);
    free(f->cell);
    free(f->other);
    return 0;
}

static void add(struct fixture *f, struct accumulator *cell, double value)
{
    assert_true(accumulator_add(&f->layout, cell, &(struct sample){.value = value}));
}

/* Whether it asks for a reread. */
static bool take(struct fixture *f, struct accumulator *cell, double value)
{
    bool reread = false;
    assert_true(accumulator_remove(&f->layout, cell, &(struct sample){.value = value}, NULL, &reread));
    return reread;
}

static double quantile(const struct fixture *f, const struct accumulator *cell, int percent)
{
    const struct measure measure = {.aggregate = AGGREGATE_QUANTILE, .quantile = percent};
    bool overflow = false;
    double x = accumulator_value(&f->layout, cell, &measure, &overflow);
    assert_false(overflow);
    return x;
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

/* Of one of several characters: many equal ones, both signs and 0, all sizes there are. */
static void random_values(struct rng *rng, double *x, size_t count)
{
    int64_t character = rng_between(rng, 0, 2);
    for (size_t i = 0; i < count; i++) {
        double share = (double)rng_between(rng, -1000000, 1000000) / 1000001;
        x[i] = character == 0   ? (double)rng_between(rng, -3, 3)
               : character == 1 ? 1000 * share
                                : copysign(pow(10, 100 * share), (double)rng_between(rng, -1, 0));
    }
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The estimate of x as one would write it down; no random value is so close to a bound that it matters. */
static double estimate(double x)
{
    const double gamma = 1.01 / 0.99;
    double i = ceil(log(fabs(x)) / log(gamma));
    return x == 0 ? 0 : copysign(2 * pow(gamma, i) / (gamma + 1), x);
}

static void assert_quantiles(const struct fixture *f, const struct accumulator *cell, double *x, size_t count)
{
    qsort(x, count, sizeof *x, by_value);
    for (size_t percent = 1; percent <= 99; percent++) {
        double expected = x[(percent * count + 99) / 100 - 1], got = quantile(f, cell, (int)percent);
        if (count <= QUANTILE_EXACT) {
            assert_true(got == expected);
        } else {
            assert_true(fabs(got - estimate(expected)) <= 1e-11 * fabs(expected));
            assert_true(fabs(got - expected) <= 0.0100001 * fabs(expected));
        }
    }
}

static void test_against_sorting(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        double x[VALUES];
        size_t count = (size_t)rng_between(&f->rng, 1, round % 2 ? VALUES : 70);
        random_values(&f->rng, x, count);
        for (size_t i = 0; i < count; i++) {
            add(f, f->cell, x[i]);
        }
        assert_quantiles(f, f->cell, x, count);
        qsort(x, count, sizeof *x, by_value);
        for (size_t i = 0; i < count; i++) { /* in another order */
            add(f, f->other, x[count - 1 - i]);
        }
        assert_same(f, f->cell, f->other);
        clear(f);
    }
}

/* What was taken away was never there, or it asks for a reread; and that only where lists begin. */
static void test_taking_away(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        double x[VALUES];
        size_t count = (size_t)rng_between(&f->rng, 1, VALUES), left = count;
        random_values(&f->rng, x, count);
        for (size_t i = 0; i < count; i++) {
            add(f, f->cell, x[i]);
        }
        size_t kept = (size_t)rng_between(&f->rng, round % 2 ? 0 : 60, VALUES);
        kept = kept < count ? kept : count;
        while (left > kept) {
            bool reread = take(f, f->cell, x[--left]);
            assert_true(reread == (left > 0 && left <= QUANTILE_EXACT && count > QUANTILE_EXACT));
            assert_int_equal(accumulator_count(f->cell), left);
        }
        for (size_t i = 0; i < kept; i++) {
            add(f, f->other, x[i]);
        }
        if (kept == 0 || kept > QUANTILE_EXACT || count <= QUANTILE_EXACT) {
            assert_same(f, f->cell, f->other);
        }
        clear(f);
    }
}

/* Up to 64 values are exact, 65 are buckets; taking the 65th away wants them again, and until then everything
 * goes on. */
static void test_the_64th_and_the_65th(void **state)
{
    struct fixture *f = *state;
    for (int i = 1; i <= 64; i++) {
        add(f, f->cell, i * 0.1);
        add(f, f->other, i * 0.1);
    }
    assert_true(quantile(f, f->cell, 50) == 32 * 0.1);
    assert_true(quantile(f, f->cell, 99) == 64 * 0.1);
    add(f, f->cell, 1000);
    assert_true(quantile(f, f->cell, 50) == quantile_estimate(quantile_bucket(33 * 0.1)));
    assert_true(take(f, f->cell, 1000));
    assert_true(take(f, f->cell, 0.1));
    assert_true(fabs(quantile(f, f->cell, 50) - 33 * 0.1) <= 0.033); /* of 63 that are only counted */
    add(f, f->cell, 0.1);
    add(f, f->cell, 7);
    add(f, f->other, 7);
    assert_same(f, f->cell, f->other); /* of 65 nothing is lost */
    for (int i = 1; i <= 64; i++) {
        assert_true(take(f, f->cell, i * 0.1));
    }
    assert_false(take(f, f->cell, 7)); /* empty */
    add(f, f->cell, 3);
    assert_true(quantile(f, f->cell, 1) == 3);
}

static void test_merging_is_adding_all(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        double x[VALUES];
        struct accumulator *all = calloc(1, f->layout.size);
        assert_non_null(all);
        size_t count = (size_t)rng_between(&f->rng, 0, round % 2 ? VALUES : 70);
        int64_t share = rng_between(&f->rng, 0, 100);
        random_values(&f->rng, x, count);
        for (size_t i = 0; i < count; i++) {
            add(f, all, x[i]);
            add(f, rng_between(&f->rng, 0, 99) < share ? f->cell : f->other, x[i]);
        }
        struct buf before = bytes_of(f, f->other);
        assert_true(accumulator_merge(&f->layout, f->cell, f->other));
        struct buf after = bytes_of(f, f->other);
        assert_int_equal(before.length, after.length);
        assert_memory_equal(before.data, after.data, after.length);
        assert_same(f, f->cell, all);
        if (count > 0) {
            assert_quantiles(f, f->cell, x, count);
        }
        buf_free(&before);
        buf_free(&after);
        accumulator_clear(&f->layout, all);
        free(all);
        clear(f);
    }
}

/* Bytes of n values: doubles, or pairs of key distance and count behind their number. */
static struct buf list_of(uint64_t n, const double *x)
{
    struct buf out = {0};
    buf_put_varint(&out, n);
    for (uint64_t i = 0; i < n; i++) {
        buf_put_f64(&out, x[i]);
    }
    return out;
}

static struct buf histogram_of(uint64_t n, uint64_t items, size_t numbers, const uint64_t *x)
{
    struct buf out = {0};
    buf_put_varint(&out, n);
    buf_put_varint(&out, items);
    for (size_t i = 0; i < numbers; i++) {
        buf_put_varint(&out, x[i]);
    }
    return out;
}

/* Every bucket there is, both signs, each twice; then as many as a bucket can count, and one more. */
static void test_full(void **state)
{
    struct fixture *f = *state;
    for (int i = LOWEST_BUCKET; i <= HIGHEST_BUCKET; i++) {
        double size = fmin(fmax(quantile_estimate(i), 1e-100), 1e100);
        add(f, f->cell, -size);
        add(f, f->cell, size);
    }
    add(f, f->cell, 0);
    assert_int_equal(accumulator_count(f->cell), 2 * (HIGHEST_BUCKET - LOWEST_BUCKET + 1) + 1);
    assert_true(quantile(f, f->cell, 50) == 0);
    for (int k = 0; k < 47; k++) {
        accumulator_clear(&f->layout, f->other);
        assert_true(accumulator_merge(&f->layout, f->other, f->cell));
        assert_true(accumulator_merge(&f->layout, f->cell, f->other));
    }
    struct buf bytes = bytes_of(f, f->cell);
    struct cursor in = cursor_of(bytes.data, bytes.length);
    accumulator_clear(&f->layout, f->other);
    assert_int_equal(accumulator_decode(&f->layout, f->other, &in), POISE_OK);
    assert_same(f, f->cell, f->other);
    assert_true(quantile(f, f->cell, 50) == 0);
    add(f, f->cell, 0);
    assert_false(accumulator_merge(&f->layout, f->cell, f->other)); /* 2^48 in each */
    buf_free(&bytes);
    clear(f);
    const uint64_t zero[] = {HIGHEST_BUCKET - LOWEST_BUCKET + 2, (UINT64_C(1) << 48) - 1};
    bytes = histogram_of(zero[1], 1, 2, zero);
    in = cursor_of(bytes.data, bytes.length);
    assert_int_equal(accumulator_decode(&f->layout, f->cell, &in), POISE_OK);
    add(f, f->cell, 1);
    assert_false(accumulator_add(&f->layout, f->cell, &(struct sample){.value = 0}));
    buf_free(&bytes);
}

static void test_bytes_read_back(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        double x[VALUES];
        size_t count = (size_t)rng_between(&f->rng, 1, round % 2 ? VALUES : 70);
        random_values(&f->rng, x, count);
        for (size_t i = 0; i < count; i++) {
            add(f, f->cell, x[i]);
        }
        struct buf bytes = bytes_of(f, f->cell);
        for (size_t length = 0; length < bytes.length; length++) {
            struct cursor part = cursor_of(bytes.data, length);
            assert_int_equal(accumulator_decode(&f->layout, f->other, &part), POISE_ECORRUPT);
        }
        struct cursor in = cursor_of(bytes.data, bytes.length);
        assert_int_equal(accumulator_decode(&f->layout, f->other, &in), POISE_OK);
        assert_int_equal(cursor_left(&in), 0);
        add(f, f->cell, x[0]);
        add(f, f->other, x[0]);
        assert_same(f, f->cell, f->other);
        buf_free(&bytes);
        clear(f);
    }
}

/* Any byte changed at random: refused, or fit for use. */
static void test_damaged_bytes(void **state)
{
    struct fixture *f = *state;
    int refused = 0;
    for (int round = 0; round < 10 * ROUNDS; round++) {
        double x[VALUES];
        size_t count = (size_t)rng_between(&f->rng, 1, 100);
        random_values(&f->rng, x, count);
        for (size_t i = 0; i < count; i++) {
            add(f, f->cell, x[i]);
        }
        struct buf bytes = bytes_of(f, f->cell);
        bytes.data[rng_between(&f->rng, 0, (int64_t)bytes.length - 1)] = (uint8_t)rng_next(&f->rng);
        struct cursor in = cursor_of(bytes.data, bytes.length);
        poise_code code = accumulator_decode(&f->layout, f->other, &in);
        refused += code != POISE_OK;
        if (code == POISE_OK && accumulator_count(f->other) > 0) {
            assert_true(fabs(quantile(f, f->other, 99)) <= 1.01e100);
            assert_true(accumulator_merge(&f->layout, f->other, f->cell));
            take(f, f->other, x[0]);
        }
        buf_free(&bytes);
        clear(f);
    }
    assert_in_range(refused, 1, 10 * ROUNDS - 1);
}

static void assert_decodes(struct fixture *f, struct buf bytes, poise_code expected)
{
    struct cursor in = cursor_of(bytes.data, bytes.length);
    assert_int_equal(accumulator_decode(&f->layout, f->other, &in), expected);
    assert_int_equal(accumulator_count(f->other) > 0, expected == POISE_OK);
    accumulator_clear(&f->layout, f->other);
    buf_free(&bytes);
}

static void test_damage_is_refused(void **state)
{
    struct fixture *f = *state;
    const poise_code fine = POISE_OK, damaged = POISE_ECORRUPT;
    assert_decodes(f, list_of(3, (const double[]){-1, 0, 0}), fine);
    assert_decodes(f, list_of(3, (const double[]){-1, 1, 0}), damaged);
    assert_decodes(f, list_of(2, (const double[]){-1, -2}), damaged);
    assert_decodes(f, list_of(2, (const double[]){-0.0, 1}), damaged);
    assert_decodes(f, list_of(2, (const double[]){1, 2e100}), damaged);
    assert_decodes(f, list_of(2, (const double[]){1e-101, 1}), damaged);
    assert_decodes(f, list_of(2, (const double[]){1, NAN}), damaged);
    const uint64_t last = UINT64_C(2) * (HIGHEST_BUCKET - LOWEST_BUCKET + 1) + 1,
                   most = (UINT64_C(1) << 48) - 1;
    assert_decodes(f, histogram_of(70, 2, 4, (const uint64_t[]){1, 30, last - 1, 40}), fine);
    assert_decodes(f, histogram_of(most + 1, 2, 4, (const uint64_t[]){1, 1, 1, most}), fine);
    assert_decodes(f, histogram_of(71, 2, 4, (const uint64_t[]){1, 30, 1, 40}), damaged);
    assert_decodes(f, histogram_of(69, 2, 4, (const uint64_t[]){1, 30, 1, 40}), damaged);
    assert_decodes(f, histogram_of(70, 2, 4, (const uint64_t[]){0, 30, 1, 40}), damaged);
    assert_decodes(f, histogram_of(70, 2, 4, (const uint64_t[]){1, 30, 0, 40}), damaged);
    assert_decodes(f, histogram_of(70, 2, 4, (const uint64_t[]){1, 0, 1, 70}), damaged);
    assert_decodes(f, histogram_of(70, 2, 4, (const uint64_t[]){1, 30, last, 40}), damaged);
    assert_decodes(f, histogram_of(70, 2, 4, (const uint64_t[]){2, 30, UINT64_MAX, 40}), damaged);
    assert_decodes(f, histogram_of(most + 1, 1, 2, (const uint64_t[]){1, most + 1}), damaged);
    assert_decodes(f, histogram_of(70, 0, 0, NULL), damaged);
    assert_decodes(f, histogram_of(70, 3, 4, (const uint64_t[]){1, 30, 1, 40}), damaged);
    assert_decodes(f, histogram_of(70, UINT64_C(1) << 40, 2, (const uint64_t[]){1, 70}), damaged);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bound),       with_fixture(test_against_sorting),
        with_fixture(test_taking_away),           with_fixture(test_the_64th_and_the_65th),
        with_fixture(test_merging_is_adding_all), with_fixture(test_full),
        with_fixture(test_bytes_read_back),       with_fixture(test_damaged_bytes),
        with_fixture(test_damage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
