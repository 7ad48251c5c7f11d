/* The aggregator's store: one LMDB environment. A commit appends one journal record and syncs; everything
 * else is derived state, written at checkpoints and rebuilt by replay. The only user of lmdb.h. One thread
 * writes; any thread reads through a reader of its own. docs/storage.md describes tables and bytes; every
 * value carries a CRC32C. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <base/arena.h>
#include <base/buf.h>
#include <poise/error.h>
#include <stdbool.h>
#include <stdint.h>

struct store; /* opaque */

struct store_options {
    const char *path;   /* a directory, made if absent */
    int64_t map_bytes;  /* virtual size at open; doubles by itself when full; 0: 32 GiB */
    int64_t free_bytes; /* EFULL while the file system has less than this free, for state twice; 0: 64 MiB */
    int64_t journal_bytes; /* of records that are in runs, too, so many stay; 0: 256 MiB */
    bool read_only;
    bool checked; /* store_check found it whole: pages at its end that are free need not be in the file */
    uint8_t new_id[16]; /* random, for a new store */
    uint64_t new_incarnation;
};

/* A store of an older format is made one of this format, which older versions refuse.
 * EBUSY: another process has it (or this one already); EVERSION: a format this version does not know, or
 * read_only and an older format;
 * ECORRUPT; EFULL; ENOTFOUND: read_only, and no store there. read_only shares with others that only read,
 * never with a writer. Not to be used across fork. */
poise_code store_open(const struct store_options *options, struct store **ret_store, poise_error *err);
void store_close(struct store *store);
void store_id(const struct store *store, uint8_t ret_id[16]);
uint64_t store_incarnation(const struct store *store);

/* ---- the journal ---- */

struct journal_batch { /* a batch as it came */
    const char *producer;
    uint64_t epoch, seq, hash;
    const uint32_t *refused; /* rows that were refused, rising; WIRE_ROW_ALL alone: all of it */
    const uint8_t *reasons;  /* why, one a row of refused */
    size_t refused_count;
    uint32_t rows;
    const void *body;
    size_t body_length;
    const void *notes;   /* what its rows did (store/notes.h) */
    size_t notes_length; /* 0: it has no rows, or an older version has written it */
};
struct journal_record {
    uint64_t lsn;                     /* 1, 2, ...; given by store_append */
    int64_t as_of_ms;                 /* T of the commit */
    bool settled;                     /* T was settled, and `changes` begin its difference */
    bool revised;                     /* some of them are revisions */
    bool more;                        /* others of the same settle follow, in records that are not settled */
    bool time_last;                   /* T moved behind its rows (event clock), not before them */
    bool orders;                      /* some of its batches say which definitions are in force */
    bool trimmed;                     /* it is what remains of it (store/past.h) */
    uint64_t first_ordinal;           /* of the record's first row */
    int64_t min_time_ms, max_time_ms; /* of its rows; min > max: none */
    const struct journal_batch *batches;
    size_t batch_count;
    const void *changes; /* of the published update, as on the wire; may be empty */
    size_t changes_length;
};

/* One record, one transaction, synced: when it returns OK the record is on disk. EFULL: no room, nothing
 * happened, try again later (also when the map cannot grow since a reader stays open for 3 s). EIO: a sync or
 * write failed: nothing may be acknowledged any more, the process must end and recover at start; every later
 * write is EIO too. ELIMIT: the record is above 1 GiB. A writer with a reader of its own open must expect
 * that EFULL. */
poise_code store_append(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                        poise_error *err);
uint64_t store_last_lsn(const struct store *store); /* any thread */

/* The same in two steps: another thread may prepare the next record while one is appended. Zeroed at first.
 */
struct store_prepared {
    struct buf bytes;
    uint64_t lsn;
};
void store_prepared_free(struct store_prepared *prepared);
/* Encodes it, in place of what was prepared before; the record is not needed any more. EINVAL, ELIMIT: no
 * record that could be stored; ENOMEM. */
