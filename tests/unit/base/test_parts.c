/* error, buf, arena, pool, heap, clock */
#include "base_test.h"
#include <base/arena.h>
#include <base/buf.h>
#include <base/clock.h>
#include <base/error.h>
#include <base/heap.h>
#include <base/pool.h>
#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

static void test_codes(void **state)
{
    (void)state;
    assert_string_equal(poise_code_name(POISE_OK), "OK");
    assert_string_equal(poise_code_name(POISE_EFORK), "EFORK");
    assert_string_equal(poise_code_text(POISE_ENOMEM), "out of memory");
    assert_string_equal(poise_code_name((poise_code)999), "EUNKNOWN");
    assert_non_null(strstr(poise_code_text((poise_code)999), "not know"));
}

static void test_error(void **state)
{
    (void)state;
    poise_error err = {0};
    assert_int_equal(error_set(&err, POISE_EINVAL, "weight %d is below 0", -1), POISE_EINVAL);
    assert_int_equal(err.code, POISE_EINVAL);
    assert_int_equal(error_wrap(&err, "line %d", 7), POISE_EINVAL);
    assert_string_equal(err.text, "line 7: weight -1 is below 0");
    errno = ENOENT;
    assert_int_equal(error_errno(&err, POISE_EIO, "cannot open %s", "x"), POISE_EIO);
    assert_string_equal(err.text, "cannot open x: No such file or directory");
    error_set(&err, POISE_ELIMIT, "again: %s", err.text);
    assert_string_equal(err.text, "again: cannot open x: No such file or directory");
    assert_int_equal(error_nomem(&err, "the table"), POISE_ENOMEM);
    assert_string_equal(err.text, "out of memory for the table");
    assert_int_equal(error_set(NULL, POISE_EGAP, "x"), POISE_EGAP);
    assert_int_equal(error_errno(NULL, POISE_EIO, "x"), POISE_EIO);
    assert_int_equal(error_wrap(NULL, "x"), POISE_EINVAL);
}

static void test_error_is_cut_between_code_points(void **state)
{
    (void)state;
    char text[600];
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'a', sizeof text);
        for (size_t i = lead; i + 4 < sizeof text; i += 4) {
            memcpy(text + i, "\xf0\x9f\x8d\xba", 4);
        }
        text[sizeof text - 1] = '\0';
        poise_error err;
        error_set(&err, POISE_EINVAL, "%s", text);
        size_t length = strlen(err.text);
        assert_int_equal(length, (POISE_ERROR_TEXT_MAX - 1 - lead) / 4 * 4 + lead);
        assert_memory_equal(err.text, text, length);
        error_wrap(&err, "b");
        assert_memory_equal(err.text, "b: ", 3);
        assert_int_equal((strlen(err.text) - 3 - lead) % 4, 0);
    }
}

static void test_buf_and_cursor(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 127, 128, 300, UINT32_MAX, (uint64_t)INT64_MAX, UINT64_MAX};
    struct buf buf = {0};
    buf_put_u8(&buf, 0xab);
    buf_put_u16(&buf, 0x1234);
    buf_put_u32(&buf, 0x89abcdef);
    buf_put_u64(&buf, 0x0123456789abcdefULL);
    buf_put_f64(&buf, -DBL_MAX);
    for (size_t i = 0; i < 8; i++) {
        buf_put_varint(&buf, numbers[i]);
        buf_put_svarint(&buf, (int64_t)numbers[i]);
    }
    buf_put_svarint(&buf, INT64_MIN);
    buf_put_text(&buf, "abc", 3);
    buf_put_text(&buf, "", 0);
    assert_false(buf.failed);
    assert_memory_equal(buf.data, "\xab\x34\x12\xef\xcd\xab\x89\xef\xcd\xab", 10);

    struct cursor cursor = cursor_of(buf.data, buf.length);
    assert_int_equal(cursor_left(&cursor), buf.length);
    assert_int_equal(cursor_u8(&cursor), 0xab);
    assert_int_equal(cursor_u16(&cursor), 0x1234);
    assert_int_equal(cursor_u32(&cursor), 0x89abcdef);
    assert_true(cursor_u64(&cursor) == 0x0123456789abcdefULL);
    assert_true(cursor_f64(&cursor) == -DBL_MAX);
    for (size_t i = 0; i < 8; i++) {
        assert_true(cursor_varint(&cursor) == numbers[i]);
        assert_true(cursor_svarint(&cursor) == (int64_t)numbers[i]);
    }
    assert_true(cursor_svarint(&cursor) == INT64_MIN);
    size_t length;
    assert_memory_equal(cursor_text(&cursor, &length), "abc", 3);
    assert_int_equal(length, 3);
    assert_non_null(cursor_text(&cursor, &length));
    assert_int_equal(length, 0);
    assert_int_equal(cursor_left(&cursor), 0);
    assert_false(cursor.failed);
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_true(cursor.failed);
    buf_free(&buf);
    assert_null(buf.data);
}

