#include "stored.h"

#include "writer_private.h"

static poise_code open_reader(struct stored *stored, poise_error *err)
{
    return stored->reader ? POISE_OK : store_reader_open(stored->store, &stored->reader, err);
}

/* Keys are those of the rows that are read. */
static poise_code load(void *context, enum engine_table table, const void *key, size_t length,
                       struct buf *out, poise_error *err)
{
    struct stored *stored = context;
    if (table != ENGINE_HEAD && table != ENGINE_CELLS)
        return POISE_ENOTFOUND;
    poise_code code = open_reader(stored, err);
    return code ? code : store_reader_get(stored->reader, store_table_of(table), key, length, out, err);
}

static poise_code walk(void *context, enum engine_table table,
                       poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                       void *visitor, poise_error *err)
{
    struct stored *stored = context;
    poise_code code = open_reader(stored, err);
    return code ? code : store_reader_walk(stored->reader, store_table_of(table), visit, visitor, err);
}

struct engine_ports stored_ports(struct stored *stored)
{
    return (struct engine_ports){.context = stored, .load = load, .walk = walk};
}

void stored_close(struct stored *stored)
{
    store_reader_close(stored->reader);
    stored->reader = NULL;
}
