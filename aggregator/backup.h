/* Backups of the store, on a thread of their own: an operator's order comes from the stream, which takes the
 * answer back to who asked. Ingest and writer do not wait for it. */
#ifndef AGGREGATOR_BACKUP_H
#define AGGREGATOR_BACKUP_H

#include "inquiry.h"
#include "stats.h"
#include <base/clock.h>
#include <base/log.h>

struct backup_writer { /* all borrowed */
    struct store *store;
    const char *directory;
    int64_t free_bytes; /* that the store keeps free: a backup leaves twice as much, not to stop ingest */
    struct stats *stats;
    const struct log *log;
    const struct clock *clock;
    const _Atomic bool *stop; /* ends one that is being written */
};
/* Writes the backup that inquiry->backup names; failures are part of the answer. */
void backup_answer(const struct backup_writer *writer, struct inquiry *inquiry);

#endif
