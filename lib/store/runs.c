/* Writing blocks and runs: slices, merges that take the place of their sources, sweeping. */
#include "runs.h"
#include "inner.h"
#include <base/error.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    PAGES_BESIDES = 65536,
    PAGES_A_BLOCK = 2 * 16384, /* its own, and those of the tree */
    CLEAN_BLOCKS = 1024        /* deleted in a transaction, by store_runs_clean */
};

/* ---- entries of runs ---- */

void run_key_put(enum run_kind kind, int32_t bucket, uint32_t input, uint64_t run,
                 uint8_t ret_bytes[RUN_KEY_BYTES])
{
    uint8_t key[BLOCK_KEY_BYTES];
    block_key_put(&(struct block_key){.bucket = bucket, .input = input, .run = run}, key);
    ret_bytes[0] = (uint8_t)kind;
    memcpy(ret_bytes + 1, key, RUN_KEY_BYTES - 1);
}

static bool take_key(const MDB_val *key, enum run_kind *ret_kind, struct store_run *run)
{
    uint8_t bytes[BLOCK_KEY_BYTES] = {0};
    struct block_key taken;
    if (key->mv_size != RUN_KEY_BYTES) {
        return false;
    }
    memcpy(bytes, (const uint8_t *)key->mv_data + 1, RUN_KEY_BYTES - 1);
    block_key_take(bytes, sizeof bytes, &taken);
    *ret_kind = ((const uint8_t *)key->mv_data)[0];
    *run = (struct store_run){.bucket = taken.bucket, .input = taken.input, .run = taken.run};
    return true;
}

static void put_stats(struct buf *out, const struct block_stats *stats)
{
    buf_put_varint(out, stats->rows);
    buf_put_varint(out, stats->marks);
    buf_put_varint(out, stats->blocks);
    buf_put_varint(out, stats->bytes);
    buf_put_svarint(out, stats->min_time_ms);
    buf_put_varint(out, (uint64_t)stats->max_time_ms - (uint64_t)stats->min_time_ms);
    buf_put_varint(out, stats->last_place);
    buf_put_varint(out, stats->first_place);
}

static struct block_stats take_stats(struct cursor *in)
{
    struct block_stats stats = {.rows = cursor_varint(in)};
    stats.marks = cursor_varint(in);
    stats.blocks = cursor_varint(in);
    stats.bytes = cursor_varint(in);
    stats.min_time_ms = cursor_svarint(in);
    stats.max_time_ms = (int64_t)((uint64_t)stats.min_time_ms + cursor_varint(in));
    stats.last_place = cursor_varint(in);
    stats.first_place = cursor_varint(in);
    return stats;
}

poise_code run_take(const struct store *store, const MDB_val *key, const MDB_val *stored,
                    enum run_kind *ret_kind, struct store_run *ret_run, poise_error *err)
{
    struct cursor value;
    poise_code code = value_check(store, "runs", key, stored, &value, err);
    if (code != POISE_OK) {
        return code;
    }
    bool sound = take_key(key, ret_kind, ret_run);
    ret_run->stats = take_stats(&value);
    return sound && !value.failed
               ? POISE_OK
               : error_set(err, POISE_ECORRUPT, "%s is damaged: an entry of table runs cannot be read",
                           store->path);
}

static int put_run(struct store *store, MDB_txn *txn, enum run_kind kind, const struct store_run *run)
{
    uint8_t name[RUN_KEY_BYTES], bytes[96];
    struct buf value = {.data = bytes, .capacity = sizeof bytes};
    run_key_put(kind, run->bucket, run->input, run->run, name);
    put_stats(&value, &run->stats);
    MDB_val key = {.mv_size = sizeof name, .mv_data = name};
    return value_put(txn, store->lmdb[LMDB_RUNS], key, value.data, value.length);
}

/* Puts the entry under another kind. */
static int turn_run(struct store *store, MDB_txn *txn, enum run_kind from, enum run_kind to, int32_t bucket,
                    uint32_t input, uint64_t run)
{
    uint8_t name[RUN_KEY_BYTES];
    enum run_kind kind;
    struct store_run entry;
    run_key_put(from, bucket, input, run, name);
    MDB_val key = {.mv_size = sizeof name, .mv_data = name}, stored;
    int rc = mdb_get(txn, store->lmdb[LMDB_RUNS], &key, &stored);
    if (rc != 0) {
        return rc;
    }
    if (run_take(store, &key, &stored, &kind, &entry, NULL) != POISE_OK) {
        return MDB_CORRUPTED;
    }
    rc = mdb_del(txn, store->lmdb[LMDB_RUNS], &key, NULL);
    return rc == 0 ? put_run(store, txn, to, &entry) : rc;
}

/* ---- slices ---- */

struct commit_result {
    bool swept;   /* nothing is left to sweep */
    bool clashed; /* with a run of the same name */
};

