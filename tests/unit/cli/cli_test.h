/* What the tests of cli share: cmocka with its prelude, states to print, and what was printed. */
#ifndef CLI_TEST_H
#define CLI_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <base/buf.h>
#include <cmocka.h>
#include <math.h>
#include <poise/types.h>
#include <string.h>

#define T_MARCH_1  INT64_C(1772323200000) /* 2026-03-01T00:00:00Z */
#define T_APRIL_1  INT64_C(1775001600000)
#define T_MARCH_20 INT64_C(1773964800000)

/* A node above measures, at the root, as of 20 March 2026. */
static inline poise_state branch(const char *node, const char *name, poise_kind kind, double score,
                                 poise_status status)
{
    return (poise_state){.org = "",
                         .node = node,
                         .name = name,
                         .kind = kind,
                         .weight = 1,
                         .as_of_ms = T_MARCH_20,
                         .numbers = {.value = NAN,
                                     .attainment = NAN,
                                     .score = score,
                                     .lo = isnan(score) ? 0 : score,
                                     .hi = isnan(score) ? 100 : score,
                                     .coverage = isnan(score) ? 0 : 1,
                                     .filled = isnan(score) ? 0 : 1,
                                     .trend = NAN,
                                     .count = -1,
                                     .period_start_ms = INT64_MIN,
                                     .period_end_ms = INT64_MIN,
                                     .status = status}};
}

/* A measure of March 2026. */
static inline poise_state leaf(const char *node, const char *name, double value, double score,
                               poise_status status)
{
    poise_state state = branch(node, name, POISE_MEASURE, score, status);
    state.numbers.value = value;
    state.numbers.attainment = score;
    state.numbers.count = isnan(value) ? 0 : 3;
    state.numbers.period_start_ms = T_MARCH_1;
    state.numbers.period_end_ms = T_APRIL_1;
    return state;
}

/* Ends and empties what was written, so that it can be compared. */
static inline const char *text_of(struct buf *out)
{
    buf_put_u8(out, 0);
    assert_false(out->failed);
    out->length = 0;
    return (const char *)out->data;
}

#endif
