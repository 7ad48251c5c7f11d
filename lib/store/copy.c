#include "copy.h"
#include <base/clock.h>
#include <base/error.h>
#include <base/file.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SLICE_BYTES = 1 << 20, /* read in one go, written in one transaction */
    SLICE_US = 250000,     /* a slow disk: what was read by then is written */
    AROUND = 65536,        /* bytes that a transaction may write besides */
    GROWS_MS = 5000,
    TRIES = 8 /* of the last transaction, each ended by a growing map, which doubles */
};
static const int64_t MAP_MIN = INT64_C(64) << 20;

struct copy {
    struct store *from;
    struct store *to; /* opened in parts: the environment and its tables */
    const struct copy_options *options;
    struct buf slice;        /* keys and values, one after the other */
    size_t slice_table;      /* of all of them */
    struct buf last_key;     /* of the table that is copied ahead, its last one that was */
    uint64_t ahead;          /* entries of it that were */
    uint64_t chunks_changes; /* of the store, when its chunks were copied */
    bool interrupted;        /* the last transaction made way before it had all */
    struct copied copied;
    poise_error *err;
};

/* ---- writing ---- */

static int fill_slice(struct store *store, MDB_txn *txn, const void *work)
{
    const struct copy *copy = work;
    struct cursor in = cursor_of(copy->slice.data, copy->slice.length);
    int rc = 0;
    while (rc == 0 && cursor_left(&in) > 0) {
        MDB_val key, value;
        uintptr_t key_at = (uintptr_t)cursor_text(&in, &key.mv_size); /* LMDB only reads them */
        uintptr_t value_at = (uintptr_t)cursor_text(&in, &value.mv_size);
        key.mv_data = (void *)key_at;
        value.mv_data = (void *)value_at;
        rc = mdb_put(txn, store->lmdb[copy->slice_table], &key, &value, MDB_APPEND);
    }
    return rc;
}

static poise_code write_slice(struct copy *copy)
{
    if (copy->options->stop && atomic_load_explicit(copy->options->stop, memory_order_relaxed)) {
        return error_set(copy->err, POISE_ECLOSED, "the aggregator is stopping");
    }
    if (copy->slice.failed) {
        return error_nomem(copy->err, "a part of a copy");
    }
    if (copy->slice.length == 0) {
        return POISE_OK;
    }
    poise_code code = env_write(copy->to, copy->slice.length + AROUND, fill_slice, copy, copy->err);
    buf_reset(&copy->slice);
    return code;
}

static poise_code sync_copy(struct copy *copy)
{
    int rc = mdb_env_sync(copy->to->env, 1);
    return rc == 0 ? POISE_OK : env_error(copy->to, rc, "sync", copy->err);
}

/* ---- reading ---- */

static void put_entry(struct copy *copy, const MDB_val *key, const MDB_val *value)
{
    buf_put_text(&copy->slice, key->mv_data, key->mv_size);
    buf_put_text(&copy->slice, value->mv_data, value->mv_size);
}

/* To the first entry that was not copied. MDB_NOTFOUND: there is none. */
static int seek_next(struct copy *copy, MDB_cursor *at, MDB_val *key, MDB_val *value)
{
    if (copy->last_key.length == 0) {
        return mdb_cursor_get(at, key, value, MDB_FIRST);
    }
    *key = (MDB_val){copy->last_key.length, copy->last_key.data};
    int rc = mdb_cursor_get(at, key, value, MDB_SET_RANGE);
    bool there = rc == 0 && key->mv_size == copy->last_key.length &&
                 memcmp(key->mv_data, copy->last_key.data, key->mv_size) == 0;
    return there ? mdb_cursor_get(at, key, value, MDB_NEXT) : rc;
}

/* A slice of a table whose entries never change; *ret_more says whether others follow. */
static int read_ahead(struct copy *copy, MDB_txn *txn, size_t table, bool *ret_more)
{
    int64_t until_us = clock_monotonic_us(&clock_system) + SLICE_US;
    MDB_cursor *at;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, copy->from->lmdb[table], &at);
    if (rc != 0) {
        return rc;
    }
    copy->slice_table = table;
    rc = seek_next(copy, at, &key, &value);
    while (rc == 0 && copy->slice.length < SLICE_BYTES &&
           (copy->slice.length == 0 || clock_monotonic_us(&clock_system) < until_us)) {
        put_entry(copy, &key, &value);
        buf_reset(&copy->last_key);
        buf_put(&copy->last_key, key.mv_data, key.mv_size);
        copy->ahead++;
        rc = mdb_cursor_get(at, &key, &value, MDB_NEXT);
    }
    *ret_more = rc == 0;
    mdb_cursor_close(at);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* What is in the table now, of which at most so many entries. */
