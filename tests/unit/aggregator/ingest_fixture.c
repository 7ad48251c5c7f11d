#include "ingest_fixture.h"

const char *user;

poise_code __real_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err);
poise_code __wrap_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err);
poise_code __wrap_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err)
{
    poise_code code = __real_net_receive(socket, ret_message, err);
    if (!code)
        ret_message->user = user;
    return code;
}

void step(void *machine)
{
    poise_error err = {0};
    if (ingest_step(((struct fixture *)machine)->ingest, &err) != POISE_OK)
        fail_msg("%s", err.text);
}

static bool can_receive(void *machine)
{
    return ingest_can_receive(((struct fixture *)machine)->ingest);
}

static int64_t now_of(void *context)
{
    return ((const struct fixture *)context)->now_us;
}

poise_code open_ingest(struct fixture *f, struct ledger *ledger, size_t max_producers)
{
    struct ingest_options options = {.socket = f->loop.router,
                                     .to_writer = &f->to_writer,
                                     .from_writer = &f->from_writer,
                                     .writer_wake = f->wake,
                                     .clock = &f->clock,
                                     .stats = &f->stats,
                                     .log = &f->log,
                                     .store = f->store,
                                     .pool = POOL,
                                     .credit = f->credit ? f->credit : CREDIT,
                                     .max_producers = max_producers,
                                     .max_batch_rows = MAX_ROWS,
                                     .max_batch_bytes = f->max_bytes,
                                     .max_batch_symbols = f->max_symbols};
    return ingest_open(&options, ledger, &f->ingest, NULL);
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f)
        f->loop.send_hwm = INGEST_SEND_HWM;
    if (!f || !loop_open(&f->loop))
        return -1;
    char path[96];
    snprintf(path, sizeof path, "%s/store", f->loop.directory);
    struct store_options options = {.path = path,
                                    .map_bytes = 1 << 20,
                                    .free_bytes = 1,
                                    .new_id = "sixteen bytes id",
                                    .new_incarnation = INCARNATION};
    struct ledger ledger = {0};
    f->loop.machine = f;
    f->loop.step = step;
    f->loop.can_receive = can_receive;
    f->clock = (struct clock){.monotonic_us = now_of, .wall_ms = now_of, .context = f};
    *state = f;
    user = NULL;
    return store_open(&options, &f->store, NULL) == POISE_OK && ring_init(&f->to_writer, POOL) &&
                   ring_init(&f->from_writer, POOL) && net_wake_open(&f->wake, NULL) == POISE_OK &&
                   open_ingest(f, &ledger, 4) == POISE_OK
               ? 0
               : -1;
}

int teardown(void **state)
{
    struct fixture *f = *state;
    ingest_close(f->ingest);
    store_close(f->store);
    ring_free(&f->to_writer);
    ring_free(&f->from_writer);
    net_wake_close(f->wake);
    loop_close(&f->loop);
    free(f);
    return 0;
}

/* ---- the producer's side ---- */

void send_hello(struct fixture *f, struct net_socket *peer, const char *name, uint64_t next_seq,
                uint64_t last_hash)
{
    struct wire_hello hello = {
        .producer = name, .epoch = EPOCH, .next_seq = next_seq, .last_hash = last_hash, .software = "test"};
    assert_int_equal(wire_encode_hello(&hello, &f->loop.out), POISE_OK);
    loop_send(&f->loop, peer, WIRE_HELLO);
}

void expect_welcome(struct fixture *f, struct net_socket *peer, uint64_t next_seq, uint64_t last_hash)
{
    struct net_message message;
    struct wire_welcome welcome;
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_WELCOME);
    assert_int_equal(wire_decode_welcome(message.body, message.body_length, &f->loop.arena, &welcome, NULL),
                     POISE_OK);
    assert_memory_equal(welcome.store_id, "sixteen bytes id", 16);
    assert_int_equal(welcome.incarnation, INCARNATION);
    assert_int_equal(welcome.epoch, EPOCH);
    assert_int_equal(welcome.credit, CREDIT);
    assert_int_equal(welcome.max_batch_rows, MAX_ROWS);
    assert_int_equal(welcome.max_batch_bytes, WIRE_MESSAGE_MAX);
    assert_int_equal(welcome.next_seq, next_seq);
    assert_int_equal(welcome.last_hash, last_hash);
}

