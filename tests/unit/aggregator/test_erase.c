/* Operators' orders to erase: more than fit into one, two for the same measurements, what remains of a record
 * of which some held measurements are erased, and held ones that an order to restate has let in, or not. */
#include "writer_fixture.h"
#include <aggregator/compact.h>
#include <aggregator/erase.h>
#include <aggregator/held.h>
#include <aggregator/inquiry.h>
#include <aggregator/restate.h>
#include <store/notes.h>

enum { BATCH = 1000 };

static const _Atomic bool never;

static struct inquiry *order(const char *org, bool dry_run)
{
    const struct wire_erase asked = {.id = 1,
                                     .measure = "",
                                     .org = org,
                                     .reason = "as the test wants",
                                     .from_ms = start_ms - 1000,
                                     .to_ms = start_ms,
                                     .dry_run = dry_run};
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    assert_non_null(inquiry);
    assert_int_equal(erase_open(&asked, &inquiry->erase, NULL), POISE_OK);
    return inquiry;
}

/* Whether the inquirer has the writer do the rest. */
static bool is_found(struct fixture *f, struct inquiry *inquiry)
{
    struct rows_memory memory = {0};
    const struct inquirer_options options = {.store = f->store, .stop = &never, .memory = &memory};
    bool found = !inquiry_answer(&options, inquiry);
    rows_memory_free(&memory);
    return found;
}

static struct inquiry *carry_out(struct fixture *f, struct inquiry *inquiry)
{
    assert_true(ring_push(&f->to_restate, inquiry));
    for (int i = 0; i < 5 && ring_count(&f->restated) == 0; i++)
        step(f);
    return ring_pop(&f->restated);
}

/* ---- how many ---- */

static void send(struct fixture *f, int rows)
{
    for (int i = 0; i < rows; i++)
        add(f, "a", "", i % 100);
    hand_over_all(f);
    while (ring_count(&f->to_ingest) == 0)
        step(f);
    ring_pop(&f->to_ingest);
    forget_changes(f);
}

static void too_many_are_refused_as_a_whole(void **state)
{
    struct fixture *f = *state;
    f->map_bytes = 64 << 20;
    start(f, 1);
    for (int i = 0; i < ERASE_ROWS_MAX / BATCH; i++)
        send(f, BATCH);
    struct inquiry *inquiry = order("**", true); /* so many are not too many */
    assert_false(is_found(f, inquiry));
    assert_int_equal(inquiry->error.code, POISE_OK);
    assert_int_equal(inquiry->erase->count, ERASE_ROWS_MAX);
    inquiry_free(inquiry);
    send(f, 1);
    uint64_t lsn = store_last_lsn(f->store);
    inquiry = order("**", false);
    assert_false(is_found(f, inquiry)); /* the writer hears nothing of it */
    assert_int_equal(inquiry->error.code, POISE_ELIMIT);
    assert_non_null(strstr(inquiry->error.text, "more than 200000 measurements"));
    inquiry_free(inquiry);
    step(f);
    assert_int_equal(store_last_lsn(f->store), lsn);
}

/* ---- two at once ---- */

static void of_two_for_the_same_the_second_finds_none(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    send(f, 7);
    struct inquiry *first = order("a", false), *second = order("**", false);
    assert_true(is_found(f, first) && is_found(f, second));
    assert_ptr_equal(carry_out(f, first), first);
    assert_int_equal(first->error.code, POISE_OK);
    assert_true(first->erase->count == 7 && first->erase->counted == 7);
    uint64_t lsn = store_last_lsn(f->store);
    assert_int_equal(first->erase->lsn, lsn);
    assert_ptr_equal(carry_out(f, second), second);
    assert_int_equal(second->error.code, POISE_EBUSY);
    inquiry_free(second);
    second = order("**", false); /* as it is told: again */
    assert_false(is_found(f, second));
    assert_int_equal(second->error.code, POISE_OK);
    assert_true(second->erase->count == 0 && second->erase->held == 0 && second->erase->lsn == 0);
    assert_int_equal(store_last_lsn(f->store), lsn);
    inquiry_free(first);
    inquiry_free(second);
}

/* ---- what remains ---- */

static poise_code put(void *taker, struct piece *piece, poise_error *err)
{
    poise_code code = piece_put(piece, taker, err);
    piece_free(piece);
    return code;
}

static poise_code count_end(void *context, const struct erasure *erasure, poise_error *err)
{
    (void)erasure;
    (void)err;
    ++*(int *)context;
    return POISE_OK;
}

