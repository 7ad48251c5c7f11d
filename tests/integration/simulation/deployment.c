#include "simulation.h"

#include <aggregator/changes.h>
#include <base/ring.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct deployment {
    char directory[64], store[96];
    struct card_set sets[SETS + KEPT_SETS];
    const struct card_set *kept; /* NULL: it locks and drops nothing */
    struct config config;
    size_t part_changes; /* so many go into a record; 0: as many as they are, here */
    struct log log;
    struct aggregator *aggregator; /* NULL: it is down */
    int64_t up_us;                 /* when it may come back */
    enum aggregator_part starved;  /* a thread that does not run, until then */
    int64_t starved_until_us;
    bool full;      /* the disk is */
    bool writing;   /* it is the writer's turn */
    bool failed;    /* a part has */
    unsigned turns; /* one within the other */
    size_t crashes;
    const struct trouble *trouble;
} deployment;

void deployment_trouble(const struct trouble *trouble)
{
    deployment.trouble = trouble;
}

bool deployment_pause(bool paused)
{
    return deployment.trouble && deployment.trouble->pause(paused);
}

bool deployment_troubled(void)
{
    return deployment.trouble && deployment.trouble->met();
}

void deployment_crash(void)
{
    aggregator_close(deployment.aggregator);
    deployment.aggregator = NULL;
    deployment.crashes++;
    deployment.full = false;
    deployment.up_us = now_us() + between(0, one_in(4) ? 3000000 : 200000);
    failures_choose(STORE_WORKS);
    journal_on_disk(deployment.store);
}

void deployment_configure(void)
{
    const struct card_set *cards = deployment.kept
                                       ? deployment.kept
                                       : &deployment.sets[deployment.config.cards ? between(0, SETS - 1) : 0];
    deployment.config.cards = (struct scorecard **)(uintptr_t)cards->cards;
    deployment.config.card_count = cards->count;
    deployment.config.settle_ms = between(1, 200);
    deployment.config.checkpoint_ms = between(100, 6000);
    deployment.config.credit = between(1, 32);
    deployment.config.pool = between(1, 64);
    deployment.config.max_cells = one_in(2) ? 0 : 1000;
    deployment.config.compact_bytes = between(300, 20000);
    deployment.config.compact_after_ms = between(1000, 60000);
    deployment.config.journal_bytes = one_in(3) ? 1 << 20 : between(1000, 30000);
    journal_opens(cards);
}

void deployment_starve(enum aggregator_part part)
{
    deployment.starved = part;
    deployment.starved_until_us = now_us() + between(0, 1000000);
}

void deployment_start(void)
{
    poise_error err = {0};
    subscribers_meet_aggregator(deployment.full ? INT64_MIN : wall_ms());
    bool paused = deployment_pause(false);
    poise_code code =
        aggregator_open(&deployment.config, &deployment.log, &clock_system, &deployment.aggregator, &err);
    deployment_pause(paused);
    if (code == POISE_OK) {
        deployment_starve(one_in(2) ? PART_WRITER : (enum aggregator_part)between(0, PARTS - 1));
        return;
    }
    deployment.aggregator = NULL;
    bool troubled = deployment_troubled();
    if (!failures_met() && !troubled && (code != POISE_EFULL || !deployment.full)) {
        fail_msg("the aggregator does not open: %s", err.text);
    }
    deployment_crash();
}

/* Where a part fails that runs within the writer's turn, the process ends behind that turn. */
void deployment_turn(enum aggregator_part part)
{
    poise_error err = {0};
    bool starved = part == deployment.starved && now_us() < deployment.starved_until_us;
    if (!deployment.aggregator || starved || network_sleeps(part)) {
        return;
    }
    deployment.writing = part == PART_WRITER;
    deployment.turns++;
    bool paused = deployment_pause(false);
    poise_code code = aggregator_turn(deployment.aggregator, part, &err);
    deployment_pause(paused);
    deployment.turns--;
    deployment.writing = false;
    if (code != POISE_OK && code != POISE_EBUSY) {
        bool troubled = deployment_troubled();
        if (!deployment.failed && !failures_met() && !troubled) {
            fail_msg("the aggregator ends: %s", err.text);
        }
        deployment.failed = true;
    }
    if (deployment.failed && deployment.turns == 0) {
        deployment.failed = false;
        deployment_crash();
    }
}

