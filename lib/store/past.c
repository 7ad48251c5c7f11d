#include "past.h"
#include "bits.h"
#include "inner.h"
#include "record.h"
#include <base/error.h>
#include <inttypes.h>
#include <poise/types.h>
#include <stdlib.h>
#include <string.h>

enum { LSN_BYTES = 8, NUMBER_BYTES = 4, TEXTS = 3 };

/* ---- entries ---- */

static void big_put(uint64_t number, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(number >> (8 * (count - 1 - i)));
    }
}

static uint64_t big_take(const MDB_val *key)
{
    uint64_t number = 0;
    for (size_t i = 0; i < key->mv_size && i < LSN_BYTES; i++) {
        number = number << 8 | ((const uint8_t *)key->mv_data)[i];
    }
    return number;
}

static void put_entry(struct buf *entries, uint8_t table, uint64_t key, size_t key_length,
                      const struct buf *value)
{
    uint8_t bytes[LSN_BYTES];
    big_put(key, bytes, key_length);
    buf_put_u8(entries, table);
    buf_put_text(entries, (const char *)bytes, key_length);
    buf_put_text(entries, (const char *)value->data, value->length);
    entries->failed |= value->failed;
}

int past_fill(struct store *store, MDB_txn *txn, const void *entries, size_t length)
{
    struct cursor in = cursor_of(entries, length);
    int rc = 0;
    while (rc == 0 && cursor_left(&in) > 0) {
        MDB_val key, value;
        uint8_t table = cursor_u8(&in);
        uintptr_t key_at = (uintptr_t)cursor_text(&in, &key.mv_size); /* LMDB only reads them */
        uintptr_t value_at = (uintptr_t)cursor_text(&in, &value.mv_size);
        key.mv_data = (void *)key_at;
        value.mv_data = (void *)value_at;
        rc = table == LMDB_REMAINS
                 ? mdb_put(txn, store->lmdb[table], &key, &value, 0) /* a record has CRCs of its own */
                 : value_put(txn, store->lmdb[table], key, value.mv_data, value.mv_size);
    }
    return rc;
}

/* ---- commits ---- */

static void put_column(struct buf *out, const uint64_t *values, size_t count)
{
    const struct bits_plan plan = bits_plan(values, count);
    bits_put(out, values, count, &plan);
}

void past_put_commits(struct buf *entries, uint64_t first_lsn, const struct past_commit *commits,
                      size_t count)
{
    struct buf value = {0};
    uint64_t times[PAST_COMMITS], places[PAST_COMMITS], series[PAST_COMMITS];
    for (size_t i = 0; i < count; i++) {
        times[i] = (uint64_t)commits[i].as_of_ms;
        places[i] = commits[i].first_place;
        series[i] = commits[i].series;
    }
    buf_put_varint(&value, count);
    buf_put_u64(&value, times[0]);
    put_column(&value, times, count);
    put_column(&value, places, count);
    put_column(&value, series, count);
    put_entry(entries, LMDB_COMMITS, first_lsn, LSN_BYTES, &value);
    buf_free(&value);
}

struct commits { /* an entry */
    uint64_t first_lsn;
    size_t count;
    uint64_t as_of_ms[PAST_COMMITS], first_place[PAST_COMMITS], series[PAST_COMMITS];
};

static bool take_column(struct cursor *in, size_t count, uint64_t *ret_values)
{
    struct bits_reader reader;
    bits_open(&reader, *in, count);
    for (size_t n; (n = bits_next(&reader, ret_values)) > 0; ret_values += n) {
    }
    *in = reader.in;
    return !in->failed && reader.left == 0;
}

static poise_code damaged(const struct store *store, const char *table, poise_error *err)
{
    return error_set(err, POISE_ECORRUPT, "%s is damaged: an entry of table %s cannot be read", store->path,
                     table);
}

