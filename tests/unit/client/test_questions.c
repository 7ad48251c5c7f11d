/* poise_get, poise_ask and poise_get_stats, each called by a thread while the test plays the aggregator. */
#include "fake.h"

#include <poise/client.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct bench {
    struct fake fake;
    poise_client *client;
    pthread_t thread;
    int64_t timeout_ms;
    poise_question question;
    size_t stop_at; /* events after which the callback answers false; 0: never */
    /* What the call gave. */
    poise_code code;
    poise_error err;
    size_t events;
    char heard[512];
};

static bool on_event(void *context, const poise_event *event)
{
    struct bench *b = context;
    size_t used = strlen(b->heard);
    if (event->kind == POISE_EVENT_STATE) {
        snprintf(b->heard + used, sizeof b->heard - used, "%s ", event->state->node);
    } else {
        snprintf(b->heard + used, sizeof b->heard - used, "%s@%d/%d ",
                 event->kind == POISE_EVENT_READY ? "ready" : "?", (int)event->lsn, (int)event->as_of_ms);
    }
    return ++b->events != b->stop_at;
}

static void on_number(void *context, const char *name, double value)
{
    struct bench *b = context;
    size_t used = strlen(b->heard);
    snprintf(b->heard + used, sizeof b->heard - used, "%s=%g ", name, value);
}

static void *call_get(void *context)
{
    struct bench *b = context;
    const char *cards[] = {"card"};
    poise_filter filter = {.scorecards = cards, .scorecard_count = 1};
    b->code = poise_get(b->client, &filter, b->timeout_ms, on_event, b, &b->err);
    return NULL;
}

static void *call_ask(void *context)
{
    struct bench *b = context;
    b->code = poise_ask(b->client, &b->question, b->timeout_ms, on_event, b, &b->err);
    return NULL;
}

static void *call_get_stats(void *context)
{
    struct bench *b = context;
    b->code = poise_get_stats(b->client, b->timeout_ms, on_number, b, &b->err);
    return NULL;
}

static void *call_backup(void *context)
{
    struct bench *b = context;
    poise_backed_up backed_up;
    b->code = poise_backup(b->client, "monday", b->timeout_ms, &backed_up, &b->err);
    return NULL;
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){.timeout_ms = PATIENCE_MS};
    fake_open(&bench.fake);
    fake_up(&bench.fake);
    poise_client_options options = {.endpoint = bench.fake.endpoint};
    assert_int_equal(poise_client_open(&options, &bench.client, NULL), POISE_OK);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    poise_client_close(b->client);
    fake_close(&b->fake);
    return 0;
}

static void start(struct bench *b, void *(*call)(void *context))
{
    b->heard[0] = '\0';
    assert_int_equal(pthread_create(&b->thread, NULL, call, b), 0);
}

static void finish(struct bench *b)
{
    assert_int_equal(pthread_join(b->thread, NULL), 0);
}

static void part(struct bench *b, enum wire_kind kind, uint64_t id, uint64_t lsn, bool last, const char *node)
{
    poise_state state = {.org = "", .node = node, .name = "", .numbers = {.count = -1}};
    state.revision = kind == WIRE_RESULT ? 4 : 0; /* what was asked for is no news, revised or not */
    struct wire_states states = {
        .id = id, .lsn = lsn, .as_of_ms = 7, .last = last, .states = &state, .count = 1};
    fake_send(&b->fake, kind, wire_encode_states(kind, &states, &b->fake.body));
}

static uint64_t expect_get(struct bench *b)
{
    struct wire_subscribe subscribe;
    fake_expect(&b->fake, WIRE_SUBSCRIBE);
    assert_int_equal(wire_decode_subscribe(b->fake.bytes, b->fake.length, &b->fake.arena, &subscribe, NULL),
                     POISE_OK);
    assert_true(subscribe.once);
    assert_int_equal(subscribe.filter.scorecard_count, 1);
    return subscribe.id;
}

static void test_get(void **state)
{
    struct bench *b = *state;
    start(b, call_get);
    uint64_t id = expect_get(b);
    part(b, WIRE_SNAPSHOT, id + 1, 3, true, "foreign");
    part(b, WIRE_SNAPSHOT, id, 3, false, "card");
    part(b, WIRE_SNAPSHOT, id, 4, true, "card/people");
    finish(b);
    assert_int_equal(b->code, POISE_OK);
    assert_string_equal(b->heard, "card card/people ready@4/7 ");

    start(b, call_get);
    assert_true(expect_get(b) != id);
    part(b, WIRE_SNAPSHOT, id + 1, 5, true, "card");
    finish(b);
    assert_string_equal(b->heard, "card ready@5/7 ");
}

