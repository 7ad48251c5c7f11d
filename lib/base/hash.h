/* Hashing (XXH3), CRC32C, and the one hash table that all modules share. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *bytes, size_t length, uint64_t seed);
struct hash128 {
    uint64_t low, high;
};
struct hash128 hash128(const void *bytes, size_t length, uint64_t seed);
uint64_t hash_mix(uint64_t a, uint64_t b); /* a well-spread hash of two numbers */
uint32_t crc32c(const void *bytes, size_t length);

/* Open addressing, from a 64-bit hash to a non-NULL pointer; the caller owns the entries and says which
 * of those with the wanted hash it means. Not thread-safe. */
struct hmap {
    struct hmap_slot *slots;
    size_t count;
    size_t capacity; /* 0 or a power of two */
};
typedef bool hmap_match(const void *entry, const void *key);

void hmap_free(struct hmap *map); /* the table, not the entries */
/* Where a look for the hash begins, to fetch it from memory before; NULL: nowhere. */
const void *hmap_home(const struct hmap *map, uint64_t hash);
void *hmap_get(const struct hmap *map, uint64_t hash, hmap_match *match, const void *key);
/* Adds an entry that is known to be absent; false when out of memory (nothing changed). */
bool hmap_add(struct hmap *map, uint64_t hash, void *entry);
/* Takes the entry out and returns it, or NULL. */
void *hmap_remove(struct hmap *map, uint64_t hash, hmap_match *match, const void *key);
/* Walks all entries in no order: for (size_t at = 0; (entry = hmap_next(map, &at));) The map must not change.
 */
void *hmap_next(const struct hmap *map, size_t *at);

/* Strings to dense ids 0, 1, 2, ... and back; strings stay where they are until free. */
struct intern {
    struct hmap map;
    struct intern_entry **entries;
    size_t count, capacity;
};
#define INTERN_NONE UINT32_MAX /* not an enum: ISO C wants those within int */
void intern_free(struct intern *intern);
/* The id of text, added if new; INTERN_NONE when out of memory. */
uint32_t intern_add(struct intern *intern, const char *text, size_t length);
uint32_t intern_find(const struct intern *intern, const char *text, size_t length); /* INTERN_NONE: absent */
const char *intern_text(const struct intern *intern, uint32_t id);                  /* ended by 0 */
size_t intern_length(const struct intern *intern, uint32_t id);

#endif
