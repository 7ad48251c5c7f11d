/* Of what is refused all is counted, and so many lines a minute are logged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <aggregator/connections.h>
#include <aggregator/refusals.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 60, MINUTE_US = 60000000 };

struct fixture {
    int64_t now_us;
    struct clock clock;
    struct log log;
    struct stats stats;
    char *text;
    size_t length;
    struct net_failure failures[MANY + 1]; /* of the socket, to be told next */
    size_t count, told;
    uint64_t failed;
};

static int64_t now_of(void *context)
{
    return ((const struct fixture *)context)->now_us;
}

static int make(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->now_us = 5;
    f->clock = (struct clock){.monotonic_us = now_of, .wall_ms = now_of, .context = f};
    f->log =
        (struct log){.out = open_memstream(&f->text, &f->length), .level = LOG_DEBUG, .clock = &f->clock};
    assert_non_null(f->log.out);
    *state = f;
    return 0;
}

static int unmake(void **state)
{
    struct fixture *f = *state;
    fclose(f->log.out);
    free(f->text);
    free(f);
    return 0;
}

static size_t lines_of(struct fixture *f, const char *part)
{
    size_t count = 0;
    fflush(f->log.out);
    for (const char *at = f->text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

/* ---- what keys may not do ---- */

static void refuse(struct fixture *f, struct refusals *refusals, int count)
{
    for (int i = 0; i < count; i++)
        refusals_note(refusals, STAT_batches_denied, "76b2a9f1b3e0a6c9", NULL, "of b");
    assert_int_equal(lines_of(f, "76b2a9f1b"), 0); /* never more of a key */
}

static void refusals_are_counted_and_few_are_told(void **state)
{
    struct fixture *f = *state;
    struct refusals refusals = {.log = &f->log, .clock = &f->clock, .stats = &f->stats};
    refuse(f, &refusals, MANY);
    assert_int_equal(
        lines_of(f, " warn access_denied key=76b2a9f1 name=- producer=- code=EDENIED reason=\"of b\"\n"), 20);
    f->now_us += MINUTE_US - 1;
    refuse(f, &refusals, 1);
    assert_int_equal(lines_of(f, "\n"), 20);
    f->now_us++;
    refuse(f, &refusals, MANY); /* the first of the next minute says of how many nothing was said */
    assert_int_equal(lines_of(f, " access_denied "), 40);
    assert_int_equal(lines_of(f, " warn more_access_denied code=EDENIED count=41\n"), 1);
    f->now_us += 10 * (int64_t)MINUTE_US;
    refuse(f, &refusals, 20);
    assert_int_equal(lines_of(f, " more_access_denied code=EDENIED count=40\n"), 1);
    f->now_us += MINUTE_US;
    refuse(f, &refusals, 1); /* all were told */
    assert_int_equal(lines_of(f, " more_access_denied "), 2);
    assert_int_equal(lines_of(f, "\n"), 63);
    assert_int_equal(stats_get(&f->stats, STAT_batches_denied), 2 * MANY + 22);
    assert_int_equal(stats_get(&f->stats, STAT_messages_denied), 0);
}

/* ---- handshakes that fail ---- */

static struct fixture *socket_of(const struct net_socket *socket)
{
    return (struct fixture *)(uintptr_t)socket;
}

const char *__wrap_net_endpoint(const struct net_socket *socket);
const char *__wrap_net_endpoint(const struct net_socket *socket)
{
    (void)socket;
    return "here";
}

void __wrap_net_socket_connections(const struct net_socket *socket, struct net_connections *ret_connections);
void __wrap_net_socket_connections(const struct net_socket *socket, struct net_connections *ret_connections)
{
    *ret_connections = (struct net_connections){.failed = socket_of(socket)->failed};
}

uint64_t __wrap_net_socket_failed(const struct net_socket *socket, enum net_failing why);
uint64_t __wrap_net_socket_failed(const struct net_socket *socket, enum net_failing why)
{
    return why == NET_FAILING_LEFT ? socket_of(socket)->failed : 0;
}

bool __wrap_net_socket_failure(struct net_socket *socket, struct net_failure *ret_failure);
bool __wrap_net_socket_failure(struct net_socket *socket, struct net_failure *ret_failure)
{
    struct fixture *f = socket_of(socket);
    if (f->told == f->count)
        return false;
    *ret_failure = f->failures[f->told++];
    return true;
}

static void break_off(struct fixture *f, struct connections *connections, size_t count, uint64_t lost)
{
    f->told = 0;
    f->count = count;
    for (size_t i = 0; i < count; i++)
        f->failures[i] = (struct net_failure){.why = NET_FAILING_LEFT, .address = "192.0.2.7:40512"};
    f->failures[0].lost = lost;
    f->failed += count + lost;
    connections_note(connections);
}

static void failed_handshakes_are_counted_and_few_are_told(void **state)
{
    struct fixture *f = *state;
    struct connections connections = {.socket = (struct net_socket *)(void *)f,
                                      .open = STAT_query_connections,
                                      .stats = &f->stats,
                                      .log = &f->log,
                                      .clock = &f->clock};
    break_off(f, &connections, MANY, 0);
    assert_int_equal(lines_of(f, " warn handshake_failed endpoint=here from=192.0.2.7:40512 reason=closed\n"),
                     20);
    assert_int_equal(lines_of(f, "\n"), 20);
    f->now_us += MINUTE_US;
    break_off(f, &connections, 1, 1000); /* of so many at once the socket itself tells only the last */
    assert_int_equal(lines_of(f, " handshake_failed "), 21);
    assert_int_equal(lines_of(f, " warn more_handshakes_failed endpoint=here count=1040\n"), 1);
    f->now_us += MINUTE_US;
    break_off(f, &connections, 1, 0);
    assert_int_equal(lines_of(f, " more_handshakes_failed "), 1);
    assert_int_equal(stats_get(&f->stats, STAT_handshakes_failed), MANY + 1002);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refusals_are_counted_and_few_are_told, make, unmake),
        cmocka_unit_test_setup_teardown(failed_handshakes_are_counted_and_few_are_told, make, unmake),
    };
    return cmocka_run_group_tests_name("aggregator_refusals", tests, NULL, NULL);
}
