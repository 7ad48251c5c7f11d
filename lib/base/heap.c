#include <base/heap.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 32 };

void heap_free(struct heap *heap)
{
    if (heap) {
        free(heap->items);
        *heap = (struct heap){0};
    }
}

static bool grow(struct heap *heap)
{
    size_t capacity = heap->capacity ? 2 * heap->capacity : FIRST_CAPACITY;
    struct heap_item *items = reallocarray(heap->items, capacity, sizeof *items);
    if (!items) {
        return false;
    }
    heap->items = items;
    heap->capacity = capacity;
    return true;
}

bool heap_push(struct heap *heap, int64_t key, void *value)
{
    if (heap->count == heap->capacity && !grow(heap)) {
        return false;
    }
    size_t at = heap->count++;
    while (at > 0 && heap->items[(at - 1) / 2].key > key) {
        heap->items[at] = heap->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->items[at] = (struct heap_item){.key = key, .value = value};
    return true;
}

bool heap_peek(const struct heap *heap, struct heap_item *ret_item)
{
    if (heap->count == 0) {
        return false;
    }
    *ret_item = heap->items[0];
    return true;
}

bool heap_pop(struct heap *heap, struct heap_item *ret_item)
{
    if (!heap_peek(heap, ret_item)) {
        return false;
    }
    struct heap_item last = heap->items[--heap->count];
    size_t at = 0;
    for (size_t child = 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && heap->items[child + 1].key < heap->items[child].key) {
            child++;
        }
        if (last.key <= heap->items[child].key) {
            break;
        }
        heap->items[at] = heap->items[child];
        at = child;
    }
    heap->items[at] = last;
    return true;
}
