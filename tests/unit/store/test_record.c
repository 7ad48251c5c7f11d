/* The bytes of a journal record: all come back, and no damage goes unseen. */
#include "scratch.h"
#include <base/hash.h>
#include <stdlib.h>
#include <store/record.h>
#include <string.h>

static const struct journal_batch BATCHES[] = {
    {.producer = "a",
     .epoch = UINT64_MAX,
     .seq = 1,
     .hash = 2,
     .rows = 3,
     .body = "body",
     .body_length = 4,
     .notes = "note",
     .notes_length = 4},
    {.producer = "",
     .seq = 5,
     .refused = (const uint32_t[]){0, 0xffffffff},
     .reasons = (const uint8_t[]){1, 255},
     .refused_count = 2,
     .rows = 6},
};
static const struct journal_record RECORD = {.lsn = 0x0102030405060708,
                                             .as_of_ms = -1,
                                             .settled = true,
                                             .first_ordinal = 11,
                                             .min_time_ms = INT64_MIN,
                                             .max_time_ms = INT64_MAX,
                                             .batches = BATCHES,
                                             .batch_count = 2,
                                             .changes = "changed",
                                             .changes_length = 7};

static void test_round_trip(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct arena arena = {0};
    struct journal_record back;
    assert_int_equal(record_encode(&RECORD, &bytes, NULL), POISE_OK);
    assert_int_equal(record_decode(bytes.data, bytes.length, RECORD.lsn, &arena, &back, NULL), POISE_OK);
    assert_true(back.lsn == RECORD.lsn && back.as_of_ms == -1 && back.settled);
    assert_true(back.first_ordinal == 11 && back.min_time_ms == INT64_MIN && back.max_time_ms == INT64_MAX);
    assert_int_equal(back.batch_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct journal_batch *was = &BATCHES[i], *is = &back.batches[i];
        assert_string_equal(is->producer, was->producer);
        assert_true(is->epoch == was->epoch && is->seq == was->seq && is->hash == was->hash &&
                    is->rows == was->rows);
        assert_int_equal(is->refused_count, was->refused_count);
        assert_int_equal(is->body_length, was->body_length);
        assert_int_equal(is->notes_length, was->notes_length);
        if (was->refused_count) {
            assert_memory_equal(is->refused, was->refused, 4 * was->refused_count);
            assert_memory_equal(is->reasons, was->reasons, was->refused_count);
        }
    }
    assert_memory_equal(back.batches[0].body, "body", 4);
    assert_memory_equal(back.batches[0].notes, "note", 4);
    assert_int_equal(back.changes_length, 7);
    assert_memory_equal(back.changes, "changed", 7);
    arena_free(&arena);
    buf_free(&bytes);
}

/* The first bytes as docs/storage.md lays them out: stores of old must stay readable. */
static void test_golden_head(void **state)
{
    (void)state;
    static const uint8_t HEAD[] = {2,    1,    0,    0,                            /* format, flags */
                                   8,    7,    6,    5,    4,    3,    2,    1,    /* lsn */
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* as_of */
                                   11,   0,    0,    0,    0,    0,    0,    0,    /* first ordinal */
                                   0,    0,    0,    0,    0,    0,    0,    0x80, /* min time */
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, /* max time */
                                   2,    0,    0,    0};                           /* batches */
    struct buf bytes = {0};
    assert_int_equal(record_encode(&RECORD, &bytes, NULL), POISE_OK);
    assert_memory_equal(bytes.data + 4, HEAD, sizeof HEAD);
    struct cursor in = cursor_of(bytes.data + 52, 20);
    assert_int_equal(cursor_u32(&in), crc32c(bytes.data + RECORD_HEAD, bytes.length - RECORD_HEAD));
    assert_int_equal(cursor_u64(&in), bytes.length - RECORD_HEAD - 7);
    assert_int_equal(cursor_u64(&in), 7);
    in = cursor_of(bytes.data, 4);
    assert_int_equal(cursor_u32(&in), crc32c(bytes.data + 4, RECORD_HEAD - 4));
    assert_memory_equal(bytes.data + bytes.length - 7, "changed", 7);
    buf_free(&bytes);
}

/* The record as format 1 has it, which versions before notes have written. */
static const char OLD_RECORD[] =
    "052d69ee010100000807060504030201ffffffffffffffff0b000000000000000000000000000080ffffffffff"
    "ffff7f020000007b0e6e3d5d000000000000000700000000000000ffffffffffffffff01000000000000000200"
    "00000000000003000000000000000400000001006100626f647900000000000000000500000000000000000000"
    "000000000006000000020000000000000000000000000000ffffffff01ff6368616e676564";

