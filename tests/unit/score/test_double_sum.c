/* The reference is a plain 128-bit integer, put anywhere in the range of doubles by powers of two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <score/double_sum.h>
#include <unit/score/rng.h>

__extension__ typedef __int128 i128;

enum { TERMS = 40, ROUNDS = 3000 };

static double sum_of(const double *terms, int count)
{
    struct double_sum sum = {{0}};
    for (int i = 0; i < count; i++) {
        double_sum_add(&sum, terms[i]);
    }
    return double_sum_round(&sum);
}

static void test_sums_equal_integers_in_any_order(void **state)
{
    (void)state;
    struct rng rng = {17};
    for (int round = 0; round < ROUNDS; round++) {
        int scale = (int)rng_between(&rng, -1074, 1023 - 59);
        double terms[TERMS];
        i128 wanted = 0;
        for (int i = 0; i < TERMS; i++) { /* of 53 bits, up to 50 apart */
            int64_t most = (INT64_C(1) << rng_between(&rng, 1, 52)) - 1;
            int64_t term = rng_between(&rng, -most, most);
            wanted += term;
            terms[i] = ldexp((double)term, scale);
        }
        assert_true(sum_of(terms, TERMS) == ldexp((double)wanted, scale));
        for (int i = TERMS - 1; i > 0; i--) {
            int64_t j = rng_between(&rng, 0, i);
            double swapped = terms[i];
            terms[i] = terms[j];
            terms[j] = swapped;
        }
        assert_true(sum_of(terms, TERMS) == ldexp((double)wanted, scale));
    }
}

static void test_far_apart(void **state)
{
    (void)state;
    const double smallest = ldexp(1, -1074);
    const double terms[] = {DBL_MAX, smallest, DBL_MIN, -DBL_MAX, 1, -DBL_MIN, -1};
    assert_true(sum_of(terms, 7) == smallest);
    assert_true(sum_of(terms, 3) == DBL_MAX);
    assert_true(sum_of(terms + 1, 2) == DBL_MIN + smallest);
    const double tie[] = {1, DBL_EPSILON / 2, smallest};
    assert_true(sum_of(tie, 2) == 1); /* to even */
    assert_true(sum_of(tie, 3) == 1 + DBL_EPSILON);
}

static void test_too_large_and_back(void **state)
{
    (void)state;
    const double terms[] = {DBL_MAX, DBL_MAX, DBL_MAX, -DBL_MAX, -DBL_MAX};
    assert_true(isinf(sum_of(terms, 2)) && sum_of(terms, 2) > 0);
    assert_true(sum_of(terms, 5) == DBL_MAX);
    assert_true(isinf(sum_of(terms + 3, 2)) && sum_of(terms + 3, 2) < 0);
}

static void test_zero(void **state)
{
    (void)state;
    const double terms[] = {-0.0, 5, -5};
    assert_true(sum_of(terms, 3) == 0 && !signbit(sum_of(terms, 3)));
    assert_true(!signbit(sum_of(terms, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_equal_integers_in_any_order),
        cmocka_unit_test(test_far_apart),
        cmocka_unit_test(test_too_large_and_back),
        cmocka_unit_test(test_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
