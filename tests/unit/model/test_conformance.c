/* The definitions of the shared conformance data are read, or refused only for what this version lacks. */
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

/* How many problems; all must be of one kind. */
static size_t assert_only_later(const char *name, const struct problems *problems)
{
    for (size_t i = 0; i < problems->kept; i++)
        if (strncmp(problems->items[i].text, "not supported by this version yet: ", 35) != 0)
            fail_msg("%s:%d: %s", name, problems->items[i].line, problems->items[i].text);
    return problems->count;
}

static bool is_read(const char *name, const json_t *definition)
{
    char *text = json_dumps(definition, JSON_INDENT(1));
    assert_non_null(text);
    struct scorecard *card = NULL;
    struct problems problems = {0};
    poise_code code = scorecard_read_bytes(name, text, strlen(text), &card, &problems);
    size_t count = assert_only_later(name, &problems);
    assert_int_equal(code, count == 0 ? POISE_OK : POISE_ECONFIG);
    scorecard_free(card);
    problems_free(&problems);
    free(text);
    return count == 0;
}

static void vectors(void **state)
{
    (void)state;
    skip_without(CONFORMANCE "vectors.json");
    json_error_t error;
    json_t *file = json_load_file(CONFORMANCE "vectors.json", 0, &error);
    assert_non_null(file);
    size_t at, read = 0;
    json_t *item;
    json_array_foreach(json_object_get(file, "cases"), at, item) read +=
        is_read(json_string_value(json_object_get(item, "name")), json_object_get(item, "scorecard"));
    print_message("%zu of %zu definitions are read\n", read, at);
    assert_true(read >= 60);
    json_decref(file);
}

static void reference(void **state)
{
    (void)state;
    skip_without(CONFORMANCE "reference.yaml");
    struct scorecard *card = NULL;
    struct problems problems = {0};
    poise_code code = scorecard_read_file(CONFORMANCE "reference.yaml", &card, &problems);
    assert_int_equal(code, POISE_ECONFIG);
    assert_int_equal(assert_only_later("reference.yaml", &problems), 14);
    problems_free(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors), cmocka_unit_test(reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
