/* What a peer asks of an aggregator that has scores and a journal: a SUBSCRIBE, whose filter is then put to
 * use, a DUMP with its cursor, a RESTATE. The input is a message as wire.c has it; a dump goes on with the
 * cursors that come back, and with none that was changed. */
#include "fuzz.h"
#include <aggregator/dump.h>
#include <aggregator/restate.h>
#include <aggregator/rows.h>
#include <aggregator/subscription.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ORGS = 4, ROWS = 2800, BATCHES = 3, SCRATCH = 256, PAGES_MAX = 3 }; /* a dump of all is of two pages */

struct world {
    struct scorecard *card;
    struct board board;
    struct store *store;
};

/* ---- the world, made once ---- */

static struct scorecard *read_card(void)
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
    struct problems problems = {0};
    struct scorecard *card = NULL;
    MUST(scorecard_read_bytes("card", yaml, sizeof yaml - 1, &card, &problems) == POISE_OK);
    return card;
}

static void publish(struct world *world)
{
    static const char *const orgs[ORGS] = {"", "plant-1", "plant-1/line", "z"};
    const struct scorecard *card = world->card;
    struct changes *changes = changes_open(), *last = changes;
    MUST(changes);
    changes->lsn = 1;
    for (size_t org = 0; org < ORGS; org++) {
        for (uint32_t node = 0; node < card->node_count; node++) {
            const poise_state state = {.org = orgs[org],
                                       .node = card->nodes[node].path,
                                       .name = card->nodes[node].name,
                                       .kind = card->nodes[node].kind,
                                       .weight = 1};
            MUST(changes_add(&last, &state) == POISE_OK);
        }
    }
    MUST(board_apply(&world->board, changes, NULL) == POISE_OK);
    changes_free(changes);
}

static void append_batch(struct store *store, int number)
{
    struct wire_builder *builder = wire_builder_open();
    struct buf body = {0};
    uint64_t lsn;
    MUST(builder);
    for (int i = 0; i < ROWS; i++) {
        const poise_measurement row = {.measure = i % 2 ? "a" : "b",
                                       .org = i % 3 ? "plant-1" : "z",
                                       .key = i % 5 ? NULL : "k",
                                       .time_ms = i,
                                       .value = 1,
                                       .of = 1};
        MUST(wire_builder_add(builder, &row) == POISE_OK);
    }
    MUST(wire_builder_finish(builder, 1, (uint64_t)number + 1, &body) == POISE_OK);
    struct journal_batch batch = {.producer = "p",
                                  .epoch = 1,
                                  .seq = (uint64_t)number + 1,
                                  .rows = ROWS,
                                  .refused = (const uint32_t[]){3},
                                  .reasons = (const uint8_t[]){POISE_REFUSAL_LOCKED},
                                  .refused_count = 1,
                                  .body = body.data,
                                  .body_length = body.length};
    const struct journal_record record = {.as_of_ms = 1,
                                          .first_ordinal = (uint64_t)number * ROWS + 1,
                                          .max_time_ms = ROWS,
                                          .batches = &batch,
                                          .batch_count = 1};
    MUST(store_append(store, &record, &lsn, NULL) == POISE_OK);
    wire_builder_close(builder);
    buf_free(&body);
}

/* Its files lose their names at once, so that nothing is left behind. */
static struct store *make_store(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock"};
    char path[] = "/tmp/poise-fuzz-XXXXXX", file[64];
    struct store *store;
    MUST(mkdtemp(path));
    const struct store_options options = {
        .path = path, .map_bytes = 1 << 22, .free_bytes = 1, .new_incarnation = 1};
    MUST(store_open(&options, &store, NULL) == POISE_OK);
    for (int i = 0; i < BATCHES; i++) {
        append_batch(store, i);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        (void)unlink(file);
    }
    MUST(rmdir(path) == 0);
    return store;
}

static struct world *the_world(void)
{
    static struct world world;
    static const struct scorecard *cards[1];
    if (!world.card) {
        world.card = read_card();
        cards[0] = world.card;
        MUST(board_init(&world.board, cards, 1, NULL) == POISE_OK);
        publish(&world);
        world.store = make_store();
    }
    return &world;
}

/* ---- subscriptions ---- */

static bool is_asked_for(const struct wire_filter *filter, const poise_state *state)
{
    bool node = filter->node_count == 0;
    for (size_t i = 0; i < filter->node_count; i++) {
        node |= strncmp(state->node, filter->nodes[i], strlen(filter->nodes[i])) == 0;
    }
    return node && (filter->scorecard_count == 0 || filter->scorecards[0]);
}

static void try_subscribe(struct world *world, const struct wire_subscribe *wanted, poise_error *err)
{
    static poise_state scratch[SCRATCH];
    const struct net_peer peer = {.length = 1};
    struct subscription *subscription;
    struct subscription_message message;
    poise_code code = subscription_open(wanted, &peer, &filter_everybody, &world->board, &subscription, err);
    MUST(code == POISE_OK || code == POISE_EPROTO || code == POISE_ELIMIT);
    if (code != POISE_OK) {
        return;
    }
    for (int i = 0;; i++) {
        struct buf body = {0};
        subscription_next(subscription, &world->board, i, scratch, SCRATCH, &message);
        if (message.kind == 0) {
            break;
        }
        MUST(i < 3 && message.kind == WIRE_SNAPSHOT); /* so few states are one part */
        for (size_t s = 0; s < message.states.count; s++) {
            MUST(is_asked_for(&wanted->filter, &message.states.states[s]));
        }
        MUST(wire_encode_states(message.kind, &message.states, &body) == POISE_OK);
        buf_free(&body);
        subscription_sent(subscription, &message, i);
    }
    subscription_close(subscription);
}

