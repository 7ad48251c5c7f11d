#include <config/yaml.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct reading {
    struct yaml_tree *tree;
    struct problems problems;
    poise_code code;
};

static struct reading read_length(const char *text, size_t length)
{
    struct reading reading = {0};
    reading.code = yaml_read_bytes("t.yaml", text, length, &reading.tree, &reading.problems);
    return reading;
}

static struct reading read(const char *text)
{
    return read_length(text, strlen(text));
}

static void done(struct reading *reading)
{
    yaml_tree_free(reading->tree);
    problems_free(&reading->problems);
}

/* The text is refused with one problem, there and about that. */
static void assert_problem(const char *text, int line, int column, const char *part)
{
    struct reading reading = read(text);
    assert_int_equal(reading.code, POISE_ECONFIG);
    assert_int_equal(reading.problems.count, 1);
    const struct problem *problem = &reading.problems.items[0];
    if (!strstr(problem->text, part) || problem->line != line || problem->column != column)
        fail_msg("%d:%d: %s", problem->line, problem->column, problem->text);
    done(&reading);
}

static void a_tree_has_marks_and_order(void **state)
{
    (void)state;
    struct reading reading = read("a: 1\nb:\n  - x\n  - 'y'\nc: {d: ''}\n");
    assert_int_equal(reading.code, POISE_OK);
    const struct yaml_node *root = yaml_root(reading.tree);
    assert_int_equal(root->kind, YAML_MAPPING);
    assert_int_equal(root->count, 3);
    const struct yaml_node *list = yaml_get(root, "b");
    assert_int_equal(list->count, 2);
    assert_string_equal(list->key->text, "b");
    assert_int_equal(list->key->line, 2);
    assert_int_equal(list->first->next->line, 4);
    assert_int_equal(list->first->next->column, 5);
    assert_true(list->first->next->quoted);
    assert_false(list->first->quoted);
    assert_null(list->first->next->next);
    assert_null(yaml_get(root, "d"));
    assert_false(yaml_is_null(yaml_get(yaml_get(root, "c"), "d")));
    done(&reading);
}

static void json_is_yaml(void **state)
{
    (void)state;
    struct reading reading = read("{\"a\": [1, 2.5e-3, \"x\", null], \"b\": {}}");
    assert_int_equal(reading.code, POISE_OK);
    assert_int_equal(yaml_get(yaml_root(reading.tree), "a")->count, 4);
    assert_int_equal(yaml_get(yaml_root(reading.tree), "b")->kind, YAML_MAPPING);
    done(&reading);
}

static void null_is_plain(void **state)
{
    (void)state;
    struct reading reading = read("[~, null, '', 'null', nil]");
    const bool expected[] = {true, true, false, false, false};
    const struct yaml_node *item = yaml_root(reading.tree)->first;
    for (size_t i = 0; i < 5; i++, item = item->next)
        assert_int_equal(yaml_is_null(item), expected[i]);
    done(&reading);
    reading = read("# nothing\n");
    assert_int_equal(reading.code, POISE_OK);
    assert_null(yaml_root(reading.tree));
    done(&reading);
}

static void refused_by_name(void **state)
{
    (void)state;
    assert_problem("a: &x 1", 1, 4, "anchors");
    assert_problem("a: !int 1", 1, 4, "tags");
    assert_problem("a: 1\nb: *x", 2, 4, "aliases");
    assert_problem("a: 1\nb: 2\na: 3", 3, 1, "duplicate key 'a': it stands in line 1");
    assert_problem("? [a]\n: 1\n", 1, 3, "a key must be a plain word");
    assert_problem("a: \"x\\0y\"", 1, 4, "zero character");
    assert_problem("a: 1\n---\nb: 2\n", 2, 1, "one document");
}

static void syntax_errors_have_a_place(void **state)
{
    (void)state;
    assert_problem("a: [1,\nb: }", 2, 4, "not YAML");
    assert_problem("a: b: c", 1, 5, "quote a text");
    assert_problem("a: 1\n\tb: 2", 2, 1, "tab");
    assert_problem("a: 1\nb: caf\xff", 2, 7, "UTF-8");
}

