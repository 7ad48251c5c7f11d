#include <collector/letters.h>
#include <collector/source.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TOP "producer: p\naggregator: a\nspool: s\ndead_letters: d\nsources:\n"
#define REST                                                                                                 \
    "    time: {column: t, format: unix}\n"                                                                  \
    "    measurements: [{measure: m, value: {column: v}}]\n"

struct fixture {
    char directory[32], path[64], moved[64];
    struct collector_config *config;
    struct positions known;
    struct log log; /* silent */
    struct source *source;
    struct source_record record;
    poise_error err;
};

static void configure(struct fixture *fixture, const char *csv)
{
    char text[512];
    struct problems problems = {0};
    config_free(fixture->config);
    fixture->config = NULL;
    snprintf(text, sizeof text, TOP "  - csv: {path: %s%s}\n" REST, fixture->path, csv);
    config_read_bytes("c.yaml", text, strlen(text), &fixture->config, &problems);
    problems_print(&problems, stderr);
    problems_free(&problems);
    assert_non_null(fixture->config);
}

static int begin(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.directory = "/tmp/poise_source_XXXXXX"};
    if (!mkdtemp(fixture.directory)) {
        return -1;
    }
    snprintf(fixture.path, sizeof fixture.path, "%s/f.csv", fixture.directory);
    snprintf(fixture.moved, sizeof fixture.moved, "%s/f.csv.1", fixture.directory);
    configure(&fixture, "");
    *state = &fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    source_close(fixture->source);
    config_free(fixture->config);
    unlink(fixture->path);
    unlink(fixture->moved);
    return rmdir(fixture->directory);
}

static void put(const struct fixture *fixture, const char *mode, const char *text)
{
    FILE *file = fopen(fixture->path, mode);
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void reopen(struct fixture *fixture, bool once)
{
    const struct source_options options = {.once = once, .known = &fixture->known, .log = &fixture->log};
    source_close(fixture->source);
    fixture->source = NULL;
    assert_int_equal(source_csv_open(&fixture->config->sources[0], &options, &fixture->source, &fixture->err),
                     POISE_OK);
}

static poise_code next(struct fixture *fixture)
{
    return fixture->source->ops->next(fixture->source, &fixture->record, &fixture->err);
}

/* The next record is a row whose two wanted cells, joined, are these. */
static void gives(struct fixture *fixture, const char *cells, uint64_t line)
{
    char joined[64];
    if (next(fixture) != POISE_OK) {
        fail_msg("no record for '%s'", cells);
    }
    const struct source_record *record = &fixture->record;
    assert_null(record->problem);
    snprintf(joined, sizeof joined, "%.*s%.*s", (int)record->cells[0].length, record->cells[0].text,
             (int)record->cells[1].length, record->cells[1].text);
    assert_string_equal(joined, cells);
    assert_int_equal(record->line, line);
}

static void remember(struct fixture *fixture)
{
    struct position position;
    assert_true(fixture->source->ops->position(fixture->source, &position));
    positions_set(&fixture->known, &position);
}

static void test_once(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "\xef\xbb\xbfv,other,t\r\na,x,1\r\n\"b\nb\",\"y,\",2\r\n\r\nc,z,3");
    reopen(fixture, true);
    gives(fixture, "1a", 2);
    assert_string_equal(fixture->record.header, "v,other,t");
    assert_int_equal(fixture->record.raw_length, 5);
    gives(fixture, "2b\nb", 3);
    gives(fixture, "3c", 6);
    assert_int_equal(next(fixture), POISE_ECLOSED);
    assert_int_equal(next(fixture), POISE_ECLOSED);
}

static void test_rows_that_cannot_be_read(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "t,v\n1,2,3\n1\n1,\"2\"x\n1,2\n");
    reopen(fixture, true);
    const char *const reasons[] = {"the row has 3 fields, and the header 2",
                                   "the row has 1 fields, and the header 2",
                                   "text follows the closing quote of a field"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(next(fixture), POISE_OK);
        assert_string_equal(fixture->record.problem, reasons[i]);
        assert_int_equal(fixture->record.line, i + 2);
        assert_string_equal(fixture->record.file, fixture->path);
    }
    gives(fixture, "12", 5);
}

static void test_a_long_row_is_cut(void **state)
{
    struct fixture *fixture = *state;
    char *row = malloc(200001);
    assert_non_null(row);
    memset(row, 'a', 200000);
    row[200000] = '\0';
    put(fixture, "w", "t,v\n");
    put(fixture, "a", row);
    put(fixture, "a", "\n1,2\n");
    free(row);
    reopen(fixture, true);
    assert_int_equal(next(fixture), POISE_OK);
    assert_non_null(fixture->record.problem);
    assert_true(fixture->record.cut);
    assert_int_equal(fixture->record.raw_length, CSV_RECORD_MAX);
    gives(fixture, "12", 3);
    assert_false(fixture->record.cut);
}

