/* BATCH from bytes, by hand, where they are as every sender writes them: each field once, in one piece, of
 * its type. protobuf-c goes over each field several times, and allocates each text. What is written otherwise
 * is left to it: so what a body means, and whether it is taken, is the same (tests/unit/wire/test_columns.c).
 */
#include "codec.h"
#include <base/text.h>
#include <endian.h>
#include <poise.pb-c.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2, TYPE_BITS = 3, VARINT_SHIFTS = 70 };

enum field { /* of Batch in proto/poise.proto */
             EPOCH = 1,
             SEQ,
             SYMBOLS,
             SERIES_MEASURE,
             SERIES_ORG,
             SERIES_SOURCE,
             BASE_TIME_MS,
             SERIES,
             TIME_DELTA_MS,
             VALUE,
             OF,
             KEY,
             ROW_SEQ,
             RETRACT,
             BACKFILL,
             FIELDS /* a loss, and what is of a later version, have a tag of two bytes */
};

struct span {
    const uint8_t *at, *end;
};

struct parts {
    unsigned seen; /* bits 1 << field */
    uint64_t numbers[FIELDS];
    struct span spans[FIELDS]; /* of SYMBOLS from the first one's tag on */
    size_t symbols, text_bytes;
};

static inline bool take_varint(struct span *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; in->at < in->end && shift < VARINT_SHIFTS; shift += 7) {
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1) {
            return false; /* beyond 64 bits */
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static inline uint64_t take_fixed(const uint8_t *at)
{
    uint64_t bits;
    memcpy(&bits, at, sizeof bits);
    return le64toh(bits);
}

static inline bool take_span(struct span *in, struct span *ret_span)
{
    uint64_t length;
    if (!take_varint(in, &length) || length > (size_t)(in->end - in->at)) {
        return false;
    }
    *ret_span = (struct span){in->at, in->at + length};
    in->at += length;
    return true;
}

static bool take_symbol(struct span *in, struct parts *parts)
{
    const uint8_t *begin = in->at - 1;
    struct span text;
    if (!take_span(in, &text)) {
        return false;
    }
    size_t length = (size_t)(text.end - text.at);
    if (length > WIRE_SYMBOL_BYTES_MAX || !utf8_printable((const char *)text.at, length)) {
        return false;
    }
    if (parts->symbols++ == 0) {
        parts->spans[SYMBOLS].at = begin;
    }
    parts->spans[SYMBOLS].end = in->at;
    parts->text_bytes += length + 1;
    return true;
}

/* Symbols come one behind the other, all else comes once. */
static bool may_come(const struct parts *parts, unsigned field, unsigned before)
{
    return !(parts->seen >> field & 1) || (field == SYMBOLS && before == SYMBOLS);
}

static bool split(struct span in, struct parts *ret_parts)
{
    static const uint8_t types[FIELDS] = {[EPOCH] = FIXED64,
                                          [SEQ] = VARINT,
                                          [SYMBOLS] = DELIMITED,
                                          [SERIES_MEASURE] = DELIMITED,
                                          [SERIES_ORG] = DELIMITED,
                                          [SERIES_SOURCE] = DELIMITED,
                                          [BASE_TIME_MS] = VARINT,
                                          [SERIES] = DELIMITED,
                                          [TIME_DELTA_MS] = DELIMITED,
                                          [VALUE] = DELIMITED,
                                          [OF] = DELIMITED,
                                          [KEY] = DELIMITED,
                                          [ROW_SEQ] = DELIMITED,
                                          [RETRACT] = DELIMITED,
                                          [BACKFILL] = VARINT};
    bool well = true;
    for (unsigned field = 0, before; well && in.at < in.end;) {
        unsigned tag = *in.at++;
        before = field;
        field = tag >> TYPE_BITS;
        if (field == 0 || field >= FIELDS || (tag & 7) != types[field] ||
            !may_come(ret_parts, field, before)) {
            return false;
        }
        ret_parts->seen |= 1u << field;
        if (field == SYMBOLS) {
            well = take_symbol(&in, ret_parts);
        } else if (types[field] == DELIMITED) {
            well = take_span(&in, &ret_parts->spans[field]);
        } else if (types[field] == VARINT) {
            well = take_varint(&in, &ret_parts->numbers[field]);
        } else if (in.end - in.at >= 8) {
            ret_parts->numbers[field] = take_fixed(in.at);
            in.at += 8;
        } else {
            well = false;
        }
    }
    return well;
}

/* ---- columns: of one that is not there nothing is set ---- */

static size_t count_varints(const struct span *packed)
{
    size_t count = 0;
    for (const uint8_t *at = packed->at; at < packed->end; at++) {
        count += *at < 0x80;
    }
    return count;
}

static bool put_symbols(const struct parts *parts, struct arena *arena, Poise__V1__Batch *message)
{
    struct span in = parts->spans[SYMBOLS], text;
    char **symbols = arena_alloc(arena, parts->symbols * sizeof *symbols + parts->text_bytes);
    if (!symbols) {
        return false;
    }
    char *at = (char *)(symbols + parts->symbols);
    for (size_t i = 0; i < parts->symbols; i++) {
        in.at++; /* past the tag */
        if (!take_span(&in, &text)) {
            return false;
        }
        size_t length = (size_t)(text.end - text.at);
        memcpy(at, text.at, length);
        at[length] = '\0';
        symbols[i] = at;
        at += length + 1;
    }
    message->symbols = symbols;
    message->n_symbols = parts->symbols;
    return true;
}

static bool put_indices(const struct span *packed, struct arena *arena, size_t *ret_count, uint32_t **ret)
{
    struct span in = *packed;
    size_t count = count_varints(packed);
    if (in.at == in.end) {
        return true;
    }
    uint32_t *column = arena_alloc(arena, count * sizeof *column);
    if (!column) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        if (!take_varint(&in, &value) || value > UINT32_MAX) {
            return false;
        }
        column[i] = (uint32_t)value;
    }
    *ret_count = count;
    *ret = column;
    return in.at == in.end;
}

