/* The compactor: turns the journal behind the state's checkpoints into runs of rows, and merges runs, on a
 * thread of its own. What it makes goes to the writer in pieces, who puts them between commits. */
#ifndef AGGREGATOR_COMPACTOR_H
#define AGGREGATOR_COMPACTOR_H

#include "compact.h"
#include "stats.h"
#include <base/clock.h>
#include <base/log.h>
#include <base/ring.h>
#include <net/net.h>

enum { PIECES = 16 }; /* under way; some 1 MiB each */

struct compactor; /* opaque */

struct compactor_options { /* all borrowed */
    struct store *store;
    const char *directory;       /* of the store, for the audit log; NULL: there is none */
    struct ring *to_writer;      /* of struct piece, owned by the taker */
    const _Atomic uint64_t *put; /* pieces that the writer has put, or thrown away */
    struct net_wake *writer_wake;
    struct stats *stats;
    const struct log *log;
    const struct clock *clock;
    const _Atomic bool *stop;
    int64_t bytes;    /* of the journal, that a run is made of */
    int64_t after_ms; /* or what came is so old */
};
poise_code compactor_open(const struct compactor_options *options, struct compactor **ret_compactor,
                          poise_error *err);
void compactor_close(struct compactor *compactor);
/* Makes at most one run, if one is due and the writer has put all of before. What fails is logged and
 * counted, and tried again later. */
void compactor_step(struct compactor *compactor);
/* How long there will be nothing to do, unless the writer says that a run is whole. */
int64_t compactor_idle_ms(const struct compactor *compactor);

#endif
