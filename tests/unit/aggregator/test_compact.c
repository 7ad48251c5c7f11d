/* Compaction against the journal that it is made of: every accepted row once, whole, with its place and with
 * what took it away; what stays of trimmed records; and that rows that are dumped do not depend on it. */
#include "writer_fixture.h"
#include <aggregator/compact.h>
#include <aggregator/definitions.h>
#include <aggregator/held.h>
#include <aggregator/rows.h>
#include <store/notes.h>

enum { ROWS_MAX = 60000, RECORDS_MAX = 4000 };

struct known { /* an accepted row, as the journal says */
    char measure[8], org[8], source[8], key[16];
    int64_t time_ms;
    double value, of;
    uint64_t seq, gone;
    bool there, retract;
};

struct world {
    struct fixture *f;
    struct known *rows; /* by place */
    size_t count;
    int64_t as_of_ms[RECORDS_MAX];
    uint64_t last_place[RECORDS_MAX], series[RECORDS_MAX];
    uint64_t seed;
    _Atomic bool stop;
    struct rows_memory memory;
};

static int64_t random_of(struct world *world, int64_t least, int64_t most)
{
    world->seed = world->seed * 6364136223846793005u + 1442695040888963407u;
    return least + (int64_t)((world->seed >> 33) % (uint64_t)(most - least + 1));
}

static void world_open(struct world *world, struct fixture *f, uint64_t seed)
{
    *world = (struct world){.f = f, .seed = seed};
    world->rows = calloc(ROWS_MAX, sizeof *world->rows);
    assert_non_null(world->rows);
}

static void world_close(struct world *world)
{
    rows_memory_free(&world->memory);
    free(world->rows);
}

/* ---- what the journal says, before anything is trimmed ---- */

static void note(char to[], size_t room, const char *text)
{
    assert_true(snprintf(to, room, "%s", text ? text : "") < (int)room);
}

static void know_row(struct world *world, const poise_measurement *row, uint64_t place)
{
    assert_true(place < ROWS_MAX);
    struct known *known = &world->rows[place];
    *known = (struct known){.time_ms = row->time_ms,
                            .value = row->value,
                            .of = row->of,
                            .seq = row->seq,
                            .retract = row->retract,
                            .there = true};
    note(known->measure, sizeof known->measure, row->measure);
    note(known->org, sizeof known->org, row->org);
    note(known->source, sizeof known->source, row->source);
    note(known->key, sizeof known->key, row->key);
    world->count++;
}

/* Of rows from a place on, those of which no earlier one has the same names. */
static uint64_t count_new_series(const struct world *world, uint64_t from, uint64_t until)
{
    uint64_t count = 0;
    for (uint64_t at = from; at < until; at++) {
        const struct known *row = &world->rows[at];
        bool is_new = row->there;
        for (uint64_t before = 0; is_new && before < at; before++) {
            const struct known *other = &world->rows[before];
            is_new = !other->there || strcmp(row->measure, other->measure) != 0 ||
                     strcmp(row->org, other->org) != 0 || strcmp(row->source, other->source) != 0;
        }
        count += is_new;
    }
    return count;
}