static poise_code copy_ahead(struct copy *copy, size_t table, uint64_t until)
{
    bool more = true;
    buf_reset(&copy->last_key);
    copy->ahead = 0;
    while (more && copy->ahead <= until) {
        MDB_txn *txn;
        poise_code code = env_read(copy->from, &txn, copy->err);
        if (code != POISE_OK) {
            return code;
        }
        int rc = read_ahead(copy, txn, table, &more);
        env_read_end(copy->from, txn);
        code = rc == 0 ? write_slice(copy) : env_error(copy->from, rc, "read a table", copy->err);
        if (code == POISE_OK) {
            code = sync_copy(copy); /* a little at a time: a large one would keep the store's own waiting */
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

static int clear_chunks(struct store *store, MDB_txn *txn, const void *work)
{
    (void)work;
    return mdb_drop(txn, store->lmdb[LMDB_CHUNKS], 0);
}

/* Nobody changes them while they are copied, but for who had begun to before. */
static poise_code copy_chunks(struct copy *copy)
{
    poise_code code = POISE_OK;
    for (int i = 0; i < TRIES && code == POISE_OK; i++) {
        copy->chunks_changes = atomic_load(&copy->from->chunks_changes);
        code = copy_ahead(copy, LMDB_CHUNKS, UINT64_MAX);
        if (code != POISE_OK || copy->chunks_changes == atomic_load(&copy->from->chunks_changes)) {
            return code;
        }
        code = env_write(copy->to, AROUND, clear_chunks, NULL, copy->err);
    }
    return code;
}

/* ---- the last transaction ---- */

/* Remembers it: the writer may give up waiting before the transaction has ended. */
static bool must_make_way(struct copy *copy)
{
    copy->interrupted |= gate_wanted(&copy->from->gate);
    return copy->interrupted;
}

static poise_code copy_table(struct copy *copy, MDB_txn *txn, size_t table)
{
    MDB_cursor *at;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, copy->from->lmdb[table], &at);
    if (rc != 0) {
        return env_error(copy->from, rc, "read a table", copy->err);
    }
    poise_code code = POISE_OK;
    copy->slice_table = table;
    while (code == POISE_OK && !must_make_way(copy) &&
           (rc = mdb_cursor_get(at, &key, &value, MDB_NEXT)) == 0) {
        if (table == LMDB_META && meta_is_backup(&key)) {
            copy->copied.entries--;
            continue; /* the copy says itself what it is */
        }
        put_entry(copy, &key, &value);
        if (copy->slice.length >= SLICE_BYTES || copy->slice.failed) {
            code = write_slice(copy);
        }
    }
    mdb_cursor_close(at);
    if (code == POISE_OK && rc != 0 && rc != MDB_NOTFOUND) {
        code = env_error(copy->from, rc, "read a table", copy->err);
    }
    return code == POISE_OK ? write_slice(copy) : code;
}

/* A table that this code does not know must not be missing from a backup without a word. Counts what there
 * is, to be compared with what is in the copy. */
static poise_code count_tables(struct copy *copy, MDB_txn *txn)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, copy->from->main, &stat);
    if (rc == 0 && stat.ms_entries != LMDB_TABLES) {
        return error_set(copy->err, POISE_EVERSION,
                         "%s has %zu tables, this version knows %d: use the version that wrote it",
                         copy->from->path, stat.ms_entries, LMDB_TABLES);
    }
    copy->copied.entries = 0;
    for (size_t table = 0; table < LMDB_TABLES && rc == 0; table++) {
        rc = mdb_stat(txn, copy->from->lmdb[table], &stat);
        copy->copied.entries += rc == 0 ? stat.ms_entries : 0;
    }
    return rc == 0 ? POISE_OK : env_error(copy->from, rc, "count tables", copy->err);
}

static poise_code copy_rest(struct copy *copy, MDB_txn *txn)
{
    uint64_t first;
    bool more = true;
    poise_code code = count_tables(copy, txn);
    while (code == POISE_OK && more && !must_make_way(copy)) {
        int rc = read_ahead(copy, txn, LMDB_JOURNAL, &more);
        code = rc == 0 ? write_slice(copy) : env_error(copy->from, rc, "read the journal", copy->err);
    }
    if (code == POISE_OK && copy->chunks_changes != atomic_load(&copy->from->chunks_changes)) {
        code = error_set(copy->err, POISE_EBUSY, "%s was compacted while it was copied: try again",
                         copy->from->path);
    }
    if (code == POISE_OK) {
        code = journal_ends(copy->from, txn, &first, &copy->copied.lsn, copy->err);
    }
    for (size_t table = LMDB_META; table < LMDB_TABLES && code == POISE_OK && !must_make_way(copy); table++) {
        code = copy_table(copy, txn, table);
    }
    return code;
}

static int clear_rest(struct store *store, MDB_txn *txn, const void *work)
{
    (void)work;
    int rc = 0;
    for (size_t table = LMDB_META; table < LMDB_TABLES && rc == 0; table++) {
        rc = mdb_drop(txn, store->lmdb[table], 0);
    }
    return rc;
}

