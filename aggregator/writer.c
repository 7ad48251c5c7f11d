#include "writer.h"

#include "inquiry.h"
#include "rescore.h"
#include "restate.h"
#include "writer_private.h"
#include <base/error.h>
#include <base/text.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RETRY_US = 200000,
    IDLE_SETTLE_US = 1000000,
    SETTLE_NODES = 16384, /* looked at in a slice, some 3 ms: ingest waits no longer when a period ends */
    KEYS_MAX = 1 << 20,   /* unsaved ones, some 100 bytes each; then a checkpoint is due */
    CHECKPOINT_LEAST_US = 100000,
    SLICES_OWED = 4,   /* at most, behind a commit */
    SLICE_EACH = 4,    /* commits, while they do not end, a slice of a checkpoint comes */
    SLICES_MAX = 1024, /* of a settle; then one has no limit, so that it ends under any load */
    STREAM_WAIT_US = 10000000
};

static int64_t now_us(const struct writer *writer)
{
    return clock_monotonic_us(writer->options.clock);
}

static bool has_work(const struct writer *writer)
{
    return ring_count(writer->options.from_ingest) > 0 || ring_count(writer->options.to_restate) > 0;
}

/* By the event clock, before the first event: nothing is settled, and there is no state to write down. */
static bool is_timeless(const struct writer *writer)
{
    return engine_as_of_ms(writer->engine) == INT64_MIN;
}

/* ---- what changed ---- */

poise_code writer_note_change(void *visitor, const poise_state *state)
{
    struct writer *writer = visitor;
    return changes_add(&writer->last, state);
}

poise_code writer_begin_changes(struct writer *writer, poise_error *err)
{
    writer->changes = writer->last = changes_open();
    return writer->changes ? POISE_OK : error_nomem(err, "the changes of a settle");
}

