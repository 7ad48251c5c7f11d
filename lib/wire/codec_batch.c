/* BATCH. Columns stay where they were unpacked; only series and retractions are copied. */
#include "codec.h"
#include <base/error.h>
#include <poise.pb-c.h>

static const struct codec_kind batch_kind = {"BATCH", &poise__v1__batch__descriptor, WIRE_SYMBOL_BYTES_MAX};

static const uint64_t SEQ_MAX = UINT64_C(1) << 62;

static poise_code check_counts(const Poise__V1__Batch *message, poise_error *err)
{
    size_t rows = message->n_series, series = message->n_series_measure;
    if (message->epoch == 0 || message->seq == 0) {
        return error_set(err, POISE_EPROTO, "BATCH: epoch and seq must not be 0");
    }
    if (rows > WIRE_BATCH_ROWS_MAX || message->n_symbols > WIRE_SYMBOLS_MAX) {
        return error_set(err, POISE_ELIMIT, "BATCH: %zu rows and %zu symbols; at most %d and %d are allowed",
                         rows, message->n_symbols, WIRE_BATCH_ROWS_MAX, WIRE_SYMBOLS_MAX);
    }
    if (message->n_series_org != series ||
        (message->n_series_source != 0 && message->n_series_source != series)) {
        return error_set(err, POISE_EPROTO, "BATCH: the series columns differ in length");
    }
    const struct {
        const char *name;
        size_t count;
        bool optional;
    } columns[] = {{"time_delta_ms", message->n_time_delta_ms, false},
                   {"value", message->n_value, false},
                   {"of", message->n_of, true},
                   {"key", message->n_key, true},
                   {"row_seq", message->n_row_seq, true},
                   {"retract", message->n_retract, true}};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (columns[i].count != rows && !(columns[i].optional && columns[i].count == 0)) {
            return error_set(err, POISE_EPROTO, "BATCH: column `%s` has %zu entries for %zu rows",
                             columns[i].name, columns[i].count, rows);
        }
    }
    if (message->loss && (rows > 0 || series > 0 || message->n_symbols > 0 || message->backfill != 0)) {
        return error_set(err, POISE_EPROTO, "BATCH: a loss has no rows and is no backfill");
    }
    if (message->loss && (message->loss->last_seq < message->seq || message->loss->last_seq > SEQ_MAX)) {
        return error_set(err, POISE_EPROTO, "BATCH: a loss ends before it begins, or beyond 2^62");
    }
    if (message->backfill > POISE__V1__BACKFILL__BACKFILL_ENDS ||
        message->backfill < POISE__V1__BACKFILL__BACKFILL_NONE) {
        return error_set(err, POISE_EPROTO, "BATCH: backfill %d is none of 0, 1 and 2",
                         (int)message->backfill);
    }
    return POISE_OK;
}

/* All of column below limit? */
static bool all_below(const uint32_t *column, size_t count, size_t limit)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < count; i++) {
        highest = column[i] > highest ? column[i] : highest;
    }
    return count == 0 || highest < limit;
}

static poise_code check_indices(const Poise__V1__Batch *message, poise_error *err)
{
    size_t symbols = message->n_symbols;
    const struct {
        const char *name;
        const uint32_t *column;
        size_t count, limit;
    } columns[] = {{"series_measure", message->series_measure, message->n_series_measure, symbols},
                   {"series_org", message->series_org, message->n_series_org, symbols},
                   {"series_source", message->series_source, message->n_series_source, symbols},
                   {"series", message->series, message->n_series, message->n_series_measure},
                   {"key", message->key, message->n_key, symbols + 1}};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        if (!all_below(columns[i].column, columns[i].count, columns[i].limit)) {
            return error_set(err, POISE_EPROTO, "BATCH: column `%s` has an index that is out of range",
                             columns[i].name);
        }
    }
    return POISE_OK;
}

/* Deltas to times, in place. */
static poise_code undo_deltas(const Poise__V1__Batch *message, poise_error *err)
{
    int64_t time = message->base_time_ms;
    for (size_t i = 0; i < message->n_time_delta_ms; i++) {
        if (__builtin_add_overflow(time, message->time_delta_ms[i], &time)) {
            return error_set(err, POISE_EPROTO, "BATCH: the time of row %zu does not fit 64 bits", i);
        }
        message->time_delta_ms[i] = time;
    }
    return POISE_OK;
}

static poise_code copy_series(const Poise__V1__Batch *message, struct arena *arena,
                              const struct wire_series **ret_series, poise_error *err)
{
    poise_code code;
    size_t count = message->n_series_measure;
    struct wire_series *series = codec_alloc(&batch_kind, arena, count, sizeof *series, &code, err);
    if (!series) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        series[i] = (struct wire_series){.measure = message->series_measure[i],
                                         .org = message->series_org[i],
                                         .source = message->n_series_source ? message->series_source[i]
                                                                            : WIRE_SYMBOL_NONE};
    }
    *ret_series = series;
    return POISE_OK;
}

