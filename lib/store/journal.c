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

static uint64_t take_lsn(const MDB_val *key)
{
    uint64_t lsn = 0;
    for (size_t i = 0; i < KEY_BYTES && i < key->mv_size; i++) {
        lsn = lsn << 8 | ((const uint8_t *)key->mv_data)[i];
    }
    return lsn;
}

static poise_code get_end(const struct store *store, MDB_cursor *at, MDB_cursor_op which, uint64_t *ret_lsn,
                          poise_error *err)
{
    MDB_val key, value;
    int rc = mdb_cursor_get(at, &key, &value, which);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return env_error(store, rc, "find the ends of the journal", err);
    }
    if (rc == 0 && key.mv_size != KEY_BYTES) {
        return error_set(err, POISE_ECORRUPT, "%s is damaged: a key of its journal has %zu bytes",
                         store->path, key.mv_size);
    }
    *ret_lsn = rc == 0 ? take_lsn(&key) : 0;
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
poise_code journal_measure(struct store *store, MDB_txn *txn, uint64_t from, int64_t most, uint64_t *lsn,
                           int64_t *ret_bytes, poise_error *err)
{
    uint8_t bytes[KEY_BYTES];
    put_key(from, bytes);
    MDB_val key = {.mv_size = KEY_BYTES, .mv_data = bytes}, value;
    MDB_cursor *at;
    int64_t sum = 0;
    uint64_t last = from;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_JOURNAL], &at);
    if (rc != 0) {
        return env_error(store, rc, "open the journal", err);
    }
    for (rc = mdb_cursor_get(at, &key, &value, MDB_SET_RANGE); rc == 0 && take_lsn(&key) <= *lsn;
         rc = mdb_cursor_get(at, &key, &value, MDB_NEXT)) {
        if (sum > 0 && (int64_t)value.mv_size > most - sum) {
            break;
        }
        sum += (int64_t)value.mv_size;
        last = take_lsn(&key);
    }
    mdb_cursor_close(at);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return env_error(store, rc, "measure the journal", err);
    }
    *lsn = last;
    *ret_bytes = sum;
    return POISE_OK;
}

