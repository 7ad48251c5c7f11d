#include "restate.h"

#include "definitions.h"
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

static bool names(const struct wire_restate *order, const poise_measurement *row)
{
    bool in_time = row->retract || (row->time_ms >= order->from_ms && row->time_ms < order->to_ms);
    return in_time && (!order->measure[0] || strcmp(order->measure, row->measure) == 0) &&
           (!order->org[0] || org_matches(order->org, row->org ? row->org : ""));
}

/* ---- what is held ---- */

struct held { /* a measurement that was refused as locked */
    poise_measurement row;
    uint64_t ordinal;
    bool let_in; /* by an order behind it */
};

struct finding {
    struct restate *restate;
    struct wire_restate order;
    struct erasures erasures;
    struct held *held;
    size_t count, capacity;
    struct definitions definitions; /* of which only what is frozen is looked at */
    size_t frozen;                  /* of those that are held */
    struct arena texts, arena;      /* of the held; of the record at hand */
    poise_error *err;
};

static poise_code keep(struct finding *finding, const poise_measurement *row, uint64_t ordinal)
{
    if (finding->count == RESTATE_ROWS_MAX)
        return error_set(finding->err, POISE_ELIMIT,
                         "more than %d measurements are held: name a measure, org or time that has fewer",
                         RESTATE_ROWS_MAX);
    if (finding->count == finding->capacity) {
        size_t capacity = finding->capacity ? 2 * finding->capacity : 256;
        struct held *held = realloc(finding->held, capacity * sizeof *held);
        if (!held)
            return error_nomem(finding->err, "what is held");
        finding->held = held;
        finding->capacity = capacity;
    }
    struct held held = {.row = *row, .ordinal = ordinal};
    const char **texts[] = {&held.row.measure, &held.row.org, &held.row.source, &held.row.key};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i] && !(*texts[i] = arena_strndup(&finding->texts, *texts[i], strlen(*texts[i]))))
            return error_nomem(finding->err, "what is held");
    finding->held[finding->count++] = held;
    bool frozen = !row->retract && row->time_ms < definitions_frozen_ms(&finding->definitions, row->measure);
    finding->frozen += frozen;
    return POISE_OK;
}

static poise_code find_held(struct finding *finding, const struct journal_batch *batch,
                            uint64_t first_ordinal)
{
    struct wire_batch rows;
    bool any = false;
    for (size_t i = 0; i < batch->refused_count; i++)
        any |= batch->reasons[i] == POISE_REFUSAL_LOCKED;
    if (!any)
        return POISE_OK;
    arena_reset(&finding->arena);
    poise_code code =
        wire_decode_batch(batch->body, batch->body_length, &finding->arena, &rows, finding->err);
    for (size_t i = 0; !code && i < batch->refused_count; i++) {
        if (batch->reasons[i] != POISE_REFUSAL_LOCKED || batch->refused[i] >= rows.rows)
            continue;
        poise_measurement row = wire_batch_row(&rows, batch->refused[i]);
        uint64_t place = first_ordinal + batch->refused[i];
        bool erased = !row.retract && erasures_have(&finding->erasures, row.measure, row.org ? row.org : "",
                                                    row.time_ms, place);
        if (names(&finding->order, &row) && !erased)
            code = keep(finding, &row, place);
    }
    return code;
}

/* An order of before: what it names of the rows before it is let in already. */
static poise_code let_in(struct finding *finding, const struct journal_batch *batch)
{
    struct wire_restate order;
    arena_reset(&finding->arena);
    poise_code code =
        wire_decode_restate(batch->body, batch->body_length, &finding->arena, &order, finding->err);
    for (size_t i = 0; !code && i < finding->count; i++)
        finding->held[i].let_in |= names(&order, &finding->held[i].row);
    return code;
}

static bool is_order(const struct journal_batch *batch)
{
    return batch->rows == 0 && strcmp(batch->producer, RESTATE_PRODUCER) == 0;
}

static poise_code visit(void *visitor, const struct journal_record *record)
{
    struct finding *finding = visitor;
    uint64_t ordinal = record->first_ordinal;
    poise_code code = POISE_OK;
    finding->restate->found_lsn = record->lsn;
    for (size_t i = 0; !code && i < record->batch_count; i++) {
        const struct journal_batch *batch = &record->batches[i];
        code = is_order(batch) ? let_in(finding, batch) : find_held(finding, batch, ordinal);
        ordinal += batch->rows;
    }
    return code == POISE_ECLOSED ? POISE_EPROTO : code;
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
        if (finding->held[i].let_in)
            continue;
        code = wire_builder_add(builder, &finding->held[i].row);
        if (code == POISE_EFULL) {
            code = end_batch(restate, builder, finding->err);
            if (!code)
                code = wire_builder_add(builder, &finding->held[i].row);
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
    struct store_reader *reader;
    poise_code code = erasures_fold(&finding.erasures, store, store_last_lsn(store), NULL, err);
    uint64_t until = finding.erasures.folded_lsn;
    if (!code)
        code = definitions_fold(&finding.definitions, store, until, 0, NULL, err);
    if (!code)
        code = store_reader_open(store, &reader, err);
    if (!code) {
        code = store_read_journal(reader, 1, until, NULL, visit, &finding, err);
        store_reader_close(reader);
    }
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
    free(finding.held);
    definitions_free(&finding.definitions);
    arena_free(&finding.texts);
    arena_free(&finding.arena);
    return code;
}
