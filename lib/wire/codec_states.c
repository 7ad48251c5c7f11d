/* SNAPSHOT, UPDATE, RESULT: parts of a list of states, which are packed one by one (codec_state.c), so that
 * encoding needs no memory but the buffer. */
#include "codec.h"
#include <base/error.h>
#include <poise.pb-c.h>
#include <string.h>

static const struct codec_kind snapshot_kind = {"SNAPSHOT", &poise__v1__snapshot__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind update_kind = {"UPDATE", &poise__v1__update__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind state_kind = {"State", &poise__v1__state__descriptor, WIRE_TEXT_MAX};
static const struct codec_kind result_kind = {"RESULT", &poise__v1__result__descriptor, WIRE_TEXT_MAX};

enum { SNAPSHOT_STATES = 5, UPDATE_STATES = 5, RESULT_STATES = 4 };

/* ---- decoding ---- */

static bool is_valid(const Poise__V1__State *message)
{
    return message->node[0] != '\0' && message->kind >= POISE__V1__KIND__SCORECARD &&
           message->kind <= POISE__V1__KIND__MEASURE && message->status >= POISE__V1__STATUS__NO_DATA &&
           message->status <= POISE__V1__STATUS__GREEN &&
           (message->n_period_ms == 0 || message->n_period_ms == 2);
}

static poise_state state_of(const Poise__V1__State *message)
{
    bool period = message->n_period_ms == 2;
    return (poise_state){.org = message->org,
                         .node = message->node,
                         .name = message->name,
                         .kind = (poise_kind)message->kind,
                         .weight = message->weight,
                         .as_of_ms = message->as_of_ms,
                         .definition = message->definition,
                         .revision = message->revision,
                         .replaced = message->replaced,
                         .cause = message->cause,
                         .numbers = {.value = message->value,
                                     .attainment = message->attainment,
                                     .score = message->score,
                                     .lo = message->lo,
                                     .hi = message->hi,
                                     .coverage = message->coverage,
                                     .filled = message->filled,
                                     .trend = message->trend,
                                     .count = message->count,
                                     .period_start_ms = period ? message->period_ms[0] : INT64_MIN,
                                     .period_end_ms = period ? message->period_ms[1] : INT64_MIN,
                                     .flags = message->flags,
                                     .status = (poise_status)message->status,
                                     .uncertain = message->uncertain != 0}};
}

poise_code codec_take_states(const struct codec_kind *kind, void *list, size_t count, struct arena *arena,
                             poise_state **ret_states, size_t *ret_count, poise_error *err)
{
    Poise__V1__State *const *messages = list;
    poise_code code;
    poise_state *states = codec_alloc(kind, arena, count, sizeof *states, &code, err);
    if (!states) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_valid(messages[i])) {
            return error_set(err, POISE_EPROTO,
                             "%s: state %zu has no node or an unknown kind, status or period", kind->name, i);
        }
        states[i] = state_of(messages[i]);
    }
    *ret_states = states;
    *ret_count = count;
    return POISE_OK;
}

static poise_code decode_snapshot(const void *body, size_t length, struct arena *arena,
                                  struct wire_states *ret, poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&snapshot_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Snapshot *message = unpacked;
    *ret = (struct wire_states){.id = message->id,
                                .lsn = message->lsn,
                                .as_of_ms = message->as_of_ms,
                                .last = message->last != 0,
                                .view = message->view,
                                .more = message->more != 0};
    return codec_take_states(&snapshot_kind, message->states, message->n_states, arena, &ret->states,
                             &ret->count, err);
}

static poise_code decode_update(const void *body, size_t length, struct arena *arena, struct wire_states *ret,
                                poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&update_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Update *message = unpacked;
    *ret = (struct wire_states){.id = message->id,
                                .lsn = message->lsn,
                                .prev = message->prev,
                                .as_of_ms = message->as_of_ms,
                                .last = true,
                                .part = message->part != 0,
                                .more = message->more != 0};
    return codec_take_states(&update_kind, message->states, message->n_states, arena, &ret->states,
                             &ret->count, err);
}

