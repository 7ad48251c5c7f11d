/* What the files of blocks and merges share. */
#ifndef STORE_BLOCK_INNER_H
#define STORE_BLOCK_INNER_H

#include "block.h"

enum {
    BLOCK_FORMAT = 1,
    BLOCK_DAY_MS = 86400000,
    BLOCK_HEAD_MAX = 4 + 1 + 2 /* CRC, format, number of chunks */
};

/* Of all behind it. */
uint32_t block_crc(const struct block_key *key, const void *bytes, size_t length);

static inline bool block_is_before(int64_t a_ms, uint64_t a_place, int64_t b_ms, uint64_t b_place)
{
    return a_ms < b_ms || (a_ms == b_ms && a_place < b_place);
}

/* Of two places of what took a row away: 0 is none. So folding does not depend on its order. */
static inline uint64_t block_earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

#endif
