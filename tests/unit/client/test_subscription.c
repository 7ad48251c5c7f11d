/* A subscription against an aggregator that the test plays. */
#include "fake.h"

#include <math.h>
#include <poise/client.h>
#include <stdio.h>
#include <string.h>

struct bench {
    struct fake fake;
    poise_client *client;
    uint64_t id;      /* of the last SUBSCRIBE */
    char heard[4096]; /* the events so far, a word each */
    int stop_after;   /* events until the callback answers false; negative: never */
    bool more;        /* what is sent says that revisions follow */
    bool part;        /* what is sent is a part of an update */
};
enum { VIEW = 77 };

static bool on_event(void *context, const poise_event *event)
{
    struct bench *b = context;
    size_t used = strlen(b->heard);
    char *at = b->heard + used;
    size_t room = sizeof b->heard - used;
    switch (event->kind) {
    case POISE_EVENT_RESET:
        snprintf(at, room, "reset ");
        break;
    case POISE_EVENT_STATE:
        snprintf(at, room, "%s=%g ", event->state->node, event->state->numbers.score);
        break;
    case POISE_EVENT_REVISION:
        snprintf(at, room, "revision %d of %s=%g for %g by %d @%d ", (int)event->state->revision,
                 event->state->node, event->state->numbers.score, event->state->replaced,
                 (int)event->state->cause, (int)event->state->as_of_ms);
        break;
    case POISE_EVENT_READY:
        snprintf(at, room, "ready@%d ", (int)event->lsn);
        break;
    case POISE_EVENT_LOST:
        snprintf(at, room, "lost ");
        break;
    }
    return b->stop_after < 0 || b->stop_after-- > 0;
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){.stop_after = -1};
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

static void step(struct bench *b, int64_t timeout_ms)
{
    poise_error err = {0};
    if (poise_client_step(b->client, timeout_ms, on_event, b, &err) != POISE_OK) {
        fail_msg("step: %s", err.text);
    }
}

/* Steps the client until the fake hears something, which must be of the kind. */
static void expect(struct bench *b, enum wire_kind kind)
{
    int64_t end = now_ms() + PATIENCE_MS;
    while (!fake_receive(&b->fake)) {
        step(b, 5);
        assert_true(now_ms() < end);
    }
    assert_int_equal(b->fake.kind, kind);
}

static struct wire_subscribe expect_subscribe(struct bench *b)
{
    struct wire_subscribe subscribe;
    expect(b, WIRE_SUBSCRIBE);
    assert_int_equal(wire_decode_subscribe(b->fake.bytes, b->fake.length, &b->fake.arena, &subscribe, NULL),
                     POISE_OK);
    assert_true(subscribe.id != b->id);
    b->id = subscribe.id;
    return subscribe;
}

static struct wire_credit expect_credit(struct bench *b)
{
    struct wire_credit credit;
    expect(b, WIRE_CREDIT);
    assert_int_equal(wire_decode_credit(b->fake.bytes, b->fake.length, &b->fake.arena, &credit, NULL),
                     POISE_OK);
    assert_int_equal(credit.id, b->id);
    return credit;
}

static void expect_unsubscribe(struct bench *b)
{
    uint64_t id;
    expect(b, WIRE_UNSUBSCRIBE);
    assert_int_equal(wire_decode_unsubscribe(b->fake.bytes, b->fake.length, &b->fake.arena, &id, NULL),
                     POISE_OK);
    assert_int_equal(id, b->id);
}

/* Steps until exactly these events were heard since the last time. */
static void expect_events(struct bench *b, const char *events)
{
    int64_t end = now_ms() + PATIENCE_MS;
    while (strlen(b->heard) < strlen(events) && now_ms() < end) {
        step(b, 5);
    }
    assert_string_equal(b->heard, events);
    b->heard[0] = '\0';
}

static poise_state node(const char *name, double score)
{
    poise_state state = {.org = "plant-1",
                         .node = name,
                         .name = "A name",
                         .kind = POISE_MEASURE,
                         .weight = 1,
                         .as_of_ms = 1700000000000,
                         .numbers = {.value = 1,
                                     .attainment = score,
                                     .score = score,
                                     .lo = score,
                                     .hi = score,
                                     .coverage = 1,
                                     .filled = 1,
                                     .trend = NAN,
                                     .count = 1,
                                     .period_start_ms = INT64_MIN,
                                     .period_end_ms = INT64_MIN,
                                     .status = POISE_GREEN}};
    return state;
}

