#include "ground.h"
#include <math.h>
#include <model/measurement.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the entries ---- */

static int compare_bytes(const struct cursor *a, const struct cursor *b)
{
    size_t left = cursor_left(a), right = cursor_left(b), common = left < right ? left : right;
    int order = common > 0 ? memcmp(a->at, b->at, common) : 0;
    return order != 0 ? order : (left > right) - (left < right);
}

static int compare(const void *a, const void *b)
{
    const struct ground_entry *left = a, *right = b;
    int order = (left->table > right->table) - (left->table < right->table);
    return order != 0 ? order : compare_bytes(&left->key, &right->key);
}

static struct cursor take_text(struct cursor *in)
{
    size_t length;
    const char *text = cursor_text(in, &length);
    return cursor_of(text, length);
}

void ground_open(struct ground *ground, const void *bytes, size_t length)
{
    struct cursor in = cursor_of(bytes, length);
    *ground = (struct ground){.entries = calloc(GROUND_ENTRIES_MAX, sizeof *ground->entries)};
    MUST(ground->entries);
    size_t count = 0;
    while (cursor_left(&in) > 0 && count < GROUND_ENTRIES_MAX) {
        struct ground_entry entry = {.table = cursor_u8(&in) % ENGINE_TABLES};
        entry.key = take_text(&in);
        entry.value = take_text(&in);
        if (!in.failed) {
            ground->entries[count++] = entry;
        }
    }
    qsort(ground->entries, count, sizeof *ground->entries, compare);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare(&ground->entries[i], &ground->entries[ground->count - 1]) != 0) {
            ground->entries[ground->count++] = ground->entries[i];
        }
    }
}

void ground_close(struct ground *ground)
{
    free(ground->entries);
}

static poise_code load(void *context, enum engine_table table, const void *key, size_t length,
                       struct buf *out, poise_error *err)
{
    const struct ground *ground = context;
    const struct ground_entry wanted = {.table = table, .key = cursor_of(key, length)};
    (void)err;
    for (size_t i = 0; i < ground->count; i++) {
        if (compare(&ground->entries[i], &wanted) == 0) {
            buf_put(out, ground->entries[i].value.at, cursor_left(&ground->entries[i].value));
            return POISE_OK;
        }
    }
    return POISE_ENOTFOUND;
}

static poise_code walk(void *context, enum engine_table table,
                       poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                       void *visitor, poise_error *err)
{
    const struct ground *ground = context;
    poise_code code = POISE_OK;
    (void)err;
    for (size_t i = 0; i < ground->count && code == POISE_OK; i++) {
        if (ground->entries[i].table == table) {
            code = visit(visitor, ground->entries[i].key, ground->entries[i].value);
        }
    }
    return code;
}

static poise_code walk_some(void *context, enum engine_table table, const struct buf *from,
                            poise_code (*visit)(void *visitor, struct cursor key, struct cursor value),
                            void *visitor, poise_error *err)
{
    const struct ground *ground = context;
    poise_code code = POISE_OK;
    (void)err;
    for (size_t i = 0; i < ground->count && code == POISE_OK && from->length > 0; i++) {
        const struct ground_entry wanted = {.table = table, .key = cursor_of(from->data, from->length)};
        if (ground->entries[i].table == table && compare(&ground->entries[i], &wanted) >= 0) {
            code = visit(visitor, ground->entries[i].key, ground->entries[i].value);
        }
    }
    return code;
}

/* There is no journal: as if no row had been accepted. */
static poise_code reread(void *context, const char *input, int64_t from_ms, int64_t to_ms,
                         engine_past_visit *visit, void *visitor, poise_error *err)
{
    (void)context;
    (void)input;
    (void)from_ms;
    (void)to_ms;
    (void)visit;
    (void)visitor;
    (void)err;
    return POISE_OK;
}

struct engine_ports ground_ports(struct ground *ground)
{
    return (struct engine_ports){
        .context = ground, .load = load, .walk = walk, .walk_some = walk_some, .reread = reread};
}

