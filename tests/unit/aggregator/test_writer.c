/* The writer over a store on disk: what ingest and the stream are given, and when. */
#include "loop.h"
#include <aggregator/writer.h>
#include <stdio.h>
#include <store/notes.h>

enum { POOL = 4, EPOCH = 3, WIDE = 2500, WIDE_ORGS = 8 };
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
    char *said; /* what was logged */
    size_t said_length, read;
    int64_t silent_after_ms;
    int64_t now_ms;
    struct clock clock;
    bool event_clock;
    struct wire_builder *builder;
    struct batch batches[POOL];
    uint64_t seq;
    struct writer *writer;
    bool busy; /* some batch always waits */
};

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
static poise_code try_start(struct fixture *f, int64_t floor, poise_error *err)
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
                                     .silent_after_ms = f->silent_after_ms,
                                     .max_orgs = 10,
                                     .max_series = 1000};
    assert_int_equal(store_open(&store, &f->store, NULL), POISE_OK);
    options.store = f->store;
    return writer_open(&options, &f->writer, err);
}

static void start(struct fixture *f, int64_t floor)
{
    poise_error err = {0};
    if (try_start(f, floor, &err) != POISE_OK)
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
        changes_free(changes);
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
    f->clock = (struct clock){.wall_ms = wall_ms, .monotonic_us = monotonic_us, .context = f};
    f->log = (struct log){.out = open_memstream(&f->said, &f->said_length), .clock = &f->clock};
    f->log.level = LOG_INFO;
    f->builder = wire_builder_open();
    *state = f;
    return f->builder && f->log.out && ring_init(&f->from_ingest, POOL) && ring_init(&f->to_ingest, POOL) &&
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
    fclose(f->log.out);
    free(f->said);
    free(f);
    return 0;
}

static void add(struct fixture *f, const char *org, const char *source, double value)
{
    poise_measurement row = {
        .measure = "m0", .org = org, .source = source, .time_ms = start_ms - 1, .value = value, .of = 1};
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
}

/* The next batch of the producer, of what was added, is with the writer. */
static struct batch *hand_over_all(struct fixture *f)
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

static struct batch *hand_over(struct fixture *f, double value)
{
    add(f, "", "", value);
    return hand_over_all(f);
}

/* The next batch of the producer, of a row at each of so many orgs, is with the writer. */
static struct batch *hand_over_of(struct fixture *f, double value, int orgs)
{
    for (int i = 0; i < orgs; i++) {
        char org[16];
        snprintf(org, sizeof org, "o%d", i);
        add(f, org, "", value);
    }
    return hand_over_all(f);
}

