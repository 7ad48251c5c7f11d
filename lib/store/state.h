/* Derived state as sorted runs: a checkpoint writes what changed as a new run, in slices that delay no
 * commit; runs of like size are merged into one. An entry is what the newest run says that has it. Internal
 * to lib/store; docs/storage.md has tables and bytes. */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "sorted.h"
#include "store.h"
#include <lmdb.h>

enum {
    STATE_HEAD_BYTES = 9, /* run, and kind, before the rest of a key in LMDB */
    STATE_BLOCK_KEY_MAX = STATE_HEAD_BYTES + SORTED_KEY_MAX,
    STATE_FILTER_KEY = STATE_HEAD_BYTES + 4,
    STATE_SLICE_BYTES = 1 << 19 /* to be made and written in some ms */
};

enum state_status {
    STATE_RUN_BUILDING, /* nobody looks at it; after a start it is dropped */
    STATE_RUN_WHOLE,
    STATE_RUN_DROPPED /* another took its place; it goes, slice by slice */
};

struct state_run {
    uint64_t id;   /* never given again */
    uint64_t rank; /* what ranks higher is newer */
    enum state_status status;
    uint32_t cleared; /* bits of tables: what older runs have of them is gone */
    uint64_t entries[STORE_TABLES], table_bytes[STORE_TABLES], bytes;
    struct filter filter; /* whole ones; empty: every key is looked for */
};

struct state_runs {          /* the store's is the writer's */
    struct state_run *items; /* whole ones, highest rank first; then dropped ones */
    size_t count, whole, capacity;
    uint64_t next_id;
};

