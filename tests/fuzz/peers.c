/* What peers say to an aggregator, message by message: [peer, kind, body] one after the other. The first byte
 * says to which endpoint: producers to ingest, whose writer the harness plays, or others to the stream; and
 * whether it is locked: then each peer has a key, and one of two files says what they may. Kind 0 is no
 * message: the writer commits what it has, changes are published, time goes by; where that is odd, the other
 * file comes in force. The linker sends calls of the net here. */
#include "fuzz.h"
#include <aggregator/access.h>
#include <aggregator/ingest.h>
#include <aggregator/stream.h>
#include <base/error.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INGEST, STREAM, ENDPOINTS, LOCKED = 2 }; /* LOCKED: a bit of the first byte */
enum { PEERS = 4, POOL = 8, CREDIT = 4, ROWS_MAX = 50, HISTORIES_MAX = 16, SUBSCRIPTIONS_MAX = 3 };
enum { WITHOUT_ROOM = 0x10, OTHER_VERSION = 0x20 }; /* of the byte that names the peer */

struct history { /* of a producer's epoch, as its writer knows it */
    char producer[POISE_ID_MAX + 1];
    uint64_t epoch, taken, committed;
};
struct script {
    struct cursor in;
    int64_t now_us;
    struct access_holder *holder; /* NULL: it is not locked */
    size_t file;                  /* which is in force */
    bool without_room;            /* what is sent finds queues full */
    uint8_t head[2];
    struct ring *to_writer, *held; /* what the writer has not committed yet */
    struct history histories[HISTORIES_MAX];
    size_t history_count;
    struct arena arena;
};

static struct script *the_script(void)
{
    static struct script script;
    return &script;
}

/* ---- who may do what ---- */

#define KEY(digit) digit digit digit digit digit digit digit digit /* eight of eight */
#define KEY_1      KEY("11111111")
#define KEY_2      KEY("22222222")
#define KEY_3      KEY("33333333")

/* Of each peer; the last one has none, as nobody said whose it is. */
static const char *const users[PEERS] = {KEY_1, KEY_2, KEY_3, NULL};

/* The files, made once. */
static struct access *const *the_files(void)
{
    static const char *const texts[] = {
        "peers:\n"
        "  - {name: p, key: " KEY_1 ", send: all, read: all, query: true, administer: true}\n"
        "  - {name: q, key: " KEY_2 ", send: [{inputs: ['a*'], orgs: [x, 'x/**']}], producers: ['q*'],\n"
        "     read: [{scorecards: [card], orgs: [x]}], query: true}\n"
        "  - {name: r, key: " KEY_3
        ", send: [{sources: [s]}], producers: ['r*'], read: [{scorecards: [other]}]}\n",
        "peers:\n"
        "  - {name: p, key: " KEY_1 ", send: [{inputs: [a]}], administer: true}\n"
        "  - {name: r, key: " KEY_3 ", send: all, producers: ['r*'], read: [{orgs: ['']}]}\n"};
    static struct access *files[sizeof texts / sizeof *texts];
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !files[i]; i++) {
        struct problems problems = {0};
        char path[FUZZ_PATH_MAX];
        int fd = fuzz_file(texts[i], strlen(texts[i]), path);
        MUST(access_read(path, &files[i], &problems) == POISE_OK);
        close(fd);
    }
    return files;
}

static void lock(struct script *script, struct access_holder *holder)
{
    MUST(access_holder_init(holder));
    access_holder_set(holder, access_keep(the_files()[0]));
    script->holder = holder;
}

static void unlock(struct script *script)
{
    if (script->holder) {
        access_holder_free(script->holder);
    }
    script->holder = NULL;
}

/* NULL: nobody whom the file names. */
static const struct access_peer *who_is(unsigned peer)
{
    return access_find(the_script()->holder->current, users[peer]);
}

