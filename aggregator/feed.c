#include "feed.h"

#include "access.h"
#include "batch.h"
#include <base/error.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

enum { EXPECTED_LEAST = 8 /* rows of a batch; of fewer it costs more to look ahead than memory does */ };
#define NAME_UNREAD UINT32_MAX

const struct feed_summary feed_nothing = {.min_time_ms = INT64_MAX, .max_time_ms = INT64_MIN};

void feed_free(struct feed *feed)
{
    free(feed->series);
    free(feed->known);
    free(feed->refusal);
    free(feed->numbers);
    free(feed->gone);
    free(feed->names);
    *feed = (struct feed){0};
}

static bool reserve_names(struct feed *feed, size_t count)
{
    if (count > feed->name_capacity) {
        free(feed->names);
        feed->name_capacity = 0;
        feed->names = calloc(count, sizeof *feed->names);
        if (!feed->names)
            return false;
        feed->name_capacity = count;
    }
    memset(feed->names, 0, count * sizeof *feed->names);
    return true;
}

static bool reserve(struct feed *feed, const struct wire_batch *rows)
{
    size_t count = rows->series_count;
    if (count > feed->capacity) {
        feed_free(feed);
        feed->series = calloc(count, sizeof(struct engine_series *));
        feed->known = calloc(count, 1);
        feed->refusal = calloc(count, sizeof *feed->refusal);
        feed->numbers = calloc(count, sizeof *feed->numbers);
        if (!feed->series || !feed->known || !feed->refusal || !feed->numbers)
            return false;
        feed->capacity = count;
    }
    for (size_t i = 0; i < count; i++)
        feed->numbers[i] = JOURNAL_NO_SERIES;
    if (count)
        memset(feed->known, 0, count);
    feed->gone_count = 0;
    return reserve_names(feed, rows->symbol_count + 1);
}

/* The engine's number of a symbol; asked once a batch, but for texts that it does not know. */
static uint32_t name_of(struct feed *feed, const struct engine *engine, enum engine_name kind,
                        const struct wire_batch *rows, uint32_t symbol)
{
    bool is_none = symbol == WIRE_SYMBOL_NONE;
    uint32_t *name = &feed->names[is_none ? rows->symbol_count : symbol][kind];
    if (*name == 0)
        *name = engine_name(engine, kind, is_none ? "" : rows->symbols[symbol]) + 1;
    if (*name == 0 && kind == ENGINE_MEASURE) /* others may become known within the batch */
        *name = NAME_UNREAD;
    return *name == NAME_UNREAD ? ENGINE_NAME_NONE : *name - 1;
}

/* The engine's series of a batch's series; asked once a batch. */
static poise_code look_up(struct feed *feed, struct engine *engine, const struct wire_batch *rows,
                          uint32_t index, bool denied, poise_error *err)
{
    if (feed->known[index] >= FEED_KNOWN)
        return POISE_OK;
    if (denied) { /* the engine does not even hear of it */
        feed->known[index] = FEED_KNOWN;
        feed->series[index] = NULL;
        feed->refusal[index] = POISE_REFUSAL_NOT_ALLOWED;
        return POISE_OK;
    }
    const struct wire_series *series = &rows->series[index];
    const uint32_t names[ENGINE_NAMES] = {
        [ENGINE_MEASURE] = name_of(feed, engine, ENGINE_MEASURE, rows, series->measure),
        [ENGINE_ORG] = name_of(feed, engine, ENGINE_ORG, rows, series->org),
        [ENGINE_SOURCE] = name_of(feed, engine, ENGINE_SOURCE, rows, series->source)};
    feed->known[index] = FEED_KNOWN;
    feed->series[index] = engine_known_series(engine, names);
    feed->refusal[index] = POISE_REFUSAL_NONE;
    if (feed->series[index])
        return POISE_OK;
    const char *source = series->source == WIRE_SYMBOL_NONE ? "" : rows->symbols[series->source];
    return engine_series(engine, rows->symbols[series->measure], rows->symbols[series->org], source,
                         &feed->series[index], &feed->refusal[index], err);
}

static struct engine_row row_of(const struct wire_batch *rows, size_t at)
{
    struct engine_row row = {
        .time_ms = rows->time_ms[at],
        .value = rows->value[at],
        .of = rows->of ? rows->of[at] : 1.0,
        .seq = rows->row_seq ? rows->row_seq[at] : 0,
        .retract = rows->retract ? rows->retract[at] : false,
    };
    if (rows->key && rows->key[at]) {
        row.key = rows->symbols[rows->key[at] - 1];
        row.key_length = strlen(row.key);
    }
    return row;
}

static void summarise(struct feed_summary *summary, const struct engine_row *row)
{
    summary->accepted++;
    if (row->retract)
        return;
    if (row->time_ms < summary->min_time_ms)
        summary->min_time_ms = row->time_ms;
    if (row->time_ms > summary->max_time_ms)
        summary->max_time_ms = row->time_ms;
}