/* While the writer works, others send what it refuses. */
static void keep_busy(struct fixture *f)
{
    if (f->busy && ring_count(&f->from_ingest) == 0) {
        const poise_measurement row = {.measure = "unknown", .time_ms = start_ms - 1, .value = 1, .of = 1};
        assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
        hand_over_all(f);
    }
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
    changes_free(changes);
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

/* What stands in the stream's queue before anybody is let in ends as of now, not as of the last commit. */
static void a_start_is_as_of_now(void **state)
{
    struct fixture *f = *state;
    int64_t as_of_ms = 0;
    start(f, 1);
    hand_over(f, 3);
    step(f);
    stop(f);
    f->now_ms += 3600000;
    start(f, 1);
    struct changes *changes;
    while ((changes = ring_pop(&f->to_stream))) {
        as_of_ms = changes->as_of_ms;
        changes_free(changes);
    }
    assert_true(as_of_ms == f->now_ms);
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
    changes_free(changes);
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

/* ---- slices ---- */

/* Some 20,000 nodes, each of which is new and so looked at twice: more than a slice or two. */
static void widen(struct fixture *f)
{
    scorecard_free(f->card);
    f->card = card_make("c", WIDE);
    f->cards[0] = f->card;
}

static void expect_quiet(struct fixture *f)
{
    assert_int_equal(ring_count(&f->to_stream), 0);
}

static struct changes *next_changes(struct fixture *f, uint64_t lsn, int64_t as_of_ms)
{
    struct changes *changes = ring_pop(&f->to_stream);
    assert_non_null(changes);
    assert_int_equal(changes->lsn, lsn);
    assert_int_equal(changes->as_of_ms, as_of_ms);
    return changes;
}

/* How many states some changes have; frees them. */
static size_t count_changes(struct changes *changes)
{
    size_t count = 0;
    for (const struct changes *part = changes; part; part = part->next) {
        assert_true(part->count <= CHANGES_PART);
        count += part->count;
    }
    changes_free(changes);
    return count;
}

/* Producers need not wait for it, nor for what it changed to be written; subscribers see it whole, with what
 * came between two slices. */
static void a_settle_in_slices_is_published_when_it_is_on_disk(void **state)
{
    struct fixture *f = *state;
    widen(f);
    start(f, 1);
    f->now_ms += 1000;
    step(f); /* the root is there */
    assert_int_equal(count_changes(next_changes(f, 1, f->now_ms)), f->card->node_count);
    f->now_ms += 100;
    struct batch *batch = hand_over_of(f, 3, WIDE_ORGS);
    f->busy = true;
    step(f);
    assert_ptr_equal(ring_pop(&f->to_ingest), batch);
    assert_int_equal(store_last_lsn(f->store), 2);
    hand_over(f, 4);
    int steps = 0;
    for (; ring_count(&f->to_stream) == 0; steps++) {
        assert_true(writer_idle_ms(f->writer) == 0 && steps < 20);
        f->now_ms++;
        step(f);
        assert_non_null(ring_pop(&f->to_ingest));
    }
    struct changes *changes = ring_pop(&f->to_stream);
    uint64_t settled_lsn = changes->lsn, parts = 0;
    double latest = 0;
    for (const struct changes *part = changes; part; part = part->next, parts++)
        for (size_t i = 0; i < part->count; i++)
            if (part->states[i].org[0] == '\0' && strcmp(part->states[i].node, "c/p/o/m0") == 0)
                latest = part->states[i].numbers.value;
    assert_true(latest == WIDE_ORGS * 3 + 4);
    assert_true(settled_lsn > 3);
    assert_int_equal(store_last_lsn(f->store), settled_lsn + parts - 1);
    size_t changed = count_changes(changes); /* the root's beside them */
    assert_true(changed > WIDE_ORGS * f->card->node_count);
}

/* Where nobody waits, who is acknowledged finds the scores. */
static void an_idle_writer_settles_with_the_commit(void **state)
{
    struct fixture *f = *state;
    widen(f);
    start(f, 1);
    struct batch *batch = hand_over_of(f, 3, WIDE_ORGS);
    step(f);
    assert_ptr_equal(ring_pop(&f->to_ingest), batch);
    assert_true(store_last_lsn(f->store) > 4); /* in some parts */
    assert_true(count_changes(next_changes(f, 1, f->now_ms)) > WIDE_ORGS * f->card->node_count);
}

/* Rows that mark all that a slice has settled, each time: it is not sliced for ever. */
static void a_settle_that_is_outrun_goes_in_one(void **state)
{
    struct fixture *f = *state;
    scorecard_free(f->card);
    f->card = card_make_of("c", WIDE, true); /* a row marks all */
    f->cards[0] = f->card;
    start(f, 1);
    for (int i = 0; ring_count(&f->to_stream) == 0; i++) {
        assert_true(i < 20);
        f->busy = true;
        hand_over_of(f, i, WIDE_ORGS);
        step(f);
        while (ring_pop(&f->to_ingest))
            ;
        f->now_ms += 60;
    }
    struct changes *changes = ring_pop(&f->to_stream);
    assert_true(changes->lsn >= 3 && changes->lsn <= 5);
    changes_free(changes);
}

static void a_start_after_half_a_settle_makes_it_whole(void **state)
{
    struct fixture *f = *state;
    widen(f);
    start(f, 1);
    f->busy = true;
    hand_over_of(f, 3, WIDE_ORGS);
    step(f);
    expect_quiet(f);
    f->busy = false;
    assert_non_null(ring_pop(&f->from_ingest));
    stop(f); /* as kill -9 would */
    start(f, 1);
    expect_ledger(f, 1);
    bool met = false;
    struct changes *changes;
    while ((changes = ring_pop(&f->to_stream))) {
        for (const struct changes *part = changes; part; part = part->next)
            for (size_t at = 0; at < part->count; at++)
                met |= part->states[at].numbers.value == WIDE_ORGS * 3;
        changes_free(changes);
    }
    assert_true(met);
}

/* ---- revisions ---- */

/* The next changes have this revision of the measure. */
static void expect_revision(struct fixture *f, uint64_t number, double value, uint64_t cause)
{
    struct changes *changes = ring_pop(&f->to_stream);
    assert_non_null(changes);
    const poise_state *found = NULL;
    for (size_t i = 0; i < changes->count; i++)
        if (changes->states[i].revision && strcmp(changes->states[i].node, "c/p/o/m0") == 0) {
            assert_null(found);
            found = &changes->states[i];
        }
    assert_non_null(found);
    assert_int_equal(found->revision, number);
    assert_int_equal(found->cause, cause);
    assert_int_equal(found->definition, 1);
    assert_true(found->numbers.value == value);
    assert_true(found->as_of_ms < f->now_ms);
    changes_free(changes);
}

static void commit_late(struct fixture *f, double value)
{
    f->now_ms += 1000;
    hand_over(f, value);
    step(f);
    if (ring_count(&f->to_ingest) == 0) /* it was time for a checkpoint first */
        step(f);
    assert_non_null(ring_pop(&f->to_ingest));
}

static void forget_changes(struct fixture *f)
{
    while (ring_count(&f->to_stream) > 0)
        changes_free(ring_pop(&f->to_stream));
}

/* The year of the row is closed from 3 January 2027 on. */
static void start_with(struct fixture *f, const char *card, int measures)
{
    stop(f);
    scorecard_free(f->card);
    f->card = card_make(card, measures);
    f->cards[0] = f->card;
    start(f, 1);
    forget_changes(f);
}

static void revisions_are_numbered_on_after_a_start(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    commit_late(f, 3);
    expect_changes(f, 1, 3);
    f->now_ms += INT64_C(400) * 86400000;
    commit_late(f, 4);
    expect_revision(f, 1, 7, 2);
    commit_late(f, 5);
    expect_revision(f, 2, 12, 3);
    stop(f); /* as kill -9 would: they are made again, and told to nobody */
    start(f, 1);
    struct changes *changes = ring_pop(&f->to_stream);
    for (assert_non_null(changes); changes; changes = ring_pop(&f->to_stream)) {
        for (size_t i = 0; i < changes->count; i++)
            assert_int_equal(changes->states[i].revision, 0);
        changes_free(changes);
    }
    commit_late(f, 6);
    expect_revision(f, 3, 18, 4);
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK); /* with a checkpoint */
    stop(f);
    start(f, 1);
    forget_changes(f);
    commit_late(f, 7);
    expect_revision(f, 4, 25, 5);
}

/* It dies when a settle is on disk, but not all that it changed: what closed periods have become is told by
 * the next start, once. */
static void a_start_tells_the_revisions_that_nobody_has_seen(void **state)
{
    struct fixture *f = *state;
    widen(f);
    start(f, 1);
    f->now_ms += INT64_C(400) * 86400000;
    step(f);
    forget_changes(f);
    hand_over_of(f, 3, WIDE_ORGS);
    f->busy = true;
    uint64_t changes_before = stats_get(&f->stats, STAT_changes);
    for (int i = 0; stats_get(&f->stats, STAT_changes) == changes_before; i++) { /* until the first part */
        assert_true(i < 20);
        step(f);
        while (ring_pop(&f->to_ingest))
            ;
    }
    step(f);
    expect_quiet(f);
    stop(f); /* as kill -9 would */
    f->busy = false;
    start(f, 1);
    size_t told = 0, rounds = 0;
    int64_t before_ms = INT64_MIN;
    for (struct changes *changes; (changes = ring_pop(&f->to_stream)); rounds++) {
        assert_true(changes->as_of_ms >= before_ms);
        before_ms = changes->as_of_ms;
        for (size_t i = 0; i < changes->count && changes->revised; i++) {
            assert_int_equal(changes->states[i].revision, 1);
            assert_true(changes->states[i].as_of_ms < before_ms);
            told++;
        }
        changes_free(changes);
    }
    assert_true(rounds >= 2);
    assert_true(told > WIDE_ORGS); /* the measure of each, and at the root */
    stop(f);                       /* now they are on disk */
    start(f, 1);
    for (struct changes *changes; (changes = ring_pop(&f->to_stream));) {
        assert_false(changes->revised);
        changes_free(changes);
    }
    commit_late(f, 4);
    expect_revision(f, 2, WIDE_ORGS * 3 + 4, WIDE_ORGS + f->seq - 1); /* of the first batch, and one each */
}

/* Everything is made again for another definition, but what subscribers have seen has its number, and a
 * closed period the definition that it was scored by. */
static void revisions_are_numbered_on_with_another_definition(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    commit_late(f, 3);
    f->now_ms += INT64_C(400) * 86400000;
    commit_late(f, 4);
    commit_late(f, 5);
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK);
    start_with(f, "c", 3);
    commit_late(f, 6);
    expect_revision(f, 3, 18, 4);
}

