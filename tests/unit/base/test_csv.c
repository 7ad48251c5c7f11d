#include "base_test.h"
#include <base/buf.h>
#include <base/csv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct csv_record record;

/* One line a record: "line offset end [field][field] raw=length" or its problem. */
static void describe(struct buf *out)
{
    buf_printf(out, "%d %d %d ", (int)record.line, (int)record.offset, (int)record.end);
    for (size_t i = 0; i < record.count; i++) {
        buf_printf(out, "[%.*s]", (int)record.fields[i].length, record.fields[i].text);
    }
    buf_printf(out, "%s raw=%d\n", record.problem ? record.problem : "", (int)record.raw_length);
}

/* All records of text, fed `step` bytes at a time. */
static struct buf read_in_steps(const char *text, size_t length, size_t step)
{
    struct buf out = {0};
    struct csv_reader *reader = csv_open(',');
    assert_non_null(reader);
    for (size_t at = 0; at < length; at += step) {
        size_t part = length - at < step ? length - at : step;
        char *copy = malloc(part); /* of exactly its size, so that a sanitizer sees reads beyond */
        assert_non_null(copy);
        memcpy(copy, text + at, part);
        assert_int_equal(csv_feed(reader, copy, part), POISE_OK);
        free(copy);
        while (csv_next(reader, false, &record)) {
            describe(&out);
            assert_memory_equal(record.raw, text + record.offset, record.raw_length);
        }
    }
    while (csv_next(reader, true, &record)) {
        describe(&out);
        assert_memory_equal(record.raw, text + record.offset, record.raw_length);
    }
    csv_close(reader);
    buf_put_u8(&out, 0);
    assert_false(out.failed);
    return out;
}

static void reads_as(const char *text, const char *expected)
{
    for (size_t step = 1; step <= strlen(text) + 1; step++) {
        struct buf out = read_in_steps(text, strlen(text), step);
        assert_string_equal((const char *)out.data, expected);
        buf_free(&out);
    }
}

static void test_records(void **state)
{
    (void)state;
    reads_as("", "");
    reads_as("\n\r\n\n", "");
    reads_as("a,b\n", "1 0 4 [a][b] raw=3\n");
    reads_as("a,b", "1 0 3 [a][b] raw=3\n");
    reads_as("a,b\r\n\r\n,\n", "1 0 5 [a][b] raw=3\n3 7 9 [][] raw=1\n");
    reads_as("a\r", "1 0 2 [a] raw=1\n");
    reads_as("a\rb,c\n", "1 0 6 [a\rb][c] raw=5\n");
    reads_as("\xef\xbb\xbf\"a\"\n\xef\xbb\xbf"
             "b\n",
             "1 3 7 [a] raw=3\n2 7 12 [\xef\xbb\xbf"
             "b] raw=4\n");
    reads_as(" \n", "1 0 2 [ ] raw=1\n");
}

static void test_quotes(void **state)
{
    (void)state;
    reads_as("\"a\",\"b,c\"\n", "1 0 10 [a][b,c] raw=9\n");
    reads_as("\"\",x,\"\"\r\n", "1 0 9 [][x][] raw=7\n");
    reads_as("\"a\"\"b\"\"\",\"\"\"\"\nz\n", "1 0 14 [a\"b\"][\"] raw=13\n2 14 16 [z] raw=1\n");
    reads_as("1,\"x\r\n\ny\",2\r\n3\n", "1 0 13 [1][x\r\n\ny][2] raw=11\n4 13 15 [3] raw=1\n");
    reads_as("a,\"b\"", "1 0 5 [a][b] raw=5\n");
    reads_as("\"b\"\r", "1 0 4 [b] raw=3\n");
    reads_as("\"b\",", "1 0 4 [b][] raw=4\n");
    reads_as("\"b\",c\r", "1 0 6 [b][c] raw=5\n");
}

static void test_problems_cost_one_line(void **state)
{
    (void)state;
    reads_as("5\" pipe,1\nok\n",
             "1 0 10 a quote stands inside a field that does not start with one raw=9\n2 10 13 [ok] raw=2\n");
    reads_as("\"a\"b,1\r\nok\n",
             "1 0 8 text follows the closing quote of a field raw=6\n2 8 11 [ok] raw=2\n");
    reads_as("\"a\"\rb\nok\n", "1 0 6 text follows the closing quote of a field raw=5\n2 6 9 [ok] raw=2\n");
    reads_as(
        "\"a,1\n\"b\",2\nok\n",
        "1 0 5 text follows the closing quote of a field raw=4\n2 5 11 [b][2] raw=5\n3 11 14 [ok] raw=2\n");
    reads_as("x\n\"a,1\nok", "1 0 2 [x] raw=1\n2 2 7 a quoted field is not closed raw=4\n3 7 9 [ok] raw=2\n");
}

/* A text of `length` bytes of `byte`, between before and after. */
static struct buf padded(const char *before, char byte, size_t length, const char *after)
{
    struct buf text = {0};
    buf_put(&text, before, strlen(before));
    for (size_t i = 0; i < length; i++) {
        buf_put_u8(&text, (uint8_t)byte);
    }
    buf_put(&text, after, strlen(after));
    assert_false(text.failed);
    return text;
}

static void padded_reads_as(struct buf text, const char *expected)
{
    static const size_t steps[] = {997, 65536, 1000000};
    for (size_t i = 0; i < 3; i++) {
        struct buf out = read_in_steps((const char *)text.data, text.length, steps[i]);
        const char *found = strstr((const char *)out.data, expected);
        if (!found) {
            fail_msg("no %s in the %.300s", expected, (const char *)out.data);
        }
        assert_string_equal(found, expected); /* it is the end of the output */
        buf_free(&out);
    }
    buf_free(&text);
}

