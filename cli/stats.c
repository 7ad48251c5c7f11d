/* poise stats: the aggregator's own numbers. */
#include "cli.h"
#include "options.h"
#include "state_text.h"
#include <base/error.h>
#include <base/text.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct stats_options {
    const char *endpoint;
    bool insecure, json;
    struct key_options keys;
    int64_t timeout_ms;
};

enum { KEY_JSON = 512, KEY_TIMEOUT, KEY_INSECURE };

static const struct argp_option option_list[] = {
    {"from", 'F', "ENDPOINT", 0,
     "the aggregator's query endpoint; default: $POISE_QUERY, else tcp://127.0.0.1:5571", 0},
    {"insecure", KEY_INSECURE, NULL, 0, "allow plain TCP to other machines", 0},
    {"json", KEY_JSON, NULL, 0, "as a JSON object, the tables as an object in it", 0},
    {"timeout", KEY_TIMEOUT, "DURATION", 0, "give up when there is no answer for so long; default: 10s", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct stats_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->keys;
        return 0;
    case 'F':
        options->endpoint = argument;
        return 0;
    case KEY_INSECURE:
        options->insecure = true;
        return 0;
    case KEY_JSON:
        options->json = true;
        return 0;
    case KEY_TIMEOUT:
        options->timeout_ms = option_duration(state, "timeout", argument);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one argument too many", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&key_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc = "Prints an aggregator's own numbers: the tables of its store, and all that it counts. "
           "docs/operations.md says what each means.\v"
           "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise stats\n"
           "  poise stats --json | jq .poise_journal_lag\n",
};

/* ---- what came ---- */

enum { TABLES_MAX = 256, TABLE_NAME_MAX = 48 };

struct table_numbers {
    char name[TABLE_NAME_MAX];
    double entries, bytes;
};
struct answer {
    struct table_numbers tables[TABLES_MAX];
    size_t table_count;
    struct buf lines; /* of the other numbers, as they are printed */
    bool json;
};

/* The table that a name such as poise_table_bytes{table="cells"} is of; NULL: of none. */
static struct table_numbers *table_of(struct answer *answer, const char *name)
{
    static const char before[] = "{table=\"";
    const char *label = strstr(name, before), *end;
    if (!label || !(end = strchr(label + sizeof before - 1, '"'))) {
        return NULL;
    }
    label += sizeof before - 1;
    size_t length = (size_t)(end - label), at = 0;
    while (at < answer->table_count &&
           !(strncmp(answer->tables[at].name, label, length) == 0 && !answer->tables[at].name[length])) {
        at++;
    }
    if (at == TABLES_MAX || length >= TABLE_NAME_MAX) {
        return NULL;
    }
    if (at == answer->table_count) {
        memcpy(answer->tables[answer->table_count++].name, label, length);
    }
    return &answer->tables[at];
}

static void put_whole(struct buf *out, double number, int width)
{
    char digits[NUMBER_TEXT_MAX], text[2 * NUMBER_TEXT_MAX];
    int length = (int)format_double(number, digits), at = 0;
    bool plain = number >= 0 && number < 1e15 && !memchr(digits, '.', (size_t)length);
    for (int i = 0; i < length; i++) {
        if (plain && i > 0 && (length - i) % 3 == 0) {
            text[at++] = ',';
        }
        text[at++] = digits[i];
    }
    buf_printf(out, "%*.*s", width, at, text);
}

static void take_number(void *context, const char *name, double value)
{
    struct answer *answer = context;
    struct table_numbers *table = table_of(answer, name);
    if (table) {
        *(strstr(name, "_bytes{") ? &table->bytes : &table->entries) = value;
        return;
    }
    if (answer->json) {
        char text[NUMBER_TEXT_MAX];
        size_t length = format_double(value, text);
        buf_printf(&answer->lines, ",\n  ");
        json_put_text(&answer->lines, name);
        buf_printf(&answer->lines, ": %.*s", (int)length, text);
        return;
    }
    buf_printf(&answer->lines, "%-32s", name);
    put_whole(&answer->lines, value, 20);
    buf_printf(&answer->lines, "\n");
}

/* ---- what is printed ---- */

static void put_json(const struct answer *answer, struct buf *out)
{
    buf_printf(out, "{\n  \"tables\": {");
    for (size_t i = 0; i < answer->table_count; i++) {
        const struct table_numbers *table = &answer->tables[i];
        buf_printf(out, "%s\n    ", i > 0 ? "," : "");
        json_put_text(out, table->name);
        buf_printf(out, ": {\"entries\": %.0f, \"bytes\": %.0f}", table->entries, table->bytes);
    }
    buf_printf(out, "\n  }");
    buf_put(out, answer->lines.data, answer->lines.length);
    buf_printf(out, "\n}\n");
}

static void put_text(const struct answer *answer, struct buf *out)
{
    if (answer->table_count > 0) {
        buf_printf(out, "%-16s%16s%20s\n", "table", "entries", "bytes");
    }
    for (size_t i = 0; i < answer->table_count; i++) {
        const struct table_numbers *table = &answer->tables[i];
        buf_printf(out, "%-16s", table->name);
        put_whole(out, table->entries, 16);
        put_whole(out, table->bytes, 20);
        buf_printf(out, "\n");
    }
    buf_printf(out, "%s", answer->table_count > 0 ? "\n" : "");
    buf_put(out, answer->lines.data, answer->lines.length);
}

static poise_code ask(const struct stats_options *options, struct answer *answer, poise_error *err)
{
    const poise_client_options client_options = {.endpoint = options->endpoint,
                                                 .insecure = options->insecure,
                                                 .key_file = options->keys.file,
                                                 .server_key = options->keys.server};
    poise_client *client = NULL;
    poise_code code = poise_client_open(&client_options, &client, err);
    if (code == POISE_OK) {
        code = poise_get_stats(client, options->timeout_ms, take_number, answer, err);
    }
    poise_client_close(client);
    return code;
}

int cli_stats(int argc, char **argv)
{
    struct stats_options options = {.endpoint = environment_or("POISE_QUERY", "tcp://127.0.0.1:5571"),
                                    .timeout_ms = 10000};
    key_defaults(&options.keys);
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    struct answer answer = {.json = options.json};
    struct buf out = {0};
    poise_error err;
    poise_code code = ask(&options, &answer, &err);
    if (code == POISE_OK) {
        (options.json ? put_json : put_text)(&answer, &out);
        code = out.failed || answer.lines.failed ? error_nomem(&err, "the numbers") : POISE_OK;
    }
    if (code == POISE_OK) {
        fwrite(out.data, 1, out.length, stdout);
    }
    buf_free(&answer.lines);
    buf_free(&out);
    return code == POISE_OK ? cli_end("stats", CLI_OK) : cli_fail("stats", &err);
}
