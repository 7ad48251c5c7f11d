/* Erasing measurements (scoring.md section 7: what was acknowledged is dropped by `keep` or by an operator's
 * order alone). An order goes from the stream to the inquirer, which finds the measurements; to the writer,
 * which takes them out of the scores and journals the order, in one record; and back to the stream. From then
 * on nobody who reads rows sees them (erasures.h), and what is left on the disk goes (purge.h). */
#ifndef AGGREGATOR_ERASE_H
#define AGGREGATOR_ERASE_H

#include "batch.h"
#include "erasures.h"
#include <engine/engine.h>

enum { ERASE_ROWS_MAX = 200000 }; /* at once, so that nobody waits long for the commit */

struct erase_series { /* texts: in the arena */
    const char *measure, *org, *source;
    uint64_t place; /* of the first of its rows that was found */
};
struct erase_row {
    uint32_t series;
    uint64_t place;
    struct engine_row row;
};
struct erase {
    char measure[POISE_ID_MAX + 1];
    char org[2 * POISE_ORG_MAX + 1]; /* a glob */
    char reason[WIRE_TEXT_MAX + 1];
    int64_t from_ms, to_ms;
    bool dry_run;
    struct erase_row *items; /* accepted rows that it names; replaced ones too, no retractions */
    size_t count, capacity;
    struct erase_series *series;
    size_t series_count, series_capacity;
    struct arena texts;
    uint64_t found_lsn; /* up to which the journal was searched */
    uint64_t place;     /* of the last row there; 0: there is none */
    uint64_t held;      /* that locked and frozen periods hold, it names, and nobody has let in */
    struct batch order; /* as it is journaled */
    uint64_t counted, lsn;
};

/* EPROTO: the order says nothing that could be done. */
poise_code erase_open(const struct wire_erase *order, struct erase **ret_erase, poise_error *err);
void erase_free(struct erase *erase);

/* Finds the rows up to a record, of which those of `erasures` are not. ELIMIT: more than fit, name less. */
poise_code erase_find(struct erase *erase, struct store *store, uint64_t until,
                      const struct erasures *erasures, const _Atomic bool *stop, poise_error *err);
/* What a replay finds is what was found before: of an order that was journaled. */
poise_code erase_find_again(const struct erasure *erasure, struct store *store, uint64_t until,
                            const struct erasures *erasures, struct erase **ret_erase, poise_error *err);
/* Makes the order of what was found. */
poise_code erase_put_order(struct erase *erase, const char *who, poise_error *err);
/* EINVAL: some are of frozen times, and cannot be taken out. Not for a replay, whose engine knows what was
 * frozen later. */
poise_code erase_check(const struct erase *erase, const struct engine *engine, poise_error *err);
/* Takes them out of the engine, behind the order's place. */
poise_code erase_apply(struct erase *erase, struct engine *engine, poise_error *err);

#endif
