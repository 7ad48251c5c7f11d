#include "rescore.h"

#include <base/error.h>
#include <base/text.h>
#include <model/calendar.h>
#include <stdlib.h>
#include <string.h>

poise_code rescore_open(const struct wire_rescore *order, struct rescore **ret_rescore, poise_error *err)
{
    if (order->from_ms < TIME_MIN_MS || order->from_ms > TIME_MAX_MS)
        return error_set(err, POISE_EPROTO, "the time to rescore from is outside 1900-01-01 to 2200-01-01");
    struct rescore *rescore = calloc(1, sizeof *rescore);
    if (!rescore)
        return error_nomem(err, "a rescore");
    rescore->from_ms = order->from_ms;
    size_t length = strnlen(order->reason, WIRE_TEXT_MAX); /* which decoding has checked */
    memcpy(rescore->reason, order->reason, length);
    rescore->order.producer = RESCORE_PRODUCER;
    *ret_rescore = rescore;
    return POISE_OK;
}

void rescore_free(struct rescore *rescore)
{
    if (rescore)
        batch_free(&rescore->order);
    free(rescore);
}

static bool is_meant(const struct scorecard *card, const char *scorecard)
{
    return !*scorecard || strcmp(card->id, scorecard) == 0;
}

/* Scores of frozen periods stay, by the definition that they have. */
static poise_code check_frozen(const struct rescore *rescore, const struct scorecard *card,
                               const struct engine *engine, poise_error *refusal)
{
    struct calendar calendar = scorecard_calendar(card, card->period);
    int64_t frozen_ms = engine_frozen_ms(engine, card->id);
    char frozen[TIME_TEXT_MAX];
    if (frozen_ms == INT64_MIN || period_at(&calendar, rescore->from_ms).end_ms > frozen_ms)
        return POISE_OK;
    format_time_ms(frozen_ms, frozen);
    return error_set(refusal, POISE_EINVAL,
                     "periods of scorecard '%s' that end at %s or before are frozen, since measurements of "
                     "them were dropped (`keep`); rescore from a later time",
                     card->id, frozen);
}

/* Whether it can be done at all. */
static poise_code check(struct rescore *rescore, const char *scorecard, const struct rescore_target *target,
                        poise_error *refusal)
{
    uint64_t looks = 0;
    if (engine_holds(target->engine))
        return error_set(refusal, POISE_EBUSY,
                         "a backfill runs, and its revisions come first; try again when it has ended");
    for (size_t i = 0; i < target->card_count; i++) {
        struct engine_rescore found;
        if (!is_meant(target->cards[i], scorecard))
            continue;
        poise_code code = check_frozen(rescore, target->cards[i], target->engine, refusal);
        if (code)
            return code;
        engine_rescore_find(target->engine, target->cards[i]->id, rescore->from_ms, &found);
        rescore->locked += found.locked;
        looks += found.nothing ? 0 : found.looks;
    }
    if (looks > RESCORE_LOOKS_MAX)
        return error_set(
            refusal, POISE_ELIMIT,
            "that would look at %llu scores of closed periods, and at most %d go at once; name a "
            "scorecard or a later time first, then earlier ones",
            (unsigned long long)looks, RESCORE_LOOKS_MAX);
    return POISE_OK;
}

struct counting {
    struct rescore *rescore;
    engine_visit *visit;
    void *visitor;
};

static poise_code count_revision(void *visitor, const poise_state *state)
{
    const struct counting *counting = visitor;
    counting->rescore->revised++;
    return counting->visit(counting->visitor, state);
}

poise_code rescore_apply(struct rescore *rescore, const char *scorecard, const struct rescore_target *target,
                         engine_visit *visit, void *visitor, poise_error *refusal, poise_error *err)
{
    struct definitions *definitions = target->definitions;
    struct counting counting = {rescore, visit, visitor};
    poise_code code = POISE_OK;
    if (check(rescore, scorecard, target, refusal))
        return POISE_OK;
    for (size_t i = 0; !code && i < target->card_count; i++) {
        const char *id = target->cards[i]->id;
        struct engine_rescore found;
        if (!is_meant(target->cards[i], scorecard))
            continue;
        engine_rescore_find(target->engine, id, rescore->from_ms, &found);
        if (found.nothing)
            continue;
        if (rescore->scorecards++ == 0)
            engine_skip(target->engine); /* the order's place in the journal */
        code = engine_rescore(target->engine, id, found.after_ms, count_revision, &counting, err);
        definitions_rescore(definitions, id, found.after_ms);
        const struct definition *current = definitions_current(definitions, id);
        if (current)
            order_put(&rescore->order.body, current, false);
    }
    order_put_reason(&rescore->order.body, rescore->reason);
    return code || !rescore->order.body.failed ? code : error_nomem(err, "a rescore");
}
