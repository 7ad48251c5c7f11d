/* How small chunks are: of made-up series against what theory and others say, of real data against what the
 * file holds. */
#include "columns.h"
#include <base/csv.h>
#include <base/file.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 1000, CAPACITY = 100000, SERIES = 1 };

/* Bytes a row in chunks of 1,000; every chunk is read again and compared. */
static double bytes_a_row(struct columns *columns, size_t count)
{
    struct columns part = *columns;
    struct buf chunk = {0};
    size_t total = 0;
    for (size_t from = 0; from < count; from += ROWS) {
        size_t rows = count - from > ROWS ? ROWS : count - from;
        part.rows = (struct chunk_rows){.count = rows,
                                        .time_ms = columns->time_ms + from,
                                        .value = columns->value + from,
                                        .of = columns->of + from,
                                        .ordinal = columns->ordinal + from,
                                        .seq = columns->seq + from,
                                        .gone = columns->gone + from,
                                        .key = columns->key + from,
                                        .retract = columns->retract + from};
        buf_reset(&chunk);
        assert_int_equal(chunk_encode(SERIES, &part.rows, &chunk, NULL), POISE_OK);
        columns_check(&part.rows, SERIES, &chunk);
        total += chunk.length;
    }
    buf_free(&chunk);
    return (double)total / (double)count;
}

/* ---- workload W, of bench/values.c ---- */

/* log2 of how many steps there are, in bytes, and at most a byte a row more than that for all else. */
static void test_random_walk(void **state)
{
    (void)state;
    struct columns columns;
    uint64_t random = 1;
    int64_t last = 0;
    columns_make(&columns, ROWS);
    columns_plain(&columns, ROWS, 9984);
    for (size_t i = 0; i < ROWS; i++) {
        last += test_between(&random, -50, 50);
        columns.value[i] = (double)last / 100;
    }
    double bytes = bytes_a_row(&columns, ROWS);
    assert_true(bytes > log2(101) / 8 && bytes < 1.0); /* the prototype: 1.3 */
    columns_free(&columns);
}

static void test_counter(void **state)
{
    (void)state;
    struct columns columns;
    uint64_t random = 1;
    int64_t last = 0;
    columns_make(&columns, ROWS);
    columns_plain(&columns, ROWS, 9984);
    for (size_t i = 0; i < ROWS; i++) {
        last += test_between(&random, 0, 20);
        columns.value[i] = (double)last;
    }
    double bytes = bytes_a_row(&columns, ROWS);
    assert_true(bytes > log2(21) / 8 && bytes < 0.75); /* the prototype: 1.2 */
    columns_free(&columns);
}

static void test_noise(void **state)
{
    (void)state;
    struct columns columns;
    uint64_t random = 1;
    columns_make(&columns, ROWS);
    columns_plain(&columns, ROWS, 9984);
    for (size_t i = 0; i < ROWS; i++) {
        columns.value[i] = 40 + 20 * ((double)(test_random(&random) >> 11) / 9007199254740992.0);
    }
    double bytes = bytes_a_row(&columns, ROWS);              /* 20 x 2^47 different ones */
    assert_true(bytes > (log2(20) + 47) / 8 && bytes < 6.6); /* the prototype: 7.0 */
    columns_free(&columns);
}

static void test_nothing_new(void **state)
{
    (void)state;
    struct columns columns;
    columns_make(&columns, ROWS);
    columns_plain(&columns, ROWS, 1);
    assert_true(bytes_a_row(&columns, ROWS) * ROWS < 64);
    for (size_t i = 0; i < ROWS; i++) {
        columns.value[i] = 69.88083514;
    }
    assert_true(bytes_a_row(&columns, ROWS) * ROWS < 96);
    columns_free(&columns);
}

/* One that is far off costs its block, and a wide one its bits, not the chunk. */
static void test_outliers(void **state)
{
    (void)state;
    struct columns columns;
    uint64_t random = 1;
    columns_make(&columns, ROWS);
    columns_plain(&columns, ROWS, 1);
    for (size_t i = 0; i < ROWS; i++) {
        columns.value[i] = (double)test_between(&random, 0, 15);
    }
    double before = bytes_a_row(&columns, ROWS);
    columns.value[500] = 0x1p50;
    assert_true((bytes_a_row(&columns, ROWS) - before) * ROWS < 64 * 6 + 16);
    columns.value[500] = -0x1p50;
    assert_true((bytes_a_row(&columns, ROWS) - before) * ROWS < 64 * 6 + 16 * 10);
    columns.value[500] = 1.0 / 3;
    assert_true((bytes_a_row(&columns, ROWS) - before) * ROWS < 11 + 8 + 1); /* it, and of the sum a part */
    columns_free(&columns);
}

