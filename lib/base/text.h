/* Text at the border: UTF-8, numbers, times, durations, CSV fields. Locale-free. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Valid UTF-8 without control characters (U+0000 to U+001F, U+007F to U+009F: terminals obey them). */
bool utf8_printable(const char *text, size_t length);
/* Puts a ? in the place of each byte that is not of it: what is quoted on terminals and sent to others, cut
 * anywhere. */
void utf8_disarm(char *text);
/* Columns that valid UTF-8 takes on a terminal, one a code point, and the byte length of its first `columns`.
 */
size_t utf8_columns(const char *text);
size_t utf8_prefix(const char *text, size_t columns);

/* An id: 1 to POISE_ID_MAX of a-z A-Z 0-9 _ . - */
bool id_valid(const char *id, size_t length);

/* All of text as a decimal number ("-1.5e3", ".5", "+2"; no blanks, hex, inf or nan), nearest double. false:
 * not one, longer than NUMBER_DIGITS_MAX, or beyond a double. */
enum { NUMBER_DIGITS_MAX = 512 };
bool parse_double(const char *text, size_t length, double *ret_value);
bool parse_int64(const char *text, size_t length, int64_t *ret_value);

enum { NUMBER_TEXT_MAX = 32, TIME_TEXT_MAX = 32 };
/* With 15, 16 or 17 digits, the fewest that read back to the same double ("0.1", "1e+100", "-0" as "0");
 * returns the length. */
size_t format_double(double value, char text[NUMBER_TEXT_MAX]);

/* RFC 3339 in UTC with milliseconds, "2026-03-01T00:00:00.000Z". Times outside years 0000 to 9999 give the
 * nearest within. */
size_t format_time_ms(int64_t time_ms, char text[TIME_TEXT_MAX]);
/* RFC 3339: date, T or blank, time with 0 to 9 fraction digits (beyond milliseconds cut), Z or offset.
 * No leap second 60; the result lies within years 0000 to 9999. */
bool parse_time_ms(const char *text, size_t length, int64_t *ret_time_ms);
/* "90s", "5m", "24h", "7d", "2w" (also "250ms"): a whole number and a unit, at most 100 years. */
bool parse_duration_ms(const char *text, size_t length, int64_t *ret_ms);

/* Proleptic Gregorian calendar: days since 1970-01-01. */
int64_t days_from_civil(int64_t year, int month, int day);
void civil_from_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

#endif
