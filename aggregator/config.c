#include "config.h"

#include "access.h"
#include "inquiry.h"
#include <base/buf.h>
#include <net/keys.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <wire/wire.h>

static const char *const clocks[] = {"wall", "event", NULL};
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

#define FIELD(name) .offset = offsetof(struct config, name)
static const struct setting table[] = {
    {"ingest", SETTING_TEXT, FIELD(ingest), .fallback = "tcp://127.0.0.1:5570",
     .text =
         "Where collectors connect: `tcp://ADDRESS:PORT` or `ipc://PATH`. Beyond loopback TCP needs `key` "
         "and `access`, or `insecure: true`."},
    {"query", SETTING_TEXT, FIELD(query), .fallback = "tcp://127.0.0.1:5571",
     .text = "Where subscribers and questions connect."},
    {"store", SETTING_TEXT, FIELD(store), .required = true,
     .text = "Directory of the LMDB store, made if absent. On a local disk, one process only."},
    {"backups", SETTING_TEXT, FIELD(backups),
     .text = "Directory that `poise backup` has backups written to, made if absent; best on another disk. "
             "Without it none can be."},
    {"key", SETTING_TEXT, FIELD(key),
     .text =
         "File of the aggregator's own key, from `poise keygen` ([access.md](access.md)). With it every TCP "
         "endpoint is encrypted, and lets in only keys that `access` names."},
    {"access", SETTING_TEXT, FIELD(access),
     .text =
         "The authorisation file: which key may send, read and do what. Goes with `key`; SIGHUP has it read "
         "again."},
    {"scorecards", SETTING_TEXTS, FIELD(scorecards), .required = true,
     .text = "Files with scorecard definitions."},
    {"clock", SETTING_CHOICE, FIELD(clock), .choices = clocks, .fallback = "wall",
     .text = "`wall`: scores are as of now. `event`: as of the latest measurement's time + 1 ms, for replays "
             "and tests."},
    {"settle", SETTING_DURATION, FIELD(settle_ms), .min = 1, .max = 60000, .fallback = "50ms",
     .text =
         "Under load the scores are settled and published at most this often; when idle, with every commit."},
    {"checkpoint", SETTING_DURATION, FIELD(checkpoint_ms), .min = 100, .max = 3600000, .fallback = "5s",
     .text = "How much work may lie in the journal behind the last checkpoint: what a start has to replay."},
    {"silent_after", SETTING_DURATION, FIELD(silent_after_ms), .min = 0, .max = 366 * 86400e3,
     .fallback = "1d",
     .text = "A source of which nothing was accepted for so long is reported as silent, in the log and in "
             "`poise_sources_silent`; `0s`: none is."},
    {"map", SETTING_SIZE, FIELD(map_bytes), .min = 1 << 20, .max = 1e15, .fallback = "32GiB",
     .text = "Virtual size of the store's map at start. It grows by itself."},
    {"journal", SETTING_SIZE, FIELD(journal_bytes), .min = 1 << 16, .max = 1e15, .fallback = "256MiB",
     .text = "So much of the journal stays although its rows are in runs: what lets subscribers and readers "
             "of changes go on where they were."},
    {"compact", SETTING_SIZE, FIELD(compact_bytes), .min = 1 << 10, .max = 256 << 20, .fallback = "24MiB",
     .text = "Rows go from the journal into runs when they take so much, up to 8 times as much memory while "
             "they do; or a part of it, when nothing comes."},
    {"compact_after", SETTING_DURATION, FIELD(compact_after_ms), .min = 1000, .max = 7 * 86400e3,
     .fallback = "1h", .text = "Or when they wait for so long."},
    {"free_floor", SETTING_SIZE, FIELD(free_bytes), .min = 1 << 20, .max = 1e15, .fallback = "64MiB",
     .text = "While the disk has less than this free, nothing is taken in; it goes on by itself when there "
             "is room. Checkpoints and backups leave twice as much."},
    {"insecure", SETTING_BOOL, FIELD(insecure), .fallback = "false",
     .text = "Allow plain TCP beyond loopback: anybody who reaches the port may send, read and administer."},
    {"log", SETTING_CHOICE, FIELD(log), .choices = levels, .fallback = "info",
     .text = "The least level that is logged."},
    {"credit", SETTING_INT, FIELD(credit), .min = 1, .max = 1024, .fallback = "64", .unit = "batches",
     .text =
         "Batches that a collector may have on their way. Of batches of fewer than 1,000 rows it may have "
         "more, for as many rows: 1,024 at most, and half of `pool`."},
    {"pool", SETTING_INT, FIELD(pool), .min = 1, .max = 65536, .fallback = "2048", .unit = "batches",
     .text = "Batches in memory between ingest and disk, from all collectors together."},
    {"max_batch_rows", SETTING_INT, FIELD(max_batch_rows), .min = WIRE_ROWS_SURE, .max = WIRE_BATCH_ROWS_MAX,
     .fallback = "16384", .unit = "measurements",
     .text =
         "In a batch. Collectors learn this and the next two when they connect, and make batches that fit; "
         "one that is larger, as it was spooled before the limit, is refused whole, as `malformed`."},
    {"max_batch_bytes", SETTING_SIZE, FIELD(max_batch_bytes), .min = WIRE_BYTES_SURE, .max = WIRE_MESSAGE_MAX,
     .fallback = "256KiB", .text = "Of a batch, as it is sent."},
    {"max_batch_symbols", SETTING_INT, FIELD(max_batch_symbols), .min = WIRE_SYMBOLS_SURE,
     .max = WIRE_SYMBOLS_MAX, .fallback = "65536", .unit = "texts",
     .text = "In a batch: names of measures, orgs and sources, and keys, each once."},
    {"max_request", SETTING_SIZE, FIELD(max_request), .min = 4096, .max = WIRE_MESSAGE_MAX,
     .fallback = "256KiB",
     .text = "A message to the query endpoint, most of which is a filter; who sends a longer one is cut."},
    {"max_producers", SETTING_INT, FIELD(max_producers), .min = 1, .max = 1e6, .fallback = "1000",
     .text = "Collectors and spools that are known; more are refused."},
    {"max_producers_each", SETTING_INT, FIELD(max_producers_each), .min = 0, .max = 1e6, .fallback = "0",
     .text = "Of those, new ones by one key, counted since the aggregator's start; `0`: a quarter. Raise it "
             "where many collectors share a key. Without keys there is no such limit."},
    {"max_subscriptions", SETTING_INT, FIELD(max_subscriptions), .min = 1, .max = 1e6, .fallback = "1000",
     .text =
         "Subscriptions at a time; more are refused. One counts as one more for each 16 KiB that the texts "
         "of its filter take in memory."},
    {"max_subscriptions_each", SETTING_INT, FIELD(max_subscriptions_each), .min = 1, .max = 1e6,
     .fallback = "100", .text = "Of those, on one connection."},
    {"max_connections", SETTING_INT, FIELD(max_connections), .min = 1, .max = 1e5, .fallback = "1000",
     .text = "Connections to each endpoint at a time. For one more that one is cut which came first of those "
             "that have said nothing yet; where all have, the new one."},
    /* A message of 256 KiB that is under way may count as 8 MiB. */
    {"max_queued", SETTING_SIZE, FIELD(max_queued), .min = 16 << 20, .max = 1e15, .fallback = "256MiB",
     .text = "Memory for messages that wait, for or from connections, for each endpoint. While it is more, "
             "those with most of it are cut."},
    {"max_answer", SETTING_SIZE, FIELD(max_answer), .min = 1 << 20, .max = 1 << 30, .fallback = "64MiB",
     .text = "The answer to a question about the past; a longer one is refused. There may be `max_questions` "
             "at a time."},
    {"max_questions", SETTING_INT, FIELD(max_questions), .min = 1, .max = QUESTIONS_MAX, .fallback = "16",
     .text =
         "Questions about the past, dumps and readers of changes that wait or are answered at a time; more "
         "are refused (`EBUSY`), and clients ask again until their timeout. For orders of who may administer "
         "there is room besides, for 8."},
    {"max_questions_each", SETTING_INT, FIELD(max_questions_each), .min = 1, .max = QUESTIONS_MAX,
     .fallback = "4", .text = "Of those, orders too, on one connection."},
    {"max_handshakes", SETTING_INT, FIELD(max_handshakes), .min = 1, .max = 1e5, .fallback = "1000",
     .text =
         "Connections to each endpoint that are not through the handshake yet. For one more that one is cut "
         "which came first of them."},
    {"handshake", SETTING_DURATION, FIELD(handshake_ms), .min = 100, .max = 600e3, .fallback = "5s",
     .text = "So long a handshake may take; who is not through then is cut."},
    {"max_orgs", SETTING_INT, FIELD(max_orgs), .min = 1, .max = 1e8, .fallback = "100000",
     .text = "Orgs that measurements may create; measurements of more are refused."},
    {"max_series", SETTING_INT, FIELD(max_series), .min = 1, .max = 1e9, .fallback = "2000000",
     .text = "Series (measure, org, source) that measurements may ever create; measurements of more are "
             "refused."},
    {"max_cells", SETTING_INT, FIELD(max_cells), .min = 0, .max = 1e9, .fallback = "1000000",
     .text = "Accumulators of past periods that stay in memory after a checkpoint."},
};
#undef FIELD
enum { SETTINGS = sizeof table / sizeof table[0] };

