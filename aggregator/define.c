/* Definitions at the start: what the store says of them, and what the scorecard files make of that. */
#include "writer_private.h"
#include <base/error.h>
#include <base/text.h>
#include <string.h>

/* Where the journal ends. */
struct journal_end {
    int64_t as_of_ms;
    uint64_t next_ordinal;
};

static poise_code note_end(void *visitor, const struct journal_record *record)
{
    struct journal_end *end = visitor;
    end->as_of_ms = record->as_of_ms;
    end->next_ordinal = record->first_ordinal;
    for (size_t i = 0; i < record->batch_count; i++)
        end->next_ordinal += record->batches[i].rows;
    return POISE_OK;
}

static poise_code find_end(struct writer *writer, struct journal_end *ret_end, poise_error *err)
{
    struct store_reader *reader;
    uint64_t last = store_last_lsn(writer->options.store);
    *ret_end = (struct journal_end){.as_of_ms = INT64_MIN, .next_ordinal = 1};
    if (last == 0)
        return POISE_OK;
    poise_code code = store_reader_open(writer->options.store, &reader, err);
    if (code)
        return code;
    code = store_read_journal(reader, last, last, NULL, note_end, ret_end, err);
    store_reader_close(reader);
    int64_t now_ms = clock_wall_ms(writer->options.clock);
    if (!writer->options.event_clock && now_ms > ret_end->as_of_ms)
        ret_end->as_of_ms = now_ms;
    return code;
}

/* The end of the last period that is closed at T, by the definition that was in force until now. */
static poise_code find_closed(struct writer *writer, const struct scorecard *card, int64_t as_of_ms,
                              int64_t *ret_closed_ms, poise_error *err)
{
    struct compiled before = {0};
    poise_code code =
        definitions_compile(&writer->definitions, card->id, card, as_of_ms, INT64_MAX, &before, err);
    if (!code && before.count > 0) {
        const struct scorecard *last = before.cards[before.count - 1];
        struct calendar calendar = scorecard_calendar(last, last->period);
        struct period period = period_at(&calendar, as_of_ms - last->grace_ms);
        *ret_closed_ms = period.end_ms <= as_of_ms - last->grace_ms ? period.end_ms : period.start_ms;
        int64_t before_ms = before.terms[before.count - 1].closed_ms; /* what was closed stays so */
        *ret_closed_ms = *ret_closed_ms > before_ms ? *ret_closed_ms : before_ms;
    }
    compiled_free(&before);
    return code;
}

/* What differs from the files that the aggregator was started with becomes a new definition, in force for all
 * periods that are not closed at T; what was never scored had none. */
static poise_code define(struct writer *writer, const struct scorecard *card, const struct journal_end *end,
                         poise_error *err)
{
    const struct definition *current = definitions_current(&writer->definitions, card->id);
    int64_t closed_ms = INT64_MIN;
    if (current && current->hash == card->hash)
        return POISE_OK;
    poise_code code = POISE_OK;
    if (current && end->as_of_ms != INT64_MIN && end->next_ordinal > 1)
        code = find_closed(writer, card, end->as_of_ms, &closed_ms, err);
    if (!code)
        code = definitions_define(&writer->definitions, card, closed_ms, err);
    if (code)
        return code;
    current = definitions_current(&writer->definitions, card->id);
    order_put(&writer->defining.body, current, true);
    char after[TIME_TEXT_MAX] = "";
    if (closed_ms != INT64_MIN)
        format_time_ms(closed_ms, after);
    log_event(writer->options.log, LOG_INFO, "defined", log_text("scorecard", card->id),
              log_int("definition", (int64_t)current->number), log_text("after", after));
    return writer->defining.body.failed ? error_nomem(err, "a definition") : POISE_OK;
}

/* Behind what was journaled of a settle that was not published (replay_settle). */
static poise_code settle_at(struct writer *writer, int64_t as_of_ms, poise_error *err)
{
    poise_code code = writer->changes ? POISE_OK : writer_begin_changes(writer, err);
    engine_end_backfills(writer->engine);
    if (!code)
        code = engine_begin(writer->engine, as_of_ms, err);
    if (!code)
        code = engine_settle(writer->engine, SIZE_MAX, writer_note_change, writer, err);
    buf_reset(&writer->bytes);
    for (struct changes *part = writer->changes; !code && part; part = part->next)
        if (changes_encode(part, as_of_ms, &writer->bytes))
            code = error_nomem(err, "the changes of a settle");
    return code;
}

