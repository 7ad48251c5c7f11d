/* The spool as sender and uplink see it: batches with their number of rows, what became of them, and whom to
 * tell. */
#ifndef CLIENT_OUTBOX_H
#define CLIENT_OUTBOX_H

#include <base/arena.h>
#include <client/waits.h>
#include <poise/client.h>
#include <spool/spool.h>
#include <wire/wire.h>

enum { OUTBOX_WINDOW = 256 }; /* batches on their way at most, whatever credit is given */

typedef poise_code outbox_refused(void *context, const poise_refused *items, size_t count);

struct outbox {
    struct spool *spool;
    char *path;
    outbox_refused *refused;                                                /* may be NULL */
    void (*lost)(void *context, const poise_loss *loss, const char *aside); /* likewise */
    void (*forked)(void *context, const poise_fork *fork);                  /* likewise */
    void *context;
    poise_when_full when_full;
    const char *producer;
    struct outbox_sent {
        uint64_t seq;
        uint32_t rows;
    } sent[OUTBOX_WINDOW]; /* by seq modulo the window, so that an ACK need not read them again */
    struct buf record;     /* one batch as it is spooled: a uint32 with its number of rows, then its body */
    struct arena rows;     /* and decoded */
    uint64_t accepted, acknowledged, refused_count, lost_count; /* measurements, since open */
    uint64_t forks;                                             /* since open */
    struct spool_loss dropping;                                 /* what is being dropped; last 0: nothing */
    struct waits waits;
    uint64_t again_seq; /* batches before it go a second time: the store went back */
};

/* refused, lost, forked, context, when_full and producer are set by the owner. */
poise_code outbox_open(struct outbox *outbox, const char *path, int64_t max_bytes, int64_t keep_ms,
                       poise_error *err);
void outbox_close(struct outbox *outbox); /* a zeroed outbox is fine */

/* A batch to spool: outbox_begin puts the head into an empty record, the caller appends the body. */
void outbox_begin(struct buf *record, uint32_t rows);
poise_code outbox_append(struct outbox *outbox, struct buf *record, const struct buf *mark, poise_error *err);

/* The body of a batch on its way, or of a loss of all up to *ret_last; lives until the next call. EFORK: the
 * number is within a loss that was never sent in parts. */
poise_code outbox_take(struct outbox *outbox, uint64_t seq, const void **ret_body, size_t *ret_length,
                       uint64_t *ret_last, poise_error *err);
/* Everything up to ack->seq < next is on the aggregator's disk, but for the refusals, which are in order of
 * seq. Batch by batch they are told, then noted; what `refused` returns ends it. */
poise_code outbox_acknowledge(struct outbox *outbox, const struct wire_ack *ack, poise_error *err);
/* As spool_rewind. */
poise_code outbox_rewind(struct outbox *outbox, uint64_t seq, poise_error *err);
/* For how long the oldest batch that is not acknowledged has waited; of one from before this run, since open.
 */
int64_t outbox_age_ms(const struct outbox *outbox);

/* ---- fork.c: whether the aggregator means the same batches by their numbers ---- */

/* What is known of them. */
struct outbox_history {
    uint64_t same;    /* the latest before `differs` that is the same here and there; 0: none that is known */
    uint64_t differs; /* the first that is another here than there; 0: none */
};
/* hashes: of the `count` batches before end as the aggregator has them, the latest last, 0: not known. */
poise_code outbox_compare(struct outbox *outbox, uint64_t end, const uint64_t *hashes, size_t count,
                          struct outbox_history *ret_history, poise_error *err);
/* Takes a new epoch. What the aggregator has is passed over, what it has other batches in place of goes under
 * the new epoch; what may be either is lost, and told as refused. `end`: of what the aggregator has. */
poise_code outbox_fork(struct outbox *outbox, const struct outbox_history *history, uint64_t end,
                       poise_error *err);
/* Of what waits, up to `last` is in doubt; the epoch is not the first. */
poise_code outbox_doubt(struct outbox *outbox, uint64_t last, poise_error *err);

/* ---- outbox.c, for fork.c ---- */

void outbox_look(struct outbox *outbox); /* other batches wait than before, not only fewer */
/* As spool_lost; of a batch in doubt, which is still there, also what is lost and its hash. */
poise_code outbox_lost(struct outbox *outbox, uint64_t seq, struct spool_loss *ret_loss, poise_error *err);
poise_code outbox_read(struct outbox *outbox, uint64_t seq, poise_error *err); /* a batch into record */
uint64_t outbox_record_hash(const struct outbox *outbox);                      /* of that batch */
/* As it would be of another epoch; 0: it is lost, damaged, or not there any more. */
poise_code outbox_hash_under(struct outbox *outbox, uint64_t seq, uint64_t epoch, uint64_t *ret_hash,
                             poise_error *err);
void outbox_describe(struct outbox *outbox, const void *record, size_t length, struct spool_loss *loss);
/* What comes behind a loss becomes part of it. */
void outbox_extend(struct spool_loss *loss, const struct spool_loss *next);
void outbox_tell_loss(struct outbox *outbox, const struct spool_loss *loss, const char *aside);
/* Measurements of batches, without those that were counted before. */
poise_code outbox_rows(struct outbox *outbox, uint64_t first, uint64_t end, uint64_t *ret_rows,
                       poise_error *err);
/* Tells the rows of a batch as refused. */
poise_code outbox_tell(struct outbox *outbox, const struct wire_refusal *refusals, size_t count,
                       poise_error *err);

#endif
