/* Blocks give back the rows that were put in, are full, and stand any damage. */
#include "plain.h"
#include <base/hash.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what comes back ---- */

/* Goes through all chunks of a block; rows and marks come one after the other, as they stand. */
static void walk(const struct block *block, struct chunk_reader *reader, struct came *rows,
                 struct came *marks)
{
    struct block_reader at;
    struct block_chunk chunk;
    assert_int_equal(block_open(&at, &block->key, block->bytes, block->length, NULL), POISE_OK);
    assert_true(at.left > 0);
    for (size_t i = 0; block_next(&at, &chunk); i++) {
        struct chunk_head head;
        struct chunk_rows part;
        assert_true(i > 0 || chunk.series == block->key.series);
        assert_int_equal(chunk_reader_begin_bare(reader, chunk.bytes, chunk.length, &head, NULL), POISE_OK);
        assert_true(head.rows <= BLOCK_ROWS_MAX);
        while (chunk_reader_next(reader, &part, NULL) == POISE_OK && part.count > 0) {
            came_add(chunk.kind == BLOCK_MARKS ? marks : rows, block->key.bucket, block->key.input,
                     chunk.series, &part, chunk.kind == BLOCK_MARKS);
        }
    }
    assert_false(at.directory.failed || at.chunks.failed);
}

static void check_stats(const struct block_stats *stats, const struct came *rows, const struct came *marks,
                        size_t first_row, size_t first_mark)
{
    int64_t min = INT64_MAX, max = INT64_MIN;
    uint64_t first = UINT64_MAX, last = 0;
    assert_int_equal(stats->rows, rows->count - first_row);
    assert_int_equal(stats->marks, marks->count - first_mark);
    for (int kind = 0; kind < 2; kind++) {
        const struct came *came = kind ? marks : rows;
        for (size_t i = kind ? first_mark : first_row; i < came->count; i++) {
            const struct plain_row *row = &came->rows[i];
            min = row->time_ms < min ? row->time_ms : min;
            max = row->time_ms > max ? row->time_ms : max;
            last = row->place > last ? row->place : last;
            last = row->gone > last ? row->gone : last;
            uint64_t place = kind ? row->gone : row->place;
            first = place < first ? place : first;
        }
    }
    assert_true(stats->min_time_ms == min && stats->max_time_ms == max && stats->last_place == last);
    assert_true(stats->first_place == first);
}

static void check_keys(const struct blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        uint8_t key[BLOCK_KEY_BYTES], before[BLOCK_KEY_BYTES];
        struct block_key back;
        const struct block *block = &blocks->all[i].block;
        block_key_put(&block->key, key);
        assert_true(block_key_take(key, sizeof key, &back));
        assert_true(back.bucket == block->key.bucket && back.input == block->key.input &&
                    back.run == block->key.run && back.series == block->key.series &&
                    back.part == block->key.part);
        assert_true(block->length <= BLOCK_MAX);
        if (i > 0) {
            block_key_put(&blocks->all[i - 1].block.key, before);
            assert_true(memcmp(before, key, sizeof key) < 0);
        }
    }
}

static void check_blocks(const struct blocks *blocks, const struct plain_row *rows, size_t row_count,
                         const struct plain_row *marks, size_t mark_count)
{
    struct came came = {0}, came_marks = {0};
    struct chunk_reader *reader = chunk_reader_open();
    size_t first_row = 0, first_mark = 0;
    uint64_t number = 0, bytes = 0;
    assert_non_null(reader);
    check_keys(blocks);
    for (size_t i = 0; i < blocks->count; i++) {
        const struct block *block = &blocks->all[i].block, *last = block;
        if (i > 0) {
            last = &blocks->all[i - 1].block;
        }
        if (last->key.bucket != block->key.bucket || last->key.input != block->key.input) {
            first_row = came.count;
            first_mark = came_marks.count;
            number = bytes = 0;
        }
        walk(block, reader, &came, &came_marks);
        check_stats(&block->stats, &came, &came_marks, first_row, first_mark);
        number++;
        bytes += block->length;
        assert_true(block->stats.blocks == number && block->stats.bytes == bytes);
    }
    came_check(&came, rows, row_count);
    came_check(&came_marks, marks, mark_count);
    came_free(&came);
    came_free(&came_marks);
    chunk_reader_close(reader);
}

