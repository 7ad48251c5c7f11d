#include "inner.h"
#include <base/clock.h>
#include <base/error.h>
#include <base/file.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TABLES_MAX = 32, /* of LMDB; those of older formats too */
    READERS_MAX = 254,
    LOCK_FILE_BYTES =
        32768,           /* LMDB's header and READERS_MAX slots of a cache line each, with some to spare */
    GROW_WAIT_MS = 3000, /* readers renew within 1 s */
    ROOM_FRESH_US = 1000000
};
static const int64_t MAP_DEFAULT = INT64_C(32) << 30;
static const int64_t FREE_DEFAULT = INT64_C(64) << 20;

static poise_code code_of(int rc)
{
    switch (rc) {
    case MDB_NOTFOUND:
        return POISE_ENOTFOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return POISE_EFULL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
        return POISE_ECORRUPT;
    case MDB_VERSION_MISMATCH:
        return POISE_EVERSION;
    case MDB_READERS_FULL:
    case MDB_TXN_FULL:
        return POISE_ELIMIT;
    case MDB_BAD_VALSIZE:
        return POISE_EINVAL;
    case ENOMEM:
        return POISE_ENOMEM;
    default:
        return POISE_EIO;
    }
}

poise_code env_error(const struct store *store, int rc, const char *what, poise_error *err)
{
    return error_set(err, code_of(rc), "cannot %s in %s: %s", what, store->path, mdb_strerror(rc));
}

/* ---- opening ---- */

static bool path_of(const struct store *store, const char *name, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/%s", store->path, name);
    return length > 0 && length < PATH_MAX;
}

static poise_code cannot_open(const char *path, poise_error *err)
{
    int number = errno;
    poise_code code = number == ENOENT                       ? POISE_ENOTFOUND
                      : number == ENOSPC || number == EDQUOT ? POISE_EFULL
                                                             : POISE_EIO;
    error_errno(err, code, "cannot open %s", path);
    if (number == EROFS || number == EACCES || number == EPERM) {
        error_wrap(err,
                   "a store needs a directory that this process can write: mount it for writing, or give "
                   "it to the process's user");
    }
    return code;
}

/* A lock of our own: LMDB would let a second process in. It goes with the process, however that ends. */
static poise_code lock_directory(struct store *store, poise_error *err)
{
    char path[PATH_MAX];
    if (!path_of(store, "lock", path)) {
        return error_set(err, POISE_EINVAL, "the store's path %.64s... is too long", store->path);
    }
    int flags = store->read_only ? O_RDONLY : O_RDWR | O_CREAT;
    store->lock_fd = open(path, flags | O_CLOEXEC, 0640);
    if (store->lock_fd < 0) {
        return cannot_open(path, err);
    }
    if (flock(store->lock_fd, (store->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return error_set(
                err, POISE_EBUSY,
                "the store %s is in use: end the process that has it (fuser %s names it), or ask it over "
                "its endpoint",
                store->path, path);
        }
        return error_errno(err, POISE_EIO, "cannot lock %s", path);
    }
    return POISE_OK;
}

/* LMDB makes its lock file sparse and writes it through a map, which on a full disk would be SIGBUS. To be
 * done before LMDB opens it: closing a descriptor later would drop LMDB's own fcntl lock. */
static poise_code fill_lock_file(const struct store *store, poise_error *err)
{
    char path[PATH_MAX];
    if (!path_of(store, "lock.mdb", path)) {
        return error_set(err, POISE_EINVAL, "the store's path %.64s... is too long", store->path);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        return cannot_open(path, err);
    }
    int rc = posix_fallocate(fd, 0, LOCK_FILE_BYTES);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1}; /* as LMDB will; goes with fd */
    if (rc == 0 && fcntl(fd, F_SETLK, &lock) != 0) {
        rc = errno;
    }
    close(fd);
    return rc == 0 ? POISE_OK : env_error(store, rc, "make room for lock.mdb and lock it", err);
}

static int make_file_at(const char *path)
{
    MDB_env *env;
    int rc = mdb_env_create(&env);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0640);
    if (rc == 0) {
        rc = mdb_env_sync(env, 1);
    }
    mdb_env_close(env);
    return rc;
}

/* LMDB does not sync the first two pages of a new file, and opens no file that has only some of them. So they
 * are written beside it, and synced; the name is synced before anything is committed. */
