#include "report.h"
#include "internal.h"
#include <base/error.h>

poise_code report_begin(struct engine *engine, const struct report_question *question, poise_error *err)
{
    if (question->history) { /* every row waits, so that the steps below count each when it is due */
        return engine_begin(engine, TIME_MIN_MS - 1, err);
    }
    if (question->as_of_ms != INT64_MIN) {
        return engine_begin(engine, question->as_of_ms, err);
    }
    return POISE_OK;
}

static poise_code ignore_change(void *visitor, const poise_state *state)
{
    (void)visitor;
    (void)state;
    return POISE_OK;
}

static poise_code states_as_of(struct engine *engine, const struct report_question *question,
                               int64_t as_of_ms, engine_visit *visit, void *visitor, poise_error *err)
{
    poise_code code = engine_begin(engine, as_of_ms, err);
    if (code == POISE_OK) {
        code = engine_settle(engine, SIZE_MAX, ignore_change, NULL, err);
    }
    if (code == POISE_OK) {
        code = engine_states(engine, question->card->id, question->org, visit, visitor, err);
    }
    return code;
}

/* As of the end of every period before as_of_ms. */
static poise_code states_of_history(struct engine *engine, const struct report_question *question,
                                    engine_visit *visit, void *visitor, poise_error *err)
{
    poise_code code =
        engine_settle(engine, SIZE_MAX, ignore_change, NULL, err); /* sorts out which keyed rows stand */
    struct heap_item earliest;
    engine->missed = NULL; /* nobody is shown that */
    int64_t first_ms = first_stored_ms(engine);
    if (heap_peek(&engine->future, &earliest) && earliest.key < first_ms) {
        first_ms = earliest.key;
    }
    if (code != POISE_OK || first_ms == INT64_MAX) {
        return code;
    }
    const char *card = question->card->id;
    int64_t end_ms = next_end_of(engine, card, first_ms);
    for (int n = 0; code == POISE_OK && end_ms < question->as_of_ms; n++) {
        if (n == REPORT_PERIODS_MAX) {
            return error_set(err, POISE_ELIMIT, "the history has more than %d periods; ask for less",
                             REPORT_PERIODS_MAX);
        }
        if (freeze_answers(engine, card, end_ms)) {
            code = states_as_of(engine, question, end_ms, visit, visitor, err);
        }
        end_ms = next_end_of(engine, card, end_ms);
    }
    return code;
}

poise_code report_states(struct engine *engine, const struct report_question *question, engine_visit *visit,
                         void *visitor, poise_error *err)
{
    poise_code code = question->history ? states_of_history(engine, question, visit, visitor, err) : POISE_OK;
    if (code == POISE_OK) {
        code = states_as_of(engine, question, question->as_of_ms, visit, visitor, err);
    }
    return code;
}
