/* Checkpoints come while others wait, and lose nothing of the settle that they are of. */
#include "writer_fixture.h"

enum { MEASURES = 1000, MANY_MEASURES = 8000 };

/* A row at each of WIDE_ORGS changes all of so many measures there. */
static void start_with(struct fixture *f, int measures)
{
    scorecard_free(f->card);
    f->card = card_make_of("c", measures, true);
    f->cards[0] = f->card;
    start(f, 1);
}

static void take_all(struct fixture *f)
{
    while (ring_pop(&f->to_ingest))
        ;
    while (ring_count(&f->to_stream) > 0)
        changes_free(ring_pop(&f->to_stream));
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
        take_all(f);
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
    take_all(f);
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
        take_all(f);
    }
    f->busy = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(they_come_under_a_load_without_a_pause),
        WRITER_TEST(it_does_not_end_before_its_changes_are_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
