#include "score.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one measurement, applied and settled ---- */

/* Rows of the same line, a measure after the other. */
struct rows {
    struct world world;
    struct engine_series *series[MEASURES];
    int64_t last[MEASURES], time_ms;
    struct random random;
    uint32_t count, next;
};

static void rows_open(struct rows *rows, const char *input)
{
    *rows =
        (struct rows){.time_ms = NEW_YEAR_MS + 180 * DAY_MS, .random = {1}, .count = input ? 1 : MEASURES};
    world_open(&rows->world, "year", input);
    for (uint32_t i = 0; i < rows->count; i++) {
        char own[16];
        snprintf(own, sizeof own, "m%u", i);
        rows->series[i] = world_series(&rows->world, input ? input : own, 0);
    }
    world_begin(&rows->world, rows->time_ms);
}

static void apply_next(struct rows *rows, int64_t time_ms)
{
    uint32_t at = rows->next++ % rows->count;
    double value = next_value(&rows->random, at, &rows->last[at]);
    world_apply(&rows->world, rows->series[at], time_ms, value);
}

/* Prints what each of so many takes on average; T moves with each. */
static void time_rows(struct rows *rows, uint32_t count, const char *name)
{
    char text[64];
    uint64_t changes = 0;
    int64_t start = cpu_ns(0);
    for (uint32_t i = 0; i < count; i++) {
        apply_next(rows, rows->time_ms);
        world_begin(&rows->world, ++rows->time_ms);
        changes += world_settle(&rows->world, SIZE_MAX);
    }
    double ns = (double)(cpu_ns(0) - start) / count;
    snprintf(text, sizeof text, "%s_us", name);
    figure(text, ns / 1000);
    snprintf(text, sizeof text, "%s_changes", name);
    figure(text, (double)changes / count);
}

/* Some that were applied before, over the half year before now. */
static void age(struct rows *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        apply_next(rows, rows->time_ms - 180 * DAY_MS + random_between(&rows->random, 0, 180 * DAY_MS));
    world_settle(&rows->world, SIZE_MAX);
}

void run_apply(void)
{
    struct rows rows;
    rows_open(&rows, NULL);
    age(&rows, 10000);
    time_rows(&rows, 200000, "apply_10k");
    age(&rows, 800000);
    time_rows(&rows, 200000, "apply_1m");
    world_close(&rows.world);

    rows_open(&rows, "all");
    age(&rows, 10000);
    time_rows(&rows, 20000, "apply_all");
    world_close(&rows.world);
}

/* ---- many series ---- */

enum { SERIES_LINES = 20834, SERIES = SERIES_LINES * MEASURES, OPEN_DAYS = 4 };

static struct engine_series **make_series(struct world *world)
{
    struct engine_series **series = malloc(SERIES * sizeof(struct engine_series *));
    if (!series)
        die("out of memory");
    for (uint32_t i = 0; i < SERIES; i++) {
        char own[16];
        snprintf(own, sizeof own, "m%u", i % MEASURES);
        series[i] = world_series(world, own, i / MEASURES);
    }
    return series;
}

static void shuffle(struct engine_series **series, struct random *random)
{
    for (uint32_t i = SERIES - 1; i > 0; i--) {
        uint32_t other = (uint32_t)random_between(random, 0, i);
        struct engine_series *moved = series[i];
        series[i] = series[other];
        series[other] = moved;
    }
}

/* Prints what a measurement of each series takes on average: of the last day, or of any open one. */
static void time_all(struct world *world, struct engine_series **series, struct random *random,
                     int64_t first_day_ms, bool any_day, const char *name)
{
    shuffle(series, random);
    int64_t start = cpu_ns(0);
    for (uint32_t i = 0; i < SERIES; i++) {
        engine_expect(world->engine,
                      i + ENGINE_EXPECT_AHEAD < SERIES ? series[i + ENGINE_EXPECT_AHEAD] : NULL);
        int64_t day = any_day ? random_between(random, 0, OPEN_DAYS - 1) : OPEN_DAYS - 1;
        world_apply(world, series[i], first_day_ms + day * DAY_MS + i % 1000,
                    (double)random_between(random, 0, 10000) / 100);
    }
    figure(name, (double)(cpu_ns(0) - start) / SERIES);
}

