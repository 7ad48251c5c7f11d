#include <assert.h>
#include <base/ring.h>
#include <stdlib.h>

/* head and tail count on for ever; their difference is what is queued, also after they wrap. */

bool ring_init(struct ring *ring, size_t capacity)
{
    size_t rounded = 1;
    while (rounded < capacity) {
        if (rounded > SIZE_MAX / 2) {
            return false;
        }
        rounded *= 2;
    }
    void **slots = calloc(rounded, sizeof *slots);
    if (!slots) {
        return false;
    }
    ring->slots = slots;
    ring->capacity = rounded;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->full, 0);
    return true;
}

void ring_free(struct ring *ring)
{
    if (ring) {
        free(ring->slots);
        ring->slots = NULL;
        ring->capacity = 0;
    }
}

bool ring_push(struct ring *ring, void *item)
{
    assert(item);
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    if (tail - head == ring->capacity) {
        atomic_fetch_add_explicit(&ring->full, 1, memory_order_relaxed);
        return false;
    }
    ring->slots[tail & (ring->capacity - 1)] = item;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

void *ring_pop(struct ring *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        return NULL;
    }
    void *item = ring->slots[head & (ring->capacity - 1)];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return item;
}

/* Head first: it never passes tail, so the difference cannot be negative. */
size_t ring_count(struct ring *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    size_t count = atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
    return count < ring->capacity ? count : ring->capacity;
}