/* ---- apply ---- */

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
    struct feed_options options = {
        .producer = batch->producer, .now_ms = now_ms, .on_refusal = refuse_row, .context = &refusing};
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
    if (!is_timeless(writer)) {
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

static poise_code gather_waiting(struct writer *writer, int64_t now_ms, poise_error *err)
{
    size_t rows = 0;
    struct batch *batch;
    while (rows < COMMIT_ROWS && writer->batch_count < COMMIT_BATCHES &&
           (batch = ring_pop(writer->options.from_ingest))) {
        rows += batch->rows.rows;
        writer->batches[writer->batch_count++] = batch;
        poise_code code = apply_batch(writer, batch, now_ms, err);
        if (!code)
            code = hear_sources(writer, batch, err);
        if (code)
            return code;
    }
    return POISE_OK;
}

/* Takes what is waiting, up to a commit's worth; an operator's order is a commit of its own. */
static poise_code gather(struct writer *writer, poise_error *err)
{
    int64_t now_ms = clock_wall_ms(writer->options.clock);
    writer->batch_count = 0;
    writer->summary = feed_nothing;
    writer->record = (struct journal_record){.first_ordinal = engine_ordinal(writer->engine) + 1,
                                             .time_last = writer->options.event_clock};
    if (!writer->options.event_clock) {
        poise_code code = engine_begin(writer->engine, now_ms, err);
        if (code)
            return code;
    }
    if (!writer->part) /* an order begins a settle of its own */
        writer->ordering = ring_pop(writer->options.to_restate);
    poise_code code = !writer->ordering           ? gather_waiting(writer, now_ms, err)
                      : writer->ordering->rescore ? gather_rescored(writer, err)
                                                  : gather_restated(writer, err);
    if (code)
        return code;
    if (writer->options.event_clock && writer->summary.max_time_ms != INT64_MIN)
        return engine_begin(writer->engine, writer->summary.max_time_ms + 1, err);
    return POISE_OK;
}

/* ---- settle ---- */

/* Scores that wait for a settle: measurements that were only applied, or, by the wall clock, time that went
 * by; or the rest of a settle. */
static int64_t settle_wait_us(const struct writer *writer)
{
    if (is_timeless(writer) && writer->options.event_clock)
        return INT64_MAX;
    if (writer->slices || writer->part)
        return 0;
    if (engine_dirty(writer->engine))
        return writer->settled_us + writer->options.settle_ms * 1000 - now_us(writer);
    if (!writer->options.event_clock)
        return writer->settled_us + IDLE_SETTLE_US - now_us(writer);
    return INT64_MAX;
}

static int64_t checkpoint_wait_us(const struct writer *writer)
{
    if (is_timeless(writer) || engine_holds(writer->engine) || writer->part || checkpoint_runs(writer) ||
        store_last_lsn(writer->options.store) <= writer->checkpoint_lsn)
        return INT64_MAX;
    bool many = engine_unsaved_keys(writer->engine) >= KEYS_MAX;
    int64_t after_us = many ? CHECKPOINT_LEAST_US : writer->options.checkpoint_ms * 1000;
    return writer->checkpoint_us + after_us - now_us(writer);
}

static bool checkpoint_due(const struct writer *writer)
{
    return checkpoint_wait_us(writer) <= 0;
}

/* A slice of a settle, or all of it. What it changed goes on its way when it is whole: then every node is as
 * of the same T. */
static poise_code settle_slice(struct writer *writer, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_code code = writer->slices == 0 ? writer_begin_changes(writer, err) : POISE_OK;
    if (code)
        return code;
    bool bounded = writer->slices < SLICES_MAX && !writer->outrun;
    size_t before = writer->slices == 0 ? SIZE_MAX : engine_marked(writer->engine);
    code = engine_settle(writer->engine, bounded ? SETTLE_NODES : SIZE_MAX, writer_note_change, writer, err);
    if (code)
        return code;
    int64_t end = now_us(writer);
    stats_time(writer->options.stats, STAT_settles, STAT_settle_us, STAT_settle_max_us, end - start);
    writer->slices++;
    size_t after = engine_marked(writer->engine);
    writer->outrun = after > 0 && after >= before;
    if (engine_dirty(writer->engine))
        return POISE_OK;
    writer->slices = 0;
    writer->settled_us = end;
    writer->record.settled = true;
    writer->changes->as_of_ms = engine_as_of_ms(writer->engine);
    writer->part = writer->changes;
    return POISE_OK;
}

/* While nobody waits it need not be cut: who was acknowledged then finds what was sent in the scores. */
static poise_code settle(struct writer *writer, poise_error *err)
{
    poise_code code;
    do
        code = settle_slice(writer, err);
    while (!code && writer->slices > 0 && !has_work(writer));
    return code;
}

static poise_code put_part(struct writer *writer, poise_error *err)
{
    struct changes *part = writer->part;
    writer->record.revised |= part->revised;
    stats_add(writer->options.stats, STAT_changes, part->count);
    return changes_encode(part, writer->changes->as_of_ms, &writer->bytes)
               ? error_nomem(err, "the changes of a settle")
               : POISE_OK;
}

/* The part that the commit journals. What a rescore changes is not parted: it is there with its order, as a
 * whole or not at all. */
static poise_code add_part(struct writer *writer, poise_error *err)
{
    bool whole = writer->ordering && writer->ordering->rescore;
    buf_reset(&writer->bytes);
    poise_code code = put_part(writer, err);
    while (!code && whole && writer->part->next) {
        writer->part = writer->part->next;
        code = put_part(writer, err);
    }
    writer->record.more = writer->part->next != NULL;
    writer->record.changes = writer->bytes.data;
    writer->record.changes_length = writer->bytes.length;
    return code;
}

/* Scores wait for a settle, or what it changed for the disk. */
static bool is_unsettled(const struct writer *writer)
{
    return writer->part || (settle_wait_us(writer) != INT64_MAX && engine_dirty(writer->engine));
}

/* ---- commit and publish ---- */

/* The stream takes its queue quickly whatever its subscribers do; the writer waits for it rather than lose a
 * change, but not for one that has died. */
static poise_code push_changes(struct writer *writer, struct changes *changes, poise_error *err)
{
    int64_t deadline_us = now_us(writer) + STREAM_WAIT_US;
    while (!ring_push(writer->options.to_stream, changes)) {
        if (now_us(writer) > deadline_us) {
            changes_free(changes);
            return error_set(err, POISE_ETIMEOUT, "the stream has taken no changes for %d s",
                             STREAM_WAIT_US / 1000000);
        }
        stats_add(writer->options.stats, STAT_stream_full, 1);
        net_wake_up(writer->options.stream_wake);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    net_wake_up(writer->options.stream_wake);
    return POISE_OK;
}

static poise_code publish(struct writer *writer, poise_error *err)
{
    struct changes *changes = writer->changes;
    writer->changes = writer->last = writer->part = NULL;
    return push_changes(writer, changes, err);
}

/* After a commit: what the settle changed is published when its last part is on disk. */
static poise_code next_part(struct writer *writer, uint64_t lsn, poise_error *err)
{
    if (writer->changes->lsn == 0)
        writer->changes->lsn =
            lsn; /* of the record that was settled: scores are of the journal up to there */
    writer->part = writer->part->next;
    return writer->part ? POISE_OK : publish(writer, err);
}

static poise_code give_back(struct writer *writer, poise_error *err)
{
    for (size_t i = 0; i < writer->batch_count; i++) {
        struct batch *batch = writer->batches[i];
        if (writer->ordering || batch == &writer->defining)
            continue; /* of no producer */
        struct ledger_entry *entry = ledger_add(&writer->ledger, batch->producer, batch->epoch);
        if (!entry || !ledger_commit(entry, batch->seq, batch->hash, batch->refused, batch->reasons,
                                     batch->refused_count))
            return error_nomem(err, "the ledger of producers");
        if (!ring_push(writer->options.to_ingest, batch))
            return error_set(err, POISE_EFULL, "ingest's queue is smaller than the pool of batches");
    }
    if (writer->batch_count && !writer->ordering)
        net_wake_up(writer->options.ingest_wake);
    writer->batch_count = 0;
    return POISE_OK;
}

static poise_code end_order(struct writer *writer, uint64_t lsn, poise_error *err)
{
    struct restate *restate = writer->ordering->restate;
    struct rescore *rescore = writer->ordering->rescore;
    if (rescore) {
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

/* The definitions of a new store go with its first record, whatever that is. */
static void add_defining(struct writer *writer)
{
    writer->batches[writer->batch_count] = &writer->defining;
    writer->records[writer->batch_count++] = writer_record_of(&writer->defining);
    writer->record.orders = true;
}

static poise_code write_record(struct writer *writer, uint64_t *ret_lsn, poise_error *err)
{
    uint64_t lsn;
    int64_t start = now_us(writer);
    poise_error problem = {0};
    poise_code code = store_append(writer->options.store, &writer->record, &lsn, &problem);
    if (code == POISE_EFULL) { /* nothing happened; producers run out of credit and wait with us */
        if (!writer->pending)
            log_event(writer->options.log, LOG_ERROR, "no_room", log_text("reason", problem.text));
        stats_add(writer->options.stats, STAT_commit_retries, 1);
        writer->pending = true;
        writer->retry_us = start + RETRY_US;
        return POISE_OK;
    }
    if (code) {
        if (err)
            *err = problem;
        return error_wrap(err, "commit failed, ending before anything is acknowledged");
    }
    if (writer->pending)
        log_event(writer->options.log, LOG_INFO, "room_again", log_int("lsn", (int64_t)lsn));
    writer->pending = false;
    stats_time(writer->options.stats, STAT_commits, STAT_commit_us, STAT_commit_max_us,
               now_us(writer) - start);
    writer->slice_commits++;
    writer->slice_rows += writer->summary.accepted;
    if (writer->slice_rows > SLICES_OWED * SLICE_ROWS)
        writer->slice_rows = SLICES_OWED * SLICE_ROWS;
    stats_set(writer->options.stats, STAT_lsn, lsn);
    stats_set(writer->options.stats, STAT_series, engine_series_count(writer->engine));
    stats_add(writer->options.stats, STAT_rows_accepted, writer->summary.accepted);
    stats_add(writer->options.stats, STAT_rows_refused, writer->summary.refused);
    if (writer->defining.body.length) {
        writer->definitions.defined_lsn = lsn;
        buf_free(&writer->defining.body);
    }
    *ret_lsn = lsn;
    return writer->part ? next_part(writer, lsn, err) : POISE_OK;
}

/* Behind a commit: another part of a settle, or the settle that the one on its way has held up. */
static poise_code write_more(struct writer *writer, poise_error *err)
{
    uint64_t lsn;
    poise_code code = POISE_OK;
    writer->summary = feed_nothing;
    writer->record = (struct journal_record){.as_of_ms = engine_as_of_ms(writer->engine),
                                             .first_ordinal = engine_ordinal(writer->engine) + 1,
                                             .min_time_ms = feed_nothing.min_time_ms,
                                             .max_time_ms = feed_nothing.max_time_ms,
                                             .time_last = writer->options.event_clock};
    if (!writer->part)
        code = settle(writer, err);
    if (code || !writer->part)
        return code;
    if (writer->part->count == 0)
        return publish(writer, err);
    code = add_part(writer, err);
    return code ? code : write_record(writer, &lsn, err);
}

/* While nobody waits all is settled, and on its way, before the batches are given back: who is acknowledged
 * then finds in the scores what was sent. */
static poise_code commit(struct writer *writer, poise_error *err)
{
    uint64_t lsn = 0;
    poise_code code = write_record(writer, &lsn, err);
    while (!code && !writer->pending && !writer->ordering && !has_work(writer) && is_unsettled(writer))
        code = write_more(writer, err);
    if (code || writer->pending)
        return code;
    code = give_back(writer, err);
    return !code && writer->ordering ? end_order(writer, lsn, err) : code;
}

/* One commit: what is waiting, or what time alone has changed. */
static poise_code work(struct writer *writer, poise_error *err)
{
    poise_code code = gather(writer, err);
    if (code)
        return code;
    bool idle = !has_work(writer);
    bool due = settle_wait_us(writer) <= 0;
    /* Who comes between two slices need not wait for the next. */
    bool is_cut = writer->slices > 0 && writer->batch_count > 0 && !writer->ordering;
    if (!is_timeless(writer) && !writer->part && !is_cut &&
        (idle || due || checkpoint_due(writer))) /* a checkpoint wants a settled engine */
        code = settle(writer, err);
    if (code)
        return code;
    if (writer->batch_count == 0 && !writer->part)
        return POISE_OK; /* a slice */
    if (writer->batch_count == 0 && writer->part->count == 0)
        return publish(writer, err); /* no change, but T has moved */
    writer->record.as_of_ms = engine_as_of_ms(writer->engine);
    writer->record.min_time_ms = writer->summary.min_time_ms;
    writer->record.max_time_ms = writer->summary.max_time_ms;
    if (writer->defining.body.length)
        add_defining(writer);
    writer->record.batches = writer->records;
    writer->record.batch_count = writer->batch_count;
    code = writer->part ? add_part(writer, err) : POISE_OK;
    if (!code)
        code = commit(writer, err);
    return !code && is_cut && !writer->pending && writer->slices > 0 ? write_more(writer, err) : code;
}

/* ---- the step ---- */

poise_code writer_step(struct writer *writer, poise_error *err)
{
    if (writer->pending)
        return now_us(writer) >= writer->retry_us ? commit(writer, err) : POISE_OK;
    bool idle = !has_work(writer) && settle_wait_us(writer) > 0;
    bool behind = engine_unsaved_keys(writer->engine) >= KEYS_MAX && writer->slice_rows >= SLICE_ROWS;
    bool may_slice = idle || behind || writer->slice_commits >= SLICE_EACH;
    if (may_slice && piece_due(writer) &&
        (writer->piece_first || !(checkpoint_runs(writer) || upkeep_due(writer, idle))))
        return piece_step(writer, err);
    if (may_slice && checkpoint_runs(writer))
        return checkpoint_step(writer, err);
    if (may_slice && upkeep_due(writer, idle))
        return upkeep_step(writer, idle, err);
    if (checkpoint_due(writer) && !engine_dirty(writer->engine))
        return checkpoint_step(writer, err);
    poise_code code = POISE_OK;
    if (has_work(writer) || settle_wait_us(writer) <= 0 || checkpoint_due(writer))
        code = work(writer, err);
    if (!code && !writer->pending) /* nobody is silent whose batches only wait */
        silence_look(&writer->silence);
    return code;
}

int64_t writer_idle_ms(struct writer *writer)
{
    int64_t wait = settle_wait_us(writer);
    if (writer->pending)
        wait = writer->retry_us - now_us(writer);
    else if (has_work(writer) || checkpoint_runs(writer) || upkeep_due(writer, true) || piece_due(writer))
        return 0;
    int64_t checkpoint_wait = writer->pending ? INT64_MAX : checkpoint_wait_us(writer);
    if (checkpoint_wait < wait)
        wait = checkpoint_wait;
    if (!writer->pending && writer->silence.due_us != INT64_MAX &&
        writer->silence.due_us - now_us(writer) < wait)
        wait = writer->silence.due_us - now_us(writer);
    if (wait == INT64_MAX)
        return -1;
    return wait <= 0 ? 0 : wait / 1000 + 1;
}

poise_code writer_finish(struct writer *writer, poise_error *err)
{
    poise_code code = POISE_OK;
    if (writer->pending)
        code = commit(writer, err);
    while (!code && !writer->pending && (has_work(writer) || is_unsettled(writer)))
        code = work(writer, err);
    bool settled = !writer->part && !engine_dirty(writer->engine);
    if (!code && checkpoint_runs(writer))
        code = checkpoint(writer, err);
    if (!code && !writer->pending && settled && !engine_holds(writer->engine))
        code = checkpoint(writer, err);
    return code;
}

/* ---- life ---- */

poise_code writer_ledger(struct writer *writer, struct ledger *ret_ledger, poise_error *err)
{
    struct ledger copy = {0};
    struct buf key = {0}, value = {0};
    struct ledger_entry *entry;
    poise_code code = POISE_OK;
    for (size_t at = 0; !code && (entry = hmap_next(&writer->ledger.map, &at));) {
        buf_reset(&key);
        buf_reset(&value);
        ledger_encode(entry, &key, &value);
        code = key.failed || value.failed ? POISE_ENOMEM
                                          : ledger_decode(&copy, cursor_of(key.data, key.length),
                                                          cursor_of(value.data, value.length));
    }
    buf_free(&key);
    buf_free(&value);
    if (code) {
        ledger_free(&copy);
        return error_nomem(err, "the ledger of producers");
    }
    *ret_ledger = copy;
    return POISE_OK;
}

/* The stream's board starts from all states as they were settled last. */
static poise_code publish_all(struct writer *writer, poise_error *err)
{
    if (is_timeless(writer))
        return POISE_OK; /* nothing was ever settled */
    struct changes *owed = writer->changes;
    poise_code code = writer_begin_changes(writer, err);
    if (!code)
        code = engine_states(writer->engine, NULL, NULL, writer_note_change, writer, err);
    if (!code) {
        writer->changes->lsn = store_last_lsn(writer->options.store);
        writer->changes->as_of_ms = engine_as_of_ms(writer->engine);
        code = publish(writer, err);
    } else if (code == POISE_ENOTFOUND) { /* likewise: it ended before its first settle was done */
        changes_free(writer->changes);
        code = POISE_OK;
    }
    writer->changes = writer->last = NULL;
    if (!owed || owed->count == 0) {
        changes_free(owed);
        return code;
    }
    writer->changes = writer->part = owed;
    writer->changes->as_of_ms = engine_as_of_ms(writer->engine);
    return code;
}

/* What is due since, before anybody is let in: nobody is shown an earlier T than before the start, nor scores
 * without what the last records brought. */
static poise_code settle_first(struct writer *writer, poise_error *err)
{
    poise_code code = POISE_OK;
    writer->checkpoint_us = now_us(writer);
    writer->settled_us = writer->checkpoint_us - IDLE_SETTLE_US;
    while (!code && !is_timeless(writer) && !writer->pending && settle_wait_us(writer) <= 0)
        code = work(writer, err);
    return code;
}

poise_code writer_open(const struct writer_options *options, struct writer **ret_writer, poise_error *err)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return error_nomem(err, "the writer");
    writer->options = *options;
    arena_init(&writer->arena, 0);
    poise_code code = recover(writer, err);
    struct silence_options silence = {.engine = writer->engine,
                                      .stats = options->stats,
                                      .log = options->log,
                                      .clock = options->clock,
                                      .after_ms = options->silent_after_ms};
    if (!code)
        code = silence_open(&writer->silence, &silence, err);
    if (!code)
        code = publish_all(writer, err);
    if (!code)
        code = settle_first(writer, err);
    if (code) {
        writer_close(writer);
        return code;
    }
    *ret_writer = writer;
    return POISE_OK;
}

void writer_clear(struct writer *writer)
{
    engine_close(writer->engine);
    compiled_free(&writer->compiled);
    definitions_free(&writer->definitions);
    definitions_free(&writer->stored);
    batch_free(&writer->defining);
    ledger_free(&writer->ledger);
    feed_free(&writer->feed);
    names_free(&writer->inputs);
    silence_free(&writer->silence);
    arena_free(&writer->arena);
    buf_free(&writer->bytes);
    changes_free(writer->changes);
    piece_free(writer->piece);
}

void writer_close(struct writer *writer)
{
    if (writer)
        writer_clear(writer);
    free(writer);
}
