/* Revisions of closed periods. A score is a function of cells, so what was published of a period needs no
 * memory: the units that read a cell which a late measurement changed are looked at as of the ends of the
 * closed periods in question, with the cells as they were (past.c) and as they are; what differs is a
 * revision. Only how many revisions a node and period have had is kept. */
#include "internal.h"
#include <base/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct revision {       /* of a node at an org as of the end of a period */
    uint64_t node, org; /* hashes of their paths, which outlive a changed definition */
    int64_t end_ms;
    bool unsaved; /* in engine->unsaved_revisions */
    uint64_t number;
};

/* ---- numbers of revisions ---- */

static uint64_t hash_of_revision(const struct revision *revision)
{
    return hash_mix(revision->node ^ revision->org, (uint64_t)revision->end_ms);
}

static bool is_revision(const void *entry, const void *key)
{
    const struct revision *revision = entry, *wanted = key;
    return revision->node == wanted->node && revision->org == wanted->org &&
           revision->end_ms == wanted->end_ms;
}

void revision_encode(const struct revision *revision, struct buf *key, struct buf *value)
{
    put_big64(key, revision->node);
    put_big64(key, revision->org);
    put_big64(key, (uint64_t)revision->end_ms ^ UINT64_C(1) << 63);
    buf_put_varint(value, revision->number);
}

/* How many there were already; 0 where none is stored. */
static poise_code load(struct engine *engine, struct revision *revision, poise_error *err)
{
    struct buf key = {0}, value = {0};
    revision_encode(revision, &key, &value);
    buf_reset(&value);
    poise_code code = load_entry(engine, ENGINE_REVISIONS, &key, &value, err);
    if (code == POISE_OK) {
        struct cursor in = cursor_of(value.data, value.length);
        revision->number = cursor_varint(&in);
        if (in.failed) {
            code = error_set(err, POISE_ECORRUPT, "a stored number of revisions cannot be read");
        }
    }
    buf_free(&key);
    buf_free(&value);
    return code == POISE_ENOTFOUND ? POISE_OK : code;
}

static poise_code find(struct engine *engine, const char *org, const char *path, int64_t end_ms,
                       struct revision **ret_revision, poise_error *err)
{
    struct revision wanted = {
        .node = hash64(path, strlen(path), 0), .org = hash64(org, strlen(org), 0), .end_ms = end_ms};
    uint64_t hash = hash_of_revision(&wanted);
    struct revision *revision = hmap_get(&engine->revisions, hash, is_revision, &wanted);
    if (!revision) {
        poise_code code = load(engine, &wanted, err);
        if (code != POISE_OK) {
            return code;
        }
        revision = malloc(sizeof *revision);
        if (!revision || !hmap_add(&engine->revisions, hash, revision)) {
            free(revision);
            return error_nomem(err, "a revision");
        }
        *revision = wanted;
    }
    *ret_revision = revision;
    return POISE_OK;
}

poise_code revision_find(struct engine *engine, uint32_t plan, uint32_t org, struct past_found *found,
                         poise_error *err)
{
    return find(engine, intern_text(&engine->orgs, org), engine->plans[plan].card->nodes[found->node].path,
                found->end_ms, &found->revision, err);
}

static poise_code set_number(struct engine *engine, struct revision *revision, uint64_t number,
                             poise_error *err)
{
    revision->number = number;
    if (!revision->unsaved) {
        revision->unsaved = list_push(&engine->unsaved_revisions, revision);
    }
    return revision->unsaved ? POISE_OK : error_nomem(err, "a revision");
}

poise_code engine_revised(struct engine *engine, const poise_state *state, poise_error *err)
{
    struct revision *revision;
    poise_code code = find(engine, state->org, state->node, state->as_of_ms, &revision, err);
    if (code != POISE_OK || state->revision <= revision->number) {
        return code;
    }
    return set_number(engine, revision, state->revision, err);
}

void revisions_free(struct engine *engine)
{
    struct revision *revision;
    for (size_t at = 0; (revision = hmap_next(&engine->revisions, &at));) {
        free(revision);
    }
    hmap_free(&engine->revisions);
    engine->unsaved_revisions.count = 0;
}

void revisions_begin(struct engine *engine)
{
    engine->giving.revisions = engine->unsaved_revisions;
    engine->unsaved_revisions = (struct list){0};
    for (size_t i = 0; i < engine->giving.revisions.count; i++) {
        ((struct revision *)engine->giving.revisions.items[i])->unsaved = false;
    }
}

