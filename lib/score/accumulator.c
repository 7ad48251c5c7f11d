#include <base/buf.h>
#include <math.h>
#include <model/measurement.h>
#include <score/accumulator.h>
#include <string.h>

/* The parts follow the count in the order of their bits. */
struct accumulator {
    uint64_t count;
};

enum part { VALUE, OF, PRODUCT, MIN, MAX, FIRST, LAST };

_Static_assert(1 << LAST == PART_LAST && LAST + 1 == ACCUMULATOR_PARTS, "enum part names the bits");

uint32_t aggregate_parts(enum aggregate aggregate, bool min_of)
{
    static const uint32_t parts[] = {
        [AGGREGATE_SUM] = PART_VALUE,
        [AGGREGATE_COUNT] = 0,
        [AGGREGATE_MIN] = PART_MIN,
        [AGGREGATE_MAX] = PART_MAX,
        [AGGREGATE_MEAN] = PART_VALUE,
        [AGGREGATE_WEIGHTED_MEAN] = PART_PRODUCT | PART_OF,
        [AGGREGATE_RATIO] = PART_VALUE | PART_OF,
        [AGGREGATE_FIRST] = PART_FIRST,
        [AGGREGATE_LAST] = PART_LAST,
    };
    return parts[aggregate] | (min_of ? PART_OF : 0);
}

struct accumulator_layout accumulator_layout(uint32_t parts, const struct intern *sources)
{
    static const uint16_t sizes[ACCUMULATOR_PARTS] = {
        [VALUE] = sizeof(struct exact), [OF] = sizeof(struct exact), [PRODUCT] = sizeof(struct exact),
        [MIN] = sizeof(double),         [MAX] = sizeof(double),      [FIRST] = sizeof(struct sample),
        [LAST] = sizeof(struct sample),
    };
    struct accumulator_layout layout = {
        .parts = parts, .size = sizeof(struct accumulator), .sources = sources};
    for (int part = 0; part < ACCUMULATOR_PARTS; part++) {
        if (parts >> part & 1) {
            layout.at[part] = layout.size;
            layout.size = (uint16_t)(layout.size + sizes[part]);
        }
    }
    return layout;
}

/* The part, or NULL where the layout has none. */
static void *part_of(const struct accumulator_layout *layout, struct accumulator *cell, enum part part)
{
    return layout->at[part] ? (char *)cell + layout->at[part] : NULL;
}

static const void *read_part(const struct accumulator_layout *layout, const struct accumulator *cell,
                             enum part part)
{
    return (const char *)cell + layout->at[part];
}

void accumulator_clear(const struct accumulator_layout *layout, struct accumulator *cell)
{
    for (int part = VALUE; part <= PRODUCT; part++) {
        struct exact *sum = part_of(layout, cell, (enum part)part);
        if (sum) {
            exact_free(sum);
        }
    }
    memset(cell, 0, layout->size);
}

/* Whether a is before b: by time, then source, then rank, then place in the journal. */
static bool is_before(const struct intern *sources, const struct sample *a, const struct sample *b)
{
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms;
    }
    if (a->source != b->source) {
        return strcmp(intern_text(sources, a->source), intern_text(sources, b->source)) < 0;
    }
    return a->rank != b->rank ? a->rank < b->rank : a->ordinal < b->ordinal;
}

static bool add_sums(const struct accumulator_layout *layout, struct accumulator *cell, double value,
                     double of, double sign)
{
    struct exact *values = part_of(layout, cell, VALUE);
    struct exact *ofs = part_of(layout, cell, OF);
    struct exact *products = part_of(layout, cell, PRODUCT);
    return (!values || exact_add(values, sign * value)) && (!ofs || exact_add(ofs, sign * of)) &&
           (!products || exact_add_product(products, sign * value, of));
}

bool accumulator_add(const struct accumulator_layout *layout, struct accumulator *cell,
                     const struct sample *sample)
{
    bool is_first = cell->count++ == 0;
    double *min = part_of(layout, cell, MIN), *max = part_of(layout, cell, MAX);
    struct sample *first = part_of(layout, cell, FIRST), *last = part_of(layout, cell, LAST);
    if (min && (is_first || sample->value < *min)) {
        *min = sample->value;
    }
    if (max && (is_first || sample->value > *max)) {
        *max = sample->value;
    }
    if (first && (is_first || is_before(layout->sources, sample, first))) {
        *first = *sample;
    }
    if (last && (is_first || is_before(layout->sources, last, sample))) {
        *last = *sample;
    }
    return add_sums(layout, cell, sample->value, sample->of, 1);
}

