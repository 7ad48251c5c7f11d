/* The producer's disk queue: numbered batches that were accepted and are not yet acknowledged. Segment files
 * of records with CRC32C. A batch is accepted once spool_append returned OK (appended and synced). One
 * process (lock file), one thread.
 *
 * DIR/spool.meta   epoch, store identity      DIR/00000000000000000001.seg   records from that sequence on
 * DIR/acked        last acknowledged          DIR/lock      DIR/reserve    room for losses on a full disk
 *
 * The newest acknowledgements survive the process, not always a power cut: some batches are then sent once
 * more. */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include <base/buf.h>
#include <poise/error.h>
#include <stdbool.h>
#include <stdint.h>

struct spool; /* opaque */

enum spool_reason { SPOOL_DROPPED_OLDEST = 1, SPOOL_DROPPED_NEWEST, SPOOL_DAMAGED, SPOOL_FORKED };

/* Batches that were accepted, or were to be, and are gone: their numbers stay taken, and say so. */
struct spool_loss {
    uint64_t first, last; /* last 0: there is none */
    uint64_t rows;        /* 0: not known */
    int64_t from_ms, to_ms;
    enum spool_reason reason;
    uint64_t hash; /* of the last batch; 0: not known */
};

enum { SPOOL_BODY_MAX = 1 << 22, SPOOL_SEGMENT_MAX = 1 << 28, SPOOL_MARK_MAX = 4096 };

struct spool_options {
    const char *path;
    int64_t max_bytes;     /* EFULL beyond it; 0: 1 GiB */
    int64_t segment_bytes; /* 0: 8 MiB; at most 256 MiB and a quarter of max_bytes */
    int64_t keep_ms;   /* acknowledged segments stay so long, while there is room for them; 0: not at all */
    bool sync;         /* false only for tests */
    uint64_t sent_max; /* batches from first_seq on that may be on their way at a time: what is lost beyond
                          them was never sent, and is told as one loss; 0: any */
    /* Sets rows, from_ms and to_ms of a batch that is being lost. NULL: none is dropped, and damage is
     * ECORRUPT. */
    void (*describe)(void *context, const void *body, size_t length, struct spool_loss *loss);
    /* What opening and rewinding found damaged; the file as it was is `aside`. May be NULL. */
    void (*damaged)(void *context, const struct spool_loss *loss, const char *aside);
    void *context;
    uint64_t new_epoch; /* random, used when the spool is made */
};

/* Makes or reopens it; reads and checks all that is not acknowledged. A torn tail (an append that did not
 * finish) is cut. Damage: with `describe` the segment is copied to NAME.seg.bad, what is whole of it stays,
 * and the rest is a loss; a lack is ECORRUPT and says which file. EBUSY: another process; EVERSION; EFULL. */
poise_code spool_open(const struct spool_options *options, struct spool **ret_spool, poise_error *err);
void spool_close(struct spool *spool);

uint64_t spool_epoch(const struct spool *spool);
uint64_t spool_forked_epoch(const struct spool *spool); /* that this one goes on from; 0: none */
uint64_t spool_start_seq(const struct spool *spool);    /* the number that the epoch begins with */
uint64_t spool_next_seq(const struct spool *spool);     /* of the next append */
uint64_t spool_first_seq(const struct spool *spool);    /* oldest not acknowledged; == next when empty */
int64_t spool_bytes(
    const struct spool *spool); /* of the segment files: acknowledged ones go a segment at a time */
/* Of those that are not acknowledged, with the one before them; after opening, until the next
 * acknowledgement, with their whole segment. */
int64_t spool_waiting_bytes(const struct spool *spool);
/* Hash of the batch before first_seq as given to spool_append, or to spool_fork; 0: none. Kept over restarts.
 */
uint64_t spool_last_hash(const struct spool *spool);

