#include "aggregator_test.h"
#include <aggregator/ledger.h>
#include <stdio.h>

enum { EPOCH = 9, MANY = WIRE_BATCH_ROWS_MAX, LATE = POISE_REFUSAL_TIME_AHEAD, ODD = POISE_REFUSAL_VALUE };

static struct ledger_entry *entry_of(struct ledger *ledger, const char *producer, uint64_t epoch)
{
    struct ledger_entry *entry = ledger_add(ledger, producer, epoch);
    assert_non_null(entry);
    return entry;
}

/* A batch whose rows 0, 1, ... were refused. */
static void commit(struct ledger_entry *entry, uint64_t seq, uint32_t refused)
{
    uint32_t *rows = calloc(refused + 1, sizeof *rows);
    uint8_t *reasons = calloc(refused + 1, 1);
    assert_true(rows && reasons);
    for (uint32_t i = 0; i < refused; i++) {
        rows[i] = i;
        reasons[i] = i % 2 ? ODD : LATE;
    }
    assert_true(ledger_commit(entry, seq, seq * 100, rows, reasons, refused));
    free(rows);
    free(reasons);
}

static void entries_are_by_producer_and_epoch(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    char name[32];
    struct ledger_entry *first = entry_of(&ledger, "p", 1);
    for (uint64_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "p%d", (int)(i / 2));
        struct ledger_entry *entry = entry_of(&ledger, name, 1 + i % 2);
        assert_int_equal(entry->seq, 0);
        entry->seq = i + 1;
    }
    for (uint64_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "p%d", (int)(i / 2));
        assert_int_equal(ledger_find(&ledger, name, 1 + i % 2)->seq, i + 1);
    }
    assert_null(ledger_find(&ledger, "p", 2));
    assert_ptr_equal(ledger_find(&ledger, "p", 1), first);
    assert_ptr_equal(ledger_add(&ledger, "p", 1), first);
    ledger_free(&ledger);
}

static void refusals_are_kept_for_the_window(void **state)
{
    (void)state;
    enum { LAST = 3 * LEDGER_WINDOW };
    struct ledger ledger = {0};
    size_t count = 7;
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    assert_null(ledger_refusals(entry, 0, &count));
    assert_int_equal(count, 0);
    for (uint64_t seq = 1; seq <= LAST; seq++)
        commit(entry, seq, 3);
    assert_int_equal(entry->seq, LAST);
    assert_int_equal(entry->hash, 100 * LAST);
    const struct wire_refusal *refusals = ledger_refusals(entry, 0, &count);
    assert_int_equal(count, 3 * LEDGER_WINDOW);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(refusals[i].seq, LAST - LEDGER_WINDOW + 1 + i / 3);
        assert_int_equal(refusals[i].row, i % 3);
        assert_int_equal(refusals[i].reason, i % 3 == 1 ? ODD : LATE);
    }
    refusals = ledger_refusals(entry, LAST - 1, &count);
    assert_int_equal(count, 6);
    assert_int_equal(refusals[0].seq, LAST - 1);
    assert_null(ledger_refusals(entry, LAST + 1, &count));
    for (uint64_t seq = LAST + 1; seq <= LAST + LEDGER_WINDOW; seq++)
        commit(entry, seq, 0);
    assert_null(ledger_refusals(entry, 0, &count));
    ledger_free(&ledger);
}

/* A loss takes many numbers at once; its producer need not have heard of what came before it. */
static void a_loss_forgets_no_refusals(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    size_t count;
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    commit(entry, 1, 2);
    commit(entry, 1 + 5 * LEDGER_WINDOW, 0);
    assert_non_null(ledger_refusals(entry, 1, &count));
    assert_int_equal(count, 2);
    commit(entry, 2 + 5 * LEDGER_WINDOW, 0); /* who goes on has heard */
    assert_null(ledger_refusals(entry, 1, &count));
    ledger_free(&ledger);
}

static void refusals_are_bounded_but_never_the_last_batch(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    size_t count;
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        commit(entry, seq, MANY);
        assert_true(entry->refusal_count <= LEDGER_REFUSALS_MAX);
        const struct wire_refusal *refusals = ledger_refusals(entry, seq, &count);
        assert_int_equal(count, MANY);
        assert_int_equal(refusals[0].row, 0);
    }
    ledger_free(&ledger);
}

/* After a change of definitions the journal is read again, over what the checkpoint knew: from its start, or
 * from where it is trimmed. */
static void a_history_that_is_read_again_says_nothing_new(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    size_t count;
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    for (uint64_t from = 1; from <= 100; from += 33)
        for (uint64_t seq = from; seq <= 100; seq++)
            commit(entry, seq, 2);
    const struct wire_refusal *refusals = ledger_refusals(entry, 51, &count);
    assert_int_equal(count, 100);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(refusals[i].seq, 51 + i / 2);
    ledger_free(&ledger);
}

