/* Dumps from a journal: every counted row once, with its place, page by page; and cursors that are no such.
 */
#include "aggregator_test.h"
#include <aggregator/dump.h>
#include <ftw.h>
#include <stdio.h>

enum { ROWS_MAX = 40000 };

/* A row as it is written into the journal, and its place. */
struct written {
    char org[8], key[16];
    int64_t time_ms;
    double value;
    uint64_t place;
    bool retract;
};

struct fixture {
    char path[64];
    struct store *store;
    uint64_t ordinal; /* of the last row */
    struct written written[ROWS_MAX];
    size_t count;
    uint64_t got[ROWS_MAX]; /* places that came */
    size_t got_count, pages, empty_pages;
    struct arena arena, made; /* of what was read; of the batches */
    _Atomic bool stop;
    struct rows_memory memory;
    poise_error err;
};

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static struct store *open_at(const char *path, uint64_t incarnation)
{
    struct store *store = NULL;
    const struct store_options options = {
        .path = path, .map_bytes = 64 << 20, .free_bytes = 1, .new_incarnation = incarnation};
    assert_int_equal(store_open(&options, &store, NULL), POISE_OK);
    return store;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    memcpy(f->path, "/tmp/poise-dump-XXXXXX", sizeof "/tmp/poise-dump-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->store = open_at(f->path, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    arena_free(&f->arena);
    rows_memory_free(&f->memory);
    arena_free(&f->made);
    int failed = nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return failed;
}

/* ---- writing ---- */

static void append(struct fixture *f, struct journal_batch *batches, size_t count)
{
    const struct journal_record record = {
        .as_of_ms = 1, .first_ordinal = f->ordinal + 1, .batches = batches, .batch_count = count};
    uint64_t lsn;
    for (size_t i = 0; i < count; i++)
        f->ordinal += batches[i].rows;
    assert_int_equal(store_append(f->store, &record, &lsn, NULL), POISE_OK);
}

/* Builds a body of so many rows; every `refuse`th (0: none) is to be refused, the others are noted. */
static struct journal_batch make_batch(struct fixture *f, size_t rows, size_t refuse, uint64_t before)
{
    struct wire_builder *builder = wire_builder_open();
    struct buf body = {0};
    uint32_t *refused = arena_zalloc(&f->made, rows + 1, sizeof *refused);
    size_t refused_count = 0;
    for (size_t i = 0; i < rows; i++) {
        struct written row = {.time_ms = (int64_t)(i % 50), .value = (double)i, .place = before + i + 1};
        snprintf(row.org, sizeof row.org, "p-%d", (int)(i % 3));
        if (i % 5 == 0)
            snprintf(row.key, sizeof row.key, "k%d", (int)(i % 97));
        row.retract = i % 35 == 0;
        const poise_measurement measurement = {.measure = i % 2 ? "a" : "b",
                                               .org = row.org,
                                               .key = row.key[0] ? row.key : NULL,
                                               .time_ms = row.time_ms,
                                               .value = row.value,
                                               .of = 1,
                                               .retract = row.retract};
        assert_int_equal(wire_builder_add(builder, &measurement), POISE_OK);
        if (refuse && i % refuse == 0)
            refused[refused_count++] = (uint32_t)i;
        else
            f->written[f->count++] = row;
    }
    assert_int_equal(wire_builder_finish(builder, 1, 1, &body), POISE_OK);
    wire_builder_close(builder);
    uint8_t *bytes = arena_alloc(&f->made, body.length);
    memcpy(bytes, body.data, body.length);
    size_t length = body.length;
    buf_free(&body);
    return (struct journal_batch){.producer = "p",
                                  .epoch = 1,
                                  .seq = 1,
                                  .rows = (uint32_t)rows,
                                  .refused = refused,
                                  .reasons = arena_zalloc(&f->made, rows + 1, 1),
                                  .refused_count = refused_count,
                                  .body = bytes,
                                  .body_length = length};
}

static void write_rows(struct fixture *f, size_t rows, size_t refuse)
{
    struct journal_batch batch = make_batch(f, rows, refuse, f->ordinal);
    append(f, &batch, 1);
}

/* ---- asking ---- */

static const struct wire_dump everything = {
    .id = 7, .measure = "", .org = "", .from_ms = INT64_MIN, .to_ms = INT64_MAX};

static poise_code ask(struct fixture *f, const struct wire_dump *asked, struct buf *body)
{
    struct dump *dump = NULL;
    poise_code code = dump_open(asked, &dump, &f->err);
    if (!code)
        code = dump_page(dump, asked->id, f->store, &f->memory, &f->stop, body, &f->err);
    dump_free(dump);
    return code;
}

/* A page; the cursor of the next one, which is empty at the end. */
static void take_page(struct fixture *f, struct wire_dump *asked, uint8_t cursor[WIRE_CURSOR_MAX])
{
    struct buf body = {0};
    struct wire_rows rows;
    assert_int_equal(ask(f, asked, &body), POISE_OK);
    assert_true(body.length <= WIRE_MESSAGE_MAX);
    arena_reset(&f->arena);
    assert_int_equal(wire_decode_rows(body.data, body.length, &f->arena, &rows, &f->err), POISE_OK);
    assert_int_equal(rows.id, 7);
    assert_true(rows.done <= rows.total);
    for (size_t i = 0; i < rows.count; i++) {
        assert_true(f->got_count < ROWS_MAX);
        f->got[f->got_count++] = rows.places[i];
    }
    f->pages++;
    f->empty_pages += rows.count == 0;
    if (rows.cursor_length)
        memcpy(cursor, rows.cursor, rows.cursor_length);
    asked->cursor = cursor;
    asked->cursor_length = rows.cursor_length;
    buf_free(&body);
}

static void take_all(struct fixture *f, struct wire_dump asked)
{
    uint8_t cursor[WIRE_CURSOR_MAX];
    f->got_count = f->pages = f->empty_pages = 0;
    do {
        assert_true(f->pages < 1000);
        take_page(f, &asked, cursor);
    } while (asked.cursor_length);
}

static bool is_wanted(const struct written *row, const struct wire_dump *asked)
{
    const char *measure = (int)row->value % 2 ? "a" : "b"; /* make_batch */
    return (!*asked->measure || strcmp(asked->measure, measure) == 0) &&
           (!*asked->org || strcmp(asked->org, row->org) == 0) && (!asked->keyed || row->key[0]) &&
           (row->retract || (row->time_ms >= asked->from_ms && row->time_ms < asked->to_ms));
}

static void expect(struct fixture *f, const struct wire_dump *asked, size_t count)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        if (is_wanted(&f->written[i], asked)) {
            assert_true(at < f->got_count);
            assert_int_equal(f->got[at++], f->written[i].place);
        }
    assert_int_equal(at, f->got_count);
}

