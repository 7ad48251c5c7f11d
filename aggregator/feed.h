/* Putting the rows of a decoded batch into an engine: live, at recovery, and for questions about the past
 * alike. */
#ifndef AGGREGATOR_FEED_H
#define AGGREGATOR_FEED_H

#include "erasures.h"
#include <engine/engine.h>
#include <store/notes.h>
#include <wire/wire.h>

/* What is known of a series of the batch: no definition reads its measure, or the question is about other
 * orgs; it was looked up; and it has an accepted row. */
enum { FEED_UNREAD = 1, FEED_ELSEWHERE, FEED_KNOWN, FEED_ACCEPTED };

struct feed { /* scratch, kept between batches; zeroed at first */
    struct engine_series **series;
    uint8_t *known; /* by series: FEED_UNREAD and so on; 0: nothing */
    poise_refusal *refusal;
    uint32_t *numbers; /* of the series with an accepted row; of others JOURNAL_NO_SERIES */
    size_t capacity;
    struct journal_gone *gone; /* the rows that went because of the batch's */
    size_t gone_count, gone_capacity;
    /* Of the batch's symbols, and behind them of no symbol: by kind the engine's number + 1; 0: not asked
     * for, or there was none; of a measure that no definition reads UINT32_MAX. */
    uint32_t (*names)[ENGINE_NAMES];
    size_t name_capacity;
};
void feed_free(struct feed *feed);

struct feed_options {
    const char *producer; /* for backfills; NULL: none */
    /* Rows that were refused before: they only take their ordinal. */
    const uint32_t *refused;
    size_t refused_count;
    int64_t now_ms;        /* for max_ahead; INT64_MAX: no limit */
    const uint8_t *denied; /* by series of the batch: enum access_sending; NULL: nothing is */
    bool replays; /* series become numbered as they were, of inputs too that no definition reads any more */
    const struct erasures *erasures;   /* rows that are left out, or, with a key, retract it; NULL: none */
    const struct journal_notes *notes; /* what the journal says of them; NULL: nothing */
    /* NULL: whether a row stands is asked of its key. Else the rows of which these say that they never did
     * are only seen, since what they say less than may not be there. */
    const struct journal_notes *believed;
    /* Of a question about this org and those below ("": all): what it does without only takes its place, so
     * rows of measures that no definition reads, and at other orgs those without a key. (Where a row has
     * one, what it replaces may be at an org that is asked about.) NULL: all rows are applied. */
    const char *asked_org;
    /* A row that the engine refuses; may be NULL. */
    poise_code (*on_refusal)(void *context, uint32_t row, poise_refusal reason);
    void *context;
};

struct feed_summary { /* of the rows that were accepted; added to */
    uint64_t accepted, refused;
    int64_t min_time_ms, max_time_ms; /* min > max: none */
};
extern const struct feed_summary feed_nothing;

poise_code feed_batch(struct feed *feed, struct engine *engine, const struct wire_batch *rows,
                      const struct feed_options *options, struct feed_summary *summary, poise_error *err);

#endif
