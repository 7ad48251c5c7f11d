/* Linear probing with backward-shift deletion: no tombstones, so a map that is added to and removed from
 * for years stays as fast as a new one. */
#include <base/hash.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 16 };

struct hmap_slot {
    uint64_t hash;
    void *entry; /* NULL: free */
};

/* Where a hash wants to be. The multiplication saves us from hashes that are poor in their low bits. */
static size_t home_of(uint64_t hash, size_t mask)
{
    return (size_t)((hash * 0x9e3779b97f4a7c15ULL) >> 32) & mask;
}

void hmap_free(struct hmap *map)
{
    if (map) {
        free(map->slots);
        *map = (struct hmap){0};
    }
}

const void *hmap_home(const struct hmap *map, uint64_t hash)
{
    return map->count > 0 ? &map->slots[home_of(hash, map->capacity - 1)] : NULL;
}

/* The slot of the entry, or NULL. */
static struct hmap_slot *find(const struct hmap *map, uint64_t hash, hmap_match *match, const void *key)
{
    if (map->count == 0) {
        return NULL;
    }
    size_t mask = map->capacity - 1;
    for (size_t at = home_of(hash, mask); map->slots[at].entry; at = (at + 1) & mask) {
        if (map->slots[at].hash == hash && match(map->slots[at].entry, key)) {
            return &map->slots[at];
        }
    }
    return NULL;
}

void *hmap_get(const struct hmap *map, uint64_t hash, hmap_match *match, const void *key)
{
    struct hmap_slot *slot = find(map, hash, match, key);
    return slot ? slot->entry : NULL;
}

static void place(struct hmap_slot *slots, size_t mask, struct hmap_slot slot)
{
    size_t at = home_of(slot.hash, mask);
    while (slots[at].entry) {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

static bool grow(struct hmap *map)
{
    size_t capacity = map->capacity ? 2 * map->capacity : FIRST_CAPACITY;
    if (capacity <= map->capacity) {
        return false;
    }
    struct hmap_slot *slots = calloc(capacity, sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].entry) {
            place(slots, capacity - 1, map->slots[i]);
        }
    }
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return true;
}

bool hmap_add(struct hmap *map, uint64_t hash, void *entry)
{
    if (10 * (map->count + 1) > 7 * map->capacity && !grow(map)) {
        return false;
    }
    place(map->slots, map->capacity - 1, (struct hmap_slot){.hash = hash, .entry = entry});
    map->count++;
    return true;
}

void *hmap_remove(struct hmap *map, uint64_t hash, hmap_match *match, const void *key)
{
    struct hmap_slot *slot = find(map, hash, match, key);
    if (!slot) {
        return NULL;
    }
    void *entry = slot->entry;
    size_t mask = map->capacity - 1;
    size_t hole = (size_t)(slot - map->slots);
    for (size_t at = (hole + 1) & mask; map->slots[at].entry; at = (at + 1) & mask) {
        /* May only move back to the hole if that is not before its home. */
        size_t from_home = (at - home_of(map->slots[at].hash, mask)) & mask;
        if (from_home >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct hmap_slot){0};
    map->count--;
    return entry;
}

void *hmap_next(const struct hmap *map, size_t *at)
{
    while (*at < map->capacity) {
        void *entry = map->slots[(*at)++].entry;
        if (entry) {
            return entry;
        }
    }
    return NULL;
}