static poise_code know_record(void *visitor, const struct journal_record *record)
{
    struct world *world = visitor;
    struct arena arena = {0};
    uint64_t place = record->first_ordinal;
    for (size_t i = 0; i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        struct wire_batch rows;
        struct journal_notes notes;
        size_t refused_at = 0;
        if (batch->rows > 0 && !order_takes_place(batch)) {
            assert_int_equal(wire_decode_batch(batch->body, batch->body_length, &arena, &rows, NULL), 0);
            assert_int_equal(notes_decode(batch, &arena, &notes, NULL), POISE_OK);
            for (uint32_t at = 0; at < rows.rows; at++) {
                const poise_measurement row = wire_batch_row(&rows, at);
                if (!batch_row_refused(batch->refused, batch->refused_count, &refused_at, at))
                    know_row(world, &row, place + at);
            }
            for (size_t at = 0; at < notes.gone_count; at++)
                world->rows[notes.gone[at].ordinal].gone = place + notes.gone[at].row;
        }
        place += batch->rows;
    }
    arena_free(&arena);
    assert_true(record->lsn < RECORDS_MAX);
    world->series[record->lsn] =
        world->series[record->lsn - 1] + count_new_series(world, record->first_ordinal, place);
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

/* ---- measurements of all sorts ---- */

static void send_some(struct world *world)
{
    struct fixture *f = world->f;
    int rows = (int)random_of(world, 1, 60);
    for (int i = 0; i < rows; i++) {
        char org[8], key[16], source[8];
        int64_t late_ms =
            random_of(world, 0, 9) ? random_of(world, 0, 1000) : random_of(world, 0, 86400000LL * 40);
        bool keyed = random_of(world, 0, 2) == 0;
        snprintf(org, sizeof org, "o%d", (int)random_of(world, 0, 12)); /* some are one too many */
        snprintf(source, sizeof source, "s%d", (int)random_of(world, 0, 2));
        snprintf(key, sizeof key, "k%d", (int)random_of(world, 0, 40));
        const poise_measurement row = {
            .measure = random_of(world, 0, 9) == 0 ? "nobody"
                       : random_of(world, 0, 1)    ? "m0"
                                                   : "m1",
            .org = org,
            .source = random_of(world, 0, 3) ? source : "",
            .time_ms = f->now_ms - 1 - late_ms,
            .value = (double)random_of(world, -50, 50) / 8,
            .of = random_of(world, 0, 5) ? 1 : 3,
            .key = keyed ? key : NULL,
            .seq = keyed && random_of(world, 0, 1) ? (uint64_t)random_of(world, 1, 9) : 0,
            .retract = keyed && random_of(world, 0, 6) == 0};
        assert_int_equal(wire_builder_add(f->builder, &row), POISE_OK);
    }
    hand_over_all(f);
    step(f);
    forget_all(f);
    f->now_ms += random_of(world, 0, 20) ? 50 : 86400000;
}

static void send_and_checkpoint(struct world *world, int batches)
{
    uint64_t from = store_last_lsn(world->f->store) + 1;
    for (int i = 0; i < batches; i++)
        send_some(world);
    assert_int_equal(writer_finish(world->f->writer, NULL), POISE_OK);
    forget_changes(world->f);
    know_all(world, from);
}

/* ---- compacting ---- */

static poise_code put(void *taker, struct piece *piece, poise_error *err)
{
    struct world *world = taker;
    poise_code code = piece_put(piece, world->f->store, err);
    piece_free(piece);
    return code;
}

static struct compact *open_compact(struct world *world, int64_t bytes)
{
    struct compact *compact = NULL;
    assert_int_equal(compact_open(world->f->store, bytes, &world->stop, &compact, NULL), POISE_OK);
    return compact;
}

/* One run, or all there are. */
static uint64_t compact_some(struct world *world, struct compact *compact, bool all)
{
    uint64_t lsn = 0, before;
    poise_error err = {0};
    do {
        before = store_chunks_lsn(world->f->store);
        if (compact_run(compact, UINT64_MAX, put, world, &lsn, &err) != POISE_OK)
            fail_msg("%s", err.text);
        assert_int_equal(lsn, store_chunks_lsn(world->f->store));
    } while (all && lsn > before);
    return lsn;
}

static int merge_all(struct world *world, struct compact *compact, int32_t idle_before)
{
    int merges = -1;
    bool any = true;
    poise_error err = {0};
    for (; any; merges++)
        if (compact_merge(compact, idle_before, put, world, &any, &err) != POISE_OK)
            fail_msg("%s", err.text);
    return merges;
}

static void trim(struct world *world)
{
    while (store_upkeep_due(world->f->store, true))
        assert_int_equal(store_upkeep(world->f->store, true, NULL), POISE_OK);
}

/* ---- what came of it ---- */

struct checking {
    struct world *world;
    uint64_t until; /* rows as they stood then */
    size_t count;
    bool *seen;
};

static poise_code check_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    struct checking *checking = visitor;
    const struct world *world = checking->world;
    assert_true(series < world->memory.names.count);
    const struct past_name name = names_of(&world->memory.names, (size_t)series);
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t place = rows->ordinal[i];
        assert_true(place <= checking->until && !checking->seen[place]);
        const struct known *known = &world->rows[place];
        checking->seen[place] = true;
        checking->count++;
        assert_true(known->there);
        assert_string_equal(name.measure, known->measure);
        assert_string_equal(name.org, known->org);
        assert_string_equal(name.source, known->source);
        assert_true(rows->value[i] == known->value && (rows->of ? rows->of[i] : 1) == known->of);
        assert_true((rows->seq ? rows->seq[i] : 0) == known->seq);
        assert_true((rows->retract && rows->retract[i]) == known->retract);
        assert_true(known->retract || rows->time_ms[i] == known->time_ms);
        assert_int_equal(rows->key && rows->key[i].text ? rows->key[i].length : 0, strlen(known->key));
        assert_memory_equal(rows->key && rows->key[i].text ? rows->key[i].text : "", known->key,
                            strlen(known->key));
        uint64_t gone = known->gone > checking->until ? 0 : known->gone;
        assert_true((rows->gone ? rows->gone[i] : 0) == gone);
    }
    return POISE_OK;
}

