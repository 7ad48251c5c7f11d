/* The whole aggregator, in the simulation of tests/integration: an allocation or a system call of it fails,
 * at a place that a seed chooses of all that there are in a short life, once or from there on until it ends.
 * It may end by that, is started again, and all the promises of the simulation hold: what was acknowledged is
 * there, each row counts once, everybody sees the same scores, to the bit. Nothing leaks.
 *
 * POISE_PLACES=1000 tries so many of each kind. POISE_FAULT=KIND:NTH:ERRNO:ON tries one place alone, with the
 * aggregator's log if POISE_SEED is set too. */
#include "fault.h"
#include <errno.h>
#include <integration/simulation/simulation.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 10, ROUNDS = 260, PLACES = 12 };

static uint64_t met; /* hits that were asked for */

static bool pause_faults(bool paused)
{
    return fault_pause(paused);
}

static bool met_fault(void)
{
    bool new = fault_hits() > met;
    met = fault_hits();
    return new;
}

static const struct trouble trouble = {.pause = pause_faults, .met = met_fault};

/* ---- a short life ---- */

static void aggregator_moves(void)
{
    if (deployment_is_up()) {
        for (int part = 0; part < PARTS; part++) {
            deployment_turn((enum aggregator_part)part);
        }
    } else if (deployment_may_start()) {
        deployment_start();
    }
}

/* Who writes when nothing else does: faults that go on end with the process that they have ended. */
static void move(int round)
{
    size_t crashes = deployment_crashes();
    aggregator_moves();
    if (deployment_crashes() > crashes) {
        fault_stop();
    }
    producer_send((size_t)(round % PRODUCERS));
    for (size_t which = 0; which < PRODUCERS; which++) {
        producer_flush(which);
        producer_step(which);
    }
    subscriber_step((size_t)(round % SUBSCRIBERS));
    network_move();
    time_pass(between(0, 300000));
    if (round % 40 == 39) {
        wall_jump(between(1, 30) * HOUR);
    }
    if (round == ROUNDS / 2 && deployment_is_up()) {
        deployment_crash(); /* so that there is a start with a journal and a checkpoint */
    }
}

/* Longer than anybody waits in silence before he looks for another connection. */
static void drain(void)
{
    int rest = 300;
    for (int left = 3000; rest > 0 && left > 0; left--) {
        rest -= producers_done();
        time_pass(50000);
        network_move();
        for (size_t which = 0; which < PRODUCERS; which++) {
            producer_flush(which);
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

static void meanwhile(void)
{
    for (int part = 0; part < PARTS; part++) {
        deployment_turn((enum aggregator_part)part);
    }
    network_move();
    time_pass(5000);
}

static void check_end(void)
{
    struct view got = {0}, wanted = {0};
    char count[32];
    for (int i = 0; i < 60; i++) { /* until it has settled as of the clock */
        time_pass(50000);
        network_move();
        for (int part = 0; part < 3 * PARTS; part++) {
            deployment_turn((enum aggregator_part)(part % PARTS));
        }
    }
    assert_true(get_all(NULL, &got));
    journal_reference(journal_lsn(), got.as_of_ms, journal_opening(), &wanted);
    view_same("poise_get and the journal", &got, &wanted);
    snprintf(count, sizeof count, " n=%llu ", (unsigned long long)producers_tally(got.as_of_ms));
    const char *line = view_line(&got, "", TALLY);
    if (!line || !strstr(line, count)) {
        fail_msg("counted were%s: %s", count, line ? line : "nothing");
    }
    subscribers_agree(&got);
    view_free(&got);
    view_free(&wanted);
}

static void live(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        move(round);
    }
    fault_stop();
    wall_hold(true);
    deployment_heal();
    for (size_t which = 0; which < PRODUCERS; which++) {
        producer_say_goodbye(which);
    }
    drain();
    check_end();
    wall_hold(false);
}

/* Returns how many places there were. */
static uint64_t try_plan(const struct fault_plan *plan)
{
    struct fault_held before = fault_held();
    met = 0;
    chance_start(SEED);
    network_start();
    network_meanwhile(meanwhile);
    network_bulk(1);
    journal_start();
    revisions_start();
    deployment_trouble(&trouble);
    fault_pause(true);
    fault_start(plan);
    assert_true(deployment_open(SEED));
    live();
    deployment_trouble(NULL);
    assert_true(deployment_close());
    revisions_stop();
    journal_stop();
    struct fault_held after = fault_held();
    if (memcmp(&before, &after, sizeof before) != 0) {
        fail_msg("at %s: leaks %d allocations, %d mappings, %d descriptors", fault_name(),
                 (int)(after.allocations - before.allocations), (int)(after.mappings - before.mappings),
                 (int)(after.descriptors - before.descriptors));
    }
    return fault_count();
}

static void try_some(unsigned kinds, int error)
{
    struct fault_plan plan = {.kinds = kinds, .error = error};
    const uint64_t count = try_plan(&plan);
    assert_true(count > 500);
    const char *wanted = getenv("POISE_PLACES");
    uint64_t ended = 0, places = wanted ? strtoull(wanted, NULL, 10) : PLACES;
    places = places < count ? places : count;
    for (uint64_t place = 0; place < places; place++) {
        /* One of each stretch; about half of them once, half from then on. */
        uint64_t stretch = count / places, dice = hash_mix(place, (uint64_t)error + kinds);
        plan.nth = 1 + place * stretch + dice % stretch;
        plan.from_then = dice >> 63 != 0;
        fprintf(stderr, "POISE_FAULT=%u:%llu:%d:%d\n", kinds, (unsigned long long)plan.nth, error,
                plan.from_then);
        try_plan(&plan);
        ended += deployment_crashes() > 1;
    }
    print_message("%llu of %llu places, %llu of them ended a process\n", (unsigned long long)places,
                  (unsigned long long)count, (unsigned long long)ended);
}

static void test_some_allocations(void **state)
{
    (void)state;
    try_some(FAULT_MEMORY, 0);
}

static void test_some_calls_eio(void **state)
{
    (void)state;
    try_some(FAULT_CALLS, EIO);
}

static void test_some_calls_enospc(void **state)
{
    (void)state;
    try_some(FAULT_CALLS, ENOSPC);
}

static void test_one_place(void **state)
{
    (void)state;
    unsigned long long nth;
    unsigned kinds;
    int error, on;
    assert_int_equal(sscanf(getenv("POISE_FAULT"), "%u:%llu:%d:%d", &kinds, &nth, &error, &on), 4);
    try_plan(&(struct fault_plan){.kinds = kinds, .error = error, .nth = nth, .from_then = on != 0});
    print_message("%s failed, %zu processes ended\n", fault_name(), deployment_crashes() - 1);
}

int main(void)
{
    const struct CMUnitTest some[] = {
        cmocka_unit_test(test_some_allocations),
        cmocka_unit_test(test_some_calls_eio),
        cmocka_unit_test(test_some_calls_enospc),
    };
    const struct CMUnitTest one[] = {cmocka_unit_test(test_one_place)};
    fault_scratch_in_memory();
    return getenv("POISE_FAULT") ? cmocka_run_group_tests(one, NULL, NULL)
                                 : cmocka_run_group_tests(some, NULL, NULL);
}
