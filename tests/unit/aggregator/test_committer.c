/* The writer prepares a commit while the one before is on its way to the disk: what is said of either, and
 * when. */
#include "writer_fixture.h"
#include <aggregator/inquiry.h>
#include <aggregator/restate.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { ROUNDS = 150, WIDE_ROWS = 400 };

static const char card_text[] =
    "scorecard: c\n"
    "period: year\n"
    "perspectives:\n"
    "  - id: p\n"
    "    objectives:\n"
    "      - id: o\n"
    "        measures:\n"
    "          - {id: m0, aggregate: sum, score: {linear: {from: 0, to: 9}}}\n"
    "          - {id: mid, input: m0, aggregate: p50, score: {linear: {from: 0, to: 9}}}\n";

/* With a first record on the disk, which has the definitions. */
static void start_overlapping(struct fixture *f)
{
    struct problems problems = {0};
    scorecard_free(f->card);
    f->card = NULL;
    assert_int_equal(scorecard_read_bytes("c", card_text, sizeof card_text - 1, &f->card, &problems),
                     POISE_OK);
    problems_free(&problems);
    f->cards[0] = f->card;
    f->overlaps = true;
    start(f, 1);
    f->now_ms += 60;
}

static void add_keyed(struct fixture *f, const char *key, double value)
{
    const poise_measurement row = {
        .measure = "m0", .key = key, .time_ms = start_ms - 1, .value = value, .of = 1};
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
}

/* On the disk, published, and given back. */
static void commit_alone(struct fixture *f)
{
    struct batch *batch = hand_over_all(f);
    step(f);
    assert_false(writer_commits(f->writer));
    assert_ptr_equal(ring_pop(&f->to_ingest), batch);
    forget_changes(f);
}

/* What was added is sent to the committer: `come` hands over what comes meanwhile. */
static struct batch *send_away(struct fixture *f, void (*come)(struct fixture *f))
{
    struct batch *batch = hand_over_all(f);
    f->coming = come;
    step(f);
    assert_true(writer_commits(f->writer));
    assert_int_equal(ring_count(&f->from_ingest), 1);
    return batch;
}

static void come_4(struct fixture *f)
{
    hand_over(f, 4);
}

static void expect_nothing_said(struct fixture *f, uint64_t last_lsn)
{
    assert_int_equal(store_last_lsn(f->store), last_lsn);
    assert_int_equal(ring_count(&f->to_ingest), 0);
    assert_int_equal(ring_count(&f->to_stream), 0);
}

/* The numbers of a node at the root in the changes that were published last. */
static poise_score published_of(struct fixture *f, const char *node, uint64_t lsn)
{
    poise_score numbers = {.value = -1};
    uint64_t last = 0;
    for (struct changes *changes; (changes = ring_pop(&f->to_stream)); changes_free(changes)) {
        assert_true(changes->lsn > last || changes->count == 0); /* T alone has moved */
        last = changes->count > 0 ? changes->lsn : last;
        for (size_t i = 0; i < changes->count; i++)
            if (strcmp(changes->states[i].node, node) == 0)
                numbers = changes->states[i].numbers;
    }
    assert_int_equal(last, lsn);
    return numbers;
}

static double published(struct fixture *f, const char *node, uint64_t lsn)
{
    return published_of(f, node, lsn).value;
}

static void nothing_is_said_before_the_sync(void **state)
{
    struct fixture *f = *state;
    start_overlapping(f);
    add(f, "", "", 1);
    commit_alone(f);
    f->now_ms += 60;
    add(f, "", "", 2);
    struct batch *batch = send_away(f, come_4);
    for (int i = 0; i < 3; i++) { /* the next one is gathered, settled and encoded */
        f->now_ms += 60;
        step(f);
        expect_nothing_said(f, 1);
    }
    assert_int_equal(ring_count(&f->from_ingest), 0);
    assert_int_equal(writer_idle_ms(f->writer), -1);
    writer_commit(f->writer);
    assert_int_equal(store_last_lsn(f->store), 2);
    assert_ptr_equal(ring_pop(&f->to_ingest), batch);
    assert_null(ring_pop(&f->to_ingest));
    assert_true(published(f, "c/p/o/m0", 2) == 3);
    assert_int_equal(writer_idle_ms(f->writer), 0);
    step(f);
    assert_int_equal(store_last_lsn(f->store), 3);
    assert_non_null(ring_pop(&f->to_ingest));
    assert_true(published(f, "c/p/o/m0", 3) == 7);
}

