#include "internal.h"
#include <base/error.h>

/* Fills a new cell with what is stored of it. */
static poise_code take(struct engine *engine, uint32_t id, struct cursor value, poise_error *err)
{
    const struct feed *feed = block_of(&engine->cells, id)->feed;
    poise_code code = accumulator_decode(&feed->layout, cell_body(&engine->cells, id), &value);
    return code == POISE_OK
               ? code
               : error_set(err, code, "a stored cell of input %s cannot be read", feed->input->name);
}

poise_code cell_restore(struct engine *engine, struct feed *feed, uint32_t org, int64_t start_ms,
                        struct cursor value, poise_error *err)
{
    if (cells_find(&engine->cells, feed, org, start_ms) != CELL_NONE) {
        return POISE_OK;
    }
    uint32_t cell = cells_add(&engine->cells, feed, org, start_ms);
    return cell == CELL_NONE ? error_nomem(err, "a cell") : take(engine, cell, value, err);
}

/* From the store; one that is not there stays empty, so that it is asked for once. */
static poise_code load(struct engine *engine, uint32_t id, poise_error *err)
{
    struct buf key = {0}, value = {0};
    const struct block *block = block_of(&engine->cells, id);
    cell_key(block->feed, cell_org(&engine->cells, id), block->start_ms, &key);
    poise_code code = load_entry(engine, ENGINE_CELLS, &key, &value, err);
    if (code == POISE_OK) {
        code = take(engine, id, cursor_of(value.data, value.length), err);
    }
    buf_free(&key);
    buf_free(&value);
    return code == POISE_ENOTFOUND ? POISE_OK : code;
}

poise_code cell_find(struct engine *engine, struct feed *feed, uint32_t org, int64_t start_ms,
                     enum cell_want want, uint32_t *ret_cell, poise_error *err)
{
    uint32_t cell = cells_find(&engine->cells, feed, org, start_ms);
    bool may_be_stored = start_ms >= feed->stored_from_ms && start_ms <= feed->stored_to_ms &&
                         (is_stored_tile(feed, start_ms) || !engine->options.offline);
    if (cell != CELL_NONE || (want == CELL_IF_ANY && !may_be_stored)) {
        *ret_cell = cell;
        return POISE_OK;
    }
    cell = cells_add(&engine->cells, feed, org, start_ms);
    if (cell == CELL_NONE) {
        return error_nomem(err, "a cell");
    }
    poise_code code = may_be_stored ? load(engine, cell, err) : POISE_OK;
    if (code == POISE_OK) {
        *ret_cell = cell;
    }
    return code;
}

/* Marks the cell; its block goes on the list with its first mark. */
static inline bool mark(struct numbers *blocks, uint16_t *marks, uint32_t cell)
{
    if (*marks == 0 && !numbers_push(blocks, cell / BLOCK_CELLS)) {
        return false;
    }
    *marks |= bit_in_block(cell);
    return true;
}

bool cell_touch(struct engine *engine, uint32_t cell)
{
    struct block *block = block_of(&engine->cells, cell);
    if (engine->giving.put) {
        checkpoint_before_change(engine, cell);
    }
    block->turn = engine->turn;
    return mark(&engine->touched, &block->touched, cell) &&
           mark(&engine->unsaved_blocks, &block->unsaved, cell);
}

/* Cells of past periods leave memory when there are too many; those that are not saved stay. */
void cells_shrink(struct engine *engine)
{
    if (engine->cells.count <= engine->cells_limit) {
        return;
    }
    for (size_t i = 0; i < engine->feed_count; i++) {
        struct feed *feed = engine->feeds[i];
        feed->open_from_ms = feed_tile(feed, engine->as_of_ms - 1).start_ms;
    }
    cells_drop(&engine->cells);
    engine->generation++;
    size_t kept = engine->cells.count, more = engine->options.max_cells;
    engine->cells_limit = kept > SIZE_MAX - more ? SIZE_MAX : kept + more;
}
