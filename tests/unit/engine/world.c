#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <base/error.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/world.h>

struct scorecard *card_of(const char *yaml)
{
    struct problems problems = {0};
    struct scorecard *card = NULL;
    poise_code code = scorecard_read_bytes("card", yaml, strlen(yaml), &card, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    assert_int_equal(code, POISE_OK);
    return card;
}

/* ---- tables ---- */

static int compare(const struct buf *key, const void *other, size_t length)
{
    size_t common = key->length < length ? key->length : length;
    int order = common > 0 ? memcmp(key->data, other, common) : 0;
    return order != 0 ? order : (key->length > length) - (key->length < length);
}

/* Where the key is or would be. */
static size_t place_of(const struct table *table, const void *key, size_t length, bool *ret_there)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(&table->entries[middle].key, key, length);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        *(order < 0 ? &low : &high) = order < 0 ? middle + 1 : middle;
    }
    *ret_there = false;
    return low;
}

static void insert(struct table *table, size_t at, const void *key, size_t length)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 16;
        table->entries = reallocarray(table->entries, table->capacity, sizeof *table->entries);
        assert_non_null(table->entries);
    }
    memmove(table->entries + at + 1, table->entries + at, (table->count - at) * sizeof *table->entries);
    table->entries[at] = (struct entry){0};
    buf_put(&table->entries[at].key, key, length);
    table->count++;
}

static void delete (struct table *table, size_t at)
{
    buf_free(&table->entries[at].key);
    buf_free(&table->entries[at].value);
    table->count--;
    memmove(table->entries + at, table->entries + at + 1, (table->count - at) * sizeof *table->entries);
}

static void put(struct world *world, enum engine_table which, const void *key, size_t key_length,
                const void *value, size_t value_length)
{
    struct table *table = &world->tables[which];
    bool there;
    size_t at = place_of(table, key, key_length, &there);
    if (!value) {
        if (there) {
            delete (table, at);
        }
        return;
    }
    if (!there) {
        insert(table, at, key, key_length);
    }
    buf_reset(&table->entries[at].value);
    buf_put(&table->entries[at].value, value, value_length);
}

/* A checkpoint counts when it is whole. */
static poise_code stage(void *writer, enum engine_table which, const void *key, size_t key_length,
                        const void *value, size_t value_length)
{
    struct buf *staged = &((struct world *)writer)->staged;
    buf_put_u8(staged, (uint8_t)which);
    buf_put_u8(staged, value != NULL);
    buf_put_text(staged, key, key_length);
    buf_put_text(staged, value, value ? value_length : 0);
    return POISE_OK;
}

static void put_staged(struct world *world)
{
    struct cursor in = cursor_of(world->staged.data, world->staged.length);
    while (cursor_left(&in) > 0) {
        size_t key_length, length;
        enum engine_table which = cursor_u8(&in);
        bool is_put = cursor_u8(&in);
        const char *key = cursor_text(&in, &key_length), *value = cursor_text(&in, &length);
        put(world, which, key, key_length, is_put ? value : NULL, length);
    }
    buf_reset(&world->staged);
}

static poise_code load(void *context, enum engine_table which, const void *key, size_t length,
                       struct buf *out, poise_error *err)
{
    struct world *world = context;
    world->loads[which]++;
    if (world->fail_load != POISE_OK) {
        return error_set(err, world->fail_load, "as the test wants");
    }
    bool there;
    size_t at = place_of(&world->tables[which], key, length, &there);
    if (!there) {
        return POISE_ENOTFOUND;
    }
    const struct buf *value = &world->tables[which].entries[at].value;
    buf_put(out, value->data, value->length);
    return POISE_OK;
}

