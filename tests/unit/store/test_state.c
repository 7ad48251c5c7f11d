/* State in runs says what a plain table says, whatever is put, cleared, merged, given up or cut short, and
 * what the process had begun when it ended. */
#include "scratch.h"
#include <stdio.h>
#include <stdlib.h>
#include <store/runs.h>
#include <string.h>

enum { KEYS = 600, TABLES = 3, VALUE_MAX = 3000, SEEDS = 4096 };

struct model { /* of each key: the seed and length of its value; length 0: absent */
    struct value {
        uint32_t seed, length;
    } values[TABLES][KEYS];
};
struct world {
    uint8_t pattern[SEEDS + VALUE_MAX]; /* of a value: from its seed on */
    struct name {
        unsigned number;
        char key[STORE_KEY_MAX];
    } sorted[KEYS];
    const char *path;
    struct store *store;
    struct model now, last; /* with what is put; as of the last checkpoint */
    uint64_t random, lsn;
    bool open;
    unsigned apart[STORE_MERGES + 1]; /* steps */
};

static uint64_t below(struct world *world, uint64_t limit)
{
    world->random = world->random * 6364136223846793005U + 1442695040888963407U;
    return (world->random >> 33) % limit;
}

/* Some keys share much, some are the beginning of others. */
static size_t key_of(unsigned number, char key[STORE_KEY_MAX])
{
    int length = number % 7 == 0 ? snprintf(key, 64, "%u", number)
                                 : snprintf(key, 64, "a long beginning of a key %u", number * 7919 % KEYS);
    return (size_t)length;
}

static int compare_names(const void *left, const void *right)
{
    const struct name *a = left, *b = right;
    return strcmp(a->key, b->key);
}

static struct world *world_make(const char *path, uint64_t random, struct store *store)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->path = path;
    world->random = random;
    world->store = store;
    for (uint32_t i = 0; i < SEEDS + VALUE_MAX; i++) {
        world->pattern[i] = (uint8_t)(i * 2654435761U >> 24);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        world->sorted[i].number = i;
        (void)key_of(i, world->sorted[i].key);
    }
    qsort(world->sorted, KEYS, sizeof world->sorted[0], compare_names);
    return world;
}

static const uint8_t *bytes_of(const struct world *world, const struct value *value)
{
    return world->pattern + value->seed;
}

static void put_some(struct world *world, size_t count)
{
    char key[STORE_KEY_MAX];
    for (size_t i = 0; i < count; i++) {
        unsigned table = (unsigned)below(world, TABLES), number = (unsigned)below(world, KEYS);
        struct value *value = &world->now.values[table][number];
        bool gone = below(world, 4) == 0;
        *value = (struct value){.seed = (uint32_t)below(world, SEEDS),
                                .length = gone ? 0 : (uint32_t)below(world, VALUE_MAX) + 1};
        assert_int_equal(store_put(world->store, (enum store_table)table, key, key_of(number, key),
                                   gone ? NULL : bytes_of(world, value), value->length),
                         POISE_OK);
    }
}

/* What the writer finds through filters, and others without. */
static void check_gets(struct world *world)
{
    char key[STORE_KEY_MAX];
    struct buf out = {0}, other = {0};
    struct store_reader *reader;
    assert_int_equal(store_reader_open(world->store, &reader, NULL), POISE_OK);
    for (unsigned table = 0; table < TABLES; table++) {
        for (unsigned i = 0; i < KEYS; i++) {
            const struct value *value = &world->last.values[table][i];
            size_t length = key_of(i, key);
            buf_reset(&out);
            poise_code code = store_get(world->store, (enum store_table)table, key, length, &out, NULL);
            assert_int_equal(code, value->length ? POISE_OK : POISE_ENOTFOUND);
            assert_int_equal(out.length, value->length);
            if (i % 4 == 0) {
                buf_reset(&other);
                code = store_reader_get(reader, (enum store_table)table, key, length, &other, NULL);
                assert_int_equal(code, value->length ? POISE_OK : POISE_ENOTFOUND);
                assert_int_equal(other.length, out.length);
                assert_true(out.length == 0 || memcmp(other.data, out.data, out.length) == 0);
            }
            assert_true(value->length == 0 || memcmp(out.data, bytes_of(world, value), out.length) == 0);
        }
    }
    store_reader_close(reader);
    buf_free(&out);
    buf_free(&other);
}

