/* What bench/peers and bench/questions ask of an aggregator: each question is one SUBSCRIBE with `once`, its
 * SNAPSHOT the answer; or one QUERY, its RESULT the answer. */
#include "bench.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { QUESTIONS = 500 };

void run_send(const struct options *options)
{
    struct workload workload;
    struct producer producer;
    workload_make(&workload, options);
    producer_open(&producer, options->ingest, workload.epoch);
    producer_send_all(&producer, &workload);
    figure("samples", (double)workload.samples);
    fflush(stdout);
    _exit(0); /* the caller kills the aggregator right after the acknowledgement */
}

struct seen {
    uint64_t states;
    int64_t count;
    double value;
};

static void see(void *context, const poise_state *state)
{
    struct seen *seen = context;
    seen->states++;
    if (state->kind != POISE_MEASURE)
        return;
    seen->count += state->numbers.count;
    seen->value = state->numbers.value;
}

void run_count(const struct options *options)
{
    const char *root[] = {""};
    struct wire_filter filter = {.orgs = root, .org_count = 1};
    struct seen seen = {0};
    struct link link;
    link_open(&link, options->query);
    link_ask(&link, &filter, see, &seen);
    link_close(&link);
    figure("count", (double)seen.count);
}

/* Of a node at each line in turn, or at the root; NULL: of all nodes of the root. */
static void time_questions(struct link *link, const char *name, const struct options *options,
                           const char *node, bool at_root)
{
    static double us[QUESTIONS];
    struct seen seen = {0};
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct series_name series;
        series_name(i % options->lines, 3, false, &series);
        const char *orgs[] = {at_root ? "" : series.org}, *nodes[] = {node};
        struct wire_filter filter = {
            .orgs = orgs, .org_count = 1, .nodes = nodes, .node_count = node ? 1 : 0};
        struct seen now = {0};
        int64_t start = now_ns();
        link_ask(link, &filter, see, &now);
        us[i] = (double)(now_ns() - start) / 1e3;
        if (i == 0)
            seen = now;
    }
    char text[32];
    snprintf(text, sizeof text, "%s_us", name);
    figure_quantiles(text, us, QUESTIONS);
    snprintf(text, sizeof text, "%s_states", name);
    figure(text, (double)seen.states);
    if (node)
        printf("%s_value %.17g\n", name, seen.value);
}

void run_ask(const struct options *options)
{
    struct link link;
    link_open(&link, options->query);
    if (options->one_measure) {
        time_questions(&link, "average", options, "plant/p0/o0/m0", true);
    } else {
        time_questions(&link, "last", options, "plant/p0/o0/m3", false); /* its aggregate is `last` */
        time_questions(&link, "sum", options, "plant/p0/o0/m0", false);
        time_questions(&link, "root", options, NULL, true);
    }
    link_close(&link);
    measure_trips();
}

static void time_past(struct link *link, const char *name, struct wire_query query, uint32_t lines)
{
    enum { PAST_QUESTIONS = 21 };
    static double us[PAST_QUESTIONS];
    struct seen seen = {0};
    query.scorecard = "plant";
    for (uint32_t i = 0; i < PAST_QUESTIONS; i++) {
        struct series_name series;
        series_name(i % lines, 0, false, &series);
        query.org = query.org && query.org[0] ? series.org : "";
        int64_t start = now_ns();
        link_query(link, &query, see, &seen);
        us[i] = (double)(now_ns() - start) / 1e3;
    }
    char text[32];
    snprintf(text, sizeof text, "%s_us", name);
    figure_quantiles(text, us, PAST_QUESTIONS);
    snprintf(text, sizeof text, "%s_states", name);
    figure(text, (double)seen.states / PAST_QUESTIONS);
}

void run_past(const struct options *options)
{
    struct link link;
    int64_t now_ms = (int64_t)time(NULL) * 1000, day_ms = INT64_C(86400000);
    link_open(&link, options->query);
    time_past(&link, "past_line", (struct wire_query){.org = "a line", .as_of_ms = now_ms}, options->lines);
    time_past(&link, "past_before", (struct wire_query){.org = "a line", .as_of_ms = now_ms - 400 * day_ms},
              options->lines);
    time_past(&link, "past_all", (struct wire_query){.org = "", .all_orgs = true, .as_of_ms = now_ms},
              options->lines);
    link_close(&link);
}

/* A series' averages in ten parts of the time: as of the end of each what it was over so long. */
static void time_buckets(struct link *link, const struct options *options)
{
    enum { BUCKETS = 10, BUCKET_QUESTIONS = 100, SERIES = 50 };
    static double us[BUCKET_QUESTIONS];
    int64_t bucket_ms = (int64_t)options->samples * TICK_MS / BUCKETS;
    for (uint32_t i = 0; i < BUCKET_QUESTIONS; i++) {
        struct series_name series;
        struct seen seen[BUCKETS] = {0};
        series_name(i % (options->lines < SERIES ? options->lines : SERIES), 3, false, &series);
        int64_t start = now_ns();
        for (int at = 0; at < BUCKETS; at++) {
            struct wire_query query = {.scorecard = "bucket",
                                       .org = series.org,
                                       .as_of_ms = options->start_ms + (at + 1) * bucket_ms - TICK_MS};
            link_query(link, &query, see, &seen[at]);
        }
        us[i] = (double)(now_ns() - start) / 1e3;
        for (int at = 0; i == 0 && at < BUCKETS; at++)
            printf("bucket_%d %.17g\n", at, seen[at].value);
    }
    figure_quantiles("buckets_us", us, BUCKET_QUESTIONS);
}

void run_parts(const struct options *options)
{
    struct link link;
    link_open(&link, options->query);
    time_questions(&link, "recent", options, "hour/p/o/average", true);
    time_buckets(&link, options);
    link_close(&link);
}
