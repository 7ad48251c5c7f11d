#include "dump.h"

#include <base/error.h>
#include <base/hash.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

enum { CURSOR_VERSION = 2, CURSOR_BYTES = 1 + 8 + 8 + 8 + 8 };

/* ---- what is asked ---- */

static poise_code copy(char *to, size_t room, const char *text, const char *what, poise_error *err)
{
    size_t length = strlen(text);
    if (length >= room)
        return error_set(err, POISE_EPROTO, "the %s of a dump has more than %zu bytes", what, room - 1);
    memcpy(to, text, length + 1);
    return POISE_OK;
}

poise_code dump_open(const struct wire_dump *asked, struct dump **ret_dump, poise_error *err)
{
    if (asked->from_ms >= asked->to_ms)
        return error_set(err, POISE_EPROTO, "the time that a dump is of must begin before it ends");
    if (asked->org[0] && !glob_valid(asked->org))
        return error_set(err, POISE_EPROTO, "'%.200s' is no org and no glob of orgs", asked->org);
    struct dump *dump = calloc(1, sizeof *dump);
    if (!dump)
        return error_nomem(err, "a dump");
    dump->from_ms = asked->from_ms;
    dump->to_ms = asked->to_ms;
    dump->keyed = asked->keyed;
    dump->cursor_length = asked->cursor_length; /* which decoding has checked */
    if (asked->cursor_length)
        memcpy(dump->cursor, asked->cursor, asked->cursor_length);
    poise_code code = copy(dump->measure, sizeof dump->measure, asked->measure, "measure", err);
    if (!code)
        code = copy(dump->org, sizeof dump->org, asked->org, "org", err);
    if (code) {
        dump_free(dump);
        return code;
    }
    *ret_dump = dump;
    return POISE_OK;
}

void dump_free(struct dump *dump)
{
    free(dump);
}

/* ---- the cursor ---- */

struct place_in_dump {
    struct rows_position at;
    uint64_t until;
};

/* Of a store, as of its last restore, and of what is asked: a cursor of another means nothing here. */
static uint64_t seal(const struct dump *dump, const struct store *store, const void *bytes, size_t length)
{
    uint8_t id[16];
    store_id(store, id);
    uint64_t hash = hash64(id, sizeof id, store_incarnation(store));
    hash = hash64(dump->measure, strlen(dump->measure) + 1, hash);
    hash = hash64(dump->org, strlen(dump->org) + 1, hash);
    hash = hash_mix(hash, (uint64_t)dump->from_ms);
    hash = hash_mix(hash, (uint64_t)dump->to_ms);
    return hash64(bytes, length, hash_mix(hash, dump->keyed));
}

static void put_cursor(const struct dump *dump, const struct store *store, const struct place_in_dump *place,
                       struct buf *out)
{
    buf_put_u8(out, CURSOR_VERSION);
    buf_put_u64(out, place->until);
    buf_put_u64(out, place->at.lsn);
    buf_put_u64(out, place->at.place);
    if (!out->failed)
        buf_put_u64(out, seal(dump, store, out->data, out->length));
}

static poise_code take_cursor(const struct dump *dump, const struct store *store,
                              struct place_in_dump *ret_place, poise_error *err)
{
    struct cursor in = cursor_of(dump->cursor, dump->cursor_length);
    struct place_in_dump place = {.until = store_last_lsn(store)};
    if (dump->cursor_length) {
        bool whole = dump->cursor_length == CURSOR_BYTES && cursor_u8(&in) == CURSOR_VERSION;
        place.until = cursor_u64(&in);
        place.at.lsn = cursor_u64(&in);
        place.at.place = cursor_u64(&in);
        if (!whole || cursor_u64(&in) != seal(dump, store, dump->cursor, CURSOR_BYTES - 8) || !place.at.lsn ||
            place.at.lsn > place.until || place.until > store_last_lsn(store))
            return error_set(err, POISE_EPROTO,
                             "the cursor is of no dump of this store with these words: begin the dump anew");
    }
    *ret_place = place;
    return POISE_OK;
}

/* ---- the page ---- */

