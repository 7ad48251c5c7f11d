/* bench_chunk: bytes and CPU time a row of chunks. `bench/chunk` runs it.
 *
 *     bench_chunk made           made-up series: workload W and its variants
 *     bench_chunk read NAME      rows of stdin: time_ms value of seq key, parted by tabs, an empty line
 *                                between series; empty fields are none */
#include "figures.h"
#include "values.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <store/chunk.h>
#include <string.h>

enum {
    SERIES = 300,
    SAMPLES = 1000,
    INTERLEAVED = 9984, /* series of W */
    TICK_MS = 10000,
    KEY_ROOM = 64,
    ROWS_MAX = 1 << 20,
    ROUND_NS = 200000000 /* CPU time of each measurement, at least */
};

/* Series one after the other, cut into chunks. */
struct data {
    int64_t *time_ms;
    double *value, *of;
    uint64_t *ordinal, *seq, *gone;
    struct chunk_key *key;
    char *texts;
    bool has_of, has_keys;
    size_t count;
    size_t *chunk_ends, chunks;
    size_t chunk_rows; /* at most */
};

static void *room(size_t size)
{
    void *bytes = calloc(ROWS_MAX, size);
    if (!bytes)
        die("out of memory");
    return bytes;
}

static void data_open(struct data *data, size_t chunk_rows)
{
    *data = (struct data){.time_ms = room(sizeof(int64_t)),
                          .value = room(sizeof(double)),
                          .of = room(sizeof(double)),
                          .ordinal = room(sizeof(uint64_t)),
                          .seq = room(sizeof(uint64_t)),
                          .gone = room(sizeof(uint64_t)),
                          .key = room(sizeof(struct chunk_key)),
                          .texts = room(KEY_ROOM),
                          .chunk_ends = room(sizeof(size_t)),
                          .chunk_rows = chunk_rows};
}

static void data_close(struct data *data)
{
    free(data->time_ms);
    free(data->value);
    free(data->of);
    free(data->ordinal);
    free(data->seq);
    free(data->gone);
    free(data->key);
    free(data->texts);
    free(data->chunk_ends);
}

static void end_chunk(struct data *data)
{
    if (data->count > (data->chunks ? data->chunk_ends[data->chunks - 1] : 0))
        data->chunk_ends[data->chunks++] = data->count;
}

/* The next row, to be filled in; its time must not be below that of the row before in its series. */
static size_t add_row(struct data *data)
{
    size_t at = data->count;
    if (at == ROWS_MAX)
        die("more than %d rows", ROWS_MAX);
    data->of[at] = 1;
    data->ordinal[at] = at + 1;
    if (at - (data->chunks ? data->chunk_ends[data->chunks - 1] : 0) == data->chunk_rows)
        end_chunk(data);
    data->count++;
    return at;
}

static void set_key(struct data *data, size_t at, const char *text, size_t length)
{
    if (length > KEY_ROOM)
        die("a key of more than %d bytes", KEY_ROOM);
    data->has_keys = true;
    memcpy(data->texts + at * KEY_ROOM, text, length);
    data->key[at] = (struct chunk_key){data->texts + at * KEY_ROOM, length};
}

static struct chunk_rows rows_of(const struct data *data, size_t chunk)
{
    size_t from = chunk ? data->chunk_ends[chunk - 1] : 0;
    return (struct chunk_rows){.count = data->chunk_ends[chunk] - from,
                               .time_ms = data->time_ms + from,
                               .value = data->value + from,
                               .of = data->has_of ? data->of + from : NULL,
                               .ordinal = data->ordinal + from,
                               .seq = data->has_keys ? data->seq + from : NULL,
                               .gone = data->has_keys ? data->gone + from : NULL,
                               .key = data->has_keys ? data->key + from : NULL};
}

/* ---- measuring ---- */

