/* libpoise's sender: whichever allocation or system call fails, each row is counted once or said to be lost,
 * nothing leaks, and the error has a text. The network is not in the program: lib/net is the test's here,
 * with an aggregator behind it that is always right. Every n of a small life, whose spool is too small for
 * it. */
#include "fault.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <net/net.h>
#include <poise/client.h>
#include <stdlib.h>
#include <string.h>
#include <unit/spool/scratch.h>
#include <wire/wire.h>

enum { ROWS = 22, AWAY_UNTIL = 19, SPOOL_MAX = 4000, TRIES = 3, STEPS_MAX = 400 };

/* ---- the aggregator ---- */

static struct {
    bool away;
    uint64_t epoch, seq, hash; /* of what it has */
    unsigned counted[ROWS];
    uint64_t lost;
    struct buf answers[16]; /* heads and bodies */
    size_t first, count;
    struct buf given;
    struct arena arena;
} peer;

static void answer(enum wire_kind kind, poise_code encoded, const struct buf *body)
{
    uint8_t head[2];
    assert_int_equal(encoded, POISE_OK);
    assert_true(peer.count < 16);
    struct buf *slot = &peer.answers[(peer.first + peer.count++) % 16];
    buf_reset(slot);
    wire_head(kind, head);
    buf_put(slot, head, sizeof head);
    buf_put(slot, body->data, body->length);
}

static void acknowledge(void)
{
    struct buf out = {0};
    const struct wire_ack ack = {.epoch = peer.epoch, .seq = peer.seq, .credit = 8};
    answer(WIRE_ACK, wire_encode_ack(&ack, &out), &out);
    buf_free(&out);
}

static void on_hello(const void *bytes, size_t length)
{
    struct wire_hello hello;
    struct buf out = {0};
    assert_int_equal(wire_decode_hello(bytes, length, &peer.arena, &hello, NULL), POISE_OK);
    if (hello.epoch !=
        peer.epoch) { /* a spool that could not be made is made anew, before anything was sent */
        assert_int_equal(peer.seq, 0);
        peer.epoch = hello.epoch;
    }
    struct wire_welcome welcome = {.store_id = "this is a store",
                                   .incarnation = 1,
                                   .epoch = peer.epoch,
                                   .next_seq = peer.seq + 1,
                                   .last_hash = peer.hash,
                                   .credit = 8};
    answer(WIRE_WELCOME, wire_encode_welcome(&welcome, &out), &out);
    buf_free(&out);
    if (hello.next_seq <= peer.seq) {
        acknowledge();
    }
}