/* Six rows, the four in the middle of which a lock holds; those at "b" are erased. */
static const char *const orgs[] = {"a", "b", "a", "b", "a", "a"};
static const double left[] = {0, 0, 3, 0, 5, 0}; /* by place; 0: its place alone */

static uint64_t append(struct store *store, const struct journal_batch *batch, uint64_t place)
{
    uint64_t lsn;
    const struct journal_record record = {.as_of_ms = start_ms,
                                          .first_ordinal = place,
                                          .orders = batch->producer[0] == '!',
                                          .min_time_ms = start_ms - 1,
                                          .max_time_ms = start_ms - 1,
                                          .batches = batch,
                                          .batch_count = 1};
    assert_int_equal(store_append(store, &record, &lsn, NULL), POISE_OK);
    return lsn;
}

static void append_held(struct fixture *f)
{
    static const uint32_t refused[] = {1, 2, 3, 4}, numbers[] = {0, JOURNAL_NO_SERIES};
    const uint8_t locked = POISE_REFUSAL_LOCKED, reasons[] = {locked, locked, locked, locked};
    const struct journal_notes said = {.series = numbers, .series_count = 2};
    struct buf body = {0}, notes = {0};
    for (int i = 0; i < 6; i++)
        add(f, orgs[i], "", i + 1);
    assert_int_equal(wire_builder_finish(f->builder, EPOCH, 1, &body), POISE_OK);
    assert_int_equal(notes_encode(&said, &notes), POISE_OK);
    const struct journal_batch batch = {.producer = "p",
                                        .epoch = EPOCH,
                                        .seq = 1,
                                        .rows = 6,
                                        .refused = refused,
                                        .reasons = reasons,
                                        .refused_count = 4,
                                        .body = body.data,
                                        .body_length = body.length,
                                        .notes = notes.data,
                                        .notes_length = notes.length};
    append(f->store, &batch, 1);
    buf_free(&body);
    buf_free(&notes);
}

static poise_code check_record(void *visitor, const struct journal_record *record)
{
    struct arena arena = {0};
    uint64_t at = 0;
    assert_true(record->trimmed && record->first_ordinal == 1);
    for (size_t i = 0; i < record->batch_count; i++) {
        struct wire_batch rows = {0};
        if (record->batches[i].body_length)
            assert_int_equal(wire_decode_batch(record->batches[i].body, record->batches[i].body_length,
                                               &arena, &rows, NULL),
                             POISE_OK);
        for (uint32_t row = 0; row < record->batches[i].rows; row++, at++)
            assert_true(at < 6 && left[at] == (rows.rows ? rows.value[row] : 0));
    }
    assert_int_equal(at, 6);
    arena_free(&arena);
    ++*(int *)visitor;
    return POISE_OK;
}

