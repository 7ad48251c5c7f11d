#include "golden.h"
#include <math.h>

static poise_state measure_state(void)
{
    return (poise_state){.org = "plant-1/line-3",
                         .node = "production/process/quality/rejects",
                         .name = "Reject ratio",
                         .kind = POISE_MEASURE,
                         .weight = 2,
                         .as_of_ms = GOLDEN_NOON,
                         .definition = 7,
                         .revision = 2,
                         .replaced = 87.5,
                         .cause = 1234567890123,
                         .numbers = {.value = 0.025,
                                     .attainment = 112.5,
                                     .score = 100,
                                     .lo = 100,
                                     .hi = 100,
                                     .coverage = 1,
                                     .filled = 1,
                                     .trend = -3.5,
                                     .count = 120,
                                     .period_start_ms = 1769900400000,
                                     .period_end_ms = 1772319600000,
                                     .flags = POISE_FLAG_CAPPED,
                                     .status = POISE_GREEN}};
}

static poise_state root_state(void)
{
    return (poise_state){.org = "",
                         .node = "production",
                         .name = "Produktion Süd",
                         .kind = POISE_SCORECARD,
                         .weight = 1,
                         .as_of_ms = GOLDEN_NOON,
                         .definition = 7,
                         .numbers = {.value = (double)NAN,
                                     .attainment = (double)NAN,
                                     .score = 62.5,
                                     .lo = 50,
                                     .hi = 75,
                                     .coverage = 0.75,
                                     .filled = 0.75,
                                     .trend = (double)NAN,
                                     .count = -1,
                                     .period_start_ms = INT64_MIN,
                                     .period_end_ms = INT64_MIN,
                                     .status = POISE_AMBER,
                                     .uncertain = true}};
}

/* What was not there before: it replaced none. */
static poise_state first_state(void)
{
    return (poise_state){.org = "plant-2",
                         .node = "production/process",
                         .name = "Process",
                         .kind = POISE_PERSPECTIVE,
                         .weight = 1,
                         .as_of_ms = GOLDEN_NOON,
                         .definition = 7,
                         .revision = 1,
                         .replaced = (double)NAN,
                         .cause = 1,
                         .numbers = {.value = (double)NAN,
                                     .attainment = (double)NAN,
                                     .score = 40,
                                     .lo = 40,
                                     .hi = 40,
                                     .coverage = 1,
                                     .filled = 1,
                                     .trend = (double)NAN,
                                     .count = -1,
                                     .period_start_ms = INT64_MIN,
                                     .period_end_ms = INT64_MIN,
                                     .status = POISE_AMBER}};
}

static void same_number(double got, double wanted)
{
    assert_true(isnan(wanted) ? isnan(got) : got == wanted);
}

static void check_state(const poise_state *got, poise_state wanted)
{
    assert_string_equal(got->org, wanted.org);
    assert_string_equal(got->node, wanted.node);
    assert_string_equal(got->name, wanted.name);
    assert_int_equal(got->kind, wanted.kind);
    same_number(got->weight, wanted.weight);
    assert_int_equal(got->as_of_ms, wanted.as_of_ms);
    assert_int_equal(got->definition, wanted.definition);
    assert_int_equal(got->revision, wanted.revision);
    same_number(got->replaced, wanted.replaced);
    assert_true(got->cause == wanted.cause);
    const poise_score *a = &got->numbers, *b = &wanted.numbers;
    same_number(a->value, b->value);
    same_number(a->attainment, b->attainment);
    same_number(a->score, b->score);
    same_number(a->lo, b->lo);
    same_number(a->hi, b->hi);
    same_number(a->coverage, b->coverage);
    same_number(a->filled, b->filled);
    same_number(a->trend, b->trend);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->period_start_ms, b->period_start_ms);
    assert_int_equal(a->period_end_ms, b->period_end_ms);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->uncertain, b->uncertain);
}

static void encode(enum wire_kind kind, struct wire_states message, struct buf *out)
{
    size_t most = WIRE_STATES_HEAD_MAX;
    for (size_t i = 0; i < message.count; i++) {
        most += wire_state_size(&message.states[i]);
    }
    assert_int_equal(wire_encode_states(kind, &message, out), POISE_OK);
    assert_true(out->length <= most);
}