static void what_follows_a_refusal_is_read(void **state)
{
    (void)state;
    struct reading reading = read("a: &x 1\nb: *x\na: 2\nc: 3\n");
    assert_int_equal(reading.problems.count, 3);
    assert_non_null(reading.tree);
    assert_string_equal(yaml_get(yaml_root(reading.tree), "a")->text, "1");
    assert_null(yaml_get(yaml_root(reading.tree), "b"));
    assert_string_equal(yaml_get(yaml_root(reading.tree), "c")->text, "3");
    done(&reading);
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    (void)state;
    struct reading reading = read("\xef\xbb\xbf"
                                  "a: 1\n");
    assert_int_equal(reading.code, POISE_OK);
    assert_string_equal(yaml_get(yaml_root(reading.tree), "a")->text, "1");
    assert_int_equal(yaml_get(yaml_root(reading.tree), "a")->column, 4);
    done(&reading);
    assert_problem("\xef\xbb\xbf"
                   "a: [\n",
                   2, 1, "not YAML");
    assert_problem("\xef\xbb\xbf"
                   "a: \xc3(",
                   1, 5, "UTF-8");
}

static void bounds(void **state)
{
    (void)state;
    char deep[40];
    memset(deep, '[', 33);
    memset(deep + 33, '\0', 7);
    assert_problem(deep, 1, 33, "32 deep");

    size_t size = (4 << 20) + 1;
    char *large = malloc(size + 1);
    assert_non_null(large);
    memset(large, ' ', size);
    large[size] = '\0';
    assert_problem(large, 0, 0, "4 MiB: take out what nobody uses");
    large[0] = '[';
    for (size_t i = 1; i < 400010; i += 2) {
        large[i] = '1';
        large[i + 1] = ',';
    }
    large[400010] = ']';
    large[400011] = '\0';
    assert_problem(large, 1, 400000, "200,000 values: take out what nobody uses");
    free(large);

    char keys[1001 * 8 + 1], *at = keys;
    for (int i = 0; i <= 1000; i++)
        at += snprintf(at, 16, "k%d: 1\n", i);
    assert_problem(keys, 1001, 1, "1000 keys");
}

static char *printed(const struct problems *problems)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    problems_print(problems, out);
    fclose(out);
    return text;
}

static void problems_are_printed_by_line(void **state)
{
    (void)state;
    struct problems problems = {0};
    problems_add(&problems, "a", 3, 1, "third");
    problems_add(&problems, "a", 1, 9, "second");
    problems_add(&problems, "a", 1, 2, "first \x1b[2J");
    problems_add(&problems, "b", 0, 0, "whole");
    char *text = printed(&problems);
    assert_string_equal(text, "a:1:2: first ?[2J\na:1:9: second\na:3:1: third\nb: whole\n");
    free(text);
    for (int i = 0; i < 300; i++)
        problems_add(&problems, "b", 1, 1, "more");
    assert_int_equal(problems.count, 304);
    assert_int_equal(problems.kept, 200);
    text = printed(&problems);
    assert_non_null(strstr(text, "and 104 more problems"));
    free(text);
    problems_free(&problems);
}

static void files(void **state)
{
    (void)state;
    struct yaml_tree *tree;
    struct problems problems = {0};
    assert_int_equal(yaml_read_file("/nonexistent/x.yaml", &tree, &problems), POISE_ENOTFOUND);
    assert_null(tree);
    assert_int_equal(problems.count, 1);
    assert_int_equal(problems.items[0].line, 0);
    assert_int_equal(yaml_read_file("/", &tree, &problems), POISE_EIO);
    assert_int_equal(yaml_read_file("/dev/null", &tree, &problems), POISE_OK);
    yaml_tree_free(tree);
    yaml_tree_free(NULL);
    problems_free(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_marks_and_order),
        cmocka_unit_test(json_is_yaml),
        cmocka_unit_test(null_is_plain),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(syntax_errors_have_a_place),
        cmocka_unit_test(what_follows_a_refusal_is_read),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(bounds),
        cmocka_unit_test(problems_are_printed_by_line),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
