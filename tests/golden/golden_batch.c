#include "golden.h"

static void build(const poise_measurement *rows, size_t count, uint64_t seq, struct buf *out)
{
    struct wire_builder *builder = wire_builder_open();
    assert_non_null(builder);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(wire_builder_add(builder, &rows[i]), POISE_OK);
    }
    assert_int_equal(wire_builder_rows(builder), count);
    assert_int_equal(wire_builder_finish(builder, GOLDEN_EPOCH, seq, out), POISE_OK);
    assert_int_equal(wire_builder_rows(builder), 0);
    wire_builder_close(builder);
}

static void check_row(const struct wire_batch *batch, size_t row, const poise_measurement *wanted)
{
    poise_measurement got = wire_batch_row(batch, row);
    assert_string_equal(got.measure, wanted->measure);
    assert_string_equal(got.org, wanted->org ? wanted->org : "");
    assert_string_equal(got.source, wanted->source ? wanted->source : "");
    assert_int_equal(got.key != NULL, wanted->key != NULL);
    if (got.key) {
        assert_string_equal(got.key, wanted->key);
    }
    assert_int_equal(got.time_ms, wanted->time_ms);
    assert_true(got.value == wanted->value && got.of == wanted->of);
    assert_int_equal(got.seq, wanted->seq);
    assert_int_equal(got.retract, wanted->retract);
}

static struct wire_batch decode(const void *body, size_t length, struct arena *arena, uint64_t seq)
{
    struct wire_batch batch;
    poise_error err = {.text = ""};
    if (wire_decode_batch(body, length, arena, &batch, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(batch.epoch == GOLDEN_EPOCH);
    assert_int_equal(batch.seq, seq);
    uint64_t peeked_epoch, peeked_seq;
    assert_true(wire_peek_batch(body, length, &peeked_epoch, &peeked_seq));
    assert_true(peeked_epoch == batch.epoch && peeked_seq == seq);
    return batch;
}

#define LINE "plant-1/line-3"
static const poise_measurement rows[] = {
    {"rejects", LINE, "mes", "order-1", GOLDEN_NOON, 3, 120, 7, false},
    {"rejects", LINE, "mes", NULL, GOLDEN_NOON + 60000, 2.5, 100, 0, false},
    {"rejects", NULL, NULL, "order-ü", GOLDEN_NOON + 60000 - 3600000, -0.125, 1, 0, false},
    {"rejects", LINE, "mes", "order-1", GOLDEN_NOON + 60000 - 3600000, 0, 1, 8, true},
};

void encode_batch(struct buf *out)
{
    build(rows, 4, 43, out);
}

void check_batch(const void *body, size_t length, struct arena *arena)
{
    struct wire_batch batch = decode(body, length, arena, 43);
    assert_int_equal(batch.rows, 4);
    for (size_t i = 0; i < batch.rows; i++) {
        check_row(&batch, i, &rows[i]);
    }
}

static const poise_measurement plain_rows[] = {
    {.measure = "throughput", .org = "plant-1", .time_ms = GOLDEN_NOON, .value = 10, .of = 1},
    {.measure = "throughput", .org = "plant-1", .time_ms = GOLDEN_NOON + 1000, .value = 11, .of = 1},
    {.measure = "throughput", .org = "plant-1", .time_ms = GOLDEN_NOON + 2000, .value = 12.75, .of = 1},
};

void encode_batch_plain(struct buf *out)
{
    build(plain_rows, 3, 44, out);
}

void check_batch_plain(const void *body, size_t length, struct arena *arena)
{
    struct wire_batch batch = decode(body, length, arena, 44);
    assert_int_equal(batch.rows, 3);
    assert_null(batch.of);
    assert_null(batch.key);
    assert_null(batch.row_seq);
    assert_null(batch.retract);
    for (size_t i = 0; i < batch.rows; i++) {
        check_row(&batch, i, &plain_rows[i]);
    }
}
