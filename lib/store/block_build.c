/* Cuts rows into chunks and chunks into blocks. Rows and marks of the series at hand wait in two buffers; a
 * chunk of rows is followed by the marks that lie before its end, so that a reader has both at hand. */
#include "block_inner.h"
#include "row_buf.h"
#include <base/error.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUT_MIN = 256,   /* where less is left of a block, nothing is cut to fill it */
    WASTE_MAX = 160, /* a cut that leaves so little is good enough */
    SAMPLE_ROWS = 512
};
static const double AIM = 0.97; /* of the room: a try that does not fit is lost */

struct pile { /* of one kind */
    struct row_buf rows;
    double bytes_a_row; /* of its last chunk */
    bool is_sampled;    /* which is of the series at hand */
};

struct block_builder {
    struct block_key key; /* of the block that is being filled */
    block_take *take;
    void *taker;
    struct block_stats stats;
    bool begun; /* place and the row before are known */
    struct block_place place;
    int64_t last_ms;
    uint64_t last_place;
    struct pile piles[2]; /* by block_kind */

    struct buf directory, chunks;
    size_t count;         /* of its chunks */
    uint64_t last_series; /* in its directory */
    bool has_block;       /* key is that of a block before in this bucket and input, or of this one */
    struct buf fitting, trial, block;
};

struct block_builder *block_builder_open(uint64_t run, block_take *take, void *taker)
{
    struct block_builder *builder = calloc(1, sizeof *builder);
    if (!builder) {
        return NULL;
    }
    builder->key.run = run;
    builder->take = take;
    builder->taker = taker;
    builder->piles[BLOCK_ROWS].bytes_a_row = builder->piles[BLOCK_MARKS].bytes_a_row = 4;
    if (!row_buf_make(&builder->piles[BLOCK_ROWS].rows, BLOCK_ROWS_MAX) ||
        !row_buf_make(&builder->piles[BLOCK_MARKS].rows, BLOCK_ROWS_MAX)) {
        block_builder_close(builder);
        return NULL;
    }
    return builder;
}

void block_builder_close(struct block_builder *builder)
{
    if (builder) {
        row_buf_free(&builder->piles[BLOCK_ROWS].rows);
        row_buf_free(&builder->piles[BLOCK_MARKS].rows);
        buf_free(&builder->directory);
        buf_free(&builder->chunks);
        buf_free(&builder->fitting);
        buf_free(&builder->trial);
        buf_free(&builder->block);
        free(builder);
    }
}

/* ---- blocks ---- */

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value > 127; value >>= 7) {
        size++;
    }
    return size;
}

/* What a chunk of the series at hand may take, in the block as it is. */
static size_t space(const struct block_builder *builder)
{
    uint64_t step = builder->count > 0 ? builder->place.series - builder->last_series : 0;
    size_t used = BLOCK_HEAD_MAX + builder->directory.length + varint_size(step) +
                  varint_size(2 * BLOCK_MAX) + builder->chunks.length;
    return used < BLOCK_MAX ? BLOCK_MAX - used : 0;
}

static poise_code end_block(struct block_builder *builder, poise_error *err)
{
    struct buf *out = &builder->block;
    if (builder->count == 0) {
        return POISE_OK;
    }
    buf_reset(out);
    buf_put_u32(out, 0); /* once it is known */
    buf_put_u8(out, BLOCK_FORMAT);
    buf_put_varint(out, builder->count);
    buf_put(out, builder->directory.data, builder->directory.length);
    buf_put(out, builder->chunks.data, builder->chunks.length);
    if (out->failed || builder->directory.failed || builder->chunks.failed) {
        return error_nomem(err, "a block");
    }
    struct buf crc = {.data = out->data, .capacity = 4};
    buf_put_u32(&crc, block_crc(&builder->key, out->data + 4, out->length - 4));
    builder->stats.blocks++;
    builder->stats.bytes += out->length;
    builder->count = 0;
    buf_reset(&builder->directory);
    buf_reset(&builder->chunks);
    struct block block = {
        .key = builder->key, .bytes = out->data, .length = out->length, .stats = builder->stats};
    return builder->take(builder->taker, &block, err);
}

static void begin_block(struct block_builder *builder)
{
    const struct block_place *place = &builder->place;
    bool again = builder->has_block && builder->key.series == place->series;
    builder->key.bucket = place->bucket;
    builder->key.input = place->input;
    builder->key.part = again ? builder->key.part + 1 : 0;
    builder->key.series = place->series;
    builder->last_series = place->series;
    builder->has_block = true;
}

