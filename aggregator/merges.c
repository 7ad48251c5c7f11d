/* Merges of runs: where there are many, where nothing comes any more, and where what they have is dropped. */
#include "compact_inner.h"
#include <base/error.h>
#include <string.h>

enum {
    MERGE_RUNS = 8, /* of one level become one of the next */
    MERGE_WORTH = 4 /* rows of the largest run are written again for one of the others, at most */
};

static bool is_out(void *context, uint64_t series, int64_t time_ms, uint64_t place)
{
    return compact_is_out(context, series, time_ms, place);
}

poise_code compact_frozen(struct compact *compact, uint64_t state_lsn, bool *ret_any, poise_error *err)
{
    return definitions_fold_frozen(&compact->definitions, compact->store, NULL, state_lsn, compact->stop,
                                   ret_any, err);
}

struct choosing {        /* among the runs of a bucket and input, in the order of their records */
    int32_t idle_before; /* buckets before it are tidied, too */
    struct compact_group group;
    bool chosen;
    const struct compact *compact;
};

/* Of an input that is frozen beyond the whole bucket. */
static bool choose_gone(struct choosing *choosing)
{
    const struct names *names = &choosing->compact->names;
    struct compact_group *group = &choosing->group;
    if (group->count == 0 || group->input >= names->measures.count)
        return false;
    int64_t until_ms =
        definitions_frozen_ms(&choosing->compact->definitions, intern_text(&names->measures, group->input));
    group->gone = until_ms != INT64_MIN && group->bucket < block_bucket(until_ms);
    return group->gone;
}

/* Those of the lowest level of which there are enough. */
static bool choose_level(struct choosing *choosing)
{
    size_t of_level[BLOCK_LEVEL_MAX + 1] = {0}, kept = 0;
    unsigned level = 0;
    for (size_t i = 0; i < choosing->group.count; i++)
        of_level[block_run_level(choosing->group.runs[i].run)]++;
    while (level < BLOCK_LEVEL_MAX && of_level[level] < MERGE_RUNS)
        level++;
    if (level == BLOCK_LEVEL_MAX)
        return false;
    for (size_t i = 0; i < choosing->group.count; i++)
        if (block_run_level(choosing->group.runs[i].run) == level)
            choosing->group.runs[kept++] = choosing->group.runs[i];
    choosing->group.count = kept;
    return true;
}

/* All of a bucket to which nothing comes; but not for few rows beside many, which would be written again. */
static bool choose_idle(const struct choosing *choosing)
{
    uint64_t all = 0, largest = 0;
    for (size_t i = 0; i < choosing->group.count; i++) {
        uint64_t rows = choosing->group.runs[i].stats.rows + choosing->group.runs[i].stats.marks;
        all += rows;
        largest = rows > largest ? rows : largest;
    }
    return choosing->group.bucket < choosing->idle_before && choosing->group.count > 1 &&
           (all - largest) * MERGE_WORTH >= largest;
}

static bool choose(struct choosing *choosing)
{
    choosing->chosen = choose_gone(choosing) || choose_idle(choosing) || choose_level(choosing);
    return choosing->chosen;
}

static poise_code note_run(void *visitor, const struct store_run *run)
{
    struct choosing *choosing = visitor;
    if (run->bucket != choosing->group.bucket || run->input != choosing->group.input) {
        if (choose(choosing))
            return POISE_ECLOSED;
        choosing->group.bucket = run->bucket;
        choosing->group.input = run->input;
        choosing->group.count = 0;
    }
    if (choosing->group.count < PIECE_SOURCES)
        choosing->group.runs[choosing->group.count++] = *run;
    return POISE_OK;
}

/* What it was put for has nothing but its sources' end. */
static void drop(struct compact *compact, const struct compact_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        compact->piece->dropped_rows += group->runs[i].stats.rows;
        compact->piece->dropped_bytes += group->runs[i].stats.bytes;
    }
}

/* Of the name of a merge: a level above those of its sources, or one that is free. */
static unsigned level_above(const struct compact_group *group, uint64_t lsn)
{
    unsigned level = 0;
    for (size_t i = 0; i < group->count; i++)
        level = block_run_level(group->runs[i].run) > level ? block_run_level(group->runs[i].run) : level;
    if (level < BLOCK_LEVEL_MAX)
        return level + 1;
    for (level = 1; level < BLOCK_LEVEL_MAX; level++) {
        bool taken = false;
        for (size_t i = 0; i < group->count; i++)
            taken |= group->runs[i].run == block_run(lsn, level);
        if (!taken)
            break;
    }
    return level;
}

poise_code compact_merge_group(struct compact *compact, struct store_reader *reader,
                               const struct compact_group *group)
{
    uint64_t sources[PIECE_SOURCES], lsn = 0;
    for (size_t i = 0; i < group->count; i++) {
        sources[i] = group->runs[i].run;
        lsn = block_run_lsn(sources[i]) > lsn ? block_run_lsn(sources[i]) : lsn;
    }
    compact->run = block_run(lsn, level_above(group, lsn));
    compact->bucket = group->bucket;
    compact->input = group->input;
    const struct store_without without = {.is_out = is_out, .context = compact};
    poise_code code = compact_fold(compact, reader);
    if (!code && compact->erasures.count > 0)
        code = names_read(&compact->names, reader, compact->err);
    if (!code && !group->gone)
        code = store_merge_without(reader, group->bucket, group->input, sources, group->count, compact->run,
                                   compact->erasures.count > 0 ? &without : NULL, compact_take_block, compact,
                                   compact->err);
    if (!code)
        code = compact_open_piece(compact);
    if (code)
        return code;
    if (group->gone)
        drop(compact, group);
    struct piece *piece = compact->piece;
    memcpy(piece->sources, sources, group->count * sizeof *sources);
    piece->slice.sources = piece->sources;
    piece->slice.source_count = group->count;
    piece->slice.whole = true;
    return compact_give_piece(compact);
}

poise_code compact_merge(struct compact *compact, int32_t idle_before, piece_take *take, void *taker,
                         bool *ret_any, poise_error *err)
{
    static const struct store_run_range all = {
        .from_bucket = INT32_MIN, .until_bucket = INT32_MAX, .any_input = true};
    struct choosing choosing = {.idle_before = idle_before, .compact = compact};
    struct store_reader *reader;
    poise_error unused;
    compact_begin(compact, take, taker, err ? err : &unused);
    *ret_any = false;
    poise_code code = store_reader_open(compact->store, &reader, compact->err);
    if (code)
        return code;
    if (compact->definitions.frozen_count)
        code = names_read(&compact->names, reader, compact->err);
    if (!code)
        code = store_read_runs(reader, &all, note_run, &choosing, compact->err);
    if (!code && (choosing.chosen || choose(&choosing))) {
        *ret_any = true;
        code = compact_merge_group(compact, reader, &choosing.group);
    }
    compact_reset(compact);
    store_reader_close(reader);
    return code;
}
