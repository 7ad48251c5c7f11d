#include "inner.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

void run_reader_close(struct run_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        if (reader->cursors[i].at) {
            mdb_cursor_close(reader->cursors[i].at);
        }
    }
    free(reader->cursors);
    *reader = (struct run_reader){0};
}

static poise_code damaged(const struct run_reader *reader, const struct run_cursor *cursor, poise_error *err)
{
    return error_set(err, POISE_ECORRUPT, "%s is damaged: a block of run %llu of its state; restore a backup",
                     reader->store->path, (unsigned long long)cursor->run);
}

/* Moves the LMDB cursor and opens the block there, if it is the run's. */
static poise_code open_block(struct run_reader *reader, struct run_cursor *cursor, MDB_cursor_op op,
                             MDB_val *key, bool *ret_there, poise_error *err)
{
    uint8_t prefix[RUN_BLOCK_KEY_MAX];
    size_t length = run_block_key(cursor->run, NULL, 0, prefix);
    MDB_val stored;
    struct cursor block;
    *ret_there = false;
    int rc = mdb_cursor_get(cursor->at, key, &stored, op);
    if (rc == MDB_NOTFOUND) {
        return POISE_OK;
    }
    if (rc != 0) {
        return env_error(reader->store, rc, "read a run", err);
    }
    if (key->mv_size < length || memcmp(key->mv_data, prefix, length) != 0) {
        return POISE_OK;
    }
    poise_code code = value_check(reader->store, "state", key, &stored, &block, err);
    if (code == POISE_OK) {
        *ret_there = true;
        sorted_open(&cursor->block, block.at, cursor_left(&block));
    }
    return code;
}

static poise_code advance(struct run_reader *reader, struct run_cursor *cursor, poise_error *err)
{
    bool there = true;
    cursor->has = sorted_next(&cursor->block, &cursor->entry);
    while (!cursor->has && there) {
        MDB_val key;
        if (cursor->block.failed) {
            return damaged(reader, cursor, err);
        }
        poise_code code = open_block(reader, cursor, MDB_NEXT, &key, &there, err);
        if (code != POISE_OK) {
            return code;
        }
        cursor->has = there && sorted_next(&cursor->block, &cursor->entry);
    }
    return POISE_OK;
}

/* The block that holds the key, if any does, is the last one whose first entry is not above it. */
static poise_code seek(struct run_reader *reader, struct run_cursor *cursor, const uint8_t *key,
                       size_t length, poise_error *err)
{
    uint8_t bytes[RUN_BLOCK_KEY_MAX];
    const MDB_val wanted = {.mv_size = run_block_key(cursor->run, key, length, bytes), .mv_data = bytes};
    MDB_val at = wanted, stored;
    bool there = false;
    int rc = mdb_cursor_get(cursor->at, &at, &stored, MDB_SET_RANGE);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return env_error(reader->store, rc, "read a run", err);
    }
    bool is_first = rc == 0 && at.mv_size == wanted.mv_size && memcmp(at.mv_data, bytes, at.mv_size) == 0;
    MDB_cursor_op op = rc == MDB_NOTFOUND ? MDB_LAST : is_first ? MDB_GET_CURRENT : MDB_PREV;
    poise_code code = open_block(reader, cursor, op, &at, &there, err);
    if (code == POISE_OK && !there) { /* all of the run is above the key */
        at = wanted;
        code = open_block(reader, cursor, MDB_SET_RANGE, &at, &there, err);
    }
    if (code == POISE_OK && there) {
        sorted_seek(&cursor->block, key, length);
        return advance(reader, cursor, err);
    }
    return code;
}

poise_code run_reader_open(const struct store *store, MDB_txn *txn, const struct run *runs, size_t count,
                           const uint8_t *key, size_t length, struct run_reader *ret_reader, poise_error *err)
{
    struct run_reader reader = {.store = store, .count = count};
    reader.cursors = calloc(count ? count : 1, sizeof *reader.cursors);
    poise_code code = reader.cursors ? POISE_OK : error_nomem(err, "a reader of runs");
    if (code != POISE_OK) {
        return code;
    }
    for (size_t i = 0; i < count && code == POISE_OK; i++) {
        struct run_cursor *cursor = &reader.cursors[i];
        cursor->run = runs[i].id;
        cursor->cleared = runs[i].cleared;
        int rc = mdb_cursor_open(txn, store->state, &cursor->at);
        code = rc == 0 ? seek(&reader, cursor, key, length, err) : env_error(store, rc, "read a run", err);
    }
    reader.last = count;
    if (code != POISE_OK) {
        run_reader_close(&reader);
        return code;
    }
    *ret_reader = reader;
    return POISE_OK;
}

static bool is_hidden(const struct run_reader *reader, size_t by)
{
    uint32_t table = UINT32_C(1) << (reader->cursors[by].entry.key[0] & 31);
    for (size_t i = 0; i < by; i++) {
        if (reader->cursors[i].cleared & table) {
            return true;
        }
    }
    return false;
}

/* The lowest key, of the newest run that has it; others that have it go on. */
static poise_code choose(struct run_reader *reader, poise_error *err)
{
    size_t chosen = reader->count;
    for (size_t i = 0; i < reader->count; i++) {
        struct run_cursor *cursor = &reader->cursors[i];
        if (!cursor->has) {
            continue;
        }
        const struct sorted_entry *best = chosen < reader->count ? &reader->cursors[chosen].entry : NULL;
        int order =
            best ? sorted_compare(cursor->entry.key, cursor->entry.key_length, best->key, best->key_length)
                 : -1;
        if (order < 0) {
            chosen = i;
        } else if (order == 0) {
            poise_code code = advance(reader, cursor, err);
            if (code != POISE_OK) {
                return code;
            }
        }
    }
    reader->last = chosen;
    return POISE_OK;
}

poise_code run_reader_next(struct run_reader *reader, struct sorted_entry *ret_entry, poise_error *err)
{
    do {
        poise_code code = POISE_OK;
        if (reader->last < reader->count) {
            code = advance(reader, &reader->cursors[reader->last], err);
        }
        if (code == POISE_OK) {
            code = choose(reader, err);
        }
        if (code != POISE_OK) {
            return code;
        }
        if (reader->last == reader->count) {
            return POISE_ENOTFOUND;
        }
    } while (is_hidden(reader, reader->last));
    *ret_entry = reader->cursors[reader->last].entry;
    return POISE_OK;
}
