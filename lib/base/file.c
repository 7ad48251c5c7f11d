#include <base/error.h>
#include <base/file.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { READ_STEP = 65536 };

static poise_code code_of_errno(void)
{
    switch (errno) {
    case ENOENT:
        return POISE_ENOTFOUND;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return POISE_EFULL;
    default:
        return POISE_EIO;
    }
}

static poise_code read_all(int fd, const char *path, size_t max, struct buf *out, poise_error *err)
{
    size_t start = out->length;
    for (;;) {
        size_t got = out->length - start;
        if (got > max) {
            return error_set(err, POISE_ELIMIT, "%s is larger than %zu bytes", path, max);
        }
        size_t step = max - got < READ_STEP ? max - got + 1 : READ_STEP; /* one more shows that it ends */
        if (!buf_reserve(out, step)) {
            return error_nomem(err, path);
        }
        ssize_t count = read(fd, out->data + out->length, step);
        if (count == 0) {
            return POISE_OK;
        }
        if (count > 0) {
            out->length += (size_t)count;
        } else if (errno != EINTR) {
            return error_errno(err, POISE_EIO, "cannot read %s", path);
        }
    }
}

poise_code file_read(const char *path, size_t max, struct buf *out, poise_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_errno(err, code_of_errno(), "cannot open %s", path);
    }
    size_t before = out->length;
    poise_code code = read_all(fd, path, max, out, err);
    if (code != POISE_OK) {
        out->length = before;
    }
    close(fd); /* only read: nothing can be lost */
    return code;
}

poise_code file_write_all(int fd, const void *bytes, size_t length, poise_error *err)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t count = write(fd, at, length);
        if (count < 0 && errno != EINTR) {
            return error_errno(err, code_of_errno(), "cannot write %zu bytes", length);
        }
        if (count > 0) {
            at += count;
            length -= (size_t)count;
        }
    }
    return POISE_OK;
}

poise_code file_write_at(int fd, const void *bytes, size_t length, int64_t offset, poise_error *err)
{
    for (size_t at = 0; at < length;) {
        ssize_t count = pwrite(fd, (const char *)bytes + at, length - at, offset + (off_t)at);
        if (count < 0 && errno != EINTR) {
            return error_errno(err, code_of_errno(), "cannot write %zu bytes", length);
        }
        at += count > 0 ? (size_t)count : 0;
    }
    return POISE_OK;
}

poise_code file_read_at(int fd, void *bytes, size_t length, int64_t offset, size_t *ret_length,
                        poise_error *err)
{
    size_t at = 0;
    ssize_t count = 1;
    while (at < length && count != 0) {
        count = pread(fd, (char *)bytes + at, length - at, offset + (off_t)at);
        if (count < 0 && errno != EINTR) {
            return error_errno(err, POISE_EIO, "cannot read %zu bytes", length);
        }
        at += count > 0 ? (size_t)count : 0;
    }
    *ret_length = at;
    return POISE_OK;
}

poise_code file_sync_dir(const char *path, poise_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_errno(err, code_of_errno(), "cannot open the directory %s", path);
    }
    poise_code code = POISE_OK;
    if (fsync(fd) != 0) {
        code = error_errno(err, code_of_errno(), "cannot sync the directory %s", path);
    }
    close(fd);
    return code;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* To the directory above; -1: there is none on this file system, or none that may be read. false: that cannot
 * be known, and *fd is closed. */
static bool go_up(int *fd)
{
    struct stat here = {0}, above = {0};
    int up = openat(*fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool known = up < 0 ? errno == EACCES : fstat(*fd, &here) == 0 && fstat(up, &above) == 0;
    bool is_one = up >= 0 && known && here.st_dev == above.st_dev && !is_same(&here, &above);
    close(*fd);
    if (up >= 0 && !is_one) {
        close(up);
    }
    *fd = is_one ? up : -1;
    return known;
}

poise_code file_sync_dirs(const char *path, poise_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_errno(err, code_of_errno(), "cannot open the directory %s", path);
    }
    while (fd >= 0) {
        if (fsync(fd) != 0) {
            poise_code code =
                error_errno(err, code_of_errno(), "cannot sync the directory %s or one above it", path);
            close(fd);
            return code;
        }
        if (!go_up(&fd)) {
            return error_errno(err, code_of_errno(), "cannot open a directory above %s", path);
        }
    }
    return POISE_OK;
}

/* The directory that holds path, into `parent` of PATH_MAX bytes, which fits since path does. */
static void parent_of(const char *path, char *parent)
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        path = ".";
    }
    size_t length = slash > path ? (size_t)(slash - path) : 1;
    memcpy(parent, path, length);
    parent[length] = '\0';
}

/* Writes and syncs, and closes fd in every case. */
static poise_code fill(int fd, const char *path, const void *bytes, size_t length, poise_error *err)
{
    poise_code code = file_write_all(fd, bytes, length, err);
    if (code != POISE_OK) {
        error_wrap(err, "%s", path);
    } else if (fsync(fd) != 0) {
        code = error_errno(err, code_of_errno(), "cannot sync %s", path);
    }
    if (close(fd) != 0 && code == POISE_OK) {
        code = error_errno(err, code_of_errno(), "cannot close %s", path);
    }
    return code;
}

poise_code file_replace(const char *path, const void *bytes, size_t length, poise_error *err)
{
    char fresh[PATH_MAX], parent[PATH_MAX];
    int wanted = snprintf(fresh, sizeof fresh, "%s.XXXXXX", path);
    if (wanted < 0 || (size_t)wanted >= sizeof fresh) {
        return error_set(err, POISE_ELIMIT, "the path %.64s... is longer than %d bytes", path, PATH_MAX - 8);
    }
    int fd = mkostemp(fresh, O_CLOEXEC);
    if (fd < 0) {
        return error_errno(err, code_of_errno(), "cannot make a new file beside %s", path);
    }
    poise_code code = fill(fd, fresh, bytes, length, err);
    if (code == POISE_OK && rename(fresh, path) != 0) {
        code = error_errno(err, code_of_errno(), "cannot rename %s to %s", fresh, path);
    }
    if (code != POISE_OK) {
        unlink(fresh);
        return code;
    }
    parent_of(path, parent);
    return file_sync_dir(parent, err);
}

static poise_code make_dir(const char *path, poise_error *err)
{
    struct stat status;
    if (mkdir(path, 0750) == 0) {
        return POISE_OK;
    }
    if (errno != EEXIST) {
        return error_errno(err, code_of_errno(), "cannot make the directory %s", path);
    }
    if (stat(path, &status) != 0) {
        return error_errno(err, code_of_errno(), "cannot look at %s", path);
    }
    return S_ISDIR(status.st_mode) ? POISE_OK
                                   : error_set(err, POISE_EIO, "%s is in the way: not a directory", path);
}

poise_code file_make_dirs(const char *path, poise_error *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) {
        return error_set(err, POISE_EINVAL, "a directory's path must have 1 to %d bytes", PATH_MAX - 1);
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (part[i] == '/' && part[i - 1] != '/') {
            part[i] = '\0';
            poise_code code = make_dir(part, err);
            if (code != POISE_OK) {
                return code;
            }
            part[i] = '/';
        }
    }
    return make_dir(part, err);
}

poise_code file_free_bytes(const char *path, uint64_t *ret_bytes, poise_error *err)
{
    struct statvfs status;
    if (statvfs(path, &status) != 0) {
        return error_errno(err, code_of_errno(), "cannot ask for the free space at %s", path);
    }
    *ret_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return POISE_OK;
}