/* What the old definition still owes is journaled with the new one: here the revision of a backfill, which
 * nobody could make once all is made anew. */
static void a_changed_definition_leaves_no_revision_behind(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    commit_late(f, 3);
    f->now_ms += INT64_C(400) * 86400000;
    step(f);
    wire_builder_backfill(f->builder, WIRE_BACKFILL_RUNS);
    commit_late(f, 4);
    wire_builder_backfill(f->builder, WIRE_BACKFILL_NONE);
    forget_changes(f);
    start_with(f, "c", 3); /* as after kill -9 */
    commit_late(f, 5);
    expect_revision(f, 2, 12, 3);
}

/* ---- the numbers of series ---- */

static poise_code take_notes(void *visitor, const struct journal_record *record)
{
    struct journal_notes *notes = visitor;
    static struct arena arena; /* of the notes that were taken last */
    arena_reset(&arena);
    assert_true(record->batch_count > 0);
    return notes_decode(&record->batches[0], &arena, notes, NULL);
}

static struct journal_notes notes_of(struct fixture *f, uint64_t lsn)
{
    struct store_reader *reader;
    struct journal_notes notes = {0};
    assert_int_equal(store_reader_open(f->store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_journal(reader, lsn, lsn, NULL, take_notes, &notes, NULL), POISE_OK);
    store_reader_close(reader);
    return notes;
}

static void add_of(struct fixture *f, const char *measure, const char *org, const char *key, double value)
{
    poise_measurement row = {
        .measure = measure, .org = org, .key = key, .time_ms = start_ms - 1, .value = value, .of = 1};
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
}

/* The batch of what was added is journaled, with a record of its own. */
static struct journal_notes commit_noted(struct fixture *f)
{
    hand_over_all(f);
    step(f);
    uint64_t lsn = store_last_lsn(f->store);
    while (ring_pop(&f->to_ingest)) {
    }
    forget_changes(f);
    f->now_ms += 50;
    return notes_of(f, lsn);
}

static void the_journal_says_numbers_and_what_went(void **state)
{
    struct fixture *f = *state;
    start(f, 1);
    add_of(f, "m1", "a", NULL, 1);
    add_of(f, "unknown", "a", NULL, 1);
    add_of(f, "m0", "a", "k", 1);
    add_of(f, "m0", "b", "k", 2);
    struct journal_notes notes = commit_noted(f);
    static const uint32_t numbers[] = {0, JOURNAL_NO_SERIES, 1, 2};
    assert_int_equal(notes.series_count, 4);
    assert_memory_equal(notes.series, numbers, sizeof numbers);
    assert_int_equal(notes.gone_count, 1);
    assert_true(notes.gone[0].row == 3 && notes.gone[0].series == 1 && notes.gone[0].ordinal == 3 &&
                notes.gone[0].time_ms == start_ms - 1);
    start_with(f, "c", 2); /* as after kill -9 */
    add_of(f, "m0", "a", "k", 3);
    add_of(f, "m0", "c", NULL, 3);
    notes = commit_noted(f);
    assert_true(notes.series_count == 2 && notes.series[0] == 1 && notes.series[1] == 3);
    assert_int_equal(notes.gone_count, 1);
    assert_true(notes.gone[0].row == 0 && notes.gone[0].series == 2 && notes.gone[0].ordinal == 4);
}

static void numbers_outlive_the_definitions(void **state)
{
    struct fixture *f = *state;
    start_with(f, "c", 3);
    add_of(f, "m2", "a", NULL, 1);
    add_of(f, "m0", "a", NULL, 1);
    commit_noted(f);
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK);
    start_with(f, "d", 2); /* m2 is read no more: all is made anew */
    add_of(f, "m0", "b", NULL, 1);
    add_of(f, "m2", "b", NULL, 1);
    struct journal_notes notes = commit_noted(f);
    assert_true(notes.series_count == 2 && notes.series[0] == 2 && notes.series[1] == JOURNAL_NO_SERIES);
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK);
    start_with(f, "c", 3); /* and again */
    add_of(f, "m2", "b", NULL, 1);
    add_of(f, "m2", "a", NULL, 1);
    notes = commit_noted(f);
    assert_true(notes.series_count == 2 && notes.series[0] == 3 && notes.series[1] == 0);
}

