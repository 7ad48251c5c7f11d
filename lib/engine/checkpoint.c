#include "internal.h"
#include <base/error.h>
#include <string.h>

typedef poise_code checkpoint_put(void *writer, enum engine_table table, const void *key, size_t key_length,
                                  const void *value, size_t value_length);

struct giving {
    const struct engine *engine;
    checkpoint_put *put;
    void *writer;
    struct buf key, value; /* of the entry in the making */
};

void put_big32(struct buf *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        buf_put_u8(out, (uint8_t)(value >> shift));
    }
}

void put_big64(struct buf *out, uint64_t value)
{
    put_big32(out, (uint32_t)(value >> 32));
    put_big32(out, (uint32_t)value);
}

uint32_t take_big32(struct cursor *in)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        value = value << 8 | cursor_u8(in);
    }
    return value;
}

uint64_t take_big64(struct cursor *in)
{
    uint64_t high = take_big32(in);
    return high << 32 | take_big32(in);
}

void cell_key(const struct feed *feed, uint32_t org, int64_t start_ms, struct buf *out)
{
    put_big64(out, feed->identity);
    put_big32(out, org);
    put_big64(out, (uint64_t)start_ms ^ UINT64_C(1) << 63);
}

static poise_code give(struct giving *giving, enum engine_table table)
{
    poise_code code = giving->key.failed || giving->value.failed
                          ? POISE_ENOMEM
                          : giving->put(giving->writer, table, giving->key.data, giving->key.length,
                                        giving->value.length > 0 ? giving->value.data : (const uint8_t *)"",
                                        giving->value.length);
    buf_reset(&giving->key);
    buf_reset(&giving->value);
    return code;
}

static poise_code give_texts(struct giving *giving, enum engine_table table, const struct intern *texts,
                             size_t from)
{
    poise_code code = POISE_OK;
    for (uint32_t id = (uint32_t)from; id < texts->count && code == POISE_OK; id++) {
        put_big32(&giving->key, id);
        buf_put(&giving->value, intern_text(texts, id), intern_length(texts, id));
        code = give(giving, table);
    }
    return code;
}

static poise_code give_series(struct giving *giving)
{
    const struct engine *engine = giving->engine;
    poise_code code = POISE_OK;
    for (size_t n = engine->saved_series; n < engine->series.numbered && code == POISE_OK; n++) {
        put_big32(&giving->key, (uint32_t)n);
        series_encode(engine, (uint32_t)n, &giving->value);
        code = give(giving, ENGINE_SERIES);
    }
    return code;
}

static poise_code give_seen(struct giving *giving)
{
    struct cursor in = cursor_of(giving->engine->unsaved_seen.data, giving->engine->unsaved_seen.length);
    poise_code code = POISE_OK;
    while (cursor_left(&in) > 0 && code == POISE_OK) {
        size_t length;
        const char *key = cursor_text(&in, &length);
        buf_put(&giving->key, key, length);
        code = give(giving, ENGINE_UNITS);
    }
    return code;
}

static poise_code give_cell(struct giving *giving, struct feed *feed, uint32_t id)
{
    int64_t start_ms = block_of(&giving->engine->cells, id)->start_ms;
    feed->stored_from_ms = start_ms < feed->stored_from_ms ? start_ms : feed->stored_from_ms;
    feed->stored_to_ms = start_ms > feed->stored_to_ms ? start_ms : feed->stored_to_ms;
    cell_key(feed, cell_org(&giving->engine->cells, id), start_ms, &giving->key);
    accumulator_encode(&feed->layout, cell_body(&giving->engine->cells, id), &giving->value);
    return give(giving, ENGINE_CELLS);
}

static poise_code give_cells(struct giving *giving)
{
    const struct numbers *blocks = &giving->engine->unsaved_blocks;
    poise_code code = POISE_OK;
    for (size_t i = 0; i < blocks->count; i++) {
        const struct block *block = &giving->engine->cells.blocks[blocks->items[i]];
        uint16_t bits = block->unsaved;
        while (bits && code == POISE_OK) {
            code = give_cell(giving, block->feed, next_in_block(blocks->items[i], &bits));
        }
    }
    return code;
}

static poise_code give_keys(struct giving *giving)
{
    const struct list *keys = &giving->engine->unsaved_keys;
    poise_code code = POISE_OK;
    for (size_t i = 0; i < keys->count && code == POISE_OK; i++) {
        const struct key *key = keys->items[i];
        put_big64(&giving->key, key->hash.high);
        put_big64(&giving->key, key->hash.low);
        key_encode(key, &giving->value);
        code = give(giving, ENGINE_KEYS);
    }
    return code;
}