/* Who speaks for the producer; NULL: nobody. */
static const struct access_peer *who_sends_as(const char *producer)
{
    for (unsigned peer = 0; peer < PEERS; peer++) {
        const struct access_peer *who = who_is(peer);
        if (who && access_may(who, ACCESS_SEND) && access_speaks_for(who, producer)) {
            return who;
        }
    }
    return NULL;
}

/* ---- the clock, the net ---- */

static int64_t now_us(void *context)
{
    return ((const struct script *)context)->now_us;
}

static int64_t now_ms(void *context)
{
    return now_us(context) / 1000;
}

poise_code __wrap_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err);
poise_code __wrap_net_send(struct net_socket *socket, const struct net_peer *peer, const void *head,
                           size_t head_length, const void *body, size_t body_length, poise_error *err);
void __wrap_net_wake_up(struct net_wake *wake);
void __wrap_net_socket_revoke(struct net_socket *socket, net_stays *stays, const void *context);
void __wrap_store_id(const struct store *store, uint8_t ret_id[16]);
uint64_t __wrap_store_incarnation(const struct store *store);

void __wrap_net_wake_up(struct net_wake *wake)
{
    (void)wake;
}

/* Who may nothing any more has to go, and nobody else. */
void __wrap_net_socket_revoke(struct net_socket *socket, net_stays *stays, const void *context)
{
    const char *endpoint = the_script()->to_writer ? ACCESS_AT_INGEST : ACCESS_AT_QUERY;
    (void)socket;
    for (unsigned peer = 0; peer < PEERS; peer++) {
        MUST(!users[peer] || stays(context, users[peer]) == access_enters(who_is(peer), endpoint));
    }
}

void __wrap_store_id(const struct store *store, uint8_t ret_id[16])
{
    (void)store;
    memset(ret_id, 7, 16);
}

uint64_t __wrap_store_incarnation(const struct store *store)
{
    (void)store;
    return 1;
}

poise_code __wrap_net_receive(struct net_socket *socket, struct net_message *ret_message, poise_error *err)
{
    struct script *script = the_script();
    struct cursor in = script->in;
    size_t length;
    (void)socket;
    (void)err;
    unsigned peer = cursor_u8(&in), kind = cursor_u8(&in);
    const char *body = cursor_text(&in, &length);
    if (in.failed || kind == 0) {
        return POISE_ENOTFOUND; /* the harness goes on behind it */
    }
    script->in = in;
    script->without_room = peer & WITHOUT_ROOM;
    script->head[0] = peer & OTHER_VERSION ? WIRE_VERSION + 1 : WIRE_VERSION;
    script->head[1] = (uint8_t)kind;
    *ret_message = (struct net_message){.peer = {.length = 1, .bytes = {1 + peer % PEERS}},
                                        .head = script->head,
                                        .head_length = sizeof script->head,
                                        .body = body,
                                        .body_length = length,
                                        .user = script->holder ? users[peer % PEERS] : NULL};
    return POISE_OK;
}

/* ---- the writer ---- */

static struct history *history_of(const struct batch *batch)
{
    struct script *script = the_script();
    for (size_t i = 0; i < script->history_count; i++) {
        struct history *history = &script->histories[i];
        if (history->epoch == batch->epoch && strcmp(history->producer, batch->producer) == 0) {
            return history;
        }
    }
    MUST(script->history_count < HISTORIES_MAX && strlen(batch->producer) <= POISE_ID_MAX);
    struct history *history = &script->histories[script->history_count++];
    *history = (struct history){.epoch = batch->epoch};
    memcpy(history->producer, batch->producer, strlen(batch->producer) + 1);
    return history;
}

/* The writer is told of each series that may not be sent. */
static void check_denied(const struct batch *batch)
{
    const struct access_peer *who = who_sends_as(batch->producer);
    const struct wire_batch *rows = &batch->rows;
    MUST(who && (batch->denied.length == 0 || batch->denied.length == rows->series_count));
    for (size_t i = 0; i < rows->series_count; i++) {
        const struct wire_series *series = &rows->series[i];
        const char *source = series->source == WIRE_SYMBOL_NONE ? "" : rows->symbols[series->source];
        MUST((batch->denied.length ? batch->denied.data[i] : ACCESS_SENDS) ==
             access_sends(who, rows->symbols[series->measure], rows->symbols[series->org], source));
    }
}

