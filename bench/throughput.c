/* Workload W as fast as the aggregator acknowledges it, with one live subscriber to everything; then what
 * arrived is checked against what was sent. */
#include "bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what must be there ---- */

struct expected {
    const struct workload *workload;
    int64_t lines;
    int64_t samples; /* of a series */
    bool one_measure;
    uint64_t nodes;
};

/* Each measure at each org counts every sample that its period holds. */
static void check_state(void *context, const poise_state *state)
{
    struct expected *expected = context;
    const poise_score *numbers = &state->numbers;
    int64_t lines = expected->lines, count = 0;
    unsigned plant;
    expected->nodes++;
    if (state->kind != POISE_MEASURE)
        return;
    if (strchr(state->org, '/'))
        lines = 1;
    else if (sscanf(state->org, "plant-%u", &plant) == 1)
        lines = (lines - plant + PLANTS - 1) / PLANTS;
    for (int64_t tick = 0; tick < expected->samples; tick++) {
        int64_t time_ms = expected->workload->start_ms + tick * TICK_MS;
        count += time_ms >= numbers->period_start_ms && time_ms < numbers->period_end_ms;
    }
    count *= lines * (expected->one_measure ? MEASURES : 1);
    if (numbers->count != count)
        die("%s at '%s' counts %lld measurements, not %lld", state->node, state->org,
            (long long)numbers->count, (long long)count);
}

static void check_all(const struct options *options, const struct workload *workload)
{
    struct expected expected = {.workload = workload,
                                .lines = options->lines,
                                .samples = options->samples,
                                .one_measure = options->one_measure};
    ask_states(options->query, check_state, &expected);
    uint64_t nodes =
        (1 + PLANTS + options->lines) * (uint64_t)(options->one_measure ? 4 : 1 + 4 + 12 + MEASURES);
    if (expected.nodes != nodes)
        die("the board has %llu nodes, not %llu", (unsigned long long)expected.nodes,
            (unsigned long long)nodes);
    if (ask_stats(options->query, "poise_rows_accepted") != (double)workload->samples)
        die("not as many rows were accepted as were sent");
}

void run_throughput(const struct options *options)
{
    struct workload workload;
    struct producer producer;
    struct subscriber subscriber = {.endpoint = options->query};
    workload_make(&workload, options);
    subscriber_start(&subscriber);
    producer_open(&producer, options->ingest, workload.epoch);

    int64_t own_cpu = cpu_ns(getpid()), cpu = cpu_ns(options->pid), start = now_ns();
    producer_send_all(&producer, &workload);
    int64_t end = now_ns();
    cpu = cpu_ns(options->pid) - cpu;
    own_cpu = cpu_ns(getpid()) - own_cpu;

    subscriber_stop(&subscriber);
    double samples = (double)workload.samples, seconds = (double)(end - start) / 1e9;
    if (producer.refused)
        die("%llu measurements were refused", (unsigned long long)producer.refused);
    if (!options->unchecked)
        check_all(options, &workload);
    figure("samples", samples);
    figure("seconds", seconds);
    figure("samples_per_s", samples / seconds);
    figure("silence_max_us", (double)producer.silence_ns / 1e3);
    figure("cpu_us_per_sample", (double)cpu / 1e3 / samples);
    figure("aggregator_cpu_share", (double)cpu / 1e9 / seconds);
    figure("bench_cpu_share", (double)own_cpu / 1e9 / seconds);
    figure("subscriber_cpu_share", (double)subscriber.cpu_ns / 1e9 / seconds);
    figure("wire_bytes_per_sample", (double)workload.bodies.length / samples);
    figure("subscriber_messages", (double)subscriber.messages);
    figure("subscriber_snapshots", (double)subscriber.snapshots);
    figure("subscriber_states", (double)subscriber.states);
    figure("subscriber_bytes", (double)subscriber.bytes);
    producer_close(&producer);
    workload_free(&workload);
}
