/* The query endpoint over real sockets; writer, inquirer and clock are played by the test. */
#include "loop.h"
#include <aggregator/stream.h>
#include <base/error.h>

enum { SECOND_US = 1000000 };

enum { QUESTIONS = 5, QUESTIONS_EACH = 4 }; /* at a time; of a connection */

struct fixture {
    struct loop loop;
    struct scorecard *card;
    const struct scorecard *cards[1];
    struct ring from_writer, to_inquirer, from_inquirer, restated;
    struct net_wake *wake;
    struct stats stats;
    struct log log;
    struct clock clock;
    int64_t now_us;
    struct stream *stream;
    struct wire_states states; /* the latest that came */
    struct access_holder access;
};

static const char *user; /* whose key the messages come by, which libzmq says only of CURVE */

static int64_t now_of(void *context)
{
    return ((struct fixture *)context)->now_us;
}

static void step(void *machine)
{
    poise_error err = {0};
    if (stream_step(((struct fixture *)machine)->stream, &err) != POISE_OK)
        fail_msg("%s", err.text);
}

static bool can_receive(void *machine)
{
    (void)machine;
    return true;
}

static int setup_by(void **state, int send_hwm, bool locked)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    f->loop.send_hwm = send_hwm;
    if (!loop_open(&f->loop))
        return -1;
    f->loop.machine = f;
    f->loop.step = step;
    f->loop.can_receive = can_receive;
    f->cards[0] = f->card = card_make("c", 6);
    f->clock = (struct clock){.monotonic_us = now_of, .wall_ms = now_of, .context = f};
    struct stream_options options = {.socket = f->loop.router,
                                     .from_writer = &f->from_writer,
                                     .to_inquirer = &f->to_inquirer,
                                     .from_inquirer = &f->from_inquirer,
                                     .restated = &f->restated,
                                     .cards = f->cards,
                                     .card_count = 1,
                                     .stats = &f->stats,
                                     .log = &f->log,
                                     .access = locked ? &f->access : NULL,
                                     .clock = &f->clock,
                                     .max_subscriptions = 3,
                                     .max_subscriptions_each = 2,
                                     .max_questions = QUESTIONS,
                                     .max_questions_each = QUESTIONS_EACH};
    *state = f;
    if (!ring_init(&f->from_writer, 64) || !ring_init(&f->to_inquirer, INQUIRIES_MAX) ||
        !ring_init(&f->from_inquirer, INQUIRIES_MAX) || !ring_init(&f->restated, INQUIRIES_MAX) ||
        net_wake_open(&f->wake, NULL) != POISE_OK || !access_holder_init(&f->access))
        return -1;
    options.inquirer_wake = f->wake;
    return stream_open(&options, &f->stream, NULL) == POISE_OK ? 0 : -1;
}

static int setup(void **state)
{
    return setup_by(state, 0, false);
}

static int setup_narrow(void **state)
{
    return setup_by(state, 1, false);
}

static int setup_locked(void **state)
{
    return setup_by(state, 0, true);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stream_close(f->stream);
    access_holder_free(&f->access);
    scorecard_free(f->card);
    user = NULL;
    ring_free(&f->from_writer);
    ring_free(&f->to_inquirer);
    ring_free(&f->from_inquirer);
    ring_free(&f->restated);
    net_wake_close(f->wake);
    loop_close(&f->loop);
    free(f);
    return 0;
}

/* ---- both sides ---- */

/* The writer publishes a change of one node, or all of them (node -1). */
static void publish(struct fixture *f, uint64_t lsn, int node, double value)
{
    struct changes *changes = changes_make(lsn, (int64_t)lsn, f->card->node_count);
    for (uint32_t i = 0; i < f->card->node_count; i++)
        if (node < 0 || (uint32_t)node == i)
            changes->states[changes->count++] = state_make(f->card, i, "", value);
    assert_true(ring_push(&f->from_writer, changes));
}