static void encode(const struct ledger_entry *entry, struct buf *key, struct buf *value)
{
    buf_reset(key);
    buf_reset(value);
    ledger_encode(entry, key, value);
    assert_false(key->failed || value->failed);
}

static void bytes_bring_an_entry_back(void **state)
{
    (void)state;
    struct ledger ledger = {0}, copy = {0};
    struct buf key = {0}, value = {0};
    size_t count, copied;
    struct ledger_entry *entry = entry_of(&ledger, "shop-7", UINT64_MAX);
    commit(entry, UINT64_C(1) << 40, 5);
    uint32_t all = WIRE_ROW_ALL;
    uint8_t reason = POISE_REFUSAL_MALFORMED;
    assert_true(ledger_commit(entry, (UINT64_C(1) << 40) + 1, 77, &all, &reason, 1));
    encode(entry, &key, &value);
    assert_int_equal(
        ledger_decode(&copy, cursor_of(key.data, key.length), cursor_of(value.data, value.length)), POISE_OK);
    const struct ledger_entry *twin = ledger_find(&copy, "shop-7", UINT64_MAX);
    assert_int_equal(twin->seq, (UINT64_C(1) << 40) + 1);
    assert_int_equal(twin->hash, 77);
    const struct wire_refusal *refusals = ledger_refusals(entry, 0, &count);
    const struct wire_refusal *its = ledger_refusals(twin, 0, &copied);
    assert_int_equal(count, 6);
    assert_int_equal(copied, 6);
    for (size_t i = 0; i < count; i++)
        assert_true(refusals[i].seq == its[i].seq && refusals[i].row == its[i].row &&
                    refusals[i].reason == its[i].reason);
    assert_int_equal(its[5].row, WIRE_ROW_ALL);
    ledger_free(&ledger);
    ledger_free(&copy);
    buf_free(&key);
    buf_free(&value);
}

static void cut_bytes_are_corrupt(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    struct buf key = {0}, value = {0};
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    commit(entry, 300, 5);
    encode(entry, &key, &value);
    for (size_t length = 0; length < value.length; length++) {
        struct ledger copy = {0};
        assert_int_equal(ledger_decode(&copy, cursor_of(key.data, key.length), cursor_of(value.data, length)),
                         POISE_ECORRUPT);
        ledger_free(&copy);
    }
    for (size_t length = 0; length < key.length; length++) {
        struct ledger copy = {0};
        poise_code code =
            ledger_decode(&copy, cursor_of(key.data, length), cursor_of(value.data, value.length));
        assert_int_equal(code, POISE_ECORRUPT);
        ledger_free(&copy);
    }
    char longer[8 + POISE_ID_MAX + 1];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(
        ledger_decode(&ledger, cursor_of(longer, sizeof longer), cursor_of(value.data, value.length)),
        POISE_ECORRUPT);
    ledger_free(&ledger);
    buf_free(&key);
    buf_free(&value);
}

/* ---- losses ---- */

static void lose(struct ledger_entry *entry, uint64_t first, uint64_t last, poise_loss_reason reason)
{
    const poise_loss loss = {.epoch = entry->epoch,
                             .first_seq = first,
                             .last_seq = last,
                             .rows = 10 * (last - first + 1),
                             .from_ms = (int64_t)first,
                             .to_ms = (int64_t)last,
                             .reason = reason,
                             .lsn = last};
    assert_true(ledger_commit(entry, last, last, NULL, NULL, 0));
    assert_true(ledger_lose(entry, &loss));
}

static void impossible_counts_are_not_believed(void **state)
{
    (void)state;
    static const uint64_t counts[][3] = {/* batches, rows that are said, and believed */
                                         {1, 16384, 16384},
                                         {1, 5, 5},
                                         {2, 2 * 16384, 2 * 16384},
                                         {2, 2 * 16384 + 1, 0},
                                         {1, UINT64_MAX, 0},
                                         {UINT64_C(1) << 60, UINT64_C(1) << 60, 0},
                                         {UINT64_C(1) << 60, UINT64_C(1) << 40, UINT64_C(1) << 40}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const struct wire_batch batch = {
            .epoch = 1,
            .seq = 7,
            .loss = {.last_seq = 6 + counts[i][0], .rows = counts[i][1], .from_ms = 3, .to_ms = 4}};
        const poise_loss loss = ledger_loss_of(&batch, 1, 2);
        assert_true(loss.rows == counts[i][2] && loss.last_seq == batch.loss.last_seq);
        assert_int_equal(loss.to_ms, counts[i][2] ? 4 : 0);
    }
}

