/* The measurements that were counted, with their places: accepted ones in the order in which they were
 * counted, replaced ones and retractions too, those that an order let in where it let them in. Today they
 * come from the journal; whoever reads them needs to know no more than this. */
#ifndef AGGREGATOR_ROWS_H
#define AGGREGATOR_ROWS_H

#include <poise/types.h>
#include <stdatomic.h>
#include <store/store.h>
#include <wire/wire.h>

/* The row that comes next. Zeroed: the first there is. */
struct rows_position {
    uint64_t lsn;
    uint32_t batch, row;
};

struct rows_visit {
    /* Asked once a batch for its series, before any row of it; then only rows of those that are wanted come.
     */
    bool (*wanted)(void *visitor, const char *measure, const char *org);
    /* ECLOSED: enough; this row will come next. What it gets lives during the call. */
    poise_code (*row)(void *visitor, const poise_measurement *row, uint64_t place);
    /* So many bytes were looked at; asked behind each batch. false: enough. NULL: never. */
    bool (*go_on)(void *visitor, size_t bytes);
    void *visitor;
    const _Atomic bool *stop;
};

/* Visits rows from *at on, up to record `until` (<= store_last_lsn), and moves *at behind what was visited;
 * at->lsn > until: that was all. Other codes from a visit are passed on; EBUSY: stopped. */
poise_code rows_read(struct store *store, struct rows_position *at, uint64_t until,
                     const struct rows_visit *visit, poise_error *err);

#endif
