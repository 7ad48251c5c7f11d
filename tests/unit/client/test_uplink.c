/* How long a sender stays with an address that does not answer, and when it tells of its spool, by a clock
 * that the test plays. */
#include "fake.h"

#include <client/uplink.h>
#include <stdio.h>
#include <time.h>

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

/* ---- what waits ---- */

static void append(struct outbox *outbox)
{
    struct buf record = {0};
    outbox_begin(&record, 1);
    buf_put_u8(&record, 0); /* no credit is given, so nobody looks */
    assert_int_equal(outbox_append(outbox, &record, &(struct buf){0}, NULL), POISE_OK);
    buf_free(&record);
}

/* The sockets have their time; the played clock stands. */
static void receive(struct uplink *uplink)
{
    bool acknowledged;
    const struct timespec moment = {.tv_nsec = 2000000};
    assert_int_equal(nanosleep(&moment, NULL), 0);
    assert_int_equal(uplink_receive(uplink, &acknowledged, NULL), POISE_OK);
}

static void expect(struct fake *fake, struct uplink *uplink, enum wire_kind kind)
{
    int64_t end = now_ms() + PATIENCE_MS;
    do {
        assert_int_equal(uplink_send(uplink, NULL), POISE_OK);
        receive(uplink);
        assert_true(now_ms() < end);
    } while (!fake_receive(fake));
    assert_int_equal(fake->kind, kind);
}

static void expect_spool(struct fake *fake, struct uplink *uplink, bool waits, uint64_t age_ms)
{
    struct wire_spool spool;
    expect(fake, uplink, WIRE_SPOOL);
    assert_int_equal(wire_decode_spool(fake->bytes, fake->length, &fake->arena, &spool, NULL), POISE_OK);
    assert_int_equal(spool.age_ms, age_ms);
    assert_true(waits ? spool.bytes > 0 : spool.bytes == 0);
}

static void say(struct fake *fake, struct uplink *uplink, enum wire_kind kind, poise_code encoded)
{
    int64_t end = now_ms() + PATIENCE_MS;
    fake_send(fake, kind, encoded);
    for (uplink->heard_us = -1; uplink->heard_us < 0;) {
        receive(uplink);
        assert_true(now_ms() < end);
    }
}

static void acknowledge(struct fake *fake, struct uplink *uplink, uint64_t seq)
{
    const struct wire_ack ack = {.epoch = spool_epoch(uplink->outbox->spool), .seq = seq};
    say(fake, uplink, WIRE_ACK, wire_encode_ack(&ack, &fake->body));
}

static void welcome(struct fake *fake, struct uplink *uplink, bool takes_spool)
{
    const struct wire_welcome welcome = {
        .epoch = spool_epoch(uplink->outbox->spool), .next_seq = 1, .takes_spool = takes_spool};
    expect(fake, uplink, WIRE_HELLO);
    say(fake, uplink, WIRE_WELCOME, wire_encode_welcome(&welcome, &fake->body));
    assert_int_equal(uplink->phase, UPLINK_OPEN);
}

/* The clock goes on, and the aggregator is heard so that no HELLO is due. */
static void pass(struct fake *fake, struct uplink *uplink, int64_t ms)
{
    for (int64_t left_ms = ms; left_ms > 0; left_ms -= 5000) {
        played_us += (left_ms < 5000 ? left_ms : 5000) * 1000;
        acknowledge(fake, uplink, spool_first_seq(uplink->outbox->spool) - 1);
        assert_int_equal(uplink_send(uplink, NULL), POISE_OK);
    }
}

static void what_waits_is_told_now_and_then(void **state)
{
    (void)state;
    struct fake fake;
    struct outbox outbox;
    struct uplink uplink;
    fake_open(&fake);
    fake_up(&fake);
    open_uplink(&fake, 1, 1, &outbox, &uplink);
    welcome(&fake, &uplink, true);
    append(&outbox);
    pass(&fake, &uplink, 900); /* not for long */
    pass(&fake, &uplink, 100);
    expect_spool(&fake, &uplink, true, 1000);
    pass(&fake, &uplink, 9900); /* it was just told */
    pass(&fake, &uplink, 100);
    expect_spool(&fake, &uplink, true, 11000);
    acknowledge(&fake, &uplink, 1);
    expect_spool(&fake, &uplink, false, 0);
    append(&outbox);
    pass(&fake, &uplink, 9900); /* nor is it said again that nothing waits */
    pass(&fake, &uplink, 100);
    expect_spool(&fake, &uplink, true, 10000);
    uplink_close(&uplink);
    outbox_close(&outbox);
    fake_close(&fake);
}

static void who_does_not_take_it_is_told_nothing(void **state)
{
    (void)state;
    struct fake fake;
    struct outbox outbox;
    struct uplink uplink;
    fake_open(&fake);
    fake_up(&fake);
    open_uplink(&fake, 1, 1, &outbox, &uplink);
    welcome(&fake, &uplink, false); /* as of an earlier version */
    append(&outbox);
    pass(&fake, &uplink, 30000);
    played_us += 10 * (int64_t)SECOND_US;
    expect(&fake, &uplink, WIRE_HELLO); /* for the silence, and nothing before it */
    uplink_close(&uplink);
    outbox_close(&outbox);
    fake_close(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(senders_do_not_move_in_step),
                                       cmocka_unit_test(what_waits_is_told_now_and_then),
                                       cmocka_unit_test(who_does_not_take_it_is_told_nothing)};
    return cmocka_run_group_tests_name("uplink", tests, NULL, NULL);
}
