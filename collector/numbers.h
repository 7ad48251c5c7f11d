/* The collector's own numbers, declared once: for the log while batches wait, and for a file that Prometheus'
 * node_exporter reads (its textfile collector). */
#ifndef COLLECTOR_NUMBERS_H
#define COLLECTOR_NUMBERS_H

#include <base/clock.h>
#include <base/log.h>
#include <collector/collector.h>
#include <poise/client.h>

#define COLLECTOR_NUMBERS(X)                                                                                 \
    X(rows, "counter", "rows", "Rows that were read and are dealt with")                                     \
    X(rows_skipped, "counter", "rows", "Rows of which no measurement was wanted")                            \
    X(rows_refused, "counter", "rows", "Rows that could not be read; they are among the dead letters")       \
    X(sent, "counter", "measurements", "Measurements that were made of rows")                                \
    X(acknowledged, "counter", "measurements", "Measurements that the aggregator has on its disk")           \
    X(refused, "counter", "measurements", "Of those, refused by it; they are among the dead letters")        \
    X(spool_batches, "gauge", "batches", "Batches in the spool that are not acknowledged")                   \
    X(spool_bytes, "gauge", "bytes", "The spool's files, with what is kept after it was acknowledged")       \
    X(spool_age_ms, "gauge", "ms",                                                                           \
      "How long the oldest of those batches has waited; one of an earlier run counts from this one's start") \
    X(forks, "counter", "events",                                                                            \
      "Times that the spool took a new epoch, since another copy of it had sent")                            \
    X(connected, "gauge", "", "1: the aggregator has answered on this connection")

struct numbers {
    const char *path; /* of the file; NULL: none */
    const struct log *log;
    const struct clock *clock;
    int64_t written_us, logged_us;
    bool failing; /* the file could not be written */
};

void numbers_open(struct numbers *numbers, const char *path, const struct log *log,
                  const struct clock *clock);
/* Now and then; looks at the clock, writes the file every 10 s, and says once a minute that batches wait. */
void numbers_look(struct numbers *numbers, const poise_sender_stats *stats,
                  const struct collector_summary *summary);
/* At the end: writes the file. */
void numbers_close(struct numbers *numbers, const poise_sender_stats *stats,
                   const struct collector_summary *summary);
void numbers_document(FILE *out); /* a Markdown table */

#endif
