/* Whatever bytes come, decoding neither crashes nor takes more than the arena's limit. Most of these tests
 * are as good as the sanitizer they run under, so every body is decoded from memory of exactly its size. */
#include "wire_test.h"
#include <stdio.h>
#include <stdlib.h>

/* Touches all that a decoded batch points to. */
static size_t touch_batch(const struct wire_batch *batch)
{
    size_t sum = 0;
    for (size_t i = 0; i < batch->rows; i++) {
        poise_measurement row = wire_batch_row(batch, i);
        sum += strlen(row.measure) + strlen(row.org) + strlen(row.source) + (row.key ? strlen(row.key) : 0);
    }
    return sum;
}

static poise_code decode_losses(enum wire_kind kind, const void *body, size_t length, struct arena *arena)
{
    uint64_t id;
    poise_error err;
    struct wire_losses losses;
    return kind == WIRE_LOSSES ? wire_decode_losses(body, length, arena, &losses, &err)
                               : wire_decode_losses_request(body, length, arena, &id, &err);
}

static poise_code decode_more(enum wire_kind kind, const void *body, size_t length, struct arena *arena)
{
    poise_error err;
    union {
        struct wire_dump dump;
        struct wire_rows rows;
        struct wire_changes changes;
        struct wire_changed changed;
        struct wire_backup backup;
        struct wire_backed_up backed_up;
        struct wire_spool spool;
    } to;
    switch ((int)kind) {
    case WIRE_DUMP:
        return wire_decode_dump(body, length, arena, &to.dump, &err);
    case WIRE_ROWS: {
        poise_code code = wire_decode_rows(body, length, arena, &to.rows, &err);
        return code == POISE_OK && touch_batch(&to.rows.rows) == SIZE_MAX ? POISE_ECORRUPT : code;
    }
    case WIRE_CHANGES:
        return wire_decode_changes(body, length, arena, &to.changes, &err);
    case WIRE_CHANGED:
        return wire_decode_changed(body, length, arena, &to.changed, &err);
    case WIRE_BACKUP:
        return wire_decode_backup(body, length, arena, &to.backup, &err);
    case WIRE_BACKED_UP:
        return wire_decode_backed_up(body, length, arena, &to.backed_up, &err);
    case WIRE_SPOOL:
        return wire_decode_spool(body, length, arena, &to.spool, &err);
    default:
        return POISE_EINVAL;
    }
}

