#include "inner.h"
#include <base/error.h>
#include <base/file.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const lmdb_names[LMDB_TABLES] = {
    [LMDB_META] = "meta",       [LMDB_JOURNAL] = "journal", [LMDB_STATE_RUNS] = "state_runs",
    [LMDB_STATE] = "state",     [LMDB_CHUNKS] = "chunks",   [LMDB_RUNS] = "runs",
    [LMDB_COMMITS] = "commits", [LMDB_NAMES] = "names",     [LMDB_REMAINS] = "remains"};
_Static_assert(STORE_TABLES_ALL == STORE_TABLES + LMDB_TABLES, "stats are of all tables");

static const int64_t JOURNAL_BYTES = INT64_C(256) << 20;

/* Entries of meta. */
static const MDB_val STORE_KEY = {.mv_size = 5, .mv_data = (char[]){'s', 't', 'o', 'r', 'e'}};
static const MDB_val MARK_KEY = {.mv_size = 4, .mv_data = (char[]){'m', 'a', 'r', 'k'}};
static const MDB_val CHUNKS_KEY = {.mv_size = 6, .mv_data = (char[]){'c', 'h', 'u', 'n', 'k', 's'}};
static const MDB_val ERASED_KEY = {.mv_size = 6, .mv_data = (char[]){'e', 'r', 'a', 's', 'e', 'd'}};
static const MDB_val BACKUP_KEY = {.mv_size = 6, .mv_data = (char[]){'b', 'a', 'c', 'k', 'u', 'p'}};

/* ---- meta ---- */

static int meta_put(struct store *store, MDB_txn *txn, MDB_val key, const struct buf *value)
{
    return value->failed ? ENOMEM : value_put(txn, store->lmdb[LMDB_META], key, value->data, value->length);
}

int meta_put_mark(struct store *store, MDB_txn *txn, const struct store_mark *mark)
{
    struct buf value = {0};
    buf_put_u64(&value, mark->state_lsn);
    buf_put_u64(&value, mark->generation);
    int rc = meta_put(store, txn, MARK_KEY, &value);
    buf_free(&value);
    return rc;
}

int meta_put_store(struct store *store, MDB_txn *txn)
{
    struct buf value = {0};
    buf_put_u32(&value, STORE_FORMAT);
    buf_put(&value, store->id, sizeof store->id);
    buf_put_u64(&value, store->incarnation);
    int rc = meta_put(store, txn, STORE_KEY, &value);
    buf_free(&value);
    return rc;
}

int meta_put_backup(struct store *store, MDB_txn *txn)
{
    return value_put(txn, store->lmdb[LMDB_META], BACKUP_KEY, NULL, 0);
}

bool meta_is_backup(const MDB_val *key)
{
    return key->mv_size == BACKUP_KEY.mv_size && memcmp(key->mv_data, BACKUP_KEY.mv_data, key->mv_size) == 0;
}

static poise_code meta_get(struct store *store, MDB_txn *txn, MDB_val key, struct cursor *ret_value,
                           poise_error *err)
{
    MDB_val stored;
    int rc = mdb_get(txn, store->lmdb[LMDB_META], &key, &stored);
    if (rc == MDB_NOTFOUND) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: meta lacks \"%.*s\"; restore a backup",
                         store->path, (int)key.mv_size, (const char *)key.mv_data);
    }
    return rc != 0 ? env_error(store, rc, "read meta", err)
                   : value_check(store, "meta", &key, &stored, ret_value, err);
}

static poise_code load_store(struct store *store, MDB_txn *txn, poise_error *err)
{
    struct cursor value;
    poise_code code = meta_get(store, txn, STORE_KEY, &value, err);
    if (code != POISE_OK) {
        return code;
    }
    store->format = cursor_u32(&value);
    if (store->format < STORE_FORMAT_FIRST || store->format > STORE_FORMAT) {
        return error_set(err, POISE_EVERSION,
                         "%s has format %" PRIu32
                         ", this version knows formats up to %d: use the version that wrote it",
                         store->path, store->format, STORE_FORMAT);
    }
    const uint8_t *id = cursor_bytes(&value, sizeof store->id);
    store->incarnation = cursor_u64(&value);
    if (value.failed) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: \"store\" in meta is too short", store->path);
    }
    memcpy(store->id, id, sizeof store->id);
    return POISE_OK;
}

