/* An aggregator, which the test plays, that has other batches than ours, since the spool was copied, or is
 * another one altogether. */
#include "fake.h"

#include <poise/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES_MAX = 8, FORKS_MAX = 64 };

struct bench {
    struct fake fake;
    char spool[128];
    poise_sender_options options;
    poise_sender *sender;
    uint64_t epoch;               /* of the last HELLO */
    const char *store;            /* that WELCOME names */
    uint64_t hashes[BATCHES_MAX]; /* of what came, from batch 1 on */
    char told[256];
    poise_fork fork; /* the last; epoch 0: none */
};

static const char STORE[WIRE_STORE_ID + 1] = "this is a store.",
                                        OTHER_STORE[WIRE_STORE_ID + 1] = "this is another.";

static poise_code on_refused(void *context, const poise_refused *items, size_t count)
{
    struct bench *b = context;
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(b->told);
        snprintf(b->told + used, sizeof b->told - used, "%g %s;", items[i].measurement.value,
                 poise_refusal_name(items[i].reason));
    }
    return POISE_OK;
}

static void on_forked(void *context, const poise_fork *fork)
{
    struct bench *b = context;
    b->fork = *fork;
}

static void open_sender(struct bench *b)
{
    poise_error err = {0};
    if (poise_sender_open(&b->options, &b->sender, &err) != POISE_OK) {
        fail_msg("open: %s", err.text);
    }
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){.store = STORE};
    fake_open(&bench.fake);
    fake_up(&bench.fake);
    fake_path(&bench.fake, "spool", bench.spool);
    bench.options = (poise_sender_options){.endpoint = bench.fake.endpoint,
                                           .producer = "press-7",
                                           .spool = bench.spool,
                                           .refused = on_refused,
                                           .forked = on_forked,
                                           .context = &bench};
    open_sender(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    poise_sender_close(b->sender);
    fake_close(&b->fake);
    return 0;
}

static void send_batch(struct bench *b, double value)
{
    const poise_measurement measurement = {
        .measure = "scrap", .org = "plant-1", .time_ms = 1700000000000, .value = value, .of = 1};
    assert_int_equal(poise_send(b->sender, &measurement, NULL, NULL), POISE_OK);
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
}

static void expect(struct bench *b, enum wire_kind kind)
{
    int64_t end = now_ms() + PATIENCE_MS;
    do {
        while (!fake_receive(&b->fake)) {
            poise_error err = {0};
            if (poise_sender_step(b->sender, 5, &err) != POISE_OK) {
                fail_msg("step: %s", err.text);
            }
            assert_true(now_ms() < end);
        }
    } while (b->fake.kind == WIRE_HELLO && kind != WIRE_HELLO); /* again, on a slow machine */
    assert_int_equal(b->fake.kind, kind);
}

static struct wire_hello expect_hello(struct bench *b)
{
    struct wire_hello hello;
    expect(b, WIRE_HELLO);
    assert_int_equal(wire_decode_hello(b->fake.bytes, b->fake.length, &b->fake.arena, &hello, NULL),
                     POISE_OK);
    b->epoch = hello.epoch;
    return hello;
}

/* Of another epoch than the one before, which begins with that number. */
static struct wire_hello expect_new_epoch(struct bench *b, uint64_t first_seq)
{
    uint64_t before = b->epoch;
    struct wire_hello hello = expect_hello(b);
    assert_true(hello.epoch != before);
    assert_true(hello.forked_epoch == before);
    assert_int_equal(hello.first_seq, first_seq);
    assert_int_equal(hello.next_seq, first_seq);
    assert_true((hello.last_hash != 0) == (first_seq > 1));
    assert_true(b->fork.epoch == before && b->fork.new_epoch == hello.epoch);
    assert_int_equal(poise_sender_step(b->sender, 0, NULL), POISE_OK);
    return hello;
}

static struct wire_batch expect_batch(struct bench *b, uint64_t seq)
{
    struct wire_batch batch;
    expect(b, WIRE_BATCH);
    assert_int_equal(wire_decode_batch(b->fake.bytes, b->fake.length, &b->fake.arena, &batch, NULL),
                     POISE_OK);
    assert_int_equal(batch.seq, seq);
    assert_true(batch.epoch == b->epoch);
    b->hashes[seq - 1] = wire_batch_hash(b->fake.bytes, b->fake.length);
    return batch;
}

