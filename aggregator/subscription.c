#include "subscription.h"

#include <base/error.h>
#include <engine/engine.h>
#include <stdlib.h>
#include <string.h>

enum {
    MESSAGE_BYTES = 200000, /* of states in a message; WIRE_MESSAGE_MAX less what surrounds them */
    PAUSE_LEAST_US = 20000, /* before a full peer is tried again */
    PAUSE_MOST_US = 1280000
};

/* ---- life ---- */

static bool revision_passes(const struct subscription *s, const struct board_revision *revision)
{
    return filter_has(&s->filter->wanted, POISE_CHANGES_REVISIONS) &&
           filter_passes(s->filter, revision->unit, revision->node);
}

/* Whether some of the revisions behind a number that it wants are forgotten. */
static bool forgets_revisions(const struct subscription *s, const struct board *board, uint64_t revised)
{
    return filter_has(&s->filter->wanted, POISE_CHANGES_REVISIONS) &&
           revised + 1 < board_oldest_revision(board);
}

/* Who may see other nodes than before has another view. */
static uint64_t view_of(const struct subscription *s, const struct board *board)
{
    return s->reader ? hash_mix(board->view, access_digest(s->reader)) | 1 : board->view;
}

/* Goes on from the lsn that the client has, behind the revisions that it has, too. */
static bool resume(struct subscription *s, const struct wire_subscribe *wanted, const struct board *board)
{
    struct board_mark mark;
    if (wanted->once || wanted->from_lsn == 0 || wanted->from_view != view_of(s, board) ||
        !board_find(board, wanted->from_lsn, &mark) || forgets_revisions(s, board, mark.revised))
        return false;
    uint64_t left = wanted->from_revised;
    for (; left > 0 && mark.revised < board->revised; mark.revised++)
        left -= revision_passes(s, &board->revisions[(mark.revised + 1) % BOARD_REVISIONS]);
    s->phase = SUBSCRIPTION_LIVE;
    s->position = s->base = mark.position;
    s->revised = mark.revised;
    s->lsn = wanted->from_lsn;
    return true;
}

poise_code subscription_open(const struct wire_subscribe *wanted, const struct net_peer *peer,
                             const struct filter_reader *reader, struct board *board,
                             struct subscription **ret_subscription, poise_error *err)
{
    struct subscription *s = calloc(1, sizeof *s);
    if (!s)
        return error_nomem(err, "a subscription");
    poise_code code = filter_open(board, &wanted->filter, reader, &s->filter, err);
    if (code) {
        free(s);
        return code;
    }
    s->board = board;
    s->peer = *peer;
    s->reader = reader->peer;
    memcpy(s->user, s->filter->user, sizeof s->user);
    s->id = wanted->id;
    s->weight = filter_weight(&wanted->filter);
    s->credit = wanted->credit;
    s->least_interval_us = (int64_t)wanted->least_interval_ms * 1000;
    s->once = wanted->once;
    s->position = s->base = board->head;
    s->revised = board->revised;
    s->last_us = INT64_MIN;
    s->resumed = resume(s, wanted, board);
    *ret_subscription = s;
    return POISE_OK;
}

