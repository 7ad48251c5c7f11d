/* What the files of the store share. */
#ifndef STORE_INNER_H
#define STORE_INNER_H

#include "gate.h"
#include "past.h"
#include "state.h"
#include "store.h"
#include <base/arena.h>
#include <lmdb.h>

/* 2: state in runs; 3: what is trimmed; 4: orders to drop or erase, which who does not know them would undo;
 * 5: how many series there were, of each commit. From STORE_FORMAT_SAME on they have the same tables: such a
 * store, or backup, can be read as it is. */
enum { STORE_FORMAT_FIRST = 1, STORE_FORMAT_SAME = 4, STORE_FORMAT = 5 };
enum { VALUE_CRC = 4 }; /* a CRC precedes each value but a journal record */

enum { READERS_NOTED = 254 }; /* as many as LMDB lets in */

struct checkpoint {
    bool open, ended;       /* ended: no more puts come */
    poise_code failed;      /* the first put that failed */
    struct buf puts;        /* of the next parts */
    size_t taken;           /* bytes of it that are in parts already */
    bool any;               /* something was put */
    uint32_t cleared;       /* tables, likewise */
    struct state_part part; /* those of them that are being written */
    struct state_job job;   /* the run that gets them, while they come in the order of their keys */
    bool ends;              /* it gets no more */
    struct state_run *runs; /* those that are written, and wait to become whole */
    size_t run_count, run_capacity;
    struct store_mark mark; /* once it has ended */
};

/* Tables of LMDB. */
enum {
    LMDB_JOURNAL,
    LMDB_CHUNKS,
    LMDB_META,
    LMDB_STATE_RUNS,
    LMDB_STATE,
    LMDB_RUNS,
    LMDB_COMMITS,
    LMDB_NAMES,
    LMDB_REMAINS,
    LMDB_TABLES
};
extern const char *const lmdb_names[LMDB_TABLES];

/* What older versions of entries and records is to go (tables.c), since something in it was erased. */
struct scrub {
    uint64_t lsn;            /* records below it are trimmed; 0: nothing is wanted */
    uint64_t run;            /* runs of state before this one are merged, all of them */
    _Atomic uint64_t done;   /* so far as all of it is done */
    _Atomic uint64_t erased; /* orders to erase up to it are done: as meta says */
};

struct store {
    char *path;
    int lock_fd;
    bool read_only, checked;
    bool gate_made;
    bool dead;             /* a sync or write failed: nothing is written any more */
    bool fixed;            /* the map does not grow: it is not the writer thread that writes */
    _Atomic bool unmapped; /* nor read: the map could not be made again when it had to grow */
    struct gate gate;
    MDB_env *env;
    MDB_dbi main; /* of the names of the tables */
    MDB_dbi lmdb[LMDB_TABLES];
    struct state_runs runs;        /* whole and dropped ones of `state` */
    struct state_job merging;      /* or nothing */
    _Atomic int64_t lag_bytes;     /* of the records behind mark.state_lsn */
    _Atomic int64_t journal_bytes; /* about */
    int64_t journal_max;           /* that may stay */
    uint64_t trimmed_lsn;          /* no record up to it is left */
    struct scrub scrub;
    _Atomic unsigned copying;                 /* copies under way: chunks and runs stay as they are */
    _Atomic uint64_t chunks_changes;          /* how often they were changed */
    _Atomic int64_t opened_us[READERS_NOTED]; /* when each reader's transaction was begun; 0: a free slot */
    MDB_txn *view;                            /* of store_get; reset in between */

    uint32_t format;
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
/* EIO when there is no map to read from; for who needs no gate. */
poise_code env_check_mapped(const struct store *store, poise_error *err);
/* Of the file system, above what is kept free. */
uint64_t env_free_bytes(const struct store *store);
/* Of the map, behind the last page that is in use; 0 where there is none. */
size_t env_map_left(const struct store *store);
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
int meta_put_erased(struct store *store, MDB_txn *txn, uint64_t lsn);
poise_code meta_get_erased(struct store *store, MDB_txn *txn, uint64_t *ret_lsn, poise_error *err);
int meta_put_chunks(struct store *store, MDB_txn *txn, const struct store_past *past);
poise_code meta_get_chunks(struct store *store, MDB_txn *txn, struct store_past *ret_past, poise_error *err);
poise_code meta_get_mark(struct store *store, MDB_txn *txn, struct store_mark *ret_mark, poise_error *err);

/* ---- journal.c ---- */

/* The first and last LSN in the journal; both 0 when it is empty. */
poise_code journal_ends(struct store *store, MDB_txn *txn, uint64_t *ret_first, uint64_t *ret_last,
                        poise_error *err);
/* Encodes the record into store->record, with the number that it will have. */
poise_code journal_prepare(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                           poise_error *err);
int journal_fill(struct store *store, MDB_txn *txn, uint64_t lsn); /* puts it */
bool journal_trim_due(const struct store *store);
poise_code journal_trim(struct store *store, poise_error *err); /* some of the first records */
/* One transaction: the record in store->record, if lsn > 0, and a slice (store_commit). */
struct store_slice;
poise_code journal_commit(struct store *store, uint64_t lsn, const struct store_slice *slice,
                          poise_error *err);

/* As store_measure_journal; *lsn is the last that is wanted. */
poise_code journal_measure(struct store *store, MDB_txn *txn, uint64_t from, int64_t most, uint64_t *lsn,
                           int64_t *ret_bytes, poise_error *err);
/* Bytes of all records from that one on. */
poise_code journal_bytes(struct store *store, MDB_txn *txn, uint64_t from, int64_t *ret_bytes,
                         poise_error *err);
/* How long the oldest of the readers' transactions is open; 0: there is none. */
int64_t journal_oldest_ms(struct store *store);

struct store_reader {
    struct store *store;
    MDB_txn *txn; /* NULL: closed for want of a transaction, all that follows fails */
    int64_t opened_us;
    _Atomic int64_t *noted; /* the store's slot that has opened_us; NULL: there was none */
    uint64_t first, last;
    struct store_past past;
    struct store_mark mark;
    struct arena arena; /* of the record being visited */
};
/* An old transaction keeps pages from being used again; a waiting writer wants all to be closed. */
bool reader_due(const struct store_reader *reader);
/* Ends its transaction and begins another: nothing of before may be looked at. */
poise_code reader_renew(struct store_reader *reader, poise_error *err);

/* ---- past.c ---- */

int past_fill(struct store *store, MDB_txn *txn, const void *entries, size_t length); /* puts entries */
poise_code past_check_commits(const struct store *store, const MDB_val *key, const MDB_val *stored,
                              uint64_t *ret_first, uint64_t *ret_count, poise_error *err);

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