static void subscribe(struct fixture *f, struct net_socket *peer, uint64_t id, uint32_t credit, bool once)
{
    struct wire_subscribe wanted = {.id = id, .credit = credit, .once = once};
    assert_int_equal(wire_encode_subscribe(&wanted, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_SUBSCRIBE);
}

static void give_credit(struct fixture *f, struct net_socket *peer, uint64_t id, uint32_t more)
{
    struct wire_credit credit = {.id = id, .more = more};
    assert_int_equal(wire_encode_credit(&credit, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_CREDIT);
}

static void expect_states(struct fixture *f, struct net_socket *peer, enum wire_kind kind, uint64_t id,
                          uint64_t lsn, size_t count)
{
    struct net_message message;
    assert_int_equal(loop_receive(&f->loop, peer, &message), kind);
    assert_int_equal(
        wire_decode_states(kind, message.body, message.body_length, &f->loop.arena, &f->states, NULL),
        POISE_OK);
    assert_int_equal(f->states.id, id);
    assert_int_equal(f->states.lsn, lsn);
    assert_int_equal(f->states.count, count);
}

static uint64_t counted(const struct fixture *f, enum stat stat)
{
    return stats_get(&f->stats, stat);
}

/* ---- tests ---- */

static void a_subscriber_gets_a_snapshot_then_updates(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    publish(f, 4, -1, 1);
    subscribe(f, peer, 9, 3, false);
    expect_states(f, peer, WIRE_SNAPSHOT, 9, 4, f->card->node_count);
    assert_true(f->states.last);
    publish(f, 5, 3, 2);
    publish(f, 6, 3, 3);
    expect_states(f, peer, WIRE_UPDATE, 9, 6, 1);
    assert_int_equal(f->states.prev, 4);
    assert_true(f->states.states[0].numbers.value == 3);
    publish(f, 7, 2, 4);
    expect_states(f, peer, WIRE_UPDATE, 9, 7, 1);
    publish(f, 8, 2, 5); /* the credit is used up */
    step(f);
    give_credit(f, peer, 9, 0); /* is it still there? */
    expect_states(f, peer, WIRE_UPDATE, 9, 7, 0);
    assert_int_equal(f->states.prev, 7);
    give_credit(f, peer, 9, 1);
    expect_states(f, peer, WIRE_UPDATE, 9, 8, 1);
    assert_int_equal(f->states.prev, 7);
    assert_int_equal(counted(f, STAT_snapshots), 1);
    assert_int_equal(counted(f, STAT_updates_sent), 4);
}

static void once_is_a_snapshot_only(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    publish(f, 4, -1, 1);
    subscribe(f, peer, 9, 3, true);
    expect_states(f, peer, WIRE_SNAPSHOT, 9, 4, f->card->node_count);
    assert_int_equal(counted(f, STAT_subscriptions), 0);
    give_credit(f, peer, 9, 1);
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
}

static void subscriptions_have_their_own_ids_and_a_limit(void **state)
{
    struct fixture *f = *state;
    struct net_socket *one = loop_peer(&f->loop), *two = loop_peer(&f->loop);
    subscribe(f, one, 0, 3, false);
    loop_expect_error(&f->loop, one, POISE_EPROTO);
    for (uint64_t id = 1; id <= 2; id++) {
        subscribe(f, one, id, 3, false);
        expect_states(f, one, WIRE_SNAPSHOT, id, 0, 0);
    }
    subscribe(f, one, 2, 3, false);
    loop_expect_error(&f->loop, one, POISE_EPROTO);
    subscribe(f, one, 3, 3, false); /* there is room, but not for this connection */
    loop_expect_error(&f->loop, one, POISE_ELIMIT);
    subscribe(f, two, 2, 3, false); /* another connection, other ids */
    expect_states(f, two, WIRE_SNAPSHOT, 2, 0, 0);
    subscribe(f, two, 3, 3, false);
    loop_expect_error(&f->loop, two, POISE_ELIMIT);
    assert_int_equal(wire_encode_unsubscribe(1, &f->loop.out), POISE_OK);
    loop_send(&f->loop, one, WIRE_UNSUBSCRIBE);
    give_credit(f, one, 1, 1);
    loop_expect_error(&f->loop, one, POISE_ENOTFOUND);
    assert_int_equal(counted(f, STAT_subscriptions), 2);
    subscribe(f, two, 3, 3, false);
    expect_states(f, two, WIRE_SNAPSHOT, 3, 0, 0);
}

/* Names so many orgs of 100 bytes, each of which takes some 230. */
static void subscribe_to_orgs(struct fixture *f, struct net_socket *peer, uint64_t id, size_t count)
{
    enum { ORGS_MAX = 200 };
    static char texts[ORGS_MAX][101];
    static const char *orgs[ORGS_MAX];
    assert_true(count <= ORGS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(snprintf(texts[i], sizeof texts[i], "%0100zu", i), 100);
        orgs[i] = texts[i];
    }
    struct wire_subscribe wanted = {.id = id, .credit = 3, .filter = {.orgs = orgs, .org_count = count}};
    assert_int_equal(wire_encode_subscribe(&wanted, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_SUBSCRIBE);
}

static void a_large_filter_counts_as_several(void **state)
{
    struct fixture *f = *state;
    struct net_socket *one = loop_peer(&f->loop), *two = loop_peer(&f->loop);
    subscribe_to_orgs(f, one, 1, 200); /* 45 KiB: 3, of 2 that a connection may have */
    loop_expect_error(&f->loop, one, POISE_ELIMIT);
    subscribe_to_orgs(f, one, 1, 100);
    expect_states(f, one, WIRE_SNAPSHOT, 1, 0, 0);
    subscribe(f, one, 2, 3, false);
    loop_expect_error(&f->loop, one, POISE_ELIMIT);
    subscribe_to_orgs(f, two, 1, 100); /* 4 of 3 */
    loop_expect_error(&f->loop, two, POISE_ELIMIT);
    subscribe(f, two, 1, 3, false);
    expect_states(f, two, WIRE_SNAPSHOT, 1, 0, 0);
}

static void a_silent_stream_shows_life_and_finds_the_dead(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    assert_int_equal(stream_idle_ms(f->stream), -1);
    publish(f, 4, -1, 1);
    subscribe(f, peer, 9, 1, false);
    expect_states(f, peer, WIRE_SNAPSHOT, 9, 4, f->card->node_count);
    assert_int_equal(stream_idle_ms(f->stream), 30001);
    f->now_us += 30 * SECOND_US;
    assert_int_equal(stream_idle_ms(f->stream), 0);
    step(f);
    expect_states(f, peer, WIRE_UPDATE, 9, 4, 0);
    loop_hang_up(&f->loop, peer);
    for (int turns = 0; counted(f, STAT_subscriptions) > 0; turns++) {
        assert_true(turns < 100000); /* libzmq needs a moment to see it */
        f->now_us += 30 * SECOND_US;
        step(f);
    }
    assert_int_equal(stream_idle_ms(f->stream), -1);
}

static void a_snapshot_that_nobody_takes_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop), *other = loop_peer(&f->loop);
    subscribe(f, peer, 9, 0, false);
    give_credit(f, peer, 8, 0);
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND); /* now the subscription is there */
    f->now_us += 59 * SECOND_US;
    step(f);
    assert_int_equal(stream_idle_ms(f->stream), 1001); /* it sleeps until then */
    assert_int_equal(counted(f, STAT_subscriptions), 1);
    f->now_us += SECOND_US;
    step(f);
    assert_int_equal(counted(f, STAT_subscriptions), 0);
    subscribe(f, other, 1, 1, false);
    expect_states(f, other, WIRE_SNAPSHOT, 1, 0, 0);
}

