/* Checkpoints, in slices between commits: what has changed goes into the store as of when the checkpoint
 * began, and what older ones have left there is merged. The committer writes them, while the next commit is
 * prepared, but for what needs the engine or changes what is read. Nobody waits for either longer than a
 * slice, but where keys come so much faster than they are saved that they fill the memory. */
#include "writer_private.h"
#include <base/error.h>

enum {
    SLICE_EACH = 4,    /* commits, while they do not end, a slice comes; */
    SLICE_KEYS = 1500, /* where KEYS_MAX wait, for so many rows, where twice as many, for half of them, ... */
    SLICES_OWED =
        2 * COMMIT_ROWS / SLICE_KEYS, /* at most, behind a commit: a checkpoint catches up with any */
    WAIT_US = 4000,           /* for slices since the last commit; then there are no more before the next */
    GROW_US = 4000,           /* that a commit which is not full waits for the committer */
    KEYS_MANY = 4 * KEYS_MAX, /* then memory comes first */
    RETRY_US = 1000000
};

static int64_t now_us(const struct writer *writer)
{
    return clock_monotonic_us(writer->options.clock);
}

/* ---- beginning ---- */

static poise_code put_entry(void *context, enum engine_table table, const void *key, size_t key_length,
                            const void *value, size_t value_length)
{
    struct writer *writer = context;
    return store_put(writer->options.store, store_table_of(table), key, key_length, value, value_length);
}

static poise_code put_producers(struct writer *writer)
{
    struct buf key = {0}, value = {0};
    struct ledger_entry *entry;
    poise_code code = POISE_OK;
    for (size_t at = 0; !code && (entry = hmap_next(&writer->ledger.map, &at));) {
        if (!entry->dirty)
            continue;
        buf_reset(&key);
        buf_reset(&value);
        ledger_encode(entry, &key, &value);
        code = key.failed || value.failed ? POISE_ENOMEM
                                          : store_put(writer->options.store, STORE_PRODUCERS, key.data,
                                                      key.length, value.data, value.length);
        entry->dirty = false;
    }
    buf_free(&key);
    buf_free(&value);
    return code;
}

static void dirty_producers(struct writer *writer)
{
    struct ledger_entry *entry;
    for (size_t at = 0; (entry = hmap_next(&writer->ledger.map, &at));)
        entry->dirty = true;
}

static poise_code begin(struct writer *writer, poise_error *err)
{
    struct store *store = writer->options.store;
    writer->checkpoint_us = now_us(writer);
    writer->checkpoint_mark =
        (struct store_mark){.state_lsn = store_last_lsn(store), .generation = writer->generation};
    writer->checkpoint_given = writer->checkpoint_ended = false;
    writer->checkpoint_owes = writer->part != NULL;
    writer->slice_commits = 0;
    poise_code code = store_checkpoint_begin(store, err);
    if (!code)
        code = put_definitions(writer); /* before all else: it clears their table */
    if (!code)
        code = engine_checkpoint_begin(writer->engine, put_entry, writer, err);
    return code ? code : put_producers(writer);
}

/* ---- slices ---- */

static poise_code end(struct writer *writer)
{
    writer->checkpoint_lsn = writer->checkpoint_mark.state_lsn;
    engine_checkpoint_done(writer->engine);
    writer->freeze_ms = INT64_MIN; /* what it has put may be old */
    stats_add(writer->options.stats, STAT_checkpoints, 1);
    return POISE_OK;
}

static poise_code step(struct writer *writer, poise_error *err)
{
    struct store *store = writer->options.store;
    bool done = false;
    poise_code code = store_checkpoint_step(store, &done, err);
    if (code || !done)
        return code;
    if (writer->checkpoint_ended)
        return end(writer);
    if (!writer->checkpoint_given)
        code = engine_checkpoint_give(writer->engine, SLICE_ENTRIES, &writer->checkpoint_given, err);
    if (code || !writer->checkpoint_given || writer->checkpoint_owes)
        return code;
    writer->checkpoint_ended = true;
    return store_checkpoint_end(store, &writer->checkpoint_mark, err);
}

/* Steps are short, but for the one that writes, which is left to the committer, if it may be. */
static poise_code slice(struct writer *writer, bool lends, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_code code = POISE_OK;
    int steps = 0;
    do
        code = step(writer, err);
    while (!code && checkpoint_runs(writer) && ++steps < SLICE_STEPS && now_us(writer) - start < SLICE_US &&
           !(lends && store_step_is_apart(writer->options.store, STORE_WRITES)));
    return code;
}