/* Whoever is idle has it on the disk at once. */
static void nobody_waits_for_the_committer_alone(void **state)
{
    struct fixture *f = *state;
    start_overlapping(f);
    for (uint64_t lsn = 1; lsn <= 3; lsn++) {
        add(f, "", "", 1);
        commit_alone(f);
        assert_int_equal(store_last_lsn(f->store), lsn);
        f->now_ms += 60;
    }
    assert_int_equal(stats_get(&f->stats, STAT_commits_overlapped), 0);
}

/* What grows while a commit is away is one commit, with one T. */
static void it_grows_until_the_disk_is_free(void **state)
{
    struct fixture *f = *state;
    start_overlapping(f);
    add(f, "", "", 1);
    commit_alone(f);
    add(f, "", "", 1);
    send_away(f, come_4);
    step(f);
    int64_t as_of_ms = f->now_ms;
    f->now_ms += 20;
    hand_over(f, 5);
    step(f);
    assert_int_equal(ring_count(&f->from_ingest), 0);
    expect_nothing_said(f, 1);
    writer_commit(f->writer);
    step(f);
    assert_int_equal(store_last_lsn(f->store), 3);
    assert_int_equal(ring_count(&f->to_ingest), 3);
    changes_free(ring_pop(&f->to_stream)); /* of the one that was away */
    struct changes *changes = ring_pop(&f->to_stream);
    assert_non_null(changes);
    assert_int_equal(changes->lsn, 3);
    assert_int_equal(changes->as_of_ms, as_of_ms);
    changes_free(changes);
    stop(f); /* as kill -9 would */
    start(f, 1);
    assert_true(published(f, "c/p/o/m0", 3) == 11);
}

/* ---- rows again ---- */

static void come_correction(struct fixture *f)
{
    add_keyed(f, "k", 10);
    hand_over_all(f);
}

static void come_retraction(struct fixture *f)
{
    const poise_measurement row = {
        .measure = "m0", .key = "k", .time_ms = start_ms - 1, .of = 1, .retract = true};
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
    hand_over_all(f);
}

/* The commit is on the disk, and its batch is used again, but the writer has not seen that yet. */
static void write_meanwhile(struct fixture *f)
{
    writer_commit(f->writer);
    struct batch *batch = ring_pop(&f->to_ingest);
    assert_non_null(batch);
    batch_reset(batch);
    forget_changes(f);
}

/* A quantile that is left with 64 rows is made of these: on the disk, on the way there, at hand. */
static void reread(struct fixture *f, bool is_written)
{
    start_overlapping(f);
    add_keyed(f, "k", 13);
    for (int i = 0; i < 31; i++)
        add(f, "", "", 10);
    commit_alone(f);
    for (int i = 0; i < 33; i++)
        add(f, "", "", 50);
    send_away(f, come_retraction);
    f->coming = is_written ? write_meanwhile : NULL;
    f->now_ms += 60;
    step(f);
    assert_null(f->coming);
    if (!is_written)
        writer_commit(f->writer);
    step(f);
    assert_int_equal(store_last_lsn(f->store), 3);
    poise_score numbers = published_of(f, "c/p/o/mid", 3);
    assert_true(numbers.value == 50);
    assert_int_equal(numbers.count, 64);
}

static void rows_on_their_way_are_reread(void **state)
{
    reread(*state, false);
}

static void rows_that_have_just_arrived_are_reread_once(void **state)
{
    reread(*state, true);
}

/* ---- no room ---- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void without_room_both_wait(void **state)
{
    struct fixture *f = *state;
    start_overlapping(f);
    add(f, "", "", 1);
    commit_alone(f);
    f->now_ms += 60;
    add(f, "", "", 2);
    send_away(f, come_4);
    f->now_ms += 60;
    step(f); /* the next one is encoded */
    signal(SIGXFSZ, SIG_IGN);
    limit_files(0);
    writer_commit(f->writer);
    for (int i = 0; i < 3; i++) {
        step(f);
        expect_nothing_said(f, 1);
        f->now_ms += 1000;
    }
    assert_int_equal(stats_get(&f->stats, STAT_commit_retries), 3);
    limit_files(RLIM_INFINITY);
    for (int i = 0; i < 3; i++)
        step(f);
    assert_int_equal(store_last_lsn(f->store), 3);
    assert_int_equal(ring_count(&f->to_ingest), 2);
    assert_true(published(f, "c/p/o/m0", 3) == 7);
}

