#include "rows_inner.h"
#include <base/error.h>
#include <base/text.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const row_columns[COLUMNS] = {"time", "measure", "org",    "value",  "of",
                                          "key",  "seq",     "source", "retract"};
enum { COLUMNS_NEEDED = COLUMN_VALUE + 1, COLUMN_ABSENT = CSV_FIELDS_MAX, BLOCK = 262144 };
enum { LINE_MAX_BYTES = CSV_RECORD_MAX };

/* Lines of JSON Lines as they come. */
struct lines {
    struct buf bytes;
    size_t at;
    uint64_t line;
    bool skipping; /* the rest of a line that was too long */
};

struct rows {
    const char *name;
    enum rows_format format;
    int fd;
    bool at_end;
    uint64_t done, total; /* bytes */
    struct lines lines;
    struct json_reader json;
    struct csv_reader *reader;
    struct csv_record record;
    size_t place[COLUMNS]; /* of each column in the record, or COLUMN_ABSENT */
    size_t width;          /* fields of the header */
    char block[BLOCK];
};

/* The next block into rows->block; none at the end. */
static poise_code read_block(struct rows *rows, size_t *ret_length, poise_error *err)
{
    ssize_t got;
    do {
        got = read(rows->fd, rows->block, sizeof rows->block);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return error_errno(err, POISE_EIO, "reading %s", rows->name);
    }
    rows->at_end = got == 0;
    rows->done += (uint64_t)got;
    *ret_length = (size_t)got;
    return POISE_OK;
}

static poise_code next_record(struct rows *rows, bool *ret_more, poise_error *err)
{
    while (!csv_next(rows->reader, rows->at_end, &rows->record)) {
        if (rows->at_end) {
            *ret_more = false;
            return POISE_OK;
        }
        size_t got;
        poise_code code = read_block(rows, &got, err);
        if (code != POISE_OK) {
            return code;
        }
        if (csv_feed(rows->reader, rows->block, got) != POISE_OK) {
            return error_nomem(err, "a block of the CSV file");
        }
    }
    *ret_more = true;
    return POISE_OK;
}

enum column row_column(const char *name, size_t length)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (strlen(row_columns[i]) == length && memcmp(row_columns[i], name, length) == 0) {
            return (enum column)i;
        }
    }
    return COLUMNS;
}

static poise_code wrong_column(const struct rows *rows, struct csv_field field, const char *what,
                               poise_error *err)
{
    char text[64];
    row_text(field, text, sizeof text);
    bool other_separator = strpbrk(text, ";\t") != NULL;
    if (!other_separator && !utf8_printable(field.text, field.length)) {
        return error_set(err, POISE_ECONFIG,
                         "%s:%" PRIu64 ": the name of a column is not readable text; save the file as UTF-8",
                         rows->name, rows->record.line);
    }
    if (other_separator) {
        return error_set(err, POISE_ECONFIG,
                         "%s:%" PRIu64 ": the columns must have commas between them, as in " ROW_COLUMNS_TEXT,
                         rows->name, rows->record.line);
    }
    return error_set(err, POISE_ECONFIG,
                     "%s:%" PRIu64 ": column '%s' is %s; the columns are " ROW_COLUMNS_TEXT, rows->name,
                     rows->record.line, field.length < sizeof text ? text : "?", what);
}

static poise_code read_header(struct rows *rows, poise_error *err)
{
    bool more = false;
    poise_code code = next_record(rows, &more, err);
    if (code != POISE_OK) {
        return code;
    }
    if (!more || rows->record.problem) {
        return error_set(err, POISE_ECONFIG, "%s: %s; the first line must be a header like " ROW_COLUMNS_TEXT,
                         rows->name, more ? rows->record.problem : "there is nothing in it");
    }
    rows->width = rows->record.count;
    for (size_t i = 0; i < rows->width; i++) {
        struct csv_field field = rows->record.fields[i];
        enum column column = row_column(field.text, field.length);
        if (column == COLUMNS || rows->place[column] != COLUMN_ABSENT) {
            return wrong_column(rows, field, column == COLUMNS ? "unknown" : "there twice", err);
        }
        rows->place[column] = i;
    }
    for (int i = 0; i < COLUMNS_NEEDED; i++) {
        if (rows->place[i] == COLUMN_ABSENT) {
            return error_set(err, POISE_ECONFIG,
                             "%s:%" PRIu64 ": column '%s' is missing; the columns are " ROW_COLUMNS_TEXT,
                             rows->name, rows->record.line, row_columns[i]);
        }
    }
    return POISE_OK;
}

enum rows_format rows_format_of(enum rows_format format, const char *path)
{
    static const char *const ends[] = {".jsonl", ".ndjson", ".json"};
    size_t length = strlen(path);
    for (size_t i = 0; format == ROWS_BY_NAME && i < sizeof ends / sizeof ends[0]; i++) {
        size_t end = strlen(ends[i]);
        if (length >= end && strcmp(path + length - end, ends[i]) == 0) {
            return ROWS_JSON;
        }
    }
    return format == ROWS_BY_NAME ? ROWS_CSV : format;
}