/* ---- walks, some of which pass entries ---- */

struct walk {
    struct world *world;
    unsigned table;
    size_t at; /* of the sorted names: from here on the next that is there must come */
    size_t seen;
    struct buf from;
};

static const struct value *value_at(const struct walk *walk, size_t at)
{
    return &walk->world->last.values[walk->table][walk->world->sorted[at].number];
}

/* Of those that are there the first from a place on; KEYS: none. */
static size_t next_there(const struct walk *walk, size_t at)
{
    while (at < KEYS && value_at(walk, at)->length == 0) {
        at++;
    }
    return at;
}

static poise_code see(void *visitor, struct cursor key, struct cursor value)
{
    struct walk *walk = visitor;
    size_t at = next_there(walk, walk->at);
    assert_true(at < KEYS);
    const char *wanted = walk->world->sorted[at].key;
    const struct value *expected = value_at(walk, at);
    assert_int_equal(cursor_left(&key), strlen(wanted));
    assert_memory_equal(key.at, wanted, cursor_left(&key));
    assert_int_equal(cursor_left(&value), expected->length);
    assert_memory_equal(value.at, bytes_of(walk->world, expected), expected->length);
    walk->at = at + 1;
    walk->seen++;
    return POISE_OK;
}

static void check_walks(struct world *world)
{
    struct store_reader *reader;
    assert_int_equal(store_reader_open(world->store, &reader, NULL), POISE_OK);
    for (unsigned table = 0; table < TABLES; table++) {
        struct walk walk = {.world = world, .table = table};
        size_t present = 0;
        for (unsigned i = 0; i < KEYS; i++) {
            present += world->last.values[table][i].length > 0;
        }
        assert_int_equal(store_walk(world->store, (enum store_table)table, see, &walk, NULL), POISE_OK);
        assert_int_equal(walk.seen, present);
        walk = (struct walk){.world = world, .table = table};
        assert_int_equal(store_reader_walk(reader, (enum store_table)table, see, &walk, NULL), POISE_OK);
        assert_int_equal(walk.seen, present);
    }
    store_reader_close(reader);
}

static void want_from(struct walk *walk, size_t at)
{
    const char *key = walk->world->sorted[at].key;
    buf_reset(&walk->from);
    buf_put(&walk->from, key, strlen(key));
    walk->at = at > walk->at ? at : walk->at;
}

/* It goes on behind it, or from some key, whether that is there; a lower one means nothing. */
static poise_code see_and_pass(void *visitor, struct cursor key, struct cursor value)
{
    struct walk *walk = visitor;
    assert_int_equal(see(walk, key, value), POISE_OK);
    if (below(walk->world, 3) != 0) {
        want_from(walk, below(walk->world, KEYS));
    }
    return POISE_OK;
}

static void check_passing(struct world *world)
{
    for (unsigned table = 0; table < TABLES; table++) {
        for (int i = 0; i < 2; i++) {
            struct walk walk = {.world = world, .table = table};
            want_from(&walk, below(world, KEYS));
            assert_int_equal(
                store_walk_some(world->store, (enum store_table)table, &walk.from, see_and_pass, &walk, NULL),
                POISE_OK);
            assert_int_equal(next_there(&walk, walk.at), KEYS);
            buf_free(&walk.from);
        }
    }
}

static void begin(struct world *world)
{
    assert_int_equal(store_checkpoint_begin(world->store, NULL), POISE_OK);
    world->open = true;
    if (below(world, 8) == 0) {
        unsigned table = (unsigned)below(world, TABLES);
        assert_int_equal(store_clear(world->store, (enum store_table)table), POISE_OK);
        memset(world->now.values[table], 0, sizeof world->now.values[table]);
    }
}

static void forget(struct world *world)
{
    world->now = world->last;
    world->open = false;
}

/* As another thread may. */
static bool some_apart(struct world *world, enum store_steps steps)
{
    bool any = below(world, 2) && store_step_is_apart(world->store, steps);
    if (any) {
        (void)store_step_apart(world->store, steps);
        world->apart[steps]++;
    }
    return any;
}

