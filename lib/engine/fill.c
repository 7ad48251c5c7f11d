/* Sums that other definitions want, where the rest of the state stays (freeze.c): they are made of the rows
 * that stand, all of which must be there. */
#include "internal.h"
#include <base/error.h>
#include <string.h>

/* ---- what an older state may have left of the same sums ---- */

struct forgetting {
    struct engine *engine;
    poise_error *err;
};

static poise_code forget(void *visitor, struct cursor key, struct cursor value)
{
    const struct forgetting *forgetting = visitor;
    struct engine *engine = forgetting->engine;
    uint64_t identity = take_big64(&key);
    uint32_t org = take_big32(&key), cell;
    int64_t start_ms = take_start(&key);
    poise_code code = POISE_OK;
    (void)value;
    if (key.failed || org >= engine->orgs.count) {
        return error_set(forgetting->err, POISE_ECORRUPT, "the stored state's cells cannot be read");
    }
    for (size_t i = 0; i < engine->feed_count && code == POISE_OK; i++) {
        struct feed *feed = engine->feeds[i];
        if (feed->lacking && feed->identity == identity) { /* an empty one takes its place */
            code = cell_find(engine, feed, org, start_ms, CELL_MADE, &cell, forgetting->err);
            if (code == POISE_OK && !cell_touch(engine, cell)) {
                code = error_nomem(forgetting->err, "a cell");
            }
        }
    }
    return code;
}

/* ---- rows ---- */

struct filling {
    struct engine *engine;
    struct input *input;
    poise_error *err;
};

static poise_code add(const struct filling *filling, struct feed *feed, uint32_t org,
                      const struct sample *sample)
{
    struct engine *engine = filling->engine;
    int64_t start_ms = feed_tile(feed, sample->time_ms).start_ms;
    while (org != INTERN_NONE) {
        uint32_t cell;
        poise_code code = cell_find(engine, feed, org, start_ms, CELL_MADE, &cell, filling->err);
        if (code != POISE_OK) {
            return code;
        }
        if (!cell_touch(engine, cell) ||
            !accumulator_add(&feed->layout, cell_body(&engine->cells, cell), sample)) {
            return error_nomem(filling->err, "a cell");
        }
        org = feed->subtree ? engine->org_table[org].parent : INTERN_NONE;
    }
    return POISE_OK;
}

static poise_code add_row(void *visitor, const struct engine_past_row *row)
{
    const struct filling *filling = visitor;
    uint32_t org;
    struct sample sample;
    bool counts;
    poise_code code = row_stands(filling->engine, filling->input, row, &org, &sample, &counts, filling->err);
    for (struct feed *feed = filling->input->feeds; feed && code == POISE_OK && counts; feed = feed->next) {
        if (feed->lacking) {
            code = add(filling, feed, org, &sample);
        }
    }
    return code;
}

static bool lacks(const struct input *input)
{
    const struct feed *feed = input->feeds;
    while (feed && !feed->lacking) {
        feed = feed->next;
    }
    return feed;
}

/* ---- cells of other zone data ---- */

static poise_code check_tile(void *visitor, struct cursor key, struct cursor value)
{
    const struct forgetting *forgetting = visitor;
    uint64_t identity = take_big64(&key);
    (void)take_big32(&key);
    (void)value;
    int64_t start_ms = take_start(&key);
    for (size_t i = 0; i < forgetting->engine->feed_count; i++) {
        struct feed *feed = forgetting->engine->feeds[i];
        if (feed->borrowed && feed->identity == identity && feed_tile(feed, start_ms).start_ms != start_ms) {
            return error_set(
                forgetting->err, POISE_EUNSUPPORTED,
                "by the time zone data of this machine periods of the measurements '%s' begin at "
                "other times than those that are kept, and `keep` has dropped measurements: start "
                "with the time zone data of before",
                feed->input->name);
        }
    }
    return POISE_OK;
}

static poise_code check_borrowed(struct engine *engine, poise_error *err)
{
    const struct engine_ports *ports = &engine->options.ports;
    struct forgetting forgetting = {engine, err};
    bool any = false;
    for (size_t i = 0; i < engine->feed_count; i++) {
        any |= engine->feeds[i]->borrowed;
    }
    return any ? ports->walk(ports->context, ENGINE_CELLS, check_tile, &forgetting, err) : POISE_OK;
}

static poise_code check(const struct engine *engine, poise_error *err)
{
    for (size_t i = 0; i < engine->input_names.count; i++) {
        const struct input *input = &engine->inputs[i];
        if (input->dropped_ms != INT64_MIN && lacks(input)) {
            return error_set(
                err, POISE_EUNSUPPORTED,
                "a measure wants sums of the measurements '%s' that are not there, and `keep` has "
                "dropped some of these: let it read another input, or have the aggregate, period "
                "and org roll-up of one that reads them already",
                input->name);
        }
    }
    return POISE_OK;
}

poise_code engine_fill(struct engine *engine, bool only_check, poise_error *err)
{
    const struct engine_ports *ports = &engine->options.ports;
    struct forgetting forgetting = {engine, err};
    bool any = false;
    poise_code code = check(engine, err);
    for (size_t i = 0; i < engine->input_names.count; i++) {
        any |= lacks(&engine->inputs[i]);
    }
    if (code == POISE_OK && only_check) {
        code = check_borrowed(engine, err);
    }
    if (!any || only_check || code != POISE_OK) {
        return code;
    }
    code = ports->walk(ports->context, ENGINE_CELLS, forget, &forgetting, err);
    for (size_t i = 0; i < engine->input_names.count && code == POISE_OK; i++) {
        struct filling filling = {engine, &engine->inputs[i], err};
        if (lacks(filling.input)) {
            code = ports->reread(ports->context, filling.input->name, INT64_MIN, INT64_MAX, add_row, &filling,
                                 err);
        }
    }
    for (size_t i = 0; i < engine->feed_count; i++) {
        engine->feeds[i]->lacking = false;
    }
    engine->broken |= code != POISE_OK;
    return code;
}
