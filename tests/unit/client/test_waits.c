/* For how long batches wait, by a clock that the test plays. */
#include <client/waits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

#define SECOND_US INT64_C(1000000)

static int64_t age_s(const struct waits *waits, uint64_t first, int64_t now_us)
{
    return waits_age_ms(waits, first, now_us) / 1000;
}

static void the_oldest_batch_that_waits_says_the_age(void **state)
{
    (void)state;
    struct waits waits = {0};
    int64_t now_us = 5 * SECOND_US;
    waits_look(&waits, 1, 1, now_us);
    assert_int_equal(waits_age_ms(&waits, 1, now_us), 0);
    for (uint64_t next = 2; next <= 11; next++) { /* one each second, none acknowledged */
        now_us += SECOND_US;
        waits_look(&waits, 1, next, now_us);
    }
    now_us += 2 * SECOND_US;
    assert_int_equal(age_s(&waits, 1, now_us), 11);
    assert_int_equal(age_s(&waits, 5, now_us), 7);
    assert_int_equal(age_s(&waits, 11, now_us), 0);
    waits_look(&waits, 11, 12, now_us);
    now_us += 3 * SECOND_US;
    assert_int_equal(age_s(&waits, 11, now_us), 3);
    assert_int_equal(waits_age_ms(&waits, 12, now_us), 0);
}

static void what_an_earlier_run_left_waits_since_the_start(void **state)
{
    (void)state;
    struct waits waits = {0};
    waits_look(&waits, 10, 15, 0);
    waits_look(&waits, 12, 18, 20 * SECOND_US);
    assert_int_equal(age_s(&waits, 12, 20 * SECOND_US), 20);
    assert_int_equal(age_s(&waits, 15, 22 * SECOND_US), 2);
}

static void what_goes_back_waits_again(void **state)
{
    (void)state;
    struct waits waits = {0};
    waits_look(&waits, 1, 5, 0);
    waits_look(&waits, 5, 5, 10 * SECOND_US);
    waits_look(&waits, 3, 5, 20 * SECOND_US);
    assert_int_equal(age_s(&waits, 3, 30 * SECOND_US), 10);
}

static void of_a_long_wait_a_hundredth_may_be_wrong(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct waits waits = {0};
    for (uint64_t batch = 1; batch <= COUNT; batch++) { /* one each second */
        waits_look(&waits, 1, batch + 1, (int64_t)batch * SECOND_US);
    }
    for (uint64_t first = 1; first <= COUNT; first += 97) {
        int64_t truth = (int64_t)(COUNT - first);
        assert_in_range(age_s(&waits, first, COUNT * SECOND_US), truth, truth + COUNT / 100);
    }
    uint64_t next = COUNT + 1; /* it is caught up, though never empty: ages are exact again */
    int64_t now_us = COUNT * SECOND_US;
    for (int i = 0; i < 10; i++) {
        now_us += SECOND_US;
        waits_look(&waits, next - 1, next + 1, now_us);
        next++;
    }
    assert_in_range(age_s(&waits, next - 1, now_us + 5 * SECOND_US), 5, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_oldest_batch_that_waits_says_the_age),
                                       cmocka_unit_test(what_an_earlier_run_left_waits_since_the_start),
                                       cmocka_unit_test(what_goes_back_waits_again),
                                       cmocka_unit_test(of_a_long_wait_a_hundredth_may_be_wrong)};
    return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