static void snapshots_are_counted_when_they_begin(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    publish(f, 1, -1, 1);
    subscribe(f, peer, 9, 1, false);
    expect_states(f, peer, WIRE_SNAPSHOT, 9, 1, f->card->node_count);
    for (uint64_t lsn = 2; lsn < 2 + BOARD_RING / f->card->node_count + 1; lsn++) {
        publish(f, lsn, -1, (double)lsn);
        step(f);
    }
    give_credit(f, peer, 9, 1);
    expect_states(f, peer, WIRE_SNAPSHOT, 9, 2 + BOARD_RING / f->card->node_count, f->card->node_count);
    assert_int_equal(counted(f, STAT_snapshots), 2);
}

/* ---- questions ---- */

static void ask(struct fixture *f, struct net_socket *peer, uint64_t id, uint32_t credit)
{
    struct wire_query query = {.id = id, .scorecard = "c", .org = "a", .as_of_ms = 5, .credit = credit};
    assert_int_equal(wire_encode_query(&query, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_QUERY);
}

static struct inquiry *take_question(struct fixture *f)
{
    struct inquiry *inquiry;
    while (!(inquiry = ring_pop(&f->to_inquirer))) {
        struct net_wait item = {.socket = f->loop.router, .fd = -1};
        assert_int_equal(net_wait(&item, 1, PATIENCE_MS, NULL), POISE_OK);
        assert_true(item.ready);
        step(f);
    }
    return inquiry;
}

/* An answer of so many parts, each a RESULT without states. */
static void answer(struct fixture *f, struct inquiry *inquiry, size_t parts)
{
    inquiry->ends = calloc(parts, sizeof *inquiry->ends);
    assert_non_null(inquiry->ends);
    for (inquiry->count = 0; inquiry->count < parts; inquiry->count++) {
        struct wire_states part = {
            .id = inquiry->id, .lsn = inquiry->count + 1, .last = inquiry->count + 1 == parts};
        assert_int_equal(wire_encode_states(WIRE_RESULT, &part, &inquiry->bodies), POISE_OK);
        inquiry->ends[inquiry->count] = inquiry->bodies.length;
    }
    assert_true(ring_push(&f->from_inquirer, inquiry));
}

static void a_question_goes_to_the_inquirer_and_back(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    ask(f, peer, 5, 2);
    struct inquiry *inquiry = take_question(f);
    assert_string_equal(inquiry->scorecard, "c");
    assert_string_equal(inquiry->org, "a");
    assert_int_equal(inquiry->as_of_ms, 5);
    ask(f, peer, 5, 2);
    loop_expect_error(&f->loop, peer, POISE_EPROTO);
    answer(f, inquiry, 3);
    expect_states(f, peer, WIRE_RESULT, 5, 1, 0);
    expect_states(f, peer, WIRE_RESULT, 5, 2, 0);
    assert_false(f->states.last);
    give_credit(f, peer, 77, 1);
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND); /* and not the last part, which has no credit yet */
    give_credit(f, peer, 5, 1);
    expect_states(f, peer, WIRE_RESULT, 5, 3, 0);
    assert_true(f->states.last);
    give_credit(f, peer, 5, 1);
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
}

