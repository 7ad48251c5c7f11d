/* Series by number. Numbers follow from the journal alone: whoever applies its accepted rows gives the same,
 * whatever the definitions are by then. So a series keeps its number also where its input is read no more. */
#include "internal.h"
#include <base/error.h>
#include <inttypes.h>
#include <model/measurement.h>
#include <string.h>

uint32_t engine_series_number(const struct engine_series *series)
{
    return series->number;
}

static struct engine_series *series_at(const struct engine *engine, uint32_t number)
{
    const struct series_table *table = &engine->series;
    struct engine_series *series = pool_at(&table->pool, table->posts.items[number / NUMBERS_APART]);
    while (series->number != number) {
        series = pool_at(&table->pool, series->next_number);
    }
    return series;
}

struct engine_series *engine_numbered(const struct engine *engine, uint32_t number)
{
    struct engine_series *series = number < engine->series.numbered ? series_at(engine, number) : NULL;
    return series && series->input < engine->input_names.count ? series : NULL;
}

static bool number_piece(struct engine *engine, uint32_t piece)
{
    struct series_table *table = &engine->series;
    struct engine_series *series = pool_at(&table->pool, piece);
    if (series->number != ENGINE_UNNUMBERED) {
        return true;
    }
    if (table->numbered % NUMBERS_APART == 0 && !numbers_push(&table->posts, piece)) {
        return false;
    }
    if (table->numbered > 0) {
        ((struct engine_series *)pool_at(&table->pool, table->last_number))->next_number = piece;
    }
    table->last_number = piece;
    series->number = (uint32_t)table->numbered++; /* there are fewer pieces */
    return true;
}

bool series_number(struct engine *engine, struct engine_series *series)
{
    return series->number != ENGINE_UNNUMBERED ||
           number_piece(engine, series_piece(engine, series->input, series->org, series->source));
}

/* INTERN_NONE: out of memory. */
static uint32_t input_of_name(struct engine *engine, const char *name, size_t length)
{
    const struct input *input = definition_input(engine, name, length);
    if (input) {
        return input->id;
    }
    uint32_t unread = intern_add(&engine->series.unread, name, length);
    return unread == INTERN_NONE ? INTERN_NONE : (uint32_t)engine->input_names.count + unread;
}

poise_code engine_number_unread(struct engine *engine, const char *measure, const char *org,
                                const char *source, uint32_t *ret_number, poise_error *err)
{
    if (measurement_check_names(measure, org, source) != POISE_REFUSAL_NONE) {
        return error_set(err, POISE_ECORRUPT,
                         "no row of that measure, org and source can have been accepted");
    }
    uint32_t org_id = org_add(engine, org, strlen(org));
    uint32_t source_id = intern_add(&engine->sources, source, strlen(source));
    uint32_t input = input_of_name(engine, measure, strlen(measure));
    if (org_id == INTERN_NONE || source_id == INTERN_NONE || input == INTERN_NONE) {
        return error_nomem(err, "a series");
    }
    uint32_t piece = series_piece(engine, input, org_id, source_id);
    if (piece == POOL_NONE || !number_piece(engine, piece)) {
        return error_nomem(err, "a series");
    }
    *ret_number = ((struct engine_series *)pool_at(&engine->series.pool, piece))->number;
    return POISE_OK;
}

/* ---- in and out of the store ---- */

void series_encode(const struct engine *engine, uint32_t number, struct buf *out)
{
    const struct engine_series *series = series_at(engine, number);
    size_t read = engine->input_names.count;
    bool is_read = series->input < read;
    const struct intern *names = is_read ? &engine->input_names : &engine->series.unread;
    uint32_t n = series->input - (uint32_t)(is_read ? 0 : read);
    buf_put_text(out, intern_text(names, n), intern_length(names, n));
    buf_put_varint(out, series->org);
    buf_put_varint(out, series->source);
    buf_put_u8(out, series->seen);
}

poise_code series_restore(struct engine *engine, struct cursor key, struct cursor value, poise_error *err)
{
    size_t length;
    uint32_t number = take_big32(&key);
    const char *name = cursor_text(&value, &length);
    uint64_t org = cursor_varint(&value), source = cursor_varint(&value);
    bool is_seen = cursor_u8(&value);
    if (key.failed || value.failed || number != engine->series.numbered || length == 0 ||
        length > POISE_ID_MAX || org >= engine->orgs.count || source >= engine->sources.count) {
        return error_set(err, POISE_ECORRUPT, "the stored state's list of series cannot be read");
    }
    uint32_t input = input_of_name(engine, name, length);
    uint32_t piece =
        input == INTERN_NONE ? POOL_NONE : series_make(engine, input, (uint32_t)org, (uint32_t)source);
    bool ok = piece != POOL_NONE && number_piece(engine, piece);
    if (ok && is_seen && input < engine->input_names.count) {
        bool is_new;
        ((struct engine_series *)pool_at(&engine->series.pool, piece))->seen = true;
        ok = units_add_seen(engine, &engine->inputs[input], (uint32_t)org, &is_new);
    }
    return ok ? POISE_OK : error_nomem(err, "the series");
}
