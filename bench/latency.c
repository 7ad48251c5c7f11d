/* Batches of one measurement at an even rate: how long until each is acknowledged, and until a subscriber has
 * an update that holds it. The measures take turns, so how many measurements an update counts of a measure at
 * the root says which batches it holds. */
#include "bench.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct latency {
    uint64_t count;
    struct workload batches;
    _Atomic int64_t *due_ns; /* when each batch was to be sent */
    double *ack_us, *update_us;
    uint64_t acked;
    int64_t counted[MEASURES]; /* at the root, as the subscriber knows */
    _Atomic uint64_t updated;
};

static void make_batches(struct latency *latency)
{
    struct wire_builder *builder = wire_builder_open();
    struct workload *batches = &latency->batches;
    int64_t now_ms = wall_ms();
    batches->ends = calloc(latency->count, sizeof *batches->ends);
    batches->epoch = (uint64_t)now_ns() | 1;
    if (!builder || !batches->ends)
        die("out of memory");
    for (uint64_t i = 0; i < latency->count; i++) {
        struct series_name name;
        series_name((uint32_t)(i / MEASURES * 7 % LINES), (uint32_t)(i % MEASURES), false, &name);
        poise_measurement row = {.measure = name.measure,
                                 .org = name.org,
                                 .source = name.source,
                                 .time_ms = now_ms,
                                 .value = (double)(i % 100),
                                 .of = 1};
        check(wire_builder_add(builder, &row), NULL);
        check(wire_builder_finish(builder, batches->epoch, i + 1, &batches->bodies), NULL);
        batches->ends[batches->count++] = batches->bodies.length;
    }
    wire_builder_close(builder);
}

/* In the subscriber's thread. */
static void on_states(void *context, const struct wire_states *states)
{
    struct latency *latency = context;
    int64_t now = now_ns();
    for (size_t i = 0; i < states->count; i++) {
        const poise_state *state = &states->states[i];
        unsigned measure;
        if (state->kind != POISE_MEASURE || state->org[0] != '\0' ||
            sscanf(strrchr(state->node, '/'), "/m%u", &measure) != 1 || measure >= MEASURES)
            continue;
        for (int64_t *counted = &latency->counted[measure]; *counted < state->numbers.count; ++*counted) {
            uint64_t batch = (uint64_t)*counted * MEASURES + measure;
            latency->update_us[batch] = (double)(now - latency->due_ns[batch]) / 1e3;
            latency->updated++;
        }
    }
}

static int open_timer(uint32_t rate)
{
    struct itimerspec every = {.it_interval = {.tv_nsec = 1000000000L / rate},
                               .it_value = {.tv_nsec = 1000000000L / rate}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0 || timerfd_settime(fd, 0, &every, NULL) != 0)
        die("no timer: %s", strerror(errno));
    return fd;
}

static void send_evenly(struct latency *latency, struct producer *producer, int timer)
{
    const struct workload *batches = &latency->batches;
    uint64_t due = 0;
    while (latency->acked < latency->count) {
        uint64_t ticks = 0;
        bool more = due < latency->count;
        producer_wait(producer, more ? timer : -1);
        if (more && read(timer, &ticks, sizeof ticks) == sizeof ticks)
            for (; ticks > 0 && due < latency->count; ticks--)
                latency->due_ns[due++] = now_ns();
        producer_receive(producer);
        for (int64_t now = now_ns(); latency->acked < producer->acked; latency->acked++)
            latency->ack_us[latency->acked] = (double)(now - latency->due_ns[latency->acked]) / 1e3;
        while (producer->sent < due) {
            size_t start = producer->sent ? batches->ends[producer->sent - 1] : 0;
            if (!producer_send(producer, batches->bodies.data + start, batches->ends[producer->sent] - start))
                break;
        }
    }
}

void run_latency(const struct options *options)
{
    struct latency latency = {.count = (uint64_t)options->rate * options->seconds};
    latency.due_ns = calloc(latency.count, sizeof *latency.due_ns);
    latency.ack_us = calloc(latency.count, sizeof *latency.ack_us);
    latency.update_us = calloc(latency.count, sizeof *latency.update_us);
    if (!latency.due_ns || !latency.ack_us || !latency.update_us)
        die("out of memory");
    make_batches(&latency);
    struct subscriber subscriber = {.endpoint = options->query, .seen = on_states, .context = &latency};
    struct producer producer;
    subscriber_start(&subscriber);
    producer_open(&producer, options->ingest, latency.batches.epoch);
    int64_t cpu = cpu_ns(options->pid);
    int timer = open_timer(options->rate);
    send_evenly(&latency, &producer, timer);
    cpu = cpu_ns(options->pid) - cpu;
    for (int i = 0; latency.updated < latency.count; i++) {
        if (i == PATIENCE_MS)
            die("the last update did not come");
        net_wait(NULL, 0, 1, NULL);
    }
    subscriber_stop(&subscriber);
    if (ask_stats(options->query, "poise_rows_accepted") != (double)latency.count)
        die("not as many rows were accepted as were sent");
    figure_quantiles("ack_us", latency.ack_us, latency.count);
    /* A standard deviation shows with the second measurement only. */
    figure_quantiles("update_us", latency.update_us + MEASURES, latency.count - MEASURES);
    figure("cpu_us_per_batch", (double)cpu / 1e3 / (double)latency.count);
    close(timer);
    producer_close(&producer);
    workload_free(&latency.batches);
    free(latency.due_ns);
    free(latency.ack_us);
    free(latency.update_us);
}
