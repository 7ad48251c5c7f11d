#include "inner.h"
#include "record.h"
#include "runs.h"
#include <base/clock.h>
#include <base/error.h>
#include <inttypes.h>
#include <stdlib.h>

enum { KEY_BYTES = 8, READ_AGE_MAX_US = 1000000 };

static void put_key(uint64_t lsn, uint8_t bytes[KEY_BYTES])
{
    for (int i = 0; i < KEY_BYTES; i++) {
        bytes[i] = (uint8_t)(lsn >> (8 * (KEY_BYTES - 1 - i)));
    }
}

static poise_code get_end(const struct store *store, MDB_cursor *at, MDB_cursor_op which, uint64_t *ret_lsn,
                          poise_error *err)
{
    MDB_val key, value;
    int rc = mdb_cursor_get(at, &key, &value, which);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return env_error(store, rc, "find the ends of the journal", err);
    }
    uint64_t lsn = 0;
    if (rc == 0 && key.mv_size != KEY_BYTES) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: a key of its journal has %zu bytes",
                         store->path, key.mv_size);
    }
    for (size_t i = 0; rc == 0 && i < KEY_BYTES; i++) {
        lsn = lsn << 8 | ((const uint8_t *)key.mv_data)[i];
    }
    *ret_lsn = lsn;
    return POISE_OK;
}

poise_code journal_ends(struct store *store, MDB_txn *txn, uint64_t *ret_first, uint64_t *ret_last,
                        poise_error *err)
{
    MDB_cursor *at;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_JOURNAL], &at);
    if (rc != 0) {
        return env_error(store, rc, "open the journal", err);
    }
    poise_code code = get_end(store, at, MDB_FIRST, ret_first, err);
    if (code == POISE_OK) {
        code = get_end(store, at, MDB_LAST, ret_last, err);
    }
    mdb_cursor_close(at);
    return code;
}

/* Sizes lie beside the keys, so that no page of a record is read. */
poise_code journal_bytes(struct store *store, MDB_txn *txn, uint64_t from, int64_t *ret_bytes,
                         poise_error *err)
{
    uint8_t bytes[KEY_BYTES];
    put_key(from, bytes);
    MDB_val key = {.mv_size = KEY_BYTES, .mv_data = bytes}, value;
    MDB_cursor *at;
    int64_t sum = 0;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_JOURNAL], &at);
    if (rc != 0) {
        return env_error(store, rc, "open the journal", err);
    }
    for (rc = mdb_cursor_get(at, &key, &value, MDB_SET_RANGE); rc == 0;
         rc = mdb_cursor_get(at, &key, &value, MDB_NEXT)) {
        sum += (int64_t)value.mv_size;
    }
    mdb_cursor_close(at);
    if (rc != MDB_NOTFOUND) {
        return env_error(store, rc, "measure the journal", err);
    }
    *ret_bytes = sum;
    return POISE_OK;
}

/* ---- appending ---- */

int journal_fill(struct store *store, MDB_txn *txn, uint64_t lsn)
{
    uint8_t bytes[KEY_BYTES];
    put_key(lsn, bytes);
    MDB_val key = {.mv_size = KEY_BYTES, .mv_data = bytes};
    MDB_val value = {.mv_size = store->record.length, .mv_data = store->record.data};
    return mdb_put(txn, store->lmdb[LMDB_JOURNAL], &key, &value, MDB_APPEND);
}

poise_code journal_prepare(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                           poise_error *err)
{
    struct journal_record numbered = *record;
    numbered.lsn = store_last_lsn(store) + 1;
    poise_code code = record_encode(&numbered, &store->record, err);
    if (code == POISE_OK) {
        *ret_lsn = numbered.lsn;
    }
    return code;
}

poise_code store_append(struct store *store, const struct journal_record *record, uint64_t *ret_lsn,
                        poise_error *err)
{
    static const struct store_slice nothing;
    return store_commit(store, record, &nothing, ret_lsn, err);
}

/* ---- reading ---- */

static void note_opened(struct store_reader *reader)
{
    for (size_t i = 0; i < READERS_NOTED; i++) {
        int64_t nobody = 0;
        if (atomic_compare_exchange_strong(&reader->store->opened_us[i], &nobody, reader->opened_us)) {
            reader->noted = &reader->store->opened_us[i];
            return;
        }
    }
}

