#include "pages_inner.h"
#include <base/error.h>
#include <inttypes.h>
#include <string.h>

struct bounds { /* of the keys below a branch: low <= key < high; a NULL one: none */
    const uint8_t *low, *high;
    size_t low_length, high_length;
};

struct node {
    const uint8_t *key;
    size_t key_length;
    const uint8_t *at; /* behind the key */
    uint32_t length;   /* of a leaf's value */
    uint64_t child;    /* of a branch */
    uint16_t flags;
};

struct walk {
    struct pages *pages;
    const struct tree *tree;
    struct tree seen; /* what there is of it */
    unsigned level;   /* where the root lies in pages->levels */
    pages_entry *entry;
    poise_error *err;
};

static int compare(const struct walk *walk, const uint8_t *a, size_t a_length, const uint8_t *b,
                   size_t b_length)
{
    if (walk->tree->flags & TREE_INTEGERS) { /* 8 bytes each: checked when they were read */
        uint64_t left = get_u64(a), right = get_u64(b);
        return (left > right) - (left < right);
    }
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

/* ---- a page and its nodes ---- */

static poise_code read_node(const struct walk *walk, uint64_t number, const uint8_t *page, unsigned index,
                            struct node *ret_node, size_t *bytes)
{
    const struct pages *pages = walk->pages;
    bool leaf = get_u16(page + 10) == PAGE_LEAF;
    size_t upper = get_u16(page + 14), at = get_u16(page + PAGE_HEAD + 2 * index);
    if (at < upper || at % 2 || at + NODE_HEAD > pages->page_bytes) {
        return pages_damaged(pages, number, walk->err, "entry %u lies at %zu", index, at);
    }
    const uint8_t *head = page + at;
    struct node node = {.key = head + NODE_HEAD,
                        .key_length = get_u16(head + 6),
                        .flags = leaf ? get_u16(head + 4) : 0,
                        .length = leaf ? get_u32(head) : 0};
    node.at = node.key + node.key_length;
    if (!leaf) {
        node.child = get_u32(head) | (uint64_t)get_u16(head + 4) << 32;
    }
    uint64_t here = node.flags & NODE_BIG ? sizeof(uint64_t) : node.length;
    uint64_t size = (NODE_HEAD + node.key_length + here + 1) & ~UINT64_C(1);
    if (size > pages->page_bytes - at) {
        return pages_damaged(pages, number, walk->err, "entry %u does not fit", index);
    }
    if (node.flags & ~(NODE_BIG | NODE_TABLE)) {
        return pages_damaged(pages, number, walk->err, "entry %u is of a kind that is not used", index);
    }
    bool is_first_of_branch =
        !leaf && index == 0; /* its key stands for all that is less, and is not looked at */
    bool integers = walk->tree->flags & TREE_INTEGERS;
    if (!is_first_of_branch && (node.key_length == 0 || (integers && node.key_length != sizeof(uint64_t)))) {
        return pages_damaged(pages, number, walk->err, "entry %u has a key of %zu bytes", index,
                             node.key_length);
    }
    *ret_node = node;
    *bytes += size;
    return POISE_OK;
}

static poise_code check_order(const struct walk *walk, uint64_t number, unsigned index,
                              const struct node *node, const struct node *before, const struct bounds *bounds)
{
    const struct pages *pages = walk->pages;
    if (before && compare(walk, before->key, before->key_length, node->key, node->key_length) >= 0) {
        return pages_damaged(pages, number, walk->err, "the key of entry %u is not behind the one before it",
                             index);
    }
    if (bounds->low && compare(walk, node->key, node->key_length, bounds->low, bounds->low_length) < 0) {
        return pages_damaged(pages, number, walk->err,
                             "the key of entry %u is below what the page above says", index);
    }
    if (bounds->high && compare(walk, node->key, node->key_length, bounds->high, bounds->high_length) >= 0) {
        return pages_damaged(pages, number, walk->err,
                             "the key of entry %u is above what the page above says", index);
    }
    return POISE_OK;
}

/* The head of a page, its entries' order and sizes; `ret_count` of them. */
static poise_code check_page(struct walk *walk, uint64_t number, const uint8_t *page, unsigned kind,
                             const struct bounds *bounds, unsigned *ret_count)
{
    const struct pages *pages = walk->pages;
    size_t lower = get_u16(page + 12), upper = get_u16(page + 14), bytes = 0;
    if (get_u64(page) != number || get_u16(page + 10) != kind) {
        return pages_damaged(pages, number, walk->err,
                             "it says that it is page %" PRIu64 " of kind %u, not %u", get_u64(page),
                             get_u16(page + 10), kind);
    }
    if (lower < PAGE_HEAD || lower % 2 || lower > upper || upper > pages->page_bytes) {
        return pages_damaged(pages, number, walk->err, "its free room is from %zu to %zu", lower, upper);
    }
    unsigned count = (unsigned)((lower - PAGE_HEAD) / 2);
    if (count == 0) {
        return pages_damaged(pages, number, walk->err, "it is empty");
    }
    struct node node = {0}, before = {0};
    for (unsigned i = 0; i < count; i++) {
        poise_code code = read_node(walk, number, page, i, &node, &bytes);
        bool unordered = kind == PAGE_BRANCH && i == 0;
        if (code == POISE_OK && !unordered) {
            bool has_before = i > (kind == PAGE_BRANCH ? 1U : 0U);
            code = check_order(walk, number, i, &node, has_before ? &before : NULL, bounds);
        }
        if (code != POISE_OK) {
            return code;
        }
        before = node;
    }
    if (bytes != pages->page_bytes - upper) {
        return pages_damaged(pages, number, walk->err, "its entries take %zu bytes, not %zu", bytes,
                             pages->page_bytes - upper);
    }
    *ret_count = count;
    return POISE_OK;
}

/* ---- leaves ---- */

static poise_code read_big(struct walk *walk, const struct node *node, struct cursor *ret_value)
{
    struct pages *pages = walk->pages;
    uint8_t head[PAGE_HEAD];
    uint64_t first = get_u64(node->at);
    uint64_t wanted = (PAGE_HEAD - 1 + (uint64_t)node->length) / pages->page_bytes + 1;
    poise_code code = pages_read(pages, first, 0, head, sizeof head, walk->err);
    if (code != POISE_OK) {
        return code;
    }
    uint64_t count = get_u32(head + 12);
    if (get_u64(head) != first || get_u16(head + 10) != PAGE_OVERFLOW || count < wanted) {
        return pages_damaged(pages, first, walk->err, "it does not begin a value of %" PRIu32 " bytes",
                             node->length);
    }
    walk->seen.overflows += count;
    code = pages_take(pages, first, count, walk->err);
    if (code != POISE_OK) {
        return code;
    }
    if (pages->file_bytes - first * pages->page_bytes < PAGE_HEAD + (uint64_t)node->length) {
        return pages_damaged(pages, first, walk->err,
                             "its value of %" PRIu32 " bytes reaches over the end of the file", node->length);
    }
    buf_reset(&pages->value);
    if (!buf_reserve(&pages->value, node->length)) {
        return error_nomem(walk->err, "a value of the store");
    }
    *ret_value = cursor_of(pages->value.data, node->length);
    return pages_read(pages, first, PAGE_HEAD, pages->value.data, node->length, walk->err);
}

static poise_code walk_leaf(struct walk *walk, uint64_t number, const uint8_t *page, unsigned count)
{
    poise_code code = POISE_OK;
    size_t bytes = 0;
    walk->seen.leaves++;
    for (unsigned i = 0; i < count && code == POISE_OK; i++) {
        struct node node;
        struct cursor value;
        code = read_node(walk, number, page, i, &node, &bytes);
        if (code == POISE_OK) {
            value = cursor_of(node.at, node.length);
            code = node.flags & NODE_BIG ? read_big(walk, &node, &value) : POISE_OK;
        }
        if (code == POISE_OK) {
            code =
                walk->entry(walk->pages, node.flags, cursor_of(node.key, node.key_length), value, walk->err);
        }
        walk->seen.entries++;
    }
    return code;
}

/* ---- branches ---- */

static poise_code walk_page(struct walk *walk, uint64_t number, unsigned depth, const struct bounds *bounds);

static poise_code walk_branch(struct walk *walk, uint64_t number, const uint8_t *page, unsigned count,
                              unsigned depth, const struct bounds *bounds)
{
    poise_code code = POISE_OK;
    size_t bytes = 0;
    walk->seen.branches++;
    for (unsigned i = 0; i < count && code == POISE_OK; i++) {
        struct node node, next = {0};
        struct bounds below = *bounds;
        code = read_node(walk, number, page, i, &node, &bytes);
        if (code == POISE_OK && i + 1 < count) {
            code = read_node(walk, number, page, i + 1, &next, &bytes);
            below.high = next.key;
            below.high_length = next.key_length;
        }
        if (i > 0) {
            below.low = node.key;
            below.low_length = node.key_length;
        }
        if (code == POISE_OK) {
            code = walk_page(walk, node.child, depth + 1, &below);
        }
    }
    return code;
}

/* depth: 1 is the root. */
static poise_code walk_page(struct walk *walk, uint64_t number, unsigned depth, const struct bounds *bounds)
{
    struct pages *pages = walk->pages;
    unsigned kind = depth == walk->tree->depth ? PAGE_LEAF : PAGE_BRANCH, count = 0;
    uint8_t *page = pages->levels + (size_t)(walk->level + depth - 1) * pages->page_bytes;
    poise_code code = pages_take(pages, number, 1, walk->err);
    if (code == POISE_OK) {
        code = pages_read(pages, number, 0, page, pages->page_bytes, walk->err);
    }
    if (code == POISE_OK) {
        code = check_page(walk, number, page, kind, bounds, &count);
    }
    if (code != POISE_OK) {
        return code;
    }
    return kind == PAGE_LEAF ? walk_leaf(walk, number, page, count)
                             : walk_branch(walk, number, page, count, depth, bounds);
}

poise_code tree_walk(struct pages *pages, const struct tree *tree, unsigned level, pages_entry *entry,
                     poise_error *err)
{
    struct walk walk = {.pages = pages, .tree = tree, .level = level, .entry = entry, .err = err};
    bool empty = tree->root == PAGE_NONE;
    if (tree->depth > DEPTH_MAX || (tree->depth == 0) != empty) {
        return pages_damaged(pages, tree->root, err, "as the root of %u levels", tree->depth);
    }
    const struct bounds all = {0};
    poise_code code = empty ? POISE_OK : walk_page(&walk, tree->root, 1, &all);
    if (code != POISE_OK) {
        return code;
    }
    const struct tree *seen = &walk.seen;
    if (seen->entries != tree->entries || seen->branches != tree->branches || seen->leaves != tree->leaves ||
        seen->overflows != tree->overflows) {
        return pages_damaged(pages, tree->root, err,
                             "below it are %" PRIu64 " entries on %" PRIu64 " + %" PRIu64 " + %" PRIu64
                             " pages, not %" PRIu64 " on %" PRIu64 " + %" PRIu64 " + %" PRIu64,
                             seen->entries, seen->branches, seen->leaves, seen->overflows, tree->entries,
                             tree->branches, tree->leaves, tree->overflows);
    }
    return POISE_OK;
}
