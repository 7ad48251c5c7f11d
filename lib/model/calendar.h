/* Calendar periods in IANA time zones (scoring.md section 2). A zone is a table of offset changes, probed
 * from the system's zone data once; after zone_open everything is pure and thread-safe. Source of zones: IANA
 * tz database, as installed under /usr/share/zoneinfo. */
#ifndef MODEL_CALENDAR_H
#define MODEL_CALENDAR_H

#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Times that measurements and questions may have: 1900-01-01 to 2200-01-01 UTC. */
#define TIME_MIN_MS INT64_C(-2208988800000)
#define TIME_MAX_MS INT64_C(7258118400000)

struct zone; /* opaque, immutable */
/* "Europe/London", "UTC". ENOTFOUND where the system has no such zone. Not thread-safe (it sets TZ while it
 * probes and puts it back): open zones before threads start. */
poise_code zone_open(const char *name, struct zone **ret_zone, poise_error *err);
void zone_close(struct zone *zone);
const char *zone_name(const struct zone *zone);
/* Version of the zone data ("2024a"), or "unknown"; a definition's revision records it. */
const char *zone_data_version(const struct zone *zone);
/* Seconds east of UTC in force at an instant. */
int32_t zone_offset_s(const struct zone *zone, int64_t time_ms);
/* First instant whose local date is at or past the date (days since 1970-01-01). */
int64_t zone_midnight_ms(const struct zone *zone, int64_t local_day);
/* The instant of a local wall time (ms since 1970 as if local were UTC): the earlier of two, and in a gap the
 * instant of the change. */
int64_t zone_local_to_utc_ms(const struct zone *zone, int64_t local_ms);

enum period_unit {
    PERIOD_MINUTE,
    PERIOD_HOUR,
    PERIOD_DAY,
    PERIOD_WEEK,
    PERIOD_MONTH,
    PERIOD_QUARTER,
    PERIOD_HALF,
    PERIOD_YEAR
};
extern const char *const period_unit_names[]; /* "minute", ..., ended by NULL */

struct calendar {
    const struct zone *zone; /* borrowed */
    enum period_unit unit;
    int fiscal_year_start; /* month 1..12 */
};

struct period {
    int64_t start_ms, end_ms; /* [start, end) */
};

/* The period with start <= time < end: where a measurement counts. */
struct period period_of(const struct calendar *calendar, int64_t time_ms);
/* The period with start < as_of <= end: what is looked at as of a time. */
struct period period_at(const struct calendar *calendar, int64_t as_of_ms);
/* The period that ends where this one starts. */
struct period period_before(const struct calendar *calendar, struct period period);

#endif
