/* The store after power cuts: it opens, and what is in it is what it was when the last step was done, or what
 * it was after the step that the cut came into. A new kind of step needs a function in `steps` and no more,
 * as long as all that it changes is one transaction; between several, say noted(). */
#include "lost.h"
#include <base/file.h>
#include <base/hash.h>
#include <stdio.h>
#include <store/store.h>
#include <string.h>
#include <unit/store/scratch.h>

enum { POINTS = 1000, LIVES = 20, KILL_WITHIN = 100, STEPS = 60, KEYS = 300, PATH_BYTES = 320 };
enum mark {
    MARK_IS,   /* a: digest of all that the store holds but the records, b: its last LSN */
    MARK_TRIES /* a record more is there, or none: its sync will fail */
};

struct work {
    char path[PATH_BYTES];
    struct store *store;
    uint64_t seed;
    uint64_t drawn; /* numbers */
    bool over;      /* the life is: a sync failed */
};

static uint64_t draw(struct work *work, uint64_t below)
{
    return hash_mix(work->seed, work->drawn++) % below;
}

/* ---- all that it holds ---- */

/* Mostly small, some of several pages, some of none. */
static size_t length_of(uint64_t lsn)
{
    static const size_t lengths[] = {0, 10, 200, 1500, 3900, 4100, 9000, 30000};
    return lengths[hash_mix(lsn, 4711) % (sizeof lengths / sizeof lengths[0])];
}

struct digest {
    uint64_t sum, records;
};

static poise_code add_record(void *visitor, const struct journal_record *record)
{
    struct digest *digest = visitor;
    scratch_check(record, length_of(record->lsn));
    digest->records++;
    return POISE_OK;
}

static poise_code add_entry(void *visitor, struct cursor key, struct cursor value)
{
    struct digest *digest = visitor;
    digest->sum = hash_mix(digest->sum, hash64(key.at, cursor_left(&key), 1));
    digest->sum = hash_mix(digest->sum, hash64(value.at, cursor_left(&value), 2));
    return POISE_OK;
}

