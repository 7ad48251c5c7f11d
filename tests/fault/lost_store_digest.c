/* All that a store holds: what can be known of it is checked, the rest is in the digest. */
#include "lost_store.h"
#include <base/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/runs.h>

enum { RECORDS_MAX = 2000, REMAINS_EVERY = 3, SERIES_A_RECORD = 2 };

/* ---- what records of such numbers have ---- */

/* Mostly small, some of several pages, some of none. */
size_t length_of(uint64_t lsn)
{
    static const size_t lengths[] = {0, 10, 200, 1500, 3900, 4100, 9000, 30000};
    return lengths[hash_mix(lsn, 4711) % (sizeof lengths / sizeof lengths[0])];
}

uint64_t last_place(uint64_t lsn)
{
    assert_true(lsn < RECORDS_MAX - 1);
    return lsn * ROWS_A_RECORD + ROWS_A_RECORD - 1;
}

struct plain rows_until(uint64_t lsn)
{
    static struct plain all;
    static const struct plain_shape shape = {.rows = RECORDS_MAX * ROWS_A_RECORD,
                                             .buckets = BUCKETS,
                                             .inputs = INPUTS,
                                             .series = 20,
                                             .corrected = 200};
    if (!all.rows) {
        uint64_t random = 17;
        plain_make(&all, &shape, &random);
    }
    return (struct plain){.rows = all.rows, .count = last_place(lsn)};
}

uint32_t series_until(uint64_t lsn)
{
    return (uint32_t)lsn * SERIES_A_RECORD;
}

bool has_remains(uint64_t lsn)
{
    return lsn % REMAINS_EVERY == 0;
}

struct past_name name_of(uint32_t number, char org[16])
{
    snprintf(org, 16, "org %u", number);
    return (struct past_name){.measure = number % 2 ? "sales" : "late", .org = org, .source = "tester"};
}

struct past_commit commit_of(uint64_t lsn)
{
    return (struct past_commit){
        .as_of_ms = -1000 * (int64_t)lsn, .first_place = lsn * ROWS_A_RECORD, .series = series_until(lsn)};
}

/* ---- records ---- */

struct digest {
    uint64_t sum;
    uint64_t records, remains;
    uint32_t names;
    uint32_t input;
    struct came came;
};

static void add(struct digest *digest, uint64_t number)
{
    digest->sum = hash_mix(digest->sum, number);
}

static void must(poise_code code, const poise_error *err)
{
    if (code != POISE_OK) {
        fail_msg("%s", err->text);
    }
}

static poise_code add_record(void *visitor, const struct journal_record *record)
{
    struct digest *digest = visitor;
    if (record->trimmed) {
        assert_true(has_remains(record->lsn));
        assert_int_equal(record->as_of_ms, commit_of(record->lsn).as_of_ms);
        digest->remains++;
    } else {
        scratch_check(record, length_of(record->lsn));
        digest->records++;
    }
    return POISE_OK;
}

/* Those that are trimmed are in runs and state. */
static void add_journal(struct digest *digest, struct store_reader *reader)
{
    poise_error err = {0};
    uint64_t first = store_reader_first_lsn(reader), last = store_reader_lsn(reader);
    must(store_read_journal(reader, 1, UINT64_MAX, NULL, add_record, digest, &err), &err);
    assert_true(last == 0 || (first > 0 && first <= store_reader_chunks_lsn(reader) + 1));
    assert_int_equal(digest->records, last == 0 ? 0 : last + 1 - first);
    assert_int_equal(digest->remains, last == 0 ? 0 : (first - 1) / REMAINS_EVERY);
    add(digest, first > 0 ? first : 1); /* or a first record would change it */
}

/* ---- runs ---- */

static poise_code add_run(void *visitor, const struct store_run *run)
{
    struct digest *digest = visitor;
    add(digest, run->run);
    add(digest, hash_mix((uint64_t)run->bucket, run->input));
    add(digest, hash_mix(run->stats.rows, run->stats.marks));
    return POISE_OK;
}