/* Batches come whole, decoded, each once, in the order of their sequences. */
static void take_batches(struct script *script)
{
    struct batch *batch;
    while (script->to_writer && (batch = ring_pop(script->to_writer))) {
        struct history *history = history_of(batch);
        const struct wire_loss *loss = &batch->rows.loss; /* which takes numbers up to its last */
        bool lost = loss->last_seq > 0;
        MUST((lost ? batch->rows.seq : batch->seq) == history->taken + 1 && batch->seq > history->taken);
        MUST(batch->hash == (lost ? loss->last_hash : wire_batch_hash(batch->body.data, batch->body.length)));
        MUST(batch->malformed || batch->rows.epoch == batch->epoch);
        MUST(batch->malformed || (lost ? loss->last_seq : batch->rows.seq) == batch->seq);
        MUST(batch->rows.rows <= ROWS_MAX && batch->refused_count == 0);
        if (script->holder) {
            check_denied(batch);
        }
        history->taken = batch->seq;
        MUST(ring_push(script->held, batch));
    }
}

/* ---- what is said ---- */

static const struct history *best_of(uint64_t epoch)
{
    static const struct history none;
    const struct script *script = the_script();
    const struct history *best = &none;
    for (size_t i = 0; i < script->history_count; i++) {
        const struct history *history = &script->histories[i];
        best = history->epoch == epoch && history->committed >= best->committed ? history : best;
    }
    return best;
}

/* What may be sent to a peer depends on what it may. */
static void check_entitled(unsigned peer, enum wire_kind kind, const struct wire_states *states)
{
    const struct access_peer *who = who_is(peer);
    switch (kind) {
    case WIRE_WELCOME:
    case WIRE_ACK:
    case WIRE_GAP:
        MUST(who && access_may(who, ACCESS_SEND));
        return;
    case WIRE_SNAPSHOT:
    case WIRE_UPDATE:
        MUST(who && access_may(who, ACCESS_READ));
        for (size_t i = 0; i < states->count; i++) {
            MUST(access_reads(who, "card", states->states[i].org));
        }
        return;
    case WIRE_STATS:
        MUST(who && (access_may(who, ACCESS_QUERY) || access_may(who, ACCESS_ADMINISTER)));
        return;
    default:
        return;
    }
}

/* Nothing is promised that is not on disk, and all can be read by whom it goes to. */
static void check_sent(unsigned peer, enum wire_kind kind, const void *body, size_t length)
{
    struct arena *arena = &the_script()->arena;
    struct wire_welcome welcome;
    struct wire_ack ack;
    struct wire_gap gap;
    struct wire_error error;
    struct wire_states states = {0};
    struct wire_stats stats;
    arena_reset(arena);
    take_batches(the_script());
    switch (kind) {
    case WIRE_WELCOME:
        MUST(wire_decode_welcome(body, length, arena, &welcome, NULL) == POISE_OK);
        MUST(welcome.next_seq <= best_of(welcome.epoch)->taken + 1);
        break;
    case WIRE_ACK:
        MUST(wire_decode_ack(body, length, arena, &ack, NULL) == POISE_OK);
        MUST(ack.seq <= best_of(ack.epoch)->committed);
        break;
    case WIRE_GAP:
        MUST(wire_decode_gap(body, length, arena, &gap, NULL) == POISE_OK);
        MUST(gap.expected <= best_of(gap.epoch)->taken + 1);
        break;
    case WIRE_SNAPSHOT:
    case WIRE_UPDATE:
        MUST(wire_decode_states(kind, body, length, arena, &states, NULL) == POISE_OK && states.id > 0);
        break;
    case WIRE_STATS:
        MUST(wire_decode_stats(body, length, arena, &stats, NULL) == POISE_OK);
        break;
    default:
        MUST(kind == WIRE_ERROR && wire_decode_error(body, length, arena, &error, NULL) == POISE_OK);
    }
    if (the_script()->holder) {
        check_entitled(peer, kind, &states);
    }
}