static poise_code take_commits(const struct store *store, const MDB_val *key, const MDB_val *stored,
                               struct commits *ret_commits, poise_error *err)
{
    struct cursor in;
    poise_code code = value_check(store, "commits", key, stored, &in, err);
    if (code != POISE_OK) {
        return code;
    }
    uint64_t count = cursor_varint(&in);
    uint64_t first_ms = cursor_u64(&in);
    if (key->mv_size != LSN_BYTES || count == 0 || count > PAST_COMMITS) {
        return damaged(store, "commits", err);
    }
    ret_commits->first_lsn = big_take(key);
    ret_commits->count = (size_t)count;
    bool ok = take_column(&in, ret_commits->count, ret_commits->as_of_ms) &&
              take_column(&in, ret_commits->count, ret_commits->first_place) &&
              ret_commits->as_of_ms[0] == first_ms;
    if (ok && cursor_left(&in) == 0) { /* of format 4 */
        memset(ret_commits->series, 0, ret_commits->count * sizeof *ret_commits->series);
        return POISE_OK;
    }
    ok = ok && take_column(&in, ret_commits->count, ret_commits->series) && cursor_left(&in) == 0;
    return ok ? POISE_OK : damaged(store, "commits", err);
}

poise_code past_check_commits(const struct store *store, const MDB_val *key, const MDB_val *stored,
                              uint64_t *ret_first, uint64_t *ret_count, poise_error *err)
{
    struct commits *commits = calloc(1, sizeof *commits);
    poise_code code =
        commits ? take_commits(store, key, stored, commits, err) : error_nomem(err, "a list of commits");
    if (code == POISE_OK) {
        *ret_first = commits->first_lsn;
        *ret_count = commits->count;
    }
    free(commits);
    return code;
}

/* T of the first commit of an entry. */
static poise_code first_time(const struct store *store, const MDB_val *key, const MDB_val *stored,
                             int64_t *ret_ms, poise_error *err)
{
    struct cursor in;
    poise_code code = value_check(store, "commits", key, stored, &in, err);
    if (code == POISE_OK) {
        (void)cursor_varint(&in);
        *ret_ms = (int64_t)cursor_u64(&in);
        code = in.failed ? damaged(store, "commits", err) : POISE_OK;
    }
    return code;
}

/* To the last entry that begins at the record or before it. */
static int seek_commits(MDB_cursor *at, uint64_t lsn, MDB_val *key, MDB_val *value)
{
    uint8_t bytes[LSN_BYTES];
    big_put(lsn, bytes, sizeof bytes);
    *key = (MDB_val){.mv_size = sizeof bytes, .mv_data = bytes};
    int rc = mdb_cursor_get(at, key, value, MDB_SET_RANGE);
    if (rc == 0 && big_take(key) == lsn) {
        return 0;
    }
    return rc == 0              ? mdb_cursor_get(at, key, value, MDB_PREV)
           : rc == MDB_NOTFOUND ? mdb_cursor_get(at, key, value, MDB_LAST)
                                : rc;
}

/* The same, but for those whose first T is above until_ms. MDB_NOTFOUND: there is none. */
static int seek_time(struct store_reader *reader, MDB_cursor *at, uint64_t lsn, int64_t until_ms,
                     MDB_val *key, MDB_val *value, poise_code *ret_code, poise_error *err)
{
    int rc = seek_commits(at, lsn, key, value);
    while (rc == 0) {
        int64_t first_ms;
        *ret_code = first_time(reader->store, key, value, &first_ms, err);
        if (*ret_code != POISE_OK || first_ms <= until_ms) {
            return 0;
        }
        rc = mdb_cursor_get(at, key, value, MDB_PREV);
    }
    return rc;
}

/* Of the commits of an entry the last that is wanted, and where the rows of the next begin. */
static void pick(const struct store_reader *reader, const struct commits *commits, uint64_t until_lsn,
                 int64_t until_ms, struct store_past *past)
{
    size_t i = 0; /* the first one is wanted */
    while (i + 1 < commits->count && commits->first_lsn + i + 1 <= until_lsn &&
           (int64_t)commits->as_of_ms[i + 1] <= until_ms) {
        i++;
    }
    *past = (struct store_past){.lsn = commits->first_lsn + i, .as_of_ms = (int64_t)commits->as_of_ms[i]};
    if (past->lsn == reader->past.lsn) {
        past->last_place = reader->past.last_place;
    } else if (i + 1 < commits->count) {
        past->last_place = commits->first_place[i + 1] - 1;
    }
}

