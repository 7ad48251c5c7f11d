/* The states of a scorecard as of a time, or over its history, from rows that are applied to an engine of
 * their own. `poise eval` and the aggregator's answer to a question both go this way, so both give the same
 * bits:
 *
 *     engine_open(offline, the one scorecard) -> report_begin -> series, apply ... -> report_states
 */
#ifndef ENGINE_REPORT_H
#define ENGINE_REPORT_H

#include <engine/engine.h>

enum { REPORT_PERIODS_MAX = 100000 };

struct report_question {
    const struct scorecard *card; /* the engine's */
    const char *org;              /* NULL: every org */
    bool history; /* as of the end of every period of the scorecard's calendar, from the one that holds the
                     earliest counted measurement, then as of as_of_ms; not of those that may look at what
                     was dropped */
    int64_t as_of_ms; /* for report_begin INT64_MIN where it follows from the rows */
};

/* Before the first row: puts the engine where report_states can answer from. */
poise_code report_begin(struct engine *engine, const struct report_question *question, poise_error *err);
/* After the last row. Each as-of's states come in the order of engine_states. ENOTFOUND: no row of the
 * scorecard is at the org or below; ELIMIT: more than REPORT_PERIODS_MAX periods. */
poise_code report_states(struct engine *engine, const struct report_question *question, engine_visit *visit,
                         void *visitor, poise_error *err);

#endif
