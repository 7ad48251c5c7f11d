/* What closed periods were. Before a late measurement changes a cell, the cell is kept as it was, and the
 * ends of closed periods that read it are listed by unit. The settle looks at them later, in slices, with the
 * cells of before and with those of now (revision.c). A row costs the same however many ends read it. */
#include "internal.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

struct kept { /* a cell as it was */
    const struct feed *feed;
    uint32_t org;
    int64_t start_ms;
    int64_t listed_ms;  /* T when the ends that read it were listed */
    uint64_t settle;    /* it was so after this settle */
    struct kept *newer; /* of engine->held: the same cell after later ones */
    uint64_t body[];    /* struct accumulator */
};

/* ---- cells ---- */

static uint64_t hash_of_kept(const struct kept *kept)
{
    return hash_mix((uint64_t)kept->feed->id << 32 | kept->org, (uint64_t)kept->start_ms);
}

static bool is_kept(const void *entry, const void *key)
{
    const struct kept *kept = entry, *wanted = key;
    return kept->feed == wanted->feed && kept->org == wanted->org && kept->start_ms == wanted->start_ms;
}

static struct kept *find(const struct hmap *map, const struct feed *feed, uint32_t org, int64_t start_ms)
{
    const struct kept wanted = {.feed = feed, .org = org, .start_ms = start_ms};
    return map->count > 0 ? hmap_get(map, hash_of_kept(&wanted), is_kept, &wanted) : NULL;
}

const struct accumulator *past_cell(const struct engine *engine, const struct past_range *before,
                                    const struct feed *feed, uint32_t org, int64_t start_ms)
{
    const struct kept *kept = before && before->held ? find(&engine->held, feed, org, start_ms) : NULL;
    while (kept && kept->settle < before->settle) {
        kept = kept->newer;
    }
    if (before && !kept) { /* what was not kept for backfills was changed by the settle at hand at most */
        kept = find(&engine->kept, feed, org, start_ms);
    }
    return kept ? (const struct accumulator *)kept->body : NULL;
}

static struct kept *copy(const struct engine *engine, const struct feed *feed, uint32_t cell,
                         const struct accumulator *body)
{
    struct kept *kept = calloc(1, sizeof *kept + feed->layout.size);
    if (!kept) {
        return NULL;
    }
    *kept = (struct kept){.feed = feed,
                          .org = cell_org(&engine->cells, cell),
                          .start_ms = block_of(&engine->cells, cell)->start_ms,
                          .listed_ms = engine->as_of_ms,
                          .settle = engine->settles};
    if (!accumulator_merge(&feed->layout, (struct accumulator *)kept->body, body)) {
        accumulator_clear(&feed->layout, (struct accumulator *)kept->body);
        free(kept);
        return NULL;
    }
    return kept;
}

static void forget(struct kept *kept)
{
    while (kept) {
        struct kept *newer = kept->newer;
        accumulator_clear(&kept->feed->layout, (struct accumulator *)kept->body);
        free(kept);
        kept = newer;
    }
}

static struct kept *add_kept(struct hmap *map, struct kept *kept)
{
    if (kept && !hmap_add(map, hash_of_kept(kept), kept)) {
        forget(kept);
        return NULL;
    }
    return kept;
}

/* The cell as it was before this settle. */
static struct kept *keep_cell(struct engine *engine, const struct feed *feed, uint32_t cell)
{
    struct kept *kept =
        find(&engine->kept, feed, cell_org(&engine->cells, cell), block_of(&engine->cells, cell)->start_ms);
    if (kept) {
        kept->listed_ms = engine->as_of_ms;
        return kept;
    }
    return add_kept(&engine->kept, copy(engine, feed, cell, cell_body(&engine->cells, cell)));
}

/* The same for a backfill that began to touch it, or what is read with it, before the settle `held`. */
static bool keep_held(struct engine *engine, const struct kept *now, uint32_t cell, uint64_t held)
{
    struct kept *first = find(&engine->held, now->feed, now->org, now->start_ms), *last = first;
    while (last && last->newer) {
        last = last->newer;
    }
    if (last && last->settle + 1 >= held) {
        return true;
    }
    struct kept *kept = copy(engine, now->feed, cell, (const struct accumulator *)now->body);
    if (kept && last) {
        last->newer = kept;
        return true;
    }
    return add_kept(&engine->held, kept) != NULL;
}

static void forget_cells(struct hmap *map)
{
    struct kept *kept;
    for (size_t at = 0; (kept = hmap_next(map, &at));) {
        forget(kept);
    }
    hmap_free(map);
}

