/* The tables of derived state and their checkpoints. */
#include "scratch.h"
#include <base/hash.h>
#include <stdio.h>
#include <string.h>

static void put(struct store *store, enum store_table table, const char *key, const char *value)
{
    assert_int_equal(store_put(store, table, key, strlen(key), value, value ? strlen(value) : 0), POISE_OK);
}

static void expect(struct store *store, enum store_table table, const char *key, const char *value)
{
    struct buf out = {0};
    poise_code code = store_get(store, table, key, strlen(key), &out, NULL);
    assert_int_equal(code, value ? POISE_OK : POISE_ENOTFOUND);
    assert_int_equal(out.length, value ? strlen(value) : 0);
    if (value) {
        assert_memory_equal(out.data, value, out.length);
    }
    buf_free(&out);
}

static poise_code commit(struct store *store, uint64_t lsn, uint64_t definition)
{
    return store_checkpoint_commit(store, &(struct store_mark){.state_lsn = lsn, .generation = definition},
                                   NULL);
}

static void begin(struct store *store)
{
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
}

static void test_put_get_delete(void **state)
{
    struct store *store = scratch_open(*state);
    scratch_append(store, 1, 10);
    begin(store);
    put(store, STORE_CELLS, "a", "one");
    put(store, STORE_CELLS, "b", "");
    put(store, STORE_KEYS, "a", "other table");
    expect(store, STORE_CELLS, "a", NULL); /* not committed yet */
    assert_int_equal(commit(store, 1, 3), POISE_OK);
    expect(store, STORE_CELLS, "a", "one");
    expect(store, STORE_CELLS, "b", "");
    expect(store, STORE_KEYS, "a", "other table");
    expect(store, STORE_KEYS, "b", NULL);
    begin(store);
    put(store, STORE_CELLS, "a", NULL);
    put(store, STORE_CELLS, "absent", NULL);
    put(store, STORE_CELLS, "b", "longer than before");
    assert_int_equal(commit(store, 1, 4), POISE_OK);
    store_close(store);
    store = scratch_open(*state);
    expect(store, STORE_CELLS, "a", NULL);
    expect(store, STORE_CELLS, "b", "longer than before");
    assert_int_equal(store_mark(store).state_lsn, 1);
    assert_int_equal(store_mark(store).generation, 4);
    scratch_tidy(store);
    struct store_stats stats;
    assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    assert_int_equal(stats.entries[STORE_CELLS], 1);
    assert_int_equal(stats.entries[STORE_KEYS], 1);
    assert_int_equal(stats.state_lsn, 1);
    store_close(store);
}

static struct store_stats stats_of(struct store *store)
{
    struct store_stats stats;
    assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    return stats;
}

static void test_stats_say_what_lies_behind_the_mark(void **state)
{
    struct store *store = scratch_open(*state);
    assert_int_equal(stats_of(store).lag_bytes, 0);
    scratch_append(store, 1, 1000);
    int64_t one = stats_of(store).lag_bytes; /* a head, a batch and its body */
    assert_true(one > 1000 && one < 1300);
    scratch_append(store, 2, 1000);
    int64_t two = stats_of(store).lag_bytes;
    assert_true(two > one + 1000 && two < one + 1300);
    begin(store);
    assert_int_equal(commit(store, 2, 1), POISE_OK);
    assert_int_equal(stats_of(store).lag_bytes, 0);
    scratch_append(store, 3, 100000);
    int64_t large = stats_of(store).lag_bytes;
    assert_true(large > 100000);
    store_close(store);
    store = scratch_open(*state); /* found again */
    assert_int_equal(stats_of(store).lag_bytes, large);
    begin(store);
    assert_int_equal(commit(store, 0, 2), POISE_OK); /* the state is begun anew: all is behind it */
    assert_int_equal(stats_of(store).lag_bytes, two + large);
    struct store_stats stats = stats_of(store);
    int64_t bytes = 0;
    bool journal = false;
    for (size_t i = 0; i < STORE_TABLES_ALL; i++) {
        bytes += stats.tables[i].bytes;
        journal |= strcmp(stats.tables[i].name, "journal") == 0 && stats.tables[i].entries == 3 &&
                   stats.tables[i].bytes > large;
    }
    assert_true(journal);
    assert_int_equal(bytes, stats.used_bytes);
    store_close(store);
}

