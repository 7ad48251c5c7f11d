/* For how long batches wait to be acknowledged, in little memory whatever waits: batches that were appended
 * about the same time are one group. An age is never below the true one, and above it by a tenth of a second,
 * or about a hundredth of how long a spool was not empty. */
#ifndef CLIENT_WAITS_H
#define CLIENT_WAITS_H

#include <stddef.h>
#include <stdint.h>

enum { WAITS_GROUPS = 256 };

struct waits {
    struct waits_group {
        uint64_t last;      /* its last batch */
        int64_t since_us;   /* its first one was appended */
    } groups[WAITS_GROUPS]; /* the oldest first */
    size_t count;
};

/* Those from `first` to before `next` wait. Whenever there is a new one; what was not seen before waits from
 * now on. */
void waits_look(struct waits *waits, uint64_t first, uint64_t next, int64_t now_us);
/* Of the oldest of them, milliseconds; 0: none waits. */
int64_t waits_age_ms(const struct waits *waits, uint64_t first, int64_t now_us);

#endif
