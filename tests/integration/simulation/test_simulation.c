/* Whatever comes in whatever order, whoever dies whenever: everybody who asks sees the same scores, to the
 * bit, and those that follow from what was accepted. simulation.h says what is simulated.
 *
 * Checked all along:
 *  - the journal has of each producer exactly the rows that were offered to its spool, each once, in order,
 * or a loss that counts them where the spool was full and dropped them; a row is acknowledged when the
 * journal has it, and who sent one that was refused is told (producers.c)
 *  - of a spool that was copied, and all of whose copies send, no row counts twice; what does not count is
 * told as in doubt, and a loss (forks.c)
 *  - what a subscriber has at a READY is what an offline engine makes of the journal up to that lsn as of
 * that T, and its filter leaves of it; neither lsn nor T goes back; of a node's and period's revisions
 * none is left out but by a RESET, none comes twice, and what is shown is journaled (subscribers.c)
 *  - T never goes back in the journal; revisions of a node and period are numbered 1, 2, 3, ... over crashes
 *    and changed definitions; what is on disk after a crash is what was appended (journal.c)
 *  - an order to erase names what the journal has of it; from then on nobody's scores have it, and once the
 * store says that it is gone no run and no record has it (erased.c)
 *  - what `keep` has frozen is dropped, and nothing else; an order lets in all that it names
 *  - an answer to poise_get, poise_ask, poise_restate or poise_erase is right, or there is none
 * and here, now and then and at the end of a seed, when all is quiet:
 *  - poise_get is the offline engine's states, the sum of the journaled changes, and each subscriber's view;
 *    and after a crash with nothing new it is what it was before
 *  - a count leaf counts each event once that is not lost, and poise_get_losses names all that are. */
#include "simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 4000, SEEDS = 13 };

static struct {
    int64_t full_until_us; /* of the disk */
    int64_t asleep_until_us[PRODUCERS + SUBSCRIBERS];
    int64_t steady; /* how seldom the wall clock is set back */
    bool given_up;  /* a restatement was not answered */
    bool quiet;     /* nothing new comes */
    bool producing; /* a producer moves */
    bool nested;    /* a client asks while another waits */
    size_t calms, answers, restated, rescored, erased, copied, revisions;
} world;

static void rescore_something(void)
{
    poise_rescored rescored;
    if (rescore(&rescored)) {
        world.rescored += rescored.revised;
        assert_true(rescored.lsn <= journal_lsn() && (rescored.lsn > 0) == (rescored.scorecards > 0));
    }
}

/* ---- when all is quiet ---- */

static void be_quiet(bool quiet)
{
    world.quiet = quiet;
    wall_hold(quiet);
    if (quiet) {
        deployment_heal();
    }
}

/* Until the aggregator has settled what it has, as of the wall clock. */
static void settle_down(void)
{
    for (int i = 0; i < 60; i++) {
        time_pass(50000);
        network_move();
        for (int part = 0; part < 3 * PARTS; part++) {
            deployment_turn((enum aggregator_part)(part % PARTS));
        }
    }
}

static void check_scores(struct view *got)
{
    struct view wanted = {0};
    journal_reference(journal_lsn(), got->as_of_ms, journal_opening(), &wanted);
    view_same("poise_get and the journal", got, &wanted);
    if (journal_trail()) {
        view_same("the journaled changes and the journal", journal_trail(), &wanted);
    } else {
        journal_trail_from(got);
    }
    view_free(&wanted);
}

static bool get_settled(struct view *view)
{
    settle_down();
    assert_true(get_all(NULL, view));
    assert_true(deployment_config()->clock == 1 || view->as_of_ms >= wall_ms());
    return view->definition != 0; /* by the event clock nothing is settled before the first event */
}

/* Nothing new comes: after a crash all is as it was. */
static void calm(void)
{
    struct view before = {0}, after = {0};
    be_quiet(true);
    if (get_settled(&before)) {
        check_scores(&before);
        if (one_in(2)) {
            rescore_something();
            assert_true(get_settled(&before));
            check_scores(&before);
        }
        deployment_crash();
        be_quiet(true);
        assert_true(get_settled(&after));
        if (wall_ms() >= before.as_of_ms) {
            assert_int_equal(after.as_of_ms, before.as_of_ms);
            view_same("poise_get after and before a crash", &after, &before);
        }
        world.calms++;
    }
    be_quiet(false);
    view_free(&before);
    view_free(&after);
}