static poise_code decode(enum wire_kind kind, const void *body, size_t length, struct arena *arena)
{
    poise_error err;
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_batch batch;
        struct wire_ack ack;
        struct wire_gap gap;
        struct wire_error error;
        struct wire_subscribe subscribe;
        struct wire_credit credit;
        struct wire_states states;
        struct wire_query query;
        struct wire_stats stats;
        struct wire_restate restate;
        struct wire_restated restated;
        struct wire_erase erase;
        struct wire_erased erased;
        struct wire_rescore rescore;
        struct wire_rescored rescored;
        uint64_t id;
    } to;
    switch (kind) {
    case WIRE_HELLO:
        return wire_decode_hello(body, length, arena, &to.hello, &err);
    case WIRE_WELCOME:
        return wire_decode_welcome(body, length, arena, &to.welcome, &err);
    case WIRE_BATCH: {
        poise_code code = wire_decode_batch(body, length, arena, &to.batch, &err);
        return code == POISE_OK && touch_batch(&to.batch) == SIZE_MAX ? POISE_ECORRUPT : code;
    }
    case WIRE_ACK:
        return wire_decode_ack(body, length, arena, &to.ack, &err);
    case WIRE_GAP:
        return wire_decode_gap(body, length, arena, &to.gap, &err);
    case WIRE_ERROR:
        return wire_decode_error(body, length, arena, &to.error, &err);
    case WIRE_SUBSCRIBE:
        return wire_decode_subscribe(body, length, arena, &to.subscribe, &err);
    case WIRE_CREDIT:
        return wire_decode_credit(body, length, arena, &to.credit, &err);
    case WIRE_UNSUBSCRIBE:
        return wire_decode_unsubscribe(body, length, arena, &to.id, &err);
    case WIRE_SNAPSHOT:
    case WIRE_UPDATE:
    case WIRE_RESULT:
        return wire_decode_states(kind, body, length, arena, &to.states, &err);
    case WIRE_RESTATE:
        return wire_decode_restate(body, length, arena, &to.restate, &err);
    case WIRE_RESTATED:
        return wire_decode_restated(body, length, arena, &to.restated, &err);
    case WIRE_ERASE:
        return wire_decode_erase(body, length, arena, &to.erase, &err);
    case WIRE_ERASED:
        return wire_decode_erased(body, length, arena, &to.erased, &err);
    case WIRE_RESCORE:
        return wire_decode_rescore(body, length, arena, &to.rescore, &err);
    case WIRE_RESCORED:
        return wire_decode_rescored(body, length, arena, &to.rescored, &err);
    case WIRE_DUMP:
    case WIRE_ROWS:
    case WIRE_CHANGES:
    case WIRE_CHANGED:
    case WIRE_BACKUP:
    case WIRE_BACKED_UP:
    case WIRE_SPOOL:
        return decode_more(kind, body, length, arena);
    case WIRE_QUERY:
        return wire_decode_query(body, length, arena, &to.query, &err);
    case WIRE_STATS_REQUEST:
        return wire_decode_stats_request(body, length, arena, &to.id, &err);
    case WIRE_LOSSES_REQUEST:
    case WIRE_LOSSES:
        return decode_losses(kind, body, length, arena);
    case WIRE_STATS:
        return wire_decode_stats(body, length, arena, &to.stats, &err);
    }
    return POISE_EINVAL;
}

/* A golden message: the kind, and the body in memory of exactly its size. */
struct message {
    enum wire_kind kind;
    uint8_t *body;
    size_t length;
};

static const char *const names[] = {
    "hello",  "welcome", "batch",          "batch_plain",   "ack",         "gap",
    "error",  "credit",  "subscribe",      "query",         "unsubscribe", "snapshot",
    "update", "result",  "stats",          "stats_request", "dump",        "rows",
    "loss",   "losses",  "losses_request", "changes",       "changed",     "spool"};
enum { MESSAGES = sizeof names / sizeof *names };
static struct message messages[MESSAGES];

static int read_messages(void **state)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        char path[512], pair[3];
        snprintf(path, sizeof path, "%s/%s.hex", GOLDEN_DIR, names[i]);
        FILE *file = fopen(path, "r");
        struct buf bytes = {0};
        while (file && fscanf(file, "%2s", pair) == 1) {
            buf_put_u8(&bytes, (uint8_t)strtoul(pair, NULL, 16));
        }
        if (!file || fclose(file) != 0 || bytes.length <= 2) {
            return -1;
        }
        messages[i] = (struct message){.kind = (enum wire_kind)bytes.data[1],
                                       .body = malloc(bytes.length - 2),
                                       .length = bytes.length - 2};
        memcpy(messages[i].body, bytes.data + 2, messages[i].length);
        buf_free(&bytes);
    }
    *state = messages;
    return 0;
}

static int free_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        free(messages[i].body);
    }
    return 0;
}

static void every_truncation_is_survived(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, WIRE_ARENA);
    for (size_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(decode(messages[i].kind, messages[i].body, messages[i].length, &arena), POISE_OK);
        for (size_t length = 0; length < messages[i].length; length++) {
            uint8_t *cut = malloc(length + (length == 0));
            memcpy(cut, messages[i].body, length);
            poise_code code = decode(messages[i].kind, cut, length, &arena);
            assert_true(code == POISE_OK || code == POISE_EPROTO);
            free(cut);
            arena_reset(&arena);
        }
    }
    arena_free(&arena);
}

