/* What producers send, and what they are told of it. */
#include "ingest_fixture.h"

/* ---- the normal way ---- */

static void batches_in_order_are_acknowledged_once_on_disk(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    uint64_t hashes[3];
    for (uint64_t seq = 1; seq <= 3; seq++)
        hashes[seq - 1] = send_batch(f, peer, seq, (double)seq);
    take(f, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(f->taken[i]->producer, "p");
        assert_int_equal(f->taken[i]->epoch, EPOCH);
        assert_int_equal(f->taken[i]->seq, i + 1);
        assert_int_equal(f->taken[i]->hash, hashes[i]);
        assert_int_equal(f->taken[i]->rows.rows, 3);
        assert_true(f->taken[i]->rows.value[0] == (double)i + 1);
        assert_int_equal(wire_batch_hash(f->taken[i]->body.data, f->taken[i]->body.length), hashes[i]);
    }
    assert_int_equal(counted(f, STAT_batches_acknowledged), 0);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
    assert_int_equal(counted(f, STAT_batches_acknowledged), 1);
    commit(f, 2);
    expect_ack(f, peer, 2, 2, 0);
    commit(f, 0);
    expect_ack(f, peer, 3, 0, 0);
    assert_int_equal(counted(f, STAT_batches_received), 3);
    assert_int_equal(counted(f, STAT_batches_acknowledged), 3);
    assert_int_equal(counted(f, STAT_rows_received), 9);
    assert_int_equal(counted(f, STAT_producers), 1);
}

static void producers_do_not_get_in_each_others_way(void **state)
{
    struct fixture *f = *state;
    struct net_socket *one = greeted(f, "one"), *two = greeted(f, "two");
    send_batch(f, one, 1, 1);
    take(f, 1);
    send_batch(f, two, 1, 2);
    take(f, 2);
    commit(f, 0);
    expect_ack(f, one, 1, 0, 0);
    commit(f, 1);
    expect_ack(f, two, 1, 1, 0);
}

/* ---- out of order ---- */

static void duplicates_are_acknowledged_again(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    send_batch(f, peer, 1, 1);
    send_batch(f, peer, 1, 1); /* not on disk yet: nothing to say */
    send_batch(f, peer, 2, 2);
    take(f, 2);
    commit(f, 1);
    expect_ack(f, peer, 1, 1, 0);
    commit(f, 0);
    expect_ack(f, peer, 2, 0, 0);
    send_batch(f, peer, 1, 1); /* the acknowledgements were lost, with them the refusal */
    expect_ack(f, peer, 1, 1, 0);
    expect_ack(f, peer, 2, 0, 0);
    send_batch(f, peer, 2, 2);
    expect_ack(f, peer, 2, 0, 0);
    assert_int_equal(counted(f, STAT_batches_duplicate), 3);
    assert_int_equal(counted(f, STAT_batches_received), 2);
    take(f, 0);
}

static void a_gap_is_told_once(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    for (uint64_t seq = 2; seq <= 4; seq++)
        send_batch(f, peer, seq, 1);
    expect_gap(f, peer, 1);
    send_batch(f, peer, 1, 1); /* going back */
    send_batch(f, peer, 2, 1);
    take(f, 2);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0); /* and not a second gap */
    commit(f, 0);
    expect_ack(f, peer, 2, 0, 0);
    send_batch(f, peer, 9, 1); /* a new gap */
    expect_gap(f, peer, 3);
    assert_int_equal(counted(f, STAT_gaps), 2);
}

/* ---- connections ---- */

static void a_batch_before_hello_is_asked_for_its_hello(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    send_batch(f, peer, 1, 1); /* as after a restart of the aggregator, which the producer did not see */
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
    send_hello(f, peer, "p", 1, 0);
    expect_welcome(f, peer, 1, 0);
    send_batch(f, peer, 1, 1);
    take(f, 1);
}

