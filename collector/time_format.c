#include <base/error.h>
#include <base/text.h>
#include <collector/time_format.h>
#include <math.h>
#include <string.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* What is being read, with a sticky error. */
struct scan {
    const char *at, *end;
    bool failed;
};

struct parts {
    int year, month, day, hour, minute, second, ms;
    int half; /* 12-hour clock: 0 AM, 1 PM; -1: 24-hour clock */
    int64_t offset_ms;
};

static bool is_digit(const struct scan *scan)
{
    return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

/* least to most digits; the number must be from min to max. */
static int take_number(struct scan *scan, int least, int most, int min, int max)
{
    int value = 0, digits = 0;
    for (; digits < most && is_digit(scan); digits++) {
        value = value * 10 + (*scan->at++ - '0');
    }
    scan->failed |= digits < least || value < min || value > max;
    return value;
}

static void take_char(struct scan *scan, char wanted)
{
    if (scan->at < scan->end && *scan->at == wanted) {
        scan->at++;
    } else {
        scan->failed = true;
    }
}

/* Digits after the decimal point, beyond milliseconds cut. */
static int take_fraction_ms(struct scan *scan)
{
    int ms = 0, digits = 0;
    for (; digits < 9 && is_digit(scan); digits++, scan->at++) {
        ms = digits < 3 ? ms * 10 + (*scan->at - '0') : ms;
    }
    scan->failed |= digits == 0;
    for (; digits < 3; digits++) {
        ms *= 10;
    }
    return ms;
}

static int take_month_name(struct scan *scan)
{
    for (int month = 0; month < 12 && scan->end - scan->at >= 3; month++) {
        if (memcmp(scan->at, month_names + 3 * (ptrdiff_t)month, 3) == 0) {
            scan->at += 3;
            return month + 1;
        }
    }
    scan->failed = true;
    return 1;
}

static int take_half(struct scan *scan)
{
    if (scan->end - scan->at >= 2 && scan->at[1] == 'M' && (scan->at[0] == 'A' || scan->at[0] == 'P')) {
        scan->at += 2;
        return scan->at[-2] == 'P';
    }
    scan->failed = true;
    return 0;
}

static int64_t take_offset_ms(struct scan *scan)
{
    char sign = scan->at < scan->end ? *scan->at++ : '\0';
    if (sign == 'Z') {
        return 0;
    }
    scan->failed |= sign != '+' && sign != '-';
    int hours = take_number(scan, 2, 2, 0, 23);
    if (scan->at < scan->end && *scan->at == ':') {
        scan->at++;
    }
    int64_t offset = (int64_t)hours * HOUR_MS + take_number(scan, 2, 2, 0, 59) * MINUTE_MS;
    return sign == '-' ? -offset : offset;
}

static void take_part(struct scan *scan, char specifier, int least, struct parts *parts)
{
    switch (specifier) {
    case 'Y':
        parts->year = take_number(scan, 4, 4, 0, 9999);
        break;
    case 'm':
        parts->month = take_number(scan, least, 2, 1, 12);
        break;
    case 'b':
        parts->month = take_month_name(scan);
        break;
    case 'd':
        parts->day = take_number(scan, least, 2, 1, 31);
        break;
    case 'H':
        parts->hour = take_number(scan, least, 2, 0, 23);
        break;
    case 'I':
        parts->hour = take_number(scan, least, 2, 1, 12);
        break;
    case 'p':
        parts->half = take_half(scan);
        break;
    case 'M':
        parts->minute = take_number(scan, 2, 2, 0, 59);
        break;
    case 'S':
        parts->second = take_number(scan, 2, 2, 0, 59);
        break;
    case 'f':
        parts->ms = take_fraction_ms(scan);
        break;
    case 'z':
        parts->offset_ms = take_offset_ms(scan);
        break;
    default:
        take_char(scan, specifier);
    }
}

/* The local time that the parts name; false: there is no such day. */
static bool local_ms_of(const struct parts *parts, int64_t *ret_ms)
{
    int64_t days = days_from_civil(parts->year, parts->month, parts->day);
    int64_t year;
    int month, day;
    civil_from_days(days, &year, &month, &day);
    int hour = parts->half < 0 ? parts->hour : parts->hour % 12 + 12 * parts->half;
    *ret_ms = days * DAY_MS + (int64_t)hour * HOUR_MS + parts->minute * MINUTE_MS +
              parts->second * SECOND_MS + parts->ms;
    return day == parts->day;
}

static bool read_pattern(const struct time_format *format, struct scan *scan, int64_t *ret_time_ms)
{
    struct parts parts = {.half = -1};
    int64_t local_ms;
    for (const char *at = format->text; *at && !scan->failed; at++) {
        if (*at != '%') {
            take_char(scan, *at);
            continue;
        }
        bool unpadded = *++at == '-';
        at += unpadded;
        take_part(scan, *at, unpadded ? 1 : 2, &parts);
    }
    if (scan->failed || scan->at != scan->end || !local_ms_of(&parts, &local_ms)) {
        return false;
    }
    *ret_time_ms = format->zone ? zone_local_to_utc_ms(format->zone, local_ms) : local_ms - parts.offset_ms;
    return true;
}

bool time_format_read(const struct time_format *format, const char *text, size_t length, int64_t *ret_time_ms)
{
    struct scan scan = {.at = text, .end = text + length};
    double seconds;
    switch (format->kind) {
    case TIME_RFC3339:
        return parse_time_ms(text, length, ret_time_ms);
    case TIME_UNIX_MS:
        return parse_int64(text, length, ret_time_ms);
    case TIME_UNIX:
        if (!parse_double(text, length, &seconds) || fabs(seconds) > 1e12) {
            return false;
        }
        *ret_time_ms = llround(seconds * SECOND_MS);
        return true;
    case TIME_PATTERN:
        return read_pattern(format, &scan, ret_time_ms);
    }
    return false;
}

/* Notes each specifier of a pattern in seen[]. */
static poise_code scan_pattern(const char *text, bool seen[128], poise_error *err)
{
    for (const char *at = text; (at = strchr(at, '%')); at++) {
        bool unpadded = *++at == '-';
        at += unpadded;
        if (*at == '\0' || !strchr(unpadded ? "mdHI" : "YmbdHIpMSfz%", *at)) {
            return error_set(
                err, POISE_EINVAL,
                "'%%%s%.1s' is not known; a time has %%Y %%m %%b %%d %%H %%I %%p %%M %%S %%f %%z, and "
                "%%-m %%-d %%-H %%-I without a leading zero",
                unpadded ? "-" : "", at);
        }
        if (*at != '%' && seen[(unsigned char)*at]) {
            return error_set(err, POISE_EINVAL, "'%%%c' stands twice in '%s'", *at, text);
        }
        seen[(unsigned char)*at] = true;
    }
    return POISE_OK;
}

static poise_code check_pattern(const char *text, bool *ret_has_zone, poise_error *err)
{
    bool seen[128] = {false};
    poise_code code = scan_pattern(text, seen, err);
    if (code != POISE_OK) {
        return code;
    }
    if (!seen['Y'] || seen['m'] == seen['b'] || !seen['d']) {
        return error_set(
            err, POISE_EINVAL,
            "'%s' names no date: it needs %%Y, %%d, and %%m or %%b; or use rfc3339, unix or unix_ms", text);
    }
    if (seen['I'] != seen['p'] || (seen['I'] && seen['H'])) {
        return error_set(err, POISE_EINVAL, "'%s' needs %%H, or %%I together with %%p", text);
    }
    bool hour = seen['H'] || seen['I'];
    if ((seen['M'] && !hour) || (seen['S'] && !seen['M']) || (seen['f'] && !seen['S'])) {
        return error_set(err, POISE_EINVAL,
                         "'%s' has a part of the time of day without the larger one before it", text);
    }
    *ret_has_zone = seen['z'];
    return POISE_OK;
}

poise_code time_format_parse(const char *text, struct time_format *ret_format, poise_error *err)
{
    struct time_format format = {.kind = TIME_PATTERN, .text = text, .has_zone = true};
    if (strcmp(text, "rfc3339") == 0) {
        format.kind = TIME_RFC3339;
    } else if (strcmp(text, "unix") == 0) {
        format.kind = TIME_UNIX;
    } else if (strcmp(text, "unix_ms") == 0) {
        format.kind = TIME_UNIX_MS;
    } else {
        poise_code code = check_pattern(text, &format.has_zone, err);
        if (code != POISE_OK) {
            return code;
        }
    }
    *ret_format = format;
    return POISE_OK;
}

const char *const duration_format_names[] = {"H:M", "H:M:S", "M:S", NULL};

bool duration_read(enum duration_format format, const char *text, size_t length, int64_t *ret_ms)
{
    struct scan scan = {.at = text, .end = text + length};
    int64_t ms = take_number(&scan, 1, 9, 0, 999999999);
    ms *= format == DURATION_M_S ? MINUTE_MS : HOUR_MS;
    if (format != DURATION_M_S) {
        take_char(&scan, ':');
        ms += take_number(&scan, 2, 2, 0, 59) * MINUTE_MS;
    }
    if (format != DURATION_H_M) {
        take_char(&scan, ':');
        ms += take_number(&scan, 2, 2, 0, 59) * SECOND_MS;
        if (scan.at < scan.end && *scan.at == '.') {
            scan.at++;
            ms += take_fraction_ms(&scan);
        }
    }
    if (scan.failed || scan.at != scan.end) {
        return false;
    }
    *ret_ms = ms;
    return true;
}
