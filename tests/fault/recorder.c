#include "recorder.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    int log;
    bool on;
    dev_t device;
    size_t count, kill_after;
    bool in_sync; /* it dies in one */
    bool full;
    size_t bytes_left;    /* of a full disk */
    size_t until_failure; /* syncs, with the one that fails */
    unsigned names;       /* made by mkostemp */
} recorder;

/* ---- the log ---- */

static void give_up(const char *what)
{
    fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void die_when_due(bool in_sync)
{
    if (recorder.kill_after > 0 && recorder.count >= recorder.kill_after && in_sync == recorder.in_sync) {
        _exit(RECORDER_KILLED);
    }
}

static void put(struct op *op, const char *name, const char *other, const void *bytes)
{
    uintptr_t texts[3] = {(uintptr_t)name, (uintptr_t)other, (uintptr_t)bytes};
    op->name_length = name ? (uint32_t)strlen(name) : 0;
    op->other_length = other ? (uint32_t)strlen(other) : 0;
    struct iovec parts[4] = {{.iov_base = op, .iov_len = sizeof *op},
                             {.iov_base = (void *)texts[0], .iov_len = op->name_length},
                             {.iov_base = (void *)texts[1], .iov_len = op->other_length},
                             {.iov_base = (void *)texts[2], .iov_len = bytes ? op->length : 0}};
    size_t length = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len + parts[3].iov_len;
    if (syscall(SYS_writev, recorder.log, parts, 4) != (long)length) {
        give_up("cannot write its log");
    }
    if (op->kind != OP_MARK) {
        recorder.count++;
        die_when_due(false);
    }
}

void recorder_start(int log, const char *directory, size_t kill_after, bool in_sync)
{
    struct stat status;
    if (stat(directory, &status) != 0) {
        give_up(directory);
    }
    recorder.log = log;
    recorder.device = status.st_dev;
    recorder.kill_after = kill_after;
    recorder.in_sync = in_sync;
    recorder.count = 0;
    recorder.on = true;
}

void recorder_stop(void)
{
    recorder.on = false;
}

void recorder_mark(uint32_t mark, uint64_t a, uint64_t b)
{
    if (recorder.on) {
        put(&(struct op){.kind = OP_MARK, .mark = mark, .at = a, .length = b}, NULL, NULL, NULL);
    }
}

void recorder_fill_disk(size_t bytes_left)
{
    recorder.full = true;
    recorder.bytes_left = bytes_left;
}

void recorder_empty_disk(void)
{
    recorder.full = false;
}

void recorder_fail_sync(size_t n)
{
    recorder.until_failure = n;
}

/* Pipes, sockets and other file systems are of no interest. errno stays what it was. */
static bool is_ours(int fd, struct stat *ret_status)
{
    int before = errno;
    bool ours = fstat(fd, ret_status) == 0 && ret_status->st_dev == recorder.device &&
                (S_ISREG(ret_status->st_mode) || S_ISDIR(ret_status->st_mode));
    errno = before;
    return ours;
}

static void put_file(enum op_kind kind, int fd, uint64_t at, uint64_t length, const void *bytes)
{
    struct stat status;
    if (recorder.on && is_ours(fd, &status)) {
        put(&(struct op){.kind = kind, .file = status.st_ino, .at = at, .length = length}, NULL, NULL, bytes);
    }
}

/* ---- names ---- */

/* The inode of the directory that holds path; its last name stays in place. False: not on our file system. */
static bool split(const char *path, uint64_t *ret_parent, const char **ret_name)
{
    char parent[4096];
    struct stat status;
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    if (length >= sizeof parent - 1) {
        return false;
    }
    memcpy(parent, path, length);
    memcpy(parent + length, length ? "" : ".", length ? 1 : 2);
    int before = errno;
    bool found = stat(parent, &status) == 0 && status.st_dev == recorder.device;
    errno = before;
    *ret_parent = status.st_ino;
    *ret_name = path + length;
    return found;
}

static void put_name(enum op_kind kind, const char *path, const char *to)
{
    struct stat status = {0};
    const char *name, *other = NULL;
    uint64_t parent, other_parent;
    if (!recorder.on || !split(path, &parent, &name)) {
        return;
    }
    if (to && (!split(to, &other_parent, &other) || other_parent != parent)) {
        give_up("a rename to another directory");
    }
    if (kind == OP_FILE || kind == OP_DIR) {
        (void)stat(path, &status);
    }
    put(&(struct op){.kind = kind, .file = status.st_ino, .parent = parent}, name, other, NULL);
}

/* ---- the calls ---- */

#define SEEN __attribute__((visibility("default")))
SEEN int open(const char *path, int flags, ...);
SEEN int open64(const char *path, int flags, ...);
SEEN int mkostemp(char *path, int flags);
SEEN int mkdir(const char *path, mode_t mode);
SEEN int unlink(const char *path);
SEEN int rmdir(const char *path);
SEEN int rename(const char *from, const char *to);
SEEN int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags);
SEEN ssize_t write(int fd, const void *bytes, size_t length);
SEEN ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset);
SEEN ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset);
SEEN ssize_t writev(int fd, const struct iovec *parts, int count);
SEEN int ftruncate(int fd, off_t length);
SEEN int ftruncate64(int fd, off_t length);
SEEN int fdatasync(int fd);
SEEN int fsync(int fd);
SEEN int statvfs(const char *path, struct statvfs *ret_status);

