/* What a peer asks of an aggregator that has scores and a journal: a SUBSCRIBE, whose filter is then put to
 * use, a DUMP or CHANGES with its cursor, a QUERY, a RESTATE, an ERASE. The input is a message as wire.c has
 * it; pages go on with the cursors that come back, and with none that was changed. */
#include "fuzz.h"
#include <aggregator/changelog.h>
#include <aggregator/dump.h>
#include <aggregator/erase.h>
#include <aggregator/inquiry.h>
#include <aggregator/restate.h>
#include <aggregator/rows.h>
#include <aggregator/subscription.h>
#include <base/hash.h>
#include <base/text.h>
#include <math.h>
#include <model/org.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ORGS = 4, ROWS = 2800, BATCHES = 3, SCRATCH = 256, PAGES_MAX = 3 }; /* a dump of all is of two pages */
enum { PLACES = ROWS * BATCHES, ERASED_MS = 100, ANSWER_MAX = 1 << 20 };
enum {
    SETTLES = 3,
    PART = 170,
    PARTS = 2,
    RECORDS = 1 + BATCHES + SETTLES * PARTS
}; /* pages of changes: two */

/* What was erased of the journal. */
static bool is_erased(const char *measure, const char *org, int64_t time_ms)
{
    return strcmp(measure, "b") == 0 && strcmp(org, "z") == 0 && time_ms >= 0 && time_ms < ERASED_MS;
}

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

static const char *const orgs[ORGS] = {"", "plant-1", "plant-1/line", "z"};

