/* Columns of which few rows have something: how many, then the distance to each, and what it has. */
#include "chunk_inner.h"
#include <string.h>

void sparse_put(struct buf *out, const uint64_t *values, const uint64_t *from, size_t count)
{
    size_t some = 0, next = 0;
    for (size_t i = 0; i < count; i++) {
        some += values[i] != 0;
    }
    buf_put_varint(out, some);
    for (size_t i = 0; i < count; i++) {
        if (values[i] != 0) {
            buf_put_varint(out, i - next);
            buf_put_varint(out, values[i] - from[i]);
            next = i + 1;
        }
    }
}

void sparse_put_marks(struct buf *out, const bool *marks, size_t count)
{
    size_t some = 0, next = 0;
    for (size_t i = 0; i < count; i++) {
        some += marks[i];
    }
    buf_put_varint(out, some);
    for (size_t i = 0; i < count; i++) {
        if (marks[i]) {
            buf_put_varint(out, i - next);
            next = i + 1;
        }
    }
}

/* The row of the next one. */
static void find_next(struct sparse_reader *reader)
{
    if (reader->left > 0) {
        uint64_t gap = cursor_varint(&reader->in);
        reader->in.failed |= gap >= reader->count - reader->next;
        reader->next += reader->in.failed ? 0 : gap;
    }
}

void sparse_open(struct sparse_reader *reader, struct cursor in, size_t count)
{
    *reader = (struct sparse_reader){.in = in, .count = count};
    reader->left = cursor_varint(&reader->in);
    reader->in.failed |= reader->left > count;
    find_next(reader);
}

/* Whether one is within the next rows. */
static bool is_near(const struct sparse_reader *reader, size_t count)
{
    return reader->left > 0 && !reader->in.failed && reader->next < reader->at + count;
}

static void pass(struct sparse_reader *reader)
{
    reader->left--;
    reader->next++;
    find_next(reader);
}

void sparse_next(struct sparse_reader *reader, size_t count, const uint64_t *from, uint64_t *ret_values)
{
    memset(ret_values, 0, count * sizeof *ret_values);
    while (is_near(reader, count)) {
        size_t row = reader->next - reader->at;
        ret_values[row] = from[row] + cursor_varint(&reader->in);
        pass(reader);
    }
    reader->at += count;
}

void sparse_next_marks(struct sparse_reader *reader, size_t count, bool *ret_marks)
{
    memset(ret_marks, 0, count * sizeof *ret_marks);
    while (is_near(reader, count)) {
        ret_marks[reader->next - reader->at] = true;
        pass(reader);
    }
    reader->at += count;
}
