/* Backups while others write, and stores from backups. */
#include "scratch.h"
#include <base/clock.h>
#include <limits.h>
#include <poise/types.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/backup.h>
#include <store/check.h>
#include <store/copy.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BODY = 3000, ENTRIES = 300, BACKUPS = 6, INCARNATION = 78 };

struct paths {
    char store[PATH_MAX], backups[PATH_MAX], restored[PATH_MAX];
};

static struct paths paths_in(const char *scratch)
{
    struct paths paths;
    snprintf(paths.store, PATH_MAX, "%s/store", scratch);
    snprintf(paths.backups, PATH_MAX, "%s/to/backups", scratch);
    snprintf(paths.restored, PATH_MAX, "%s/restored/store", scratch);
    return paths;
}

static struct store *open_small(const char *path) /* with a map that has to grow */
{
    struct store *store = NULL;
    poise_error err = {0};
    struct store_options options = scratch_options(path);
    options.map_bytes = 1 << 20;
    if (store_open(&options, &store, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

/* Checkpoint n says n everywhere, and that it is of record n. */
static void write_checkpoint(struct store *store, uint64_t n)
{
    struct store_mark mark = {.state_lsn = n, .generation = 1};
    poise_error err = {0};
    assert_int_equal(store_checkpoint_begin(store, &err), POISE_OK);
    for (int i = 0; i < ENTRIES; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "%08d", i);
        store_put(store, i % 2 ? STORE_CELLS : STORE_REVISIONS, key, (size_t)length, &n, sizeof n);
    }
    store_put(store, STORE_HEAD, "h", 1, &n, sizeof n);
    if (store_checkpoint_commit(store, &mark, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

struct expected {
    uint64_t n, entries;
};

static poise_code expect_n(void *visitor, struct cursor key, struct cursor value)
{
    struct expected *expected = visitor;
    (void)key;
    assert_int_equal(cursor_u64(&value), expected->n);
    expected->entries++;
    return POISE_OK;
}

/* A copy that is as of one commit: every table says what its checkpoint said, and no record is missing. */
static uint64_t check_copy(const char *path, uint64_t lsn)
{
    struct store *store = NULL;
    poise_error err = {0};
    struct store_options options = scratch_options(path);
    options.read_only = true;
    if (store_open(&options, &store, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(store_last_lsn(store), lsn);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, BODY), lsn);
    struct expected expected = {.n = store_mark(store).state_lsn};
    assert_true(expected.n <= lsn && lsn < expected.n + 40);
    assert_int_equal(store_walk(store, STORE_CELLS, expect_n, &expected, &err), POISE_OK);
    assert_int_equal(store_walk(store, STORE_REVISIONS, expect_n, &expected, &err), POISE_OK);
    assert_int_equal(store_walk(store, STORE_HEAD, expect_n, &expected, &err), POISE_OK);
    assert_int_equal(expected.entries, ENTRIES + 1);
    uint64_t incarnation = store_incarnation(store);
    store_close(store);
    return incarnation;
}

static poise_code back_up(struct store *store, const struct paths *paths, const char *name,
                          struct backup_result *ret_result, poise_error *err)
{
    const struct backup_options options = {.directory = paths->backups, .name = name, .free_bytes = 1};
    return store_backup(store, &options, ret_result, err);
}

static size_t files_in(const char *path) /* with "." and ".." */
{
    struct stat status;
    return stat(path, &status) == 0 ? (size_t)status.st_nlink : 0; /* directories in it, at least */
}

/* ---- while it is written to ---- */

struct writing {
    struct store *store;
    _Atomic uint64_t lsn;
    atomic_bool stop;
};

static void *write_on(void *context)
{
    struct writing *writing = context;
    for (uint64_t n = store_last_lsn(writing->store) + 1; !writing->stop; n++) {
        poise_error err = {0};
        poise_code code;
        while ((code = scratch_try_append(writing->store, n, BODY, &err)) == POISE_EFULL) {
            ; /* the map cannot grow while it is looked at */
        }
        if (code != POISE_OK) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
        if (n % 30 == 0) {
            write_checkpoint(writing->store, n);
        }
        writing->lsn = n;
    }
    return NULL;
}

static void test_beside_a_writer(void **state)
{
    struct paths paths = paths_in(*state);
    struct writing writing = {.store = open_small(paths.store)};
    uint64_t last = 0;
    pthread_t thread;
    scratch_append(writing.store, 1, BODY);
    write_checkpoint(writing.store, 1);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writing), 0);
    for (int i = 0; i < BACKUPS; i++) {
        struct backup_result result;
        char name[16], path[PATH_MAX + 16];
        poise_error err = {0};
        snprintf(name, sizeof name, "b%d", i);
        snprintf(path, sizeof path, "%s/%s", paths.backups, name);
        while (writing.lsn < 40U * (unsigned)(i + 1)) {
            sched_yield();
        }
        uint64_t before = writing.lsn;
        if (back_up(writing.store, &paths, name, &result, &err) != POISE_OK) {
            fail_msg("%s", err.text);
        }
        assert_true(result.lsn >= before && result.lsn >= last);
        last = result.lsn;
        assert_int_equal(check_copy(path, result.lsn), 77);
    }
    writing.stop = true;
    pthread_join(thread, NULL);
    store_close(writing.store);
}

/* ---- names, rooms and ends ---- */

static void test_names(void **state)
{
    static const char *const wrong[] = {"",
                                        ".",
                                        "..",
                                        ".x",
                                        "a/b",
                                        "../x",
                                        "/tmp/x",
                                        "a b",
                                        "a\nb",
                                        "\xff",
                                        "12345678901234567890123456789012345678901234567890123456789012345"};
    struct paths paths = paths_in(*state);
    struct backup_result result;
    poise_error err = {0};
    struct store *store = scratch_open(paths.store);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(back_up(store, &paths, wrong[i], &result, &err), POISE_EINVAL);
    }
    assert_int_equal(files_in(paths.backups), 0);
    assert_int_equal(back_up(store, &paths, "a..b-1_", &result, &err), POISE_OK);
    assert_int_equal(result.lsn, 0);
    assert_int_equal(back_up(store, &paths, "a..b-1_", &result, &err), POISE_EBUSY);
    assert_non_null(strstr(err.text, "choose another name"));
    char link_path[PATH_MAX + 8];
    snprintf(link_path, sizeof link_path, "%s/to/backups/l", (const char *)*state);
    assert_int_equal(symlink("/nonexistent", link_path), 0);
    assert_int_equal(back_up(store, &paths, "l", &result, &err), POISE_EBUSY);
    store_close(store);
}

static void test_what_was_left_is_removed(void **state)
{
    struct paths paths = paths_in(*state);
    struct backup_result result;
    struct stat status;
    poise_error err = {0};
    char part[PATH_MAX + 16];
    struct store *store = scratch_open(paths.store);
    assert_int_equal(back_up(store, &paths, "one", &result, &err), POISE_OK);
    snprintf(part, sizeof part, "%s/.two.part", paths.backups);
    store_close(scratch_open(part)); /* as a process leaves it that is killed */
    assert_int_equal(back_up(store, &paths, "three", &result, &err), POISE_OK);
    assert_int_not_equal(stat(part, &status), 0);
    struct store *others = scratch_open(part); /* at work */
    assert_int_equal(back_up(store, &paths, "four", &result, &err), POISE_OK);
    assert_int_equal(stat(part, &status), 0);
    assert_int_equal(back_up(store, &paths, "two", &result, &err), POISE_EBUSY);
    assert_int_equal(stat(part, &status), 0);
    store_close(others);
    assert_int_equal(back_up(store, &paths, "two", &result, &err), POISE_OK);
    assert_int_not_equal(stat(part, &status), 0);
    store_close(store);
}

static void test_no_room_and_stop(void **state)
{
    struct paths paths = paths_in(*state);
    struct backup_result result;
    poise_error err = {0};
    _Atomic bool stop = true;
    struct store *store = scratch_open(paths.store);
    for (uint64_t n = 1; n <= 50; n++) {
        scratch_append(store, n, BODY);
    }
    struct backup_options options = {.directory = paths.backups, .name = "full", .free_bytes = INT64_MAX / 2};
    assert_int_equal(store_backup(store, &options, &result, &err), POISE_EFULL);
    assert_int_equal(files_in(paths.backups), 2); /* nothing is left */
    options =
        (struct backup_options){.directory = paths.backups, .name = "stop", .free_bytes = 1, .stop = &stop};
    assert_int_equal(store_backup(store, &options, &result, &err), POISE_ECLOSED);
    assert_int_equal(files_in(paths.backups), 2);
    scratch_append(store, 51, BODY); /* the store does not mind */
    store_close(store);
}

/* What the store's disk gives back is looked at before it is a backup. */
static void test_of_damage(void **state)
{
    struct paths paths = paths_in(*state);
    struct backup_result result;
    poise_error err = {0};
    struct store *store = scratch_open(paths.store);
    for (uint64_t n = 1; n <= 20; n++) {
        scratch_append(store, n, BODY);
    }
    assert_int_equal(back_up(store, &paths, "sound", &result, &err), POISE_OK);
    uint8_t *body = scratch_body(7, BODY);
    assert_true(scratch_flip(paths.store, body + 500, 64, 5) > 0);
    assert_int_equal(back_up(store, &paths, "damaged", &result, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "record 7"));
    assert_int_equal(files_in(paths.backups), 3); /* nothing of it is left */
    free(body);
    store_close(store);
}

/* What keeps pages from being used again is the copying of state, which is much here. */
static void test_how_long_it_held(void **state)
{
    struct paths paths = paths_in(*state);
    struct backup_result result;
    poise_error err = {0};
    uint8_t value[8000] = {1};
    struct store *store = scratch_open(paths.store);
    assert_int_equal(store_checkpoint_begin(store, &err), POISE_OK);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "%08d", i);
        store_put(store, STORE_CELLS, key, (size_t)length, value, sizeof value);
    }
    assert_int_equal(store_checkpoint_commit(store, &(struct store_mark){.generation = 1}, &err), POISE_OK);
    int64_t began_us = clock_monotonic_us(&clock_system);
    assert_int_equal(back_up(store, &paths, "one", &result, &err), POISE_OK);
    int64_t ms = (clock_monotonic_us(&clock_system) - began_us) / 1000;
    assert_true(result.bytes > 16000000 && result.held_ms > 0 && result.held_ms <= ms);
    print_message("%d of %d ms\n", (int)result.held_ms, (int)ms);
    store_close(store);
}

