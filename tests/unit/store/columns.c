#include "columns.h"
#include <float.h>
#include <math.h>
#include <poise/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t test_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

int64_t test_between(uint64_t *state, int64_t low, int64_t high)
{
    return low + (int64_t)(test_random(state) % ((uint64_t)(high - low) + 1));
}

static void *room(size_t count, size_t size)
{
    void *bytes = calloc(count, size);
    assert_non_null(bytes);
    return bytes;
}

void columns_make(struct columns *columns, size_t capacity)
{
    *columns = (struct columns){.time_ms = room(capacity, sizeof(int64_t)),
                                .value = room(capacity, sizeof(double)),
                                .of = room(capacity, sizeof(double)),
                                .ordinal = room(capacity, sizeof(uint64_t)),
                                .seq = room(capacity, sizeof(uint64_t)),
                                .gone = room(capacity, sizeof(uint64_t)),
                                .key = room(capacity, sizeof(struct chunk_key)),
                                .retract = room(capacity, sizeof(bool)),
                                .texts = room(capacity, POISE_KEY_MAX + 1)};
    columns->rows = (struct chunk_rows){.time_ms = columns->time_ms,
                                        .value = columns->value,
                                        .of = columns->of,
                                        .ordinal = columns->ordinal,
                                        .seq = columns->seq,
                                        .gone = columns->gone,
                                        .key = columns->key,
                                        .retract = columns->retract};
}

void columns_free(struct columns *columns)
{
    free(columns->time_ms);
    free(columns->value);
    free(columns->of);
    free(columns->ordinal);
    free(columns->seq);
    free(columns->gone);
    free(columns->key);
    free(columns->retract);
    free(columns->texts);
}

/* ---- shapes ---- */

static const double edges[] = {
    0.0,       -0.0,       1.0,         -1.0,     DBL_MAX, -DBL_MAX, DBL_MIN,           -DBL_MIN,
    0x1p-1074, -0x1p-1074, 0x0.8p-1022, INFINITY, 0x1p51,  0x1p53,   -0x1p53,           1e100,
    -1e-100,   0.1,        1e15,        1e16,     2.25e15, 1.0 / 3,  74.93588199999998, 0x1.fffffffffffffp51,
    -0.30001,  4.35,       -INFINITY};

static double any_double(uint64_t *random)
{
    double value;
    do {
        uint64_t bits = test_random(random);
        memcpy(&value, &bits, sizeof value);
    } while (value != value);
    return value;
}

static double decimal(uint64_t *random, int64_t whole, int scale)
{
    char text[64];
    (void)random;
    snprintf(text, sizeof text, "%lldE-%d", (long long)whole, scale);
    return strtod(text, NULL); /* not by division, as the codec does it */
}

static void fill_values(double *values, size_t count, uint64_t *random)
{
    int64_t shape = test_between(random, 0, 8), scale = test_between(random, 0, 17), walk = 0;
    int64_t step = INT64_C(1) << test_between(random, 0, 40);
    double constant = any_double(random);
    for (size_t i = 0; i < count; i++) {
        walk += test_between(random, -step, step);
        switch (shape) {
        case 0:
            values[i] = any_double(random);
            break;
        case 1:
            values[i] = edges[test_random(random) % (sizeof edges / sizeof *edges)];
            break;
        case 2:
            values[i] = constant;
            break;
        case 3: /* mostly decimals */
            values[i] = test_between(random, 0, 20) ? decimal(random, walk, (int)scale) : any_double(random);
            break;
        case 4: /* floats */
            values[i] = (double)((float)walk / 3);
            break;
        case 5:
            values[i] = 40 + 20 * ((double)(test_random(random) >> 11) / 9007199254740992.0);
            break;
        case 6: /* all decimals but the last */
            values[i] = i + 1 < count ? decimal(random, walk, (int)scale) : -0.0;
            break;
        default:
            values[i] = decimal(random, walk, (int)scale);
        }
    }
}

static void fill_wholes(uint64_t *values, size_t count, uint64_t *random, bool rising)
{
    int64_t shape = test_between(random, 0, 5), bits = test_between(random, 0, 63);
    uint64_t at = test_random(random) >> 1, step = test_random(random) >> test_between(random, 20, 63);
    for (size_t i = 0; i < count; i++) {
        uint64_t noise = test_random(random) >> (63 - bits);
        values[i] = at;
        switch (shape) {
        case 0:
            at += step;
            break;
        case 1:
            at += step + noise % 7;
            break;
        case 2:
            at = rising ? at + noise : test_random(random);
            break;
        case 3:
            at += test_between(random, 0, 100) ? step : noise;
            break;
        case 4:
            at += step += noise % 3;
            break;
        default:
            break;
        }
    }
}

static void fill_times(int64_t *times, size_t count, uint64_t *random)
{
    int64_t shape = test_between(random, 0, 4),
            at = test_between(random, -(INT64_C(1) << 42), INT64_C(1) << 42);
    for (size_t i = 0; i < count; i++) {
        times[i] = at;
        int64_t step = shape == 0   ? 10000
                       : shape == 1 ? test_between(random, 9990, 10010)
                       : shape == 2 ? test_between(random, 0, 1)
                       : shape == 3 ? test_between(random, 0, 50) ? 60000 : INT64_C(1) << 35
                                    : 0;
        at += step;
    }
    if (test_between(random, 0, 9) == 0) {
        times[0] = INT64_MIN;
        times[count - 1] = count > 1 ? INT64_MAX : INT64_MIN;
    }
}