static void count_rows(struct block_stats *stats, enum block_kind kind, const struct chunk_rows *rows)
{
    bool first = stats->rows + stats->marks == 0;
    int64_t min = rows->time_ms[0], max = rows->time_ms[rows->count - 1];
    stats->min_time_ms = first || min < stats->min_time_ms ? min : stats->min_time_ms;
    stats->max_time_ms = first || max > stats->max_time_ms ? max : stats->max_time_ms;
    *(kind == BLOCK_MARKS ? &stats->marks : &stats->rows) += rows->count;
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t place = rows->gone && rows->gone[i] > rows->ordinal[i] ? rows->gone[i] : rows->ordinal[i];
        uint64_t first_place = kind == BLOCK_MARKS ? place : rows->ordinal[i];
        stats->last_place = place > stats->last_place ? place : stats->last_place;
        stats->first_place =
            (first && i == 0) || first_place < stats->first_place ? first_place : stats->first_place;
    }
}

/* ---- cutting ---- */

static size_t first_guess(const struct pile *pile, size_t count, size_t room)
{
    double rows = (double)room / pile->bytes_a_row * AIM;
    return rows * 1.1 >= (double)count ? count : rows < 1 ? 1 : (size_t)rows;
}

/* A guess that is far off costs thousands of rows; a sample does not. */
static size_t first_try(struct pile *pile, size_t count, size_t room)
{
    bool is_sampled = pile->is_sampled;
    pile->is_sampled = true;
    return is_sampled || count < 4 * (size_t)SAMPLE_ROWS ? first_guess(pile, count, room) : SAMPLE_ROWS;
}

/* Between low, which fits, and high, which does not: where a line through the last try says. */
static size_t next_guess(size_t low, size_t high, size_t tried, size_t took, size_t room, size_t count)
{
    double guess = (double)tried * (double)room / (double)(took > 0 ? took : 1) * AIM;
    if (guess >= (double)count && high > count) {
        return count;
    }
    size_t rows = guess < (double)high ? (size_t)guess : high;
    return rows > low && rows < high ? rows : low + (high - low) / 2;
}

/* Encodes as many of the first `count` rows as go into so many bytes, or nearly, into builder->fitting. */
static poise_code fit(struct block_builder *builder, struct pile *pile, size_t from, size_t count,
                      size_t room, size_t *ret_rows, poise_error *err)
{
    bool all = builder->count > 0 && room < CUT_MIN; /* or nothing */
    if (all && (double)count * pile->bytes_a_row > 4 * (double)room) {
        *ret_rows = 0;
        return POISE_OK;
    }
    size_t low = 0, high = count + 1, rows = all ? count : first_try(pile, count, room);
    for (int tries = 0; low < high - 1 && (tries < 5 || low == 0); tries++) {
        struct chunk_rows view = row_buf_rows(&pile->rows, from, rows);
        buf_reset(&builder->trial);
        poise_code code = chunk_encode_bare(&view, &builder->trial, err);
        if (code != POISE_OK) {
            return code;
        }
        size_t took = builder->trial.length;
        pile->bytes_a_row = (double)took / (double)rows;
        if (took <= room) {
            struct buf swap = builder->fitting;
            builder->fitting = builder->trial;
            builder->trial = swap;
            low = rows;
            if (room - took <= WASTE_MAX || room - took <= room / 12) {
                break;
            }
        } else {
            high = rows;
            if (all) {
                break;
            }
        }
        rows = next_guess(low, high, rows, took, room, count);
    }
    *ret_rows = low;
    return POISE_OK;
}