/* protobuf-c's booleans are ints. */
static poise_code copy_retract(const Poise__V1__Batch *message, struct arena *arena, const bool **ret_retract,
                               poise_error *err)
{
    if (message->n_retract == 0) {
        *ret_retract = NULL;
        return POISE_OK;
    }
    poise_code code;
    bool *retract = codec_alloc(&batch_kind, arena, message->n_retract, sizeof *retract, &code, err);
    if (!retract) {
        return code;
    }
    for (size_t i = 0; i < message->n_retract; i++) {
        retract[i] = message->retract[i] != 0;
    }
    *ret_retract = retract;
    return POISE_OK;
}

static struct wire_loss loss_of(const Poise__V1__Loss *message)
{
    return (struct wire_loss){.last_seq = message->last_seq,
                              .rows = message->rows,
                              .from_ms = message->from_ms,
                              .to_ms = message->to_ms,
                              .reason = codec_loss_reason((int)message->reason),
                              .last_hash = message->last_hash};
}

/* Whoever looked at the numbers first has taken the batch for another where one is there twice: protobuf
 * takes the last. */
static poise_code check_numbers(const void *body, size_t length, const Poise__V1__Batch *message,
                                poise_error *err)
{
    uint64_t epoch, seq;
    if (wire_peek_batch(body, length, &epoch, &seq) && epoch == message->epoch && seq == message->seq) {
        return POISE_OK;
    }
    return error_set(err, POISE_EPROTO, "BATCH: epoch or seq is there twice, with two values");
}

poise_code wire_decode_batch(const void *body, size_t length, struct arena *arena, struct wire_batch *ret,
                             poise_error *err)
{
    void *unpacked = codec_unpack_columns(body, length, arena);
    poise_code code = unpacked ? POISE_OK : codec_unpack(&batch_kind, body, length, arena, &unpacked, err);
    if (code != POISE_OK) {
        return code;
    }
    const Poise__V1__Batch *message = unpacked;
    const struct wire_series *series = NULL;
    const bool *retract = NULL;
    if ((code = check_counts(message, err)) != POISE_OK ||
        (code = check_numbers(body, length, message, err)) != POISE_OK ||
        (code = check_indices(message, err)) != POISE_OK || (code = undo_deltas(message, err)) != POISE_OK ||
        (code = copy_series(message, arena, &series, err)) != POISE_OK ||
        (code = copy_retract(message, arena, &retract, err)) != POISE_OK) {
        return code;
    }
    *ret = (struct wire_batch){.epoch = message->epoch,
                               .seq = message->seq,
                               .symbols = codec_borrow(message->symbols),
                               .symbol_count = message->n_symbols,
                               .series = series,
                               .series_count = message->n_series_measure,
                               .rows = message->n_series,
                               .row_series = message->series,
                               .time_ms = message->time_delta_ms,
                               .value = message->value,
                               .of = message->n_of ? message->of : NULL,
                               .key = message->n_key ? message->key : NULL,
                               .backfill = (enum wire_backfill)message->backfill,
                               .row_seq = message->n_row_seq ? message->row_seq : NULL,
                               .retract = retract};
    if (message->loss) {
        ret->loss = loss_of(message->loss);
    }
    return POISE_OK;
}

poise_code wire_encode_loss(uint64_t epoch, uint64_t seq, const struct wire_loss *loss, struct buf *out)
{
    Poise__V1__Loss lost;
    Poise__V1__Batch message;
    poise__v1__loss__init(&lost);
    poise__v1__batch__init(&message);
    message.epoch = epoch;
    message.seq = seq;
    message.loss = &lost;
    lost.last_seq = loss->last_seq;
    lost.rows = loss->rows;
    lost.from_ms = loss->from_ms;
    lost.to_ms = loss->to_ms;
    lost.reason = (Poise__V1__LossReason)loss->reason;
    lost.last_hash = loss->last_hash;
    return codec_put(out, &message.base);
}

poise_measurement wire_batch_row(const struct wire_batch *batch, size_t row)
{
    const struct wire_series *series = &batch->series[batch->row_series[row]];
    return (poise_measurement){
        .measure = batch->symbols[series->measure],
        .org = batch->symbols[series->org],
        .source = series->source == WIRE_SYMBOL_NONE ? "" : batch->symbols[series->source],
        .key = batch->key && batch->key[row] ? batch->symbols[batch->key[row] - 1] : NULL,
        .time_ms = batch->time_ms[row],
        .value = batch->value[row],
        .of = batch->of ? batch->of[row] : 1,
        .seq = batch->row_seq ? batch->row_seq[row] : 0,
        .retract = batch->retract && batch->retract[row]};
}
