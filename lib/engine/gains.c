/* What series have gained since the last settle. Accumulators form a group, in any order: so the rows of a
 * series that come before anybody reads its cells are first added up by themselves, and then carried to the
 * cells of its org and of every org above it at once. A series gains from the second row of a settle on: one
 * that has a row now and then goes straight to the cells. What is not plain, another tile or a row that is
 * taken away, carries first; and nothing is gained in a tile that is closed, whose cells past.c keeps. */
#include "internal.h"
#include <base/error.h>
#include <stdlib.h>

enum { GAINS_MAX = 1 << 16 /* series at a time, some 6 MB; others go straight to the cells */ };

struct gain { /* of a feed; its accumulator follows */
    struct period tile;
};

struct gains {
    struct engine_series *series;
    uint32_t cell;     /* the series' cells[0], which names these gains meanwhile */
    uint32_t at;       /* in engine->gaining */
    struct gain first; /* of the input's first feed; those of the others follow */
};

static size_t size_of_gain(const struct feed *feed)
{
    return sizeof(struct gain) + feed->layout.size;
}

static struct gain *next_gain(struct gain *gain, const struct feed *feed)
{
    return (struct gain *)((char *)gain + size_of_gain(feed));
}

static struct accumulator *body_of(struct gain *gain)
{
    return (struct accumulator *)(gain + 1);
}

static size_t size_of_gains(const struct input *input)
{
    size_t size = offsetof(struct gains, first);
    for (const struct feed *feed = input->feeds; feed; feed = feed->next) {
        size += size_of_gain(feed);
    }
    return size;
}

const void *gains_of(const struct engine *engine, const struct engine_series *series, size_t *ret_size)
{
    *ret_size = size_of_gain(input_of(engine, series)->feeds) + offsetof(struct gains, first);
    return pool_at(&engine->gains, series->cells[0]);
}

/* ---- the first row ---- */

/* Whether the cells that the series has looked up are of the time's tiles, which are open, and have had a row
 * since the last settle. */
static bool may_gain(const struct engine *engine, const struct engine_series *series, int64_t time_ms)
{
    const struct input *input = input_of(engine, series);
    if (engine->gaining.count == GAINS_MAX) {
        return false;
    }
    const uint32_t *cell = series->cells;
    for (struct feed *feed = input->feeds; feed; feed = feed->next) {
        const struct block *block = block_of(&engine->cells, *cell);
        if (*cell == CELL_NONE || !(block->touched & bit_in_block(*cell)) ||
            feed_tile(feed, time_ms).start_ms != block->start_ms || block->start_ms < engine->closed_ms) {
            return false;
        }
        cell += levels_of(engine, feed, series->org);
    }
    return size_of_gains(input) <= POOL_KEPT_UNITS * POOL_UNIT;
}

bool gains_begin(struct engine *engine, struct engine_series *series, int64_t time_ms)
{
    if (!may_gain(engine, series, time_ms)) {
        return false;
    }
    const struct input *input = input_of(engine, series);
    size_t size = size_of_gains(input);
    uint32_t piece = pool_take(&engine->gains, size);
    if (piece == POOL_NONE) {
        return false;
    }
    if (!numbers_push(&engine->gaining, piece)) {
        pool_give(&engine->gains, piece, size);
        return false;
    }
    struct gains *gains = pool_at(&engine->gains, piece);
    gains->series = series;
    gains->cell = series->cells[0];
    gains->at = (uint32_t)engine->gaining.count - 1;
    struct gain *gain = &gains->first;
    const uint32_t *cell = series->cells;
    for (struct feed *feed = input->feeds; feed; feed = feed->next) {
        gain->tile = feed_tile(feed, time_ms);
        accumulator_liken(&feed->layout, body_of(gain), cell_body(&engine->cells, *cell));
        cell += levels_of(engine, feed, series->org);
        gain = next_gain(gain, feed);
    }
    series->cells[0] = piece;
    series->gaining = true;
    return true;
}

/* ---- further rows ---- */

static bool holds_all(struct gain *gain, const struct input *input, int64_t time_ms)
{
    for (const struct feed *feed = input->feeds; feed; feed = feed->next) {
        if (time_ms < gain->tile.start_ms || time_ms >= gain->tile.end_ms) {
            return false;
        }
        gain = next_gain(gain, feed);
    }
    return true;
}

poise_code gains_add(struct engine *engine, struct engine_series *series, const struct sample *sample,
                     bool *ret_added, poise_error *err)
{
    struct gains *gains = pool_at(&engine->gains, series->cells[0]);
    const struct input *input = input_of(engine, series);
    *ret_added = holds_all(&gains->first, input, sample->time_ms);
    struct gain *gain = &gains->first;
    for (const struct feed *feed = input->feeds; feed && *ret_added; feed = feed->next) {
        if (!accumulator_add(&feed->layout, body_of(gain), sample)) {
            return error_nomem(err, "what a series has gained");
        }
        gain = next_gain(gain, feed);
    }
    return POISE_OK;
}

/* ---- to the cells ---- */

/* Off the list, and its memory given back. */
static void end(struct engine *engine, struct gains *gains, uint32_t piece)
{
    struct numbers *gaining = &engine->gaining;
    uint32_t last = gaining->items[--gaining->count];
    gaining->items[gains->at] = last;
    ((struct gains *)pool_at(&engine->gains, last))->at = gains->at;
    gains->series->cells[0] = gains->cell;
    gains->series->gaining = false;
    pool_give(&engine->gains, piece, size_of_gains(input_of(engine, gains->series)));
}

static bool carry_gain(struct engine *engine, const struct feed *feed, struct gain *gain,
                       const uint32_t *cells, size_t count)
{
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        ok = cell_touch(engine, cells[i]) &&
             accumulator_merge(&feed->layout, cell_body(&engine->cells, cells[i]), body_of(gain));
    }
    accumulator_clear(&feed->layout, body_of(gain));
    return ok;
}

poise_code gains_carry(struct engine *engine, struct engine_series *series, poise_error *err)
{
    uint32_t piece = series->cells[0];
    struct gains *gains = pool_at(&engine->gains, piece);
    struct gain *gain = &gains->first;
    series->cells[0] = gains->cell;
    const uint32_t *cells = series->cells;
    bool ok = true;
    for (struct feed *feed = input_of(engine, series)->feeds; feed; feed = feed->next) {
        size_t count = levels_of(engine, feed, series->org);
        ok = carry_gain(engine, feed, gain, cells, count) && ok;
        cells += count;
        gain = next_gain(gain, feed);
    }
    end(engine, gains, piece);
    return ok ? POISE_OK : error_nomem(err, "what a series has gained");
}

poise_code gains_carry_all(struct engine *engine, poise_error *err)
{
    poise_code code = POISE_OK;
    while (engine->gaining.count > 0 && code == POISE_OK) {
        uint32_t last = engine->gaining.items[engine->gaining.count - 1];
        code = gains_carry(engine, ((struct gains *)pool_at(&engine->gains, last))->series, err);
    }
    return code;
}

void gains_free(struct engine *engine)
{
    for (size_t i = 0; i < engine->gaining.count; i++) {
        struct gains *gains = pool_at(&engine->gains, engine->gaining.items[i]);
        struct gain *gain = &gains->first;
        for (struct feed *feed = input_of(engine, gains->series)->feeds; feed; feed = feed->next) {
            accumulator_clear(&feed->layout, body_of(gain));
            gain = next_gain(gain, feed);
        }
    }
    free(engine->gaining.items);
    pool_free(&engine->gains);
}
