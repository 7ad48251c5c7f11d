#include "internal.h"
#include <base/error.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <string.h>

struct hash128 key_hash(const struct engine *engine, const struct input *input, uint32_t source,
                        const char *text, size_t length)
{
    char bytes[POISE_ID_MAX + POISE_SOURCE_MAX + POISE_KEY_MAX + 2];
    const char *source_text = intern_text(&engine->sources, source);
    size_t name_length = strlen(input->name) + 1, source_length = intern_length(&engine->sources, source) + 1;
    memcpy(bytes, input->name, name_length);
    memcpy(bytes + name_length, source_text, source_length);
    memcpy(bytes + name_length + source_length, text, length);
    return hash128(bytes, name_length + source_length + length, engine->options.hash_seed);
}

static bool is_key(const void *entry, const void *wanted)
{
    const struct hash128 *hash = wanted;
    const struct key *key = entry;
    return key->hash.low == hash->low && key->hash.high == hash->high;
}

/* ---- in and out of the store ---- */

void key_encode(const struct key *key, struct buf *out)
{
    buf_put_u8(out, key->retract);
    buf_put_varint(out, key->sample.rank);
    buf_put_varint(out, key->sample.ordinal);
    buf_put_varint(out, key->series->org);
    if (!key->retract) {
        buf_put_svarint(out, key->sample.time_ms);
        buf_put_f64(out, key->sample.value);
        buf_put_f64(out, key->sample.of);
    }
}

static poise_code decode(struct engine *engine, struct input *input, uint32_t source, struct cursor in,
                         struct key *key)
{
    key->retract = cursor_u8(&in);
    key->sample = (struct sample){.source = source};
    key->sample.rank = cursor_varint(&in);
    key->sample.ordinal = cursor_varint(&in);
    uint64_t org = cursor_varint(&in);
    if (!key->retract) {
        key->sample.time_ms = cursor_svarint(&in);
        key->sample.value = cursor_f64(&in);
        key->sample.of = cursor_f64(&in);
    }
    if (in.failed || org >= engine->orgs.count || !number_valid(key->sample.value) ||
        !number_valid(key->sample.of)) {
        return POISE_ECORRUPT;
    }
    key->series = series_of(engine, input, (uint32_t)org, source);
    return key->series ? POISE_OK : POISE_ENOMEM;
}

enum { KEY_NAME_BYTES = sizeof(struct hash128) };

void key_name(const struct hash128 *hash, struct buf *out)
{
    put_big64(out, hash->high);
    put_big64(out, hash->low);
}

static poise_code load(struct engine *engine, struct input *input, uint32_t source, struct key *key,
                       poise_error *err)
{
    uint8_t bytes[KEY_NAME_BYTES];
    struct buf name = {.data = bytes, .capacity = sizeof bytes},
               value = {0}; /* filled exactly: never grows */
    key_name(&key->hash, &name);
    poise_code code = load_entry(engine, ENGINE_KEYS, &name, &value, err);
    if (code == POISE_OK) {
        code = decode(engine, input, source, cursor_of(value.data, value.length), key);
        if (code != POISE_OK) {
            error_set(err, code, "a stored key of input %s cannot be read", input->name);
        }
    }
    buf_free(&value);
    return code;
}

static struct hmap *shard_of(struct keys *keys, const struct hash128 *hash)
{
    return &keys->shards[hash->high >> 56];
}

static struct key *find(struct keys *keys, const struct hash128 *hash)
{
    return hmap_get(shard_of(keys, hash), hash->low, is_key, hash);
}

static bool keep(struct engine *engine, const struct key *key, struct key **ret_key)
{
    struct keys *keys = &engine->keys;
    uint32_t piece = pool_take(&keys->pool, sizeof *key);
    if (piece == POOL_NONE) {
        return false;
    }
    struct key *kept = pool_at(&keys->pool, piece);
    *kept = *key;
    if (!hmap_add(shard_of(keys, &key->hash), key->hash.low, kept)) {
        pool_give(&keys->pool, piece, sizeof *key);
        return false;
    }
    keys->count++;
    *ret_key = kept;
    return true;
}

/* In the checkpoint under way, whose keys stay as they are. */
static bool find_given(struct engine *engine, struct hash128 hash, struct key *key)
{
    const struct key *given = find(&engine->giving.keys, &hash);
    if (given) {
        *key = *given;
        key->unsaved = false;
    }
    return given;
}

poise_code key_find(struct engine *engine, struct input *input, uint32_t source, struct hash128 hash,
                    struct key **ret_key, poise_error *err)
{
    struct key key = {.hash = hash};
    poise_code code = POISE_OK;
    *ret_key = find(&engine->keys, &hash);
    if (*ret_key) {
        return POISE_OK;
    }
    if (!find_given(engine, hash, &key)) {
        code = engine->options.ports.load ? load(engine, input, source, &key, err) : POISE_ENOTFOUND;
    }
    if (code != POISE_OK) {
        return code == POISE_ENOTFOUND ? POISE_OK : code;
    }
    return keep(engine, &key, ret_key) ? POISE_OK : error_nomem(err, "a key");
}

void engine_expect_key(struct engine *engine, const struct engine_series *series, const char *key,
                       size_t length)
{
    const struct engine_ports *ports = &engine->options.ports;
    uint8_t bytes[KEY_NAME_BYTES];
    struct buf name = {.data = bytes, .capacity = sizeof bytes};
    if (length > POISE_KEY_MAX) {
        return;
    }
    struct hash128 hash = key_hash(engine, input_of(engine, series), series->source, key, length);
    __builtin_prefetch(hmap_home(shard_of(&engine->keys, &hash), hash.low), 1);
    __builtin_prefetch(hmap_home(shard_of(&engine->giving.keys, &hash), hash.low));
    if (ports->expect) {
        key_name(&hash, &name);
        ports->expect(ports->context, ENGINE_KEYS, name.data, name.length);
    }
}

