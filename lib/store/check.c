#include "check.h"
#include "block.h"
#include "inner.h"
#include "pages.h"
#include "record.h"
#include <base/error.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LSN_BYTES = 8 };

struct check {
    const struct store shell; /* for messages */
    struct store_found found;
    bool has_store, has_mark;
    uint64_t chunks_lsn, commits; /* records that have one, from the first on without a gap */
    struct arena arena;           /* of a record */
    const _Atomic bool *stop;
    poise_error *err;
};

/* ---- entries ---- */

static poise_code check_record(struct check *check, struct cursor key, struct cursor value)
{
    uint64_t lsn = 0;
    if (cursor_left(&key) != LSN_BYTES) {
        return error_set(check->err, POISE_ECORRUPT, "%s is damaged: a key of its journal has %zu bytes",
                         check->shell.path, cursor_left(&key));
    }
    for (int i = 0; i < LSN_BYTES; i++) {
        lsn = lsn << 8 | cursor_u8(&key);
    }
    struct store_found *found = &check->found;
    if (found->last_lsn > 0 && lsn != found->last_lsn + 1) {
        return error_set(check->err, POISE_ECORRUPT, "%s is damaged: journal record %" PRIu64 " is missing",
                         check->shell.path, found->last_lsn + 1);
    }
    found->first_lsn = found->first_lsn ? found->first_lsn : lsn;
    found->last_lsn = lsn;
    struct journal_record record;
    arena_reset(&check->arena);
    poise_code code = record_decode(value.at, cursor_left(&value), lsn, &check->arena, &record, check->err);
    if (code != POISE_OK) {
        error_wrap(check->err, "%s", check->shell.path);
    }
    return code;
}

static poise_code check_block(struct check *check, struct cursor key, struct cursor value)
{
    struct block_key place;
    struct block_reader reader;
    if (!block_key_take(key.at, cursor_left(&key), &place)) {
        return error_set(check->err, POISE_ECORRUPT, "%s is damaged: a key of table chunks",
                         check->shell.path);
    }
    poise_code code = block_open(&reader, &place, value.at, cursor_left(&value), check->err);
    if (code != POISE_OK) {
        error_wrap(check->err, "%s", check->shell.path);
    }
    return code;
}

/* What remains of a record is one itself. */
static poise_code check_remains(struct check *check, struct cursor key, struct cursor value)
{
    uint64_t lsn = 0;
    bool is_key = cursor_left(&key) == LSN_BYTES;
    for (int i = 0; i < LSN_BYTES && is_key; i++) {
        lsn = lsn << 8 | cursor_u8(&key);
    }
    struct journal_record record;
    arena_reset(&check->arena);
    poise_code code =
        is_key ? record_decode(value.at, cursor_left(&value), lsn, &check->arena, &record, check->err)
               : error_set(check->err, POISE_ECORRUPT, "a key of table remains is damaged");
    if (code != POISE_OK) {
        error_wrap(check->err, "%s", check->shell.path);
    }
    return code;
}

static poise_code check_commits(struct check *check, const MDB_val *key, const MDB_val *stored)
{
    uint64_t first, count;
    poise_code code = past_check_commits(&check->shell, key, stored, &first, &count, check->err);
    if (code == POISE_OK) {
        check->commits += first == check->commits + 1 ? count : 0;
    }
    return code;
}

static bool is(struct cursor key, const char *name)
{
    return cursor_left(&key) == strlen(name) && memcmp(key.at, name, strlen(name)) == 0;
}

static poise_code check_meta(struct check *check, struct cursor key, struct cursor value)
{
    if (is(key, "store")) {
        uint32_t format = cursor_u32(&value);
        check->has_store = true;
        if (format < STORE_FORMAT_SAME || format > STORE_FORMAT) {
            return error_set(check->err, POISE_EVERSION,
                             "%s has format %" PRIu32
                             ", this version can check formats %d to %d: use the version that wrote it",
                             check->shell.path, format, STORE_FORMAT_SAME, STORE_FORMAT);
        }
    } else if (is(key, "mark")) {
        check->found.state_lsn = cursor_u64(&value);
        check->has_mark = !value.failed;
    } else if (is(key, "chunks")) {
        check->chunks_lsn = cursor_u64(&value);
    } else if (is(key, "erased")) {
        (void)cursor_u64(&value);
    } else if (is(key, "backup")) {
        check->found.backup = true;
    } else {
        return error_set(check->err, POISE_ECORRUPT, "%s is damaged: there is an unknown entry in meta",
                         check->shell.path);
    }
    return POISE_OK;
}