static void held_rows_keep_their_places(void **state)
{
    struct fixture *f = *state;
    struct compact *compact;
    struct store_reader *reader;
    int ended = 0, records = 0;
    start(f, 1);
    append_held(f);
    struct inquiry *inquiry = order("b", false);
    assert_true(is_found(f, inquiry));
    assert_true(inquiry->erase->held == 2 && inquiry->erase->count == 0 && inquiry->erase->place == 4);
    const struct journal_batch erases = {.producer = ERASE_PRODUCER,
                                         .rows = 1,
                                         .body = inquiry->erase->order.body.data,
                                         .body_length = inquiry->erase->order.body.length};
    uint64_t lsn = append(f->store, &erases, 7);
    const struct store_mark mark = {.state_lsn = lsn, .generation = 1};
    assert_int_equal(store_checkpoint_begin(f->store, NULL), POISE_OK);
    assert_int_equal(store_checkpoint_commit(f->store, &mark, NULL), POISE_OK);
    assert_int_equal(compact_open(f->store, 1 << 20, &never, &compact, NULL), POISE_OK);
    for (int steps = 100; ended == 0 && steps > 0; steps--) {
        poise_error err = {0};
        bool any;
        if (compact_purge(compact, count_end, &ended, put, f->store, &any, &err) != POISE_OK)
            fail_msg("%s", err.text);
        if (store_upkeep_due(f->store, true))
            assert_int_equal(store_upkeep(f->store, true, NULL), POISE_OK);
    }
    assert_int_equal(ended, 1);
    assert_int_equal(store_reader_open(f->store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_journal(reader, 1, lsn - 1, NULL, check_record, &records, NULL), POISE_OK);
    assert_int_equal(records, 1);
    store_reader_close(reader);
    compact_close(compact);
    inquiry_free(inquiry);
}

/* ---- what was let in ---- */

/* An order that lets in what "b" has up to a place, and what it let in: at places 7 and, of two, 8. */
static void append_restated(struct fixture *f, uint64_t place, int count, poise_refusal refusal)
{
    const struct wire_restate said = {.id = 1,
                                      .measure = "",
                                      .org = "b",
                                      .reason = "as the test wants",
                                      .from_ms = start_ms - 1000,
                                      .to_ms = start_ms,
                                      .place = place};
    const uint8_t reasons[] = {(uint8_t)refusal, (uint8_t)refusal};
    struct buf order = {0}, body = {0};
    assert_int_equal(wire_encode_restate(&said, &order), POISE_OK);
    for (int i = 0; i < count; i++)
        add(f, "b", "", 2 + 2 * i);
    assert_int_equal(wire_builder_finish(f->builder, 1, 1, &body), POISE_OK);
    const struct journal_batch batches[] = {
        {.producer = RESTATE_PRODUCER, .body = order.data, .body_length = order.length},
        {.producer = RESTATE_PRODUCER,
         .rows = (uint32_t)count,
         .refused = (const uint32_t[]){0, 1},
         .reasons = reasons,
         .refused_count = refusal ? (size_t)count : 0,
         .body = body.data,
         .body_length = body.length}};
    const struct journal_record record = {.as_of_ms = start_ms,
                                          .first_ordinal = 7,
                                          .min_time_ms = start_ms - 1,
                                          .max_time_ms = start_ms - 1,
                                          .batches = batches,
                                          .batch_count = 2};
    uint64_t lsn;
    assert_int_equal(store_append(f->store, &record, &lsn, NULL), POISE_OK);
    buf_free(&order);
    buf_free(&body);
}

static void expect_erased(struct fixture *f, uint64_t count, uint64_t held, uint64_t place)
{
    struct inquiry *inquiry = order("b", false);
    assert_true(is_found(f, inquiry));
    assert_int_equal(inquiry->erase->count, count);
    assert_int_equal(inquiry->erase->held, held);
    assert_int_equal(inquiry->erase->place, place);
    inquiry_free(inquiry);
}

static void what_was_let_in_counts_once(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    append_held(f);
    append_restated(f, 4, 2, POISE_REFUSAL_NONE);
    expect_erased(f, 2, 0, 8);
}

static void what_was_let_in_and_is_held_again_counts_once(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    append_held(f);
    append_restated(f, 4, 2, POISE_REFUSAL_FROZEN);
    expect_erased(f, 0, 2, 8);
}

static void what_was_let_in_and_refused_goes_from_the_disk(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    append_held(f);
    append_restated(f, 4, 2, POISE_REFUSAL_SEQ_CONFLICT);
    expect_erased(f, 0, 0, 4);
}

/* One that was refused while the order was on its way: it is named, and was not let in. */
static void what_came_behind_an_order_is_held_still(void **state)
{
    struct fixture *f = *state;
    static const struct wire_restate asked = {
        .id = 1, .measure = "", .org = "b", .reason = "r", .from_ms = start_ms - 1000, .to_ms = start_ms};
    struct restate *restate;
    start(f, 1);
    append_held(f);
    append_restated(f, 2, 1, POISE_REFUSAL_NONE);
    expect_erased(f, 1, 1, 7);
    assert_int_equal(restate_open(&asked, &restate, NULL), POISE_OK);
    assert_int_equal(restate_find(restate, f->store, NULL), POISE_OK);
    assert_true(restate->rows == 1 && restate->count == 2);
    assert_true(restate->batches[1].rows.rows == 1 && restate->batches[1].rows.value[0] == 4);
    restate_free(restate);
}

/* Versions before did not say up to where: all before the order. */
static void an_order_without_a_place_lets_in_all_before_it(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    append_held(f);
    append_restated(f, 0, 2, POISE_REFUSAL_NONE);
    expect_erased(f, 2, 0, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(too_many_are_refused_as_a_whole),
        WRITER_TEST(of_two_for_the_same_the_second_finds_none),
        WRITER_TEST(held_rows_keep_their_places),
        WRITER_TEST(what_was_let_in_counts_once),
        WRITER_TEST(what_was_let_in_and_is_held_again_counts_once),
        WRITER_TEST(what_was_let_in_and_refused_goes_from_the_disk),
        WRITER_TEST(what_came_behind_an_order_is_held_still),
        WRITER_TEST(an_order_without_a_place_lets_in_all_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
