/* Appending and reading the journal; readers beside a writer whose map grows. */
#include "scratch.h"
#include <base/hash.h>
#include <lmdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void test_append_and_reopen(void **state)
{
    struct store *store = scratch_open(*state);
    assert_int_equal(store_last_lsn(store), 0);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, 100), 0);
    for (uint64_t n = 1; n <= 20; n++) {
        scratch_append(store, n, 100);
        assert_int_equal(store_last_lsn(store), n);
    }
    store_close(store);
    store = scratch_open(*state);
    assert_int_equal(store_last_lsn(store), 20);
    scratch_append(store, 21, 100);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, 100), 21);
    assert_int_equal(scratch_read(store, 5, 9, 100), 5);
    assert_int_equal(scratch_read(store, 22, UINT64_MAX, 100), 0);
    store_close(store);
}

static void test_identity_is_kept(void **state)
{
    uint8_t id[16];
    store_close(scratch_open(*state));
    struct store_options options = scratch_options(*state);
    memset(options.new_id, 'z', sizeof options.new_id);
    options.new_incarnation = 1;
    struct store *store = NULL;
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    store_id(store, id);
    assert_memory_equal(id, "sixteen bytes id", 16);
    assert_int_equal(store_incarnation(store), 77);
    store_close(store);
}

static void test_bad_options(void **state)
{
    struct store *store = NULL;
    struct store_options options = scratch_options("");
    assert_int_equal(store_open(&options, &store, NULL), POISE_EINVAL);
    options = scratch_options(*state);
    options.map_bytes = -1;
    assert_int_equal(store_open(&options, &store, NULL), POISE_EINVAL);
    options = scratch_options(*state);
    options.read_only = true;
    assert_int_equal(store_open(&options, &store, NULL), POISE_ENOTFOUND);
    assert_null(store);
    store_close(NULL);
    store_reader_close(NULL);
}

static void test_read_only(void **state)
{
    struct store *store = scratch_open(*state);
    scratch_append(store, 1, 100);
    struct store_options options = scratch_options(*state);
    options.read_only = true;
    struct store *other = NULL;
    assert_int_equal(store_open(&options, &other, NULL), POISE_EBUSY);
    store_close(store);
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, 100), 1);
    poise_error err = {0};
    assert_int_equal(scratch_try_append(store, 2, 100, &err), POISE_EINVAL);
    store_close(store);
}

/* ---- filters ---- */

struct filter {
    int64_t from_ms, to_ms;
    uint64_t heads, wholes, stop_at;
};

static bool in_time(void *visitor, const struct journal_record *head)
{
    const struct filter *filter = visitor;
    assert_null(head->batches);
    assert_int_equal(head->batch_count, 0);
    assert_null(head->changes); /* whose length is told */
    return head->min_time_ms < filter->to_ms && head->max_time_ms >= filter->from_ms;
}

static poise_code count(void *visitor, const struct journal_record *record)
{
    struct filter *filter = visitor;
    if (record->batch_count == 0) {
        filter->heads++;
    } else {
        scratch_check(record, 10000);
        filter->wholes++;
    }
    return record->lsn == filter->stop_at ? POISE_ECLOSED : record->lsn == 50 ? POISE_EREFUSED : POISE_OK;
}

static void test_filter_and_stop(void **state)
{
    struct store *store = scratch_open(*state);
    for (uint64_t n = 1; n <= 50; n++) {
        scratch_append(store, n, 10000);
    }
    struct store_reader *reader = NULL;
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    struct filter filter = {.from_ms = 10000, .to_ms = 20000};
    assert_int_equal(store_read_journal(reader, 1, 49, in_time, count, &filter, NULL), POISE_OK);
    assert_int_equal(filter.wholes, 10);
    assert_int_equal(filter.heads, 39);
    filter = (struct filter){.to_ms = 20000, .stop_at = 3};
    assert_int_equal(store_read_journal(reader, 0, 49, in_time, count, &filter, NULL), POISE_OK);
    assert_int_equal(filter.wholes, 3);
    filter = (struct filter){0};
    assert_int_equal(store_read_journal(reader, 41, UINT64_MAX, NULL, count, &filter, NULL), POISE_EREFUSED);
    assert_int_equal(filter.wholes, 10);
    store_reader_close(reader);
    store_close(store);
}

/* ---- damage ---- */

static void damage_body_of_7(const char *path)
{
    struct store *store = scratch_open(path);
    for (uint64_t n = 1; n <= 10; n++) {
        scratch_append(store, n, 10000);
    }
    store_close(store);
    uint8_t *body = scratch_body(7, 10000);
    assert_true(scratch_flip(path, body + 5000, 64, 5) > 0);
    free(body);
}