static void fill_keys(struct columns *columns, size_t count, uint64_t *random)
{
    int64_t shape = test_between(random, 0, 5), digits = test_between(random, 1, 20), number = 0;
    for (size_t i = 0; i < count; i++) {
        char *text = columns->texts + i * (POISE_KEY_MAX + 1);
        int length = 0;
        number += test_between(random, 0, 12);
        if (shape == 1 || (shape == 5 && i + 1 < count)) { /* numbered, but for the last */
            length = snprintf(text, POISE_KEY_MAX + 1, "INC-%0*lld", (int)digits, (long long)number);
        } else if (shape == 2) {
            length = snprintf(text, POISE_KEY_MAX + 1, "%lld/%llx", (long long)number,
                              (unsigned long long)test_random(random));
        } else if (shape == 3) {
            length = (int)test_between(random, 0, POISE_KEY_MAX);
            memset(text, 'a' + (int)(test_random(random) % 3), (size_t)length);
        } else if (shape == 4) { /* the last digits have no fixed width */
            length = snprintf(text, POISE_KEY_MAX + 1, "order %lld", (long long)number);
        }
        bool has_key = shape != 0 && (shape != 4 || test_between(random, 0, 3));
        columns->key[i] = has_key ? (struct chunk_key){text, (size_t)length} : (struct chunk_key){0};
    }
}

void columns_fill(struct columns *columns, size_t count, uint64_t *random)
{
    columns->rows.count = count;
    fill_times(columns->time_ms, count, random);
    fill_values(columns->value, count, random);
    fill_wholes(columns->ordinal, count, random, true);
    memset(columns->seq, 0, count * sizeof *columns->seq);
    if (test_between(random, 0, 1)) {
        fill_wholes(columns->seq, count, random, false);
    }
    int64_t seldom = test_between(random, 0, 3) ? test_between(random, 1, 200) : INT64_MAX - 1;
    int64_t has_of = test_between(random, 0, 1);
    fill_values(columns->of, count, random);
    fill_keys(columns, count, random);
    for (size_t i = 0; i < count; i++) {
        columns->of[i] = has_of ? columns->of[i] : 1;
        columns->gone[i] =
            test_between(random, 0, seldom) ? 0 : columns->ordinal[i] + test_random(random) % 1000;
        columns->retract[i] = test_between(random, 0, seldom) == 0;
    }
}

void columns_plain(struct columns *columns, size_t count, uint64_t step)
{
    columns->rows.count = count;
    for (size_t i = 0; i < count; i++) {
        columns->time_ms[i] = INT64_C(1764000000000) + 10000 * (int64_t)i;
        columns->value[i] = 0;
        columns->of[i] = 1;
        columns->ordinal[i] = 1 + step * i;
        columns->seq[i] = columns->gone[i] = 0;
        columns->key[i] = (struct chunk_key){0};
        columns->retract[i] = false;
    }
}

/* ---- comparison ---- */

static void check_row(const struct chunk_rows *rows, size_t at, const struct chunk_rows *part, size_t i)
{
    double of = part->of ? part->of[i] : 1;
    assert_true(part->time_ms[i] == rows->time_ms[at]);
    assert_memory_equal(&part->value[i], &rows->value[at], sizeof(double));
    assert_memory_equal(&of, &rows->of[at], sizeof(double));
    assert_true(part->ordinal[i] == rows->ordinal[at]);
    assert_true((part->seq ? part->seq[i] : 0) == rows->seq[at]);
    assert_true((part->gone ? part->gone[i] : 0) == rows->gone[at]);
    assert_true((part->retract && part->retract[i]) == rows->retract[at]);
    struct chunk_key key = part->key ? part->key[i] : (struct chunk_key){0};
    assert_int_equal(key.text != NULL, rows->key[at].text != NULL);
    if (key.text) {
        assert_int_equal(key.length, rows->key[at].length);
        assert_memory_equal(key.text, rows->key[at].text, key.length);
    }
}

void columns_check(const struct chunk_rows *rows, uint64_t series, const struct buf *chunk)
{
    struct chunk_reader *reader = chunk_reader_open();
    struct chunk_head head;
    struct chunk_rows part;
    size_t at = 0, standing = 0;
    assert_non_null(reader);
    assert_int_equal(chunk_reader_begin(reader, series, chunk->data, chunk->length, &head, NULL), POISE_OK);
    assert_int_equal(head.rows, rows->count);
    assert_true(head.min_time_ms == rows->time_ms[0] && head.max_time_ms == rows->time_ms[rows->count - 1]);
    do {
        assert_int_equal(chunk_reader_next(reader, &part, NULL), POISE_OK);
        assert_true(part.count <= CHUNK_PART && part.count <= rows->count - at);
        for (size_t i = 0; i < part.count; i++, at++) {
            check_row(rows, at, &part, i);
            standing += !rows->gone[at] && !rows->retract[at];
        }
    } while (part.count > 0);
    assert_int_equal(at, rows->count);
    assert_int_equal(head.standing, standing);
    chunk_reader_close(reader);
}
