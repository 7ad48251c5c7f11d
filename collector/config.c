#include <collector/config.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_MAX = 8 << 20 };

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};

static const char *const when_full[] = {
    [POISE_BLOCK] = "block", [POISE_DROP_OLDEST] = "drop_oldest", [POISE_DROP_NEWEST] = "drop_newest", NULL};

struct daemon_settings {
    const char *producer, *aggregator, *spool, *dead_letters, *key, *server_key, *numbers;
    struct texts routes;
    int when_full;
    int64_t spool_max, keep_acked_ms, batch_rows, linger_ms;
    bool insecure;
    int log_level;
    const struct yaml_node *sources;
};
static const struct setting daemon_table[] = {
    {.name = "producer",
     .type = SETTING_ID,
     .offset = offsetof(struct daemon_settings, producer),
     .required = true,
     .text = "The name of this collector, the same over its whole life."},
    {.name = "aggregator",
     .type = SETTING_TEXT,
     .offset = offsetof(struct daemon_settings, aggregator),
     .required = true,
     .min = 1,
     .max = 255,
     .text = "The aggregator's ingest endpoint, such as `tcp://127.0.0.1:5570`."},
    {.name = "key",
     .type = SETTING_TEXT,
     .offset = offsetof(struct daemon_settings, key),
     .min = 1,
     .max = 1024,
     .text = "File of the collector's own key, from `poise keygen` ([access.md](access.md)). With it TCP is "
             "encrypted, and the aggregator knows who sends."},
    {.name = "server_key",
     .type = SETTING_TEXT,
     .offset = offsetof(struct daemon_settings, server_key),
     .min = 1,
     .max = 1024,
     .text = "The aggregator's public key, 64 hex digits, or a file that holds it; goes with `key`."},
    {.name = "routes",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct daemon_settings, routes),
     .text =
         "Further addresses of the same aggregator, or of one that has its store. When one does not answer "
         "the next is tried; one that has another store is passed over."},
    {.name = "insecure",
     .type = SETTING_BOOL,
     .offset = offsetof(struct daemon_settings, insecure),
     .fallback = "false",
     .text = "Allows plain TCP beyond loopback."},
    {.name = "spool",
     .type = SETTING_TEXT,
     .offset = offsetof(struct daemon_settings, spool),
     .required = true,
     .min = 1,
     .max = 1024,
     .text = "Directory of the spool, made if absent; it also remembers how far each file was read."},
    {.name = "spool_max",
     .type = SETTING_SIZE,
     .offset = offsetof(struct daemon_settings, spool_max),
     .fallback = "1GiB",
     .min = 1048576,
     .max = 1099511627776,
     .text = "How much the spool may hold."},
    {.name = "when_full",
     .type = SETTING_CHOICE,
     .offset = offsetof(struct daemon_settings, when_full),
     .choices = when_full,
     .fallback = "block",
     .text =
         "What is done when it holds so much: `block`, reading waits for the aggregator; `drop_oldest`, what "
         "was read first is given up; `drop_newest`, what is read now. What is given up is counted, logged "
         "and told to the aggregator (`poise losses`)."},
    {.name = "keep_acked",
     .type = SETTING_DURATION,
     .offset = offsetof(struct daemon_settings, keep_acked_ms),
     .fallback = "7d",
     .min = 1,
     .max = 366 * 86400e3,
     .text = "What is acknowledged stays in the spool so long, while `spool_max` leaves room, so that an "
             "aggregator "
             "that was restored from an older backup gets it again. Make it longer than the time between "
             "backups."},
    {.name = "dead_letters",
     .type = SETTING_TEXT,
     .offset = offsetof(struct daemon_settings, dead_letters),
     .required = true,
     .min = 1,
     .max = 1024,
     .text = "File to which rows and measurements that were refused are appended, one JSON object a line."},
    {.name = "numbers",
     .type = SETTING_TEXT,
     .offset = offsetof(struct daemon_settings, numbers),
     .min = 1,
     .max = 1024,
     .text = "File that has the collector's own numbers, as Prometheus reads them, written anew every 10 s; "
             "none if absent."},
    {.name = "batch_rows",
     .type = SETTING_INT,
     .offset = offsetof(struct daemon_settings, batch_rows),
     .fallback = "1000",
     .min = MAPPING_RULES_MAX,
     .max = 16384,
     .text = "Measurements that close a batch."},
    {.name = "linger",
     .type = SETTING_DURATION,
     .offset = offsetof(struct daemon_settings, linger_ms),
     .fallback = "50ms",
     .min = 1,
     .max = 60000,
     .text = "A batch that is not full is closed after this time."},
    {.name = "log_level",
     .type = SETTING_CHOICE,
     .offset = offsetof(struct daemon_settings, log_level),
     .choices = log_levels,
     .fallback = "info",
     .text = "The least important events that the log on standard error shows."},
    {.name = "sources",
     .type = SETTING_NODE,
     .offset = offsetof(struct daemon_settings, sources),
     .required = true,
     .unit = "list of mappings as below",
     .text = "What is read."},
};