static void test_damaged_record_is_named(void **state)
{
    damage_body_of_7(*state);
    struct store *store = scratch_open(*state);
    struct store_reader *reader = NULL;
    poise_error err = {0};
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    struct filter filter = {0};
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, NULL, count, &filter, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "record 7 "));
    assert_int_equal(filter.wholes, 6);
    /* Not wanted: its pages are not looked at. */
    filter = (struct filter){.from_ms = 8000, .to_ms = 20000};
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, in_time, count, &filter, &err), POISE_OK);
    assert_int_equal(filter.wholes, 3);
    store_reader_close(reader);
    store_close(store);
}

static void test_damaged_head_is_never_passed_over(void **state)
{
    struct store *store = scratch_open(*state);
    for (uint64_t n = 1; n <= 10; n++) {
        scratch_append(store, n, 10000);
    }
    store_close(store);
    /* The min time of record 7 and what stands before it. */
    uint8_t head[24] = {63};
    head[8] = (uint8_t)(7000 & 255);
    head[9] = 7000 >> 8;
    head[16] = (uint8_t)(7999 & 255);
    head[17] = 7999 >> 8;
    assert_true(scratch_flip(*state, head, sizeof head, 17) > 0);
    store = scratch_open(*state);
    struct store_reader *reader = NULL;
    poise_error err = {0};
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    struct filter filter = {.from_ms = 1, .to_ms = 2};
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, in_time, count, &filter, &err),
                     POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "record 7 "));
    store_reader_close(reader);
    store_close(store);
}

/* As damage of LMDB's own pages makes records invisible. */
static void delete_record_7(const char *path)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi journal;
    MDB_val key = {.mv_size = 8, .mv_data = (uint8_t[8]){0, 0, 0, 0, 0, 0, 0, 7}};
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "journal", 0, &journal), 0);
    assert_int_equal(mdb_del(txn, journal, &key, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void drop_table(const char *path, const char *name)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, name, 0, &table), 0);
    assert_int_equal(mdb_drop(txn, table, 1), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* As format 1 was: a table of its own for each kind of state. */
static void make_format_1(const char *path)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    uint8_t bytes[32];
    MDB_val key = {.mv_size = 5, .mv_data = "store"}, stored;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "cells", MDB_CREATE, &table), 0);
    assert_int_equal(mdb_put(txn, table, &key, &(MDB_val){.mv_size = 3, .mv_data = "old"}, 0), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &table), 0);
    assert_int_equal(mdb_get(txn, table, &key, &stored), 0);
    assert_int_equal(stored.mv_size, sizeof bytes);
    memcpy(bytes, stored.mv_data, sizeof bytes);
    bytes[4] = 1;
    uint32_t crc = crc32c("store", 5) ^ crc32c(bytes + 4, sizeof bytes - 4);
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(crc >> (8 * i));
    }
    assert_int_equal(mdb_put(txn, table, &key, &(MDB_val){.mv_size = sizeof bytes, .mv_data = bytes}, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void test_format_1_is_brought_up(void **state)
{
    struct store *store = scratch_open(*state);
    scratch_append(store, 1, 100);
    const struct store_mark mark = {.state_lsn = 1, .generation = 7};
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
    store_close(store);
    drop_table(*state, "state");
    drop_table(*state, "state_runs");
    make_format_1(*state);
    struct store_options options = scratch_options(*state);
    poise_error err = {0};
    options.read_only = true;
    assert_int_equal(store_open(&options, &store, &err), POISE_EVERSION);
    assert_non_null(strstr(err.text, "format 1"));
    for (int i = 0; i < 2; i++) { /* the journal is there, and the state will be made from it */
        store = scratch_open(*state);
        assert_int_equal(store_last_lsn(store), 1);
        assert_int_equal(store_mark(store).state_lsn, 0);
        assert_int_equal(store_mark(store).generation, 7);
        store_close(store);
    }
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    store_close(store);
    drop_table(*state, "state"); /* which format 2 has */
    assert_int_equal(store_open(&options, &store, NULL), POISE_ECORRUPT);
}

static void test_missing_record_is_named(void **state)
{
    struct store *store = scratch_open(*state);
    for (uint64_t n = 1; n <= 10; n++) {
        scratch_append(store, n, 10000);
    }
    store_close(store);
    delete_record_7(*state);
    store = scratch_open(*state);
    struct store_reader *reader = NULL;
    poise_error err = {0};
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    struct filter filter = {0};
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, NULL, count, &filter, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "record 7 is missing"));
    assert_int_equal(filter.wholes, 6);
    store_reader_close(reader);
    store_close(store);
}

/* ---- readers ---- */

