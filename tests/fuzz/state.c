/* An engine's tables (ground.h) as a start reads them, without the CRCs of the store.
 *
 * Entries with right CRCs were written by us, so that entries agree is ours to see to: an engine may assert
 * it where it takes a value out of a quantile's, and no keyed row of input b comes here. */
#include "ground.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_tables(data, size);
    return 0;
}
