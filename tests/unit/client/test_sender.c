/* poise_sender against an aggregator that the test plays. */
#include "sender_bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- the good path ---- */

static void test_batches_are_sent_and_acknowledged(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 3);
    struct wire_hello hello = expect_hello(b);
    assert_string_equal(hello.producer, "press-7");
    assert_string_equal(hello.software, "libpoise");
    assert_int_equal(hello.next_seq, 1);
    assert_true(hello.epoch != 0);
    assert_false(hello.has_store);
    welcome(b, 1, 0, 8);
    struct wire_batch batch = expect_batch(b, 1);
    assert_int_equal(batch.rows, 3);
    assert_true(batch.value[0] == 1 && batch.value[2] == 3);
    assert_int_equal(stats(b).acknowledged, 0);
    ack(b, 1, 8, NULL, 0);
    expect_drained(b);
    assert_int_equal(stats(b).accepted, 3);
    assert_int_equal(stats(b).acknowledged, 3);
    assert_int_equal(stats(b).batches_left, 0);
    assert_true(stats(b).connected);
}

static void test_the_aggregator_may_come_late(void **state)
{
    struct bench *b = *state;
    fake_down(&b->fake);
    send_batch(b, 1, 1);
    poise_error err = {0};
    assert_int_equal(poise_sender_step(b->sender, 300, &err), POISE_OK);
    assert_int_equal(poise_sender_drain(b->sender, 50, &err), POISE_ETIMEOUT);
    assert_non_null(strstr(err.text, "does not answer"));
    assert_false(stats(b).connected);
    fake_up(&b->fake);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    ack(b, 1, 8, NULL, 0);
    expect_drained(b);
}

static void test_a_lingering_batch_goes_by_itself(void **state)
{
    struct bench *b = *state;
    send_value(b, 1);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    assert_int_equal(expect_batch(b, 1).rows, 1);
}

static void test_a_later_send_closes_a_lingering_batch(void **state)
{
    struct bench *b = *state;
    b->options.linger_ms = 1;
    reopen(b);
    int64_t begun = now_ms();
    send_value(b, 1);
    while (now_ms() <= begun + 2) {
    }
    send_value(b, 2);
    assert_int_equal(stats(b).accepted, 1);
}

static void test_full_batches_are_closed(void **state)
{
    struct bench *b = *state;
    b->options.batch_rows = 4;
    b->options.linger_ms = 1000000;
    reopen(b);
    for (int i = 0; i < 10; i++) {
        send_value(b, i);
    }
    assert_int_equal(stats(b).accepted, 8);
    assert_int_equal(stats(b).batches_left, 2);
    poise_sender_close(b->sender); /* spools the open batch */
    open_sender(b);
    assert_int_equal(stats(b).batches_left, 3);
}

static void test_the_aggregators_limits_are_kept(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 1);
    expect_hello(b);
    struct wire_welcome small = {.epoch = b->epoch, .next_seq = 1, .credit = 8, .max_batch_rows = 2};
    fake_send(&b->fake, WIRE_WELCOME, wire_encode_welcome(&small, &b->fake.body));
    expect_batch(b, 1);
    send_batch(b, 1, 5);
    assert_int_equal(expect_batch(b, 2).rows, 2);
    assert_int_equal(expect_batch(b, 3).rows, 2);
    assert_int_equal(expect_batch(b, 4).rows, 1);
}

static void test_credit_is_respected(void **state)
{
    struct bench *b = *state;
    for (int i = 1; i <= 5; i++) {
        send_batch(b, i, 1);
    }
    expect_hello(b);
    welcome(b, 1, 0, 2);
    expect_batch(b, 1);
    expect_batch(b, 2);
    expect_nothing(b);
    ack(b, 1, 2, NULL, 0);
    expect_batch(b, 3);
    expect_nothing(b);
    ack(b, 3, 0, NULL, 0);
    expect_nothing(b);
    ack(b, 3, 9, NULL, 0);
    expect_batch(b, 4);
    expect_batch(b, 5);
    ack(b, 5, 9, NULL, 0);
    expect_drained(b);
}

/* ---- losing and repeating ---- */