/* next_seq, and hashes of the batches before it. */
static void welcome(struct bench *b, uint64_t next_seq, const uint64_t *hashes, size_t count)
{
    struct wire_welcome welcome = {.incarnation = 9,
                                   .epoch = b->epoch,
                                   .next_seq = next_seq,
                                   .last_hash = count ? hashes[count - 1] : 0,
                                   .credit = 8,
                                   .max_batch_bytes = WIRE_MESSAGE_MAX,
                                   .max_batch_rows = 1000,
                                   .hashes = hashes,
                                   .hash_count = count};
    memcpy(welcome.store_id, b->store, sizeof welcome.store_id);
    fake_send(&b->fake, WIRE_WELCOME, wire_encode_welcome(&welcome, &b->fake.body));
}

static void ack(struct bench *b, uint64_t seq)
{
    struct wire_ack message = {.epoch = b->epoch, .seq = seq, .credit = 8};
    fake_send(&b->fake, WIRE_ACK, wire_encode_ack(&message, &b->fake.body));
}

static void expect_drained(struct bench *b)
{
    poise_error err = {0};
    if (poise_sender_drain(b->sender, PATIENCE_MS, &err) != POISE_OK) {
        fail_msg("drain: %s", err.text);
    }
}

/* Steps until one fails, with what. */
static poise_error expect_failure(struct bench *b)
{
    poise_error err = {0};
    int64_t end = now_ms() + PATIENCE_MS;
    while (poise_sender_step(b->sender, 20, &err) == POISE_OK) {
        assert_true(now_ms() < end);
    }
    return err;
}

static poise_sender_stats stats(const struct bench *b)
{
    poise_sender_stats stats;
    poise_sender_get_stats(b->sender, &stats);
    return stats;
}

/* Values 1 to count, a batch each, are sent; then the connection is cut. */
static void send_some(struct bench *b, uint64_t count, bool acknowledged)
{
    expect_hello(b);
    welcome(b, 1, NULL, 0);
    for (uint64_t i = 1; i <= count; i++) {
        send_batch(b, (double)i);
        expect_batch(b, i);
    }
    if (acknowledged) {
        ack(b, count);
        expect_drained(b);
    }
    fake_error(&b->fake, 0, POISE_ENOTFOUND);
    struct wire_hello hello = expect_hello(b);
    assert_int_equal(hello.next_seq, acknowledged ? count + 1 : 1);
    assert_true(hello.forked_epoch == 0);
}

static void test_what_differs_goes_again(void **state)
{
    struct bench *b = *state;
    send_some(b, 3, false);
    const uint64_t theirs[] = {b->hashes[0], 12345};
    welcome(b, 3, theirs, 2);
    expect_new_epoch(b, 2);
    assert_int_equal(b->fork.batches, 2);
    assert_int_equal(b->fork.doubtful, 0);
    welcome(b, 2, NULL, 0);
    assert_true(expect_batch(b, 2).value[0] == 2);
    assert_true(expect_batch(b, 3).value[0] == 3);
    ack(b, 3);
    expect_drained(b);
    assert_int_equal(stats(b).acknowledged, 3); /* the first through the other copy */
    assert_int_equal(stats(b).forks, 1);
    assert_int_equal(stats(b).lost, 0);
    assert_string_equal(b->told, "");
}

/* So that what two copies have in common counts once, where both have to go on under another epoch: whatever
 * they are told of what a third has sent, a batch that both still send has one name. */
static void test_copies_name_a_batch_alike(void **state)
{
    struct bench *b = *state;
    char copy[128], command[300];
    send_some(b, 4, false);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", b->spool, fake_path(&b->fake, "copy", copy));
    assert_int_equal(system(command), 0);
    const uint64_t theirs[] = {b->hashes[0], 12345, 12346}, before = b->epoch;
    welcome(b, 4, theirs, 3);
    expect_new_epoch(b, 2);
    uint64_t taken = b->epoch;
    welcome(b, 2, NULL, 0);
    for (uint64_t seq = 2; seq <= 4; seq++) {
        expect_batch(b, seq);
    }
    const uint64_t third = b->hashes[2], fourth = b->hashes[3];
    poise_sender_close(b->sender);
    b->options.spool = copy;
    open_sender(b);
    expect_hello(b);
    assert_true(b->epoch == before);
    welcome(b, 4, theirs + 2, 1); /* it was started, and knows the last alone */
    expect_new_epoch(b, 1);
    assert_true(b->epoch == taken);
    assert_string_equal(b->told, "1 in_doubt;2 in_doubt;");
    welcome(b, 3, b->hashes + 1, 1); /* the first copy's second, which was in doubt here */
    expect_batch(b, 3);
    expect_batch(b, 4);
    assert_true(b->hashes[2] == third && b->hashes[3] == fourth);
    ack(b, 4);
    expect_drained(b);
    assert_int_equal(stats(b).acknowledged, 2);
    assert_int_equal(stats(b).lost, 2);
}

