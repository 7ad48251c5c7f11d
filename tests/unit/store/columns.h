/* Made-up chunks, and their comparison with plain arrays. */
#ifndef STORE_TEST_COLUMNS_H
#define STORE_TEST_COLUMNS_H

#include "scratch.h"
#include <store/chunk.h>

struct columns { /* room for a chunk of any size; none of the columns is NULL */
    struct chunk_rows rows;
    int64_t *time_ms;
    double *value, *of;
    uint64_t *ordinal, *seq, *gone;
    struct chunk_key *key;
    bool *retract;
    char *texts;
};

uint64_t test_random(uint64_t *state); /* splitmix64 */
int64_t test_between(uint64_t *state, int64_t low, int64_t high);

void columns_make(struct columns *columns, size_t capacity);
void columns_free(struct columns *columns);
/* Columns of random shapes: see columns.c. */
void columns_fill(struct columns *columns, size_t count, uint64_t *random);
/* Times 10 s apart, places in the journal `step` apart, all else absent; values are zero. */
void columns_plain(struct columns *columns, size_t count, uint64_t step);
/* Reads the chunk and compares every bit of every row with rows. */
void columns_check(const struct chunk_rows *rows, uint64_t series, const struct buf *chunk);

#endif
