#include "compactor.h"

#include "actions.h"
#include <base/error.h>
#include <stdlib.h>
#include <time.h>

enum {
    LOOK_US = 1000000,    /* between two looks at the journal */
    IDLE_US = 10000000,   /* nothing has come for so long: what there is need not wait for more */
    IDLE_PART = 16,       /* if it is such a part of a run */
    RETRY_US = 60000000,  /* after a failure */
    MERGE_US = 600000000, /* runs are looked at, although there is no new one */
    QUIET_MS = 3600000,   /* a day is over for so long: its runs are tidied */
    FULL_NS = 1000000
};

struct compactor {
    struct compactor_options options;
    struct compact *compact;
    int64_t look_us;            /* not before */
    int64_t came_us;            /* when the last record came, that was seen */
    int64_t waits_us;           /* since when something waits to be compacted; 0: nothing does */
    int64_t merge_us;           /* when runs are looked at again */
    bool idle;                  /* nothing comes any more */
    uint64_t last_lsn, run_lsn; /* that was seen; of the run that was given last */
    uint64_t given;             /* pieces */
    uint64_t seen;              /* of them, that were put at the last look */
};

static int64_t now_us(const struct compactor *compactor)
{
    return clock_monotonic_us(compactor->options.clock);
}

poise_code compactor_open(const struct compactor_options *options, struct compactor **ret_compactor,
                          poise_error *err)
{
    struct compactor *compactor = calloc(1, sizeof *compactor);
    if (!compactor)
        return error_nomem(err, "the compactor");
    compactor->options = *options;
    poise_code code = compact_open(options->store, options->bytes, options->stop, &compactor->compact, err);
    if (code) {
        compactor_close(compactor);
        return code;
    }
    *ret_compactor = compactor;
    return POISE_OK;
}

void compactor_close(struct compactor *compactor)
{
    if (!compactor)
        return;
    compact_close(compactor->compact);
    free(compactor);
}

/* ---- to the writer ---- */

/* The writer takes a piece behind some commits: what is made faster waits. */
static poise_code give(void *taker, struct piece *piece, poise_error *err)
{
    struct compactor *compactor = taker;
    while (!ring_push(compactor->options.to_writer, piece)) {
        if (atomic_load_explicit(compactor->options.stop, memory_order_relaxed)) {
            piece_free(piece);
            return error_set(err, POISE_EBUSY, "the aggregator is stopping");
        }
        nanosleep(&(struct timespec){.tv_nsec = FULL_NS}, NULL);
    }
    compactor->given++;
    net_wake_up(compactor->options.writer_wake);
    return POISE_OK;
}

/* What was given of a run that failed is thrown away. */
static void give_up(struct compactor *compactor)
{
    struct piece *piece = calloc(1, sizeof *piece);
    if (piece) { /* else the next start does */
        piece->abandoned = true;
        (void)give(compactor, piece, NULL);
    }
}

static void failed(struct compactor *compactor, poise_code code, const poise_error *problem)
{
    if (code == POISE_EBUSY) /* it stops */
        return;
    stats_add(compactor->options.stats, STAT_compactions_failed, 1);
    log_event(compactor->options.log, LOG_ERROR, "compaction_failed", log_text("reason", problem->text));
    compactor->look_us = now_us(compactor) + RETRY_US;
    if (compactor->given != compactor->seen)
        give_up(compactor);
}

/* ---- what is due ---- */

struct look {
    uint64_t chunks_lsn, state_lsn, last_lsn;
    int64_t bytes;
};

static poise_code look(const struct compactor *compactor, struct look *ret_look, poise_error *err)
{
    struct store_reader *reader;
    poise_code code = store_reader_open(compactor->options.store, &reader, err);
    if (code)
        return code;
    uint64_t lsn;
    *ret_look = (struct look){.chunks_lsn = store_reader_chunks_lsn(reader),
                              .state_lsn = store_reader_state_lsn(reader),
                              .last_lsn = store_reader_lsn(reader)};
    if (ret_look->state_lsn > ret_look->chunks_lsn)
        code = store_measure_journal(reader, ret_look->chunks_lsn + 1, ret_look->state_lsn,
                                     compactor->options.bytes, &lsn, &ret_look->bytes, err);
    /* one more would be too many: enough wait */
    if (!code && ret_look->bytes && lsn < ret_look->state_lsn)
        ret_look->bytes = compactor->options.bytes;
    store_reader_close(reader);
    return code;
}