static void snapshot(struct bench *b, uint64_t lsn, bool last, const char *name, double score)
{
    poise_state state = node(name, score);
    struct wire_states part = {.id = b->id,
                               .lsn = lsn,
                               .as_of_ms = 5,
                               .last = last,
                               .more = b->more,
                               .view = last ? VIEW : 0,
                               .states = &state,
                               .count = 1};
    fake_send(&b->fake, WIRE_SNAPSHOT, wire_encode_states(WIRE_SNAPSHOT, &part, &b->fake.body));
}

static void update(struct bench *b, uint64_t prev, uint64_t lsn, const char *name, double score)
{
    poise_state state = node(name, score);
    struct wire_states part = {.id = b->id,
                               .lsn = lsn,
                               .prev = prev,
                               .as_of_ms = 6,
                               .part = b->part,
                               .states = &state,
                               .count = name ? 1 : 0};
    fake_send(&b->fake, WIRE_UPDATE, wire_encode_states(WIRE_UPDATE, &part, &b->fake.body));
}

/* A view with one node as of lsn 10. */
static void begin(struct bench *b)
{
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    expect_subscribe(b);
    snapshot(b, 10, true, "card", 50);
    expect_events(b, "reset card=50 ready@10 ");
}

static void test_snapshot_then_updates(void **state)
{
    struct bench *b = *state;
    const char *orgs[] = {"plant-*", ""};
    poise_filter filter = {.orgs = orgs, .org_count = 2};
    assert_int_equal(poise_subscribe(b->client, &filter, 250, NULL), POISE_OK);
    struct wire_subscribe subscribe = expect_subscribe(b);
    assert_int_equal(subscribe.filter.org_count, 2);
    assert_string_equal(subscribe.filter.orgs[0], "plant-*");
    assert_int_equal(subscribe.filter.node_count, 0);
    assert_int_equal(subscribe.least_interval_ms, 250);
    assert_int_equal(subscribe.credit, 64);
    assert_false(subscribe.once);
    snapshot(b, 10, false, "card", 50);
    snapshot(b, 10, true, "card/people", 60);
    expect_events(b, "reset card=50 card/people=60 ready@10 ");
    update(b, 10, 12, "card", 51);
    update(b, 12, 20, "card", 52);
    expect_events(b, "card=51 ready@12 card=52 ready@20 ");
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_EBUSY);
}

/* An update with a node's latest numbers and a revision, or with the revision alone. */
static void revise(struct bench *b, uint64_t prev, uint64_t lsn, bool alone)
{
    poise_state states[] = {node("card", 52), node("card", 31)};
    states[1].revision = 3;
    states[1].as_of_ms = 4;
    states[1].replaced = 30;
    states[1].cause = 77;
    struct wire_states part = {.id = b->id,
                               .lsn = lsn,
                               .prev = prev,
                               .as_of_ms = 6,
                               .more = b->more,
                               .states = alone ? states + 1 : states,
                               .count = alone ? 1 : 2};
    fake_send(&b->fake, WIRE_UPDATE, wire_encode_states(WIRE_UPDATE, &part, &b->fake.body));
}

static void test_revisions_are_told_apart(void **state)
{
    struct bench *b = *state;
    begin(b);
    revise(b, 10, 11, false);
    expect_events(b, "card=52 revision 3 of card=31 for 30 by 77 @4 ready@11 ");
    revise(b, 11, 11, true); /* it does not move the view, and is no sign of life */
    update(b, 11, 12, "card", 53);
    expect_events(b, "revision 3 of card=31 for 30 by 77 @4 ready@11 card=53 ready@12 ");
    b->stop_after = 0; /* after one event */
    revise(b, 12, 13, true);
    step(b, -1);
    assert_string_equal(b->heard, "revision 3 of card=31 for 30 by 77 @4 ");
}

/* In a snapshot a state is a node's latest, whatever it says of itself. */
static void test_a_snapshot_has_no_revisions(void **state)
{
    struct bench *b = *state;
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    expect_subscribe(b);
    poise_state state_of = node("card", 50);
    state_of.revision = 2;
    struct wire_states part = {
        .id = b->id, .lsn = 10, .as_of_ms = 5, .last = true, .states = &state_of, .count = 1};
    fake_send(&b->fake, WIRE_SNAPSHOT, wire_encode_states(WIRE_SNAPSHOT, &part, &b->fake.body));
    expect_events(b, "reset card=50 ready@10 ");
}

static void test_credit_of_revisions_is_returned(void **state)
{
    struct bench *b = *state;
    begin(b);
    for (int i = 0; i < 31; i++) {
        revise(b, 10, 10, true);
    }
    assert_int_equal(expect_credit(b).more, 32);
}

static void test_a_new_snapshot_begins_the_view_anew(void **state)
{
    struct bench *b = *state;
    begin(b);
    snapshot(b, 30, true, "card", 70);
    update(b, 30, 31, "card", 71);
    expect_events(b, "reset card=70 ready@30 card=71 ready@31 ");
}

