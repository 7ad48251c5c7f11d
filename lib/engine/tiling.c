#include "internal.h"
#include <string.h>

enum { SPAN_GROWTH = 16 }; /* a span of a tier has so many of the next */

/* ---- which tilings ---- */

static struct calendar calendar_of(const struct scorecard *card, enum period_unit unit)
{
    struct calendar calendar = scorecard_calendar(card, unit);
    if (calendar.unit < PERIOD_QUARTER) {
        calendar.fiscal_year_start = 1; /* no part of what the period is */
    }
    return calendar;
}

static bool same_calendar(const struct calendar *a, const struct calendar *b)
{
    return a->unit == b->unit && a->fiscal_year_start == b->fiscal_year_start &&
           strcmp(zone_name(a->zone), zone_name(b->zone)) == 0;
}

bool same_tiling(const struct tiling *a, const struct tiling *b)
{
    return a->width_ms == b->width_ms && same_calendar(&a->calendar, &b->calendar) && a->cut == b->cut &&
           (!a->cut || same_calendar(&a->cut_by, &b->cut_by));
}

/* Whether periods of the one never reach over an end of the other. */
static bool is_nested(enum period_unit unit, enum period_unit in)
{
    return unit == in || (unit < in && unit != PERIOD_WEEK);
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Spans of which both edges of every window are multiples, but for a right edge at a period's end: there they
 * are cut. */
static uint32_t span_tilings(const struct scorecard *card, const struct measure *measure,
                             struct tiling ret_tilings[TIERS_MAX])
{
    int64_t width_ms = gcd(measure->rolling_ms, card->tick_ms);
    int64_t longest_ms = measure->rolling_ms + card->tick_ms; /* of a window: it ends at T, not at its tick */
    uint32_t count = 1;
    while (count < TIERS_MAX && width_ms <= longest_ms / SPAN_GROWTH) {
        width_ms *= SPAN_GROWTH;
        count++;
    }
    for (uint32_t i = 0; i < count; i++, width_ms /= SPAN_GROWTH) {
        ret_tilings[i] = (struct tiling){.calendar = calendar_of(card, PERIOD_MINUTE), .width_ms = width_ms};
    }
    ret_tilings[count - 1].cut = true;
    ret_tilings[count - 1].cut_by = calendar_of(card, card->period);
    return count;
}

/* Periods cut where those of the scorecard end, and by steps between, so that no window of many ends is put
 * together from as many tiles. */
static uint32_t cut_tilings(const struct scorecard *card, enum period_unit unit,
                            struct tiling ret_tilings[TIERS_MAX])
{
    const enum period_unit ends[] = {PERIOD_MONTH, PERIOD_DAY, PERIOD_HOUR, card->period};
    uint32_t count = 1;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        bool is_last = i == sizeof ends / sizeof *ends - 1;
        if (is_last || (ends[i] < unit && ends[i] > card->period && is_nested(card->period, ends[i]))) {
            ret_tilings[count] = ret_tilings[0];
            ret_tilings[count].cut = true;
            ret_tilings[count++].cut_by = calendar_of(card, ends[i]);
        }
    }
    return count;
}

uint32_t tilings_of(const struct scorecard *card, const struct measure *measure,
                    struct tiling ret_tilings[TIERS_MAX])
{
    if (measure->rolling_ms > 0) {
        return span_tilings(card, measure, ret_tilings);
    }
    ret_tilings[0] = (struct tiling){.calendar = calendar_of(card, measure->period)};
    return measure->basis_closed || is_nested(measure->period, card->period)
               ? 1
               : cut_tilings(card, measure->period, ret_tilings);
}

/* ---- tiles ---- */

static struct period span_of(int64_t width_ms, int64_t time_ms)
{
    int64_t past = (time_ms - 1) % width_ms;
    int64_t start_ms = time_ms - (past < 0 ? past + width_ms : past);
    return (struct period){start_ms, start_ms + width_ms};
}

static struct period tile_of(const struct tiling *tiling, int64_t time_ms)
{
    struct period tile =
        tiling->width_ms > 0 ? span_of(tiling->width_ms, time_ms) : period_of(&tiling->calendar, time_ms);
    if (tiling->cut) {
        struct period by = period_at(&tiling->cut_by, time_ms);
        tile.start_ms = by.start_ms + 1 > tile.start_ms ? by.start_ms + 1 : tile.start_ms;
        tile.end_ms = by.end_ms + 1 < tile.end_ms ? by.end_ms + 1 : tile.end_ms;
    }
    return tile;
}

struct period feed_tile(struct feed *feed, int64_t time_ms)
{
    for (size_t i = 0; i < RECENT_PERIODS; i++) {
        if (time_ms >= feed->recent[i].start_ms && time_ms < feed->recent[i].end_ms) {
            return feed->recent[i];
        }
    }
    struct period tile = tile_of(&feed->tiling, time_ms);
    feed->recent[feed->oldest_recent] = tile;
    feed->oldest_recent = (feed->oldest_recent + 1) % RECENT_PERIODS;
    return tile;
}
