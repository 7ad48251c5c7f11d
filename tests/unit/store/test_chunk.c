/* Chunks give back what was put in, to the bit; are small where they can be; and stand any damage. */
#include "columns.h"
#include <base/hash.h>
#include <math.h>
#include <poise/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 4096, SERIES = 77 };

static poise_code encode(const struct chunk_rows *rows, struct buf *out)
{
    buf_reset(out);
    return chunk_encode(SERIES, rows, out, NULL);
}

/* ---- what comes back ---- */

static void test_any_columns(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 63, 64, 65, 127, 128, 129, 255, 256, 1000, CAPACITY};
    struct columns columns;
    struct buf chunk = {0};
    uint64_t random = 1;
    columns_make(&columns, CAPACITY);
    for (int round = 0; round < 3000; round++) {
        size_t count = round % 2 ? (size_t)test_between(&random, 1, 200)
                                 : counts[(size_t)round / 2 % (sizeof counts / sizeof *counts)];
        columns_fill(&columns, count, &random);
        assert_int_equal(encode(&columns.rows, &chunk), POISE_OK);
        columns_check(&columns.rows, SERIES, &chunk);
    }
    buf_free(&chunk);
    columns_free(&columns);
}

static void test_largest(void **state)
{
    (void)state;
    struct columns columns;
    struct buf chunk = {0};
    uint64_t random = 2;
    columns_make(&columns, CHUNK_ROWS_MAX + 1);
    columns_fill(&columns, CHUNK_ROWS_MAX, &random);
    assert_int_equal(encode(&columns.rows, &chunk), POISE_OK);
    columns_check(&columns.rows, SERIES, &chunk);
    columns_plain(&columns, CHUNK_ROWS_MAX + 1, 1);
    assert_int_equal(encode(&columns.rows, &chunk), POISE_ELIMIT);
    buf_free(&chunk);
    columns_free(&columns);
}

/* Columns that are NULL say the same as columns that hold nothing special. */
static void test_absent_columns(void **state)
{
    (void)state;
    struct columns columns;
    struct buf chunk = {0}, bare = {0};
    columns_make(&columns, 100);
    columns_plain(&columns, 100, 3);
    const struct chunk_rows rows = {
        .count = 100, .time_ms = columns.time_ms, .value = columns.value, .ordinal = columns.ordinal};
    assert_int_equal(encode(&columns.rows, &chunk), POISE_OK);
    assert_int_equal(encode(&rows, &bare), POISE_OK);
    columns_check(&columns.rows, SERIES, &bare);
    assert_int_equal(bare.length, chunk.length);
    assert_memory_equal(bare.data, chunk.data, chunk.length);
    buf_free(&chunk);
    buf_free(&bare);
    columns_free(&columns);
}

static void seal(uint8_t *bytes, size_t length) /* the right CRC, whatever they are */
{
    static const uint8_t name[8] = {SERIES};
    uint32_t crc = crc32c(name, sizeof name) ^ crc32c(bytes + 4, length - 4);
    struct buf out = {.data = bytes, .capacity = 4};
    buf_put_u32(&out, crc);
}

/* The bytes as docs/series-store.md lays them out: stores of old must stay readable. */
static void test_golden_bytes(void **state)
{
    (void)state;
    static const int64_t times[] = {1000, 2000, 3000, 4001};
    static const double values[] = {0.5, 0.25, 0.75, 1}, ofs[] = {1, 1, 1, 0.1};
    static const uint64_t ordinals[] = {7, 8, 9, 10}, gone[] = {0, 10, 0, 0};
    static const struct chunk_key keys[] = {{"a07", 3}, {"a08", 3}, {"a09", 3}, {"a10", 3}};
    const struct chunk_rows rows = {.count = 4,
                                    .time_ms = times,
                                    .value = values,
                                    .of = ofs,
                                    .ordinal = ordinals,
                                    .gone = gone,
                                    .key = keys};
    uint8_t golden[] = {
        0, 0,  0,    0,                               /* the CRC */
        1, 13, 4,    3,    0xd0, 0x0f, 0xb9, 0x17,    /* format, flags, rows, standing, 1000, + 3001 */
        6, 1,  0xd0, 0x0f, 0,    1,    8,             /* steps, 1000 and more, from 0; in 1 bit each */
        8, 2,  0,    50,   7,    0x19, 0x80, 0x6c, 9, /* hundredths, 25 and more, in 7 bits each */
        3, 5,  2,    14,                              /* steps, all 1, from 7 */
        6, 1,  0,    2,    4,    0x99, 9,             /* tenths, 1 and more, in 4 bits each */
        7, 1,  2,    1,    'a',  5,    2,    14, /* numbers of 2 digits behind "a": steps, all 1, from 7 */
        3, 1,  1,    2};                         /* one, behind one row: its place and 2 */
    struct buf chunk = {0};
    seal(golden, sizeof golden);
    assert_int_equal(encode(&rows, &chunk), POISE_OK);
    assert_int_equal(chunk.length, sizeof golden);
    assert_memory_equal(chunk.data, golden, sizeof golden);
    buf_free(&chunk);
}

