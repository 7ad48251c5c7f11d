#include <base/buf.h>
#include <base/file.h>
#include <collector/letters.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char directory[32], path[64];
    struct letters *letters;
    struct arena arena;
    struct buf text;
    poise_error err;
};

static int begin(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.directory = "/tmp/poise_letters_XXXXXX"};
    if (!mkdtemp(fixture.directory)) {
        return -1;
    }
    snprintf(fixture.path, sizeof fixture.path, "%s/dead.jsonl", fixture.directory);
    *state = &fixture;
    return letters_open(fixture.path, &fixture.letters, &fixture.err) == POISE_OK ? 0 : -1;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    letters_close(fixture->letters);
    arena_free(&fixture->arena);
    buf_free(&fixture->text);
    unlink(fixture->path);
    return rmdir(fixture->directory);
}

/* The file as a text; the lines that it has. */
static size_t read_back(struct fixture *fixture)
{
    size_t lines = 0;
    buf_reset(&fixture->text);
    assert_int_equal(file_read(fixture->path, 1 << 24, &fixture->text, &fixture->err), POISE_OK);
    for (size_t i = 0; i < fixture->text.length; i++) {
        lines += fixture->text.data[i] == '\n';
    }
    assert_int_equal(fixture->text.data[fixture->text.length - 1], '\n');
    return lines;
}

static struct letter last_letter(struct fixture *fixture)
{
    read_back(fixture);
    const char *text = (const char *)fixture->text.data;
    size_t stop = fixture->text.length - 1, start = stop;
    while (start > 0 && text[start - 1] != '\n') {
        start--;
    }
    struct letter letter;
    if (letter_parse(text + start, stop - start, &fixture->arena, &letter, &fixture->err) != POISE_OK) {
        fail_msg("%s", fixture->err.text);
    }
    return letter;
}

static void test_rows(void **state)
{
    struct fixture *fixture = *state;
    char every_byte[256];
    for (size_t i = 0; i < sizeof every_byte; i++) {
        every_byte[i] = (char)i;
    }
    const struct {
        const char *bytes;
        size_t length;
    } rows[] = {{"a,b", 3},       {"", 0},           {"a,\"x\ny\"", 7}, {"Zürich,\t\\", 10},
                {"nul\0byte", 8}, {every_byte, 256}, {"\xff", 1}};
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), -1); /* made with the first letter */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct letter letter = {.reason = "a \"reason\"",
                                .file = "dir/f.csv",
                                .header = i % 2 ? "h\xfc,x" : NULL,
                                .row = rows[i].bytes,
                                .row_length = rows[i].length,
                                .cut = i == 3,
                                .line = 17 + i,
                                .offset = 4711,
                                .inode = INT64_MAX};
        assert_int_equal(letters_put(fixture->letters, 0, &letter, &fixture->err), POISE_OK);
        struct letter read = last_letter(fixture);
        assert_null(read.measurement);
        assert_string_equal(read.reason, letter.reason);
        assert_string_equal(read.file, letter.file);
        assert_int_equal(read.header != NULL, letter.header != NULL);
        assert_true(!letter.header || strcmp(read.header, letter.header) == 0);
        assert_int_equal(read.row_length, letter.row_length);
        assert_memory_equal(read.row, letter.row, letter.row_length);
        assert_int_equal(read.cut, letter.cut);
        assert_int_equal(read.line, letter.line);
        assert_int_equal(read.offset, letter.offset);
        assert_int_equal(read.inode, letter.inode);
        assert_int_equal(read_back(fixture), i + 1);
    }
    assert_int_equal(letters_sync(fixture->letters, &fixture->err), POISE_OK);
    assert_memory_equal(fixture->text.data,
                        "{\"when\":\"1970-01-01T00:00:00.000Z\",\"reason\":\"a \\\"reason\\\"\"", 57);
}

static void test_measurements(void **state)
{
    struct fixture *fixture = *state;
    const poise_measurement items[] = {
        {.measure = "m", .time_ms = 1, .value = 0.1, .of = 1.0 / 3},
        {.measure = "m.n-1",
         .org = "a/ü",
         .source = "s s",
         .key = "k\"1",
         .time_ms = INT64_C(-2208988800000),
         .value = -1e100,
         .of = 1e-100,
         .seq = UINT64_C(1) << 62},
        {.measure = "m", .key = "k", .retract = true},
    };
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        struct letter letter = {.reason = "unknown_measure: x", .measurement = &items[i]};
        assert_int_equal(letters_put(fixture->letters, 0, &letter, &fixture->err), POISE_OK);
        struct letter read = last_letter(fixture);
        const poise_measurement *item = read.measurement;
        assert_non_null(item);
        assert_string_equal(item->measure, items[i].measure);
        assert_string_equal(item->org, items[i].org ? items[i].org : "");
        assert_string_equal(item->source, items[i].source ? items[i].source : "");
        assert_int_equal(item->key != NULL, items[i].key != NULL);
        assert_true(!item->key || strcmp(item->key, items[i].key) == 0);
        assert_int_equal(item->time_ms, items[i].time_ms);
        assert_true(item->value == items[i].value && item->of == items[i].of);
        assert_int_equal(item->seq, items[i].seq);
        assert_int_equal(item->retract, items[i].retract);
    }
}

