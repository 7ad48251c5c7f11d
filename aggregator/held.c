#include "held.h"

#include "batch.h"
#include <base/error.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

struct looking {
    struct wire_restate *orders;
    size_t count, capacity;
    struct arena texts, arena; /* of the orders; of the batch at hand */
    poise_code (*in_batch)(struct looking *looking, const struct journal_batch *batch, uint64_t first_place);
    poise_code (*visit)(void *visitor, const struct held *held);
    void *visitor;
    const _Atomic bool *stop;
    poise_error *err;
};

bool held_is_named(const struct wire_restate *order, const poise_measurement *row)
{
    bool in_time = row->retract || (row->time_ms >= order->from_ms && row->time_ms < order->to_ms);
    return in_time && (!order->measure[0] || strcmp(order->measure, row->measure) == 0) &&
           (!order->org[0] || org_matches(order->org, row->org ? row->org : ""));
}

/* ---- the orders ---- */

static poise_code find_order(struct looking *looking, const struct journal_batch *batch, uint64_t first_place)
{
    if (batch->rows > 0 || strcmp(batch->producer, RESTATE_PRODUCER) != 0)
        return POISE_OK;
    if (looking->count == looking->capacity) {
        size_t capacity = looking->capacity ? 2 * looking->capacity : 16;
        struct wire_restate *orders = realloc(looking->orders, capacity * sizeof *orders);
        if (!orders)
            return error_nomem(looking->err, "the orders to restate");
        looking->orders = orders;
        looking->capacity = capacity;
    }
    struct wire_restate *order = &looking->orders[looking->count];
    poise_code code =
        wire_decode_restate(batch->body, batch->body_length, &looking->texts, order, looking->err);
    if (code)
        return code;
    if (order->place == 0 || order->place >= first_place) /* of a version that did not say it: all before */
        order->place = first_place - 1;
    looking->count++;
    return POISE_OK;
}

/* ---- the rows ---- */

static bool is_let_in(const struct looking *looking, const struct held *held)
{
    for (size_t i = 0; i < looking->count; i++)
        if (held->place <= looking->orders[i].place && held_is_named(&looking->orders[i], &held->row))
            return true;
    return false;
}

static poise_code find_rows(struct looking *looking, const struct journal_batch *batch, uint64_t first_place)
{
    struct wire_batch rows;
    bool any = false;
    for (size_t i = 0; i < batch->refused_count; i++)
        any |= batch_holds(batch->reasons[i]);
    if (!any)
        return POISE_OK;
    arena_reset(&looking->arena);
    poise_code code =
        wire_decode_batch(batch->body, batch->body_length, &looking->arena, &rows, looking->err);
    for (size_t i = 0; !code && i < batch->refused_count; i++) {
        uint32_t at = batch->refused[i];
        if (!batch_holds(batch->reasons[i]) || at >= rows.rows)
            continue;
        struct held held = {
            .row = wire_batch_row(&rows, at), .place = first_place + at, .reason = batch->reasons[i]};
        held.let_in = held.reason == POISE_REFUSAL_LOCKED && is_let_in(looking, &held);
        code = looking->visit(looking->visitor, &held);
    }
    return code;
}

/* ---- both ---- */

static poise_code look_at_record(void *visitor, const struct journal_record *record)
{
    struct looking *looking = visitor;
    uint64_t place = record->first_ordinal;
    poise_code code = POISE_OK;
    if (looking->stop && atomic_load_explicit(looking->stop, memory_order_relaxed))
        return error_set(looking->err, POISE_EBUSY, "the aggregator is stopping");
    for (size_t i = 0; !code && i < record->batch_count; i++) {
        code = looking->in_batch(looking, &record->batches[i], place);
        place += record->batches[i].rows;
    }
    return code == POISE_ECLOSED ? POISE_EPROTO : code;
}

poise_code held_each(struct store *store, uint64_t until, const _Atomic bool *stop,
                     poise_code (*visit)(void *visitor, const struct held *held), void *visitor,
                     poise_error *err)
{
    struct looking looking = {
        .in_batch = find_order, .visit = visit, .visitor = visitor, .stop = stop, .err = err};
    struct store_reader *reader;
    poise_code code = store_reader_open(store, &reader, err);
    if (code)
        return code;
    code = store_read_journal(reader, 1, until, NULL, look_at_record, &looking, err);
    looking.in_batch = find_rows; /* whether a later order lets them in is known now */
    if (!code)
        code = store_read_journal(reader, 1, until, NULL, look_at_record, &looking, err);
    store_reader_close(reader);
    free(looking.orders);
    arena_free(&looking.texts);
    arena_free(&looking.arena);
    return code;
}
