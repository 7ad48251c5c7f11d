/* The writer over a store on disk: what ingest and the stream are given, and when. */
#include "writer_fixture.h"
#include <aggregator/audit.h>
#include <aggregator/inquiry.h>
#include <aggregator/numbers.h>
#include <math.h>
#include <store/notes.h>

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

static void without_room_an_order_is_refused(void **state)
{
    struct fixture *f = *state;
    struct inquiry *order = order_restate(), *losses = calloc(1, sizeof *losses);
    assert_non_null(losses);
    losses->id = 2;
    losses->losses = true;
    start(f, 1);
    stop(f);
    start(f, INT64_MAX);
    hand_over(f, 3);
    step(f);
    assert_true(ring_push(&f->to_restate, order) && ring_push(&f->to_restate, losses));
    step(f); /* it is not yet time to try again */
    assert_true(stats_get(&f->stats, STAT_commit_retries) == 1);
    assert_ptr_equal(ring_pop(&f->restated), order);
    assert_int_equal(order->error.code, POISE_EFULL);
    assert_ptr_equal(ring_pop(&f->restated), losses); /* which need no room */
    assert_int_equal(losses->error.code, POISE_OK);
    assert_int_equal(losses->count, 1);
    inquiry_free(order);
    inquiry_free(losses);
}

/* ---- audits ---- */

struct audited {
    double sum;
    size_t count;
};

static poise_code add_up(void *visitor, const poise_state *state)
{
    struct audited *audited = visitor;
    if (strcmp(state->node, "c/p/o/m0") == 0)
        audited->sum += state->numbers.value;
    audited->count++;
    return POISE_OK;
}

/* Of all orgs' m0, as a start would show them, and from the journal alone. */
static void audit_store(struct fixture *f, struct audited *shown, struct audited *again)
{
    struct audit *audit = NULL;
    poise_error err = {0};
    *shown = *again = (struct audited){0};
    if (audit_open(f->path, &audit, &err) != POISE_OK)
        fail_msg("%s", err.text);
    assert_int_equal(audit_cards(audit), 1);
    assert_int_equal(audit_shown(audit, add_up, shown, &err), POISE_OK);
    assert_int_equal(audit_again(audit, 0, add_up, again, &err), POISE_OK);
    audit_close(audit);
}

struct swap {
    struct buf keys[2], values[2];
    size_t count;
};

static poise_code take_two(void *visitor, struct cursor key, struct cursor value)
{
    struct swap *swap = visitor;
    buf_put(&swap->keys[swap->count], key.at, cursor_left(&key));
    buf_put(&swap->values[swap->count], value.at, cursor_left(&value));
    return ++swap->count < 2 ? POISE_OK : POISE_ECLOSED;
}

/* A cell says what another one does, with a CRC that is right. */
static void put_a_wrong_cell(struct fixture *f)
{
    struct swap swap = {0};
    struct store_options options = {.path = f->path, .map_bytes = 1 << 20, .free_bytes = 1};
    assert_int_equal(store_open(&options, &f->store, NULL), POISE_OK);
    assert_int_equal(store_walk(f->store, STORE_CELLS, take_two, &swap, NULL), POISE_ECLOSED);
    struct store_mark mark = store_mark(f->store);
    assert_int_equal(store_checkpoint_begin(f->store, NULL), POISE_OK);
    store_put(f->store, STORE_CELLS, swap.keys[1].data, swap.keys[1].length, swap.values[0].data,
              swap.values[0].length);
    assert_int_equal(store_checkpoint_commit(f->store, &mark, NULL), POISE_OK);
    stop(f);
    for (int i = 0; i < 2; i++) {
        buf_free(&swap.keys[i]);
        buf_free(&swap.values[i]);
    }
}

static void an_audit_compares_the_state_with_the_journal(void **state)
{
    struct fixture *f = *state;
    struct audited shown, again;
    start(f, 1);
    add(f, "a", "", 3);
    add(f, "b", "", 4);
    hand_over_all(f);
    step(f);
    stop(f); /* before any checkpoint */
    audit_store(f, &shown, &again);
    assert_true(shown.sum == 14 && shown.sum == again.sum && shown.count == again.count);
    start(f, 1);
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK);
    hand_over(f, 5); /* behind the checkpoint */
    step(f);
    stop(f);
    audit_store(f, &shown, &again);
    assert_true(shown.sum == 19 && shown.sum == again.sum && shown.count == again.count);
    put_a_wrong_cell(f);
    audit_store(f, &shown, &again);
    assert_true(shown.sum != 19 && again.sum == 19 && shown.count == again.count);
}

