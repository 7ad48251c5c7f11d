/* Structured logs: one line an event on a stream, logfmt:
 *     2026-11-23T07:00:00.000Z info listening endpoint=tcp://127.0.0.1:5555 store="/var/lib/x y"
 * Thread-safe (one write a line). Modules below the daemons do not log above debug. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <poise/error.h>
#include <stdint.h>
#include <stdio.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct clock;
struct log {
    FILE *out; /* NULL: silent */
    enum log_level level;
    const struct clock *clock; /* for the time stamp; outlives the log */
};

struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_INT } kind;
    const char *text;
    int64_t number;
};

/* log_event(&log, LOG_INFO, "listening", log_text("endpoint", e), log_int("peers", n)); at most 12 fields. */
#define log_event(log, level, ...)                                                                           \
    log_event_(log, level, LOG_FIRST_(__VA_ARGS__, ), (struct log_field[]){LOG_REST_(__VA_ARGS__, {0})})
#define LOG_FIRST_(event, ...) event
#define LOG_REST_(event, ...)  __VA_ARGS__
void log_event_(const struct log *log, enum log_level level, const char *event,
                const struct log_field *fields);

static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_TEXT, .text = text ? text : ""};
}
static inline struct log_field log_int(const char *key, int64_t number)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_INT, .number = number};
}

/* "error", "warn", "info", "debug". */
const char *log_level_name(enum log_level level);

#endif