struct source_settings {
    const struct yaml_node *csv;
    struct mapping_settings mapping;
};
static const struct setting source_table[] = {
    {.name = "csv",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, csv),
     .required = true,
     .unit = "a mapping as below",
     .text = "A CSV file, or standard input."},
    {.name = "missing",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct source_settings, mapping.missing),
     .text = "Texts that mean the same as an empty cell, such as `['?', 'NA']`."},
    {.name = "time",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, mapping.time),
     .unit = "a mapping as below",
     .text = "When it happened, for the measurements that do not say it themselves; likewise:"},
    {.name = "org",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, mapping.org),
     .unit = "template",
     .text = "As in a measurement."},
    {.name = "source",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, mapping.source),
     .unit = "template",
     .text = "As in a measurement."},
    {.name = "key",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, mapping.key),
     .unit = "template",
     .text = "As in a measurement."},
    {.name = "seq",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, mapping.seq),
     .unit = "name of a column",
     .text = "As in a measurement."},
    {.name = "when",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, mapping.when),
     .unit = "conditions",
     .text = "Other rows are skipped."},
    {.name = "measurements",
     .type = SETTING_NODE,
     .offset = offsetof(struct source_settings, mapping.measurements),
     .required = true,
     .unit = "list of mappings as below",
     .text = "What becomes of a row: up to 64 measurements."},
};