/* ---- ends ---- */

static int64_t bucket_of(int64_t end_ms)
{
    return end_ms >= 0 ? end_ms >> PAST_BUCKET_BITS : ~(~end_ms >> PAST_BUCKET_BITS);
}

static uint64_t hash_of_past(const struct past *past)
{
    return hash_mix((uint64_t)past->plan << 32 | past->org, (uint64_t)past->bucket);
}

static bool is_past(const void *entry, const void *key)
{
    const struct past *past = entry, *wanted = key;
    return past->plan == wanted->plan && past->org == wanted->org && past->bucket == wanted->bucket;
}

static struct past *past_of(struct engine *engine, const struct past *wanted, bool make)
{
    uint64_t hash = hash_of_past(wanted);
    struct past *past = hmap_get(&engine->past_index, hash, is_past, wanted);
    if (past || !make) {
        return past;
    }
    past = malloc(sizeof *past);
    if (!past) {
        return NULL;
    }
    *past = *wanted;
    if (!list_push(&engine->pasts, past)) {
        free(past);
        return NULL;
    }
    return hmap_add(&engine->past_index, hash, past) ? past : NULL;
}

/* The first range that reaches behind the time; past->count: none. */
static size_t range_behind(const struct past *past, int64_t time_ms)
{
    size_t low = 0, high = past->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (past->ranges[middle].until_ms > time_ms) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static bool insert(struct past *past, size_t at, const struct past_range *range)
{
    if (past->count == past->capacity) {
        size_t capacity = past->capacity ? 2 * past->capacity : 2;
        struct past_range *ranges = reallocarray(past->ranges, capacity, sizeof *ranges);
        if (!ranges) {
            return false;
        }
        past->ranges = ranges;
        past->capacity = capacity;
    }
    memmove(&past->ranges[at + 1], &past->ranges[at], (past->count - at) * sizeof *range);
    past->ranges[at] = *range;
    past->count++;
    return true;
}

/* What was found behind the time is looked at again. */
static void reopen(struct past_range *range, int64_t time_ms)
{
    if (range->done_ms > time_ms) {
        range->done_ms = time_ms > range->after_ms ? time_ms : range->after_ms;
        while (range->found_count > 0 && range->found[range->found_count - 1].end_ms > range->done_ms) {
            range->found_count--;
        }
    }
}

/* Cuts a range of which nothing behind the time was looked at. */
static bool cut(struct engine *engine, struct past *past, size_t at, int64_t time_ms)
{
    struct past_range *range = &past->ranges[at], behind = *range;
    if (time_ms <= range->after_ms || time_ms >= range->until_ms) {
        return true;
    }
    range->until_ms = time_ms;
    behind.after_ms = behind.done_ms = time_ms;
    behind.found = NULL;
    behind.found_count = behind.found_capacity = 0;
    engine->open_ranges += !behind.held;
    return insert(past, at + 1, &behind);
}

/* A range is touched again, in so far as `touched` reaches into it. */
static bool touch(struct engine *engine, struct past *past, size_t *at, const struct past_range *touched,
                  int64_t until_ms)
{
    reopen(&past->ranges[*at], touched->after_ms);
    if (past->ranges[*at].late_ms == touched->late_ms) {
        return true;
    }
    if (!cut(engine, past, *at, touched->after_ms)) {
        return false;
    }
    *at += past->ranges[*at].until_ms <= touched->after_ms;
    if (!cut(engine, past, *at, until_ms)) {
        return false;
    }
    past->ranges[*at].late_ms = touched->late_ms;
    return true;
}

/* Lists what of the range is not listed yet: the cause of a revision is the first one. *held: the latest
 * settle behind which some of it began to wait for a backfill; 0: none. */
static bool list_range(struct engine *engine, struct past *past, struct past_range range, uint64_t *held)
{
    const int64_t until_ms = range.until_ms;
    for (size_t at = range_behind(past, range.after_ms); range.after_ms < until_ms; at++) {
        bool is_last = at == past->count || past->ranges[at].after_ms >= until_ms;
        range.until_ms = is_last ? until_ms : past->ranges[at].after_ms;
        range.done_ms = range.after_ms;
        if (range.until_ms > range.after_ms) {
            if (!insert(past, at, &range)) {
                return false;
            }
            engine->open_ranges += !range.held;
            range.after_ms = range.until_ms;
        } else if (!touch(engine, past, &at, &range, until_ms)) {
            return false;
        } else {
            range.after_ms = past->ranges[at].until_ms;
        }
        const struct past_range *listed = &past->ranges[at];
        *held = listed->held && listed->settle + 1 > *held ? listed->settle + 1 : *held;
    }
    return true;
}

static int64_t end_behind(const struct plan *plan, int64_t time_ms)
{
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    return period_of(&calendar, time_ms).end_ms;
}

/* The trend of the end behind one that changes changes, too. */
static void reopen_next(struct engine *engine, struct past where, int64_t until_ms)
{
    int64_t end_ms = end_behind(&engine->plans[where.plan], until_ms);
    if (!is_in_force(&engine->plans[where.plan], end_ms)) {
        where.plan = plan_in_force(engine, where.plan, end_ms);
        end_ms = end_behind(&engine->plans[where.plan], until_ms);
    }
    where.bucket = bucket_of(end_ms);
    struct past *past = past_of(engine, &where, false);
    size_t at = past ? range_behind(past, end_ms - 1) : 0;
    if (past && at < past->count) {
        reopen(&past->ranges[at], end_ms - 1);
    }
}

static poise_code list_ends(struct engine *engine, uint32_t plan, uint32_t org, struct period ends,
                            uint64_t *held, poise_error *err)
{
    if (ends.end_ms <= ends.start_ms) {
        return POISE_OK;
    }
    const struct unit *unit = engine->org_table[org].units[plan];
    struct past where = {.plan = plan, .org = org};
    struct past_range range = {.after_ms = ends.start_ms,
                               .late_ms = engine->as_of_ms,
                               .cause = engine->ordinal,
                               .settle = engine->settles,
                               .existed = unit && unit->since < engine->settles,
                               .held = engine->holding};
    while (range.after_ms < ends.end_ms) {
        where.bucket = bucket_of(range.after_ms + 1);
        int64_t last_ms = (int64_t)((uint64_t)(where.bucket + 1) << PAST_BUCKET_BITS) - 1;
        range.until_ms = last_ms < ends.end_ms ? last_ms : ends.end_ms;
        struct past *past = past_of(engine, &where, true);
        if (!past || !list_range(engine, past, range, held)) {
            return error_nomem(err, "a closed period");
        }
        range.after_ms = range.until_ms;
    }
    if (engine->looked) {
        reopen_next(engine, where, ends.end_ms);
    }
    return POISE_OK;
}

/* ---- which ends ---- */

/* As of a time behind the tile's start the leaf looks at times of the tile where the period that its basis
 * names starts before this; it need not be later than the last time that is looked at. */
static int64_t read_until(const struct scorecard *card, const struct measure *measure, struct period tile,
                          int64_t last_ms)
{
    if (measure->rolling_ms > 0) {
        return tile.end_ms + measure->carry * measure->rolling_ms;
    }
    struct calendar calendar = scorecard_calendar(card, measure->period);
    int64_t until_ms = period_of(&calendar, tile.end_ms - 1).end_ms;
    for (int64_t left = measure->carry; left > 0 && until_ms <= last_ms; left--) {
        until_ms = period_of(&calendar, until_ms).end_ms;
    }
    return until_ms;
}

/* The closed ends that the plan is in force for, behind start_ms up to end_ms, as of which the leaf reads the
 * tile. */
static struct period reading_ends(const struct plan *plan, const struct leaf *leaf, struct period tile)
{
    struct period ends = {.start_ms = leaf->measure->basis_closed ? tile.end_ms - 1 : tile.start_ms};
    if (ends.start_ms < plan->term.after_ms) {
        ends.start_ms = plan->term.after_ms;
    }
    int64_t last_ms = plan->closed_ms < plan->term.until_ms ? plan->closed_ms : plan->term.until_ms;
    int64_t first_ms = end_behind(plan, ends.start_ms), low_ms = first_ms, high_ms = last_ms;
    int64_t until_ms = first_ms > last_ms ? 0 : read_until(plan->card, leaf->measure, tile, last_ms);
    if (first_ms > last_ms || measure_period(plan->card, leaf->measure, first_ms).start_ms >= until_ms) {
        return (struct period){0};
    }
    int64_t second_ms = end_behind(plan, first_ms);
    if (second_ms > last_ms || measure_period(plan->card, leaf->measure, second_ms).start_ms >= until_ms) {
        ends.end_ms = first_ms;
        return ends;
    }
    while (low_ms < high_ms) { /* the latest as of which it reads it: earlier ones all do */
        int64_t middle_ms = high_ms - (high_ms - low_ms) / 2;
        if (measure_period(plan->card, leaf->measure, middle_ms).start_ms < until_ms) {
            low_ms = middle_ms;
        } else {
            high_ms = middle_ms - 1;
        }
    }
    ends.end_ms = low_ms;
    return ends;
}

static poise_code list_readers(struct engine *engine, const struct feed *feed, uint32_t org,
                               struct period tile, uint64_t *held, poise_error *err)
{
    poise_code code = POISE_OK;
    for (const struct leaf *leaf = feed->leaves; leaf && code == POISE_OK; leaf = leaf->next) {
        struct period ends = reading_ends(&engine->plans[leaf->plan], leaf, tile);
        bool upwards = feed->subtree || leaf->measure->across != ACROSS_POOL;
        for (uint32_t at = org; at != INTERN_NONE && code == POISE_OK;) {
            code = list_ends(engine, leaf->plan, at, ends, held, err);
            at = upwards ? engine->org_table[at].parent : INTERN_NONE;
        }
    }
    return code;
}

/* A window that ends before T is put together from tiles that end with it. */
static bool may_be_read(const struct engine *engine, struct period tile)
{
    return tile.start_ms < engine->closed_ms &&
           (tile.end_ms <= engine->closed_ms + 1 || engine->closed_ms >= engine->as_of_ms);
}

poise_code past_keep(struct engine *engine, const struct feed *feed, struct period tile,
                     const uint32_t *cells, size_t count, uint64_t *held, poise_error *err)
{
    if (!may_be_read(engine, tile)) {
        return POISE_OK;
    }
    uint32_t org = cell_org(&engine->cells, cells[0]);
    const struct kept *first = find(&engine->kept, feed, org, tile.start_ms);
    if (first && first->listed_ms == engine->as_of_ms && !engine->looked) {
        return POISE_OK; /* by an earlier row of this settle and T, with those above */
    }
    poise_code code = list_readers(engine, feed, org, tile, held, err);
    for (size_t i = 0; i < count && code == POISE_OK; i++) {
        const struct kept *kept = keep_cell(engine, feed, cells[i]);
        if (!kept || (*held > 0 && !keep_held(engine, kept, cells[i], *held))) {
            code = error_nomem(err, "a closed period");
        }
    }
    return code;
}

/* ---- the end ---- */

bool past_waits(const struct engine *engine)
{
    return engine->open_ranges > 0 || (engine->pasts.count > 0 && engine->backfill_count == 0);
}

bool past_is_due(const struct engine *engine, const struct past_range *range)
{
    return !range->held || engine->backfill_count == 0;
}

uint64_t engine_past_ms(const struct engine *engine)
{
    uint64_t left_ms = 0;
    for (size_t i = 0; i < engine->pasts.count; i++) {
        const struct past *past = engine->pasts.items[i];
        for (size_t k = 0; k < past->count; k++) {
            const struct past_range *range = &past->ranges[k];
            left_ms += past_is_due(engine, range) ? (uint64_t)(range->until_ms - range->done_ms) : 0;
        }
    }
    return left_ms;
}

static void forget_past(struct engine *engine, struct past *past)
{
    hmap_remove(&engine->past_index, hash_of_past(past), is_past, past);
    for (size_t i = 0; i < past->count; i++) {
        free(past->ranges[i].found);
    }
    free(past->ranges);
    free(past);
}

/* Of a past: the ranges that are due. */
static void forget_due(struct engine *engine, struct past *past)
{
    size_t held = 0;
    for (size_t i = 0; i < past->count; i++) {
        if (past_is_due(engine, &past->ranges[i])) {
            free(past->ranges[i].found);
        } else {
            past->ranges[held++] = past->ranges[i];
        }
    }
    past->count = held;
}

void pasts_forget(struct engine *engine)
{
    struct list *pasts = &engine->pasts;
    size_t kept = 0;
    for (size_t i = 0; i < pasts->count; i++) {
        struct past *past = pasts->items[i];
        forget_due(engine, past);
        if (past->count > 0) {
            pasts->items[kept++] = past;
        } else {
            forget_past(engine, past);
        }
    }
    pasts->count = kept;
    engine->open_ranges = 0;
    engine->looked = false;
    forget_cells(&engine->kept);
    if (engine->backfill_count == 0) {
        forget_cells(&engine->held);
    }
}

void pasts_free(struct engine *engine)
{
    for (size_t i = 0; i < engine->pasts.count; i++) {
        forget_past(engine, engine->pasts.items[i]);
    }
    engine->pasts.count = 0;
    hmap_free(&engine->past_index);
    forget_cells(&engine->kept);
    forget_cells(&engine->held);
}