int64_t journal_oldest_ms(struct store *store)
{
    int64_t now = clock_monotonic_us(&clock_system), oldest = 0;
    for (size_t i = 0; i < READERS_NOTED; i++) {
        int64_t opened = atomic_load(&store->opened_us[i]);
        oldest = opened > 0 && now - opened > oldest ? now - opened : oldest;
    }
    return oldest / 1000;
}

static poise_code begin(struct store_reader *reader, poise_error *err)
{
    MDB_txn *txn;
    poise_code code = env_read(reader->store, &txn, err);
    if (code != POISE_OK) {
        return code;
    }
    code = journal_ends(reader->store, txn, &reader->first, &reader->last, err);
    if (code == POISE_OK) {
        code = meta_get_chunks(reader->store, txn, &reader->chunks_lsn, err);
    }
    if (code != POISE_OK) {
        env_read_end(reader->store, txn);
        return code;
    }
    reader->txn = txn;
    reader->opened_us = clock_monotonic_us(&clock_system);
    note_opened(reader);
    return POISE_OK;
}

static void end(struct store_reader *reader)
{
    if (reader->txn) {
        env_read_end(reader->store, reader->txn);
        reader->txn = NULL;
        if (reader->noted) {
            atomic_store(reader->noted, 0);
            reader->noted = NULL;
        }
    }
}

poise_code store_reader_open(struct store *store, struct store_reader **ret_reader, poise_error *err)
{
    struct store_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        return error_nomem(err, "a reader of the store");
    }
    reader->store = store;
    arena_init(&reader->arena, 0); /* bounded by the record, which has a CRC */
    poise_code code = begin(reader, err);
    if (code != POISE_OK) {
        store_reader_close(reader);
        return code;
    }
    *ret_reader = reader;
    return POISE_OK;
}

void store_reader_close(struct store_reader *reader)
{
    if (reader) {
        end(reader);
        arena_free(&reader->arena);
        free(reader);
    }
}

uint64_t store_reader_lsn(const struct store_reader *reader)
{
    return reader->last;
}

uint64_t store_reader_first_lsn(const struct store_reader *reader)
{
    return reader->first;
}

bool reader_due(const struct store_reader *reader)
{
    return !reader->txn || gate_wanted(&reader->store->gate) ||
           clock_monotonic_us(&clock_system) - reader->opened_us > READ_AGE_MAX_US;
}

poise_code reader_renew(struct store_reader *reader, poise_error *err)
{
    end(reader);
    return begin(reader, err);
}

static poise_code read_record(struct store_reader *reader, uint64_t lsn,
                              bool (*wanted)(void *visitor, const struct journal_record *head), void *visitor,
                              struct journal_record *ret_record, poise_error *err)
{
    uint8_t bytes[KEY_BYTES];
    put_key(lsn, bytes);
    MDB_val key = {.mv_size = KEY_BYTES, .mv_data = bytes}, value;
    int rc = mdb_get(reader->txn, reader->store->lmdb[LMDB_JOURNAL], &key, &value);
    if (rc == MDB_NOTFOUND) {
        return error_set(err, POISE_ECORRUPT, "journal record %" PRIu64 " is missing", lsn);
    }
    if (rc != 0) {
        return env_error(reader->store, rc, "read the journal", err);
    }
    if (wanted) {
        poise_code code = record_head(value.mv_data, value.mv_size, lsn, ret_record, err);
        if (code != POISE_OK || !wanted(visitor, ret_record)) {
            return code;
        }
    }
    arena_reset(&reader->arena);
    return record_decode(value.mv_data, value.mv_size, lsn, &reader->arena, ret_record, err);
}

poise_code store_read_journal(struct store_reader *reader, uint64_t from, uint64_t until,
                              bool (*wanted)(void *visitor, const struct journal_record *head),
                              poise_code (*visit)(void *visitor, const struct journal_record *record),
                              void *visitor, poise_error *err)
{
    for (uint64_t lsn = from > reader->first ? from : reader->first; lsn > 0 && lsn <= until; lsn++) {
        poise_code code = reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
        if (code != POISE_OK || lsn > reader->last) {
            return code;
        }
        struct journal_record record;
        code = read_record(reader, lsn, wanted, visitor, &record, err);
        if (code == POISE_OK) {
            code = visit(visitor, &record);
        }
        if (code != POISE_OK) {
            return code == POISE_ECLOSED ? POISE_OK : code;
        }
    }
    return POISE_OK;
}