/* What the old definitions still owe: revisions of late measurements that were journaled and not settled, or
 * wait for the end of a backfill. Once all is made anew nobody knows what was before them. */
static poise_code settle_old(struct writer *writer, const struct journal_end *end, poise_error *err)
{
    uint64_t records = 0;
    poise_code code = recover_state(writer, true, &records, err);
    if (code == POISE_EVERSION) /* nor does this version: another one has written the state */
        code = POISE_OK;
    else if (!code && engine_as_of_ms(writer->engine) != INT64_MIN)
        code = settle_at(writer, end->as_of_ms, err);
    engine_close(writer->engine);
    writer->engine = NULL;
    compiled_free(&writer->compiled);
    return code;
}

static bool are_revised(const struct changes *part)
{
    while (part && !part->revised)
        part = part->next;
    return part != NULL;
}

/* Journals the new definitions and what was settled before them, as one record; but those of a new store with
 * its first. */
static poise_code journal_definitions(struct writer *writer, const struct journal_end *end, poise_error *err)
{
    struct journal_batch batch = writer_record_of(&writer->defining);
    const struct journal_record record = {.as_of_ms = end->as_of_ms,
                                          .time_last = writer->options.event_clock,
                                          .settled = writer->changes != NULL,
                                          .revised = are_revised(writer->changes),
                                          .orders = true,
                                          .first_ordinal = end->next_ordinal,
                                          .min_time_ms = INT64_MAX,
                                          .max_time_ms = INT64_MIN,
                                          .batches = &batch,
                                          .batch_count = 1,
                                          .changes = writer->bytes.data,
                                          .changes_length = writer->changes ? writer->bytes.length : 0};
    poise_code code = store_append(writer->options.store, &record, &writer->definitions.defined_lsn, err);
    writer->definitions.folded_lsn = writer->definitions.defined_lsn;
    buf_free(&writer->defining.body);
    changes_free(writer->changes);
    writer->changes = writer->last = NULL;
    return code;
}

poise_code load_stored(struct writer *writer, poise_error *err)
{
    struct store *store = writer->options.store;
    poise_code code = definitions_load(&writer->stored, store, &writer->made_lsn, &writer->begun_lsn, err);
    if (!code && writer->stored.folded_lsn < writer->made_lsn && store_last_lsn(store) > 0)
        code = definitions_fold(&writer->stored, store, NULL, writer->made_lsn, 0, NULL, err);
    return code;
}

/* A scorecard that comes or goes changes what cells are kept. */
bool has_changed(const struct writer *writer)
{
    bool changed = writer->options.card_count != writer->stored.configured_count;
    for (size_t i = 0; i < writer->options.card_count; i++) {
        const struct scorecard *card = writer->options.cards[i];
        const struct definition *current = definitions_current(&writer->definitions, card->id);
        changed |=
            !definitions_configured(&writer->stored, card->id) || !current || current->hash != card->hash;
    }
    return changed;
}

poise_code find_definitions(struct writer *writer, poise_error *err)
{
    struct store *store = writer->options.store;
    uint64_t unused;
    struct journal_end end;
    poise_code code = load_stored(writer, err);
    if (!code)
        code = definitions_load(&writer->definitions, store, &unused, &unused, err);
    if (!code)
        code = definitions_fold(&writer->definitions, store, NULL, store_last_lsn(store), 0, NULL, err);
    if (!code)
        code = find_end(writer, &end, err);
    writer->defining.producer = DEFINE_PRODUCER;
    if (code || !has_changed(writer))
        return code;
    if (store_last_lsn(store) > 0 && end.as_of_ms != INT64_MIN && state_is_made(writer))
        code = settle_old(writer, &end, err);
    for (size_t i = 0; !code && i < writer->options.card_count; i++)
        code = define(writer, writer->options.cards[i], &end, err);
    if (!code)
        code = check_serves(writer, err);
    return !code && store_last_lsn(store) > 0 ? journal_definitions(writer, &end, err) : code;
}
