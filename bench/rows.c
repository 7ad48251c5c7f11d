#include "rows.h"
#include "figures.h"
#include "values.h"
#include <stdlib.h>
#include <string.h>

enum { LATE_TICKS = 3600000 / TICK_MS, CORRECTED_TICKS = 600000 / TICK_MS };

bool rows_variant(const char *name, enum variant *ret_variant)
{
    static const char *const names[] = {"plain", "late", "keyed"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return *ret_variant = (enum variant)i, true;
    return false;
}

struct queue { /* rows that come so many ticks after their own */
    struct row *rows;
    size_t count, taken, room;
    uint32_t ticks;
};

static void queue_put(struct queue *queue, const struct row *row)
{
    if (queue->count == queue->room) {
        queue->room = queue->room ? 2 * queue->room : 1024;
        queue->rows = realloc(queue->rows, queue->room * sizeof *queue->rows);
        if (!queue->rows)
            die("out of memory");
    }
    queue->rows[queue->count++] = *row;
}

/* All that are due behind the tick. */
static void queue_take(struct queue *queue, uint64_t tick, void (*visit)(void *, const struct row *),
                       void *context)
{
    while (queue->taken < queue->count && queue->rows[queue->taken].tick + (uint64_t)queue->ticks <= tick)
        visit(context, &queue->rows[queue->taken++]);
}

static uint32_t percent_of(uint32_t series, uint32_t tick)
{
    struct random random = {(uint64_t)series << 32 | tick};
    return (uint32_t)(random_next(&random) % 100);
}

static bool is_late(enum variant variant, uint32_t percent)
{
    return variant == VARIANT_LATE && percent == 99;
}

static bool is_corrected(enum variant variant, uint32_t percent)
{
    return (variant == VARIANT_LATE && percent == 0) || (variant == VARIANT_KEYED && percent < 10);
}

static bool is_keyed(enum variant variant, uint32_t percent)
{
    return variant == VARIANT_KEYED || is_corrected(variant, percent);
}

void rows_each(uint32_t lines, uint32_t ticks, enum variant variant,
               void (*visit)(void *context, const struct row *row), void *context)
{
    struct random random = {1};
    struct queue late = {.ticks = LATE_TICKS}, corrections = {.ticks = CORRECTED_TICKS};
    uint32_t series = lines * MEASURES;
    int64_t *last = calloc(series, sizeof *last);
    if (!last)
        die("out of memory");
    for (uint32_t tick = 0; tick < ticks; tick++) {
        for (uint32_t i = 0; i < series; i++) {
            uint32_t percent = variant == VARIANT_PLAIN ? 0 : percent_of(i, tick);
            struct row row = {.series = i,
                              .tick = tick,
                              .value = next_value(&random, i + i / MEASURES, &last[i]),
                              .keyed = is_keyed(variant, percent),
                              .late = is_late(variant, percent)};
            if (row.late)
                queue_put(&late, &row);
            else
                visit(context, &row);
            if (!is_corrected(variant, percent))
                continue;
            row.value += 1;
            row.corrects = true;
            queue_put(&corrections, &row);
        }
        queue_take(&late, tick, visit, context);
        queue_take(&corrections, tick, visit, context);
    }
    queue_take(&late, UINT64_MAX, visit, context);
    queue_take(&corrections, UINT64_MAX, visit, context);
    free(late.rows);
    free(corrections.rows);
    free(last);
}

uint64_t rows_count(uint32_t lines, uint32_t ticks, enum variant variant)
{
    uint64_t count = 0;
    for (uint32_t tick = 0; tick < ticks; tick++)
        for (uint32_t i = 0; i < lines * MEASURES; i++)
            count += is_corrected(variant, variant == VARIANT_PLAIN ? 50 : percent_of(i, tick)) ? 2 : 1;
    return count;
}
