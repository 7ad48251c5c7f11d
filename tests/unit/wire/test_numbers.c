/* Reasons and codes are declared twice: for C in include/poise, for every other language in the schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poise.pb-c.h>
#include <poise/error.h>
#include <poise/types.h>

struct number {
    const char *name;
    int value;
};

static void same(const ProtobufCEnumDescriptor *schema, const struct number *numbers, size_t count)
{
    assert_int_equal(schema->n_values, count);
    for (size_t i = 0; i < count; i++) {
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(schema, numbers[i].value);
        assert_non_null(value);
        assert_string_equal(value->name, numbers[i].name);
    }
}
#define SAME(schema, numbers) same(schema, numbers, sizeof(numbers) / sizeof *(numbers))

static void reasons_of_refusals_agree(void **state)
{
    (void)state;
#define NUMBER(name, number, text) {"REASON_" #name, number},
    static const struct number reasons[] = {POISE_REFUSALS(NUMBER)};
#undef NUMBER
    SAME(&poise__v1__reason__descriptor, reasons);
}

static void codes_agree(void **state)
{
    (void)state;
#define NUMBER(name, number, text) {"CODE_" #name, number},
    static const struct number codes[] = {POISE_ERRORS(NUMBER)};
#undef NUMBER
    SAME(&poise__v1__code__descriptor, codes);
}

static void kinds_and_statuses_agree(void **state)
{
    (void)state;
    static const struct number kinds[] = {{"SCORECARD", POISE_SCORECARD},
                                          {"PERSPECTIVE", POISE_PERSPECTIVE},
                                          {"OBJECTIVE", POISE_OBJECTIVE},
                                          {"MEASURE", POISE_MEASURE}};
    static const struct number statuses[] = {
        {"NO_DATA", POISE_NO_DATA}, {"RED", POISE_RED}, {"AMBER", POISE_AMBER}, {"GREEN", POISE_GREEN}};
    SAME(&poise__v1__kind__descriptor, kinds);
    SAME(&poise__v1__status__descriptor, statuses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_of_refusals_agree),
        cmocka_unit_test(codes_agree),
        cmocka_unit_test(kinds_and_statuses_agree),
    };
    return cmocka_run_group_tests_name("wire_numbers", tests, NULL, NULL);
}
