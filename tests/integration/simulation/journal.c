#include "simulation.h"

#include <aggregator/erasures.h>
#include <aggregator/held.h>
#include <aggregator/rescore.h>
#include <base/text.h>
#include <engine/report.h>
#include <stdlib.h>
#include <store/notes.h>
#include <string.h>
#include <unit/engine/plain.h>
#include <wire/wire.h>

struct record {
    uint64_t lsn, digest;
    int64_t as_of_ms;
    size_t row_end; /* rows up to and with this record's */
    bool settled;
    const struct card_set *set; /* of the aggregator that wrote it */
};
struct term { /* a definition, or a !rescore of the current one, of a scorecard */
    uint64_t lsn;
    const struct scorecard *card;
    uint64_t number; /* 0: a !rescore */
    int64_t after_ms, closed_ms;
    const char *id;
};
enum { SEEN_SETS_MAX = 8, TERMS_MAX = 2000, ROWS_MAX = 40000, RECORDS_MAX = 8000 };

static struct {
    struct row *rows;
    struct record *records;
    size_t row_count, record_count;
    struct arena memory, scratch;
    struct view trail;
    bool trail_broken; /* the definitions changed: what is open was scored again, which no change says */
    const struct card_set *opening, *seen[SEEN_SETS_MAX];
    size_t seen_count;
    struct term *terms;
    size_t term_count;
    struct plain plain; /* what the notes of batches must say */
    uint64_t first;     /* record that is not trimmed, on the disk */
    uint64_t settle_lsn;
    struct buf changes; /* of the settle at hand, of which more are to come */
} journal;

void journal_start(void)
{
    memset(&journal, 0, sizeof journal);
    journal.rows = calloc(ROWS_MAX, sizeof *journal.rows);
    journal.records = calloc(RECORDS_MAX, sizeof *journal.records);
    journal.terms = calloc(TERMS_MAX, sizeof *journal.terms);
    assert_true(journal.rows && journal.records && journal.terms);
    failures_start();
    erased_start();
    frozen_start();
}

void journal_stop(void)
{
    frozen_stop();
    view_free(&journal.trail);
    plain_free(&journal.plain);
    buf_free(&journal.changes);
    arena_free(&journal.memory);
    arena_free(&journal.scratch);
    free(journal.rows);
    free(journal.records);
    free(journal.terms);
    memset(&journal, 0, sizeof journal);
}

uint64_t journal_lsn(void)
{
    return journal.record_count;
}

uint64_t journal_settle_lsn(void)
{
    return journal.settle_lsn;
}

int64_t journal_as_of_ms(void)
{
    return journal.record_count ? journal.records[journal.record_count - 1].as_of_ms : INT64_MIN;
}

struct view *journal_trail(void)
{
    return journal.trail_broken ? NULL : &journal.trail;
}

void journal_trail_from(const struct view *view)
{
    view_copy(view, NULL, &journal.trail);
    journal.trail_broken = false;
}

/* ---- rows ---- */

static const char *keep(const char *text)
{
    const char *kept = text ? arena_strndup(&journal.memory, text, strlen(text)) : NULL;
    assert_true(kept || !text);
    return kept;
}

static poise_measurement keep_row(const struct wire_batch *batch, size_t at)
{
    poise_measurement row = wire_batch_row(batch, at);
    row.measure = keep(row.measure);
    row.org = keep(row.org);
    row.source = keep(row.source);
    row.key = keep(row.key);
    return row;
}

static bool waits(const struct row *row)
{
    return row->refusal == POISE_REFUSAL_LOCKED && !row->let_in && !row->erased_lsn;
}

/* A restated row is one that a lock held up; it is let in once. */
static void let_in(const poise_measurement *measurement)
{
    for (size_t i = 0; i < journal.row_count; i++) {
        struct row *row = &journal.rows[i];
        if (waits(row) && measurement_same(&row->measurement, measurement)) {
            row->let_in = true;
            return;
        }
    }
    fail_msg("restated: a measurement of %s that no lock holds", measurement->measure);
}

