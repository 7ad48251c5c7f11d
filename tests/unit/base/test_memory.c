/* Every fallible path of lib/base, with the n-th allocation failing for all n. */
#include "base_test.h"
#include <base/arena.h>
#include <base/buf.h>
#include <base/csv.h>
#include <base/hash.h>
#include <base/heap.h>
#include <base/pool.h>
#include <base/ring.h>
#include <stdlib.h>
#include <string.h>

static long until_failure; /* allocations that still succeed; below 0: all do */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails_now() ? NULL : __real_reallocarray(old, count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

/* Each returns whether all of its allocations succeeded; it must hold together and leak nothing if not. */

static bool use_intern(void)
{
    struct intern intern = {0};
    bool good = true;
    for (size_t i = 0; i < 100 && good; i++) {
        char text[2] = {(char)('0' + i / 10), (char)('0' + i % 10)};
        size_t count = intern.count;
        uint32_t id = intern_add(&intern, text, 2);
        good = id != INTERN_NONE;
        assert_true(intern.count == count + good && intern.map.count == intern.count);
        assert_true(intern_find(&intern, text, 2) == id);
    }
    intern_free(&intern);
    return good;
}

static bool use_heap(void)
{
    struct heap heap = {0};
    struct heap_item item = {0};
    bool good = true;
    for (int64_t i = 100; i > 0 && good; i--) {
        size_t count = heap.count;
        good = heap_push(&heap, i, NULL);
        assert_true(heap.count == count + good);
    }
    assert_true(heap.count == 0 || (heap_pop(&heap, &item) && item.key > 0));
    heap_free(&heap);
    return good;
}

static bool use_arena(void)
{
    struct arena arena = {0};
    bool good = true;
    for (int i = 0; i < 20 && good; i++) {
        size_t used = arena.used;
        good = arena_zalloc(&arena, 100, 30) != NULL;
        assert_true(arena.used > used || !good);
        assert_true(good || arena.used == used);
    }
    arena_free(&arena);
    return good;
}

static bool use_pool(void)
{
    struct pool pool = {0};
    bool good = true;
    for (int i = 0; i < 40 && good; i++) {
        good = pool_take(&pool, 1 << 20) != POOL_NONE;
    }
    pool_free(&pool);
    void *large = good ? pool_large(1, 1) : NULL;
    free(large);
    return large != NULL;
}

static bool use_buf(void)
{
    struct buf buf = {0};
    size_t put = 0;
    for (uint8_t i = 0; i < 200; i++) {
        buf_put_u8(&buf, i);
        put += !buf.failed;
        buf_printf(&buf, "%s", "");
    }
    bool good = !buf.failed;
    assert_int_equal(buf.length, put);
    assert_true(put == 0 || buf.data[put - 1] == put - 1);
    buf_free(&buf);
    return good;
}

static bool use_ring(void)
{
    struct ring ring;
    if (!ring_init(&ring, 5)) {
        return false;
    }
    ring_free(&ring);
    return true;
}

static bool use_csv(void)
{
    static struct csv_record record;
    struct csv_reader *reader = csv_open(',');
    bool good = reader != NULL;
    for (int i = 0; i < 20 && good; i++) {
        good = csv_feed(reader, "0123456789\n0123456789", 21) == POISE_OK;
        assert_true(csv_next(reader, false, &record) == good);
    }
    csv_close(reader);
    return good;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    bool (*const uses[])(void) = {use_intern, use_heap, use_arena, use_pool, use_buf, use_ring, use_csv};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        long allowed = 0;
        for (;; allowed++) {
            until_failure = allowed;
            bool good = uses[i]();
            bool none_failed = until_failure >= 0;
            until_failure = -1;
            assert_true(good == none_failed);
            if (good) {
                break;
            }
        }
        assert_true(allowed > 0); /* else nothing was wrapped */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
