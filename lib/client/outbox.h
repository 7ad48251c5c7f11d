/* The spool as sender and uplink see it: batches with their number of rows, what became of them, and whom to
 * tell. */
#ifndef CLIENT_OUTBOX_H
#define CLIENT_OUTBOX_H

#include <base/arena.h>
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
    struct spool_loss dropping;                                 /* what is being dropped; last 0: nothing */
    uint64_t again_seq; /* batches before it go a second time: the store went back */
};

/* refused, lost, context, when_full and producer are set by the owner. */
poise_code outbox_open(struct outbox *outbox, const char *path, int64_t max_bytes, int64_t keep_ms,
                       poise_error *err);
void outbox_close(struct outbox *outbox); /* a zeroed outbox is fine */

/* A batch to spool: outbox_begin puts the head into an empty record, the caller appends the body. */
void outbox_begin(struct buf *record, uint32_t rows);
poise_code outbox_append(struct outbox *outbox, const struct buf *record, const struct buf *mark,
                         poise_error *err);

/* The body of a batch on its way, or of a loss of all up to *ret_last; lives until the next call. EFORK: the
 * number is within a loss that was never sent in parts. */
poise_code outbox_take(struct outbox *outbox, uint64_t seq, const void **ret_body, size_t *ret_length,
                       uint64_t *ret_last, poise_error *err);
/* Hash of the batch before seq, first <= seq <= next; 0 where unknown. */
poise_code outbox_hash_before(struct outbox *outbox, uint64_t seq, uint64_t *ret_hash, poise_error *err);
/* Everything up to ack->seq < next is on the aggregator's disk, but for the refusals, which are in order of
 * seq. Batch by batch they are told, then noted; what `refused` returns ends it. */
poise_code outbox_acknowledge(struct outbox *outbox, const struct wire_ack *ack, poise_error *err);
/* As spool_rewind. */
poise_code outbox_rewind(struct outbox *outbox, uint64_t seq, poise_error *err);

#endif