poise_code meta_get_mark(struct store *store, MDB_txn *txn, struct store_mark *ret_mark, poise_error *err)
{
    struct cursor value;
    poise_code code = meta_get(store, txn, MARK_KEY, &value, err);
    if (code == POISE_OK) {
        ret_mark->state_lsn = cursor_u64(&value);
        ret_mark->generation = cursor_u64(&value);
        if (value.failed) {
            code =
                error_set(err, POISE_ECORRUPT, "%s is damaged: \"mark\" in meta is too short", store->path);
        }
    }
    return code;
}

int meta_put_erased(struct store *store, MDB_txn *txn, uint64_t lsn)
{
    struct buf value = {0};
    buf_put_u64(&value, lsn);
    int rc = meta_put(store, txn, ERASED_KEY, &value);
    buf_free(&value);
    return rc;
}

poise_code meta_get_erased(struct store *store, MDB_txn *txn, uint64_t *ret_lsn, poise_error *err)
{
    MDB_val key = ERASED_KEY, stored;
    struct cursor value;
    *ret_lsn = 0;
    int rc = mdb_get(txn, store->lmdb[LMDB_META], &key, &stored);
    poise_code code = rc == MDB_NOTFOUND ? POISE_OK : meta_get(store, txn, ERASED_KEY, &value, err);
    if (rc != MDB_NOTFOUND && code == POISE_OK) {
        *ret_lsn = cursor_u64(&value);
        if (value.failed) {
            code =
                error_set(err, POISE_ECORRUPT, "%s is damaged: \"erased\" in meta is too short", store->path);
        }
    }
    return code;
}

int meta_put_chunks(struct store *store, MDB_txn *txn, const struct store_past *past)
{
    struct buf value = {0};
    buf_put_u64(&value, past->lsn);
    buf_put_u64(&value, past->last_place);
    buf_put_u64(&value, (uint64_t)past->as_of_ms);
    int rc = meta_put(store, txn, CHUNKS_KEY, &value);
    buf_free(&value);
    return rc;
}

poise_code meta_get_chunks(struct store *store, MDB_txn *txn, struct store_past *ret_past, poise_error *err)
{
    MDB_val stored;
    struct cursor value;
    MDB_val key = CHUNKS_KEY;
    int rc = mdb_get(txn, store->lmdb[LMDB_META], &key, &stored);
    if (rc == MDB_NOTFOUND) {
        *ret_past = (struct store_past){.as_of_ms = INT64_MIN};
        return POISE_OK;
    }
    poise_code code = meta_get(store, txn, CHUNKS_KEY, &value, err);
    if (code == POISE_OK) {
        ret_past->lsn = cursor_u64(&value);
        ret_past->last_place = cursor_u64(&value);
        ret_past->as_of_ms = (int64_t)cursor_u64(&value);
        if (value.failed) {
            code =
                error_set(err, POISE_ECORRUPT, "%s is damaged: \"chunks\" in meta is too short", store->path);
        }
    }
    return code;
}

/* A backup is only read: what is written to it would be lost with the next one, and nobody would notice that
 * the store went back. */
static poise_code refuse_backup(struct store *store, MDB_txn *txn, poise_error *err)
{
    MDB_val key = BACKUP_KEY, value;
    int rc = store->read_only ? MDB_NOTFOUND : mdb_get(txn, store->lmdb[LMDB_META], &key, &value);
    if (rc == 0) {
        return error_set(err, POISE_EUNSUPPORTED,
                         "%s is a backup: `poise restore %s DIRECTORY` makes a store of it", store->path,
                         store->path);
    }
    return rc == MDB_NOTFOUND ? POISE_OK : env_error(store, rc, "read meta", err);
}

/* ---- opening ---- */

static int open_tables(struct store *store, MDB_txn *txn, unsigned flags)
{
    int rc = 0;
    for (int i = 0; i < LMDB_TABLES && rc == 0; i++) {
        rc = mdb_dbi_open(txn, lmdb_names[i], flags, &store->lmdb[i]);
    }
    return rc;
}

int store_make_tables(struct store *store, MDB_txn *txn, const void *work)
{
    (void)work;
    return open_tables(store, txn, MDB_CREATE);
}

static int fill_new(struct store *store, MDB_txn *txn, const void *work)
{
    int rc = store_make_tables(store, txn, work);
    if (rc == 0) {
        rc = meta_put_store(store, txn);
    }
    return rc == 0 ? meta_put_mark(store, txn, &store->mark) : rc;
}

/* First the names of its files, then all in one transaction, so that a store is there or is not. */
static poise_code make_new(struct store *store, const struct store_options *options, poise_error *err)
{
    store->runs.next_id = 1;
    memcpy(store->id, options->new_id, sizeof store->id);
    store->incarnation = options->new_incarnation;
    poise_code code = file_sync_dirs(store->path, err);
    return code == POISE_OK ? env_write(store, 65536, fill_new, NULL, err) : code;
}

