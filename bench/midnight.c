/* Ingest while a period ends: an aggregator by the event clock, its scorecard by the day at many orgs;
 * batches of one measurement at an even rate, of which those of the second half are of the next day. The
 * first of them has every node looked at again. */
#include "bench.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { ORGS = 1400, DAY_MS = 86400000, FILL_ROWS = 960 };

struct midnight {
    struct buf body;
    struct wire_builder *builder;
    struct producer producer;
    uint64_t epoch, seq; /* of the last batch that was made */
    int64_t start_ms;    /* of the first day */
    int64_t *due_ns;     /* of the batches behind the first ones, when each was to be sent */
    double *ack_us;
};

static void add(struct midnight *run, uint32_t org, uint32_t measure, int64_t time_ms)
{
    struct series_name name;
    series_name(org, measure, false, &name);
    const poise_measurement row = {.measure = name.measure,
                                   .org = name.org,
                                   .time_ms = time_ms,
                                   .value = (double)((org + measure + (uint32_t)time_ms / 1000) % 100),
                                   .of = 1};
    check(wire_builder_add(run->builder, &row), NULL);
}

static void send_added(struct midnight *run)
{
    buf_reset(&run->body);
    check(wire_builder_finish(run->builder, run->epoch, ++run->seq, &run->body), NULL);
    while (!producer_send(&run->producer, run->body.data, run->body.length)) {
        producer_wait(&run->producer, -1);
        producer_receive(&run->producer);
    }
}

/* Two days of every measure at every org. */
static void fill(struct midnight *run)
{
    for (int64_t day = 0; day < 2; day++)
        for (uint32_t i = 0; i < ORGS * MEASURES; i++) {
            add(run, i / MEASURES, i % MEASURES, run->start_ms + day * DAY_MS + i);
            if (i % FILL_ROWS == FILL_ROWS - 1)
                send_added(run);
        }
    send_added(run);
    while (run->producer.acked < run->seq) {
        producer_wait(&run->producer, -1);
        producer_receive(&run->producer);
    }
}

static void send_evenly(struct midnight *run, uint64_t count, uint32_t rate)
{
    struct itimerspec every = {.it_interval = {.tv_nsec = 1000000000L / rate},
                               .it_value = {.tv_nsec = 1000000000L / rate}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) != 0)
        die("no timer");
    uint64_t first = run->seq, due = 0, acked = 0;
    while (acked < count) {
        uint64_t ticks = 0;
        producer_wait(&run->producer, due < count ? timer : -1);
        if (due < count && read(timer, &ticks, sizeof ticks) == sizeof ticks)
            for (; ticks > 0 && due < count; ticks--)
                run->due_ns[due++] = now_ns();
        producer_receive(&run->producer);
        for (int64_t now = now_ns(); acked < run->producer.acked - first; acked++)
            run->ack_us[acked] = (double)(now - run->due_ns[acked]) / 1e3;
        while (run->seq - first < due && run->producer.sent - run->producer.acked < run->producer.credit) {
            uint64_t at = run->seq - first;
            bool next_day = at >= count / 2;
            add(run, (uint32_t)(at * 7 % ORGS), (uint32_t)(at % MEASURES),
                run->start_ms + (next_day ? 2 : 1) * DAY_MS + DAY_MS / 2 + (int64_t)at);
            send_added(run);
        }
    }
    close(timer);
}

void run_midnight(const struct options *options)
{
    uint64_t count = (uint64_t)options->rate * options->seconds;
    struct midnight run = {.builder = wire_builder_open(),
                           .epoch = (uint64_t)now_ns() | 1,
                           .start_ms = (wall_ms() / DAY_MS - 10) * DAY_MS,
                           .due_ns = calloc(count, sizeof *run.due_ns),
                           .ack_us = calloc(count, sizeof *run.ack_us)};
    if (!run.builder || !run.due_ns || !run.ack_us)
        die("out of memory");
    producer_open(&run.producer, options->ingest, run.epoch);
    fill(&run);
    send_evenly(&run, count, options->rate);
    if (run.producer.refused)
        die("%llu measurements were refused", (unsigned long long)run.producer.refused);
    figure("nodes", ask_stats(options->query, "poise_nodes"));
    figure_quantiles("before_us", run.ack_us, count / 2);
    figure_quantiles("behind_us", run.ack_us + count / 2, count - count / 2);
    producer_close(&run.producer);
    wire_builder_close(run.builder);
    buf_free(&run.body);
    free(run.due_ns);
    free(run.ack_us);
}