static struct wire_states decode(enum wire_kind kind, const void *body, size_t length, struct arena *arena)
{
    struct wire_states message;
    poise_error err = {.text = ""};
    if (wire_decode_states(kind, body, length, arena, &message, &err) != POISE_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(message.last);
    return message;
}

void encode_snapshot(struct buf *out)
{
    poise_state states[] = {measure_state(), root_state()};
    encode(WIRE_SNAPSHOT,
           (struct wire_states){.id = 5,
                                .lsn = 1000,
                                .as_of_ms = GOLDEN_NOON,
                                .last = true,
                                .more = true,
                                .view = UINT64_C(0x0102030405060708),
                                .states = states,
                                .count = 2},
           out);
}

void check_snapshot(const void *body, size_t length, struct arena *arena)
{
    struct wire_states message = decode(WIRE_SNAPSHOT, body, length, arena);
    assert_true(message.more && message.view == UINT64_C(0x0102030405060708));
    assert_int_equal(message.id, 5);
    assert_int_equal(message.lsn, 1000);
    assert_int_equal(message.as_of_ms, GOLDEN_NOON);
    assert_int_equal(message.count, 2);
    check_state(&message.states[0], measure_state());
    check_state(&message.states[1], root_state());
}

void encode_update(struct buf *out)
{
    poise_state states[] = {root_state(), first_state()};
    encode(WIRE_UPDATE,
           (struct wire_states){.id = 5,
                                .lsn = 1003,
                                .prev = 1000,
                                .as_of_ms = GOLDEN_NOON,
                                .last = true,
                                .part = true,
                                .more = true,
                                .states = states,
                                .count = 2},
           out);
}

void check_update(const void *body, size_t length, struct arena *arena)
{
    struct wire_states message = decode(WIRE_UPDATE, body, length, arena);
    assert_true(message.more && message.part);
    assert_int_equal(message.id, 5);
    assert_int_equal(message.lsn, 1003);
    assert_int_equal(message.prev, 1000);
    assert_int_equal(message.as_of_ms, GOLDEN_NOON);
    assert_int_equal(message.count, 2);
    check_state(&message.states[0], root_state());
    check_state(&message.states[1], first_state());
}

void encode_result(struct buf *out)
{
    poise_state states[] = {measure_state()};
    encode(WIRE_RESULT,
           (struct wire_states){.id = 6, .lsn = 1003, .last = true, .states = states, .count = 1}, out);
}

void check_result(const void *body, size_t length, struct arena *arena)
{
    struct wire_states message = decode(WIRE_RESULT, body, length, arena);
    assert_int_equal(message.id, 6);
    assert_int_equal(message.lsn, 1003);
    assert_int_equal(message.count, 1);
    check_state(&message.states[0], measure_state());
}

void encode_changed(struct buf *out)
{
    poise_state states[] = {measure_state(), root_state()};
    const struct wire_changed changed = {.id = 9,
                                         .states = states,
                                         .lsns = (const uint64_t[]){1003, 1005},
                                         .settled_ms = (const int64_t[]){GOLDEN_NOON, GOLDEN_NOON - 1},
                                         .numbers = (const uint32_t[]){4096, 1},
                                         .count = 2,
                                         .cursor = "\x40\x41\x42\x43\x44\x45\x46\x47",
                                         .cursor_length = 8,
                                         .whole = true,
                                         .last = true,
                                         .done = 1005,
                                         .total = 1010};
    assert_int_equal(wire_encode_changed(&changed, out), POISE_OK);
}

void check_changed(const void *body, size_t length, struct arena *arena)
{
    struct wire_changed changed;
    assert_int_equal(wire_decode_changed(body, length, arena, &changed, NULL), POISE_OK);
    assert_int_equal(changed.id, 9);
    assert_int_equal(changed.count, 2);
    check_state(&changed.states[0], measure_state());
    check_state(&changed.states[1], root_state());
    assert_true(changed.lsns[0] == 1003 && changed.lsns[1] == 1005);
    assert_true(changed.settled_ms[0] == GOLDEN_NOON && changed.settled_ms[1] == GOLDEN_NOON - 1);
    assert_true(changed.numbers[0] == 4096 && changed.numbers[1] == 1);
    assert_int_equal(changed.cursor_length, 8);
    assert_memory_equal(changed.cursor, "\x40\x41\x42\x43\x44\x45\x46\x47", 8);
    assert_true(changed.whole && changed.last && changed.done == 1005 && changed.total == 1010);
}
