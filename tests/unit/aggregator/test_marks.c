/* Which records are read by marks: those that one walk over all of the journal would find. */
#include "aggregator_test.h"
#include <aggregator/marks.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RECORDS = 5 * MARKS_PART };

struct fixture {
    char path[64];
    struct store *store;
    struct marks marks;
    uint64_t seen[RECORDS]; /* whole records, by LSN */
    size_t count, heads;
    size_t enough; /* of whole ones; 0: never */
    _Atomic bool stop;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.path = "/tmp/poise-marks-XXXXXX"};
    if (access("/dev/shm", W_OK) == 0) /* each record is synced */
        snprintf(f.path, sizeof f.path, "/dev/shm/poise-marks-XXXXXX");
    assert_non_null(mkdtemp(f.path));
    const struct store_options options = {.path = f.path, .map_bytes = 8 << 20, .free_bytes = 1};
    assert_int_equal(store_open(&options, &f.store, NULL), POISE_OK);
    *state = &f;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    marks_free(&f->marks);
    store_close(f->store);
    return nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Some are in parts of their own, some beside others, some at an edge. */
static bool has_orders(uint64_t lsn)
{
    return lsn == 1 || lsn == MARKS_PART || lsn == 4 * MARKS_PART - 1;
}

static bool is_revised(uint64_t lsn)
{
    return lsn == 2 || (lsn >= 3 * MARKS_PART && lsn < 3 * MARKS_PART + 5);
}

static void append(struct fixture *f, uint64_t until)
{
    const struct journal_batch batch = {.producer = "!p", .body = "x", .body_length = 1};
    for (uint64_t lsn = store_last_lsn(f->store) + 1; lsn <= until; lsn++) {
        const struct journal_record record = {.as_of_ms = (int64_t)lsn,
                                              .orders = has_orders(lsn),
                                              .revised = is_revised(lsn),
                                              .settled = true,
                                              .first_ordinal = 1,
                                              .min_time_ms = 1,
                                              .max_time_ms = 0,
                                              .batches = &batch,
                                              .batch_count = 1,
                                              .changes = "x",
                                              .changes_length = 1};
        uint64_t got;
        assert_int_equal(store_append(f->store, &record, &got, NULL), POISE_OK);
        assert_int_equal(got, lsn);
    }
}

static poise_code see(void *visitor, const struct journal_record *record)
{
    struct fixture *f = visitor;
    f->heads++;
    if (record->batch_count == 0)
        return POISE_OK;
    f->seen[f->count++] = record->lsn;
    return f->count == f->enough ? POISE_ECLOSED : POISE_OK;
}

static poise_code read_some(struct fixture *f, struct marks *marks, enum mark what, uint64_t from,
                            uint64_t until)
{
    const struct marks_visit visit = {what, see, f, &f->stop};
    struct store_reader *reader;
    f->count = f->heads = 0;
    assert_int_equal(store_reader_open(f->store, &reader, NULL), POISE_OK);
    poise_code code = marks_read(marks, reader, from, until, &visit, NULL);
    store_reader_close(reader);
    return code;
}

static void expect(struct fixture *f, enum mark what, uint64_t from, uint64_t until)
{
    uint64_t last = store_last_lsn(f->store);
    for (int by_marks = 0; by_marks < 2; by_marks++) {
        size_t at = 0;
        assert_int_equal(read_some(f, by_marks ? &f->marks : NULL, what, from, until), POISE_OK);
        for (uint64_t lsn = from; lsn <= until && lsn <= last; lsn++) {
            if (!(what == MARK_ORDERS ? has_orders(lsn) : is_revised(lsn)))
                continue;
            assert_true(at < f->count);
            assert_int_equal(f->seen[at++], lsn);
        }
        assert_int_equal(f->count, at);
    }
}

static void marks_find_what_a_walk_finds(void **state)
{
    static const uint64_t ends[] = {1, 2, 3, MARKS_PART - 1, MARKS_PART, 3 * MARKS_PART + 2, RECORDS};
    enum { ENDS = sizeof ends / sizeof ends[0] };
    struct fixture *f = *state;
    for (size_t written = 0; written < ENDS; written++) {
        append(f, ends[written]);
        for (size_t i = 0; i < ENDS; i++) {
            for (size_t j = i; j < ENDS; j++) {
                expect(f, MARK_ORDERS, ends[i], ends[j]);
                expect(f, MARK_REVISIONS, ends[i], ends[j]);
            }
        }
    }
    /* parts without any are not looked at */
    assert_int_equal(read_some(f, &f->marks, MARK_REVISIONS, 1, RECORDS), POISE_OK);
    assert_int_equal(f->heads, 2 * MARKS_PART - 1);
}

static void a_visit_may_end_it(void **state)
{
    struct fixture *f = *state;
    append(f, RECORDS);
    f->enough = 2;
    assert_int_equal(read_some(f, &f->marks, MARK_ORDERS, 1, RECORDS), POISE_OK);
    assert_int_equal(f->count, 2);
    assert_int_equal(f->seen[1], MARKS_PART);
}

static void a_stop_leaves_no_mark_out(void **state)
{
    struct fixture *f = *state;
    append(f, 2 * MARKS_PART);
    f->stop = true;
    assert_int_equal(read_some(f, &f->marks, MARK_ORDERS, 1, 2 * MARKS_PART), POISE_EBUSY);
    f->stop = false;
    expect(f, MARK_ORDERS, 1, 2 * MARKS_PART);
}

int main(void)
{
#define MARKS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        MARKS_TEST(marks_find_what_a_walk_finds),
        MARKS_TEST(a_visit_may_end_it),
        MARKS_TEST(a_stop_leaves_no_mark_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