static double resident_bytes(const char *which)
{
    char line[128];
    double kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, which, strlen(which)) == 0)
            kilobytes = strtod(line + strlen(which), NULL);
    if (!file || fclose(file) != 0 || kilobytes <= 0)
        die("/proc/self/status cannot be read");
    return kilobytes * 1024;
}

void run_series(void)
{
    struct world world;
    struct random random = {1};
    int64_t first_day_ms = NEW_YEAR_MS + 10 * DAY_MS;
    world_open(&world, "day", NULL);
    world_begin(&world, first_day_ms + DAY_MS);
    double before = resident_bytes("VmRSS:");
    struct engine_series **series = make_series(&world);
    for (int64_t day = 0; day < OPEN_DAYS; day++) {
        world_begin(&world, first_day_ms + (day + 1) * DAY_MS);
        shuffle(series, &random);
        int64_t start = cpu_ns(0);
        for (uint32_t i = 0; i < SERIES; i++)
            world_apply(&world, series[i], first_day_ms + day * DAY_MS + i % 1000, i % 100);
        if (day == OPEN_DAYS - 1)
            figure("series_new_day_ns", (double)(cpu_ns(0) - start) / SERIES);
        world_settle(&world, SIZE_MAX);
    }
    world_checkpoint(&world);
    double own = SERIES * sizeof(struct engine_series *);
    figure("series_resident_bytes", (resident_bytes("VmRSS:") - before - own) / SERIES);
    figure("series_peak_bytes", (resident_bytes("VmHWM:") - before - own) / SERIES);
    time_all(&world, series, &random, first_day_ms, false, "series_last_day_ns");
    world_settle(&world, SIZE_MAX);
    time_all(&world, series, &random, first_day_ms, true, "series_any_day_ns");
    free(series);
    world_close(&world);
}

/* ---- workload W ---- */

enum { LINES = 208, WORKLOAD_SERIES = LINES * MEASURES };

struct workload {
    struct world world;
    struct engine_series *series[WORKLOAD_SERIES];
    int64_t last[WORKLOAD_SERIES];
    double values[WORKLOAD_SERIES]; /* of the tick at hand */
    struct random random;
};

static struct workload *workload_open(void)
{
    struct workload *w = calloc(1, sizeof *w);
    if (!w)
        die("out of memory");
    w->random = (struct random){1};
    world_open(&w->world, "year", NULL);
    world_begin(&w->world, NEW_YEAR_MS + DAY_MS);
    for (uint32_t i = 0; i < WORKLOAD_SERIES; i++) {
        char own[16];
        snprintf(own, sizeof own, "m%u", i % MEASURES);
        w->series[i] = world_series(&w->world, own, i / MEASURES);
    }
    return w;
}

/* A row of each series; returns how long that took. */
static int64_t apply_tick(struct workload *w, uint32_t tick)
{
    for (uint32_t i = 0; i < WORKLOAD_SERIES; i++)
        w->values[i] = next_value(&w->random, i + i / MEASURES, &w->last[i]);
    int64_t start = cpu_ns(0);
    for (uint32_t i = 0; i < WORKLOAD_SERIES; i++) {
        engine_expect(w->world.engine, w->series[(i + ENGINE_EXPECT_AHEAD) % WORKLOAD_SERIES]);
        world_apply(&w->world, w->series[i], NEW_YEAR_MS + tick * INT64_C(10000), w->values[i]);
    }
    return cpu_ns(0) - start;
}

/* Its rows in their order, settled every so many ticks, as the aggregator does at some rate. */
static void time_workload(uint32_t ticks, uint32_t settle_every, const char *name)
{
    struct workload *w = workload_open();
    int64_t apply_ns = 0, settle_ns = 0;
    char settled[64];
    for (uint32_t tick = 1; tick <= ticks; tick++) {
        apply_ns += apply_tick(w, tick);
        int64_t start = cpu_ns(0);
        if (tick % settle_every == 0)
            world_settle(&w->world, SIZE_MAX);
        settle_ns += cpu_ns(0) - start;
    }
    snprintf(settled, sizeof settled, "%s_settled", name);
    figure(name, (double)apply_ns / ticks / WORKLOAD_SERIES);
    figure(settled, (double)(apply_ns + settle_ns) / ticks / WORKLOAD_SERIES);
    world_close(&w->world);
    free(w);
}

