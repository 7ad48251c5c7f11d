#include "internal.h"
#include <base/error.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <string.h>

enum { LINK_AHEAD = 16 };

static uint32_t *chain_of(const struct series_table *table, uint32_t input, uint32_t org, uint32_t source)
{
    return chain_at(&table->chains, hash_mix((uint64_t)org << 32 | source, input));
}

static bool is_of(const struct engine_series *series, uint32_t input, uint32_t org, uint32_t source)
{
    return series->input == input && series->org == org && series->source == source;
}

/* Its piece; POOL_NONE: it is not there. */
static uint32_t find(const struct series_table *table, uint32_t input, uint32_t org, uint32_t source)
{
    uint32_t at = table->count > 0 ? *chain_of(table, input, org, source) : POOL_NONE;
    while (at != POOL_NONE) {
        const struct engine_series *series = pool_at(&table->pool, at);
        if (is_of(series, input, org, source)) {
            break;
        }
        at = series->next;
    }
    return at;
}

/* Series mostly come in the order of their numbers, in which they came first. */
static uint32_t find_likely(struct series_table *table, uint32_t input, uint32_t org, uint32_t source)
{
    uint32_t at = table->likely;
    if (at == POOL_NONE || !is_of(pool_at(&table->pool, at), input, org, source)) {
        at = find(table, input, org, source);
    }
    if (at != POOL_NONE) {
        const struct engine_series *series = pool_at(&table->pool, at);
        table->likely = series->number == ENGINE_UNNUMBERED ? POOL_NONE : series->next_number;
    }
    return at;
}

static void put_in_chain(struct series_table *table, uint32_t at)
{
    struct engine_series *series = pool_at(&table->pool, at);
    uint32_t *chain = chain_of(table, series->input, series->org, series->source);
    series->next = *chain;
    *chain = at;
}

/* Another chain, where there are too few for so many; false: out of memory. */
static bool add_chain(struct series_table *table, size_t entries)
{
    if (!chains_want(&table->chains, entries)) {
        return true;
    }
    bool parts = table->chains.count > 0;
    if (!chains_add(&table->chains)) {
        return false;
    }
    uint32_t at = POOL_NONE;
    if (parts) {
        uint32_t *parted = chains_parted(&table->chains);
        at = *parted;
        *parted = POOL_NONE;
    }
    for (uint32_t next; at != POOL_NONE; at = next) {
        next = ((struct engine_series *)pool_at(&table->pool, at))->next;
        put_in_chain(table, at);
    }
    return true;
}

void series_free(struct engine *engine)
{
    pool_free(&engine->series.pool);
    free(engine->series.chains.heads);
    free(engine->series.posts.items);
    intern_free(&engine->series.unread);
}

size_t cells_of(const struct engine *engine, const struct input *input, uint32_t org)
{
    size_t cells = 0;
    for (const struct feed *feed = input->feeds; feed; feed = feed->next) {
        cells += levels_of(engine, feed, org);
    }
    return cells;
}

uint32_t series_make(struct engine *engine, uint32_t input, uint32_t org, uint32_t source)
{
    bool is_read = input < engine->input_names.count;
    size_t cells = is_read ? cells_of(engine, &engine->inputs[input], org) : 0;
    uint32_t at = pool_take(&engine->series.pool, sizeof(struct engine_series) + cells * sizeof(uint32_t));
    if (at != POOL_NONE) {
        struct engine_series *series = pool_at(&engine->series.pool, at);
        *series =
            (struct engine_series){.input = input, .org = org, .source = source, .number = ENGINE_UNNUMBERED};
    }
    return at;
}

static void link_series(struct series_table *table, uint32_t at)
{
    put_in_chain(table, at);
    table->count++;
}

