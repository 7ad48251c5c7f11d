/* Full disks and failing ones. This program's own write and sync calls stand before those of the C library
 * for LMDB too, so that each can be made to fail. */
#include "scratch.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <store/backup.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { META_PAGES_END = 8192, LENGTH = 20000 };

static struct {
    int sync_errno;
    int write_errno; /* of data pages */
    int meta_errno;
    bool cut_short;
    const char *fails_named; /* directories are not synced once there is this */
    unsigned hits;
} fault;

#define SEEN __attribute__((visibility("default")))
SEEN int fdatasync(int fd);
SEEN int fsync(int fd);
SEEN ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset);
SEEN ssize_t writev(int fd, const struct iovec *parts, int count);

static ssize_t fail_with(int number)
{
    fault.hits++;
    errno = number;
    return -1;
}

SEEN int fdatasync(int fd)
{
    return fault.sync_errno ? (int)fail_with(fault.sync_errno) : (int)syscall(SYS_fdatasync, fd);
}

SEEN int fsync(int fd)
{
    bool fails = fault.fails_named && access(fault.fails_named, F_OK) == 0;
    return fails ? (int)fail_with(EIO) : (int)syscall(SYS_fsync, fd);
}

SEEN ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    if (offset < META_PAGES_END && fault.meta_errno) {
        return fail_with(fault.meta_errno);
    }
    if (offset >= META_PAGES_END && fault.write_errno) {
        return fail_with(fault.write_errno);
    }
    if (offset >= META_PAGES_END && fault.cut_short) {
        fault.hits++;
        length /= 2;
    }
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}

SEEN ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fault.write_errno) {
        return fail_with(fault.write_errno);
    }
    if (fault.cut_short) {
        fault.hits++;
        return syscall(SYS_write, fd, parts[0].iov_base, parts[0].iov_len / 2);
    }
    return syscall(SYS_writev, fd, parts, count);
}

static void heal(void)
{
    memset(&fault, 0, sizeof fault);
}

static struct store *open_with_two(const char *path)
{
    struct store *store = scratch_open(path);
    scratch_append(store, 1, LENGTH);
    scratch_append(store, 2, LENGTH);
    return store;
}

/* The store is dead, and a new start has what was acknowledged and goes on. */
static void expect_fatal(const char *path, struct store *store, bool reads_go_on)
{
    poise_error err = {0};
    assert_int_equal(scratch_try_append(store, 3, LENGTH, &err), POISE_EIO);
    assert_true(fault.hits > 0);
    heal();
    assert_int_equal(scratch_try_append(store, 3, LENGTH, &err), POISE_EIO);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){0}, NULL), POISE_EIO);
    assert_int_equal(store_last_lsn(store), 2);
    if (reads_go_on) {
        assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), 2);
    }
    store_close(store);
    store = scratch_open(path);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), 2);
    scratch_append(store, 3, LENGTH);
    store_close(store);
}

static void test_failed_sync_is_fatal(void **state)
{
    struct store *store = open_with_two(*state);
    fault.sync_errno = EIO;
    expect_fatal(*state, store, true);
}

static void test_failed_write_is_fatal(void **state)
{
    struct store *store = open_with_two(*state);
    fault.write_errno = EIO;
    expect_fatal(*state, store, true);
    store = scratch_open(*state);
    assert_int_equal(store_last_lsn(store), 3);
    store_close(store);
}

static void test_cut_write_with_room_is_fatal(void **state)
{
    struct store *store = open_with_two(*state);
    fault.cut_short = true;
    expect_fatal(*state, store, true);
}

/* Even when it says that the disk is full: LMDB does not know what its meta page shows now. */
static void test_failed_meta_write_is_fatal(void **state)
{
    struct store *store = open_with_two(*state);
    fault.meta_errno = ENOSPC;
    expect_fatal(*state, store, false);
}

/* What a file system becomes that has met an error while the store is open: no room could ever be made. */
static void test_read_only_from_now_on(void **state)
{
    static int *const calls[] = {&fault.write_errno, &fault.sync_errno, &fault.meta_errno};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char path[4096];
        poise_error err = {0};
        snprintf(path, sizeof path, "%s/%zu", (const char *)*state, i);
        struct store *store = open_with_two(path);
        *calls[i] = EROFS;
        assert_int_equal(scratch_try_append(store, 3, LENGTH, &err), POISE_EIO);
        assert_non_null(strstr(err.text, "Read-only file system"));
        expect_fatal(path, store, calls[i] != &fault.meta_errno);
    }
}

