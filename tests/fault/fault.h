/* Faults on order. Each allocation and each system call of the objects of a test program is counted, LMDB's
 * among them (it is linked in whole, so that the linker's --wrap sees them), and the n-th of them fails:
 * once, or it and all behind it. So that a failure at every place can be tried, one after the other.
 *
 * A failed call has done nothing, but for FAULT_SHORT and close. Syncing is left out: what a power cut takes
 * is not the question here. One thread. */
#ifndef FAULT_FAULT_H
#define FAULT_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_kind {
    FAULT_MEMORY = 1, /* malloc and its like, mmap, mutexes: ENOMEM */
    FAULT_CALLS = 2   /* files, directories and locks */
};
enum { FAULT_SHORT = -1 }; /* as an errno: half of a read or write gets through, no error; others work */

struct fault_plan {
    unsigned kinds;
    int error;      /* errno of FAULT_CALLS. EINTR only where that can be */
    uint64_t nth;   /* 1, 2, ...; 0: only counts */
    bool from_then; /* all behind the n-th fail too */
};

void fault_start(const struct fault_plan *plan);
void fault_stop(void);         /* everything works again; counts and hits are kept until the next start */
bool fault_pause(bool paused); /* meanwhile nothing fails or counts; returns how it was */

uint64_t fault_count(void); /* of calls that could fail since the start */
uint64_t fault_hits(void);
const char *fault_name(void); /* of the first that failed: "malloc"; "" where none did */

/* Lives through a plan and checks what is left; returns fault_count(). */
typedef uint64_t fault_try(const struct fault_plan *plan);
/* Every n of a life: once, and from then on. An interrupted call is done again, for ever were it to go on. */
void fault_try_every(unsigned kinds, int error, fault_try *try_plan);
/* The same as a test, test_every_WHAT. */
#define FAULT_TEST_EVERY(what, kinds, error, try_plan)                                                       \
    static void test_every_##what(void **state)                                                              \
    {                                                                                                        \
        (void)state;                                                                                         \
        fault_try_every(kinds, error, try_plan);                                                             \
    }

/* Directories of tests are made in memory where that can be: they are many. */
void fault_scratch_in_memory(void);

/* What is held: allocations, mappings and descriptors. Equal before and after, nothing has leaked. */
struct fault_held {
    int64_t allocations, mappings;
    size_t descriptors;
};
struct fault_held fault_held(void);

#endif