static void test_credit_is_returned(void **state)
{
    struct bench *b = *state;
    begin(b);
    for (uint64_t lsn = 10; lsn < 10 + 31; lsn++) {
        update(b, lsn, lsn + 1, "c", 1);
    }
    assert_int_equal(expect_credit(b).more, 32);
}

static void test_a_lost_update_begins_the_view_anew(void **state)
{
    struct bench *b = *state;
    begin(b);
    update(b, 11, 12, "card", 51);
    expect_unsubscribe(b);
    update(b, 12, 13, "card", 52); /* of the old stream, still on its way */
    expect_subscribe(b);
    snapshot(b, 13, true, "card", 53);
    expect_events(b, "reset card=53 ready@13 ");
}

static void test_a_snapshot_is_as_of_its_last_part(void **state)
{
    struct bench *b = *state;
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    expect_subscribe(b);
    snapshot(b, 10, false, "card", 50);
    snapshot(b, 11, false, "card/people", 60);
    snapshot(b, 12, true, "card", 51);
    update(b, 12, 13, "card", 52);
    expect_events(b, "reset card=50 card/people=60 card=51 ready@12 card=52 ready@13 ");
}

static void test_a_busy_aggregator_is_asked_again(void **state)
{
    struct bench *b = *state;
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    expect_subscribe(b);
    fake_error(&b->fake, b->id, POISE_EBUSY);
    expect_subscribe(b);
    snapshot(b, 3, true, "card", 40);
    expect_events(b, "reset card=40 ready@3 ");
}

static void test_a_quiet_aggregator_is_asked_for_a_sign(void **state)
{
    struct bench *b = *state;
    begin(b);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(expect_credit(b).more, 0);
        update(b, 10, 10, NULL, 0);
    }
    update(b, 10, 11, "card", 51);
    expect_events(b, "card=51 ready@11 ");
}

static void test_a_restarted_aggregator_is_asked_again(void **state)
{
    struct bench *b = *state;
    begin(b);
    fake_down(&b->fake);
    fake_up(&b->fake);
    assert_int_equal(expect_credit(b).more, 0);
    fake_error(&b->fake, b->id, POISE_ENOTFOUND);
    expect_subscribe(b);
    snapshot(b, 3, true, "card", 40);
    expect_events(b, "reset card=40 ready@3 ");
}

/* The aggregator knows the subscription no more; what the client then asks for. */
static struct wire_subscribe cut_off(struct bench *b)
{
    fake_error(&b->fake, b->id, POISE_ENOTFOUND);
    return expect_subscribe(b);
}

static void test_who_is_cut_off_goes_on(void **state)
{
    struct bench *b = *state;
    begin(b);
    update(b, 10, 12, "card", 51);
    expect_events(b, "card=51 ready@12 ");
    struct wire_subscribe subscribe = cut_off(b);
    assert_true(subscribe.from_lsn == 12 && subscribe.from_revised == 0 && subscribe.from_view == VIEW);
    update(b, 12, 12, NULL, 0); /* nothing has changed since */
    update(b, 12, 15, "card", 52);
    expect_events(b, "ready@12 card=52 ready@15 ");
    subscribe = cut_off(b);
    assert_int_equal(subscribe.from_lsn, 15);
    update(b, 15, 16, "card", 53); /* something has */
    expect_events(b, "card=53 ready@16 ");
    assert_int_equal(cut_off(b).from_lsn, 16);
    update(b, 15, 17, "card", 54); /* that is not where it is */
    expect_unsubscribe(b);
    expect_subscribe(b);
    snapshot(b, 18, true, "card", 55);
    expect_events(b, "reset card=55 ready@18 ");
}

static void test_revisions_go_on_where_they_were(void **state)
{
    struct bench *b = *state;
    begin(b);
    b->more = true;
    revise(b, 10, 11, false);
    revise(b, 11, 11, true);
    struct wire_subscribe subscribe = cut_off(b);
    assert_true(subscribe.from_lsn == 10 && subscribe.from_revised == 2);
    b->heard[0] = '\0';
    revise(b, 10, 12, false);
    subscribe = cut_off(b);
    assert_true(subscribe.from_lsn == 10 && subscribe.from_revised == 3);
    b->more = false;
    revise(b, 10, 12, true);
    subscribe = cut_off(b);
    assert_true(subscribe.from_lsn == 12 && subscribe.from_revised == 0);
}

