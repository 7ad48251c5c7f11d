#include "wire_test.h"
#include <stdio.h>

struct fixture {
    struct wire_builder *builder;
    struct arena arena;
    struct buf body;
    uint64_t random;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.builder = wire_builder_open(), .random = 88172645463325252u};
    arena_init(&fixture.arena, WIRE_ARENA);
    *state = &fixture;
    return fixture.builder ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    wire_builder_close(f->builder);
    arena_free(&f->arena);
    buf_free(&f->body);
    return 0;
}

static uint64_t next_random(struct fixture *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

static struct wire_batch finish(struct fixture *f, uint64_t seq)
{
    struct wire_batch batch;
    poise_error err = {.text = ""};
    buf_reset(&f->body);
    arena_reset(&f->arena);
    assert_int_equal(wire_builder_finish(f->builder, 9, seq, &f->body), POISE_OK);
    if (wire_decode_batch(f->body.data, f->body.length, &f->arena, &batch, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(batch.seq, seq);
    return batch;
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    wire_builder_close(NULL);
}

static void an_empty_batch_is_a_batch(void **state)
{
    assert_int_equal(finish(*state, 1).rows, 0);
}

static void repeated_names_are_sent_once(void **state)
{
    struct fixture *f = *state;
    poise_measurement m = {.measure = "rejects", .org = "plant-1", .source = "mes", .value = 1, .of = 1};
    for (int i = 0; i < 1000; i++) {
        m.org = i % 2 ? "plant-1" : "plant-2";
        m.time_ms = 1000 * i;
        assert_int_equal(wire_builder_add(f->builder, &m), POISE_OK);
    }
    struct wire_batch batch = finish(f, 1);
    assert_int_equal(batch.rows, 1000);
    assert_int_equal(batch.symbol_count, 4);
    assert_int_equal(batch.series_count, 2);
    assert_int_equal(batch.time_ms[999], 999000);
}

static void a_finished_builder_starts_afresh(void **state)
{
    struct fixture *f = *state;
    poise_measurement keyed = {
        .measure = "a", .source = "s", .key = "k", .time_ms = 5, .value = 1, .of = 2, .seq = 3};
    assert_int_equal(wire_builder_add(f->builder, &keyed), POISE_OK);
    struct wire_batch batch = finish(f, 1);
    assert_true(batch.of && batch.key && batch.row_seq && !batch.retract);
    poise_measurement plain = {.measure = "b", .time_ms = -5, .value = 1, .of = 1};
    assert_int_equal(wire_builder_add(f->builder, &plain), POISE_OK);
    batch = finish(f, 2);
    assert_int_equal(batch.rows, 1);
    assert_int_equal(batch.time_ms[0], -5);
    assert_string_equal(batch.symbols[0], "b");
    assert_true(!batch.of && !batch.key && !batch.row_seq);
    assert_int_equal(batch.series[0].source, WIRE_SYMBOL_NONE);
    poise_measurement retract = {.measure = "b", .key = "k", .retract = true};
    assert_int_equal(wire_builder_add(f->builder, &retract), POISE_OK);
    assert_int_equal(finish(f, 3).time_ms[0], 0); /* nothing of the batch before */
}

static void what_a_retraction_ignores_is_not_sent(void **state)
{
    struct fixture *f = *state;
    poise_measurement m = {.measure = "a", .time_ms = 7000, .value = 1, .of = 1, .key = "k"};
    poise_measurement retract = {.measure = "a", .time_ms = INT64_MIN, .key = "k", .retract = true};
    assert_int_equal(wire_builder_add(f->builder, &m), POISE_OK);
    assert_int_equal(wire_builder_add(f->builder, &retract), POISE_OK);
    struct wire_batch batch = finish(f, 1);
    assert_null(batch.of);
    assert_int_equal(batch.time_ms[1], 7000);
    assert_true(!batch.retract[0] && batch.retract[1]);
}

static void max_rows_is_kept(void **state)
{
    struct fixture *f = *state;
    poise_measurement m = {.measure = "a", .value = 1, .of = 1};
    wire_builder_limits(f->builder, 3, WIRE_MESSAGE_MAX);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wire_builder_add(f->builder, &m), POISE_OK);
    }
    assert_int_equal(wire_builder_add(f->builder, &m), POISE_EFULL);
    assert_int_equal(finish(f, 1).rows, 3);
    assert_int_equal(wire_builder_add(f->builder, &m), POISE_OK);
    wire_builder_limits(f->builder, SIZE_MAX, SIZE_MAX);
    while (wire_builder_add(f->builder, &m) == POISE_OK) {
    }
    assert_int_equal(wire_builder_rows(f->builder), WIRE_BATCH_ROWS_MAX);
    finish(f, 2);
}

static void max_symbols_is_kept(void **state)
{
    struct fixture *f = *state;
    for (size_t max = 0; max < 40; max++) {
        char key[16];
        size_t rows = 0, least = max < WIRE_SYMBOLS_LEAST ? WIRE_SYMBOLS_LEAST : max;
        wire_builder_symbols(f->builder, max);
        poise_measurement m = {.measure = "a", .org = "b", .value = 1, .of = 1, .key = key};
        do {
            snprintf(key, sizeof key, "k%zu", rows++);
        } while (wire_builder_add(f->builder, &m) == POISE_OK);
        assert_false(wire_builder_fits(f->builder, &m, 1));
        struct wire_batch batch = finish(f, 1);
        assert_int_equal(batch.rows, rows - 1);
        assert_in_range(batch.symbol_count, least - 3, least);
    }
}

/* However it is written: packed, in pieces or one by one. */
static void the_size_of_a_batch_is_counted(void **state)
{
    struct fixture *f = *state;
    poise_measurement m = {.measure = "a", .org = "b", .value = 1, .of = 1};
    for (int i = 0; i < 300; i++) {
        char org[16];
        snprintf(org, sizeof org, "o%d", i);
        m.org = org;
        assert_int_equal(wire_builder_add(f->builder, &m), POISE_OK);
    }
    finish(f, 1);
    struct wire_batch_size size = wire_batch_size(f->body.data, f->body.length);
    assert_int_equal(size.rows, 300);
    assert_int_equal(size.symbols, 302);
    buf_put(&f->body, "\x40\x05\x42\x03\x05\x80\x01\x1a\x01x", 10); /* rows 5; 5 and 128; a symbol */
    size = wire_batch_size(f->body.data, f->body.length);
    assert_int_equal(size.rows, 303);
    assert_int_equal(size.symbols, 303);
    size = wire_batch_size(f->body.data, 0);
    assert_int_equal(size.rows + size.symbols, 0);
}

/* Names and numbers of any length; optional columns come late, which costs bytes for all rows before. */
static poise_measurement random_measurement(struct fixture *f, char texts[4][256])
{
    static const size_t longest[] = {64, 255, 127, 255};
    uint64_t bits = next_random(f);
    for (size_t i = 0; i < 4; i++) {
        size_t length = 1 + next_random(f) % longest[i];
        memset(texts[i], (int)('a' + next_random(f) % 26), length);
        texts[i][length] = '\0';
    }
    return (poise_measurement){.measure = texts[0],
                               .org = bits & 1 ? texts[1] : NULL,
                               .source = bits & 2 ? texts[2] : NULL,
                               .key = bits % 7 == 0 ? texts[3] : NULL,
                               .time_ms = (int64_t)(next_random(f) % 9466848000000) - 2208988800000,
                               .value = (double)next_random(f),
                               .of = bits % 11 == 0 ? 3 : 1,
                               .seq = bits % 13 == 0 ? next_random(f) >> 2 : 0};
}

static void max_bytes_is_kept_and_well_used(void **state)
{
    struct fixture *f = *state;
    for (uint64_t round = 1; round <= 200; round++) {
        size_t max = 2048 + next_random(f) % 30000;
        wire_builder_limits(f->builder, WIRE_BATCH_ROWS_MAX, max);
        char texts[4][256];
        poise_measurement m = random_measurement(f, texts);
        size_t rows = 0;
        while (wire_builder_add(f->builder, &m) == POISE_OK) {
            m = random_measurement(f, texts);
            rows++;
        }
        assert_int_equal(finish(f, round).rows, rows);
        assert_true(f->body.length <= max);
        assert_true(f->body.length + 2048 > max || rows == WIRE_BATCH_ROWS_MAX);
    }
}

static void one_measurement_fits_whatever_the_limit(void **state)
{
    struct fixture *f = *state;
    char measure[65], org[256], source[128], key[256];
    memset(measure, 'm', 64);
    memset(org, 'o', 255);
    memset(source, 's', 127);
    memset(key, 'k', 255);
    measure[64] = org[255] = source[127] = key[255] = '\0';
    poise_measurement m = {measure, org, source, key, INT64_MAX, 1, 2, UINT64_MAX, false};
    wire_builder_limits(f->builder, 0, 0);
    assert_int_equal(wire_builder_add(f->builder, &m), POISE_OK);
    assert_int_equal(wire_builder_add(f->builder, &m), POISE_EFULL);
    assert_int_equal(finish(f, UINT64_MAX).rows, 1);
    assert_true(f->body.length <= 2048);
}

/* What is said to fit does; what is not is near the limit, and nothing was taken. */
static void groups_fit_as_foretold(void **state)
{
    struct fixture *f = *state;
    enum { GROUP = 5 };
    for (uint64_t round = 1; round <= 200; round++) {
        char texts[GROUP][4][256];
        poise_measurement group[GROUP];
        size_t max = 8192 + next_random(f) % 30000, max_rows = 10 + next_random(f) % 60, groups = 0;
        wire_builder_limits(f->builder, max_rows, max);
        for (;; groups++) {
            for (size_t i = 0; i < GROUP; i++) {
                group[i] = random_measurement(f, texts[i]);
            }
            if (!wire_builder_fits(f->builder, group, GROUP)) {
                break;
            }
            for (size_t i = 0; i < GROUP; i++) {
                assert_int_equal(wire_builder_add(f->builder, &group[i]), POISE_OK);
            }
        }
        assert_true(wire_builder_fits(f->builder, NULL, 0));
        assert_int_equal(finish(f, round).rows, groups * GROUP);
        assert_true(f->body.length + 8192 > max || groups * GROUP + GROUP > max_rows);
        assert_true(wire_builder_fits(f->builder, group, GROUP));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_nothing_is_fine),
        TEST(an_empty_batch_is_a_batch),
        TEST(repeated_names_are_sent_once),
        TEST(a_finished_builder_starts_afresh),
        TEST(what_a_retraction_ignores_is_not_sent),
        TEST(max_rows_is_kept),
        TEST(max_symbols_is_kept),
        TEST(the_size_of_a_batch_is_counted),
        TEST(max_bytes_is_kept_and_well_used),
        TEST(one_measurement_fits_whatever_the_limit),
        TEST(groups_fit_as_foretold),
    };
    return cmocka_run_group_tests_name("wire_builder", tests, NULL, NULL);
}
