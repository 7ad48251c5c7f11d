#include "cli_test.h"
#include <cli/state_text.h>

static void json_has_every_key_in_order(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_state state =
        leaf("acme/customer/loyalty/nps", "Net \"promoter\" \\ score", 0.1, 200.0 / 3, POISE_GREEN);
    state.org = "plant-1/Zürich";
    state.weight = 2;
    state.definition = 7;
    state.revision = 3;
    state.numbers.trend = -1.5;
    state.numbers.uncertain = true;
    state.numbers.flags = POISE_FLAG_STALE | POISE_FLAG_CARRIED;
    state_put_json(&out, &state);
    assert_string_equal(
        text_of(&out),
        "{\"org\":\"plant-1/Zürich\",\"node\":\"acme/customer/loyalty/nps\",\"kind\":\"measure\","
        "\"name\":\"Net \\\"promoter\\\" \\\\ score\","
        "\"period\":[\"2026-03-01T00:00:00.000Z\",\"2026-04-01T00:00:00.000Z\"],\"value\":0.1,"
        "\"attainment\":66.66666666666667,\"score\":66.66666666666667,\"lo\":66.66666666666667,"
        "\"hi\":66.66666666666667,\"coverage\":1,\"filled\":1,\"status\":\"green\",\"uncertain\":true,"
        "\"count\":3,"
        "\"weight\":2,\"trend\":-1.5,\"flags\":[\"carried\",\"stale\"],\"as_of\":\"2026-03-20T00:00:00."
        "000Z\","
        "\"definition\":7,\"revision\":3}");
    buf_free(&out);
}

static void what_is_missing_is_null(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_state state = branch("acme", "Acme", POISE_SCORECARD, NAN, POISE_NO_DATA);
    state_put_json(&out, &state);
    assert_string_equal(
        text_of(&out),
        "{\"org\":\"\",\"node\":\"acme\",\"kind\":\"scorecard\",\"name\":\"Acme\",\"period\":null,"
        "\"value\":null,\"attainment\":null,\"score\":null,\"lo\":0,\"hi\":100,\"coverage\":0,"
        "\"filled\":0,\"status\":\"no_data\",\"uncertain\":false,\"count\":null,\"weight\":1,"
        "\"trend\":null,\"flags\":[],\"as_of\":\"2026-03-20T00:00:00.000Z\",\"definition\":null,"
        "\"revision\":null}");
    buf_free(&out);
}

/* As `poise watch` prints it: what of a state that was asked for is not known is not there. */
static void a_revision_tells_what_it_replaced_and_why(void **unused)
{
    (void)unused;
    static const struct {
        double replaced;
        const char *end;
    } cases[] = {{62.5, "\"revision\":2,\"replaced\":62.5,\"cause\":9007199254740993}"},
                 {0, "\"revision\":2,\"replaced\":0,\"cause\":9007199254740993}"},
                 {NAN, "\"revision\":2,\"replaced\":null,\"cause\":9007199254740993}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        poise_state state = branch("acme", "Acme", POISE_SCORECARD, 50, POISE_AMBER);
        state.revision = 2;
        state.replaced = cases[i].replaced;
        state.cause = UINT64_C(9007199254740993);
        state_put_json(&out, &state);
        const char *text = text_of(&out);
        assert_string_equal(strstr(text, "\"revision\""), cases[i].end);
        assert_non_null(strstr(text, "\"as_of\":\"2026-03-20T00:00:00.000Z\""));
        buf_free(&out);
    }
}

static void csv_quotes_and_leaves_gaps(void **unused)
{
    (void)unused;
    struct buf out = {0};
    poise_state state = leaf("acme/a/b/c", "Cost, \"net\"", 1e100, 12.5, POISE_RED);
    state.numbers.flags = POISE_FLAG_CAPPED | POISE_FLAG_IMPUTED | POISE_FLAG_OVERFLOW;
    state_put_csv_header(&out);
    state_put_csv(&out, &state);
    state = branch("acme", "Acme", POISE_SCORECARD, NAN, POISE_NO_DATA);
    state_put_csv(&out, &state);
    assert_string_equal(
        text_of(&out),
        "org,node,kind,name,period,value,attainment,score,lo,hi,coverage,filled,status,uncertain,"
        "count,weight,trend,flags,as_of,definition,revision\n"
        ",acme/a/b/c,measure,\"Cost, \"\"net\"\"\",2026-03-01T00:00:00.000Z/2026-04-01T00:00:00.000Z,"
        "1e+100,12.5,12.5,12.5,12.5,1,1,red,false,3,1,,capped imputed overflow,"
        "2026-03-20T00:00:00.000Z,,\n"
        ",acme,scorecard,Acme,,,,,0,100,0,0,no_data,false,,1,,,2026-03-20T00:00:00.000Z,,\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_every_key_in_order),
        cmocka_unit_test(what_is_missing_is_null),
        cmocka_unit_test(a_revision_tells_what_it_replaced_and_why),
        cmocka_unit_test(csv_quotes_and_leaves_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