static void come_wide(struct fixture *f)
{
    for (int i = 0; i < WIDE_ROWS; i++)
        add(f, "", "", 1);
    hand_over_all(f);
}

/* Which only the writer's own thread may do. */
static void the_map_grows_under_way(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    uint64_t sent = 0;
    start_overlapping(f);
    add(f, "", "", 1);
    commit_alone(f);
    for (int i = 0; i < ROUNDS; i++) {
        f->now_ms++;
        come_wide(f);
        f->coming = come_wide;
        for (int steps = 0; ring_count(&f->to_ingest) < 2; steps++) {
            assert_true(steps < 10);
            step(f);
            sent += writer_commits(f->writer);
            writer_commit(f->writer);
        }
        while (ring_pop(&f->to_ingest))
            ;
        forget_changes(f);
    }
    assert_int_equal(store_stats(f->store, &stats, NULL), POISE_OK);
    assert_true(stats.map_bytes > 1 << 20 && sent >= ROUNDS);
    fflush(f->log.out);
    assert_null(strstr(f->said, "no_room"));
}

/* ---- orders ---- */

/* It is carried out behind all that was taken before, with nothing on its way. */
static void an_order_waits_for_the_disk(void **state)
{
    struct fixture *f = *state;
    start_overlapping(f);
    add(f, "", "", 1);
    commit_alone(f);
    add(f, "", "", 2);
    send_away(f, come_4);
    step(f); /* what has come is at hand */
    struct inquiry *inquiry = order_restate();
    assert_int_equal(restate_find(inquiry->restate, f->store, NULL), POISE_OK);
    assert_true(ring_push(&f->to_restate, inquiry));
    hand_over(f, 5);
    for (int i = 0; i < 3; i++) {
        f->now_ms += 60;
        step(f);
        expect_nothing_said(f, 1);
        assert_int_equal(ring_count(&f->restated), 0);
    }
    assert_int_equal(writer_idle_ms(f->writer), -1);
    writer_commit(f->writer);
    for (int i = 0; i < 3; i++)
        step(f);
    assert_ptr_equal(ring_pop(&f->restated), inquiry);
    assert_true(inquiry->restate->lsn > 2);
    assert_int_equal(store_last_lsn(f->store), inquiry->restate->lsn);
    assert_int_equal(ring_count(&f->to_ingest), 3);
    inquiry_free(inquiry);
}

/* ---- slices ---- */

enum { MANY_BATCHES = 170, MANY_ROWS = 1000 };

/* Unless all batches of the pool are under way. */
static void come_keyed(struct fixture *f)
{
    if (f->seq - f->back >= POOL - 1)
        return;
    for (int i = 0; i < MANY_ROWS; i++) {
        char key[32];
        snprintf(key, sizeof key, "%d", (int)f->seq * MANY_ROWS + i);
        add_keyed(f, key, 1);
    }
    hand_over_all(f);
}

static void take_all(struct fixture *f)
{
    while (ring_pop(&f->to_ingest))
        f->back++;
    forget_changes(f);
}

static void gather_keys(struct fixture *f)
{
    for (uint64_t end = f->seq + MANY_BATCHES; f->seq < end;) {
        if (ring_count(&f->from_ingest) == 0)
            come_keyed(f);
        step(f);
        writer_commit(f->writer);
        take_all(f);
    }
}

static uint64_t slices_written(const struct fixture *f)
{
    return stats_get(&f->stats, STAT_checkpoint_slices) + stats_get(&f->stats, STAT_upkeep_slices);
}

