/* How long a sender stays with an address that does not answer, by a clock that the test plays. */
#include "fake.h"

#include <client/uplink.h>
#include <stdio.h>

enum { SENDERS = 20, TRIES = 5, STEP_US = 25000, SECOND_US = 1000000 };

static int64_t played_us;
int64_t __wrap_link_now(void);
int64_t __wrap_link_now(void)
{
    return played_us;
}

static void open_uplink(struct fake *fake, int number, size_t routes, struct outbox *outbox,
                        struct uplink *uplink)
{
    char name[32], path[128];
    snprintf(name, sizeof name, "spool-%zu-%d", routes, number);
    const poise_sender_options options = {.endpoint = fake->endpoint};
    *outbox = (struct outbox){.producer = "p"};
    *uplink = (struct uplink){.outbox = outbox, .producer = "p", .software = "s"};
    assert_int_equal(outbox_open(outbox, fake_path(fake, name, path), 0, 0, NULL), POISE_OK);
    assert_int_equal(uplink_open(uplink, &options, NULL), POISE_OK);
    for (size_t i = 1; i < routes; i++) {
        assert_int_equal(uplink_add_route(uplink, fake->endpoint, NULL), POISE_OK);
    }
}

struct range {
    int64_t least, most;
};

/* Of all senders, before each of their tries. */
static void wait_in_vain(struct fake *fake, size_t routes, struct range waits[TRIES])
{
    for (int number = 0; number < SENDERS; number++) {
        struct outbox outbox;
        struct uplink uplink;
        open_uplink(fake, number, routes, &outbox, &uplink);
        for (unsigned i = 0; i < TRIES; i++) {
            int64_t begun_us = played_us;
            for (; uplink.tried == i; played_us += STEP_US) {
                assert_int_equal(uplink_send(&uplink, NULL), POISE_OK);
                assert_true(played_us - begun_us < 100 * (int64_t)SECOND_US);
            }
            int64_t waited_us = played_us - begun_us;
            struct range *range = &waits[i];
            range->least = number == 0 || waited_us < range->least ? waited_us : range->least;
            range->most = waited_us > range->most ? waited_us : range->most;
        }
        uplink_close(&uplink);
        outbox_close(&outbox);
    }
}

/* A quarter more or less, and not all the same. */
static void check(const struct range *range, int64_t wanted_us)
{
    assert_true(range->least >= wanted_us / 4 * 3);
    assert_true(range->most <= wanted_us / 4 * 5 + 2 * STEP_US);
    assert_true(range->most - range->least > wanted_us / 8);
}

static void senders_do_not_move_in_step(void **state)
{
    static const int64_t of_two[TRIES] = {2, 2, 4, 4, 6}, alone[TRIES] = {20, 40, 60, 60, 60};
    (void)state;
    struct fake fake;
    struct range waits[TRIES] = {0}, lone_waits[TRIES] = {0};
    fake_open(&fake); /* nobody answers */
    wait_in_vain(&fake, 2, waits);
    wait_in_vain(&fake, 1, lone_waits);
    for (size_t i = 0; i < TRIES; i++) {
        check(&waits[i], of_two[i] * SECOND_US);
        check(&lone_waits[i], alone[i] * SECOND_US);
    }
    fake_close(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(senders_do_not_move_in_step)};
    return cmocka_run_group_tests_name("uplink", tests, NULL, NULL);
}
