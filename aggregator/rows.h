/* The rows that were counted, with their places, in the order of their places, from anywhere: those of runs,
 * then those of the journal. What was erased or dropped (`keep`) is not there, wherever it still lies; of
 * what the journal has of those with a key a retraction is. The one way for who lists measurements rather
 * than scores them. */
#ifndef AGGREGATOR_ROWS_H
#define AGGREGATOR_ROWS_H

#include "definitions.h"
#include "erasures.h"
#include "marks.h"
#include "names.h"
#include <stdatomic.h>
#include <wire/wire.h>

/* The row that comes next. Zeroed: the first there is. */
struct rows_position {
    uint64_t lsn;   /* rows of the records before this one do not come any more */
    uint64_t place; /* nor do those before this place */
};

/* What is kept between two calls, and two questions; one thread; zeroed at first. Rows of runs lie by day and
 * series, so that some 131,072 places are read at once, and kept for the next page: 10 MB, and their keys,
 * until all rows have come. The names of series stay: 12 bytes each, with each of their texts once. */
struct rows_window;
struct rows_memory {
    struct names names;
    struct definitions definitions; /* of which only what is frozen is looked at */
    struct erasures erasures;       /* of the whole journal, as of the last call of who folds it */
    struct marks marks;
    struct rows_window *window;
};
void rows_memory_free(struct rows_memory *memory);

struct rows_visit {
    /* Asked for a series before any row of it comes (in runs, for each row); then only rows of those that are
     * wanted come. */
    bool (*wanted)(void *visitor, const char *measure, const char *org);
    /* ECLOSED: enough; this row will come next. What it gets lives during the call. */
    poise_code (*row)(void *visitor, const poise_measurement *row, uint64_t place);
    /* So many bytes were looked at; asked behind each batch, or some rows. false: enough. NULL: never. */
    bool (*go_on)(void *visitor, size_t bytes);
    void *visitor;
    const _Atomic bool *stop;
};

/* Before the first row of a call: what is frozen, up to now. EBUSY: *stop. */
poise_code rows_frozen(struct store *store, struct rows_memory *memory, const _Atomic bool *stop,
                       poise_error *err);
/* Of an input with dropped rows those of runs that were replaced do not come: what has replaced them may be
 * dropped. Visits rows from *at on, up to record `until` (<= store_last_lsn), and moves *at behind what was
 * visited; at->lsn > until: that was all. Other codes from a visit are passed on; EBUSY: stopped. */
poise_code rows_read(struct store *store, struct rows_memory *memory, struct rows_position *at,
                     uint64_t until, const struct rows_visit *visit, poise_error *err);

#endif
