/* Files, with every failure named. Besides what is said: ENOTFOUND for what is not there, EFULL for a full
 * disk, EIO otherwise. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <base/buf.h>
#include <poise/error.h>
#include <stdbool.h>

/* Appends the whole file to out; ELIMIT beyond max bytes, ENOTFOUND if absent, EIO otherwise. */
poise_code file_read(const char *path, size_t max, struct buf *out, poise_error *err);
/* Writes a new file beside it (mode 0600), syncs, renames, syncs the directory: the old or the new, never
 * half. */
poise_code file_replace(const char *path, const void *bytes, size_t length, poise_error *err);
poise_code file_sync_dir(const char *path, poise_error *err);
/* And those above it on its file system, as far as we may read them: after it the directory's own name is on
 * disk, whoever made it and died before he synced it. */
poise_code file_sync_dirs(const char *path, poise_error *err);
/* Makes a directory and its parents, mode 0750; fine if it is there. */
poise_code file_make_dirs(const char *path, poise_error *err);
poise_code file_write_all(int fd, const void *bytes, size_t length, poise_error *err);
poise_code file_write_at(int fd, const void *bytes, size_t length, int64_t offset, poise_error *err);
/* Fewer than wanted only at the end of the file. */
poise_code file_read_at(int fd, void *bytes, size_t length, int64_t offset, size_t *ret_length,
                        poise_error *err);
/* Free bytes for us on the file system of path. */
poise_code file_free_bytes(const char *path, uint64_t *ret_bytes, poise_error *err);

#endif