void journal_all_in(const struct wire_restate *order)
{
    for (size_t i = 0; i < order->place; i++) {
        if (waits(&journal.rows[i]) && held_is_named(order, &journal.rows[i].measurement)) {
            fail_msg("row %zu, of %s, is held after an order to let it in", i + 1,
                     journal.rows[i].measurement.measure);
        }
    }
}

uint64_t journal_restated(void)
{
    uint64_t restated = 0;
    for (size_t i = 0; i < journal.row_count; i++) {
        restated += journal.rows[i].let_in;
    }
    return restated;
}

size_t journal_rows(struct row **ret_rows)
{
    *ret_rows = journal.rows;
    return journal.row_count;
}

bool journal_row_stands(const struct row *row)
{
    return plain_stands(&journal.plain, &row->measurement, (uint64_t)(row - journal.rows) + 1);
}

void journal_erase(struct row *row, uint64_t lsn)
{
    row->erased_lsn = lsn;
    if (row->refusal == POISE_REFUSAL_NONE) {
        plain_erase(&journal.plain, &row->measurement, (uint64_t)(row - journal.rows) + 1);
    }
}

void journal_rows_of(uint64_t lsn, uint64_t *ret_first, uint64_t *ret_end)
{
    *ret_first = lsn > 1 ? journal.records[lsn - 2].row_end : 0;
    *ret_end = journal.records[lsn - 1].row_end;
}

bool journal_accepted(uint64_t ordinal)
{
    return ordinal > 0 && ordinal <= journal.row_count &&
           (journal.rows[ordinal - 1].refusal == POISE_REFUSAL_NONE || journal.rows[ordinal - 1].order);
}

/* The scorecard of a definition, of those that were ever configured. */
static const struct scorecard *find_card(const char *id, uint64_t hash)
{
    for (size_t i = 0; i < journal.seen_count; i++) {
        const struct card_set *set = journal.seen[i];
        for (size_t c = 0; c < set->count; c++) {
            if (set->cards[c]->hash == hash && strcmp(set->cards[c]->id, id) == 0) {
                return set->cards[c];
            }
        }
    }
    fail_msg("%s was defined as nobody configured it", id);
    return NULL;
}

/* As docs/storage.md says. */
static void note_order(const struct journal_batch *batch, uint64_t lsn)
{
    struct cursor in = cursor_of(batch->body, batch->body_length);
    while (cursor_left(&in) > 0) {
        size_t length;
        uint8_t kind = cursor_u8(&in);
        const char *text = cursor_text(&in, &length);
        if (kind == 'w') {
            continue;
        }
        struct term term = {.lsn = lsn, .id = arena_strndup(&journal.memory, text, length)};
        assert_non_null(term.id);
        term.after_ms = cursor_svarint(&in);
        if (kind == 'd') {
            term.number = cursor_varint(&in);
            term.closed_ms = cursor_svarint(&in);
            term.card = find_card(term.id, cursor_u64(&in));
            text = cursor_text(&in, &length);
            assert_int_equal(length, term.card->text_length);
            assert_memory_equal(text, term.card->text, length);
        } else {
            assert_int_equal(kind, 'r');
        }
        assert_true(journal.term_count < TERMS_MAX);
        journal.terms[journal.term_count++] = term;
    }
    assert_false(in.failed);
}

/* Its rows were just noted. */
static void check_notes(const struct journal_batch *batch, const struct wire_batch *rows)
{
    struct journal_notes notes;
    size_t gone_count = 0;
    uint32_t *numbers = calloc(rows->series_count + 1, sizeof *numbers);
    assert_non_null(numbers);
    assert_int_equal(notes_decode(batch, &journal.scratch, &notes, NULL), POISE_OK);
    assert_int_equal(notes.series_count, rows->series_count);
    memset(numbers, 0xff, rows->series_count * sizeof *numbers); /* JOURNAL_NO_SERIES */
    for (uint32_t at = 0; at < rows->rows; at++) {
        size_t ordinal = journal.row_count - rows->rows + at + 1;
        const struct row *row = &journal.rows[ordinal - 1];
        struct engine_gone gone;
        bool went = false;
        if (row->refusal == POISE_REFUSAL_NONE) {
            numbers[rows->row_series[at]] =
                plain_accept(&journal.plain, &row->measurement, ordinal, &went, &gone);
        }
        if (went) {
            assert_true(gone_count < notes.gone_count);
            const struct journal_gone *noted = &notes.gone[gone_count++];
            assert_true(noted->row == at && noted->series == gone.series && noted->time_ms == gone.time_ms &&
                        noted->ordinal == gone.ordinal);
        }
    }
    assert_int_equal(notes.gone_count, gone_count);
    assert_memory_equal(notes.series, numbers, rows->series_count * sizeof *numbers);
    free(numbers);
}

