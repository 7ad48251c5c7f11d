/* The writer over a store on disk: what ingest and the stream are given, and when. */
#include "loop.h"
#include <aggregator/writer.h>
#include <stdio.h>

enum { POOL = 4, EPOCH = 3 };
static const int64_t start_ms = 1772323200000; /* 2026-03-01 */

struct fixture {
    struct loop loop; /* for its directory */
    char path[80];
    struct scorecard *card;
    const struct scorecard *cards[1];
    struct store *store;
    struct ring from_ingest, to_ingest, to_stream, to_restate, restated;
    struct net_wake *wake;
    struct stats stats;
    struct log log;
    int64_t now_ms;
    struct clock clock;
    bool event_clock;
    struct wire_builder *builder;
    struct batch batches[POOL];
    uint64_t seq;
    struct writer *writer;
};

static int64_t wall_ms(void *context)
{
    return *(int64_t *)context;
}

static int64_t monotonic_us(void *context)
{
    return *(int64_t *)context * 1000;
}

/* The store and the writer, as after a start; EFULL while less than `floor` bytes are free. */
static void start(struct fixture *f, int64_t floor)
{
    struct store_options store = {.path = f->path, .map_bytes = 1 << 20, .free_bytes = floor};
    struct writer_options options = {.cards = f->cards,
                                     .card_count = 1,
                                     .from_ingest = &f->from_ingest,
                                     .to_ingest = &f->to_ingest,
                                     .to_stream = &f->to_stream,
                                     .to_restate = &f->to_restate,
                                     .restated = &f->restated,
                                     .ingest_wake = f->wake,
                                     .stream_wake = f->wake,
                                     .stats = &f->stats,
                                     .log = &f->log,
                                     .clock = &f->clock,
                                     .event_clock = f->event_clock,
                                     .settle_ms = 50,
                                     .checkpoint_ms = 5000,
                                     .max_orgs = 10,
                                     .max_series = 10};
    poise_error err = {0};
    assert_int_equal(store_open(&store, &f->store, NULL), POISE_OK);
    options.store = f->store;
    if (writer_open(&options, &f->writer, &err) != POISE_OK)
        fail_msg("%s", err.text);
}

static void stop(struct fixture *f)
{
    struct changes *changes;
    writer_close(f->writer);
    store_close(f->store);
    f->writer = NULL;
    f->store = NULL;
    while ((changes = ring_pop(&f->to_stream)))
        free(changes);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f || !loop_open(&f->loop))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/store", f->loop.directory);
    f->card = card_make("c", 2);
    f->cards[0] = f->card;
    f->now_ms = start_ms;
    f->clock = (struct clock){.wall_ms = wall_ms, .monotonic_us = monotonic_us, .context = &f->now_ms};
    f->builder = wire_builder_open();
    *state = f;
    return f->builder && ring_init(&f->from_ingest, POOL) && ring_init(&f->to_ingest, POOL) &&
                   ring_init(&f->to_stream, POOL) && ring_init(&f->to_restate, POOL) &&
                   ring_init(&f->restated, POOL) && net_wake_open(&f->wake, NULL) == POISE_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    for (int i = 0; i < POOL; i++)
        batch_free(&f->batches[i]);
    wire_builder_close(f->builder);
    net_wake_close(f->wake);
    ring_free(&f->from_ingest);
    ring_free(&f->to_ingest);
    ring_free(&f->to_stream);
    ring_free(&f->to_restate);
    ring_free(&f->restated);
    scorecard_free(f->card);
    loop_close(&f->loop);
    free(f);
    return 0;
}

/* The next batch of the producer, of one row, is with the writer. */
static struct batch *hand_over(struct fixture *f, double value)
{
    struct batch *batch = &f->batches[f->seq % POOL];
    poise_measurement row = {.measure = "m0", .time_ms = start_ms - 1, .value = value, .of = 1};
    batch_reset(batch);
    batch->producer = "p";
    batch->epoch = EPOCH;
    batch->seq = ++f->seq;
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
    assert_int_equal(wire_builder_finish(f->builder, EPOCH, f->seq, &batch->body), POISE_OK);
    assert_int_equal(batch_decode(batch, 1), POISE_OK);
    batch->hash = wire_batch_hash(batch->body.data, batch->body.length);
    assert_true(ring_push(&f->from_ingest, batch));
    return batch;
}

