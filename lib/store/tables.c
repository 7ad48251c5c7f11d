#include "inner.h"
#include "runs.h"
#include <base/error.h>
#include <base/hash.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART_BYTES = 2 << 20, /* of puts, that are sorted in steps */
    RUNS_MANY = 10,
    APART_BYTES = 8 << 20 /* more than a step writes, with LMDB's own pages */
};

const char *const table_names[STORE_TABLES] = {
    [STORE_HEAD] = "head",           [STORE_ORGS] = "orgs",
    [STORE_SOURCES] = "sources",     [STORE_UNITS] = "units",
    [STORE_CELLS] = "cells",         [STORE_KEYS] = "keys",
    [STORE_FUTURE] = "future",       [STORE_REVISIONS] = "revisions",
    [STORE_PRODUCERS] = "producers", [STORE_DEFINITIONS] = "definitions",
    [STORE_SERIES] = "series",
};

/* ---- values ---- */

/* The key's too, so that a value under the wrong key shows. */
static uint32_t crc_of(const MDB_val *key, const void *value, size_t length)
{
    return crc32c(key->mv_data, key->mv_size) ^ crc32c(value, length);
}

int value_put(MDB_txn *txn, MDB_dbi dbi, MDB_val key, const void *value, size_t length)
{
    MDB_val stored = {.mv_size = VALUE_CRC + length};
    int rc = mdb_put(txn, dbi, &key, &stored, MDB_RESERVE);
    if (rc != 0) {
        return rc;
    }
    struct buf out = {.data = stored.mv_data, .capacity = stored.mv_size}; /* filled exactly: never grows */
    buf_put_u32(&out, crc_of(&key, value, length));
    buf_put(&out, value, length);
    return 0;
}

