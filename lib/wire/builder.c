/* Columns are written as they will go out, so that the size is known and finishing is concatenation. */
#include <base/hash.h>
#include <poise/types.h>
#include <stdlib.h>
#include <string.h>
#include <wire/wire.h>

/* Columns by their field number in Batch. */
enum column {
    SERIES_MEASURE = 4,
    SERIES_ORG = 5,
    SERIES_SOURCE = 6,
    SERIES = 8,
    TIME_DELTA = 9,
    VALUE = 10,
    OF = 11,
    KEY = 12,
    ROW_SEQ = 13,
    RETRACT = 14,
    COLUMN_END
};
enum { EPOCH = 1, SEQ = 2, SYMBOLS = 3, BASE_TIME = 7, BACKFILL = 15 };
enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2 };

enum {
    VARINT_MAX = 10,
    INDEX_MAX = 3,                   /* bytes of a symbol's or series' index */
    HEAD_MAX = 9 + 2 * 11 + 2,       /* epoch, seq, base time, backfill */
    COLUMN_HEAD_MAX = 1 + INDEX_MAX, /* a column has less than 2 MiB */
    SYMBOL_HEAD_MAX = 1 + 2,
    LEAST_BYTES = 2048 /* any one measurement fits */
};

#define BIT(column) (1u << (column))
enum { NEEDED = BIT(SERIES_MEASURE) | BIT(SERIES_ORG) | BIT(SERIES) | BIT(TIME_DELTA) | BIT(VALUE) };

struct wire_builder {
    struct intern symbols, series; /* a series is interned as the bytes of its three symbols */
    struct buf symbol_bytes;
    struct buf columns[COLUMN_END];
    unsigned used; /* bits of the columns that say anything */
    size_t rows, max_rows, max_bytes, max_symbols;
    int64_t base_time_ms, last_time_ms;
    enum wire_backfill backfill;
};

struct wire_builder *wire_builder_open(void)
{
    struct wire_builder *builder = calloc(1, sizeof *builder);
    if (builder) {
        builder->used = NEEDED;
        wire_builder_limits(builder, WIRE_BATCH_ROWS_MAX, WIRE_MESSAGE_MAX);
        wire_builder_symbols(builder, WIRE_SYMBOLS_MAX);
    }
    return builder;
}

void wire_builder_close(struct wire_builder *builder)
{
    if (builder) {
        intern_free(&builder->symbols);
        intern_free(&builder->series);
        buf_free(&builder->symbol_bytes);
        for (size_t i = 0; i < COLUMN_END; i++) {
            buf_free(&builder->columns[i]);
        }
        free(builder);
    }
}

void wire_builder_limits(struct wire_builder *builder, size_t max_rows, size_t max_bytes)
{
    builder->max_rows = max_rows < 1 ? 1 : max_rows > WIRE_BATCH_ROWS_MAX ? WIRE_BATCH_ROWS_MAX : max_rows;
    builder->max_bytes = max_bytes < LEAST_BYTES        ? LEAST_BYTES
                         : max_bytes > WIRE_MESSAGE_MAX ? WIRE_MESSAGE_MAX
                                                        : max_bytes;
}

void wire_builder_symbols(struct wire_builder *builder, size_t max_symbols)
{
    builder->max_symbols = max_symbols < WIRE_SYMBOLS_LEAST ? WIRE_SYMBOLS_LEAST
                           : max_symbols > WIRE_SYMBOLS_MAX ? WIRE_SYMBOLS_MAX
                                                            : max_symbols;
}

size_t wire_builder_rows(const struct wire_builder *builder)
{
    return builder->rows;
}

/* ---- adding ---- */

/* What a row says, in the form it is written. */
struct row {
    const char *texts[4]; /* measure, org, source, key or NULL */
    size_t lengths[4];
    int64_t time_ms;
    double value, of;
    uint64_t seq;
    bool retract;
};
enum { MEASURE_TEXT, ORG_TEXT, SOURCE_TEXT, KEY_TEXT, TEXTS };

static struct row row_of(const struct wire_builder *builder, const poise_measurement *measurement)
{
    struct row row = {.texts = {measurement->measure, measurement->org ? measurement->org : "",
                                measurement->source ? measurement->source : "", measurement->key},
                      .time_ms = measurement->time_ms,
                      .value = measurement->value,
                      .of = measurement->of,
                      .seq = measurement->seq,
                      .retract = measurement->retract};
    if (row.retract) { /* what is ignored need not be valid, so it is not sent */
        row.time_ms = builder->last_time_ms;
        row.value = 0;
        row.of = 1;
    }
    for (size_t i = 0; i < TEXTS; i++) {
        row.lengths[i] = row.texts[i] ? strlen(row.texts[i]) : 0;
    }
    return row;
}

