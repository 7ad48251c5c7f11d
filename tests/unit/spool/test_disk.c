/* A disk that is full, with room left below max_bytes: this program's own calls that take room stand before
 * those of the C library, and count what the directory holds in pages. */
#include "scratch.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    LENGTH = 1000,
    ROWS = 10,
    SENT = 256,
    PAGE = 4096,
    DISK = 1 << 20,
    ALL = 1 << 24,
    SEGMENT = 128 << 10
};

static struct {
    const char *path; /* NULL: there is none, and all has room */
    int64_t bytes;
} disk;

static int64_t pages(int64_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static int64_t room(void)
{
    int64_t used = 0;
    DIR *dir = opendir(disk.path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat file;
        if (fstatat(dirfd(dir), entry->d_name, &file, 0) == 0 && S_ISREG(file.st_mode)) {
            used += pages(file.st_size);
        }
    }
    closedir(dir);
    return disk.bytes - used;
}

/* How many bytes the file may have. */
static int64_t most(int fd, int64_t *ret_size)
{
    struct stat file;
    assert_int_equal(fstat(fd, &file), 0);
    *ret_size = file.st_size;
    return pages(file.st_size) + room();
}

ssize_t write(int fd, const void *bytes, size_t length);
int posix_fallocate(int fd, off_t offset, off_t length);

ssize_t write(int fd, const void *bytes, size_t length)
{
    if (disk.path && fd > STDERR_FILENO) {
        int64_t size, end = most(fd, &size);
        if (end <= size) {
            errno = ENOSPC;
            return -1;
        }
        length = (int64_t)length < end - size ? length : (size_t)(end - size);
    }
    return syscall(SYS_write, fd, bytes, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    int64_t size, end = most(fd, &size);
    bool fits = offset + length <= end && (offset + length <= size || ftruncate(fd, offset + length) == 0);
    return fits ? 0 : ENOSPC;
}

static void describe(void *context, const void *body, size_t length, struct spool_loss *loss)
{
    (void)context;
    (void)body;
    (void)length;
    loss->rows = ROWS;
}

static struct spool *open_on(const char *path)
{
    const struct spool_options options = {.path = path,
                                          .max_bytes = ALL,
                                          .segment_bytes = SEGMENT,
                                          .sent_max = SENT,
                                          .describe = describe,
                                          .new_epoch = EPOCH};
    struct spool *spool = NULL;
    poise_error err;
    if (spool_open(&options, &spool, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return spool;
}

static poise_code append(struct spool *spool, size_t length, poise_error *err)
{
    static const uint8_t body[LENGTH];
    uint64_t seq = spool_next_seq(spool);
    return spool_append(spool, body, length, scratch_hash(seq), &seq, sizeof seq, err);
}

/* With a mark of so many bytes. */
static void lose_one(struct spool *spool, size_t length)
{
    poise_error err;
    uint64_t seq = spool_next_seq(spool);
    uint8_t mark[SPOOL_MARK_MAX] = {0};
    memcpy(mark, &seq, sizeof seq);
    const struct spool_loss loss = {.rows = ROWS, .reason = SPOOL_DROPPED_NEWEST, .hash = scratch_hash(seq)};
    if (spool_append_loss(spool, &loss, mark, length, &err) != POISE_OK) {
        fail_msg("%d: %s", (int)seq, err.text);
    }
}

/* Batches and losses are all the numbers, and losses have all their rows. */
static uint64_t check(struct spool *spool)
{
    uint64_t batches = 0, next = spool_next_seq(spool);
    for (uint64_t seq = spool_first_seq(spool); seq < next;) {
        struct spool_loss loss;
        assert_int_equal(spool_lost(spool, seq, &loss, NULL), POISE_OK);
        if (loss.last > 0) {
            assert_int_equal(loss.rows, ROWS * (loss.last - loss.first + 1));
        }
        batches += loss.last == 0;
        seq = loss.last == 0 ? seq + 1 : loss.last + 1;
    }
    return batches;
}

static void check_again(struct spool *spool, const char *path)
{
    uint64_t next = spool_next_seq(spool), batches = check(spool), mark = 0;
    spool_close(spool);
    spool = open_on(path);
    assert_int_equal(spool_next_seq(spool), next);
    assert_int_equal(check(spool), batches);
    size_t length;
    memcpy(&mark, spool_mark(spool, &length), sizeof mark);
    assert_int_equal(mark, next - 1);
    spool_close(spool);
}

static void test_oldest_goes(void **state)
{
    struct spool *spool = open_on(*state);
    for (int i = 0; i < 6000; i++) {
        poise_error err;
        poise_code code;
        size_t length = i % 2 ? LENGTH : 1; /* so that a page is not left */
        while ((code = append(spool, length, &err)) == POISE_EFULL &&
               spool_drop_batches(spool, &err) == POISE_OK) {
        }
        if (code != POISE_OK) {
            fail_msg("%d: %s", i, err.text);
        }
    }
    assert_in_range(check(spool), 800, 2000);
    check_again(spool, *state);
}

static void test_newest_goes(void **state)
{
    struct spool *spool = open_on(*state);
    while (append(spool, LENGTH, NULL) == POISE_OK || append(spool, 1, NULL) == POISE_OK) {
    }
    uint64_t batches = spool_next_seq(spool) - 1;
    for (int i = 0; i < 2000; i++) {
        lose_one(spool, i % 2 ? SPOOL_MARK_MAX : sizeof(uint64_t));
    }
    assert_int_equal(check(spool), batches);
    check_again(spool, *state);
}

/* Losses of which each is wanted alone, with small batches in between where they fit. */
static void test_newest_goes_from_early_on(void **state)
{
    struct spool *spool = open_on(*state);
    disk.bytes = DISK / 8;
    for (int i = 0; i < 3000; i++) {
        if (append(spool, i % 3 ? LENGTH : 10, NULL) != POISE_OK) {
            lose_one(spool, 8);
        }
    }
    check_again(spool, *state);
}

/* What is kept for losses is taken again when there is room. */
static void test_room_comes_back(void **state)
{
    struct spool *spool = open_on(*state);
    while (append(spool, LENGTH, NULL) == POISE_OK) {
    }
    for (int i = 0; i < 500; i++) {
        lose_one(spool, 8);
    }
    scratch_ack(spool, spool_next_seq(spool) - 1);
    while (append(spool, LENGTH, NULL) == POISE_OK) {
    }
    poise_code code = spool_drop_batches(spool, NULL);
    assert_int_equal(code, POISE_OK);
    while (code == POISE_OK) {
        code = spool_drop_batches(spool, NULL);
    }
    assert_int_equal(code, POISE_ENOTFOUND);
    for (int i = 0; i < 500; i++) {
        lose_one(spool, 8);
    }
    check_again(spool, *state);
}

static int make_disk(void **state)
{
    int rc = scratch_make(state);
    disk.path = *state;
    disk.bytes = DISK;
    return rc;
}

static int remove_disk(void **state)
{
    disk.path = NULL;
    return scratch_remove(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_disk, remove_disk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_oldest_goes),
        TEST(test_newest_goes),
        TEST(test_newest_goes_from_early_on),
        TEST(test_room_comes_back),
    };
    if (access("/dev/shm", W_OK) == 0) { /* each segment that is written anew is synced */
        setenv("TMPDIR", "/dev/shm", 0);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
