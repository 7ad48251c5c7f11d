/* Rows as text, and back to the bit: CSV and JSON Lines; JSON Lines that are wrong. */
#include "cli_test.h"
#include <cli/row_text.h>
#include <cli/rows.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <unit/score/rng.h>

static struct rows *open_text(char path[32], enum rows_format format, const void *text, size_t length)
{
    struct rows *rows = NULL;
    poise_error err;
    memcpy(path, "/tmp/poise-text-XXXXXX", sizeof "/tmp/poise-text-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), (ssize_t)length);
    close(fd);
    assert_int_equal(rows_open(path, format, &rows, &err), POISE_OK);
    return rows;
}

static void check_back(struct rows *rows, const poise_measurement *row)
{
    struct row read;
    struct row_texts texts;
    bool more = false;
    assert_int_equal(rows_next(rows, &read, &more, NULL), POISE_OK);
    assert_true(more);
    if (!read.readable)
        fail_msg("%s", read.problem);
    row_texts_of(&read, &texts);
    assert_string_equal(texts.measure, row->measure);
    assert_string_equal(texts.org, row->org ? row->org : "");
    assert_string_equal(texts.source, row->source ? row->source : "");
    assert_string_equal(texts.key, row->key ? row->key : "");
    assert_int_equal(read.seq, row->seq);
    assert_int_equal(read.retract, row->retract);
    if (!row->retract) {
        assert_int_equal(read.time_ms, row->time_ms);
        assert_memory_equal(&read.value, &row->value, sizeof read.value);
        assert_memory_equal(&read.of, &row->of, sizeof read.of);
    }
}

static void check_all_back(const poise_measurement *rows, size_t count, enum rows_format format)
{
    struct buf text = {0};
    struct row read;
    bool more = true;
    char path[32];
    if (format == ROWS_CSV)
        row_put_csv_header(&text);
    for (size_t i = 0; i < count; i++)
        (format == ROWS_CSV ? row_put_csv : row_put_json)(&text, &rows[i]);
    struct rows *again = open_text(path, format, text.data, text.length);
    for (size_t i = 0; i < count; i++)
        check_back(again, &rows[i]);
    assert_int_equal(rows_next(again, &read, &more, NULL), POISE_OK);
    assert_false(more);
    rows_close(again);
    unlink(path);
    buf_free(&text);
}

static void texts_come_back(void **unused)
{
    (void)unused;
    const poise_measurement rows[] = {
        {"a", "plant, \"1\"", "s;\\", "k,\"", T_MARCH_1 + 7, 1e100, -1e-100, 1, false},
        {"b", NULL, NULL, NULL, -2208988800000, -0.0, -0.0, 0, false},
        {"c.d-e_f", " / ", "'", "\\u0041", 7258118400000, 0.1, 1, UINT64_C(1) << 62, false},
        {"a", "Zürich/ß", "日本", "\xf0\x9f\x99\x82", 0, 9007199254740993.0, 3, 0, false},
        {"a", "x", "", "k", 0, 0, 1, 9, true},
        {"a", "", "s", "k", 0, 0, 1, 0, true}};
    check_all_back(rows, sizeof rows / sizeof rows[0], ROWS_CSV);
    check_all_back(rows, sizeof rows / sizeof rows[0], ROWS_JSON);
}

static void numbers_come_back(void **unused)
{
    (void)unused;
    enum { COUNT = 3000 };
    static poise_measurement rows[COUNT];
    struct rng seed = {7};
    for (size_t i = 0; i < COUNT; i++) {
        double value;
        do {
            uint64_t bits = rng_next(&seed);
            memcpy(&value, &bits, sizeof value);
        } while (!(fabs(value) >= 1e-100 && fabs(value) <= 1e100));
        if (i % 3 == 0)
            value = (double)(int64_t)(rng_next(&seed) >> (rng_next(&seed) % 64)) * (i % 2 ? 1 : -1);
        if (i % 3 == 1)
            value = (double)(int64_t)(rng_next(&seed) % 2000000) / 1000;
        rows[i] = (poise_measurement){.measure = "a",
                                      .value = value,
                                      .of = -value,
                                      .time_ms = (int64_t)(rng_next(&seed) % 9467107200000) - 2208988800000,
                                      .seq = rng_next(&seed) >> 2 >> (rng_next(&seed) % 62)};
    }
    check_all_back(rows, COUNT, ROWS_CSV);
    check_all_back(rows, COUNT, ROWS_JSON);
}

static void how_they_look(void **unused)
{
    (void)unused;
    const poise_measurement row = {"a", "p/x", "", "k,1", T_MARCH_1, -0.0, 1, 3, false},
                            gone = {"a", "", "mes", "k", 5, 7, 7, 0, true};
    struct buf out = {0};
    row_put_csv(&out, &row);
    row_put_csv(&out, &gone);
    assert_string_equal(text_of(&out), "2026-03-01T00:00:00.000Z,a,p/x,-0,1,\"k,1\",3,,\n"
                                       ",a,,,,k,,mes,true\n");
    row_put_json(&out, &row);
    row_put_json(&out, &gone);
    assert_string_equal(
        text_of(&out),
        "{\"time\":\"2026-03-01T00:00:00.000Z\",\"measure\":\"a\",\"org\":\"p/x\",\"value\":-0.0,"
        "\"key\":\"k,1\",\"seq\":3}\n"
        "{\"retract\":true,\"measure\":\"a\",\"key\":\"k\",\"source\":\"mes\"}\n");
    buf_free(&out);
}

/* Line and problem of each, or measure and value. */
static void check_json(const char *text, size_t length, const char *wanted)
{
    struct buf out = {0};
    struct row row;
    bool more = true;
    char path[32];
    struct rows *rows = open_text(path, ROWS_JSON, text, length);
    while (rows_next(rows, &row, &more, NULL) == POISE_OK && more)
        if (row.readable)
            buf_printf(&out, "%d %.*s %g\n", (int)row.line, (int)row.measure.length, row.measure.text,
                       row.value);
        else
            buf_printf(&out, "%d %s\n", (int)row.line, row.problem);
    assert_string_equal(text_of(&out), wanted);
    buf_free(&out);
    rows_close(rows);
    unlink(path);
}

static void wrong_lines_are_named(void **unused)
{
    (void)unused;
    static const char text[] =
        "{\"time\":\"2026-03-01T00:00:00Z\",\"measure\":\"a\",\"value\":1,\"of\":null}\n"
        "\n"
        "  {\"measure\":\"b\",\"retract\":true,\"key\":\"k\"}\r\n"
        "{\"time\":\"2026-03-01\",\"measure\":\"a\",\"value\":1}\n"
        "{\"time\":5,\"measure\":\"a\",\"value\":1}\n"
        "{\"time\":\"2026-03-01T00:00:00Z\",\"measure\":\"a\",\"value\":\"1\"}\n"
        "{\"time\":\"2026-03-01T00:00:00Z\",\"measure\":\"a\"}\n"
        "{\"measure\":\"a\",\"value\":1}\n"
        "{\"time\":\"2026-03-01T00:00:00Z\",\"measure\":\"a\",\"value\":1,\"seq\":0}\n"
        "{\"time\":\"2026-03-01T00:00:00Z\",\"measure\":\"a\",\"value\":1,\"retract\":1}\n"
        "{\"time\":\"2026-03-01T00:00:00Z\",\"measure\":\"a\",\"valeu\":1}\n"
        "[1]\n"
        "{\"time\":\n"
        "{\"value\":1,\"value\":2}\n"
        "{\"measure\":\"a\\u0000b\"}\n"
        "{\x1b[2J}\n"
        "{\"time\":\"2026-03-01T00:00:00Z\",\"measure\":\"last\",\"value\":2}";
    check_json(
        text, sizeof text - 1,
        "1 a 1\n"
        "3 b 0\n"
        "4 time '2026-03-01' cannot be read; an RFC 3339 time is wanted, such as 2026-03-01T09:00:00Z\n"
        "5 time: a text is wanted, in quotes\n"
        "6 value: a number is wanted, such as 12.5\n"
        "7 value is empty; a decimal number is wanted, such as 12.5\n"
        "8 time is empty; an RFC 3339 time is wanted, such as 2026-03-01T09:00:00Z\n"
        "9 seq: a whole number from 1, or nothing, is wanted\n"
        "10 retract: true, false or nothing is wanted\n"
        "11 there is an unknown member; known are time,measure,org,value,of,key,seq,source,retract\n"
        "12 this is no JSON object\n"
        "13 this is no JSON object: unexpected token near end of file\n"
        "14 this is no JSON object: duplicate object key near '\"value\"'\n"
        "15 this is no JSON object: \\u0000 is not allowed without JSON_ALLOW_NUL near '\"a\\u0000b\"'\n"
        "16 this is no JSON object\n"
        "17 last 2\n");
    check_json("", 0, "");
    check_json("\n \n", 3, "");
}

static void a_long_line_costs_itself(void **unused)
{
    (void)unused;
    static const char before[] = "{\"measure\":\"a\",\"retract\":true}\n{\"measure\":\"",
                      behind[] = "\"}\n{\"measure\":\"b\",\"retract\":true}\n";
    for (size_t length = 65536 - 100; length < 1000000; length = length * 2 + 50) {
        struct buf text = {0};
        buf_put(&text, before, sizeof before - 1);
        for (size_t i = 0; i < length; i++)
            buf_put_u8(&text, 'x');
        buf_put(&text, behind, sizeof behind - 1);
        check_json(
            (const char *)text.data, text.length,
            length < 65536
                ? "1 a 0\n2 time is empty; an RFC 3339 time is wanted, such as 2026-03-01T09:00:00Z\n3 b 0\n"
                : "1 a 0\n2 the line has more than 65536 bytes\n3 b 0\n");
        buf_free(&text);
    }
}

static void names_tell_formats(void **unused)
{
    (void)unused;
    assert_int_equal(rows_format_of(ROWS_BY_NAME, "a.csv"), ROWS_CSV);
    assert_int_equal(rows_format_of(ROWS_BY_NAME, "jsonl"), ROWS_CSV);
    assert_int_equal(rows_format_of(ROWS_BY_NAME, "a.jsonl"), ROWS_JSON);
    assert_int_equal(rows_format_of(ROWS_BY_NAME, "x/a.csv.ndjson"), ROWS_JSON);
    assert_int_equal(rows_format_of(ROWS_CSV, "a.json"), ROWS_CSV);
    assert_int_equal(rows_format_of(ROWS_JSON, "-"), ROWS_JSON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(how_they_look),
        cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(a_long_line_costs_itself),
        cmocka_unit_test(names_tell_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
