/* What the tests of lib/store share: a directory that goes away, records with contents that can be checked,
 * and damage. */
#ifndef STORE_TEST_SCRATCH_H
#define STORE_TEST_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <store/runs.h>
#include <store/store.h>

enum { MAP_SMALL = 16 << 20 };

/* cmocka setup and teardown: *state is the path of a new directory, then removed with all that is in it. */
int scratch_make(void **state);
int scratch_remove(void **state);

/* A store there with a 16 MiB map and no floor of free space worth mentioning. */
struct store_options scratch_options(const char *path);
struct store *scratch_open(const char *path);
struct store *scratch_open_with(const char *path, int64_t map_bytes);
struct store *scratch_open_wide(const char *path); /* its map does not grow: so steps may be done apart */

/* Merges and deletes what checkpoints have left. */
void scratch_tidy(struct store *store);

/* Record number n: one batch whose body has `length` bytes that depend on n, min and max time 1000 n and 1000
 * n + 999. */
void scratch_append(struct store *store, uint64_t n, size_t length);
poise_code scratch_try_append(struct store *store, uint64_t n, size_t length, poise_error *err);
poise_code scratch_try_commit(struct store *store, uint64_t n, size_t length, const struct store_slice *slice,
                              poise_error *err);  /* with a slice of a run */
uint8_t *scratch_body(uint64_t n, size_t length); /* to be freed */
void scratch_check(const struct journal_record *record, size_t length);

/* Reads the records from <= lsn <= until and checks their contents; returns how many. */
uint64_t scratch_read(struct store *store, uint64_t from, uint64_t until, size_t length);

/* Inverts a bit `offset` bytes after each place in DIR/data.mdb where the bytes are; returns how many. */
size_t scratch_flip(const char *dir, const void *bytes, size_t length, long offset);
/* Writes `patch` `offset` bytes after each such place. */
size_t scratch_patch(const char *dir, const void *bytes, size_t length, long offset, const void *patch,
                     size_t patch_length);

#endif
