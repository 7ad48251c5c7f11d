/* The collector's configuration: one YAML file, checked as a whole. docs/collector.md is its reference. */
#ifndef COLLECTOR_CONFIG_H
#define COLLECTOR_CONFIG_H

#include <base/log.h>
#include <collector/mapping.h>
#include <config/settings.h>
#include <config/yaml.h>
#include <poise/client.h>

enum { CONFIG_SOURCES_MAX = 32, CONFIG_ROUTES_MAX = 16 };

struct source_config {
    const char *path; /* "-": standard input */
    char delimiter;
    bool follow;
    struct texts columns; /* names of the columns; count 0: the first record has them */
    struct mapping *mapping;
};

struct collector_config {
    const char *producer, *aggregator, *spool, *dead_letters;
    const char *key, *server_key; /* both or none */
    struct texts routes;
    poise_when_full when_full;
    const char *numbers; /* NULL: none */
    int64_t spool_max, keep_acked_ms, batch_rows, linger_ms;
    bool insecure;
    enum log_level log_level;
    struct source_config sources[CONFIG_SOURCES_MAX];
    size_t source_count;
    struct arena arena; /* owns all texts */
};

/* Adds every problem of the file to the list; ECONFIG if there were any, ENOMEM. */
poise_code config_read_file(const char *path, struct collector_config **ret_config,
                            struct problems *problems);
poise_code config_read_bytes(const char *name, const char *bytes, size_t length,
                             struct collector_config **ret_config, struct problems *problems);
/* Where the columns stand that the configuration names; EINVAL. */
poise_code config_bind(const struct source_config *source, struct binding *ret_binding, poise_error *err);
void config_free(struct collector_config *config);
/* The tables of docs/collector.md, each under a heading. */
void config_document(FILE *out);

#endif