/* All rows of the runs, as of a record. */
static void check_runs(struct world *world, uint64_t lsn)
{
    struct store_reader *reader;
    struct store_past past;
    assert_int_equal(store_reader_open(world->f->store, &reader, NULL), POISE_OK);
    assert_int_equal(store_read_past(reader, lsn, INT64_MAX, &past, NULL), POISE_OK);
    assert_int_equal(past.lsn, lsn);
    assert_true(past.as_of_ms == world->as_of_ms[lsn] && past.last_place == world->last_place[lsn]);
    uint64_t series;
    assert_int_equal(store_read_series(reader, lsn, &series, NULL), POISE_OK);
    assert_int_equal(series, world->series[lsn]);
    assert_int_equal(names_read(&world->memory.names, reader, NULL), POISE_OK);
    struct checking checking = {.world = world, .until = past.last_place, .seen = calloc(ROWS_MAX, 1)};
    for (uint32_t input = 0; input < world->memory.names.measures.count; input++) {
        const struct store_rows_query query = {
            .input = input, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = past.last_place};
        const struct store_rows_visit visit = {.rows = check_rows, .visitor = &checking};
        assert_int_equal(store_read_rows(reader, &query, &visit, NULL), POISE_OK);
    }
    size_t wanted = 0;
    for (uint64_t place = 0; place <= past.last_place; place++)
        wanted += world->rows[place].there;
    assert_int_equal(checking.count, wanted);
    free(checking.seen);
    store_reader_close(reader);
}

/* By T, too: the last record that is not later. */
static void check_times(struct world *world)
{
    struct store_reader *reader;
    struct store_past past;
    uint64_t chunks = store_chunks_lsn(world->f->store);
    assert_int_equal(store_reader_open(world->f->store, &reader, NULL), POISE_OK);
    for (uint64_t lsn = 1; lsn <= chunks; lsn++)
        for (int64_t more = -1; more <= 1; more++) {
            uint64_t wanted = 0;
            while (wanted < chunks && world->as_of_ms[wanted + 1] <= world->as_of_ms[lsn] + more)
                wanted++;
            assert_int_equal(store_read_past(reader, UINT64_MAX, world->as_of_ms[lsn] + more, &past, NULL),
                             POISE_OK);
            assert_int_equal(past.lsn, wanted);
            assert_true(past.last_place == (wanted ? world->last_place[wanted] : 0));
        }
    store_reader_close(reader);
}

static void what_is_compacted_is_what_was_journaled(void **state)
{
    struct world world;
    world_open(&world, *state, 7);
    start(world.f, 1);
    int merges = 0;
    struct compact *compact = open_compact(&world, 4000);
    for (int round = 0; round < 12; round++) {
        send_and_checkpoint(&world, (int)random_of(&world, 1, 12));
        uint64_t state_lsn = store_last_lsn(world.f->store);
        send_some(&world); /* behind the checkpoint */
        know_all(&world, state_lsn + 1);
        assert_true(compact_some(&world, compact, random_of(&world, 0, 1)) <= state_lsn);
        merges += merge_all(&world, compact, random_of(&world, 0, 3) ? INT32_MIN : INT32_MAX);
        check_runs(&world, store_chunks_lsn(world.f->store));
        check_runs(&world, (uint64_t)random_of(&world, 1, (int64_t)store_chunks_lsn(world.f->store)));
        if (random_of(&world, 0, 3) == 0) { /* what it learned of names it learns again */
            compact_close(compact);
            compact = open_compact(&world, random_of(&world, 300, 9000));
        }
    }
    check_times(&world);
    assert_true(merges > 5 && world.count > 1000);
    compact_close(compact);
    world_close(&world);
}