static void test_a_restarted_sender_resends(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 2);
    uint64_t epoch = expect_hello(b).epoch;
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    uint64_t hash = wire_batch_hash(b->fake.bytes, b->fake.length);

    reopen(b);
    struct wire_hello hello = expect_hello(b);
    assert_true(hello.epoch == epoch);
    assert_int_equal(hello.next_seq, 1);
    assert_true(hello.has_store);
    assert_memory_equal(hello.store_id, STORE, sizeof STORE);
    assert_int_equal(hello.incarnation, 9);
    welcome(b, 1, 0, 8);
    assert_int_equal(expect_batch(b, 1).rows, 2);
    assert_true(wire_batch_hash(b->fake.bytes, b->fake.length) == hash);

    /* The acknowledgement is lost, too, but the batch was not. */
    reopen(b);
    expect_hello(b);
    welcome(b, 2, hash, 8);
    ack(b, 1, 8, NULL, 0);
    expect_drained(b);
    assert_int_equal(stats(b).acknowledged, 2);
    assert_int_equal(stats(b).accepted, 0);
    send_batch(b, 1, 1);
    expect_batch(b, 2);
    ack(b, 2, 8, NULL, 0);
    expect_drained(b);

    reopen(b);
    send_batch(b, 7, 1);
    assert_true(expect_hello(b).last_hash != 0);
}

static void test_an_aggregator_that_forgot_us_is_greeted_again(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 1);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    fake_error(&b->fake, 0, POISE_ENOTFOUND);
    assert_int_equal(expect_hello(b).next_seq, 1);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
}

static void test_a_restarted_aggregator_is_greeted_again(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 1);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    fake_down(&b->fake);
    int64_t end = now_ms() + PATIENCE_MS;
    while (stats(b).connected) { /* the cut is seen */
        assert_int_equal(poise_sender_step(b->sender, 20, NULL), POISE_OK);
        assert_true(now_ms() < end);
    }
    fake_up(&b->fake);
    assert_int_equal(expect_hello(b).next_seq, 1);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    ack(b, 1, 8, NULL, 0);
    expect_drained(b);
}

static void test_silence_after_hello_is_asked_again(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 1);
    expect_hello(b);
    int64_t asked = now_ms();
    expect_hello(b);
    assert_in_range(now_ms() - asked, 900, PATIENCE_MS);
}

static void test_no_room_is_tried_later(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 1);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    fake_error(&b->fake, 0, POISE_EFULL);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
}

static void test_a_gap_is_filled(void **state)
{
    struct bench *b = *state;
    for (int i = 1; i <= 4; i++) {
        send_batch(b, i, 1);
    }
    expect_hello(b);
    welcome(b, 1, 0, 8);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        expect_batch(b, seq);
    }
    for (int lost = 0; lost < 2; lost++) {
        gap(b, 2);
        for (uint64_t seq = 2; seq <= 4; seq++) {
            expect_batch(b, seq);
        }
    }
    ack(b, 4, 8, NULL, 0);
    expect_drained(b);
}

static void test_acknowledgements_may_repeat(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 1);
    send_batch(b, 2, 1);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    expect_batch(b, 2);
    struct wire_refusal refusal = {.seq = 1, .row = 0, .reason = POISE_REFUSAL_LEVEL};
    ack(b, 1, 8, &refusal, 1);
    ack(b, 1, 8, &refusal, 1);
    ack(b, 2, 8, &refusal, 1);
    expect_drained(b);
    assert_string_equal(b->told, "[scrap 1 level;]");
    assert_int_equal(stats(b).acknowledged, 2);
    assert_int_equal(stats(b).refused, 1);
}

/* ---- refusals ---- */

