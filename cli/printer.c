#include "printer.h"
#include "state_text.h"
#include <base/arena.h>
#include <stdlib.h>
#include <string.h>

enum { WRITE_BEYOND = 65536 };

struct printer {
    enum output_format format;
    struct table_style style;
    FILE *out;
    struct buf text;
    size_t printed; /* states, or tables */
    /* The table that waits to be whole. */
    struct arena arena;
    struct table_row *rows;
    size_t count, capacity;
};

struct printer *printer_open(enum output_format format, const struct table_style *style, FILE *out)
{
    struct printer *printer = calloc(1, sizeof *printer);
    if (printer) {
        printer->format = format;
        printer->style = *style;
        printer->out = out;
        arena_init(&printer->arena, 0);
    }
    return printer;
}

void printer_close(struct printer *printer)
{
    if (printer) {
        buf_free(&printer->text);
        arena_free(&printer->arena);
        free(printer->rows);
        free(printer);
    }
}

/* Writes what waits if it is more than that. */
static poise_code write_text(struct printer *printer, size_t threshold)
{
    if (printer->text.failed) {
        return POISE_ENOMEM;
    }
    if (printer->text.length > threshold) {
        fwrite(printer->text.data, 1, printer->text.length, printer->out);
        buf_reset(&printer->text);
    }
    return POISE_OK;
}

static void put_waiting_table(struct printer *printer)
{
    if (printer->count > 0) {
        if (printer->printed++ > 0) {
            buf_put_u8(&printer->text, '\n');
        }
        table_put(&printer->text, &printer->style, printer->rows[0].state->as_of_ms, printer->rows,
                  printer->count);
        printer->count = 0;
        arena_reset(&printer->arena);
    }
}

/* The length of the scorecard's id in a node's path. */
static size_t card_length(const char *node)
{
    return strcspn(node, "/");
}

static bool same_table(const poise_state *a, const poise_state *b)
{
    size_t length = card_length(a->node);
    return a->as_of_ms == b->as_of_ms && strcmp(a->org, b->org) == 0 && length == card_length(b->node) &&
           memcmp(a->node, b->node, length) == 0;
}

static poise_code keep_row(struct printer *printer, const poise_state *state)
{
    if (printer->count == printer->capacity) {
        size_t capacity = printer->capacity ? 2 * printer->capacity : 64;
        struct table_row *rows = realloc(printer->rows, capacity * sizeof *rows);
        if (!rows) {
            return POISE_ENOMEM;
        }
        printer->rows = rows;
        printer->capacity = capacity;
    }
    poise_state *kept = arena_alloc(&printer->arena, sizeof *kept);
    if (!kept) {
        return POISE_ENOMEM;
    }
    *kept = *state;
    kept->org = arena_strndup(&printer->arena, state->org, strlen(state->org));
    kept->node = arena_strndup(&printer->arena, state->node, strlen(state->node));
    kept->name = arena_strndup(&printer->arena, state->name, strlen(state->name));
    if (!kept->org || !kept->node || !kept->name) {
        return POISE_ENOMEM;
    }
    printer->rows[printer->count++] = (struct table_row){.state = kept};
    return POISE_OK;
}

poise_code printer_state(void *visitor, const poise_state *state)
{
    struct printer *printer = visitor;
    switch (printer->format) {
    case OUTPUT_TABLE:
        if (printer->count > 0 && !same_table(printer->rows[0].state, state)) {
            put_waiting_table(printer);
        }
        if (keep_row(printer, state) != POISE_OK) {
            return POISE_ENOMEM;
        }
        break;
    case OUTPUT_JSON:
        buf_put(&printer->text, printer->printed++ ? ",\n" : "[\n", 2);
        state_put_json(&printer->text, state);
        break;
    case OUTPUT_CSV:
        if (printer->printed++ == 0) {
            state_put_csv_header(&printer->text);
        }
        state_put_csv(&printer->text, state);
        break;
    }
    return write_text(printer, WRITE_BEYOND);
}

poise_code printer_end(struct printer *printer)
{
    switch (printer->format) {
    case OUTPUT_TABLE:
        put_waiting_table(printer);
        break;
    case OUTPUT_JSON:
        if (printer->printed == 0) {
            buf_put(&printer->text, "[", 1);
        }
        buf_put(&printer->text, "\n]\n", 3);
        break;
    case OUTPUT_CSV:
        if (printer->printed == 0) {
            state_put_csv_header(&printer->text);
        }
        break;
    }
    return write_text(printer, 0);
}
