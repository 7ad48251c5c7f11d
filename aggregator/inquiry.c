#include "inquiry.h"

#include "changelog.h"
#include "definitions.h"
#include "dump.h"
#include "erase.h"
#include "feed.h"
#include "history.h"
#include "needed.h"
#include "rescore.h"
#include "restate.h"
#include "stored.h"
#include <base/error.h>
#include <base/text.h>
#include <engine/report.h>
#include <stdlib.h>
#include <store/notes.h>
#include <string.h>

enum { PART_BYTES = 200000, PART_STATES = 4096 };
static const int64_t LONGEST_PERIOD_MS = INT64_C(367) * 24 * 3600 * 1000;

void inquiry_free(struct inquiry *inquiry)
{
    if (!inquiry)
        return;
    restate_free(inquiry->restate);
    rescore_free(inquiry->rescore);
    erase_free(inquiry->erase);
    dump_free(inquiry->dump);
    access_drop(inquiry->access);
    changelog_free(inquiry->changelog);
    buf_free(&inquiry->bodies);
    free(inquiry->ends);
    free(inquiry);
}

enum wire_kind inquiry_kind(const struct inquiry *inquiry)
{
    return inquiry->restate     ? WIRE_RESTATED
           : inquiry->rescore   ? WIRE_RESCORED
           : inquiry->erase     ? WIRE_ERASED
           : inquiry->dump      ? WIRE_ROWS
           : inquiry->losses    ? WIRE_LOSSES
           : inquiry->changelog ? WIRE_CHANGED
           : inquiry->backup[0] ? WIRE_BACKED_UP
                                : WIRE_RESULT;
}

/* ---- reading the journal into an engine ---- */

struct reading {
    const struct inquirer_options *options;
    struct inquiry *inquiry;
    struct compiled compiled; /* the definitions of the scorecard */
    struct engine *engine;
    struct arena arena;
    struct feed feed;
    poise_state *part; /* states of the RESULT under construction */
    size_t part_count, part_bytes;
    uint64_t lsn, until;            /* read so far; to be read */
    struct definitions definitions; /* up to the stored state: what is dropped by now is in there */
    struct stored stored;
    bool doubts;           /* as of the options, where nothing is dropped */
    bool pends;            /* something erased is on the disk still: heads and the like have it */
    struct hmap revisions; /* of the nodes and closed periods that had some */
    struct arena noted;    /* they themselves */
};

/* ---- revisions, as they were journaled ---- */

struct noted {
    uint64_t org, node; /* hashes of their paths */
    int64_t end_ms;
    uint64_t revision;
};

static struct noted noted_of(const poise_state *state)
{
    return (struct noted){.org = hash64(state->org, strlen(state->org), 0),
                          .node = hash64(state->node, strlen(state->node), 0),
                          .end_ms = state->as_of_ms,
                          .revision = state->revision};
}

static uint64_t noted_hash(const struct noted *noted)
{
    return hash_mix(noted->org ^ hash_mix(noted->node, 0), (uint64_t)noted->end_ms);
}

static bool is_noted(const void *entry, const void *key)
{
    const struct noted *noted = entry, *wanted = key;
    return noted->org == wanted->org && noted->node == wanted->node && noted->end_ms == wanted->end_ms;
}

static poise_code note_revision(void *visitor, const poise_state *state)
{
    struct reading *reading = visitor;
    struct noted wanted = noted_of(state);
    if (state->revision == 0)
        return POISE_OK;
    struct noted *noted = hmap_get(&reading->revisions, noted_hash(&wanted), is_noted, &wanted);
    if (!noted) {
        noted = arena_zalloc(&reading->noted, 1, sizeof *noted);
        if (!noted || !hmap_add(&reading->revisions, noted_hash(&wanted), noted))
            return error_nomem(&reading->inquiry->error, "the revisions of an answer");
    }
    if (wanted.revision > noted->revision) /* records whose rows are in runs are read behind the others */
        *noted = wanted;
    return POISE_OK;
}