static uint64_t digest_of(struct store *store)
{
    struct digest digest = {0};
    struct store_reader *reader = NULL;
    struct store_mark mark = store_mark(store);
    poise_error err = {0};
    assert_int_equal(store_reader_open(store, &reader, &err), POISE_OK);
    if (store_read_journal(reader, 1, UINT64_MAX, NULL, add_record, &digest, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    store_reader_close(reader);
    assert_int_equal(digest.records, store_last_lsn(store));
    for (int table = 0; table < STORE_TABLES; table++) {
        if (store_walk(store, (enum store_table)table, add_entry, &digest, &err) != POISE_OK) {
            fail_msg("%s", err.text);
        }
        digest.sum = hash_mix(digest.sum, 3);
    }
    return hash_mix(digest.sum, hash_mix(mark.state_lsn, mark.generation));
}

static void noted(struct work *work)
{
    recorder_mark(MARK_IS, digest_of(work->store), store_last_lsn(work->store));
}

/* ---- steps ---- */

static struct store_options options_of(const char *path)
{
    struct store_options options = scratch_options(path);
    options.map_bytes = 96 << 10; /* so that it grows on the way */
    options.free_bytes = 4096;
    return options;
}

static void open_store(struct work *work)
{
    struct store_options options = options_of(work->path);
    poise_error err = {0};
    if (store_open(&options, &work->store, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

/* A full disk is tried again later; after a failed sync the process must end. */
static void did(struct work *work, poise_code code, const poise_error *err)
{
    if (code == POISE_EIO) {
        work->over = true;
    } else if (code != POISE_OK && code != POISE_EFULL) {
        fail_msg("%s", err->text);
    }
}

static void append(struct work *work)
{
    poise_error err = {0};
    uint64_t lsn = store_last_lsn(work->store) + 1;
    did(work, scratch_try_append(work->store, lsn, length_of(lsn), &err), &err);
}

static void put_some(struct work *work)
{
    static const enum store_table tables[] = {STORE_HEAD, STORE_CELLS, STORE_KEYS, STORE_PRODUCERS};
    for (uint64_t left = draw(work, 60); left > 0; left--) {
        char key[32];
        uint8_t value[300];
        enum store_table table = tables[draw(work, sizeof tables / sizeof tables[0])];
        size_t length = snprintf(key, sizeof key, "key %d", (int)draw(work, KEYS)) > 0 ? strlen(key) : 0;
        memset(value, (int)draw(work, 256), sizeof value);
        bool gone = draw(work, 3) == 0;
        assert_int_equal(
            store_put(work->store, table, key, length, gone ? NULL : value, draw(work, sizeof value)),
            POISE_OK);
    }
}

static void checkpoint(struct work *work)
{
    poise_error err = {0};
    struct store_mark mark = store_mark(work->store);
    mark.state_lsn = store_last_lsn(work->store);
    assert_int_equal(store_checkpoint_begin(work->store, &err), POISE_OK);
    put_some(work);
    did(work, store_checkpoint_commit(work->store, &mark, &err), &err);
}

/* As after a changed definition: derived tables begin anew. */
static void begin_anew(struct work *work)
{
    poise_error err = {0};
    struct store_mark mark = {.generation = store_mark(work->store).generation + 1};
    assert_int_equal(store_checkpoint_begin(work->store, &err), POISE_OK);
    assert_int_equal(store_clear(work->store, STORE_CELLS), POISE_OK);
    assert_int_equal(store_clear(work->store, STORE_KEYS), POISE_OK);
    put_some(work);
    did(work, store_checkpoint_commit(work->store, &mark, &err), &err);
}

/* Some of what merges and deletes runs of state. */
static void tidy(struct work *work)
{
    for (uint64_t left = draw(work, 12); left > 0 && !work->over; left--) {
        poise_error err = {0};
        did(work, store_upkeep(work->store, draw(work, 2), &err), &err);
    }
}

static void open_again(struct work *work)
{
    store_close(work->store);
    open_store(work);
}

/* Somewhere within what the step writes. */
static void fill_disk_and(struct work *work, void (*step)(struct work *work))
{
    recorder_fill_disk(draw(work, 20000));
    step(work);
    recorder_empty_disk();
}

static void append_to_full_disk(struct work *work)
{
    fill_disk_and(work, append);
}

static void checkpoint_to_full_disk(struct work *work)
{
    fill_disk_and(work, checkpoint);
}

static void tidy_full_disk(struct work *work)
{
    fill_disk_and(work, tidy);
}

static void append_without_sync(struct work *work)
{
    recorder_fail_sync(1 + draw(work, 2)); /* that of the pages, or of the meta page */
    recorder_mark(MARK_TRIES, 0, 0);
    append(work);
    recorder_fail_sync(0);
}

static const struct lost_step steps[] = {
    {40, append},
    {12, checkpoint},
    {3, begin_anew},
    {8, tidy},
    {2, tidy_full_disk},
    {3, open_again},
    {4, append_to_full_disk},
    {4, checkpoint_to_full_disk},
    {2, append_without_sync},
};

static void path_of(const char *directory, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/var/lib/store", directory); /* nothing of it is there before */
}

static enum lost_life live(const char *directory, uint64_t seed, unsigned life)
{
    struct work work = {.seed = hash_mix(seed, life)};
    path_of(directory, work.path);
    open_store(&work);
    noted(&work);
    for (unsigned i = 0; i < STEPS && !work.over; i++) {
        lost_step(steps, sizeof steps / sizeof steps[0], draw(&work, UINT64_MAX), &work);
        if (!work.over) {
            noted(&work);
        }
    }
    store_close(work.store);
    return work.over ? LIFE_AGAIN : LIFE_LAST;
}

/* ---- after the power cut ---- */

/* Each mark says what the store held; before the first there was none. */
static void check_contents(struct store *store, const struct lost_marks *marks)
{
    uint64_t is = digest_of(store), lsn = store_last_lsn(store);
    bool known = false, tries = false;
    for (size_t i = marks->until; i > 0 && !known; i--) { /* the last one, and what was tried since */
        const struct lost_mark *mark = &marks->marks[i - 1];
        known = mark->mark == MARK_IS && mark->a == is && (mark->b == lsn || (tries && mark->b + 1 == lsn));
        tries = mark->mark == MARK_TRIES;
        if (mark->mark == MARK_IS) {
            break;
        }
    }
    for (size_t i = marks->until; i < marks->count && !known; i++) { /* the next one */
        const struct lost_mark *mark = &marks->marks[i];
        known = mark->mark == MARK_IS && mark->a == is && mark->b == lsn;
        if (mark->mark == MARK_IS) {
            break;
        }
    }
    if (!known) {
        fail_msg(
            "the store, of %d records and a checkpoint at %d, is neither what it was after the last step "
            "nor after the next",
            (int)lsn, (int)store_mark(store).state_lsn);
    }
}

static void check(const char *directory, const struct lost_marks *marks, uint64_t seed)
{
    struct work work = {.seed = seed};
    path_of(directory, work.path);
    open_store(&work);
    check_contents(work.store, marks);
    for (int i = 0; i < 3; i++) {
        append(&work);
        checkpoint(&work);
    }
    assert_false(work.over);
    uint64_t is = digest_of(work.store);
    open_again(&work);
    assert_true(digest_of(work.store) == is);
    store_close(work.store);
}

static void test_power_cuts(void **state)
{
    (void)state;
    lost_run(&(struct lost_test){.name = "store",
                                 .points = POINTS,
                                 .lives = LIVES,
                                 .kill_within = KILL_WITHIN,
                                 .live = live,
                                 .check = check});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_power_cuts, lost_tell)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
