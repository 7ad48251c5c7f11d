#include "pages_inner.h"
#include <base/error.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FREE_TREE,
    MAIN_TREE,
    META_BYTES = PAGE_HEAD + 136,
    META_VERSION = 1,
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 32768,
    METAS = 2 /* commits write them by turns */
};
static const uint32_t META_MAGIC = 0xBEEFC0DE;

uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

uint32_t get_u32(const uint8_t *at)
{
    return get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}

uint64_t get_u64(const uint8_t *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

poise_code pages_damaged(const struct pages *pages, uint64_t page, poise_error *err, const char *format, ...)
{
    char what[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return error_set(err, POISE_ECORRUPT, "%s is damaged: page %" PRIu64 " of %s: %s; restore a backup",
                     pages->path, page, pages->table, what);
}

/* ---- the file ---- */

static poise_code read_at(const struct pages *pages, uint64_t at, void *bytes, size_t length,
                          poise_error *err)
{
    uint8_t *out = bytes;
    while (length > 0) {
        ssize_t count = pread(pages->fd, out, length, (off_t)at);
        if (count == 0) {
            return error_set(err, POISE_ECORRUPT,
                             "%s is damaged: it ends at byte %" PRIu64 "; restore a backup", pages->path, at);
        }
        if (count < 0 && errno != EINTR) {
            return error_errno(err, POISE_EIO, "cannot read %s at byte %" PRIu64, pages->path, at);
        }
        if (count > 0) {
            out += count;
            at += (uint64_t)count;
            length -= (size_t)count;
        }
    }
    return POISE_OK;
}

poise_code pages_read(const struct pages *pages, uint64_t page, uint64_t offset, void *bytes, size_t length,
                      poise_error *err)
{
    if (page > pages->last || page >= pages->file_bytes / pages->page_bytes) {
        return pages_damaged(pages, page, err, "it is not in the file, which has %" PRIu64,
                             pages->file_bytes / pages->page_bytes);
    }
    return read_at(pages, page * pages->page_bytes + offset, bytes, length, err);
}

poise_code pages_take(struct pages *pages, uint64_t page, uint64_t count, poise_error *err)
{
    if (page < METAS || page > pages->last || count > pages->last - page + 1) {
        return pages_damaged(pages, page, err, "it and %" PRIu64 " more are not between %d and %" PRIu64,
                             count - 1, METAS, pages->last);
    }
    for (uint64_t i = page; i < page + count; i++) {
        if (pages->used[i / 8] & 1U << i % 8) {
            return pages_damaged(pages, i, err, "it is used twice, or free");
        }
        pages->used[i / 8] |= (uint8_t)(1U << i % 8);
    }
    return POISE_OK;
}

struct tree tree_of(const uint8_t bytes[TREE_BYTES])
{
    return (struct tree){.flags = get_u16(bytes + 4),
                         .depth = get_u16(bytes + 6),
                         .branches = get_u64(bytes + 8),
                         .leaves = get_u64(bytes + 16),
                         .overflows = get_u64(bytes + 24),
                         .entries = get_u64(bytes + 32),
                         .root = get_u64(bytes + 40)};
}

/* ---- meta pages ---- */

struct meta {
    uint32_t page_bytes;
    struct tree trees[2];
    uint64_t last, commit;
};

static poise_code read_meta(const struct pages *pages, unsigned number, uint64_t at, struct meta *ret_meta,
                            poise_error *err)
{
    uint8_t bytes[META_BYTES];
    poise_code code = read_at(pages, at, bytes, sizeof bytes, err);
    if (code != POISE_OK) {
        return code;
    }
    const uint8_t *meta = bytes + PAGE_HEAD, *free_tree = meta + 24;
    if (get_u64(bytes) != number || get_u16(bytes + 10) != PAGE_META || get_u32(meta) != META_MAGIC) {
        return pages_damaged(pages, number, err, "it is no meta page of LMDB");
    }
    if (get_u32(meta + 4) != META_VERSION) {
        return error_set(err, POISE_EVERSION,
                         "%s has version %" PRIu32 " of LMDB's format, this knows %d only", pages->path,
                         get_u32(meta + 4), META_VERSION);
    }
    *ret_meta = (struct meta){.page_bytes = get_u32(free_tree),
                              .trees = {tree_of(free_tree), tree_of(free_tree + TREE_BYTES)},
                              .last = get_u64(free_tree + (size_t)2 * TREE_BYTES),
                              .commit = get_u64(free_tree + (size_t)2 * TREE_BYTES + 8)};
    uint32_t size = ret_meta->page_bytes;
    if (size < PAGE_BYTES_MIN || size > PAGE_BYTES_MAX || (size & (size - 1)) != 0) {
        return pages_damaged(pages, number, err, "it says that pages have %" PRIu32 " bytes", size);
    }
    return POISE_OK;
}

/* The last commit's. That each of the two bears the number of the commit before or behind the other's shows
 * one that is not: LMDB takes the higher, and so would silently go back a commit. */
static poise_code read_metas(struct pages *pages, struct meta *ret_meta, poise_error *err)
{
    struct meta metas[METAS];
    poise_code code = read_meta(pages, 0, 0, &metas[0], err);
    if (code == POISE_OK) {
        code = read_meta(pages, 1, metas[0].page_bytes, &metas[1], err);
    }
    if (code != POISE_OK) {
        return code;
    }
    unsigned newer = metas[1].commit > metas[0].commit;
    const struct meta *meta = &metas[newer], *other = &metas[!newer];
    if (meta->page_bytes != other->page_bytes || meta->commit % METAS != newer ||
        meta->commit - other->commit != 1) {
        return pages_damaged(pages, newer, err,
                             "the two meta pages, of commits %" PRIu64 " and %" PRIu64
                             ", do not follow each other",
                             metas[0].commit, metas[1].commit);
    }
    /* The environment's own flags stand with those of the first tree; it was made as a file alone. */
    if ((meta->trees[FREE_TREE].flags & ~(unsigned)MADE_AS_FILE) != TREE_INTEGERS ||
        meta->trees[MAIN_TREE].flags != 0) {
        return pages_damaged(pages, newer, err, "its trees are of kinds that are not used");
    }
    if (meta->last < METAS - 1 || meta->last > INT64_MAX / meta->page_bytes) {
        return pages_damaged(pages, newer, err, "it says that page %" PRIu64 " is the last", meta->last);
    }
    *ret_meta = *meta;
    return POISE_OK;
}

/* ---- what is in it ---- */

/* An entry of the list of free pages: their number, then they themselves, falling. */
static poise_code take_free(struct pages *pages, uint16_t node_flags, struct cursor key, struct cursor value,
                            poise_error *err)
{
    uint64_t commit = cursor_u64(&key), count = cursor_u64(&value), before = PAGE_NONE;
    if (node_flags & NODE_TABLE || value.failed || count > cursor_left(&value) / sizeof(uint64_t) ||
        commit > pages->commit) {
        return pages_damaged(pages, 0, err, "the entry of commit %" PRIu64 " is no list of pages", commit);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t page = cursor_u64(&value);
        if (page >= before) {
            return pages_damaged(pages, page, err, "it is not in order");
        }
        poise_code code = pages_take(pages, page, 1, err);
        if (code != POISE_OK) {
            return code;
        }
        before = page;
    }
    pages->found.free_pages += count;
    return POISE_OK;
}

static poise_code take_entry(struct pages *pages, uint16_t node_flags, struct cursor key, struct cursor value,
                             poise_error *err)
{
    if (node_flags & NODE_TABLE) {
        return pages_damaged(pages, 0, err, "an entry is a table");
    }
    pages->found.entries++;
    return pages->visitor->entry(pages->visitor->context, pages->table, key, value);
}

static poise_code take_table(struct pages *pages, uint16_t node_flags, struct cursor key, struct cursor value,
                             poise_error *err)
{
    size_t length = cursor_left(&key);
    if (node_flags != NODE_TABLE || cursor_left(&value) != TREE_BYTES || length > TABLE_NAME_MAX) {
        return pages_damaged(pages, 0, err, "an entry is no table");
    }
    struct tree tree = tree_of(value.at);
    memcpy(pages->name, key.at, length);
    pages->name[length] = '\0';
    if (tree.flags != 0) {
        return pages_damaged(pages, tree.root, err, "table %s is of a kind that is not used", pages->name);
    }
    const char *above = pages->table;
    pages->table = pages->name;
    pages->found.tables++;
    poise_code code = pages->visitor->table(pages->visitor->context, pages->name);
    if (code == POISE_OK) {
        code = tree_walk(pages, &tree, DEPTH_MAX, take_entry, err);
    }
    pages->table = above;
    return code;
}

static poise_code check_all_used(const struct pages *pages, poise_error *err)
{
    for (uint64_t i = METAS; i <= pages->last; i++) {
        if (!(pages->used[i / 8] & 1U << i % 8)) {
            return pages_damaged(pages, i, err, "nothing uses it, and it is not free");
        }
    }
    return POISE_OK;
}

static poise_code walk_all(struct pages *pages, const struct meta *meta, poise_error *err)
{
    pages->page_bytes = meta->page_bytes;
    pages->last = meta->last;
    pages->commit = meta->commit;
    pages->found.pages = meta->last + 1;
    pages->found.page_bytes = meta->page_bytes;
    if (meta->last / 64 > pages->file_bytes) { /* a bound for what the bits may take */
        return pages_damaged(pages, meta->last, err, "it is the last, and far beyond the end of the file");
    }
    pages->used = calloc(meta->last / 8 + 1, 1);
    pages->levels = malloc((size_t)2 * DEPTH_MAX * meta->page_bytes); /* of the main tree, and of a table's */
    if (!pages->used || !pages->levels) {
        return error_nomem(err, "the walk over the store's pages");
    }
    pages->table = "the list of free pages";
    poise_code code = tree_walk(pages, &meta->trees[FREE_TREE], 0, take_free, err);
    if (code == POISE_OK) {
        pages->table = "the list of tables";
        code = tree_walk(pages, &meta->trees[MAIN_TREE], 0, take_table, err);
    }
    pages->table = "no table";
    return code == POISE_OK ? check_all_used(pages, err) : code;
}

poise_code pages_walk(const char *path, const struct pages_visitor *visitor, struct pages_found *ret_found,
                      poise_error *err)
{
    struct pages pages = {.path = path, .table = "no table", .visitor = visitor};
    struct stat file;
    struct meta meta;
    pages.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (pages.fd < 0) {
        return error_errno(err, errno == ENOENT ? POISE_ENOTFOUND : POISE_EIO, "cannot open %s", path);
    }
    poise_code code = POISE_OK;
    if (fstat(pages.fd, &file) != 0) {
        code = error_errno(err, POISE_EIO, "cannot look at %s", path);
    } else {
        pages.file_bytes = (uint64_t)file.st_size;
        code = read_metas(&pages, &meta, err);
    }
    if (code == POISE_OK) {
        code = walk_all(&pages, &meta, err);
    }
    close(pages.fd); /* only read: nothing can be lost */
    free(pages.used);
    free(pages.levels);
    buf_free(&pages.value);
    if (code == POISE_OK) {
        *ret_found = pages.found;
    }
    return code;
}
