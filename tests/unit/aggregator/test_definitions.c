/* Which definitions are in force when, from the orders in a journal and from a table. */
#include "aggregator_test.h"
#include <aggregator/definitions.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { VARIANTS = 20 };

struct fixture {
    char path[64];
    struct store *store;
    struct scorecard *cards[VARIANTS]; /* of one id */
    struct scorecard *other;
    struct definitions definitions;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.path = "/tmp/poise-definitions-XXXXXX"};
    assert_non_null(mkdtemp(f.path));
    const struct store_options options = {.path = f.path, .map_bytes = 1 << 20, .free_bytes = 1};
    assert_int_equal(store_open(&options, &f.store, NULL), POISE_OK);
    for (int i = 0; i < VARIANTS; i++)
        f.cards[i] = card_make("c", 2 + i);
    f.other = card_make("b", 2);
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
    definitions_free(&f->definitions);
    store_close(f->store);
    for (int i = 0; i < VARIANTS; i++)
        scorecard_free(f->cards[i]);
    scorecard_free(f->other);
    return nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void define(struct fixture *f, int variant, int64_t closed_ms)
{
    assert_int_equal(definitions_define(&f->definitions, f->cards[variant], closed_ms, NULL), POISE_OK);
}

/* "NUMBER:AFTER..UNTIL ..." of the scorecard's that answer for some of the times, 0 for what is open. */
static void expect(struct fixture *f, int64_t from_ms, int64_t to_ms, const char *wanted)
{
    struct compiled compiled = {0};
    char text[256] = "";
    assert_int_equal(definitions_compile(&f->definitions, "c", f->cards[0], from_ms, to_ms, &compiled, NULL),
                     POISE_OK);
    for (size_t i = 0; i < compiled.count; i++) {
        const struct engine_term *term = &compiled.terms[i];
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "%d:%d..%d ", (int)term->number,
                 term->after_ms == INT64_MIN ? 0 : (int)term->after_ms,
                 term->until_ms == INT64_MAX ? 0 : (int)term->until_ms);
        assert_string_equal(compiled.cards[i]->id, "c");
    }
    assert_string_equal(text, wanted);
    compiled_free(&compiled);
}

static void expect_all(struct fixture *f, const char *wanted)
{
    expect(f, INT64_MIN, INT64_MAX, wanted);
}

/* How many there are, in force for some time or not. */
static size_t count_all(struct fixture *f)
{
    struct compiled compiled = {0};
    assert_int_equal(definitions_compile_all(&f->definitions, "c", f->cards[0], &compiled, NULL), POISE_OK);
    size_t count = compiled.count;
    compiled_free(&compiled);
    return count;
}

static void each_is_in_force_until_the_next(void **state)
{
    struct fixture *f = *state;
    assert_null(definitions_current(&f->definitions, "c"));
    define(f, 0, INT64_MIN);
    expect_all(f, "1:0..0 ");
    define(f, 1, 100);
    assert_int_equal(definitions_define(&f->definitions, f->other, INT64_MIN, NULL), POISE_OK);
    define(f, 2, 200);
    expect_all(f, "1:0..100 2:100..200 3:200..0 ");
    expect(f, 50, 100, "1:0..100 ");
    expect(f, 100, 101, "1:0..100 2:100..200 ");
    expect(f, 201, 300, "3:200..0 ");
    assert_int_equal(definitions_current(&f->definitions, "c")->number, 3);
    assert_int_equal(definitions_current(&f->definitions, "b")->number, 1);
    assert_null(definitions_current(&f->definitions, "bc"));
}

