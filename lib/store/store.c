#include "inner.h"
#include <base/error.h>
#include <base/file.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 2, FORMAT_OLDEST = 1 }; /* 1 lacks STORE_SERIES and what follows it */

/* Entries of meta. */
static const MDB_val STORE_KEY = {.mv_size = 5, .mv_data = (char[]){'s', 't', 'o', 'r', 'e'}};
static const MDB_val MARK_KEY = {.mv_size = 4, .mv_data = (char[]){'m', 'a', 'r', 'k'}};
static const MDB_val CHUNKS_KEY = {.mv_size = 6, .mv_data = (char[]){'c', 'h', 'u', 'n', 'k', 's'}};

/* ---- meta ---- */

static int meta_put(struct store *store, MDB_txn *txn, MDB_val key, const struct buf *value)
{
    return value->failed ? ENOMEM : value_put(txn, store->meta, key, value->data, value->length);
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

static int meta_put_store(struct store *store, MDB_txn *txn)
{
    struct buf value = {0};
    buf_put_u32(&value, FORMAT);
    buf_put(&value, store->id, sizeof store->id);
    buf_put_u64(&value, store->incarnation);
    int rc = meta_put(store, txn, STORE_KEY, &value);
    buf_free(&value);
    return rc;
}

static poise_code meta_get(struct store *store, MDB_txn *txn, MDB_val key, struct cursor *ret_value,
                           poise_error *err)
{
    MDB_val stored;
    int rc = mdb_get(txn, store->meta, &key, &stored);
    if (rc == MDB_NOTFOUND) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: meta lacks \"%.*s\"; restore a backup",
                         store->path, (int)key.mv_size, (const char *)key.mv_data);
    }
    return rc != 0 ? env_error(store, rc, "read meta", err)
                   : value_check(store, "meta", &key, &stored, ret_value, err);
}

static poise_code load_store(struct store *store, MDB_txn *txn, bool *ret_older, poise_error *err)
{
    struct cursor value;
    poise_code code = meta_get(store, txn, STORE_KEY, &value, err);
    if (code != POISE_OK) {
        return code;
    }
    uint32_t format = cursor_u32(&value);
    if (format < FORMAT_OLDEST || format > FORMAT) {
        return error_set(err, POISE_EVERSION,
                         "%s has format %" PRIu32
                         ", this version knows formats %d to %d only: use the version that wrote it",
                         store->path, format, FORMAT_OLDEST, FORMAT);
    }
    *ret_older = format < FORMAT;
    const uint8_t *id = cursor_bytes(&value, sizeof store->id);
    store->incarnation = cursor_u64(&value);
    if (value.failed) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: \"store\" in meta is too short", store->path);
    }
    memcpy(store->id, id, sizeof store->id);
    return POISE_OK;
}

static poise_code load_mark(struct store *store, MDB_txn *txn, struct store_mark *ret_mark, poise_error *err)
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

int meta_put_chunks(struct store *store, MDB_txn *txn, uint64_t lsn)
{
    struct buf value = {0};
    buf_put_u64(&value, lsn);
    int rc = meta_put(store, txn, CHUNKS_KEY, &value);
    buf_free(&value);
    return rc;
}

poise_code meta_get_chunks(struct store *store, MDB_txn *txn, uint64_t *ret_lsn, poise_error *err)
{
    MDB_val stored;
    struct cursor value;
    MDB_val key = CHUNKS_KEY;
    int rc = mdb_get(txn, store->meta, &key, &stored);
    if (rc == MDB_NOTFOUND) {
        *ret_lsn = 0;
        return POISE_OK;
    }
    poise_code code = meta_get(store, txn, CHUNKS_KEY, &value, err);
    if (code == POISE_OK) {
        *ret_lsn = cursor_u64(&value);
        if (value.failed) {
            code =
                error_set(err, POISE_ECORRUPT, "%s is damaged: \"chunks\" in meta is too short", store->path);
        }
    }
    return code;
}

/* ---- opening ---- */

/* Tables [from, to). */
static int open_tables(struct store *store, MDB_txn *txn, unsigned flags, int from, int to)
{
    int rc = 0;
    for (int i = from; i < to && rc == 0; i++) {
        rc = mdb_dbi_open(txn, table_names[i], flags, &store->tables[i]);
    }
    return rc;
}

/* Those that stores of format 1 lack; an older version does not take the store for its own any more. */
static int fill_later(struct store *store, MDB_txn *txn, const void *work)
{
    (void)work;
    int rc = open_tables(store, txn, MDB_CREATE, STORE_SERIES, STORE_TABLES);
    return rc == 0 ? meta_put_store(store, txn) : rc;
}

static int fill_new(struct store *store, MDB_txn *txn, const void *work)
{
    (void)work;
    int rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &store->meta);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "journal", MDB_CREATE, &store->journal);
    }
    if (rc == 0) {
        rc = open_tables(store, txn, MDB_CREATE, 0, STORE_TABLES);
    }
    if (rc == 0) {
        rc = meta_put_store(store, txn);
    }
    return rc == 0 ? meta_put_mark(store, txn, &store->mark) : rc;
}

