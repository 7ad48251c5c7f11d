/* Encoding gives exactly the bytes of the *.hex files, decoding gives the fields back. */
#include "golden.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t store_id[WIRE_STORE_ID] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
                                                0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

#define ENCODED(call) assert_int_equal(call, POISE_OK)
#define DECODED(call)                                                                                        \
    do {                                                                                                     \
        poise_error err = {.text = ""};                                                                      \
        if ((call) != POISE_OK) {                                                                            \
            fail_msg("%s", err.text);                                                                        \
        }                                                                                                    \
    } while (false)

static void encode_hello(struct buf *out)
{
    struct wire_hello hello = {.producer = "line-3.mes",
                               .epoch = GOLDEN_EPOCH,
                               .next_seq = 42,
                               .last_hash = 0xfedcba9876543210u,
                               .incarnation = 9,
                               .forked_epoch = 0x8877665544332211u,
                               .has_store = true,
                               .software = "poise-collector 0.1.0"};
    memcpy(hello.store_id, store_id, sizeof store_id);
    ENCODED(wire_encode_hello(&hello, out));
}

static void check_hello(const void *body, size_t length, struct arena *arena)
{
    struct wire_hello hello;
    DECODED(wire_decode_hello(body, length, arena, &hello, &err));
    assert_string_equal(hello.producer, "line-3.mes");
    assert_true(hello.epoch == GOLDEN_EPOCH);
    assert_int_equal(hello.next_seq, 42);
    assert_true(hello.last_hash == 0xfedcba9876543210u);
    assert_int_equal(hello.incarnation, 9);
    assert_true(hello.forked_epoch == 0x8877665544332211u);
    assert_true(hello.has_store);
    assert_memory_equal(hello.store_id, store_id, sizeof store_id);
    assert_string_equal(hello.software, "poise-collector 0.1.0");
}

static const uint64_t hashes[] = {0xfedcba9876543210u, 0, 0x0123456789abcdefu};

static void encode_welcome(struct buf *out)
{
    struct wire_welcome welcome = {.incarnation = 9,
                                   .epoch = GOLDEN_EPOCH,
                                   .next_seq = 43,
                                   .last_hash = 0x0123456789abcdefu,
                                   .credit = 16,
                                   .max_batch_bytes = 262144,
                                   .max_batch_rows = 16384,
                                   .max_batch_symbols = 65536,
                                   .hashes = hashes,
                                   .hash_count = sizeof hashes / sizeof *hashes,
                                   .takes_spool = true};
    memcpy(welcome.store_id, store_id, sizeof store_id);
    ENCODED(wire_encode_welcome(&welcome, out));
}

static void check_welcome(const void *body, size_t length, struct arena *arena)
{
    struct wire_welcome welcome;
    DECODED(wire_decode_welcome(body, length, arena, &welcome, &err));
    assert_memory_equal(welcome.store_id, store_id, sizeof store_id);
    assert_int_equal(welcome.incarnation, 9);
    assert_true(welcome.epoch == GOLDEN_EPOCH);
    assert_int_equal(welcome.next_seq, 43);
    assert_true(welcome.last_hash == 0x0123456789abcdefu);
    assert_int_equal(welcome.credit, 16);
    assert_int_equal(welcome.max_batch_bytes, 262144);
    assert_int_equal(welcome.max_batch_rows, 16384);
    assert_int_equal(welcome.hash_count, sizeof hashes / sizeof *hashes);
    assert_memory_equal(welcome.hashes, hashes, sizeof hashes);
    assert_int_equal(welcome.max_batch_symbols, 65536);
    assert_true(welcome.takes_spool);
}

static void encode_ack(struct buf *out)
{
    const struct wire_refusal refusals[] = {{42, 17, POISE_REFUSAL_VALUE},
                                            {43, WIRE_ROW_ALL, POISE_REFUSAL_MALFORMED}};
    ENCODED(wire_encode_ack(
        &(struct wire_ack){
            .epoch = GOLDEN_EPOCH, .seq = 43, .credit = 16, .refusals = refusals, .refusal_count = 2},
        out));
}