/* Behind the journal's end, as by another version: a row of m0 at an org, with notes or without. */
static void append_row(struct fixture *f, const char *org, const uint32_t *number)
{
    struct batch batch = {0};
    struct journal_batch journaled;
    uint64_t lsn;
    add_of(f, "m0", org, NULL, 1);
    assert_int_equal(wire_builder_finish(f->builder, EPOCH, ++f->seq, &batch.body), POISE_OK);
    if (number)
        assert_int_equal(
            notes_encode(&(struct journal_notes){.series = number, .series_count = 1}, &batch.notes),
            POISE_OK);
    journaled = (struct journal_batch){.producer = "p",
                                       .epoch = EPOCH,
                                       .seq = f->seq,
                                       .rows = 1,
                                       .body = batch.body.data,
                                       .body_length = batch.body.length,
                                       .notes = batch.notes.data,
                                       .notes_length = batch.notes.length};
    const struct journal_record record = {.as_of_ms = f->now_ms,
                                          .first_ordinal = f->seq, /* each batch has one row */
                                          .min_time_ms = start_ms - 1,
                                          .max_time_ms = start_ms - 1,
                                          .batches = &journaled,
                                          .batch_count = 1};
    assert_int_equal(store_append(f->store, &record, &lsn, NULL), POISE_OK);
    batch_free(&batch);
}

