/* The authorisation file, which of two is in force, and the audit log. */
#include "aggregator_test.h"
#include <aggregator/access.h>
#include <aggregator/actions.h>
#include <base/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_A "a000000000000000000000000000000000000000000000000000000000000001"
#define KEY_B "b000000000000000000000000000000000000000000000000000000000000002"
#define KEY_C "c000000000000000000000000000000000000000000000000000000000000003"

struct fixture {
    char directory[40], path[64], audit[64];
    struct access *access;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.directory = "/tmp/poise-access-XXXXXX"};
    *state = &f;
    if (!mkdtemp(f.directory))
        return -1;
    snprintf(f.path, sizeof f.path, "%s/access.yaml", f.directory);
    snprintf(f.audit, sizeof f.audit, "%s/audit.jsonl", f.directory);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    access_drop(f->access);
    unlink(f->path);
    unlink(f->audit);
    return rmdir(f->directory);
}

static poise_code read_text(struct fixture *f, const char *text, struct problems *problems)
{
    FILE *file = fopen(f->path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    access_drop(f->access);
    f->access = NULL;
    return access_read(f->path, &f->access, problems);
}

static void read_good(struct fixture *f, const char *text)
{
    struct problems problems = {0};
    assert_int_equal(chmod(f->directory, 0700), 0);
    if (read_text(f, text, &problems)) {
        problems_print(&problems, stderr);
        fail();
    }
    problems_free(&problems);
}

static const char good[] =
    "peers:\n"
    "  - name: shop\n"
    "    key: " KEY_A "\n"
    "    send:\n"
    "      - {inputs: [m, 'n_*'], orgs: [a, 'a/**'], sources: [s, 'shop-*']}\n"
    "      - {inputs: [free], orgs: ['b/*']}\n"
    "      - {inputs: [any]}\n"
    "  - name: board\n"
    "    key: [" KEY_B ", " KEY_C "]\n"
    "    read: [{scorecards: [plant, 'x-*'], orgs: ['', 'a/*']}, {scorecards: [free]}]\n"
    "    query: true\n";

static void each_may_what_the_file_says(void **state)
{
    struct fixture *f = *state;
    read_good(f, good);
    assert_int_equal(access_keys(f->access), 3);
    assert_null(access_find(f->access, NULL));
    assert_null(access_find(f->access, ""));
    assert_null(access_find(f->access, "shop"));
    const struct access_peer *shop = access_find(f->access, KEY_A), *board = access_find(f->access, KEY_B);
    assert_string_equal(access_name(shop), "shop");
    assert_ptr_equal(access_find(f->access, KEY_C), board);
    const bool shops[] = {true, false, false, false}, boards[] = {false, true, true, false};
    for (int right = ACCESS_SEND; right <= ACCESS_ADMINISTER; right++) {
        assert_int_equal(access_may(shop, (enum access_right)right), shops[right]);
        assert_int_equal(access_may(board, (enum access_right)right), boards[right]);
    }
    const struct {
        const char *input, *org, *source;
        enum access_sending sends;
    } rows[] = {
        {"m", "a", "s", ACCESS_SENDS},
        {"m", "a/b/c", "shop-7", ACCESS_SENDS},
        {"n_x", "a", "s", ACCESS_SENDS},
        {"n", "a", "s", ACCESS_SENDS_NOT},
        {"mm", "a", "s", ACCESS_SENDS_NOT},
        {"m", "", "s", ACCESS_SENDS_NOT},
        {"m", "b", "s", ACCESS_SENDS_NOT},
        {"m", "ab", "s", ACCESS_SENDS_NOT},
        {"m", "a", "", ACCESS_SENDS_NOT},
        {"m", "a", "shop", ACCESS_SENDS_NOT},
        {"free", "b/c", "", ACCESS_SENDS_KEYLESS},
        {"free", "b", "", ACCESS_SENDS_NOT},
        {"any", "", "", ACCESS_SENDS},
        {"any", "z/y", "q", ACCESS_SENDS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(access_sends(shop, rows[i].input, rows[i].org, rows[i].source), rows[i].sends);
    assert_int_equal(access_sends(board, "any", "", ""), ACCESS_SENDS_NOT);
    assert_false(access_sends_all(shop));
    assert_true(access_reads(board, "plant", "") && access_reads(board, "plant", "a/b"));
    assert_false(access_reads(board, "plant", "a") || access_reads(board, "plan", ""));
    assert_true(access_reads(board, "x-", "") && access_reads(board, "free", "anywhere/at/all"));
    assert_true(access_reads_card(board, "plant") && !access_reads_card(board, "other"));
    assert_false(access_reads(shop, "plant", "") || access_reads_card(shop, "plant"));
    assert_true(access_speaks_for(shop, "shop") && !access_speaks_for(shop, "board"));
}

static void all_is_all(void **state)
{
    struct fixture *f = *state;
    read_good(f, "peers:\n  - {name: x, key: " KEY_A ", send: all, read: all, producers: [p, 'cli-*']}\n");
    const struct access_peer *x = access_find(f->access, KEY_A);
    assert_true(access_sends_all(x) && access_reads(x, "any", "a/b"));
    assert_int_equal(access_sends(x, "any", "", ""), ACCESS_SENDS);
    assert_true(access_speaks_for(x, "p") && access_speaks_for(x, "cli-") &&
                access_speaks_for(x, "cli-host"));
    assert_false(access_speaks_for(x, "x") || access_speaks_for(x, "cli") || access_speaks_for(x, "pp"));
    read_good(f, "peers: []\n");
    assert_int_equal(access_keys(f->access), 0);
}

static void mistakes_are_named(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *text, *says;
    } bad[] = {
        {"", "empty"},
        {"{}\n", "the key 'peers' is missing: The list of who is let in"},
        {"peers: 1\n", "is a list"},
        {"peers: [1]\n", "a peer is a mapping"},
        {"peers: [{name: a}]\n", "key"},
        {"peers: [{key: " KEY_A "}]\n", "name"},
        {"peers: [{name: a, key: abc}]\n", "64 hex digits"},
        {"peers: [{name: a, key: " KEY_A "0}]\n", "64 hex digits"},
        {"peers: [{name: a, key: " KEY_A "}, {name: a, key: " KEY_B "}]\n", "called 'a' already"},
        {"peers: [{name: a, key: " KEY_A "}, {name: b, key: " KEY_A "}]\n", "'a' has this key already"},
        {"peers: [{name: a, key: " KEY_A ", sent: all}]\n", "did you mean 'send'"},
        {"peers: [{name: a, key: " KEY_A ", send: some}]\n", "`all` or a list"},
        {"peers: [{name: a, key: " KEY_A ", send: [all]}]\n", "a rule is a mapping"},
        {"peers: [{name: a, key: " KEY_A ", send: [{orgs: []}]}]\n", "'orgs' is empty"},
        {"peers: [{name: a, key: " KEY_A ", send: [{inputs: []}]}]\n", "'inputs' is empty"},
        {"peers: [{name: a, key: " KEY_A ", read: [{orgs: ['a//b']}]}]\n", "no glob"},
        {"peers: [{name: a, key: " KEY_A ", read: [{scorecards: ['a*b']}]}]\n", "at the end"},
        {"peers: [{name: a, key: " KEY_A ", query: maybe}]\n", "query"},
        {"peers: [{name: a, key: " KEY_A ", send: all}, {name: b, key: " KEY_B
         ", send: all, producers: [a]}]\n",
         "belongs to one peer"},
        {"peers: [{name: a-1, key: " KEY_A ", send: all}, {name: b, key: " KEY_B
         ", send: all, producers: ['a-*']}]\n",
         "belongs to one peer"},
        {"peers: [{name: a, key: " KEY_A ", send: all, producers: ['p*']}, {name: b, key: " KEY_B
         ", send: all, producers: ['pq*']}]\n",
         "belongs to one peer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct problems problems = {0};
        assert_int_equal(read_text(f, bad[i].text, &problems), POISE_ECONFIG);
        assert_null(f->access);
        bool said = false;
        for (size_t k = 0; k < problems.kept; k++)
            said |= strstr(problems.items[k].text, bad[i].says) != NULL;
        if (!said) {
            problems_print(&problems, stderr);
            fail_msg("'%s' is not said of: %s", bad[i].says, bad[i].text);
        }
        problems_free(&problems);
    }
    struct problems absent = {0};
    unlink(f->path);
    assert_int_equal(access_read(f->path, &f->access, &absent), POISE_ENOTFOUND);
    assert_int_equal(absent.count, 1);
    problems_free(&absent);
}

static void who_may_write_it_is_its_owner(void **state)
{
    struct fixture *f = *state;
    static const mode_t modes[] = {0620, 0602, 0666};
    read_good(f, good);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct problems problems = {0};
        struct access *access = NULL;
        assert_int_equal(chmod(f->path, modes[i]), 0);
        assert_int_equal(access_read(f->path, &access, &problems), POISE_ECONFIG);
        assert_null(access);
        assert_non_null(strstr(problems.items[0].text, "chmod go-w"));
        problems_free(&problems);
    }
    assert_int_equal(chmod(f->path, 0600), 0);
}

static struct access *read_again(struct fixture *f, const char *text)
{
    read_good(f, text);
    struct access *access = f->access;
    f->access = NULL;
    return access;
}

/* Nobody writes to the pipe: whoever waited for that would let nobody in. */
static void only_a_regular_file_is_read(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct problems problems = {0};
    struct access *access = NULL;
    snprintf(path, sizeof path, "%s.pipe", f->path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(access_read(path, &access, &problems), POISE_ECONFIG);
    assert_non_null(strstr(problems.items[0].text, "no regular file"));
    problems_free(&problems);
    assert_int_equal(unlink(path), 0);
}

/* Of an endpoint, and only where a key loses it. */
static void what_keys_lose_is_told(void **state)
{
    static const char *const lists[] = {
        "peers: [{name: a, key: " KEY_A ", send: all, query: true}, {name: b, key: " KEY_B ", read: all}]\n",
        "peers: [{name: b, key: " KEY_B ", read: [{orgs: [x]}]}, {name: a, key: " KEY_A
        ", send: all, query: true}]\n",
        "peers: [{name: a, key: " KEY_A ", send: all}, {name: b, key: " KEY_B ", read: all}]\n",
        "peers: [{name: a, key: " KEY_A ", query: true}, {name: b, key: " KEY_B ", read: all}]\n",
        "peers: [{name: b, key: " KEY_B ", read: all}]\n"};
    static const bool ingest[] = {false, false, false, true, true},
                      query[] = {false, false, true, false, true};
    struct fixture *f = *state;
    struct access *before = read_again(f, lists[0]);
    assert_true(access_enters(access_find(before, KEY_A), ACCESS_AT_INGEST));
    assert_true(access_enters(access_find(before, KEY_A), ACCESS_AT_QUERY));
    assert_false(access_enters(access_find(before, KEY_B), ACCESS_AT_INGEST));
    assert_false(access_enters(access_find(before, KEY_C), ACCESS_AT_QUERY));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct access *after = read_again(f, lists[i]);
        assert_int_equal(access_narrowed(before, after, ACCESS_AT_INGEST), ingest[i]);
        assert_int_equal(access_narrowed(before, after, ACCESS_AT_QUERY), query[i]);
        assert_false(access_narrowed(after, before, ACCESS_AT_QUERY));
        access_drop(after);
    }
    access_drop(before);
}

static void another_file_comes_in_force(void **state)
{
    struct fixture *f = *state;
    struct access_holder holder;
    struct access_view view = {.holder = &holder}, open = {0};
    struct access *before = NULL;
    assert_true(access_holder_init(&holder));
    assert_false(access_view_renew(&view, &before));
    access_holder_set(&holder, read_again(f, good));
    assert_true(access_view_renew(&view, &before));
    assert_null(before);
    assert_false(access_view_renew(&view, &before));
    const struct access_peer *shop = access_find(view.access, KEY_A),
                             *board = access_find(view.access, KEY_B);

    access_holder_set(&holder, read_again(f, "peers:\n"
                                             "  - {name: shop, key: " KEY_A ", send: all}\n"
                                             "  - name: board\n"
                                             "    key: " KEY_B "\n"
                                             "    read: [{scorecards: [plant, 'x-*'], orgs: ['', 'a/*']}, "
                                             "{scorecards: [free]}]\n"
                                             "    query: true\n"));
    assert_ptr_equal(access_find(view.access, KEY_A), shop); /* until the thread looks */
    assert_true(access_view_renew(&view, &before));
    assert_non_null(before);
    assert_false(access_same(shop, access_find(view.access, KEY_A)));
    assert_true(access_same(board, access_find(view.access, KEY_B)));
    assert_null(access_find(view.access, KEY_C));
    struct buf differs = {0};
    access_compare(before, view.access, &differs);
    assert_non_null(strstr((const char *)differs.data, "changed shop a0000000"));
    assert_non_null(strstr((const char *)differs.data, "removed board c0000000"));
    assert_null(strstr((const char *)differs.data, "b0000000"));
    buf_free(&differs);
    access_drop(before);
    assert_false(access_view_renew(&open, &before));
    access_view_free(&view);
    access_view_free(&view);
    access_holder_free(&holder);
}

/* So many peers p0, p1, ... with a key each. */
static struct access *read_many(struct fixture *f, int first, int count, const char *more)
{
    struct buf text = {0};
    buf_printf(&text, "peers:\n%s", more);
    for (int i = first; i < first + count; i++)
        buf_printf(&text, "  - {name: p%d, key: %064x, query: true}\n", i, (unsigned)i + 1);
    buf_put_u8(&text, 0);
    struct access *access = read_again(f, (const char *)text.data);
    buf_free(&text);
    return access;
}

static void who_went_is_named_before_hundreds_who_came(void **state)
{
    struct fixture *f = *state;
    struct access *before = read_many(f, 0, 10,
                                      "  - {name: gone, key: " KEY_A ", send: all}\n"
                                      "  - {name: other, key: " KEY_B ", query: true}\n"),
                  *after = read_many(f, 0, 310, "  - {name: other, key: " KEY_B ", read: all}\n");
    struct buf texts = {0};
    size_t count = access_compare(before, after, &texts), added = 0;
    const char *at = (const char *)texts.data,
               first[] = "removed gone a0000000, changed other b0000000, added ";
    assert_true(count > 1);
    assert_memory_equal(at, first, sizeof first - 1);
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1) {
        assert_in_range(strlen(at), 1, ACCESS_COMPARED_MAX);
        assert_int_equal(strncmp(at, ", ", 2) == 0, 0);
        for (const char *one = at; (one = strstr(one, "added p")); one++)
            added++;
    }
    assert_ptr_equal(at, texts.data + texts.length);
    assert_int_equal(added, 300);
    buf_free(&texts);
    assert_int_equal(access_compare(after, after, &texts), 0);
    assert_int_equal(texts.length, 0);
    access_drop(before);
    access_drop(after);
}

/* ---- the audit log ---- */

static int64_t some_time(void *context)
{
    (void)context;
    return 1772323200000;
}

static void expect_audit(struct fixture *f, const char *expected)
{
    struct buf text = {0};
    assert_int_equal(file_read(f->audit, 65536, &text, NULL), POISE_OK);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.data, expected);
    buf_free(&text);
}