void keys_free(struct keys *keys)
{
    for (size_t shard = 0; shard < KEY_SHARDS; shard++) {
        hmap_free(&keys->shards[shard]);
    }
    pool_free(&keys->pool);
    keys->count = 0;
}

struct key *key_next(const struct keys *keys, size_t *shard, size_t *at)
{
    struct key *key = NULL;
    while (*shard < KEY_SHARDS && !(key = hmap_next(&keys->shards[*shard], at))) {
        (*shard)++;
        *at = 0;
    }
    return key;
}

size_t engine_unsaved_keys(const struct engine *engine)
{
    return engine->keys.count;
}

/* Those of the checkpoint that are not there anew. */
static bool take_back(struct engine *engine, bool saved)
{
    const struct key *given;
    struct key *kept;
    bool ok = true;
    for (size_t shard = 0, at = 0; ok && (given = key_next(&engine->giving.keys, &shard, &at));) {
        struct key *anew = find(&engine->keys, &given->hash);
        if (anew) {
            anew->unsaved |= given->unsaved && !saved;
        } else {
            ok = keep(engine, given, &kept);
            if (ok) {
                kept->unsaved &= !saved;
            }
        }
    }
    return ok;
}

bool keys_take_back(struct engine *engine)
{
    return take_back(engine, false);
}

void keys_saved(struct engine *engine)
{
    if (!engine->options.ports.load) { /* nothing comes back */
        engine->broken |= !take_back(engine, true);
    }
}

/* ---- the rule: the higher rank stands ---- */

static bool says_the_same(const struct key *key, const struct engine_series *series,
                          const struct sample *sample, bool retract)
{
    if (key->retract || retract) {
        return key->retract == retract;
    }
    return key->series == series && key->sample.time_ms == sample->time_ms &&
           key->sample.value == sample->value && key->sample.of == sample->of;
}

/* The row stands from now on. */
static poise_code stand(struct engine *engine, struct key *key, struct engine_series *series,
                        const struct sample *sample, bool retract, poise_error *err)
{
    key->series = series;
    key->sample = *sample;
    key->retract = retract;
    key->unsaved = true;
    return retract || !engine->folded ? POISE_OK : future_count(engine, series, sample, &key->hash, err);
}

static void note_gone(struct engine *engine, const struct engine_series *series, int64_t time_ms,
                      uint64_t ordinal)
{
    engine->gone.series = series;
    engine->gone.time_ms = time_ms;
    engine->gone.ordinal = ordinal;
}

/* Of rows that say the same the first stands, whichever of them is here first. */
static bool is_beaten(const struct key *key, const struct sample *sample)
{
    return sample->rank < key->sample.rank ||
           (sample->rank == key->sample.rank && sample->ordinal > key->sample.ordinal);
}

poise_code key_apply(struct engine *engine, struct engine_series *series, const struct engine_row *row,
                     const struct sample *sample, poise_refusal *ret_refusal, poise_error *err)
{
    struct input *input = input_of(engine, series);
    struct hash128 hash = key_hash(engine, input, series->source, row->key, row->key_length);
    struct key *key;
    poise_code code = key_find(engine, input, series->source, hash, &key, err);
    if (code != POISE_OK) {
        return code;
    }
    bool is_new_locked = !row->retract && is_locked(engine, input, sample->time_ms);
    bool is_new_frozen = !row->retract && is_frozen(engine, input, sample->time_ms);
    if (!key) {
        struct key fresh = {.hash = hash};
        if (is_new_frozen || is_new_locked) {
            *ret_refusal = is_new_frozen ? POISE_REFUSAL_FROZEN : POISE_REFUSAL_LOCKED;
            return POISE_OK;
        }
        return keep(engine, &fresh, &key) ? stand(engine, key, series, sample, row->retract, err)
                                          : error_nomem(err, "a key");
    }
    if (is_beaten(key, sample)) {
        if (ret_refusal && sample->rank == key->sample.rank &&
            !says_the_same(key, series, sample, row->retract)) {
            *ret_refusal = POISE_REFUSAL_SEQ_CONFLICT;
        } else {
            note_gone(engine, series, row->time_ms, sample->ordinal);
        }
        return POISE_OK;
    }
    if (is_new_frozen || (!key->retract && is_frozen(engine, input, key->sample.time_ms))) {
        *ret_refusal = POISE_REFUSAL_FROZEN;
        return POISE_OK;
    }
    if (is_new_locked || (!key->retract && is_locked(engine, input, key->sample.time_ms))) {
        *ret_refusal = POISE_REFUSAL_LOCKED;
        return POISE_OK;
    }
    if (!key->retract) {
        note_gone(engine, key->series, key->sample.time_ms, key->sample.ordinal);
    }
    if (engine->folded && !key->retract && future_is_due(engine, key->sample.time_ms)) {
        bool replaces = series == key->series && !row->retract && future_is_due(engine, sample->time_ms);
        code = series_uncount(engine, key->series, &key->sample, replaces ? sample : NULL, err);
    }
    return code == POISE_OK ? stand(engine, key, series, sample, row->retract, err) : code;
}

/* Offline: counts the keyed rows that stand, and forgets the keys. */
poise_code keys_fold(struct engine *engine, poise_error *err)
{
    struct key *key;
    poise_code code = POISE_OK;
    for (size_t shard = 0, at = 0; code == POISE_OK && (key = key_next(&engine->keys, &shard, &at));) {
        if (!key->retract) {
            code = future_count(engine, key->series, &key->sample, NULL, err);
        }
    }
    keys_free(&engine->keys);
    engine->folded = true;
    return code;
}