poise_code journal_bytes(struct store *store, MDB_txn *txn, uint64_t from, int64_t *ret_bytes,
                         poise_error *err)
{
    uint64_t until = UINT64_MAX;
    return journal_measure(store, txn, from, INT64_MAX, &until, ret_bytes, err);
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

/* ---- trimming ---- */

enum { TRIM_RECORDS = 256, TRIM_BYTES = 4 << 20 }; /* of a transaction */

static uint64_t trim_until(const struct store *store)
{
    uint64_t until = atomic_load(&store->chunks_lsn), last = store_last_lsn(store);
    until = until < store->mark.state_lsn ? until : store->mark.state_lsn;
    return until < last || last == 0 ? until : last - 1; /* the last one says how they go on */
}

/* Of a journal that is so much shorter than this one. */
static bool is_long(const struct store *store, uint64_t trimmed_lsn, int64_t shorter)
{
    return store->journal_bytes - shorter > store->journal_max || trimmed_lsn + 1 < store->scrub.lsn;
}

bool journal_trim_due(const struct store *store)
{
    return is_long(store, store->trimmed_lsn, 0) && trim_until(store) > store->trimmed_lsn &&
           atomic_load(&store->copying) == 0;
}

struct trimmed {
    uint64_t lsn;
    int64_t bytes;
};

static int fill_trim(struct store *store, MDB_txn *txn, const void *work)
{
    struct trimmed *const *trimmed = work;
    MDB_cursor *at = NULL;
    int rc = mdb_cursor_open(txn, store->lmdb[LMDB_JOURNAL], &at);
    struct trimmed done = {.lsn = store->trimmed_lsn};
    for (int i = 0; i < TRIM_RECORDS && rc == 0 && done.bytes < TRIM_BYTES &&
                    is_long(store, done.lsn, done.bytes) && done.lsn < trim_until(store);
         i++) {
        MDB_val key, value;
        rc = mdb_cursor_get(at, &key, &value, MDB_FIRST);
        if (rc == 0 && take_lsn(&key) > trim_until(store)) {
            done.lsn = trim_until(store);
            break;
        }
        if (rc == 0) {
            done.lsn = take_lsn(&key);
            done.bytes += (int64_t)value.mv_size;
            rc = mdb_cursor_del(at, 0);
        }
    }
    if (at) {
        mdb_cursor_close(at);
    }
    **trimmed = done;
    return rc;
}

poise_code journal_trim(struct store *store, poise_error *err)
{
    struct trimmed trimmed = {0}, *work = &trimmed;
    poise_code code = env_write(store, TRIM_RECORDS * 256, fill_trim, &work, err);
    if (code == POISE_OK) {
        atomic_fetch_sub(&store->journal_bytes, trimmed.bytes);
        store->trimmed_lsn = trimmed.lsn;
    }
    return code;
}

/* ---- prepared records ---- */

void store_prepared_free(struct store_prepared *prepared)
{
    buf_free(&prepared->bytes);
}

poise_code store_prepare(const struct journal_record *record, uint64_t lsn, struct store_prepared *prepared,
                         poise_error *err)
{
    struct journal_record numbered = *record;
    numbered.lsn = prepared->lsn = lsn;
    return record_encode(&numbered, &prepared->bytes, err);
}

poise_code store_prepared_record(const struct store_prepared *prepared, struct arena *arena,
                                 struct journal_record *ret_record, poise_error *err)
{
    return record_decode(prepared->bytes.data, prepared->bytes.length, prepared->lsn, arena, ret_record, err);
}

poise_code store_append_prepared(struct store *store, const struct store_prepared *prepared, bool may_grow,
                                 poise_error *err)
{
    static const struct store_slice nothing;
    if (prepared->lsn != store_last_lsn(store) + 1) {
        return error_set(err, POISE_EINVAL, "record %" PRIu64 " behind record %" PRIu64, prepared->lsn,
                         store_last_lsn(store));
    }
    const struct buf own = store->record;
    store->fixed = !may_grow;
    store->record = prepared->bytes; /* it is only read */
    poise_code code = journal_commit(store, prepared->lsn, &nothing, err);
    store->record = own;
    store->fixed = false;
    return code;
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
        code = meta_get_chunks(reader->store, txn, &reader->past, err);
    }
    if (code == POISE_OK) {
        code = meta_get_mark(reader->store, txn, &reader->mark, err);
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

poise_code store_measure_journal(struct store_reader *reader, uint64_t from, uint64_t until, int64_t most,
                                 uint64_t *ret_lsn, int64_t *ret_bytes, poise_error *err)
{
    poise_code code = reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
    *ret_lsn = until;
    return code == POISE_OK ? journal_measure(reader->store, reader->txn, from, most, ret_lsn, ret_bytes, err)
                            : code;
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

/* Of a record in the journal, or what remains of it. */
static poise_code take_record(struct store_reader *reader, const MDB_val *value, uint64_t lsn,
                              bool (*wanted)(void *visitor, const struct journal_record *head), void *visitor,
                              struct journal_record *ret_record, poise_error *err)
{
    if (wanted) {
        poise_code code = record_head(value->mv_data, value->mv_size, lsn, ret_record, err);
        if (code != POISE_OK || !wanted(visitor, ret_record)) {
            return code;
        }
    }
    arena_reset(&reader->arena);
    return record_decode(value->mv_data, value->mv_size, lsn, &reader->arena, ret_record, err);
}

/* The first record from *lsn on of which something remains, or the first of the journal; *lsn moves there. */
static poise_code find_remains(struct store_reader *reader, uint64_t *lsn, MDB_val *ret_value,
                               poise_error *err)
{
    uint8_t bytes[KEY_BYTES];
    MDB_val key = {.mv_size = KEY_BYTES, .mv_data = bytes};
    MDB_cursor *at;
    put_key(*lsn, bytes);
    int rc = mdb_cursor_open(reader->txn, reader->store->lmdb[LMDB_REMAINS], &at);
    if (rc != 0) {
        return env_error(reader->store, rc, "read what remains of the journal", err);
    }
    rc = mdb_cursor_get(at, &key, ret_value, MDB_SET_RANGE);
    mdb_cursor_close(at);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return env_error(reader->store, rc, "read what remains of the journal", err);
    }
    *lsn = rc == 0 && take_lsn(&key) < reader->first ? take_lsn(&key) : reader->first;
    return POISE_OK;
}

/* The value of the first record from *lsn on, which moves there. */
static poise_code find_record(struct store_reader *reader, uint64_t *lsn, MDB_val *ret_value,
                              poise_error *err)
{
    uint8_t bytes[KEY_BYTES];
    MDB_val key = {.mv_size = KEY_BYTES, .mv_data = bytes};
    poise_code code = *lsn < reader->first ? find_remains(reader, lsn, ret_value, err) : POISE_OK;
    if (code != POISE_OK || *lsn < reader->first) {
        return code;
    }
    put_key(*lsn, bytes);
    int rc = mdb_get(reader->txn, reader->store->lmdb[LMDB_JOURNAL], &key, ret_value);
    return rc == 0 ? POISE_OK
           : rc == MDB_NOTFOUND
               ? error_set(err, POISE_ECORRUPT, "journal record %" PRIu64 " is missing", *lsn)
               : env_error(reader->store, rc, "read the journal", err);
}

poise_code store_read_journal(struct store_reader *reader, uint64_t from, uint64_t until,
                              bool (*wanted)(void *visitor, const struct journal_record *head),
                              poise_code (*visit)(void *visitor, const struct journal_record *record),
                              void *visitor, poise_error *err)
{
    for (uint64_t lsn = from ? from : 1; lsn <= until; lsn++) {
        poise_code code = reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
        if (code != POISE_OK || lsn > reader->last) {
            return code;
        }
        MDB_val value;
        struct journal_record record;
        code = find_record(reader, &lsn, &value, err);
        if (code == POISE_OK && lsn <= until) {
            code = take_record(reader, &value, lsn, wanted, visitor, &record, err);
            record.trimmed = lsn < reader->first;
            code = code == POISE_OK ? visit(visitor, &record) : code;
        }
        if (code != POISE_OK) {
            return code == POISE_ECLOSED ? POISE_OK : code;
        }
    }
    return POISE_OK;
}