static inline void put_big64(uint64_t value, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    }
}
static inline uint64_t big64(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

/* The list as the transaction sees it, into an empty one; without filters it is read quickly. */
poise_code state_load(const struct store *store, MDB_txn *txn, bool filters, struct state_runs *runs,
                      poise_error *err);
void state_free(struct state_runs *runs);
/* What the newest run says of it; ENOTFOUND. */
poise_code state_get(const struct store *store, MDB_txn *txn, const struct state_runs *runs,
                     const uint8_t *key, size_t length, struct buf *out, poise_error *err);

/* Fetches the lines of the filters that state_get will ask. */
void state_expect(const struct store *store, const uint8_t *key, size_t length);

/* ---- state.c: the list, and where blocks stand ---- */

uint64_t state_new_id(struct state_runs *runs);
bool state_reserve(struct state_runs *runs, size_t count);
void state_insert(struct state_runs *runs, size_t at, const struct state_run *run); /* there is room */
void state_remove(struct state_runs *runs, size_t at);                              /* not its filter */
void state_run_describe(const struct state_run *run, struct buf *out);              /* as it is listed */
poise_code state_run_read(const struct store *store, const MDB_val *key, const MDB_val *listed,
                          struct state_run *ret_run, size_t *ret_filter_lines, poise_error *err);
uint64_t state_run_entries(const struct state_run *run); /* of all tables */

/* Keys in LMDB: of the run's filter parts and of its blocks, by their first entry. */
size_t state_filter_key(uint64_t run, uint32_t part, uint8_t bytes[STATE_FILTER_KEY]);
size_t state_block_key(uint64_t run, const uint8_t *first, size_t length, uint8_t bytes[STATE_BLOCK_KEY_MAX]);

/* ---- state_reader.c: entries of several runs in the order of their keys ---- */

struct state_cursor {
    uint64_t run;
    uint32_t cleared;
    MDB_cursor *at;
    struct sorted_reader block;
    struct sorted_entry entry;
    bool has; /* an entry */
};
struct state_reader {
    const struct store *store;
    struct state_cursor *cursors; /* highest rank first */
    size_t count;
    uint32_t *heap; /* those that have an entry, the lowest key on top */
    size_t heap_count;
    size_t budget, looked; /* entries; budget 0: no limit */
    size_t last_length;    /* of the last entry's key */
    uint8_t last[SORTED_KEY_MAX];
};
/* Of some runs, highest rank first; before the first entry that is not below key. */
poise_code state_reader_open(const struct store *store, MDB_txn *txn, const struct state_run *runs,
                             size_t count, const uint8_t *key, size_t length, struct state_reader *reader,
                             poise_error *err);
/* The next entry, deleted ones too; lives until the next call. ENOTFOUND: there is none. EBUSY: so many as
 * the budget says were looked at; all up to `last` are done. */
poise_code state_reader_next(struct state_reader *reader, struct sorted_entry *ret_entry, poise_error *err);
/* Passes entries below the key; blocks that have only such are not read. */
poise_code state_reader_skip(struct state_reader *reader, const uint8_t *key, size_t length,
                             poise_error *err);
void state_reader_close(struct state_reader *reader);

/* ---- state_build.c: entries to blocks ---- */

struct state_build {
    struct state_run run;
    struct sorted_writer block;
    struct buf slice;  /* blocks that are done, for one transaction: keys and values as texts */
    struct buf hashes; /* of the keys, until there is a filter; u64 each */
    size_t hash_at;    /* those before it are in the filter */
    size_t filter_at;  /* bytes of the filter that are in slices, too */
};
/* At most so many entries; 0: it is not known. */
poise_code state_build_open(struct state_build *build, size_t entries, poise_error *err);
void state_build_free(struct state_build *build);
/* Keys rising. */
poise_code state_build_add(struct state_build *build, const struct sorted_entry *entry, poise_error *err);
poise_code state_build_end(struct state_build *build, poise_error *err); /* the last block */
/* Then the filter: some ms a call, and a slice's worth. */
poise_code state_build_filter(struct state_build *build, bool *ret_done, poise_error *err);

/* ---- state_part.c: puts in the order of their keys ---- */

enum { STATE_SORTED_AT_ONCE = 4096 /* puts, in less than a ms */ };

struct state_piece { /* in order; of state_part's `sorted` */
    size_t at, end;
};

struct state_part {
    struct buf puts;
    size_t taken; /* bytes of them that are in pieces */
    struct put *sorted;
    size_t count;
    struct state_piece *pieces; /* that are not used up: a few */
    size_t piece_count, piece_capacity;
};
void puts_add(struct buf *puts, const uint8_t *key, size_t key_length, const void *value, size_t length);
void puts_skip(struct cursor *in); /* past one of them */
/* Takes the puts, of which later ones count. */
poise_code state_part_open(struct state_part *part, struct buf *puts, size_t count, poise_error *err);
/* Sorts the next 4,096 of them; *ret_quick: they came in order. */
poise_code state_part_sort(struct state_part *part, bool *ret_quick, poise_error *err);
bool state_part_is_sorted(const struct state_part *part); /* all of it: it may be read */
bool state_part_has(const struct state_part *part);       /* something that was not read */
void state_part_free(struct state_part *part);
bool state_part_next(struct state_part *part, struct sorted_entry *ret_entry); /* false: there is none */
bool state_part_is_behind(const struct state_part *part, const uint8_t *key, size_t length); /* all of it */

/* ---- state_job.c: making a run, a slice at a time ---- */

struct state_job {
    struct store *store;
    struct state_build build;
    bool read, done; /* all entries are in blocks; the slice at hand is the last */
    size_t from_length;
    uint8_t from[SORTED_KEY_MAX]; /* the last entry */
    /* from runs */
    struct state_run *sources;
    size_t source_count;
    bool oldest;        /* the oldest run is among them: what is deleted need not be said any more */
    poise_error failed; /* a step apart (store_step_apart), which the next one says */
};
/* Of puts: parts of them are added as long as they are behind what the run has; then it ends. */
poise_code state_job_of_puts(struct store *store, struct state_job *job, uint32_t cleared, poise_error *err);
bool state_job_takes(const struct state_job *job, const struct state_part *part);
/* Until its slice is full or the part is empty. */
poise_code state_job_add(struct state_job *job, struct state_part *part, poise_error *err);
poise_code state_job_end(struct state_job *job, poise_error *err); /* a step of it, until the job is done */
/* Merges the newest ones, starting with `first`. */
poise_code state_job_of_runs(struct store *store, struct state_job *job, size_t count, poise_error *err);
/* A step of that, until the job is done. Any thread, one at a time. */
poise_code state_job_fill(struct state_job *job, poise_error *err);
/* Whether a transaction is worth it: the slice is full, or the last. */
bool state_job_has_slice(const struct state_job *job);
void state_job_free(struct state_job *job);
/* How many of the newest runs should become one; 0: none. While there is time also where little is gained. */
size_t state_to_merge(const struct state_runs *runs, bool idle);

/* ---- state_write.c: the writer's transactions ---- */

/* The slice of a run that is being built; it is empty then. */
poise_code state_put_slice(struct store *store, struct state_build *build, poise_error *err);
struct whole { /* what one transaction makes whole */
    struct state_run
        *runs; /* the newest, in order of rank, rising; or one that takes the place of `sources` */
    size_t count;
    const struct state_run *sources;
    size_t source_count;
    const struct store_mark *mark; /* NULL: it does not move */
};
/* Filters are the store's then. */
poise_code state_make_whole(struct store *store, const struct whole *whole, poise_error *err);
/* A run that will not be whole: what there is of it will be swept. */
void state_give_up(struct store *store, const struct state_run *run);
/* Deletes some blocks of a run that was dropped or given up. */
poise_code state_sweep(struct store *store, poise_error *err);

#endif
