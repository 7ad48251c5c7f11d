/* bench_bodies: workload W as requests of a bulk protocol, made before a clock starts; and what queries must
 * answer then. `bench/peers` runs it. */
#include "figures.h"
#include "formats.h"
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARDS_MAX = 8,
    BUCKETS = 10,
    HOUR_TICKS = 3600000 / TICK_MS,
    ASKED = 3 /* series: m3 of the first line */
};

struct options {
    const char *format, *output;
    uint32_t lines, samples, shards, frame_rows;
    enum variant variant;
    int64_t start_ms;
    bool no_corrections;
};

static const struct argp_option argp_options[] = {
    {"format", 'f', "NAME", 0, "clickhouse, remote_write, influx, postgres or json", 0},
    {"output", 'o', "PATH", 0, "Files PATH.0, PATH.1, ...", 0},
    {"lines", 'l', "N", 0, "Orgs that have the 48 measures (208)", 0},
    {"samples", 's', "N", 0, "Of each series (1000)", 0},
    {"shards", 'c', "N", 0, "Connections, each with series of its own (1)", 0},
    {"rows", 'b', "N", 0, "Of a request (10000)", 0},
    {"variant", 'v', "VARIANT", 0, "plain (default), late or keyed rows", 0},
    {"start", 't', "MS", 0, "Time of the first sample", 0},
    {"no-corrections", 'n', NULL, 0, "Leave those out", 0},
    {0}};

static long long number(const char *text, long long max, struct argp_state *state)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value <= 0 || value > max)
        argp_error(state, "'%s' is no number from 1 to %lld", text, max);
    return value;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'f':
        return options->format = argument, 0;
    case 'o':
        return options->output = argument, 0;
    case 'l':
        return options->lines = (uint32_t)number(argument, 100000, state), 0;
    case 's':
        return options->samples = (uint32_t)number(argument, 99999, state), 0;
    case 'c':
        return options->shards = (uint32_t)number(argument, SHARDS_MAX, state), 0;
    case 'b':
        return options->frame_rows = (uint32_t)number(argument, 1000000, state), 0;
    case 't':
        return options->start_ms = number(argument, INT64_MAX / 2, state), 0;
    case 'v':
        if (!rows_variant(argument, &options->variant))
            argp_error(state, "'%s' is none of plain, late, keyed", argument);
        return 0;
    case 'n':
        return options->no_corrections = true, 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct making {
    const struct options *options;
    struct writer writers[SHARDS_MAX];
    uint64_t rows, corrections;
    double last, buckets[BUCKETS], recent; /* sums */
    uint64_t recent_count;
};

/* What the two queries about averages and the one about the last value must say. */
static void expect(struct making *making, const struct row *row)
{
    uint32_t samples = making->options->samples;
    double change = row->corrects ? 1 : row->value;
    if (row->series == ASKED) {
        making->buckets[(uint64_t)row->tick * BUCKETS / samples] += change;
        if (row->tick == samples - 1)
            making->last = row->value;
    }
    if (samples <= HOUR_TICKS || row->tick >= samples - HOUR_TICKS) {
        making->recent += change;
        making->recent_count += !row->corrects;
    }
}

static void add(void *context, const struct row *row)
{
    struct making *making = context;
    if (row->corrects && making->options->no_corrections)
        return;
    making->rows++;
    making->corrections += row->corrects;
    expect(making, row);
    writer_add(&making->writers[row->series / MEASURES % making->options->shards], row);
}

static void print(struct making *making)
{
    double samples = making->options->samples;
    uint64_t bytes = 0, frames = 0;
    for (uint32_t i = 0; i < making->options->shards; i++) {
        bytes += making->writers[i].bytes;
        frames += making->writers[i].frames;
    }
    printf("rows %llu\ncorrections %llu\nbytes %llu\nrequests %llu\n", (unsigned long long)making->rows,
           (unsigned long long)making->corrections, (unsigned long long)bytes, (unsigned long long)frames);
    printf("last %.17g\nrecent %.17g\n", making->last, making->recent / (double)making->recent_count);
    for (int i = 0; i < BUCKETS; i++)
        printf("bucket_%d %.17g\n", i, making->buckets[i] / (samples / BUCKETS));
}

int main(int argc, char **argv)
{
    struct options options = {.lines = LINES, .samples = 1000, .shards = 1, .frame_rows = 10000};
    const struct argp argp = {
        .options = argp_options, .parser = parse, .doc = "Makes requests. Run by bench/peers."};
    static struct making making;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    const struct format *format = options.format ? format_named(options.format) : NULL;
    if (!format || !options.output || !options.start_ms)
        die("say --format, --output and --start");
    making.options = &options;
    uint64_t most = strcmp(options.format, "json") == 0
                        ? rows_count(options.lines, options.samples, options.variant)
                        : options.frame_rows;
    for (uint32_t i = 0; i < options.shards; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s.%u", options.output, i);
        making.writers[i] = (struct writer){.format = format,
                                            .variant = options.variant,
                                            .start_ms = options.start_ms,
                                            .frame_rows = (uint32_t)most};
        writer_open(&making.writers[i], path);
    }
    rows_each(options.lines, options.samples, options.variant, add, &making);
    for (uint32_t i = 0; i < options.shards; i++)
        writer_close(&making.writers[i]);
    print(&making);
    return fflush(stdout) == 0 ? 0 : 1;
}