static void test_format_1_stays_readable(void **state)
{
    (void)state;
    uint8_t bytes[sizeof OLD_RECORD / 2];
    for (size_t i = 0; i < sizeof bytes; i++) {
        char digits[3] = {OLD_RECORD[2 * i], OLD_RECORD[2 * i + 1]};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    struct arena arena = {0};
    struct journal_record back;
    assert_int_equal(record_decode(bytes, sizeof bytes, RECORD.lsn, &arena, &back, NULL), POISE_OK);
    assert_int_equal(back.batch_count, 2);
    assert_int_equal(back.batches[0].body_length, 4);
    assert_memory_equal(back.batches[0].body, "body", 4);
    assert_int_equal(back.batches[0].notes_length, 0);
    assert_true(back.batches[1].seq == 5 && back.batches[1].rows == 6);
    assert_int_equal(back.batches[1].refused[1], 0xffffffff);
    assert_int_equal(back.batches[1].reasons[1], 255);
    assert_memory_equal(back.changes, "changed", 7);
    arena_free(&arena);
}

static void test_every_flipped_bit_is_seen(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct arena arena = {0};
    struct journal_record back;
    assert_int_equal(record_encode(&RECORD, &bytes, NULL), POISE_OK);
    for (size_t i = 0; i < 8 * bytes.length; i++) {
        bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
        poise_error err = {0};
        arena_reset(&arena);
        assert_int_equal(record_decode(bytes.data, bytes.length, RECORD.lsn, &arena, &back, &err),
                         POISE_ECORRUPT);
        assert_non_null(strstr(err.text, "72623859790382856"));
        poise_code head = record_head(bytes.data, bytes.length, RECORD.lsn, &back, NULL);
        assert_int_equal(head, i / 8 < RECORD_HEAD ? POISE_ECORRUPT : POISE_OK);
        bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    arena_free(&arena);
    buf_free(&bytes);
}

static void test_every_cut_is_seen(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct arena arena = {0};
    struct journal_record back;
    assert_int_equal(record_encode(&RECORD, &bytes, NULL), POISE_OK);
    for (size_t length = 0; length < bytes.length; length++) {
        uint8_t *cut = malloc(length + 1); /* of its own, so that a sanitizer sees a byte too far */
        assert_non_null(cut);
        memcpy(cut, bytes.data, length);
        assert_int_equal(record_decode(cut, length, RECORD.lsn, &arena, &back, NULL), POISE_ECORRUPT);
        free(cut);
    }
    assert_int_equal(record_decode(bytes.data, bytes.length, RECORD.lsn + 1, &arena, &back, NULL),
                     POISE_ECORRUPT);
    arena_free(&arena);
    buf_free(&bytes);
}

/* Right CRCs over wrong counts, as only a bug could write them. */
static void test_lying_counts_stay_within_the_record(void **state)
{
    (void)state;
    struct buf good = {0};
    struct arena arena = {0};
    struct journal_record back;
    assert_int_equal(record_encode(&RECORD, &good, NULL), POISE_OK);
    for (size_t at = RECORD_HEAD; at < good.length - 7; at++) {
        uint8_t *bytes = malloc(good.length);
        assert_non_null(bytes);
        memcpy(bytes, good.data, good.length);
        bytes[at] = 0xff;
        struct buf body_crc = {.data = bytes + 52, .capacity = 4}, head_crc = {.data = bytes, .capacity = 4};
        buf_put_u32(&body_crc, crc32c(bytes + RECORD_HEAD, good.length - RECORD_HEAD));
        buf_put_u32(&head_crc, crc32c(bytes + 4, RECORD_HEAD - 4));
        arena_reset(&arena);
        poise_code code = record_decode(bytes, good.length, RECORD.lsn, &arena, &back, NULL);
        assert_true(code == POISE_OK || code == POISE_ECORRUPT);
        free(bytes);
    }
    arena_free(&arena);
    buf_free(&good);
}

static void test_unknown_format(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct journal_record back;
    assert_int_equal(record_encode(&RECORD, &bytes, NULL), POISE_OK);
    for (uint8_t format = 0; format <= 3; format += 3) {
        bytes.data[4] = format;
        struct buf crc = {.data = bytes.data, .capacity = 4};
        buf_put_u32(&crc, crc32c(bytes.data + 4, RECORD_HEAD - 4));
        assert_int_equal(record_head(bytes.data, bytes.length, RECORD.lsn, &back, NULL), POISE_EVERSION);
    }
    buf_free(&bytes);
}

static void test_limits(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct journal_record record = {.changes_length = RECORD_BYTES_MAX};
    assert_int_equal(record_encode(&record, &bytes, NULL), POISE_ELIMIT);
    struct journal_batch batch = {.producer = "p", .body_length = SIZE_MAX};
    record = (struct journal_record){.batches = &batch, .batch_count = 1};
    assert_int_equal(record_encode(&record, &bytes, NULL), POISE_ELIMIT);
    char name[RECORD_PRODUCER_MAX + 2];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    batch = (struct journal_batch){.producer = "p", .notes_length = SIZE_MAX};
    assert_int_equal(record_encode(&record, &bytes, NULL), POISE_ELIMIT);
    batch = (struct journal_batch){.producer = name};
    assert_int_equal(record_encode(&record, &bytes, NULL), POISE_EINVAL);
    name[sizeof name - 2] = '\0';
    assert_int_equal(record_encode(&record, &bytes, NULL), POISE_OK);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_golden_head),
        cmocka_unit_test(test_format_1_stays_readable),
        cmocka_unit_test(test_every_flipped_bit_is_seen),
        cmocka_unit_test(test_every_cut_is_seen),
        cmocka_unit_test(test_lying_counts_stay_within_the_record),
        cmocka_unit_test(test_unknown_format),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
