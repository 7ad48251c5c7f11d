#include <base/buf.h>
#include <base/file.h>
#include <collector/numbers.h>
#include <inttypes.h>

#define WRITE_US INT64_C(10000000)
#define LOG_US   INT64_C(60000000)

void numbers_open(struct numbers *numbers, const char *path, const struct log *log, const struct clock *clock)
{
    int64_t now_us = clock_monotonic_us(clock);
    *numbers = (struct numbers){
        .path = path, .log = log, .clock = clock, .written_us = now_us - WRITE_US, .logged_us = now_us};
}

/* ---- the file ---- */

static void put_number(struct buf *out, const char *name, const char *kind, const char *text, uint64_t value)
{
    buf_printf(out,
               "# HELP poise_collector_%s %s\n# TYPE poise_collector_%s %s\npoise_collector_%s %" PRIu64 "\n",
               name, text, name, kind, name, value);
}

static void write_file(struct numbers *numbers, const poise_sender_stats *stats,
                       const struct collector_summary *summary)
{
    const struct {
        uint64_t rows, rows_skipped, rows_refused, sent, acknowledged, refused, spool_batches, spool_bytes,
            spool_age_ms, forks, connected;
    } now = {.rows = summary->rows,
             .rows_skipped = summary->rows_skipped,
             .rows_refused = summary->rows_refused,
             .sent = summary->sent,
             .acknowledged = stats->acknowledged,
             .refused = stats->refused,
             .spool_batches = stats->batches_left,
             .spool_bytes = stats->spool_bytes > 0 ? (uint64_t)stats->spool_bytes : 0,
             .spool_age_ms = (uint64_t)stats->spool_age_ms,
             .forks = stats->forks,
             .connected = stats->connected};
    struct buf out = {0};
    poise_error err = {.text = "out of memory"};
#define PUT(name, kind, unit, text) put_number(&out, #name, kind, text, now.name);
    COLLECTOR_NUMBERS(PUT)
#undef PUT
    bool failed = out.failed || file_replace(numbers->path, out.data, out.length, &err) != POISE_OK;
    if (failed && !numbers->failing) { /* its numbers are no reason to stop */
        log_event(numbers->log, LOG_ERROR, "the numbers could not be written", log_text("reason", err.text));
    }
    numbers->failing = failed;
    buf_free(&out);
}

void numbers_look(struct numbers *numbers, const poise_sender_stats *stats,
                  const struct collector_summary *summary)
{
    int64_t now_us = clock_monotonic_us(numbers->clock);
    if (numbers->path && now_us - numbers->written_us >= WRITE_US) {
        numbers->written_us = now_us;
        write_file(numbers, stats, summary);
    }
    int64_t age_ms = stats->spool_age_ms;
    if (age_ms >= LOG_US / 1000 && now_us - numbers->logged_us >= LOG_US) {
        numbers->logged_us = now_us;
        log_event(numbers->log, LOG_WARN, "batches wait in the spool",
                  log_int("batches", (int64_t)stats->batches_left), log_int("bytes", stats->spool_bytes),
                  log_int("oldest_s", age_ms / 1000));
    }
}

void numbers_close(struct numbers *numbers, const poise_sender_stats *stats,
                   const struct collector_summary *summary)
{
    if (numbers->path) {
        write_file(numbers, stats, summary);
    }
}

void numbers_document(FILE *out)
{
    fputs("| name | kind | unit | what it counts |\n|---|---|---|---|\n", out);
#define ROW(name, kind, unit, text)                                                                          \
    fprintf(out, "| `poise_collector_%s` | %s | %s | %s |\n", #name, kind, unit, text);
    COLLECTOR_NUMBERS(ROW)
#undef ROW
}
