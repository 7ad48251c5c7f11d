/* Rows copied into columns that are kept. */
#ifndef STORE_ROW_BUF_H
#define STORE_ROW_BUF_H

#include "chunk.h"

struct row_buf {
    size_t count, capacity;
    int64_t *time_ms;
    double *value, *of;
    uint64_t *ordinal, *seq, *gone;
    struct chunk_key *key; /* its text: set by row_buf_rows */
    size_t *text_at;       /* where in texts; SIZE_MAX: no key */
    bool *retract;
    struct buf texts;
    /* Whether a row ever had it, since it was empty. */
    bool has_of, has_seq, has_gone, has_key, has_retract;
};

bool row_buf_make(struct row_buf *buf, size_t capacity); /* false: out of memory; free it all the same */
void row_buf_free(struct row_buf *buf);
/* rows[from, from + count), for which there is room; value NULL: 0. false: out of memory, nothing added. */
bool row_buf_add(struct row_buf *buf, const struct chunk_rows *rows, size_t from, size_t count);
/* Takes the first ones away. */
void row_buf_drop(struct row_buf *buf, size_t count);
/* A view of [from, from + count), until it changes. */
struct chunk_rows row_buf_rows(struct row_buf *buf, size_t from, size_t count);

/* rows[from, from + count) where they are. */
struct chunk_rows rows_slice(const struct chunk_rows *rows, size_t from, size_t count);

#endif
