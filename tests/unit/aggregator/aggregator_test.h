/* What the tests of aggregator/ share: scorecards, change sets, random numbers. */
#ifndef UNIT_AGGREGATOR_TEST_H
#define UNIT_AGGREGATOR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <aggregator/board.h>
#include <base/buf.h>
#include <cmocka.h>
#include <model/scorecard.h>
#include <stdlib.h>
#include <string.h>
#include <unit/score/rng.h>

/* A scorecard of `measures` sums m0, m1, ... in the objectives ID/p/o and ID/p/o2 (every other one), of one
 * input, m0, or each of its own. */
static inline struct scorecard *card_make_with(const char *id, const char *settings, int measures,
                                               bool shared)
{
    struct buf text = {0};
    struct scorecard *card = NULL;
    struct problems problems = {0};
    buf_printf(&text, "scorecard: %s\n%s\nperspectives:\n  - id: p\n    objectives:\n", id, settings);
    for (int objective = 0; objective < 2; objective++) {
        buf_printf(&text, "      - id: %s\n        measures:\n", objective ? "o2" : "o");
        for (int i = objective; i < measures; i += 2)
            buf_printf(&text,
                       "          - {id: m%d, %s aggregate: sum, score: {linear: {from: 0, to: 100}}}\n", i,
                       shared ? "input: m0," : "");
    }
    if (scorecard_read_bytes(id, (const char *)text.data, text.length, &card, &problems) != POISE_OK) {
        problems_print(&problems, stderr);
        fail();
    }
    problems_free(&problems);
    buf_free(&text);
    return card;
}

static inline struct scorecard *card_make_of(const char *id, int measures, bool shared)
{
    return card_make_with(id, "period: year", measures, shared);
}

static inline struct scorecard *card_make(const char *id, int measures)
{
    return card_make_of(id, measures, false);
}

static inline poise_state state_make(const struct scorecard *card, uint32_t node, const char *org,
                                     double value)
{
    return (poise_state){.org = org,
                         .node = card->nodes[node].path,
                         .name = card->nodes[node].name,
                         .kind = card->nodes[node].kind,
                         .weight = 1,
                         .definition = 1,
                         .numbers = {.value = value,
                                     .attainment = 71.5,
                                     .score = 71.5,
                                     .lo = 60.5,
                                     .hi = 80.5,
                                     .coverage = 0.8,
                                     .filled = 0.9,
                                     .trend = -1.5,
                                     .count = 1,
                                     .status = POISE_GREEN,
                                     .period_start_ms = 0,
                                     .period_end_ms = 86400000}};
}

static inline struct changes *changes_make(uint64_t lsn, int64_t as_of_ms, size_t room)
{
    struct changes *changes = calloc(1, sizeof *changes + room * sizeof changes->states[0]);
    assert_non_null(changes);
    changes->lsn = lsn;
    changes->as_of_ms = as_of_ms;
    return changes;
}

#endif
