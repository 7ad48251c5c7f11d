#include "internal.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

void put_big32(struct buf *out, uint32_t value)
{
    uint8_t bytes[sizeof value];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    }
    buf_put(out, bytes, sizeof bytes);
}

void put_big64(struct buf *out, uint64_t value)
{
    uint8_t bytes[sizeof value];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    }
    buf_put(out, bytes, sizeof bytes);
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

int64_t take_start(struct cursor *key)
{
    return (int64_t)(take_big64(key) ^ UINT64_C(1) << 63);
}

static poise_code give(struct engine *engine, enum engine_table table)
{
    struct giving *giving = &engine->giving;
    poise_code code = giving->key.failed || giving->value.failed
                          ? POISE_ENOMEM
                          : giving->put(giving->writer, table, giving->key.data, giving->key.length,
                                        giving->value.length > 0 ? giving->value.data : (const uint8_t *)"",
                                        giving->value.length);
    buf_reset(&giving->key);
    buf_reset(&giving->value);
    giving->given++;
    return code;
}

static poise_code give_texts(struct engine *engine, enum engine_table table, const struct intern *texts,
                             size_t *at, size_t to, size_t budget)
{
    struct giving *giving = &engine->giving;
    poise_code code = POISE_OK;
    for (; *at < to && giving->given < budget && code == POISE_OK; (*at)++) {
        put_big32(&giving->key, (uint32_t)*at);
        buf_put(&giving->value, intern_text(texts, (uint32_t)*at), intern_length(texts, (uint32_t)*at));
        code = give(engine, table);
    }
    return code;
}

static poise_code give_series(struct engine *engine, size_t budget)
{
    struct giving *giving = &engine->giving;
    poise_code code = POISE_OK;
    for (; giving->series_at < giving->series && giving->given < budget && code == POISE_OK;
         giving->series_at++) {
        put_big32(&giving->key, (uint32_t)giving->series_at);
        series_encode(engine, (uint32_t)giving->series_at, &giving->value);
        code = give(engine, ENGINE_SERIES);
    }
    return code;
}

static poise_code give_orgs(struct engine *engine, size_t budget)
{
    struct giving *giving = &engine->giving;
    return give_texts(engine, ENGINE_ORGS, &engine->orgs, &giving->org_at, giving->orgs, budget);
}

static poise_code give_sources(struct engine *engine, size_t budget)
{
    struct giving *giving = &engine->giving;
    return give_texts(engine, ENGINE_SOURCES, &engine->sources, &giving->source_at, giving->sources, budget);
}

static poise_code give_seen(struct engine *engine, size_t budget)
{
    struct giving *giving = &engine->giving;
    struct cursor in = cursor_of(giving->seen.data, giving->seen.length);
    poise_code code = POISE_OK;
    in.at += giving->seen_at;
    while (cursor_left(&in) > 0 && giving->given < budget && code == POISE_OK) {
        size_t length;
        const char *key = cursor_text(&in, &length);
        buf_put(&giving->key, key, length);
        code = give(engine, ENGINE_UNITS);
        giving->seen_at = (size_t)(in.at - giving->seen.data);
    }
    return code;
}

static poise_code give_cell(struct engine *engine, struct feed *feed, uint32_t id)
{
    struct giving *giving = &engine->giving;
    int64_t start_ms = block_of(&engine->cells, id)->start_ms;
    feed->stored_from_ms = start_ms < feed->stored_from_ms ? start_ms : feed->stored_from_ms;
    feed->stored_to_ms = start_ms > feed->stored_to_ms ? start_ms : feed->stored_to_ms;
    cell_key(feed, cell_org(&engine->cells, id), start_ms, &giving->key);
    accumulator_encode(&feed->layout, cell_body(&engine->cells, id), &giving->value);
    return give(engine, ENGINE_CELLS);
}