static poise_code note_revisions(void *visitor, const struct journal_record *record)
{
    struct reading *reading = visitor;
    if (!record->revised)
        return POISE_OK;
    return wire_each_change(record->changes, record->changes_length, &reading->arena, note_revision, reading,
                            &reading->inquiry->error);
}

static uint64_t revision_of(const struct reading *reading, const poise_state *state)
{
    struct noted wanted = noted_of(state);
    const struct noted *noted = hmap_get(&reading->revisions, noted_hash(&wanted), is_noted, &wanted);
    return noted ? noted->revision : 0;
}

/* Rows at other orgs are not needed (needed.h); NULL: all are. */
static const char *asked_org(const struct reading *reading)
{
    const struct inquiry *inquiry = reading->inquiry;
    if (reading->doubts || reading->pends)
        return NULL;
    return inquiry->all_orgs || inquiry->history ? "" : inquiry->org;
}

static poise_code read_batch(struct reading *reading, const struct journal_batch *batch)
{
    struct inquiry *inquiry = reading->inquiry;
    if (order_takes_place(batch)) {
        engine_skip(reading->engine);
        return POISE_OK;
    }
    if (batch->rows == 0)
        return POISE_OK;
    struct wire_batch rows;
    struct journal_notes notes;
    bool believes = !reading->doubts && batch->notes_length > 0;
    arena_reset(&reading->arena);
    poise_code code =
        wire_decode_batch(batch->body, batch->body_length, &reading->arena, &rows, &inquiry->error);
    if (!code && believes)
        code = notes_decode(batch, &reading->arena, &notes, &inquiry->error);
    if (code)
        return code;
    struct feed_options options = {.refused = batch->refused,
                                   .refused_count = batch->refused_count,
                                   .now_ms = ENGINE_LET_IN,
                                   .erasures = &reading->options->memory->erasures,
                                   .believed = believes ? &notes : NULL,
                                   .asked_org = asked_org(reading)};
    struct feed_summary summary = feed_nothing;
    return feed_batch(&reading->feed, reading->engine, &rows, &options, &summary, &inquiry->error);
}

static poise_code read_record(void *visitor, const struct journal_record *record)
{
    struct reading *reading = visitor;
    if (atomic_load_explicit(reading->options->stop, memory_order_relaxed))
        return error_set(&reading->inquiry->error, POISE_ECLOSED, "the aggregator is stopping");
    reading->lsn = record->lsn;
    for (size_t i = 0; i < record->batch_count; i++) {
        poise_code code = read_batch(reading, &record->batches[i]);
        if (code)
            return code == POISE_ECLOSED ? POISE_EPROTO : code;
    }
    return note_revisions(reading, record);
}

/* How many series the records had numbered by then of which rows are in runs. (The store may have names of
 * others.) Where a version of before compacted them, all that it has, or none, where not all is asked about.
 */
static poise_code count_series(const struct reading *reading, struct store_reader *reader, bool knows_all,
                               uint64_t *ret_count)
{
    struct inquiry *inquiry = reading->inquiry;
    int64_t until_ms = inquiry->known_at_ms ? inquiry->known_at_ms : INT64_MAX;
    struct store_past then;
    *ret_count = 0;
    if (reading->definitions.frozen_count == 0)
        return POISE_OK;
    poise_code code = store_read_past(reader, reading->until, until_ms, &then, &inquiry->error);
    if (!code)
        code = store_read_series(reader, then.lsn, ret_count, &inquiry->error);
    if (knows_all && *ret_count == 0)
        *ret_count = UINT64_MAX;
    return code;
}

/* Rows of runs. Where those of before are read in part, what became runs meanwhile is read whole: its keys
 * may take rows of before away. */
