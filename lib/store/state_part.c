#include "inner.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

struct put {               /* as collected; what has the same key in a later place counts */
    uint64_t prefix, more; /* the first 16 bytes of the key, which mostly decide */
    const uint8_t *key;
    uint32_t key_length;
};

static struct put put_of(const uint8_t *key, size_t length)
{
    uint8_t bytes[16] = {0};
    memcpy(bytes, key, length < sizeof bytes ? length : sizeof bytes);
    return (struct put){
        .prefix = big64(bytes), .more = big64(bytes + 8), .key = key, .key_length = (uint32_t)length};
}

static int compare_puts(const void *left, const void *right)
{
    const struct put *a = left, *b = right;
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix ? -1 : 1;
    }
    if (a->more != b->more) {
        return a->more < b->more ? -1 : 1;
    }
    int order = sorted_compare(a->key, a->key_length, b->key, b->key_length);
    return order != 0 ? order : (a->key > b->key) - (a->key < b->key);
}

void puts_add(struct buf *puts, const uint8_t *key, size_t key_length, const void *value, size_t length)
{
    buf_put_text(puts, (const char *)key, key_length);
    buf_put_varint(puts, value ? length + 1 : 0);
    buf_put(puts, value, value ? length : 0);
}

/* The value behind a key; NULL: a deletion. */
static struct sorted_entry take_value(struct cursor *in, const uint8_t *key, size_t key_length)
{
    struct sorted_entry entry = {.key = key, .key_length = key_length};
    uint64_t length = cursor_varint(in);
    if (length > 0) {
        entry.value_length = (size_t)length - 1;
        entry.value = cursor_bytes(in, entry.value_length);
    }
    return entry;
}

void puts_skip(struct cursor *in)
{
    size_t length;
    const uint8_t *key = (const uint8_t *)cursor_text(in, &length);
    (void)take_value(in, key, length);
}

/* Collects them; *ret_sorted: they came in order. */
static void collect(struct state_part *part, bool *ret_sorted)
{
    struct cursor in = cursor_of(part->puts.data, part->puts.length);
    *ret_sorted = true;
    while (cursor_left(&in) > 0) {
        size_t length;
        const uint8_t *key = (const uint8_t *)cursor_text(&in, &length);
        (void)take_value(&in, key, length);
        struct put *put = &part->sorted[part->count++];
        *put = put_of(key, length);
        *ret_sorted = *ret_sorted && (part->count == 1 || compare_puts(put - 1, put) < 0);
    }
}

poise_code state_part_sort(struct state_part *part, struct buf *puts, size_t count, bool *ret_sorted,
                           poise_error *err)
{
    *part = (struct state_part){.puts = *puts};
    *puts = (struct buf){0};
    part->sorted = malloc((count ? count : 1) * sizeof *part->sorted);
    if (!part->sorted) {
        state_part_free(part);
        return error_nomem(err, "a checkpoint");
    }
    collect(part, ret_sorted);
    if (!*ret_sorted) {
        qsort(part->sorted, part->count, sizeof *part->sorted, compare_puts);
    }
    return POISE_OK;
}

void state_part_free(struct state_part *part)
{
    buf_free(&part->puts);
    free(part->sorted);
    *part = (struct state_part){0};
}

bool state_part_next(struct state_part *part, struct sorted_entry *ret_entry)
{
    const uint8_t *end = part->puts.data + part->puts.length;
    while (part->at < part->count) {
        const struct put *put = &part->sorted[part->at++];
        bool last = part->at == part->count ||
                    sorted_compare(put->key, put->key_length, put[1].key, put[1].key_length) != 0;
        if (last) {
            struct cursor in =
                cursor_of(put->key + put->key_length, (size_t)(end - put->key) - put->key_length);
            *ret_entry = take_value(&in, put->key, put->key_length);
            return true;
        }
    }
    return false;
}

bool state_part_is_behind(const struct state_part *part, const uint8_t *key, size_t length)
{
    const struct put *first = part->sorted;
    return part->count > 0 && sorted_compare(first->key, first->key_length, key, length) > 0;
}
