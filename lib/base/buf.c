#include <base/buf.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64, VARINT_MAX = 10 };

void buf_free(struct buf *buf)
{
    if (buf) {
        free(buf->data);
        *buf = (struct buf){0};
    }
}

void buf_reset(struct buf *buf)
{
    buf->length = 0;
    buf->failed = false;
}

static bool grow(struct buf *buf, size_t more)
{
    if (more > SIZE_MAX / 2 - buf->length) {
        buf->failed = true;
        return false;
    }
    size_t capacity = buf->capacity ? buf->capacity : FIRST_CAPACITY;
    while (capacity - buf->length < more) {
        capacity *= 2;
    }
    uint8_t *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

bool buf_reserve(struct buf *buf, size_t more)
{
    return !buf->failed && (buf->capacity - buf->length >= more || grow(buf, more));
}

void buf_put(struct buf *buf, const void *bytes, size_t length)
{
    if (length > 0 && buf_reserve(buf, length)) {
        memcpy(buf->data + buf->length, bytes, length);
        buf->length += length;
    }
}

static void put_little(struct buf *buf, uint64_t value, size_t width)
{
    if (buf_reserve(buf, width)) {
        uint64_t little = htole64(value);
        memcpy(buf->data + buf->length, &little, width);
        buf->length += width;
    }
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
    put_little(buf, value, 1);
}

void buf_put_u16(struct buf *buf, uint16_t value)
{
    put_little(buf, value, 2);
}

void buf_put_u32(struct buf *buf, uint32_t value)
{
    put_little(buf, value, 4);
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
    put_little(buf, value, 8);
}

void buf_put_f64(struct buf *buf, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_little(buf, bits, 8);
}

void buf_put_varint(struct buf *buf, uint64_t value)
{
    if (!buf_reserve(buf, VARINT_MAX)) {
        return;
    }
    while (value >= 0x80) {
        buf->data[buf->length++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    buf->data[buf->length++] = (uint8_t)value;
}

void buf_put_svarint(struct buf *buf, int64_t value)
{
    uint64_t sign = value < 0 ? UINT64_MAX : 0;
    buf_put_varint(buf, ((uint64_t)value << 1) ^ sign);
}

void buf_put_text(struct buf *buf, const char *text, size_t length)
{
    buf_put_varint(buf, length);
    buf_put(buf, text, length);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    if (!buf_reserve(buf, FIRST_CAPACITY)) {
        return;
    }
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t room = buf->capacity - buf->length;
    int wanted = vsnprintf((char *)buf->data + buf->length, room, format, arguments);
    if (wanted < 0) {
        buf->failed = true;
    } else if ((size_t)wanted >= room && buf_reserve(buf, (size_t)wanted + 1)) {
        vsnprintf((char *)buf->data + buf->length, (size_t)wanted + 1, format, again);
    }
    if (!buf->failed) {
        buf->length += (size_t)wanted;
    }
    va_end(again);
    va_end(arguments);
}

struct cursor cursor_of(const void *bytes, size_t length)
{
    static const uint8_t nothing[1];
    const uint8_t *at = length > 0 ? bytes : nothing;
    return (struct cursor){.at = at, .end = at + length};
}

const uint8_t *cursor_bytes(struct cursor *cursor, size_t length)
{
    if (cursor->failed || length > (size_t)(cursor->end - cursor->at)) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *bytes = cursor->at;
    cursor->at += length;
    return bytes;
}

static uint64_t take_little(struct cursor *cursor, size_t width)
{
    const uint8_t *bytes = cursor_bytes(cursor, width);
    uint64_t little = 0;
    if (bytes) {
        memcpy(&little, bytes, width);
    }
    return le64toh(little);
}

uint8_t cursor_u8(struct cursor *cursor)
{
    return (uint8_t)take_little(cursor, 1);
}

uint16_t cursor_u16(struct cursor *cursor)
{
    return (uint16_t)take_little(cursor, 2);
}

uint32_t cursor_u32(struct cursor *cursor)
{
    return (uint32_t)take_little(cursor, 4);
}

uint64_t cursor_u64(struct cursor *cursor)
{
    return take_little(cursor, 8);
}

double cursor_f64(struct cursor *cursor)
{
    uint64_t bits = take_little(cursor, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t cursor_varint(struct cursor *cursor)
{
    if (cursor->failed) {
        return 0;
    }
    uint64_t value = 0;
    const uint8_t *at = cursor->at;
    for (unsigned shift = 0; at < cursor->end && shift < 7 * VARINT_MAX; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1) {
            break; /* beyond 64 bits */
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            cursor->at = at;
            return value;
        }
    }
    cursor->failed = true;
    return 0;
}

int64_t cursor_svarint(struct cursor *cursor)
{
    uint64_t zigzag = cursor_varint(cursor);
    return (int64_t)((zigzag >> 1) ^ (~(zigzag & 1) + 1));
}

const char *cursor_text(struct cursor *cursor, size_t *ret_length)
{
    uint64_t length = cursor_varint(cursor);
    const char *text = (const char *)cursor_bytes(cursor, length);
    *ret_length = text ? length : 0;
    return text;
}
