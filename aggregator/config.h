/* The aggregator's configuration file; docs/configuration.md is made from its table. */
#ifndef AGGREGATOR_CONFIG_H
#define AGGREGATOR_CONFIG_H

#include <base/arena.h>
#include <base/log.h>
#include <config/settings.h>
#include <model/scorecard.h>

struct config {
    const char *ingest, *query; /* endpoints */
    const char *store;          /* directory */
    const char *backups;        /* likewise; NULL: none may be written */
    const char *key, *access;   /* files; both or neither: TCP is plain */
    struct texts scorecards;    /* files */
    int clock;                  /* 0: wall, 1: event */
    int64_t settle_ms, checkpoint_ms, silent_after_ms;
    int64_t map_bytes, free_bytes, journal_bytes, compact_bytes, compact_after_ms;
    bool insecure;
    int log; /* enum log_level */
    int64_t credit, pool, max_producers, max_producers_each, max_subscriptions, max_orgs, max_series,
        max_cells;
    int64_t max_batch_rows, max_batch_bytes, max_batch_symbols, max_request;
    int64_t max_handshakes, handshake_ms; /* connections */
    int64_t max_connections, max_queued, max_subscriptions_each, max_answer;
    int64_t max_questions, max_questions_each;
    /* read from the files of scorecards */
    struct scorecard **cards;
    size_t card_count;
    struct arena arena; /* owns the texts */
};

/* Reads the file and the scorecards that it names (paths are relative to it). Every problem of all of them is
 * added. */
poise_code config_read(const char *path, struct config *ret_config, struct problems *problems);
void config_free(struct config *config);
void config_document(FILE *out);

#endif
