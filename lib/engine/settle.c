#include "internal.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

/* The cells of a leaf at an org, for evaluate_measure. */
struct lookup {
    struct engine *engine;
    struct feed *feed;
    uint32_t org;
    poise_code code;
    poise_error *err;
};

static const struct accumulator *find_cell(void *context, struct period period)
{
    struct lookup *lookup = context;
    struct cell *cell = NULL;
    if (lookup->code == POISE_OK) {
        lookup->code = cell_find(lookup->engine, lookup->feed, lookup->org, period.start_ms, CELL_IF_ANY,
                                 &cell, lookup->err);
    }
    return cell ? cell_body(cell) : NULL;
}

static poise_code evaluate(struct engine *engine, const struct unit *unit, uint32_t node,
                           poise_score *ret_score, poise_error *err)
{
    const struct plan *plan = &engine->plans[unit->plan];
    const struct measure *measure = plan->card->nodes[node].measure;
    if (!measure) {
        evaluate_rollup(plan->card, node, unit->scores, unit->present, ret_score);
        return POISE_OK;
    }
    struct feed *feed = plan->leaves[node].feed;
    struct lookup lookup = {.engine = engine, .feed = feed, .org = unit->org, .err = err};
    const struct period_source source = {.find = find_cell, .context = &lookup, .layout = &feed->layout};
    evaluate_measure(plan->card, measure, intern_text(&engine->orgs, unit->org), engine->as_of_ms, &source,
                     ret_score);
    return lookup.code;
}

/* Children stand behind their parents, so going down the indices meets every child first. */
static poise_code recompute(struct engine *engine, struct unit *unit, poise_error *err)
{
    const struct scorecard *card = engine->plans[unit->plan].card;
    for (size_t word = (card->node_count + 63) / 64; word-- > 0;) {
        while (unit->dirty[word]) {
            uint32_t node = (uint32_t)(64 * word + 63 - (unsigned)__builtin_clzll(unit->dirty[word]));
            poise_score score;
            poise_code code = evaluate(engine, unit, node, &score, err);
            if (code != POISE_OK) {
                return code;
            }
            unit->dirty[word] &= ~bit_of(node);
            if (!unit->fresh && score_equal(&score, &unit->scores[node])) {
                continue;
            }
            unit->scores[node] = score;
            unit->changed[word] |= bit_of(node);
            uint32_t parent = card->nodes[node].parent;
            if (parent != NODE_NONE) {
                unit->dirty[parent / 64] |= bit_of(parent);
            }
        }
    }
    unit->fresh = false;
    return POISE_OK;
}

static poise_code show(const struct engine *engine, const struct unit *unit, uint32_t node,
                       engine_visit *visit, void *visitor)
{
    const struct node *defined = &engine->plans[unit->plan].card->nodes[node];
    const poise_state state = {.org = intern_text(&engine->orgs, unit->org),
                               .node = defined->path,
                               .name = defined->name,
                               .kind = defined->kind,
                               .weight = defined->weight,
                               .as_of_ms = engine->as_of_ms,
                               .numbers = unit->scores[node]};
    return visit(visitor, &state);
}

static poise_code show_changed(const struct engine *engine, struct unit *unit, engine_visit *visit,
                               void *visitor)
{
    size_t words = (engine->plans[unit->plan].card->node_count + 63) / 64;
    for (size_t word = 0; word < words; word++) {
        while (unit->changed[word]) {
            uint32_t node = (uint32_t)(64 * word + (unsigned)__builtin_ctzll(unit->changed[word]));
            unit->changed[word] &= unit->changed[word] - 1;
            poise_code code = show(engine, unit, node, visit, visitor);
            if (code != POISE_OK) {
                return code;
            }
        }
    }
    return POISE_OK;
}

/* Marks the leaves that read a cell which has changed. */
static bool mark_readers(struct engine *engine, const struct cell *cell)
{
    for (const struct leaf *leaf = cell->feed->leaves; leaf; leaf = leaf->next) {
        struct unit *unit = engine->org_table[cell->org].units[leaf->plan];
        if (unit && unit->present[leaf->node] && !unit_mark(engine, unit, leaf->node)) {
            return false;
        }
    }
    return true;
}

