#include "aggregator_test.h"
#include <aggregator/access.h>
#include <aggregator/feed.h>

enum { ROWS_MAX = 64 };
static const int64_t start_ms = 1772323200000; /* 2026-03-01 */

struct fixture {
    struct scorecard *card;
    struct engine *engine;
    struct feed feed;
    struct arena arena;
    struct wire_batch rows;
    struct wire_builder *builder;
    struct feed_summary summary;
    uint32_t refused[ROWS_MAX]; /* by the engine */
    poise_refusal reasons[ROWS_MAX];
    size_t refused_count;
    const uint8_t *denied;
    const char *asked_org;
    double sum; /* m0 at the root, as settled */
};

static int open_engine(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    f->card = card_make("c", 2);
    f->builder = wire_builder_open();
    struct engine_options options = {.cards = (const struct scorecard *const[]){f->card},
                                     .card_count = 1,
                                     .max_orgs = 3,
                                     .max_series = 100};
    f->summary = feed_nothing;
    *state = f;
    return f->builder && engine_open(&options, &f->engine, NULL) == POISE_OK ? 0 : -1;
}

static int close_engine(void **state)
{
    struct fixture *f = *state;
    engine_close(f->engine);
    scorecard_free(f->card);
    wire_builder_close(f->builder);
    feed_free(&f->feed);
    arena_free(&f->arena);
    free(f);
    return 0;
}

static void add(struct fixture *f, const char *measure, const char *org, int64_t at, double value)
{
    poise_measurement row = {
        .measure = measure, .org = org, .time_ms = start_ms + at, .value = value, .of = 1};
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
}

static void add_keyed(struct fixture *f, const char *key, uint64_t seq, double value, bool retract)
{
    poise_measurement row = {.measure = "m0",
                             .org = "a",
                             .key = key,
                             .seq = seq,
                             .time_ms = start_ms + 999,
                             .value = value,
                             .of = 1,
                             .retract = retract};
    assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
}

static poise_code note_refusal(void *context, uint32_t row, poise_refusal reason)
{
    struct fixture *f = context;
    f->refused[f->refused_count] = row;
    f->reasons[f->refused_count++] = reason;
    return POISE_OK;
}

static void feed(struct fixture *f, const uint32_t *refused, size_t refused_count)
{
    struct buf body = {0};
    poise_error err = {0};
    struct feed_options options = {.refused = refused,
                                   .refused_count = refused_count,
                                   .denied = f->denied,
                                   .asked_org = f->asked_org,
                                   .now_ms = start_ms,
                                   .on_refusal = note_refusal,
                                   .context = f};
    assert_int_equal(wire_builder_finish(f->builder, 1, 1, &body), POISE_OK);
    arena_reset(&f->arena);
    f->refused_count = 0;
    assert_int_equal(wire_decode_batch(body.data, body.length, &f->arena, &f->rows, &err), POISE_OK);
    if (feed_batch(&f->feed, f->engine, &f->rows, &options, &f->summary, &err) != POISE_OK)
        fail_msg("%s", err.text);
    buf_free(&body);
}

static poise_code take_sum(void *visitor, const poise_state *state)
{
    struct fixture *f = visitor;
    if (strcmp(state->node, "c/p/o/m0") == 0 && strcmp(state->org, "") == 0)
        f->sum = state->numbers.value;
    return POISE_OK;
}

static double settled_sum(struct fixture *f)
{
    assert_int_equal(engine_begin(f->engine, start_ms + 3600000, NULL), POISE_OK);
    assert_int_equal(engine_settle(f->engine, SIZE_MAX, take_sum, f, NULL), POISE_OK);
    return f->sum;
}

static void every_row_takes_its_ordinal(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        add(f, i == 4 ? "unknown" : "m0", "a", i, 1 << i);
    feed(f, NULL, 0);
    assert_int_equal(engine_ordinal(f->engine), 10);
    assert_int_equal(f->refused_count, 1);
    assert_int_equal(f->refused[0], 4);
    assert_int_equal(f->reasons[0], POISE_REFUSAL_UNKNOWN_MEASURE);
    assert_int_equal(f->summary.accepted, 9);
    assert_int_equal(f->summary.refused, 1);
    assert_int_equal(f->summary.min_time_ms, start_ms);
    assert_int_equal(f->summary.max_time_ms, start_ms + 9);
    assert_true(settled_sum(f) == 1023 - 16);
}

static void rows_refused_before_are_skipped(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 10; i++)
        add(f, "m0", "a", i, 1 << i);
    feed(f, (uint32_t[]){0, 3, 9}, 3);
    assert_int_equal(engine_ordinal(f->engine), 10);
    assert_int_equal(f->refused_count, 0); /* not told again */
    assert_int_equal(f->summary.refused, 0);
    assert_int_equal(f->summary.accepted, 7);
    assert_int_equal(f->summary.min_time_ms, start_ms + 1);
    assert_int_equal(f->summary.max_time_ms, start_ms + 8);
    assert_true(settled_sum(f) == 1023 - 1 - 8 - 512);
}