static void test_refused_rows_reach_the_callback(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 3);
    send_batch(b, 11, 2);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    expect_batch(b, 2);
    struct wire_refusal refusals[] = {
        {.seq = 1, .row = 2, .reason = POISE_REFUSAL_TIME_AHEAD},
        {.seq = 1, .row = 3, .reason = POISE_REFUSAL_TIME_AHEAD}, /* there is no such row */
        {.seq = 2, .row = WIRE_ROW_ALL, .reason = POISE_REFUSAL_MALFORMED},
        {.seq = 2, .row = 0, .reason = POISE_REFUSAL_MALFORMED}, /* told already */
        {.seq = 7, .row = 0, .reason = POISE_REFUSAL_MALFORMED}, /* not acknowledged */
    };
    ack(b, 2, 8, refusals, sizeof refusals / sizeof *refusals);
    expect_drained(b);
    assert_string_equal(b->told, "[scrap 3 time_ahead;][scrap 11 malformed;scrap 12 malformed;]");
    assert_int_equal(stats(b).refused, 3);
    assert_int_equal(stats(b).acknowledged, 5);
}

static void test_a_welcome_acknowledges_nothing(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 2);
    send_batch(b, 3, 2);
    send_batch(b, 5, 2);
    expect_hello(b);
    struct wire_refusal refusal = {.seq = 1, .row = 1, .reason = POISE_REFUSAL_LEVEL};
    ack(b, 2, 8, NULL, 0); /* of before the HELLO: it could be about a fork's batches */
    welcome(b, 3, 0, 8);
    expect_batch(b, 3); /* it goes on from there, */
    expect_nothing(b);
    assert_int_equal(stats(b).batches_left, 3); /* but what is on disk may have refusals that are to come */
    ack(b, 1, 8, &refusal, 1);
    ack(b, 2, 8, NULL, 0);
    expect_nothing(b);
    assert_string_equal(b->told, "[scrap 2 level;]");
    assert_int_equal(stats(b).acknowledged, 4);
    assert_int_equal(stats(b).batches_left, 1);
}

/* What cannot be kept is not acknowledged, not even by what says later that all is on disk. */
static void test_refusals_that_cannot_be_kept_are_told_again(void **state)
{
    struct bench *b = *state;
    struct wire_refusal refusals[] = {{.seq = 1, .row = 1, .reason = POISE_REFUSAL_LEVEL},
                                      {.seq = 2, .row = 0, .reason = POISE_REFUSAL_LEVEL}};
    send_batch(b, 1, 2);
    send_batch(b, 3, 2);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    expect_batch(b, 2);
    b->veto = POISE_EIO;
    ack(b, 2, 8, refusals, 2);
    ack(b, 2, 8, &refusals[1], 1);
    poise_error err = expect_failure(b);
    assert_int_equal(err.code, POISE_EIO);
    assert_non_null(strstr(err.text, "batch 1 could not be kept"));
    assert_string_equal(b->told, "[scrap 2 level;]");
    assert_int_equal(stats(b).refused, 0);
    assert_int_equal(stats(b).acknowledged, 0);
    assert_int_equal(stats(b).batches_left, 2);

    b->veto = POISE_OK;
    b->told[0] = '\0';
    assert_int_equal(expect_hello(b).next_seq, 1);
    welcome(b, 3, 0, 8);
    ack(b, 1, 8, &refusals[0], 1);
    ack(b, 2, 8, &refusals[1], 1);
    expect_drained(b);
    assert_string_equal(b->told, "[scrap 2 level;][scrap 3 level;]");
    assert_int_equal(stats(b).refused, 2);
    assert_int_equal(stats(b).acknowledged, 4);
}

static void test_a_bad_measurement_is_refused_at_once(void **state)
{
    struct bench *b = *state;
    poise_measurement measurement = {.measure = "scrap", .time_ms = 0, .value = 1e300, .of = 1};
    poise_refusal reason = POISE_REFUSAL_NONE;
    poise_error err = {0};
    assert_int_equal(poise_send(b->sender, &measurement, &reason, &err), POISE_EREFUSED);
    assert_int_equal(reason, POISE_REFUSAL_VALUE);
    assert_string_equal(err.text, poise_refusal_text(POISE_REFUSAL_VALUE));
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
    assert_int_equal(stats(b).accepted, 0);
}

/* Takes the next batch of values that count up, and acknowledges it. */
static void take_batch(struct bench *b, uint64_t *seq, int *next_value)
{
    struct wire_batch batch = expect_batch(b, *seq);
    for (size_t row = 0; row < batch.rows; row++) {
        assert_true(batch.value[row] == *next_value);
        ++*next_value;
    }
    ack(b, (*seq)++, 8, NULL, 0);
}

