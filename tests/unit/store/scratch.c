#include "scratch.h"
#include <base/file.h>
#include <base/hash.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int scratch_make(void **state)
{
    const char *base = getenv("TMPDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/poise-store-XXXXXX", base ? base : "/tmp");
    *state = mkdtemp(path) ? strdup(path) : NULL;
    return *state ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int scratch_remove(void **state)
{
    int rc = nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return rc;
}

struct store_options scratch_options(const char *path)
{
    return (struct store_options){.path = path,
                                  .map_bytes = MAP_SMALL,
                                  .free_bytes = 1,
                                  .new_id = "sixteen bytes id",
                                  .new_incarnation = 77};
}

struct store *scratch_open(const char *path)
{
    return scratch_open_with(path, scratch_options(path).map_bytes);
}

struct store *scratch_open_with(const char *path, int64_t map_bytes)
{
    struct store *store = NULL;
    poise_error err = {0};
    struct store_options options = scratch_options(path);
    options.map_bytes = map_bytes;
    if (store_open(&options, &store, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return store;
}

struct store *scratch_open_wide(const char *path)
{
    return scratch_open_with(path, 256 << 20);
}

/* No two records have eight bytes in common. */
uint8_t *scratch_body(uint64_t n, size_t length)
{
    uint8_t *body = malloc(length + 8);
    assert_non_null(body);
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = hash_mix(n, i);
        memcpy(body + i, &word, sizeof word);
    }
    return body;
}

poise_code scratch_try_commit(struct store *store, uint64_t n, size_t length, const struct store_slice *slice,
                              poise_error *err)
{
    uint8_t *body = scratch_body(n, length);
    struct journal_batch batch = {.producer = "tester",
                                  .epoch = 5,
                                  .seq = n,
                                  .hash = n * n,
                                  .refused = (uint32_t[]){2, 3},
                                  .reasons = (uint8_t[]){7, 8},
                                  .refused_count = n % 3,
                                  .rows = 9,
                                  .body = body,
                                  .body_length = length};
    struct journal_record record = {.as_of_ms = -1000 * (int64_t)n,
                                    .settled = n % 2 == 0,
                                    .first_ordinal = 9 * n,
                                    .min_time_ms = 1000 * (int64_t)n,
                                    .max_time_ms = 1000 * (int64_t)n + 999,
                                    .batches = &batch,
                                    .batch_count = 1,
                                    .changes = "changes",
                                    .changes_length = n % 8};
    uint64_t lsn = 0;
    poise_code code = store_commit(store, &record, slice, &lsn, err);
    free(body);
    if (code == POISE_OK) {
        assert_int_equal(lsn, n);
    }
    return code;
}

poise_code scratch_try_append(struct store *store, uint64_t n, size_t length, poise_error *err)
{
    return scratch_try_commit(store, n, length, &(struct store_slice){0}, err);
}

void scratch_append(struct store *store, uint64_t n, size_t length)
{
    poise_error err = {0};
    if (scratch_try_append(store, n, length, &err) != POISE_OK) {
        fail_msg("record %d: %s", (int)n, err.text);
    }
}

void scratch_check(const struct journal_record *record, size_t length)
{
    uint64_t n = record->lsn;
    assert_int_equal(record->as_of_ms, -1000 * (int64_t)n);
    assert_int_equal(record->settled, n % 2 == 0);
    assert_int_equal(record->first_ordinal, 9 * n);
    assert_int_equal(record->min_time_ms, 1000 * n);
    assert_int_equal(record->max_time_ms, 1000 * n + 999);
    assert_int_equal(record->batch_count, 1);
    const struct journal_batch *batch = record->batches;
    assert_string_equal(batch->producer, "tester");
    assert_int_equal(batch->epoch, 5);
    assert_int_equal(batch->seq, n);
    assert_int_equal(batch->hash, n * n);
    assert_int_equal(batch->rows, 9);
    assert_int_equal(batch->refused_count, n % 3);
    for (size_t i = 0; i < batch->refused_count; i++) {
        assert_int_equal(batch->refused[i], 2 + i);
        assert_int_equal(batch->reasons[i], 7 + i);
    }
    assert_int_equal(batch->body_length, length);
    uint8_t *body = scratch_body(n, length);
    assert_memory_equal(batch->body, body, length);
    free(body);
    assert_int_equal(record->changes_length, n % 8);
    assert_memory_equal(record->changes, "changes", n % 8);
}

struct checking {
    uint64_t next, count;
    size_t length;
};

static poise_code check_one(void *visitor, const struct journal_record *record)
{
    struct checking *checking = visitor;
    assert_int_equal(record->lsn, checking->next);
    scratch_check(record, checking->length);
    checking->next++;
    checking->count++;
    return POISE_OK;
}

uint64_t scratch_read(struct store *store, uint64_t from, uint64_t until, size_t length)
{
    struct checking checking = {.next = from, .length = length};
    struct store_reader *reader = NULL;
    poise_error err = {0};
    assert_int_equal(store_reader_open(store, &reader, &err), POISE_OK);
    if (store_read_journal(reader, from, until, NULL, check_one, &checking, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    store_reader_close(reader);
    return checking.count;
}

/* ---- damage ---- */

size_t scratch_patch(const char *dir, const void *bytes, size_t length, long offset, const void *patch,
                     size_t patch_length)
{
    char path[PATH_MAX];
    struct buf file = {0};
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    assert_int_equal(file_read(path, 1 << 28, &file, NULL), POISE_OK);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    size_t count = 0;
    const uint8_t *at = file.data, *end = file.data + file.length;
    while ((at = memmem(at, (size_t)(end - at), bytes, length))) {
        assert_int_equal(pwrite(fd, patch, patch_length, at - file.data + offset), patch_length);
        at++;
        count++;
    }
    close(fd);
    buf_free(&file);
    return count;
}

size_t scratch_flip(const char *dir, const void *bytes, size_t length, long offset)
{
    assert_true(offset >= 0 && (size_t)offset < length);
    uint8_t changed = ((const uint8_t *)bytes)[offset] ^ 0x10;
    return scratch_patch(dir, bytes, length, offset, &changed, 1);
}

void scratch_tidy(struct store *store)
{
    while (store_upkeep_due(store, true)) {
        assert_int_equal(store_upkeep(store, true, NULL), POISE_OK);
    }
}