static void an_audit_of_nothing_is_fine(void **state)
{
    struct fixture *f = *state;
    struct audit *audit = NULL;
    poise_error err = {0};
    start(f, 1);
    assert_int_equal(audit_open(f->path, &audit, &err), POISE_EBUSY);
    stop(f);
    assert_int_equal(audit_open(f->path, &audit, &err), POISE_OK);
    struct audited shown = {0};
    assert_int_equal(audit_shown(audit, add_up, &shown, &err), POISE_OK);
    assert_int_equal(shown.count, 0);
    audit_close(audit);
    audit_close(NULL);
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

static void come_64(struct fixture *f)
{
    for (int i = 0; i < 64; i++)
        add(f, "", "", 1);
    hand_over_all(f);
}

static void come_65(struct fixture *f)
{
    add(f, "", "", 1);
    come_64(f);
}

/* A step may be one of upkeep. */
static void step_to_commit(struct fixture *f)
{
    uint64_t before = store_last_lsn(f->store);
    for (int i = 0; i < 5 && store_last_lsn(f->store) == before; i++)
        step(f);
}

/* Its batches are given back when they are in the scores, all the same. */
static void a_writer_that_was_busy_commits_first_what_costs_more_to_settle(void **state)
{
    struct fixture *f = *state;
    static void (*const comes[])(struct fixture *) = {come_64, come_65};
    double sum = 0;
    start(f, 1);
    for (uint64_t i = 0, lsn = 0; i < 2; i++) {
        come_65(f); /* alone: it is not busy */
        step_to_commit(f);
        sum += 65;
        assert_int_equal(store_last_lsn(f->store), ++lsn);
        expect_changes(f, lsn, sum);
        hand_over(f, 1);
        f->coming = comes[i];
        step_to_commit(f); /* more is there when it is on disk */
        assert_int_equal(store_last_lsn(f->store), ++lsn);
        expect_changes(f, lsn, ++sum);
        step_to_commit(f);
        lsn += 1 + i; /* and the settle's own */
        sum += 64 + (double)i;
        assert_int_equal(store_last_lsn(f->store), lsn);
        expect_changes(f, lsn, sum);
        for (int batch = 0; batch < 3; batch++)
            assert_non_null(ring_pop(&f->to_ingest));
    }
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

/* What the log of changes has. */
struct told {
    size_t changes, revisions, settles;
    uint64_t last_lsn; /* and of its last settle: */
    size_t last_changes;
};

static poise_code note_told(void *visitor, const struct settles_change *change)
{
    struct told *told = visitor;
    told->settles += change->number == 1;
    told->last_changes = change->number;
    told->last_lsn = change->lsn;
    told->changes += change->state->revision == 0;
    told->revisions += change->state->revision > 0;
    return POISE_OK;
}

static struct told read_log(struct fixture *f)
{
    struct told told = {0};
    read_settles(f, note_told, &told);
    return told;
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
    struct told before = read_log(f);
    stop(f); /* as kill -9 would */
    f->busy = false;
    start(f, 1);
    struct told after = read_log(f);
    assert_int_equal(after.settles,
                     before.settles + 1); /* the one that was cut short is in the next, whole */
    assert_true(after.changes - before.changes > WIDE_ORGS);
    assert_true(after.revisions - before.revisions > WIDE_ORGS);
    assert_int_equal(after.changes + after.revisions - before.changes - before.revisions, after.last_changes);
    size_t told = 0, rounds = 0;
    uint64_t shown_lsn = 0;
    int64_t before_ms = INT64_MIN;
    for (struct changes *changes; (changes = ring_pop(&f->to_stream)); rounds++) {
        assert_true(changes->as_of_ms >= before_ms);
        before_ms = changes->as_of_ms;
        assert_int_equal(changes->whole, rounds == 0);
        assert_int_equal(changes->again, rounds == 1); /* those of the states that nobody was told */
        assert_true(rounds != 1 || (changes->lsn == shown_lsn && changes->count == CHANGES_PART));
        shown_lsn = changes->lsn;
        for (const struct changes *part = changes; part; part = part->next)
            for (size_t i = 0; i < part->count; i++)
                if (part->states[i].revision) {
                    assert_false(changes->again);
                    assert_int_equal(part->states[i].revision, 1);
                    assert_true(part->states[i].as_of_ms < before_ms);
                    told++;
                }
        changes_free(changes);
    }
    assert_true(rounds >= 3);
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
    struct told told = read_log(f);
    assert_int_equal(told.last_changes, f->card->node_count); /* which may make all scores others */
    stop(f);
    start(f, 1); /* once */
    forget_changes(f);
    assert_int_equal(read_log(f).settles, told.settles);
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

/* ---- its own numbers, as they are told ---- */

static double told(struct fixture *f, const char *name)
{
    struct arena arena = {0};
    struct buf out = {0};
    struct wire_stats stats;
    double value = NAN;
    assert_int_equal(numbers_put(1, &f->stats, f->store, &out, NULL), POISE_OK);
    assert_int_equal(wire_decode_stats(out.data, out.length, &arena, &stats, NULL), POISE_OK);
    for (size_t i = 0; i < stats.count; i++)
        if (strcmp(stats.names[i], name) == 0)
            value = stats.values[i];
    assert_true(value >= 0);
    arena_free(&arena);
    buf_free(&out);
    return value;
}

/* With each look at the clock. */
static void a_millisecond_goes_by(struct fixture *f)
{
    f->now_ms++;
    f->coming = a_millisecond_goes_by;
}

static void what_was_done_is_told(void **state)
{
    enum { COMMITS = 3 };
    struct fixture *f = *state;
    start(f, 1);
    f->coming = a_millisecond_goes_by;
    for (int i = 1; i <= COMMITS; i++) {
        const poise_measurement unknown = {.measure = "unknown", .time_ms = start_ms - 1, .of = 1};
        for (int k = 0; k < i; k++)
            assert_int_equal(wire_builder_add(f->builder, &unknown), POISE_OK);
        hand_over(f, i);
        step(f);
        f->now_ms += 50;
    }
    assert_true(told(f, "poise_commits") == COMMITS);
    assert_true(told(f, "poise_rows_accepted") == COMMITS && told(f, "poise_rows_refused") == 1 + 2 + 3);
    double settles = told(f, "poise_settles");
    assert_true(settles >= COMMITS && told(f, "poise_settle_us") >= 1000 * settles);
    assert_true(told(f, "poise_settle_time_us_count") == settles);
    assert_true(told(f, "poise_settle_time_us_bucket{le=\"768\"}") == 0);
    assert_true(told(f, "poise_settle_time_us_bucket{le=\"1024\"}") > 0);
    assert_true(told(f, "poise_settle_time_us_bucket{le=\"+Inf\"}") == settles);
    assert_true(told(f, "poise_settle_time_us_sum") == told(f, "poise_settle_us"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(what_is_on_disk_is_published_and_given_back),
        WRITER_TEST(a_start_reads_the_checkpoint_and_what_came_after),
        WRITER_TEST(a_start_is_as_of_now),
        WRITER_TEST(by_the_event_clock_events_move_time),
        WRITER_TEST(what_has_no_room_on_disk_is_neither),
        WRITER_TEST(without_room_an_order_is_refused),
        WRITER_TEST(an_audit_compares_the_state_with_the_journal),
        WRITER_TEST(an_audit_of_nothing_is_fine),
        WRITER_TEST(a_settle_in_slices_is_published_when_it_is_on_disk),
        WRITER_TEST(an_idle_writer_settles_with_the_commit),
        WRITER_TEST(a_writer_that_was_busy_commits_first_what_costs_more_to_settle),
        WRITER_TEST(a_settle_that_is_outrun_goes_in_one),
        WRITER_TEST(a_start_after_half_a_settle_makes_it_whole),
        WRITER_TEST(revisions_are_numbered_on_after_a_start),
        WRITER_TEST(a_start_tells_the_revisions_that_nobody_has_seen),
        WRITER_TEST(revisions_are_numbered_on_with_another_definition),
        WRITER_TEST(a_changed_definition_leaves_no_revision_behind),
        WRITER_TEST(the_journal_says_numbers_and_what_went),
        WRITER_TEST(numbers_outlive_the_definitions),
        WRITER_TEST(numbers_follow_from_the_journal),
        WRITER_TEST(what_was_done_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
