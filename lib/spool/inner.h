/* What the files of the spool share. */
#ifndef SPOOL_INNER_H
#define SPOOL_INNER_H

#include "segment.h"
#include "spool.h"

/* No batch has a greater one: files that say so are damaged, and what is counted on from them cannot
 * overflow. */
#define SPOOL_NUMBER_MAX (UINT64_MAX / 2)

/* The epoch that goes over the wire, once it is another than that of the files. */
struct spool_epoch {
    uint64_t epoch;  /* 0: that of the files */
    uint64_t before; /* the one that was forked */
    uint64_t start;  /* the number that it begins with */
    uint64_t hash;   /* of the batch before that, as it would be of this epoch; 0: not known */
    uint64_t end;    /* records before it were of another epoch when they were hashed */
    uint64_t doubt;  /* from start to this one they are in doubt; less than start: none */
};

struct spool {
    char *path;
    int lock_fd, acked_fd, active_fd; /* -1: not open */
    int64_t max_bytes, segment_bytes, keep_ms;
    bool sync;
    uint64_t sent_max;
    void (*describe)(void *context, const void *body, size_t length, struct spool_loss *loss);
    void (*damaged)(void *context, const struct spool_loss *loss, const char *aside);
    void *context;
    bool broken; /* a write, a sync or a repair failed: nothing is written any more */

    uint64_t epoch; /* of its files */
    bool old;       /* as it was opened */
    struct spool_epoch fork;
    bool has_store;
    uint8_t store_id[16];
    uint64_t incarnation;

    struct segment *segments; /* by sequence; the last is being appended to */
    size_t count, capacity;
    int64_t bytes;
    int64_t reserve, reserve_most; /* bytes of DIR/reserve, and what they were at most */

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

/* What ages are counted by: not the time of day, since a clock that is set ahead makes nothing older. */
int64_t spool_now_ms(void);
/* Begins a new active segment at next_seq. */
poise_code spool_rotate(struct spool *spool, poise_error *err);
/* Removes segments without unacknowledged batches that are old enough, or in the way of so many bytes more;
 * never the active one. */
poise_code spool_drop_acked(struct spool *spool, int64_t wanted, poise_error *err);
/* Whether all batches of segments[i] are acknowledged, and it is not the active one. */
bool spool_all_acked(const struct spool *spool, size_t i);
/* Those before segments[i] hold all marks that are needed of it, and it is not the active one: it may be
 * written anew. */
poise_code spool_unlink(struct spool *spool, size_t i, poise_error *err);
/* Removes the oldest segment. */
poise_code spool_drop_oldest(struct spool *spool, poise_error *err);
/* The batch's hash as it goes over the wire; 0: not known. */
uint64_t spool_hash(const struct spool *spool, uint64_t seq, uint64_t hash);
/* A loss without what is of an epoch before, or in doubt and told already; last 0: nothing is left. */
struct spool_loss spool_loss_of(const struct spool *spool, const struct spool_loss *loss);
poise_code spool_add_segment(struct spool *spool, const struct segment *segment, poise_error *err);

/* ---- loss.c ---- */

enum { LOSS_ROOM = 64 << 10 }; /* bytes beyond max_bytes that losses may take */
/* Seals the active segment, and writes losses as few, as far as the disk has room for that. */
poise_code spool_squeeze(struct spool *spool, poise_error *err);

/* Copies a damaged segment, says what is lost of it, and leaves what is whole; *segment becomes what it is
 * then. next_seq: of the segment behind it, 0 of the last. */
poise_code spool_set_aside(struct spool *spool, struct segment *segment, uint64_t next_seq, poise_error *err);
/* Whether the end of the last segment, which is no whole record, was one. */
poise_code spool_tail_lost(const struct spool *spool, const struct segment *last, bool *ret_lost,
                           poise_error *err);

/* ---- reserve.c ---- */

/* Takes LOSS_ROOM of the disk, or what there is of it. False: it had more. */
bool spool_fill_reserve(struct spool *spool);
/* Gives back what is beyond `left` bytes. False: there is nothing to give back. */
bool spool_use_reserve(struct spool *spool, int64_t left);
/* Gives back a little, for losses: half of it stays, for writing them as few. */
bool spool_use_some(struct spool *spool);

/* ---- open.c ---- */

poise_code spool_load(struct spool *spool, uint64_t new_epoch, poise_error *err);
poise_code spool_write_meta(const struct spool *spool, poise_error *err);
poise_code spool_write_acked(const struct spool *spool, uint64_t seq, uint64_t hash, poise_error *err);

#endif
