/* poise send: measurements from the command line or a CSV file, through a spool, until they are acknowledged.
 */
#include "cli.h"
#include "options.h"
#include "rows.h"
#include "sending.h"
#include <base/error.h>
#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct send_options {
    struct sending_options sending;
    const char *csv;
    const char *arguments[2]; /* MEASURE, VALUE */
    unsigned argument_count;
    bool single; /* an option that only one measurement has */
    poise_measurement measurement;
};

enum { KEY_CSV = 512, KEY_BACKFILL, KEY_OF, KEY_SEQ, KEY_SOURCE, KEY_RETRACT };

static const struct argp_option option_list[] = {
    {"csv", KEY_CSV, "FILE", 0, "send the rows of a CSV file; - for standard input", 0},
    {"backfill", KEY_BACKFILL, NULL, 0,
     "with --csv: much of the past; closed periods are revised once, at the end", 0},
    {"org", 'o', "ORG", 0, "where it was measured; default: the root, which is the whole organisation", 1},
    {"time", 't', "TIME", 0, "when it happened (RFC 3339); default: now", 1},
    {"of", KEY_OF, "N", 0, "the denominator or weight; default: 1", 1},
    {"key", 'k', "KEY", 0, "replace what this measure, source and key said before", 1},
    {"seq", KEY_SEQ, "N", 0, "of two with one key the higher stands; default: the later to arrive", 1},
    {"source", KEY_SOURCE, "SOURCE", 0, "who says so", 1},
    {"retract", KEY_RETRACT, NULL, 0, "take away what the key said; no VALUE is needed", 1},
    {0}};

static error_t parse_measurement_option(int key, char *argument, struct argp_state *state)
{
    struct send_options *options = state->input;
    poise_measurement *measurement = &options->measurement;
    int64_t seq;
    switch (key) {
    case 'o':
        measurement->org = option_org(state, "org", argument);
        break;
    case 't':
        measurement->time_ms = option_time(state, "time", argument);
        break;
    case KEY_OF:
        if (!parse_double(argument, strlen(argument), &measurement->of)) {
            argp_error(state, "--of '%s' is no number", argument);
        }
        break;
    case 'k':
        measurement->key = argument;
        break;
    case KEY_SEQ:
        if (!parse_int64(argument, strlen(argument), &seq) || seq < 1) {
            argp_error(state, "--seq '%s' is not right; a whole number from 1 is wanted", argument);
        }
        measurement->seq = (uint64_t)seq;
        break;
    case KEY_SOURCE:
        measurement->source = argument;
        break;
    case KEY_RETRACT:
        measurement->retract = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    options->single = true;
    return 0;
}

static void check_options(struct send_options *options, struct argp_state *state)
{
    poise_measurement *measurement = &options->measurement;
    unsigned wanted = measurement->retract ? 1 : 2;
    if (options->csv && (options->argument_count > 0 || options->single)) {
        argp_error(state, "--csv FILE goes with no single measurement's MEASURE, VALUE or options");
    }
    if (options->csv) {
        return;
    }
    if (options->sending.backfill) {
        argp_error(state, "--backfill goes with --csv FILE");
    }
    if (options->argument_count < wanted) {
        argp_error(state, "MEASURE and VALUE are needed, or --csv FILE");
    }
    measurement->measure = options->arguments[0];
    const char *value = options->arguments[1];
    if (value && !parse_double(value, strlen(value), &measurement->value)) {
        argp_error(state, "VALUE '%s' is no number", value);
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct send_options *options = state->input;
    switch (key) {
    case KEY_CSV:
        options->csv = argument;
        return 0;
    case KEY_BACKFILL:
        options->sending.backfill = true;
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->sending;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num >= 2) {
            argp_error(state, "'%s' is one argument too many", argument);
        }
        options->arguments[state->arg_num] = argument;
        options->argument_count = state->arg_num + 1;
        return 0;
    case ARGP_KEY_END:
        check_options(options, state);
        return 0;
    default:
        return parse_measurement_option(key, argument, state);
    }
}

static const struct argp parser = {
    .options = option_list,
    .parser = parse_option,
    .children = (const struct argp_child[]){{&sending_argp, 0, NULL, 2}, {0}},
    .args_doc = "MEASURE VALUE\n--retract --key KEY MEASURE\n--csv FILE",
    .doc = "Sends measurements to an aggregator and waits until it has them on its disk. A negative VALUE "
           "goes after "
           "--.\v"
           "The CSV header is time,measure,org,value,of,key,seq,source,retract in any order; all but the "
           "first four "
           "may be absent. Rows that are refused, here or by the aggregator, are named on standard error "
           "with line and "
           "reason. What is not acknowledged in time stays in the spool, and the next `poise send` with that "
           "spool "
           "delivers it first.\n\n"
           "Exit status: 0 everything was acknowledged, 1 some was refused or not acknowledged, 2 wrong "
           "usage.\n\n"
           "Examples:\n"
           "  poise send nps 43\n"
           "  poise send defects 3 --of 120 --org plant-1 --time 2026-03-01T09:00:00Z\n"
           "  poise send cycle_time 7.5 --key order-4711\n"
           "  poise send cycle_time --key order-4711 --retract\n"
           "  poise send balance -- -250\n"
           "  poise send --csv measurements.csv --to tcp://127.0.0.1:5570\n",
};

static poise_code send_file(struct sending *sending, const char *path, poise_error *err)
{
    struct rows *rows = NULL;
    poise_code code = rows_open(path, ROWS_CSV, &rows, err);
    if (code == POISE_OK) {
        code = sending_rows(sending, rows, err);
    }
    if (code == POISE_OK) {
        code = sending_end(sending, err);
    }
    rows_close(rows);
    return code;
}

static poise_code send_one(struct sending *sending, const poise_measurement *measurement, poise_error *err)
{
    poise_code code = sending_add(sending, measurement, 0, err);
    return code == POISE_OK ? sending_wait(sending, err) : code;
}

int cli_send(int argc, char **argv)
{
    struct send_options options = {.measurement = {.of = 1, .time_ms = (int64_t)time(NULL) * 1000}};
    sending_defaults(&options.sending, "send");
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    struct sending *sending = NULL;
    poise_error err;
    poise_code code = sending_open(&options.sending, &sending, &err);
    if (code == POISE_OK) {
        code = options.csv ? send_file(sending, options.csv, &err)
                           : send_one(sending, &options.measurement, &err);
    }
    bool refused = false;
    if (sending) {
        refused = sending_summary(sending, stdout);
    }
    sending_close(sending);
    if (code != POISE_OK) {
        return cli_fail("send", &err);
    }
    return cli_end("send", refused ? CLI_FAILED : CLI_OK);
}