static void test_wrong_headers(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "t,w\n1,2\n");
    reopen(fixture, true);
    assert_int_equal(next(fixture), POISE_EINVAL);
    assert_non_null(strstr(fixture->err.text, "f.csv:1: the header has no column 'v', but: t, w"));
    put(fixture, "w", "t,\"v\n1,2\n");
    reopen(fixture, true);
    assert_int_equal(next(fixture), POISE_EINVAL);
    assert_non_null(strstr(fixture->err.text, "f.csv:1: the header cannot be read"));
    unlink(fixture->path);
    reopen(fixture, true);
    assert_int_equal(next(fixture), POISE_EIO);
    assert_non_null(strstr(fixture->err.text, "cannot open"));
}

static void test_configured_columns(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture, ", delimiter: ';', columns: [v, t]");
    put(fixture, "w", "a;1\nb;2\n");
    reopen(fixture, true);
    gives(fixture, "1a", 1);
    assert_null(fixture->record.header);
    remember(fixture);
    reopen(fixture, true);
    gives(fixture, "2b", 2);
}

static void test_following(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture, false);
    assert_int_equal(next(fixture), POISE_ENOTFOUND); /* no file yet */
    put(fixture, "w", "t,");
    assert_int_equal(next(fixture), POISE_ENOTFOUND);
    put(fixture, "a", "v\n1,a\n2");
    gives(fixture, "1a", 2);
    assert_int_equal(next(fixture), POISE_ENOTFOUND); /* half a row is none */
    put(fixture, "a", ",b\n");
    gives(fixture, "2b", 3);
    assert_int_equal(next(fixture), POISE_ENOTFOUND);
}

static void test_rotation(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "t,v\n1,a\n");
    reopen(fixture, false);
    gives(fixture, "1a", 2);
    put(fixture, "a", "2,b\n3,c");
    assert_int_equal(rename(fixture->path, fixture->moved), 0);
    gives(fixture, "2b", 3);
    assert_int_equal(next(fixture), POISE_ENOTFOUND); /* the new one is not there yet */
    put(fixture, "w", "v,t\nd,4\n");
    gives(fixture, "3c", 4); /* what was left of the old one */
    gives(fixture, "4d", 2);
    struct position position;
    assert_true(fixture->source->ops->position(fixture->source, &position));
    assert_int_equal(position.offset, 8);
}

static void test_a_cut_file_starts_over(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "t,v\n1,aaaaaaaaaaaaaaaa\n");
    reopen(fixture, false);
    gives(fixture, "1aaaaaaaaaaaaaaaa", 2);
    put(fixture, "w", "t,v\n2,b\n");
    gives(fixture, "2b", 2);
    assert_int_equal(next(fixture), POISE_ENOTFOUND);
}

static void test_going_on(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "t,v\n1,a\n\"2\",\"b\nb\"\n3,c");
    reopen(fixture, true);
    gives(fixture, "1a", 2);
    remember(fixture);
    gives(fixture, "2b\nb", 3);
    reopen(fixture, true); /* the second row was not remembered */
    gives(fixture, "2b\nb", 3);
    remember(fixture);
    reopen(fixture, false);
    assert_int_equal(next(fixture), POISE_ENOTFOUND);
    put(fixture, "a", "\n4,d\n");
    gives(fixture, "3c", 5);
    gives(fixture, "4d", 6);
    assert_string_equal(fixture->record.header, "t,v");
    remember(fixture);
    reopen(fixture, true);
    assert_int_equal(next(fixture), POISE_ECLOSED);
}

static void test_going_on_behind_a_last_line_without_end(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "t,v\n1,a");
    reopen(fixture, true);
    gives(fixture, "1a", 2);
    remember(fixture);
    put(fixture, "a", "\n2,b\n");
    reopen(fixture, true);
    gives(fixture, "2b", 3);
}

static void test_another_file_is_read_from_its_beginning(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "w", "t,v\n1,a\n2,b\n");
    reopen(fixture, true);
    gives(fixture, "1a", 2);
    remember(fixture);
    put(fixture, "w", "t,v\n3,c\n4,d\n"); /* the same inode */
    reopen(fixture, true);
    gives(fixture, "3c", 2);
    gives(fixture, "4d", 3);
}

/* ---- dead letters ---- */

