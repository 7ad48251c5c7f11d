/* Our own encoder of states writes what protobuf-c writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <poise.pb-c.h>
#include <string.h>
#include <wire/wire.h>

static uint64_t seed = 1;

static uint64_t any(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 32 ^ seed << 32;
}

/* Of every size; a fourth are 0. */
static uint64_t any_number(void)
{
    return any() % 4 == 0 ? 0 : any() >> any() % 64;
}

static int64_t any_time(void)
{
    static const int64_t edges[] = {0, 1, -1, INT64_MAX, INT64_MIN + 1};
    return any() % 4 == 0 ? edges[any() % 5] : (int64_t)any() >> any() % 64;
}

static double any_double(void)
{
    static const double edges[] = {0, -0.0, 1, 100, (double)NAN, (double)INFINITY, 1e-300};
    double value;
    uint64_t bits = any();
    memcpy(&value, &bits, sizeof value);
    return any() % 2 == 0 ? edges[any() % 7] : value;
}

static char *any_text(char text[300])
{
    size_t length = any() % 3 == 0 ? 0 : any() % 3 == 1 ? any() % 20 : any() % 300;
    memset(text, 'a' + (int)(any() % 26), length);
    text[length] = '\0';
    return text;
}

static poise_state any_state(char texts[3][300])
{
    return (poise_state){.org = any_text(texts[0]),
                         .node = any_text(texts[1]),
                         .name = any_text(texts[2]),
                         .kind = (poise_kind)(1 + any() % 4),
                         .weight = any_double(),
                         .as_of_ms = any_time(),
                         .definition = any_number(),
                         .revision = any_number(),
                         .replaced = any_double(),
                         .cause = any_number(),
                         .numbers = {.value = any_double(),
                                     .attainment = any_double(),
                                     .score = any_double(),
                                     .lo = any_double(),
                                     .hi = any_double(),
                                     .coverage = any_double(),
                                     .filled = any_double(),
                                     .trend = any_double(),
                                     .count = any_time(),
                                     .period_start_ms = any() % 3 == 0 ? INT64_MIN : any_time(),
                                     .period_end_ms = any_time(),
                                     .flags = (uint32_t)any_number(),
                                     .status = (poise_status)(any() % 4),
                                     .uncertain = any() % 2}};
}

/* An UPDATE of the state alone, by protobuf-c. */
static size_t reference(const poise_state *state, char texts[3][300], uint8_t *bytes)
{
    const poise_score *numbers = &state->numbers;
    int64_t period_ms[2] = {numbers->period_start_ms, numbers->period_end_ms};
    Poise__V1__State message, *messages[] = {&message};
    Poise__V1__Update update;
    poise__v1__state__init(&message);
    poise__v1__update__init(&update);
    message.org = texts[0];
    message.node = texts[1];
    message.name = texts[2];
    message.kind = (Poise__V1__Kind)state->kind;
    message.value = numbers->value;
    message.attainment = numbers->attainment;
    message.score = numbers->score;
    message.lo = numbers->lo;
    message.hi = numbers->hi;
    message.coverage = numbers->coverage;
    message.filled = numbers->filled;
    message.status = (Poise__V1__Status)numbers->status;
    message.uncertain = numbers->uncertain;
    message.count = numbers->count;
    message.weight = state->weight;
    message.trend = numbers->trend;
    message.flags = numbers->flags;
    message.period_ms = period_ms;
    message.n_period_ms = numbers->period_start_ms == INT64_MIN ? 0 : 2;
    message.as_of_ms = state->as_of_ms;
    message.definition = state->definition;
    message.revision = state->revision;
    message.replaced = state->replaced;
    message.cause = state->cause;
    update.states = messages;
    update.n_states = 1;
    return poise__v1__update__pack(&update, bytes);
}

static void states_are_as_protobuf_has_them(void **context)
{
    (void)context;
    struct buf out = {0};
    for (int round = 0; round < 100000; round++) {
        char texts[3][300];
        uint8_t expected[1500];
        poise_state state = any_state(texts);
        struct wire_states states = {.states = &state, .count = 1};
        size_t length = reference(&state, texts, expected);
        buf_reset(&out);
        assert_int_equal(wire_encode_states(WIRE_UPDATE, &states, &out), POISE_OK);
        assert_int_equal(out.length, length);
        assert_memory_equal(out.data, expected, length);
        assert_true(length <= wire_state_size(&state));
    }
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(states_are_as_protobuf_has_them)};
    return cmocka_run_group_tests_name("wire_state", tests, NULL, NULL);
}