static poise_code walk(void *context, enum engine_table which,
                       poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                       void *visitor, poise_error *err)
{
    (void)err;
    const struct table *table = &((struct world *)context)->tables[which];
    for (size_t i = 0; i < table->count; i++) {
        const struct entry *entry = &table->entries[i];
        poise_code code = visit(visitor, cursor_of(entry->key.data, entry->key.length),
                                cursor_of(entry->value.data, entry->value.length));
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

static poise_code walk_some(void *context, enum engine_table which, const struct buf *from,
                            poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                            void *visitor, poise_error *err)
{
    (void)err;
    struct world *world = context;
    const struct table *table = &world->tables[which];
    poise_code code = POISE_OK;
    for (size_t i = 0; i < table->count && code == POISE_OK && from->length > 0; i++) {
        const struct entry *entry = &table->entries[i];
        if (compare(&entry->key, from->data, from->length) >= 0) {
            world->visits++;
            code = visit(visitor, cursor_of(entry->key.data, entry->key.length),
                         cursor_of(entry->value.data, entry->value.length));
        }
    }
    return from->failed ? POISE_ENOMEM : code;
}

static poise_code reread(void *context, const char *input, int64_t from_ms, int64_t to_ms,
                         engine_past_visit *visit, void *visitor, poise_error *err)
{
    (void)err;
    struct world *world = context;
    world->rereads++;
    for (size_t i = 0; i < world->row_count; i++) {
        const struct past *past = &world->rows[i];
        if (past->refusal != POISE_REFUSAL_NONE || strcmp(past->measure, input) != 0 ||
            past->row.time_ms < from_ms || past->row.time_ms >= to_ms) {
            continue;
        }
        const struct engine_past_row row = {
            .org = past->org, .source = past->source, .ordinal = past->ordinal, .row = past->row};
        poise_code code = visit(visitor, &row);
        if (code != POISE_OK) {
            return code;
        }
    }
    return POISE_OK;
}

/* ---- life ---- */

static void open_engine(struct world *world)
{
    poise_error err = {0};
    if (engine_open(&world->options, &world->engine, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
}

void world_open(struct world *world, const struct engine_options *options)
{
    *world = (struct world){.options = *options};
    world->options.ports = (struct engine_ports){
        .context = world, .load = load, .walk = walk, .walk_some = walk_some, .reread = reread};
    open_engine(world);
}

void world_clear(struct world *world)
{
    for (size_t i = 0; i < ENGINE_TABLES; i++) {
        while (world->tables[i].count > 0) {
            delete (&world->tables[i], world->tables[i].count - 1);
        }
        free(world->tables[i].entries);
        world->tables[i] = (struct table){0};
    }
}

void world_close(struct world *world)
{
    engine_close(world->engine);
    world_clear(world);
    for (size_t i = 0; i < world->row_count; i++) {
        free(world->rows[i].measure);
        free(world->rows[i].org);
        free(world->rows[i].source);
        free(world->rows[i].key);
    }
    free(world->rows);
    buf_free(&world->staged);
}

void world_checkpoint_begin(struct world *world)
{
    assert_int_equal(engine_checkpoint_begin(world->engine, stage, world, NULL), POISE_OK);
}

bool world_checkpoint_step(struct world *world, size_t budget)
{
    bool done;
    assert_int_equal(engine_checkpoint_give(world->engine, budget, &done, NULL), POISE_OK);
    if (done) {
        put_staged(world);
        engine_checkpoint_done(world->engine);
    }
    return done;
}

void world_checkpoint_fail(struct world *world)
{
    buf_reset(&world->staged);
    engine_checkpoint_failed(world->engine);
}

void world_checkpoint(struct world *world)
{
    if (!engine_checkpoint_runs(world->engine)) {
        world_checkpoint_begin(world);
    }
    assert_true(world_checkpoint_step(world, SIZE_MAX));
}

void world_reopen(struct world *world)
{
    engine_close(world->engine);
    buf_reset(&world->staged);
    open_engine(world);
}

static poise_code ignore(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

void world_settle(struct world *world)
{
    poise_error err = {0};
    if (engine_settle(world->engine, SIZE_MAX, ignore, NULL, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_false(engine_dirty(world->engine));
}

void world_begin(struct world *world, int64_t as_of_ms)
{
    assert_int_equal(engine_begin(world->engine, as_of_ms, NULL), POISE_OK);
}

/* ---- rows ---- */

static char *copy(const char *text)
{
    char *copied = strdup(text ? text : "");
    assert_non_null(copied);
    return copied;
}

poise_refusal past_apply(struct engine *engine, const struct past *past, int64_t now_ms)
{
    struct engine_series *series;
    poise_refusal refusal;
    poise_code code = engine_series(engine, past->measure, past->org, past->source, &series, &refusal, NULL);
    assert_int_equal(code, POISE_OK);
    assert_true((series == NULL) == (refusal != POISE_REFUSAL_NONE));
    if (!series) {
        engine_skip(engine);
        return refusal;
    }
    poise_error err = {0};
    if (engine_apply(engine, series, &past->row, now_ms, &refusal, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    return refusal;
}

poise_refusal world_apply(struct world *world, const poise_measurement *measurement, int64_t now_ms)
{
    if (world->row_count == world->row_capacity) {
        world->row_capacity = world->row_capacity ? 2 * world->row_capacity : 64;
        world->rows = reallocarray(world->rows, world->row_capacity, sizeof *world->rows);
        assert_non_null(world->rows);
    }
    struct past *past = &world->rows[world->row_count++];
    *past = (struct past){.measure = copy(measurement->measure),
                          .org = copy(measurement->org),
                          .source = copy(measurement->source),
                          .key = measurement->key ? copy(measurement->key) : NULL,
                          .ordinal = engine_ordinal(world->engine) + 1};
    past->row = (struct engine_row){.time_ms = measurement->time_ms,
                                    .value = measurement->value,
                                    .of = measurement->of,
                                    .key = past->key,
                                    .key_length = past->key ? strlen(past->key) : 0,
                                    .seq = measurement->seq,
                                    .retract = measurement->retract};
    past->refusal = past_apply(world->engine, past, now_ms);
    assert_int_equal(engine_ordinal(world->engine), past->ordinal);
    return past->refusal;
}

/* ---- states ---- */

void dump_state(const poise_state *state, struct buf *out)
{
    const poise_score *numbers = &state->numbers;
    buf_printf(out,
               "%s %s %s %s %g: %a %a %a [%a %a] %a %a trend=%a n=%" PRId64 " %" PRId64 "..%" PRId64
               " flags=%u %s%s\n",
               state->org, state->node, state->name, poise_kind_name(state->kind), state->weight,
               numbers->value, numbers->attainment, numbers->score, numbers->lo, numbers->hi,
               numbers->coverage, numbers->filled, numbers->trend, numbers->count, numbers->period_start_ms,
               numbers->period_end_ms, numbers->flags, poise_status_name(numbers->status),
               numbers->uncertain ? " uncertain" : "");
}

static poise_code add_state(void *visitor, const poise_state *state)
{
    dump_state(state, visitor);
    return POISE_OK;
}

void dump_states(const struct engine *engine, struct buf *out)
{
    assert_int_equal(engine_states(engine, NULL, NULL, add_state, out, NULL), POISE_OK);
    buf_put_u8(out, 0);
    assert_false(out->failed);
}

void assert_same_text(const struct buf *a, const struct buf *b)
{
    assert_string_equal((const char *)a->data, (const char *)b->data);
}