/* Without notes, as older versions have written it, and with other numbers than there can be. */
static void numbers_follow_from_the_journal(void **state)
{
    struct fixture *f = *state;
    poise_error err = {0};
    start(f, 1);
    add_of(f, "m0", "a", NULL, 1);
    commit_noted(f);
    append_row(f, "b", NULL);
    append_row(f, "c", (const uint32_t[]){2});
    start_with(f, "c", 2);
    append_row(f, "b", (const uint32_t[]){1});
    append_row(f, "d", (const uint32_t[]){4});
    stop(f);
    assert_int_equal(try_start(f, 1, &err), POISE_ECORRUPT);
    assert_non_null(strstr(err.text, "a series of m0 at 'd' is number 3"));
}

/* ---- sources that fall silent ---- */

/* Takes what was handed over in and empties the queues behind the writer. */
static void take_in(struct fixture *f)
{
    struct changes *changes;
    do {
        step(f);
        while ((changes = ring_pop(&f->to_stream)))
            changes_free(changes);
        while (ring_pop(&f->to_ingest))
            ;
    } while (ring_count(&f->from_ingest) > 0);
}

static void hear(struct fixture *f, const char *source, double value)
{
    add(f, "", source, value);
    hand_over_all(f);
    take_in(f);
}

/* So much later, steps when the writer wants to. */
static void later(struct fixture *f, int64_t ms)
{
    int64_t end_ms = f->now_ms + ms;
    while (f->now_ms < end_ms) {
        int64_t idle_ms = writer_idle_ms(f->writer);
        f->now_ms = idle_ms < 0 || idle_ms > end_ms - f->now_ms ? end_ms : f->now_ms + idle_ms;
        take_in(f);
    }
}

/* What was logged of sources since the last call, without the times that stand before it. */
static void expect_log(struct fixture *f, const char *lines)
{
    char said[4096] = "";
    fflush(f->log.out);
    for (const char *line = f->said + f->read, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *event = memchr(line, ' ', (size_t)(end - line));
        if (event && memmem(event, (size_t)(end - event), "source", 6))
            snprintf(said + strlen(said), sizeof said - strlen(said), "%.*s\n", (int)(end - event - 1),
                     event + 1);
    }
    assert_string_equal(said, lines);
    f->read = f->said_length;
}

