/* The whole collector, in one process with the aggregator that it sends to. */
#include "played.h"
#include <base/buf.h>
#include <base/clock.h>
#include <base/file.h>
#include <collector/collector.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMEOUT_MS 20000 /* for what must happen */

#define CONFIG                                                                                               \
    "producer: p\nspool: spool\ndead_letters: dead.jsonl\nbatch_rows: 64\n"                                  \
    "sources:\n"                                                                                             \
    "  - csv: {path: f.csv}\n"                                                                               \
    "    time: {column: t, format: unix}\n"                                                                  \
    "    org: 'o/{k}'\n"                                                                                     \
    "    key: '{k}'\n"                                                                                       \
    "    measurements:\n"                                                                                    \
    "      - {measure: m, value: {column: v}, when: {column: k, not: skip}}\n"                               \
    "      - {measure: n, value: 1, when: {column: k, is: both}}\n"

struct fixture {
    char directory[32], endpoint[64];
    struct collector_config *config;
    struct log log; /* silent unless a test says so */
    struct collector_options options;
    struct collector_summary summary;
    poise_error err;
    struct played *played;
    struct buf text;
};

static const char *path_of(const struct fixture *fixture, const char *name)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/%s", fixture->directory, name);
    return path;
}

static void configure(struct fixture *fixture, const char *text)
{
    struct problems problems = {0};
    char whole[2048];
    snprintf(whole, sizeof whole, "aggregator: %s\n%s", fixture->endpoint, text);
    config_free(fixture->config);
    fixture->config = NULL;
    config_read_bytes(path_of(fixture, "c.yaml"), whole, strlen(whole), &fixture->config, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    assert_non_null(fixture->config);
    fixture->options.config = fixture->config;
}

static int begin(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.directory = "/tmp/poise_collector_XXXXXX", .log = {.clock = &clock_system}};
    if (!mkdtemp(fixture.directory)) {
        return -1;
    }
    snprintf(fixture.endpoint, sizeof fixture.endpoint, "ipc://%s/socket", fixture.directory);
    fixture.options = (struct collector_options){
        .clock = &clock_system, .log = &fixture.log, .once = true, .timeout_ms = TIMEOUT_MS, .stop_fd = -1};
    configure(&fixture, CONFIG);
    *state = &fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    char command[64];
    if (fixture->played) {
        free(played_stop(fixture->played));
    }
    config_free(fixture->config);
    buf_free(&fixture->text);
    snprintf(command, sizeof command, "rm -rf %s", fixture->directory);
    return system(command);
}

static void put(const struct fixture *fixture, const char *name, const char *mode, const char *text)
{
    FILE *file = fopen(path_of(fixture, name), mode);
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static const char *contents(struct fixture *fixture, const char *name)
{
    buf_reset(&fixture->text);
    assert_int_equal(file_read(path_of(fixture, name), 1 << 20, &fixture->text, &fixture->err), POISE_OK);
    buf_put_u8(&fixture->text, 0);
    return (const char *)fixture->text.data;
}

static bool exists(const struct fixture *fixture, const char *name)
{
    return access(path_of(fixture, name), F_OK) == 0;
}

static void run(struct fixture *fixture)
{
    if (collector_run(&fixture->options, &fixture->summary, &fixture->err) != POISE_OK) {
        fail_msg("%s", fixture->err.text);
    }
}

/* What the aggregator has got since it was started. */
static void got(struct fixture *fixture, const char *expected)
{
    char *rows = played_stop(fixture->played);
    fixture->played = NULL;
    assert_string_equal(rows, expected);
    free(rows);
}

static void test_once_and_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->played = played_start(fixture->endpoint);
    put(fixture, "f.csv", "w", "t,k,v\n1,a,5\n2,both,6\nsoon,c,7\n3,skip,8\n4,d\n5,e,9\n");
    run(fixture);
    assert_int_equal(fixture->summary.rows, 6);
    assert_int_equal(fixture->summary.rows_skipped, 1);
    assert_int_equal(fixture->summary.rows_refused, 2);
    assert_int_equal(fixture->summary.sent, 4);
    assert_int_equal(fixture->summary.acknowledged, 4);
    assert_int_equal(fixture->summary.refused, 0);
    assert_int_equal(fixture->summary.letters, 2);
    assert_int_equal(fixture->summary.batches_left, 0);
    const char *letters = contents(fixture, "dead.jsonl");
    assert_non_null(strstr(letters, "\"line\":4,"));
    assert_non_null(strstr(letters, "\"reason\":\"column 't': 'soon' is not a time of the form unix\""));
    assert_non_null(strstr(letters, "\"row\":\"soon,c,7\""));
    assert_non_null(strstr(letters, "\"line\":6,"));

    run(fixture);
    assert_int_equal(fixture->summary.rows, 0);
    put(fixture, "f.csv", "a", "6,f,10\n");
    run(fixture);
    assert_int_equal(fixture->summary.rows, 1);
    got(fixture, "m o/a a 5\nm o/both both 6\nn o/both both 1\nm o/e e 9\nm o/f f 10\n");
}