static poise_code make_file(const struct store *store, poise_error *err)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    struct stat file;
    if (!path_of(store, "data.mdb", path) || !path_of(store, "data.mdb.new", fresh)) {
        return error_set(err, POISE_EINVAL, "the store's path %.64s... is too long", store->path);
    }
    if (stat(path, &file) == 0) {
        return file.st_size > 0
                   ? POISE_OK /* LMDB would begin it anew */
                   : error_set(err, POISE_ECORRUPT,
                               "%s is empty: restore a backup, or remove it to begin a new store", path);
    }
    if (errno != ENOENT) {
        return error_errno(err, POISE_EIO, "cannot look at %s", path);
    }
    if (unlink(fresh) != 0 && errno != ENOENT) {
        return error_errno(err, POISE_EIO, "cannot remove %s", fresh);
    }
    int rc = make_file_at(fresh);
    if (rc == 0 && rename(fresh, path) != 0) {
        rc = errno;
    }
    if (rc != 0) {
        unlink(fresh);
        return env_error(store, rc, "make data.mdb", err);
    }
    return POISE_OK;
}

/* Pages that the file does not reach would be SIGBUS when touched. As zeros they are found to be damage;
 * pages that were given up before they were ever written are beyond the end of a sound file too. */
static poise_code cover_last_page(struct store *store, poise_error *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    int fd;
    struct stat file;
    mdb_env_info(store->env, &info);
    mdb_env_stat(store->env, &stat);
    mdb_env_get_fd(store->env, &fd);
    int64_t wanted = ((int64_t)info.me_last_pgno + 1) * stat.ms_psize;
    if (fstat(fd, &file) != 0) {
        return error_errno(err, POISE_EIO, "cannot look at %s/data.mdb", store->path);
    }
    if (file.st_size >= wanted) {
        return POISE_OK;
    }
    if (store->read_only) {
        return store->checked ? POISE_OK
                              : error_set(err, POISE_ECORRUPT, "%s/data.mdb is cut short: restore a backup",
                                          store->path);
    }
    if (ftruncate(fd, wanted) != 0) {
        return error_errno(err, POISE_EIO, "cannot extend %s/data.mdb", store->path);
    }
    return POISE_OK;
}

static size_t map_size(int64_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (size_t)(bytes > 0 ? bytes : MAP_DEFAULT);
    return (size + page - 1) / page * page;
}

static poise_code open_lmdb(struct store *store, const struct store_options *options, poise_error *err)
{
    int rc = mdb_env_create(&store->env);
    if (rc != 0) {
        store->env = NULL;
        return env_error(store, rc, "make an environment", err);
    }
    mdb_env_set_maxdbs(store->env, TABLES_MAX);
    mdb_env_set_maxreaders(store->env, READERS_MAX);
    mdb_env_set_mapsize(store->env, map_size(options->map_bytes));
    rc = mdb_env_open(store->env, store->path, MDB_NOTLS | (store->read_only ? MDB_RDONLY : 0), 0640);
    if (rc == ENOMEM) {
        return error_set(err, POISE_ENOMEM,
                         "no memory to open %s, or no address space for its map of %zu MiB: choose a smaller "
                         "map or a higher limit of address space",
                         store->path, map_size(options->map_bytes) >> 20);
    }
    if (rc == ENOENT && store->read_only) {
        return error_set(err, POISE_ENOTFOUND, "there is no store in %s: data.mdb is missing or empty",
                         store->path);
    }
    if (rc != 0) {
        return env_error(store, rc, "open data.mdb", err);
    }
    int dead_readers = 0;
    rc = mdb_reader_check(store->env, &dead_readers);
    return rc != 0 ? env_error(store, rc, "clear dead readers", err) : cover_last_page(store, err);
}

/* A process that died while it wrote LMDB's meta page, or when that failed, may have left a commit that can
 * be read and is not on disk. What is read counts as acknowledged from here on; and what a sync failed to
 * write only another write puts on the disk. */
