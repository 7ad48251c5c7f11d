#include <base/text.h>
#include <model/calendar.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct zone *open_zone(const char *name)
{
    struct zone *zone = NULL;
    poise_error err;
    if (zone_open(name, &zone, &err) != POISE_OK)
        fail_msg("%s", err.text);
    return zone;
}

static int64_t ms(const char *text)
{
    int64_t time_ms;
    if (!parse_time_ms(text, strlen(text), &time_ms))
        fail_msg("%s", text);
    return time_ms;
}

struct expectation {
    const char *zone;
    enum period_unit unit;
    int fiscal_year_start;
    const char *time, *start, *end;
};

static const struct expectation expectations[] = {
    {"UTC", PERIOD_MINUTE, 1, "2026-03-02T09:29:59.999Z", "2026-03-02T09:29:00Z", "2026-03-02T09:30:00Z"},
    {"UTC", PERIOD_HOUR, 1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"},
    {"UTC", PERIOD_DAY, 1, "1969-12-31T23:59:59.999Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"},
    {"UTC", PERIOD_WEEK, 1, "2026-01-01T00:00:00Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"},
    {"UTC", PERIOD_MONTH, 1, "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
    {"UTC", PERIOD_QUARTER, 1, "2026-06-30T23:59:59Z", "2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z"},
    {"UTC", PERIOD_QUARTER, 2, "2026-01-15T00:00:00Z", "2025-11-01T00:00:00Z", "2026-02-01T00:00:00Z"},
    {"UTC", PERIOD_HALF, 4, "2026-10-01T00:00:00Z", "2026-10-01T00:00:00Z", "2027-04-01T00:00:00Z"},
    {"UTC", PERIOD_HALF, 4, "2026-01-01T00:00:00Z", "2025-10-01T00:00:00Z", "2026-04-01T00:00:00Z"},
    {"UTC", PERIOD_YEAR, 4, "2026-03-31T23:59:59Z", "2025-04-01T00:00:00Z", "2026-04-01T00:00:00Z"},
    {"UTC", PERIOD_YEAR, 12, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z"},
    /* A day of 23 and one of 25 hours; the repeated hour is two. */
    {"Europe/London", PERIOD_DAY, 1, "2026-03-29T12:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"},
    {"Europe/London", PERIOD_DAY, 1, "2026-10-25T12:00:00Z", "2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"},
    {"Europe/London", PERIOD_HOUR, 1, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
    {"Europe/London", PERIOD_HOUR, 1, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
    {"Europe/London", PERIOD_MONTH, 4, "2026-04-01T00:00:00Z", "2026-03-31T23:00:00Z",
     "2026-04-30T23:00:00Z"},
    {"Europe/London", PERIOD_YEAR, 4, "2026-03-31T23:00:00Z", "2026-03-31T23:00:00Z", "2027-03-31T23:00:00Z"},
    {"America/New_York", PERIOD_DAY, 1, "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z",
     "2026-11-02T05:00:00Z"},
    {"America/New_York", PERIOD_WEEK, 1, "2026-03-08T12:00:00Z", "2026-03-02T05:00:00Z",
     "2026-03-09T04:00:00Z"},
    {"Asia/Kolkata", PERIOD_HOUR, 1, "2026-03-02T09:31:00Z", "2026-03-02T09:30:00Z", "2026-03-02T10:30:00Z"},
    {"Asia/Kolkata", PERIOD_DAY, 1, "2026-03-02T18:30:00Z", "2026-03-02T18:30:00Z", "2026-03-03T18:30:00Z"},
    /* The clock goes back half an hour at 15:00 and forward on 3 October at 15:30. */
    {"Australia/Lord_Howe", PERIOD_HOUR, 1, "2026-04-04T14:59:59Z", "2026-04-04T14:00:00Z",
     "2026-04-04T15:00:00Z"},
    {"Australia/Lord_Howe", PERIOD_HOUR, 1, "2026-04-04T15:10:00Z", "2026-04-04T15:00:00Z",
     "2026-04-04T15:30:00Z"},
    {"Australia/Lord_Howe", PERIOD_HOUR, 1, "2026-10-03T15:40:00Z", "2026-10-03T15:30:00Z",
     "2026-10-03T16:00:00Z"},
    {"Australia/Lord_Howe", PERIOD_DAY, 1, "2026-04-04T15:10:00Z", "2026-04-04T13:00:00Z",
     "2026-04-05T13:30:00Z"},
    /* The clock went back an hour at one minute past midnight. */
    {"America/St_Johns", PERIOD_HOUR, 1, "2006-10-29T02:30:30Z", "2006-10-29T02:30:00Z",
     "2006-10-29T02:31:00Z"},
    {"America/St_Johns", PERIOD_HOUR, 1, "2006-10-29T03:00:00Z", "2006-10-29T02:31:00Z",
     "2006-10-29T03:30:00Z"},
    /* 30 December 2011 never was. */
    {"Pacific/Apia", PERIOD_DAY, 1, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
    {"Pacific/Apia", PERIOD_DAY, 1, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
    {"Pacific/Apia", PERIOD_WEEK, 1, "2011-12-30T10:00:00Z", "2011-12-26T10:00:00Z", "2012-01-01T10:00:00Z"},
    /* Midnight does not exist when summer begins, and comes twice when it ends: the day starts at the first.
     */
    {"America/Sao_Paulo", PERIOD_DAY, 1, "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z",
     "2018-11-05T02:00:00Z"},
    {"America/Sao_Paulo", PERIOD_DAY, 1, "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z",
     "2018-02-18T03:00:00Z"},
    {"America/St_Johns", PERIOD_DAY, 1, "2006-10-29T02:45:00Z", "2006-10-29T02:30:00Z",
     "2006-10-30T03:30:00Z"},
};

static void assert_period(const struct expectation *expected, const char *call, struct period period)
{
    if (period.start_ms != ms(expected->start) || period.end_ms != ms(expected->end)) {
        char start[TIME_TEXT_MAX], end[TIME_TEXT_MAX];
        format_time_ms(period.start_ms, start);
        format_time_ms(period.end_ms, end);
        fail_msg("%s %s of %s in %s: %s to %s, expected %s to %s", call, period_unit_names[expected->unit],
                 expected->time, expected->zone, start, end, expected->start, expected->end);
    }
}

static void known_periods(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        const struct expectation *expected = &expectations[i];
        struct zone *zone = open_zone(expected->zone);
        struct calendar calendar = {
            .zone = zone, .unit = expected->unit, .fiscal_year_start = expected->fiscal_year_start};
        assert_period(expected, "period_of", period_of(&calendar, ms(expected->time)));
        assert_period(expected, "period_of start", period_of(&calendar, ms(expected->start)));
        assert_period(expected, "period_of end - 1", period_of(&calendar, ms(expected->end) - 1));
        assert_period(expected, "period_at end", period_at(&calendar, ms(expected->end)));
        assert_period(expected, "period_at start + 1", period_at(&calendar, ms(expected->start) + 1));
        struct period after = period_of(&calendar, ms(expected->end));
        assert_period(expected, "period_before", period_before(&calendar, after));
        zone_close(zone);
    }
}

static const char *const zones[] = {"UTC",          "Europe/London",       "America/New_York",
                                    "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
                                    "Asia/Gaza",    "Africa/Monrovia",     "America/St_Johns"};

static void periods_tile_time(void **state)
{
    (void)state;
    for (size_t z = 0; z < sizeof zones / sizeof *zones; z++) {
        struct zone *zone = open_zone(zones[z]);
        for (int unit = PERIOD_MINUTE; unit <= PERIOD_YEAR; unit++) {
            struct calendar calendar = {.zone = zone, .unit = (enum period_unit)unit, .fiscal_year_start = 3};
            struct period period = period_of(&calendar, ms("2011-12-20T00:00:00Z"));
            for (int i = 0; i < 3000 && period.end_ms < TIME_MAX_MS; i++) {
                struct period next = period_of(&calendar, period.end_ms);
                assert_true(period.start_ms < period.end_ms);
                assert_int_equal(next.start_ms, period.end_ms);
                struct period before = period_before(&calendar, next);
                assert_memory_equal(&before, &period, sizeof period);
                period = next;
            }
        }
        zone_close(zone);
    }
}

static void wall_times(void **state)
{
    (void)state;
    struct zone *zone = open_zone("Europe/London");
    assert_int_equal(zone_offset_s(zone, ms("2026-03-29T00:59:59.999Z")), 0);
    assert_int_equal(zone_offset_s(zone, ms("2026-03-29T01:00:00Z")), 3600);
    assert_int_equal(zone_offset_s(zone, ms("2150-07-01T00:00:00Z")), 3600);
    /* In the gap: the change. Twice: the earlier. */
    assert_int_equal(zone_local_to_utc_ms(zone, ms("2026-03-29T01:30:00Z")), ms("2026-03-29T01:00:00Z"));
    assert_int_equal(zone_local_to_utc_ms(zone, ms("2026-10-25T01:30:00Z")), ms("2026-10-25T00:30:00Z"));
    assert_int_equal(zone_local_to_utc_ms(zone, ms("2026-10-25T02:00:00Z")), ms("2026-10-25T02:00:00Z"));
    assert_int_equal(zone_local_to_utc_ms(zone, ms("2026-07-01T12:00:00Z")), ms("2026-07-01T11:00:00Z"));
    assert_int_equal(zone_midnight_ms(zone, days_from_civil(2026, 7, 1)), ms("2026-06-30T23:00:00Z"));
    zone_close(zone);
    zone = open_zone("Pacific/Apia");
    assert_int_equal(zone_midnight_ms(zone, days_from_civil(2011, 12, 30)), ms("2011-12-30T10:00:00Z"));
    assert_int_equal(zone_midnight_ms(zone, days_from_civil(2011, 12, 31)), ms("2011-12-30T10:00:00Z"));
    zone_close(zone);
}

static void short_stretches_are_found(void **state)
{
    (void)state;
    struct zone *zone = open_zone("America/Recife"); /* a summer time of one week in 2000 */
    assert_int_equal(zone_offset_s(zone, ms("2000-10-10T00:00:00Z")), -7200);
    assert_int_equal(zone_offset_s(zone, ms("2000-10-01T00:00:00Z")), -10800);
    assert_int_equal(zone_offset_s(zone, ms("2000-10-20T00:00:00Z")), -10800);
    zone_close(zone);
}

static void unknown_zones(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",          "Europe/Londn", "/usr/share/zoneinfo/UTC", "../zoneinfo/UTC",
        "tzdata.zi", "Europe",       "Europe/London\n",         "leapseconds"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct zone *zone = NULL;
        poise_error err;
        assert_int_equal(zone_open(names[i], &zone, &err), POISE_ENOTFOUND);
        assert_non_null(strstr(err.text, "Europe/London"));
        assert_null(zone);
    }
    zone_close(NULL);
}

static void the_environment_is_put_back(void **state)
{
    (void)state;
    setenv("TZ", "Asia/Tokyo", 1);
    zone_close(open_zone("America/New_York"));
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
    time_t now = 0;
    struct tm local;
    assert_non_null(localtime_r(&now, &local));
    assert_int_equal(local.tm_hour, 9);
    unsetenv("TZ");
    struct zone *zone = open_zone("UTC");
    assert_null(getenv("TZ"));
    assert_string_equal(zone_name(zone), "UTC");
    assert_true(strlen(zone_data_version(zone)) >= 5);
    zone_close(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_periods), cmocka_unit_test(periods_tile_time),
        cmocka_unit_test(wall_times),    cmocka_unit_test(short_stretches_are_found),
        cmocka_unit_test(unknown_zones), cmocka_unit_test(the_environment_is_put_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
