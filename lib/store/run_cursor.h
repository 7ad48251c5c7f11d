/* One run of a merge: where it is in its blocks, with the next row and the next mark of a series at hand. */
#ifndef STORE_RUN_CURSOR_H
#define STORE_RUN_CURSOR_H

#include "merge.h"

struct rows_ahead {              /* of a chunk */
    struct chunk_reader *reader; /* of marks: made when the first are met */
    bool open;                   /* there may be more than the part */
    struct chunk_rows part;
    size_t at;
};

struct run_cursor {
    struct merge_run run;
    const struct merge_range *range;
    struct block_reader block;
    bool has_block, ended;
    bool has_next; /* `next` is the next chunk, not yet begun */
    struct block_chunk next;
    uint64_t wanted;            /* the least series that may come yet */
    struct rows_ahead ahead[2]; /* by block_kind */
    struct chunk_head head;     /* of the rows ahead */
    bool is_fresh;              /* of which none was read yet */
};

bool run_cursor_open(struct run_cursor *cursor, const struct merge_run *run, const struct merge_range *range);
void run_cursor_close(struct run_cursor *cursor);
/* The series of its next chunk; *ret_more false: there is none in the range. */
poise_code run_cursor_series(struct run_cursor *cursor, uint64_t *ret_series, bool *ret_more,
                             poise_error *err);
/* Puts the next row and mark of the series at hand, as far as there are any; rows may stay fresh. */
poise_code run_cursor_settle(struct run_cursor *cursor, uint64_t series, poise_error *err);
/* Reads the first rows of a fresh chunk; there may be none in the range: settle again. */
poise_code run_cursor_unwrap(struct run_cursor *cursor, uint64_t series, poise_error *err);
/* Whether the run may have marks of the series that follows. To be asked before it is settled. */
bool run_cursor_may_mark(const struct run_cursor *cursor, uint64_t series);

static inline bool rows_ahead_has(const struct rows_ahead *ahead)
{
    return ahead->at < ahead->part.count;
}

#endif