static void a_welcome_promises_only_what_is_on_disk(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    uint64_t first = send_batch(f, peer, 1, 1);
    send_batch(f, peer, 2, 2);
    take(f, 2);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
    send_hello(f, peer, "p", 2, first);
    expect_welcome(f, peer, 2, first); /* batch 2 is with the writer; a crash would lose it */
    send_batch(f, peer, 2, 2);
    send_batch(f, peer, 3, 3);
    take(f, 2);
    commit(f, 3);
    expect_ack(f, peer, 2, 3, 0); /* so its refusals are told */
    commit(f, 0);
    expect_ack(f, peer, 3, 0, 0);
    assert_int_equal(counted(f, STAT_batches_duplicate), 1);
}

static void a_new_connection_takes_over(void **state)
{
    struct fixture *f = *state;
    struct net_socket *old = greeted(f, "p");
    uint64_t first = send_batch(f, old, 1, 1);
    take(f, 1);
    struct net_socket *fresh = loop_peer(&f->loop);
    send_hello(f, fresh, "p", 1, 0);
    expect_welcome(f, fresh, 1, 0);
    commit(f, 0); /* not acknowledged: this may be a copy of the spool, whose first is another */
    send_batch(f, fresh, 2, 2);
    expect_gap(f, fresh, 1);
    send_batch(f, fresh, 1, 1); /* as a sender does that has no acknowledgement */
    expect_ack(f, fresh, 1, 0, 0);
    send_batch(f, old, 2, 2);
    loop_expect_error(&f->loop, old, POISE_ENOTFOUND);
    send_batch(f, fresh, 2, 2);
    take(f, 1);
    loop_hang_up(&f->loop, fresh); /* gone before its acknowledgement */
    commit(f, 0);
    struct net_socket *last = loop_peer(&f->loop);
    send_hello(f, last, "p", 2, first);
    expect_welcome(f, last, 3, put_batch(f, 2, 2, 3));
    expect_ack(f, last, 2, 0, 0);
}

static void one_connection_speaks_for_one_producer(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "one");
    send_batch(f, peer, 1, 1);
    take(f, 1);
    send_hello(f, peer, "two", 1, 0);
    expect_welcome(f, peer, 1, 0);
    commit(f, 0); /* of "one", which nobody speaks for now */
    send_batch(f, peer, 1, 2);
    take(f, 1);
    assert_string_equal(f->taken[0]->producer, "two");
    commit(f, 1);
    expect_ack(f, peer, 1, 1, 0);
}

static void lost_refusals_are_told_again_after_the_welcome(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    uint64_t hash = 0;
    for (uint64_t seq = 1; seq <= 4; seq++)
        hash = send_batch(f, peer, seq, (double)seq);
    take(f, 4);
    for (int i = 0; i < 4; i++)
        commit(f, i % 2 ? 2 : 0);
    loop_hang_up(&f->loop, peer);
    peer = loop_peer(&f->loop);
    send_hello(f, peer, "p", 2, 0);
    expect_welcome(f, peer, 5, hash);
    expect_ack(f, peer, 2, 2, 0);
    expect_ack(f, peer, 4, 2, 0);
    send_hello(f, peer, "p", 5, hash); /* all is known */
    expect_welcome(f, peer, 5, hash);
    send_hello(f, peer, "p", 1, 0); /* and asked for anew */
    expect_welcome(f, peer, 5, hash);
    expect_ack(f, peer, 2, 2, 0);
    expect_ack(f, peer, 4, 2, 0);
}

