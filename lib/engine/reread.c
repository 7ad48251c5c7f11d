/* Cells that lost an extreme are built again from the rows of their period. */
#include "internal.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

struct rereading {
    struct engine *engine;
    struct input *input;
    struct period period; /* of all that is read in one go */
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

/* To the cells of a feed, from the org's upwards, that are built again. */
static bool add_to_marked(struct engine *engine, struct feed *feed, uint32_t org, const struct sample *sample)
{
    int64_t start_ms = feed_tile(feed, sample->time_ms).start_ms;
    bool ok = true;
    while (org != INTERN_NONE && ok) {
        uint32_t cell = cells_find(&engine->cells, feed, org, start_ms);
        if (cell != CELL_NONE && block_of(&engine->cells, cell)->reread & bit_in_block(cell)) {
            ok = accumulator_add(&feed->layout, cell_body(&engine->cells, cell), sample);
        }
        org = feed->subtree ? engine->org_table[org].parent : INTERN_NONE;
    }
    return ok;
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
    bool ok, counts;
    poise_code code = row_stands(engine, rereading->input, row, &org, &sample, &counts, rereading->err);
    if (code != POISE_OK || !counts) {
        return code;
    }
    ok = true;
    for (struct feed *feed = rereading->input->feeds; feed && ok; feed = feed->next) {
        ok = add_to_marked(engine, feed, org, &sample);
    }
    return ok ? POISE_OK : error_nomem(rereading->err, "a cell");
}

static struct period period_of_cell(const struct engine *engine, uint32_t cell)
{
    const struct block *block = block_of(&engine->cells, cell);
    return feed_tile(block->feed, block->start_ms);
}

/* Cells of one input, whose periods follow one another, or overlap. */
static poise_code reread(struct rereading *rereading, const uint32_t *cells, size_t count)
{
    struct engine *engine = rereading->engine;
    const struct engine_ports *ports = &engine->options.ports;
    if (!ports->reread) {
        return error_set(rereading->err, POISE_EUNSUPPORTED,
                         "an extreme of input %s was taken away, and nothing can be reread",
                         rereading->input->name);
    }
    for (size_t i = 0; i < count; i++) {
        accumulator_clear(&block_of(&engine->cells, cells[i])->feed->layout,
                          cell_body(&engine->cells, cells[i]));
    }
    poise_code code = ports->reread(ports->context, rereading->input->name, rereading->period.start_ms,
                                    rereading->period.end_ms, add_row, rereading, rereading->err);
    for (size_t i = 0; i < count && code == POISE_OK; i++) {
        block_of(&engine->cells, cells[i])->reread &= (uint16_t)~bit_in_block(cells[i]);
    }
    return code;
}

/* By input, then by time. */
static int by_start(const void *a, const void *b, void *context)
{
    const struct cells *cells = context;
    const struct block *left = block_of(cells, *(const uint32_t *)a);
    const struct block *right = block_of(cells, *(const uint32_t *)b);
    if (left->feed->input != right->feed->input) {
        return left->feed->input->id < right->feed->input->id ? -1 : 1;
    }
    return (left->start_ms > right->start_ms) - (left->start_ms < right->start_ms);
}

/* From that cell on those that are read in one go: many may have lost an extreme at once. */
static size_t go_together(struct rereading *rereading, const uint32_t *cells, size_t from, size_t count)
{
    struct engine *engine = rereading->engine;
    size_t to = from;
    rereading->input = block_of(&engine->cells, cells[from])->feed->input;
    rereading->period = period_of_cell(engine, cells[from]);
    while (++to < count && block_of(&engine->cells, cells[to])->feed->input == rereading->input) {
        struct period period = period_of_cell(engine, cells[to]);
        if (period.start_ms > rereading->period.end_ms) {
            break;
        }
        if (period.end_ms > rereading->period.end_ms) {
            rereading->period.end_ms = period.end_ms;
        }
    }
    return to;
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
        qsort_r(cells, marked->count, sizeof *cells, by_start, &engine->cells);
    }
    struct rereading rereading = {.engine = engine, .err = err};
    for (size_t from = 0, to; from < marked->count; from = to) {
        to = go_together(&rereading, cells, from, marked->count);
        poise_code code = reread(&rereading, cells + from, to - from);
        if (code != POISE_OK) {
            return code;
        }
    }
    marked->count = 0;
    return POISE_OK;
}
