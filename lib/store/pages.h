/* LMDB's own pages (format 0.9, 64 bit, little-endian), read without LMDB: it believes them, and a flipped
 * bit in one may hide entries from it without a word. The walk goes over all that a reader could reach as of
 * the last commit, and is wrong about nothing that it passes: order of keys and their bounds in the pages
 * above, page numbers and kinds, counts, depth, and that each page is used once or free. docs/storage.md
 * lists it. */
#ifndef STORE_PAGES_H
#define STORE_PAGES_H

#include <base/buf.h>
#include <poise/error.h>

struct pages_found {
    uint64_t pages, free_pages; /* of the file; of these, those that nothing uses */
    uint64_t tables, entries;
    uint32_t page_bytes;
};
struct pages_visitor {
    void *context;
    poise_code (*table)(void *context, const char *name); /* before its entries; it may have none */
    poise_code (*entry)(void *context, const char *table, struct cursor key, struct cursor value);
};
/* Visits all tables and their entries in order; what a visit gets lives during the call. Other than OK ends
 * it and is passed on. ECORRUPT names page and table; EIO; ENOTFOUND: there is no such file; EVERSION. Nobody
 * may write meanwhile. No mapping: a disk that fails is EIO, not a signal. */
poise_code pages_walk(const char *path, const struct pages_visitor *visitor, struct pages_found *ret_found,
                      poise_error *err);

#endif
