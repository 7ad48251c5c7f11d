/* What the directory, the file system and other processes may be like: each is told, says what to do, and
 * changes nothing. What needs a right that the test has not is skipped, and says so. */
#include "scratch.h"
#include <base/clock.h>
#include <base/file.h>
#include <base/hash.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LENGTH = 6000, VALUE = 40000, NOBODY = 65534 };

static void path_in(const char *dir, const char *name, char path[4096])
{
    assert_true(snprintf(path, 4096, "%s/%s", dir, name) < 4096);
}

static void make_store(const char *path, uint64_t records)
{
    struct store *store = scratch_open(path);
    for (uint64_t n = 1; n <= records; n++) {
        scratch_append(store, n, LENGTH);
    }
    store_close(store);
}

static poise_code try_open(const char *path, bool read_only, poise_error *err)
{
    struct store_options options = scratch_options(path);
    struct store *store = NULL;
    options.read_only = read_only;
    poise_code code = store_open(&options, &store, err);
    store_close(store);
    return code;
}

/* ---- no right to write ---- */

static void expect_not_writable(const char *path)
{
    poise_error err = {0};
    if (try_open(path, false, &err) != POISE_EIO || !strstr(err.text, "can write")) {
        fail_msg("%s", err.text);
    }
}

static void make_read_only(const char *path)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(path, path, NULL, MS_BIND, NULL) != 0 ||
        mount("none", path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0) {
        print_message("skipped: a test on a read-only file system needs the right to mount\n");
        skip();
    }
}

static void test_read_only_file_system(void **state)
{
    make_store(*state, 2);
    make_read_only(*state);
    expect_not_writable(*state);
    assert_int_equal(umount2(*state, MNT_DETACH), 0);
    struct store *store = scratch_open(*state);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), 2);
    store_close(store);
}

/* In a process of its own, which gives up the rights of root if it has them. */
static void test_directory_of_somebody_else(void **state)
{
    assert_int_equal(chmod(*state, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        poise_error err = {0};
        bool other = geteuid() != 0 || (setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
        poise_code code = try_open(*state, false, &err);
        _exit(other && code == POISE_EIO && strstr(err.text, "can write") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(*state, 0755), 0);
}

static void test_a_file_in_the_way(void **state)
{
    char path[4096];
    poise_error err = {0};
    path_in(*state, "file", path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(try_open(path, false, &err), POISE_EIO);
    assert_non_null(strstr(err.text, "not a directory"));
}

static void test_path_too_long(void **state)
{
    (void)state;
    char path[6000];
    poise_error err = {0};
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(try_open(path, false, &err), POISE_EINVAL);
    assert_true(strlen(err.text) > 0);
    /* The directory's name fits, those of its files do not. */
    for (size_t i = 0; i < 4093; i++) {
        path[i] = i % 100 == 0 ? '/' : 'p';
    }
    path[4093] = '\0';
    assert_int_equal(try_open(path, true, &err), POISE_EINVAL);
    assert_non_null(strstr(err.text, "too long"));
}

/* ---- files that are missing ---- */

static void test_lock_files_are_missing(void **state)
{
    char path[4096];
    make_store(*state, 3);
    path_in(*state, "lock", path);
    assert_int_equal(unlink(path), 0);
    path_in(*state, "lock.mdb", path);
    assert_int_equal(unlink(path), 0);
    struct store *store = scratch_open(*state);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), 3);
    scratch_append(store, 4, LENGTH);
    store_close(store);
}

/* As a start leaves it that ended before there was one. */
static void test_no_store_to_read(void **state)
{
    char path[4096];
    poise_error err = {0};
    make_store(*state, 1);
    path_in(*state, "data.mdb", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_open(*state, true, &err), POISE_ENOTFOUND);
    assert_non_null(strstr(err.text, "no store"));
}

static void test_emptied_data(void **state)
{
    char path[4096];
    poise_error err = {0};
    make_store(*state, 3);
    path_in(*state, "data.mdb", path);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(try_open(*state, false, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "restore a backup"));
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_size, 0);
}

/* ---- other formats ---- */

static uint64_t digest(const char *dir)
{
    char path[4096];
    struct buf bytes = {0};
    path_in(dir, "data.mdb", path);
    assert_int_equal(file_read(path, 1 << 28, &bytes, NULL), POISE_OK);
    uint64_t hash = hash64(bytes.data, bytes.length, 1);
    buf_free(&bytes);
    return hash;
}

/* As another version would have written it, with a right CRC. */
static void set_format(const char *path, uint32_t format)
{
    struct buf value = {0}, patch = {0};
    buf_put_u32(&value, format);
    buf_put(&value, "sixteen bytes id", 16);
    buf_put_u64(&value, 77);
    buf_put_u32(&patch, crc32c("store", 5) ^ crc32c(value.data, value.length));
    buf_put(&patch, value.data, value.length);
    assert_true(scratch_patch(path, "sixteen bytes id", 16, -8, patch.data, patch.length) > 0);
    buf_free(&value);
    buf_free(&patch);
}

/* What it had is as it was: an older and a newer one, to write and to read. The bytes are compared after a
 * first look, since opening writes the last meta page once more. */
static void test_other_formats_are_left_alone(void **state)
{
    static const uint32_t formats[] = {0, UINT32_MAX};
    make_store(*state, 2);
    store_close(scratch_open(*state));
    for (size_t i = 0; i < 4; i++) {
        poise_error err = {0};
        set_format(*state, formats[i / 2]);
        uint64_t before = digest(*state);
        assert_int_equal(try_open(*state, i % 2 == 1, &err), POISE_EVERSION);
        assert_non_null(strstr(err.text, "use the version that wrote it"));
        assert_true(digest(*state) == before);
    }
}

/* ---- readers ---- */

static int64_t time_us; /* in the place of lib/base/clock.c, whose object is not linked */

static int64_t test_us(void *context)
{
    (void)context;
    return time_us;
}

const struct clock clock_system = {.wall_ms = test_us, .monotonic_us = test_us};

/* The same value again and again, so that its old pages can be used again. */
static void rewrite(struct store *store, int rounds)
{
    static uint8_t value[VALUE];
    for (int i = 0; i < rounds; i++) {
        memset(value, i, sizeof value);
        assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
        assert_int_equal(store_put(store, STORE_CELLS, "k", 1, value, sizeof value), POISE_OK);
        assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){.state_lsn = 3}, NULL),
                         POISE_OK);
        scratch_tidy(store);
    }
}