/* What came, and what waits. Once nothing comes any more there is more to merge, so that is due. */
static void note_look(struct compactor *compactor, const struct look *look)
{
    int64_t now = now_us(compactor);
    if (look->last_lsn != compactor->last_lsn)
        compactor->came_us = now;
    compactor->last_lsn = look->last_lsn;
    bool was_idle = compactor->idle;
    compactor->idle = now - compactor->came_us >= IDLE_US;
    if (compactor->idle && !was_idle)
        compactor->merge_us = 0;
    if (look->bytes == 0)
        compactor->waits_us = 0;
    else if (compactor->waits_us == 0)
        compactor->waits_us = now;
}

static bool is_due(const struct compactor *compactor, const struct look *look)
{
    const struct compactor_options *options = &compactor->options;
    bool all = compactor->idle && look->state_lsn == look->last_lsn;
    return look->bytes >= options->bytes || (all && look->bytes >= options->bytes / IDLE_PART) ||
           (look->bytes > 0 && now_us(compactor) - compactor->waits_us >= options->after_ms * 1000);
}

static poise_code run(struct compactor *compactor, poise_error *err)
{
    int64_t start = now_us(compactor);
    poise_code code = compact_run(compactor->compact, UINT64_MAX, give, compactor, &compactor->run_lsn, err);
    compactor->waits_us = 0;
    if (!code)
        stats_time(compactor->options.stats, STAT_compactions, STAT_compaction_us, STAT_compaction_max_us,
                   now_us(compactor) - start);
    return code;
}

/* Once nothing comes any more, the last days, too. */
static poise_code merge(struct compactor *compactor, bool *ret_any, poise_error *err)
{
    int64_t start = now_us(compactor);
    int32_t before =
        compactor->idle ? INT32_MAX : block_bucket(clock_wall_ms(compactor->options.clock) - QUIET_MS);
    poise_code code = compact_merge(compactor->compact, before, give, compactor, ret_any, err);
    if (!code && *ret_any)
        stats_time(compactor->options.stats, STAT_merges, STAT_merge_us, STAT_merge_max_us,
                   now_us(compactor) - start);
    return code;
}

/* Nothing is left of what an order has erased. */
static poise_code note_end(void *context, const struct erasure *erasure, poise_error *err)
{
    const struct compactor *compactor = context;
    const struct compactor_options *options = &compactor->options;
    const struct action action = {.what = "erase", .about = erasure->reason, .result = "gone from the disk"};
    log_event(options->log, LOG_INFO, "erased_from_disk", log_text("reason", erasure->reason),
              log_int("lsn", (int64_t)erasure->lsn));
    return options->directory ? actions_note(options->directory, options->clock, &action, err) : POISE_OK;
}

static poise_code take_turn(struct compactor *compactor, poise_error *err)
{
    struct look found = {0};
    bool any = false;
    poise_code code = look(compactor, &found, err);
    compactor->look_us = now_us(compactor) + LOOK_US;
    bool frozen = false;
    if (!code)
        code = compact_frozen(compactor->compact, found.state_lsn, &frozen, err);
    if (frozen)
        compactor->merge_us = 0;
    if (!code)
        note_look(compactor, &found);
    if (!code && is_due(compactor, &found)) {
        compactor->merge_us = 0; /* when it is whole */
        return run(compactor, err);
    }
    if (!code)
        code = compact_purge(compactor->compact, note_end, compactor, give, compactor, &any, err);
    if (!code && !any && now_us(compactor) >= compactor->merge_us)
        code = merge(compactor, &any, err);
    if (!code && !any && compactor->merge_us <= now_us(compactor))
        compactor->merge_us = now_us(compactor) + MERGE_US;
    return code;
}

void compactor_step(struct compactor *compactor)
{
    poise_error problem = {0};
    if (compactor_idle_ms(compactor) > 0)
        return;
    compactor->seen = compactor->given;
    poise_code code = take_turn(compactor, &problem);
    if (code)
        failed(compactor, code, &problem);
}

int64_t compactor_idle_ms(const struct compactor *compactor)
{
    int64_t wait = compactor->look_us - now_us(compactor);
    uint64_t put = atomic_load(compactor->options.put);
    if (put != compactor->given)
        return LOOK_US / 1000;
    if (put != compactor->seen && wait <= LOOK_US) /* a run is whole, and the next may be due */
        return 0;
    return wait <= 0 ? 0 : wait / 1000 + 1;
}
