/* log and file */
#include "base_test.h"
#include <base/clock.h>
#include <base/file.h>
#include <base/log.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t fixed_wall_ms(void *context)
{
    return *(const int64_t *)context;
}

static int64_t now_ms = 1795417200000;
static const struct clock fixed = {.wall_ms = fixed_wall_ms, .context = &now_ms};

/* What one call of log_event writes. */
#define logs_as(expected, level_, ...)                                                                       \
    do {                                                                                                     \
        char *text_ = NULL;                                                                                  \
        size_t size_;                                                                                        \
        struct log log_ = {.out = open_memstream(&text_, &size_), .level = LOG_INFO, .clock = &fixed};       \
        assert_non_null(log_.out);                                                                           \
        log_event(&log_, level_, __VA_ARGS__);                                                               \
        assert_int_equal(fclose(log_.out), 0);                                                               \
        assert_string_equal(text_, expected);                                                                \
        free(text_);                                                                                         \
    } while (0)
#define AT "2026-11-23T07:00:00.000Z "

static void test_log_lines(void **state)
{
    (void)state;
    logs_as(AT "info listening\n", LOG_INFO, "listening");
    logs_as(AT "warn listening endpoint=tcp://127.0.0.1:5555 store=\"/var/lib/x y\" peers=-3\n", LOG_WARN,
            "listening", log_text("endpoint", "tcp://127.0.0.1:5555"), log_text("store", "/var/lib/x y"),
            log_int("peers", -3));
    logs_as(
        AT "error \"two words\" a=\"\" b=\"\" c=\"\\\"\\\\=\" d=\"x\\n\\t\\x1b[0m\" e=\xc3\xbc f=\"\\xff\"\n",
        LOG_ERROR, "two words", log_text("a", ""), log_text("b", NULL), log_text("c", "\"\\="),
        log_text("d", "x\n\t\x1b[0m"), log_text("e", "\xc3\xbc"), log_text("f", "\xff"));
    logs_as("", LOG_DEBUG, "too fine");
    struct log silent = {.out = NULL, .clock = &fixed};
    log_event(&silent, LOG_ERROR, "nowhere");
}

static void test_log_bounds(void **state)
{
    (void)state;
    static char wide[5000];
    static const char control[] = {1, 0x7f, (char)0xe2, 'x'};
    for (size_t kind = 0; kind < sizeof control; kind++) {
        memset(wide, control[kind], sizeof wide - 1);
        if (kind == 2) { /* valid UTF-8 is cut between code points */
            for (size_t i = 0; i + 3 < sizeof wide; i += 3) {
                memcpy(wide + i, "\xe2\x82\xac", 3);
            }
            wide[4998] = '\0';
        }
        char *text = NULL;
        size_t size;
        struct log log = {.out = open_memstream(&text, &size), .level = LOG_INFO, .clock = &fixed};
        assert_non_null(log.out);
        struct log_field w = log_text(wide, wide);
        log_event(&log, LOG_INFO, wide, w, w, w, w, w, w, w, w, w, w, w, log_text("last", "z"));
        assert_int_equal(fclose(log.out), 0);
        assert_non_null(strstr(text, "...\" last=z\n"));
        assert_ptr_equal(strchr(text, '\n'), text + size - 1);
        assert_true(size < 16384);
        if (kind == 2) {
            const char *cut = strstr(text, "...");
            assert_memory_equal(cut - 3, "\xe2\x82\xac", 3);
        }
        free(text);
    }
}

static void test_log_levels(void **state)
{
    (void)state;
    assert_string_equal(log_level_name(LOG_ERROR), "error");
    assert_string_equal(log_level_name(LOG_DEBUG), "debug");
    assert_string_equal(log_level_name((enum log_level)99), "unknown");
}

/* Each test has a directory of its own as the working directory. */
static char folder[] = "/tmp/poise-base-XXXXXX";

