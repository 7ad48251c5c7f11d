/* What the tests of lib/spool share: a directory that goes away, batches with contents that can be checked,
 * and damage. */
#ifndef SPOOL_TEST_SCRATCH_H
#define SPOOL_TEST_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <spool/spool.h>

enum { EPOCH = 4711, HEAD = 36, RECORD = 28 }; /* bytes of a segment's head and of a record's */

/* cmocka setup and teardown: *state is the path of a new directory, then removed with all that is in it. */
int scratch_make(void **state);
int scratch_remove(void **state);

/* Segments of 1,000 bytes, 20,000 bytes in all, not synced. */
struct spool_options scratch_options(const char *path);
struct spool *scratch_open(const char *path);
/* Opening must fail so; returns the text, to be used before the next call. */
const char *scratch_refuse(const char *path, poise_code code);

/* Batch `seq` has a body of `length` bytes and a hash that depend on seq. */
void scratch_append(struct spool *spool, uint64_t seq, size_t length);
uint64_t scratch_hash(uint64_t seq);
/* Reads and checks what is not acknowledged: from first to before next. */
void scratch_check(struct spool *spool, uint64_t first, uint64_t next, size_t length);
void scratch_ack(struct spool *spool, uint64_t seq);

/* Files of the directory. */
size_t scratch_segments(const char *path);
void scratch_load(const char *path, const char *name, struct buf *out);
void scratch_store(const char *path, const char *name, const void *bytes, size_t length);
void scratch_unlink(const char *path, const char *name);
void scratch_flip(const char *path, const char *name, size_t at);

#endif
