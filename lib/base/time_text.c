#include <base/text.h>
#include <stdio.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };
#define YEAR_0000_MS    INT64_C(-62167219200000)
#define YEAR_10000_MS   INT64_C(253402300800000)
#define DURATION_MAX_MS (INT64_C(36525) * DAY_MS)

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Years begin in March here, so that the leap day is the last of its year; an era is 400 years. */
int64_t days_from_civil(int64_t year, int month, int day)
{
    int64_t march_year = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(march_year, 400);
    int64_t year_of_era = march_year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
    int64_t shifted = days + 719468;
    int64_t era = floor_div(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    int month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    *ret_year = era * 400 + year_of_era + (month <= 2);
    *ret_month = month;
    *ret_day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1);
}

/* `value` in `digits` digits, zeros before it. */
static char *put_digits(char *at, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

size_t format_time_ms(int64_t time_ms, char text[TIME_TEXT_MAX])
{
    time_ms = time_ms < YEAR_0000_MS ? YEAR_0000_MS : time_ms;
    time_ms = time_ms >= YEAR_10000_MS ? YEAR_10000_MS - 1 : time_ms;
    int64_t days = floor_div(time_ms, DAY_MS);
    int64_t of_day = time_ms - days * DAY_MS;
    int64_t year;
    int month, day;
    civil_from_days(days, &year, &month, &day);
    const struct {
        int64_t value;
        int digits;
        char after;
    } parts[] = {{year, 4, '-'},
                 {month, 2, '-'},
                 {day, 2, 'T'},
                 {of_day / HOUR_MS, 2, ':'},
                 {of_day / MINUTE_MS % 60, 2, ':'},
                 {of_day / SECOND_MS % 60, 2, '.'},
                 {of_day % SECOND_MS, 3, 'Z'}};
    char *at = text;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        at = put_digits(at, parts[i].value, parts[i].digits);
        *at++ = parts[i].after;
    }
    *at = '\0';
    return (size_t)(at - text);
}

/* What is being read, with a sticky error. */
struct scan {
    const char *at, *end;
    bool failed;
};

/* Exactly `digits` digits, at most `max`. */
static int take_number(struct scan *scan, int digits, int max)
{
    int value = 0;
    for (int i = 0; i < digits; i++, scan->at++) {
        if (scan->failed || scan->at == scan->end || *scan->at < '0' || *scan->at > '9') {
            scan->failed = true;
            return 0;
        }
        value = value * 10 + (*scan->at - '0');
    }
    scan->failed |= value > max;
    return value;
}

/* The next byte if it is one of `choices`, else a failure. */
static char take_one_of(struct scan *scan, const char *choices)
{
    for (const char *choice = choices; !scan->failed && scan->at < scan->end && *choice; choice++) {
        if (*scan->at == *choice) {
            scan->at++;
            return *choice;
        }
    }
    scan->failed = true;
    return '\0';
}

static int64_t take_date(struct scan *scan)
{
    int year = take_number(scan, 4, 9999);
    take_one_of(scan, "-");
    int month = take_number(scan, 2, 12);
    take_one_of(scan, "-");
    int day = take_number(scan, 2, 31);
    if (scan->failed || month < 1 || day < 1) {
        scan->failed = true;
        return 0;
    }
    int64_t days = days_from_civil(year, month, day);
    int64_t real_year;
    int real_month, real_day;
    civil_from_days(days, &real_year, &real_month, &real_day);
    scan->failed = real_day != day; /* such as 30 February */
    return days;
}

/* ".5", or nothing. */
static int take_fraction_ms(struct scan *scan)
{
    if (scan->at == scan->end || *scan->at != '.') {
        return 0;
    }
    scan->at++;
    int ms = 0, digits = 0;
    for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9'; scan->at++, digits++) {
        ms = digits < 3 ? ms * 10 + (*scan->at - '0') : ms;
    }
    scan->failed |= digits < 1 || digits > 9;
    for (; digits < 3; digits++) {
        ms *= 10;
    }
    return ms;
}

static int take_offset_ms(struct scan *scan)
{
    char sign = take_one_of(scan, "Zz+-");
    if (sign == 'Z' || sign == 'z') {
        return 0;
    }
    int hours = take_number(scan, 2, 23);
    take_one_of(scan, ":");
    int offset = hours * HOUR_MS + take_number(scan, 2, 59) * MINUTE_MS;
    return sign == '-' ? -offset : offset;
}

bool parse_time_ms(const char *text, size_t length, int64_t *ret_time_ms)
{
    struct scan scan = {.at = text, .end = text + length};
    int64_t time = take_date(&scan) * DAY_MS;
    take_one_of(&scan, "Tt ");
    time += take_number(&scan, 2, 23) * HOUR_MS;
    take_one_of(&scan, ":");
    time += take_number(&scan, 2, 59) * MINUTE_MS;
    take_one_of(&scan, ":");
    time += take_number(&scan, 2, 59) * SECOND_MS;
    time += take_fraction_ms(&scan);
    time -= take_offset_ms(&scan);
    if (scan.failed || scan.at != scan.end || time < YEAR_0000_MS || time >= YEAR_10000_MS) {
        return false;
    }
    *ret_time_ms = time;
    return true;
}

static int64_t unit_ms(const char *unit, size_t length)
{
    if (length == 2 && unit[0] == 'm' && unit[1] == 's') {
        return 1;
    }
    switch (length == 1 ? unit[0] : '\0') {
    case 's':
        return SECOND_MS;
    case 'm':
        return MINUTE_MS;
    case 'h':
        return HOUR_MS;
    case 'd':
        return DAY_MS;
    case 'w':
        return 7 * DAY_MS;
    default:
        return 0;
    }
}

bool parse_duration_ms(const char *text, size_t length, int64_t *ret_ms)
{
    size_t digits = 0;
    while (digits < length && text[digits] >= '0' && text[digits] <= '9') {
        digits++;
    }
    int64_t count, duration;
    int64_t unit = unit_ms(text + digits, length - digits);
    if (unit == 0 || !parse_int64(text, digits, &count) || __builtin_mul_overflow(count, unit, &duration) ||
        duration > DURATION_MAX_MS) {
        return false;
    }
    *ret_ms = duration;
    return true;
}
