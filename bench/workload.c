/* Workload W: interleaved samples of some 10,000 series, 10 s apart. */
#include "bench.h"
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

struct making {
    struct workload *workload;
    struct wire_builder *builder;
    struct series_name *names;
};

static void add_row(void *context, const struct row *row)
{
    struct making *making = context;
    const struct series_name *name = &making->names[row->series];
    char key[32];
    snprintf(key, sizeof key, "k%07u%05u", row->series, row->tick);
    poise_measurement measurement = {.measure = name->measure,
                                     .org = name->org,
                                     .source = name->source,
                                     .key = row->keyed ? key : NULL,
                                     .time_ms = making->workload->start_ms + (int64_t)row->tick * TICK_MS,
                                     .value = row->value,
                                     .of = 1};
    add(making->workload, making->builder, &measurement);
}

void workload_make(struct workload *workload, const struct options *options)
{
    uint32_t series = options->lines * MEASURES;
    struct making making = {
        .workload = workload, .builder = wire_builder_open(), .names = calloc(series, sizeof *making.names)};
    uint64_t rows = rows_count(options->lines, options->samples, options->variant);
    *workload = (struct workload){
        .start_ms = options->start_ms ? options->start_ms : wall_ms() - (int64_t)options->samples * TICK_MS};
    workload->ends = calloc(rows / options->rows * 2 + 2, sizeof(size_t));
    if (!workload->ends || !making.builder || !making.names ||
        getrandom(&workload->epoch, sizeof workload->epoch, 0) < 0)
        die("out of memory");
    wire_builder_limits(making.builder, options->rows, WIRE_MESSAGE_MAX);
    /* Neighbours in a batch are the measures of a line, then the lines of a plant, as a plant's collector
     * sends them. */
    for (uint32_t i = 0; i < series; i++)
        series_name(i / MEASURES, i % MEASURES, options->one_measure, &making.names[i]);
    rows_each(options->lines, options->samples, options->variant, add_row, &making);
    if (wire_builder_rows(making.builder) > 0)
        finish(workload, making.builder);
    wire_builder_close(making.builder);
    free(making.names);
}

void workload_free(struct workload *workload)
{
    buf_free(&workload->bodies);
    free(workload->ends);
}