/* Positions are kept also where no row of the file could be sent. */
static void test_refused_rows_are_refused_once(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "f.csv", "w", "t,k,v\nsoon,a,5\n1,skip,5\nlater,a,5\n");
    run(fixture); /* nobody listens, and nothing is to be sent */
    assert_int_equal(fixture->summary.letters, 2);
    run(fixture);
    assert_int_equal(fixture->summary.rows, 0);
    assert_int_equal(fixture->summary.letters, 0);
}

static void test_from_start(void **state)
{
    struct fixture *fixture = *state;
    fixture->played = played_start(fixture->endpoint);
    put(fixture, "f.csv", "w", "t,k,v\n1,a,5\n");
    run(fixture);
    fixture->options.from_start = true;
    run(fixture);
    assert_int_equal(fixture->summary.rows, 1);
    got(fixture, "m o/a a 5\nm o/a a 5\n");
}

static void test_nobody_answers(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "f.csv", "w", "t,k,v\n1,a,5\n");
    fixture->options.timeout_ms = 1;
    assert_int_equal(collector_run(&fixture->options, &fixture->summary, &fixture->err), POISE_ETIMEOUT);
    assert_int_equal(fixture->summary.batches_left, 1);
    assert_non_null(
        strstr(fixture->err.text, "/socket has not acknowledged all in time; batches that wait in /"));
    fixture->options.timeout_ms = TIMEOUT_MS;
    fixture->played = played_start(fixture->endpoint);
    run(fixture);
    assert_int_equal(fixture->summary.rows, 0);
    assert_int_equal(fixture->summary.acknowledged, 1);
    got(fixture, "m o/a a 5\n");
}

/* A row of two measurements at each place of a batch: a batch never ends within it. */
static void test_batches_end_between_rows(void **state)
{
    struct fixture *fixture = *state;
    struct buf expected = {0}, rows = {0};
    fixture->played = played_start(fixture->endpoint);
    buf_printf(&rows, "t,k,v\n");
    for (int i = 0; i < 1000; i++) {
        const char *key = i % 3 == 0 ? "one" : "both";
        buf_printf(&rows, "1,%s,%d\n", key, i);
        buf_printf(&expected, "m o/%s %s %d\n%s", key, key, i, i % 3 == 0 ? "" : "n o/both both 1\n");
    }
    buf_put_u8(&rows, 0);
    buf_put_u8(&expected, 0);
    put(fixture, "f.csv", "w", (const char *)rows.data);
    run(fixture);
    assert_int_equal(fixture->summary.sent, 1666);
    got(fixture, (const char *)expected.data);
    buf_free(&expected);
    buf_free(&rows);
}

static void test_replay_of_rows(void **state)
{
    struct fixture *fixture = *state;
    fixture->played = played_start(fixture->endpoint);
    put(fixture, "f.csv", "w", "t,k,v\n1,a,5\n1,b,x\n1,both,y\n1,c,z\n");
    run(fixture);
    assert_int_equal(fixture->summary.letters, 3);
    unlink(path_of(fixture, "f.csv")); /* letters stand for themselves */

    configure(fixture,
              "producer: p\nspool: spool\ndead_letters: dead.jsonl\nsources:\n  - csv: {path: f.csv}\n"
              "    time: {column: t, format: unix}\n    org: 'o/{k}'\n    key: '{k}'\n"
              "    measurements: [{measure: w, value: {column: v, values: {x: 1, y: 2}}}]\n");
    fixture->options.replay = true;
    run(fixture);
    assert_int_equal(fixture->summary.rows, 3);
    assert_int_equal(fixture->summary.sent, 2);
    assert_int_equal(fixture->summary.rows_refused, 1);
    assert_int_equal(fixture->summary.letters, 1);
    assert_false(exists(fixture, "dead.jsonl.replaying"));
    const char *letter = contents(fixture, "dead.jsonl");
    assert_non_null(strstr(letter, "\"reason\":\"column 'v': 'z' is not one of its `values`\""));
    assert_non_null(strstr(letter, "\"line\":5,"));
    assert_non_null(strstr(letter, "\"header\":\"t,k,v\",\"row\":\"1,c,z\""));

    unlink(path_of(fixture, "dead.jsonl"));
    run(fixture); /* nothing to replay is fine */
    assert_int_equal(fixture->summary.rows, 0);
    got(fixture, "m o/a a 5\nw o/b b 1\nw o/both both 2\n");
}