/* A chunk of the first rows behind `from`, of `count`, that goes into the block, or into the next. */
static poise_code put_piece(struct block_builder *builder, enum block_kind kind, size_t from, size_t count,
                            size_t *ret_rows, poise_error *err)
{
    struct pile *pile = &builder->piles[kind];
    size_t rows = 0;
    bool fresh = false; /* the block is empty */
    poise_code code = POISE_OK;
    while (code == POISE_OK && rows == 0 && !fresh) {
        fresh = builder->count == 0;
        size_t room = space(builder);
        code = room == 0 ? POISE_OK : fit(builder, pile, from, count, room, &rows, err);
        if (code == POISE_OK && rows == 0) {
            code = end_block(builder, err);
        }
    }
    if (code == POISE_OK && rows == 0) {
        code = error_set(err, POISE_ELIMIT, "a row that goes into no block");
    }
    if (code != POISE_OK) {
        return code;
    }
    if (builder->count == 0) {
        begin_block(builder);
    }
    struct chunk_rows view = row_buf_rows(&pile->rows, from, rows);
    count_rows(&builder->stats, kind, &view);
    buf_put_varint(&builder->directory, builder->place.series - builder->last_series);
    buf_put_varint(&builder->directory, builder->fitting.length << 1 | (kind == BLOCK_MARKS));
    buf_put(&builder->chunks, builder->fitting.data, builder->fitting.length);
    builder->last_series = builder->place.series;
    builder->count++;
    *ret_rows = rows;
    return POISE_OK;
}

/* The marks up to that row, or all. */
static poise_code put_marks(struct block_builder *builder, bool all, int64_t until_ms, uint64_t until_place,
                            poise_error *err)
{
    struct row_buf *marks = &builder->piles[BLOCK_MARKS].rows;
    size_t count = all ? marks->count : 0, at = 0;
    while (count < marks->count &&
           block_is_before(marks->time_ms[count], marks->ordinal[count], until_ms, until_place)) {
        count++;
    }
    while (at < count) {
        size_t rows;
        poise_code code = put_piece(builder, BLOCK_MARKS, at, count - at, &rows, err);
        if (code != POISE_OK) {
            return code;
        }
        at += rows;
    }
    row_buf_drop(marks, count);
    return POISE_OK;
}

/* All rows, or as long as they fill blocks. */
static poise_code put_rows(struct block_builder *builder, bool all, poise_error *err)
{
    struct pile *pile = &builder->piles[BLOCK_ROWS];
    size_t at = 0, count = pile->rows.count;
    while (at < count) {
        if (!all && at > 0 && (double)(count - at) * pile->bytes_a_row < (double)space(builder)) {
            break;
        }
        size_t rows;
        poise_code code = put_piece(builder, BLOCK_ROWS, at, count - at, &rows, err);
        if (code == POISE_OK) {
            at += rows;
            code = put_marks(builder, false, pile->rows.time_ms[at - 1], pile->rows.ordinal[at - 1], err);
        }
        if (code != POISE_OK) {
            return code;
        }
    }
    row_buf_drop(&pile->rows, at);
    return POISE_OK;
}

static poise_code put_series(struct block_builder *builder, poise_error *err)
{
    poise_code code = put_rows(builder, true, err);
    return code == POISE_OK ? put_marks(builder, true, 0, 0, err) : code;
}

/* ---- what comes ---- */

static int compare(const struct block_place *a, const struct block_place *b)
{
    if (a->bucket != b->bucket) {
        return a->bucket < b->bucket ? -1 : 1;
    }
    if (a->input != b->input) {
        return a->input < b->input ? -1 : 1;
    }
    return a->series == b->series ? 0 : a->series < b->series ? -1 : 1;
}

static poise_code out_of_order(const struct block_place *place, poise_error *err)
{
    return error_set(err, POISE_EINVAL, "rows for blocks are not in order at series %" PRIu64, place->series);
}

static poise_code go_to(struct block_builder *builder, const struct block_place *place, poise_error *err)
{
    int order = builder->begun ? compare(&builder->place, place) : -1;
    if (order > 0) {
        return out_of_order(place, err);
    }
    if (order == 0) {
        return POISE_OK;
    }
    poise_code code = put_series(builder, err);
    if (code == POISE_OK && builder->begun &&
        (builder->place.bucket != place->bucket || builder->place.input != place->input)) {
        code = end_block(builder, err);
        builder->stats = (struct block_stats){0};
        builder->has_block = false;
    }
    builder->place = *place;
    builder->begun = true;
    builder->piles[BLOCK_ROWS].is_sampled = builder->piles[BLOCK_MARKS].is_sampled = false;
    builder->last_ms = INT64_MIN;
    builder->last_place = 0;
    return code;
}

