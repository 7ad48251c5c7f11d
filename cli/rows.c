#include "rows.h"
#include <base/error.h>
#include <base/text.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum column {
    COLUMN_TIME,
    COLUMN_MEASURE,
    COLUMN_ORG,
    COLUMN_VALUE,
    COLUMN_OF,
    COLUMN_KEY,
    COLUMN_SEQ,
    COLUMN_SOURCE,
    COLUMN_RETRACT,
    COLUMNS
};
static const char *const column_names[COLUMNS] = {"time", "measure", "org",    "value",  "of",
                                                  "key",  "seq",     "source", "retract"};
enum { COLUMNS_NEEDED = COLUMN_VALUE + 1, COLUMN_ABSENT = CSV_FIELDS_MAX, BLOCK = 262144 };
#define HEADER_TEXT "time,measure,org,value,of,key,seq,source,retract"

struct rows {
    const char *name;
    int fd;
    bool at_end;
    struct csv_reader *reader;
    struct csv_record record;
    size_t place[COLUMNS]; /* of each column in the record, or COLUMN_ABSENT */
    size_t width;          /* fields of the header */
    char block[BLOCK];
};

static poise_code next_record(struct rows *rows, bool *ret_more, poise_error *err)
{
    while (!csv_next(rows->reader, rows->at_end, &rows->record)) {
        if (rows->at_end) {
            *ret_more = false;
            return POISE_OK;
        }
        ssize_t got = read(rows->fd, rows->block, sizeof rows->block);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_errno(err, POISE_EIO, "reading %s", rows->name);
        }
        rows->at_end = got == 0;
        if (csv_feed(rows->reader, rows->block, (size_t)got) != POISE_OK) {
            return error_nomem(err, "a block of the CSV file");
        }
    }
    *ret_more = true;
    return POISE_OK;
}

static int column_named(struct csv_field field)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (strlen(column_names[i]) == field.length &&
            memcmp(column_names[i], field.text, field.length) == 0) {
            return i;
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
                         "%s:%" PRIu64 ": the columns must have commas between them, as in " HEADER_TEXT,
                         rows->name, rows->record.line);
    }
    return error_set(err, POISE_ECONFIG, "%s:%" PRIu64 ": column '%s' is %s; the columns are " HEADER_TEXT,
                     rows->name, rows->record.line, field.length < sizeof text ? text : "?", what);
}

static poise_code read_header(struct rows *rows, poise_error *err)
{
    bool more = false;
    poise_code code = next_record(rows, &more, err);
    if (code != POISE_OK) {
        return code;
    }
    if (!more || rows->record.problem) {
        return error_set(err, POISE_ECONFIG, "%s: %s; the first line must be a header like " HEADER_TEXT,
                         rows->name, more ? rows->record.problem : "there is nothing in it");
    }
    rows->width = rows->record.count;
    for (size_t i = 0; i < rows->width; i++) {
        struct csv_field field = rows->record.fields[i];
        int column = column_named(field);
        if (column == COLUMNS || rows->place[column] != COLUMN_ABSENT) {
            return wrong_column(rows, field, column == COLUMNS ? "unknown" : "there twice", err);
        }
        rows->place[column] = i;
    }
    for (int i = 0; i < COLUMNS_NEEDED; i++) {
        if (rows->place[i] == COLUMN_ABSENT) {
            return error_set(err, POISE_ECONFIG,
                             "%s:%" PRIu64 ": column '%s' is missing; the columns are " HEADER_TEXT,
                             rows->name, rows->record.line, column_names[i]);
        }
    }
    return POISE_OK;
}

poise_code rows_open(const char *path, struct rows **ret_rows, poise_error *err)
{
    struct rows *rows = malloc(sizeof *rows);
    if (!rows) {
        return error_nomem(err, "the CSV reader");
    }
    bool from_stdin = strcmp(path, "-") == 0;
    rows->name = from_stdin ? "standard input" : path;
    rows->at_end = false;
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
        code = read_header(rows, err);
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

static struct csv_field field_of(const struct rows *rows, enum column column)
{
    size_t place = rows->place[column];
    return place == COLUMN_ABSENT ? (struct csv_field){.text = ""} : rows->record.fields[place];
}

/* Says what is wrong with a column's text, and what would be right. What is not printable is not repeated. */
static void set_problem(struct row *row, enum column column, struct csv_field field, const char *right)
{
    enum { SHOWN = 48 };
    bool shown = field.length <= SHOWN && utf8_printable(field.text, field.length);
    if (field.length == 0) {
        snprintf(row->problem, sizeof row->problem, "%s is empty; %s", column_names[column], right);
    } else if (shown) {
        snprintf(row->problem, sizeof row->problem, "%s '%.*s' cannot be read; %s", column_names[column],
                 (int)field.length, field.text, right);
    } else {
        snprintf(row->problem, sizeof row->problem, "%s cannot be read; %s", column_names[column], right);
    }
}

static bool read_number(struct row *row, enum column column, struct csv_field field, double *ret_number)
{
    if (parse_double(field.text, field.length, ret_number)) {
        return true;
    }
    set_problem(row, column, field, "a decimal number is wanted, such as 12.5");
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
    set_problem(row, COLUMN_RETRACT, field, "true, 1, false, 0 or nothing is wanted");
    return false;
}

static bool read_seq(struct row *row, struct csv_field field)
{
    int64_t seq = 0;
    if (field.length > 0 && (!parse_int64(field.text, field.length, &seq) || seq < 1)) {
        set_problem(row, COLUMN_SEQ, field, "a whole number from 1, or nothing, is wanted");
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
    struct csv_field time = field_of(rows, COLUMN_TIME);
    if (!parse_time_ms(time.text, time.length, &row->time_ms)) {
        set_problem(row, COLUMN_TIME, time, "an RFC 3339 time is wanted, such as 2026-03-01T09:00:00Z");
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

poise_code rows_next(struct rows *rows, struct row *ret_row, bool *ret_more, poise_error *err)
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
