#include <base/text.h>
#include <collector/config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                                 \
    "producer: p\naggregator: tcp://127.0.0.1:1\nspool: s\ndead_letters: d\nsources:\n"                      \
    "  - csv: {path: f.csv, columns: [id, at, done, a, b, word, line, span]}\n"                              \
    "    missing: ['?', 'n/a']\n"                                                                            \
    "    time: {column: at, format: '%Y-%m-%d %H:%M'}\n"
#define TIME    "2020-01-02 03:04"
#define TIME_MS INT64_C(1577934240000)

/* A configuration and what it makes of one row. */
struct fixture {
    struct collector_config *config;
    struct arena scratch;
    struct mapped mapped;
    enum row_fault fault;
    poise_error err;
    poise_code code;
};

static void configure(struct fixture *fixture, const char *text)
{
    struct problems problems = {0};
    *fixture = (struct fixture){0};
    poise_code code = config_read_bytes("c.yaml", text, strlen(text), &fixture->config, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    assert_int_equal(code, POISE_OK);
    arena_init(&fixture->scratch, 0);
}

static void release(struct fixture *fixture)
{
    config_free(fixture->config);
    arena_free(&fixture->scratch);
}

static poise_code apply(struct fixture *fixture, const char *row)
{
    const struct source_config *source = &fixture->config->sources[0];
    struct csv_reader *reader = csv_open(source->delimiter);
    struct csv_record record;
    struct csv_field cells[COLUMNS_MAX];
    struct binding binding;
    assert_non_null(reader);
    assert_int_equal(csv_feed(reader, row, strlen(row)), POISE_OK);
    assert_true(csv_next(reader, true, &record));
    assert_int_equal(config_bind(source, &binding, &fixture->err), POISE_OK);
    size_t wanted = mapping_columns(source->mapping)->count;
    assert_int_equal(binding_cells(&binding, wanted, &record, cells, &fixture->err), POISE_OK);
    arena_reset(&fixture->scratch);
    fixture->code = mapping_apply(source->mapping, cells, &fixture->scratch, &fixture->mapped,
                                  &fixture->fault, &fixture->err);
    csv_close(reader);
    return fixture->code;
}

static const poise_measurement *one(struct fixture *fixture, const char *row)
{
    if (apply(fixture, row) != POISE_OK) {
        fail_msg("'%s': %s", row, fixture->err.text);
    }
    assert_int_equal(fixture->mapped.count, 1);
    return &fixture->mapped.items[0];
}

static void refused(struct fixture *fixture, const char *row, enum row_fault fault, const char *reason)
{
    if (apply(fixture, row) != POISE_EREFUSED) {
        fail_msg("'%s' is not refused", row);
    }
    if (strcmp(fixture->err.text, reason) != 0) {
        fail_msg("'%s' is not '%s'", fixture->err.text, reason);
    }
    assert_int_equal(fixture->fault, fault);
}

static void test_names(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture,
              HEAD "    org: 'shop/{line}'\n    source: 'mes {{1}}'\n    key: '{id}-{word}'\n    seq: b\n"
                   "    measurements: [{measure: m, value: 1}]\n");
    const poise_measurement *item = one(&fixture, "c1," TIME ",,,7,w,Machine 4,");
    assert_string_equal(item->measure, "m");
    assert_string_equal(item->org, "shop/Machine 4");
    assert_string_equal(item->source, "mes {1}");
    assert_string_equal(item->key, "c1-w");
    assert_int_equal(item->seq, 8);
    assert_int_equal(item->time_ms, TIME_MS);
    assert_true(item->value == 1 && item->of == 1 && !item->retract);
    assert_int_equal(one(&fixture, "c1," TIME ",,,0,w,x,")->seq, 1);
    assert_true(one(&fixture, "c1," TIME ",,,4611686018427387903,w,x,")->seq == UINT64_C(1) << 62);
    refused(&fixture, "c1," TIME ",,,4611686018427387904,w,x,", FAULT_RULE, "measure m: seq is above 2^62");
    refused(&fixture, "c1," TIME ",,,9223372036854775807,w,x,", FAULT_RULE, "measure m: seq is above 2^62");
    assert_string_equal(one(&fixture, "c1," TIME ",,,7,w,R/D/x,")->org, "shop/R_D_x");
    assert_string_equal(one(&fixture, "c/1," TIME ",,,7,w,x,")->key, "c/1-w");
    refused(&fixture, "c1," TIME ",,,7,w,,", FAULT_EMPTY, "column 'line' is empty ('')");
    refused(&fixture, "?," TIME ",,,7,w,x,", FAULT_EMPTY, "column 'id' is empty ('?')");
    refused(&fixture, "c1," TIME ",,,7.5,w,x,", FAULT_NUMBER,
            "column 'b': '7.5' is not a whole number from 0");
    refused(&fixture, "c1," TIME ",,,-1,w,x,", FAULT_NUMBER, "column 'b': '-1' is not a whole number from 0");
    refused(&fixture, "c1," TIME ",,,7,w,x\x01y,", FAULT_WORD, "column 'line': 'x?y' is not printable UTF-8");
    refused(&fixture, "c1," TIME ",,,7,w,\xff,", FAULT_WORD, "column 'line': '?' is not printable UTF-8");
    refused(&fixture, "c1," TIME ",,,7,w,x ,", FAULT_RULE,
            "measure m: the org is too long, not valid UTF-8, or has an empty or blank-edged segment");
    release(&fixture);
}

