#include "sender_bench.h"

#include <stdio.h>
#include <string.h>

const uint8_t STORE[WIRE_STORE_ID] = "this is a store";

void hear(struct bench *b, const char *text)
{
    size_t used = strlen(b->told);
    snprintf(b->told + used, sizeof b->told - used, "%s", text);
}

static poise_code on_refused(void *context, const poise_refused *items, size_t count)
{
    struct bench *b = context;
    hear(b, "[");
    for (size_t i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s %g %s;", items[i].measurement.measure, items[i].measurement.value,
                 poise_refusal_name(items[i].reason));
        hear(b, text);
    }
    hear(b, "]");
    return b->veto;
}

void open_sender(struct bench *b)
{
    poise_error err = {0};
    if (poise_sender_open(&b->options, &b->sender, &err) != POISE_OK) {
        fail_msg("open: %s", err.text);
    }
}

int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){0};
    fake_open(&bench.fake);
    fake_up(&bench.fake);
    fake_path(&bench.fake, "spool", bench.spool);
    bench.options = (poise_sender_options){.endpoint = bench.fake.endpoint,
                                           .producer = "press-7",
                                           .spool = bench.spool,
                                           .refused = on_refused,
                                           .context = &bench};
    open_sender(&bench);
    *state = &bench;
    return 0;
}

int teardown(void **state)
{
    struct bench *b = *state;
    poise_sender_close(b->sender);
    fake_close(&b->fake);
    return 0;
}

void send_value(struct bench *b, double value)
{
    poise_measurement measurement = {
        .measure = "scrap", .org = "plant-1", .time_ms = 1700000000000, .value = value, .of = 1};
    poise_error err = {0};
    if (poise_send(b->sender, &measurement, NULL, &err) != POISE_OK) {
        fail_msg("send: %s", err.text);
    }
}

/* A batch of `rows` values counting up from `from`. */
void send_batch(struct bench *b, int from, int rows)
{
    for (int i = 0; i < rows; i++) {
        send_value(b, from + i);
    }
    assert_int_equal(poise_sender_flush(b->sender, NULL), POISE_OK);
}

/* On a machine that stands still for a second the sender asks again, and rightly so. */
static bool is_repeated_hello(const struct bench *b, enum wire_kind wanted)
{
    return b->fake.kind == WIRE_HELLO && wanted != WIRE_HELLO && now_ms() - b->hello_ms > 900;
}

/* Steps the sender until the fake hears something, which must be of the kind. */
void expect(struct bench *b, enum wire_kind kind)
{
    int64_t end = now_ms() + PATIENCE_MS;
    while (!fake_receive(&b->fake) || is_repeated_hello(b, kind)) {
        poise_error err = {0};
        if (poise_sender_step(b->sender, 5, &err) != POISE_OK) {
            fail_msg("step: %s", err.text);
        }
        assert_true(now_ms() < end);
    }
    assert_int_equal(b->fake.kind, kind);
}

struct wire_hello expect_hello(struct bench *b)
{
    struct wire_hello hello;
    expect(b, WIRE_HELLO);
    assert_int_equal(wire_decode_hello(b->fake.bytes, b->fake.length, &b->fake.arena, &hello, NULL),
                     POISE_OK);
    b->epoch = hello.epoch;
    b->hello_ms = now_ms();
    return hello;
}

struct wire_batch expect_batch(struct bench *b, uint64_t seq)
{
    struct wire_batch batch;
    expect(b, WIRE_BATCH);
    assert_int_equal(wire_decode_batch(b->fake.bytes, b->fake.length, &b->fake.arena, &batch, NULL),
                     POISE_OK);
    assert_int_equal(batch.seq, seq);
    assert_true(batch.epoch == b->epoch);
    return batch;
}

/* Nothing more comes, though the sender had its chance. */
void expect_nothing(struct bench *b)
{
    for (int i = 0; i < 5; i++) {
        assert_int_equal(poise_sender_step(b->sender, 5, NULL), POISE_OK);
        assert_false(fake_receive(&b->fake));
    }
}

void welcome_as(struct bench *b, const uint8_t *store, uint64_t next_seq, uint64_t last_hash, uint32_t credit)
{
    struct wire_welcome welcome = {.incarnation = 9,
                                   .epoch = b->epoch,
                                   .next_seq = next_seq,
                                   .last_hash = last_hash,
                                   .credit = credit,
                                   .max_batch_bytes = WIRE_MESSAGE_MAX,
                                   .max_batch_rows = 1000};
    memcpy(welcome.store_id, store, sizeof welcome.store_id);
    fake_send(&b->fake, WIRE_WELCOME, wire_encode_welcome(&welcome, &b->fake.body));
}

void welcome(struct bench *b, uint64_t next_seq, uint64_t last_hash, uint32_t credit)
{
    welcome_as(b, STORE, next_seq, last_hash, credit);
}

void ack(struct bench *b, uint64_t seq, uint32_t credit, const struct wire_refusal *refusals, size_t count)
{
    struct wire_ack message = {
        .epoch = b->epoch, .seq = seq, .credit = credit, .refusals = refusals, .refusal_count = count};
    fake_send(&b->fake, WIRE_ACK, wire_encode_ack(&message, &b->fake.body));
}

void gap(struct bench *b, uint64_t expected)
{
    struct wire_gap message = {.epoch = b->epoch, .expected = expected};
    fake_send(&b->fake, WIRE_GAP, wire_encode_gap(&message, &b->fake.body));
}

void expect_drained(struct bench *b)
{
    poise_error err = {0};
    if (poise_sender_drain(b->sender, PATIENCE_MS, &err) != POISE_OK) {
        fail_msg("drain: %s", err.text);
    }
}

/* Steps until one fails, with what. */
poise_error expect_failure(struct bench *b)
{
    poise_error err = {0};
    int64_t end = now_ms() + PATIENCE_MS;
    while (poise_sender_step(b->sender, 20, &err) == POISE_OK) {
        assert_true(now_ms() < end);
    }
    return err;
}

poise_sender_stats stats(const struct bench *b)
{
    poise_sender_stats stats;
    poise_sender_get_stats(b->sender, &stats);
    return stats;
}

void reopen(struct bench *b)
{
    poise_sender_close(b->sender);
    b->sender = NULL;
    open_sender(b);
}