static bool put_numbers(const struct span *packed, struct arena *arena, size_t *ret_count, uint64_t **ret)
{
    struct span in = *packed;
    size_t count = count_varints(packed);
    if (in.at == in.end) {
        return true;
    }
    uint64_t *column = arena_alloc(arena, count * sizeof *column);
    if (!column) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!take_varint(&in, &column[i])) {
            return false;
        }
    }
    *ret_count = count;
    *ret = column;
    return in.at == in.end;
}

static inline int64_t signed_of(uint64_t zigzag)
{
    return (int64_t)((zigzag >> 1) ^ (~(zigzag & 1) + 1));
}

static bool put_deltas(const struct span *packed, struct arena *arena, Poise__V1__Batch *message)
{
    uint64_t *column = NULL;
    if (!put_numbers(packed, arena, &message->n_time_delta_ms, &column)) {
        return false;
    }
    message->time_delta_ms = (int64_t *)column;
    for (size_t i = 0; i < message->n_time_delta_ms; i++) {
        message->time_delta_ms[i] = signed_of(column[i]);
    }
    return true;
}

static bool put_doubles(const struct span *packed, struct arena *arena, size_t *ret_count, double **ret)
{
    size_t bytes = (size_t)(packed->end - packed->at), count = bytes / sizeof(double);
    if (bytes == 0) {
        return true;
    }
    double *column = arena_alloc(arena, bytes);
    if (!column || bytes % sizeof(double) != 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = take_fixed(packed->at + i * sizeof bits);
        memcpy(&column[i], &bits, sizeof bits);
    }
    *ret_count = count;
    *ret = column;
    return true;
}

static bool put_retract(const struct span *packed, struct arena *arena, Poise__V1__Batch *message)
{
    size_t count = (size_t)(packed->end - packed->at);
    if (count == 0) {
        return true;
    }
    protobuf_c_boolean *column = arena_alloc(arena, count * sizeof *column);
    if (!column) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (packed->at[i] > 1) {
            return false;
        }
        column[i] = packed->at[i];
    }
    message->n_retract = count;
    message->retract = column;
    return true;
}

void *codec_unpack_columns(const void *body, size_t length, struct arena *arena)
{
    struct parts parts = {0};
    const struct span *spans = parts.spans;
    if (length > WIRE_MESSAGE_MAX || !split((struct span){body, (const uint8_t *)body + length}, &parts) ||
        parts.numbers[BACKFILL] > POISE__V1__BACKFILL__BACKFILL_ENDS) {
        return NULL;
    }
    Poise__V1__Batch *message = arena_alloc(arena, sizeof *message);
    if (!message) {
        return NULL;
    }
    poise__v1__batch__init(message);
    message->epoch = parts.numbers[EPOCH];
    message->seq = parts.numbers[SEQ];
    message->base_time_ms = signed_of(parts.numbers[BASE_TIME_MS]);
    message->backfill = (Poise__V1__Backfill)parts.numbers[BACKFILL];
    bool well =
        put_symbols(&parts, arena, message) &&
        put_indices(&spans[SERIES_MEASURE], arena, &message->n_series_measure, &message->series_measure) &&
        put_indices(&spans[SERIES_ORG], arena, &message->n_series_org, &message->series_org) &&
        put_indices(&spans[SERIES], arena, &message->n_series, &message->series) &&
        put_deltas(&spans[TIME_DELTA_MS], arena, message) &&
        put_doubles(&spans[VALUE], arena, &message->n_value, &message->value) &&
        put_indices(&spans[SERIES_SOURCE], arena, &message->n_series_source, &message->series_source) &&
        put_doubles(&spans[OF], arena, &message->n_of, &message->of) &&
        put_indices(&spans[KEY], arena, &message->n_key, &message->key) &&
        put_numbers(&spans[ROW_SEQ], arena, &message->n_row_seq, &message->row_seq) &&
        put_retract(&spans[RETRACT], arena, message);
    return well ? message : NULL;
}