/* ---- from an older format ---- */

/* What the old tables had is all in the journal: from there it is made again. */
static int drop_old_tables(MDB_txn *txn)
{
    static const char *const names[] = {"head", "orgs",   "sources",   "units",     "cells",
                                        "keys", "future", "revisions", "producers", "definitions"};
    int rc = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == 0; i++) {
        MDB_dbi table;
        rc = mdb_dbi_open(txn, names[i], 0, &table);
        rc = rc == 0 ? mdb_drop(txn, table, 1) : rc == MDB_NOTFOUND ? 0 : rc;
    }
    return rc;
}

static int fill_upgrade(struct store *store, MDB_txn *txn, const void *work)
{
    const uint32_t *from = work;
    int rc = *from < 2 ? drop_old_tables(txn) : 0;
    if (rc == 0) {
        rc = open_tables(store, txn, MDB_CREATE);
    }
    if (rc == 0) {
        rc = meta_put_store(store, txn);
    }
    return rc == 0 ? meta_put_mark(store, txn, &store->mark) : rc;
}

static poise_code upgrade(struct store *store, poise_error *err)
{
    if (store->read_only && store->format >= STORE_FORMAT_SAME) {
        return POISE_OK;
    }
    if (store->read_only) {
        return error_set(err, POISE_EVERSION,
                         "%s has format %" PRIu32 ": start an aggregator of this version on it once",
                         store->path, store->format);
    }
    const uint32_t from = store->format;
    if (from < 2) {
        store->mark.state_lsn = 0;
        store->runs.next_id = 1;
    }
    store->format = STORE_FORMAT;
    return env_write(store, 65536, fill_upgrade, &from, err);
}

/* Its pages, which are about its bytes; walking it could take long. */
static poise_code measure_journal(struct store *store, MDB_txn *txn, poise_error *err)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, store->lmdb[LMDB_JOURNAL], &stat);
    if (rc != 0) {
        return env_error(store, rc, "measure the journal", err);
    }
    store->journal_bytes = (int64_t)((stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize);
    return POISE_OK;
}

/* Those that a store of its format has. */
static int open_stored(struct store *store, MDB_txn *txn)
{
    static const int since[LMDB_TABLES] = {
        [LMDB_JOURNAL] = 1, [LMDB_CHUNKS] = 2,  [LMDB_META] = 1,  [LMDB_STATE_RUNS] = 2, [LMDB_STATE] = 2,
        [LMDB_RUNS] = 2,    [LMDB_COMMITS] = 3, [LMDB_NAMES] = 3, [LMDB_REMAINS] = 3};
    int rc = 0;
    for (int i = 0; i < LMDB_TABLES && rc == 0; i++) {
        if (since[i] <= (int)store->format) {
            rc = mdb_dbi_open(txn, lmdb_names[i], 0, &store->lmdb[i]);
        }
    }
    return rc;
}

static poise_code load_rest(struct store *store, MDB_txn *txn, poise_error *err)
{
    uint64_t first, last;
    struct store_past past = {0};
    uint64_t erased = 0;
    poise_code code = load_store(store, txn, err);
    if (code == POISE_OK) {
        code = refuse_backup(store, txn, err);
    }
    if (code == POISE_OK) {
        code = meta_get_mark(store, txn, &store->mark, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    int rc = open_stored(store, txn);
    if (rc == ENOMEM) {
        return env_error(store, rc, "open tables", err);
    }
    if (rc != 0) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: cannot open its tables: %s; restore a backup",
                         store->path, mdb_strerror(rc));
    }
    code = store->format >= 2 ? state_load(store, txn, true, &store->runs, err) : POISE_OK;
    if (code == POISE_OK) {
        code = journal_ends(store, txn, &first, &last, err);
    }
    if (code == POISE_OK) {
        code = meta_get_chunks(store, txn, &past, err);
    }
    if (code == POISE_OK) {
        code = meta_get_erased(store, txn, &erased, err);
    }
    if (code == POISE_OK && first > past.lsn + 1) {
        return error_set(err, POISE_ECORRUPT,
                         "%s is damaged: its journal begins at record %" PRIu64 ", but runs go up to %" PRIu64
                         "; restore a backup",
                         store->path, first, past.lsn);
    }
    if (code == POISE_OK && last < store->mark.state_lsn) {
        return error_set(err, POISE_ECORRUPT,
                         "%s is damaged: its journal ends at record %" PRIu64
                         ", before its checkpoint at %" PRIu64 "; restore a backup",
                         store->path, last, store->mark.state_lsn);
    }
    int64_t lag_bytes = 0;
    if (code == POISE_OK) {
        code = journal_bytes(store, txn, store->mark.state_lsn + 1, &lag_bytes, err);
    }
    if (code == POISE_OK) {
        code = measure_journal(store, txn, err);
    }
    if (code == POISE_OK) {
        atomic_store(&store->last_lsn, last);
        atomic_store(&store->lag_bytes, lag_bytes);
        atomic_store(&store->chunks_lsn, past.lsn);
        atomic_store(&store->scrub.erased, erased);
    }
    return code;
}

