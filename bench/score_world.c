#include "score.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

static void put_measure(struct buf *out, int number, const char *input)
{
    static const char *const aggregates[] = {"sum", "mean", "ratio", "last", "stddev"};
    char text[160], own[16];
    snprintf(own, sizeof own, "m%d", number);
    snprintf(text, sizeof text,
             "          - {id: m%d, input: %s, aggregate: %s, score: {linear: {from: -1e10, to: 1e10}}}\n",
             number, input ? input : own, aggregates[number % 5]);
    put(out, text);
}

static void put_card(struct buf *out, const char *period, const char *input)
{
    char text[80];
    snprintf(text, sizeof text, "scorecard: plant\nperiod: %s\ngrace: 4d\nperspectives:\n", period);
    put(out, text);
    for (int objective = 0; objective < 12; objective++) {
        if (objective % 3 == 0) {
            snprintf(text, sizeof text, "  - id: p%d\n    objectives:\n", objective / 3);
            put(out, text);
        }
        snprintf(text, sizeof text, "      - id: o%d\n        measures:\n", objective);
        put(out, text);
        for (int measure = 0; measure < 4; measure++)
            put_measure(out, 4 * objective + measure, input);
    }
    if (out->failed)
        die("out of memory");
}

void print_card(void)
{
    struct buf text = {0};
    put_card(&text, "year", NULL);
    fwrite(text.data, 1, text.length, stdout);
    buf_free(&text);
}

void world_open(struct world *world, const char *period, const char *input)
{
    struct buf text = {0};
    struct problems problems = {0};
    poise_error err;
    put_card(&text, period, input);
    *world = (struct world){0};
    poise_code code =
        scorecard_read_bytes("bench", (const char *)text.data, text.length, &world->card, &problems);
    if (code) {
        problems_print(&problems, stderr);
        die("the scorecard of the bench is wrong");
    }
    buf_free(&text);
    const struct scorecard *const cards[] = {world->card};
    const struct engine_options options = {.cards = cards, .card_count = 1, .max_cells = SIZE_MAX};
    check(engine_open(&options, &world->engine, &err), &err);
}

void world_close(struct world *world)
{
    engine_close(world->engine);
    scorecard_free(world->card);
}

struct engine_series *world_series(struct world *world, const char *input, uint32_t line)
{
    char org[48];
    poise_refusal refusal;
    poise_error err;
    struct engine_series *series;
    snprintf(org, sizeof org, "plant-%u/line-%u", line / LINES_OF_PLANT, line % LINES_OF_PLANT);
    check(engine_series(world->engine, input, org, NULL, &series, &refusal, &err), &err);
    if (refusal)
        die("a series was refused: %s", poise_refusal_text(refusal));
    return series;
}

void world_apply(struct world *world, struct engine_series *series, int64_t time_ms, double value)
{
    const struct engine_row row = {.time_ms = time_ms, .value = value, .of = 1};
    poise_refusal refusal;
    poise_error err;
    check(engine_apply(world->engine, series, &row, INT64_MAX, &refusal, &err), &err);
    if (refusal)
        die("a measurement was refused: %s", poise_refusal_text(refusal));
}

void world_begin(struct world *world, int64_t as_of_ms)
{
    poise_error err;
    check(engine_begin(world->engine, as_of_ms, &err), &err);
}

static poise_code count_change(void *visitor, const poise_state *state)
{
    uint64_t *changes = visitor;
    (void)state;
    ++*changes;
    return POISE_OK;
}

uint64_t world_settle(struct world *world, size_t budget)
{
    uint64_t changes = 0;
    poise_error err;
    check(engine_settle(world->engine, budget, count_change, &changes, &err), &err);
    return changes;
}

static poise_code forget(void *writer, enum engine_table table, const void *key, size_t key_length,
                         const void *value, size_t value_length)
{
    (void)writer, (void)table, (void)key, (void)key_length, (void)value, (void)value_length;
    return POISE_OK;
}

void world_checkpoint(struct world *world)
{
    poise_error err;
    check(engine_checkpoint(world->engine, forget, NULL, &err), &err);
    engine_checkpoint_done(world->engine);
}