static poise_code check_table(void *visitor, const char *table)
{
    const struct check *check = visitor;
    for (int i = 0; i < LMDB_TABLES; i++) {
        if (strcmp(table, lmdb_names[i]) == 0) {
            return POISE_OK;
        }
    }
    return error_set(check->err, POISE_ECORRUPT,
                     "%s is damaged, or of a later version: there is an unknown table '%s'",
                     check->shell.path, table);
}

static poise_code check_entry(void *visitor, const char *table, struct cursor key, struct cursor value)
{
    struct check *check = visitor;
    if (check->stop && atomic_load_explicit(check->stop, memory_order_relaxed)) {
        return error_set(check->err, POISE_ECLOSED, "the aggregator is stopping");
    }
    if (strcmp(table, "journal") == 0) {
        return check_record(check, key, value);
    }
    if (strcmp(table, lmdb_names[LMDB_CHUNKS]) == 0) {
        return check_block(check, key, value);
    }
    if (strcmp(table, lmdb_names[LMDB_REMAINS]) == 0) {
        return check_remains(check, key, value);
    }
    uintptr_t key_at = (uintptr_t)key.at, value_at = (uintptr_t)value.at; /* only read */
    const MDB_val its_key = {cursor_left(&key), (void *)key_at};
    const MDB_val stored = {cursor_left(&value), (void *)value_at};
    struct cursor checked;
    if (strcmp(table, lmdb_names[LMDB_COMMITS]) == 0) {
        return check_commits(check, &its_key, &stored);
    }
    poise_code code = value_check(&check->shell, table, &its_key, &stored, &checked, check->err);
    return code == POISE_OK && strcmp(table, "meta") == 0 ? check_meta(check, key, checked) : code;
}

/* What no entry shows for itself. */
static poise_code check_whole(const struct check *check, uint64_t tables)
{
    const struct store_found *found = &check->found;
    if (!check->has_store || !check->has_mark || tables != LMDB_TABLES) {
        return error_set(check->err, POISE_ECORRUPT,
                         "%s is damaged, or no store of Poise: it has %" PRIu64
                         " tables of %d, or lacks an entry in meta; restore a backup",
                         check->shell.path, tables, LMDB_TABLES);
    }
    if (found->last_lsn < found->state_lsn || found->last_lsn < check->chunks_lsn ||
        found->first_lsn > check->chunks_lsn + 1 || check->commits != check->chunks_lsn) {
        return error_set(check->err, POISE_ECORRUPT,
                         "%s is damaged: its journal goes from record %" PRIu64 " to %" PRIu64
                         ", its checkpoint is of %" PRIu64 ", its runs go up to %" PRIu64
                         ", its list of commits up to %" PRIu64 "; restore a backup",
                         check->shell.path, found->first_lsn, found->last_lsn, found->state_lsn,
                         check->chunks_lsn, check->commits);
    }
    return POISE_OK;
}

/* ---- the directory ---- */

static poise_code path_in(const char *path, const char *name, char ret_path[PATH_MAX], poise_error *err)
{
    int length = snprintf(ret_path, PATH_MAX, "%s/%s", path, name);
    return length > 0 && length < PATH_MAX
               ? POISE_OK
               : error_set(err, POISE_EINVAL, "the store's path %.64s... is too long", path);
}

/* Nobody may write meanwhile; without a lock file nobody does. -1: none. */
static poise_code lock(const char *path, int *ret_fd, poise_error *err)
{
    char file[PATH_MAX];
    poise_code code = path_in(path, "lock", file, err);
    if (code != POISE_OK) {
        return code;
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        return error_errno(err, POISE_EIO, "cannot open %s", file);
    }
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0) {
        code = errno == EWOULDBLOCK
                   ? error_set(err, POISE_EBUSY,
                               "the store %s is in use: end the process that has it, or check a backup of it",
                               path)
                   : error_errno(err, POISE_EIO, "cannot lock %s", file);
        close(fd);
        return code;
    }
    *ret_fd = fd;
    return POISE_OK;
}

static poise_code check_data(struct check *check, const char *path)
{
    char file[PATH_MAX];
    const struct pages_visitor visitor = {check, check_table, check_entry};
    struct pages_found pages;
    struct stat status;
    poise_code code = path_in(path, "data.mdb", file, check->err);
    if (code == POISE_OK) {
        code = pages_walk(file, &visitor, &pages, check->err);
    }
    if (code == POISE_OK) {
        code = check_whole(check, pages.tables);
    }
    if (code == POISE_OK && stat(file, &status) != 0) {
        code = error_errno(check->err, POISE_EIO, "cannot look at %s", file);
    }
    if (code == POISE_OK) {
        check->found.pages = pages.pages;
        check->found.free_pages = pages.free_pages;
        check->found.page_bytes = pages.page_bytes;
        check->found.entries = pages.entries;
        check->found.bytes = status.st_size;
    }
    return code;
}

