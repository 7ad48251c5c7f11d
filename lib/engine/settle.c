#include "internal.h"
#include <assert.h>
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

static poise_code evaluate(struct engine *engine, const struct unit *unit, uint32_t node, int64_t as_of_ms,
                           const struct past_range *before, const poise_score *scores, poise_score *ret_score,
                           poise_error *err)
{
    const struct plan *plan = &engine->plans[unit->plan];
    const struct leaf *leaf = &plan->leaves[node];
    const struct tree_scores tree = {.scores = scores, .present = unit->present};
    const char *org = intern_text(&engine->orgs, unit->org);
    engine->evaluated++;
    if (!leaf->measure) {
        evaluate_rollup(plan->card, node, &tree, ret_score);
    } else if (leaf->measure->formula) {
        evaluate_formula(plan->card, leaf->measure, org, as_of_ms, &tree, ret_score);
    } else {
        struct leaf_reading reading = {
            .engine = engine, .leaf = leaf, .org = unit->org, .before = before, .err = err};
        const struct leaf_source source = {.context = &reading, .read = read_window};
        evaluate_aggregate(plan->card, leaf->measure, org, as_of_ms, &source, ret_score);
        return reading.code;
    }
    return POISE_OK;
}

static const poise_score no_score = {
    .value = NAN, .attainment = NAN, .score = NAN, .trend = NAN, .hi = 100, .uncertain = true};

