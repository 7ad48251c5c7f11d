#include <base/hash.h>
#include <isa-l/crc.h>
#include <limits.h>
#include <xxhash.h>

uint64_t hash64(const void *bytes, size_t length, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, length, seed);
}

struct hash128 hash128(const void *bytes, size_t length, uint64_t seed)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, length, seed);
    return (struct hash128){.low = hash.low64, .high = hash.high64};
}

/* The finalizer of MurmurHash3. */
static uint64_t spread(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

uint64_t hash_mix(uint64_t a, uint64_t b)
{
    return spread(spread(a + 0x9e3779b97f4a7c15ULL) ^ b);
}

/* ISA-L leaves the inversions at both ends to us and counts in int. */
uint32_t crc32c(const void *bytes, size_t length)
{
    unsigned char *at = (unsigned char *)(uintptr_t)bytes; /* only read; its prototype lacks const */
    uint32_t crc = UINT32_MAX;
    while (length > 0) {
        int part = length < INT_MAX ? (int)length : INT_MAX;
        crc = crc32_iscsi(at, part, crc);
        at += part;
        length -= (size_t)part;
    }
    return ~crc;
}