static void a_hello_must_make_sense(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    send_hello(f, peer, "not an id", 1, 0);
    loop_expect_error(&f->loop, peer, POISE_EPROTO);
    send_hello(f, peer, "", 1, 0);
    loop_expect_error(&f->loop, peer, POISE_EPROTO);
    send_hello(f, peer, "p", 0, 0);
    loop_expect_error(&f->loop, peer, POISE_EPROTO);
    struct wire_hello hello = {
        .producer = "p", .epoch = EPOCH, .next_seq = 1, .has_store = true, .store_id = "another store 16"};
    assert_int_equal(wire_encode_hello(&hello, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_HELLO);
    loop_expect_error(&f->loop, peer, POISE_ESTORE);
    const struct wire_hello senseless[] = {
        {.producer = "p", .next_seq = 1},
        {.producer = "p", .epoch = EPOCH, .first_seq = 3, .next_seq = 2},
    };
    for (size_t i = 0; i < sizeof senseless / sizeof senseless[0]; i++) {
        assert_int_equal(wire_encode_hello(&senseless[i], &f->loop.out), POISE_OK);
        loop_send(&f->loop, peer, WIRE_HELLO);
        loop_expect_error(&f->loop, peer, POISE_EPROTO);
    }
    assert_int_equal(counted(f, STAT_producers), 0);
}

static void producers_are_limited(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a", "b", "c", "d"};
    struct net_socket *peer = loop_peer(&f->loop);
    for (size_t i = 0; i < 4; i++) {
        send_hello(f, peer, names[i], 1, 0);
        expect_welcome(f, peer, 1, 0);
        send_batch(f, peer, 1, 1);
        take(f, i + 1);
    }
    send_hello(f, peer, "e", 1, 0);
    loop_expect_error(&f->loop, peer, POISE_ELIMIT);
    send_hello(f, peer, "a", 1, 0);
    expect_welcome(f, peer, 1, 0);
}

/* ---- restart ---- */

static void a_restart_goes_on_where_the_disk_is(void **state)
{
    struct fixture *f = *state;
    struct ledger ledger = {0};
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        struct ledger_entry *entry = ledger_add(&ledger, names[i], EPOCH);
        uint32_t row = 4;
        uint8_t reason = POISE_REFUSAL_ORG;
        assert_non_null(entry);
        assert_true(ledger_commit(entry, 7, 1234, &row, &reason, 1));
    }
    ingest_close(f->ingest);
    f->ingest = NULL;
    /* max_producers was lowered: those that are known stay, and only new ones are refused */
    assert_int_equal(open_ingest(f, &ledger, 2), POISE_OK);
    assert_int_equal(counted(f, STAT_producers), 3);
    struct net_socket *peer = loop_peer(&f->loop);
    send_hello(f, peer, "b", 7, 0);
    expect_welcome(f, peer, 8, 1234);
    expect_ack(f, peer, 7, 1, 4);
    send_hello(f, peer, "d", 1, 0);
    loop_expect_error(&f->loop, peer, POISE_ELIMIT);
}

/* The producer lost what it knew of its acknowledgements, and each of the last batches has refusals. */
static void a_window_of_refusals_is_welcomed_and_told(void **state)
{
    struct fixture *f = *state;
    struct ledger ledger = {0};
    struct ledger_entry *entry = ledger_add(&ledger, "p", EPOCH);
    uint32_t row = 1;
    uint8_t reason = POISE_REFUSAL_ORG;
    assert_non_null(entry);
    for (uint64_t seq = 1; seq <= LEDGER_WINDOW; seq++)
        assert_true(ledger_commit(entry, seq, seq, &row, &reason, 1));
    ingest_close(f->ingest);
    f->ingest = NULL;
    assert_int_equal(open_ingest(f, &ledger, 2), POISE_OK);
    struct net_socket *peer = loop_peer(&f->loop);
    send_hello(f, peer, "p", 1, 0);
    expect_welcome(f, peer, LEDGER_WINDOW + 1, LEDGER_WINDOW);
    for (uint64_t seq = 1; seq <= LEDGER_WINDOW; seq++)
        expect_ack(f, peer, seq, 1, 1);
}

