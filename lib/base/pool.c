#include <base/pool.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CACHE_LINE = 64, FIRST_SLABS = 16, HUGE_PAGE = POOL_SLAB_UNITS * POOL_UNIT };
#define SLABS_MAX (UINT32_MAX / POOL_SLAB_UNITS)

/* Advice only: where it is not taken, the pages are small. */
static void *aligned(size_t alignment, size_t size, bool huge)
{
    size_t rounded = (size + alignment - 1) / alignment * alignment;
    void *memory = rounded >= size ? aligned_alloc(alignment, rounded) : NULL;
    if (memory && huge) {
        (void)madvise(memory, rounded, MADV_HUGEPAGE);
    }
    return memory;
}

void *pool_large(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    return total < HUGE_PAGE ? aligned(CACHE_LINE, total, false) : aligned(HUGE_PAGE, total, true);
}

/* Not from the heap, which loses as much again to have them aligned, and keeps what is freed between others.
 */
static char *map_slab(void)
{
    enum { TWICE = 2 * HUGE_PAGE };
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    char *slab = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (slab != MAP_FAILED && (uintptr_t)slab % HUGE_PAGE != 0) { /* the next ones lie beside it */
        munmap(slab, HUGE_PAGE);
        slab = mmap(NULL, TWICE, PROT_READ | PROT_WRITE, flags, -1, 0);
        size_t before = slab != MAP_FAILED ? -(uintptr_t)slab % HUGE_PAGE : 0;
        if (before > 0) {
            munmap(slab, before);
            slab += before;
        }
        if (slab != MAP_FAILED) {
            munmap(slab + HUGE_PAGE, HUGE_PAGE - before);
        }
    }
    if (slab == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(slab, HUGE_PAGE, MADV_HUGEPAGE);
    return slab;
}

static bool reserve(struct pool *pool)
{
    if (!pool->given_back) {
        pool->given_back = calloc(POOL_KEPT_UNITS + 1, sizeof *pool->given_back);
    }
    if (pool->slab_count == pool->slab_capacity) {
        uint32_t capacity = pool->slab_capacity ? 2 * pool->slab_capacity : FIRST_SLABS;
        char **slabs = reallocarray(pool->slabs, capacity, sizeof *slabs);
        if (!slabs) {
            return false;
        }
        pool->slabs = slabs;
        pool->slab_capacity = capacity;
    }
    return pool->given_back != NULL;
}

/* The first slab is touched bit by bit, so that a small pool stays small. */
static bool add_slab(struct pool *pool)
{
    if (pool->slab_count == SLABS_MAX || !reserve(pool)) {
        return false;
    }
    char *slab = pool->slab_count > 0 ? map_slab() : aligned(CACHE_LINE, HUGE_PAGE, false);
    if (!slab) {
        return false;
    }
    pool->next = pool->slab_count * POOL_SLAB_UNITS;
    pool->next += pool->slab_count == 0 ? CACHE_LINE / POOL_UNIT : 0; /* 0 is no piece */
    pool->slabs[pool->slab_count++] = slab;
    pool->end = pool->slab_count * POOL_SLAB_UNITS;
    return true;
}

static uint32_t units_of(size_t size)
{
    return (uint32_t)((size + POOL_UNIT - 1) / POOL_UNIT);
}

uint32_t pool_take(struct pool *pool, size_t size)
{
    if (size > HUGE_PAGE / 2) {
        return POOL_NONE;
    }
    uint32_t units = units_of(size), piece;
    if (units <= POOL_KEPT_UNITS && pool->given_back && pool->given_back[units] != POOL_NONE) {
        piece = pool->given_back[units];
        memcpy(&pool->given_back[units], pool_at(pool, piece), sizeof piece);
    } else {
        if (pool->end - pool->next < units && !add_slab(pool)) {
            return POOL_NONE;
        }
        piece = pool->next;
        pool->next += units;
    }
    memset(pool_at(pool, piece), 0, (size_t)units * POOL_UNIT);
    return piece;
}

void pool_give(struct pool *pool, uint32_t piece, size_t size)
{
    uint32_t units = units_of(size);
    if (units <= POOL_KEPT_UNITS) {
        memcpy(pool_at(pool, piece), &pool->given_back[units], sizeof piece);
        pool->given_back[units] = piece;
    }
}

void pool_free(struct pool *pool)
{
    for (uint32_t i = 1; i < pool->slab_count; i++) {
        munmap(pool->slabs[i], HUGE_PAGE);
    }
    if (pool->slab_count > 0) {
        free(pool->slabs[0]);
    }
    free(pool->slabs);
    free(pool->given_back);
    *pool = (struct pool){0};
}