/* All keyed, the keys numbered in the order of the journal. */
static void test_numbered_keys(void **state)
{
    (void)state;
    struct columns columns;
    columns_make(&columns, ROWS);
    columns_plain(&columns, ROWS, 9984);
    double before = bytes_a_row(&columns, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        columns.key[i] = (struct chunk_key){columns.texts + 16 * i, 11};
        memcpy(columns.texts + 16 * i, "ORDER-00000", 11);
        for (size_t at = 10, left = i * 97 + (test_random(&(uint64_t){i}) & 15); left > 0; at--, left /= 10) {
            columns.texts[16 * i + at] = (char)('0' + left % 10);
        }
    }
    assert_true(bytes_a_row(&columns, ROWS) - before < 0.8); /* 5 bits */
    columns_free(&columns);
}

/* ---- real data ---- */

/* "2013-12-02 21:15:00" as minutes in months of 31 days: only the steps matter here. */
static int64_t time_of(struct csv_field field)
{
    int64_t parts[6] = {0};
    size_t part = 0;
    for (size_t i = 0; i < field.length && part < 6; i++) {
        if (field.text[i] >= '0' && field.text[i] <= '9') {
            parts[part] = 10 * parts[part] + field.text[i] - '0';
        } else {
            part++;
        }
    }
    int64_t days = (parts[0] * 12 + parts[1]) * 31 + parts[2];
    return (((days * 24 + parts[3]) * 60 + parts[4]) * 60 + parts[5]) * 1000;
}

static void read_series(const char *name, struct columns *columns)
{
    char path[512], text[64];
    struct buf bytes = {0};
    struct csv_record record;
    struct csv_reader *reader = csv_open(',');
    size_t count = 0;
    assert_non_null(reader);
    snprintf(path, sizeof path, "%s/%s", SHARED_DATA, name);
    if (file_read(path, 1 << 24, &bytes, NULL) != POISE_OK) {
        print_message("%s is not there\n", path);
        csv_close(reader);
        buf_free(&bytes);
        skip();
    }
    columns_plain(columns, CAPACITY, 1);
    assert_int_equal(csv_feed(reader, bytes.data, bytes.length), POISE_OK);
    while (csv_next(reader, true, &record)) {
        if (record.line == 1 || record.problem || record.count < 2 ||
            record.fields[1].length >= sizeof text) {
            continue;
        }
        assert_true(count < CAPACITY);
        int64_t time_ms = time_of(record.fields[0]);
        memcpy(text, record.fields[1].text, record.fields[1].length);
        text[record.fields[1].length] = '\0';
        columns->value[count] = strtod(text, NULL);
        /* Times step back once in this data: a chunk is sorted. */
        columns->time_ms[count] =
            count > 0 && time_ms < columns->time_ms[count - 1] ? columns->time_ms[count - 1] : time_ms;
        count++;
    }
    columns->rows.count = count;
    csv_close(reader);
    buf_free(&bytes);
}

static void check_real(const char *name, size_t rows, double most)
{
    struct columns columns;
    columns_make(&columns, CAPACITY);
    read_series(name, &columns);
    assert_int_equal(columns.rows.count, rows);
    double bytes = bytes_a_row(&columns, rows);
    print_message("%s: %.3f bytes a row\n", name, bytes);
    assert_true(bytes < most);
    columns_free(&columns);
}

static void test_machine_temperature(void **state)
{
    (void)state;
    check_real("nab/machine_temperature_system_failure.csv", 22695, 5.0);
}

static void test_ambient_temperature(void **state)
{
    (void)state;
    check_real("nab/ambient_temperature_system_failure.csv", 7267, 5.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_walk),
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_nothing_new),
        cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_numbered_keys),
        cmocka_unit_test(test_machine_temperature),
        cmocka_unit_test(test_ambient_temperature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
