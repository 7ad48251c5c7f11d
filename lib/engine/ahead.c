/* Cells that the first settle reads. It goes org by org, and the store has cells feed by feed: asked for one
 * by one each were in another block than the one before. So the tiles that leaves read are listed, and the
 * stored cells of these are taken in the order of their keys; what others there are, history, is passed. What
 * is missed here (a value that is carried, say) is loaded when it is read. */
#include "internal.h"
#include <base/error.h>
#include <stdlib.h>

struct wanted { /* in the order of keys, each once */
    struct feed *feed;
    int64_t start_ms;
};

struct ahead {
    struct engine *engine;
    struct buf tiles; /* struct wanted */
    size_t count;
    struct buf from;
    poise_error *err;
};

static const struct wanted *tile_at(const struct ahead *ahead, size_t at)
{
    return (const struct wanted *)(const void *)ahead->tiles.data + at;
}

/* ---- which tiles ---- */

static void want_window(struct ahead *ahead, const struct plan *plan, const struct leaf *leaf,
                        int64_t as_of_ms)
{
    struct period period = measure_period(plan->card, leaf->measure, as_of_ms);
    struct period window = measure_times(leaf->measure, period, as_of_ms), tile;
    while (window.start_ms < window.end_ms) {
        struct wanted wanted = {.feed = window_tile(ahead->engine, leaf, window, &tile)};
        if (!wanted.feed) {
            return;
        }
        wanted.start_ms = tile.start_ms;
        if (tile.start_ms >= wanted.feed->stored_from_ms && tile.start_ms <= wanted.feed->stored_to_ms) {
            buf_put(&ahead->tiles, &wanted, sizeof wanted);
        }
        window.start_ms = tile.end_ms;
    }
}

static void want_leaves(struct ahead *ahead, const struct plan *plan, int64_t as_of_ms)
{
    for (uint32_t node = 0; node < plan->card->node_count; node++) {
        const struct leaf *leaf = &plan->leaves[node];
        if (leaf->measure && !leaf->measure->formula) {
            want_window(ahead, plan, leaf, as_of_ms);
        }
    }
}

static int by_key(const void *left, const void *right)
{
    const struct wanted *a = left, *b = right;
    if (a->feed != b->feed) {
        return a->feed->identity < b->feed->identity ? -1 : 1;
    }
    return (a->start_ms > b->start_ms) - (a->start_ms < b->start_ms);
}

/* What scores are computed from, and what trends are against. */
static bool want(struct ahead *ahead)
{
    const struct engine *engine = ahead->engine;
    for (uint32_t i = 0; i < engine->plan_count; i++) {
        const struct plan *plan = &engine->plans[i];
        if (plan->active) {
            want_leaves(ahead, plan, engine->as_of_ms);
            want_leaves(ahead, &engine->plans[plan_in_force(engine, i, plan->previous_ms)],
                        plan->previous_ms);
        }
    }
    struct wanted *tiles = (struct wanted *)(void *)ahead->tiles.data;
    size_t count = ahead->tiles.length / sizeof *tiles;
    if (count > 0) {
        qsort(tiles, count, sizeof *tiles, by_key);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || by_key(&tiles[i], &tiles[ahead->count - 1]) != 0) {
            tiles[ahead->count++] = tiles[i];
        }
    }
    return !ahead->tiles.failed;
}

/* ---- their cells ---- */

static void go_to(struct ahead *ahead, size_t at, uint32_t org)
{
    buf_reset(&ahead->from);
    if (at < ahead->count) {
        cell_key(tile_at(ahead, at)->feed, org, tile_at(ahead, at)->start_ms, &ahead->from);
    }
}

/* The first that is not before this one. */
static size_t find(const struct ahead *ahead, uint64_t identity, int64_t start_ms)
{
    size_t low = 0, high = ahead->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct wanted *tile = tile_at(ahead, middle);
        bool before = tile->feed->identity < identity ||
                      (tile->feed->identity == identity && tile->start_ms < start_ms);
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    return low;
}

static bool is_of(const struct ahead *ahead, size_t at, uint64_t identity)
{
    return at < ahead->count && tile_at(ahead, at)->feed->identity == identity;
}

static poise_code visit_cell(void *visitor, struct cursor key, struct cursor value)
{
    struct ahead *ahead = visitor;
    poise_code code = POISE_OK;
    uint64_t identity = take_big64(&key);
    uint32_t org = take_big32(&key);
    int64_t start_ms = take_start(&key);
    if (key.failed || org >= ahead->engine->orgs.count) {
        return error_set(ahead->err, POISE_ECORRUPT, "the stored state's cells cannot be read");
    }
    size_t next = find(ahead, identity, start_ms);
    if (is_of(ahead, next, identity) && tile_at(ahead, next)->start_ms == start_ms) {
        code = cell_restore(ahead->engine, tile_at(ahead, next++)->feed, org, start_ms, value, ahead->err);
    }
    if (is_of(ahead, next, identity)) {
        go_to(ahead, next, org);
        return code;
    }
    size_t first = find(ahead, identity, INT64_MIN);
    go_to(ahead, first, is_of(ahead, first, identity) ? org + 1 : 0);
    return code;
}

poise_code cells_load_ahead(struct engine *engine, poise_error *err)
{
    const struct engine_ports *ports = &engine->options.ports;
    struct ahead ahead = {.engine = engine, .err = err};
    if (!ports->walk_some) {
        return POISE_OK;
    }
    poise_code code = want(&ahead) ? POISE_OK : error_nomem(err, "the tiles of a settle");
    if (code == POISE_OK) {
        go_to(&ahead, 0, 0);
        code = ports->walk_some(ports->context, ENGINE_CELLS, &ahead.from, visit_cell, &ahead, err);
    }
    buf_free(&ahead.tiles);
    buf_free(&ahead.from);
    return code;
}
