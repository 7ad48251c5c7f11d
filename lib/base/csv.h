/* A CSV reader (RFC 4180, any one-byte delimiter, LF or CRLF, quoted fields may hold both). It is fed bytes
 * as they come and knows the line and the byte offset of every record, which a library with callbacks a field
 * does not give, and on which following a growing file and error messages rest. */
#ifndef BASE_CSV_H
#define BASE_CSV_H

#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CSV_FIELDS_MAX = 256, CSV_RECORD_MAX = 65536 };

struct csv_field {
    const char *text; /* not ended by 0; valid until the next call */
    size_t length;
};
struct csv_record {
    struct csv_field fields[CSV_FIELDS_MAX];
    size_t count;
    uint64_t line;   /* where it starts, from 1 */
    uint64_t offset; /* of its first byte in the input */
    uint64_t end;    /* offset after its line end */
    const char *raw; /* its bytes as they came, without the line end */
    size_t raw_length;
    const char *problem; /* not NULL: cannot be read (too long, too many fields, stray quote); skip it */
};

struct csv_reader;                           /* opaque */
struct csv_reader *csv_open(char delimiter); /* NULL: out of memory */
void csv_close(struct csv_reader *reader);
/* Continues a file at a known record start. */
void csv_seek(struct csv_reader *reader, uint64_t offset, uint64_t line);
poise_code csv_feed(struct csv_reader *reader, const void *bytes, size_t length); /* ENOMEM */
/* The next whole record; false: feed more. With `at_end` what is left without a line end is a record too.
 * Blank lines are skipped. A UTF-8 byte order mark at offset 0 is skipped. A record with a problem has no
 * fields and ends with its first line, so that a stray quote costs one line and not the file; of a line that
 * is too long, raw is the first CSV_RECORD_MAX bytes. On false, *ret_record holds nothing. */
bool csv_next(struct csv_reader *reader, bool at_end, struct csv_record *ret_record);

struct buf;
/* Appends a field, quoted when it must be. */
void csv_put(struct buf *out, const char *text, size_t length, char delimiter);

#endif
