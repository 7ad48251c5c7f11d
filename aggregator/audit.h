/* The scores of a store that nobody has, twice: as a start would show them, from the checkpointed state and
 * the journal behind it, and again from the journal alone. Nothing is written. For `poise verify`. */
#ifndef AGGREGATOR_AUDIT_H
#define AGGREGATOR_AUDIT_H

#include <base/clock.h>
#include <engine/engine.h>

struct audit; /* opaque */

/* EBUSY: somebody has it. EVERSION: its state was made by another version, which a start would make again. */
poise_code audit_open(const char *path, struct audit **ret_audit, poise_error *err);
void audit_close(struct audit *audit);
/* Of scorecards that the state has scores of; 0 where nothing was checkpointed yet: a start makes all from
 * the journal. */
size_t audit_cards(const struct audit *audit);
int64_t audit_as_of_ms(const struct audit *audit);
/* All states as a start would show them; then those of one scorecard from the journal alone. ELIMIT: there
 * are too many (INQUIRY_BYTES_DEFAULT). What visit gets lives during the call. */
poise_code audit_shown(struct audit *audit, engine_visit *visit, void *visitor, poise_error *err);
poise_code audit_again(struct audit *audit, size_t card, engine_visit *visit, void *visitor,
                       poise_error *err);

#endif