static void test_an_update_comes_in_parts(void **state)
{
    struct bench *b = *state;
    begin(b);
    b->part = true;
    update(b, 10, 10, "card", 51);
    update(b, 10, 10, "card/people", 61);
    b->part = false;
    update(b, 10, 12, NULL, 0);
    expect_events(b, "card=51 card/people=61 ready@12 ");
    b->part = true;
    update(b, 12, 12, "card", 52);
    expect_events(b, "card=52 ");
    b->part = false;
    assert_int_equal(cut_off(b).from_lsn, 12);
    update(b, 12, 12, NULL, 0); /* its view is not whole as of 12 */
    update(b, 12, 13, "card", 53);
    expect_events(b, "card=53 ready@13 ");
}

/* Cut off within a snapshot, or when revisions of before it are to come, it is a loss. */
static void test_what_is_not_whole_begins_anew(void **state)
{
    struct bench *b = *state;
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    expect_subscribe(b);
    snapshot(b, 10, false, "card", 50);
    assert_int_equal(cut_off(b).from_lsn, 0);
    b->more = true;
    snapshot(b, 11, true, "card", 51);
    assert_int_equal(cut_off(b).from_lsn, 0);
    snapshot(b, 11, true, "card", 51);
    b->more = false;
    revise(b, 11, 11, true);
    assert_int_equal(cut_off(b).from_lsn, 11);
}

static void test_a_silent_aggregator_is_lost(void **state)
{
    struct bench *b = *state;
    begin(b);
    expect_credit(b);
    expect_credit(b);
    expect_subscribe(b); /* on another connection */
    snapshot(b, 3, true, "card", 40);
    expect_events(b, "lost reset card=40 ready@3 ");
}

static void test_the_callback_may_stop_anywhere(void **state)
{
    struct bench *b = *state;
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    expect_subscribe(b);
    snapshot(b, 10, false, "card", 50);
    snapshot(b, 10, true, "card/people", 60);
    update(b, 10, 11, "card", 51);
    const char *events[] = {"reset ", "card=50 ", "card/people=60 ", "ready@10 ", "card=51 ", "ready@11 "};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        b->stop_after = 0; /* after one event */
        step(b, -1);
        assert_string_equal(b->heard, events[i]);
        b->heard[0] = '\0';
    }
}

static void test_a_refused_subscription_is_over(void **state)
{
    struct bench *b = *state;
    poise_error err = {0};
    assert_int_equal(poise_client_step(b->client, 0, on_event, b, &err), POISE_EINVAL);
    assert_int_equal(poise_subscribe(b->client, NULL, 0, NULL), POISE_OK);
    expect_subscribe(b);
    fake_error(&b->fake, b->id, POISE_EDENIED);
    assert_int_equal(poise_client_step(b->client, PATIENCE_MS, on_event, b, &err), POISE_EDENIED);
    assert_non_null(strstr(err.text, "says the fake"));
    assert_int_equal(poise_client_step(b->client, 0, on_event, b, &err), POISE_EINVAL);
    begin(b);
}

static void test_bad_filters_are_refused(void **state)
{
    struct bench *b = *state;
    const char *many[WIRE_FILTER_MAX + 1];
    for (size_t i = 0; i < WIRE_FILTER_MAX + 1; i++) {
        many[i] = "card";
    }
    poise_filter filter = {.nodes = many, .node_count = WIRE_FILTER_MAX + 1};
    assert_int_equal(poise_subscribe(b->client, &filter, 0, NULL), POISE_ELIMIT);
    filter.node_count = WIRE_FILTER_MAX;
    many[7] = NULL;
    assert_int_equal(poise_subscribe(b->client, &filter, 0, NULL), POISE_EINVAL);
    assert_int_equal(poise_subscribe(b->client, NULL, -1, NULL), POISE_EINVAL);
    begin(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snapshot_then_updates),
        TEST(test_revisions_are_told_apart),
        TEST(test_a_snapshot_has_no_revisions),
        TEST(test_credit_of_revisions_is_returned),
        TEST(test_a_new_snapshot_begins_the_view_anew),
        TEST(test_credit_is_returned),
        TEST(test_a_lost_update_begins_the_view_anew),
        TEST(test_a_snapshot_is_as_of_its_last_part),
        TEST(test_a_busy_aggregator_is_asked_again),
        TEST(test_a_quiet_aggregator_is_asked_for_a_sign),
        TEST(test_a_restarted_aggregator_is_asked_again),
        TEST(test_who_is_cut_off_goes_on),
        TEST(test_revisions_go_on_where_they_were),
        TEST(test_an_update_comes_in_parts),
        TEST(test_what_is_not_whole_begins_anew),
        TEST(test_a_silent_aggregator_is_lost),
        TEST(test_the_callback_may_stop_anywhere),
        TEST(test_a_refused_subscription_is_over),
        TEST(test_bad_filters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
