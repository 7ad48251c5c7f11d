/* The answer to STATS_REQUEST: the counters, and what the store says about itself. */
#ifndef AGGREGATOR_NUMBERS_H
#define AGGREGATOR_NUMBERS_H

#include "stats.h"
#include <base/buf.h>
#include <poise/error.h>
#include <store/store.h>

/* Appends a STATS body; ENOMEM. While the store cannot say (its map grows, its disk fails), its numbers are
 * those of before, and its tables are left out. NULL: there is no store. Never waits. */
poise_code numbers_put(uint64_t id, struct stats *stats, struct store *store, struct buf *out,
                       poise_error *err);

#endif
