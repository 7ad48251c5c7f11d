/* A copy of a whole store while it is written to: the work of backup and restore. All tables there are come
 * along. */
#ifndef STORE_COPY_H
#define STORE_COPY_H

#include "inner.h"

struct copy_options {
    const char *path;     /* a directory that is not there; its parent is. After a failure it may be there */
    int64_t free_bytes;   /* EFULL before the file system there has less than this free */
    uint64_t incarnation; /* of the new store; 0: it is a backup */
    const _Atomic bool *stop; /* ECLOSED when it is set; NULL: never */
};
struct copied {
    uint64_t lsn, entries;
    int64_t held_ms; /* how long the last transaction kept pages of the store from being used again */
};
/* As of its last transaction. Synced, but for the name of the directory. Never has a transaction open while
 * it waits for the disk, but for the last one, which makes way when the store must grow. */
poise_code store_copy(struct store *from, const struct copy_options *options, struct copied *ret_copied,
                      poise_error *err);
/* Removes such a directory, whole or half; not one that somebody has. */
poise_code store_remove(const char *path, poise_error *err);

#endif
