/* Revisions of closed periods. A score is a function of cells, so what was published of a period needs no
 * memory: before a late measurement changes a cell, the units that read it are looked at as of the ends of
 * the closed periods in question; after the settle they are looked at again, and what differs is a revision.
 * Only how many revisions a node and period have had is kept. */
#include "internal.h"
#include <base/error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct past { /* a unit as of the end of a closed period, before this settle */
    uint32_t plan, org;
    int64_t end_ms;
    uint64_t cause; /* the place in the journal of the first measurement that touched it */
    bool existed;   /* the unit was there, and settled */
    bool held;      /* until the backfill that touched it ends */
    poise_score scores[];
};

struct revision {       /* of a node at an org as of the end of a period */
    uint64_t node, org; /* hashes of their paths, which outlive a changed definition */
    int64_t end_ms;
    bool unsaved; /* in engine->unsaved_revisions */
    uint64_t number;
};

/* ---- before ---- */

static uint64_t hash_of_past(uint32_t plan, uint32_t org, int64_t end_ms)
{
    return hash_mix((uint64_t)plan << 32 | org, (uint64_t)end_ms);
}

static bool is_past(const void *entry, const void *key)
{
    const struct past *past = entry, *wanted = key;
    return past->plan == wanted->plan && past->org == wanted->org && past->end_ms == wanted->end_ms;
}

static bool remember(struct engine *engine, uint64_t hash, struct past *past)
{
    return list_push(&engine->pasts, past) && hmap_add(&engine->past_index, hash, past);
}

static poise_code keep(struct engine *engine, uint32_t plan, uint32_t org, int64_t end_ms, poise_error *err)
{
    const struct past wanted = {.plan = plan, .org = org, .end_ms = end_ms};
    uint64_t hash = hash_of_past(plan, org, end_ms);
    if (hmap_get(&engine->past_index, hash, is_past, &wanted)) {
        return POISE_OK;
    }
    uint32_t nodes = engine->plans[plan].card->node_count;
    struct past *past = malloc(sizeof *past + nodes * sizeof past->scores[0]);
    if (!past) {
        return error_nomem(err, "a closed period");
    }
    *past = wanted;
    past->cause = engine->ordinal;
    past->held = engine->holding;
    const struct unit *unit = engine->org_table[org].units[plan];
    past->existed = unit && !unit->fresh;
    poise_code code = unit_look(engine, past->existed ? unit : NULL, plan, end_ms, past->scores, err);
    if (code == POISE_OK && !remember(engine, hash, past)) {
        code = error_nomem(err, "a closed period");
    }
    if (code != POISE_OK &&
        (engine->pasts.count == 0 || engine->pasts.items[engine->pasts.count - 1] != past)) {
        free(past);
    }
    return code;
}

/* Whether the leaf, as of the end of a period, looks at times of the tile. */
static bool reads(const struct scorecard *card, const struct leaf *leaf, int64_t end_ms, struct period tile)
{
    struct period period = measure_period(card, leaf->measure, end_ms);
    int64_t left = leaf->measure->carry;
    while (period.start_ms >= tile.end_ms && left-- > 0) {
        period = measure_period_before(card, leaf->measure, period);
    }
    return period.start_ms < tile.end_ms;
}

static poise_code keep_closed(struct engine *engine, const struct leaf *leaf, uint32_t org,
                              struct period tile, poise_error *err)
{
    const struct plan *plan = &engine->plans[leaf->plan];
    struct calendar calendar = scorecard_calendar(plan->card, plan->card->period);
    int64_t from_ms = tile.start_ms > plan->term.after_ms ? tile.start_ms : plan->term.after_ms;
    int64_t end_ms = period_of(&calendar, from_ms).end_ms;
    int64_t last_ms = plan->closed_ms < plan->term.until_ms ? plan->closed_ms : plan->term.until_ms;
    poise_code code = POISE_OK;
    while (code == POISE_OK && end_ms <= last_ms && reads(plan->card, leaf, end_ms, tile)) {
        code = keep(engine, leaf->plan, org, end_ms, err);
        end_ms = period_of(&calendar, end_ms).end_ms;
    }
    return code;
}

poise_code past_keep(struct engine *engine, const struct feed *feed, uint32_t org, struct period tile,
                     poise_error *err)
{
    bool all = feed->subtree;
    poise_code code = POISE_OK;
    for (const struct leaf *leaf = feed->leaves; leaf; leaf = leaf->next) {
        bool upwards = all || leaf->measure->across != ACROSS_POOL;
        uint32_t at = org;
        do {
            code = code == POISE_OK ? keep_closed(engine, leaf, at, tile, err) : code;
            at = upwards ? engine->org_table[at].parent : INTERN_NONE;
        } while (at != INTERN_NONE && code == POISE_OK);
    }
    return code;
}

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
    if (!engine->options.ports.load) {
        return POISE_OK;
    }
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

static poise_code set_number(struct engine *engine, struct revision *revision, uint64_t number,
                             poise_error *err)
{
    revision->number = number;
    if (!revision->unsaved) {
        revision->unsaved = list_push(&engine->unsaved_revisions, revision);
    }
    return revision->unsaved ? POISE_OK : error_nomem(err, "a revision");
}

