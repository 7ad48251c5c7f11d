/* Sources that fall silent: of which nothing was accepted for so long. By when measurements arrive, not by
 * when they happened; what came before a start is not known, so there it is as if every source had just been
 * heard. One thread, the writer's; a source costs 16 bytes, a look 1/64 of the time that it takes to be
 * silent. */
#ifndef AGGREGATOR_SILENCE_H
#define AGGREGATOR_SILENCE_H

#include "stats.h"
#include <base/clock.h>
#include <base/log.h>
#include <engine/engine.h>

enum {
    SILENCE_SOURCES_MAX = 65536, /* that are watched; peers choose their names */
    SILENCE_LINES_MAX = 100      /* logged between two looks; others are only counted */
};

struct silence_options { /* all borrowed */
    const struct engine *engine;
    struct stats *stats;
    const struct log *log;
    const struct clock *clock;
    int64_t after_ms; /* 0: nobody is watched */
};

struct silence {
    struct silence_options options;
    struct silence_source *sources; /* by their number in the engine */
    size_t capacity;
    int64_t due_us; /* when to look next; INT64_MAX: there is nobody to wait for */
    uint64_t silent;
    uint64_t lines, unsaid; /* since the last look */
    bool full;              /* it was said that there are more than are watched */
};

/* All that the engine knows were heard now. */
poise_code silence_open(struct silence *silence, const struct silence_options *options, poise_error *err);
void silence_free(struct silence *silence);
poise_code silence_hear(struct silence *silence, uint32_t source, poise_error *err);
/* Reports who fell silent; does nothing before due_us. */
void silence_look(struct silence *silence);

#endif