static void test_refused_measurements(void **state)
{
    struct fixture *fixture = *state;
    fixture->played = played_start(fixture->endpoint);
    played_refuse(fixture->played, "n");
    put(fixture, "f.csv", "w", "t,k,v\n1,both,5\n1,both,6\n");
    run(fixture);
    assert_int_equal(fixture->summary.rows_refused, 0);
    assert_int_equal(fixture->summary.refused, 2);
    assert_int_equal(fixture->summary.letters, 2);
    const char *letters = contents(fixture, "dead.jsonl");
    assert_non_null(strstr(letters, "\"reason\":\"unknown_measure: no scorecard here"));
    assert_non_null(strstr(
        letters, "\"measurement\":{\"measure\":\"n\",\"org\":\"o/both\",\"source\":\"\",\"key\":\"both\","
                 "\"time\":\"1970-01-01T00:00:01.000Z\",\"value\":1.0,\"of\":1.0"));
    fixture->options.replay = true;
    run(fixture); /* still refused */
    assert_int_equal(fixture->summary.letters, 2);
    assert_int_equal(fixture->summary.refused, 2);
    played_refuse(fixture->played, NULL);
    run(fixture);
    assert_int_equal(fixture->summary.refused, 0);
    assert_false(exists(fixture, "dead.jsonl"));
    got(fixture, "m o/both both 5\nm o/both both 6\nn o/both both 1\nn o/both both 1\n");
}

/* It may have been refused for any of what it is named by. */
static void test_the_log_names_what_was_refused(void **state)
{
    struct fixture *fixture = *state;
    char *text = NULL;
    size_t size;
    configure(fixture, CONFIG "    source: 's-{k}'\n");
    fixture->played = played_start(fixture->endpoint);
    played_refuse(fixture->played, "n");
    put(fixture, "f.csv", "w", "t,k,v\n1,both,5\n");
    fixture->log.out = open_memstream(&text, &size);
    assert_non_null(fixture->log.out);
    fixture->log.level = LOG_WARN;
    run(fixture);
    fclose(fixture->log.out);
    assert_non_null(strstr(text, "measure=n org=o/both source=s-both key=both reason=\"unknown_measure: "));
    free(text);
}

/* What was refused stays in the spool until it can stand among the dead letters. */
static void test_refused_measurements_that_cannot_be_kept(void **state)
{
    struct fixture *fixture = *state;
    const char *letters = fixture->config->dead_letters;
    fixture->played = played_start(fixture->endpoint);
    played_refuse(fixture->played, "n");
    put(fixture, "f.csv", "w", "t,k,v\n1,both,5\n");
    fixture->config->dead_letters = "/dev/full";
    assert_int_equal(collector_run(&fixture->options, &fixture->summary, &fixture->err), POISE_EFULL);
    assert_non_null(strstr(fixture->err.text, "dead letters /dev/full"));
    assert_int_equal(fixture->summary.acknowledged, 0);
    assert_int_equal(fixture->summary.batches_left, 1);
    fixture->config->dead_letters = letters;
    run(fixture);
    assert_int_equal(fixture->summary.rows, 0);
    assert_int_equal(fixture->summary.acknowledged, 2);
    assert_int_equal(fixture->summary.refused, 1);
    assert_int_equal(fixture->summary.letters, 1);
    assert_non_null(strstr(contents(fixture, "dead.jsonl"), "\"reason\":\"unknown_measure"));
    got(fixture, "m o/both both 5\n");
}

/* The letters were moved aside and sent in part, then power went. */
static void test_a_replay_goes_on(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "dead.jsonl", "w",
        "{\"measurement\":{\"measure\":\"m\",\"time\":\"1970-01-01T00:00:00Z\",\"value\":1}}\n"
        "{\"measurement\":{\"measure\":\"m\",\"time\":\"1970-01-01T00:00:00Z\",\"value\":2}}\n");
    fixture->options.replay = true;
    fixture->options.timeout_ms = 1;
    assert_int_equal(collector_run(&fixture->options, &fixture->summary, &fixture->err), POISE_ETIMEOUT);
    assert_int_equal(fixture->summary.sent, 2);
    assert_true(exists(fixture, "dead.jsonl.replaying"));
    put(fixture, "dead.jsonl.replaying", "a",
        "{\"measurement\":{\"measure\":\"m\",\"time\":\"1970-01-01T00:00:00Z\",\"value\":3}}\nnonsense\n");
    put(fixture, "dead.jsonl", "w",
        "{\"measurement\":{\"measure\":\"m\",\"time\":\"1970-01-01T00:00:00Z\",\"value\":4}}\n");

    fixture->played = played_start(fixture->endpoint);
    fixture->options.timeout_ms = TIMEOUT_MS;
    run(fixture);
    assert_int_equal(fixture->summary.sent, 1);
    assert_int_equal(fixture->summary.letters, 1);
    assert_false(exists(fixture, "dead.jsonl.replaying"));
    assert_non_null(strstr(contents(fixture, "dead.jsonl"), "\"value\":4}}\nnonsense\n"));
    got(fixture, "m  - 1\nm  - 2\nm  - 3\n");
}

