/* The store: whichever allocation or system call fails, nothing acknowledged is lost, nothing leaks, the
 * codes are those that store.h promises, and it works again afterwards. Every n of small lives of a store. */
#include "fault.h"
#include "store_life.h"
#include <base/buf.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/store/scratch.h>

enum { LENGTH = 9000, MAP_FIRST = 192 << 10, MAP_WIDE = 32 << 20, KEYS = 40 };

/* ---- what a life consists of ---- */

static poise_code step_open(struct life *life, poise_error *err)
{
    struct store_options options = scratch_options(life->path);
    options.map_bytes = MAP_FIRST;
    return store_open(&options, &life->store, err);
}

/* So that steps may be done apart. */
static poise_code step_open_wide(struct life *life, poise_error *err)
{
    struct store_options options = scratch_options(life->path);
    options.map_bytes = MAP_WIDE;
    return store_open(&options, &life->store, err);
}

static poise_code step_open_to_read(struct life *life, poise_error *err)
{
    struct store_options options = scratch_options(life->path);
    options.read_only = true;
    return store_open(&options, &life->store, err);
}

static poise_code step_close(struct life *life, poise_error *err)
{
    (void)err;
    store_close(life->store);
    life->store = NULL;
    return POISE_OK;
}

static poise_code step_append(struct life *life, poise_error *err)
{
    uint8_t body[LENGTH];
    memset(body, (int)(life->records + 1), sizeof body);
    struct journal_batch batch = {.producer = "tester",
                                  .refused = (uint32_t[]){2},
                                  .reasons = (uint8_t[]){7},
                                  .refused_count = 1,
                                  .rows = 9,
                                  .body = body,
                                  .body_length = sizeof body};
    struct journal_record record = {
        .batches = &batch, .batch_count = 1, .changes = "changes", .changes_length = 7};
    uint64_t lsn = 0;
    poise_code code = store_append(life->store, &record, &lsn, err);
    if (code == POISE_OK) {
        life->records++;
        assert_int_equal(lsn, life->records);
    }
    return code;
}

static const char *key_of(unsigned i)
{
    static char key[16];
    snprintf(key, sizeof key, "key-%u", i);
    return key;
}

static poise_code step_checkpoint(struct life *life, poise_error *err)
{
    char value[200];
    memset(value, (int)life->checkpoints + 1, sizeof value);
    poise_code code = store_checkpoint_begin(life->store, err);
    if (code != POISE_OK) {
        return code;
    }
    store_clear(life->store, STORE_CELLS); /* a failed one fails the commit */
    for (unsigned i = 0; i < KEYS; i++) {
        store_put(life->store, i % 2 ? STORE_KEYS : STORE_CELLS, key_of(i), strlen(key_of(i)), value,
                  sizeof value);
    }
    const struct store_mark mark = {.state_lsn = life->records, .generation = life->checkpoints + 1};
    bool done = false;
    code = store_checkpoint_end(life->store, &mark, err);
    while (code == POISE_OK && !done) {
        while (store_step_is_apart(life->store, STORE_WRITES)) {
            (void)store_step_apart(life->store, STORE_WRITES);
        }
        code = store_checkpoint_step(life->store, &done, err);
    }
    life->checkpoints += code == POISE_OK;
    return code;
}

static poise_code check_value(void *visitor, struct cursor key, struct cursor value)
{
    const struct life *life = visitor;
    (void)key;
    assert_int_equal(cursor_left(&value), 200);
    assert_int_equal(value.at[0], life->checkpoints);
    assert_int_equal(memcmp(value.at, value.at + 1, 199), 0);
    return POISE_OK;
}

static poise_code step_tidy(struct life *life, poise_error *err)
{
    poise_code code = POISE_OK;
    while (code == POISE_OK && store_upkeep_due(life->store, true)) {
        while (store_step_is_apart(life->store, STORE_MERGES)) {
            (void)store_step_apart(life->store, STORE_MERGES);
        }
        code = store_upkeep(life->store, true, err);
    }
    return code;
}