struct walk {
    char seen[200];
    unsigned stop_after;
};

static poise_code see(void *visitor, struct cursor key, struct cursor value)
{
    struct walk *walk = visitor;
    size_t length = strlen(walk->seen);
    snprintf(walk->seen + length, sizeof walk->seen - length, "%.*s=%.*s ", (int)cursor_left(&key),
             (const char *)key.at, (int)cursor_left(&value), (const char *)value.at);
    return walk->stop_after > 0 && --walk->stop_after == 0 ? POISE_EREFUSED : POISE_OK;
}

static void test_walk_and_clear(void **state)
{
    struct store *store = scratch_open(*state);
    begin(store);
    put(store, STORE_ORGS, "b", "2");
    put(store, STORE_ORGS, "c", "3");
    put(store, STORE_ORGS, "a", "1");
    put(store, STORE_UNITS, "u", "4");
    assert_int_equal(commit(store, 0, 0), POISE_OK);
    struct walk walk = {0};
    assert_int_equal(store_walk(store, STORE_ORGS, see, &walk, NULL), POISE_OK);
    assert_string_equal(walk.seen, "a=1 b=2 c=3 ");
    walk = (struct walk){.stop_after = 2};
    assert_int_equal(store_walk(store, STORE_ORGS, see, &walk, NULL), POISE_EREFUSED);
    assert_string_equal(walk.seen, "a=1 b=2 ");
    begin(store);
    assert_int_equal(store_clear(store, STORE_ORGS), POISE_OK);
    put(store, STORE_ORGS, "d", "5");
    assert_int_equal(commit(store, 0, 0), POISE_OK);
    walk = (struct walk){0};
    assert_int_equal(store_walk(store, STORE_ORGS, see, &walk, NULL), POISE_OK);
    assert_string_equal(walk.seen, "d=5 ");
    expect(store, STORE_UNITS, "u", "4");
    expect(store, STORE_ORGS, "a", NULL);
    begin(store);
    put(store, STORE_ORGS, "e", "6");
    assert_int_equal(store_clear(store, STORE_ORGS), POISE_EINVAL); /* too late */
    assert_int_equal(commit(store, 0, 0), POISE_EINVAL);
    store_close(store);
}

static void test_all_or_nothing(void **state)
{
    struct store *store = scratch_open(*state);
    char key[512] = "";
    scratch_append(store, 1, 10);
    begin(store);
    put(store, STORE_HEAD, "kept", "1");
    assert_int_equal(commit(store, 1, 0), POISE_OK);
    begin(store);
    put(store, STORE_HEAD, "kept", "2");
    store_checkpoint_abort(store);
    expect(store, STORE_HEAD, "kept", "1");
    assert_int_equal(commit(store, 1, 0), POISE_EINVAL); /* none begun */

    begin(store);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_EINVAL);
    put(store, STORE_HEAD, "kept", "3");
    assert_int_equal(store_put(store, STORE_HEAD, key, STORE_KEY_MAX + 1, "", 0), POISE_EINVAL);
    assert_int_equal(store_put(store, STORE_HEAD, key, 0, "", 0), POISE_EINVAL);
    assert_int_equal(commit(store, 1, 0), POISE_EINVAL);
    expect(store, STORE_HEAD, "kept", "1");

    begin(store);
    assert_int_equal(store_put(store, STORE_HEAD, key, STORE_KEY_MAX, "long", 4), POISE_OK);
    assert_int_equal(commit(store, 2, 0), POISE_EINVAL); /* beyond the journal */
    assert_int_equal(store_mark(store).state_lsn, 1);
    assert_int_equal(store_put(store, STORE_HEAD, "k", 1, "", 0), POISE_EINVAL); /* outside a checkpoint */
    store_checkpoint_abort(store);
    store_close(store);
}

