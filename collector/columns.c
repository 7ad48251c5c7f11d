#include <base/buf.h>
#include <base/error.h>
#include <base/text.h>
#include <collector/columns.h>
#include <string.h>

int columns_slot(struct columns *columns, const char *name)
{
    size_t slot = 0;
    while (slot < columns->count && strcmp(columns->names[slot], name) != 0) {
        slot++;
    }
    if (slot == COLUMNS_MAX) {
        return COLUMN_NONE;
    }
    if (slot == columns->count) {
        columns->names[columns->count++] = name;
    }
    return (int)slot;
}

static bool named(const struct csv_field *field, const char *name)
{
    return field->length == strlen(name) && memcmp(field->text, name, field->length) == 0;
}

/* "Case ID, Activity, ..." for people who look for the right name. */
static void put_header(struct buf *out, const struct csv_field *header, size_t count)
{
    char cell[SHOWN_MAX];
    for (size_t i = 0; i < count && out->length < POISE_ERROR_TEXT_MAX; i++) {
        buf_printf(out, "%s%s", i == 0 ? "" : ", ", shown(header[i].text, header[i].length, cell));
    }
}

poise_code binding_make(const struct columns *columns, const struct csv_field *header, size_t count,
                        struct binding *ret_binding, poise_error *err)
{
    struct binding binding = {.width = count};
    struct buf wrong = {0};
    for (size_t slot = 0; slot < columns->count; slot++) {
        size_t found = 0;
        for (size_t i = 0; i < count; i++) {
            if (named(&header[i], columns->names[slot])) {
                binding.field[slot] = i;
                found++;
            }
        }
        if (found != 1) {
            buf_printf(&wrong, "%s column '%s', ", found == 0 ? "no" : "more than one", columns->names[slot]);
        }
    }
    poise_code code = POISE_OK;
    if (wrong.length > 0 || wrong.failed) {
        buf_printf(&wrong, "but: ");
        put_header(&wrong, header, count);
        code =
            error_set(err, POISE_EINVAL, "the header has %.*s", (int)wrong.length, (const char *)wrong.data);
    } else {
        *ret_binding = binding;
    }
    buf_free(&wrong);
    return code;
}

poise_code binding_cells(const struct binding *binding, size_t wanted, const struct csv_record *record,
                         struct csv_field *cells, poise_error *err)
{
    if (record->problem) {
        return error_set(err, POISE_EREFUSED, "%s", record->problem);
    }
    if (record->count != binding->width) {
        return error_set(err, POISE_EREFUSED, "the row has %zu fields, and the header %zu", record->count,
                         binding->width);
    }
    for (size_t slot = 0; slot < wanted; slot++) {
        cells[slot] = record->fields[binding->field[slot]];
    }
    return POISE_OK;
}

const char *shown(const char *text, size_t length, char out[SHOWN_MAX])
{
    enum { ROOM = SHOWN_MAX - 4 };
    size_t keep = length < ROOM ? length : ROOM;
    bool readable = utf8_printable(text, length);
    while (readable && keep < length && keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80) {
        keep--; /* whole code points */
    }
    for (size_t i = 0; i < keep; i++) {
        bool plain = readable || (text[i] >= 0x20 && text[i] < 0x7f);
        out[i] = text[i];
        if (!plain) {
            out[i] = '?';
        }
    }
    memcpy(out + keep, keep < length ? "..." : "", keep < length ? 4 : 1);
    return out;
}