static poise_code step_get(struct life *life, poise_error *err)
{
    struct buf out = {0};
    poise_code code = store_get(life->store, STORE_KEYS, key_of(1), strlen(key_of(1)), &out, err);
    if (code == POISE_OK) {
        check_value(life, cursor_of("", 0), cursor_of(out.data, out.length));
    }
    buf_free(&out);
    return code;
}

static poise_code step_walk(struct life *life, poise_error *err)
{
    struct buf from = {0};
    poise_code code = store_walk(life->store, STORE_CELLS, check_value, life, err);
    buf_put(&from, "key-5", 5); /* and all above it */
    if (code == POISE_OK) {
        code = store_walk_some(life->store, STORE_CELLS, &from, check_value, life, err);
    }
    buf_free(&from);
    return code;
}

static poise_code check_record(void *visitor, const struct journal_record *record)
{
    uint64_t *seen = visitor;
    assert_int_equal(record->lsn, ++*seen);
    assert_int_equal(record->batch_count, 1);
    const struct journal_batch *batch = record->batches;
    assert_int_equal(batch->refused[0], 2);
    assert_int_equal(batch->body_length, LENGTH);
    const uint8_t *body = batch->body;
    assert_int_equal(body[0], (uint8_t)record->lsn);
    assert_int_equal(memcmp(body, body + 1, LENGTH - 1), 0); /* quicker than to say where they differ */
    assert_memory_equal(record->changes, "changes", 7);
    return POISE_OK;
}

static poise_code step_read(struct life *life, poise_error *err)
{
    struct store_reader *reader = NULL;
    uint64_t seen = life->runs; /* those before may be trimmed */
    poise_code code = store_reader_open(life->store, &reader, err);
    if (code == POISE_OK) {
        code = store_read_journal(reader, seen + 1, UINT64_MAX, NULL, check_record, &seen, err);
    }
    store_reader_close(reader);
    if (code == POISE_OK) {
        assert_int_equal(seen, life->records);
    }
    return code;
}

static poise_code step_stats(struct life *life, poise_error *err)
{
    struct store_stats stats = {0};
    poise_code code = store_stats(life->store, &stats, err);
    if (code == POISE_OK) {
        assert_int_equal(stats.last_lsn, life->records);
        assert_int_equal(stats.readers, 0);
    }
    return code;
}

/* What was erased goes from the disk: blocks, records and state of before. */
static poise_code step_scrub(struct life *life, poise_error *err)
{
    store_scrub(life->store, life->runs + 1);
    poise_code code = step_tidy(life, err);
    if (code == POISE_OK) {
        assert_int_equal(store_scrubbed_lsn(life->store), life->runs + 1);
        assert_false(store_has_dropped(life->store));
    }
    return code;
}

static life_step *const plain_steps[] = {
    step_open,       step_append, step_append,     step_checkpoint, step_get,    step_walk,
    step_read,       step_append, step_append,     step_append,     step_append, /* the map grows */
    step_append,     step_append, step_append,     step_append,     step_append, step_append,
    step_append,     step_append, step_append,     step_append,     step_append, step_append,
    step_append,     step_append, step_checkpoint, step_tidy,       step_stats,  step_close,
    step_open,       step_append, step_get,        step_read,       step_close,  step_open_wide,
    step_checkpoint, step_tidy,   step_get,        step_walk,       step_close,  step_open_to_read,
    step_read,       step_walk,   step_close,
};
static life_step *const rows_steps[] = {
    step_open,      step_append,  step_append,       step_append,    step_checkpoint,
    step_put_run,   step_put_run, step_read_rows,    step_merge,     step_put_merge,
    step_read_rows, step_put_run, step_append,       step_scrub,     step_read,
    step_read_rows, step_close,   step_open,         step_read_rows, step_merge,
    step_put_merge, step_close,   step_open_to_read, step_read_rows, step_close,
};
static life_step *const backup_steps[] = {
    step_open,   step_append,  step_checkpoint, step_put_run, step_back_up,
    step_verify, step_restore, step_append,     step_close,
};