/* ---- clients that ask while all goes on: they get an answer that is right, or none ---- */

static void check_answer(const struct view *got, uint64_t erased_lsn, const struct card_set *set,
                         const poise_filter *filter)
{
    struct view all = {0}, wanted = {0};
    if (got->definition) {
        journal_without(erased_lsn, got->lsn, got->as_of_ms, set, &all);
        view_copy(&all, filter, &wanted);
        view_same("an answer and the journal", got, &wanted);
        world.answers++;
    }
    view_free(&all);
    view_free(&wanted);
}

static void get_something(void)
{
    static const char *const orgs[] = {"**", "p1", "p2/**"};
    const poise_filter filter = {.orgs = orgs, .org_count = (size_t)between(0, 3)};
    struct view got = {0};
    if (get_all(&filter, &got)) {
        check_answer(&got, got.lsn, journal_set(got.lsn), &filter);
    }
    view_free(&got);
}

static void ask_something(void)
{
    const struct config *config = deployment_config();
    const char *id = config->cards[between(0, (int64_t)config->card_count - 1)]->id;
    const poise_filter filter = {.scorecards = &id, .scorecard_count = 1};
    int64_t as_of_ms = wall_ms() - (one_in(2) ? between(0, 9) * DAY : 0);
    if (deployment_keeps() && one_in(2)) {
        as_of_ms -= as_of_ms % DAY; /* what is dropped can be asked for as of ends of periods */
    }
    const poise_question question = {.scorecard = id,
                                     .all_orgs = true,
                                     .as_of_ms = as_of_ms,
                                     .known_lsn =
                                         one_in(2) ? (uint64_t)between(0, (int64_t)journal_lsn()) : 0};
    struct view got = {0};
    uint64_t before = erased_lsn();
    if (ask(&question, &got)) {
        assert_true(!question.known_lsn || got.lsn == question.known_lsn);
        if (erased_lsn() == before) { /* else it may be with what was erased or without */
            check_answer(&got, UINT64_MAX, journal_opening(), &filter);
        }
    }
    view_free(&got);
}

static void restate_something(void)
{
    uint64_t before = journal_restated(), rows;
    if (!restate(&rows)) {
        world.given_up = true; /* it may still be done, later */
    } else if (!world.given_up) {
        assert_int_equal(journal_restated() - before, rows);
        world.restated += rows;
    }
}

static void erase_something(void)
{
    poise_erased done;
    size_t counted;
    uint64_t before = erased_lsn();
    if (!erase(&done)) {
        return;
    }
    if (done.lsn) {
        assert_int_equal(erased_rows(done.lsn, &counted), done.rows);
        assert_true(done.lsn > before && done.counted <= counted);
        world.erased += done.rows;
    } else {
        assert_int_equal(done.counted, 0);
    }
}

/* ---- who moves ---- */

static void aggregator_moves(void)
{
    if (deployment_is_up()) {
        for (int64_t left = between(1, 4); left > 0; left--) {
            deployment_turn((enum aggregator_part)between(0, PARTS - 1));
        }
    } else if (deployment_may_start()) {
        deployment_start();
    }
}

static bool is_awake(size_t who)
{
    return now_us() >= world.asleep_until_us[who];
}

static void producer_moves(void)
{
    if (one_in(4)) {
        forks_move();
        return;
    }
    size_t which = (size_t)between(0, PRODUCERS - 1);
    if (!is_awake(which)) {
        return;
    }
    world.producing = true;
    int64_t what = between(0, 99);
    if (what < 45) {
        producer_send(which);
    } else if (what < 90) {
        producer_step(which);
    } else if (what < 97) {
        producer_flush(which);
    } else if (what < 98) {
        producer_end_backfill(which);
    } else if (what < 99) {
        producer_crash(which);
    } else {
        producer_reopen(which);
    }
    world.producing = false;
}

