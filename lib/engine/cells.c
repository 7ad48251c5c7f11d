#include "internal.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCKS = 16 };
#define BLOCKS_MAX (UINT32_MAX / BLOCK_CELLS) /* cells are numbered in 32 bits */

static uint32_t *chain_of(const struct cells *cells, const struct feed *feed, uint32_t orgs, int64_t start_ms)
{
    uint64_t hash = hash_mix((uint64_t)feed->id << 32 | orgs, (uint64_t)start_ms);
    return chain_at(&cells->chains, hash);
}

static uint32_t find_block(const struct cells *cells, const struct feed *feed, uint32_t orgs,
                           int64_t start_ms)
{
    if (cells->linked == 0) {
        return BLOCK_NONE;
    }
    uint32_t number = *chain_of(cells, feed, orgs, start_ms);
    while (number != BLOCK_NONE) {
        const struct block *block = &cells->blocks[number];
        if (block->orgs == orgs && block->start_ms == start_ms && block->feed == feed) {
            break;
        }
        number = block->next;
    }
    return number;
}

uint32_t cells_find(const struct cells *cells, const struct feed *feed, uint32_t org, int64_t start_ms)
{
    uint32_t block = find_block(cells, feed, org / BLOCK_CELLS, start_ms);
    uint32_t id = block * BLOCK_CELLS + org % BLOCK_CELLS;
    return block != BLOCK_NONE && cells->blocks[block].used & bit_in_block(id) ? id : CELL_NONE;
}

/* ---- chains ---- */

static void link_block(struct cells *cells, uint32_t number)
{
    struct block *block = &cells->blocks[number];
    uint32_t *chain = chain_of(cells, block->feed, block->orgs, block->start_ms);
    block->next = *chain;
    *chain = number;
}

/* Into chains that are empty. */
static void link_all(struct cells *cells)
{
    for (uint32_t block = 1; block < cells->block_count; block++) {
        if (cells->blocks[block].feed) {
            link_block(cells, block);
        }
    }
}

/* Another chain, where there are too few; false: out of memory. */
static bool add_chain(struct cells *cells)
{
    if (!chains_want(&cells->chains, cells->linked)) {
        return true;
    }
    bool parts = cells->chains.count > 0;
    if (!chains_add(&cells->chains)) {
        return false;
    }
    uint32_t number = BLOCK_NONE;
    if (parts) {
        uint32_t *parted = chains_parted(&cells->chains);
        number = *parted;
        *parted = BLOCK_NONE;
    }
    for (uint32_t next; number != BLOCK_NONE; number = next) {
        next = cells->blocks[number].next;
        link_block(cells, number);
    }
    return true;
}

/* ---- blocks ---- */

static bool grow(struct cells *cells)
{
    uint32_t capacity = cells->block_capacity ? 2 * cells->block_capacity : FIRST_BLOCKS;
    struct block *blocks = capacity <= BLOCKS_MAX ? pool_large(capacity, sizeof *blocks) : NULL;
    if (!blocks) {
        return false;
    }
    if (cells->block_count == 0) {
        blocks[cells->block_count++] = (struct block){0};
    } else {
        memcpy(blocks, cells->blocks, cells->block_count * sizeof *blocks);
    }
    free(cells->blocks);
    cells->blocks = blocks;
    cells->block_capacity = capacity;
    return true;
}

/* BLOCK_NONE: out of memory. */
static uint32_t spare_block(struct cells *cells)
{
    if (cells->spare != BLOCK_NONE) {
        uint32_t block = cells->spare;
        cells->spare = cells->blocks[block].next;
        return block;
    }
    return cells->block_count < cells->block_capacity || grow(cells) ? cells->block_count++ : BLOCK_NONE;
}

static uint32_t add_block(struct cells *cells, struct feed *feed, uint32_t orgs, int64_t start_ms)
{
    if (!add_chain(cells) || !add_chain(cells)) {
        return BLOCK_NONE;
    }
    uint32_t number = spare_block(cells);
    if (number != BLOCK_NONE) {
        cells->blocks[number] = (struct block){
            .feed = feed, .start_ms = start_ms, .orgs = orgs, .size = feed->layout.size & INT32_MAX};
        link_block(cells, number);
        cells->linked++;
    }
    return number;
}

uint32_t cells_add(struct cells *cells, struct feed *feed, uint32_t org, int64_t start_ms)
{
    uint32_t number = find_block(cells, feed, org / BLOCK_CELLS, start_ms);
    if (number == BLOCK_NONE) {
        number = add_block(cells, feed, org / BLOCK_CELLS, start_ms);
    }
    if (number == BLOCK_NONE) {
        return CELL_NONE;
    }
    struct block *block = &cells->blocks[number];
    uint32_t place = (uint32_t)__builtin_popcount(block->used), piece = piece_of(place);
    if (block->pieces[piece] == POOL_NONE) {
        size_t room = place > 0 ? place : 1;
        block->pieces[piece] = pool_take(&cells->pool, room * block->size);
        if (block->pieces[piece] == POOL_NONE) {
            return CELL_NONE;
        }
    }
    block->places |= (uint64_t)place << org % BLOCK_CELLS * 4;
    block->used |= bit_in_block(org);
    cells->count++;
    return number * BLOCK_CELLS + org % BLOCK_CELLS;
}

static void clear_block(struct cells *cells, uint32_t number)
{
    struct block *block = &cells->blocks[number];
    cells->count -= (size_t)__builtin_popcount(block->used);
    while (block->used) {
        uint32_t id = next_in_block(number, &block->used);
        accumulator_clear(&block->feed->layout, cell_body(cells, id));
    }
}

static void drop_block(struct cells *cells, uint32_t number)
{
    struct block *block = &cells->blocks[number];
    clear_block(cells, number);
    for (uint32_t piece = 0; piece < BLOCK_PIECES && block->pieces[piece] != POOL_NONE; piece++) {
        size_t room = piece > 0 ? first_of_piece(piece) : 1;
        pool_give(&cells->pool, block->pieces[piece], room * block->size);
    }
    *block = (struct block){.next = cells->spare};
    cells->spare = number;
    cells->linked--;
}

void cells_drop(struct cells *cells)
{
    for (uint32_t number = 1; number < cells->block_count; number++) {
        const struct block *block = &cells->blocks[number];
        if (block->feed && !block->unsaved && block->start_ms < block->feed->open_from_ms) {
            drop_block(cells, number);
        }
    }
    memset(cells->chains.heads, 0, cells->chains.count * sizeof *cells->chains.heads);
    link_all(cells);
}

void cells_free(struct cells *cells)
{
    for (uint32_t block = 1; block < cells->block_count; block++) {
        clear_block(cells, block);
    }
    pool_free(&cells->pool);
    free(cells->blocks);
    free(cells->chains.heads);
    *cells = (struct cells){0};
}
