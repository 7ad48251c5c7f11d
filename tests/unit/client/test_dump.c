/* poise_dump, called by a thread while the test plays the aggregator: pages with cursors, questions that were
 * forgotten, and aggregators that are busy, silent or wrong. */
#include "fake.h"

#include <poise/client.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct bench {
    struct fake fake;
    poise_client *client;
    pthread_t thread;
    int64_t timeout_ms;
    size_t stop_at; /* pages after which the callback answers false; 0: never */
    poise_code code;
    poise_error err;
    size_t pages;
    char heard[512];
};

static bool on_page(void *context, const poise_page *page)
{
    struct bench *b = context;
    for (size_t i = 0; i < page->count; i++) {
        size_t used = strlen(b->heard);
        snprintf(b->heard + used, sizeof b->heard - used, "%s=%g@%d ", page->rows[i].key, page->rows[i].value,
                 (int)page->places[i]);
    }
    size_t used = strlen(b->heard);
    snprintf(b->heard + used, sizeof b->heard - used, "%d/%d. ", (int)page->done, (int)page->total);
    return ++b->pages != b->stop_at;
}

static void *call(void *context)
{
    struct bench *b = context;
    const poise_selection selection = {
        .measure = "a", .org = "p/**", .from_ms = -5, .to_ms = 5, .keyed = true};
    b->code = poise_dump(b->client, &selection, b->timeout_ms, on_page, b, &b->err);
    return NULL;
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){.timeout_ms = PATIENCE_MS};
    fake_open(&bench.fake);
    fake_up(&bench.fake);
    poise_client_options options = {.endpoint = bench.fake.endpoint};
    assert_int_equal(poise_client_open(&options, &bench.client, NULL), POISE_OK);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    poise_client_close(b->client);
    fake_close(&b->fake);
    return 0;
}

static void start(struct bench *b)
{
    assert_int_equal(pthread_create(&b->thread, NULL, call, b), 0);
}

static void finish(struct bench *b, poise_code code, const char *heard)
{
    assert_int_equal(pthread_join(b->thread, NULL), 0);
    assert_int_equal(b->code, code);
    assert_string_equal(b->heard, heard);
}

/* The question, which must have this cursor; its id. */
static uint64_t expect(struct bench *b, const char *cursor)
{
    struct wire_dump asked;
    fake_expect(&b->fake, WIRE_DUMP);
    assert_int_equal(wire_decode_dump(b->fake.bytes, b->fake.length, &b->fake.arena, &asked, NULL), POISE_OK);
    assert_string_equal(asked.measure, "a");
    assert_string_equal(asked.org, "p/**");
    assert_true(asked.from_ms == -5 && asked.to_ms == 5 && asked.keyed);
    assert_int_equal(asked.cursor_length, strlen(cursor));
    if (*cursor)
        assert_memory_equal(asked.cursor, cursor, asked.cursor_length);
    return asked.id;
}

static void page(struct bench *b, uint64_t id, const char *key, uint64_t place, const char *cursor)
{
    const poise_measurement row = {
        .measure = "a", .org = "p", .key = key, .value = (double)place / 2, .of = 1};
    struct wire_builder *builder = wire_builder_open();
    struct buf batch = {0};
    if (key) {
        assert_int_equal(wire_builder_add(builder, &row), POISE_OK);
        assert_int_equal(wire_builder_finish(builder, 1, 1, &batch), POISE_OK);
    }
    const struct wire_rows rows = {.id = id,
                                   .batch = batch.data,
                                   .batch_length = batch.length,
                                   .places = &place,
                                   .count = key != NULL,
                                   .cursor = cursor,
                                   .cursor_length = strlen(cursor),
                                   .done = place,
                                   .total = 99};
    fake_send(&b->fake, WIRE_ROWS, wire_encode_rows(&rows, &b->fake.body));
    wire_builder_close(builder);
    buf_free(&batch);
}

static void pages_follow_their_cursors(void **state)
{
    struct bench *b = *state;
    start(b);
    page(b, expect(b, ""), "k1", 10, "c1");
    page(b, expect(b, "c1"), NULL, 20, "c22"); /* empty, and not the last */
    uint64_t id = expect(b, "c22");
    page(b, id + 1, "other", 1, "x"); /* of another question */
    page(b, id, "k2", 30, "");
    finish(b, POISE_OK, "k1=5@10 10/99. 20/99. k2=15@30 30/99. ");
}

static void the_caller_may_stop(void **state)
{
    struct bench *b = *state;
    b->stop_at = 1;
    start(b);
    page(b, expect(b, ""), "k1", 10, "c1");
    finish(b, POISE_OK, "k1=5@10 10/99. ");
}

/* Whoever does not know the question, or has no time for it, is asked again for the same page. */
static void a_page_is_asked_for_again(void **state)
{
    struct bench *b = *state;
    start(b);
    page(b, expect(b, ""), "k1", 10, "c1");
    uint64_t first = expect(b, "c1");
    fake_error(&b->fake, first, POISE_EBUSY);
    uint64_t second = expect(b, "c1");
    assert_true(second > first);
    fake_error(&b->fake, first, POISE_EPROTO); /* of a question of before */
    struct wire_credit sign;
    fake_expect(&b->fake, WIRE_CREDIT); /* after 2 s of silence */
    assert_int_equal(wire_decode_credit(b->fake.bytes, b->fake.length, &b->fake.arena, &sign, NULL),
                     POISE_OK);
    assert_true(sign.id == second && sign.more == 0);
    fake_error(&b->fake, second, POISE_ENOTFOUND);
    page(b, expect(b, "c1"), "k2", 30, "");
    finish(b, POISE_OK, "k1=5@10 10/99. k2=15@30 30/99. ");
}

static void other_errors_end_it(void **state)
{
    struct bench *b = *state;
    start(b);
    page(b, expect(b, ""), "k1", 10, "c1");
    fake_error(&b->fake, expect(b, "c1"), POISE_EPROTO);
    finish(b, POISE_EPROTO, "k1=5@10 10/99. ");
}

static void silence_ends_it(void **state)
{
    struct bench *b = *state;
    b->timeout_ms = 200;
    start(b);
    expect(b, "");
    finish(b, POISE_ETIMEOUT, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_follow_their_cursors, setup, teardown),
        cmocka_unit_test_setup_teardown(the_caller_may_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_is_asked_for_again, setup, teardown),
        cmocka_unit_test_setup_teardown(other_errors_end_it, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_ends_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
