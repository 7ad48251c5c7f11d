#include "refusals.h"

#include <stdio.h>

enum { EVENT_MAX = 40 };

static void begin_minute(struct refusals *refusals)
{
    for (size_t code = 0; code < STATS_LABELS_MAX; code++) {
        struct refusals_said *said = &refusals->said[code];
        char event[EVENT_MAX];
        snprintf(event, sizeof event, "more_%s", said->unsaid ? said->event : "");
        if (said->unsaid)
            log_event(refusals->log, LOG_WARN, event, log_text("code", poise_code_name((poise_code)code)),
                      log_int("count", (int64_t)said->unsaid));
        *said = (struct refusals_said){0};
    }
}

/* Whether there is a line for it. */
static bool is_said(struct refusals *refusals, const struct refusal *refusal)
{
    int64_t now_us = clock_monotonic_us(refusals->clock);
    if (now_us >= refusals->until_us) {
        begin_minute(refusals);
        refusals->until_us = now_us + REFUSALS_MINUTE_US;
    }
    struct refusals_said *said = &refusals->said[(unsigned)refusal->code % STATS_LABELS_MAX];
    said->event = refusal->event;
    if (said->lines >= REFUSALS_LINES_MAX) {
        said->unsaid++;
        return false;
    }
    said->lines++;
    return true;
}

void refusals_log(struct refusals *refusals, const struct refusal *refusal)
{
    char key[ACCESS_SHORT_MAX];
    bool routine = refusal->code == POISE_ENOTFOUND;
    if (!routine && !is_said(refusals, refusal))
        return;
    access_short(refusal->user, key);
    log_event(refusals->log, routine ? LOG_DEBUG : LOG_WARN, refusal->event, log_text("key", key),
              log_text("name", refusal->peer ? access_name(refusal->peer) : "-"),
              log_text("producer", refusal->producer ? refusal->producer : "-"),
              log_text("code", poise_code_name(refusal->code)), log_text("reason", refusal->reason));
}

void refusals_note(struct refusals *refusals, enum stat stat, const char *user,
                   const struct access_peer *peer, const char *what)
{
    const struct refusal refusal = {
        .event = "access_denied", .code = POISE_EDENIED, .user = user, .peer = peer, .reason = what};
    stats_add(refusals->stats, stat, 1);
    refusals_log(refusals, &refusal);
}
