/* Blocks of entries in the order of their keys, which runs of state are made of (state.h), and the filters
 * that say which keys a run does not have. Pure: bytes in, bytes out. docs/storage.md has the bytes. */
#ifndef STORE_SORTED_H
#define STORE_SORTED_H

#include <base/buf.h>

enum {
    SORTED_BLOCK_MAX = 16364, /* with a CRC and LMDB's head four pages; more only where one entry is larger */
    SORTED_KEY_MAX = 500,
    SORTED_GROUP = 16 /* entries that share what their keys begin with; a search jumps from group to group */
};

struct sorted_entry {
    const uint8_t *key, *value; /* value NULL: there is none any more */
    size_t key_length, value_length;
};
int sorted_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);

/* A block under construction; zeroed at first. */
struct sorted_writer {
    struct buf bytes, groups; /* failed: out of memory */
    size_t count;
    size_t last_length;
    uint8_t last[SORTED_KEY_MAX], first[SORTED_KEY_MAX];
    size_t first_length;
};
void sorted_writer_free(struct sorted_writer *writer);
/* Appends an entry, whose key is above the last one's and has 1 to SORTED_KEY_MAX bytes. False: the block is
 * full: finish it, take its bytes, reset, and add the entry again. */
bool sorted_add(struct sorted_writer *writer, const struct sorted_entry *entry);
void sorted_finish(struct sorted_writer *writer); /* then `bytes` is the block, `first` its first key */
void sorted_reset(struct sorted_writer *writer);

/* Walks a block. Safe on any bytes. */
struct sorted_reader {
    const uint8_t *block;
    struct cursor groups, in;
    bool failed; /* the block is damaged */
    size_t key_length;
    uint8_t key[SORTED_KEY_MAX];
};
void sorted_open(struct sorted_reader *reader, const void *block, size_t length); /* before the first entry */
/* Before the first entry whose key is not below this one. */
void sorted_seek(struct sorted_reader *reader, const uint8_t *key, size_t length);
/* The next entry; it lives until the next call and as long as the block. False: none, or failed. */
bool sorted_next(struct sorted_reader *reader, struct sorted_entry *ret_entry);

/* ---- filters ---- */

/* A blocked Bloom filter: a key's eight bits lie in one line of 64 bytes. Some 1 % of the keys that were not
 * added seem to be there. (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007) */
enum { FILTER_LINE = 64, FILTER_KEYS = 48 /* of a line */ };
struct filter {
    uint64_t *words;
    size_t lines; /* 0: it knows nothing, every key may be there */
};
bool filter_make(struct filter *filter, size_t keys); /* false: out of memory */
void filter_free(struct filter *filter);
static inline uint64_t *filter_line(const struct filter *filter, uint64_t hash) /* it has lines */
{
    return filter->words + (size_t)(((hash >> 32) * filter->lines) >> 32) * (FILTER_LINE / 8);
}
void filter_add(struct filter *filter, uint64_t hash);
bool filter_may_have(const struct filter *filter, uint64_t hash);

#endif
