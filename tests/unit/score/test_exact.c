/* The reference is a plain 128-bit integer, whose conversion to double is the compiler's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <base/buf.h>
#include <cmocka.h>
#include <math.h>
#include <score/exact.h>
#include <string.h>
#include <unit/score/rng.h>

__extension__ typedef __int128 i128;

enum { TERMS = 40, ROUNDS = 2000 };

struct term {
    int64_t a, b; /* the product a * b, or a alone */
    bool is_product;
};

static struct term random_term(struct rng *rng)
{
    int64_t most = (INT64_C(1) << rng_between(rng, 1, 50)) - 1;
    return (struct term){.a = rng_between(rng, -most, most),
                         .b = rng_between(rng, -most, most),
                         .is_product = rng_between(rng, 0, 1)};
}

/* Adds term * 2^(2 * half_scale). */
static void add(struct exact *sum, struct term term, int half_scale, int sign)
{
    bool ok = term.is_product ? exact_add_product(sum, sign * ldexp((double)term.a, half_scale),
                                                  ldexp((double)term.b, half_scale))
                              : exact_add(sum, sign * ldexp((double)term.a, 2 * half_scale));
    assert_true(ok);
}

static i128 value(struct term term)
{
    return term.is_product ? (i128)term.a * term.b : term.a;
}

static void shuffle(struct rng *rng, struct term *terms, int count)
{
    for (int i = count - 1; i > 0; i--) {
        int64_t j = rng_between(rng, 0, i);
        struct term swapped = terms[i];
        terms[i] = terms[j];
        terms[j] = swapped;
    }
}

static struct buf encoded(const struct exact *sum)
{
    struct buf out = {0};
    exact_encode(sum, &out);
    assert_false(out.failed);
    return out;
}

static void assert_same_bytes(const struct exact *a, const struct exact *b)
{
    struct buf left = encoded(a), right = encoded(b);
    assert_int_equal(left.length, right.length);
    assert_memory_equal(left.data, right.data, left.length);
    buf_free(&left);
    buf_free(&right);
}

static void test_sums_equal_integers_in_any_order(void **state)
{
    (void)state;
    struct rng rng = {1};
    for (int round = 0; round < ROUNDS; round++) {
        int half_scale = (int)rng_between(&rng, -100, 100);
        struct exact sum = {0}, again = {0};
        struct term terms[TERMS];
        i128 reference = 0;
        for (int i = 0; i < TERMS; i++) {
            terms[i] = random_term(&rng);
            add(&sum, terms[i], half_scale, 1);
            reference += value(terms[i]);
            assert_true(exact_round(&sum) == ldexp((double)reference, 2 * half_scale));
        }
        shuffle(&rng, terms, TERMS);
        for (int i = 0; i < TERMS; i++) {
            add(&again, terms[i], half_scale, 1);
        }
        assert_same_bytes(&sum, &again);
        exact_free(&sum);
        exact_free(&again);
    }
}

static void test_taking_away_undoes_adding(void **state)
{
    (void)state;
    struct rng rng = {2};
    static const double far[] = {1e100, -1e100, 1e-100, 3e-99, 7e50};
    for (int round = 0; round < ROUNDS; round++) {
        struct exact sum = {0}, kept = {0};
        struct term terms[TERMS];
        bool visits_far = rng_between(&rng, 0, 1);
        for (int i = 0; i < TERMS; i++) {
            terms[i] = random_term(&rng);
            add(&sum, terms[i], 0, 1);
        }
        for (size_t i = 0; visits_far && i < 5; i++) {
            assert_true(exact_add(&sum, far[i]) && exact_add_product(&sum, far[i], far[4 - i]));
        }
        shuffle(&rng, terms, TERMS);
        for (int i = 0; i < TERMS / 2; i++) {
            add(&sum, terms[i], 0, -1);
            add(&kept, terms[TERMS / 2 + i], 0, 1);
        }
        for (size_t i = 0; visits_far && i < 5; i++) {
            assert_true(exact_add(&sum, -far[i]) && exact_add_product(&sum, far[i], -far[4 - i]));
        }
        assert_same_bytes(&sum, &kept);
        exact_free(&sum);
        exact_free(&kept);
    }
}

/* Terms dealt out to two sums of their own scales, then put together. */
static void test_merging_is_adding_all(void **state)
{
    (void)state;
    struct rng rng = {4};
    for (int round = 0; round < ROUNDS; round++) {
        struct exact sums[2], all = {0};
        memset(sums, 0, sizeof sums);
        int half_scales[2] = {(int)rng_between(&rng, -20, 20), 0};
        half_scales[1] = half_scales[0];
        if (rng_between(&rng, 0, 1)) {
            half_scales[1] = (int)rng_between(&rng, -130, 110);
        }
        int64_t count = rng_between(&rng, 0, TERMS);
        for (int64_t i = 0; i < count; i++) {
            struct term term = random_term(&rng);
            int64_t to = rng_between(&rng, 0, 1);
            add(&sums[to], term, half_scales[to], 1);
            add(&all, term, half_scales[to], 1);
        }
        assert_true(exact_merge(&sums[0], &sums[1]));
        assert_same_bytes(&sums[0], &all);
        struct term more = random_term(&rng);
        add(&sums[0], more, half_scales[0], 1);
        add(&all, more, half_scales[0], 1);
        assert_same_bytes(&sums[0], &all);
        assert_true(exact_round(&sums[0]) == exact_round(&all));
        exact_free(&sums[0]);
        exact_free(&sums[1]);
        exact_free(&all);
    }
}

