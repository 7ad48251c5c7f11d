#include "writer.h"

#include "inquiry.h"
#include "writer_private.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_US = 200000,
    IDLE_SETTLE_US = 1000000,
    SETTLE_NODES = 16384, /* looked at in a slice, some 3 ms: ingest waits no longer when a period ends */
    CHECKPOINT_LEAST_US = 100000,
    SETTLE_FIRST_ROWS = 64, /* at three levels some 750 nodes, which take about as long as a sync */
    OUTRUN_MAX = 16         /* each time a slice is twice as long */
};

static int64_t now_us(const struct writer *writer)
{
    return clock_monotonic_us(writer->options.clock);
}

static bool has_work(const struct writer *writer)
{
    return ring_count(writer->options.from_ingest) > 0 || ring_count(writer->options.to_restate) > 0;
}

const struct flight *writer_flight_away(const struct writer *writer)
{
    return writer->away ? writer->away->flight : NULL;
}

bool writer_is_timeless(const struct writer *writer)
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

/* ---- settle ---- */

/* Scores that wait for a settle: measurements that were only applied, or, by the wall clock, time that went
 * by; or the rest of a settle. */
static int64_t settle_wait_us(const struct writer *writer)
{
    if (writer_is_timeless(writer) && writer->options.event_clock)
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
    if (writer_is_timeless(writer) || engine_holds(writer->engine) || checkpoint_runs(writer) ||
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

/* Whether a slice has left nearly all that there was: of units when it began, and, once none waits, of closed
 * periods when the one before had ended, since who comes meanwhile may have those looked at anew. */
static bool is_outrun(struct writer *writer, size_t before)
{
    size_t after = engine_marked(writer->engine);
    uint64_t past_before_ms = writer->slices == 1 ? UINT64_MAX : writer->past_ms;
    writer->past_ms = after > 0 ? UINT64_MAX : engine_past_ms(writer->engine);
    return after > 0 ? after >= before - before / 32
                     : writer->past_ms > 0 && writer->past_ms >= past_before_ms - past_before_ms / 32;
}

/* A slice of a settle, or all of it. What it changed goes on its way when it is whole: then every node is as
 * of the same T. */
static poise_code settle_slice(struct writer *writer, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_code code = writer->slices == 0 ? writer_begin_changes(writer, err) : POISE_OK;
    if (code)
        return code;
    size_t budget = writer->slices < SLICES_MAX ? (size_t)SETTLE_NODES << writer->outrun : SIZE_MAX;
    size_t before = writer->slices == 0 ? SIZE_MAX : engine_marked(writer->engine);
    code = engine_settle(writer->engine, budget, writer_note_change, writer, err);
    if (code)
        return code;
    int64_t end = now_us(writer);
    stats_time(writer->options.stats, STAT_settles, STAT_settle_us, STAT_settle_max_us, end - start);
    stats_histogram(writer->options.stats, HISTOGRAM_settle_time_us, end - start);
    writer->slices++;
    if (is_outrun(writer, before) && writer->outrun < OUTRUN_MAX)
        writer->outrun++;
    if (engine_dirty(writer->engine))
        return POISE_OK;
    writer->slices = 0;
    writer->outrun = 0;
    writer->settled_us = end;
    writer->record.settled = true;
    writer->changes->as_of_ms = engine_as_of_ms(writer->engine);
    writer->part = writer->changes;
    return POISE_OK;
}

/* Before a commit, while nobody waits. Where the last one found more behind it, so will this one, and what it
 * has to settle may wait for that; but not where it is less than another sync. */
static bool settles_first(const struct writer *writer)
{
    return !has_work(writer) && !writer->away && (!writer->busy || writer->rows <= SETTLE_FIRST_ROWS);
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

static poise_code publish(struct writer *writer, poise_error *err)
{
    struct changes *changes = writer->changes;
    writer->changes = writer->last = writer->part = NULL;
    writer->checkpoint_owes = false;
    return publish_changes(changes, &writer->options, err);
}

/* What the settle changed is published when its last part is on disk. */
static struct changes *end_part(struct writer *writer, uint64_t lsn)
{
    struct changes *changes = writer->changes;
    if (changes->lsn == 0)
        changes->lsn = lsn; /* of the record that was settled: scores are of the journal up to there */
    writer->part = writer->part->next;
    if (writer->part)
        return NULL;
    writer->changes = writer->last = NULL;
    return changes;
}

void writer_note_erasures(struct writer *writer)
{
    const struct erasures *erasures = &writer->erasures;
    uint64_t rows = 0, pending = 0, gone = store_erased_lsn(writer->options.store);
    for (size_t i = 0; i < erasures->count; i++) {
        rows += erasures->items[i].rows;
        pending += erasures->items[i].lsn > gone;
    }
    stats_set(writer->options.stats, STAT_erasures, erasures->count);
    stats_set(writer->options.stats, STAT_erasures_pending, pending);
    stats_set(writer->options.stats, STAT_rows_erased, rows);
}

void writer_sum_losses(struct writer *writer)
{
    uint64_t losses, rows;
    ledger_sum_losses(&writer->ledger, &losses, &rows);
    stats_set(writer->options.stats, STAT_losses, losses);
    stats_set(writer->options.stats, STAT_rows_lost, rows);
}

/* A producer has lost something, which is going to be on disk with the record. */
static poise_code note_loss(struct writer *writer, struct ledger_entry *entry, const struct batch *batch,
                            uint64_t lsn, poise_error *err)
{
    poise_loss loss = ledger_loss_of(&batch->rows, lsn, engine_as_of_ms(writer->engine));
    if (!ledger_lose(entry, &loss))
        return error_nomem(err, "the losses of a producer");
    writer_sum_losses(writer);
    log_event(writer->options.log, LOG_WARN, "producer_lost_batches", log_text("producer", batch->producer),
              log_text("reason", poise_loss_text(loss.reason)), log_int("first", (int64_t)loss.first_seq),
              log_int("last", (int64_t)loss.last_seq), log_int("rows", (int64_t)loss.rows));
    return POISE_OK;
}

/* The ledger goes into checkpoints, and none begins before the batches are on disk. */
static poise_code note_batches(struct writer *writer, struct flight *flight, uint64_t lsn, poise_error *err)
{
    const struct batch *before = NULL;
    struct ledger_entry *entry = NULL;
    flight->batch_count = 0;
    for (size_t i = 0; i < writer->batch_count; i++) {
        struct batch *batch = writer->batches[i];
        if (writer->ordering || batch == &writer->defining)
            continue; /* of no producer */
        if (!before || before->producer != batch->producer || before->epoch != batch->epoch)
            entry = ledger_add(&writer->ledger, batch->producer, batch->epoch);
        before = batch;
        if (!entry || !ledger_commit(entry, batch->seq, batch->hash, batch->refused, batch->reasons,
                                     batch->refused_count))
            return error_nomem(err, "the ledger of producers");
        poise_code code = batch->rows.loss.last_seq ? note_loss(writer, entry, batch, lsn, err) : POISE_OK;
        if (code)
            return code;
        flight->batches[flight->batch_count++] = batch;
    }
    writer->batch_count = 0;
    return POISE_OK;
}

/* The commit at hand is ready for the disk; the next one may begin. */
static poise_code encode(struct writer *writer, struct flight **ret_flight, poise_error *err)
{
    const struct flight *away = writer_flight_away(writer);
    struct flight *first = &writer->flights[0];
    struct flight *flight = away == first || writer->held == first ? first + 1 : first;
    uint64_t last = away ? away->record.lsn : store_last_lsn(writer->options.store);
    poise_code code = store_prepare(&writer->record, last + 1, &flight->record, err);
    if (!code)
        code = note_batches(writer, flight, last + 1, err);
    if (code)
        return code;
    flight->changes = writer->part ? end_part(writer, last + 1) : NULL;
    flight->ends = flight->changes != NULL;
    flight->summary = writer->summary;
    flight->series = engine_series_count(writer->engine);
    *ret_flight = flight;
    return POISE_OK;
}

/* The definitions of a new store go with its first record, whatever that is. */
static void add_defining(struct writer *writer)
{
    writer->batches[writer->batch_count] = &writer->defining;
    writer->records[writer->batch_count++] = writer_record_of(&writer->defining);
    writer->record.orders = true;
}

/* It is on disk. */
static void note_commit(struct writer *writer, const struct flight *flight)
{
    slices_owe(writer, flight->summary.accepted);
    writer->busy = has_work(writer);
    writer->checkpoint_owes &= !flight->ends;
    if (writer->defining.body.length) {
        writer->definitions.defined_lsn = flight->record.lsn;
        buf_free(&writer->defining.body);
    }
}

static poise_code failed(const poise_error *problem, poise_error *err)
{
    if (err)
        *err = *problem;
    return error_wrap(err, "commit failed, ending before anything is acknowledged");
}

/* On this thread. */
static poise_code write_record(struct writer *writer, struct flight *flight, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_error problem = {0};
    poise_code code = flight_commit(flight, &writer->options, true, &problem);
    if (code == POISE_EFULL) { /* nothing happened; producers run out of credit and wait with us */
        if (!writer->stuck)
            log_event(writer->options.log, LOG_ERROR, "no_room", log_text("reason", problem.text));
        stats_add(writer->options.stats, STAT_commit_retries, 1);
        writer->stuck = flight;
        writer->retry_us = start + RETRY_US;
        return POISE_OK;
    }
    if (code)
        return failed(&problem, err);
    if (writer->stuck)
        log_event(writer->options.log, LOG_INFO, "room_again", log_int("lsn", (int64_t)flight->record.lsn));
    writer->stuck = NULL;
    note_commit(writer, flight);
    return POISE_OK;
}

/* Behind a commit: another part of a settle, or the settle that the one on its way has held up; NULL: it has
 * changed nothing, or is not whole. */
static poise_code make_more(struct writer *writer, struct flight **ret_flight, poise_error *err)
{
    poise_code code = POISE_OK;
    *ret_flight = NULL;
    writer->summary = feed_nothing;
    writer->record = (struct journal_record){.as_of_ms = engine_as_of_ms(writer->engine),
                                             .first_ordinal = engine_ordinal(writer->engine) + 1,
                                             .min_time_ms = feed_nothing.min_time_ms,
                                             .max_time_ms = feed_nothing.max_time_ms,
                                             .time_last = writer->options.event_clock};
    if (!writer->part)
        code = settle(writer, err);
    if (code || !writer->part || writer->part->count == 0)
        return code;
    code = add_part(writer, err);
    return code ? code : encode(writer, ret_flight, err);
}

/* T has moved, and nothing changed by that. */
static bool is_unchanged(const struct writer *writer)
{
    return writer->part && writer->part->count == 0;
}

static poise_code write_more(struct writer *writer, poise_error *err)
{
    struct flight *flight;
    poise_code code = make_more(writer, &flight, err);
    if (!code && flight)
        return write_record(writer, flight, err);
    return !code && is_unchanged(writer) ? publish(writer, err) : code;
}

/* While nobody waits all is settled, and on its way, before the batches are given back: who is acknowledged
 * then finds in the scores what was sent. */
static poise_code write_all(struct writer *writer, struct flight *flight, poise_error *err)
{
    poise_code code = write_record(writer, flight, err);
    while (!code && !writer->stuck && !writer->ordering && !writer->next && writer->batch_count == 0 &&
           !has_work(writer) && is_unsettled(writer))
        code = write_more(writer, err);
    if (code || writer->stuck)
        return code;
    struct flight *held = writer->held;
    writer->held = NULL;
    if (!held)
        return POISE_OK;
    code = flight_give_back(held, &writer->options, err);
    return !code && writer->ordering ? gather_end_order(writer, held->record.lsn, err) : code;
}

/* ---- beside the committer ---- */

/* Who is idle commits at once, on this thread: there is nothing to do meanwhile. */
static bool overlaps(const struct writer *writer)
{
    return writer->options.committer_wake && !writer->ordering && !writer->finishing &&
           writer->defining.body.length == 0 && ring_count(writer->options.to_restate) == 0 &&
           ring_count(writer->options.from_ingest) > 0;
}

static poise_code send_errand(struct writer *writer, poise_error *err)
{
    writer->away = &writer->errand;
    return committer_send(&writer->committer, writer->away)
               ? POISE_OK
               : error_set(err, POISE_EFULL, "the committer has an errand already");
}

/* The slice of a settle that the commit has held up comes while it is away. */
static poise_code send(struct writer *writer, struct flight *flight, poise_error *err)
{
    bool owes_slice = writer->owes_slice && writer->slices > 0;
    writer->errand = (struct errand){.flight = flight};
    writer->owes_slice = false;
    (void)slices_lend(writer); /* or there is none */
    poise_code code = send_errand(writer, err);
    if (code)
        return code;
    stats_add(writer->options.stats, STAT_commits_overlapped, 1);
    return owes_slice ? make_more(writer, &writer->next, err) : POISE_OK;
}

/* By the committer, or one on this thread. */
static poise_code slices(struct writer *writer, bool idle, poise_error *err)
{
    writer->errand = (struct errand){0};
    bool lent = !idle && !piece_goes_first(writer) && slices_lend(writer);
    return lent ? send_errand(writer, err) : slice_step(writer, idle, err);
}

static poise_code dispatch(struct writer *writer, struct flight *flight, poise_error *err)
{
    writer->next = NULL;
    if (overlaps(writer))
        return send(writer, flight, err);
    writer->held = flight;
    poise_code code = write_all(writer, flight, err);
    bool owes_slice = writer->owes_slice && writer->slices > 0 && !writer->stuck;
    writer->owes_slice = false;
    return !code && owes_slice ? write_more(writer, err) : code;
}

/* What the committer has done. Without room it is tried again on this thread, on which the map may grow. */
static poise_code land(struct writer *writer, poise_error *err)
{
    struct errand *errand = writer->away ? committer_receive(&writer->committer) : NULL;
    if (!errand)
        return POISE_OK;
    struct flight *flight = errand->flight;
    writer->away = NULL;
    if (!flight) {
        slices_back(writer);
        return POISE_OK;
    }
    if (flight->code == POISE_EFULL) {
        writer->held = flight;
        return write_all(writer, flight, err);
    }
    if (flight->code)
        return failed(&flight->error, err);
    note_commit(writer, flight);
    slices_back(writer);
    silence_look(&writer->silence);
    return POISE_OK;
}

/* What comes next wants all that is encoded on disk, or nothing to be at hand. */
static bool wants_all_on_disk(const struct writer *writer)
{
    bool orders = ring_count(writer->options.to_restate) > 0 && !writer->part;
    bool saves = writer->batch_count == 0 && checkpoint_due(writer) && !engine_dirty(writer->engine);
    return writer->next || orders || saves || is_unchanged(writer);
}

/* While the committer is busy the next one may grow, until it is full or wants to be settled. */
static bool may_grow(const struct writer *writer)
{
    return !gather_is_full(writer) && settle_wait_us(writer) > 0;
}

/* One commit: what is waiting, or what time alone has changed. */
static poise_code work(struct writer *writer, poise_error *err)
{
    struct flight *flight;
    poise_code code = gather_commit(writer, err);
    if (code || (writer->away && may_grow(writer)))
        return code;
    code = gather_end(writer, err);
    bool idle = settles_first(writer);
    bool due = settle_wait_us(writer) <= 0;
    /* Who comes between two slices need not wait for the next. */
    bool is_cut = writer->slices > 0 && writer->batch_count > 0 && !writer->ordering;
    if (!code && !writer_is_timeless(writer) && !writer->part && !is_cut &&
        (idle || due || checkpoint_due(writer))) /* a checkpoint wants a settled engine */
        code = settle(writer, err);
    if (code)
        return code;
    if (writer->batch_count == 0 && !writer->part)
        return POISE_OK; /* a slice */
    if (writer->batch_count == 0 && is_unchanged(writer))
        return writer->away ? POISE_OK : publish(writer, err);
    writer->record.as_of_ms = engine_as_of_ms(writer->engine);
    writer->record.min_time_ms = writer->summary.min_time_ms;
    writer->record.max_time_ms = writer->summary.max_time_ms;
    if (writer->defining.body.length)
        add_defining(writer);
    writer->record.batches = writer->records;
    writer->record.batch_count = writer->batch_count;
    code = writer->part ? add_part(writer, err) : POISE_OK;
    if (!code)
        code = encode(writer, &flight, err);
    if (code)
        return code;
    writer->owes_slice = is_cut;
    if (!writer->away)
        return dispatch(writer, flight, err);
    writer->next = flight;
    return POISE_OK;
}

/* While the committer has one, the next. */
static poise_code prepare(struct writer *writer, poise_error *err)
{
    poise_code code = POISE_OK;
    bool has_batches = ring_count(writer->options.from_ingest) > 0 && !gather_is_full(writer);
    if (!wants_all_on_disk(writer) && (has_batches || !may_grow(writer)))
        code = work(writer, err);
    bool ready = wants_all_on_disk(writer);
    if (ready || (writer->batch_count > 0 && !has_work(writer)))
        slices_delay(writer, ready);
    return code;
}

/* ---- the step ---- */

void writer_commit(struct writer *writer)
{
    committer_step(&writer->committer);
}

bool writer_commits(struct writer *writer)
{
    return writer->away && ring_count(&writer->committer.committed) == 0;
}

poise_code writer_step(struct writer *writer, poise_error *err)
{
    poise_code code = land(writer, err);
    if (code || writer->away)
        return code ? code : prepare(writer, err);
    if (writer->stuck)
        return now_us(writer) >= writer->retry_us ? write_all(writer, writer->stuck, err)
                                                  : gather_refuse_orders(writer, err);
    if (writer->next)
        return slice_goes_first(writer) ? slices(writer, false, err) : dispatch(writer, writer->next, err);
    if (is_unchanged(writer))
        return publish(writer, err);
    bool idle = !has_work(writer) && writer->batch_count == 0 && settle_wait_us(writer) > 0;
    if ((idle || checkpoint_due(writer)) && writer->batch_count == 0 && freeze_due(writer)) {
        bool any = false;
        code = freeze_step(writer, &any, err);
        if (code || any)
            return code;
    }
    if (slice_due(writer, idle))
        return slices(writer, idle, err);
    if (checkpoint_due(writer) && !engine_dirty(writer->engine) && writer->batch_count == 0)
        return checkpoint_step(writer, err);
    if (has_work(writer) || writer->batch_count > 0 || settle_wait_us(writer) <= 0 || checkpoint_due(writer))
        code = work(writer, err);
    if (!code && !writer->stuck) /* nobody is silent whose batches only wait */
        silence_look(&writer->silence);
    return code;
}

/* Until the commit that is away is back; or what there is to do meanwhile. */
static int64_t wait_beside_us(struct writer *writer)
{
    if (!writer_commits(writer))
        return 0;
    if (wants_all_on_disk(writer))
        return INT64_MAX;
    if ((ring_count(writer->options.from_ingest) > 0 && !gather_is_full(writer)) || !may_grow(writer))
        return 0;
    int64_t wait = settle_wait_us(writer), slice_wait = slices_wait_us(writer);
    return slice_wait < wait ? slice_wait : wait;
}

static int64_t wait_us(struct writer *writer)
{
    if (writer->away)
        return wait_beside_us(writer);
    if (writer->stuck)
        return writer->retry_us - now_us(writer);
    if (has_work(writer) || writer->next || writer->batch_count > 0 || slice_due(writer, true))
        return 0;
    int64_t wait = settle_wait_us(writer), checkpoint_wait = checkpoint_wait_us(writer);
    if (checkpoint_wait < wait)
        wait = checkpoint_wait;
    if (writer->silence.due_us != INT64_MAX && writer->silence.due_us - now_us(writer) < wait)
        wait = writer->silence.due_us - now_us(writer);
    return wait;
}

int64_t writer_idle_ms(struct writer *writer)
{
    int64_t wait = wait_us(writer);
    if (wait == INT64_MAX)
        return -1;
    return wait <= 0 ? 0 : wait / 1000 + 1;
}

poise_code writer_finish(struct writer *writer, poise_error *err)
{
    writer->finishing = true;
    poise_code code = land(writer, err);
    if (!code && writer->stuck)
        code = write_all(writer, writer->stuck, err);
    if (!code && writer->next && !writer->stuck)
        code = dispatch(writer, writer->next, err);
    if (!code && is_unchanged(writer) && !writer->stuck)
        code = publish(writer, err);
    while (!code && !writer->stuck && (has_work(writer) || writer->batch_count > 0 || is_unsettled(writer)))
        code = work(writer, err);
    bool settled = !writer->part && !engine_dirty(writer->engine) && writer->batch_count == 0;
    if (!code && checkpoint_runs(writer))
        code = checkpoint(writer, err);
    if (!code && !writer->stuck && settled && !engine_holds(writer->engine))
        code = checkpoint(writer, err);
    return code;
}

/* ---- life ---- */

poise_code writer_ledger(struct writer *writer, struct ledger *ret_ledger, poise_error *err)
{
    return ledger_copy(&writer->ledger, ret_ledger) ? error_nomem(err, "the ledger of producers") : POISE_OK;
}

/* All states as they were settled last; ENOTFOUND: it ended before its first settle was done. */
static poise_code note_all(struct writer *writer, poise_error *err)
{
    return engine_states(writer->engine, NULL, NULL, writer_note_change, writer, err);
}

/* What a start shows is without the last records where these are not settled. */
static void set_shown(const struct writer *writer, struct changes *changes)
{
    bool settled = !engine_dirty(writer->engine);
    changes->lsn = settled ? store_last_lsn(writer->options.store) : writer->settled_lsn;
    changes->as_of_ms = settled ? engine_as_of_ms(writer->engine) : writer->settled_ms;
}

/* The stream's board starts from all states. */
static poise_code publish_all(struct writer *writer, poise_error *err)
{
    if (writer_is_timeless(writer))
        return POISE_OK; /* nothing was ever settled */
    struct changes *owed = writer->changes, *last = writer->last;
    poise_code code = writer_begin_changes(writer, err);
    if (!code)
        code = note_all(writer, err);
    if (!code) {
        set_shown(writer, writer->changes);
        writer->changes->whole = true;
        code = publish(writer, err);
    } else {
        changes_free(writer->changes);
        code = code == POISE_ENOTFOUND ? POISE_OK : code;
    }
    writer->changes = owed;
    writer->last = last;
    return code;
}

/* What a crash has cut short is shown, but in no log yet: so the board is told which states these are, for
 * who goes on from before. */
static poise_code publish_cut(struct writer *writer, poise_error *err)
{
    struct changes *cut = writer->changes ? changes_open() : NULL, *last = cut;
    poise_code code = cut || !writer->changes ? POISE_OK : POISE_ENOMEM;
    for (const struct changes *part = writer->changes; !code && part; part = part->next)
        for (size_t i = 0; !code && i < part->count; i++)
            if (!part->states[i].revision)
                code = changes_add(&last, &part->states[i]);
    if (code || !cut || cut->count == 0) {
        changes_free(cut);
        return code ? error_nomem(err, "the changes of a settle") : POISE_OK;
    }
    set_shown(writer, cut);
    cut->again = true;
    return publish_changes(cut, &writer->options, err);
}

/* Who reads the log of changes is told, too, what the start makes different: a settle is begun with it, which
 * the first one goes on with. */
static poise_code begin_owed(struct writer *writer, poise_error *err)
{
    bool unsaid = writer->unsaid && !writer_is_timeless(writer);
    poise_code code = POISE_OK;
    writer->unsaid = false;
    if (unsaid && !writer->changes)
        code = writer_begin_changes(writer, err);
    if (!code && unsaid)
        code = note_all(writer, err);
    if (code == POISE_ENOTFOUND)
        code = POISE_OK;
    if (!code && writer->changes)
        writer->slices = 1;
    return code;
}

/* What is due since, before anybody is let in: nobody is shown an earlier T than before the start, nor scores
 * without what the last records brought. */
static poise_code settle_first(struct writer *writer, poise_error *err)
{
    poise_code code = POISE_OK;
    writer->checkpoint_us = now_us(writer);
    writer->settled_us = writer->checkpoint_us - IDLE_SETTLE_US;
    while (!code && !writer_is_timeless(writer) && !writer->stuck && settle_wait_us(writer) <= 0)
        code = work(writer, err);
    return code;
}

poise_code writer_open(const struct writer_options *options, struct writer **ret_writer, poise_error *err)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return error_nomem(err, "the writer");
    writer->options = *options;
    writer->freeze_ms = INT64_MIN;
    arena_init(&writer->arena, 0);
    poise_code code = committer_open(&writer->committer, &writer->options)
                          ? recover(writer, err)
                          : error_nomem(err, "the queues of the committer");
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
        code = publish_cut(writer, err);
    if (!code)
        code = begin_owed(writer, err);
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
    erasures_free(&writer->erasures);
    silence_free(&writer->silence);
    arena_free(&writer->arena);
    buf_free(&writer->bytes);
    changes_free(writer->changes);
    piece_free(writer->piece);
}

void writer_close(struct writer *writer)
{
    if (writer) {
        writer_clear(writer);
        committer_close(&writer->committer);
        for (int i = 0; i < 2; i++)
            flight_free(&writer->flights[i]);
    }
    free(writer);
}