static void a_source_that_falls_silent_is_reported_once(void **state)
{
    struct fixture *f = *state;
    f->silent_after_ms = 3600000;
    start(f, 1);
    hear(f, "mes", 1);
    hear(f, "", 1);
    later(f, 1800000);
    hear(f, "", 1);
    later(f, 1799999);
    expect_log(f, "");
    later(f, 60000);
    expect_log(f, "warn source_silent source=mes since=2026-03-01T00:00:00.000Z\n");
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 1);
    later(f, 7200000);
    expect_log(f, "warn source_silent source=\"\" since=2026-03-01T00:30:00.000Z\n");
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 2);
    hear(f, "mes", 1e200); /* refused */
    hear(f, "new", 1e200);
    expect_log(f, "");
    hear(f, "mes", 1);
    expect_log(f, "info source_back source=mes since=2026-03-01T00:00:00.000Z\n");
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 1);
    later(f, 3600000 + 3600000 / 64);
    expect_log(f, "warn source_silent source=mes since=2026-03-01T03:00:59.999Z\n");
}

static void silence_counts_from_the_start(void **state)
{
    struct fixture *f = *state;
    f->silent_after_ms = 3600000;
    f->event_clock = true; /* nothing else is due */
    start(f, 1);
    hear(f, "mes", 1);
    later(f, 3500000);
    assert_in_range(writer_idle_ms(f->writer), 100000, 100001);
    stop(f);
    start(f, 1);
    later(f, 3599999);
    expect_log(f, "");
    later(f, 1);
    expect_log(f, "warn source_silent source=mes since=2026-03-01T00:58:20.000Z\n");
    stop(f);
    f->silent_after_ms = 0;
    start(f, 1);
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 0);
    later(f, 7200000);
    expect_log(f, "");
}

static void nobody_is_silent_whose_batches_only_wait(void **state)
{
    struct fixture *f = *state;
    f->silent_after_ms = 1000;
    start(f, 1);
    hear(f, "mes", 1);
    add(f, "", "mes", 1);
    hand_over_all(f);
    f->now_ms += 5000;
    take_in(f);
    expect_log(f, "");
}

static void a_burst_of_silence_does_not_fill_the_log(void **state)
{
    struct fixture *f = *state;
    char name[16];
    f->silent_after_ms = 1000;
    start(f, 1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof name, "s%d", i);
            add(f, "", name, 1);
        }
        hand_over_all(f);
        take_in(f);
        later(f, 1000);
    }
    fflush(f->log.out);
    int lines = 0;
    for (const char *at = f->said; (at = strstr(at, "source")); at = strchr(at, '\n'))
        lines++;
    assert_int_equal(lines, 100 + 1 + 100 + 1);
    assert_non_null(strstr(f->said, "more_sources count=200\n"));
    assert_non_null(strstr(f->said, "more_sources count=500\n")); /* back, and silent again */
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 300);
}

int main(void)
{
#define WRITER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WRITER_TEST(what_is_on_disk_is_published_and_given_back),
        WRITER_TEST(a_start_reads_the_checkpoint_and_what_came_after),
        WRITER_TEST(a_start_is_as_of_now),
        WRITER_TEST(by_the_event_clock_events_move_time),
        WRITER_TEST(what_has_no_room_on_disk_is_neither),
        WRITER_TEST(a_settle_in_slices_is_published_when_it_is_on_disk),
        WRITER_TEST(an_idle_writer_settles_with_the_commit),
        WRITER_TEST(a_settle_that_is_outrun_goes_in_one),
        WRITER_TEST(a_start_after_half_a_settle_makes_it_whole),
        WRITER_TEST(revisions_are_numbered_on_after_a_start),
        WRITER_TEST(a_start_tells_the_revisions_that_nobody_has_seen),
        WRITER_TEST(revisions_are_numbered_on_with_another_definition),
        WRITER_TEST(a_changed_definition_leaves_no_revision_behind),
        WRITER_TEST(the_journal_says_numbers_and_what_went),
        WRITER_TEST(numbers_outlive_the_definitions),
        WRITER_TEST(numbers_follow_from_the_journal),
        WRITER_TEST(a_source_that_falls_silent_is_reported_once),
        WRITER_TEST(silence_counts_from_the_start),
        WRITER_TEST(nobody_is_silent_whose_batches_only_wait),
        WRITER_TEST(a_burst_of_silence_does_not_fill_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