/* Without meta nothing else may be there, or it is a damaged store, or another program's. */
static poise_code check_empty(struct store *store, MDB_txn *txn, poise_error *err)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, store->main, &stat);
    if (rc != 0) {
        return env_error(store, rc, "look for tables", err);
    }
    return stat.ms_entries == 0
               ? POISE_OK
               : error_set(err, POISE_ECORRUPT,
                           "%s/data.mdb has tables but no meta: damaged, or not a store of Poise; "
                           "restore a backup or choose another directory",
                           store->path);
}

/* Loads what is there; *ret_found says whether this is a store at all. */
static poise_code load(struct store *store, bool *ret_found, poise_error *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return env_error(store, rc, "begin to read", err);
    }
    rc = mdb_dbi_open(txn, NULL, 0, &store->main);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "meta", 0, &store->lmdb[LMDB_META]);
    }
    *ret_found = rc == 0;
    poise_code code = POISE_OK;
    if (rc == 0) {
        code = load_rest(store, txn, err);
    } else {
        code = rc == MDB_NOTFOUND ? check_empty(store, txn, err) : env_error(store, rc, "open meta", err);
    }
    if (code != POISE_OK) {
        mdb_txn_abort(txn);
        return code;
    }
    rc = mdb_txn_commit(txn); /* keeps the handles of the tables */
    return rc != 0 ? env_error(store, rc, "open tables", err) : POISE_OK;
}

static poise_code open_all(struct store *store, const struct store_options *options, poise_error *err)
{
    bool found = false;
    poise_code code = env_open(store, options, err);
    if (code == POISE_OK) {
        code = load(store, &found, err);
    }
    if (code == POISE_OK && found && store->format < STORE_FORMAT) {
        code = upgrade(store, err);
    }
    if (code == POISE_OK && !found) {
        code = store->read_only ? error_set(err, POISE_ENOTFOUND, "there is no store in %s", store->path)
                                : make_new(store, options, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &store->view);
    if (rc != 0) {
        return env_error(store, rc, "begin to read", err);
    }
    mdb_txn_reset(store->view);
    return POISE_OK;
}

poise_code store_open(const struct store_options *options, struct store **ret_store, poise_error *err)
{
    if (!options->path || options->path[0] == '\0' || options->map_bytes < 0 || options->free_bytes < 0 ||
        options->journal_bytes < 0) {
        return error_set(err, POISE_EINVAL, "a store needs a path, and sizes that are not negative");
    }
    struct store *store = calloc(1, sizeof *store);
    if (!store) {
        return error_nomem(err, "a store");
    }
    store->lock_fd = -1;
    store->read_only = options->read_only;
    store->checked = options->checked;
    store->journal_max = options->journal_bytes ? options->journal_bytes : JOURNAL_BYTES;
    store->path = strdup(options->path);
    poise_code code = store->path ? open_all(store, options, err) : error_nomem(err, "a store");
    if (code != POISE_OK) {
        store_close(store);
        return code;
    }
    *ret_store = store;
    return POISE_OK;
}

void store_close(struct store *store)
{
    if (store) {
        env_close(store);
        buf_free(&store->record);
        store_checkpoint_abort(store);
        state_job_free(&store->merging);
        state_free(&store->runs);
        free(store->path);
        free(store);
    }
}

/* ---- what it is ---- */

void store_id(const struct store *store, uint8_t ret_id[16])
{
    memcpy(ret_id, store->id, sizeof store->id);
}

uint64_t store_incarnation(const struct store *store)
{
    return store->incarnation;
}

uint64_t store_last_lsn(const struct store *store)
{
    return atomic_load(&store->last_lsn);
}

struct store_mark store_mark(const struct store *store)
{
    return store->mark;
}

/* ---- statistics ---- */

static int count_table(MDB_txn *txn, MDB_dbi dbi, const char *name, struct store_table_stats *ret_table)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, dbi, &stat);
    if (rc == 0) {
        size_t pages = stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
        *ret_table = (struct store_table_stats){
            .name = name, .entries = stat.ms_entries, .bytes = (int64_t)(pages * stat.ms_psize)};
    }
    return rc;
}

