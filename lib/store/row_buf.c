#include "row_buf.h"
#include <stdlib.h>
#include <string.h>

bool row_buf_make(struct row_buf *buf, size_t capacity)
{
    *buf = (struct row_buf){.capacity = capacity,
                            .time_ms = malloc(capacity * sizeof(int64_t)),
                            .value = malloc(capacity * sizeof(double)),
                            .of = malloc(capacity * sizeof(double)),
                            .ordinal = malloc(capacity * sizeof(uint64_t)),
                            .seq = malloc(capacity * sizeof(uint64_t)),
                            .gone = malloc(capacity * sizeof(uint64_t)),
                            .key = malloc(capacity * sizeof(struct chunk_key)),
                            .text_at = malloc(capacity * sizeof(size_t)),
                            .retract = malloc(capacity * sizeof(bool))};
    return buf->time_ms && buf->value && buf->of && buf->ordinal && buf->seq && buf->gone && buf->key &&
           buf->text_at && buf->retract;
}

void row_buf_free(struct row_buf *buf)
{
    free(buf->time_ms);
    free(buf->value);
    free(buf->of);
    free(buf->ordinal);
    free(buf->seq);
    free(buf->gone);
    free(buf->key);
    free(buf->text_at);
    free(buf->retract);
    buf_free(&buf->texts);
    *buf = (struct row_buf){0};
}

/* ---- adding ---- */

static bool add_keys(struct row_buf *buf, const struct chunk_key *keys, size_t count)
{
    size_t texts = buf->texts.length;
    for (size_t i = 0; i < count; i++) {
        bool has_key = keys && keys[i].text;
        buf->text_at[buf->count + i] = has_key ? buf->texts.length : SIZE_MAX;
        buf->key[buf->count + i] = (struct chunk_key){.length = has_key ? keys[i].length : 0};
        if (has_key) {
            buf_put(&buf->texts, keys[i].text, keys[i].length);
        }
    }
    if (buf->texts.failed) {
        buf->texts.failed = false;
        buf->texts.length = texts;
        return false;
    }
    return true;
}

static void add_doubles(double *to, const double *from, size_t count, double otherwise)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = from ? from[i] : otherwise;
    }
}

static void add_wholes(uint64_t *to, const uint64_t *from, size_t count)
{
    if (from) {
        memcpy(to, from, count * sizeof *to);
    } else {
        memset(to, 0, count * sizeof *to);
    }
}

bool row_buf_add(struct row_buf *buf, const struct chunk_rows *rows, size_t from, size_t count)
{
    struct chunk_rows more = rows_slice(rows, from, count);
    size_t at = buf->count;
    if (at == 0) {
        buf->has_of = buf->has_seq = buf->has_gone = buf->has_key = buf->has_retract = false;
    }
    if ((more.key || buf->has_key) && !buf->has_key) { /* those before have none */
        memset(buf->text_at, 0xff, at * sizeof *buf->text_at);
        memset(buf->key, 0, at * sizeof *buf->key);
    }
    buf->has_key |= more.key != NULL;
    if (buf->has_key && !add_keys(buf, more.key, count)) {
        return false;
    }
    memcpy(buf->time_ms + at, more.time_ms, count * sizeof *more.time_ms);
    memcpy(buf->ordinal + at, more.ordinal, count * sizeof *more.ordinal);
    add_doubles(buf->value + at, more.value, count, 0);
    add_doubles(buf->of + at, more.of, count, 1);
    add_wholes(buf->seq + at, more.seq, count);
    add_wholes(buf->gone + at, more.gone, count);
    memset(buf->retract + at, 0, count * sizeof *buf->retract);
    if (more.retract) {
        memcpy(buf->retract + at, more.retract, count * sizeof *buf->retract);
    }
    buf->has_of |= more.of != NULL;
    buf->has_seq |= more.seq != NULL;
    buf->has_gone |= more.gone != NULL;
    buf->has_retract |= more.retract != NULL;
    buf->count += count;
    return true;
}

/* ---- taking away ---- */

static void drop_texts(struct row_buf *buf, size_t left)
{
    size_t first = buf->texts.length;
    for (size_t i = 0; i < left; i++) {
        first = buf->text_at[i] < first ? buf->text_at[i] : first;
    }
    for (size_t i = 0; i < left; i++) {
        buf->text_at[i] -= buf->text_at[i] == SIZE_MAX ? 0 : first;
    }
    if (buf->texts.length > first) {
        memmove(buf->texts.data, buf->texts.data + first, buf->texts.length - first);
    }
    buf->texts.length -= first;
}

void row_buf_drop(struct row_buf *buf, size_t count)
{
    size_t left = buf->count - count;
    if (count == 0) {
        return;
    }
    memmove(buf->time_ms, buf->time_ms + count, left * sizeof *buf->time_ms);
    memmove(buf->value, buf->value + count, left * sizeof *buf->value);
    memmove(buf->of, buf->of + count, left * sizeof *buf->of);
    memmove(buf->ordinal, buf->ordinal + count, left * sizeof *buf->ordinal);
    memmove(buf->seq, buf->seq + count, left * sizeof *buf->seq);
    memmove(buf->gone, buf->gone + count, left * sizeof *buf->gone);
    memmove(buf->retract, buf->retract + count, left * sizeof *buf->retract);
    if (buf->has_key) {
        memmove(buf->key, buf->key + count, left * sizeof *buf->key);
        memmove(buf->text_at, buf->text_at + count, left * sizeof *buf->text_at);
        drop_texts(buf, left);
    }
    buf->count = left;
}

/* ---- views ---- */

struct chunk_rows rows_slice(const struct chunk_rows *rows, size_t from, size_t count)
{
    return (struct chunk_rows){.count = count,
                               .time_ms = rows->time_ms + from,
                               .value = rows->value ? rows->value + from : NULL,
                               .of = rows->of ? rows->of + from : NULL,
                               .ordinal = rows->ordinal + from,
                               .seq = rows->seq ? rows->seq + from : NULL,
                               .gone = rows->gone ? rows->gone + from : NULL,
                               .key = rows->key ? rows->key + from : NULL,
                               .retract = rows->retract ? rows->retract + from : NULL};
}

struct chunk_rows row_buf_rows(struct row_buf *buf, size_t from, size_t count)
{
    struct chunk_rows all = {.count = buf->count,
                             .time_ms = buf->time_ms,
                             .value = buf->value,
                             .of = buf->has_of ? buf->of : NULL,
                             .ordinal = buf->ordinal,
                             .seq = buf->has_seq ? buf->seq : NULL,
                             .gone = buf->has_gone ? buf->gone : NULL,
                             .key = buf->has_key ? buf->key : NULL,
                             .retract = buf->has_retract ? buf->retract : NULL};
    for (size_t i = from; buf->has_key && i < from + count; i++) {
        static const char empty[1] = "";
        const char *texts = buf->texts.data ? (const char *)buf->texts.data : empty;
        buf->key[i].text = buf->text_at[i] == SIZE_MAX ? NULL : texts + buf->text_at[i];
    }
    return rows_slice(&all, from, count);
}
