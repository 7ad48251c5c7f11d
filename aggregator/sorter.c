#include "sorter.h"

#include <base/error.h>
#include <base/hash.h>
#include <stdlib.h>
#include <string.h>

enum { GIVE = 1024 };    /* rows to the builder at once */
#define PLAIN UINT32_MAX /* in the place of an extra */
#define MARK  (UINT32_MAX - 1)

struct item { /* a row or a mark */
    int64_t time_ms;
    uint64_t place;
    union {
        double value;
        uint64_t gone;
    };
    uint32_t extra, group;
};

struct group {
    int32_t bucket;
    uint32_t series, input, count, start;
    bool unsorted;
    int64_t last_ms; /* of the item that came last */
    uint64_t last_place;
};

struct columns { /* of the rows that are given next */
    int64_t time_ms[GIVE];
    double value[GIVE], of[GIVE];
    uint64_t place[GIVE], seq[GIVE], gone[GIVE];
    struct chunk_key key[GIVE];
    bool retract[GIVE];
    bool has_of, has_seq, has_key, has_retract;
    size_t count;
};

struct sorter {
    struct item *items;
    size_t count, capacity;
    struct sorter_extra *extras;
    size_t extra_count, extra_capacity;
    struct group *groups;
    size_t group_count, group_capacity;
    uint32_t *slots; /* of groups + 1, by their hash; a power of two, twice as many as groups */
    size_t slot_count;
    struct columns columns;
};

struct sorter *sorter_open(void)
{
    return calloc(1, sizeof(struct sorter));
}

void sorter_close(struct sorter *sorter)
{
    if (!sorter)
        return;
    free(sorter->items);
    free(sorter->extras);
    free(sorter->groups);
    free(sorter->slots);
    free(sorter);
}

void sorter_reset(struct sorter *sorter)
{
    sorter->count = sorter->extra_count = sorter->group_count = 0;
    if (sorter->slots)
        memset(sorter->slots, 0, sorter->slot_count * sizeof *sorter->slots);
}

size_t sorter_rows(const struct sorter *sorter)
{
    return sorter->count;
}

/* Room for one more. */
static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t more = *capacity ? 2 * *capacity : 1024;
    void *grown = more < SORTER_NONE - 2 ? realloc(*items, more * size) : NULL;
    if (!grown)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

/* ---- groups ---- */

static uint64_t group_hash(int32_t bucket, uint32_t series)
{
    return hash_mix((uint64_t)(uint32_t)bucket << 32 | series, 0);
}

