#include "inner.h"
#include <base/error.h>
#include <base/hash.h>
#include <string.h>

enum {
    PART_BYTES = SORTED_BLOCK_MAX / FILTER_LINE * FILTER_LINE, /* of a filter */
    HASHES_A_STEP = 1 << 16                                    /* into it, some ms where it is large */
};

poise_code state_build_open(struct state_build *build, size_t entries, poise_error *err)
{
    bool ok = entries == 0 || filter_make(&build->run.filter, entries);
    return ok ? POISE_OK : error_nomem(err, "the filter of a run");
}

void state_build_free(struct state_build *build)
{
    sorted_writer_free(&build->block);
    buf_free(&build->slice);
    buf_free(&build->hashes);
    filter_free(&build->run.filter);
    *build = (struct state_build){0};
}

static void add_put(struct buf *slice, const uint8_t *key, size_t key_length, const void *value,
                    size_t length)
{
    buf_put_text(slice, (const char *)key, key_length);
    buf_put_text(slice, value, length);
}

static void put_block(struct state_build *build)
{
    struct sorted_writer *block = &build->block;
    uint8_t key[STATE_BLOCK_KEY_MAX];
    if (block->count == 0) {
        return;
    }
    sorted_finish(block);
    add_put(&build->slice, key, state_block_key(build->run.id, block->first, block->first_length, key),
            block->bytes.data, block->bytes.length);
    build->run.bytes += block->bytes.length;
    build->slice.failed |= block->bytes.failed;
    sorted_reset(block);
}

poise_code state_build_add(struct state_build *build, const struct sorted_entry *entry, poise_error *err)
{
    size_t before = build->block.bytes.length;
    if (!sorted_add(&build->block, entry)) {
        put_block(build);
        before = 0;
        (void)sorted_add(&build->block, entry); /* the first one always fits */
    }
    build->run.table_bytes[entry->key[0] % STORE_TABLES] += build->block.bytes.length - before;
    uint64_t hash = hash64(entry->key, entry->key_length, 0);
    if (build->run.filter.lines > 0) {
        filter_add(&build->run.filter, hash);
    } else {
        buf_put(&build->hashes, &hash, sizeof hash);
    }
    build->run.entries[entry->key[0] % STORE_TABLES]++;
    bool failed = build->block.bytes.failed || build->slice.failed || build->hashes.failed;
    return failed ? error_nomem(err, "a run of state") : POISE_OK;
}

poise_code state_build_end(struct state_build *build, poise_error *err)
{
    put_block(build);
    if (state_run_entries(&build->run) == 0) {
        filter_free(&build->run.filter);
    } else if (build->run.filter.lines == 0 &&
               !filter_make(&build->run.filter, build->hashes.length / sizeof(uint64_t))) {
        return error_nomem(err, "the filter of a run");
    }
    build->run.bytes += build->run.filter.lines * FILTER_LINE;
    return build->slice.failed ? error_nomem(err, "a run of state") : POISE_OK;
}

static bool add_hashes(struct state_build *build)
{
    size_t count = build->hashes.length / sizeof(uint64_t);
    for (size_t i = 0; i < HASHES_A_STEP && build->hash_at < count; i++) {
        uint64_t hash;
        memcpy(&hash, build->hashes.data + build->hash_at++ * sizeof hash, sizeof hash);
        filter_add(&build->run.filter, hash);
    }
    return build->hash_at == count;
}

poise_code state_build_filter(struct state_build *build, bool *ret_done, poise_error *err)
{
    const struct filter *filter = &build->run.filter;
    const uint8_t *bytes = (const uint8_t *)filter->words;
    size_t length = filter->lines * FILTER_LINE;
    *ret_done = false;
    if (!add_hashes(build)) {
        return POISE_OK;
    }
    while (build->filter_at < length && build->slice.length < STATE_SLICE_BYTES) {
        uint8_t key[STATE_FILTER_KEY];
        size_t at = build->filter_at, part = length - at < PART_BYTES ? length - at : PART_BYTES;
        add_put(&build->slice, key, state_filter_key(build->run.id, (uint32_t)(at / PART_BYTES), key),
                bytes + at, part);
        build->filter_at += part;
    }
    *ret_done = build->filter_at == length;
    return build->slice.failed ? error_nomem(err, "the filter of a run") : POISE_OK;
}
