/* What a row needs from memory depends on what comes first: the series names the cells, their blocks say
 * where those are. Each step is taken some rows after the one before, so that none waits. */
#include "internal.h"

enum { CACHE_LINE = 64, FETCHED_CELLS = 3 /* numbers of them, with the series */ };

/* Always inline: gcc takes a function that only fetches for one without effect, and drops its calls. */
__attribute__((always_inline)) static inline void fetch(const void *bytes, size_t size)
{
    for (size_t at = 0; at < size; at += CACHE_LINE) {
        __builtin_prefetch((const char *)bytes + at, 1);
    }
    __builtin_prefetch((const char *)bytes + size - 1, 1);
}

/* How many cells of a series are known. */
static size_t known_cells(const struct engine *engine, const struct engine_series *series)
{
    bool known = series && series->generation == engine->generation && series->cells[0] != CELL_NONE;
    return known ? cells_of(engine, input_of(engine, series), series->org) : 0;
}

static struct engine_series *earlier(const struct expected *expected, uint32_t rows)
{
    return expected->series[(expected->count - rows) % EXPECTED_MAX];
}

void engine_expect(struct engine *engine, struct engine_series *series)
{
    struct expected *expected = &engine->expected;
    const struct cells *cells = &engine->cells;
    expected->series[expected->count % EXPECTED_MAX] = series;
    if (series) {
        fetch(series, sizeof *series + FETCHED_CELLS * sizeof series->cells[0]);
    }
    const struct engine_series *fetched = earlier(expected, EXPECT_STEP);
    for (size_t n = known_cells(engine, fetched); n-- > 0;) {
        fetch(block_of(cells, fetched->cells[n]), sizeof(struct block));
    }
    fetched = earlier(expected, 2 * EXPECT_STEP);
    for (size_t n = known_cells(engine, fetched); n-- > 0;) {
        fetch(cell_body(cells, fetched->cells[n]), block_of(cells, fetched->cells[n])->size);
    }
    expected->count++;
}
