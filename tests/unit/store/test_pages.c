/* The walk over LMDB's pages. The property: whatever bit is flipped, wherever in the file, it is found, or
 * readers still get all that they got before. Readers are LMDB itself, in a process of their own: every key
 * is looked up, and every table is read forth and back. POISE_SEED and POISE_TRIALS make other ones and more.
 */
#include "columns.h"
#include "scratch.h"
#include <base/hash.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/check.h>
#include <store/runs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TABLES = 9, TRIALS = 1500, PAGE = 4096 };

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- a store with trees of several levels, long values, and pages that were used before ---- */

static void put(struct store *store, enum store_table table, uint64_t n, size_t key_length, size_t length)
{
    uint8_t key[256], value[12000];
    struct hash128 hash = hash128(&n, sizeof n, table);
    for (size_t i = 0; i < key_length; i++) {
        key[i] = (uint8_t)(i < 16 ? (i < 8 ? hash.low >> 8 * i : hash.high >> 8 * (i - 8)) : n >> i % 8);
    }
    for (size_t i = 0; i < length; i++) {
        value[i] = (uint8_t)(hash.low >> i % 57);
    }
    assert_int_equal(store_put(store, table, key, key_length, length ? value : NULL, length), POISE_OK);
}

static void checkpoint(struct store *store, uint64_t round)
{
    poise_error err = {0};
    struct store_mark mark = {.state_lsn = store_last_lsn(store), .generation = 1};
    assert_int_equal(store_checkpoint_begin(store, &err), POISE_OK);
    for (uint64_t n = 0; n < 500; n++) {
        put(store, STORE_CELLS, round * 200 + n, 20, 30 + n % 50);
        put(store, STORE_KEYS, round * 500 + n, 16, 40);
        put(store, STORE_UNITS, n * 7 + round, 120, 4);
        put(store, STORE_CELLS, n * 3 + round, 20, 0); /* gone */
    }
    put(store, STORE_HEAD, 1, 1, 2000 + round % 3 * 3000);
    put(store, STORE_DEFINITIONS, round, 17, 9000);
    put(store, STORE_DEFINITIONS, round / 2, 17, round % 2 ? 0 : 100);
    if (store_checkpoint_commit(store, &mark, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

static poise_code put_block(void *taker, const struct block *block, poise_error *err)
{
    struct store *store = taker;
    const struct store_slice slice = {.blocks = block, .block_count = 1, .run = block->key.run};
    return store_commit(store, NULL, &slice, NULL, err);
}

/* What stays of all records there are. */
static struct buf put_past(const struct store *store)
{
    static struct past_commit commits[PAST_COMMITS];
    static const struct past_name names[] = {{"m", "org/a", "s1", false}, {"m", "org/b", "s2", true}};
    struct buf entries = {0};
    uint64_t count = store_last_lsn(store);
    for (uint64_t i = 0; i < count; i++) {
        commits[i] = (struct past_commit){
            .as_of_ms = (int64_t)i * 1000, .first_place = i + 1, .series = i > 0 ? 2 : 1};
    }
    for (uint64_t i = 0; i < count; i += 16) {
        const struct journal_record record = {
            .lsn = i + 1, .as_of_ms = commits[i].as_of_ms, .first_ordinal = commits[i].first_place};
        past_put_commits(&entries, i + 1, commits + i, count - i < 16 ? count - i : 16);
        assert_int_equal(past_put_remains(&entries, &record, NULL), POISE_OK);
    }
    past_put_names(&entries, 0, names, 2);
    return entries;
}

/* Rows of the journal so far, of two series, in blocks. */
static void put_rows(struct store *store)
{
    enum { ROWS = 3000 };
    static int64_t times[ROWS];
    static double values[ROWS];
    static uint64_t places[ROWS];
    const uint64_t run = block_run(store_last_lsn(store), 0);
    struct block_builder *builder = block_builder_open(run, put_block, store);
    assert_non_null(builder);
    for (int i = 0; i < ROWS; i++) {
        times[i] = i * 10;
        values[i] = 1.0 / (i + 1);
        places[i] = (uint64_t)i + 1;
    }
    const struct chunk_rows rows = {.count = ROWS, .time_ms = times, .value = values, .ordinal = places};
    for (uint64_t series = 0; series < 2; series++) {
        const struct block_place place = {.input = 1, .series = series};
        assert_int_equal(block_builder_add(builder, &place, &rows, NULL), POISE_OK);
    }
    assert_int_equal(block_builder_end(builder, NULL), POISE_OK);
    block_builder_close(builder);
    struct buf entries = put_past(store);
    const struct store_slice last = {
        .run = run, .whole = true, .entries = entries.data, .entries_length = entries.length};
    assert_int_equal(store_commit(store, NULL, &last, NULL, NULL), POISE_OK);
    buf_free(&entries);
}

static void make_store(const char *path)
{
    struct store *store = scratch_open(path);
    for (uint64_t round = 0; round < 12; round++) {
        for (uint64_t n = 0; n < 12; n++) {
            scratch_append(store, store_last_lsn(store) + 1, n % 4 ? 40 + 90 * n : 9000 * n % 40000);
        }
        checkpoint(store, round);
        scratch_tidy(store);
    }
    put_rows(store);
    scratch_append(store, store_last_lsn(store) + 1, 100);
    store_close(store);
}

/* ---- what readers get ---- */

static void mix(uint64_t *hash, const MDB_val *value)
{
    *hash = hash64(value->mv_data, value->mv_size, *hash);
}

/* What reading a table gives, both ways and key by key; 0: it fails. */
static uint64_t read_table(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *at;
    MDB_val key, value, again;
    uint64_t forth = 1, back = 0, count = 0;
    int rc;
    if (mdb_cursor_open(txn, dbi, &at) != 0) {
        return 0;
    }
    while ((rc = mdb_cursor_get(at, &key, &value, MDB_NEXT)) == 0) {
        mix(&forth, &key);
        mix(&forth, &value);
        count++;
        if (mdb_get(txn, dbi, &key, &again) != 0 || again.mv_size != value.mv_size ||
            memcmp(again.mv_data, value.mv_data, value.mv_size) != 0) {
            return 0;
        }
    }
    for (int way = 0;
         rc == MDB_NOTFOUND && (rc = mdb_cursor_get(at, &key, &value, way ? MDB_PREV : MDB_LAST)) == 0;
         way = 1, rc = MDB_NOTFOUND) {
        back += hash64(key.mv_data, key.mv_size, hash64(value.mv_data, value.mv_size, 0));
        count--;
    }
    mdb_cursor_close(at);
    return rc == MDB_NOTFOUND && count == 0 ? hash_mix(forth, back) : 0;
}

/* The same of all tables. The keys that are looked up are those that are found on the way, so a table is the
 * same only if all of them are. */
static uint64_t read_all(const char *path)
{
    static const char *const names[TABLES] = {"meta", "journal", "state_runs", "state",  "chunks",
                                              "runs", "commits", "names",      "remains"};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    uint64_t all = 1;
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, TABLES) != 0 ||
        mdb_env_set_mapsize(env, 1 << 28) != 0 || mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK, 0) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0) {
        return 0;
    }
    for (int i = 0; i < TABLES && all; i++) {
        uint64_t one = mdb_dbi_open(txn, names[i], 0, &dbi) == 0 ? read_table(txn, dbi) : 0;
        all = one ? hash_mix(all, one) : 0;
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return all;
}

enum reading { SAME, OTHER, FAILS };

/* In a child: LMDB may well crash. OTHER is the worst: it goes by unseen. */
static enum reading read_apart(const char *path, uint64_t wanted)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) { /* LMDB's assertions and sanitizers */
            _exit(2);
        }
        static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE,
                                      SIGILL}; /* cmocka's would go on here */
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
            signal(signals[i], SIG_DFL);
        }
        alarm(10); /* it may go round for ever */
        uint64_t got = read_all(path);
        _exit(got == wanted ? 0 : got ? 3 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0   ? SAME
           : WIFEXITED(status) && WEXITSTATUS(status) == 3 ? OTHER
                                                           : FAILS;
}