/* Rows of places [from, until], and marks of earlier rows. */
static void check_run(const struct plain *plain, uint64_t from, uint64_t until, uint64_t *random)
{
    struct blocks blocks = {0};
    struct plain_row *rows, *items;
    size_t count = plain_known(plain, from, until, &rows), marks = 0;
    size_t items_count = plain_run(plain, from, until, random, &items);
    for (size_t i = 0; i < items_count; i++) { /* those that name rows of the run are folded */
        if (items[i].is_mark && items[i].place < from) {
            items[marks++] = items[i];
        }
    }
    blocks_build(&blocks, plain, from, until, block_run(from, 0), random);
    check_blocks(&blocks, rows, count, items, marks);
    blocks_free(&blocks);
    free(rows);
    free(items);
}

static void test_any_rows(void **state)
{
    (void)state;
    static const struct plain_shape shapes[] = {
        {.rows = 2000, .buckets = 3, .inputs = 3, .series = 400, .corrected = 100},
        {.rows = 30000, .buckets = 1, .inputs = 1, .series = 20, .corrected = 50},
        {.rows = 60000, .buckets = 1, .inputs = 1, .series = 1, .corrected = 0},
        {.rows = 60000, .buckets = 1, .inputs = 1, .series = 3, .corrected = 400},
        {.rows = 20000, .buckets = 2, .inputs = 2, .series = 10000, .corrected = 10},
        {.rows = 100, .buckets = 5, .inputs = 5, .series = 5, .corrected = 500},
    };
    uint64_t random = 11;
    for (int round = 0; round < 12; round++) {
        struct plain plain;
        plain_make(&plain, &shapes[(size_t)round % (sizeof shapes / sizeof *shapes)], &random);
        uint64_t from = 1 + plain.count * (uint64_t)test_between(&random, 0, 3) / 4;
        check_run(&plain, 1, plain.count, &random);
        check_run(&plain, from, plain.count, &random);
        plain_free(&plain);
    }
}

/* Where rows are narrow, hardly anything of a block stays empty. */
static void test_full(void **state)
{
    (void)state;
    struct blocks blocks = {0};
    struct columns columns;
    uint64_t random = 12;
    struct block_builder *builder = block_builder_open(block_run(1, 0), blocks_take, &blocks);
    assert_non_null(builder);
    columns_make(&columns, 1000);
    for (uint64_t series = 0; series < 1200; series++) {
        columns_plain(&columns, (size_t)test_between(&random, 1, 400), 50);
        for (size_t i = 0; i < columns.rows.count; i++) {
            columns.value[i] = (double)test_between(&random, 0, 30000) / 100;
        }
        const struct block_place place = {.bucket = 1, .input = 1, .series = series};
        assert_int_equal(block_builder_add(builder, &place, &columns.rows, NULL), POISE_OK);
    }
    assert_int_equal(block_builder_end(builder, NULL), POISE_OK);
    block_builder_close(builder);
    size_t bytes = 0;
    for (size_t i = 0; i + 1 < blocks.count; i++) {
        bytes += blocks.all[i].block.length;
        assert_true(blocks.all[i].block.length > BLOCK_MAX - 300);
    }
    assert_true(blocks.count > 20);
    assert_true((double)bytes > 0.99 * (double)BLOCK_MAX * (double)(blocks.count - 1));
    blocks_free(&blocks);
    columns_free(&columns);
}

/* The widest rows there can be. */
static void test_wide_rows(void **state)
{
    (void)state;
    struct blocks blocks = {0};
    struct columns columns;
    uint64_t random = 13;
    struct block_builder *builder = block_builder_open(block_run(1, 0), blocks_take, &blocks);
    assert_non_null(builder);
    columns_make(&columns, 2000);
    columns_plain(&columns, 2000, 1);
    for (size_t i = 0; i < 2000; i++) {
        char *text = columns.texts + 256 * i;
        for (size_t j = 0; j < 255; j++) {
            text[j] = (char)test_random(&random);
        }
        columns.key[i] = (struct chunk_key){.text = text, .length = 255};
        columns.value[i] = ldexp((double)(test_random(&random) >> 11), (int)test_between(&random, -900, 900));
        columns.of[i] = ldexp((double)(test_random(&random) >> 11), (int)test_between(&random, -900, 900));
        columns.seq[i] = test_random(&random);
        columns.gone[i] = columns.ordinal[i] + (test_random(&random) >> 1);
    }
    const struct block_place place = {.bucket = INT32_MIN, .input = UINT32_MAX, .series = UINT64_MAX};
    assert_int_equal(block_builder_add(builder, &place, &columns.rows, NULL), POISE_OK);
    assert_int_equal(block_builder_end(builder, NULL), POISE_OK);
    block_builder_close(builder);
    check_keys(&blocks);
    assert_true(blocks.count > 33 && blocks.all[1].block.key.part == 1);
    blocks_free(&blocks);
    columns_free(&columns);
}

