/* poise stats: the aggregator's own numbers. */
#include "cli.h"
#include "options.h"
#include "state_text.h"
#include <aggregator/stats.h>
#include <base/error.h>
#include <base/text.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stats_options {
    struct asking_options asking;
    enum stats_format { STATS_TEXT, STATS_JSON, STATS_PROMETHEUS } format;
};

enum { KEY_JSON = 512, KEY_FORMAT };

static const struct argp_option option_list[] = {
    {"format", KEY_FORMAT, "FORMAT", 0,
     "text (default); json: an object, with the tables as an object in it; prometheus: as Prometheus scrapes "
     "it",
     0},
    {"json", KEY_JSON, NULL, 0, "--format json", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    static const char *const formats[] = {"text", "json", "prometheus"};
    struct stats_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->asking;
        return 0;
    case KEY_JSON:
        options->format = STATS_JSON;
        return 0;
    case KEY_FORMAT:
        for (int i = 0; i <= STATS_PROMETHEUS; i++) {
            if (strcmp(argument, formats[i]) == 0) {
                options->format = (enum stats_format)i;
                return 0;
            }
        }
        argp_error(state, "--format is text, json or prometheus, not '%s'", argument);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one argument too many", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&asking_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = children,
    .doc = "Prints an aggregator's own numbers: the tables of its store, and all that it counts. "
           "docs/operations.md says what each means.\v"
           "Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
           "Examples:\n"
           "  poise stats\n"
           "  poise stats --json | jq .poise_journal_lag\n"
           "  poise stats --format prometheus >/var/lib/prometheus/node-exporter/poise.prom\n",
};

/* ---- what came ---- */

enum { TABLES_MAX = 256, TABLE_NAME_MAX = 48 };

struct table_numbers {
    char name[TABLE_NAME_MAX];
    double entries, bytes;
};
struct number {
    const char *name; /* borrowed from names, once all are there */
    size_t at;        /* in names; as they came */
    double value;
};
struct answer {
    struct table_numbers tables[TABLES_MAX];
    size_t table_count;
    struct number *numbers; /* all, tables too */
    size_t count, capacity;
    struct buf names;
    bool failed; /* out of memory */
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
    if (answer->count == answer->capacity) {
        size_t capacity = answer->capacity ? answer->capacity * 2 : 256;
        struct number *grown = realloc(answer->numbers, capacity * sizeof *grown);
        answer->failed |= !grown;
        if (!grown) {
            return;
        }
        answer->numbers = grown;
        answer->capacity = capacity;
    }
    answer->numbers[answer->count++] = (struct number){.at = answer->names.length, .value = value};
    buf_put(&answer->names, name, strlen(name) + 1);
}

/* Names stay where they are from now on. */
static void take_all(struct answer *answer)
{
    answer->failed |= answer->names.failed;
    for (size_t i = 0; !answer->failed && i < answer->count; i++) {
        struct number *number = &answer->numbers[i];
        number->name = (const char *)answer->names.data + number->at;
        struct table_numbers *table = table_of(answer, number->name);
        if (table) {
            *(strstr(number->name, "_bytes{") ? &table->bytes : &table->entries) = number->value;
        }
    }
}

/* ---- what is printed ---- */

static bool is_of_table(const struct number *number)
{
    return strstr(number->name, "{table=\"") != NULL;
}

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
    for (size_t i = 0; i < answer->count; i++) {
        char text[NUMBER_TEXT_MAX];
        if (is_of_table(&answer->numbers[i])) {
            continue;
        }
        buf_printf(out, ",\n  ");
        json_put_text(out, answer->numbers[i].name);
        buf_printf(out, ": %.*s", (int)format_double(answer->numbers[i].value, text), text);
    }
    buf_printf(out, "\n}\n");
}

