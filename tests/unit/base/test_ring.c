#include "base_test.h"
#include <base/ring.h>
#include <pthread.h>
#include <sched.h>

static void test_bounds(void **state)
{
    (void)state;
    int some[5];
    struct ring ring;
    assert_true(ring_init(&ring, 3));
    assert_int_equal(ring.capacity, 4);
    assert_null(ring_pop(&ring));
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++) {
            assert_true(ring_push(&ring, &some[i]));
        }
        assert_false(ring_push(&ring, &some[4]));
        assert_int_equal(ring_count(&ring), 4);
        for (int i = 0; i < 4; i++) {
            assert_ptr_equal(ring_pop(&ring), &some[i]);
        }
        assert_null(ring_pop(&ring));
        assert_int_equal(ring_count(&ring), 0);
    }
    assert_int_equal(atomic_load(&ring.full), 10);
    ring_free(&ring);
    ring_free(&ring);
    ring_free(NULL);
    assert_true(ring_init(&ring, 0));
    assert_true(ring_push(&ring, some));
    assert_false(ring_push(&ring, some));
    ring_free(&ring);
    assert_false(ring_init(&ring, SIZE_MAX));
}

enum { ITEMS = 200000 };
static uint32_t items[ITEMS];

static void *produce(void *argument)
{
    struct ring *ring = argument;
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i] = i + 1; /* not atomic: the push must make it visible */
        while (!ring_push(ring, &items[i])) {
            sched_yield();
        }
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    (void)state;
    struct ring ring;
    pthread_t producer;
    assert_true(ring_init(&ring, 64));
    assert_int_equal(pthread_create(&producer, NULL, produce, &ring), 0);
    for (uint32_t i = 0; i < ITEMS;) {
        const uint32_t *item = ring_pop(&ring);
        if (item) {
            assert_int_equal(*item, ++i);
        } else {
            sched_yield();
        }
    }
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_null(ring_pop(&ring));
    ring_free(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
