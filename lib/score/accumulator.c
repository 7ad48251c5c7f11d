#include "accumulator_internal.h"
#include <math.h>
#include <string.h>

enum {
    PARTS_SUM = PART_VALUE | PART_OF | PART_PRODUCT | PART_SQUARE,
    PARTS_EDGE = PART_MIN | PART_MAX | PART_FIRST | PART_LAST | PART_NEWEST
};

uint32_t measure_parts(const struct measure *measure)
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
        [AGGREGATE_STDDEV] = PART_VALUE | PART_SQUARE,
        [AGGREGATE_QUANTILE] = PART_QUANTILE,
    };
    if (measure->aggregate == AGGREGATE_FORMULA) {
        return 0;
    }
    return parts[measure->aggregate] | (isnan(measure->min_of) ? 0 : PART_OF) |
           (measure->max_age_ms > 0 ? PART_NEWEST : 0);
}

struct accumulator_layout accumulator_layout(uint32_t parts, const struct intern *sources)
{
    static const uint16_t sizes[ACCUMULATOR_PARTS] = {
        [VALUE] = sizeof(struct exact),   [OF] = sizeof(struct exact),
        [PRODUCT] = sizeof(struct exact), [SQUARE] = sizeof(struct exact),
        [MIN] = sizeof(double),           [MAX] = sizeof(double),
        [FIRST] = sizeof(struct sample),  [LAST] = sizeof(struct sample),
        [NEWEST] = sizeof(int64_t),       [QUANTILE] = sizeof(struct quantile *),
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

void accumulator_clear(const struct accumulator_layout *layout, struct accumulator *cell)
{
    for (int part = VALUE; part <= SQUARE; part++) {
        struct exact *sum = part_of(layout, cell, (enum part)part);
        if (sum) {
            exact_free(sum);
        }
    }
    struct quantile **values = part_of(layout, cell, QUANTILE);
    if (values) {
        quantile_free(*values);
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
    struct exact *values = part_of(layout, cell, VALUE), *ofs = part_of(layout, cell, OF);
    struct exact *products = part_of(layout, cell, PRODUCT), *squares = part_of(layout, cell, SQUARE);
    return (!values || exact_add(values, sign * value)) && (!ofs || exact_add(ofs, sign * of)) &&
           (!products || exact_add_product(products, sign * value, of)) &&
           (!squares || exact_add_product(squares, sign * value, value));
}

/* Each moves one edge of a cell, if it has it; is_first: it had none yet. */
static inline void lower(double *min, bool is_first, double value)
{
    if (min && (is_first || value < *min)) {
        *min = value;
    }
}

static inline void raise(double *max, bool is_first, double value)
{
    if (max && (is_first || value > *max)) {
        *max = value;
    }
}

static inline void renew(int64_t *newest, bool is_first, int64_t time_ms)
{
    if (newest && (is_first || time_ms > *newest)) {
        *newest = time_ms;
    }
}

static inline void move_first(const struct intern *sources, struct sample *first, bool is_first,
                              const struct sample *sample)
{
    if (first && (is_first || is_before(sources, sample, first))) {
        *first = *sample;
    }
}

static inline void move_last(const struct intern *sources, struct sample *last, bool is_first,
                             const struct sample *sample)
{
    if (last && (is_first || is_before(sources, last, sample))) {
        *last = *sample;
    }
}

static inline void move_edges(const struct accumulator_layout *layout, struct accumulator *cell,
                              bool is_first, const struct sample *sample)
{
    double value = sample->value + 0.0; /* -0 is 0 */
    lower(part_of(layout, cell, MIN), is_first, value);
    raise(part_of(layout, cell, MAX), is_first, value);
    move_first(layout->sources, part_of(layout, cell, FIRST), is_first, sample);
    move_last(layout->sources, part_of(layout, cell, LAST), is_first, sample);
    renew(part_of(layout, cell, NEWEST), is_first, sample->time_ms);
}

bool accumulator_add(const struct accumulator_layout *layout, struct accumulator *cell,
                     const struct sample *sample)
{
    bool is_first = cell->count++ == 0;
    if (layout->parts & PARTS_EDGE) {
        move_edges(layout, cell, is_first, sample);
    }
    if (layout->parts & PART_QUANTILE && !quantile_add(part_of(layout, cell, QUANTILE), sample->value)) {
        return false;
    }
    return !(layout->parts & PARTS_SUM) || add_sums(layout, cell, sample->value, sample->of, 1);
}

bool accumulator_takes_sums(const struct accumulator_layout *layout)
{
    return !(layout->parts & (PART_SQUARE | PART_FIRST | PART_LAST | PART_QUANTILE));
}

static bool add_exactly(struct exact *to, const double sum[3])
{
    return !to || (exact_add(to, sum[0]) && exact_add(to, sum[1]) && exact_add(to, sum[2]));
}

bool accumulator_add_sum(const struct accumulator_layout *layout, struct accumulator *cell,
                         const struct sample_sum *sum)
{
    bool is_first = cell->count == 0;
    struct exact *ofs = part_of(layout, cell, OF);
    cell->count += sum->count;
    lower(part_of(layout, cell, MIN), is_first, sum->min + 0.0); /* -0 is 0 */
    raise(part_of(layout, cell, MAX), is_first, sum->max + 0.0);
    renew(part_of(layout, cell, NEWEST), is_first, sum->newest_ms);
    return add_exactly(part_of(layout, cell, VALUE), sum->sum) &&
           add_exactly(part_of(layout, cell, PRODUCT), sum->sum) &&
           (!ofs || exact_add(ofs, (double)sum->count));
}

void accumulator_liken(const struct accumulator_layout *layout, struct accumulator *cell,
                       const struct accumulator *whole)
{
    for (int part = VALUE; part <= SQUARE; part++) {
        if (layout->at[part]) {
            exact_liken(part_of(layout, cell, (enum part)part), read_part(layout, whole, (enum part)part));
        }
    }
}

/* Whether a sample that is taken away was at an edge, and the next, if there is one, is not beyond it. */
static bool leaves_edge(const struct accumulator_layout *layout, const struct accumulator *cell,
                        const struct sample *sample, const struct sample *next)
{
    const double *min = find_part(layout, cell, MIN), *max = find_part(layout, cell, MAX);
    const struct sample *first = find_part(layout, cell, FIRST), *last = find_part(layout, cell, LAST);
    const int64_t *newest = find_part(layout, cell, NEWEST);
    return (min && sample->value <= *min && !(next && next->value <= *min)) ||
           (max && sample->value >= *max && !(next && next->value >= *max)) ||
           (first && first->ordinal == sample->ordinal &&
            !(next && is_before(layout->sources, next, first))) ||
           (last && last->ordinal == sample->ordinal && !(next && is_before(layout->sources, last, next))) ||
           (newest && sample->time_ms >= *newest && !(next && next->time_ms >= *newest));
}

bool accumulator_remove(const struct accumulator_layout *layout, struct accumulator *cell,
                        const struct sample *sample, const struct sample *next, bool *ret_reread)
{
    if (cell->count == 1) {
        accumulator_clear(layout, cell);
        return true;
    }
    cell->count--;
    bool reread = leaves_edge(layout, cell, sample, next);
    if (layout->parts & PART_QUANTILE) {
        struct quantile **values = part_of(layout, cell, QUANTILE);
        quantile_remove(*values, sample->value);
        reread = reread || quantile_is_lossy(*values, cell->count);
    }
    if (reread) {
        *ret_reread = true;
    }
    return add_sums(layout, cell, sample->value, sample->of, -1);
}

static bool merge_part(const struct accumulator_layout *layout, struct accumulator *into, bool is_first,
                       const struct accumulator *from, enum part part)
{
    void *to = part_of(layout, into, part);
    const void *more = read_part(layout, from, part);
    switch (part) {
    case VALUE:
    case OF:
    case PRODUCT:
    case SQUARE:
        return exact_merge(to, more);
    case MIN:
        lower(to, is_first, *(const double *)more);
        return true;
    case MAX:
        raise(to, is_first, *(const double *)more);
        return true;
    case FIRST:
        move_first(layout->sources, to, is_first, more);
        return true;
    case LAST:
        move_last(layout->sources, to, is_first, more);
        return true;
    case NEWEST:
        renew(to, is_first, *(const int64_t *)more);
        return true;
    case QUANTILE:
        return quantile_merge(to, values_of(layout, from));
    }
    return false;
}

bool accumulator_merge(const struct accumulator_layout *layout, struct accumulator *into,
                       const struct accumulator *from)
{
    if (from->count == 0) {
        return true;
    }
    bool is_first = into->count == 0, ok = true;
    into->count += from->count;
    for (int part = 0; part < ACCUMULATOR_PARTS && ok; part++) {
        ok = !layout->at[part] || merge_part(layout, into, is_first, from, (enum part)part);
    }
    return ok;
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

int64_t accumulator_newest(const struct accumulator_layout *layout, const struct accumulator *cell)
{
    return cell->count > 0 ? *(const int64_t *)read_part(layout, cell, NEWEST) : INT64_MIN;
}

/* The sum over that of `of`, where that is positive. */
static double per_of(const struct accumulator_layout *layout, const struct accumulator *cell, enum part part)
{
    double of = accumulator_of(layout, cell);
    return of > 0 ? rounded_sum(layout, cell, part) / of : NAN;
}

static double deviation(const struct accumulator_layout *layout, const struct accumulator *cell)
{
    return cell->count < 2 ? NAN
                           : sqrt(exact_variance(read_part(layout, cell, VALUE),
                                                 read_part(layout, cell, SQUARE), cell->count));
}

static double value_of(const struct accumulator_layout *layout, const struct accumulator *cell,
                       const struct measure *measure)
{
    switch (measure->aggregate) {
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
    case AGGREGATE_STDDEV:
        return deviation(layout, cell);
    case AGGREGATE_QUANTILE:
        return quantile_value(values_of(layout, cell), cell->count, measure->quantile);
    case AGGREGATE_FORMULA:
        break;
    }
    return NAN;
}

double accumulator_value(const struct accumulator_layout *layout, const struct accumulator *cell,
                         const struct measure *measure, bool *ret_overflow)
{
    if (cell->count == 0) {
        return NAN;
    }
    double value = value_of(layout, cell, measure);
    if (isinf(value)) {
        *ret_overflow = true;
        return NAN;
    }
    return value + 0.0; /* -0 is 0 */
}
