#include "stored.h"

#include "writer_private.h"
#include <base/error.h>
#include <string.h>

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

/* ---- orgs of series that a retraction has numbered ---- */

enum { ORG_BYTES = 4 };

static poise_code note_key(void *keys, struct cursor key, struct cursor value)
{
    (void)value;
    buf_put_text(keys, (const char *)key.at, cursor_left(&key));
    return ((struct buf *)keys)->failed ? POISE_ENOMEM : POISE_OK;
}

/* Key: the org's number, then the input. */
static poise_code visit_seen(struct stored *stored, const char *key, size_t length,
                             poise_code (*visit)(void *visitor, const char *measure, const char *org),
                             void *visitor, poise_error *err)
{
    char measure[POISE_ID_MAX + 1] = "";
    struct buf org = {0};
    bool fits = length >= ORG_BYTES && length - ORG_BYTES < sizeof measure;
    poise_code code = fits ? store_reader_get(stored->reader, STORE_ORGS, key, ORG_BYTES, &org, err)
                           : error_set(err, POISE_ECORRUPT, "the stored list of units is damaged");
    buf_put_u8(&org, 0);
    if (!code && org.failed)
        code = error_nomem(err, "an org");
    if (!code) {
        memcpy(measure, key + ORG_BYTES, length - ORG_BYTES);
        code = visit(visitor, measure, (const char *)org.data);
    }
    buf_free(&org);
    return code;
}

poise_code stored_seen(struct stored *stored, uint64_t until,
                       poise_code (*visit)(void *visitor, const char *measure, const char *org),
                       void *visitor, poise_error *err)
{
    struct buf keys = {0};
    poise_code code = open_reader(stored, err);
    if (!code && store_reader_state_lsn(stored->reader) <= until)
        code = store_reader_walk(stored->reader, STORE_UNITS, note_key, &keys, err);
    struct cursor in = cursor_of(keys.data, keys.length);
    while (!code && cursor_left(&in) > 0) {
        size_t length;
        const char *key = cursor_text(&in, &length);
        code = visit_seen(stored, key, length, visit, visitor, err);
    }
    buf_free(&keys);
    return code;
}

void stored_close(struct stored *stored)
{
    store_reader_close(stored->reader);
    stored->reader = NULL;
}
