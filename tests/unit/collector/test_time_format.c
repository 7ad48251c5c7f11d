#include <base/text.h>
#include <collector/time_format.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct zone *london(void **state)
{
    return *state;
}

static int open_london(void **state)
{
    struct zone *zone;
    poise_error err;
    if (zone_open("Europe/London", &zone, &err) != POISE_OK) {
        return -1;
    }
    *state = zone;
    return 0;
}

static int close_london(void **state)
{
    zone_close(*state);
    return 0;
}

static struct time_format parse(const char *text, const struct zone *zone)
{
    struct time_format format;
    poise_error err;
    assert_int_equal(time_format_parse(text, &format, &err), POISE_OK);
    format.zone = zone;
    return format;
}

static int64_t utc(const char *text)
{
    int64_t ms;
    assert_true(parse_time_ms(text, strlen(text), &ms));
    return ms;
}

static void reads_in(const char *format_text, const struct zone *zone, const char *text, const char *expected)
{
    struct time_format format = parse(format_text, zone);
    int64_t ms;
    if (!time_format_read(&format, text, strlen(text), &ms)) {
        fail_msg("'%s' is not read as '%s'", text, format_text);
    }
    assert_int_equal(ms, utc(expected));
}

static void reads(const char *format, const char *text, const char *expected)
{
    reads_in(format, NULL, text, expected);
}

static void refuses(const char *format_text, const char *text)
{
    struct time_format format = parse(format_text, NULL);
    int64_t ms = 42;
    if (time_format_read(&format, text, strlen(text), &ms)) {
        fail_msg("'%s' is read as '%s'", text, format_text);
    }
    assert_int_equal(ms, 42);
}

static void test_patterns(void **state)
{
    (void)state;
    reads("%Y/%m/%d %H:%M:%S", "2012/01/29 23:24:05", "2012-01-29T23:24:05Z");
    reads("%d-%m-%Y %H:%M", "29-02-2016 01:16", "2016-02-29T01:16:00Z");
    reads("%Y-%m-%d", "2016-02-29", "2016-02-29T00:00:00Z");
    reads("%Y%m%d", "20160229", "2016-02-29T00:00:00Z");
    reads("%-d.%-m.%Y", "1.3.2020", "2020-03-01T00:00:00Z");
    reads("%-d.%-m.%Y", "11.12.2020", "2020-12-11T00:00:00Z");
    reads("%d %b %Y", "07 Sep 2019", "2019-09-07T00:00:00Z");
    reads("%m/%d/%Y %-I:%M %p", "02/03/2021 12:05 AM", "2021-02-03T00:05:00Z");
    reads("%m/%d/%Y %I:%M %p", "02/03/2021 12:05 PM", "2021-02-03T12:05:00Z");
    reads("%m/%d/%Y %I:%M %p", "02/03/2021 11:59 PM", "2021-02-03T23:59:00Z");
    reads("%Y-%m-%d %H:%M:%S.%f", "2020-01-01 00:00:00.5", "2020-01-01T00:00:00.500Z");
    reads("%Y-%m-%d %H:%M:%S.%f", "2020-01-01 00:00:00.123456789", "2020-01-01T00:00:00.123Z");
    reads("%%z %Y-%m-%d", "%z 2020-01-01", "2020-01-01T00:00:00Z");
    reads("%Y-%m-%d", "1899-12-31", "1899-12-31T00:00:00Z");
}

static void test_offsets(void **state)
{
    const char *jira = "%Y-%m-%dT%H:%M:%S.%f%z";
    reads(jira, "2011-09-16T17:22:03.000+0000", "2011-09-16T17:22:03Z");
    reads(jira, "2011-09-16T17:22:03.001+0230", "2011-09-16T14:52:03.001Z");
    reads(jira, "2011-09-16T17:22:03.001-08:00", "2011-09-17T01:22:03.001Z");
    reads(jira, "2011-09-16T17:22:03.001Z", "2011-09-16T17:22:03.001Z");
    refuses(jira, "2011-09-16T17:22:03.001");
    refuses(jira, "2011-09-16T17:22:03.001+2400");
    refuses(jira, "2011-09-16T17:22:03.001+00:60");
    assert_true(parse(jira, NULL).has_zone);
    assert_true(parse("unix", NULL).has_zone);
    assert_false(parse("%Y-%m-%d %%z", london(state)).has_zone);
}

static void test_zones(void **state)
{
    const char *format = "%Y-%m-%d %H:%M";
    reads_in(format, london(state), "2021-01-15 12:00", "2021-01-15T12:00:00Z");
    reads_in(format, london(state), "2021-07-15 12:00", "2021-07-15T11:00:00Z");
    reads_in(format, london(state), "2021-03-28 01:30",
             "2021-03-28T01:00:00Z"); /* in the gap: when it began */
    reads_in(format, london(state), "2021-10-31 01:30", "2021-10-31T00:30:00Z"); /* twice: the earlier */
}

static void test_words(void **state)
{
    (void)state;
    reads("rfc3339", "2020-05-01T10:00:00+02:00", "2020-05-01T08:00:00Z");
    reads("unix", "0", "1970-01-01T00:00:00Z");
    reads("unix", "1588327200.25", "2020-05-01T10:00:00.250Z");
    reads("unix", "-1", "1969-12-31T23:59:59Z");
    reads("unix_ms", "1588327200001", "2020-05-01T10:00:00.001Z");
    refuses("unix", "1e13");
    refuses("unix", "soon");
    refuses("unix_ms", "1.5");
    refuses("rfc3339", "2020-05-01 10:00");
}

