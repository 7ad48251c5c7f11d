/* Measurements as plain arrays, cut into runs, and what blocks made of them must give back. */
#ifndef STORE_TEST_PLAIN_H
#define STORE_TEST_PLAIN_H

#include "columns.h"
#include <store/merge.h>

enum { PLAIN_KEY = 24 };

struct plain_row {
    int32_t bucket;
    uint32_t input;
    uint64_t series;
    int64_t time_ms;
    uint64_t place, seq, gone;
    uint64_t again; /* something later took it away, too: that changes nothing */
    double value, of;
    char key[PLAIN_KEY];
    bool has_key, retract;
    bool is_mark; /* only bucket to place, and gone */
};

struct plain { /* rows by place: 1, 2, ... */
    struct plain_row *rows;
    size_t count;
};

struct plain_shape {
    size_t rows;
    int32_t buckets;
    uint32_t inputs;
    uint64_t series;   /* of an input */
    int64_t corrected; /* of 1000 */
};
void plain_make(struct plain *plain, const struct plain_shape *shape, uint64_t *random);
void plain_free(struct plain *plain);

/* What a run of places [from, until] holds, in the order of a builder: its rows, and marks of what its rows
 * took away; `random` decides whether what went within it comes as a mark, too. Returns how many. */
size_t plain_run(const struct plain *plain, uint64_t from, uint64_t until, uint64_t *random,
                 struct plain_row **ret_items);
/* Feeds them, cut at random. */
void plain_build(struct block_builder *builder, const struct plain_row *items, size_t count,
                 uint64_t *random);

/* What must come of the rows [from, until] when no more is known than what went up to `until`, by bucket,
 * input, series, time and place. */
size_t plain_known(const struct plain *plain, uint64_t from, uint64_t until, struct plain_row **ret_rows);

/* Blocks in memory. */
struct blocks {
    struct kept_block {
        struct block block;
        uint8_t *bytes;
    } * all;
    size_t count;
};
poise_code blocks_take(void *taker, const struct block *block, poise_error *err);
void blocks_free(struct blocks *blocks);
/* Of places [from, until]. */
void blocks_build(struct blocks *blocks, const struct plain *plain, uint64_t from, uint64_t until,
                  uint64_t run, uint64_t *random);

struct blocks_at { /* a source of merges */
    const struct blocks *blocks;
    size_t next;
};
poise_code blocks_next(void *run, struct block_reader *ret_block, bool *ret_more, poise_error *err);

/* Rows that came, to be compared. */
struct came {
    struct plain_row *rows;
    size_t count, capacity;
};
void came_add(struct came *came, int32_t bucket, uint32_t input, uint64_t series,
              const struct chunk_rows *rows, bool are_marks);
void came_check(const struct came *came, const struct plain_row *rows, size_t count);
void came_free(struct came *came);

#endif
