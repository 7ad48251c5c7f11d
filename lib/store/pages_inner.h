/* What the two files of the walk share: pages.c has the file and what is in it, pages_tree.c one tree. */
#ifndef STORE_PAGES_INNER_H
#define STORE_PAGES_INNER_H

#include "pages.h"
#include <stdbool.h>

enum {
    PAGE_HEAD = 16,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,
    NODE_HEAD = 8,
    NODE_BIG = 1, /* flags of a node: its value lies on pages of its own; it is a table */
    NODE_TABLE = 2,
    TREE_BYTES = 48,
    TREE_INTEGERS =
        8, /* flags of a tree: keys are integers of this machine; of the environment: MDB_NOSUBDIR */
    MADE_AS_FILE = 0x4000,
    DEPTH_MAX = 32,
    TABLE_NAME_MAX = 63
};
#define PAGE_NONE UINT64_MAX

struct tree { /* MDB_db: what is written about a table, to be found so */
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};

struct pages {
    const char *path;
    int fd;
    uint64_t file_bytes;
    uint32_t page_bytes;
    uint64_t last;                 /* page */
    uint64_t commit;               /* number of the last */
    uint8_t *used;                 /* a bit a page */
    uint8_t *levels;               /* DEPTH_MAX pages: the way down to where the walk is */
    struct buf value;              /* of overflow pages */
    const char *table;             /* where the walk is, for messages */
    char name[TABLE_NAME_MAX + 1]; /* of it */
    struct pages_found found;
    const struct pages_visitor *visitor;
};

typedef poise_code pages_entry(struct pages *pages, uint16_t node_flags, struct cursor key,
                               struct cursor value, poise_error *err);

uint16_t get_u16(const uint8_t *at);
uint32_t get_u32(const uint8_t *at);
uint64_t get_u64(const uint8_t *at);
__attribute__((format(printf, 4, 5))) poise_code pages_damaged(const struct pages *pages, uint64_t page,
                                                               poise_error *err, const char *format, ...);
/* So many bytes of the file from a page on; ECORRUPT where it ends before. */
poise_code pages_read(const struct pages *pages, uint64_t page, uint64_t offset, void *bytes, size_t length,
                      poise_error *err);
/* These pages are used, and were not before. */
poise_code pages_take(struct pages *pages, uint64_t page, uint64_t count, poise_error *err);
struct tree tree_of(const uint8_t bytes[TREE_BYTES]);
/* All of a tree, in order; `level`: of pages->levels, the first that it may use. */
poise_code tree_walk(struct pages *pages, const struct tree *tree, unsigned level, pages_entry *entry,
                     poise_error *err);

#endif