/* The block's cells as they were when the checkpoint began: they change only behind this. */
static poise_code give_block(struct engine *engine, uint32_t number)
{
    struct block *block = &engine->cells.blocks[number];
    uint16_t bits = block->unsaved;
    poise_code code = POISE_OK;
    if (!numbers_push(&engine->giving.given_bits, bits) ||
        !numbers_push(&engine->giving.given_blocks, number)) {
        return POISE_ENOMEM;
    }
    block->unsaved = 0;
    while (bits && code == POISE_OK) {
        code = give_cell(engine, block->feed, next_in_block(number, &bits));
    }
    return code;
}

static bool is_to_be_given(const struct engine *engine, const struct block *block)
{
    return engine->giving.put && block->unsaved && block->turn != engine->turn;
}

void checkpoint_before_change(struct engine *engine, uint32_t cell)
{
    struct giving *giving = &engine->giving;
    if (!is_to_be_given(engine, block_of(&engine->cells, cell))) {
        return;
    }
    if (giving->code == POISE_OK) {
        giving->code = give_block(engine, cell / BLOCK_CELLS);
    } else { /* it has failed: the block is of those that are unsaved from here on */
        engine->broken |= !numbers_push(&engine->unsaved_blocks, cell / BLOCK_CELLS);
    }
}

static poise_code give_cells(struct engine *engine, size_t budget)
{
    struct giving *giving = &engine->giving;
    poise_code code = POISE_OK;
    for (; giving->block_at < giving->blocks.count && giving->given < budget && code == POISE_OK;
         giving->block_at++) {
        uint32_t number = giving->blocks.items[giving->block_at];
        giving->given++;
        if (is_to_be_given(engine, &engine->cells.blocks[number])) {
            code = give_block(engine, number);
        }
    }
    return code;
}

static int by_hash(const void *left, const void *right)
{
    const struct ordered_key *a = left, *b = right;
    if (a->high != b->high) {
        return a->high < b->high ? -1 : 1;
    }
    return (a->key->hash.low > b->key->hash.low) - (a->key->hash.low < b->key->hash.low);
}

/* The unsaved keys of the next shard. */
static poise_code order_shard(struct giving *giving)
{
    struct key_order *order = &giving->key_order;
    const struct hmap *shard = &giving->keys.shards[giving->shard_at++];
    const struct key *key;
    if (shard->count > order->capacity) {
        struct ordered_key *items = realloc(order->items, shard->count * sizeof *items);
        if (!items) {
            return POISE_ENOMEM;
        }
        order->items = items;
        order->capacity = shard->count;
    }
    order->count = order->at = 0;
    for (size_t at = 0; (key = hmap_next(shard, &at));) {
        if (key->unsaved) {
            order->items[order->count++] = (struct ordered_key){.high = key->hash.high, .key = key};
        }
    }
    if (order->count > 0) {
        qsort(order->items, order->count, sizeof *order->items, by_hash);
    }
    giving->given += shard->count / 2; /* it took its time, too */
    return POISE_OK;
}

/* In the order of their hashes, so that the store can write them as one run. */
static poise_code give_keys(struct engine *engine, size_t budget)
{
    struct giving *giving = &engine->giving;
    struct key_order *order = &giving->key_order;
    poise_code code = POISE_OK;
    while (giving->given < budget && code == POISE_OK) {
        if (order->at < order->count) {
            const struct key *key = order->items[order->at++].key;
            key_name(&key->hash, &giving->key);
            key_encode(key, &giving->value);
            code = give(engine, ENGINE_KEYS);
        } else if (giving->shard_at < KEY_SHARDS) {
            code = order_shard(giving);
        } else {
            giving->all_given = giving->given < budget;
            break;
        }
    }
    return code;
}

