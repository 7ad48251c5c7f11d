#include "net_test.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static void *wake_up(void *wake)
{
    net_wake_up(wake);
    return NULL;
}

static void another_thread_wakes_a_waiter(void **state)
{
    (void)state;
    struct net_wake *wake;
    assert_int_equal(net_wake_open(&wake, NULL), POISE_OK);
    struct net_wait item = {.wake = wake, .fd = -1};
    assert_int_equal(net_wait(&item, 1, 0, NULL), POISE_OK);
    assert_false(item.ready);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_up, wake), 0);
    assert_int_equal(net_wait(&item, 1, -1, NULL), POISE_OK);
    assert_true(item.ready);
    assert_int_equal(pthread_join(thread, NULL), 0);
    net_wake_up(wake); /* twice is once */
    net_wake_clear(wake);
    assert_int_equal(net_wait(&item, 1, 0, NULL), POISE_OK);
    assert_false(item.ready);
    net_wake_clear(wake); /* clearing nothing does not block */
    net_wake_close(wake);
    net_wake_close(NULL);
}

static void each_item_tells_whether_it_is_ready(void **state)
{
    struct fixture *f = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct net_socket *router = bound(f, f->endpoint, NULL);
    struct net_socket *dealer = connected(f, f->endpoint, NULL);
    struct net_wait items[] = {{.fd = -1, .ready = true},
                               {.fd = ends[0]},
                               {.fd = ends[1], .want_send = true},
                               {.socket = router, .fd = -1},
                               {.socket = dealer, .fd = -1}};
    assert_int_equal(net_wait(items, 5, PATIENCE_MS, NULL), POISE_OK);
    assert_true(!items[0].ready && !items[1].ready && items[2].ready && !items[3].ready && !items[4].ready);
    items[2].fd = -1;
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(net_wait(items, 5, PATIENCE_MS, NULL), POISE_OK);
    assert_true(items[1].ready && !items[2].ready);
    items[1].fd = -1;
    await(dealer, true);
    assert_int_equal(send_text(dealer, NULL, "hello"), POISE_OK);
    assert_int_equal(net_wait(items, 5, PATIENCE_MS, NULL), POISE_OK);
    assert_true(!items[1].ready && items[3].ready && !items[4].ready);
    struct net_wait many[NET_WAIT_MAX + 1] = {{.fd = -1}};
    assert_int_equal(net_wait(many, NET_WAIT_MAX + 1, 0, &f->err), POISE_EINVAL);
    close(ends[0]);
    close(ends[1]);
}

static void ignore(int number)
{
    (void)number;
}

static void a_signal_ends_the_wait(void **state)
{
    (void)state;
    struct net_wake *wake;
    assert_int_equal(net_wake_open(&wake, NULL), POISE_OK);
    struct sigaction action = {.sa_handler = ignore}, before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    /* Again and again, since the first may come before the wait begins. */
    const struct itimerval soon = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    struct net_wait item = {.wake = wake, .fd = -1};
    assert_int_equal(net_wait(&item, 1, -1, NULL), POISE_OK);
    assert_false(item.ready);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    net_wake_close(wake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_thread_wakes_a_waiter),
        TEST(each_item_tells_whether_it_is_ready),
        TEST(a_signal_ends_the_wait),
    };
    return cmocka_run_group_tests_name("net_wait", tests, NULL, NULL);
}