struct page {
    const struct dump *dump;
    struct wire_builder *builder;
    uint64_t places[DUMP_ROWS_MAX];
    size_t count, looked;
    int64_t dropped_ms;
    poise_error *err;
};

static bool is_wanted(void *visitor, const char *measure, const char *org)
{
    const struct dump *dump = ((struct page *)visitor)->dump;
    return (!dump->measure[0] || strcmp(dump->measure, measure) == 0) &&
           (!dump->org[0] || org_matches(dump->org, org));
}

static poise_code add_row(void *visitor, const poise_measurement *row, uint64_t place)
{
    struct page *page = visitor;
    const struct dump *dump = page->dump;
    if (!row->retract && (row->time_ms < dump->from_ms || row->time_ms >= dump->to_ms))
        return POISE_OK;
    if (dump->keyed && !row->key)
        return POISE_OK;
    poise_code code = wire_builder_add(page->builder, row);
    if (code)
        return code == POISE_EFULL ? POISE_ECLOSED : error_nomem(page->err, "a page of a dump");
    page->places[page->count++] = place;
    return POISE_OK;
}

static bool has_time(void *visitor, size_t bytes)
{
    struct page *page = visitor;
    page->looked += bytes;
    return page->looked < DUMP_LOOK_BYTES;
}

/* Before it some of what is wanted may be dropped; 0: none. */
static int64_t dropped_ms(const struct dump *dump, const struct definitions *definitions)
{
    int64_t latest_ms = 0;
    for (size_t i = 0; i < definitions->frozen_count; i++) {
        const struct frozen *frozen = &definitions->frozen[i];
        bool wanted = !dump->measure[0] || strcmp(dump->measure, frozen->input) == 0;
        if (wanted && frozen->until_ms > latest_ms)
            latest_ms = frozen->until_ms;
    }
    return dump->from_ms < latest_ms ? latest_ms : 0;
}

static poise_code put_page(struct page *page, uint64_t id, const struct store *store,
                           const struct place_in_dump *place, struct buf *out)
{
    struct buf batch = {0}, cursor = {0};
    poise_code code = POISE_OK;
    if (page->count)
        code = wire_builder_finish(page->builder, 1, 1, &batch);
    if (place->at.lsn <= place->until)
        put_cursor(page->dump, store, place, &cursor);
    struct wire_rows rows = {.id = id,
                             .batch = batch.data,
                             .batch_length = batch.length,
                             .places = page->places,
                             .count = page->count,
                             .cursor = cursor.data,
                             .cursor_length = cursor.length,
                             .done = place->at.lsn - 1,
                             .total = place->until,
                             .dropped_ms = page->dropped_ms};
    if (!code && !cursor.failed)
        code = wire_encode_rows(&rows, out);
    if (code || cursor.failed)
        code = error_nomem(page->err, "a page of a dump");
    buf_free(&batch);
    buf_free(&cursor);
    return code;
}

poise_code dump_page(const struct dump *dump, uint64_t id, struct store *store, struct rows_memory *memory,
                     const _Atomic bool *stop, struct buf *out, poise_error *err)
{
    struct place_in_dump place;
    poise_code code = take_cursor(dump, store, &place, err);
    if (code)
        return code;
    struct page *page = calloc(1, sizeof *page);
    struct wire_builder *builder = wire_builder_open();
    if (page && builder) {
        wire_builder_limits(builder, DUMP_ROWS_MAX, DUMP_BATCH_BYTES);
        *page = (struct page){.dump = dump, .builder = builder, .err = err};
        const struct rows_visit visit = {
            .wanted = is_wanted, .row = add_row, .go_on = has_time, .visitor = page, .stop = stop};
        code = rows_frozen(store, memory, stop, err);
        page->dropped_ms = dropped_ms(dump, &memory->definitions);
        if (!code)
            code = rows_read(store, memory, &place.at, place.until, &visit, err);
        if (!code)
            code = put_page(page, id, store, &place, out);
    } else {
        code = error_nomem(err, "a page of a dump");
    }
    wire_builder_close(builder);
    free(page);
    return code;
}
