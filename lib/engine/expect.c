/* What a row needs from memory depends on what comes first: the series names the cells, their blocks say
 * where those are. Each step is taken some rows after the one before, so that none waits. */
#include "internal.h"

enum { CACHE_LINE = 64, FETCHED_CELLS = 3 /* numbers of them, with the series */ };

/* Always inline: gcc takes a function that only fetches for one without effect, and drops its calls. */
__attribute__((always_inline)) static inline void fetch(const void *bytes, size_t size)
{
    const char *end = (const char *)bytes + size, *at = (const char *)bytes - (uintptr_t)bytes % CACHE_LINE;
    for (; at < end; at += CACHE_LINE) {
        __builtin_prefetch(at, 1);
    }
}

/* How many cells of a series are known that the row will change; those of one that gains are not. */
static uint32_t known_cells(const struct engine *engine, const struct engine_series *series)
{
    if (series && series->gaining) {
        size_t size;
        const void *gains = gains_of(engine, series, &size);
        fetch(gains, size);
        return 0;
    }
    bool known = series && series->generation == engine->generation && series->cells[0] != CELL_NONE;
    return known ? (uint32_t)cells_of(engine, input_of(engine, series), series->org) : 0;
}

static struct expected_row *earlier(struct expected *expected, uint32_t rows)
{
    return &expected->rows[(expected->count - rows) % EXPECTED_MAX];
}

void engine_expect(struct engine *engine, struct engine_series *series)
{
    struct expected *expected = &engine->expected;
    const struct cells *cells = &engine->cells;
    *earlier(expected, 0) = (struct expected_row){.series = series};
    if (series) {
        fetch(series, sizeof *series + FETCHED_CELLS * sizeof series->cells[0]);
    }
    struct expected_row *row = earlier(expected, EXPECT_STEP);
    row->cells = known_cells(engine, row->series);
    for (uint32_t n = 0; n < row->cells; n++) {
        fetch(block_of(cells, row->series->cells[n]), sizeof(struct block));
    }
    row = earlier(expected, 2 * EXPECT_STEP);
    row->cells = row->series && row->series->gaining ? 0 : row->cells; /* it began meanwhile */
    for (uint32_t n = 0; n < row->cells; n++) {
        uint32_t cell = row->series->cells[n];
        fetch(cell_body(cells, cell), block_of(cells, cell)->size);
    }
    expected->count++;
}