static void commit(struct world *world)
{
    bool done = false;
    struct store_mark mark = {.state_lsn = world->lsn, .generation = below(world, 1000)};
    assert_int_equal(store_checkpoint_end(world->store, &mark, NULL), POISE_OK);
    while (!done) { /* others go on between the slices */
        scratch_append(world->store, ++world->lsn, 100);
        if (!some_apart(world, STORE_WRITES)) {
            assert_int_equal(store_checkpoint_step(world->store, &done, NULL), POISE_OK);
        }
        if (!done && below(world, 20) == 0) {
            check_gets(world);
        }
    }
    world->last = world->now;
    world->open = false;
    assert_int_equal(store_mark(world->store).generation, mark.generation);
}

static void reopen(struct world *world)
{
    store_close(world->store);
    world->store = scratch_open_wide(world->path);
    forget(world);
}

static void act(struct world *world)
{
    bool done;
    switch (below(world, 12)) {
    case 0:
        reopen(world);
        break;
    case 1:
        store_checkpoint_abort(world->store);
        forget(world);
        break;
    case 2:
        check_gets(world);
        break;
    case 3:
        check_walks(world);
        check_passing(world);
        break;
    case 4:
    case 5:
        for (uint64_t n = below(world, 20); n > 0; n--) {
            if (!some_apart(world, STORE_MERGES)) {
                assert_int_equal(store_upkeep(world->store, below(world, 2), NULL), POISE_OK);
            }
        }
        break;
    case 6:
        if (!world->open) {
            begin(world);
        }
        put_some(world, 3000);
        for (uint64_t n = below(world, 9); n > 0; n--) {
            if (!some_apart(world, below(world, 2) ? STORE_WRITES : STORE_TAKES)) {
                assert_int_equal(store_checkpoint_step(world->store, &done, NULL), POISE_OK);
            }
        }
        break;
    default:
        if (!world->open) {
            begin(world);
        }
        put_some(world, below(world, 16) == 0 ? 4000 : (size_t)below(world, 300));
        if (below(world, 2)) {
            commit(world);
        }
    }
}

static void test_as_a_plain_table(void **state)
{
    struct world *world = world_make(*state, 4, scratch_open_wide(*state));
    for (int i = 0; i < 1000; i++) {
        act(world);
    }
    assert_true(world->apart[STORE_WRITES] > 50 && world->apart[STORE_TAKES] > 50 &&
                world->apart[STORE_MERGES] > 50);
    reopen(world);
    check_gets(world);
    check_walks(world);
    store_close(world->store);
    free(world);
}

/* Small entries, some hundred a block, in three runs: every n-th is asked for, from 1 (all) to far apart.
 * What comes is what store_get finds. */
struct striding {
    struct store *store;
    uint32_t next, stride, seen;
    struct buf from, value;
};

static void stride_to(struct striding *it, uint32_t n)
{
    it->next = n;
    buf_reset(&it->from);
    for (int i = 3; i >= 0; i--) {
        buf_put_u8(&it->from, (uint8_t)(n >> 8 * i));
    }
}

static poise_code check_stride(void *visitor, struct cursor key, struct cursor value)
{
    struct striding *it = visitor;
    uint32_t n = 0;
    for (int i = 0; i < 4; i++) {
        n = n << 8 | cursor_u8(&key);
    }
    for (uint32_t at = it->next; at <= n; at++) {
        stride_to(it, at);
        buf_reset(&it->value);
        assert_int_equal(store_get(it->store, STORE_CELLS, it->from.data, 4, &it->value, NULL),
                         at == n ? POISE_OK : POISE_ENOTFOUND);
    }
    assert_int_equal(it->value.length, cursor_left(&value));
    assert_memory_equal(it->value.data, value.at, it->value.length);
    it->seen++;
    stride_to(it, n / it->stride * it->stride + it->stride);
    return POISE_OK;
}

static void test_strides(void **state)
{
    enum { NUMBERS = 20000, RUNS = 3 };
    static const uint32_t strides[] = {1, 2, 7, 15, 16, 17, 40, 300, 1000, 5000};
    struct striding it = {.store = scratch_open(*state)};
    for (uint32_t run = 0; run < RUNS;
         run++) { /* later ones replace every third, and take every fifth away */
        assert_int_equal(store_checkpoint_begin(it.store, NULL), POISE_OK);
        for (uint32_t n = run; n < NUMBERS; n += 2 * run + 1) {
            bool gone = run == 2;
            stride_to(&it, n);
            assert_int_equal(store_put(it.store, STORE_CELLS, it.from.data, 4, gone ? NULL : &"value"[run],
                                       gone ? 0 : 5 - run),
                             POISE_OK);
        }
        assert_int_equal(store_checkpoint_commit(it.store, &(struct store_mark){0}, NULL), POISE_OK);
    }
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
        it.stride = strides[i];
        it.seen = 0;
        stride_to(&it, 0);
        assert_int_equal(store_walk_some(it.store, STORE_CELLS, &it.from, check_stride, &it, NULL), POISE_OK);
        assert_int_equal(it.seen, it.stride == 1 ? NUMBERS * 4 / 5 : (NUMBERS + it.stride - 1) / it.stride);
    }
    buf_reset(&it.from); /* nothing */
    it.seen = 0;
    assert_int_equal(store_walk_some(it.store, STORE_CELLS, &it.from, check_stride, &it, NULL), POISE_OK);
    assert_int_equal(it.seen, 0);
    buf_free(&it.from);
    buf_free(&it.value);
    store_close(it.store);
}

