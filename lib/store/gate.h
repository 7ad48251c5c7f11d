/* Readers pass the gate while they have a transaction open; the writer shuts it to grow the map, for which
 * LMDB wants no transaction in the whole process. */
#ifndef STORE_GATE_H
#define STORE_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned inside;
    atomic_bool shut; /* read without the mutex by readers that could make way */
};

bool gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* Waits while the gate is shut. */
void gate_enter(struct gate *gate);
bool gate_try(struct gate *gate); /* never waits; false: it is shut */
void gate_leave(struct gate *gate);
unsigned gate_inside(struct gate *gate);
/* Somebody waits for the readers inside. */
static inline bool gate_wanted(struct gate *gate)
{
    return atomic_load_explicit(&gate->shut, memory_order_relaxed);
}

/* Lets nobody in and waits until all are out; false, and open again, if they are not within the time. */
bool gate_shut(struct gate *gate, int timeout_ms);
void gate_open(struct gate *gate);

#endif