/* All in one transaction, so that a store is there or is not; then the names of its files. */
static poise_code make_new(struct store *store, const struct store_options *options, poise_error *err)
{
    char parent[PATH_MAX];
    int length = snprintf(parent, sizeof parent, "%s/..", store->path);
    if (length < 0 || (size_t)length >= sizeof parent) {
        return error_set(err, POISE_EINVAL, "the store's path %.64s... is too long", store->path);
    }
    memcpy(store->id, options->new_id, sizeof store->id);
    store->incarnation = options->new_incarnation;
    poise_code code = env_write(store, 65536, fill_new, NULL, err);
    if (code == POISE_OK) {
        code = file_sync_dir(store->path, err);
    }
    return code == POISE_OK ? file_sync_dir(parent, err) : code;
}

static poise_code load_rest(struct store *store, MDB_txn *txn, bool *ret_older, poise_error *err)
{
    poise_code code = load_store(store, txn, ret_older, err);
    if (code != POISE_OK) {
        return code;
    }
    int rc = mdb_dbi_open(txn, "journal", 0, &store->journal);
    if (rc == 0) {
        rc = open_tables(store, txn, 0, 0, STORE_SERIES);
    }
    if (rc == 0 && !*ret_older) {
        rc = open_tables(store, txn, 0, STORE_SERIES, STORE_TABLES);
    }
    if (rc != 0) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: cannot open its tables: %s; restore a backup",
                         store->path, mdb_strerror(rc));
    }
    uint64_t first, last, chunks = 0;
    code = load_mark(store, txn, &store->mark, err);
    if (code == POISE_OK) {
        code = journal_ends(store, txn, &first, &last, err);
    }
    if (code == POISE_OK) {
        code = meta_get_chunks(store, txn, &chunks, err);
    }
    if (code == POISE_OK && last < store->mark.state_lsn) {
        return error_set(err, POISE_ECORRUPT,
                         "%s is damaged: its journal ends at record %" PRIu64
                         ", before its checkpoint at %" PRIu64 "; restore a backup",
                         store->path, last, store->mark.state_lsn);
    }
    if (code == POISE_OK) {
        atomic_store(&store->last_lsn, last);
        atomic_store(&store->chunks_lsn, chunks);
    }
    return code;
}

/* Without meta nothing else may be there, or it is a damaged store, or another program's. */
static poise_code check_empty(struct store *store, MDB_txn *txn, poise_error *err)
{
    MDB_dbi main_dbi;
    MDB_stat stat;
    int rc = mdb_dbi_open(txn, NULL, 0, &main_dbi);
    if (rc == 0) {
        rc = mdb_stat(txn, main_dbi, &stat);
    }
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

/* Loads what is there; *ret_found says whether this is a store at all, *ret_older whether it lacks tables. */
static poise_code load(struct store *store, bool *ret_found, bool *ret_older, poise_error *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return env_error(store, rc, "begin to read", err);
    }
    rc = mdb_dbi_open(txn, "meta", 0, &store->meta);
    *ret_found = rc == 0;
    poise_code code = POISE_OK;
    if (rc == 0) {
        code = load_rest(store, txn, ret_older, err);
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
    bool found = false, older = false;
    poise_code code = env_open(store, options, err);
    if (code == POISE_OK) {
        code = load(store, &found, &older, err);
    }
    if (code == POISE_OK && !found) {
        code = store->read_only ? error_set(err, POISE_ENOTFOUND, "there is no store in %s", store->path)
                                : make_new(store, options, err);
    }
    if (code == POISE_OK && older) {
        code = store->read_only
                   ? error_set(err, POISE_EVERSION,
                               "%s is of an older version: start the aggregator on it once", store->path)
                   : env_write(store, 65536, fill_later, NULL, err);
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
    if (!options->path || options->path[0] == '\0' || options->map_bytes < 0 || options->free_bytes < 0) {
        return error_set(err, POISE_EINVAL, "a store needs a path, and sizes that are not negative");
    }
    struct store *store = calloc(1, sizeof *store);
    if (!store) {
        return error_nomem(err, "a store");
    }
    store->lock_fd = -1;
    store->read_only = options->read_only;
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
        buf_free(&store->checkpoint.ops);
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

static int count_table(MDB_txn *txn, MDB_dbi dbi, uint64_t *ret_entries, int64_t *used)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, dbi, &stat);
    if (rc == 0) {
        *ret_entries = stat.ms_entries;
        *used +=
            (int64_t)((stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize);
    }
    return rc;
}

static poise_code count(struct store *store, MDB_txn *txn, struct store_stats *stats, poise_error *err)
{
    uint64_t entries;
    struct store_mark mark = {0};
    int rc = count_table(txn, store->journal, &entries, &stats->used_bytes);
    if (rc == 0) {
        rc = count_table(txn, store->meta, &entries, &stats->used_bytes);
    }
    for (int i = 0; i < STORE_TABLES && rc == 0; i++) {
        rc = count_table(txn, store->tables[i], &stats->entries[i], &stats->used_bytes);
    }
    if (rc != 0) {
        return env_error(store, rc, "count", err);
    }
    uint64_t first;
    poise_code code = journal_ends(store, txn, &first, &stats->last_lsn, err);
    if (code == POISE_OK) {
        code = load_mark(store, txn, &mark, err);
    }
    stats->state_lsn = mark.state_lsn;
    return code == POISE_OK ? meta_get_chunks(store, txn, &stats->chunks_lsn, err) : code;
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
    poise_code code = env_read(store, &txn, err);
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
    *ret_stats = stats;
    return POISE_OK;
}