static void too_many_questions_are_refused(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop), *other = loop_peer(&f->loop);
    for (uint64_t id = 1; id <= QUESTIONS_EACH; id++)
        ask(f, peer, id, 0);
    ask(f, peer, 99, 0); /* there is room, but not for this connection */
    loop_expect_error(&f->loop, peer, POISE_EBUSY);
    for (uint64_t id = QUESTIONS_EACH; id < QUESTIONS; id++)
        ask(f, other, id, 0);
    ask(f, other, 99, 0);
    loop_expect_error(&f->loop, other, POISE_EBUSY);
    assert_int_equal(counted(f, STAT_questions_refused), 2);
    for (int i = 0; i < QUESTIONS; i++)
        answer(f, take_question(f), 1);
    step(f);
    ask(f, peer, 99, 0);
    loop_expect_error(&f->loop, peer, POISE_EBUSY); /* nobody takes the answers */
    f->now_us += 61 * SECOND_US;
    step(f);
    ask(f, peer, 99, 1);
    answer(f, take_question(f), 1);
    expect_states(f, peer, WIRE_RESULT, 99, 1, 0);
}

static void an_answer_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    for (uint64_t id = 1; id <= QUESTIONS_EACH; id++)
        ask(f, peer, id, 0);
    answer(f, take_question(f), 1);
    for (uint64_t id = 1; id <= 2; id++) { /* one that is answered, one that is not */
        assert_int_equal(wire_encode_unsubscribe(id, &f->loop.out), POISE_OK);
        loop_send(&f->loop, peer, WIRE_UNSUBSCRIBE);
    }
    give_credit(f, peer, 2, 1);
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
    ask(f, peer, 1, 1); /* there is room for one, and the id is free */
    for (int i = 1; i <= QUESTIONS_EACH; i++)
        answer(f, take_question(f), 1);
    expect_states(f, peer, WIRE_RESULT, 1, 1, 0);
}

static void the_numbers_are_told(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    struct net_message message;
    struct wire_stats stats;
    stats_set(&f->stats, STAT_rows_accepted, 12345);
    assert_int_equal(wire_encode_stats_request(3, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_STATS_REQUEST);
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_STATS);
    assert_int_equal(wire_decode_stats(message.body, message.body_length, &f->loop.arena, &stats, NULL),
                     POISE_OK);
    assert_int_equal(stats.id, 3);
    assert_true(stats.count > STAT_COUNT && stats.count <= STATS_NUMBERS_MAX);
    assert_string_equal(stats.names[STAT_rows_accepted], "poise_rows_accepted");
    assert_true(stats.values[STAT_rows_accepted] == 12345);
}

static void ask_numbers(struct fixture *f, struct net_socket *peer)
{
    struct net_message message;
    assert_int_equal(wire_encode_stats_request(3, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_STATS_REQUEST);
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_STATS);
}

