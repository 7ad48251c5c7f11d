#include "cli_test.h"
#include <cli/printer.h>
#include <stdio.h>
#include <stdlib.h>

/* What the printer writes for some states; the caller frees it. */
static char *print(enum output_format format, const poise_state *states, size_t count)
{
    static const struct table_style style = {.columns = 80, .utf8 = true};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    struct printer *printer = printer_open(format, &style, out);
    assert_non_null(printer);
    for (size_t i = 0; i < count; i++) {
        /* as the library gives it: texts live only during the call */
        char *node = strdup(states[i].node), *org = strdup(states[i].org);
        poise_state state = states[i];
        state.node = node;
        state.org = org;
        assert_int_equal(printer_state(printer, &state), POISE_OK);
        free(node);
        free(org);
    }
    assert_int_equal(printer_end(printer), POISE_OK);
    printer_close(printer);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void check(enum output_format format, const poise_state *states, size_t count, const char *wanted)
{
    char *text = print(format, states, count);
    assert_string_equal(text, wanted);
    free(text);
}

static void nothing_is_still_well_formed(void **unused)
{
    (void)unused;
    check(OUTPUT_JSON, NULL, 0, "[\n]\n");
    check(OUTPUT_TABLE, NULL, 0, "");
    check(OUTPUT_CSV, NULL, 0,
          "org,node,kind,name,period,value,attainment,score,lo,hi,coverage,filled,status,uncertain,count,"
          "weight,"
          "trend,flags,as_of,definition,revision\n");
}

static void objects_are_apart(void **unused)
{
    (void)unused;
    const poise_state states[] = {branch("a", "A", POISE_SCORECARD, 1, POISE_RED),
                                  branch("b", "B", POISE_SCORECARD, 2, POISE_RED)};
    char *text = print(OUTPUT_JSON, states, 2);
    assert_memory_equal(text, "[\n{\"org\":\"\",\"node\":\"a\"", 22);
    assert_non_null(strstr(text, "},\n{\"org\":\"\",\"node\":\"b\""));
    assert_string_equal(text + strlen(text) - 4, "}\n]\n");
    free(text);
}

static void a_table_for_each_card_org_and_time(void **unused)
{
    (void)unused;
    poise_state states[] = {
        branch("a", "A", POISE_SCORECARD, 1, POISE_RED), branch("a/x", "X", POISE_PERSPECTIVE, 2, POISE_RED),
        branch("a", "A", POISE_SCORECARD, 3, POISE_RED), branch("ab", "AB", POISE_SCORECARD, 4, POISE_RED),
        branch("ab", "AB", POISE_SCORECARD, 5, POISE_RED)};
    states[2].org = states[3].org = states[4].org = "plant-1";
    states[4].as_of_ms++;
    char *text = print(OUTPUT_TABLE, states, 5);
    size_t tables = 0;
    for (const char *at = text; (at = strstr(at, "as of ")); at++) {
        tables++;
    }
    assert_int_equal(tables, 4);
    assert_non_null(strstr(text, "\n\nplant-1 "));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_still_well_formed),
        cmocka_unit_test(objects_are_apart),
        cmocka_unit_test(a_table_for_each_card_org_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
