#include <base/text.h>
#include <model/zone.h>

enum { MINUTE_MS = 60000, HOUR_MS = 3600000, DAY_MS = 86400000 };

const char *const period_unit_names[] = {"minute",  "hour", "day",  "week", "month",
                                         "quarter", "half", "year", NULL};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t months_in(enum period_unit unit)
{
    switch (unit) {
    case PERIOD_QUARTER:
        return 3;
    case PERIOD_HALF:
        return 6;
    case PERIOD_YEAR:
        return 12;
    default:
        return 1;
    }
}

/* Periods of a day and longer are numbered; day 0 is a Thursday, so week 0 starts three days before it. */
static int64_t number_of_day(const struct calendar *calendar, int64_t day)
{
    if (calendar->unit == PERIOD_DAY)
        return day;
    if (calendar->unit == PERIOD_WEEK)
        return floor_div(day + 3, 7);
    int64_t year;
    int month, day_of_month;
    civil_from_days(day, &year, &month, &day_of_month);
    return floor_div(year * 12 + month - calendar->fiscal_year_start, months_in(calendar->unit));
}

static int64_t first_day(const struct calendar *calendar, int64_t number)
{
    if (calendar->unit == PERIOD_DAY)
        return number;
    if (calendar->unit == PERIOD_WEEK)
        return number * 7 - 3;
    int64_t month = number * months_in(calendar->unit) + calendar->fiscal_year_start - 1;
    int64_t year = floor_div(month, 12);
    return days_from_civil(year, (int)(month - year * 12) + 1, 1);
}

static struct period dated_period(const struct calendar *calendar, int64_t time_ms)
{
    int64_t offset_ms = (int64_t)zone_offset_s(calendar->zone, time_ms) * 1000;
    int64_t number = number_of_day(calendar, floor_div(time_ms + offset_ms, DAY_MS));
    struct period period = {.start_ms = zone_midnight_ms(calendar->zone, first_day(calendar, number))};
    for (;;) {
        period.end_ms = zone_midnight_ms(calendar->zone, first_day(calendar, ++number));
        if (time_ms < period.end_ms)
            return period;
        /* The clock went back over midnight: the date of yesterday, but today has begun. */
        period.start_ms = period.end_ms;
    }
}

static struct period clock_period(const struct calendar *calendar, int64_t time_ms)
{
    int64_t length = calendar->unit == PERIOD_MINUTE ? MINUTE_MS : HOUR_MS;
    struct stretch stretch = zone_stretch(calendar->zone, time_ms);
    int64_t local = floor_div(time_ms + stretch.offset_ms, length) * length;
    struct period period = {.start_ms = local - stretch.offset_ms,
                            .end_ms = local - stretch.offset_ms + length};
    if (period.start_ms < stretch.start_ms)
        period.start_ms = stretch.start_ms;
    if (period.end_ms > stretch.end_ms)
        period.end_ms = stretch.end_ms;
    return period;
}

struct period period_of(const struct calendar *calendar, int64_t time_ms)
{
    return calendar->unit <= PERIOD_HOUR ? clock_period(calendar, time_ms) : dated_period(calendar, time_ms);
}

struct period period_at(const struct calendar *calendar, int64_t as_of_ms)
{
    return period_of(calendar, as_of_ms - 1);
}

struct period period_before(const struct calendar *calendar, struct period period)
{
    return period_of(calendar, period.start_ms - 1);
}
