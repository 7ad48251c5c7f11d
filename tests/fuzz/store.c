/* What a store's reader meets in LMDB. The first byte says which:
 *
 * ENTRIES   of any table, [table, key, value] one after the other, as bytes that have right checksums: what
 *           stays of trimmed records (store/past.h), runs of rows, runs of state. They are put into an empty
 *           store, read in every way that there is, and taken back.
 * PAGES     [offset, bytes] one after the other, which are written over the file of a sound store: the walk
 *           over pages that trusts none of them (store/pages.h). */
#include "fuzz.h"
#include <base/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/block_inner.h>
#include <store/inner.h>
#include <store/pages.h>
#include <store/runs.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES, PAGES, KINDS };
enum { KEY_MAX = 511, ENTRIES_MAX = 2000, RECORDS = 40 };

struct ground {
    struct store *store; /* empty */
    struct buf file;     /* of a store that is not */
};

/* ---- a store to read from ---- */

static struct store *open_store(const char *path)
{
    const struct store_options options = {.path = path,
                                          .map_bytes = 16 << 20,
                                          .free_bytes = 1,
                                          .new_id = "sixteen bytes id",
                                          .new_incarnation = 1};
    struct store *store = NULL;
    MUST(store_open(&options, &store, NULL) == POISE_OK);
    return store;
}

/* Enough for pages above pages, and for values that are longer than one. */
static void fill(struct store *store)
{
    static char body[6000];
    char key[16];
    uint64_t lsn;
    memset(body, 'x', sizeof body);
    for (size_t i = 0; i < RECORDS; i++) {
        const struct journal_batch batch = {.producer = "p",
                                            .epoch = 1,
                                            .seq = i + 1,
                                            .rows = 1,
                                            .body = body,
                                            .body_length = i % 8 ? 200 : sizeof body};
        const struct journal_record record = {
            .as_of_ms = (int64_t)i, .first_ordinal = i + 1, .batches = &batch, .batch_count = 1};
        MUST(store_append(store, &record, &lsn, NULL) == POISE_OK);
    }
    const struct store_mark mark = {.state_lsn = RECORDS, .generation = 1};
    MUST(store_checkpoint_begin(store, NULL) == POISE_OK);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "%07d", i);
        MUST(store_put(store, STORE_CELLS, key, strlen(key), body, 100) == POISE_OK);
    }
    MUST(store_checkpoint_commit(store, &mark, NULL) == POISE_OK);
}

static void read_file(const char *directory, struct buf *out)
{
    char path[64], part[4096];
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    FILE *file = fopen(path, "rb");
    MUST(file);
    for (size_t got; (got = fread(part, 1, sizeof part, file)) > 0;) {
        buf_put(out, part, got);
    }
    MUST(!out->failed && fclose(file) == 0);
}

static void remove_store(const char *directory)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock", "audit.jsonl"};
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(directory);
}

/* For all inputs. The files have no names from then on. */
static struct ground *ground(void)
{
    static struct ground ground;
    if (!ground.store) {
        char directory[] = "/tmp/poise-fuzz-XXXXXX";
        MUST(mkdtemp(directory));
        struct store *full = open_store(directory);
        fill(full);
        store_close(full);
        read_file(directory, &ground.file);
        remove_store(directory);
        MUST(mkdir(directory, 0700) == 0);
        ground.store = open_store(directory);
        remove_store(directory);
    }
    return &ground;
}

/* ---- entries ---- */

static int put(struct store *store, MDB_txn *txn, uint8_t table, struct cursor key, struct cursor value)
{
    struct block_key block;
    uintptr_t key_at = (uintptr_t)key.at, value_at = (uintptr_t)value.at; /* LMDB only reads them */
    MDB_val name = {.mv_size = cursor_left(&key), .mv_data = (void *)key_at};
    MDB_val bytes = {.mv_size = cursor_left(&value), .mv_data = (void *)value_at};
    if (name.mv_size == 0 || name.mv_size > KEY_MAX) {
        return MDB_BAD_VALSIZE;
    }
    if (table == LMDB_CHUNKS && block_key_take(name.mv_data, name.mv_size, &block)) {
        struct buf with_crc = {0};
        buf_put_u32(&with_crc, block_crc(&block, bytes.mv_data, bytes.mv_size));
        buf_put(&with_crc, bytes.mv_data, bytes.mv_size);
        MUST(!with_crc.failed);
        bytes = (MDB_val){.mv_size = with_crc.length, .mv_data = with_crc.data};
        int rc = mdb_put(txn, store->lmdb[table], &name, &bytes, 0);
        buf_free(&with_crc);
        return rc;
    }
    return table == LMDB_JOURNAL || table == LMDB_REMAINS /* these have CRCs of their own */
               ? mdb_put(txn, store->lmdb[table], &name, &bytes, 0)
               : value_put(txn, store->lmdb[table], name, bytes.mv_data, bytes.mv_size);
}