static void note_batch(const struct journal_batch *batch, uint64_t lsn, int64_t as_of_ms)
{
    struct wire_batch rows = {0};
    bool restated = strcmp(batch->producer, RESTATE_PRODUCER) == 0;
    bool rescored = strcmp(batch->producer, RESCORE_PRODUCER) == 0;
    if (rescored || strcmp(batch->producer, DEFINE_PRODUCER) == 0) {
        assert_int_equal(batch->rows, rescored);
        note_order(batch, lsn);
    }
    if (strcmp(batch->producer, ERASE_PRODUCER) == 0) {
        assert_int_equal(batch->rows, 1);
        erased_note(batch, lsn);
        rescored = true;
    }
    if (rescored) { /* it takes the place of a row */
        assert_true(journal.row_count < ROWS_MAX);
        journal.rows[journal.row_count++] = (struct row){.refusal = POISE_REFUSAL_COUNT, .order = true};
        return;
    }
    if (strcmp(batch->producer, FREEZE_PRODUCER) == 0) {
        frozen_note(batch, as_of_ms);
        return;
    }
    if (strcmp(batch->producer, DEFINE_PRODUCER) == 0) {
        return;
    }
    if (restated && batch->rows == 0) { /* the order */
        return;
    }
    arena_reset(&journal.scratch);
    assert_int_equal(wire_decode_batch(batch->body, batch->body_length, &journal.scratch, &rows, NULL),
                     POISE_OK);
    assert_int_equal(rows.rows, batch->rows);
    if (rows.loss.last_seq) {
        assert_int_equal(batch->seq, rows.loss.last_seq);
        if (strcmp(batch->producer, FORKED_PRODUCER) == 0) {
            forks_lost(&rows.loss);
        } else {
            producer_lost(batch->producer, rows.seq, &rows.loss);
        }
        return;
    }
    assert_true(journal.row_count + rows.rows < ROWS_MAX);
    poise_measurement *measurements = calloc(rows.rows + 1, sizeof *measurements);
    poise_refusal *refusals = calloc(rows.rows + 1, sizeof *refusals);
    assert_true(measurements && refusals);
    for (size_t i = 0; i < batch->refused_count; i++) {
        assert_true(batch->refused[i] < rows.rows);
        refusals[batch->refused[i]] = batch->reasons[i];
    }
    for (size_t i = 0; i < rows.rows; i++) {
        measurements[i] = keep_row(&rows, i);
        if (restated) {
            let_in(&measurements[i]);
        }
        journal.rows[journal.row_count++] =
            (struct row){.measurement = measurements[i], .refusal = refusals[i]};
    }
    if (rows.rows > 0) {
        check_notes(batch, &rows);
    }
    if (strcmp(batch->producer, FORKED_PRODUCER) == 0) {
        forks_journaled(measurements, refusals, rows.rows);
    } else if (!restated) {
        producer_journaled(batch->producer, batch->seq, measurements, refusals, rows.rows);
    }
    free(measurements);
    free(refusals);
}

/* ---- changes ---- */

static poise_code note_change(void *visitor, const poise_state *state)
{
    (void)visitor;
    if (state->revision) {
        revision_note(state);
    } else {
        view_set(&journal.trail, state);
    }
    return POISE_OK;
}