static void test_a_full_spool_neither_loses_nor_doubles(void **state)
{
    struct bench *b = *state;
    b->options.spool_max_bytes = 1 << 16;
    b->options.batch_rows = 100;
    reopen(b);
    poise_measurement measurement = {.measure = "scrap", .time_ms = 1700000000000, .of = 1};
    int sent = 0;
    while (poise_send(b->sender, &measurement, NULL, NULL) == POISE_OK) {
        measurement.value = ++sent;
        assert_true(sent < 100000);
    }
    assert_int_equal(poise_send(b->sender, &measurement, NULL, NULL), POISE_EFULL);

    expect_hello(b);
    welcome(b, 1, 0, 8);
    uint64_t seq = 1;
    int received = 0;
    while (poise_send(b->sender, &measurement, NULL, NULL) == POISE_EFULL) {
        take_batch(b, &seq, &received);
    }
    sent++;
    while (received < sent) {
        take_batch(b, &seq, &received);
    }
    expect_drained(b);
    assert_int_equal(received, sent);
    assert_int_equal(stats(b).accepted, sent);
    assert_int_equal(stats(b).acknowledged, sent);
}

/* There is no room for the batch that is due: what is waited for is an acknowledgement. */
static void test_waiting_for_room_costs_nothing(void **state)
{
    struct bench *b = *state;
    struct timespec before, after;
    b->options.spool_max_bytes = 1 << 16;
    reopen(b);
    poise_measurement measurement = {.measure = "scrap", .time_ms = 1700000000000, .of = 1};
    while (poise_send(b->sender, &measurement, NULL, NULL) == POISE_OK) {
        measurement.value++;
    }
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before), 0);
    assert_int_equal(poise_sender_step(b->sender, 500, NULL), POISE_OK);
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after), 0);
    int64_t spent_ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    assert_true(spent_ms < 200);
}

/* ---- what does not go together ---- */

enum { BATCHES = 180 };

static void on_lost(void *context, const poise_loss *loss, const char *aside)
{
    struct bench *b = context;
    assert_null(aside);
    assert_string_equal(loss->producer, "press-7");
    hear(b, loss->reason == POISE_LOSS_OLDEST ? "o" : "n");
}

/* Into a spool that has no room for all of them; the rest may have been told as lost. */
static void fill_dropping(struct bench *b, poise_when_full when_full, int batches)
{
    b->options.spool_max_bytes = batches > BATCHES ? 40000 : 16000;
    b->options.when_full = when_full;
    b->options.lost = on_lost;
    reopen(b);
    for (int i = 1; i <= batches; i++) {
        send_batch(b, i, 1);
    }
    assert_true(stats(b).lost > 0);
}

/* All that comes from a number on: batches, and one loss. */
static uint64_t expect_rest(struct bench *b, uint64_t from, int batches, struct wire_loss *ret_loss)
{
    uint64_t counted = 0, seq = from;
    *ret_loss = (struct wire_loss){0};
    while (seq <= (uint64_t)batches) {
        struct wire_batch batch = expect_batch(b, seq);
        if (batch.loss.last_seq) {
            assert_int_equal(ret_loss->last_seq, 0);
            *ret_loss = batch.loss;
            assert_int_equal(batch.loss.from_ms, 1700000000000);
            assert_int_equal(batch.loss.to_ms, 1700000000000);
            ack(b, batch.loss.last_seq, 200, NULL, 0);
        } else {
            assert_true(batch.value[0] == (double)seq);
            counted++;
        }
        seq = batch.loss.last_seq ? batch.loss.last_seq + 1 : seq + 1;
    }
    ack(b, seq - 1, 200, NULL, 0);
    expect_drained(b);
    return counted;
}