static void test_bare_names(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture, HEAD "    measurements: [{measure: m, value: 1}]\n");
    const poise_measurement *item = one(&fixture, "," TIME ",,,,,,");
    assert_string_equal(item->org, "");
    assert_string_equal(item->source, "");
    assert_null(item->key);
    assert_int_equal(item->seq, 0);
    release(&fixture);
}

static void test_numbers(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture, HEAD "    measurements: [{measure: m, value: {column: a}, of: {columns: [a, b]}}]\n");
    const poise_measurement *item = one(&fixture, "," TIME ",,0.5,-2e1,,,");
    assert_true(item->value == 0.5 && item->of == -19.5);
    refused(&fixture, "," TIME ",,x,2,,,", FAULT_NUMBER,
            "column 'a': 'x' is not a number such as 12 or -0.5");
    refused(&fixture, "," TIME ",,1 ,2,,,", FAULT_NUMBER,
            "column 'a': '1 ' is not a number such as 12 or -0.5");
    refused(&fixture, "," TIME ",,1,n/a,,,", FAULT_EMPTY, "column 'b' is empty ('n/a')");
    refused(&fixture, "," TIME ",,1e200,1,,,", FAULT_RULE,
            "measure m: the value is not 0 and not between 1e-100 and 1e100 in size");
    refused(&fixture, "," TIME ",,nan,1,,,", FAULT_NUMBER,
            "column 'a': 'nan' is not a number such as 12 or -0.5");
    release(&fixture);
}

static void test_durations(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture,
              HEAD "    measurements: [{measure: m, value: {column: span, duration: 'H:M', unit: hours}}]\n");
    assert_true(one(&fixture, "," TIME ",,,,,,006:19")->value == 379.0 / 60);
    refused(&fixture, "," TIME ",,,,,,6h", FAULT_TIME,
            "column 'span': '6h' is not a duration of the form H:M");
    release(&fixture);
}

static void test_words(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture, HEAD
              "    measurements: [{measure: m, value: {column: word, values: {TRUE: 1, 'FALSE': 0}}}]\n");
    assert_true(one(&fixture, "," TIME ",,,,TRUE,,")->value == 1);
    assert_true(one(&fixture, "," TIME ",,,,FALSE,,")->value == 0);
    refused(&fixture, "," TIME ",,,,true,,", FAULT_WORD, "column 'word': 'true' is not one of its `values`");
    refused(&fixture, "," TIME ",,,,,,", FAULT_EMPTY, "column 'word' is empty ('')");
    release(&fixture);
}

static void test_spans(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture,
              HEAD "    measurements:\n"
                   "      - {measure: m, value: {from: at, to: {column: done, format: unix}, unit: days}}\n");
    assert_true(one(&fixture, "," TIME ",1578020640,,,,,")->value == 1);
    assert_true(one(&fixture, "," TIME ",1577847840,,,,,")->value == -1);
    refused(&fixture, "," TIME ",tomorrow,,,,,", FAULT_TIME,
            "column 'done': 'tomorrow' is not a time of the form unix");
    refused(&fixture, "," TIME ",,,,,,", FAULT_EMPTY, "column 'done' is empty ('')");
    release(&fixture);
}