poise_code value_check(const struct store *store, const char *table, const MDB_val *key,
                       const MDB_val *stored, struct cursor *ret_value, poise_error *err)
{
    struct cursor value = cursor_of(stored->mv_data, stored->mv_size);
    uint32_t crc = cursor_u32(&value);
    if (value.failed || crc != crc_of(key, value.at, cursor_left(&value))) {
        char hex[2 * 24 + 1] = "";
        const uint8_t *bytes = key->mv_data;
        for (size_t i = 0; i < key->mv_size && i < 24; i++) {
            hex[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
            hex[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
        }
        return error_set(err, POISE_ECORRUPT, "%s is damaged: the CRC of entry %s in table %s does not match",
                         store->path, hex, table);
    }
    *ret_value = value;
    return POISE_OK;
}

/* ---- reading ---- */

/* An entry's key among those of all tables. */
static size_t entry_key(enum store_table table, const void *key, size_t length, uint8_t bytes[SORTED_KEY_MAX])
{
    bytes[0] = (uint8_t)table;
    memcpy(bytes + 1, key, length);
    return 1 + length;
}

/* The writer thread's own transaction needs no gate: only this thread grows the map. */
poise_code store_get(struct store *store, enum store_table table, const void *key, size_t length,
                     struct buf *out, poise_error *err)
{
    uint8_t bytes[SORTED_KEY_MAX];
    if (length == 0 || length > STORE_KEY_MAX) {
        return error_set(err, POISE_EINVAL, "a key of %zu bytes", length);
    }
    poise_code code = env_check_mapped(store, err);
    int rc = code == POISE_OK ? mdb_txn_renew(store->view) : 0;
    if (rc != 0) {
        code = env_error(store, rc, "begin to read", err);
    }
    if (code != POISE_OK) {
        return code;
    }
    code = state_get(store, store->view, &store->runs, bytes, entry_key(table, key, length, bytes), out, err);
    mdb_txn_reset(store->view);
    return code == POISE_ENOTFOUND ? error_set(err, code, "no such entry in table %s", table_names[table])
                                   : code;
}

void store_expect(const struct store *store, enum store_table table, const void *key, size_t length)
{
    uint8_t bytes[SORTED_KEY_MAX];
    if (length > 0 && length <= STORE_KEY_MAX) {
        state_expect(store, bytes, entry_key(table, key, length, bytes));
    }
}

/* What is below `from` is passed; ENOTFOUND: that is all. */
static poise_code skip_to(struct state_reader *reader, enum store_table table, const struct buf *from,
                          poise_error *err)
{
    uint8_t bytes[SORTED_KEY_MAX];
    if (from->failed) {
        return error_nomem(err, "a key of the store");
    }
    if (from->length > STORE_KEY_MAX) {
        return error_set(err, POISE_EINVAL, "a key of %zu bytes", from->length);
    }
    return from->length == 0
               ? POISE_ENOTFOUND
               : state_reader_skip(reader, bytes, entry_key(table, from->data, from->length, bytes), err);
}

static poise_code walk(struct state_reader *reader, enum store_table table, const struct buf *from,
                       poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                       void *visitor, poise_error *err)
{
    struct sorted_entry entry;
    poise_code code;
    while ((code = from ? skip_to(reader, table, from, err) : POISE_OK) == POISE_OK &&
           (code = state_reader_next(reader, &entry, err)) == POISE_OK && entry.key[0] == table) {
        if (entry.value) {
            code = visit(visitor, cursor_of(entry.key + 1, entry.key_length - 1),
                         cursor_of(entry.value, entry.value_length));
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return code == POISE_ENOTFOUND ? POISE_OK : code;
}

poise_code store_walk_some(struct store *store, enum store_table table, const struct buf *from,
                           poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                           void *visitor, poise_error *err)
{
    const uint8_t first = (uint8_t)table;
    struct state_reader reader;
    MDB_txn *txn;
    poise_code code = env_read(store, &txn, err);
    if (code != POISE_OK) {
        return code;
    }
    code = state_reader_open(store, txn, store->runs.items, store->runs.whole, &first, 1, &reader, err);
    if (code == POISE_OK) {
        code = walk(&reader, table, from, visit, visitor, err);
        state_reader_close(&reader);
    }
    env_read_end(store, txn);
    return code;
}

poise_code store_walk(struct store *store, enum store_table table,
                      poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                      void *visitor, poise_error *err)
{
    return store_walk_some(store, table, NULL, visit, visitor, err);
}

/* ---- for other threads ---- */

static poise_code list_runs(struct store_reader *reader, struct state_runs *ret_runs, poise_error *err)
{
    poise_code code = reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
    *ret_runs = (struct state_runs){0};
    return code == POISE_OK ? state_load(reader->store, reader->txn, false, ret_runs, err) : code;
}

poise_code store_reader_get(struct store_reader *reader, enum store_table table, const void *key,
                            size_t length, struct buf *out, poise_error *err)
{
    uint8_t bytes[SORTED_KEY_MAX];
    struct state_runs runs;
    if (length == 0 || length > STORE_KEY_MAX) {
        return error_set(err, POISE_EINVAL, "a key of %zu bytes", length);
    }
    poise_code code = list_runs(reader, &runs, err);
    if (code == POISE_OK) {
        code = state_get(reader->store, reader->txn, &runs, bytes, entry_key(table, key, length, bytes), out,
                         err);
    }
    state_free(&runs);
    return code == POISE_ENOTFOUND ? error_set(err, code, "no such entry in table %s", table_names[table])
                                   : code;
}

poise_code store_reader_walk(struct store_reader *reader, enum store_table table,
                             poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                             void *visitor, poise_error *err)
{
    const uint8_t first = (uint8_t)table;
    struct state_reader entries;
    struct state_runs runs;
    poise_code code = list_runs(reader, &runs, err);
    if (code == POISE_OK) {
        code =
            state_reader_open(reader->store, reader->txn, runs.items, runs.whole, &first, 1, &entries, err);
    }
    if (code == POISE_OK) {
        code = walk(&entries, table, NULL, visit, visitor, err);
        state_reader_close(&entries);
    }
    state_free(&runs);
    return code;
}

/* ---- checkpoints ---- */

poise_code store_checkpoint_begin(struct store *store, poise_error *err)
{
    if (store->checkpoint.open) {
        return error_set(err, POISE_EINVAL, "a checkpoint of %s has begun already", store->path);
    }
    store->checkpoint = (struct checkpoint){.open = true};
    return POISE_OK;
}

/* What was written of it will be swept. */
void store_checkpoint_abort(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    if (checkpoint->job.store) {
        state_give_up(store, &checkpoint->job.build.run);
    }
    for (size_t i = 0; i < checkpoint->run_count; i++) {
        state_give_up(store, &checkpoint->runs[i]);
        filter_free(&checkpoint->runs[i].filter);
    }
    state_job_free(&checkpoint->job);
    state_part_free(&checkpoint->part);
    buf_free(&checkpoint->puts); /* the next one may be much smaller */
    free(checkpoint->runs);
    *checkpoint = (struct checkpoint){0};
}

static poise_code fail_once(struct checkpoint *checkpoint, poise_code code)
{
    if (checkpoint->failed == POISE_OK) {
        checkpoint->failed = code;
    }
    return code;
}

poise_code store_put(struct store *store, enum store_table table, const void *key, size_t key_length,
                     const void *value, size_t value_length)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint8_t bytes[SORTED_KEY_MAX];
    if (!checkpoint->open || checkpoint->ended || key_length == 0 || key_length > STORE_KEY_MAX ||
        value_length > STORE_VALUE_MAX) {
        return fail_once(checkpoint, POISE_EINVAL);
    }
    puts_add(&checkpoint->puts, bytes, entry_key(table, key, key_length, bytes), value, value_length);
    checkpoint->any = true;
    return checkpoint->puts.failed ? fail_once(checkpoint, POISE_ENOMEM) : POISE_OK;
}

poise_code store_clear(struct store *store, enum store_table table)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    if (!checkpoint->open || checkpoint->ended || checkpoint->any) {
        return fail_once(checkpoint, POISE_EINVAL); /* a run hides what is older, not what it has itself */
    }
    checkpoint->cleared |= UINT32_C(1) << table;
    return POISE_OK;
}

/* The run whose last slice is written waits for the others. */
static poise_code end_run(struct checkpoint *checkpoint, poise_error *err)
{
    if (checkpoint->run_count == checkpoint->run_capacity) {
        size_t capacity = checkpoint->run_capacity ? 2 * checkpoint->run_capacity : 8;
        struct state_run *runs = realloc(checkpoint->runs, capacity * sizeof *runs);
        if (!runs) {
            return error_nomem(err, "a checkpoint");
        }
        checkpoint->runs = runs;
        checkpoint->run_capacity = capacity;
    }
    checkpoint->runs[checkpoint->run_count++] = checkpoint->job.build.run;
    checkpoint->job.build.run.filter = (struct filter){0};
    state_job_free(&checkpoint->job);
    checkpoint->ends = false;
    return POISE_OK;
}

/* What is left is mostly little. If it stayed behind what was taken all puts would be in memory at the end.
 */
static void forget_taken(struct checkpoint *checkpoint)
{
    struct buf *puts = &checkpoint->puts;
    size_t left = puts->length - checkpoint->taken;
    if (left > PART_BYTES) {
        return;
    }
    memmove(puts->data, puts->data + checkpoint->taken, left);
    puts->length = left;
    checkpoint->taken = 0;
}

static poise_code begin_part(struct store *store, poise_error *err)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    size_t count = 0;
    struct buf part = {0};
    struct cursor in = cursor_of(checkpoint->puts.data, checkpoint->puts.length);
    in.at += checkpoint->taken;
    const uint8_t *from = in.at;
    while (cursor_left(&in) > 0 && in.at - from < PART_BYTES) {
        puts_skip(&in);
        count++;
    }
    buf_put(&part, from, (size_t)(in.at - from));
    if (part.failed) {
        return error_nomem(err, "a part of a checkpoint");
    }
    checkpoint->taken += (size_t)(in.at - from);
    forget_taken(checkpoint);
    state_part_free(&checkpoint->part);
    return state_part_open(&checkpoint->part, &part, count, err);
}

/* Until the part is sorted, or as much of it as a step may. The run at hand goes on with it, if it is behind
 * all that the run has. */
static poise_code sort_some(struct checkpoint *checkpoint, bool *ret_long, poise_error *err)
{
    bool quick = true;
    poise_code code = POISE_OK;
    while (code == POISE_OK && quick && !state_part_is_sorted(&checkpoint->part)) {
        code = state_part_sort(&checkpoint->part, &quick, err);
    }
    *ret_long = !quick;
    if (code == POISE_OK && state_part_is_sorted(&checkpoint->part)) {
        checkpoint->ends = checkpoint->job.store && !state_job_takes(&checkpoint->job, &checkpoint->part);
    }
    return code;
}

static poise_code begin_run(struct store *store, poise_error *err)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t cleared = checkpoint->cleared;
    checkpoint->cleared = 0;
    return state_job_of_puts(store, &checkpoint->job, cleared, err);
}