static void what_no_period_has_is_dropped(void **state)
{
    struct fixture *f = *state;
    define(f, 0, INT64_MIN);
    define(f, 1, INT64_MIN); /* nothing was scored by the first */
    expect_all(f, "2:0..0 ");
    define(f, 2, 100);
    define(f, 3, 100); /* within one period */
    expect_all(f, "2:0..100 4:100..0 ");
    define(f, 2, 200); /* as it was once */
    expect_all(f, "2:0..100 4:100..200 5:200..0 ");
    definitions_rescore(&f->definitions, "c", 150);
    expect_all(f, "2:0..100 4:100..150 5:150..0 ");
    definitions_rescore(&f->definitions, "c", 160); /* never forwards */
    expect_all(f, "2:0..100 4:100..150 5:150..0 ");
    definitions_rescore(&f->definitions, "c", 100);
    expect_all(f, "2:0..100 5:100..0 ");
    definitions_rescore(&f->definitions, "b", INT64_MIN);
    definitions_rescore(&f->definitions, "c", INT64_MIN);
    expect_all(f, "5:0..0 ");
    assert_int_equal(definitions_current(&f->definitions, "c")->closed_ms, 200);
    assert_int_equal(count_all(f), 3); /* the state is of all of them, until it is made anew */
    definitions_trim(&f->definitions);
    expect_all(f, "5:0..0 ");
    assert_int_equal(count_all(f), 1);
}

static void too_many_are_refused(void **state)
{
    struct fixture *f = *state;
    poise_error err = {0};
    for (int i = 0; i < DEFINITIONS_MAX; i++)
        define(f, i, i ? i * 100 : INT64_MIN);
    assert_int_equal(definitions_define(&f->definitions, f->cards[17], 9000, &err), POISE_ELIMIT);
    assert_non_null(strstr(err.text, "poise rescore --scorecard c --from"));
}

/* ---- in a journal ---- */

static void append(struct fixture *f, const char *producer, struct buf *body, int64_t as_of_ms)
{
    uint64_t lsn;
    const struct journal_batch batch = {
        .producer = producer, .body = body->data, .body_length = body->length};
    const struct journal_record record = {.as_of_ms = as_of_ms,
                                          .orders = strcmp(producer, "p") != 0,
                                          .first_ordinal = 1,
                                          .min_time_ms = 1,
                                          .max_time_ms = 0,
                                          .batches = &batch,
                                          .batch_count = 1};
    assert_int_equal(store_append(f->store, &record, &lsn, NULL), POISE_OK);
    buf_free(body);
}

/* 1: defined, 2: a producer's, 3: another, 4: rescored; T is ten times that. */
static void write_journal(struct fixture *f)
{
    struct buf body = {0};
    define(f, 0, INT64_MIN);
    order_put(&body, definitions_current(&f->definitions, "c"), true);
    append(f, DEFINE_PRODUCER, &body, 10);
    buf_put_text(&body, "never read", 10);
    append(f, "p", &body, 20);
    define(f, 1, 200);
    order_put(&body, definitions_current(&f->definitions, "c"), true);
    append(f, DEFINE_PRODUCER, &body, 30);
    definitions_rescore(&f->definitions, "c", 150);
    order_put(&body, definitions_current(&f->definitions, "c"), false);
    order_put_reason(&body, "as decided");
    append(f, RESCORE_PRODUCER, &body, 40);
    definitions_free(&f->definitions);
}

static void fold(struct fixture *f, uint64_t until, int64_t known_at_ms)
{
    assert_int_equal(definitions_fold(&f->definitions, f->store, NULL, until, known_at_ms, NULL, NULL),
                     POISE_OK);
}

static void a_journal_says_what_was_in_force(void **state)
{
    struct fixture *f = *state;
    static const char *const wanted[] = {"", "1:0..0 ", "1:0..0 ", "1:0..200 2:200..0 ",
                                         "1:0..150 2:150..0 "};
    write_journal(f);
    for (uint64_t until = 0; until <= 4; until++) {
        fold(f, until, 0);
        expect_all(f, wanted[until]);
        definitions_free(&f->definitions);
        fold(f, 4, until ? (int64_t)until * 10 : 5);
        expect_all(f, wanted[until]);
        definitions_free(&f->definitions);
    }
    for (uint64_t until = 1; until <= 4; until++) { /* each from where the last one ended */
        fold(f, until, 0);
        expect_all(f, wanted[until]);
        assert_int_equal(f->definitions.folded_lsn, until);
        assert_int_equal(f->definitions.defined_lsn, until < 3 ? 1 : 3);
    }
}