/* After the cells: it says which periods they are of. Before the keys, so that nothing comes between them. */
static poise_code give_head(struct engine *engine, size_t budget)
{
    struct giving *giving = &engine->giving;
    struct buf *out = &giving->value;
    if (giving->given >= budget || giving->head_given) {
        return POISE_OK;
    }
    buf_put_u8(&giving->key, HEAD_KEY);
    buf_put_u8(out, HEAD_FORMAT);
    buf_put_svarint(out, giving->as_of_ms);
    buf_put_varint(out, giving->ordinal);
    buf_put_varint(out, giving->series);
    buf_put_varint(out, engine->feed_count);
    for (size_t i = 0; i < engine->feed_count; i++) {
        buf_put_u64(out, engine->feeds[i]->identity);
        buf_put_svarint(out, engine->feeds[i]->stored_from_ms);
        buf_put_svarint(out, engine->feeds[i]->stored_to_ms);
    }
    buf_put(out, giving->backfills.data, giving->backfills.length);
    out->failed |= giving->backfills.failed;
    for (size_t i = 0; i < engine->feed_count; i++) {
        buf_put_u64(out, engine->feeds[i]->likeness);
    }
    giving->head_given = true;
    return give(engine, ENGINE_HEAD);
}

/* ---- what is given at once: there is little of it ---- */

static poise_code give_revisions(struct engine *engine)
{
    const struct list *revisions = &engine->giving.revisions;
    poise_code code = POISE_OK;
    for (size_t i = 0; i < revisions->count && code == POISE_OK; i++) {
        revision_encode(revisions->items[i], &engine->giving.key, &engine->giving.value);
        code = give(engine, ENGINE_REVISIONS);
    }
    return code;
}

static poise_code give_future(struct engine *engine)
{
    struct giving *giving = &engine->giving;
    poise_code code = POISE_OK;
    for (size_t i = 0; i < giving->gone.length && code == POISE_OK; i += FUTURE_KEY_BYTES) {
        code = giving->put(giving->writer, ENGINE_FUTURE, giving->gone.data + i, FUTURE_KEY_BYTES, NULL, 0);
    }
    for (size_t i = 0; i < engine->future.count && code == POISE_OK; i++) {
        struct waiting *waiting = engine->future.items[i].value;
        if (!waiting->saved && !waiting->erased) {
            future_key(waiting, &giving->key);
            future_encode(engine, waiting, &giving->value);
            waiting->saved = true;
            code = give(engine, ENGINE_FUTURE);
        }
    }
    return code;
}

static void keep_backfills(struct engine *engine)
{
    struct buf *out = &engine->giving.backfills;
    buf_put_varint(out, engine->backfill_count);
    for (size_t i = 0; i < engine->backfill_count; i++) {
        buf_put_u64(out, engine->backfills[i].who);
        buf_put_svarint(out, engine->backfills[i].heard_ms);
    }
}

/* ---- the checkpoint ---- */

static poise_code check(const struct engine *engine, poise_error *err)
{
    if (engine->broken) {
        return error_set(err, POISE_ECLOSED, "the engine has failed before; it must be closed");
    }
    if (engine->options.offline || engine_dirty(engine) || engine_holds(engine) || engine->giving.put) {
        return error_set(err, POISE_EINVAL, "a checkpoint is of a settled live engine, one at a time");
    }
    return POISE_OK;
}

poise_code engine_checkpoint_begin(struct engine *engine, engine_put *put, void *writer, poise_error *err)
{
    poise_code code = check(engine, err);
    if (code != POISE_OK) {
        return code;
    }
    struct giving *giving = &engine->giving;
    *giving = (struct giving){.put = put,
                              .writer = writer,
                              .blocks = engine->unsaved_blocks,
                              .keys = engine->keys,
                              .seen = engine->unsaved_seen,
                              .gone = engine->unsaved_gone,
                              .org_at = engine->saved_orgs,
                              .orgs = engine->orgs.count,
                              .source_at = engine->saved_sources,
                              .sources = engine->sources.count,
                              .series_at = engine->saved_series,
                              .series = engine->series.numbered,
                              .as_of_ms = engine->as_of_ms,
                              .ordinal = engine->ordinal};
    engine->unsaved_blocks = (struct numbers){0};
    engine->keys = (struct keys){0};
    engine->unsaved_seen = engine->unsaved_gone = (struct buf){0};
    engine->turn ^= 1;
    revisions_begin(engine);
    keep_backfills(engine);
    code = give_revisions(engine);
    if (code == POISE_OK) {
        code = give_future(engine);
    }
    giving->code = code;
    return POISE_OK;
}