static void series_and_rows_are_refused_alike(void **state)
{
    struct fixture *f = *state;
    add(f, "m0", "a", 0, 1);
    add(f, "m0", "b", 0, 2);
    add(f, "m0", "too/many", 0, 4);
    add(f, "m0", "a", 3600000, 8); /* an hour ahead, and max_ahead is 5 minutes */
    add(f, "m0", "too/many", 1, 16);
    feed(f, NULL, 0);
    assert_int_equal(f->refused_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->refused[i], 2 + i);
        assert_int_equal(f->reasons[i], i == 1 ? POISE_REFUSAL_TIME_AHEAD : POISE_REFUSAL_TOO_MANY_ORGS);
    }
    assert_true(settled_sum(f) == 3);
}

static void keys_and_retractions_reach_the_engine(void **state)
{
    struct fixture *f = *state;
    add_keyed(f, "order-1", 0, 5, false);
    add_keyed(f, "order-2", 7, 9, false);
    add_keyed(f, "order-2", 6, 1000, false); /* older */
    feed(f, NULL, 0);
    assert_true(settled_sum(f) == 14);
    f->summary = feed_nothing;
    add_keyed(f, "order-1", 0, 0, true);
    feed(f, NULL, 0);
    assert_int_equal(f->summary.accepted, 1);
    assert_true(f->summary.min_time_ms > f->summary.max_time_ms); /* a retraction has no time */
    assert_true(settled_sum(f) == 9);
}

static void batches_of_growing_tables_follow_each_other(void **state)
{
    struct fixture *f = *state;
    double expected = 0;
    for (int batch = 0; batch < 20; batch++) {
        for (int i = 0; i <= batch; i++) { /* other series, other indices each time */
            int name = i + batch;
            add(f, name % 2 ? "m1" : "m0", name % 3 ? "a" : "b", i, batch);
            expected += name % 2 ? 0 : batch;
        }
        feed(f, NULL, 0);
        assert_int_equal(f->refused_count, 0);
    }
    assert_true(settled_sum(f) == expected);
}

static void what_may_not_be_sent_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t denied[] = {ACCESS_SENDS, ACCESS_SENDS_NOT, ACCESS_SENDS_KEYLESS};
    poise_measurement keyed = {
        .measure = "m0", .org = "c", .key = "k", .time_ms = start_ms + 5, .value = 32, .of = 1};
    add(f, "m0", "a", 0, 1);
    add(f, "m0", "b", 1, 2);
    add(f, "m0", "c", 2, 4);
    add(f, "m0", "b", 3, 8);
    add(f, "m0", "a", 4, 16);
    assert_int_equal(wire_builder_add(f->builder, &keyed), POISE_OK);
    f->denied = denied;
    feed(f, NULL, 0);
    assert_int_equal(engine_ordinal(f->engine), 6);
    static const uint32_t rows[] = {1, 3, 5};
    assert_int_equal(f->refused_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->refused[i], rows[i]);
        assert_int_equal(f->reasons[i], POISE_REFUSAL_NOT_ALLOWED);
    }
    assert_true(settled_sum(f) == 21);
    assert_int_equal(engine_name(f->engine, ENGINE_ORG, "b"), ENGINE_NAME_NONE); /* it never heard of it */
}

static void what_a_question_does_without_takes_its_place(void **state)
{
    struct fixture *f = *state;
    f->asked_org = "a";
    add(f, "m0", "a", 0, 1);
    add(f, "m0", "ab", 1, 2);
    add(f, "unknown", "a", 2, 4);
    add(f, "m0", "a/x", 3, 8);
    feed(f, NULL, 0);
    assert_int_equal(engine_ordinal(f->engine), 4);
    add(f, "m0", "ab", 4, 16);
    feed(f, NULL, 0); /* of all of it */
    assert_int_equal(engine_ordinal(f->engine), 5);
    assert_int_equal(f->refused_count, 0);
    assert_int_equal(f->summary.accepted, 2);
    assert_true(settled_sum(f) == 9);
    assert_int_equal(engine_name(f->engine, ENGINE_ORG, "ab"), ENGINE_NAME_NONE);
}

static void what_has_a_key_is_asked_about_anywhere(void **state)
{
    struct fixture *f = *state;
    f->asked_org = "b";
    add(f, "m0", "a", 0, 1);
    add_keyed(f, "k", 0, 2, false); /* at a */
    add(f, "m0", "b", 0, 4);
    feed(f, NULL, 0);
    assert_int_equal(engine_ordinal(f->engine), 3);
    assert_true(settled_sum(f) == 6);
}

int main(void)
{
#define FEED_TEST(name) cmocka_unit_test_setup_teardown(name, open_engine, close_engine)
    const struct CMUnitTest tests[] = {
        FEED_TEST(every_row_takes_its_ordinal),
        FEED_TEST(rows_refused_before_are_skipped),
        FEED_TEST(series_and_rows_are_refused_alike),
        FEED_TEST(keys_and_retractions_reach_the_engine),
        FEED_TEST(what_a_question_does_without_takes_its_place),
        FEED_TEST(what_has_a_key_is_asked_about_anywhere),
        FEED_TEST(what_may_not_be_sent_is_refused),
        FEED_TEST(batches_of_growing_tables_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