static poise_code read_runs(void *visitor, struct store_reader *reader, uint64_t from_place,
                            uint64_t until_place)
{
    const struct reading *reading = visitor;
    struct inquiry *inquiry = reading->inquiry;
    const struct store_past past = store_reader_past(reader);
    bool knows_all = !inquiry->known_at_ms && reading->until >= past.lsn;
    uint64_t existed;
    poise_code code = count_series(reading, reader, knows_all, &existed);
    if (code)
        return code;
    const struct needed needed = {.engine = reading->engine,
                                  .names = &reading->options->memory->names,
                                  .erasures = &reading->options->memory->erasures,
                                  .org = inquiry->all_orgs ? NULL : inquiry->org,
                                  .history = inquiry->history,
                                  .as_of_ms = inquiry->as_of_ms,
                                  .all = reading->doubts || reading->pends || from_place > 0,
                                  .doubts = reading->doubts,
                                  .dropped = &reading->definitions,
                                  .existed = existed,
                                  .is_last = past.lsn >= reading->until || past.last_place > until_place,
                                  .from_place = from_place,
                                  .until_place = until_place,
                                  .effort = reading->options->effort,
                                  .stop = reading->options->stop,
                                  .err = &inquiry->error};
    return needed_apply(&needed, reader);
}

/* What those records have published of which only rows are in runs. */
static poise_code read_revisions(struct reading *reading, uint64_t until)
{
    struct inquiry *inquiry = reading->inquiry;
    const struct marks_visit visit = {MARK_REVISIONS, note_revisions, reading, reading->options->stop};
    struct store_reader *reader;
    poise_code code = store_reader_open(reading->options->store, &reader, &inquiry->error);
    if (code)
        return code;
    code = marks_read(&reading->options->memory->marks, reader, 1, until, &visit, &inquiry->error);
    store_reader_close(reader);
    return code;
}

static poise_code see(void *visitor, const char *measure, const char *org)
{
    const struct reading *reading = visitor;
    return engine_see_org(reading->engine, measure, org, &reading->inquiry->error);
}

/* What was erased meanwhile may have been read or not. */
static poise_code end_reading(struct reading *reading, size_t erased)
{
    struct erasures *erasures = &reading->options->memory->erasures;
    struct store *store = reading->options->store;
    struct inquiry *inquiry = reading->inquiry;
    poise_code code =
        erasures_fold(erasures, store, store_last_lsn(store), reading->options->stop, &inquiry->error);
    if (!code && erasures->count != erased)
        code = error_set(&inquiry->error, POISE_EBUSY, "measurements were erased meanwhile; ask again");
    return code ? code : erasures_seen(erasures, engine_ordinal(reading->engine), see, reading);
}

static poise_code read_past(struct reading *reading, uint64_t until)
{
    struct inquiry *inquiry = reading->inquiry;
    const struct history_visit visit = {.runs = read_runs, .record = read_record, .visitor = reading};
    struct erasures *erasures = &reading->options->memory->erasures;
    uint64_t in_runs = 0;
    reading->until = until;
    poise_code code =
        erasures_fold(erasures, reading->options->store, store_last_lsn(reading->options->store),
                      reading->options->stop, &inquiry->error);
    size_t erased = erasures->count;
    reading->pends =
        erased > 0 && erasures->items[erased - 1].lsn > store_erased_lsn(reading->options->store);
    if (!code)
        code = history_read(reading->options->store, until,
                            inquiry->known_at_ms ? inquiry->known_at_ms : INT64_MAX, &visit, &in_runs,
                            &inquiry->error);
    if (reading->lsn < in_runs)
        reading->lsn = in_runs;
    if (!code)
        code = end_reading(reading, erased);
    return code ? code : read_revisions(reading, in_runs);
}

/* ---- writing the answer ---- */

/* The body that was appended last is whole. */
poise_code inquiry_end_body(struct inquiry *inquiry)
{
    if (inquiry->count == inquiry->capacity) {
        size_t capacity = inquiry->capacity ? inquiry->capacity * 2 : 8;
        size_t *ends = realloc(inquiry->ends, capacity * sizeof *ends);
        if (!ends)
            return error_nomem(&inquiry->error, "an answer");
        inquiry->ends = ends;
        inquiry->capacity = capacity;
    }
    inquiry->ends[inquiry->count++] = inquiry->bodies.length;
    return POISE_OK;
}

