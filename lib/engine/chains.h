/* The heads of a hash table of chains that grows by a chain at a time (linear hashing: Litwin, 1980), so that
 * no insert waits for millions to be moved. Who uses it moves the entries: of those in chains_parted() the
 * ones that now belong to the new chain, chains_count - 1. */
#ifndef ENGINE_CHAINS_H
#define ENGINE_CHAINS_H

#include <base/pool.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { CHAINS_FIRST = 16 };
struct chains {
    uint32_t *heads; /* 0: the chain is empty */
    size_t count, capacity;
};

static inline uint32_t *chain_at(const struct chains *chains, uint64_t hash) /* there are some */
{
    size_t mask = SIZE_MAX >> __builtin_clzl(chains->count - 1);
    size_t at = (size_t)hash & mask;
    return &chains->heads[at < chains->count ? at : at & mask >> 1];
}

/* One more, empty; the first time some. False: out of memory, nothing changed. */
static inline bool chains_add(struct chains *chains)
{
    if (chains->count == chains->capacity) {
        size_t capacity = chains->capacity ? 2 * chains->capacity : CHAINS_FIRST;
        uint32_t *heads = pool_large(capacity, sizeof *heads);
        if (!heads) {
            return false;
        }
        if (chains->count > 0) {
            memcpy(heads, chains->heads, chains->count * sizeof *heads);
        }
        free(chains->heads);
        chains->heads = heads;
        chains->capacity = capacity;
    }
    size_t more = chains->count > 0 ? 1 : CHAINS_FIRST;
    memset(chains->heads + chains->count, 0, more * sizeof *chains->heads);
    chains->count += more;
    return true;
}

/* The chain that held what may belong to the last one. */
static inline uint32_t *chains_parted(const struct chains *chains)
{
    size_t last = chains->count - 1;
    return &chains->heads[last & (SIZE_MAX >> __builtin_clzl(last)) >> 1];
}

/* Whether one more is wanted for so many entries: then two in three chains have one. */
static inline bool chains_want(const struct chains *chains, size_t entries)
{
    return chains->count < entries + entries / 2 + 1;
}

#endif