/* What a batch's rows are applied with. */
struct feeding {
    struct feed *feed;
    struct engine *engine;
    const struct wire_batch *rows;
    const struct feed_options *options;
    struct feed_summary *summary;
    uint32_t ahead;           /* so many rows ahead the engine expects one */
    size_t refused_at;        /* in options->refused */
    size_t expect_refused_at; /* likewise, of the rows that are expected */
    size_t gone_at;           /* in options->believed */
    poise_error *err;
};

/* Of each series whether the question does without its rows (asked_org); false: it does without all. */
static bool any_asked(struct feeding *feeding)
{
    const struct wire_batch *rows = feeding->rows;
    uint8_t *known = feeding->feed->known;
    bool any = false;
    for (uint32_t i = 0; i < rows->series_count; i++) {
        const struct wire_series *series = &rows->series[i];
        if (name_of(feeding->feed, feeding->engine, ENGINE_MEASURE, rows, series->measure) ==
            ENGINE_NAME_NONE)
            known[i] = FEED_UNREAD;
        else if (!org_within(rows->symbols[series->org], feeding->options->asked_org))
            known[i] = FEED_ELSEWHERE;
        any |= known[i] == 0 || (known[i] == FEED_ELSEWHERE && rows->key);
    }
    return any;
}

static bool passes_over(const struct feeding *feeding, uint32_t at)
{
    const struct wire_batch *rows = feeding->rows;
    uint8_t known = feeding->feed->known[rows->row_series[at]];
    return known == FEED_UNREAD || (known == FEED_ELSEWHERE && !(rows->key && rows->key[at]));
}

/* Looks up the series of a row and has the engine expect it. */
static poise_code expect_row(struct feeding *feeding, uint32_t at)
{
    const struct feed_options *options = feeding->options;
    struct engine_series *series = NULL;
    poise_code code = POISE_OK;
    if (at < feeding->rows->rows && !passes_over(feeding, at) &&
        !batch_row_refused(options->refused, options->refused_count, &feeding->expect_refused_at, at)) {
        uint32_t index = feeding->rows->row_series[at];
        bool denied = options->denied && options->denied[index] == ACCESS_SENDS_NOT;
        code = look_up(feeding->feed, feeding->engine, feeding->rows, index, denied, feeding->err);
        series = feeding->feed->series[index];
    }
    if (code || feeding->ahead == 0)
        return code;
    engine_expect(feeding->engine, series);
    if (series && feeding->rows->key && feeding->rows->key[at]) {
        const char *key = feeding->rows->symbols[feeding->rows->key[at] - 1];
        engine_expect_key(feeding->engine, series, key, strlen(key));
    }
    return code;
}

/* A series has its first accepted row of the batch, and so a number. */
static poise_code note_number(struct feeding *feeding, uint32_t index, uint32_t number)
{
    const struct journal_notes *notes = feeding->options->notes;
    feeding->feed->known[index] = FEED_ACCEPTED;
    feeding->feed->numbers[index] = number;
    if (!notes || (index < notes->series_count && notes->series[index] == number))
        return POISE_OK;
    const struct wire_series *names = &feeding->rows->series[index];
    return error_set(feeding->err, POISE_ECORRUPT,
                     "a series of %s at '%s' is number %u, but the journal says otherwise; restore a backup",
                     feeding->rows->symbols[names->measure], feeding->rows->symbols[names->org], number);
}

/* A row of an input that was read when it came. */
static poise_code number_unread(struct feeding *feeding, uint32_t index)
{
    const struct wire_batch *rows = feeding->rows;
    const struct wire_series *names = &rows->series[index];
    const char *source = names->source == WIRE_SYMBOL_NONE ? "" : rows->symbols[names->source];
    uint32_t number;
    if (feeding->feed->known[index] == FEED_ACCEPTED)
        return POISE_OK;
    poise_code code = engine_number_unread(feeding->engine, rows->symbols[names->measure],
                                           rows->symbols[names->org], source, &number, feeding->err);
    return code ? code : note_number(feeding, index, number);
}

static poise_code note_gone(struct feeding *feeding, uint32_t at)
{
    struct feed *feed = feeding->feed;
    struct engine_gone gone;
    if (!engine_gone(feeding->engine, &gone))
        return POISE_OK;
    if (feed->gone_count == feed->gone_capacity) {
        size_t capacity = feed->gone_capacity ? 2 * feed->gone_capacity : 64;
        struct journal_gone *items = realloc(feed->gone, capacity * sizeof *items);
        if (!items)
            return error_nomem(feeding->err, "the rows that went");
        feed->gone = items;
        feed->gone_capacity = capacity;
    }
    feed->gone[feed->gone_count++] = (struct journal_gone){at, gone.series, gone.time_ms, gone.ordinal};
    return POISE_OK;
}