/* The store this spool belongs to, once known; kept over restarts. */
bool spool_store(const struct spool *spool, uint8_t ret_store_id[16], uint64_t *ret_incarnation);
poise_code spool_set_store(struct spool *spool, const uint8_t store_id[16], uint64_t incarnation,
                           poise_error *err);

/* Appends the batch with sequence spool_next_seq, and sets the mark unless mark_length is 0: both or neither.
 * EFULL (nothing happened), ELIMIT: above SPOOL_BODY_MAX or SPOOL_MARK_MAX.
 *
 * EIO of this or any other call that writes: every later one answers EIO until the spool is opened again, so
 * that nothing is appended a second time behind a first that reached the disk after all. Opened again, the
 * spool has the batch with its mark, or neither: who sets marks looks there before he appends it again. */
poise_code spool_append(struct spool *spool, const void *body, size_t length, uint64_t hash, const void *mark,
                        size_t mark_length, poise_error *err);
/* The producer's own note of how far it has come: the latest that was set, kept over restarts and removals.
 * NULL: none. Lives until the next append or set. */
const void *spool_mark(const struct spool *spool, size_t *ret_length);
/* Sets it without a batch. ELIMIT, EFULL, EIO. */
poise_code spool_set_mark(struct spool *spool, const void *mark, size_t length, poise_error *err);
/* Appends a loss (rows, from_ms, to_ms, reason; of one number) in place of the batch with that hash, which
 * is not to be accepted; there is a little room for it in a full spool. As spool_append. */
poise_code spool_append_loss(struct spool *spool, const struct spool_loss *loss, const void *mark,
                             size_t mark_length, poise_error *err);
/* Makes a loss of the oldest segment that holds batches, so that there is room. ENOTFOUND: there is none;
 * EFULL, EIO. */
poise_code spool_drop_batches(struct spool *spool, poise_error *err);
/* The loss that has the number, with all its numbers; last 0: a batch has it. One in doubt is a loss of its
 * own, which does not say what is lost: spool_read does. ENOTFOUND, ECORRUPT. */
poise_code spool_lost(struct spool *spool, uint64_t seq, struct spool_loss *ret_loss, poise_error *err);
/* Appends the body of a batch to out, CRC checked; also of one before first_seq, or of an epoch before, that
 * is still there. ENOTFOUND, ECORRUPT; EGAP: it is lost, and not only in doubt. Cheap in sequence. */
poise_code spool_read(struct spool *spool, uint64_t seq, struct buf *out, poise_error *err);
/* Everything up to seq is acknowledged; whole segments below are removed, once they are old enough. EINVAL:
 * beyond what was appended.
 */
poise_code spool_ack(struct spool *spool, uint64_t seq, poise_error *err);
/* The store went back: batches from seq on count as not acknowledged again. Those that were kept are read and
 * checked. ENOTFOUND: not all of them were kept, spool_kept_seq says from where on; ECORRUPT; EIO. */
poise_code spool_rewind(struct spool *spool, uint64_t seq, poise_error *err);
uint64_t spool_kept_seq(const struct spool *spool); /* the oldest of the epoch that is still there,
                                                       acknowledged or not */

/* The epoch was forked: batches from a number on go under a new one, which begins with it; those before are
 * done with, whether acknowledged or not. The first of them, up to `doubt` (less than from: none), may have
 * been sent by the other copy, or not: they become losses, as those that were in doubt before stay. `hash`:
 * of the batch before `from` under the new epoch, 0: not known. All or nothing, whatever stops the machine; a
 * body says itself under which epoch it was made. EINVAL: from is not kept_seq to next_seq, or doubt is
 * beyond; as spool_rewind. */
poise_code spool_fork(struct spool *spool, uint64_t from, uint64_t doubt, uint64_t new_epoch, uint64_t hash,
                      poise_error *err);
/* Those of a new epoch up to `last` are in doubt, too. EINVAL: they are not there, or the epoch is the first.
 */
poise_code spool_doubt(struct spool *spool, uint64_t last, poise_error *err);

#endif