static void put_all(struct store *store, MDB_txn *txn, const void *data, size_t size)
{
    struct cursor in = cursor_of(data, size);
    for (int i = 0; i < ENTRIES_MAX && cursor_left(&in) > 0; i++) {
        size_t key_length, value_length;
        uint8_t table = cursor_u8(&in);
        const char *key = cursor_text(&in, &key_length);
        const char *value = cursor_text(&in, &value_length);
        if (in.failed || table >= LMDB_TABLES) {
            return;
        }
        (void)put(store, txn, table, cursor_of(key, key_length), cursor_of(value, value_length));
    }
}

static bool is_expected(poise_code code)
{
    return code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION || code == POISE_ENOTFOUND;
}

static poise_code see_name(void *visitor, uint32_t number, const struct past_name *name)
{
    uint32_t *next = visitor;
    MUST(number == *next); /* each once, in order */
    ++*next;
    MUST(strlen(name->measure) + strlen(name->org) + strlen(name->source) < 4096);
    return POISE_OK;
}

static void read_past(struct store_reader *reader, uint64_t lsn, int64_t ms)
{
    static const uint32_t from[] = {0, 1, 200, UINT32_MAX};
    struct store_past past;
    poise_error err;
    poise_code code = store_read_past(reader, lsn, ms, &past, &err);
    MUST(is_expected(code));
    MUST(code != POISE_OK || past.lsn == 0 || (past.lsn <= lsn && past.as_of_ms <= ms));
    uint64_t series;
    MUST(is_expected(store_read_series(reader, lsn, &series, &err)));
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        uint32_t next = from[i];
        MUST(is_expected(store_read_names(reader, from[i], see_name, &next, &err)));
    }
}

struct seen {
    size_t runs, rows;
    struct store_run last;
};

static poise_code see_run(void *visitor, const struct store_run *run)
{
    struct seen *seen = visitor;
    MUST(seen->runs == 0 || seen->last.bucket < run->bucket ||
         (seen->last.bucket == run->bucket && seen->last.input <= run->input));
    seen->last = *run;
    seen->runs++;
    return POISE_OK;
}

static poise_code see_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct seen *seen = visitor;
    (void)series;
    MUST(rows->count > 0 && rows->count <= CHUNK_PART);
    seen->rows += rows->count;
    return seen->rows > 100000 ? POISE_ECLOSED : POISE_OK;
}

static poise_code see_head(void *visitor, uint64_t series, const struct chunk_head *head)
{
    struct seen *seen = visitor;
    (void)series;
    MUST(head->standing <= head->rows);
    seen->rows += head->rows;
    return POISE_OK;
}

static void read_runs(struct store_reader *reader)
{
    static const struct store_run_range all = {
        .from_bucket = INT32_MIN, .until_bucket = INT32_MAX, .any_input = true};
    struct seen seen = {0};
    poise_error err;
    poise_code code = store_read_runs(reader, &all, see_run, &seen, &err);
    MUST(is_expected(code));
    if (code != POISE_OK || seen.runs == 0) {
        return;
    }
    struct store_rows_query query = {.input = seen.last.input,
                                     .from_ms = (int64_t)seen.last.bucket * 86400000,
                                     .until_ms = (int64_t)seen.last.bucket * 86400000 + 86399999,
                                     .until_place = UINT64_MAX};
    const struct store_rows_visit rows = {.rows = see_rows, .visitor = &seen};
    const struct store_rows_visit heads = {.rows = see_rows, .head = see_head, .visitor = &seen};
    MUST(is_expected(store_read_rows(reader, &query, &rows, &err)));
    MUST(is_expected(store_read_rows(reader, &query, &heads, &err)));
    query.until_place = 100;
    MUST(is_expected(store_read_rows(reader, &query, &rows, &err)));
}