bool revisions_take_back(struct engine *engine)
{
    for (size_t i = 0; i < engine->giving.revisions.count; i++) {
        struct revision *revision = engine->giving.revisions.items[i];
        revision->unsaved = revision->unsaved || list_push(&engine->unsaved_revisions, revision);
        if (!revision->unsaved) {
            return false;
        }
    }
    return true;
}

/* Once those that were given are saved; while others are not, or a settle has found some, all stay. */
void revisions_shrink(struct engine *engine)
{
    if (engine->revisions.count > engine->options.max_cells && engine->unsaved_revisions.count == 0 &&
        engine->pasts.count == 0) {
        revisions_free(engine);
    }
}

/* ---- backfills ---- */

static void end_backfill(struct engine *engine, size_t at)
{
    engine->backfills[at] = engine->backfills[--engine->backfill_count];
}

/* Those whose producers have gone away. */
static void forget_silent(struct engine *engine)
{
    for (size_t i = engine->backfill_count; i-- > 0;) {
        if (engine->as_of_ms - engine->backfills[i].heard_ms > BACKFILL_SILENT_MS) {
            end_backfill(engine, i);
        }
    }
}

void engine_backfill(struct engine *engine, uint64_t who, bool runs)
{
    size_t at = 0;
    while (at < engine->backfill_count && engine->backfills[at].who != who) {
        at++;
    }
    engine->holding = runs && at < BACKFILLS_MAX && engine->as_of_ms != INT64_MIN;
    if (engine->holding) {
        engine->backfills[at] = (struct backfill){who, engine->as_of_ms};
        engine->backfill_count += at == engine->backfill_count;
    } else if (at < engine->backfill_count) {
        end_backfill(engine, at);
    }
}

void engine_end_backfills(struct engine *engine)
{
    engine->backfill_count = 0;
}

bool engine_holds(const struct engine *engine)
{
    return engine->pasts.count > 0;
}

/* ---- what has changed ---- */

/* The scores of a unit as of one end after the other. */
struct looking {
    struct engine *engine;
    const struct past *past;
    const struct unit *unit;
    poise_score *then, *now;
    poise_score *base; /* as of base_ms, as it is now: trends are against it */
    int64_t base_ms;   /* INT64_MIN: not looked at */
    poise_error *err;
};

/* What has neither value nor score is no change of what was not there. */
static bool is_changed(const struct past_range *range, const poise_score *then, const poise_score *now)
{
    return range->existed ? !score_published_equal(now, then) : !isnan(now->value) || !isnan(now->score);
}

static bool add_found(struct past_range *range, const struct past_found *found)
{
    if (range->found_count == range->found_capacity) {
        size_t capacity = range->found_capacity ? 2 * range->found_capacity : 4;
        struct past_found *more = reallocarray(range->found, capacity, sizeof *more);
        if (!more) {
            return false;
        }
        range->found = more;
        range->found_capacity = capacity;
    }
    range->found[range->found_count++] = *found;
    return true;
}

/* The trend of a revision is against the end of the period before it, as it is now. */
static poise_code look_at_base(struct looking *looking, int64_t base_ms)
{
    if (looking->base_ms == base_ms) {
        return POISE_OK;
    }
    looking->base_ms = base_ms;
    return look_in_force(looking->engine, looking->past->plan, looking->past->org, base_ms, looking->base,
                         looking->err);
}

static poise_code find_changed(struct looking *looking, struct past_range *range, struct period period)
{
    const struct scorecard *card = looking->engine->plans[looking->past->plan].card;
    poise_code code = POISE_OK;
    for (uint32_t node = 0; node < card->node_count && code == POISE_OK; node++) {
        const struct measure *measure = card->nodes[node].measure;
        bool never_closes = measure && measure->rolling_ms > 0;
        if (!looking->unit->present[node] || never_closes ||
            !is_changed(range, &looking->then[node], &looking->now[node])) {
            continue;
        }
        code = look_at_base(looking, period.start_ms);
        struct past_found found = {.end_ms = period.end_ms,
                                   .node = node,
                                   .replaced = looking->then[node].score,
                                   .now = looking->now[node]};
        found.now.trend = found.now.score - looking->base[node].score;
        if (code == POISE_OK) {
            code =
                revision_find(looking->engine, looking->past->plan, looking->past->org, &found, looking->err);
        }
        if (code == POISE_OK && !add_found(range, &found)) {
            code = error_nomem(looking->err, "a revision");
        }
    }
    return code;
}

