/* Cells in memory: blocks of the cells of one feed in one period at 16 orgs with neighbouring numbers, found
 * through a hash table of chains. There are millions of cells, so all that a cell need not say itself is said
 * by its block, and references to cells take four bytes: the block's number and, below it, the org's. */
#ifndef ENGINE_CELLS_H
#define ENGINE_CELLS_H

#include "chains.h"
#include <score/accumulator.h>
#include <stdbool.h>

struct feed;

enum { CELL_NONE = 0, BLOCK_CELLS = 16, BLOCK_NONE = 0, BLOCK_PIECES = 5 };

struct block {         /* as long as a cache line */
    struct feed *feed; /* NULL: the block is spare */
    int64_t start_ms;  /* of the period */
    uint32_t orgs;     /* the first org, over 16 */
    uint32_t next;     /* block of the same chain; of a spare one: the next spare */
    uint64_t places;   /* by org, of four bits: its cell is the n-th in the pieces */
    uint32_t
        pieces[BLOCK_PIECES]; /* of memory: for 1, 1, 2, 4 and 8 cells, so that cells stay where they are */
    uint32_t size : 31;       /* of a cell, in bytes */
    uint32_t turn : 1;        /* of the engine, when `unsaved` was begun */
    uint16_t used;            /* these and those below: bit by org */
    uint16_t touched;         /* since the last settle */
    uint16_t unsaved;         /* since the last checkpoint */
    uint16_t reread;          /* to be built again from the rows of its period */
};

struct cells {
    struct block *blocks; /* the first is never used, so that 0 is no cell */
    uint32_t block_count, block_capacity;
    uint32_t spare; /* the first spare block */
    struct chains chains;
    size_t linked; /* blocks in them */
    size_t count;
    struct pool pool;
};

static inline struct block *block_of(const struct cells *cells, uint32_t id)
{
    return &cells->blocks[id / BLOCK_CELLS];
}

static inline uint16_t bit_in_block(uint32_t id)
{
    return (uint16_t)(1u << id % BLOCK_CELLS);
}

static inline uint32_t cell_org(const struct cells *cells, uint32_t id)
{
    return block_of(cells, id)->orgs * BLOCK_CELLS + id % BLOCK_CELLS;
}

/* In which piece of its block the n-th cell is: 0, 1, 2, 2, 3, 3, 3, 3, 4, ... */
static inline uint32_t piece_of(uint32_t place)
{
    return 31 - (uint32_t)__builtin_clz(2 * place + 1);
}

static inline uint32_t first_of_piece(uint32_t piece)
{
    return UINT32_C(1) << piece >> 1;
}

static inline struct accumulator *cell_body(const struct cells *cells, uint32_t id)
{
    const struct block *block = block_of(cells, id);
    uint32_t place = block->places >> id % BLOCK_CELLS * 4 & 15, piece = piece_of(place);
    char *memory = pool_at(&cells->pool, block->pieces[piece]);
    return (struct accumulator *)(memory + (size_t)(place - first_of_piece(piece)) * block->size);
}

/* Cells of a block, one bit after the other: while (bits) { id = next_in_block(block, &bits); ... } */
static inline uint32_t next_in_block(uint32_t block, uint16_t *bits)
{
    uint32_t id = block * BLOCK_CELLS + (uint32_t)__builtin_ctz(*bits);
    *bits &= (uint16_t)(*bits - 1);
    return id;
}

/* CELL_NONE: it is not in memory. */
uint32_t cells_find(const struct cells *cells, const struct feed *feed, uint32_t org, int64_t start_ms);
/* Adds an empty one that is known to be absent; CELL_NONE: out of memory. Other cells stay where they are. */
uint32_t cells_add(struct cells *cells, struct feed *feed, uint32_t org, int64_t start_ms);
/* Frees all cells that started before their feed's open_from_ms, but for blocks with unsaved ones. */
void cells_drop(struct cells *cells);
void cells_free(struct cells *cells);

#endif