/* The columns that the batch needs with this row. */
static unsigned columns_with(const struct wire_builder *builder, const struct row *row)
{
    return builder->used | (row->lengths[SOURCE_TEXT] > 0 ? BIT(SERIES_SOURCE) : 0u) |
           (row->of != 1 ? BIT(OF) : 0u) | (row->texts[KEY_TEXT] ? BIT(KEY) : 0u) |
           (row->seq ? BIT(ROW_SEQ) : 0u) | (row->retract ? BIT(RETRACT) : 0u);
}

/* At most so many bytes has the body with these columns. */
static size_t size_now(const struct wire_builder *builder, unsigned columns)
{
    size_t size = HEAD_MAX + builder->symbol_bytes.length;
    for (size_t i = 0; i < COLUMN_END; i++) {
        if (columns & BIT(i)) {
            size += COLUMN_HEAD_MAX + builder->columns[i].length;
        }
    }
    return size;
}

/* And at most so many more with this row. */
static size_t size_of_row(const struct row *row)
{
    size_t size = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        size += SYMBOL_HEAD_MAX + row->lengths[i];
    }
    /* series, its three symbols and key; time and seq; value and of; retract */
    return size + 5 * INDEX_MAX + 2 * VARINT_MAX + 2 * sizeof(double) + 1;
}

static bool reserve(struct wire_builder *builder, const struct row *row)
{
    size_t text = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        text += row->lengths[i] + SYMBOL_HEAD_MAX;
    }
    bool fine = buf_reserve(&builder->symbol_bytes, text + VARINT_MAX);
    for (size_t i = 0; i < COLUMN_END; i++) {
        fine = buf_reserve(&builder->columns[i], VARINT_MAX) && fine;
    }
    return fine;
}

static bool add_symbol(struct wire_builder *builder, const char *text, size_t length, uint32_t *ret_index)
{
    size_t before = builder->symbols.count;
    *ret_index = intern_add(&builder->symbols, text, length);
    if (builder->symbols.count > before) {
        buf_put_varint(&builder->symbol_bytes, SYMBOLS << 3 | DELIMITED);
        buf_put_text(&builder->symbol_bytes, text, length);
    }
    return *ret_index != INTERN_NONE;
}

static bool add_series(struct wire_builder *builder, const uint32_t symbols[3], uint32_t *ret_index)
{
    size_t before = builder->series.count;
    *ret_index = intern_add(&builder->series, (const char *)symbols, 3 * sizeof *symbols);
    if (builder->series.count > before) {
        buf_put_varint(&builder->columns[SERIES_MEASURE], symbols[0]);
        buf_put_varint(&builder->columns[SERIES_ORG], symbols[1]);
        buf_put_varint(&builder->columns[SERIES_SOURCE], symbols[2]);
    }
    return *ret_index != INTERN_NONE;
}

static void put_row(struct wire_builder *builder, const struct row *row, uint32_t series, uint32_t key)
{
    if (builder->rows == 0) {
        builder->base_time_ms = row->time_ms;
        builder->last_time_ms = row->time_ms;
    }
    struct buf *columns = builder->columns;
    buf_put_varint(&columns[SERIES], series);
    buf_put_svarint(&columns[TIME_DELTA], row->time_ms - builder->last_time_ms);
    buf_put_f64(&columns[VALUE], row->value);
    buf_put_f64(&columns[OF], row->of);
    buf_put_varint(&columns[KEY], key);
    buf_put_varint(&columns[ROW_SEQ], row->seq);
    buf_put_u8(&columns[RETRACT], row->retract);
    builder->last_time_ms = row->time_ms;
    builder->rows++;
}

/* Whether there is room for so many rows with new texts of so many bytes at most. */
static bool has_room(const struct wire_builder *builder, size_t rows, size_t bytes)
{
    return builder->rows + rows <= builder->max_rows && bytes <= builder->max_bytes &&
           builder->symbols.count + rows * WIRE_SYMBOLS_LEAST <= builder->max_symbols;
}

