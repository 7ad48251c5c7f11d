/* The aggregator's own numbers: what is counted comes out under its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <aggregator/numbers.h>
#include <aggregator/stats.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unit/store/scratch.h>
#include <wire/wire.h>

struct wanted {
    const char *name;
    double value;
    size_t calls, found;
};

static void look(void *context, const char *name, double value)
{
    struct wanted *wanted = context;
    wanted->calls++;
    assert_true(strlen(name) < STATS_NAME_MAX - 1); /* else it may be cut */
    if (strcmp(name, wanted->name) == 0) {
        wanted->value = value;
        wanted->found++;
    }
}

static double value_of(const struct stats *stats, const char *name)
{
    struct wanted wanted = {.name = name};
    stats_each(stats, look, &wanted);
    assert_int_equal(wanted.found, 1);
    assert_true(wanted.calls <= STATS_NUMBERS_MAX);
    return wanted.value;
}

static void reasons_and_codes_have_their_own_numbers(void **state)
{
    static struct stats stats;
    (void)state;
    stats_refused(&stats, POISE_REFUSAL_LEVEL);
    stats_refused(&stats, POISE_REFUSAL_LEVEL);
    stats_refused(&stats, POISE_REFUSAL_LOCKED);
    stats_refused(&stats, (poise_refusal)1000); /* of no reason that is known */
    stats_error(&stats, POISE_ECLOSED);
    stats_error(&stats, (poise_code)-1);
    assert_true(value_of(&stats, "poise_refusals{reason=\"level\"}") == 2);
    assert_true(value_of(&stats, "poise_refusals{reason=\"locked\"}") == 1);
    assert_true(value_of(&stats, "poise_refusals{reason=\"key\"}") == 0);
    assert_true(value_of(&stats, "poise_errors{code=\"ECLOSED\"}") == 1);
    assert_true(value_of(&stats, "poise_errors{code=\"EPROTO\"}") == 0);
}

/* ---- histograms ---- */

struct read_off {
    double share, count, bound;
};

/* The least bound that `share` of all are not above. */
static void read_bucket(void *context, const char *name, double value)
{
    static const char bucket[] = "poise_commit_time_us_bucket{le=\"";
    struct read_off *off = context;
    if (strncmp(name, bucket, sizeof bucket - 1) == 0 && off->bound == 0 && value >= off->share * off->count)
        off->bound = strtod(name + sizeof bucket - 1, NULL); /* of "+Inf" too */
}

static int compare(const void *a, const void *b)
{
    return (*(const int64_t *)a > *(const int64_t *)b) - (*(const int64_t *)a < *(const int64_t *)b);
}

static void a_quantile_is_at_most_half_too_high(void **state)
{
    enum { COUNT = 1000, ROUNDS = 50 };
    (void)state;
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        static struct stats stats;
        int64_t us[COUNT];
        memset(&stats, 0, sizeof stats);
        for (int i = 0; i < COUNT; i++) {
            us[i] = 64 + rand() % ((int64_t)64 << rand() % 18);
            stats_time(&stats, STAT_commits, STAT_commit_us, STAT_commit_max_us, us[i]);
            stats_histogram(&stats, HISTOGRAM_commit_time_us, us[i]);
        }
        qsort(us, COUNT, sizeof us[0], compare);
        for (int place = 1; place <= COUNT; place += 37) {
            struct read_off off = {.share = (double)place / COUNT, .count = COUNT};
            stats_each(&stats, read_bucket, &off);
            double truth = (double)us[place - 1];
            assert_true(off.bound >= truth && off.bound <= truth * 1.5);
        }
        assert_true(value_of(&stats, "poise_commit_time_us_count") == COUNT);
        assert_true(value_of(&stats, "poise_commit_time_us_bucket{le=\"+Inf\"}") == COUNT);
        assert_true(value_of(&stats, "poise_commit_time_us_sum") == value_of(&stats, "poise_commit_us"));
    }
}

static void short_and_long_ones_are_counted_too(void **state)
{
    static struct stats stats;
    (void)state;
    stats_histogram(&stats, HISTOGRAM_settle_time_us, -1);
    stats_histogram(&stats, HISTOGRAM_settle_time_us, 64);
    stats_histogram(&stats, HISTOGRAM_settle_time_us, 65);
    stats_histogram(&stats, HISTOGRAM_settle_time_us, (int64_t)64 << 20);
    stats_histogram(&stats, HISTOGRAM_settle_time_us, ((int64_t)64 << 20) + 1);
    assert_true(value_of(&stats, "poise_settle_time_us_bucket{le=\"64\"}") == 2);
    assert_true(value_of(&stats, "poise_settle_time_us_bucket{le=\"96\"}") == 3);
    assert_true(value_of(&stats, "poise_settle_time_us_bucket{le=\"50331648\"}") == 3);
    assert_true(value_of(&stats, "poise_settle_time_us_bucket{le=\"67108864\"}") == 4);
    assert_true(value_of(&stats, "poise_settle_time_us_bucket{le=\"+Inf\"}") == 5);
    assert_true(value_of(&stats, "poise_commit_time_us_count") == 0);
}

