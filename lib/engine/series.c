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

static struct cell **cells_of(struct engine_series *series)
{
    return (struct cell **)(series->periods + series->input->feed_count);
}

static struct engine_series *make_series(struct engine *engine, const struct series_id *id,
                                         struct input *input)
{
    size_t cells = 0;
    for (const struct feed *feed = input->feeds; feed; feed = feed->next) {
        cells += levels(engine, feed, id->org);
    }
    struct engine_series *series =
        calloc(1, sizeof *series + input->feed_count * sizeof(struct period) + cells * sizeof(struct cell *));
    if (series) {
        series->input = input;
        series->org = id->org;
        series->source = id->source;
        series->generation = engine->generation;
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

/* Looks up the cells of a feed for a time, from the series' org upwards. */
static poise_code find_cells(struct engine *engine, struct engine_series *series, struct feed *feed,
                             int64_t time_ms, struct period *period, struct cell **cells, poise_error *err)
{
    struct period found = feed_tile(feed, time_ms);
    size_t count = levels(engine, feed, series->org);
    uint32_t org = series->org;
    for (size_t i = 0; i < count; i++) {
        poise_code code = cell_find(engine, feed, org, found.start_ms, CELL_MADE, &cells[i], err);
        if (code != POISE_OK) {
            return code;
        }
        org = engine->org_table[org].parent;
    }
    *period = found;
    return POISE_OK;
}

static poise_code add_to_cell(struct engine *engine, struct cell *cell, const struct sample *sample,
                              poise_error *err)
{
    bool ok = accumulator_add(&cell->feed->layout, cell_body(cell), sample) && cell_touch(engine, cell);
    return ok ? POISE_OK : error_nomem(err, "a cell");
}

static poise_code take_from_cell(struct engine *engine, struct cell *cell, const struct sample *sample,
                                 poise_error *err)
{
    bool reread = false;
    bool ok =
        accumulator_remove(&cell->feed->layout, cell_body(cell), sample, &reread) && cell_touch(engine, cell);
    if (ok && reread && !(cell->flags & CELL_REREAD)) {
        cell->flags |= CELL_REREAD;
        ok = list_push(&engine->reread, cell);
    }
    return ok ? POISE_OK : error_nomem(err, "a cell");
}

typedef poise_code cell_change(struct engine *engine, struct cell *cell, const struct sample *sample,
                               poise_error *err);

static inline poise_code change_cells(struct engine *engine, struct engine_series *series,
                                      const struct sample *sample, cell_change *change, poise_error *err)
{
    if (series->generation != engine->generation) {
        memset(series->periods, 0, series->input->feed_count * sizeof *series->periods);
        series->generation = engine->generation;
    }
    struct period *period = series->periods;
    struct cell **cells = cells_of(series);
    for (struct feed *feed = series->input->feeds; feed; feed = feed->next, period++) {
        poise_code code = POISE_OK;
        if (sample->time_ms < period->start_ms || sample->time_ms >= period->end_ms) {
            code = find_cells(engine, series, feed, sample->time_ms, period, cells, err);
        }
        if (period->start_ms < engine->closed_ms && feed->leaves && code == POISE_OK) {
            code = past_keep(engine, feed, series->org, *period, err);
        }
        for (size_t left = levels(engine, feed, series->org); left > 0 && code == POISE_OK; left--) {
            code = change(engine, *cells++, sample, err);
        }
        if (code != POISE_OK) {
            return code;
        }
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