static void subscriber_moves(void)
{
    size_t which = (size_t)between(0, SUBSCRIBERS - 1);
    if (!is_awake(PRODUCERS + which)) {
        return;
    }
    for (int64_t left = between(1, 5); left > 0; left--) {
        subscriber_step(which);
    }
    if (one_in(150)) {
        subscriber_reopen(which);
    }
}

/* Somebody beside the client that waits: rows come, and other orders. */
static void meanwhile(void)
{
    if (!world.quiet && !world.producing && one_in(4)) {
        producer_moves();
    }
    if (!world.quiet && !world.nested && one_in(100)) {
        world.nested = true;
        erase_something();
        world.nested = false;
    }
    aggregator_moves();
    network_move();
    time_pass(between(0, 5000));
}

static void time_moves(void)
{
    if (one_in(4)) {
        time_pass(between(0, 2500000));
    }
    if (one_in(6)) {
        wall_jump(between(0, 200) * MINUTE);
    }
    if (one_in(40)) {
        wall_jump(between(1, 60) * HOUR);
    }
    if (one_in(world.steady)) {
        wall_jump(one_in(3) ? -between(0, 60) * HOUR : -between(0, 120000));
    }
}

static void misfortune(void)
{
    int64_t what = between(0, 99);
    if (what < 25) {
        network_cut();
    } else if (what < 32) {
        deployment_starve((enum aggregator_part)between(0, PARTS - 1));
    } else if (what < 50) {
        size_t who = (size_t)between(0, PRODUCERS + SUBSCRIBERS - 1);
        world.asleep_until_us[who] = now_us() + between(0, one_in(4) ? 90 : 10) * 1000000;
    } else if (what < 62 && deployment_is_up()) {
        deployment_crash();
    } else if (what < 68 && deployment_is_up()) {
        deployment_crash();
        deployment_configure();
    } else if (what < 80) {
        failures_choose(STORE_BREAKS);
    } else if (what < 88) {
        deployment_fill_disk(true);
        world.full_until_us = now_us() + between(0, 5) * 1000000;
    } else if (what < 91) {
        get_something();
    } else if (what < 93) {
        ask_something();
    } else if (what < 95) {
        erase_something();
    } else if (what < 97) {
        one_in(2) ? restate_something() : rescore_something();
    } else {
        calm();
    }
}

static void move(void)
{
    int64_t who = between(0, 999);
    if (world.full_until_us && now_us() > world.full_until_us) {
        world.full_until_us = 0;
        deployment_fill_disk(false);
    }
    if (who < 420) {
        aggregator_moves();
    } else if (who < 720) {
        producer_moves();
    } else if (who < 940) {
        subscriber_moves();
    } else if (who < 980) {
        time_moves();
    } else {
        misfortune();
    }
    if (one_in(2)) {
        network_move();
    }
    time_pass(between(0, 20000));
}

/* ---- the end of a seed ---- */

enum {
    LONG_REST = 300,
    SHORT_REST = 20
}; /* of 50 ms: the longest silence that somebody waits for; less than any */

/* That a backfill is over may have been dropped. */
static bool all_are_heard(void)
{
    bool heard = producers_done();
    heard = forks_done() && heard;
    for (size_t which = 0; which < PRODUCERS && heard; which++) {
        if (producer_is_unheard(which)) {
            producer_say_goodbye(which);
            heard = false;
        }
    }
    return heard;
}

/* Everybody gets what is for him, and then rests. */
static void drain(int rest)
{
    for (int left = 3000; rest > 0 && left > 0; left--) {
        rest -= all_are_heard() && (rest > 1 || subscribers_are_told());
        time_pass(50000);
        network_move();
        for (size_t which = 0; which < PRODUCERS; which++) {
            producer_flush(which);
            producer_end_backfill(which);
            producer_step(which);
        }
        for (int part = 0; part < 2 * PARTS; part++) {
            deployment_turn((enum aggregator_part)(part % PARTS));
        }
        for (size_t which = 0; which < 3 * SUBSCRIBERS; which++) {
            subscriber_step(which % SUBSCRIBERS);
        }
    }
    assert_int_equal(rest, 0);
}

