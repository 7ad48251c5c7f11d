/* A column of keys: where all are one text and a number of so many digits, as the numbers; otherwise each as
 * what differs from the one before. */
#include "chunk_inner.h"
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 0, NUMBERED = 1, DIGITS_MAX = 18 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- to bytes ---- */

static unsigned digits_of(const struct chunk_key *key)
{
    unsigned digits = 0;
    while (digits < DIGITS_MAX && digits < key->length && is_digit(key->text[key->length - 1 - digits])) {
        digits++;
    }
    return digits;
}

/* False: it is not the prefix of the first and a number of as many digits. */
static bool number_of(const struct chunk_key *key, const struct chunk_key *first, unsigned digits,
                      uint64_t *ret_number)
{
    if (!key->text || key->length != first->length ||
        memcmp(key->text, first->text, first->length - digits) != 0) {
        return false;
    }
    uint64_t number = 0;
    for (size_t i = key->length - digits; i < key->length; i++) {
        if (!is_digit(key->text[i])) {
            return false;
        }
        number = 10 * number + (uint64_t)(key->text[i] - '0');
    }
    *ret_number = number;
    return true;
}

static bool put_numbered(struct buf *out, const struct chunk_key *keys, size_t count, uint64_t *numbers)
{
    unsigned digits = keys[0].text ? digits_of(&keys[0]) : 0;
    bool numbered = digits > 0;
    for (size_t i = 0; i < count && numbered; i++) {
        numbered = number_of(&keys[i], &keys[0], digits, &numbers[i]);
    }
    if (!numbered) {
        return false;
    }
    struct bits_plan plan = bits_plan(numbers, count);
    buf_put_u8(out, NUMBERED);
    buf_put_u8(out, (uint8_t)digits);
    buf_put_text(out, keys[0].text, keys[0].length - digits);
    bits_put(out, numbers, count, &plan);
    return true;
}

static void put_texts(struct buf *out, const struct chunk_key *keys, size_t count)
{
    struct chunk_key last = {.text = "", .length = 0};
    buf_put_u8(out, TEXTS);
    for (size_t i = 0; i < count; i++) {
        size_t shared = 0;
        if (!keys[i].text) {
            buf_put_varint(out, 0);
            continue;
        }
        while (shared < last.length && shared < keys[i].length && keys[i].text[shared] == last.text[shared]) {
            shared++;
        }
        last = keys[i];
        buf_put_varint(out, shared + 1);
        buf_put_text(out, last.text + shared, last.length - shared);
    }
}

void keys_put(struct buf *out, const struct chunk_key *keys, size_t count)
{
    uint64_t *numbers = malloc(count * sizeof *numbers);
    if (!numbers) {
        out->failed = true;
        return;
    }
    if (!put_numbered(out, keys, count, numbers)) {
        put_texts(out, keys, count);
    }
    free(numbers);
}

/* ---- from bytes ---- */

void keys_open(struct keys_reader *reader, struct cursor in, size_t count)
{
    unsigned form = cursor_u8(&in);
    reader->left = count;
    reader->last_length = 0;
    reader->is_numbered = form == NUMBERED;
    in.failed |= form > NUMBERED;
    if (reader->is_numbered) {
        size_t length;
        reader->digits = cursor_u8(&in);
        const char *prefix = cursor_text(&in, &length);
        in.failed |= reader->digits > DIGITS_MAX || length > POISE_KEY_MAX - reader->digits;
        if (!in.failed) {
            memcpy(reader->last, prefix, length);
            reader->last_length = length;
        }
        bits_open(&reader->numbers, in, count);
    }
    reader->in = in;
}

static size_t next_numbered(struct keys_reader *reader, char *texts, struct chunk_key *ret_keys)
{
    uint64_t numbers[BITS_BLOCK];
    size_t count = bits_next(&reader->numbers, numbers), prefix = reader->last_length;
    reader->in.failed |= reader->numbers.in.failed;
    for (size_t i = 0; i < count; i++, texts += POISE_KEY_MAX) {
        memcpy(texts, reader->last, prefix);
        for (size_t at = prefix + reader->digits; at > prefix; at--, numbers[i] /= 10) {
            texts[at - 1] = (char)('0' + numbers[i] % 10);
        }
        ret_keys[i] = (struct chunk_key){.text = texts, .length = prefix + reader->digits};
    }
    return count;
}

static struct chunk_key take_text(struct keys_reader *reader, char *room)
{
    size_t length, shared = cursor_varint(&reader->in);
    if (shared == 0 || reader->in.failed) {
        return (struct chunk_key){0};
    }
    shared--;
    const char *rest = cursor_text(&reader->in, &length);
    reader->in.failed |= shared > reader->last_length || length > POISE_KEY_MAX - shared;
    if (reader->in.failed) {
        return (struct chunk_key){0};
    }
    memcpy(reader->last + shared, rest, length);
    reader->last_length = shared + length;
    memcpy(room, reader->last, reader->last_length);
    return (struct chunk_key){.text = room, .length = reader->last_length};
}

size_t keys_next(struct keys_reader *reader, char *texts, struct chunk_key ret_keys[BITS_BLOCK])
{
    if (reader->is_numbered) {
        return next_numbered(reader, texts, ret_keys);
    }
    size_t count = reader->left < BITS_BLOCK ? reader->left : BITS_BLOCK;
    for (size_t i = 0; i < count; i++) {
        ret_keys[i] = take_text(reader, texts + i * POISE_KEY_MAX);
    }
    reader->left -= count;
    return reader->in.failed ? 0 : count;
}