poise_code __wrap_net_send(struct net_socket *socket, const struct net_peer *peer, const void *head,
                           size_t head_length, const void *body, size_t body_length, poise_error *err)
{
    enum wire_kind kind;
    (void)socket;
    MUST(peer->length == 1 && peer->bytes[0] >= 1 && peer->bytes[0] <= PEERS &&
         body_length <= WIRE_MESSAGE_MAX);
    MUST(wire_head_parse(head, head_length, &kind, NULL) == POISE_OK);
    if (the_script()->without_room) {
        return error_set(err, POISE_EFULL, "the peer's queue is full");
    }
    check_sent(peer->bytes[0] - 1u, kind, body, body_length);
    return POISE_OK;
}

/* Passes an entry of kind 0; false: it was the last. */
static bool pass(struct script *script)
{
    size_t length;
    cursor_u8(&script->in);
    cursor_u8(&script->in);
    cursor_text(&script->in, &length);
    script->now_us += (int64_t)length * 1000000;
    script->without_room = false;
    if (script->holder && length % 2) {
        script->file = 1 - script->file;
        access_holder_set(script->holder, access_keep(the_files()[script->file]));
    }
    return cursor_left(&script->in) > 0;
}

/* ---- producers ---- */

static void commit(struct ring *held, struct ring *from_writer)
{
    struct batch *batch;
    while ((batch = ring_pop(held))) {
        if (batch->malformed || batch->rows.rows == 0) {
            MUST(batch_refuse(batch, WIRE_ROW_ALL, POISE_REFUSAL_MALFORMED) == POISE_OK);
        }
        history_of(batch)->committed = batch->seq;
        MUST(ring_push(from_writer, batch));
    }
}

static void try_ingest(struct script *script)
{
    struct ring to_writer, from_writer, held;
    struct stats stats = {0};
    struct log log = {0};
    struct ledger ledger = {0};
    struct ingest *ingest;
    MUST(ring_init(&to_writer, POOL) && ring_init(&from_writer, POOL) && ring_init(&held, POOL));
    script->to_writer = &to_writer;
    script->held = &held;
    const struct clock clock = {.wall_ms = now_ms, .monotonic_us = now_us, .context = script};
    const struct ingest_options options = {.access = script->holder,
                                           .clock = &clock,
                                           .to_writer = &to_writer,
                                           .from_writer = &from_writer,
                                           .stats = &stats,
                                           .log = &log,
                                           .pool = POOL,
                                           .credit = CREDIT,
                                           .max_producers = HISTORIES_MAX,
                                           .max_batch_rows = ROWS_MAX};
    MUST(ingest_open(&options, &ledger, &ingest, NULL) == POISE_OK);
    bool more = true;
    while (more) {
        MUST(ingest_step(ingest, NULL) == POISE_OK);
        take_batches(script);
        more = ingest_can_receive(ingest) ? pass(script) : true;
        commit(&held, &from_writer);
    }
    MUST(ingest_step(ingest, NULL) == POISE_OK);
    take_batches(script);
    ingest_close(ingest);
    ring_free(&to_writer);
    ring_free(&from_writer);
    ring_free(&held);
}

/* ---- others ---- */

static struct scorecard *the_card(void)
{
    static const char yaml[] = "scorecard: card\n"
                               "name: Card\n"
                               "perspectives:\n"
                               "  - id: p\n"
                               "    name: P\n"
                               "    objectives:\n"
                               "      - id: o\n"
                               "        name: O\n"
                               "        measures:\n"
                               "          - {id: a, input: a, aggregate: sum, score: {binary: {}}}\n";
    static struct scorecard *card;
    struct problems problems = {0};
    MUST(card || scorecard_read_bytes("card", yaml, sizeof yaml - 1, &card, &problems) == POISE_OK);
    return card;
}