/* ---- over trimmed records ---- */

struct dumping {
    struct world *world;
    uint64_t last;
    size_t count;
    int64_t budget;
};

static bool want_all(void *visitor, const char *measure, const char *org)
{
    (void)visitor;
    return measure[0] && org[0];
}

static poise_code dump_row(void *visitor, const poise_measurement *row, uint64_t place)
{
    struct dumping *dumping = visitor;
    const struct known *known = &dumping->world->rows[place];
    if (dumping->budget-- == 0)
        return POISE_ECLOSED;
    assert_true(place > dumping->last && known->there);
    assert_true(row->value == known->value && row->of == known->of && row->seq == known->seq &&
                row->retract == known->retract && (row->retract || row->time_ms == known->time_ms));
    assert_string_equal(row->measure, known->measure);
    assert_string_equal(row->org, known->org);
    assert_string_equal(row->source ? row->source : "", known->source);
    assert_string_equal(row->key ? row->key : "", known->key);
    dumping->last = place;
    dumping->count++;
    return POISE_OK;
}

/* Page by page, each row once and in order. */
static void check_dump(struct world *world)
{
    struct dumping dumping = {.world = world};
    struct rows_position at = {0};
    uint64_t until = store_last_lsn(world->f->store);
    const struct rows_visit visit = {
        .wanted = want_all, .row = dump_row, .visitor = &dumping, .stop = &world->stop};
    while (at.lsn <= until) {
        dumping.budget = random_of(world, 1, 700);
        assert_int_equal(rows_read(world->f->store, &world->memory, &at, until, &visit, NULL), POISE_OK);
    }
    assert_int_equal(dumping.count, world->count);
}

/* ---- what `keep` has dropped ---- */

static const char *const inputs[] = {"m0", "m1"};

enum given { NOT_GIVEN, GIVEN, GIVEN_BACK };
struct kept {
    struct world *world;
    int64_t frozen_ms;
    enum given given[ROWS_MAX];
    size_t back; /* in place of dropped ones */
};

static poise_code kept_row(void *visitor, const poise_measurement *row, uint64_t place)
{
    struct kept *kept = visitor;
    const struct known *known = &kept->world->rows[place];
    assert_true(row->retract ? row->key != NULL : row->time_ms >= kept->frozen_ms);
    assert_true(row->retract == known->retract || known->time_ms < kept->frozen_ms);
    assert_int_equal(row->seq, known->seq);
    assert_string_equal(row->key ? row->key : "", known->key);
    kept->given[place] = row->retract ? GIVEN_BACK : GIVEN;
    kept->back += row->retract && !known->retract;
    return POISE_OK;
}

/* What stands is there; what does not is not there without what took it away. How many retractions tell that
 * without the row. */
static size_t check_dropped(struct world *world, int64_t frozen_ms)
{
    struct kept *kept = calloc(1, sizeof *kept);
    struct rows_memory memory = {0};
    struct rows_position at = {0};
    const struct rows_visit visit = {
        .wanted = want_all, .row = kept_row, .visitor = kept, .stop = &world->stop};
    assert_non_null(kept);
    kept->world = world;
    kept->frozen_ms = frozen_ms;
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
        assert_int_equal(definitions_freeze(&memory.definitions, inputs[i], 2, frozen_ms, NULL), POISE_OK);
    assert_int_equal(rows_read(world->f->store, &memory, &at, store_last_lsn(world->f->store), &visit, NULL),
                     POISE_OK);
    for (size_t place = 0; place < ROWS_MAX; place++) {
        const struct known *known = &world->rows[place];
        if (known->there && !known->retract && !known->gone && known->time_ms >= frozen_ms)
            assert_int_equal(kept->given[place], GIVEN);
        if (known->there && known->gone && kept->given[place] == GIVEN)
            assert_int_not_equal(kept->given[known->gone], NOT_GIVEN);
    }
    size_t back = kept->back;
    rows_memory_free(&memory);
    free(kept);
    return back;
}

/* About half of them are from before. */
static int64_t middle_ms(const struct world *world)
{
    size_t place = world->count / 2;
    while (!world->rows[place].there || world->rows[place].retract)
        place++;
    return world->rows[place].time_ms;
}

