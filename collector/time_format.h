/* Times and durations as sources write them, read strictly: the whole text must match. */
#ifndef COLLECTOR_TIME_FORMAT_H
#define COLLECTOR_TIME_FORMAT_H

#include <model/calendar.h>
#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A format is `rfc3339`, `unix` (seconds, fractions allowed), `unix_ms`, or a pattern of
 *   %Y four digits   %m %d %H %M %S two digits   %-m %-d %-H %-I one or two   %I with %p: 12-hour clock, AM
 * or PM %b Jan to Dec    %f one to nine digits of a second   %z Z, +hhmm or +hh:mm   %% a percent sign and
 * text that must stand there as it is. A pattern needs a whole date; what it lacks of the time of day is 0.
 */
struct time_format {
    enum { TIME_PATTERN, TIME_RFC3339, TIME_UNIX, TIME_UNIX_MS } kind;
    const char *text;        /* borrowed */
    bool has_zone;           /* it says itself where its times are */
    const struct zone *zone; /* put in by the caller where it does not; borrowed; NULL: UTC */
};

/* EINVAL says what is wrong with the text and what would be right. */
poise_code time_format_parse(const char *text, struct time_format *ret_format, poise_error *err);
bool time_format_read(const struct time_format *format, const char *text, size_t length,
                      int64_t *ret_time_ms);

enum duration_format { DURATION_H_M, DURATION_H_M_S, DURATION_M_S };
extern const char *const duration_format_names[]; /* "H:M", ..., ended by NULL */
/* The first part has 1 to 9 digits, the others two and less than 60; seconds may have a fraction. */
bool duration_read(enum duration_format format, const char *text, size_t length, int64_t *ret_ms);

#endif