bool engine_checkpoint_runs(const struct engine *engine)
{
    return engine->giving.put;
}

/* They stay as they are until the checkpoint is done, and cells are given: nothing else puts. */
bool engine_checkpoint_is_apart(const struct engine *engine)
{
    const struct giving *giving = &engine->giving;
    return giving->put && giving->head_given && !giving->all_given && giving->code == POISE_OK;
}

poise_code engine_checkpoint_give(struct engine *engine, size_t budget, bool *ret_done, poise_error *err)
{
    static poise_code (*const steps[])(struct engine *, size_t) = {
        give_orgs, give_sources, give_series, give_seen, give_cells, give_head, give_keys};
    struct giving *giving = &engine->giving;
    giving->given = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && giving->code == POISE_OK; i++) {
        giving->code = steps[i](engine, budget);
    }
    *ret_done = giving->code == POISE_OK && giving->all_given;
    return giving->code == POISE_OK
               ? POISE_OK
               : error_set(err, giving->code, "the engine's state could not be written out");
}

void checkpoint_free(struct engine *engine)
{
    struct giving *giving = &engine->giving;
    free(giving->blocks.items);
    free(giving->given_blocks.items);
    free(giving->given_bits.items);
    list_free(&giving->revisions);
    keys_free(&giving->keys);
    free(giving->key_order.items);
    buf_free(&giving->key);
    buf_free(&giving->value);
    buf_free(&giving->seen);
    buf_free(&giving->gone);
    buf_free(&giving->backfills);
    *giving = (struct giving){0};
}

void engine_checkpoint_done(struct engine *engine)
{
    engine->saved_orgs = engine->giving.orgs;
    engine->saved_sources = engine->giving.sources;
    engine->saved_series = engine->giving.series;
    keys_saved(engine);
    revisions_shrink(engine);
    cells_shrink(engine);
    checkpoint_free(engine);
}

/* All that was given, and all that was not, is unsaved again. */
static void take_back_blocks(struct engine *engine)
{
    const struct giving *giving = &engine->giving;
    bool ok = true;
    for (size_t i = 0; i < giving->blocks.count; i++) {
        struct block *block = &engine->cells.blocks[giving->blocks.items[i]];
        if (is_to_be_given(engine, block)) {
            block->turn = engine->turn;
            ok &= numbers_push(&engine->unsaved_blocks, giving->blocks.items[i]);
        }
    }
    for (size_t i = 0; i < giving->given_blocks.count; i++) {
        struct block *block = &engine->cells.blocks[giving->given_blocks.items[i]];
        ok &= block->unsaved || numbers_push(&engine->unsaved_blocks, giving->given_blocks.items[i]);
        block->turn = engine->turn;
        block->unsaved |= (uint16_t)giving->given_bits.items[i];
    }
    engine->broken |= !ok;
}

static void put_before(struct buf *text, struct buf *before)
{
    buf_put(before, text->data, text->length);
    before->failed |= text->failed;
    buf_free(text);
    *text = *before;
    *before = (struct buf){0};
}

void engine_checkpoint_failed(struct engine *engine)
{
    take_back_blocks(engine);
    put_before(&engine->unsaved_seen, &engine->giving.seen);
    put_before(&engine->unsaved_gone, &engine->giving.gone);
    for (size_t i = 0; i < engine->future.count; i++) {
        ((struct waiting *)engine->future.items[i].value)->saved = false;
    }
    engine->broken |= !keys_take_back(engine) || !revisions_take_back(engine);
    checkpoint_free(engine);
}

poise_code engine_checkpoint(struct engine *engine, engine_put *put, void *writer, poise_error *err)
{
    bool done;
    poise_code code = engine_checkpoint_begin(engine, put, writer, err);
    if (code != POISE_OK) {
        return code;
    }
    code = engine_checkpoint_give(engine, SIZE_MAX, &done, err);
    if (code != POISE_OK) {
        engine_checkpoint_failed(engine);
    }
    return code;
}
