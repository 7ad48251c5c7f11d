/* What the readers of rows share. */
#ifndef CLI_ROWS_INNER_H
#define CLI_ROWS_INNER_H

#include "rows.h"
#include <base/buf.h>

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
extern const char *const row_columns[COLUMNS];
#define ROW_COLUMNS_TEXT "time,measure,org,value,of,key,seq,source,retract"

/* The column of a name, or COLUMNS. */
enum column row_column(const char *name, size_t length);
/* Says what is wrong with a column's text, and what would be right. What is not printable is not repeated. */
void row_problem(struct row *row, enum column column, struct csv_field field, const char *right);
/* Of a column's text; false: the problem is set. */
bool row_read_time(struct row *row, struct csv_field field);

/* ---- rows_json.c ---- */

struct json_reader {
    struct json_t *root; /* of the last row, whose texts it holds; NULL: none */
};
/* Reads a line as an object; false: the problem is set. */
bool json_read_row(struct json_reader *reader, const char *line, size_t length, struct row *row);
void json_reader_free(struct json_reader *reader); /* a zeroed one is fine */

#endif
