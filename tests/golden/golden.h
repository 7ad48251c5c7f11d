/* The messages of make_golden.py as structs: each case encodes one, and decodes and checks one. */
#ifndef GOLDEN_GOLDEN_H
#define GOLDEN_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <wire/wire.h>

#define GOLDEN_EPOCH 0x1122334455667788u
#define GOLDEN_NOON  INT64_C(1772366400000) /* 2026-03-01T12:00:00Z */

void encode_batch(struct buf *out);
void check_batch(const void *body, size_t length, struct arena *arena);
void encode_batch_plain(struct buf *out);
void check_batch_plain(const void *body, size_t length, struct arena *arena);
void encode_snapshot(struct buf *out);
void check_snapshot(const void *body, size_t length, struct arena *arena);
void encode_update(struct buf *out);
void check_update(const void *body, size_t length, struct arena *arena);
void encode_result(struct buf *out);
void check_result(const void *body, size_t length, struct arena *arena);
void encode_changed(struct buf *out);
void check_changed(const void *body, size_t length, struct arena *arena);

#endif