struct commit {
    const struct store_slice *slice;
    uint64_t lsn; /* of the record; 0: none */
    struct commit_result *result;
};

static bool is_merge(const struct store_slice *slice)
{
    return block_run_level(slice->run) > 0;
}

static int check_absent(struct store *store, MDB_txn *txn, enum run_kind kind, const struct block_key *block,
                        struct commit_result *result)
{
    uint8_t name[RUN_KEY_BYTES];
    run_key_put(kind, block->bucket, block->input, block->run, name);
    MDB_val key = {.mv_size = sizeof name, .mv_data = name}, value;
    int rc = mdb_get(txn, store->lmdb[LMDB_RUNS], &key, &value);
    result->clashed |= rc == 0;
    return rc == MDB_NOTFOUND ? 0 : rc == 0 ? MDB_BAD_VALSIZE : rc;
}

static int put_blocks(struct store *store, MDB_txn *txn, const struct store_slice *slice,
                      struct commit_result *result)
{
    int rc = 0;
    for (size_t i = 0; i < slice->block_count && rc == 0; i++) {
        const struct block *block = &slice->blocks[i], *next = block + 1;
        uintptr_t bytes = (uintptr_t)block->bytes; /* LMDB only reads it */
        uint8_t name[BLOCK_KEY_BYTES];
        block_key_put(&block->key, name);
        MDB_val key = {.mv_size = sizeof name, .mv_data = name};
        MDB_val value = {.mv_size = block->length, .mv_data = (void *)bytes};
        rc = mdb_put(txn, store->lmdb[LMDB_CHUNKS], &key, &value, 0);
        bool is_last = i + 1 == slice->block_count || next->key.bucket != block->key.bucket ||
                       next->key.input != block->key.input;
        if (rc == 0 && is_last) {
            rc = check_absent(store, txn, RUN_DROPPED, &block->key, result);
        }
        if (rc == 0 && is_last && is_merge(slice)) {
            rc = check_absent(store, txn, RUN_LIVE, &block->key, result);
        }
        if (rc == 0 && is_last) {
            struct store_run run = {.bucket = block->key.bucket,
                                    .input = block->key.input,
                                    .run = block->key.run,
                                    .stats = block->stats};
            rc = put_run(store, txn, is_merge(slice) ? RUN_BUILDING : RUN_LIVE, &run);
        }
    }
    return rc;
}

static int make_whole(struct store *store, MDB_txn *txn, const struct store_slice *slice)
{
    if (!is_merge(slice)) {
        const struct store_past past = {
            .lsn = block_run_lsn(slice->run), .last_place = slice->last_place, .as_of_ms = slice->as_of_ms};
        return meta_put_chunks(store, txn, &past);
    }
    int rc = turn_run(store, txn, RUN_BUILDING, RUN_LIVE, slice->bucket, slice->input, slice->run);
    rc = rc == MDB_NOTFOUND ? 0 : rc; /* nothing was left of its rows */
    for (size_t i = 0; i < slice->source_count && rc == 0; i++) {
        rc = turn_run(store, txn, RUN_LIVE, RUN_DROPPED, slice->bucket, slice->input, slice->sources[i]);
    }
    return rc;
}

/* Deletes blocks of the run, at most *left of them; 0 is returned with *left above 0 when none is left. */
static int delete_blocks(struct store *store, MDB_txn *txn, const struct store_run *run, size_t *left)
{
    MDB_cursor *at;
    uint8_t first[BLOCK_KEY_BYTES];
    block_key_put(&(struct block_key){.bucket = run->bucket, .input = run->input, .run = run->run}, first);
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_CHUNKS], &at);
    if (rc != 0) {
        return rc;
    }
    for (; rc == 0 && *left > 0; (*left)--) { /* sought anew each time: see the bugs of LMDB 0.9.24 */
        MDB_val key = {.mv_size = sizeof first, .mv_data = first}, value;
        rc = mdb_cursor_get(at, &key, &value, MDB_SET_RANGE);
        if (rc == 0 && (key.mv_size < RUN_KEY_BYTES || memcmp(key.mv_data, first, RUN_KEY_BYTES - 1) != 0)) {
            rc = MDB_NOTFOUND;
        }
        if (rc != 0) {
            break;
        }
        rc = mdb_cursor_del(at, 0);
    }
    mdb_cursor_close(at);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int first_dropped(struct store *store, MDB_txn *txn, uint8_t ret_name[RUN_KEY_BYTES],
                         struct store_run *ret_run)
{
    MDB_cursor *at;
    uint8_t kind = RUN_DROPPED;
    MDB_val key = {.mv_size = 1, .mv_data = &kind}, value;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_RUNS], &at);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_get(at, &key, &value, MDB_SET_RANGE);
    enum run_kind found;
    if (rc == 0) {
        rc = take_key(&key, &found, ret_run) ? 0 : MDB_CORRUPTED;
    }
    if (rc == 0) {
        memcpy(ret_name, key.mv_data, RUN_KEY_BYTES);
    }
    mdb_cursor_close(at);
    return rc;
}

