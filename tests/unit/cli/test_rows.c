#include "cli_test.h"
#include <cli/rows.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char header[] = "time,measure,org,value,of,key,seq,source,retract\n";

/* A file with this text; the caller unlinks it. */
static void write_file(char path[32], const char *head, const char *text)
{
    memcpy(path, "/tmp/poise-rows-XXXXXX", sizeof "/tmp/poise-rows-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, head, strlen(head)), (ssize_t)strlen(head));
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* The rows of a file, a line each, into out. */
static void describe_rows(const char *head, const char *text, struct buf *out)
{
    char path[32];
    struct rows *rows = NULL;
    struct row row;
    poise_error err;
    bool more = true;
    write_file(path, head, text);
    assert_int_equal(rows_open(path, ROWS_CSV, &rows, &err), POISE_OK);
    while (rows_next(rows, &row, &more, &err) == POISE_OK && more) {
        struct row_texts texts;
        if (!row.readable) {
            buf_printf(out, "%d %s\n", (int)row.line, row.problem);
            continue;
        }
        row_texts_of(&row, &texts);
        buf_printf(out, "%d %s|%s|%s|%s %lld %g/%g %d %s\n", (int)row.line, texts.measure, texts.org,
                   texts.source, texts.key, (long long)row.time_ms, row.value, row.of, (int)row.seq,
                   row.retract ? "retract" : "");
    }
    assert_false(more);
    rows_close(rows);
    unlink(path);
}

static void check_rows(const char *head, const char *text, const char *wanted)
{
    struct buf out = {0};
    describe_rows(head, text, &out);
    assert_string_equal(text_of(&out), wanted);
    buf_free(&out);
}

static void reads_all_columns(void **unused)
{
    (void)unused;
    check_rows(header,
               "2026-03-01T00:00:00Z,nps,plant-1,42.5,2,k1,7,crm,\n"
               "1970-01-01T00:00:00.001Z,nps,,-3,,,,,false\n"
               ",nps,,,,k1,,crm,true\n"
               "nonsense,nps,,nonsense,nonsense,k1,8,crm,1\n",
               "2 nps|plant-1|crm|k1 1772323200000 42.5/2 7 \n"
               "3 nps||| 1 -3/1 0 \n"
               "4 nps||crm|k1 0 0/1 0 retract\n"
               "5 nps||crm|k1 0 0/1 8 retract\n");
}

static void columns_in_any_order_and_absent(void **unused)
{
    (void)unused;
    check_rows("value,org,measure,time\n", "1,p,m,1970-01-01T00:00:00Z\n", "2 m|p|| 0 1/1 0 \n");
}

static void names_what_cannot_be_read(void **unused)
{
    (void)unused;
    check_rows(header,
               "01:02,m,,1,,,,,\n"
               ",m,,1,,,,,\n"
               "1970-01-01T00:00:00Z,m,,one,,,,,\n"
               "1970-01-01T00:00:00Z,m,,,,,,,\n"
               "1970-01-01T00:00:00Z,m,,1,nan,,,,\n"
               "1970-01-01T00:00:00Z,m,,1,,,-1,,\n"
               "1970-01-01T00:00:00Z,m,,1,,,,,yes\n"
               "1970-01-01T00:00:00Z,m,,1\n"
               "1970-01-01T00:00:00Z,m,,\x1b[2J,,,,,\n"
               "1970-01-01T00:00:00Z,\"m\"x,,1,,,,,\n"
               "1970-01-01T00:00:00Z,m,,1,,,,,\n"
               "1970-01-01T00:00:00Z,m,,1,,k,0,,\n",
               "2 time '01:02' cannot be read; an RFC 3339 time is wanted, such as 2026-03-01T09:00:00Z\n"
               "3 time is empty; an RFC 3339 time is wanted, such as 2026-03-01T09:00:00Z\n"
               "4 value 'one' cannot be read; a decimal number is wanted, such as 12.5\n"
               "5 value is empty; a decimal number is wanted, such as 12.5\n"
               "6 of 'nan' cannot be read; a decimal number is wanted, such as 12.5\n"
               "7 seq '-1' cannot be read; a whole number from 1, or nothing, is wanted\n"
               "8 retract 'yes' cannot be read; true, 1, false, 0 or nothing is wanted\n"
               "9 the row has 4 fields, the header has 9\n"
               "10 value cannot be read; a decimal number is wanted, such as 12.5\n"
               "11 text follows the closing quote of a field\n"
               "12 m||| 0 1/1 0 \n"
               "13 seq '0' cannot be read; a whole number from 1, or nothing, is wanted\n");
}

static void long_texts_stay_too_long(void **unused)
{
    (void)unused;
    char measure[POISE_ID_MAX + 40];
    struct row_texts texts;
    memset(measure, 'm', sizeof measure);
    const struct row row = {.measure = {.text = measure, .length = sizeof measure},
                            .org = {.text = "a\0b", .length = 3},
                            .source = {.text = "", .length = 0},
                            .key = {.text = measure, .length = POISE_ID_MAX}};
    row_texts_of(&row, &texts);
    assert_int_equal(strlen(texts.measure), POISE_ID_MAX + 1);
    assert_string_equal(texts.org, "a\x01"
                                   "b");
    assert_string_equal(texts.source, "");
    assert_int_equal(strlen(texts.key), POISE_ID_MAX);
}

static void check_header(const char *head, const char *wanted)
{
    char path[32];
    struct rows *rows = NULL;
    poise_error err;
    write_file(path, head, "");
    assert_int_equal(rows_open(path, ROWS_CSV, &rows, &err), POISE_ECONFIG);
    assert_null(rows);
    if (!strstr(err.text, wanted)) {
        fail_msg("'%s' does not hold '%s'", err.text, wanted);
    }
    unlink(path);
}

static void wrong_headers_are_refused(void **unused)
{
    (void)unused;
    check_header("", "there is nothing in it");
    check_header("time,measure,org\n", "column 'value' is missing");
    check_header("time,measure,org,value,vlaue\n", ":1: column 'vlaue' is unknown");
    check_header("time,measure,org,value,time\n", ":1: column 'time' is there twice");
    check_header("time,measure,org,value,\x1b[2J\n", ":1: the name of a column is not readable text");
    check_header("time;measure;org;value\n", ":1: the columns must have commas between them");
    check_header("time\tmeasure\torg\tvalue\n", ":1: the columns must have commas between them");
}

static void absent_file(void **unused)
{
    (void)unused;
    struct rows *rows = NULL;
    poise_error err;
    assert_int_equal(rows_open("/nonexistent/rows.csv", ROWS_BY_NAME, &rows, &err), POISE_ENOTFOUND);
    assert_null(rows);
    rows_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_columns),         cmocka_unit_test(columns_in_any_order_and_absent),
        cmocka_unit_test(names_what_cannot_be_read), cmocka_unit_test(long_texts_stay_too_long),
        cmocka_unit_test(wrong_headers_are_refused), cmocka_unit_test(absent_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