/* Not of so few rows as fit into the credit, but of half the pool. */
static void small_batches_get_more_credit(void **state)
{
    struct fixture *f = *state;
    struct ledger ledger = {0};
    struct net_message message;
    struct wire_welcome welcome;
    _Static_assert(CREDIT == POOL / 2, "what expect_ack wants");
    ingest_close(f->ingest);
    f->ingest = NULL;
    f->credit = 1;
    assert_int_equal(open_ingest(f, &ledger, 2), POISE_OK);
    struct net_socket *peer = loop_peer(&f->loop);
    send_hello(f, peer, "p", 1, 0);
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_WELCOME);
    assert_int_equal(wire_decode_welcome(message.body, message.body_length, &f->loop.arena, &welcome, NULL),
                     POISE_OK);
    assert_int_equal(welcome.credit, 1);
    send_batch(f, peer, 1, 1);
    take(f, 1);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
}

static void what_comes_back_at_once_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    for (uint64_t seq = 1; seq <= 5; seq++)
        send_batch(f, peer, seq, 1);
    take(f, 5);
    assert_int_equal(batch_refuse(f->taken[2], 1, POISE_REFUSAL_VALUE), POISE_OK);
    for (size_t i = 0; i < 5; i++)
        assert_true(ring_push(&f->from_writer, f->taken[i]));
    f->taken_count = 0;
    step(f);
    expect_ack(f, peer, 3, 1, 1);
    expect_ack(f, peer, 5, 0, 0);
    send_batch(f, peer, 6, 1);
    take(f, 1);
    commit(f, 0);
    expect_ack(f, peer, 6, 0, 0); /* and nothing in between */
    struct net_socket *other = greeted(f, "q");
    send_batch(f, peer, 7, 1);
    take(f, 1);
    send_batch(f, other, 1, 1);
    take(f, 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(ring_push(&f->from_writer, f->taken[i]));
    f->taken_count = 0;
    step(f);
    expect_ack(f, peer, 7, 0, 0);
    expect_ack(f, other, 1, 0, 0);
}

/* ---- limits and nonsense ---- */

static void without_a_free_batch_nothing_is_received(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    for (uint64_t seq = 1; seq <= POOL + 2; seq++)
        send_batch(f, peer, seq, 1);
    take(f, POOL);
    assert_false(ingest_can_receive(f->ingest));
    step(f);
    assert_null(ring_pop(&f->to_writer));
    assert_true(counted(f, STAT_pool_empty) > 0);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
    take(f, POOL);
    for (uint64_t seq = 2; seq <= POOL; seq++) {
        commit(f, 0);
        expect_ack(f, peer, seq, 0, 0);
    }
    take(f, 2);
    assert_int_equal(f->taken[1]->seq, POOL + 2);
}

/* Epoch and sequence, then a row of a series that is not there. */
static void put_malformed(struct fixture *f, uint64_t seq)
{
    buf_put_u8(&f->loop.out, 1 << 3 | 1);
    buf_put_u64(&f->loop.out, EPOCH);
    buf_put_u8(&f->loop.out, 2 << 3);
    buf_put_varint(&f->loop.out, seq);
    buf_put(&f->loop.out, "\102\001\005", 3);
}

static void a_malformed_batch_is_refused_whole_and_passed(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    put_malformed(f, 1);
    loop_send(&f->loop, peer, WIRE_BATCH);
    put_batch(f, 2, 1, MAX_ROWS + 1);
    loop_send(&f->loop, peer, WIRE_BATCH);
    put_batch(f, 3, 1, MAX_ROWS);
    loop_send(&f->loop, peer, WIRE_BATCH);
    take(f, 3);
    assert_true(f->taken[0]->malformed && f->taken[1]->malformed && !f->taken[2]->malformed);
    commit(f, 0);
    expect_ack(f, peer, 1, 1, WIRE_ROW_ALL);
    commit(f, 0);
    expect_ack(f, peer, 2, 1, WIRE_ROW_ALL);
    commit(f, 0);
    expect_ack(f, peer, 3, 0, 0);
    assert_int_equal(counted(f, STAT_batches_malformed), 2);
}

