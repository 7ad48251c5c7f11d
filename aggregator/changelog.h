/* Pages of the log of changes (settles.h), for readers that keep a cursor: each page is a question by itself,
 * and nothing of a reader is kept in between. The cursor says where the next page begins; it is good until
 * the journal is trimmed up to there, or the store is restored from a backup. */
#ifndef AGGREGATOR_CHANGELOG_H
#define AGGREGATOR_CHANGELOG_H

#include "access.h"
#include <base/arena.h>
#include <stdatomic.h>
#include <store/store.h>
#include <wire/wire.h>

enum {
    CHANGELOG_STATES_MAX = 4096,    /* of a page */
    CHANGELOG_BYTES = 200000,       /* of its states: the page is below WIRE_MESSAGE_MAX */
    CHANGELOG_LOOK_BYTES = 16 << 20 /* of the journal that a page looks at */
};

struct changelog {
    struct wire_filter filter;
    struct arena arena;               /* of the filter */
    const struct access_peer *reader; /* what it may see; NULL: everything */
    uint8_t cursor[WIRE_CURSOR_MAX];
    size_t cursor_length;
    uint64_t after_lsn;
};

/* EPROTO, ELIMIT, EUNSUPPORTED: it asks for nothing that could be answered. */
poise_code changelog_open(const struct wire_changes *asked, struct changelog **ret_changelog,
                          poise_error *err);
void changelog_free(struct changelog *changelog);
/* Appends the page, a CHANGED body. EGAP: what comes next was trimmed. ESTORE: the cursor is of another
 * store. EPROTO: it is none. */
poise_code changelog_page(const struct changelog *changelog, uint64_t id, struct store *store,
                          const _Atomic bool *stop, struct buf *out, poise_error *err);

#endif
