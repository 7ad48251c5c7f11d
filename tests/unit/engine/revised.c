#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <score/evaluate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/engine/revised.h>

void revised_open(struct revised *f, const char *yaml, const char *other)
{
    *f = (struct revised){.cards = {card_of(yaml), other ? card_of(other) : NULL}};
    f->options = (struct engine_options){
        .cards = (const struct scorecard *const *)f->cards, .card_count = other ? 2 : 1, .max_cells = 1000};
    world_open(&f->world, &f->options);
}

void revised_close(struct revised *f)
{
    world_close(&f->world);
    scorecard_free(f->cards[0]);
    scorecard_free(f->cards[1]);
    for (size_t i = 0; i < f->told_count; i++) {
        free(f->told[i].place);
    }
    free(f->told);
}

/* ---- commits ---- */

void revised_begin(struct revised *f, int64_t as_of_ms)
{
    world_begin(&f->world, as_of_ms);
    f->first_row = f->world.row_count;
    f->first_told = f->told_count;
}

void revised_give(struct revised *f, poise_measurement row)
{
    assert_int_equal(world_apply(&f->world, &row, engine_as_of_ms(f->world.engine)), POISE_REFUSAL_NONE);
}

poise_code revised_note(void *context, const poise_state *state)
{
    struct revised *f = context;
    if (state->revision == 0) {
        assert_int_equal(state->as_of_ms, engine_as_of_ms(f->world.engine));
        return POISE_OK;
    }
    if (f->told_count == f->told_capacity) {
        f->told_capacity = f->told_capacity ? 2 * f->told_capacity : 64;
        f->told = reallocarray(f->told, f->told_capacity, sizeof *f->told);
        assert_non_null(f->told);
    }
    struct told *told = &f->told[f->told_count++];
    *told = (struct told){.end_ms = state->as_of_ms,
                          .number = state->revision,
                          .cause = state->cause,
                          .replaced = state->replaced,
                          .numbers = state->numbers};
    assert_true(asprintf(&told->place, "%s %s", state->org, state->node) > 0);
    return POISE_OK;
}

bool revised_settle_slice(struct revised *f, size_t budget)
{
    assert_int_equal(engine_settle(f->world.engine, budget, revised_note, f, NULL), POISE_OK);
    return !engine_dirty(f->world.engine);
}

void revised_settle(struct revised *f)
{
    assert_true(revised_settle_slice(f, SIZE_MAX));
}

const struct told *revised_find(const struct revised *f, const char *place, int64_t end_ms)
{
    const struct told *found = NULL;
    for (size_t i = f->first_told; i < f->told_count; i++) {
        if (f->told[i].end_ms == end_ms && strcmp(f->told[i].place, place) == 0) {
            assert_null(found); /* one a commit */
            found = &f->told[i];
        }
    }
    return found;
}

/* ---- what they should be ---- */

