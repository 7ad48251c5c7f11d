#include "simulation.h"

#include <aggregator/batch.h>
#include <aggregator/erasures.h>
#include <aggregator/held.h>
#include <model/org.h>
#include <store/runs.h>
#include <string.h>

enum { ORDERS_MAX = 200, INPUTS = 20 };

struct order { /* its texts are those of the journal's batch */
    const char *measure, *org;
    int64_t from_ms, to_ms;
    uint64_t place, rows;
};

static struct {
    struct {
        uint64_t lsn;
        size_t rows, counted;
    } orders[ORDERS_MAX];
    size_t count;
    uint64_t ended_lsn;
} erased;

void erased_start(void)
{
    memset(&erased, 0, sizeof erased);
}

void erased_ended(uint64_t lsn)
{
    erased.ended_lsn = lsn;
}

uint64_t erased_lsn(void)
{
    return erased.count ? erased.orders[erased.count - 1].lsn : 0;
}

bool erased_pends(void)
{
    return erased_lsn() > erased.ended_lsn;
}

size_t erased_rows(uint64_t lsn, size_t *ret_counted)
{
    for (size_t i = 0; i < erased.count; i++) {
        if (erased.orders[i].lsn == lsn) {
            *ret_counted = erased.orders[i].counted;
            return erased.orders[i].rows;
        }
    }
    fail_msg("no order to erase is in record %llu", (unsigned long long)lsn);
    return 0;
}

/* ---- an order, as docs/storage.md says ---- */

static const char *take_text(struct cursor *in)
{
    size_t length;
    const char *text = cursor_text(in, &length);
    assert_true(!in->failed && length > 0 && text[length - 1] == '\0');
    return text;
}

static struct order take_order(struct cursor *in)
{
    assert_int_equal(cursor_u8(in), 1);
    struct order order = {.measure = take_text(in), .org = take_text(in)};
    assert_string_equal(take_text(in), "as the test wants");
    (void)take_text(in); /* who */
    order.from_ms = cursor_svarint(in);
    order.to_ms = cursor_svarint(in);
    order.place = cursor_varint(in);
    order.rows = cursor_varint(in);
    return order;
}

/* Whether it is of those, and nothing has erased it so far. */
static bool is_named(const struct order *order, const struct row *row)
{
    const poise_measurement *m = &row->measurement;
    return !row->order && !row->erased_lsn && !m->retract &&
           (row->refusal == POISE_REFUSAL_NONE ? !frozen_dropped(row) : batch_holds((uint8_t)row->refusal)) &&
           m->time_ms >= order->from_ms && m->time_ms < order->to_ms &&
           (!order->measure[0] || strcmp(order->measure, m->measure) == 0) &&
           (!order->org[0] || org_matches(order->org, m->org));
}

/* What it says that it saw: of each input and org of an accepted row the first such row's place. */
static void check_seen(struct cursor *in, const struct row *rows, size_t count, uint64_t lsn)
{
    for (uint64_t left = cursor_varint(in); left > 0; left--) {
        const char *measure = take_text(in), *org = take_text(in);
        uint64_t place = cursor_varint(in), first = 0;
        for (size_t i = count; i-- > 0;) {
            const struct row *row = &rows[i];
            bool same = row->erased_lsn == lsn && row->refusal == POISE_REFUSAL_NONE &&
                        strcmp(row->measurement.measure, measure) == 0 &&
                        strcmp(row->measurement.org, org) == 0;
            first = same ? i + 1 : first;
        }
        assert_int_equal(place, first);
    }
    assert_true(!in->failed && cursor_left(in) == 0);
}