/* Nothing of it is kept, or decoded; the next one is taken. */
static void a_batch_above_a_limit_is_refused_whole(void **state)
{
    struct fixture *f = *state;
    struct ledger ledger = {0};
    ingest_close(f->ingest);
    f->max_bytes = 200;
    f->max_symbols = 6;
    assert_int_equal(open_ingest(f, &ledger, 4), POISE_OK);
    struct net_socket *peer = loop_peer(&f->loop);
    struct net_message message;
    struct wire_welcome welcome;
    send_hello(f, peer, "p", 1, 0);
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_WELCOME);
    assert_int_equal(wire_decode_welcome(message.body, message.body_length, &f->loop.arena, &welcome, NULL),
                     POISE_OK);
    assert_int_equal(welcome.max_batch_bytes, 200);
    assert_int_equal(welcome.max_batch_symbols, 6);
    for (uint64_t seq = 1; seq <= 4; seq++) { /* rows; symbols; bytes; as much as may be */
        put_batch(f, seq, 1, seq == 1 ? MAX_ROWS + 1 : 4);
        for (uint64_t i = 0; i < (seq == 2 ? 5 : seq == 4 ? 4 : 0); i++)
            buf_put(&f->loop.out, "\x1a\x01x", 3);
        for (size_t extra = seq == 3 ? 201 - f->loop.out.length : 0; extra > 0;
             extra -= extra > 2 ? 3 : extra)
            buf_put(&f->loop.out, "\xa2\x06\0", extra > 2 ? 3 : extra); /* a field that nobody knows */
        loop_send(&f->loop, peer, WIRE_BATCH);
    }
    take(f, 4);
    for (int seq = 1; seq <= 4; seq++) {
        const struct batch *batch = f->taken[0];
        assert_int_equal(batch->malformed, seq < 4);
        assert_true(seq == 4 ? batch->body.length > 0 : batch->body.length == 0);
        assert_true(batch->arena.used == 0 || seq == 4);
        commit(f, 0);
        expect_ack(f, peer, (uint64_t)seq, seq < 4, WIRE_ROW_ALL);
    }
    assert_int_equal(counted(f, STAT_batches_too_large), 3);
    assert_int_equal(counted(f, STAT_batches_malformed), 3);
}

static void a_batch_must_be_of_the_greeted_epoch(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    struct wire_builder *builder = wire_builder_open();
    poise_measurement row = {.measure = "m", .of = 1};
    assert_int_equal(wire_builder_add(builder, &row), POISE_OK);
    assert_int_equal(wire_builder_finish(builder, EPOCH + 1, 1, &f->loop.out), POISE_OK);
    wire_builder_close(builder);
    loop_send(&f->loop, peer, WIRE_BATCH);
    loop_expect_error(&f->loop, peer, POISE_EPROTO);
    loop_send(&f->loop, peer, WIRE_BATCH); /* empty */
    loop_expect_error(&f->loop, peer, POISE_EPROTO);
}

static void nonsense_is_answered_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    struct rng rng = {7};
    for (int i = 0; i < 500; i++) {
        uint8_t head[3] = {rng_between(&rng, 0, 3) ? WIRE_VERSION : (uint8_t)rng_next(&rng),
                           rng_between(&rng, 0, 1) ? (uint8_t)rng_between(&rng, 1, 3)
                                                   : (uint8_t)rng_next(&rng)};
        uint8_t body[64];
        for (size_t at = 0; at < sizeof body; at++)
            body[at] = (uint8_t)rng_next(&rng);
        struct net_message message;
        loop_send_raw(peer, head, rng_between(&rng, 0, 7) ? 2 : (size_t)rng_between(&rng, 0, 3), body,
                      (size_t)rng_between(&rng, 0, sizeof body));
        assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_ERROR);
    }
    assert_int_equal(counted(f, STAT_protocol_errors), 500);
    assert_int_equal(counted(f, STAT_producers), 0);
    send_hello(f, peer, "p", 1, 0);
    expect_welcome(f, peer, 1, 0);
    take(f, 0);
}

/* ---- the log ---- */

