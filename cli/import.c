/* poise import: files of measurements into an aggregator, as a producer. */
#include "cli.h"
#include "options.h"
#include <base/error.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct import_options {
    struct sending_options sending;
    enum rows_format format;
    char **files;
    int file_count;
};

enum { KEY_BACKFILL = 512, KEY_ANEW };

static const struct argp_option option_list[] = {
    {"format", 'f', "FORMAT", 0,
     "csv or jsonl; default: jsonl where a file's name ends in .jsonl, .ndjson or .json, else csv", 0},
    {"backfill", KEY_BACKFILL, NULL, 0,
     "much of the past: closed periods are revised once, at the end of all files", 0},
    {"anew", KEY_ANEW, NULL, 0, "from the first measurement on, whatever an interrupted import has taken", 0},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct import_options *options = state->input;
    switch (key) {
    case 'f':
        options->format = option_rows_format(state, argument);
        return 0;
    case KEY_BACKFILL:
        options->sending.backfill = true;
        return 0;
    case KEY_ANEW:
        options->sending.anew = true;
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->sending;
        return 0;
    case ARGP_KEY_ARGS:
        options->files = state->argv + state->next;
        options->file_count = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "FILE is missing; - is standard input");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = (const struct argp_child[]){{&sending_argp, 0, NULL, 0}, {0}},
    .args_doc = "FILE...",
    .doc =
        "Sends the measurements of files to an aggregator, in their order, and waits until it has them on "
        "its "
        "disk: what `poise dump` wrote, or any CSV or JSON Lines with these columns. - is standard input. "
        "On a "
        "terminal it shows how far it is.\v"
        "The columns are those of `poise send --csv`: time,measure,org,value,of,key,seq,source,retract; in "
        "JSON "
        "Lines they are members of an object a line, such as "
        "{\"time\":\"2026-03-01T09:00:00Z\",\"measure\":\"nps\",\"value\":43}. "
        "Measurements that are refused, here or by the aggregator, are named on standard error with file, "
        "line and "
        "reason: correct them, and import them by themselves.\n\n"
        "An import that was interrupted goes on where it was when it is started again with the same files "
        "and spool: no measurement is sent twice.\n\n"
        "Exit status: 0 everything was acknowledged, 1 some was refused or not acknowledged, 2 wrong "
        "usage.\n\n"
        "Examples:\n"
        "  poise import measurements.csv\n"
        "  poise import --backfill 2024.jsonl 2025.jsonl\n"
        "  zcat measurements.jsonl.gz | poise import --format jsonl -\n",
};

static bool has_stdin(const struct import_options *options)
{
    bool any = false;
    for (int i = 0; i < options->file_count; i++) {
        any |= strcmp(options->files[i], "-") == 0;
    }
    return any;
}

/* Bytes of all files; 0: not known. */
static uint64_t size_of(const struct import_options *options)
{
    uint64_t total = 0;
    struct stat status;
    for (int i = 0; i < options->file_count; i++) {
        if (stat(options->files[i], &status) != 0 || !S_ISREG(status.st_mode)) {
            return 0;
        }
        total += (uint64_t)status.st_size;
    }
    return total;
}

static poise_code send_files(struct sending *sending, const struct import_options *options, poise_error *err)
{
    poise_code code = POISE_OK;
    for (int i = 0; i < options->file_count && code == POISE_OK; i++) {
        struct rows *rows = NULL;
        code = rows_open(options->files[i], options->format, &rows, err);
        if (code == POISE_OK) {
            code = sending_rows(sending, rows, err);
        }
        rows_close(rows);
    }
    return code == POISE_OK ? sending_end(sending, err) : code;
}

/* One go; ENOTFOUND, and *ret_others: they are other files than those of the import that was interrupted. */
static poise_code import(const struct import_options *options, struct progress *progress, bool *ret_others,
                         bool *ret_refused, poise_error *err)
{
    struct sending *sending = NULL;
    poise_code code = sending_open(&options->sending, &sending, err);
    if (code != POISE_OK) {
        return code;
    }
    code = send_files(sending, options, err);
    progress_hide(progress);
    *ret_others = code == POISE_ENOTFOUND && sending_is_other(sending);
    if (!*ret_others || has_stdin(options)) {
        *ret_refused = sending_summary(sending, stdout);
        uint64_t taken = sending_taken(sending);
        if (code == POISE_OK && taken > 0) {
            printf("%" PRIu64 " had been taken by the import that was interrupted\n", taken);
        }
    }
    sending_close(sending);
    return code;
}

int cli_import(int argc, char **argv)
{
    struct import_options options = {0};
    struct progress progress = {.acknowledges = true};
    setlocale(LC_CTYPE, "");
    sending_defaults(&options.sending, "import");
    options.sending.resumes = true;
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    options.sending.progress = &progress;
    progress.total = size_of(&options);
    progress_begin(&progress, stderr);
    bool others = false, refused = false;
    poise_error err;
    poise_code code = import(&options, &progress, &others, &refused, &err);
    if (others && !has_stdin(&options)) {
        options.sending.anew = true;
        progress.done = progress.rows = 0;
        code = import(&options, &progress, &others, &refused, &err);
    }
    if (code != POISE_OK) {
        return cli_fail("import", &err);
    }
    return cli_end("import", refused ? CLI_FAILED : CLI_OK);
}
