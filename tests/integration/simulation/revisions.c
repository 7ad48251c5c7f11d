#include "simulation.h"

#include <base/buf.h>
#include <engine/report.h>
#include <math.h>
#include <string.h>

struct revised {
    const char *org, *node, *line;
    const char *numbers; /* as a view has them, but for the trend, which is the period's before too */
    int64_t end_ms;
    poise_kind kind;
    uint64_t number, definition, lsn;
    double score;
    size_t away;            /* a scorecard that is not configured for a while is not revised meanwhile */
    struct revised *before; /* the one with the number before */
};

static struct {
    struct hmap latest; /* of each node and period */
    struct arena memory;
    size_t count;
} revisions;

void revisions_start(void)
{
    memset(&revisions, 0, sizeof revisions);
}

void revisions_stop(void)
{
    hmap_free(&revisions.latest);
    arena_free(&revisions.memory);
}

size_t revisions_count(void)
{
    return revisions.count;
}

static const char *keep(const char *text)
{
    const char *kept = arena_strndup(&revisions.memory, text, strlen(text));
    assert_non_null(kept);
    return kept;
}

/* ---- as they are journaled ---- */

static bool is_revised(const void *entry, const void *key)
{
    const struct revised *a = entry, *b = key;
    return a->end_ms == b->end_ms && strcmp(a->org, b->org) == 0 && strcmp(a->node, b->node) == 0;
}

static uint64_t hash_of_revised(const poise_state *state)
{
    return hash_mix(hash_mix(hash64(state->org, strlen(state->org), 0), (uint64_t)state->as_of_ms),
                    hash64(state->node, strlen(state->node), 0));
}

static struct revised *find_revised(const poise_state *state)
{
    const struct revised wanted = {.org = state->org, .node = state->node, .end_ms = state->as_of_ms};
    return hmap_get(&revisions.latest, hash_of_revised(state), is_revised, &wanted);
}

static const char *numbers_line(const poise_state *state)
{
    struct buf line = {0};
    poise_state copy = *state;
    copy.numbers.trend = NAN;
    state_line(&copy, &line);
    const char *kept = keep((const char *)line.data);
    buf_free(&line);
    return kept;
}

static const char *revision_line(const poise_state *state)
{
    struct buf line = {0};
    state_line(state, &line);
    line.length--;
    buf_printf(&line, "revision %llu of %a by %llu, definition %llu", (unsigned long long)state->revision,
               state->replaced, (unsigned long long)state->cause, (unsigned long long)state->definition);
    buf_put_u8(&line, 0);
    const char *kept = keep((const char *)line.data);
    buf_free(&line);
    return kept;
}

/* Of a node and period: 1, 2, 3, ..., each of what the one before left. */
static void check_revision(const poise_state *state, const struct revised *before)
{
    if (state->revision != (before ? before->number : 0) + 1) {
        fail_msg("revision %llu follows %llu: %s", (unsigned long long)state->revision,
                 (unsigned long long)(before ? before->number : 0), revision_line(state));
    }
    bool same = !before || before->away != journal_away(state->node) ||
                before->definition != state->definition || before->score == state->replaced ||
                (isnan(before->score) && isnan(state->replaced));
    if (!same) {
        fail_msg("a revision of %a follows %s", state->replaced, before->line);
    }
    assert_true(journal_accepted(state->cause));
}

void revision_note(const poise_state *state)
{
    struct revised *before = find_revised(state);
    check_revision(state, before);
    struct revised *revised = arena_zalloc(&revisions.memory, 1, sizeof *revised);
    assert_non_null(revised);
    *revised = (struct revised){.org = keep(state->org),
                                .node = keep(state->node),
                                .line = revision_line(state),
                                .numbers = numbers_line(state),
                                .end_ms = state->as_of_ms,
                                .kind = state->kind,
                                .lsn = journal_settle_lsn(),
                                .number = state->revision,
                                .definition = state->definition,
                                .score = state->numbers.score,
                                .away = journal_away(state->node),
                                .before = before};
    if (before) {
        assert_non_null(hmap_remove(&revisions.latest, hash_of_revised(state), is_revised, revised));
    }
    assert_true(hmap_add(&revisions.latest, hash_of_revised(state), revised));
    revisions.count++;
}

bool revision_is_journaled(const poise_state *state)
{
    const struct revised *revised = find_revised(state);
    while (revised && revised->number != state->revision) {
        revised = revised->before;
    }
    return revised && strcmp(revised->line, revision_line(state)) == 0;
}

void revisions_each(uint64_t lsn, void (*visit)(void *visitor, const poise_state *state), void *visitor)
{
    const struct revised *revised;
    for (size_t at = 0; (revised = hmap_next(&revisions.latest, &at));) {
        const poise_state state = {.org = revised->org,
                                   .node = revised->node,
                                   .kind = revised->kind,
                                   .as_of_ms = revised->end_ms,
                                   .revision = revised->number};
        if (revised->lsn > lsn) {
            visit(visitor, &state);
        }
    }
}

/* ---- what revisions add up to ---- */

/* A period that is open under another definition is rescored at once, which is no revision. */
static poise_code compare_revised(void *visitor, const poise_state *state)
{
    size_t *compared = visitor;
    const struct revised *revised = find_revised(state);
    if (revised && revised->definition == state->definition && revised->away == journal_away(state->node)) {
        ++*compared;
        const char *now = numbers_line(state);
        if (strcmp(revised->numbers, now) != 0) {
            fail_msg("the last revision of %lld says\n     %s  it is\n     %s", (long long)state->as_of_ms,
                     revised->numbers, now);
        }
    }
    return POISE_OK;
}

static size_t compare_end(int64_t end_ms)
{
    size_t compared = 0;
    struct engine *engine = journal_engine(journal_lsn(), end_ms, journal_opening());
    journal_each(engine, end_ms, journal_opening(), compare_revised, &compared);
    engine_close(engine);
    return compared;
}

size_t revisions_check(void)
{
    enum { ENDS = 8 };
    int64_t ends[ENDS];
    size_t count = 0, compared = 0, seen = 0;
    const struct revised *revised;
    for (size_t at = 0; (revised = hmap_next(&revisions.latest, &at));) {
        bool known = false;
        for (size_t i = 0; i < count; i++) {
            known |= ends[i] == revised->end_ms;
        }
        if (!known && count < ENDS) {
            ends[count++] = revised->end_ms;
        } else if (!known && one_in((int64_t)++seen)) {
            ends[between(0, ENDS - 1)] = revised->end_ms;
        }
    }
    for (size_t i = 0; i < count; i++) {
        compared += compare_end(ends[i]);
    }
    return compared;
}