static void check_ack(const void *body, size_t length, struct arena *arena)
{
    struct wire_ack ack;
    DECODED(wire_decode_ack(body, length, arena, &ack, &err));
    assert_true(ack.epoch == GOLDEN_EPOCH);
    assert_int_equal(ack.seq, 43);
    assert_int_equal(ack.credit, 16);
    assert_int_equal(ack.refusal_count, 2);
    assert_int_equal(ack.refusals[0].seq, 42);
    assert_int_equal(ack.refusals[0].row, 17);
    assert_int_equal(ack.refusals[0].reason, POISE_REFUSAL_VALUE);
    assert_int_equal(ack.refusals[1].seq, 43);
    assert_int_equal(ack.refusals[1].row, WIRE_ROW_ALL);
    assert_int_equal(ack.refusals[1].reason, POISE_REFUSAL_MALFORMED);
}

static void encode_gap(struct buf *out)
{
    ENCODED(wire_encode_gap(&(struct wire_gap){.epoch = GOLDEN_EPOCH, .expected = 43}, out));
}

static void check_gap(const void *body, size_t length, struct arena *arena)
{
    struct wire_gap gap;
    DECODED(wire_decode_gap(body, length, arena, &gap, &err));
    assert_true(gap.epoch == GOLDEN_EPOCH);
    assert_int_equal(gap.expected, 43);
}

static void encode_spool(struct buf *out)
{
    ENCODED(wire_encode_spool(&(struct wire_spool){.bytes = 1234567, .age_ms = 65000}, out));
}

static void check_spool(const void *body, size_t length, struct arena *arena)
{
    struct wire_spool spool;
    DECODED(wire_decode_spool(body, length, arena, &spool, &err));
    assert_int_equal(spool.bytes, 1234567);
    assert_int_equal(spool.age_ms, 65000);
}

static void encode_error(struct buf *out)
{
    struct wire_error error = {.id = 5, .code = POISE_ENOTFOUND, .text = "there is no scorecard `sales`"};
    ENCODED(wire_encode_error(&error, out));
}

static void check_error(const void *body, size_t length, struct arena *arena)
{
    struct wire_error error;
    DECODED(wire_decode_error(body, length, arena, &error, &err));
    assert_int_equal(error.id, 5);
    assert_int_equal(error.code, POISE_ENOTFOUND);
    assert_string_equal(error.text, "there is no scorecard `sales`");
}

static void encode_subscribe(struct buf *out)
{
    const char *scorecards[] = {"production"};
    const char *orgs[] = {"", "plant-1/**"};
    const char *nodes[] = {"production/process"};
    struct wire_subscribe subscribe = {.id = 5,
                                       .filter = {.scorecards = scorecards,
                                                  .scorecard_count = 1,
                                                  .orgs = orgs,
                                                  .org_count = 2,
                                                  .nodes = nodes,
                                                  .node_count = 1,
                                                  .kinds = 1u << POISE_OBJECTIVE | 1u << POISE_MEASURE,
                                                  .changes = POISE_CHANGES_STATUS | POISE_CHANGES_REVISIONS},
                                       .least_interval_ms = 250,
                                       .credit = 8,
                                       .once = true,
                                       .from_lsn = 997,
                                       .from_revised = 3,
                                       .from_view = UINT64_C(0x0102030405060708)};
    ENCODED(wire_encode_subscribe(&subscribe, out));
}

