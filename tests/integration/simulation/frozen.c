/* What `keep` has frozen, as the journal says, and what of it is on the disk. */
#include "simulation.h"

#include <base/buf.h>
#include <model/calendar.h>
#include <stdlib.h>
#include <store/runs.h>
#include <string.h>

enum { INPUTS_MAX = 16 };

static struct {
    struct {
        const char *input;
        int64_t until_ms;
    } inputs[INPUTS_MAX];
    size_t input_count, orders, left;
    struct arena texts;
} frozen;

void frozen_start(void)
{
    memset(&frozen, 0, sizeof frozen);
}

void frozen_stop(void)
{
    arena_free(&frozen.texts);
}

size_t frozen_orders(void)
{
    return frozen.orders;
}

size_t frozen_left(void)
{
    return frozen.left;
}

int64_t frozen_until_ms(const char *input)
{
    for (size_t i = 0; i < frozen.input_count; i++) {
        if (strcmp(frozen.inputs[i].input, input) == 0) {
            return frozen.inputs[i].until_ms;
        }
    }
    return INT64_MIN;
}

bool frozen_dropped(const struct row *row)
{
    const poise_measurement *m = &row->measurement;
    return !row->order && row->refusal == POISE_REFUSAL_NONE && !m->retract &&
           m->time_ms < frozen_until_ms(m->measure);
}

size_t frozen_rows(void)
{
    struct row *rows;
    size_t count = journal_rows(&rows), dropped = 0;
    for (size_t i = 0; i < count; i++) {
        dropped += frozen_dropped(&rows[i]);
    }
    return dropped;
}

/* ---- orders ---- */

/* scoring.md section 7: each measure that reads it has `keep`, and every period that loses something ended so
 * long ago. */
static void check_until(const char *input, int64_t until_ms, int64_t as_of_ms)
{
    const struct card_set *set = journal_opening();
    assert_int_equal(until_ms % DAY, 0);
    for (size_t c = 0; c < set->count; c++) {
        const struct scorecard *card = set->cards[c];
        for (size_t i = 0; i < card->node_count; i++) {
            const struct measure *measure = card->nodes[i].measure;
            if (!measure || !measure->input || strcmp(measure->input, input) != 0) {
                continue;
            }
            assert_true(measure->keep_ms < INT64_MAX && measure->rolling_ms == 0);
            struct calendar calendar = scorecard_calendar(card, measure->period);
            assert_true(period_of(&calendar, until_ms - 1).end_ms + measure->keep_ms <= as_of_ms);
        }
    }
}

void frozen_note(const struct journal_batch *batch, int64_t as_of_ms)
{
    struct cursor in = cursor_of(batch->body, batch->body_length);
    while (cursor_left(&in) > 0) {
        size_t length, at = 0;
        assert_int_equal(cursor_u8(&in), 'f');
        const char *text = cursor_text(&in, &length);
        const char *input = arena_strndup(&frozen.texts, text, length);
        int64_t until_ms = cursor_svarint(&in);
        assert_true(input && !in.failed && until_ms > frozen_until_ms(input));
        check_until(input, until_ms, as_of_ms);
        while (at < frozen.input_count && strcmp(frozen.inputs[at].input, input) != 0) {
            at++;
        }
        assert_true(at < INPUTS_MAX);
        frozen.input_count += at == frozen.input_count;
        frozen.inputs[at].input = input;
        frozen.inputs[at].until_ms = until_ms;
    }
    frozen.orders++;
}

/* ---- on the disk ---- */

struct seeing {
    const struct row *rows;
    bool *seen;
};

static poise_code see_rows(void *visitor, uint64_t series, const struct chunk_rows *rows)
{
    const struct seeing *seeing = visitor;
    (void)series;
    for (size_t i = 0; i < rows->count; i++) {
        seeing->seen[rows->ordinal[i] - 1] = true;
        frozen.left += frozen_dropped(&seeing->rows[rows->ordinal[i] - 1]);
    }
    return POISE_OK;
}

void frozen_on_disk(struct store_reader *reader, uint64_t whole_lsn)
{
    struct row *rows;
    size_t count = journal_rows(&rows);
    uint64_t first = 0, end;
    struct seeing seeing = {.rows = rows, .seen = calloc(count + 1, 1)};
    const struct store_rows_visit visit = {.rows = see_rows, .visitor = &seeing};
    assert_non_null(seeing.seen);
    frozen.left = 0;
    if (frozen.orders == 0) {
        free(seeing.seen);
        return;
    }
    for (uint32_t input = 0; input < INPUTS_MAX; input++) {
        const struct store_rows_query query = {
            .input = input, .from_ms = INT64_MIN, .until_ms = INT64_MAX, .until_place = UINT64_MAX};
        assert_int_equal(store_read_rows(reader, &query, &visit, NULL), POISE_OK);
    }
    if (whole_lsn) { /* of the first record that the journal has as it was */
        journal_rows_of(whole_lsn, &first, &end);
    }
    for (size_t i = 0; i < first; i++) {
        const struct row *row = &rows[i];
        bool stays = !row->order && row->refusal == POISE_REFUSAL_NONE && !row->measurement.retract &&
                     !row->erased_lsn && !frozen_dropped(row);
        if (stays && !seeing.seen[i]) {
            fail_msg("row %zu, of %s, is gone from the disk, and not frozen", i + 1,
                     row->measurement.measure);
        }
    }
    free(seeing.seen);
}
