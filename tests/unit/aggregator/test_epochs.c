/* Epochs of producers: forks, where a new one begins, and what is lost of it. */
#include "ingest_fixture.h"

static void other_content_under_a_sequence_is_a_fork(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    send_batch(f, peer, 1, 1);
    send_batch(f, peer, 1, 2);
    loop_expect_error(&f->loop, peer, POISE_EFORK);
    take(f, 1);
    assert_true(f->taken[0]->rows.value[0] == 1);
    assert_int_equal(counted(f, STAT_forks), 1);
    send_batch(f, peer, 2, 2); /* what follows it is of the other copy, too */
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND);
    assert_int_equal(counted(f, STAT_batches_received), 1);
}

static void send_forked(struct fixture *f, struct net_socket *peer, uint64_t epoch, uint64_t first_seq,
                        uint64_t next_seq, uint64_t forked_epoch)
{
    struct wire_hello hello = {.producer = "p",
                               .epoch = epoch,
                               .first_seq = first_seq,
                               .next_seq = next_seq,
                               .forked_epoch = forked_epoch,
                               .software = "test"};
    assert_int_equal(wire_encode_hello(&hello, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_HELLO);
}

static struct wire_welcome receive_welcome(struct fixture *f, struct net_socket *peer)
{
    struct net_message message;
    struct wire_welcome welcome;
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_WELCOME);
    assert_int_equal(wire_decode_welcome(message.body, message.body_length, &f->loop.arena, &welcome, NULL),
                     POISE_OK);
    return welcome;
}

static struct wire_welcome fork_hello(struct fixture *f, struct net_socket *peer, uint64_t epoch,
                                      uint64_t next_seq, uint64_t forked_epoch)
{
    send_forked(f, peer, epoch, 1, next_seq, forked_epoch);
    return receive_welcome(f, peer);
}

/* The first batch of an epoch: a loss of nothing much. */
static void send_first(struct fixture *f, struct net_socket *peer, uint64_t epoch)
{
    const struct wire_loss loss = {.last_seq = 1, .rows = 1, .reason = POISE_LOSS_OLDEST, .last_hash = 5};
    assert_int_equal(wire_encode_loss(epoch, 1, &loss, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_BATCH);
    take(f, f->taken_count + 1);
}

static void a_new_epoch_counts_as_one_fork(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    send_batch(f, peer, 1, 1);
    take(f, 1);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
    assert_int_equal(fork_hello(f, peer, EPOCH + 1, 1, EPOCH).next_seq, 1); /* it saw it by itself */
    fork_hello(f, peer, EPOCH + 1, 1, EPOCH);                               /* again, since it was cut */
    assert_int_equal(counted(f, STAT_forks), 0);
    send_first(f, peer, EPOCH + 1);
    assert_int_equal(counted(f, STAT_forks), 1);
    fork_hello(f, peer, EPOCH + 1, 1, EPOCH);
    assert_int_equal(counted(f, STAT_forks), 1);
    send_hello(f, peer, "p", 2, 4711); /* the aggregator does */
    loop_expect_error(&f->loop, peer, POISE_EFORK);
    assert_int_equal(counted(f, STAT_forks), 2);
    send_hello(f, peer, "p", 2, 4711);
    loop_expect_error(&f->loop, peer, POISE_EFORK);
    fork_hello(f, peer, EPOCH + 2, 1, EPOCH);
    send_first(f, peer, EPOCH + 2);
    assert_int_equal(counted(f, STAT_forks), 2);
}

/* ---- places ---- */

static void who_has_sent_nothing_makes_room(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a", "b", "c", "d", "e"}; /* for four places */
    struct net_socket *peers[5], *many = loop_peer(&f->loop);
    for (uint64_t epoch = 100; epoch < 150; epoch++)
        fork_hello(f, many, epoch, 1, 7);
    assert_int_equal(counted(f, STAT_producers), 1); /* a connection has one at a time */
    assert_int_equal(counted(f, STAT_forks), 0);
    loop_hang_up(&f->loop, many);
    for (size_t i = 0; i < 5; i++)
        peers[i] = greeted(f, names[i]);
    assert_int_equal(counted(f, STAT_producers), 4);
    send_hello(f, peers[1], "b", 1, 0); /* who says it again is no longer the oldest */
    expect_welcome(f, peers[1], 1, 0);
    send_batch(f, peers[0], 1, 1);
    loop_expect_error(&f->loop, peers[0], POISE_ENOTFOUND); /* made room for the last */
    send_hello(f, peers[0], "a", 1, 0);
    expect_welcome(f, peers[0], 1, 0);
    static const size_t kept[] = {0, 1, 3, 4};
    for (size_t i = 0; i < 4; i++) {
        send_batch(f, peers[kept[i]], 1, 1);
        take(f, i + 1);
    }
    send_hello(f, peers[2], "c", 1, 0); /* on the way to the disk is enough */
    loop_expect_error(&f->loop, peers[2], POISE_ELIMIT);
    commit(f, 0);
    expect_ack(f, peers[0], 1, 0, 0);
}

#define ONE   "a000000000000000000000000000000000000000000000000000000000000001"
#define OTHER "b000000000000000000000000000000000000000000000000000000000000002"

/* Says HELLO by a key, and sends a batch. */
static void begin_with(struct fixture *f, const char *key, struct net_socket *peer, const char *name)
{
    user = key;
    send_hello(f, peer, name, 1, 0);
    expect_welcome(f, peer, 1, 0);
    send_batch(f, peer, 1, 1);
    take(f, f->taken_count + 1);
}

static void expect_limit(struct fixture *f, const char *key, struct net_socket *peer, const char *name,
                         const char *about)
{
    struct net_message message;
    struct wire_error error;
    user = key;
    send_hello(f, peer, name, 1, 0);
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_ERROR);
    assert_int_equal(wire_decode_error(message.body, message.body_length, &f->loop.arena, &error, NULL),
                     POISE_OK);
    assert_int_equal(error.code, POISE_ELIMIT);
    assert_non_null(strstr(error.text, about));
}

