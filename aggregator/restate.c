#include "restate.h"

#include "definitions.h"
#include "held.h"
#include <base/error.h>
#include <model/org.h>
#include <stdlib.h>
#include <string.h>

/* ---- the order ---- */

static poise_code copy(char *to, size_t room, const char *text, const char *what, poise_error *err)
{
    size_t length = strlen(text);
    if (length >= room)
        return error_set(err, POISE_EPROTO, "the %s of a restatement has more than %zu bytes", what,
                         room - 1);
    memcpy(to, text, length + 1);
    return POISE_OK;
}

poise_code restate_open(const struct wire_restate *order, struct restate **ret_restate, poise_error *err)
{
    if (order->from_ms >= order->to_ms || order->reason[0] == '\0')
        return error_set(err, POISE_EPROTO,
                         "a restatement needs a reason, and a time that begins before it ends");
    if (order->org[0] && !glob_valid(order->org))
        return error_set(err, POISE_EPROTO, "'%.200s' is no org and no glob of orgs", order->org);
    struct restate *restate = calloc(1, sizeof *restate);
    if (!restate)
        return error_nomem(err, "a restatement");
    restate->from_ms = order->from_ms;
    restate->to_ms = order->to_ms;
    poise_code code = copy(restate->measure, sizeof restate->measure, order->measure, "measure", err);
    if (!code)
        code = copy(restate->org, sizeof restate->org, order->org, "org", err);
    if (!code)
        code = copy(restate->reason, sizeof restate->reason, order->reason, "reason", err);
    if (code) {
        restate_free(restate);
        return code;
    }
    *ret_restate = restate;
    return POISE_OK;
}

void restate_free(struct restate *restate)
{
    if (!restate)
        return;
    for (size_t i = 0; i < RESTATE_BATCHES_MAX; i++)
        batch_free(&restate->batches[i]);
    free(restate);
}

/* ---- what is held ---- */

struct finding {
    struct restate *restate;
    struct wire_restate order;
    struct erasures erasures;
    poise_measurement *rows; /* that are to be let in */
    size_t count, capacity;
    struct definitions definitions; /* of which only what is frozen is looked at */
    size_t frozen;                  /* of those */
    struct arena texts;             /* of the rows */
    poise_error *err;
};

static poise_code keep(struct finding *finding, const poise_measurement *row)
{
    if (finding->count == RESTATE_ROWS_MAX)
        return error_set(finding->err, POISE_ELIMIT,
                         "more than %d measurements are held: name a measure, org or time that has fewer",
                         RESTATE_ROWS_MAX);
    if (finding->count == finding->capacity) {
        size_t capacity = finding->capacity ? 2 * finding->capacity : 256;
        poise_measurement *rows = realloc(finding->rows, capacity * sizeof *rows);
        if (!rows)
            return error_nomem(finding->err, "what is held");
        finding->rows = rows;
        finding->capacity = capacity;
    }
    poise_measurement kept = *row;
    const char **texts[] = {&kept.measure, &kept.org, &kept.source, &kept.key};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i] && !(*texts[i] = arena_strndup(&finding->texts, *texts[i], strlen(*texts[i]))))
            return error_nomem(finding->err, "what is held");
    finding->rows[finding->count++] = kept;
    bool frozen = !row->retract && row->time_ms < definitions_frozen_ms(&finding->definitions, row->measure);
    finding->frozen += frozen;
    return POISE_OK;
}

static poise_code visit(void *visitor, const struct held *held)
{
    struct finding *finding = visitor;
    const poise_measurement *row = &held->row;
    if (held->reason != POISE_REFUSAL_LOCKED || held->let_in || !held_is_named(&finding->order, row))
        return POISE_OK;
    bool erased = !row->retract && erasures_have(&finding->erasures, row->measure, row->org ? row->org : "",
                                                 row->time_ms, held->place);
    if (!erased)
        finding->order.place = held->place;
    return erased ? POISE_OK : keep(finding, row);
}

/* ---- as batches ---- */

static poise_code end_batch(struct restate *restate, struct wire_builder *builder, poise_error *err)
{
    struct batch *batch = &restate->batches[restate->count];
    if (restate->count == RESTATE_BATCHES_MAX)
        return error_set(err, POISE_ELIMIT, "what is held takes more than %d batches: name less",
                         RESTATE_BATCHES_MAX);
    batch_reset(batch);
    batch->producer = RESTATE_PRODUCER;
    poise_code code = wire_builder_finish(builder, 1, restate->count, &batch->body);
    if (!code)
        code = batch_decode(batch, WIRE_BATCH_ROWS_MAX);
    restate->count += !code;
    return code || batch->malformed ? error_nomem(err, "a batch of what was held") : POISE_OK;
}

static poise_code put_rows(struct finding *finding)
{
    struct restate *restate = finding->restate;
    struct wire_builder *builder = wire_builder_open();
    poise_code code = builder ? POISE_OK : POISE_ENOMEM;
    for (size_t i = 0; !code && i < finding->count; i++) {
        code = wire_builder_add(builder, &finding->rows[i]);
        if (code == POISE_EFULL) {
            code = end_batch(restate, builder, finding->err);
            if (!code)
                code = wire_builder_add(builder, &finding->rows[i]);
        }
        restate->rows += !code;
    }
    if (!code && wire_builder_rows(builder))
        code = end_batch(restate, builder, finding->err);
    wire_builder_close(builder);
    return code == POISE_ENOMEM ? error_nomem(finding->err, "what was held") : code;
}

static poise_code put_order(struct finding *finding)
{
    struct batch *batch = &finding->restate->batches[0];
    batch->producer = RESTATE_PRODUCER;
    finding->restate->count = 1;
    return wire_encode_restate(&finding->order, &batch->body) ? error_nomem(finding->err, "a restatement")
                                                              : POISE_OK;
}

poise_code restate_find(struct restate *restate, struct store *store, poise_error *err)
{
    struct finding finding = {.restate = restate,
                              .order = {.id = 1,
                                        .measure = restate->measure,
                                        .org = restate->org,
                                        .reason = restate->reason,
                                        .from_ms = restate->from_ms,
                                        .to_ms = restate->to_ms},
                              .err = err};
    poise_code code = erasures_fold(&finding.erasures, store, store_last_lsn(store), NULL, err);
    if (!code)
        code = definitions_fold(&finding.definitions, store, NULL, finding.erasures.folded_lsn, 0, NULL, err);
    restate->found_lsn = finding.erasures.folded_lsn;
    if (!code)
        code = held_each(store, restate->found_lsn, NULL, visit, &finding, err);
    if (!code && finding.frozen > 0 && finding.frozen == finding.count)
        code = error_set(err, POISE_EINVAL,
                         "all %zu measurements of these that are held are of frozen periods: what these were "
                         "scored by was dropped (`keep`), and nothing changes them any more",
                         finding.frozen);
    if (!code)
        code = put_order(&finding);
    if (!code)
        code = put_rows(&finding);
    erasures_free(&finding.erasures);
    free(finding.rows);
    definitions_free(&finding.definitions);
    arena_free(&finding.texts);
    return code;
}
