/* Start and checkpoints: from the store to an engine and back. Start reads the checkpointed state and the
 * journal behind it, never history; but where the definitions have changed, all cells are made again from the
 * whole journal. */
#include "erase.h"
#include "held.h"
#include "history.h"
#include "writer_private.h"
#include <base/error.h>
#include <base/text.h>
#include <string.h>

enum { CLOCK_BEHIND_MS = 60000 };

/* ---- the state in the store ---- */

bool state_is_made(const struct writer *writer)
{
    struct store *store = writer->options.store;
    bool is_new = store_last_lsn(store) == 0; /* its first record will have the definitions */
    if (is_new && has_changed(writer))
        return false;
    return store_mark(store).generation > 0 &&
           writer->made_lsn == (is_new ? 1 : writer->definitions.defined_lsn);
}

/* What is not journaled yet is not put either. */
poise_code put_definitions(const struct writer *writer)
{
    const struct definitions nothing = {0};
    struct store *store = writer->options.store;
    const struct definitions_place place = {.folded_lsn = store_last_lsn(store),
                                            .made_lsn = writer->made_lsn,
                                            .begun_lsn = writer->begun_lsn,
                                            .cards = writer->options.cards,
                                            .card_count = writer->options.card_count};
    return definitions_put(place.folded_lsn > 0 ? &writer->definitions : &nothing, store, &place);
}

/* Throws the derived state away (but for the numbers of revisions: subscribers have seen them; those behind
 * the last checkpoint come from the journal): from here the journal is replayed from its start, also if the
 * process dies before it is done. */
static poise_code begin_state(struct writer *writer, poise_error *err)
{
    static const enum store_table derived[] = {STORE_HEAD,  STORE_ORGS,  STORE_SOURCES, STORE_SERIES,
                                               STORE_UNITS, STORE_CELLS, STORE_KEYS,    STORE_FUTURE};
    struct store *store = writer->options.store;
    bool is_new = store_last_lsn(store) == 0;
    struct store_mark mark = {.state_lsn = 0, .generation = is_new ? 1 : store_mark(store).generation + 1};
    writer->made_lsn = is_new ? 1 : writer->definitions.defined_lsn;
    writer->begun_lsn = store_last_lsn(store);
    definitions_trim(&writer->definitions);
    poise_code code = store_checkpoint_begin(store, err);
    if (code)
        return code;
    /* a failed put or clear makes the commit fail */
    for (size_t i = 0; i < sizeof derived / sizeof derived[0]; i++)
        (void)store_clear(store, derived[i]);
    (void)put_definitions(writer);
    definitions_free(&writer->stored);
    return store_checkpoint_commit(store, &mark, err);
}

static bool is_frozen(const struct writer *writer)
{
    return writer->definitions.frozen_count > 0;
}

/* Where measurements were dropped, the state cannot be made anew. It stays, and serves other definitions: the
 * sums that they want, too, are made of their rows (engine_fill), and what was journaled behind it is counted
 * by them. */
static poise_code adopt_state(struct writer *writer, poise_error *err)
{
    struct store *store = writer->options.store;
    struct store_mark mark = store_mark(store);
    mark.generation++;
    writer->made_lsn = writer->definitions.defined_lsn;
    writer->begun_lsn = store_last_lsn(store);
    poise_code code = store_checkpoint_begin(store, err);
    if (code)
        return code;
    (void)put_definitions(writer); /* a failed put makes the commit fail */
    definitions_free(&writer->stored);
    return store_checkpoint_commit(store, &mark, err);
}

/* ---- replay ---- */