/* The place is that of the first row of the next entry's first commit, less 1. */
static poise_code find_place(struct store_reader *reader, MDB_cursor *at, struct commits *commits,
                             struct store_past *past, poise_error *err)
{
    MDB_val key, value;
    int rc = mdb_cursor_get(at, &key, &value, MDB_NEXT);
    poise_code code = rc == 0              ? take_commits(reader->store, &key, &value, commits, err)
                      : rc == MDB_NOTFOUND ? damaged(reader->store, "commits", err)
                                           : env_error(reader->store, rc, "read commits", err);
    if (code == POISE_OK) {
        past->last_place = commits->first_place[0] - 1;
    }
    return code;
}

static poise_code find_past(struct store_reader *reader, MDB_cursor *at, uint64_t until_lsn, int64_t until_ms,
                            struct store_past *past, poise_error *err)
{
    MDB_val key, value;
    poise_code code = POISE_OK;
    int rc = seek_time(reader, at, until_lsn, until_ms, &key, &value, &code, err);
    if (rc != 0 || code != POISE_OK) {
        return code != POISE_OK     ? code
               : rc == MDB_NOTFOUND ? POISE_OK
                                    : env_error(reader->store, rc, "read commits", err);
    }
    struct commits *commits = calloc(1, sizeof *commits);
    if (!commits) {
        return error_nomem(err, "a list of commits");
    }
    code = take_commits(reader->store, &key, &value, commits, err);
    if (code == POISE_OK) {
        pick(reader, commits, until_lsn, until_ms, past);
        bool is_last = past->lsn == commits->first_lsn + commits->count - 1;
        if (is_last && past->lsn != reader->past.lsn) {
            code = find_place(reader, at, commits, past, err);
        }
    }
    free(commits);
    return code;
}

struct store_past store_reader_past(const struct store_reader *reader)
{
    return reader->past;
}

poise_code store_read_past(struct store_reader *reader, uint64_t until_lsn, int64_t until_ms,
                           struct store_past *ret_past, poise_error *err)
{
    MDB_cursor *at;
    *ret_past = (struct store_past){.as_of_ms = INT64_MIN};
    poise_code code = reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
    if (code != POISE_OK) {
        return code;
    }
    if (until_lsn >= reader->past.lsn && until_ms >= reader->past.as_of_ms) {
        *ret_past = reader->past;
        return POISE_OK;
    }
    int rc = mdb_cursor_open(reader->txn, reader->store->lmdb[LMDB_COMMITS], &at);
    if (rc != 0) {
        return env_error(reader->store, rc, "read commits", err);
    }
    uint64_t until = until_lsn < reader->past.lsn ? until_lsn : reader->past.lsn;
    code = find_past(reader, at, until, until_ms, ret_past, err);
    mdb_cursor_close(at);
    return code;
}

static poise_code find_series(struct store_reader *reader, MDB_cursor *at, uint64_t lsn, uint64_t *ret_series,
                              poise_error *err)
{
    MDB_val key, value;
    int rc = seek_commits(at, lsn, &key, &value);
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? POISE_OK : env_error(reader->store, rc, "read commits", err);
    }
    struct commits *commits = calloc(1, sizeof *commits);
    if (!commits) {
        return error_nomem(err, "a list of commits");
    }
    poise_code code = take_commits(reader->store, &key, &value, commits, err);
    if (code == POISE_OK && lsn - commits->first_lsn < commits->count) {
        *ret_series = commits->series[lsn - commits->first_lsn];
    }
    free(commits);
    return code;
}

