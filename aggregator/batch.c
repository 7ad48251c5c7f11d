#include "batch.h"

#include <stdlib.h>

void batch_free(struct batch *batch)
{
    buf_free(&batch->body);
    arena_free(&batch->arena);
    free(batch->refused);
    free(batch->reasons);
    buf_free(&batch->notes);
    buf_free(&batch->denied);
}

void batch_reset(struct batch *batch)
{
    buf_reset(&batch->body);
    arena_reset(&batch->arena);
    batch->arena.limit = WIRE_ARENA;
    batch->rows = (struct wire_batch){0};
    batch->malformed = false;
    batch->refused_count = 0;
    buf_reset(&batch->notes);
    buf_reset(&batch->denied);
}

poise_code batch_decode(struct batch *batch, size_t max_rows)
{
    poise_code code =
        wire_decode_batch(batch->body.data, batch->body.length, &batch->arena, &batch->rows, NULL);
    if (code == POISE_ENOMEM)
        return code;
    batch->malformed = code != POISE_OK || batch->rows.rows > max_rows;
    if (batch->malformed) {
        batch->rows = (struct wire_batch){0};
        arena_reset(&batch->arena);
    }
    return POISE_OK;
}

poise_code batch_refuse(struct batch *batch, uint32_t row, poise_refusal reason)
{
    if (batch->refused_count == batch->refused_capacity) {
        size_t capacity = batch->refused_capacity ? batch->refused_capacity * 2 : 64;
        uint32_t *refused = realloc(batch->refused, capacity * sizeof *refused);
        if (refused)
            batch->refused = refused;
        uint8_t *reasons = realloc(batch->reasons, capacity);
        if (reasons)
            batch->reasons = reasons;
        if (!refused || !reasons)
            return POISE_ENOMEM;
        batch->refused_capacity = capacity;
    }
    batch->refused[batch->refused_count] = row;
    batch->reasons[batch->refused_count++] = (uint8_t)reason;
    return POISE_OK;
}

bool batch_row_refused(const uint32_t *refused, size_t count, size_t *at, uint32_t row)
{
    while (*at < count && refused[*at] < row)
        (*at)++;
    return *at < count && (refused[*at] == row || refused[*at] == WIRE_ROW_ALL);
}
