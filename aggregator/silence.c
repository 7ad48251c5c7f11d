#include "silence.h"

#include <base/error.h>
#include <base/text.h>
#include <stdlib.h>

enum { LOOKS = 64, LEAST_WAIT_US = 100000 };

struct silence_source {
    int64_t heard_us;
    enum { UNHEARD, HEARD, SILENT } state;
};

static int64_t now_us(const struct silence *silence)
{
    return clock_monotonic_us(silence->options.clock);
}

static void say(struct silence *silence, enum log_level level, const char *event, size_t source)
{
    char since[TIME_TEXT_MAX];
    if (silence->lines++ >= SILENCE_LINES_MAX) {
        silence->unsaid++;
        return;
    }
    int64_t silent_us = now_us(silence) - silence->sources[source].heard_us;
    format_time_ms(clock_wall_ms(silence->options.clock) - silent_us / 1000, since);
    log_event(silence->options.log, level, event,
              log_text("source", engine_source(silence->options.engine, source)), log_text("since", since));
}

static bool reserve(struct silence *silence, size_t source)
{
    if (source < silence->capacity)
        return true;
    size_t capacity = silence->capacity ? silence->capacity : 16;
    while (capacity <= source)
        capacity *= 2;
    struct silence_source *sources = realloc(silence->sources, capacity * sizeof *sources);
    if (!sources)
        return false;
    for (size_t i = silence->capacity; i < capacity; i++)
        sources[i] = (struct silence_source){.state = UNHEARD};
    silence->sources = sources;
    silence->capacity = capacity;
    return true;
}

static void hear(struct silence *silence, size_t source)
{
    struct silence_source *heard = &silence->sources[source];
    if (heard->state == SILENT) {
        say(silence, LOG_INFO, "source_back", source);
        stats_set(silence->options.stats, STAT_sources_silent, --silence->silent);
    }
    heard->heard_us = now_us(silence);
    int64_t due_us = heard->heard_us + silence->options.after_ms * 1000;
    if (heard->state != HEARD && due_us < silence->due_us)
        silence->due_us = due_us;
    heard->state = HEARD;
}

poise_code silence_hear(struct silence *silence, uint32_t source, poise_error *err)
{
    if (silence->options.after_ms == 0)
        return POISE_OK;
    if (source >= SILENCE_SOURCES_MAX) {
        if (!silence->full)
            log_event(silence->options.log, LOG_WARN, "sources_not_watched",
                      log_int("watched", SILENCE_SOURCES_MAX));
        silence->full = true;
        return POISE_OK;
    }
    if (!reserve(silence, source))
        return error_nomem(err, "the sources that are watched");
    hear(silence, source);
    return POISE_OK;
}

void silence_look(struct silence *silence)
{
    int64_t now = now_us(silence), after_us = silence->options.after_ms * 1000;
    if (now < silence->due_us)
        return;
    silence->due_us = INT64_MAX;
    silence->lines = 0;
    for (size_t i = 0; i < silence->capacity; i++) {
        struct silence_source *source = &silence->sources[i];
        int64_t due_us = source->heard_us + after_us;
        if (source->state != HEARD)
            continue;
        if (now >= due_us) {
            source->state = SILENT;
            silence->silent++;
            say(silence, LOG_WARN, "source_silent", i);
        } else if (due_us < silence->due_us) {
            silence->due_us = due_us;
        }
    }
    stats_set(silence->options.stats, STAT_sources_silent, silence->silent);
    if (silence->unsaid)
        log_event(silence->options.log, LOG_WARN, "more_sources", log_int("count", (int64_t)silence->unsaid));
    silence->unsaid = 0;
    int64_t least_us = after_us / LOOKS > LEAST_WAIT_US ? after_us / LOOKS : LEAST_WAIT_US;
    if (silence->due_us < now + least_us)
        silence->due_us = now + least_us;
}

poise_code silence_open(struct silence *silence, const struct silence_options *options, poise_error *err)
{
    poise_code code = POISE_OK;
    *silence = (struct silence){.options = *options, .due_us = INT64_MAX};
    stats_set(options->stats, STAT_sources_silent, 0);
    for (uint32_t i = 0; !code && i < SILENCE_SOURCES_MAX && engine_source(options->engine, i); i++)
        code = silence_hear(silence, i, err);
    return code;
}

void silence_free(struct silence *silence)
{
    free(silence->sources);
    *silence = (struct silence){0};
}
