#include "subscription.h"

#include <base/error.h>
#include <engine/engine.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

enum {
    MESSAGE_BYTES = 200000, /* of states in a message; WIRE_MESSAGE_MAX less what surrounds them */
    STARRED_MAX = 2048      /* bytes of globs that are more than a name: each is tried on every org */
};

/* ---- the filter ---- */

static poise_code check_globs(const struct wire_filter *filter, poise_error *err)
{
    size_t starred = 0;
    for (size_t i = 0; i < filter->org_count; i++) {
        if (!glob_valid(filter->orgs[i]))
            return error_set(err, POISE_EPROTO, "'%.200s' in the filter is no org and no glob of orgs",
                             filter->orgs[i]);
        starred += strchr(filter->orgs[i], '*') ? strlen(filter->orgs[i]) : 0;
    }
    if (starred > STARRED_MAX)
        return error_set(err, POISE_ELIMIT,
                         "the globs with '*' in the filter have %zu bytes; at most %d are allowed", starred,
                         STARRED_MAX);
    return POISE_OK;
}

static const char **copy_texts(struct arena *arena, const char *const *texts, size_t count)
{
    const char **copy = arena_zalloc(arena, count ? count : 1, sizeof(char *));
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = arena_strndup(arena, texts[i], strlen(texts[i]))))
            return NULL;
    return copy;
}

static bool copy_filter(struct subscription *s, const struct wire_filter *from)
{
    s->filter = *from;
    s->filter.scorecards = copy_texts(&s->arena, from->scorecards, from->scorecard_count);
    s->filter.orgs = copy_texts(&s->arena, from->orgs, from->org_count);
    s->filter.nodes = copy_texts(&s->arena, from->nodes, from->node_count);
    return s->filter.scorecards && s->filter.orgs && s->filter.nodes;
}

static bool card_passes(const struct wire_filter *filter, const struct scorecard *card)
{
    for (size_t i = 0; i < filter->scorecard_count; i++)
        if (strcmp(filter->scorecards[i], card->id) == 0)
            return true;
    return filter->scorecard_count == 0;
}

static bool org_passes(const struct wire_filter *filter, const char *org)
{
    for (size_t i = 0; i < filter->org_count; i++)
        if (org_matches(filter->orgs[i], org))
            return true;
    return filter->org_count == 0;
}

static bool path_passes(const struct wire_filter *filter, const char *path)
{
    for (size_t i = 0; i < filter->node_count; i++) {
        size_t length = strlen(filter->nodes[i]);
        if (strncmp(path, filter->nodes[i], length) == 0 && (path[length] == '\0' || path[length] == '/'))
            return true;
    }
    return filter->node_count == 0;
}

static bool pass_nodes(struct subscription *s, const struct board *board)
{
    s->card_count = board->card_count;
    s->node_pass = calloc(s->card_count ? s->card_count : 1, sizeof *s->node_pass);
    for (size_t c = 0; s->node_pass && c < s->card_count; c++) {
        const struct scorecard *card = board->cards[c];
        s->node_pass[c] = calloc(card->node_count, 1);
        if (!s->node_pass[c])
            return false;
        for (uint32_t n = 0; n < card->node_count; n++)
            s->node_pass[c][n] =
                card_passes(&s->filter, card) && path_passes(&s->filter, card->nodes[n].path);
    }
    return s->node_pass != NULL;
}

static bool look_at_unit(const struct subscription *s, const struct board_unit *unit)
{
    return card_passes(&s->filter, unit->card) && org_passes(&s->filter, unit->org) &&
           (!s->reader || access_reads(s->reader, unit->card->id, unit->org));
}

/* Whether a unit's org passes, remembered: globs are matched once a unit. */
static bool unit_passes(struct subscription *s, const struct board_unit *unit)
{
    if (unit->index >= s->unit_pass_count) {
        size_t count = ((size_t)unit->index + 64) * 2;
        uint8_t *grown = realloc(s->unit_pass, count);
        if (!grown)
            return look_at_unit(s, unit);
        memset(grown + s->unit_pass_count, 0, count - s->unit_pass_count);
        s->unit_pass = grown;
        s->unit_pass_count = count;
    }
    uint8_t *known = &s->unit_pass[unit->index];
    if (*known == 0)
        *known = look_at_unit(s, unit) ? 1 : 2;
    return *known == 1;
}

/* ---- life ---- */

poise_code subscription_open(const struct wire_subscribe *wanted, const struct net_peer *peer,
                             const struct board *board, struct subscription **ret_subscription,
                             poise_error *err)
{
    poise_code code = check_globs(&wanted->filter, err);
    if (code)
        return code;
    struct subscription *s = calloc(1, sizeof *s);
    if (!s)
        return error_nomem(err, "a subscription");
    arena_init(&s->arena, WIRE_MESSAGE_MAX * 4);
    s->peer = *peer;
    s->id = wanted->id;
    s->credit = wanted->credit;
    s->least_interval_us = (int64_t)wanted->least_interval_ms * 1000;
    s->once = wanted->once;
    s->position = board->head;
    s->revised = board->revised;
    s->last_us = INT64_MIN;
    if (!copy_filter(s, &wanted->filter) || !pass_nodes(s, board)) {
        subscription_close(s);
        return error_nomem(err, "a subscription");
    }
    *ret_subscription = s;
    return POISE_OK;
}

void subscription_close(struct subscription *s)
{
    if (!s)
        return;
    for (size_t c = 0; s->node_pass && c < s->card_count; c++)
        free(s->node_pass[c]);
    free(s->node_pass);
    free(s->unit_pass);
    arena_free(&s->arena);
    free(s);
}

/* ---- what comes next ---- */

struct filling { /* a message under construction */
    poise_state *states;
    size_t count, room, bytes;
};