static void check_subscribe(const void *body, size_t length, struct arena *arena)
{
    struct wire_subscribe subscribe;
    DECODED(wire_decode_subscribe(body, length, arena, &subscribe, &err));
    assert_int_equal(subscribe.id, 5);
    assert_int_equal(subscribe.filter.scorecard_count, 1);
    assert_string_equal(subscribe.filter.scorecards[0], "production");
    assert_int_equal(subscribe.filter.org_count, 2);
    assert_string_equal(subscribe.filter.orgs[0], "");
    assert_string_equal(subscribe.filter.orgs[1], "plant-1/**");
    assert_int_equal(subscribe.filter.node_count, 1);
    assert_string_equal(subscribe.filter.nodes[0], "production/process");
    assert_int_equal(subscribe.least_interval_ms, 250);
    assert_int_equal(subscribe.credit, 8);
    assert_true(subscribe.once);
    assert_int_equal(subscribe.filter.kinds, 1u << POISE_OBJECTIVE | 1u << POISE_MEASURE);
    assert_int_equal(subscribe.filter.changes, POISE_CHANGES_STATUS | POISE_CHANGES_REVISIONS);
    assert_true(subscribe.from_lsn == 997 && subscribe.from_revised == 3);
    assert_true(subscribe.from_view == UINT64_C(0x0102030405060708));
}

static void encode_credit(struct buf *out)
{
    ENCODED(wire_encode_credit(&(struct wire_credit){.id = 5, .more = 4}, out));
}

static void check_credit(const void *body, size_t length, struct arena *arena)
{
    struct wire_credit credit;
    DECODED(wire_decode_credit(body, length, arena, &credit, &err));
    assert_int_equal(credit.id, 5);
    assert_int_equal(credit.more, 4);
}

static void encode_unsubscribe(struct buf *out)
{
    ENCODED(wire_encode_unsubscribe(5, out));
}

static void check_unsubscribe(const void *body, size_t length, struct arena *arena)
{
    uint64_t id;
    DECODED(wire_decode_unsubscribe(body, length, arena, &id, &err));
    assert_int_equal(id, 5);
}

static void encode_query(struct buf *out)
{
    struct wire_query query = {.id = 6,
                               .scorecard = "production",
                               .org = "plant-1",
                               .all_orgs = true,
                               .history = true,
                               .as_of_ms = -86400000,
                               .credit = 2};
    ENCODED(wire_encode_query(&query, out));
}

static void check_query(const void *body, size_t length, struct arena *arena)
{
    struct wire_query query;
    DECODED(wire_decode_query(body, length, arena, &query, &err));
    assert_int_equal(query.id, 6);
    assert_string_equal(query.scorecard, "production");
    assert_string_equal(query.org, "plant-1");
    assert_true(query.all_orgs && query.history);
    assert_int_equal(query.as_of_ms, -86400000);
    assert_int_equal(query.credit, 2);
}

static void encode_dump(struct buf *out)
{
    struct wire_dump dump = {.id = 8,
                             .measure = "rejects",
                             .org = "plant-1/**",
                             .from_ms = -86400000,
                             .to_ms = GOLDEN_NOON,
                             .keyed = true,
                             .cursor = "\x10\x11\x12\x13\x14\x15\x16\x17",
                             .cursor_length = 8};
    ENCODED(wire_encode_dump(&dump, out));
}

static void check_dump(const void *body, size_t length, struct arena *arena)
{
    struct wire_dump dump;
    DECODED(wire_decode_dump(body, length, arena, &dump, &err));
    assert_int_equal(dump.id, 8);
    assert_string_equal(dump.measure, "rejects");
    assert_string_equal(dump.org, "plant-1/**");
    assert_int_equal(dump.from_ms, -86400000);
    assert_int_equal(dump.to_ms, GOLDEN_NOON);
    assert_true(dump.keyed);
    assert_int_equal(dump.cursor_length, 8);
    assert_memory_equal(dump.cursor, "\x10\x11\x12\x13\x14\x15\x16\x17", 8);
}

