#include <assert.h>
#include <base/buf.h>
#include <math.h>
#include <model/measurement.h>
#include <score/quantile.h>
#include <stdlib.h>
#include <string.h>

/* Rising items: of the list the values as integers; of the histogram the key of a bucket in the 16 high bits
 * and how many values it has, never 0, in the others. */
struct quantile {
    bool is_histogram;
    uint16_t used, capacity;
    uint64_t items[];
};

/* Keys rise with values: the least size has the key above that of 0, the least below 0 the key below it. */
enum {
    LOWEST_BUCKET = -11512, /* of 1e-100 */
    HIGHEST_BUCKET = 11513, /* of 1e100 */
    BUCKETS = HIGHEST_BUCKET - LOWEST_BUCKET + 1,
    LOWEST_KEY = 1,
    ZERO_KEY = LOWEST_KEY + BUCKETS,
    HIGHEST_KEY = ZERO_KEY + BUCKETS
};
enum { FIRST_CAPACITY = 4, COUNT_BITS = 48 };
static const uint64_t count_max = (UINT64_C(1) << COUNT_BITS) - 1;
static const uint64_t sign_bit = UINT64_C(1) << 63;

/* Integers rise with the values they stand for. */
static uint64_t integer_of(double x)
{
    uint64_t bits;
    x += 0.0; /* -0 is 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits & sign_bit ? ~bits : bits | sign_bit;
}

static double double_of(uint64_t integer)
{
    uint64_t bits = integer & sign_bit ? integer ^ sign_bit : ~integer;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t key_of(double x)
{
    if (x == 0) {
        return ZERO_KEY;
    }
    int from_zero = quantile_bucket(x < 0 ? -x : x) - LOWEST_BUCKET + 1;
    return (uint64_t)(x < 0 ? ZERO_KEY - from_zero : ZERO_KEY + from_zero);
}

static double estimate(uint64_t key)
{
    int from_zero = (int)key - ZERO_KEY;
    if (from_zero == 0) {
        return 0;
    }
    double size = quantile_estimate((from_zero < 0 ? -from_zero : from_zero) + LOWEST_BUCKET - 1);
    return from_zero < 0 ? -size : size;
}

static uint64_t key_at(const struct quantile *values, size_t at)
{
    return values->items[at] >> COUNT_BITS;
}

static uint64_t count_at(const struct quantile *values, size_t at)
{
    return values->items[at] & count_max;
}

void quantile_free(struct quantile *values)
{
    free(values);
}

/* Makes room for so many items. */
static bool reserve(struct quantile **values, size_t count)
{
    size_t capacity = *values ? (*values)->capacity : 0;
    if (count <= capacity) {
        return true;
    }
    capacity = capacity > 0 ? capacity : FIRST_CAPACITY;
    while (capacity < count) {
        capacity *= 2;
    }
    capacity = capacity < HIGHEST_KEY ? capacity : HIGHEST_KEY;
    struct quantile *grown = realloc(*values, sizeof *grown + capacity * sizeof *grown->items);
    if (!grown) {
        return false;
    }
    if (!*values) {
        *grown = (struct quantile){0};
    }
    grown->capacity = (uint16_t)capacity;
    *values = grown;
    return true;
}

/* Where the first item stands that is not below this one. */
static size_t place(const struct quantile *values, uint64_t item)
{
    size_t at = 0, left = values ? values->used : 0;
    while (left > 0) {
        size_t half = left / 2;
        bool above = values->items[at + half] < item;
        at += above ? half + 1 : 0;
        left = above ? left - half - 1 : half;
    }
    return at;
}

static bool insert(struct quantile **values, size_t at, uint64_t item)
{
    if (!reserve(values, (*values ? (*values)->used : 0) + (size_t)1)) {
        return false;
    }
    uint64_t *to = &(*values)->items[at];
    memmove(to + 1, to, ((*values)->used++ - at) * sizeof *to);
    *to = item;
    return true;
}

static void take_out(struct quantile *values, size_t at)
{
    uint64_t *from = &values->items[at];
    memmove(from, from + 1, (--values->used - at) * sizeof *from);
}

/* In place: each run of values in one bucket becomes an item. */
static void count_values(struct quantile *values)
{
    size_t used = 0;
    for (size_t i = 0; i < values->used; i++) {
        uint64_t key = key_of(double_of(values->items[i]));
        if (used == 0 || key_at(values, used - 1) != key) {
            values->items[used++] = key << COUNT_BITS;
        }
        values->items[used - 1]++;
    }
    values->used = (uint16_t)used;
    values->is_histogram = true;
}

static bool count_value(struct quantile **values, double x)
{
    uint64_t key = key_of(x);
    size_t at = place(*values, key << COUNT_BITS);
    if (at == (*values)->used || key_at(*values, at) != key) {
        return insert(values, at, key << COUNT_BITS | 1);
    }
    return count_at(*values, at) < count_max && (*values)->items[at]++;
}

bool quantile_add(struct quantile **values, double x)
{
    struct quantile *now = *values;
    if (now && !now->is_histogram && now->used == QUANTILE_EXACT) {
        count_values(now);
    }
    if (now && now->is_histogram) {
        return count_value(values, x);
    }
    uint64_t integer = integer_of(x);
    return insert(values, place(now, integer), integer);
}

void quantile_remove(struct quantile *values, double x)
{
    bool counted = values && values->is_histogram;
    uint64_t item = counted ? key_of(x) << COUNT_BITS : integer_of(x);
    size_t at = place(values, item);
    bool found = values && at < values->used &&
                 (counted ? key_at(values, at) == item >> COUNT_BITS : values->items[at] == item);
    assert(found);
    if (found && counted && count_at(values, at) > 1) {
        values->items[at]--;
    } else if (found) {
        take_out(values, at);
    }
}

/* Both are histograms. */
static bool merge_counts(struct quantile **into, const struct quantile *from)
{
    size_t left = (*into)->used, more = from->used, total = left;
    for (size_t i = 0, at = 0; i < more; i++) {
        while (at < left && key_at(*into, at) < key_at(from, i)) {
            at++;
        }
        total += at == left || key_at(*into, at) != key_at(from, i);
    }
    if (!reserve(into, total)) {
        return false;
    }
    struct quantile *values = *into;
    values->used = (uint16_t)total;
    while (more > 0) { /* from the end, so that nothing is overwritten */
        uint64_t key = key_at(from, more - 1);
        if (left > 0 && key_at(values, left - 1) > key) {
            values->items[--total] = values->items[--left];
            continue;
        }
        uint64_t count = count_at(from, --more);
        if (left > 0 && key_at(values, left - 1) == key) {
            count += count_at(values, --left);
        }
        if (count > count_max) {
            return false;
        }
        values->items[--total] = key << COUNT_BITS | count;
    }
    return true;
}

bool quantile_merge(struct quantile **into, const struct quantile *from)
{
    if (from && from->is_histogram) {
        if (!reserve(into, 1)) {
            return false;
        }
        if (!(*into)->is_histogram) {
            count_values(*into);
        }
        return merge_counts(into, from);
    }
    for (size_t i = 0; from && i < from->used; i++) {
        if (!quantile_add(into, double_of(from->items[i]))) {
            return false;
        }
    }
    return true;
}

bool quantile_is_lossy(const struct quantile *values, uint64_t n)
{
    return values && values->is_histogram && n <= QUANTILE_EXACT;
}

double quantile_value(const struct quantile *values, uint64_t n, int percent)
{
    uint64_t p = (uint64_t)percent;
    uint64_t rank = n / 100 * p + (n % 100 * p + 99) / 100; /* (p n + 99) / 100 does not overflow so */
    if (!values->is_histogram) {
        return double_of(values->items[rank - 1]);
    }
    size_t at = 0;
    for (uint64_t below = count_at(values, 0); below < rank; below += count_at(values, at)) {
        at++;
    }
    return estimate(key_at(values, at));
}

/* A list needs no number of items: n. A histogram has their number; then of each how far its key is above the
 * one before, and its count. */
void quantile_encode(const struct quantile *values, uint64_t n, struct buf *out)
{
    assert(!quantile_is_lossy(values, n));
    if (n <= QUANTILE_EXACT) {
        for (size_t i = 0; i < n; i++) {
            buf_put_f64(out, double_of(values->items[i]));
        }
        return;
    }
    buf_put_varint(out, values->used);
    for (size_t i = 0; i < values->used; i++) {
        buf_put_varint(out, key_at(values, i) - (i > 0 ? key_at(values, i - 1) : 0));
        buf_put_varint(out, count_at(values, i));
    }
}

static bool decode_list(struct quantile *values, struct cursor *in)
{
    for (size_t i = 0; i < values->used; i++) {
        double x = cursor_f64(in);
        values->items[i] = integer_of(x);
        bool rises = i == 0 || values->items[i] >= values->items[i - 1];
        if (in->failed || !number_valid(x) || (x == 0 && signbit(x)) || !rises) {
            return false;
        }
    }
    return true;
}

static bool decode_histogram(struct quantile *values, uint64_t n, struct cursor *in)
{
    uint64_t key = 0, total = 0;
    for (size_t i = 0; i < values->used; i++) {
        uint64_t above = cursor_varint(in), count = cursor_varint(in);
        if (in->failed || above == 0 || above > HIGHEST_KEY - key || count == 0 || count > count_max) {
            return false;
        }
        key += above;
        total += count; /* fewer than 2^16 of below 2^48 */
        values->items[i] = key << COUNT_BITS | count;
    }
    return total == n;
}

poise_code quantile_decode(struct quantile **values, uint64_t n, struct cursor *in)
{
    bool is_list = n <= QUANTILE_EXACT;
    uint64_t used = is_list ? n : cursor_varint(in);
    size_t least = is_list ? sizeof(double) : 2; /* bytes of an item */
    if (in->failed || used == 0 || used > HIGHEST_KEY || used > cursor_left(in) / least) {
        return POISE_ECORRUPT;
    }
    if (!reserve(values, used)) {
        return POISE_ENOMEM;
    }
    (*values)->used = (uint16_t)used;
    (*values)->is_histogram = !is_list;
    bool fine = is_list ? decode_list(*values, in) : decode_histogram(*values, n, in);
    return fine ? POISE_OK : POISE_ECORRUPT;
}