poise_code ground_put(void *buf, enum engine_table table, const void *key, size_t key_length,
                      const void *value, size_t value_length)
{
    if (value) {
        buf_put_u8(buf, (uint8_t)table);
        buf_put_text(buf, key, key_length);
        buf_put_text(buf, value, value_length);
    }
    return ((struct buf *)buf)->failed ? POISE_ENOMEM : POISE_OK;
}

/* ---- the scorecard and its rows ---- */

static const char yaml[] =
    "scorecard: card\n"
    "name: Card\n"
    "period: month\n"
    "grace: 1d\n"
    "perspectives:\n"
    "  - id: p\n"
    "    name: P\n"
    "    objectives:\n"
    "      - id: o\n"
    "        name: O\n"
    "        measures:\n"
    "          - {id: sum, name: S, input: a, aggregate: sum, roll_up: subtree,\n"
    "             score: {linear: {from: 0, to: 10}}}\n"
    "          - {id: mean, name: M, input: a, aggregate: mean, rolling: 7d,\n"
    "             score: {linear: {from: 0, to: 10}}}\n"
    "          - {id: p90, name: Q, input: b, aggregate: p90, score: {linear: {from: 0, to: 10}}}\n"
    "          - {id: deviation, name: D, input: b, aggregate: stddev, period: day,\n"
    "             score: {linear: {from: 0, to: 10}}}\n"
    "          - {id: max, name: X, input: b, aggregate: max, max_age: 2h, score: {linear: {from: 0, to: "
    "10}}}\n"
    "          - {id: last, name: L, input: a, aggregate: last, score: {linear: {from: 0, to: 10}}}\n"
    "          - {id: ratio, name: R, input: a, aggregate: ratio, score: {linear: {from: 0, to: 10}}}\n"
    "          - {id: formula, name: F, formula: 'sum / max', score: {linear: {from: 0, to: 10}}}\n";

struct scorecard *ground_card(void)
{
    struct problems problems = {0};
    struct scorecard *card = NULL;
    poise_code code = scorecard_read_bytes("card", yaml, sizeof yaml - 1, &card, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    MUST(code == POISE_OK);
    return card;
}

static void give(struct engine *engine, const char *measure, const char *org, const struct engine_row *row)
{
    struct engine_series *series;
    poise_refusal refusal;
    poise_code code = engine_series(engine, measure, org, "s", &series, &refusal, NULL);
    if (code == POISE_OK && series) {
        code = engine_apply(engine, series, row, GROUND_T, &refusal, NULL);
    }
    /* what stands there of the key or the cell may be damaged */
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_ECLOSED);
}

void ground_rows(struct engine *engine)
{
    enum { ROWS = 12, HOUR = 3600 * 1000 };
    for (int i = 0; i < ROWS; i++) {
        char key[8];
        struct engine_row row = {
            .time_ms = GROUND_T - i * 9 * (int64_t)HOUR, .value = i % 5, .of = 1 + i % 2};
        row.key_length = (size_t)snprintf(key, sizeof key, "k%d", i % 4);
        row.key = i % 2 && i % 3 ? key : NULL; /* of a: see state.c */
        row.seq = (uint64_t)i;
        give(engine, i % 2 ? "a" : "b", i % 4 < 2 ? "x/y" : "", &row);
    }
    give(engine, "a", "z",
         &(struct engine_row){.time_ms = GROUND_T + 60000, .value = 1, .of = 1}); /* not yet due */
}

static poise_code see(void *visitor, const poise_state *state)
{
    const poise_score *numbers = &state->numbers;
    (void)visitor;
    MUST(isnan(numbers->score) || (numbers->score >= 0 && numbers->score <= 100));
    MUST(numbers->coverage >= 0 && numbers->coverage <= 1 + 1e-9);
    return POISE_OK;
}

void ground_settle(struct engine *engine)
{
    poise_code code = engine_settle(engine, SIZE_MAX, see, NULL, NULL);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_ECLOSED);
    if (code == POISE_OK) {
        MUST(engine_states(engine, NULL, NULL, see, NULL, NULL) == POISE_OK);
    }
}