static void publish(struct ring *from_writer, const struct scorecard *card, uint64_t lsn)
{
    struct changes *changes = changes_open(), *last = changes;
    MUST(changes);
    changes->lsn = lsn;
    for (uint32_t node = 0; node < card->node_count; node++) {
        const poise_state state = {.org = lsn % 2 ? "" : "x",
                                   .node = card->nodes[node].path,
                                   .name = card->nodes[node].name,
                                   .kind = card->nodes[node].kind,
                                   .weight = (double)lsn};
        MUST(changes_add(&last, &state) == POISE_OK);
    }
    MUST(ring_push(from_writer, changes));
}

/* Every question has the answer that nobody knows. */
static void answer(struct ring *questions, struct ring *answers)
{
    struct inquiry *inquiry;
    while ((inquiry = ring_pop(questions))) {
        MUST(strlen(inquiry->scorecard) <= POISE_ID_MAX && strlen(inquiry->org) <= POISE_ORG_MAX);
        error_set(&inquiry->error, POISE_ENOTFOUND, "there is no scorecard '%s'", inquiry->scorecard);
        MUST(ring_push(answers, inquiry));
    }
}

static void try_stream(struct script *script)
{
    struct ring from_writer, to_inquirer, from_inquirer, restated, to_backup, backed_up;
    struct stats stats = {0};
    struct log log = {0};
    struct stream *stream;
    const struct scorecard *const cards[] = {the_card()};
    const struct clock clock = {.wall_ms = now_ms, .monotonic_us = now_us, .context = script};
    MUST(ring_init(&from_writer, 64) && ring_init(&to_inquirer, INQUIRIES_MAX) &&
         ring_init(&from_inquirer, INQUIRIES_MAX) && ring_init(&restated, INQUIRIES_MAX) &&
         ring_init(&to_backup, INQUIRIES_MAX) && ring_init(&backed_up, INQUIRIES_MAX));
    const struct stream_options options = {.access = script->holder,
                                           .from_writer = &from_writer,
                                           .to_inquirer = &to_inquirer,
                                           .from_inquirer = &from_inquirer,
                                           .restated = &restated,
                                           .to_backup = &to_backup,
                                           .backed_up = &backed_up,
                                           .cards = cards,
                                           .card_count = 1,
                                           .stats = &stats,
                                           .log = &log,
                                           .clock = &clock,
                                           .max_subscriptions = SUBSCRIPTIONS_MAX};
    MUST(stream_open(&options, &stream, NULL) == POISE_OK);
    uint64_t lsn = 1;
    bool more = true;
    while (more) {
        publish(&from_writer, cards[0], lsn++);
        MUST(stream_step(stream, NULL) == POISE_OK);
        MUST(stats_get(&stats, STAT_subscriptions) <= SUBSCRIPTIONS_MAX);
        answer(&to_inquirer, &from_inquirer);
        answer(&to_backup, &backed_up);
        more = pass(script);
    }
    MUST(stream_step(stream, NULL) == POISE_OK);
    stream_close(stream);
    struct ring *const rings[] = {&from_writer, &to_inquirer, &from_inquirer,
                                  &restated,    &to_backup,   &backed_up};
    for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
        ring_free(rings[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct script *script = the_script();
    struct access_holder holder;
    *script = (struct script){.in = cursor_of(data + 1, size - 1), .now_us = INT64_C(1000000000)};
    arena_init(&script->arena, WIRE_ARENA);
    if (data[0] & LOCKED) {
        lock(script, &holder);
    }
    if (data[0] % ENDPOINTS == INGEST) {
        try_ingest(script);
    } else {
        try_stream(script);
    }
    unlock(script);
    arena_free(&script->arena);
    return 0;
}
