/* The current definition for periods that are closed (scoring.md section 7). An operator's order goes from
 * the stream through the inquirer, which knows the scorecards, to the writer, which does it in one commit:
 * the order, all revisions that it makes, and what became of the open periods are one record. */
#ifndef AGGREGATOR_RESCORE_H
#define AGGREGATOR_RESCORE_H

#include "batch.h"
#include "definitions.h"

enum {
    RESCORE_LOOKS_MAX = 1000000
}; /* scores of an order, so that it takes seconds and fits into a record */

struct rescore {
    char reason[WIRE_TEXT_MAX + 1];
    int64_t from_ms;
    struct batch order; /* as it is journaled */
    uint64_t scorecards, revised, locked, lsn;
};

/* EPROTO: the order says nothing that could be done. */
poise_code rescore_open(const struct wire_rescore *order, struct rescore **ret_rescore, poise_error *err);
void rescore_free(struct rescore *rescore);

struct rescore_target {
    struct engine *engine; /* settled */
    const struct scorecard *const *cards;
    size_t card_count;
    struct definitions *definitions;
};
/* Does it for a scorecard ("": for all) and visits the revisions. `refusal` is set where it cannot be done,
 * and then nothing has happened; so has it where rescore->scorecards is 0. Other than OK: the engine has
 * failed. */
poise_code rescore_apply(struct rescore *rescore, const char *scorecard, const struct rescore_target *target,
                         engine_visit *visit, void *visitor, poise_error *refusal, poise_error *err);

#endif