static void test_buckets(void **state)
{
    (void)state;
    assert_int_equal(block_bucket(0), 0);
    assert_int_equal(block_bucket(86399999), 0);
    assert_int_equal(block_bucket(86400000), 1);
    assert_int_equal(block_bucket(-1), -1);
    assert_int_equal(block_bucket(-86400000), -1);
    assert_int_equal(block_bucket(-86400001), -2);
    assert_int_equal(block_bucket(INT64_MAX), INT32_MAX);
    assert_int_equal(block_bucket(INT64_MIN), INT32_MIN);
}

/* ---- one block ---- */

static const int64_t two_times[] = {1000, 2000};
static const double two_values[] = {0.5, 0.25};
static const uint64_t two_places[] = {7, 8}, two_gone[] = {20, 21};
static const struct chunk_rows two = {
    .count = 2, .time_ms = two_times, .value = two_values, .ordinal = two_places};
static const struct chunk_rows two_marks = {
    .count = 2, .time_ms = two_times, .ordinal = two_places, .gone = two_gone};

/* Series 5 and 300 with rows, 300 with a mark. */
static void make_small(struct blocks *blocks)
{
    struct block_place place = {.bucket = 3, .input = 9, .series = 5};
    struct block_builder *builder = block_builder_open(block_run(77, 2), blocks_take, blocks);
    struct chunk_rows later = two;
    later.time_ms = (const int64_t[]){3000, 4000};
    assert_non_null(builder);
    assert_int_equal(block_builder_add(builder, &place, &two, NULL), POISE_OK);
    place.series = 300;
    assert_int_equal(block_builder_add_marks(builder, &place, &two_marks, NULL), POISE_OK);
    assert_int_equal(block_builder_add(builder, &place, &later, NULL), POISE_OK);
    assert_int_equal(block_builder_end(builder, NULL), POISE_OK);
    block_builder_close(builder);
    assert_int_equal(blocks->count, 1);
}

static void seal(const struct block_key *key, uint8_t *bytes, size_t length)
{
    uint8_t name[BLOCK_KEY_BYTES];
    block_key_put(key, name);
    struct buf out = {.data = bytes, .capacity = 4};
    buf_put_u32(&out, crc32c(name, sizeof name) ^ crc32c(bytes + 4, length - 4));
}

/* The bytes as docs/series-store.md lays them out: stores of old must stay readable. */
static void test_golden_bytes(void **state)
{
    (void)state;
    static const uint8_t key[] = {0x80, 0, 0, 3,              /* bucket 3 */
                                  0,    0, 0, 9,              /* input 9 */
                                  0,    0, 0, 0, 0, 0, 77, 2, /* run up to record 77, level 2 */
                                  0,    0, 0, 0, 0, 0, 0,  5, /* series 5 */
                                  0,    0, 0, 0};             /* the first that begins with it */
    uint8_t golden[] = {
        0, 0,  0,    0,                    /* the CRC */
        1, 3,                              /* format, chunks */
        0, 42, 0xa7, 2,    42,   0,    55, /* series 5: rows, 21 bytes; + 295: rows, 21; marks, 27 */
        1, 0,  2,    0xd0, 0x0f, 0xe8, 7,  /* of series 5: 2 rows, from 1000 on, + 1000 */
        4, 5,  0xd0, 0x0f, 0,              /* equal steps of 1000, from 0 */
        4, 2,  5,    0x31, 0x64,           /* hundredths: equal steps of -25, from 50 */
        3, 5,  2,    14,                   /* places: equal steps of 1, from 7 */
        1, 0,  2,    0xf0, 0x2e, 0xe8, 7,  /* of series 300: from 3000 on, else the same */
        4, 5,  0xd0, 0x0f, 0,    4,    2,  5,    0x31, 0x64, 3,
        5, 2,  14,   1,    8,    2,    0,  0xd0, 0x0f, 0xe8, 7, /* its marks: all have gone */
        4, 5,  0xd0, 0x0f, 0,    3,    0,  4,    0,             /* times; values are 0 */
        3, 5,  2,    14,                                        /* places */
        5, 2,  0,    13,   0,    13};                           /* both went, 13 places behind theirs */
    struct blocks blocks = {0};
    uint8_t name[BLOCK_KEY_BYTES];
    make_small(&blocks);
    const struct block *block = &blocks.all[0].block;
    block_key_put(&block->key, name);
    assert_memory_equal(name, key, sizeof key);
    seal(&block->key, golden, sizeof golden);
    assert_int_equal(block->length, sizeof golden);
    assert_memory_equal(block->bytes, golden, sizeof golden);
    blocks_free(&blocks);
}

