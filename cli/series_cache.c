#include "series_cache.h"
#include <base/error.h>
#include <string.h>

struct entry {
    struct engine_series *series;
    struct csv_field measure, org, source;
};

void series_cache_free(struct series_cache *cache)
{
    hmap_free(&cache->map);
    arena_free(&cache->arena);
}

static bool same_field(struct csv_field a, struct csv_field b)
{
    return a.length == b.length && memcmp(a.text, b.text, a.length) == 0;
}

static bool is_series_of(const void *entry, const void *key)
{
    const struct entry *known = entry;
    const struct row *row = key;
    return same_field(known->measure, row->measure) && same_field(known->org, row->org) &&
           same_field(known->source, row->source);
}

static uint64_t hash_of(const struct row *row)
{
    uint64_t hash = hash64(row->measure.text, row->measure.length, 0);
    hash = hash64(row->org.text, row->org.length, hash);
    return hash64(row->source.text, row->source.length, hash);
}

static bool keep_field(struct arena *arena, struct csv_field *field)
{
    field->text = arena_strndup(arena, field->text, field->length);
    return field->text != NULL;
}

static poise_code add_entry(struct series_cache *cache, uint64_t hash, const struct row *row,
                            struct engine_series *series, poise_error *err)
{
    struct entry *entry = arena_alloc(&cache->arena, sizeof *entry);
    if (entry) {
        *entry =
            (struct entry){.series = series, .measure = row->measure, .org = row->org, .source = row->source};
    }
    if (!entry || !keep_field(&cache->arena, &entry->measure) || !keep_field(&cache->arena, &entry->org) ||
        !keep_field(&cache->arena, &entry->source) || !hmap_add(&cache->map, hash, entry)) {
        return error_nomem(err, "a series");
    }
    return POISE_OK;
}

poise_code series_cache_get(struct series_cache *cache, struct engine *engine, const struct row *row,
                            struct engine_series **ret_series, poise_refusal *ret_refusal, poise_error *err)
{
    uint64_t hash = hash_of(row);
    const struct entry *entry = hmap_get(&cache->map, hash, is_series_of, row);
    if (entry) {
        *ret_series = entry->series;
        return POISE_OK;
    }
    struct row_texts texts;
    struct engine_series *series = NULL;
    row_texts_of(row, &texts);
    poise_code code =
        engine_series(engine, texts.measure, texts.org, texts.source, &series, ret_refusal, err);
    if (code != POISE_OK || !series) {
        return code;
    }
    *ret_series = series;
    return add_entry(cache, hash, row, series, err);
}