/* ---- dumps ---- */

/* The page that begins with a cursor: decoded as a client does. */
static poise_code ask_page(struct world *world, const struct wire_dump *asked, struct arena *arena,
                           struct wire_rows *ret_rows, poise_error *err)
{
    static const _Atomic bool stop = false;
    struct rows_memory memory = {0};
    struct dump *dump;
    struct buf body = {0};
    poise_code code = dump_open(asked, &dump, err);
    if (code != POISE_OK) {
        return code;
    }
    code = dump_page(dump, asked->id, world->store, &memory, &stop, &body, err);
    rows_memory_free(&memory);
    dump_free(dump);
    if (code == POISE_OK) {
        MUST(body.length <= WIRE_MESSAGE_MAX);
        MUST(wire_decode_rows(body.data, body.length, arena, ret_rows, NULL) == POISE_OK);
    }
    buf_free(&body);
    return code;
}

static void check_page(const struct wire_dump *asked, const struct wire_rows *page, uint64_t *last_place)
{
    MUST(page->done <= page->total);
    for (size_t i = 0; i < page->count; i++) {
        poise_measurement row = wire_batch_row(&page->rows, i);
        MUST(page->places[i] > *last_place && page->places[i] <= BATCHES * ROWS);
        MUST(row.time_ms >= asked->from_ms && row.time_ms < asked->to_ms && (!asked->keyed || row.key));
        MUST(!asked->measure[0] || strcmp(asked->measure, row.measure) == 0);
        *last_place = page->places[i];
    }
}

/* Whoever asks with a cursor that he was not given gets nothing. */
static void change_cursor(struct world *world, struct wire_dump asked)
{
    uint8_t bytes[WIRE_CURSOR_MAX];
    struct wire_rows page;
    size_t bit = asked.id % (8 * asked.cursor_length);
    memcpy(bytes, asked.cursor, asked.cursor_length);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    asked.cursor = bytes;
    MUST(ask_page(world, &asked, NULL, &page, NULL) == POISE_EPROTO);
    asked.cursor_length--;
    MUST(ask_page(world, &asked, NULL, &page, NULL) == POISE_EPROTO);
}

static void try_dump(struct world *world, struct wire_dump asked, poise_error *err)
{
    struct arena pages[2];
    uint64_t last_place = 0;
    poise_code code = POISE_OK;
    arena_init(&pages[0], WIRE_ARENA);
    arena_init(&pages[1], WIRE_ARENA);
    for (int i = 0; code == POISE_OK; i++) {
        struct wire_rows page;
        struct arena *arena = &pages[i % 2]; /* the cursor lies in that of the page before */
        MUST(i < PAGES_MAX);
        arena_reset(arena);
        code = ask_page(world, &asked, arena, &page, err);
        MUST(code == POISE_OK || code == POISE_EPROTO);
        MUST(code == POISE_OK || i == 0);
        if (code != POISE_OK) {
            break;
        }
        check_page(&asked, &page, &last_place);
        asked.cursor = page.cursor;
        asked.cursor_length = page.cursor_length;
        if (page.cursor_length == 0) {
            break;
        }
        change_cursor(world, asked);
    }
    arena_free(&pages[0]);
    arena_free(&pages[1]);
}

/* ---- restatements ---- */

static void try_restate(struct world *world, const struct wire_restate *order, poise_error *err)
{
    struct restate *restate;
    poise_code code = restate_open(order, &restate, err);
    MUST(code == POISE_OK || code == POISE_EPROTO);
    if (code != POISE_OK) {
        return;
    }
    MUST(restate_find(restate, world->store, err) == POISE_OK);
    MUST(restate->count <= RESTATE_BATCHES_MAX && restate->rows <= BATCHES);
    restate_free(restate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum wire_kind kind;
    struct arena arena;
    poise_error err = {0};
    union {
        struct wire_subscribe subscribe;
        struct wire_dump dump;
        struct wire_restate restate;
    } to;
    if (size < 2 || wire_head_parse(data, 2, &kind, NULL) != POISE_OK) {
        return 0;
    }
    data += 2;
    size -= 2;
    arena_init(&arena, WIRE_ARENA);
    if (kind == WIRE_SUBSCRIBE &&
        wire_decode_subscribe(data, size, &arena, &to.subscribe, &err) == POISE_OK) {
        try_subscribe(the_world(), &to.subscribe, &err);
    } else if (kind == WIRE_DUMP && wire_decode_dump(data, size, &arena, &to.dump, &err) == POISE_OK) {
        try_dump(the_world(), to.dump, &err);
    } else if (kind == WIRE_RESTATE &&
               wire_decode_restate(data, size, &arena, &to.restate, &err) == POISE_OK) {
        try_restate(the_world(), &to.restate, &err);
    }
    /* It goes out as an ERROR, which the asker has to be able to read. */
    MUST(fuzz_is_text(err.text, WIRE_TEXT_MAX));
    arena_free(&arena);
    return 0;
}
