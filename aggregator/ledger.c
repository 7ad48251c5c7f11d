#include "ledger.h"

#include <stdlib.h>
#include <string.h>

struct name {
    const char *producer;
    uint64_t epoch;
};

static uint64_t name_hash(const char *producer, uint64_t epoch)
{
    return hash64(producer, strlen(producer), epoch);
}

static bool name_matches(const void *entry, const void *key)
{
    const struct ledger_entry *known = entry;
    const struct name *name = key;
    return known->epoch == name->epoch && strcmp(known->producer, name->producer) == 0;
}

static void entry_free(struct ledger_entry *entry)
{
    if (!entry)
        return;
    free(entry->producer);
    free(entry->refusals);
    free(entry);
}

void ledger_free(struct ledger *ledger)
{
    struct ledger_entry *entry;
    for (size_t at = 0; (entry = hmap_next(&ledger->map, &at));)
        entry_free(entry);
    hmap_free(&ledger->map);
}

struct ledger_entry *ledger_find(const struct ledger *ledger, const char *producer, uint64_t epoch)
{
    struct name name = {producer, epoch};
    return hmap_get(&ledger->map, name_hash(producer, epoch), name_matches, &name);
}

struct ledger_entry *ledger_add(struct ledger *ledger, const char *producer, uint64_t epoch)
{
    struct ledger_entry *entry = ledger_find(ledger, producer, epoch);
    if (entry)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->producer = strdup(producer);
    entry->epoch = epoch;
    if (!entry->producer || !hmap_add(&ledger->map, name_hash(producer, epoch), entry)) {
        entry_free(entry);
        return NULL;
    }
    return entry;
}

static void forget_first(struct ledger_entry *entry, size_t count)
{
    entry->refusal_count -= count;
    memmove(entry->refusals, entry->refusals + count, entry->refusal_count * sizeof *entry->refusals);
}

static bool remember(struct ledger_entry *entry, struct wire_refusal refusal)
{
    if (entry->refusal_count == LEDGER_REFUSALS_MAX)
        forget_first(entry, LEDGER_REFUSALS_MAX / 2);
    if (entry->refusal_count == entry->refusal_capacity) {
        size_t capacity = entry->refusal_capacity ? entry->refusal_capacity * 2 : 16;
        struct wire_refusal *grown = realloc(entry->refusals, capacity * sizeof *grown);
        if (!grown)
            return false;
        entry->refusals = grown;
        entry->refusal_capacity = capacity;
    }
    entry->refusals[entry->refusal_count++] = refusal;
    return true;
}

bool ledger_commit(struct ledger_entry *entry, uint64_t seq, uint64_t hash, const uint32_t *refused,
                   const uint8_t *reasons, size_t count)
{
    if (seq <= entry->seq) /* the journal is replayed from before the checkpoint that the entry is of */
        return true;
    entry->seq = seq;
    entry->hash = hash;
    entry->dirty = true;
    size_t old = 0;
    while (old < entry->refusal_count && entry->refusals[old].seq + LEDGER_WINDOW <= seq)
        old++;
    if (old)
        forget_first(entry, old);
    for (size_t i = 0; i < count; i++)
        if (!remember(entry, (struct wire_refusal){seq, refused[i], (poise_refusal)reasons[i]}))
            return false;
    return true;
}

const struct wire_refusal *ledger_refusals(const struct ledger_entry *entry, uint64_t from, size_t *ret_count)
{
    size_t first = 0;
    while (first < entry->refusal_count && entry->refusals[first].seq < from)
        first++;
    *ret_count = entry->refusal_count - first;
    return *ret_count ? entry->refusals + first : NULL;
}

void ledger_encode(const struct ledger_entry *entry, struct buf *key, struct buf *value)
{
    buf_put_u64(key, entry->epoch);
    buf_put(key, entry->producer, strlen(entry->producer));
    buf_put_u64(value, entry->seq);
    buf_put_u64(value, entry->hash);
    buf_put_varint(value, entry->refusal_count);
    for (size_t i = 0; i < entry->refusal_count; i++) {
        buf_put_varint(value, entry->refusals[i].seq);
        buf_put_varint(value, entry->refusals[i].row);
        buf_put_u8(value, (uint8_t)entry->refusals[i].reason);
    }
}

poise_code ledger_decode(struct ledger *ledger, struct cursor key, struct cursor value)
{
    char producer[POISE_ID_MAX + 1] = {0};
    uint64_t epoch = cursor_u64(&key);
    size_t length = cursor_left(&key);
    if (key.failed || length == 0 || length > POISE_ID_MAX || memchr(key.at, 0, length))
        return POISE_ECORRUPT;
    memcpy(producer, key.at, length);
    struct ledger_entry *entry = ledger_add(ledger, producer, epoch);
    if (!entry)
        return POISE_ENOMEM;
    entry->seq = cursor_u64(&value);
    entry->hash = cursor_u64(&value);
    uint64_t count = cursor_varint(&value);
    for (uint64_t i = 0; i < count && !value.failed; i++) {
        struct wire_refusal refusal = {.seq = cursor_varint(&value)};
        refusal.row = (uint32_t)cursor_varint(&value);
        refusal.reason = (poise_refusal)cursor_u8(&value);
        if (!value.failed && !remember(entry, refusal))
            return POISE_ENOMEM;
    }
    return value.failed ? POISE_ECORRUPT : POISE_OK;
}
