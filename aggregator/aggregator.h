/* The whole aggregator: opens its parts in order, runs each in its thread, and ends them in reverse.
 *
 *   ingest ==ring of batches==> writer ==ring of changes==> stream <==ring of inquiries==> inquirer
 *          <==ring of batches==                                    <==ring of inquiries==> backup  */
#ifndef AGGREGATOR_AGGREGATOR_H
#define AGGREGATOR_AGGREGATOR_H

#include "config.h"
#include <base/clock.h>
#include <base/log.h>

struct aggregator; /* opaque */

/* Recovers the store and binds the endpoints. Config, log and clock are borrowed. */
poise_code aggregator_open(const struct config *config, const struct log *log, const struct clock *clock,
                           struct aggregator **ret_aggregator, poise_error *err);
void aggregator_close(struct aggregator *aggregator);
/* Where it listens, with the ports that were chosen. */
const char *aggregator_ingest_endpoint(const struct aggregator *aggregator);
const char *aggregator_query_endpoint(const struct aggregator *aggregator);
/* Runs until stop_fd is readable or a part fails; what was taken in is committed before it returns. Whenever
 * reload_fd, a signalfd (-1: none), is readable the authorisation file is read again, where there is one. */
poise_code aggregator_run(struct aggregator *aggregator, int stop_fd, int reload_fd, poise_error *err);

/* The parts, and one turn of one of them, as its thread takes them one after the other: waits until there is
 * something to do, and does it. For a caller that has no threads, such as a simulation; not beside
 * aggregator_run. */
enum aggregator_part {
    PART_INGEST,
    PART_WRITER,
    PART_COMMITTER,
    PART_STREAM,
    PART_INQUIRER,
    PART_BACKUP,
    PART_COMPACTOR,
    PARTS
};
poise_code aggregator_turn(struct aggregator *aggregator, enum aggregator_part part, poise_error *err);

#endif