static void publish(struct world *world)
{
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

static void append(struct store *store, struct journal_record *record, const struct journal_batch *batch)
{
    uint64_t lsn;
    record->as_of_ms = ROWS;
    record->batches = batch;
    record->batch_count = batch ? 1 : 0;
    if (record->min_time_ms == record->max_time_ms) { /* it has no rows */
        record->min_time_ms = INT64_MAX;
        record->max_time_ms = INT64_MIN;
    }
    MUST(store_append(store, record, &lsn, NULL) == POISE_OK);
}

static void append_batch(struct store *store, int number)
{
    struct wire_builder *builder = wire_builder_open();
    struct buf body = {0};
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
    const struct journal_batch batch = {.producer = "p",
                                        .epoch = 1,
                                        .seq = (uint64_t)number + 1,
                                        .rows = ROWS,
                                        .refused = (const uint32_t[]){3},
                                        .reasons = (const uint8_t[]){POISE_REFUSAL_LOCKED},
                                        .refused_count = 1,
                                        .body = body.data,
                                        .body_length = body.length};
    append(store, &(struct journal_record){.first_ordinal = (uint64_t)number * ROWS + 1, .max_time_ms = ROWS},
           &batch);
    wire_builder_close(builder);
    buf_free(&body);
}

static void append_definition(struct store *store, const struct scorecard *card)
{
    struct definitions definitions = {0};
    struct buf body = {0};
    MUST(definitions_define(&definitions, card, INT64_MIN, NULL) == POISE_OK);
    order_put(&body, definitions_current(&definitions, card->id), true);
    MUST(!body.failed);
    const struct journal_batch batch = {
        .producer = DEFINE_PRODUCER, .body = body.data, .body_length = body.length};
    append(store, &(struct journal_record){.orders = true, .first_ordinal = 1}, &batch);
    definitions_free(&definitions);
    buf_free(&body);
}

static void append_erasure(struct store *store)
{
    struct buf body = {0};
    const struct erasure erasure = {
        .measure = "b", .org = "z", .reason = "r", .to_ms = ERASED_MS, .place = PLACES};
    erasure_put(&body, &erasure, "", 0);
    MUST(!body.failed);
    const struct journal_batch batch = {
        .producer = ERASE_PRODUCER, .rows = 1, .body = body.data, .body_length = body.length};
    append(store, &(struct journal_record){.orders = true, .first_ordinal = PLACES + 1}, &batch);
    buf_free(&body);
}

/* Settles, each of as many records as it has parts; every fifth change is a revision. */
static void append_changes(struct store *store, const struct scorecard *card)
{
    for (int i = 0; i < SETTLES * PARTS; i++) {
        struct changes *changes = changes_open(), *last = changes;
        struct buf bytes = {0};
        MUST(changes);
        for (uint32_t n = 0; n < PART; n++) {
            const struct node *node = &card->nodes[n % card->node_count];
            const poise_state state = {.org = orgs[n % ORGS],
                                       .node = node->path,
                                       .name = node->name,
                                       .kind = node->kind,
                                       .as_of_ms = n % 5 ? 0 : (int64_t)n,
                                       .revision = n % 5 ? 0 : n + 1,
                                       .weight = 1};
            MUST(changes_add(&last, &state) == POISE_OK);
        }
        MUST(changes_encode(changes, ROWS, &bytes) == POISE_OK);
        struct journal_record record = {.settled = i % PARTS == 0,
                                        .revised = true,
                                        .more = i % PARTS < PARTS - 1,
                                        .first_ordinal = PLACES + 2,
                                        .changes = bytes.data,
                                        .changes_length = bytes.length};
        append(store, &record, NULL);
        changes_free(changes);
        buf_free(&bytes);
    }
}

/* Its files lose their names at once, so that nothing is left behind. */
static struct store *make_store(const struct scorecard *card)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock"};
    char path[] = "/tmp/poise-fuzz-XXXXXX", file[64];
    struct store *store;
    MUST(mkdtemp(path));
    const struct store_options options = {
        .path = path, .map_bytes = 1 << 22, .free_bytes = 1, .new_incarnation = 1};
    MUST(store_open(&options, &store, NULL) == POISE_OK);
    append_definition(store, card);
    for (int i = 0; i < BATCHES; i++) {
        append_batch(store, i);
    }
    append_erasure(store);
    append_changes(store, card);
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
        world.store = make_store(world.card);
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
        MUST(page->places[i] > *last_place && page->places[i] <= PLACES);
        MUST((row.retract && row.key) || !is_erased(row.measure, row.org, row.time_ms));
        MUST(row.retract || (row.time_ms >= asked->from_ms && row.time_ms < asked->to_ms));
        MUST(!asked->keyed || row.key);
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

/* ---- the log of changes ---- */

static poise_code ask_changes(struct world *world, const struct wire_changes *asked, struct arena *arena,
                              struct wire_changed *ret_changed, poise_error *err)
{
    static const _Atomic bool stop = false;
    struct changelog *changelog;
    struct buf body = {0};
    poise_code code = changelog_open(asked, &changelog, err);
    if (code != POISE_OK) {
        return code;
    }
    code = changelog_page(changelog, asked->id, world->store, &stop, &body, err);
    changelog_free(changelog);
    if (code == POISE_OK) {
        MUST(body.length <= WIRE_MESSAGE_MAX);
        MUST(wire_decode_changed(body.data, body.length, arena, ret_changed, NULL) == POISE_OK);
    }
    buf_free(&body);
    return code;
}

struct last_change {
    uint64_t lsn;
    uint32_t number;
};

/* Each change comes once, in the order that they were published in. */
static void check_changes(const struct wire_changes *asked, const struct wire_changed *page,
                          struct last_change *last)
{
    MUST(page->id == asked->id && page->done <= page->total && page->cursor_length > 0);
    for (size_t i = 0; i < page->count; i++) {
        const poise_state *state = &page->states[i];
        MUST(is_asked_for(&asked->filter, state) && page->lsns[i] > asked->after_lsn);
        MUST(page->numbers[i] >= 1 && page->numbers[i] <= PART * PARTS && page->settled_ms[i] == ROWS);
        MUST(page->lsns[i] > last->lsn || (page->lsns[i] == last->lsn && page->numbers[i] > last->number));
        *last = (struct last_change){page->lsns[i], page->numbers[i]};
    }
}

static void change_cursor_of_changes(struct world *world, struct wire_changes asked)
{
    uint8_t bytes[WIRE_CURSOR_MAX];
    struct wire_changed page;
    size_t bit = asked.id % (8 * asked.cursor_length);
    memcpy(bytes, asked.cursor, asked.cursor_length);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    asked.cursor = bytes;
    MUST(ask_changes(world, &asked, NULL, &page, NULL) == POISE_EPROTO);
    asked.cursor_length--;
    MUST(ask_changes(world, &asked, NULL, &page, NULL) == POISE_EPROTO);
}

/* Makes a cursor that is as long as one, which anybody can, one of this store: version, name, ..., CRC. */
static bool forge(const struct store *store, const struct wire_changes *asked,
                  uint8_t cursor[WIRE_CURSOR_MAX])
{
    enum { LENGTH = 45 };
    uint8_t id[16];
    struct buf name = {0}, crc = {0};
    if (asked->cursor_length != LENGTH) {
        return false;
    }
    store_id(store, id);
    buf_put_u64(&name, hash64(id, sizeof id, store_incarnation(store)));
    memcpy(cursor, asked->cursor, LENGTH);
    cursor[0] = 1;
    memcpy(cursor + 1, name.data, name.length);
    buf_put_u32(&crc, crc32c(cursor, LENGTH - 4));
    memcpy(cursor + LENGTH - 4, crc.data, crc.length);
    buf_free(&name);
    buf_free(&crc);
    return true;
}

/* Who makes a cursor himself gets what he may see, and an end; whatever place it says. */
static void try_changes(struct world *world, struct wire_changes asked, poise_error *err)
{
    struct arena pages[2];
    uint8_t cursor[WIRE_CURSOR_MAX];
    struct last_change last = {0};
    bool forged = forge(world->store, &asked, cursor), more = true;
    asked.cursor = forged ? cursor : asked.cursor;
    arena_init(&pages[0], WIRE_ARENA);
    arena_init(&pages[1], WIRE_ARENA);
    for (int i = 0; more; i++) {
        struct wire_changed page;
        struct arena *arena = &pages[i % 2]; /* the cursor lies in that of the page before */
        MUST(i < PAGES_MAX);
        arena_reset(arena);
        poise_code code = ask_changes(world, &asked, arena, &page, err);
        MUST(code == POISE_OK || i == 0);
        MUST(code == POISE_OK || code == POISE_EPROTO || code == POISE_ELIMIT || code == POISE_ESTORE ||
             code == POISE_EUNSUPPORTED);
        more = code == POISE_OK && !page.last;
        if (code == POISE_OK && !forged) {
            check_changes(&asked, &page, &last);
            MUST(page.last == (page.done == page.total));
        }
        if (code == POISE_OK) {
            asked.cursor = page.cursor;
            asked.cursor_length = page.cursor_length;
            change_cursor_of_changes(world, asked);
        }
    }
    arena_free(&pages[0]);
    arena_free(&pages[1]);
}

/* ---- questions, and orders that the inquirer looks at ---- */

static bool answer(struct world *world, struct inquiry *inquiry)
{
    static const _Atomic bool stop = false;
    struct rows_memory memory = {0};
    const struct scorecard *const cards[] = {world->card};
    const struct inquirer_options options = {.max_bytes = ANSWER_MAX,
                                             .store = world->store,
                                             .cards = cards,
                                             .card_count = 1,
                                             .stop = &stop,
                                             .memory = &memory};
    bool is_done = inquiry_answer(&options, inquiry);
    rows_memory_free(&memory);
    return is_done;
}

static void check_answer(const struct inquiry *inquiry)
{
    struct arena arena;
    arena_init(&arena, WIRE_ARENA);
    for (size_t i = 0; i < inquiry->count; i++) {
        size_t start = i ? inquiry->ends[i - 1] : 0, length = inquiry->ends[i] - start;
        struct wire_states part;
        arena_reset(&arena);
        MUST(length <= WIRE_MESSAGE_MAX);
        MUST(wire_decode_states(WIRE_RESULT, inquiry->bodies.data + start, length, &arena, &part, NULL) ==
             POISE_OK);
        MUST(part.id == inquiry->id && part.last == (i + 1 == inquiry->count));
        for (size_t s = 0; s < part.count; s++) {
            const poise_state *state = &part.states[s];
            MUST(inquiry->all_orgs || strcmp(state->org, inquiry->org) == 0);
            MUST(state->as_of_ms <= inquiry->as_of_ms && isfinite(state->weight));
        }
    }
    arena_free(&arena);
}

/* As the stream takes it. */
static void try_query(struct world *world, const struct wire_query *query, poise_error *err)
{
    if (query->id == 0 || strlen(query->scorecard) > POISE_ID_MAX || strlen(query->org) > POISE_ORG_MAX ||
        query->as_of_ms < TIME_MIN_MS || query->as_of_ms > TIME_MAX_MS) {
        return;
    }
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    MUST(inquiry);
    inquiry->id = query->id;
    snprintf(inquiry->scorecard, sizeof inquiry->scorecard, "%s", query->scorecard);
    snprintf(inquiry->org, sizeof inquiry->org, "%s", query->org);
    inquiry->all_orgs = query->all_orgs;
    inquiry->history = query->history;
    inquiry->as_of_ms = query->as_of_ms;
    inquiry->known_at_ms = query->known_at_ms;
    inquiry->known_lsn = query->known_lsn;
    MUST(answer(world, inquiry) && inquiry->bodies.length <= ANSWER_MAX + WIRE_MESSAGE_MAX);
    poise_code code = inquiry->error.code;
    MUST(code == POISE_OK || code == POISE_ENOTFOUND || code == POISE_ELIMIT);
    if (code == POISE_OK) {
        MUST(inquiry->count > 0);
        check_answer(inquiry);
    }
    *err = inquiry->error;
    inquiry_free(inquiry);
}

/* Nothing is found that was not named, or has gone already. */
static void check_found(const struct wire_erase *order, const struct erase *erase)
{
    MUST(erase->count <= PLACES && erase->held <= BATCHES);
    for (size_t i = 0; i < erase->count; i++) {
        const struct erase_row *item = &erase->items[i];
        MUST(item->series < erase->series_count && item->place >= 1 && item->place <= PLACES);
        const struct erase_series *series = &erase->series[item->series];
        MUST(item->row.time_ms >= order->from_ms && item->row.time_ms < order->to_ms);
        MUST(!order->measure[0] || strcmp(order->measure, series->measure) == 0);
        MUST(!order->org[0] || org_matches(order->org, series->org));
        MUST(!is_erased(series->measure, series->org, item->row.time_ms));
        MUST(item->place >= series->place && (item->place - 1) % ROWS != 3); /* which was refused */
    }
}

static void try_erase(struct world *world, const struct wire_erase *order, poise_error *err)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    struct erasures journaled = {0};
    struct wire_erased erased;
    struct arena arena;
    MUST(inquiry);
    arena_init(&arena, WIRE_ARENA);
    inquiry->id = order->id;
    inquiry->error.code = erase_open(order, &inquiry->erase, &inquiry->error);
    if (inquiry->error.code == POISE_OK) {
        const struct erase *erase = inquiry->erase;
        bool is_done = answer(world, inquiry);
        MUST(inquiry->error.code == POISE_OK && is_done == (order->dry_run || erase->place == 0));
        check_found(order, erase);
        const struct buf *body = &erase->order.body;
        MUST(erasures_take(&journaled, body->data, body->length, 1, NULL) == POISE_OK &&
             journaled.count == 1);
        MUST(!is_done || wire_decode_erased(inquiry->bodies.data, inquiry->bodies.length, &arena, &erased,
                                            NULL) == POISE_OK);
        MUST(!is_done || (erased.id == order->id && erased.rows == erase->count + erase->held));
    }
    MUST(inquiry->error.code == POISE_OK || inquiry->error.code == POISE_EPROTO);
    *err = inquiry->error;
    erasures_free(&journaled);
    arena_free(&arena);
    inquiry_free(inquiry);
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
        struct wire_changes changes;
        struct wire_query query;
        struct wire_restate restate;
        struct wire_erase erase;
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
    } else if (kind == WIRE_CHANGES &&
               wire_decode_changes(data, size, &arena, &to.changes, &err) == POISE_OK) {
        try_changes(the_world(), to.changes, &err);
    } else if (kind == WIRE_QUERY && wire_decode_query(data, size, &arena, &to.query, &err) == POISE_OK) {
        try_query(the_world(), &to.query, &err);
    } else if (kind == WIRE_ERASE && wire_decode_erase(data, size, &arena, &to.erase, &err) == POISE_OK) {
        try_erase(the_world(), &to.erase, &err);
    }
    /* It goes out as an ERROR, which the asker has to be able to read. */
    MUST(fuzz_is_text(err.text, WIRE_TEXT_MAX));
    arena_free(&arena);
    return 0;
}
