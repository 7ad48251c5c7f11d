/* Backups of the store of a life, which lie in its directory, and stores made of them. Each try has a name of
 * its own. */
#include "store_life.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <store/backup.h>
#include <store/check.h>
#include <unit/store/scratch.h>

static void path_of(const struct life *life, const char *folder, const char *name, char ret_path[PATH_MAX])
{
    int length = snprintf(ret_path, PATH_MAX, "%s/%s%s", life->path, folder, name);
    assert_true(length > 0 && length < PATH_MAX);
}

poise_code step_back_up(struct life *life, poise_error *err)
{
    char directory[PATH_MAX];
    struct backup_result result = {0};
    path_of(life, "backups", "", directory);
    snprintf(life->backup, sizeof life->backup, "/b%u", ++life->tries);
    const struct backup_options options = {.directory = directory, .name = life->backup + 1, .free_bytes = 1};
    poise_code code = store_backup(life->store, &options, &result, err);
    if (code == POISE_OK) {
        assert_int_equal(result.lsn, life->records);
        life->backup_records = result.lsn;
    }
    return code;
}

poise_code step_verify(struct life *life, poise_error *err)
{
    char path[PATH_MAX];
    struct store_found found = {0};
    path_of(life, "backups", life->backup, path);
    poise_code code = store_check(path, NULL, &found, err);
    if (code == POISE_OK) {
        assert_int_equal(found.last_lsn, life->backup_records);
        assert_true(found.backup);
    }
    return code;
}

poise_code step_restore(struct life *life, poise_error *err)
{
    char path[PATH_MAX], to[PATH_MAX];
    struct backup_result result = {0};
    path_of(life, "backups", life->backup, path);
    snprintf(life->restored, sizeof life->restored, "/r%u", ++life->tries);
    path_of(life, "restored", life->restored, to);
    poise_code code = store_restore(path, to, 78, &result, err);
    if (code == POISE_OK) {
        assert_int_equal(result.lsn, life->backup_records);
    }
    return code;
}

/* Those that begin with a dot are not done. */
static void count_names(const struct life *life, const char *folder, size_t *names, size_t *parts)
{
    char path[PATH_MAX];
    path_of(life, folder, "", path);
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        bool is_self = entry->d_name[0] == '.' && (entry->d_name[1] == '\0' || entry->d_name[1] == '.');
        *names += entry->d_name[0] != '.';
        *parts += entry->d_name[0] == '.' && !is_self;
    }
    if (dir) {
        closedir(dir);
    }
}

void backups_check(const struct life *life, life_step *what, bool failed)
{
    size_t names = 0, parts = 0;
    count_names(life, what == step_back_up ? "backups" : "restored", &names, &parts);
    assert_int_equal(names, failed ? 0 : 1);
    assert_int_equal(parts, 0);
}

bool restored_path(const struct life *life, char ret_path[PATH_MAX])
{
    path_of(life, "restored", life->restored, ret_path);
    return life->restored[0] != '\0';
}
