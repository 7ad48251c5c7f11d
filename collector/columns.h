/* Columns by name: the cells that a mapping wants of a record, and where a header puts them. */
#ifndef COLLECTOR_COLUMNS_H
#define COLLECTOR_COLUMNS_H

#include <base/arena.h>
#include <base/csv.h>
#include <poise/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COLUMNS_MAX = 256, COLUMN_NONE = -1 };

/* The wanted columns; a slot is an index of it. */
struct columns {
    const char *names[COLUMNS_MAX];
    size_t count;
};
/* The slot of a name, which must outlive the columns; added if new. COLUMN_NONE: too many. */
int columns_slot(struct columns *columns, const char *name);

/* Where the wanted columns stand in the records of one file. */
struct binding {
    size_t width; /* fields of every record */
    size_t field[COLUMNS_MAX];
};
/* EINVAL names every wanted column that the header lacks or has twice. */
poise_code binding_make(const struct columns *columns, const struct csv_field *header, size_t count,
                        struct binding *ret_binding, poise_error *err);
/* Puts the wanted cells of a record into cells[slot]; EREFUSED with the reason. */
poise_code binding_cells(const struct binding *binding, size_t wanted, const struct csv_record *record,
                         struct csv_field *cells, poise_error *err);

/* Text of outside as a message may show it: at most 60 bytes, printable UTF-8, ended by 0. */
enum { SHOWN_MAX = 64 };
const char *shown(const char *text, size_t length, char out[SHOWN_MAX]);

#endif