static void step(struct fixture *f)
{
    poise_error err = {0};
    if (writer_step(f->writer, &err) != POISE_OK)
        fail_msg("%s", err.text);
}

/* The next changes say this of the measure, as of a commit; 0: the start. */
static void expect_changes(struct fixture *f, uint64_t lsn, double value)
{
    struct changes *changes = ring_pop(&f->to_stream);
    assert_non_null(changes);
    assert_int_equal(changes->lsn, lsn);
    bool met = false;
    for (size_t i = 0; i < changes->count; i++)
        if (strcmp(changes->states[i].node, "c/p/o/m0") == 0)
            met = changes->states[i].numbers.value == value;
    assert_true(met);
    free(changes);
}

/* Of the producer, as ingest would be told. */
static void expect_ledger(struct fixture *f, uint64_t seq)
{
    struct ledger ledger;
    assert_int_equal(writer_ledger(f->writer, &ledger, NULL), POISE_OK);
    const struct ledger_entry *entry = ledger_find(&ledger, "p", EPOCH);
    assert_non_null(entry);
    assert_int_equal(entry->seq, seq);
    ledger_free(&ledger);
}

static void what_is_on_disk_is_published_and_given_back(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        struct batch *batch = hand_over(f, 3);
        step(f);
        assert_int_equal(store_last_lsn(f->store), seq);
        assert_ptr_equal(ring_pop(&f->to_ingest), batch);
        assert_int_equal(batch->refused_count, 0);
        expect_changes(f, seq, 3 * (double)seq);
        f->now_ms += 50;
    }
    stop(f); /* as kill -9 would: there was no checkpoint */
    start(f, 1);
    expect_changes(f, 2, 6);
    expect_ledger(f, 2);
}

static void a_start_reads_the_checkpoint_and_what_came_after(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    hand_over(f, 3);
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK); /* with a checkpoint */
    for (uint64_t lsn = 2; lsn <= 3; lsn++) {
        stop(f);
        start(f, 1);
        expect_ledger(f, f->seq);
        expect_changes(f, lsn - 1, 3 * (double)f->seq);
        assert_non_null(ring_pop(&f->to_ingest));
        hand_over(f, 3);
        step(f);
        assert_int_equal(store_last_lsn(f->store), lsn);
        f->now_ms += 50;
    }
}

/* T is 1 ms after the latest event, whatever the clock says. */
static void by_the_event_clock_events_move_time(void **state)
{
    struct fixture *f = *state;
    f->event_clock = true;
    start(f, 1);
    hand_over(f, 3);
    step(f);
    struct changes *changes = ring_pop(&f->to_stream);
    assert_non_null(changes);
    assert_int_equal(changes->as_of_ms, start_ms);
    free(changes);
}

static void what_has_no_room_on_disk_is_neither(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    stop(f);
    start(f, INT64_MAX);
    hand_over(f, 3);
    for (int i = 0; i < 3; i++) {
        step(f);
        assert_int_equal(store_last_lsn(f->store), 0);
        assert_int_equal(ring_count(&f->to_ingest), 0);
        assert_int_equal(ring_count(&f->to_stream), 0);
        f->now_ms += 1000;
    }
    assert_true(stats_get(&f->stats, STAT_commit_retries) == 3);
}

int main(void)
{
#define WRITER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WRITER_TEST(what_is_on_disk_is_published_and_given_back),
        WRITER_TEST(a_start_reads_the_checkpoint_and_what_came_after),
        WRITER_TEST(by_the_event_clock_events_move_time),
        WRITER_TEST(what_has_no_room_on_disk_is_neither),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
