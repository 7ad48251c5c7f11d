/* Runs of blocks in the store: tables `chunks` and `runs`, and the second applied LSN. A run of level 0 has
 * all rows of the records (chunks LSN before it, its LSN]; a merge takes the place of runs of one bucket and
 * input. Readers see whole runs only. docs/series-store.md has the plan, the tables and their bytes. */
#ifndef STORE_RUNS_H
#define STORE_RUNS_H

#include "merge.h"
#include "past.h"
#include "store.h"

/* ---- writing: the writer thread ---- */

enum { STORE_SLICE_BLOCKS = 64 }; /* of a commit; more are possible, and slower */

/* What a commit does beside its record. All of it or nothing. */
struct store_slice {
    const struct block *blocks; /* of one run; its bytes stay those of the caller */
    size_t block_count;
    /* Entries of what stays of the records of a run of level 0 (store/past.h); not before it is begun. */
    const void *entries;
    size_t entries_length;
    /* With these blocks the run becomes whole. A run of level 0: the chunks LSN moves to its LSN, for all
     * buckets and inputs (it may have no blocks at all). A merge: it takes the place of its sources. */
    bool whole;
    uint64_t run;
    /* Of a run of level 0, with `whole`: of the last of its records. */
    uint64_t last_place;
    int64_t as_of_ms;
    /* Of a merge: */
    int32_t bucket;
    uint32_t input;
    const uint64_t *sources; /* with `whole` */
    size_t source_count;
    /* So many blocks, at most, of runs whose place was taken are deleted. */
    size_t sweep;
};
/* As store_append; the record may be NULL. EINVAL: a slice of a run that cannot be (level 0: not above the
 * chunks LSN, beyond the journal, or while another is being built; a merge: above the chunks LSN; a name that
 * is taken). ENOTFOUND: a source is not there. Before the first blocks of a process it deletes what a crash
 * has left of runs that were being built, in transactions of its own: see store_runs_clean. EBUSY: the store
 * is being copied; try again. */
poise_code store_commit(struct store *store, const struct journal_record *record,
                        const struct store_slice *slice, uint64_t *ret_lsn, poise_error *err);
/* Deletes the blocks of all runs that are being built, whoever began them: after a failed compaction. They
 * are to be built anew then. A synced transaction for each 1,024 blocks. */
poise_code store_runs_clean(struct store *store, poise_error *err);
uint64_t store_chunks_lsn(const struct store *store); /* any thread */
bool store_has_dropped(const struct store *store);    /* blocks to sweep; the writer thread */

/* ---- reading ---- */

uint64_t store_reader_chunks_lsn(const struct store_reader *reader); /* of what it sees */
uint64_t store_reader_state_lsn(const struct store_reader *reader);  /* likewise */

struct store_run {
    int32_t bucket;
    uint32_t input;
    uint64_t run;
    struct block_stats stats;
};
/* Whole runs, by bucket, input and run: from <= (bucket, input), both of one input or (any_input) of all.
 * Other than OK from visit ends it and is passed on (ECLOSED: stop, OK). */
struct store_run_range {
    int32_t from_bucket, until_bucket;
    uint32_t input;
    bool any_input;
};
poise_code store_read_runs(struct store_reader *reader, const struct store_run_range *range,
                           poise_code (*visit)(void *visitor, const struct store_run *run), void *visitor,
                           poise_error *err);

struct store_rows_query {
    uint32_t input;
    int64_t from_ms, until_ms; /* both included */
    bool one_series;
    uint64_t series;
    /* Rows as they stood when the row at this place was the last: those above it are left out, and what went
     * above it stands. UINT64_MAX: all. */
    uint64_t until_place;
    uint64_t from_place; /* rows up to this one are left out, too; 0: none */
    /* NULL: all series are wanted. Else the least from this one on that is; UINT64_MAX: none. What lies
     * between is passed over, as far as blocks allow unread. Asked with the visitor of the rows. */
    uint64_t (*choose)(void *visitor, uint64_t series);
    struct merge_effort *effort; /* NULL, or what it took is added here */
};
struct store_rows_visit {
    /* At most CHUNK_PART rows of a series, by time and place. */
    poise_code (*rows)(void *visitor, uint64_t series, const struct chunk_rows *rows);
    /* NULL: none. Instead of the rows of a whole chunk, where all of them are in the range and `of` is 1:
     * count (standing), min, max and exact sum of those that stand. Then a series comes in no order. */
    poise_code (*head)(void *visitor, uint64_t series, const struct chunk_head *head);
    /* NULL: always. Whether head will take this one; else the rows come. */
    bool (*will_do)(void *visitor, uint64_t series, const struct chunk_head *head);
    void *visitor;
};
/* Visits rows of whole runs: by bucket (day of time), series, time and place. A row counts to the bucket that
 * it was put in. Renews itself as store_read_journal does, also in the middle of a series, but with heads
 * only between two: a row that was there at the beginning is visited once, whatever is merged meanwhile; rows
 * of runs that become whole meanwhile may be missed or not, so give the place of the last row that is wanted.
 */
poise_code store_read_rows(struct store_reader *reader, const struct store_rows_query *query,
                           const struct store_rows_visit *visit, poise_error *err);

/* The compactor: merges runs of one bucket and input into blocks of run `into`, marks folded. The sources
 * must stay until it is done (whoever drops runs is the one who merges). ENOTFOUND: one is not there. */
poise_code store_merge_runs(struct store_reader *reader, int32_t bucket, uint32_t input,
                            const uint64_t *sources, size_t source_count, uint64_t into, block_take *take,
                            void *taker, poise_error *err);

#endif