/* Of eight places two for each, as nothing else is said. */
static void a_key_has_its_share_of_the_places(void **state)
{
    struct fixture *f = *state;
    struct ledger ledger = {0};
    struct net_socket *one = loop_peer(&f->loop), *other = loop_peer(&f->loop);
    ingest_close(f->ingest);
    assert_int_equal(open_ingest(f, &ledger, 8), POISE_OK);
    struct net_socket *quiet = greeted(f, "quiet"); /* who has waited longest */
    begin_with(f, ONE, one, "a");
    begin_with(f, ONE, one, "b");
    expect_limit(f, ONE, one, "c", "(max_producers_each)");
    send_hello(f, one, "a", 1, 0); /* known */
    expect_welcome(f, one, 1, 0);
    user = OTHER;
    struct net_socket *waits = greeted(f, "d");
    begin_with(f, OTHER, other, "e");
    begin_with(f, OTHER, other, "f");
    send_batch(f, waits, 1, 1);
    loop_expect_error(&f->loop, waits, POISE_ENOTFOUND); /* made room for one of its own key */
    expect_limit(f, OTHER, waits, "d", "(max_producers_each)");
    user = NULL;
    send_batch(f, quiet, 1, 1);
    take(f, 5);
    static const char *const keyless[] = {"g", "h", "i"};
    for (size_t i = 0; i < 3; i++)
        begin_with(f, NULL, other, keyless[i]);
    commit(f, 0); /* else nothing is received */
    expect_limit(f, NULL, other, "j", "(max_producers)");
    expect_limit(f, "c0", other, "j", "(max_producers)");
}

/* ---- where they begin ---- */

static uint64_t begins(struct fixture *f, struct net_socket *peer, uint64_t first_seq)
{
    send_forked(f, peer, EPOCH, first_seq, first_seq, EPOCH - 1);
    return receive_welcome(f, peer).next_seq;
}

/* Copies that begin it elsewhere are told apart only by what is on disk. */
static void an_epoch_begins_where_its_first_batch_says(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = loop_peer(&f->loop), *copy = loop_peer(&f->loop);
    assert_int_equal(begins(f, peer, 5), 5);
    assert_int_equal(begins(f, copy, 8), 8); /* nothing came */
    send_batch(f, peer, 5, 1);
    loop_expect_error(&f->loop, peer, POISE_ENOTFOUND); /* which is not taken for one of before the start */
    assert_int_equal(begins(f, peer, 5), 5);
    send_batch(f, peer, 5, 1);
    take(f, 1);
    for (uint64_t elsewhere = 3; elsewhere <= 8; elsewhere += 5) {
        send_forked(f, copy, EPOCH, elsewhere, elsewhere, EPOCH - 1);
        loop_expect_error(&f->loop, copy, POISE_EBUSY); /* it may be what the copy has */
    }
    assert_int_equal(counted(f, STAT_batches_duplicate), 0);
    commit(f, 0);
    expect_ack(f, peer, 5, 0, 0);
    assert_int_equal(begins(f, copy, 8), 6); /* which is not its own */
    assert_int_equal(begins(f, peer, 5), 6);
    expect_ack(f, peer, 5, 0, 0);
}