poise_code unit_look(struct engine *engine, const struct unit *unit, uint32_t plan, int64_t as_of_ms,
                     const struct past_range *before, poise_score *ret_scores, poise_error *err)
{
    const struct scorecard *card = engine->plans[plan].card;
    poise_code code = POISE_OK;
    for (uint32_t rank = 0; rank < card->node_count && code == POISE_OK; rank++) {
        uint32_t node = card->order[rank];
        ret_scores[node] = no_score;
        if (unit && unit->present[node]) {
            code = evaluate(engine, unit, node, as_of_ms, before, ret_scores, &ret_scores[node], err);
        }
    }
    return code;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* Computes what trends are against: every node as of the end of the period before. */
static poise_code look_back(struct engine *engine, struct unit *unit, poise_error *err)
{
    const struct plan *plan = &engine->plans[unit->plan];
    poise_score *then = engine->scratch[0];
    poise_code code = look_in_force(engine, unit->plan, unit->org, plan->previous_ms, then, err);
    for (uint32_t node = 0; node < plan->card->node_count; node++) {
        double score = unit->scores[node].score, now = then[node].score;
        if (unit->present[node] && !same(score - now, score - unit->previous[node])) {
            unit->changed[node / 64] |= bit_of(node);
        }
        unit->previous[node] = now;
    }
    unit->previous_ms = plan->previous_ms;
    unit->past_touched = false;
    return code;
}

static void mark_readers_of(const struct scorecard *card, struct unit *unit, uint32_t node)
{
    const struct node *defined = &card->nodes[node];
    if (defined->parent != NODE_NONE) {
        uint32_t rank = card->rank[defined->parent];
        unit->dirty[rank / 64] |= bit_of(rank);
    }
    for (uint32_t i = 0; i < defined->reader_count; i++) {
        uint32_t rank = card->rank[defined->readers[i]];
        if (unit->present[defined->readers[i]]) {
            unit->dirty[rank / 64] |= bit_of(rank);
        }
    }
}

void engine_look_at(const struct measure *measure, int64_t as_of_ms, poise_score *numbers)
{
    if (measure && measure->rolling_ms > 0 && !(numbers->flags & POISE_FLAG_CARRIED)) {
        numbers->period_end_ms = as_of_ms;
    }
}

static void load(const struct engine *engine, const struct unit *unit, uint32_t node)
{
    if (unit->present[node] && !(engine->in_scratch[node / 64] & bit_of(node))) {
        const struct measure *measure = engine->plans[unit->plan].card->nodes[node].measure;
        kept_numbers(measure, &unit->scores[node], unit->flags[node], &engine->scratch[0][node]);
    }
}

/* What the node is computed from, where it did not come before it. */
static void load_read(const struct engine *engine, const struct unit *unit, uint32_t node)
{
    const struct scorecard *card = engine->plans[unit->plan].card;
    const struct measure *measure = card->nodes[node].measure;
    for (uint32_t i = card->nodes[node].first_child; i != NODE_NONE; i = card->nodes[i].next_sibling) {
        load(engine, unit, i);
    }
    for (size_t i = 0; measure && measure->formula && i < measure->formula->count; i++) {
        if (measure->formula->steps[i].op == FORMULA_LEAF) {
            load(engine, unit, measure->formula->steps[i].node);
        }
    }
}

static poise_score whole(const struct engine *engine, const struct unit *unit, uint32_t node)
{
    const struct scorecard *card = engine->plans[unit->plan].card;
    return kept_whole(card, card->nodes[node].measure, &unit->scores[node], unit->flags[node],
                      unit->previous[node]);
}

/* Whether what was computed follows from what is kept. */
static inline bool follows(const struct engine *engine, const struct unit *unit, uint32_t node)
{
    poise_score kept = whole(engine, unit, node);
    return score_equal(&kept, &engine->scratch[0][node]);
}

/* Takes in what was computed: marks what reads it where it has changed, and it where that is to be shown. */
static void keep(struct engine *engine, struct unit *unit, uint32_t node)
{
    const struct scorecard *card = engine->plans[unit->plan].card;
    const struct measure *measure = card->nodes[node].measure;
    uint8_t flags, flags_before = unit->flags[node];
    struct kept_score score = score_keep(measure, &engine->scratch[0][node], &flags);
    const struct kept_score *before = &unit->scores[node];
    bool is_same = !unit->fresh && kept_equal(measure, &score, flags, before, flags_before);
    if (is_same && flags == flags_before) {
        return;
    }
    if (!is_same) {
        unit->changed[node / 64] |= bit_of(node);
    }
    unit->scores[node] = score;
    unit->flags[node] = flags;
    mark_readers_of(card, unit, node);
}

/* In the order of ranks every node comes behind what it reads, and marks only what comes behind it. */
static poise_code recompute(struct engine *engine, struct unit *unit, poise_error *err)
{
    const struct plan *plan = &engine->plans[unit->plan];
    const struct scorecard *card = plan->card;
    size_t words = (card->node_count + 63) / 64;
    memset(engine->in_scratch, 0, words * sizeof *engine->in_scratch);
    for (size_t word = 0; word < words; word++) {
        while (unit->dirty[word]) {
            uint32_t rank = (uint32_t)(64 * word + (unsigned)__builtin_ctzll(unit->dirty[word]));
            uint32_t node = card->order[rank];
            poise_score *score = &engine->scratch[0][node];
            load_read(engine, unit, node);
            poise_code code =
                evaluate(engine, unit, node, engine->as_of_ms, NULL, engine->scratch[0], score, err);
            if (code != POISE_OK) {
                return code;
            }
            score->trend = score->score - unit->previous[node];
            engine_look_at(plan->leaves[node].measure, INT64_MAX, score);
            engine->in_scratch[node / 64] |= bit_of(node);
            unit->dirty[word] &= ~bit_of(rank);
            keep(engine, unit, node);
            assert(follows(engine, unit, node));
        }
    }
    unit->fresh = false;
    return POISE_OK;
}

static poise_code settle_unit(struct engine *engine, struct unit *unit, poise_error *err)
{
    bool looks_back = unit->past_touched || unit->previous_ms != engine->plans[unit->plan].previous_ms;
    poise_code code = looks_back ? look_back(engine, unit, err) : POISE_OK;
    return code == POISE_OK ? recompute(engine, unit, err) : code;
}

static poise_code show(const struct engine *engine, const struct unit *unit, uint32_t node,
                       const poise_score *numbers, engine_visit *visit, void *visitor)
{
    const struct plan *plan = &engine->plans[unit->plan];
    const struct node *defined = &plan->card->nodes[node];
    poise_state state = {.org = intern_text(&engine->orgs, unit->org),
                         .node = defined->path,
                         .name = defined->name,
                         .kind = defined->kind,
                         .weight = defined->weight,
                         .as_of_ms = engine->as_of_ms,
                         .definition = plan->term.number,
                         .numbers = score_published(numbers)};
    engine_look_at(defined->measure, engine->as_of_ms, &state.numbers);
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
            bool computed = engine->in_scratch[word] & bit_of(node);
            if (!computed) {
                engine->scratch[0][node] = whole(engine, unit, node);
            }
            poise_code code = show(engine, unit, node, &engine->scratch[0][node], visit, visitor);
            if (code != POISE_OK) {
                return code;
            }
        }
    }
    return POISE_OK;
}