static void a_subscriber_without_credit_is_said_to_be_behind(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    subscribe(f, peer, 9, 1, false);
    expect_states(f, peer, WIRE_SNAPSHOT, 9, 0, 0);
    ask_numbers(f, peer);
    assert_int_equal(counted(f, STAT_stream_lag), 0);
    assert_int_equal(counted(f, STAT_subscriptions_behind), 0);
    for (uint64_t lsn = 1; lsn <= 5; lsn++) /* three of one node, two of another */
        publish(f, lsn, lsn % 2 ? 3 : 2, (double)lsn);
    f->now_us = SECOND_US;
    step(f);
    f->now_us = 3 * SECOND_US;
    ask_numbers(f, peer);
    assert_int_equal(counted(f, STAT_stream_lag), 5);
    assert_int_equal(counted(f, STAT_stream_lag_ms), 2000);
    assert_int_equal(counted(f, STAT_subscriptions_behind), 1);
    assert_int_equal(counted(f, STAT_changes_conflated), 0);
    give_credit(f, peer, 9, 1);
    expect_states(f, peer, WIRE_UPDATE, 9, 5, 2);
    ask_numbers(f, peer);
    assert_int_equal(counted(f, STAT_stream_lag), 0);
    assert_int_equal(counted(f, STAT_stream_lag_ms), 0);
    assert_int_equal(counted(f, STAT_subscriptions_behind), 0);
    assert_int_equal(counted(f, STAT_changes_conflated), 3);
}

/* ---- peers that ask before they read ---- */

/* A request that is answered by an error. */
static void ask_wrongly(struct fixture *f, struct net_socket *peer, uint64_t id)
{
    give_credit(f, peer, id, 1);
    step(f);
}

/* Reads errors until all that was asked is answered, or counted as lost. */
static void read_errors(struct fixture *f, struct net_socket *peer, uint64_t asked)
{
    struct net_message message;
    for (uint64_t read = 0; read + counted(f, STAT_replies_lost) < asked;) {
        if (net_receive(peer, &message, NULL) == POISE_OK) {
            read++;
            continue;
        }
        struct net_wait items[] = {{.socket = peer, .fd = -1}, {.socket = f->loop.router, .fd = -1}};
        int64_t idle_ms = stream_idle_ms(f->stream);
        assert_int_equal(net_wait(items, 2, idle_ms < 0 ? PATIENCE_MS : idle_ms, NULL), POISE_OK);
        assert_true(items[0].ready || items[1].ready || idle_ms >= 0);
        step(f);
    }
}

static void every_question_has_its_answer_however_many_came_at_once(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    for (uint64_t id = 1; id <= 100; id++)
        ask_wrongly(f, peer, id);
    read_errors(f, peer, 100);
    assert_int_equal(counted(f, STAT_replies_lost), 0);
}

static void answers_that_nobody_reads_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct net_socket *deaf = loop_peer(&f->loop), *other = loop_peer(&f->loop);
    uint64_t asked = 0;
    while (counted(f, STAT_replies_lost) < 300) {
        ask_wrongly(f, deaf, ++asked);
        assert_true(asked < 100000);
    }
    give_credit(f, other, 1, 1); /* nobody else is harmed */
    loop_expect_error(&f->loop, other, POISE_ENOTFOUND);
    read_errors(f, deaf, asked);
    ask_wrongly(f, deaf, 1);
    loop_expect_error(&f->loop, deaf, POISE_ENOTFOUND);
}

/* One more try of who stands still, and how long it is put off then. */
static int64_t put_off_ms(struct fixture *f, uint64_t lsn)
{
    publish(f, lsn, -1, (double)lsn);
    step(f);
    return stream_idle_ms(f->stream) - 1;
}

static void who_does_not_read_is_tried_less_and_less_often(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    struct net_message message;
    uint64_t lsn = 1;
    int64_t pause_ms = 0;
    subscribe(f, peer, 9, 1000000, false);
    expect_states(f, peer, WIRE_SNAPSHOT, 9, 0, 0);
    while (pause_ms < 1280) { /* libzmq takes its time until the queue is full */
        int64_t before_ms = pause_ms;
        f->now_us += before_ms * 1000;
        pause_ms = put_off_ms(f, lsn++);
        if (pause_ms == 30000) /* it was sent */
            pause_ms = 0;
        else
            assert_int_equal(pause_ms, before_ms == 0 ? 20 : before_ms < 640 ? 2 * before_ms : 1280);
        assert_true(lsn < 100000);
    }
    f->now_us += 1279 * INT64_C(1000);
    assert_int_equal(put_off_ms(f, lsn++), 1); /* it is not tried again for each change */
    give_credit(f, peer, 9, 1);                /* who does, has read */
    for (int turns = 0; put_off_ms(f, lsn++) != 20; turns++)
        assert_true(turns < 100000);
    uint64_t last = lsn - 1, sent = counted(f, STAT_updates_sent);
    do { /* and gets what it missed as one update */
        f->now_us += 1280000;
        assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_UPDATE);
        assert_int_equal(wire_decode_states(WIRE_UPDATE, message.body, message.body_length, &f->loop.arena,
                                            &f->states, NULL),
                         POISE_OK);
        assert_true(f->states.lsn <= last);
    } while (f->states.lsn < last);
    assert_in_range(counted(f, STAT_updates_sent), sent, sent + 2);
}