/* Two of them had come, and are no loss: so the loss is of the rest. */
static void test_the_oldest_are_dropped(void **state)
{
    struct bench *b = *state;
    struct wire_loss loss;
    fill_dropping(b, POISE_DROP_OLDEST, BATCHES);
    assert_int_equal(b->told[0], 'o');
    reopen(b); /* by what is on disk */
    expect_hello(b);
    welcome(b, 3, 0, 200);
    uint64_t counted = expect_rest(b, 3, BATCHES, &loss);
    assert_true(counted > 5);
    assert_int_equal(loss.reason, POISE_LOSS_OLDEST);
    assert_int_equal(loss.rows + counted, BATCHES - 2);
    assert_int_equal(loss.rows, loss.last_seq - 2);
}

/* The aggregator has got a loss, its acknowledgement was lost, and more goes meanwhile: what was told in one
 * message is not put together with what comes behind it. */
static void test_a_loss_that_was_told_does_not_grow(void **state)
{
    enum { MORE = 550, ALL = 700 };
    struct bench *b = *state;
    struct wire_loss loss;
    fill_dropping(b, POISE_DROP_OLDEST, MORE);
    expect_hello(b);
    welcome(b, 1, 0, 200);
    struct wire_batch first = expect_batch(b, 1);
    assert_int_equal(first.loss.rows, first.loss.last_seq);
    uint64_t next = first.loss.last_seq + 1;
    for (int i = MORE + 1; i <= ALL; i++) {
        send_batch(b, i, 1);
    }
    reopen(b);
    expect_hello(b);
    welcome(b, next, 0, 200);
    ack(b, next - 1, 200, NULL, 0); /* once more */
    uint64_t counted = expect_rest(b, next, ALL, &loss);
    assert_int_equal(first.loss.rows + loss.rows + counted, ALL);
    assert_true(loss.last_seq > next);
}

static void test_the_newest_are_dropped(void **state)
{
    struct bench *b = *state;
    struct wire_loss loss;
    fill_dropping(b, POISE_DROP_NEWEST, BATCHES);
    assert_int_equal(stats(b).accepted + stats(b).lost, BATCHES);
    expect_hello(b);
    welcome(b, 1, 0, 200);
    uint64_t counted = expect_rest(b, 1, BATCHES, &loss);
    assert_int_equal(loss.reason, POISE_LOSS_NEWEST);
    assert_int_equal(loss.last_seq, BATCHES);
    assert_int_equal(loss.rows + counted, BATCHES);
    assert_int_equal(stats(b).acknowledged, counted);
}

static void test_a_store_that_went_back_gets_it_again(void **state)
{
    struct bench *b = *state;
    expect_hello(b);
    welcome(b, 1, 0, 8);
    for (int i = 1; i <= 4; i++) {
        send_batch(b, i, 1);
        expect_batch(b, (uint64_t)i);
        ack(b, (uint64_t)i, 8, NULL, 0);
        expect_drained(b);
    }
    send_batch(b, 5, 1);
    expect_batch(b, 5);
    fake_error(&b->fake, 0, POISE_ENOTFOUND);
    assert_int_equal(expect_hello(b).next_seq, 5);
    welcome(b, 2, 0, 2); /* it has batch 1 only */
    expect_batch(b, 2);
    expect_batch(b, 3);
    assert_int_equal(stats(b).batches_left, 4);
    poise_sender_close(b->sender); /* and knows it after a start */
    open_sender(b);
    assert_int_equal(stats(b).batches_left, 4);
    uint64_t hash = expect_hello(b).last_hash;
    welcome(b, 2, hash, 8);
    for (uint64_t seq = 2; seq <= 5; seq++) {
        expect_batch(b, seq);
    }
    ack(b, 5, 8, NULL, 0);
    expect_drained(b);
    fake_error(&b->fake, 0, POISE_ENOTFOUND);
    expect_hello(b);
    send_batch(b, 6, 1); /* before, it could be on its way when the sender hears that */
    welcome(b, 4, 0, 8); /* once more */
    expect_batch(b, 4);
    expect_batch(b, 5);
    expect_batch(b, 6);
    ack(b, 6, 8, NULL, 0);
    expect_drained(b);
    assert_int_equal(stats(b).acknowledged, 5); /* of this run: 2 to 5, and 6; twice is once */
}