/* Those that the producer does not know to be acknowledged, and not more than are known. */
static void welcome_has_the_hashes(void **state)
{
    struct fixture *f = *state;
    enum { BATCHES = 6 };
    uint64_t hashes[BATCHES + 1];
    struct net_socket *peer = greeted(f, "p");
    for (uint64_t seq = 1; seq <= BATCHES; seq++) {
        hashes[seq] = send_batch(f, peer, seq, (double)seq);
        take(f, 1);
        if (seq < BATCHES) /* the last is still on its way to the disk */
            commit(f, 0);
    }
    peer = loop_peer(&f->loop);
    struct wire_welcome welcome = fork_hello(f, peer, EPOCH, 3, 0);
    assert_int_equal(welcome.next_seq, BATCHES);
    assert_int_equal(welcome.hash_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(welcome.hashes[i] == hashes[3 + i]);
    peer = loop_peer(&f->loop);
    assert_int_equal(fork_hello(f, peer, EPOCH, BATCHES, 0).hash_count, 0);
}

static void a_spool_with_another_history_is_a_fork(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    uint64_t hash = send_batch(f, peer, 1, 1);
    take(f, 1);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
    send_hello(f, peer, "p", 2, hash + 1);
    loop_expect_error(&f->loop, peer, POISE_EFORK);
    assert_int_equal(counted(f, STAT_forks), 1);
    send_hello(f, peer, "p", 2, 0); /* unknown is no contradiction */
    expect_welcome(f, peer, 2, hash);
    send_hello(f, peer, "p", 9, hash + 1); /* the store was restored: it asks for what it lacks */
    expect_welcome(f, peer, 2, hash);
}

/* ---- losses ---- */

static void send_loss(struct fixture *f, struct net_socket *peer, uint64_t first, uint64_t last,
                      uint64_t last_hash)
{
    const struct wire_loss loss = {.last_seq = last,
                                   .rows = 3 * (last - first + 1),
                                   .reason = POISE_LOSS_OLDEST,
                                   .last_hash = last_hash};
    assert_int_equal(wire_encode_loss(EPOCH, first, &loss, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_BATCH);
}

static void a_loss_takes_all_its_numbers(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    send_batch(f, peer, 1, 1);
    send_loss(f, peer, 2, 9, 77);
    send_batch(f, peer, 10, 1);
    take(f, 3);
    assert_int_equal(f->taken[1]->seq, 9);
    assert_int_equal(f->taken[1]->hash, 77);
    assert_int_equal(f->taken[1]->rows.loss.rows, 24);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
    commit(f, 0);
    expect_ack(f, peer, 9, 0, 0);
    send_hello(f, peer, "p", 10, 77);
    expect_welcome(f, peer, 10, 77);
    commit(f, 0);
    send_batch(f, peer, 10, 1); /* as a sender does that has no acknowledgement */
    expect_ack(f, peer, 10, 0, 0);
    send_loss(f, peer, 2, 9, 77); /* its acknowledgement was lost */
    expect_ack(f, peer, 10, 0, 0);
    assert_int_equal(counted(f, STAT_forks), 0);
    assert_int_equal(counted(f, STAT_batches_duplicate), 2);
}

/* What came before it was dropped there is no loss: only of the rest it is asked again. */
static void a_loss_of_what_came_is_asked_for_the_rest(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    send_batch(f, peer, 1, 1);
    uint64_t hash = send_batch(f, peer, 2, 2);
    take(f, 2);
    send_loss(f, peer, 1, 5, 77);
    expect_gap(f, peer, 3);
    send_loss(f, peer, 1, 5, 77);
    expect_gap(f, peer, 3);
    take(f, 2);
    send_loss(f, peer, 3, 5, 77);
    take(f, 3);
    assert_int_equal(f->taken[2]->rows.seq, 3);
    commit(f, 0);
    expect_ack(f, peer, 1, 0, 0);
    commit(f, 0);
    expect_ack(f, peer, 2, 0, 0);
    send_loss(f, peer, 1, 2, hash); /* all of it came */
    expect_ack(f, peer, 2, 0, 0);
    commit(f, 0);
    expect_ack(f, peer, 5, 0, 0);
    assert_int_equal(counted(f, STAT_forks), 0);
}

/* A copy of the spool has lost other batches than came. */
static void a_loss_of_others_is_a_fork(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    send_batch(f, peer, 1, 1);
    send_batch(f, peer, 2, 2);
    take(f, 2);
    send_loss(f, peer, 1, 2, 77);
    loop_expect_error(&f->loop, peer, POISE_EFORK);
    assert_int_equal(counted(f, STAT_forks), 1);
}

/* Only a copy can have them; it is not told that they count, and what it has behind them is not taken. */
static void batches_under_lost_numbers_are_of_a_copy(void **state)
{
    enum { FAR = 5000 };
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p"), *copy = loop_peer(&f->loop);
    send_loss(f, peer, 1, 9, 77);
    take(f, 1);
    send_hello(f, copy, "p", 1, 0);
    expect_welcome(f, copy, 1, 0); /* it is not on disk */
    send_batch(f, copy, 1, 1);
    loop_expect_error(&f->loop, copy, POISE_EBUSY);
    send_batch(f, copy, 10, 1);
    loop_expect_error(&f->loop, copy, POISE_ENOTFOUND);
    commit(f, 0);
    send_hello(f, copy, "p", 1, 0);
    expect_welcome(f, copy, 10, 77);
    expect_ack(f, copy, 9, 0, 0);
    send_loss(f, copy, 10, FAR, 78);
    take(f, 1);
    send_batch(f, copy, 11, 1); /* further back than hashes are kept */
    loop_expect_error(&f->loop, copy, POISE_EBUSY);
    assert_int_equal(counted(f, STAT_batches_duplicate), 0);
    assert_int_equal(counted(f, STAT_forks), 0);
}

static void a_loss_after_a_gap_waits(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p");
    send_loss(f, peer, 2, 5, 77);
    expect_gap(f, peer, 1);
    take(f, 0);
}

/* ---- their spools ---- */

static void tell_spool(struct fixture *f, struct net_socket *peer, const char *name, uint64_t bytes,
                       uint64_t age_ms)
{
    const struct wire_spool spool = {.bytes = bytes, .age_ms = age_ms};
    assert_int_equal(wire_encode_spool(&spool, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_SPOOL);
    send_hello(f, peer, name, 1, 0); /* its answer says that the other was taken */
    expect_welcome(f, peer, 1, 0);
}

static void expect_spools(struct fixture *f, uint64_t bytes, uint64_t age_ms)
{
    f->now_us += 1000000;
    step(f);
    assert_int_equal(counted(f, STAT_spool_bytes), bytes);
    assert_int_equal(counted(f, STAT_spool_age_ms), age_ms);
}

static void what_waits_in_spools_is_added_up(void **state)
{
    struct fixture *f = *state;
    struct net_socket *a = greeted(f, "a"), *b = greeted(f, "b");
    assert_int_equal(ingest_idle_ms(f->ingest), -1);
    tell_spool(f, a, "a", 1000, 70000);
    tell_spool(f, b, "b", 500, 9000);
    assert_int_equal(ingest_idle_ms(f->ingest), 1000);
    expect_spools(f, 1500, 70000);
    tell_spool(f, a, "a", 0, 0);
    expect_spools(f, 500, 9000);
    tell_spool(f, b, "b", UINT64_MAX, 1);
    tell_spool(f, a, "a", 7, 2);
    expect_spools(f, UINT64_MAX, 2);
    tell_spool(f, a, "a", 0, 0);
    tell_spool(f, b, "b", 0, 0);
    expect_spools(f, 0, 0);
    assert_int_equal(ingest_idle_ms(f->ingest), -1);
}

static void what_waits_in_spools_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct net_socket *peer = greeted(f, "p"), *other = greeted(f, "q");
    tell_spool(f, peer, "p", 1000, 70000);
    expect_spools(f, 1000, 70000);
    f->now_us += 57000000;
    tell_spool(f, other, "q", 1, 5000);
    expect_spools(f, 1001, 70000);
    expect_spools(f, 1, 5000); /* a minute without news */
    send_hello(f, other, "r", 1, 0);
    expect_welcome(f, other, 1, 0); /* nobody speaks for it any more */
    expect_spools(f, 0, 0);
    struct net_socket *strange = loop_peer(&f->loop);
    assert_int_equal(wire_encode_spool(&(struct wire_spool){.bytes = 9}, &f->loop.out), POISE_OK);
    loop_send(&f->loop, strange, WIRE_SPOOL);
    loop_expect_error(&f->loop, strange, POISE_ENOTFOUND);
    expect_spools(f, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        INGEST_TEST(other_content_under_a_sequence_is_a_fork),
        INGEST_TEST(a_new_epoch_counts_as_one_fork),
        INGEST_TEST(who_has_sent_nothing_makes_room),
        INGEST_TEST(a_key_has_its_share_of_the_places),
        INGEST_TEST(an_epoch_begins_where_its_first_batch_says),
        INGEST_TEST(welcome_has_the_hashes),
        INGEST_TEST(a_loss_takes_all_its_numbers),
        INGEST_TEST(a_loss_of_what_came_is_asked_for_the_rest),
        INGEST_TEST(a_loss_of_others_is_a_fork),
        INGEST_TEST(batches_under_lost_numbers_are_of_a_copy),
        INGEST_TEST(a_loss_after_a_gap_waits),
        INGEST_TEST(a_spool_with_another_history_is_a_fork),
        INGEST_TEST(what_waits_in_spools_is_added_up),
        INGEST_TEST(what_waits_in_spools_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