static void encode_all(const struct data *data, struct buf *out, size_t *ends)
{
    poise_error err = {0};
    buf_reset(out);
    for (size_t i = 0; i < data->chunks; i++) {
        struct chunk_rows rows = rows_of(data, i);
        check(chunk_encode(i, &rows, out, &err), &err);
        ends[i] = out->length;
    }
}

static void decode_all(const struct data *data, const struct buf *chunks, const size_t *ends,
                       struct chunk_reader *reader)
{
    poise_error err = {0};
    size_t count = 0;
    for (size_t i = 0; i < data->chunks; i++) {
        size_t from = i ? ends[i - 1] : 0;
        struct chunk_head head;
        struct chunk_rows rows;
        check(chunk_reader_begin(reader, i, chunks->data + from, ends[i] - from, &head, &err), &err);
        do {
            check(chunk_reader_next(reader, &rows, &err), &err);
            if (memcmp(rows.value, data->value + count, rows.count * sizeof(double)) != 0)
                die("a chunk does not give back what was put in");
            count += rows.count;
        } while (rows.count > 0);
    }
    if (count != data->count)
        die("%zu rows were put in and %zu came out", data->count, count);
}

/* Bytes a value as Gorilla's XOR would take (Pelkonen et al. 2015, 4.1.2), for comparison. */
static double xor_bytes(const struct data *data)
{
    uint64_t bits = 0, before = 0;
    unsigned lead = 64, trail = 0;
    for (size_t i = 0, chunk = 0; i < data->count; i++) {
        uint64_t pattern, changed;
        memcpy(&pattern, &data->value[i], sizeof pattern);
        changed = pattern ^ before;
        before = pattern;
        if (i == (chunk ? data->chunk_ends[chunk - 1] : 0)) {
            chunk++;
            lead = 64;
            bits += 64;
        } else if (changed == 0) {
            bits += 1;
        } else {
            unsigned zeros = (unsigned)__builtin_clzll(changed), last = (unsigned)__builtin_ctzll(changed);
            zeros = zeros > 31 ? 31 : zeros;
            bool fits = lead < 64 && zeros >= lead && last >= trail;
            lead = fits ? lead : zeros;
            trail = fits ? trail : last;
            bits += (fits ? 2U : 2U + 5U + 6U) + 64 - lead - trail;
        }
    }
    return (double)bits / 8 / (double)data->count;
}

/* Of the values alone: what more a chunk takes than one whose values are all 0. */
static double value_bytes(const struct data *data, size_t whole, struct buf *scratch, size_t *ends)
{
    struct data none = *data;
    none.value = room(sizeof(double));
    encode_all(&none, scratch, ends);
    free(none.value);
    return (double)(whole - scratch->length) / (double)data->count;
}

static void name_figure(const char *name, const char *what, double value)
{
    char text[96];
    snprintf(text, sizeof text, "%s_%s", name, what);
    figure(text, value);
}

static void measure(struct data *data, const char *name)
{
    struct buf chunks = {0}, scratch = {0};
    size_t *ends = room(sizeof(size_t)), rounds = 0;
    struct chunk_reader *reader = chunk_reader_open();
    end_chunk(data);
    if (!reader || data->count == 0)
        die("no rows, or no memory");
    encode_all(data, &chunks, ends);
    int64_t start = cpu_ns(0), spent;
    for (; (spent = cpu_ns(0) - start) < ROUND_NS; rounds++)
        encode_all(data, &chunks, ends);
    name_figure(name, "encode_ns", (double)spent / (double)rounds / (double)data->count);
    rounds = 0;
    for (start = cpu_ns(0); (spent = cpu_ns(0) - start) < ROUND_NS; rounds++)
        decode_all(data, &chunks, ends, reader);
    name_figure(name, "decode_ns", (double)spent / (double)rounds / (double)data->count);
    name_figure(name, "bytes", (double)chunks.length / (double)data->count);
    name_figure(name, "value_bytes", value_bytes(data, chunks.length, &scratch, ends));
    name_figure(name, "xor_bytes", xor_bytes(data));
    chunk_reader_close(reader);
    buf_free(&chunks);
    buf_free(&scratch);
    free(ends);
}