static void test_times(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture, HEAD "    measurements: [{measure: m, value: 1}]\n");
    refused(&fixture, ",24:00.0,,,,,,", FAULT_TIME,
            "column 'at': '24:00.0' is not a time of the form %Y-%m-%d %H:%M");
    refused(&fixture, ",2020-02-30 00:00,,,,,,", FAULT_TIME,
            "column 'at': '2020-02-30 00:00' is not a time of the form %Y-%m-%d %H:%M");
    refused(&fixture, ",?,,,,,,", FAULT_EMPTY, "column 'at' is empty ('?')");
    refused(&fixture, ",1700-01-01 00:00,,,,,,", FAULT_RULE,
            "measure m: the time is outside 1900-01-01 to 2200-01-01");
    release(&fixture);
}

/* The measures of a row, joined. */
static const char *measures(struct fixture *fixture, const char *row, char out[64])
{
    out[0] = '\0';
    if (apply(fixture, row) != POISE_OK) {
        fail_msg("'%s': %s", row, fixture->err.text);
    }
    for (size_t i = 0; i < fixture->mapped.count; i++) {
        strncat(out, fixture->mapped.items[i].measure, 63 - strlen(out));
    }
    return out;
}

static void test_conditions(void **state)
{
    (void)state;
    struct fixture fixture;
    char out[64];
    configure(
        &fixture, HEAD
        "    when: [{column: id, not: skip}]\n"
        "    measurements:\n"
        "      - {measure: A, value: 1, when: [{column: word, is: D}]}\n"
        "      - {measure: B, value: 1, when: [{column: word, is: [D, S]}, {column: a, not: ['1', '']}]}\n"
        "      - {measure: C, value: 1, when: {column: b, present: true}}\n"
        "      - {measure: E, value: 1, when: {column: b, present: false}}\n"
        "      - {measure: F, value: {column: b}, when: {column: b, present: true}}\n");
    assert_string_equal(measures(&fixture, "," TIME ",,2,3,D,,", out), "ABCF");
    assert_string_equal(measures(&fixture, "," TIME ",,1,3,D,,", out), "ACF");
    assert_string_equal(measures(&fixture, "," TIME ",,2,?,S,,", out), "BE");
    assert_string_equal(measures(&fixture, "," TIME ",,,,X,,", out), "E");
    assert_string_equal(measures(&fixture, "skip,nonsense,,2,3,D,,", out), "");
    release(&fixture);
}

static void test_retract(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture, HEAD
              "    key: '{id}'\n"
              "    measurements: [{measure: m, value: {column: a}, retract: [{column: word, is: gone}]}]\n");
    const poise_measurement *item = one(&fixture, "k,not looked at,,,,gone,,");
    assert_true(item->retract);
    assert_string_equal(item->key, "k");
    item = one(&fixture, "k," TIME ",,5,,here,,");
    assert_true(!item->retract && item->value == 5);
    release(&fixture);
}

static void test_whole_rows(void **state)
{
    (void)state;
    struct fixture fixture;
    configure(&fixture, HEAD
              "    measurements: [{measure: m, value: {column: a}}, {measure: n, value: {column: b}}]\n");
    assert_int_equal(apply(&fixture, "," TIME ",,1,2,,,"), POISE_OK);
    assert_int_equal(fixture.mapped.count, 2);
    refused(&fixture, "," TIME ",,1,x,,,", FAULT_NUMBER,
            "column 'b': 'x' is not a number such as 12 or -0.5");
    release(&fixture);
}

static void test_shown(void **state)
{
    (void)state;
    char out[SHOWN_MAX];
    char text[200];
    memset(text, 'a', sizeof text);
    assert_string_equal(shown("Zürich", 7, out), "Zürich");
    assert_string_equal(shown("a\nb\xff", 4, out), "a?b?");
    assert_int_equal(strlen(shown(text, 60, out)), 60);
    assert_int_equal(strlen(shown(text, 61, out)), 63);
    assert_string_equal(out + 60, "...");
    memcpy(text + 59, "ü", 2); /* would be cut in two */
    assert_int_equal(strlen(shown(text, 100, out)), 62);
    assert_true(utf8_printable(out, strlen(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_bare_names), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_durations),  cmocka_unit_test(test_words),      cmocka_unit_test(test_spans),
        cmocka_unit_test(test_times),      cmocka_unit_test(test_conditions), cmocka_unit_test(test_retract),
        cmocka_unit_test(test_whole_rows), cmocka_unit_test(test_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