static size_t find_slot(const struct sorter *sorter, int32_t bucket, uint32_t series)
{
    size_t mask = sorter->slot_count - 1, at = (size_t)group_hash(bucket, series) & mask;
    while (sorter->slots[at]) {
        const struct group *group = &sorter->groups[sorter->slots[at] - 1];
        if (group->series == series && group->bucket == bucket)
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static bool grow_slots(struct sorter *sorter)
{
    size_t count = sorter->slot_count ? 2 * sorter->slot_count : 4096;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    free(sorter->slots);
    sorter->slots = slots;
    sorter->slot_count = count;
    for (size_t i = 0; i < sorter->group_count; i++)
        slots[find_slot(sorter, sorter->groups[i].bucket, sorter->groups[i].series)] = (uint32_t)i + 1;
    return true;
}

uint32_t sorter_group(struct sorter *sorter, int32_t bucket, uint32_t series, uint32_t input)
{
    if (2 * (sorter->group_count + 1) > sorter->slot_count && !grow_slots(sorter))
        return SORTER_NONE;
    size_t slot = find_slot(sorter, bucket, series);
    if (sorter->slots[slot])
        return sorter->slots[slot] - 1;
    void *groups = sorter->groups;
    if (!grow(&groups, sorter->group_count, &sorter->group_capacity, sizeof *sorter->groups))
        return SORTER_NONE;
    sorter->groups = groups;
    sorter->groups[sorter->group_count] =
        (struct group){.bucket = bucket, .series = series, .input = input, .last_ms = INT64_MIN};
    sorter->slots[slot] = (uint32_t)++sorter->group_count;
    return sorter->slots[slot] - 1;
}

/* ---- items ---- */

static bool add(struct sorter *sorter, const struct item *item)
{
    void *items = sorter->items;
    if (!grow(&items, sorter->count, &sorter->capacity, sizeof *sorter->items))
        return false;
    sorter->items = items;
    struct group *group = &sorter->groups[item->group];
    group->unsorted |= item->extra == MARK || item->time_ms < group->last_ms ||
                       (item->time_ms == group->last_ms && item->place < group->last_place);
    group->last_ms = item->time_ms;
    group->last_place = item->place;
    group->count++;
    sorter->items[sorter->count++] = *item;
    return true;
}

bool sorter_add(struct sorter *sorter, uint32_t group, int64_t time_ms, uint64_t place, double value,
                const struct sorter_extra *extra)
{
    struct item item = {.time_ms = time_ms, .place = place, .value = value, .extra = PLAIN, .group = group};
    if (extra) {
        void *extras = sorter->extras;
        if (!grow(&extras, sorter->extra_count, &sorter->extra_capacity, sizeof *sorter->extras))
            return false;
        sorter->extras = extras;
        item.extra = (uint32_t)sorter->extra_count;
        sorter->extras[sorter->extra_count++] = *extra;
    }
    return add(sorter, &item);
}

bool sorter_mark(struct sorter *sorter, uint32_t group, int64_t time_ms, uint64_t place, uint64_t gone)
{
    const struct item item = {
        .time_ms = time_ms, .place = place, .gone = gone, .extra = MARK, .group = group};
    return add(sorter, &item);
}

/* ---- in order ---- */

static int by_group(const void *left, const void *right, void *context)
{
    const struct group *groups = context;
    const struct group *a = &groups[*(const uint32_t *)left], *b = &groups[*(const uint32_t *)right];
    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    if (a->input != b->input)
        return a->input < b->input ? -1 : 1;
    return (a->series > b->series) - (a->series < b->series);
}

/* A mark stands behind its row. */
static int by_time(const void *left, const void *right, void *context)
{
    const struct item *items = context;
    const struct item *a = &items[*(const uint32_t *)left], *b = &items[*(const uint32_t *)right];
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return (a->extra == MARK) - (b->extra == MARK);
}

/* The numbers of all items, group by group. */
static void sort_items(struct sorter *sorter, const uint32_t *groups, uint32_t *order)
{
    uint32_t start = 0;
    for (size_t i = 0; i < sorter->group_count; i++) {
        sorter->groups[groups[i]].start = start;
        start += sorter->groups[groups[i]].count;
    }
    for (size_t i = 0; i < sorter->count; i++)
        order[sorter->groups[sorter->items[i].group].start++] = (uint32_t)i;
    for (size_t i = 0; i < sorter->group_count; i++) {
        struct group *group = &sorter->groups[i];
        group->start -= group->count;
        if (group->unsorted)
            qsort_r(order + group->start, group->count, sizeof *order, by_time, sorter->items);
    }
}

/* ---- to the builder ---- */

static void add_column(struct sorter *sorter, const struct item *item)
{
    struct columns *columns = &sorter->columns;
    size_t at = columns->count++;
    columns->time_ms[at] = item->time_ms;
    columns->place[at] = item->place;
    if (item->extra == MARK) {
        columns->gone[at] = item->gone;
        return;
    }
    static const struct sorter_extra plain = {.of = 1.0};
    const struct sorter_extra *extra = item->extra == PLAIN ? &plain : &sorter->extras[item->extra];
    columns->value[at] = item->value;
    columns->of[at] = extra->of;
    columns->seq[at] = extra->seq;
    columns->key[at] = (struct chunk_key){extra->key, extra->key_length};
    columns->retract[at] = extra->retract;
    columns->has_of |= extra->of != 1.0;
    columns->has_seq |= extra->seq != 0;
    columns->has_key |= extra->key != NULL;
    columns->has_retract |= extra->retract;
}

static poise_code give(struct sorter *sorter, const struct group *group, bool marks,
                       struct block_builder *builder, poise_error *err)
{
    struct columns *columns = &sorter->columns;
    const struct block_place place = {
        .bucket = group->bucket, .input = group->input, .series = group->series};
    const struct chunk_rows rows = {.count = columns->count,
                                    .time_ms = columns->time_ms,
                                    .ordinal = columns->place,
                                    .value = columns->value,
                                    .of = columns->has_of ? columns->of : NULL,
                                    .seq = columns->has_seq ? columns->seq : NULL,
                                    .key = columns->has_key ? columns->key : NULL,
                                    .retract = columns->has_retract ? columns->retract : NULL,
                                    .gone = marks ? columns->gone : NULL};
    columns->count = 0;
    columns->has_of = columns->has_seq = columns->has_key = columns->has_retract = false;
    return marks ? block_builder_add_marks(builder, &place, &rows, err)
                 : block_builder_add(builder, &place, &rows, err);
}

/* Stretches of rows, and of marks. */
static poise_code build_group(struct sorter *sorter, const struct group *group, const uint32_t *order,
                              struct block_builder *builder, poise_error *err)
{
    poise_code code = POISE_OK;
    for (uint32_t i = 0; i < group->count && !code; i++) {
        const struct item *item = &sorter->items[order[group->start + i]];
        bool is_last = i + 1 == group->count, is_mark = item->extra == MARK;
        add_column(sorter, item);
        if (is_last || sorter->columns.count == GIVE ||
            (sorter->items[order[group->start + i + 1]].extra == MARK) != is_mark)
            code = give(sorter, group, is_mark, builder, err);
    }
    return code;
}

poise_code sorter_build(struct sorter *sorter, struct block_builder *builder, poise_error *err)
{
    uint32_t *groups = malloc((sorter->group_count + 1) * sizeof *groups);
    uint32_t *order = malloc((sorter->count + 1) * sizeof *order);
    poise_code code = groups && order ? POISE_OK : error_nomem(err, "rows to be compacted");
    for (size_t i = 0; !code && i < sorter->group_count; i++)
        groups[i] = (uint32_t)i;
    if (!code) {
        qsort_r(groups, sorter->group_count, sizeof *groups, by_group, sorter->groups);
        sort_items(sorter, groups, order);
    }
    for (size_t i = 0; !code && i < sorter->group_count; i++)
        code = build_group(sorter, &sorter->groups[groups[i]], order, builder, err);
    if (!code)
        code = block_builder_end(builder, err);
    free(order);
    free(groups);
    return code;
}