poise_code store_prepare(const struct journal_record *record, uint64_t lsn, struct store_prepared *prepared,
                         poise_error *err);
/* As it was, small parts in the arena, bodies in place. Any thread, also while it is appended. */
poise_code store_prepared_record(const struct store_prepared *prepared, struct arena *arena,
                                 struct journal_record *ret_record, poise_error *err);
/* As store_append. Also by another thread than the writer's, which may read meanwhile, but writes nothing;
 * then without growing the map, for which nobody may read: EFULL, and the writer thread has to try again. */
poise_code store_append_prepared(struct store *store, const struct store_prepared *prepared, bool may_grow,
                                 poise_error *err);

/* A reader sees the store as it was when it was opened or renewed; hold one for seconds at most. Belongs to
 * one thread. */
struct store_reader; /* opaque */
poise_code store_reader_open(struct store *store, struct store_reader **ret_reader, poise_error *err);
void store_reader_close(struct store_reader *reader);
uint64_t store_reader_lsn(const struct store_reader *reader); /* last record it sees */
uint64_t store_reader_first_lsn(
    const struct store_reader *reader); /* the first that is not trimmed; 0: none */
/* How many records from <= lsn <= until have together at most so many bytes (one at least): the last of them,
 * and their bytes. Touches no record. */
poise_code store_measure_journal(struct store_reader *reader, uint64_t from, uint64_t until, int64_t most,
                                 uint64_t *ret_lsn, int64_t *ret_bytes, poise_error *err);
/* Visits the records from <= lsn <= until in order. `wanted` is asked with the head (no batches, no changes:
 * NULL and 0; but the length of these) whether to read the whole; if not, visit gets the head alone and the
 * record's other pages stay untouched. NULL: all whole. Of records that were trimmed come the remains, where
 * there are some: orders whole, and batches with a row that was refused as locked; the rows of others as
 * batches without a body; revisions of the changes. Their accepted rows are in runs (store/runs.h). Other
 * than OK from visit ends it and is passed on, err as visit left it (ECLOSED: stop, OK). What visit gets
 * lives during the call. ECORRUPT names the record. The reader renews itself in between when older than 1 s
 * or when the map has to grow, and then sees more, but never beyond `until`. */
poise_code store_read_journal(struct store_reader *reader, uint64_t from, uint64_t until,
                              bool (*wanted)(void *visitor, const struct journal_record *head),
                              poise_code (*visit)(void *visitor, const struct journal_record *record),
                              void *visitor, poise_error *err);

/* ---- derived state ---- */

enum store_table { /* tables of the state, as docs/storage.md lists them */
                   STORE_HEAD,
                   STORE_ORGS,
                   STORE_SOURCES,
                   STORE_UNITS,
                   STORE_CELLS,
                   STORE_KEYS,
                   STORE_FUTURE,
                   STORE_REVISIONS,
                   STORE_PRODUCERS,
                   STORE_DEFINITIONS, /* of scorecards: which are in force when, and their texts */
                   STORE_SERIES,
                   STORE_TABLES
};
/* What the checkpointed state rests on. */
struct store_mark {
    uint64_t state_lsn; /* records up to it are in the tables */
    uint64_t
        generation; /* how often the state was begun: once, and with each change of definitions; 0: not yet */
};
struct store_mark store_mark(const struct store *store);

/* For the writer thread: what the last committed checkpoint put. Appends the value; ENOTFOUND; ECORRUPT. */
poise_code store_get(struct store *store, enum store_table table, const void *key, size_t length,
                     struct buf *out, poise_error *err);
/* Fetches from memory what store_get will look at first. */
void store_expect(const struct store *store, enum store_table table, const void *key, size_t length);
/* All entries in order of key; visit must not append or commit. Other than OK from visit ends it and is
 * passed on. */
poise_code store_walk(struct store *store, enum store_table table,
                      poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                      void *visitor, poise_error *err);
