#include "internal.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCKS = 16, FIRST_CHAINS = 64 };
#define BLOCKS_MAX (UINT32_MAX / BLOCK_CELLS) /* cells are numbered in 32 bits */

static uint32_t *chain_of(const struct cells *cells, const struct feed *feed, uint32_t org, int64_t start_ms)
{
    uint64_t hash = hash_mix((uint64_t)feed->id << 32 | org, (uint64_t)start_ms);
    return &cells->chains[hash & (cells->chain_count - 1)];
}

uint32_t cells_find(const struct cells *cells, const struct feed *feed, uint32_t org, int64_t start_ms)
{
    if (cells->count == 0) {
        return CELL_NONE;
    }
    uint32_t id = *chain_of(cells, feed, org, start_ms);
    while (id != CELL_NONE) {
        const struct cell *cell = cell_at(cells, id);
        if (cell->org == org && cell->start_ms == start_ms && block_of(cells, id)->feed == feed) {
            break;
        }
        id = cell->next;
    }
    return id;
}

/* ---- chains ---- */

static void link_cell(struct cells *cells, uint32_t id)
{
    struct cell *cell = cell_at(cells, id);
    uint32_t *chain = chain_of(cells, block_of(cells, id)->feed, cell->org, cell->start_ms);
    cell->next = *chain;
    *chain = id;
}

/* Into chains that are empty. */
static void link_all(struct cells *cells)
{
    for (uint32_t block = 1; block < cells->block_count; block++) {
        uint32_t bits = cells->blocks[block].used;
        while (bits) {
            link_cell(cells, next_in_block(block, &bits));
        }
    }
}

/* All cells in so many chains; false: out of memory, nothing changed. */
static bool make_chains(struct cells *cells, size_t chain_count)
{
    uint32_t *chains = calloc(chain_count, sizeof *chains);
    if (!chains) {
        return false;
    }
    free(cells->chains);
    cells->chains = chains;
    cells->chain_count = chain_count;
    link_all(cells);
    return true;
}

/* ---- blocks ---- */

/* A block without memory; BLOCK_NONE: out of memory. */
static uint32_t spare_block(struct cells *cells)
{
    if (cells->spare != BLOCK_NONE) {
        uint32_t block = cells->spare;
        cells->spare = cells->blocks[block].next_with_room;
        return block;
    }
    if (cells->block_count == cells->block_capacity) {
        uint32_t capacity = cells->block_capacity ? 2 * cells->block_capacity : FIRST_BLOCKS;
        struct block *blocks =
            capacity <= BLOCKS_MAX ? reallocarray(cells->blocks, capacity, sizeof *blocks) : NULL;
        if (!blocks) {
            return BLOCK_NONE;
        }
        cells->blocks = blocks;
        cells->block_capacity = capacity;
        if (cells->block_count == 0) {
            blocks[cells->block_count++] = (struct block){0};
        }
    }
    return cells->block_count++;
}

static void keep_spare(struct cells *cells, uint32_t block)
{
    cells->blocks[block] = (struct block){.next_with_room = cells->spare};
    cells->spare = block;
}

static bool add_block(struct cells *cells, struct feed *feed)
{
    uint32_t block = spare_block(cells);
    if (block == BLOCK_NONE) {
        return false;
    }
    uint32_t size = (uint32_t)sizeof(struct cell) + feed->layout.size;
    char *memory = calloc(BLOCK_CELLS, size);
    if (!memory) {
        keep_spare(cells, block);
        return false;
    }
    cells->blocks[block] =
        (struct block){.feed = feed, .cells = memory, .size = size, .next_with_room = feed->with_room};
    feed->with_room = block;
    return true;
}

uint32_t cells_add(struct cells *cells, struct feed *feed, uint32_t org, int64_t start_ms)
{
    if (cells->count >= cells->chain_count / 2 && /* most that are asked for in vain find an empty chain */
        !make_chains(cells, cells->chain_count ? 2 * cells->chain_count : FIRST_CHAINS)) {
        return CELL_NONE;
    }
    if (feed->with_room == BLOCK_NONE && !add_block(cells, feed)) {
        return CELL_NONE;
    }
    struct block *block = &cells->blocks[feed->with_room];
    uint32_t unused = ~block->used, id = next_in_block(feed->with_room, &unused);
    block->used |= bit_in_block(id);
    if (block->used == UINT32_MAX) {
        feed->with_room = block->next_with_room;
    }
    struct cell *cell = cell_at(cells, id);
    cell->org = org;
    cell->start_ms = start_ms;
    link_cell(cells, id);
    cells->count++;
    return id;
}

static void clear_cell(struct cells *cells, uint32_t id)
{
    accumulator_clear(&block_of(cells, id)->feed->layout, cell_body(cells, id));
    block_of(cells, id)->used &= ~bit_in_block(id);
    cells->count--;
}

/* What of the block started before its feed's open_from_ms. */
static void drop_in_block(struct cells *cells, uint32_t at)
{
    struct block *block = &cells->blocks[at];
    uint32_t bits = block->used;
    while (bits) {
        uint32_t id = next_in_block(at, &bits);
        if (cell_at(cells, id)->start_ms < block->feed->open_from_ms) {
            clear_cell(cells, id);
        }
    }
    if (block->used == 0) {
        free(block->cells);
        keep_spare(cells, at);
    } else if (block->used != UINT32_MAX) {
        block->next_with_room = block->feed->with_room;
        block->feed->with_room = at;
    }
}

void cells_drop(struct cells *cells, struct feed *const *feeds, size_t feed_count)
{
    for (size_t i = 0; i < feed_count; i++) {
        feeds[i]->with_room = BLOCK_NONE;
    }
    for (uint32_t block = 1; block < cells->block_count; block++) {
        if (cells->blocks[block].feed) {
            drop_in_block(cells, block);
        }
    }
    size_t chain_count = FIRST_CHAINS;
    while (chain_count / 2 < cells->count) {
        chain_count *= 2;
    }
    if (!make_chains(cells, chain_count)) { /* no memory for fewer: as many as before */
        memset(cells->chains, 0, cells->chain_count * sizeof *cells->chains);
        link_all(cells);
    }
}

void cells_free(struct cells *cells)
{
    for (uint32_t block = 1; block < cells->block_count; block++) {
        uint32_t bits = cells->blocks[block].used;
        while (bits) {
            clear_cell(cells, next_in_block(block, &bits));
        }
        free(cells->blocks[block].cells);
    }
    free(cells->blocks);
    free(cells->chains);
    *cells = (struct cells){0};
}
