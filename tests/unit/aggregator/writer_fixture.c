#include "writer_fixture.h"
#include <aggregator/inquiry.h>
#include <aggregator/restate.h>

static void keep_busy(struct fixture *f);

static int64_t wall_ms(void *context)
{
    return ((struct fixture *)context)->now_ms;
}

static int64_t monotonic_us(void *context)
{
    keep_busy(context);
    return ((struct fixture *)context)->now_ms * 1000;
}

/* The store and the writer, as after a start; EFULL while less than `floor` bytes are free. */
poise_code try_start(struct fixture *f, int64_t floor, poise_error *err)
{
    struct store_options store = {.path = f->path,
                                  .map_bytes = f->map_bytes ? f->map_bytes : 1 << 20,
                                  .free_bytes = floor,
                                  .journal_bytes = f->journal_bytes};
    struct writer_options options = {.cards = f->cards,
                                     .card_count = 1,
                                     .from_ingest = &f->from_ingest,
                                     .to_ingest = &f->to_ingest,
                                     .to_stream = &f->to_stream,
                                     .to_restate = &f->to_restate,
                                     .restated = &f->restated,
                                     .ingest_wake = f->wake,
                                     .stream_wake = f->wake,
                                     .committer_wake = f->overlaps ? f->wake : NULL,
                                     .writer_wake = f->wake,
                                     .stats = &f->stats,
                                     .log = &f->log,
                                     .clock = &f->clock,
                                     .event_clock = f->event_clock,
                                     .settle_ms = 50,
                                     .checkpoint_ms = 5000,
                                     .silent_after_ms = f->silent_after_ms,
                                     .max_orgs = 10,
                                     .max_series = 1000};
    assert_int_equal(store_open(&store, &f->store, NULL), POISE_OK);
    options.store = f->store;
    return writer_open(&options, &f->writer, err);
}

void start(struct fixture *f, int64_t floor)
{
    poise_error err = {0};
    if (try_start(f, floor, &err) != POISE_OK)
        fail_msg("%s", err.text);
}

void forget_changes(struct fixture *f)
{
    struct changes *changes;
    while ((changes = ring_pop(&f->to_stream)))
        changes_free(changes);
}

void forget_all(struct fixture *f)
{
    while (ring_pop(&f->to_ingest)) {
    }
    forget_changes(f);
}

void stop(struct fixture *f)
{
    writer_close(f->writer);
    store_close(f->store);
    f->writer = NULL;
    f->store = NULL;
    forget_changes(f);
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f || !loop_open(&f->loop))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/store", f->loop.directory);
    f->card = card_make("c", 2);
    f->cards[0] = f->card;
    f->now_ms = start_ms;
    f->clock = (struct clock){.wall_ms = wall_ms, .monotonic_us = monotonic_us, .context = f};
    f->log = (struct log){.out = open_memstream(&f->said, &f->said_length), .clock = &f->clock};
    f->log.level = LOG_INFO;
    f->builder = wire_builder_open();
    f->writers = pthread_self();
    *state = f;
    return f->builder && f->log.out && ring_init(&f->from_ingest, POOL) && ring_init(&f->to_ingest, POOL) &&
                   ring_init(&f->to_stream, POOL) && ring_init(&f->to_restate, POOL) &&
                   ring_init(&f->restated, POOL) && net_wake_open(&f->wake, NULL) == POISE_OK
               ? 0
               : -1;
}

int teardown(void **state)
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
    fclose(f->log.out);
    free(f->said);
    free(f);
    return 0;
}

void add(struct fixture *f, const char *org, const char *source, double value)
{
    poise_measurement row = {
        .measure = "m0", .org = org, .source = source, .time_ms = start_ms - 1, .value = value, .of = 1};
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
}

/* The next batch of the producer, of what was added, is with the writer. */
struct batch *hand_over_all(struct fixture *f)
{
    struct batch *batch = &f->batches[f->seq % POOL];
    batch_reset(batch);
    batch->producer = "p";
    batch->epoch = EPOCH;
    batch->seq = ++f->seq;
    assert_int_equal(wire_builder_finish(f->builder, EPOCH, f->seq, &batch->body), POISE_OK);
    assert_int_equal(batch_decode(batch, 1000), POISE_OK);
    batch->hash = wire_batch_hash(batch->body.data, batch->body.length);
    assert_true(ring_push(&f->from_ingest, batch));
    return batch;
}

struct batch *hand_over(struct fixture *f, double value)
{
    add(f, "", "", value);
    return hand_over_all(f);
}

/* The next batch of the producer, of a row at each of so many orgs, is with the writer. */
struct batch *hand_over_of(struct fixture *f, double value, int orgs)
{
    for (int i = 0; i < orgs; i++) {
        char org[16];
        snprintf(org, sizeof org, "o%d", i);
        add(f, org, "", value);
    }
    return hand_over_all(f);
}

/* While the writer works, others send what it refuses, or something else once. */
static void keep_busy(struct fixture *f)
{
    if (!pthread_equal(pthread_self(), f->writers))
        return;
    if (f->coming && ring_count(&f->from_ingest) == 0) {
        void (*come)(struct fixture *) = f->coming;
        f->coming = NULL;
        come(f);
    }
    if (f->busy && ring_count(&f->from_ingest) == 0) {
        const poise_measurement row = {.measure = "unknown", .time_ms = start_ms - 1, .value = 1, .of = 1};
        assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
        hand_over_all(f);
    }
}

void step(struct fixture *f)
{
    poise_error err = {0};
    if (writer_step(f->writer, &err) != POISE_OK)
        fail_msg("%s", err.text);
}

void read_settles(struct fixture *f, poise_code (*change)(void *visitor, const struct settles_change *change),
                  void *visitor)
{
    struct settles_position at = {0};
    const struct settles_visit visit = {.change = change, .visitor = visitor};
    bool all;
    assert_int_equal(settles_read(f->store, &at, store_last_lsn(f->store), &visit, &all, NULL), POISE_OK);
    assert_true(all);
}

struct inquiry *order_restate(void)
{
    const struct wire_restate order = {
        .id = 1, .measure = "", .org = "", .reason = "test", .from_ms = 1, .to_ms = 2};
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    assert_non_null(inquiry);
    assert_int_equal(restate_open(&order, &inquiry->restate, NULL), POISE_OK);
    return inquiry;
}