/* ---- heads ---- */

/* Another exact sum to compare with: Shewchuk's expansions, term by term. */
struct expansion {
    double parts[64];
    size_t count;
};

static void expansion_add(struct expansion *sum, double term)
{
    size_t kept = 0;
    for (size_t i = 0; i < sum->count; i++) {
        double part = sum->parts[i], high = term + part, rest = high - term;
        double low = (term - (high - rest)) + (part - rest);
        if (low != 0) {
            sum->parts[kept++] = low;
        }
        term = high;
    }
    sum->parts[kept++] = term;
    sum->count = kept;
    assert_true(kept < 64);
}

static bool expansion_is_zero(const struct expansion *sum)
{
    bool zero = true;
    for (size_t i = 0; i < sum->count; i++) {
        zero &= sum->parts[i] == 0;
    }
    return zero;
}

static void check_summary(const struct columns *columns, const struct chunk_head *head)
{
    struct expansion sum = {.count = 0};
    double min = INFINITY, max = -INFINITY;
    for (size_t i = 0; i < columns->rows.count; i++) {
        if (!columns->gone[i] && !columns->retract[i]) {
            expansion_add(&sum, columns->value[i]);
            min = fmin(min, columns->value[i]);
            max = fmax(max, columns->value[i]);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        expansion_add(&sum, -head->sum[i]);
    }
    assert_true(expansion_is_zero(&sum));
    assert_true(head->min == min && head->max == max);
}

static struct chunk_head head_of(const struct columns *columns)
{
    struct buf chunk = {0};
    struct chunk_head head;
    struct chunk_reader *reader = chunk_reader_open();
    assert_non_null(reader);
    assert_int_equal(encode(&columns->rows, &chunk), POISE_OK);
    assert_int_equal(chunk_reader_begin(reader, SERIES, chunk.data, chunk.length, &head, NULL), POISE_OK);
    chunk_reader_close(reader);
    buf_free(&chunk);
    return head;
}

static void test_summaries(void **state)
{
    (void)state;
    struct columns columns;
    uint64_t random = 3;
    columns_make(&columns, 2000);
    for (int span = 0; span <= 60; span++) { /* binary digits between the sizes of values */
        columns_plain(&columns, 2000, 1);
        for (size_t i = 0; i < 2000; i++) {
            double value = ldexp(1 + (double)(test_random(&random) >> 12) * 0x1p-52,
                                 (int)test_between(&random, 0, span));
            columns.value[i] = i == 5                     ? ldexp(1, span)
                               : i == 6                   ? 1
                               : test_random(&random) % 2 ? -value
                                                          : value;
            columns.gone[i] = i % 10 == 3 ? 5000 : 0;
            columns.retract[i] = i % 100 == 4;
        }
        struct chunk_head head = head_of(&columns);
        assert_int_equal(head.summed, span <= 56);
        if (head.summed) {
            check_summary(&columns, &head);
        }
    }
    columns_free(&columns);
}

static void test_when_summed(void **state)
{
    (void)state;
    struct columns columns;
    columns_make(&columns, 1000);
    columns_plain(&columns, CHUNK_SUMMARY_ROWS - 1, 1);
    assert_false(head_of(&columns).summed);
    columns_plain(&columns, CHUNK_SUMMARY_ROWS, 1);
    assert_true(head_of(&columns).summed);
    columns.gone[9] = 999;
    assert_false(head_of(&columns).summed);
    columns_plain(&columns, 1000, 1);
    for (size_t i = 0; i < 1000; i++) { /* subnormals */
        columns.value[i] = (double)(i + 1) * 0x1p-1074;
    }
    struct chunk_head head = head_of(&columns);
    assert_true(head.summed && head.sum[0] == 500500 * 0x1p-1074 && head.sum[1] == 0);
    columns.value[7] = -INFINITY;
    assert_false(head_of(&columns).summed);
    for (size_t i = 0; i < 1000; i++) { /* a sum above all doubles */
        columns.value[i] = 0x1p1023;
    }
    assert_false(head_of(&columns).summed);
    columns_free(&columns);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    (void)state;
    struct columns columns;
    struct buf chunk = {0};
    columns_make(&columns, 10);
    columns_plain(&columns, 10, 1);
    buf_put(&chunk, "before", 6);
    columns.value[9] = NAN;
    assert_int_equal(chunk_encode(SERIES, &columns.rows, &chunk, NULL), POISE_EINVAL);
    columns.value[9] = 1;
    columns.of[0] = -NAN;
    assert_int_equal(chunk_encode(SERIES, &columns.rows, &chunk, NULL), POISE_EINVAL);
    columns.of[0] = 1;
    columns.time_ms[4]--;
    columns.time_ms[3] = columns.time_ms[4] + 1;
    assert_int_equal(chunk_encode(SERIES, &columns.rows, &chunk, NULL), POISE_EINVAL);
    columns_plain(&columns, 10, 1);
    columns.key[2] = (struct chunk_key){.text = columns.texts, .length = POISE_KEY_MAX + 1};
    assert_int_equal(chunk_encode(SERIES, &columns.rows, &chunk, NULL), POISE_EINVAL);
    columns.rows.count = 0;
    assert_int_equal(chunk_encode(SERIES, &columns.rows, &chunk, NULL), POISE_EINVAL);
    assert_int_equal(chunk.length, 6);
    columns_plain(&columns, 10, 1);
    assert_int_equal(chunk_encode(SERIES, &columns.rows, &chunk, NULL), POISE_OK);
    assert_memory_equal(chunk.data, "before", 6);
    buf_free(&chunk);
    columns_free(&columns);
}

/* ---- damage ---- */

/* Reads to the end or to the first failure; counts what it read. */
static poise_code read_all(struct chunk_reader *reader, const uint8_t *bytes, size_t length, size_t *ret_rows)
{
    struct chunk_head head;
    struct chunk_rows part;
    size_t rows = 0;
    poise_code code = chunk_reader_begin(reader, SERIES, bytes, length, &head, NULL);
    while (code == POISE_OK && (code = chunk_reader_next(reader, &part, NULL)) == POISE_OK &&
           part.count > 0) {
        rows += part.count;
        for (size_t i = 0; i < part.count; i++) {
            assert_true(part.value[i] == part.value[i]);
            assert_true(!part.key || !part.key[i].text || part.key[i].length <= POISE_KEY_MAX);
        }
    }
    *ret_rows = rows;
    if (code != POISE_OK) { /* and it stays at its end */
        assert_true(chunk_reader_next(reader, &part, NULL) == POISE_OK && part.count == 0);
    } else {
        assert_int_equal(rows, head.rows);
    }
    return code;
}

static void test_damage_shows(void **state)
{
    (void)state;
    struct columns columns;
    struct buf chunk = {0};
    struct chunk_head head;
    uint64_t random = 5;
    size_t rows;
    struct chunk_reader *reader = chunk_reader_open();
    assert_non_null(reader);
    columns_make(&columns, 300);
    columns_fill(&columns, 300, &random);
    assert_int_equal(encode(&columns.rows, &chunk), POISE_OK);
    for (size_t i = 0; i < chunk.length; i++) {
        chunk.data[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(read_all(reader, chunk.data, chunk.length, &rows), POISE_ECORRUPT);
        chunk.data[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(read_all(reader, chunk.data, i, &rows), POISE_ECORRUPT);
    }
    assert_int_equal(chunk_reader_begin(reader, SERIES + 1, chunk.data, chunk.length, &head, NULL),
                     POISE_ECORRUPT);
    assert_int_equal(read_all(reader, chunk.data, chunk.length, &rows), POISE_OK);
    buf_free(&chunk);
    columns_free(&columns);
    chunk_reader_close(reader);
}

static void test_unknown_format(void **state)
{
    (void)state;
    struct columns columns;
    struct buf chunk = {0};
    size_t rows;
    struct chunk_reader *reader = chunk_reader_open();
    assert_non_null(reader);
    columns_make(&columns, 10);
    columns_plain(&columns, 10, 1);
    assert_int_equal(encode(&columns.rows, &chunk), POISE_OK);
    chunk.data[4] = 2;
    seal(chunk.data, chunk.length);
    assert_int_equal(read_all(reader, chunk.data, chunk.length, &rows), POISE_EVERSION);
    buf_free(&chunk);
    columns_free(&columns);
    chunk_reader_close(reader);
}

/* Bytes that somebody made up, with a right CRC: in a buffer of their own size, so that a sanitizer sees
 * every step beyond it. */
static void try_bytes(struct chunk_reader *reader, const uint8_t *bytes, size_t length, size_t *tally)
{
    size_t rows;
    uint8_t *exact = malloc(length);
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    seal(exact, length);
    poise_code code = read_all(reader, exact, length, &rows);
    assert_true(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION);
    assert_true(rows <= CHUNK_ROWS_MAX);
    tally[code == POISE_OK]++;
    free(exact);
}

static void mutate(uint8_t *bytes, size_t *length, uint64_t *random)
{
    for (int64_t changes = test_between(random, 1, 4); changes > 0; changes--) {
        size_t at = 4 + test_random(random) % (*length - 4);
        switch (test_random(random) % 4) {
        case 0:
            bytes[at] ^= (uint8_t)(1 << test_random(random) % 8);
            break;
        case 1:
            bytes[at] = (uint8_t)test_random(random);
            break;
        case 2:
            bytes[at] = test_random(random) % 2 ? 0xff : 0;
            break;
        default:
            *length = at > 5 ? at : *length;
        }
    }
}

static void test_made_up_bytes(void **state)
{
    (void)state;
    struct columns columns;
    struct buf chunk = {0};
    uint64_t random = 6;
    size_t tally[2] = {0};
    uint8_t noise[200];
    struct chunk_reader *reader = chunk_reader_open();
    assert_non_null(reader);
    columns_make(&columns, 200);
    for (int round = 0; round < 20000; round++) {
        if (round % 20 == 0) {
            columns_fill(&columns, (size_t)test_between(&random, 1, 200), &random);
            assert_int_equal(encode(&columns.rows, &chunk), POISE_OK);
        }
        uint8_t *bytes = malloc(chunk.length);
        size_t length = chunk.length;
        assert_non_null(bytes);
        memcpy(bytes, chunk.data, length);
        mutate(bytes, &length, &random);
        try_bytes(reader, bytes, length, tally);
        free(bytes);
        for (size_t i = 0; i < sizeof noise; i++) {
            noise[i] = (uint8_t)(test_random(&random) >> (test_random(&random) % 8));
        }
        noise[4] = 1;
        try_bytes(reader, noise, (size_t)test_between(&random, 5, sizeof noise), tally);
    }
    assert_true(tally[0] > 1000 && tally[1] > 1000); /* both ways were gone */
    buf_free(&chunk);
    columns_free(&columns);
    chunk_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_columns),    cmocka_unit_test(test_largest),
        cmocka_unit_test(test_absent_columns), cmocka_unit_test(test_golden_bytes),
        cmocka_unit_test(test_summaries),      cmocka_unit_test(test_when_summed),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_damage_shows),
        cmocka_unit_test(test_unknown_format), cmocka_unit_test(test_made_up_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
