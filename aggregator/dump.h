/* A dump: the measurements that were counted (rows.h), page by page. Each page is a question by itself, with
 * a cursor that says where the next one begins; nothing of a dump is kept in between, so that it may take as
 * long as it likes, and goes on behind a restart. The first page fixes the record up to which the dump goes.
 */
#ifndef AGGREGATOR_DUMP_H
#define AGGREGATOR_DUMP_H

#include "rows.h"
#include <stdatomic.h>
#include <store/store.h>
#include <wire/wire.h>

enum {
    DUMP_ROWS_MAX = 8192, /* of a page */
    DUMP_BATCH_BYTES =
        160000, /* of its batch: with places of 10 bytes each a page is below WIRE_MESSAGE_MAX */
    DUMP_LOOK_BYTES = 16 << 20 /* of the journal that a page looks at, so that no other question waits long */
};

struct dump {
    char measure[POISE_ID_MAX + 1];
    char org[2 * POISE_ORG_MAX + 1]; /* a glob */
    int64_t from_ms, to_ms;
    bool keyed;
    uint8_t cursor[WIRE_CURSOR_MAX];
    size_t cursor_length;
};

/* EPROTO: it asks for nothing that could be answered. */
poise_code dump_open(const struct wire_dump *asked, struct dump **ret_dump, poise_error *err);
void dump_free(struct dump *dump);
/* Appends the page, a ROWS body. EPROTO: the cursor is of no dump of this store with these words. */
poise_code dump_page(const struct dump *dump, uint64_t id, struct store *store, struct rows_memory *memory,
                     const _Atomic bool *stop, struct buf *out, poise_error *err);

#endif