static void read_state(struct store *store, MDB_txn *txn)
{
    struct state_reader reader;
    struct sorted_entry entry;
    struct buf value = {0};
    poise_error err;
    poise_code code = state_load(store, txn, true, &store->runs, &err);
    MUST(is_expected(code));
    if (code == POISE_OK && store->runs.whole > 0) {
        MUST(is_expected(state_get(store, txn, &store->runs, (const uint8_t *)"\4key", 4, &value, &err)));
        code = state_reader_open(store, txn, store->runs.items, store->runs.whole, (const uint8_t *)"", 0,
                                 &reader, &err);
        for (int i = 0; code == POISE_OK && i < 10000; i++) {
            code = state_reader_next(&reader, &entry, &err);
        }
        MUST(is_expected(code));
        state_reader_close(&reader);
    }
    state_free(&store->runs);
    store->runs = (struct state_runs){0};
    buf_free(&value);
}

static void try_entries(struct store *store, const void *data, size_t size)
{
    struct store_reader reader = {.store = store, .opened_us = INT64_MAX / 2}; /* never renewed */
    poise_error err;
    MUST(mdb_txn_begin(store->env, NULL, 0, &reader.txn) == 0);
    put_all(store, reader.txn, data, size);
    poise_code code = meta_get_mark(store, reader.txn, &reader.mark, &err);
    MUST(is_expected(code));
    code = meta_get_chunks(store, reader.txn, &reader.past, &err);
    MUST(is_expected(code));
    if (code != POISE_OK || reader.past.lsn == 0) { /* there must be some, for runs to be seen */
        reader.past = (struct store_past){.lsn = 1000, .last_place = 1000, .as_of_ms = 1000};
    }
    read_past(&reader, 999, INT64_MAX);
    read_past(&reader, UINT64_MAX, 999);
    read_past(&reader, 3, 3);
    read_runs(&reader);
    read_state(store, reader.txn);
    arena_free(&reader.arena);
    mdb_txn_abort(reader.txn);
}

/* ---- pages ---- */

struct walked {
    size_t tables, entries;
};

static poise_code see_table(void *context, const char *name)
{
    struct walked *walked = context;
    MUST(strlen(name) <= KEY_MAX);
    walked->tables++;
    return POISE_OK;
}

static poise_code see_entry(void *context, const char *table, struct cursor key, struct cursor value)
{
    struct walked *walked = context;
    (void)table;
    MUST(cursor_left(&key) > 0 && cursor_left(&key) <= KEY_MAX);
    (void)crc32c(key.at, cursor_left(&key)); /* reads them */
    (void)crc32c(value.at, cursor_left(&value));
    walked->entries++;
    return POISE_OK;
}

static void try_pages(const struct buf *sound, const void *data, size_t size)
{
    char path[FUZZ_PATH_MAX];
    struct walked walked = {0};
    const struct pages_visitor visitor = {.context = &walked, .table = see_table, .entry = see_entry};
    struct pages_found found;
    poise_error err;
    struct buf file = {0};
    buf_put(&file, sound->data, sound->length);
    MUST(!file.failed);
    struct cursor in = cursor_of(data, size);
    size_t length = file.length;
    while (cursor_left(&in) > 0) {
        size_t count;
        uint64_t offset = cursor_varint(&in);
        const char *bytes = cursor_text(&in, &count);
        if (in.failed) {
            break;
        }
        if (count == 0) { /* the file ends there */
            length = offset < length ? (size_t)offset : length;
        } else if (offset < file.length && count <= file.length - offset) {
            memcpy(file.data + offset, bytes, count);
        }
    }
    int fd = fuzz_file(file.data, length, path);
    poise_code code = pages_walk(path, &visitor, &found, &err);
    MUST(is_expected(code));
    MUST(code != POISE_OK || (found.entries == walked.entries && found.tables == walked.tables));
    MUST(code != POISE_OK || found.pages * found.page_bytes <= file.length);
    MUST(size > 0 || code == POISE_OK);
    close(fd);
    buf_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ground *all = ground();
    if (size > 0 && data[0] % KINDS == ENTRIES) {
        try_entries(all->store, data + 1, size - 1);
    } else if (size > 0) {
        try_pages(&all->file, data + 1, size - 1);
    }
    return 0;
}