/* Faults come from step `from` on: those before are tried in another script. */
struct script {
    life_step *const *steps;
    size_t count, from;
};
#define COUNT_OF(steps) (sizeof(steps) / sizeof *(steps))
static const struct script plain_life = {plain_steps, COUNT_OF(plain_steps), 0},
                           rows_life = {rows_steps, COUNT_OF(rows_steps), 5},
                           backup_life = {backup_steps, COUNT_OF(backup_steps), 4};

/* ---- when one of them fails ---- */

static bool writes(life_step *what)
{
    return what == step_append || what == step_checkpoint || what == step_tidy || what == step_put_run ||
           what == step_put_merge || what == step_scrub;
}

static bool backs_up(life_step *what)
{
    return what == step_back_up || what == step_restore;
}

/* The code of what failed first. */
static bool code_fits(poise_code code, const struct fault_plan *plan)
{
    if (plan->kinds == FAULT_MEMORY) { /* for a larger map: that is not there, or the old one is gone */
        return code == POISE_ENOMEM ||
               (strcmp(fault_name(), "mmap") == 0 && (code == POISE_EFULL || code == POISE_EIO));
    }
    if (code == POISE_ECORRUPT) { /* LMDB's own lock, just after ours: it then reads what is not there */
        return strcmp(fault_name(), "fcntl") == 0 || plan->error == FAULT_SHORT;
    }
    bool full = plan->error == ENOSPC || plan->error == FAULT_SHORT;
    return code == POISE_EIO || (code == POISE_EFULL && full);
}

static uint64_t done(const struct life *life)
{
    return life->records + life->checkpoints + life->runs + life->merges;
}

/* A store that a write has broken says so from then on, and the next one has what was acknowledged, and at
 * most what failed. */
static void start_again(struct life *life)
{
    poise_error err = {0};
    uint64_t before = done(life);
    struct life found = *life;
    assert_int_equal(step_append(life, &err), POISE_EIO);
    assert_int_equal(step_checkpoint(life, &err), POISE_EIO);
    step_read(life, &err); /* whatever it says */
    step_close(life, NULL);
    assert_int_equal(step_open(life, &err), POISE_OK);
    found.records = store_last_lsn(life->store);
    found.checkpoints = store_mark(life->store).generation;
    rows_find(life, &found.runs, &found.merges);
    assert_true(found.records >= life->records && found.checkpoints >= life->checkpoints);
    assert_true(found.runs >= life->runs && found.merges >= life->merges);
    assert_true(done(&found) <= before + 1);
    life->records = found.records;
    life->checkpoints = found.checkpoints;
    life->runs = found.runs;
    life->merges = found.merges;
}

/* The step has failed, and is to be done after all; whether it was, where that is not known, is found out. */
static void do_after_all(struct life *life, life_step *what, poise_code code, bool from_then)
{
    poise_error err = {0};
    uint64_t before = done(life);
    life->met++;
    if (from_then) { /* it goes on failing, and nothing worse */
        for (int i = 0; i < 2 && what(life, &err) != POISE_OK; i++) {
        }
        fault_stop();
    } else if (backs_up(what)) {
        backups_check(life, what, true);
    }
    if (code == POISE_EIO && writes(what)) {
        start_again(life);
    }
    if (done(life) == before && what(life, &err) != POISE_OK) {
        fail_msg("it does not work again: %s", err.text);
    }
    if (!from_then && backs_up(what)) {
        backups_check(life, what, false);
    }
}

