/* The notes of a batch: all come back, in few bytes, and no bytes lead astray. */
#include "columns.h"
#include <stdlib.h>
#include <store/notes.h>
#include <string.h>

enum { SERIES_MAX = 3000, ROWS_MAX = 3000 };

static struct journal_batch batch_of(const struct buf *notes)
{
    return (struct journal_batch){.producer = "p",
                                  .seq = 77,
                                  .rows = ROWS_MAX,
                                  .body_length = SERIES_MAX + ROWS_MAX,
                                  .notes = notes->data,
                                  .notes_length = notes->length};
}

static void check(const struct journal_notes *notes)
{
    struct buf bytes = {0};
    struct arena arena = {0};
    struct journal_notes back;
    assert_int_equal(notes_encode(notes, &bytes), POISE_OK);
    struct journal_batch batch = batch_of(&bytes);
    assert_int_equal(notes_decode(&batch, &arena, &back, NULL), POISE_OK);
    assert_int_equal(back.series_count, notes->series_count);
    assert_int_equal(back.gone_count, notes->gone_count);
    for (size_t i = 0; i < back.series_count; i++) {
        assert_int_equal(back.series[i], notes->series[i]);
    }
    for (size_t i = 0; i < back.gone_count; i++) {
        const struct journal_gone *was = &notes->gone[i], *is = &back.gone[i];
        assert_true(is->row == was->row && is->series == was->series && is->time_ms == was->time_ms &&
                    is->ordinal == was->ordinal);
    }
    arena_free(&arena);
    buf_free(&bytes);
}

static void test_round_trip(void **state)
{
    (void)state;
    static uint32_t series[SERIES_MAX];
    static struct journal_gone gone[ROWS_MAX];
    uint64_t random = 1;
    for (int round = 0; round < 300; round++) {
        size_t series_count = (size_t)test_between(&random, 0, round % 10 ? 70 : SERIES_MAX);
        size_t gone_count = 0, rows = (size_t)test_between(&random, 0, round % 10 ? 70 : ROWS_MAX);
        for (size_t i = 0; i < series_count; i++) {
            bool none = test_between(&random, 0, 5) == 0;
            series[i] = none ? JOURNAL_NO_SERIES : (uint32_t)(test_random(&random) >> (32 + round % 32));
            series[i] -= series[i] == JOURNAL_NO_SERIES && !none;
        }
        for (uint32_t row = 0; row < rows; row++) {
            if (test_between(&random, 0, 2)) {
                gone[gone_count++] =
                    (struct journal_gone){.row = row,
                                          .series = (uint32_t)test_between(&random, 0, UINT32_MAX - 1),
                                          .time_ms = (int64_t)test_random(&random) >> round % 64,
                                          .ordinal = (test_random(&random) >> round % 64) + 1};
                gone[gone_count - 1].ordinal += gone[gone_count - 1].ordinal == 0;
            }
        }
        check(&(struct journal_notes){series, series_count, gone, gone_count});
    }
}

/* As docs/storage.md lays them out. */
static void test_golden(void **state)
{
    (void)state;
    static const uint8_t BYTES[] = {
        3, 5,  2,    14,   /* three series: from 7 on, by one; numbers are put one higher */
        2,                 /* two rows went */
        5, 4,  2,          /* because of the rows 1 and 3 */
        4, 18,             /* of series 9 */
        5, 7,  0xd0, 0x0f, /* at 1000 and 996 */
        5, 12, 8           /* at places 4 and 10 */
    };
    static const struct journal_gone gone[] = {{1, 9, 1000, 4}, {3, 9, 996, 10}};
    struct buf bytes = {0};
    const struct journal_notes notes = {(const uint32_t[]){6, 7, 8}, 3, gone, 2};
    assert_int_equal(notes_encode(&notes, &bytes), POISE_OK);
    assert_int_equal(bytes.length, sizeof BYTES);
    assert_memory_equal(bytes.data, BYTES, sizeof BYTES);
    buf_free(&bytes);
}

