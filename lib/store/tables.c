#include "inner.h"
#include <base/error.h>
#include <base/hash.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *const table_names[STORE_TABLES] = {
    [STORE_HEAD] = "head",           [STORE_ORGS] = "orgs",
    [STORE_SOURCES] = "sources",     [STORE_UNITS] = "units",
    [STORE_CELLS] = "cells",         [STORE_KEYS] = "keys",
    [STORE_FUTURE] = "future",       [STORE_REVISIONS] = "revisions",
    [STORE_PRODUCERS] = "producers", [STORE_DEFINITIONS] = "definitions",
    [STORE_SERIES] = "series",       [STORE_CHUNKS] = "chunks",
    [STORE_RUNS] = "runs",
};

/* ---- values ---- */

/* The key's too, so that a value under the wrong key shows. */
static uint32_t crc_of(const MDB_val *key, const void *value, size_t length)
{
    return crc32c(key->mv_data, key->mv_size) ^ crc32c(value, length);
}

int value_put(MDB_txn *txn, MDB_dbi dbi, MDB_val key, const void *value, size_t length)
{
    MDB_val stored = {.mv_size = VALUE_CRC + length};
    int rc = mdb_put(txn, dbi, &key, &stored, MDB_RESERVE);
    if (rc != 0) {
        return rc;
    }
    struct buf out = {.data = stored.mv_data, .capacity = stored.mv_size}; /* filled exactly: never grows */
    buf_put_u32(&out, crc_of(&key, value, length));
    buf_put(&out, value, length);
    return 0;
}

