#include "base_test.h"
#include <base/text.h>
#include <string.h>
#include <time.h>

static void test_civil_dates(void **state)
{
    (void)state;
    assert_int_equal(days_from_civil(1970, 1, 1), 0);
    assert_int_equal(days_from_civil(2000, 3, 1), 11017);
    assert_int_equal(days_from_civil(0, 1, 1), -719528);
    int64_t expected = days_from_civil(-801, 1, 1);
    for (int64_t year = -801; year < 2801; year++) {
        for (int month = 1; month <= 12; month++) {
            static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
            bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            int length = lengths[month - 1] + (month == 2 && leap);
            for (int day = 1; day <= length; day += day == 1 ? length - 1 : 1) {
                int64_t real_year;
                int real_month, real_day;
                int64_t days = days_from_civil(year, month, day);
                civil_from_days(days, &real_year, &real_month, &real_day);
                assert_int_equal(days, expected + day - 1);
                assert_true(real_year == year && real_month == month && real_day == day);
            }
            expected += length;
        }
    }
}

static void formats_as(int64_t time_ms, const char *expected)
{
    char text[TIME_TEXT_MAX];
    assert_int_equal(format_time_ms(time_ms, text), strlen(expected));
    assert_string_equal(text, expected);
}

static void test_format_time(void **state)
{
    (void)state;
    formats_as(0, "1970-01-01T00:00:00.000Z");
    formats_as(-1, "1969-12-31T23:59:59.999Z");
    formats_as(1772323200000, "2026-03-01T00:00:00.000Z");
    formats_as(INT64_MIN, "0000-01-01T00:00:00.000Z");
    formats_as(INT64_MAX, "9999-12-31T23:59:59.999Z");
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        int64_t time_ms = (int64_t)(next_random(&seed) % 315569520000000) - 62167219200000;
        int64_t seconds = (time_ms - (time_ms % 1000 + 1000) % 1000) / 1000, again = 0;
        time_t as_time = (time_t)seconds;
        struct tm tm;
        char text[TIME_TEXT_MAX], date[TIME_TEXT_MAX];
        assert_int_equal(format_time_ms(time_ms, text), 24);
        assert_non_null(gmtime_r(&as_time, &tm));
        strftime(date, sizeof date, "-%m-%dT%H:%M:%S.", &tm);
        assert_memory_equal(text + 4, date, strlen(date));
        assert_true(parse_time_ms(text, 24, &again) && again == time_ms);
    }
}

static void test_parse_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time_ms;
    } good[] = {{"1970-01-01T00:00:00Z", 0},
                {"1970-01-01t00:00:00z", 0},
                {"1970-01-01 00:00:01.5Z", 1500},
                {"1970-01-01T00:00:00.123456789Z", 123},
                {"1969-12-31T23:59:59.999Z", -1},
                {"1970-01-01T01:30:00+01:30", 0},
                {"1969-12-31T23:00:00.25-01:00", 250},
                {"2000-02-29T00:00:00Z", 951782400000},
                {"0000-01-01T00:00:00Z", -62167219200000},
                {"9999-12-31T23:59:59.999Z", 253402300799999}};
    static const char *const bad[] = {"",
                                      "1970-01-01",
                                      "1970-01-01T00:00:00",
                                      "1970-01-01T00:00Z",
                                      "1970-1-01T00:00:00Z",
                                      "1970-13-01T00:00:00Z",
                                      "1970-00-01T00:00:00Z",
                                      "1970-01-00T00:00:00Z",
                                      "1970-04-31T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "1970-01-01T24:00:00Z",
                                      "1970-01-01T00:60:00Z",
                                      "1970-01-01T23:59:60Z",
                                      "1970-01-01T00:00:00.Z",
                                      "1970-01-01T00:00:00.1234567890Z",
                                      "1970-01-01T00:00:00,5Z",
                                      "1970-01-01T00:00:00+1:00",
                                      "1970-01-01T00:00:00+0100",
                                      "1970-01-01T00:00:00+24:00",
                                      "1970-01-01T00:00:00+01:60",
                                      "1970-01-01T00:00:00Z ",
                                      " 1970-01-01T00:00:00Z",
                                      "1970-01-01_00:00:00Z",
                                      "+970-01-01T00:00:00Z",
                                      "-970-01-01T00:00:00Z",
                                      "0000-01-01T00:00:00+00:01",
                                      "9999-12-31T23:59:59-00:01"};
    int64_t time_ms = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(parse_time_ms(good[i].text, strlen(good[i].text), &time_ms));
        assert_int_equal(time_ms, good[i].time_ms);
        for (size_t length = 0; length < strlen(good[i].text); length++) {
            assert_false(parse_time_ms(good[i].text, length, &time_ms));
        }
    }
    time_ms = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (parse_time_ms(bad[i], strlen(bad[i]), &time_ms)) {
            fail_msg("%s is taken for a time", bad[i]);
        }
    }
    assert_true(time_ms == 7);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0s", 0},          {"250ms", 250},    {"90s", 90000},
                {"5m", 300000},     {"24h", 86400000}, {"7d", 604800000},
                {"2w", 1209600000}, {"007s", 7000},    {"36525d", 3155760000000}};
    static const char *const bad[] = {"",
                                      "5",
                                      "s",
                                      "-5s",
                                      "+5s",
                                      "1.5h",
                                      "5 s",
                                      "5S",
                                      "5min",
                                      "5y",
                                      "36526d",
                                      "3155760000001ms",
                                      "5s ",
                                      "5m30s",
                                      " 5s",
                                      "5sm",
                                      "99999999999999999999s",
                                      "9223372036854775807w"};
    int64_t ms = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse_duration_ms(bad[i], strlen(bad[i]), &ms));
    }
    assert_true(ms == 7);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(parse_duration_ms(good[i].text, strlen(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_civil_dates),
        cmocka_unit_test(test_format_time),
        cmocka_unit_test(test_parse_time),
        cmocka_unit_test(test_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
