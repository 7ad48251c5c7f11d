/* A binary min-heap of (key, value) pairs by key, equal keys in any order. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
    int64_t key;
    void *value;
};
struct heap {
    struct heap_item *items;
    size_t count, capacity;
};

void heap_free(struct heap *heap);                                   /* the heap, not the values */
bool heap_push(struct heap *heap, int64_t key, void *value);         /* false: out of memory */
bool heap_peek(const struct heap *heap, struct heap_item *ret_item); /* false: empty */
bool heap_pop(struct heap *heap, struct heap_item *ret_item);

#endif
