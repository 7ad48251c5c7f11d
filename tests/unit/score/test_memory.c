/* Cells and sums with the n-th allocation failing, for all n: they say so, can be emptied and leak nothing;
 * and damage does not make them allocate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <base/buf.h>
#include <cmocka.h>
#include <math.h>
#include <score/accumulator.h>
#include <stdlib.h>

enum { SAMPLES = 100, PARTS = (1 << ACCUMULATOR_PARTS) - 1 };

static long until_failure = -1; /* allocations that still succeed; below 0: all do */

static bool fails_now(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

/* The linker sends the calls of the objects of this program here (-Wl,--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size); /* clang makes one of malloc and memset */
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

static const struct accumulator_layout *layout(void)
{
    static struct accumulator_layout all;
    static struct intern sources;
    if (sources.count == 0) {
        all = accumulator_layout(PARTS, &sources);
        assert_int_equal(intern_add(&sources, "s", 1), 0);
    }
    return &all;
}

/* Sizes so far apart that sums leave their windows. */
static struct sample sample_of(int i)
{
    return (struct sample){.time_ms = i, .value = pow(-10, i % 9) * 1e-50, .of = i % 3 ? 1e60 : 1};
}

static bool fill(struct accumulator *cell, int from, int to)
{
    bool ok = true;
    for (int i = from; i < to && ok; i++) {
        struct sample sample = sample_of(i);
        ok = accumulator_add(layout(), cell, &sample);
    }
    return ok;
}

static struct accumulator *new_cell(void)
{
    struct accumulator *cell = calloc(1, layout()->size);
    assert_non_null(cell);
    return cell;
}

static void free_cell(struct accumulator *cell)
{
    accumulator_clear(layout(), cell);
    assert_int_equal(accumulator_count(cell), 0);
    free(cell);
}

static struct buf bytes_of(const struct accumulator *cell)
{
    struct buf bytes = {0};
    accumulator_encode(layout(), cell, &bytes);
    assert_false(bytes.failed);
    return bytes;
}

/* Adding to a cell, to another, merging them and reading the bytes back. */
static poise_code live(struct accumulator *cells[3], const struct buf *bytes)
{
    bool reread;
    struct sample sample = sample_of(0);
    bool ok = fill(cells[0], 0, 40) && fill(cells[1], 0, SAMPLES) &&
              accumulator_merge(layout(), cells[0], cells[1]) &&
              accumulator_remove(layout(), cells[0], &sample, NULL, &reread);
    struct cursor in = cursor_of(bytes->data, bytes->length);
    return ok ? accumulator_decode(layout(), cells[2], &in) : POISE_ENOMEM;
}

static void test_cells(void **state)
{
    (void)state;
    struct accumulator *full = new_cell();
    assert_true(fill(full, 0, SAMPLES));
    struct buf bytes = bytes_of(full);
    long n = 0;
    poise_code code;
    do {
        struct accumulator *cells[] = {new_cell(), new_cell(), new_cell()};
        until_failure = n++;
        code = live(cells, &bytes);
        bool failed = until_failure < 0;
        until_failure = -1;
        assert_int_equal(code, failed ? POISE_ENOMEM : POISE_OK);
        for (int i = 0; i < 3; i++) {
            free_cell(cells[i]);
        }
    } while (code != POISE_OK);
    assert_true(n > 10);
    buf_free(&bytes);
    free_cell(full);
}

static void test_sums_stay(void **state)
{
    (void)state;
    struct exact sum = {0}, other = {0}, wide = {0};
    assert_true(exact_add(&sum, 3) && exact_add(&other, 1e-90));
    assert_true(exact_add(&wide, 3) && exact_add(&wide, 1e-90));
    until_failure = 0;
    assert_false(exact_add(&sum, 1e90));
    until_failure = 0;
    assert_false(exact_add_product(&sum, 1e-90, 1e-100));
    until_failure = 0;
    assert_false(exact_merge(&sum, &other));
    until_failure = 0;
    assert_false(exact_merge(&sum, &wide));
    assert_true(exact_round(&sum) == 3);
    until_failure = -1;
    assert_true(exact_merge(&sum, &wide) && exact_round(&sum) == 6);
    until_failure = 0;
    assert_true(exact_merge(&sum, &wide) && exact_round(&sum) == 9);   /* has its room */
    assert_true(exact_add(&other, -1e-90) && exact_add(&other, 1e90)); /* the window moves */
    assert_int_equal(until_failure, 0);
    until_failure = -1;
    exact_free(&sum);
    exact_free(&other);
    exact_free(&wide);
}

/* Lengths that the rest of the bytes cannot hold are refused before there is an allocation. */
static void test_absurd_lengths(void **state)
{
    (void)state;
    struct accumulator_layout quantile = accumulator_layout(PART_QUANTILE, NULL);
    struct accumulator *cell = new_cell();
    static const uint8_t list[] = {64, 0, 0, 0, 0, 0, 0, 0, 0}, histogram[] = {100, 0xff, 0x7f, 1, 100};
    until_failure = 0;
    struct cursor in = cursor_of(list, sizeof list);
    assert_int_equal(accumulator_decode(&quantile, cell, &in), POISE_ECORRUPT);
    in = cursor_of(histogram, sizeof histogram);
    assert_int_equal(accumulator_decode(&quantile, cell, &in), POISE_ECORRUPT);
    assert_int_equal(until_failure, 0);
    until_failure = -1;
    free_cell(cell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_sums_stay),
        cmocka_unit_test(test_absurd_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