static void check_tally(const struct view *all)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, " n=%llu ",
             (unsigned long long)(producers_tally(all->as_of_ms) + forks_tally(all->as_of_ms)));
    const char *line = view_line(all, "", TALLY);
    if (!line || !strstr(line, wanted)) {
        fail_msg("counted were%s: %s", wanted, line ? line : "nothing");
    }
}

static void check_losses(void)
{
    uint64_t rows;
    assert_true(get_losses(&rows));
    assert_int_equal(rows, producers_lost() + forks_lost_rows());
}

static void check_end(void)
{
    struct view all = {0};
    assert_true(get_settled(&all));
    check_scores(&all);
    check_tally(&all);
    subscribers_agree(&all);
    producers_are_told();
    world.copied = forks_check();
    check_losses();
    world.revisions += revisions_check();
    view_free(&all);
}

/* What was erased goes from the disk by itself, and nothing else with it. */
static void vanish(void)
{
    struct view all = {0};
    for (int left = 100; erased_pends(); left--) {
        assert_true(left > 0);
        settle_down();
    }
    deployment_crash();
    be_quiet(true);
    assert_true(get_settled(&all));
    check_scores(&all);
    view_free(&all);
}

/* What is frozen goes from the disk by itself. */
static void check_frozen(void)
{
    for (int left = 100; frozen_left() > 0; left--) {
        assert_true(left > 0);
        settle_down();
        deployment_crash();
        be_quiet(true);
    }
}

static void test_seed(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        move();
    }
    be_quiet(true);
    for (size_t which = 0; which < PRODUCERS; which++) {
        producer_say_goodbye(which);
    }
    drain(LONG_REST);
    check_end();
    ask_something();
    size_t resets = subscribers_resets(); /* who is up to date is told the rest, and need not begin again */
    producer_say_goodbye(0);
    drain(SHORT_REST);
    check_end();
    assert_int_equal(subscribers_resets(), resets);
    vanish();
    check_frozen();
}

/* ---- main ---- */

static int setup(void **state)
{
    uint64_t seed = **(uint64_t **)state;
    memset(&world, 0, sizeof world);
    chance_start(seed);
    network_start();
    network_meanwhile(meanwhile);
    network_bulk(one_in(2) ? 1 : (size_t)between(1, 100));
    journal_start();
    revisions_start();
    world.steady = one_in(2) ? 15 : 400;
    return deployment_open(seed) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    if (getenv("POISE_SEED")) {
        journal_tell();
        fprintf(stderr,
                "%zu rows lost, %zu crashes, %zu calms, %zu answers, %zu restated, %zu rescored, %zu erased, "
                "spools "
                "copied %zu times with %zu rows in doubt, %zu revisions checked\n",
                producers_lost(), deployment_crashes(), world.calms, world.answers, world.restated,
                world.rescored, world.erased, world.copied, forks_lost_rows(), world.revisions);
    }
    bool closed = deployment_close();
    revisions_stop();
    journal_stop();
    return closed ? 0 : -1;
}

/* Those by which mutants are found. With the word keep: seeds that lock and drop. */
int main(int argc, char **argv)
{
    static const uint64_t usual[SEEDS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25, 31, 46},
                          kept[] = {14, 17, 33, 39, 193};
    static uint64_t seeds[SEEDS];
    static char names[SEEDS][32];
    struct CMUnitTest tests[SEEDS];
    const char *wanted = getenv("POISE_SEED");
    bool keeps = argc > 1 && strcmp(argv[1], "keep") == 0;
    size_t count = wanted ? 1 : keeps ? sizeof kept / sizeof *kept : SEEDS;
    for (size_t i = 0; i < count; i++) {
        seeds[i] = wanted ? strtoull(wanted, NULL, 10) : keeps ? kept[i] : usual[i];
        snprintf(names[i], sizeof names[i], "POISE_SEED=%llu", (unsigned long long)seeds[i]);
        tests[i] = (struct CMUnitTest){.name = names[i],
                                       .test_func = test_seed,
                                       .setup_func = setup,
                                       .teardown_func = teardown,
                                       .initial_state = &seeds[i]};
    }
    return _cmocka_run_group_tests("simulation", tests, count, NULL, NULL);
}
