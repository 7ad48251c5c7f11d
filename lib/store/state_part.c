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

poise_code state_part_open(struct state_part *part, struct buf *puts, size_t count, poise_error *err)
{
    *part = (struct state_part){.puts = *puts};
    *puts = (struct buf){0};
    part->sorted = malloc((count ? count : 1) * sizeof *part->sorted);
    if (!part->sorted) {
        state_part_free(part);
        return error_nomem(err, "a checkpoint");
    }
    return POISE_OK;
}

/* Collects the next ones; *ret_sorted: they came in order. */
static size_t collect(struct state_part *part, bool *ret_sorted)
{
    struct cursor in = cursor_of(part->puts.data, part->puts.length);
    size_t first = part->count;
    *ret_sorted = true;
    in.at += part->taken;
    while (cursor_left(&in) > 0 && part->count - first < STATE_SORTED_AT_ONCE) {
        size_t length;
        const uint8_t *key = (const uint8_t *)cursor_text(&in, &length);
        (void)take_value(&in, key, length);
        struct put *put = &part->sorted[part->count++];
        *put = put_of(key, length);
        *ret_sorted = *ret_sorted && (part->count == first + 1 || compare_puts(put - 1, put) < 0);
    }
    part->taken = (size_t)(in.at - part->puts.data);
    return first;
}

/* What goes on where the piece before ends is one with it; others must be few. */
static poise_code end_piece(struct state_part *part, size_t first, poise_error *err)
{
    const struct put *sorted = part->sorted;
    struct state_piece *pieces = part->pieces;
    if (part->piece_count > 0 && compare_puts(&sorted[first - 1], &sorted[first]) < 0) {
        pieces[part->piece_count - 1].end = part->count;
        return POISE_OK;
    }
    if (part->piece_count == part->piece_capacity) {
        size_t capacity = part->piece_capacity ? 2 * part->piece_capacity : 8;
        pieces = realloc(pieces, capacity * sizeof *pieces);
        if (!pieces) {
            return error_nomem(err, "a checkpoint");
        }
        part->pieces = pieces;
        part->piece_capacity = capacity;
    }
    pieces[part->piece_count++] = (struct state_piece){.at = first, .end = part->count};
    return POISE_OK;
}

poise_code state_part_sort(struct state_part *part, bool *ret_quick, poise_error *err)
{
    size_t first = collect(part, ret_quick);
    if (!*ret_quick) {
        qsort(part->sorted + first, part->count - first, sizeof *part->sorted, compare_puts);
    }
    return part->count > first ? end_piece(part, first, err) : POISE_OK;
}

bool state_part_is_sorted(const struct state_part *part)
{
    return part->taken == part->puts.length;
}

bool state_part_has(const struct state_part *part)
{
    return part->piece_count > 0;
}

void state_part_free(struct state_part *part)
{
    buf_free(&part->puts);
    free(part->sorted);
    free(part->pieces);
    *part = (struct state_part){0};
}

/* The piece that has the first of what is left; NULL: nothing is. */
static struct state_piece *first_piece(const struct state_part *part)
{
    struct state_piece *first = NULL;
    for (size_t i = 0; i < part->piece_count; i++) {
        struct state_piece *piece = &part->pieces[i];
        if (!first || compare_puts(&part->sorted[piece->at], &part->sorted[first->at]) < 0) {
            first = piece;
        }
    }
    return first;
}

static const struct put *next_put(struct state_part *part)
{
    struct state_piece *piece = first_piece(part);
    const struct put *put = &part->sorted[piece->at++];
    if (piece->at == piece->end) {
        *piece = part->pieces[--part->piece_count];
    }
    return put;
}

bool state_part_next(struct state_part *part, struct sorted_entry *ret_entry)
{
    if (part->piece_count == 0) {
        return false;
    }
    const uint8_t *end = part->puts.data + part->puts.length;
    const struct put *put = next_put(part);
    const struct state_piece *piece;
    while ((piece = first_piece(part))) {
        const struct put *next = &part->sorted[piece->at];
        if (sorted_compare(put->key, put->key_length, next->key, next->key_length) != 0) {
            break;
        }
        put = next_put(part);
    }
    struct cursor in = cursor_of(put->key + put->key_length, (size_t)(end - put->key) - put->key_length);
    *ret_entry = take_value(&in, put->key, put->key_length);
    return true;
}

bool state_part_is_behind(const struct state_part *part, const uint8_t *key, size_t length)
{
    const struct state_piece *piece = first_piece(part);
    const struct put *first = piece ? &part->sorted[piece->at] : NULL;
    return first && sorted_compare(first->key, first->key_length, key, length) > 0;
}
