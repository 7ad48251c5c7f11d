/* Letting in what locked periods have held up (scoring.md section 7). An operator's order goes from the
 * stream to the inquirer, which finds the held measurements in the journal (held.h); to the writer, which
 * applies and journals them again, behind the order itself, in one record; and back to the stream. The order
 * says up to which place it lets in what it names: others may have been refused while it was on its way. */
#ifndef AGGREGATOR_RESTATE_H
#define AGGREGATOR_RESTATE_H

#include "batch.h"
#include "erasures.h"
#include <store/store.h>

enum {
    RESTATE_ROWS_MAX = 200000, /* at once */
    RESTATE_BATCHES_MAX = 256  /* that hold them, the order among them */
};

struct restate {
    char measure[POISE_ID_MAX + 1];
    char org[2 * POISE_ORG_MAX + 1]; /* a glob */
    char reason[WIRE_TEXT_MAX + 1];
    int64_t from_ms, to_ms;
    struct batch batches[RESTATE_BATCHES_MAX]; /* the order, then the measurements */
    size_t count;
    uint64_t found_lsn; /* up to which the journal was searched */
    uint64_t rows, refused, lsn;
};

/* EPROTO: the order says nothing that could be done. */
poise_code restate_open(const struct wire_restate *order, struct restate **ret_restate, poise_error *err);
void restate_free(struct restate *restate);
/* Fills the batches; ELIMIT: more than fit, name fewer. */
poise_code restate_find(struct restate *restate, struct store *store, poise_error *err);

#endif