static poise_code end_part(struct reading *reading, bool last)
{
    struct inquiry *inquiry = reading->inquiry;
    struct wire_states states = {.id = inquiry->id,
                                 .lsn = reading->lsn,
                                 .last = last,
                                 .states = reading->part,
                                 .count = reading->part_count};
    if (wire_encode_states(WIRE_RESULT, &states, &inquiry->bodies))
        return error_nomem(&inquiry->error, "an answer");
    reading->part_count = 0;
    reading->part_bytes = 0;
    return inquiry_end_body(inquiry);
}

static poise_code encode_done(struct inquiry *inquiry)
{
    const struct restate *restate = inquiry->restate;
    const struct rescore *rescore = inquiry->rescore;
    const struct erase *erase = inquiry->erase;
    if (erase) {
        const struct wire_erased answer = {.id = inquiry->id,
                                           .rows = erase->count + erase->held,
                                           .counted = erase->counted,
                                           .lsn = erase->lsn};
        return wire_encode_erased(&answer, &inquiry->bodies);
    }
    if (rescore) {
        const struct wire_rescored answer = {.id = inquiry->id,
                                             .scorecards = rescore->scorecards,
                                             .revised = rescore->revised,
                                             .locked = rescore->locked,
                                             .lsn = rescore->lsn};
        return wire_encode_rescored(&answer, &inquiry->bodies);
    }
    const struct wire_restated answer = {
        .id = inquiry->id, .rows = restate->rows, .refused = restate->refused, .lsn = restate->lsn};
    return wire_encode_restated(&answer, &inquiry->bodies);
}

void inquiry_done(struct inquiry *inquiry)
{
    if (encode_done(inquiry))
        inquiry->error.code = error_nomem(&inquiry->error, "an answer");
    else
        inquiry->error.code = inquiry_end_body(inquiry);
}

static poise_code add_state(void *visitor, const poise_state *state)
{
    struct reading *reading = visitor;
    struct inquiry *inquiry = reading->inquiry;
    if (inquiry->reader && !access_reads(inquiry->reader, inquiry->scorecard, state->org))
        return POISE_OK;
    if (inquiry->bodies.length > reading->options->max_bytes)
        return error_set(&inquiry->error, POISE_ELIMIT,
                         "the answer has more than %zu MiB (max_answer); ask for one org, or less history",
                         reading->options->max_bytes >> 20);
    size_t size = wire_state_size(state);
    if (reading->part_count == PART_STATES ||
        (reading->part_count && reading->part_bytes + size > PART_BYTES)) {
        poise_code code = end_part(reading, false);
        if (code)
            return code;
    }
    reading->part[reading->part_count] = *state;
    reading->part[reading->part_count++].revision = revision_of(reading, state);
    reading->part_bytes += size;
    return POISE_OK;
}

/* The definitions that the answer needs: what trends are against may have another than the rest. */
static poise_code compile(struct reading *reading, const struct scorecard *card, uint64_t until)
{
    struct inquiry *inquiry = reading->inquiry;
    struct definitions definitions = {0};
    poise_code code =
        definitions_fold(&definitions, reading->options->store, &reading->options->memory->marks, until,
                         inquiry->known_at_ms, reading->options->stop, &inquiry->error);
    if (!code && !definitions_current(&definitions, card->id)) {
        if (until > 0)
            code = error_set(&inquiry->error, POISE_ENOTFOUND, "there was no scorecard '%s' then", card->id);
        else /* nothing is journaled yet, nor is it */
            code = definitions_define(&definitions, card, INT64_MIN, &inquiry->error);
    }
    int64_t from_ms = inquiry->history ? INT64_MIN : inquiry->as_of_ms - LONGEST_PERIOD_MS;
    if (!code)
        code = definitions_compile(&definitions, card->id, card, from_ms, inquiry->as_of_ms,
                                   &reading->compiled, &inquiry->error);
    definitions_free(&definitions);
    return code;
}

