#include <model/org.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void valid_orgs(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "plant-1/line-3", "W\xc3\xbcrzburg/Halle 2",
                                       "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p"};
    static const char *const bad[] = {"/",    "/a",    "a/",   "a//b",
                                      " a",   "a ",    "a/ b", "a /b",
                                      "a\tb", "a\xff", "\n",   "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!org_valid(good[i], strlen(good[i])))
            fail_msg("'%s' is valid", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (org_valid(bad[i], strlen(bad[i])))
            fail_msg("'%s' is not valid", bad[i]);
    char name[257];
    memset(name, 'x', sizeof name);
    assert_true(org_valid(name, 255));
    assert_false(org_valid(name, 256));
    assert_false(org_valid("a\0b", 3));
}

static void parents(void **state)
{
    (void)state;
    assert_int_equal(org_parent_length("a/bc/d", 6), 4);
    assert_int_equal(org_parent_length("a/bc", 4), 1);
    assert_int_equal(org_parent_length("abc", 3), 0);
}

static void matches(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *org;
        bool match;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a", "a", true},
        {"a", "ab", false},
        {"*", "", false},
        {"*", "a", true},
        {"*", "a/b", false},
        {"**", "", true},
        {"**", "a", true},
        {"**", "a/b/c", true},
        {"p/**", "p", false},
        {"p/**", "p/a", true},
        {"p/**", "p/a/b", true},
        {"p/**", "pp/a", false},
        {"p/**", "", false},
        {"p/*", "p/a", true},
        {"p/*", "p/a/b", false},
        {"*/b", "a/b", true},
        {"*/b", "b", false},
        {"plant-*", "plant-1", true},
        {"plant-*", "plant-", false},
        {"plant-*/line-*", "plant-1/line-22", true},
        {"*-*", "a-b-c", true},
        {"*-*", "a-", false},
        {"*a*a", "xaxa", true},
        {"*a*a", "aa", false},
        {"*a*a", "xaxaxa", true},
        {"*\xbc*", "x", false},
        {"*aab", "aaaab", true},
        {"*aab", "aab", false},
        {"*ab*ab", "xabab", false},
        {"*ab*ab", "xabxab", true},
        {"ab*ba", "aba", false},
        {"ab*ba", "abba", false},
        {"ab*ba", "abxba", true},
        {"a*", "abc", true},
        {"a*b*", "axb", false},
        {"a*b*", "axbx", true},
        {"a*b", "a/b", false},
        {"W*rzburg", "W\xc3\xbcrzburg", true},
        {"**/b", "b", true},
        {"**/b", "a/b", true},
        {"**/b", "a/a/b", true},
        {"**/b", "a/b/a", false},
        {"**/b", "", false},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "a/x/y", false},
        {"a/**/b/**", "a/b", false},
        {"a/**/b/**", "a/b/c", true},
        {"a/**/b/**", "a/x/b/b", true},
        {"**/x*/**/z", "q/x1/y/x/z", true},
        {"**/x*/**/z", "q/x1/y/x/w", false},
        {"a/**/**", "a/b", true},
        {"a/**/**", "a", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (org_matches(rows[i].glob, rows[i].org) != rows[i].match)
            fail_msg("'%s' and '%s' must%s match", rows[i].glob, rows[i].org, rows[i].match ? "" : " not");
}

static void many_stars_end(void **state)
{
    (void)state;
    const char *glob = "**/a/**/a/**/a/**/a/**/a/**/a/**/a/b";
    assert_true(glob_valid(glob));
    assert_false(org_matches(glob, "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a"));
    char segment[256], stars[128];
    memset(segment, 'a', 255);
    segment[255] = '\0';
    for (size_t i = 0; i < 63; i++)
        memcpy(stars + 2 * i, "*a", 2);
    stars[126] = 'b';
    stars[127] = '\0';
    assert_false(org_matches(stars, segment));
}

static void valid_globs(void **state)
{
    (void)state;
    static const char *const good[] = {"", "*", "**", "a*", "a/**", "**/a", "a-*-b/*"};
    static const char *const bad[] = {"a**", "**a", "***", "a/b**", "a//b", "/", "a/ *", "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!glob_valid(good[i]))
            fail_msg("'%s' is valid", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (glob_valid(bad[i]))
            fail_msg("'%s' is not valid", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_orgs),     cmocka_unit_test(parents),     cmocka_unit_test(matches),
        cmocka_unit_test(many_stars_end), cmocka_unit_test(valid_globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