static void test_get_returns_credit(void **state)
{
    struct bench *b = *state;
    start(b, call_get);
    uint64_t id = expect_get(b);
    for (int i = 0; i < 32; i++) {
        part(b, WIRE_SNAPSHOT, id, 4, false, "c");
    }
    fake_expect(&b->fake, WIRE_CREDIT);
    struct wire_credit credit;
    assert_int_equal(wire_decode_credit(b->fake.bytes, b->fake.length, &b->fake.arena, &credit, NULL),
                     POISE_OK);
    assert_int_equal(credit.id, id);
    assert_int_equal(credit.more, 32);
    part(b, WIRE_SNAPSHOT, id, 4, true, "c");
    finish(b);
    assert_int_equal(b->code, POISE_OK);
}

static void test_the_callback_ends_it(void **state)
{
    struct bench *b = *state;
    b->stop_at = 1;
    start(b, call_get);
    uint64_t id = expect_get(b);
    part(b, WIRE_SNAPSHOT, id, 4, false, "card");
    finish(b);
    assert_int_equal(b->code, POISE_OK);
    assert_string_equal(b->heard, "card ");
    fake_expect(&b->fake, WIRE_UNSUBSCRIBE);
}

static void test_ask(void **state)
{
    struct bench *b = *state;
    b->question = (poise_question){.scorecard = "card", .org = "plant-1", .history = true, .as_of_ms = 99};
    start(b, call_ask);
    struct wire_query query;
    fake_expect(&b->fake, WIRE_QUERY);
    assert_int_equal(wire_decode_query(b->fake.bytes, b->fake.length, &b->fake.arena, &query, NULL),
                     POISE_OK);
    assert_string_equal(query.scorecard, "card");
    assert_string_equal(query.org, "plant-1");
    assert_true(query.history && !query.all_orgs);
    assert_int_equal(query.as_of_ms, 99);
    assert_int_equal(query.credit, 64);
    part(b, WIRE_RESULT, query.id, 4, true, "card");
    finish(b);
    assert_int_equal(b->code, POISE_OK);
    assert_string_equal(b->heard, "card ready@4/99 ");
}

static void test_errors_are_answers(void **state)
{
    struct bench *b = *state;
    b->question = (poise_question){.scorecard = "nonesuch"};
    start(b, call_ask);
    fake_expect(&b->fake, WIRE_QUERY);
    struct wire_query query;
    assert_int_equal(wire_decode_query(b->fake.bytes, b->fake.length, &b->fake.arena, &query, NULL),
                     POISE_OK);
    fake_error(&b->fake, query.id + 1, POISE_EDENIED); /* somebody else's */
    fake_error(&b->fake, query.id, POISE_ENOTFOUND);
    finish(b);
    assert_int_equal(b->code, POISE_ENOTFOUND);
    assert_non_null(strstr(b->err.text, "says the fake"));

    char long_name[POISE_ID_MAX + 2];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    b->question.scorecard = long_name;
    assert_int_equal(poise_ask(b->client, &b->question, 0, on_event, b, NULL), POISE_ENOTFOUND);
}

static uint64_t expect_ask(struct bench *b)
{
    struct wire_query query;
    fake_expect(&b->fake, WIRE_QUERY);
    assert_int_equal(wire_decode_query(b->fake.bytes, b->fake.length, &b->fake.arena, &query, NULL),
                     POISE_OK);
    assert_string_equal(query.scorecard, "card");
    return query.id;
}

static void test_who_is_busy_is_asked_again(void **state)
{
    struct bench *b = *state;
    b->question = (poise_question){.scorecard = "card"};
    start(b, call_ask);
    fake_error(&b->fake, expect_ask(b), POISE_EBUSY);
    part(b, WIRE_RESULT, expect_ask(b), 4, true, "card");
    finish(b);
    assert_int_equal(b->code, POISE_OK);
    assert_string_equal(b->heard, "card ready@4/0 ");

    start(b, call_ask); /* what has come is not to come twice */
    uint64_t id = expect_ask(b);
    part(b, WIRE_RESULT, id, 4, false, "card");
    fake_error(&b->fake, id, POISE_EBUSY);
    finish(b);
    assert_int_equal(b->code, POISE_EBUSY);
    fake_expect(&b->fake, WIRE_UNSUBSCRIBE);

    start(b, call_backup); /* the name may be taken */
    struct wire_backup backup;
    fake_expect(&b->fake, WIRE_BACKUP);
    assert_int_equal(wire_decode_backup(b->fake.bytes, b->fake.length, &b->fake.arena, &backup, NULL),
                     POISE_OK);
    fake_error(&b->fake, backup.id, POISE_EBUSY);
    finish(b);
    assert_int_equal(b->code, POISE_EBUSY);
}