static int sweep(struct store *store, MDB_txn *txn, size_t left, bool *ret_swept)
{
    int rc = 0;
    *ret_swept = false;
    while (rc == 0 && left > 0) {
        uint8_t name[RUN_KEY_BYTES];
        struct store_run run;
        rc = first_dropped(store, txn, name, &run);
        if (rc == MDB_NOTFOUND) {
            *ret_swept = true;
            return 0;
        }
        if (rc == 0) {
            rc = delete_blocks(store, txn, &run, &left);
        }
        if (rc == 0 && left > 0) {
            MDB_val key = {.mv_size = sizeof name, .mv_data = name};
            rc = mdb_del(txn, store->lmdb[LMDB_RUNS], &key, NULL);
            left--;
        }
    }
    return rc;
}

static int fill_commit(struct store *store, MDB_txn *txn, const void *work)
{
    const struct commit *commit = work;
    int rc = commit->lsn > 0 ? journal_fill(store, txn, commit->lsn) : 0;
    if (rc == 0) {
        rc = put_blocks(store, txn, commit->slice, commit->result);
    }
    if (rc == 0) {
        rc = past_fill(store, txn, commit->slice->entries, commit->slice->entries_length);
    }
    if (rc == 0 && commit->slice->whole) {
        rc = make_whole(store, txn, commit->slice);
    }
    if (rc == 0 && commit->slice->erased_lsn > 0) {
        rc = meta_put_erased(store, txn, commit->slice->erased_lsn);
    }
    if (rc == 0 && commit->slice->sweep > 0) {
        rc = sweep(store, txn, commit->slice->sweep, &commit->result->swept);
    }
    return rc;
}

static poise_code check_slice(const struct store *store, const struct store_slice *slice, poise_error *err)
{
    uint64_t lsn = block_run_lsn(slice->run), chunks = store_chunks_lsn(store);
    if (atomic_load(&store->copying) > 0) {
        return error_set(err, POISE_EBUSY, "%s is being copied", store->path);
    }
    for (size_t i = 0; i < slice->block_count; i++) {
        const struct block_key *key = &slice->blocks[i].key;
        if (key->run != slice->run) {
            return error_set(err, POISE_EINVAL, "a slice with blocks of two runs");
        }
        if (is_merge(slice) && (key->bucket != slice->bucket || key->input != slice->input)) {
            return error_set(err, POISE_EINVAL, "a merge with blocks of two buckets or inputs");
        }
    }
    if (is_merge(slice)) {
        return lsn <= chunks
                   ? POISE_OK
                   : error_set(err, POISE_EINVAL,
                               "a merge up to record %" PRIu64 ", but runs are whole up to %" PRIu64, lsn,
                               chunks);
    }
    if (lsn <= chunks || lsn > store_last_lsn(store)) {
        return error_set(err, POISE_EINVAL,
                         "a run up to record %" PRIu64 ", but it must lie above %" PRIu64
                         " and not beyond the journal, which ends at %" PRIu64,
                         lsn, chunks, store_last_lsn(store));
    }
    if (store->building != 0 && store->building != slice->run) {
        return error_set(err, POISE_EINVAL,
                         "a run up to record %" PRIu64 ", but one up to %" PRIu64 " is being built", lsn,
                         block_run_lsn(store->building));
    }
    return POISE_OK;
}

static void note_slice(struct store *store, const struct store_slice *slice, bool has_run)
{
    if (has_run && !is_merge(slice)) {
        store->building = slice->whole ? 0 : slice->run;
    }
    if (has_run && slice->whole && !is_merge(slice)) {
        atomic_store(&store->chunks_lsn, block_run_lsn(slice->run));
    }
    if (has_run || slice->sweep > 0) {
        atomic_fetch_add(&store->chunks_changes, 1);
    }
    if (slice->erased_lsn > 0) {
        atomic_store(&store->scrub.erased, slice->erased_lsn);
    }
    if (slice->source_count > 0) {
        store->is_swept = false;
    }
}

