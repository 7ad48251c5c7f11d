/* Steps that make copies of the store: two backups, and a store that is restored from one. Before another
 * takes the place of one, that gets another name, and the directory is synced: it cannot come back. */
#include "lost_store.h"
#include <base/file.h>
#include <stdio.h>
#include <store/backup.h>
#include <store/check.h>
#include <store/copy.h>
#include <sys/stat.h>

enum { BACKUPS = 2, COPIES = BACKUPS + 1, RESTORED = BACKUPS };

static void parent_of(const char *directory, unsigned copy, char parent[LOST_PATH])
{
    snprintf(parent, LOST_PATH, "%.250s/%s", directory, copy == RESTORED ? "srv/restored" : "mnt/backups");
}

static void name_of_copy(unsigned copy, char name[8])
{
    snprintf(name, 8, "copy%u", copy);
}

static bool find(const char *directory, unsigned copy, char path[LOST_PATH])
{
    char parent[LOST_PATH], name[8];
    struct stat status;
    parent_of(directory, copy, parent);
    name_of_copy(copy, name);
    snprintf(path, LOST_PATH, "%.300s/%s", parent, name);
    return stat(path, &status) == 0;
}

/* Opened as who wants it does, a restored store to go on with it. */
static uint64_t digest_of_copy(const char *path, bool is_backup)
{
    struct store *store = NULL;
    struct store_options options = lost_options(path);
    struct store_found found;
    poise_error err = {0};
    if (store_check(path, NULL, &found, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(found.backup, is_backup);
    options.read_only = options.checked = is_backup;
    if (store_open(&options, &store, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(store_incarnation(store), is_backup ? INCARNATION : INCARNATION + 1);
    uint64_t digest = digest_of(store);
    store_close(store);
    return digest;
}

/* ---- steps ---- */

/* That the copy has this name now, and not its own, is on disk before any of it goes. */
static void remove_old(const char *parent, const char *old)
{
    poise_error err = {0};
    assert_int_equal(file_sync_dir(parent, &err), POISE_OK);
    assert_int_equal(store_remove(old, &err), POISE_OK);
}

static void make_room(struct work *work, unsigned copy)
{
    char path[LOST_PATH], parent[LOST_PATH], old[LOST_PATH];
    struct stat status;
    parent_of(work->directory, copy, parent);
    snprintf(old, LOST_PATH, "%.300s/old", parent);
    if (stat(parent, &status) != 0) {
        return;
    }
    remove_old(parent, old); /* of a life that was killed meanwhile */
    if (find(work->directory, copy, path)) {
        recorder_mark(MARK_REMOVES, copy, 0);
        assert_int_equal(rename(path, old), 0);
        remove_old(parent, old);
    }
}

static poise_code try_backup(struct work *work, unsigned copy, uint64_t *ret_lsn, poise_error *err)
{
    char parent[LOST_PATH], name[8];
    struct backup_result result = {0};
    const struct backup_options options = {.directory = parent, .name = name, .free_bytes = 4096};
    parent_of(work->directory, copy, parent);
    name_of_copy(copy, name);
    poise_code code = store_backup(work->store, &options, &result, err);
    *ret_lsn = result.lsn;
    return code;
}

static void back_up_but(struct work *work, uint64_t fails)
{
    unsigned copy = (unsigned)draw(work, BACKUPS);
    uint64_t lsn = 0;
    poise_error err = {0};
    make_room(work, copy);
    recorder_mark(MARK_COPIES, copy, digest_of(work->store));
    recorder_fail_sync(fails);
    poise_code code = try_backup(work, copy, &lsn, &err);
    recorder_fail_sync(0);
    if (code == POISE_OK) {
        assert_int_equal(lsn, store_last_lsn(work->store));
        recorder_mark(MARK_COPIED, copy, 0);
    } else if (code != POISE_EFULL && (fails == 0 || code != POISE_EIO)) {
        fail_msg("%s", err.text);
    }
}

void back_up(struct work *work)
{
    back_up_but(work, 0);
}

/* The store does not mind. */
void back_up_without_sync(struct work *work)
{
    back_up_but(work, 1 + draw(work, 12));
}

void restore(struct work *work)
{
    char backup[LOST_PATH], path[LOST_PATH];
    struct backup_result result;
    poise_error err = {0};
    unsigned from = (unsigned)draw(work, BACKUPS);
    if (!find(work->directory, from, backup)) {
        return;
    }
    make_room(work, RESTORED);
    find(work->directory, RESTORED, path);
    recorder_mark(MARK_COPIES, RESTORED, digest_of_copy(backup, true));
    if (store_restore(backup, path, INCARNATION + 1, &result, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    recorder_mark(MARK_COPIED, RESTORED, 0);
}

/* ---- after the power cut ---- */

static void check_copy(const char *directory, unsigned copy, const struct lost_marks *marks)
{
    char path[LOST_PATH];
    uint32_t last = MARK_REMOVES;
    uint64_t digest = 0;
    for (size_t i = 0; i < marks->until; i++) {
        const struct lost_mark *mark = &marks->marks[i];
        if (mark->mark >= MARK_COPIES && mark->a == copy) {
            last = mark->mark;
            digest = last == MARK_COPIES ? mark->b : digest;
        }
    }
    bool is_there = find(directory, copy, path);
    if (last == MARK_COPIED && !is_there) {
        fail_msg("copy %u is gone", copy);
    }
    if (is_there) {
        assert_true(digest_of_copy(path, copy != RESTORED) == digest);
    }
}

void check_copies(const char *directory, const struct lost_marks *marks)
{
    for (unsigned copy = 0; copy < COPIES; copy++) {
        check_copy(directory, copy, marks);
    }
}
