/* The dead letters that are replayed are moved aside first, so that what fails again can be appended to a new
 * file. */
#ifndef COLLECTOR_REPLAY_H
#define COLLECTOR_REPLAY_H

#include <base/log.h>
#include <limits.h>
#include <poise/error.h>
#include <stdbool.h>

struct replay {
    char path[PATH_MAX]; /* FILE.replaying */
    bool active;         /* there is something to replay */
};

/* Moves FILE to FILE.replaying; one that an earlier replay left behind is taken up first, and FILE waits. */
poise_code replay_begin(struct replay *replay, const char *file, const struct log *log, poise_error *err);
/* All of it is dealt with, safely: removes it. */
poise_code replay_end(struct replay *replay, poise_error *err);

#endif