static void test_find(void **state)
{
    (void)state;
    struct blocks blocks = {0};
    struct block_reader reader, first;
    struct block_chunk chunk;
    make_small(&blocks);
    const struct block *block = &blocks.all[0].block;
    assert_int_equal(block_open(&first, &block->key, block->bytes, block->length, NULL), POISE_OK);
    reader = first;
    assert_false(block_find(&reader, 4, &chunk));
    assert_true(block_find(&reader, 5, &chunk) && chunk.series == 5 && chunk.kind == BLOCK_ROWS);
    assert_false(block_find(&reader, 5, &chunk));
    assert_false(block_find(&reader, 6, &chunk));
    assert_true(block_find(&reader, 300, &chunk) && chunk.series == 300 && chunk.kind == BLOCK_ROWS);
    assert_true(block_find(&reader, 300, &chunk) && chunk.series == 300 && chunk.kind == BLOCK_MARKS);
    assert_false(block_find(&reader, 300, &chunk));
    reader = first;
    assert_true(block_find(&reader, 300, &chunk) && chunk.kind == BLOCK_ROWS);
    assert_false(block_find(&reader, 301, &chunk));
    blocks_free(&blocks);
}

/* ---- refusals ---- */

static poise_code add(struct block_builder *builder, uint64_t series, const struct chunk_rows *rows,
                      bool marks)
{
    const struct block_place place = {.bucket = 3, .input = 9, .series = series};
    return marks ? block_builder_add_marks(builder, &place, rows, NULL)
                 : block_builder_add(builder, &place, rows, NULL);
}

static poise_code add_two(uint64_t series, const struct chunk_rows *first, bool first_marks, uint64_t then,
                          const struct chunk_rows *second, bool second_marks)
{
    struct blocks blocks = {0};
    struct block_builder *builder = block_builder_open(1, blocks_take, &blocks);
    assert_non_null(builder);
    poise_code code = add(builder, series, first, first_marks);
    if (code == POISE_OK) {
        code = add(builder, then, second, second_marks);
    }
    if (code == POISE_OK) {
        code = block_builder_end(builder, NULL);
    }
    block_builder_close(builder);
    blocks_free(&blocks);
    return code;
}

static void test_order(void **state)
{
    (void)state;
    struct chunk_rows later = two, later_marks = two_marks, falling = two, standing = two_marks;
    later.time_ms = later_marks.time_ms = (const int64_t[]){2000, 3000};
    later.ordinal = (const uint64_t[]){9, 10};
    falling.time_ms = (const int64_t[]){2000, 1000};
    standing.gone = (const uint64_t[]){20, 0};
    assert_int_equal(add_two(5, &two, false, 5, &later, false), POISE_OK);
    assert_int_equal(add_two(5, &two, false, 6, &two, false), POISE_OK);
    assert_int_equal(add_two(5, &two, false, 4, &later, false), POISE_EINVAL);
    assert_int_equal(add_two(5, &two, false, 5, &two, false), POISE_EINVAL);
    assert_int_equal(add_two(5, &two_marks, true, 5, &two, false), POISE_EINVAL);
    assert_int_equal(add_two(5, &two_marks, true, 5, &later, false), POISE_OK);
    assert_int_equal(add_two(5, &two, false, 5, &later_marks, true), POISE_EINVAL);
    assert_int_equal(add_two(5, &falling, false, 6, &two, false), POISE_EINVAL);
    assert_int_equal(add_two(5, &standing, true, 6, &two, false), POISE_EINVAL);
    standing.gone = NULL;
    assert_int_equal(add_two(5, &standing, true, 6, &two, false), POISE_EINVAL);
}

