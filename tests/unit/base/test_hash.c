#include "base_test.h"
#include <base/hash.h>
#include <stdio.h>
#include <string.h>

static void test_known_hashes(void **state)
{
    (void)state;
    assert_int_equal(crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(NULL, 0), 0);
    unsigned char zeros[32] = {0};
    assert_int_equal(crc32c(zeros, sizeof zeros), 0x8a9136aa); /* RFC 3720, B.4 */
    assert_true(hash64("", 0, 0) == 0x2d06800538d394c2ULL);    /* xxHash's own test vector of XXH3 */
    struct hash128 empty = hash128("", 0, 0);
    assert_true(empty.low == 0x6001c324468d497fULL && empty.high == 0x99aa06d3014798d8ULL);
    assert_true(hash64("a", 1, 0) != hash64("a", 1, 1));
    assert_true(hash_mix(1, 2) != hash_mix(2, 1));
    assert_true(hash_mix(0, 0) != 0);
}

/* hmap against a plain array, with hashes that collide on purpose. */
enum { KEYS = 600 };

static bool is_number(const void *entry, const void *key)
{
    return *(const int *)entry == *(const int *)key;
}

static uint64_t poor_hash(int number, int kind)
{
    return kind == 0 ? 7 : kind == 1 ? (uint64_t)number % 13 : (uint64_t)number << 40;
}

static void check_walk(const struct hmap *map, const bool *there)
{
    bool seen[KEYS] = {false};
    size_t count = 0;
    const int *entry;
    for (size_t at = 0; (entry = hmap_next(map, &at));) {
        assert_true(there[*entry] && !seen[*entry]);
        seen[*entry] = true;
        count++;
    }
    assert_int_equal(count, map->count);
}

static void test_hmap_is_a_map(void **state)
{
    (void)state;
    static int numbers[KEYS];
    for (int kind = 0; kind < 3; kind++) {
        struct hmap map = {0};
        bool there[KEYS] = {false};
        uint64_t seed = (uint64_t)kind;
        for (int step = 0; step < 6000; step++) {
            int n = (int)(next_random(&seed) % KEYS);
            numbers[n] = n;
            uint64_t hash = poor_hash(n, kind);
            assert_ptr_equal(hmap_get(&map, hash, is_number, &n), there[n] ? &numbers[n] : NULL);
            if (there[n]) {
                assert_ptr_equal(hmap_remove(&map, hash, is_number, &n), &numbers[n]);
            } else {
                assert_null(hmap_remove(&map, hash, is_number, &n));
                assert_true(hmap_add(&map, hash, &numbers[n]));
            }
            there[n] = !there[n];
            assert_true(10 * map.count <= 7 * map.capacity);
        }
        check_walk(&map, there);
        hmap_free(&map);
        assert_null(hmap_get(&map, 7, is_number, &numbers[0]));
    }
    hmap_free(NULL);
}

static void test_intern(void **state)
{
    (void)state;
    struct intern intern = {0};
    char text[16];
    assert_int_equal(intern_find(&intern, "x", 1), INTERN_NONE);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            int length = snprintf(text, sizeof text, "name %u", i);
            assert_int_equal(intern_add(&intern, text, (size_t)length), i);
        }
    }
    const char *first = intern_text(&intern, 0);
    assert_int_equal(intern_add(&intern, "", 0), 1000);
    assert_int_equal(intern_add(&intern, NULL, 0), 1000);
    assert_int_equal(intern_add(&intern, "a\0b", 3), 1001);
    assert_int_equal(intern_add(&intern, "a\0c", 3), 1002);
    assert_int_equal(intern_find(&intern, "name 999+", 8), 999);
    assert_int_equal(intern_find(&intern, "name 999+", 9), INTERN_NONE);
    assert_string_equal(intern_text(&intern, 999), "name 999");
    assert_int_equal(intern_length(&intern, 1001), 3);
    assert_int_equal(intern.count, 1003);
    assert_ptr_equal(intern_text(&intern, 0), first);
    intern_free(&intern);
    intern_free(&intern);
    intern_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_hashes),
        cmocka_unit_test(test_hmap_is_a_map),
        cmocka_unit_test(test_intern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
