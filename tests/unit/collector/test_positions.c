#include <collector/positions.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct position position_of(uint64_t path)
{
    return (struct position){.path = path,
                             .inode = UINT64_MAX - path,
                             .offset = UINT64_MAX - 7,
                             .line = UINT64_MAX - 8,
                             .head_length = POSITION_HEAD_MAX,
                             .head_hash = path * 3};
}

static void same(const struct position *a, const struct position *b)
{
    assert_int_equal(a->path, b->path);
    assert_int_equal(a->inode, b->inode);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->line, b->line);
    assert_int_equal(a->head_length, b->head_length);
    assert_int_equal(a->head_hash, b->head_hash);
}

static void test_round_trip_of_as_many_as_fit(void **state)
{
    (void)state;
    struct positions positions = {.count = 0}, decoded;
    struct buf mark = {0};
    poise_error err;
    for (uint64_t path = 1; path <= POSITIONS_MAX; path++) {
        struct position position = position_of(path);
        positions_set(&positions, &position);
    }
    positions_encode(&positions, &mark);
    assert_false(mark.failed);
    assert_true(mark.length <= 4096);
    assert_int_equal(positions_decode(mark.data, mark.length, &decoded, &err), POISE_OK);
    assert_int_equal(decoded.count, POSITIONS_MAX);
    for (size_t i = 0; i < POSITIONS_MAX; i++) {
        same(&decoded.items[i], &positions.items[i]);
    }
    for (size_t length = 0; length < mark.length; length++) {
        assert_int_equal(positions_decode(mark.data, length, &decoded, &err), POISE_ECORRUPT);
    }
    mark.data[0] = 2;
    assert_int_equal(positions_decode(mark.data, mark.length, &decoded, &err), POISE_EVERSION);
    buf_free(&mark);
}

static void test_the_longest_unused_is_forgotten(void **state)
{
    (void)state;
    struct positions positions = {.count = 0};
    for (uint64_t path = 1; path <= POSITIONS_MAX; path++) {
        struct position position = position_of(path);
        positions_set(&positions, &position);
    }
    struct position again = position_of(1), fresh = position_of(100);
    again.offset = 17;
    positions_set(&positions, &again);
    positions_set(&positions, &fresh);
    assert_int_equal(positions.count, POSITIONS_MAX);
    assert_null(positions_find(&positions, 2));
    assert_non_null(positions_find(&positions, 3));
    same(positions_find(&positions, 1), &again);
    same(positions_find(&positions, 100), &fresh);
}

static int open_scratch(const char *text)
{
    char path[] = "/tmp/poise_positions_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

static void test_the_same_file(void **state)
{
    (void)state;
    struct stat status;
    int fd = open_scratch("head\nrow 1\nrow 2\n");
    assert_int_equal(fstat(fd, &status), 0);
    struct position position = {.inode = status.st_ino, .offset = 5, .line = 2};
    position_note_head(&position, fd);
    assert_int_equal(position.head_length, 5);
    assert_true(position_is_of(&position, fd));
    position.offset = 17;
    position_note_head(&position, fd);
    assert_int_equal(position.head_length, 17);
    assert_true(position_is_of(&position, fd));

    assert_int_equal(pwrite(fd, "h", 1, 17), 1); /* grown: the same */
    assert_true(position_is_of(&position, fd));
    struct position other = position;
    other.inode++;
    assert_false(position_is_of(&other, fd));
    assert_int_equal(pwrite(fd, "H", 1, 0), 1); /* another beginning */
    assert_false(position_is_of(&position, fd));
    assert_int_equal(pwrite(fd, "h", 1, 0), 1);
    assert_int_equal(ftruncate(fd, 16), 0);
    assert_false(position_is_of(&position, fd));
    close(fd);
}

static void test_paths(void **state)
{
    (void)state;
    assert_true(position_path("x") == position_path("x"));
    assert_true(position_path("x") != position_path("y"));
    assert_true(position_path("/x") == position_path("/x"));
    assert_true(position_path("/x") != position_path("x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip_of_as_many_as_fit),
                                       cmocka_unit_test(test_the_longest_unused_is_forgotten),
                                       cmocka_unit_test(test_the_same_file), cmocka_unit_test(test_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