struct net_socket *greeted(struct fixture *f, const char *name)
{
    struct net_socket *peer = loop_peer(&f->loop);
    send_hello(f, peer, name, 1, 0);
    expect_welcome(f, peer, 1, 0);
    return peer;
}

/* A batch of `rows` rows whose content depends on value; its hash. */
uint64_t put_batch(struct fixture *f, uint64_t seq, double value, int rows)
{
    struct wire_builder *builder = wire_builder_open();
    assert_non_null(builder);
    for (int i = 0; i < rows; i++) {
        poise_measurement row = {.measure = "m", .time_ms = i, .value = value, .of = 1};
        assert_int_equal(wire_builder_add(builder, &row), POISE_OK);
    }
    assert_int_equal(wire_builder_finish(builder, EPOCH, seq, &f->loop.out), POISE_OK);
    wire_builder_close(builder);
    return wire_batch_hash(f->loop.out.data, f->loop.out.length);
}

uint64_t send_batch(struct fixture *f, struct net_socket *peer, uint64_t seq, double value)
{
    uint64_t hash = put_batch(f, seq, value, 3);
    loop_send(&f->loop, peer, WIRE_BATCH);
    return hash;
}

/* The next message is an ACK up to seq with so many refusals, all of batch seq; the first is of `row`. */
void expect_ack(struct fixture *f, struct net_socket *peer, uint64_t seq, size_t refusals, uint32_t row)
{
    struct net_message message;
    struct wire_ack ack;
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_ACK);
    assert_int_equal(wire_decode_ack(message.body, message.body_length, &f->loop.arena, &ack, NULL),
                     POISE_OK);
    assert_int_equal(ack.epoch, EPOCH);
    assert_int_equal(ack.seq, seq);
    assert_int_equal(ack.credit, CREDIT);
    assert_int_equal(ack.refusal_count, refusals);
    for (size_t i = 0; i < refusals; i++) {
        assert_int_equal(ack.refusals[i].seq, seq);
        assert_int_equal(ack.refusals[i].row, row + i);
    }
}

void expect_gap(struct fixture *f, struct net_socket *peer, uint64_t expected)
{
    struct net_message message;
    struct wire_gap gap;
    assert_int_equal(loop_receive(&f->loop, peer, &message), WIRE_GAP);
    assert_int_equal(wire_decode_gap(message.body, message.body_length, &f->loop.arena, &gap, NULL),
                     POISE_OK);
    assert_int_equal(gap.epoch, EPOCH);
    assert_int_equal(gap.expected, expected);
}

/* ---- the writer's side ---- */

/* Steps ingest until the writer has been given so many batches that are not yet on disk. */
void take(struct fixture *f, size_t count)
{
    while (f->taken_count < count) {
        struct batch *batch = ring_pop(&f->to_writer);
        if (batch) {
            f->taken[f->taken_count++] = batch;
            continue;
        }
        struct net_wait item = {.socket = f->loop.router, .fd = -1};
        assert_int_equal(net_wait(&item, 1, PATIENCE_MS, NULL), POISE_OK);
        assert_true(item.ready);
        step(f);
    }
    assert_null(ring_pop(&f->to_writer));
}

/* The first batch is on disk, its first rows refused. */
void commit(struct fixture *f, uint32_t refused)
{
    assert_true(f->taken_count > 0);
    struct batch *batch = f->taken[0];
    memmove(f->taken, f->taken + 1, --f->taken_count * sizeof(struct batch *));
    for (uint32_t row = 0; row < refused; row++)
        assert_int_equal(batch_refuse(batch, row, POISE_REFUSAL_VALUE), POISE_OK);
    if (batch->malformed)
        assert_int_equal(batch_refuse(batch, WIRE_ROW_ALL, POISE_REFUSAL_MALFORMED), POISE_OK);
    assert_true(ring_push(&f->from_writer, batch));
    step(f);
}

uint64_t counted(const struct fixture *f, enum stat stat)
{
    return stats_get(&f->stats, stat);
}
