#include "simulation.h"

#include <base/buf.h>
#include <engine/engine.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/world.h>

struct shown {
    const char *org, *node;
    char *line;
    size_t room;
    poise_kind kind;
    poise_status status;
};

void view_clear(struct view *view)
{
    hmap_free(&view->entries);
    arena_reset(&view->memory);
    view->definition = 0;
}

void view_free(struct view *view)
{
    hmap_free(&view->entries);
    arena_free(&view->memory);
    *view = (struct view){0};
}

/* ---- a line ---- */

static const struct measure *measure_of(const poise_state *state)
{
    const struct scorecard *card = journal_card(state);
    for (uint32_t n = 0; card && n < card->node_count; n++) {
        if (strcmp(card->nodes[n].path, state->node) == 0) {
            return card->nodes[n].measure;
        }
    }
    fail_msg("a state of a node that definition %llu has not: %s", (unsigned long long)state->definition,
             state->node);
    return NULL;
}

void state_line(const poise_state *state, struct buf *out)
{
    poise_state copy = *state;
    engine_look_at(measure_of(state), INT64_MAX, &copy.numbers);
    buf_reset(out);
    dump_state(&copy, out);
    buf_put_u8(out, 0);
    assert_false(out->failed);
}

/* ---- entries ---- */

static uint64_t hash_of(const char *org, const char *node)
{
    return hash_mix(hash64(org, strlen(org), 0), hash64(node, strlen(node), 0));
}

static bool is_entry(const void *entry, const void *key)
{
    const struct shown *a = entry, *b = key;
    return strcmp(a->org, b->org) == 0 && strcmp(a->node, b->node) == 0;
}

static const char *keep(struct arena *arena, const char *text)
{
    const char *kept = arena_strndup(arena, text, strlen(text));
    assert_non_null(kept);
    return kept;
}

static void put(struct view *view, const struct shown *wanted, const char *line)
{
    const char *org = wanted->org, *node = wanted->node;
    struct shown *entry = hmap_get(&view->entries, hash_of(org, node), is_entry, wanted);
    if (!entry) {
        entry = arena_zalloc(&view->memory, 1, sizeof *entry);
        assert_non_null(entry);
        *entry = (struct shown){.org = keep(&view->memory, org), .node = keep(&view->memory, node)};
        assert_true(hmap_add(&view->entries, hash_of(org, node), entry));
    }
    entry->kind = wanted->kind;
    entry->status = wanted->status;
    size_t length = strlen(line) + 1;
    if (length > entry->room) {
        entry->room = length + 40; /* of the next ones */
        entry->line = arena_alloc(&view->memory, entry->room);
        assert_non_null(entry->line);
    }
    memcpy(entry->line, line, length);
}

void view_set(struct view *view, const poise_state *state)
{
    const struct shown entry = {
        .org = state->org, .node = state->node, .kind = state->kind, .status = state->numbers.status};
    struct buf line = {0};
    state_line(state, &line);
    put(view, &entry, (const char *)line.data);
    view->definition = state->definition;
    buf_free(&line);
}

static const struct shown *find(const struct view *view, const char *org, const char *node)
{
    const struct shown wanted = {.org = org, .node = node};
    return hmap_get(&view->entries, hash_of(org, node), is_entry, &wanted);
}

const char *view_line(const struct view *view, const char *org, const char *node)
{
    const struct shown *entry = find(view, org, node);
    return entry ? entry->line : NULL;
}

static void same(const char *what, const struct view *got, const struct view *wanted, bool status_only)
{
    const struct shown *entry;
    for (size_t at = 0; (entry = hmap_next(&wanted->entries, &at));) {
        const struct shown *its = find(got, entry->org, entry->node);
        if (!its || its->status != entry->status || (!status_only && strcmp(its->line, entry->line) != 0)) {
            fail_msg("%s, as of %lld, lsn %llu:\n     got %s  wanted %s", what, (long long)wanted->as_of_ms,
                     (unsigned long long)wanted->lsn, its ? its->line : "nothing\n", entry->line);
        }
    }
    for (size_t at = 0; (entry = hmap_next(&got->entries, &at));) {
        if (!find(wanted, entry->org, entry->node)) {
            fail_msg("%s: too much: %s", what, entry->line);
        }
    }
}

void view_same(const char *what, const struct view *got, const struct view *wanted)
{
    same(what, got, wanted, false);
}

void view_same_status(const char *what, const struct view *got, const struct view *wanted)
{
    same(what, got, wanted, true);
}

/* ---- filters, as poise/client.h says ---- */

static bool below(const char *path, const char *node)
{
    size_t length = strlen(node);
    return strncmp(path, node, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

bool filter_lets(const poise_filter *filter, const char *at_org, const char *path, poise_kind kind)
{
    bool card = filter->scorecard_count == 0, org = filter->org_count == 0, node = filter->node_count == 0;
    for (size_t i = 0; i < filter->scorecard_count; i++) {
        card |= below(path, filter->scorecards[i]);
    }
    for (size_t i = 0; i < filter->org_count; i++) {
        org |= org_matches(filter->orgs[i], at_org);
    }
    for (size_t i = 0; i < filter->node_count; i++) {
        node |= below(path, filter->nodes[i]);
    }
    return card && org && node && (!filter->kinds || (filter->kinds & 1u << kind));
}

static bool passes(const poise_filter *filter, const struct shown *entry)
{
    return filter->changes != POISE_CHANGES_REVISIONS &&
           filter_lets(filter, entry->org, entry->node, entry->kind);
}

void view_copy(const struct view *from, const poise_filter *filter, struct view *to)
{
    const struct shown *entry;
    view_clear(to);
    for (size_t at = 0; (entry = hmap_next(&from->entries, &at));) {
        if (!filter || passes(filter, entry)) {
            put(to, entry, entry->line);
        }
    }
    to->definition = from->definition;
    to->lsn = from->lsn;
    to->as_of_ms = from->as_of_ms;
}
