/* Steps of a checkpoint that another thread does, and what it must not do. */
#include "scratch.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

struct writing {
    struct store *store;
    _Atomic bool stop;
    unsigned steps;
};

static void *write_always(void *context)
{
    struct writing *writing = context;
    unsigned some = writing->steps + 2; /* however seldom it runs */
    bool apart = true;
    while (!writing->stop || (apart && writing->steps < some)) {
        apart = store_step_is_apart(writing->store, STORE_WRITES);
        if (apart) {
            (void)store_step_apart(writing->store, STORE_WRITES);
            writing->steps++;
        }
    }
    return NULL;
}

static void put_numbered(struct store *store, uint32_t n)
{
    uint8_t key[4] = {0}, value[100] = {0};
    for (int i = 0; i < 4; i++) {
        key[i] = value[i] = (uint8_t)(n >> (24 - 8 * i));
    }
    assert_int_equal(store_put(store, STORE_CELLS, key, sizeof key, value, sizeof value), POISE_OK);
}

/* It writes what is at hand, while this one puts more, and finds what was there before. */
static void test_another_thread_writes(void **state)
{
    enum { NUMBERS = 120000, ROUND = 30000 };
    struct writing writing = {.store = scratch_open_wide(*state)};
    struct store *store = writing.store;
    struct buf out = {0};
    bool done = false;
    uint32_t n = 0;
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_put(store, STORE_ORGS, "o", 1, "before", 6), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){0}, NULL), POISE_OK);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    while (n < NUMBERS) {
        pthread_t thread;
        for (uint32_t end = n + ROUND; n < end; n++) {
            put_numbered(store, n);
        }
        assert_int_equal(store_checkpoint_step(store, &done, NULL), POISE_OK);
        writing.stop = false;
        assert_int_equal(pthread_create(&thread, NULL, write_always, &writing), 0);
        for (uint32_t end = n + ROUND; n < end; n++) {
            put_numbered(store, n);
            buf_reset(&out);
            assert_int_equal(store_get(store, STORE_ORGS, "o", 1, &out, NULL), POISE_OK);
        }
        writing.stop = true;
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_true(writing.steps >= 3); /* of four; this one does one, too */
    assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){0}, NULL), POISE_OK);
    for (n = 0; n < NUMBERS; n += 97) {
        const uint8_t key[] = {0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        buf_reset(&out);
        assert_int_equal(store_get(store, STORE_CELLS, key, sizeof key, &out, NULL), POISE_OK);
        assert_true(out.length == 100 && memcmp(out.data, key, sizeof key) == 0);
    }
    buf_free(&out);
    store_close(store);
}

static void begin_to_write(struct store *store)
{
    bool done;
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    for (uint32_t n = 0; n < 40000; n++) {
        put_numbered(store, n);
    }
    assert_false(store_step_is_apart(store, STORE_WRITES));
    assert_int_equal(store_checkpoint_step(store, &done, NULL), POISE_OK);
}

/* What another thread was refused this one says, once. */
static void test_a_step_that_failed_is_told(void **state)
{
    struct store *store = scratch_open_wide(*state);
    struct rlimit limit;
    poise_error err = {0};
    bool done = false;
    begin_to_write(store);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; store_step_is_apart(store, STORE_WRITES); i++) {
        assert_true(i < 20);
        (void)store_step_apart(store, STORE_WRITES);
    }
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(store_checkpoint_step(store, &done, &err), POISE_EFULL);
    assert_non_null(strstr(err.text, "limit of file size"));
    begin_to_write(store);
    assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){0}, NULL), POISE_OK);
    store_close(store);
}

/* Only the writer thread may have it grow. */
static void test_a_map_that_is_about_full_is_not_for_others(void **state)
{
    struct store *store = scratch_open_with(*state, 2 << 20);
    begin_to_write(store);
    assert_false(store_step_is_apart(store, STORE_WRITES));
    assert_false(store_step_is_apart(store, STORE_TAKES));
    assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){0}, NULL), POISE_OK);
    store_close(store);
    store = scratch_open_wide(*state);
    begin_to_write(store);
    assert_true(store_step_is_apart(store, STORE_WRITES));
    store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_another_thread_writes),
                                       TEST(test_a_step_that_failed_is_told),
                                       TEST(test_a_map_that_is_about_full_is_not_for_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
