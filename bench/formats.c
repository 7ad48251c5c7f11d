#include "formats.h"
#include "figures.h"
#include <errno.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

struct format {
    const char *name;
    void (*make)(struct writer *writer); /* the request of the writer's rows */
    bool by_series;                      /* all rows of a file are sorted by series */
};

static int64_t time_of(const struct writer *writer, const struct row *row)
{
    return writer->start_ms + (int64_t)row->tick * TICK_MS;
}

struct labels {
    char measure[8], org[24];
};

static struct labels labels_of(const struct row *row)
{
    struct labels labels;
    uint32_t line = row->series / MEASURES;
    snprintf(labels.measure, sizeof labels.measure, "m%u", row->series % MEASURES);
    snprintf(labels.org, sizeof labels.org, "plant-%u/line-%u", line % PLANTS, line / PLANTS);
    return labels;
}

/* As short as reads back to the same double. */
static void put_number(struct buf *buf, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, sizeof text, "%.17g", value);
    buf_printf(buf, "%s", text);
}

static void post(struct writer *writer, const char *path, const char *headers, const void *body,
                 size_t length)
{
    buf_printf(&writer->frame, "POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n", path,
               headers, length);
    buf_put(&writer->frame, body, length);
}

static void post_body(struct writer *writer, const char *path)
{
    post(writer, path, "", writer->body.data, writer->body.length);
}

/* ---- ClickHouse: a block in its own columnar format ---- */

static void put_column(struct buf *body, const char *name, const char *type)
{
    buf_put_text(body, name, strlen(name));
    buf_put_text(body, type, strlen(type));
}

static void make_clickhouse(struct writer *writer)
{
    struct buf *body = &writer->body;
    buf_put_varint(body, 3);
    buf_put_varint(body, writer->count);
    put_column(body, "series", "UInt32");
    for (uint32_t i = 0; i < writer->count; i++)
        buf_put_u32(body, writer->rows[i].series);
    put_column(body, "time_ms", "Int64");
    for (uint32_t i = 0; i < writer->count; i++)
        buf_put_u64(body, (uint64_t)time_of(writer, &writer->rows[i]));
    put_column(body, "value", "Float64");
    for (uint32_t i = 0; i < writer->count; i++)
        buf_put_f64(body, writer->rows[i].value);
    post_body(writer, "/?query=INSERT%20INTO%20w%20FORMAT%20Native");
}

/* ---- Prometheus' remote write: protobuf in snappy ---- */

static size_t label_size(const char *name, const char *value)
{
    return 4 + strlen(name) + strlen(value);
}

static void put_label(struct buf *body, const char *name, const char *value)
{
    buf_put_u8(body, 1 << 3 | 2); /* TimeSeries.labels */
    buf_put_varint(body, label_size(name, value));
    buf_put_u8(body, 1 << 3 | 2);
    buf_put_text(body, name, strlen(name));
    buf_put_u8(body, 2 << 3 | 2);
    buf_put_text(body, value, strlen(value));
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 128; value >>= 7)
        size++;
    return size;
}

static void put_series(struct writer *writer, const struct row *row)
{
    struct buf *body = &writer->body;
    struct labels labels = labels_of(row);
    uint64_t time_ms = (uint64_t)time_of(writer, row);
    size_t sample = 1 + 8 + 1 + varint_size(time_ms);
    buf_put_u8(body, 1 << 3 | 2); /* WriteRequest.timeseries */
    buf_put_varint(body, 2 + label_size("__name__", labels.measure) + 2 + label_size("org", labels.org) + 2 +
                             sample);
    put_label(body, "__name__", labels.measure);
    put_label(body, "org", labels.org);
    buf_put_u8(body, 2 << 3 | 2); /* TimeSeries.samples */
    buf_put_varint(body, sample);
    buf_put_u8(body, 1 << 3 | 1);
    buf_put_f64(body, row->value);
    buf_put_u8(body, 2 << 3 | 0);
    buf_put_varint(body, time_ms);
}

