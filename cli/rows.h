/* Measurements from a file: CSV (scoring.md section 9) with the header
 * `time,measure,org,value,of,key,seq,source,retract` in any order, of which all but the first four may be
 * absent, or JSON Lines, an object a line with members of these names. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include <base/csv.h>
#include <poise/types.h>

struct rows; /* opaque */

enum { ROW_PROBLEM_MAX = 200 };
enum rows_format { ROWS_BY_NAME, ROWS_CSV, ROWS_JSON };
/* ROWS_BY_NAME: JSON Lines where the name ends in .jsonl, .ndjson or .json, else CSV. */
enum rows_format rows_format_of(enum rows_format format, const char *path);

/* A data record. Texts are not ended by 0 and live until the next call; an absent one has length 0. */
struct row {
    uint64_t line;
    struct csv_field measure, org, source, key;
    int64_t time_ms; /* with retract: 0, like value */
    double value, of;
    uint64_t seq; /* 0: none */
    bool retract;
    bool readable;
    char problem[ROW_PROBLEM_MAX]; /* why not */
};

/* Copies a text and ends it by 0. Of one that is too long the start is kept, so that it stays too long where
 * the room is one byte more than allowed. A NUL within, which would end it early, becomes a control
 * character, which is as wrong. */
void row_text(struct csv_field field, char *text, size_t size);
/* The texts of a row so copied. */
struct row_texts {
    char measure[POISE_ID_MAX + 2];
    char org[POISE_ORG_MAX + 2];
    char source[POISE_SOURCE_MAX + 2];
    char key[POISE_KEY_MAX + 2];
};
void row_texts_of(const struct row *row, struct row_texts *ret_texts);

/* "-" is standard input. Reads the header of CSV: ECONFIG if it is not right. */
poise_code rows_open(const char *path, enum rows_format format, struct rows **ret_rows, poise_error *err);
void rows_close(struct rows *rows);
/* What to call the input in messages: the path, or "standard input". */
const char *rows_name(const struct rows *rows);
/* So many bytes of the input were read, of so many (0: not known). */
void rows_progress(const struct rows *rows, uint64_t *ret_done, uint64_t *ret_total);
/* The next data record; *ret_more false at the end. */
poise_code rows_next(struct rows *rows, struct row *ret_row, bool *ret_more, poise_error *err);

#endif
