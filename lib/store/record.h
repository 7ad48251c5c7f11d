/* The bytes of a journal record; docs/storage.md draws them. No LMDB here. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "store.h"
#include <base/arena.h>

enum { RECORD_HEAD = 72, RECORD_BYTES_MAX = 1 << 30, RECORD_PRODUCER_MAX = 255 };

/* Replaces what out holds. EINVAL, ELIMIT: not a record that could be stored; ENOMEM. */
poise_code record_encode(const struct journal_record *record, struct buf *out, poise_error *err);

/* The head alone, with its own CRC, so that the pages behind it stay untouched. */
poise_code record_head(const void *bytes, size_t length, uint64_t lsn, struct journal_record *ret_head,
                       poise_error *err);
/* The whole: small parts in the arena, bodies in place. */
poise_code record_decode(const void *bytes, size_t length, uint64_t lsn, struct arena *arena,
                         struct journal_record *ret_record, poise_error *err);

#endif
