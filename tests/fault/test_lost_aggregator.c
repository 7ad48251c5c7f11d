/* The aggregator's writer after power cuts: it starts, what was acknowledged is in the journal, nothing was
 * published that is not; scores and producers are those of the journal alone, without any checkpoint. */
#include "lost.h"
#include <aggregator/writer.h>
#include <base/hash.h>
#include <model/scorecard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/world.h>
#include <wire/wire.h>

enum { POINTS = 1000, LIVES = 18, KILL_WITHIN = 150, STEPS = 60, PATH_BYTES = 320, POOL = 8, EPOCH = 3 };
enum { MINUTE = 60000 };
enum mark {
    MARK_OPENS,     /* a: with which definition */
    MARK_ACKED,     /* a: sequence */
    MARK_PUBLISHED, /* a: LSN */
};
static const int64_t start_ms = 1772323200000; /* 2026-03-01 */

/* ---- the definitions ---- */

static const char text[] =
    "scorecard: plant\n"
    "period: month\n"
    "perspectives:\n"
    "  - id: internal\n"
    "    objectives:\n"
    "      - id: quality\n"
    "        measures:\n"
    "          - {id: rows, input: m, aggregate: count, score: {linear: {from: 0, to: %d}}}\n"
    "          - {id: total, input: m, aggregate: sum, score: {linear: {from: 0, to: 900}}}\n"
    "          - {id: top, input: m, aggregate: max, score: {linear: {from: 0, to: 90}}}\n"
    "          - {id: last, input: m, aggregate: last, score: {linear: {from: 0, to: 90}}}\n";

static struct scorecard *make_card(unsigned which)
{
    char yaml[2 * sizeof text];
    struct scorecard *card = NULL;
    struct problems problems = {0};
    int length = snprintf(yaml, sizeof yaml, text, which ? 500 : 1000);
    if (scorecard_read_bytes("plant", yaml, (size_t)length, &card, &problems) != POISE_OK) {
        problems_print(&problems, stderr);
        fail();
    }
    problems_free(&problems);
    return card;
}

/* ---- a writer, and what stands around it ---- */

struct work {
    char path[PATH_BYTES];
    uint64_t seed;
    uint64_t drawn; /* numbers */
    bool over;      /* the life is: a sync failed */
    struct scorecard *card;
    const struct scorecard *cards[1];
    struct store *store;
    struct writer *writer;
    struct ring from_ingest, to_ingest, to_stream, to_restate, restated;
    struct net_wake *wake;
    struct stats stats;
    struct log log;
    struct clock clock;
    int64_t now_ms;
    struct wire_builder *builder;
    struct batch batches[POOL];
    uint64_t seq, acked; /* of the last batch that was handed over, that came back */
    uint64_t coming;     /* batches, while the writer works */
    struct buf shown;    /* states that were published, a line each */
};

static uint64_t draw(struct work *work, uint64_t below)
{
    return hash_mix(work->seed, work->drawn++) % below;
}

static int64_t wall_ms(void *context)
{
    return ((struct work *)context)->now_ms;
}

static void hand_over(struct work *work);

/* What comes while the writer works is why it sends what it has to the committer. */
static int64_t monotonic_us(void *context)
{
    struct work *work = context;
    if (work->coming > 0 && ring_count(&work->from_ingest) == 0) {
        work->coming--;
        hand_over(work);
    }
    return work->now_ms * 1000;
}

static void make_work(struct work *work, const char *directory, unsigned definition)
{
    snprintf(work->path, sizeof work->path, "%s/store", directory);
    work->card = make_card(definition);
    work->cards[0] = work->card;
    work->now_ms = start_ms;
    work->clock = (struct clock){.wall_ms = wall_ms, .monotonic_us = monotonic_us, .context = work};
    work->log = (struct log){.clock = &work->clock};
    work->builder = wire_builder_open();
    assert_true(work->builder && ring_init(&work->from_ingest, POOL) && ring_init(&work->to_ingest, POOL) &&
                ring_init(&work->to_stream, POOL) && ring_init(&work->to_restate, POOL) &&
                ring_init(&work->restated, POOL));
    assert_int_equal(net_wake_open(&work->wake, NULL), POISE_OK);
}

static void end_work(struct work *work)
{
    writer_close(work->writer);
    store_close(work->store);
    for (int i = 0; i < POOL; i++) {
        batch_free(&work->batches[i]);
    }
    for (struct changes *changes; (changes = ring_pop(&work->to_stream));) {
        changes_free(changes);
    }
    wire_builder_close(work->builder);
    net_wake_close(work->wake);
    ring_free(&work->from_ingest);
    ring_free(&work->to_ingest);
    ring_free(&work->to_stream);
    ring_free(&work->to_restate);
    ring_free(&work->restated);
    scorecard_free(work->card);
    buf_free(&work->shown);
}