static poise_code ignore_state(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

struct replay {
    struct writer *writer;
    poise_error *err;
    uint64_t records;
    int64_t as_of_ms; /* of the record at hand */
};

static poise_code rescore_again(void *visitor, const char *card, int64_t after_ms)
{
    const struct replay *replay = visitor;
    return engine_rescore(replay->writer->engine, card, after_ms, ignore_state, NULL, replay->err);
}

/* An operator's !rescore, as it was; where all is made anew, the definitions are those of now already. */
static poise_code replay_rescore(struct replay *replay, const struct journal_batch *batch)
{
    struct engine *engine = replay->writer->engine;
    poise_code code = POISE_OK;
    if (!replay->writer->rebuilding)
        code = engine_settle(engine, SIZE_MAX, ignore_state, NULL, replay->err);
    engine_skip(engine);
    if (code || replay->writer->rebuilding)
        return code;
    return order_each(batch->body, batch->body_length, rescore_again, replay, replay->err);
}

/* What it found then is found again: nothing of it goes from the disk before it is in the state. Where all is
 * made anew its rows were left out. */
static poise_code replay_erase(struct replay *replay, const struct journal_batch *batch)
{
    struct writer *writer = replay->writer;
    struct erasures *erasures = &writer->erasures;
    struct erasures before = *erasures;
    struct erase *erase = NULL;
    if (writer->replayed_lsn <= erasures->folded_lsn) {
        engine_skip(writer->engine);
        return POISE_OK;
    }
    poise_code code =
        erasures_take(erasures, batch->body, batch->body_length, writer->replayed_lsn, replay->err);
    before.items = erasures->items;
    if (!code)
        code = erase_find_again(&erasures->items[before.count], writer->options.store,
                                writer->replayed_lsn - 1, &before, &erase, replay->err);
    if (!code)
        code = erase_apply(erase, writer->engine, replay->err);
    erase_free(erase);
    return code;
}

static poise_code replay_batch(struct replay *replay, const struct journal_batch *batch)
{
    struct writer *writer = replay->writer;
    if (strcmp(batch->producer, ERASE_PRODUCER) == 0)
        return replay_erase(replay, batch);
    if (order_takes_place(batch))
        return replay_rescore(replay, batch);
    if (strcmp(batch->producer, DEFINE_PRODUCER) == 0 || strcmp(batch->producer, FREEZE_PRODUCER) == 0)
        return POISE_OK;
    bool restated = strcmp(batch->producer, RESTATE_PRODUCER) == 0; /* of no producer */
    struct ledger_entry *entry = restated ? NULL : ledger_add(&writer->ledger, batch->producer, batch->epoch);
    if (!restated && (!entry || !ledger_commit(entry, batch->seq, batch->hash, batch->refused, batch->reasons,
                                               batch->refused_count)))
        return error_nomem(replay->err, "the ledger of producers");
    if (batch->rows == 0 && (restated || batch->refused_count)) /* an order, or what could not be decoded */
        return POISE_OK;
    struct wire_batch rows;
    arena_reset(&writer->arena);
    poise_code code = wire_decode_batch(batch->body, batch->body_length, &writer->arena, &rows, replay->err);
    if (code)
        return error_wrap(replay->err, "batch %llu of '%s' in the journal", (unsigned long long)batch->seq,
                          batch->producer);
    if (rows.loss.last_seq) {
        poise_loss loss = ledger_loss_of(&rows, writer->replayed_lsn, replay->as_of_ms);
        return !entry || ledger_lose(entry, &loss) ? POISE_OK
                                                   : error_nomem(replay->err, "the losses of a producer");
    }
    struct journal_notes notes;
    if (batch->notes_length && (code = notes_decode(batch, &writer->arena, &notes, replay->err)))
        return code;
    struct feed_options options = {.producer = batch->producer,
                                   .refused = batch->refused,
                                   .refused_count = batch->refused_count,
                                   .now_ms = ENGINE_LET_IN,
                                   .replays = true,
                                   .erasures = writer->rebuilding ? &writer->erasures : NULL,
                                   .notes = batch->notes_length ? &notes : NULL};
    struct feed_summary summary = feed_nothing;
    return feed_batch(&writer->feed, writer->engine, &rows, &options, &summary, replay->err);
}

static poise_code replay_time(struct replay *replay, const struct journal_record *record)
{
    if (record->as_of_ms == INT64_MIN) /* before the first event of an event clock */
        return POISE_OK;
    return engine_begin(replay->writer->engine, record->as_of_ms, replay->err);
}

static poise_code see(void *visitor, const char *measure, const char *org)
{
    const struct replay *replay = visitor;
    return engine_see_org(replay->writer->engine, measure, org, replay->err);
}

/* The records that were there when the state was begun are replayed; what comes behind them is as it was. */
static poise_code end_rebuilding(struct replay *replay)
{
    struct writer *writer = replay->writer;
    poise_code code = erasures_seen(&writer->erasures, engine_ordinal(writer->engine), see, replay);
    if (!code && engine_as_of_ms(writer->engine) != INT64_MIN)
        code = engine_settle(writer->engine, SIZE_MAX, ignore_state, NULL, replay->err);
    writer->rebuilding = false;
    writer->settled_lsn = writer->begun_lsn;
    writer->settled_ms = engine_as_of_ms(writer->engine);
    engine_set_revising(writer->engine, true);
    return code;
}

/* Rows that are applied to other definitions do not revise, but what was published keeps its number. */
static poise_code note_revision(void *visitor, const poise_state *state)
{
    struct replay *replay = visitor;
    return state->revision ? engine_revised(replay->writer->engine, state, replay->err) : POISE_OK;
}

/* A settle of which not all parts were journaled was not published, and counts as not told: the next one
 * tells what it changed, too. */
static poise_code note_owed(struct writer *writer, poise_error *err)
{
    poise_code code = writer->changes ? POISE_OK : writer_begin_changes(writer, err);
    return code ? code : engine_settle(writer->engine, SIZE_MAX, writer_note_change, writer, err);
}

static poise_code replay_settle(struct writer *writer, const struct journal_record *record, poise_error *err)
{
    bool ends = !record->more && (record->settled || record->changes_length > 0);
    poise_code code = POISE_OK;
    if (ends)
        writer->unsaid &= record->lsn <= writer->definitions.defined_lsn;
    else if (record->settled && writer->rebuilding)
        writer->unsaid = true;
    if (writer->rebuilding)
        return POISE_OK;
    if (record->settled) {
        code = record->more ? note_owed(writer, err)
                            : engine_settle(writer->engine, SIZE_MAX, ignore_state, NULL, err);
        writer->settled_lsn = record->lsn;
        writer->settled_ms = record->as_of_ms;
    }
    if (!code && ends) {
        changes_free(writer->changes);
        writer->changes = writer->last = NULL;
    }
    return code;
}

static poise_code replay_record(void *visitor, const struct journal_record *record)
{
    struct replay *replay = visitor;
    struct writer *writer = replay->writer;
    if (engine_ordinal(writer->engine) + 1 != record->first_ordinal)
        return error_set(
            replay->err, POISE_ECORRUPT,
            "record %llu of the journal starts at row %llu, but row %llu is next; restore a backup",
            (unsigned long long)record->lsn, (unsigned long long)record->first_ordinal,
            (unsigned long long)engine_ordinal(writer->engine) + 1);
    writer->replayed_lsn = record->lsn;
    replay->as_of_ms = record->as_of_ms;
    poise_code code = POISE_OK;
    if (writer->rebuilding && record->lsn > writer->begun_lsn)
        code = end_rebuilding(replay);
    if (!code && !record->time_last)
        code = replay_time(replay, record);
    for (size_t i = 0; !code && i < record->batch_count; i++)
        code = replay_batch(replay, &record->batches[i]);
    if (!code && record->time_last) /* as it was: what is late, and so a revision, depends on it */
        code = replay_time(replay, record);
    if (!code)
        code = replay_settle(writer, record, replay->err);
    if (!code && record->revised && writer->rebuilding)
        code = wire_each_change(record->changes, record->changes_length, &writer->arena, note_revision,
                                replay, replay->err);
    replay->records++;
    return code;
}

/* Rows of runs, of which some records are trimmed. They are as of one T, and their order does not matter:
 * nothing is revised by them, and what was is in the table of revisions, since runs are never ahead of a
 * checkpoint. */
static poise_code replay_runs(void *visitor, struct store_reader *reader, uint64_t from_place,
                              uint64_t until_place)
{
    struct replay *replay = visitor;
    struct names names = {0};
    const struct history_apply apply = {.engine = replay->writer->engine,
                                        .names = &names,
                                        .erasures = &replay->writer->erasures,
                                        .numbers = true,
                                        .err = replay->err};
    int64_t as_of_ms = store_reader_past(reader).as_of_ms;
    poise_code code = as_of_ms == INT64_MIN ? POISE_OK : engine_begin(apply.engine, as_of_ms, replay->err);
    if (!code)
        code = history_apply(&apply, reader, from_place, until_place);
    names_free(&names);
    return code;
}

static poise_code replay_rest(struct replay *replay, uint64_t from)
{
    struct store_reader *reader = NULL;
    poise_code code = store_reader_open(replay->writer->options.store, &reader, replay->err);
    if (code)
        return code;
    code =
        store_read_journal(reader, from, store_reader_lsn(reader), NULL, replay_record, replay, replay->err);
    store_reader_close(reader);
    return code;
}

static poise_code replay_all(struct replay *replay)
{
    struct store *store = replay->writer->options.store;
    const struct history_visit visit = {.runs = replay_runs, .record = replay_record, .visitor = replay};
    uint64_t in_runs;
    return history_read(store, store_last_lsn(store), INT64_MAX, &visit, &in_runs, replay->err);
}

static poise_code replay_journal(struct writer *writer, uint64_t from, uint64_t *ret_records,
                                 poise_error *err)
{
    poise_error inner = {0};
    struct replay replay = {.writer = writer, .err = &inner};
    poise_code code = from == 1 ? replay_all(&replay) : replay_rest(&replay, from);
    if (!code && writer->rebuilding)
        code = end_rebuilding(&replay);
    writer->replayed_lsn = 0;
    *ret_records = replay.records;
    if (code && err)
        *err = inner;
    return code;
}

/* ---- start ---- */

/* T never goes back: a clock that was ahead once holds the scores there until it is reached again. */
static void warn_of_clock(const struct writer *writer)
{
    int64_t as_of_ms = engine_as_of_ms(writer->engine);
    int64_t now_ms = clock_wall_ms(writer->options.clock);
    char as_of[TIME_TEXT_MAX];
    if (writer->options.event_clock || as_of_ms <= now_ms + CLOCK_BEHIND_MS)
        return;
    format_time_ms(as_of_ms, as_of);
    log_event(writer->options.log, LOG_WARN, "clock_behind", log_text("scores_are_as_of", as_of),
              log_int("behind_ms", as_of_ms - now_ms));
}

static poise_code load_producer(void *visitor, struct cursor key, struct cursor value)
{
    struct writer *writer = visitor;
    return ledger_decode(&writer->ledger, key, value);
}

static poise_code open_engine(struct writer *writer, poise_error *err)
{
    struct engine_options options = {.cards = writer->compiled.cards,
                                     .card_count = writer->compiled.count,
                                     .terms = writer->compiled.terms,
                                     .hash_seed = writer->options.hash_seed,
                                     .max_cells = writer->options.max_cells,
                                     .fills = is_frozen(writer),
                                     .ports = writer_ports(writer)};
    poise_code code = engine_open(&options, &writer->engine, err);
    /* Before the replay: it has no row that was refused, and may find that others are not there any more. */
    for (size_t i = 0; !code && i < writer->definitions.frozen_count; i++)
        engine_freeze(writer->engine, writer->definitions.frozen[i].input,
                      writer->definitions.frozen[i].until_ms);
    return code;
}

/* The definitions that the engine starts with: those of the state, which the replay changes as they were. */
static poise_code compile(struct writer *writer, poise_error *err)
{
    const struct definitions *definitions = writer->stored.count ? &writer->stored : &writer->definitions;
    poise_code code = POISE_OK;
    for (size_t i = 0; !code && i < writer->options.card_count; i++) {
        const struct scorecard *card = writer->options.cards[i];
        code = definitions_compile_all(definitions, card->id, card, &writer->compiled, err);
    }
    return code;
}

/* Those of the scorecards that the state was made with. */
static poise_code compile_stored(struct writer *writer, poise_error *err)
{
    const char *id = (const char *)writer->stored.configured.data;
    poise_code code = POISE_OK;
    for (size_t i = 0; !code && i < writer->stored.configured_count; i++) {
        code = definitions_compile_all(&writer->stored, id, NULL, &writer->compiled, err);
        id += strlen(id) + 1;
    }
    return code;
}

poise_code check_serves(struct writer *writer, poise_error *err)
{
    if (!is_frozen(writer))
        return POISE_OK;
    definitions_free(&writer->stored);
    poise_code code = compile(writer, err);
    if (!code)
        code = open_engine(writer, err);
    if (!code)
        code = engine_fill(writer->engine, true, err);
    engine_close(writer->engine);
    writer->engine = NULL;
    compiled_free(&writer->compiled);
    return code;
}

poise_code recover_state(struct writer *writer, bool old, uint64_t *ret_records, poise_error *err)
{
    struct store *store = writer->options.store;
    compiled_free(&writer->compiled);
    poise_code code = old ? compile_stored(writer, err) : compile(writer, err);
    if (!code)
        code = store_walk(store, STORE_PRODUCERS, load_producer, writer, err);
    if (!code)
        code = open_engine(writer, err);
    if (code)
        return code;
    struct store_mark mark = store_mark(store);
    erasures_free(&writer->erasures); /* those that the state is without, or, made of nothing, will be */
    code = erasures_fold(&writer->erasures, store, mark.state_lsn ? mark.state_lsn : writer->begun_lsn, NULL,
                         err);
    if (!code)
        code = engine_fill(writer->engine, false, err);
    if (code)
        return code;
    writer->generation = mark.generation;
    writer->rebuilding = mark.state_lsn < writer->begun_lsn;
    writer->unsaid = writer->definitions.defined_lsn > 1 && mark.state_lsn <= writer->definitions.defined_lsn;
    engine_set_revising(writer->engine, !writer->rebuilding);
    writer->checkpoint_lsn = mark.state_lsn;
    writer->settled_lsn = mark.state_lsn; /* a checkpoint is of a settled engine */
    writer->settled_ms = engine_as_of_ms(writer->engine);
    return replay_journal(writer, mark.state_lsn + 1, ret_records, err);
}

poise_code recover(struct writer *writer, poise_error *err)
{
    struct store *store = writer->options.store;
    uint64_t records = 0;
    int64_t start = clock_monotonic_us(writer->options.clock);
    poise_code code = find_definitions(writer, err);
    bool is_made = state_is_made(writer);
    if (!code && !is_made)
        code = is_frozen(writer) ? adopt_state(writer, err) : begin_state(writer, err);
    if (!code)
        code = recover_state(writer, false, &records, err);
    if (code == POISE_EVERSION && is_made && !is_frozen(writer)) {
        /* The state lacks what this version wants of it: it is made again. */
        code = begin_state(writer, err);
        if (!code)
            code = recover_state(writer, false, &records, err);
        is_made = false;
    }
    uint64_t checkpoint_lsn = writer->checkpoint_lsn;
    if (!code && records && !is_made && !engine_dirty(writer->engine) && !engine_holds(writer->engine))
        code = checkpoint(writer, err);
    if (code)
        return code;
    log_event(writer->options.log, LOG_INFO, "recovered", log_int("generation", (int64_t)writer->generation),
              log_int("checkpoint_lsn", (int64_t)checkpoint_lsn),
              log_int("replayed_records", (int64_t)records), log_int("lsn", (int64_t)store_last_lsn(store)),
              log_int("ms", (clock_monotonic_us(writer->options.clock) - start) / 1000));
    stats_set(writer->options.stats, STAT_lsn, store_last_lsn(store));
    stats_set(writer->options.stats, STAT_series, engine_series_count(writer->engine));
    engine_set_limits(writer->engine, writer->options.max_orgs, writer->options.max_series);
    writer_sum_losses(writer);
    writer_note_erasures(writer);
    freeze_count(writer);
    warn_of_clock(writer);
    return POISE_OK;
}
