#include "gate.h"
#include <errno.h>
#include <time.h>

bool gate_init(struct gate *gate)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* always known on Linux */
    bool made = pthread_cond_init(&gate->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (made && pthread_mutex_init(&gate->mutex, NULL) != 0) {
        pthread_cond_destroy(&gate->changed);
        made = false;
    }
    gate->inside = 0;
    atomic_init(&gate->shut, false);
    return made;
}

void gate_destroy(struct gate *gate)
{
    pthread_mutex_destroy(&gate->mutex);
    pthread_cond_destroy(&gate->changed);
}

void gate_enter(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    while (atomic_load(&gate->shut)) {
        pthread_cond_wait(&gate->changed, &gate->mutex);
    }
    gate->inside++;
    pthread_mutex_unlock(&gate->mutex);
}

bool gate_try(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    bool open = !atomic_load(&gate->shut);
    gate->inside += open;
    pthread_mutex_unlock(&gate->mutex);
    return open;
}

void gate_leave(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->inside--;
    if (gate->inside == 0) {
        pthread_cond_broadcast(&gate->changed);
    }
    pthread_mutex_unlock(&gate->mutex);
}

unsigned gate_inside(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    unsigned inside = gate->inside;
    pthread_mutex_unlock(&gate->mutex);
    return inside;
}

static struct timespec deadline_in(int timeout_ms)
{
    struct timespec at = {0};
    clock_gettime(CLOCK_MONOTONIC, &at);
    long nanoseconds = at.tv_nsec + (long)(timeout_ms % 1000) * 1000000L;
    at.tv_sec += timeout_ms / 1000 + nanoseconds / 1000000000L;
    at.tv_nsec = nanoseconds % 1000000000L;
    return at;
}

bool gate_shut(struct gate *gate, int timeout_ms)
{
    struct timespec deadline = deadline_in(timeout_ms);
    pthread_mutex_lock(&gate->mutex);
    atomic_store(&gate->shut, true);
    int rc = 0;
    while (gate->inside > 0 && rc == 0) {
        rc = pthread_cond_timedwait(&gate->changed, &gate->mutex, &deadline);
    }
    bool empty = gate->inside == 0;
    pthread_mutex_unlock(&gate->mutex);
    if (!empty) {
        gate_open(gate);
    }
    return empty;
}

void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    atomic_store(&gate->shut, false);
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}
