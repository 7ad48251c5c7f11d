/* A batch on its way through the aggregator. A fixed pool of them goes round: ingest fills one, the writer
 * commits it and fills in what was refused, ingest acknowledges it and uses it again. So memory is bounded,
 * and no queue can overflow. */
#ifndef AGGREGATOR_BATCH_H
#define AGGREGATOR_BATCH_H

#include <wire/wire.h>

struct batch {
    const char *producer;      /* lives as long as ingest */
    uint64_t epoch, seq, hash; /* of a loss those of the last batch */
    struct buf body;           /* as it came */
    struct arena arena;        /* of rows */
    struct wire_batch rows;    /* none, where malformed */
    bool malformed;
    struct buf denied; /* by series: enum access_sending; empty: all may be sent */
    /* filled in by the writer */
    uint32_t *refused; /* rows, rising; WIRE_ROW_ALL alone: the whole batch */
    uint8_t *reasons;
    size_t refused_count, refused_capacity;
    struct buf notes; /* for the journal (store/notes.h) */
};

void batch_free(struct batch *batch);
/* Ready for another body. */
void batch_reset(struct batch *batch);
/* Decodes body; a batch that cannot be decoded, or is longer, is marked malformed. ENOMEM only. */
poise_code batch_decode(struct batch *batch, size_t max_rows);
poise_code batch_refuse(struct batch *batch, uint32_t row, poise_refusal reason);
/* Of what is refused: whether it is kept, and shown, and may be let in or erased by an operator. */
static inline bool batch_holds(uint8_t reason)
{
    return reason == POISE_REFUSAL_LOCKED || reason == POISE_REFUSAL_FROZEN;
}
/* Whether a row is in a rising list of refused ones; *at is the walker's place in it, 0 at first. */
bool batch_row_refused(const uint32_t *refused, size_t count, size_t *at, uint32_t row);

#endif