static void test_no_space_is_not_fatal(void **state)
{
    struct store *store = open_with_two(*state);
    poise_error err = {0};
    fault.write_errno = ENOSPC;
    assert_int_equal(scratch_try_append(store, 3, LENGTH, &err), POISE_EFULL);
    assert_true(fault.hits > 0);
    assert_int_equal(store_last_lsn(store), 2);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_put(store, STORE_CELLS, "k", 1, "v", 1), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){.state_lsn = 2}, NULL), POISE_EFULL);
    assert_int_equal(store_mark(store).state_lsn, 0);
    heal();
    scratch_append(store, 3, LENGTH);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), 3);
    store_close(store);
}

/* Theirs alone: the store does not mind, and nothing is there that could be taken for a backup. */
static void test_disk_of_backups_fails(void **state)
{
    char directory[4096], path[4096 + 8];
    snprintf(directory, sizeof directory, "%s/backups", (const char *)*state);
    snprintf(path, sizeof path, "%s/one", directory);
    const struct {
        int sync_errno, write_errno, meta_errno;
        const char *fails_named;
        poise_code code;
    } faults[] = {{.sync_errno = EIO, .code = POISE_EIO},
                  {.write_errno = EIO, .code = POISE_EIO},
                  {.write_errno = ENOSPC, .code = POISE_EFULL},
                  {.meta_errno = EIO, .code = POISE_EIO},
                  {.fails_named = path, .code = POISE_EIO}};
    const struct backup_options options = {.directory = directory, .name = "one", .free_bytes = 1};
    struct backup_result result;
    struct store *store = open_with_two(*state);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        poise_error err = {0};
        fault.sync_errno = faults[i].sync_errno;
        fault.write_errno = faults[i].write_errno;
        fault.meta_errno = faults[i].meta_errno;
        fault.fails_named = faults[i].fails_named;
        assert_int_equal(store_backup(store, &options, &result, &err), faults[i].code);
        assert_true(fault.hits > 0);
        heal();
        assert_int_equal(rmdir(directory), 0); /* it is empty */
        scratch_append(store, 3 + i, LENGTH);
    }
    assert_int_equal(store_backup(store, &options, &result, NULL), POISE_OK);
    assert_int_equal(result.lsn, 7);
    store_close(store);
}

static void test_floor_of_free_space(void **state)
{
    store_close(open_with_two(*state));
    struct store_options options = scratch_options(*state);
    options.free_bytes = INT64_MAX;
    struct store *store = NULL;
    poise_error err = {0};
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    assert_int_equal(scratch_try_append(store, 3, LENGTH, &err), POISE_EFULL);
    assert_non_null(strstr(err.text, "kept free"));
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), 2);
    store_close(store);
}

/* ---- a file system that is really full ---- */

static bool mount_small(const char *path)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, "size=2m") == 0;
}

static void make_filler(const char *path)
{
    static const char zeros[256 << 10];
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
    close(fd);
}

static void fill_and_make_room(const char *path, const char *filler)
{
    struct store_options options = scratch_options(path);
    struct store *store = NULL;
    poise_error err = {0};
    options.map_bytes = 128 << 10; /* so that it grows on the way */
    assert_int_equal(store_open(&options, &store, &err), POISE_OK);
    make_filler(filler);
    uint64_t n = 1;
    poise_code code;
    while ((code = scratch_try_append(store, n, LENGTH, &err)) == POISE_OK) {
        n++;
    }
    assert_int_equal(code, POISE_EFULL);
    assert_true(n > 40);
    assert_int_equal(scratch_try_append(store, n, LENGTH, &err), POISE_EFULL);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), n - 1);
    assert_int_equal(unlink(filler), 0);
    scratch_append(store, n, LENGTH);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), n);
    store_close(store);
}

static void test_full_tmpfs(void **state)
{
    char filler[4096];
    if (!mount_small(*state)) {
        print_message("skipped: a test on a full file system needs the right to mount a tmpfs\n");
        skip();
    }
    snprintf(filler, sizeof filler, "%s/filler", (const char *)*state);
    fill_and_make_room(*state, filler);
    assert_int_equal(umount2(*state, MNT_DETACH), 0);
}

static int make_healthy(void **state)
{
    heal();
    return scratch_make(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_healthy, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_failed_sync_is_fatal),
        TEST(test_failed_write_is_fatal),
        TEST(test_cut_write_with_room_is_fatal),
        TEST(test_failed_meta_write_is_fatal),
        TEST(test_read_only_from_now_on),
        TEST(test_no_space_is_not_fatal),
        TEST(test_disk_of_backups_fails),
        TEST(test_floor_of_free_space),
        TEST(test_full_tmpfs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
