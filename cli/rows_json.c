/* JSON Lines: an object a line, its members named as the columns of CSV; what is null or absent is empty
 * there. */
#include "rows_inner.h"
#include <base/text.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

void json_reader_free(struct json_reader *reader)
{
    json_decref(reader->root);
    reader->root = NULL;
}

static bool wrong_kind(struct row *row, enum column column, const char *right)
{
    snprintf(row->problem, sizeof row->problem, "%s: %s", row_columns[column], right);
    return false;
}

static bool take_text(struct row *row, enum column column, const json_t *value, struct csv_field *ret_text)
{
    if (!json_is_string(value)) {
        return wrong_kind(row, column, "a text is wanted, in quotes");
    }
    *ret_text = (struct csv_field){.text = json_string_value(value), .length = json_string_length(value)};
    return true;
}

static bool take_number(struct row *row, enum column column, const json_t *value, double *ret_number)
{
    if (!json_is_number(value)) {
        return wrong_kind(row, column, "a number is wanted, such as 12.5");
    }
    *ret_number = json_number_value(value);
    return true;
}

static bool take_seq(struct row *row, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 1) {
        return wrong_kind(row, COLUMN_SEQ, "a whole number from 1, or nothing, is wanted");
    }
    row->seq = (uint64_t)json_integer_value(value);
    return true;
}

static bool take_retract(struct row *row, const json_t *value)
{
    row->retract = json_is_true(value);
    return json_is_boolean(value) || wrong_kind(row, COLUMN_RETRACT, "true, false or nothing is wanted");
}

static bool take_time(struct row *row, const json_t *value)
{
    struct csv_field text;
    return take_text(row, COLUMN_TIME, value, &text) && row_read_time(row, text);
}

static bool take_member(struct row *row, enum column column, const json_t *value)
{
    switch (column) {
    case COLUMN_TIME:
        return take_time(row, value);
    case COLUMN_MEASURE:
        return take_text(row, column, value, &row->measure);
    case COLUMN_ORG:
        return take_text(row, column, value, &row->org);
    case COLUMN_VALUE:
        return take_number(row, column, value, &row->value);
    case COLUMN_OF:
        return take_number(row, column, value, &row->of);
    case COLUMN_KEY:
        return take_text(row, column, value, &row->key);
    case COLUMN_SEQ:
        return take_seq(row, value);
    case COLUMN_SOURCE:
        return take_text(row, column, value, &row->source);
    case COLUMN_RETRACT:
        return take_retract(row, value);
    default:
        snprintf(row->problem, sizeof row->problem,
                 "there is an unknown member; known are " ROW_COLUMNS_TEXT);
        return false;
    }
}

/* Time and value have to be there, but for a retraction, which needs none of them. */
static bool has_all(struct row *row, bool has_time, bool has_value)
{
    if (row->retract) {
        row->time_ms = 0;
        row->value = 0;
        row->of = 1;
        return true;
    }
    static const struct csv_field nothing = {.text = ""};
    if (!has_time) {
        return row_read_time(row, nothing);
    }
    if (!has_value) {
        row_problem(row, COLUMN_VALUE, nothing, "a decimal number is wanted, such as 12.5");
    }
    return has_value;
}

static bool take_members(struct row *row, json_t *root)
{
    const char *name;
    json_t *value;
    bool has[COLUMNS + 1] = {false};
    json_object_foreach(root, name, value)
    {
        enum column column = row_column(name, strlen(name));
        if (column < COLUMNS && json_is_null(value)) {
            continue;
        }
        if (!take_member(row, column, value)) {
            return false;
        }
        has[column] = true;
    }
    return has_all(row, has[COLUMN_TIME], has[COLUMN_VALUE]);
}

bool json_read_row(struct json_reader *reader, const char *line, size_t length, struct row *row)
{
    json_error_t error;
    json_reader_free(reader);
    reader->root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    static const struct csv_field nothing = {.text = ""};
    row->measure = row->org = row->source = row->key = nothing;
    row->time_ms = 0;
    row->value = 0;
    row->of = 1;
    row->seq = 0;
    row->retract = false;
    if (!json_is_object(reader->root)) {
        bool shown = !reader->root && utf8_printable(error.text, strlen(error.text)); /* it quotes the line */
        snprintf(row->problem, sizeof row->problem, "this is no JSON object%s%s", shown ? ": " : "",
                 shown ? error.text : "");
        return false;
    }
    return take_members(row, reader->root);
}
