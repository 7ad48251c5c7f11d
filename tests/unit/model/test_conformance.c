/* The definitions of the shared conformance data are read; only locks and retention are refused by name. */
#include <base/buf.h>
#include <jansson.h>
#include <model/scorecard.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CONFORMANCE POISE_SOURCE_DIR "/../shared/conformance/"

static void skip_without(const char *path)
{
    if (access(path, R_OK) != 0) {
        print_message("skipped: %s is absent\n", path);
        skip();
    }
}

static struct scorecard *read_card(const char *name, const char *text, size_t length)
{
    struct scorecard *card = NULL;
    struct problems problems = {0};
    if (scorecard_read_bytes(name, text, length, &card, &problems) != POISE_OK) {
        problems_print(&problems, stderr);
        fail_msg("%s is refused", name);
    }
    problems_free(&problems);
    return card;
}

static void vectors(void **state)
{
    (void)state;
    skip_without(CONFORMANCE "vectors.json");
    json_error_t error;
    json_t *file = json_load_file(CONFORMANCE "vectors.json", 0, &error);
    assert_non_null(file);
    size_t at;
    json_t *item;
    json_array_foreach(json_object_get(file, "cases"), at, item)
    {
        char *text = json_dumps(json_object_get(item, "scorecard"), JSON_INDENT(1));
        assert_non_null(text);
        scorecard_free(read_card(json_string_value(json_object_get(item, "name")), text, strlen(text)));
        free(text);
    }
    assert_true(at >= 100);
    json_decref(file);
}

static void reference(void **state)
{
    (void)state;
    skip_without(CONFORMANCE "reference.yaml");
    struct problems problems = {0};
    struct buf text = {0};
    assert_int_equal(yaml_load(CONFORMANCE "reference.yaml", &text, &problems), POISE_OK);
    struct scorecard *card = read_card("reference.yaml", (const char *)text.data, text.length);
    assert_int_equal(card->node_count, 24);
    scorecard_free(card);
    buf_free(&text);
    problems_free(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors), cmocka_unit_test(reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