void config_document(FILE *out)
{
    settings_document(table, SETTINGS, out);
}

/* A path of the file, which is relative to the file's directory. */
static const char *beside(struct arena *arena, const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    struct buf joined = {0};
    if (path[0] != '/' && slash)
        buf_put(&joined, file, (size_t)(slash - file) + 1);
    buf_put(&joined, path, strlen(path));
    char *copy = joined.failed ? NULL : arena_strndup(arena, (const char *)joined.data, joined.length);
    buf_free(&joined);
    return copy;
}

static void read_cards(struct config *config, const char *path, struct reader *reader,
                       const struct yaml_node *root)
{
    const struct yaml_node *list = yaml_get(root, "scorecards");
    if (list && list->kind == YAML_SEQUENCE && list->count == 0)
        reader_problem(reader, list, "'scorecards' is empty: name at least one file");
    config->cards = calloc(config->scorecards.count + 1, sizeof *config->cards);
    if (!config->cards)
        reader_problem(reader, root, "out of memory");
    for (size_t i = 0; config->cards && i < config->scorecards.count; i++) {
        const char *file = beside(&config->arena, path, config->scorecards.items[i]);
        struct scorecard *card = NULL;
        if (!file)
            reader_problem(reader, root, "out of memory");
        else if (scorecard_read_file(file, &card, reader->problems) == POISE_OK)
            config->cards[config->card_count++] = card;
        for (size_t other = 0; card && other + 1 < config->card_count; other++)
            if (strcmp(config->cards[other]->id, card->id) == 0)
                reader_problem(reader, list,
                               "two scorecards have the id '%s'; give each file its own `scorecard:`",
                               card->id);
    }
}