static void dropped_rows_are_not_dumped_wherever_they_lie(void **state)
{
    struct world world;
    world_open(&world, *state, 17);
    world.f->journal_bytes = 6000;
    start(world.f, 1);
    struct compact *compact = open_compact(&world, 3000);
    send_and_checkpoint(&world, 16);
    assert_true(check_dropped(&world, middle_ms(&world)) > 5); /* all in the journal */
    for (int round = 0; round < 4; round++) {
        compact_some(&world, compact, true);
        merge_all(&world, compact, INT32_MAX);
        trim(&world);
        (void)check_dropped(&world, middle_ms(&world));
        send_and_checkpoint(&world, 4);
        (void)check_dropped(&world, middle_ms(&world)); /* some in runs, some in the journal */
    }
    compact_close(compact);
    world_close(&world);
}

static void trimmed_rows_are_dumped_as_before(void **state)
{
    struct world world;
    world_open(&world, *state, 11);
    world.f->journal_bytes = 6000;
    start(world.f, 1);
    struct compact *compact = open_compact(&world, 3000);
    for (int round = 0; round < 6; round++) {
        struct store_reader *reader;
        send_and_checkpoint(&world, 8);
        compact_some(&world, compact, true);
        merge_all(&world, compact, INT32_MAX);
        trim(&world);
        assert_int_equal(store_reader_open(world.f->store, &reader, NULL), POISE_OK);
        assert_true(store_reader_first_lsn(reader) > 1);
        store_reader_close(reader);
        check_runs(&world, store_chunks_lsn(world.f->store));
        send_and_checkpoint(&world, 2);
        check_dump(&world);
    }
    compact_close(compact);
    world_close(&world);
}

/* A run that was given up leaves nothing that the next one minds. */
static poise_code put_a_few(void *taker, struct piece *piece, poise_error *err)
{
    struct world *world = taker;
    bool enough = piece->slice.whole;
    poise_code code = enough ? POISE_EREFUSED : piece_put(piece, world->f->store, err);
    piece_free(piece);
    return code;
}

static void an_abandoned_run_is_made_again(void **state)
{
    struct world world;
    uint64_t lsn;
    world_open(&world, *state, 13);
    start(world.f, 1);
    struct compact *compact = open_compact(&world, 1 << 20);
    for (int round = 0; round < 3; round++) {
        send_and_checkpoint(&world, 40);
        uint64_t before = store_chunks_lsn(world.f->store);
        assert_int_equal(compact_run(compact, UINT64_MAX, put_a_few, &world, &lsn, NULL), POISE_EREFUSED);
        assert_int_equal(store_chunks_lsn(world.f->store), before);
        const struct piece abandoned = {.abandoned = true};
        assert_int_equal(piece_put(&abandoned, world.f->store, NULL), POISE_OK);
        compact_some(&world, compact, true);
        check_runs(&world, store_chunks_lsn(world.f->store));
    }
    compact_close(compact);
    world_close(&world);
}

/* ---- what remains of a record ---- */

static poise_state state_of(const char *node, uint64_t revision)
{
    return (poise_state){
        .org = "a", .node = node, .name = node, .revision = revision, .numbers = {.score = 50}};
}

/* A batch of two rows, of which the first is refused. */
static struct journal_batch batch_of(struct fixture *f, uint8_t reason, struct buf *body, struct buf *notes)
{
    static const uint32_t first[] = {0}, numbers[] = {0};
    static uint8_t reasons[2];
    uint8_t *refusal = &reasons[reason == POISE_REFUSAL_LOCKED];
    *refusal = reason;
    add(f, "a", "s", 1);
    add(f, "a", "s", 2);
    assert_int_equal(wire_builder_finish(f->builder, EPOCH, 1, body), POISE_OK);
    const struct journal_notes said = {.series = numbers, .series_count = 1};
    assert_int_equal(notes_encode(&said, notes), POISE_OK);
    return (struct journal_batch){.producer = "p",
                                  .epoch = EPOCH,
                                  .seq = 1,
                                  .rows = 2,
                                  .refused = first,
                                  .reasons = refusal,
                                  .refused_count = 1,
                                  .body = body->data,
                                  .body_length = body->length,
                                  .notes = notes->data,
                                  .notes_length = notes->length};
}

