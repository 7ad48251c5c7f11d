/* Cells that lost an extreme are built again from the rows of their period. */
#include "internal.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

struct rereading {
    struct engine *engine;
    struct feed *feed;
    int64_t start_ms;
    poise_error *err;
};

static poise_code stands(struct engine *engine, struct input *input, const struct engine_past_row *row,
                         uint32_t source, bool *ret_stands, poise_error *err)
{
    *ret_stands = !row->row.retract && row->row.time_ms <= engine->as_of_ms;
    if (!*ret_stands || !row->row.key) {
        return POISE_OK;
    }
    struct hash128 hash = key_hash(engine, input, source, row->row.key, row->row.key_length);
    struct key *key;
    poise_code code = key_find(engine, input, source, hash, &key, err);
    *ret_stands = key && !key->retract && key->sample.ordinal == row->ordinal;
    return code;
}

poise_code row_stands(struct engine *engine, struct input *input, const struct engine_past_row *row,
                      uint32_t *ret_org, struct sample *ret_sample, bool *ret_stands, poise_error *err)
{
    *ret_stands = row->ordinal <= engine->ordinal; /* else it comes later in the replay, maybe of a new org */
    if (!*ret_stands) {
        return POISE_OK;
    }
    uint32_t org = row->series ? row->series->org : intern_find(&engine->orgs, row->org, strlen(row->org));
    uint32_t source =
        row->series ? row->series->source : intern_find(&engine->sources, row->source, strlen(row->source));
    if (org == INTERN_NONE || source == INTERN_NONE || row->row.key_length > POISE_KEY_MAX) {
        return error_set(err, POISE_ECORRUPT, "row %llu of the journal was never accepted here",
                         (unsigned long long)row->ordinal);
    }
    *ret_org = org;
    *ret_sample = (struct sample){.time_ms = row->row.time_ms,
                                  .value = row->row.value,
                                  .of = row->row.of,
                                  .source = source,
                                  .rank = row->row.seq ? row->row.seq : row->ordinal,
                                  .ordinal = row->ordinal};
    return stands(engine, input, row, source, ret_stands, err);
}

static poise_code add_row(void *visitor, const struct engine_past_row *row)
{
    const struct rereading *rereading = visitor;
    struct engine *engine = rereading->engine;
    uint32_t org;
    struct sample sample;
    bool counts;
    poise_code code = row_stands(engine, rereading->feed->input, row, &org, &sample, &counts, rereading->err);
    if (code != POISE_OK || !counts) {
        return code;
    }
    while (org != INTERN_NONE) {
        uint32_t cell = cells_find(&engine->cells, rereading->feed, org, rereading->start_ms);
        bool is_marked = cell != CELL_NONE && block_of(&engine->cells, cell)->reread & bit_in_block(cell);
        if (is_marked &&
            !accumulator_add(&rereading->feed->layout, cell_body(&engine->cells, cell), &sample)) {
            return error_nomem(rereading->err, "a cell");
        }
        org = rereading->feed->subtree ? engine->org_table[org].parent : INTERN_NONE;
    }
    return POISE_OK;
}

/* Cells of one feed and period. */
static poise_code reread(struct engine *engine, const uint32_t *cells, size_t count, poise_error *err)
{
    const struct engine_ports *ports = &engine->options.ports;
    struct feed *feed = block_of(&engine->cells, cells[0])->feed;
    struct rereading rereading = {
        .engine = engine, .feed = feed, .start_ms = block_of(&engine->cells, cells[0])->start_ms, .err = err};
    if (!ports->reread) {
        return error_set(err, POISE_EUNSUPPORTED,
                         "an extreme of input %s was taken away, and nothing can be reread",
                         feed->input->name);
    }
    for (size_t i = 0; i < count; i++) {
        accumulator_clear(&feed->layout, cell_body(&engine->cells, cells[i]));
    }
    struct period period = feed_tile(feed, rereading.start_ms);
    poise_code code = ports->reread(ports->context, feed->input->name, period.start_ms, period.end_ms,
                                    add_row, &rereading, err);
    for (size_t i = 0; i < count && code == POISE_OK; i++) {
        block_of(&engine->cells, cells[i])->reread &= (uint16_t)~bit_in_block(cells[i]);
    }
    return code;
}

/* Cells of one feed and period together. */
static int by_period(const void *a, const void *b, void *context)
{
    const struct cells *cells = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    const struct block *left_block = block_of(cells, left), *right_block = block_of(cells, right);
    if (left_block->feed != right_block->feed) {
        return left_block->feed->id < right_block->feed->id ? -1 : 1;
    }
    int64_t left_ms = left_block->start_ms, right_ms = right_block->start_ms;
    return left_ms < right_ms ? -1 : left_ms > right_ms;
}

poise_code reread_marked(struct engine *engine, poise_error *err)
{
    struct numbers *marked = &engine->reread;
    poise_code carried = gains_carry_all(engine, err); /* the rows that are read are these, too */
    if (carried != POISE_OK) {
        return carried;
    }
    uint32_t *cells = marked->items;
    if (marked->count > 1) {
        qsort_r(cells, marked->count, sizeof *cells, by_period, &engine->cells);
    }
    for (size_t from = 0, to = 1; from < marked->count; from = to++) {
        while (to < marked->count && by_period(&cells[from], &cells[to], &engine->cells) == 0) {
            to++;
        }
        poise_code code = reread(engine, cells + from, to - from, err);
        if (code != POISE_OK) {
            return code;
        }
    }
    marked->count = 0;
    return POISE_OK;
}
