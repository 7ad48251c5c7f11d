/* The log of changes: what each settle published, as the journal has it. A settle's changes are one record,
 * or parts in several; those of a settle that a crash has cut short come again with the next one, and count
 * only there. So whoever reads here gets each change once, and of no settle that is not whole. Where the
 * journal was trimmed, the log begins behind it. */
#ifndef AGGREGATOR_SETTLES_H
#define AGGREGATOR_SETTLES_H

#include <base/arena.h>
#include <poise/types.h>
#include <stdatomic.h>
#include <store/store.h>

/* What comes next. */
struct settles_position {
    uint64_t lsn;    /* of the record to look into */
    uint32_t item;   /* changes of it that were visited */
    uint64_t settle; /* the lsn of the settle that they are of; 0: the next one is to be found */
    int64_t settled_ms;
    uint32_t number; /* changes of the settle that were visited */
};

struct settles_change {
    const poise_state *state; /* with its strings, during the call */
    uint64_t lsn;             /* of the settle: that of its first record, as it was published */
    int64_t settled_ms;       /* its T */
    uint32_t number;          /* 1, 2, ... of the settle */
};
struct settles_visit {
    /* ECLOSED: enough; this change will come next. */
    poise_code (*change)(void *visitor, const struct settles_change *change);
    /* Behind a settle's last change: all of it was visited, or it changed nothing. NULL: nobody asks. */
    poise_code (*end)(void *visitor, uint64_t lsn);
    /* So many bytes of the journal were looked at; asked behind each record. false: enough. NULL: never. */
    bool (*go_on)(void *visitor, size_t bytes);
    void *visitor;
    const _Atomic bool *stop; /* NULL: never */
};

/* Visits changes from *at on, up to record `until` (<= store_last_lsn), and moves *at behind what was
 * visited. *ret_all: that was all there is up to now, though records of a settle that is not whole may be
 * left. EGAP: what comes next was trimmed. EPROTO: *at is no place of it. Other codes from a visit are passed
 * on; EBUSY: stopped. Memory: a record. */
poise_code settles_read(struct store *store, struct settles_position *at, uint64_t until,
                        const struct settles_visit *visit, bool *ret_all, poise_error *err);

#endif