static void test_refusals(void **state)
{
    (void)state;
    const char *format = "%Y/%m/%d %H:%M:%S";
    const char *const wrong[] = {
        "",
        "24:00.0",
        "2012/01/29",
        "2012/01/29 23:24",
        "2012/01/29 23:24:00 ",
        " 2012/01/29 23:24:00",
        "2012/01/29  23:24:00",
        "2012-01-29 23:24:00",
        "2012/1/29 23:24:00",
        "12/01/29 23:24:00",
        "2012/13/01 00:00:00",
        "2012/00/01 00:00:00",
        "2012/02/30 00:00:00",
        "2013/02/29 00:00:00",
        "2012/01/00 00:00:00",
        "2012/01/29 24:00:00",
        "2012/01/29 23:60:00",
        "2012/01/29 23:24:60",
        "2012/01/29 23:24:0x",
        "2012/01/29 -3:24:00",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refuses(format, wrong[i]);
    }
    refuses("%-d.%-m.%Y", "111.3.2020");
    refuses("%d %b %Y", "07 SEP 2019");
    refuses("%d %b %Y", "07 Se");
    refuses("%m/%d/%Y %I:%M %p", "02/03/2021 00:05 AM");
    refuses("%m/%d/%Y %I:%M %p", "02/03/2021 13:05 PM");
    refuses("%m/%d/%Y %I:%M %p", "02/03/2021 11:05 XM");
    refuses("%Y-%m-%d %H:%M:%S.%f", "2020-01-01 00:00:00.");
    refuses("%Y-%m-%d %H:%M:%S.%f", "2020-01-01 00:00:00.1234567890");
}

static void is_wrong(const char *text, const char *part)
{
    struct time_format format;
    poise_error err;
    assert_int_equal(time_format_parse(text, &format, &err), POISE_EINVAL);
    if (!strstr(err.text, part)) {
        fail_msg("'%s' does not say '%s'", err.text, part);
    }
}

static void test_wrong_formats(void **state)
{
    (void)state;
    is_wrong("%y-%m-%d", "'%y' is not known");
    is_wrong("%-Y-%m-%d", "'%-Y' is not known");
    is_wrong("%Y-%m-%d %", "'%' is not known");
    is_wrong("%Y-%m-%d %-", "'%-' is not known");
    is_wrong("%Y-%m-%d %Y", "'%Y' stands twice");
    is_wrong("%H:%M", "names no date");
    is_wrong("iso8601", "names no date");
    is_wrong("%Y-%m-%b-%d", "names no date");
    is_wrong("%Y-%m-%d %I:%M", "%I together with %p");
    is_wrong("%Y-%m-%d %H:%M %p", "%I together with %p");
    is_wrong("%Y-%m-%d %M", "without the larger one");
    is_wrong("%Y-%m-%d %H:%S", "without the larger one");
    is_wrong("%Y-%m-%d %H:%M.%f", "without the larger one");
}

static void lasts(enum duration_format format, const char *text, int64_t expected)
{
    int64_t ms;
    if (!duration_read(format, text, strlen(text), &ms)) {
        fail_msg("'%s' is not read", text);
    }
    assert_int_equal(ms, expected);
}

static void lasts_not(enum duration_format format, const char *text)
{
    int64_t ms = 42;
    if (duration_read(format, text, strlen(text), &ms)) {
        fail_msg("'%s' is read", text);
    }
    assert_int_equal(ms, 42);
}

static void test_durations(void **state)
{
    (void)state;
    lasts(DURATION_H_M, "006:19", 379 * 60000);
    lasts(DURATION_H_M, "0:00", 0);
    lasts(DURATION_H_M, "130:05", 7805 * 60000);
    lasts(DURATION_H_M, "999999999:59", INT64_C(999999999) * 3600000 + 59 * 60000);
    lasts(DURATION_H_M_S, "1:02:03", 3723000);
    lasts(DURATION_H_M_S, "1:02:03.25", 3723250);
    lasts(DURATION_M_S, "90:30", 5430000);
    lasts_not(DURATION_H_M, "6:60");
    lasts_not(DURATION_H_M, "6:1");
    lasts_not(DURATION_H_M, "6:019");
    lasts_not(DURATION_H_M, ":19");
    lasts_not(DURATION_H_M, "-6:19");
    lasts_not(DURATION_H_M, "6:19:00");
    lasts_not(DURATION_H_M, "6");
    lasts_not(DURATION_H_M, "");
    lasts_not(DURATION_H_M, "1000000000:00");
    lasts_not(DURATION_H_M_S, "6:19");
    lasts_not(DURATION_H_M_S, "6:19:60");
    lasts_not(DURATION_H_M_S, "6:19:01.");
    lasts_not(DURATION_M_S, "1:02:03");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_patterns), cmocka_unit_test(test_offsets),
                                       cmocka_unit_test(test_zones),    cmocka_unit_test(test_words),
                                       cmocka_unit_test(test_refusals), cmocka_unit_test(test_wrong_formats),
                                       cmocka_unit_test(test_durations)};
    return cmocka_run_group_tests(tests, open_london, close_london);
}
