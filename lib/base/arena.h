/* A bump allocator with a hard limit: many small allocations, freed all at once. Not thread-safe. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena {
    struct arena_block *head;
    size_t used;  /* bytes handed out since the last reset, each allocation rounded up to 16 */
    size_t limit; /* arena_alloc returns NULL beyond it; 0: no limit */
};

void arena_init(struct arena *arena, size_t limit);
/* 16-byte aligned, not cleared; NULL when out of memory or beyond the limit. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t count, size_t size); /* cleared; overflow checked */
char *arena_strndup(struct arena *arena, const char *text, size_t length);
/* Forgets all allocations; keeps one block for reuse. */
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena); /* a zeroed arena is fine */

#endif
