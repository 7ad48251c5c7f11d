#include "internal.h"
#include <base/error.h>
#include <stdlib.h>

struct cell_id {
    const struct feed *feed;
    int64_t start_ms;
    uint32_t org;
};

static uint64_t hash_of(const struct feed *feed, uint32_t org, int64_t start_ms)
{
    return hash_mix((uint64_t)feed->id << 32 | org, (uint64_t)start_ms);
}

static bool is_cell(const void *entry, const void *key)
{
    const struct cell *cell = entry;
    const struct cell_id *id = key;
    return cell->feed == id->feed && cell->org == id->org && cell->start_ms == id->start_ms;
}

struct accumulator *cell_body(struct cell *cell)
{
    return (struct accumulator *)cell->body;
}

void cell_free(struct cell *cell)
{
    if (cell) {
        accumulator_clear(&cell->feed->layout, cell_body(cell));
        free(cell);
    }
}

struct cell *cell_in_memory(const struct engine *engine, const struct feed *feed, uint32_t org,
                            int64_t start_ms)
{
    struct cell_id id = {.feed = feed, .start_ms = start_ms, .org = org};
    return hmap_get(&engine->cells, hash_of(feed, org, start_ms), is_cell, &id);
}

static struct cell *add_cell(struct engine *engine, struct feed *feed, uint32_t org, int64_t start_ms)
{
    struct cell *cell = calloc(1, sizeof *cell + feed->layout.size);
    if (cell) {
        *cell = (struct cell){.feed = feed, .start_ms = start_ms, .org = org};
        if (hmap_add(&engine->cells, hash_of(feed, org, start_ms), cell)) {
            return cell;
        }
        free(cell);
    }
    return NULL;
}

/* Fills a new cell from the store; one that is not there stays empty, so that it is asked for once. */
static poise_code load(struct engine *engine, struct cell *cell, poise_error *err)
{
    struct buf key = {0}, value = {0};
    cell_key(cell->feed, cell->org, cell->start_ms, &key);
    poise_code code = load_entry(engine, ENGINE_CELLS, &key, &value, err);
    if (code == POISE_OK) {
        struct cursor in = cursor_of(value.data, value.length);
        code = accumulator_decode(&cell->feed->layout, cell_body(cell), &in);
        if (code != POISE_OK) {
            error_set(err, code, "a stored cell of input %s cannot be read", cell->feed->input->name);
        }
    }
    buf_free(&key);
    buf_free(&value);
    return code == POISE_ENOTFOUND ? POISE_OK : code;
}

poise_code cell_find(struct engine *engine, struct feed *feed, uint32_t org, int64_t start_ms,
                     enum cell_want want, struct cell **ret_cell, poise_error *err)
{
    struct cell *cell = cell_in_memory(engine, feed, org, start_ms);
    bool may_be_stored = start_ms >= feed->stored_from_ms && start_ms <= feed->stored_to_ms;
    if (cell || (want == CELL_IF_ANY && !may_be_stored)) {
        *ret_cell = cell;
        return POISE_OK;
    }
    cell = add_cell(engine, feed, org, start_ms);
    if (!cell) {
        return error_nomem(err, "a cell");
    }
    poise_code code = may_be_stored ? load(engine, cell, err) : POISE_OK;
    if (code == POISE_OK) {
        *ret_cell = cell;
    }
    return code;
}

bool cell_touch(struct engine *engine, struct cell *cell)
{
    if (!(cell->flags & CELL_TOUCHED)) {
        if (!list_push(&engine->touched, cell)) {
            return false;
        }
        cell->flags |= CELL_TOUCHED;
    }
    if (!(cell->flags & CELL_UNSAVED)) {
        if (!list_push(&engine->unsaved_cells, cell)) {
            return false;
        }
        cell->flags |= CELL_UNSAVED;
    }
    return true;
}

static bool is_open(const struct engine *engine, const struct cell *cell)
{
    return cell->start_ms >= feed_tile(cell->feed, engine->as_of_ms - 1).start_ms;
}

/* Cells of past periods leave memory when there are too many; all cells are saved when this is called. */
void cells_shrink(struct engine *engine)
{
    if (engine->cells.count <= engine->cells_limit) {
        return;
    }
    struct hmap kept = {0};
    struct cell *cell;
    for (size_t at = 0; (cell = hmap_next(&engine->cells, &at));) {
        if (is_open(engine, cell) && !hmap_add(&kept, hash_of(cell->feed, cell->org, cell->start_ms), cell)) {
            hmap_free(&kept); /* no memory to shrink now: later */
            return;
        }
    }
    for (size_t at = 0; (cell = hmap_next(&engine->cells, &at));) {
        if (!is_open(engine, cell)) {
            cell_free(cell);
        }
    }
    hmap_free(&engine->cells);
    engine->cells = kept;
    engine->generation++;
    size_t more = engine->options.max_cells;
    engine->cells_limit = kept.count > SIZE_MAX - more ? SIZE_MAX : kept.count + more;
}