static void every_smaller_arena_is_a_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct arena arena;
        arena_init(&arena, WIRE_ARENA);
        assert_int_equal(decode(messages[i].kind, messages[i].body, messages[i].length, &arena), POISE_OK);
        size_t needed = arena.used;
        for (size_t limit = 1; limit < needed; limit += 16) {
            arena_reset(&arena);
            arena.limit = limit;
            assert_int_equal(decode(messages[i].kind, messages[i].body, messages[i].length, &arena),
                             POISE_ELIMIT);
            assert_true(arena.used <= limit);
        }
        arena_free(&arena);
    }
}

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static void mutate(uint8_t *body, size_t length, uint64_t *random)
{
    static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x22, 0x2a};
    for (uint64_t changes = 1 + next_random(random) % 4; changes > 0; changes--) {
        uint64_t how = next_random(random);
        uint8_t *at = &body[next_random(random) % length];
        if (how % 3 == 0) {
            *at ^= (uint8_t)(1u << (how >> 8) % 8);
        } else if (how % 3 == 1) {
            *at = telling[(how >> 8) % sizeof telling];
        } else {
            *at = (uint8_t)(how >> 8);
        }
    }
}

static void random_mutations_are_survived(void **state)
{
    (void)state;
    enum { ROUNDS = 3000, LIMIT = 1 << 20 };
    uint64_t random = 0x9e3779b97f4a7c15u;
    struct arena arena;
    arena_init(&arena, LIMIT);
    for (size_t i = 0; i < MESSAGES; i++) {
        uint8_t *body = malloc(messages[i].length);
        for (int round = 0; round < ROUNDS; round++) {
            memcpy(body, messages[i].body, messages[i].length);
            mutate(body, messages[i].length, &random);
            enum wire_kind kind =
                round % 8 ? messages[i].kind : messages[next_random(&random) % MESSAGES].kind;
            poise_code code = decode(kind, body, messages[i].length, &arena);
            assert_true(code == POISE_OK || code == POISE_EPROTO || code == POISE_ELIMIT ||
                        code == POISE_EUNSUPPORTED);
            uint64_t epoch, seq;
            wire_peek_batch(body, messages[i].length, &epoch, &seq);
            assert_true(arena.used <= LIMIT);
            arena_reset(&arena);
        }
        free(body);
    }
    arena_free(&arena);
}

/* 256 KiB of the same two bytes: an empty submessage or text each, which would take 50 times the memory. */
static void amplification_ends_at_the_limit(void **state)
{
    (void)state;
    enum { LIMIT = 1 << 20 };
    static const struct {
        enum wire_kind kind;
        unsigned field;
    } fields[] = {{WIRE_BATCH, 3},    {WIRE_ACK, 4},     {WIRE_SUBSCRIBE, 2}, {WIRE_SNAPSHOT, 5},
                  {WIRE_UPDATE, 6},   {WIRE_RESULT, 4},  {WIRE_STATS, 2},     {WIRE_HELLO, 1},
                  {WIRE_BATCH, 1000}, {WIRE_QUERY, 100}, {WIRE_CHANGED, 2},   {WIRE_CHANGES, 2}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        struct buf body = {0};
        while (body.length + 4 <= WIRE_MESSAGE_MAX) {
            put_bytes(&body, fields[i].field, "", 0);
        }
        struct arena arena;
        arena_init(&arena, LIMIT);
        poise_code code = decode(fields[i].kind, body.data, body.length, &arena);
        assert_true(code == POISE_ELIMIT || code == POISE_EPROTO);
        assert_true(arena.used <= LIMIT);
        while (body.length < 4 * WIRE_MESSAGE_MAX) {
            put_bytes(&body, fields[i].field, "", 0);
        }
        arena_reset(&arena);
        assert_int_equal(decode(fields[i].kind, body.data, body.length, &arena), POISE_ELIMIT);
        assert_int_equal(arena.used, 0);
        arena_free(&arena);
        buf_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_is_survived),
        cmocka_unit_test(every_smaller_arena_is_a_limit),
        cmocka_unit_test(random_mutations_are_survived),
        cmocka_unit_test(amplification_ends_at_the_limit),
    };
    return cmocka_run_group_tests_name("wire_hostile", tests, read_messages, free_messages);
}
