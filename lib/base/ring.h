/* A bounded queue of pointers from one thread to one other (C11 atomics, no lock). Policy when full:
 * refuse; the caller says what follows (wait, drop, count). `full` counts refusals. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    void **slots;
    size_t capacity; /* a power of two */
    /* Apart by a cache line each, by padding rather than alignment, so that malloc may hold a ring. */
    char apart[64];
    _Atomic size_t head; /* next to take; the consumer's */
    char apart_too[64];
    _Atomic size_t tail; /* next to fill; the producer's */
    _Atomic uint64_t full;
};

bool ring_init(struct ring *ring, size_t capacity); /* rounded up to a power of two; false: out of memory */
void ring_free(struct ring *ring);
bool ring_push(struct ring *ring, void *item); /* false: full */
void *ring_pop(struct ring *ring);             /* NULL: empty */
size_t ring_count(struct ring *ring);

#endif