static void check_endpoints(const struct config *config, struct reader *reader, const struct yaml_node *root)
{
    static const char *const keys[] = {"ingest", "query"};
    const char *const endpoints[] = {config->ingest, config->query};
    poise_error err;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (endpoints[i] && net_check(endpoints[i], config->insecure || config->key, &err) != POISE_OK)
            reader_problem(reader, yaml_get(root, keys[i]), "%s", err.text);
    const struct yaml_node *query = yaml_get(root, keys[1]);
    bool same = config->ingest && config->query && strcmp(config->ingest, config->query) == 0;
    if (same && !strstr(config->ingest, ":*")) /* the second would take an ipc path away from the first */
        reader_problem(reader, query ? query : yaml_get(root, keys[0]),
                       "'query' is where 'ingest' is already: give it an address of its own");
}

static void check_access(const struct config *config, struct reader *reader, const struct yaml_node *root)
{
    const struct yaml_node *node = yaml_get(root, config->key ? "key" : "access");
    if (!config->key != !config->access)
        reader_problem(reader, node, "'key' and 'access' go together: add '%s'",
                       config->key ? "access" : "key");
    if (config->key && config->insecure)
        reader_problem(
            reader, yaml_get(root, "insecure"),
            "'insecure: true' asks for plain TCP, and 'key' for encryption: leave out one of them");
}

/* A file's problems; what it says is read again by the aggregator. */
static void check_access_file(const struct config *config, struct reader *reader)
{
    struct access *access = NULL;
    struct net_keys keys;
    poise_error err;
    if (keys_read(config->key, &keys, &err))
        problems_add(reader->problems, config->key, 0, 0, "%s", err.text);
    explicit_bzero(&keys, sizeof keys);
    if (access_read(config->access, &access, reader->problems) == POISE_OK)
        access_drop(access);
}

/* The paths, which are relative to the file. */
static void resolve(struct config *config, const char *path, struct reader *reader,
                    const struct yaml_node *root)
{
    const char **const paths[] = {&config->store, &config->backups, &config->key, &config->access};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (*paths[i] && !(*paths[i] = beside(&config->arena, path, *paths[i])))
            reader_problem(reader, root, "out of memory");
    if (config->key && config->access)
        check_access_file(config, reader);
}

poise_code config_read(const char *path, struct config *ret_config, struct problems *problems)
{
    struct config config = {0};
    struct yaml_tree *tree = NULL;
    poise_code code = yaml_read_file(path, &tree, problems);
    if (tree) {
        arena_init(&config.arena, 0);
        struct reader reader = {.tree = tree, .problems = problems, .arena = &config.arena};
        const struct yaml_node *root = yaml_root(tree);
        if (root) {
            settings_read(&reader, table, SETTINGS, root, &config);
            check_endpoints(&config, &reader, root);
            check_access(&config, &reader, root);
            read_cards(&config, path, &reader, root);
            resolve(&config, path, &reader, root);
        } else {
            reader_problem(&reader, NULL, "the file is empty; it needs at least `store:` and `scorecards:`");
        }
        code = problems->count ? POISE_ECONFIG : POISE_OK;
    }
    yaml_tree_free(tree);
    if (code) {
        config_free(&config);
        return code;
    }
    *ret_config = config;
    return POISE_OK;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < config->card_count; i++)
        scorecard_free(config->cards[i]);
    free(config->cards);
    arena_free(&config->arena);
    *config = (struct config){0};
}
