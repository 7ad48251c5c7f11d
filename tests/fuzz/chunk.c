/* A chunk or a block of chunks as the store has it, without the CRC, which the harness puts in. The first
 * byte says which. */
#include "fuzz.h"
#include <base/error.h>
#include <math.h>
#include <stdlib.h>
#include <store/block_inner.h>
#include <store/chunk_inner.h>
#include <store/row_buf.h>
#include <string.h>

enum { CHUNK, BLOCK, KINDS };

/* ---- a chunk ---- */

static void check_rows(const struct chunk_head *head, const struct chunk_rows *rows, int64_t *last_ms)
{
    MUST(rows->count <= CHUNK_PART && rows->time_ms && rows->value && rows->ordinal);
    for (size_t i = 0; i < rows->count; i++) {
        MUST(rows->time_ms[i] >= head->min_time_ms && rows->time_ms[i] >= *last_ms);
        MUST(!isnan(rows->value[i]) && !(rows->of && isnan(rows->of[i])));
        MUST(!rows->key || !rows->key[i].text || rows->key[i].length <= POISE_KEY_MAX);
        *last_ms = rows->time_ms[i];
    }
}

/* All rows, as far as they can be read, at most `room`. */
static poise_code read_chunk(struct chunk_reader *reader, const struct chunk_head *head, size_t room,
                             struct row_buf *rows, poise_error *err)
{
    size_t seen = 0;
    int64_t last_ms = INT64_MIN;
    for (;;) {
        struct chunk_rows part;
        poise_code code = chunk_reader_next(reader, &part, err);
        if (code != POISE_OK || part.count == 0) {
            MUST(code == POISE_OK || code == POISE_ECORRUPT);
            MUST(code != POISE_OK || seen == head->rows);
            return code;
        }
        check_rows(head, &part, &last_ms);
        seen += part.count;
        MUST(seen <= head->rows);
        if (rows->count + part.count <= room) {
            MUST(row_buf_add(rows, &part, 0, part.count));
        }
    }
}

static bool same_key(const struct chunk_rows *a, const struct chunk_rows *b, size_t i)
{
    static const struct chunk_key none = {0};
    const struct chunk_key *left = a->key ? &a->key[i] : &none, *right = b->key ? &b->key[i] : &none;
    return !left->text == !right->text && left->length == right->length &&
           (left->length == 0 || memcmp(left->text, right->text, left->length) == 0);
}

static void check_same(const struct chunk_rows *a, const struct chunk_rows *b)
{
    MUST(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        MUST(a->time_ms[i] == b->time_ms[i] && a->ordinal[i] == b->ordinal[i]);
        MUST(fuzz_same_bits(a->value[i], b->value[i]));
        MUST(fuzz_same_bits(a->of ? a->of[i] : 1, b->of ? b->of[i] : 1));
        MUST((a->seq ? a->seq[i] : 0) == (b->seq ? b->seq[i] : 0));
        MUST((a->gone ? a->gone[i] : 0) == (b->gone ? b->gone[i] : 0));
        MUST((a->retract && a->retract[i]) == (b->retract && b->retract[i]));
        MUST(same_key(a, b, i));
    }
}

static size_t standing_of(const struct chunk_rows *rows)
{
    size_t standing = 0;
    for (size_t i = 0; i < rows->count; i++) {
        standing += !(rows->gone && rows->gone[i]) && !(rows->retract && rows->retract[i]);
    }
    return standing;
}

/* Rows that a chunk gave make a chunk that gives them again, with a head that is true. */
static void encode_again(uint64_t series, const struct chunk_rows *rows)
{
    struct buf bytes = {0};
    struct row_buf back = {0};
    struct chunk_head head;
    poise_error err;
    struct chunk_reader *reader = chunk_reader_open();
    MUST(reader && row_buf_make(&back, rows->count));
    MUST(chunk_encode(series, rows, &bytes, &err) == POISE_OK);
    MUST(chunk_reader_begin(reader, series, bytes.data, bytes.length, &head, &err) == POISE_OK);
    MUST(head.rows == rows->count && head.standing == standing_of(rows));
    MUST(head.min_time_ms == rows->time_ms[0] && head.max_time_ms == rows->time_ms[rows->count - 1]);
    MUST(read_chunk(reader, &head, rows->count, &back, &err) == POISE_OK);
    struct chunk_rows came = row_buf_rows(&back, 0, back.count);
    check_same(rows, &came);
    MUST(chunk_reader_begin(reader, series + 1, bytes.data, bytes.length, &head, &err) == POISE_ECORRUPT);
    chunk_reader_close(reader);
    row_buf_free(&back);
    buf_free(&bytes);
}

static void try_chunk(const void *bytes, size_t length)
{
    struct chunk_head head;
    struct row_buf rows = {0};
    poise_error err;
    struct chunk_reader *reader = chunk_reader_open();
    MUST(reader);
    poise_code code = chunk_reader_begin_bare(reader, bytes, length, &head, &err);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION);
    if (code == POISE_OK) {
        MUST(head.rows > 0 && head.rows <= CHUNK_ROWS_MAX && head.standing <= head.rows &&
             head.min_time_ms <= head.max_time_ms);
        MUST(row_buf_make(&rows, head.rows));
        code = read_chunk(reader, &head, head.rows, &rows, &err);
        if (code == POISE_OK) {
            struct chunk_rows all = row_buf_rows(&rows, 0, rows.count);
            encode_again(head.rows, &all);
        }
    }
    row_buf_free(&rows);
    chunk_reader_close(reader);
}

/* ---- a block ---- */

static void try_block(const uint8_t *data, size_t size)
{
    struct block_key key;
    struct block_reader reader;
    struct block_chunk chunk;
    struct buf block = {0};
    poise_error err;
    if (size < BLOCK_KEY_BYTES || !block_key_take(data, BLOCK_KEY_BYTES, &key)) {
        return;
    }
    data += BLOCK_KEY_BYTES;
    size -= BLOCK_KEY_BYTES;
    buf_put_u32(&block, block_crc(&key, data, size));
    buf_put(&block, data, size);
    MUST(!block.failed);
    poise_code code = block_open(&reader, &key, block.data, block.length, &err);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION);
    struct block_reader find = reader;
    size_t chunks = 0, sum = 0;
    while (code == POISE_OK && block_next(&reader, &chunk)) {
        MUST(!reader.directory.failed && chunk.bytes);
        MUST((const uint8_t *)chunk.bytes >= block.data &&
             (const uint8_t *)chunk.bytes + chunk.length <= block.data + block.length);
        MUST(++chunks <= size);
        sum += chunk.length;
        try_chunk(chunk.bytes, chunk.length);
    }
    MUST(code != POISE_OK || (sum <= size && !reader.directory.failed));
    if (code == POISE_OK) {
        block_find(&find, key.series, &chunk);
    }
    buf_free(&block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] % KINDS == CHUNK) {
        try_chunk(data + 1, size - 1);
    } else if (size > 0) {
        try_block(data + 1, size - 1);
    }
    return 0;
}
