#include "internal.h"
#include <base/error.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <string.h>

struct series_id {
    const struct input *input;
    uint32_t org, source;
};

static uint64_t hash_of(const struct series_id *id)
{
    return hash_mix((uint64_t)id->org << 32 | id->source, id->input->id);
}

static bool is_series(const void *entry, const void *key)
{
    const struct engine_series *series = entry;
    const struct series_id *id = key;
    return series->input == id->input && series->org == id->org && series->source == id->source;
}

/* How many orgs see a measurement of the org through the feed. */
static size_t levels(const struct engine *engine, const struct feed *feed, uint32_t org)
{
    return feed->subtree ? engine->org_table[org].depth + 1 : 1;
}

static struct engine_series *make_series(struct engine *engine, const struct series_id *id,
                                         struct input *input)
{
    size_t cells = 0;
    for (const struct feed *feed = input->feeds; feed; feed = feed->next) {
        cells += levels(engine, feed, id->org);
    }
    struct engine_series *series = calloc(1, sizeof *series + cells * sizeof series->cells[0]);
    if (series) {
        series->input = input;
        series->org = id->org;
        series->source = id->source;
        series->generation = engine->generation;
        series->cell_count = (uint32_t)cells;
        if (!hmap_add(&engine->series, hash_of(id), series)) {
            free(series);
            return NULL;
        }
    }
    return series;
}

struct engine_series *series_of(struct engine *engine, struct input *input, uint32_t org, uint32_t source)
{
    struct series_id id = {.input = input, .org = org, .source = source};
    struct engine_series *series = hmap_get(&engine->series, hash_of(&id), is_series, &id);
    return series ? series : make_series(engine, &id, input);
}

static struct engine_series *known_series(const struct engine *engine, const char *measure, const char *org,
                                          const char *source)
{
    struct series_id id = {.input = definition_input(engine, measure, strlen(measure)),
                           .org = intern_find(&engine->orgs, org, strlen(org)),
                           .source = intern_find(&engine->sources, source, strlen(source))};
    if (!id.input || id.org == INTERN_NONE || id.source == INTERN_NONE) {
        return NULL;
    }
    return hmap_get(&engine->series, hash_of(&id), is_series, &id);
}

static poise_refusal check_new(const struct engine *engine, const char *measure, const char *org,
                               const char *source)
{
    poise_refusal refusal = measurement_check_names(measure, org, source);
    if (refusal != POISE_REFUSAL_NONE) {
        return refusal;
    }
    if (!definition_input(engine, measure, strlen(measure))) {
        return POISE_REFUSAL_UNKNOWN_MEASURE;
    }
    size_t missing = org_missing(engine, org);
    size_t max_orgs = engine->options.max_orgs, max_series = engine->options.max_series;
    if (max_orgs > 0 && missing > 0 && engine->orgs.count + missing > max_orgs) {
        return POISE_REFUSAL_TOO_MANY_ORGS;
    }
    return max_series > 0 && engine->series.count >= max_series ? POISE_REFUSAL_TOO_MANY_SERIES
                                                                : POISE_REFUSAL_NONE;
}

poise_code engine_series(struct engine *engine, const char *measure, const char *org, const char *source,
                         struct engine_series **ret_series, poise_refusal *ret_refusal, poise_error *err)
{
    org = org ? org : "";
    source = source ? source : "";
    *ret_refusal = POISE_REFUSAL_NONE;
    *ret_series = known_series(engine, measure, org, source);
    if (*ret_series) {
        return POISE_OK;
    }
    *ret_refusal = check_new(engine, measure, org, source);
    if (*ret_refusal != POISE_REFUSAL_NONE) {
        return POISE_OK;
    }
    uint32_t org_id = org_add(engine, org, strlen(org));
    uint32_t source_id = intern_add(&engine->sources, source, strlen(source));
    if (org_id != INTERN_NONE && source_id != INTERN_NONE) {
        struct input *input = definition_input(engine, measure, strlen(measure));
        *ret_series = series_of(engine, input, org_id, source_id);
    }
    return *ret_series ? POISE_OK : error_nomem(err, "a series");
}

uint32_t engine_series_source(const struct engine_series *series)
{
    return series->source;
}

const char *engine_source(const struct engine *engine, size_t number)
{
    return number < engine->sources.count ? intern_text(&engine->sources, (uint32_t)number) : NULL;
}

/* ---- fetching ahead ---- */

enum { CACHE_LINE = 64, FETCHED_CELLS = 4 /* of a series, at first */ };

/* Always inline: gcc takes a function that only fetches for one without effect, and drops its calls. */
__attribute__((always_inline)) static inline void fetch(const void *bytes, size_t size)
{
    for (size_t at = 0; at < size; at += CACHE_LINE) {
        __builtin_prefetch((const char *)bytes + at, 1);
    }
    __builtin_prefetch((const char *)bytes + size - 1, 1);
}

