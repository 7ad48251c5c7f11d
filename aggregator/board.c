#include "board.h"

#include "settles.h"
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
    board->marks = calloc(BOARD_MARKS, sizeof *board->marks);
    if (!board->paths || !board->ring || !board->revisions || !board->marks)
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
    free(unit->status_positions);
    free(unit->recalled);
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
    free(board->marks);
    hmap_free(&board->units);
    hmap_free(&board->filters);
    arena_free(&board->texts);
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
    unit->status_positions = calloc(card->node_count, sizeof *unit->status_positions);
    if (!unit->states || !unit->positions || !unit->status_positions ||
        !hmap_add(&board->units, hash, unit)) {
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

static const struct node *node_of(const struct board *board, const poise_state *state, uint32_t *ret_card)
{
    if (!card_of(board, state->node, ret_card))
        return NULL;
    return state->revision ? find_around(board, *ret_card, state->node)
                           : find_node(board, *ret_card, state->node);
}

/* The unit of a state, which has an org that outlives the board where it is new; NULL: out of memory. */
static struct board_unit *unit_of(struct board *board, uint32_t card_index, const char *org)
{
    struct unit_key key = {board->cards[card_index], org};
    uint64_t hash = hash_mix(text_hash(org), card_index);
    struct board_unit *unit = hmap_get(&board->units, hash, unit_matches, &key);
    return unit ? unit : unit_add(board, card_index, org, hash);
}

static void add_change(struct board *board, struct board_unit *unit, uint32_t node, bool of_status)
{
    board->head++;
    board->ring[board->head % BOARD_RING] = (struct board_change){unit, node};
    unit->positions[node] = board->head;
    if (of_status)
        unit->status_positions[node] = board->head;
}

static void add_revision(struct board *board, struct board_unit *unit, uint32_t node,
                         const poise_state *state)
{
    board->revised++;
    board->revisions[board->revised % BOARD_REVISIONS] = (struct board_revision){*state, unit, node};
}

/* What the board has already may be another status: which one was told before is not known. */
static poise_code apply_state(struct board *board, const poise_state *state, bool again, poise_error *err)
{
    uint32_t card_index;
    const struct node *node = node_of(board, state, &card_index);
    if (!node)
        return error_set(err, POISE_EINVAL, "the engine published a node that no scorecard has: %s",
                         state->node);
    struct board_unit *unit = unit_of(board, card_index, state->org);
    if (!unit)
        return error_nomem(err, "the published states of an org");
    uint32_t index = (uint32_t)(node - unit->card->nodes);
    if (state->revision) {
        add_revision(board, unit, index, state);
        return POISE_OK;
    }
    bool is_new = unit->positions[index] == 0;
    board->nodes += is_new;
    add_change(board, unit, index,
               is_new || again || unit->states[index].numbers.status != state->numbers.status);
    unit->states[index] = *state;
    return POISE_OK;
}

static void mark(struct board *board, uint64_t lsn)
{
    board->marks[board->mark_count++ % BOARD_MARKS] =
        (struct board_mark){.lsn = lsn, .position = board->head, .revised = board->revised};
}

poise_code board_apply(struct board *board, const struct changes *changes, poise_error *err)
{
    for (const struct changes *part = changes; part; part = part->next)
        for (size_t i = 0; i < part->count; i++) {
            poise_code code = apply_state(board, &part->states[i], changes->again, err);
            if (code)
                return code;
        }
    if (changes->lsn) {
        board->lsn = changes->lsn;
        mark(board, changes->lsn);
    }
    board->as_of_ms = changes->as_of_ms;
    return POISE_OK;
}

/* ---- what was before ---- */

bool board_find(const struct board *board, uint64_t lsn, struct board_mark *ret_mark)
{
    uint64_t low = board->mark_count > BOARD_MARKS ? board->mark_count - BOARD_MARKS : 0;
    uint64_t high = board->mark_count;
    if (lsn > board->lsn || low == high || board->marks[low % BOARD_MARKS].lsn > lsn)
        return false;
    while (high - low > 1) { /* the last one up to lsn */
        uint64_t middle = low + (high - low) / 2;
        if (board->marks[middle % BOARD_MARKS].lsn <= lsn)
            low = middle;
        else
            high = middle;
    }
    *ret_mark = board->marks[low % BOARD_MARKS];
    return board_has(board, ret_mark->position);
}

struct recall {
    struct board *board;
    uint64_t from,
        lsn; /* the first record of the log that is looked at; while that is looked for: the last */
    int64_t bytes[BOARD_MARKS]; /* of the changes of each of these, by lsn */
    poise_error *err;
};

/* Its texts, which live during the call only, as ones that stay. */
static bool keep_texts(struct board *board, const struct board_unit *unit, uint32_t node, poise_state *state)
{
    const struct node *known = &unit->card->nodes[node];
    state->org = unit->org;
    state->node = strcmp(known->path, state->node) == 0
                      ? known->path
                      : arena_strndup(&board->texts, state->node, strlen(state->node));
    state->name = strcmp(known->name, state->name) == 0
                      ? known->name
                      : arena_strndup(&board->texts, state->name, strlen(state->name));
    return state->node && state->name;
}

/* The board has the latest states already: what is recalled is only when they changed. */
static poise_code recall_change(void *visitor, const struct settles_change *change)
{
    struct recall *recall = visitor;
    struct board *board = recall->board;
    poise_state state = *change->state;
    uint32_t card_index;
    if (change->lsn > board->lsn)
        return POISE_ECLOSED; /* that will be told yet */
    const struct node *node = node_of(board, &state, &card_index);
    if (!node)
        return POISE_OK; /* of another definition */
    struct unit_key key = {board->cards[card_index], state.org};
    struct board_unit *unit =
        hmap_get(&board->units, hash_mix(text_hash(state.org), card_index), unit_matches, &key);
    uint32_t index = (uint32_t)(node - board->cards[card_index]->nodes);
    if (!unit || !unit->positions[index])
        return POISE_OK; /* it is no more, as the whole state that is sent then says */
    if (state.revision) {
        if (!keep_texts(board, unit, index, &state))
            return error_nomem(recall->err, "the revisions that were told");
        add_revision(board, unit, index, &state);
        return POISE_OK;
    }
    if (!unit->recalled && !(unit->recalled = calloc(unit->card->node_count, 1)))
        return error_nomem(recall->err, "the states that were told");
    uint8_t status = (uint8_t)(state.numbers.status + 1);
    add_change(board, unit, index, unit->recalled[index] != status);
    unit->recalled[index] = status;
    return POISE_OK;
}

static poise_code recall_end(void *visitor, uint64_t lsn)
{
    mark(((struct recall *)visitor)->board, lsn);
    return POISE_OK;
}

static bool never(void *visitor, const struct journal_record *head)
{
    (void)visitor;
    (void)head;
    return false;
}

static poise_code weigh(void *visitor, const struct journal_record *head)
{
    struct recall *recall = visitor;
    recall->bytes[head->lsn % BOARD_MARKS] = (int64_t)head->changes_length;
    return POISE_OK;
}

/* As many of the last records as have so many bytes of changes. */
static poise_code find_past(struct recall *recall, struct store *store, uint64_t until)
{
    struct store_reader *reader;
    poise_code code = store_reader_open(store, &reader, recall->err);
    if (code)
        return code;
    uint64_t first = store_reader_first_lsn(reader);
    uint64_t from = until > BOARD_MARKS ? until - BOARD_MARKS + 1 : 1;
    from = first > from ? first : from;
    code = store_read_journal(reader, from, until, never, weigh, recall, recall->err);
    store_reader_close(reader);
    int64_t bytes = 0;
    recall->from = until + 1;
    while (recall->from > from &&
           (bytes += recall->bytes[(recall->from - 1) % BOARD_MARKS]) <= BOARD_RECALL_BYTES)
        recall->from--;
    return code;
}

/* The settle at which the reading begins may be the rest of one: the first that is read whole begins behind
 * it, and before that nothing is known. */
static poise_code read_past(struct recall *recall, struct store *store)
{
    struct board *board = recall->board;
    const struct settles_visit visit = {.change = recall_change, .end = recall_end, .visitor = recall};
    struct settles_position at = {.lsn = recall->from};
    bool all;
    board->mark_count = 0;
    mark(board, recall->from - 1);
    poise_code code = settles_read(store, &at, store_last_lsn(store), &visit, &all, recall->err);
    for (size_t i = 0; i < board->unit_count; i++) {
        free(board->order[i]->recalled);
        board->order[i]->recalled = NULL;
    }
    if (board->marks[(board->mark_count - 1) % BOARD_MARKS].lsn < board->lsn)
        mark(board, board->lsn);
    return code;
}

poise_code board_recall(struct board *board, struct store *store, poise_error *err)
{
    struct recall *recall = calloc(1, sizeof *recall);
    if (!recall)
        return error_nomem(err, "the changes that were told");
    recall->board = board;
    recall->err = err;
    poise_code code = find_past(recall, store, board->lsn);
    if (!code && recall->from <= board->lsn)
        code = read_past(recall, store);
    if (code) { /* nobody goes on from what is not sure */
        board->mark_count = 0;
        mark(board, board->lsn);
    }
    free(recall);
    return code;
}

/* ---- looking ---- */

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