bool series_link(struct engine *engine)
{
    struct series_table *table = &engine->series;
    while (chains_want(&table->chains, table->numbered)) {
        if (!add_chain(table, table->numbered)) {
            return false;
        }
    }
    uint32_t at = table->numbered > 0 ? table->posts.items[0] : POOL_NONE, ahead = at;
    for (size_t n = 0; n < table->numbered + LINK_AHEAD; n++) { /* each chain is another miss */
        if (n < table->numbered) {
            const struct engine_series *series = pool_at(&table->pool, ahead);
            __builtin_prefetch(chain_of(table, series->input, series->org, series->source), 1);
            ahead = series->next_number;
        }
        if (n >= LINK_AHEAD) {
            const struct engine_series *series = pool_at(&table->pool, at);
            link_series(table, at);
            at = series->next_number;
        }
    }
    return true;
}

uint32_t series_piece(struct engine *engine, uint32_t input, uint32_t org, uint32_t source)
{
    struct series_table *table = &engine->series;
    uint32_t at = find(table, input, org, source);
    if (at == POOL_NONE && add_chain(table, table->count) && add_chain(table, table->count)) {
        at = series_make(engine, input, org, source);
        if (at != POOL_NONE) {
            link_series(table, at);
        }
    }
    return at;
}

struct engine_series *series_of(struct engine *engine, struct input *input, uint32_t org, uint32_t source)
{
    uint32_t at = series_piece(engine, input->id, org, source);
    return at == POOL_NONE ? NULL : pool_at(&engine->series.pool, at);
}

uint32_t engine_name(const struct engine *engine, enum engine_name kind, const char *text)
{
    const struct intern *const texts[ENGINE_NAMES] = {[ENGINE_MEASURE] = &engine->input_names,
                                                      [ENGINE_ORG] = &engine->orgs,
                                                      [ENGINE_SOURCE] = &engine->sources};
    return intern_find(texts[kind], text, strlen(text));
}