poise_code journal_commit(struct store *store, uint64_t lsn, const struct store_slice *slice,
                          poise_error *err)
{
    bool has_run = slice->block_count > 0 || slice->whole || slice->entries_length > 0;
    struct commit_result result = {0};
    struct commit commit = {.lsn = lsn, .slice = slice, .result = &result};
    poise_code code = POISE_OK;
    if (has_run) {
        code = check_slice(store, slice, err);
    }
    if (code == POISE_OK && has_run && !store->is_clean) {
        code = store_runs_clean(store, err);
    }
    if (code == POISE_OK) {
        uint64_t bytes = (lsn > 0 ? store->record.length : 0) + slice->block_count * PAGES_A_BLOCK +
                         2 * slice->entries_length + PAGES_BESIDES;
        code = env_write(store, bytes, fill_commit, &commit, err);
    }
    if (result.clashed) {
        return error_set(err, POISE_EINVAL,
                         "a run up to record %" PRIu64
                         ", level %u, but there is one, or one that was dropped and "
                         "is not swept yet",
                         block_run_lsn(slice->run), block_run_level(slice->run));
    }
    if (code != POISE_OK) {
        return code;
    }
    note_slice(store, slice, has_run);
    if (result.swept) { /* only then: another thread may look */
        store->is_swept = true;
    }
    if (lsn > 0) {
        atomic_store(&store->last_lsn, lsn);
        atomic_fetch_add(&store->lag_bytes, (int64_t)store->record.length);
        atomic_fetch_add(&store->journal_bytes, (int64_t)store->record.length);
    }
    return POISE_OK;
}

poise_code store_commit(struct store *store, const struct journal_record *record,
                        const struct store_slice *slice, uint64_t *ret_lsn, poise_error *err)
{
    uint64_t lsn = 0;
    poise_code code = record ? journal_prepare(store, record, &lsn, err) : POISE_OK;
    if (code == POISE_OK) {
        code = journal_commit(store, lsn, slice, err);
    }
    if (code == POISE_OK && record) {
        *ret_lsn = lsn;
    }
    return code;
}

uint64_t store_chunks_lsn(const struct store *store)
{
    return atomic_load(&store->chunks_lsn);
}

uint64_t store_erased_lsn(const struct store *store)
{
    return atomic_load(&store->scrub.erased);
}

uint64_t store_scrubbed_lsn(const struct store *store)
{
    return atomic_load(&store->scrub.done);
}

void store_scrub(struct store *store, uint64_t lsn)
{
    store->scrub.lsn = lsn;
    store->scrub.run = store->runs.next_id;
    atomic_store(&store->scrub.done, 0);
}

bool store_has_dropped(const struct store *store)
{
    return !store->is_swept;
}

/* ---- what was being built ---- */

static bool is_unfinished(const struct store *store, enum run_kind kind, uint64_t run)
{
    return kind == RUN_BUILDING || (kind == RUN_LIVE && block_run_lsn(run) > store_chunks_lsn(store));
}

/* Names of entries of runs that are being built. */
static int find_unfinished(struct store *store, MDB_txn *txn, struct buf *names)
{
    MDB_cursor *at;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_RUNS], &at);
    if (rc != 0) {
        return rc;
    }
    while ((rc = mdb_cursor_get(at, &key, &value, MDB_NEXT)) == 0) {
        enum run_kind kind;
        struct store_run run;
        if (!take_key(&key, &kind, &run)) {
            rc = MDB_CORRUPTED;
            break;
        }
        if (is_unfinished(store, kind, run.run)) {
            buf_put(names, key.mv_data, key.mv_size);
        }
    }
    mdb_cursor_close(at);
    return names->failed ? ENOMEM : rc == MDB_NOTFOUND ? 0 : rc;
}

static int fill_clean(struct store *store, MDB_txn *txn, const void *work)
{
    struct buf names = {0};
    (void)work;
    int rc = find_unfinished(store, txn, &names);
    for (size_t i = 0; i < names.length && rc == 0; i += RUN_KEY_BYTES) {
        enum run_kind kind;
        struct store_run run;
        MDB_val key = {.mv_size = RUN_KEY_BYTES, .mv_data = names.data + i};
        take_key(&key, &kind, &run);
        rc = turn_run(store, txn, kind, RUN_DROPPED, run.bucket, run.input, run.run);
    }
    buf_free(&names);
    return rc;
}

struct cleaning {
    bool *ret_swept;
};

static int fill_sweep(struct store *store, MDB_txn *txn, const void *work)
{
    const struct cleaning *cleaning = work;
    return sweep(store, txn, CLEAN_BLOCKS, cleaning->ret_swept);
}

/* Whatever is dropped goes, too: a run of the same name must find nothing of the one before. */
poise_code store_runs_clean(struct store *store, poise_error *err)
{
    bool swept = false;
    struct cleaning cleaning = {.ret_swept = &swept};
    poise_code code = env_write(store, PAGES_BESIDES, fill_clean, NULL, err);
    if (code == POISE_OK) {
        store->building = 0;
    }
    while (code == POISE_OK && !swept) {
        code = env_write(store, PAGES_BESIDES, fill_sweep, &cleaning, err);
    }
    if (code == POISE_OK) {
        store->is_clean = store->is_swept = true;
    }
    return code;
}
