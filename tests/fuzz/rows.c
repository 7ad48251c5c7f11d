/* Files that people give: measurements as CSV or JSON Lines, as `poise send` and `poise import` read them;
 * and CSV as such, in pieces. The first byte says which, and the delimiter. */
#include "fuzz.h"
#include <base/csv.h>
#include <cli/row_text.h>
#include <cli/rows.h>
#include <math.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CSV, JSON, RECORDS, KINDS };

/* ---- measurements ---- */

static poise_measurement measurement_of(const struct row *row, const struct row_texts *texts)
{
    return (poise_measurement){.measure = texts->measure,
                               .org = texts->org,
                               .source = texts->source,
                               .key = row->key.length > 0 ? texts->key : NULL,
                               .time_ms = row->time_ms,
                               .value = row->value,
                               .of = row->of,
                               .seq = row->seq,
                               .retract = row->retract};
}

/* How often this one came back. */
static void check_same(const struct row *row, const poise_measurement *was)
{
    struct row_texts texts;
    MUST(row->readable);
    row_texts_of(row, &texts);
    MUST(strcmp(texts.measure, was->measure) == 0 && strcmp(texts.org, was->org) == 0 &&
         strcmp(texts.source, was->source) == 0 && strcmp(texts.key, was->key ? was->key : "") == 0);
    MUST(row->seq == was->seq && row->retract == was->retract);
    MUST(row->retract || (row->time_ms == was->time_ms && fuzz_same_bits(row->value, was->value) &&
                          fuzz_same_bits(row->of, was->of)));
}

/* As text, and back. */
static void write_and_read(enum rows_format format, const poise_measurement *measurement)
{
    struct buf text = {0};
    struct rows *rows;
    struct row row;
    bool more;
    char path[FUZZ_PATH_MAX];
    if (format == ROWS_CSV) {
        row_put_csv_header(&text);
        row_put_csv(&text, measurement);
    } else {
        row_put_json(&text, measurement);
    }
    MUST(!text.failed);
    int fd = fuzz_file(text.data, text.length, path);
    MUST(rows_open(path, format, &rows, NULL) == POISE_OK);
    MUST(rows_next(rows, &row, &more, NULL) == POISE_OK && more);
    check_same(&row, measurement);
    MUST(rows_next(rows, &row, &more, NULL) == POISE_OK && !more);
    rows_close(rows);
    close(fd);
    buf_free(&text);
}

static void check_row(const struct row *row, size_t *left)
{
    struct row_texts texts;
    if (!row->readable) {
        MUST(row->problem[0] != '\0' && fuzz_is_text(row->problem, ROW_PROBLEM_MAX - 1));
        return;
    }
    MUST(isfinite(row->value) && isfinite(row->of));
    row_texts_of(row, &texts);
    poise_measurement measurement = measurement_of(row, &texts);
    if (*left > 0 && measurement_check(&measurement) == POISE_REFUSAL_NONE) {
        --*left;
        write_and_read(ROWS_CSV, &measurement);
        write_and_read(ROWS_JSON, &measurement);
    }
}

static void try_rows(enum rows_format format, const uint8_t *bytes, size_t length)
{
    struct rows *rows;
    struct row row;
    char path[FUZZ_PATH_MAX];
    uint64_t done, total, line = 0;
    size_t left = 4; /* rows that are written again: files cost time */
    bool more = true;
    int fd = fuzz_file(bytes, length, path);
    poise_error err;
    poise_code code = rows_open(path, format, &rows, &err);
    MUST(code == POISE_OK || code == POISE_ECONFIG);
    if (code == POISE_OK) {
        while (rows_next(rows, &row, &more, NULL) == POISE_OK && more) {
            MUST(row.line > line);
            line = row.line;
            check_row(&row, &left);
        }
        MUST(!more);
        rows_progress(rows, &done, &total);
        MUST(done == length);
        rows_close(rows);
    }
    close(fd);
}

/* ---- CSV as such ---- */

/* The record as bytes: its place, problem and fields. */
static void put_record(struct buf *out, const struct csv_record *record)
{
    buf_put_varint(out, record->line);
    buf_put_varint(out, record->offset);
    buf_put_varint(out, record->end);
    buf_put_u8(out, record->problem != NULL);
    buf_put_text(out, record->raw, record->raw_length);
    buf_put_varint(out, record->count);
    for (size_t i = 0; i < record->count; i++) {
        buf_put_text(out, record->fields[i].text, record->fields[i].length);
    }
}

/* Its fields, written again, are the same. */
static void write_record(const struct csv_record *record, char delimiter)
{
    struct buf text = {0};
    struct csv_record again;
    struct csv_reader *reader = csv_open(delimiter);
    MUST(reader);
    for (size_t i = 0; i < record->count; i++) {
        if (i > 0) {
            buf_put_u8(&text, (uint8_t)delimiter);
        }
        csv_put(&text, record->fields[i].text, record->fields[i].length, delimiter);
    }
    buf_put_u8(&text, '\n');
    MUST(!text.failed);
    /* A blank line is no record, and at the beginning a mark may stand; quotes may make it too long. */
    bool plain = text.length <= CSV_RECORD_MAX && text.data[0] != '\n' && text.data[0] != 0xef;
    MUST(csv_feed(reader, text.data, text.length) == POISE_OK);
    if (plain) {
        MUST(csv_next(reader, true, &again) && !again.problem && again.count == record->count);
        for (size_t i = 0; i < again.count; i++) {
            const struct csv_field *a = &record->fields[i], *b = &again.fields[i];
            MUST(a->length == b->length && (a->length == 0 || memcmp(a->text, b->text, a->length) == 0));
        }
    }
    csv_close(reader);
    buf_free(&text);
}

static void take_records(struct csv_reader *reader, bool at_end, char delimiter, size_t size, struct buf *out)
{
    static struct csv_record record;
    while (csv_next(reader, at_end, &record)) {
        MUST(record.count <= CSV_FIELDS_MAX && record.raw_length <= CSV_RECORD_MAX);
        MUST(record.end <= size && record.offset < record.end && record.line > 0);
        MUST(record.problem ? record.count == 0 : record.count > 0);
        put_record(out, &record);
        if (!record.problem) {
            write_record(&record, delimiter);
        }
    }
}

static void try_records(char delimiter, const uint8_t *bytes, size_t length)
{
    struct buf whole = {0}, pieces = {0};
    struct csv_reader *one = csv_open(delimiter), *many = csv_open(delimiter);
    MUST(one && many);
    MUST(csv_feed(one, bytes, length) == POISE_OK);
    take_records(one, true, delimiter, length, &whole);
    for (size_t at = 0; at < length;) {
        size_t piece = 1 + bytes[at] % 7;
        piece = piece < length - at ? piece : length - at;
        MUST(csv_feed(many, bytes + at, piece) == POISE_OK);
        at += piece;
        take_records(many, false, delimiter, length, &pieces);
    }
    take_records(many, true, delimiter, length, &pieces);
    fuzz_same_bytes(&whole, &pieces);
    csv_close(one);
    csv_close(many);
    buf_free(&whole);
    buf_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char delimiters[] = {',', ';', '\t', '|'};
    if (size == 0) {
        return 0;
    }
    if (data[0] % KINDS == RECORDS) {
        try_records(delimiters[data[0] / KINDS % 4], data + 1, size - 1);
    } else {
        try_rows(data[0] % KINDS == CSV ? ROWS_CSV : ROWS_JSON, data + 1, size - 1);
    }
    return 0;
}