static void put_letters(struct fixture *fixture, const struct letter *letters, size_t count)
{
    struct letters *file;
    assert_int_equal(letters_open(fixture->moved, &file, &fixture->err), POISE_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(letters_put(file, 0, &letters[i], &fixture->err), POISE_OK);
    }
    letters_close(file);
}

static void reopen_letters(struct fixture *fixture)
{
    const struct source_options options = {.once = true, .known = &fixture->known, .log = &fixture->log};
    source_close(fixture->source);
    fixture->source = NULL;
    assert_int_equal(
        source_letters_open(fixture->moved, fixture->config, &options, &fixture->source, &fixture->err),
        POISE_OK);
}

static struct letter row_letter(const struct fixture *fixture, const char *row, uint64_t offset)
{
    return (struct letter){.reason = "r",
                           .file = fixture->path,
                           .header = "v,t",
                           .row = row,
                           .row_length = strlen(row),
                           .line = offset + 10,
                           .offset = offset,
                           .inode = 7};
}

static void test_letters(void **state)
{
    struct fixture *fixture = *state;
    const poise_measurement measurement = {.measure = "m", .key = "k", .time_ms = 5, .value = 2, .of = 1};
    struct letter cut = row_letter(fixture, "d,4", 4);
    cut.cut = true;
    struct letter headless = row_letter(fixture, "e,5", 5);
    headless.header = NULL;
    const struct letter letters[] = {row_letter(fixture, "a,1", 1),
                                     row_letter(fixture, "b,2,x", 2),
                                     {.reason = "r", .measurement = &measurement},
                                     cut,
                                     headless,
                                     row_letter(fixture, "a,1", 1) /* again */,
                                     row_letter(fixture, "f,6", 6)};
    put_letters(fixture, letters, 7);
    reopen_letters(fixture);
    gives(fixture, "1a", 11);
    assert_string_equal(fixture->record.file, fixture->path);
    assert_ptr_equal(fixture->record.config, &fixture->config->sources[0]);
    assert_int_equal(next(fixture), POISE_OK);
    assert_string_equal(fixture->record.problem, "the row has 3 fields, and the header 2");
    assert_memory_equal(fixture->record.raw, "b,2,x", 5);
    assert_string_equal(fixture->record.header, "v,t");
    assert_int_equal(fixture->record.offset, 2);
    remember(fixture);
    assert_int_equal(next(fixture), POISE_OK);
    assert_non_null(fixture->record.measurement);
    assert_string_equal(fixture->record.measurement->key, "k");
    assert_int_equal(next(fixture), POISE_OK);
    assert_string_equal(fixture->record.problem, "the row was too long to keep it whole");
    assert_true(fixture->record.cut);
    assert_int_equal(next(fixture), POISE_OK);
    assert_string_equal(fixture->record.problem, "the dead letter has no 'header'");
    gives(fixture, "6f", 16);
    assert_int_equal(next(fixture), POISE_ECLOSED);

    reopen_letters(fixture); /* after a crash: behind the second, and the first is still known */
    assert_int_equal(next(fixture), POISE_OK);
    assert_non_null(fixture->record.measurement);
    assert_int_equal(next(fixture), POISE_OK);
    assert_int_equal(next(fixture), POISE_OK);
    gives(fixture, "6f", 16);
    assert_int_equal(next(fixture), POISE_ECLOSED);
}

static void test_lines_that_are_no_letters(void **state)
{
    struct fixture *fixture = *state;
    FILE *file = fopen(fixture->moved, "w");
    assert_non_null(file);
    fputs("\nnonsense\n{\"file\":\"f\"", file);
    fclose(file);
    reopen_letters(fixture);
    assert_int_equal(next(fixture), POISE_OK);
    assert_true(fixture->record.foreign);
    assert_memory_equal(fixture->record.raw, "nonsense", 8);
    assert_int_equal(fixture->record.raw_length, 8);
    assert_int_equal(fixture->record.line, 2);
    assert_int_equal(next(fixture), POISE_OK);
    assert_true(fixture->record.foreign);
    assert_int_equal(fixture->record.raw_length, 11);
    assert_int_equal(next(fixture), POISE_ECLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_once),
                                       TEST(test_rows_that_cannot_be_read),
                                       TEST(test_a_long_row_is_cut),
                                       TEST(test_wrong_headers),
                                       TEST(test_configured_columns),
                                       TEST(test_following),
                                       TEST(test_rotation),
                                       TEST(test_a_cut_file_starts_over),
                                       TEST(test_going_on),
                                       TEST(test_going_on_behind_a_last_line_without_end),
                                       TEST(test_another_file_is_read_from_its_beginning),
                                       TEST(test_letters),
                                       TEST(test_lines_that_are_no_letters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
