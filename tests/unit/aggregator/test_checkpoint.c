/* Checkpoints come while others wait, and lose nothing of the settle that they are of. */
#include "writer_fixture.h"
#include <aggregator/audit.h>
#include <aggregator/definitions.h>

enum { MEASURES = 1000, MANY_MEASURES = 8000, DAY_MS = 86400000 };

/* A row at each of WIDE_ORGS changes all of so many measures there. */
static void start_by(struct fixture *f, const char *settings, int measures)
{
    scorecard_free(f->card);
    f->card = card_make_with("c", settings, measures, true);
    f->cards[0] = f->card;
    start(f, 1);
}

static void start_with(struct fixture *f, int measures)
{
    start_by(f, "period: year", measures);
}

/* What a settle changes goes to the journal in parts, and before the last of them is there the next rows are
 * in. */
static void they_come_under_a_load_without_a_pause(void **state)
{
    struct fixture *f = *state;
    start_with(f, MEASURES);
    f->busy = true;
    for (int i = 0; stats_get(&f->stats, STAT_checkpoints) < 2; i++) {
        assert_true(i < 400);
        if (ring_count(&f->from_ingest) < 2)
            hand_over_of(f, i, WIDE_ORGS);
        step(f);
        forget_all(f);
        f->now_ms += 50;
    }
    assert_true(stats_get(&f->stats, STAT_changes) > stats_get(&f->stats, STAT_settles) * CHANGES_PART);
    struct store_stats stored;
    assert_int_equal(store_stats(f->store, &stored, NULL), POISE_OK);
    assert_true(stored.state_lsn + 120 > stored.last_lsn); /* what a start replays */
    f->busy = false;
}

/* It begins with the first part on disk. Would it end before the last one, a start would begin behind the
 * settle, and the revisions of the other parts be told to nobody. */
static void it_does_not_end_before_its_changes_are_on_disk(void **state)
{
    struct fixture *f = *state;
    start_with(f, MANY_MEASURES);
    f->now_ms += INT64_C(400) * 86400000;
    for (int i = 0; i == 0 || writer_idle_ms(f->writer) == 0; i++) {
        assert_true(i < 100);
        step(f);
    }
    forget_all(f);
    uint64_t ended = stats_get(&f->stats, STAT_checkpoints);
    uint64_t slices = stats_get(&f->stats, STAT_checkpoint_slices), slices_before = slices;
    f->now_ms += 6000;
    hand_over_of(f, 3, WIDE_ORGS);
    f->busy = true;
    for (int i = 0; ring_count(&f->to_stream) == 0; i++) {
        assert_true(i < 100);
        assert_int_equal(stats_get(&f->stats, STAT_checkpoints), ended);
        slices = stats_get(&f->stats, STAT_checkpoint_slices);
        step(f);
        while (ring_pop(&f->to_ingest))
            ;
    }
    assert_true(slices > slices_before + 2); /* it was given out, and waited */
    for (int i = 0; stats_get(&f->stats, STAT_checkpoints) == ended; i++) {
        assert_true(i < 100);
        step(f);
        forget_all(f);
    }
    f->busy = false;
}

/* ---- keep ---- */

/* The revisions of a node as of the first end that has any, one behind the other, and what the log of changes
 * has beside them. */
struct told {
    int64_t end_ms;
    uint64_t revision;
    size_t changes, settles;
};

static poise_code note_told(void *visitor, const struct settles_change *change)
{
    struct told *told = visitor;
    const poise_state *state = change->state;
    told->settles += change->number == 1;
    told->changes++;
    if (!state->revision || state->org[0] || strcmp(state->node, "c/p/o/m0") != 0)
        return POISE_OK;
    if (told->revision == 0)
        told->end_ms = state->as_of_ms;
    if (state->as_of_ms == told->end_ms)
        assert_int_equal(state->revision, ++told->revision);
    return POISE_OK;
}

static struct told read_log(struct fixture *f)
{
    struct told told = {0};
    read_settles(f, note_told, &told);
    return told;
}

struct sum {
    double values;
    size_t count;
};

static poise_code add_up(void *visitor, const poise_state *state)
{
    struct sum *sum = visitor;
    sum->values += state->numbers.count > 0 ? state->numbers.value : 0;
    sum->count++;
    return POISE_OK;
}

/* A start would show what the journal alone says. */
static void audit_it(struct fixture *f)
{
    struct audit *audit;
    struct sum shown = {0}, again = {0};
    poise_error err = {0};
    stop(f);
    if (audit_open(f->path, &audit, &err) || audit_shown(audit, add_up, &shown, &err) ||
        audit_again(audit, 0, add_up, &again, &err))
        fail_msg("%s", err.text);
    assert_true(shown.count > (size_t)WIDE_ORGS * MEASURES && shown.count == again.count);
    assert_true(shown.values > 0 && shown.values == again.values);
    audit_close(audit);
}

