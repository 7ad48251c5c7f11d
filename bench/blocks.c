/* bench_blocks: bytes and CPU time a row of blocks: of runs as they are compacted, and of what they are
 * merged to. `bench/chunk` runs it. */
#include "figures.h"
#include "values.h"
#include <stdio.h>
#include <stdlib.h>
#include <store/merge.h>
#include <string.h>

enum {
    TICK_MS = 10000,
    PAGE = 4096,
    PAGE_HEAD = 16, /* of LMDB, before a value that has pages of its own */
    NODE = 44,      /* what a key and its place take in a page of the tree, which is half full */
    LEAF_MAX = 1950 /* values up to about this stay in the tree */
};

struct variant {
    const char *name;
    uint32_t series, ticks, runs;
    uint32_t interleaved; /* series whose rows come between two of one */
    bool random;          /* in any order */
    uint32_t corrected;   /* a mark in the next run for one row in so many; 0: none */
};

struct kept {
    struct block *blocks;
    size_t count, capacity;
};

static void *room(size_t count, size_t size)
{
    void *bytes = calloc(count + 1, size);
    if (!bytes)
        die("out of memory");
    return bytes;
}

static poise_code keep(void *taker, const struct block *block, poise_error *err)
{
    struct kept *kept = taker;
    (void)err;
    if (kept->count == kept->capacity) {
        kept->capacity = kept->capacity ? 2 * kept->capacity : 64;
        kept->blocks = realloc(kept->blocks, kept->capacity * sizeof *kept->blocks);
        if (!kept->blocks)
            die("out of memory");
    }
    void *bytes = room(block->length, 1);
    memcpy(bytes, block->bytes, block->length);
    kept->blocks[kept->count] = *block;
    kept->blocks[kept->count++].bytes = bytes;
    return POISE_OK;
}

static void drop(struct kept *kept)
{
    for (size_t i = 0; i < kept->count; i++)
        free((void *)(uintptr_t)kept->blocks[i].bytes);
    free(kept->blocks);
    *kept = (struct kept){0};
}

/* ---- rows ---- */

struct rows { /* of all series, one after the other */
    int64_t *time_ms;
    double *value;
    uint64_t *ordinal, *gone;
};

static void make(struct rows *rows, const struct variant *variant)
{
    struct random random = {1}, places = {2};
    size_t count = (size_t)variant->series * variant->ticks;
    *rows = (struct rows){.time_ms = room(count, sizeof(int64_t)),
                          .value = room(count, sizeof(double)),
                          .ordinal = room(count, sizeof(uint64_t)),
                          .gone = room(count, sizeof(uint64_t))};
    for (uint32_t series = 0; series < variant->series; series++) {
        int64_t last = 0;
        for (uint32_t tick = 0; tick < variant->ticks; tick++) {
            size_t at = (size_t)series * variant->ticks + tick;
            uint64_t within = variant->random
                                  ? (uint64_t)random_between(&places, 0, (int64_t)variant->interleaved - 1)
                                  : series;
            rows->time_ms[at] = INT64_C(1764000000000) + (int64_t)tick * TICK_MS;
            rows->value[at] = next_value(&random, series, &last);
            rows->ordinal[at] = 1 + (uint64_t)tick * variant->interleaved + within;
            if (variant->corrected && random_between(&places, 1, variant->corrected) == 1)
                rows->gone[at] = rows->ordinal[at] + (uint64_t)variant->interleaved * variant->ticks;
        }
    }
}

static void add_marks(struct block_builder *builder, const struct block_place *place, const struct rows *rows,
                      size_t from, size_t until)
{
    poise_error err = {0};
    for (size_t i = from; i < until; i++) {
        const struct chunk_rows mark = {
            .count = 1, .time_ms = rows->time_ms + i, .ordinal = rows->ordinal + i, .gone = rows->gone + i};
        if (rows->gone[i])
            check(block_builder_add_marks(builder, place, &mark, &err), &err);
    }
}

/* Rows of the run-th part of the ticks, and marks of the part before it. */
static void build(const struct rows *rows, const struct variant *variant, uint32_t run, struct kept *kept)
{
    poise_error err = {0};
    struct block_builder *builder = block_builder_open(block_run(run + 1, 0), keep, kept);
    size_t each = variant->ticks / variant->runs, first = run * each;
    if (!builder)
        die("out of memory");
    for (uint32_t series = 0; series < variant->series; series++) {
        const struct block_place place = {.bucket = 20416, .input = 1, .series = series};
        size_t from = (size_t)series * variant->ticks + first;
        const struct chunk_rows part = {.count = each,
                                        .time_ms = rows->time_ms + from,
                                        .value = rows->value + from,
                                        .ordinal = rows->ordinal + from};
        if (variant->corrected && run > 0)
            add_marks(builder, &place, rows, from - each, from);
        check(block_builder_add(builder, &place, &part, &err), &err);
    }
    check(block_builder_end(builder, &err), &err);
    block_builder_close(builder);
}

/* ---- merging and reading ---- */

struct source {
    const struct kept *kept;
    size_t next;
};