static poise_code give_revisions(struct giving *giving)
{
    const struct list *revisions = &giving->engine->unsaved_revisions;
    poise_code code = POISE_OK;
    for (size_t i = 0; i < revisions->count && code == POISE_OK; i++) {
        revision_encode(revisions->items[i], &giving->key, &giving->value);
        code = give(giving, ENGINE_REVISIONS);
    }
    return code;
}

static poise_code give_future(struct giving *giving)
{
    const struct engine *engine = giving->engine;
    poise_code code = POISE_OK;
    for (size_t i = 0; i < engine->unsaved_gone.length && code == POISE_OK; i += FUTURE_KEY_BYTES) {
        code = giving->put(giving->writer, ENGINE_FUTURE, engine->unsaved_gone.data + i, FUTURE_KEY_BYTES,
                           NULL, 0);
    }
    for (size_t i = 0; i < engine->future.count && code == POISE_OK; i++) {
        const struct waiting *waiting = engine->future.items[i].value;
        if (!waiting->saved) {
            future_key(waiting, &giving->key);
            future_encode(engine, waiting, &giving->value);
            code = give(giving, ENGINE_FUTURE);
        }
    }
    return code;
}

/* After the cells: it says which periods they are of. */
static poise_code give_head(struct giving *giving)
{
    const struct engine *engine = giving->engine;
    struct buf *out = &giving->value;
    buf_put_u8(&giving->key, HEAD_KEY);
    buf_put_u8(out, HEAD_FORMAT);
    buf_put_svarint(out, engine->as_of_ms);
    buf_put_varint(out, engine->ordinal);
    buf_put_varint(out, engine->series.numbered);
    buf_put_varint(out, engine->feed_count);
    for (size_t i = 0; i < engine->feed_count; i++) {
        buf_put_u64(out, engine->feeds[i]->identity);
        buf_put_svarint(out, engine->feeds[i]->stored_from_ms);
        buf_put_svarint(out, engine->feeds[i]->stored_to_ms);
    }
    buf_put_varint(out, engine->backfill_count);
    for (size_t i = 0; i < engine->backfill_count; i++) {
        buf_put_u64(out, engine->backfills[i].who);
        buf_put_svarint(out, engine->backfills[i].heard_ms);
    }
    return give(giving, ENGINE_HEAD);
}

static poise_code give_all(struct giving *giving)
{
    const struct engine *engine = giving->engine;
    poise_code code = give_texts(giving, ENGINE_ORGS, &engine->orgs, engine->saved_orgs);
    if (code == POISE_OK) {
        code = give_texts(giving, ENGINE_SOURCES, &engine->sources, engine->saved_sources);
    }
    poise_code (*const steps[])(struct giving *) = {give_series,    give_seen,   give_cells, give_keys,
                                                    give_revisions, give_future, give_head};
    for (size_t i = 0; i < sizeof steps / sizeof *steps && code == POISE_OK; i++) {
        code = steps[i](giving);
    }
    return code;
}

poise_code engine_checkpoint(struct engine *engine, checkpoint_put *put, void *writer, poise_error *err)
{
    if (engine->broken) {
        return error_set(err, POISE_ECLOSED, "the engine has failed before; it must be closed");
    }
    if (engine->options.offline || engine_dirty(engine) || engine_holds(engine)) {
        return error_set(err, POISE_EINVAL, "a checkpoint is of a settled live engine");
    }
    struct giving giving = {.engine = engine, .put = put, .writer = writer};
    poise_code code = give_all(&giving);
    buf_free(&giving.key);
    buf_free(&giving.value);
    return code == POISE_OK ? code : error_set(err, code, "the engine's state could not be written out");
}

void engine_checkpoint_done(struct engine *engine)
{
    for (size_t i = 0; i < engine->unsaved_blocks.count; i++) {
        engine->cells.blocks[engine->unsaved_blocks.items[i]].unsaved = 0;
    }
    for (size_t i = 0; i < engine->unsaved_keys.count; i++) {
        ((struct key *)engine->unsaved_keys.items[i])->unsaved = false;
    }
    for (size_t i = 0; i < engine->future.count; i++) {
        ((struct waiting *)engine->future.items[i].value)->saved = true;
    }
    engine->unsaved_blocks.count = 0;
    engine->unsaved_keys.count = 0;
    buf_reset(&engine->unsaved_seen);
    buf_reset(&engine->unsaved_gone);
    engine->saved_orgs = engine->orgs.count;
    engine->saved_sources = engine->sources.count;
    engine->saved_series = engine->series.numbered;
    revisions_saved(engine);
    cells_shrink(engine);
    if (engine->keys.count > engine->options.max_cells) {
        keys_free(engine);
    }
}