static void encode_rows(struct buf *out)
{
    const poise_measurement measurements[] = {
        {"rejects", "plant-1", "mes", "order-1", GOLDEN_NOON, 3, 1, 0, false},
        {"rejects", "plant-1", "mes", NULL, GOLDEN_NOON + 1000, 4.5, 1, 0, false}};
    const uint64_t places[] = {1234567890123, 1234567890125};
    struct wire_builder *builder = wire_builder_open();
    struct buf batch = {0};
    assert_non_null(builder);
    ENCODED(wire_builder_add(builder, &measurements[0]));
    ENCODED(wire_builder_add(builder, &measurements[1]));
    ENCODED(wire_builder_finish(builder, 1, 1, &batch));
    wire_builder_close(builder);
    struct wire_rows rows = {.id = 8,
                             .batch = batch.data,
                             .batch_length = batch.length,
                             .places = places,
                             .count = 2,
                             .cursor = "\x20\x21\x22\x23\x24\x25\x26\x27",
                             .cursor_length = 8,
                             .done = 17,
                             .total = 1003,
                             .dropped_ms = GOLDEN_NOON};
    ENCODED(wire_encode_rows(&rows, out));
    buf_free(&batch);
}

static void check_rows(const void *body, size_t length, struct arena *arena)
{
    struct wire_rows rows;
    DECODED(wire_decode_rows(body, length, arena, &rows, &err));
    assert_int_equal(rows.id, 8);
    assert_int_equal(rows.count, 2);
    assert_true(rows.places[0] == 1234567890123 && rows.places[1] == 1234567890125);
    poise_measurement row = wire_batch_row(&rows.rows, 1);
    assert_string_equal(row.measure, "rejects");
    assert_string_equal(row.source, "mes");
    assert_null(row.key);
    assert_true(row.value == 4.5 && row.time_ms == GOLDEN_NOON + 1000);
    assert_int_equal(rows.cursor_length, 8);
    assert_memory_equal(rows.cursor, "\x20\x21\x22\x23\x24\x25\x26\x27", 8);
    assert_true(rows.done == 17 && rows.total == 1003 && rows.dropped_ms == GOLDEN_NOON);
}

static void encode_changes(struct buf *out)
{
    const char *nodes[] = {"production"};
    struct wire_changes changes = {.id = 9,
                                   .filter = {.nodes = nodes,
                                              .node_count = 1,
                                              .kinds = 1u << POISE_SCORECARD,
                                              .changes = POISE_CHANGES_REVISIONS},
                                   .cursor = "\x30\x31\x32\x33\x34\x35\x36\x37",
                                   .cursor_length = 8,
                                   .after_lsn = 1000};
    ENCODED(wire_encode_changes(&changes, out));
}

static void check_changes(const void *body, size_t length, struct arena *arena)
{
    struct wire_changes changes;
    DECODED(wire_decode_changes(body, length, arena, &changes, &err));
    assert_int_equal(changes.id, 9);
    assert_int_equal(changes.filter.node_count, 1);
    assert_int_equal(changes.filter.kinds, 1u << POISE_SCORECARD);
    assert_int_equal(changes.filter.changes, POISE_CHANGES_REVISIONS);
    assert_int_equal(changes.cursor_length, 8);
    assert_memory_equal(changes.cursor, "\x30\x31\x32\x33\x34\x35\x36\x37", 8);
    assert_int_equal(changes.after_lsn, 1000);
}

static void encode_stats_request(struct buf *out)
{
    ENCODED(wire_encode_stats_request(7, out));
}

static void check_stats_request(const void *body, size_t length, struct arena *arena)
{
    uint64_t id;
    DECODED(wire_decode_stats_request(body, length, arena, &id, &err));
    assert_int_equal(id, 7);
}

static void encode_stats(struct buf *out)
{
    const char *names[] = {"batches_total", "store_used_bytes"};
    double values[] = {43, 65536};
    ENCODED(
        wire_encode_stats(&(struct wire_stats){.id = 7, .names = names, .values = values, .count = 2}, out));
}