static poise_code next_block(void *run, struct block_reader *ret_block, bool *ret_more, poise_error *err)
{
    struct source *source = run;
    *ret_more = source->next < source->kept->count;
    if (!*ret_more)
        return POISE_OK;
    const struct block *block = &source->kept->blocks[source->next++];
    return block_open(ret_block, &block->key, block->bytes, block->length, err);
}

static struct merge *open_merge(const struct kept *kept, struct source *sources, uint32_t runs, bool heads)
{
    struct merge_run opened[16];
    const struct merge_range range = {.until_series = UINT64_MAX,
                                      .from_ms = INT64_MIN,
                                      .until_ms = INT64_MAX,
                                      .keep_marks = !heads,
                                      .heads = heads};
    for (uint32_t i = 0; i < runs; i++) {
        sources[i] = (struct source){.kept = &kept[i]};
        opened[i] =
            (struct merge_run){.next = next_block, .run = &sources[i], .heads = true, .no_marks = heads};
    }
    struct merge *merge = merge_open(opened, runs, &range);
    if (!merge)
        die("out of memory");
    return merge;
}

static void merge_all(const struct kept *kept, uint32_t runs, struct kept *merged)
{
    poise_error err = {0};
    struct source sources[16];
    struct merge *merge = open_merge(kept, sources, runs, false);
    struct block_builder *builder = block_builder_open(block_run(runs, 1), keep, merged);
    if (!builder)
        die("out of memory");
    check(merge_build(merge, (struct block_place){.bucket = 20416, .input = 1}, builder, &err), &err);
    check(block_builder_end(builder, &err), &err);
    block_builder_close(builder);
    merge_close(merge);
}

static uint64_t read_all(const struct kept *kept, uint32_t runs, bool heads)
{
    poise_error err = {0};
    struct source sources[16];
    struct merge_item item;
    uint64_t rows = 0;
    struct merge *merge = open_merge(kept, sources, runs, heads);
    do {
        check(merge_next(merge, &item, &err), &err);
        rows += item.kind == MERGE_HEAD ? item.head.rows : item.kind == MERGE_ROWS ? item.rows.count : 0;
    } while (item.kind != MERGE_END);
    merge_close(merge);
    return rows;
}

/* ---- figures ---- */

static void say(const char *name, const char *what, double value)
{
    char text[96];
    snprintf(text, sizeof text, "%s_%s", name, what);
    figure(text, value);
}

static double on_disk(const struct kept *kept)
{
    double bytes = 0;
    for (size_t i = 0; i < kept->count; i++) {
        size_t length = kept->blocks[i].length, pages = (PAGE_HEAD + length + PAGE - 1) / PAGE;
        bytes += 2 * NODE + (double)(length > LEAF_MAX ? pages * PAGE : 2 * length);
    }
    return bytes;
}

/* Of all blocks but the last of each run, which is as long as it happens to be. */
static double fill_of(const struct kept *kept)
{
    double bytes = 0;
    for (size_t i = 0; i + 1 < kept->count; i++)
        bytes += (double)kept->blocks[i].length;
    return bytes / BLOCK_MAX / (double)(kept->count - 1);
}

static void measure(const struct variant *variant)
{
    struct rows rows;
    struct kept runs[16] = {0}, merged = {0};
    double count = (double)variant->series * variant->ticks, disk = 0;
    make(&rows, variant);
    int64_t start = cpu_ns(0);
    for (uint32_t i = 0; i < variant->runs; i++)
        build(&rows, variant, i, &runs[i]);
    say(variant->name, "build_ns", (double)(cpu_ns(0) - start) / count);
    for (uint32_t i = 0; i < variant->runs; i++)
        disk += on_disk(&runs[i]);
    say(variant->name, "run_bytes", disk / count);
    say(variant->name, "run_fill", fill_of(&runs[0]));
    start = cpu_ns(0);
    if ((double)read_all(runs, variant->runs, false) != count)
        die("rows are missing");
    say(variant->name, "run_read_ns", (double)(cpu_ns(0) - start) / count);
    start = cpu_ns(0);
    merge_all(runs, variant->runs, &merged);
    say(variant->name, "merge_ns", (double)(cpu_ns(0) - start) / count);
    say(variant->name, "merged_bytes", on_disk(&merged) / count);
    say(variant->name, "merged_fill", fill_of(&merged));
    start = cpu_ns(0);
    if ((double)read_all(&merged, 1, false) != count)
        die("rows are missing");
    say(variant->name, "read_ns", (double)(cpu_ns(0) - start) / count);
    start = cpu_ns(0);
    if ((double)read_all(&merged, 1, true) != count)
        die("rows are missing");
    say(variant->name, "heads_ns", (double)(cpu_ns(0) - start) / count);
    for (uint32_t i = 0; i < variant->runs; i++)
        drop(&runs[i]);
    drop(&merged);
    free(rows.time_ms);
    free(rows.value);
    free(rows.ordinal);
    free(rows.gone);
}

int main(void)
{
    static const struct variant variants[] = {
        {"W", 300, 8600, 10, 9984, false, 0},
        {"W_corrected", 300, 8600, 10, 9984, false, 100},
        {"M", 100000, 16, 8, 1000000, true, 0},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        measure(&variants[i]);
    return 0;
}