/* ---- access ---- */

#define READER   "a000000000000000000000000000000000000000000000000000000000000001"
#define ASKER    "b000000000000000000000000000000000000000000000000000000000000002"
#define OPERATOR "c000000000000000000000000000000000000000000000000000000000000003"
#define STRANGER "d000000000000000000000000000000000000000000000000000000000000004"

poise_code __real_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err);
poise_code __wrap_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err);
poise_code __wrap_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err)
{
    poise_code code = __real_net_receive(socket, ret_message, err);
    if (!code)
        ret_message->user = user;
    return code;
}

/* Another file comes in force. */
static void allow(struct fixture *f, const char *peers)
{
    char path[96];
    struct access *access = NULL;
    struct problems problems = {0};
    snprintf(path, sizeof path, "%s/access", f->loop.directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "peers:\n%s", peers) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(access_read(path, &access, &problems), POISE_OK);
    access_holder_set(&f->access, access);
}

/* What is no message at all, but that is seen only once it may be sent. */
static void mumble(struct fixture *f, struct net_socket *peer, enum wire_kind kind)
{
    buf_put_u8(&f->loop.out, 0xff);
    loop_send(&f->loop, peer, kind);
}

static void each_right_allows_its_messages(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = {READER, ASKER, OPERATOR, STRANGER};
    static const struct {
        enum wire_kind kind;
        const char *who;
    } messages[] = {{WIRE_SUBSCRIBE, "r"},      {WIRE_CREDIT, "rqa"}, {WIRE_UNSUBSCRIBE, "rqa"},
                    {WIRE_QUERY, "q"},          {WIRE_CHANGES, "q"},  {WIRE_DUMP, "a"},
                    {WIRE_STATS_REQUEST, "qa"}, {WIRE_RESTATE, "a"},  {WIRE_LOSSES_REQUEST, "ra"},
                    {WIRE_ERASE, "a"},          {WIRE_RESCORE, "a"},  {WIRE_BACKUP, "a"}};
    struct net_socket *peer = loop_peer(&f->loop);
    allow(f, "  - {name: reader, key: " READER ", read: [{orgs: [a]}]}\n"
             "  - {name: asker, key: " ASKER ", query: true}\n"
             "  - {name: operator, key: " OPERATOR ", administer: true}\n");
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            user = keys[k];
            mumble(f, peer, messages[i].kind);
            loop_expect_error(&f->loop, peer,
                              strchr(messages[i].who, "rqa-"[k]) ? POISE_EPROTO : POISE_EDENIED);
        }
    }
}

static void order(struct fixture *f, struct net_socket *peer, uint64_t id, enum wire_kind kind)
{
    const struct wire_restate restate = {
        .id = id, .measure = "m", .org = "a", .reason = "because", .to_ms = 1};
    assert_int_equal(kind == WIRE_RESTATE ? wire_encode_restate(&restate, &f->loop.out)
                                          : wire_encode_losses_request(id, &f->loop.out),
                     POISE_OK);
    loop_send(&f->loop, peer, kind);
}