static uint64_t append(struct store *store, const struct journal_batch *batches, size_t count, uint64_t place,
                       const struct buf *changes)
{
    uint64_t lsn;
    const struct journal_record record = {.as_of_ms = start_ms,
                                          .first_ordinal = place,
                                          .revised = changes != NULL,
                                          .orders = count && batches[0].producer[0] == '!',
                                          .batches = batches,
                                          .batch_count = count,
                                          .changes = changes ? changes->data : NULL,
                                          .changes_length = changes ? changes->length : 0};
    assert_int_equal(store_append(store, &record, &lsn, NULL), POISE_OK);
    return lsn;
}

struct remaining {
    int orders, held, other_batches, revisions, other_changes, whole;
    uint32_t rows;
};

static poise_code count_change(void *visitor, const poise_state *state)
{
    struct remaining *remaining = visitor;
    *(state->revision ? &remaining->revisions : &remaining->other_changes) += 1;
    return POISE_OK;
}

static poise_code count_record(void *visitor, const struct journal_record *record)
{
    struct remaining *remaining = visitor;
    struct arena arena = {0};
    remaining->whole += !record->trimmed;
    for (size_t i = 0; record->trimmed && i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        remaining->orders += batch->producer[0] == '!' && batch->body_length == 5;
        remaining->held += batch->refused_count == 1 && batch->body_length > 0;
        remaining->other_batches += batch->body_length == 0;
        remaining->rows += batch->rows;
    }
    if (record->trimmed && record->changes_length)
        assert_int_equal(
            wire_each_change(record->changes, record->changes_length, &arena, count_change, remaining, NULL),
            POISE_OK);
    arena_free(&arena);
    return POISE_OK;
}

static void orders_held_rows_and_revisions_remain(void **state)
{
    struct world world;
    struct buf bodies[2] = {0}, notes[2] = {0}, changes = {0};
    struct fixture *f = *state;
    poise_state states[] = {state_of("c/x", 0), state_of("c/y", 1), state_of("c/z", 2)};
    const struct wire_states update = {.states = states, .count = 3};
    world_open(&world, f, 17);
    f->journal_bytes = 1;
    start(f, 1);
    struct store *store = f->store;
    const struct journal_batch order = {.producer = RESTATE_PRODUCER, .body = "order", .body_length = 5};
    const struct journal_batch plain = batch_of(f, POISE_REFUSAL_VALUE, &bodies[0], &notes[0]);
    const struct journal_batch locked = batch_of(f, POISE_REFUSAL_LOCKED, &bodies[1], &notes[1]);
    const struct journal_batch all[] = {plain, locked, plain, plain};
    assert_int_equal(wire_encode_states(WIRE_UPDATE, &update, &changes), POISE_OK);
    append(store, &order, 1, 1, NULL);
    append(store, all, 4, 1, NULL);
    append(store, all, 1, 9, &changes);
    append(store, all, 1, 11, NULL); /* nothing remains of it */
    uint64_t last = append(store, all, 1, 13, NULL);
    const struct store_mark mark = {.state_lsn = last, .generation = 1};
    assert_int_equal(store_checkpoint_begin(store, NULL), POISE_OK);
    assert_int_equal(store_checkpoint_commit(store, &mark, NULL), POISE_OK);
    struct compact *compact = open_compact(&world, 1 << 20);
    assert_int_equal(compact_some(&world, compact, true), last);
    trim(&world);
    struct remaining remaining = {0};
    struct store_reader *reader;
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    assert_int_equal(store_reader_first_lsn(reader), last); /* it stays, whatever there is room for */
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, NULL, count_record, &remaining, NULL),
                     POISE_OK);
    store_reader_close(reader);
    const struct remaining wanted = {
        .orders = 1, .held = 1, .other_batches = 2, .revisions = 2, .whole = 1, .rows = 8};
    assert_memory_equal(&remaining, &wanted, sizeof wanted);
    for (int i = 0; i < 2; i++) {
        buf_free(&bodies[i]);
        buf_free(&notes[i]);
    }
    buf_free(&changes);
    compact_close(compact);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(what_is_compacted_is_what_was_journaled),
        WRITER_TEST(dropped_rows_are_not_dumped_wherever_they_lie),
        WRITER_TEST(trimmed_rows_are_dumped_as_before),
        WRITER_TEST(an_abandoned_run_is_made_again),
        WRITER_TEST(orders_held_rows_and_revisions_remain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
