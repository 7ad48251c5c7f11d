/* References: plain 128-bit integers, single divisions of the processor, and the certified values of the NIST
 * Statistical Reference Datasets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <base/buf.h>
#include <cmocka.h>
#include <math.h>
#include <score/accumulator.h>
#include <score/limbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/score/rng.h>

__extension__ typedef __int128 i128;

enum { TERMS = 40, ROUNDS = 2000 };

static double variance(const double *x, size_t count)
{
    struct exact sum = {0}, squares = {0};
    for (size_t i = 0; i < count; i++) {
        assert_true(exact_add(&sum, x[i]) && exact_add_product(&squares, x[i], x[i]));
    }
    double result = exact_variance(&sum, &squares, count);
    exact_free(&sum);
    exact_free(&squares);
    return result;
}

/* Whether x is numerator / denominator to nearest: |x d - n| <= half a place of x d. */
static bool is_nearest(double x, i128 numerator, i128 denominator)
{
    if (numerator == 0) {
        return x == 0 && !signbit(x);
    }
    int exponent;
    i128 digits = (i128)ldexp(frexp(x, &exponent), 53);
    exponent -= 53; /* x is digits * 2^exponent */
    assert_in_range(-exponent, 0, 80);
    i128 off = digits * denominator - (numerator << -exponent);
    return 2 * (off < 0 ? -off : off) <= denominator;
}

static void test_small_integers_to_the_bit(void **state)
{
    (void)state;
    struct rng rng = {11};
    for (int round = 0; round < ROUNDS; round++) {
        double x[TERMS], far[TERMS], scaled[TERMS];
        int64_t sum = 0, squares = 0, n = rng_between(&rng, 2, TERMS);
        int64_t most = (INT64_C(1) << rng_between(&rng, 0, 12)) - 1;
        int scale = (int)rng_between(&rng, -300, 300);
        double by = (double)rng_between(&rng, -1000, 1000) * 0x1p30;
        for (int64_t i = 0; i < n; i++) {
            int64_t term = rng_between(&rng, -most, most);
            x[i] = (double)term;
            far[i] = x[i] + by;
            scaled[i] = ldexp(x[i], scale);
            sum += term;
            squares += term * term;
        }
        double result = variance(x, (size_t)n);
        assert_true(is_nearest(result, n * squares - sum * sum, n * (n - 1)));
        assert_true(variance(far, (size_t)n) == result);
        assert_true(variance(scaled, (size_t)n) == ldexp(result, 2 * scale));
    }
}

/* 2^k times 0 and 2: the variance is 2^k / (2^k - 1). */
static void test_many_terms(void **state)
{
    (void)state;
    struct exact sum = {0}, squares = {0};
    assert_true(exact_add(&sum, 2) && exact_add_product(&squares, 2, 2));
    for (int k = 1; k <= 63; k++) {
        double n = ldexp(1, k);
        assert_true(exact_variance(&sum, &squares, UINT64_C(1) << k) == (k <= 53 ? n / (n - 1) : 1));
        struct exact more_sum = sum, more_squares = squares; /* windows: nothing on the heap */
        assert_true(exact_merge(&sum, &more_sum) && exact_merge(&squares, &more_squares));
    }
    exact_free(&sum);
    exact_free(&squares);
    assert_true(exact_add(&squares, 3)); /* 3 / (2^64 - 2) */
    assert_true(exact_variance(&sum, &squares, UINT64_MAX) == 0x3p-64);
    exact_free(&squares);
}

static void test_sizes_far_apart(void **state)
{
    (void)state;
    assert_true(variance((const double[]){1e100, -1e100}, 2) == 2 * (1e100 * 1e100));
    assert_true(variance((const double[]){1e-100, 0}, 2) == 1e-100 * 1e-100 / 2);
    assert_true(variance((const double[]){1e100, 1e-100}, 2) == 1e100 * 1e100 / 2);
    assert_true(variance((const double[]){-1e100, -1e100, -1e100}, 3) == 0);
    /* (1 - (1 - 2^-50))^2 / 2 */
    assert_true(variance((const double[]){1, 1 - 0x1p-50}, 2) == 0x1p-101);
    /* 2 / 3 and 2^-82, which does not show */
    assert_true(variance((const double[]){0, 1, 1 + 0x1p-40, 2}, 4) == 2.0 / 3);
}

/* Half-way between two doubles it goes to the even one, until the least bit says otherwise. */
static void test_ties(void **state)
{
    (void)state;
    const double x = 0x1p27 - 1, even = 0x1p54 - 0x1p28; /* x^2 is even + 1 */
    struct exact none = {0};
    assert_true(variance((const double[]){x, 0}, 2) == even / 2);
    for (int i = 1; i < 330; i++) {
        double least = ldexp(1, -i);
        assert_true(i < 40 || variance((const double[]){x, least}, 2) == even / 2);
        assert_true(i < 40 || variance((const double[]){x, -least}, 2) == even / 2 + 1);
        struct exact squares = {0};
        assert_true(exact_add(&squares, 0x1p53) && exact_add(&squares, 1));
        assert_true(exact_variance(&none, &squares, 2) == 0x1p53);
        assert_true(exact_add(&squares, least));
        assert_true(exact_variance(&none, &squares, 2) == 0x1p53 + 2);
        exact_free(&squares);
    }
}

/* One byte of a sum as a checkpoint has it: worth 2^(8 place - 771). */
static void add_byte(struct exact *sum, uint8_t place, uint8_t byte)
{
    const uint8_t bytes[] = {1, place, byte};
    struct exact term = {0};
    struct cursor in = cursor_of(bytes, sizeof bytes);
    assert_int_equal(exact_decode(&term, &in), POISE_OK);
    assert_true(exact_merge(sum, &term));
    exact_free(&term);
}