/* Behind what came before, or (of the other kind) where that is. */
static poise_code check_order(struct block_builder *builder, enum block_kind kind,
                              const struct chunk_rows *rows, poise_error *err)
{
    const struct row_buf *same = &builder->piles[kind].rows;
    int64_t last_ms = builder->last_ms;
    uint64_t last_place = builder->last_place;
    bool falls = block_is_before(rows->time_ms[0], rows->ordinal[0], last_ms, last_place);
    falls |=
        same->count > 0 && !block_is_before(same->time_ms[same->count - 1], same->ordinal[same->count - 1],
                                            rows->time_ms[0], rows->ordinal[0]);
    for (size_t i = 1; i < rows->count; i++) {
        falls |=
            !block_is_before(rows->time_ms[i - 1], rows->ordinal[i - 1], rows->time_ms[i], rows->ordinal[i]);
    }
    for (size_t i = 0; kind == BLOCK_MARKS && i < rows->count; i++) {
        falls |= !rows->gone || rows->gone[i] == 0;
    }
    if (falls) {
        return out_of_order(&builder->place, err);
    }
    builder->last_ms = rows->time_ms[rows->count - 1];
    builder->last_place = rows->ordinal[rows->count - 1];
    return POISE_OK;
}

static poise_code make_room(struct block_builder *builder, enum block_kind kind, poise_error *err)
{
    if (builder->piles[kind].rows.count < BLOCK_ROWS_MAX) {
        return POISE_OK;
    }
    return kind == BLOCK_ROWS ? put_rows(builder, false, err) : put_series(builder, err);
}

static bool is_at(const struct row_buf *last, const struct chunk_rows *rows)
{
    return last->count > 0 && last->time_ms[last->count - 1] == rows->time_ms[0] &&
           last->ordinal[last->count - 1] == rows->ordinal[0];
}

/* A mark and its row that meet become one, before either can leave its buffer. Of marks: whether the first
 * went into the row before it. Of rows: what took the first away. */
static bool fold_mark(struct block_builder *builder, const struct chunk_rows *marks)
{
    struct row_buf *rows = &builder->piles[BLOCK_ROWS].rows;
    if (!is_at(rows, marks)) {
        return false;
    }
    rows->has_gone = true;
    rows->gone[rows->count - 1] = block_earlier(rows->gone[rows->count - 1], marks->gone[0]);
    return true;
}

static uint64_t take_mark(struct block_builder *builder, const struct chunk_rows *rows)
{
    struct row_buf *marks = &builder->piles[BLOCK_MARKS].rows;
    return is_at(marks, rows) ? marks->gone[--marks->count] : 0;
}

static poise_code add(struct block_builder *builder, const struct block_place *place, enum block_kind kind,
                      const struct chunk_rows *rows, poise_error *err)
{
    if (rows->count == 0) {
        return POISE_OK;
    }
    struct row_buf *into = &builder->piles[kind].rows;
    poise_code code = go_to(builder, place, err);
    if (code == POISE_OK) {
        code = check_order(builder, kind, rows, err);
    }
    if (code != POISE_OK) {
        return code;
    }
    uint64_t gone = kind == BLOCK_ROWS ? take_mark(builder, rows) : 0;
    for (size_t at = kind == BLOCK_MARKS && fold_mark(builder, rows); at < rows->count;) {
        code = make_room(builder, kind, err);
        size_t room = BLOCK_ROWS_MAX - into->count, left = rows->count - at, first = into->count;
        size_t count = left < room ? left : room;
        if (code == POISE_OK && !row_buf_add(into, rows, at, count)) {
            code = error_nomem(err, "rows of a block");
        }
        if (code != POISE_OK) {
            return code;
        }
        if (at == 0 && gone != 0) {
            into->has_gone = true;
            into->gone[first] = block_earlier(into->gone[first], gone);
        }
        at += count;
    }
    return POISE_OK;
}

poise_code block_builder_add(struct block_builder *builder, const struct block_place *place,
                             const struct chunk_rows *rows, poise_error *err)
{
    return add(builder, place, BLOCK_ROWS, rows, err);
}

poise_code block_builder_add_marks(struct block_builder *builder, const struct block_place *place,
                                   const struct chunk_rows *marks, poise_error *err)
{
    struct chunk_rows bare = {
        .count = marks->count, .time_ms = marks->time_ms, .ordinal = marks->ordinal, .gone = marks->gone};
    return add(builder, place, BLOCK_MARKS, &bare, err);
}

poise_code block_builder_end(struct block_builder *builder, poise_error *err)
{
    poise_code code = put_series(builder, err);
    return code == POISE_OK ? end_block(builder, err) : code;
}