static poise_code count_and_pass(void *visitor, struct cursor key, struct cursor value)
{
    struct striding *it = visitor;
    (void)key;
    (void)value;
    it->seen++;
    stride_to(it, it->next + it->stride);
    return POISE_OK;
}

/* A block that is passed is not read; one that is read is checked, whatever was read before. */
static void test_damage_is_passed_or_seen(void **state)
{
    static const char text[] = "the value that will be damaged";
    enum { NUMBERS = 20000, DAMAGED = 12345 };
    struct striding it = {.store = scratch_open(*state)};
    poise_error err = {0};
    assert_int_equal(store_checkpoint_begin(it.store, NULL), POISE_OK);
    for (uint32_t n = 0; n < NUMBERS; n++) {
        stride_to(&it, n);
        assert_int_equal(store_put(it.store, STORE_CELLS, it.from.data, 4, text, n == DAMAGED ? 30 : 7),
                         POISE_OK);
    }
    assert_int_equal(store_checkpoint_commit(it.store, &(struct store_mark){0}, NULL), POISE_OK);
    store_close(it.store);
    assert_true(scratch_flip(*state, text, 30, 29) > 0);
    it.store = scratch_open(*state);
    it.stride = 10000;
    stride_to(&it, 0);
    assert_int_equal(store_walk_some(it.store, STORE_CELLS, &it.from, count_and_pass, &it, NULL), POISE_OK);
    assert_int_equal(it.seen, 2);
    for (uint32_t stride = 1; stride <= DAMAGED; stride = stride == 1 ? DAMAGED : NUMBERS) {
        it.stride = stride;
        stride_to(&it, 0);
        assert_int_equal(store_walk_some(it.store, STORE_CELLS, &it.from, count_and_pass, &it, &err),
                         POISE_ECORRUPT);
    }
    buf_free(&it.from);
    store_close(it.store);
}

/* 40,960 puts of 20,480 keys, which fall: sorted 4,096 a step. Of a key's two, in different steps, the later
 * one counts. */
static void test_puts_are_sorted_in_steps(void **state)
{
    enum { FALLING = 20480, STEPS = 2 * FALLING / 4096 };
    struct store *store = scratch_open(*state);
    struct buf out = {0};
    bool done = false;
    int steps = 0;
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    for (int i = 2 * FALLING - 1; i >= 0; i--) {
        int n = i % FALLING;
        const uint8_t key[] = {(uint8_t)(n >> 8), (uint8_t)n}, value = i < FALLING;
        assert_int_equal(store_put(store, STORE_CELLS, key, sizeof key, &value, 1), POISE_OK);
    }
    assert_int_equal(store_checkpoint_end(store, &(struct store_mark){0}, NULL), POISE_OK);
    for (; !done; steps++) {
        assert_int_equal(store_checkpoint_step(store, &done, NULL), POISE_OK);
    }
    assert_true(steps >= STEPS);
    for (int n = 0; n < FALLING; n += 7) {
        const uint8_t key[] = {(uint8_t)(n >> 8), (uint8_t)n};
        buf_reset(&out);
        assert_int_equal(store_get(store, STORE_CELLS, key, sizeof key, &out, NULL), POISE_OK);
        assert_true(out.length == 1 && out.data[0] == 1);
    }
    buf_free(&out);
    store_close(store);
}

