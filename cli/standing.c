#include "standing.h"
#include <base/error.h>
#include <string.h>

struct key {
    struct hash128 hash;
    uint64_t rank, place;
};

void standing_free(struct standing *standing)
{
    hmap_free(&standing->keys);
    arena_free(&standing->arena);
}

static size_t put(char *at, const char *text, size_t max)
{
    size_t length = text ? strnlen(text, max) : 0;
    memcpy(at, text ? text : "", length);
    at[length] = '\0';
    return length + 1;
}

static struct hash128 hash_of(const poise_measurement *row)
{
    char bytes[POISE_ID_MAX + POISE_SOURCE_MAX + POISE_KEY_MAX + 3];
    size_t length = put(bytes, row->measure, POISE_ID_MAX);
    length += put(bytes + length, row->source, POISE_SOURCE_MAX);
    length += put(bytes + length, row->key, POISE_KEY_MAX);
    return hash128(bytes, length, 0);
}

static bool is_key(const void *entry, const void *wanted)
{
    const struct key *key = entry;
    const struct hash128 *hash = wanted;
    return key->hash.low == hash->low && key->hash.high == hash->high;
}

/* The rule of scoring: the higher rank stands; of equal ones, which then say the same, the first. */
poise_code standing_note(struct standing *standing, const poise_measurement *row, uint64_t place,
                         poise_error *err)
{
    if (!row->key) {
        return POISE_OK;
    }
    struct hash128 hash = hash_of(row);
    uint64_t rank = row->seq ? row->seq : place;
    struct key *key = hmap_get(&standing->keys, hash.low, is_key, &hash);
    if (key) {
        if (rank > key->rank) {
            key->rank = rank;
            key->place = place;
        }
        return POISE_OK;
    }
    if (standing->keys.count >= STANDING_KEYS_MAX) {
        return error_set(
            err, POISE_ELIMIT,
            "there are more than %d keys, which is as many as --standing keeps in memory: name a "
            "--measure with fewer, or dump without --standing",
            STANDING_KEYS_MAX);
    }
    key = arena_alloc(&standing->arena, sizeof *key);
    if (!key || !hmap_add(&standing->keys, hash.low, key)) {
        return error_nomem(err, "the keys");
    }
    *key = (struct key){.hash = hash, .rank = rank, .place = place};
    return POISE_OK;
}

bool standing_has(const struct standing *standing, const poise_measurement *row, uint64_t place)
{
    if (row->retract || !row->key) {
        return !row->retract;
    }
    struct hash128 hash = hash_of(row);
    const struct key *key = hmap_get(&standing->keys, hash.low, is_key, &hash);
    return key && key->place == place;
}
