#include "inner.h"
#include <base/error.h>
#include <base/hash.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_FILTER = 0, KIND_BLOCK = 1, STATE_RUNS_MAX = 65536 };

/* ---- keys in LMDB ---- */

static size_t put_head(uint64_t run, uint8_t kind, uint8_t *bytes)
{
    put_big64(run, bytes);
    bytes[8] = kind;
    return STATE_HEAD_BYTES;
}

size_t state_filter_key(uint64_t run, uint32_t part, uint8_t bytes[STATE_FILTER_KEY])
{
    size_t length = put_head(run, KIND_FILTER, bytes);
    for (int i = 0; i < 4; i++) {
        bytes[length++] = (uint8_t)(part >> (24 - 8 * i));
    }
    return length;
}

size_t state_block_key(uint64_t run, const uint8_t *first, size_t length, uint8_t bytes[STATE_BLOCK_KEY_MAX])
{
    size_t head = put_head(run, KIND_BLOCK, bytes);
    if (length > 0) {
        memcpy(bytes + head, first, length);
    }
    return head + length;
}

/* ---- the list of runs ---- */

uint64_t state_run_entries(const struct state_run *run)
{
    uint64_t entries = 0;
    for (int i = 0; i < STORE_TABLES; i++) {
        entries += run->entries[i];
    }
    return entries;
}

void state_run_describe(const struct state_run *run, struct buf *out)
{
    buf_put_u8(out, (uint8_t)run->status);
    buf_put_varint(out, run->rank);
    buf_put_varint(out, run->cleared);
    buf_put_varint(out, run->bytes);
    buf_put_varint(out, run->filter.lines);
    for (int i = 0; i < STORE_TABLES; i++) {
        buf_put_varint(out, run->entries[i]);
        buf_put_varint(out, run->table_bytes[i]);
    }
}

poise_code state_run_read(const struct store *store, const MDB_val *key, const MDB_val *listed,
                          struct state_run *ret_run, size_t *ret_filter_lines, poise_error *err)
{
    struct cursor in;
    poise_code code = value_check(store, "state_runs", key, listed, &in, err);
    if (code != POISE_OK) {
        return code;
    }
    unsigned status = cursor_u8(&in);
    struct state_run run = {.status = (enum state_status)status};
    run.rank = cursor_varint(&in);
    run.cleared = (uint32_t)cursor_varint(&in);
    run.bytes = cursor_varint(&in);
    uint64_t lines = cursor_varint(&in);
    for (int i = 0; i < STORE_TABLES && cursor_left(&in) > 0; i++) { /* older versions have fewer */
        run.entries[i] = cursor_varint(&in);
        run.table_bytes[i] = cursor_varint(&in);
    }
    if (in.failed || status > STATE_RUN_DROPPED || key->mv_size != 8 ||
        (status == STATE_RUN_WHOLE && lines > run.bytes / FILTER_LINE)) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: its list of runs; restore a backup",
                         store->path);
    }
    run.id = big64(key->mv_data);
    *ret_run = run;
    *ret_filter_lines = (size_t)lines;
    return POISE_OK;
}

static poise_code load_filter_part(const struct store *store, MDB_txn *txn, struct state_run *run,
                                   uint32_t part, size_t *left, poise_error *err)
{
    uint8_t bytes[STATE_FILTER_KEY];
    MDB_val key = {.mv_size = state_filter_key(run->id, part, bytes), .mv_data = bytes}, stored;
    struct cursor value;
    int rc = mdb_get(txn, store->lmdb[LMDB_STATE], &key, &stored);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return env_error(store, rc, "read the filter of a run", err);
    }
    if (rc == MDB_NOTFOUND) {
        return error_set(err, POISE_ECORRUPT,
                         "%s is damaged: the filter of run %llu lacks a part; restore a backup", store->path,
                         (unsigned long long)run->id);
    }
    poise_code code = value_check(store, "state", &key, &stored, &value, err);
    size_t length = cursor_left(&value), done = run->filter.lines * FILTER_LINE - *left;
    if (code == POISE_OK && (length == 0 || length > *left)) {
        code = error_set(err, POISE_ECORRUPT, "%s is damaged: the filter of run %llu; restore a backup",
                         store->path, (unsigned long long)run->id);
    }
    if (code == POISE_OK) {
        memcpy((uint8_t *)run->filter.words + done, value.at, length);
        *left -= length;
    }
    return code;
}

static bool fits_file(const struct store *store, size_t lines)
{
    MDB_envinfo info;
    MDB_stat stat;
    bool known = mdb_env_info(store->env, &info) == 0 && mdb_env_stat(store->env, &stat) == 0;
    return known && lines / (info.me_last_pgno + 1) <= stat.ms_psize / FILTER_LINE;
}

static poise_code load_filter(const struct store *store, MDB_txn *txn, struct state_run *run, size_t lines,
                              poise_error *err)
{
    size_t left = lines * FILTER_LINE;
    poise_code code = POISE_OK;
    if (lines == 0) {
        return POISE_OK;
    }
    if (!fits_file(store, lines)) {
        return error_set(err, POISE_ECORRUPT,
                         "%s is damaged: the filter of run %llu is larger than the file; restore a backup",
                         store->path, (unsigned long long)run->id);
    }
    if (!filter_make(&run->filter, (lines - 1) * FILTER_KEYS)) {
        return error_nomem(err, "the filter of a run");
    }
    for (uint32_t part = 0; left > 0 && code == POISE_OK; part++) {
        code = load_filter_part(store, txn, run, part, &left, err);
    }
    return code;
}

