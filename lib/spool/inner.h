/* What the files of the spool share. */
#ifndef SPOOL_INNER_H
#define SPOOL_INNER_H

#include "segment.h"
#include "spool.h"

struct spool {
    char *path;
    int lock_fd, acked_fd, active_fd; /* -1: not open */
    int64_t max_bytes, segment_bytes, keep_ms;
    bool sync;
    bool broken; /* a write, a sync or a repair failed: nothing is written any more */

    uint64_t epoch;
    bool has_store;
    uint8_t store_id[16];
    uint64_t incarnation;

    struct segment *segments; /* by sequence; the last is being appended to */
    size_t count, capacity;
    int64_t bytes;

    uint64_t first_seq;  /* oldest not acknowledged */
    uint64_t acked_hash; /* of the one before */
    uint64_t next_seq;
    uint64_t last_hash; /* of next_seq - 1 */

    struct mark mark;
    bool mark_saved; /* known to stand in spool.meta, not only in a record */

    struct place reading, acking;
    struct buf record;
};

/* ---- spool.c ---- */

/* Begins a new active segment at next_seq. */
poise_code spool_rotate(struct spool *spool, poise_error *err);
/* Removes segments without unacknowledged batches that are old enough, or in the way of so many bytes more;
 * never the active one. */
poise_code spool_drop_acked(struct spool *spool, int64_t wanted, poise_error *err);
/* Whether all batches of segments[i] are acknowledged, and it is not the active one. */
bool spool_all_acked(const struct spool *spool, size_t i);
/* Removes the oldest segment. */
poise_code spool_drop_oldest(struct spool *spool, poise_error *err);
poise_code spool_add_segment(struct spool *spool, const struct segment *segment, poise_error *err);

/* ---- open.c ---- */

poise_code spool_load(struct spool *spool, uint64_t new_epoch, poise_error *err);
poise_code spool_write_meta(const struct spool *spool, poise_error *err);
poise_code spool_write_acked(const struct spool *spool, uint64_t seq, uint64_t hash, poise_error *err);

#endif