static poise_code look_at_end(struct looking *looking, struct past_range *range, struct period period)
{
    uint32_t plan = looking->past->plan;
    poise_code code = unit_look(looking->engine, range->existed ? looking->unit : NULL, plan, period.end_ms,
                                range, looking->then, looking->err);
    if (code == POISE_OK) {
        code =
            unit_look(looking->engine, looking->unit, plan, period.end_ms, NULL, looking->now, looking->err);
    }
    if (code == POISE_OK) {
        code = find_changed(looking, range, period);
    }
    poise_score *now = looking->now; /* the base of the next end */
    looking->now = looking->base;
    looking->base = now;
    looking->base_ms = period.end_ms;
    return code;
}

static poise_code look_at_range(struct looking *looking, struct past_range *range, size_t budget)
{
    const struct scorecard *card = looking->engine->plans[looking->past->plan].card;
    struct calendar calendar = scorecard_calendar(card, card->period);
    poise_code code = POISE_OK;
    while (code == POISE_OK && range->done_ms < range->until_ms && looking->engine->evaluated < budget) {
        struct period period = period_of(&calendar, range->done_ms);
        if (looking->unit && period.end_ms <= range->until_ms) { /* no unit: the row was refused after all */
            code = look_at_end(looking, range, period);
        }
        range->done_ms = looking->unit && period.end_ms < range->until_ms ? period.end_ms : range->until_ms;
    }
    return code;
}

poise_code revisions_find(struct engine *engine, size_t budget, bool *ret_done, poise_error *err)
{
    poise_code code = POISE_OK;
    *ret_done = true;
    forget_silent(engine);
    for (size_t i = 0; i < engine->pasts.count && *ret_done && code == POISE_OK; i++) {
        const struct past *past = engine->pasts.items[i];
        struct looking looking = {.engine = engine,
                                  .past = past,
                                  .unit = engine->org_table[past->org].units[past->plan],
                                  .then = engine->scratch[0],
                                  .now = engine->scratch[1],
                                  .base = engine->scratch[2],
                                  .base_ms = INT64_MIN,
                                  .err = err};
        engine->looked = true;
        for (size_t k = 0; k < past->count && *ret_done && code == POISE_OK; k++) {
            struct past_range *range = &past->ranges[k];
            if (past_is_due(engine, range)) {
                code = look_at_range(&looking, range, budget);
                *ret_done = range->done_ms == range->until_ms;
            }
        }
    }
    return code;
}

/* ---- telling ---- */

/* When the last measurement touched it. */
static bool was_closed(const struct plan *plan, const struct past_range *range,
                       const struct past_found *found)
{
    const struct measure *measure = plan->card->nodes[found->node].measure;
    int64_t grace_ms = measure ? measure->grace_ms : plan->card->grace_ms;
    return found->end_ms <= plan->term.closed_ms || found->end_ms <= range->late_ms - grace_ms;
}

poise_code revision_tell(struct engine *engine, uint32_t plan, uint32_t org, uint64_t cause,
                         const struct past_found *found, engine_visit *visit, void *visitor, poise_error *err)
{
    const struct node *defined = &engine->plans[plan].card->nodes[found->node];
    poise_state state = {.org = intern_text(&engine->orgs, org),
                         .node = defined->path,
                         .name = defined->name,
                         .kind = defined->kind,
                         .weight = defined->weight,
                         .as_of_ms = found->end_ms,
                         .revision = found->revision->number + 1,
                         .replaced = found->replaced,
                         .cause = cause,
                         .definition = engine->plans[plan].term.number,
                         .numbers = score_published(&found->now)};
    poise_code code = set_number(engine, found->revision, state.revision, err);
    return code == POISE_OK ? visit(visitor, &state) : code;
}

static poise_code tell_range(struct engine *engine, const struct past *past, const struct past_range *range,
                             engine_visit *visit, void *visitor, poise_error *err)
{
    const struct plan *plan = &engine->plans[past->plan];
    poise_code code = POISE_OK;
    for (size_t i = 0; i < range->found_count && code == POISE_OK; i++) {
        const struct past_found *found = &range->found[i];
        if (was_closed(plan, range, found)) {
            code = revision_tell(engine, past->plan, past->org, range->cause, found, visit, visitor, err);
        }
    }
    return code;
}

poise_code revisions_tell(struct engine *engine, engine_visit *visit, void *visitor, poise_error *err)
{
    poise_code code = POISE_OK;
    for (size_t i = 0; i < engine->pasts.count; i++) {
        const struct past *past = engine->pasts.items[i];
        for (size_t k = 0; k < past->count && code == POISE_OK; k++) {
            if (past_is_due(engine, &past->ranges[k])) {
                code = tell_range(engine, past, &past->ranges[k], visit, visitor, err);
            }
        }
    }
    pasts_forget(engine);
    return code;
}