static void live(struct life *life, const struct script *script, const struct fault_plan *plan)
{
    for (size_t i = 0; i < script->count; i++) {
        poise_error err = {0};
        if (i == script->from) {
            fault_start(plan);
        }
        poise_code code = script->steps[i](life, &err);
        if (code == POISE_OK) {
            continue;
        }
        if (life->met > 0 || fault_hits() == 0 || !code_fits(code, plan) || err.code != code ||
            err.text[0] == '\0') {
            fail_msg("step %zu, at %s number %d: %s: %s", i, fault_name(), (int)plan->nth,
                     poise_code_name(code), err.text);
        }
        do_after_all(life, script->steps[i], code, plan->from_then);
    }
    fault_stop();
    if (strcmp(fault_name(), "openat") == 0) {
        assert_int_equal(life->met, 1); /* directories that are not synced are not passed over */
    }
}

static void check_store(const char *path, const struct life *lived)
{
    struct life life = *lived;
    life.path = path;
    assert_int_equal(step_open(&life, NULL), POISE_OK);
    assert_int_equal(store_last_lsn(life.store), life.records);
    assert_int_equal(store_chunks_lsn(life.store), life.runs);
    assert_int_equal(step_read(&life, NULL), POISE_OK);
    assert_int_equal(step_read_rows(&life, NULL), POISE_OK);
    assert_int_equal(step_get(&life, NULL), POISE_OK);
    assert_int_equal(step_walk(&life, NULL), POISE_OK);
    assert_int_equal(step_append(&life, NULL), POISE_OK);
    step_close(&life, NULL);
}

/* One life under a plan; returns how many calls there were that could fail. */
static uint64_t try_script(const struct script *script, const struct fault_plan *plan)
{
    void *path = NULL;
    char restored[PATH_MAX];
    assert_int_equal(scratch_make(&path), 0);
    struct fault_held before = fault_held();
    struct life life = {.path = path};
    live(&life, script, plan);
    uint64_t count = fault_count();
    check_store(path, &life);
    if (restored_path(&life, restored)) {
        life.records = life.backup_records;
        check_store(restored, &life);
    }
    struct fault_held after = fault_held();
    if (memcmp(&before, &after, sizeof before) != 0) {
        fail_msg("%s, number %d of them: leaks %d allocations, %d mappings, %d descriptors", fault_name(),
                 (int)plan->nth, (int)(after.allocations - before.allocations),
                 (int)(after.mappings - before.mappings), (int)(after.descriptors - before.descriptors));
    }
    assert_int_equal(scratch_remove(&path), 0);
    return count;
}

#define SCRIPT_TESTS(script)                                                                                 \
    static uint64_t try_##script(const struct fault_plan *plan)                                              \
    {                                                                                                        \
        return try_script(&script, plan);                                                                    \
    }                                                                                                        \
    FAULT_TEST_EVERY(allocation_of_##script, FAULT_MEMORY, 0, try_##script)                                  \
    FAULT_TEST_EVERY(call_eio_of_##script, FAULT_CALLS, EIO, try_##script)                                   \
    FAULT_TEST_EVERY(call_enospc_of_##script, FAULT_CALLS, ENOSPC, try_##script)                             \
    FAULT_TEST_EVERY(short_transfer_of_##script, FAULT_CALLS, FAULT_SHORT, try_##script)                     \
    FAULT_TEST_EVERY(interruption_of_##script, FAULT_CALLS, EINTR, try_##script)

SCRIPT_TESTS(plain_life)
SCRIPT_TESTS(rows_life)
SCRIPT_TESTS(backup_life)

#define TESTS_OF(script)                                                                                     \
    cmocka_unit_test(test_every_allocation_of_##script), cmocka_unit_test(test_every_call_eio_of_##script),  \
        cmocka_unit_test(test_every_call_enospc_of_##script),                                                \
        cmocka_unit_test(test_every_short_transfer_of_##script),                                             \
        cmocka_unit_test(test_every_interruption_of_##script)

int main(void)
{
    const struct CMUnitTest tests[] = {TESTS_OF(plain_life), TESTS_OF(rows_life), TESTS_OF(backup_life)};
    fault_scratch_in_memory();
    mallopt(M_MMAP_THRESHOLD,
            1 << 20); /* LMDB's list of pages comes as zeros, and is not written with them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
