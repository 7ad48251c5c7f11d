/* The store: whichever allocation or system call fails, nothing acknowledged is lost, nothing leaks, the
 * codes are those that store.h promises, and it works again afterwards. Every n of a small life of a store.
 */
#include "fault.h"
#include <base/buf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/store/scratch.h>

enum { LENGTH = 9000, MAP_FIRST = 192 << 10, MAP_WIDE = 32 << 20, KEYS = 40 };

/* ---- what a life consists of ---- */

struct life {
    const char *path;
    struct store *store;
    uint64_t records;     /* acknowledged */
    uint64_t checkpoints; /* likewise; the n-th sets each key to n */
    bool unsure;          /* one more of either may be there */
    size_t met;           /* how many steps saw a failure */
};

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
    assert_memory_equal(value.at, value.at + 1, 199);
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
    return store_walk(life->store, STORE_CELLS, check_value, life, err);
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
    assert_memory_equal(body, body + 1, LENGTH - 1);
    assert_memory_equal(record->changes, "changes", 7);
    return POISE_OK;
}

static poise_code step_read(struct life *life, poise_error *err)
{
    struct store_reader *reader = NULL;
    uint64_t seen = 0;
    poise_code code = store_reader_open(life->store, &reader, err);
    if (code == POISE_OK) {
        code = store_read_journal(reader, 1, UINT64_MAX, NULL, check_record, &seen, err);
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

typedef poise_code step(struct life *life, poise_error *err);
static step *const steps[] = {
    step_open,       step_append, step_append,     step_checkpoint, step_get,    step_walk,
    step_read,       step_append, step_append,     step_append,     step_append, /* the map grows */
    step_append,     step_append, step_append,     step_append,     step_append, step_append,
    step_append,     step_append, step_append,     step_append,     step_append, step_append,
    step_append,     step_append, step_checkpoint, step_tidy,       step_stats,  step_close,
    step_open,       step_append, step_get,        step_read,       step_close,  step_open_wide,
    step_checkpoint, step_tidy,   step_get,        step_walk,       step_close,  step_open_to_read,
    step_read,       step_walk,   step_close,
};
enum { STEPS = sizeof steps / sizeof *steps };

/* ---- when one of them fails ---- */

static bool writes(step *what)
{
    return what == step_append || what == step_checkpoint || what == step_tidy;
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

/* A store that a write has broken says so from then on, and the next one has what was acknowledged. */
static void start_again(struct life *life)
{
    poise_error err = {0};
    uint64_t records = life->records, checkpoints = life->checkpoints;
    assert_int_equal(step_append(life, &err), POISE_EIO);
    assert_int_equal(step_checkpoint(life, &err), POISE_EIO);
    step_read(life, &err); /* whatever it says */
    step_close(life, NULL);
    assert_int_equal(step_open(life, &err), POISE_OK);
    life->records = store_last_lsn(life->store);
    life->checkpoints = store_mark(life->store).generation;
    assert_true(life->records == records || life->records == records + 1);
    assert_true(life->checkpoints == checkpoints || life->checkpoints == checkpoints + 1);
}

/* The step has failed, and is to be done after all; whether it was, where that is not known, is found out. */
static void do_after_all(struct life *life, step *what, poise_code code, bool from_then)
{
    poise_error err = {0};
    uint64_t records = life->records, checkpoints = life->checkpoints;
    life->met++;
    if (from_then) { /* it goes on failing, and nothing worse */
        for (int i = 0; i < 2 && what(life, &err) != POISE_OK; i++) {
        }
        fault_stop();
    }
    if (code == POISE_EIO && writes(what)) {
        start_again(life);
    }
    if (life->records == records && life->checkpoints == checkpoints && what(life, &err) != POISE_OK) {
        fail_msg("it does not work again: %s", err.text);
    }
}

static void live(struct life *life, const struct fault_plan *plan)
{
    fault_start(plan);
    for (size_t i = 0; i < STEPS; i++) {
        poise_error err = {0};
        poise_code code = steps[i](life, &err);
        if (code == POISE_OK) {
            continue;
        }
        if (fault_hits() == 0 || !code_fits(code, plan) || err.code != code || err.text[0] == '\0') {
            fail_msg("step %zu, at %s number %d: %s: %s", i, fault_name(), (int)plan->nth,
                     poise_code_name(code), err.text);
        }
        do_after_all(life, steps[i], code, plan->from_then);
    }
    fault_stop();
}

static void check_all(const char *path, const struct life *lived)
{
    struct life life = {.path = path, .records = lived->records, .checkpoints = lived->checkpoints};
    assert_int_equal(step_open(&life, NULL), POISE_OK);
    assert_int_equal(store_last_lsn(life.store), life.records);
    assert_int_equal(step_read(&life, NULL), POISE_OK);
    assert_int_equal(step_get(&life, NULL), POISE_OK);
    assert_int_equal(step_walk(&life, NULL), POISE_OK);
    assert_int_equal(step_append(&life, NULL), POISE_OK);
    step_close(&life, NULL);
}

/* One life under a plan; returns how many calls there were that could fail. */
static uint64_t try_plan(const struct fault_plan *plan)
{
    void *path = NULL;
    assert_int_equal(scratch_make(&path), 0);
    struct fault_held before = fault_held();
    struct life life = {.path = path};
    live(&life, plan);
    uint64_t count = fault_count();
    check_all(path, &life);
    struct fault_held after = fault_held();
    if (memcmp(&before, &after, sizeof before) != 0) {
        fail_msg("%s, number %d of them: leaks %d allocations, %d mappings, %d descriptors", fault_name(),
                 (int)plan->nth, (int)(after.allocations - before.allocations),
                 (int)(after.mappings - before.mappings), (int)(after.descriptors - before.descriptors));
    }
    assert_int_equal(scratch_remove(&path), 0);
    return count;
}

FAULT_TEST_EVERY(allocation, FAULT_MEMORY, 0, try_plan)
FAULT_TEST_EVERY(call_eio, FAULT_CALLS, EIO, try_plan)
FAULT_TEST_EVERY(call_enospc, FAULT_CALLS, ENOSPC, try_plan)
FAULT_TEST_EVERY(short_transfer, FAULT_CALLS, FAULT_SHORT, try_plan)
FAULT_TEST_EVERY(interruption, FAULT_CALLS, EINTR, try_plan)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),   cmocka_unit_test(test_every_call_eio),
        cmocka_unit_test(test_every_call_enospc),  cmocka_unit_test(test_every_short_transfer),
        cmocka_unit_test(test_every_interruption),
    };
    fault_scratch_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