static poise_code spread_marks(struct engine *engine, poise_error *err)
{
    for (size_t i = 0; i < engine->touched.count; i++) {
        struct cell *cell = engine->touched.items[i];
        cell->flags &= ~(uint32_t)CELL_TOUCHED;
        if (!mark_readers(engine, cell)) {
            return error_nomem(err, "the marks of a settle");
        }
    }
    engine->touched.count = 0;
    return POISE_OK;
}

poise_code settle(struct engine *engine, engine_visit *visit, void *visitor, poise_error *err)
{
    poise_code code = engine->folded ? POISE_OK : keys_fold(engine, err);
    if (code == POISE_OK) {
        code = reread_marked(engine, err);
    }
    if (code == POISE_OK) {
        code = spread_marks(engine, err);
    }
    for (size_t i = 0; i < engine->marked.count && code == POISE_OK; i++) {
        struct unit *unit = engine->marked.items[i];
        code = recompute(engine, unit, err);
        if (code == POISE_OK) {
            code = show_changed(engine, unit, visit, visitor);
        }
        unit->marked = false;
    }
    engine->marked.count = 0;
    return code;
}

bool engine_dirty(const struct engine *engine)
{
    return engine->touched.count > 0 || engine->marked.count > 0 ||
           (!engine->folded && engine->keys.count > 0);
}

/* ---- states ---- */

struct place {
    const char *path;
    uint32_t org;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

static poise_code show_unit(const struct engine *engine, const struct unit *unit, engine_visit *visit,
                            void *visitor)
{
    uint32_t nodes = engine->plans[unit->plan].card->node_count;
    for (uint32_t node = 0; node < nodes; node++) {
        poise_code code = unit->present[node] ? show(engine, unit, node, visit, visitor) : POISE_OK;
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

/* The settled units of an org; *ret_found is set where there is one. */
static poise_code show_org(const struct engine *engine, const char *card, uint32_t org, engine_visit *visit,
                           void *visitor, bool *ret_found)
{
    for (uint32_t plan = 0; plan < engine->plan_count; plan++) {
        const struct unit *unit = engine->org_table[org].units[plan];
        if (!unit || unit->fresh || (card && strcmp(card, engine->plans[plan].card->id) != 0)) {
            continue;
        }
        *ret_found = true;
        poise_code code = show_unit(engine, unit, visit, visitor);
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

static poise_code show_all(const struct engine *engine, const char *card, engine_visit *visit, void *visitor,
                           bool *ret_found, poise_error *err)
{
    size_t count = engine->orgs.count;
    struct place *places = malloc((count + 1) * sizeof *places);
    if (!places) {
        return error_nomem(err, "the list of orgs");
    }
    for (uint32_t org = 0; org < count; org++) {
        places[org] = (struct place){.path = intern_text(&engine->orgs, org), .org = org};
    }
    qsort(places, count, sizeof *places, by_path);
    poise_code code = POISE_OK;
    for (size_t i = 0; i < count && code == POISE_OK; i++) {
        code = show_org(engine, card, places[i].org, visit, visitor, ret_found);
    }
    free(places);
    return code;
}

poise_code engine_states(const struct engine *engine, const char *card, const char *org, engine_visit *visit,
                         void *visitor, poise_error *err)
{
    bool found = false;
    poise_code code = POISE_OK;
    if (!org) {
        code = show_all(engine, card, visit, visitor, &found, err);
    } else {
        uint32_t id = intern_find(&engine->orgs, org, strlen(org));
        code = id == INTERN_NONE ? POISE_OK : show_org(engine, card, id, visit, visitor, &found);
    }
    if (code == POISE_OK && !found) {
        code = error_set(err, POISE_ENOTFOUND, "there are no scores of %s at org '%s'",
                         card ? card : "any scorecard", org ? org : "");
    }
    return code;
}
