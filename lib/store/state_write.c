#include "inner.h"
#include <base/error.h>
#include <errno.h>
#include <string.h>

enum { SWEEP_BLOCKS = 256, PAGES_BESIDES = 262144 };

static int list(struct store *store, MDB_txn *txn, const struct state_run *run, enum state_status status)
{
    struct state_run listed = *run;
    struct buf value = {0};
    uint8_t bytes[8];
    listed.status = status;
    if (status != STATE_RUN_WHOLE) {
        listed.filter.lines = 0; /* it is not there yet, or goes */
    }
    put_big64(run->id, bytes);
    state_run_describe(&listed, &value);
    int rc = value.failed ? ENOMEM
                          : value_put(txn, store->lmdb[LMDB_STATE_RUNS],
                                      (MDB_val){.mv_size = 8, .mv_data = bytes}, value.data, value.length);
    buf_free(&value);
    return rc;
}

/* ---- building ---- */

static int fill_slice(struct store *store, MDB_txn *txn, const void *work)
{
    const struct state_build *build = work;
    struct cursor puts = cursor_of(build->slice.data, build->slice.length);
    int rc = list(store, txn, &build->run, STATE_RUN_BUILDING);
    while (rc == 0 && cursor_left(&puts) > 0) {
        size_t key_length, length;
        uintptr_t key = (uintptr_t)cursor_text(&puts, &key_length); /* LMDB only reads it */
        const char *value = cursor_text(&puts, &length);
        rc = value_put(txn, store->lmdb[LMDB_STATE], (MDB_val){.mv_size = key_length, .mv_data = (void *)key},
                       value, length);
    }
    return rc;
}

poise_code state_put_slice(struct store *store, struct state_build *build, poise_error *err)
{
    uint64_t bytes = build->slice.length + PAGES_BESIDES;
    poise_code code = env_write(store, bytes, fill_slice, build, err);
    if (code == POISE_OK) {
        buf_reset(&build->slice);
    }
    return code;
}

/* ---- becoming whole ---- */

static int fill_whole(struct store *store, MDB_txn *txn, const void *work)
{
    const struct whole *whole = work;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < whole->count; i++) {
        rc = list(store, txn, &whole->runs[i], STATE_RUN_WHOLE);
    }
    for (size_t i = 0; rc == 0 && i < whole->source_count; i++) {
        rc = list(store, txn, &whole->sources[i], STATE_RUN_DROPPED);
    }
    return rc == 0 && whole->mark ? meta_put_mark(store, txn, whole->mark) : rc;
}

static size_t place_of(const struct state_runs *runs, uint64_t id)
{
    size_t at = 0;
    while (at < runs->count && runs->items[at].id != id) {
        at++;
    }
    return at;
}

static void drop(struct state_runs *runs, uint64_t id)
{
    size_t at = place_of(runs, id);
    struct state_run run = runs->items[at];
    state_remove(runs, at);
    filter_free(&run.filter);
    run.status = STATE_RUN_DROPPED;
    state_insert(runs, runs->count, &run);
}

poise_code state_make_whole(struct store *store, const struct whole *whole, poise_error *err)
{
    struct state_runs *runs = &store->runs;
    if (!state_reserve(runs, runs->count + whole->count)) {
        return error_nomem(err, "the list of runs");
    }
    poise_code code = env_write(store, PAGES_BESIDES, fill_whole, whole, err);
    if (code != POISE_OK) {
        return code;
    }
    size_t at = whole->source_count ? place_of(runs, whole->sources[0].id) : 0;
    for (size_t i = 0; i < whole->source_count; i++) {
        drop(runs, whole->sources[i].id);
    }
    for (size_t i = 0; i < whole->count; i++) {
        whole->runs[i].status = STATE_RUN_WHOLE;
        state_insert(runs, at, &whole->runs[i]);
        whole->runs[i].filter = (struct filter){0}; /* the list has it */
    }
    return POISE_OK;
}

void state_give_up(struct store *store, const struct state_run *run)
{
    struct state_run dropped = {.id = run->id, .rank = run->rank, .status = STATE_RUN_DROPPED};
    if (state_reserve(&store->runs, store->runs.count + 1)) { /* else the next start drops it */
        state_insert(&store->runs, store->runs.count, &dropped);
    }
}

/* ---- what was dropped ---- */

struct sweep {
    uint64_t run;
    bool *ret_done;
};

static int fill_sweep(struct store *store, MDB_txn *txn, const void *context)
{
    const struct sweep *sweep = context;
    uint8_t bytes[8];
    put_big64(sweep->run, bytes);
    int rc = 0;
    for (int i = 0; i < SWEEP_BLOCKS && rc == 0; i++) { /* sought anew each time: a deletion moves cursors */
        MDB_cursor *at;
        MDB_val key = {.mv_size = sizeof bytes, .mv_data = bytes}, stored;
        rc = mdb_cursor_open(txn, store->lmdb[LMDB_STATE], &at);
        if (rc != 0) {
            return rc;
        }
        rc = mdb_cursor_get(at, &key, &stored, MDB_SET_RANGE);
        *sweep->ret_done =
            rc == MDB_NOTFOUND ||
            (rc == 0 && (key.mv_size < sizeof bytes || memcmp(key.mv_data, bytes, sizeof bytes) != 0));
        if (rc == 0 && !*sweep->ret_done) {
            rc = mdb_cursor_del(at, 0);
        }
        mdb_cursor_close(at);
        if (*sweep->ret_done) {
            MDB_val listed = {.mv_size = sizeof bytes, .mv_data = bytes};
            rc = mdb_del(txn, store->lmdb[LMDB_STATE_RUNS], &listed, NULL);
            return rc == MDB_NOTFOUND ? 0 : rc;
        }
    }
    return rc;
}

poise_code state_sweep(struct store *store, poise_error *err)
{
    struct state_runs *runs = &store->runs;
    bool done = false;
    if (runs->count == runs->whole) {
        return POISE_OK;
    }
    struct sweep sweep = {.run = runs->items[runs->whole].id, .ret_done = &done};
    poise_code code = env_write(store, PAGES_BESIDES, fill_sweep, &sweep, err);
    if (code == POISE_OK && done) {
        state_remove(runs, runs->whole);
    }
    return code;
}
