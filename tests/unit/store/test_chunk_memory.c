/* Chunks with the n-th allocation failing, for all n: they say so, leave what was there, and leak nothing. */
#include "columns.h"
#include <stdlib.h>
#include <string.h>

static long until_failure = -1; /* allocations that still succeed; below 0: all do */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

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

static void test_every_allocation(void **state)
{
    (void)state;
    struct columns columns;
    uint64_t random = 8;
    long failures = 0;
    columns_make(&columns, 1000);
    for (int round = 0; round < 20; round++) {
        poise_code code = POISE_ENOMEM;
        columns_fill(&columns, 1000, &random);
        for (long n = 0; code != POISE_OK; n++, failures++) {
            struct buf chunk = {0};
            buf_put(&chunk, "before", 6);
            until_failure = n;
            code = chunk_encode(3, &columns.rows, &chunk, NULL);
            until_failure = -1;
            assert_memory_equal(chunk.data, "before", 6);
            if (code != POISE_OK) {
                assert_int_equal(code, POISE_ENOMEM);
                assert_int_equal(chunk.length, 6);
                assert_false(chunk.failed);
            }
            buf_free(&chunk);
        }
    }
    assert_true(failures > 100);
    until_failure = 0;
    assert_null(chunk_reader_open());
    until_failure = -1;
    columns_free(&columns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
