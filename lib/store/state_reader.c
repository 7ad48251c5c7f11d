#include "inner.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

void state_reader_close(struct state_reader *reader)
{
    for (size_t i = 0; reader->cursors && i < reader->count; i++) {
        if (reader->cursors[i].at) {
            mdb_cursor_close(reader->cursors[i].at);
        }
    }
    free(reader->cursors);
    free(reader->heap);
    *reader = (struct state_reader){0};
}

static poise_code damaged(const struct state_reader *reader, const struct state_cursor *cursor,
                          poise_error *err)
{
    return error_set(err, POISE_ECORRUPT, "%s is damaged: a block of run %llu of its state; restore a backup",
                     reader->store->path, (unsigned long long)cursor->run);
}

/* Moves the LMDB cursor and opens the block there, if it is the run's. */
static poise_code open_block(struct state_reader *reader, struct state_cursor *cursor, MDB_cursor_op op,
                             MDB_val *key, bool *ret_there, poise_error *err)
{
    uint8_t prefix[STATE_BLOCK_KEY_MAX];
    size_t length = state_block_key(cursor->run, NULL, 0, prefix);
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
    const uint8_t *at_hand = cursor->block.block, *found = (const uint8_t *)stored.mv_data + VALUE_CRC;
    poise_code code = POISE_OK;
    if (found == at_hand) { /* and was checked */
        block = cursor_of(found, stored.mv_size - VALUE_CRC);
    } else {
        code = value_check(reader->store, "state", key, &stored, &block, err);
    }
    if (code == POISE_OK) {
        *ret_there = true;
        sorted_open(&cursor->block, block.at, cursor_left(&block));
    }
    return code;
}