/* Sums that no set of numbers has, as only damage could make them: no trap, never below 0. */
static void test_sums_that_cannot_be(void **state)
{
    (void)state;
    struct exact sum = {0}, squares = {0};
    assert_true(exact_add(&sum, 3) && exact_add(&squares, 4));
    assert_true(exact_variance(&sum, &squares, 2) == 0); /* 2 * 4 - 9 */
    assert_true(exact_add(&squares, -40));
    assert_true(exact_variance(&sum, &squares, 2) == 0);
    exact_free(&sum);
    exact_free(&squares);
    /* S1 = 2^-331 - 2^-715 and S2 = 2^-663: 2^-1045 is left of the difference. */
    add_byte(&sum, 7, 0xff);
    assert_true(exact_add(&sum, 0x1p-331) && exact_add_product(&squares, 0x1p-331, 0x1p-332));
    assert_true(exact_variance(&sum, &squares, 2) == 0x1p-1046);
    add_byte(&sum, 0, 1); /* all the bits there are */
    add_byte(&sum, 191, 0x7f);
    add_byte(&squares, 191, 0x7f);
    assert_true(exact_variance(&sum, &squares, 2) == 0);
    exact_free(&sum);
    exact_free(&squares);
}

/* Of what has at most 53 bits the processor's own scaling is the reference. */
static void test_rounding(void **state)
{
    (void)state;
    struct rng rng = {12};
    const uint64_t top = UINT64_C(1) << 63;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t head = (top | rng_next(&rng) >> 1) & UINT64_MAX << 11;
        int exponent = (int)rng_between(&rng, -1150, -1050);
        assert_true(limbs_round(head, false, exponent) == ldexp((double)head, exponent));
        assert_true(limbs_round(head, false, 980) == INFINITY);
        uint64_t any = top | rng_next(&rng) >> 1;
        assert_true(limbs_round(any, false, 0) == (double)any);
    }
    assert_true(limbs_round(top | 0x400, false, 0) == 0x1p63); /* a tie: to even */
    assert_true(limbs_round(top | 0x400, true, 0) == 0x1p63 + 0x1p11);
    assert_true(limbs_round(top | 0xc00, false, 0) == 0x1p63 + 0x1p12);
    assert_true(limbs_round(UINT64_MAX, false, 0) == 0x1p64);
    assert_true(limbs_round(top, false, -1075 - 63) == 0); /* half of the smallest: to even */
    assert_true(limbs_round(top, true, -1075 - 63) == 0x1p-1074);
    assert_true(limbs_round(UINT64_MAX, true, -1076 - 63) == 0);
}

struct certified {
    char mean[32], deviation[32]; /* as the file spells them */
};

/* What stands behind the colon or equals sign of a line. */
static void read_number(const char *line, char number[32])
{
    const char *before = strrchr(line, ':') ? strrchr(line, ':') : strrchr(line, '=');
    assert_non_null(before);
    assert_int_equal(sscanf(before + 1, "%31s", number), 1);
}

/* Adds a file's data, the lines that are a number and nothing else; false: there is no such file. */
static bool read_dataset(const char *name, const struct accumulator_layout *layout, struct accumulator *cell,
                         struct certified *ret_certified)
{
    char path[1024], line[256];
    snprintf(path, sizeof path, "%s/%s.txt", NIST_STRD, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        print_message("skipped: no %s among the shared data\n", name);
        return false;
    }
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "mean ", 5) == 0 || strstr(line, "Sample Mean")) {
            read_number(line, ret_certified->mean);
        } else if (strncmp(line, "standardDeviation", 17) == 0 || strstr(line, "Sample Standard Deviation")) {
            read_number(line, ret_certified->deviation);
        }
        char *end;
        double x = strtod(line, &end);
        if (end > line && end[strspn(end, " \r\n")] == '\0') {
            struct sample sample = {.value = x};
            assert_true(accumulator_add(layout, cell, &sample));
        }
    }
    fclose(file);
    return true;
}

/* With as many digits as are certified. */
static void assert_reads(double x, const char *certified)
{
    char text[64];
    const char *point = strchr(certified, '.');
    snprintf(text, sizeof text, "%.*f", point ? (int)strlen(point + 1) : 0, x);
    assert_string_equal(text, certified);
}

static void test_certified_values(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t count;
    } sets[] = {{"Lew", 200}, {"Lottery", 218}, {"NumAcc1", 3}};
    const struct measure mean = {.aggregate = AGGREGATE_MEAN}, deviation = {.aggregate = AGGREGATE_STDDEV};
    struct accumulator_layout layout = accumulator_layout(PART_VALUE | PART_SQUARE, NULL);
    struct accumulator *cell = calloc(1, layout.size);
    assert_non_null(cell);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct certified certified = {{0}, {0}};
        if (read_dataset(sets[i].name, &layout, cell, &certified)) {
            bool overflow = false;
            assert_int_equal(accumulator_count(cell), sets[i].count);
            assert_reads(accumulator_value(&layout, cell, &mean, &overflow), certified.mean);
            assert_reads(accumulator_value(&layout, cell, &deviation, &overflow), certified.deviation);
            assert_false(overflow);
            accumulator_clear(&layout, cell);
        }
    }
    free(cell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_integers_to_the_bit), cmocka_unit_test(test_many_terms),
        cmocka_unit_test(test_sizes_far_apart),           cmocka_unit_test(test_ties),
        cmocka_unit_test(test_sums_that_cannot_be),       cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_certified_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