poise_code store_check(const char *path, const _Atomic bool *stop, struct store_found *ret_found,
                       poise_error *err)
{
    int fd = -1;
    poise_error ignored;
    uintptr_t path_at = (uintptr_t)path; /* only read */
    struct check check = {.shell = {.path = (char *)path_at}, .err = err ? err : &ignored, .stop = stop};
    poise_code code = lock(path, &fd, err);
    if (code != POISE_OK) {
        return code;
    }
    arena_init(&check.arena, 0); /* bounded by the record, which has a CRC */
    code = check_data(&check, path);
    arena_free(&check.arena);
    if (fd >= 0) {
        close(fd);
    }
    if (code == POISE_OK) {
        *ret_found = check.found;
    }
    return code;
}

/* ---- in a child ---- */

struct verdict {
    poise_code code;
    struct store_found found;
    poise_error error;
};

/* As readers open it. Where the last pages are free and were never written, only a writer does, who extends
 * the file. */
static poise_code open_it(const char *path, const struct store_found *found, poise_error *err)
{
    struct store *store;
    if ((uint64_t)found->bytes < found->pages * found->page_bytes) {
        return POISE_OK;
    }
    const struct store_options options = {.path = path, .read_only = true, .map_bytes = found->bytes};
    poise_code code = store_open(&options, &store, err);
    if (code != POISE_OK) {
        return code;
    }
    if (store_last_lsn(store) != found->last_lsn) {
        code = error_set(err, POISE_ECORRUPT,
                         "%s is damaged: a reader finds record %" PRIu64 " to be the last, not %" PRIu64,
                         path, store_last_lsn(store), found->last_lsn);
    }
    store_close(store);
    return code;
}

/* What reading damage may end with. Others come from outside, as where memory is short. */
static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static bool may_be_damage(int number)
{
    size_t at = 0;
    while (at < SIGNALS && signals[at] != number) {
        at++;
    }
    return at < SIGNALS;
}

static void run_child(const char *path, int fd)
{
    struct verdict verdict = {0};
    for (size_t i = 0; i < SIGNALS; i++) {
        signal(signals[i], SIG_DFL); /* it ends, whatever the program makes of them */
    }
    verdict.code = store_check(path, NULL, &verdict.found, &verdict.error);
    if (verdict.code == POISE_OK) {
        verdict.code = open_it(path, &verdict.found, &verdict.error);
    }
    ssize_t written = write(fd, &verdict, sizeof verdict); /* less than what a pipe takes at once */
    _exit(written == (ssize_t)sizeof verdict ? 0 : 1);
}

static poise_code take_verdict(const char *path, int fd, pid_t child, struct verdict *verdict,
                               poise_error *err)
{
    ssize_t count;
    int status = 0;
    while ((count = read(fd, verdict, sizeof *verdict)) < 0 && errno == EINTR) {
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (number != 0 && !may_be_damage(number)) {
        return error_set(err, POISE_EIO,
                         "the process that checks %s was ended by signal %d, which says nothing of it: check "
                         "again%s",
                         path, number, number == SIGKILL ? ", where there is memory" : "");
    }
    if (number != 0) {
        return error_set(err, POISE_ECORRUPT,
                         "%s is damaged: reading it ends with signal %d; restore a backup", path, number);
    }
    if (count != (ssize_t)sizeof *verdict) {
        return error_set(err, POISE_EIO, "the process that checks %s ended with %d", path,
                         WEXITSTATUS(status));
    }
    return POISE_OK;
}

poise_code store_check_apart(const char *path, struct store_found *ret_found, poise_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return error_errno(err, POISE_EIO, "cannot make a pipe");
    }
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return error_errno(err, POISE_EIO, "cannot start a process to check %s", path);
    }
    if (child == 0) {
        run_child(path, ends[1]);
    }
    close(ends[1]);
    struct verdict verdict;
    poise_code code = take_verdict(path, ends[0], child, &verdict, err);
    close(ends[0]);
    if (code == POISE_OK && verdict.code != POISE_OK) {
        return error_set(err, verdict.code, "%s", verdict.error.text);
    }
    if (code == POISE_OK) {
        *ret_found = verdict.found;
    }
    return code;
}