static void check_loss(const poise_loss *loss, uint64_t first, uint64_t last, uint64_t rows)
{
    assert_int_equal(loss->first_seq, first);
    assert_int_equal(loss->last_seq, last);
    assert_int_equal(loss->rows, rows);
    assert_int_equal(loss->from_ms, first);
    assert_int_equal(loss->to_ms, last);
    assert_int_equal(loss->lsn, last);
}

static void losses_that_follow_each_other_are_one(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    lose(entry, 3, 5, POISE_LOSS_OLDEST);
    lose(entry, 6, 9, POISE_LOSS_OLDEST);
    lose(entry, 10, 10, POISE_LOSS_DAMAGED);
    lose(entry, 12, 12, POISE_LOSS_DAMAGED);
    assert_int_equal(entry->loss_count, 3);
    check_loss(&entry->losses[0], 3, 9, 70);
    check_loss(&entry->losses[2], 12, 12, 10);
    ledger_free(&ledger);
}

/* Whatever a producer says: none of its rows goes by untold. */
static void losses_are_bounded(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    uint64_t losses, rows;
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    for (uint64_t i = 1; i <= 1000; i++)
        lose(entry, 2 * i, 2 * i, POISE_LOSS_DAMAGED);
    ledger_sum_losses(&ledger, &losses, &rows);
    assert_int_equal(losses, LEDGER_LOSSES_MAX);
    assert_int_equal(rows, 10000);
    check_loss(&entry->losses[0], 2, 2 * (1000 - LEDGER_LOSSES_MAX + 1), 10 * (1000 - LEDGER_LOSSES_MAX + 1));
    check_loss(&entry->losses[LEDGER_LOSSES_MAX - 1], 2000, 2000, 10);
    ledger_free(&ledger);
}

static void replayed_losses_count_once(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    uint64_t losses, rows;
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    for (int round = 0; round < 2; round++) {
        commit(entry, 1, 0);
        lose(entry, 2, 5, POISE_LOSS_OLDEST);
        lose(entry, 6, 7, POISE_LOSS_OLDEST);
        commit(entry, 8, 0);
        lose(entry, 9, 9, POISE_LOSS_DAMAGED);
    }
    ledger_sum_losses(&ledger, &losses, &rows);
    assert_int_equal(losses, 2);
    assert_int_equal(rows, 70);
    lose(entry, 6, 7, POISE_LOSS_OLDEST); /* of a journal whose beginning is gone */
    lose(entry, 9, 9, POISE_LOSS_DAMAGED);
    ledger_sum_losses(&ledger, &losses, &rows);
    assert_int_equal(rows, 70);
    assert_int_equal(entry->losses[0].first_seq, 2);
    ledger_free(&ledger);
}

static void bytes_bring_losses_back(void **state)
{
    (void)state;
    struct ledger ledger = {0};
    struct buf key = {0}, none = {0}, value = {0};
    struct ledger_entry *entry = entry_of(&ledger, "p", EPOCH);
    commit(entry, 1, 3);
    encode(entry, &key, &none);
    lose(entry, 2, 5, POISE_LOSS_OLDEST);
    lose(entry, 7, 7, POISE_LOSS_DAMAGED);
    encode(entry, &key, &value);
    for (size_t length = 0; length <= value.length; length++) {
        struct ledger copy = {0};
        poise_code code =
            ledger_decode(&copy, cursor_of(key.data, key.length), cursor_of(value.data, length));
        bool whole = length == value.length || length == none.length; /* as it was before there were losses */
        assert_int_equal(code, whole ? POISE_OK : POISE_ECORRUPT);
        const struct ledger_entry *twin = ledger_find(&copy, "p", EPOCH);
        if (length == value.length) {
            assert_int_equal(twin->loss_count, 2);
            check_loss(&twin->losses[0], 2, 5, 40);
            check_loss(&twin->losses[1], 7, 7, 10);
            assert_int_equal(twin->losses[1].reason, POISE_LOSS_DAMAGED);
            assert_true(twin->losses[1].epoch == EPOCH);
        }
        ledger_free(&copy);
    }
    ledger_free(&ledger);
    buf_free(&key);
    buf_free(&none);
    buf_free(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_by_producer_and_epoch),
        cmocka_unit_test(refusals_are_kept_for_the_window),
        cmocka_unit_test(a_loss_forgets_no_refusals),
        cmocka_unit_test(impossible_counts_are_not_believed),
        cmocka_unit_test(refusals_are_bounded_but_never_the_last_batch),
        cmocka_unit_test(a_history_that_is_read_again_says_nothing_new),
        cmocka_unit_test(bytes_bring_an_entry_back),
        cmocka_unit_test(cut_bytes_are_corrupt),
        cmocka_unit_test(losses_that_follow_each_other_are_one),
        cmocka_unit_test(losses_are_bounded),
        cmocka_unit_test(replayed_losses_count_once),
        cmocka_unit_test(bytes_bring_losses_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