/* ---- restoring ---- */

static void test_restore(void **state)
{
    struct paths paths = paths_in(*state);
    struct backup_result result;
    poise_error err = {0};
    char backup[PATH_MAX + 8];
    uint8_t id[16];
    snprintf(backup, sizeof backup, "%s/one", paths.backups);
    struct store *store = scratch_open(paths.store);
    for (uint64_t n = 1; n <= 100; n++) {
        scratch_append(store, n, BODY);
    }
    write_checkpoint(store, 90);
    assert_int_equal(back_up(store, &paths, "one", &result, &err), POISE_OK);
    store_close(store);

    struct store_options options = scratch_options(backup);
    assert_int_equal(store_open(&options, &store, &err), POISE_EUNSUPPORTED); /* nobody writes to it */
    assert_non_null(strstr(err.text, "poise restore"));
    assert_int_equal(store_restore(backup, paths.store, INCARNATION, &result, &err), POISE_EBUSY);
    if (store_restore(backup, paths.restored, INCARNATION, &result, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(result.lsn, 100);
    assert_int_equal(check_copy(paths.restored, 100), INCARNATION);
    store = scratch_open(paths.restored);
    store_id(store, id);
    assert_memory_equal(id, "sixteen bytes id", 16);
    scratch_append(store, 101, BODY); /* it goes on */
    assert_int_equal(back_up(store, &paths, "again", &result, &err), POISE_OK);
    store_close(store);
    assert_int_equal(check_copy(backup, 100), 77);
    /* a store that nobody has is as good as a backup; a name with slashes behind it too */
    char third[PATH_MAX + 8];
    snprintf(third, sizeof third, "%s3//", paths.restored);
    assert_int_equal(store_restore(paths.restored, third, INCARNATION + 1, &result, &err), POISE_OK);
    assert_int_equal(check_copy(third, 101), INCARNATION + 1);
}

static void test_restore_of_damage(void **state)
{
    struct paths paths = paths_in(*state);
    struct backup_result result;
    struct stat status;
    poise_error err = {0};
    char backup[PATH_MAX + 8];
    snprintf(backup, sizeof backup, "%s/one", paths.backups);
    struct store *store = scratch_open(paths.store);
    for (uint64_t n = 1; n <= 20; n++) {
        scratch_append(store, n, BODY);
    }
    assert_int_equal(store_restore(paths.store, paths.restored, INCARNATION, &result, &err), POISE_EBUSY);
    assert_int_equal(back_up(store, &paths, "one", &result, &err), POISE_OK);
    store_close(store);
    uint8_t *body = scratch_body(7, BODY);
    assert_true(scratch_flip(backup, body + 500, 64, 5) > 0);
    free(body);
    assert_int_equal(store_restore(backup, paths.restored, INCARNATION, &result, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "record 7"));
    assert_int_not_equal(stat(paths.restored, &status), 0);
    assert_int_equal(store_restore("/nonexistent", paths.restored, INCARNATION, &result, &err),
                     POISE_ENOTFOUND);
    assert_int_equal(store_restore(backup, "..", INCARNATION, &result, &err), POISE_EINVAL);
    assert_int_equal(store_restore(backup, "", INCARNATION, &result, &err), POISE_EINVAL);
}

/* ---- another that looks for what a killed one has left ---- */

static poise_code removed = POISE_OK; /* what it was told */

/* Instead of the C library's, for that moment. */
int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    removed = store_remove(from, NULL);
    return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
}

static void test_nobody_takes_it_for_a_rest(void **state)
{
    struct paths paths = paths_in(*state);
    struct backup_result result;
    struct store_found found;
    poise_error err = {0};
    char backup[PATH_MAX + 8];
    snprintf(backup, sizeof backup, "%s/one", paths.backups);
    struct store *store = scratch_open(paths.store);
    scratch_append(store, 1, BODY);
    removed = POISE_OK;
    assert_int_equal(back_up(store, &paths, "one", &result, &err), POISE_OK);
    assert_int_equal(removed, POISE_EBUSY);
    store_close(store);
    assert_int_equal(store_check(backup, NULL, &found, &err), POISE_OK);
    removed = POISE_OK;
    assert_int_equal(store_restore(backup, paths.restored, INCARNATION, &result, &err), POISE_OK);
    assert_int_equal(removed, POISE_EBUSY);
    assert_int_equal(store_check(paths.restored, NULL, &found, &err), POISE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_beside_a_writer, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_names, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_what_was_left_is_removed, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_no_room_and_stop, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_of_damage, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_how_long_it_held, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_restore, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_restore_of_damage, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_nobody_takes_it_for_a_rest, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
