/* Disks that are full or fail: this program's own write and sync calls stand before those of the C library.
 */
#include "scratch.h"
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    bool armed;
    int write_errno, sync_errno, truncate_errno;
    size_t write_some; /* bytes that still get through before write_errno */
} fault;

int fdatasync(int fd);
ssize_t write(int fd, const void *bytes, size_t length);
int ftruncate(int fd, off_t length);

int fdatasync(int fd)
{
    if (fault.sync_errno) {
        errno = fault.sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    if (fault.armed && fault.write_some == 0) {
        errno = fault.write_errno;
        return -1;
    }
    if (fault.armed && length > fault.write_some) {
        length = fault.write_some;
        fault.write_some = 0;
    }
    return syscall(SYS_write, fd, bytes, length);
}

int ftruncate(int fd, off_t length)
{
    if (fault.truncate_errno) {
        errno = fault.truncate_errno;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}

static void heal(void)
{
    memset(&fault, 0, sizeof fault);
}

static struct spool *open_synced(const char *path)
{
    struct spool_options options = scratch_options(path);
    options.sync = true;
    struct spool *spool = NULL;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_OK);
    return spool;
}

static poise_code try_append(struct spool *spool)
{
    poise_error err = {0};
    poise_code code = spool_append(spool, "no", 2, 1, NULL, 0, &err);
    assert_int_equal(err.code, code);
    return code;
}

static void test_full_disk_at_any_byte(void **state)
{
    struct spool *spool = open_synced(*state);
    uint64_t seq = 1;
    for (size_t some = 0; some <= 26; some++) { /* the batch of try_append has 26 bytes */
        fault.armed = some < 26;
        fault.write_some = some;
        fault.write_errno = ENOSPC;
        if (fault.armed) {
            int64_t bytes = spool_bytes(spool);
            assert_int_equal(try_append(spool), POISE_EFULL);
            assert_int_equal(spool_bytes(spool), bytes);
        }
        heal();
        scratch_append(spool, seq++, 100); /* a segment's end comes along now and then */
    }
    spool_close(spool);
    spool = open_synced(*state);
    scratch_check(spool, 1, seq, 100);
    spool_close(spool);
}

static void test_full_disk_at_a_new_segment(void **state)
{
    struct spool *spool = open_synced(*state);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        scratch_append(spool, seq, 300);
    }
    fault.armed = true;
    fault.write_errno = ENOSPC;
    assert_int_equal(spool_append(spool, (uint8_t[300]){0}, 300, 1, NULL, 0, NULL), POISE_EFULL);
    assert_int_equal(scratch_segments(*state), 1);
    heal();
    scratch_append(spool, 3, 300);
    assert_int_equal(scratch_segments(*state), 2);
    scratch_check(spool, 1, 4, 300);
    spool_close(spool);
}

/* Nothing is written any more. */
static void expect_broken(struct spool *spool)
{
    uint64_t first = spool_first_seq(spool);
    assert_int_equal(try_append(spool), POISE_EIO);
    assert_int_equal(spool_set_mark(spool, "x", 1, NULL), POISE_EIO);
    assert_int_equal(spool_set_store(spool, (const uint8_t[16]){0}, 1, NULL), POISE_EIO);
    assert_int_equal(spool_ack(spool, first, NULL), POISE_EIO);
    assert_int_equal(spool_first_seq(spool), first);
}

static void test_failed_sync_ends_it(void **state)
{
    struct spool *spool = open_synced(*state);
    scratch_append(spool, 1, 100);
    fault.sync_errno = EIO;
    assert_int_equal(try_append(spool), POISE_EIO);
    heal();
    expect_broken(spool);
    scratch_check(spool, 1, 2, 100);
    spool_close(spool);
    spool = open_synced(*state);
    scratch_check(spool, 1, 2, 100);
    scratch_append(spool, 2, 100);
    spool_close(spool);
}

/* The disk took the batch, but said no, and could not be asked to forget it. */
static void test_a_batch_that_survives_a_failed_sync(void **state)
{
    struct spool *spool = open_synced(*state);
    scratch_append(spool, 1, 100);
    fault.sync_errno = EIO;
    fault.truncate_errno = EIO;
    assert_int_equal(spool_append(spool, "batch", 5, 1, "mark", 4, NULL), POISE_EIO);
    assert_null(spool_mark(spool, &(size_t){0}));
    heal();
    expect_broken(spool); /* or it would stand there twice */
    spool_close(spool);
    spool = open_synced(*state);
    assert_int_equal(spool_next_seq(spool), 3);
    size_t length;
    assert_memory_equal(spool_mark(spool, &length), "mark", 4);
    spool_close(spool);
}

static void test_failed_sync_of_a_new_segment(void **state)
{
    struct spool *spool = open_synced(*state);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        scratch_append(spool, seq, 300);
    }
    fault.sync_errno = EIO;
    assert_int_equal(spool_append(spool, (uint8_t[300]){0}, 300, 1, NULL, 0, NULL), POISE_EIO);
    heal();
    expect_broken(spool);
    spool_close(spool);
    spool = open_synced(*state);
    scratch_check(spool, 1, 3, 300);
    spool_close(spool);
}

static void test_failed_sync_of_what_is_acknowledged(void **state)
{
    struct spool *spool = open_synced(*state);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        scratch_append(spool, seq, 300);
    }
    size_t segments = scratch_segments(*state);
    fault.sync_errno = EIO;
    assert_int_equal(spool_ack(spool, 3, NULL), POISE_EIO);
    heal();
    expect_broken(spool);
    assert_int_equal(scratch_segments(*state), segments);
    spool_close(spool);
}

/* What a killed process appended and did not sync counts now, so it must be safe. */
static void test_opening_syncs(void **state)
{
    struct spool *spool = open_synced(*state);
    scratch_append(spool, 1, 100);
    spool_close(spool);
    struct spool_options options = scratch_options(*state);
    options.sync = true;
    fault.sync_errno = EIO;
    assert_int_equal(spool_open(&options, &spool, NULL), POISE_EIO);
    heal();
    spool_close(open_synced(*state));
}

/* Half a record stays in the file: nothing may be put behind it before it is cut at the next start. */
static void test_half_a_record_that_stays(void **state)
{
    struct spool *spool = open_synced(*state);
    scratch_append(spool, 1, 100);
    fault.armed = true;
    fault.write_errno = ENOSPC;
    fault.write_some = 7;
    fault.truncate_errno = EIO;
    assert_int_equal(try_append(spool), POISE_EFULL);
    heal();
    assert_int_equal(try_append(spool), POISE_EIO);
    spool_close(spool);
    spool = open_synced(*state);
    scratch_check(spool, 1, 2, 100);
    spool_close(spool);
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
        TEST(test_full_disk_at_any_byte),
        TEST(test_full_disk_at_a_new_segment),
        TEST(test_failed_sync_ends_it),
        TEST(test_a_batch_that_survives_a_failed_sync),
        TEST(test_failed_sync_of_a_new_segment),
        TEST(test_failed_sync_of_what_is_acknowledged),
        TEST(test_opening_syncs),
        TEST(test_half_a_record_that_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
