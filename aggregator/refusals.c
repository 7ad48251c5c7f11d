#include "refusals.h"

void refusals_note(struct refusals *refusals, enum stat stat, const char *user,
                   const struct access_peer *peer, const char *what)
{
    char key[ACCESS_SHORT_MAX];
    int64_t now_us = clock_monotonic_us(refusals->clock);
    stats_add(refusals->stats, stat, 1);
    if (now_us >= refusals->until_us) {
        if (refusals->unsaid)
            log_event(refusals->log, LOG_WARN, "more_access_denied",
                      log_int("count", (int64_t)refusals->unsaid));
        refusals->until_us = now_us + REFUSALS_MINUTE_US;
        refusals->lines = 0;
        refusals->unsaid = 0;
    }
    if (refusals->lines >= REFUSALS_LINES_MAX) {
        refusals->unsaid++;
        return;
    }
    refusals->lines++;
    access_short(user, key);
    log_event(refusals->log, LOG_WARN, "access_denied", log_text("key", key),
              log_text("name", peer ? access_name(peer) : "-"), log_text("reason", what));
}
