#include "simulation.h"

#include <base/buf.h>
#include <string.h>
#include <unit/engine/cards.h>
#include <unit/engine/world.h>

static const char *const census_card =
    "scorecard: census\n"
    "name: Census\n"
    "period: year\n"
    "perspectives:\n"
    "  - id: all\n"
    "    objectives:\n"
    "      - id: all\n"
    "        measures:\n"
    "          - {id: tally, input: n, aggregate: count, max_ahead: 90d, score: {linear: {from: 0, to: "
    "900}}}\n"
    "          - {id: plan, input: f, aggregate: sum, period: week, max_ahead: 6d, score: {linear: {from: "
    "-90, to: 90}}}\n"
    "          - {id: dated, input: f, aggregate: last, period: day, max_ahead: 6d, carry: 2, score: "
    "{linear: {from: -9, to: 9}}}\n";

/* ---- definitions ---- */

/* `text` with other words in a place, and a line more behind its first. */
static struct scorecard *variant(const char *text, const char *line, const char *from, const char *to)
{
    struct buf out = {0};
    const char *first_end = strchr(text, '\n') + 1;
    const char *place = from ? strstr(text, from) : text + strlen(text);
    assert_non_null(place);
    assert_true(place >= first_end);
    buf_put(&out, text, (size_t)(first_end - text));
    buf_printf(&out, "%s", line);
    buf_put(&out, first_end, (size_t)(place - first_end));
    if (from) {
        buf_printf(&out, "%s%s", to, place + strlen(from));
    }
    buf_put_u8(&out, 0);
    assert_false(out.failed);
    struct scorecard *card = card_of((const char *)out.data);
    buf_free(&out);
    return card;
}

static void add(struct card_set *set, struct scorecard *card)
{
    set->cards[set->count++] = card;
}

void cards_open(struct card_set sets[SETS + KEPT_SETS])
{
    memset(sets, 0, (SETS + KEPT_SETS) * sizeof *sets);
    add(&sets[0], variant(first_card, "grace: 1h\n", NULL, NULL));
    add(&sets[0], variant(second_card, "grace: 2h\n", NULL, NULL));
    add(&sets[0], variant(third_card, "grace: 6h\n", NULL, NULL));
    add(&sets[0], card_of(census_card));
    add(&sets[1], variant(first_card, "grace: 30m\nlock_after: 4d\n", "aggregate: mean, weight: 2",
                          "aggregate: p50, weight: 3"));
    add(&sets[1], variant(second_card, "grace: 0s\nlock_after: 9d\n", "period: hour", "period: day"));
    add(&sets[1], variant(third_card, "", "rolling: 20d", "rolling: 5d"));
    add(&sets[1], card_of(census_card));
    add(&sets[2], variant(third_card, "grace: 3h\nlock_after: 40d\n", "id: long", "id: longer"));
    add(&sets[2], variant(first_card, "grace: 12h\n", "rollup: geometric", "rollup: max"));
    add(&sets[2], card_of(census_card));
    add(&sets[SETS], variant(first_card, "grace: 1h\nlock_after: 2d\nkeep: 3d\n", NULL, NULL));
    add(&sets[SETS], card_of(census_card));
    add(&sets[SETS + 1], variant(first_card, "grace: 1h\nlock_after: 1d\nkeep: 2d\n",
                                 "aggregate: max, period: week", "aggregate: max"));
    add(&sets[SETS + 1], card_of(census_card));
}

void cards_close(struct card_set sets[SETS + KEPT_SETS])
{
    for (size_t i = 0; i < SETS + KEPT_SETS; i++) {
        for (size_t c = 0; c < sets[i].count; c++) {
            scorecard_free(sets[i].cards[c]);
        }
    }
    memset(sets, 0, (SETS + KEPT_SETS) * sizeof *sets);
}

/* ---- measurements ---- */

static const char *one_of(const char *const *choices, size_t count)
{
    return choices[between(0, (int64_t)count - 1)];
}

static const char *random_org(bool wide)
{
    static const char *const orgs[] = {
        "",        "p1",      "p1/l1",   "p1/l2",   "p2",      "p2/l1/c", "p10",     " bad ",   "p3/l1",
        "p3/l2/a", "p3/l2/b", "p3/l3/a", "p4/l1/a", "p4/l1/b", "p4/l1/c", "p4/l1/d", "p5",      "p6/l1",
        "p6/l2",   "p6/l3",   "p6/l4",   "p7/l1/a", "p7/l1/b", "p7/l2/a", "p7/l2/b", "p8/l1/a", "p8/l1/b"};
    return one_of(orgs, wide ? sizeof orgs / sizeof *orgs : 8);
}

static int64_t random_time(void)
{
    int64_t when = between(0, 9), time_ms = wall_ms();
    if (when < 3) {
        time_ms -= between(0, 12) * DAY;
    } else if (when == 3) {
        time_ms += between(1, 30) * HOUR;
    } else if (when == 4) {
        time_ms -= between(0, 180) * MINUTE;
    }
    return one_in(2) ? time_ms - time_ms % HOUR : time_ms; /* so that times tie */
}

poise_measurement random_row(bool wide)
{
    static const char *const measures[] = {"a", "a", "a", "b", "b", "c", "c", "d", "f", "f", "l", "unknown"};
    static const char *const sources[] = {"", "s", "r"};
    static const char *const keys[] = {"k1", "k2", "k3", "k4", "k5", "k6", NULL, NULL, NULL, NULL, NULL};
    poise_measurement row = {.measure = one_of(measures, sizeof measures / sizeof *measures),
                             .org = random_org(wide),
                             .source = one_of(sources, sizeof sources / sizeof *sources),
                             .key = one_of(keys, sizeof keys / sizeof *keys),
                             .time_ms = random_time(),
                             .value = (double)between(-90, 90) / 10,
                             .of = (double)between(-1, 4),
                             .seq = (uint64_t)(one_in(3) ? between(1, 400) : 0)};
    if (row.measure[0] == 'l') {
        row.value = (double)between(1, 3); /* 3 is no level */
    }
    row.retract = row.key && one_in(5);
    return row;
}

poise_measurement tally_row(void)
{
    return (poise_measurement){.measure = "n",
                               .org = "",
                               .source = "",
                               .time_ms = MARCH - between(0, 20) * DAY,
                               .value = 1,
                               .of = 1};
}