/* 2^k times a sum, which runs over its window, and the opposite, which leaves nothing. */
static void test_merging_runs_over(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct exact sum = {0}, opposite = {0};
        assert_true(exact_add(&sum, sign * 1.5) && exact_add(&opposite, -sign * 1.5));
        for (int k = 1; k < 90; k++) {
            struct exact same = {0};
            assert_true(exact_merge(&same, &sum) && exact_merge(&sum, &same));
            exact_free(&same);
            assert_true(exact_merge(&same, &opposite) && exact_merge(&opposite, &same));
            exact_free(&same);
            assert_true(exact_round(&sum) == sign * ldexp(1.5, k));
        }
        assert_true(exact_merge(&sum, &opposite));
        struct exact none = {0};
        assert_same_bytes(&sum, &none);
        assert_true(exact_add(&sum, 3) && exact_round(&sum) == 3);
        exact_free(&sum);
        exact_free(&opposite);
    }
}

static void test_far_apart(void **state)
{
    (void)state;
    struct exact sum = {0};
    assert_true(exact_add(&sum, 1e100) && exact_add(&sum, 1e-100) && exact_add(&sum, -1e100));
    assert_true(exact_round(&sum) == 1e-100);
    assert_true(exact_add_product(&sum, 1e100, 1e100) && exact_add_product(&sum, 1e-100, 1e-100));
    assert_true(exact_add_product(&sum, -1e100, 1e100) && exact_add(&sum, -1e-100));
    assert_true(exact_round(&sum) == 1e-200);
    assert_true(exact_add_product(&sum, 1e-100, -1e-100));
    double zero = exact_round(&sum);
    assert_true(zero == 0 && !signbit(zero));
    exact_free(&sum);
    assert_true(exact_add(&sum, 1e16) && exact_add(&sum, 1) && exact_add(&sum, -1e16));
    assert_true(exact_round(&sum) == 1);
    exact_free(&sum);
}

static void test_ties_go_to_even(void **state)
{
    (void)state;
    const double two53 = 0x1p53;
    struct exact sum = {0};
    assert_true(exact_add(&sum, two53) && exact_add(&sum, 1));
    assert_true(exact_round(&sum) == two53);
    assert_true(exact_add(&sum, 0x1p-300)); /* just above the tie */
    assert_true(exact_round(&sum) == two53 + 2);
    assert_true(exact_add(&sum, -0x1p-300) && exact_add(&sum, 2)); /* the tie above: up to even */
    assert_true(exact_round(&sum) == two53 + 4);
    assert_true(exact_add(&sum, -0x1p-300)); /* just below it */
    assert_true(exact_round(&sum) == two53 + 2);
    exact_free(&sum);
}

static void test_window_overflows_into_wide(void **state)
{
    (void)state;
    struct exact sum = {0};
    for (int i = 0; i < 60; i++) { /* 2^0 + ... + 2^59, far above the first term's window */
        assert_true(exact_add(&sum, -ldexp(1, i)));
    }
    assert_true(exact_round(&sum) == -0x1p60);
    for (int i = 0; i < 60; i++) {
        assert_true(exact_add(&sum, ldexp(1, i)));
    }
    assert_true(exact_round(&sum) == 0);
    exact_free(&sum);
}

static void test_bytes_read_back(void **state)
{
    (void)state;
    struct rng rng = {3};
    for (int round = 0; round < ROUNDS; round++) {
        struct exact sum = {0}, copy = {0};
        int64_t count = rng_between(&rng, 0, 6);
        for (int64_t i = 0; i < count; i++) {
            add(&sum, random_term(&rng), (int)rng_between(&rng, -130, 110), 1);
        }
        struct buf bytes = encoded(&sum);
        struct cursor in = cursor_of(bytes.data, bytes.length);
        assert_int_equal(exact_decode(&copy, &in), POISE_OK);
        assert_int_equal(cursor_left(&in), 0);
        struct term more = random_term(&rng);
        add(&sum, more, 0, 1);
        add(&copy, more, 0, 1);
        assert_same_bytes(&sum, &copy);
        for (size_t length = 0; length < bytes.length; length++) {
            struct exact torn = {0};
            struct cursor part = cursor_of(bytes.data, length);
            assert_int_equal(exact_decode(&torn, &part), POISE_ECORRUPT);
        }
        buf_free(&bytes);
        exact_free(&sum);
        exact_free(&copy);
    }
}

static void test_damaged_place_is_refused(void **state)
{
    (void)state;
    const uint8_t beyond[] = {3, 190, 1, 2, 3};
    struct cursor in = cursor_of(beyond, sizeof beyond);
    struct exact sum = {0};
    assert_int_equal(exact_decode(&sum, &in), POISE_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_equal_integers_in_any_order),
        cmocka_unit_test(test_taking_away_undoes_adding),
        cmocka_unit_test(test_merging_is_adding_all),
        cmocka_unit_test(test_merging_runs_over),
        cmocka_unit_test(test_far_apart),
        cmocka_unit_test(test_ties_go_to_even),
        cmocka_unit_test(test_window_overflows_into_wide),
        cmocka_unit_test(test_bytes_read_back),
        cmocka_unit_test(test_damaged_place_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
