#include "backup.h"
#include "check.h"
#include "copy.h"
#include <base/error.h>
#include <base/file.h>
#include <base/text.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poise/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is not done yet is named .NAME.part; no backup's name begins with a dot. */
static const char PART_SUFFIX[] = ".part";

struct place { /* where a copy is going to be */
    char parent[PATH_MAX], part[PATH_MAX], path[PATH_MAX];
};

static poise_code place_of(const char *parent, const char *name, struct place *place, poise_error *err)
{
    int parts[] = {snprintf(place->parent, PATH_MAX, "%s", parent),
                   snprintf(place->part, PATH_MAX, "%s/.%s%s", parent, name, PART_SUFFIX),
                   snprintf(place->path, PATH_MAX, "%s/%s", parent, name)};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i] < 0 || parts[i] >= PATH_MAX) {
            return error_set(err, POISE_EINVAL, "the path %.64s... is too long", parent);
        }
    }
    return POISE_OK;
}

static poise_code check_free(const char *path, poise_error *err)
{
    struct stat status;
    if (lstat(path, &status) == 0) {
        return error_set(err, POISE_EBUSY, "%s is there already: choose another name, or remove it", path);
    }
    return errno == ENOENT ? POISE_OK : error_errno(err, POISE_EIO, "cannot look at %s", path);
}

/* On disk it may still have the name of a whole one, which the last rename took from it: a power cut must not
 * bring that back with nothing in it. What stays the next copy removes, if it can be; else its room is lost.
 */
static void remove_part(const char *parent, const char *part)
{
    if (file_sync_dir(parent, NULL) == POISE_OK) {
        (void)store_remove(part, NULL);
    }
}

/* What was being written when a process was killed. What somebody has is in work. */
static poise_code clean(const char *directory, poise_error *err)
{
    DIR *dir = opendir(directory);
    if (!dir) {
        return error_errno(err, POISE_EIO, "cannot read the directory %s", directory);
    }
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        char path[PATH_MAX];
        size_t length = strlen(entry->d_name), suffix = sizeof PART_SUFFIX - 1;
        bool part = entry->d_name[0] == '.' && length > suffix + 1 &&
                    strcmp(entry->d_name + length - suffix, PART_SUFFIX) == 0;
        int wanted = part ? snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) : 0;
        if (part && wanted > 0 && wanted < PATH_MAX) {
            remove_part(directory, path);
        }
    }
    closedir(dir);
    return POISE_OK;
}

/* Without the name on disk it is none, and does not keep it. */
static poise_code give_name(const struct place *place, poise_error *err)
{
    if (renameat2(AT_FDCWD, place->part, AT_FDCWD, place->path, RENAME_NOREPLACE) != 0) {
        return error_errno(err, errno == EEXIST ? POISE_EBUSY : POISE_EIO, "cannot rename %s to %s",
                           place->part, place->path);
    }
    poise_code code = file_sync_dirs(place->parent, err);
    if (code != POISE_OK && rename(place->path, place->part) != 0) {
        error_wrap(err, "%s is whole, but a power cut may take it", place->path);
    }
    return code;
}

/* From here until it has its name nobody takes it for what a killed process has left. Whoever did before
 * shows when it is checked. */
static poise_code keep_part(const char *part, int *ret_fd, poise_error *err)
{
    char file[PATH_MAX];
    int length = snprintf(file, sizeof file, "%s/lock", part);
    if (length < 0 || length >= PATH_MAX) {
        return error_set(err, POISE_EINVAL, "the path %.64s... is too long", part);
    }
    *ret_fd = open(file, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0) {
        return error_errno(err, POISE_EIO, "cannot open %s", file);
    }
    return flock(*ret_fd, LOCK_SH | LOCK_NB) == 0
               ? POISE_OK
               : error_errno(err, errno == EWOULDBLOCK ? POISE_EBUSY : POISE_EIO, "cannot lock %s", file);
}

/* Checks it, and gives it its name. */
static poise_code finish(const struct place *place, const struct copied *copied, const _Atomic bool *stop,
                         struct store_found *ret_found, poise_error *err)
{
    int fd = -1;
    poise_code code = keep_part(place->part, &fd, err);
    if (code == POISE_OK) {
        code = store_check(place->part, stop, ret_found, err);
    }
    if (code == POISE_OK && (ret_found->last_lsn != copied->lsn || ret_found->entries != copied->entries)) {
        code = error_set(err, POISE_ECORRUPT,
                         "the copy %s has %" PRIu64 " entries up to record %" PRIu64 ", not %" PRIu64
                         " up to %" PRIu64,
                         place->part, ret_found->entries, ret_found->last_lsn, copied->entries, copied->lsn);
    }
    if (code == POISE_OK) {
        code = give_name(place, err);
    }
    if (fd >= 0) {
        close(fd);
    }
    return code;
}