struct csv_settings {
    const char *path, *delimiter;
    bool follow;
    struct texts columns;
};
static const struct setting csv_table[] = {
    {.name = "path",
     .type = SETTING_TEXT,
     .offset = offsetof(struct csv_settings, path),
     .required = true,
     .min = 1,
     .max = 1024,
     .text = "The file; `'-'` is standard input."},
    {.name = "delimiter",
     .type = SETTING_TEXT,
     .offset = offsetof(struct csv_settings, delimiter),
     .fallback = ",",
     .text = "One character between fields, such as `';'`, or `tab`."},
    {.name = "follow",
     .type = SETTING_BOOL,
     .offset = offsetof(struct csv_settings, follow),
     .fallback = "true",
     .text = "Goes on with what is appended to the file, until it is told to end; `false`: ends at its end."},
    {.name = "columns",
     .type = SETTING_TEXTS,
     .offset = offsetof(struct csv_settings, columns),
     .text = "Names of the columns, for a file without a header; else its first record names them."},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static void read_delimiter(struct reader *reader, const struct yaml_node *node, const char *text,
                           char *ret_delimiter)
{
    bool tab = strcmp(text, "tab") == 0;
    if (!tab && (strlen(text) != 1 || *text == '"')) {
        reader_problem(reader, node,
                       "'delimiter' must be one ASCII character such as ',' or ';' or the word tab, not '%s'",
                       text);
        return;
    }
    *ret_delimiter = '\t';
    if (!tab) {
        *ret_delimiter = *text;
    }
}

/* Paths are relative to the file. */
static const char *resolve(struct reader *reader, const char *path)
{
    const char *name = yaml_name(reader->tree), *slash = strrchr(name, '/');
    if (!path || !slash || *path == '/' || strcmp(path, "-") == 0) {
        return path;
    }
    size_t directory = (size_t)(slash + 1 - name), length = strlen(path);
    char *whole = arena_alloc(reader->arena, directory + length + 1);
    if (!whole) {
        reader_problem(reader, NULL, "out of memory: the file says too much");
        return path;
    }
    memcpy(whole, name, directory);
    memcpy(whole + directory, path, length + 1);
    return whole;
}

static void read_csv(struct reader *reader, const struct yaml_node *node, struct source_config *source)
{
    struct csv_settings settings = {0};
    settings_read(reader, csv_table, COUNT(csv_table), node, &settings);
    read_delimiter(reader, yaml_get(node, "delimiter"), settings.delimiter, &source->delimiter);
    if (settings.columns.count > CSV_FIELDS_MAX) {
        reader_problem(reader, yaml_get(node, "columns"), "a file has at most %d columns", CSV_FIELDS_MAX);
        settings.columns.count = 0;
    }
    source->path = resolve(reader, settings.path);
    source->follow = settings.follow;
    source->columns = settings.columns;
}

poise_code config_bind(const struct source_config *source, struct binding *ret_binding, poise_error *err)
{
    struct csv_field fields[CSV_FIELDS_MAX];
    for (size_t i = 0; i < source->columns.count; i++) {
        const char *name = source->columns.items[i];
        fields[i] = (struct csv_field){.text = name, .length = strlen(name)};
    }
    return binding_make(mapping_columns(source->mapping), fields, source->columns.count, ret_binding, err);
}

/* Columns that the mapping wants must be among those that the configuration names. */
static void check_columns(struct reader *reader, const struct yaml_node *node,
                          const struct source_config *source)
{
    struct binding binding;
    poise_error err;
    if (config_bind(source, &binding, &err) != POISE_OK) {
        reader_problem(reader, node, "%s", err.text);
    }
}

static void read_source(struct reader *reader, const struct yaml_node *node, struct source_config *source)
{
    struct source_settings settings = {0};
    settings_read(reader, source_table, COUNT(source_table), node, &settings);
    if (settings.csv) {
        read_csv(reader, settings.csv, source);
    }
    source->mapping = mapping_read(reader, node, &settings.mapping);
    if (source->mapping && source->columns.count > 0) {
        check_columns(reader, yaml_get(settings.csv, "columns"), source);
    }
}

static void read_sources(struct reader *reader, const struct yaml_node *list, struct collector_config *config)
{
    if (list->kind != YAML_SEQUENCE || list->count == 0 || list->count > CONFIG_SOURCES_MAX) {
        reader_problem(reader, list,
                       "'sources' must be a list of 1 to %d sources, such as '- csv: {path: FILE}'",
                       CONFIG_SOURCES_MAX);
        return;
    }
    for (const struct yaml_node *item = list->first; item; item = item->next) {
        struct source_config *source = &config->sources[config->source_count++];
        read_source(reader, item, source);
        for (const struct source_config *other = config->sources; source->path && other < source; other++) {
            if (other->path && strcmp(other->path, source->path) == 0) {
                reader_problem(reader, item, "'%s' is read by a source above: put its measurements there",
                               source->path);
            }
        }
    }
}

/* Digits are no path. */
static bool is_key(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static void read_keys(struct reader *reader, const struct daemon_settings *settings,
                      struct collector_config *config)
{
    if (!settings->key != !settings->server_key) {
        reader_problem(reader, yaml_get(yaml_root(reader->tree), settings->key ? "key" : "server_key"),
                       "'key' and 'server_key' go together: add '%s'", settings->key ? "server_key" : "key");
    }
    bool digits = settings->server_key && is_key(settings->server_key);
    config->key = settings->key ? resolve(reader, settings->key) : NULL;
    config->server_key =
        digits || !settings->server_key ? settings->server_key : resolve(reader, settings->server_key);
}

static void read_all(struct reader *reader, struct collector_config *config)
{
    struct daemon_settings settings = {0};
    settings_read(reader, daemon_table, COUNT(daemon_table), yaml_root(reader->tree), &settings);
    config->producer = settings.producer;
    config->aggregator = settings.aggregator;
    config->routes = settings.routes;
    config->when_full = (poise_when_full)settings.when_full;
    if (config->routes.count >= CONFIG_ROUTES_MAX) {
        reader_problem(reader, yaml_get(yaml_root(reader->tree), "routes"), "'routes' are %d at most",
                       CONFIG_ROUTES_MAX - 1);
    }
    config->spool = resolve(reader, settings.spool);
    config->dead_letters = resolve(reader, settings.dead_letters);
    read_keys(reader, &settings, config);
    config->numbers = settings.numbers ? resolve(reader, settings.numbers) : NULL;
    config->spool_max = settings.spool_max;
    config->keep_acked_ms = settings.keep_acked_ms;
    config->batch_rows = settings.batch_rows;
    config->linger_ms = settings.linger_ms;
    config->insecure = settings.insecure;
    config->log_level = (enum log_level)settings.log_level;
    if (settings.sources) {
        read_sources(reader, settings.sources, config);
    }
}

static poise_code read_tree(struct yaml_tree *tree, poise_code code, struct collector_config **ret_config,
                            struct problems *problems)
{
    struct collector_config *config = calloc(1, sizeof *config);
    if (!config) {
        yaml_tree_free(tree);
        return POISE_ENOMEM;
    }
    arena_init(&config->arena, ARENA_MAX);
    struct reader reader = {.tree = tree, .problems = problems, .arena = &config->arena};
    if (tree) {
        read_all(&reader, config);
    }
    yaml_tree_free(tree);
    if (code != POISE_OK || problems->count > 0) {
        config_free(config);
        return code != POISE_OK ? code : POISE_ECONFIG;
    }
    *ret_config = config;
    return POISE_OK;
}

poise_code config_read_file(const char *path, struct collector_config **ret_config, struct problems *problems)
{
    struct yaml_tree *tree = NULL;
    poise_code code = yaml_read_file(path, &tree, problems);
    return read_tree(tree, code, ret_config, problems);
}

poise_code config_read_bytes(const char *name, const char *bytes, size_t length,
                             struct collector_config **ret_config, struct problems *problems)
{
    struct yaml_tree *tree = NULL;
    poise_code code = yaml_read_bytes(name, bytes, length, &tree, problems);
    return read_tree(tree, code, ret_config, problems);
}

void config_free(struct collector_config *config)
{
    if (config) {
        for (size_t i = 0; i < config->source_count; i++) {
            mapping_free(config->sources[i].mapping);
        }
        arena_free(&config->arena);
        free(config);
    }
}

void config_document(FILE *out)
{
    const struct {
        const char *heading;
        const struct setting *table;
        size_t count;
    } parts[] = {
        {"The file", daemon_table, COUNT(daemon_table)},
        {"A source", source_table, COUNT(source_table)},
        {"`csv`", csv_table, COUNT(csv_table)},
        {"A measurement", mapping_rule_settings, mapping_rule_setting_count},
        {"`time`", mapping_time_settings, mapping_time_setting_count},
        {"A number", mapping_number_settings, mapping_number_setting_count},
        {"A condition", mapping_condition_settings, mapping_condition_setting_count},
    };
    for (size_t i = 0; i < COUNT(parts); i++) {
        fprintf(out, "%s### %s\n\n", i == 0 ? "" : "\n", parts[i].heading);
        settings_document(parts[i].table, parts[i].count, out);
    }
}
