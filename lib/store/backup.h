/* Backups of a store, and stores from backups. Each is written under another name beside its own, synced,
 * checked page by page, and only then given its name: what has it is whole. */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store.h"

/* An id that does not begin with a dot. */
bool backup_name_valid(const char *name);

struct backup_options {
    const char *directory;    /* that backups lie in; made if absent */
    const char *name;         /* of this one: an id; EINVAL for what is none */
    int64_t free_bytes;       /* EFULL before the file system there has less than this free */
    const _Atomic bool *stop; /* set: it ends with ECLOSED, and nothing is left; NULL: never */
};
struct backup_result {
    uint64_t lsn;     /* the last record in it: as of its commit all of it is */
    uint64_t entries; /* of all tables */
    int64_t bytes;
    int64_t held_ms; /* how long it kept the store from using pages again, in one go */
};
/* While others read and write the store; on any thread but the writer's. EBUSY: the name is taken, and
 * nothing is changed. EFULL, EIO: of the directory's file system; the store does not mind. What a backup that
 * was killed left behind in the directory is removed. */
poise_code store_backup(struct store *store, const struct backup_options *options,
                        struct backup_result *ret_result, poise_error *err);

/* Makes a store of a backup, or of a store that nobody has, after checking all of it: the same store in a new
 * incarnation. EBUSY: `path` is there already. ECORRUPT: the backup is damaged. For programs of one thread.
 */
poise_code store_restore(const char *backup, const char *path, uint64_t incarnation,
                         struct backup_result *ret_result, poise_error *err);

#endif