/* ---- made-up series ---- */

struct variant {
    const char *name;
    uint32_t kind, kinds; /* series kind, kind + kinds, ... of W */
    uint32_t chunk_rows;
    uint32_t jitter; /* of places in the journal: several senders */
    bool keyed;      /* in the order of arrival */
    uint32_t gone;   /* one row in so many was corrected */
};

static void make_row(struct data *data, const struct variant *variant, uint32_t series, uint32_t tick,
                     double value, struct random *random)
{
    size_t at = add_row(data);
    data->time_ms[at] = INT64_C(1764000000000) + (int64_t)tick * TICK_MS;
    data->value[at] = value;
    data->ordinal[at] = (uint64_t)tick * INTERLEAVED + series + 100000;
    if (variant->jitter)
        data->ordinal[at] += (uint64_t)random_between(random, 0, variant->jitter);
    if (variant->keyed) {
        char key[32];
        set_key(data, at, key,
                (size_t)snprintf(key, sizeof key, "order-%010llu", (unsigned long long)data->ordinal[at]));
    }
    if (variant->gone && random_between(random, 1, variant->gone) == 1)
        data->gone[at] = data->ordinal[at] + (uint64_t)random_between(random, 1, 10000000);
}

static void make(const struct variant *variant)
{
    struct data data;
    struct random random = {1}, noise = {2};
    data_open(&data, variant->chunk_rows);
    for (uint32_t series = variant->kind; series < SERIES; series += variant->kinds) {
        int64_t last = 0;
        for (uint32_t tick = 0; tick < SAMPLES; tick++)
            make_row(&data, variant, series, tick, next_value(&random, series, &last), &noise);
        end_chunk(&data);
    }
    measure(&data, variant->name);
    data_close(&data);
}

static void make_all(void)
{
    static const struct variant variants[] = {
        {"W", 0, 1, 1000, 0, false, 0},
        {"walk", 0, 3, 1000, 0, false, 0},
        {"counter", 1, 3, 1000, 0, false, 0},
        {"noise", 2, 3, 1000, 0, false, 0},
        {"W_senders", 0, 1, 1000, 2000, false, 0},
        {"W_keyed", 0, 1, 1000, 0, true, 0},
        {"W_keyed_senders", 0, 1, 1000, 2000, true, 10},
        {"W_200", 0, 1, 200, 0, false, 0},
        {"W_50", 0, 1, 50, 0, false, 0},
        {"W_10", 0, 1, 10, 0, false, 0},
        {"W_2", 0, 1, 2, 0, false, 0},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        make(&variants[i]);
}

/* ---- rows of a file ---- */

/* The next field, ended by 0; "" where there is none. */
static char *next_field(char **rest)
{
    char *field = *rest, *end = field + strcspn(field, "\t\n");
    *rest = *end ? end + 1 : end;
    *end = '\0';
    return field;
}

static void read_row(struct data *data, char *line)
{
    size_t at = add_row(data);
    char *rest = line;
    data->time_ms[at] = strtoll(next_field(&rest), NULL, 10);
    data->value[at] = strtod(next_field(&rest), NULL);
    char *of = next_field(&rest), *seq = next_field(&rest), *key = next_field(&rest);
    if (*of) {
        data->of[at] = strtod(of, NULL);
        data->has_of = true;
    }
    data->seq[at] = strtoull(seq, NULL, 10);
    if (*key)
        set_key(data, at, key, strlen(key));
}

static void read_all(const char *name)
{
    struct data data;
    char line[512];
    data_open(&data, SAMPLES);
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == '\n')
            end_chunk(&data);
        else
            read_row(&data, line);
    }
    measure(&data, name);
    data_close(&data);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "made") == 0)
        make_all();
    else if (argc == 3 && strcmp(argv[1], "read") == 0)
        read_all(argv[2]);
    else
        die("bench_chunk made | bench_chunk read NAME");
    return 0;
}