/* A sync that fails ends the process; nothing else may go wrong. */
static bool did(struct work *work, poise_code code, const poise_error *err)
{
    if (code == POISE_EIO) {
        work->over = true;
    } else if (code != POISE_OK) {
        fail_msg("%s", err->text);
    }
    return code == POISE_OK;
}

/* ---- what it shows ---- */

struct line {
    char *name, *text; /* of a node at an org, and its state */
    size_t number;
};

static int by_name(const void *a, const void *b)
{
    const struct line *one = a, *other = b;
    int order = strcmp(one->name, other->name);
    return order ? order : (one->number > other->number) - (one->number < other->number);
}

static char *text_of(struct buf *buf)
{
    buf_put_u8(buf, 0);
    assert_false(buf->failed);
    return (char *)buf->data;
}

static struct line line_of(const poise_state *state, size_t number)
{
    struct buf name = {0}, shown = {0};
    buf_put(&name, state->org, strlen(state->org) + 1); /* orgs have no zeros */
    name.data[name.length - 1] = ' ';
    buf_put(&name, state->node, strlen(state->node));
    dump_state(state, &shown);
    return (struct line){.name = text_of(&name), .text = text_of(&shown), .number = number};
}

/* Revisions of before are told again, or not: they are no states. */
static size_t add_lines(const struct changes *changes, struct line **lines, size_t count)
{
    for (; changes; changes = changes->next) {
        *lines = realloc(*lines, (count + changes->count + 1) * sizeof **lines);
        assert_non_null(*lines);
        for (size_t i = 0; i < changes->count; i++) {
            if (changes->states[i].revision == 0) {
                (*lines)[count] = line_of(&changes->states[i], count);
                count++;
            }
        }
    }
    return count;
}

/* The last that is shown of each node: before anybody is let in a start shows how it was settled last, then
 * what is due since. */
static void take_shown(struct work *work)
{
    struct line *lines = NULL;
    size_t count = 0;
    for (struct changes *changes; (changes = ring_pop(&work->to_stream));) {
        recorder_mark(MARK_PUBLISHED, changes->lsn, 0);
        count = add_lines(changes, &lines, count);
        changes_free(changes);
    }
    if (count > 0) {
        qsort(lines, count, sizeof *lines, by_name);
    }
    work->shown.length -= work->shown.length > 0; /* the zero */
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count || strcmp(lines[i].name, lines[i + 1].name) != 0) {
            buf_put(&work->shown, lines[i].text, strlen(lines[i].text));
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(lines[i].name);
        free(lines[i].text);
    }
    buf_put_u8(&work->shown, 0);
    free(lines);
}

/* ---- lives ---- */

