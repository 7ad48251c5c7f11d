#include "internal.h"
#include <base/error.h>
#include <model/measurement.h>
#include <stdlib.h>
#include <string.h>

/* Offline, before the first T, everything counts. */
bool future_is_due(const struct engine *engine, int64_t time_ms)
{
    return time_ms <= engine->as_of_ms || (engine->options.offline && engine->as_of_ms == INT64_MIN);
}

poise_code future_count(struct engine *engine, struct engine_series *series, const struct sample *sample,
                        const struct hash128 *hash, poise_error *err)
{
    if (future_is_due(engine, sample->time_ms)) {
        if (sample->time_ms > engine->latest_ms) {
            engine->latest_ms = sample->time_ms;
        }
        return series_count(engine, series, sample, err);
    }
    struct waiting *waiting = malloc(sizeof *waiting);
    if (!waiting) {
        return error_nomem(err, "a measurement of the future");
    }
    *waiting = (struct waiting){.series = series, .sample = *sample, .keyed = hash != NULL};
    if (hash) {
        waiting->key = *hash;
    }
    if (!heap_push(&engine->future, sample->time_ms, waiting)) {
        free(waiting);
        return error_nomem(err, "a measurement of the future");
    }
    return POISE_OK;
}

/* Its key may say something else by now. */
static poise_code still_stands(struct engine *engine, const struct waiting *waiting, bool *ret_stands,
                               poise_error *err)
{
    const struct engine_series *series = waiting->series;
    *ret_stands = !waiting->erased;
    if (!waiting->keyed || waiting->erased) {
        return POISE_OK;
    }
    struct key *key;
    poise_code code = key_find(engine, input_of(engine, series), series->source, waiting->key, &key, err);
    *ret_stands = key && !key->retract && key->sample.ordinal == waiting->sample.ordinal;
    return code;
}

poise_code future_reached(struct engine *engine, poise_error *err)
{
    struct heap_item first;
    while (heap_peek(&engine->future, &first) && first.key <= engine->as_of_ms) {
        struct waiting *waiting = first.value;
        bool stands;
        poise_code code = still_stands(engine, waiting, &stands, err);
        if (code == POISE_OK && stands) {
            code = series_count(engine, waiting->series, &waiting->sample, err);
        }
        if (code != POISE_OK) {
            return code;
        }
        future_key(waiting, &engine->unsaved_gone); /* whether a checkpoint has it or not */
        heap_pop(&engine->future, &first);
        free(waiting);
    }
    return engine->unsaved_gone.failed ? error_nomem(err, "the measurements of the future") : POISE_OK;
}

/* ---- in and out of the store ---- */

/* Turns the order of signed numbers into that of unsigned ones, and back. */
static uint64_t ordered(uint64_t time_ms)
{
    return time_ms ^ UINT64_C(1) << 63;
}

void future_key(const struct waiting *waiting, struct buf *out)
{
    put_big64(out, ordered((uint64_t)waiting->sample.time_ms));
    put_big64(out, waiting->sample.ordinal);
}

void future_encode(const struct engine *engine, const struct waiting *waiting, struct buf *out)
{
    const struct engine_series *series = waiting->series;
    buf_put_text(out, input_of(engine, series)->name, intern_length(&engine->input_names, series->input));
    buf_put_varint(out, series->org);
    buf_put_varint(out, series->source);
    buf_put_f64(out, waiting->sample.value);
    buf_put_f64(out, waiting->sample.of);
    buf_put_varint(out, waiting->sample.rank);
    buf_put_u8(out, waiting->keyed);
    if (waiting->keyed) {
        buf_put_u64(out, waiting->key.high);
        buf_put_u64(out, waiting->key.low);
    }
}

/* The series stays NULL where no definition reads the input any more. */
static poise_code decode(struct engine *engine, struct cursor key, struct cursor value,
                         struct waiting *waiting)
{
    struct sample *sample = &waiting->sample;
    sample->time_ms = (int64_t)ordered(take_big64(&key));
    sample->ordinal = take_big64(&key);
    size_t length;
    const char *name = cursor_text(&value, &length);
    struct input *input = name ? definition_input(engine, name, length) : NULL;
    uint64_t org = cursor_varint(&value), source = cursor_varint(&value);
    sample->value = cursor_f64(&value);
    sample->of = cursor_f64(&value);
    sample->rank = cursor_varint(&value);
    sample->source = (uint32_t)source;
    waiting->keyed = cursor_u8(&value);
    if (waiting->keyed) {
        waiting->key.high = cursor_u64(&value);
        waiting->key.low = cursor_u64(&value);
    }
    if (key.failed || value.failed || org >= engine->orgs.count || source >= engine->sources.count ||
        !number_valid(sample->value) || !number_valid(sample->of)) {
        return POISE_ECORRUPT;
    }
    waiting->series = input ? series_of(engine, input, (uint32_t)org, (uint32_t)source) : NULL;
    return input && !waiting->series ? POISE_ENOMEM : POISE_OK;
}

poise_code future_restore(struct engine *engine, struct cursor key, struct cursor value, poise_error *err)
{
    struct waiting decoded = {.saved = true};
    poise_code code = decode(engine, key, value, &decoded);
    if (code != POISE_OK) {
        return error_set(err, code, "a stored measurement of the future cannot be read");
    }
    if (!decoded.series) {
        future_key(&decoded, &engine->unsaved_gone);
        return engine->unsaved_gone.failed ? error_nomem(err, "a measurement of the future") : POISE_OK;
    }
    struct waiting *waiting = malloc(sizeof *waiting);
    if (waiting) {
        *waiting = decoded;
        if (heap_push(&engine->future, decoded.sample.time_ms, waiting)) {
            return POISE_OK;
        }
        free(waiting);
    }
    return error_nomem(err, "a measurement of the future");
}