static poise_code add_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct digest *digest = visitor;
    came_add(&digest->came, block_bucket(rows->time_ms[0]), digest->input, series, rows, false);
    return POISE_OK;
}

/* Rows of records behind the chunks LSN are not there, all others are. */
static void check_rows(struct digest *digest, struct store_reader *reader)
{
    struct plain_row *rows;
    poise_error err = {0};
    const struct plain plain = rows_until(store_reader_chunks_lsn(reader));
    size_t all = plain_known(&plain, ROWS_A_RECORD, plain.count, &rows);
    for (digest->input = 1; digest->input <= INPUTS; digest->input++) {
        const struct store_rows_query query = {
            .input = digest->input, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = UINT64_MAX};
        const struct store_rows_visit visit = {.rows = add_rows, .visitor = digest};
        struct plain_row *wanted = calloc(all + 1, sizeof *wanted);
        size_t count = 0;
        assert_non_null(wanted);
        for (size_t i = 0; i < all; i++) {
            if (rows[i].input == digest->input) {
                wanted[count++] = rows[i];
            }
        }
        must(store_read_rows(reader, &query, &visit, &err), &err);
        came_check(&digest->came, wanted, count);
        came_free(&digest->came);
        free(wanted);
    }
    free(rows);
}

static poise_code check_name(void *visitor, uint32_t number, const struct past_name *name)
{
    struct digest *digest = visitor;
    char org[16];
    const struct past_name wanted = name_of(number, org);
    assert_int_equal(number, digest->names++);
    assert_string_equal(name->measure, wanted.measure);
    assert_string_equal(name->org, wanted.org);
    return POISE_OK;
}

/* What is told of the records in runs. */
static void check_past(struct digest *digest, struct store_reader *reader)
{
    poise_error err = {0};
    struct store_past past = store_reader_past(reader);
    must(store_read_names(reader, 0, check_name, digest, &err), &err);
    assert_true(digest->names >= series_until(past.lsn)); /* more where a run is not finished */
    for (uint64_t lsn = past.lsn; lsn > 0; lsn /= 2) {
        uint64_t series = 0;
        must(store_read_series(reader, lsn, &series, &err), &err);
        assert_int_equal(series, series_until(lsn));
    }
    assert_true(past.lsn == 0 ||
                (past.last_place == last_place(past.lsn) && past.as_of_ms == commit_of(past.lsn).as_of_ms));
}

static void add_runs(struct digest *digest, struct store_reader *reader)
{
    poise_error err = {0};
    const struct store_run_range range = {
        .from_bucket = INT32_MIN, .until_bucket = INT32_MAX, .any_input = true};
    must(store_read_runs(reader, &range, add_run, digest, &err), &err);
    add(digest, store_reader_chunks_lsn(reader));
    check_rows(digest, reader);
    check_past(digest, reader);
}

/* ---- state ---- */

static poise_code add_entry(void *visitor, struct cursor key, struct cursor value)
{
    struct digest *digest = visitor;
    add(digest, hash64(key.at, cursor_left(&key), 1));
    add(digest, hash64(value.at, cursor_left(&value), 2));
    return POISE_OK;
}

static void add_state(struct digest *digest, struct store *store)
{
    poise_error err = {0};
    for (int table = 0; table < STORE_TABLES; table++) {
        must(store_walk(store, (enum store_table)table, add_entry, digest, &err), &err);
        add(digest, 3);
    }
    add(digest, store_mark(store).state_lsn);
    add(digest, store_mark(store).generation);
    add(digest, store_erased_lsn(store));
}

uint64_t digest_of(struct store *store)
{
    struct digest digest = {0};
    struct store_reader *reader = NULL;
    poise_error err = {0};
    must(store_reader_open(store, &reader, &err), &err);
    add_journal(&digest, reader);
    add_runs(&digest, reader);
    store_reader_close(reader);
    add_state(&digest, store);
    return digest.sum;
}