void run_workload(void)
{
    time_workload(200, 1, "workload_often_ns");
    time_workload(600, 30, "workload_ns");
}

/* ---- the end of a period at many nodes ---- */

enum {
    MIDNIGHT_LINES = 1464, /* and 74 plants and the root: 1,539 orgs of 65 nodes, 100,035 in all */
    SLICE = 16384          /* of the aggregator's writer */
};

void run_midnight(void)
{
    struct world world;
    struct random random = {1};
    int64_t last[3] = {0}, midnight_ms = NEW_YEAR_MS + 10 * DAY_MS;
    world_open(&world, "day", NULL);
    world_begin(&world, midnight_ms - 2 * DAY_MS);
    for (uint32_t i = 0; i < 2 * MIDNIGHT_LINES * MEASURES; i++) {
        char own[16];
        snprintf(own, sizeof own, "m%u", i % MEASURES);
        int64_t day = i / (MIDNIGHT_LINES * MEASURES);
        if (i % (MIDNIGHT_LINES * MEASURES) == 0)
            world_begin(&world, midnight_ms - (1 - day) * DAY_MS);
        world_apply(&world, world_series(&world, own, i / MEASURES % MIDNIGHT_LINES),
                    midnight_ms - (2 - day) * DAY_MS + i % 1000, next_value(&random, i % 3, &last[i % 3]));
        if (i % 100000 == 0)
            world_settle(&world, SIZE_MAX);
    }
    world_settle(&world, SIZE_MAX);
    world_checkpoint(&world);

    int64_t start = cpu_ns(0), at = start, longest = 0, total;
    uint64_t changes = 0;
    size_t slices = 0;
    world_begin(&world, midnight_ms + 1);
    do { /* time alone moves nothing at midnight; the first slice has the marks of all */
        changes += world_settle(&world, SLICE);
        int64_t now = cpu_ns(0);
        longest = now - at > longest ? now - at : longest;
        at = now;
        slices++;
    } while (engine_dirty(world.engine));
    total = at - start;
    figure("midnight_changes", (double)changes);
    figure("midnight_slices", (double)slices);
    figure("midnight_slice_ms", (double)longest / 1e6);
    figure("midnight_total_ms", (double)total / 1e6);
    world_close(&world);
}

/* ---- rows for poise eval ---- */

void print_rows(uint32_t samples)
{
    struct random random = {1};
    static int64_t last[LINES * MEASURES];
    puts("time,measure,org,value,of");
    for (uint32_t tick = 0; tick < samples; tick++) {
        uint32_t second = 10 * tick;
        char time[48];
        snprintf(time, sizeof time, "2026-01-%02uT%02u:%02u:%02uZ", 1 + second / 86400, second / 3600 % 24,
                 second / 60 % 60, second % 60);
        for (uint32_t i = 0; i < LINES * MEASURES; i++)
            printf("%s,m%u,plant-%u/line-%u,%.17g,1\n", time, i % MEASURES, i / MEASURES / LINES_OF_PLANT,
                   i / MEASURES % LINES_OF_PLANT, next_value(&random, i + i / MEASURES, &last[i]));
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "apply") == 0)
        run_apply();
    else if (strcmp(what, "series") == 0)
        run_series();
    else if (strcmp(what, "workload") == 0)
        run_workload();
    else if (strcmp(what, "midnight") == 0)
        run_midnight();
    else if (strcmp(what, "card") == 0)
        print_card();
    else if (strcmp(what, "rows") == 0 && argc == 3)
        print_rows((uint32_t)strtoul(argv[2], NULL, 10));
    else
        die("say apply, series, workload, midnight, card, or rows and how many of a series");
    return fflush(stdout) == 0 ? 0 : 1;
}
