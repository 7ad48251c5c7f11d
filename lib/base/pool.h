/* Pieces of memory by number, in slabs that the kernel may back with huge pages: millions of small pieces
 * cost no headers, four bytes a reference, and fewer misses of the TLB. Not thread-safe. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    POOL_NONE = 0,
    POOL_UNIT = 8,             /* pieces are so many bytes, or a multiple */
    POOL_SLAB_UNITS = 1 << 18, /* 2 MiB */
    POOL_KEPT_UNITS = 512      /* larger pieces that are given back serve nobody else until pool_free */
};

struct pool { /* zeroed: empty */
    char **slabs;
    uint32_t slab_count, slab_capacity;
    uint32_t next, end;   /* what is left of the last slab, by number */
    uint32_t *given_back; /* by size in units: the first such piece, which names the next */
};

uint32_t pool_take(struct pool *pool, size_t size);             /* zeroed; POOL_NONE: out of memory */
void pool_give(struct pool *pool, uint32_t piece, size_t size); /* size as it was taken */
void pool_free(struct pool *pool);

static inline void *pool_at(const struct pool *pool, uint32_t piece)
{
    return pool->slabs[piece / POOL_SLAB_UNITS] + (size_t)(piece % POOL_SLAB_UNITS) * POOL_UNIT;
}

/* For arrays that become large: aligned to a cache line, not cleared; to be freed. */
void *pool_large(size_t count, size_t size);

#endif