static void the_text_is_that_of_the_file(void **state)
{
    struct fixture *f = *state;
    struct compiled compiled = {0};
    write_journal(f);
    fold(f, 4, 0);
    /* The file of now is a third one: both are compiled from their texts. */
    assert_int_equal(definitions_compile(&f->definitions, "c", f->cards[5], 0, INT64_MAX, &compiled, NULL),
                     POISE_OK);
    assert_int_equal(compiled.count, 2);
    assert_int_equal(compiled.owned_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(compiled.cards[i]->hash, f->cards[i]->hash);
        assert_int_equal(compiled.cards[i]->node_count, f->cards[i]->node_count);
    }
    compiled_free(&compiled);
}

static void damage_is_seen(void **state)
{
    struct fixture *f = *state;
    struct buf body = {0};
    define(f, 0, INT64_MIN);
    order_put(&body, definitions_current(&f->definitions, "c"), true);
    definitions_free(&f->definitions);
    body.length -= 3;
    append(f, DEFINE_PRODUCER, &body, 10);
    assert_int_equal(definitions_fold(&f->definitions, f->store, NULL, 1, 0, NULL, NULL), POISE_ECORRUPT);
    buf_put_u8(&body, '?');
    buf_put_text(&body, "c", 1);
    append(f, DEFINE_PRODUCER, &body, 10);
    f->definitions.folded_lsn = 1;
    assert_int_equal(definitions_fold(&f->definitions, f->store, NULL, 2, 0, NULL, NULL), POISE_ECORRUPT);
}

static void a_table_says_the_same(void **state)
{
    struct fixture *f = *state;
    const struct scorecard *cards[] = {f->other, f->cards[1]};
    const struct definitions_place place = {
        .folded_lsn = 4, .made_lsn = 3, .begun_lsn = 2, .cards = cards, .card_count = 2};
    const struct store_mark mark = {.state_lsn = 4, .generation = 1};
    uint64_t made_lsn, begun_lsn;
    write_journal(f);
    fold(f, 4, 0);
    define(f, 2, 300);
    definitions_rescore(&f->definitions, "c", 140); /* the second has no time left */
    for (int i = 0; i < 2; i++) {                   /* put again: in place of what was there */
        assert_int_equal(store_checkpoint_begin(f->store, NULL), POISE_OK);
        assert_int_equal(definitions_put(&f->definitions, f->store, &place), POISE_OK);
        assert_int_equal(store_checkpoint_commit(f->store, &mark, NULL), POISE_OK);
        definitions_free(&f->definitions);
        assert_int_equal(definitions_load(&f->definitions, f->store, &made_lsn, &begun_lsn, NULL), POISE_OK);
        expect_all(f, "1:0..140 3:140..0 ");
        assert_int_equal(count_all(f), 3);
        assert_int_equal(made_lsn, 3);
        assert_int_equal(begun_lsn, 2);
        assert_int_equal(f->definitions.folded_lsn, 4);
        assert_int_equal(f->definitions.defined_lsn, 3);
        assert_int_equal(f->definitions.configured_count, 2);
        assert_true(definitions_configured(&f->definitions, "b"));
        assert_true(definitions_configured(&f->definitions, "c"));
        assert_false(definitions_configured(&f->definitions, "bc"));
        assert_int_equal(definitions_current(&f->definitions, "c")->closed_ms, 300);
    }
}

/* By number, with a hash of each scorecard: then the file of now is the first that is known. */
static void what_older_versions_kept_is_passed_over(void **state)
{
    struct fixture *f = *state;
    const struct store_mark mark = {.state_lsn = 0, .generation = 1};
    static const uint8_t key[8] = {0, 0, 0, 0, 0, 0, 0, 1}, value[] = {1, 'c', 1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t made_lsn, begun_lsn;
    assert_int_equal(store_checkpoint_begin(f->store, NULL), POISE_OK);
    assert_int_equal(store_put(f->store, STORE_DEFINITIONS, key, sizeof key, value, sizeof value), POISE_OK);
    assert_int_equal(store_checkpoint_commit(f->store, &mark, NULL), POISE_OK);
    assert_int_equal(definitions_load(&f->definitions, f->store, &made_lsn, &begun_lsn, NULL), POISE_OK);
    assert_int_equal(f->definitions.count, 0);
    assert_int_equal(made_lsn, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_in_force_until_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(what_no_period_has_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_journal_says_what_was_in_force, setup, teardown),
        cmocka_unit_test_setup_teardown(the_text_is_that_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_says_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(what_older_versions_kept_is_passed_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
