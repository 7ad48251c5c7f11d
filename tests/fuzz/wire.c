/* A message as a peer or an aggregator sends it: the head, two bytes, and the body; every kind. */
#include "fuzz.h"
#include <base/text.h>
#include <model/measurement.h>
#include <string.h>
#include <wire/wire.h>

enum { ARENA = 4 << 20 };

/* ---- what a decoded message holds ---- */

static bool is_wire_text(const char *text)
{
    return fuzz_is_text(text, WIRE_TEXT_MAX);
}

static void check_filter(const struct wire_filter *filter)
{
    MUST(filter->scorecard_count <= WIRE_FILTER_MAX && filter->org_count <= WIRE_FILTER_MAX &&
         filter->node_count <= WIRE_FILTER_MAX);
    for (size_t i = 0; i < filter->scorecard_count; i++) {
        MUST(is_wire_text(filter->scorecards[i]));
    }
    for (size_t i = 0; i < filter->org_count; i++) {
        MUST(is_wire_text(filter->orgs[i]));
    }
    for (size_t i = 0; i < filter->node_count; i++) {
        MUST(is_wire_text(filter->nodes[i]));
    }
}

static void check_states(const struct wire_states *states)
{
    for (size_t i = 0; i < states->count; i++) {
        const poise_state *state = &states->states[i];
        MUST(is_wire_text(state->org) && is_wire_text(state->node) && is_wire_text(state->name));
        MUST(state->kind >= POISE_SCORECARD && state->kind <= POISE_MEASURE);
        MUST(state->numbers.status >= POISE_NO_DATA && state->numbers.status <= POISE_GREEN);
    }
}

/* Rows that may enter come back from a batch that is built of them. */
static void check_batch(const struct wire_batch *batch)
{
    MUST(batch->epoch > 0 && batch->seq > 0 && batch->rows <= WIRE_BATCH_ROWS_MAX &&
         batch->symbol_count <= WIRE_SYMBOLS_MAX);
    struct wire_builder *builder = wire_builder_open();
    struct buf built = {0}, again = {0};
    poise_code code = POISE_OK;
    MUST(builder);
    for (size_t i = 0; i < batch->rows && code == POISE_OK; i++) {
        poise_measurement row = wire_batch_row(batch, i);
        MUST(fuzz_is_text(row.measure, WIRE_SYMBOL_BYTES_MAX) &&
             fuzz_is_text(row.org, WIRE_SYMBOL_BYTES_MAX) &&
             fuzz_is_text(row.source, WIRE_SYMBOL_BYTES_MAX) &&
             (!row.key || fuzz_is_text(row.key, WIRE_SYMBOL_BYTES_MAX)));
        if (measurement_check(&row) == POISE_REFUSAL_NONE) {
            code = wire_builder_add(builder, &row);
            MUST(code == POISE_OK || code == POISE_EFULL);
        }
    }
    size_t rows = wire_builder_rows(builder);
    MUST(wire_builder_finish(builder, batch->epoch, batch->seq, &built) == POISE_OK);
    MUST(built.length <= WIRE_MESSAGE_MAX);
    struct arena arena;
    struct wire_batch decoded;
    arena_init(&arena, WIRE_ARENA);
    MUST(wire_decode_batch(built.data, built.length, &arena, &decoded, NULL) == POISE_OK);
    MUST(decoded.rows == rows);
    for (size_t i = 0; i < decoded.rows; i++) {
        poise_measurement row = wire_batch_row(&decoded, i);
        MUST(measurement_check(&row) == POISE_REFUSAL_NONE);
        MUST(wire_builder_add(builder, &row) == POISE_OK);
    }
    MUST(wire_builder_finish(builder, batch->epoch, batch->seq, &again) == POISE_OK);
    fuzz_same_bytes(&built, &again);
    wire_builder_close(builder);
    arena_free(&arena);
    buf_free(&built);
    buf_free(&again);
}

/* ---- there and back ---- */

#define TEXTS(name, condition)                                                                               \
    do {                                                                                                     \
        MUST(condition);                                                                                     \
        MUST(wire_encode_##name(&message, out) == POISE_OK);                                                 \
    } while (0)
/* A kind whose decoded struct is encoded again, after its check. */
#define KIND(KIND_NAME, name, condition)                                                                     \
    case WIRE_##KIND_NAME: {                                                                                 \
        struct wire_##name message;                                                                          \
        code = wire_decode_##name(body, length, arena, &message, &err);                                      \
        if (code == POISE_OK) {                                                                              \
            TEXTS(name, condition);                                                                          \
        }                                                                                                    \
        break;                                                                                               \
    }
#define ID(KIND_NAME, name)                                                                                  \
    case WIRE_##KIND_NAME: {                                                                                 \
        uint64_t id;                                                                                         \
        code = wire_decode_##name(body, length, arena, &id, &err);                                           \
        if (code == POISE_OK) {                                                                              \
            MUST(id > 0 && wire_encode_##name(id, out) == POISE_OK);                                         \
        }                                                                                                    \
        break;                                                                                               \
    }

static poise_code states_again(enum wire_kind kind, const void *body, size_t length, struct arena *arena,
                               struct buf *out, poise_error *err)
{
    struct wire_states states;
    poise_code code = wire_decode_states(kind, body, length, arena, &states, err);
    if (code == POISE_OK) {
        size_t most = WIRE_STATES_HEAD_MAX;
        check_states(&states);
        for (size_t i = 0; i < states.count; i++) {
            most += wire_state_size(&states.states[i]);
        }
        MUST(wire_encode_states(kind, &states, out) == POISE_OK && out->length <= most);
    }
    return code;
}