uint64_t state_new_id(struct state_runs *runs)
{
    return runs->next_id++;
}

bool state_reserve(struct state_runs *runs, size_t count)
{
    if (count > runs->capacity) {
        size_t capacity = 2 * count;
        struct state_run *items = realloc(runs->items, capacity * sizeof *items);
        if (!items) {
            return false;
        }
        runs->items = items;
        runs->capacity = capacity;
    }
    return true;
}

void state_insert(struct state_runs *runs, size_t at, const struct state_run *run)
{
    memmove(runs->items + at + 1, runs->items + at, (runs->count - at) * sizeof *runs->items);
    runs->items[at] = *run;
    runs->count++;
    runs->whole += run->status == STATE_RUN_WHOLE;
}

void state_remove(struct state_runs *runs, size_t at)
{
    struct state_run *run = &runs->items[at];
    runs->whole -= run->status == STATE_RUN_WHOLE;
    runs->count--;
    memmove(run, run + 1, (runs->count - at) * sizeof *run);
}

void state_free(struct state_runs *runs)
{
    for (size_t i = 0; i < runs->count; i++) {
        filter_free(&runs->items[i].filter);
    }
    free(runs->items);
    *runs = (struct state_runs){0};
}

static poise_code load_run(const struct store *store, MDB_txn *txn, const MDB_val *key, const MDB_val *stored,
                           bool filters, struct state_runs *runs, poise_error *err)
{
    struct state_run run = {0};
    size_t lines, at = 0;
    poise_code code = state_run_read(store, key, stored, &run, &lines, err);
    if (code == POISE_OK && runs->count == STATE_RUNS_MAX) {
        code = error_set(err, POISE_ELIMIT, "%s has more than %d runs of state", store->path, STATE_RUNS_MAX);
    }
    if (code == POISE_OK && run.status == STATE_RUN_WHOLE && filters) {
        code = load_filter(store, txn, &run, lines, err);
    }
    if (code != POISE_OK) {
        filter_free(&run.filter);
        return code;
    }
    run.status = run.status == STATE_RUN_WHOLE ? STATE_RUN_WHOLE
                                               : STATE_RUN_DROPPED; /* what was being built is garbage */
    while (at < runs->whole && (run.status != STATE_RUN_WHOLE || runs->items[at].rank > run.rank)) {
        at++;
    }
    runs->next_id = run.id >= runs->next_id ? run.id + 1 : runs->next_id;
    if (!state_reserve(runs, runs->count + 1)) {
        filter_free(&run.filter);
        return error_nomem(err, "the list of runs");
    }
    state_insert(runs, at, &run);
    return POISE_OK;
}

poise_code state_load(const struct store *store, MDB_txn *txn, bool filters, struct state_runs *runs,
                      poise_error *err)
{
    MDB_cursor *at;
    MDB_val key, stored;
    poise_code code = POISE_OK;
    runs->next_id = 1;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_STATE_RUNS], &at);
    if (rc != 0) {
        return env_error(store, rc, "read the list of runs", err);
    }
    while (code == POISE_OK && (rc = mdb_cursor_get(at, &key, &stored, MDB_NEXT)) == 0) {
        code = load_run(store, txn, &key, &stored, filters, runs, err);
    }
    mdb_cursor_close(at);
    return code != POISE_OK || rc == MDB_NOTFOUND ? code : env_error(store, rc, "read the list of runs", err);
}

/* ---- one entry ---- */

static poise_code get_from(const struct store *store, MDB_txn *txn, const struct state_run *run,
                           const uint8_t *key, size_t length, bool *ret_found, struct buf *out,
                           poise_error *err)
{
    struct state_reader reader;
    struct sorted_entry entry;
    poise_code code = state_reader_open(store, txn, run, 1, key, length, &reader, err);
    if (code != POISE_OK) {
        return code;
    }
    code = state_reader_next(&reader, &entry, err);
    *ret_found = code == POISE_OK && sorted_compare(entry.key, entry.key_length, key, length) == 0;
    if (*ret_found && entry.value) {
        buf_put(out, entry.value, entry.value_length);
        code = out->failed ? error_nomem(err, "a value of the store") : POISE_OK;
    } else if (code == POISE_OK) {
        code = POISE_ENOTFOUND;
    }
    state_reader_close(&reader);
    return code;
}

void state_expect(const struct store *store, const uint8_t *key, size_t length)
{
    uint64_t hash = hash64(key, length, 0);
    for (size_t i = 0; i < store->runs.whole; i++) {
        const struct state_run *run = &store->runs.items[i];
        if (run->entries[key[0] % STORE_TABLES] > 0 && run->filter.lines > 0) {
            __builtin_prefetch(filter_line(&run->filter, hash));
        }
    }
    __asm__ volatile(""); /* else gcc takes it for a function without effect, and drops its calls */
}

poise_code state_get(const struct store *store, MDB_txn *txn, const struct state_runs *runs,
                     const uint8_t *key, size_t length, struct buf *out, poise_error *err)
{
    uint64_t hash = hash64(key, length, 0);
    bool found = false;
    poise_code code = POISE_ENOTFOUND;
    for (size_t i = 0; i < runs->whole && code == POISE_ENOTFOUND && !found; i++) {
        const struct state_run *run = &runs->items[i];
        bool may_have = run->filter.lines == 0 || filter_may_have(&run->filter, hash);
        if (run->entries[key[0] % STORE_TABLES] > 0 && may_have) {
            code = get_from(store, txn, run, key, length, &found, out, err);
        }
        if (run->cleared >> (key[0] & 31) & 1) {
            break;
        }
    }
    return code;
}
