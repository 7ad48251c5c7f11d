/* Cells in memory: blocks of 32 of one feed, found by number or, through a hash table of chains, by what they
 * are of. There are millions of them, so all that a cell need not say itself is said by its block, and
 * references to cells take four bytes. */
#ifndef ENGINE_CELLS_H
#define ENGINE_CELLS_H

#include <score/accumulator.h>

struct feed;

enum { CELL_NONE = 0, BLOCK_CELLS = 32, BLOCK_NONE = 0 };

struct cell { /* the accumulator of a feed at an org in a period */
    int64_t start_ms;
    uint32_t org;
    uint32_t next;   /* cell of the same chain */
    uint64_t body[]; /* struct accumulator */
};

struct block {
    struct feed *feed;
    char *cells;             /* NULL: the block is spare */
    uint32_t size;           /* of a cell, in bytes */
    uint32_t used;           /* these and those below: bit by cell */
    uint32_t touched;        /* since the last settle */
    uint32_t unsaved;        /* since the last checkpoint */
    uint32_t reread;         /* to be built again from the rows of its period */
    uint32_t next_with_room; /* block of the same feed; of a spare one: the next spare */
};

struct cells {
    struct block *blocks; /* the first is never used, so that 0 is no cell */
    uint32_t block_count, block_capacity;
    uint32_t spare; /* the first spare block */
    uint32_t *chains;
    size_t chain_count; /* 0 or a power of two */
    size_t count;
};

static inline struct block *block_of(const struct cells *cells, uint32_t id)
{
    return &cells->blocks[id / BLOCK_CELLS];
}

static inline uint32_t bit_in_block(uint32_t id)
{
    return UINT32_C(1) << id % BLOCK_CELLS;
}

static inline struct cell *cell_at(const struct cells *cells, uint32_t id)
{
    const struct block *block = block_of(cells, id);
    return (struct cell *)(block->cells + (size_t)(id % BLOCK_CELLS) * block->size);
}

static inline struct accumulator *cell_body(const struct cells *cells, uint32_t id)
{
    return (struct accumulator *)cell_at(cells, id)->body;
}

/* Cells of a block, one bit after the other: while (bits) { id = next_in_block(block, &bits); ... } */
static inline uint32_t next_in_block(uint32_t block, uint32_t *bits)
{
    uint32_t id = block * BLOCK_CELLS + (uint32_t)__builtin_ctz(*bits);
    *bits &= *bits - 1;
    return id;
}

/* CELL_NONE: it is not in memory. */
uint32_t cells_find(const struct cells *cells, const struct feed *feed, uint32_t org, int64_t start_ms);
/* Adds an empty one that is known to be absent; CELL_NONE: out of memory. Other cells stay where they are. */
uint32_t cells_add(struct cells *cells, struct feed *feed, uint32_t org, int64_t start_ms);
/* Frees all cells that started before their feed's open_from_ms, and the memory of all that were freed. */
void cells_drop(struct cells *cells, struct feed *const *feeds, size_t feed_count);
void cells_free(struct cells *cells);

#endif
