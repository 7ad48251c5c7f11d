/* What a sender puts into batches, before and after an aggregator has said how much it takes. */
#include "fake.h"

#include <poise/client.h>
#include <stdio.h>

struct bench {
    struct fake fake;
    char spool[128];
    poise_sender *sender;
    uint64_t epoch;
};

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){0};
    fake_open(&bench.fake);
    fake_up(&bench.fake);
    fake_path(&bench.fake, "spool", bench.spool);
    const poise_sender_options options = {.endpoint = bench.fake.endpoint,
                                          .producer = "press-7",
                                          .spool = bench.spool,
                                          .batch_rows = 5000,
                                          .linger_ms = PATIENCE_MS};
    *state = &bench;
    return poise_sender_open(&options, &bench.sender, NULL) == POISE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    poise_sender_close(b->sender);
    fake_close(&b->fake);
    return 0;
}

/* Steps the sender until the fake hears such a message. */
static void expect(struct bench *b, enum wire_kind kind)
{
    int64_t end = now_ms() + PATIENCE_MS;
    while (!fake_receive(&b->fake) || b->fake.kind != kind) {
        assert_int_equal(poise_sender_step(b->sender, 5, NULL), POISE_OK);
        assert_true(now_ms() < end);
    }
}

static struct wire_batch expect_batch(struct bench *b, uint64_t seq)
{
    struct wire_batch batch;
    expect(b, WIRE_BATCH);
    assert_int_equal(wire_decode_batch(b->fake.bytes, b->fake.length, &b->fake.arena, &batch, NULL),
                     POISE_OK);
    assert_int_equal(batch.seq, seq);
    return batch;
}

/* Spools so many measurements, each with a key of its own where that is asked for. */
static void send(struct bench *b, int rows, bool keyed)
{
    for (int i = 0; i < rows; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        const poise_measurement m = {.measure = "m", .value = i, .of = 1, .key = keyed ? key : NULL};
        assert_int_equal(poise_send(b->sender, &m, NULL, NULL), POISE_OK);
    }
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
}

static void welcome(struct bench *b, struct wire_welcome welcome)
{
    struct wire_hello hello;
    expect(b, WIRE_HELLO);
    assert_int_equal(wire_decode_hello(b->fake.bytes, b->fake.length, &b->fake.arena, &hello, NULL),
                     POISE_OK);
    welcome.epoch = hello.epoch;
    welcome.next_seq = 1;
    welcome.credit = 100;
    fake_send(&b->fake, WIRE_WELCOME, wire_encode_welcome(&welcome, &b->fake.body));
}

/* What is spooled cannot be cut again. */
static void before_welcome_batches_are_such_as_all_take(void **state)
{
    struct bench *b = *state;
    send(b, 2500, false);
    welcome(b, (struct wire_welcome){0}); /* of an aggregator that has no limits to tell */
    for (uint64_t seq = 1; seq <= 3; seq++) {
        assert_int_equal(expect_batch(b, seq).rows, seq < 3 ? WIRE_ROWS_SURE : 500);
    }
    send(b, 2500, false);
    assert_int_equal(expect_batch(b, 4).rows, 2500);
}

static void its_limits_are_learned(void **state)
{
    struct bench *b = *state;
    send(b, 1, false);
    welcome(b, (struct wire_welcome){.max_batch_symbols = 12, .max_batch_rows = 3000});
    expect_batch(b, 1);
    send(b, 3500, false);
    assert_int_equal(expect_batch(b, 2).rows, 3000);
    assert_int_equal(expect_batch(b, 3).rows, 500);
    send(b, 20, true);
    for (uint64_t seq = 4; seq <= 6; seq++) {
        assert_in_range(expect_batch(b, seq).symbol_count, 4, 12);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(before_welcome_batches_are_such_as_all_take),
        TEST(its_limits_are_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
