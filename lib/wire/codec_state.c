/* STATE to bytes, by hand: a settle changes thousands, each is journaled and sent, and protobuf-c goes
 * through a message three times, field by field, by its description. The bytes are the same (tests/unit/wire/
 * test_state.c): fields in the order of their numbers, without those that are 0 or empty. */
#include "codec.h"
#include <endian.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2 };

enum field { /* of State in proto/poise.proto */
             ORG = 1,
             NODE,
             NAME,
             KIND,
             VALUE,
             ATTAINMENT,
             SCORE,
             LO,
             HI,
             COVERAGE,
             FILLED,
             STATUS,
             UNCERTAIN,
             COUNT,
             WEIGHT,
             TREND,
             FLAGS,
             PERIOD_MS,
             AS_OF_MS,
             DEFINITION,
             REVISION,
             REPLACED,
             CAUSE
};

static inline uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static inline uint8_t *put_number(uint8_t *at, enum field field, uint64_t value)
{
    return value == 0 ? at : put_varint(put_varint(at, field << 3 | VARINT), value);
}

static inline uint8_t *put_double(uint8_t *at, enum field field, double value)
{
    if (value == 0) {
        return at;
    }
    at = put_varint(at, field << 3 | FIXED64);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits = htole64(bits); /* at once: gcc makes eight turns of a loop over its bytes */
    memcpy(at, &bits, sizeof bits);
    return at + sizeof bits;
}

static uint8_t *put_period(uint8_t *at, const poise_score *numbers)
{
    if (numbers->period_start_ms == INT64_MIN) {
        return at;
    }
    uint8_t times[2 * CODEC_VARINT_MAX];
    uint8_t *end = put_varint(times, zigzag(numbers->period_start_ms));
    end = put_varint(end, zigzag(numbers->period_end_ms));
    size_t length = (size_t)(end - times);
    at = put_varint(at, PERIOD_MS << 3 | DELIMITED);
    at = put_varint(at, length);
    memcpy(at, times, length);
    return at + length;
}

/* All but the texts, which come first. */
static size_t put_numbers(const poise_state *state, uint8_t bytes[CODEC_STATE_NUMBERS_MAX])
{
    const poise_score *numbers = &state->numbers;
    uint8_t *at = put_number(bytes, KIND, (uint64_t)state->kind);
    at = put_double(at, VALUE, numbers->value);
    at = put_double(at, ATTAINMENT, numbers->attainment);
    at = put_double(at, SCORE, numbers->score);
    at = put_double(at, LO, numbers->lo);
    at = put_double(at, HI, numbers->hi);
    at = put_double(at, COVERAGE, numbers->coverage);
    at = put_double(at, FILLED, numbers->filled);
    at = put_number(at, STATUS, (uint64_t)numbers->status);
    at = put_number(at, UNCERTAIN, numbers->uncertain);
    at = put_number(at, COUNT, zigzag(numbers->count));
    at = put_double(at, WEIGHT, state->weight);
    at = put_double(at, TREND, numbers->trend);
    at = put_number(at, FLAGS, numbers->flags);
    at = put_period(at, numbers);
    at = put_number(at, AS_OF_MS, zigzag(state->as_of_ms));
    at = put_number(at, DEFINITION, state->definition);
    at = put_number(at, REVISION, state->revision);
    at = put_double(at, REPLACED, state->replaced);
    at = put_number(at, CAUSE, state->cause);
    return (size_t)(at - bytes);
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >>= 7) {
        size++;
    }
    return size;
}

static size_t text_size(size_t length)
{
    return length > 0 ? 1 + varint_size(length) + length : 0;
}

static uint8_t *put_text(uint8_t *at, enum field field, const char *text, size_t length)
{
    if (length == 0) {
        return at;
    }
    at = put_varint(put_varint(at, field << 3 | DELIMITED), length);
    memcpy(at, text, length);
    return at + length;
}

poise_code codec_put_state(struct buf *out, unsigned field, const poise_state *state)
{
    uint8_t numbers[CODEC_STATE_NUMBERS_MAX];
    size_t numbers_length = put_numbers(state, numbers);
    const char *org = codec_text(state->org), *node = codec_text(state->node),
               *name = codec_text(state->name);
    size_t org_length = strlen(org), node_length = strlen(node), name_length = strlen(name);
    size_t length = text_size(org_length) + text_size(node_length) + text_size(name_length) + numbers_length;
    if (!buf_reserve(out, 2 * CODEC_VARINT_MAX + length)) {
        return POISE_ENOMEM;
    }
    uint8_t *at = put_varint(out->data + out->length, field << 3 | DELIMITED);
    at = put_varint(at, length);
    at = put_text(at, ORG, org, org_length);
    at = put_text(at, NODE, node, node_length);
    at = put_text(at, NAME, name, name_length);
    memcpy(at, numbers, numbers_length);
    out->length = (size_t)(at + numbers_length - out->data);
    return POISE_OK;
}

size_t wire_state_size(const poise_state *state)
{
    return CODEC_STATE_NUMBERS_MAX + strlen(state->org) + strlen(state->node) + strlen(state->name);
}
