#include "base_test.h"
#include <base/text.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(s) s, sizeof s - 1

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "plain ~",
                                       "Gr\xc3\xbc\xc3\x9f",
                                       "\xc2\xa0",
                                       "\xe2\x82\xac",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"a\tb",
                                      "\x1f",
                                      "\x7f",
                                      "\x80",
                                      "\xc3",
                                      "\xc3(",
                                      "\xc0\xaf",
                                      "\xc1\xbf",
                                      "\xe0\x80\xaf",
                                      "\xe2\x82",
                                      "\xe2\x82(",
                                      "\xc2\x9b",
                                      "\xc2\x85",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(utf8_printable(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(utf8_printable(bad[i], strlen(bad[i])));
    }
    assert_false(utf8_printable(TEXT("a\0b")));
    assert_false(utf8_printable("\xe2\x82\xac", 2)); /* does not look beyond the length */
    char text[] = "Gr\xc3\xbc\xc3 \x1b[m \xc2\x9b \xe2\x82\xac\xe2\x82";
    utf8_disarm(text);
    assert_string_equal(text, "Gr\xc3\xbc? ?[m ?? \xe2\x82\xac??");
    assert_int_equal(utf8_columns("Gr\xc3\xbc\xc3\x9f"), 4);
    assert_int_equal(utf8_prefix("Gr\xc3\xbc\xc3\x9f", 3), 4);
    assert_int_equal(utf8_prefix("Gr\xc3\xbc\xc3\x9f", 0), 0);
    assert_int_equal(utf8_prefix("Gr\xc3\xbc\xc3\x9f", 99), 6);
}

static void test_parse_double_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      " 1",
                                      "1 ",    "+",
                                      "-",     ".",
                                      "e5",    "1e",
                                      "1e+",   "1.2.3",
                                      "0x10",  "inf",
                                      "nan",   "1,5",
                                      "--1",   "1e5x",
                                      "1e1.",  "infinity",
                                      "1e999", "-1e999",
                                      "1_0",   "1e400000000000000000000"};
    double value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse_double(bad[i], strlen(bad[i]), &value));
    }
    assert_false(parse_double(TEXT("1\0"), &value));
    char wide[NUMBER_DIGITS_MAX + 1];
    memset(wide, '0', sizeof wide);
    assert_false(parse_double(wide, sizeof wide, &value));
    assert_true(value == 7);
    assert_true(parse_double(wide, sizeof wide - 1, &value));
    assert_true(value == 0);
}

static void same_as_strtod(const char *text)
{
    double value;
    double expected = strtod(text, NULL);
    if (!parse_double(text, strlen(text), &value) || memcmp(&value, &expected, sizeof value) != 0) {
        fail_msg("%s is not read as strtod reads it", text);
    }
}

static void test_parse_double_is_nearest(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "-0",
                                        "+2",
                                        "007",
                                        ".5",
                                        "5.",
                                        "-1.5e3",
                                        "1E-2",
                                        "0.1",
                                        "12345.678",
                                        "9007199254740992",
                                        "9007199254740993",
                                        "9007199254740993.0000000000000000001",
                                        "1e22",
                                        "1e23",
                                        "123456789e22",
                                        "1e-22",
                                        "3e-23",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "1844674407370955161.59",
                                        "1e-400",
                                        "5e-324",
                                        "2.2250738585072011e-308",
                                        "1.7976931348623157e308",
                                        "0.000000000000000000000000000000001e33",
                                        "100000000000000000000000000000000000",
                                        "8.5e00000000000000001",
                                        "1e-99999999999",
                                        "0.500000000000000166533453693773481063544750213623046875"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        same_as_strtod(texts[i]);
    }
    uint64_t seed = 3;
    for (int i = 0; i < 100000; i++) {
        char text[64];
        uint64_t bits = next_random(&seed);
        uint64_t digits = next_random(&seed) >> (next_random(&seed) % 64);
        int exponent = (int)(next_random(&seed) % 60) - 30;
        double real;
        memcpy(&real, &bits, sizeof real);
        snprintf(text, sizeof text, "%s%llu.%llue%d", bits % 2 ? "-" : "", (unsigned long long)digits,
                 (unsigned long long)(bits % 1000000 >> bits % 20), exponent);
        same_as_strtod(text);
        if (isfinite(real)) {
            snprintf(text, sizeof text, "%.*g", (int)(digits % 21), real);
            double rounded = strtod(text, NULL);
            if (isfinite(rounded)) { /* fewer digits can round beyond DBL_MAX */
                same_as_strtod(text);
            }
        }
    }
}

static void test_parse_int64(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      "1.0",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999"};
    int64_t value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse_int64(bad[i], strlen(bad[i]), &value));
    }
    assert_true(value == 7);
    assert_true(parse_int64(TEXT("-9223372036854775808"), &value) && value == INT64_MIN);
    assert_true(parse_int64(TEXT("9223372036854775807"), &value) && value == INT64_MAX);
    assert_true(parse_int64(TEXT("+0042"), &value) && value == 42);
    assert_true(parse_int64(TEXT("-0"), &value) && value == 0);
}

static void formats_as(double value, const char *expected)
{
    char text[NUMBER_TEXT_MAX];
    size_t length = format_double(value, text);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
}

static void test_format_double(void **state)
{
    (void)state;
    formats_as(0, "0");
    formats_as(-0.0, "0");
    formats_as(0.1, "0.1");
    formats_as(0.1 + 0.2, "0.30000000000000004");
    formats_as(1e100, "1e+100");
    formats_as(999999999999999, "999999999999999");
    formats_as(-100000, "-100000");
    formats_as(1e15, "1e+15");
    formats_as(-DBL_MAX, "-1.7976931348623157e+308");
    formats_as(2.0 / 3, "0.6666666666666666");
    uint64_t seed = 4;
    for (int i = 0; i < 30000; i++) {
        uint64_t bits = next_random(&seed);
        double value, again;
        memcpy(&value, &bits, sizeof value);
        char text[NUMBER_TEXT_MAX];
        if (isfinite(value)) {
            size_t length = format_double(value, text);
            assert_true(parse_double(text, length, &again) && again == value);
        }
    }
}

/* A host that has set a locale with a decimal comma must not change what we read and write. */
static void test_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < sizeof locales / sizeof *locales && !found; i++) {
        found = setlocale(LC_ALL, locales[i]) != NULL;
    }
    if (!found) {
        skip(); /* no such locale on this machine */
    }
    double value;
    formats_as(2.5, "2.5");
    assert_true(parse_double(TEXT("2.50000000000000000000000"), &value) && value == 2.5);
    assert_false(parse_double(TEXT("2,5"), &value));
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_parse_double_refuses),
        cmocka_unit_test(test_parse_double_is_nearest),
        cmocka_unit_test(test_parse_int64),
        cmocka_unit_test(test_format_double),
        cmocka_unit_test(test_locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