static void make_remote_write(struct writer *writer)
{
    for (uint32_t i = 0; i < writer->count; i++)
        put_series(writer, &writer->rows[i]);
    size_t length = snappy_max_compressed_length(writer->body.length);
    char *packed = malloc(length);
    if (!packed ||
        snappy_compress((const char *)writer->body.data, writer->body.length, packed, &length) != SNAPPY_OK)
        die("out of memory");
    post(writer, "/api/v1/write",
         "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
         "X-Prometheus-Remote-Write-Version: 0.1.0\r\n",
         packed, length);
    free(packed);
}

/* ---- InfluxDB's line protocol ---- */

static void make_influx(struct writer *writer)
{
    for (uint32_t i = 0; i < writer->count; i++) {
        const struct row *row = &writer->rows[i];
        struct labels labels = labels_of(row);
        buf_printf(&writer->body, "w,measure=%s,org=%s value=", labels.measure, labels.org);
        put_number(&writer->body, row->value);
        buf_printf(&writer->body, " %lld\n", (long long)time_of(writer, row));
    }
    post_body(writer, "/write?db=w&precision=ms");
}

/* ---- PostgreSQL: COPY in binary, one transaction a request ---- */

static void put_big(struct buf *buf, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        buf_put_u8(buf, (uint8_t)(value >> 8 * bytes));
}

static void put_message(struct buf *frame, char type, const void *bytes, size_t length)
{
    buf_put_u8(frame, (uint8_t)type);
    put_big(frame, length + 4, 4);
    buf_put(frame, bytes, length);
}

static void put_query(struct buf *frame, const char *sql)
{
    put_message(frame, 'Q', sql, strlen(sql) + 1);
}

static void put_row(struct buf *body, const struct writer *writer, const struct row *row)
{
    uint64_t bits;
    memcpy(&bits, &row->value, sizeof bits);
    put_big(body, 3, 2);
    put_big(body, 4, 4);
    put_big(body, row->series, 4);
    put_big(body, 8, 4);
    put_big(body, (uint64_t)time_of(writer, row), 8);
    put_big(body, 8, 4);
    put_big(body, bits, 8);
}

static void make_postgres(struct writer *writer)
{
    enum { MESSAGE = 65536 };
    struct buf *body = &writer->body, *frame = &writer->frame;
    bool plain = writer->variant == VARIANT_PLAIN;
    buf_put(body, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19); /* and no flags, no extension */
    for (uint32_t i = 0; i < writer->count; i++)
        put_row(body, writer, &writer->rows[i]);
    put_big(body, UINT16_MAX, 2);
    put_query(frame, plain ? "COPY w FROM STDIN (FORMAT binary)"
                           : "BEGIN; CREATE TEMP TABLE IF NOT EXISTS stage (series int, time_ms bigint, "
                             "value float8) ON COMMIT DELETE ROWS; COPY stage FROM STDIN (FORMAT binary)");
    for (size_t at = 0; at < body->length; at += MESSAGE)
        put_message(frame, 'd', body->data + at, body->length - at < MESSAGE ? body->length - at : MESSAGE);
    put_message(frame, 'c', NULL, 0);
    if (!plain)
        put_query(frame, "INSERT INTO w SELECT * FROM stage ON CONFLICT (series, time_ms) DO UPDATE SET "
                         "value = excluded.value; COMMIT");
}

/* ---- VictoriaMetrics' JSON lines: all of a series in one ---- */

