/* What the rows of a journaled batch did, so that who reads the journal looks up no names and no keys: the
 * numbers of its series, and the rows that went. docs/storage.md has the bytes. */
#ifndef STORE_NOTES_H
#define STORE_NOTES_H

#include "store.h"
#include <base/arena.h>

struct journal_gone { /* a row that stands no more, or never did */
    uint32_t row;     /* of the batch: it has replaced or retracted the one that went, or went itself */
    uint32_t series;  /* the number of that one's series */
    int64_t time_ms;  /* its time */
    uint64_t ordinal; /* its place */
};
#define JOURNAL_NO_SERIES UINT32_MAX /* no row of it was accepted */
struct journal_notes {
    const uint32_t *series; /* by index in the batch's table of series: its number */
    size_t series_count;
    const struct journal_gone *gone; /* by row, rising */
    size_t gone_count;
};

/* Appends; ENOMEM. */
poise_code notes_encode(const struct journal_notes *notes, struct buf *out);
/* Of a batch with notes. ECORRUPT: they are none that this batch can have. What ret points to is in the
 * arena. */
poise_code notes_decode(const struct journal_batch *batch, struct arena *arena,
                        struct journal_notes *ret_notes, poise_error *err);

#endif
