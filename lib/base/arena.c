#include <base/arena.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16, FIRST_BLOCK = 4096, USUAL_BLOCK_MAX = 1 << 20 };

struct arena_block {
    struct arena_block *next;
    size_t size, used;
    _Alignas(ALIGNMENT) unsigned char data[];
};

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

/* Blocks double, so that a large arena is few blocks. */
static struct arena_block *add_block(struct arena *arena, size_t wanted)
{
    size_t size = FIRST_BLOCK;
    if (arena->head && arena->head->size <= USUAL_BLOCK_MAX / 2) {
        size = 2 * arena->head->size;
    } else if (arena->head) {
        size = USUAL_BLOCK_MAX;
    }
    if (size < wanted) {
        size = wanted;
    }
    struct arena_block *block = malloc(sizeof *block + size);
    if (block) {
        *block = (struct arena_block){.next = arena->head, .size = size};
        arena->head = block;
    }
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > PTRDIFF_MAX - sizeof(struct arena_block) - ALIGNMENT) {
        return NULL;
    }
    size_t rounded = size > 0 ? (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : ALIGNMENT;
    if (arena->limit > 0 && rounded > arena->limit - arena->used) {
        return NULL;
    }
    struct arena_block *block = arena->head;
    if (!block || block->size - block->used < rounded) {
        block = add_block(arena, rounded);
        if (!block) {
            return NULL;
        }
    }
    void *bytes = block->data + block->used;
    block->used += rounded;
    arena->used += rounded;
    return bytes;
}

void *arena_zalloc(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    void *bytes = arena_alloc(arena, total);
    return bytes ? memset(bytes, 0, total) : NULL;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? arena_alloc(arena, length + 1) : NULL;
    if (copy) {
        if (length > 0) {
            memcpy(copy, text, length);
        }
        copy[length] = '\0';
    }
    return copy;
}

static void free_blocks(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_reset(struct arena *arena)
{
    if (arena->head && arena->head->size > USUAL_BLOCK_MAX) { /* once is no reason to keep that much */
        free_blocks(arena->head);
        arena->head = NULL;
    } else if (arena->head) {
        free_blocks(arena->head->next);
        arena->head->next = NULL;
        arena->head->used = 0;
    }
    arena->used = 0;
}

void arena_free(struct arena *arena)
{
    if (arena) {
        free_blocks(arena->head);
        arena->head = NULL;
        arena->used = 0;
    }
}