/* Without room the journal holds everything; it is tried again when it is due again. */
static poise_code failed(struct writer *writer, const poise_error *problem, poise_error *err)
{
    store_checkpoint_abort(writer->options.store);
    if (engine_checkpoint_runs(writer->engine))
        engine_checkpoint_failed(writer->engine);
    dirty_producers(writer);
    if (problem->code == POISE_EFULL) {
        writer->checkpoint_us = now_us(writer) + RETRY_US; /* however many keys wait */
        log_event(writer->options.log, LOG_ERROR, "no_room_for_checkpoint",
                  log_text("reason", problem->text));
        return POISE_OK;
    }
    if (err)
        *err = *problem;
    return error_wrap(err, "checkpoint failed");
}

bool checkpoint_runs(const struct writer *writer)
{
    return engine_checkpoint_runs(writer->engine);
}

static poise_code checkpoint_some(struct writer *writer, bool lends, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_error problem = {0};
    poise_code code = checkpoint_runs(writer) ? slice(writer, lends, &problem) : begin(writer, &problem);
    if (code && !problem.code)
        (void)error_set(&problem, code, "its entries cannot be put");
    stats_time(writer->options.stats, STAT_checkpoint_slices, STAT_checkpoint_us, STAT_checkpoint_max_us,
               now_us(writer) - start);
    return code ? failed(writer, &problem, err) : POISE_OK;
}

poise_code checkpoint_step(struct writer *writer, poise_error *err)
{
    return checkpoint_some(writer, false, err);
}

poise_code checkpoint(struct writer *writer, poise_error *err)
{
    poise_code code = checkpoint_runs(writer) ? POISE_OK : checkpoint_step(writer, err);
    while (!code && checkpoint_runs(writer) && !(writer->checkpoint_given && writer->checkpoint_owes))
        code = checkpoint_step(writer, err);
    return code;
}

/* ---- upkeep ---- */

bool upkeep_due(const struct writer *writer, bool idle)
{
    return now_us(writer) >= writer->upkeep_us && store_upkeep_due(writer->options.store, idle);
}

static poise_code upkeep_step(struct writer *writer, bool idle, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_code code = store_upkeep(writer->options.store, idle, err);
    if (code == POISE_EFULL) { /* so is the journal, which says so */
        writer->upkeep_us = start + RETRY_US;
        return POISE_OK;
    }
    stats_time(writer->options.stats, STAT_upkeep_slices, STAT_upkeep_us, STAT_upkeep_max_us,
               now_us(writer) - start);
    return code ? error_wrap(err, "merging state failed") : POISE_OK;
}

/* ---- pieces of runs ---- */

static bool piece_due(struct writer *writer)
{
    if (!writer->piece && writer->options.pieces)
        writer->piece = ring_pop(writer->options.pieces);
    return writer->piece && now_us(writer) >= writer->upkeep_us;
}

static poise_code piece_step(struct writer *writer, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_code code = piece_put(writer->piece, writer->options.store, err);
    if (code == POISE_EFULL || code == POISE_EBUSY) { /* a backup is copied: its rows must not move */
        writer->upkeep_us = start + RETRY_US;
        return POISE_OK;
    }
    bool whole = writer->piece->slice.whole;
    stats_add(writer->options.stats, STAT_rows_dropped, code ? 0 : writer->piece->dropped_rows);
    stats_add(writer->options.stats, STAT_bytes_dropped, code ? 0 : writer->piece->dropped_bytes);
    if (!code && writer->piece->slice.erased_lsn)
        writer_note_erasures(writer);
    piece_free(writer->piece);
    writer->piece = NULL;
    atomic_fetch_add(writer->options.pieces_put, 1);
    if (whole)
        net_wake_up(writer->options.compactor_wake);
    stats_time(writer->options.stats, STAT_piece_puts, STAT_piece_us, STAT_piece_max_us,
               now_us(writer) - start);
    return code ? error_wrap(err, "putting rows failed") : POISE_OK;
}

/* ---- by the committer ---- */

static void pay(struct writer *writer, unsigned slices)
{
    uint64_t keys = (uint64_t)slices * SLICE_KEYS;
    writer->sliced = true;
    writer->slice_commits = 0;
    writer->slice_keys -= writer->slice_keys < keys ? writer->slice_keys : keys;
}

static bool lends(const struct writer *writer, bool idle)
{
    return !idle && writer->options.committer_wake && !writer->finishing;
}

/* A checkpoint goes before upkeep; where there are so many runs that each look for a key feels them, they
 * take turns, unless keys come faster than they are saved. */