poise_code value_check(const struct store *store, const char *table, const MDB_val *key,
                       const MDB_val *stored, struct cursor *ret_value, poise_error *err)
{
    struct cursor value = cursor_of(stored->mv_data, stored->mv_size);
    uint32_t crc = cursor_u32(&value);
    if (value.failed || crc != crc_of(key, value.at, cursor_left(&value))) {
        char hex[2 * 24 + 1] = "";
        const uint8_t *bytes = key->mv_data;
        for (size_t i = 0; i < key->mv_size && i < 24; i++) {
            hex[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
            hex[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
        }
        return error_set(err, POISE_ECORRUPT, "%s is damaged: the CRC of entry %s in table %s does not match",
                         store->path, hex, table);
    }
    *ret_value = value;
    return POISE_OK;
}

/* ---- reading ---- */

static poise_code get(struct store *store, enum store_table table, MDB_val key, struct buf *out,
                      poise_error *err)
{
    MDB_val stored;
    struct cursor value;
    int rc = mdb_get(store->view, store->tables[table], &key, &stored);
    if (rc == MDB_NOTFOUND) {
        return error_set(err, POISE_ENOTFOUND, "no such entry in table %s", table_names[table]);
    }
    if (rc != 0) {
        return env_error(store, rc, "read a table", err);
    }
    poise_code code = value_check(store, table_names[table], &key, &stored, &value, err);
    if (code == POISE_OK) {
        buf_put(out, value.at, cursor_left(&value));
        code = out->failed ? error_nomem(err, "a value of the store") : POISE_OK;
    }
    return code;
}

/* The writer thread's own transaction needs no gate: only this thread grows the map. */
poise_code store_get(struct store *store, enum store_table table, const void *key, size_t length,
                     struct buf *out, poise_error *err)
{
    int rc = mdb_txn_renew(store->view);
    if (rc != 0) {
        return env_error(store, rc, "begin to read", err);
    }
    uintptr_t bytes = (uintptr_t)key; /* LMDB only reads it */
    poise_code code = get(store, table, (MDB_val){.mv_size = length, .mv_data = (void *)bytes}, out, err);
    mdb_txn_reset(store->view);
    return code;
}

static poise_code walk(struct store *store, enum store_table table, MDB_cursor *at,
                       poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                       void *visitor, poise_error *err)
{
    MDB_val key, stored;
    int rc;
    while ((rc = mdb_cursor_get(at, &key, &stored, MDB_NEXT)) == 0) {
        struct cursor value;
        poise_code code = value_check(store, table_names[table], &key, &stored, &value, err);
        if (code == POISE_OK) {
            code = visit(visitor, cursor_of(key.mv_data, key.mv_size), value);
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    return rc == MDB_NOTFOUND ? POISE_OK : env_error(store, rc, "walk a table", err);
}

poise_code store_walk(struct store *store, enum store_table table,
                      poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                      void *visitor, poise_error *err)
{
    MDB_txn *txn;
    MDB_cursor *at;
    poise_code code = env_read(store, &txn, err);
    if (code != POISE_OK) {
        return code;
    }
    int rc = mdb_cursor_open(txn, store->tables[table], &at);
    if (rc == 0) {
        code = walk(store, table, at, visit, visitor, err);
        mdb_cursor_close(at);
    } else {
        code = env_error(store, rc, "walk a table", err);
    }
    env_read_end(store, txn);
    return code;
}

/* ---- checkpoints ---- */

/* Puts are collected and done in one short transaction at commit: it can then be done again when the map had
 * to grow, and none is open while the engine works. */
enum op { OP_PUT, OP_DELETE, OP_CLEAR };

static void end_checkpoint(struct store *store)
{
    buf_free(&store->checkpoint.ops); /* the next one may be much smaller */
    store->checkpoint = (struct checkpoint){0};
}

poise_code store_checkpoint_begin(struct store *store, poise_error *err)
{
    if (store->checkpoint.open) {
        return error_set(err, POISE_EINVAL, "a checkpoint of %s has begun already", store->path);
    }
    store->checkpoint.open = true;
    return POISE_OK;
}

static poise_code add_op(struct store *store, enum op op, enum store_table table, const void *key,
                         size_t key_length, const void *value, size_t value_length)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    poise_code code = POISE_OK;
    if (!checkpoint->open || (op != OP_CLEAR && (key_length == 0 || key_length > KEY_MAX)) ||
        value_length > UINT32_MAX - VALUE_CRC) {
        code = POISE_EINVAL;
    } else {
        buf_put_u8(&checkpoint->ops, (uint8_t)op);
        buf_put_u8(&checkpoint->ops, (uint8_t)table);
        buf_put_text(&checkpoint->ops, key, key_length);
        buf_put_text(&checkpoint->ops, value, value_length);
        code = checkpoint->ops.failed ? POISE_ENOMEM : POISE_OK;
        checkpoint->count++;
    }
    if (checkpoint->failed == POISE_OK) {
        checkpoint->failed = code;
    }
    return code;
}

poise_code store_put(struct store *store, enum store_table table, const void *key, size_t key_length,
                     const void *value, size_t value_length)
{
    return add_op(store, value ? OP_PUT : OP_DELETE, table, key, key_length, value, value ? value_length : 0);
}

poise_code store_clear(struct store *store, enum store_table table)
{
    return add_op(store, OP_CLEAR, table, NULL, 0, NULL, 0);
}

static int do_op(struct store *store, MDB_txn *txn, struct cursor *ops)
{
    size_t key_length, value_length;
    enum op op = cursor_u8(ops);
    MDB_dbi dbi = store->tables[cursor_u8(ops)];
    uintptr_t key_at = (uintptr_t)cursor_text(ops, &key_length);
    const char *value = cursor_text(ops, &value_length);
    MDB_val key = {.mv_size = key_length, .mv_data = (void *)key_at};
    if (op == OP_CLEAR) {
        return mdb_drop(txn, dbi, 0);
    }
    if (op == OP_PUT) {
        return value_put(txn, dbi, key, value, value_length);
    }
    int rc = mdb_del(txn, dbi, &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int fill_checkpoint(struct store *store, MDB_txn *txn, const void *work)
{
    struct cursor ops = cursor_of(store->checkpoint.ops.data, store->checkpoint.ops.length);
    int rc = 0;
    while (rc == 0 && cursor_left(&ops) > 0) {
        rc = do_op(store, txn, &ops);
    }
    return rc == 0 ? meta_put_mark(store, txn, work) : rc;
}

static poise_code commit_checkpoint(struct store *store, const struct store_mark *mark, poise_error *err)
{
    if (!store->checkpoint.open) {
        return error_set(err, POISE_EINVAL, "no checkpoint of %s has begun", store->path);
    }
    if (store->checkpoint.failed != POISE_OK) {
        return error_set(err, store->checkpoint.failed, "a put of the checkpoint failed before: %s",
                         poise_code_text(store->checkpoint.failed));
    }
    if (mark->state_lsn > store_last_lsn(store)) {
        return error_set(err, POISE_EINVAL,
                         "a checkpoint of record %" PRIu64 ", but the journal ends at %" PRIu64,
                         mark->state_lsn, store_last_lsn(store));
    }
    uint64_t bytes = 2 * store->checkpoint.ops.length + 65536;
    return env_write(store, bytes, fill_checkpoint, mark, err);
}

poise_code store_checkpoint_commit(struct store *store, const struct store_mark *mark, poise_error *err)
{
    poise_code code = commit_checkpoint(store, mark, err);
    if (code == POISE_OK) {
        store->mark = *mark;
    }
    end_checkpoint(store);
    return code;
}

void store_checkpoint_abort(struct store *store)
{
    end_checkpoint(store);
}
