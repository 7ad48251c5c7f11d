#include <base/error.h>
#include <base/file.h>
#include <collector/replay.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static poise_code sync_directory(const struct replay *replay, poise_error *err)
{
    char path[PATH_MAX];
    memcpy(path, replay->path, sizeof path);
    return file_sync_dir(dirname(path), err);
}

poise_code replay_begin(struct replay *replay, const char *file, const struct log *log, poise_error *err)
{
    int length = snprintf(replay->path, sizeof replay->path, "%s.replaying", file);
    if (length < 0 || (size_t)length >= sizeof replay->path) {
        return error_set(err, POISE_ELIMIT, "the path of the dead letters is too long");
    }
    if (access(replay->path, F_OK) == 0) {
        log_event(log, LOG_WARN,
                  "an earlier replay was cut off: it is finished first, replay again for the rest",
                  log_text("file", replay->path));
        replay->active = true;
        return POISE_OK;
    }
    if (rename(file, replay->path) == 0) {
        replay->active = true;
        return sync_directory(replay, err);
    }
    return errno == ENOENT ? POISE_OK : error_errno(err, POISE_EIO, "cannot rename %s", file);
}

poise_code replay_end(struct replay *replay, poise_error *err)
{
    if (unlink(replay->path) != 0) {
        return error_errno(err, POISE_EIO, "cannot remove %s", replay->path);
    }
    return sync_directory(replay, err);
}
