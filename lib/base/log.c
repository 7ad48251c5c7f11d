#include <base/clock.h>
#include <base/error.h>
#include <base/log.h>
#include <base/text.h>
#include <inttypes.h>
#include <string.h>

/* A line holds all that log_event_ puts into it, so that one long value cannot cut off the others. */
enum {
    FIELDS_MAX = 12,
    KEY_MAX = 64,
    VALUE_MAX = 1024,
    LINE_BYTES = 256 + (FIELDS_MAX + 1) * (KEY_MAX + VALUE_MAX)
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
enum { LEVELS = sizeof level_names / sizeof *level_names };

struct line {
    char bytes[LINE_BYTES];
    size_t length;
};

static void put(struct line *line, const char *bytes, size_t length)
{
    if (length <= sizeof line->bytes - line->length) {
        memcpy(line->bytes + line->length, bytes, length);
        line->length += length;
    }
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static bool is_plain(const char *text, size_t length)
{
    return length > 0 && length <= VALUE_MAX / 2 && utf8_printable(text, length) &&
           strcspn(text, " =\"\\") == length;
}

/* A byte as it stands between quotes; what is not readable as \xNN. */
static void put_escaped(struct line *line, unsigned char byte, bool readable)
{
    char escape[5];
    if (byte == '\n') {
        put_text(line, "\\n");
    } else if (byte == '\t') {
        put_text(line, "\\t");
    } else if (byte < 0x20 || byte == 0x7f || !readable) {
        snprintf(escape, sizeof escape, "\\x%02x", byte);
        put_text(line, escape);
    } else {
        if (byte == '"' || byte == '\\') {
            put_text(line, "\\");
        }
        put(line, (const char *)&byte, 1);
    }
}

/* As it is, or quoted, so that no value can look like another field or another line. */
static void put_value(struct line *line, const char *text)
{
    size_t length = strlen(text);
    if (is_plain(text, length)) {
        put(line, text, length);
        return;
    }
    bool utf8 = utf8_printable(text, length);
    size_t stop = line->length + VALUE_MAX - sizeof "\\xff...\"";
    put_text(line, "\"");
    for (; *text && (line->length < stop || (utf8 && ((unsigned char)*text & 0xc0) == 0x80)); text++) {
        put_escaped(line, (unsigned char)*text, utf8 || (unsigned char)*text < 0x80);
    }
    put_text(line, *text ? "...\"" : "\"");
}

static void put_field(struct line *line, const struct log_field *field)
{
    char number[NUMBER_TEXT_MAX];
    put_text(line, " ");
    put(line, field->key, strnlen(field->key, KEY_MAX - 2));
    put_text(line, "=");
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        put_value(line, field->text);
        break;
    case LOG_FIELD_INT:
        put(line, number, (size_t)snprintf(number, sizeof number, "%" PRId64, field->number));
        break;
    }
}

void log_event_(const struct log *log, enum log_level level, const char *event,
                const struct log_field *fields)
{
    if (!log->out || level > log->level) {
        return;
    }
    struct line line = {.length = 0};
    char time[TIME_TEXT_MAX];
    put(&line, time, format_time_ms(clock_wall_ms(log->clock), time));
    put_text(&line, " ");
    put_text(&line, log_level_name(level));
    put_text(&line, " ");
    put_value(&line, event);
    for (size_t i = 0; i < FIELDS_MAX && fields[i].key; i++) {
        put_field(&line, &fields[i]);
    }
    put_text(&line, "\n");
    /* A log that cannot be written has nowhere to say so. */
    (void)fwrite(line.bytes, 1, line.length, log->out);
    (void)fflush(log->out);
}

const char *log_level_name(enum log_level level)
{
    return (size_t)level < LEVELS ? level_names[level] : "unknown";
}
