#include "backup.h"

#include <base/error.h>
#include <base/text.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/backup.h>

static poise_code encode(const struct backup_writer *writer, const struct backup_result *result, int64_t us,
                         struct inquiry *inquiry)
{
    char path[PATH_MAX], *resolved = realpath(writer->directory, NULL);
    int length =
        snprintf(path, sizeof path, "%s/%s", resolved ? resolved : writer->directory, inquiry->backup);
    free(resolved);
    struct wire_backed_up answer = {.id = inquiry->id,
                                    .lsn = result->lsn,
                                    .bytes = (uint64_t)result->bytes,
                                    .duration_ms = (uint64_t)(us / 1000),
                                    .path = length > 0 && length <= WIRE_TEXT_MAX &&
                                                    utf8_printable(path, (size_t)length)
                                                ? path
                                                : inquiry->backup};
    if (wire_encode_backed_up(&answer, &inquiry->bodies))
        return error_nomem(&inquiry->error, "an answer");
    return inquiry_end_body(inquiry);
}

void backup_answer(const struct backup_writer *writer, struct inquiry *inquiry)
{
    const struct backup_options options = {.directory = writer->directory,
                                           .name = inquiry->backup,
                                           .free_bytes = 2 * writer->free_bytes,
                                           .stop = writer->stop};
    struct backup_result result;
    int64_t start_us = clock_monotonic_us(writer->clock);
    inquiry->error.code = store_backup(writer->store, &options, &result, &inquiry->error);
    int64_t us = clock_monotonic_us(writer->clock) - start_us;
    if (inquiry->error.code) {
        stats_add(writer->stats, STAT_backups_failed, 1);
        log_event(writer->log, LOG_ERROR, "backup_failed", log_text("name", inquiry->backup),
                  log_text("reason", inquiry->error.text));
        return;
    }
    stats_add(writer->stats, STAT_backups, 1);
    stats_add(writer->stats, STAT_backup_us, (uint64_t)us);
    log_event(writer->log, LOG_INFO, "backed_up", log_text("name", inquiry->backup),
              log_int("lsn", (int64_t)result.lsn), log_int("bytes", result.bytes), log_int("ms", us / 1000),
              log_int("held_ms", result.held_ms));
    inquiry->error.code = encode(writer, &result, us, inquiry);
}