/* They count when the settle is whole: those of one that a crash has cut short come again. */
static void note_changes(const struct journal_record *record, uint64_t lsn)
{
    struct buf *changes = &journal.changes;
    if (record->settled) {
        journal.settle_lsn = lsn;
        buf_reset(changes);
    }
    buf_put(changes, record->changes, record->changes_length);
    assert_false(changes->failed);
    if (record->more || record->changes_length == 0) {
        return;
    }
    arena_reset(&journal.scratch);
    assert_int_equal(
        wire_each_change(changes->data, changes->length, &journal.scratch, note_change, NULL, NULL),
        POISE_OK);
    buf_reset(changes);
}

/* ---- records ---- */

/* An order has let in all that it names, up to the place that it says. */
static void note_restated(const struct journal_record *record)
{
    const struct journal_batch *batch = record->batches;
    struct wire_restate order;
    if (record->batch_count == 0 || batch->rows > 0 || strcmp(batch->producer, RESTATE_PRODUCER) != 0) {
        return;
    }
    arena_reset(&journal.scratch);
    assert_int_equal(wire_decode_restate(batch->body, batch->body_length, &journal.scratch, &order, NULL),
                     POISE_OK);
    assert_true(order.place > 0 && order.place < record->first_ordinal);
    journal_all_in(&order);
}

static uint64_t mix_bytes(uint64_t digest, const void *bytes, size_t length)
{
    return hash_mix(digest, length ? hash64(bytes, length, 1) : 0);
}

static uint64_t digest_of(const struct journal_record *record)
{
    uint64_t digest = hash_mix((uint64_t)record->as_of_ms, record->first_ordinal);
    digest = hash_mix(digest, (uint64_t)record->settled << 2 | (uint64_t)record->revised << 1 |
                                  (uint64_t)record->time_last);
    digest = mix_bytes(digest, record->changes, record->changes_length);
    for (size_t i = 0; i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        digest = mix_bytes(digest, batch->producer, strlen(batch->producer));
        digest = mix_bytes(digest, batch->refused, batch->refused_count * sizeof *batch->refused);
        digest = mix_bytes(digest, batch->reasons, batch->refused_count);
        digest = mix_bytes(digest, batch->body, batch->body_length);
        digest = mix_bytes(digest, batch->notes, batch->notes_length);
        digest = hash_mix(hash_mix(digest, batch->epoch), hash_mix(batch->seq, batch->hash));
    }
    return digest;
}

void journal_note(const struct journal_record *record, uint64_t lsn)
{
    assert_int_equal(lsn, journal.record_count + 1);
    assert_int_equal(record->first_ordinal, journal.row_count + 1);
    assert_true(record->as_of_ms >= journal_as_of_ms());
    assert_true(journal.record_count < RECORDS_MAX);
    for (size_t i = 0; i < record->batch_count; i++) {
        note_batch(&record->batches[i], lsn, record->as_of_ms);
    }
    note_restated(record);
    note_changes(record, lsn);
    journal.records[journal.record_count++] = (struct record){.lsn = lsn,
                                                              .digest = digest_of(record),
                                                              .as_of_ms = record->as_of_ms,
                                                              .row_end = journal.row_count,
                                                              .settled = record->settled,
                                                              .set = journal.opening};
}

static poise_code is_record(void *visitor, const struct journal_record *record)
{
    uint64_t *read = visitor;
    assert_true(record->lsn > *read && record->lsn <= journal.record_count);
    const struct record *known = &journal.records[record->lsn - 1];
    assert_int_equal(record->lsn, known->lsn);
    assert_true(record->trimmed || digest_of(record) == known->digest);
    assert_true(record->trimmed || *read == 0 || record->lsn == *read + 1 || *read < journal.first);
    *read = record->lsn;
    return POISE_OK;
}

void journal_on_disk(const char *path)
{
    struct store_options options = {.path = path, .read_only = true};
    struct store *store;
    struct store_reader *reader;
    uint64_t read = 0;
    poise_error err = {0};
    poise_code code = store_open(&options, &store, &err);
    if (code == POISE_ENOTFOUND) {
        assert_int_equal(journal.record_count, 0);
        return;
    }
    if (code != POISE_OK) {
        fail_msg("the store does not open: %s", err.text);
    }
    assert_int_equal(store_reader_open(store, &reader, NULL), POISE_OK);
    journal.first = store_reader_first_lsn(reader);
    assert_int_equal(store_read_journal(reader, 1, UINT64_MAX, NULL, is_record, &read, NULL), POISE_OK);
    assert_int_equal(read, journal.record_count);
    erased_on_disk(store, reader);
    frozen_on_disk(reader, journal.first);
    store_reader_close(reader);
    store_close(store);
}

