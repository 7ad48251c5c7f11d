#include "chunk_inner.h"
#include <base/error.h>
#include <stdlib.h>

struct chunk_reader {
    unsigned flags;
    size_t left; /* rows to come */
    int64_t first_ms, last_ms;
    struct bits_reader times, ordinals, seqs;
    struct reals_reader values, ofs;
    struct keys_reader keys;
    struct sparse_reader gone, retract;

    /* the part that was given last */
    uint64_t part_times[CHUNK_PART], part_ordinals[CHUNK_PART], part_seqs[CHUNK_PART], part_gone[CHUNK_PART];
    double part_values[CHUNK_PART], part_ofs[CHUNK_PART];
    struct chunk_key part_keys[CHUNK_PART];
    bool part_retract[CHUNK_PART];
    int64_t part_times_ms[CHUNK_PART];
    char texts[CHUNK_PART * POISE_KEY_MAX];
};
_Static_assert((int)CHUNK_PART == (int)BITS_BLOCK, "a part is a block of each column");

struct chunk_reader *chunk_reader_open(void)
{
    return calloc(1, sizeof(struct chunk_reader));
}

void chunk_reader_close(struct chunk_reader *reader)
{
    free(reader);
}

static poise_code damaged(struct chunk_reader *reader, poise_error *err, const char *what)
{
    reader->left = 0;
    return error_set(err, POISE_ECORRUPT, "a chunk is damaged: %s", what);
}

static struct cursor take_column(struct cursor *in)
{
    size_t length;
    const char *bytes = cursor_text(in, &length);
    struct cursor column = cursor_of(bytes, length);
    column.failed = in->failed;
    return column;
}

/* A column that is missing fails when it is read. */
static void open_columns(struct chunk_reader *reader, struct cursor in, size_t rows)
{
    bits_open(&reader->times, take_column(&in), rows);
    reals_open(&reader->values, take_column(&in), rows);
    bits_open(&reader->ordinals, take_column(&in), rows);
    if (reader->flags & CHUNK_HAS_OF) {
        reals_open(&reader->ofs, take_column(&in), rows);
    }
    if (reader->flags & CHUNK_HAS_SEQ) {
        bits_open(&reader->seqs, take_column(&in), rows);
    }
    if (reader->flags & CHUNK_HAS_KEYS) {
        keys_open(&reader->keys, take_column(&in), rows);
    }
    if (reader->flags & CHUNK_HAS_GONE) {
        sparse_open(&reader->gone, take_column(&in), rows);
    }
    if (reader->flags & CHUNK_HAS_RETRACT) {
        sparse_open(&reader->retract, take_column(&in), rows);
    }
}

poise_code chunk_reader_begin_bare(struct chunk_reader *reader, const void *bytes, size_t length,
                                   struct chunk_head *ret_head, poise_error *err)
{
    struct cursor in = cursor_of(bytes, length);
    unsigned format = cursor_u8(&in);
    if (in.failed) {
        return damaged(reader, err, "it has no bytes");
    }
    if (format != CHUNK_FORMAT) {
        reader->left = 0;
        return error_set(err, POISE_EVERSION, "a chunk of format %u, which this version does not know",
                         format);
    }
    struct chunk_head head;
    chunk_head_take(&in, &head, &reader->flags);
    if (in.failed) {
        return damaged(reader, err, "its head cannot be read");
    }
    reader->left = head.rows;
    reader->first_ms = reader->last_ms = head.min_time_ms;
    open_columns(reader, in, head.rows);
    *ret_head = head;
    return POISE_OK;
}

poise_code chunk_reader_begin(struct chunk_reader *reader, uint64_t series, const void *bytes, size_t length,
                              struct chunk_head *ret_head, poise_error *err)
{
    struct cursor in = cursor_of(bytes, length);
    uint32_t crc = cursor_u32(&in);
    if (in.failed || crc != chunk_crc(series, in.at, cursor_left(&in))) {
        return damaged(reader, err, "its CRC does not match");
    }
    return chunk_reader_begin_bare(reader, in.at, cursor_left(&in), ret_head, err);
}

/* ---- parts ---- */

/* Whatever is in the columns, times do not fall and values are numbers. */
static bool is_sound(struct chunk_reader *reader, const struct chunk_rows *rows)
{
    bool sound = true;
    int64_t last_ms = reader->last_ms;
    for (size_t i = 0; i < rows->count; i++) {
        sound &= (rows->time_ms[i] >= last_ms) & (rows->value[i] == rows->value[i]);
        last_ms = rows->time_ms[i];
    }
    for (size_t i = 0; rows->of && i < rows->count; i++) {
        sound &= rows->of[i] == rows->of[i];
    }
    reader->last_ms = last_ms;
    return sound;
}

static bool take_always(struct chunk_reader *reader, struct chunk_rows *rows)
{
    rows->count = bits_next(&reader->times, reader->part_times);
    if (rows->count == 0 || reals_next(&reader->values, reader->part_values) != rows->count ||
        bits_next(&reader->ordinals, reader->part_ordinals) != rows->count) {
        return false;
    }
    for (size_t i = 0; i < rows->count; i++) {
        reader->part_times_ms[i] = (int64_t)((uint64_t)reader->first_ms + reader->part_times[i]);
    }
    rows->time_ms = reader->part_times_ms;
    rows->value = reader->part_values;
    rows->ordinal = reader->part_ordinals;
    return true;
}

static bool take_sometimes(struct chunk_reader *reader, struct chunk_rows *rows)
{
    bool ok = true;
    if (reader->flags & CHUNK_HAS_OF) {
        ok &= reals_next(&reader->ofs, reader->part_ofs) == rows->count;
        rows->of = reader->part_ofs;
    }
    if (reader->flags & CHUNK_HAS_SEQ) {
        ok &= bits_next(&reader->seqs, reader->part_seqs) == rows->count;
        rows->seq = reader->part_seqs;
    }
    if (reader->flags & CHUNK_HAS_KEYS) {
        ok &= keys_next(&reader->keys, reader->texts, reader->part_keys) == rows->count;
        rows->key = reader->part_keys;
    }
    if (reader->flags & CHUNK_HAS_GONE) {
        sparse_next(&reader->gone, rows->count, reader->part_ordinals, reader->part_gone);
        ok &= !reader->gone.in.failed;
        rows->gone = reader->part_gone;
    }
    if (reader->flags & CHUNK_HAS_RETRACT) {
        sparse_next_marks(&reader->retract, rows->count, reader->part_retract);
        ok &= !reader->retract.in.failed;
        rows->retract = reader->part_retract;
    }
    return ok;
}

poise_code chunk_reader_next(struct chunk_reader *reader, struct chunk_rows *ret_rows, poise_error *err)
{
    struct chunk_rows rows = {0};
    if (reader->left > 0) {
        if (!take_always(reader, &rows) || !take_sometimes(reader, &rows) || !is_sound(reader, &rows)) {
            return damaged(reader, err, "a column cannot be read");
        }
        reader->left -= rows.count;
    }
    *ret_rows = rows;
    return POISE_OK;
}