static poise_code write_meta_again(struct store *store, poise_error *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    int fd;
    mdb_env_info(store->env, &info);
    mdb_env_stat(store->env, &stat);
    mdb_env_get_fd(store->env, &fd);
    off_t at = info.me_last_txnid % 2 ? (off_t)stat.ms_psize : 0; /* LMDB takes turns */
    uint8_t *page = malloc(stat.ms_psize);
    if (!page) {
        return error_nomem(err, "the meta page of a store");
    }
    bool done = pread(fd, page, stat.ms_psize, at) == (ssize_t)stat.ms_psize &&
                pwrite(fd, page, stat.ms_psize, at) == (ssize_t)stat.ms_psize && fdatasync(fd) == 0;
    free(page);
    return done ? POISE_OK
                : error_errno(err, POISE_EIO, "cannot write and sync the meta page of %s/data.mdb",
                              store->path);
}

poise_code env_open(struct store *store, const struct store_options *options, poise_error *err)
{
    store->floor = (uint64_t)(options->free_bytes > 0 ? options->free_bytes : FREE_DEFAULT);
    store->gate_made = gate_init(&store->gate);
    if (!store->gate_made) {
        return error_nomem(err, "the store's gate");
    }
    poise_code code = store->read_only ? POISE_OK : file_make_dirs(store->path, err);
    if (code == POISE_OK) {
        code = lock_directory(store, err);
    }
    if (code == POISE_OK && !store->read_only) {
        code = fill_lock_file(store, err);
    }
    if (code == POISE_OK && !store->read_only) {
        code = make_file(store, err);
    }
    if (code == POISE_OK) {
        code = open_lmdb(store, options, err);
    }
    return code == POISE_OK && !store->read_only ? write_meta_again(store, err) : code;
}

void env_close(struct store *store)
{
    if (store->env) {
        mdb_txn_abort(store->view); /* NULL is fine */
        mdb_env_close(store->env);
    }
    if (store->gate_made) {
        gate_destroy(&store->gate);
    }
    if (store->lock_fd >= 0) {
        close(store->lock_fd);
    }
}

/* ---- reading ---- */

size_t env_map_left(const struct store *store)
{
    MDB_envinfo info;
    MDB_stat stat;
    if (env_check_mapped(store, NULL) != POISE_OK || mdb_env_info(store->env, &info) != 0 ||
        mdb_env_stat(store->env, &stat) != 0) {
        return 0;
    }
    size_t used = (info.me_last_pgno + 1) * stat.ms_psize;
    return info.me_mapsize > used ? info.me_mapsize - used : 0;
}

poise_code env_check_mapped(const struct store *store, poise_error *err)
{
    return !atomic_load(&store->unmapped)
               ? POISE_OK
               : error_set(err, POISE_EIO, "%s could not be mapped again: end the process and start it again",
                           store->path);
}

poise_code env_read(struct store *store, MDB_txn **ret_txn, poise_error *err)
{
    gate_enter(&store->gate);
    poise_code code = env_check_mapped(store, err);
    int rc = code == POISE_OK ? mdb_txn_begin(store->env, NULL, MDB_RDONLY, ret_txn) : 0;
    if (rc != 0) {
        code = env_error(store, rc, "begin to read", err);
    }
    if (code != POISE_OK) {
        gate_leave(&store->gate);
    }
    return code;
}

void env_read_end(struct store *store, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    gate_leave(&store->gate);
}

/* ---- writing ---- */

uint64_t env_free_bytes(const struct store *store)
{
    uint64_t free_bytes = 0;
    if (file_free_bytes(store->path, &free_bytes, NULL) != POISE_OK) {
        return UINT64_MAX; /* then only the write itself can tell */
    }
    return free_bytes > store->floor ? free_bytes - store->floor : 0;
}

static poise_code file_system_full(const struct store *store, poise_error *err)
{
    return error_set(
        err, POISE_EFULL,
        "the file system of %s is full (%" PRIu64
        " MiB are kept free), or a quota or limit of file size is reached: make room, it goes on "
        "by itself",
        store->path, store->floor >> 20);
}

/* Looks at the file system once a second, or when what it had left then may be used up. */
static poise_code take_room(struct store *store, uint64_t bytes, poise_error *err)
{
    int64_t now = clock_monotonic_us(&clock_system);
    if (now >= store->room_until_us || bytes > store->room) {
        store->room = env_free_bytes(store);
        store->room_until_us = now + ROOM_FRESH_US;
    }
    if (bytes > store->room) {
        return file_system_full(store, err);
    }
    store->room -= bytes;
    return POISE_OK;
}