static poise_code next_number(struct engine *engine, const char *org, const char *path, int64_t end_ms,
                              uint64_t *ret_number, poise_error *err)
{
    struct revision *revision;
    poise_code code = find(engine, org, path, end_ms, &revision, err);
    if (code != POISE_OK) {
        return code;
    }
    *ret_number = revision->number + 1;
    return set_number(engine, revision, revision->number + 1, err);
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

void revisions_saved(struct engine *engine)
{
    for (size_t i = 0; i < engine->unsaved_revisions.count; i++) {
        ((struct revision *)engine->unsaved_revisions.items[i])->unsaved = false;
    }
    engine->unsaved_revisions.count = 0;
    if (engine->revisions.count > engine->options.max_cells) {
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

bool engine_holds(const struct engine *engine)
{
    return engine->pasts.count > 0;
}

/* ---- after ---- */

static bool is_closed(const struct engine *engine, const struct scorecard *card, uint32_t node,
                      int64_t end_ms)
{
    const struct measure *measure = card->nodes[node].measure;
    bool never = measure && measure->rolling_ms > 0;
    return !never && engine->as_of_ms - (measure ? measure->grace_ms : card->grace_ms) >= end_ms;
}

poise_code show_revision(struct engine *engine, const struct revised *revised, engine_visit *visit,
                         void *visitor, poise_error *err)
{
    const struct plan *plan = &engine->plans[revised->plan];
    const struct node *defined = &plan->card->nodes[revised->node];
    poise_state state = {.org = intern_text(&engine->orgs, revised->org),
                         .node = defined->path,
                         .name = defined->name,
                         .kind = defined->kind,
                         .weight = defined->weight,
                         .as_of_ms = revised->end_ms,
                         .replaced = revised->replaced,
                         .cause = revised->cause,
                         .definition = plan->term.number,
                         .numbers = score_published(revised->numbers)};
    poise_code code = next_number(engine, state.org, defined->path, revised->end_ms, &state.revision, err);
    return code == POISE_OK ? visit(visitor, &state) : code;
}

poise_code set_trends(struct engine *engine, uint32_t plan, uint32_t org, int64_t end_ms, poise_score *scores,
                      poise_error *err)
{
    const struct scorecard *card = engine->plans[plan].card;
    struct calendar calendar = scorecard_calendar(card, card->period);
    double *before = malloc(card->node_count * sizeof *before);
    if (!before) {
        return error_nomem(err, "a revision");
    }
    poise_code code = scores_as_of(engine, plan, org, period_at(&calendar, end_ms).start_ms, before, err);
    for (uint32_t node = 0; node < card->node_count && code == POISE_OK; node++) {
        scores[node].trend = scores[node].score - before[node];
    }
    free(before);
    return code;
}

/* What has neither value nor score is no change of what was not there. */
static bool is_changed(const struct past *past, uint32_t node, const poise_score *now)
{
    return past->existed ? !score_published_equal(now, &past->scores[node])
                         : !isnan(now->value) || !isnan(now->score);
}

static poise_code show_changed(struct engine *engine, const struct past *past, const struct unit *unit,
                               poise_score *now, engine_visit *visit, void *visitor, poise_error *err)
{
    const struct scorecard *card = engine->plans[past->plan].card;
    bool *changed = engine->scratch_flags, any = false;
    for (uint32_t node = 0; node < card->node_count; node++) {
        changed[node] = unit->present[node] && is_closed(engine, card, node, past->end_ms) &&
                        is_changed(past, node, &now[node]);
        any |= changed[node];
    }
    poise_code code = any ? set_trends(engine, past->plan, past->org, past->end_ms, now, err) : POISE_OK;
    for (uint32_t node = 0; node < card->node_count && any && code == POISE_OK; node++) {
        if (changed[node]) {
            const struct revised revised = {.plan = past->plan,
                                            .org = past->org,
                                            .node = node,
                                            .end_ms = past->end_ms,
                                            .cause = past->cause,
                                            .replaced = past->scores[node].score,
                                            .numbers = &now[node]};
            code = show_revision(engine, &revised, visit, visitor, err);
        }
    }
    return code;
}

static poise_code revise(struct engine *engine, const struct past *past, engine_visit *visit, void *visitor,
                         poise_error *err)
{
    const struct unit *unit = engine->org_table[past->org].units[past->plan];
    if (!unit) {
        return POISE_OK; /* the row was refused after all */
    }
    uint32_t nodes = engine->plans[past->plan].card->node_count;
    poise_score *now = malloc(nodes * sizeof *now);
    if (!now) {
        return error_nomem(err, "a revision");
    }
    poise_code code = unit_look(engine, unit, past->plan, past->end_ms, now, err);
    if (code == POISE_OK) {
        code = show_changed(engine, past, unit, now, visit, visitor, err);
    }
    free(now);
    return code;
}

poise_code past_revise(struct engine *engine, engine_visit *visit, void *visitor, poise_error *err)
{
    struct list *pasts = &engine->pasts;
    poise_code code = POISE_OK;
    size_t kept = 0;
    forget_silent(engine);
    for (size_t i = 0; i < pasts->count; i++) {
        struct past *past = pasts->items[i];
        if (code != POISE_OK || (past->held && engine->backfill_count > 0)) {
            pasts->items[kept++] = past;
            continue;
        }
        code = revise(engine, past, visit, visitor, err);
        hmap_remove(&engine->past_index, hash_of_past(past->plan, past->org, past->end_ms), is_past, past);
        free(past);
    }
    pasts->count = kept;
    return code;
}

void pasts_free(struct engine *engine)
{
    for (size_t i = 0; i < engine->pasts.count; i++) {
        free(engine->pasts.items[i]);
    }
    engine->pasts.count = 0;
    hmap_free(&engine->past_index);
}