/* The writer looks whether more is waiting: meanwhile ingest may have brought it, or the committer may have
 * done what it was sent. The linker sends the calls of the objects of this program here (-Wl,--wrap). */
size_t __real_ring_count(struct ring *ring);
size_t __wrap_ring_count(struct ring *ring);

size_t __wrap_ring_count(struct ring *ring)
{
    if (deployment.writing && !deployment.failed && one_in(2)) {
        deployment.writing = false;
        bool paused = deployment_pause(true); /* the network is the test's own */
        network_move();
        deployment_pause(paused);
        deployment_turn(one_in(3) ? PART_COMMITTER : PART_INGEST);
        deployment.writing = true;
    }
    return __real_ring_count(ring);
}

/* What a settle changes takes more than one record: else it needed thousands of nodes. */
poise_code __real_changes_add(struct changes **last, const poise_state *state);
poise_code __wrap_changes_add(struct changes **last, const poise_state *state);

poise_code __wrap_changes_add(struct changes **last, const poise_state *state)
{
    if (deployment.part_changes && (*last)->count >= deployment.part_changes) {
        struct changes *part = changes_open();
        if (!part) {
            return POISE_ENOMEM;
        }
        (*last)->next = part;
        *last = part;
    }
    return __real_changes_add(last, state);
}

/* ---- all of it ---- */

bool deployment_is_up(void)
{
    return deployment.aggregator != NULL;
}

bool deployment_may_start(void)
{
    return !deployment.aggregator && now_us() >= deployment.up_us;
}

void deployment_fill_disk(bool full)
{
    deployment.full = full;
    failures_choose(full ? STORE_FULL : STORE_WORKS);
}

void deployment_heal(void)
{
    deployment_fill_disk(false);
    if (deployment.aggregator && failures_met()) {
        deployment_crash(); /* the committer failed, and the writer has not heard of it yet */
    }
    while (!deployment.aggregator) {
        deployment_start();
    }
    deployment.starved_until_us = 0;
}

const struct config *deployment_config(void)
{
    return &deployment.config;
}

bool deployment_open(uint64_t seed)
{
    deployment = (struct deployment){.trouble = deployment.trouble};
    const char *base = getenv("TMPDIR");
    snprintf(deployment.directory, sizeof deployment.directory, "%s/poise-simulation-XXXXXX",
             base ? base : "/tmp");
    if (!mkdtemp(deployment.directory)) {
        return false;
    }
    snprintf(deployment.store, sizeof deployment.store, "%s/store", deployment.directory);
    cards_open(deployment.sets);
    deployment.kept = seed % 20 > 12 ? &deployment.sets[SETS + seed % KEPT_SETS] : NULL;
    bool wide = one_in(3);
    deployment.part_changes = seed % 4 == 3 ? (size_t)between(20, 150) : 0;
    deployment.log =
        (struct log){.out = getenv("POISE_SEED") ? stderr : NULL, .level = LOG_INFO, .clock = &clock_system};
    deployment.config = (struct config){.ingest = INGEST_ENDPOINT,
                                        .query = QUERY_ENDPOINT,
                                        .store = deployment.store,
                                        .clock = (int)(seed % 3 == 0), /* every third by the event clock */
                                        .map_bytes = 64 << 20,
                                        .free_bytes = 1 << 20,
                                        .max_producers = 40,
                                        .max_subscriptions = 100,
                                        .max_subscriptions_each = 100,
                                        .max_answer = 64 << 20,
                                        .max_batch_rows = WIRE_BATCH_ROWS_MAX,
                                        .max_orgs = one_in(4) ? 12 : 100,
                                        .max_series = 10000};
    deployment_configure();
    deployment_start();
    producers_open(deployment.directory, wide);
    forks_open(deployment.directory);
    subscribers_open();
    return true;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

bool deployment_close(void)
{
    subscribers_close();
    forks_close();
    producers_close();
    aggregator_close(deployment.aggregator);
    cards_close(deployment.sets);
    return nftw(deployment.directory, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0;
}

bool deployment_keeps(void)
{
    return deployment.kept;
}

size_t deployment_crashes(void)
{
    return deployment.crashes;
}
