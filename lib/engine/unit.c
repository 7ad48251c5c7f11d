/* Orgs, scorecards at orgs, and the marks on what a settle has to look at. */
#include "internal.h"
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

/* ---- orgs ---- */

/* The parent's part of a path; false: the path is the root. */
static bool parent_path(const char *path, size_t *length)
{
    bool has_parent = *length > 0;
    *length = has_parent ? org_parent_length(path, *length) : 0;
    return has_parent;
}

size_t org_missing(const struct engine *engine, const char *path)
{
    size_t missing = 0, length = strlen(path);
    while (intern_find(&engine->orgs, path, length) == INTERN_NONE) {
        missing++;
        if (!parent_path(path, &length)) {
            break;
        }
    }
    return missing;
}

static bool reserve_org(struct engine *engine)
{
    if (engine->orgs.count < engine->org_capacity) {
        return true;
    }
    size_t capacity = engine->org_capacity ? 2 * engine->org_capacity : 16;
    struct org *table = reallocarray(engine->org_table, capacity, sizeof *table);
    if (table) {
        engine->org_table = table;
        engine->org_capacity = capacity;
    }
    return table != NULL;
}

static bool make_org(struct engine *engine, uint32_t parent, struct org *ret_org)
{
    size_t words = engine->input_names.count / 64 + 1;
    struct org org = {.parent = parent,
                      .first_child = INTERN_NONE,
                      .next_sibling = INTERN_NONE,
                      .depth = parent == INTERN_NONE ? 0 : engine->org_table[parent].depth + 1,
                      .units = calloc(engine->plan_count + 1, sizeof(struct unit *)),
                      .seen = calloc(words, sizeof(uint64_t))};
    if (!org.units || !org.seen) {
        free(org.units);
        free(org.seen);
        return false;
    }
    *ret_org = org;
    return true;
}

uint32_t org_add(struct engine *engine, const char *path, size_t length)
{
    uint32_t id = intern_find(&engine->orgs, path, length);
    if (id != INTERN_NONE) {
        return id;
    }
    uint32_t parent = INTERN_NONE;
    size_t parent_length = length;
    if (parent_path(path, &parent_length)) {
        parent = org_add(engine, path, parent_length);
        if (parent == INTERN_NONE) {
            return INTERN_NONE;
        }
    }
    struct org org;
    if (!reserve_org(engine) || !make_org(engine, parent, &org)) {
        return INTERN_NONE;
    }
    id = intern_add(&engine->orgs, path, length);
    if (id == INTERN_NONE) {
        free(org.units);
        free(org.seen);
        return INTERN_NONE;
    }
    if (parent != INTERN_NONE) {
        org.next_sibling = engine->org_table[parent].first_child;
        engine->org_table[parent].first_child = id;
    }
    engine->org_table[id] = org;
    return id;
}

/* ---- units ---- */

/* A leaf is present where its `orgs` say so, a node above where a child is, the scorecard always. */
static void find_present(const struct scorecard *card, const char *org, bool *present)
{
    present[0] = true;
    for (uint32_t node = card->node_count; node-- > 1;) {
        const struct measure *measure = card->nodes[node].measure;
        if (measure) {
            present[node] = measure_at_org(measure, org);
        }
        if (present[node]) {
            present[card->nodes[node].parent] = true;
        }
    }
}

/* One block: the unit, two bitmaps, the scores now and before, their flags, the presences. */
static struct unit *new_unit(const struct engine *engine, uint32_t plan, uint32_t org)
{
    size_t nodes = engine->plans[plan].card->node_count, words = (nodes + 63) / 64;
    size_t size = sizeof(struct unit) + 2 * words * sizeof(uint64_t) +
                  nodes * (sizeof(struct kept_score) + sizeof(double) + sizeof(uint8_t) + sizeof(bool));
    struct unit *unit = calloc(1, size);
    if (unit) {
        *unit = (struct unit){
            .plan = plan, .org = org, .fresh = true, .since = engine->settles, .previous_ms = INT64_MIN};
        unit->dirty = (uint64_t *)(unit + 1);
        unit->changed = unit->dirty + words;
        unit->scores = (struct kept_score *)(unit->changed + words);
        unit->previous = (double *)(unit->scores + nodes);
        unit->flags = (uint8_t *)(unit->previous + nodes);
        unit->present = (bool *)(unit->flags + nodes);
    }
    return unit;
}

void unit_free(struct unit *unit)
{
    free(unit);
}

bool unit_mark(struct engine *engine, struct unit *unit)
{
    if (!unit->marked) {
        unit->marked = list_push(&engine->marked, unit);
    }
    return unit->marked;
}

bool unit_mark_node(struct engine *engine, struct unit *unit, uint32_t node)
{
    uint32_t rank = engine->plans[unit->plan].card->rank[node];
    unit->dirty[rank / 64] |= bit_of(rank);
    return unit_mark(engine, unit);
}

bool unit_add(struct engine *engine, uint32_t plan, uint32_t org)
{
    struct unit **place = &engine->org_table[org].units[plan];
    if (*place) {
        return true;
    }
    const struct scorecard *card = engine->plans[plan].card;
    struct unit *unit = new_unit(engine, plan, org);
    if (!unit) {
        return false;
    }
    *place = unit;
    find_present(card, intern_text(&engine->orgs, org), unit->present);
    bool ok = true;
    for (uint32_t node = 0; ok && node < card->node_count; node++) {
        ok = !unit->present[node] || unit_mark_node(engine, unit, node);
    }
    return ok;
}

bool units_add_seen(struct engine *engine, const struct input *input, uint32_t org, bool *ret_new)
{
    uint64_t *word = &engine->org_table[org].seen[input->id / 64];
    *ret_new = !(*word & bit_of(input->id));
    *word |= bit_of(input->id);
    for (uint32_t at = org; *ret_new && at != INTERN_NONE; at = engine->org_table[at].parent) {
        for (uint32_t plan = 0; plan < engine->plan_count; plan++) {
            if (input->plans[plan] && !unit_add(engine, plan, at)) {
                return false;
            }
        }
    }
    return true;
}