void journal_tell(void)
{
    size_t counts[POISE_REFUSAL_COUNT] = {0}, unsettled = 0;
    for (size_t i = 0; i < journal.record_count; i++) {
        unsettled += !journal.records[i].settled;
    }
    for (size_t i = 0; i < journal.row_count; i++) {
        if (!journal.rows[i].order) {
            counts[journal.rows[i].refusal]++;
        }
    }
    fprintf(stderr, "%zu records, %zu not settled, those before %llu trimmed, %zu revisions, rows:",
            journal.record_count, unsettled, (unsigned long long)journal.first, revisions_count());
    for (int i = 0; i < POISE_REFUSAL_COUNT; i++) {
        if (counts[i]) {
            fprintf(stderr, " %zu %s", counts[i], poise_refusal_name((poise_refusal)i));
        }
    }
    fprintf(stderr, "\n%zu orders to freeze, of %zu rows, %zu of them in runs\n", frozen_orders(),
            frozen_rows(), frozen_left());
}

/* ---- definitions and what they make of the rows ---- */

void journal_opens(const struct card_set *cards)
{
    journal.trail_broken |= journal.opening && cards != journal.opening;
    journal.opening = cards;
    for (size_t i = 0; i < journal.seen_count; i++) {
        if (journal.seen[i] == cards) {
            return;
        }
    }
    assert_true(journal.seen_count < SEEN_SETS_MAX);
    journal.seen[journal.seen_count++] = cards;
}

static const struct scorecard *find_configured(const struct card_set *set, const char *path)
{
    size_t length = strcspn(path, "/");
    for (size_t c = 0; c < set->count; c++) {
        const struct scorecard *card = set->cards[c];
        if (strlen(card->id) == length && memcmp(card->id, path, length) == 0) {
            return card;
        }
    }
    return NULL;
}

size_t journal_away(const char *path)
{
    size_t away = 0;
    for (size_t i = 0; i < journal.record_count; i++) {
        away += !find_configured(journal.records[i].set, path);
    }
    return away;
}

const struct scorecard *journal_card(const poise_state *state)
{
    size_t length = strcspn(state->node, "/");
    for (size_t i = journal.term_count; i-- > 0;) {
        const struct term *term = &journal.terms[i];
        if (term->number == state->definition && strlen(term->id) == length &&
            memcmp(term->id, state->node, length) == 0) {
            return term->card;
        }
    }
    return find_configured(journal.opening,
                           state->node); /* the first one, which is journaled with the first record */
}

const struct card_set *journal_set(uint64_t lsn)
{
    return lsn ? journal.records[lsn - 1].set : journal.opening;
}

const struct card_set *journal_opening(void)
{
    return journal.opening;
}

/* The definitions of a scorecard as a record left them, the oldest first. */
static size_t terms_of(const char *id, uint64_t lsn, const struct scorecard **cards,
                       struct engine_term *terms)
{
    size_t count = 0;
    for (size_t i = 0; i < journal.term_count && journal.terms[i].lsn <= lsn; i++) {
        const struct term *term = &journal.terms[i];
        if (strcmp(term->id, id) != 0) {
            continue;
        }
        const struct scorecard *card = term->number ? term->card : cards[count - 1];
        uint64_t number = term->number ? term->number : terms[count - 1].number;
        count -= term->number == 0;
        while (count > 0 && terms[count - 1].after_ms >= term->after_ms) {
            count--;
        }
        if (count > 0) {
            terms[count - 1].until_ms = term->after_ms;
        }
        assert_true(count < DEFINITIONS_MAX);
        cards[count] = card;
        terms[count++] = (struct engine_term){.after_ms = term->after_ms,
                                              .until_ms = INT64_MAX,
                                              .number = number,
                                              .closed_ms = term->closed_ms};
    }
    return count;
}

