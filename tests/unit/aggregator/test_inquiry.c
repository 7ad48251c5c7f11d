/* Questions about the past against an offline engine that is given every accepted row: whatever the compactor
 * has made of them, and although of runs only what is needed is read; and how much that is. */
#include "writer_fixture.h"
#include <aggregator/compact.h>
#include <aggregator/definitions.h>
#include <aggregator/inquiry.h>
#include <engine/report.h>
#include <math.h>

enum { ROWS_MAX = 60000, RECORDS_MAX = 4000, HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS };

/* Sums will do for input `s` alone. */
static const char card_text[] = //
    "scorecard: c\n"
    "timezone: Europe/London\n"
    "period: day\n"
    "perspectives:\n"
    "  - id: p\n"
    "    objectives:\n"
    "      - id: o\n"
    "        measures:\n"
    "          - {id: a, aggregate: sum, carry: 2, score: {linear: {from: 0, to: 100}}}\n"
    "          - {id: a2, input: a, period: month, aggregate: last, score: {linear: {from: 0, to: 9}}}\n"
    "          - {id: b, rolling: 2d, aggregate: weighted_mean, score: {linear: {from: 0, to: 9}}}\n"
    "          - {id: b2, input: b, aggregate: stddev, basis: closed, score: {linear: {from: 0, to: 9}}}\n"
    "          - {id: s, period: month, aggregate: mean, score: {linear: {from: 0, to: 9}}}\n"
    "          - {id: s2, input: s, period: week, aggregate: sum, score: {linear: {from: 0, to: 999}}}\n"
    "          - {id: s3, input: s, period: week, aggregate: min, score: {linear: {from: -9, to: 9}}}\n"
    "          - {id: s4, input: s, period: month, aggregate: max, max_age: 1d,\n"
    "             score: {linear: {from: 0, to: 9}}}\n"
    "          - {id: s5, input: s, period: month, aggregate: ratio, score: {linear: {from: 0, to: 9}}}\n";

struct known { /* an accepted row, as the journal says */
    char measure[8], org[16], source[8], key[16];
    struct engine_row row;
    bool there;
};

struct world {
    struct fixture *f;
    struct known *rows; /* by place */
    int64_t as_of_ms[RECORDS_MAX];
    uint64_t last_place[RECORDS_MAX];
    uint64_t seed;
    int keys; /* of input `s`, so far */
    size_t max_bytes;
    _Atomic bool stop;
    struct rows_memory memory;
    struct merge_effort effort;
};

static int64_t random_of(struct world *world, int64_t least, int64_t most)
{
    world->seed = world->seed * 6364136223846793005u + 1442695040888963407u;
    return least + (int64_t)((world->seed >> 33) % (uint64_t)(most - least + 1));
}

static void world_open_by(struct world *world, struct fixture *f, const char *card, uint64_t seed)
{
    struct problems problems = {0};
    *world = (struct world){.f = f,
                            .seed = seed,
                            .max_bytes = INQUIRY_BYTES_DEFAULT,
                            .rows = calloc(ROWS_MAX, sizeof *world->rows)};
    assert_non_null(world->rows);
    scorecard_free(f->card);
    assert_int_equal(scorecard_read_bytes("c", card, strlen(card), &f->card, &problems), 0);
    f->cards[0] = f->card;
    f->journal_bytes = 200000;
    f->map_bytes = 64 << 20; /* readers and what is put take turns on one thread: it cannot grow */
    start(f, 1);
}

static void world_open(struct world *world, struct fixture *f, uint64_t seed)
{
    world_open_by(world, f, card_text, seed);
}

static void world_close(struct world *world)
{
    rows_memory_free(&world->memory);
    free(world->rows);
}

/* ---- what the journal says, before anything is trimmed ---- */

static void note(char *to, size_t room, const char *text)
{
    assert_true(snprintf(to, room, "%s", text ? text : "") < (int)room);
}

static void know_row(struct world *world, const poise_measurement *row, uint64_t place)
{
    assert_true(place < ROWS_MAX);
    struct known *known = &world->rows[place];
    note(known->measure, sizeof known->measure, row->measure);
    note(known->org, sizeof known->org, row->org);
    note(known->source, sizeof known->source, row->source);
    note(known->key, sizeof known->key, row->key);
    known->row = (struct engine_row){.time_ms = row->time_ms,
                                     .value = row->value,
                                     .of = row->of,
                                     .seq = row->seq,
                                     .retract = row->retract,
                                     .key = row->key ? known->key : NULL,
                                     .key_length = strlen(known->key)};
    known->there = true;
}