static void test_cursor_refuses(void **state)
{
    (void)state;
    size_t length = 9;
    struct cursor cursor = cursor_of("\x05"
                                     "abc",
                                     4);
    assert_null(cursor_text(&cursor, &length));
    assert_int_equal(length, 0);
    assert_true(cursor.failed);
    assert_int_equal(cursor_left(&cursor), 0);
    assert_int_equal(cursor_varint(&cursor), 0);
    static const char too_big[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    static const char no_end[] = "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
    cursor = cursor_of(too_big, 10);
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.failed);
    cursor = cursor_of(no_end, 12);
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.failed);
    cursor = cursor_of("\x80", 1);
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.failed);
    cursor = cursor_of("abc", 3);
    assert_int_equal(cursor_u32(&cursor), 0);
    assert_true(cursor.failed);
    assert_null(cursor_bytes(&cursor, 0));
    cursor = cursor_of(NULL, 0);
    assert_non_null(cursor_bytes(&cursor, 0));
    assert_null(cursor_bytes(&cursor, SIZE_MAX));
}

static void test_buf_printf(void **state)
{
    (void)state;
    char wide[500];
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    struct buf buf = {0};
    buf_printf(&buf, "%d-", 42);
    buf_printf(&buf, "%s", wide);
    assert_int_equal(buf.length, 3 + 499);
    assert_memory_equal(buf.data, "42-xxx", 6);
    assert_int_equal(buf.data[buf.length - 1], 'x');
    assert_false(buf_reserve(&buf, SIZE_MAX));
    buf_put_u8(&buf, 1);
    assert_true(buf.failed);
    assert_int_equal(buf.length, 502);
    buf_reset(&buf);
    buf_put(&buf, NULL, 0);
    assert_false(buf.failed);
    assert_int_equal(buf.length, 0);
    buf_free(&buf);
    buf_free(NULL);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    uint64_t seed = 1;
    unsigned char *pieces[500];
    size_t sizes[500];
    for (size_t i = 0; i < 500; i++) {
        sizes[i] = next_random(&seed) % (i % 50 == 0 ? 20000 : 100);
        pieces[i] = arena_alloc(&arena, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(pieces[i][j], i & 0xff);
        }
    }
    arena_reset(&arena);
    assert_int_equal(arena.used, 0);
    const unsigned char *cleared = arena_zalloc(&arena, 10, 10);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(cleared[i], 0);
    }
    assert_string_equal(arena_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(&arena, NULL, 0), "");
    assert_null(arena_zalloc(&arena, SIZE_MAX / 16 + 2, 16));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_strndup(&arena, "", SIZE_MAX));
    arena_free(&arena);
    arena_free(&arena);
    arena_free(NULL);
    arena_free(&(struct arena){0});
}

static bool is_filled(const struct pool *pool, uint32_t piece, size_t size, int with)
{
    const unsigned char *bytes = pool_at(pool, piece);
    size_t at = 0;
    while (at < size && bytes[at] == with) {
        at++;
    }
    return at == size;
}