poise_code store_read_series(struct store_reader *reader, uint64_t lsn, uint64_t *ret_series,
                             poise_error *err)
{
    MDB_cursor *at;
    *ret_series = 0;
    poise_code code = reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
    if (code != POISE_OK || lsn == 0 || lsn > reader->past.lsn) {
        return code;
    }
    int rc = mdb_cursor_open(reader->txn, reader->store->lmdb[LMDB_COMMITS], &at);
    if (rc != 0) {
        return env_error(reader->store, rc, "read commits", err);
    }
    code = find_series(reader, at, lsn, ret_series, err);
    mdb_cursor_close(at);
    return code;
}

/* ---- names ---- */

static void put_text(struct buf *out, const char *text, const char *before)
{
    size_t shared = 0;
    while (text[shared] && text[shared] == before[shared]) {
        shared++;
    }
    buf_put_varint(out, shared);
    buf_put_text(out, text + shared, strlen(text + shared));
}

enum { WITH_BITS = 512 }; /* added to the number of names, where some are by retraction: a bit of each */

static void put_bits(struct buf *out, const struct past_name *names, size_t count)
{
    uint8_t bits[PAST_NAMES / 8] = {0};
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        bits[i / 8] |= (uint8_t)(names[i].by_retraction << i % 8);
        any |= names[i].by_retraction;
    }
    buf_put_varint(out, count + (any ? WITH_BITS : 0));
    buf_put(out, bits, any ? (count + 7) / 8 : 0);
}

void past_put_names(struct buf *entries, uint32_t first, const struct past_name *names, size_t count)
{
    struct buf value = {0};
    struct past_name before = {.measure = "", .org = "", .source = ""};
    put_bits(&value, names, count);
    for (size_t i = 0; i < count; i++) {
        put_text(&value, names[i].measure, before.measure);
        put_text(&value, names[i].org, before.org);
        put_text(&value, names[i].source, before.source);
        before = names[i];
    }
    put_entry(entries, LMDB_NAMES, first, NUMBER_BYTES, &value);
    buf_free(&value);
}

enum { NAME_MAX_BYTES = POISE_ORG_MAX + POISE_SOURCE_MAX + POISE_ID_MAX }; /* above each of them */

struct names { /* an entry that is read: each text is changed to the next */
    struct cursor in;
    uint32_t first, next;
    uint64_t left;
    const uint8_t *bits; /* NULL: none is by retraction */
    char texts[TEXTS][NAME_MAX_BYTES + 1];
};

static poise_code open_names(const struct store *store, const MDB_val *key, const MDB_val *stored,
                             struct names *names, poise_error *err)
{
    *names = (struct names){0};
    poise_code code = value_check(store, "names", key, stored, &names->in, err);
    if (code == POISE_OK) {
        names->first = names->next = (uint32_t)big_take(key);
        names->left = cursor_varint(&names->in);
        if (names->left >= WITH_BITS) {
            names->left -= WITH_BITS;
            names->bits = cursor_bytes(&names->in, names->left <= PAST_NAMES ? (names->left + 7) / 8 : 0);
        }
        code = key->mv_size == NUMBER_BYTES && names->left <= PAST_NAMES ? POISE_OK
                                                                         : damaged(store, "names", err);
    }
    return code;
}

static bool by_retraction(const struct names *names)
{
    uint32_t at = names->next - names->first;
    return names->bits && (names->bits[at / 8] >> at % 8 & 1);
}

static bool next_name(struct names *names)
{
    for (int i = 0; i < TEXTS; i++) {
        size_t length, shared = (size_t)cursor_varint(&names->in);
        const char *rest = cursor_text(&names->in, &length);
        if (names->in.failed || shared > strlen(names->texts[i]) || length > NAME_MAX_BYTES - shared) {
            return false;
        }
        memcpy(names->texts[i] + shared, rest, length);
        names->texts[i][shared + length] = '\0';
    }
    return true;
}

struct naming {
    struct store_reader *reader;
    uint32_t from; /* the next that is wanted */
    poise_code (*visit)(void *visitor, uint32_t number, const struct past_name *name);
    void *visitor;
    struct names names;
};