static bool is_closed(const struct revised *f, const struct scorecard *card, const char *place,
                      int64_t end_ms)
{
    const char *path = strchr(place, ' ') + 1;
    int64_t grace_ms = card->grace_ms;
    for (uint32_t node = 0; node < card->node_count; node++) {
        const struct measure *measure = card->nodes[node].measure;
        if (measure && strcmp(card->nodes[node].path, path) == 0) {
            grace_ms = measure->rolling_ms > 0 ? INT64_MAX / 2 : measure->grace_ms;
        }
    }
    return end_ms + grace_ms <= engine_as_of_ms(f->world.engine);
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* The trend of a period is no part of what makes a revision of it. */
static bool is_changed(const struct shown *before, const struct shown *after)
{
    if (!before) {
        return !isnan(after->numbers.value) || !isnan(after->numbers.score);
    }
    poise_score then = before->numbers;
    then.trend = after->numbers.trend;
    return !score_equal(&then, &after->numbers);
}

static uint64_t told_before(const struct revised *f, const char *place, int64_t end_ms)
{
    uint64_t count = 0;
    for (size_t i = 0; i < f->first_told; i++) {
        count += f->told[i].end_ms == end_ms && strcmp(f->told[i].place, place) == 0;
    }
    return count;
}

static void check_told(const struct revised *f, const struct told *told, const struct shown *before,
                       const struct shown *after)
{
    double replaced = before ? before->numbers.score : NAN;
    bool right = score_equal(&told->numbers, &after->numbers) && same(told->replaced, replaced);
    if (!right || told->number != told_before(f, told->place, told->end_ms) + 1) {
        fail_msg("%s as of %lld: revision %llu: score %.17g trend %.17g value %.17g for %.17g, is %.17g "
                 "%.17g %.17g for %.17g",
                 told->place, (long long)told->end_ms, (unsigned long long)told->number, told->numbers.score,
                 told->numbers.trend, told->numbers.value, told->replaced, after->numbers.score,
                 after->numbers.trend, after->numbers.value, replaced);
    }
    assert_true(told->cause > f->first_row && told->cause <= f->world.row_count);
}

/* Whether the org of a place has measurements that count in the period: a new one without may have scores (of
 * `empty`, or imputed), but nothing touched the period. */
static bool has_data(const struct picture *picture, const char *place)
{
    size_t length = (size_t)(strchr(place, ' ') + 1 - place);
    for (size_t i = 0; i < picture->count; i++) {
        if (strncmp(picture->items[i].place, place, length) == 0 && picture->items[i].numbers.count > 0) {
            return true;
        }
    }
    return false;
}

/* Returns how many revisions there should be of the period. */
static size_t check_period(const struct revised *f, const struct scorecard *card,
                           const struct picture *before, const struct picture *after, int64_t end_ms)
{
    size_t wanted = 0;
    for (size_t i = 0; i < after->count; i++) {
        const struct shown *now = &after->items[i], *then = picture_find(before, now->place);
        const struct told *told = revised_find(f, now->place, end_ms);
        bool is_due = is_closed(f, card, now->place, end_ms) && is_changed(then, now);
        if (!then && !told && !has_data(after, now->place)) {
            continue;
        }
        if (is_due != (told != NULL)) {
            fail_msg("%s as of %lld: %s", now->place, (long long)end_ms,
                     told ? "told a revision that is none" : "a revision was not told");
        }
        if (told) {
            check_told(f, told, then, now);
        }
        wanted += is_due;
    }
    return wanted;
}

/* The first end of a period of the scorecard behind a time. */
static int64_t next_end(const struct scorecard *card, int64_t after_ms)
{
    struct calendar calendar = scorecard_calendar(card, card->period);
    return period_of(&calendar, after_ms).end_ms;
}

/* The scorecards' ends of periods behind a time until T, each once; INT64_MAX: none. */
static int64_t next_of_ends(const struct revised *f, int64_t after_ms)
{
    int64_t next_ms = INT64_MAX;
    for (size_t i = 0; i < f->options.card_count; i++) {
        int64_t end_ms = next_end(f->cards[i], after_ms);
        next_ms = end_ms < next_ms ? end_ms : next_ms;
    }
    return next_ms <= engine_as_of_ms(f->world.engine) ? next_ms : INT64_MAX;
}

void revised_check(const struct revised *f)
{
    struct engine *without = reference_open(&f->options, &f->world, f->first_row);
    struct engine *with = reference_open(&f->options, &f->world, f->world.row_count);
    struct picture before = {0}, after = {0};
    size_t wanted = 0;
    int64_t last_ms = MARCH - 70 * DAY, end_ms;
    for (; (end_ms = next_of_ends(f, last_ms)) != INT64_MAX; last_ms = end_ms) {
        reference_move(without, end_ms);
        reference_move(with, end_ms);
        for (size_t i = 0; i < f->options.card_count; i++) {
            if (next_end(f->cards[i], last_ms) == end_ms) {
                picture_take(&before, without, f->cards[i]->id);
                picture_take(&after, with, f->cards[i]->id);
                wanted += check_period(f, f->cards[i], &before, &after, end_ms);
            }
        }
    }
    assert_int_equal(f->told_count - f->first_told, wanted);
    picture_clear(&before);
    picture_clear(&after);
    engine_close(without);
    engine_close(with);
}