static void test_pool(void **state)
{
    (void)state;
    enum { PIECES = 3000, TURNS = 20000 };
    static uint32_t pieces[PIECES];
    static size_t sizes[PIECES];
    struct pool pool = {0};
    uint64_t seed = 1;
    for (int turn = 0; turn < TURNS; turn++) {
        size_t i = next_random(&seed) % PIECES;
        if (pieces[i] == POOL_NONE) {
            sizes[i] = 1 + next_random(&seed) % (i % 50 == 0 ? 9000 : 3000);
            pieces[i] = pool_take(&pool, sizes[i]);
            assert_int_not_equal(pieces[i], POOL_NONE);
            assert_true(is_filled(&pool, pieces[i], sizes[i], 0));
            memset(pool_at(&pool, pieces[i]), (int)(i & 0xff), sizes[i]);
        } else {
            assert_true(is_filled(&pool, pieces[i], sizes[i], (int)(i & 0xff)));
            pool_give(&pool, pieces[i], sizes[i]);
            pieces[i] = POOL_NONE;
        }
    }
    assert_true(pool.slab_count > 1 && pool.slab_count < 6); /* 8 were nothing used again */
    assert_int_equal(pool_take(&pool, SIZE_MAX), POOL_NONE);
    pool_free(&pool);
    pool_free(&pool);
}

static void test_pool_large(void **state)
{
    (void)state;
    size_t counts[] = {1, 3, 1 << 18, (1 << 18) + 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t *numbers = pool_large(counts[i], sizeof *numbers);
        assert_non_null(numbers);
        assert_int_equal((uintptr_t)numbers % 64, 0);
        memset(numbers, 1, counts[i] * sizeof *numbers);
        free(numbers);
    }
    assert_null(pool_large(SIZE_MAX / 2, 3));
    assert_null(pool_large(SIZE_MAX, 1));
}

static void test_arena_limit(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 160);
    for (int i = 0; i < 10; i++) {
        assert_non_null(arena_alloc(&arena, 1));
    }
    assert_int_equal(arena.used, 160);
    assert_null(arena_alloc(&arena, 1));
    assert_int_equal(arena.used, 160);
    arena_reset(&arena);
    assert_null(arena_alloc(&arena, 161));
    assert_non_null(arena_alloc(&arena, 160));
    arena_free(&arena);
}

static void test_heap(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_item item = {.key = 5, .value = &heap};
    assert_false(heap_peek(&heap, &item));
    assert_false(heap_pop(&heap, &item));
    assert_int_equal(item.key, 5);
    uint64_t seed = 2;
    int64_t sum = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t key = (int64_t)(next_random(&seed) % 300) - 150;
        assert_true(heap_push(&heap, key, NULL));
        sum += key;
        if (i % 3 == 0) { /* pops between pushes reach other shapes */
            assert_true(heap_pop(&heap, &item));
            sum -= item.key;
        }
    }
    int64_t last = INT64_MIN;
    while (heap_peek(&heap, &item)) {
        int64_t peeked = item.key;
        assert_true(heap_pop(&heap, &item));
        assert_int_equal(item.key, peeked);
        assert_true(item.key >= last);
        last = item.key;
        sum -= item.key;
    }
    assert_int_equal(sum, 0);
    heap_free(&heap);
    heap_free(NULL);
}

static void test_clock(void **state)
{
    (void)state;
    int64_t before = clock_monotonic_us(&clock_system);
    assert_true(clock_wall_ms(&clock_system) > INT64_C(1600000000000));
    assert_true(clock_monotonic_us(&clock_system) >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),          cmocka_unit_test(test_error),
        cmocka_unit_test(test_buf_and_cursor), cmocka_unit_test(test_error_is_cut_between_code_points),
        cmocka_unit_test(test_cursor_refuses), cmocka_unit_test(test_buf_printf),
        cmocka_unit_test(test_arena),          cmocka_unit_test(test_arena_limit),
        cmocka_unit_test(test_pool),           cmocka_unit_test(test_pool_large),
        cmocka_unit_test(test_heap),           cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