/* ---- flips ---- */

static void write_byte(int fd, off_t at, uint8_t byte)
{
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* A byte of an entry of the page, or of where it lies; in a branch the keys are most of it. */
static off_t in_entries(const uint8_t *bytes, uint64_t *random)
{
    unsigned count = bytes[10] & 3 ? (unsigned)((bytes[12] | bytes[13] << 8) - 16) / 2 : 0;
    if (count == 0 || count > 1000) {
        return (off_t)(test_random(random) % 24);
    }
    off_t index = 16 + 2 * (off_t)(test_random(random) % count);
    off_t node = bytes[index] | bytes[index + 1] << 8;
    return test_random(random) % 4 ? (node + (off_t)(test_random(random) % 20)) % PAGE
                                   : index + (off_t)(test_random(random) % 2);
}

/* Anywhere, and as often where LMDB keeps its own: heads of pages, places and heads of entries, branches. */
static off_t somewhere(int fd, uint64_t pages, uint64_t *random)
{
    uint8_t bytes[PAGE];
    unsigned way = (unsigned)(test_random(random) % 5);
    off_t page = (off_t)(test_random(random) % pages) * PAGE;
    assert_int_equal(pread(fd, bytes, PAGE, page), PAGE);
    for (unsigned i = 0; way == 4 && bytes[10] != 1 && i < 500; i++) {
        page = (off_t)(test_random(random) % pages) * PAGE;
        assert_int_equal(pread(fd, bytes, PAGE, page), PAGE);
    }
    if (way == 0) {
        return page + (off_t)(test_random(random) % PAGE);
    }
    return page + (way == 1 ? (off_t)(test_random(random) % (page < 2 * PAGE ? 160 : 24))
                            : in_entries(bytes, random));
}

struct tally {
    uint64_t found, harmless, silent, fails;
};

static void try_flip(const char *path, int fd, uint64_t pages, uint64_t wanted, uint64_t *random,
                     struct tally *tally)
{
    poise_error err = {0};
    struct store_found found;
    uint8_t byte;
    off_t at = somewhere(fd, pages, random);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    uint64_t how = test_random(random);
    uint8_t other = (uint8_t)(how % 8 ? byte ^ 1U << how / 8 % 8 : byte + 1 + how / 8 % 255);
    write_byte(fd, at, other);
    poise_code code = store_check(path, NULL, &found, &err);
    if (code == POISE_OK || how % 16 == 1) { /* of those that are found a few: do they matter? */
        enum reading reading = read_apart(path, wanted);
        if (code == POISE_OK && reading != SAME) {
            fail_msg(
                "byte %lld (page %lld, at %lld), %02x to %02x, is not found, and readers get something else",
                (long long)at, (long long)at / PAGE, (long long)at % PAGE, byte, other);
        }
        tally->silent += reading == OTHER;
        tally->fails += reading == FAILS;
    }
    assert_true(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION);
    tally->found += code != POISE_OK;
    tally->harmless += code == POISE_OK;
    write_byte(fd, at, byte);
}

static void test_flips(void **state)
{
    char data[PATH_MAX];
    poise_error err = {0};
    struct store_found found;
    struct tally tally = {0};
    uint64_t random = number_of("POISE_SEED", 2), trials = number_of("POISE_TRIALS", TRIALS);
    make_store(*state);
    if (store_check(*state, NULL, &found, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(found.free_pages > 20);
    assert_int_equal(found.last_lsn, 145);
    uint64_t wanted = read_all(*state);
    assert_int_not_equal(wanted, 0);
    snprintf(data, sizeof data, "%s/data.mdb", (const char *)*state);
    int fd = open(data, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    uint64_t pages = (uint64_t)found.bytes / PAGE;
    for (uint64_t i = 0; i < trials; i++) {
        try_flip(*state, fd, pages, wanted, &random, &tally);
    }
    close(fd);
    print_message("%" PRIu64 " of %" PRIu64 " flips found, %" PRIu64
                  " do not matter; of a sample readers missed %" PRIu64 ", and failed at %" PRIu64
                  "; %" PRIu64 " pages, %" PRIu64 " free\n",
                  tally.found, trials, tally.harmless, tally.silent, tally.fails, found.pages,
                  found.free_pages);
    assert_true(tally.found > trials / 4); /* they hit something */
    assert_true(tally.silent > 0);         /* which LMDB does not see itself */
    assert_int_equal(store_check(*state, NULL, &found, &err), POISE_OK);
}

/* ---- more of the same that goes wrong ---- */

static void test_commit_goes_back(void **state)
{
    char data[PATH_MAX];
    poise_error err = {0};
    struct store_found found;
    uint8_t commit[2];
    make_store(*state);
    snprintf(data, sizeof data, "%s/data.mdb", (const char *)*state);
    int fd = open(data, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (int i = 0; i < 2; i++) { /* the number of the commit, last in a meta page */
        assert_int_equal(pread(fd, &commit[i], 1, i * PAGE + 16 + 128), 1);
    }
    int newer = commit[1] > commit[0];
    write_byte(fd, newer * PAGE + 16 + 128, 0);
    assert_int_equal(store_check(*state, NULL, &found, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "do not follow each other"));
    write_byte(fd, newer * PAGE + 16 + 128, commit[newer]);
    assert_int_equal(store_check(*state, NULL, &found, &err), POISE_OK);
    close(fd);
}

/* Of a table without entries nothing but its name could show that it is another. */
static void test_names_of_tables(void **state)
{
    poise_error err = {0};
    struct store_found found;
    make_store(*state);
    assert_true(scratch_flip(*state, "state_runs", 10, 9) > 0);
    assert_int_equal(store_check(*state, NULL, &found, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "state_runc"));
}

static void test_cut_short(void **state)
{
    char data[PATH_MAX];
    poise_error err = {0};
    struct store_found found;
    make_store(*state);
    assert_int_equal(store_check_apart(*state, &found, &err), POISE_OK);
    snprintf(data, sizeof data, "%s/data.mdb", (const char *)*state);
    for (off_t bytes = found.bytes * 3 / 4 / PAGE * PAGE; bytes >= 0;
         bytes -= bytes > 2 * PAGE ? 40 * PAGE + 1 : 100) {
        assert_int_equal(truncate(data, bytes > 0 ? bytes : 0), 0);
        assert_int_equal(store_check_apart(*state, &found, &err), POISE_ECORRUPT);
    }
}

/* Pages that were given up, and those of a store that is new: nothing is wrong with them. */
static void test_sound_stores(void **state)
{
    poise_error err = {0};
    struct store_found found;
    struct store *store = scratch_open(*state);
    assert_int_equal(store_check(*state, NULL, &found, &err), POISE_EBUSY);
    store_close(store);
    uint64_t random = number_of("POISE_SEED", 2);
    for (uint64_t round = 0; round < 60; round++) {
        store = scratch_open(*state);
        for (uint64_t n = test_random(&random) % 4; n > 0; n--) {
            scratch_append(store, store_last_lsn(store) + 1, test_random(&random) % 9000);
        }
        if (test_random(&random) % 3) {
            checkpoint(store, test_random(&random) % 20);
        }
        if (test_random(&random) % 6 == 0) {
            struct store_mark mark = {.state_lsn = store_last_lsn(store), .generation = 1};
            assert_int_equal(store_checkpoint_begin(store, &err), POISE_OK);
            assert_int_equal(store_clear(store, STORE_CELLS), POISE_OK);
            assert_int_equal(store_clear(store, STORE_KEYS), POISE_OK);
            assert_int_equal(store_checkpoint_commit(store, &mark, &err), POISE_OK);
        }
        store_close(store);
        if (store_check_apart(*state, &found, &err) != POISE_OK) {
            fail_msg("after %" PRIu64 ": %s", round, err.text);
        }
    }
    assert_int_equal(store_check("/nonexistent", NULL, &found, &err), POISE_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flips, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_commit_goes_back, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_names_of_tables, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_cut_short, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_sound_stores, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