/* Those from the key `from` on, which a visit may raise: all below it are passed, and blocks of only such are
 * not read. Empty: that was all. */
poise_code store_walk_some(struct store *store, enum store_table table, const struct buf *from,
                           poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                           void *visitor, poise_error *err);

/* The same for any thread, as of when its reader was opened or last renewed, which a call may do. Without
 * filters: some us a run for an entry. */
poise_code store_reader_get(struct store_reader *reader, enum store_table table, const void *key,
                            size_t length, struct buf *out, poise_error *err);
poise_code store_reader_walk(struct store_reader *reader, enum store_table table,
                             poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                             void *visitor, poise_error *err);

/* A checkpoint: begin, clears, puts and deletes, commit: all or nothing, synced. A failed put makes commit
 * fail with the same code. commit ends the checkpoint, failed or not; codes as store_append. */
enum { STORE_KEY_MAX = 499, STORE_VALUE_MAX = 1 << 30 };
poise_code store_checkpoint_begin(struct store *store, poise_error *err);
poise_code store_put(struct store *store, enum store_table table, const void *key, size_t key_length,
                     const void *value, size_t value_length);        /* value NULL: delete, absent is fine */
poise_code store_clear(struct store *store, enum store_table table); /* before the first put */
poise_code store_checkpoint_commit(struct store *store, const struct store_mark *mark, poise_error *err);
void store_checkpoint_abort(struct store *store);
/* The same in slices, between which records may be appended. A step writes about 1 MiB of what was put, or
 * prepares to. It is done when there is nothing to write but what comes with more puts; or, after end (no
 * more puts; the mark is of the records that are in them), when all is on disk and counts. Failed, the
 * checkpoint has ended. */
poise_code store_checkpoint_step(struct store *store, bool *ret_done, poise_error *err);
poise_code store_checkpoint_end(struct store *store, const struct store_mark *mark, poise_error *err);

/* What checkpoints leave behind is merged and deleted, about 1 MiB a call; idle: also where it gains little.
 * Blocks of runs whose place was taken are deleted, and records beyond journal_bytes that are in runs and
 * state. Writer thread. */
bool store_upkeep_due(const struct store *store, bool idle);
bool store_upkeep_presses(
    const struct store *store); /* so many runs are there that looking for entries feels it */
poise_code store_upkeep(struct store *store, bool idle, poise_error *err);

/* Steps that another thread may do, one at a time, while the writer thread reads, and does nothing else with
 * the store but what is said here. Where one fails, the writer thread's next step of the same says so. */
enum store_steps {
    STORE_WRITES, /* of a checkpoint, what is at hand; the writer thread may put */
    STORE_TAKES,  /* of one that has not ended, with all that was put; only that thread puts */
    STORE_MERGES
};
bool store_step_is_apart(const struct store *store, enum store_steps steps); /* there may be one */
bool store_step_apart(struct store *store, enum store_steps steps);          /* there may be another */

struct store_table_stats {
    const char *name;
    uint64_t entries;
    int64_t bytes; /* of its pages; of tables of state: of its entries in runs, the rest is of "state" */
};
enum { STORE_TABLES_ALL = STORE_TABLES + 9 }; /* and those of LMDB */
struct store_stats {
    int64_t map_bytes, used_bytes, file_bytes,
        free_bytes; /* used: pages of the tables; free: of the file system */
    uint64_t first_lsn, last_lsn, state_lsn, chunks_lsn;
    uint64_t entries[STORE_TABLES]; /* those that newer ones have replaced too, until they are merged */
    int64_t lag_bytes;              /* of the records behind state_lsn */
    struct store_table_stats tables[STORE_TABLES_ALL]; /* all that there are */
    uint64_t readers;
    int64_t
        oldest_reader_ms; /* how long the longest of the readers' transactions is open; 0: there is none */
};
/* Any thread, and never waits: EBUSY while the map grows. Costs a short read transaction. */
poise_code store_stats(struct store *store, struct store_stats *ret_stats, poise_error *err);

#endif
