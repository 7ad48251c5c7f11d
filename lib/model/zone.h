/* A zone as its table of offset changes; for calendar.c only. */
#ifndef MODEL_ZONE_H
#define MODEL_ZONE_H

#include <model/calendar.h>

/* A stretch of time with one offset; stretches tile time from INT64_MIN to INT64_MAX. */
struct stretch {
    int64_t start_ms, end_ms;
    int64_t offset_ms; /* east of UTC */
};

struct stretch zone_stretch(const struct zone *zone, int64_t time_ms);

#endif
