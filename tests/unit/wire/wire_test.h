/* Bodies written by hand, field by field, for what our own encoder would never write. */
#ifndef UNIT_WIRE_TEST_H
#define UNIT_WIRE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <wire/wire.h>

static inline void put_number(struct buf *out, unsigned field, uint64_t value)
{
    buf_put_varint(out, field << 3 | 0);
    buf_put_varint(out, value);
}

static inline void put_fixed(struct buf *out, unsigned field, uint64_t value)
{
    buf_put_varint(out, field << 3 | 1);
    buf_put_u64(out, value);
}

static inline void put_bytes(struct buf *out, unsigned field, const void *bytes, size_t length)
{
    buf_put_varint(out, field << 3 | 2);
    buf_put_text(out, bytes, length);
}

static inline void put_text(struct buf *out, unsigned field, const char *text)
{
    put_bytes(out, field, text, strlen(text));
}

#endif