static void test_reader_sees_its_moment(void **state)
{
    struct store *store = scratch_open(*state);
    struct store_reader *early = NULL, *late = NULL;
    for (uint64_t n = 1; n <= 3; n++) {
        scratch_append(store, n, 100);
    }
    assert_int_equal(store_reader_open(store, &early, NULL), POISE_OK);
    scratch_append(store, 4, 100);
    scratch_append(store, 5, 100);
    assert_int_equal(store_reader_open(store, &late, NULL), POISE_OK);
    assert_int_equal(store_reader_lsn(early), 3);
    assert_int_equal(store_reader_lsn(late), 5);
    struct store_stats stats;
    assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    assert_int_equal(stats.readers, 2);
    assert_int_equal(stats.last_lsn, 5);
    do { /* its age grows as the clock goes */
        assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    } while (stats.oldest_reader_ms < 20);
    store_reader_close(early);
    early = NULL;
    do {
        assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
        assert_int_equal(stats.readers, 1);
    } while (stats.oldest_reader_ms == 0); /* of the other one */
    store_reader_close(late);
    assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    assert_int_equal(stats.oldest_reader_ms, 0);
    store_close(store);
}

struct beside {
    struct store *store;
    atomic_bool stop;
    atomic_uint rounds;
    uint64_t next; /* of the running round */
    poise_code code;
};

static poise_code visit_beside(void *visitor, const struct journal_record *record)
{
    struct beside *beside = visitor;
    scratch_check(record, 8192);
    return record->lsn == beside->next++ ? POISE_OK : POISE_EGAP;
}

/* Reads again and again with one reader that is open all the time. */
static void *read_beside(void *argument)
{
    struct beside *beside = argument;
    struct store_reader *reader = NULL;
    beside->code = store_reader_open(beside->store, &reader, NULL);
    while (beside->code == POISE_OK && !atomic_load(&beside->stop)) {
        beside->next = 1;
        beside->code = store_read_journal(reader, 1, UINT64_MAX, NULL, visit_beside, beside, NULL);
        atomic_fetch_add(&beside->rounds, 1);
    }
    store_reader_close(reader);
    return NULL;
}

static void test_map_grows_beside_a_reader(void **state)
{
    struct store_options options = scratch_options(*state);
    options.map_bytes = 256 << 10;
    struct beside beside = {0};
    struct store_stats before, after;
    assert_int_equal(store_open(&options, &beside.store, NULL), POISE_OK);
    scratch_append(beside.store, 1, 8192);
    assert_int_equal(store_stats(beside.store, &before, NULL), POISE_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_beside, &beside), 0);
    for (uint64_t n = 2; n <= 300; n++) {
        scratch_append(beside.store, n, 8192);
        while (n % 50 == 0 && atomic_load(&beside.rounds) < n / 50) {
            sched_yield();
        }
    }
    atomic_store(&beside.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(beside.code, POISE_OK);
    assert_int_equal(store_stats(beside.store, &after, NULL), POISE_OK);
    assert_true(after.map_bytes >= 8 * before.map_bytes);
    assert_true(after.used_bytes > 300 * 8192 && after.file_bytes >= after.used_bytes);
    assert_true(after.free_bytes > 0);
    assert_int_equal(scratch_read(beside.store, 1, UINT64_MAX, 8192), 300);
    store_close(beside.store);
    beside.store = scratch_open(*state);
    assert_int_equal(scratch_read(beside.store, 1, UINT64_MAX, 8192), 300);
    store_close(beside.store);
}

/* The writer does not wait for ever for a reader that does nothing; nothing happened, and later it goes on.
 */
static void test_forgotten_reader_is_no_deadlock(void **state)
{
    struct store_options options = scratch_options(*state);
    options.map_bytes = 256 << 10;
    struct store *store = NULL;
    struct store_reader *reader = NULL;
    poise_error err = {0};
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    uint64_t n = 1;
    poise_code code;
    while ((code = scratch_try_append(store, n, 8192, &err)) == POISE_OK) {
        n++;
    }
    assert_int_equal(code, POISE_EFULL);
    assert_non_null(strstr(err.text, "reader"));
    assert_int_equal(store_last_lsn(store), n - 1);
    store_reader_close(reader);
    scratch_append(store, n, 8192);
    assert_int_equal(scratch_read(store, 1, UINT64_MAX, 8192), n);
    store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_append_and_reopen),
        TEST(test_identity_is_kept),
        TEST(test_bad_options),
        TEST(test_read_only),
        TEST(test_filter_and_stop),
        TEST(test_damaged_record_is_named),
        TEST(test_damaged_head_is_never_passed_over),
        TEST(test_format_1_is_brought_up),
        TEST(test_missing_record_is_named),
        TEST(test_reader_sees_its_moment),
        TEST(test_map_grows_beside_a_reader),
        TEST(test_forgotten_reader_is_no_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