/* What an older definition reads may be what trends are against. */
static bool mark_successor(struct engine *engine, uint32_t plan, uint32_t org, int64_t start_ms)
{
    uint32_t now = plan_in_force(engine, plan, engine->as_of_ms);
    struct unit *unit = engine->org_table[org].units[now];
    if (!unit || start_ms >= engine->plans[now].previous_ms) {
        return true;
    }
    unit->past_touched = true;
    return unit_mark(engine, unit);
}

static bool mark_reader(struct engine *engine, const struct leaf *leaf, uint32_t org, int64_t start_ms)
{
    if (!engine->plans[leaf->plan].active) {
        return mark_successor(engine, leaf->plan, org, start_ms);
    }
    struct unit *unit = engine->org_table[org].units[leaf->plan];
    if (!unit || !unit->present[leaf->node]) {
        return true;
    }
    unit->past_touched |= start_ms < engine->plans[leaf->plan].previous_ms;
    return unit_mark_node(engine, unit, leaf->node);
}

/* Marks the leaves that read a cell which has changed: at its org, and across orgs at those above. */
static bool mark_readers(struct engine *engine, const struct feed *feed, uint32_t touched_org,
                         int64_t start_ms)
{
    bool ok = true;
    for (const struct leaf *leaf = feed->leaves; leaf; leaf = leaf->next) {
        uint32_t org = touched_org;
        do {
            ok = ok && mark_reader(engine, leaf, org, start_ms);
            org = leaf->measure->across != ACROSS_POOL ? engine->org_table[org].parent : INTERN_NONE;
        } while (org != INTERN_NONE);
    }
    return ok;
}

static poise_code spread_marks(struct engine *engine, poise_error *err)
{
    for (size_t i = 0; i < engine->touched.count; i++) {
        uint32_t number = engine->touched.items[i];
        struct block *block = &engine->cells.blocks[number];
        while (block->touched) {
            uint32_t cell = next_in_block(number, &block->touched);
            if (!mark_readers(engine, block->feed, cell_org(&engine->cells, cell), block->start_ms)) {
                return error_nomem(err, "the marks of a settle");
            }
        }
    }
    engine->touched.count = 0;
    return POISE_OK;
}

/* Settles units until so many nodes were looked at; the others stay marked. */
static poise_code settle_marked(struct engine *engine, size_t budget, engine_visit *visit, void *visitor,
                                poise_error *err)
{
    struct list *marked = &engine->marked;
    poise_code code = POISE_OK;
    size_t done = 0;
    while (done < marked->count && code == POISE_OK && engine->evaluated < budget) {
        struct unit *unit = marked->items[done++];
        unit->marked = false;
        if (!engine->plans[unit->plan].active) {
            unit->fresh = false; /* from now on it is there; nobody sees it but those who look at the past */
            continue;
        }
        code = settle_unit(engine, unit, err);
        if (code == POISE_OK) {
            code = show_changed(engine, unit, visit, visitor);
        }
    }
    marked->count -= done;
    if (marked->count > 0) {
        memmove(marked->items, marked->items + done, marked->count * sizeof *marked->items);
    }
    return code;
}

poise_code settle(struct engine *engine, size_t budget, engine_visit *visit, void *visitor, poise_error *err)
{
    engine->evaluated = 0;
    poise_code code = engine->folded ? POISE_OK : keys_fold(engine, err);
    if (code == POISE_OK) {
        code = reread_marked(engine, err);
    }
    if (code == POISE_OK) {
        code = spread_marks(engine, err);
    }
    if (code == POISE_OK) {
        code = settle_marked(engine, budget, visit, visitor, err);
    }
    bool is_done = engine->marked.count == 0;
    if (code == POISE_OK && is_done) {
        code = revisions_find(engine, budget, &is_done, err);
    }
    if (code == POISE_OK && is_done) {
        engine->settles++;
        code = revisions_tell(engine, visit, visitor, err);
    }
    return code;
}

size_t engine_marked(const struct engine *engine)
{
    return engine->marked.count;
}

bool engine_dirty(const struct engine *engine)
{
    return engine->touched.count > 0 || engine->gaining.count > 0 || engine->marked.count > 0 ||
           past_waits(engine) || (!engine->folded && engine->keys.count > 0);
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
        if (!unit->present[node]) {
            continue;
        }
        poise_score numbers = whole(engine, unit, node);
        poise_code code = show(engine, unit, node, &numbers, visit, visitor);
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
        if (!unit || unit->fresh || !engine->plans[plan].active ||
            (card && strcmp(card, engine->plans[plan].card->id) != 0)) {
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