static void open_store(struct work *work)
{
    struct store_options options = {
        .path = work->path, .map_bytes = 256 << 10, .free_bytes = 4096, .new_id = "sixteen bytes id"};
    poise_error err = {0};
    if (store_open(&options, &work->store, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

static uint64_t acknowledged(struct work *work)
{
    struct ledger ledger;
    assert_int_equal(writer_ledger(work->writer, &ledger, NULL), POISE_OK);
    const struct ledger_entry *entry = ledger_find(&ledger, "p", EPOCH);
    uint64_t seq = entry ? entry->seq : 0;
    ledger_free(&ledger);
    return seq;
}

/* As ingest does: it tells the producer up to where his batches are there. */
static bool start(struct work *work)
{
    struct writer_options options = {.cards = work->cards,
                                     .card_count = 1,
                                     .store = work->store,
                                     .from_ingest = &work->from_ingest,
                                     .to_ingest = &work->to_ingest,
                                     .to_stream = &work->to_stream,
                                     .to_restate = &work->to_restate,
                                     .restated = &work->restated,
                                     .ingest_wake = work->wake,
                                     .stream_wake = work->wake,
                                     .committer_wake = work->wake,
                                     .writer_wake = work->wake,
                                     .stats = &work->stats,
                                     .log = &work->log,
                                     .clock = &work->clock,
                                     .event_clock = true,
                                     .settle_ms = 50,
                                     .checkpoint_ms = 5000,
                                     .max_orgs = 10,
                                     .max_series = 1000};
    poise_error err = {0};
    if (!did(work, writer_open(&options, &work->writer, &err), &err)) {
        return false;
    }
    work->seq = work->acked = acknowledged(work);
    recorder_mark(MARK_ACKED, work->acked, 0);
    buf_reset(&work->shown);
    take_shown(work);
    return true;
}

/* Row `i` of batch `seq` is always the same: mostly in order, some late, some corrected or taken back. */
static void add_row(struct work *work, uint64_t seq, uint64_t i)
{
    char org[16], key[16];
    uint64_t chance = hash_mix(seq, i);
    snprintf(org, sizeof org, "line-%d", (int)(chance % 4));
    snprintf(key, sizeof key, "k%d", (int)(chance / 4 % 20));
    poise_measurement row = {.measure = chance / 80 % 20 ? "m" : "unknown",
                             .org = org,
                             .time_ms = start_ms + (int64_t)seq * 90 * MINUTE + (int64_t)i,
                             .value = (double)(chance / 1600 % 1000) / 10,
                             .of = 1};
    if (chance / 7 % 3 == 0) {
        row.key = key;
        row.retract = chance / 11 % 4 == 0;
    }
    if (chance / 13 % 8 == 0) {
        row.time_ms -= (int64_t)(chance / 17 % (40 * 24)) * 60 * MINUTE;
    }
    assert_int_equal(wire_builder_add(work->builder, &row), POISE_OK);
}

static void make_body(struct work *work, uint64_t seq, struct buf *out)
{
    for (uint64_t i = hash_mix(seq, 99) % 40 + 1; i > 0; i--) {
        add_row(work, seq, i);
    }
    assert_int_equal(wire_builder_finish(work->builder, EPOCH, seq, out), POISE_OK);
}

static void hand_over(struct work *work)
{
    uint64_t seq = work->seq + 1;
    struct batch *batch = &work->batches[seq % POOL];
    batch_reset(batch);
    batch->producer = "p";
    batch->epoch = EPOCH;
    batch->seq = seq;
    make_body(work, seq, &batch->body);
    assert_int_equal(batch_decode(batch, 1000), POISE_OK);
    batch->hash = wire_batch_hash(batch->body.data, batch->body.length);
    assert_true(ring_push(&work->from_ingest, batch));
    work->seq = seq;
}

/* What comes back is acknowledged, what is in the stream's queue is seen. */
static void take_what_is_done(struct work *work)
{
    for (struct batch *batch; (batch = ring_pop(&work->to_ingest));) {
        work->acked = batch->seq;
        recorder_mark(MARK_ACKED, work->acked, 0);
    }
    if (!work->over) {
        take_shown(work);
    }
}

static void step(struct work *work)
{
    poise_error err = {0};
    (void)did(work, writer_step(work->writer, &err), &err);
    take_what_is_done(work);
    if (writer_commits(work->writer) && !work->over) {
        writer_commit(work->writer);
        take_what_is_done(work);
    }
}

/* The committer is slow: the writer does what it can meanwhile. */
static void overlap(struct work *work)
{
    poise_error err = {0};
    hand_over(work);
    work->coming = 1 + draw(work, POOL - 4);
    for (int i = 0; i < 40 && !work->over && (work->acked < work->seq || work->coming > 0); i++) {
        work->now_ms += (int64_t)draw(work, 40);
        if (writer_commits(work->writer) && draw(work, 3) == 0) {
            writer_commit(work->writer);
        } else {
            (void)did(work, writer_step(work->writer, &err), &err);
        }
        take_what_is_done(work);
    }
    work->coming = 0;
    for (int i = 0; i < 4 && !work->over; i++) {
        step(work);
    }
    assert_true(work->over || (work->acked == work->seq && !writer_commits(work->writer)));
}

static void commit(struct work *work)
{
    for (uint64_t count = 1 + draw(work, 3); count > 0; count--) {
        hand_over(work);
    }
    work->now_ms += (int64_t)draw(work, 100);
    for (int i = 0; i < 20 && !work->over && work->acked < work->seq; i++) {
        step(work);
    }
    assert_true(work->over || work->acked == work->seq);
}

static void settle(struct work *work)
{
    work->now_ms += 60;
    step(work);
}

static void checkpoint(struct work *work)
{
    work->now_ms += 5001;
    step(work);
    if (!work->over) {
        step(work);
    }
}

/* It is tried again when there is room. */
static void commit_to_full_disk(struct work *work)
{
    recorder_fill_disk(draw(work, 9000));
    hand_over(work);
    step(work);
    recorder_empty_disk();
    for (int i = 0; i < 3 && !work->over; i++) {
        work->now_ms += 1001;
        step(work);
    }
    assert_true(work->over || work->acked == work->seq);
}

static void work_without_sync(struct work *work)
{
    recorder_fail_sync(1 + draw(work, 4));
    for (int i = 0; i < 3 && !work->over; i++) {
        (i == 1 ? checkpoint : i == 0 ? commit : overlap)(work);
    }
    recorder_fail_sync(0);
}

static const struct {
    unsigned often;
    void (*do_it)(struct work *work);
} steps[] = {{30, commit},          {20, overlap}, {10, settle}, {10, checkpoint}, {4, commit_to_full_disk},
             {2, work_without_sync}};

static void make_step(struct work *work)
{
    unsigned all = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        all += steps[i].often;
    }
    uint64_t which = draw(work, all);
    size_t at = 0;
    while (which >= steps[at].often) {
        which -= steps[at++].often;
    }
    steps[at].do_it(work);
}

static enum lost_life live(const char *directory, uint64_t seed, unsigned life)
{
    struct work *work = calloc(1, sizeof *work);
    poise_error err = {0};
    assert_non_null(work);
    work->seed = hash_mix(seed, life);
    unsigned definition = life / 3 % 2;
    make_work(work, directory, definition);
    recorder_mark(MARK_OPENS, definition, 0);
    open_store(work);
    if (start(work)) {
        for (unsigned i = 0; i < STEPS && !work->over; i++) {
            make_step(work);
        }
    }
    if (!work->over) {
        (void)did(work, writer_finish(work->writer, &err), &err);
    }
    bool over = work->over;
    end_work(work);
    free(work);
    return over ? LIFE_AGAIN : LIFE_LAST;
}

/* ---- after the power cut ---- */

struct copying { /* of a journal, while it is looked at */
    struct work *work;
    struct store *to;
    uint64_t seq; /* of the last batch */
};

static poise_code copy_record(void *visitor, const struct journal_record *record)
{
    struct copying *copying = visitor;
    for (size_t i = 0; i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        struct buf wanted = {0};
        if (strcmp(batch->producer, "p") != 0) {
            continue;
        }
        assert_int_equal(batch->seq, ++copying->seq);
        make_body(copying->work, batch->seq, &wanted);
        assert_int_equal(batch->body_length, wanted.length);
        assert_memory_equal(batch->body, wanted.data, wanted.length);
        buf_free(&wanted);
    }
    uint64_t lsn;
    assert_int_equal(store_append(copying->to, record, &lsn, NULL), POISE_OK);
    assert_int_equal(lsn, record->lsn);
    return POISE_OK;
}

/* Another store, with the same journal and nothing else. */
static void copy_journal(struct work *from, struct work *to)
{
    struct store_reader *reader = NULL;
    struct copying copying = {.work = from, .to = to->store};
    poise_error err = {0};
    assert_int_equal(store_reader_open(from->store, &reader, &err), POISE_OK);
    if (store_read_journal(reader, 1, UINT64_MAX, NULL, copy_record, &copying, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    store_reader_close(reader);
    assert_int_equal(store_last_lsn(to->store), store_last_lsn(from->store));
    from->seq = copying.seq;
}

static uint64_t last_of(const struct lost_marks *marks, enum mark kind)
{
    uint64_t last = 0;
    for (size_t i = 0; i < marks->until; i++) {
        if (marks->marks[i].mark == kind && (kind == MARK_OPENS || marks->marks[i].a > last)) {
            last = marks->marks[i].a;
        }
    }
    return last;
}

/* What comes later, such as a correction of what was there, finds all that it needs. */
static void go_on(struct work *work)
{
    buf_reset(&work->shown);
    hand_over(work);
    work->now_ms += 5001;
    for (int i = 0; i < 4; i++) { /* checkpoints too, in the way */
        step(work);
    }
    assert_true(!work->over && work->acked == work->seq);
}

static void check(const char *directory, const struct lost_marks *marks, uint64_t seed)
{
    struct work *work = calloc(1, sizeof *work), *reference = calloc(1, sizeof *reference);
    char beside[PATH_BYTES];
    unsigned definition = (unsigned)last_of(marks, MARK_OPENS);
    uint64_t acked = last_of(marks, MARK_ACKED), published = last_of(marks, MARK_PUBLISHED);
    assert_true(work && reference);
    work->seed = seed;
    snprintf(beside, sizeof beside, "%s/reference", directory);
    make_work(work, directory, definition);
    make_work(reference, beside, definition);
    open_store(work);
    open_store(reference);
    copy_journal(work, reference);
    uint64_t journaled = work->seq;
    if (journaled < acked || store_last_lsn(work->store) < published) {
        fail_msg("batches up to %d and records up to %d are there, but %d was acknowledged and %d published",
                 (int)journaled, (int)store_last_lsn(work->store), (int)acked, (int)published);
    }
    assert_true(start(work) && start(reference));
    assert_int_equal(work->seq, journaled);
    assert_int_equal(reference->seq, journaled);
    assert_same_text(&work->shown, &reference->shown);
    for (int i = 0; i < 3; i++) {
        go_on(work);
        go_on(reference);
        assert_same_text(&work->shown, &reference->shown);
    }
    assert_true(work->seq == journaled + 3 && acknowledged(work) == work->seq);
    end_work(work);
    end_work(reference);
    free(work);
    free(reference);
}

static void test_power_cuts(void **state)
{
    (void)state;
    lost_run(&(struct lost_test){.name = "aggregator",
                                 .points = POINTS,
                                 .lives = LIVES,
                                 .kill_within = KILL_WITHIN,
                                 .live = live,
                                 .check = check});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_power_cuts, lost_tell)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
