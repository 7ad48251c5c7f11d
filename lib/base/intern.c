#include <base/hash.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

struct intern_entry {
    size_t length;
    uint32_t id;
    char text[];
};

struct wanted {
    const char *text;
    size_t length;
};

static bool is_wanted(const void *entry, const void *key)
{
    const struct intern_entry *interned = entry;
    const struct wanted *wanted = key;
    return interned->length == wanted->length &&
           (wanted->length == 0 || memcmp(interned->text, wanted->text, wanted->length) == 0);
}

void intern_free(struct intern *intern)
{
    if (intern) {
        for (size_t i = 0; i < intern->count; i++) {
            free(intern->entries[i]);
        }
        free(intern->entries);
        hmap_free(&intern->map);
        *intern = (struct intern){0};
    }
}

static bool grow(struct intern *intern)
{
    if (intern->count < intern->capacity) {
        return true;
    }
    size_t capacity = intern->capacity ? 2 * intern->capacity : FIRST_CAPACITY;
    struct intern_entry **entries = reallocarray(intern->entries, capacity, sizeof *entries);
    if (!entries) {
        return false;
    }
    intern->entries = entries;
    intern->capacity = capacity;
    return true;
}

static struct intern_entry *new_entry(const char *text, size_t length, size_t id)
{
    if (length > PTRDIFF_MAX - sizeof(struct intern_entry) - 1) {
        return NULL;
    }
    struct intern_entry *entry = malloc(sizeof *entry + length + 1);
    if (entry) {
        entry->length = length;
        entry->id = (uint32_t)id;
        if (length > 0) {
            memcpy(entry->text, text, length);
        }
        entry->text[length] = '\0';
    }
    return entry;
}

uint32_t intern_add(struct intern *intern, const char *text, size_t length)
{
    uint64_t hash = hash64(text, length, 0);
    struct wanted wanted = {.text = text, .length = length};
    const struct intern_entry *known = hmap_get(&intern->map, hash, is_wanted, &wanted);
    if (known) {
        return known->id;
    }
    if (intern->count >= INTERN_NONE || !grow(intern)) {
        return INTERN_NONE;
    }
    struct intern_entry *entry = new_entry(text, length, intern->count);
    if (!entry || !hmap_add(&intern->map, hash, entry)) {
        free(entry);
        return INTERN_NONE;
    }
    intern->entries[intern->count++] = entry;
    return entry->id;
}

uint32_t intern_find(const struct intern *intern, const char *text, size_t length)
{
    struct wanted wanted = {.text = text, .length = length};
    const struct intern_entry *entry = hmap_get(&intern->map, hash64(text, length, 0), is_wanted, &wanted);
    return entry ? entry->id : INTERN_NONE;
}

const char *intern_text(const struct intern *intern, uint32_t id)
{
    return intern->entries[id]->text;
}

size_t intern_length(const struct intern *intern, uint32_t id)
{
    return intern->entries[id]->length;
}