/* Workload W: neighbours that were numbered one after the other. */
static void test_neighbours_take_few_bytes(void **state)
{
    (void)state;
    uint32_t series[1000];
    struct buf bytes = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        series[i] = 900000 + i;
    }
    assert_int_equal(notes_encode(&(struct journal_notes){series, 1000, NULL, 0}, &bytes), POISE_OK);
    assert_true(bytes.length <= 10);
    buf_free(&bytes);
}

static poise_code decode_copy(const struct buf *bytes, size_t length, uint32_t rows, size_t body_length)
{
    struct arena arena = {0};
    struct journal_notes notes;
    poise_error err = {0};
    uint8_t *copy = malloc(length + 1); /* of its own, so that a sanitizer sees a byte too far */
    assert_non_null(copy);
    memcpy(copy, bytes->data, length);
    const struct journal_batch batch = {.producer = "p",
                                        .seq = 77,
                                        .rows = rows,
                                        .body_length = body_length,
                                        .notes = copy,
                                        .notes_length = length};
    poise_code code = notes_decode(&batch, &arena, &notes, &err);
    assert_true(code == POISE_OK || (code == POISE_ECORRUPT && strstr(err.text, "batch 77 of 'p'")));
    assert_true(arena.used <= 64 * (rows + body_length + 1));
    for (size_t i = 0; code == POISE_OK && i < notes.gone_count; i++) {
        assert_true(notes.gone[i].row < rows && notes.gone[i].series != JOURNAL_NO_SERIES);
        assert_true(i == 0 || notes.gone[i].row > notes.gone[i - 1].row);
    }
    arena_free(&arena);
    free(copy);
    return code;
}

static void test_wrong_bytes_are_seen(void **state)
{
    (void)state;
    static const struct journal_gone gone[] = {{1, 9, 1000, 4}, {3, 2, 996, 10}, {8, 0, -5, 1}};
    struct buf bytes = {0};
    uint64_t random = 7;
    const struct journal_notes notes = {(const uint32_t[]){6, JOURNAL_NO_SERIES, 8}, 3, gone, 3};
    assert_int_equal(notes_encode(&notes, &bytes), POISE_OK);
    assert_int_equal(decode_copy(&bytes, bytes.length, 9, 20), POISE_OK);
    assert_int_equal(decode_copy(&bytes, bytes.length, 8, 20), POISE_ECORRUPT); /* there is no such row */
    assert_int_equal(decode_copy(&bytes, bytes.length, 9, 2), POISE_ECORRUPT);  /* more series than bytes */
    for (size_t length = 0; length < bytes.length; length++) {
        assert_int_equal(decode_copy(&bytes, length, 9, 20), POISE_ECORRUPT);
    }
    buf_put_u8(&bytes, 0);
    assert_int_equal(decode_copy(&bytes, bytes.length, 9, 20), POISE_ECORRUPT);
    for (int round = 0; round < 20000; round++) {
        size_t at = (size_t)test_between(&random, 0, (int64_t)bytes.length - 2);
        uint8_t was = bytes.data[at];
        bytes.data[at] = (uint8_t)test_random(&random);
        (void)decode_copy(&bytes, bytes.length - 1, 9, 20);
        bytes.data[at] = was;
    }
    buf_free(&bytes);
}

/* Equal numbers take no room, however many there are said to be. */
static void test_flat_columns_are_bounded(void **state)
{
    (void)state;
    struct buf bytes = {0};
    buf_put_varint(&bytes, UINT32_MAX);
    buf_put_u8(&bytes, 4);
    buf_put_svarint(&bytes, 1);
    buf_put_varint(&bytes, 0);
    assert_int_equal(decode_copy(&bytes, bytes.length, 9, 1000), POISE_ECORRUPT);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_neighbours_take_few_bytes),
        cmocka_unit_test(test_wrong_bytes_are_seen),
        cmocka_unit_test(test_flat_columns_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