/* What is there of a frozen period is not all that it was scored by. */
static poise_code check_missed(struct reading *reading)
{
    char until[TIME_TEXT_MAX];
    const char *input = engine_missed(reading->engine);
    if (!input)
        return POISE_OK;
    format_time_ms(definitions_frozen_ms(&reading->definitions, input), until);
    return error_set(
        &reading->inquiry->error, POISE_ENOTFOUND,
        "this needs measurements of '%s' from before %s, which were dropped (`keep`): their sums "
        "are there as of the ends of periods, as known now; ask for one of these, or a later time",
        input, until);
}

/* Takes in the orders to freeze that are in the stored state: what they name may be dropped by now, its sums
 * are whole, and no row of it comes or goes. */
static poise_code fold_frozen(struct reading *reading, bool *ret_any)
{
    struct store_reader *reader;
    struct inquiry *inquiry = reading->inquiry;
    poise_code code = store_reader_open(reading->options->store, &reader, &inquiry->error);
    if (code)
        return code;
    uint64_t state_lsn = store_reader_state_lsn(reader);
    store_reader_close(reader);
    return definitions_fold_frozen(&reading->definitions, reading->options->store,
                                   &reading->options->memory->marks, state_lsn, reading->options->stop,
                                   ret_any, &inquiry->error);
}

static poise_code open_engine(struct reading *reading, bool knows_all)
{
    struct inquiry *inquiry = reading->inquiry;
    const struct inquirer_options *options = reading->options;
    const struct definitions *definitions = &reading->definitions;
    struct engine_options engine = {.cards = reading->compiled.cards,
                                    .card_count = reading->compiled.count,
                                    .terms = reading->compiled.terms,
                                    .offline = true};
    struct compiled all = {0};
    bool any;
    poise_code code = fold_frozen(reading, &any);
    if (!code && any && knows_all) {
        for (size_t i = 0; !code && i < options->card_count; i++)
            code = definitions_compile_all(definitions, options->cards[i]->id, options->cards[i], &all,
                                           &inquiry->error);
        engine.stored = (struct engine_stored){all.cards, all.terms, all.count};
        engine.ports = stored_ports(&reading->stored);
        engine.max_cells = SIZE_MAX;
    }
    if (!code)
        code = engine_open(&engine, &reading->engine, &inquiry->error);
    stored_close(&reading->stored);
    compiled_free(&all);
    for (size_t i = 0; !code && i < definitions->frozen_count; i++)
        engine_freeze(reading->engine, definitions->frozen[i].input, definitions->frozen[i].until_ms);
    reading->doubts = options->doubts && definitions->frozen_count == 0;
    return code;
}

/* Rows of what was frozen meanwhile may have been read or not. */
static poise_code check_frozen(struct reading *reading)
{
    bool any;
    poise_code code = fold_frozen(reading, &any);
    return !code && any ? error_set(&reading->inquiry->error, POISE_EBUSY,
                                    "measurements were dropped meanwhile; ask again")
                        : code;
}

/* Orgs that are there by measurements which are dropped. */
static poise_code see_dropped(struct reading *reading, bool knows_all)
{
    if (!knows_all || reading->definitions.frozen_count == 0)
        return POISE_OK;
    poise_code code = stored_seen(&reading->stored, reading->until, see, reading, &reading->inquiry->error);
    stored_close(&reading->stored);
    return code;
}