/* How many cells of a series are known. */
static uint32_t known_cells(const struct engine *engine, const struct engine_series *series)
{
    bool known = series && series->generation == engine->generation && series->cells[0] != CELL_NONE;
    return known ? series->cell_count : 0;
}

/* Each pass asks for what the next one reads, so that none waits for memory piece by piece. */
void engine_expect(const struct engine *engine, struct engine_series *const *series, size_t count)
{
    const struct cells *cells = &engine->cells;
    for (size_t i = 0; i < count; i++) {
        if (series[i]) {
            fetch(series[i], sizeof *series[i] + FETCHED_CELLS * sizeof series[i]->cells[0]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (uint32_t n = known_cells(engine, series[i]); n-- > 0;) {
            fetch(block_of(cells, series[i]->cells[n]), sizeof(struct block));
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (uint32_t n = known_cells(engine, series[i]); n-- > 0;) {
            fetch(cell_body(cells, series[i]->cells[n]), block_of(cells, series[i]->cells[n])->size);
        }
    }
}

/* ---- counting ---- */

/* Looks up the cells of a feed for a period, from the series' org upwards. */
static poise_code find_cells(struct engine *engine, const struct engine_series *series, struct feed *feed,
                             int64_t start_ms, uint32_t *cells, size_t count, poise_error *err)
{
    uint32_t org = series->org;
    for (size_t i = 0; i < count; i++) {
        poise_code code = cell_find(engine, feed, org, start_ms, CELL_MADE, &cells[i], err);
        if (code != POISE_OK) {
            return code;
        }
        org = engine->org_table[org].parent;
    }
    return POISE_OK;
}

static poise_code add_to_cell(struct engine *engine, const struct feed *feed, uint32_t cell,
                              const struct sample *sample, poise_error *err)
{
    bool ok =
        accumulator_add(&feed->layout, cell_body(&engine->cells, cell), sample) && cell_touch(engine, cell);
    return ok ? POISE_OK : error_nomem(err, "a cell");
}

static poise_code take_from_cell(struct engine *engine, const struct feed *feed, uint32_t cell,
                                 const struct sample *sample, poise_error *err)
{
    bool reread = false;
    bool ok = accumulator_remove(&feed->layout, cell_body(&engine->cells, cell), sample, &reread) &&
              cell_touch(engine, cell);
    struct block *block = block_of(&engine->cells, cell);
    if (ok && reread && !(block->reread & bit_in_block(cell))) {
        block->reread |= bit_in_block(cell);
        ok = numbers_push(&engine->reread, cell);
    }
    return ok ? POISE_OK : error_nomem(err, "a cell");
}

typedef poise_code cell_change(struct engine *engine, const struct feed *feed, uint32_t cell,
                               const struct sample *sample, poise_error *err);

/* Whether the cells that were looked up last are of the period. */
static bool are_of(const struct engine *engine, const uint32_t *cells, int64_t start_ms)
{
    return cells[0] != CELL_NONE && block_of(&engine->cells, cells[0])->start_ms == start_ms;
}

static void forget_cells(const struct engine *engine, struct engine_series *series)
{
    memset(series->cells, 0, series->cell_count * sizeof series->cells[0]);
    series->generation = engine->generation;
}

static inline poise_code change_cells(struct engine *engine, struct engine_series *series,
                                      const struct sample *sample, cell_change *change, poise_error *err)
{
    if (series->generation != engine->generation) {
        forget_cells(engine, series);
    }
    uint32_t *cells = series->cells;
    for (struct feed *feed = series->input->feeds; feed; feed = feed->next) {
        struct period tile = feed_tile(feed, sample->time_ms);
        size_t count = levels(engine, feed, series->org);
        poise_code code = POISE_OK;
        if (!are_of(engine, cells, tile.start_ms)) {
            code = find_cells(engine, series, feed, tile.start_ms, cells, count, err);
        }
        if (tile.start_ms < engine->closed_ms && feed->leaves && code == POISE_OK) {
            code = past_keep(engine, feed, series->org, tile, err);
        }
        for (size_t i = 0; i < count && code == POISE_OK; i++) {
            code = change(engine, feed, cells[i], sample, err);
        }
        if (code != POISE_OK) {
            return code;
        }
        cells += count;
    }
    return POISE_OK;
}

poise_code series_count(struct engine *engine, struct engine_series *series, const struct sample *sample,
                        poise_error *err)
{
    return change_cells(engine, series, sample, add_to_cell, err);
}

poise_code series_uncount(struct engine *engine, struct engine_series *series, const struct sample *sample,
                          poise_error *err)
{
    return change_cells(engine, series, sample, take_from_cell, err);
}
