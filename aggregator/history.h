/* All rows of the past: those in runs first, then the records behind them, whatever is compacted and trimmed
 * meanwhile. */
#ifndef AGGREGATOR_HISTORY_H
#define AGGREGATOR_HISTORY_H

#include "erasures.h"
#include "names.h"
#include <engine/engine.h>
#include <stdatomic.h>
#include <store/runs.h>

struct history_visit {
    /* Rows of runs, of the places from < place <= until; mostly called once. */
    poise_code (*runs)(void *visitor, struct store_reader *reader, uint64_t from_place, uint64_t until_place);
    /* Then each later record, in order; wanted and codes as in store_read_journal. */
    bool (*wanted)(void *visitor, const struct journal_record *head);
    poise_code (*record)(void *visitor, const struct journal_record *record);
    void *visitor;
};
/* Up to record `until`, and none that was committed at a later T than until_ms. *ret_lsn: the last that runs
 * had. */
poise_code history_read(struct store *store, uint64_t until, int64_t until_ms,
                        const struct history_visit *visit, uint64_t *ret_lsn, poise_error *err);

/* Applies rows of runs to an engine, with the places that they had; those of inputs that it does not read are
 * left out. */
struct history_apply {
    struct engine *engine;
    struct names *names;             /* read on */
    const struct erasures *erasures; /* those rows are left out, or, with a key, retract it */
    bool numbers;                    /* all series get their numbers first */
    const _Atomic bool *stop;        /* EBUSY */
    poise_error *err;
};
poise_code history_apply(const struct history_apply *apply, struct store_reader *reader, uint64_t from_place,
                         uint64_t until_place);
/* A row of a chunk as the engine takes it. */
struct engine_row history_row(const struct chunk_rows *rows, size_t at);

#endif
