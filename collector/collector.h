/* The loop of poise-collector: sources -> mapping -> sender, and what was refused to the dead letters.
 *
 * Exactly once: a row is taken whole or not at all, all its measurements go into one batch, and the spool
 * keeps with each batch how far the files were read. So a run that ends at any point, in any way, is taken up
 * where its last safe batch ended. Dead letters are safe before the batch that covers their rows; after a
 * crash they may stand twice, and a replay takes them once. */
#ifndef COLLECTOR_COLLECTOR_H
#define COLLECTOR_COLLECTOR_H

#include <collector/config.h>

struct collector_options {
    const struct collector_config *config;
    const struct clock *clock;
    const struct log *log;
    bool once;          /* ends at the present end of the sources */
    bool replay;        /* reads the dead letters instead of the sources */
    bool from_start;    /* forgets what an earlier run has read */
    bool backfill;      /* with once: closed periods are revised once, at the end */
    int64_t timeout_ms; /* for the last acknowledgements, and with once for room in the spool; 0: none */
    int stop_fd;        /* readable: end now; -1: none */
    FILE *progress;     /* a terminal that shows it; NULL: none */
};

struct collector_summary {
    uint64_t rows, rows_skipped, rows_refused;
    uint64_t sent, acknowledged,
        refused;     /* measurements; those of an earlier run may be among the last two */
    uint64_t lost;   /* measurements: dropped for want of room, or damaged in the spool */
    uint64_t losses; /* gaps that they are in, some of an unknown number */
    uint64_t letters;
    uint64_t batches_left; /* safe in the spool, not acknowledged */
    bool stopped;          /* by stop_fd */
    double seconds;
};

/* Until the sources end and all is acknowledged, or stop_fd says so; then what was read is safe in the spool.
 * Fills the summary also on failure: ETIMEOUT, or what makes it impossible to go on; with `once` also what
 * the aggregator has against this spool, which is otherwise logged while it is asked again. */
poise_code collector_run(const struct collector_options *options, struct collector_summary *ret_summary,
                         poise_error *err);

#endif
