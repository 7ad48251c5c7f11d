#include "fault.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct fault_plan plan;
    bool running, paused;
    uint64_t count, hits;
    const char *name;
    int64_t allocations, mappings;
} fault = {.name = ""};

void fault_start(const struct fault_plan *plan)
{
    fault.plan = *plan;
    fault.running = true;
    fault.count = fault.hits = 0;
    fault.name = "";
}

void fault_stop(void)
{
    fault.running = false;
}

bool fault_pause(bool paused)
{
    bool was = fault.paused;
    fault.paused = paused;
    return was;
}

uint64_t fault_count(void)
{
    return fault.count;
}

uint64_t fault_hits(void)
{
    return fault.hits;
}

const char *fault_name(void)
{
    return fault.name;
}

void fault_try_every(unsigned kinds, int error, fault_try *try_plan)
{
    const uint64_t count = try_plan(&(struct fault_plan){.kinds = kinds, .error = error});
    assert_true(count > 10);
    for (int from_then = 0; from_then < (error == EINTR ? 1 : 2); from_then++) {
        for (uint64_t nth = 1; nth <= count; nth++) {
            try_plan(&(struct fault_plan){
                .kinds = kinds, .error = error, .nth = nth, .from_then = from_then != 0});
        }
    }
    print_message("%llu places, once and from then on\n", (unsigned long long)count);
}

static bool fails(enum fault_kind kind, const char *name)
{
    if (!fault.running || fault.paused || !(fault.plan.kinds & kind)) {
        return false;
    }
    fault.count++;
    bool hit = fault.plan.from_then ? fault.plan.nth && fault.count >= fault.plan.nth
                                    : fault.count == fault.plan.nth;
    if (hit && fault.hits++ == 0) {
        fault.name = name;
    }
    return hit;
}

