#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <unit/engine/small_world.h>

const char small_yaml[] = "scorecard: card\n"
                          "name: Card\n"
                          "perspectives:\n"
                          "  - id: p\n"
                          "    name: P\n"
                          "    objectives:\n"
                          "      - id: o\n"
                          "        name: O\n"
                          "        measures:\n"
                          "          - {id: sum, name: Sum, input: a, aggregate: sum, max_ahead: 1h,\n"
                          "             score: {linear: {from: 0, to: 10}}}\n"
                          "          - {id: max, name: Max, input: b, aggregate: max,\n"
                          "             score: {linear: {from: 0, to: 10}}}\n";

int small_setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.card = card_of(small_yaml)};
    f.cards[0] = f.card;
    f.options = (struct engine_options){
        .cards = f.cards, .card_count = 1, .max_orgs = 4, .max_series = 6, .max_cells = 100};
    world_open(&f.world, &f.options);
    world_begin(&f.world, MARCH + DAY);
    *state = &f;
    return 0;
}

int small_teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    scorecard_free(f->card);
    return 0;
}

poise_measurement event(const char *measure, const char *org, double value)
{
    return (poise_measurement){.measure = measure, .org = org, .time_ms = MARCH + 1, .value = value, .of = 1};
}

poise_measurement keyed(const char *key, uint64_t seq, double value)
{
    poise_measurement row = event("a", "", value);
    row.key = key;
    row.seq = seq;
    return row;
}

poise_refusal give(struct fixture *f, poise_measurement row)
{
    return world_apply(&f->world, &row, MARCH + DAY);
}

void accept(struct fixture *f, poise_measurement row)
{
    assert_int_equal(give(f, row), POISE_REFUSAL_NONE);
}

poise_code find_value(void *visitor, const poise_state *state)
{
    struct wanted *wanted = visitor;
    if (strcmp(state->node, wanted->node) == 0) {
        wanted->value = state->numbers.value;
        wanted->met = true;
    }
    return POISE_OK;
}

double value_at(struct fixture *f, const char *node, const char *org)
{
    struct wanted wanted = {.node = node};
    world_settle(&f->world);
    assert_int_equal(engine_states(f->world.engine, "card", org, find_value, &wanted, NULL), POISE_OK);
    assert_true(wanted.met);
    return wanted.value;
}

double sum(struct fixture *f)
{
    return value_at(f, "card/p/o/sum", "");
}

double max(struct fixture *f)
{
    return value_at(f, "card/p/o/max", "");
}

poise_code count_visit(void *visitor, const poise_state *state)
{
    (void)state;
    ++*(int *)visitor;
    return POISE_OK;
}
