#include "view.h"
#include <stdlib.h>
#include <string.h>

static void free_entry(struct view_entry *entry)
{
    free(entry->name);
    free(entry);
}

void view_free(struct view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        free_entry(view->entries[i]);
    }
    free(view->entries);
    hmap_free(&view->map);
    intern_free(&view->nodes);
    *view = (struct view){0};
}

static uint64_t hash_of(const poise_state *state)
{
    return hash_mix(hash64(state->org, strlen(state->org), 0), hash64(state->node, strlen(state->node), 0));
}

static bool is_entry_of(const void *entry, const void *key)
{
    const struct view_entry *known = entry;
    const poise_state *state = key;
    return strcmp(known->state.org, state->org) == 0 && strcmp(known->state.node, state->node) == 0;
}

void view_begin(struct view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        view->entries[i]->seen = false;
    }
}

void view_finish(struct view *view)
{
    size_t kept = 0;
    for (size_t i = 0; i < view->count; i++) {
        struct view_entry *entry = view->entries[i];
        if (entry->seen) {
            view->entries[kept++] = entry;
        } else {
            hmap_remove(&view->map, hash_of(&entry->state), is_entry_of, &entry->state);
            free_entry(entry);
        }
    }
    view->count = kept;
}

static poise_code add_entry(struct view *view, const poise_state *state, struct view_entry **ret_entry)
{
    if (view->count == view->capacity) {
        size_t capacity = view->capacity ? 2 * view->capacity : 64;
        struct view_entry **entries = realloc(view->entries, capacity * sizeof *entries);
        if (!entries) {
            return POISE_ENOMEM;
        }
        view->entries = entries;
        view->capacity = capacity;
    }
    size_t org = strlen(state->org) + 1, node = strlen(state->node) + 1;
    struct view_entry *entry = malloc(sizeof *entry + org + node);
    if (!entry) {
        return POISE_ENOMEM;
    }
    *entry = (struct view_entry){.state = *state, .name = strdup(state->name)};
    entry->state.org = memcpy(entry->texts, state->org, org);
    entry->state.node = memcpy(entry->texts + org, state->node, node);
    entry->state.name = entry->name;
    if (!entry->name || intern_add(&view->nodes, state->node, node - 1) == INTERN_NONE ||
        !hmap_add(&view->map, hash_of(state), entry)) {
        free_entry(entry);
        return POISE_ENOMEM;
    }
    view->entries[view->count++] = entry;
    view->sorted = false;
    *ret_entry = entry;
    return POISE_OK;
}

static bool same_number(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || a == b;
}

static bool same_score(const poise_score *a, const poise_score *b)
{
    return same_number(a->value, b->value) && same_number(a->attainment, b->attainment) &&
           same_number(a->score, b->score) && same_number(a->lo, b->lo) && same_number(a->hi, b->hi) &&
           same_number(a->coverage, b->coverage) && same_number(a->filled, b->filled) &&
           same_number(a->trend, b->trend) && a->count == b->count &&
           a->period_start_ms == b->period_start_ms && a->period_end_ms == b->period_end_ms &&
           a->flags == b->flags && a->status == b->status && a->uncertain == b->uncertain;
}

/* Takes the state's latest numbers, and its name, which a new definition may have changed. */
static poise_code renew_entry(struct view_entry *entry, const poise_state *state)
{
    if (strcmp(entry->name, state->name) != 0) {
        char *name = strdup(state->name);
        if (!name) {
            return POISE_ENOMEM;
        }
        free(entry->name);
        entry->name = name;
    }
    const poise_state before = entry->state;
    entry->state = *state;
    entry->state.org = before.org;
    entry->state.node = before.node;
    entry->state.name = entry->name;
    return POISE_OK;
}

poise_code view_put(struct view *view, const poise_state *state, int64_t now_us,
                    struct view_change *ret_change)
{
    struct view_entry *entry = hmap_get(&view->map, hash_of(state), is_entry_of, state);
    struct view_change change = {.known = entry != NULL, .changed = true};
    if (entry) {
        change.before = entry->state.numbers;
        change.changed = !same_score(&change.before, &state->numbers);
    }
    if ((entry ? renew_entry(entry, state) : add_entry(view, state, &entry)) != POISE_OK) {
        return POISE_ENOMEM;
    }
    entry->seen = true;
    entry->changed_us = change.changed ? now_us : entry->changed_us;
    *ret_change = change;
    return POISE_OK;
}

/* A path before what lies below it, siblings as they first came. */
static int compare_nodes(const struct intern *nodes, const char *a, const char *b)
{
    for (size_t at = 0;;) {
        size_t a_end = at + strcspn(a + at, "/"), b_end = at + strcspn(b + at, "/");
        if (a_end != b_end || memcmp(a + at, b + at, a_end - at) != 0) {
            uint32_t first = intern_find(nodes, a, a_end), second = intern_find(nodes, b, b_end);
            return first == second ? strcmp(a, b) : first < second ? -1 : 1;
        }
        if (!a[a_end] || !b[b_end]) {
            return (a[a_end] != '\0') - (b[b_end] != '\0');
        }
        at = a_end + 1;
    }
}

static int compare_entries(const void *a, const void *b, void *nodes)
{
    const poise_state *first = &(*(struct view_entry *const *)a)->state;
    const poise_state *second = &(*(struct view_entry *const *)b)->state;
    size_t first_card = strcspn(first->node, "/"), second_card = strcspn(second->node, "/");
    if (first_card != second_card || memcmp(first->node, second->node, first_card) != 0) {
        return compare_nodes(nodes, first->node, second->node);
    }
    int by_org = strcmp(first->org, second->org);
    return by_org ? by_org : compare_nodes(nodes, first->node, second->node);
}

void view_sort(struct view *view)
{
    if (!view->sorted && view->count > 0) {
        qsort_r(view->entries, view->count, sizeof(struct view_entry *), compare_entries, &view->nodes);
    }
    view->sorted = true;
}