static void test_a_half_line_is_ended(void **state)
{
    struct fixture *fixture = *state;
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    fputs("{\"when\":\"2020", file);
    fclose(file);
    struct letter letter = {.reason = "r", .file = "f", .row = "x", .row_length = 1};
    assert_int_equal(letters_put(fixture->letters, 0, &letter, &fixture->err), POISE_OK);
    assert_int_equal(letters_put_line(fixture->letters, "as it is", 8, &fixture->err), POISE_OK);
    assert_int_equal(read_back(fixture), 3);
    assert_memory_equal(fixture->text.data, "{\"when\":\"2020\n{", 15);
    assert_memory_equal(fixture->text.data + fixture->text.length - 10, "\nas it is\n", 10);
}

static void test_what_is_no_letter(void **state)
{
    struct fixture *fixture = *state;
    const struct {
        const char *line, *reason;
    } cases[] = {
        {"", "not JSON: '[' or '{' expected near end of file"},
        {"row", "not JSON: '[' or '{' expected near 'row'"},
        {"{\"file\":\"f\"", "not JSON: '}' expected near end of file"},
        {"[]", "a dead letter has 'measurement', or 'file' and 'row'"},
        {"{\"file\":\"f\"}", "a dead letter has 'measurement', or 'file' and 'row'"},
        {"{\"file\":1,\"row\":\"x\"}", "a dead letter has 'measurement', or 'file' and 'row'"},
        {"{\"file\":\"f\",\"row_hex\":\"0g\"}", "a dead letter has 'measurement', or 'file' and 'row'"},
        {"{\"file\":\"f\",\"row_hex\":\"0\"}", "a dead letter has 'measurement', or 'file' and 'row'"},
        {"{\"measurement\":{\"measure\":\"m\",\"time\":\"1970-01-01T00:00:00Z\"}}",
         "'measurement': Object item not found: value"},
        {"{\"measurement\":{\"measure\":\"m\",\"time\":\"soon\",\"value\":1}}",
         "'time' must be RFC 3339 and 'seq' not below 0"},
        {"{\"measurement\":{\"measure\":\"m\",\"time\":\"1970-01-01T00:00:00Z\",\"value\":1,\"seq\":-1}}",
         "'time' must be RFC 3339 and 'seq' not below 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct letter letter;
        poise_code code =
            letter_parse(cases[i].line, strlen(cases[i].line), &fixture->arena, &letter, &fixture->err);
        assert_int_equal(code, POISE_EINVAL);
        assert_string_equal(fixture->err.text, cases[i].reason);
    }
}

static void test_a_letter_written_by_hand(void **state)
{
    struct fixture *fixture = *state;
    const char *line =
        "{\"measurement\": {\"measure\": \"m\", \"time\": \"1970-01-01T01:00:00+01:00\", \"value\": 2}}";
    struct letter letter;
    assert_int_equal(letter_parse(line, strlen(line), &fixture->arena, &letter, &fixture->err), POISE_OK);
    assert_true(letter.measurement->value == 2 && letter.measurement->of == 1);
    assert_int_equal(letter.measurement->time_ms, 0);
    assert_null(letter.measurement->key);
}

static void test_no_room(void **state)
{
    struct fixture *fixture = *state;
    struct letters *letters;
    struct letter letter = {.reason = "r", .file = "f", .row = "x", .row_length = 1};
    assert_int_equal(letters_open("/dev/full", &letters, &fixture->err), POISE_OK);
    assert_int_equal(letters_put(letters, 0, &letter, &fixture->err), POISE_EFULL);
    letters_close(letters);
    assert_int_equal(letters_open("/nowhere/dead.jsonl", &letters, &fixture->err), POISE_OK);
    assert_int_equal(letters_put(letters, 0, &letter, &fixture->err), POISE_EIO);
    letters_close(letters);
    letters_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_rows),
                                       TEST(test_measurements),
                                       TEST(test_a_half_line_is_ended),
                                       TEST(test_what_is_no_letter),
                                       TEST(test_a_letter_written_by_hand),
                                       TEST(test_no_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
