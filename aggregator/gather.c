#include "erase.h"
#include "inquiry.h"
#include "rescore.h"
#include "restate.h"
#include "writer_private.h"
#include <base/error.h>
#include <base/text.h>

struct refusing {
    struct batch *batch;
};

static poise_code refuse_row(void *context, uint32_t row, poise_refusal reason)
{
    return batch_refuse(((struct refusing *)context)->batch, row, reason);
}

struct journal_batch writer_record_of(const struct batch *batch)
{
    return (struct journal_batch){.producer = batch->producer,
                                  .epoch = batch->epoch,
                                  .seq = batch->seq,
                                  .hash = batch->hash,
                                  .refused = batch->refused,
                                  .reasons = batch->reasons,
                                  .refused_count = batch->refused_count,
                                  .rows = (uint32_t)batch->rows.rows,
                                  .body = batch->body.data,
                                  .body_length = batch->body.length,
                                  .notes = batch->notes.data,
                                  .notes_length = batch->notes.length};
}

/* What the rows that were just applied did. */
static poise_code note_batch(const struct feed *feed, struct batch *batch)
{
    const struct journal_notes notes = {.series = feed->numbers,
                                        .series_count = batch->rows.series_count,
                                        .gone = feed->gone,
                                        .gone_count = feed->gone_count};
    return batch->rows.rows ? notes_encode(&notes, &batch->notes) : POISE_OK;
}

static poise_code apply_batch(struct writer *writer, struct batch *batch, int64_t now_ms, poise_error *err)
{
    poise_code code = POISE_OK;
    struct refusing refusing = {batch};
    struct feed_options options = {.producer = batch->producer,
                                   .denied = batch->denied.length ? batch->denied.data : NULL,
                                   .now_ms = now_ms,
                                   .on_refusal = refuse_row,
                                   .context = &refusing};
    if (batch->malformed)
        code = batch_refuse(batch, WIRE_ROW_ALL, POISE_REFUSAL_MALFORMED);
    else
        code = feed_batch(&writer->feed, writer->engine, &batch->rows, &options, &writer->summary, err);
    if (!code)
        code = note_batch(&writer->feed, batch);
    if (code)
        return err && err->code == code ? code : error_nomem(err, "the refusals and notes of a batch");
    writer->records[writer->batch_count - 1] = writer_record_of(batch);
    return POISE_OK;
}

static poise_code answer_order(struct writer *writer, poise_error *err)
{
    struct inquiry *inquiry = writer->ordering;
    writer->ordering = NULL;
    if (!ring_push(writer->options.restated, inquiry))
        return error_set(err, POISE_EFULL, "the queue of answers is smaller than the number of questions");
    net_wake_up(writer->options.stream_wake);
    return POISE_OK;
}

/* Applies what an operator lets in: locks do not hold it up, as nothing does that was let in before. */
static poise_code gather_restated(struct writer *writer, poise_error *err)
{
    struct inquiry *inquiry = writer->ordering;
    struct restate *restate = inquiry->restate;
    if (restate->found_lsn < writer->restated_lsn) { /* what it found may be let in already */
        inquiry->error.code =
            error_set(&inquiry->error, POISE_EBUSY, "another restatement came first; try again");
        return answer_order(writer, err);
    }
    poise_code code = POISE_OK;
    for (size_t i = 0; !code && i < restate->count; i++) {
        writer->batches[writer->batch_count++] = &restate->batches[i];
        code = apply_batch(writer, &restate->batches[i], INT64_MAX, err);
        restate->refused += restate->batches[i].refused_count;
    }
    return code;
}

/* Takes out what an operator has erased, in locked periods too. Who rereads a period from now on is without
 * it. */
static poise_code gather_erased(struct writer *writer, poise_error *err)
{
    struct inquiry *inquiry = writer->ordering;
    struct erase *erase = inquiry->erase;
    if (erase->found_lsn < writer->restated_lsn) { /* another may have erased, or let in, some of it */
        inquiry->error.code = error_set(&inquiry->error, POISE_EBUSY, "another order came first; try again");
        return answer_order(writer, err);
    }
    if (erase_check(erase, writer->engine, &inquiry->error))
        return answer_order(writer, err);
    poise_code code = erasures_take(&writer->erasures, erase->order.body.data, erase->order.body.length,
                                    store_last_lsn(writer->options.store) + 1, err);
    if (!code)
        code = erase_apply(erase, writer->engine, err);
    writer->batches[writer->batch_count] = &erase->order;
    writer->records[writer->batch_count] = writer_record_of(&erase->order);
    writer->records[writer->batch_count++].rows = 1; /* its place, which revisions name */
    writer->record.orders = true;
    return code;
}

/* Settles what is waiting for it, so that the scores of before are whole; then has the current definition
 * come in force for periods that are closed. The settle of this commit does the rest, in one go. */
static poise_code gather_rescored(struct writer *writer, poise_error *err)
{
    struct inquiry *inquiry = writer->ordering;
    struct rescore *rescore = inquiry->rescore;
    const struct rescore_target target = {.engine = writer->engine,
                                          .cards = writer->options.cards,
                                          .card_count = writer->options.card_count,
                                          .definitions = &writer->definitions};
    poise_code code = POISE_OK;
    if (!writer_is_timeless(writer)) {
        code = writer->slices == 0 ? writer_begin_changes(writer, err) : POISE_OK;
        writer->slices = SLICES_MAX;
        if (!code)
            code = engine_settle(writer->engine, SIZE_MAX, writer_note_change, writer, err);
        if (!code)
            code = rescore_apply(rescore, inquiry->scorecard, &target, writer_note_change, writer,
                                 &inquiry->error, err);
    }
    if (code)
        return code;
    if (rescore->scorecards == 0) { /* nothing to do, or nothing that could be done */
        if (!inquiry->error.code)
            inquiry_done(inquiry);
        return answer_order(writer, err);
    }
    writer->batches[writer->batch_count] = &rescore->order;
    writer->records[writer->batch_count] = writer_record_of(&rescore->order);
    writer->records[writer->batch_count++].rows = 1; /* its place, which revisions name */
    writer->record.orders = true;
    return POISE_OK;
}