static poise_code advance(struct state_reader *reader, struct state_cursor *cursor, poise_error *err)
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
static poise_code seek(struct state_reader *reader, struct state_cursor *cursor, const uint8_t *key,
                       size_t length, poise_error *err)
{
    uint8_t bytes[STATE_BLOCK_KEY_MAX];
    const MDB_val wanted = {.mv_size = state_block_key(cursor->run, key, length, bytes), .mv_data = bytes};
    MDB_val at = wanted, stored;
    bool there = false;
    cursor->has = false;
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

/* ---- the lowest key of all, of equal ones the newest ---- */

static bool is_before(const struct state_reader *reader, uint32_t a, uint32_t b)
{
    const struct sorted_entry *left = &reader->cursors[a].entry, *right = &reader->cursors[b].entry;
    int order = sorted_compare(left->key, left->key_length, right->key, right->key_length);
    return order != 0 ? order < 0 : a < b;
}

static void sift_down(struct state_reader *reader, size_t at)
{
    uint32_t *heap = reader->heap;
    for (size_t child; (child = 2 * at + 1) < reader->heap_count; at = child) {
        if (child + 1 < reader->heap_count && is_before(reader, heap[child + 1], heap[child])) {
            child++;
        }
        if (!is_before(reader, heap[child], heap[at])) {
            return;
        }
        uint32_t swapped = heap[at];
        heap[at] = heap[child];
        heap[child] = swapped;
    }
}

/* The cursor on top has gone on: to where it belongs. */
static void place_top(struct state_reader *reader)
{
    if (!reader->cursors[reader->heap[0]].has) {
        reader->heap[0] = reader->heap[--reader->heap_count];
    }
    sift_down(reader, 0);
}

static poise_code advance_top(struct state_reader *reader, poise_error *err)
{
    poise_code code = advance(reader, &reader->cursors[reader->heap[0]], err);
    place_top(reader);
    return code;
}

static const struct sorted_entry *top(const struct state_reader *reader)
{
    return reader->heap_count > 0 ? &reader->cursors[reader->heap[0]].entry : NULL;
}

static bool is_hidden(const struct state_reader *reader)
{
    uint32_t by = reader->heap[0], table = UINT32_C(1) << (top(reader)->key[0] & 31);
    for (uint32_t i = 0; i < by; i++) {
        if (reader->cursors[i].cleared & table) {
            return true;
        }
    }
    return false;
}

poise_code state_reader_next(struct state_reader *reader, struct sorted_entry *ret_entry, poise_error *err)
{
    const struct sorted_entry *entry;
    while ((entry = top(reader)) &&
           (sorted_compare(entry->key, entry->key_length, reader->last, reader->last_length) == 0 ||
            is_hidden(reader))) {
        if (reader->budget > 0 && ++reader->looked > reader->budget) {
            return POISE_EBUSY;
        }
        memcpy(reader->last, entry->key, entry->key_length);
        reader->last_length = entry->key_length;
        poise_code code = advance_top(reader, err);
        if (code != POISE_OK) {
            return code;
        }
    }
    if (!entry) {
        return POISE_ENOTFOUND;
    }
    reader->looked++;
    memcpy(reader->last, entry->key, entry->key_length);
    reader->last_length = entry->key_length;
    *ret_entry = *entry;
    return POISE_OK;
}

static bool is_below(const struct sorted_entry *entry, const uint8_t *key, size_t length)
{
    return sorted_compare(entry->key, entry->key_length, key, length) < 0;
}

/* Mostly it is one of the next entries. */
static poise_code skip(struct state_reader *reader, struct state_cursor *cursor, const uint8_t *key,
                       size_t length, poise_error *err)
{
    poise_code code = POISE_OK;
    for (int i = 0; i < SORTED_GROUP && code == POISE_OK && cursor->has; i++) {
        code = advance(reader, cursor, err);
        if (code == POISE_OK && cursor->has && !is_below(&cursor->entry, key, length)) {
            return code;
        }
    }
    return code == POISE_OK && cursor->has ? seek(reader, cursor, key, length, err) : code;
}

poise_code state_reader_skip(struct state_reader *reader, const uint8_t *key, size_t length, poise_error *err)
{
    poise_code code = POISE_OK;
    while (code == POISE_OK && top(reader) && is_below(top(reader), key, length)) {
        code = skip(reader, &reader->cursors[reader->heap[0]], key, length, err);
        place_top(reader);
    }
    return code;
}

/* ---- life ---- */

static poise_code open_cursors(struct state_reader *reader, MDB_txn *txn, const struct state_run *runs,
                               const uint8_t *key, size_t length, poise_error *err)
{
    poise_code code = POISE_OK;
    for (size_t i = 0; i < reader->count && code == POISE_OK; i++) {
        struct state_cursor *cursor = &reader->cursors[i];
        cursor->run = runs[i].id;
        cursor->cleared = runs[i].cleared;
        int rc = mdb_cursor_open(txn, reader->store->lmdb[LMDB_STATE], &cursor->at);
        code = rc == 0 ? seek(reader, cursor, key, length, err)
                       : env_error(reader->store, rc, "read a run", err);
        if (cursor->has) {
            reader->heap[reader->heap_count++] = (uint32_t)i;
        }
    }
    for (size_t i = reader->heap_count / 2; i-- > 0;) {
        sift_down(reader, i);
    }
    return code;
}

poise_code state_reader_open(const struct store *store, MDB_txn *txn, const struct state_run *runs,
                             size_t count, const uint8_t *key, size_t length, struct state_reader *reader,
                             poise_error *err)
{
    *reader = (struct state_reader){.store = store, .count = count};
    reader->cursors = calloc(count ? count : 1, sizeof *reader->cursors);
    reader->heap = calloc(count ? count : 1, sizeof *reader->heap);
    poise_code code = reader->cursors && reader->heap ? open_cursors(reader, txn, runs, key, length, err)
                                                      : error_nomem(err, "a reader of runs");
    if (code != POISE_OK) {
        state_reader_close(reader);
    }
    return code;
}