static bool no_memory(const char *name)
{
    if (!fails(FAULT_MEMORY, name)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

/* Of what transfers nothing: neither half done nor, on files, interrupted. */
static bool call_fails(const char *name)
{
    if (fault.plan.error == FAULT_SHORT || fault.plan.error == EINTR || !fails(FAULT_CALLS, name)) {
        return false;
    }
    errno = fault.plan.error;
    return true;
}

/* Of a read or write; it may become shorter. */
static bool transfer_fails(const char *name, size_t *length)
{
    if (!fails(FAULT_CALLS, name)) {
        return false;
    }
    if (fault.plan.error == FAULT_SHORT) {
        *length = (*length + 1) / 2;
        return false;
    }
    errno = fault.plan.error;
    return true;
}

/* The linker sends the calls of this program's objects to __wrap_NAME (-Wl,--wrap). */
#define WRAP(type, name, ...)                                                                                \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

/* ---- memory ---- */

static void *took(void *memory)
{
    fault.allocations += memory != NULL;
    return memory;
}

WRAP(void *, malloc, size_t size)
{
    return no_memory("malloc") ? NULL : took(__real_malloc(size));
}

WRAP(void *, calloc, size_t count, size_t size)
{
    return no_memory("calloc") ? NULL : took(__real_calloc(count, size));
}

WRAP(void *, realloc, void *old, size_t size)
{
    if (no_memory("realloc")) {
        return NULL;
    }
    void *memory = __real_realloc(old, size);
    return old ? memory : took(memory);
}

WRAP(void *, reallocarray, void *old, size_t count, size_t size)
{
    if (no_memory("reallocarray")) {
        return NULL;
    }
    void *memory = __real_reallocarray(old, count, size);
    return old ? memory : took(memory);
}

WRAP(void *, aligned_alloc, size_t alignment, size_t size)
{
    return no_memory("aligned_alloc") ? NULL : took(__real_aligned_alloc(alignment, size));
}

WRAP(int, posix_memalign, void **ret_memory, size_t alignment, size_t size)
{
    int rc = no_memory("posix_memalign") ? ENOMEM : __real_posix_memalign(ret_memory, alignment, size);
    fault.allocations += rc == 0;
    return rc;
}

WRAP(char *, strdup, const char *text)
{
    return no_memory("strdup") ? NULL : took(__real_strdup(text));
}

WRAP(void, free, void *memory)
{
    fault.allocations -= memory != NULL;
    __real_free(memory);
}

WRAP(void *, mmap, void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *memory = MAP_FAILED;
    if (!no_memory("mmap")) {
        memory = __real_mmap(at, length, protection, flags, fd, offset);
    }
    fault.mappings += memory != MAP_FAILED;
    return memory;
}

WRAP(int, munmap, void *at, size_t length)
{
    fault.mappings--;
    return __real_munmap(at, length);
}

WRAP(int, pthread_mutex_init, pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    return no_memory("pthread_mutex_init") ? ENOMEM : __real_pthread_mutex_init(mutex, attributes);
}

WRAP(int, pthread_cond_init, pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    return no_memory("pthread_cond_init") ? ENOMEM : __real_pthread_cond_init(condition, attributes);
}

/* ---- files ---- */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return call_fails("open") ? -1 : __real_open(path, flags & ~O_DSYNC, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...) /* of directories alone */
{
    return call_fails("openat") ? -1 : __real_openat(dir, path, flags);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return call_fails("fcntl") ? -1 : __real_fcntl(fd, command, argument);
}

WRAP(int, mkostemp, char *path, int flags)
{
    return call_fails("mkostemp") ? -1 : __real_mkostemp(path, flags);
}

WRAP(int, close, int fd)
{
    int rc = __real_close(fd);
    return call_fails("close") ? -1 : rc;
}

WRAP(ssize_t, read, int fd, void *bytes, size_t length)
{
    return transfer_fails("read", &length) ? -1 : __real_read(fd, bytes, length);
}

WRAP(ssize_t, pread, int fd, void *bytes, size_t length, off_t offset)
{
    return transfer_fails("pread", &length) ? -1 : __real_pread(fd, bytes, length, offset);
}

WRAP(ssize_t, write, int fd, const void *bytes, size_t length)
{
    return transfer_fails("write", &length) ? -1 : __real_write(fd, bytes, length);
}

WRAP(ssize_t, pwrite, int fd, const void *bytes, size_t length, off_t offset)
{
    return transfer_fails("pwrite", &length) ? -1 : __real_pwrite(fd, bytes, length, offset);
}

WRAP(ssize_t, writev, int fd, const struct iovec *parts, int count)
{
    size_t length = parts[0].iov_len;
    if (transfer_fails("writev", &length)) {
        return -1;
    }
    return length < parts[0].iov_len ? __real_write(fd, parts[0].iov_base, length)
                                     : __real_writev(fd, parts, count);
}
WRAP(int, fdatasync, int fd)
{
    (void)fd;
    return call_fails("fdatasync") ? -1 : 0;
}

WRAP(int, fsync, int fd)
{
    (void)fd;
    return call_fails("fsync") ? -1 : 0;
}

WRAP(int, msync, void *at, size_t length, int flags)
{
    return call_fails("msync") ? -1 : __real_msync(at, length, flags);
}

WRAP(int, ftruncate, int fd, off_t length)
{
    return call_fails("ftruncate") ? -1 : __real_ftruncate(fd, length);
}

WRAP(int, posix_fallocate, int fd, off_t offset, off_t length)
{
    return call_fails("posix_fallocate") ? errno : __real_posix_fallocate(fd, offset, length);
}

WRAP(off_t, lseek, int fd, off_t offset, int from)
{
    return call_fails("lseek") ? -1 : __real_lseek(fd, offset, from);
}

WRAP(int, flock, int fd, int operation)
{
    return call_fails("flock") ? -1 : __real_flock(fd, operation);
}

WRAP(int, rename, const char *from, const char *to)
{
    return call_fails("rename") ? -1 : __real_rename(from, to);
}

WRAP(int, renameat2, int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return call_fails("renameat2") ? -1 : __real_renameat2(from_dir, from, to_dir, to, flags);
}

WRAP(int, unlink, const char *path)
{
    return call_fails("unlink") ? -1 : __real_unlink(path);
}

WRAP(int, mkdir, const char *path, mode_t mode)
{
    return call_fails("mkdir") ? -1 : __real_mkdir(path, mode);
}

WRAP(int, rmdir, const char *path)
{
    return call_fails("rmdir") ? -1 : __real_rmdir(path);
}

WRAP(int, lstat, const char *path, struct stat *ret_status)
{
    return call_fails("lstat") ? -1 : __real_lstat(path, ret_status);
}

WRAP(int, stat, const char *path, struct stat *ret_status)
{
    return call_fails("stat") ? -1 : __real_stat(path, ret_status);
}

WRAP(int, fstat, int fd, struct stat *ret_status)
{
    return call_fails("fstat") ? -1 : __real_fstat(fd, ret_status);
}

WRAP(int, __fxstat, int version, int fd, struct stat *ret_status)
{
    return call_fails("fstat") ? -1 : __real___fxstat(version, fd, ret_status);
}

WRAP(int, statvfs, const char *path, struct statvfs *ret_status)
{
    return call_fails("statvfs") ? -1 : __real_statvfs(path, ret_status);
}

WRAP(DIR *, opendir, const char *path)
{
    return call_fails("opendir") ? NULL : __real_opendir(path);
}

WRAP(struct dirent *, readdir, DIR *dir)
{
    return call_fails("readdir") ? NULL : __real_readdir(dir);
}

/* ---- processes ---- */

WRAP(int, pipe2, int ends[2], int flags)
{
    return call_fails("pipe2") ? -1 : __real_pipe2(ends, flags);
}

WRAP(pid_t, fork, void)
{
    pid_t child = call_fails("fork") ? -1 : __real_fork();
    fault.paused |= child == 0; /* what it does its parent cannot count */
    return child;
}

void fault_scratch_in_memory(void)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) {
        setenv("TMPDIR", "/dev/shm", 0);
    }
}

/* ---- what is held ---- */

static size_t count_descriptors(void)
{
    DIR *dir = __real_opendir("/proc/self/fd");
    size_t count = 0;
    while (dir && __real_readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

struct fault_held fault_held(void)
{
    return (struct fault_held){
        .allocations = fault.allocations, .mappings = fault.mappings, .descriptors = count_descriptors()};
}