/* The least bound that a share of what a histogram counted is not above; `at` is its first bucket. */
static void put_quantile(const struct answer *answer, size_t at, double share, struct buf *out)
{
    const struct number *bucket = &answer->numbers[at];
    size_t length = strcspn(bucket->name, "{"), count = 0;
    while (at + count < answer->count && strncmp(bucket[count].name, bucket->name, length + 1) == 0) {
        count++;
    }
    double all = bucket[count - 1].value;
    size_t i = 0;
    while (i + 1 < count && (bucket[i].value < share * all || bucket[i].value == 0)) {
        i++;
    }
    const char *bound = strstr(bucket[i].name, "le=\"");
    int bound_length = bound ? (int)strcspn(bound + 4, "\"") : 0;
    char name[STATS_NAME_MAX * 2];
    snprintf(name, sizeof name, "%.*s p%g", (int)(length - strlen("_bucket")), bucket->name, share * 100);
    buf_printf(out, "%-32s%20.*s\n", name, all > 0 ? bound_length : 1, all > 0 && bound ? bound + 4 : "-");
}

/* Of a histogram its quantiles; its sum and count are there by other names. */
static void put_line(const struct answer *answer, size_t at, struct buf *out)
{
    const struct number *number = &answer->numbers[at];
    size_t length;
    const struct stats_description *about = stats_describe(number->name, &length);
    if (is_of_table(number)) {
        return;
    }
    if (!about || strcmp(about->kind, "histogram") != 0) {
        if (!strchr(number->name, '{') || number->value != 0) {
            buf_printf(out, "%-32s ", number->name);
            put_whole(out, number->value, strlen(number->name) < 32 ? 19 : 0);
            buf_printf(out, "\n");
        }
        return;
    }
    if (strstr(number->name, "_bucket{le=\"64\"}")) {
        put_quantile(answer, at, 0.5, out);
        put_quantile(answer, at, 0.99, out);
    }
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
    for (size_t i = 0; i < answer->count; i++) {
        put_line(answer, i, out);
    }
}

/* By what they have in common, then as they came: Prometheus wants the lines of a metric together. */
static int compare_numbers(const void *left, const void *right)
{
    const struct number *a = left, *b = right;
    size_t a_length, b_length;
    (void)stats_describe(a->name, &a_length);
    (void)stats_describe(b->name, &b_length);
    int order = strncmp(a->name, b->name, a_length < b_length ? a_length : b_length);
    if (order != 0 || a_length != b_length) {
        return order != 0 ? order : a_length < b_length ? -1 : 1;
    }
    return a->at < b->at ? -1 : a->at > b->at;
}

static void put_prometheus(const struct answer *answer, struct buf *out)
{
    const struct stats_description *before = NULL;
    qsort(answer->numbers, answer->count, sizeof *answer->numbers, compare_numbers);
    for (size_t i = 0; i < answer->count; i++) {
        const struct number *number = &answer->numbers[i];
        size_t length;
        const struct stats_description *about = stats_describe(number->name, &length);
        if (about && about != before) {
            buf_printf(out, "# HELP %s %s (%s)\n# TYPE %s %s\n", about->name, about->text, about->unit,
                       about->name, about->kind);
        }
        char text[NUMBER_TEXT_MAX];
        buf_printf(out, "%s %.*s\n", number->name, (int)format_double(number->value, text), text);
        before = about;
    }
}

struct question {
    int64_t timeout_ms;
    struct answer *answer;
};

static poise_code ask(poise_client *client, void *context, poise_error *err)
{
    const struct question *question = context;
    return poise_get_stats(client, question->timeout_ms, take_number, question->answer, err);
}

int cli_stats(int argc, char **argv)
{
    struct stats_options options = {.format = STATS_TEXT};
    asking_defaults(&options.asking, "10s");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    static void (*const print[])(const struct answer *, struct buf *) = {put_text, put_json, put_prometheus};
    struct answer answer = {.table_count = 0};
    struct buf out = {0};
    poise_error err;
    struct question question = {.timeout_ms = options.asking.timeout_ms, .answer = &answer};
    poise_code code = asking_ask(&options.asking, ask, &question, &err);
    if (code == POISE_OK) {
        take_all(&answer);
        if (!answer.failed) {
            print[options.format](&answer, &out);
        }
        code = out.failed || answer.failed ? error_nomem(&err, "the numbers") : POISE_OK;
    }
    if (code == POISE_OK) {
        fwrite(out.data, 1, out.length, stdout);
    }
    free(answer.numbers);
    buf_free(&answer.names);
    buf_free(&out);
    return code == POISE_OK ? cli_end("stats", CLI_OK) : cli_fail("stats", &err);
}