static poise_code count_runs(struct store *store, MDB_txn *txn, struct store_stats *stats, poise_error *err)
{
    MDB_cursor *at;
    MDB_val key, listed;
    poise_code code = POISE_OK;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_STATE_RUNS], &at);
    if (rc != 0) {
        return env_error(store, rc, "read the list of runs", err);
    }
    while (code == POISE_OK && (rc = mdb_cursor_get(at, &key, &listed, MDB_NEXT)) == 0) {
        struct state_run run;
        size_t lines;
        code = state_run_read(store, &key, &listed, &run, &lines, err);
        for (int i = 0; code == POISE_OK && run.status == STATE_RUN_WHOLE && i < STORE_TABLES; i++) {
            stats->entries[i] += run.entries[i];
            stats->tables[i].bytes += (int64_t)run.table_bytes[i];
        }
    }
    mdb_cursor_close(at);
    return code != POISE_OK || rc == MDB_NOTFOUND ? code : env_error(store, rc, "read the list of runs", err);
}

static poise_code count(struct store *store, MDB_txn *txn, struct store_stats *stats, poise_error *err)
{
    struct store_table_stats *table = &stats->tables[STORE_TABLES];
    uint64_t first = 0;
    struct store_past past = {0};
    struct store_mark mark = {0};
    int rc = 0;
    for (size_t i = 0; i < LMDB_TABLES && rc == 0; i++) {
        rc = count_table(txn, store->lmdb[i], lmdb_names[i], &table[i]);
        stats->used_bytes += table[i].bytes;
    }
    poise_code code = rc == 0 ? count_runs(store, txn, stats, err) : env_error(store, rc, "count", err);
    for (int i = 0; i < STORE_TABLES;
         i++) { /* what is left are filters, and what blocks need beside entries */
        stats->tables[i].name = table_names[i];
        stats->tables[i].entries = stats->entries[i];
        table[LMDB_STATE].bytes -= stats->tables[i].bytes;
    }
    if (code == POISE_OK) {
        code = journal_ends(store, txn, &first, &stats->last_lsn, err);
    }
    if (code == POISE_OK) {
        code = meta_get_mark(store, txn, &mark, err);
    }
    if (code == POISE_OK) {
        code = meta_get_chunks(store, txn, &past, err);
    }
    stats->state_lsn = mark.state_lsn;
    stats->chunks_lsn = past.lsn;
    stats->first_lsn = first;
    return code;
}

/* As env_read, without waiting for a map that grows. */
static poise_code begin_to_count(struct store *store, MDB_txn **ret_txn, poise_error *err)
{
    if (!gate_try(&store->gate)) {
        return error_set(err, POISE_EBUSY, "the map of %s is growing", store->path);
    }
    poise_code code = env_check_mapped(store, err);
    if (code != POISE_OK) {
        gate_leave(&store->gate);
        return code;
    }
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, ret_txn);
    if (rc != 0) {
        gate_leave(&store->gate);
        return env_error(store, rc, "begin to read", err);
    }
    return POISE_OK;
}

/* From what is committed, so any thread may ask. */
poise_code store_stats(struct store *store, struct store_stats *ret_stats, poise_error *err)
{
    struct store_stats stats = {0};
    uint64_t free_bytes;
    MDB_envinfo info;
    int fd;
    struct stat file;
    MDB_txn *txn;
    poise_code code = begin_to_count(store, &txn, err);
    if (code != POISE_OK) {
        return code;
    }
    stats.readers = gate_inside(&store->gate) - 1; /* without this one */
    code = count(store, txn, &stats, err);
    mdb_env_info(store->env, &info);
    env_read_end(store, txn);
    if (code == POISE_OK) {
        code = file_free_bytes(store->path, &free_bytes, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    mdb_env_get_fd(store->env, &fd);
    if (fstat(fd, &file) != 0) {
        return error_errno(err, POISE_EIO, "cannot look at %s/data.mdb", store->path);
    }
    stats.map_bytes = (int64_t)info.me_mapsize;
    stats.file_bytes = file.st_size;
    stats.free_bytes = (int64_t)free_bytes;
    stats.lag_bytes = atomic_load(&store->lag_bytes);
    stats.oldest_reader_ms = journal_oldest_ms(store);
    *ret_stats = stats;
    return POISE_OK;
}