poise_code wire_builder_add(struct wire_builder *builder, const poise_measurement *measurement)
{
    struct row row = row_of(builder, measurement);
    unsigned columns = columns_with(builder, &row);
    if (builder->rows > 0 && !has_room(builder, 1, size_now(builder, columns) + size_of_row(&row))) {
        return POISE_EFULL;
    }
    uint32_t symbols[3], series, key = 0;
    if (!reserve(builder, &row)) {
        return POISE_ENOMEM;
    }
    for (size_t i = MEASURE_TEXT; i <= SOURCE_TEXT; i++) {
        if (!add_symbol(builder, row.texts[i], row.lengths[i], &symbols[i])) {
            return POISE_ENOMEM;
        }
    }
    if (row.texts[KEY_TEXT] && !add_symbol(builder, row.texts[KEY_TEXT], row.lengths[KEY_TEXT], &key)) {
        return POISE_ENOMEM;
    }
    if (!add_series(builder, symbols, &series)) {
        return POISE_ENOMEM;
    }
    put_row(builder, &row, series, row.texts[KEY_TEXT] ? key + 1 : 0);
    builder->used = columns;
    return POISE_OK;
}

bool wire_builder_fits(const struct wire_builder *builder, const poise_measurement *measurements,
                       size_t count)
{
    size_t size = size_now(builder, BIT(COLUMN_END) - 1);
    for (size_t i = 0; i < count && size <= builder->max_bytes; i++) {
        struct row row = row_of(builder, &measurements[i]);
        size += size_of_row(&row);
    }
    return has_room(builder, count, size);
}

void wire_builder_backfill(struct wire_builder *builder, enum wire_backfill backfill)
{
    builder->backfill = backfill;
}

/* ---- finishing ---- */

static void put_column(const struct wire_builder *builder, size_t column, struct buf *out)
{
    const struct buf *bytes = &builder->columns[column];
    if ((builder->used & BIT(column)) && bytes->length > 0) {
        buf_put_varint(out, column << 3 | DELIMITED);
        buf_put_varint(out, bytes->length);
        buf_put(out, bytes->data, bytes->length);
    }
}

static void empty(struct wire_builder *builder)
{
    intern_free(&builder->symbols);
    intern_free(&builder->series);
    buf_reset(&builder->symbol_bytes);
    for (size_t i = 0; i < COLUMN_END; i++) {
        buf_reset(&builder->columns[i]);
    }
    builder->used = NEEDED;
    builder->rows = 0;
    builder->base_time_ms = 0;
    builder->last_time_ms = 0;
}

poise_code wire_builder_finish(struct wire_builder *builder, uint64_t epoch, uint64_t seq, struct buf *out)
{
    buf_put_varint(out, EPOCH << 3 | FIXED64);
    buf_put_u64(out, epoch);
    buf_put_varint(out, SEQ << 3 | VARINT);
    buf_put_varint(out, seq);
    buf_put(out, builder->symbol_bytes.data, builder->symbol_bytes.length);
    for (size_t i = SERIES_MEASURE; i < BASE_TIME; i++) {
        put_column(builder, i, out);
    }
    if (builder->base_time_ms != 0) {
        buf_put_varint(out, BASE_TIME << 3 | VARINT);
        buf_put_svarint(out, builder->base_time_ms);
    }
    for (size_t i = SERIES; i < COLUMN_END; i++) {
        put_column(builder, i, out);
    }
    if (builder->backfill != WIRE_BACKFILL_NONE) {
        buf_put_varint(out, BACKFILL << 3 | VARINT);
        buf_put_varint(out, builder->backfill);
    }
    if (out->failed) {
        return POISE_ENOMEM;
    }
    empty(builder);
    return POISE_OK;
}

bool wire_renumber(const void *body, size_t length, uint64_t epoch, uint64_t seq, struct buf *out)
{
    struct cursor in = cursor_of(body, length);
    bool known = cursor_varint(&in) == (EPOCH << 3 | FIXED64);
    (void)cursor_u64(&in);
    known = known && cursor_varint(&in) == (SEQ << 3 | VARINT);
    (void)cursor_varint(&in);
    if (!known || in.failed) {
        return false;
    }
    buf_put_varint(out, EPOCH << 3 | FIXED64);
    buf_put_u64(out, epoch);
    buf_put_varint(out, SEQ << 3 | VARINT);
    buf_put_varint(out, seq);
    buf_put(out, in.at, cursor_left(&in));
    return true;
}