static bool is_for_upkeep(const struct writer *writer, bool idle)
{
    bool presses = store_upkeep_presses(writer->options.store) && upkeep_due(writer, idle) &&
                   engine_unsaved_keys(writer->engine) < 2 * KEYS_MAX;
    return !checkpoint_runs(writer) || (presses && !writer->upkeep_was);
}

bool slices_lend(struct writer *writer)
{
    struct errand *errand = &writer->errand;
    bool upkeep = is_for_upkeep(writer, false), gives = engine_checkpoint_is_apart(writer->engine);
    enum store_steps steps = upkeep ? STORE_MERGES : gives ? STORE_TAKES : STORE_WRITES;
    writer->ready_us = 0;
    if (!lends(writer, false) || !slice_due(writer, false) ||
        !store_step_is_apart(writer->options.store, steps))
        return false;
    writer->upkeep_was = upkeep;
    writer->piece_was = false;
    errand->steps = steps;
    errand->engine = steps == STORE_TAKES ? writer->engine : NULL;
    errand->slices = 1 + (unsigned)(writer->slice_keys / SLICE_KEYS);
    return true;
}

/* Not where so many keys wait that memory is what lacks. */
static bool may_want(const struct writer *writer)
{
    return engine_unsaved_keys(writer->engine) < KEYS_MANY;
}

void slices_delay(struct writer *writer, bool ready)
{
    if (!writer->ready_us)
        writer->ready_us = now_us(writer);
    if (may_want(writer) && (ready || now_us(writer) - writer->ready_us >= GROW_US))
        committer_want(&writer->committer);
}

int64_t slices_wait_us(const struct writer *writer)
{
    return may_want(writer) && writer->ready_us && !committer_is_wanted(&writer->committer)
               ? writer->ready_us + GROW_US - now_us(writer)
               : INT64_MAX;
}

static void note_wait(struct writer *writer, int64_t since_us)
{
    writer->sliced_us += now_us(writer) - since_us;
    if ((uint64_t)writer->sliced_us > stats_get(writer->options.stats, STAT_slices_max_us))
        stats_set(writer->options.stats, STAT_slices_max_us, (uint64_t)writer->sliced_us);
}

void slices_back(struct writer *writer)
{
    const struct errand *errand = &writer->errand;
    if (!errand->slices)
        return;
    pay(writer, errand->slices);
    if (writer->ready_us)
        note_wait(writer, writer->ready_us > errand->sliced_us ? writer->ready_us : errand->sliced_us);
}

/* ---- whose turn it is ---- */

void slices_owe(struct writer *writer, uint64_t rows)
{
    writer->sliced_us = 0;
    writer->sliced = false;
    uint64_t quarters = 4 * engine_unsaved_keys(writer->engine) / KEYS_MAX;
    writer->slice_commits++;
    writer->slice_keys += rows * quarters / 4;
    if (writer->slice_keys > SLICES_OWED * SLICE_KEYS)
        writer->slice_keys = SLICES_OWED * SLICE_KEYS;
}

bool slice_due(struct writer *writer, bool idle)
{
    if (!idle && writer->sliced_us >= WAIT_US && may_want(writer))
        return false;
    bool may = idle || writer->slice_keys >= SLICE_KEYS || writer->slice_commits >= SLICE_EACH;
    return may && (piece_due(writer) || checkpoint_runs(writer) || upkeep_due(writer, idle));
}

bool piece_goes_first(struct writer *writer)
{
    return piece_due(writer) && !writer->piece_was;
}

bool slice_goes_first(struct writer *writer)
{
    bool may = !writer->sliced || !may_want(writer) || piece_goes_first(writer);
    return may && slice_due(writer, false);
}

/* Pieces take turns with all else. */
static poise_code take_turn(struct writer *writer, bool idle, poise_error *err)
{
    bool is_piece = piece_goes_first(writer) ||
                    (piece_due(writer) && !checkpoint_runs(writer) && !upkeep_due(writer, idle));
    pay(writer, 1);
    writer->piece_was = is_piece;
    if (is_piece)
        return piece_step(writer, err);
    writer->upkeep_was = is_for_upkeep(writer, idle);
    return writer->upkeep_was ? upkeep_step(writer, idle, err)
                              : checkpoint_some(writer, lends(writer, idle), err);
}

poise_code slice_step(struct writer *writer, bool idle, poise_error *err)
{
    int64_t start = now_us(writer);
    poise_code code = take_turn(writer, idle, err);
    if (!idle)
        note_wait(writer, start);
    return code;
}
