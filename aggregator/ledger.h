/* What is on disk of each producer's epoch: the last sequence, its hash, and the refusals of the last
 * batches, so that a producer that missed an acknowledgement still learns what was refused. Writer and ingest
 * each keep one, fed by the same commits; the writer's goes into checkpoints. Not thread-safe. */
#ifndef AGGREGATOR_LEDGER_H
#define AGGREGATOR_LEDGER_H

#include <base/buf.h>
#include <base/hash.h>
#include <wire/wire.h>

enum {
    LEDGER_WINDOW = 1024, /* batches whose refusals are kept: the most credit a producer can have */
    LEDGER_REFUSALS_MAX =
        32768,             /* of a producer; beyond it the older half is forgotten, never the last batch */
    LEDGER_LOSSES_MAX = 64 /* of a producer's epoch; beyond it the oldest two become one */
};

#define LEDGER_LOST_ROWS_MAX (UINT64_C(1) << 40) /* of a loss; so that all of them can be summed up */

struct ledger_entry {
    char *producer;
    uint64_t epoch;
    uint64_t seq;                  /* everything up to it is on disk; 0: nothing yet */
    uint64_t hash;                 /* of that batch */
    struct wire_refusal *refusals; /* rising by seq */
    size_t refusal_count, refusal_capacity;
    poise_loss *losses; /* what the producer said it lost, rising by sequence; without its name */
    size_t loss_count;
    bool dirty; /* since the last checkpoint */
};

struct ledger {
    struct hmap map;
};

void ledger_free(struct ledger *ledger);
struct ledger_entry *ledger_find(const struct ledger *ledger, const char *producer, uint64_t epoch);
/* The entry, made if new; NULL: out of memory. Entries stay where they are. */
struct ledger_entry *ledger_add(struct ledger *ledger, const char *producer, uint64_t epoch);
/* Of which nobody has anything any more. */
void ledger_remove(struct ledger *ledger, struct ledger_entry *entry);
/* A batch is on disk; rows and reasons of what was refused. A seq that is not above the entry's says
 * nothing new. */
bool ledger_commit(struct ledger_entry *entry, uint64_t seq, uint64_t hash, const uint32_t *refused,
                   const uint8_t *reasons, size_t count);
/* What was committed last was a loss; one that is known, by its lsn, is passed over. False: out of memory. */
bool ledger_lose(struct ledger_entry *entry, const poise_loss *loss);
/* As the commit of a batch says it; last_seq 0: none. */
poise_loss ledger_loss_of(const struct wire_batch *batch, uint64_t lsn, int64_t as_of_ms);
/* Appends a LOSSES; ENOMEM. */
poise_code ledger_put_losses(const struct ledger *ledger, uint64_t id, struct buf *out);
/* How many there are, and of how many rows. */
void ledger_sum_losses(const struct ledger *ledger, uint64_t *ret_losses, uint64_t *ret_rows);
/* The kept refusals with seq >= from. */
const struct wire_refusal *ledger_refusals(const struct ledger_entry *entry, uint64_t from,
                                           size_t *ret_count);

/* Bytes of an entry for the store (key: producer and epoch), and back. */
void ledger_encode(const struct ledger_entry *entry, struct buf *key, struct buf *value);
poise_code ledger_decode(struct ledger *ledger, struct cursor key, struct cursor value);

poise_code ledger_copy(const struct ledger *ledger, struct ledger *ret_copy); /* ENOMEM */

#endif
