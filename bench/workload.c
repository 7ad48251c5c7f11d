/* Workload W: interleaved samples of some 10,000 series, 10 s apart. */
#include "bench.h"
#include "values.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void series_name(uint32_t line, uint32_t measure, bool one_measure, struct series_name *ret_name)
{
    snprintf(ret_name->org, sizeof ret_name->org, "plant-%u/line-%u", line % PLANTS, line / PLANTS);
    snprintf(ret_name->measure, sizeof ret_name->measure, "m%u", one_measure ? 0 : measure);
    ret_name->source[0] = '\0';
    if (one_measure)
        snprintf(ret_name->source, sizeof ret_name->source, "s%u", measure);
}

static void finish(struct workload *workload, struct wire_builder *builder)
{
    if (wire_builder_finish(builder, workload->epoch, workload->count + 1, &workload->bodies) != POISE_OK)
        die("out of memory");
    workload->ends[workload->count++] = workload->bodies.length;
}

static void add(struct workload *workload, struct wire_builder *builder, const poise_measurement *row)
{
    poise_code code = wire_builder_add(builder, row);
    if (code == POISE_EFULL) {
        finish(workload, builder);
        code = wire_builder_add(builder, row);
    }
    if (code)
        die("a measurement of the workload was refused: %s", poise_code_text(code));
    workload->samples++;
}

void workload_make(struct workload *workload, const struct options *options)
{
    uint32_t series = options->lines * MEASURES;
    struct random random = {1};
    struct series_name *names = calloc(series, sizeof *names);
    int64_t *last = calloc(series, sizeof *last);
    struct wire_builder *builder = wire_builder_open();
    *workload = (struct workload){.start_ms = wall_ms() - (int64_t)options->samples * TICK_MS};
    workload->ends = calloc((size_t)series * options->samples / options->rows * 2 + 2, sizeof(size_t));
    if (!names || !last || !workload->ends || !builder ||
        getrandom(&workload->epoch, sizeof workload->epoch, 0) < 0)
        die("out of memory");
    wire_builder_limits(builder, options->rows, WIRE_MESSAGE_MAX);
    /* Neighbours in a batch are the measures of a line, then the lines of a plant, as a plant's collector
     * sends them. */
    for (uint32_t i = 0; i < series; i++)
        series_name(i / MEASURES, i % MEASURES, options->one_measure, &names[i]);
    for (uint32_t tick = 0; tick < options->samples; tick++)
        for (uint32_t i = 0; i < series; i++) {
            poise_measurement row = {.measure = names[i].measure,
                                     .org = names[i].org,
                                     .source = names[i].source,
                                     .time_ms = workload->start_ms + (int64_t)tick * TICK_MS,
                                     .value = next_value(&random, i + i / MEASURES, &last[i]),
                                     .of = 1};
            add(workload, builder, &row);
        }
    if (wire_builder_rows(builder) > 0)
        finish(workload, builder);
    wire_builder_close(builder);
    free(names);
    free(last);
}

void workload_free(struct workload *workload)
{
    buf_free(&workload->bodies);
    free(workload->ends);
}
