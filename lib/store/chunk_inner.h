/* What the files of the chunk share: its columns and its head.
 *
 *     bits.c    whole numbers            reals.c        doubles
 *     keys.c    texts                    sparse.c       what few rows have
 *     chunk_head.c  head and sums        chunk_encode.c, chunk_decode.c  the whole */
#ifndef STORE_CHUNK_INNER_H
#define STORE_CHUNK_INNER_H

#include "chunk.h"
#include "reals.h"
#include <poise/types.h>

enum {
    CHUNK_FORMAT = 1,
    CHUNK_CRC = 4, /* bytes */
    CHUNK_HAS_OF = 1,
    CHUNK_HAS_SEQ = 2,
    CHUNK_HAS_KEYS = 4,
    CHUNK_HAS_GONE = 8,
    CHUNK_HAS_RETRACT = 16,
    CHUNK_SUMMED = 32,
    CHUNK_FLAGS = 63
};

/* ---- keys.c ---- */

/* Appends a column of keys. */
void keys_put(struct buf *out, const struct chunk_key *keys, size_t count);

struct keys_reader {
    struct cursor in; /* failed: the bytes are not of a column */
    size_t left;
    bool is_numbered; /* a prefix and a number of so many digits */
    unsigned digits;
    struct bits_reader numbers;
    char last[POISE_KEY_MAX]; /* the key before; the prefix of numbered ones */
    size_t last_length;
};
void keys_open(struct keys_reader *reader, struct cursor in, size_t count);
/* As bits_next; texts must have room for BITS_BLOCK keys of POISE_KEY_MAX. */
size_t keys_next(struct keys_reader *reader, char *texts, struct chunk_key ret_keys[BITS_BLOCK]);

/* ---- sparse.c ---- */

/* Appends the numbers of the rows that have one other than 0; `from` is taken off each. */
void sparse_put(struct buf *out, const uint64_t *values, const uint64_t *from, size_t count);
/* Likewise, where they have none but are marked. */
void sparse_put_marks(struct buf *out, const bool *marks, size_t count);

struct sparse_reader {
    struct cursor in; /* failed: the bytes are not of a column */
    size_t left, at, next, count;
};
void sparse_open(struct sparse_reader *reader, struct cursor in, size_t count);
/* For the next `count` rows. */
void sparse_next(struct sparse_reader *reader, size_t count, const uint64_t *from, uint64_t *ret_values);
void sparse_next_marks(struct sparse_reader *reader, size_t count, bool *ret_marks);

/* ---- chunk_head.c ---- */

struct chunk_head chunk_head_of(const struct chunk_rows *rows, unsigned flags);
void chunk_head_put(struct buf *out, const struct chunk_head *head, unsigned flags);
/* in stands behind the CRC. */
void chunk_head_take(struct cursor *in, struct chunk_head *ret_head, unsigned *ret_flags);
uint32_t chunk_crc(uint64_t series, const void *bytes, size_t length);

#endif