/* Once all is merged and swept there is nothing left of what was replaced. */
static void test_space_comes_back(void **state)
{
    struct world *world = world_make(*state, 5, scratch_open(*state));
    struct store_stats stats;
    for (int i = 0; i < 30; i++) {
        begin(world);
        put_some(world, 3000);
        commit(world);
    }
    scratch_tidy(world->store);
    assert_int_equal(store_stats(world->store, &stats, NULL), POISE_OK);
    size_t bytes = 0, entries = 0;
    for (unsigned table = 0; table < TABLES; table++) {
        for (unsigned i = 0; i < KEYS; i++) {
            bytes += world->last.values[table][i].length;
            entries += world->last.values[table][i].length > 0;
        }
    }
    assert_int_equal(stats.entries[0] + stats.entries[1] + stats.entries[2], entries);
    assert_true((size_t)stats.used_bytes < bytes * 5 / 4 + 1000000); /* and the journal */
    check_gets(world);
    store_close(world->store);
    free(world);
}

static void put_many(struct store *store, uint32_t from, uint32_t count)
{
    const struct store_mark mark = {0};
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    for (uint32_t i = from; i < from + count; i++) {
        const uint8_t key[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_int_equal(store_put(store, STORE_KEYS, key, sizeof key, "", 0), POISE_OK);
    }
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
}

static uint64_t runs_of(struct store *store)
{
    struct store_stats stats;
    assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    for (size_t i = 0; i < STORE_TABLES_ALL; i++) {
        if (strcmp(stats.tables[i].name, "state_runs") == 0) {
            return stats.tables[i].entries;
        }
    }
    fail();
    return 0;
}

/* Some MiB of keys that come in their order are one run, so that an absent key is asked of one filter; what
 * comes behind them out of order is another one, and newer. */
static void test_keys_in_order_are_one_run(void **state)
{
    enum { MANY = 700000 };
    const struct store_mark mark = {0};
    struct store *store = scratch_open(*state);
    struct buf out = {0};
    put_many(store, 0, MANY);
    assert_int_equal(runs_of(store), 1);
    for (uint32_t i = 0; i < MANY + 5000; i += 97) {
        const uint8_t key[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_int_equal(store_get(store, STORE_KEYS, key, sizeof key, &out, NULL),
                         i < MANY ? POISE_OK : POISE_ENOTFOUND);
    }
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        const uint8_t key[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_int_equal(store_put(store, STORE_KEYS, key, sizeof key, "", 0), POISE_OK);
    }
    const uint8_t first[4] = {0};
    assert_int_equal(store_put(store, STORE_KEYS, first, sizeof first, "x", 1), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
    assert_int_equal(runs_of(store), 3);
    assert_int_equal(store_get(store, STORE_KEYS, first, sizeof first, &out, NULL), POISE_OK);
    assert_int_equal(out.length, 1);
    buf_free(&out);
    store_close(store);
}

/* Small runs are merged and leave the large one below them alone, which still has what they delete. */
static void test_deleted_above_a_large_run(void **state)
{
    enum { MANY = 300000, SMALL = 6, DELETED = 100 };
    const struct store_mark mark = {0};
    struct store *store = scratch_open(*state);
    struct buf out = {0};
    put_many(store, 0, MANY);
    for (uint32_t n = 0; n < SMALL; n++) {
        assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
        for (uint32_t i = 0; i < DELETED; i++) {
            const uint8_t key[4] = {0, (uint8_t)n, (uint8_t)i, 7};
            assert_int_equal(store_put(store, STORE_KEYS, key, sizeof key, NULL, 0), POISE_OK);
        }
        assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
        while (store_upkeep_due(store, false)) {
            assert_int_equal(store_upkeep(store, false, NULL), POISE_OK);
        }
    }
    assert_true(runs_of(store) > 1 && runs_of(store) < SMALL);
    for (uint32_t n = 0; n < SMALL; n++) {
        for (uint32_t i = 0; i < DELETED + 9; i++) {
            const uint8_t key[4] = {0, (uint8_t)n, (uint8_t)i, 7};
            bool there = i >= DELETED && (n << 16 | i << 8 | 7) < MANY;
            assert_int_equal(store_get(store, STORE_KEYS, key, sizeof key, &out, NULL),
                             there ? POISE_OK : POISE_ENOTFOUND);
        }
    }
    buf_free(&out);
    store_close(store);
}

/* Where something was erased no older value of a key is left, however large the run is that has it. */
static void test_scrubbing_leaves_one_run(void **state)
{
    enum { MANY = 300000 };
    const struct store_mark mark = {0};
    const uint8_t key[4] = {0, 0, 0, 7};
    struct store *store = scratch_open(*state);
    struct buf out = {0};
    put_many(store, 0, MANY);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_put(store, STORE_KEYS, key, sizeof key, "x", 1), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
    for (int scrubbed = 0; scrubbed < 2; scrubbed++) {
        while (store_upkeep_due(store, false)) {
            assert_int_equal(store_upkeep(store, false, NULL), POISE_OK);
        }
        assert_int_equal(runs_of(store), scrubbed ? 1 : 2);
        assert_int_equal(store_scrubbed_lsn(store), scrubbed);
        store_scrub(store, 1);
    }
    assert_int_equal(store_get(store, STORE_KEYS, key, sizeof key, &out, NULL), POISE_OK);
    assert_int_equal(out.length, 1);
    buf_free(&out);
    store_close(store);
}

static void put_one(struct store *store, const char *value)
{
    const struct store_mark mark = {0};
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_put(store, STORE_ORGS, "a", 1, value, 1), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
}

/* What comes while others are merged is newer than all of them. */
static void test_checkpoint_beside_a_merge(void **state)
{
    struct store *store = scratch_open(*state);
    struct buf out = {0};
    put_one(store, "1");
    put_one(store, "2");
    assert_int_equal(store_upkeep(store, true, NULL), POISE_OK); /* begins to merge the two */
    put_one(store, "3");
    for (int i = 0; i < 2; i++) {
        buf_reset(&out);
        assert_int_equal(store_get(store, STORE_ORGS, "a", 1, &out, NULL), POISE_OK);
        assert_int_equal(out.data[0], '3');
        assert_int_equal(store_upkeep(store, true, NULL), POISE_OK); /* merged */
    }
    buf_free(&out);
    store_close(store);
}

/* A process that ends within a merge whose filter is larger than what was written yet. */
static void test_large_merge_cut_short(void **state)
{
    enum { HALF = 500000 };
    struct store *store = scratch_open(*state);
    struct store_stats stats;
    put_many(store, 0, HALF);
    put_many(store, HALF, HALF);
    for (int i = 0; i < 3; i++) { /* begun, and some slices */
        assert_int_equal(store_upkeep(store, true, NULL), POISE_OK);
        assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
        assert_int_equal(stats.entries[STORE_KEYS], 2 * HALF);
    }
    store_close(store);
    store = scratch_open(*state);
    scratch_tidy(store);
    assert_int_equal(store_stats(store, &stats, NULL), POISE_OK);
    assert_int_equal(stats.entries[STORE_KEYS], 2 * HALF);
    store_close(store);
}

/* A value larger than a block, and a run of nothing but deletions. */
static void test_large_and_nothing(void **state)
{
    struct store *store = scratch_open(*state);
    struct buf out = {0};
    const struct store_mark mark = {0};
    size_t length = 1000000;
    uint8_t *large = malloc(length);
    assert_non_null(large);
    memset(large, 'x', length);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_put(store, STORE_ORGS, "a", 1, "", 0), POISE_OK);
    assert_int_equal(store_put(store, STORE_ORGS, "b", 1, large, length), POISE_OK);
    assert_int_equal(store_put(store, STORE_ORGS, "c", 1, "c", 1), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
    assert_int_equal(store_get(store, STORE_ORGS, "b", 1, &out, NULL), POISE_OK);
    assert_int_equal(out.length, length);
    assert_int_equal(store_get(store, STORE_ORGS, "c", 1, &out, NULL), POISE_OK);
    assert_int_equal(out.length, length + 1);
    assert_int_equal(store_get(store, STORE_ORGS, "a", 1, &out, NULL), POISE_OK);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_put(store, STORE_ORGS, "b", 1, NULL, 0), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
    assert_int_equal(store_get(store, STORE_ORGS, "b", 1, &out, NULL), POISE_ENOTFOUND);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK); /* of nothing at all */
    free(large);
    buf_free(&out);
    store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_puts_are_sorted_in_steps),  TEST(test_as_a_plain_table),
        TEST(test_space_comes_back),          TEST(test_keys_in_order_are_one_run),
        TEST(test_deleted_above_a_large_run), TEST(test_checkpoint_beside_a_merge),
        TEST(test_large_merge_cut_short),     TEST(test_large_and_nothing),
        TEST(test_scrubbing_leaves_one_run),  TEST(test_strides),
        TEST(test_damage_is_passed_or_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
