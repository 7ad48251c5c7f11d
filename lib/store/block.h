/* Blocks: what the store keeps of measurements, an LMDB value each. A block has the chunks of neighbouring
 * series of one bucket (a day of event time) and input, cut so that with LMDB's header it fills four pages.
 * Beside rows it has marks: where a row of an earlier run has gone, its time and place and the place of the
 * row that took it away; merges and readers fold them into the row. docs/series-store.md has the bytes. */
#ifndef STORE_BLOCK_H
#define STORE_BLOCK_H

#include "chunk.h"

enum {
    BLOCK_MAX = 16368,      /* bytes of a block, at most */
    BLOCK_ROWS_MAX = 16384, /* of a chunk in it */
    BLOCK_KEY_BYTES = 28,
    BLOCK_LEVEL_MAX = 255
};

struct block_key {
    int32_t bucket;  /* block_bucket of its rows */
    uint32_t input;  /* a number that stands for its name; up to the caller */
    uint64_t run;    /* block_run */
    uint64_t series; /* the first in it */
    uint32_t part;   /* blocks of the run before this one that begin with the same series */
};
/* The day that a time is in; times beyond the first and last count as in them. */
int32_t block_bucket(int64_t time_ms);
/* A run is named by the last record in it, and how often its rows were merged. Level 0: as compacted. */
static inline uint64_t block_run(uint64_t lsn, unsigned level)
{
    return lsn << 8 | level;
}
static inline uint64_t block_run_lsn(uint64_t run)
{
    return run >> 8;
}
static inline unsigned block_run_level(uint64_t run)
{
    return (unsigned)(run & BLOCK_LEVEL_MAX);
}
/* In the order in which LMDB keeps blocks: bucket, input, run, series, part. */
void block_key_put(const struct block_key *key, uint8_t ret_bytes[BLOCK_KEY_BYTES]);
bool block_key_take(const void *bytes, size_t length, struct block_key *ret_key); /* false: it is none */

/* ---- building ---- */

/* Of a run, in one bucket and input. */
struct block_stats {
    uint64_t rows, marks, blocks, bytes;
    int64_t min_time_ms, max_time_ms; /* of rows and marks */
    uint64_t first_place;             /* the least of a row, or, of marks, of what took one away */
    uint64_t last_place;              /* the greatest of a row, or of what took one away */
};

struct block {
    struct block_key key;
    const void *bytes; /* with their CRC, as LMDB keeps them */
    size_t length;
    struct block_stats stats; /* up to this block */
};
/* Takes a finished block, which lives during the call. Other than OK ends the building and is passed on. */
typedef poise_code block_take(void *taker, const struct block *block, poise_error *err);

struct block_place { /* where rows belong */
    int32_t bucket;
    uint32_t input;
    uint64_t series;
};

/* Makes the blocks of a run. Rows and marks come in order of bucket, input, series, time and place (ordinal),
 * rows and marks among each other; as many or few at a time as suits. A mark of a row that was just added is
 * folded into it. Memory: two buffers of BLOCK_ROWS_MAX rows (some 3 MB, and their keys). */
struct block_builder; /* opaque; one thread */
struct block_builder *block_builder_open(uint64_t run, block_take *take, void *taker); /* NULL: no memory */
void block_builder_close(struct block_builder *builder);
/* EINVAL: not in order, or nothing that a chunk takes; ENOMEM. After a failure only close is left. */
poise_code block_builder_add(struct block_builder *builder, const struct block_place *place,
                             const struct chunk_rows *rows, poise_error *err);
/* Of rows only time_ms, ordinal and gone are looked at; all of them have gone. One mark a row and run. */
poise_code block_builder_add_marks(struct block_builder *builder, const struct block_place *place,
                                   const struct chunk_rows *marks, poise_error *err);
/* Gives what is left to take. */
poise_code block_builder_end(struct block_builder *builder, poise_error *err);

/* ---- reading ---- */

enum block_kind { BLOCK_ROWS, BLOCK_MARKS };

struct block_chunk {
    uint64_t series;
    enum block_kind kind;
    const void *bytes; /* for chunk_reader_begin_bare */
    size_t length;
};
/* Walks the chunks of a block: by series; of a series by time, but that marks stand behind the chunk of rows
 * that they lie before the end of. */
struct block_reader {
    struct cursor directory;
    struct cursor chunks;
    size_t left;
    uint64_t series;
};
/* Checks the CRC, which is of the key too. ECORRUPT: damaged, or another key's; EVERSION. The bytes must
 * stay.
 */
poise_code block_open(struct block_reader *reader, const struct block_key *key, const void *bytes,
                      size_t length, poise_error *err);
/* false: there is no more, or (reader->directory.failed) the directory cannot be read. */
bool block_next(struct block_reader *reader, struct block_chunk *ret_chunk);
/* The next chunk of the series; false: it has no more. Passes those of the series before it. */
bool block_find(struct block_reader *reader, uint64_t series, struct block_chunk *ret_chunk);

#endif
