/* What the files of the store share. */
#ifndef STORE_INNER_H
#define STORE_INNER_H

#include "gate.h"
#include "store.h"
#include <lmdb.h>

enum {
    STORE_FORMAT = 1,
    KEY_MAX = 511,
    VALUE_CRC = 4
}; /* LMDB's longest key; a CRC precedes each value of meta and the tables */

struct checkpoint {
    bool open;
    poise_code failed; /* the first put that failed */
    struct buf ops;
    uint64_t count;
};

struct store {
    char *path;
    int lock_fd;
    bool read_only;
    bool gate_made;
    bool dead; /* a sync or write failed: nothing is written any more */
    struct gate gate;
    MDB_env *env;
    MDB_dbi main, meta, journal, tables[STORE_TABLES]; /* main: of the tables' names */
    MDB_txn *view;                                     /* of store_get; reset in between */

    uint8_t id[16];
    uint64_t incarnation;
    _Atomic uint64_t last_lsn;
    struct store_mark mark;

    uint64_t floor; /* bytes to keep free on the file system */
    uint64_t room;  /* bytes that may be written before looking again */
    int64_t room_until_us;

    struct buf record; /* store_append's, reused */
    struct checkpoint checkpoint;
};

/* ---- env.c: the environment, its lock, its one way to write ---- */

poise_code env_open(struct store *store, const struct store_options *options, poise_error *err);
void env_close(struct store *store);
/* "cannot WHAT in PATH: ..." */
poise_code env_error(const struct store *store, int rc, const char *what, poise_error *err);
/* A read transaction, inside the gate until env_read_end. */
poise_code env_read(struct store *store, MDB_txn **ret_txn, poise_error *err);
void env_read_end(struct store *store, MDB_txn *txn);

/* Puts and deletes of one transaction; returns LMDB's code. Done again from the start when the map had to
 * grow. */
typedef int env_fill(struct store *store, MDB_txn *txn, const void *work);
/* One synced transaction of about so many bytes. EFULL: nothing happened. EIO: the store is dead. */
poise_code env_write(struct store *store, uint64_t bytes, env_fill *fill, const void *work, poise_error *err);

/* ---- tables.c: values with their CRC ---- */

int value_put(MDB_txn *txn, MDB_dbi dbi, MDB_val key, const void *value, size_t length);
/* The value without its CRC; ECORRUPT names the table. */
poise_code value_check(const struct store *store, const char *table, const MDB_val *key,
                       const MDB_val *stored, struct cursor *ret_value, poise_error *err);
extern const char *const table_names[STORE_TABLES];

/* ---- store.c ---- */

int meta_put_store(struct store *store, MDB_txn *txn);  /* its id and incarnation */
int meta_put_backup(struct store *store, MDB_txn *txn); /* says that it is one */
bool meta_is_backup(const MDB_val *key);                /* of that entry */
/* An env_fill: all tables, empty. */
int store_make_tables(struct store *store, MDB_txn *txn, const void *work);
int meta_put_mark(struct store *store, MDB_txn *txn, const struct store_mark *mark);

/* ---- journal.c ---- */

/* The first and last LSN in the journal; both 0 when it is empty. */
poise_code journal_ends(struct store *store, MDB_txn *txn, uint64_t *ret_first, uint64_t *ret_last,
                        poise_error *err);

#endif
