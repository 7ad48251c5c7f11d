/* Rows of the journal in the order in which blocks want them: by bucket, input, series, time and place. A
 * counting sort by (bucket, series), within which rows mostly come in order. */
#ifndef AGGREGATOR_SORTER_H
#define AGGREGATOR_SORTER_H

#include <store/block.h>

struct sorter; /* opaque; one thread; 36 bytes a row, 40 more where it has `of`, seq, key or is a retraction
                */
struct sorter *sorter_open(void); /* NULL: out of memory */
void sorter_close(struct sorter *sorter);
void sorter_reset(struct sorter *sorter);        /* empty */
size_t sorter_rows(const struct sorter *sorter); /* and marks */

/* The rows of a series in a bucket; a number that stays until reset. */
#define SORTER_NONE UINT32_MAX /* out of memory */
uint32_t sorter_group(struct sorter *sorter, int32_t bucket, uint32_t series, uint32_t input);

struct sorter_extra { /* what few rows have */
    double of;
    uint64_t seq;
    const char *key; /* NULL: none; as long as the sorter */
    uint32_t key_length;
    bool retract;
};
/* extra NULL: `of` 1 and none of the rest. false: out of memory. */
bool sorter_add(struct sorter *sorter, uint32_t group, int64_t time_ms, uint64_t place, double value,
                const struct sorter_extra *extra);
/* The row of that time and place has gone because of the one at `gone`. */
bool sorter_mark(struct sorter *sorter, uint32_t group, int64_t time_ms, uint64_t place, uint64_t gone);

/* Gives all to the builder, which is ended. */
poise_code sorter_build(struct sorter *sorter, struct block_builder *builder, poise_error *err);

#endif