static poise_code rows_again(const void *body, size_t length, struct arena *arena, struct buf *out,
                             poise_error *err)
{
    struct wire_rows rows;
    poise_code code = wire_decode_rows(body, length, arena, &rows, err);
    if (code == POISE_OK) {
        MUST(rows.count == rows.rows.rows && rows.cursor_length <= WIRE_CURSOR_MAX);
        if (rows.rows.epoch > 0) {
            check_batch(&rows.rows);
        }
        rows.count = 0; /* places are those of the batch, which is not encoded here */
        MUST(wire_encode_rows(&rows, out) == POISE_OK);
    }
    return code;
}

static poise_code batch_again(const void *body, size_t length, struct arena *arena, poise_error *err)
{
    struct wire_batch batch;
    uint64_t epoch = 0, seq = 0;
    bool peeked = wire_peek_batch(body, length, &epoch, &seq);
    poise_code code = wire_decode_batch(body, length, arena, &batch, err);
    if (code == POISE_OK) {
        MUST(peeked);
        struct wire_batch_size size = wire_batch_size(body, length);
        MUST(size.rows == batch.rows && size.symbols == batch.symbol_count);
        if (batch.loss.last_seq == 0) {
            check_batch(&batch);
        }
    }
    return code;
}

/* Decodes, looks at it, and encodes it again. */
static poise_code again(enum wire_kind kind, const void *body, size_t length, struct arena *arena,
                        struct buf *out)
{
    poise_code code = POISE_EPROTO;
    poise_error err;
    switch (kind) {
        KIND(HELLO, hello,
             id_valid(message.producer, strlen(message.producer)) && is_wire_text(message.software) &&
                 message.epoch > 0 && message.next_seq > 0)
        KIND(WELCOME, welcome, message.next_seq > 0)
        KIND(ACK, ack, message.refusal_count <= WIRE_REFUSALS_MAX)
        KIND(GAP, gap, message.expected > 0)
        KIND(SPOOL, spool, true)
        KIND(ERROR, error, is_wire_text(message.text) && message.code != POISE_OK)
        KIND(SUBSCRIBE, subscribe, (check_filter(&message.filter), message.id > 0))
        KIND(CREDIT, credit, message.id > 0)
        KIND(QUERY, query, message.id > 0 && is_wire_text(message.scorecard) && is_wire_text(message.org))
        KIND(RESTATE, restate,
             message.id > 0 && is_wire_text(message.measure) && is_wire_text(message.org) &&
                 is_wire_text(message.reason))
        KIND(RESTATED, restated, true)
        KIND(ERASE, erase,
             message.id > 0 && is_wire_text(message.measure) && is_wire_text(message.org) &&
                 is_wire_text(message.reason))
        KIND(ERASED, erased, true)
        KIND(RESCORE, rescore,
             message.id > 0 && is_wire_text(message.scorecard) && is_wire_text(message.reason))
        KIND(RESCORED, rescored, true)
        KIND(BACKUP, backup, message.id > 0 && is_wire_text(message.name))
        KIND(BACKED_UP, backed_up, is_wire_text(message.path))
        KIND(DUMP, dump,
             message.id > 0 && is_wire_text(message.measure) && is_wire_text(message.org) &&
                 message.cursor_length <= WIRE_CURSOR_MAX)
        KIND(STATS, stats, true)
        KIND(LOSSES, losses, message.count <= WIRE_LOSSES_MAX)
        KIND(CHANGES, changes,
             (check_filter(&message.filter), message.id > 0 && message.cursor_length <= WIRE_CURSOR_MAX))
        KIND(CHANGED, changed, message.cursor_length <= WIRE_CURSOR_MAX)
        ID(UNSUBSCRIBE, unsubscribe)
        ID(STATS_REQUEST, stats_request)
        ID(LOSSES_REQUEST, losses_request)
    case WIRE_SNAPSHOT:
    case WIRE_UPDATE:
    case WIRE_RESULT:
        return states_again(kind, body, length, arena, out, &err);
    case WIRE_ROWS:
        return rows_again(body, length, arena, out, &err);
    case WIRE_BATCH:
        return batch_again(body, length, arena, &err);
    }
    return code;
}

/* ---- changes, as the journal has them ---- */

static poise_code put_change(void *visitor, const poise_state *state)
{
    struct wire_states states = {.states = (poise_state[]){*state}, .count = 1};
    check_states(&states);
    return wire_encode_states(WIRE_UPDATE, &states, visitor);
}

static void changes(const void *body, size_t length, struct arena *arena)
{
    struct buf out = {0};
    poise_error err;
    poise_code code = wire_each_change(body, length, arena, put_change, &out, &err);
    MUST(code == POISE_OK || code == POISE_EPROTO || code == POISE_ELIMIT);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum wire_kind kind;
    struct arena arena;
    struct buf first = {0}, second = {0};
    if (size < 2 || wire_head_parse(data, 2, &kind, NULL) != POISE_OK) {
        return 0;
    }
    arena_init(&arena, ARENA);
    poise_code code = again(kind, data + 2, size - 2, &arena, &first);
    bool unknown = code == POISE_EUNSUPPORTED && (kind == WIRE_SUBSCRIBE || kind == WIRE_CHANGES);
    MUST(code == POISE_OK || code == POISE_EPROTO || code == POISE_ELIMIT || unknown);
    MUST(arena.used <= ARENA);
    if (code == POISE_OK && first.length > 0 && first.length <= WIRE_MESSAGE_MAX) {
        arena_reset(&arena);
        MUST(again(kind, first.data, first.length, &arena, &second) == POISE_OK);
        fuzz_same_bytes(&first, &second);
    }
    if (kind == WIRE_UPDATE) {
        arena_reset(&arena);
        changes(data + 2, size - 2, &arena);
    }
    arena_free(&arena);
    buf_free(&first);
    buf_free(&second);
    return 0;
}