/* Once a series of a batch: its rows came at the same time. */
static poise_code hear_sources(struct writer *writer, const struct batch *batch, poise_error *err)
{
    poise_code code = POISE_OK;
    uint32_t before = UINT32_MAX;
    for (size_t i = 0; !code && i < batch->rows.series_count; i++) {
        uint32_t source =
            writer->feed.known[i] == FEED_ACCEPTED ? engine_series_source(writer->feed.series[i]) : before;
        if (source != before)
            code = silence_hear(&writer->silence, source, err);
        before = source;
    }
    return code;
}

bool gather_is_full(const struct writer *writer)
{
    return writer->rows >= COMMIT_ROWS || writer->batch_count >= COMMIT_BATCHES;
}

static poise_code gather_waiting(struct writer *writer, poise_error *err)
{
    struct batch *batch;
    while (!gather_is_full(writer) && (batch = ring_pop(writer->options.from_ingest))) {
        writer->rows += batch->rows.rows;
        writer->batches[writer->batch_count++] = batch;
        poise_code code = apply_batch(writer, batch, writer->begun_ms, err);
        if (!code)
            code = hear_sources(writer, batch, err);
        if (code)
            return code;
    }
    return POISE_OK;
}

/* What producers have lost, as far as it is on disk. */
static poise_code tell_losses(struct writer *writer, poise_error *err)
{
    struct inquiry *inquiry = writer->ordering;
    poise_code code = ledger_put_losses(&writer->ledger, inquiry->id, &inquiry->bodies);
    if (!code)
        code = inquiry_end_body(inquiry);
    if (code)
        inquiry->error.code = error_nomem(&inquiry->error, "the losses of producers");
    return answer_order(writer, err);
}

poise_code gather_refuse_orders(struct writer *writer, poise_error *err)
{
    poise_code code = POISE_OK;
    while (!code && !writer->ordering && (writer->ordering = ring_pop(writer->options.to_restate))) {
        struct inquiry *inquiry = writer->ordering;
        if (inquiry->losses) {
            code = tell_losses(writer, err);
            continue;
        }
        inquiry->error.code = error_set(&inquiry->error, POISE_EFULL,
                                        "the store has no room (the log says how much it lacks), so this was "
                                        "not done; make room on its disk and try again");
        code = answer_order(writer, err);
    }
    return code;
}

/* T is the same for all of a commit: a replay knows only one. */
static poise_code begin_commit(struct writer *writer, poise_error *err)
{
    writer->begun_ms = clock_wall_ms(writer->options.clock);
    writer->rows = 0;
    writer->summary = feed_nothing;
    writer->record = (struct journal_record){.first_ordinal = engine_ordinal(writer->engine) + 1,
                                             .time_last = writer->options.event_clock};
    return writer->options.event_clock ? POISE_OK : engine_begin(writer->engine, writer->begun_ms, err);
}

poise_code gather_commit(struct writer *writer, poise_error *err)
{
    bool begins = writer->batch_count == 0;
    poise_code code = begins ? begin_commit(writer, err) : POISE_OK;
    if (code)
        return code;
    if (begins && !writer->away && !writer->part) /* an order begins a settle of its own */
        writer->ordering = ring_pop(writer->options.to_restate);
    if (writer->ordering && writer->ordering->losses)
        return tell_losses(writer, err);
    return !writer->ordering           ? gather_waiting(writer, err)
           : writer->ordering->rescore ? gather_rescored(writer, err)
           : writer->ordering->erase   ? gather_erased(writer, err)
                                       : gather_restated(writer, err);
}

poise_code gather_end(struct writer *writer, poise_error *err)
{
    return writer->options.event_clock && writer->summary.max_time_ms != INT64_MIN
               ? engine_begin(writer->engine, writer->summary.max_time_ms + 1, err)
               : POISE_OK;
}

poise_code gather_end_order(struct writer *writer, uint64_t lsn, poise_error *err)
{
    struct restate *restate = writer->ordering->restate;
    struct rescore *rescore = writer->ordering->rescore;
    struct erase *erase = writer->ordering->erase;
    if (erase) {
        erase->lsn = writer->restated_lsn = lsn;
        writer_note_erasures(writer);
        log_event(writer->options.log, LOG_INFO, "erased", log_text("reason", erase->reason),
                  log_text("measure", erase->measure), log_text("org", erase->org),
                  log_int("rows", (int64_t)(erase->count + erase->held)),
                  log_int("counted", (int64_t)erase->counted), log_int("lsn", (int64_t)lsn));
    } else if (rescore) {
        char from[TIME_TEXT_MAX];
        rescore->lsn = lsn;
        format_time_ms(rescore->from_ms, from);
        log_event(writer->options.log, LOG_INFO, "rescored", log_text("reason", rescore->reason),
                  log_text("scorecard", writer->ordering->scorecard), log_text("from", from),
                  log_int("revised", (int64_t)rescore->revised), log_int("lsn", (int64_t)lsn));
    } else {
        restate->lsn = writer->restated_lsn = lsn;
        log_event(writer->options.log, LOG_INFO, "restated", log_text("reason", restate->reason),
                  log_text("measure", restate->measure), log_text("org", restate->org),
                  log_int("rows", (int64_t)restate->rows), log_int("lsn", (int64_t)lsn));
    }
    inquiry_done(writer->ordering);
    return answer_order(writer, err);
}
