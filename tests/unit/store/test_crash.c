/* Other processes, and the death of one. Each forks before it opens a store: LMDB must not be carried across.
 */
#include "scratch.h"
#include <base/file.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LENGTH = 6000 };

/* Appends for ever and says each number that was acknowledged. */
static _Noreturn void append_until_killed(const char *path, int out)
{
    struct store_options options = scratch_options(path);
    struct store *store = NULL;
    if (store_open(&options, &store, NULL) != POISE_OK) {
        _exit(1);
    }
    for (uint64_t n = store_last_lsn(store) + 1;; n++) {
        if (scratch_try_append(store, n, LENGTH, NULL) != POISE_OK || write(out, &n, sizeof n) != sizeof n) {
            _exit(2);
        }
    }
}

static uint64_t kill_after(const char *path, unsigned wanted)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        append_until_killed(path, ends[1]);
    }
    close(ends[1]);
    uint64_t acknowledged = 0, n;
    while (read(ends[0], &n, sizeof n) == sizeof n) {
        acknowledged = n;
        if (wanted > 0 && --wanted == 0) {
            kill(child, SIGKILL);
        }
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return acknowledged;
}

static void test_kill_9_loses_nothing_acknowledged(void **state)
{
    for (unsigned round = 0; round < 5; round++) {
        uint64_t acknowledged = kill_after(*state, 20 + 7 * round);
        struct store *store = scratch_open(*state);
        uint64_t last = store_last_lsn(store);
        assert_true(last == acknowledged || last == acknowledged + 1);
        assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), last);
        store_close(store);
    }
}

static void test_second_process_is_told(void **state)
{
    int go[2], done[2];
    char byte = 0;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *store = scratch_open(*state);
        ssize_t ok = write(done[1], &byte, 1);
        ok += read(go[0], &byte, 1);
        store_close(store);
        _exit(ok == 2 ? 0 : 1);
    }
    assert_int_equal(read(done[0], &byte, 1), 1);
    struct store_options options = scratch_options(*state);
    struct store *store = NULL;
    poise_error err = {0};
    assert_int_equal(store_open(&options, &store, &err), POISE_EBUSY);
    assert_non_null(strstr(err.text, "fuser"));
    assert_int_equal(write(go[1], &byte, 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(scratch_open(*state));
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(done[i]);
    }
}

static void test_twice_in_one_process(void **state)
{
    struct store *store = scratch_open(*state), *second = NULL;
    struct store_options options = scratch_options(*state);
    assert_int_equal(store_open(&options, &second, NULL), POISE_EBUSY);
    scratch_append(store, 1, 10); /* the first has lost nothing by it */
    store_close(store);
}

static poise_code pass(void *visitor, const struct journal_record *record)
{
    (void)visitor;
    scratch_check(record, LENGTH);
    return POISE_OK;
}

/* A file cut short is damage that is told, not a bus error. */
static void test_cut_file(void **state)
{
    char path[4096];
    struct store *store = scratch_open(*state);
    for (uint64_t n = 1; n <= 50; n++) {
        scratch_append(store, n, LENGTH);
    }
    store_close(store);
    snprintf(path, sizeof path, "%s/data.mdb", (const char *)*state);
    assert_int_equal(truncate(path, 120000), 0);
    struct store_options options = scratch_options(*state);
    options.read_only = true;
    assert_int_equal(store_open(&options, &store, NULL), POISE_ECORRUPT);
    store = scratch_open(*state);
    struct store_reader *reader = NULL;
    poise_error err = {0};
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, NULL, pass, NULL, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "journal record"));
    store_reader_close(reader);
    store_close(store);
}

/* What a disk does that cannot be read: below a map that is a signal. Here the file is shorter for a while.
 */
static void test_failed_read_of_the_map(void **state)
{
    char path[4096];
    struct buf whole = {0};
    struct store *store = scratch_open(*state);
    for (uint64_t n = 1; n <= 20; n++) {
        scratch_append(store, n, LENGTH);
    }
    store_close(store);
    snprintf(path, sizeof path, "%s/data.mdb", (const char *)*state);
    assert_int_equal(file_read(path, 1 << 28, &whole, NULL), POISE_OK);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL);
        store = scratch_open(*state);
        if (truncate(path, 2 * 4096) == 0) { /* all but the meta pages */
            scratch_read(store, 1, UINT64_MAX, LENGTH);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    int fd = open(path, O_WRONLY);
    assert_int_equal(file_write_at(fd, whole.data, whole.length, 0, NULL), POISE_OK);
    close(fd);
    buf_free(&whole);
    store = scratch_open(*state);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, LENGTH), 20);
    scratch_append(store, 21, LENGTH);
    store_close(store);
}

static void test_not_a_store(void **state)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/data.mdb", (const char *)*state);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(write(fd, "some other file ", 16), 16);
    }
    close(fd);
    struct store_options options = scratch_options(*state);
    struct store *store = NULL;
    assert_int_equal(store_open(&options, &store, NULL), POISE_ECORRUPT);
    assert_null(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kill_9_loses_nothing_acknowledged),
        TEST(test_second_process_is_told),
        TEST(test_twice_in_one_process),
        TEST(test_cut_file),
        TEST(test_failed_read_of_the_map),
        TEST(test_not_a_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
