/* Chunks: measurements of one series in few bytes. A chunk holds all that an accepted row said (but its
 * names, which are the series'), its place in the journal, and the place of the row that took it away, so
 * that rows read from chunks give the same scores as the journal, now and as of then. Lossless for every
 * double but NaN, which is refused. docs/series-store.md has the bytes. */
#ifndef STORE_CHUNK_H
#define STORE_CHUNK_H

#include <base/buf.h>
#include <poise/error.h>

enum {
    CHUNK_PART = 64,         /* rows that a reader gives at a time */
    CHUNK_ROWS_MAX = 65536,  /* of a chunk */
    CHUNK_SUMMARY_ROWS = 256 /* chunks of fewer rows have no sum, min and max */
};

struct chunk_key {
    const char *text; /* NULL: the row has none */
    size_t length;    /* up to POISE_KEY_MAX */
};

/* Rows as columns. A column that is NULL says of every row what stands behind it. */
struct chunk_rows {
    size_t count;
    const int64_t *time_ms; /* never falling */
    const double *value;
    const double *of;        /* 1 */
    const uint64_t *ordinal; /* its place in the journal */
    const uint64_t *seq;     /* 0, none */
    const uint64_t *gone;    /* place of the row that took it away; 0: it stands */
    const struct chunk_key *key;
    const bool *retract; /* false */
};

struct chunk_head {
    uint32_t rows;
    uint32_t standing; /* rows that count: neither gone nor retractions */
    int64_t min_time_ms, max_time_ms;
    bool has_of, has_keys;
    /* Of the values of the standing rows. The sum is exact: that of the three doubles, unrounded. Absent
     * where there are few rows, or the sum does not fit. */
    bool summed;
    double min, max, sum[3];
};

/* Appends a chunk. EINVAL: no rows, a NaN, a key that is too long, times that fall; ELIMIT: more than
 * CHUNK_ROWS_MAX rows; ENOMEM. On failure out is as before, but for its capacity. `series` is not stored, but
 * guarded by the CRC: it must be given again. */
poise_code chunk_encode(uint64_t series, const struct chunk_rows *rows, struct buf *out, poise_error *err);

/* Without the CRC: for blocks, which have one for all their chunks. */
poise_code chunk_encode_bare(const struct chunk_rows *rows, struct buf *out, poise_error *err);

/* Reads chunks, one after the other. ECORRUPT: it is damaged, or another series'; EVERSION: of a format that
 * is not known. Safe on any bytes: what comes of bytes with a right CRC that no chunk_encode has written is
 * arbitrary, but bounded. */
struct chunk_reader;                          /* opaque; one thread */
struct chunk_reader *chunk_reader_open(void); /* NULL: out of memory */
void chunk_reader_close(struct chunk_reader *reader);
/* The bytes must stay until the chunk is read. */
poise_code chunk_reader_begin(struct chunk_reader *reader, uint64_t series, const void *bytes, size_t length,
                              struct chunk_head *ret_head, poise_error *err);
poise_code chunk_reader_begin_bare(struct chunk_reader *reader, const void *bytes, size_t length,
                                   struct chunk_head *ret_head, poise_error *err);
/* The next rows, at most CHUNK_PART; 0 rows: that was all. They live until the next call. */
poise_code chunk_reader_next(struct chunk_reader *reader, struct chunk_rows *ret_rows, poise_error *err);

#endif