static void check_stats(const void *body, size_t length, struct arena *arena)
{
    struct wire_stats stats;
    DECODED(wire_decode_stats(body, length, arena, &stats, &err));
    assert_int_equal(stats.id, 7);
    assert_int_equal(stats.count, 2);
    assert_string_equal(stats.names[1], "store_used_bytes");
    assert_true(stats.values[0] == 43 && stats.values[1] == 65536);
}

static void encode_loss(struct buf *out)
{
    const struct wire_loss loss = {.last_seq = 300,
                                   .rows = 256000,
                                   .from_ms = GOLDEN_NOON - 86400000,
                                   .to_ms = GOLDEN_NOON,
                                   .reason = POISE_LOSS_OLDEST,
                                   .last_hash = 0x0123456789abcdefu};
    ENCODED(wire_encode_loss(GOLDEN_EPOCH, 45, &loss, out));
}

static void check_loss(const void *body, size_t length, struct arena *arena)
{
    struct wire_batch batch;
    DECODED(wire_decode_batch(body, length, arena, &batch, &err));
    assert_true(batch.epoch == GOLDEN_EPOCH);
    assert_int_equal(batch.seq, 45);
    assert_int_equal(batch.rows, 0);
    assert_int_equal(batch.loss.last_seq, 300);
    assert_int_equal(batch.loss.rows, 256000);
    assert_int_equal(batch.loss.from_ms, GOLDEN_NOON - 86400000);
    assert_int_equal(batch.loss.to_ms, GOLDEN_NOON);
    assert_int_equal(batch.loss.reason, POISE_LOSS_OLDEST);
    assert_true(batch.loss.last_hash == 0x0123456789abcdefu);
}

static void encode_losses_request(struct buf *out)
{
    ENCODED(wire_encode_losses_request(9, out));
}

static void check_losses_request(const void *body, size_t length, struct arena *arena)
{
    uint64_t id;
    DECODED(wire_decode_losses_request(body, length, arena, &id, &err));
    assert_int_equal(id, 9);
}

static const poise_loss losses[] = {{.producer = "line-3.mes",
                                     .epoch = GOLDEN_EPOCH,
                                     .first_seq = 45,
                                     .last_seq = 300,
                                     .rows = 256000,
                                     .from_ms = GOLDEN_NOON - 86400000,
                                     .to_ms = GOLDEN_NOON,
                                     .reason = POISE_LOSS_OLDEST,
                                     .lsn = 1003,
                                     .as_of_ms = GOLDEN_NOON + 5},
                                    {.producer = "line-3.mes",
                                     .epoch = GOLDEN_EPOCH,
                                     .first_seq = 302,
                                     .last_seq = 302,
                                     .reason = POISE_LOSS_FORKED,
                                     .lsn = 1004,
                                     .as_of_ms = GOLDEN_NOON + 6}};

static void encode_losses(struct buf *out)
{
    ENCODED(wire_encode_losses(&(struct wire_losses){.id = 9, .left_out = 17, .losses = losses, .count = 2},
                               out));
}

static void check_losses(const void *body, size_t length, struct arena *arena)
{
    struct wire_losses got;
    DECODED(wire_decode_losses(body, length, arena, &got, &err));
    assert_int_equal(got.id, 9);
    assert_int_equal(got.left_out, 17);
    assert_int_equal(got.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(got.losses[i].producer, losses[i].producer);
        assert_true(got.losses[i].epoch == losses[i].epoch);
        assert_int_equal(got.losses[i].first_seq, losses[i].first_seq);
        assert_int_equal(got.losses[i].last_seq, losses[i].last_seq);
        assert_int_equal(got.losses[i].rows, losses[i].rows);
        assert_int_equal(got.losses[i].from_ms, losses[i].from_ms);
        assert_int_equal(got.losses[i].to_ms, losses[i].to_ms);
        assert_int_equal(got.losses[i].reason, losses[i].reason);
        assert_int_equal(got.losses[i].lsn, losses[i].lsn);
        assert_int_equal(got.losses[i].as_of_ms, losses[i].as_of_ms);
    }
}