bool accumulator_remove(const struct accumulator_layout *layout, struct accumulator *cell,
                        const struct sample *sample, bool *ret_reread)
{
    if (cell->count == 1) {
        accumulator_clear(layout, cell);
        return true;
    }
    cell->count--;
    const double *min = part_of(layout, cell, MIN), *max = part_of(layout, cell, MAX);
    const struct sample *first = part_of(layout, cell, FIRST), *last = part_of(layout, cell, LAST);
    if ((min && sample->value <= *min) || (max && sample->value >= *max) ||
        (first && first->ordinal == sample->ordinal) || (last && last->ordinal == sample->ordinal)) {
        *ret_reread = true;
    }
    return add_sums(layout, cell, sample->value, sample->of, -1);
}

uint64_t accumulator_count(const struct accumulator *cell)
{
    return cell->count;
}

static double rounded_sum(const struct accumulator_layout *layout, const struct accumulator *cell,
                          enum part part)
{
    return exact_round(read_part(layout, cell, part));
}

double accumulator_of(const struct accumulator_layout *layout, const struct accumulator *cell)
{
    return rounded_sum(layout, cell, OF);
}

/* The sum over that of `of`, where that is positive. */
static double per_of(const struct accumulator_layout *layout, const struct accumulator *cell, enum part part)
{
    double of = accumulator_of(layout, cell);
    return of > 0 ? rounded_sum(layout, cell, part) / of : NAN;
}

static double value_of(const struct accumulator_layout *layout, const struct accumulator *cell,
                       enum aggregate aggregate)
{
    switch (aggregate) {
    case AGGREGATE_SUM:
        return rounded_sum(layout, cell, VALUE);
    case AGGREGATE_COUNT:
        return (double)cell->count;
    case AGGREGATE_MIN:
        return *(const double *)read_part(layout, cell, MIN);
    case AGGREGATE_MAX:
        return *(const double *)read_part(layout, cell, MAX);
    case AGGREGATE_MEAN:
        return rounded_sum(layout, cell, VALUE) / (double)cell->count;
    case AGGREGATE_WEIGHTED_MEAN:
        return per_of(layout, cell, PRODUCT);
    case AGGREGATE_RATIO:
        return per_of(layout, cell, VALUE);
    case AGGREGATE_FIRST:
        return ((const struct sample *)read_part(layout, cell, FIRST))->value;
    case AGGREGATE_LAST:
        return ((const struct sample *)read_part(layout, cell, LAST))->value;
    }
    return NAN;
}

double accumulator_value(const struct accumulator_layout *layout, const struct accumulator *cell,
                         enum aggregate aggregate, bool *ret_overflow)
{
    if (cell->count == 0) {
        return NAN;
    }
    double value = value_of(layout, cell, aggregate);
    if (isinf(value)) {
        *ret_overflow = true;
        return NAN;
    }
    return value + 0.0; /* -0 is 0 */
}

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

void accumulator_encode(const struct accumulator_layout *layout, const struct accumulator *cell,
                        struct buf *out)
{
    buf_put_varint(out, cell->count);
    for (int part = 0; part < ACCUMULATOR_PARTS && cell->count > 0; part++) {
        const void *from = read_part(layout, cell, (enum part)part);
        if (!layout->at[part]) {
            continue;
        }
        if (part <= PRODUCT) {
            exact_encode(from, out);
        } else if (part <= MAX) {
            buf_put_f64(out, *(const double *)from);
        } else {
            encode_sample(from, out);
        }
    }
}

static poise_code decode_part(const struct accumulator_layout *layout, struct accumulator *cell,
                              enum part part, struct cursor *in)
{
    void *to = part_of(layout, cell, part);
    if (!to) {
        return POISE_OK;
    }
    if (part <= PRODUCT) {
        return exact_decode(to, in);
    }
    if (part >= FIRST) {
        return decode_sample(layout, to, in) ? POISE_OK : POISE_ECORRUPT;
    }
    double extreme = cursor_f64(in);
    *(double *)to = extreme;
    return in->failed || !number_valid(extreme) ? POISE_ECORRUPT : POISE_OK;
}

poise_code accumulator_decode(const struct accumulator_layout *layout, struct accumulator *cell,
                              struct cursor *in)
{
    uint64_t count = cursor_varint(in);
    poise_code code = in->failed ? POISE_ECORRUPT : POISE_OK;
    for (int part = 0; part < ACCUMULATOR_PARTS && count > 0 && code == POISE_OK; part++) {
        code = decode_part(layout, cell, (enum part)part, in);
    }
    if (code == POISE_OK) {
        cell->count = count;
    } else {
        accumulator_clear(layout, cell);
    }
    return code;
}