/* At each org a row of now, and at some of them one of a day that is closed. */
static void hand_over_late(struct fixture *f, int late)
{
    for (int i = 0; i < WIDE_ORGS + late; i++) {
        char org[16];
        snprintf(org, sizeof org, "o%d", i % WIDE_ORGS);
        int64_t age_ms = i < WIDE_ORGS ? 1 : 3 * DAY_MS / 2;
        const poise_measurement row = {
            .measure = "m0", .org = org, .time_ms = f->now_ms - age_ms, .value = 1, .of = 1};
        assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
    }
    hand_over_all(f);
}

/* What the first rows made is old, and others keep coming until that is noted: before a checkpoint, so never
 * later than a settle behind the time for one. */
static void freeze_under_a_load(struct fixture *f, int late)
{
    start_by(f, "period: day\ngrace: 1h\nlock_after: 2d\nkeep: 2d", MEASURES);
    hand_over_late(f, 0);
    step(f);
    forget_all(f);
    f->busy = true;
    f->now_ms += INT64_C(5) * DAY_MS;
    for (int64_t until_ms = f->now_ms + 10000; stats_get(&f->stats, STAT_inputs_frozen) == 0;) {
        assert_true(f->now_ms < until_ms);
        if (ring_count(&f->from_ingest) < 2)
            hand_over_late(f, late);
        step(f);
        forget_all(f);
        f->now_ms += 200;
    }
}

struct place {
    bool more, between; /* the record before had more of its settle behind it; and this one is the note */
};

static poise_code note_place(void *visitor, const struct journal_record *record)
{
    struct place *place = visitor;
    place->between =
        place->more && record->orders && strcmp(record->batches[0].producer, FREEZE_PRODUCER) == 0;
    place->more = record->more;
    return POISE_OK;
}

/* The rest of what the settle has changed is to come. */
static void expect_between_parts(struct fixture *f)
{
    struct store_reader *reader;
    struct place place = {0};
    uint64_t last = store_last_lsn(f->store);
    assert_int_equal(store_reader_open(f->store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_journal(reader, last - 1, last, NULL, note_place, &place, NULL), POISE_OK);
    store_reader_close(reader);
    assert_true(place.between);
}

static void what_is_to_be_dropped_is_noted_under_a_load(void **state)
{
    struct fixture *f = *state;
    freeze_under_a_load(f, 1);
    expect_between_parts(f);
    struct told before = read_log(f);
    uint64_t ended = stats_get(&f->stats, STAT_checkpoints);
    for (int i = 0; stats_get(&f->stats, STAT_checkpoints) == ended; i++) {
        assert_true(i < 100);
        step(f);
        forget_all(f);
    }
    struct told after = read_log(f);
    assert_true(after.settles > before.settles && after.revision > before.revision);
    f->busy = false;
    audit_it(f);
}

/* Killed there, the next start tells the rest, and each revision once. */
static void a_start_between_that_note_and_the_rest_of_its_settle(void **state)
{
    struct fixture *f = *state;
    freeze_under_a_load(f, 1);
    expect_between_parts(f);
    struct told before = read_log(f);
    f->busy = false;
    while (ring_pop(&f->from_ingest))
        ;
    audit_it(f);
    start(f, 1);
    assert_int_equal(stats_get(&f->stats, STAT_inputs_frozen), 1);
    struct told after = read_log(f);
    assert_int_equal(after.settles, before.settles + 1);
    assert_int_equal(after.revision, before.revision + 1);
    assert_true(after.changes - before.changes > (size_t)2 * CHANGES_PART);
    audit_it(f);
}

/* Each batch has closed periods looked at anew, of more nodes than a slice has. */
static void neither_waits_for_late_rows_to_end(void **state)
{
    struct fixture *f = *state;
    freeze_under_a_load(f, WIDE_ORGS);
    assert_true(stats_get(&f->stats, STAT_checkpoints) > 0);
    assert_true(read_log(f).revision > 0);
    f->busy = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(they_come_under_a_load_without_a_pause),
        WRITER_TEST(it_does_not_end_before_its_changes_are_on_disk),
        WRITER_TEST(what_is_to_be_dropped_is_noted_under_a_load),
        WRITER_TEST(a_start_between_that_note_and_the_rest_of_its_settle),
        WRITER_TEST(neither_waits_for_late_rows_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