static void a_line_for_each_action(void **state)
{
    struct fixture *f = *state;
    const struct clock clock = {.wall_ms = some_time};
    struct action action = {.what = "reload", .result = "done"};
    assert_int_equal(actions_note(f->directory, &clock, &action, NULL), POISE_OK);
    action = (struct action){
        .user = KEY_A, .name = "ops", .what = "restate", .about = "\"a\\b\"\n\xc3\xbc", .result = "begun"};
    assert_int_equal(actions_note(f->directory, &clock, &action, NULL), POISE_OK);
#define REST  "\"what\":\"reload\",\"about\":null,\"result\":\"done\"}\n"
#define FIRST "{\"when\":\"2026-03-01T00:00:00.000Z\",\"who\":null,\"key\":null," REST
#define SECOND                                                                                               \
    "{\"when\":\"2026-03-01T00:00:00.000Z\",\"who\":\"ops\",\"key\":\"a0000000\",\"what\":\"restate\","      \
    "\"about\":\"\\\"a\\\\b\\\"???\",\"result\":\"begun\"}\n"
    expect_audit(f, FIRST SECOND);
    assert_int_equal(truncate(f->audit, (off_t)strlen(FIRST) + 20), 0); /* the power went */
    action = (struct action){.what = "reload", .result = "done"};
    assert_int_equal(actions_note(f->directory, &clock, &action, NULL), POISE_OK);
    expect_audit(f, FIRST "{\"when\":\"2026-03-01T\n" FIRST);
    assert_int_equal(unlink(f->audit), 0);
    action = (struct action){.what = "reload", .about = "a\0b c", .abouts = 2, .result = "done"};
    assert_int_equal(actions_note(f->directory, &clock, &action, NULL), POISE_OK);
#define OF(about)                                                                                            \
    "{\"when\":\"2026-03-01T00:00:00.000Z\",\"who\":null,\"key\":null,\"what\":\"reload\",\"about\":"        \
    "\"" about "\",\"result\":\"done\"}\n"
    expect_audit(f, OF("a") OF("b c"));
    poise_error err;
    assert_int_equal(actions_note("/nowhere/at/all", &clock, &action, &err), POISE_EIO);
    assert_non_null(strstr(err.text, "/nowhere/at/all/audit.jsonl"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_may_what_the_file_says), TEST(all_is_all),
        TEST(mistakes_are_named),          TEST(who_may_write_it_is_its_owner),
        TEST(only_a_regular_file_is_read), TEST(what_keys_lose_is_told),
        TEST(another_file_comes_in_force), TEST(who_went_is_named_before_hundreds_who_came),
        TEST(a_line_for_each_action),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