static poise_code know_record(void *visitor, const struct journal_record *record)
{
    struct world *world = visitor;
    struct arena arena = {0};
    uint64_t place = record->first_ordinal;
    for (size_t i = 0; i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        struct wire_batch rows = {0};
        size_t refused_at = 0;
        if (batch->rows > 0 && !order_takes_place(batch))
            assert_int_equal(wire_decode_batch(batch->body, batch->body_length, &arena, &rows, NULL), 0);
        for (uint32_t at = 0; at < rows.rows; at++) {
            const poise_measurement row = wire_batch_row(&rows, at);
            if (!batch_row_refused(batch->refused, batch->refused_count, &refused_at, at))
                know_row(world, &row, place + at);
        }
        place += batch->rows;
    }
    arena_free(&arena);
    assert_true(record->lsn < RECORDS_MAX);
    world->as_of_ms[record->lsn] = record->as_of_ms;
    world->last_place[record->lsn] = place - 1;
    return POISE_OK;
}

static void know_all(struct world *world, uint64_t from)
{
    struct store_reader *reader;
    assert_int_equal(store_reader_open(world->f->store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_journal(reader, from, UINT64_MAX, NULL, know_record, world, NULL), POISE_OK);
    store_reader_close(reader);
}

/* ---- measurements ---- */

static void add_row(struct world *world, const poise_measurement *row)
{
    assert_int_equal(wire_builder_add(world->f->builder, row), POISE_OK);
}

/* An org that has one row only. */
static void add_seldom(struct world *world, const char *org)
{
    const poise_measurement row = {
        .measure = "b", .org = org, .time_ms = world->f->now_ms - 1, .value = 3, .of = 1};
    add_row(world, &row);
}

/* Of all sorts; and many of input `s`, which others may correct. */
static void add_some(struct world *world, bool corrects)
{
    int64_t now_ms = world->f->now_ms;
    if (world->f->seq == 0 || world->f->seq == 20)
        add_seldom(world, world->f->seq ? "v" : "w");
    for (int i = 0; i < 30; i++) {
        char org[16], key[16];
        bool late = random_of(world, 0, 5) == 0, keyed = random_of(world, 0, 2) == 0;
        snprintf(org, sizeof org, random_of(world, 0, 1) ? "x/o%d" : "y/o%d", (int)random_of(world, 0, 1));
        snprintf(key, sizeof key, "k%d", (int)random_of(world, 0, 60));
        const poise_measurement row = {
            .measure = random_of(world, 0, 1) ? "a" : "b",
            .org = org,
            .source = random_of(world, 0, 1) ? "q" : "",
            .time_ms = now_ms - 1 - random_of(world, 0, late ? (int64_t)60 * DAY_MS : HOUR_MS),
            .value = (double)random_of(world, -50, 90) / 7,
            .of = random_of(world, 0, 5) ? 1 : 3,
            .key = keyed ? key : NULL,
            .seq = keyed && random_of(world, 0, 1) ? (uint64_t)random_of(world, 1, 9) : 0,
            .retract = keyed && random_of(world, 0, 6) == 0};
        add_row(world, &row);
    }
    for (int i = 0; i < 600; i++) {
        char key[16];
        bool keyed = i % 3 == 2;
        bool again = corrects && i % 60 == 2;
        snprintf(key, sizeof key, "n%d", again ? (int)random_of(world, 0, world->keys) : world->keys++);
        const poise_measurement row = {.measure = "s",
                                       .org = i % 3 == 0   ? "x/o1"
                                              : i % 3 == 1 ? "y/o2"
                                                           : "z",
                                       .time_ms = now_ms - 1 - random_of(world, 0, HOUR_MS),
                                       .value = (double)random_of(world, -5000, 9000) / 700,
                                       .of = 1,
                                       .key = keyed ? key : NULL};
        add_row(world, &row);
    }
}

/* What was added is a batch, and journaled. */
static void send_added(struct world *world)
{
    hand_over_all(world->f);
    step(world->f);
    forget_all(world->f);
}

/* All is in the state. */
static void finish(struct world *world, uint64_t from)
{
    assert_int_equal(writer_finish(world->f->writer, NULL), POISE_OK);
    forget_changes(world->f);
    know_all(world, from);
}

static void send(struct world *world, int batches, bool corrects)
{
    uint64_t from = store_last_lsn(world->f->store) + 1;
    for (int i = 0; i < batches; i++) {
        add_some(world, corrects);
        send_added(world);
        world->f->now_ms += random_of(world, 3 * HOUR_MS, 8 * HOUR_MS);
    }
    finish(world, from);
}

/* ---- compacting ---- */

static poise_code put(void *taker, struct piece *piece, poise_error *err)
{
    struct world *world = taker;
    poise_code code = piece_put(piece, world->f->store, err);
    piece_free(piece);
    return code;
}

static void compact_all(struct world *world, int64_t bytes, bool merges)
{
    struct compact *compact = NULL;
    struct store_stats stored;
    uint64_t lsn = 0, before;
    bool any = merges, frozen;
    poise_error err = {0};
    assert_int_equal(compact_open(world->f->store, bytes, &world->stop, &compact, NULL), POISE_OK);
    do {
        before = store_chunks_lsn(world->f->store);
        if (compact_run(compact, UINT64_MAX, put, world, &lsn, &err) != POISE_OK)
            fail_msg("%s", err.text);
    } while (lsn > before);
    assert_int_equal(store_stats(world->f->store, &stored, NULL), POISE_OK);
    assert_int_equal(compact_frozen(compact, stored.state_lsn, &frozen, NULL), POISE_OK);
    while (any)
        assert_int_equal(compact_merge(compact, INT32_MAX, put, world, &any, NULL), POISE_OK);
    compact_close(compact);
    while (store_upkeep_due(world->f->store, true))
        assert_int_equal(store_upkeep(world->f->store, true, NULL), POISE_OK);
}

/* ---- both answers ---- */

static poise_code collect(void *visitor, const poise_state *state)
{
    struct buf *out = visitor;
    poise_state bare = *state; /* of what is live there are none offline */
    bare.revision = bare.definition = bare.cause = 0;
    bare.replaced = NAN;
    const struct wire_states states = {.states = &bare, .count = 1};
    return wire_encode_states(WIRE_RESULT, &states, out);
}

static poise_code ask_engine(struct world *world, const struct inquiry *asked, uint64_t until,
                             struct buf *out)
{
    struct engine *engine = NULL;
    const struct engine_options options = {.cards = world->f->cards, .card_count = 1, .offline = true};
    const struct report_question question = {.card = world->f->card,
                                             .org = asked->all_orgs ? NULL : asked->org,
                                             .history = asked->history,
                                             .as_of_ms = asked->as_of_ms};
    assert_int_equal(engine_open(&options, &engine, NULL), POISE_OK);
    assert_int_equal(report_begin(engine, &question, NULL), POISE_OK);
    for (uint64_t place = 1; place <= world->last_place[until]; place++) {
        const struct known *known = &world->rows[place];
        struct engine_series *series = NULL;
        poise_refusal refusal;
        if (!known->there)
            continue;
        assert_int_equal(
            engine_series(engine, known->measure, known->org, known->source, &series, &refusal, NULL),
            POISE_OK);
        assert_int_equal(engine_apply_at(engine, series, &known->row, place, NULL), POISE_OK);
    }
    poise_code code = report_states(engine, &question, collect, out, NULL);
    engine_close(engine);
    return code;
}

static poise_code ask_inquirer(struct world *world, struct inquiry *asked, struct buf *out)
{
    const struct inquirer_options options = {.max_bytes = world->max_bytes,
                                             .store = world->f->store,
                                             .cards = world->f->cards,
                                             .card_count = 1,
                                             .stop = &world->stop,
                                             .memory = &world->memory,
                                             .effort = &world->effort};
    struct arena arena = {0};
    assert_true(inquiry_answer(&options, asked));
    for (size_t i = 0; i < asked->count; i++) {
        size_t start = i ? asked->ends[i - 1] : 0;
        struct wire_states part = {0};
        assert_int_equal(wire_decode_states(WIRE_RESULT, asked->bodies.data + start, asked->ends[i] - start,
                                            &arena, &part, NULL),
                         POISE_OK);
        for (size_t j = 0; j < part.count; j++)
            assert_int_equal(collect(out, &part.states[j]), POISE_OK);
    }
    arena_free(&arena);
    return asked->error.code;
}

/* org NULL: all; until: as known at that record. */
static void check(struct world *world, const char *org, int64_t as_of_ms, uint64_t until, bool by_time,
                  bool history)
{
    struct inquiry *asked = calloc(1, sizeof *asked);
    struct buf wanted = {0}, got = {0};
    assert_non_null(asked);
    *asked = (struct inquiry){.id = 1,
                              .scorecard = "c",
                              .all_orgs = !org,
                              .history = history,
                              .as_of_ms = as_of_ms,
                              .known_lsn = by_time ? 0 : until,
                              .known_at_ms = by_time ? world->as_of_ms[until] : 0};
    note(asked->org, sizeof asked->org, org);
    while (by_time && world->as_of_ms[until + 1] == world->as_of_ms[until])
        until++;
    poise_code code = ask_engine(world, asked, until, &wanted), other = ask_inquirer(world, asked, &got);
    if (code != other)
        fail_msg("%d, not %d: %s", other, code, asked->error.text);
    assert_int_equal(got.length, wanted.length);
    assert_memory_equal(got.data, wanted.data, got.length);
    buf_free(&wanted);
    buf_free(&got);
    inquiry_free(asked);
}

static void ask_some(struct world *world, int questions)
{
    static const char *const orgs[] = {NULL, "", "x", "y/o1", "w", "z", "nowhere"};
    int64_t from_ms = start_ms - (int64_t)70 * DAY_MS, to_ms = world->f->now_ms + (int64_t)3 * DAY_MS;
    for (int i = 0; i < questions; i++) {
        uint64_t last = store_last_lsn(world->f->store);
        uint64_t until = random_of(world, 0, 1) ? last : (uint64_t)random_of(world, 2, (int64_t)last);
        int64_t as_of_ms =
            random_of(world, 0, 2) ? random_of(world, start_ms, to_ms) : random_of(world, from_ms, start_ms);
        bool history = random_of(world, 0, 4) == 0;
        check(world, orgs[random_of(world, 0, 6)], as_of_ms, until, random_of(world, 0, 3) == 0, history);
    }
}

static void whatever_was_compacted(void **state)
{
    struct world world;
    world_open(&world, *state, 5);
    for (int round = 0; round < 8; round++) {
        send(&world, 6, round > 3);
        if (round > 0)
            compact_all(&world, random_of(&world, 20000, 90000), round % 2);
        send(&world, (int)random_of(&world, 0, 1), true); /* behind the runs */
        ask_some(&world, 9);
    }
    assert_true(world.effort.heads > 20);
    world_close(&world);
}

/* ---- how much of it ---- */

static struct merge_effort effort_of(struct world *world, const char *org, int64_t as_of_ms, bool history)
{
    world->effort = (struct merge_effort){0};
    check(world, org, as_of_ms, store_last_lsn(world->f->store), false, history);
    return world->effort;
}

static poise_code add_up(void *visitor, const struct store_run *run)
{
    struct block_stats *all = visitor;
    all->blocks += run->stats.blocks;
    all->rows += run->stats.rows;
    return POISE_OK;
}

/* Of all runs. */
static struct block_stats count_runs(struct world *world)
{
    const struct store_run_range range = {
        .from_bucket = INT32_MIN, .until_bucket = INT32_MAX, .any_input = true};
    struct block_stats all = {0};
    struct store_reader *reader;
    assert_int_equal(store_reader_open(world->f->store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_runs(reader, &range, add_up, &all, NULL), POISE_OK);
    store_reader_close(reader);
    return all;
}

static void only_what_is_needed(void **state)
{
    struct world world;
    world_open(&world, *state, 6);
    send(&world, 24, false);
    compact_all(&world, 1 << 20, true);
    uint64_t blocks = count_runs(&world).blocks;
    struct merge_effort all = effort_of(&world, NULL, world.f->now_ms, true);
    assert_true(all.blocks == blocks && all.heads == 0);
    struct merge_effort now = effort_of(&world, NULL, world.f->now_ms, false);
    assert_true(now.blocks < blocks && now.chunks + now.heads < all.chunks && now.heads > 3);
    struct merge_effort early = effort_of(&world, NULL, start_ms + DAY_MS, false);
    assert_true(early.blocks < blocks && early.chunks + early.heads < now.chunks + now.heads);
    struct merge_effort leaf = effort_of(&world, "z", world.f->now_ms, false);
    assert_true(leaf.blocks > 0 && leaf.blocks < now.blocks / 2 && leaf.chunks + leaf.heads < now.chunks / 2);
    struct merge_effort none = effort_of(&world, "nowhere", world.f->now_ms, false);
    assert_true(none.blocks == 0);
    send(&world, 1, true); /* takes rows away of which heads told */
    struct merge_effort doubtful = effort_of(&world, "z", world.f->now_ms, false);
    assert_true(leaf.heads > 0 && doubtful.heads == 0);
    world_close(&world);
}

/* ---- how much comes of it ---- */

/* All that there is; the caller frees it. */
static struct inquiry *ask_all(struct world *world, size_t max_bytes)
{
    struct inquiry *asked = calloc(1, sizeof *asked);
    struct buf out = {0};
    assert_non_null(asked);
    *asked = (struct inquiry){
        .id = 1, .scorecard = "c", .all_orgs = true, .history = true, .as_of_ms = world->f->now_ms};
    world->max_bytes = max_bytes;
    (void)ask_inquirer(world, asked, &out);
    buf_free(&out);
    return asked;
}

/* No more than a message is ever made of an answer that has more than it may. */
static void an_answer_has_a_bound(void **state)
{
    struct world world;
    world_open(&world, *state, 7);
    send(&world, 24, false);
    struct inquiry *whole = ask_all(&world, INQUIRY_BYTES_DEFAULT);
    assert_true(whole->error.code == POISE_OK && whole->count > 2);
    size_t bound = whole->ends[whole->count - 2];
    struct inquiry *fits = ask_all(&world, bound);
    assert_true(fits->error.code == POISE_OK && fits->count == whole->count);
    for (int i = 0; i < 2; i++) {
        size_t less = i ? bound - 1 : 1;
        struct inquiry *refused = ask_all(&world, less);
        assert_int_equal(refused->error.code, POISE_ELIMIT);
        assert_non_null(strstr(refused->error.text, "max_answer"));
        assert_true(refused->bodies.length <= less + WIRE_MESSAGE_MAX);
        inquiry_free(refused);
    }
    inquiry_free(whole);
    inquiry_free(fits);
    world_close(&world);
}

/* ---- what `keep` has dropped ---- */

static const char kept_text[] = //
    "scorecard: c\n"
    "period: day\n"
    "grace: 1h\n"
    "lock_after: 2d\n"
    "keep: 2d\n"
    "perspectives:\n"
    "  - id: p\n"
    "    objectives:\n"
    "      - id: o\n"
    "        measures:\n"
    "          - {id: a, aggregate: sum, score: {linear: {from: 0, to: 100}}}\n";

static void add_keyed(struct world *world, const char *org, const char *key, bool retract)
{
    const poise_measurement row = {.measure = "a",
                                   .org = org,
                                   .time_ms = world->f->now_ms - 1,
                                   .value = 3,
                                   .of = 1,
                                   .key = key,
                                   .retract = retract};
    add_row(world, &row);
}

/* All of the past but what is kept is dropped, and what came at org "live" alone is not. */
static void drop_past(struct world *world)
{
    struct fixture *f = world->f;
    f->now_ms += (int64_t)5 * DAY_MS;
    add_keyed(world, "live", NULL, false);
    send_added(world);
    for (int i = 0; stats_get(&f->stats, STAT_inputs_frozen) == 0; i++) {
        assert_true(i < 200);
        f->now_ms += 100;
        step(f);
        forget_all(f);
    }
    finish(world, 1);
    compact_all(world, 1 << 20, true);
    assert_int_equal(count_runs(world).rows, 1);
}

/* ENOTFOUND: no measurement ever came there, or below, as known at that record. */
static poise_code ask_whether(struct world *world, const char *org, uint64_t known_lsn)
{
    struct inquiry *asked = calloc(1, sizeof *asked);
    struct buf out = {0};
    assert_non_null(asked);
    *asked =
        (struct inquiry){.id = 1, .scorecard = "c", .as_of_ms = world->f->now_ms, .known_lsn = known_lsn};
    note(asked->org, sizeof asked->org, org);
    poise_code code = ask_inquirer(world, asked, &out);
    buf_free(&out);
    inquiry_free(asked);
    return code;
}

/* A series that a retraction has numbered need not have had one: as known now the state's units say so. */
static void orgs_stay_whose_measurements_are_dropped(void **state)
{
    struct world world;
    world_open_by(&world, *state, kept_text, 8);
    add_keyed(&world, "later", "k2", true);
    add_keyed(&world, "first", "k1", false);
    add_keyed(&world, "never", "k3", true);
    send_added(&world);
    add_keyed(&world, "later", "k4", false);
    send_added(&world);
    drop_past(&world);
    uint64_t last = store_last_lsn(world.f->store);
    check(&world, NULL, world.f->now_ms, last, false, false);
    assert_int_equal(ask_whether(&world, "first", 0), POISE_OK);
    assert_int_equal(ask_whether(&world, "later", 0), POISE_OK);
    assert_int_equal(ask_whether(&world, "later", last - 1), POISE_ENOTFOUND);
    assert_int_equal(ask_whether(&world, "never", 0), POISE_ENOTFOUND);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(whatever_was_compacted),
        WRITER_TEST(only_what_is_needed),
        WRITER_TEST(an_answer_has_a_bound),
        WRITER_TEST(orgs_stay_whose_measurements_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
