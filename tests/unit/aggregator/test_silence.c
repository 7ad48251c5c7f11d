/* Sources that fall silent, as the writer says it. */
#include "writer_fixture.h"

/* Takes what was handed over in and empties the queues behind the writer. */
static void take_in(struct fixture *f)
{
    do {
        step(f);
        forget_all(f);
    } while (ring_count(&f->from_ingest) > 0);
}

static void hear(struct fixture *f, const char *source, double value)
{
    add(f, "", source, value);
    hand_over_all(f);
    take_in(f);
}

/* So much later, steps when the writer wants to. */
static void later(struct fixture *f, int64_t ms)
{
    int64_t end_ms = f->now_ms + ms;
    while (f->now_ms < end_ms) {
        int64_t idle_ms = writer_idle_ms(f->writer);
        f->now_ms = idle_ms < 0 || idle_ms > end_ms - f->now_ms ? end_ms : f->now_ms + idle_ms;
        take_in(f);
    }
}

/* What was logged of sources since the last call, without the times that stand before it. */
static void expect_log(struct fixture *f, const char *lines)
{
    char said[4096] = "";
    fflush(f->log.out);
    for (const char *line = f->said + f->read, *end; (end = strchr(line, '\n')); line = end + 1) {
        const char *event = memchr(line, ' ', (size_t)(end - line));
        if (event && memmem(event, (size_t)(end - event), "source", 6))
            snprintf(said + strlen(said), sizeof said - strlen(said), "%.*s\n", (int)(end - event - 1),
                     event + 1);
    }
    assert_string_equal(said, lines);
    f->read = f->said_length;
}

static void a_source_that_falls_silent_is_reported_once(void **state)
{
    struct fixture *f = *state;
    f->silent_after_ms = 3600000;
    start(f, 1);
    hear(f, "mes", 1);
    hear(f, "", 1);
    later(f, 1800000);
    hear(f, "", 1);
    later(f, 1799999);
    expect_log(f, "");
    later(f, 60000);
    expect_log(f, "warn source_silent source=mes since=2026-03-01T00:00:00.000Z\n");
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 1);
    later(f, 7200000);
    expect_log(f, "warn source_silent source=\"\" since=2026-03-01T00:30:00.000Z\n");
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 2);
    hear(f, "mes", 1e200); /* refused */
    hear(f, "new", 1e200);
    expect_log(f, "");
    hear(f, "mes", 1);
    expect_log(f, "info source_back source=mes since=2026-03-01T00:00:00.000Z\n");
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 1);
    later(f, 3600000 + 3600000 / 64);
    expect_log(f, "warn source_silent source=mes since=2026-03-01T03:00:59.999Z\n");
}

static void silence_counts_from_the_start(void **state)
{
    struct fixture *f = *state;
    f->silent_after_ms = 3600000;
    f->event_clock = true; /* nothing else is due */
    start(f, 1);
    hear(f, "mes", 1);
    later(f, 3500000);
    assert_in_range(writer_idle_ms(f->writer), 100000, 100001);
    stop(f);
    start(f, 1);
    later(f, 3599999);
    expect_log(f, "");
    later(f, 1);
    expect_log(f, "warn source_silent source=mes since=2026-03-01T00:58:20.000Z\n");
    stop(f);
    f->silent_after_ms = 0;
    start(f, 1);
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 0);
    later(f, 7200000);
    expect_log(f, "");
}

static void nobody_is_silent_whose_batches_only_wait(void **state)
{
    struct fixture *f = *state;
    f->silent_after_ms = 1000;
    start(f, 1);
    hear(f, "mes", 1);
    add(f, "", "mes", 1);
    hand_over_all(f);
    f->now_ms += 5000;
    take_in(f);
    expect_log(f, "");
}

static void a_burst_of_silence_does_not_fill_the_log(void **state)
{
    struct fixture *f = *state;
    char name[16];
    f->silent_after_ms = 1000;
    start(f, 1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof name, "s%d", i);
            add(f, "", name, 1);
        }
        hand_over_all(f);
        take_in(f);
        later(f, 1000);
    }
    fflush(f->log.out);
    int lines = 0;
    for (const char *at = f->said; (at = strstr(at, "source")); at = strchr(at, '\n'))
        lines++;
    assert_int_equal(lines, 100 + 1 + 100 + 1);
    assert_non_null(strstr(f->said, "more_sources count=200\n"));
    assert_non_null(strstr(f->said, "more_sources count=500\n")); /* back, and silent again */
    assert_true(stats_get(&f->stats, STAT_sources_silent) == 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(a_source_that_falls_silent_is_reported_once),
        WRITER_TEST(silence_counts_from_the_start),
        WRITER_TEST(nobody_is_silent_whose_batches_only_wait),
        WRITER_TEST(a_burst_of_silence_does_not_fill_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