static poise_code write_slice(struct store *store, poise_error *err)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    struct state_job *job = &checkpoint->job;
    poise_code code = job->store ? POISE_OK : begin_run(store, err);
    if (code == POISE_OK) {
        code = checkpoint->ends ? state_job_end(job, err) : state_job_add(job, &checkpoint->part, err);
    }
    if (code == POISE_OK && state_job_has_slice(job)) {
        code = state_put_slice(store, &job->build, err);
    }
    return code == POISE_OK && job->done ? end_run(checkpoint, err) : code;
}

/* Little is behind a checkpoint. A state that was begun anew has all records before it; should they
 * not be readable now, who reads them will say so. */
static void note_lag(struct store *store)
{
    MDB_txn *txn;
    int64_t bytes = 0;
    if (store->mark.state_lsn < store_last_lsn(store) && env_read(store, &txn, NULL) == POISE_OK) {
        (void)journal_bytes(store, txn, store->mark.state_lsn + 1, &bytes, NULL);
        env_read_end(store, txn);
    }
    atomic_store(&store->lag_bytes, bytes);
}

static poise_code make_whole(struct store *store, poise_error *err)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    const struct whole whole = {
        .runs = checkpoint->runs, .count = checkpoint->run_count, .mark = &checkpoint->mark};
    poise_code code = state_make_whole(store, &whole, err);
    if (code == POISE_OK) {
        store->mark = checkpoint->mark;
        note_lag(store);
        checkpoint->run_count = 0;
        store_checkpoint_abort(store); /* nothing is left to give up */
    }
    return code;
}

