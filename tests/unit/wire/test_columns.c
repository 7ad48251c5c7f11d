/* Our own decoder of batches takes, and understands, what protobuf-c does: a body in which a field comes
 * twice is left to protobuf-c, the last counts, and so the same body behind another epoch must be the same
 * batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <wire/wire.h>

enum { EPOCH_FIELD = 9, BODIES = 300, CHANGED = 200 };

static uint64_t seed = 1;

static uint64_t any(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 32 ^ seed << 32;
}

/* Of every size. */
static int64_t any_number(void)
{
    return (int64_t)any() >> any() % 64;
}

static double any_double(void)
{
    double value;
    uint64_t bits = any();
    memcpy(&value, &bits, sizeof value);
    return any() % 2 ? value : (double)(any() % 100);
}

/* Rows of some kind: `which` says which columns there are. */
static void make_body(unsigned which, struct buf *out)
{
    struct wire_builder *builder = wire_builder_open();
    char measure[32], org[300], source[32], key[32];
    assert_non_null(builder);
    if (which & 32) {
        wire_builder_backfill(builder, which & 64 ? WIRE_BACKFILL_ENDS : WIRE_BACKFILL_RUNS);
    }
    for (uint64_t rows = which % 7 == 0 ? 1 : 1 + any() % 200; rows > 0; rows--) {
        snprintf(measure, sizeof measure, "m%u", (unsigned)(any() % 300));
        snprintf(org, sizeof org, "%s%.*s", any() % 3 ? "ä/" : "p", (int)(any() % 60),
                 "0123456789012345678901234567890123456789012345678901234567890123456789");
        snprintf(source, sizeof source, "s%u", (unsigned)(any() % 3));
        snprintf(key, sizeof key, "k%u", (unsigned)any());
        bool keyed = (which & 4) && any() % 2;
        poise_measurement row = {.measure = measure,
                                 .org = any() % 5 ? org : "",
                                 .source = which & 1 ? source : "",
                                 .key = keyed ? key : NULL,
                                 .time_ms =
                                     any() % 2 ? 1700000000000 + any_number() % 100000 : any_number() / 4,
                                 .value = any_double(),
                                 .of = which & 2 ? any_double() : 1,
                                 .seq = which & 8 ? any() >> any() % 64 : 0,
                                 .retract = (which & 16) && keyed};
        poise_code code = wire_builder_add(builder, &row);
        assert_true(code == POISE_OK || code == POISE_EREFUSED || code == POISE_EINVAL);
    }
    assert_int_equal(wire_builder_finish(builder, any() | 1, 1 + any() % 1000000, out), POISE_OK);
    wire_builder_close(builder);
}

#define SAME_COLUMN(a, b, column, count)                                                                     \
    do {                                                                                                     \
        assert_true(!(a)->column == !(b)->column);                                                           \
        if ((a)->column && (count))                                                                          \
            assert_memory_equal((a)->column, (b)->column, (count) * sizeof *(a)->column);                    \
    } while (0)

static void same_batch(const struct wire_batch *a, const struct wire_batch *b)
{
    assert_true(a->epoch == b->epoch && a->seq == b->seq && a->backfill == b->backfill);
    assert_memory_equal(&a->loss, &b->loss, sizeof a->loss);
    assert_true(a->symbol_count == b->symbol_count && a->series_count == b->series_count &&
                a->rows == b->rows);
    for (size_t i = 0; i < a->symbol_count; i++) {
        assert_string_equal(a->symbols[i], b->symbols[i]);
    }
    if (a->series_count) {
        assert_memory_equal(a->series, b->series, a->series_count * sizeof *a->series);
    }
    if (a->rows) {
        assert_memory_equal(a->row_series, b->row_series, a->rows * sizeof *a->row_series);
        assert_memory_equal(a->time_ms, b->time_ms, a->rows * sizeof *a->time_ms);
        assert_memory_equal(a->value, b->value, a->rows * sizeof *a->value);
    }
    SAME_COLUMN(a, b, of, a->rows);
    SAME_COLUMN(a, b, key, a->rows);
    SAME_COLUMN(a, b, row_seq, a->rows);
    SAME_COLUMN(a, b, retract, a->rows);
}