static poise_code answer(struct reading *reading, const struct scorecard *card)
{
    struct inquiry *inquiry = reading->inquiry;
    uint64_t until = store_last_lsn(reading->options->store);
    if (inquiry->known_lsn && inquiry->known_lsn < until)
        until = inquiry->known_lsn;
    reading->until = until;
    poise_code code = compile(reading, card, until);
    bool knows_all = !inquiry->known_at_ms && until == store_last_lsn(reading->options->store);
    if (!code)
        code = open_engine(reading, knows_all);
    struct report_question question = {.card = card,
                                       .org = inquiry->all_orgs ? NULL : inquiry->org,
                                       .history = inquiry->history,
                                       .as_of_ms = inquiry->as_of_ms};
    if (!code)
        code = report_begin(reading->engine, &question, &inquiry->error);
    if (!code)
        code = read_past(reading, until);
    if (!code)
        code = see_dropped(reading, knows_all);
    if (!code)
        code = check_frozen(reading);
    if (!code)
        code = report_states(reading->engine, &question, add_state, reading, &inquiry->error);
    if (!code)
        code = check_missed(reading);
    return code ? code : end_part(reading, true);
}

static const struct scorecard *find_card(const struct inquirer_options *options, struct inquiry *inquiry)
{
    for (size_t i = 0; i < options->card_count; i++)
        if (strcmp(options->cards[i]->id, inquiry->scorecard) == 0)
            return options->cards[i];
    error_set(&inquiry->error, POISE_ENOTFOUND, "there is no scorecard '%s' here", inquiry->scorecard);
    return NULL;
}

static bool answer_erase(const struct inquirer_options *options, struct inquiry *inquiry)
{
    struct erase *erase = inquiry->erase;
    struct erasures *erasures = &options->memory->erasures;
    uint64_t until = store_last_lsn(options->store);
    const char *name = inquiry->reader ? access_name(inquiry->reader) : NULL;
    poise_code code = erasures_fold(erasures, options->store, until, options->stop, &inquiry->error);
    if (!code)
        code = erase_find(erase, options->store, until, erasures, options->stop, &inquiry->error);
    if (!code)
        code = erase_put_order(erase, name ? name : "", &inquiry->error);
    inquiry->error.code = code;
    bool done = !code && (erase->dry_run || erase->place == 0);
    if (done)
        inquiry_done(inquiry);
    return code || done;
}

/* What the inquirer does of an operator's order. */
static bool answer_order(const struct inquirer_options *options, struct inquiry *inquiry)
{
    if (inquiry->erase)
        return answer_erase(options, inquiry);
    if (inquiry->rescore)
        return inquiry->scorecard[0] && !find_card(options, inquiry);
    inquiry->error.code = restate_find(inquiry->restate, options->store, &inquiry->error);
    if (!inquiry->error.code && inquiry->restate->rows == 0)
        inquiry_done(inquiry);
    return inquiry->error.code || inquiry->restate->rows == 0;
}

static void answer_page(const struct inquirer_options *options, struct inquiry *inquiry)
{
    inquiry->error.code = inquiry->dump
                              ? dump_page(inquiry->dump, inquiry->id, options->store, options->memory,
                                          options->stop, &inquiry->bodies, &inquiry->error)
                              : changelog_page(inquiry->changelog, inquiry->id, options->store, options->stop,
                                               &inquiry->bodies, &inquiry->error);
    if (!inquiry->error.code)
        inquiry->error.code = inquiry_end_body(inquiry);
}

bool inquiry_answer(const struct inquirer_options *options, struct inquiry *inquiry)
{
    if (inquiry->dump || inquiry->changelog) {
        answer_page(options, inquiry);
        return true;
    }
    if (inquiry->losses)
        return false;
    if (inquiry->restate || inquiry->rescore || inquiry->erase)
        return answer_order(options, inquiry);
    const struct scorecard *card = find_card(options, inquiry);
    if (!card)
        return true;
    struct reading reading = {.options = options, .inquiry = inquiry, .stored.store = options->store};
    reading.part = malloc(PART_STATES * sizeof *reading.part);
    poise_code code = reading.part ? answer(&reading, card) : error_nomem(&inquiry->error, "an answer");
    inquiry->error.code = code;
    engine_close(reading.engine);
    stored_close(&reading.stored);
    compiled_free(&reading.compiled);
    definitions_free(&reading.definitions);
    arena_free(&reading.arena);
    arena_free(&reading.noted);
    hmap_free(&reading.revisions);
    feed_free(&reading.feed);
    free(reading.part);
    return true;
}
