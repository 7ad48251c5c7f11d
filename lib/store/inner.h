/* What the files of the store share. */
#ifndef STORE_INNER_H
#define STORE_INNER_H

#include "gate.h"
#include "store.h"
#include <base/arena.h>
#include <lmdb.h>

enum {
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
    MDB_dbi meta, journal, tables[STORE_TABLES];
    MDB_txn *view; /* of store_get; reset in between */

    uint8_t id[16];
    uint64_t incarnation;
    _Atomic uint64_t last_lsn, chunks_lsn;
    struct store_mark mark;

    uint64_t floor; /* bytes to keep free on the file system */
    uint64_t room;  /* bytes that may be written before looking again */
    int64_t room_until_us;

    struct buf record; /* store_append's, reused */
    uint64_t building; /* the run of level 0 that is being built; 0: none */
    bool is_clean;     /* nothing is left of runs that an earlier process was building */
    bool is_swept;     /* no run is dropped */
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

int meta_put_mark(struct store *store, MDB_txn *txn, const struct store_mark *mark);
int meta_put_chunks(struct store *store, MDB_txn *txn, uint64_t lsn);
poise_code meta_get_chunks(struct store *store, MDB_txn *txn, uint64_t *ret_lsn, poise_error *err);

/* ---- journal.c ---- */

/* The first and last LSN in the journal; both 0 when it is empty. */
poise_code journal_ends(struct store *store, MDB_txn *txn, uint64_t *ret_first, uint64_t *ret_last,
                        poise_error *err);
/* Encodes the record into store->record, with the number that it will have. */
poise_code journal_prepare(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                           poise_error *err);
int journal_fill(struct store *store, MDB_txn *txn, uint64_t lsn); /* puts it */

struct store_reader {
    struct store *store;
    MDB_txn *txn; /* NULL: closed for want of a transaction, all that follows fails */
    int64_t opened_us;
    uint64_t first, last, chunks_lsn;
    struct arena arena; /* of the record being visited */
};
/* An old transaction keeps pages from being used again; a waiting writer wants all to be closed. */
bool reader_due(const struct store_reader *reader);
/* Ends its transaction and begins another: nothing of before may be looked at. */
poise_code reader_renew(struct store_reader *reader, poise_error *err);

/* ---- runs.c ---- */

/* Entries of `runs`: kind, bucket, input, run. */
enum run_kind {
    RUN_LIVE = 1,     /* whole; or of level 0, above the chunks LSN: then being built */
    RUN_BUILDING = 2, /* a merge */
    RUN_DROPPED = 3   /* its blocks are to be deleted */
};
enum { RUN_KEY_BYTES = 17 };
void run_key_put(enum run_kind kind, int32_t bucket, uint32_t input, uint64_t run,
                 uint8_t ret_bytes[RUN_KEY_BYTES]);
struct store_run;
/* ECORRUPT names the entry. */
poise_code run_take(const struct store *store, const MDB_val *key, const MDB_val *stored,
                    enum run_kind *ret_kind, struct store_run *ret_run, poise_error *err);

#endif
