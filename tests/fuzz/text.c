/* Text at the border: numbers, times, durations, ids, orgs and their globs, formats of times. The input is up
 * to three texts, a line each: a value, a format or glob, and the rest is not looked at. */
#include "fuzz.h"
#include <base/text.h>
#include <collector/time_format.h>
#include <math.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 600 };
#define YEAR_0    INT64_C(-62167219200000)
#define YEAR_9999 INT64_C(253402300799999)

static void try_numbers(const char *text, size_t length)
{
    double value, again;
    int64_t whole;
    char written[NUMBER_TEXT_MAX];
    if (parse_double(text, length, &value)) {
        char *end;
        MUST(isfinite(value) && length <= NUMBER_DIGITS_MAX);
        MUST(fuzz_same_bits(strtod(text, &end), value) && end == text + length);
        size_t size = format_double(value, written);
        MUST(size < NUMBER_TEXT_MAX && parse_double(written, size, &again) && again == value);
    }
    if (parse_int64(text, length, &whole)) {
        MUST(parse_double(text, length, &value) && value == (double)whole);
    }
}

static void try_times(const char *text, size_t length)
{
    int64_t time_ms, again, year;
    int month, day;
    char written[TIME_TEXT_MAX];
    if (parse_time_ms(text, length, &time_ms)) {
        MUST(time_ms >= YEAR_0 && time_ms <= YEAR_9999);
        size_t size = format_time_ms(time_ms, written);
        MUST(size < TIME_TEXT_MAX && parse_time_ms(written, size, &again) && again == time_ms);
        int64_t days = time_ms / 86400000 - (time_ms % 86400000 < 0);
        civil_from_days(days, &year, &month, &day);
        MUST(month >= 1 && month <= 12 && day >= 1 && day <= 31 && days_from_civil(year, month, day) == days);
    }
    if (parse_duration_ms(text, length, &time_ms)) {
        MUST(time_ms >= 0 && time_ms <= INT64_C(36600) * 86400000);
    }
}

/* ---- orgs ---- */

static bool segment_fits(const char *glob, size_t glob_length, const char *text, size_t length)
{
    if (glob_length == 0) {
        return length == 0;
    }
    if (glob[0] != '*') {
        return length > 0 && text[0] == glob[0] &&
               segment_fits(glob + 1, glob_length - 1, text + 1, length - 1);
    }
    for (size_t taken = 1; taken <= length; taken++) {
        if (segment_fits(glob + 1, glob_length - 1, text + taken, length - taken)) {
            return true;
        }
    }
    return false;
}

/* As scoring.md says it, tried in all ways; NULL: behind the last segment. */
static bool fits(const char *glob, const char *org)
{
    if (!glob) {
        return !org;
    }
    size_t glob_length = strcspn(glob, "/");
    const char *rest = glob[glob_length] ? glob + glob_length + 1 : NULL;
    bool any = glob_length == 2 && memcmp(glob, "**", 2) == 0;
    if (any && !rest) {
        return org != NULL; /* something lies below */
    }
    if (any && fits(rest, org)) {
        return true;
    }
    if (!org) {
        return false;
    }
    size_t length = strcspn(org, "/");
    const char *below = org[length] ? org + length + 1 : NULL;
    return any ? fits(glob, below) : segment_fits(glob, glob_length, org, length) && fits(rest, below);
}

static void try_orgs(const char *text, size_t length, const char *glob)
{
    enum { TRIED_MAX = 40, STARS_MAX = 6 }; /* trying all ways takes long */
    size_t stars = 0;
    for (const char *at = glob; *at; at++) {
        stars += *at == '*';
    }
    if (!org_valid(text, length)) {
        return;
    }
    MUST(length <= POISE_ORG_MAX && utf8_printable(text, length));
    MUST(glob_valid(text) || memchr(text, '*', length));
    if (!glob_valid(glob)) {
        return;
    }
    bool matches = org_matches(glob, text);
    if (stars <= STARS_MAX && length <= TRIED_MAX) {
        bool all = strcmp(glob, "**") == 0;
        MUST(matches == (all || fits(glob[0] ? glob : NULL, text[0] ? text : NULL)));
    }
}

/* ---- formats ---- */

static void try_formats(const char *text, size_t length, const char *pattern)
{
    struct time_format format;
    poise_error err;
    int64_t time_ms;
    poise_code code = time_format_parse(pattern, &format, &err);
    MUST(code == POISE_OK || (code == POISE_EINVAL && fuzz_is_text(err.text, POISE_ERROR_TEXT_MAX)));
    if (code == POISE_OK && time_format_read(&format, text, length, &time_ms) && format.kind < TIME_UNIX) {
        MUST(time_ms >= YEAR_0 - 86400000 && time_ms <= YEAR_9999 + 86400000);
    }
    for (int i = 0; duration_format_names[i]; i++) {
        if (duration_read((enum duration_format)i, text, length, &time_ms)) {
            MUST(time_ms >= 0 && length > 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > TEXT_MAX) {
        return 0;
    }
    char texts[TEXT_MAX + 2] = {0};
    if (size > 0) {
        memcpy(texts, data, size);
    }
    char *line = memchr(texts, '\n', size);
    size_t length = line ? (size_t)(line - texts) : size;
    const char *second = line ? line + 1 : texts + size;
    if (line) {
        *line = '\0';
    }
    try_numbers(texts, length);
    try_times(texts, length);
    try_orgs(texts, length, second);
    if (utf8_printable(second, strlen(second))) { /* as a configuration gives it */
        try_formats(texts, length, second);
    }
    MUST(!id_valid(texts, length) ||
         (length >= 1 && length <= POISE_ID_MAX && utf8_printable(texts, length)));
    char shown[sizeof texts];
    memcpy(shown, texts, sizeof texts);
    utf8_disarm(shown);
    MUST(utf8_printable(shown, strlen(shown)));
    return 0;
}