/* Both ways; whether it was taken. *ret_used: the arena of the first. */
static bool decode_both(const struct buf *body, size_t ret_used[2])
{
    struct buf twice = {0};
    struct arena arenas[2];
    struct wire_batch batches[2];
    poise_code codes[2];
    buf_put_u8(&twice, EPOCH_FIELD);
    buf_put_u64(&twice, 0);
    buf_put(&twice, body->data, body->length);
    for (int i = 0; i < 2; i++) {
        const struct buf *bytes = i ? &twice : body;
        arena_init(&arenas[i], WIRE_ARENA);
        codes[i] = wire_decode_batch(bytes->data, bytes->length, &arenas[i], &batches[i], NULL);
        ret_used[i] = arenas[i].used;
    }
    assert_int_equal(codes[0], codes[1]);
    if (codes[0] == POISE_OK) {
        same_batch(&batches[0], &batches[1]);
    }
    for (int i = 0; i < 2; i++) {
        arena_free(&arenas[i]);
    }
    buf_free(&twice);
    return codes[0] == POISE_OK;
}

static void test_batches_are_the_same(void **state)
{
    (void)state;
    for (unsigned which = 0; which < BODIES; which++) {
        struct buf body = {0};
        size_t used[2];
        make_body(which, &body);
        assert_true(decode_both(&body, used));
        assert_true(used[0] < used[1]); /* by hand: no arena space for each text */
        buf_free(&body);
    }
}

/* Bytes changed, cut off, and put in twice; enough of them are still batches. */
static void test_so_are_bytes_that_are_none(void **state)
{
    (void)state;
    int taken = 0;
    for (unsigned which = 0; which < BODIES; which += 10) {
        struct buf body = {0};
        make_body(which | 7, &body);
        for (int i = 0; i < CHANGED; i++) {
            struct buf changed = {0};
            size_t at = any() % body.length, used[2];
            if (any() % 4 == 0) { /* a cut, or a piece that comes twice */
                buf_put(&changed, body.data, at);
                buf_put(&changed, body.data, any() % 2 ? 0 : body.length);
            } else {
                buf_put(&changed, body.data, body.length);
                changed.data[at % (i % 2 ? 40 : body.length)] ^= (uint8_t)(1u << any() % 8);
            }
            taken += decode_both(&changed, used);
            buf_free(&changed);
        }
        buf_free(&body);
    }
    assert_true(taken > 500);
}

/* Where protobuf-c's reading is its own: longer varints than are needed, numbers beyond 32 bits, an empty
 * column, rows in pieces, one row unpacked. */
static void test_so_is_what_nobody_writes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } columns[] = {{"\x42\x01\x00", 3},
                   {"\x42\x02\x80\x00", 4},
                   {"\x42\x05\x80\x80\x80\x80\x10", 7},
                   {"\x42\x05\x80\x80\x80\x80\x70", 7},
                   {"\x42\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12},
                   {"\x42\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12},
                   {"\x42\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 12},
                   {"\x42\x00\x42\x01\x00", 5},
                   {"\x40\x00", 2},
                   {"\x42\x01\x00\x72\x01\x02", 6},
                   {"\x42\x01\x00\x72\x01\x01", 6},
                   {"\x42\x01\x00\x72\x02\x80\x01", 7},
                   {"\x42\x01\x00\x6a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 15},
                   {"\x42\x01\x00\x78\x01", 5},
                   {"\x42\x01\x00\x78\x03", 5},
                   {"\x42\x01\x00\x78\x82\x00", 6},
                   {"\x42\x01\x00\x78\x82\x80\x80\x80\x10", 9},
                   {"\x42\x01\x00\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 14},
                   {"\x42\x01\x00\x1a\x01z", 6},
                   {"\x42\x01\x00\x1a\x01\x00", 6},
                   {"\x42\x01\x00\x82\x01\x00", 6},
                   {"\x42\x01\x00\xa2\x06\x00", 6},
                   {"\x42\x01\x00\x3a\x00", 5},
                   {"\x42\x01\x00\x5a\x00", 5},
                   {"\x42\x01\x00\x5a\x04pppp", 9}};
    static const char begin[] =
        "\x09\x01\x00\x00\x00\x00\x00\x00\x00\x10\x01\x1a\x01m\x1a\x00\x22\x01\x00\x2a\x01\x01"
        "\x4a\x01\x02\x52\x08\x00\x00\x00\x00\x00\x00\xf0\x3f";
    int taken = 0;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        struct buf body = {0};
        size_t used[2];
        buf_put(&body, begin, sizeof begin - 1);
        buf_put(&body, columns[i].bytes, columns[i].length);
        taken += decode_both(&body, used);
        buf_free(&body);
    }
    assert_true(taken > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batches_are_the_same),
                                       cmocka_unit_test(test_so_are_bytes_that_are_none),
                                       cmocka_unit_test(test_so_is_what_nobody_writes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
