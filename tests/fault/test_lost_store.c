/* The store after power cuts: it opens, and what is in it is what it was when the last step was done, or what
 * it was after the step that the cut came into; the same of what has a backup's name. Steps are commits,
 * checkpoints and their upkeep, runs of rows that are put and merged, trimming, scrubbing
 * (lost_store_runs.c), backups and restores (lost_store_copies.c). A new kind of step needs a function in
 * `steps` and no more, as long as all that it changes is one transaction; between several, say noted(). */
#include "lost_store.h"
#include <base/hash.h>
#include <stdio.h>
#include <string.h>

enum { POINTS = 2000, LIVES = 20, KILL_WITHIN = 250, STEPS = 60, KEYS = 300 };

uint64_t draw(struct work *work, uint64_t below)
{
    return hash_mix(work->seed, work->drawn++) % below;
}

void noted(struct work *work)
{
    if (work->lives && !work->over) {
        recorder_mark(MARK_IS, digest_of(work->store), store_last_lsn(work->store));
    }
}

/* ---- steps ---- */

struct store_options lost_options(const char *path)
{
    struct store_options options = scratch_options(path);
    options.map_bytes = 96 << 10; /* so that it grows on the way */
    options.free_bytes = 4096;
    options.journal_bytes = 24 << 10;
    return options;
}

static void open_store(struct work *work)
{
    struct store_options options = lost_options(work->path);
    poise_error err = {0};
    if (store_open(&options, &work->store, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

void did(struct work *work, poise_code code, const poise_error *err)
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

/* In steps, with records between them. */
static void checkpoint(struct work *work)
{
    poise_error err = {0};
    bool done = false;
    struct store_mark mark = store_mark(work->store);
    mark.state_lsn = store_last_lsn(work->store);
    assert_int_equal(store_checkpoint_begin(work->store, &err), POISE_OK);
    put_some(work);
    poise_code code = store_checkpoint_end(work->store, &mark, &err);
    while (code == POISE_OK && !done && !work->over) {
        code = store_checkpoint_step(work->store, &done, &err);
        did(work, code, &err);
        noted(work);
        if (code == POISE_OK && !done && draw(work, 4) == 0) {
            append(work);
            noted(work);
        }
    }
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

/* Some of what merges and deletes runs of state, trims and sweeps. */
static void tidy(struct work *work)
{
    for (uint64_t left = draw(work, 12); left > 0 && !work->over; left--) {
        poise_error err = {0};
        did(work, store_upkeep(work->store, draw(work, 2), &err), &err);
        noted(work);
    }
}

static void open_again(struct work *work)
{
    store_close(work->store);
    open_store(work);
    work->unfinished = false;
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

static void put_run_to_full_disk(struct work *work)
{
    fill_disk_and(work, put_run);
}

static void merge_runs_on_full_disk(struct work *work)
{
    fill_disk_and(work, merge_runs);
}

static void back_up_to_full_disk(struct work *work)
{
    fill_disk_and(work, back_up);
}

static void append_without_sync(struct work *work)
{
    recorder_fail_sync(1 + draw(work, 2)); /* that of the pages, or of the meta page */
    recorder_mark(MARK_TRIES, 0, 0);
    append(work);
    recorder_fail_sync(0);
}

/* Not that of its last slice: what the store then is can be one of two things. */
static void put_run_without_sync(struct work *work)
{
    recorder_fail_sync(1 + draw(work, 2));
    recorder_mark(MARK_TRIES, 0, 0);
    put_run(work);
    recorder_fail_sync(0);
}

static const struct lost_step steps[] = {
    {40, append},
    {12, checkpoint},
    {3, begin_anew},
    {8, tidy},
    {12, put_run},
    {8, merge_runs},
    {4, scrub},
    {6, back_up},
    {3, restore},
    {3, open_again},
    {2, tidy_full_disk},
    {4, append_to_full_disk},
    {4, checkpoint_to_full_disk},
    {2, put_run_to_full_disk},
    {2, merge_runs_on_full_disk},
    {1, back_up_to_full_disk},
    {2, append_without_sync},
    {1, put_run_without_sync},
    {2, back_up_without_sync},
};

static struct work work_in(const char *directory, uint64_t seed)
{
    struct work work = {.directory = directory, .seed = seed};
    snprintf(work.path, LOST_PATH, "%s/var/lib/store", directory); /* nothing of it is there before */
    return work;
}

static enum lost_life live(const char *directory, uint64_t seed, unsigned life)
{
    struct work work = work_in(directory, hash_mix(seed, life));
    work.lives = true;
    open_store(&work);
    noted(&work);
    for (unsigned i = 0; i < STEPS && !work.over; i++) {
        lost_step(steps, sizeof steps / sizeof steps[0], draw(&work, UINT64_MAX), &work);
        noted(&work);
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
        tries |= mark->mark == MARK_TRIES;
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
    struct work work = work_in(directory, seed);
    open_store(&work);
    check_contents(work.store, marks);
    check_copies(directory, marks);
    for (int i = 0; i < 3; i++) {
        append(&work);
        checkpoint(&work);
        put_run(&work);
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
