#include "board.h"

#include <base/error.h>
#include <stdlib.h>
#include <string.h>

static bool path_matches(const void *entry, const void *key)
{
    return strcmp(((const struct node *)entry)->path, key) == 0;
}

static uint64_t text_hash(const char *text)
{
    return hash64(text, strlen(text), 0);
}

static poise_code index_paths(struct hmap *map, const struct scorecard *card, poise_error *err)
{
    for (uint32_t i = 0; i < card->node_count; i++)
        if (!hmap_add(map, text_hash(card->nodes[i].path), &card->nodes[i]))
            return error_nomem(err, "the nodes of a scorecard");
    return POISE_OK;
}

poise_code board_init(struct board *board, const struct scorecard *const *cards, size_t count,
                      poise_error *err)
{
    *board = (struct board){.cards = cards, .card_count = count, .as_of_ms = INT64_MIN};
    board->paths = calloc(count ? count : 1, sizeof *board->paths);
    board->ring = calloc(BOARD_RING, sizeof *board->ring);
    board->revisions = calloc(BOARD_REVISIONS, sizeof *board->revisions);
    if (!board->paths || !board->ring || !board->revisions)
        return error_nomem(err, "the board of published states");
    for (size_t i = 0; i < count; i++) {
        poise_code code = index_paths(&board->paths[i], cards[i], err);
        if (code)
            return code;
    }
    return POISE_OK;
}

static void unit_free(struct board_unit *unit)
{
    if (!unit)
        return;
    free(unit->states);
    free(unit->positions);
    free(unit);
}

void board_free(struct board *board)
{
    for (size_t i = 0; i < board->unit_count; i++)
        unit_free(board->order[i]);
    for (size_t i = 0; board->paths && i < board->card_count; i++)
        hmap_free(&board->paths[i]);
    free(board->order);
    free(board->paths);
    free(board->ring);
    free(board->revisions);
    hmap_free(&board->units);
    *board = (struct board){0};
}

struct unit_key {
    const struct scorecard *card;
    const char *org;
};

static bool unit_matches(const void *entry, const void *key)
{
    const struct board_unit *unit = entry;
    const struct unit_key *wanted = key;
    return unit->card == wanted->card && strcmp(unit->org, wanted->org) == 0;
}

static struct board_unit *unit_add(struct board *board, uint32_t card_index, const char *org, uint64_t hash)
{
    if (board->unit_count == board->unit_capacity) {
        size_t capacity = board->unit_capacity ? board->unit_capacity * 2 : 64;
        struct board_unit **order = realloc(board->order, capacity * sizeof(struct board_unit *));
        if (!order)
            return NULL;
        board->order = order;
        board->unit_capacity = capacity;
    }
    const struct scorecard *card = board->cards[card_index];
    struct board_unit *unit = calloc(1, sizeof *unit);
    if (!unit)
        return NULL;
    unit->card = card;
    unit->card_index = card_index;
    unit->index = (uint32_t)board->unit_count;
    unit->org = org;
    unit->states = calloc(card->node_count, sizeof *unit->states);
    unit->positions = calloc(card->node_count, sizeof *unit->positions);
    if (!unit->states || !unit->positions || !hmap_add(&board->units, hash, unit)) {
        unit_free(unit);
        return NULL;
    }
    board->order[board->unit_count++] = unit;
    return unit;
}

static bool card_of(const struct board *board, const char *path, uint32_t *ret_index)
{
    size_t length = strcspn(path, "/");
    for (uint32_t i = 0; i < board->card_count; i++) {
        const char *id = board->cards[i]->id;
        if (strlen(id) == length && memcmp(id, path, length) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static const struct node *find_node(const struct board *board, uint32_t card_index, const char *path)
{
    return hmap_get(&board->paths[card_index], text_hash(path), path_matches, path);
}

/* A revision may be of a node that only an older definition has: it goes to those who want what lies around
 * it, which is the nearest node above it that there is still. */
static const struct node *find_around(const struct board *board, uint32_t card_index, const char *path)
{
    char around[4 * (POISE_ID_MAX + 1)];
    size_t length = strnlen(path, sizeof around - 1);
    memcpy(around, path, length);
    around[length] = '\0';
    const struct node *node = find_node(board, card_index, around);
    for (char *end; !node && (end = strrchr(around, '/'));) {
        *end = '\0';
        node = find_node(board, card_index, around);
    }
    return node;
}

static poise_code apply_state(struct board *board, const poise_state *state, poise_error *err)
{
    uint32_t card_index;
    const struct node *node = NULL;
    if (card_of(board, state->node, &card_index))
        node = state->revision ? find_around(board, card_index, state->node)
                               : find_node(board, card_index, state->node);
    if (!node)
        return error_set(err, POISE_EINVAL, "the engine published a node that no scorecard has: %s",
                         state->node);

    struct unit_key key = {board->cards[card_index], state->org};
    uint64_t hash = hash_mix(text_hash(state->org), card_index);
    struct board_unit *unit = hmap_get(&board->units, hash, unit_matches, &key);
    if (!unit && !(unit = unit_add(board, card_index, state->org, hash)))
        return error_nomem(err, "the published states of an org");

    uint32_t index = (uint32_t)(node - key.card->nodes);
    if (state->revision) {
        board->revised++;
        board->revisions[board->revised % BOARD_REVISIONS] = (struct board_revision){*state, unit, index};
        return POISE_OK;
    }
    board->nodes += unit->positions[index] == 0;
    board->head++;
    board->ring[board->head % BOARD_RING] = (struct board_change){unit, index};
    unit->states[index] = *state;
    unit->positions[index] = board->head;
    return POISE_OK;
}

poise_code board_apply(struct board *board, const struct changes *changes, poise_error *err)
{
    for (const struct changes *part = changes; part; part = part->next)
        for (size_t i = 0; i < part->count; i++) {
            poise_code code = apply_state(board, &part->states[i], err);
            if (code)
                return code;
        }
    if (changes->lsn)
        board->lsn = changes->lsn;
    board->as_of_ms = changes->as_of_ms;
    return POISE_OK;
}

static int compare_units(const struct board_unit *a, const struct board_unit *b)
{
    if (a->card_index != b->card_index)
        return a->card_index < b->card_index ? -1 : 1;
    return strcmp(a->org, b->org);
}

static int compare_slots(const void *a, const void *b)
{
    return compare_units(*(struct board_unit *const *)a, *(struct board_unit *const *)b);
}

struct board_unit *board_next(struct board *board, const struct board_unit *unit)
{
    if (board->sorted < board->unit_count) {
        qsort(board->order, board->unit_count, sizeof(struct board_unit *), compare_slots);
        board->sorted = board->unit_count;
    }
    size_t low = 0, high = board->unit_count;
    while (unit && low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_units(board->order[middle], unit) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < board->unit_count ? board->order[low] : NULL;
}

const poise_state *board_changed(const struct board *board, uint64_t position, struct board_unit **ret_unit,
                                 uint32_t *ret_node)
{
    const struct board_change *change = &board->ring[position % BOARD_RING];
    *ret_unit = change->unit;
    *ret_node = change->node;
    if (change->unit->positions[change->node] != position)
        return NULL;
    return &change->unit->states[change->node];
}
