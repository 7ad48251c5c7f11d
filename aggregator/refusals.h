/* What a peer was refused, logged with the short form of its key: of each code so many lines a minute, so
 * that a peer cannot fill the disk with our log, nor hide one refusal behind many of another kind. One
 * thread. */
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
    struct refusals_said {
        const char *event;
        unsigned lines;       /* in it */
        uint64_t unsaid;      /* in it, beyond those */
    } said[STATS_LABELS_MAX]; /* by code */
};

struct refusal {
    const char *event; /* a literal */
    poise_code code;   /* ENOTFOUND is routine: every restart meets what began before it */
    const char *user;  /* as this and the next two are known, else NULL */
    const struct access_peer *peer;
    const char *producer;
    const char *reason;
};
void refusals_log(struct refusals *refusals, const struct refusal *refusal);
/* What a peer was not allowed: counted, and logged. user and peer likewise. */
void refusals_note(struct refusals *refusals, enum stat stat, const char *user,
                   const struct access_peer *peer, const char *what);

#endif
