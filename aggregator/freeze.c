/* Retention (`keep`): which inputs' measurements may be dropped follows from T. Before any is, an order says
 * so: a line of the audit log, then a record of the journal, from which on nothing wants them. The checkpoint
 * behind it makes sure that no replay does either; then the compactor drops them (compact.c). */
#include "actions.h"
#include "writer_private.h"
#include <base/error.h>
#include <base/text.h>
#include <string.h>

enum {
    FREEZE_INPUTS = 256, /* in an order */
    ABOUT_INPUTS = 8,    /* named in the audit log; the journal names all */
    RETRY_US = 60000000  /* without room */
};
static const int64_t LOOK_MS = INT64_C(3600) * 1000; /* of T: whole days are dropped */

/* Wherever a checkpoint may begin, so that it comes under any load: behind the settle, though what that has
 * changed may not all be journaled yet. It is made, and who reads it looks past the order. */
bool freeze_due(const struct writer *writer)
{
    return !writer_is_timeless(writer) && !engine_dirty(writer->engine) && !engine_holds(writer->engine) &&
           !checkpoint_runs(writer) && engine_as_of_ms(writer->engine) >= writer->freeze_ms &&
           clock_monotonic_us(writer->options.clock) >= writer->freeze_us;
}

static size_t find(const struct writer *writer, struct engine_keep *found)
{
    struct engine_keep keep;
    size_t count = 0;
    for (size_t at = 0; count < FREEZE_INPUTS && engine_keep(writer->engine, at, &keep); at++)
        if (keep.until_ms > keep.dropped_ms)
            found[count++] = keep;
    return count;
}

static poise_code audit(const struct writer *writer, const struct engine_keep *found, size_t count,
                        poise_error *err)
{
    struct buf about = {0};
    for (size_t i = 0; i < count && i < ABOUT_INPUTS; i++) {
        char until[TIME_TEXT_MAX];
        format_time_ms(found[i].until_ms, until);
        buf_printf(&about, "%s%s before %s", i ? ", " : "", found[i].input, until);
    }
    if (count > ABOUT_INPUTS)
        buf_printf(&about, " and %zu more inputs", count - ABOUT_INPUTS);
    buf_put_u8(&about, 0);
    const struct action action = {
        .what = "freeze", .about = (const char *)about.data, .result = "measurements are dropped (keep)"};
    poise_code code = about.failed
                          ? error_nomem(err, "a line of the audit log")
                          : actions_note(writer->options.directory, writer->options.clock, &action, err);
    buf_free(&about);
    return code;
}

static poise_code append(struct writer *writer, const struct engine_keep *found, size_t count,
                         poise_error *err)
{
    struct buf body = {0};
    uint64_t lsn;
    for (size_t i = 0; i < count; i++)
        order_put_frozen(&body, found[i].input, found[i].until_ms);
    const struct journal_batch batch = {
        .producer = FREEZE_PRODUCER, .body = body.data, .body_length = body.length};
    const struct journal_record record = {.as_of_ms = engine_as_of_ms(writer->engine),
                                          .time_last = writer->options.event_clock,
                                          .orders = true,
                                          .first_ordinal = engine_ordinal(writer->engine) + 1,
                                          .min_time_ms = INT64_MAX,
                                          .max_time_ms = INT64_MIN,
                                          .batches = &batch,
                                          .batch_count = 1};
    poise_code code = body.failed ? error_nomem(err, "an order to freeze")
                                  : store_append(writer->options.store, &record, &lsn, err);
    buf_free(&body);
    if (!code)
        stats_set(writer->options.stats, STAT_lsn, lsn);
    return code;
}

void freeze_count(struct writer *writer)
{
    int64_t latest_ms = 0;
    for (size_t i = 0; i < writer->definitions.frozen_count; i++)
        if (writer->definitions.frozen[i].until_ms > latest_ms)
            latest_ms = writer->definitions.frozen[i].until_ms;
    stats_set(writer->options.stats, STAT_inputs_frozen, writer->definitions.frozen_count);
    stats_set(writer->options.stats, STAT_frozen_until_ms, (uint64_t)latest_ms);
}

static poise_code freeze(struct writer *writer, const struct engine_keep *found, size_t count,
                         poise_error *err)
{
    poise_code code = append(writer, found, count, err);
    for (size_t i = 0; !code && i < count; i++) {
        char until[TIME_TEXT_MAX];
        format_time_ms(found[i].until_ms, until);
        engine_freeze(writer->engine, found[i].input, found[i].until_ms);
        code = definitions_freeze(&writer->definitions, found[i].input, strlen(found[i].input),
                                  found[i].until_ms, err);
        log_event(writer->options.log, LOG_INFO, "frozen", log_text("input", found[i].input),
                  log_text("until", until));
    }
    freeze_count(writer);
    return code;
}

poise_code freeze_step(struct writer *writer, bool *ret_any, poise_error *err)
{
    struct engine_keep found[FREEZE_INPUTS];
    poise_error problem = {0};
    size_t count = find(writer, found);
    if (count < FREEZE_INPUTS)
        writer->freeze_ms = engine_as_of_ms(writer->engine) + LOOK_MS;
    *ret_any = count > 0;
    if (count == 0)
        return POISE_OK;
    poise_code code = writer->options.directory ? audit(writer, found, count, &problem) : POISE_OK;
    bool is_audited = !code;
    if (!code)
        code = freeze(writer, found, count, &problem);
    if (!code)
        return POISE_OK;
    if (!is_audited || code == POISE_EFULL) { /* nothing is dropped that is not noted */
        log_event(writer->options.log, LOG_ERROR, "not_frozen", log_text("reason", problem.text));
        writer->freeze_ms = INT64_MIN;
        writer->freeze_us = clock_monotonic_us(writer->options.clock) + RETRY_US;
        return POISE_OK;
    }
    if (err)
        *err = problem;
    return error_wrap(err, "freezing measurements failed");
}