/* ---- the tests ---- */

static void every_counted_row_comes_once(void **state)
{
    struct fixture *f = *state;
    static const uint32_t all = WIRE_ROW_ALL;
    static const uint8_t malformed = POISE_REFUSAL_MALFORMED;
    take_all(f, everything); /* of an empty journal */
    assert_int_equal(f->pages, 1);
    write_rows(f, 9000, 7);
    struct journal_batch several[] = {
        make_batch(f, 100, 0, f->ordinal),
        {.producer = "p",
         .refused = &all,
         .reasons = &malformed,
         .refused_count = 1,
         .body = "?",
         .body_length = 1},
        {.producer = "!restate", .body = "order", .body_length = 5},            /* takes no place */
        {.producer = "!rescore", .rows = 1, .body = "order", .body_length = 5}, /* takes one */
        make_batch(f, 9000, 3, f->ordinal + 101)};
    append(f, several, 5);
    write_rows(f, 1, 1);
    write_rows(f, 10000, 0);
    take_all(f, everything);
    expect(f, &everything, f->count);
    assert_true(f->pages >= f->count / DUMP_ROWS_MAX);
    const struct wire_dump some[] = {
        {.id = 7, .measure = "a", .org = "", .from_ms = INT64_MIN, .to_ms = INT64_MAX},
        {.id = 7, .measure = "", .org = "p-2", .from_ms = 10, .to_ms = 30},
        {.id = 7, .measure = "b", .org = "", .from_ms = INT64_MIN, .to_ms = INT64_MAX, .keyed = true},
        {.id = 7, .measure = "c", .org = "", .from_ms = INT64_MIN, .to_ms = INT64_MAX}};
    for (size_t i = 0; i < 4; i++) {
        take_all(f, some[i]);
        expect(f, &some[i], f->count);
    }
    assert_int_equal(f->got_count, 0);
}

static void a_dump_is_as_of_its_first_page(void **state)
{
    struct fixture *f = *state;
    uint8_t cursor[WIRE_CURSOR_MAX];
    struct wire_dump asked = everything;
    write_rows(f, 16000, 0);
    size_t count = f->count;
    take_page(f, &asked, cursor);
    write_rows(f, 50, 0);
    store_close(f->store); /* nothing is kept in between */
    f->store = open_at(f->path, 2);
    while (asked.cursor_length)
        take_page(f, &asked, cursor);
    expect(f, &everything, count);
    take_all(f, everything);
    expect(f, &everything, f->count);
}

/* Nothing is found in much of the journal: pages come back empty, so that other questions have their turn. */
static void a_page_looks_at_so_much_only(void **state)
{
    struct fixture *f = *state;
    enum { COPIES = 120 };
    struct wire_dump asked = everything;
    struct journal_batch batch = make_batch(f, 16000, 0, 0);
    for (int i = 0; i < COPIES; i++)
        append(f, &batch, 1);
    asked.measure = "c";
    take_all(f, asked);
    size_t pages = COPIES * batch.body_length / DUMP_LOOK_BYTES;
    assert_true(pages >= 1 && f->empty_pages == pages + 1);
    assert_int_equal(f->got_count, 0);
}

