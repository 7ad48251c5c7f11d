/* A growing byte buffer and a reading cursor, both with sticky errors: write or read on, check once.
 * Integers are little-endian; varints are LEB128; doubles are their IEEE bits. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t length;
    size_t capacity;
    bool failed; /* out of memory once: later puts do nothing */
};

void buf_free(struct buf *buf);  /* a zeroed buf is fine; leaves it zeroed */
void buf_reset(struct buf *buf); /* empty, not failed, memory kept */
bool buf_reserve(struct buf *buf, size_t more);
void buf_put(struct buf *buf, const void *bytes, size_t length);
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16(struct buf *buf, uint16_t value);
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
void buf_put_f64(struct buf *buf, double value);
void buf_put_varint(struct buf *buf, uint64_t value);
void buf_put_svarint(struct buf *buf, int64_t value);                /* zigzag */
void buf_put_text(struct buf *buf, const char *text, size_t length); /* varint length, bytes */
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *buf, const char *format,
                                                      ...); /* no ending 0 */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* read past the end or malformed once: later reads give 0 */
};

struct cursor cursor_of(const void *bytes, size_t length);
static inline size_t cursor_left(const struct cursor *cursor)
{
    return cursor->failed ? 0 : (size_t)(cursor->end - cursor->at);
}
uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_u16(struct cursor *cursor);
uint32_t cursor_u32(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);
double cursor_f64(struct cursor *cursor);
uint64_t cursor_varint(struct cursor *cursor);
int64_t cursor_svarint(struct cursor *cursor);
/* The next `length` bytes in place, or NULL. */
const uint8_t *cursor_bytes(struct cursor *cursor, size_t length);
/* What buf_put_text wrote, in place and not ended by 0; sets *ret_length (0 on failure). */
const char *cursor_text(struct cursor *cursor, size_t *ret_length);

#endif