static const struct golden {
    const char *name;
    enum wire_kind kind;
    void (*encode)(struct buf *out);
    void (*check)(const void *body, size_t length, struct arena *arena);
} cases[] = {{"hello", WIRE_HELLO, encode_hello, check_hello},
             {"welcome", WIRE_WELCOME, encode_welcome, check_welcome},
             {"batch", WIRE_BATCH, encode_batch, check_batch},
             {"batch_plain", WIRE_BATCH, encode_batch_plain, check_batch_plain},
             {"loss", WIRE_BATCH, encode_loss, check_loss},
             {"ack", WIRE_ACK, encode_ack, check_ack},
             {"gap", WIRE_GAP, encode_gap, check_gap},
             {"spool", WIRE_SPOOL, encode_spool, check_spool},
             {"error", WIRE_ERROR, encode_error, check_error},
             {"subscribe", WIRE_SUBSCRIBE, encode_subscribe, check_subscribe},
             {"credit", WIRE_CREDIT, encode_credit, check_credit},
             {"unsubscribe", WIRE_UNSUBSCRIBE, encode_unsubscribe, check_unsubscribe},
             {"snapshot", WIRE_SNAPSHOT, encode_snapshot, check_snapshot},
             {"update", WIRE_UPDATE, encode_update, check_update},
             {"query", WIRE_QUERY, encode_query, check_query},
             {"result", WIRE_RESULT, encode_result, check_result},
             {"stats_request", WIRE_STATS_REQUEST, encode_stats_request, check_stats_request},
             {"stats", WIRE_STATS, encode_stats, check_stats},
             {"losses_request", WIRE_LOSSES_REQUEST, encode_losses_request, check_losses_request},
             {"losses", WIRE_LOSSES, encode_losses, check_losses},
             {"dump", WIRE_DUMP, encode_dump, check_dump},
             {"rows", WIRE_ROWS, encode_rows, check_rows},
             {"changes", WIRE_CHANGES, encode_changes, check_changes},
             {"changed", WIRE_CHANGED, encode_changed, check_changed}};

static void read_hex(const char *name, struct buf *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.hex", GOLDEN_DIR, name);
    FILE *file = fopen(path, "r");
    if (!file) {
        fail_msg("cannot open %s", path);
    }
    char pair[3];
    while (fscanf(file, "%2s", pair) == 1) {
        buf_put_u8(out, (uint8_t)strtoul(pair, NULL, 16));
    }
    fclose(file);
}

static void agrees(void **state)
{
    const struct golden *golden = *state;
    struct buf file = {0}, encoded = {0};
    struct arena arena;
    arena_init(&arena, WIRE_ARENA);
    read_hex(golden->name, &file);
    uint8_t head[2];
    wire_head(golden->kind, head);
    buf_put(&encoded, head, sizeof head);
    golden->encode(&encoded);
    assert_false(encoded.failed);
    assert_int_equal(encoded.length, file.length);
    assert_memory_equal(encoded.data, file.data, file.length);
    enum wire_kind kind;
    assert_int_equal(wire_head_parse(file.data, 2, &kind, NULL), POISE_OK);
    assert_int_equal(kind, golden->kind);
    golden->check(file.data + 2, file.length - 2, &arena);
    arena_free(&arena);
    buf_free(&encoded);
    buf_free(&file);
}

int main(void)
{
    enum { CASES = sizeof cases / sizeof *cases };
    struct golden own[CASES];
    struct CMUnitTest tests[CASES];
    for (size_t i = 0; i < CASES; i++) {
        own[i] = cases[i];
        tests[i] = (struct CMUnitTest){.name = own[i].name, .test_func = agrees, .initial_state = &own[i]};
    }
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