void subscription_close(struct subscription *s)
{
    if (!s)
        return;
    filter_close(s->board, s->filter);
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

/* Who wants revisions alone knows no states. */
static bool wants_states(const struct subscription *s)
{
    return filter_has(&s->filter->wanted, POISE_CHANGES_NUMBERS | POISE_CHANGES_STATUS);
}

/* Adds units from the message's place on; true: all are in. */
static bool fill_scan(struct subscription *s, struct board *board, struct filling *filling,
                      struct subscription_message *message)
{
    struct board_unit *unit;
    while (wants_states(s) && (unit = board_next(board, message->scan_unit))) {
        for (; message->scan_node < unit->card->node_count; message->scan_node++) {
            uint32_t node = message->scan_node;
            bool wanted = unit->positions[node] && filter_passes(s->filter, unit, node);
            if (wanted &&
                !fill(filling, unit->card->nodes[node].measure, &unit->states[node], board->as_of_ms))
                return false;
        }
        message->scan_unit = unit;
        message->scan_node = 0;
    }
    return true;
}

/* Whether the latest change of a node, or one before it that the client does not have, is one that it wants.
 * While it takes a snapshot in, all are. */
static bool change_passes(struct subscription *s, const struct board_unit *unit, uint32_t node)
{
    return (filter_has(&s->filter->wanted, POISE_CHANGES_NUMBERS) || s->phase != SUBSCRIPTION_LIVE ||
            unit->status_positions[node] > s->base) &&
           filter_passes(s->filter, unit, node);
}

/* Adds what changed after the message's position; true: the head is reached. */
static bool fill_changes(struct subscription *s, const struct board *board, struct filling *filling,
                         struct subscription_message *message)
{
    if (!wants_states(s))
        message->position = board->head;
    for (; message->position < board->head; message->position++) {
        struct board_unit *unit;
        uint32_t node;
        const poise_state *state = board_changed(board, message->position + 1, &unit, &node);
        if (!change_passes(s, unit, node))
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
    for (; message->revised < board->revised; message->revised++) {
        const struct board_revision *revision = &board->revisions[(message->revised + 1) % BOARD_REVISIONS];
        if (revision_passes(s, revision) && !fill(filling, NULL, &revision->state, revision->state.as_of_ms))
            return;
    }
}

/* Behind a snapshot come those that were waiting, unless they are too many to be there still. */
static void pass_over_revisions(const struct subscription *s, const struct board *board,
                                struct subscription_message *message)
{
    if (forgets_revisions(s, board, message->revised))
        message->revised = board->revised;
    while (message->revised < board->revised &&
           !revision_passes(s, &board->revisions[(message->revised + 1) % BOARD_REVISIONS]))
        message->revised++;
}

static void start_over(struct subscription_message *message, const struct board *board)
{
    message->phase = SUBSCRIPTION_SCAN;
    message->scan_unit = NULL;
    message->scan_node = 0;
    message->position = board->head;
    message->conflated = 0;
}

/* Parts of an update are out, and not yet the last. */
static bool is_parted(const struct subscription *s)
{
    return s->phase == SUBSCRIPTION_LIVE && s->base < s->position;
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
    bool parted = is_parted(s), part = false;
    if (m.phase == SUBSCRIPTION_LIVE && !parted && (!subscription_lags(s, board) || now_us < s->next_us)) {
        ret_message->kind = 0;
        return;
    }
    bool forgotten = m.phase == SUBSCRIPTION_LIVE && forgets_revisions(s, board, m.revised);
    if (!board_has(board, m.position) || forgotten) /* so that it knows */
        start_over(&m, board);
    if (m.phase == SUBSCRIPTION_LIVE) {
        part = !fill_changes(s, board, &filling, &m);
        if (!part)
            fill_revisions(s, board, &filling, &m);
        if (filling.count == 0 && !parted) {
            s->position = s->base = m.position; /* nothing of it is wanted here */
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
        pass_over_revisions(s, board, &m);
        whole = true;
    }
    m.kind = kind;
    m.states =
        (struct wire_states){.id = s->id,
                             .lsn = part ? s->lsn : board->lsn,
                             .prev = s->lsn,
                             .as_of_ms = board->as_of_ms,
                             .last = whole,
                             .part = part,
                             .more = m.phase == SUBSCRIPTION_LIVE && !part && m.revised < board->revised,
                             .view = whole ? view_of(s, board) : 0,
                             .states = scratch,
                             .count = filling.count};
    *ret_message = m;
}

/* ---- the same for many ---- */

static bool is_there(const struct filter_sent *sent, const struct board *board)
{
    return sent->head > 0 && sent->head == board->head && sent->head_revised == board->revised &&
           sent->as_of_ms == board->as_of_ms;
}

const struct buf *subscription_same(const struct subscription *s, const struct board *board, int64_t now_us,
                                    struct subscription_message *ret_message)
{
    const struct filter_sent *sent = &s->filter->sent;
    if (s->phase != SUBSCRIPTION_LIVE || now_us < s->next_us || s->position != sent->position ||
        s->revised != sent->revised || !is_there(sent, board))
        return NULL;
    *ret_message = (struct subscription_message){.kind = WIRE_UPDATE,
                                                 .phase = SUBSCRIPTION_LIVE,
                                                 .scan_unit = s->scan_unit,
                                                 .scan_node = s->scan_node,
                                                 .position = board->head,
                                                 .revised = sent->to_revised,
                                                 .states = {.id = s->id,
                                                            .lsn = board->lsn,
                                                            .prev = s->lsn,
                                                            .as_of_ms = board->as_of_ms,
                                                            .last = true,
                                                            .more = sent->more,
                                                            .count = sent->count}};
    return &sent->tail;
}

const struct buf *subscription_keep(struct subscription *s, const struct board *board,
                                    const struct subscription_message *message, struct buf *spare)
{
    struct filter_sent *sent = &s->filter->sent;
    bool shared = s->phase == SUBSCRIPTION_LIVE && message->kind == WIRE_UPDATE && s->filter->users > 1;
    struct buf *tail = shared ? &sent->tail : spare;
    size_t before = sent->tail.capacity;
    sent->head = shared ? 0 : sent->head;
    buf_reset(tail);
    poise_code code = wire_encode_states_tail(message->kind, &message->states, tail);
    if (shared)
        filter_kept(s->board, s->filter, before);
    if (code)
        return NULL;
    if (!shared)
        return tail;
    sent->position = s->position;
    sent->revised = s->revised;
    sent->head = message->position;
    sent->head_revised = board->revised;
    sent->as_of_ms = board->as_of_ms;
    sent->to_revised = message->revised;
    sent->count = message->states.count;
    sent->more = message->states.more;
    return &sent->tail;
}

void subscription_sent(struct subscription *s, const struct subscription_message *message, int64_t now_us)
{
    s->phase = (unsigned)message->phase;
    s->scan_unit = message->scan_unit;
    s->scan_node = message->scan_node;
    s->position = message->position;
    if (!message->states.part)
        s->base = message->position;
    s->revised = message->revised;
    s->lsn = message->states.lsn;
    s->credit--;
    s->pause_us = 0;
    s->last_us = now_us;
    s->next_us = message->states.more ? now_us : now_us + s->least_interval_us;
}

void subscription_full(struct subscription *s, int64_t now_us)
{
    int64_t pause_us = s->pause_us ? 2 * s->pause_us : PAUSE_LEAST_US;
    s->pause_us = pause_us < PAUSE_MOST_US ? pause_us : PAUSE_MOST_US;
    s->retry_us = now_us + s->pause_us;
}

void subscription_credit(struct subscription *s, uint64_t more)
{
    s->credit += more;
    s->pause_us = s->retry_us = 0;
}

void subscription_note_lag(struct subscription *s, const struct board *board, int64_t now_us)
{
    if (s->phase == SUBSCRIPTION_LIVE && !subscription_lags(s, board))
        s->behind_us = 0;
    else if (s->behind_us == 0)
        s->behind_us = now_us;
}

struct wire_states subscription_keepalive(const struct subscription *s, const struct board *board)
{
    return (struct wire_states){.id = s->id, .lsn = s->lsn, .prev = s->lsn, .as_of_ms = board->as_of_ms};
}