/* State leaves the last room to the journal: without it nothing is taken in, and what it left would stay. */
static poise_code check_room(const struct store *store, uint64_t bytes, poise_error *err)
{
    uint64_t free_bytes = env_free_bytes(store);
    return free_bytes >= store->floor && free_bytes - store->floor >= bytes
               ? POISE_OK
               : error_set(
                     err, POISE_EFULL,
                     "the file system of %s has no room for state beside the journal, to which it leaves "
                     "twice free_floor, %" PRIu64 " MiB: make room",
                     store->path, (2 * store->floor) >> 20);
}

/* Something to sort or to write, for which neither puts nor the list of runs are needed. */
static bool has_at_hand(const struct checkpoint *checkpoint)
{
    return checkpoint->ends || !state_part_is_sorted(&checkpoint->part) || state_part_has(&checkpoint->part);
}

static poise_code write_some(struct store *store, poise_error *err)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    bool is_long = false;
    poise_code code = check_room(store, 0, err);
    if (code == POISE_OK && !state_part_is_sorted(&checkpoint->part)) {
        code = sort_some(checkpoint, &is_long, err);
    }
    return code != POISE_OK || is_long ? code : write_slice(store, err);
}

static poise_code failed_apart(const struct state_job *job, poise_error *err)
{
    if (err && job->failed.code != POISE_OK) {
        *err = job->failed;
    }
    return job->failed.code;
}

static poise_code step(struct store *store, bool *ret_done, poise_error *err)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    size_t waiting = checkpoint->puts.length - checkpoint->taken;
    *ret_done = false;
    if (!checkpoint->open) {
        return error_set(err, POISE_EINVAL, "no checkpoint of %s has begun", store->path);
    }
    if (checkpoint->failed != POISE_OK) {
        return error_set(err, checkpoint->failed, "a put of the checkpoint failed before: %s",
                         poise_code_text(checkpoint->failed));
    }
    poise_code code = failed_apart(&checkpoint->job, err);
    if (code != POISE_OK) {
        return code;
    }
    if (has_at_hand(checkpoint)) {
        return write_some(store, err);
    }
    if (waiting >= PART_BYTES || (checkpoint->ended && waiting > 0)) {
        return begin_part(store, err);
    }
    checkpoint->ends = checkpoint->ended && (checkpoint->job.store || checkpoint->cleared);
    if (checkpoint->ends) {
        return POISE_OK;
    }
    *ret_done = true;
    code = check_room(store, 0, err);
    return code == POISE_OK && checkpoint->ended ? make_whole(store, err) : code;
}

poise_code store_checkpoint_step(struct store *store, bool *ret_done, poise_error *err)
{
    poise_code code = step(store, ret_done, err);
    if (code != POISE_OK) {
        store_checkpoint_abort(store);
    }
    return code;
}

poise_code store_checkpoint_end(struct store *store, const struct store_mark *mark, poise_error *err)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    if (checkpoint->open && mark->state_lsn > store_last_lsn(store)) {
        store_checkpoint_abort(store);
        return error_set(err, POISE_EINVAL,
                         "a checkpoint of record %" PRIu64 ", but the journal ends at %" PRIu64,
                         mark->state_lsn, store_last_lsn(store));
    }
    checkpoint->ended = true;
    checkpoint->mark = *mark;
    return POISE_OK;
}

poise_code store_checkpoint_commit(struct store *store, const struct store_mark *mark, poise_error *err)
{
    bool done = false;
    poise_code code = store_checkpoint_end(store, mark, err);
    while (code == POISE_OK && !done) {
        code = store_checkpoint_step(store, &done, err);
    }
    return code;
}

/* ---- upkeep ---- */

