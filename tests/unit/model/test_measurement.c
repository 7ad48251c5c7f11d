#include <ctype.h>
#include <math.h>
#include <model/calendar.h>
#include <model/measurement.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const poise_measurement usual = {
    .measure = "m", .org = "a/b", .source = "s", .key = "k", .time_ms = 0, .value = 1, .of = 1, .seq = 7};

static void accepted(void **state)
{
    (void)state;
    poise_measurement row = usual;
    assert_int_equal(measurement_check(&row), POISE_REFUSAL_NONE);
    row.org = row.source = row.key = NULL;
    assert_int_equal(measurement_check(&row), POISE_REFUSAL_NONE);
    row.time_ms = TIME_MIN_MS;
    row.value = -1e100;
    row.of = 0;
    assert_int_equal(measurement_check(&row), POISE_REFUSAL_NONE);
    row.time_ms = TIME_MAX_MS;
    row.value = 1e-100;
    row.of = -1;
    assert_int_equal(measurement_check(&row), POISE_REFUSAL_NONE);
    row = usual;
    row.retract = true;
    row.value = row.of = NAN;
    row.time_ms = INT64_MAX;
    assert_int_equal(measurement_check(&row), POISE_REFUSAL_NONE);
}

static void refused(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const char *name_65 = name + 299 - 65, *name_128 = name + 299 - 128, *name_256 = name + 299 - 256;
    poise_measurement row;
#define REFUSED(field, wrong, why)                                                                           \
    row = usual;                                                                                             \
    row.field = wrong;                                                                                       \
    assert_int_equal(measurement_check(&row), POISE_REFUSAL_##why)
    REFUSED(measure, NULL, MEASURE_NAME);
    REFUSED(measure, "", MEASURE_NAME);
    REFUSED(measure, "a b", MEASURE_NAME);
    REFUSED(measure, name_65, MEASURE_NAME);
    REFUSED(org, "a//b", ORG);
    REFUSED(org, "\xc3", ORG);
    REFUSED(org, name_256, ORG);
    REFUSED(source, name_128, SOURCE);
    REFUSED(source, "\x01", SOURCE);
    REFUSED(key, "", KEY);
    REFUSED(key, name_256, KEY);
    REFUSED(key, "\xff", KEY);
    REFUSED(time_ms, TIME_MIN_MS - 1, TIME_RANGE);
    REFUSED(time_ms, TIME_MAX_MS + 1, TIME_RANGE);
    REFUSED(value, NAN, VALUE);
    REFUSED(value, INFINITY, VALUE);
    REFUSED(value, 1.1e100, VALUE);
    REFUSED(value, -1e-101, VALUE);
    REFUSED(of, NAN, OF);
    REFUSED(seq, (UINT64_C(1) << 62) + 1, SEQ_RANGE);
#undef REFUSED
    row = usual;
    row.key = NULL;
    row.retract = true;
    assert_int_equal(measurement_check(&row), POISE_REFUSAL_RETRACT_KEY);
}

static void names_are_those_of_the_macro(void **state)
{
    (void)state;
    static const char *const macro_names[] = {
#define MACRO_NAME(name, number, text) [number] = #name,
        POISE_REFUSALS(MACRO_NAME)
#undef MACRO_NAME
    };
    for (int i = 0; i < POISE_REFUSAL_COUNT; i++) {
        char lower[40] = "";
        for (size_t c = 0; macro_names[i][c]; c++)
            lower[c] = (char)tolower((unsigned char)macro_names[i][c]);
        assert_string_equal(poise_refusal_name((poise_refusal)i), lower);
        assert_true(strlen(poise_refusal_text((poise_refusal)i)) > 5);
    }
    assert_string_equal(poise_refusal_name((poise_refusal)POISE_REFUSAL_COUNT), "unknown");
    assert_non_null(poise_refusal_text((poise_refusal)-1));
    assert_string_equal(poise_kind_name(POISE_OBJECTIVE), "objective");
    assert_string_equal(poise_kind_name((poise_kind)9), "unknown");
    assert_string_equal(poise_status_name(POISE_NO_DATA), "no_data");
    assert_string_equal(poise_status_name(POISE_GREEN), "green");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(names_are_those_of_the_macro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