void erased_note(const struct journal_batch *batch, uint64_t lsn)
{
    struct cursor in = cursor_of(batch->body, batch->body_length);
    const struct order order = take_order(&in);
    struct row *rows;
    size_t count = journal_rows(&rows), named = 0, last = 0;
    assert_true(erased.count < ORDERS_MAX && order.place <= count);
    size_t *counted = &erased.orders[erased.count].counted;
    for (size_t i = 0; i < order.place; i++) {
        if (is_named(&order, &rows[i])) {
            *counted += rows[i].refusal == POISE_REFUSAL_NONE && journal_row_stands(&rows[i]);
            journal_erase(&rows[i], lsn);
            last = i + 1;
            named += !rows[i].let_in; /* counted as what became of it */
        }
    }
    assert_true(last > 0);
    assert_int_equal(named, order.rows);
    assert_int_equal(last, order.place);
    erased.orders[erased.count].lsn = lsn;
    erased.orders[erased.count++].rows = named;
    check_seen(&in, rows, count, lsn);
}

/* ---- on the disk ---- */

struct looking {
    const struct row *rows;
    uint64_t ended_lsn;
    struct arena arena;
};

static bool is_gone(const struct looking *looking, const struct row *row)
{
    return row->erased_lsn && row->erased_lsn <= looking->ended_lsn;
}

static poise_code look_at_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    const struct looking *looking = visitor;
    for (size_t i = 0; i < rows->count; i++) {
        bool retract = rows->retract && rows->retract[i];
        if (!retract && is_gone(looking, &looking->rows[rows->ordinal[i] - 1])) {
            fail_msg("row %llu, of series %llu, is erased, and still in a run",
                     (unsigned long long)rows->ordinal[i], (unsigned long long)series);
        }
    }
    return POISE_OK;
}

/* Those of a batch that was trimmed are at their places, and none of them is gone. */
static void look_at_batch(struct looking *looking, const struct journal_batch *batch, uint64_t at)
{
    struct wire_batch rows;
    arena_reset(&looking->arena);
    assert_int_equal(wire_decode_batch(batch->body, batch->body_length, &looking->arena, &rows, NULL),
                     POISE_OK);
    assert_int_equal(rows.rows, batch->rows);
    for (uint32_t i = 0; i < rows.rows; i++, at++) {
        const poise_measurement row = wire_batch_row(&rows, i);
        if (is_gone(looking, &looking->rows[at]) || !measurement_same(&looking->rows[at].measurement, &row)) {
            fail_msg("what remains of a record has a row of %s in place of row %llu, %s", row.measure,
                     (unsigned long long)at + 1,
                     is_gone(looking, &looking->rows[at]) ? "which is erased" : "another");
        }
    }
}

static poise_code look_at_record(void *visitor, const struct journal_record *record)
{
    struct looking *looking = visitor;
    uint64_t at, end;
    journal_rows_of(record->lsn, &at, &end);
    for (uint64_t i = at; i < end && !record->trimmed; i++) {
        assert_false(is_gone(looking, &looking->rows[i]));
    }
    for (size_t i = 0; i < record->batch_count && record->trimmed; i++) {
        const struct journal_batch *batch = &record->batches[i];
        bool order = batch->producer[0] == '!' && strcmp(batch->producer, RESTATE_PRODUCER) != 0;
        if (batch->rows > 0 && batch->body_length > 0 && !order) {
            look_at_batch(looking, batch, at);
        }
        at += batch->rows;
    }
    return POISE_OK;
}

void erased_on_disk(struct store *store, struct store_reader *reader)
{
    struct looking looking = {.ended_lsn = store_erased_lsn(store)};
    struct row *rows;
    journal_rows(&rows);
    looking.rows = rows;
    if (looking.ended_lsn == 0) {
        return;
    }
    const struct store_rows_visit visit = {.rows = look_at_rows, .visitor = &looking};
    for (uint32_t input = 0; input < INPUTS; input++) {
        const struct store_rows_query query = {
            .input = input, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = UINT64_MAX};
        assert_int_equal(store_read_rows(reader, &query, &visit, NULL), POISE_OK);
    }
    assert_int_equal(store_read_journal(reader, 1, looking.ended_lsn, NULL, look_at_record, &looking, NULL),
                     POISE_OK);
    arena_free(&looking.arena);
}