/* LMDB unmaps before it maps anew and cannot go back, so whether there is address space is tried out first.
 */
static bool can_map(size_t size)
{
    void *probe = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return probe != MAP_FAILED && munmap(probe, size) == 0;
}

static poise_code grow(struct store *store, poise_error *err)
{
    MDB_envinfo info;
    mdb_env_info(store->env, &info);
    if (info.me_mapsize > SIZE_MAX / 4 || !can_map(2 * info.me_mapsize)) {
        return error_set(err, POISE_EFULL,
                         "the map of %s (%zu MiB) is full and there is no address space for twice it",
                         store->path, info.me_mapsize >> 20);
    }
    if (!gate_shut(&store->gate, GROW_WAIT_MS)) {
        return error_set(
            err, POISE_EFULL,
            "the map of %s (%zu MiB) is full and cannot grow: a reader is open for more than %d ms",
            store->path, info.me_mapsize >> 20, GROW_WAIT_MS);
    }
    int rc = mdb_env_set_mapsize(store->env, 2 * info.me_mapsize);
    store->dead = rc != 0; /* there is no map now, and LMDB would read from it all the same */
    atomic_store(&store->unmapped, rc != 0);
    gate_open(&store->gate);
    if (rc != 0) {
        return error_set(err, POISE_EIO, "cannot map %s again: %s; end the process and start it again",
                         store->path, mdb_strerror(rc));
    }
    return POISE_OK;
}

static int write_once(struct store *store, env_fill *fill, const void *work)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc != 0) {
        return rc;
    }
    rc = fill(store, txn, work);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn); /* frees it, failed or not */
}

/* After a failed write of its meta page LMDB knows no longer what is on the disk, and refuses to write. */
static bool lmdb_gave_up(struct store *store)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc == 0) {
        mdb_txn_abort(txn);
    }
    return rc != 0;
}

/* A quota, or a limit of file size, shows only when it is reached. */
static bool can_extend(const struct store *store, uint64_t bytes)
{
    int fd;
    struct stat file;
    mdb_env_get_fd(store->env, &fd);
    if (fstat(fd, &file) != 0) {
        return true; /* no room is not what it lacks */
    }
    int rc = posix_fallocate(fd, file.st_size, (off_t)bytes);
    return ftruncate(fd, file.st_size) != 0 || (rc != ENOSPC && rc != EDQUOT && rc != EFBIG);
}

/* A write cut short by a full disk is EIO, as is a failed sync; which of them it was, the free space tells.
 * Should a failed sync on a full disk be taken for a full disk, nothing is lost: the meta page still shows
 * the last commit, whose pages are synced, and the next try writes all of its own pages again. */
static poise_code write_failed(struct store *store, int rc, uint64_t bytes, poise_error *err)
{
    poise_code code = code_of(rc);
    if (code != POISE_EFULL && code != POISE_EIO) {
        return env_error(store, rc, "write", err);
    }
    bool full = code == POISE_EFULL || env_free_bytes(store) < bytes || !can_extend(store, bytes);
    if (full && !lmdb_gave_up(store)) {
        store->room = 0;
        return file_system_full(store, err);
    }
    store->dead = true;
    return error_set(
        err, POISE_EIO,
        "a write to %s failed: %s; nothing can be acknowledged: end the process, look at the disk, "
        "start it again",
        store->path, mdb_strerror(rc));
}

poise_code env_write(struct store *store, uint64_t bytes, env_fill *fill, const void *work, poise_error *err)
{
    if (store->dead) {
        return error_set(err, POISE_EIO, "a write to %s failed before: end the process and start it again",
                         store->path);
    }
    if (store->read_only) {
        return error_set(err, POISE_EINVAL, "the store %s is open for reading only", store->path);
    }
    poise_code code = take_room(store, bytes, err);
    int rc = MDB_MAP_FULL;
    while (code == POISE_OK && (rc = write_once(store, fill, work)) == MDB_MAP_FULL) {
        code = store->fixed ? error_set(err, POISE_EFULL, "the map of %s is full", store->path)
                            : grow(store, err);
    }
    return code != POISE_OK || rc == 0 ? code : write_failed(store, rc, bytes, err);
}