static poise_code accept_row(struct feeding *feeding, uint32_t at, uint32_t index,
                             const struct engine_row *row)
{
    poise_code code = POISE_OK;
    if (feeding->feed->known[index] != FEED_ACCEPTED)
        code = note_number(feeding, index, engine_series_number(feeding->feed->series[index]));
    if (!code && row->key)
        code = note_gone(feeding, at);
    summarise(feeding->summary, row);
    return code;
}

static bool is_erased(const struct feeding *feeding, uint32_t index, const struct engine_row *row)
{
    const struct erasures *erasures = feeding->options->erasures;
    const struct wire_batch *rows = feeding->rows;
    const struct wire_series *names = &rows->series[index];
    return erasures && erasures->count > 0 && !row->retract &&
           erasures_have(erasures, rows->symbols[names->measure], rows->symbols[names->org], row->time_ms,
                         engine_ordinal(feeding->engine) + 1);
}

/* Its place and its series' number stay. */
static poise_code leave_out(struct feeding *feeding, uint32_t index)
{
    engine_skip(feeding->engine);
    return number_unread(feeding, index);
}

/* Whether the row, which comes next, is believed never to have stood. */
static bool never_stood(struct feeding *feeding, uint32_t at)
{
    const struct journal_notes *notes = feeding->options->believed;
    while (notes && feeding->gone_at < notes->gone_count && notes->gone[feeding->gone_at].row < at)
        feeding->gone_at++;
    return notes && feeding->gone_at < notes->gone_count && notes->gone[feeding->gone_at].row == at &&
           notes->gone[feeding->gone_at].ordinal == engine_ordinal(feeding->engine) + 1;
}

static poise_code see_row(struct feeding *feeding, uint32_t index, const struct engine_row *row)
{
    engine_skip(feeding->engine);
    return row->retract ? POISE_OK : engine_see(feeding->engine, feeding->feed->series[index], feeding->err);
}

static poise_code apply_row(struct feeding *feeding, uint32_t at)
{
    const struct feed_options *options = feeding->options;
    if (batch_row_refused(options->refused, options->refused_count, &feeding->refused_at, at) ||
        passes_over(feeding, at)) {
        engine_skip(feeding->engine);
        return POISE_OK;
    }
    uint32_t index = feeding->rows->row_series[at];
    poise_refusal refusal = feeding->feed->refusal[index];
    struct engine_row row = row_of(feeding->rows, at);
    poise_code code = POISE_OK;
    if (is_erased(feeding, index, &row)) {
        if (!row.key)
            return leave_out(feeding, index);
        row.retract = true;
    }
    if (!refusal && row.key && options->denied && options->denied[index] != ACCESS_SENDS)
        refusal = POISE_REFUSAL_NOT_ALLOWED;
    if (!refusal && never_stood(feeding, at))
        return see_row(feeding, index, &row);
    if (refusal)
        engine_skip(feeding->engine);
    else
        code = engine_apply(feeding->engine, feeding->feed->series[index], &row, options->now_ms, &refusal,
                            feeding->err);
    if (!code && refusal == POISE_REFUSAL_UNKNOWN_MEASURE && options->replays) {
        code = number_unread(feeding, index);
    } else if (!code && refusal) {
        feeding->summary->refused++;
        code = options->on_refusal ? options->on_refusal(options->context, at, refusal) : POISE_OK;
    } else if (!code) {
        code = accept_row(feeding, at, index, &row);
    }
    return code;
}

static poise_code feed_rows(struct feeding *feeding)
{
    const size_t count = feeding->rows->rows;
    const uint32_t ahead = feeding->ahead;
    poise_code code = POISE_OK;
    for (uint32_t at = 0; at < count + ahead && !code; at++) {
        code = expect_row(feeding, at);
        if (!code && at >= ahead)
            code = apply_row(feeding, at - ahead);
    }
    return code;
}

poise_code feed_batch(struct feed *feed, struct engine *engine, const struct wire_batch *rows,
                      const struct feed_options *options, struct feed_summary *summary, poise_error *err)
{
    if (rows->loss.last_seq)
        return POISE_OK;
    if (!reserve(feed, rows))
        return error_nomem(err, "the series of a batch");
    struct feeding feeding = {.feed = feed,
                              .engine = engine,
                              .rows = rows,
                              .options = options,
                              .summary = summary,
                              .ahead = rows->rows < EXPECTED_LEAST ? 0 : ENGINE_EXPECT_AHEAD,
                              .err = err};
    uint64_t who = options->producer ? hash64(options->producer, strlen(options->producer), 0) : 0;
    engine_backfill(engine, who, rows->backfill != WIRE_BACKFILL_NONE);
    poise_code code = POISE_OK;
    if (options->asked_org && !any_asked(&feeding))
        engine_skip_to(engine, engine_ordinal(engine) + rows->rows);
    else
        code = feed_rows(&feeding);
    if (!code && rows->backfill == WIRE_BACKFILL_ENDS)
        engine_backfill(engine, who, false);
    return code;
}
