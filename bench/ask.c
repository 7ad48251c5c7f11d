/* What bench/peers asks of an aggregator: each question is one SUBSCRIBE with `once`, its SNAPSHOT the
 * answer. */
#include "bench.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

static void time_questions(struct link *link, const char *name, const struct options *options,
                           const char *node)
{
    static double us[QUESTIONS];
    struct seen seen = {0};
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct series_name series;
        series_name(i % options->lines, 3, false, &series);
        const char *orgs[] = {node ? series.org : ""}, *nodes[] = {node};
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
    time_questions(&link, "last", options, "plant/p0/o0/m3"); /* its aggregate is `last` */
    time_questions(&link, "root", options, NULL);
    link_close(&link);
}