/* What the spool had no room to keep. */
static void test_a_store_that_went_back_too_far_is_a_gap(void **state)
{
    struct bench *b = *state;
    poise_sender_close(b->sender);
    b->options.spool_max_bytes = 4000;
    open_sender(b);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    for (int i = 1; i <= 40; i++) {
        send_batch(b, i, 5);
        expect_batch(b, (uint64_t)i);
        ack(b, (uint64_t)i, 8, NULL, 0);
        expect_drained(b);
    }
    send_batch(b, 41, 1);
    expect_batch(b, 41);
    assert_true(stats(b).spool_bytes <= 4000);
    fake_error(&b->fake, 0, POISE_ENOTFOUND);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    poise_error err = expect_failure(b);
    assert_int_equal(err.code, POISE_EGAP);
    assert_non_null(strstr(err.text, "older backup"));
    assert_int_equal(stats(b).batches_left, 1);
}

static void test_refusing_aggregators_are_reported(void **state)
{
    struct bench *b = *state;
    send_batch(b, 1, 1);
    expect_hello(b);
    fake_error(&b->fake, 0, POISE_EDENIED);
    poise_error err = expect_failure(b);
    assert_int_equal(err.code, POISE_EDENIED);
    assert_non_null(strstr(err.text, "says the fake"));
    expect_hello(b);
    buf_put(&b->fake.body, "\xff\xff\xff", 3);
    fake_send(&b->fake, WIRE_WELCOME, POISE_OK);
    assert_int_equal(expect_failure(b).code, POISE_EPROTO);
    expect_hello(b);
    welcome(b, 1, 0, 8);
    expect_batch(b, 1);
    ack(b, 2, 8, NULL, 0); /* there is no batch 2 */
    assert_int_equal(expect_failure(b).code, POISE_EPROTO);
}

static void test_bad_options_are_refused(void **state)
{
    struct bench *b = *state;
    poise_sender *sender = NULL;
    poise_error err = {0};
    assert_int_equal(poise_sender_open(&b->options, &sender, &err), POISE_EBUSY); /* one process a spool */
    poise_sender_options options = b->options;
    options.producer = "no id!";
    assert_int_equal(poise_sender_open(&options, &sender, &err), POISE_EINVAL);
    options = b->options;
    options.endpoint = NULL;
    assert_int_equal(poise_sender_open(&options, &sender, &err), POISE_EINVAL);
    options = b->options;
    options.batch_rows = WIRE_BATCH_ROWS_MAX + 1;
    assert_int_equal(poise_sender_open(&options, &sender, &err), POISE_EINVAL);
    assert_null(sender);
    poise_sender_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_batches_are_sent_and_acknowledged),
        TEST(test_the_aggregator_may_come_late),
        TEST(test_a_lingering_batch_goes_by_itself),
        TEST(test_a_later_send_closes_a_lingering_batch),
        TEST(test_full_batches_are_closed),
        TEST(test_the_aggregators_limits_are_kept),
        TEST(test_credit_is_respected),
        TEST(test_a_restarted_sender_resends),
        TEST(test_an_aggregator_that_forgot_us_is_greeted_again),
        TEST(test_a_restarted_aggregator_is_greeted_again),
        TEST(test_silence_after_hello_is_asked_again),
        TEST(test_no_room_is_tried_later),
        TEST(test_a_gap_is_filled),
        TEST(test_acknowledgements_may_repeat),
        TEST(test_refused_rows_reach_the_callback),
        TEST(test_a_welcome_acknowledges_nothing),
        TEST(test_refusals_that_cannot_be_kept_are_told_again),
        TEST(test_a_bad_measurement_is_refused_at_once),
        TEST(test_a_full_spool_neither_loses_nor_doubles),
        TEST(test_waiting_for_room_costs_nothing),
        TEST(test_the_oldest_are_dropped),
        TEST(test_a_loss_that_was_told_does_not_grow),
        TEST(test_the_newest_are_dropped),
        TEST(test_a_store_that_went_back_gets_it_again),
        TEST(test_a_store_that_went_back_too_far_is_a_gap),
        TEST(test_refusing_aggregators_are_reported),
        TEST(test_bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
