/* What a peer was not allowed: counted, and logged with the short form of its key, so many lines a minute.
 * One thread. */
#ifndef AGGREGATOR_REFUSALS_H
#define AGGREGATOR_REFUSALS_H

#include "access.h"
#include "stats.h"
#include <base/clock.h>
#include <base/log.h>

enum { REFUSALS_LINES_MAX = 20, REFUSALS_MINUTE_US = 60000000 };

struct refusals {
    const struct log *log; /* borrowed, as all here */
    const struct clock *clock;
    struct stats *stats;
    int64_t until_us; /* of the minute at hand */
    unsigned lines;   /* in it */
    uint64_t unsaid;  /* in it, beyond those */
};

/* user and peer as far as they are known, else NULL. */
void refusals_note(struct refusals *refusals, enum stat stat, const char *user,
                   const struct access_peer *peer, const char *what);

#endif