/* Copies, checks, and gives it its name. */
static poise_code copy_to(struct store *store, const struct place *place, struct copy_options *options,
                          struct backup_result *ret_result, poise_error *err)
{
    struct copied copied;
    struct store_found found = {0};
    options->path = place->part;
    poise_code code = store_copy(store, options, &copied, err);
    if (code == POISE_OK) {
        code = finish(place, &copied, options->stop, &found, err);
    }
    if (code == POISE_OK) {
        *ret_result = (struct backup_result){
            .lsn = copied.lsn, .entries = found.entries, .bytes = found.bytes, .held_ms = copied.held_ms};
    }
    return code;
}

bool backup_name_valid(const char *name)
{
    return id_valid(name, strlen(name)) && name[0] != '.';
}

poise_code store_backup(struct store *store, const struct backup_options *options,
                        struct backup_result *ret_result, poise_error *err)
{
    struct place place;
    struct copy_options copy = {.free_bytes = options->free_bytes, .stop = options->stop};
    if (!backup_name_valid(options->name)) {
        return error_set(
            err, POISE_EINVAL,
            "'%.80s' is no name for a backup: 1 to %d of a-z A-Z 0-9 _ . -, not beginning with a dot",
            options->name, POISE_ID_MAX);
    }
    poise_code code = place_of(options->directory, options->name, &place, err);
    if (code == POISE_OK) {
        code = file_make_dirs(place.parent, err);
    }
    if (code == POISE_OK) {
        code = check_free(place.path, err);
    }
    if (code == POISE_OK) {
        code = clean(place.parent, err);
    }
    if (code == POISE_OK) {
        code = check_free(place.part, err); /* somebody else's: not to be removed below */
    }
    if (code != POISE_OK) {
        return code;
    }
    code = copy_to(store, &place, &copy, ret_result, err);
    if (code != POISE_OK) {
        remove_part(place.parent, place.part);
    }
    return code;
}

/* "a/b/" to "a" and "b". */
static poise_code split(const char *path, char parent[PATH_MAX], const char **ret_name, char copy[PATH_MAX],
                        poise_error *err)
{
    int length = snprintf(copy, PATH_MAX, "%s", path);
    while (length > 1 && length < PATH_MAX && copy[length - 1] == '/') {
        copy[--length] = '\0';
    }
    char *slash = length > 0 && length < PATH_MAX ? strrchr(copy, '/') : NULL;
    const char *name = slash ? slash + 1 : copy;
    if (length <= 0 || length >= PATH_MAX || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return error_set(err, POISE_EINVAL, "'%.64s' is no name for a new directory", path);
    }
    int wanted = slash ? snprintf(parent, PATH_MAX, "%.*s", slash == copy ? 1 : (int)(slash - copy), copy)
                       : snprintf(parent, PATH_MAX, ".");
    (void)wanted; /* shorter than what was given */
    *ret_name = name;
    return POISE_OK;
}

poise_code store_restore(const char *backup, const char *path, uint64_t incarnation,
                         struct backup_result *ret_result, poise_error *err)
{
    char parent[PATH_MAX], copied[PATH_MAX];
    const char *name = "";
    struct place place;
    struct store_found found;
    struct store *store = NULL;
    poise_code code = split(path, parent, &name, copied, err);
    if (code == POISE_OK) {
        code = place_of(parent, name, &place, err);
    }
    if (code == POISE_OK) {
        code = check_free(place.path, err);
    }
    if (code == POISE_OK) {
        code = file_make_dirs(parent, err);
    }
    if (code == POISE_OK) {
        remove_part(parent, place.part); /* of one that was killed; what cannot go shows when it is made */
        code = store_check_apart(backup, &found, err);
    }
    const struct store_options options = {.path = backup, .read_only = true, .checked = true};
    struct copy_options copy = {.incarnation = incarnation};
    if (code == POISE_OK) {
        code = store_open(&options, &store, err);
    }
    if (code == POISE_OK) {
        code = copy_to(store, &place, &copy, ret_result, err);
        if (code != POISE_OK) {
            remove_part(parent, place.part);
        }
    }
    store_close(store);
    return code;
}
