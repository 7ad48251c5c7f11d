#include "audit.h"

#include "inquiry.h"
#include "writer_private.h"
#include <base/error.h>
#include <stdlib.h>
#include <string.h>

struct audit {
    struct writer writer; /* as far as recovering needs one */
    struct stats stats;
    struct log log;
    struct store *store;
    const struct scorecard **cards; /* the current definition of each */
    size_t card_count;
    struct arena arena;
    struct rows_memory memory;
};

static poise_code ignore_state(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

/* Of the engine's plans, those that are current. */
static poise_code find_cards(struct audit *audit, poise_error *err)
{
    const struct compiled *compiled = &audit->writer.compiled;
    audit->cards = calloc(compiled->count + 1, sizeof(struct scorecard *));
    if (!audit->cards)
        return error_nomem(err, "the scorecards of a store");
    for (size_t i = 0; i < compiled->count; i++)
        if (compiled->terms[i].until_ms == INT64_MAX)
            audit->cards[audit->card_count++] = compiled->cards[i];
    return POISE_OK;
}

static poise_code recover_it(struct audit *audit, poise_error *err)
{
    struct writer *writer = &audit->writer;
    uint64_t records;
    poise_code code = load_stored(writer, err);
    if (code || writer->stored.count == 0)
        return code;
    code = definitions_fold(&writer->definitions, audit->store, NULL, store_last_lsn(audit->store), 0, NULL,
                            err);
    if (!code)
        code = recover_state(writer, true, &records, err);
    if (!code)
        code = engine_settle(writer->engine, SIZE_MAX, ignore_state, NULL, err);
    return code ? code : find_cards(audit, err);
}

poise_code audit_open(const char *path, struct audit **ret_audit, poise_error *err)
{
    uint8_t id[16];
    const struct store_options options = {.path = path, .read_only = true, .checked = true};
    struct audit *audit = calloc(1, sizeof *audit);
    if (!audit)
        return error_nomem(err, "the audit of a store");
    audit->log = (struct log){.level = LOG_ERROR};
    arena_init(&audit->arena, WIRE_ARENA);
    arena_init(&audit->writer.arena, 0);
    poise_code code = store_open(&options, &audit->store, err);
    if (!code) {
        store_id(audit->store, id);
        audit->writer.options = (struct writer_options){
            .store = audit->store, .stats = &audit->stats, .log = &audit->log, .clock = &clock_system};
        memcpy(&audit->writer.options.hash_seed, id, sizeof audit->writer.options.hash_seed);
        code = recover_it(audit, err);
    }
    if (code) {
        audit_close(audit);
        return code;
    }
    *ret_audit = audit;
    return POISE_OK;
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    writer_clear(&audit->writer);
    store_close(audit->store);
    arena_free(&audit->arena);
    rows_memory_free(&audit->memory);
    free(audit->cards);
    free(audit);
}

size_t audit_cards(const struct audit *audit)
{
    return audit->card_count;
}

int64_t audit_as_of_ms(const struct audit *audit)
{
    return audit->writer.engine ? engine_as_of_ms(audit->writer.engine) : INT64_MIN;
}

poise_code audit_shown(struct audit *audit, engine_visit *visit, void *visitor, poise_error *err)
{
    if (audit_as_of_ms(audit) == INT64_MIN)
        return POISE_OK; /* nothing was ever settled */
    return engine_states(audit->writer.engine, NULL, NULL, visit, visitor, err);
}

/* The parts of an answer, as a client would get them. */
static poise_code visit_answer(struct audit *audit, const struct inquiry *inquiry, engine_visit *visit,
                               void *visitor, poise_error *err)
{
    poise_code code = POISE_OK;
    for (size_t i = 0; !code && i < inquiry->count; i++) {
        size_t start = i ? inquiry->ends[i - 1] : 0;
        struct wire_states part = {0};
        arena_reset(&audit->arena);
        code = wire_decode_states(WIRE_RESULT, inquiry->bodies.data + start, inquiry->ends[i] - start,
                                  &audit->arena, &part, err);
        for (size_t j = 0; !code && j < part.count; j++)
            code = visit(visitor, &part.states[j]);
    }
    return code;
}

poise_code audit_again(struct audit *audit, size_t card, engine_visit *visit, void *visitor, poise_error *err)
{
    const _Atomic bool never = false;
    const struct inquirer_options options = {.max_bytes = INQUIRY_BYTES_DEFAULT,
                                             .store = audit->store,
                                             .cards = audit->cards,
                                             .card_count = audit->card_count,
                                             .stop = &never,
                                             .memory = &audit->memory,
                                             .doubts = true};
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    if (!inquiry)
        return error_nomem(err, "a question");
    const char *id = audit->cards[card]->id;
    inquiry->id = 1;
    memcpy(inquiry->scorecard, id, strlen(id) + 1);
    inquiry->all_orgs = true;
    inquiry->as_of_ms = audit_as_of_ms(audit);
    inquiry->known_lsn = store_last_lsn(audit->store);
    (void)inquiry_answer(&options, inquiry);
    poise_code code = inquiry->error.code;
    if (code && err)
        *err = inquiry->error;
    if (!code)
        code = visit_answer(audit, inquiry, visit, visitor, err);
    inquiry_free(inquiry);
    return code;
}