static void questions_leave_room_for_orders(void **state)
{
    struct fixture *f = *state;
    allow(f, "  - {name: asker, key: " ASKER ", read: all, query: true}\n"
             "  - {name: operator, key: " OPERATOR ", read: all, query: true, administer: true}\n");
    struct net_socket *peers[4], *extra = loop_peer(&f->loop);
    for (int i = 0; i < 4; i++)
        peers[i] = loop_peer(&f->loop);
    user = ASKER;
    for (uint64_t id = 1; id <= QUESTIONS; id++) {
        ask(f, peers[id % 2], id, 0);
        assert_false(take_question(f)->order);
    }
    order(f, extra, 1, WIRE_LOSSES_REQUEST); /* of somebody who may only ask it is a question */
    loop_expect_error(&f->loop, extra, POISE_EBUSY);
    user = OPERATOR;
    ask(f, extra, 1, 0); /* as are these, whoever asks */
    loop_expect_error(&f->loop, extra, POISE_EBUSY);
    for (uint64_t id = 1; id <= ORDERS_MAX; id++) {
        order(f, peers[2 + id % 2], 100 + id, id < 3 ? WIRE_LOSSES_REQUEST : WIRE_RESTATE);
        struct inquiry *inquiry = take_question(f);
        assert_true(inquiry->order && inquiry->id == 100 + id);
    }
    order(f, extra, 1, WIRE_RESTATE);
    loop_expect_error(&f->loop, extra, POISE_EBUSY);
}

/* Asks for what it names in each way that there is. */
static void expect_named(struct fixture *f, struct net_socket *peer, const struct wire_filter *filter,
                         bool allowed)
{
    struct wire_subscribe subscribe = {.id = 1, .filter = *filter, .credit = 1, .once = true};
    assert_int_equal(wire_encode_subscribe(&subscribe, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_SUBSCRIBE);
    if (allowed)
        expect_states(f, peer, WIRE_SNAPSHOT, 1, 0, 0);
    else
        loop_expect_error(&f->loop, peer, POISE_EDENIED);
    const struct wire_changes changes = {.id = 2, .filter = *filter};
    const struct wire_query query = {.id = 2,
                                     .scorecard = filter->scorecard_count ? filter->scorecards[0] : "",
                                     .org = filter->org_count ? filter->orgs[0] : "",
                                     .all_orgs = filter->org_count == 0,
                                     .credit = 1};
    bool one = filter->scorecard_count == 1 && filter->org_count < 2 && !strchr(query.org, '*');
    for (int ways = one ? 2 : 1; ways > 0; ways--) {
        assert_int_equal(ways == 1 ? wire_encode_changes(&changes, &f->loop.out)
                                   : wire_encode_query(&query, &f->loop.out),
                         POISE_OK);
        loop_send(&f->loop, peer, ways == 1 ? WIRE_CHANGES : WIRE_QUERY);
        if (allowed) {
            struct inquiry *inquiry = take_question(f);
            inquiry->error.code = POISE_EGAP;
            assert_true(ring_push(&f->from_inquirer, inquiry));
        }
        loop_expect_error(&f->loop, peer, allowed ? POISE_EGAP : POISE_EDENIED);
    }
}

static void what_can_never_be_shown_is_denied(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    const struct {
        const char *scorecards[2], *orgs[2];
        bool allowed;
    } asked[] = {
        {{NULL}, {NULL}, true},      {{"c"}, {NULL}, true},      {{"x"}, {NULL}, false},
        {{"c", "x"}, {NULL}, false}, {{"c", "e"}, {NULL}, true}, {{"c"}, {"a"}, true},
        {{"c"}, {"d/1"}, true},      {{"c"}, {"d"}, false},      {{"c"}, {"b"}, false},
        {{"c"}, {""}, false},        {{"c"}, {"b", "a"}, true},  {{"c"}, {"b", "d"}, false},
        {{"c"}, {"b*"}, true},       {{"x"}, {"**"}, false},     {{"e"}, {"a"}, false},
        {{"e", "c"}, {"a"}, true},   {{NULL}, {"b"}, true},      {{NULL}, {"z"}, false},
    };
    uint64_t denied = 0;
    user = READER;
    allow(f, "  - {name: reader, key: " READER ", query: true, read: [{scorecards: [c], orgs: [a, 'd/*']}, "
             "{scorecards: [e], orgs: [b]}]}\n");
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        const char *cards[] = {asked[i].scorecards[0], asked[i].scorecards[1]};
        const char *orgs[] = {asked[i].orgs[0], asked[i].orgs[1]};
        const struct wire_filter filter = {
            .scorecards = cards,
            .scorecard_count = (cards[0] != NULL) + (size_t)(cards[1] != NULL),
            .orgs = orgs,
            .org_count = (orgs[0] != NULL) + (size_t)(orgs[1] != NULL),
        };
        expect_named(f, peer, &filter, asked[i].allowed);
        assert_int_equal(counted(f, STAT_messages_denied) > denied, !asked[i].allowed);
        denied = counted(f, STAT_messages_denied);
    }
}