static poise_code decode_result(const void *body, size_t length, struct arena *arena, struct wire_states *ret,
                                poise_error *err)
{
    void *unpacked;
    poise_code code = codec_unpack(&result_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Result *message = unpacked;
    *ret = (struct wire_states){.id = message->id, .lsn = message->lsn, .last = message->last != 0};
    return codec_take_states(&result_kind, message->states, message->n_states, arena, &ret->states,
                             &ret->count, err);
}

poise_code wire_decode_states(enum wire_kind kind, const void *body, size_t length, struct arena *arena,
                              struct wire_states *ret, poise_error *err)
{
    struct wire_states states = {0};
    poise_code code;
    if (kind == WIRE_SNAPSHOT) {
        code = decode_snapshot(body, length, arena, &states, err);
    } else if (kind == WIRE_UPDATE) {
        code = decode_update(body, length, arena, &states, err);
    } else {
        code = decode_result(body, length, arena, &states, err);
    }
    if (code == POISE_OK) {
        *ret = states;
    }
    return code;
}

poise_code wire_each_change(const void *changes, size_t length, struct arena *arena,
                            poise_code (*visit)(void *visitor, const poise_state *state), void *visitor,
                            poise_error *err)
{
    struct cursor in = cursor_of(changes, length), payload;
    unsigned field;
    poise_code code = POISE_OK;
    while (code == POISE_OK && codec_next_field(&in, &field, &payload)) {
        void *message;
        if (field != UPDATE_STATES) {
            continue;
        }
        arena_reset(arena);
        code = codec_unpack(&state_kind, payload.at, cursor_left(&payload), arena, &message, err);
        if (code == POISE_OK && !is_valid(message)) {
            code = error_set(err, POISE_EPROTO, "a state of the changes is none");
        }
        if (code == POISE_OK) {
            poise_state state = state_of(message);
            code = visit(visitor, &state);
        }
    }
    return code == POISE_OK && in.failed ? error_set(err, POISE_EPROTO, "the changes are cut off") : code;
}

/* ---- encoding ---- */

poise_code wire_encode_states_head(enum wire_kind kind, const struct wire_states *states, struct buf *out)
{
    if (kind == WIRE_SNAPSHOT) {
        Poise__V1__Snapshot message;
        poise__v1__snapshot__init(&message);
        message.id = states->id;
        message.lsn = states->lsn;
        message.as_of_ms = states->as_of_ms;
        message.last = states->last;
        return codec_put(out, &message.base);
    }
    if (kind == WIRE_UPDATE) {
        Poise__V1__Update message;
        poise__v1__update__init(&message);
        message.id = states->id;
        message.lsn = states->lsn;
        message.prev = states->prev;
        message.as_of_ms = states->as_of_ms;
        return codec_put(out, &message.base);
    }
    Poise__V1__Result message;
    poise__v1__result__init(&message);
    message.id = states->id;
    message.lsn = states->lsn;
    message.last = states->last;
    return codec_put(out, &message.base);
}

/* What stands behind the states. */
static poise_code encode_end(enum wire_kind kind, const struct wire_states *states, struct buf *out)
{
    if (kind == WIRE_SNAPSHOT && (states->view || states->more)) {
        Poise__V1__Snapshot message;
        poise__v1__snapshot__init(&message);
        message.view = states->view;
        message.more = states->more;
        return codec_put(out, &message.base);
    }
    if (kind == WIRE_UPDATE && (states->more || states->part)) {
        Poise__V1__Update message;
        poise__v1__update__init(&message);
        message.more = states->more;
        message.part = states->part;
        return codec_put(out, &message.base);
    }
    return POISE_OK;
}

poise_code wire_encode_states_tail(enum wire_kind kind, const struct wire_states *states, struct buf *out)
{
    unsigned field = kind == WIRE_SNAPSHOT ? SNAPSHOT_STATES
                     : kind == WIRE_UPDATE ? UPDATE_STATES
                                           : RESULT_STATES;
    poise_code code = POISE_OK;
    for (size_t i = 0; code == POISE_OK && i < states->count; i++) {
        code = codec_put_state(out, field, &states->states[i]);
    }
    return code == POISE_OK ? encode_end(kind, states, out) : code;
}

poise_code wire_encode_states(enum wire_kind kind, const struct wire_states *states, struct buf *out)
{
    poise_code code = wire_encode_states_head(kind, states, out);
    return code == POISE_OK ? wire_encode_states_tail(kind, states, out) : code;
}