static void put_line(struct writer *writer, uint32_t from, uint32_t to)
{
    struct buf *body = &writer->body;
    struct labels labels = labels_of(&writer->rows[from]);
    buf_printf(body, "{\"metric\":{\"__name__\":\"%s\",\"org\":\"%s\"},\"values\":[", labels.measure,
               labels.org);
    for (uint32_t i = from; i < to; i++) {
        buf_printf(body, "%s", i > from ? "," : "");
        put_number(body, writer->rows[i].value);
    }
    buf_printf(body, "],\"timestamps\":[");
    for (uint32_t i = from; i < to; i++)
        buf_printf(body, "%s%lld", i > from ? "," : "", (long long)time_of(writer, &writer->rows[i]));
    buf_printf(body, "]}\n");
}

static void make_json(struct writer *writer)
{
    for (uint32_t from = 0, to; from < writer->count; from = to) {
        for (to = from + 1; to < writer->count && writer->rows[to].series == writer->rows[from].series;)
            to++;
        put_line(writer, from, to);
    }
    post_body(writer, "/api/v1/import");
}

/* ---- files ---- */

const struct format *format_named(const char *name)
{
    static const struct format formats[] = {{"clickhouse", make_clickhouse, false},
                                            {"remote_write", make_remote_write, false},
                                            {"influx", make_influx, false},
                                            {"postgres", make_postgres, false},
                                            {"json", make_json, true}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

void writer_open(struct writer *writer, const char *path)
{
    writer->rows = calloc(writer->frame_rows, sizeof *writer->rows);
    writer->file = fopen(path, "we");
    if (!writer->rows)
        die("out of memory");
    if (!writer->file)
        die("%s: %s", path, strerror(errno));
}

static void finish(struct writer *writer)
{
    if (writer->count == 0)
        return;
    buf_reset(&writer->body);
    buf_reset(&writer->frame);
    writer->format->make(writer);
    uint32_t length = (uint32_t)writer->frame.length;
    uint8_t bytes[4] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16),
                        (uint8_t)(length >> 24)};
    if (writer->body.failed || writer->frame.failed)
        die("out of memory");
    if (fwrite(bytes, 1, 4, writer->file) != 4 ||
        fwrite(writer->frame.data, 1, length, writer->file) != length)
        die("requests cannot be written: %s", strerror(errno));
    writer->bytes += length;
    writer->frames++;
    writer->count = 0;
}

/* Of one series and time there is at most one in a request: PostgreSQL updates none twice in a statement. */
static bool meets_its_first(const struct writer *writer, const struct row *row)
{
    return writer->count > 0 && row->corrects && row->tick >= writer->first_tick;
}

void writer_add(struct writer *writer, const struct row *row)
{
    if (!writer->format->by_series && (writer->count == writer->frame_rows || meets_its_first(writer, row)))
        finish(writer);
    if (writer->count == writer->frame_rows)
        die("there are more rows than were foreseen");
    if (writer->count == 0)
        writer->first_tick = UINT32_MAX;
    if (!row->corrects && !row->late && row->tick < writer->first_tick)
        writer->first_tick = row->tick;
    writer->rows[writer->count++] = *row;
}

static int by_series(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    return x->tick < y->tick ? -1 : x->tick > y->tick;
}

/* Sorts all rows and cuts them between series, some 100,000 each. */
static void finish_sorted(struct writer *writer)
{
    enum { ROWS = 100000 };
    struct row *rows = writer->rows;
    uint32_t count = writer->count;
    qsort(rows, count, sizeof *rows, by_series);
    for (uint32_t from = 0, to; from < count; from = to) {
        to = from + ROWS < count ? from + ROWS : count;
        while (to < count && rows[to].series == rows[to - 1].series)
            to++;
        writer->rows = rows + from;
        writer->count = to - from;
        finish(writer);
    }
    writer->rows = rows;
    writer->count = 0;
}

void writer_close(struct writer *writer)
{
    if (writer->format->by_series)
        finish_sorted(writer);
    finish(writer);
    if (fclose(writer->file) != 0)
        die("requests cannot be written: %s", strerror(errno));
    buf_free(&writer->body);
    buf_free(&writer->frame);
    free(writer->rows);
}