static int open_file(const char *path, int flags, mode_t mode)
{
    struct stat before;
    bool is_new = recorder.on && (flags & O_CREAT) && stat(path, &before) != 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0 && is_new) {
        put_name(OP_FILE, path, NULL);
    }
    if (fd >= 0 && (flags & O_TRUNC)) {
        put_file(OP_SIZE, fd, 0, 0, NULL);
    }
    return fd;
}

static mode_t mode_of(int flags, va_list list)
{
    return flags & O_CREAT ? va_arg(list, mode_t) : 0;
}

SEEN int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_file(path, flags, mode);
}

SEEN int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_file(path, flags, mode);
}

SEEN int mkostemp(char *path, int flags)
{
    char digits[16];
    int fd;
    do {
        snprintf(digits, sizeof digits, "%06u", ++recorder.names % 1000000);
        memcpy(path + strlen(path) - 6, digits, 6);
        fd = open_file(path, flags | O_RDWR | O_CREAT | O_EXCL, 0600);
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

SEEN int mkdir(const char *path, mode_t mode)
{
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (rc == 0) {
        put_name(OP_DIR, path, NULL);
    }
    return rc;
}

static int remove_name(const char *path, int flags)
{
    int rc = (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    if (rc == 0) {
        put_name(OP_UNLINK, path, NULL);
    }
    return rc;
}

SEEN int unlink(const char *path)
{
    return remove_name(path, 0);
}

SEEN int rmdir(const char *path)
{
    return remove_name(path, AT_REMOVEDIR);
}

SEEN int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    int rc = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (rc == 0 && recorder.on && (from_at != AT_FDCWD || to_at != AT_FDCWD || (flags & RENAME_EXCHANGE))) {
        give_up("a rename of a kind that it does not know");
    }
    if (rc == 0) {
        put_name(OP_RENAME, from, to);
    }
    return rc;
}

SEEN int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* What of the bytes the disk has room for; -1: nothing. What is written over has its room. */
static ssize_t room(int fd, size_t length, off_t offset)
{
    struct stat status;
    if (!recorder.full || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        offset + (off_t)length <= status.st_size) {
        return (ssize_t)length;
    }
    if (recorder.bytes_left == 0) {
        errno = ENOSPC;
        return -1;
    }
    size_t taken = length < recorder.bytes_left ? length : recorder.bytes_left;
    recorder.bytes_left -= taken;
    return (ssize_t)taken;
}

static bool sync_fails(void)
{
    die_when_due(true);
    return recorder.until_failure > 0 && --recorder.until_failure == 0;
}

static ssize_t wrote(int fd, const void *bytes, ssize_t count, off_t offset)
{
    put_file(OP_WRITE, fd, (uint64_t)offset, (size_t)count, bytes);
    if (!(fcntl(fd, F_GETFL) & O_DSYNC)) {
        return count;
    }
    if (sync_fails()) {
        put_file(OP_FAIL, fd, 0, 0, NULL);
        errno = EIO;
        return -1;
    }
    put_file(OP_RANGE, fd, (uint64_t)offset, (size_t)count, NULL);
    return count;
}

SEEN ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    ssize_t count = room(fd, length, offset);
    if (count > 0) {
        count = syscall(SYS_pwrite64, fd, bytes, (size_t)count, offset);
    }
    return count > 0 ? wrote(fd, bytes, count, offset) : count;
}

SEEN ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
    return pwrite(fd, bytes, length, offset);
}

SEEN ssize_t write(int fd, const void *bytes, size_t length)
{
    struct stat status;
    if (!recorder.on || !is_ours(fd, &status)) {
        return syscall(SYS_write, fd, bytes, length);
    }
    off_t offset = fcntl(fd, F_GETFL) & O_APPEND ? status.st_size : lseek(fd, 0, SEEK_CUR);
    ssize_t count = room(fd, length, offset);
    if (count > 0) {
        count = syscall(SYS_write, fd, bytes, (size_t)count);
    }
    return count > 0 ? wrote(fd, bytes, count, offset) : count;
}

/* As one write each, so that a crash may come in between. */
SEEN ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t written = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0) {
            return total > 0 ? total : -1;
        }
        total += written;
        if ((size_t)written < parts[i].iov_len) {
            return total;
        }
    }
    return total;
}

SEEN int ftruncate(int fd, off_t length)
{
    int rc = (int)syscall(SYS_ftruncate, fd, length);
    if (rc == 0) {
        put_file(OP_SIZE, fd, (uint64_t)length, 0, NULL);
    }
    return rc;
}

SEEN int ftruncate64(int fd, off_t length)
{
    return ftruncate(fd, length);
}

SEEN int statvfs(const char *path, struct statvfs *ret_status)
{
    (void)path;
    *ret_status = (struct statvfs){.f_frsize = 4096, .f_bavail = recorder.full ? 0 : 1 << 28};
    return 0;
}

/* The files lie in memory: there is nothing to do but to write it down. */
static int sync_file(int fd)
{
    bool fails = sync_fails();
    put_file(fails ? OP_FAIL : OP_SYNC, fd, 0, 0, NULL);
    errno = fails ? EIO : errno;
    return fails ? -1 : 0;
}

SEEN int fdatasync(int fd)
{
    return sync_file(fd);
}

SEEN int fsync(int fd)
{
    return sync_file(fd);
}