/* Each kind by itself: what is routine, or many of a kind, does not hide what is worth an alarm. */
static void refusals_are_logged_with_key_and_producer(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop);
    struct wire_hello strange = {
        .producer = "p", .epoch = EPOCH, .next_seq = 1, .has_store = true, .store_id = "another store 16"};
    f->log = loop_log(&f->loop, &f->clock);
    user = "76b2a9f1b3e0a6c9";
    for (int i = 0; i < 150; i++) {
        send_batch(f, peer, 1, 1);
        loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
    }
    assert_int_equal(loop_said(&f->loop, " warn "), 0);
    assert_int_equal(loop_said(&f->loop, " debug producer_refused key=76b2a9f1 "), 150);
    for (int i = 0; i < 150; i++) {
        send_hello(f, peer, "not an id", 1, 0);
        loop_expect_error(&f->loop, peer, POISE_EPROTO);
    }
    assert_int_equal(
        loop_said(&f->loop, " warn producer_refused key=76b2a9f1 name=- producer=- code=EPROTO reason="), 20);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wire_encode_hello(&strange, &f->loop.out), POISE_OK);
        loop_send(&f->loop, peer, WIRE_HELLO);
        loop_expect_error(&f->loop, peer, POISE_ESTORE);
    }
    assert_int_equal(loop_said(&f->loop, " name=- producer=p code=ESTORE reason=\"the spool of 'p' "), 2);
    user = NULL;
    send_hello(f, peer, "p", 1, 0);
    expect_welcome(f, peer, 1, 0);
    put_batch(f, 1, 1, 5000);
    loop_send(&f->loop, peer, WIRE_BATCH);
    take(f, 1);
    assert_int_equal(
        loop_said(&f->loop,
                  " warn batch_too_large key=- name=- producer=p code=EREFUSED reason=\"batch 1 has "),
        1);
    assert_int_equal(loop_said(&f->loop, " 5000 rows, "), 1);
    f->now_us += 60000000;
    send_batch(f, peer, 2, 1);
    send_batch(f, peer, 2, 2);
    loop_expect_error(&f->loop, peer, POISE_EFORK);
    assert_int_equal(loop_said(&f->loop, " producer=p code=EFORK "), 1);
    assert_int_equal(loop_said(&f->loop, " warn more_producer_refused code=EPROTO count=130\n"), 1);
    assert_int_equal(loop_said(&f->loop, " more_"), 1);
    assert_int_equal(loop_said(&f->loop, "76b2a9f1b"), 0); /* never more of a key */
    take(f, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        INGEST_TEST(batches_in_order_are_acknowledged_once_on_disk),
        INGEST_TEST(producers_do_not_get_in_each_others_way),
        INGEST_TEST(duplicates_are_acknowledged_again),
        INGEST_TEST(a_gap_is_told_once),
        INGEST_TEST(a_batch_before_hello_is_asked_for_its_hello),
        INGEST_TEST(a_welcome_promises_only_what_is_on_disk),
        INGEST_TEST(a_new_connection_takes_over),
        INGEST_TEST(one_connection_speaks_for_one_producer),
        INGEST_TEST(lost_refusals_are_told_again_after_the_welcome),
        INGEST_TEST(a_hello_must_make_sense),
        INGEST_TEST(producers_are_limited),
        INGEST_TEST(a_restart_goes_on_where_the_disk_is),
        INGEST_TEST(a_window_of_refusals_is_welcomed_and_told),
        INGEST_TEST(small_batches_get_more_credit),
        INGEST_TEST(what_comes_back_at_once_is_told_at_once),
        INGEST_TEST(without_a_free_batch_nothing_is_received),
        INGEST_TEST(a_malformed_batch_is_refused_whole_and_passed),
        INGEST_TEST(a_batch_above_a_limit_is_refused_whole),
        INGEST_TEST(a_batch_must_be_of_the_greeted_epoch),
        INGEST_TEST(nonsense_is_answered_and_changes_nothing),
        INGEST_TEST(refusals_are_logged_with_key_and_producer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