static int enter_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
    (void)state;
    unlink("file");
    rmdir("a/b/c");
    rmdir("a/b");
    rmdir("a");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void test_replace_and_read(void **state)
{
    (void)state;
    poise_error err = {0};
    struct buf out = {0};
    buf_put(&out, "<", 1);
    assert_int_equal(file_read("file", 10, &out, &err), POISE_ENOTFOUND);
    assert_string_equal(err.text, "cannot open file: No such file or directory");
    assert_int_equal(file_replace("file", "first", 5, &err), POISE_OK);
    assert_int_equal(file_replace("./file", "the second", 10, &err), POISE_OK);
    assert_int_equal(file_read("file", 10, &out, &err), POISE_OK);
    assert_int_equal(out.length, 11);
    assert_memory_equal(out.data, "<the second", 11);
    assert_int_equal(file_read("file", 9, &out, &err), POISE_ELIMIT);
    assert_string_equal(err.text, "file is larger than 9 bytes");
    assert_int_equal(out.length, 11);
    assert_int_equal(file_read(".", 10, &out, &err), POISE_EIO);
    assert_int_equal(file_replace("none/file", "x", 1, &err), POISE_ENOTFOUND);
    buf_free(&out);
}

static void test_large_file(void **state)
{
    (void)state;
    size_t length = 300001;
    char *bytes = malloc(length);
    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (char)(i * 7 % 251);
    }
    struct buf out = {0};
    assert_int_equal(file_replace("file", bytes, length, NULL), POISE_OK);
    assert_int_equal(file_read("file", length - 1, &out, NULL), POISE_ELIMIT);
    assert_int_equal(file_read("file", SIZE_MAX, &out, NULL), POISE_OK);
    assert_int_equal(out.length, length);
    assert_memory_equal(out.data, bytes, length);
    buf_free(&out);
    free(bytes);
}

static void test_dirs(void **state)
{
    (void)state;
    poise_error err = {0};
    struct stat status;
    assert_int_equal(file_make_dirs("a//b/c/", &err), POISE_OK);
    assert_int_equal(file_make_dirs("a/b/c", &err), POISE_OK);
    assert_int_equal(stat("a/b", &status), 0);
    assert_int_equal(status.st_mode & 07027, 0);
    assert_int_equal(file_sync_dir("a/b", &err), POISE_OK);
    assert_int_equal(file_replace("file", "x", 1, &err), POISE_OK);
    assert_int_equal(file_sync_dir("file", &err), POISE_EIO);
    assert_int_equal(file_sync_dir("none", &err), POISE_ENOTFOUND);
    assert_int_equal(file_make_dirs("file", &err), POISE_EIO);
    assert_string_equal(err.text, "file is in the way: not a directory");
    assert_int_equal(file_make_dirs("file/x", &err), POISE_EIO);
    assert_int_equal(file_make_dirs("", &err), POISE_EINVAL);
    assert_int_equal(file_make_dirs("/", &err), POISE_OK);
    assert_int_equal(file_replace("a", "x", 1, &err), POISE_EIO); /* a directory is not replaced */
    assert_non_null(strstr(err.text, "cannot rename"));
    glob_t left;
    assert_int_equal(glob("*.??????", 0, NULL, &left), GLOB_NOMATCH); /* no temporary file */
    globfree(&left);
}

static void test_full_disk(void **state)
{
    (void)state;
    poise_error err = {0};
    uint64_t bytes = 0;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, "x", 1, &err), POISE_EFULL);
    assert_string_equal(err.text, "cannot write 1 bytes: No space left on device");
    assert_int_equal(file_write_all(fd, NULL, 0, &err), POISE_OK);
    close(fd);
    assert_int_equal(file_write_all(-1, "x", 1, &err), POISE_EIO);
    assert_int_equal(file_free_bytes(".", &bytes, &err), POISE_OK);
    assert_true(bytes > 0);
    assert_int_equal(file_free_bytes("none", &bytes, &err), POISE_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_lines),  cmocka_unit_test(test_log_bounds),
        cmocka_unit_test(test_log_levels), cmocka_unit_test(test_replace_and_read),
        cmocka_unit_test(test_large_file), cmocka_unit_test(test_dirs),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