static poise_code visit_names(struct naming *naming, const MDB_val *key, const MDB_val *stored,
                              poise_error *err)
{
    struct names *names = &naming->names;
    poise_code code = open_names(naming->reader->store, key, stored, names, err);
    for (; code == POISE_OK && names->left > 0; names->left--, names->next++) {
        if (!next_name(names)) {
            return damaged(naming->reader->store, "names", err);
        }
        const struct past_name name = {names->texts[0], names->texts[1], names->texts[2],
                                       by_retraction(names)};
        if (names->next == naming->from) { /* those before came with another entry */
            code = naming->visit(naming->visitor, names->next, &name);
            naming->from++;
        }
    }
    return code;
}

/* To the last entry that begins at `from` or before it; MDB_NOTFOUND: there is none. */
static int seek_names(MDB_cursor *at, uint32_t from, MDB_val *key, MDB_val *value)
{
    uint8_t bytes[NUMBER_BYTES];
    big_put(from, bytes, sizeof bytes);
    *key = (MDB_val){.mv_size = sizeof bytes, .mv_data = bytes};
    int rc = mdb_cursor_get(at, key, value, MDB_SET_RANGE);
    if (rc == 0 && big_take(key) == from) {
        return 0;
    }
    return rc == 0              ? mdb_cursor_get(at, key, value, MDB_PREV)
           : rc == MDB_NOTFOUND ? mdb_cursor_get(at, key, value, MDB_LAST)
                                : rc;
}

/* As long as the transaction may be open; *ret_more: others follow. */
static poise_code read_names(struct naming *naming, bool *ret_more, poise_error *err)
{
    struct store_reader *reader = naming->reader;
    MDB_cursor *at;
    MDB_val key, value;
    int rc = mdb_cursor_open(reader->txn, reader->store->lmdb[LMDB_NAMES], &at);
    if (rc != 0) {
        return env_error(reader->store, rc, "read names", err);
    }
    poise_code code = POISE_OK;
    rc = seek_names(at, naming->from, &key, &value);
    while (rc == 0 && code == POISE_OK && big_take(&key) <= naming->from) {
        code = visit_names(naming, &key, &value, err);
        if (reader_due(reader)) {
            break;
        }
        rc = code == POISE_OK ? mdb_cursor_get(at, &key, &value, MDB_NEXT) : 0;
    }
    *ret_more = rc == 0 && code == POISE_OK && big_take(&key) <= naming->from;
    mdb_cursor_close(at);
    return code != POISE_OK || rc == 0 || rc == MDB_NOTFOUND
               ? code
               : env_error(reader->store, rc, "read names", err);
}

poise_code store_read_names(struct store_reader *reader, uint32_t from,
                            poise_code (*visit)(void *visitor, uint32_t number, const struct past_name *name),
                            void *visitor, poise_error *err)
{
    struct naming *naming = calloc(1, sizeof *naming);
    poise_code code = POISE_OK;
    if (!naming) {
        return error_nomem(err, "the names of series");
    }
    *naming = (struct naming){.reader = reader, .from = from, .visit = visit, .visitor = visitor};
    bool more = true;
    while (code == POISE_OK && more) {
        uint32_t before = naming->from;
        code = reader_due(reader) ? reader_renew(reader, err) : POISE_OK;
        if (code == POISE_OK) {
            code = read_names(naming, &more, err);
        }
        more = more && naming->from != before;
    }
    free(naming);
    return code == POISE_ECLOSED ? POISE_OK : code;
}

/* ---- remains ---- */

poise_code past_put_remains(struct buf *entries, const struct journal_record *record, poise_error *err)
{
    struct buf value = {0};
    poise_code code = record_encode(record, &value, err);
    if (code == POISE_OK) {
        put_entry(entries, LMDB_REMAINS, record->lsn, LSN_BYTES, &value);
    }
    buf_free(&value);
    return code;
}