/* The largest that there can be: texts of their greatest lengths, keys of their own, places far apart. */
static void pages_fit_into_a_message(void **state)
{
    struct fixture *f = *state;
    char text[POISE_KEY_MAX + 1], org[POISE_ORG_MAX + 1];
    memset(org, 'o', sizeof org - 1);
    org[sizeof org - 1] = '\0';
    f->ordinal = UINT64_MAX / 2;
    for (int batch = 0; batch < 6; batch++) {
        struct wire_builder *builder = wire_builder_open();
        struct buf body = {0};
        poise_code code = POISE_OK;
        uint32_t rows = 0;
        for (; !code; rows += !code) {
            snprintf(text, sizeof text, "%0*u", POISE_KEY_MAX, rows);
            const poise_measurement row = {.measure = "a",
                                           .org = org,
                                           .source = "s",
                                           .key = batch % 2 ? text : NULL,
                                           .time_ms = rows % 2 ? INT64_C(1) << 45 : 0,
                                           .value = 1.5,
                                           .of = 2.5,
                                           .seq = INT64_C(1) << 61};
            code = wire_builder_add(builder, &row);
        }
        assert_int_equal(wire_builder_finish(builder, 1, 1, &body), POISE_OK);
        wire_builder_close(builder);
        struct journal_batch full = {
            .producer = "p", .rows = rows, .body = body.data, .body_length = body.length};
        append(f, &full, 1);
        buf_free(&body);
    }
    f->got_count = 0;
    take_all(f, everything);
    assert_true(f->got_count > 6 * 900 && f->pages > 6);
}

static void other_cursors_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t cursor[WIRE_CURSOR_MAX];
    struct wire_dump asked = everything, other;
    struct buf body = {0};
    write_rows(f, 16000, 0);
    take_page(f, &asked, cursor);
    assert_int_equal(ask(f, &asked, &body), POISE_OK);
    for (size_t i = 0; i < asked.cursor_length; i++) {
        cursor[i] ^= 0x40;
        assert_int_equal(ask(f, &asked, &body), POISE_EPROTO);
        cursor[i] ^= 0x40;
    }
    for (size_t length = 1; length < WIRE_CURSOR_MAX; length++) {
        other = asked;
        other.cursor_length = length;
        assert_int_equal(ask(f, &other, &body), length == asked.cursor_length ? POISE_OK : POISE_EPROTO);
    }
    const struct wire_dump others[] = {
        {.id = 7, .measure = "a", .org = "", .from_ms = INT64_MIN, .to_ms = INT64_MAX},
        {.id = 7, .measure = "", .org = "p-1", .from_ms = INT64_MIN, .to_ms = INT64_MAX},
        {.id = 7, .measure = "", .org = "", .from_ms = 0, .to_ms = INT64_MAX},
        {.id = 7, .measure = "", .org = "", .from_ms = INT64_MIN, .to_ms = 9},
        {.id = 7, .measure = "", .org = "", .from_ms = INT64_MIN, .to_ms = INT64_MAX, .keyed = true}};
    for (size_t i = 0; i < 5; i++) {
        other = others[i];
        other.cursor = cursor;
        other.cursor_length = asked.cursor_length;
        assert_int_equal(ask(f, &other, &body), POISE_EPROTO);
    }
    store_close(f->store); /* another store, with the same records */
    assert_int_equal(nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    f->store = open_at(f->path, 2);
    f->count = f->ordinal = 0;
    write_rows(f, 16000, 0);
    assert_int_equal(ask(f, &asked, &body), POISE_EPROTO);
    buf_free(&body);
}

static void nonsense_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf body = {0};
    struct wire_dump asked = everything;
    char text[WIRE_TEXT_MAX + 1] = {0};
    memset(text, 'x', WIRE_TEXT_MAX);
    asked.to_ms = asked.from_ms;
    assert_int_equal(ask(f, &asked, &body), POISE_EPROTO);
    asked = everything;
    asked.org = "a//b";
    assert_int_equal(ask(f, &asked, &body), POISE_EPROTO);
    asked = everything;
    asked.measure = text;
    assert_int_equal(ask(f, &asked, &body), POISE_EPROTO);
    write_rows(f, 1, 0);
    f->stop = true; /* the aggregator is to end: ask again */
    assert_int_equal(ask(f, &everything, &body), POISE_EBUSY);
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_counted_row_comes_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dump_is_as_of_its_first_page, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_looks_at_so_much_only, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_fit_into_a_message, setup, teardown),
        cmocka_unit_test_setup_teardown(other_cursors_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