static void on_batch(const void *bytes, size_t length)
{
    struct wire_batch batch;
    poise_error err;
    if (wire_decode_batch(bytes, length, &peer.arena, &batch, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(batch.epoch == peer.epoch);
    if (batch.seq > peer.seq + 1) {
        struct buf out = {0};
        const struct wire_gap gap = {.epoch = peer.epoch, .expected = peer.seq + 1};
        answer(WIRE_GAP, wire_encode_gap(&gap, &out), &out);
        buf_free(&out);
        return;
    }
    if (batch.seq == peer.seq + 1) {
        peer.seq = batch.loss.last_seq ? batch.loss.last_seq : batch.seq;
        peer.hash = batch.loss.last_seq ? batch.loss.last_hash : wire_batch_hash(bytes, length);
        peer.lost += batch.loss.rows;
        for (size_t i = 0; i < batch.rows; i++) {
            peer.counted[(size_t)batch.value[i] - 1]++;
        }
    }
    acknowledge();
}

/* ---- lib/net ---- */

struct net {
    char unused;
};
struct net_socket {
    char unused;
};

static poise_code make(void **ret, poise_error *err)
{
    void *made = calloc(1, sizeof(struct net)); /* which may fail, too */
    if (!made) {
        return err ? (err->code = POISE_ENOMEM, strcpy(err->text, "no memory for a socket"), POISE_ENOMEM)
                   : POISE_ENOMEM;
    }
    *ret = made;
    return POISE_OK;
}

poise_code net_open(int io_threads, struct net **ret_net, poise_error *err)
{
    (void)io_threads;
    return make((void **)ret_net, err);
}

void net_close(struct net *net)
{
    free(net);
}

poise_code net_check(const char *endpoint, bool insecure, poise_error *err)
{
    (void)endpoint;
    (void)insecure;
    (void)err;
    return POISE_OK;
}

poise_code net_connect(struct net *net, const char *endpoint, bool insecure, const struct net_limits *limits,
                       struct net_socket **ret_socket, poise_error *err)
{
    (void)net;
    (void)endpoint;
    (void)insecure;
    (void)limits;
    poise_code code = make((void **)ret_socket, err);
    peer.count = code == POISE_OK ? 0 : peer.count;
    return code;
}

void net_socket_close(struct net_socket *socket)
{
    free(socket);
}

poise_code net_send(struct net_socket *socket, const struct net_peer *to, const void *head,
                    size_t head_length, const void *body, size_t body_length, poise_error *err)
{
    (void)socket;
    (void)to;
    (void)head_length;
    (void)err;
    bool was = fault_pause(true);
    poise_code code = peer.away || peer.count > 8 ? POISE_EFULL : POISE_OK;
    arena_reset(&peer.arena);
    if (code == POISE_OK) {
        (((const uint8_t *)head)[1] == WIRE_HELLO ? on_hello : on_batch)(body, body_length);
    }
    fault_pause(was);
    return code;
}

poise_code net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err)
{
    (void)socket;
    (void)err;
    if (peer.count == 0 || peer.away) {
        return POISE_ENOTFOUND;
    }
    bool was = fault_pause(true);
    const struct buf *slot = &peer.answers[peer.first];
    buf_reset(&peer.given);
    buf_put(&peer.given, slot->data, slot->length);
    peer.first = (peer.first + 1) % 16;
    peer.count--;
    *ret_message = (struct net_message){.head = peer.given.data,
                                        .head_length = 2,
                                        .body = peer.given.data + 2,
                                        .body_length = peer.given.length - 2};
    fault_pause(was);
    return POISE_OK;
}

enum net_trouble net_trouble(const struct net_socket *socket)
{
    (void)socket;
    return NET_NO_TROUBLE;
}

poise_code net_wait(struct net_wait *items, size_t count, int64_t timeout_ms, poise_error *err)
{
    (void)count;
    (void)timeout_ms;
    (void)err;
    items[0].ready = items[0].want_send && !peer.away;
    return POISE_OK;
}

/* ---- the sender ---- */

static struct {
    const char *path;
    poise_sender *sender;
    size_t next; /* row to send */
    size_t failures;
} life;

static void check_error(const char *what, poise_code code, const poise_error *err,
                        const struct fault_plan *plan)
{
    bool fits = plan->kinds == FAULT_MEMORY ? code == POISE_ENOMEM : code == POISE_EIO || code == POISE_EFULL;
    life.failures++;
    if (fault_hits() == 0 || !fits || err->code != code || err->text[0] == '\0') {
        fail_msg("%s, at %s number %d: %s: %s", what, fault_name(), (int)plan->nth, poise_code_name(code),
                 err->text);
    }
}

/* Where the caller goes on is what the spool's mark says. */
static poise_code open_sender(poise_error *err)
{
    const poise_sender_options options = {.endpoint = "ipc://nowhere",
                                          .producer = "p",
                                          .spool = life.path,
                                          .spool_max_bytes = SPOOL_MAX,
                                          .when_full = POISE_DROP_OLDEST,
                                          .batch_rows = 1};
    poise_code code = poise_sender_open(&options, &life.sender, err);
    size_t length;
    const void *mark = code == POISE_OK ? poise_sender_mark(life.sender, &length) : NULL;
    life.next = 0;
    if (mark) {
        memcpy(&life.next, mark, sizeof life.next);
    }
    return code;
}

static poise_code send_one(poise_error *err)
{
    char key[250];
    memset(key, 'k', sizeof key); /* so that few rows fill the spool */
    key[sizeof key - 1] = '\0';
    const poise_measurement row = {
        .measure = "m", .org = "", .source = "", .key = key, .value = (double)life.next + 1, .of = 1};
    size_t mark = life.next + 1;
    poise_code code = poise_send_together(life.sender, &row, 1, &mark, sizeof mark, err);
    life.next += code == POISE_OK;
    return code;
}

/* One thing after the other; what fails is tried again with a sender that is opened anew. */
static void go_on(const struct fault_plan *plan)
{
    int failed = 0;
    for (int i = 0; i < STEPS_MAX && (!life.sender || life.next < ROWS); i++) {
        poise_error err = {0};
        peer.away = life.next < AWAY_UNTIL && life.next > 4;
        const char *what = life.sender ? "send" : "open";
        poise_code code = life.sender ? send_one(&err) : open_sender(&err);
        if (code == POISE_OK && life.sender && i % 4 == 0) {
            what = "step";
            code = poise_sender_step(life.sender, 0, &err);
        }
        if (code == POISE_OK) {
            continue;
        }
        check_error(what, code, &err, plan);
        poise_sender_close(life.sender);
        life.sender = NULL;
        if (++failed == TRIES) {
            fault_stop();
        }
    }
    assert_int_equal(life.next, ROWS);
}

static void finish(void)
{
    poise_error err = {0};
    fault_stop();
    peer.away = false;
    for (int left = 4; left > 0; left--) { /* what failed without a word is not in the spool */
        poise_code code = poise_sender_drain(life.sender, 5000, &err);
        poise_sender_close(life.sender);
        life.sender = NULL;
        if (open_sender(&err) != POISE_OK) {
            fail_msg("it does not open again: %s", err.text);
        }
        while (life.next < ROWS && send_one(&err) == POISE_OK) {
        }
        if (code == POISE_OK && poise_sender_drain(life.sender, 5000, &err) == POISE_OK) {
            break;
        }
    }
    poise_sender_close(life.sender);
    life.sender = NULL;
}

static void check(const struct fault_plan *plan)
{
    uint64_t counted = 0;
    for (size_t i = 0; i < ROWS; i++) {
        if (peer.counted[i] > 1) {
            fail_msg("at %s number %d: row %zu was counted %u times", fault_name(), (int)plan->nth, i,
                     peer.counted[i]);
        }
        counted += peer.counted[i];
    }
    if (counted + peer.lost != ROWS) {
        fail_msg("at %s number %d: %d rows were counted, %d are lost, of %d", fault_name(), (int)plan->nth,
                 (int)counted, (int)peer.lost, ROWS);
    }
}

static uint64_t try_plan(const struct fault_plan *plan)
{
    void *path = NULL;
    assert_int_equal(scratch_make(&path), 0);
    memset(&peer, 0, sizeof peer);
    memset(&life, 0, sizeof life);
    arena_init(&peer.arena, WIRE_ARENA);
    struct fault_held before = fault_held();
    life.path = path;
    fault_start(plan);
    go_on(plan);
    uint64_t count = fault_count();
    finish();
    check(plan);
    for (size_t i = 0; i < 16; i++) {
        buf_free(&peer.answers[i]);
    }
    buf_free(&peer.given);
    arena_free(&peer.arena);
    struct fault_held after = fault_held();
    if (memcmp(&before, &after, sizeof before) != 0) {
        fail_msg("%s, number %d of them: leaks %d allocations, %d descriptors", fault_name(), (int)plan->nth,
                 (int)(after.allocations - before.allocations),
                 (int)(after.descriptors - before.descriptors));
    }
    assert_true(plan->nth > 0 || (peer.lost > 0 && life.failures == 0));
    assert_int_equal(scratch_remove(&path), 0);
    return count;
}

FAULT_TEST_EVERY(allocation, FAULT_MEMORY, 0, try_plan)
FAULT_TEST_EVERY(call_eio, FAULT_CALLS, EIO, try_plan)
FAULT_TEST_EVERY(call_enospc, FAULT_CALLS, ENOSPC, try_plan)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_every_call_eio),
        cmocka_unit_test(test_every_call_enospc),
    };
    fault_scratch_in_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
