/* The audit log: what operators did, one JSON object a line, appended to audit.jsonl in the store's directory
 * and synced, before it is done and again behind it (docs/access.md). The file is opened for each line, so it
 * may be moved away. Any thread; what is noted is one write. */
#ifndef AGGREGATOR_ACTIONS_H
#define AGGREGATOR_ACTIONS_H

#include <base/clock.h>
#include <poise/error.h>
#include <stddef.h>

struct action {
    const char *user;   /* the public key as text; NULL: none was needed */
    const char *name;   /* whose that is; NULL: nobody knows */
    const char *what;   /* "restate", ... */
    const char *about;  /* what it was told to do, for people; NULL: nothing */
    size_t abouts;      /* so many texts, one behind the other, a line for each; 0: it is one, or none */
    const char *result; /* "begun", "done", or what failed */
};
/* On disk with POISE_OK. EIO, EFULL. `store`: its directory. */
poise_code actions_note(const char *store, const struct clock *clock, const struct action *action,
                        poise_error *err);

#endif