static bool fill(struct filling *filling, const struct measure *measure, const poise_state *state,
                 int64_t as_of_ms)
{
    size_t size = wire_state_size(state);
    if (filling->count == filling->room || (filling->count && filling->bytes + size > MESSAGE_BYTES))
        return false;
    poise_state *copy = &filling->states[filling->count++];
    *copy = *state;
    copy->as_of_ms = as_of_ms;
    engine_look_at(measure, as_of_ms, &copy->numbers);
    filling->bytes += size;
    return true;
}

/* Adds units from the message's place on; true: all are in. */
static bool fill_scan(struct subscription *s, struct board *board, struct filling *filling,
                      struct subscription_message *message)
{
    struct board_unit *unit;
    while ((unit = board_next(board, message->scan_unit))) {
        for (; message->scan_node < unit->card->node_count; message->scan_node++) {
            uint32_t node = message->scan_node;
            bool wanted =
                unit->positions[node] && unit_passes(s, unit) && s->node_pass[unit->card_index][node];
            if (wanted &&
                !fill(filling, unit->card->nodes[node].measure, &unit->states[node], board->as_of_ms))
                return false;
        }
        message->scan_unit = unit;
        message->scan_node = 0;
    }
    return true;
}

/* Adds what changed after the message's position; true: the head is reached. */
static bool fill_changes(struct subscription *s, const struct board *board, struct filling *filling,
                         struct subscription_message *message)
{
    for (; message->position < board->head; message->position++) {
        struct board_unit *unit;
        uint32_t node;
        const poise_state *state = board_changed(board, message->position + 1, &unit, &node);
        if (!unit_passes(s, unit) || !s->node_pass[unit->card_index][node])
            continue;
        if (state && !fill(filling, unit->card->nodes[node].measure, state, board->as_of_ms))
            return false;
        message->conflated += state == NULL;
    }
    return true;
}

/* Adds revisions after the message's number, as many as fit: each stands alone. */
static void fill_revisions(struct subscription *s, const struct board *board, struct filling *filling,
                           struct subscription_message *message)
{
    uint64_t oldest = board_oldest_revision(board);
    message->revised = message->revised + 1 < oldest ? oldest - 1 : message->revised;
    for (; message->revised < board->revised; message->revised++) {
        const struct board_revision *revision = &board->revisions[(message->revised + 1) % BOARD_REVISIONS];
        if (unit_passes(s, revision->unit) && s->node_pass[revision->unit->card_index][revision->node] &&
            !fill(filling, NULL, &revision->state, revision->state.as_of_ms))
            return;
    }
}

static void start_over(struct subscription_message *message, const struct board *board)
{
    message->phase = SUBSCRIPTION_SCAN;
    message->scan_unit = NULL;
    message->scan_node = 0;
    message->position = board->head;
    message->conflated = 0;
}

bool subscription_lags(const struct subscription *s, const struct board *board)
{
    return s->position < board->head || s->revised < board->revised;
}

void subscription_next(struct subscription *s, struct board *board, int64_t now_us, poise_state *scratch,
                       size_t room, struct subscription_message *ret_message)
{
    struct subscription_message m = {.scan_unit = s->scan_unit,
                                     .scan_node = s->scan_node,
                                     .position = s->position,
                                     .revised = s->revised,
                                     .phase = (int)s->phase};
    struct filling filling = {.states = scratch, .room = room};
    bool whole = false;
    if (m.phase == SUBSCRIPTION_LIVE && (!subscription_lags(s, board) || now_us < s->next_us)) {
        ret_message->kind = 0;
        return;
    }
    if (!board_has(board, m.position))
        start_over(&m, board);
    if (m.phase == SUBSCRIPTION_LIVE) {
        if (!fill_changes(s, board, &filling, &m)) {
            filling = (struct filling){.states = scratch, .room = room};
            start_over(&m, board);
        } else {
            fill_revisions(s, board, &filling, &m);
        }
        if (m.phase == SUBSCRIPTION_LIVE && filling.count == 0) {
            s->position = m.position; /* nothing of it is wanted here */
            s->revised = m.revised;
            ret_message->kind = 0;
            return;
        }
    }
    enum wire_kind kind = m.phase == SUBSCRIPTION_LIVE ? WIRE_UPDATE : WIRE_SNAPSHOT;
    m.begins = m.phase == SUBSCRIPTION_SCAN && !m.scan_unit && m.scan_node == 0;
    if (m.phase == SUBSCRIPTION_SCAN && fill_scan(s, board, &filling, &m))
        m.phase = SUBSCRIPTION_CATCH_UP;
    if (m.phase == SUBSCRIPTION_CATCH_UP && fill_changes(s, board, &filling, &m)) {
        m.phase = SUBSCRIPTION_LIVE;
        whole = true;
    }
    m.kind = kind;
    m.states = (struct wire_states){.id = s->id,
                                    .lsn = board->lsn,
                                    .prev = s->lsn,
                                    .as_of_ms = board->as_of_ms,
                                    .last = whole,
                                    .states = scratch,
                                    .count = filling.count};
    *ret_message = m;
}

void subscription_sent(struct subscription *s, const struct subscription_message *message, int64_t now_us)
{
    s->phase = (unsigned)message->phase;
    s->scan_unit = message->scan_unit;
    s->scan_node = message->scan_node;
    s->position = message->position;
    s->revised = message->revised;
    s->lsn = message->states.lsn;
    s->credit--;
    s->last_us = now_us;
    s->next_us = now_us + s->least_interval_us;
}

struct wire_states subscription_keepalive(const struct subscription *s, const struct board *board)
{
    return (struct wire_states){.id = s->id, .lsn = s->lsn, .prev = s->lsn, .as_of_ms = board->as_of_ms};
}