struct engine_series *engine_known_series(struct engine *engine, const uint32_t names[ENGINE_NAMES])
{
    uint32_t at =
        find_likely(&engine->series, names[ENGINE_MEASURE], names[ENGINE_ORG], names[ENGINE_SOURCE]);
    return at == POOL_NONE ? NULL : pool_at(&engine->series.pool, at);
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
    const uint32_t names[ENGINE_NAMES] = {engine_name(engine, ENGINE_MEASURE, measure),
                                          engine_name(engine, ENGINE_ORG, org),
                                          engine_name(engine, ENGINE_SOURCE, source)};
    *ret_series = engine_known_series(engine, names);
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

const char *engine_series_org(const struct engine *engine, const struct engine_series *series)
{
    return intern_text(&engine->orgs, series->org);
}

uint32_t engine_series_source(const struct engine_series *series)
{
    return series->source;
}

const char *engine_source(const struct engine *engine, size_t number)
{
    return number < engine->sources.count ? intern_text(&engine->sources, (uint32_t)number) : NULL;
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
                              const struct sample *sample, const struct sample *next, poise_error *err)
{
    (void)next;
    bool ok =
        cell_touch(engine, cell) && accumulator_add(&feed->layout, cell_body(&engine->cells, cell), sample);
    return ok ? POISE_OK : error_nomem(err, "a cell");
}

static poise_code take_from_cell(struct engine *engine, const struct feed *feed, uint32_t cell,
                                 const struct sample *sample, const struct sample *next, poise_error *err)
{
    bool reread = false;
    bool ok = cell_touch(engine, cell) &&
              accumulator_remove(&feed->layout, cell_body(&engine->cells, cell), sample, next, &reread);
    struct block *block = block_of(&engine->cells, cell);
    if (ok && reread && !(block->reread & bit_in_block(cell))) {
        block->reread |= bit_in_block(cell);
        ok = numbers_push(&engine->reread, cell);
    }
    return ok ? POISE_OK : error_nomem(err, "a cell");
}

/* next: what comes to the same cell in its place, or NULL. */
typedef poise_code cell_change(struct engine *engine, const struct feed *feed, uint32_t cell,
                               const struct sample *sample, const struct sample *next, poise_error *err);

/* Whether the cells that were looked up last are of the period. */
static bool are_of(const struct engine *engine, const uint32_t *cells, int64_t start_ms)
{
    return cells[0] != CELL_NONE && block_of(&engine->cells, cells[0])->start_ms == start_ms;
}

static void forget_cells(const struct engine *engine, struct engine_series *series)
{
    memset(series->cells, 0,
           cells_of(engine, input_of(engine, series), series->org) * sizeof series->cells[0]);
    series->generation = engine->generation;
}

static inline poise_code change_cells(struct engine *engine, struct engine_series *series,
                                      const struct sample *sample, const struct sample *next,
                                      cell_change *change, poise_error *err)
{
    if (series->generation != engine->generation) {
        forget_cells(engine, series);
    }
    uint32_t *cells = series->cells;
    uint64_t held = 0;
    for (struct feed *feed = input_of(engine, series)->feeds; feed; feed = feed->next) {
        struct period tile = feed_tile(feed, sample->time_ms);
        size_t count = levels_of(engine, feed, series->org);
        bool stays = next && next->time_ms >= tile.start_ms && next->time_ms < tile.end_ms;
        poise_code code = POISE_OK;
        if (is_stored_tile(feed, tile.start_ms)) {
            cells += count;
            continue;
        }
        if (!are_of(engine, cells, tile.start_ms)) {
            code = find_cells(engine, series, feed, tile.start_ms, cells, count, err);
        }
        if (tile.start_ms < engine->closed_ms && code == POISE_OK) {
            code = past_keep(engine, feed, tile, cells, count, &held, err);
        }
        for (size_t i = 0; i < count && code == POISE_OK; i++) {
            code = change(engine, feed, cells[i], sample, stays ? next : NULL, err);
        }
        if (code != POISE_OK) {
            return code;
        }
        cells += count;
    }
    return POISE_OK;
}

/* Whether its org's cell had one since the last settle. */
static inline bool had_row(const struct engine *engine, const struct engine_series *series)
{
    return input_of(engine, series)->feeds && series->generation == engine->generation &&
           series->cells[0] != CELL_NONE &&
           block_of(&engine->cells, series->cells[0])->touched & bit_in_block(series->cells[0]);
}

poise_code series_count(struct engine *engine, struct engine_series *series, const struct sample *sample,
                        poise_error *err)
{
    bool gains = series->gaining || (had_row(engine, series) && gains_begin(engine, series, sample->time_ms));
    if (gains) {
        bool added;
        poise_code code = gains_add(engine, series, sample, &added, err);
        if (code == POISE_OK && !added) {
            code = gains_carry(engine, series, err);
        }
        if (code != POISE_OK || added) {
            return code;
        }
    }
    return change_cells(engine, series, sample, NULL, add_to_cell, err);
}

poise_code series_count_sum(struct engine *engine, struct engine_series *series, const struct sample_sum *sum,
                            poise_error *err)
{
    poise_code code = series->gaining ? gains_carry(engine, series, err) : POISE_OK;
    if (series->generation != engine->generation) {
        forget_cells(engine, series);
    }
    uint32_t *cells = series->cells;
    for (struct feed *feed = input_of(engine, series)->feeds; feed && code == POISE_OK; feed = feed->next) {
        int64_t start_ms = feed_tile(feed, sum->newest_ms).start_ms;
        size_t count = levels_of(engine, feed, series->org);
        if (is_stored_tile(feed, start_ms)) {
            cells += count;
            continue;
        }
        if (!are_of(engine, cells, start_ms)) {
            code = find_cells(engine, series, feed, start_ms, cells, count, err);
        }
        for (size_t i = 0; i < count && code == POISE_OK; i++) {
            bool ok = cell_touch(engine, cells[i]) &&
                      accumulator_add_sum(&feed->layout, cell_body(&engine->cells, cells[i]), sum);
            code = ok ? POISE_OK : error_nomem(err, "a cell");
        }
        cells += count;
    }
    return code;
}

poise_code series_uncount(struct engine *engine, struct engine_series *series, const struct sample *sample,
                          const struct sample *next, poise_error *err)
{
    poise_code code = series->gaining ? gains_carry(engine, series, err) : POISE_OK;
    return code == POISE_OK ? change_cells(engine, series, sample, next, take_from_cell, err) : code;
}
