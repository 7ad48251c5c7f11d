#include <base/arena.h>
#include <config/settings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct target {
    const char *text, *id;
    int64_t count, wait_ms, bytes;
    double share;
    bool on;
    int colour;
    struct texts tags;
    const struct yaml_node *rest;
};
#define AT(field) .offset = offsetof(struct target, field)

static const char *const colours[] = {"red", "amber", "green", NULL};
static const struct setting table[] = {
    {.name = "text", .type = SETTING_TEXT, AT(text), .max = 8, .fallback = "", .text = "a text"},
    {.name = "id", .type = SETTING_ID, AT(id), .required = true, .text = "a name"},
    {.name = "count",
     .type = SETTING_INT,
     AT(count),
     .min = 1,
     .max = 9,
     .fallback = "3",
     .text = "how many"},
    {.name = "wait",
     .type = SETTING_DURATION,
     AT(wait_ms),
     .min = 1000,
     .max = 90000,
     .fallback = "5s",
     .text = "t"},
    {.name = "bytes",
     .type = SETTING_SIZE,
     AT(bytes),
     .min = 1,
     .max = 1 << 30,
     .fallback = "64KiB",
     .text = "s"},
    {.name = "share", .type = SETTING_REAL, AT(share), .max = 1, .text = "part"},
    {.name = "on", .type = SETTING_BOOL, AT(on), .fallback = "true", .text = "b"},
    {.name = "colour",
     .type = SETTING_CHOICE,
     AT(colour),
     .choices = colours,
     .fallback = "amber",
     .text = "c"},
    {.name = "tags", .type = SETTING_TEXTS, AT(tags), .text = "words"},
    {.name = "rest", .type = SETTING_NODE, AT(rest), .unit = "anything", .text = "rest"},
};
enum { ROWS = sizeof table / sizeof *table };

static bool later(const char *key, const char *word)
{
    return key ? strcmp(key, "colour") == 0 && strcmp(word, "violet") == 0 : strcmp(word, "sound") == 0;
}

struct reading {
    struct arena arena;
    struct problems problems;
    struct yaml_tree *tree;
    struct target target;
};

static void read(struct reading *reading, const char *text)
{
    *reading = (struct reading){.target = {.share = 0.25}};
    assert_int_equal(yaml_read_bytes("t", text, strlen(text), &reading->tree, &reading->problems), POISE_OK);
    struct reader reader = {
        .tree = reading->tree, .problems = &reading->problems, .arena = &reading->arena, .is_later = later};
    settings_read(&reader, table, ROWS, yaml_root(reading->tree), &reading->target);
}

static void done(struct reading *reading)
{
    yaml_tree_free(reading->tree);
    problems_free(&reading->problems);
    arena_free(&reading->arena);
}

static void assert_problem(const char *text, int line, int column, const char *part)
{
    struct reading reading;
    read(&reading, text);
    assert_int_equal(reading.problems.count, 1);
    const struct problem *problem = &reading.problems.items[0];
    if (!strstr(problem->text, part) || problem->line != line || problem->column != column)
        fail_msg("%d:%d: %s", problem->line, problem->column, problem->text);
    done(&reading);
}

static void defaults(void **state)
{
    (void)state;
    struct reading reading;
    read(&reading, "id: x");
    assert_int_equal(reading.problems.count, 0);
    assert_string_equal(reading.target.text, "");
    assert_int_equal(reading.target.count, 3);
    assert_int_equal(reading.target.wait_ms, 5000);
    assert_int_equal(reading.target.bytes, 65536);
    assert_true(reading.target.on);
    assert_int_equal(reading.target.colour, 1);
    assert_true(reading.target.share == 0.25);
    assert_null(reading.target.rest);
    done(&reading);
}

static void values(void **state)
{
    (void)state;
    struct reading reading;
    read(&reading,
         "{\"id\": \"a.B-9_\", \"text\": \"n 1\", \"count\": 9, \"wait\": \"1m\", \"bytes\": \"1MiB\","
         "\"share\": 1e-3, \"on\": false, \"colour\": \"green\", \"tags\": [a, \"\"], \"rest\": {}}");
    assert_int_equal(reading.problems.count, 0);
    assert_string_equal(reading.target.id, "a.B-9_");
    assert_string_equal(reading.target.text, "n 1");
    assert_int_equal(reading.target.count, 9);
    assert_int_equal(reading.target.wait_ms, 60000);
    assert_int_equal(reading.target.bytes, 1048576);
    assert_true(reading.target.share == 1e-3);
    assert_false(reading.target.on);
    assert_int_equal(reading.target.colour, 2);
    assert_int_equal(reading.target.tags.count, 2);
    assert_string_equal(reading.target.tags.items[1], "");
    assert_int_equal(reading.target.rest->kind, YAML_MAPPING);
    done(&reading);
    read(&reading, "id: 7\ntags: one\nbytes: 4096\n");
    assert_int_equal(reading.problems.count, 0);
    assert_string_equal(reading.target.id, "7");
    assert_int_equal(reading.target.tags.count, 1);
    assert_int_equal(reading.target.bytes, 4096);
    done(&reading);
}