static void refusals_are_logged_with_their_key(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    f->log = loop_log(&f->loop, &f->clock);
    allow(f, "  - {name: operator, key: " OPERATOR ", read: all, query: true, administer: true}\n");
    user = OPERATOR;
    for (int i = 0; i < 30; i++) {
        give_credit(f, peer, 9, 1);
        loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
    }
    assert_int_equal(loop_said(&f->loop, " warn "), 0);
    for (int i = 0; i < 30; i++) {
        mumble(f, peer, WIRE_QUERY);
        loop_expect_error(&f->loop, peer, POISE_EPROTO);
    }
    assert_int_equal(loop_said(&f->loop, " warn request_refused key=c0000000 name=operator producer=- "
                                         "code=EPROTO reason="),
                     20);
    ask(f, peer, 1, 1);
    struct inquiry *inquiry = take_question(f);
    error_set(&inquiry->error, POISE_ELIMIT, "too much");
    answer(f, inquiry, 1);
    loop_expect_error(&f->loop, peer, POISE_ELIMIT);
    assert_int_equal(
        loop_said(&f->loop, " key=c0000000 name=operator producer=- code=ELIMIT reason=\"too much\"\n"), 1);
    user = STRANGER;
    mumble(f, peer, WIRE_QUERY);
    loop_expect_error(&f->loop, peer, POISE_EDENIED);
    assert_int_equal(loop_said(&f->loop, "key=d0000000"), 1); /* not as denied and as refused */
}

static void a_question_ends_with_its_right(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    user = ASKER;
    allow(f, "  - {name: asker, key: " ASKER ", read: all, query: true}\n");
    ask(f, peer, 1, 1);
    struct inquiry *inquiry = take_question(f);
    allow(f, "  - {name: asker, key: " ASKER ", read: all, query: true}\n"
             "  - {name: reader, key: " READER ", read: all}\n");
    step(f); /* the same for this one */
    answer(f, inquiry, 1);
    expect_states(f, peer, WIRE_RESULT, 1, 1, 0);
    ask(f, peer, 2, 0);
    answer(f, take_question(f), 1); /* and waits for credit */
    step(f);
    allow(f, "  - {name: asker, key: " ASKER ", read: [{orgs: [a]}], query: true}\n");
    mumble(f, peer, WIRE_QUERY); /* not to wait for what does not come */
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
    loop_expect_error(&f->loop, peer, POISE_EPROTO);
    ask(f, peer, 3, 1);
    inquiry = take_question(f);
    allow(f, "  - {name: reader, key: " READER ", read: all}\n");
    loop_expect_error(&f->loop, peer, POISE_EDENIED);
    answer(f, inquiry, 1); /* is not sent any more */
    give_credit(f, peer, 3, 1);
    loop_expect_error(&f->loop, peer, POISE_EDENIED);
}

int main(void)
{
#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        STREAM_TEST(a_subscriber_gets_a_snapshot_then_updates),
        STREAM_TEST(once_is_a_snapshot_only),
        STREAM_TEST(subscriptions_have_their_own_ids_and_a_limit),
        STREAM_TEST(a_large_filter_counts_as_several),
        STREAM_TEST(a_silent_stream_shows_life_and_finds_the_dead),
        STREAM_TEST(a_snapshot_that_nobody_takes_is_dropped),
        STREAM_TEST(snapshots_are_counted_when_they_begin),
        STREAM_TEST(a_question_goes_to_the_inquirer_and_back),
        STREAM_TEST(too_many_questions_are_refused),
        STREAM_TEST(an_answer_is_given_up),
        STREAM_TEST(the_numbers_are_told),
        STREAM_TEST(a_subscriber_without_credit_is_said_to_be_behind),
        cmocka_unit_test_setup_teardown(each_right_allows_its_messages, setup_locked, teardown),
        cmocka_unit_test_setup_teardown(what_can_never_be_shown_is_denied, setup_locked, teardown),
        cmocka_unit_test_setup_teardown(questions_leave_room_for_orders, setup_locked, teardown),
        cmocka_unit_test_setup_teardown(refusals_are_logged_with_their_key, setup_locked, teardown),
        cmocka_unit_test_setup_teardown(a_question_ends_with_its_right, setup_locked, teardown),
        cmocka_unit_test_setup_teardown(every_question_has_its_answer_however_many_came_at_once, setup_narrow,
                                        teardown),
        cmocka_unit_test_setup_teardown(answers_that_nobody_reads_are_bounded, setup_narrow, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_read_is_tried_less_and_less_often, setup_narrow,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