static void expect_probe(struct bench *b, uint64_t id)
{
    struct wire_credit sign;
    fake_expect(&b->fake, WIRE_CREDIT);
    assert_int_equal(wire_decode_credit(b->fake.bytes, b->fake.length, &b->fake.arena, &sign, NULL),
                     POISE_OK);
    assert_true(sign.id == id && sign.more == 0);
}

static void test_what_is_forgotten_is_asked_again(void **state)
{
    struct bench *b = *state;
    b->question = (poise_question){.scorecard = "card"};
    start(b, call_ask);
    uint64_t id = expect_ask(b);
    expect_probe(b, id); /* which is answered by silence where it is known */
    expect_probe(b, id);
    fake_error(&b->fake, id, POISE_ENOTFOUND);
    part(b, WIRE_RESULT, expect_ask(b), 4, true, "card");
    finish(b);
    assert_int_equal(b->code, POISE_OK);
    assert_string_equal(b->heard, "card ready@4/0 ");

    start(b, call_ask);
    id = expect_ask(b);
    expect_probe(b, id);
    fake_error(&b->fake, id, POISE_ENOTFOUND);
    assert_int_equal(expect_ask(b), id);
    fake_error(&b->fake, id, POISE_ENOTFOUND); /* of what it asks for there is none */
    finish(b);
    assert_int_equal(b->code, POISE_ENOTFOUND);
}

static void test_a_forgotten_order_is_not_given_again(void **state)
{
    struct bench *b = *state;
    struct wire_backup backup;
    start(b, call_backup);
    fake_expect(&b->fake, WIRE_BACKUP);
    assert_int_equal(wire_decode_backup(b->fake.bytes, b->fake.length, &b->fake.arena, &backup, NULL),
                     POISE_OK);
    expect_probe(b, backup.id);
    fake_error(&b->fake, backup.id, POISE_ENOTFOUND);
    finish(b);
    assert_int_equal(b->code, POISE_ENOTFOUND);
    assert_non_null(strstr(b->err.text, "audit log"));
}

static void test_stats(void **state)
{
    struct bench *b = *state;
    start(b, call_get_stats);
    uint64_t id;
    fake_expect(&b->fake, WIRE_STATS_REQUEST);
    assert_int_equal(wire_decode_stats_request(b->fake.bytes, b->fake.length, &b->fake.arena, &id, NULL),
                     POISE_OK);
    const char *names[] = {"batches", "rows"};
    double values[] = {3, 4000};
    struct wire_stats stats = {.id = id, .names = names, .values = values, .count = 2};
    fake_send(&b->fake, WIRE_STATS, wire_encode_stats(&stats, &b->fake.body));
    finish(b);
    assert_int_equal(b->code, POISE_OK);
    assert_string_equal(b->heard, "batches=3 rows=4000 ");
}

static void test_no_answer_is_a_timeout(void **state)
{
    struct bench *b = *state;
    b->timeout_ms = 100;
    start(b, call_get);
    finish(b);
    assert_int_equal(b->code, POISE_ETIMEOUT);
    assert_non_null(strstr(b->err.text, b->fake.endpoint));
    fake_down(&b->fake);
    start(b, call_get_stats);
    finish(b);
    assert_int_equal(b->code, POISE_ETIMEOUT);
}

static void test_a_late_aggregator_is_awaited(void **state)
{
    struct bench *b = *state;
    fake_down(&b->fake);
    start(b, call_get);
    fake_up(&b->fake);
    part(b, WIRE_SNAPSHOT, expect_get(b), 4, true, "card");
    finish(b);
    assert_int_equal(b->code, POISE_OK);
}

static void test_not_beside_a_subscription(void **state)
{
    struct bench *b = *state;
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    assert_int_equal(poise_get(b->client, NULL, 0, on_event, b, NULL), POISE_EBUSY);
    assert_int_equal(poise_ask(b->client, &b->question, 0, on_event, b, NULL), POISE_EBUSY);
    assert_int_equal(poise_get_stats(b->client, 0, on_number, b, NULL), POISE_EBUSY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_get_returns_credit),
        TEST(test_the_callback_ends_it),
        TEST(test_ask),
        TEST(test_errors_are_answers),
        TEST(test_who_is_busy_is_asked_again),
        TEST(test_what_is_forgotten_is_asked_again),
        TEST(test_a_forgotten_order_is_not_given_again),
        TEST(test_stats),
        TEST(test_no_answer_is_a_timeout),
        TEST(test_a_late_aggregator_is_awaited),
        TEST(test_not_beside_a_subscription),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