/* SIGTERM, as a descriptor that is readable: what was read is safe, the rest is read by the next run. */
static void test_stopping(void **state)
{
    struct fixture *fixture = *state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    put(fixture, "f.csv", "w", "t,k,v\n1,a,5\n");
    fixture->options.once = false;
    fixture->options.stop_fd = pipe_fds[0];
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    run(fixture);
    assert_true(fixture->summary.stopped);
    assert_int_equal(fixture->summary.rows, 0);
    fixture->options.once = true;
    fixture->options.stop_fd = -1;
    fixture->played = played_start(fixture->endpoint);
    run(fixture);
    assert_int_equal(fixture->summary.rows, 1);
    got(fixture, "m o/a a 5\n");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* Who follows is not ended by an aggregator that has no room, or lost its store. */
static void test_an_aggregator_that_takes_nothing(void **state)
{
    static const poise_code denials[] = {POISE_ELIMIT, POISE_ELIMIT, POISE_EFORK};
    struct fixture *fixture = *state;
    int pipe_fds[2];
    char *text = NULL;
    size_t size, lines = 0;
    assert_int_equal(pipe(pipe_fds), 0);
    fixture->played = played_start(fixture->endpoint);
    played_deny(fixture->played, denials, 3);
    played_tell(fixture->played, pipe_fds[1]);
    put(fixture, "f.csv", "w", "t,k,v\n1,a,5\n");
    fixture->options.once = false;
    fixture->options.stop_fd = pipe_fds[0]; /* once it took something after all */
    fixture->log.out = open_memstream(&text, &size);
    assert_non_null(fixture->log.out);
    run(fixture);
    fclose(fixture->log.out);
    fixture->log.out = NULL;
    for (const char *at = text; (at = strstr(at, "the aggregator takes nothing")); at++) {
        lines++;
    }
    assert_int_equal(lines, 2); /* one a reason */
    assert_non_null(strstr(text, "not you"));
    free(text);

    played_deny(fixture->played, denials, 1);
    put(fixture, "f.csv", "a", "2,b,6\n");
    fixture->options.once = true;
    fixture->options.stop_fd = -1;
    assert_int_equal(collector_run(&fixture->options, &fixture->summary, &fixture->err), POISE_ELIMIT);
    assert_non_null(strstr(fixture->err.text, "not you"));
    got(fixture, "m o/a a 5\n");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* Until a descriptor becomes readable, as on SIGTERM. */
static void run_until_stopped(struct fixture *fixture)
{
    const struct itimerspec soon = {.it_value = {.tv_nsec = 300000000}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    assert_int_equal(timerfd_settime(timer, 0, &soon, NULL), 0);
    fixture->options.stop_fd = timer;
    run(fixture);
    assert_true(fixture->summary.stopped);
    fixture->options.stop_fd = -1;
    close(timer);
}

/* The spool is full and nobody takes anything: reading waits, and goes on from there. */
static void test_a_full_spool(void **state)
{
    struct fixture *fixture = *state;
    struct buf rows = {0};
    enum { ROWS = 60000 };
    buf_printf(&rows, "t,k,v\n");
    for (int i = 0; i < ROWS; i++) {
        buf_printf(&rows, "1,key-%d,%d\n", i, i);
    }
    buf_put_u8(&rows, 0);
    put(fixture, "f.csv", "w", (const char *)rows.data);
    buf_free(&rows);
    fixture->config->spool_max = 1 << 20;
    run_until_stopped(fixture);
    assert_true(fixture->summary.rows < ROWS);

    fixture->played = played_start(fixture->endpoint);
    run(fixture);
    char *got_rows = played_stop(fixture->played);
    fixture->played = NULL;
    char *at = got_rows;
    for (int i = 0; i < ROWS; i++) {
        char line[64];
        int length = snprintf(line, sizeof line, "m o/key-%d key-%d %g\n", i, i, (double)i);
        assert_memory_equal(at, line, (size_t)length);
        at += length;
    }
    assert_int_equal(*at, 0);
    free(got_rows);
}

/* Stopped with letters for which the spool had no room: they are sent by the next replay. */
static void test_a_replay_into_a_full_spool(void **state)
{
    struct fixture *fixture = *state;
    enum { ROWS = 60000, LETTERS = 60, FILL = 200 };
    struct buf text = {0};
    buf_printf(&text, "t,k,v\n");
    for (int i = 0; i < ROWS; i++) {
        buf_printf(&text, "1,key-%d,%d\n", i, i);
    }
    buf_put_u8(&text, 0);
    put(fixture, "f.csv", "w", (const char *)text.data);
    fixture->config->spool_max = 1 << 20;
    run_until_stopped(fixture);

    buf_reset(&text);
    for (int i = 0; i < LETTERS; i++) { /* one batch, and too long for what room is left */
        buf_printf(&text,
                   "{\"measurement\":{\"measure\":\"w\",\"key\":\"%0*d\",\"time\":\"1970-01-01T00:00:00Z\","
                   "\"value\":1}}\n",
                   FILL, i);
    }
    buf_put_u8(&text, 0);
    put(fixture, "dead.jsonl", "w", (const char *)text.data);
    buf_free(&text);
    fixture->options.replay = true;
    run_until_stopped(fixture);
    assert_true(exists(fixture, "dead.jsonl.replaying"));

    fixture->played = played_start(fixture->endpoint);
    run(fixture);
    assert_false(exists(fixture, "dead.jsonl.replaying"));
    char *got_rows = played_stop(fixture->played);
    fixture->played = NULL;
    size_t letters = 0;
    for (const char *at = got_rows; (at = strstr(at, "w  ")); at++) {
        letters++;
    }
    assert_int_equal(letters, LETTERS);
    free(got_rows);
}

static void test_the_log_says_each_kind_some_times(void **state)
{
    struct fixture *fixture = *state;
    char *text = NULL;
    size_t size, lines = 0;
    put(fixture, "f.csv", "w", "t,k,v\n");
    for (int i = 0; i < 50; i++) {
        put(fixture, "f.csv", "a", i % 2 ? "1,a,x\n" : "soon,a,1\n");
    }
    fixture->log.out = open_memstream(&text, &size);
    fixture->log.level = LOG_WARN;
    assert_non_null(fixture->log.out);
    run(fixture);
    fclose(fixture->log.out);
    for (const char *at = text; (at = strstr(at, "row refused")); at++) {
        lines++;
    }
    assert_int_equal(lines, 40);
    assert_non_null(strstr(text, "f.csv line=2 reason=\"column 't': 'soon' is not"));
    assert_non_null(strstr(text, "kind=time count=5"));
    assert_non_null(strstr(text, "kind=number count=5"));
    assert_int_equal(fixture->summary.letters, 50);
    free(text);
}

static void test_what_makes_it_impossible(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(collector_run(&fixture->options, &fixture->summary, &fixture->err), POISE_EIO);
    assert_non_null(strstr(fixture->err.text, "cannot open"));
    put(fixture, "f.csv", "w", "t,k\n1,a\n");
    assert_int_equal(collector_run(&fixture->options, &fixture->summary, &fixture->err), POISE_EINVAL);
    assert_non_null(strstr(fixture->err.text, "no column 'v'"));
    fixture->config->dead_letters = "/dev/full";
    put(fixture, "f.csv", "w", "t,k,v\n1,a,x\n1,a,5\n");
    assert_int_equal(collector_run(&fixture->options, &fixture->summary, &fixture->err), POISE_EFULL);
    assert_non_null(strstr(fixture->err.text, "dead letters /dev/full"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_once_and_again),
                                       TEST(test_refused_rows_are_refused_once),
                                       TEST(test_from_start),
                                       TEST(test_nobody_answers),
                                       TEST(test_batches_end_between_rows),
                                       TEST(test_replay_of_rows),
                                       TEST(test_refused_measurements),
                                       TEST(test_the_log_names_what_was_refused),
                                       TEST(test_refused_measurements_that_cannot_be_kept),
                                       TEST(test_a_replay_goes_on),
                                       TEST(test_stopping),
                                       TEST(test_an_aggregator_that_takes_nothing),
                                       TEST(test_a_full_spool),
                                       TEST(test_a_replay_into_a_full_spool),
                                       TEST(test_the_log_says_each_kind_some_times),
                                       TEST(test_what_makes_it_impossible)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