/* The most slices that were written behind one commit, until a checkpoint is done. */
static uint64_t most_slices(struct fixture *f, bool waits)
{
    uint64_t most = 0, done = stats_get(&f->stats, STAT_checkpoints);
    gather_keys(f);
    f->now_ms += 6000;
    for (int i = 0; stats_get(&f->stats, STAT_checkpoints) == done; i++) {
        assert_true(i < 2000);
        if (ring_count(&f->from_ingest) == 0)
            come_keyed(f);
        f->coming = come_keyed;
        step(f);
        f->now_ms += waits ? 60 : 0; /* what is at hand is to be settled */
        if (waits && writer_commits(f->writer))
            step(f);
        uint64_t before = slices_written(f);
        writer_commit(f->writer);
        most = slices_written(f) - before > most ? slices_written(f) - before : most;
        take_all(f);
    }
    return most;
}

/* Where many keys wait a commit owes several; but who comes meanwhile waits for one. */
static void who_waits_waits_for_one_slice(void **state)
{
    struct fixture *f = *state;
    f->map_bytes = 256 << 20;
    start_overlapping(f);
    assert_int_equal(most_slices(f, true), 1);
    assert_in_range(most_slices(f, false), 2, 100);
    while (writer_commits(f->writer))
        writer_commit(f->writer);
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK);
    uint64_t rows = stats_get(&f->stats, STAT_rows_accepted), last = store_last_lsn(f->store);
    take_all(f);
    assert_true(f->back == f->seq && rows == f->seq * MANY_ROWS);
    stop(f);
    start(f, 1);
    assert_true(published(f, "c/p/o/m0", last) == (double)rows);
}

/* ---- two threads ---- */

struct thread {
    struct fixture *f;
    _Atomic bool stop;
};

static void *commit_always(void *context)
{
    struct thread *thread = context;
    while (!thread->stop)
        writer_commit(thread->f->writer);
    return NULL;
}

/* Every sum is published with the LSN that has it, and is on the disk. */
static uint64_t take_published(struct fixture *f, uint64_t last)
{
    for (struct changes *changes; (changes = ring_pop(&f->to_stream)); changes_free(changes)) {
        assert_true(changes->lsn > last || changes->count == 0);
        assert_true(changes->lsn <= store_last_lsn(f->store));
        last = changes->count > 0 ? changes->lsn : last;
    }
    return last;
}

static void it_works_in_a_thread(void **state)
{
    struct fixture *f = *state;
    struct thread thread = {.f = f};
    pthread_t committer;
    uint64_t back = 0, last = 0;
    f->map_bytes = 64 << 20;
    start_overlapping(f);
    add_keyed(f, "k", 13);
    commit_alone(f);
    f->now_ms += 60;
    assert_int_equal(pthread_create(&committer, NULL, commit_always, &thread), 0);
    uint64_t first = f->seq;
    for (int i = 0; i < ROUNDS; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        add(f, "", "", 50 + i);
        add_keyed(f, key, 0);
        hand_over_all(f);
        f->coming = come_correction;
        f->now_ms += i % 10 == 0 ? 6000 : 0; /* a checkpoint is due */
        do {
            step(f);
            for (struct batch *batch; (batch = ring_pop(&f->to_ingest)); back++)
                batch_reset(batch);
            last = take_published(f, last);
        } while (back < f->seq - first);
    }
    while (writer_commits(f->writer))
        ;
    assert_int_equal(writer_finish(f->writer, NULL), POISE_OK);
    thread.stop = true;
    pthread_join(committer, NULL);
    assert_true(stats_get(&f->stats, STAT_commits_overlapped) > 0);
    assert_true(stats_get(&f->stats, STAT_checkpoints) > ROUNDS / 50);
    take_published(f, last);
    last = store_last_lsn(f->store);
    stop(f);
    start(f, 1);
    assert_true(published(f, "c/p/o/m0", last) == ROUNDS * (50 + (ROUNDS - 1) / 2.0) + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(nothing_is_said_before_the_sync),
        WRITER_TEST(nobody_waits_for_the_committer_alone),
        WRITER_TEST(it_grows_until_the_disk_is_free),
        WRITER_TEST(rows_on_their_way_are_reread),
        WRITER_TEST(rows_that_have_just_arrived_are_reread_once),
        WRITER_TEST(without_room_both_wait),
        WRITER_TEST(the_map_grows_under_way),
        WRITER_TEST(an_order_waits_for_the_disk),
        WRITER_TEST(who_waits_waits_for_one_slice),
        WRITER_TEST(it_works_in_a_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