static poise_code refuse(void *taker, const struct block *block, poise_error *err)
{
    (void)taker;
    (void)block;
    (void)err;
    return POISE_EREFUSED;
}

static void test_taker_fails(void **state)
{
    (void)state;
    struct block_builder *builder = block_builder_open(1, refuse, NULL);
    assert_non_null(builder);
    assert_int_equal(add(builder, 1, &two, false), POISE_OK);
    assert_int_equal(block_builder_end(builder, NULL), POISE_EREFUSED);
    block_builder_close(builder);
}

/* ---- damage ---- */

static void test_damage_shows(void **state)
{
    (void)state;
    struct blocks blocks = {0};
    struct block_reader reader;
    make_small(&blocks);
    const struct block *block = &blocks.all[0].block;
    uint8_t *bytes = blocks.all[0].bytes;
    for (size_t i = 0; i < block->length; i++) {
        bytes[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(block_open(&reader, &block->key, bytes, block->length, NULL), POISE_ECORRUPT);
        bytes[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(block_open(&reader, &block->key, bytes, i, NULL), POISE_ECORRUPT);
    }
    struct block_key other = block->key;
    other.part++;
    assert_int_equal(block_open(&reader, &other, bytes, block->length, NULL), POISE_ECORRUPT);
    bytes[4] = 2;
    seal(&block->key, bytes, block->length);
    assert_int_equal(block_open(&reader, &block->key, bytes, block->length, NULL), POISE_EVERSION);
    blocks_free(&blocks);
}

/* Any bytes with the right CRC: whatever comes of them is bounded. */
static void test_any_bytes(void **state)
{
    (void)state;
    struct plain plain;
    struct blocks blocks = {0};
    uint64_t random = 14;
    const struct plain_shape shape = {.rows = 300, .buckets = 1, .inputs = 1, .series = 9, .corrected = 300};
    plain_make(&plain, &shape, &random);
    blocks_build(&blocks, &plain, 100, 300, 1, &random);
    assert_int_equal(blocks.count, 1);
    struct kept_block *kept = &blocks.all[0];
    uint8_t *sound = malloc(kept->block.length);
    assert_non_null(sound);
    memcpy(sound, kept->bytes, kept->block.length);
    for (int round = 0; round < 20000; round++) {
        memcpy(kept->bytes, sound, kept->block.length);
        for (int64_t n = test_between(&random, 1, 4); n > 0; n--) {
            size_t most = test_between(&random, 0, 1) ? kept->block.length - 1 : 40;
            kept->bytes[test_between(&random, 4, (int64_t)most)] = (uint8_t)test_random(&random);
        }
        seal(&kept->block.key, kept->bytes, kept->block.length);
        struct blocks_at at = {.blocks = &blocks};
        const struct merge_run run = {.next = blocks_next, .run = &at, .heads = round % 2};
        const struct merge_range range = {.until_series = UINT64_MAX,
                                          .from_ms = INT64_MIN,
                                          .until_ms = INT64_MAX,
                                          .keep_marks = true,
                                          .heads = round % 2};
        struct merge *merge = merge_open(&run, 1, &range);
        struct merge_item item = {.kind = MERGE_ROWS};
        assert_non_null(merge);
        for (size_t items = 0; item.kind != MERGE_END && merge_next(merge, &item, NULL) == POISE_OK;
             items++) {
            assert_true(items < 100 * (size_t)CHUNK_ROWS_MAX);
        }
        merge_close(merge);
    }
    free(sound);
    blocks_free(&blocks);
    plain_free(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_rows),     cmocka_unit_test(test_full),
        cmocka_unit_test(test_wide_rows),    cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_golden_bytes), cmocka_unit_test(test_find),
        cmocka_unit_test(test_order),        cmocka_unit_test(test_taker_fails),
        cmocka_unit_test(test_damage_shows), cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
