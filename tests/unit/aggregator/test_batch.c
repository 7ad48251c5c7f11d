#include "aggregator_test.h"
#include <aggregator/batch.h>

static void refused_rows_are_found_in_one_walk(void **state)
{
    (void)state;
    struct rng rng = {1};
    for (int round = 0; round < 2000; round++) {
        uint32_t refused[64];
        bool is_refused[64] = {0};
        size_t count = 0;
        int64_t share = rng_between(&rng, 0, 4);
        for (uint32_t row = 0; row < 64; row++)
            if (rng_between(&rng, 0, 3) < share) {
                is_refused[row] = true;
                refused[count++] = row;
            }
        size_t at = 0;
        for (uint32_t row = 0; row < 64; row += (uint32_t)rng_between(&rng, 1, 3)) /* some are not asked */
            assert_int_equal(batch_row_refused(refused, count, &at, row), is_refused[row]);
    }
}

static void a_whole_batch_is_refused(void **state)
{
    (void)state;
    uint32_t all = WIRE_ROW_ALL;
    size_t at = 0, none = 0;
    for (uint32_t row = 0; row < 10; row++) {
        assert_true(batch_row_refused(&all, 1, &at, row));
        assert_false(batch_row_refused(NULL, 0, &none, row));
    }
}

static void put_batch(struct buf *out, uint64_t seq, int rows)
{
    struct wire_builder *builder = wire_builder_open();
    assert_non_null(builder);
    for (int i = 0; i < rows; i++) {
        poise_measurement row = {.measure = "m", .org = "a", .time_ms = i, .value = i, .of = 1};
        assert_int_equal(wire_builder_add(builder, &row), POISE_OK);
    }
    assert_int_equal(wire_builder_finish(builder, 5, seq, out), POISE_OK);
    wire_builder_close(builder);
}

static void a_batch_is_used_again(void **state)
{
    (void)state;
    struct batch batch = {0};
    for (uint64_t seq = 1; seq <= 3; seq++) {
        batch_reset(&batch);
        put_batch(&batch.body, seq, (int)seq * 10);
        assert_int_equal(batch_decode(&batch, 20), POISE_OK);
        assert_int_equal(batch.malformed, seq == 3); /* more rows than 20 */
        assert_int_equal(batch.rows.rows, seq == 3 ? 0 : seq * 10);
        assert_int_equal(batch.refused_count, 0);
        for (uint32_t row = 0; row < 200; row++)
            assert_int_equal(batch_refuse(&batch, row, POISE_REFUSAL_VALUE), POISE_OK);
        assert_int_equal(batch.refused_count, 200);
        assert_int_equal(batch.refused[199], 199);
        assert_int_equal(batch.reasons[199], POISE_REFUSAL_VALUE);
    }
    batch_free(&batch);
}

static void bytes_that_are_no_batch_are_malformed(void **state)
{
    (void)state;
    struct batch batch = {0};
    struct buf good = {0};
    put_batch(&good, 1, 10);
    for (size_t length = 0; length < good.length; length++) {
        batch_reset(&batch);
        buf_put(&batch.body, good.data, length);
        assert_int_equal(batch_decode(&batch, 20), POISE_OK);
        assert_true(batch.malformed || batch.rows.rows <= 10);
        assert_true(!batch.malformed || batch.rows.rows == 0);
    }
    assert_true(batch.malformed); /* the last column is a byte short */
    batch_reset(&batch);
    assert_false(batch.malformed);
    buf_free(&good);
    batch_free(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_rows_are_found_in_one_walk),
        cmocka_unit_test(a_whole_batch_is_refused),
        cmocka_unit_test(a_batch_is_used_again),
        cmocka_unit_test(bytes_that_are_no_batch_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