poise_code rows_open(const char *path, enum rows_format format, struct rows **ret_rows, poise_error *err)
{
    struct rows *rows = calloc(1, sizeof *rows);
    struct stat status;
    if (!rows) {
        return error_nomem(err, "the reader of a file");
    }
    rows->format = rows_format_of(format, path);
    bool from_stdin = strcmp(path, "-") == 0;
    rows->name = from_stdin ? "standard input" : path;
    for (int i = 0; i < COLUMNS; i++) {
        rows->place[i] = COLUMN_ABSENT;
    }
    rows->reader = csv_open(',');
    rows->fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    poise_code code;
    if (rows->fd < 0) {
        code = error_errno(err, errno == ENOENT ? POISE_ENOTFOUND : POISE_EIO, "opening %s", path);
    } else if (!rows->reader) {
        code = error_nomem(err, "the CSV reader");
    } else {
        rows->total = fstat(rows->fd, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
        code = rows->format == ROWS_JSON ? POISE_OK : read_header(rows, err);
    }
    if (code != POISE_OK) {
        rows_close(rows);
        return code;
    }
    *ret_rows = rows;
    return POISE_OK;
}

void rows_close(struct rows *rows)
{
    if (rows) {
        csv_close(rows->reader);
        buf_free(&rows->lines.bytes);
        json_reader_free(&rows->json);
        if (rows->fd > STDIN_FILENO) {
            close(rows->fd);
        }
        free(rows);
    }
}

const char *rows_name(const struct rows *rows)
{
    return rows->name;
}

void rows_progress(const struct rows *rows, uint64_t *ret_done, uint64_t *ret_total)
{
    *ret_done = rows->done;
    *ret_total = rows->total;
}

static struct csv_field field_of(const struct rows *rows, enum column column)
{
    size_t place = rows->place[column];
    return place == COLUMN_ABSENT ? (struct csv_field){.text = ""} : rows->record.fields[place];
}

void row_problem(struct row *row, enum column column, struct csv_field field, const char *right)
{
    enum { SHOWN = 48 };
    bool shown = field.length <= SHOWN && utf8_printable(field.text, field.length);
    if (field.length == 0) {
        snprintf(row->problem, sizeof row->problem, "%s is empty; %s", row_columns[column], right);
    } else if (shown) {
        snprintf(row->problem, sizeof row->problem, "%s '%.*s' cannot be read; %s", row_columns[column],
                 (int)field.length, field.text, right);
    } else {
        snprintf(row->problem, sizeof row->problem, "%s cannot be read; %s", row_columns[column], right);
    }
}

bool row_read_time(struct row *row, struct csv_field field)
{
    if (parse_time_ms(field.text, field.length, &row->time_ms)) {
        return true;
    }
    row_problem(row, COLUMN_TIME, field, "an RFC 3339 time is wanted, such as 2026-03-01T09:00:00Z");
    return false;
}

static bool read_number(struct row *row, enum column column, struct csv_field field, double *ret_number)
{
    if (parse_double(field.text, field.length, ret_number)) {
        return true;
    }
    row_problem(row, column, field, "a decimal number is wanted, such as 12.5");
    return false;
}

static bool read_retract(struct row *row, struct csv_field field)
{
    static const struct word {
        const char *text;
        bool retract;
    } words[] = {{"", false}, {"true", true}, {"1", true}, {"false", false}, {"0", false}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strlen(words[i].text) == field.length && memcmp(words[i].text, field.text, field.length) == 0) {
            row->retract = words[i].retract;
            return true;
        }
    }
    row_problem(row, COLUMN_RETRACT, field, "true, 1, false, 0 or nothing is wanted");
    return false;
}

static bool read_seq(struct row *row, struct csv_field field)
{
    int64_t seq = 0;
    if (field.length > 0 && (!parse_int64(field.text, field.length, &seq) || seq < 1)) {
        row_problem(row, COLUMN_SEQ, field, "a whole number from 1, or nothing, is wanted");
        return false;
    }
    row->seq = (uint64_t)seq;
    return true;
}

/* Time, value and of; a retraction needs none of them. */
static bool read_numbers(const struct rows *rows, struct row *row)
{
    row->time_ms = 0;
    row->value = 0;
    row->of = 1;
    if (row->retract) {
        return true;
    }
    if (!row_read_time(row, field_of(rows, COLUMN_TIME))) {
        return false;
    }
    struct csv_field of = field_of(rows, COLUMN_OF);
    return read_number(row, COLUMN_VALUE, field_of(rows, COLUMN_VALUE), &row->value) &&
           (of.length == 0 || read_number(row, COLUMN_OF, of, &row->of));
}

