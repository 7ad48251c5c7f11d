/* Runs of one bucket and input, side by side: series by series, the rows of all in order of time and place,
 * marks folded into the rows that they name. Pure: the blocks come from the caller. Holds one block a run,
 * and no more than some hundred rows, whatever there is. */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include "block.h"

struct merge_run {
    /* The next block of the run, opened; *ret_more false: there is none. Its bytes must stay until the merge
     * is closed. */
    poise_code (*next)(void *run, struct block_reader *ret_block, bool *ret_more, poise_error *err);
    /* NULL, or: blocks that have only series before this one need not come any more. */
    void (*skip)(void *run, uint64_t series);
    void *run;
    bool heads;    /* all its rows are wanted as they stand in it: heads may stand for chunks */
    bool no_marks; /* it is known to have none */
};

struct merge_effort {
    uint64_t blocks; /* that were opened */
    uint64_t chunks; /* whose rows were read */
    uint64_t heads;  /* that stood for a chunk */
};

struct merge_range {
    uint64_t from_series, until_series; /* both included, as are times */
    int64_t from_ms, until_ms;
    bool keep_marks; /* also give marks whose row is in none of the runs */
    bool heads;      /* give heads instead of rows where they say it all */
    /* NULL: all series are wanted, and all heads. Else: the least series from this one on that is,
     * UINT64_MAX: none; whether the head of a chunk will do. */
    uint64_t (*choose)(void *chooser, uint64_t series);
    bool (*will_do)(void *chooser, uint64_t series, const struct chunk_head *head);
    void *chooser;
    struct merge_effort *effort; /* NULL, or what it took is added here */
    /* Begin behind this row of from_series. */
    bool is_after;
    int64_t after_ms;
    uint64_t after_place;
};

enum merge_kind {
    MERGE_END,
    MERGE_ROWS,
    MERGE_MARKS, /* columns of marks, as block_builder_add_marks takes them */
    MERGE_HEAD   /* a chunk whose rows are all in the range and have no `of`, and none is marked */
};
struct merge_item { /* of one series; lives until the next call */
    enum merge_kind kind;
    uint64_t series;
    struct chunk_rows rows; /* at most CHUNK_PART */
    struct chunk_head head;
};

struct merge; /* opaque; one thread */
/* The runs are copied; NULL: out of memory. */
struct merge *merge_open(const struct merge_run *runs, size_t count, const struct merge_range *range);
void merge_close(struct merge *merge);
/* Series rise; of one series rows and marks rise by time and place, heads come in no order. ECORRUPT: a chunk
 * is damaged, or a row is in two runs. */
poise_code merge_next(struct merge *merge, struct merge_item *ret_item, poise_error *err);

/* Rows or marks to the builder, which goes on in `place`'s bucket and input; and all that are left. */
poise_code merge_give(const struct merge_item *item, struct block_place place, struct block_builder *builder,
                      poise_error *err);
poise_code merge_build(struct merge *merge, struct block_place place, struct block_builder *builder,
                       poise_error *err);

#endif
