#include "sorted.h"
#include <stdlib.h>
#include <string.h>

/* Groups' offsets and their number at the end of a block. */
enum { OFFSET_BYTES = 4, TAIL_BYTES = 4 };

int sorted_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* ---- to bytes ---- */

void sorted_writer_free(struct sorted_writer *writer)
{
    buf_free(&writer->bytes);
    buf_free(&writer->groups);
}

void sorted_reset(struct sorted_writer *writer)
{
    buf_reset(&writer->bytes);
    buf_reset(&writer->groups);
    writer->count = writer->last_length = writer->first_length = 0;
}

static size_t shared_bytes(const struct sorted_writer *writer, const struct sorted_entry *entry)
{
    size_t shared = 0;
    size_t most = writer->last_length < entry->key_length ? writer->last_length : entry->key_length;
    while (shared < most && writer->last[shared] == entry->key[shared]) {
        shared++;
    }
    return shared;
}

bool sorted_add(struct sorted_writer *writer, const struct sorted_entry *entry)
{
    bool begins = writer->count % SORTED_GROUP == 0;
    size_t before = writer->bytes.length, groups = writer->groups.length;
    size_t shared = begins ? 0 : shared_bytes(writer, entry);
    if (begins) {
        buf_put_u32(&writer->groups, (uint32_t)before);
    }
    buf_put_varint(&writer->bytes, shared);
    buf_put_text(&writer->bytes, (const char *)entry->key + shared, entry->key_length - shared);
    buf_put_varint(&writer->bytes, entry->value ? entry->value_length + 1 : 0);
    buf_put(&writer->bytes, entry->value, entry->value ? entry->value_length : 0);
    if (writer->count > 0 && writer->bytes.length + writer->groups.length + TAIL_BYTES > SORTED_BLOCK_MAX) {
        writer->bytes.length = before;
        writer->groups.length = groups;
        return false;
    }
    memcpy(writer->last, entry->key, entry->key_length);
    writer->last_length = entry->key_length;
    if (writer->count++ == 0) {
        memcpy(writer->first, entry->key, entry->key_length);
        writer->first_length = entry->key_length;
    }
    return true;
}

void sorted_finish(struct sorted_writer *writer)
{
    buf_put(&writer->bytes, writer->groups.data, writer->groups.length);
    buf_put_u32(&writer->bytes, (uint32_t)(writer->groups.length / OFFSET_BYTES));
    writer->bytes.failed |= writer->groups.failed;
}

/* ---- from bytes ---- */

void sorted_open(struct sorted_reader *reader, const void *block, size_t length)
{
    *reader = (struct sorted_reader){.block = block, .failed = length < TAIL_BYTES};
    if (reader->failed) {
        return;
    }
    struct cursor tail = cursor_of((const uint8_t *)block + length - TAIL_BYTES, TAIL_BYTES);
    size_t count = cursor_u32(&tail);
    reader->failed = count > (length - TAIL_BYTES) / OFFSET_BYTES;
    if (!reader->failed) {
        size_t entries = length - TAIL_BYTES - count * OFFSET_BYTES;
        reader->in = cursor_of(block, entries);
        reader->groups = cursor_of((const uint8_t *)block + entries, count * OFFSET_BYTES);
    }
}

bool sorted_next(struct sorted_reader *reader, struct sorted_entry *ret_entry)
{
    struct cursor *in = &reader->in;
    if (reader->failed || cursor_left(in) == 0) {
        return false;
    }
    size_t rest, shared = cursor_varint(in);
    const char *key = cursor_text(in, &rest);
    uint64_t length = cursor_varint(in);
    const uint8_t *value = length > 0 ? cursor_bytes(in, length - 1) : NULL;
    reader->failed = in->failed || shared > reader->key_length || rest > SORTED_KEY_MAX - shared;
    if (reader->failed) {
        return false;
    }
    memcpy(reader->key + shared, key, rest);
    reader->key_length = shared + rest;
    *ret_entry = (struct sorted_entry){.key = reader->key,
                                       .key_length = reader->key_length,
                                       .value = value,
                                       .value_length = length > 0 ? length - 1 : 0};
    return true;
}

/* At the beginning of a group. */
static bool go_to(struct sorted_reader *reader, size_t group)
{
    struct cursor offset = cursor_of(reader->groups.at + group * OFFSET_BYTES, OFFSET_BYTES);
    size_t at = cursor_u32(&offset);
    reader->failed |= at > (size_t)(reader->in.end - reader->block);
    if (!reader->failed) {
        reader->in.at = reader->block + at;
        reader->key_length = 0;
    }
    return !reader->failed;
}

void sorted_seek(struct sorted_reader *reader, const uint8_t *key, size_t length)
{
    struct sorted_entry entry;
    size_t low = 0, high = cursor_left(&reader->groups) / OFFSET_BYTES; /* begins in [low, high) */
    while (!reader->failed && high - low > 1) {
        size_t middle = (low + high) / 2;
        bool below = go_to(reader, middle) && sorted_next(reader, &entry) &&
                     sorted_compare(entry.key, entry.key_length, key, length) < 0;
        *(below ? &low : &high) = middle;
    }
    if (reader->failed || high == 0 || !go_to(reader, low)) {
        return;
    }
    struct sorted_reader before = *reader;
    while (sorted_next(reader, &entry) && sorted_compare(entry.key, entry.key_length, key, length) < 0) {
        before = *reader;
    }
    before.failed = reader->failed;
    *reader = before;
}

/* ---- filters ---- */

enum { LINE_WORDS = FILTER_LINE / 8 };

bool filter_make(struct filter *filter, size_t keys)
{
    size_t lines = keys / FILTER_KEYS + 1;
    uint64_t *words = aligned_alloc(FILTER_LINE, lines * FILTER_LINE);
    if (words) {
        memset(words, 0, lines * FILTER_LINE);
        *filter = (struct filter){.words = words, .lines = lines};
    }
    return words != NULL;
}

void filter_free(struct filter *filter)
{
    free(filter->words);
    *filter = (struct filter){0};
}

/* One bit in each word, from what did not choose the line. */
static uint64_t bit_of(uint64_t hash, unsigned word)
{
    static const uint64_t odd[LINE_WORDS] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb,
                                             0xd6e8feb86659fd93, 0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53,
                                             0xa0761d6478bd642f, 0xe7037ed1a0b428db};
    return UINT64_C(1) << (((hash & UINT32_MAX) * odd[word]) >> 58);
}

void filter_add(struct filter *filter, uint64_t hash)
{
    uint64_t *line = filter_line(filter, hash);
    for (unsigned i = 0; i < LINE_WORDS; i++) {
        line[i] |= bit_of(hash, i);
    }
}

bool filter_may_have(const struct filter *filter, uint64_t hash)
{
    if (filter->lines == 0) {
        return true;
    }
    const uint64_t *line = filter_line(filter, hash);
    for (unsigned i = 0; i < LINE_WORDS; i++) {
        if (!(line[i] & bit_of(hash, i))) {
            return false;
        }
    }
    return true;
}
