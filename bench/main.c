#include "bench.h"
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct argp_option argp_options[] = {
    {"ingest", 'i', "ENDPOINT", 0, "The aggregator's ingest endpoint", 0},
    {"query", 'q', "ENDPOINT", 0, "Its query endpoint", 0},
    {"pid", 'p', "PID", 0, "Its process, for CPU time", 0},
    {"directory", 'd', "DIRECTORY", 0, "baseline: where to write", 0},
    {"lines", 'l', "N", 0, "Orgs that have the 48 measures (208)", 0},
    {"variant", 'v', "VARIANT", 0, "plain (default), late or keyed rows", 0},
    {"samples", 's', "N", 0, "throughput: of each series (1000)", 0},
    {"start", 'm', "MS", 0, "Time of the first sample (so that the last is now)", 0},
    {"rows", 'b', "N", 0, "throughput: of a batch (1000)", 0},
    {"unchecked", 'u', NULL, 0, "throughput: the caller checks what arrived", 0},
    {"one-measure", '1', NULL, 0, "The same series, as sources of one measure", 0},
    {"rate", 'r', "N", 0, "latency: batches a second (1000)", 0},
    {"seconds", 't', "N", 0, "latency: for so long (10)", 0},
    {0}};

static int64_t number_up_to(int64_t most, const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value <= 0 || value > most)
        argp_error(state, "'%s' is no number from 1 to %lld", text, (long long)most);
    return value;
}

static uint32_t number(const char *text, struct argp_state *state)
{
    return (uint32_t)number_up_to(1000000000, text, state);
}

struct arguments {
    struct options options;
    const char *what;
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct options *options = &arguments->options;
    switch (key) {
    case 'i':
        return options->ingest = argument, 0;
    case 'q':
        return options->query = argument, 0;
    case 'd':
        return options->directory = argument, 0;
    case 'p':
        return options->pid = (pid_t)number(argument, state), 0;
    case 's':
        return options->samples = number(argument, state), 0;
    case 'm':
        return options->start_ms = number_up_to(INT64_MAX / 2, argument, state), 0;
    case 'b':
        return options->rows = number(argument, state), 0;
    case 'r':
        return options->rate = number(argument, state), 0;
    case 't':
        return options->seconds = number(argument, state), 0;
    case 'l':
        return options->lines = number(argument, state), 0;
    case 'v':
        if (!rows_variant(argument, &options->variant))
            argp_error(state, "'%s' is none of plain, late, keyed", argument);
        return 0;
    case 'u':
        return options->unchecked = true, 0;
    case '1':
        return options->one_measure = true, 0;
    case ARGP_KEY_ARG:
        return arguments->what = argument, 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .options = {.lines = LINES, .samples = 1000, .rows = 1000, .rate = 1000, .seconds = 10}, .what = ""};
    const struct argp argp = {.options = argp_options,
                              .parser = parse,
                              .args_doc =
                                  "throughput|latency|midnight|baseline|drain|send|count|ask|past|parts",
                              .doc = "Measures a running poise-aggregator. Run by bench/ingest."};
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    const struct options *options = &arguments.options;
    bool connected = options->ingest && options->query && options->pid;
    if (strcmp(arguments.what, "throughput") == 0 && connected)
        run_throughput(options);
    else if (strcmp(arguments.what, "latency") == 0 && connected)
        run_latency(options);
    else if (strcmp(arguments.what, "midnight") == 0 && connected)
        run_midnight(options);
    else if (strcmp(arguments.what, "drain") == 0)
        run_drain(options);
    else if (strcmp(arguments.what, "send") == 0 && options->ingest)
        run_send(options);
    else if (strcmp(arguments.what, "count") == 0 && options->query)
        run_count(options);
    else if (strcmp(arguments.what, "ask") == 0 && options->query)
        run_ask(options);
    else if (strcmp(arguments.what, "past") == 0 && options->query)
        run_past(options);
    else if (strcmp(arguments.what, "parts") == 0 && options->query && options->start_ms)
        run_parts(options);
    else if (strcmp(arguments.what, "baseline") == 0 && options->directory)
        run_baseline(options);
    else
        die("say throughput, latency or midnight with --ingest, --query and --pid; drain; "
            "send with --ingest; count, ask or past with --query, parts with --start, too; or baseline with "
            "--directory");
    return fflush(stdout) == 0 ? 0 : 1;
}