/* As if it had never come, but for its org and its key. */
static void give(struct engine *engine, const struct row *row, uint64_t erased_lsn)
{
    bool erased = row->erased_lsn && row->erased_lsn <= erased_lsn;
    const poise_measurement *m = &row->measurement;
    struct engine_series *series = NULL;
    poise_refusal refusal = row->refusal;
    if (refusal == POISE_REFUSAL_NONE) {
        assert_int_equal(
            engine_series(engine, m->measure, m->org, m->source ? m->source : "", &series, &refusal, NULL),
            POISE_OK);
    }
    if (series && erased) {
        assert_int_equal(engine_see(engine, series, NULL), POISE_OK);
        series = m->key ? series : NULL;
    }
    if (!series) {
        engine_skip(engine);
        return;
    }
    const struct engine_row values = {.time_ms = m->time_ms,
                                      .value = m->value,
                                      .of = m->of,
                                      .key = m->key,
                                      .key_length = m->key ? strlen(m->key) : 0,
                                      .seq = m->seq,
                                      .retract = m->retract || erased};
    assert_int_equal(engine_apply(engine, series, &values, ENGINE_LET_IN, &refusal, NULL), POISE_OK);
}

static poise_code show(void *visitor, const poise_state *state)
{
    view_set(visitor, state);
    return POISE_OK;
}

static struct engine *engine_without(uint64_t erased_lsn, uint64_t lsn, int64_t as_of_ms,
                                     const struct card_set *set)
{
    const struct scorecard *cards[CARDS * DEFINITIONS_MAX];
    struct engine_term terms[CARDS * DEFINITIONS_MAX];
    size_t count = 0;
    for (size_t c = 0; c < set->count && lsn == 0; c++) { /* as the first record will say */
        cards[count] = set->cards[c];
        terms[count++] = (struct engine_term){
            .after_ms = INT64_MIN, .until_ms = INT64_MAX, .number = 1, .closed_ms = INT64_MIN};
    }
    for (size_t c = 0; c < set->count && lsn > 0; c++) {
        count += terms_of(set->cards[c]->id, lsn, &cards[count], &terms[count]);
    }
    struct engine_options options = {.cards = cards, .terms = terms, .card_count = count, .offline = true};
    struct engine *engine = NULL;
    size_t rows = lsn ? journal.records[lsn - 1].row_end : 0;
    assert_int_equal(engine_open(&options, &engine, NULL), POISE_OK);
    assert_int_equal(engine_begin(engine, as_of_ms, NULL), POISE_OK);
    for (size_t i = 0; i < rows; i++) {
        give(engine, &journal.rows[i], erased_lsn);
    }
    return engine;
}

struct engine *journal_engine(uint64_t lsn, int64_t as_of_ms, const struct card_set *set)
{
    return engine_without(lsn, lsn, as_of_ms, set);
}

void journal_each(struct engine *engine, int64_t as_of_ms, const struct card_set *set, engine_visit *visit,
                  void *visitor)
{
    for (size_t c = 0; c < set->count; c++) {
        const struct report_question question = {.card = set->cards[c], .as_of_ms = as_of_ms};
        poise_code code = report_states(engine, &question, visit, visitor, NULL);
        assert_true(code == POISE_OK || code == POISE_ENOTFOUND); /* it was not there yet */
    }
}

void journal_reference(uint64_t lsn, int64_t as_of_ms, const struct card_set *set, struct view *ret_view)
{
    journal_without(lsn, lsn, as_of_ms, set, ret_view);
}

void journal_without(uint64_t erased_lsn, uint64_t lsn, int64_t as_of_ms, const struct card_set *set,
                     struct view *ret_view)
{
    struct engine *engine = engine_without(erased_lsn, lsn, as_of_ms, set);
    view_clear(ret_view);
    journal_each(engine, as_of_ms, set, show, ret_view);
    ret_view->lsn = lsn;
    ret_view->as_of_ms = as_of_ms;
    engine_close(engine);
}