static void test_limits(void **state)
{
    (void)state;
    padded_reads_as(padded("", 'x', 65536, "\r\nok\n"), "] raw=65536\n2 65538 65541 [ok] raw=2\n");
    padded_reads_as(padded("", 'x', 65537, "\nok\n"),
                    "1 0 65538 the record is longer than 65536 bytes raw=65536\n2 65538 65541 [ok] raw=2\n");
    padded_reads_as(
        padded("", 'x', 500000, "\r\nok\n"),
        "1 0 500002 the record is longer than 65536 bytes raw=65536\n2 500002 500005 [ok] raw=2\n");
    padded_reads_as(padded("a\n", 'x', 500000, ""),
                    "2 2 500002 the record is longer than 65536 bytes raw=65536\n");
    padded_reads_as(padded("\"\n", 'x', 65532, "\",\r\nok\n"), "][] raw=65536\n3 65538 65541 [ok] raw=2\n");
    padded_reads_as(padded("\"\n", 'x', 65533, "\",\r\nok"),
                    "1 0 2 the record is longer than 65536 bytes, or a quote is not closed raw=1\n"
                    "2 2 65539 a quote stands inside a field that does not start with one raw=65535\n"
                    "3 65539 65541 [ok] raw=2\n");
    padded_reads_as(padded("\"1\n", '\n', 70000, "ok\n"),
                    "1 0 3 the record is longer than 65536 bytes, or a quote is not closed raw=2\n"
                    "70002 70003 70006 [ok] raw=2\n");
    padded_reads_as(padded("", ',', 255, "\n"), "[][] raw=255\n");
    padded_reads_as(padded("", ',', 256, "\nok\n"),
                    "1 0 257 the record has more than 256 fields raw=256\n2 257 260 [ok] raw=2\n");
    padded_reads_as(padded("\"\"", ',', 255, "\n"), "[][] raw=257\n");
    padded_reads_as(padded("\"\"", ',', 256, "\n"), "1 0 259 the record has more than 256 fields raw=258\n");
}

static void test_seek_and_delimiter(void **state)
{
    (void)state;
    struct csv_reader *reader = csv_open('\t');
    assert_non_null(reader);
    assert_false(csv_next(reader, true, &record));
    csv_feed(reader, "forgotten", 9);
    assert_false(csv_next(reader, false, &record));
    csv_seek(reader, 1000, 50);
    csv_feed(reader, "\n\xef\xbb\xbf,\tb\n", 8);
    assert_true(csv_next(reader, false, &record));
    assert_int_equal(record.count, 2);
    assert_int_equal(record.fields[0].length, 4);
    assert_int_equal(record.line, 51);
    assert_int_equal(record.offset, 1001);
    assert_int_equal(record.end, 1008);
    csv_close(reader);
    csv_close(NULL);
}

/* Random records written by csv_put come back as they were. */
static void test_put_then_read(void **state)
{
    (void)state;
    static const char alphabet[] = "ab,\"\r\n;";
    uint64_t seed = 6;
    for (int round = 0; round < 300; round++) {
        struct buf text = {0}, expected = {0}, found = {0};
        size_t records = next_random(&seed) % 20;
        for (size_t i = 0; i < records; i++) {
            size_t fields = 2 + next_random(&seed) % 4;
            buf_put_u8(&expected, (uint8_t)fields);
            for (size_t j = 0; j < fields; j++) {
                char field[8];
                size_t length = next_random(&seed) % sizeof field;
                for (size_t k = 0; k < length; k++) {
                    field[k] = alphabet[next_random(&seed) % (sizeof alphabet - 1)];
                }
                buf_put_text(&expected, field, length);
                buf_put_u8(&text, j > 0 ? ';' : '\n');
                csv_put(&text, field, length, ';');
            }
        }
        struct csv_reader *reader = csv_open(';');
        assert_non_null(reader);
        for (size_t at = 0, part; at < text.length; at += part) {
            part = 1 + next_random(&seed) % 30;
            part = part < text.length - at ? part : text.length - at;
            assert_int_equal(csv_feed(reader, text.data + at, part), POISE_OK);
            while (csv_next(reader, at + part == text.length, &record)) {
                assert_null(record.problem);
                buf_put_u8(&found, (uint8_t)record.count);
                for (size_t j = 0; j < record.count; j++) {
                    buf_put_text(&found, record.fields[j].text, record.fields[j].length);
                }
            }
        }
        assert_int_equal(found.length, expected.length);
        assert_true(found.length == 0 || memcmp(found.data, expected.data, found.length) == 0);
        csv_close(reader);
        buf_free(&text);
        buf_free(&expected);
        buf_free(&found);
    }
}

/* Noise: whatever the bytes and however they are fed, the records are the same and cover the input in order.
 */
static void test_chunks_do_not_matter(void **state)
{
    (void)state;
    static const char alphabet[] = "aa,,\"\"\r\n\n";
    uint64_t seed = 7;
    for (int round = 0; round < 3000; round++) {
        char text[40];
        size_t length = next_random(&seed) % sizeof text;
        for (size_t i = 0; i < length; i++) {
            text[i] = alphabet[next_random(&seed) % (sizeof alphabet - 1)];
        }
        struct buf whole = read_in_steps(text, length, sizeof text);
        struct buf pieces = read_in_steps(text, length, 1 + next_random(&seed) % 7);
        assert_int_equal(whole.length, pieces.length);
        assert_memory_equal(whole.data, pieces.data, whole.length);
        buf_free(&whole);
        buf_free(&pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_problems_cost_one_line),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_seek_and_delimiter),
        cmocka_unit_test(test_put_then_read),
        cmocka_unit_test(test_chunks_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
