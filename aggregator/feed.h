/* Putting the rows of a decoded batch into an engine: live, at recovery, and for questions about the past
 * alike. */
#ifndef AGGREGATOR_FEED_H
#define AGGREGATOR_FEED_H

#include <engine/engine.h>
#include <store/notes.h>
#include <wire/wire.h>

enum { FEED_KNOWN = 1, FEED_ACCEPTED };

struct feed { /* scratch, kept between batches; zeroed at first */
    struct engine_series **series;
    uint8_t *known; /* FEED_KNOWN: a series was looked up; FEED_ACCEPTED: and has an accepted row */
    poise_refusal *refusal;
    uint32_t *numbers; /* of the series with an accepted row; of others JOURNAL_NO_SERIES */
    size_t capacity;
    struct journal_gone *gone; /* the rows that went because of the batch's */
    size_t gone_count, gone_capacity;
    /* Of the batch's symbols, and behind them of no symbol: by kind the engine's number + 1; 0: not asked
     * for, or there was none. */
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
    const struct journal_notes *notes; /* what the journal says of them; NULL: nothing */
    /* NULL: whether a row stands is asked of its key. Else the rows of which these say that they never did
     * are only seen, since what they say less than may not be there. */
    const struct journal_notes *believed;
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