/* ---- what they are ---- */

static void each_is_described(void *context, const char *name, double value)
{
    size_t length = 0;
    (void)context, (void)value;
    const struct stats_description *about = stats_describe(name, &length);
    assert_non_null(about);
    assert_int_equal(length, strlen(about->name));
    assert_memory_equal(name, about->name, length);
    assert_true(strcmp(about->kind, "histogram") == 0 || !strstr(name, "_bucket"));
}

static void what_is_told_is_described(void **state)
{
    static struct stats stats;
    size_t length;
    char name[STATS_NAME_MAX];
    (void)state;
    stats_each(&stats, each_is_described, NULL);
    stats_table_name(TABLE_STAT_table_bytes, "cells", name);
    assert_string_equal(stats_describe(name, &length)->unit, "bytes");
    assert_string_equal(stats_describe("poise_commits", &length)->kind, "counter");
    assert_null(stats_describe("poise_of_tomorrow{x=\"y\"}", &length));
    assert_int_equal(length, strlen("poise_of_tomorrow"));
    assert_null(stats_describe("poise_commit_time_us_other", &length));
    assert_null(stats_describe("_sum", &length));
}

/* ---- of the store ---- */

/* In an answer to who asks, from the bytes on the wire. */
static double told(struct stats *stats, struct store *store, const char *name)
{
    struct buf out = {0};
    struct arena arena;
    struct wire_stats answer = {0};
    double value = -1;
    arena_init(&arena, 0);
    assert_int_equal(numbers_put(7, stats, store, &out, NULL), POISE_OK);
    assert_int_equal(wire_decode_stats(out.data, out.length, &arena, &answer, NULL), POISE_OK);
    assert_int_equal(answer.id, 7);
    for (size_t i = 0; i < answer.count; i++)
        if (strcmp(answer.names[i], name) == 0)
            value = answer.values[i];
    arena_free(&arena);
    buf_free(&out);
    return value;
}

/* Nine records, of which a checkpoint has four, with two keys; and two readers, as of the last of them. */
static void what_the_store_is_like_is_told(void **state)
{
    static struct stats stats;
    struct store *store = scratch_open(*state);
    struct store_reader *early = NULL, *late = NULL;
    const struct store_mark mark = {.state_lsn = 4, .generation = 1};
    struct store_stats said;
    for (uint64_t n = 1; n <= 9; n++)
        scratch_append(store, n, 5000);
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_put(store, STORE_KEYS, "k1", 2, "v", 1), POISE_OK);
    assert_int_equal(store_put(store, STORE_KEYS, "k2", 2, "v", 1), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
    assert_true(told(&stats, store, "poise_readers") == 0);
    assert_true(told(&stats, store, "poise_oldest_reader_ms") == 0);
    assert_int_equal(store_reader_open(store, &early, NULL), POISE_OK);
    assert_int_equal(store_reader_open(store, &late, NULL), POISE_OK);
    assert_true(told(&stats, store, "poise_readers") == 2);
    do { /* the clock goes on */
        assert_int_equal(store_stats(store, &said, NULL), POISE_OK);
    } while (said.oldest_reader_ms < 20);
    assert_true(told(&stats, store, "poise_oldest_reader_ms") >= (double)said.oldest_reader_ms);
    assert_true(told(&stats, store, "poise_keys") == 2);
    assert_true(told(&stats, store, "poise_journal_records") == 9);
    assert_true(told(&stats, store, "poise_journal_lag") == 5);
    assert_true(told(&stats, store, "poise_uncompacted") == 9);
    assert_true(said.lag_bytes > 5 * 5000 && said.lag_bytes < 6 * 5000);
    assert_true(told(&stats, store, "poise_journal_lag_bytes") == (double)said.lag_bytes);
    assert_true(told(&stats, store, "poise_map_bytes") == MAP_SMALL);
    assert_true(told(&stats, store, "poise_used_bytes") == (double)said.used_bytes);
    assert_true(told(&stats, store, "poise_file_bytes") == (double)said.file_bytes);
    assert_true(said.used_bytes < said.file_bytes && said.file_bytes < MAP_SMALL);
    assert_true(told(&stats, store, "poise_table_entries{table=\"journal\"}") == 9);
    store_reader_close(early);
    store_reader_close(late);
    store_close(store);
    /* without one, what it said last */
    assert_true(told(&stats, NULL, "poise_journal_lag") == 5);
    assert_true(told(&stats, NULL, "poise_table_entries{table=\"journal\"}") == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_and_codes_have_their_own_numbers),
        cmocka_unit_test(a_quantile_is_at_most_half_too_high),
        cmocka_unit_test(short_and_long_ones_are_counted_too),
        cmocka_unit_test(what_is_told_is_described),
        cmocka_unit_test_setup_teardown(what_the_store_is_like_is_told, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
