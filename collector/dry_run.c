#include <base/error.h>
#include <base/text.h>
#include <collector/complaints.h>
#include <collector/dry_run.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

enum { ARENA_MAX = 1 << 20 };

struct dry_run {
    const struct log *log;
    FILE *out;
    struct complaints complaints;
    struct arena scratch;
    struct buf line;
    uint64_t refused;
};

static void put_text(struct buf *line, const char *text)
{
    if (text) {
        csv_put(line, text, strlen(text), ',');
    }
    buf_put_u8(line, ',');
}

static void put_number(struct buf *line, double number)
{
    char text[NUMBER_TEXT_MAX];
    format_double(number, text);
    put_text(line, text);
}

static poise_code put_measurement(struct dry_run *run, const poise_measurement *item, poise_error *err)
{
    struct buf *line = &run->line;
    char time[TIME_TEXT_MAX];
    buf_reset(line);
    format_time_ms(item->time_ms, time);
    put_text(line, item->retract ? "" : time);
    put_text(line, item->measure);
    put_text(line, item->org);
    if (item->retract) {
        buf_printf(line, ",,");
    } else {
        put_number(line, item->value);
        put_number(line, item->of);
    }
    put_text(line, item->key);
    if (item->seq > 0) {
        buf_printf(line, "%" PRIu64, item->seq);
    }
    buf_put_u8(line, ',');
    put_text(line, item->source);
    buf_printf(line, item->retract ? "true\n" : "\n");
    if (line->failed) {
        return error_nomem(err, "a line");
    }
    return fwrite(line->data, 1, line->length, run->out) == line->length
               ? POISE_OK
               : error_errno(err, POISE_EIO, "cannot write to standard output");
}

static poise_code take_record(struct dry_run *run, const struct source_record *record, poise_error *err)
{
    struct mapped mapped;
    enum row_fault fault;
    poise_code code = source_map(record, &run->scratch, &mapped, &fault, err);
    if (code == POISE_EREFUSED) {
        run->refused++;
        complain(&run->complaints, run->log, record, fault, err->text);
        return POISE_OK;
    }
    for (size_t i = 0; code == POISE_OK && i < mapped.count; i++) {
        code = put_measurement(run, &mapped.items[i], err);
    }
    return code;
}

static poise_code read_source(struct dry_run *run, struct source *source, poise_error *err)
{
    for (;;) {
        struct source_record record;
        poise_code code = source->ops->next(source, &record, err);
        if (code == POISE_ECLOSED) {
            return POISE_OK;
        }
        if (code == POISE_ENOTFOUND) {
            struct pollfd more = {.fd = source->ops->wait_fd(source), .events = POLLIN};
            poll(&more, 1, -1); /* standard input: files were read to their end */
            continue;
        }
        if (code == POISE_OK) {
            code = take_record(run, &record, err);
        }
        if (code != POISE_OK) {
            return code;
        }
    }
}

poise_code dry_run(const struct collector_config *config, const struct log *log, FILE *out,
                   uint64_t *ret_refused, poise_error *err)
{
    static const struct positions none;
    const struct source_options how = {.once = true, .known = &none, .log = log};
    struct dry_run run = {.log = log, .out = out};
    poise_error reason;
    poise_code code = POISE_OK;
    arena_init(&run.scratch, ARENA_MAX);
    fputs("time,measure,org,value,of,key,seq,source,retract\n", out);
    for (size_t i = 0; i < config->source_count && code == POISE_OK; i++) {
        struct source *source = NULL;
        code = source_csv_open(&config->sources[i], &how, &source, &reason);
        if (code == POISE_OK) {
            code = read_source(&run, source, &reason);
        }
        source_close(source);
    }
    if (code == POISE_OK && fflush(out) != 0) {
        code = error_errno(&reason, POISE_EIO, "cannot write to standard output");
    }
    complaints_sum_up(&run.complaints, log, true);
    arena_free(&run.scratch);
    buf_free(&run.line);
    *ret_refused = run.refused;
    return code == POISE_OK ? code : error_set(err, code, "%s", reason.text);
}
