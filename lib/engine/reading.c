/* The value of a window: from one cell where a tile is the window, else merged from the largest tiles that
 * fit. */
#include "internal.h"
#include <base/error.h>

/* Whether the tile begins the window and has nothing that the window has not. What ends behind T is not
 * bounded: nothing later was counted, but in stored cells. */
static bool fits(const struct engine *engine, const struct feed *feed, struct period tile,
                 struct period window)
{
    bool bounded = window.end_ms <= engine->as_of_ms || is_stored_tile(feed, tile.start_ms);
    return tile.start_ms == window.start_ms && (tile.end_ms <= window.end_ms || !bounded);
}

struct feed *window_tile(const struct engine *engine, const struct leaf *leaf, struct period window,
                         struct period *ret_tile)
{
    for (uint32_t i = 0; i < leaf->tier_count; i++) {
        struct feed *feed = leaf->tiers[i];
        *ret_tile = feed_tile(feed, window.start_ms);
        if (fits(engine, feed, *ret_tile, window)) {
            return feed;
        }
    }
    return NULL;
}

/* The org's cell of a tile, or NULL. */
static poise_code read_cell(const struct leaf_reading *reading, struct feed *feed, uint32_t org,
                            int64_t start_ms, const struct accumulator **ret_body)
{
    struct engine *engine = reading->engine;
    if (start_ms < feed->input->dropped_ms && !feed->stored) {
        engine->missed = feed->input;
    }
    *ret_body = past_cell(engine, reading->before, feed, org, start_ms);
    if (*ret_body) {
        return POISE_OK;
    }
    uint32_t cell = CELL_NONE;
    poise_code code = cell_find(engine, feed, org, start_ms, CELL_IF_ANY, &cell, reading->err);
    *ret_body = cell == CELL_NONE ? NULL : cell_body(&engine->cells, cell);
    return code;
}

static poise_code merge(const struct leaf_reading *reading, uint32_t org, struct period window)
{
    while (window.start_ms < window.end_ms) {
        const struct accumulator *body;
        struct period tile;
        struct feed *feed = window_tile(reading->engine, reading->leaf, window, &tile);
        struct input *input = reading->leaf->tiers[0]->input;
        if (!feed && window.start_ms < input->dropped_ms) { /* T is within a frozen tile */
            reading->engine->missed = input;
            return POISE_OK;
        }
        if (!feed) {
            return error_set(reading->err, POISE_EINVAL, "no tile of input %s begins at %lld", input->name,
                             (long long)window.start_ms);
        }
        poise_code code = read_cell(reading, feed, org, tile.start_ms, &body);
        if (code != POISE_OK) {
            return code;
        }
        if (body && !accumulator_merge(&feed->layout, reading->engine->merging, body)) {
            return error_nomem(reading->err, "a window");
        }
        window.start_ms = tile.end_ms;
        reading->engine->evaluated++;
    }
    return POISE_OK;
}

/* The org's accumulator of a window, or NULL; until `release`. */
static const struct accumulator *gather(struct leaf_reading *reading, uint32_t org, struct period window)
{
    const struct accumulator *body;
    struct period tile;
    struct feed *feed = window_tile(reading->engine, reading->leaf, window, &tile);
    if (feed && (tile.end_ms >= window.end_ms)) {
        reading->code = read_cell(reading, feed, org, tile.start_ms, &body);
        return body;
    }
    reading->code = merge(reading, org, window);
    return reading->code == POISE_OK ? reading->engine->merging : NULL;
}

static void release(const struct leaf_reading *reading)
{
    if (accumulator_count(reading->engine->merging) > 0) {
        accumulator_clear(&reading->leaf->tiers[0]->layout, reading->engine->merging);
    }
}

/* The next org of a subtree, parents first; INTERN_NONE: that was all. */
static uint32_t next_below(const struct engine *engine, uint32_t top, uint32_t org)
{
    if (engine->org_table[org].first_child != INTERN_NONE) {
        return engine->org_table[org].first_child;
    }
    while (org != top && engine->org_table[org].next_sibling == INTERN_NONE) {
        org = engine->org_table[org].parent;
    }
    return org == top ? INTERN_NONE : engine->org_table[org].next_sibling;
}

static struct window_value read_across(struct leaf_reading *reading, struct period window)
{
    const struct measure *measure = reading->leaf->measure;
    struct across_sum across = across_nothing;
    uint32_t org = reading->org;
    while (org != INTERN_NONE && reading->code == POISE_OK) {
        const struct accumulator *own = gather(reading, org, window);
        bool ok = !own || across_add(&across, measure, &reading->leaf->tiers[0]->layout, own);
        release(reading);
        if (!ok) {
            reading->code = error_nomem(reading->err, "a value across orgs");
        }
        org = next_below(reading->engine, reading->org, org);
    }
    return across_end(&across, measure);
}

struct window_value read_window(void *context, struct period window)
{
    struct leaf_reading *reading = context;
    const struct measure *measure = reading->leaf->measure;
    if (reading->code != POISE_OK) {
        return window_nothing;
    }
    if (measure->across != ACROSS_POOL) {
        return read_across(reading, window);
    }
    const struct accumulator *all = gather(reading, reading->org, window);
    struct window_value value = window_pooled(measure, &reading->leaf->tiers[0]->layout, all);
    release(reading);
    return value;
}