static void keys(void **state)
{
    (void)state;
    assert_problem("count: 2", 1, 1, "'id' is missing: a name");
    assert_problem("id: x\ncuont: 2", 2, 1, "unknown key 'cuont'; did you mean 'count'?");
    assert_problem("id: x\nzzz: 2", 2, 1, "unknown key 'zzz'; known here: text, id,");
    assert_problem("id: x\nsound: 2", 2, 1, "not supported by this version yet: 'sound'");
    assert_problem("[id]", 1, 1, "this item must be a mapping");
}

static void a_setting_needs_no_text(void **state)
{
    (void)state;
    static const struct setting bare[] = {{.name = "id", .type = SETTING_ID, AT(id), .required = true}};
    struct reading reading;
    read(&reading, "id: x");
    struct reader reader = {.tree = reading.tree, .problems = &reading.problems, .arena = &reading.arena};
    settings_read(&reader, bare, 1, NULL, &reading.target);
    assert_int_equal(reading.problems.count, 1);
    assert_string_equal(reading.problems.items[0].text, "the key 'id' is missing");
    done(&reading);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    settings_document(bare, 1, out);
    fclose(out);
    assert_null(strstr(text, "null"));
    free(text);
}

static void wrong_values(void **state)
{
    (void)state;
    assert_problem("id: a b", 1, 5, "must be an id");
    assert_problem("id: ''", 1, 5, "must be an id");
    assert_problem("id: x\ntext: 123456789", 2, 7, "0 to 8 bytes long, not 9");
    assert_problem("id: x\ntext: \"a\\nb\"", 2, 7, "one line");
    assert_problem("id: x\ntext:", 2, 6, "has no value");
    assert_problem("id: x\ntext: [a]", 2, 7, "must be a text, not a list");
    assert_problem("id: x\ncount: 10", 2, 8, "'count' must be from 1 to 9, not 10");
    assert_problem("id: x\ncount: 1.5", 2, 8, "a whole number, not '1.5'");
    assert_problem("id: x\ncount: '1'", 2, 8, "take the quotes away");
    assert_problem("id: x\nshare: -0.1", 2, 8, "from 0 to 1");
    assert_problem("id: x\nshare: .nan", 2, 8, "must be a number");
    assert_problem("id: x\nshare: 1e-101", 2, 8, "1e-100");
    assert_problem("id: x\nwait: 500ms", 2, 7, "from 1s to 90s, not 500ms");
    assert_problem("id: x\nwait: 5", 2, 7, "a duration such as");
    assert_problem("id: x\nbytes: 2GiB", 2, 8, "from 1 to 1073741824");
    assert_problem("id: x\nbytes: 1MB", 2, 8, "a size such as");
    assert_problem("id: x\nbytes: 9999999999999TiB", 2, 8, "a size such as");
    assert_problem("id: x\non: yes", 2, 5, "true or false, not 'yes'");
    assert_problem("id: x\ncolour: gren", 2, 9, "red, amber or green, not 'gren'; did you mean 'green'?");
    assert_problem("id: x\ncolour: violet", 2, 9, "not supported by this version yet: colour 'violet'");
    assert_problem("id: x\ntags: {a: 1}", 2, 7, "list of texts");
    assert_problem("id: x\ntags: [a, [b]]", 2, 11, "this item must be a text");
}

static void all_problems_in_one_run(void **state)
{
    (void)state;
    struct reading reading;
    read(&reading, "on: 1\ncount: x\nshare: 2\ncolour: 5\n");
    assert_int_equal(reading.problems.count, 5);
    done(&reading);
}

static void nearest(void **state)
{
    (void)state;
    assert_string_equal(nearest_word("amer", colours), "amber");
    assert_string_equal(nearest_word("rde", colours), "red");
    assert_string_equal(nearest_word("GREEN", colours), "green");
    static const char *const forms[] = {"farms", "from", NULL}; /* a swap is one mistake */
    assert_string_equal(nearest_word("form", forms), "from");
    assert_null(nearest_word("x", colours));
    assert_null(nearest_word("", colours));
    assert_null(nearest_word("something", colours));
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(nearest_word(longest, colours));
}

static void the_table_is_its_documentation(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    settings_document(table, ROWS, out);
    fclose(out);
    assert_non_null(strstr(text, "| `id` | id | required | a name |\n"));
    assert_non_null(strstr(text, "| `count` | whole number 1 to 9 | `3` | how many |\n"));
    assert_non_null(strstr(text, "| `colour` | `red`, `amber`, `green` | `amber` | c |\n"));
    assert_non_null(strstr(text, "| `text` | text | `''` | a text |\n"));
    assert_non_null(strstr(text, "| `rest` | anything | | rest |\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(keys),
        cmocka_unit_test(a_setting_needs_no_text),
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(nearest),
        cmocka_unit_test(all_problems_in_one_run),
        cmocka_unit_test(the_table_is_its_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