static bool read_row(const struct rows *rows, struct row *row)
{
    if (rows->record.problem) {
        snprintf(row->problem, sizeof row->problem, "%s", rows->record.problem);
        return false;
    }
    if (rows->record.count != rows->width) {
        snprintf(row->problem, sizeof row->problem, "the row has %zu fields, the header has %zu",
                 rows->record.count, rows->width);
        return false;
    }
    row->measure = field_of(rows, COLUMN_MEASURE);
    row->org = field_of(rows, COLUMN_ORG);
    row->source = field_of(rows, COLUMN_SOURCE);
    row->key = field_of(rows, COLUMN_KEY);
    return read_retract(row, field_of(rows, COLUMN_RETRACT)) && read_seq(row, field_of(rows, COLUMN_SEQ)) &&
           read_numbers(rows, row);
}

static poise_code next_of_csv(struct rows *rows, struct row *ret_row, bool *ret_more, poise_error *err)
{
    bool more = false;
    poise_code code = next_record(rows, &more, err);
    if (code == POISE_OK && more) {
        ret_row->line = rows->record.line;
        ret_row->readable = read_row(rows, ret_row);
    }
    if (code == POISE_OK) {
        *ret_more = more;
    }
    return code;
}

/* ---- JSON Lines ---- */

static bool is_blank(const char *line, size_t length)
{
    size_t at = 0;
    while (at < length && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r')) {
        at++;
    }
    return at == length;
}

/* The next line, without its end, or a piece of one that is too long; false: there is none without more
 * bytes. */
static bool take_line(struct lines *lines, bool at_end, const char **ret_line, size_t *ret_length,
                      bool *ret_whole)
{
    size_t left = lines->bytes.length - lines->at;
    if (left == 0) {
        return false;
    }
    const char *line = (const char *)lines->bytes.data + lines->at, *end = memchr(line, '\n', left);
    if (!end && !at_end && left <= LINE_MAX_BYTES) {
        return false;
    }
    *ret_line = line;
    *ret_length = end ? (size_t)(end - line) : left;
    *ret_whole = end || at_end;
    lines->at += *ret_length + (end != NULL);
    return true;
}

static poise_code feed_lines(struct rows *rows, poise_error *err)
{
    struct buf *bytes = &rows->lines.bytes;
    size_t got, left = bytes->length - rows->lines.at;
    poise_code code = read_block(rows, &got, err);
    if (code != POISE_OK) {
        return code;
    }
    if (left > 0) {
        memmove(bytes->data, bytes->data + rows->lines.at, left);
    }
    bytes->length = left;
    rows->lines.at = 0;
    buf_put(bytes, rows->block, got);
    return bytes->failed ? error_nomem(err, "a block of the file") : POISE_OK;
}

static void read_line(struct rows *rows, const char *line, size_t length, struct row *row)
{
    row->line = rows->lines.line;
    if (length > LINE_MAX_BYTES) {
        snprintf(row->problem, sizeof row->problem, "the line has more than %d bytes", LINE_MAX_BYTES);
        row->readable = false;
    } else {
        row->readable = json_read_row(&rows->json, line, length, row);
    }
}

static poise_code next_of_json(struct rows *rows, struct row *ret_row, bool *ret_more, poise_error *err)
{
    struct lines *lines = &rows->lines;
    for (;;) {
        const char *line;
        size_t length;
        bool whole, skipped = lines->skipping;
        if (!take_line(lines, rows->at_end, &line, &length, &whole)) {
            poise_code code = rows->at_end ? POISE_OK : feed_lines(rows, err);
            if (code != POISE_OK || (rows->at_end && lines->at == lines->bytes.length)) {
                *ret_more = false;
                return code;
            }
            continue;
        }
        lines->line += !skipped;
        lines->skipping = !whole;
        if (lines->line == 1 && !skipped && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
            line += 3; /* as programs on Windows write it */
            length -= 3;
        }
        if (!skipped && !is_blank(line, length)) {
            read_line(rows, line, length, ret_row);
            *ret_more = true;
            return POISE_OK;
        }
    }
}

poise_code rows_next(struct rows *rows, struct row *ret_row, bool *ret_more, poise_error *err)
{
    return rows->format == ROWS_JSON ? next_of_json(rows, ret_row, ret_more, err)
                                     : next_of_csv(rows, ret_row, ret_more, err);
}

void row_text(struct csv_field field, char *text, size_t size)
{
    size_t length = field.length < size - 1 ? field.length : size - 1;
    for (size_t i = 0; i < length; i++) {
        text[i] = field.text[i] == '\0' ? '\x01' : field.text[i];
    }
    text[length] = '\0';
}

void row_texts_of(const struct row *row, struct row_texts *ret_texts)
{
    row_text(row->measure, ret_texts->measure, sizeof ret_texts->measure);
    row_text(row->org, ret_texts->org, sizeof ret_texts->org);
    row_text(row->source, ret_texts->source, sizeof ret_texts->source);
    row_text(row->key, ret_texts->key, sizeof ret_texts->key);
}
