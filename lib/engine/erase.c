/* Measurements that an operator has erased: they are taken out as if they had never been, but for their keys.
 */
#include "internal.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

/* Whether it counts now, or will; its key, if it has one, says from here on that it was retracted, with its
 * rank, so that neither it nor what it has replaced counts when it comes again. */
static poise_code take_key(struct engine *engine, const struct engine_erased *erased, bool *ret_stands,
                           poise_error *err)
{
    struct input *input = input_of(engine, erased->series);
    const struct engine_row *row = &erased->row;
    *ret_stands = true;
    if (!row->key) {
        return POISE_OK;
    }
    struct hash128 hash = key_hash(engine, input, erased->series->source, row->key, row->key_length);
    struct key *key;
    poise_code code = key_find(engine, input, erased->series->source, hash, &key, err);
    *ret_stands = code == POISE_OK && key && !key->retract && key->sample.ordinal == erased->ordinal;
    if (*ret_stands) {
        key->retract = true;
        key->unsaved = true;
        key->sample.time_ms = 0;
        key->sample.value = key->sample.of = 0;
    }
    return code;
}

static poise_code take_away(struct engine *engine, const struct engine_erased *erased, bool *ret_waits,
                            poise_error *err)
{
    const struct engine_row *row = &erased->row;
    const struct sample sample = {.time_ms = row->time_ms,
                                  .value = row->value + 0.0, /* as it was counted */
                                  .of = row->of + 0.0,
                                  .source = erased->series->source,
                                  .rank = row->seq ? row->seq : erased->ordinal,
                                  .ordinal = erased->ordinal};
    *ret_waits = !future_is_due(engine, row->time_ms);
    return *ret_waits ? POISE_OK : series_uncount(engine, erased->series, &sample, NULL, err);
}

static int by_place(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Those of the future: they wait on, and never count. */
static poise_code take_waiting(struct engine *engine, uint64_t *places, size_t count, poise_error *err)
{
    qsort(places, count, sizeof *places, by_place);
    for (size_t i = 0; i < engine->future.count && count > 0; i++) {
        struct waiting *waiting = engine->future.items[i].value;
        if (!waiting->erased && bsearch(&waiting->sample.ordinal, places, count, sizeof *places, by_place)) {
            waiting->erased = true;
            waiting->sample.value = waiting->sample.of = 0;
            future_key(waiting, &engine->unsaved_gone);
        }
    }
    return engine->unsaved_gone.failed ? error_nomem(err, "the measurements of the future") : POISE_OK;
}

poise_code erase_rows(struct engine *engine, const struct engine_erased *rows, size_t count,
                      size_t *ret_counted, poise_error *err)
{
    uint64_t *places = calloc(count + 1, sizeof *places);
    poise_code code = places ? POISE_OK : error_nomem(err, "what is erased");
    size_t waiting = 0;
    *ret_counted = 0;
    engine->holding = false; /* an operator's order is of no backfill */
    for (size_t i = 0; i < count && code == POISE_OK; i++) {
        bool stands, waits = false;
        code = take_key(engine, &rows[i], &stands, err);
        if (code == POISE_OK && stands) {
            code = take_away(engine, &rows[i], &waits, err);
        }
        places[waiting] = rows[i].ordinal;
        waiting += waits;
        *ret_counted += stands;
    }
    if (code == POISE_OK) {
        code = take_waiting(engine, places, waiting, err);
    }
    free(places);
    return code;
}

poise_code erase_see(struct engine *engine, const char *measure, const char *org, poise_error *err)
{
    const struct input *input = definition_input(engine, measure, strlen(measure));
    if (!input) {
        return POISE_OK;
    }
    uint32_t id = org_add(engine, org, strlen(org));
    return id != INTERN_NONE && unit_see(engine, input, id, false)
               ? POISE_OK
               : error_nomem(err, "a scorecard at an org");
}