static poise_code look_slowly(void *visitor, const struct journal_record *record)
{
    (void)record;
    time_us += 100000;
    rewrite(visitor, 5);
    return POISE_OK;
}

/* Somebody reads for 16 s, but a record is read at a time: he sees the store anew after a second, so the file
 * grows by what a second or two write (55 values each, merged once or twice), and not by all (800, likewise).
 */
static void test_slow_reader_holds_back_a_second(void **state)
{
    make_store(*state, 160);
    struct store *store = scratch_open(*state);
    struct store_reader *reader = NULL;
    struct store_stats before, after;
    assert_int_equal(store_stats(store, &before, NULL), POISE_OK);
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, NULL, look_slowly, store, NULL), POISE_OK);
    store_reader_close(reader);
    assert_int_equal(store_stats(store, &after, NULL), POISE_OK);
    assert_int_equal(after.readers, 0);
    assert_true(after.file_bytes < before.file_bytes + 450 * VALUE);
    store_close(store);
}

/* A process that reads and is killed leaves a reader in LMDB's table: it must hold nothing back. */
static void test_reader_of_a_dead_process(void **state)
{
    char byte = 0;
    int ends[2];
    make_store(*state, 3);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store_options options = scratch_options(*state);
        struct store *store = NULL;
        struct store_reader *reader = NULL;
        options.read_only = true;
        bool open = store_open(&options, &store, NULL) == POISE_OK &&
                    store_reader_open(store, &reader, NULL) == POISE_OK;
        byte = open ? 'y' : 'n';
        if (write(ends[1], &byte, 1) == 1) {
            pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ends[0]);
    close(ends[1]);
    poise_error err = {0};
    assert_int_equal(try_open(*state, false, &err), POISE_EBUSY); /* not beside a reader */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct store *store = scratch_open(*state);
    struct store_stats before, after;
    assert_int_equal(store_stats(store, &before, NULL), POISE_OK);
    rewrite(store, 200);
    assert_int_equal(store_stats(store, &after, NULL), POISE_OK);
    assert_int_equal(after.readers, 0);
    assert_true(after.file_bytes < before.file_bytes + 20 * VALUE);
    store_close(store);
}

/* ---- no room, without a small file system ---- */

/* In a process of its own: a limit of file size is met in the middle of a write, as a quota is. */
static void fill_up_to_a_limit(const char *path)
{
    struct rlimit limit;
    struct store *store = scratch_open(path);
    poise_error err = {0};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 1000000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint64_t n = 1;
    poise_code code;
    while ((code = scratch_try_append(store, n, 3 * LENGTH, &err)) == POISE_OK && n < 1000) {
        n++;
    }
    assert_int_equal(code, POISE_EFULL);
    assert_non_null(strstr(err.text, "limit of file size"));
    assert_true(n > 30);
    assert_int_equal(scratch_try_append(store, n, 3 * LENGTH, &err), POISE_EFULL);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, 3 * LENGTH), n - 1);
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    scratch_append(store, n, 3 * LENGTH);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, 3 * LENGTH), n);
    store_close(store);
}

static void test_limit_of_file_size(void **state)
{
    fill_up_to_a_limit(*state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read_only_file_system),
        TEST(test_directory_of_somebody_else),
        TEST(test_a_file_in_the_way),
        TEST(test_path_too_long),
        TEST(test_lock_files_are_missing),
        TEST(test_no_store_to_read),
        TEST(test_emptied_data),
        TEST(test_other_formats_are_left_alone),
        TEST(test_reader_of_a_dead_process),
        TEST(test_slow_reader_holds_back_a_second),
        TEST(test_limit_of_file_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
