/* Derived state as a start reads it, without the CRCs of the store: an engine's tables (ground.h), a
 * producer's row, an accumulator, how far a collector has read. The first byte says which.
 *
 * Entries with right CRCs were written by us, so that entries agree is ours to see to: an engine may assert
 * it where it takes a value out of a quantile's, and no keyed row of input b comes here. */
#include "ground.h"
#include <aggregator/ledger.h>
#include <collector/positions.h>
#include <stdlib.h>

enum { TABLES, LEDGER, ACCUMULATOR, POSITIONS, KINDS };

/* ---- an engine ---- */

static poise_code forget(void *writer, enum engine_table table, const void *key, size_t key_length,
                         const void *value, size_t value_length)
{
    (void)writer;
    (void)table;
    (void)key;
    (void)key_length;
    (void)value;
    (void)value_length;
    return POISE_OK;
}

static void live_on(struct engine *engine)
{
    poise_code code = engine_begin(engine, GROUND_T, NULL);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_ECLOSED);
    ground_rows(engine);
    ground_settle(engine);
    code = engine_begin(engine, GROUND_T + INT64_C(40) * 86400000, NULL);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_ECLOSED);
    ground_settle(engine);
    if (engine_checkpoint(engine, forget, NULL, NULL) == POISE_OK) {
        engine_checkpoint_done(engine);
    }
}

static void try_tables(const void *bytes, size_t length)
{
    static struct scorecard *card; /* for all inputs */
    card = card ? card : ground_card();
    const struct scorecard *const cards[] = {card};
    struct ground ground;
    struct engine *engine;
    poise_error err;
    ground_open(&ground, bytes, length);
    struct engine_options options = {.cards = cards,
                                     .card_count = 1,
                                     .max_orgs = 100,
                                     .max_series = 100,
                                     .max_cells = 100,
                                     .ports = ground_ports(&ground)};
    poise_code code = engine_open(&options, &engine, &err);
    MUST(code == POISE_OK || code == POISE_ECORRUPT || code == POISE_EVERSION);
    if (code == POISE_OK) {
        live_on(engine);
        engine_close(engine);
    }
    ground_close(&ground);
}

/* ---- a producer's row ---- */

static void encode_ledger(const struct ledger *ledger, const char *producer, uint64_t epoch, struct buf *key,
                          struct buf *value)
{
    const struct ledger_entry *entry = ledger_find(ledger, producer, epoch);
    MUST(entry && entry->refusal_count <= LEDGER_REFUSALS_MAX);
    ledger_encode(entry, key, value);
}

static void try_ledger(struct cursor in)
{
    size_t length;
    char producer[POISE_ID_MAX + 1] = {0};
    struct buf key = {0}, value = {0}, key_again = {0}, value_again = {0};
    struct ledger ledger = {0}, again = {0};
    const char *text = cursor_text(&in, &length);
    struct cursor row = cursor_of(text, length);
    if (!in.failed && ledger_decode(&ledger, row, in) == POISE_OK) {
        uint64_t epoch = cursor_u64(&row);
        for (size_t i = 0; cursor_left(&row) > 0; i++) {
            producer[i] = (char)cursor_u8(&row);
        }
        encode_ledger(&ledger, producer, epoch, &key, &value);
        MUST(ledger_decode(&again, cursor_of(key.data, key.length), cursor_of(value.data, value.length)) ==
             POISE_OK);
        encode_ledger(&again, producer, epoch, &key_again, &value_again);
        fuzz_same_bytes(&key, &key_again);
        fuzz_same_bytes(&value, &value_again);
    }
    ledger_free(&ledger);
    ledger_free(&again);
    buf_free(&key);
    buf_free(&value);
    buf_free(&key_again);
    buf_free(&value_again);
}

/* ---- an accumulator ---- */

static bool accumulator_again(const struct accumulator_layout *layout, struct cursor in, struct buf *out)
{
    struct accumulator *cell = calloc(1, layout->size);
    MUST(cell);
    poise_code code = accumulator_decode(layout, cell, &in);
    MUST(code == POISE_OK || code == POISE_ECORRUPT);
    MUST(code == POISE_OK || accumulator_count(cell) == 0);
    accumulator_encode(layout, cell, out);
    accumulator_clear(layout, cell);
    free(cell);
    return code == POISE_OK;
}

static void try_accumulator(struct cursor in)
{
    struct intern sources = {0};
    struct buf first = {0}, second = {0};
    struct accumulator_layout layout;
    MUST(intern_add(&sources, "", 0) == 0 && intern_add(&sources, "s", 1) == 1);
    layout = accumulator_layout(cursor_u16(&in) % (1u << ACCUMULATOR_PARTS), &sources);
    if (accumulator_again(&layout, in, &first)) {
        MUST(accumulator_again(&layout, cursor_of(first.data, first.length), &second));
        fuzz_same_bytes(&first, &second);
    }
    intern_free(&sources);
    buf_free(&first);
    buf_free(&second);
}

/* ---- positions ---- */

static void try_positions(struct cursor in)
{
    enum { ENCODED_MAX = 4096 };
    struct positions positions = {0}, again = {0};
    struct buf first = {0}, second = {0};
    if (positions_decode(in.at, cursor_left(&in), &positions, NULL) == POISE_OK) {
        MUST(positions.count <= POSITIONS_MAX);
        positions_encode(&positions, &first);
        MUST(first.length <= ENCODED_MAX);
        MUST(positions_decode(first.data, first.length, &again, NULL) == POISE_OK);
        positions_encode(&again, &second);
        fuzz_same_bytes(&first, &second);
    }
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct cursor in = cursor_of(data + 1, size - 1);
    switch (data[0] % KINDS) {
    case TABLES:
        try_tables(in.at, cursor_left(&in));
        break;
    case LEDGER:
        try_ledger(in);
        break;
    case ACCUMULATOR:
        try_accumulator(in);
        break;
    default:
        try_positions(in);
    }
    return 0;
}
