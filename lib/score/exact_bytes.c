#include "exact_internal.h"
#include <base/buf.h>
#include <string.h>

static uint8_t byte_at(const uint64_t *limbs, size_t at)
{
    return (uint8_t)(limbs[at / 8] >> (8 * (at % 8)));
}

/* The number of bytes, the place of the lowest (none for 0), then the bytes: the wide form without zeros
 * below and copies of the sign above. */
void exact_encode(const struct exact *sum, struct buf *out)
{
    uint64_t wide[WIDE_LIMBS];
    exact_spread(sum, wide);
    size_t low = 0, high = WIDE_BYTES;
    while (low < high && byte_at(wide, low) == 0) {
        low++;
    }
    uint8_t sign = limbs_negative(wide, WIDE_LIMBS) ? 0xff : 0;
    while (high > low + 1 && byte_at(wide, high - 1) == sign &&
           (byte_at(wide, high - 2) & 0x80) == (sign & 0x80)) {
        high--;
    }
    buf_put_u8(out, (uint8_t)(high - low));
    if (high > low) {
        buf_put_u8(out, (uint8_t)low);
        for (size_t i = low; i < high; i++) {
            buf_put_u8(out, byte_at(wide, i));
        }
    }
}

static bool read_wide(struct cursor *in, uint64_t wide[WIDE_LIMBS])
{
    memset(wide, 0, WIDE_BYTES);
    size_t count = cursor_u8(in);
    if (count == 0) {
        return !in->failed;
    }
    size_t low = cursor_u8(in);
    const uint8_t *bytes = low + count <= WIDE_BYTES ? cursor_bytes(in, count) : NULL;
    if (!bytes) {
        return false;
    }
    uint8_t sign = bytes[count - 1] & 0x80 ? 0xff : 0;
    for (size_t i = low; i < WIDE_BYTES; i++) {
        wide[i / 8] |= (uint64_t)(i - low < count ? bytes[i - low] : sign) << (8 * (i % 8));
    }
    return true;
}

poise_code exact_decode(struct exact *sum, struct cursor *in)
{
    uint64_t wide[WIDE_LIMBS];
    if (!read_wide(in, wide)) {
        return POISE_ECORRUPT;
    }
    return exact_assign(sum, wide) ? POISE_OK : POISE_ENOMEM;
}