/* The new epoch is one as any other, over starts and cuts. */
static void test_the_new_epoch_stays(void **state)
{
    struct bench *b = *state;
    send_some(b, 3, false);
    const uint64_t theirs[] = {b->hashes[0], 12345};
    welcome(b, 3, theirs, 2);
    expect_new_epoch(b, 2);
    welcome(b, 2, NULL, 0);
    expect_batch(b, 2);
    expect_batch(b, 3);
    ack(b, 2);
    for (int64_t end = now_ms() + PATIENCE_MS; stats(b).batches_left > 1;) {
        assert_int_equal(poise_sender_step(b->sender, 5, NULL), POISE_OK);
        assert_true(now_ms() < end);
    }
    poise_sender_close(b->sender);
    open_sender(b);
    uint64_t before = b->epoch;
    struct wire_hello hello = expect_hello(b);
    assert_true(hello.epoch == before);
    assert_int_equal(hello.first_seq, 2);
    assert_int_equal(hello.next_seq, 3);
    welcome(b, 4, b->hashes + 2, 1); /* the batch as it is under the new epoch */
    ack(b, 3);
    expect_drained(b);
    send_batch(b, 4);
    assert_true(expect_batch(b, 4).value[0] == 4);
    ack(b, 4);
    expect_drained(b);
    fake_error(&b->fake, 0, POISE_ENOTFOUND);
    hello = expect_hello(b);
    assert_int_equal(hello.next_seq, 5);
    assert_true(hello.last_hash == b->hashes[3]);
    assert_int_equal(stats(b).forks, 0);
}

static void test_what_the_copy_has_sent_is_passed_over(void **state)
{
    struct bench *b = *state;
    send_some(b, 2, false);
    const uint64_t theirs[] = {b->hashes[0], b->hashes[1], 12345};
    welcome(b, 4, theirs, 3);
    expect_new_epoch(b, 3);
    assert_int_equal(b->fork.batches, 0);
    expect_drained(b);
    assert_int_equal(stats(b).acknowledged, 2);
    welcome(b, 3, NULL, 0);
    send_batch(b, 3);
    assert_true(expect_batch(b, 3).value[0] == 3);
}

static void test_what_nobody_knows_is_in_doubt(void **state)
{
    struct bench *b = *state;
    send_some(b, 3, false);
    const uint64_t theirs[] = {12345}; /* of the third, and what the first two are is forgotten */
    welcome(b, 4, theirs, 1);
    expect_new_epoch(b, 1);
    assert_string_equal(b->told, "1 in_doubt;2 in_doubt;");
    assert_int_equal(b->fork.doubtful, 2);
    welcome(b, 1, NULL, 0);
    struct wire_batch batch = expect_batch(b, 1);
    assert_int_equal(batch.loss.last_seq, 2);
    assert_int_equal(batch.loss.rows, 2);
    assert_int_equal(batch.loss.reason, POISE_LOSS_FORKED);
    assert_int_equal(batch.loss.from_ms, 1700000000000);
    assert_true(batch.loss.last_hash != 0); /* so that other copies can compare */
    assert_true(expect_batch(b, 3).value[0] == 3);
    ack(b, 3);
    expect_drained(b);
    assert_int_equal(stats(b).lost, 2);
    assert_int_equal(stats(b).acknowledged, 1);
    assert_int_equal(stats(b).refused, 0);
}

/* More than go at a time are told at once: a part of it would be taken for batches of others. */
static void test_a_long_doubt_is_one_loss(void **state)
{
    enum { LONG = 300 };
    struct bench *b = *state;
    for (int i = 0; i < LONG; i++) {
        send_batch(b, i);
    }
    expect_hello(b);
    const uint64_t theirs[] = {12345};
    welcome(b, LONG + 1, theirs, 1);
    expect_new_epoch(b, 1);
    assert_int_equal(b->fork.doubtful, LONG - 1);
    welcome(b, 1, NULL, 0);
    struct wire_batch batch = expect_batch(b, 1);
    assert_int_equal(batch.loss.last_seq, LONG - 1);
    assert_int_equal(batch.loss.rows, LONG - 1);
}

/* Others may have begun the new epoch, too, and further on: without a hash nobody can tell. */
static void test_a_new_epoch_of_whom(void **state)
{
    struct bench *b = *state;
    send_some(b, 3, false);
    const uint64_t theirs[] = {b->hashes[0], 12345}, unknown[] = {0};
    welcome(b, 3, theirs, 2);
    expect_new_epoch(b, 2);
    welcome(b, 4, unknown, 1);
    ack(b, 3);
    expect_drained(b);
    assert_string_equal(b->told, "2 in_doubt;3 in_doubt;");
    assert_int_equal(stats(b).lost, 2);
    assert_int_equal(stats(b).acknowledged, 1);
    assert_int_equal(stats(b).forks, 1);
    send_batch(b, 4);
    assert_true(expect_batch(b, 4).value[0] == 4);
}