/* All that changes as of one commit. The disk is not waited for, so that the transaction is short. */
static poise_code copy_last(struct copy *copy)
{
    for (int i = 0; i < TRIES; i++) {
        MDB_txn *txn;
        poise_code code = env_read(copy->from, &txn, copy->err);
        if (code != POISE_OK) {
            return code;
        }
        int64_t began_us = clock_monotonic_us(&clock_system);
        copy->interrupted = false;
        code = copy_rest(copy, txn);
        env_read_end(copy->from, txn);
        copy->copied.held_ms = (clock_monotonic_us(&clock_system) - began_us) / 1000;
        if (code != POISE_OK || !copy->interrupted) {
            return code;
        }
        code = env_write(copy->to, AROUND, clear_rest, NULL, copy->err);
        if (code != POISE_OK) {
            return code;
        }
    }
    return error_set(copy->err, POISE_EBUSY, "%s grew %d times while its tables were copied: try again",
                     copy->from->path, TRIES);
}

/* ---- the copy itself ---- */

static int fill_meta(struct store *store, MDB_txn *txn, const void *work)
{
    const struct copy *copy = work;
    memcpy(store->id, copy->from->id, sizeof store->id);
    store->incarnation = copy->options->incarnation;
    return copy->options->incarnation ? meta_put_store(store, txn) : meta_put_backup(store, txn);
}

static poise_code open_copy(struct copy *copy)
{
    struct store_stats stats;
    uint64_t free_bytes;
    const char *path = copy->options->path;
    poise_code code;
    for (int i = 0; (code = store_stats(copy->from, &stats, copy->err)) == POISE_EBUSY && i < GROWS_MS; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* the map grows */
    }
    if (code != POISE_OK) {
        return code;
    }
    if (mkdir(path, 0750) != 0) {
        return error_errno(copy->err, errno == ENOSPC ? POISE_EFULL : POISE_EIO, "cannot make %s", path);
    }
    code = file_free_bytes(path, &free_bytes, copy->err);
    if (code == POISE_OK && free_bytes < (uint64_t)copy->options->free_bytes + (uint64_t)stats.used_bytes) {
        code = error_set(
            copy->err, POISE_EFULL,
            "the file system of %s has %llu MiB free, %llu are wanted and %llu kept free: make room", path,
            (unsigned long long)free_bytes >> 20, (unsigned long long)stats.used_bytes >> 20,
            (unsigned long long)copy->options->free_bytes >> 20);
    }
    int64_t map = stats.used_bytes + stats.used_bytes / 4;
    const struct store_options options = {.map_bytes = map > MAP_MIN ? map : MAP_MIN,
                                          .free_bytes = copy->options->free_bytes};
    if (code == POISE_OK) {
        code = env_open(copy->to, &options, copy->err);
    }
    if (code == POISE_OK) {
        mdb_env_set_flags(copy->to->env, MDB_NOSYNC, 1); /* sync_copy does */
        code = env_write(copy->to, AROUND, store_make_tables, NULL, copy->err);
    }
    return code;
}

static poise_code fill_copy(struct copy *copy)
{
    poise_code code = open_copy(copy);
    if (code == POISE_OK) {
        code = copy_chunks(copy);
    }
    if (code == POISE_OK) { /* and what comes meanwhile, while it comes slower than it is copied */
        code = copy_ahead(copy, LMDB_JOURNAL, store_last_lsn(copy->from));
    }
    if (code == POISE_OK) {
        code = copy_last(copy);
    }
    if (code == POISE_OK) {
        code = env_write(copy->to, AROUND, fill_meta, copy, copy->err);
        copy->copied.entries += copy->options->incarnation == 0;
    }
    if (code == POISE_OK) {
        code = sync_copy(copy);
    }
    return code == POISE_OK ? file_sync_dir(copy->options->path, copy->err) : code;
}

poise_code store_copy(struct store *from, const struct copy_options *options, struct copied *ret_copied,
                      poise_error *err)
{
    poise_error ignored;
    struct copy copy = {.from = from, .options = options, .err = err ? err : &ignored};
    copy.to = calloc(1, sizeof *copy.to);
    if (!copy.to) {
        return error_nomem(err, "a copy of the store");
    }
    copy.to->lock_fd = -1;
    copy.to->path = strdup(options->path);
    atomic_fetch_add(&from->copying, 1);
    poise_code code = copy.to->path ? fill_copy(&copy) : error_nomem(err, "a copy of the store");
    atomic_fetch_sub(&from->copying, 1);
    store_close(copy.to);
    buf_free(&copy.slice);
    buf_free(&copy.last_key);
    if (code == POISE_OK) {
        *ret_copied = copy.copied;
    }
    return code;
}

/* ---- removing ---- */

poise_code store_remove(const char *path, poise_error *err)
{
    static const char *const files[] = {"data.mdb", "data.mdb.new", "lock.mdb", "lock"};
    char file[PATH_MAX];
    int length = snprintf(file, sizeof file, "%s/lock", path);
    if (length < 0 || length >= PATH_MAX) {
        return error_set(err, POISE_EINVAL, "the path %.64s... is too long", path);
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return error_set(err, POISE_EBUSY, "%s is in use", path);
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(file, sizeof file, "%.*s/%s", PATH_MAX - 16, path, files[i]);
        (void)unlink(file); /* what stays shows below */
    }
    if (fd >= 0) {
        close(fd);
    }
    if (rmdir(path) != 0 && errno != ENOENT) {
        return error_errno(err, POISE_EIO, "cannot remove %s", path);
    }
    return POISE_OK;
}