static poise_code merge_some(struct store *store, poise_error *err)
{
    struct state_job *job = &store->merging;
    poise_code code = state_job_fill(job, err);
    return code == POISE_OK && state_job_has_slice(job) ? state_put_slice(store, &job->build, err) : code;
}

static poise_code merge_step(struct store *store, poise_error *err)
{
    struct state_job *job = &store->merging;
    const struct whole whole = {
        .runs = &job->build.run, .count = 1, .sources = job->sources, .source_count = job->source_count};
    bool ends = job->done;
    poise_code code = failed_apart(job, err);
    if (code == POISE_OK) {
        code = ends ? state_make_whole(store, &whole, err) : merge_some(store, err);
    }
    if (code != POISE_OK) {
        state_give_up(store, &job->build.run);
    }
    if (code != POISE_OK || ends) {
        state_job_free(job);
    }
    return code;
}

enum { SWEEP_BLOCKS = 256 }; /* of 4 pages each, which are only marked as free */

static bool sweep_due(const struct store *store)
{
    return store_has_dropped(store) && atomic_load(&store->copying) == 0;
}

static poise_code sweep_blocks(struct store *store, poise_error *err)
{
    const struct store_slice slice = {.sweep = SWEEP_BLOCKS};
    return store_commit(store, NULL, &slice, NULL, err);
}

/* Some state may have been put before it was erased. */
static bool scrub_merges(const struct store *store)
{
    bool any = false;
    for (size_t i = 0; i < store->runs.whole; i++) {
        any |= store->runs.items[i].id < store->scrub.run;
    }
    return any;
}

static bool scrub_ends(const struct store *store)
{
    return store->scrub.lsn > atomic_load(&store->scrub.done) && !scrub_merges(store) &&
           !store->merging.store && store->runs.count == store->runs.whole && !store_has_dropped(store) &&
           store->trimmed_lsn + 1 >= store->scrub.lsn;
}

static size_t count_to_merge(const struct store *store, bool idle)
{
    return scrub_merges(store) ? store->runs.whole : state_to_merge(&store->runs, idle);
}

bool store_upkeep_due(const struct store *store, bool idle)
{
    return store->merging.store || store->runs.count > store->runs.whole || count_to_merge(store, idle) > 0 ||
           sweep_due(store) || journal_trim_due(store) || scrub_ends(store);
}

bool store_upkeep_presses(const struct store *store)
{
    return store->runs.whole > RUNS_MANY;
}

poise_code store_upkeep(struct store *store, bool idle, poise_error *err)
{
    if (store->merging.store) {
        return merge_step(store, err);
    }
    if (store->runs.count > store->runs.whole) {
        return state_sweep(store, err);
    }
    if (journal_trim_due(store)) {
        return journal_trim(store, err);
    }
    if (sweep_due(store)) {
        return sweep_blocks(store, err);
    }
    if (scrub_ends(store)) {
        atomic_store(&store->scrub.done, store->scrub.lsn);
    }
    size_t count = count_to_merge(store, idle);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += store->runs.items[i].bytes;
    }
    poise_code code = count ? check_room(store, bytes + bytes / 4, err) : POISE_OK;
    if (code == POISE_OK && count) {
        code = state_job_of_runs(store, &store->merging, count, err);
    }
    if (code != POISE_OK) {
        state_job_free(&store->merging);
    }
    return code;
}

/* ---- beside the writer thread ---- */

/* A map that is about full is left to the writer thread, which may grow it. */
bool store_step_is_apart(const struct store *store, enum store_steps steps)
{
    const struct checkpoint *checkpoint = &store->checkpoint;
    const struct state_job *job = steps == STORE_MERGES ? &store->merging : &checkpoint->job;
    bool any = steps == STORE_MERGES  ? job->store && !job->done
               : steps == STORE_TAKES ? checkpoint->open && !checkpoint->ended
                                      : has_at_hand(checkpoint);
    return any && job->failed.code == POISE_OK && env_map_left(store) >= APART_BYTES;
}

bool store_step_apart(struct store *store, enum store_steps steps)
{
    struct state_job *job = steps == STORE_MERGES ? &store->merging : &store->checkpoint.job;
    poise_error problem = {0};
    bool done = false;
    store->fixed = true;
    poise_code code = steps == STORE_MERGES  ? merge_some(store, &problem)
                      : steps == STORE_TAKES ? step(store, &done, &problem)
                                             : write_some(store, &problem);
    store->fixed = false;
    if (code != POISE_OK) {
        job->failed = problem;
        job->failed.code = code;
        return false;
    }
    return steps == STORE_MERGES  ? !job->done
           : steps == STORE_TAKES ? !done
                                  : has_at_hand(&store->checkpoint);
}
