#include "accumulator_internal.h"
#include <base/buf.h>
#include <model/measurement.h>

static void encode_sample(const struct sample *sample, struct buf *out)
{
    buf_put_svarint(out, sample->time_ms);
    buf_put_f64(out, sample->value);
    buf_put_f64(out, sample->of);
    buf_put_varint(out, sample->source);
    buf_put_varint(out, sample->rank);
    buf_put_varint(out, sample->ordinal);
}

static bool decode_sample(const struct accumulator_layout *layout, struct sample *sample, struct cursor *in)
{
    sample->time_ms = cursor_svarint(in);
    sample->value = cursor_f64(in);
    sample->of = cursor_f64(in);
    uint64_t source = cursor_varint(in);
    sample->rank = cursor_varint(in);
    sample->ordinal = cursor_varint(in);
    sample->source = (uint32_t)source;
    return !in->failed && source < layout->sources->count && number_valid(sample->value) &&
           number_valid(sample->of);
}

static void encode_part(const struct accumulator_layout *layout, const struct accumulator *cell,
                        enum part part, struct buf *out)
{
    const void *from = read_part(layout, cell, part);
    switch (part) {
    case VALUE:
    case OF:
    case PRODUCT:
    case SQUARE:
        exact_encode(from, out);
        return;
    case MIN:
    case MAX:
        buf_put_f64(out, *(const double *)from);
        return;
    case FIRST:
    case LAST:
        encode_sample(from, out);
        return;
    case NEWEST:
        buf_put_svarint(out, *(const int64_t *)from);
        return;
    case QUANTILE:
        quantile_encode(values_of(layout, cell), cell->count, out);
        return;
    }
}

void accumulator_encode(const struct accumulator_layout *layout, const struct accumulator *cell,
                        struct buf *out)
{
    buf_put_varint(out, cell->count);
    for (int part = 0; part < ACCUMULATOR_PARTS && cell->count > 0; part++) {
        if (layout->at[part]) {
            encode_part(layout, cell, (enum part)part, out);
        }
    }
}

static poise_code decode_part(const struct accumulator_layout *layout, struct accumulator *cell,
                              enum part part, uint64_t count, struct cursor *in)
{
    void *to = part_of(layout, cell, part);
    switch (part) {
    case VALUE:
    case OF:
    case PRODUCT:
    case SQUARE:
        return exact_decode(to, in);
    case MIN:
    case MAX:
        *(double *)to = cursor_f64(in);
        return !in->failed && number_valid(*(double *)to) ? POISE_OK : POISE_ECORRUPT;
    case FIRST:
    case LAST:
        return decode_sample(layout, to, in) ? POISE_OK : POISE_ECORRUPT;
    case NEWEST:
        *(int64_t *)to = cursor_svarint(in);
        return in->failed ? POISE_ECORRUPT : POISE_OK;
    case QUANTILE:
        return quantile_decode(to, count, in);
    }
    return POISE_ECORRUPT;
}

poise_code accumulator_decode(const struct accumulator_layout *layout, struct accumulator *cell,
                              struct cursor *in)
{
    uint64_t count = cursor_varint(in);
    poise_code code = in->failed ? POISE_ECORRUPT : POISE_OK;
    for (int part = 0; part < ACCUMULATOR_PARTS && count > 0 && code == POISE_OK; part++) {
        code = layout->at[part] ? decode_part(layout, cell, (enum part)part, count, in) : POISE_OK;
    }
    if (code == POISE_OK) {
        cell->count = count;
    } else {
        accumulator_clear(layout, cell);
    }
    return code;
}
