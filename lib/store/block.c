#include "block.h"
#include "block_inner.h"
#include <base/error.h>
#include <base/hash.h>
#include <inttypes.h>

int32_t block_bucket(int64_t time_ms)
{
    int64_t day = time_ms / BLOCK_DAY_MS - (time_ms % BLOCK_DAY_MS < 0);
    return day < INT32_MIN ? INT32_MIN : day > INT32_MAX ? INT32_MAX : (int32_t)day;
}

/* ---- keys ---- */

static uint8_t *put_big(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        *at++ = (uint8_t)(value >> 8 * i);
    }
    return at;
}

static uint64_t take_big(const uint8_t **at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | *(*at)++;
    }
    return value;
}

void block_key_put(const struct block_key *key, uint8_t ret_bytes[BLOCK_KEY_BYTES])
{
    uint8_t *at = put_big(ret_bytes, (uint32_t)key->bucket ^ UINT32_C(0x80000000), 4);
    at = put_big(at, key->input, 4);
    at = put_big(at, key->run, 8);
    at = put_big(at, key->series, 8);
    put_big(at, key->part, 4);
}

bool block_key_take(const void *bytes, size_t length, struct block_key *ret_key)
{
    const uint8_t *at = bytes;
    if (length != BLOCK_KEY_BYTES) {
        return false;
    }
    ret_key->bucket = (int32_t)((uint32_t)take_big(&at, 4) ^ UINT32_C(0x80000000));
    ret_key->input = (uint32_t)take_big(&at, 4);
    ret_key->run = take_big(&at, 8);
    ret_key->series = take_big(&at, 8);
    ret_key->part = (uint32_t)take_big(&at, 4);
    return true;
}

uint32_t block_crc(const struct block_key *key, const void *bytes, size_t length)
{
    uint8_t name[BLOCK_KEY_BYTES];
    block_key_put(key, name);
    return crc32c(name, sizeof name) ^ crc32c(bytes, length);
}

/* ---- reading ---- */

static poise_code damaged(const struct block_key *key, poise_error *err, const char *what)
{
    return error_set(err, POISE_ECORRUPT,
                     "the block of bucket %" PRId32 ", input %" PRIu32 ", run %" PRIu64
                     " level %u, series %" PRIu64 ", part %" PRIu32 " is damaged: %s",
                     key->bucket, key->input, block_run_lsn(key->run), block_run_level(key->run), key->series,
                     key->part, what);
}

/* The directory's end is where the chunks begin: found by walking it. */
static bool find_chunks(struct block_reader *reader)
{
    struct cursor at = reader->directory;
    uint64_t room = cursor_left(&at), sum = 0;
    for (size_t i = 0; i < reader->left && sum <= room; i++) {
        cursor_varint(&at);
        uint64_t length = cursor_varint(&at) >> 1;
        sum = length > room ? UINT64_MAX : sum + length;
    }
    reader->chunks = at;
    reader->directory.end = at.at;
    return !at.failed && sum == cursor_left(&at);
}

poise_code block_open(struct block_reader *reader, const struct block_key *key, const void *bytes,
                      size_t length, poise_error *err)
{
    struct cursor in = cursor_of(bytes, length);
    uint32_t crc = cursor_u32(&in);
    if (in.failed || crc != block_crc(key, in.at, cursor_left(&in))) {
        return damaged(key, err, "its CRC does not match");
    }
    unsigned format = cursor_u8(&in);
    if (!in.failed && format != BLOCK_FORMAT) {
        return error_set(err, POISE_EVERSION, "a block of format %u, which this version does not know",
                         format);
    }
    uint64_t chunks = cursor_varint(&in);
    struct block_reader opened = {.directory = in, .left = chunks, .series = key->series};
    if (in.failed || chunks == 0 || chunks > length || !find_chunks(&opened)) {
        return damaged(key, err, "its directory cannot be read");
    }
    *reader = opened;
    return POISE_OK;
}

bool block_next(struct block_reader *reader, struct block_chunk *ret_chunk)
{
    if (reader->left == 0) {
        return false;
    }
    reader->left--;
    reader->series += cursor_varint(&reader->directory);
    uint64_t extent = cursor_varint(&reader->directory);
    const void *bytes = cursor_bytes(&reader->chunks, extent >> 1);
    *ret_chunk = (struct block_chunk){.series = reader->series,
                                      .kind = extent & 1 ? BLOCK_MARKS : BLOCK_ROWS,
                                      .bytes = bytes,
                                      .length = (size_t)(extent >> 1)};
    return true;
}

bool block_find(struct block_reader *reader, uint64_t series, struct block_chunk *ret_chunk)
{
    struct block_reader ahead = *reader;
    struct block_chunk chunk;
    while (block_next(&ahead, &chunk) && chunk.series <= series) {
        *reader = ahead;
        if (chunk.series == series) {
            *ret_chunk = chunk;
            return true;
        }
    }
    return false;
}
