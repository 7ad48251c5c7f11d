#include <base/buf.h>
#include <base/file.h>
#include <collector/config.h>
#include <collector/numbers.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char good[] = "producer: shop\n"
                           "aggregator: tcp://127.0.0.1:5570\n"
                           "spool: spool\n"
                           "dead_letters: /var/dead.jsonl\n"
                           "sources:\n"
                           "  - csv: {path: data/f.csv, delimiter: tab, follow: false}\n"
                           "    time: {column: at, format: rfc3339}\n"
                           "    measurements: [{measure: m, value: 1}]\n"
                           "  - csv: {path: '-', delimiter: ';'}\n"
                           "    time: {column: at, format: rfc3339}\n"
                           "    measurements: [{measure: m, value: 1}]\n";

static struct collector_config *read_good(const char *name)
{
    struct problems problems = {0};
    struct collector_config *config = NULL;
    poise_code code = config_read_bytes(name, good, strlen(good), &config, &problems);
    problems_print(&problems, stderr);
    assert_int_equal(code, POISE_OK);
    problems_free(&problems);
    return config;
}

static void test_good(void **state)
{
    (void)state;
    struct collector_config *config = read_good("c.yaml");
    assert_string_equal(config->producer, "shop");
    assert_int_equal(config->batch_rows, 1000);
    assert_int_equal(config->linger_ms, 50);
    assert_int_equal(config->spool_max, 1 << 30);
    assert_int_equal(config->keep_acked_ms, 7 * INT64_C(86400000));
    assert_int_equal(config->log_level, LOG_INFO);
    assert_false(config->insecure);
    assert_int_equal(config->source_count, 2);
    assert_int_equal(config->sources[0].delimiter, '\t');
    assert_false(config->sources[0].follow);
    assert_int_equal(config->sources[1].delimiter, ';');
    assert_true(config->sources[1].follow);
    config_free(config);
}

static void test_keep_acked(void **state)
{
    (void)state;
    struct problems problems = {0};
    struct collector_config *config = NULL;
    struct buf text = {0};
    buf_printf(&text, "%skeep_acked: 36h\n", good);
    assert_int_equal(config_read_bytes("c.yaml", (const char *)text.data, text.length, &config, &problems),
                     POISE_OK);
    assert_int_equal(config->keep_acked_ms, 36 * 3600000);
    config_free(config);
    problems_free(&problems);
    buf_free(&text);
}

static void test_paths_are_relative_to_the_file(void **state)
{
    (void)state;
    struct collector_config *config = read_good("c.yaml");
    assert_string_equal(config->sources[0].path, "data/f.csv");
    config_free(config);
    config = read_good("/etc/poise/c.yaml");
    assert_string_equal(config->sources[0].path, "/etc/poise/data/f.csv");
    assert_string_equal(config->sources[1].path, "-");
    assert_string_equal(config->spool, "/etc/poise/spool");
    assert_string_equal(config->dead_letters, "/var/dead.jsonl");
    config_free(config);
}

/* Each line is expected as a whole, in this order, and no other. */
static void has_problems(const char *text, const char *expected)
{
    struct problems problems = {0};
    struct collector_config *config = NULL;
    char *printed = NULL;
    size_t size;
    assert_int_equal(config_read_bytes("c.yaml", text, strlen(text), &config, &problems), POISE_ECONFIG);
    assert_null(config);
    FILE *out = open_memstream(&printed, &size);
    assert_non_null(out);
    problems_print(&problems, out);
    fclose(out);
    problems_free(&problems);
    assert_string_equal(printed, expected);
    free(printed);
}

static void test_all_problems_at_once(void **state)
{
    (void)state;
    has_problems(
        "producer: my shop\n"
        "agregator: x\n"
        "spool: s\n"
        "dead_letters: d\n"
        "batch_rows: 5\n"
        "sources:\n"
        "  - csv: {path: f, delimiter: ';;'}\n"
        "    time: {column: at, format: '%y', zone: UTC}\n"
        "    org: 'a//{b}'\n"
        "    key: 'x{y'\n"
        "    measurements:\n"
        "      - measure: m\n"
        "        value: {column: a, columns: [b]}\n"
        "      - measure: n\n"
        "        value: {column: a, duration: 'H:M'}\n"
        "        retract: []\n"
        "      - value: {from: a, unit: days}\n"
        "        when: [{column: x}, {column: y, is: 1, not: 2}]\n",
        "c.yaml:1:1: the key 'aggregator' is missing: The aggregator's ingest endpoint, such as "
        "`tcp://127.0.0.1:5570`.\n"
        "c.yaml:1:11: 'producer' must be an id (1 to 64 of a-z A-Z 0-9 _ . -), not 'my shop'\n"
        "c.yaml:2:1: unknown key 'agregator'; did you mean 'aggregator'?\n"
        "c.yaml:5:13: 'batch_rows' must be from 64 to 16384, not 5\n"
        "c.yaml:7:31: 'delimiter' must be one ASCII character such as ',' or ';' or the word tab, not ';;'\n"
        "c.yaml:8:32: '%y' is not known; a time has %Y %m %b %d %H %I %p %M %S %f %z, and %-m %-d %-H %-I "
        "without a leading zero\n"
        "c.yaml:9:10: 'a//{b}' is no path of an org: segments joined by '/', none empty or with blanks at "
        "its "
        "ends, at most 255 bytes and 16 segments\n"
        "c.yaml:10:10: 'x{y': columns stand in braces, as in 'shop/{Resource}'; a brace itself is written "
        "twice\n"
        "c.yaml:13:16: 'value' needs one of 'column', 'columns' (a sum), or 'from' with 'to' (the time "
        "between)\n"
        "c.yaml:15:16: 'value' needs a 'unit': ms, seconds, minutes, hours, days or weeks\n"
        "c.yaml:16:18: 'retract' must be a list of conditions, such as [{column: Type, is: D}]\n"
        "c.yaml:17:9: the key 'measure' is missing: The input that the measurement feeds.\n"
        "c.yaml:17:16: 'value' needs both 'from' and 'to'\n"
        "c.yaml:18:16: a condition needs one of 'is', 'not' and 'present'\n"
        "c.yaml:18:29: a condition needs one of 'is', 'not' and 'present'\n");
}