/* Grown several times in the middle of one checkpoint, which is whole all the same. */
static void test_checkpoint_beyond_the_map(void **state)
{
    struct store_options options = scratch_options(*state);
    options.map_bytes = 256 << 10;
    struct store *store = NULL;
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    begin(store);
    char key[16], value[1000];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "%08x", (unsigned)i * 2654435761U);
        assert_int_equal(store_put(store, STORE_CELLS, key, 8, value, sizeof value), POISE_OK);
    }
    assert_int_equal(commit(store, 0, 1), POISE_OK);
    struct store_stats stats;
    assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    assert_int_equal(stats.entries[STORE_CELLS], 3000);
    assert_true(stats.map_bytes > 3000000);
    struct buf out = {0};
    assert_int_equal(store_get(store, STORE_CELLS, key, 8, &out, NULL), POISE_OK);
    assert_memory_equal(out.data, value, sizeof value);
    buf_free(&out);
    store_close(store);
}

static void test_damaged_value_is_seen(void **state)
{
    struct store *store = scratch_open(*state);
    begin(store);
    put(store, STORE_UNITS, "key-1", "a value to be damaged");
    put(store, STORE_UNITS, "key-b", "fine");
    assert_int_equal(commit(store, 0, 0), POISE_OK);
    store_close(store);
    assert_true(scratch_flip(*state, "a value to be damaged", 21, 3) > 0);
    store = scratch_open(*state);
    struct buf out = {0};
    poise_error err = {0};
    assert_int_equal(store_get(store, STORE_UNITS, "key-1", 5, &out, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "in table state does not match"));
    assert_int_equal(out.length, 0);
    struct walk walk = {0};
    assert_int_equal(store_walk(store, STORE_UNITS, see, &walk, &err), POISE_ECORRUPT);
    buf_free(&out);
    store_close(store);
}

/* Writes a format number with a right CRC over the one that is there. */
static void set_format(const char *path, uint32_t format)
{
    struct buf value = {0}, patch = {0};
    buf_put_u32(&value, format);
    buf_put(&value, "sixteen bytes id", 16);
    buf_put_u64(&value, 77);
    buf_put_u32(&patch, crc32c("store", 5) ^ crc32c(value.data, value.length));
    buf_put(&patch, value.data, value.length);
    assert_true(scratch_patch(path, "sixteen bytes id", 16, -8, patch.data, patch.length) > 0);
    buf_free(&value);
    buf_free(&patch);
}

static void test_other_formats(void **state)
{
    store_close(scratch_open(*state));
    struct store_options options = scratch_options(*state);
    struct store *store = NULL;
    poise_error err = {0};
    set_format(*state, 6);
    assert_int_equal(store_open(&options, &store, &err), POISE_EVERSION);
    assert_non_null(strstr(err.text, "format 6"));
    set_format(*state, 3);
    options.read_only = true;
    assert_int_equal(store_open(&options, &store, &err), POISE_EVERSION); /* its number has to be set */
    set_format(*state, 4); /* has the tables of this one: a backup of it can be verified and restored */
    assert_int_equal(store_open(&options, &store, &err), POISE_OK);
    store_close(store);
    store_close(scratch_open(*state));
    assert_int_equal(store_open(&options, &store, &err), POISE_OK);
    store_close(store);
    store = NULL;
    assert_true(scratch_flip(*state, "sixteen bytes id", 16, 0) > 0);
    assert_int_equal(store_open(&options, &store, &err), POISE_ECORRUPT);
    assert_null(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_put_get_delete),
        TEST(test_stats_say_what_lies_behind_the_mark),
        TEST(test_walk_and_clear),
        TEST(test_all_or_nothing),
        TEST(test_checkpoint_beyond_the_map),
        TEST(test_damaged_value_is_seen),
        TEST(test_other_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
