/* Says who is let in by CURVE, and reads the authorisation file again when it is told to. One thread, that of
 * aggregator_run. */
#ifndef AGGREGATOR_GATEKEEPER_H
#define AGGREGATOR_GATEKEEPER_H

#include "access.h"
#include "stats.h"
#include <base/log.h>
#include <net/net.h>

struct gatekeeper; /* opaque */

struct gatekeeper_options { /* all borrowed */
    struct net *net;
    const char *path; /* of the authorisation file */
    struct access_holder *holder;
    const char *store; /* its directory, which has the audit log */
    struct stats *stats;
    const struct log *log;
    const struct clock *clock;
};

/* Reads the file; must come before the first endpoint is bound. ECONFIG: its problems are logged. */
poise_code gatekeeper_open(const struct gatekeeper_options *options, struct gatekeeper **ret_gatekeeper,
                           poise_error *err);
void gatekeeper_close(struct gatekeeper *gatekeeper);
struct net_zap *gatekeeper_zap(const struct gatekeeper *gatekeeper); /* to wait for */
/* Answers who asks to be let in; never blocks. */
poise_code gatekeeper_step(struct gatekeeper *gatekeeper, poise_error *err);
/* Has what the file says now come in force, once that is noted in the audit log or cannot be; false: it is
 * broken, and what it said before stays. */
bool gatekeeper_reload(struct gatekeeper *gatekeeper);

#endif