static void test_an_aggregator_that_sees_it_first(void **state)
{
    struct bench *b = *state;
    send_some(b, 3, true);
    const uint64_t theirs[] = {b->hashes[0], 12345, 23456};
    fake_error(&b->fake, 0, POISE_EFORK);
    struct wire_hello hello = expect_hello(b);
    assert_int_equal(hello.next_seq, 1); /* since when? */
    assert_true(hello.last_hash == 0);
    welcome(b, 4, theirs, 3);
    expect_new_epoch(b, 2);
    welcome(b, 2, NULL, 0);
    assert_true(expect_batch(b, 2).value[0] == 2);
    assert_true(expect_batch(b, 3).value[0] == 3);
    ack(b, 3);
    expect_drained(b);
    assert_int_equal(stats(b).acknowledged, 3); /* not twice */
}

static void test_what_was_acknowledged_is_another(void **state)
{
    struct bench *b = *state;
    send_some(b, 2, true);
    const uint64_t theirs[] = {b->hashes[0], 12345};
    welcome(b, 3, theirs + 1, 1);
    assert_int_equal(expect_hello(b).next_seq, 1);
    welcome(b, 3, theirs, 2);
    expect_new_epoch(b, 2);
    welcome(b, 2, NULL, 0);
    assert_true(expect_batch(b, 2).value[0] == 2);
}

/* A copy that begins the new epoch further on than others did, with other batches, goes on to the next. */
static void test_others_began_it_further_back(void **state)
{
    struct bench *b = *state;
    send_some(b, 3, true);
    const uint64_t theirs[] = {b->hashes[0], b->hashes[1], b->hashes[2], 12345};
    send_batch(b, 4);
    welcome(b, 5, theirs, 4);
    expect_new_epoch(b, 4);
    welcome(b, 2, NULL, 0);
    struct wire_hello hello = expect_new_epoch(b, 4);
    const uint64_t other = hello.last_hash + 1;
    welcome(b, 4, &other, 1); /* they have come as far as ours begin: later nobody could tell */
    hello = expect_new_epoch(b, 4);
    welcome(b, 4, &hello.last_hash, 1); /* what is before ours is our own: a copy of ours told it in doubt */
    assert_true(expect_batch(b, 4).value[0] == 4);
}

/* As many copies may have been there first; an aggregator that finds a fork in each epoch gets no more. */
static void test_forks_are_bounded(void **state)
{
    struct bench *b = *state;
    send_some(b, 1, false);
    const uint64_t theirs[] = {12345};
    for (int i = 0; i < FORKS_MAX; i++) {
        welcome(b, 2, theirs, 1);
        expect_new_epoch(b, 1);
    }
    welcome(b, 2, theirs, 1);
    assert_int_equal(expect_failure(b).code, POISE_EFORK);
    assert_int_equal(stats(b).forks, FORKS_MAX);
    assert_int_equal(stats(b).batches_left, 1);
}

static void test_another_store_is_refused(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1);
    expect_hello(b);
    welcome(b, 1, NULL, 0);
    expect_batch(b, 1);
    fake_error(&b->fake, 0, POISE_ENOTFOUND);
    expect_hello(b);
    b->store = OTHER_STORE;
    welcome(b, 1, NULL, 0);
    poise_error err = expect_failure(b);
    assert_int_equal(err.code, POISE_ESTORE);
    assert_non_null(strstr(err.text, b->spool));
    assert_int_equal(stats(b).batches_left, 1);
    expect_hello(b); /* it goes on asking, */
    b->store = STORE;
    welcome(b, 1, NULL, 0);
    expect_batch(b, 1); /* and works when the right one is back */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_differs_goes_again),
        TEST(test_copies_name_a_batch_alike),
        TEST(test_the_new_epoch_stays),
        TEST(test_what_the_copy_has_sent_is_passed_over),
        TEST(test_what_nobody_knows_is_in_doubt),
        TEST(test_a_long_doubt_is_one_loss),
        TEST(test_a_new_epoch_of_whom),
        TEST(test_an_aggregator_that_sees_it_first),
        TEST(test_what_was_acknowledged_is_another),
        TEST(test_others_began_it_further_back),
        TEST(test_forks_are_bounded),
        TEST(test_another_store_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
