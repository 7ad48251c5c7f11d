/* What locked and frozen periods hold (scoring.md section 7): measurements that were refused so, are in the
 * journal, and wait for an operator. The journal says by itself what waits still: what was refused as locked,
 * and no order to restate has let in. */
#ifndef AGGREGATOR_HELD_H
#define AGGREGATOR_HELD_H

#include <stdatomic.h>
#include <store/store.h>
#include <wire/wire.h>

/* In the place of a producer; no producer can be called so. Without rows: the order, as RESTATE. */
#define RESTATE_PRODUCER "!restate"

struct held {
    poise_measurement row; /* its texts: while it is visited */
    uint64_t place;
    poise_refusal reason; /* LOCKED or FROZEN */
    bool let_in;          /* by an order behind it: what became of it stands there */
};
/* Visits what was held, up to a record, by place, let in or not. EBUSY: stopped; stop may be NULL. */
poise_code held_each(struct store *store, uint64_t until, const _Atomic bool *stop,
                     poise_code (*visit)(void *visitor, const struct held *held), void *visitor,
                     poise_error *err);
/* Whether an order to restate names it. */
bool held_is_named(const struct wire_restate *order, const poise_measurement *row);

#endif
