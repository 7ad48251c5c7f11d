/* How far each file was read: the note (mark) that the spool keeps together with the rows that were read. */
#ifndef COLLECTOR_POSITIONS_H
#define COLLECTOR_POSITIONS_H

#include <base/buf.h>
#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POSITIONS_MAX = 64, POSITION_HEAD_MAX = 256 };

/* The next record of a file starts at offset, in line. That it is the same file is seen by its inode and by
 * what it starts with: inodes are used again. */
struct position {
    uint64_t path; /* hash of the absolute path */
    uint64_t inode;
    uint64_t offset, line;
    uint32_t head_length; /* of the bytes it starts with, at most POSITION_HEAD_MAX and offset */
    uint64_t head_hash;
};

/* In the order in which they were last set. */
struct positions {
    struct position items[POSITIONS_MAX];
    size_t count;
};

/* Files that are no longer read stay known, the oldest of more than POSITIONS_MAX are forgotten. */
void positions_set(struct positions *positions, const struct position *position);
const struct position *positions_find(const struct positions *positions, uint64_t path); /* or NULL */

/* The name of a file in positions; relative paths are those of the working directory. */
uint64_t position_path(const char *path);
/* Notes what the file starts with, as far as it was read. */
void position_note_head(struct position *position, int fd);
/* The open file is that of the position, and holds all that was read. */
bool position_is_of(const struct position *position, int fd);

/* At most 4096 bytes. */
void positions_encode(const struct positions *positions, struct buf *out);
/* EVERSION, ECORRUPT. */
poise_code positions_decode(const void *bytes, size_t length, struct positions *ret_positions,
                            poise_error *err);

#endif