#define TOP "producer: p\naggregator: a\nspool: s\ndead_letters: d\n"

static void test_other_problems(void **state)
{
    (void)state;
    has_problems(TOP "keep_acked: 367d\nsources: []\n",
                 "c.yaml:5:13: 'keep_acked' must be from 1ms to 366d, not 367d\n"
                 "c.yaml:6:10: 'sources' must be a list of 1 to 32 sources, such as '- csv: {path: FILE}'\n");
    has_problems(TOP "sources: []\n",
                 "c.yaml:5:10: 'sources' must be a list of 1 to 32 sources, such as '- csv: {path: FILE}'\n");
    has_problems(TOP "sources:\n  - csv: {path: f}\n    measurements: [{measure: m, value: 1}]\n",
                 "c.yaml:7:20: the key 'time' is missing, here or for the whole source\n");
    has_problems(
        TOP "sources:\n  - csv: {path: f}\n    measurements: []\n",
        "c.yaml:7:19: 'measurements' must be a list of 1 to 64 mappings, each with 'measure' and 'value'\n");
    has_problems(TOP
                 "sources:\n  - csv: {path: f, columns: [at, b, b]}\n"
                 "    time: {column: at, format: unix, zone: UTC}\n"
                 "    measurements: [{measure: m, value: {column: b}}, {measure: n, value: {column: c}}]\n",
                 "c.yaml:6:29: the header has more than one column 'b', no column 'c', but: at, b, b\n"
                 "c.yaml:7:44: times of the format 'unix' say their zone: leave 'zone' out\n");
    has_problems(TOP
                 "sources:\n  - csv: {path: f}\n    time: {column: at, format: '%Y-%m-%d', zone: Mars/Base}\n"
                 "    measurements: [{measure: m, value: {column: w, values: {a: x}}},\n"
                 "                   {measure: n, value: {columns: [w], values: {a: 1}}},\n"
                 "                   {measure: o, value: {column: w, unit: hours}},\n"
                 "                   {measure: q, value: 1, retract: {column: w, is: x}}]\n",
                 "c.yaml:7:50: this system has no time zone 'Mars/Base'; use an IANA name such as "
                 "Europe/London or UTC "
                 "(package tzdata)\n"
                 "c.yaml:8:64: 'a' must be a number, not 'x'\n"
                 "c.yaml:9:40: 'value' can have 'duration' and 'values' only with 'column'\n"
                 "c.yaml:10:40: 'value' can have 'unit' only with 'duration' or with 'from' and 'to'\n"
                 "c.yaml:11:52: 'retract' needs a 'key' that says what is taken away\n");
    const char *source = "  - csv: {path: f}\n    time: {column: at, format: unix}\n    measurements: "
                         "[{measure: m, value: 1}]\n";
    struct buf text = {0};
    buf_printf(&text, TOP "sources:\n%s%s", source, source);
    buf_put_u8(&text, 0);
    has_problems((const char *)text.data,
                 "c.yaml:9:5: 'f' is read by a source above: put its measurements there\n");
    buf_free(&text);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct problems problems = {0};
    struct collector_config *config = NULL;
    assert_int_equal(config_read_file("/nowhere/c.yaml", &config, &problems), POISE_ENOTFOUND);
    assert_int_equal(problems.count, 1);
    problems_free(&problems);
    config_free(NULL);
}

/* The tables of the reference are those of the program. POISE_SOURCE_DIR is the root of the tree. */
static void test_document(void **state)
{
    (void)state;
    struct buf document = {0};
    char *tables = NULL;
    size_t size;
    FILE *out = open_memstream(&tables, &size);
    assert_non_null(out);
    config_document(out);
    numbers_document(out);
    fclose(out);
    assert_int_equal(file_read(POISE_SOURCE_DIR "/docs/collector.md", 1 << 20, &document, NULL), POISE_OK);
    buf_put_u8(&document, 0);
    for (char *line = strtok(tables, "\n"); line; line = strtok(NULL, "\n")) {
        if (!strstr((const char *)document.data, line)) {
            fail_msg("docs/collector.md lacks this line of a table: %s", line);
        }
    }
    free(tables);
    buf_free(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),
                                       cmocka_unit_test(test_keep_acked),
                                       cmocka_unit_test(test_paths_are_relative_to_the_file),
                                       cmocka_unit_test(test_all_problems_at_once),
                                       cmocka_unit_test(test_other_problems),
                                       cmocka_unit_test(test_missing_file),
                                       cmocka_unit_test(test_document)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
